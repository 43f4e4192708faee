/* .npy: what NumPy writes is read, what we write NumPy's reader and ours read back, and no bytes can harm. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/cli/npy.h"

Suite *make_suite(void);

/* A version `major`.0 file with this header text, padded by `pad` blanks, and data. Returns its size. */
static size_t make_file(unsigned char *out, int major, const char *dict, size_t pad, const void *data, size_t size) {
  size_t length = strlen(dict), prefix = major == 1 ? 10 : 12, header = length + pad + 1;
  memcpy(out, "\x93NUMPY", 6);
  out[6] = (unsigned char)major;
  out[7] = 0;
  for (size_t i = 8; i < prefix; i++) out[i] = (unsigned char)(header >> (8 * (i - 8)));
  memcpy(out + prefix, dict, length);
  memset(out + prefix + length, ' ', pad);
  out[prefix + header - 1] = '\n';
  if (size > 0) memcpy(out + prefix + header, data, size);
  return prefix + header + size;
}

static pleat_tensor *parse(int major, const char *dict, const void *data, size_t size) {
  unsigned char file[1024];
  pleat_tensor *tensor = NULL;
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_status status = npy_parse(file, make_file(file, major, dict, 5, data, size), "t.npy", &tensor, &error);
  ck_assert_msg(status == PLEAT_OK, "%s: %s", dict, error.message);
  return tensor;
}

static void reject(const char *dict, size_t data_size, pleat_status expected, const char *words) {
  static const unsigned char zeros[64];
  unsigned char file[1024];
  pleat_tensor *tensor = NULL;
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_status status = npy_parse(file, make_file(file, 1, dict, 0, zeros, data_size), "t.npy", &tensor, &error);
  ck_assert_msg(status == expected, "%s: status %d, %s", dict, status, error.message);
  ck_assert_msg(strstr(error.message, words) != NULL, "%s: %s", dict, error.message);
  ck_assert_str_eq(error.file, "t.npy");
  ck_assert_ptr_null(tensor);
}

/* np.asfortranarray(np.array([[1, 2, 3], [4, 5, 6]], '>f4')) */
START_TEST(test_fortran_big_endian) {
  static const unsigned char data[] = {0x3f, 0x80, 0, 0, 0x40, 0x80, 0, 0, 0x40, 0x00, 0, 0,
                                       0x40, 0xa0, 0, 0, 0x40, 0x40, 0, 0, 0x40, 0xc0, 0, 0};
  pleat_tensor *t = parse(1, "{'descr': '>f4', 'fortran_order': True, 'shape': (2, 3), }", data, sizeof data);
  ck_assert_int_eq(pleat_tensor_dtype(t), PLEAT_FLOAT);
  ck_assert_int_eq(pleat_tensor_rank(t), 2);
  ck_assert_int_eq(pleat_tensor_dims(t)[0], 2);
  ck_assert_int_eq(pleat_tensor_dims(t)[1], 3);
  for (int i = 0; i < 6; i++) ck_assert_float_eq(((const float *)pleat_tensor_const_data(t))[i], (float)(i + 1));
  pleat_tensor_release(t);
}
END_TEST

/* np.array(['a', 'ü€', '']) in version 3, np.array([b'xy', b'z']) in version 2 */
START_TEST(test_strings) {
  static const unsigned char ucs4[] = {0x61, 0,    0, 0, 0, 0, 0, 0, 0xfc, 0, 0, 0,
                                       0xac, 0x20, 0, 0, 0, 0, 0, 0, 0,    0, 0, 0};
  pleat_tensor *t = parse(3, "{'descr': '<U2', 'fortran_order': False, 'shape': (3,), }", ucs4, sizeof ucs4);
  const pleat_string *s = pleat_tensor_const_data(t);
  ck_assert_int_eq(pleat_tensor_dtype(t), PLEAT_STRING);
  ck_assert_uint_eq(s[0].size, 1);
  ck_assert_mem_eq(s[0].data, "a", 1);
  ck_assert_uint_eq(s[1].size, 5);
  ck_assert_mem_eq(s[1].data, "\xc3\xbc\xe2\x82\xac", 5);
  ck_assert_uint_eq(s[2].size, 0);
  pleat_tensor_release(t);
  t = parse(2, "{'descr': '|S2', 'fortran_order': False, 'shape': (2,), }", "xyz", 4);
  s = pleat_tensor_const_data(t);
  ck_assert_uint_eq(s[0].size, 2);
  ck_assert_uint_eq(s[1].size, 1);
  pleat_tensor_release(t);
}
END_TEST

START_TEST(test_scalar_empty_and_bool) {
  static const unsigned char half[] = {0x00, 0x43}, flags[] = {0, 1, 2};
  pleat_tensor *t = parse(1, "{'shape': (), 'fortran_order': False, 'descr': '<f2'}", half, 2);
  ck_assert_int_eq(pleat_tensor_dtype(t), PLEAT_FLOAT16);
  ck_assert_int_eq(pleat_tensor_rank(t), 0);
  ck_assert_uint_eq(*(const uint16_t *)pleat_tensor_const_data(t), 0x4300);
  pleat_tensor_release(t);
  t = parse(1, "{\"descr\": \"<i8\", 'fortran_order': True, 'shape': (0L, 7L)}", NULL, 0);
  ck_assert_uint_eq(pleat_tensor_count(t), 0);
  ck_assert_int_eq(pleat_tensor_dims(t)[1], 7);
  pleat_tensor_release(t);
  t = parse(1, "{'descr': '|b1', 'fortran_order': False, 'shape': (3,)}", flags, 3);
  ck_assert_uint_eq(((const unsigned char *)pleat_tensor_const_data(t))[2], 1);
  pleat_tensor_release(t);
}
END_TEST

START_TEST(test_rejections) {
  reject("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", 11, PLEAT_MALFORMED_MODEL, "more data");
  reject("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", 0, PLEAT_MALFORMED_MODEL,
         "overflows");
  reject("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", 0, PLEAT_MALFORMED_MODEL,
         "whole number");
  reject("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", 0, PLEAT_MALFORMED_MODEL, "whole number");
  reject("{'descr': '<U0', 'fortran_order': False, 'shape': (9223372036854775807,), }", 0, PLEAT_MALFORMED_MODEL,
         "empty strings");
  reject("{'descr': '<U9223372036854775807', 'fortran_order': False, 'shape': (1,), }", 0, PLEAT_MALFORMED_MODEL,
         "overflows");
  reject("{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1), }", 4,
         PLEAT_UNSUPPORTED, "dimensions");
  reject("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", 8, PLEAT_UNSUPPORTED, "pickled");
  reject("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", 4, PLEAT_UNSUPPORTED, "structured");
  reject("{'descr': '<f3', 'fortran_order': False, 'shape': (1,), }", 4, PLEAT_UNSUPPORTED, "no ONNX type");
  reject("{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1,), }", 4, PLEAT_MALFORMED_MODEL, "fortran_order");
  reject("{'descr': '<f4', 'descr': '<f4', 'fortran_order': True, 'shape': (1,), }", 4, PLEAT_MALFORMED_MODEL, "key");
  reject("{'descr': '<f4', 'fortran_order': False}", 4, PLEAT_MALFORMED_MODEL, "lacks");
  reject("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x", 4, PLEAT_MALFORMED_MODEL, "after");
  reject("{'descr': '<U1', 'fortran_order': False, 'shape': (1,), 'x': 1}", 4, PLEAT_MALFORMED_MODEL, "key");
}
END_TEST

/* Every type is written and read back the same, or as the type that the note names. */
START_TEST(test_round_trip) {
  static const int64_t dims[] = {2, 3};
  for (int type = 1; type < PLEAT_DTYPE_COUNT; type++) {
    pleat_tensor *tensor = NULL, *back = NULL;
    pleat_error error = PLEAT_ERROR_INIT;
    void *file = NULL;
    size_t size = 0;
    if (type == PLEAT_STRING) continue;
    ck_assert_int_eq(pleat_tensor_create((pleat_dtype)type, 2, dims, &tensor, &error), PLEAT_OK);
    unsigned char *bytes = pleat_tensor_data(tensor);
    for (size_t i = 0; i < pleat_tensor_bytes(tensor); i++) bytes[i] = type == PLEAT_BOOL ? i % 2 : (unsigned char)i;
    ck_assert_int_eq(npy_format(tensor, &file, &size, &error), PLEAT_OK);
    ck_assert_uint_eq((size - pleat_tensor_bytes(tensor)) % 64, 0);
    ck_assert_msg(npy_parse(file, size, "t.npy", &back, &error) == PLEAT_OK, "%s", error.message);
    ck_assert_int_eq(pleat_tensor_dtype(back) == (pleat_dtype)type, npy_type_note((pleat_dtype)type) == NULL);
    ck_assert_int_eq(pleat_tensor_rank(back), 2);
    ck_assert_uint_eq(pleat_tensor_bytes(back), pleat_tensor_bytes(tensor));
    ck_assert_mem_eq(pleat_tensor_const_data(back), bytes, pleat_tensor_bytes(tensor));
    free(file);
    pleat_tensor_release(back);
    pleat_tensor_release(tensor);
  }
}
END_TEST

static void round_trip_strings(const pleat_string *strings, int64_t count, char kind) {
  pleat_tensor *tensor = NULL, *back = NULL;
  pleat_error error = PLEAT_ERROR_INIT;
  void *file = NULL;
  size_t size = 0;
  ck_assert_int_eq(pleat_tensor_create_strings(1, &count, strings, &tensor, &error), PLEAT_OK);
  ck_assert_int_eq(npy_format(tensor, &file, &size, &error), PLEAT_OK);
  ck_assert_int_eq(((char *)file)[22], kind); /* after the prefix, "{'descr': '" and the byte order */
  ck_assert_int_eq(npy_parse(file, size, "t.npy", &back, &error), PLEAT_OK);
  const pleat_string *read = pleat_tensor_const_data(back);
  for (int64_t i = 0; i < count; i++) {
    ck_assert_uint_eq(read[i].size, strings[i].size);
    if (read[i].size > 0) ck_assert_mem_eq(read[i].data, strings[i].data, read[i].size);
  }
  free(file);
  pleat_tensor_release(back);
  pleat_tensor_release(tensor);
}

START_TEST(test_string_round_trip) {
  static const pleat_string unicode[] = {{"abc", 3}, {"", 0}, {"\xf0\x9f\x98\x80 \xc3\xa9", 7}};
  static const pleat_string bytes[] = {{"a", 1}, {"\xff\xc3", 2}, {"\xed\xa0\x80", 3}};
  round_trip_strings(unicode, 3, 'U');
  round_trip_strings(bytes, 3, 'S');
}
END_TEST

/* Any prefix of a file is refused, and any changed byte of a header is taken or refused, but never harms (run with the
 * address sanitizer). */
START_TEST(test_damage) {
  static const unsigned char data[24];
  unsigned char file[1024];
  size_t size = make_file(file, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 3, data, sizeof data);
  for (size_t length = 0; length < size; length++) {
    unsigned char *exact = malloc(length ? length : 1);
    pleat_tensor *tensor = NULL;
    ck_assert_ptr_nonnull(exact);
    memcpy(exact, file, length);
    ck_assert_int_eq(npy_parse(exact, length, "t.npy", &tensor, NULL), PLEAT_MALFORMED_MODEL);
    free(exact);
  }
  for (size_t at = 0; at < size - sizeof data; at++) {
    for (int byte = 0; byte < 256; byte++) {
      unsigned char *changed = malloc(size);
      pleat_tensor *tensor = NULL;
      ck_assert_ptr_nonnull(changed);
      memcpy(changed, file, size);
      changed[at] = (unsigned char)byte;
      pleat_status status = npy_parse(changed, size, "t.npy", &tensor, NULL);
      ck_assert_int_eq(status == PLEAT_OK, tensor != NULL);
      if (tensor) ck_assert_uint_le(pleat_tensor_bytes(tensor), 6 * 80);
      pleat_tensor_release(tensor);
      free(changed);
    }
  }
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("cli/npy");
  TCase *tests = tcase_create("npy");
  tcase_set_timeout(tests, 60);
  tcase_add_test(tests, test_fortran_big_endian);
  tcase_add_test(tests, test_strings);
  tcase_add_test(tests, test_scalar_empty_and_bool);
  tcase_add_test(tests, test_rejections);
  tcase_add_test(tests, test_round_trip);
  tcase_add_test(tests, test_string_round_trip);
  tcase_add_test(tests, test_damage);
  suite_add_tcase(suite, tests);
  return suite;
}

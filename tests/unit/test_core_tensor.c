/* Tensors: creation, limits, wrapping, strings, lists, reference counts, text. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "core/tensor.h"

/* AddressSanitizer's own switch: an impossible allocation shall fail as it does without it, not end the test. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
  return "allocator_may_return_null=1";
}

START_TEST(created_tensors_are_zeroed_and_aligned) {
  const int64_t dims[] = {3, 5, 7};
  for (int dtype = 1; dtype < PLEAT_DTYPE_COUNT; dtype++) {
    pleat_tensor *t = NULL;
    ck_assert_int_eq(pleat_tensor_create((pleat_dtype)dtype, 3, dims, &t, NULL), PLEAT_OK);
    ck_assert_uint_eq((uintptr_t)pleat_tensor_data(t) % 64, 0);
    ck_assert_uint_eq(pleat_tensor_count(t), 105);
    ck_assert_uint_eq(pleat_tensor_bytes(t), 105 * pleat_dtype_size((pleat_dtype)dtype));
    const unsigned char *bytes = pleat_tensor_const_data(t);
    for (size_t i = 0; i < pleat_tensor_bytes(t); i++) ck_assert_uint_eq(bytes[i], 0);
    pleat_tensor_release(t);
  }
}
END_TEST

START_TEST(scalars_and_empty_tensors) {
  pleat_tensor *t = NULL;
  ck_assert_int_eq(pleat_tensor_create(PLEAT_FLOAT, 0, NULL, &t, NULL), PLEAT_OK);
  ck_assert_uint_eq(pleat_tensor_count(t), 1);
  ck_assert_ptr_nonnull(pleat_tensor_data(t));
  pleat_tensor_release(t);
  const int64_t dims[] = {INT64_MAX, 0, INT64_MAX};
  ck_assert_int_eq(pleat_tensor_create(PLEAT_FLOAT, 3, dims, &t, NULL), PLEAT_OK);
  ck_assert_uint_eq(pleat_tensor_count(t), 0);
  ck_assert_ptr_null(pleat_tensor_data(t));
  pleat_tensor *copy = NULL;
  ck_assert_int_eq(pleat_tensor_clone(t, &copy, NULL), PLEAT_OK);
  ck_assert(pleat_same_shape(t, copy));
  pleat_tensor_release(copy);
  pleat_tensor_release(t);
}
END_TEST

static void expect_failure(pleat_status wanted, int dtype, int rank, const int64_t *dims) {
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_tensor *t = (pleat_tensor *)&error;
  ck_assert_int_eq(pleat_tensor_create((pleat_dtype)dtype, rank, dims, &t, &error), wanted);
  ck_assert_int_eq(error.status, wanted);
  ck_assert_str_ne(error.message, "");
  ck_assert_ptr_null(t);
}

START_TEST(impossible_tensors_are_refused) {
  const int64_t ones[17] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  expect_failure(PLEAT_INVALID_ARGUMENT, 0, 1, ones);
  expect_failure(PLEAT_INVALID_ARGUMENT, PLEAT_DTYPE_COUNT, 1, ones);
  expect_failure(PLEAT_INVALID_ARGUMENT, -1, 1, ones);
  expect_failure(PLEAT_INVALID_ARGUMENT, PLEAT_FLOAT, 17, ones);
  expect_failure(PLEAT_INVALID_ARGUMENT, PLEAT_FLOAT, -1, ones);
  expect_failure(PLEAT_INVALID_ARGUMENT, PLEAT_FLOAT, 2, (const int64_t[]){2, -1});
  expect_failure(PLEAT_OUT_OF_MEMORY, PLEAT_FLOAT, 2, (const int64_t[]){INT64_MAX, 3});
  expect_failure(PLEAT_OUT_OF_MEMORY, PLEAT_DOUBLE, 1, (const int64_t[]){INT64_MAX / 4});
  expect_failure(PLEAT_OUT_OF_MEMORY, PLEAT_UINT8, 1, (const int64_t[]){INT64_MAX - 64});
  pleat_tensor *t = NULL;
  ck_assert_int_eq(pleat_tensor_create(PLEAT_INT8, 16, ones, &t, NULL), PLEAT_OK);
  pleat_tensor_release(t);
}
END_TEST

static void count_release(void *user, void *data) {
  ck_assert_ptr_nonnull(data);
  ++*(int *)user;
}

START_TEST(wrapped_memory_is_released_once) {
  float data[6] = {1, 2, 3, 4, 5, 6};
  int released = 0;
  const int64_t dims[] = {2, 3};
  pleat_tensor *t = NULL;
  ck_assert_int_eq(pleat_tensor_wrap(PLEAT_FLOAT, 2, dims, data, sizeof data, count_release, &released, &t, NULL),
                   PLEAT_OK);
  ck_assert_ptr_eq(pleat_tensor_data(t), data);
  ck_assert_ptr_eq(pleat_tensor_retain(t), t);
  pleat_tensor_release(t);
  ck_assert_int_eq(released, 0);
  pleat_tensor_release(t);
  ck_assert_int_eq(released, 1);
}
END_TEST

START_TEST(bad_wraps_are_refused_and_release_nothing) {
  float data[7] = {0};
  int released = 0;
  const int64_t dims[] = {6};
  pleat_tensor *t = NULL;
  pleat_error error = PLEAT_ERROR_INIT;
  ck_assert_int_eq(pleat_tensor_wrap(PLEAT_FLOAT, 1, dims, data, 20, count_release, &released, &t, &error),
                   PLEAT_INVALID_ARGUMENT);
  ck_assert_str_eq(error.message, "expected 24 bytes of data for float[6], found 20");
  ck_assert_int_eq(pleat_tensor_wrap(PLEAT_FLOAT, 1, dims, (char *)data + 1, 24, count_release, &released, &t, NULL),
                   PLEAT_INVALID_ARGUMENT);
  ck_assert_int_eq(pleat_tensor_wrap(PLEAT_FLOAT, 1, dims, NULL, 24, count_release, &released, &t, NULL),
                   PLEAT_INVALID_ARGUMENT);
  ck_assert_ptr_null(t);
  ck_assert_int_eq(released, 0);
}
END_TEST

START_TEST(strings_are_copied) {
  char first[] = "one";
  const pleat_string strings[] = {{first, 3}, {NULL, 0}, {"a\0b", 3}};
  const int64_t dims[] = {3};
  pleat_tensor *t = NULL, *copy = NULL;
  ck_assert_int_eq(pleat_tensor_create_strings(1, dims, strings, &t, NULL), PLEAT_OK);
  first[0] = 'X';
  ck_assert_int_eq(pleat_tensor_clone(t, &copy, NULL), PLEAT_OK);
  pleat_tensor_release(t);
  const pleat_string *found = pleat_tensor_const_data(copy);
  ck_assert_mem_eq(found[0].data, "one", 3);
  ck_assert_uint_eq(found[1].size, 0);
  ck_assert_uint_eq(found[2].size, 3);
  ck_assert_mem_eq(found[2].data, "a\0b", 3);
  pleat_tensor_release(copy);
  const pleat_string huge[] = {{first, SIZE_MAX}, {first, 3}, {first, 3}};
  ck_assert_int_eq(pleat_tensor_create_strings(1, dims, huge, &t, NULL), PLEAT_OUT_OF_MEMORY);
  ck_assert_ptr_null(t);
}
END_TEST

START_TEST(lists_hold_their_items) {
  const int64_t dims[] = {2};
  pleat_tensor *item = NULL, *list = NULL, *outer = NULL, *copy = NULL;
  int released = 0;
  float data[2] = {1, 2};
  ck_assert_int_eq(pleat_tensor_wrap(PLEAT_FLOAT, 1, dims, data, sizeof data, count_release, &released, &item, NULL),
                   PLEAT_OK);
  pleat_tensor *items[] = {item, item};
  ck_assert_int_eq(pleat_tensor_create_list(PLEAT_KIND_SEQUENCE, items, 2, &list, NULL), PLEAT_OK);
  ck_assert_int_eq(pleat_tensor_create_list(PLEAT_KIND_OPTIONAL, &list, 1, &outer, NULL), PLEAT_OK);
  ck_assert_int_eq(pleat_tensor_clone(outer, &copy, NULL), PLEAT_OK);
  pleat_tensor_release(item);
  pleat_tensor_release(list);
  ck_assert_ptr_eq(pleat_tensor_item(list, 1), item);
  ck_assert_ptr_null(pleat_tensor_item(list, 2));
  ck_assert_int_eq(released, 0);
  pleat_tensor_release(outer);
  ck_assert_int_eq(released, 1);
  const pleat_tensor *inner = pleat_tensor_item(pleat_tensor_item(copy, 0), 1);
  ck_assert_float_eq(((const float *)pleat_tensor_const_data(inner))[1], 2);
  pleat_tensor_release(copy);
}
END_TEST

START_TEST(bad_lists_are_refused) {
  pleat_tensor *item = NULL, *list = NULL;
  ck_assert_int_eq(pleat_tensor_create(PLEAT_FLOAT, 0, NULL, &item, NULL), PLEAT_OK);
  pleat_tensor *items[] = {item, item};
  pleat_tensor *holes[] = {item, NULL};
  pleat_tensor descriptor = {.kind = PLEAT_KIND_TENSOR};
  pleat_tensor *unowned[] = {&descriptor};
  ck_assert_int_eq(pleat_tensor_create_list(PLEAT_KIND_OPTIONAL, items, 2, &list, NULL), PLEAT_INVALID_ARGUMENT);
  ck_assert_int_eq(pleat_tensor_create_list(PLEAT_KIND_TENSOR, items, 1, &list, NULL), PLEAT_INVALID_ARGUMENT);
  ck_assert_int_eq(pleat_tensor_create_list(PLEAT_KIND_SEQUENCE, holes, 2, &list, NULL), PLEAT_INVALID_ARGUMENT);
  ck_assert_int_eq(pleat_tensor_create_list(PLEAT_KIND_SEQUENCE, unowned, 1, &list, NULL), PLEAT_INVALID_ARGUMENT);
  ck_assert_ptr_null(list);
  ck_assert_int_eq(pleat_tensor_create_list(PLEAT_KIND_SEQUENCE, NULL, 0, &list, NULL), PLEAT_OK);
  ck_assert_uint_eq(pleat_tensor_count(list), 0);
  pleat_tensor_release(list);
  pleat_tensor_release(item);
}
END_TEST

START_TEST(nesting_is_limited) {
  pleat_tensor *at = NULL;
  ck_assert_int_eq(pleat_tensor_create(PLEAT_FLOAT, 0, NULL, &at, NULL), PLEAT_OK);
  pleat_status status = PLEAT_OK;
  int depth = 0;
  for (; status == PLEAT_OK && depth < 100; depth++) {
    pleat_tensor *list = NULL;
    status = pleat_tensor_create_list(PLEAT_KIND_SEQUENCE, &at, 1, &list, NULL);
    if (status != PLEAT_OK) break;
    pleat_tensor_release(at);
    at = list;
  }
  ck_assert_int_eq(status, PLEAT_INVALID_ARGUMENT);
  ck_assert_int_eq(depth, PLEAT_MAX_NESTING);
  pleat_tensor_release(at);
}
END_TEST

START_TEST(text_of_tensors) {
  char text[64], tiny[8];
  pleat_tensor *t = NULL, *list = NULL;
  const int64_t dims[] = {1, 3, 224, 224};
  pleat_tensor_create(PLEAT_FLOAT, 4, dims, &t, NULL);
  ck_assert_str_eq(pleat_tensor_text(t, text, sizeof text), "float[1,3,224,224]");
  ck_assert_str_eq(pleat_tensor_text(t, tiny, sizeof tiny), "float[1");
  pleat_tensor_create_list(PLEAT_KIND_SEQUENCE, &t, 1, &list, NULL);
  ck_assert_str_eq(pleat_tensor_text(list, text, sizeof text), "sequence of 1");
  pleat_tensor_release(list);
  pleat_tensor_release(t);
  pleat_tensor_create(PLEAT_STRING, 0, NULL, &t, NULL);
  ck_assert_str_eq(pleat_tensor_text(t, text, sizeof text), "string[]");
  pleat_tensor_release(t);
  pleat_tensor_release(NULL);
}
END_TEST

START_TEST(every_type_is_described) {
  ck_assert_str_eq(pleat_dtype_name(PLEAT_FLOAT8E4M3FN), "float8e4m3fn");
  ck_assert_str_eq(pleat_dtype_name((pleat_dtype)77), "undefined");
  ck_assert_uint_eq(pleat_dtype_size((pleat_dtype)-5), 0);
  for (int d = 1; d < PLEAT_DTYPE_COUNT; d++) {
    pleat_dtype dtype = (pleat_dtype)d;
    ck_assert_uint_gt(pleat_dtype_size(dtype), 0);
    ck_assert_str_ne(pleat_dtype_name(dtype), "undefined");
    for (int other = 1; other < d; other++)
      ck_assert_str_ne(pleat_dtype_name(dtype), pleat_dtype_name((pleat_dtype)other));
    ck_assert_uint_eq(pleat_dtype_bits(dtype) == 0, dtype == PLEAT_STRING);
    ck_assert(!(pleat_dtype_is_float(dtype) && pleat_dtype_is_int(dtype)));
    ck_assert(pleat_dtype_is_valid(d));
    ck_assert((PLEAT_M_ALL & PLEAT_M(dtype)) != 0);
  }
  ck_assert(!pleat_dtype_is_valid(0) && !pleat_dtype_is_valid(27) && !pleat_dtype_is_valid(INT64_C(1) << 33));
}
END_TEST

START_TEST(packed_types) {
  size_t size;
  ck_assert(pleat_dtype_packed_size(PLEAT_INT4, 5, &size) && size == 3);
  ck_assert(pleat_dtype_packed_size(PLEAT_UINT2, 5, &size) && size == 2);
  ck_assert(pleat_dtype_packed_size(PLEAT_INT4, SIZE_MAX, &size) && size == SIZE_MAX / 2 + 1);
  ck_assert(!pleat_dtype_packed_size(PLEAT_FLOAT, SIZE_MAX / 2, &size));
  ck_assert(!pleat_dtype_packed_size(PLEAT_STRING, 1, &size));
  const unsigned char packed[] = {0x87, 0x0f};
  signed char int4[3], int2[8];
  unsigned char uint4[3], again[2] = {0xff, 0xff};
  pleat_dtype_unpack(PLEAT_INT4, packed, int4, 3);
  ck_assert(int4[0] == 7 && int4[1] == -8 && int4[2] == -1);
  pleat_dtype_pack(PLEAT_INT4, int4, again, 3);
  ck_assert_mem_eq(again, packed, 2);
  pleat_dtype_unpack(PLEAT_UINT4, packed, uint4, 3);
  ck_assert(uint4[0] == 7 && uint4[1] == 8 && uint4[2] == 15);
  pleat_dtype_unpack(PLEAT_INT2, packed, int2, 8);
  ck_assert(int2[0] == -1 && int2[1] == 1 && int2[2] == 0 && int2[3] == -2 && int2[4] == -1 && int2[6] == 0);
  pleat_dtype_pack(PLEAT_INT2, int2, again, 8);
  ck_assert_mem_eq(again, packed, 2);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("core_tensor");
  TCase *tensors = tcase_create("tensors");
  tcase_add_test(tensors, created_tensors_are_zeroed_and_aligned);
  tcase_add_test(tensors, scalars_and_empty_tensors);
  tcase_add_test(tensors, impossible_tensors_are_refused);
  tcase_add_test(tensors, wrapped_memory_is_released_once);
  tcase_add_test(tensors, bad_wraps_are_refused_and_release_nothing);
  tcase_add_test(tensors, strings_are_copied);
  tcase_add_test(tensors, lists_hold_their_items);
  tcase_add_test(tensors, bad_lists_are_refused);
  tcase_add_test(tensors, nesting_is_limited);
  tcase_add_test(tensors, text_of_tensors);
  suite_add_tcase(suite, tensors);
  TCase *types = tcase_create("types");
  tcase_add_test(types, every_type_is_described);
  tcase_add_test(types, packed_types);
  suite_add_tcase(suite, types);
  return suite;
}

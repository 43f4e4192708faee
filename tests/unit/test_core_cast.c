/* Casts of tensors between strings and numbers. */
#include <check.h>
#include <locale.h>
#include <math.h>
#include <string.h>

#include "core/error.h"
#include "core/tensor.h"

static pleat_tensor *tensor_of(pleat_dtype dtype, size_t count, const void *data) {
  pleat_tensor *t = NULL;
  const int64_t dims[] = {(int64_t)count};
  ck_assert_int_eq(pleat_tensor_create(dtype, 1, dims, &t, NULL), PLEAT_OK);
  memcpy(pleat_tensor_data(t), data, count * pleat_dtype_size(dtype));
  return t;
}

static void check_texts(pleat_dtype dtype, size_t count, const void *data, const char *const *wanted) {
  pleat_tensor *numbers = tensor_of(dtype, count, data), *strings = NULL, *back = NULL;
  ck_assert_int_eq(pleat_tensor_cast(numbers, PLEAT_STRING, &strings, NULL), PLEAT_OK);
  const pleat_string *found = pleat_tensor_const_data(strings);
  for (size_t i = 0; i < count; i++) {
    ck_assert_msg(found[i].size == strlen(wanted[i]) && memcmp(found[i].data, wanted[i], found[i].size) == 0,
                  "%s: expected %s, found %.*s", pleat_dtype_name(dtype), wanted[i], (int)found[i].size, found[i].data);
  }
  ck_assert_int_eq(pleat_tensor_cast(strings, dtype, &back, NULL), PLEAT_OK);
  ck_assert_mem_eq(pleat_tensor_const_data(back), data, pleat_tensor_bytes(back));
  pleat_tensor_release(back);
  pleat_tensor_release(strings);
  pleat_tensor_release(numbers);
}

/* What NumPy's astype(str) gives; the first line is ONNX's test_cast_FLOAT_to_STRING. */
START_TEST(numbers_print_as_in_numpy_and_read_back) {
  const float f32[] = {0.9767611f, 0.6048455f, 0.039187793f, 0.064147495f, 1e16f,   1e15f,     123456789.0f, 1e-5f,
                       1e-4f,      1.5f,       100.0f,       -0.0f,        3.4e38f, 0x1p-149f, 16777216.0f,  0.001f};
  const char *const f32_text[] = {
      "0.9767611",   "0.6048455", "0.039187793", "0.064147495", "1e+16", "1000000000000000.0",
      "123456790.0", "1e-05",     "1e-04",       "1.5",         "100.0", "-0.0",
      "3.4e+38",     "1e-45",     "16777216.0",  "0.001"};
  check_texts(PLEAT_FLOAT, 16, f32, f32_text);
  const double f64[] = {0.1, 1e16, 1234567890123456.0, 5e-324, 1.0 / 3, 0.0001, -HUGE_VAL, HUGE_VAL};
  const char *const f64_text[] = {"0.1",  "1e+16", "1234567890123456.0", "5e-324", "0.3333333333333333", "0.0001",
                                  "-inf", "inf"};
  check_texts(PLEAT_DOUBLE, 8, f64, f64_text);
  const uint16_t f16[] = {0x2e66, 0x0001, 0x7bff, 0x6400};
  const char *const f16_text[] = {"0.1", "6e-08", "65500.0", "1024.0"};
  check_texts(PLEAT_FLOAT16, 4, f16, f16_text);
  const int64_t i64[] = {INT64_MIN, -1, INT64_MAX};
  const char *const i64_text[] = {"-9223372036854775808", "-1", "9223372036854775807"};
  check_texts(PLEAT_INT64, 3, i64, i64_text);
  const char *const u64_text[] = {"18446744073709551615"};
  check_texts(PLEAT_UINT64, 1, &(uint64_t){UINT64_MAX}, u64_text);
  const char *const bool_text[] = {"True", "False"};
  check_texts(PLEAT_BOOL, 2, (uint8_t[]){1, 0}, bool_text);
}
END_TEST

static pleat_status parse(const char *text, pleat_dtype dtype, double *out_value, pleat_error *error) {
  const pleat_string string = {text, strlen(text)};
  const int64_t one = 1;
  pleat_tensor *strings = NULL, *numbers = NULL;
  ck_assert_int_eq(pleat_tensor_create_strings(1, &one, &string, &strings, NULL), PLEAT_OK);
  pleat_status status = pleat_tensor_cast(strings, dtype, &numbers, error);
  ck_assert_int_eq(status == PLEAT_OK, numbers != NULL);
  if (status == PLEAT_OK) *out_value = pleat_load_f64(dtype, pleat_tensor_const_data(numbers), 0);
  pleat_tensor_release(numbers);
  pleat_tensor_release(strings);
  return status;
}

START_TEST(strings_that_are_numbers) {
  static const struct {
    const char *text;
    pleat_dtype dtype;
    double value;
  } cases[] = {{"3.14", PLEAT_DOUBLE, 3.14},     {"1e-5", PLEAT_DOUBLE, 1e-5},
               {"1E8", PLEAT_FLOAT, 1e8},        {"INF", PLEAT_FLOAT, HUGE_VAL},
               {"+inf", PLEAT_FLOAT, HUGE_VAL},  {"-Inf", PLEAT_FLOAT, -HUGE_VAL},
               {"100.5", PLEAT_INT32, 100},      {"-7", PLEAT_INT8, -7},
               {"+12", PLEAT_UINT8, 12},         {"1e3", PLEAT_INT64, 1000},
               {"true", PLEAT_BOOL, 1},          {"0", PLEAT_BOOL, 0},
               {".5", PLEAT_FLOAT16, 0.5},       {"1e999", PLEAT_DOUBLE, HUGE_VAL},
               {"448", PLEAT_FLOAT8E4M3FN, 448}, {"7", PLEAT_INT4, 7}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    double found = -1;
    ck_assert_int_eq(parse(cases[i].text, cases[i].dtype, &found, NULL), PLEAT_OK);
    ck_assert_msg(found == cases[i].value, "\"%s\" is %g", cases[i].text, found);
  }
  double nan = 0;
  ck_assert_int_eq(parse("NaN", PLEAT_FLOAT, &nan, NULL), PLEAT_OK);
  ck_assert(isnan(nan));
}
END_TEST

START_TEST(strings_that_are_none) {
  static const char *const texts[] = {"", "Hello World!", "0x10", "1.5x", " 1", "1 ", "e", "--1", "infinity", "1,5"};
  double ignored;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    ck_assert_msg(parse(texts[i], PLEAT_FLOAT, &ignored, NULL) == PLEAT_INVALID_ARGUMENT, "\"%s\"", texts[i]);
    ck_assert_msg(parse(texts[i], PLEAT_INT32, &ignored, NULL) == PLEAT_INVALID_ARGUMENT, "\"%s\"", texts[i]);
  }
  pleat_error error = PLEAT_ERROR_INIT;
  parse("Hello", PLEAT_FLOAT, &ignored, &error);
  ck_assert_str_eq(error.message,
                   "cannot cast element 0 to float: expected a decimal number, INF or NaN, found \"Hello\"");
  ck_assert_int_eq(parse("1", PLEAT_COMPLEX64, &ignored, NULL), PLEAT_UNSUPPORTED);
  char longer[4001];
  memset(longer, '1', 4000);
  longer[4000] = '\0';
  ck_assert_int_eq(parse(longer, PLEAT_FLOAT, &ignored, NULL), PLEAT_INVALID_ARGUMENT);
}
END_TEST

START_TEST(same_type_and_lists) {
  const float data[] = {1, 2};
  pleat_tensor *t = tensor_of(PLEAT_FLOAT, 2, data), *copy = NULL, *list = NULL;
  ck_assert_int_eq(pleat_tensor_cast(t, PLEAT_FLOAT, &copy, NULL), PLEAT_OK);
  ck_assert_ptr_ne(pleat_tensor_data(copy), pleat_tensor_data(t));
  ck_assert_mem_eq(pleat_tensor_data(copy), data, sizeof data);
  pleat_tensor_release(copy);
  ck_assert_int_eq(pleat_tensor_create_list(PLEAT_KIND_SEQUENCE, &t, 1, &list, NULL), PLEAT_OK);
  ck_assert_int_eq(pleat_tensor_cast(list, PLEAT_DOUBLE, &copy, NULL), PLEAT_INVALID_ARGUMENT);
  ck_assert_int_eq(pleat_tensor_cast(t, PLEAT_UNDEFINED, &copy, NULL), PLEAT_INVALID_ARGUMENT);
  ck_assert_ptr_null(copy);
  pleat_tensor_release(list);
  pleat_tensor_release(t);
}
END_TEST

/* A program may run in a locale that writes 1,5; the models do not. */
START_TEST(the_locale_does_not_matter) {
  static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "fr_FR.utf8", "C"};
  for (size_t i = 0; i < 5 && setlocale(LC_ALL, names[i]) == NULL; i++) continue;
  char before[64];
  strncpy(before, localeconv()->decimal_point, sizeof before - 1);
  before[sizeof before - 1] = '\0';
  const char *const text[] = {"1.5"};
  check_texts(PLEAT_FLOAT, 1, &(float){1.5f}, text);
  ck_assert_str_eq(localeconv()->decimal_point, before);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("core_cast");
  TCase *tests = tcase_create("cast");
  tcase_add_test(tests, numbers_print_as_in_numpy_and_read_back);
  tcase_add_test(tests, strings_that_are_numbers);
  tcase_add_test(tests, strings_that_are_none);
  tcase_add_test(tests, same_type_and_lists);
  tcase_add_test(tests, the_locale_does_not_matter);
  suite_add_tcase(suite, tests);
  return suite;
}

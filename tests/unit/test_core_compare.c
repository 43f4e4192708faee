/* The comparison of tensors: what passes, what does not, and what the figures say. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "core/tensor.h"
#include "pleat/compare.h"

static pleat_tensor *tensor_of(pleat_dtype dtype, int64_t rows, int64_t columns, const void *data) {
  pleat_tensor *t = NULL;
  const int64_t dims[] = {rows, columns};
  ck_assert_int_eq(pleat_tensor_create(dtype, 2, dims, &t, NULL), PLEAT_OK);
  if (data != NULL) memcpy(pleat_tensor_data(t), data, pleat_tensor_bytes(t));
  return t;
}

/* Compares two arrays as [rows, columns] tensors. */
static pleat_comparison compare(pleat_dtype dtype, int64_t rows, int64_t columns, const void *actual,
                                const void *expected, double rtol, double atol) {
  pleat_tensor *a = tensor_of(dtype, rows, columns, actual), *e = tensor_of(dtype, rows, columns, expected);
  pleat_comparison result;
  pleat_compare(a, e, (pleat_tolerance){.rtol = rtol, .atol = atol}, &result);
  ck_assert(result.comparable);
  ck_assert_int_eq(result.match, result.bad == 0);
  ck_assert_int_eq(result.match, result.reason[0] == '\0');
  ck_assert_int_eq(result.match, result.first_bad == UINT64_MAX);
  pleat_tensor_release(a);
  pleat_tensor_release(e);
  return result;
}

/* Float: eps * max(16 * 8, 2) = 1.526e-5 beside a value of 8. Integers do not round: no noise rule. */
START_TEST(noise_beside_large_values_is_good) {
  const int64_t dims[1] = {3};
  float expected[3] = {8, 1e-6f, 0}, actual[3] = {8, 1.1e-5f, -1.5e-5f};
  pleat_tensor *a = NULL, *e = NULL;
  pleat_comparison r;
  ck_assert_int_eq(pleat_tensor_wrap(PLEAT_FLOAT, 1, dims, actual, sizeof actual, NULL, NULL, &a, NULL), PLEAT_OK);
  ck_assert_int_eq(pleat_tensor_wrap(PLEAT_FLOAT, 1, dims, expected, sizeof expected, NULL, NULL, &e, NULL), PLEAT_OK);
  pleat_compare(a, e, (pleat_tolerance)PLEAT_TOLERANCE_INIT, &r);
  ck_assert(r.match);
  ck_assert_uint_eq(r.noisy, 2);
  pleat_compare(a, e, (pleat_tolerance){.rtol = 1e-3, .atol = 1e-7}, &r);
  ck_assert_uint_eq(r.bad, 2);
  actual[2] = -1.6e-5f;
  pleat_compare(a, e, (pleat_tolerance)PLEAT_TOLERANCE_INIT, &r);
  ck_assert_uint_eq(r.bad, 1);
  ck_assert_uint_eq(r.first_bad, 2);
  pleat_tensor_release(a);
  pleat_tensor_release(e);
}
END_TEST

START_TEST(tolerance_is_absolute_plus_relative) {
  const float expected[] = {100, -100, 0, 1};
  const float near[] = {100.5f, -99.5f, 0.25f, 1}, far[] = {100, -100, 0.375f, 2};
  pleat_comparison r = compare(PLEAT_FLOAT, 2, 2, near, expected, 0.0025, 0.25);
  ck_assert(r.match);
  ck_assert_uint_eq(r.count, 4);
  ck_assert_double_eq(r.max_abs, 0.5);
  ck_assert_uint_eq(r.max_abs_index, 0);
  ck_assert_double_eq(r.max_rel, 0.005);
  r = compare(PLEAT_FLOAT, 2, 2, far, expected, 0.0025, 0.25);
  ck_assert_uint_eq(r.bad, 2);
  ck_assert_uint_eq(r.first_bad, 2);
  ck_assert_double_eq(r.first_bad_actual, 0.375);
  ck_assert_double_eq(r.first_bad_expected, 0);
  ck_assert_str_eq(r.reason, "element [1,0] is 0.375, expected 0");
  ck_assert_double_eq(r.max_abs, 1);
  ck_assert_uint_eq(r.max_abs_index, 3);
}
END_TEST

START_TEST(special_values) {
  const double values[] = {NAN, HUGE_VAL, -HUGE_VAL, 0.0, -0.0, 0x1p-1074};
  pleat_comparison r = compare(PLEAT_DOUBLE, 1, 6, values, values, 0, 0);
  ck_assert(r.match);
  ck_assert(r.nan_actual == 1 && r.nan_expected == 1);
  ck_assert(compare(PLEAT_DOUBLE, 1, 1, &(double){-0.0}, &(double){0.0}, 0, 0).match);
  /* Every pair of different specials is bad, however wide the tolerance. */
  const double specials[] = {NAN, HUGE_VAL, -HUGE_VAL, 1};
  for (int a = 0; a < 4; a++) {
    for (int e = 0; e < 4; e++) {
      r = compare(PLEAT_DOUBLE, 1, 1, &specials[a], &specials[e], 1e300, 1e300);
      ck_assert_msg(r.match == (a == e), "%g against %g", specials[a], specials[e]);
      ck_assert(isfinite(r.max_abs) && isfinite(r.max_rel));
    }
  }
  ck_assert(!compare(PLEAT_DOUBLE, 1, 1, &(double){1}, &(double){1}, NAN, 0).match);
}
END_TEST

START_TEST(differences_in_later_blocks_are_found) {
  enum { COUNT = 1400 };
  static float a[COUNT], e[COUNT];
  for (int i = 0; i < COUNT; i++) a[i] = e[i] = (float)i;
  a[1303] = -1;
  pleat_comparison r = compare(PLEAT_FLOAT, 14, 100, a, e, 1e-3, 1e-7);
  ck_assert_uint_eq(r.bad, 1);
  ck_assert_uint_eq(r.first_bad, 1303);
  ck_assert_str_eq(r.reason, "element [13,3] is -1, expected 1303");
}
END_TEST

START_TEST(integers_beyond_53_bits) {
  const int64_t a[] = {(INT64_C(1) << 60) + 1, INT64_MIN, -5}, e[] = {INT64_C(1) << 60, INT64_MAX, -5};
  pleat_comparison r = compare(PLEAT_INT64, 1, 3, a, e, 0, 0);
  ck_assert_uint_eq(r.bad, 2);
  ck_assert_double_eq(r.max_abs, 0x1p64);
  ck_assert_uint_eq(r.max_abs_index, 1);
  const uint64_t ua[] = {UINT64_MAX, 0}, ue[] = {UINT64_MAX - 1, 1};
  r = compare(PLEAT_UINT64, 1, 2, ua, ue, 0, 1);
  ck_assert(r.match);
  ck_assert_double_eq(r.max_abs, 1);
  ck_assert_uint_eq(compare(PLEAT_UINT64, 1, 2, ua, ue, 0, 0.5).bad, 2);
  const int8_t small_a[] = {-128, 5}, small_e[] = {127, 5};
  ck_assert_double_eq(compare(PLEAT_INT8, 1, 2, small_a, small_e, 0, 0).max_abs, 255);
}
END_TEST

START_TEST(booleans_and_strings_must_be_equal) {
  const uint8_t a[] = {1, 0, 2}, e[] = {1, 1, 1};
  pleat_comparison r = compare(PLEAT_BOOL, 1, 3, a, e, 10, 10);
  ck_assert_uint_eq(r.bad, 1);
  ck_assert_uint_eq(r.first_bad, 1);
  const pleat_string sa[] = {{"cat", 3}, {NULL, 0}, {"", 0}}, se[] = {{"cat", 3}, {"dog", 3}, {NULL, 0}};
  r = compare(PLEAT_STRING, 3, 1, sa, se, 10, 10);
  ck_assert_uint_eq(r.bad, 1);
  ck_assert_str_eq(r.reason, "element [1,0] is \"\", expected \"dog\"");
}
END_TEST

START_TEST(complex_elements_count_once) {
  const float a[] = {1, 2, 3, 4, 9, 9}, e[] = {1, 2, 3, 5, 8, 8};
  pleat_comparison r = compare(PLEAT_COMPLEX64, 1, 3, a, e, 0, 0);
  ck_assert_uint_eq(r.count, 3);
  ck_assert_uint_eq(r.bad, 2);
  ck_assert_uint_eq(r.first_bad, 1);
  ck_assert_double_eq(r.first_bad_actual, 4);
}
END_TEST

static void check_incomparable(const pleat_tensor *a, const pleat_tensor *e, const char *reason) {
  pleat_comparison r;
  pleat_compare(a, e, (pleat_tolerance)PLEAT_TOLERANCE_INIT, &r);
  ck_assert(!r.match && !r.comparable);
  ck_assert_str_eq(r.reason, reason);
}

START_TEST(what_cannot_be_compared_says_why) {
  pleat_tensor *a = tensor_of(PLEAT_FLOAT, 2, 3, NULL), *b = tensor_of(PLEAT_FLOAT, 3, 2, NULL);
  pleat_tensor *c = tensor_of(PLEAT_DOUBLE, 2, 3, NULL), *list = NULL, *two = NULL;
  pleat_tensor *items[] = {a, a};
  pleat_tensor_create_list(PLEAT_KIND_SEQUENCE, items, 1, &list, NULL);
  pleat_tensor_create_list(PLEAT_KIND_SEQUENCE, items, 2, &two, NULL);
  pleat_tensor no_data = *a;
  no_data.data = NULL;
  check_incomparable(a, b, "not the same shape: expected float[3,2], found float[2,3]");
  check_incomparable(a, c, "not the same data type: expected double[2,3], found float[2,3]");
  check_incomparable(list, a, "not the same kind of value: expected float[2,3], found sequence of 1");
  check_incomparable(list, two, "not the same number of items: expected sequence of 2, found sequence of 1");
  check_incomparable(NULL, a, "nothing to compare: expected a value, found none");
  check_incomparable(&no_data, a, "a tensor has no data: expected float[2,3], found none");
  pleat_tensor_release(list);
  pleat_tensor_release(two);
  pleat_tensor_release(a);
  pleat_tensor_release(b);
  pleat_tensor_release(c);
}
END_TEST

START_TEST(lists_add_up) {
  const float first[] = {1, 2, 3}, second[] = {1, 2, 9};
  pleat_tensor *a = tensor_of(PLEAT_FLOAT, 1, 3, first), *b = tensor_of(PLEAT_FLOAT, 1, 3, second);
  pleat_tensor *same[] = {a, a}, *other[] = {a, b}, *actual = NULL, *expected = NULL, *empty = NULL;
  pleat_tensor_create_list(PLEAT_KIND_SEQUENCE, other, 2, &actual, NULL);
  pleat_tensor_create_list(PLEAT_KIND_SEQUENCE, same, 2, &expected, NULL);
  pleat_tensor_create_list(PLEAT_KIND_OPTIONAL, NULL, 0, &empty, NULL);
  pleat_comparison r;
  pleat_compare(actual, expected, (pleat_tolerance)PLEAT_TOLERANCE_INIT, &r);
  ck_assert(r.comparable && !r.match);
  ck_assert_uint_eq(r.count, 6);
  ck_assert_uint_eq(r.first_bad, 5);
  ck_assert_uint_eq(r.max_abs_index, 5);
  pleat_compare(actual, actual, (pleat_tolerance)PLEAT_TOLERANCE_INIT, &r);
  ck_assert(r.match);
  pleat_compare(empty, empty, (pleat_tolerance)PLEAT_TOLERANCE_INIT, &r);
  ck_assert(r.match && r.count == 0);
  pleat_tensor_release(empty);
  pleat_tensor_release(actual);
  pleat_tensor_release(expected);
  pleat_tensor_release(a);
  pleat_tensor_release(b);
}
END_TEST

START_TEST(empty_and_half_tensors) {
  pleat_comparison r = compare(PLEAT_FLOAT, 0, 3, NULL, NULL, 0, 0);
  ck_assert(r.match && r.count == 0);
  const uint16_t a[] = {0x3c00, 0x3c01}, e[] = {0x3c00, 0x3c00};
  r = compare(PLEAT_FLOAT16, 1, 2, a, e, 0, 0);
  ck_assert_uint_eq(r.bad, 1);
  ck_assert_double_eq(r.max_abs, 0x1p-10);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("core_compare");
  TCase *tests = tcase_create("compare");
  tcase_add_test(tests, tolerance_is_absolute_plus_relative);
  tcase_add_test(tests, noise_beside_large_values_is_good);
  tcase_add_test(tests, special_values);
  tcase_add_test(tests, differences_in_later_blocks_are_found);
  tcase_add_test(tests, integers_beyond_53_bits);
  tcase_add_test(tests, booleans_and_strings_must_be_equal);
  tcase_add_test(tests, complex_elements_count_once);
  tcase_add_test(tests, what_cannot_be_compared_says_why);
  tcase_add_test(tests, lists_add_up);
  tcase_add_test(tests, empty_and_half_tensors);
  suite_add_tcase(suite, tests);
  return suite;
}

/* pleat_ulp_distance, by counting neighbours, and what pleat_compare makes of it; pleat_tensor_make_up. */
#include <check.h>
#include <math.h>
#include <string.h>

#include "core/small_float.h"
#include "core/tensor.h"
#include "pleat/compare.h"

START_TEST(neighbours_of_float) {
  const float starts[] = {0.0f, 1e-45f, 1.17549421e-38f, 1.0f, 1.99999988f, 3.0e38f};
  for (size_t s = 0; s < sizeof starts / sizeof *starts; s++) {
    float at = starts[s];
    for (uint64_t steps = 0; steps < 5; steps++) {
      ck_assert_uint_eq(pleat_ulp_distance(PLEAT_FLOAT, (double)starts[s], (double)at), steps);
      ck_assert_uint_eq(pleat_ulp_distance(PLEAT_FLOAT, -(double)at, -(double)starts[s]), steps);
      at = nextafterf(at, INFINITY);
    }
  }
}
END_TEST

START_TEST(across_zero) {
  ck_assert_uint_eq(pleat_ulp_distance(PLEAT_FLOAT, -0.0, 0.0), 0);
  ck_assert_uint_eq(pleat_ulp_distance(PLEAT_FLOAT, 1e-45, -1e-45), 2);
  ck_assert_uint_eq(pleat_ulp_distance(PLEAT_DOUBLE, -5e-324, 5e-324), 2);
  ck_assert_uint_eq(pleat_ulp_distance(PLEAT_FLOAT16, -0x1p-24, 0x1p-23), 3);
}
END_TEST

START_TEST(other_types) {
  ck_assert_uint_eq(pleat_ulp_distance(PLEAT_DOUBLE, 1.0, nextafter(nextafter(1.0, 2), 2)), 2);
  ck_assert_uint_eq(pleat_ulp_distance(PLEAT_FLOAT16, 1.0, 1.0 + 0x1p-10), 1);
  ck_assert_uint_eq(pleat_ulp_distance(PLEAT_FLOAT16, 2.0, 1.0), 1024);
  ck_assert_uint_eq(pleat_ulp_distance(PLEAT_BFLOAT16, 1.0, 1.0 + 0x1p-7), 1);
  ck_assert_uint_eq(pleat_ulp_distance(PLEAT_BFLOAT16, 4.0, 1.0), 256);
  ck_assert_uint_eq(pleat_ulp_distance(PLEAT_INT32, 4.0, 1.0), 0);
  ck_assert_uint_eq(pleat_ulp_distance(PLEAT_FLOAT8E5M2, 4.0, 1.0), 0);
}
END_TEST

/* What is between two neighbours is rounded to one of them first. */
START_TEST(rounds_first) {
  ck_assert_uint_eq(pleat_ulp_distance(PLEAT_FLOAT, 1.0, 1.0 + 0x1p-25), 0);
  ck_assert_uint_eq(pleat_ulp_distance(PLEAT_FLOAT, 1.0, 1.0 + 0x1.8p-24), 1);
  ck_assert_uint_eq(pleat_ulp_distance(PLEAT_FLOAT16, 1.0, 1.0 + 0x1p-12), 0);
}
END_TEST

START_TEST(not_finite) {
  ck_assert_uint_eq(pleat_ulp_distance(PLEAT_FLOAT, (double)INFINITY, (double)INFINITY), 0);
  ck_assert_uint_eq(pleat_ulp_distance(PLEAT_FLOAT, 0x1.fffffep127, (double)INFINITY), 1);
  ck_assert_uint_eq(pleat_ulp_distance(PLEAT_FLOAT16, 65504, 1e6), 1);
  ck_assert_uint_eq(pleat_ulp_distance(PLEAT_FLOAT, (double)NAN, (double)NAN), 0);
  ck_assert_uint_eq(pleat_ulp_distance(PLEAT_FLOAT, (double)NAN, 1), UINT64_MAX);
}
END_TEST

START_TEST(in_a_comparison) {
  float a[4] = {1, 2, INFINITY, 0}, b[4] = {1, 2, INFINITY, 0};
  const int64_t dims[1] = {4};
  pleat_tensor *actual = NULL, *expected = NULL;
  pleat_comparison result;
  for (int i = 0; i < 7; i++) a[1] = nextafterf(a[1], 3);
  ck_assert_int_eq(pleat_tensor_wrap(PLEAT_FLOAT, 1, dims, a, sizeof a, NULL, NULL, &actual, NULL), PLEAT_OK);
  ck_assert_int_eq(pleat_tensor_wrap(PLEAT_FLOAT, 1, dims, b, sizeof b, NULL, NULL, &expected, NULL), PLEAT_OK);
  pleat_compare(actual, expected, (pleat_tolerance)PLEAT_TOLERANCE_INIT, &result);
  ck_assert_uint_eq(result.max_ulp, 7);
  b[0] = NAN; /* counted as NaN, not in steps */
  pleat_compare(actual, expected, (pleat_tolerance)PLEAT_TOLERANCE_INIT, &result);
  ck_assert_uint_eq(result.max_ulp, 7);
  pleat_tensor_release(actual);
  pleat_tensor_release(expected);
}
END_TEST

/* ---- made-up tensors ---- */

static pleat_tensor *make_up(pleat_fill_kind fill, uint64_t seed, const char *name, pleat_dtype dtype, int64_t count) {
  pleat_tensor *tensor = NULL;
  ck_assert_int_eq(pleat_tensor_make_up(fill, seed, name, dtype, 1, &count, &tensor, NULL), PLEAT_OK);
  ck_assert_uint_eq(tensor->count, (size_t)count);
  return tensor;
}

static bool same_data(pleat_tensor *a, pleat_tensor *b) {
  bool same = memcmp(a->data, b->data, pleat_bytes(a)) == 0;
  pleat_tensor_release(a);
  pleat_tensor_release(b);
  return same;
}

START_TEST(made_up_is_seeded) {
  ck_assert(same_data(make_up(PLEAT_FILL_RANDOM, 1, "x", PLEAT_FLOAT, 1000),
                      make_up(PLEAT_FILL_RANDOM, 1, "x", PLEAT_FLOAT, 1000)));
  ck_assert(!same_data(make_up(PLEAT_FILL_RANDOM, 1, "x", PLEAT_FLOAT, 1000),
                       make_up(PLEAT_FILL_RANDOM, 2, "x", PLEAT_FLOAT, 1000)));
  ck_assert(!same_data(make_up(PLEAT_FILL_RANDOM, 1, "x", PLEAT_FLOAT, 1000),
                       make_up(PLEAT_FILL_RANDOM, 1, "y", PLEAT_FLOAT, 1000)));
}
END_TEST

/* Every type: zeros and ones are that, random values lie in the type's range and are not all the same. */
START_TEST(made_up_of_every_type) {
  for (int dtype = 1; dtype < PLEAT_DTYPE_COUNT; dtype++) {
    if (dtype == PLEAT_STRING) continue;
    const bool is_int = pleat_dtype_is_int((pleat_dtype)dtype);
    pleat_tensor *zeros = make_up(PLEAT_FILL_ZEROS, 0, "x", (pleat_dtype)dtype, 600);
    pleat_tensor *ones = make_up(PLEAT_FILL_ONES, 0, "x", (pleat_dtype)dtype, 600);
    pleat_tensor *values = make_up(PLEAT_FILL_RANDOM, 0, "x", (pleat_dtype)dtype, 600);
    double low = (double)INFINITY, high = -(double)INFINITY;
    for (size_t i = 0; i < 600; i++) {
      double value = pleat_load_f64(values->dtype, values->data, i);
      low = fmin(low, value);
      high = fmax(high, value);
      if (dtype != PLEAT_FLOAT8E8M0) /* it has no zero */
        ck_assert_double_eq(pleat_load_f64(zeros->dtype, zeros->data, i), 0);
      if (dtype != PLEAT_INT2) /* wraps to -2..1 */
        ck_assert_double_eq(pleat_load_f64(ones->dtype, ones->data, i), 1);
    }
    ck_assert_msg(low >= 0 && high <= (is_int ? 9 : 1) && high > low, "%s: %g to %g",
                  pleat_dtype_name((pleat_dtype)dtype), low, high);
    pleat_tensor_release(zeros);
    pleat_tensor_release(ones);
    pleat_tensor_release(values);
  }
}
END_TEST

START_TEST(made_up_strings) {
  pleat_tensor *values = make_up(PLEAT_FILL_RANDOM, 0, "x", PLEAT_STRING, 50);
  const pleat_string *strings = values->data;
  for (size_t i = 0; i < 50; i++) {
    ck_assert_uint_eq(strings[i].size, 1);
    ck_assert(strings[i].data[0] >= '0' && strings[i].data[0] <= '9');
  }
  pleat_tensor_release(values);
}
END_TEST

START_TEST(made_up_of_bad_arguments) {
  const int64_t bad[1] = {-1};
  pleat_tensor *tensor = NULL;
  ck_assert_int_eq(pleat_tensor_make_up(PLEAT_FILL_RANDOM, 0, "x", PLEAT_FLOAT, 1, bad, &tensor, NULL),
                   PLEAT_INVALID_ARGUMENT);
  ck_assert_int_eq(pleat_tensor_make_up(PLEAT_FILL_RANDOM, 0, "x", PLEAT_STRING, 1, bad, &tensor, NULL),
                   PLEAT_INVALID_ARGUMENT);
  ck_assert_int_eq(pleat_tensor_make_up(PLEAT_FILL_RANDOM, 0, NULL, PLEAT_FLOAT, 0, NULL, &tensor, NULL),
                   PLEAT_INVALID_ARGUMENT);
  ck_assert_ptr_null(tensor);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("core_ulp");
  TCase *tcase = tcase_create("ulp");
  tcase_add_test(tcase, neighbours_of_float);
  tcase_add_test(tcase, across_zero);
  tcase_add_test(tcase, other_types);
  tcase_add_test(tcase, rounds_first);
  tcase_add_test(tcase, not_finite);
  tcase_add_test(tcase, in_a_comparison);
  suite_add_tcase(suite, tcase);
  tcase = tcase_create("made_up");
  tcase_add_test(tcase, made_up_is_seeded);
  tcase_add_test(tcase, made_up_of_every_type);
  tcase_add_test(tcase, made_up_strings);
  tcase_add_test(tcase, made_up_of_bad_arguments);
  suite_add_tcase(suite, tcase);
  return suite;
}

/* QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear: every layout of scales, the corners of rounding and
 * saturation, and what is rejected. */
#include "op_case.h"

#define TYPED(dtype, shape, ...) make_tensor((dtype), (shape), (const double[]){__VA_ARGS__})

START_TEST(rounds_to_even_and_saturates) {
  op_case c;
  case_begin(&c, "QuantizeLinear", 13);
  case_input(&c, FLOATS("8", 0.5, 1.5, 2.5, -0.5, -1.5, 1000, -1000, 254.4));
  case_input(&c, FLOATS("", 1));
  RUN_OK(&c); /* without a zero point: uint8 */
  CHECK_TENSOR(c.outputs[0], "uint8[8]", uint8_t, 0, 2, 2, 0, 0, 255, 0, 254);
  case_end(&c);
}
END_TEST

START_TEST(not_a_number_and_infinity) {
  op_case c;
  case_begin(&c, "QuantizeLinear", 13);
  case_input(&c, FLOATS("3", NAN, INFINITY, -INFINITY));
  case_input(&c, FLOATS("", 0.5));
  case_input(&c, TYPED(PLEAT_INT8, "", 3));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "int8[3]", int8_t, 0, 127, -128);
  case_end(&c);
}
END_TEST

START_TEST(scales_along_an_axis) {
  op_case c;
  case_begin(&c, "QuantizeLinear", 13);
  case_int(&c, "axis", -2);
  case_input(&c, FLOATS("1,2,3", 1, 2, 3, 1, 2, 3));
  case_input(&c, FLOATS("2", 1, 0.5));
  case_input(&c, TYPED(PLEAT_INT8, "2", 0, -10));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "int8[1,2,3]", int8_t, 1, 2, 3, -8, -6, -4);
  case_end(&c);
}
END_TEST

START_TEST(scales_of_blocks) { /* 5 in blocks of 2: three scales */
  op_case c;
  case_begin(&c, "DequantizeLinear", 21);
  case_int(&c, "axis", 1);
  case_int(&c, "block_size", 2);
  case_input(&c, TYPED(PLEAT_INT8, "2,5", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10));
  case_input(&c, FLOATS("2,3", 1, 2, 3, 10, 20, 30));
  case_input(&c, TYPED(PLEAT_INT8, "2,3", 0, 1, 2, 0, 0, 0));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[2,5]", float, 1, 2, 4, 6, 9, 60, 70, 160, 180, 300);
  case_end(&c);
}
END_TEST

START_TEST(output_type_from_the_attribute) {
  op_case c;
  case_begin(&c, "QuantizeLinear", 21);
  case_int(&c, "output_dtype", PLEAT_INT16);
  case_input(&c, FLOATS("2", 40000, -3));
  case_input(&c, FLOATS("", 1));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "int16[2]", int16_t, 32767, -3);
  case_end(&c);
}
END_TEST

START_TEST(four_bits) {
  op_case c;
  case_begin(&c, "QuantizeLinear", 21);
  case_input(&c, FLOATS("4", -100, -3, 6, 9));
  case_input(&c, FLOATS("", 1));
  case_input(&c, TYPED(PLEAT_INT4, "", 1));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "int4[4]", int8_t, -8, -2, 7, 7);
  case_end(&c);
}
END_TEST

/* The quotient is rounded to the scale's type before it is rounded to an integer: 2049 / 1 is 2048 in float16. */
START_TEST(precision_of_the_quotient) {
  op_case c;
  case_begin(&c, "QuantizeLinear", 23);
  case_int(&c, "precision", PLEAT_FLOAT16);
  case_input(&c, FLOATS("1", 2049));
  case_input(&c, FLOATS("", 1));
  case_input(&c, TYPED(PLEAT_INT16, "", 0));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "int16[1]", int16_t, 2048);
  case_end(&c);
}
END_TEST

START_TEST(dequantizes_to_the_scales_type) {
  op_case c;
  case_begin(&c, "DequantizeLinear", 19);
  case_input(&c, TYPED(PLEAT_UINT8, "2", 0, 255));
  case_input(&c, TYPED(PLEAT_FLOAT16, "", 0.5));
  case_input(&c, TYPED(PLEAT_UINT8, "", 128));
  RUN_OK(&c);
  ck_assert_int_eq(c.outputs[0]->dtype, PLEAT_FLOAT16);
  ck_assert_double_eq(pleat_load_f64(PLEAT_FLOAT16, c.outputs[0]->data, 0), -64);
  ck_assert_double_eq(pleat_load_f64(PLEAT_FLOAT16, c.outputs[0]->data, 1), 63.5);
  case_end(&c);
}
END_TEST

START_TEST(int32_of_a_bias) {
  op_case c;
  case_begin(&c, "DequantizeLinear", 10);
  case_input(&c, TYPED(PLEAT_INT32, "2", -1000000, 7));
  case_input(&c, FLOATS("", 0.25));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[2]", float, -250000, 1.75f);
  case_end(&c);
}
END_TEST

START_TEST(dynamic) { /* 0 belongs to the range */
  op_case c;
  case_begin(&c, "DynamicQuantizeLinear", 11);
  c.output_count = 3;
  case_input(&c, FLOATS("3", 51, 102, 255));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "uint8[3]", uint8_t, 51, 102, 255);
  CHECK_TENSOR(c.outputs[1], "float[]", float, 1);
  CHECK_TENSOR(c.outputs[2], "uint8[]", uint8_t, 0);
  case_end(&c);
}
END_TEST

START_TEST(dynamic_of_zeros) {
  op_case c;
  case_begin(&c, "DynamicQuantizeLinear", 11);
  c.output_count = 3;
  case_input(&c, FLOATS("2", 0, 0));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "uint8[2]", uint8_t, 0, 0);
  case_end(&c);
}
END_TEST

static void check_rejected(const char *scale, const char *zero, int64_t axis, int64_t block, const char *words) {
  op_case c;
  case_begin(&c, "DequantizeLinear", 21);
  case_int(&c, "axis", axis);
  case_int(&c, "block_size", block);
  case_input(&c, make_tensor(PLEAT_INT8, "2,3", NULL));
  case_input(&c, make_tensor(PLEAT_FLOAT, scale, NULL));
  if (zero != NULL) case_input(&c, make_tensor(PLEAT_INT8, zero, NULL));
  RUN_FAILS(&c, strstr(words, "axis 9") != NULL || block < 0 ? PLEAT_MALFORMED_MODEL : PLEAT_SHAPE_MISMATCH, words);
  case_end(&c);
}
START_TEST(layouts_that_do_not_fit) {
  check_rejected("4", NULL, 1, 0, "does not fit axis 1");
  check_rejected("2,3", NULL, 1, 0, "does not fit axis 1");
  check_rejected("3", NULL, 9, 0, "axis 9 is out of range");
  check_rejected("2,1", NULL, 1, 2, "does not fit axis 1");
  check_rejected("3", NULL, 1, -1, "block_size must not be negative");
  check_rejected("3", "2", 1, 0, "the zero point must have the scale's shape");
}
END_TEST

/* One scale for all has loops of its own for 8 bits: they give what a scale for each slice gives. */
START_TEST(one_scale_or_equal_ones) {
  const pleat_dtype types[] = {PLEAT_UINT8, PLEAT_INT8};
  const double odd[] = {NAN, INFINITY, -INFINITY, -0.0, 0.5, 1.5, -0.5, -2.5, 1e30, 254.5, 1e-40};
  enum { COLS = 37 };
  for (int k = 0; k < 6; k++) {
    const int s = k / 2;
    const pleat_dtype dtype = types[k % 2];
    const double zero = k % 2 == 0 ? 100 : -3;
    const double scale = s == 0 ? 1 : s == 1 ? 0.37 : -0.1;
    const int64_t dims[] = {2, COLS};
    double values[2 * COLS];
    uint64_t seed = 5;
    op_case one, each;
    for (int i = 0; i < 2 * COLS; i++) values[i] = (double)random_between(&seed, -5000, 5000) / 31;
    memcpy(values, odd, sizeof odd);
    case_begin(&one, "QuantizeLinear", 13);
    case_input(&one, make_values(PLEAT_FLOAT, 2, dims, values));
    case_input(&one, make_tensor(PLEAT_FLOAT, "", &scale));
    case_input(&one, make_tensor(dtype, "", &zero));
    RUN_OK(&one);
    case_begin(&each, "QuantizeLinear", 13);
    case_int(&each, "axis", 0);
    case_input(&each, make_values(PLEAT_FLOAT, 2, dims, values));
    case_input(&each, make_tensor(PLEAT_FLOAT, "2", (const double[]){scale, scale}));
    case_input(&each, make_tensor(dtype, "2", (const double[]){zero, zero}));
    RUN_OK(&each);
    for (size_t i = 0; i < 2 * COLS; i++) CHECK_NEAR(element(one.outputs[0], i), element(each.outputs[0], i), 0);
    case_end(&one);
    case_end(&each);
  }
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("ops_quantize_linear");
  add_tests(suite, "quantize_linear",
            (const TTest *const[]){rounds_to_even_and_saturates, not_a_number_and_infinity, scales_along_an_axis,
                                   scales_of_blocks, output_type_from_the_attribute, four_bits,
                                   precision_of_the_quotient, dequantizes_to_the_scales_type, int32_of_a_bias, dynamic,
                                   dynamic_of_zeros, one_scale_or_equal_ones, layouts_that_do_not_fit, NULL});
  return suite;
}

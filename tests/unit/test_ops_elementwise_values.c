/* The element-wise operators where the conformance vectors say nothing: NaN and infinities, defaults that changed
 * between opsets, Clip's bounds, Where and Cast of unusual types, inference with symbols. */
#include "op_case.h"

/* ---- floats ---- */

static void check_unary(const char *op, int opset, const float *x, const float *wanted, int64_t count) {
  op_case c = {.op = op, .opset = opset, .input_count = 1};
  c.inputs[0] = make_dims(PLEAT_FLOAT, 1, &count, x);
  expect_dims(RESULT(&c), PLEAT_FLOAT, 1, &count, wanted);
  pleat_tensor *wide = make_dims(PLEAT_DOUBLE, 1, &count, NULL), *want = make_dims(PLEAT_DOUBLE, 1, &count, NULL);
  pleat_convert(PLEAT_FLOAT, x, PLEAT_DOUBLE, wide->data, (size_t)count, NULL);
  pleat_convert(PLEAT_FLOAT, wanted, PLEAT_DOUBLE, want->data, (size_t)count, NULL);
  c.inputs[0] = wide;
  expect_dims(RESULT(&c), PLEAT_DOUBLE, 1, &count, want->data);
  pleat_tensor_release(want);
}

START_TEST(nan_and_infinity_in_unary_operators) {
  const float x[] = {NAN, -INFINITY, INFINITY};
  check_unary("Relu", 14, x, F32(NAN, 0, INFINITY), 3);
  check_unary("Sigmoid", 13, x, F32(NAN, 0, 1), 3);
  check_unary("Softplus", 1, x, F32(NAN, 0, INFINITY), 3);
  check_unary("Tanh", 13, x, F32(NAN, -1, 1), 3);
  check_unary("HardSigmoid", 6, x, F32(NAN, 0, 1), 3);
  check_unary("Elu", 6, x, F32(NAN, -1, INFINITY), 3);
  check_unary("ThresholdedRelu", 10, x, F32(NAN, 0, INFINITY), 3);
  check_unary("Clip", 13, x, x, 3);
  check_unary("Sign", 13, x, F32(NAN, -1, 1), 3);
  check_unary("Round", 11, F32(0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 2.4f), F32(0, 2, 2, 0, -2, 2), 6);
  check_unary("Softplus", 1, F32(200, -200), F32(200, (float)exp(-200)), 1);
}
END_TEST

START_TEST(nan_propagates_through_max_and_min) {
  for (int i = 0; i < 2; i++) {
    op_case c = {.op = i == 0 ? "Max" : "Min", .opset = 13, .input_count = 2};
    c.inputs[0] = make(PLEAT_FLOAT, "3", F32(NAN, 1, 2));
    c.inputs[1] = make(PLEAT_FLOAT, "3", F32(1, NAN, 3));
    expect(RESULT(&c), PLEAT_FLOAT, "3", i == 0 ? F32(NAN, NAN, 3) : F32(NAN, NAN, 2));
  }
}
END_TEST

START_TEST(comparisons_with_nan_are_false) {
  const char *const ops[] = {"Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"};
  for (int i = 0; i < 5; i++) {
    op_case c = {.op = ops[i], .opset = 16, .input_count = 2};
    c.inputs[0] = make(PLEAT_FLOAT, "2", F32(NAN, NAN));
    c.inputs[1] = make(PLEAT_FLOAT, "2", F32(NAN, 1));
    expect(RESULT(&c), PLEAT_BOOL, "2", VECTOR(uint8_t, 0, 0));
  }
}
END_TEST

START_TEST(clip_bounds) {
  const float x[] = {-1, 0.5f, 9, NAN};
  op_case old = {.op = "Clip", .opset = 6, .input_count = 1};
  case_float(&old, "min", 0);
  old.inputs[0] = make(PLEAT_FLOAT, "4", x);
  expect(RESULT(&old), PLEAT_FLOAT, "4", F32(0, 0.5f, 9, NAN));
  op_case crossed = {.op = "Clip", .opset = 13, .input_count = 3, .inplace = 1};
  crossed.inputs[0] = make(PLEAT_FLOAT, "4", x);
  crossed.inputs[1] = make(PLEAT_FLOAT, "", F32(5));
  crossed.inputs[2] = make(PLEAT_FLOAT, "", F32(2));
  expect(RESULT(&crossed), PLEAT_FLOAT, "4", F32(2, 2, 2, NAN));
  op_case only_max = {.op = "Clip", .opset = 13, .input_count = 3};
  only_max.inputs[0] = make(PLEAT_INT64, "3", VECTOR(int64_t, INT64_MIN, INT64_MAX, 3));
  only_max.inputs[2] = make(PLEAT_INT64, "", VECTOR(int64_t, INT64_MAX - 1));
  expect(RESULT(&only_max), PLEAT_INT64, "3", VECTOR(int64_t, INT64_MIN, INT64_MAX - 1, 3));
  op_case bad = {.op = "Clip", .opset = 13, .input_count = 2};
  bad.inputs[0] = make(PLEAT_FLOAT, "2", NULL);
  bad.inputs[1] = make(PLEAT_FLOAT, "2", NULL);
  RUN_FAILS(&bad, PLEAT_SHAPE_MISMATCH, "min must be a scalar");
}
END_TEST

START_TEST(selu_defaults_changed_in_opset_6) {
  check_unary("Selu", 6, F32(2), F32(2 * 1.05070102214813232421875f), 1);
  op_case c = {.op = "Selu", .opset = 5, .input_count = 1};
  c.inputs[0] = make(PLEAT_FLOAT, "2", F32(2, -200));
  expect(RESULT(&c), PLEAT_FLOAT, "2", F32(2 * 1.0507f, -1.6732f * 1.0507f));
}
END_TEST

START_TEST(integer_shrink_keeps_large_values) {
  op_case c = {.op = "Shrink", .opset = 9, .input_count = 1};
  case_float(&c, "lambd", 1.5f);
  case_float(&c, "bias", 1);
  c.inputs[0] = make(PLEAT_INT64, "4", VECTOR(int64_t, INT64_MAX, INT64_MIN + 9, 1, -2));
  expect(RESULT(&c), PLEAT_INT64, "4", VECTOR(int64_t, INT64_MAX - 1, INT64_MIN + 10, 0, -1));
  c.inputs[0] = make(PLEAT_UINT64, "2", VECTOR(uint64_t, UINT64_MAX, 2));
  expect(RESULT(&c), PLEAT_UINT64, "2", VECTOR(uint64_t, UINT64_MAX - 1, 1));
}
END_TEST

START_TEST(mod_of_floats_needs_fmod) {
  op_case c = {.op = "Mod", .opset = 13, .input_count = 2};
  c.inputs[0] = make(PLEAT_FLOAT, "1", NULL);
  c.inputs[1] = make(PLEAT_FLOAT, "1", NULL);
  RUN_FAILS(&c, PLEAT_MALFORMED_MODEL, "fmod=1");
}
END_TEST

START_TEST(float8_nan_and_infinity) {
  const uint8_t e5m2[] = {0x7c, 0xfc, 0x7d, 0x3c}; /* inf, -inf, NaN, 1 */
  op_case c = {.op = "IsInf", .opset = 20, .input_count = 1};
  case_int(&c, "detect_negative", 0);
  c.inputs[0] = make(PLEAT_FLOAT8E5M2, "4", e5m2);
  expect(RESULT(&c), PLEAT_BOOL, "4", VECTOR(uint8_t, 1, 0, 0, 0));
  op_case nan = {.op = "IsNaN", .opset = 20, .input_count = 1};
  nan.inputs[0] = make(PLEAT_FLOAT8E5M2, "4", e5m2);
  expect(RESULT(&nan), PLEAT_BOOL, "4", VECTOR(uint8_t, 0, 0, 1, 0));
}
END_TEST

/* ---- Where and Cast ---- */

START_TEST(where_of_strings_and_complex) {
  const pleat_string x[] = {{"yes", 3}}, y[] = {{"a", 1}, {"", 0}};
  op_case c = {.op = "Where", .opset = 16, .input_count = 3};
  c.inputs[0] = make(PLEAT_BOOL, "2,1", VECTOR(uint8_t, 1, 0));
  ck_assert_int_eq(pleat_tensor_create_strings(1, (const int64_t[]){1}, x, &c.inputs[1], NULL), PLEAT_OK);
  ck_assert_int_eq(pleat_tensor_create_strings(1, (const int64_t[]){2}, y, &c.inputs[2], NULL), PLEAT_OK);
  pleat_tensor *out = RESULT(&c);
  const pleat_string *got = out->data;
  const char *const wanted[] = {"yes", "yes", "a", ""};
  ck_assert_uint_eq(out->count, 4);
  for (int i = 0; i < 4; i++) {
    ck_assert_uint_eq(got[i].size, strlen(wanted[i]));
    ck_assert(got[i].size == 0 || memcmp(got[i].data, wanted[i], got[i].size) == 0);
  }
  pleat_tensor_release(out);
  op_case z = {.op = "Where", .opset = 9, .input_count = 3};
  z.inputs[0] = make(PLEAT_BOOL, "2", VECTOR(uint8_t, 0, 1));
  z.inputs[1] = make(PLEAT_COMPLEX128, "1", VECTOR(double, 1, 2));
  z.inputs[2] = make(PLEAT_COMPLEX128, "2", VECTOR(double, 3, 4, 5, 6));
  out = RESULT(&z);
  ck_assert(memcmp(out->data, VECTOR(double, 3, 4, 1, 2), 4 * sizeof(double)) == 0);
  pleat_tensor_release(out);
}
END_TEST

START_TEST(where_in_place_of_each_input) {
  for (int place = 2; place <= 3; place++) {
    op_case c = {.op = "Where", .opset = 16, .input_count = 3, .inplace = place};
    c.inputs[0] = make(PLEAT_BOOL, "3", VECTOR(uint8_t, 0, 2, 1)); /* anything but 0 is true */
    c.inputs[1] = make(PLEAT_INT16, "3", VECTOR(int16_t, 1, 2, 3));
    c.inputs[2] = make(PLEAT_INT16, "3", VECTOR(int16_t, 7, 8, 9));
    expect(RESULT(&c), PLEAT_INT16, "3", VECTOR(int16_t, 7, 2, 3));
  }
}
END_TEST

START_TEST(where_wants_a_bool_condition) {
  op_case c = {.op = "Where", .opset = 16, .input_count = 3};
  for (int i = 0; i < 3; i++) c.inputs[i] = make(PLEAT_FLOAT, "1", NULL);
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "must be a bool");
}
END_TEST

START_TEST(cast_names_its_type_before_opset_6) {
  op_case c = {.op = "Cast", .opset = 1, .input_count = 1};
  case_string(&c, "to", "INT32");
  c.inputs[0] = make(PLEAT_FLOAT, "3", F32(-1.9f, 2.5f, 3));
  expect(RESULT(&c), PLEAT_INT32, "3", VECTOR(int32_t, -1, 2, 3));
  c.inputs[0] = make(PLEAT_FLOAT, "1", NULL);
  c.attr_count = 0;
  case_string(&c, "to", "INT3");
  RUN_FAILS(&c, PLEAT_MALFORMED_MODEL, "does not name a data type");
  c.opset = 13;
  c.inputs[0] = make(PLEAT_FLOAT, "1", NULL);
  c.attr_count = 0;
  case_int(&c, "to", PLEAT_FLOAT8E5M2);
  RUN_FAILS(&c, PLEAT_MALFORMED_MODEL, "Cast-13 cannot cast to float8e5m2");
}
END_TEST

START_TEST(cast_in_place_and_large) {
  enum { COUNT = 100003 };
  const int64_t count = COUNT;
  pleat_tensor *in = make_dims(PLEAT_INT32, 1, &count, NULL);
  for (int32_t i = 0; i < COUNT; i++) ((int32_t *)in->data)[i] = i - 5;
  op_case c = {.op = "Cast", .opset = 13, .inputs = {in}, .input_count = 1, .threads = 2};
  case_int(&c, "to", PLEAT_INT64);
  pleat_tensor *out = RESULT(&c);
  for (int64_t i = 0; i < COUNT; i++) ck_assert_int_eq(((int64_t *)out->data)[i], i - 5);
  pleat_tensor_release(out);
  op_case same = {.op = "Cast", .opset = 13, .input_count = 1, .inplace = 1};
  case_int(&same, "to", PLEAT_FLOAT);
  for (; same.inplace >= 0; same.inplace--) {
    same.inputs[0] = make(PLEAT_FLOAT, "2", F32(1.5f, NAN));
    expect(RESULT(&same), PLEAT_FLOAT, "2", F32(1.5f, NAN));
  }
}
END_TEST

START_TEST(cast_like_takes_the_type_only) {
  op_case c = {.op = "CastLike", .opset = 15, .input_count = 2};
  c.inputs[0] = make(PLEAT_FLOAT, "2", F32(0, 2));
  c.inputs[1] = make(PLEAT_BOOL, "0", NULL);
  expect(RESULT(&c), PLEAT_BOOL, "2", VECTOR(uint8_t, 0, 1));
}
END_TEST

/* ---- inference with symbols ---- */

START_TEST(symbols_survive_broadcasting) {
  pleat_value slot = {.name = "y"};
  pleat_value *values[] = {&slot, &slot};
  pleat_node node = {.op_type = "Add", .domain = "", .input_count = 2, .output_count = 1};
  node.inputs = node.outputs = values;
  node.def = pleat_op_find("", "Add");
  node.version = pleat_op_version_at(node.def, 14);
  pleat_type inputs[2] = {{.present = true, .dtype = PLEAT_FLOAT, .shape = pleat_shape_of_rank(2)},
                          {.present = true, .dtype = PLEAT_UNDEFINED, .shape = pleat_shape_of(1, (int64_t[]){3})}};
  inputs[0].shape.dims[0] = (pleat_dim){.value = -1, .symbol = "batch"};
  inputs[0].shape.dims[1] = pleat_dim_known(1);
  pleat_type out;
  ck_assert_int_eq(pleat_node_infer(&node, inputs, &out, NULL), PLEAT_OK);
  ck_assert_int_eq(out.dtype, PLEAT_FLOAT);
  ck_assert_int_eq(out.shape.rank, 2);
  ck_assert_str_eq(out.shape.dims[0].symbol, "batch");
  ck_assert_int_eq(out.shape.dims[1].value, 3);
}
END_TEST

START_TEST(infer_ints_reads_known_values) {
  pleat_tensor *t = make(PLEAT_INT32, "3", VECTOR(int32_t, 4, -1, 2));
  const pleat_node node = {.op_type = "Test"};
  pleat_type types[] = {pleat_type_of_tensor(t), {.present = false}, {.present = true, .dtype = PLEAT_FLOAT}};
  const pleat_infer ctx = {.node = &node, .input_count = 3, .inputs = types};
  int64_t values[3];
  pleat_status status;
  ck_assert_int_eq(pleat_infer_ints(&ctx, 0, values, 3, &status), 3);
  ck_assert_int_eq(status, PLEAT_OK);
  ck_assert_int_eq(values[0], 4);
  ck_assert_int_eq(values[1], -1);
  ck_assert_int_eq(values[2], 2);
  ck_assert_int_eq(pleat_infer_ints(&ctx, 1, values, 3, &status), -1);
  ck_assert_int_eq(status, PLEAT_OK);
  ck_assert_int_eq(pleat_infer_ints(&ctx, 0, values, 2, &status), -1);
  ck_assert_int_eq(status, PLEAT_SHAPE_MISMATCH);
  ck_assert_int_eq(pleat_infer_ints(&ctx, 2, values, 3, &status), -1);
  ck_assert_int_eq(status, PLEAT_SHAPE_MISMATCH);
  pleat_tensor_release(t);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("ops_elementwise_values");
  add_tests(suite, "floats",
            (const TTest *const[]){nan_and_infinity_in_unary_operators, nan_propagates_through_max_and_min,
                                   comparisons_with_nan_are_false, clip_bounds, selu_defaults_changed_in_opset_6,
                                   integer_shrink_keeps_large_values, mod_of_floats_needs_fmod, float8_nan_and_infinity,
                                   NULL});
  add_tests(suite, "where and cast",
            (const TTest *const[]){where_of_strings_and_complex, where_in_place_of_each_input,
                                   where_wants_a_bool_condition, cast_names_its_type_before_opset_6,
                                   cast_in_place_and_large, cast_like_takes_the_type_only, NULL});
  add_tests(suite, "inference",
            (const TTest *const[]){symbols_survive_broadcasting, infer_ints_reads_known_values, NULL});
  return suite;
}

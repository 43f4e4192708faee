/* The element-wise operators where the conformance vectors say nothing: broadcasting of old opsets, arithmetic at the
 * edges of the integers, half types, in-place operands, empty and rank-0 tensors, large tensors on threads. */
#include "op_case.h"

/* ---- broadcasting ---- */

START_TEST(old_broadcast_puts_b_at_axis) {
  pleat_tensor *a = make(PLEAT_FLOAT, "2,3,2", F32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
  pleat_tensor *b = make(PLEAT_FLOAT, "3", F32(10, 20, 30));
  op_case c = {.op = "Add", .opset = 6, .inputs = {a, b}, .input_count = 2};
  case_int(&c, "broadcast", 1);
  case_int(&c, "axis", 1);
  expect(RESULT(&c), PLEAT_FLOAT, "2,3,2", F32(10, 11, 22, 23, 34, 35, 16, 17, 28, 29, 40, 41));
}
END_TEST

START_TEST(old_broadcast_without_axis_takes_the_last_dimensions) {
  pleat_tensor *a = make(PLEAT_FLOAT, "2,2", F32(1, 2, 3, 4));
  pleat_tensor *b = make(PLEAT_FLOAT, "2", F32(2, 3));
  op_case c = {.op = "Greater", .opset = 1, .inputs = {a, b}, .input_count = 2};
  case_int(&c, "broadcast", 1);
  expect(RESULT(&c), PLEAT_BOOL, "2,2", VECTOR(uint8_t, 0, 0, 1, 1));
}
END_TEST

START_TEST(old_broadcast_never_widens_a) {
  op_case c = {.op = "Mul", .opset = 6, .input_count = 2};
  c.inputs[0] = make(PLEAT_FLOAT, "2", NULL);
  c.inputs[1] = make(PLEAT_FLOAT, "2,2", NULL);
  case_int(&c, "broadcast", 1);
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "does not broadcast");
}
END_TEST

START_TEST(old_arithmetic_wants_equal_shapes) {
  op_case c = {.op = "Sub", .opset = 6, .input_count = 2};
  c.inputs[0] = make(PLEAT_FLOAT, "2,2", NULL);
  c.inputs[1] = make(PLEAT_FLOAT, "2", NULL);
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "[2] does not broadcast with [2,2]");
}
END_TEST

START_TEST(old_sum_wants_equal_shapes) {
  op_case c = {.op = "Sum", .opset = 6, .input_count = 2};
  c.inputs[0] = make(PLEAT_FLOAT, "2,2", NULL);
  c.inputs[1] = make(PLEAT_FLOAT, "2", NULL);
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "does not broadcast");
}
END_TEST

START_TEST(prelu_slope_is_per_channel_before_7_and_trailing_after) {
  const float x[] = {-1, -1, -1, -1, -1, -1, -1, -1};
  for (int opset = 6; opset <= 7; opset++) {
    op_case c = {.op = "PRelu", .opset = opset, .input_count = 2};
    c.inputs[0] = make(PLEAT_FLOAT, "2,2,2", x);
    c.inputs[1] = make(PLEAT_FLOAT, "2", F32(1, 2));
    const float *wanted = opset == 6 ? F32(-1, -1, -2, -2, -1, -1, -2, -2) : F32(-1, -2, -1, -2, -1, -2, -1, -2);
    expect(RESULT(&c), PLEAT_FLOAT, "2,2,2", wanted);
  }
}
END_TEST

/* Every pattern of repeated dimensions of two operands up to rank 4, against plain index arithmetic. */
START_TEST(every_broadcast_pattern) {
  const int64_t full[] = {2, 3, 4, 5};
  for (int pattern = 0; pattern < 256; pattern++) {
    int64_t dims[2][4], out[4];
    for (int d = 0; d < 4; d++) {
      dims[0][d] = (pattern >> d & 1) != 0 ? 1 : full[d];
      dims[1][d] = (pattern >> (4 + d) & 1) != 0 ? 1 : full[d];
      out[d] = dims[0][d] > dims[1][d] ? dims[0][d] : dims[1][d];
    }
    pleat_tensor *in[2], *wanted = make_dims(PLEAT_INT32, 4, out, NULL);
    for (int k = 0; k < 2; k++) {
      in[k] = make_dims(PLEAT_INT32, 4, dims[k], NULL);
      for (size_t i = 0; i < in[k]->count; i++) ((int32_t *)in[k]->data)[i] = (int32_t)(k == 0 ? 1000 * i : i);
    }
    for (size_t i = 0; i < wanted->count; i++) {
      int64_t rest = (int64_t)i, at[2] = {0, 0}, scale[2] = {1, 1};
      for (int d = 3; d >= 0; d--) {
        for (int k = 0; k < 2; k++) {
          at[k] += (dims[k][d] == 1 ? 0 : rest % out[d]) * scale[k];
          scale[k] *= dims[k][d];
        }
        rest /= out[d];
      }
      ((int32_t *)wanted->data)[i] = ((int32_t *)in[0]->data)[at[0]] - ((int32_t *)in[1]->data)[at[1]];
    }
    pleat_tensor *actual = RESULT(&(op_case){.op = "Sub", .opset = 14, .inputs = {in[0], in[1]}, .input_count = 2});
    expect_dims(actual, PLEAT_INT32, 4, out, wanted->data);
    pleat_tensor_release(wanted);
  }
}
END_TEST

START_TEST(in_place_with_either_operand_broadcast) {
  for (int place = 0; place < 2; place++) {
    op_case c = {.op = "Sub", .opset = 14, .input_count = 2, .inplace = 1 + place};
    c.inputs[place] = make(PLEAT_FLOAT, "2,3", F32(1, 2, 3, 4, 5, 6));
    c.inputs[1 - place] = make(PLEAT_FLOAT, "3", F32(1, 1, 2));
    const float *wanted = place == 0 ? F32(0, 1, 1, 3, 4, 4) : F32(0, -1, -1, -3, -4, -4);
    expect(RESULT(&c), PLEAT_FLOAT, "2,3", wanted);
  }
}
END_TEST

START_TEST(in_place_max_of_three) {
  for (int place = 1; place <= 2; place++) {
    op_case c = {.op = "Max", .opset = 13, .input_count = 3, .inplace = place};
    c.inputs[0] = make(PLEAT_INT64, "2,2", VECTOR(int64_t, 1, 9, 3, 4));
    c.inputs[1] = make(PLEAT_INT64, "2,2", VECTOR(int64_t, 5, 2, 1, 0));
    c.inputs[2] = make(PLEAT_INT64, "2", VECTOR(int64_t, 2, 6));
    expect(RESULT(&c), PLEAT_INT64, "2,2", VECTOR(int64_t, 5, 9, 3, 6));
  }
}
END_TEST

/* More than the threshold, with a shape whose rows the threads' pieces cut through; in place, so that an element that
 * two pieces work on comes out wrong. */
START_TEST(threads_agree_with_one) {
  const int64_t dims[] = {7, 301, 61}, row[] = {301, 1};
  for (int threads = 1; threads <= 5; threads++) {
    pleat_tensor *a = make_dims(PLEAT_FLOAT, 3, dims, NULL), *b = make_dims(PLEAT_FLOAT, 2, row, NULL);
    for (size_t i = 0; i < a->count; i++) ((float *)a->data)[i] = (float)(i % 1009) * 0.25f + 1;
    for (size_t i = 0; i < b->count; i++) ((float *)b->data)[i] = (float)i - 100.5f;
    pleat_tensor *out = RESULT(
        &(op_case){.op = "Mul", .opset = 14, .inputs = {a, b}, .input_count = 2, .threads = threads, .inplace = 1});
    for (size_t i = 0; i < out->count; i++) {
      const float wanted = ((float)(i % 1009) * 0.25f + 1) * ((float)(i / 61 % 301) - 100.5f);
      ck_assert_float_eq(((float *)out->data)[i], wanted);
    }
    pleat_tensor_release(out);
  }
}
END_TEST

START_TEST(empty_and_rank_0) {
  op_case c = {.op = "Add", .opset = 14, .input_count = 2};
  c.inputs[0] = make(PLEAT_FLOAT, "0,3", NULL);
  c.inputs[1] = make(PLEAT_FLOAT, "3", F32(1, 2, 3));
  expect(RESULT(&c), PLEAT_FLOAT, "0,3", NULL);
  c.inputs[0] = make(PLEAT_FLOAT, "", F32(2));
  c.inputs[1] = make(PLEAT_FLOAT, "", F32(3));
  expect(RESULT(&c), PLEAT_FLOAT, "", F32(5));
  for (int i = 0; i < 3; i++) {
    const char *const ops[] = {"Max", "Sum", "Mean"};
    op_case one = {.op = ops[i], .opset = 13, .input_count = 1};
    one.inputs[0] = make(PLEAT_FLOAT, "0", NULL);
    expect(RESULT(&one), PLEAT_FLOAT, "0", NULL);
  }
  op_case unary = {.op = "Relu", .opset = 14, .input_count = 1};
  unary.inputs[0] = make(PLEAT_FLOAT16, "2,0", NULL);
  expect(RESULT(&unary), PLEAT_FLOAT16, "2,0", NULL);
}
END_TEST

/* ---- types ---- */

START_TEST(add_of_every_type) {
  const pleat_dtype types[] = {PLEAT_FLOAT, PLEAT_DOUBLE, PLEAT_FLOAT16, PLEAT_BFLOAT16, PLEAT_INT8,   PLEAT_INT16,
                               PLEAT_INT32, PLEAT_INT64,  PLEAT_UINT8,   PLEAT_UINT16,   PLEAT_UINT32, PLEAT_UINT64};
  for (size_t k = 0; k < sizeof types / sizeof types[0]; k++) {
    pleat_tensor *a = make(types[k], "5,7", NULL), *b = make(types[k], "7", NULL);
    for (size_t i = 0; i < 35; i++) pleat_store_f64(types[k], a->data, i, (double)i);
    for (size_t i = 0; i < 7; i++) pleat_store_f64(types[k], b->data, i, (double)(3 * i));
    pleat_tensor *out = RESULT(&(op_case){.op = "Add", .opset = 14, .inputs = {a, b}, .input_count = 2});
    ck_assert_int_eq(out->dtype, types[k]);
    for (size_t i = 0; i < 35; i++) {
      ck_assert_double_eq(pleat_load_f64(types[k], out->data, i), (double)(i + 3 * (i % 7)));
    }
    pleat_tensor_release(out);
  }
}
END_TEST

START_TEST(types_must_agree) {
  op_case c = {.op = "Add", .opset = 14, .input_count = 2};
  c.inputs[0] = make(PLEAT_FLOAT, "1", NULL);
  c.inputs[1] = make(PLEAT_INT64, "1", NULL);
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "input 0 is float, input 1 is int64");
  c.opset = 6;
  c.inputs[0] = make(PLEAT_INT8, "1", NULL);
  c.inputs[1] = make(PLEAT_INT8, "1", NULL);
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "Add-6 does not take int8");
}
END_TEST

START_TEST(halves_are_rounded_once) {
  /* 1 + 2^-11 + 2^-11: in float16 steps, each addition would be rounded away. */
  op_case c = {.op = "Sum", .opset = 13, .input_count = 3};
  const uint16_t one = pleat_f32_to_f16(1.0f), small = pleat_f32_to_f16(0x1p-11f),
                 wanted = pleat_f32_to_f16(1 + 0x1p-10f);
  c.inputs[0] = make(PLEAT_FLOAT16, "1", &one);
  c.inputs[1] = make(PLEAT_FLOAT16, "1", &small);
  c.inputs[2] = make(PLEAT_FLOAT16, "1", &small);
  expect(RESULT(&c), PLEAT_FLOAT16, "1", &wanted);
  op_case relu = {.op = "Relu", .opset = 13, .input_count = 1, .inplace = 1};
  const uint16_t pair[] = {pleat_f32_to_bf16(-2), pleat_f32_to_bf16(1.5f)}, cut[] = {0, pair[1]};
  relu.inputs[0] = make(PLEAT_BFLOAT16, "2", pair);
  expect(RESULT(&relu), PLEAT_BFLOAT16, "2", cut);
}
END_TEST

/* ---- integers ---- */

static void check_int8(const char *op, int64_t fmod_attr, int8_t a, int8_t b, int8_t wanted) {
  op_case c = {.op = op, .opset = 14, .input_count = 2};
  if (fmod_attr >= 0) case_int(&c, "fmod", fmod_attr);
  c.inputs[0] = make(PLEAT_INT8, "1", &a);
  c.inputs[1] = make(PLEAT_INT8, "1", &b);
  expect(RESULT(&c), PLEAT_INT8, "1", &wanted);
}

START_TEST(integer_edges) {
  check_int8("Div", -1, 7, 0, 0);
  check_int8("Div", -1, INT8_MIN, -1, INT8_MIN);
  check_int8("Div", -1, -7, 2, -3);
  check_int8("Add", -1, 127, 1, -128);
  check_int8("Sub", -1, -128, 1, 127);
  check_int8("Mul", -1, 100, 3, 44);
  check_int8("Mod", 0, 7, 0, 0);
  check_int8("Mod", 0, INT8_MIN, -1, 0);
  check_int8("Mod", 0, -7, 3, 2);
  check_int8("Mod", 0, 7, -3, -2);
  check_int8("Mod", 1, -7, 3, -1);
  check_int8("Mod", 1, 7, 0, 0);
}
END_TEST

START_TEST(wide_integer_edges) {
  const int64_t a[] = {INT64_MIN, INT64_MAX, INT64_MIN, 5};
  const struct {
    const char *op;
    int64_t b[4], wanted[4];
  } cases[] = {{"Div", {-1, 0, 2, -2}, {INT64_MIN, 0, INT64_MIN / 2, -2}},
               {"Add", {-1, 1, 0, 1}, {INT64_MAX, INT64_MIN, INT64_MIN, 6}},
               {"Mul", {2, 2, -1, 3}, {0, -2, INT64_MIN, 15}},
               {"Mod", {-1, 0, 7, 3}, {0, 0, 6, 2}},
               {"Pow", {1, 2, 2, 3}, {INT64_MIN, 1, 0, 125}}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    op_case c = {.op = cases[i].op, .opset = 15, .input_count = 2};
    c.inputs[0] = make(PLEAT_INT64, "4", a);
    c.inputs[1] = make(PLEAT_INT64, "4", cases[i].b);
    expect(RESULT(&c), PLEAT_INT64, "4", cases[i].wanted);
  }
  const char *const ops[] = {"Neg", "Abs"};
  for (int i = 0; i < 2; i++) {
    op_case c = {.op = ops[i], .opset = 13, .input_count = 1};
    c.inputs[0] = make(PLEAT_INT32, "2", VECTOR(int32_t, INT32_MIN, -3));
    expect(RESULT(&c), PLEAT_INT32, "2", VECTOR(int32_t, INT32_MIN, 3));
  }
}
END_TEST

START_TEST(shifts_of_the_width_give_0) {
  for (int left = 0; left < 2; left++) {
    op_case c = {.op = "BitShift", .opset = 11, .input_count = 2};
    case_string(&c, "direction", left != 0 ? "LEFT" : "RIGHT");
    c.inputs[0] = make(PLEAT_UINT64, "3", VECTOR(uint64_t, 3, 3, UINT64_MAX));
    c.inputs[1] = make(PLEAT_UINT64, "3", VECTOR(uint64_t, 1, 64, 63));
    const uint64_t *wanted = left != 0 ? VECTOR(uint64_t, 6, 0, (uint64_t)1 << 63) : VECTOR(uint64_t, 1, 0, 1);
    expect(RESULT(&c), PLEAT_UINT64, "3", wanted);
  }
}
END_TEST

START_TEST(pow_of_mixed_types) {
  op_case c = {.op = "Pow", .opset = 15, .input_count = 2};
  c.inputs[0] = make(PLEAT_INT32, "6", VECTOR(int32_t, 2, -1, 0, 1, 3, -1));
  c.inputs[1] = make(PLEAT_INT8, "6", VECTOR(int8_t, -1, -3, -1, -9, 4, -2));
  expect(RESULT(&c), PLEAT_INT32, "6", VECTOR(int32_t, 0, -1, 0, 1, 81, 1));
  c.inputs[0] = make(PLEAT_INT32, "4", VECTOR(int32_t, 10, -4, 2, 4));
  c.inputs[1] = make(PLEAT_FLOAT, "4", F32(20, 0.5f, -1, 0.5f)); /* saturates, NaN, truncates, exact */
  expect(RESULT(&c), PLEAT_INT32, "4", VECTOR(int32_t, INT32_MAX, 0, 0, 2));
  c.inputs[0] = make(PLEAT_FLOAT, "2,2", F32(2, 3, 4, 5));
  c.inputs[1] = make(PLEAT_UINT64, "2,1", VECTOR(uint64_t, 3, 2));
  expect(RESULT(&c), PLEAT_FLOAT, "2,2", F32(8, 27, 16, 25));
  c.inputs[0] = make(PLEAT_INT64, "1", VECTOR(int64_t, 3));
  c.inputs[1] = make(PLEAT_UINT64, "1", VECTOR(uint64_t, UINT64_MAX));         /* not -1 */
  expect(RESULT(&c), PLEAT_INT64, "1", VECTOR(int64_t, -6148914691236517205)); /* the inverse of 3 modulo 2^64 */
  op_case half = {.op = "Pow", .opset = 15, .input_count = 2};
  const uint16_t three = pleat_f32_to_f16(3), nine = pleat_f32_to_f16(9);
  half.inputs[0] = make(PLEAT_FLOAT16, "1", &three);
  half.inputs[1] = make(PLEAT_INT64, "", VECTOR(int64_t, 2));
  expect(RESULT(&half), PLEAT_FLOAT16, "1", &nine);
}
END_TEST

START_TEST(pow_mixed_over_several_blocks) {
  enum { COUNT = 1000 };
  op_case c = {.op = "Pow", .opset = 15, .input_count = 2};
  c.inputs[0] = make_dims(PLEAT_INT64, 1, (const int64_t[]){COUNT}, NULL);
  c.inputs[1] = make_dims(PLEAT_INT32, 1, (const int64_t[]){COUNT}, NULL);
  for (int i = 0; i < COUNT; i++) {
    ((int64_t *)c.inputs[0]->data)[i] = i;
    ((int32_t *)c.inputs[1]->data)[i] = i % 3;
  }
  pleat_tensor *out = RESULT(&c);
  for (int64_t i = 0; i < COUNT; i++) {
    ck_assert_int_eq(((int64_t *)out->data)[i], i % 3 == 0 ? 1 : i % 3 == 1 ? i : i * i);
  }
  pleat_tensor_release(out);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("ops_elementwise");
  add_tests(suite, "broadcast",
            (const TTest *const[]){old_broadcast_puts_b_at_axis, old_broadcast_without_axis_takes_the_last_dimensions,
                                   old_broadcast_never_widens_a, old_arithmetic_wants_equal_shapes,
                                   old_sum_wants_equal_shapes, prelu_slope_is_per_channel_before_7_and_trailing_after,
                                   every_broadcast_pattern, in_place_with_either_operand_broadcast,
                                   in_place_max_of_three, threads_agree_with_one, empty_and_rank_0, NULL});
  add_tests(suite, "types", (const TTest *const[]){add_of_every_type, types_must_agree, halves_are_rounded_once, NULL});
  add_tests(suite, "integers",
            (const TTest *const[]){integer_edges, wide_integer_edges, shifts_of_the_width_give_0, pow_of_mixed_types,
                                   pow_mixed_over_several_blocks, NULL});
  return suite;
}

/* Operators that index by data (Gather, Scatter, OneHot, NonZero ...): bad indices, all reductions and types, empty
 * tensors, extreme shifts. */
#include "op_case.h"

static void gather_fails(const char *op, pleat_tensor *data, pleat_tensor *indices, pleat_status status,
                         const char *part) {
  op_case c;
  case_begin(&c, op, 13);
  case_input(&c, data);
  case_input(&c, indices);
  RUN_FAILS(&c, status, part);
}

/* ---- Gather family ---- */

START_TEST(gather_forms) {
  op_case c;
  case_begin(&c, "Gather", 1);
  case_int(&c, "axis", 1);
  case_input(&c, FLOATS("2,3", 1, 2, 3, 4, 5, 6));
  case_input(&c, make(PLEAT_INT32, "1,2", (const int32_t[]){-1, 0}));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[2,1,2]", float, 3, 1, 6, 4);
  case_end(&c);

  const pleat_string text[] = {STRING_OF("a"), STRING_OF("bc")};
  case_begin(&c, "Gather", 13);
  case_input(&c, make(PLEAT_STRING, "2", text));
  case_input(&c, INT64S("", 1));
  RUN_OK(&c);
  CHECK_TEXT(c.outputs[0], "string[]");
  ck_assert_int_eq(memcmp(((const pleat_string *)c.outputs[0]->data)->data, "bc", 2), 0);
  case_end(&c);

  case_begin(&c, "Gather", 13); /* nothing is taken from nothing */
  case_input(&c, make(PLEAT_FLOAT, "0,2", NULL));
  case_input(&c, make(PLEAT_INT64, "0", NULL));
  RUN_OK(&c);
  CHECK_TEXT(c.outputs[0], "float[0,2]");
  case_end(&c);
}
END_TEST

START_TEST(gather_refuses) {
  gather_fails("Gather", FLOATS("2", 1, 2), INT64S("1", 2), PLEAT_INVALID_ARGUMENT,
               "index 2 is out of range: expected -2 to 1");
  gather_fails("Gather", FLOATS("2", 1, 2), INT64S("1", INT64_MIN), PLEAT_INVALID_ARGUMENT, "out of range");
  gather_fails("Gather", make(PLEAT_FLOAT, "0", NULL), INT64S("1", 0), PLEAT_INVALID_ARGUMENT, "empty");
  gather_fails("Gather", FLOATS("", 1), INT64S("1", 0), PLEAT_SHAPE_MISMATCH, "scalar");
  gather_fails("Gather", FLOATS("1", 1), FLOATS("1", 0), PLEAT_SHAPE_MISMATCH, "int64 or int32");
  gather_fails("GatherElements", FLOATS("2", 1, 2), INT64S("1", -3), PLEAT_INVALID_ARGUMENT, "index -3");
  gather_fails("GatherElements", FLOATS("1,2", 1, 2), INT64S("2", 0, 0), PLEAT_SHAPE_MISMATCH, "dimensions");
  gather_fails("GatherElements", FLOATS("1,2", 1, 2), INT64S("1,3", 0, 0, 0), PLEAT_SHAPE_MISMATCH, "at most 2");
  gather_fails("GatherND", FLOATS("2,2", 1, 2, 3, 4), INT64S("1,2", 0, 2), PLEAT_INVALID_ARGUMENT, "index 2");
  gather_fails("GatherND", FLOATS("2,2", 1, 2, 3, 4), INT64S("1,3", 0, 0, 0), PLEAT_SHAPE_MISMATCH, "1 to 2");
  gather_fails("GatherND", FLOATS("2", 1, 2), INT64S("", 0), PLEAT_SHAPE_MISMATCH, "at least one");
}
END_TEST

START_TEST(gather_elements_forms) {
  op_case c;
  case_begin(&c, "GatherElements", 11); /* indices may be smaller than data off the axis, larger along it */
  case_int(&c, "axis", 0);
  case_input(&c, FLOATS("2,3", 1, 2, 3, 4, 5, 6));
  case_input(&c, INT64S("3,2", 0, -1, 1, 0, -2, 1));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[3,2]", float, 1, 5, 4, 2, 1, 5);
  case_end(&c);

  case_begin(&c, "GatherElements", 13);
  case_int(&c, "axis", -1);
  case_input(&c, make(PLEAT_COMPLEX128, "1,2", (const double[]){1, 2, 3, 4}));
  case_input(&c, INT64S("1,1", 1));
  RUN_OK(&c);
  ck_assert_double_eq(((const double *)c.outputs[0]->data)[0], 3);
  ck_assert_double_eq(((const double *)c.outputs[0]->data)[1], 4);
  case_end(&c);
}
END_TEST

START_TEST(gather_nd_forms) {
  op_case c;
  case_begin(&c, "GatherND", 12);
  case_int(&c, "batch_dims", 1);
  case_input(&c, FLOATS("2,2,2", 0, 1, 2, 3, 4, 5, 6, 7));
  case_input(&c, INT64S("2,1", 1, -2));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[2,2]", float, 2, 3, 4, 5);
  case_end(&c);

  case_begin(&c, "GatherND", 13);
  case_int(&c, "batch_dims", 1);
  case_input(&c, FLOATS("1", 0));
  case_input(&c, INT64S("1,1", 0));
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "batch_dims 1");

  case_begin(&c, "GatherND", 13);
  case_input(&c, FLOATS("2", 1, 2));
  case_input(&c, make(PLEAT_INT64, "0,1", NULL));
  RUN_OK(&c);
  CHECK_TEXT(c.outputs[0], "float[0]");
  case_end(&c);
}
END_TEST

/* ---- Scatter family ---- */

/* Adds, multiplies... 3 elements of updates into the same element, which holds `start`. */
static void scatter_begin(op_case *c, pleat_dtype dtype, const char *how, const void *start, const void *updates) {
  case_begin(c, "ScatterElements", 18);
  case_string(c, "reduction", how);
  case_input(c, make(dtype, "1", start));
  case_input(c, INT64S("3", 0, -1, 0));
  case_input(c, make(dtype, "3", updates));
}
#define SCATTER(dtype, T, how, start, a, b, d, text, want)                                                             \
  do {                                                                                                                 \
    op_case c_;                                                                                                        \
    scatter_begin(&c_, dtype, how, (const T[]){start}, (const T[]){a, b, d});                                          \
    RUN_OK(&c_);                                                                                                       \
    CHECK_TENSOR(c_.outputs[0], text, T, want);                                                                        \
    case_end(&c_);                                                                                                     \
  } while (0)

START_TEST(scatter_reductions) {
  SCATTER(PLEAT_FLOAT, float, "none", 9, 1, 2, 3, "float[1]", 3);
  SCATTER(PLEAT_FLOAT, float, "add", 1, 2, 3, 4, "float[1]", 10);
  SCATTER(PLEAT_DOUBLE, double, "mul", 2, 3, 4, 0.5, "double[1]", 12);
  SCATTER(PLEAT_FLOAT, float, "max", 1, 5, -1, 2, "float[1]", 5);
  SCATTER(PLEAT_FLOAT, float, "min", 1, 5, -1, 2, "float[1]", -1);
  SCATTER(PLEAT_UINT8, uint8_t, "add", 250, 1, 2, 10, "uint8[1]", 7);
  SCATTER(PLEAT_INT16, int16_t, "mul", 300, 300, 300, 1, "int16[1]", -832);
  SCATTER(PLEAT_INT64, int64_t, "add", INT64_MAX, 1, 0, 0, "int64[1]", INT64_MIN);
  SCATTER(PLEAT_INT8, int8_t, "min", 3, -7, 1, 2, "int8[1]", -7);
  SCATTER(PLEAT_BOOL, uint8_t, "add", 0, 1, 1, 0, "bool[1]", 1);
  SCATTER(PLEAT_BOOL, uint8_t, "mul", 1, 1, 0, 1, "bool[1]", 0);
  SCATTER(PLEAT_FLOAT16, uint16_t, "add", 0x3c00, 0x3c00, 0x4000, 0, "float16[1]", 0x4400);
  SCATTER(PLEAT_BFLOAT16, uint16_t, "max", 0x3f80, 0x4000, 0x3f80, 0, "bfloat16[1]", 0x4000);
  SCATTER(PLEAT_INT4, int8_t, "none", 1, -8, 2, 7, "int4[1]", 7);

  op_case c;
  scatter_begin(&c, PLEAT_FLOAT, "max", (const float[]){1}, (const float[]){2, (float)(0.0 / 0.0), 3});
  RUN_OK(&c);
  ck_assert_float_nan(((const float *)c.outputs[0]->data)[0]); /* a NaN stays */
  case_end(&c);
}
END_TEST

START_TEST(scatter_refuses) {
  op_case c;
  const pleat_string text[] = {STRING_OF("a"), STRING_OF("b"), STRING_OF("c")};
  scatter_begin(&c, PLEAT_STRING, "add", text, text);
  RUN_FAILS(&c, PLEAT_UNSUPPORTED, "not done for string");
  scatter_begin(&c, PLEAT_FLOAT, "sum", NULL, NULL);
  RUN_FAILS(&c, PLEAT_MALFORMED_MODEL, "'sum'");

  case_begin(&c, "ScatterElements", 11);
  case_input(&c, FLOATS("2", 1, 2));
  case_input(&c, INT64S("2", 0, 2));
  case_input(&c, FLOATS("2", 5, 6));
  RUN_FAILS(&c, PLEAT_INVALID_ARGUMENT, "index 2 is out of range: expected -2 to 1");

  case_begin(&c, "ScatterElements", 11);
  case_input(&c, FLOATS("2", 1, 2));
  case_input(&c, INT64S("2", 0, 1));
  case_input(&c, FLOATS("1", 5));
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "indices of shape [2], but updates of [1]");

  case_begin(&c, "ScatterND", 11);
  case_input(&c, FLOATS("2,2", 1, 2, 3, 4));
  case_input(&c, INT64S("1,1", 0));
  case_input(&c, FLOATS("1", 5));
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "expected shape [1,2], found [1]");

  case_begin(&c, "ScatterND", 11);
  case_input(&c, FLOATS("2,2", 1, 2, 3, 4));
  case_input(&c, INT64S("2,1", 0, -3));
  case_input(&c, FLOATS("2,2", 5, 6, 7, 8));
  RUN_FAILS(&c, PLEAT_INVALID_ARGUMENT, "index -3");
}
END_TEST

START_TEST(scatter_forms) {
  op_case c;
  const pleat_string data[] = {STRING_OF("a"), STRING_OF("b")}, update[] = {STRING_OF("new")};
  case_begin(&c, "Scatter", 9);
  case_input(&c, make(PLEAT_STRING, "2", data));
  case_input(&c, make(PLEAT_INT32, "1", (const int32_t[]){-1}));
  case_input(&c, make(PLEAT_STRING, "1", update));
  RUN_OK(&c);
  ck_assert_uint_eq(((const pleat_string *)c.outputs[0]->data)[0].size, 1);
  ck_assert_int_eq(memcmp(((const pleat_string *)c.outputs[0]->data)[1].data, "new", 3), 0);
  case_end(&c);

  case_begin(&c, "ScatterND", 18);
  case_string(&c, "reduction", "add");
  case_input(&c, FLOATS("2,2", 1, 2, 3, 4));
  case_input(&c, INT64S("2,1", -1, 1));
  case_input(&c, FLOATS("2,2", 10, 20, 100, 200));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[2,2]", float, 1, 2, 113, 224);
  case_end(&c);

  case_begin(&c, "ScatterND", 13); /* no updates */
  case_input(&c, FLOATS("2", 1, 2));
  case_input(&c, make(PLEAT_INT64, "0,1", NULL));
  case_input(&c, make(PLEAT_FLOAT, "0", NULL));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[2]", float, 1, 2);
  case_end(&c);
}
END_TEST

START_TEST(scatter_in_place) {
  op_case c;
  case_begin(&c, "ScatterND", 13);
  case_input(&c, FLOATS("3", 1, 2, 3));
  case_input(&c, INT64S("2,1", 2, 7));
  case_input(&c, FLOATS("2", 8, 9));
  case_build(&c);
  pleat_tensor *out[1] = {c.inputs[0]};
  pleat_call call = {.node = &c.node,
                     .version = c.node.version,
                     .input_count = 3,
                     .output_count = 1,
                     .inputs = (const pleat_tensor *const *)c.inputs,
                     .outputs = out,
                     .threads = 1,
                     .error = &c.error};
  const pleat_kernel *kernel = c.node.def->kernels[0];
  ck_assert_uint_eq(kernel->inplace & 1, 1);
  ck_assert_int_eq(kernel->run(&call), PLEAT_INVALID_ARGUMENT);
  CHECK_TENSOR(c.inputs[0], "float[3]", float, 1, 2, 3); /* a refused call changes nothing */
  ((int64_t *)c.inputs[1]->data)[1] = 0;
  ck_assert_int_eq(kernel->run(&call), PLEAT_OK);
  CHECK_TENSOR(c.inputs[0], "float[3]", float, 9, 2, 8);
  case_end(&c);
}
END_TEST

/* ---- OneHot, NonZero, Compress ---- */

START_TEST(one_hot_forms) {
  op_case c;
  case_begin(&c, "OneHot", 11);
  case_int(&c, "axis", 0);
  case_input(&c, FLOATS("4", 0, -1, 3, -4)); /* 3 and -4 are no classes */
  case_input(&c, FLOATS("1", 3));
  case_input(&c, make(PLEAT_INT8, "2", (const int8_t[]){-1, 7}));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "int8[3,4]", int8_t, 7, -1, -1, -1, -1, -1, -1, -1, -1, 7, -1, -1);
  case_end(&c);

  case_begin(&c, "OneHot", 11);
  case_input(&c, INT64S("1", 0));
  case_input(&c, INT64S("", -1));
  case_input(&c, FLOATS("2", 0, 1));
  RUN_FAILS(&c, PLEAT_INVALID_ARGUMENT, "depth");

  case_begin(&c, "OneHot", 11);
  case_input(&c, INT64S("1", 0));
  case_input(&c, INT64S("", 0));
  case_input(&c, FLOATS("2", 0, 1));
  RUN_OK(&c);
  CHECK_TEXT(c.outputs[0], "float[1,0]");
  case_end(&c);

  case_begin(&c, "OneHot", 11);
  case_input(&c, INT64S("1", 0));
  case_input(&c, INT64S("", 2));
  case_input(&c, FLOATS("3", 0, 1, 2));
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "two elements");
}
END_TEST

START_TEST(nonzero_forms) {
  op_case c;
  case_begin(&c, "NonZero", 9); /* -0 is zero, NaN is not */
  case_input(&c, FLOATS("2,2", -0.0f, (float)(0.0 / 0.0), 1e-40f, 0));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "int64[2,2]", int64_t, 0, 1, 1, 0);
  case_end(&c);

  case_begin(&c, "NonZero", 13); /* a scalar has no coordinates */
  case_input(&c, FLOATS("", 1));
  RUN_OK(&c);
  CHECK_TEXT(c.outputs[0], "int64[0,1]");
  case_end(&c);

  case_begin(&c, "NonZero", 13);
  case_input(&c, make(PLEAT_COMPLEX64, "2", (const float[]){0, 1, 0, 0}));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "int64[1,1]", int64_t, 0);
  case_end(&c);

  pleat_type input = {.present = true, .dtype = PLEAT_FLOAT, .shape = pleat_shape_of_rank(3)}, out;
  case_begin(&c, "NonZero", 13);
  ck_assert_int_eq(case_infer(&c, &input, 1, &out), PLEAT_OK);
  CHECK_SHAPE(&out, "[3,?]");
}
END_TEST

START_TEST(compress_forms) {
  op_case c;
  case_begin(&c, "Compress", 9); /* flattened; the condition is short */
  case_input(&c, FLOATS("2,2", 1, 2, 3, 4));
  case_input(&c, make(PLEAT_BOOL, "3", (const uint8_t[]){0, 1, 1}));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[2]", float, 2, 3);
  case_end(&c);

  case_begin(&c, "Compress", 11);
  case_int(&c, "axis", -2);
  case_input(&c, FLOATS("2,2", 1, 2, 3, 4));
  case_input(&c, make(PLEAT_BOOL, "3", (const uint8_t[]){0, 1, 1}));
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "3 values for a dimension of 2");

  case_begin(&c, "Compress", 11);
  case_input(&c, FLOATS("2", 1, 2));
  case_input(&c, INT64S("2", 0, 1));
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "bool");
}
END_TEST

/* ---- CumSum, Trilu, EyeLike, ReverseSequence ---- */

START_TEST(cumsum_forms) {
  op_case c;
  case_begin(&c, "CumSum", 14);
  case_int(&c, "exclusive", 1);
  case_int(&c, "reverse", 1);
  case_input(&c, make(PLEAT_INT64, "2,3", (const int64_t[]){1, 2, 3, 4, 5, 6}));
  case_input(&c, make(PLEAT_INT32, "", (const int32_t[]){-1}));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "int64[2,3]", int64_t, 5, 3, 0, 11, 6, 0);
  case_end(&c);

  case_begin(&c, "CumSum", 14);
  case_input(&c, make(PLEAT_FLOAT16, "3", (const uint16_t[]){0x3c00, 0x3c00, 0x4000}));
  case_input(&c, INT64S("", 0));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float16[3]", uint16_t, 0x3c00, 0x4000, 0x4400);
  case_end(&c);

  case_begin(&c, "CumSum", 11);
  case_input(&c, make(PLEAT_INT32, "2", (const int32_t[]){INT32_MAX, 1}));
  case_input(&c, INT64S("", 0));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "int32[2]", int32_t, INT32_MAX, INT32_MIN);
  case_end(&c);

  case_begin(&c, "CumSum", 11);
  case_input(&c, FLOATS("2", 1, 2));
  case_input(&c, INT64S("", 1));
  RUN_FAILS(&c, PLEAT_INVALID_ARGUMENT, "axis 1 is out of range");
}
END_TEST

START_TEST(trilu_extremes) {
  static const struct {
    int upper;
    int64_t k;
    float want[6];
  } cases[] = {{1, 0, {1, 2, 3, 0, 5, 6}}, {1, INT64_MIN, {1, 2, 3, 4, 5, 6}}, {1, INT64_MAX, {0, 0, 0, 0, 0, 0}},
               {0, 0, {1, 0, 0, 4, 5, 0}}, {0, INT64_MAX, {1, 2, 3, 4, 5, 6}}, {0, INT64_MIN, {0, 0, 0, 0, 0, 0}},
               {0, -1, {0, 0, 0, 4, 0, 0}}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    op_case c;
    case_begin(&c, "Trilu", 14);
    case_int(&c, "upper", cases[i].upper);
    case_input(&c, FLOATS("2,3", 1, 2, 3, 4, 5, 6));
    case_input(&c, INT64S("", cases[i].k));
    RUN_OK(&c);
    ck_assert_mem_eq(c.outputs[0]->data, cases[i].want, sizeof cases[i].want);
    case_end(&c);
  }
  op_case c;
  case_begin(&c, "Trilu", 14);
  case_input(&c, FLOATS("2", 1, 2));
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "matrices");
}
END_TEST

START_TEST(eye_like_forms) {
  op_case c;
  case_begin(&c, "EyeLike", 9);
  case_int(&c, "dtype", PLEAT_FLOAT16);
  case_int(&c, "k", 1);
  case_input(&c, make(PLEAT_INT32, "2,3", NULL));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float16[2,3]", uint16_t, 0, 0x3c00, 0, 0, 0, 0x3c00);
  case_end(&c);

  case_begin(&c, "EyeLike", 9);
  case_int(&c, "k", INT64_MIN);
  case_input(&c, make(PLEAT_BOOL, "1,1", NULL));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "bool[1,1]", uint8_t, 0);
  case_end(&c);

  case_begin(&c, "EyeLike", 9);
  case_int(&c, "dtype", 1000);
  case_input(&c, make(PLEAT_FLOAT, "1,1", NULL));
  RUN_FAILS(&c, PLEAT_MALFORMED_MODEL, "dtype 1000");
}
END_TEST

START_TEST(reverse_sequence_forms) {
  op_case c;
  case_begin(&c, "ReverseSequence", 10);
  case_int(&c, "time_axis", 1);
  case_int(&c, "batch_axis", 0);
  case_input(&c, FLOATS("2,3", 1, 2, 3, 4, 5, 6));
  case_input(&c, INTS(0, 3));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[2,3]", float, 1, 2, 3, 6, 5, 4);
  case_end(&c);

  case_begin(&c, "ReverseSequence", 10);
  case_input(&c, FLOATS("2,1", 1, 2));
  case_input(&c, INTS(3));
  RUN_FAILS(&c, PLEAT_INVALID_ARGUMENT, "expected 0 to 2");

  case_begin(&c, "ReverseSequence", 10);
  case_input(&c, FLOATS("2,1", 1, 2));
  case_input(&c, INTS(1, 1));
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "expected 1 values");

  case_begin(&c, "ReverseSequence", 10);
  case_int(&c, "time_axis", 1);
  case_input(&c, FLOATS("1,1", 1));
  case_input(&c, INTS(1));
  RUN_FAILS(&c, PLEAT_MALFORMED_MODEL, "batch_axis 1");
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("ops_indexing");
  TCase *tests = tcase_create("indexing");
  tcase_add_test(tests, gather_forms);
  tcase_add_test(tests, gather_refuses);
  tcase_add_test(tests, gather_elements_forms);
  tcase_add_test(tests, gather_nd_forms);
  tcase_add_test(tests, scatter_reductions);
  tcase_add_test(tests, scatter_refuses);
  tcase_add_test(tests, scatter_forms);
  tcase_add_test(tests, scatter_in_place);
  tcase_add_test(tests, one_hot_forms);
  tcase_add_test(tests, nonzero_forms);
  tcase_add_test(tests, compress_forms);
  tcase_add_test(tests, cumsum_forms);
  tcase_add_test(tests, trilu_extremes);
  tcase_add_test(tests, eye_like_forms);
  tcase_add_test(tests, reverse_sequence_forms);
  suite_add_tcase(suite, tests);
  return suite;
}

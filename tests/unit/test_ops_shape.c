/* Reshape and its relatives, Expand, Shape, Constant, Range, Identity and Dropout: old opset forms, symbolic inference,
 * refusals and the random numbers of Dropout. */
#include "op_case.h"

static pleat_type typed(pleat_dtype dtype, pleat_shape shape) {
  return (pleat_type){.present = true, .dtype = dtype, .shape = shape};
}
static pleat_shape shape_nchw(void) { /* [N,3,4,?] */
  pleat_shape shape = pleat_shape_of(4, (const int64_t[]){-1, 3, 4, -1});
  shape.dims[0].symbol = "N";
  return shape;
}

/* ---- Reshape ---- */

static void reshape_ok(int allow_zero, const char *from, pleat_tensor *want, const char *to) {
  op_case c;
  case_begin(&c, "Reshape", 14);
  if (allow_zero) case_int(&c, "allowzero", 1);
  case_input(&c, make(PLEAT_FLOAT, from, NULL));
  case_input(&c, want);
  RUN_OK(&c);
  CHECK_TEXT(c.outputs[0], to);
  case_end(&c);
}
static void reshape_fails(int allow_zero, const char *from, pleat_tensor *want, pleat_status status, const char *part) {
  op_case c;
  case_begin(&c, "Reshape", 14);
  if (allow_zero) case_int(&c, "allowzero", 1);
  case_input(&c, make(PLEAT_FLOAT, from, NULL));
  case_input(&c, want);
  RUN_FAILS(&c, status, part);
}

START_TEST(reshape_values) {
  reshape_ok(0, "2,3,4", INTS(0, -1), "float[2,12]");
  reshape_ok(0, "2,3,4", INTS(4, 0, -1), "float[4,3,2]");
  reshape_ok(0, "0,3", INTS(0, -1), "float[0,3]");
  reshape_ok(0, "0,3", INTS(0, 5), "float[0,5]");
  reshape_ok(1, "0,3", INTS(7, 0), "float[7,0]");
  reshape_ok(0, "1,1", make(PLEAT_INT64, "0", NULL), "float[]");
  reshape_ok(0, "", INTS(-1, 1), "float[1,1]");
  reshape_fails(0, "2,3", INTS(4, -1), PLEAT_SHAPE_MISMATCH, "[2,3] cannot become [4,?]");
  reshape_fails(0, "2,3", INTS(5), PLEAT_SHAPE_MISMATCH, "cannot become [5]");
  reshape_fails(0, "2,3", INTS(-1, -1), PLEAT_INVALID_ARGUMENT, "more than one");
  reshape_fails(0, "2,3", INTS(-2, 3), PLEAT_INVALID_ARGUMENT, "negative");
  reshape_fails(0, "2,3", INTS(2, 3, 0), PLEAT_SHAPE_MISMATCH, "only 2 dimensions");
  reshape_fails(1, "2,0", INTS(0, -1), PLEAT_INVALID_ARGUMENT, "allowzero");
  reshape_fails(0, "2,3", INTS(INT64_MAX, INT64_MAX), PLEAT_SHAPE_MISMATCH, "overflow");
  reshape_fails(0, "2", INTS(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2), PLEAT_SHAPE_MISMATCH, "at most 16");
}
END_TEST

START_TEST(reshape_opset1) {
  op_case c;
  case_begin(&c, "Reshape", 1);
  CASE_INTS(&c, "shape", -1, 2);
  case_input(&c, FLOATS("4", 1, 2, 3, 4));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[2,2]", float, 1, 2, 3, 4);
  case_end(&c);
}
END_TEST

START_TEST(reshape_symbols) {
  op_case c;
  pleat_tensor *want = INTS(0, -1);
  pleat_type inputs[2] = {typed(PLEAT_FLOAT, shape_nchw()), pleat_type_of_tensor(want)}, out;
  case_begin(&c, "Reshape", 13);
  ck_assert_int_eq(case_infer(&c, inputs, 2, &out), PLEAT_OK);
  CHECK_SHAPE(&out, "[N,?]");
  inputs[0].shape.dims[3] = pleat_dim_known(2); /* what 0 copies cancels out */
  ck_assert_int_eq(case_infer(&c, inputs, 2, &out), PLEAT_OK);
  CHECK_SHAPE(&out, "[N,24]");
  ((int64_t *)want->data)[0] = 24; /* the free dimension is the batch */
  ck_assert_int_eq(case_infer(&c, inputs, 2, &out), PLEAT_OK);
  CHECK_SHAPE(&out, "[24,N]");
  inputs[1].data = NULL; /* only its length is known */
  ck_assert_int_eq(case_infer(&c, inputs, 2, &out), PLEAT_OK);
  CHECK_SHAPE(&out, "[?,?]");
  inputs[1].shape = pleat_shape_of_rank(1);
  ck_assert_int_eq(case_infer(&c, inputs, 2, &out), PLEAT_OK);
  CHECK_SHAPE(&out, "?");
  pleat_tensor_release(want);
}
END_TEST

/* ---- Flatten, Squeeze, Unsqueeze ---- */

START_TEST(flatten_forms) {
  static const struct {
    int64_t axis;
    const char *shape;
  } cases[] = {{0, "float[1,24]"}, {1, "float[2,12]"}, {3, "float[24,1]"}, {-1, "float[6,4]"}, {-3, "float[1,24]"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    op_case c;
    case_begin(&c, "Flatten", 13);
    case_int(&c, "axis", cases[i].axis);
    case_input(&c, make(PLEAT_FLOAT, "2,3,4", NULL));
    RUN_OK(&c);
    CHECK_TEXT(c.outputs[0], cases[i].shape);
    case_end(&c);
  }
  op_case c;
  case_begin(&c, "Flatten", 13);
  case_int(&c, "axis", 4);
  case_input(&c, make(PLEAT_FLOAT, "2,3,4", NULL));
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "expected -3 to 3");
}
END_TEST

START_TEST(squeeze_forms) {
  op_case c;
  case_begin(&c, "Squeeze", 1);
  CASE_INTS(&c, "axes", 0);
  case_input(&c, FLOATS("1,1,2", 1, 2));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[1,2]", float, 1, 2);
  case_end(&c);

  case_begin(&c, "Squeeze", 13);
  case_input(&c, FLOATS("1,1,2", 1, 2));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[2]", float, 1, 2);
  case_end(&c);

  case_begin(&c, "Squeeze", 13);
  case_input(&c, FLOATS("1,2", 1, 2));
  case_input(&c, INTS(-1));
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "dimension 1 is 2");

  case_begin(&c, "Squeeze", 13);
  case_input(&c, FLOATS("1,1", 1));
  case_input(&c, INTS(0, -2));
  RUN_FAILS(&c, PLEAT_MALFORMED_MODEL, "named twice");

  pleat_type inputs[2] = {typed(PLEAT_FLOAT, shape_nchw()), typed(PLEAT_INT64, pleat_shape_of(1, (int64_t[]){1}))}, out;
  case_begin(&c, "Squeeze", 13);
  ck_assert_int_eq(case_infer(&c, inputs, 2, &out), PLEAT_OK);
  CHECK_SHAPE(&out, "[?,?,?]");
  ck_assert_int_eq(case_infer(&c, inputs, 1, &out), PLEAT_OK);
  CHECK_SHAPE(&out, "?");
}
END_TEST

START_TEST(unsqueeze_forms) {
  op_case c;
  case_begin(&c, "Unsqueeze", 11);
  CASE_INTS(&c, "axes", -1, 0);
  case_input(&c, FLOATS("2", 1, 2));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[1,2,1]", float, 1, 2);
  case_end(&c);

  case_begin(&c, "Unsqueeze", 1);
  case_input(&c, FLOATS("2", 1, 2));
  RUN_FAILS(&c, PLEAT_MALFORMED_MODEL, "'axes' is missing");

  case_begin(&c, "Unsqueeze", 13);
  case_input(&c, FLOATS("", 1));
  case_input(&c, INTS(0, 0));
  RUN_FAILS(&c, PLEAT_MALFORMED_MODEL, "named twice");

  case_begin(&c, "Unsqueeze", 13);
  case_input(&c, FLOATS("1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1", 1));
  case_input(&c, INTS(0));
  RUN_FAILS(&c, PLEAT_UNSUPPORTED, "17 dimensions");

  pleat_tensor *axes = INTS(1);
  pleat_type inputs[2] = {typed(PLEAT_FLOAT, shape_nchw()), pleat_type_of_tensor(axes)}, out;
  case_begin(&c, "Unsqueeze", 13);
  ck_assert_int_eq(case_infer(&c, inputs, 2, &out), PLEAT_OK);
  CHECK_SHAPE(&out, "[N,1,3,4,?]");
  pleat_tensor_release(axes);
}
END_TEST

/* ---- Expand ---- */

START_TEST(expand_forms) {
  op_case c;
  case_begin(&c, "Expand", 8);
  case_input(&c, FLOATS("3,1", 1, 2, 3));
  case_input(&c, INTS(2, 1, 2));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[2,3,2]", float, 1, 1, 2, 2, 3, 3, 1, 1, 2, 2, 3, 3);
  case_end(&c);

  case_begin(&c, "Expand", 13);
  case_input(&c, FLOATS("1", 1));
  case_input(&c, INTS(2, 0));
  RUN_OK(&c);
  CHECK_TEXT(c.outputs[0], "float[2,0]");
  case_end(&c);

  case_begin(&c, "Expand", 13);
  case_input(&c, FLOATS("3", 1, 2, 3));
  case_input(&c, INTS(2));
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "cannot be expanded");

  case_begin(&c, "Expand", 13);
  case_input(&c, FLOATS("1", 1));
  case_input(&c, INTS(-1));
  RUN_FAILS(&c, PLEAT_INVALID_ARGUMENT, "negative");
}
END_TEST

/* ---- symbolic inference of the movers ---- */

START_TEST(movers_keep_symbols) {
  op_case c;
  pleat_tensor *zero = INTS(0), *one = INTS(1), *end = INTS(INT64_MAX), *two = INTS(2), *pads = INTS(0, 1, 0, 1);
  pleat_type image = typed(PLEAT_FLOAT, shape_nchw()), out[2];
  pleat_type axes_type = pleat_type_of_tensor(zero);

  case_begin(&c, "Slice", 13); /* all of an unknown dimension */
  pleat_type slice[4] = {image, pleat_type_of_tensor(zero), pleat_type_of_tensor(end), axes_type};
  ck_assert_int_eq(case_infer(&c, slice, 4, out), PLEAT_OK);
  CHECK_SHAPE(&out[0], "[N,3,4,?]");
  slice[2] = pleat_type_of_tensor(two);
  ck_assert_int_eq(case_infer(&c, slice, 4, out), PLEAT_OK);
  CHECK_SHAPE(&out[0], "[?,3,4,?]");
  slice[1].data = slice[2].data = NULL; /* bounds computed while running: only the sliced axis is open */
  slice[3] = pleat_type_of_tensor(one);
  ck_assert_int_eq(case_infer(&c, slice, 4, out), PLEAT_OK);
  CHECK_SHAPE(&out[0], "[N,?,4,?]");

  case_begin(&c, "Pad", 18);
  pleat_type pad[4] = {image, pleat_type_of_tensor(pads), {0}, {0}};
  pleat_tensor *axes = INTS(0, 2);
  pad[3] = pleat_type_of_tensor(axes);
  ck_assert_int_eq(case_infer(&c, pad, 4, out), PLEAT_OK);
  CHECK_SHAPE(&out[0], "[N,3,6,?]");
  pad[1].data = NULL;
  ck_assert_int_eq(case_infer(&c, pad, 4, out), PLEAT_OK);
  CHECK_SHAPE(&out[0], "[?,?,?,?]");

  case_begin(&c, "Split", 18);
  case_int(&c, "axis", 0);
  c.output_count = 2;
  ck_assert_int_eq(case_infer(&c, &image, 1, out), PLEAT_OK);
  CHECK_SHAPE(&out[1], "[?,3,4,?]");

  case_begin(&c, "Concat", 13);
  case_int(&c, "axis", 1);
  pleat_type concat[2] = {image, image};
  concat[1].shape.dims[3] = pleat_dim_known(7);
  ck_assert_int_eq(case_infer(&c, concat, 2, out), PLEAT_OK);
  CHECK_SHAPE(&out[0], "[N,6,4,7]");

  case_begin(&c, "Expand", 13);
  pleat_type expand[2] = {image, typed(PLEAT_INT64, pleat_shape_of(1, (int64_t[]){5}))};
  ck_assert_int_eq(case_infer(&c, expand, 2, out), PLEAT_OK);
  CHECK_SHAPE(&out[0], "[?,?,3,4,?]");

  case_begin(&c, "Transpose", 13);
  CASE_INTS(&c, "perm", 1, 2, 3, 0);
  ck_assert_int_eq(case_infer(&c, &image, 1, out), PLEAT_OK);
  CHECK_SHAPE(&out[0], "[3,4,?,N]");

  pleat_tensor *all[] = {zero, one, end, two, pads, axes};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) pleat_tensor_release(all[i]);
}
END_TEST

START_TEST(lists_are_refused) {
  static const char *const ops[] = {"Concat", "Reshape", "Transpose", "Shape", "Slice", "Gather", "NonZero", "Trilu"};
  for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
    op_case c;
    pleat_type inputs[3] = {{.present = true, .kind = PLEAT_KIND_SEQUENCE},
                            typed(PLEAT_INT64, pleat_shape_of_rank(1)),
                            typed(PLEAT_INT64, pleat_shape_of_rank(1))};
    pleat_type out;
    case_begin(&c, ops[i], 17);
    case_int(&c, "axis", 0);
    ck_assert_int_eq(case_infer(&c, inputs, 3, &out), PLEAT_SHAPE_MISMATCH);
    ck_assert_ptr_nonnull(strstr(c.error.message, "expected a tensor"));
  }
}
END_TEST

/* ---- Shape, Size, Constant ---- */

START_TEST(shape_forms) {
  op_case c;
  for (int opset = 1; opset <= 25; opset += 12) {
    case_begin(&c, "Shape", opset);
    case_input(&c, make(PLEAT_FLOAT, "2,0,4", NULL));
    RUN_OK(&c);
    CHECK_TENSOR(c.outputs[0], "int64[3]", int64_t, 2, 0, 4);
    case_end(&c);
  }
  case_begin(&c, "Shape", 15);
  case_int(&c, "start", -2);
  case_int(&c, "end", INT64_MAX);
  case_input(&c, make(PLEAT_FLOAT, "2,3,4", NULL));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "int64[2]", int64_t, 3, 4);
  case_end(&c);

  case_begin(&c, "Shape", 15);
  case_int(&c, "start", 2);
  case_int(&c, "end", INT64_MIN);
  case_input(&c, make(PLEAT_FLOAT, "2,3,4", NULL));
  RUN_OK(&c);
  CHECK_TEXT(c.outputs[0], "int64[0]");
  case_end(&c);

  case_begin(&c, "Size", 1);
  case_input(&c, make(PLEAT_BOOL, "2,3", NULL));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "int64[]", int64_t, 6);
  case_end(&c);
}
END_TEST

START_TEST(constant_attributes) {
  const float floats[] = {1, 2};
  const pleat_string strings[] = {STRING_OF("a"), STRING_OF("bc")};
  op_case c;
  case_begin(&c, "Constant", 12);
  case_float(&c, "value_float", 2.5f);
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[]", float, 2.5f);
  case_end(&c);

  case_begin(&c, "Constant", 12);
  case_attr(&c, (pleat_attr){.name = "value_floats", .type = PLEAT_ATTR_FLOATS, .floats = floats, .count = 2});
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[2]", float, 1, 2);
  case_end(&c);

  case_begin(&c, "Constant", 12);
  case_int(&c, "value_int", -7);
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "int64[]", int64_t, -7);
  case_end(&c);

  case_begin(&c, "Constant", 12);
  case_ints(&c, "value_ints", 0, NULL);
  RUN_OK(&c);
  CHECK_TEXT(c.outputs[0], "int64[0]");
  case_end(&c);

  case_begin(&c, "Constant", 12);
  case_string(&c, "value_string", "text");
  RUN_OK(&c);
  CHECK_TEXT(c.outputs[0], "string[]");
  ck_assert_int_eq(memcmp(((const pleat_string *)c.outputs[0]->data)->data, "text", 4), 0);
  case_end(&c);

  case_begin(&c, "Constant", 12);
  case_attr(&c, (pleat_attr){.name = "value_strings", .type = PLEAT_ATTR_STRINGS, .strings = strings, .count = 2});
  RUN_OK(&c);
  CHECK_TEXT(c.outputs[0], "string[2]");
  ck_assert_uint_eq(((const pleat_string *)c.outputs[0]->data)[1].size, 2);
  case_end(&c);

  case_begin(&c, "Constant", 13);
  RUN_FAILS(&c, PLEAT_MALFORMED_MODEL, "found 0");

  case_begin(&c, "Constant", 13);
  case_int(&c, "value_int", 1);
  case_float(&c, "value_float", 1);
  RUN_FAILS(&c, PLEAT_MALFORMED_MODEL, "found 2");
}
END_TEST

START_TEST(constant_of_shape_forms) {
  op_case c;
  case_begin(&c, "ConstantOfShape", 9);
  case_input(&c, INTS(2, 1));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[2,1]", float, 0, 0);
  case_end(&c);

  pleat_tensor *value = INT64S("1", -5), *two = INT64S("2", 1, 2);
  case_begin(&c, "ConstantOfShape", 25);
  case_attr(&c, (pleat_attr){.name = "value", .type = PLEAT_ATTR_TENSOR, .tensor = value});
  case_input(&c, make(PLEAT_INT64, "0", NULL));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "int64[]", int64_t, -5);
  case_end(&c);

  case_begin(&c, "ConstantOfShape", 9);
  case_attr(&c, (pleat_attr){.name = "value", .type = PLEAT_ATTR_TENSOR, .tensor = two});
  case_input(&c, INTS(1));
  RUN_FAILS(&c, PLEAT_MALFORMED_MODEL, "one element");

  case_begin(&c, "ConstantOfShape", 9);
  case_input(&c, INTS(-1));
  RUN_FAILS(&c, PLEAT_INVALID_ARGUMENT, "negative");

  case_begin(&c, "ConstantOfShape", 9);
  case_input(&c, INTS(INT64_MAX, INT64_MAX));
  ck_assert_int_ne(case_try(&c, 2), PLEAT_OK);
  case_end(&c);
  pleat_tensor_release(value);
  pleat_tensor_release(two);
}
END_TEST

/* ---- Range ---- */

START_TEST(range_forms) {
  op_case c;
  case_begin(&c, "Range", 11);
  case_input(&c, FLOATS("", 1));
  case_input(&c, FLOATS("", 2));
  case_input(&c, FLOATS("", 0.25f));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[4]", float, 1, 1.25f, 1.5f, 1.75f);
  case_end(&c);

  case_begin(&c, "Range", 11); /* the whole of int64 in three steps: no overflow on the way */
  case_input(&c, INT64S("", INT64_MAX));
  case_input(&c, INT64S("", INT64_MIN));
  case_input(&c, INT64S("", INT64_MIN));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "int64[2]", int64_t, INT64_MAX, -1);
  case_end(&c);

  case_begin(&c, "Range", 11);
  case_input(&c, INT64S("", 5));
  case_input(&c, INT64S("", 1));
  case_input(&c, INT64S("", 1));
  RUN_OK(&c);
  CHECK_TEXT(c.outputs[0], "int64[0]");
  case_end(&c);

  case_begin(&c, "Range", 11);
  case_input(&c, INT64S("", 0));
  case_input(&c, INT64S("", 1));
  case_input(&c, INT64S("", 0));
  RUN_FAILS(&c, PLEAT_INVALID_ARGUMENT, "delta");

  case_begin(&c, "Range", 11);
  case_input(&c, FLOATS("", 0));
  case_input(&c, FLOATS("", 1));
  case_input(&c, FLOATS("", 1e-30f));
  RUN_FAILS(&c, PLEAT_INVALID_ARGUMENT, "too many");

  pleat_type inputs[3] = {typed(PLEAT_INT64, pleat_shape_of_rank(0)), typed(PLEAT_INT64, pleat_shape_of_rank(0)),
                          typed(PLEAT_INT64, pleat_shape_of_rank(0))};
  pleat_type out;
  case_begin(&c, "Range", 11);
  ck_assert_int_eq(case_infer(&c, inputs, 3, &out), PLEAT_OK);
  CHECK_SHAPE(&out, "[?]");
  ck_assert_int_eq(out.dtype, PLEAT_INT64);
}
END_TEST

/* ---- Identity and Dropout ---- */

START_TEST(identity_of_a_list) {
  op_case c;
  pleat_tensor *items[2] = {FLOATS("1", 1), INT64S("2", 2, 3)}, *list = NULL;
  ck_assert_int_eq(pleat_tensor_create_list(PLEAT_KIND_SEQUENCE, items, 2, &list, NULL), PLEAT_OK);
  case_begin(&c, "Identity", 14);
  case_input(&c, list);
  RUN_OK(&c);
  CHECK_TEXT(c.outputs[0], "sequence of 2");
  CHECK_TENSOR(c.outputs[0]->items[1], "int64[2]", int64_t, 2, 3);
  case_end(&c);
  for (int i = 0; i < 2; i++) pleat_tensor_release(items[i]);
}
END_TEST

START_TEST(dropout_masks) {
  op_case c;
  case_begin(&c, "Dropout", 1);
  case_input(&c, FLOATS("2", 1, 2));
  c.output_count = 2;
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[2]", float, 1, 2);
  CHECK_TENSOR(c.outputs[1], "float[2]", float, 1, 1);
  case_end(&c);

  case_begin(&c, "Dropout", 7);
  case_input(&c, make(PLEAT_FLOAT16, "1", (const uint16_t[]){0x4000}));
  c.output_count = 2;
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[1], "float16[1]", uint16_t, 0x3c00);
  case_end(&c);

  case_begin(&c, "Dropout", 10);
  case_input(&c, FLOATS("2", 1, 2));
  c.output_count = 2;
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[1], "bool[2]", uint8_t, 1, 1);
  case_end(&c);
}
END_TEST

static void dropout_training(op_case *c, double ratio) {
  case_begin(c, "Dropout", 13);
  case_int(c, "seed", 42);
  case_input(c, FLOATS("6", 1, 2, 3, 4, 5, 6));
  case_input(c, make(PLEAT_DOUBLE, "", &ratio));
  case_input(c, make(PLEAT_BOOL, "", (const uint8_t[]){1}));
  c->output_count = 2;
}

/* numpy.random.RandomState(42).random_sample(6) begins .3745 .9507 .7320 .5987 .1560 .1560. */
START_TEST(dropout_random) {
  op_case c;
  dropout_training(&c, 0.5);
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[6]", float, 0, 4, 6, 8, 0, 0);
  CHECK_TENSOR(c.outputs[1], "bool[6]", uint8_t, 0, 1, 1, 1, 0, 0);
  case_end(&c);
  dropout_training(&c, 1.0);
  RUN_FAILS(&c, PLEAT_INVALID_ARGUMENT, "ratio < 1");
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("ops_shape");
  TCase *tests = tcase_create("shape");
  tcase_add_test(tests, reshape_values);
  tcase_add_test(tests, reshape_opset1);
  tcase_add_test(tests, reshape_symbols);
  tcase_add_test(tests, flatten_forms);
  tcase_add_test(tests, squeeze_forms);
  tcase_add_test(tests, unsqueeze_forms);
  tcase_add_test(tests, expand_forms);
  tcase_add_test(tests, movers_keep_symbols);
  tcase_add_test(tests, lists_are_refused);
  tcase_add_test(tests, shape_forms);
  tcase_add_test(tests, constant_attributes);
  tcase_add_test(tests, constant_of_shape_forms);
  tcase_add_test(tests, range_forms);
  tcase_add_test(tests, identity_of_a_list);
  tcase_add_test(tests, dropout_masks);
  tcase_add_test(tests, dropout_random);
  suite_add_tcase(suite, tests);
  return suite;
}

/* runtime/validate: a right fold passes, a wrong one does not, with the figures to prove it; the choice of shapes; what
 * cannot be checked. */
#include "model_builder.h"

/* x -> Conv "conv" -> BN "bn" -> y; the folded twin is made by hand where a test wants it wrong. */
static builder conv_bn_builder(pleat_dtype dtype, const char *x, const char *w) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", dtype, x);
  noise_init(&b, "w", dtype, w, -1, 1);
  noise_init(&b, "scale", dtype, "3", 0.5, 1.5);
  noise_init(&b, "beta", dtype, "3", -1, 1);
  noise_init(&b, "mean", dtype, "3", -1, 1);
  noise_init(&b, "var", dtype, "3", 0.5, 2);
  model_node(&b, "Conv", "conv", "x,w", "c");
  model_node(&b, "BatchNormalization", "bn", "c,scale,beta,mean,var", "y");
  model_output(&b, "y", dtype, "?");
  return b;
}

static pleat_model *conv_bn(pleat_dtype dtype, const char *x, const char *w) {
  builder b = conv_bn_builder(dtype, x, w);
  return build_model(&b);
}

static pleat_check_report *check(const pleat_model *original, const pleat_model *folded, pleat_check_options options) {
  pleat_check_report *report = NULL;
  options.size = sizeof options;
  options.threads = 1;
  ASSERT_OK(pleat_model_check_fold(original, folded, &options, &report, error));
  ck_assert_ptr_nonnull(report);
  return report;
}

static void assert_refused(const pleat_check_report *report, const char *words) {
  ck_assert(!report->passed);
  ck_assert_msg(strstr(report->reason, words) != NULL, "'%s' is not in: %s", words, report->reason);
}

static void assert_not_checkable(const pleat_model *original, pleat_check_options options, pleat_status expected,
                                 const char *words) {
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_check_report *report = NULL;
  options.size = sizeof options;
  pleat_status status = pleat_model_check_fold(original, original, &options, &report, &error);
  assert_error(&error, status, expected, NULL, words);
  ck_assert_ptr_null(report);
}

/* ---- verdicts ---- */

START_TEST(a_right_fold_passes) {
  static const pleat_dtype dtypes[] = {PLEAT_FLOAT, PLEAT_DOUBLE, PLEAT_FLOAT16};
  static const double tolerances[] = {1e-5, 1e-12, 2e-3};
  pleat_model *original = conv_bn(dtypes[_i], "N,2,6,6", "3,2,3,3");
  pleat_model *folded = fold_model(original, NULL, NULL);
  pleat_check_report *report = check(original, folded, (pleat_check_options){0});
  ck_assert_msg(report->passed, "%s", report->reason);
  ck_assert_str_eq(report->reason, "");
  ck_assert_int_eq(report->runs, 3);
  ck_assert_uint_eq(report->output_count, 1);
  const pleat_check_output *y = &report->outputs[0];
  ck_assert_str_eq(y->name, "y");
  ck_assert_int_eq(y->dtype, dtypes[_i]);
  ck_assert_uint_eq(y->count, 3 * 2 * 3 * 4 * 4); /* runs, N = 2, channels, positions */
  ck_assert(y->range > 0.5 && y->range < 20);
  ck_assert_double_eq(y->limit, fmax(2 * y->original.max_abs, tolerances[_i] * y->range));
  ck_assert_double_le(y->folded.max_abs, y->limit);
  ck_assert_double_gt(y->folded.max_abs, 0);
  /* Folding moves roundings: the two differ, but by no more than both errors together. */
  ck_assert_double_le(y->difference.max_abs, y->original.max_abs + y->folded.max_abs);
  ck_assert_uint_eq(report->input_count, 1);
  ck_assert_str_eq(report->inputs[0].name, "x");
  ck_assert_int_eq(report->inputs[0].dims[0], 2);
  ck_assert_int_eq(report->inputs[0].dims[3], 6);
  pleat_check_report_destroy(report);
  pleat_model_release(folded);
  pleat_model_release(original);
}
END_TEST

/* x * 2 against x * (2 + change): the error must be exactly what was put in. */
static pleat_model *times(double factor, const char *output) {
  builder b = build_begin(8, MODEL_OPSET);
  char names[32];
  snprintf(names, sizeof names, "%s", output);
  model_input(&b, "x", PLEAT_FLOAT, "64");
  model_init(&b, "f", PLEAT_FLOAT, "", &factor);
  model_node(&b, "Mul", "mul", "x,f", names);
  model_output(&b, names, PLEAT_FLOAT, "64");
  return build_model(&b);
}

START_TEST(a_wrong_fold_is_refused) {
  pleat_model *original = times(2, "y"), *wrong = times(2 + 0x1p-12, "y");
  pleat_check_report *report = check(original, wrong, (pleat_check_options){.runs = 1});
  assert_refused(report, "output 'y': its error of");
  const pleat_check_output *y = &report->outputs[0];
  ck_assert(!y->passed);
  ck_assert_double_eq(y->original.max_abs, 0); /* doubling is exact */
  ck_assert_uint_eq(y->original.max_ulp, 0);
  ck_assert_double_eq(y->limit, 1e-5 * y->range);
  double half_ulp = 0x1p-24; /* 2 + 2^-12 times x is rounded once; x is a multiple of 2^-24 below 1 */
  ck_assert_double_le(fabs(y->folded.max_abs - y->range / 2 * 0x1p-12), 2 * half_ulp);
  ck_assert_double_le(fabs(y->folded.max_rel - 0x1p-13), 1e-4);
  ck_assert_uint_ge(y->folded.max_ulp, 1024); /* 2^-13 relative is 2^10 to 2^11 steps of 2^-23 */
  ck_assert_uint_le(y->folded.max_ulp, 2049);
  ck_assert_double_eq(y->difference.max_abs, y->folded.max_abs);
  pleat_check_report_destroy(report);
  report = check(original, wrong, (pleat_check_options){.tolerance = 1e-3}); /* allowed when the caller says so */
  ck_assert_msg(report->passed, "%s", report->reason);
  pleat_check_report_destroy(report);
  pleat_model_release(wrong);
  pleat_model_release(original);
}
END_TEST

/* exp((x * 80 + 10^4) - 10^4 + shift): the sum rounds by up to 2^-11, and so does the result, in parts of itself. */
static pleat_model *rough_exp(double shift) {
  const double factor = 80, far = 10000;
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "64");
  model_init(&b, "f", PLEAT_FLOAT, "", &factor);
  model_init(&b, "far", PLEAT_FLOAT, "", &far);
  model_init(&b, "shift", PLEAT_FLOAT, "", &shift);
  model_node(&b, "Mul", "mul", "x,f", "a");
  model_node(&b, "Add", "add", "a,far", "b");
  model_node(&b, "Sub", "sub", "b,far", "c");
  model_node(&b, "Add", "move", "c,shift", "d");
  model_node(&b, "Exp", "exp", "d", "y");
  model_output(&b, "y", PLEAT_FLOAT, "64");
  return build_model(&b);
}

/* A limit of twice the original's error that is missed by little is looked at on more inputs, unless the caller said on
 * how many; what is wrong all the time stays refused, and so does what is far off, or off a limit that has no luck. */
START_TEST(doubt_takes_more_runs) {
  static const struct {
    double shift;
    int asked, runs;
  } cases[] = {{0x1p-10, 0, 24}, {0x1p-10, 3, 3}, {0x1p-6, 0, 3}};
  pleat_model *original = rough_exp(0), *twice = times(2, "y"), *more = times(2 + 0x1p-15, "y");
  for (int i = 0; i < 3; i++) {
    pleat_model *wrong = rough_exp(cases[i].shift);
    pleat_check_report *report = check(original, wrong, (pleat_check_options){.runs = cases[i].asked});
    assert_refused(report, "above the limit");
    ck_assert_int_eq(report->runs, cases[i].runs);
    ck_assert_uint_eq(report->outputs[0].count, 64 * (uint64_t)cases[i].runs);
    pleat_check_report_destroy(report);
    pleat_model_release(wrong);
  }
  pleat_check_report *report = check(twice, more, (pleat_check_options){0}); /* 1.5 times what the range allows */
  assert_refused(report, "above the limit");
  ck_assert_int_eq(report->runs, 3);
  pleat_check_report_destroy(report);
  pleat_model_release(more);
  pleat_model_release(twice);
  pleat_model_release(original);
}
END_TEST

START_TEST(no_more_than_a_float16_model_can) {
  pleat_model *original = conv_bn(PLEAT_FLOAT16, "1,2,4,4", "3,2,3,3");
  builder b = conv_bn_builder(PLEAT_FLOAT16, "1,2,4,4", "3,2,3,3");
  Onnx__TensorProto *beta = b.graph->initializer[2];
  ck_assert_str_eq(beta->name, "beta");
  pleat_store_f64(PLEAT_FLOAT16, beta->raw_data.data, 0, pleat_load_f64(PLEAT_FLOAT16, beta->raw_data.data, 0) + 0.25);
  pleat_model *wrong = build_model(&b);
  pleat_check_report *report = check(original, wrong, (pleat_check_options){0});
  assert_refused(report, "above the limit");
  ck_assert(fabs(report->outputs[0].folded.max_abs - 0.25) < 0.02);
  pleat_check_report_destroy(report);
  pleat_model_release(wrong);
  pleat_model_release(original);
}
END_TEST

/* y = 1 / ((x + 1) * factor) */
static pleat_model *reciprocal(double factor) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "16");
  model_init(&b, "one", PLEAT_FLOAT, "", (const double[]){1});
  model_init(&b, "factor", PLEAT_FLOAT, "", &factor);
  model_node(&b, "Add", "", "x,one", "positive");
  model_node(&b, "Mul", "", "positive,factor", "scaled");
  model_node(&b, "Reciprocal", "", "scaled", "y");
  model_output(&b, "y", PLEAT_FLOAT, "16");
  return build_model(&b);
}

START_TEST(what_is_not_finite_is_refused) {
  pleat_model *original = reciprocal(1), *wrong = reciprocal(0);
  pleat_check_report *report = check(original, wrong, (pleat_check_options){.runs = 2});
  assert_refused(report, "32 elements are infinite or NaN");
  ck_assert_uint_eq(report->outputs[0].folded.not_finite, 32);
  ck_assert_uint_eq(report->outputs[0].original.not_finite, 0);
  pleat_check_report_destroy(report);
  report = check(wrong, wrong, (pleat_check_options){0}); /* infinite in the oracle too: as it should be */
  ck_assert_msg(report->passed, "%s", report->reason);
  pleat_check_report_destroy(report);
  pleat_model_release(wrong);
  pleat_model_release(original);
}
END_TEST

static pleat_model *arg(const char *op) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "4,8");
  build_attr_int(&b, model_node(&b, op, "arg", "x", "y"), "axis", 1);
  model_output(&b, "y", PLEAT_INT64, "4,1");
  return build_model(&b);
}

START_TEST(integers_are_counted) {
  pleat_model *original = arg("ArgMax"), *wrong = arg("ArgMin");
  pleat_check_report *report = check(original, original, (pleat_check_options){0});
  ck_assert(report->passed);
  ck_assert_uint_eq(report->outputs[0].count, 12);
  ck_assert_uint_eq(report->outputs[0].original.unequal, 0);
  pleat_check_report_destroy(report);
  report = check(original, wrong, (pleat_check_options){0});
  assert_refused(report, "12 of 12 elements differ (0 of the original's do)");
  pleat_check_report_destroy(report);
  pleat_model_release(wrong);
  pleat_model_release(original);
}
END_TEST

START_TEST(another_interface_is_refused) {
  pleat_model *original = times(2, "y"), *renamed = times(2, "z"), *other = arg("ArgMax");
  pleat_check_report *report = check(original, renamed, (pleat_check_options){0});
  assert_refused(report, "other inputs or outputs");
  pleat_check_report_destroy(report);
  report = check(original, other, (pleat_check_options){0});
  assert_refused(report, "does not run");
  pleat_check_report_destroy(report);
  pleat_model_release(other);
  pleat_model_release(renamed);
  pleat_model_release(original);
}
END_TEST

static pleat_model *reshaped(const char *op) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "2,3");
  model_node(&b, op, "", "x", "y");
  model_output(&b, "y", PLEAT_FLOAT, "?");
  return build_model(&b);
}

START_TEST(another_shape_is_refused) {
  pleat_model *original = reshaped("Identity"), *wrong = reshaped("Transpose");
  pleat_check_report *report = check(original, wrong, (pleat_check_options){0});
  assert_refused(report, "output 'y': it is float[3,2], the original's is float[2,3]");
  pleat_check_report_destroy(report);
  pleat_model_release(wrong);
  pleat_model_release(original);
}
END_TEST

START_TEST(a_folded_model_that_cannot_run_is_refused) {
  pleat_model *original = reshaped("Identity"), *wrong = reshaped("Frobnicate");
  pleat_check_report *report = check(original, wrong, (pleat_check_options){0});
  assert_refused(report, "the folded model cannot be run: 1 operator is not supported");
  pleat_check_report_destroy(report);
  pleat_model_release(wrong);
  pleat_model_release(original);
}
END_TEST

/* ---- runs and seeds ---- */

START_TEST(seeds_repeat) {
  pleat_model *original = conv_bn(PLEAT_FLOAT, "1,2,6,6", "3,2,3,3");
  pleat_model *folded = fold_model(original, NULL, NULL);
  pleat_check_report *a = check(original, folded, (pleat_check_options){.runs = 2, .seed = 5});
  pleat_check_report *b = check(original, folded, (pleat_check_options){.runs = 2, .seed = 5});
  pleat_check_report *c = check(original, folded, (pleat_check_options){.runs = 2, .seed = 50});
  pleat_check_report *first = check(original, folded, (pleat_check_options){.runs = 1, .seed = 5});
  pleat_check_report *second = check(original, folded, (pleat_check_options){.runs = 1, .seed = 6});
  const pleat_check_output *one = &a->outputs[0], *two = &b->outputs[0];
  ck_assert_int_eq(a->runs, 2);
  ck_assert_uint_eq(a->seed, 5);
  ck_assert_double_eq(one->range, two->range);
  ck_assert_mem_eq(&one->original, &two->original, sizeof one->original);
  ck_assert_mem_eq(&one->folded, &two->folded, sizeof one->folded);
  ck_assert_double_ne(one->range, c->outputs[0].range);
  ck_assert_uint_eq(one->count, 2 * first->outputs[0].count);
  /* Run i has seed + i: two runs are as bad as the worse of their parts. */
  ck_assert_double_eq(one->range, fmax(first->outputs[0].range, second->outputs[0].range));
  ck_assert_double_eq(one->folded.max_abs, fmax(first->outputs[0].folded.max_abs, second->outputs[0].folded.max_abs));
  pleat_check_report_destroy(a);
  pleat_check_report_destroy(b);
  pleat_check_report_destroy(c);
  pleat_check_report_destroy(first);
  pleat_check_report_destroy(second);
  pleat_model_release(folded);
  pleat_model_release(original);
}
END_TEST

/* ---- shapes ---- */

static void assert_shape(const pleat_input_shape *shape, const char *name, const char *dims) {
  int64_t expected[PLEAT_MAX_RANK];
  ck_assert_str_eq(shape->name, name);
  ck_assert_int_eq(shape->rank, shape_dims(dims, expected));
  for (int d = 0; d < shape->rank; d++) ck_assert_int_eq(shape->dims[d], expected[d]);
}

/* A kernel of 9 needs more than the first candidate's 8. */
START_TEST(shapes_are_found) {
  pleat_model *model = conv_bn(PLEAT_FLOAT, "N,2,H,W", _i == 0 ? "3,2,3,3" : "3,2,9,9");
  pleat_check_report *report = check(model, model, (pleat_check_options){.runs = 1});
  assert_shape(&report->inputs[0], "x", _i == 0 ? "2,2,8,8" : "2,2,32,32");
  pleat_check_report_destroy(report);
  pleat_model_release(model);
}
END_TEST

static pleat_model *two_inputs(void) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "a", PLEAT_FLOAT, "K,N");
  model_input(&b, "b", PLEAT_FLOAT, "N,M");
  model_node(&b, "MatMul", "", "a,b", "y");
  model_output(&b, "y", PLEAT_FLOAT, "?");
  return build_model(&b);
}

/* One symbol is one number: also where it is the first dimension of one input and the second of another. */
START_TEST(symbols_agree) {
  pleat_model *model = two_inputs();
  pleat_check_report *report = check(model, model, (pleat_check_options){.runs = 1});
  assert_shape(&report->inputs[0], "a", "2,8");
  assert_shape(&report->inputs[1], "b", "8,8");
  pleat_check_report_destroy(report);
  const int64_t dims[] = {5, 3};
  const pleat_input_shape given = {.name = "b", .rank = 2, .dims = dims};
  report = check(model, model, (pleat_check_options){.runs = 1, .shapes = &given, .shape_count = 1});
  assert_shape(&report->inputs[0], "a", "2,5");
  assert_shape(&report->inputs[1], "b", "5,3");
  pleat_check_report_destroy(report);
  pleat_model_release(model);
}
END_TEST

START_TEST(given_shapes_are_checked) {
  pleat_model *model = conv_bn(PLEAT_FLOAT, "N,2,6,6", "3,2,3,3");
  const int64_t dims[] = {1, 2, 6, 7};
  pleat_input_shape given = {.name = "x", .rank = 4, .dims = dims};
  const pleat_check_options options = {.shapes = &given, .shape_count = 1};
  assert_not_checkable(model, options, PLEAT_INVALID_ARGUMENT,
                       "dimension 3 of the shape given is 7, the model declares 6");
  given.rank = 3;
  assert_not_checkable(model, options, PLEAT_INVALID_ARGUMENT, "has rank 3, the model declares 4");
  given.name = "z";
  assert_not_checkable(model, options, PLEAT_INVALID_ARGUMENT, "no input of this name");
  pleat_model_release(model);
}
END_TEST

/* ---- what cannot be checked ---- */

START_TEST(not_checkable) {
  pleat_model *unsupported = reshaped("Frobnicate");
  assert_not_checkable(unsupported, (pleat_check_options){0}, PLEAT_UNSUPPORTED, "not supported: Frobnicate");
  pleat_model_release(unsupported);
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "?");
  model_node(&b, "Relu", "", "x", "y");
  model_output(&b, "y", PLEAT_FLOAT, "?");
  pleat_model *rankless = build_model(&b);
  assert_not_checkable(rankless, (pleat_check_options){0}, PLEAT_UNSUPPORTED, "give its shape");
  pleat_model_release(rankless);
  pleat_model *impossible = conv_bn(PLEAT_FLOAT, "N,2,3,3", "3,2,5,5"); /* the kernel is larger than its input */
  assert_not_checkable(impossible, (pleat_check_options){0}, PLEAT_UNSUPPORTED, "the original does not run here");
  pleat_model_release(impossible);
}
END_TEST

START_TEST(bad_arguments) {
  pleat_model *model = times(2, "y");
  pleat_check_report *report = NULL;
  ck_assert_int_eq(pleat_model_check_fold(NULL, model, NULL, &report, NULL), PLEAT_INVALID_ARGUMENT);
  ck_assert_int_eq(pleat_model_check_fold(model, NULL, NULL, &report, NULL), PLEAT_INVALID_ARGUMENT);
  ck_assert_int_eq(pleat_model_check_fold(model, model, NULL, NULL, NULL), PLEAT_INVALID_ARGUMENT);
  assert_not_checkable(model, (pleat_check_options){.runs = -1}, PLEAT_INVALID_ARGUMENT, "runs is -1");
  assert_not_checkable(model, (pleat_check_options){.tolerance = -1}, PLEAT_INVALID_ARGUMENT, "tolerance -1");
  assert_not_checkable(model, (pleat_check_options){.tolerance = (double)NAN}, PLEAT_INVALID_ARGUMENT, "tolerance");
  pleat_check_report_destroy(NULL);
  pleat_model_release(model);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("validate_check_fold");
  TCase *tcase = tcase_create("verdicts");
  tcase_add_loop_test(tcase, a_right_fold_passes, 0, 3);
  tcase_add_test(tcase, a_wrong_fold_is_refused);
  tcase_add_test(tcase, doubt_takes_more_runs);
  tcase_add_test(tcase, no_more_than_a_float16_model_can);
  tcase_add_test(tcase, what_is_not_finite_is_refused);
  tcase_add_test(tcase, integers_are_counted);
  tcase_add_test(tcase, another_interface_is_refused);
  tcase_add_test(tcase, another_shape_is_refused);
  tcase_add_test(tcase, a_folded_model_that_cannot_run_is_refused);
  suite_add_tcase(suite, tcase);
  tcase = tcase_create("runs and shapes");
  tcase_add_test(tcase, seeds_repeat);
  tcase_add_loop_test(tcase, shapes_are_found, 0, 2);
  tcase_add_test(tcase, symbols_agree);
  tcase_add_test(tcase, given_shapes_are_checked);
  suite_add_tcase(suite, tcase);
  tcase = tcase_create("errors");
  tcase_add_test(tcase, not_checkable);
  tcase_add_test(tcase, bad_arguments);
  suite_add_tcase(suite, tcase);
  return suite;
}

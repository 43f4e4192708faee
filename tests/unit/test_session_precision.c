/* Sessions in bfloat16: near the truth, but not float; outputs and what computes them in float; and the refusals. On a
 * machine or in a build without bfloat16, and where the environment rules it out (this test runs so, too), what has to
 * happen is an error. */
#include <stdio.h>

#include "model_builder.h"
#include "ops/ops.h"

static bool has_kernel(const char *op) {
  bool found = false;
  for (const pleat_kernel *const *kernel = pleat_op_find("", op)->kernels; *kernel != NULL; kernel++)
    found = found || ((*kernel)->flags & PLEAT_KERNEL_BF16) != 0;
  return found;
}

static bool can_bf16(void) {
  return pleat_op_no_bf16() == NULL;
}

static Onnx__NodeProto *conv(builder *b, const char *inputs, const char *output, const char *pads) {
  Onnx__NodeProto *node = model_node(b, "Conv", output, inputs, output);
  attr_ints(b, node, "pads", pads);
  return node;
}

/* Channels that fill no block, groups, a gate, sums, pools, concatenation, resizing: everything that meets bfloat16. */
static void fill(builder *b, const char *batch) {
  char shape[32];
  static const char *const weights[][2] = {{"w0", "24,3,3,3"},  {"w1", "24,1,3,3"},  {"w2", "17,24,1,1"},
                                           {"w3", "24,17,3,3"}, {"w4", "24,24,1,1"}, {"w5", "40,48,3,3"},
                                           {"wt", "40,8,2,2"},  {"w6", "32,8,3,3"}};
  snprintf(shape, sizeof shape, "%s,3,21,18", batch);
  model_input(b, "x", PLEAT_FLOAT, shape);
  for (size_t i = 0; i < sizeof weights / sizeof *weights; i++)
    noise_init(b, weights[i][0], PLEAT_FLOAT, weights[i][1], -0.3, 0.3);
  noise_init(b, "b0", PLEAT_FLOAT, "24", -1, 1);
  noise_init(b, "m", PLEAT_FLOAT, "32,33", -0.3, 0.3);
  noise_init(b, "m2", PLEAT_FLOAT, "33,10", -0.3, 0.3);
  const double ones_and_twos[] = {1, 1, 2, 2};
  model_init(b, "scales", PLEAT_FLOAT, "4", ones_and_twos);
  conv(b, "x,w0,b0", "c0", "1,1,1,1");
  model_node(b, "Relu", "", "c0", "r0");
  build_attr_int(b, conv(b, "r0,w1", "c1", "1,1,1,1"), "group", 24); /* depthwise */
  model_node(b, "HardSwish", "", "c1", "r1");
  conv(b, "r1,w2", "c2", "0,0,0,0");
  conv(b, "c2,w3", "c3", "1,1,1,1");
  model_node(b, "Add", "", "c3,r0", "sum");
  model_node(b, "GlobalAveragePool", "", "sum", "mean");
  conv(b, "mean,w4", "c4", "0,0,0,0");
  model_node(b, "Sigmoid", "", "c4", "gate");
  model_node(b, "Mul", "", "sum,gate", "gated");
  Onnx__NodeProto *pool = model_node(b, "MaxPool", "", "gated", "pooled");
  attr_ints(b, pool, "kernel_shape", "2,2");
  attr_ints(b, pool, "strides", "2,2");
  model_node(b, "Resize", "", "pooled,,scales", "up");
  Onnx__NodeProto *average = model_node(b, "AveragePool", "", "up", "smooth");
  attr_ints(b, average, "kernel_shape", "3,3");
  attr_ints(b, average, "pads", "1,1,1,1");
  build_attr_int(b, model_node(b, "Concat", "", "up,smooth", "both"), "axis", 1);
  conv(b, "both,w5", "c5", "1,1,1,1");
  attr_ints(b, model_node(b, "ConvTranspose", "t", "c5,wt", "t"), "strides", "2,2");
  model_node(b, "LeakyRelu", "", "t", "rt");
  conv(b, "rt,w6", "c6", "0,0,0,0");
  model_node(b, "GlobalMaxPool", "", "c6", "top");
  model_node(b, "Flatten", "", "top", "flat");
  model_node(b, "MatMul", "inner", "flat,m", "inner");
  model_node(b, "Tanh", "", "inner", "bent");
  model_node(b, "MatMul", "last", "bent,m2", "scores");
  build_attr_int(b, model_node(b, "Softmax", "", "scores", "y"), "axis", 1);
  model_output(b, "y", PLEAT_FLOAT, "?");
}

static pleat_tensor *run_everything(pleat_session_options options, const char *batch, pleat_plan_info **out_plan) {
  builder b = build_begin(8, 14);
  char shape[32];
  fill(&b, batch);
  snprintf(shape, sizeof shape, "%s,3,21,18", batch);
  pleat_session *session = session_from(&b, options);
  pleat_tensor *again = run_one(session, noise_tensor(PLEAT_FLOAT, shape, 3));
  pleat_tensor *y = run_one(session, noise_tensor(PLEAT_FLOAT, shape, 3));
  ck_assert_mem_eq(y->data, again->data, pleat_bytes(y));
  pleat_tensor_release(again);
  if (out_plan != NULL) ASSERT_OK(pleat_session_plan(session, NULL, 0, out_plan, error));
  pleat_session_destroy(session);
  return y;
}

static double largest(const pleat_tensor *tensor, const pleat_tensor *minus) {
  double most = 0;
  for (size_t i = 0; i < tensor->count; i++)
    most = fmax(most, fabs(element(tensor, i) - (minus != NULL ? element(minus, i) : 0)));
  return most;
}

START_TEST(near_the_truth) {
  static const char *const batches[] = {"1", "2", "7"};
  if (!can_bf16()) return; /* what happens then: not_possible */
  for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
    pleat_tensor *truth = run_everything((pleat_session_options){.float64 = true}, batches[i], NULL);
    for (int threads = 1; threads <= 3; threads++) {
      const pleat_session_options options = {.precision = PLEAT_PRECISION_BF16, .threads = threads};
      pleat_tensor *y = run_everything(options, batches[i], NULL);
      ck_assert_int_eq(y->dtype, PLEAT_FLOAT);
      const double error = largest(truth, y), range = largest(truth, NULL);
      ck_assert_msg(error < 2e-2 * range, "batch %s: an error of %g of %g", batches[i], error, range);
      ck_assert_msg(error > 1e-5 * range, "batch %s: an error of %g of %g is float's", batches[i], error, range);
      pleat_tensor_release(y);
    }
    pleat_tensor_release(truth);
  }
}
END_TEST

static const pleat_step_info *step_of(const pleat_plan_info *plan, const char *output) {
  for (size_t i = 0; i < plan->step_count; i++) {
    const char *found = plan->steps[i].output;
    if (strcmp(plan->steps[i].op_type, "Reorder") != 0 && strncmp(found, output, strlen(output)) == 0 &&
        found[strlen(output)] == ' ')
      return &plan->steps[i];
  }
  ck_abort_msg("no step gives '%s'", output);
  return NULL;
}

/* Where bfloat16 is, and where it is not. */
START_TEST(places) {
  static const char *const bf16[] = {"r0", "r1", "c2", "gated", "pooled", "c5", "up", "smooth", "both"};
  const size_t count = sizeof bf16 / sizeof *bf16 - (has_kernel("Resize") ? 0 : 3); /* not in all builds */
  static const char *const floats[] = {"inner", "bent", "scores", "y"};
  pleat_plan_info *plan = NULL;
  if (!can_bf16()) return;
  pleat_tensor_release(run_everything((pleat_session_options){.precision = PLEAT_PRECISION_BF16}, "1", &plan));
  for (size_t i = 0; i < count; i++)
    ck_assert_msg(strstr(step_of(plan, bf16[i])->output, "bfloat16") != NULL, "%s", step_of(plan, bf16[i])->output);
  for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
    ck_assert_msg(strstr(step_of(plan, floats[i])->output, "bfloat16") == NULL, "%s", step_of(plan, floats[i])->output);
  ck_assert_uint_ge(plan->bf16_count, count);
  pleat_plan_info_destroy(plan);
  pleat_tensor_release(run_everything((pleat_session_options){.threads = 1}, "1", &plan));
  ck_assert_uint_eq(plan->bf16_count, 0);
  pleat_plan_info_destroy(plan);
}
END_TEST

/* The last convolution gives the output: nothing is rounded. Nor where a graph's values are halfs already (which they
 * are only as long as nothing folds: sessions run half models in float between their borders). */
START_TEST(what_stays) {
  if (!can_bf16()) return;
  for (int half = 0; half < 2; half++) {
    const pleat_dtype dtype = half == 1 ? PLEAT_FLOAT16 : PLEAT_FLOAT;
    pleat_tensor *y[2];
    for (int bf16 = 0; bf16 < 2; bf16++) {
      builder b = build_begin(8, 14);
      model_input(&b, "x", dtype, "1,32,9,9");
      noise_init(&b, "w", dtype, "32,32,3,3", -0.2, 0.2);
      noise_init(&b, "v", dtype, "16,32,1,1", -0.2, 0.2);
      conv(&b, "x,w", "c", "1,1,1,1");
      if (half == 1) conv(&b, "c,v", "d", "0,0,0,0");
      model_node(&b, "Relu", "", half == 1 ? "d" : "c", "y");
      model_output(&b, "y", dtype, "?");
      const pleat_session_options options = {.precision = bf16 == 1 ? PLEAT_PRECISION_BF16 : PLEAT_PRECISION_FP32,
                                             .no_fold = half == 1};
      pleat_session *session = session_from(&b, options);
      y[bf16] = run_one(session, noise_tensor(dtype, "1,32,9,9", 3));
      pleat_session_destroy(session);
    }
    ck_assert_mem_eq(y[0]->data, y[1]->data, pleat_bytes(y[0]));
    pleat_tensor_release(y[0]);
    pleat_tensor_release(y[1]);
  }
}
END_TEST

/* A tap is float, and does not make what it taps a part of the float end. */
START_TEST(taps) {
  static const char *const names[] = {"pooled", NULL};
  if (!can_bf16()) return;
  builder b = build_begin(8, 14);
  fill(&b, "1");
  pleat_session *session = session_from(&b, (pleat_session_options){.precision = PLEAT_PRECISION_BF16, .taps = names});
  pleat_tensor *x = noise_tensor(PLEAT_FLOAT, "1,3,21,18", 3), *outputs[2];
  run_session(session, &x, outputs);
  ck_assert_int_eq(outputs[1]->dtype, PLEAT_FLOAT);
  const uint32_t *bits = outputs[1]->data;
  for (size_t i = 0; i < outputs[1]->count; i++) ck_assert_uint_eq(bits[i] & 0xffff, 0); /* values of bfloat16 */
  pleat_tensor_release(outputs[0]);
  pleat_tensor_release(outputs[1]);
  pleat_session_destroy(session);
}
END_TEST

START_TEST(not_possible) {
  builder b = build_begin(8, 14);
  fill(&b, "1");
  assert_no_session(&b, (pleat_session_options){.precision = PLEAT_PRECISION_BF16, .float64 = true},
                    PLEAT_INVALID_ARGUMENT, NULL, "oracle");
  b = build_begin(8, 14);
  fill(&b, "1");
  assert_no_session(&b, (pleat_session_options){.precision = (pleat_precision)7}, PLEAT_INVALID_ARGUMENT, NULL,
                    "no precision 7");
  if (can_bf16()) return;
  b = build_begin(8, 14);
  fill(&b, "1");
  assert_no_session(&b, (pleat_session_options){.precision = PLEAT_PRECISION_BF16}, PLEAT_UNSUPPORTED, NULL,
                    "use fp32");
}
END_TEST

/* Both precisions against the oracle, by the public function. */
START_TEST(checked) {
  pleat_check_report *report = NULL;
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_session_options options = PLEAT_SESSION_OPTIONS_INIT;
  pleat_check_options check = PLEAT_CHECK_OPTIONS_INIT;
  builder b = build_begin(8, 14);
  fill(&b, "4");
  pleat_model *model = build_model(&b);
  options.precision = PLEAT_PRECISION_BF16;
  check.runs = 2;
  check.threads = 2;
  const pleat_status status = pleat_model_check_precision(model, &options, &check, &report, &error);
  if (!can_bf16()) {
    ck_assert_int_eq(status, PLEAT_UNSUPPORTED);
    ck_assert_ptr_null(report);
  } else {
    ck_assert_msg(status == PLEAT_OK, "%s", error.message);
    const pleat_check_output *y = &report->outputs[0];
    ck_assert_msg(report->passed, "%s", report->reason);
    ck_assert_uint_eq(y->rows, 2 * 4);
    ck_assert_uint_eq(y->original.other_top, 0);
    ck_assert_double_lt(y->original.max_abs, 1e-5 * y->range);
    ck_assert_double_gt(y->folded.max_abs, y->original.max_abs);
    ck_assert_double_lt(y->folded.max_abs, 2e-2 * y->range);
  }
  pleat_check_report_destroy(report);
  options.precision = PLEAT_PRECISION_FP32;
  ck_assert_int_eq(pleat_model_check_precision(model, &options, &check, &report, &error), PLEAT_OK);
  ck_assert(report->passed && report->outputs[0].difference.max_abs == 0);
  pleat_check_report_destroy(report);
  pleat_model_release(model);
}
END_TEST

Suite *make_suite(void) {
  const TTest *const tests[] = {near_the_truth, places, what_stays, taps, not_possible, checked, NULL};
  Suite *suite = suite_create("session_precision");
  add_tests(suite, "precision", tests);
  return suite;
}

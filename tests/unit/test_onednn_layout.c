/* Layouts in plans: chains of convolutions stay in blocks of channels, conversions stand at the borders only and are
 * made once for all who want them, shapes that do not fill their blocks and views survive; whatever the layouts, the
 * results are those of the float64 oracle, also from several threads at once. */
#include <pthread.h>

#include "model_builder.h"
#include "session/session_private.h"

static void add_conv(builder *b, const char *name, const char *x, const char *shape, const char *y) {
  char inputs[128], weights[64];
  snprintf(weights, sizeof weights, "%s_w", name);
  snprintf(inputs, sizeof inputs, "%s,%s", x, weights);
  noise_init(b, weights, PLEAT_FLOAT, shape, -0.2, 0.2);
  attr_ints(b, model_node(b, "Conv", name, inputs, y), "pads", "1,1,1,1");
}

static pleat_plan_info *plan_of(pleat_session *session) {
  pleat_plan_info *info = NULL;
  ASSERT_OK(pleat_session_plan(session, NULL, 0, &info, error));
  return info;
}

static size_t count_steps(const pleat_plan_info *info, const char *op) {
  size_t count = 0;
  for (size_t i = 0; i < info->step_count; i++) count += strcmp(info->steps[i].op_type, op) == 0;
  return count;
}

/* Output 0 of the session against the oracle's, within 1e-5 of the largest value; `expected_reorders` < 0: any number.
 */
static void check_model(builder *b, const char *input_shape, int expected_reorders) {
  pleat_model *model = build_model(b);
  pleat_tensor *x = noise_tensor(PLEAT_FLOAT, input_shape, 5);
  pleat_session *oracle = session_with(model, (pleat_session_options){.float64 = true});
  pleat_tensor *truth = run_one(oracle, pleat_tensor_retain(x));
  for (int threads = 1; threads <= 3; threads++) {
    pleat_session *session = session_with(model, (pleat_session_options){.threads = threads, .exact = threads == 2});
    pleat_plan_info *info = plan_of(session);
    if (expected_reorders >= 0) ck_assert_uint_eq(info->reorder_count, (size_t)expected_reorders);
    ck_assert_uint_eq(count_steps(info, "Reorder"), info->reorder_count);
    for (int run = 0; run < 2; run++) {
      pleat_tensor *y = run_one(session, pleat_tensor_retain(x));
      ck_assert(pleat_same_shape(y, truth));
      double scale = 0;
      for (size_t i = 0; i < y->count; i++) scale = fmax(scale, fabs(element(truth, i)));
      for (size_t i = 0; i < y->count; i++) {
        if (!(fabs(element(y, i) - element(truth, i)) <= 1e-5 * scale))
          ck_abort_msg("element %zu is %g, not %g", i, element(y, i), element(truth, i));
      }
      pleat_tensor_release(y);
    }
    pleat_plan_info_destroy(info);
    pleat_session_destroy(session);
  }
  pleat_tensor_release(truth);
  pleat_session_destroy(oracle);
  pleat_tensor_release(x);
  pleat_model_release(model);
}

START_TEST(a_chain_has_no_reorder_inside) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "2,3,12,12");
  add_conv(&b, "c1", "x", "32,3,3,3", "a");
  model_node(&b, "Relu", "r1", "a", "r");
  attr_ints(&b, model_node(&b, "MaxPool", "p1", "r", "p"), "kernel_shape", "2,2");
  add_conv(&b, "c2", "p", "32,32,3,3", "c");
  model_node(&b, "GlobalAveragePool", "gap", "c", "g");
  model_node(&b, "Flatten", "flat", "g", "y");
  model_output(&b, "y", PLEAT_FLOAT, "?");
  check_model(&b, "2,3,12,12", 0);
}
END_TEST

/* The result of the last convolution becomes dense once, at the end. */
START_TEST(borders_are_converted) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "1,3,12,12");
  add_conv(&b, "c1", "x", "32,3,3,3", "a");
  add_conv(&b, "c2", "a", "48,32,3,3", "y");
  model_output(&b, "y", PLEAT_FLOAT, "?");
  check_model(&b, "1,3,12,12", 1);
}
END_TEST

/* Two readers that need it dense, and a graph output: one conversion. */
START_TEST(a_conversion_is_shared) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "1,3,6,6");
  add_conv(&b, "c1", "x", "32,3,3,3", "a");
  model_node(&b, "Atan", "e", "a", "e");
  model_node(&b, "Sign", "s", "a", "s");
  model_node(&b, "Sin", "n", "a", "n");
  model_node(&b, "Sum", "y", "e,s,n", "y");
  model_output(&b, "y", PLEAT_FLOAT, "?");
  model_output(&b, "a", PLEAT_FLOAT, "?");
  pleat_session *session = session_from(&b, (pleat_session_options){0});
  pleat_plan_info *info = plan_of(session);
  ck_assert_uint_eq(info->reorder_count, 1);
  pleat_plan_info_destroy(info);
  pleat_session_destroy(session);
}
END_TEST

/* Channels that do not fill their blocks: pooled, added, scaled, concatenated (dense, then), and back. */
START_TEST(channel_tails) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "2,5,9,9");
  add_conv(&b, "c1", "x", "20,5,3,3", "a");
  add_conv(&b, "c2", "a", "20,20,3,3", "c");
  model_node(&b, "Add", "add", "a,c", "s");
  model_node(&b, "Sigmoid", "sig", "s", "g");
  model_node(&b, "GlobalAveragePool", "gap", "g", "m");
  model_node(&b, "Mul", "scale", "s,m", "t");
  build_attr_int(&b, model_node(&b, "Concat", "cat", "t,c", "k"), "axis", 1);
  add_conv(&b, "c3", "k", "17,40,3,3", "y");
  model_output(&b, "y", PLEAT_FLOAT, "?");
  check_model(&b, "2,5,9,9", -1);
}
END_TEST

/* Dense blocks: concatenations of full blocks stay in their layout. */
START_TEST(concatenations_stay) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "1,3,8,8");
  add_conv(&b, "c1", "x", "32,3,3,3", "a");
  add_conv(&b, "c2", "a", "16,32,3,3", "c");
  build_attr_int(&b, model_node(&b, "Concat", "cat", "a,c", "k"), "axis", 1);
  add_conv(&b, "c3", "k", "32,48,3,3", "d");
  model_node(&b, "GlobalAveragePool", "gap", "d", "y");
  model_output(&b, "y", PLEAT_FLOAT, "?");
  check_model(&b, "1,3,8,8", 0);
}
END_TEST

/* Views of another shape want their input dense; the value itself stays as it is for others. */
START_TEST(views_are_dense) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "1,3,6,6");
  INTS_INIT(&b, "shape", "4", 1, 16, 12, 6);
  add_conv(&b, "c1", "x", "32,3,3,3", "a");
  model_node(&b, "Reshape", "reshape", "a,shape", "r");
  add_conv(&b, "c2", "r", "16,16,3,3", "c");
  add_conv(&b, "c3", "a", "16,32,3,3", "d");
  model_node(&b, "Reshape", "back", "d,flat", "e");
  INTS_INIT(&b, "flat", "2", 1, 576);
  model_node(&b, "Flatten", "f", "c", "g");
  build_attr_int(&b, model_node(&b, "Concat", "cat", "e,g", "y"), "axis", 1);
  model_output(&b, "y", PLEAT_FLOAT, "?");
  check_model(&b, "1,3,6,6", -1);
}
END_TEST

/* ---- threads ---- */

typedef struct runner {
  pleat_session *session;
  pleat_tensor *x;
  const pleat_tensor *expected;
  bool same;
} runner;

static void *run_often(void *argument) {
  runner *r = argument;
  r->same = true;
  for (int i = 0; i < 20; i++) {
    pleat_tensor *y = NULL;
    if (pleat_session_run(r->session, &r->x, 1, &y, 1, NULL) != PLEAT_OK) return NULL;
    r->same = r->same && memcmp(y->data, r->expected->data, pleat_bytes(y)) == 0;
    pleat_tensor_release(y);
  }
  return NULL;
}

/* Runs at the same time do not disturb each other: the same bits, always. */
START_TEST(concurrent_runs) {
  enum { RUNNERS = 3 };
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "1,3,16,16");
  add_conv(&b, "c1", "x", "40,3,3,3", "a");
  model_node(&b, "Relu", "r1", "a", "r");
  add_conv(&b, "c2", "r", "33,40,3,3", "y");
  model_output(&b, "y", PLEAT_FLOAT, "?");
  pleat_session *session = session_from(&b, (pleat_session_options){.threads = 2});
  runner runners[RUNNERS];
  pleat_tensor *expected[RUNNERS];
  pthread_t threads[RUNNERS];
  for (int i = 0; i < RUNNERS; i++) {
    runners[i] = (runner){.session = session, .x = noise_tensor(PLEAT_FLOAT, "1,3,16,16", (uint32_t)i + 1)};
    expected[i] = run_one(session, pleat_tensor_retain(runners[i].x));
    runners[i].expected = expected[i];
  }
  for (int i = 0; i < RUNNERS; i++) ck_assert_int_eq(pthread_create(&threads[i], NULL, run_often, &runners[i]), 0);
  for (int i = 0; i < RUNNERS; i++) {
    pthread_join(threads[i], NULL);
    ck_assert(runners[i].same);
    pleat_tensor_release(runners[i].x);
    pleat_tensor_release(expected[i]);
  }
  pleat_session_destroy(session);
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  const TTest *const tests[] = {
      a_chain_has_no_reorder_inside, borders_are_converted, a_conversion_is_shared, channel_tails,
      concatenations_stay,           views_are_dense,       concurrent_runs,        NULL};
  Suite *suite = suite_create("onednn_layout");
  add_tests(suite, "layout", tests);
  return suite;
}

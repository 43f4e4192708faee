/* What a plan's description tells of the steps of If, Loop and Scan bodies, and of their times. */
#include "flow_case.h"

static size_t steps_called(pleat_session *session, const char *node) {
  pleat_plan_info *info = NULL;
  size_t count = 0;
  ASSERT_OK(pleat_session_plan(session, NULL, 0, &info, error));
  for (size_t i = 0; i < info->step_count; i++) count += strcmp(info->steps[i].node, node) == 0;
  pleat_plan_info_destroy(info);
  return count;
}

/* Bodies that are planned ahead are described; of an If whose condition is known, only what is taken. */
START_TEST(steps_of_bodies) {
  for (int known = 0; known < 2; known++) {
    builder b = build_begin(8, 13);
    model_input(&b, "x", PLEAT_FLOAT, "2");
    INTS_INIT(&b, "trips", "", 3);
    Onnx__GraphProto *body = loop_body(&b, PLEAT_FLOAT, "2");
    INTS_INIT(&b, "one", "", 1);
    build_node(&b, body, "Less", "", known ? "trips,one" : "i,one", "c");
    add_if(&b, body, "choice", "c", "r", branch(&b, PLEAT_FLOAT, "Neg", "s", "t"),
           branch(&b, PLEAT_FLOAT, "Exp", "s", "e"));
    body_output(&b, body, "r", PLEAT_FLOAT);
    add_loop(&b, b.graph, "loop", "trips,,x", "y", body);
    model_output(&b, "y", PLEAT_FLOAT, "?");
    pleat_session *session = session_from(&b, (pleat_session_options){.threads = 1, .no_fold = true});
    ck_assert_uint_eq(steps_called(session, "loop"), 1);
    ck_assert_uint_eq(steps_called(session, "loop > choice"), 1);
    ck_assert_uint_eq(steps_called(session, "loop > choice > t"), known ? 0 : 1);
    ck_assert_uint_eq(steps_called(session, "loop > choice > e"), 1);
    pleat_session_destroy(session);
  }
}
END_TEST

static const pleat_step_info *step_called(const pleat_plan_info *info, const char *node) {
  for (size_t i = 0; i < info->step_count; i++) {
    if (strcmp(info->steps[i].node, node) == 0) return &info->steps[i];
  }
  ck_abort_msg("no step '%s'", node);
  return NULL;
}

/* Of a body's step: all that its iterations took in a run, one that never ran none. */
START_TEST(times_of_bodies) {
  enum { RUNS = 4 };
  static const char *const names[] = {"loop", "loop > choice", "loop > choice > e", "loop > choice > t", "last"};
  static const uint32_t depths[] = {0, 1, 2, 2, 0};
  builder b = build_begin(8, 13);
  model_input(&b, "x", PLEAT_FLOAT, "2");
  model_input(&b, "trips", PLEAT_INT64, "");
  INTS_INIT(&b, "two", "", 2);
  Onnx__GraphProto *body = loop_body(&b, PLEAT_FLOAT, "2");
  build_node(&b, body, "Less", "", "i,two", "c");
  add_if(&b, body, "choice", "c", "r", branch(&b, PLEAT_FLOAT, "Neg", "s", "t"),
         branch(&b, PLEAT_FLOAT, "Exp", "s", "e"));
  body_output(&b, body, "r", PLEAT_FLOAT);
  add_loop(&b, b.graph, "loop", "trips,,x", "z", body);
  model_node(&b, "Abs", "last", "z", "y");
  model_output(&b, "y", PLEAT_FLOAT, "?");
  pleat_session *session = session_from(&b, (pleat_session_options){.profile = true, .no_fold = true});
  for (int64_t trips = 1; trips <= RUNS; trips++) {
    pleat_tensor *inputs[2] = {FLOATS("2", 1, 2), INT64S("", trips)}, *y = NULL;
    run_session(session, inputs, &y);
    pleat_tensor_release(y);
  }
  pleat_plan_info *info = NULL;
  ASSERT_OK(pleat_session_plan(session, NULL, 0, &info, error));
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const pleat_step_info *step = step_called(info, names[i]), *outer = step_called(info, "loop");
    ck_assert_uint_eq(step->depth, depths[i]);
    ck_assert_uint_eq(step->runs, i == 2 ? RUNS - 2 : RUNS); /* "e" is taken from the third iteration on */
    ck_assert(step->min_ns > 0 && step->runs * step->min_ns <= step->total_ns);
    if (step->depth > 0) ck_assert_uint_lt(step->total_ns, outer->total_ns);
  }
  pleat_plan_info_destroy(info);
  pleat_session_destroy(session);
}
END_TEST

Suite *make_suite(void) {
  const TTest *const tests[] = {steps_of_bodies, times_of_bodies, NULL};
  Suite *suite = suite_create("session_flow_steps");
  add_tests(suite, "steps", tests);
  return suite;
}

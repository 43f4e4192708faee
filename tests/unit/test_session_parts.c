/* Running a batch in parts: callers' outputs, what fails in one of the parts, several runs at once, and the profile.
 * Which graphs run so, and that the results are right: test_plan_parts.c. */
#include <pthread.h>
#include <stdatomic.h>

#include "model_builder.h"
#include "session/session_private.h"

enum { BATCH = 6, RUNS = 40, CALLERS = 3 };

/* A convolution whose result goes out as it is, and once more from behind a table: x may hold no index beyond 4. */
static pleat_session *make_session(int threads, bool profile) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "N,2,4,4");
  noise_init(&b, "w", PLEAT_FLOAT, "3,2,3,3", -1, 1);
  noise_init(&b, "table", PLEAT_FLOAT, "5,3", -1, 1);
  attr_ints(&b, model_node(&b, "Conv", "conv", "x,w", "y"), "pads", "1,1,1,1");
  build_attr_int(&b, model_node(&b, "Cast", "cast", "x", "i"), "to", PLEAT_INT64);
  build_attr_int(&b, model_node(&b, "Gather", "gather", "table,i", "z"), "axis", 0);
  model_output(&b, "y", PLEAT_FLOAT, "?");
  model_output(&b, "z", PLEAT_FLOAT, "?");
  model_output(&b, "x", PLEAT_FLOAT, "?");
  return session_from(&b, (pleat_session_options){.threads = threads, .part_samples = 1, .profile = profile});
}

static pleat_tensor *make_input(void) {
  return noise_tensor(PLEAT_FLOAT, "6,2,4,4", 9);
}

static void assert_in_parts(const pleat_session *session) {
  ck_assert_ptr_nonnull(session->plans->plan->parts.plan);
  ck_assert_uint_eq(session->plans->plan->parts.count, BATCH);
  ck_assert_int_eq(session->plans->plan->parts.workers, session->threads);
}

START_TEST(outputs_of_the_callers) {
  for (int threads = 1; threads <= 3; threads++) {
    pleat_session *session = make_session(threads, false);
    pleat_tensor *fresh[3] = {NULL}, *given[3], *x = make_input();
    pleat_error error = PLEAT_ERROR_INIT;
    ck_assert_int_eq(pleat_session_run(session, &x, 1, fresh, 3, NULL), PLEAT_OK);
    assert_in_parts(session);
    ck_assert_int_eq(memcmp(fresh[2]->data, x->data, pleat_bytes(x)), 0);
    for (int i = 0; i < 3; i++)
      ck_assert_int_eq(pleat_tensor_create(fresh[i]->dtype, fresh[i]->rank, fresh[i]->dims, &given[i], NULL), PLEAT_OK);
    ck_assert_int_eq(pleat_session_run(session, &x, 1, given, 3, NULL), PLEAT_OK);
    for (int i = 0; i < 3; i++) ck_assert_int_eq(memcmp(fresh[i]->data, given[i]->data, pleat_bytes(fresh[i])), 0);
    pleat_tensor *wrong[3] = {given[2], given[1], given[0]};
    ck_assert_int_eq(pleat_session_run(session, &x, 1, wrong, 3, &error), PLEAT_SHAPE_MISMATCH);
    ck_assert_str_eq(error.tensor, "y");
    for (int i = 0; i < 3; i++) {
      pleat_tensor_release(fresh[i]);
      pleat_tensor_release(given[i]);
    }
    pleat_tensor_release(x);
    pleat_session_destroy(session);
  }
}
END_TEST

/* The same error whichever worker it happens to; nothing is handed out, and the next run is as if nothing was. */
START_TEST(part_that_fails) {
  for (int threads = 1; threads <= 3; threads++) {
    pleat_session *session = make_session(threads, false);
    pleat_tensor *x = make_input(), *outputs[3] = {NULL};
    float *numbers = x->data;
    const size_t sample = x->count / BATCH;
    numbers[2 * sample + 1] = 77;
    numbers[5 * sample] = 88;
    for (int run = 0; run < 10; run++) {
      pleat_error error = PLEAT_ERROR_INIT;
      ck_assert_int_eq(pleat_session_run(session, &x, 1, outputs, 3, &error), PLEAT_INVALID_ARGUMENT);
      assert_in_parts(session);
      ck_assert_str_eq(error.node, "gather");
      ck_assert_ptr_nonnull(strstr(error.message, "77"));
      for (int i = 0; i < 3; i++) ck_assert_ptr_null(outputs[i]);
    }
    numbers[2 * sample + 1] = numbers[5 * sample] = 1;
    ck_assert_int_eq(pleat_session_run(session, &x, 1, outputs, 3, NULL), PLEAT_OK);
    for (int i = 0; i < 3; i++) pleat_tensor_release(outputs[i]);
    pleat_tensor_release(x);
    pleat_session_destroy(session);
  }
}
END_TEST

typedef struct shared {
  pleat_session *session;
  const pleat_tensor *expected;
  atomic_int wrong;
} shared;

static void *run_often(void *argument) {
  shared *all = argument;
  for (int i = 0; i < RUNS; i++) {
    pleat_tensor *x = make_input(), *outputs[3] = {NULL};
    const bool good = pleat_session_run(all->session, &x, 1, outputs, 3, NULL) == PLEAT_OK &&
                      memcmp(outputs[0]->data, all->expected->data, pleat_bytes(all->expected)) == 0;
    all->wrong += !good;
    for (int k = 0; k < 3; k++) pleat_tensor_release(outputs[k]);
    pleat_tensor_release(x);
  }
  return NULL;
}

START_TEST(several_runs_at_once) {
  pthread_t callers[CALLERS];
  pleat_tensor *x = make_input(), *outputs[3] = {NULL};
  shared all = {.session = make_session(2, true)};
  ck_assert_int_eq(pleat_session_run(all.session, &x, 1, outputs, 3, NULL), PLEAT_OK);
  all.expected = outputs[0];
  for (int i = 0; i < CALLERS; i++) ck_assert_int_eq(pthread_create(&callers[i], NULL, run_often, &all), 0);
  for (int i = 0; i < CALLERS; i++) pthread_join(callers[i], NULL);
  ck_assert_int_eq(all.wrong, 0);
  for (int k = 0; k < 3; k++) pleat_tensor_release(outputs[k]);
  pleat_tensor_release(x);
  pleat_session_destroy(all.session);
}
END_TEST

/* Each part is a run of its steps, and each worker has activations of its own. */
START_TEST(profile_of_parts) {
  const int64_t dims[4] = {BATCH, 2, 4, 4};
  const pleat_input_shape shape = {.name = "x", .rank = 4, .dims = dims};
  uint64_t bytes_of_one = 0;
  for (int threads = 1; threads <= 2; threads++) {
    pleat_session *session = make_session(threads, true);
    pleat_tensor *x = make_input(), *outputs[3] = {NULL};
    pleat_plan_info *info = NULL;
    ck_assert_int_eq(pleat_session_run(session, &x, 1, outputs, 3, NULL), PLEAT_OK);
    ck_assert_int_eq(pleat_session_plan(session, &shape, 1, &info, NULL), PLEAT_OK);
    ck_assert_uint_gt(info->step_count, 0);
    for (size_t i = 0; i < info->step_count; i++) ck_assert_uint_eq(info->steps[i].runs, BATCH);
    ck_assert_uint_eq(info->part_count, BATCH);
    ck_assert_int_eq(info->part_samples, 1);
    ck_assert_int_eq(info->part_workers, threads);
    if (threads == 1) bytes_of_one = info->activation_bytes;
    ck_assert_uint_gt(bytes_of_one, 0);
    ck_assert_uint_eq(info->activation_bytes, bytes_of_one * (uint64_t)threads);
    pleat_plan_info_destroy(info);
    for (int k = 0; k < 3; k++) pleat_tensor_release(outputs[k]);
    pleat_tensor_release(x);
    pleat_session_destroy(session);
  }
}
END_TEST

START_TEST(negative_samples_are_refused) {
  builder b = build_begin(8, MODEL_OPSET);
  pleat_session *session = NULL;
  pleat_error error = PLEAT_ERROR_INIT;
  model_input(&b, "x", PLEAT_FLOAT, "N");
  model_node(&b, "Relu", "relu", "x", "y");
  model_output(&b, "y", PLEAT_FLOAT, "N");
  pleat_model *model = build_model(&b);
  pleat_session_options options = PLEAT_SESSION_OPTIONS_INIT;
  options.part_samples = -1;
  ck_assert_int_eq(pleat_session_create(model, &options, &session, &error), PLEAT_INVALID_ARGUMENT);
  ck_assert_ptr_nonnull(strstr(error.message, "part_samples"));
  pleat_model_release(model);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("session_parts");
  add_tests(suite, "parts",
            (const TTest *const[]){outputs_of_the_callers, part_that_fails, several_runs_at_once, profile_of_parts,
                                   negative_samples_are_refused, NULL});
  return suite;
}

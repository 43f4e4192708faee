/* One session, several threads, different shapes at once: every run must give what one thread alone gets. Made for
 * ThreadSanitizer as well (the preset tsan). */
#include <pthread.h>
#include <stdatomic.h>

#include "model_builder.h"

enum { THREADS = 4, RUNS = 120, SHAPES = 24 }; /* more shapes than plans are kept: they come and go meanwhile */

typedef struct shared {
  pleat_session *session;
  pleat_tensor *inputs[SHAPES], *expected[SHAPES];
  atomic_int wrong, failed;
} shared;

typedef struct worker {
  shared *all;
  uint32_t seed;
} worker;

/* Static steps, views, in-place chains, a dynamic step, half precision, a lazily read Constant. */
static builder threaded_model(void) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "N,2,6,6");
  noise_init(&b, "w", PLEAT_FLOAT, "4,2,3,3", -1, 1);
  noise_init(&b, "wh", PLEAT_FLOAT16, "4,4,1,1", -1, 1);
  constant_node(&b, "flat", PLEAT_INT64, "2", (double[]){-1, 64});
  model_node(&b, "Conv", "conv", "x,w", "c");
  model_node(&b, "Relu", "relu", "c", "r");
  build_attr_int(&b, model_node(&b, "Cast", "half", "r", "h"), "to", PLEAT_FLOAT16);
  model_node(&b, "Conv", "conv_half", "h,wh", "ch");
  build_attr_int(&b, model_node(&b, "Cast", "full", "ch", "f"), "to", PLEAT_FLOAT);
  model_node(&b, "Reshape", "reshape", "f,flat", "m");
  model_node(&b, "NonZero", "nonzero", "m", "i");
  attr_ints(&b, model_node(&b, "Transpose", "transpose", "i", "t"), "perm", "1,0");
  model_node(&b, "GatherND", "gather", "m,t", "g");
  build_attr_int(&b, model_node(&b, "ReduceSum", "sum", "g", "s"), "keepdims", 0);
  model_node(&b, "Add", "add", "m,s", "y");
  model_output(&b, "y", PLEAT_FLOAT, "?");
  return b;
}

static void *work(void *argument) {
  worker *me = argument;
  for (int i = 0; i < RUNS; i++) {
    me->seed = me->seed * 1664525u + 1013904223u;
    size_t shape = (me->seed >> 8) % SHAPES;
    pleat_tensor *y = NULL;
    if (i % 16 == 7) { /* somebody looks at plans meanwhile */
      const int64_t dims[4] = {(int64_t)shape + 1, 2, 6, 6};
      const pleat_input_shape given = {.name = "x", .rank = 4, .dims = dims};
      pleat_plan_info *info = NULL;
      if (pleat_session_plan(me->all->session, &given, 1, &info, NULL) != PLEAT_OK) me->all->failed++;
      pleat_plan_info_destroy(info);
    }
    if (pleat_session_run(me->all->session, &me->all->inputs[shape], 1, &y, 1, NULL) != PLEAT_OK) {
      me->all->failed++;
      continue;
    }
    if (memcmp(y->data, me->all->expected[shape]->data, pleat_bytes(y)) != 0) me->all->wrong++;
    pleat_tensor_release(y);
  }
  return NULL;
}

static void check_threads(pleat_session_options options) {
  static shared all;
  pthread_t threads[THREADS];
  worker workers[THREADS];
  builder b = threaded_model();
  pleat_model *model = build_model(&b);
  pleat_session *alone = session_with(model, options);
  all.session = session_with(model, options);
  for (size_t i = 0; i < SHAPES; i++) {
    char shape[32];
    snprintf(shape, sizeof shape, "%zu,2,6,6", i + 1);
    all.inputs[i] = noise_tensor(PLEAT_FLOAT, shape, (uint32_t)i);
    all.expected[i] = run_one(alone, pleat_tensor_retain(all.inputs[i]));
  }
  for (size_t i = 0; i < THREADS; i++) {
    workers[i] = (worker){.all = &all, .seed = (uint32_t)i * 7919 + 3};
    ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
  }
  for (size_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  ck_assert_int_eq(all.failed, 0);
  ck_assert_int_eq(all.wrong, 0);
  for (size_t i = 0; i < SHAPES; i++) {
    pleat_tensor_release(all.inputs[i]);
    pleat_tensor_release(all.expected[i]);
  }
  pleat_session_destroy(all.session);
  pleat_session_destroy(alone);
  pleat_model_release(model);
}

START_TEST(threads_share_a_session) {
  check_threads((pleat_session_options){0});
}
END_TEST
START_TEST(threads_share_a_profiling_session) {
  check_threads((pleat_session_options){.profile = true, .no_fold = true});
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("session_threads");
  add_tests(suite, "threads", (const TTest *const[]){threads_share_a_session, threads_share_a_profiling_session, NULL});
  return suite;
}

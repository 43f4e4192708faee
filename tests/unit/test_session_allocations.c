/* After the first run of a shape, a run with output tensors of the caller's allocates nothing and takes no lock:
 * counted by standing in for the C library's allocation functions and for pthread_mutex_lock. Not under sanitizers,
 * which do the same. */
#define _GNU_SOURCE /* RTLD_NEXT */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "flow_case.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)

START_TEST(not_counted_here) {
  puts("skipped: a sanitizer, or a C library other than glibc, stands in for malloc itself");
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("session_allocations");
  add_tests(suite, "allocations", (const TTest *const[]){not_counted_here, NULL});
  return suite;
}

#else

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static atomic_size_t allocations, locks;

void *malloc(size_t size) {
  atomic_fetch_add(&allocations, 1);
  return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
  atomic_fetch_add(&allocations, 1);
  return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size) {
  atomic_fetch_add(&allocations, 1);
  return __libc_realloc(memory, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
  atomic_fetch_add(&allocations, 1);
  return __libc_memalign(alignment, size);
}

int posix_memalign(void **out_memory, size_t alignment, size_t size) {
  atomic_fetch_add(&allocations, 1);
  *out_memory = __libc_memalign(alignment, size);
  return *out_memory != NULL ? 0 : ENOMEM;
}

int pthread_mutex_lock(pthread_mutex_t *mutex) {
  static _Atomic(int (*)(pthread_mutex_t *)) real;
  int (*call)(pthread_mutex_t *) = atomic_load(&real);
  if (call == NULL) {
    void *symbol = dlsym(RTLD_NEXT, "pthread_mutex_lock");
    memcpy(&call, &symbol, sizeof call);
    atomic_store(&real, call);
  }
  atomic_fetch_add(&locks, 1);
  return call(mutex);
}

/* Runs the session three times to settle, then ten times under count, and ends it. */
static void count_session(pleat_session *session, const char *shape, size_t *out_allocations, size_t *out_locks) {
  pleat_tensor *output = NULL;
  pleat_tensor *input = noise_tensor(PLEAT_FLOAT, shape, 3);
  for (int i = 0; i < 3; i++) {
    ck_assert_int_eq(pleat_session_run(session, &input, 1, &output, 1, NULL), PLEAT_OK);
  }
  size_t allocations_before = atomic_load(&allocations), locks_before = atomic_load(&locks);
  pleat_status worst = PLEAT_OK; /* no assertion in here: Check allocates for each */
  for (int i = 0; i < 10; i++) {
    pleat_status status = pleat_session_run(session, &input, 1, &output, 1, NULL);
    if (status != PLEAT_OK) worst = status;
  }
  *out_allocations = atomic_load(&allocations) - allocations_before;
  *out_locks = atomic_load(&locks) - locks_before;
  ck_assert_int_eq(worst, PLEAT_OK);
  pleat_tensor_release(output);
  pleat_tensor_release(input);
  pleat_session_destroy(session);
}

static void count_runs(const char *path, const char *shape, pleat_session_options options, size_t *out_allocations,
                       size_t *out_locks) {
  pleat_model *model = NULL;
  pleat_error error = PLEAT_ERROR_INIT;
  ck_assert_msg(pleat_model_load(path, &model, &error) == PLEAT_OK, "%s", error.message);
  count_session(session_with(model, options), shape, out_allocations, out_locks);
  pleat_model_release(model);
}

START_TEST(counting_works) {
  size_t before = atomic_load(&allocations);
  void *volatile memory = malloc(10);
  free(memory);
  ck_assert_uint_eq(atomic_load(&allocations) - before, 1);
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  before = atomic_load(&locks);
  pthread_mutex_lock(&mutex);
  pthread_mutex_unlock(&mutex);
  ck_assert_uint_eq(atomic_load(&locks) - before, 1);
}
END_TEST

START_TEST(no_allocation_and_no_lock_in_a_run) {
  static const struct {
    const char *model, *shape;
    int64_t part;
  } cases[] = {{"digits_cnn", "1,1,8,8", 0},
               {"digits_cnn", "3,1,8,8", 0},
               {"digits_cnn", "4,1,8,8", 1},
               {"unet_decoder", "2,3,24,40", 0}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    for (int threads = 1; threads <= 2; threads++) {
      char path[512];
      size_t made, taken;
      snprintf(path, sizeof path, "%s/models/%s/model.onnx", PLEAT_SOURCE_DIR, cases[i].model);
      count_runs(path, cases[i].shape, (pleat_session_options){.threads = threads, .part_samples = cases[i].part},
                 &made, &taken);
      ck_assert_msg(made == 0, "%s, %d threads: %zu allocations in 10 runs", cases[i].model, threads, made);
      ck_assert_msg(taken == 0, "%s, %d threads: %zu locks in 10 runs", cases[i].model, threads, taken);
    }
  }
}
END_TEST

/* Ten thousand iterations with a branch in each: no plan is made for shapes that were seen before. */
START_TEST(no_allocation_in_an_iteration) {
  builder b = build_begin(8, 13);
  model_input(&b, "x", PLEAT_FLOAT, "2");
  INTS_INIT(&b, "trips", "", 10000);
  INTS_INIT(&b, "half", "", 5000);
  model_init(&b, "small", PLEAT_FLOAT, "", (const double[]){1e-3});
  Onnx__GraphProto *body = loop_body(&b, PLEAT_FLOAT, "2");
  build_node(&b, body, "Less", "", "i,half", "early");
  add_if(&b, body, "if", "early", "r", branch(&b, PLEAT_FLOAT, "Add", "s,small", "t"),
         branch(&b, PLEAT_FLOAT, "Sub", "s,small", "e"));
  body_output(&b, body, "r", PLEAT_FLOAT);
  body_output(&b, body, "i", PLEAT_INT64);
  add_loop(&b, b.graph, "loop", "trips,,x", "y,steps", body);
  model_output(&b, "y", PLEAT_FLOAT, "2");
  size_t made, taken;
  count_session(session_from(&b, (pleat_session_options){.threads = 1}), "2", &made, &taken);
  ck_assert_msg(made == 0 && taken == 0, "%zu allocations and %zu locks in 10 runs of 10,000 iterations", made, taken);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("session_allocations");
  add_tests(
      suite, "allocations",
      (const TTest *const[]){counting_works, no_allocation_in_an_iteration, no_allocation_and_no_lock_in_a_run, NULL});
  return suite;
}

#endif

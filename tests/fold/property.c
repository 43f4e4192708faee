/* Folding never changes what a model computes: random models (random_graph.h), folded and as they are, in float64.
 *
 * PLEAT_PROPERTY_COUNT says how many (the build sets it), PLEAT_PROPERTY_SEED where to begin, PLEAT_PROPERTY_SAVE a
 * folder that gets the model of a failing seed. Seeds that once failed are run first. */
#include <stdarg.h>
#include <stdint.h>

#include "fold/fold.h"
#include "fold/random_graph.h"

/* Seeds that found a bug, or a rule that was broken on purpose: the shift of a sum lost, a MaxPool passed with a
 * negative scale. */
static const uint64_t regressions[] = {1, 1240};

typedef struct totals {
  size_t graphs, with_norms, with_folds, norms_before, norms_after, compared;
} totals;

static const char *current = "";

static void fail_with(uint64_t seed, const pleat_model *model, const char *format, ...) PLEAT_PRINTF(3, 4);
static void fail_with(uint64_t seed, const pleat_model *model, const char *format, ...) {
  va_list args;
  char path[512];
  const char *folder = getenv("PLEAT_PROPERTY_SAVE");
  fprintf(stderr, "seed %llu (%s): ", (unsigned long long)seed, current);
  va_start(args, format);
  vfprintf(stderr, format, args);
  va_end(args);
  fputc('\n', stderr);
  if (folder != NULL && model != NULL) {
    snprintf(path, sizeof path, "%s/seed_%llu.onnx", folder, (unsigned long long)seed);
    pleat_model_save(model, path, PLEAT_EXTERNAL_KEEP, NULL);
  }
  exit(1);
}

#define REQUIRE(seed, model, expression)                                                                               \
  do {                                                                                                                 \
    pleat_error error_ = PLEAT_ERROR_INIT, *error = &error_;                                                           \
    char text_[2048];                                                                                                  \
    if ((expression) != PLEAT_OK) fail_with(seed, model, "%s", pleat_error_format(error, text_, sizeof text_));        \
  } while (0)

static void make_inputs(const random_graph *g, pleat_tensor **inputs) {
  for (size_t i = 0; i < g->input_count; i++) {
    uint32_t state = (uint32_t)i + 7;
    pleat_error error = PLEAT_ERROR_INIT;
    if (pleat_tensor_create(g->dtype, g->inputs[i].rank, g->inputs[i].dims, &inputs[i], &error) != PLEAT_OK) abort();
    for (size_t k = 0; k < inputs[i]->count; k++) pleat_store_f64(g->dtype, inputs[i]->data, k, noise(&state, -2, 2));
  }
}

/* Runs a model; the outputs in double. */
static size_t run_model(uint64_t seed, const random_graph *g, const pleat_model *model, bool float64, bool no_fold,
                        pleat_tensor **outputs) {
  pleat_tensor *inputs[4] = {NULL};
  pleat_session *session = NULL;
  const pleat_session_options options = {.size = sizeof options, .threads = 1, .no_fold = no_fold, .float64 = float64};
  memset(outputs, 0, LIMIT_VALUES * sizeof *outputs);
  make_inputs(g, inputs);
  REQUIRE(seed, model, pleat_session_create(model, &options, &session, error));
  const size_t count = pleat_session_output_count(session);
  if (count > LIMIT_VALUES) fail_with(seed, model, "%zu outputs", count);
  REQUIRE(seed, model, pleat_session_run(session, inputs, g->input_count, outputs, count, error));
  for (size_t i = 0; i < g->input_count; i++) pleat_tensor_release(inputs[i]);
  pleat_session_destroy(session);
  return count;
}

/* Weights were rounded once to the model's type, and a chain may amplify that. */
static double tolerance_for(pleat_dtype dtype) {
  return dtype == PLEAT_DOUBLE ? 1e-9 : dtype == PLEAT_FLOAT ? 1e-4 : 0.1;
}

static void compare(uint64_t seed, const pleat_model *model, const pleat_tensor *a, const pleat_tensor *b,
                    double tolerance) {
  double range = 1;
  if (!pleat_same_shape(a, b) || a->dtype != b->dtype) fail_with(seed, model, "another shape or type");
  for (size_t i = 0; i < a->count; i++) range = fmax(range, fabs(pleat_load_f64(a->dtype, a->data, i)));
  for (size_t i = 0; i < a->count; i++) {
    const double x = pleat_load_f64(a->dtype, a->data, i), y = pleat_load_f64(b->dtype, b->data, i);
    if (!(fabs(x - y) <= tolerance * range)) {
      fail_with(seed, model, "element %zu is %.17g, folded %.17g (range %g)", i, x, y, range);
    }
  }
}

static void compare_models(uint64_t seed, const random_graph *g, const pleat_model *original, const pleat_model *folded,
                           totals *sums) {
  pleat_tensor *expected[LIMIT_VALUES] = {NULL}, *found[LIMIT_VALUES] = {NULL};
  const bool in_double = g->dtype == PLEAT_DOUBLE;
  current = "the model as it is";
  const size_t count = run_model(seed, g, original, !in_double, true, expected);
  for (int way = 0; way < 2; way++) {
    current = way == 0 ? "folded file" : "folded by the session";
    if (way == 1 && !in_double) break; /* a session in float64 does not fold */
    if (run_model(seed, g, way == 0 ? folded : original, !in_double, way == 0, found) != count) {
      fail_with(seed, original, "another number of outputs");
    }
    for (size_t i = 0; i < count; i++) {
      compare(seed, original, expected[i], found[i], tolerance_for(g->dtype));
      pleat_tensor_release(found[i]);
      sums->compared++;
    }
  }
  for (size_t i = 0; i < count; i++) pleat_tensor_release(expected[i]);
}

/* Folds; the file is written and read again, verified, and folded once more, which must change nothing. */
static pleat_model *fold_and_reload(uint64_t seed, const pleat_model *model, bool duplicate,
                                    pleat_fold_report **out_report) {
  void *data = NULL, *again_data = NULL;
  size_t size = 0, again_size = 0;
  pleat_model *folded = NULL, *loaded = NULL, *again = NULL;
  pleat_graph *graph = NULL;
  pleat_fold_options options = PLEAT_FOLD_OPTIONS_INIT;
  options.duplicate = duplicate;
  current = "folding";
  REQUIRE(seed, model, pleat_model_fold(model, &options, &folded, out_report, error));
  REQUIRE(seed, model, pleat_model_save_memory(folded, &data, &size, error));
  REQUIRE(seed, model, pleat_model_load_memory(data, size, NULL, &loaded, error));
  REQUIRE(seed, model, pleat_graph_import(loaded, NULL, &graph, error));
  REQUIRE(seed, model, pleat_graph_verify(graph, error));
  pleat_graph_destroy(graph);
  current = "folding twice";
  REQUIRE(seed, model, pleat_model_fold(loaded, &options, &again, NULL, error));
  REQUIRE(seed, model, pleat_model_save_memory(again, &again_data, &again_size, error));
  if (size != again_size || memcmp(data, again_data, size) != 0) {
    fail_with(seed, model, "the second fold changes the file: %zu and %zu bytes", size, again_size);
  }
  free(data);
  free(again_data);
  pleat_model_release(folded);
  pleat_model_release(again);
  return loaded;
}

static void check_seed(uint64_t seed, totals *sums) {
  static random_graph g;
  pleat_fold_report *report = NULL;
  pleat_model *model = random_graph_build(&g, seed);
  pleat_model *folded = fold_and_reload(seed, model, seed % 4 == 0, &report);
  sums->graphs++;
  sums->with_norms += report->norms_before > 0;
  sums->with_folds += report->norms_after < report->norms_before;
  sums->norms_before += report->norms_before;
  sums->norms_after += report->norms_after;
  pleat_fold_report_destroy(report);
  compare_models(seed, &g, model, folded, sums);
  pleat_model_release(model);
  pleat_model_release(folded);
}

static uint64_t number_from(const char *variable, uint64_t otherwise) {
  const char *text = getenv(variable);
  return text != NULL && text[0] != '\0' ? strtoull(text, NULL, 10) : otherwise;
}

START_TEST(folding_keeps_the_values) {
  totals sums = {0};
  const uint64_t count = number_from("PLEAT_PROPERTY_COUNT", 2000), first = number_from("PLEAT_PROPERTY_SEED", 1000);
  printf("seeds %llu to %llu\n", (unsigned long long)first, (unsigned long long)(first + count - 1));
  fflush(stdout);
  for (size_t i = 0; i < sizeof regressions / sizeof regressions[0]; i++) check_seed(regressions[i], &sums);
  for (uint64_t i = 0; i < count; i++) check_seed(first + i, &sums);
  printf("%zu graphs, %zu with normalisations, %zu where some were folded; normalisations %zu -> %zu; %zu outputs "
         "compared\n",
         sums.graphs, sums.with_norms, sums.with_folds, sums.norms_before, sums.norms_after, sums.compared);
  /* Else the models would not test what they are for. */
  if (count >= 100 && (sums.with_norms * 2 < sums.graphs || sums.with_folds * 5 < sums.with_norms * 2)) {
    ck_abort_msg("too few of the graphs have something to fold");
  }
}
END_TEST

/* In this process, so that a failing seed ends it, with its message. */
int main(void) {
  Suite *suite = suite_create("fold_property");
  TCase *tcase = tcase_create("property");
  tcase_add_test(tcase, folding_keeps_the_values);
  suite_add_tcase(suite, tcase);
  SRunner *runner = srunner_create(suite);
  srunner_set_fork_status(runner, CK_NOFORK);
  srunner_run_all(runner, CK_NORMAL);
  const int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

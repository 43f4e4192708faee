/* pleat bench: how fast a model loads and runs.
 *
 * The first run, which plans and touches memory, is told apart from the others; runs after the warm-up count, at least
 * 10, until 3 seconds or 100 runs are over, on the monotonic clock. Outputs are handed back to the session to be
 * filled again. Percentiles are by nearest rank. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "check_text.h"
#include "files.h"
#include "inputs.h"
#include "session.h"
#include "text.h"

enum { MIN_RUNS = 10, MAX_RUNS = 100 };
#define MAX_SECONDS 3.0

typedef struct bench_args {
  cli_args base;
  cli_list inputs, shapes;
  const char *json;
  int threads, runs, warmup, accuracy;
  bool no_fold;
  session_args session;
} bench_args;

static const bench_args defaults = {.warmup = 2};

static const cli_option options[] = {
    {"input", 'i', "NAME=SOURCE", CLI_LIST, offsetof(bench_args, inputs),
     "data of an input (repeatable; default: random)", 0, 0},
    {"shape", 0, "NAME=SHAPE", CLI_LIST, offsetof(bench_args, shapes),
     "shape of a random input, such as x=1x3x224x224 (repeatable)", 0, 0},
    {"threads", 0, "N", CLI_INT, offsetof(bench_args, threads), "threads (default 0: all cores)", 0, 1024},
    {"runs", 0, "R", CLI_INT, offsetof(bench_args, runs),
     "runs to measure (default: 3 seconds of them, at least 10 and at most 100)", 1, 1000000},
    {"warmup", 0, "W", CLI_INT, offsetof(bench_args, warmup), "runs after the first that do not count (default 2)", 0,
     1000000},
    {"no-fold", 0, NULL, CLI_FLAG, offsetof(bench_args, no_fold), "run the graph as it is in the file", 0, 0},
    SESSION_OPTIONS(bench_args, session),
    {"accuracy", 0, "N", CLI_INT, offsetof(bench_args, accuracy),
     "show the errors against the float64 oracle on N random inputs,\ntoo (default with a precision that is not fp32: "
     "3)",
     1, 1000000},
    {"json", 0, "FILE", CLI_STRING, offsetof(bench_args, json), "write the figures as JSON ('-': standard output)", 0,
     0},
    {0},
};

typedef struct figures {
  uint64_t load_ns, first_ns;
  uint64_t *run_ns; /* sorted */
  size_t runs;
  double items; /* per run */
  int threads;
  uint64_t peak_rss_bytes;
} figures;

typedef struct bench {
  const loaded *loaded;
  const input_list *inputs;
  pleat_tensor **outputs;
  size_t output_count;
} bench;

/* Lets the next run fill the same output tensors, as a careful caller does. Lists are made anew. */
static void keep_outputs(bench *bench) {
  for (size_t i = 0; i < bench->output_count; i++) {
    if (!bench->outputs[i] || pleat_tensor_kind(bench->outputs[i]) == PLEAT_KIND_TENSOR) continue;
    pleat_tensor_release(bench->outputs[i]);
    bench->outputs[i] = NULL;
  }
}

static pleat_status run_once(bench *bench, uint64_t *out_ns, pleat_error *error) {
  keep_outputs(bench);
  uint64_t start = clock_ns();
  pleat_status status = pleat_session_run(bench->loaded->session, bench->inputs->tensors, bench->inputs->count,
                                          bench->outputs, bench->output_count, error);
  *out_ns = clock_ns() - start;
  return status;
}

static int ascending(const void *left, const void *right) {
  uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
  return a < b ? -1 : a > b;
}

static bool enough(const bench_args *args, size_t runs, uint64_t started) {
  if (args->runs) return runs >= (size_t)args->runs;
  if (runs < MIN_RUNS) return false;
  return runs >= MAX_RUNS || (double)(clock_ns() - started) >= MAX_SECONDS * 1e9;
}

static pleat_status measure(bench *bench, const bench_args *args, figures *figures, pleat_error *error) {
  uint64_t ignored;
  pleat_status status = run_once(bench, &figures->first_ns, error);
  for (int i = 0; i < args->warmup && status == PLEAT_OK; i++) status = run_once(bench, &ignored, error);
  figures->run_ns = cli_calloc(args->runs ? (size_t)args->runs : MAX_RUNS, sizeof *figures->run_ns);
  uint64_t started = clock_ns();
  while (status == PLEAT_OK && !enough(args, figures->runs, started))
    status = run_once(bench, &figures->run_ns[figures->runs++], error);
  qsort(figures->run_ns, figures->runs, sizeof *figures->run_ns, ascending);
  return status;
}

/* The nearest-rank percentile, in milliseconds. */
static double percentile(const figures *figures, double percent) {
  double rank = percent / 100 * (double)figures->runs;
  size_t index = (size_t)rank;
  if ((double)index == rank && index > 0) index--;
  if (index >= figures->runs) index = figures->runs - 1;
  return (double)figures->run_ns[index] / 1e6;
}

/* The size of the first input's first dimension, which is the batch in nearly every model. */
static double items_of(const input_list *inputs) {
  const pleat_tensor *first = inputs->count > 0 ? inputs->tensors[0] : NULL;
  if (!first || pleat_tensor_kind(first) != PLEAT_KIND_TENSOR || pleat_tensor_rank(first) == 0) return 1;
  return (double)pleat_tensor_dims(first)[0];
}

static uint64_t peak_rss(void) {
  struct rusage usage;
  if (getrusage(RUSAGE_SELF, &usage) != 0 || usage.ru_maxrss < 0) return 0;
#ifdef __APPLE__
  return (uint64_t)usage.ru_maxrss;
#else
  return (uint64_t)usage.ru_maxrss * 1024; /* Linux and the BSDs count in kilobytes */
#endif
}

/* ---- output ---- */

static double items_per_second(const figures *figures) {
  double median = percentile(figures, 50);
  return median > 0 ? figures->items / (median / 1e3) : 0;
}

static cJSON *figures_json(const figures *figures) {
  cJSON *json = json_object();
  json_add_number(json, "load_ms", (double)figures->load_ns / 1e6);
  json_add_number(json, "first_ms", (double)figures->first_ns / 1e6);
  json_add_number(json, "min_ms", (double)figures->run_ns[0] / 1e6);
  json_add_number(json, "median_ms", percentile(figures, 50));
  json_add_number(json, "p90_ms", percentile(figures, 90));
  json_add_number(json, "p99_ms", percentile(figures, 99));
  json_add_number(json, "items_per_s", items_per_second(figures));
  json_add_count(json, "peak_rss_bytes", figures->peak_rss_bytes);
  json_add_count(json, "threads", (uint64_t)figures->threads);
  json_add_count(json, "runs", figures->runs);
  return json;
}

static void print_inputs(const bench *bench, FILE *file) {
  char type[TEXT_TYPE];
  for (size_t i = 0; i < bench->inputs->count; i++) {
    if (!bench->inputs->tensors[i]) continue;
    fputs("input        ", file);
    cli_put_clean(file, pleat_session_input(bench->loaded->session, i)->name);
    fprintf(file, " %s\n", text_tensor_type(bench->inputs->tensors[i], type));
  }
}

static cJSON *tuning_json(const pleat_tuning_info *tuning) {
  cJSON *json = json_object();
  json_add_string(json, "path", tuning->path);
  json_add_count(json, "measured", tuning->measured);
  json_add_count(json, "remembered", tuning->remembered);
  json_add_number(json, "measuring_ms", (double)tuning->measuring_ns / 1e6);
  return json;
}

static void print_tuning(const pleat_tuning_info *tuning, FILE *file) {
  fprintf(file, "tuning       %" PRIu64 " steps measured in %.0f ms, %" PRIu64 " remembered", tuning->measured,
          (double)tuning->measuring_ns / 1e6, tuning->remembered);
  if (*tuning->path) fputs(", in ", file), cli_put_clean(file, tuning->path);
  putc('\n', file);
}

static void print_figures(const figures *figures, FILE *file) {
  char bytes[TEXT_NUMBER];
  fprintf(file, "load         %10.3f ms\n", (double)figures->load_ns / 1e6);
  fprintf(file, "first run    %10.3f ms\n", (double)figures->first_ns / 1e6);
  fprintf(file, "minimum      %10.3f ms\n", (double)figures->run_ns[0] / 1e6);
  fprintf(file, "median       %10.3f ms\n", percentile(figures, 50));
  fprintf(file, "90%% below    %10.3f ms\n", percentile(figures, 90));
  fprintf(file, "99%% below    %10.3f ms\n", percentile(figures, 99));
  fprintf(file, "throughput   %10.1f items/s\n", items_per_second(figures));
  fprintf(file, "peak memory  %s\n", text_bytes(figures->peak_rss_bytes, bytes));
  fprintf(file, "%zu runs, %d thread%s\n", figures->runs, figures->threads, figures->threads == 1 ? "" : "s");
}

/* How exact that is what was measured: on random inputs of its own, of the shapes of the benchmark's. */
static int check_accuracy(const cli *cli, const bench_args *args, const loaded *loaded, const input_list *inputs,
                          const pleat_session_options *session_options, cJSON *json) {
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_check_options options = PLEAT_CHECK_OPTIONS_INIT;
  pleat_check_report *report = NULL;
  shape_list shapes = {0};
  const char *precision = args->session.precision ? args->session.precision : "fp32";
  shapes_of_tensors(loaded->session, inputs->tensors, &shapes);
  options.threads = args->threads;
  options.runs = args->accuracy; /* 0: as many as usual */
  options.shapes = shapes.items;
  options.shape_count = shapes.count;
  const pleat_status status = pleat_model_check_precision(loaded->model, session_options, &options, &report, &error);
  if (status == PLEAT_OK) {
    check_print_precision(report, precision, cli->text);
    if (json) json_add(json, "accuracy", check_json(report, "fp32", precision));
  }
  pleat_check_report_destroy(report);
  shapes_deinit(&shapes);
  if (status == PLEAT_OK) return CLI_OK;
  if (status != PLEAT_UNSUPPORTED) return cli_fail(cli, &error);
  cli_note(cli, "the errors are not known: %s", error.message);
  return CLI_OK;
}

/* Everything that was asked for, as text and as JSON. */
static int report(const cli *cli, const bench_args *args, const bench *bench, const figures *figures,
                  const pleat_session_options *session_options) {
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_tuning_info tuning;
  cJSON *json = args->json ? figures_json(figures) : NULL;
  int result = CLI_OK;
  print_inputs(bench, cli->text);
  if (session_options->tune) {
    pleat_session_tuning(bench->loaded->session, &tuning);
    print_tuning(&tuning, cli->text);
    if (json) json_add(json, "tuning", tuning_json(&tuning));
  }
  print_figures(figures, cli->text);
  if (args->accuracy || session_options->precision != PLEAT_PRECISION_FP32)
    result = check_accuracy(cli, args, bench->loaded, bench->inputs, session_options, json);
  if (json && result == CLI_OK && files_write_json(args->json, json, &error) != PLEAT_OK)
    result = cli_fail(cli, &error);
  cJSON_Delete(json);
  return result;
}

static int bench_loaded(const cli *cli, const bench_args *args, const loaded *loaded,
                        const pleat_session_options *session_options, figures *figures) {
  input_list inputs = {0};
  int result = inputs_make(cli, loaded->session, &args->inputs, &args->shapes, true, &inputs);
  if (result != CLI_OK) return result;
  pleat_error error = PLEAT_ERROR_INIT;
  bench bench = {.loaded = loaded, .inputs = &inputs, .output_count = pleat_session_output_count(loaded->session)};
  bench.outputs = cli_calloc(bench.output_count, sizeof *bench.outputs);
  figures->items = items_of(&inputs);
  pleat_status status = measure(&bench, args, figures, &error);
  figures->peak_rss_bytes = peak_rss();
  session_note_tuning(cli, loaded->session);
  result = status == PLEAT_OK ? report(cli, args, &bench, figures, session_options) : cli_fail(cli, &error);
  for (size_t i = 0; i < bench.output_count; i++) pleat_tensor_release(bench.outputs[i]);
  free(bench.outputs);
  inputs_deinit(&inputs);
  return result;
}

static int run(cli *cli, const void *arguments) {
  const bench_args *args = arguments;
  if (args->json && strcmp(args->json, "-") == 0) cli->text = stderr;
  pleat_session_options session_options = PLEAT_SESSION_OPTIONS_INIT;
  session_options.threads = args->threads;
  session_options.no_fold = args->no_fold;
  int result = session_args_apply(cli, &args->session, &session_options);
  if (result != CLI_OK) return result;
  figures figures = {.threads = args->threads ? args->threads : core_count()};
  loaded loaded;
  uint64_t start = clock_ns();
  result = loaded_init(cli, args->base.operands.items[0], &session_options, &loaded);
  figures.load_ns = clock_ns() - start;
  if (result != CLI_OK) return result;
  result = bench_loaded(cli, args, &loaded, &session_options, &figures);
  free(figures.run_ns);
  loaded_deinit(&loaded);
  return result;
}

const cli_verb cli_verb_bench = {
    .name = "bench",
    .synopsis = "MODEL [options]",
    .summary = "measure how fast a model loads and runs",
    .description =
        "Loads MODEL, runs it on random inputs and prints the times. 'load' is reading and compiling; the first run\n"
        "also plans memory; items are the first input's first dimension.\n\n" INPUTS_HELP,
    .examples = "  pleat bench resnet50.onnx --threads 1\n"
                "  pleat bench resnet50.onnx --shape data=8x3x224x224 --runs 50 --json -\n",
    .options = options,
    .min_operands = 1,
    .max_operands = 1,
    .missing_operand = "the MODEL to measure",
    .args_size = sizeof(bench_args),
    .defaults = &defaults,
    .run = run,
};

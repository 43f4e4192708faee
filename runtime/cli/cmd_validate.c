/* pleat validate: are the outputs still right? One model with its recorded data, or a whole suite of tests.
 *
 * Both ways end in the same list of verdicts (check.c), printed, written as JSON and counted by the same code; the
 * exit code is 1 when any test failed, whatever was skipped. A suite runs in worker processes (workers.c), so a test
 * that crashes or hangs is one verdict and not the end. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "suite.h"
#include "text.h"

typedef struct validate_args {
  cli_args base;
  const char *suite, *filter, *json;
  double rtol, atol, noise;
  int jobs, threads, timeout;
  bool folded, no_fold;
  session_args session;
} validate_args;

static const validate_args defaults = {.rtol = 1e-3, .atol = 1e-7, .noise = 16, .timeout = 300};

static const cli_option options[] = {
    {"suite", 0, "DIR", CLI_STRING, offsetof(validate_args, suite),
     "check every folder with a model.onnx in DIR, up to two levels down", 0, 0},
    {"filter", 0, "GLOB", CLI_STRING, offsetof(validate_args, filter), "of the suite, only tests with such a name", 0,
     0},
    {"jobs", 'j', "N", CLI_INT, offsetof(validate_args, jobs),
     "tests at a time, each in its own process (default: all cores)", 1, 256},
    {"timeout", 0, "SECONDS", CLI_INT, offsetof(validate_args, timeout),
     "a test of the suite that takes longer fails (default 300; 0: none)", 0, 1000000},
    {"rtol", 0, "X", CLI_REAL, offsetof(validate_args, rtol), "relative tolerance (default 1e-3)", 0, 0},
    {"atol", 0, "X", CLI_REAL, offsetof(validate_args, atol), "absolute tolerance (default 1e-7)", 0, 0},
    {"noise", 0, "K", CLI_REAL, offsetof(validate_args, noise),
     "rounding noise allowed, in spacings of the type (default 16; 0: none)", 0, 0},
    {"folded", 0, NULL, CLI_FLAG, offsetof(validate_args, folded), "check the model that 'pleat fold' would write", 0,
     0},
    {"no-fold", 0, NULL, CLI_FLAG, offsetof(validate_args, no_fold), "run the graph as it is, without folding", 0, 0},
    {"threads", 0, "N", CLI_INT, offsetof(validate_args, threads),
     "threads of a run (default: all cores; 1 with several jobs)", 0, 1024},
    SESSION_OPTIONS(validate_args, session),
    {"json", 0, "FILE", CLI_STRING, offsetof(validate_args, json), "write the verdicts as JSON ('-': standard output)",
     0, 0},
    {0},
};

/* ---- verdicts ---- */

static const char *field(const cJSON *object, const char *key) {
  const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
  return value ? value : "";
}

static double number(const cJSON *object, const char *key) {
  return cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(object, key)); /* NaN for null, which was infinite */
}

static bool has_verdict(const cJSON *test, const char *verdict) {
  return strcmp(field(test, "verdict"), verdict) == 0;
}

static size_t count_verdicts(cJSON *const *tests, size_t count, const char *verdict) {
  size_t found = 0;
  for (size_t i = 0; i < count; i++) found += has_verdict(tests[i], verdict);
  return found;
}

/* Prints the last line, writes the JSON (the verdicts are taken over), and gives the exit code. */
static int conclude(const cli *cli, const validate_args *args, cJSON **tests, size_t count) {
  size_t passed = count_verdicts(tests, count, "pass"), failed = count_verdicts(tests, count, "fail");
  size_t skipped = count - passed - failed;
  fprintf(cli->text, "%zu passed, %zu failed, %zu skipped\n", passed, failed, skipped);
  cJSON *json = json_object(), *array = json_array();
  json_add_count(json, "passed", passed);
  json_add_count(json, "failed", failed);
  json_add_count(json, "skipped", skipped);
  for (size_t i = 0; i < count; i++) json_push(array, tests[i]);
  json_add(json, "tests", array);
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_status status = args->json ? files_write_json(args->json, json, &error) : PLEAT_OK;
  cJSON_Delete(json);
  if (status != PLEAT_OK) return cli_fail(cli, &error);
  return failed > 0 ? CLI_NO : CLI_OK;
}

/* ---- one model ---- */

static void print_outputs(const cJSON *test, FILE *file) {
  static const char *const heads[] = {"output", "values", "bad", "max abs", "max rel", ""};
  text_table *table = text_table_create("lrrrrl");
  for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) text_table_cell(table, "%s", heads[i]);
  const cJSON *output = NULL;
  cJSON_ArrayForEach(output, cJSON_GetObjectItemCaseSensitive(test, "outputs")) {
    bool match = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(output, "match"));
    text_table_cell(table, "%s", field(output, "name"));
    text_table_cell(table, "%.0f", number(output, "count"));
    text_table_cell(table, "%.0f", number(output, "bad"));
    text_table_cell(table, "%.3g", number(output, "max_abs"));
    text_table_cell(table, "%.3g", number(output, "max_rel"));
    text_table_cell(table, "%s", match ? "ok" : field(output, "reason"));
  }
  text_table_print(table, file, 2);
  text_table_destroy(table);
}

static void print_test(const cJSON *test, FILE *file) {
  cli_put_clean(file, field(test, "name"));
  fprintf(file, ": %s%s", field(test, "verdict"), *field(test, "reason") ? ": " : "");
  cli_put_clean(file, field(test, "reason"));
  putc('\n', file);
  if (cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(test, "outputs")) > 0) print_outputs(test, file);
}

/* A model that cannot be checked at all: the verdict goes to the JSON, the error to stderr, its code is the answer. */
static int conclude_error(const cli *cli, const validate_args *args, const pleat_error *error) {
  cJSON *test = check_failed(args->base.operands.items[0], error);
  int result = conclude(cli, args, &test, 1);
  int code = cli_fail(cli, error);
  return result == CLI_IO ? CLI_IO : code;
}

static int validate_sets(const cli *cli, const validate_args *args, const check_options *check, const loaded *loaded,
                         const char *const *sets, size_t count) {
  cJSON **tests = cli_calloc(count, sizeof *tests);
  int code = CLI_OK;
  for (size_t i = 0; i < count; i++) {
    pleat_status status = PLEAT_OK;
    tests[i] = check_sets(sets[i], loaded, check, &sets[i], 1, &status);
    print_test(tests[i], cli->text);
    if (status != PLEAT_OK) cli_note(cli, "%s", field(tests[i], "reason"));
    if (cli_exit_code(status) > code) code = cli_exit_code(status);
  }
  session_note_tuning(cli, loaded->session);
  int result = conclude(cli, args, tests, count);
  free(tests);
  return code > result ? code : result;
}

static int validate_model(const cli *cli, const validate_args *args, const check_options *check) {
  const cli_list *operands = &args->base.operands;
  pleat_error error = PLEAT_ERROR_INIT;
  loaded loaded;
  if (check_open(operands->items[0], check, &loaded, &error) != PLEAT_OK) return conclude_error(cli, args, &error);
  warn_of_model(cli, loaded.model, operands->items[0]);
  int result;
  if (operands->count > 1) {
    result = validate_sets(cli, args, check, &loaded, operands->items + 1, operands->count - 1);
  } else {
    char *folder = cli_strdup(operands->items[0]);
    char *slash = strrchr(folder, '/');
    if (slash) slash[slash == folder] = '\0';
    size_t count = 0;
    char **sets = suite_data_sets(slash ? folder : ".", &count);
    result = count > 0 ? validate_sets(cli, args, check, &loaded, (const char *const *)sets, count)
                       : cli_usage(cli, "there is no test_data_set_* beside %s: name the TESTDIR", operands->items[0]);
    suite_free_names(sets);
    free(folder);
  }
  loaded_deinit(&loaded);
  return result;
}

/* ---- a suite ---- */

static void show_progress(size_t done, size_t total) {
  if (!isatty(STDERR_FILENO)) return;
  fprintf(stderr, "\r%zu/%zu%s", done, total, done == total ? "\r\033[K" : "");
  fflush(stderr);
}

/* A reason without its node names ("Op (opset 9): nodes a, b; ..."), so that tests that lack the same are one group. */
static char *group_of(const cJSON *test) {
  char *group = cli_strdup(field(test, "reason"));
  for (char *nodes = strstr(group, ": node"); nodes; nodes = strstr(nodes, ": node")) {
    const char *rest = nodes + strcspn(nodes, ";");
    memmove(nodes, rest, strlen(rest) + 1);
  }
  return group;
}

typedef struct skipped {
  char *group;
  const char *name;
} skipped;

static int by_group(const void *left, const void *right) {
  const skipped *a = left, *b = right;
  int order = strcmp(a->group, b->group);
  return order ? order : strcmp(a->name, b->name);
}

static void print_skipped(cJSON *const *tests, size_t count, FILE *file) {
  skipped *all = cli_calloc(count, sizeof *all);
  size_t found = 0;
  for (size_t i = 0; i < count; i++)
    if (has_verdict(tests[i], "skip"))
      all[found++] = (skipped){.group = group_of(tests[i]), .name = field(tests[i], "name")};
  qsort(all, found, sizeof *all, by_group);
  for (size_t i = 0; i < found; i++) {
    if (i == 0 || strcmp(all[i].group, all[i - 1].group) != 0) {
      fputs("skip: ", file);
      cli_put_clean(file, all[i].group);
      putc('\n', file);
    }
    fputs("  ", file);
    cli_put_clean(file, all[i].name);
    putc('\n', file);
  }
  for (size_t i = 0; i < found; i++) free(all[i].group);
  free(all);
}

static void print_suite(cJSON *const *tests, size_t count, FILE *file) {
  for (size_t i = 0; i < count; i++) {
    if (!has_verdict(tests[i], "fail")) continue;
    fputs("fail: ", file);
    cli_put_clean(file, field(tests[i], "name"));
    fputs(": ", file);
    cli_put_clean(file, field(tests[i], "reason"));
    putc('\n', file);
  }
  print_skipped(tests, count, file);
}

static int validate_suite(const cli *cli, const validate_args *args, check_options *check) {
  pleat_error error = PLEAT_ERROR_INIT;
  suite suite;
  if (suite_find(args->suite, args->filter, &suite, &error) != PLEAT_OK) return cli_fail(cli, &error);
  if (suite.count == 0)
    return cli_usage(cli, "there is no test in %s%s%s", args->suite, args->filter ? " that matches " : "",
                     args->filter ? args->filter : "");
  int jobs = args->jobs ? args->jobs : core_count();
  if (jobs > 1 && check->threads == 0) check->threads = 1;
  cJSON **tests = cli_calloc(suite.count, sizeof *tests);
  fflush(NULL);
  pleat_status status = suite_check(&suite, check, jobs, args->timeout, tests, show_progress, &error);
  int result;
  if (status == PLEAT_OK) {
    print_suite(tests, suite.count, cli->text);
    result = conclude(cli, args, tests, suite.count);
  } else {
    for (size_t i = 0; i < suite.count; i++) cJSON_Delete(tests[i]);
    result = cli_fail(cli, &error);
  }
  free(tests);
  suite_deinit(&suite);
  return result;
}

static int run(cli *cli, const void *arguments) {
  const validate_args *args = arguments;
  if (args->json && strcmp(args->json, "-") == 0) cli->text = stderr;
  check_options check = {.tolerance = {.rtol = args->rtol, .atol = args->atol, .noise = args->noise},
                         .folded = args->folded,
                         .no_fold = args->no_fold,
                         .session = PLEAT_SESSION_OPTIONS_INIT,
                         .threads = args->threads};
  const int result = session_args_apply(cli, &args->session, &check.session);
  if (result != CLI_OK) return result;
  if (args->suite && args->base.operands.count > 0)
    return cli_usage(cli, "--suite and MODEL do not go together, found '%s'", args->base.operands.items[0]);
  if (args->suite) return validate_suite(cli, args, &check);
  if (args->filter) return cli_usage(cli, "--filter needs --suite");
  if (args->base.operands.count == 0) return cli_usage(cli, "the MODEL to validate (or --suite DIR) is missing");
  return validate_model(cli, args, &check);
}

const cli_verb cli_verb_validate = {
    .name = "validate",
    .synopsis = "MODEL [TESTDIR...] [options]\n       pleat validate --suite DIR [options]",
    .summary = "compare a model's outputs with recorded ones",
    .description =
        "Runs MODEL on recorded inputs and compares with the recorded outputs. TESTDIR has input_<i>.pb and\n"
        "output_<i>.pb, as in ONNX's own tests; without one, the test_data_set_* beside MODEL are taken.\n"
        "A value passes when |actual - expected| <= atol + rtol * |expected|, or when the difference is within the\n"
        "rounding noise of a floating-point output: K * 2^-23 * its largest value for float. A test is skipped only\n"
        "when the model needs an operator or a type that is not supported. The last line is 'N passed, N failed,\n"
        "N skipped'; the exit code is 1 when any failed.\n",
    .examples = "  pleat validate model.onnx\n"
                "  pleat validate model.onnx my_test --rtol 1e-4 --folded\n"
                "  pleat validate --suite /usr/share/libonnx-testdata/data --json verdicts.json\n",
    .options = options,
    .min_operands = 0,
    .max_operands = SIZE_MAX,
    .missing_operand = "the MODEL to validate",
    .args_size = sizeof(validate_args),
    .defaults = &defaults,
    .run = run,
};

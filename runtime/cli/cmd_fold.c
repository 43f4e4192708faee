/* pleat fold: writes a model with its BatchNormalizations folded away, says what became of every one, and refuses to
 * write what is less exact than the original. */
#include <stdlib.h>
#include <string.h>

#include "check_text.h"
#include "cli.h"
#include "files.h"
#include "fold.h"
#include "inputs.h"
#include "session.h"
#include "text.h"

typedef struct fold_args {
  cli_args base;
  cli_list only, skip, shapes;
  const char *json, *bn_report, *external;
  double tolerance;
  int check;
  bool dry_run, no_check, explain, duplicate, freeze_inputs, no_record;
} fold_args;

static const fold_args defaults = {.check = 0 /* the library's rule */};

static const cli_option options[] = {
    {"dry-run", 'n', NULL, CLI_FLAG, offsetof(fold_args, dry_run), "only say what would be done; OUT is not needed", 0,
     0},
    {"explain", 0, NULL, CLI_FLAG, offsetof(fold_args, explain),
     "one line a node: where it went, or why it stayed (default: only those that stayed)", 0, 0},
    {"only", 0, "PASS|NODE", CLI_LIST, offsetof(fold_args, only),
     "run only this pass, or fold only this node (repeatable)", 0, 0},
    {"skip", 0, "PASS|NODE", CLI_LIST, offsetof(fold_args, skip), "leave this pass, or this node, out (repeatable)", 0,
     0},
    {"duplicate", 0, NULL, CLI_FLAG, offsetof(fold_args, duplicate),
     "copy a producer that others read as well, when that is what folding takes", 0, 0},
    {"freeze-inputs", 0, NULL, CLI_FLAG, offsetof(fold_args, freeze_inputs),
     "inputs with a default value become constants", 0, 0},
    {"no-record", 0, NULL, CLI_FLAG, offsetof(fold_args, no_record),
     "leave out the record of replaced values in the model's metadata", 0, 0},
    {"check", 0, "N", CLI_OPTIONAL_INT, offsetof(fold_args, check),
     "compare on N random inputs before writing, see above (default 3; 24 in doubt)", 1, 1000000},
    {"no-check", 0, NULL, CLI_FLAG, offsetof(fold_args, no_check), "write without comparing", 0, 0},
    {"tolerance", 0, "T", CLI_REAL, offsetof(fold_args, tolerance),
     "error that is always allowed, as a part of an output's range\n"
     "(default: float 1e-5, float16 2e-3, bfloat16 2e-2, double 1e-12)",
     0, 0},
    {"shape", 0, "NAME=SHAPE", CLI_LIST, offsetof(fold_args, shapes),
     "shape of an input for the check, such as x=1x3x224x224 (repeatable)", 0, 0},
    {"external-data", 0, "HOW", CLI_STRING, offsetof(fold_args, external),
     "where OUT's weights go: keep (as in IN; the default), inline (into OUT) or\nfile (OUT.data)", 0, 0},
    {"bn-report", 0, "FILE.svg", CLI_STRING, offsetof(fold_args, bn_report),
     "draw the scales and shifts of IN's BatchNormalizations, risky ones marked", 0, 0},
    {"json", 0, "FILE", CLI_STRING, offsetof(fold_args, json), "write the report as JSON ('-': standard output)", 0, 0},
    {0},
};

/* All that one run of the verb makes. */
typedef struct job {
  const cli *cli;
  const fold_args *args;
  pleat_model *model, *folded;
  pleat_fold_report *report;
  pleat_check_report *check;
  char *not_checked; /* why there is no verdict */
  bool refused;
  pleat_error error;
} job;

/* ---- the command line ---- */

static size_t pass_count(void) {
  size_t count = 0;
  while (pleat_fold_pass_name(count)) count++;
  return count;
}

/* What --only and --skip may name: the passes, then the nodes. */
static const char *candidate_name(const void *user, size_t index) {
  const pleat_model_info *info = user;
  return index < pass_count() ? pleat_fold_pass_name(index) : info->nodes[index - pass_count()].name;
}

/* A node without a name is called by its place, "Conv#12"; that it exists is for the engine to say. */
static bool is_place(const char *name, const pleat_model_info *info) {
  const char *sign = strrchr(name, '#');
  if (!sign) return false;
  const size_t length = (size_t)(sign - name);
  for (size_t i = 0; i < info->node_count; i++) {
    const char *op = info->nodes[i].op_type;
    if (strlen(op) == length && strncmp(op, name, length) == 0) return true;
  }
  return false;
}

static int check_names(const cli *cli, const cli_list *names, const pleat_model_info *info) {
  const size_t count = pass_count() + info->node_count;
  for (size_t i = 0; i < names->count; i++) {
    bool found = is_place(names->items[i], info);
    for (size_t j = 0; j < count && !found; j++) found = strcmp(names->items[i], candidate_name(info, j)) == 0;
    if (!found) return cli_unknown(cli, "there is no pass or node", names->items[i], candidate_name, info, count);
  }
  return CLI_OK;
}

static const char *const external_names[] = {
    [PLEAT_EXTERNAL_KEEP] = "keep", [PLEAT_EXTERNAL_INLINE] = "inline", [PLEAT_EXTERNAL_FILE] = "file"};
enum { EXTERNAL_COUNT = sizeof external_names / sizeof *external_names };

static const char *external_name(const void *user, size_t index) {
  (void)user;
  return external_names[index];
}

static pleat_external external_of(const fold_args *args) {
  for (int i = 0; args->external && i < EXTERNAL_COUNT; i++)
    if (strcmp(args->external, external_names[i]) == 0) return (pleat_external)i;
  return PLEAT_EXTERNAL_KEEP;
}

static int check_args(const cli *cli, const fold_args *args) {
  if (args->base.operands.count < 2 && !args->dry_run)
    return cli_usage(cli, "the OUT file is missing (or give --dry-run)");
  if (args->no_check && args->shapes.count > 0) return cli_usage(cli, "--shape is for the check: drop --no-check");
  if (args->external && strcmp(args->external, external_names[external_of(args)]) != 0)
    return cli_unknown(cli, "--external-data takes keep, inline or file, not", args->external, external_name, NULL,
                       EXTERNAL_COUNT);
  return CLI_OK;
}

/* ---- the check ---- */

static bool did_something(const pleat_fold_report *report) {
  for (size_t i = 0; i < report->entry_count; i++)
    if (report->entries[i].action != PLEAT_FOLD_KEPT) return true;
  return report->nodes_before != report->nodes_after;
}

static pleat_status judge(job *job, const shape_list *shapes) {
  pleat_check_options check_options = PLEAT_CHECK_OPTIONS_INIT;
  check_options.runs = job->args->check;
  check_options.tolerance = job->args->tolerance;
  check_options.shapes = shapes->items;
  check_options.shape_count = shapes->count;
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_status status = pleat_model_check_fold(job->model, job->folded, &check_options, &job->check, &error);
  if (status == PLEAT_UNSUPPORTED) {
    char text[2048];
    job->not_checked = cli_strdup(pleat_error_format(&error, text, sizeof text));
    return PLEAT_OK;
  }
  if (status != PLEAT_OK) job->error = error;
  else job->refused = !job->check->passed;
  return status;
}

/* Names and shapes are checked against the model before anything is done. */
static int prepare(job *job, shape_list *out_shapes) {
  const fold_args *args = job->args;
  pleat_model_info *info = NULL;
  *out_shapes = (shape_list){0};
  if (args->only.count + args->skip.count + args->shapes.count == 0) return CLI_OK;
  if (pleat_model_describe(job->model, NULL, 0, &info, &job->error) != PLEAT_OK) return cli_fail(job->cli, &job->error);
  int result = check_names(job->cli, &args->only, info);
  if (result == CLI_OK) result = check_names(job->cli, &args->skip, info);
  const pleat_value_info **inputs = cli_calloc(info->input_count, sizeof *inputs);
  for (size_t i = 0; i < info->input_count; i++) inputs[i] = &info->inputs[i];
  if (result == CLI_OK) result = shapes_parse(job->cli, &args->shapes, inputs, info->input_count, out_shapes);
  for (size_t i = 0; i < out_shapes->count; i++) out_shapes->items[i].name = cli_strdup(out_shapes->items[i].name);
  free((void *)inputs);
  pleat_model_info_destroy(info);
  return result;
}

static void release_shapes(shape_list *shapes) {
  for (size_t i = 0; i < shapes->count; i++) free((void *)(uintptr_t)shapes->items[i].name);
  shapes_deinit(shapes);
}

/* ---- results ---- */

static void print_summary(const job *job, FILE *file) {
  const pleat_fold_report *report = job->report;
  size_t folded = report->norms_before - report->norms_after;
  if (report->norms_before == 0) fputs("no BatchNormalization in the model", file);
  else fprintf(file, "%zu of %zu BatchNormalization folded", folded, report->norms_before);
  fprintf(file, "; %zu nodes -> %zu; ", report->nodes_before, report->nodes_after);
  if (job->args->dry_run || job->refused) {
    fprintf(file, "nothing written (%s)\n", job->refused ? "refused" : "dry run");
    return;
  }
  const char *path = job->args->base.operands.items[1];
  char size[TEXT_NUMBER];
  fputs("wrote ", file);
  cli_put_clean(file, path);
  fprintf(file, " (%s)\n", text_bytes(files_size(path), size));
}

static void print_all(const job *job, FILE *file) {
  fold_print_entries(job->report, job->args->explain, file);
  if (job->check) check_print_fold(job->check, file);
  if (job->not_checked) {
    fputs("not checked: ", file);
    cli_put_clean(file, job->not_checked);
    putc('\n', file);
  }
  print_summary(job, file);
}

static cJSON *job_json(const job *job) {
  const pleat_fold_report *report = job->report;
  const bool written = !job->args->dry_run && !job->refused;
  cJSON *json = json_object();
  json_add_string(json, "model", job->args->base.operands.items[0]);
  json_add_string(json, "output", written ? job->args->base.operands.items[1] : NULL);
  json_add_count(json, "norms_before", report->norms_before);
  json_add_count(json, "norms_after", report->norms_after);
  json_add_count(json, "nodes_before", report->nodes_before);
  json_add_count(json, "nodes_after", report->nodes_after);
  json_add(json, "entries", fold_report_json(report));
  if (job->check) json_add(json, "check", check_json(job->check, "original", "folded"));
  else json_add_string(json, "not_checked", job->not_checked ? job->not_checked : "");
  return json;
}

static pleat_status write_bn_report(job *job) {
  pleat_norm_list *norms = NULL;
  pleat_status status = pleat_model_norms(job->model, &norms, &job->error);
  if (status == PLEAT_OK)
    status = bn_report_write(job->args->bn_report, job->args->base.operands.items[0], norms, job->report, &job->error);
  pleat_norm_list_destroy(norms);
  return status;
}

/* Everything after the command line is known to be good. */
static pleat_status work(job *job, const shape_list *shapes) {
  const fold_args *args = job->args;
  pleat_fold_options fold_options = PLEAT_FOLD_OPTIONS_INIT;
  fold_options.only = args->only.items;
  fold_options.skip = args->skip.items;
  fold_options.duplicate = args->duplicate;
  fold_options.freeze_inputs = args->freeze_inputs;
  fold_options.no_record = args->no_record;
  pleat_status status = pleat_model_fold(job->model, &fold_options, &job->folded, &job->report, &job->error);
  if (status != PLEAT_OK) return status;
  if (args->no_check) job->not_checked = cli_strdup("--no-check was given");
  else if (!did_something(job->report)) job->not_checked = cli_strdup("nothing was changed");
  else status = judge(job, shapes);
  if (status == PLEAT_OK && !args->dry_run && !job->refused)
    status = pleat_model_save(job->folded, args->base.operands.items[1], external_of(args), &job->error);
  if (status == PLEAT_OK) print_all(job, job->cli->text);
  if (status == PLEAT_OK && args->bn_report) status = write_bn_report(job);
  if (status == PLEAT_OK && args->json) {
    cJSON *json = job_json(job);
    status = files_write_json(args->json, json, &job->error);
    cJSON_Delete(json);
  }
  return status;
}

static int run_job(job *job) {
  const char *path = job->args->base.operands.items[0];
  shape_list shapes = {0};
  int result = CLI_OK;
  pleat_status status = pleat_model_load(path, &job->model, &job->error);
  if (status == PLEAT_OK) {
    warn_of_model(job->cli, job->model, path);
    result = prepare(job, &shapes);
    if (result == CLI_OK) status = work(job, &shapes);
    release_shapes(&shapes);
  }
  if (status != PLEAT_OK) {
    cli_error_at(&job->error, path);
    return cli_fail(job->cli, &job->error);
  }
  if (result != CLI_OK || !job->refused) return result;
  cli_note(job->cli,
           "the folded model is less exact than is allowed: %s; --tolerance T allows more, --skip NODE leaves "
           "a node out, --no-check writes it as it is",
           job->check->reason);
  return CLI_NO;
}

static int run(cli *cli, const void *arguments) {
  const fold_args *args = arguments;
  if (args->json && strcmp(args->json, "-") == 0) cli->text = stderr;
  int result = check_args(cli, args);
  if (result != CLI_OK) return result;
  job job = {.cli = cli, .args = args, .error = PLEAT_ERROR_INIT};
  result = run_job(&job);
  free(job.not_checked);
  pleat_check_report_destroy(job.check);
  pleat_fold_report_destroy(job.report);
  pleat_model_release(job.folded);
  pleat_model_release(job.model);
  return result;
}

static void print_passes(FILE *file) {
  fputs("\nPasses, in the order they run:\n", file);
  text_table *table = text_table_create("ll");
  for (size_t i = 0; i < pass_count(); i++) {
    text_table_cell(table, "%s", pleat_fold_pass_name(i));
    text_table_cell(table, "%s", pleat_fold_pass_summary(i));
  }
  text_table_print(table, file, 2);
  text_table_destroy(table);
}

const cli_verb cli_verb_fold = {
    .name = "fold",
    .synopsis = "IN OUT [options]",
    .summary = "fold BatchNormalization out of a model and save it",
    .description =
        "Loads IN, folds what can be folded, and writes OUT (which may be IN). Prints why what was kept was kept.\n"
        "Before writing, both models run on random inputs, and their errors against the float64 oracle (IN with\n"
        "every float a double) are printed. OUT is refused, with exit code 1, when the error of an output is above\n"
        "twice the original's, and above the tolerance times the output's range. Unknown dimensions get small\n"
        "numbers, several of which are tried; --shape gives others.\n",
    .examples = "  pleat fold resnet50.onnx resnet50-folded.onnx\n"
                "  pleat fold resnet50.onnx --dry-run --explain\n"
                "  pleat fold in.onnx out.onnx --check=10 --shape x=1x3x512x512\n"
                "  pleat fold in.onnx out.onnx --json report.json --bn-report layers.svg\n",
    .options = options,
    .min_operands = 1,
    .max_operands = 2,
    .missing_operand = "the model IN",
    .args_size = sizeof(fold_args),
    .defaults = &defaults,
    .more_help = print_passes,
    .run = run,
};

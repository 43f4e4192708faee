/* pleat fold: writes a model with its BatchNormalizations folded away, and says what became of every one. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "files.h"
#include "text.h"

typedef struct fold_args {
  cli_args base;
  cli_list only, skip;
  const char *json;
  bool dry_run, inline_weights;
} fold_args;

static const cli_option options[] = {
    {"dry-run", 'n', NULL, CLI_FLAG, offsetof(fold_args, dry_run), "only say what would be done; OUT is not needed", 0,
     0},
    {"only", 0, "PASS", CLI_LIST, offsetof(fold_args, only), "run only this pass (repeatable)", 0, 0},
    {"skip", 0, "PASS", CLI_LIST, offsetof(fold_args, skip), "leave this pass out (repeatable)", 0, 0},
    {"inline", 0, NULL, CLI_FLAG, offsetof(fold_args, inline_weights),
     "put all weights into OUT (default: external weights stay so)", 0, 0},
    {"json", 0, "FILE", CLI_STRING, offsetof(fold_args, json), "write the report as JSON ('-': standard output)", 0, 0},
    {0},
};

static size_t pass_count(void) {
  size_t count = 0;
  while (pleat_fold_pass_name(count)) count++;
  return count;
}

static const char *pass_name(const void *user, size_t index) {
  (void)user;
  return pleat_fold_pass_name(index);
}

static int check_passes(const cli *cli, const cli_list *names) {
  for (size_t i = 0; i < names->count; i++) {
    bool found = false;
    for (size_t j = 0; j < pass_count(); j++) found |= strcmp(names->items[i], pleat_fold_pass_name(j)) == 0;
    if (!found) return cli_unknown(cli, "there is no pass", names->items[i], pass_name, NULL, pass_count());
  }
  return CLI_OK;
}

static const char *const action_names[] = {
    [PLEAT_FOLD_FOLDED] = "folded", [PLEAT_FOLD_REMOVED] = "removed", [PLEAT_FOLD_KEPT] = "kept"};

static void print_entries(const pleat_fold_report *report, FILE *file) {
  text_table *table = text_table_create("llll");
  for (int action = PLEAT_FOLD_FOLDED; action <= PLEAT_FOLD_KEPT; action++) {
    for (size_t i = 0; i < report->entry_count; i++) {
      const pleat_fold_entry *entry = &report->entries[i];
      if ((int)entry->action != action) continue;
      text_table_cell(table, "%s", action_names[action]);
      text_table_cell(table, "%s", entry->op_type);
      text_table_cell(table, "%s", entry->node);
      if (action == PLEAT_FOLD_FOLDED) text_table_cell(table, "into %s", entry->target);
      else text_table_cell(table, "%s", entry->reason);
    }
  }
  text_table_print(table, file, 0);
  text_table_destroy(table);
}

static void print_summary(const fold_args *args, const pleat_fold_report *report, FILE *file) {
  size_t folded = report->norms_before - report->norms_after;
  if (report->norms_before == 0) fputs("no BatchNormalization in the model", file);
  else fprintf(file, "%zu of %zu BatchNormalization folded", folded, report->norms_before);
  fprintf(file, "; %zu nodes -> %zu; ", report->nodes_before, report->nodes_after);
  if (args->dry_run) {
    fputs("nothing written (dry run)\n", file);
    return;
  }
  const char *path = args->base.operands.items[1];
  char size[TEXT_NUMBER];
  fputs("wrote ", file);
  cli_put_clean(file, path);
  fprintf(file, " (%s)\n", text_bytes(files_size(path), size));
}

static cJSON *report_json(const fold_args *args, const pleat_fold_report *report) {
  cJSON *json = json_object(), *entries = json_array();
  json_add_string(json, "model", args->base.operands.items[0]);
  json_add_string(json, "output", args->dry_run ? NULL : args->base.operands.items[1]);
  json_add_count(json, "norms_before", report->norms_before);
  json_add_count(json, "norms_after", report->norms_after);
  json_add_count(json, "nodes_before", report->nodes_before);
  json_add_count(json, "nodes_after", report->nodes_after);
  for (size_t i = 0; i < report->entry_count; i++) {
    const pleat_fold_entry *entry = &report->entries[i];
    cJSON *item = json_object();
    json_add_string(item, "action", action_names[entry->action]);
    json_add_string(item, "pass", entry->pass);
    json_add_string(item, "node", entry->node);
    json_add_string(item, "op_type", entry->op_type);
    json_add_string(item, "target", entry->target);
    json_add_string(item, "reason", entry->reason);
    json_push(entries, item);
  }
  json_add(json, "entries", entries);
  return json;
}

static int check(const cli *cli, const fold_args *args) {
  if (args->base.operands.count < 2 && !args->dry_run)
    return cli_usage(cli, "the OUT file is missing (or give --dry-run)");
  int result = check_passes(cli, &args->only);
  return result == CLI_OK ? check_passes(cli, &args->skip) : result;
}

static int run(cli *cli, const void *arguments) {
  const fold_args *args = arguments;
  if (args->json && strcmp(args->json, "-") == 0) cli->text = stderr;
  int result = check(cli, args);
  if (result != CLI_OK) return result;
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_model *model = NULL, *folded = NULL;
  pleat_fold_report *report = NULL;
  pleat_fold_options fold_options = PLEAT_FOLD_OPTIONS_INIT;
  fold_options.only = args->only.items;
  fold_options.skip = args->skip.items;
  pleat_status status = pleat_model_load(args->base.operands.items[0], &model, &error);
  if (status == PLEAT_OK) status = pleat_model_fold(model, &fold_options, &folded, &report, &error);
  if (status == PLEAT_OK && !args->dry_run)
    status = pleat_model_save(folded, args->base.operands.items[1],
                              args->inline_weights ? PLEAT_EXTERNAL_INLINE : PLEAT_EXTERNAL_KEEP, &error);
  if (status == PLEAT_OK) {
    print_entries(report, cli->text);
    print_summary(args, report, cli->text);
    if (args->json) {
      cJSON *json = report_json(args, report);
      status = files_write_json(args->json, json, &error);
      cJSON_Delete(json);
    }
  }
  if (status != PLEAT_OK) {
    cli_error_at(&error, args->base.operands.items[0]);
    result = cli_fail(cli, &error);
  }
  pleat_fold_report_destroy(report);
  pleat_model_release(folded);
  pleat_model_release(model);
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
        "Loads IN, folds what can be folded, and writes OUT (which may be IN). Prints what was folded into which\n"
        "node, what was removed, and why the rest was kept.\n",
    .examples = "  pleat fold resnet50.onnx resnet50-folded.onnx\n"
                "  pleat fold resnet50.onnx --dry-run\n"
                "  pleat fold in.onnx out.onnx --json report.json\n",
    .options = options,
    .min_operands = 1,
    .max_operands = 2,
    .missing_operand = "the model IN",
    .args_size = sizeof(fold_args),
    .more_help = print_passes,
    .run = run,
};

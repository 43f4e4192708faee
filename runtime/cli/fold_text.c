/* What `pleat fold` has to say: the entries of the fold report, and the verdict on exactness.
 *
 * The table shows two errors an output, one below the other; JSON has all that the library gives. */
#include "fold.h"

#include <inttypes.h>
#include <string.h>

#include "text.h"

static const char *const action_names[] = {
    [PLEAT_FOLD_FOLDED] = "folded", [PLEAT_FOLD_REMOVED] = "removed", [PLEAT_FOLD_KEPT] = "kept"};

void fold_print_entries(const pleat_fold_report *report, bool all, FILE *file) {
  text_table *table = text_table_create("llll");
  for (int action = all ? PLEAT_FOLD_FOLDED : PLEAT_FOLD_KEPT; action <= PLEAT_FOLD_KEPT; action++) {
    for (size_t i = 0; i < report->entry_count; i++) {
      const pleat_fold_entry *entry = &report->entries[i];
      if ((int)entry->action != action) continue;
      text_table_cell(table, "%s", action_names[action]);
      text_table_cell(table, "%s", entry->op_type);
      text_table_cell(table, "%s", entry->node);
      if (action != PLEAT_FOLD_FOLDED) text_table_cell(table, "%s", entry->reason);
      else if (*entry->reason) text_table_cell(table, "into %s, %s", entry->target, entry->reason);
      else text_table_cell(table, "into %s", entry->target);
    }
  }
  text_table_print(table, file, 0);
  text_table_destroy(table);
}

cJSON *fold_report_json(const pleat_fold_report *report) {
  cJSON *entries = json_array();
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
  return entries;
}

/* ---- the check ---- */

static bool has_range(const pleat_check_output *output) {
  return output->dtype == PLEAT_FLOAT || output->dtype == PLEAT_DOUBLE || output->dtype == PLEAT_FLOAT16 ||
         output->dtype == PLEAT_BFLOAT16;
}

static void error_cell(text_table *table, double error) {
  if (error == 0) text_table_cell(table, "0");
  else text_table_cell(table, "%.1e", error);
}

static void print_error(text_table *table, const char *who, const pleat_check_output *output,
                        const pleat_check_error *error) {
  text_table_cell(table, "%s", who);
  if (has_range(output)) {
    error_cell(table, error->max_abs);
    error_cell(table, error->max_rel);
    text_table_cell(table, "%" PRIu64, error->max_ulp);
  } else {
    text_table_cell(table, "%" PRIu64 " differ", error->unequal);
    text_table_cell(table, "-");
    text_table_cell(table, "-");
  }
}

static void print_output(text_table *table, const pleat_check_output *output) {
  text_table_cell(table, "%s", output->name);
  if (has_range(output)) text_table_cell(table, "%.3g", output->range);
  else text_table_cell(table, "-");
  print_error(table, "original", output, &output->original);
  text_table_cell(table, "%s", "");
  text_table_cell(table, "%s", "");
  text_table_cell(table, "%s", "");
  print_error(table, "folded", output, &output->folded);
  if (!output->passed) text_table_cell(table, "REFUSED: %s", output->reason);
  else if (*output->reason) text_table_cell(table, "%s", output->reason);
  else if (has_range(output)) text_table_cell(table, "ok, limit %.1e", output->limit);
  else text_table_cell(table, "ok");
}

void fold_print_check(const pleat_check_report *check, FILE *file) {
  static const char *const heads[] = {"output", "range", "model", "max abs", "max rel", "max ulp", ""};
  fprintf(file, "check of errors against the float64 oracle, %d random input%s", check->runs,
          check->runs == 1 ? "" : "s");
  for (size_t i = 0; i < check->input_count; i++) {
    const pleat_input_shape *input = &check->inputs[i];
    fputs(i == 0 ? ": " : ", ", file);
    cli_put_clean(file, input->name);
    for (int d = 0; d < input->rank; d++) fprintf(file, "%c%" PRId64, d == 0 ? '=' : 'x', input->dims[d]);
    if (input->rank == 0) fputs("=scalar", file);
  }
  putc('\n', file);
  text_table *table = text_table_create("lrlrrrl");
  for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) text_table_cell(table, "%s", heads[i]);
  for (size_t i = 0; i < check->output_count; i++) print_output(table, &check->outputs[i]);
  text_table_print(table, file, 2);
  text_table_destroy(table);
}

static cJSON *error_json(const pleat_check_error *error) {
  cJSON *json = json_object();
  json_add_number(json, "max_abs", error->max_abs);
  json_add_number(json, "max_rel", error->max_rel);
  json_add_count(json, "max_ulp", error->max_ulp);
  json_add_count(json, "not_finite", error->not_finite);
  json_add_count(json, "unequal", error->unequal);
  return json;
}

static cJSON *output_json(const pleat_check_output *output) {
  cJSON *json = json_object();
  json_add_string(json, "name", output->name);
  json_add_string(json, "type", pleat_dtype_name(output->dtype));
  json_add_count(json, "count", output->count);
  json_add_number(json, "range", output->range);
  json_add_number(json, "limit", output->limit);
  json_add(json, "original", error_json(&output->original));
  json_add(json, "folded", error_json(&output->folded));
  json_add(json, "difference", error_json(&output->difference));
  json_add_bool(json, "passed", output->passed);
  json_add_string(json, "reason", output->reason);
  return json;
}

cJSON *fold_check_json(const pleat_check_report *check) {
  cJSON *json = json_object(), *inputs = json_array(), *outputs = json_array();
  json_add_bool(json, "passed", check->passed);
  json_add_string(json, "reason", check->reason);
  json_add_count(json, "runs", (uint64_t)check->runs);
  json_add_count(json, "seed", check->seed);
  for (size_t i = 0; i < check->input_count; i++) {
    cJSON *input = json_object();
    json_add_string(input, "name", check->inputs[i].name);
    json_add(input, "shape", json_dims(check->inputs[i].rank, check->inputs[i].dims));
    json_push(inputs, input);
  }
  for (size_t i = 0; i < check->output_count; i++) json_push(outputs, output_json(&check->outputs[i]));
  json_add(json, "inputs", inputs);
  json_add(json, "outputs", outputs);
  return json;
}

/* Errors against the float64 oracle, of a fold or of a precision, as tables and as JSON.
 *
 * The tables show two errors an output, one below the other; JSON has all that the library gives. */
#include "check_text.h"

#include <inttypes.h>
#include <string.h>

#include "text.h"

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

/* "<what>, 3 random inputs: x=1x3x224x224" */
static void print_title(const pleat_check_report *check, const char *what, FILE *file) {
  fprintf(file, "%s, %d random input%s", what, check->runs, check->runs == 1 ? "" : "s");
  for (size_t i = 0; i < check->input_count; i++) {
    const pleat_input_shape *input = &check->inputs[i];
    fputs(i == 0 ? ": " : ", ", file);
    cli_put_clean(file, input->name);
    for (int d = 0; d < input->rank; d++) fprintf(file, "%c%" PRId64, d == 0 ? '=' : 'x', input->dims[d]);
    if (input->rank == 0) fputs("=scalar", file);
  }
  putc('\n', file);
}

void check_print_fold(const pleat_check_report *check, FILE *file) {
  static const char *const heads[] = {"output", "range", "model", "max abs", "max rel", "max ulp", ""};
  print_title(check, "check of errors against the float64 oracle", file);
  text_table *table = text_table_create("lrlrrrl");
  for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) text_table_cell(table, "%s", heads[i]);
  for (size_t i = 0; i < check->output_count; i++) print_output(table, &check->outputs[i]);
  text_table_print(table, file, 2);
  text_table_destroy(table);
}

/* ---- of precisions ---- */

static void print_precision(text_table *table, const char *name, const pleat_check_output *output,
                            const pleat_check_error *error) {
  text_table_cell(table, "%s", name);
  if (!has_range(output)) {
    text_table_cell(table, "%" PRIu64 " of %" PRIu64 " differ", error->unequal, output->count);
    text_table_cell(table, "-");
  } else {
    error_cell(table, error->max_abs);
    error_cell(table, output->range > 0 ? error->max_abs / output->range : 0);
  }
  if (output->rows > 0)
    text_table_cell(table, "%" PRIu64 " of %" PRIu64, output->rows - error->other_top, output->rows);
  else text_table_cell(table, "-");
}

void check_print_precision(const pleat_check_report *check, const char *precision, FILE *file) {
  static const char *const heads[] = {"output", "range", "precision", "max abs", "of range", "same top"};
  const bool both = strcmp(precision, "fp32") != 0;
  print_title(check, "errors against the float64 oracle", file);
  text_table *table = text_table_create("lrlrrr");
  for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) text_table_cell(table, "%s", heads[i]);
  for (size_t i = 0; i < check->output_count; i++) {
    const pleat_check_output *output = &check->outputs[i];
    text_table_cell(table, "%s", output->name);
    if (has_range(output)) text_table_cell(table, "%.3g", output->range);
    else text_table_cell(table, "-");
    print_precision(table, "fp32", output, &output->original);
    if (!both) continue;
    text_table_cell(table, "%s", "");
    text_table_cell(table, "%s", "");
    print_precision(table, precision, output, &output->folded);
  }
  text_table_print(table, file, 2);
  text_table_destroy(table);
}

/* ---- JSON ---- */

static cJSON *error_json(const pleat_check_error *error) {
  cJSON *json = json_object();
  json_add_number(json, "max_abs", error->max_abs);
  json_add_number(json, "max_rel", error->max_rel);
  json_add_count(json, "max_ulp", error->max_ulp);
  json_add_count(json, "not_finite", error->not_finite);
  json_add_count(json, "unequal", error->unequal);
  json_add_count(json, "other_top", error->other_top);
  return json;
}

static cJSON *output_json(const pleat_check_output *output, const char *first, const char *second) {
  cJSON *json = json_object();
  json_add_string(json, "name", output->name);
  json_add_string(json, "type", pleat_dtype_name(output->dtype));
  json_add_count(json, "count", output->count);
  json_add_count(json, "rows", output->rows);
  json_add_number(json, "range", output->range);
  json_add_number(json, "limit", output->limit);
  json_add(json, first, error_json(&output->original));
  json_add(json, second, error_json(&output->folded));
  json_add(json, "difference", error_json(&output->difference));
  json_add_bool(json, "passed", output->passed);
  json_add_string(json, "reason", output->reason);
  return json;
}

cJSON *check_json(const pleat_check_report *check, const char *first, const char *second) {
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
  for (size_t i = 0; i < check->output_count; i++) json_push(outputs, output_json(&check->outputs[i], first, second));
  json_add(json, "inputs", inputs);
  json_add(json, "outputs", outputs);
  return json;
}

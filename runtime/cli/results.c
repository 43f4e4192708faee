/* Outputs of a run as tables and as JSON. Lists are walked: their items are named "name[0]", "name[1]"...
 *
 * Invariants: table and JSON show the same figures (summary.c). The best classes are looked for along the last axis,
 * of at most 16 rows, and only in outputs of numbers; nothing is claimed about tensors that cannot hold classes. */
#include "results.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "summary.h"

enum { TOP_ROWS = 16 }; /* rows of the last axis whose classes are shown */

/* ---- the table ---- */

static pleat_status add_row(text_table *table, const char *name, const pleat_tensor *tensor, pleat_error *error) {
  char type[TEXT_TYPE], values[TEXT_TYPE], number[TEXT_NUMBER];
  text_table_cell(table, "%s", name);
  text_table_cell(table, "%s", text_tensor_type(tensor, type));
  if (pleat_tensor_kind(tensor) != PLEAT_KIND_TENSOR) {
    for (int i = 0; i < 4; i++) text_table_cell(table, "%s", "");
    for (size_t i = 0; i < pleat_tensor_count(tensor); i++) {
      char *item = cli_printf("%s[%zu]", name, i);
      pleat_status status = add_row(table, item, pleat_tensor_item(tensor, i), error);
      free(item);
      if (status != PLEAT_OK) return status;
    }
    return PLEAT_OK;
  }
  summary summary;
  pleat_status status = summary_init(&summary, tensor, error);
  if (status != PLEAT_OK) return status;
  text_table_cell(table, "%s", summary.has_figures ? text_number(summary.min, number) : "");
  text_table_cell(table, "%s", summary.has_figures ? text_number(summary.max, number) : "");
  text_table_cell(table, "%s", summary.has_figures ? text_number(summary.mean, number) : "");
  summary_first_values(tensor, &summary, values);
  if (summary.nan_count) text_table_cell(table, "%s (%zu NaN)", values, summary.nan_count);
  else text_table_cell(table, "%s", values);
  summary_deinit(&summary);
  return PLEAT_OK;
}

pleat_status results_print(const results *results, FILE *file, pleat_error *error) {
  static const char *const heads[] = {"output", "type", "min", "max", "mean", "first values"};
  text_table *table = text_table_create("llrrrl");
  for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) text_table_cell(table, "%s", heads[i]);
  pleat_status status = PLEAT_OK;
  for (size_t i = 0; i < results->count && status == PLEAT_OK; i++)
    status = add_row(table, results->names[i], results->tensors[i], error);
  if (status == PLEAT_OK) text_table_print(table, file, 0);
  text_table_destroy(table);
  return status;
}

/* ---- the best classes ---- */

/* The rows along the last axis of an output that can have classes. */
typedef struct rows {
  summary summary;
  const double *values;
  size_t count, length;
} rows;

/* Empty (count 0) for outputs without classes: no numbers, no axis, or an axis of one. */
static pleat_status rows_init(rows *rows, const pleat_tensor *tensor, pleat_error *error) {
  *rows = (struct rows){0};
  pleat_status status = summary_init(&rows->summary, tensor, error);
  if (status != PLEAT_OK || !rows->summary.doubles) return status;
  int rank = pleat_tensor_rank(tensor);
  size_t length = rank > 0 ? (size_t)pleat_tensor_dims(tensor)[rank - 1] : 0;
  if (length < 2) return PLEAT_OK;
  rows->values = pleat_tensor_const_data(rows->summary.doubles);
  rows->length = length;
  rows->count = pleat_tensor_count(tensor) / length;
  return PLEAT_OK;
}

static void print_row(const char *name, const pleat_tensor *tensor, const rows *rows, size_t row, size_t k,
                      FILE *file) {
  const double *values = rows->values + row * rows->length;
  char place[TEXT_TYPE] = "", number[TEXT_NUMBER];
  if (rows->count > 1) text_index(row, pleat_tensor_rank(tensor) - 1, pleat_tensor_dims(tensor), place);
  top_class *classes = cli_calloc(k, sizeof *classes);
  size_t found = summary_top(values, rows->length, k, classes);
  fputs("\nbest classes of ", file);
  cli_put_clean(file, name);
  fprintf(file, "%s (%s)\n", place,
          summary_is_distribution(values, rows->length) ? "the values are probabilities"
                                                        : "probabilities by softmax of the values");
  text_table *table = text_table_create("rrr");
  text_table_cell(table, "class");
  text_table_cell(table, "value");
  text_table_cell(table, "probability");
  for (size_t i = 0; i < found; i++) {
    text_table_cell(table, "%zu", classes[i].index);
    text_table_cell(table, "%s", text_number(classes[i].value, number));
    text_table_cell(table, "%.4f", classes[i].probability);
  }
  text_table_print(table, file, 2);
  text_table_destroy(table);
  free(classes);
}

pleat_status results_print_top(const results *results, int k, FILE *file, pleat_error *error) {
  for (size_t i = 0; i < results->count; i++) {
    rows rows;
    pleat_status status = rows_init(&rows, results->tensors[i], error);
    if (status != PLEAT_OK) return status;
    for (size_t row = 0; row < rows.count && row < TOP_ROWS; row++)
      print_row(results->names[i], results->tensors[i], &rows, row, (size_t)k, file);
    if (rows.count > TOP_ROWS) fprintf(file, "  ... and %zu rows more\n", rows.count - TOP_ROWS);
    summary_deinit(&rows.summary);
  }
  return PLEAT_OK;
}

/* ---- JSON ---- */

static pleat_status add_top_json(cJSON *object, const pleat_tensor *tensor, int k, pleat_error *error) {
  rows rows;
  pleat_status status = rows_init(&rows, tensor, error);
  if (status != PLEAT_OK) return status;
  cJSON *array = json_array();
  top_class *classes = cli_calloc((size_t)k, sizeof *classes);
  for (size_t row = 0; row < rows.count && row < TOP_ROWS; row++) {
    const double *values = rows.values + row * rows.length;
    size_t found = summary_top(values, rows.length, (size_t)k, classes);
    cJSON *one = json_object(), *list = json_array();
    json_add_count(one, "row", row);
    json_add_bool(one, "softmax", !summary_is_distribution(values, rows.length));
    for (size_t i = 0; i < found; i++) {
      cJSON *class = json_object();
      json_add_count(class, "class", classes[i].index);
      json_add_number(class, "value", classes[i].value);
      json_add_number(class, "probability", classes[i].probability);
      json_push(list, class);
    }
    json_add(one, "classes", list);
    json_push(array, one);
  }
  json_add(object, "top", array);
  free(classes);
  summary_deinit(&rows.summary);
  return PLEAT_OK;
}

static pleat_status add_json(cJSON *array, const char *name, const pleat_tensor *tensor, int top, pleat_error *error) {
  pleat_status status = PLEAT_OK;
  if (pleat_tensor_kind(tensor) != PLEAT_KIND_TENSOR) {
    for (size_t i = 0; i < pleat_tensor_count(tensor) && status == PLEAT_OK; i++) {
      char *item = cli_printf("%s[%zu]", name, i);
      status = add_json(array, item, pleat_tensor_item(tensor, i), top, error);
      free(item);
    }
    return status;
  }
  summary summary;
  status = summary_init(&summary, tensor, error);
  if (status != PLEAT_OK) return status;
  cJSON *object = json_object();
  json_push(array, object);
  json_add_string(object, "name", name);
  json_add_string(object, "dtype", pleat_dtype_name(pleat_tensor_dtype(tensor)));
  json_add(object, "shape", json_dims(pleat_tensor_rank(tensor), pleat_tensor_dims(tensor)));
  json_add_count(object, "count", pleat_tensor_count(tensor));
  if (summary.has_figures) {
    json_add_number(object, "min", summary.min);
    json_add_number(object, "max", summary.max);
    json_add_number(object, "mean", summary.mean);
  }
  json_add_count(object, "nan", summary.nan_count);
  summary_deinit(&summary);
  return top > 0 ? add_top_json(object, tensor, top, error) : PLEAT_OK;
}

pleat_status results_json(const results *results, int top, cJSON **out_array, pleat_error *error) {
  pleat_status status = PLEAT_OK;
  cJSON *array = json_array();
  for (size_t i = 0; i < results->count && status == PLEAT_OK; i++)
    status = add_json(array, results->names[i], results->tensors[i], top, error);
  if (status != PLEAT_OK) {
    cJSON_Delete(array);
    array = NULL;
  }
  *out_array = array;
  return status;
}

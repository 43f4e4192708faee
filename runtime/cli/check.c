/* One model against its recorded data sets. Nothing is printed here: this code runs in worker processes as well.
 *
 * Invariants: a test passes only when every output of every data set was there and compared good; a model that needs
 * what is not supported is skipped, and anything else that goes wrong is a failure with its reason. Verdicts are JSON
 * objects.
 * Source: the folder layout of ONNX's backend tests (test_data_set_N/input_I.pb, output_I.pb). */
#include "check.h"

#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "text.h"

pleat_status check_open(const char *model, const check_options *options, loaded *out_loaded, pleat_error *error) {
  *out_loaded = (loaded){0};
  pleat_session_options session_options = options->session;
  session_options.threads = options->threads;
  session_options.no_fold = options->no_fold;
  pleat_status status = pleat_model_load(model, &out_loaded->model, error);
  if (status == PLEAT_OK && options->folded) {
    pleat_model *folded = NULL;
    status = pleat_model_fold(out_loaded->model, NULL, &folded, NULL, error);
    pleat_model_release(out_loaded->model);
    out_loaded->model = folded;
  }
  if (status == PLEAT_OK)
    status = pleat_session_create(out_loaded->model, &session_options, &out_loaded->session, error);
  if (status != PLEAT_OK) {
    cli_error_at(error, model);
    loaded_deinit(out_loaded);
  }
  return status;
}

cJSON *check_verdict(const char *name, const char *verdict, const char *reason) {
  cJSON *test = json_object();
  json_add_string(test, "name", name);
  json_add_string(test, "verdict", verdict);
  json_add_string(test, "reason", reason);
  json_add(test, "outputs", json_array());
  return test;
}

cJSON *check_failed(const char *name, const pleat_error *error) {
  char text[2048];
  if (error->status == PLEAT_UNSUPPORTED) return check_verdict(name, "skip", error->message);
  return check_verdict(name, "fail", pleat_error_format(error, text, sizeof text));
}

/* ---- one data set ---- */

typedef struct data_set {
  const char *path;
  size_t input_count, output_count; /* files there are: input_0.pb ... */
  pleat_tensor **inputs;            /* of the session */
  pleat_tensor **outputs;
  size_t inputs_wanted, outputs_wanted;
} data_set;

static size_t count_files(const char *folder, const char *kind) {
  size_t count = 0;
  for (bool found = true; found; count += found) {
    char *path = cli_printf("%s/%s_%zu.pb", folder, kind, count);
    found = files_exists(path);
    free(path);
  }
  return count;
}

/* ONNX up to 1.12 recorded bfloat16 values as the uint16 tensor of their bits: taken as what the model declares. */
static pleat_status as_bfloat16(pleat_tensor **tensor, pleat_error *error) {
  pleat_tensor *bits = *tensor, *result = NULL;
  pleat_status status =
      pleat_tensor_create(PLEAT_BFLOAT16, pleat_tensor_rank(bits), pleat_tensor_dims(bits), &result, error);
  if (status != PLEAT_OK) return status;
  if (pleat_tensor_bytes(bits) > 0)
    memcpy(pleat_tensor_data(result), pleat_tensor_const_data(bits), pleat_tensor_bytes(bits));
  pleat_tensor_release(bits);
  *tensor = result;
  return PLEAT_OK;
}

static pleat_status load_file(const char *folder, const char *kind, size_t index, const pleat_value_info *info,
                              pleat_tensor **out_tensor, pleat_error *error) {
  char *path = cli_printf("%s/%s_%zu.pb", folder, kind, index);
  pleat_status status = pleat_tensor_load_pb(path, info->kind, out_tensor, error);
  free(path);
  if (status == PLEAT_OK && info->dtype == PLEAT_BFLOAT16 && pleat_tensor_dtype(*out_tensor) == PLEAT_UINT16)
    status = as_bfloat16(out_tensor, error);
  return status;
}

static pleat_status data_set_init(data_set *set, const char *path, const pleat_session *session, pleat_error *error) {
  *set = (data_set){.path = path,
                    .inputs_wanted = pleat_session_input_count(session),
                    .outputs_wanted = pleat_session_output_count(session)};
  set->inputs = cli_calloc(set->inputs_wanted, sizeof *set->inputs);
  set->outputs = cli_calloc(set->outputs_wanted, sizeof *set->outputs);
  if (!files_is_folder(path)) return cli_error(error, PLEAT_IO_ERROR, path, "there is no such folder");
  set->input_count = count_files(path, "input");
  set->output_count = count_files(path, "output");
  if (set->input_count > set->inputs_wanted)
    return cli_error(error, PLEAT_INVALID_ARGUMENT, path, "%zu inputs, but the model has %zu", set->input_count,
                     set->inputs_wanted);
  if (set->output_count != set->outputs_wanted)
    return cli_error(error, PLEAT_INVALID_ARGUMENT, path, "%zu expected outputs, but the model has %zu",
                     set->output_count, set->outputs_wanted);
  pleat_status status = PLEAT_OK;
  for (size_t i = 0; i < set->input_count && status == PLEAT_OK; i++)
    status = load_file(path, "input", i, pleat_session_input(session, i), &set->inputs[i], error);
  return status;
}

static void data_set_deinit(data_set *set) {
  for (size_t i = 0; i < set->inputs_wanted; i++) pleat_tensor_release(set->inputs[i]);
  for (size_t i = 0; i < set->outputs_wanted; i++) pleat_tensor_release(set->outputs[i]);
  free(set->inputs);
  free(set->outputs);
}

static cJSON *output_json(const char *name, const pleat_tensor *actual, const pleat_comparison *c, const char *set) {
  bool tensor = pleat_tensor_kind(actual) == PLEAT_KIND_TENSOR;
  cJSON *json = json_object();
  json_add_string(json, "name", name);
  json_add_string(json, "dtype",
                  tensor ? pleat_dtype_name(pleat_tensor_dtype(actual)) : text_kind(pleat_tensor_kind(actual)));
  json_add(json, "shape",
           tensor ? json_dims(pleat_tensor_rank(actual), pleat_tensor_dims(actual)) : cJSON_CreateNull());
  json_add_bool(json, "match", c->match);
  json_add_count(json, "count", c->count);
  json_add_count(json, "bad", c->bad);
  json_add_number(json, "max_abs", c->max_abs);
  json_add_number(json, "max_rel", c->max_rel);
  if (c->first_bad != UINT64_MAX && c->comparable) {
    json_add_count(json, "first_bad", c->first_bad);
    json_add_number(json, "first_bad_actual", c->first_bad_actual);
    json_add_number(json, "first_bad_expected", c->first_bad_expected);
  }
  json_add_count(json, "nan_actual", c->nan_actual);
  json_add_count(json, "nan_expected", c->nan_expected);
  json_add_string(json, "reason", c->reason);
  json_add_string(json, "set", set);
  return json;
}

/* Compares one output and appends to `outputs`. *out_reason becomes the first mismatch, allocated. */
static pleat_status compare_output(const data_set *set, const pleat_session *session, size_t index,
                                   const check_options *options, cJSON *outputs, char **out_reason,
                                   pleat_error *error) {
  const pleat_value_info *info = pleat_session_output(session, index);
  pleat_tensor *expected = NULL;
  pleat_comparison comparison;
  pleat_status status = load_file(set->path, "output", index, info, &expected, error);
  if (status != PLEAT_OK) return status;
  pleat_compare(set->outputs[index], expected, options->tolerance, &comparison);
  pleat_tensor_release(expected);
  json_push(outputs, output_json(info->name, set->outputs[index], &comparison, set->path));
  if (comparison.match || *out_reason) return PLEAT_OK;
  *out_reason = comparison.comparable
                    ? cli_printf("output '%s': %llu of %llu values differ: %s (max abs %.3g, max rel %.3g)", info->name,
                                 (unsigned long long)comparison.bad, (unsigned long long)comparison.count,
                                 comparison.reason, comparison.max_abs, comparison.max_rel)
                    : cli_printf("output '%s': %s", info->name, comparison.reason);
  return PLEAT_OK;
}

static pleat_status check_set(const loaded *loaded, const char *path, const check_options *options, cJSON *outputs,
                              char **out_reason, pleat_error *error) {
  data_set set;
  pleat_status status = data_set_init(&set, path, loaded->session, error);
  if (status == PLEAT_OK)
    status = pleat_session_run(loaded->session, set.inputs, set.inputs_wanted, set.outputs, set.outputs_wanted, error);
  for (size_t i = 0; i < set.outputs_wanted && status == PLEAT_OK; i++)
    status = compare_output(&set, loaded->session, i, options, outputs, out_reason, error);
  data_set_deinit(&set);
  return status;
}

cJSON *check_sets(const char *name, const loaded *loaded, const check_options *options, const char *const *sets,
                  size_t set_count, pleat_status *out_status) {
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_status status = PLEAT_OK;
  cJSON *outputs = json_array();
  char *reason = NULL;
  for (size_t i = 0; i < set_count && status == PLEAT_OK && !reason; i++)
    status = check_set(loaded, sets[i], options, outputs, &reason, &error);
  cJSON *test = status != PLEAT_OK ? check_failed(name, &error)
                                   : check_verdict(name, reason ? "fail" : "pass", reason ? reason : "");
  cJSON_ReplaceItemInObjectCaseSensitive(test, "outputs", outputs);
  free(reason);
  *out_status = status;
  return test;
}

/* Everything the library does with a model, for the fuzzers.
 *
 * A mutated model may be valid and describe hours of work or all the memory there is. That is no defect, so what the
 * model and its plan say about their own cost is asked first, and an expensive one is not run. */
#include "exercise.h"

#include <stdlib.h>
#include <string.h>

#include <pleat/pleat.h>

enum { MAX_INPUTS = 16, MAX_OUTPUTS = 16 };
#define MAX_MACS    ((uint64_t)20 * 1000 * 1000)
#define MAX_BYTES   ((uint64_t)64 << 20)
#define MAX_COUNT   ((size_t)1 << 20) /* elements of one input */

/* A failure must carry a message, as the public headers promise; a success must leave the error as it was. */
static bool succeeded(pleat_status status, pleat_error *error) {
  if (status == PLEAT_INTERNAL) abort(); /* "a defect of Pleat" */
  if ((status == PLEAT_OK) != (error->status == PLEAT_OK)) abort();
  if (status != PLEAT_OK && !*error->message) abort();
  *error = (pleat_error)PLEAT_ERROR_INIT;
  return status == PLEAT_OK;
}

static bool is_cheap(const pleat_model *model) {
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_model_info *info = NULL;
  if (!succeeded(pleat_model_describe(model, NULL, 0, &info, &error), &error)) return true;
  bool cheap = info->macs <= MAX_MACS;
  uint64_t bytes = 0;
  for (size_t i = 0; i < info->node_count && cheap; i++) {
    for (size_t j = 0; j < info->nodes[i].output_count; j++) {
      const pleat_value_info *value = &info->nodes[i].output_infos[j];
      uint64_t count = 1;
      for (int k = 0; k < value->rank; k++) {
        uint64_t dim = value->dims[k].value > 0 ? (uint64_t)value->dims[k].value : 1;
        count = dim <= MAX_BYTES && count <= MAX_BYTES ? count * dim : MAX_BYTES;
      }
      bytes += count > MAX_BYTES ? MAX_BYTES : count;
      cheap = cheap && bytes <= MAX_BYTES;
    }
  }
  pleat_model_info_destroy(info);
  return cheap;
}

/* A tensor of the input's shape with small values: 1 where a dimension is open. NULL when it would be too large. */
static pleat_tensor *make_input(const pleat_value_info *info) {
  int64_t dims[PLEAT_MAX_RANK] = {0};
  uint64_t count = 1;
  pleat_tensor *tensor = NULL;
  if (info->kind != PLEAT_KIND_TENSOR || info->rank < 0 || info->rank > PLEAT_MAX_RANK) return NULL;
  for (int i = 0; i < info->rank; i++) {
    dims[i] = info->dims[i].value >= 0 ? info->dims[i].value : 1;
    if ((uint64_t)dims[i] > MAX_COUNT) return NULL;
    count *= (uint64_t)dims[i];
    if (count > MAX_COUNT) return NULL;
  }
  pleat_error error = PLEAT_ERROR_INIT;
  if (!succeeded(pleat_tensor_create(info->dtype, info->rank, dims, &tensor, &error), &error)) return NULL;
  if (info->dtype != PLEAT_FLOAT) return tensor; /* zeros */
  float *data = pleat_tensor_data(tensor);
  for (size_t i = 0; i < pleat_tensor_count(tensor); i++) data[i] = (float)(i % 17) / 8.0f - 1.0f;
  return tensor;
}

static bool run(pleat_session *session) {
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_tensor *inputs[MAX_INPUTS] = {NULL}, *outputs[MAX_OUTPUTS] = {NULL};
  size_t input_count = pleat_session_input_count(session), output_count = pleat_session_output_count(session);
  if (input_count > MAX_INPUTS || output_count > MAX_OUTPUTS) return false;
  for (size_t i = 0; i < input_count; i++) inputs[i] = make_input(pleat_session_input(session, i));
  bool ran = succeeded(pleat_session_run(session, inputs, input_count, outputs, output_count, &error), &error);
  for (size_t i = 0; i < output_count; i++) {
    if ((outputs[i] != NULL) != ran) abort();
    pleat_tensor_release(outputs[i]);
  }
  for (size_t i = 0; i < input_count; i++) pleat_tensor_release(inputs[i]);
  return ran;
}

static exercise_stage compile_and_run(const pleat_model *model, bool no_fold) {
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_session_options options = PLEAT_SESSION_OPTIONS_INIT;
  pleat_session *session = NULL;
  pleat_plan_info *plan = NULL;
  exercise_stage stage = EXERCISE_FOLDED;
  options.threads = 1;
  options.no_fold = no_fold;
  if (!succeeded(pleat_session_create(model, &options, &session, &error), &error)) return stage;
  if (succeeded(pleat_session_plan(session, NULL, 0, &plan, &error), &error)) {
    stage = EXERCISE_COMPILED;
    if (plan->activation_bytes <= MAX_BYTES && run(session)) stage = EXERCISE_RAN;
  }
  pleat_plan_info_destroy(plan);
  pleat_session_destroy(session);
  return stage;
}

/* What was saved must load again, into the same number of bytes. */
static void save_and_load(const pleat_model *model) {
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_model *again = NULL;
  void *first = NULL, *second = NULL;
  size_t first_size = 0, second_size = 0;
  if (succeeded(pleat_model_save_memory(model, &first, &first_size, &error), &error)) {
    pleat_status status = pleat_model_load_memory(first, first_size, NULL, &again, &error);
    if (status != PLEAT_OUT_OF_MEMORY && status != PLEAT_OK) abort();
    if (succeeded(status, &error) &&
        succeeded(pleat_model_save_memory(again, &second, &second_size, &error), &error) && first_size != second_size)
      abort();
  }
  free(first);
  free(second);
  pleat_model_release(again);
}

exercise_stage exercise_model(const void *data, size_t size) {
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_model *model = NULL, *folded = NULL;
  pleat_fold_report *report = NULL;
  if (!succeeded(pleat_model_load_memory(data, size, NULL, &model, &error), &error)) return EXERCISE_REFUSED;
  exercise_stage stage = EXERCISE_LOADED;
  if (is_cheap(model)) {
    if (succeeded(pleat_model_fold(model, NULL, &folded, &report, &error), &error)) save_and_load(folded);
    stage = compile_and_run(folded ? folded : model, folded != NULL);
  }
  pleat_fold_report_destroy(report);
  pleat_model_release(folded);
  pleat_model_release(model);
  return stage;
}

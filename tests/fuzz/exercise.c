/* Everything the library does with a model, for the fuzzers.
 *
 * A mutated model may be valid and describe hours of work or all the memory there is. That is no defect, so what the
 * model and its plan say about their own cost is asked first, and an expensive one is not run. */
#include "exercise.h"

#include <stdlib.h>
#include <string.h>

#include <pleat/pleat.h>

#ifdef PLEAT_TEST_SANITIZED
#define MAX_MACS ((uint64_t)10 * 1000 * 1000)

/* A size that a broken model claims must come back as "out of memory", as malloc has it without a sanitizer. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
  return "allocator_may_return_null=1:max_allocation_size_mb=1024";
}
#else
#define MAX_MACS ((uint64_t)100 * 1000 * 1000)
#endif

enum { MAX_INPUTS = 16, MAX_OUTPUTS = 16 };
#define MAX_BYTES ((uint64_t)64 << 20)
#define MAX_COUNT ((size_t)1 << 20) /* elements of one input */

/* A failure must carry a message, as the public headers promise; a success must leave the error as it was. */
static bool succeeded(pleat_status status, pleat_error *error) {
  if (status == PLEAT_INTERNAL) abort(); /* "a defect of Pleat" */
  if ((status == PLEAT_OK) != (error->status == PLEAT_OK)) abort();
  if (status != PLEAT_OK && !*error->message) abort();
  *error = (pleat_error)PLEAT_ERROR_INIT;
  return status == PLEAT_OK;
}

/* ---- small inputs ---- */

/* The shapes that the model is planned for and run with: its own, and small sizes where it leaves a dimension open. */
typedef struct shapes {
  pleat_input_shape items[MAX_INPUTS];
  int64_t dims[MAX_INPUTS][PLEAT_MAX_RANK];
  size_t count;
} shapes;

static void add_shape(shapes *shapes, const pleat_value_info *info) {
  if (shapes->count == MAX_INPUTS || info->kind != PLEAT_KIND_TENSOR || info->rank < 0 || info->rank > PLEAT_MAX_RANK)
    return;
  int64_t *dims = shapes->dims[shapes->count];
  for (int i = 0; i < info->rank; i++) {
    int64_t open = i == 0 ? 1 : 16; /* a batch of one; the others large enough for a kernel */
    dims[i] = info->dims[i].value >= 0 ? info->dims[i].value : open;
  }
  shapes->items[shapes->count++] = (pleat_input_shape){.name = info->name, .rank = info->rank, .dims = dims};
}

/* The input's tensor with small values; NULL when it has no shape or is too large, which the library must bear. */
static pleat_tensor *make_input(const shapes *shapes, const pleat_value_info *info) {
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_tensor *tensor = NULL;
  const pleat_input_shape *shape = NULL;
  for (size_t i = 0; i < shapes->count; i++)
    if (strcmp(shapes->items[i].name, info->name) == 0) shape = &shapes->items[i];
  if (!shape || info->dtype == PLEAT_STRING) return NULL;
  uint64_t count = 1;
  for (int i = 0; i < shape->rank; i++) {
    if ((uint64_t)shape->dims[i] > MAX_COUNT) return NULL;
    count *= (uint64_t)shape->dims[i];
    if (count > MAX_COUNT) return NULL;
  }
  if (!succeeded(pleat_tensor_create(info->dtype, shape->rank, shape->dims, &tensor, &error), &error)) return NULL;
  if (info->dtype != PLEAT_FLOAT) return tensor; /* zeros */
  float *data = pleat_tensor_data(tensor);
  for (size_t i = 0; i < pleat_tensor_count(tensor); i++) data[i] = (float)(i % 17) / 8.0f - 1.0f;
  return tensor;
}

/* ---- the stages ---- */

/* False when the model says of itself that it is large. */
static bool is_cheap(const pleat_model_info *info) {
  uint64_t elements = 0;
  for (size_t i = 0; i < info->node_count; i++) {
    for (size_t j = 0; j < info->nodes[i].output_count; j++) {
      const pleat_value_info *value = &info->nodes[i].output_infos[j];
      uint64_t count = 1;
      for (int k = 0; k < value->rank; k++) {
        uint64_t dim = value->dims[k].value > 0 ? (uint64_t)value->dims[k].value : 1;
        if (dim > MAX_BYTES) return false;
        count *= dim;
        if (count > MAX_BYTES) return false;
      }
      elements += count;
      if (elements > MAX_BYTES) return false;
    }
  }
  return info->macs <= MAX_MACS;
}

/* Describes the model as it is and with the shapes that it will run with. False: too expensive. */
static bool describe(const pleat_model *model) {
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_model_info *info = NULL, *shaped = NULL;
  bool cheap = true;
  if (succeeded(pleat_model_describe(model, NULL, 0, &info, &error), &error)) {
    shapes shapes = {0};
    for (size_t i = 0; i < info->input_count; i++) add_shape(&shapes, &info->inputs[i]);
    cheap = is_cheap(info);
    if (succeeded(pleat_model_describe(model, shapes.items, shapes.count, &shaped, &error), &error))
      cheap = cheap && is_cheap(shaped);
  }
  pleat_model_info_destroy(shaped);
  pleat_model_info_destroy(info);
  return cheap;
}

static bool run(pleat_session *session, const shapes *shapes) {
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_tensor *inputs[MAX_INPUTS] = {NULL}, *outputs[MAX_OUTPUTS] = {NULL};
  size_t input_count = pleat_session_input_count(session), output_count = pleat_session_output_count(session);
  if (input_count > MAX_INPUTS || output_count > MAX_OUTPUTS) return false;
  for (size_t i = 0; i < input_count; i++) inputs[i] = make_input(shapes, pleat_session_input(session, i));
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
  shapes shapes = {0}; /* the names are the session's */
  for (size_t i = 0; i < pleat_session_input_count(session); i++) add_shape(&shapes, pleat_session_input(session, i));
  if (succeeded(pleat_session_plan(session, shapes.items, shapes.count, &plan, &error), &error)) {
    stage = EXERCISE_COMPILED;
    if (plan->activation_bytes <= MAX_BYTES && run(session, &shapes)) stage = EXERCISE_RAN;
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
    if (succeeded(status, &error) && succeeded(pleat_model_save_memory(again, &second, &second_size, &error), &error) &&
        first_size != second_size)
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
  if (describe(model)) {
    if (succeeded(pleat_model_fold(model, NULL, &folded, &report, &error), &error)) save_and_load(folded);
    stage = compile_and_run(folded ? folded : model, folded != NULL);
  }
  pleat_fold_report_destroy(report);
  pleat_model_release(folded);
  pleat_model_release(model);
  return stage;
}

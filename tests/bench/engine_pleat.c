/* The benchmark's engine on Pleat, through the public API alone, with the options that a user gets by default. Inputs
 * are wrapped, not copied; the outputs of the first run are handed in again to be filled. */
#include <pleat/pleat.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

static pleat_model *model;
static pleat_session *session;
static pleat_tensor **inputs, **outputs;
static size_t input_count, output_count;
static pleat_error error = PLEAT_ERROR_INIT;

static bool report(void) {
  char text[ENGINE_MESSAGE_SIZE];
  return engine_fail("%s", pleat_error_format(&error, text, sizeof text));
}

bool engine_start(const char *library) {
  return library ? engine_fail("pleat's worker takes no argument") : true;
}

bool engine_load(const char *path, int threads) {
  pleat_session_options options = PLEAT_SESSION_OPTIONS_INIT;
  if (session) return engine_fail("a model is loaded already");
  options.threads = threads;
  if (pleat_model_load(path, &model, &error) != PLEAT_OK) return report();
  if (pleat_session_create(model, &options, &session, &error) != PLEAT_OK) return report();
  input_count = pleat_session_input_count(session);
  output_count = pleat_session_output_count(session);
  inputs = calloc(input_count + 1, sizeof(pleat_tensor *));
  outputs = calloc(output_count + 1, sizeof(pleat_tensor *));
  return inputs && outputs ? true : engine_fail("out of memory");
}

bool engine_set_input(const char *name, const engine_tensor *tensor) {
  for (size_t i = 0; i < input_count; i++) {
    if (strcmp(pleat_session_input(session, i)->name, name)) continue;
    pleat_tensor_release(inputs[i]);
    inputs[i] = NULL;
    if (pleat_tensor_wrap((pleat_dtype)tensor->dtype, tensor->rank, tensor->dims, tensor->data, tensor->bytes, NULL,
                          NULL, &inputs[i], &error) != PLEAT_OK)
      return report();
    return true;
  }
  return engine_fail("no input is named '%s'", name);
}

bool engine_run(void) {
  if (!session) return engine_fail("no model is loaded");
  if (pleat_session_run(session, inputs, input_count, outputs, output_count, &error) != PLEAT_OK) return report();
  return true;
}

size_t engine_output_count(void) {
  return output_count;
}

bool engine_output(size_t index, engine_tensor *out_tensor) {
  pleat_tensor *tensor = index < output_count ? outputs[index] : NULL;
  if (!tensor || pleat_tensor_kind(tensor) != PLEAT_KIND_TENSOR || pleat_tensor_dtype(tensor) == PLEAT_STRING)
    return engine_fail("output %zu is no tensor of numbers, or the model has not run", index);
  out_tensor->dtype = (int)pleat_tensor_dtype(tensor);
  out_tensor->rank = pleat_tensor_rank(tensor);
  for (int i = 0; i < out_tensor->rank; i++) out_tensor->dims[i] = pleat_tensor_dims(tensor)[i];
  out_tensor->data = pleat_tensor_data(tensor);
  out_tensor->bytes = pleat_tensor_bytes(tensor);
  return true;
}

void engine_stop(void) {
  for (size_t i = 0; inputs && i < input_count; i++) pleat_tensor_release(inputs[i]);
  for (size_t i = 0; outputs && i < output_count; i++) pleat_tensor_release(outputs[i]);
  free(inputs);
  free(outputs);
  pleat_session_destroy(session);
  pleat_model_release(model);
}

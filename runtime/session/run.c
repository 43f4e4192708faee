/* Running: check the inputs against what the model declares, get the plan and a workspace, point them at the callers'
 * memory, call the kernels in order, hand out the outputs. */
#include <stdlib.h>
#include <string.h>

#include "core/memory.h"
#include "core/parallel.h"
#include "session/session_private.h"

/* ---- inputs ---- */

static pleat_status check_input(const pleat_value_info *info, const pleat_tensor *tensor, pleat_error *error) {
  char expected[256], found[256];
  pleat_shape shape = pleat_shape_unknown();
  bool fits = tensor->kind == info->kind || info->kind == PLEAT_KIND_OTHER;
  if (info->kind == PLEAT_KIND_TENSOR && fits) {
    fits = info->dtype == PLEAT_UNDEFINED || tensor->dtype == info->dtype;
    if (info->rank >= 0) {
      shape.rank = info->rank;
      memcpy(shape.dims, info->dims, (size_t)info->rank * sizeof *info->dims);
      fits = fits && tensor->rank == info->rank;
      for (int i = 0; fits && i < info->rank; i++) {
        fits = info->dims[i].value < 0 || info->dims[i].value == tensor->dims[i];
      }
    }
  }
  if (fits) return PLEAT_OK;
  return pleat_fail_tensor(error, info->name, PLEAT_SHAPE_MISMATCH, "expected %s%s, found %s",
                           info->kind == PLEAT_KIND_TENSOR ? pleat_dtype_name(info->dtype) : "a sequence or optional",
                           info->kind == PLEAT_KIND_TENSOR ? pleat_shape_text(&shape, expected, sizeof expected) : "",
                           pleat_tensor_text(tensor, found, sizeof found));
}

/* The plan's key; kind OTHER stands for an input that is left to its default. */
static pleat_status describe_inputs(const pleat_session *session, pleat_tensor *const *inputs, pleat_tensor *shapes,
                                    pleat_error *error) {
  for (size_t i = 0; i < session->input_count; i++) {
    const pleat_value_info *info = &session->input_infos[i];
    if (inputs[i] == NULL) {
      if (!info->has_default) {
        return pleat_fail_tensor(error, info->name, PLEAT_INVALID_ARGUMENT, "no tensor is given for this input");
      }
      shapes[i] = (pleat_tensor){.kind = PLEAT_KIND_OTHER};
      continue;
    }
    PLEAT_TRY(check_input(info, inputs[i], error));
    shapes[i] = *inputs[i];
    shapes[i].refs = 0;
  }
  return PLEAT_OK;
}

/* The oracle's inputs: a double tensor for every one of a narrower floating-point type, in lists as well. */
static pleat_status widen(pleat_tensor *tensor, pleat_tensor **out_tensor, pleat_error *error) {
  pleat_status status = PLEAT_OK;
  const pleat_dtype wide = pleat_dtype_promoted(tensor->dtype);
  if (tensor->kind == PLEAT_KIND_TENSOR) {
    if (wide != tensor->dtype) return pleat_tensor_cast(tensor, wide, out_tensor, error);
    *out_tensor = pleat_tensor_retain(tensor);
    return PLEAT_OK;
  }
  pleat_tensor **items = calloc(tensor->count + 1, sizeof *items);
  if (items == NULL) return PLEAT_OOM(error);
  for (size_t i = 0; i < tensor->count && status == PLEAT_OK; i++) status = widen(tensor->items[i], &items[i], error);
  if (status == PLEAT_OK) status = pleat_tensor_create_list(tensor->kind, items, tensor->count, out_tensor, error);
  for (size_t i = 0; i < tensor->count; i++) pleat_tensor_release(items[i]);
  free(items);
  return status;
}

/* A new list of the run's inputs, each of which is the caller's to release. */
static pleat_status widen_inputs(const pleat_session *session, pleat_tensor *const *inputs, pleat_tensor ***out_inputs,
                                 pleat_error *error) {
  *out_inputs = calloc(session->input_count + 1, sizeof **out_inputs);
  if (*out_inputs == NULL) return PLEAT_OOM(error);
  for (size_t i = 0; i < session->input_count; i++) {
    if (inputs[i] != NULL) PLEAT_TRY(widen(inputs[i], &(*out_inputs)[i], error));
  }
  return PLEAT_OK;
}

/* ---- outputs ---- */

static void free_data(void *user, void *data) {
  (void)user;
  free(data);
}

/* A tensor for an output that is written in place: not zeroed, every byte will be written. */
static pleat_status make_output(const pleat_tensor *shape, pleat_tensor **out_tensor, pleat_error *error) {
  size_t bytes = pleat_bytes(shape);
  void *data = pleat_alloc_aligned(bytes);
  if (data == NULL) return pleat_fail(error, PLEAT_OUT_OF_MEMORY, "no %zu bytes for an output", bytes);
  pleat_status status =
      pleat_tensor_wrap(shape->dtype, shape->rank, shape->dims, data, bytes, free_data, NULL, out_tensor, error);
  if (status != PLEAT_OK) free(data);
  return status;
}

static pleat_status check_output(const pleat_tensor *given, const pleat_tensor *shape, const char *name,
                                 pleat_error *error) {
  char expected[256], found[256];
  bool fits = given->kind == PLEAT_KIND_TENSOR && shape->kind == PLEAT_KIND_TENSOR && given->dtype == shape->dtype &&
              given->dtype != PLEAT_STRING && pleat_same_shape(given, shape);
  if (fits) return PLEAT_OK;
  return pleat_fail_tensor(error, name, PLEAT_SHAPE_MISMATCH, "the output tensor given is %s, the model gives %s%s",
                           pleat_tensor_text(given, found, sizeof found),
                           pleat_tensor_text(shape, expected, sizeof expected),
                           shape->dtype == PLEAT_STRING ? "; strings are handed out in new tensors only" : "");
}

/* Before the run: tensors for the outputs that the plan writes in place: all, where a batch runs in parts. */
static pleat_status open_outputs(const pleat_session *session, pleat_workspace *ws, pleat_tensor **outputs,
                                 pleat_error *error) {
  const pleat_plan *plan = ws->plan;
  for (size_t i = 0; i < plan->output_count; i++) {
    if (plan->outputs[i].is_copy && plan->parts.plan == NULL) continue;
    const pleat_tensor *shape = &plan->slots[plan->outputs[i].slot].tensor;
    if (outputs[i] == NULL) PLEAT_TRY(make_output(shape, &outputs[i], error));
    else PLEAT_TRY(check_output(outputs[i], shape, session->output_infos[i].name, error));
  }
  for (size_t i = 0; i < ws->output_binding_count; i++) {
    const pleat_binding *bound = &ws->output_bindings[i];
    ws->tensors[bound->slot].data = pleat_binding_data(bound, outputs[bound->io_index]->data);
  }
  return PLEAT_OK;
}

/* After the run: the outputs that live elsewhere (inputs, constants, dynamic buffers, strings, lists). */
static pleat_status copy_outputs(const pleat_session *session, pleat_workspace *ws, pleat_tensor **outputs,
                                 pleat_error *error) {
  const pleat_plan *plan = ws->plan;
  for (size_t i = 0; i < plan->output_count; i++) {
    if (!plan->outputs[i].is_copy || plan->parts.plan != NULL) continue;
    const pleat_tensor *value = &ws->tensors[plan->outputs[i].slot];
    if (outputs[i] == NULL) {
      PLEAT_TRY(pleat_tensor_clone(value, &outputs[i], error));
      continue;
    }
    PLEAT_TRY(check_output(outputs[i], value, session->output_infos[i].name, error));
    if (value->count > 0) memmove(outputs[i]->data, value->data, pleat_bytes(value));
  }
  return PLEAT_OK;
}

/* ---- steps ---- */

static pleat_status run_steps(pleat_session *session, pleat_cached_plan *cached, pleat_workspace *ws,
                              pleat_error *error) {
  const bool before = pleat_parallel_use_rival(ws->plan->has_rival_threads);
  pleat_status status = pleat_workspace_run_steps(ws, session->threads, error);
  pleat_parallel_use_rival(before);
  if (cached->times != NULL) {
    pthread_mutex_lock(&session->lock);
    pleat_times_add(cached->times, ws);
    pthread_mutex_unlock(&session->lock);
  }
  return status;
}

/* A workspace for inputs that are not those of the last run: checked, with the plan found or built, and held. */
static pleat_status acquire(pleat_session *session, pleat_tensor *const *inputs, pleat_workspace **out_workspace,
                            pleat_error *error) {
  pleat_cached_plan *cached = NULL;
  pleat_tensor *shapes = calloc(session->input_count + 1, sizeof *shapes);
  if (shapes == NULL) return PLEAT_OOM(error);
  pleat_status status = describe_inputs(session, inputs, shapes, error);
  if (status == PLEAT_OK) status = pleat_session_acquire_plan(session, shapes, &cached, error);
  free(shapes);
  if (status != PLEAT_OK) return status;
  status = pleat_session_acquire_workspace(session, cached, out_workspace, error);
  if (status != PLEAT_OK) pleat_session_release_plan(session, cached);
  return status;
}

pleat_status pleat_session_run_in(pleat_session *session, pleat_cached_plan *cached, pleat_workspace *ws,
                                  pleat_tensor *const *inputs, pleat_tensor **outputs, pleat_error *error) {
  const size_t count = session->output_count;
  if (count > 0) memcpy(ws->results, outputs, count * sizeof *outputs);
  pleat_workspace_bind_inputs(ws, (const pleat_tensor *const *)inputs);
  pleat_status status = open_outputs(session, ws, ws->results, error);
  if (status == PLEAT_OK && ws->workers != NULL)
    status = pleat_session_run_parts(session, cached, ws, inputs, ws->results, error);
  else if (status == PLEAT_OK) status = run_steps(session, cached, ws, error);
  if (status == PLEAT_OK) status = copy_outputs(session, ws, ws->results, error);
  for (size_t i = 0; i < count; i++) {
    if (status == PLEAT_OK) outputs[i] = ws->results[i];
    else if (outputs[i] == NULL) pleat_tensor_release(ws->results[i]);
  }
  pleat_arena_reset(ws->run_arena);
  return status;
}

pleat_status pleat_session_run(pleat_session *session, pleat_tensor *const *inputs, size_t input_count,
                               pleat_tensor **outputs, size_t output_count, pleat_error *error) {
  pleat_tensor **wide = NULL;
  if (session == NULL || (inputs == NULL && input_count > 0) || (outputs == NULL && output_count > 0)) {
    return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "NULL argument");
  }
  if (input_count != session->input_count || output_count != session->output_count) {
    return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "expected %zu inputs and %zu outputs, found %zu and %zu",
                      session->input_count, session->output_count, input_count, output_count);
  }
  pleat_workspace *ws = session->float64 ? NULL : pleat_session_take_hot(session, inputs);
  if (ws == NULL) PLEAT_TRY(acquire(session, inputs, &ws, error));
  pleat_status status = session->float64 ? widen_inputs(session, inputs, &wide, error) : PLEAT_OK;
  if (status == PLEAT_OK)
    status = pleat_session_run_in(session, ws->owner, ws, wide != NULL ? wide : inputs, outputs, error);
  for (size_t i = 0; wide != NULL && i < input_count; i++) pleat_tensor_release(wide[i]);
  free(wide);
  pleat_session_leave_hot(session, ws);
  return status;
}

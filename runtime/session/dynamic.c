/* Dynamic steps: nodes whose shapes follow from data that only the run has (NonZero, Range of computed bounds, Reshape
 * to a computed shape). The operator's infer is asked again, now with all data; then the kernel is chosen, prepared and
 * run. */
#include <stdlib.h>
#include <string.h>

#include "core/memory.h"
#include "session/workspace.h"

pleat_status pleat_workspace_grow(pleat_workspace *ws, uint32_t slot, size_t bytes, pleat_error *error) {
  if (bytes > ws->buffer_sizes[slot] || ws->buffers[slot] == NULL) {
    free(ws->buffers[slot]);
    ws->buffer_sizes[slot] = 0;
    ws->buffers[slot] = pleat_alloc_aligned(bytes);
    if (ws->buffers[slot] == NULL)
      return pleat_fail(error, PLEAT_OUT_OF_MEMORY, "no %zu bytes for an activation", bytes);
    ws->buffer_sizes[slot] = bytes;
  }
  ws->tensors[slot].data = ws->buffers[slot];
  return PLEAT_OK;
}

/* Gives every output its final shape and memory. */
static pleat_status shape_outputs(pleat_workspace *ws, const pleat_step *step, const pleat_type *types,
                                  pleat_error *error) {
  char text[256];
  for (size_t i = 0; i < step->node->output_count; i++) {
    int64_t dims[PLEAT_MAX_RANK];
    uint32_t slot = step->outputs[i];
    if (slot == PLEAT_NO_SLOT) continue;
    pleat_tensor *tensor = &ws->tensors[slot];
    if (types[i].kind != PLEAT_KIND_TENSOR) {
      *tensor = (pleat_tensor){.kind = types[i].kind};
      continue;
    }
    if (types[i].dtype == PLEAT_UNDEFINED || !pleat_shape_dims(&types[i].shape, dims)) {
      return pleat_fail_tensor(error, step->node->outputs[i]->name, PLEAT_UNSUPPORTED,
                               "its shape %s is not known even while running",
                               pleat_shape_text(&types[i].shape, text, sizeof text));
    }
    if (!pleat_tensor_describe(tensor, types[i].dtype, types[i].shape.rank, dims)) {
      return pleat_fail(error, PLEAT_OUT_OF_MEMORY, "the size of shape %s overflows memory",
                        pleat_shape_text(&types[i].shape, text, sizeof text));
    }
    PLEAT_TRY(pleat_workspace_grow(ws, slot, pleat_bytes(tensor), error));
  }
  return PLEAT_OK;
}

/* Runs a prepared call: with a workspace, and the run's arena for strings and items. */
static pleat_status run_prepared(const pleat_kernel *kernel, const pleat_call *prepared, pleat_arena *run_arena) {
  pleat_call call = *prepared;
  call.workspace = pleat_alloc_aligned(call.workspace_size);
  if (call.workspace == NULL) return PLEAT_OOM(call.error);
  pleat_status status = pleat_kernel_open(kernel, &call);
  if (status == PLEAT_OK) {
    call.arena = run_arena;
    status = pleat_kernel_run(kernel, &call);
    pleat_kernel_close(kernel, &call);
  }
  free(call.workspace);
  return status;
}

static pleat_status prepare_and_run(const pleat_call *template, pleat_error *error) {
  const pleat_kernel *kernel = NULL;
  pleat_call call = *template;
  call.error = error;
  call.arena = pleat_arena_create();
  if (call.arena == NULL) return PLEAT_OOM(error);
  pleat_status status = pleat_kernel_take(&call, NULL, 0, &kernel);
  if (status == PLEAT_OK) {
    status = run_prepared(kernel, &call, template->arena);
    pleat_kernel_release(kernel, &call);
  }
  pleat_arena_destroy(call.arena);
  return status;
}

pleat_status pleat_workspace_run_dynamic(pleat_workspace *ws, size_t index, int threads, pleat_error *error) {
  const pleat_step *step = &ws->plan->steps[index];
  const pleat_node *node = step->node;
  pleat_type *types = calloc(node->input_count + node->output_count + 1, sizeof *types);
  if (types == NULL) return PLEAT_OOM(error);
  for (size_t i = 0; i < node->input_count; i++) {
    if (step->inputs[i] != PLEAT_NO_SLOT) types[i] = pleat_type_of_tensor(&ws->tensors[step->inputs[i]]);
  }
  pleat_type *outputs = types + node->input_count;
  pleat_status status = pleat_node_infer(node, types, outputs, error);
  if (status == PLEAT_OK) status = shape_outputs(ws, step, outputs, error);
  free(types);
  if (status != PLEAT_OK) return status;
  ws->calls[index].threads = threads;
  ws->calls[index].reference_only = ws->plan->reference_only;
  ws->calls[index].exact = ws->plan->exact;
  return prepare_and_run(&ws->calls[index], error);
}

/* Laying out a workspace: every descriptor and call points to its memory before the first run; what callers own is
 * listed as bindings, to be filled in by each run. See workspace.h. */
#include "session/workspace.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/memory.h"

static pleat_status lay_out_slots(pleat_workspace *ws, pleat_error *error) {
  const pleat_plan *plan = ws->plan;
  ws->tensors = pleat_arena_array(ws->arena, plan->slot_count, sizeof *ws->tensors);
  ws->input_bindings = pleat_arena_array(ws->arena, plan->slot_count, sizeof *ws->input_bindings);
  ws->output_bindings = pleat_arena_array(ws->arena, plan->slot_count, sizeof *ws->output_bindings);
  ws->results = pleat_arena_array(ws->arena, plan->output_count, sizeof(pleat_tensor *));
  ws->buffers = pleat_arena_array(ws->arena, plan->slot_count, sizeof *ws->buffers);
  ws->buffer_sizes = pleat_arena_array(ws->arena, plan->slot_count, sizeof *ws->buffer_sizes);
  if (ws->results == NULL || ws->tensors == NULL || ws->input_bindings == NULL || ws->output_bindings == NULL ||
      ws->buffers == NULL || ws->buffer_sizes == NULL) {
    return PLEAT_OOM(error);
  }
  for (uint32_t i = 0; i < plan->slot_count; i++) {
    const pleat_slot *slot = &plan->slots[i], *root = &plan->slots[slot->root];
    const size_t offset = slot != root ? slot->offset : 0; /* in the root */
    ws->tensors[i] = slot->tensor;
    switch (root->storage) {
    case PLEAT_STORAGE_CONSTANT:
      ws->tensors[i].data = offset > 0 ? (char *)root->tensor.data + offset : root->tensor.data;
      break;
    case PLEAT_STORAGE_ARENA:
      ws->tensors[i].data = (char *)ws->memory + root->offset + offset;
      break;
    case PLEAT_STORAGE_INPUT:
      ws->input_bindings[ws->input_binding_count++] =
          (pleat_binding){.slot = i, .io_index = root->io_index, .offset = offset};
      break;
    case PLEAT_STORAGE_OUTPUT:
      ws->output_bindings[ws->output_binding_count++] =
          (pleat_binding){.slot = i, .io_index = root->io_index, .offset = offset};
      break;
    default:
      break;
    }
  }
  return PLEAT_OK;
}

static pleat_status lay_out_calls(pleat_workspace *ws, pleat_error *error) {
  const pleat_plan *plan = ws->plan;
  ws->calls = pleat_arena_array(ws->arena, plan->step_count, sizeof *ws->calls);
  if (ws->calls == NULL) return PLEAT_OOM(error);
  for (size_t s = 0; s < plan->step_count; s++) {
    const pleat_step *step = &plan->steps[s];
    const pleat_tensor **inputs = pleat_arena_array(ws->arena, step->input_count, sizeof *inputs);
    pleat_tensor **outputs = pleat_arena_array(ws->arena, step->node->output_count, sizeof *outputs);
    if (inputs == NULL || outputs == NULL) return PLEAT_OOM(error);
    for (size_t i = 0; i < step->input_count; i++) {
      inputs[i] = step->inputs[i] != PLEAT_NO_SLOT ? &ws->tensors[step->inputs[i]] : NULL;
    }
    for (size_t i = 0; i < step->node->output_count; i++) {
      outputs[i] = step->outputs[i] != PLEAT_NO_SLOT ? &ws->tensors[step->outputs[i]] : NULL;
    }
    ws->calls[s] = step->call;
    ws->calls[s].node = step->node;
    ws->calls[s].version = step->node->version;
    ws->calls[s].input_count = step->input_count;
    ws->calls[s].output_count = step->node->output_count;
    ws->calls[s].inputs = inputs;
    ws->calls[s].outputs = outputs;
    ws->calls[s].workspace = (char *)ws->memory + step->workspace_offset;
    ws->calls[s].arena = ws->run_arena;
    ws->calls[s].error = NULL;
  }
  return PLEAT_OK;
}

static pleat_status open_calls(pleat_workspace *ws, pleat_error *error) {
  ws->flows = pleat_arena_array(ws->arena, ws->plan->step_count, sizeof(struct pleat_flow_run *));
  if (ws->flows == NULL) return PLEAT_OOM(error);
  for (size_t s = 0; s < ws->plan->step_count; s++) {
    const pleat_step *step = &ws->plan->steps[s];
    if (step->flow != NULL) PLEAT_TRY(pleat_flow_run_create(ws, s, &ws->flows[s], error));
    if (step->kernel == NULL || step->is_view) continue;
    ws->calls[s].error = error;
    PLEAT_TRY(pleat_kernel_open(step->kernel, &ws->calls[s]));
  }
  return PLEAT_OK;
}

static void close_calls(pleat_workspace *ws) {
  for (size_t s = 0; ws->calls != NULL && s < ws->plan->step_count; s++) {
    if (ws->flows != NULL) pleat_flow_run_destroy(ws->flows[s]);
    if (ws->calls[s].instance != NULL) pleat_kernel_close(ws->plan->steps[s].kernel, &ws->calls[s]);
  }
}

/* A workspace for each of those that run parts at the same time. */
static pleat_status add_workers(pleat_workspace *ws, pleat_error *error) {
  const pleat_parts *parts = &ws->plan->parts;
  const size_t inputs = ws->plan->input_count, outputs = ws->plan->output_count;
  if (parts->plan == NULL) return PLEAT_OK;
  ws->workers = pleat_arena_array(ws->arena, (size_t)parts->workers, sizeof *ws->workers);
  if (ws->workers == NULL) return PLEAT_OOM(error);
  for (int i = 0; i < parts->workers; i++) {
    pleat_part_worker *worker = &ws->workers[i];
    worker->tensors = pleat_arena_array(ws->arena, inputs + outputs, sizeof *worker->tensors);
    worker->inputs = pleat_arena_array(ws->arena, inputs, sizeof *worker->inputs);
    worker->outputs = pleat_arena_array(ws->arena, outputs, sizeof *worker->outputs);
    if (worker->tensors == NULL || worker->inputs == NULL || worker->outputs == NULL) return PLEAT_OOM(error);
    for (size_t k = 0; k < inputs; k++) worker->tensors[k] = parts->plan->input_shapes[k];
    for (size_t k = 0; k < outputs; k++) {
      worker->tensors[inputs + k] = parts->plan->slots[parts->plan->outputs[k].slot].tensor;
      worker->outputs[k] = &worker->tensors[inputs + k];
    }
    PLEAT_TRY(pleat_workspace_create(parts->plan, ws->spent != NULL, ws->lock, &worker->ws, error));
  }
  return PLEAT_OK;
}

pleat_status pleat_workspace_create(const pleat_plan *plan, bool profile, pthread_mutex_t *lock,
                                    pleat_workspace **out_workspace, pleat_error *error) {
  pleat_status status = PLEAT_OK;
  *out_workspace = NULL;
  pleat_workspace *ws = calloc(1, sizeof *ws);
  if (ws == NULL) return PLEAT_OOM(error);
  ws->plan = plan;
  ws->lock = lock;
  ws->arena = pleat_arena_create();
  ws->run_arena = pleat_arena_create();
  ws->memory = pleat_block_alloc(plan->arena_bytes);
  if (ws->arena == NULL || ws->run_arena == NULL || ws->memory == NULL) {
    status = pleat_fail(error, PLEAT_OUT_OF_MEMORY, "no %zu bytes for activations", plan->arena_bytes);
    goto fail;
  }
  if (profile && (ws->spent = pleat_arena_array(ws->arena, plan->step_count, sizeof *ws->spent)) == NULL) {
    status = PLEAT_OOM(error);
    goto fail;
  }
  PLEAT_CHECK(lay_out_slots(ws, error));
  PLEAT_CHECK(lay_out_calls(ws, error));
  PLEAT_CHECK(open_calls(ws, error));
  PLEAT_CHECK(add_workers(ws, error));
  *out_workspace = ws;
  return PLEAT_OK;
fail:
  pleat_workspace_destroy(ws);
  return status;
}

void pleat_workspace_destroy(pleat_workspace *ws) {
  if (ws == NULL) return;
  close_calls(ws);
  for (int i = 0; ws->workers != NULL && i < ws->plan->parts.workers; i++) pleat_workspace_destroy(ws->workers[i].ws);
  for (size_t i = 0; ws->buffers != NULL && i < ws->plan->slot_count; i++) free(ws->buffers[i]);
  pleat_block_free(ws->memory, ws->plan->arena_bytes);
  pleat_arena_destroy(ws->run_arena);
  pleat_arena_destroy(ws->arena);
  free(ws);
}

void pleat_workspace_bind_inputs(pleat_workspace *ws, const pleat_tensor *const *inputs) {
  for (size_t i = 0; i < ws->input_binding_count; i++) {
    pleat_tensor *tensor = &ws->tensors[ws->input_bindings[i].slot];
    const pleat_tensor *given = inputs[ws->input_bindings[i].io_index];
    tensor->data = pleat_binding_data(&ws->input_bindings[i], given->data);
    if (given->kind == PLEAT_KIND_TENSOR) continue;
    tensor->items = given->items;
    tensor->count = given->count;
  }
}

static pleat_status run_step(pleat_workspace *ws, size_t index, int threads, pleat_error *error) {
  const pleat_step *step = &ws->plan->steps[index];
  if (step->is_view) return PLEAT_OK;
  if (step->is_dynamic) return pleat_workspace_run_dynamic(ws, index, threads, error);
  if (step->flow != NULL) return pleat_workspace_run_flow(ws, index, threads, error);
  ws->calls[index].error = error;
  return pleat_kernel_run(step->kernel, &ws->calls[index]);
}

static uint64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

pleat_status pleat_workspace_run_steps(pleat_workspace *ws, int threads, pleat_error *error) {
  for (size_t s = 0; s < ws->plan->step_count; s++) {
    const uint64_t start = ws->spent != NULL ? now_ns() : 0;
    const pleat_status status = run_step(ws, s, threads, error);
    if (status != PLEAT_OK) {
      char label[256];
      pleat_error_at_node(error, pleat_node_label(ws->plan->steps[s].node, label, sizeof label));
      return status;
    }
    if (ws->spent != NULL) ws->spent[s] += now_ns() - start + 1; /* 0: it did not run */
  }
  return PLEAT_OK;
}

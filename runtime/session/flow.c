/* Control-flow steps: the plans and workspaces of their bodies, the way of values in and out of them, and If. See
 * flow.h. */
#include "session/flow.h"

#include <stdlib.h>
#include <string.h>

#include "core/memory.h"

/* ---- bodies ---- */

static void destroy_body_run(pleat_body_run *run) {
  pleat_workspace_destroy(run->ws);
  if (run->is_owned) pleat_plan_destroy(run->plan);
  free(run);
}

static pleat_status add_body_run(pleat_flow_frame *frame, size_t index, pleat_body_run **out_run) {
  const pleat_flow *flow = frame->step->flow;
  const pleat_body *body = &flow->bodies[index];
  pleat_status status = PLEAT_OK;
  pleat_body_run *run = calloc(1, sizeof *run);
  if (run == NULL) return PLEAT_OOM(frame->error);
  if (body->plan != NULL && pleat_plan_fits(body->plan, frame->run->inputs)) {
    run->plan = body->plan;
  } else {
    run->is_owned = true;
    pthread_mutex_lock(frame->ws->lock); /* constants of the graph are read on first use */
    status = pleat_plan_body(flow, body, frame->run->inputs, &run->plan, frame->error);
    pthread_mutex_unlock(frame->ws->lock);
  }
  const bool profile = frame->ws->spent != NULL && !run->is_owned; /* what was made while running is in no report */
  if (status == PLEAT_OK) status = pleat_workspace_create(run->plan, profile, frame->ws->lock, &run->ws, frame->error);
  if (status != PLEAT_OK) {
    destroy_body_run(run);
    return status;
  }
  *out_run = run;
  return PLEAT_OK;
}

pleat_status pleat_flow_prepare(pleat_flow_frame *frame, size_t body, pleat_body_run **out_run) {
  pleat_body_run **list = &frame->run->runs[body], **link = list, *run = NULL;
  size_t count = 0;
  for (; *link != NULL && !pleat_plan_fits((*link)->plan, frame->run->inputs); link = &(*link)->next) {
    if (++count < PLEAT_LIMIT_BODY_PLANS || (*link)->next != NULL) continue;
    destroy_body_run(*link);
    *link = NULL;
    break;
  }
  run = *link;
  if (run != NULL) *link = run->next;
  else PLEAT_TRY(add_body_run(frame, body, &run));
  run->next = *list;
  *list = run;
  *out_run = run;
  return PLEAT_OK;
}

const pleat_tensor *pleat_body_target(const pleat_body_run *run, size_t i) {
  const pleat_plan_output *output = &run->plan->outputs[i];
  return output->is_copy ? NULL : &run->plan->slots[output->slot].tensor;
}

const pleat_tensor *pleat_body_result(const pleat_body_run *run, size_t i) {
  return &run->ws->tensors[run->plan->outputs[i].slot];
}

pleat_status pleat_flow_execute(pleat_flow_frame *frame, pleat_body_run *run) {
  pleat_workspace *ws = run->ws;
  pleat_arena_reset(ws->run_arena);
  pleat_workspace_bind_inputs(ws, frame->run->inputs);
  for (size_t i = 0; i < ws->output_binding_count; i++) {
    const pleat_binding *bound = &ws->output_bindings[i];
    ws->tensors[bound->slot].data = pleat_binding_data(bound, frame->run->targets[bound->io_index]);
  }
  return pleat_workspace_run_steps(ws, frame->threads, frame->error);
}

/* ---- values ---- */

pleat_status pleat_held_reserve(pleat_held *held, size_t bytes, pleat_error *error) {
  if (held->memory != NULL && bytes <= held->capacity) return PLEAT_OK;
  void *memory = pleat_alloc_aligned(bytes);
  if (memory == NULL) return pleat_fail(error, PLEAT_OUT_OF_MEMORY, "no %zu bytes for what a body gives", bytes);
  if (held->memory != NULL) memcpy(memory, held->memory, held->capacity);
  free(held->memory);
  held->memory = memory;
  held->capacity = bytes;
  return PLEAT_OK;
}

pleat_status pleat_flow_own_strings(pleat_string *strings, size_t count, pleat_arena *arena, pleat_error *error) {
  for (size_t i = 0; i < count; i++) {
    char *copy = pleat_arena_strndup(arena, strings[i].size > 0 ? strings[i].data : "", strings[i].size);
    if (copy == NULL) return PLEAT_OOM(error);
    strings[i].data = copy;
  }
  return PLEAT_OK;
}

/* A deep copy in the arena. Lists are nested at most PLEAT_MAX_NESTING deep: every way to make one checks it. */
static pleat_status copy_list(const pleat_tensor *from, pleat_arena *arena, pleat_tensor *to, pleat_error *error) {
  *to = *from;
  to->refs = 0;
  to->release = NULL;
  if (from->kind == PLEAT_KIND_TENSOR) {
    const size_t bytes = pleat_bytes(from);
    to->data = pleat_arena_aligned(arena, bytes, 64);
    if (to->data == NULL) return PLEAT_OOM(error);
    if (bytes > 0) memcpy(to->data, from->data, bytes);
    return from->dtype == PLEAT_STRING ? pleat_flow_own_strings(to->data, to->count, arena, error) : PLEAT_OK;
  }
  pleat_tensor *items = pleat_arena_array(arena, from->count, sizeof *items);
  to->items = pleat_arena_array(arena, from->count, sizeof(pleat_tensor *));
  if (items == NULL || to->items == NULL) return PLEAT_OOM(error);
  for (size_t i = 0; i < from->count; i++) {
    to->items[i] = &items[i];
    PLEAT_TRY(copy_list(from->items[i], arena, &items[i], error));
  }
  return PLEAT_OK;
}

pleat_status pleat_held_copy(pleat_held *held, const pleat_tensor *value, pleat_arena *arena, pleat_error *error) {
  if (value->kind != PLEAT_KIND_TENSOR) return copy_list(value, arena, &held->tensor, error);
  const size_t bytes = pleat_bytes(value);
  PLEAT_TRY(pleat_held_reserve(held, bytes, error));
  held->tensor = *value;
  held->tensor.refs = 0;
  held->tensor.data = held->memory;
  if (bytes > 0) memcpy(held->memory, value->data, bytes);
  return value->dtype == PLEAT_STRING ? pleat_flow_own_strings(held->memory, value->count, arena, error) : PLEAT_OK;
}

pleat_status pleat_flow_open_output(pleat_flow_frame *frame, size_t i, const pleat_tensor *shape, void **out_data) {
  char expected[256], found[256];
  pleat_workspace *ws = frame->ws;
  const uint32_t slot = frame->step->outputs[i];
  pleat_tensor *tensor = &ws->tensors[slot];
  if (ws->plan->slots[slot].storage == PLEAT_STORAGE_DYNAMIC) {
    *tensor = *shape;
    tensor->refs = 0;
    tensor->layout = NULL;
    PLEAT_TRY(pleat_workspace_grow(ws, slot, pleat_bytes(shape), frame->error));
  } else if (tensor->kind != shape->kind || tensor->dtype != shape->dtype || !pleat_same_shape(tensor, shape)) {
    return pleat_fail_tensor(frame->error, frame->step->node->outputs[i]->name, PLEAT_SHAPE_MISMATCH,
                             "expected %s, but the body gives %s", pleat_tensor_text(tensor, expected, sizeof expected),
                             pleat_tensor_text(shape, found, sizeof found));
  }
  *out_data = tensor->data;
  return PLEAT_OK;
}

pleat_status pleat_flow_deliver(pleat_flow_frame *frame, size_t i, const pleat_tensor *value) {
  pleat_arena *arena = frame->ws->run_arena;
  void *data = NULL;
  if (value->kind != PLEAT_KIND_TENSOR) {
    return copy_list(value, arena, &frame->ws->tensors[frame->step->outputs[i]], frame->error);
  }
  PLEAT_TRY(pleat_flow_open_output(frame, i, value, &data));
  if (value->count > 0) memcpy(data, value->data, pleat_bytes(value));
  return value->dtype == PLEAT_STRING ? pleat_flow_own_strings(data, value->count, arena, frame->error) : PLEAT_OK;
}

pleat_status pleat_flow_read_scalar(const pleat_tensor *tensor, const char *what, int64_t *out_value,
                                    pleat_error *error) {
  char found[256];
  if (tensor->kind == PLEAT_KIND_TENSOR && tensor->count == 1) {
    if (tensor->dtype == PLEAT_BOOL) *out_value = *(const uint8_t *)tensor->data != 0;
    if (tensor->dtype == PLEAT_INT64) *out_value = *(const int64_t *)tensor->data;
    if (tensor->dtype == PLEAT_BOOL || tensor->dtype == PLEAT_INT64) return PLEAT_OK;
  }
  return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "the %s must be one number, found %s", what,
                    pleat_tensor_text(tensor, found, sizeof found));
}

/* ---- If ---- */

static bool is_wanted(const pleat_flow_frame *frame, size_t i) {
  return i < frame->step->node->output_count && frame->step->outputs[i] != PLEAT_NO_SLOT;
}

static pleat_status run_if(pleat_flow_frame *frame) {
  pleat_flow_run *run = frame->run;
  pleat_body_run *body = NULL;
  int64_t condition = 0;
  PLEAT_TRY(pleat_flow_read_scalar(frame->call->inputs[0], "condition", &condition, frame->error));
  const size_t taken = condition != 0 ? 0 : 1;
  const pleat_body *branch = &frame->step->flow->bodies[taken];
  for (size_t i = 0; i < branch->input_count; i++) {
    run->inputs[i] = branch->known[i] != NULL ? NULL : frame->call->inputs[1 + i];
  }
  PLEAT_TRY(pleat_flow_prepare(frame, taken, &body));
  for (size_t i = 0; i < branch->graph->output_count; i++) {
    const pleat_tensor *shape = pleat_body_target(body, i);
    if (shape == NULL) continue;
    if (is_wanted(frame, i)) {
      PLEAT_TRY(pleat_flow_open_output(frame, i, shape, &run->targets[i]));
    } else {
      PLEAT_TRY(pleat_held_reserve(&run->held[2 * i], pleat_bytes(shape), frame->error));
      run->targets[i] = run->held[2 * i].memory;
    }
  }
  PLEAT_TRY(pleat_flow_execute(frame, body));
  for (size_t i = 0; i < branch->graph->output_count; i++) {
    if (!is_wanted(frame, i) || pleat_body_target(body, i) != NULL) continue;
    PLEAT_TRY(pleat_flow_deliver(frame, i, pleat_body_result(body, i)));
  }
  return PLEAT_OK;
}

/* ---- steps ---- */

pleat_status pleat_flow_run_create(pleat_workspace *ws, size_t index, pleat_flow_run **out_run, pleat_error *error) {
  const pleat_flow *flow = ws->plan->steps[index].flow;
  pleat_flow_run *run = pleat_arena_alloc(ws->arena, sizeof *run);
  size_t inputs = 0, outputs = 0;
  if (run == NULL) return PLEAT_OOM(error);
  for (size_t i = 0; i < flow->body_count; i++) {
    if (flow->bodies[i].input_count > inputs) inputs = flow->bodies[i].input_count;
    if (flow->bodies[i].graph->output_count > outputs) outputs = flow->bodies[i].graph->output_count;
  }
  run->body_count = flow->body_count;
  run->runs = pleat_arena_array(ws->arena, flow->body_count, sizeof(pleat_body_run *));
  run->inputs = pleat_arena_array(ws->arena, inputs, sizeof(const pleat_tensor *));
  run->slices = pleat_arena_array(ws->arena, inputs, sizeof *run->slices);
  run->targets = pleat_arena_array(ws->arena, outputs, sizeof(void *));
  run->held = pleat_arena_array(ws->arena, 2 * outputs, sizeof *run->held);
  run->stacks = pleat_arena_array(ws->arena, outputs, sizeof *run->stacks);
  if (run->runs == NULL || run->inputs == NULL || run->slices == NULL || run->targets == NULL || run->held == NULL ||
      run->stacks == NULL) {
    return PLEAT_OOM(error);
  }
  run->input_count = inputs;
  run->output_count = outputs;
  *out_run = run;
  return PLEAT_OK;
}

void pleat_flow_run_destroy(pleat_flow_run *run) {
  if (run == NULL) return;
  for (size_t i = 0; i < run->body_count; i++) {
    while (run->runs[i] != NULL) {
      pleat_body_run *next = run->runs[i]->next;
      destroy_body_run(run->runs[i]);
      run->runs[i] = next;
    }
  }
  for (size_t i = 0; i < 2 * run->output_count; i++) free(run->held[i].memory);
  for (size_t i = 0; i < run->output_count; i++) free(run->stacks[i].held.memory);
  for (size_t i = 0; i < run->input_count; i++) free(run->slices[i].memory);
  for (size_t i = 0; i < 2; i++) pleat_arena_destroy(run->texts[i]);
}

pleat_status pleat_workspace_run_flow(pleat_workspace *ws, size_t index, int threads, pleat_error *error) {
  char label[256];
  const pleat_step *step = &ws->plan->steps[index];
  pleat_flow_frame frame = {
      .ws = ws, .step = step, .call = &ws->calls[index], .run = ws->flows[index], .threads = threads, .error = error};
  pleat_status status = pleat_node_is(step->node, "If")     ? run_if(&frame)
                        : pleat_node_is(step->node, "Loop") ? pleat_flow_run_loop(&frame)
                                                            : pleat_flow_run_scan(&frame);
  if (status != PLEAT_OK) pleat_error_inside(error, pleat_node_label(step->node, label, sizeof label));
  return status;
}

/* One iteration after the other, for Loop and Scan: states go round between two places, slices of stacked outputs are
 * written where they belong. See flow.h. */
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "session/flow.h"

static size_t node_output(const pleat_iteration *it, size_t k) {
  return it->state_count + k;
}

static bool is_wanted(const pleat_iteration *it, size_t k) {
  const pleat_step *step = it->frame->step;
  const size_t i = node_output(it, k);
  return i < step->node->output_count && step->outputs[i] != PLEAT_NO_SLOT;
}

void pleat_iteration_begin(pleat_iteration *it) {
  pleat_workspace *ws = it->frame->ws;
  for (size_t k = 0; k < it->stack_count; k++) {
    pleat_stack *stack = &it->frame->run->stacks[k];
    stack->held.tensor = (pleat_tensor){.rank = -1};
    stack->direct = NULL;
    if (!is_wanted(it, k)) continue;
    const uint32_t slot = it->frame->step->outputs[node_output(it, k)];
    if (ws->plan->slots[slot].storage != PLEAT_STORAGE_DYNAMIC) stack->direct = ws->tensors[slot].data;
  }
}

/* ---- stacked outputs ---- */

/* The output's own memory takes what was planned for it, and nothing else. */
static pleat_status check_planned(pleat_iteration *it, size_t k, const pleat_tensor *slice, size_t place) {
  char expected[256], found[256];
  const size_t i = node_output(it, k);
  const pleat_tensor *whole = &it->frame->ws->tensors[it->frame->step->outputs[i]];
  size_t end = 0;
  if (slice->dtype == whole->dtype && pleat_mul_size(place + 1, slice->count, &end) && end <= whole->count) {
    return PLEAT_OK;
  }
  return pleat_fail_tensor(it->frame->error, it->frame->step->node->outputs[i]->name, PLEAT_SHAPE_MISMATCH,
                           "%s is no slice of %s", pleat_tensor_text(slice, found, sizeof found),
                           pleat_tensor_text(whole, expected, sizeof expected));
}

/* Memory that grows geometrically, since it is copied when it does; at once when the count of slices is known. */
static pleat_status grow_stack(pleat_iteration *it, pleat_held *held, size_t slice_bytes, size_t place) {
  const size_t count = place < it->total ? it->total : place + 1;
  size_t bytes = 0;
  if (!pleat_mul_size(count, slice_bytes, &bytes)) {
    return pleat_fail(it->frame->error, PLEAT_OUT_OF_MEMORY, "%zu slices of %zu bytes overflow memory", count,
                      slice_bytes);
  }
  if (bytes > held->capacity && count > it->total && place > 0) bytes += bytes / 2;
  return pleat_held_reserve(held, bytes, it->frame->error);
}

/* Where slice number `place` goes, after a check that it is like those before. */
static pleat_status place_slice(pleat_iteration *it, size_t k, const pleat_tensor *slice, size_t place,
                                void **out_data) {
  char first[256], found[256];
  pleat_stack *stack = &it->frame->run->stacks[k];
  pleat_tensor *like = &stack->held.tensor;
  if (slice->kind != PLEAT_KIND_TENSOR) {
    return pleat_fail(it->frame->error, PLEAT_UNSUPPORTED, "output %zu: only tensors are stacked", node_output(it, k));
  }
  if (like->rank >= 0 && (like->dtype != slice->dtype || !pleat_same_shape(like, slice))) {
    return pleat_fail(it->frame->error, PLEAT_SHAPE_MISMATCH, "output %zu: the body gives %s, but gave %s before",
                      node_output(it, k), pleat_tensor_text(slice, found, sizeof found),
                      pleat_tensor_text(like, first, sizeof first));
  }
  *like = *slice;
  like->data = NULL;
  like->layout = NULL;
  if (stack->direct != NULL) PLEAT_TRY(check_planned(it, k, slice, place));
  else PLEAT_TRY(grow_stack(it, &stack->held, pleat_bytes(slice), place));
  *out_data = (char *)(stack->direct != NULL ? stack->direct : stack->held.memory) + place * pleat_bytes(slice);
  return PLEAT_OK;
}

void pleat_iteration_zero(pleat_iteration *it, size_t k, size_t place, size_t count) {
  pleat_stack *stack = &it->frame->run->stacks[k];
  const size_t bytes = pleat_bytes(&stack->held.tensor);
  char *start = stack->direct != NULL ? stack->direct : stack->held.memory;
  if (is_wanted(it, k) && stack->held.tensor.rank >= 0 && count * bytes > 0) {
    memset(start + place * bytes, 0, count * bytes);
  }
}

static pleat_status slice_target(pleat_iteration *it, size_t k, const pleat_tensor *slice, size_t place,
                                 void **out_data) {
  pleat_flow_frame *frame = it->frame;
  if (is_wanted(it, k)) return place_slice(it, k, slice, place, out_data);
  pleat_held *unused = &frame->run->held[2 * (it->first_output + it->state_count + k)];
  PLEAT_TRY(pleat_held_reserve(unused, pleat_bytes(slice), frame->error));
  *out_data = unused->memory;
  return PLEAT_OK;
}

/* ---- states ---- */

/* Of the two places of a state, the one where it is not now. */
static pleat_held *other_place(pleat_iteration *it, size_t s) {
  pleat_held *pair = &it->frame->run->held[2 * (it->first_output + s)];
  return it->frame->run->inputs[it->first_input + s] == &pair[0].tensor ? &pair[1] : &pair[0];
}

static bool has_text(const pleat_tensor *tensor) {
  return tensor->kind != PLEAT_KIND_TENSOR || tensor->dtype == PLEAT_STRING;
}

/* The arena for the strings and items of the next states; those of the present ones stay. */
static pleat_arena *next_texts(pleat_flow_run *run, bool *is_fresh) {
  pleat_arena *last = run->texts[0];
  if (*is_fresh) return last;
  run->texts[0] = run->texts[1];
  run->texts[1] = last;
  if (run->texts[0] == NULL) run->texts[0] = pleat_arena_create();
  else pleat_arena_reset(run->texts[0]);
  *is_fresh = true;
  return run->texts[0];
}

static pleat_status take_state(pleat_iteration *it, const pleat_body_run *body, size_t s, bool *is_fresh) {
  pleat_flow_run *run = it->frame->run;
  const pleat_tensor *result = pleat_body_result(body, it->first_output + s);
  const pleat_tensor **now = &run->inputs[it->first_input + s];
  pleat_held *next = other_place(it, s);
  if (pleat_body_target(body, it->first_output + s) != NULL) {
    next->tensor = *result;
  } else if (!has_text(result) && (*now)->kind == PLEAT_KIND_TENSOR && result->data == (*now)->data &&
             result->dtype == (*now)->dtype && pleat_same_shape(result, *now)) {
    return PLEAT_OK; /* handed on as it is */
  } else {
    pleat_arena *texts = has_text(result) ? next_texts(run, is_fresh) : NULL;
    if (has_text(result) && texts == NULL) return PLEAT_OOM(it->frame->error);
    PLEAT_TRY(pleat_held_copy(next, result, texts, it->frame->error));
  }
  *now = &next->tensor;
  return PLEAT_OK;
}

/* ---- an iteration ---- */

static pleat_status set_targets(pleat_iteration *it, const pleat_body_run *body, const size_t *places) {
  pleat_flow_run *run = it->frame->run;
  const size_t stacked = it->first_output + it->state_count;
  for (size_t i = 0; i < body->plan->output_count; i++) {
    const pleat_tensor *shape = pleat_body_target(body, i);
    if (shape == NULL) continue;
    if (i >= stacked) {
      PLEAT_TRY(slice_target(it, i - stacked, shape, places[i - stacked], &run->targets[i]));
      continue;
    }
    pleat_held *next = i < it->first_output ? &run->held[2 * i] : other_place(it, i - it->first_output);
    PLEAT_TRY(pleat_held_reserve(next, pleat_bytes(shape), it->frame->error));
    run->targets[i] = next->memory;
  }
  return PLEAT_OK;
}

static pleat_status take_slices(pleat_iteration *it, const pleat_body_run *body, const size_t *places) {
  const size_t stacked = it->first_output + it->state_count;
  pleat_flow_frame *frame = it->frame;
  for (size_t k = 0; k < it->stack_count; k++) {
    void *data = NULL;
    if (!is_wanted(it, k) || pleat_body_target(body, stacked + k) != NULL) continue;
    const pleat_tensor *result = pleat_body_result(body, stacked + k);
    PLEAT_TRY(slice_target(it, k, result, places[k], &data));
    if (result->count == 0) continue;
    memcpy(data, result->data, pleat_bytes(result));
    if (result->dtype != PLEAT_STRING) continue;
    PLEAT_TRY(pleat_flow_own_strings(data, result->count, frame->ws->run_arena, frame->error));
  }
  return PLEAT_OK;
}

pleat_status pleat_iteration_run(pleat_iteration *it, const size_t *places, pleat_body_run **out_run) {
  bool is_fresh = false;
  pleat_body_run *body = NULL;
  PLEAT_TRY(pleat_flow_prepare(it->frame, 0, &body));
  PLEAT_TRY(set_targets(it, body, places));
  PLEAT_TRY(pleat_flow_execute(it->frame, body));
  PLEAT_TRY(take_slices(it, body, places));
  for (size_t s = 0; s < it->state_count; s++) PLEAT_TRY(take_state(it, body, s, &is_fresh));
  *out_run = body;
  return PLEAT_OK;
}

/* ---- the end ---- */

/* The shape of a slice when none came: as the body's plan would have it, or else as it is declared, with 0 for what is
 * not known. */
static pleat_status imagine_slice(pleat_iteration *it, size_t k, pleat_tensor *slice) {
  pleat_body_run *body = NULL;
  pleat_flow_frame *frame = it->frame;
  pleat_error *const report = frame->error;
  const size_t i = it->first_output + it->state_count + k;
  const pleat_value *value = frame->step->flow->bodies[0].graph->outputs[i];
  frame->error = NULL;
  pleat_status status = pleat_flow_prepare(frame, 0, &body);
  frame->error = report;
  if (status == PLEAT_OUT_OF_MEMORY) return PLEAT_OOM(report);
  if (status == PLEAT_OK) *slice = body->plan->slots[body->plan->outputs[i].slot].tensor;
  if (status == PLEAT_OK && slice->rank >= 0) return PLEAT_OK;
  int64_t dims[PLEAT_MAX_RANK] = {0};
  const int rank = value->shape.rank > 0 ? value->shape.rank : 0;
  for (int d = 0; d < rank; d++) dims[d] = value->shape.dims[d].value > 0 ? value->shape.dims[d].value : 0;
  if (value->dtype != PLEAT_UNDEFINED && pleat_tensor_describe(slice, value->dtype, rank, dims)) return PLEAT_OK;
  return pleat_fail_tensor(report, value->name, PLEAT_UNSUPPORTED, "it never came, and its type is not declared");
}

/* [lead.., slice..] as it lies in memory. */
static pleat_status describe_whole(const pleat_tensor *slice, int lead_rank, const int64_t *lead, pleat_tensor *whole,
                                   pleat_error *error) {
  int64_t dims[PLEAT_MAX_RANK];
  const int rank = lead_rank + slice->rank;
  if (rank <= PLEAT_MAX_RANK) {
    for (int d = 0; d < rank; d++) dims[d] = d < lead_rank ? lead[d] : slice->dims[d - lead_rank];
    if (pleat_tensor_describe(whole, slice->dtype, rank, dims)) return PLEAT_OK;
  }
  return pleat_fail(error, PLEAT_OUT_OF_MEMORY, "the size of a stacked output overflows memory");
}

/* Moves dimension 0 of `whole` to `axis` on the way to the output. */
static pleat_status deliver_moved(pleat_iteration *it, size_t i, const pleat_tensor *whole, const void *from,
                                  int axis) {
  int64_t order[PLEAT_MAX_RANK], dims[PLEAT_MAX_RANK], strides[PLEAT_MAX_RANK], dense[PLEAT_MAX_RANK];
  pleat_tensor moved;
  void *data = NULL;
  for (int d = 0, k = 1; d < whole->rank; d++) order[d] = d == axis ? 0 : k++;
  pleat_dense_strides(whole->rank, whole->dims, dense);
  for (int d = 0; d < whole->rank; d++) {
    dims[d] = whole->dims[order[d]];
    strides[d] = dense[order[d]];
  }
  if (!pleat_tensor_describe(&moved, whole->dtype, whole->rank, dims)) return PLEAT_OOM(it->frame->error);
  PLEAT_TRY(pleat_flow_open_output(it->frame, i, &moved, &data));
  if (moved.count == 0) return PLEAT_OK;
  pleat_dense_strides(moved.rank, moved.dims, dense);
  pleat_copy_strided(pleat_dtype_size(moved.dtype), moved.rank, moved.dims, data, dense, from, strides,
                     it->frame->threads);
  return PLEAT_OK;
}

/* The memory itself is handed over, for what the output had. */
static void swap_memory(pleat_workspace *ws, uint32_t slot, pleat_stack *stack, const pleat_tensor *whole) {
  void *const before = ws->buffers[slot];
  const size_t before_size = ws->buffer_sizes[slot];
  ws->buffers[slot] = stack->held.memory;
  ws->buffer_sizes[slot] = stack->held.capacity;
  ws->tensors[slot] = *whole;
  ws->tensors[slot].data = stack->held.memory;
  stack->held.memory = before;
  stack->held.capacity = before_size;
}

pleat_status pleat_iteration_finish(pleat_iteration *it, size_t k, int lead_rank, const int64_t *lead, int64_t axis) {
  pleat_flow_frame *frame = it->frame;
  pleat_stack *stack = &frame->run->stacks[k];
  const size_t i = node_output(it, k);
  pleat_tensor slice = stack->held.tensor, whole = {.rank = 0};
  const bool is_empty = slice.rank < 0;
  void *data = NULL;
  int place = 0;
  if (!is_wanted(it, k)) return PLEAT_OK;
  const uint32_t slot = frame->step->outputs[i];
  if (is_empty) PLEAT_TRY(imagine_slice(it, k, &slice));
  PLEAT_TRY(describe_whole(&slice, lead_rank, lead, &whole, frame->error));
  if (!pleat_axis(axis, whole.rank, &place)) {
    return pleat_fail(frame->error, PLEAT_SHAPE_MISMATCH, "output %zu has no axis %lld", i, (long long)axis);
  }
  if (!is_empty && axis != 0) return deliver_moved(it, i, &whole, stack->held.memory, place);
  if (!is_empty && stack->direct == NULL && whole.count > 0) {
    swap_memory(frame->ws, slot, stack, &whole);
    return PLEAT_OK;
  }
  if (axis != 0) return deliver_moved(it, i, &whole, NULL, place);
  PLEAT_TRY(pleat_flow_open_output(frame, i, &whole, &data));
  if (is_empty && whole.count > 0) memset(data, 0, pleat_bytes(&whole));
  return PLEAT_OK;
}

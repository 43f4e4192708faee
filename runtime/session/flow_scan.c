/* Scan: runs its body for each slice of the scanned inputs. What its inputs and outputs are: ops/scan.h.
 *
 * Opset 8 does so for each sequence of a batch, which may end before the longest: what comes after its end is zero.
 * Everything else is a batch of one sequence here. */
#include <stdlib.h>
#include <string.h>

#include "ops/scan.h"
#include "session/flow.h"

typedef struct scan {
  pleat_flow_frame *frame;
  const pleat_node *node;
  pleat_scan_form form;
  pleat_iteration it;
  size_t *places;
  int64_t batch, length; /* of the longest sequence */
} scan;

static const pleat_tensor *node_input(const scan *s, size_t i) {
  return s->frame->call->inputs[s->form.first + i];
}

/* The part of `whole` that is element `at` of dimension `axis` (and `b` of dimension 0 of a batch) in place; what is
 * left of its dimensions and their strides. */
static void cut(const scan *s, const pleat_tensor *whole, int axis, int64_t at, int64_t b, pleat_tensor *slice,
                int64_t *out_strides) {
  int64_t strides[PLEAT_MAX_RANK], dims[PLEAT_MAX_RANK], offset = 0;
  int rank = 0;
  pleat_dense_strides(whole->rank, whole->dims, strides);
  for (int d = 0; d < whole->rank; d++) {
    if (d == axis) {
      offset += at * strides[d];
    } else if (d == 0 && s->form.batched) {
      offset += b * strides[d];
    } else {
      dims[rank] = whole->dims[d];
      out_strides[rank++] = strides[d];
    }
  }
  if (!pleat_tensor_describe(slice, whole->dtype, rank, dims)) { /* only behind a dimension of 0 */
    *slice = (pleat_tensor){.dtype = whole->dtype, .rank = 1};
  }
  if (whole->count > 0) slice->data = (char *)whole->data + (size_t)offset * pleat_dtype_size(whole->dtype);
}

/* Slice `t` of scanned input `i` of sequence `b`: in place where it lies in one piece. */
static pleat_status set_slice(scan *s, size_t i, int64_t b, int64_t t) {
  pleat_flow_run *run = s->frame->run;
  const size_t input = s->form.state_count + i;
  const pleat_tensor *whole = node_input(s, input);
  pleat_held *held = &run->slices[input];
  int64_t strides[PLEAT_MAX_RANK], dense[PLEAT_MAX_RANK];
  int axis = 0;
  PLEAT_TRY(pleat_scan_axis(s->node, &s->form, false, i, whole->rank, &axis, s->frame->error));
  cut(s, whole, axis, t, b, &held->tensor, strides);
  run->inputs[input] = &held->tensor;
  if (axis == 0 || s->form.batched || whole->count == 0) return PLEAT_OK;
  PLEAT_TRY(pleat_held_reserve(held, pleat_bytes(&held->tensor), s->frame->error));
  pleat_dense_strides(held->tensor.rank, held->tensor.dims, dense);
  pleat_copy_strided(pleat_dtype_size(whole->dtype), held->tensor.rank, held->tensor.dims, held->memory, dense,
                     held->tensor.data, strides, s->frame->threads);
  held->tensor.data = held->memory;
  return PLEAT_OK;
}

static void set_states(scan *s, int64_t b) {
  pleat_flow_run *run = s->frame->run;
  int64_t strides[PLEAT_MAX_RANK];
  for (size_t i = 0; i < s->form.state_count; i++) {
    run->inputs[i] = node_input(s, i);
    if (!s->form.batched) continue;
    cut(s, node_input(s, i), -1, 0, b, &run->slices[i].tensor, strides);
    run->inputs[i] = &run->slices[i].tensor;
  }
}

/* The states after a sequence: they have the shapes that they had before it. */
static pleat_status deliver_states(scan *s, int64_t b) {
  pleat_flow_frame *frame = s->frame;
  for (size_t i = 0; i < s->form.state_count && i < s->node->output_count; i++) {
    void *data = NULL;
    const pleat_tensor *state = frame->run->inputs[i];
    if (frame->step->outputs[i] == PLEAT_NO_SLOT) continue;
    if (!s->form.batched) {
      PLEAT_TRY(pleat_flow_deliver(frame, i, state));
      continue;
    }
    PLEAT_TRY(pleat_flow_open_output(frame, i, node_input(s, i), &data));
    if (state->count == 0) continue;
    data = (char *)data + (size_t)b * pleat_bytes(state);
    memcpy(data, state->data, pleat_bytes(state));
    if (state->dtype != PLEAT_STRING) continue;
    PLEAT_TRY(pleat_flow_own_strings(data, state->count, frame->ws->run_arena, frame->error));
  }
  return PLEAT_OK;
}

static pleat_status check_state(scan *s, size_t i, const pleat_tensor *before) {
  char expected[256], found[256];
  const pleat_tensor *after = s->frame->run->inputs[i];
  if (before->dtype == after->dtype && pleat_same_shape(before, after)) return PLEAT_OK;
  return pleat_fail(s->frame->error, PLEAT_SHAPE_MISMATCH, "state %zu is %s, but the body gives %s", i,
                    pleat_tensor_text(before, expected, sizeof expected),
                    pleat_tensor_text(after, found, sizeof found));
}

static pleat_status run_sequence(scan *s, int64_t b, int64_t length) {
  pleat_body_run *body = NULL;
  set_states(s, b);
  for (int64_t t = 0; t < length; t++) {
    for (size_t i = 0; i < s->form.scan_count; i++) {
      const bool reversed = pleat_scan_is_reversed(s->node, &s->form, false, i);
      PLEAT_TRY(set_slice(s, i, b, reversed ? length - 1 - t : t));
    }
    for (size_t k = 0; k < s->it.stack_count; k++) {
      const bool reversed = pleat_scan_is_reversed(s->node, &s->form, true, k);
      s->places[k] = (size_t)(b * s->length + (reversed ? length - 1 - t : t));
    }
    PLEAT_TRY(pleat_iteration_run(&s->it, s->places, &body));
    for (size_t i = 0; i < s->form.state_count; i++) {
      pleat_tensor before = *node_input(s, i);
      int64_t strides[PLEAT_MAX_RANK];
      if (s->form.batched) cut(s, node_input(s, i), -1, 0, b, &before, strides);
      PLEAT_TRY(check_state(s, i, &before));
    }
  }
  for (size_t i = 0; i < s->form.scan_count && length == 0; i++) {
    PLEAT_TRY(set_slice(s, i, b, 0)); /* for its shape, which tells that of the slices that do not come */
  }
  for (size_t k = 0; k < s->it.stack_count; k++) {
    pleat_iteration_zero(&s->it, k, (size_t)(b * s->length + length), (size_t)(s->length - length));
  }
  return deliver_states(s, b);
}

/* Counts sequences and slices, in which all inputs have to agree. */
static pleat_status measure(scan *s) {
  pleat_error *error = s->frame->error;
  s->batch = 1;
  s->length = -1;
  for (size_t i = 0; i < s->form.state_count + s->form.scan_count; i++) {
    const pleat_tensor *input = node_input(s, i);
    int axis = 0;
    if (s->form.batched) {
      if (input->rank < 1 || (i > 0 && input->dims[0] != s->batch)) {
        return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "input %zu does not have the batch of the others", i + 1);
      }
      s->batch = input->dims[0];
    }
    if (i < s->form.state_count) continue;
    const size_t scanned = i - s->form.state_count;
    PLEAT_TRY(pleat_scan_axis(s->node, &s->form, false, scanned, input->rank, &axis, error));
    if (s->length >= 0 && input->dims[axis] != s->length) {
      return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "scanned input %zu has %lld slices, others have %lld", scanned,
                        (long long)input->dims[axis], (long long)s->length);
    }
    s->length = input->dims[axis];
  }
  return PLEAT_OK;
}

/* Opset 8: how long each sequence is. */
static pleat_status sequence_length(const scan *s, int64_t b, int64_t *out_length) {
  const pleat_tensor *lengths = s->form.batched ? s->frame->call->inputs[0] : NULL;
  *out_length = s->length;
  if (lengths == NULL) return PLEAT_OK;
  if (lengths->kind != PLEAT_KIND_TENSOR || lengths->dtype != PLEAT_INT64 || lengths->count != (size_t)s->batch) {
    return pleat_fail(s->frame->error, PLEAT_SHAPE_MISMATCH, "sequence_lens must be int64[%lld]", (long long)s->batch);
  }
  *out_length = ((const int64_t *)lengths->data)[b];
  if (*out_length >= 0 && *out_length <= s->length) return PLEAT_OK;
  return pleat_fail(s->frame->error, PLEAT_SHAPE_MISMATCH, "sequence %lld is %lld long, expected 0 to %lld",
                    (long long)b, (long long)*out_length, (long long)s->length);
}

static pleat_status finish(scan *s) {
  const int64_t lead[2] = {s->form.batched ? s->batch : s->length, s->length}, *axes = NULL;
  const size_t given = s->form.batched ? 0 : pleat_attr_ints(s->node, "scan_output_axes", &axes);
  for (size_t i = 0; s->batch == 0 && i < s->form.state_count && i < s->node->output_count; i++) {
    void *nothing = NULL;
    if (s->frame->step->outputs[i] == PLEAT_NO_SLOT) continue;
    PLEAT_TRY(pleat_flow_open_output(s->frame, i, node_input(s, i), &nothing));
  }
  for (size_t k = 0; k < s->it.stack_count; k++) {
    PLEAT_TRY(pleat_iteration_finish(&s->it, k, s->form.batched ? 2 : 1, lead, k < given ? axes[k] : 0));
  }
  return PLEAT_OK;
}

pleat_status pleat_flow_run_scan(pleat_flow_frame *frame) {
  const pleat_body *body = &frame->step->flow->bodies[0];
  const int64_t *axes = NULL;
  scan s = {.frame = frame, .node = frame->step->node};
  PLEAT_TRY(pleat_scan_form_of(s.node, &s.form, frame->error));
  PLEAT_TRY(measure(&s));
  s.it = (pleat_iteration){.frame = frame, .state_count = s.form.state_count};
  s.it.stack_count = body->graph->output_count - s.form.state_count;
  s.it.total = (size_t)(s.batch * s.length);
  s.places = pleat_arena_array(frame->ws->run_arena, s.it.stack_count, sizeof *s.places);
  if (s.places == NULL) return PLEAT_OOM(frame->error);
  for (size_t i = body->own_count; i < body->input_count; i++) {
    const size_t captured = s.node->input_count + i - body->own_count;
    frame->run->inputs[i] = body->known[i] != NULL ? NULL : frame->call->inputs[captured];
  }
  pleat_iteration_begin(&s.it);
  const size_t given = s.form.batched ? 0 : pleat_attr_ints(s.node, "scan_output_axes", &axes);
  for (size_t k = 0; k < given && k < s.it.stack_count; k++) {
    if (axes[k] != 0) frame->run->stacks[k].direct = NULL; /* put together first, then moved */
  }
  for (int64_t b = 0; b < s.batch; b++) {
    int64_t length = 0;
    PLEAT_TRY(sequence_length(&s, b, &length));
    PLEAT_TRY(run_sequence(&s, b, length));
  }
  return finish(&s);
}

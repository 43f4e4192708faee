/* Loop: runs its body while the count and the condition allow it. What the body's inputs and outputs are: ops/loop.c.
 * The body's condition is true whenever it runs, which its plan knows. */
#include "session/flow.h"

static int64_t trip_limit(const pleat_flow_frame *frame, pleat_status *status) {
  int64_t limit = INT64_MAX;
  const pleat_tensor *given = frame->call->inputs[0];
  if (given != NULL) *status = pleat_flow_read_scalar(given, "trip count", &limit, frame->error);
  return limit;
}

pleat_status pleat_flow_run_loop(pleat_flow_frame *frame) {
  const pleat_call *call = frame->call;
  const pleat_body *body = &frame->step->flow->bodies[0];
  const pleat_tensor **inputs = frame->run->inputs;
  const size_t carried = frame->step->node->input_count - 2;
  pleat_iteration it = {.frame = frame, .first_input = 2, .first_output = 1, .state_count = carried};
  it.stack_count = body->graph->output_count - 1 - carried;
  pleat_status status = PLEAT_OK;
  int64_t counter = 0, condition = 1;
  size_t *places = pleat_arena_array(frame->ws->run_arena, it.stack_count, sizeof *places);
  const bool is_vector = body->inputs[0]->shape.rank == 1;
  pleat_tensor iteration = {.dtype = PLEAT_INT64, .rank = is_vector, .dims = {1}, .count = 1, .data = &counter};
  if (places == NULL) return PLEAT_OOM(frame->error);
  const int64_t limit = trip_limit(frame, &status);
  if (status == PLEAT_OK && call->inputs[1] != NULL) {
    status = pleat_flow_read_scalar(call->inputs[1], "condition", &condition, frame->error);
  }
  if (status != PLEAT_OK) return status;
  for (size_t i = 0; i < body->input_count; i++) inputs[i] = body->known[i] != NULL ? NULL : call->inputs[i];
  inputs[0] = &iteration;
  pleat_iteration_begin(&it);
  for (; counter < limit && condition != 0; counter++) {
    pleat_body_run *run = NULL;
    for (size_t k = 0; k < it.stack_count; k++) places[k] = (size_t)counter;
    PLEAT_TRY(pleat_iteration_run(&it, places, &run));
    PLEAT_TRY(pleat_flow_read_scalar(pleat_body_result(run, 0), "condition", &condition, frame->error));
  }
  for (size_t i = 0; i < carried && i < frame->step->node->output_count; i++) {
    if (frame->step->outputs[i] != PLEAT_NO_SLOT) PLEAT_TRY(pleat_flow_deliver(frame, i, inputs[2 + i]));
  }
  for (size_t k = 0; k < it.stack_count; k++) PLEAT_TRY(pleat_iteration_finish(&it, k, 1, &counter, 0));
  return PLEAT_OK;
}

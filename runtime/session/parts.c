/* Running a batch in parts: a part is a run of the parts' plan on some of the samples, from the callers' inputs to
 * their outputs, where it finds its samples by their place. Which worker runs which part is left to chance: their
 * workspaces are alike, so that the results do not depend on it. */
#include "core/parallel.h"
#include "session/session_private.h"

typedef struct parts_run {
  pleat_session *session;
  pleat_cached_plan *cached;
  pleat_workspace *ws;
  pleat_tensor *const *inputs;
  pleat_tensor *const *outputs;
} parts_run;

/* Of a whole tensor, what belongs to a part of this shape. */
static void *data_of_part(const pleat_tensor *whole, const pleat_tensor *part, int64_t item) {
  return part->count > 0 ? (char *)whole->data + (size_t)item * pleat_bytes(part) : whole->data;
}

static void run_part(void *job, int64_t item, int number) {
  const parts_run *run = job;
  const pleat_plan *plan = run->ws->plan;
  pleat_part_worker *worker = &run->ws->workers[number];
  pleat_error error = PLEAT_ERROR_INIT;
  for (size_t i = 0; i < plan->input_count; i++) {
    worker->inputs[i] = run->inputs[i];
    if (!plan->parts.is_split[i]) continue;
    worker->tensors[i].data = data_of_part(run->inputs[i], &worker->tensors[i], item);
    worker->inputs[i] = &worker->tensors[i];
  }
  for (size_t i = 0; i < plan->output_count; i++)
    worker->outputs[i]->data = data_of_part(run->outputs[i], worker->outputs[i], item);
  pleat_status status = pleat_session_run_in(run->session, run->cached, worker->ws,
                                             (pleat_tensor *const *)worker->inputs, worker->outputs, &error);
  if (status == PLEAT_OK || (worker->status != PLEAT_OK && worker->failed < item)) return;
  worker->status = status;
  worker->failed = item;
  worker->error = error;
}

pleat_status pleat_session_run_parts(pleat_session *session, pleat_cached_plan *cached, pleat_workspace *ws,
                                     pleat_tensor *const *inputs, pleat_tensor **outputs, pleat_error *error) {
  const pleat_parts *parts = &ws->plan->parts;
  const pleat_part_worker *first = NULL;
  parts_run run = {.session = session, .cached = cached, .ws = ws, .inputs = inputs, .outputs = outputs};
  for (int i = 0; i < parts->workers; i++) ws->workers[i].status = PLEAT_OK;
  pleat_parallel(parts->workers, (int64_t)parts->count, run_part, &run);
  for (int i = 0; i < parts->workers; i++) {
    const pleat_part_worker *worker = &ws->workers[i];
    if (worker->status != PLEAT_OK && (first == NULL || worker->failed < first->failed)) first = worker;
  }
  if (first == NULL) return PLEAT_OK;
  pleat_status status = pleat_fail(error, first->status, "%s", first->error.message);
  if (first->error.node[0] != '\0') pleat_error_at_node(error, first->error.node);
  if (first->error.tensor[0] != '\0') pleat_error_at_tensor(error, first->error.tensor);
  return status;
}

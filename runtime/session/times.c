/* What `profile` adds up: a workspace notes what its steps take, and after each run that goes to the times of the plan,
 * under the session's lock.
 *
 * Times lie in the order in which plan_info.c tells steps: behind that of a control-flow step come those of its bodies
 * that are planned ahead. A body's step has one time for all of its iterations in a run; it is a part of the outer
 * step's. What a body did by other plans, for shapes that nobody knew ahead, is in the outer step's time alone. */
#include "session/flow.h"
#include "session/session_private.h"

size_t pleat_times_count(const pleat_plan *plan) {
  size_t count = plan->step_count;
  for (size_t s = 0; s < plan->step_count; s++) {
    const pleat_flow *flow = plan->steps[s].flow;
    for (size_t i = 0; flow != NULL && i < flow->body_count; i++) {
      if (flow->bodies[i].plan != NULL) count += pleat_times_count(flow->bodies[i].plan);
    }
  }
  return count;
}

static void add(pleat_step_time *time, uint64_t *spent) {
  if (*spent == 0) return;
  if (time->runs == 0 || *spent < time->min_ns) time->min_ns = *spent;
  time->runs++;
  time->total_ns += *spent;
  *spent = 0;
}

/* The workspace in which this plan of a body ran; NULL: it never did. */
static pleat_workspace *workspace_of(const pleat_flow_run *flow, size_t body, const pleat_plan *plan) {
  for (const pleat_body_run *run = flow->runs[body]; run != NULL; run = run->next) {
    if (run->plan == plan) return run->ws;
  }
  return NULL;
}

void pleat_times_add(pleat_step_time *times, pleat_workspace *ws) {
  for (size_t s = 0; s < ws->plan->step_count; s++) {
    const pleat_flow *flow = ws->plan->steps[s].flow;
    add(times++, &ws->spent[s]);
    for (size_t i = 0; flow != NULL && i < flow->body_count; i++) {
      const pleat_plan *plan = flow->bodies[i].plan;
      if (plan == NULL) continue;
      pleat_workspace *inner = workspace_of(ws->flows[s], i, plan);
      if (inner != NULL) pleat_times_add(times, inner);
      times += pleat_times_count(plan);
    }
  }
}

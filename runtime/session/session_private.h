/* The body of a session, shared by the files of this folder. */
#ifndef PLEAT_SESSION_PRIVATE_H
#define PLEAT_SESSION_PRIVATE_H

#include <pthread.h>

#include "session/workspace.h"

/* What `profile` adds up for one step: of a body's step, all that it did in a run. Protected by the session's lock. */
typedef struct pleat_step_time {
  uint64_t runs, total_ns, min_ns;
} pleat_step_time;

/* A plan in the cache, with its idle workspaces. */
typedef struct pleat_cached_plan {
  pleat_plan *plan;
  pleat_workspace *idle;
  pleat_step_time *times; /* see times.c; NULL unless the session profiles */
  size_t users;           /* runs under way */
  uint64_t last_use;
  struct pleat_cached_plan *next;
} pleat_cached_plan;

enum { PLEAT_LIMIT_CACHED_PLANS = 16 }; /* idle plans beyond this are dropped, the least recently used first */

struct pleat_session {
  pleat_model *model; /* retained: the graph points into it */
  pleat_graph *graph;
  int threads;
  bool profile, keep_all, exact;
  bool bf16;
  int64_t part_samples;
  pleat_tuner *tuner; /* NULL unless the session tunes; under the lock */
  bool float64;       /* the oracle: the graph is promoted, the inputs' descriptions keep the model's types */
  size_t input_count, output_count;
  size_t model_output_count; /* without the taps, which come behind */
  pleat_value **inputs, **outputs;
  pleat_value_info *input_infos, *output_infos;
  pthread_mutex_t lock; /* the plan cache, the pools of workspaces, and the graph's lazily read constants */
  pleat_cached_plan *plans;
  _Atomic(pleat_workspace *)
      hot; /* the last run's workspace, its plan held: the next run of these shapes takes no lock */
  uint64_t clock;
};

/* plans.c: finds or builds the plan for these input descriptors (kind OTHER: default), and marks it used until
 * released. */
pleat_status pleat_session_acquire_plan(pleat_session *session, const pleat_tensor *input_shapes,
                                        pleat_cached_plan **out_plan, pleat_error *error);
void pleat_session_release_plan(pleat_session *session, pleat_cached_plan *plan);
/* A workspace of an acquired plan: an idle one or a new one. */
pleat_status pleat_session_acquire_workspace(pleat_session *session, pleat_cached_plan *plan,
                                             pleat_workspace **out_workspace, pleat_error *error);
void pleat_session_release_workspace(pleat_session *session, pleat_cached_plan *plan, pleat_workspace *workspace);
/* Takes the hot workspace if it fits these inputs; NULL otherwise. */
pleat_workspace *pleat_session_take_hot(pleat_session *session, pleat_tensor *const *inputs);
/* Leaves a workspace, whose plan stays held, for the next run; what was there before goes back to its pool. */
void pleat_session_leave_hot(pleat_session *session, pleat_workspace *workspace);
void pleat_session_destroy_plans(pleat_session *session);

/* times.c: how many steps a plan has, with those of its bodies; adds what a run in this workspace took to the times of
 * that many steps, and begins anew. */
size_t pleat_times_count(const pleat_plan *plan);
void pleat_times_add(pleat_step_time *times, pleat_workspace *workspace);

/* run.c: runs the steps of a workspace's plan, `cached` or the one of its parts; `outputs` as in pleat_session_run. */
pleat_status pleat_session_run_in(pleat_session *session, pleat_cached_plan *cached, pleat_workspace *workspace,
                                  pleat_tensor *const *inputs, pleat_tensor **outputs, pleat_error *error);
/* parts.c: the same for a plan that runs its batch in parts; all outputs are there. */
pleat_status pleat_session_run_parts(pleat_session *session, pleat_cached_plan *cached, pleat_workspace *workspace,
                                     pleat_tensor *const *inputs, pleat_tensor **outputs, pleat_error *error);

#endif

/* A workspace: everything one run of a plan changes. Made once per plan and concurrent run, then reused: descriptors,
 * calls and pointers are laid out in advance, so that a run only stores the callers' pointers and calls kernels. */
#ifndef PLEAT_SESSION_WORKSPACE_H
#define PLEAT_SESSION_WORKSPACE_H

#include <pthread.h>

#include "plan/plan.h"

typedef struct pleat_binding {
  uint32_t slot;
  uint32_t io_index;
  size_t offset; /* bytes from the beginning of the caller's tensor */
} pleat_binding;

/* Where it lies in the caller's memory, which is NULL only for an empty tensor: then there are no offsets. */
static inline void *pleat_binding_data(const pleat_binding *binding, void *data) {
  return binding->offset > 0 ? (char *)data + binding->offset : data;
}

/* Of a plan that runs its batch in parts: what one of the workers needs. */
typedef struct pleat_part_worker {
  struct pleat_workspace *ws;
  pleat_tensor *tensors; /* a part's inputs, then its outputs; where they are changes with each part */
  const pleat_tensor **inputs;
  pleat_tensor **outputs;
  pleat_status status; /* of the first part that failed here, with its number */
  int64_t failed;
  pleat_error error;
} pleat_part_worker;

typedef struct pleat_workspace {
  const pleat_plan *plan;
  struct pleat_workspace *next;    /* in the pool */
  struct pleat_cached_plan *owner; /* while a run, or the session's hot place, holds it */
  pleat_arena *arena;              /* what is laid out here */
  pleat_arena *run_arena;          /* strings and list items of one run */
  void *memory;                    /* the plan's arena */
  pleat_tensor *tensors;           /* one per slot */
  pleat_call *calls;               /* one per step */
  size_t input_binding_count, output_binding_count;
  pleat_binding *input_bindings, *output_bindings; /* slots that point into callers' memory */
  pleat_tensor **results;                          /* one per graph output, while a run is under way */
  void **buffers;                                  /* DYNAMIC slots: grow, and stay for the next run */
  size_t *buffer_sizes;
  struct pleat_flow_run **flows; /* one per step: what a control-flow step changes; NULL for the others */
  pleat_part_worker *workers;    /* plan->parts.workers, where the plan has parts */
  uint64_t *spent;               /* one per step: ns that it took since times.c asked last; NULL: nobody asks */
  pthread_mutex_t *lock;         /* the session's: held while a plan is built */
} pleat_workspace;

pleat_status pleat_workspace_create(const pleat_plan *plan, bool profile, pthread_mutex_t *lock,
                                    pleat_workspace **out_workspace, pleat_error *error);
void pleat_workspace_destroy(pleat_workspace *workspace); /* NULL is accepted */

/* Points the plan's inputs at these tensors' memory (those that it knows or that have their default may be NULL). */
void pleat_workspace_bind_inputs(pleat_workspace *workspace, const pleat_tensor *const *inputs);
/* Runs all steps. An error names the step's node. */
pleat_status pleat_workspace_run_steps(pleat_workspace *workspace, int threads, pleat_error *error);
/* Memory for a DYNAMIC slot, of at least so many bytes; what was in it is lost. */
pleat_status pleat_workspace_grow(pleat_workspace *workspace, uint32_t slot, size_t bytes, pleat_error *error);

/* flow.c: what a control-flow step needs to run, and running it. */
pleat_status pleat_flow_run_create(pleat_workspace *workspace, size_t step, struct pleat_flow_run **out_run,
                                   pleat_error *error);
void pleat_flow_run_destroy(struct pleat_flow_run *run); /* NULL is accepted */
pleat_status pleat_workspace_run_flow(pleat_workspace *workspace, size_t step, int threads, pleat_error *error);

/* dynamic.c: infers, allocates, prepares and runs a step whose shapes are known only now. */
pleat_status pleat_workspace_run_dynamic(pleat_workspace *workspace, size_t step, int threads, pleat_error *error);

#endif

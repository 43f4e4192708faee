/* A workspace: everything one run of a plan changes. Made once per plan and concurrent run, then reused: descriptors,
 * calls and pointers are laid out in advance, so that a run only stores the callers' pointers and calls kernels. */
#ifndef PLEAT_SESSION_WORKSPACE_H
#define PLEAT_SESSION_WORKSPACE_H

#include "plan/plan.h"

typedef struct pleat_binding {
  uint32_t slot;
  uint32_t io_index;
  size_t offset; /* bytes from the beginning of the caller's tensor */
} pleat_binding;

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
} pleat_workspace;

pleat_status pleat_workspace_create(const pleat_plan *plan, pleat_workspace **out_workspace, pleat_error *error);
void pleat_workspace_destroy(pleat_workspace *workspace); /* NULL is accepted */

/* dynamic.c: infers, allocates, prepares and runs a step whose shapes are known only now. */
pleat_status pleat_workspace_run_dynamic(pleat_workspace *workspace, size_t step, int threads, pleat_error *error);

#endif

/* Running control flow: what the files flow*.c share.
 *
 * A body runs by a plan of its own in a workspace of its own; both are kept with the workspace around, one for each set
 * of input shapes, so that an iteration whose shapes were seen before only calls kernels. What leaves a body is copied
 * or was written in place: nothing outside points into a body's workspace. */
#ifndef PLEAT_SESSION_FLOW_H
#define PLEAT_SESSION_FLOW_H

#include "session/workspace.h"

enum { PLEAT_LIMIT_BODY_PLANS = 16 }; /* of one body in one workspace; the least recently used goes first */

/* A tensor with memory of its own, which grows. */
typedef struct pleat_held {
  pleat_tensor tensor;
  void *memory;
  size_t capacity;
} pleat_held;

/* A body, ready to run for one set of input shapes. */
typedef struct pleat_body_run {
  pleat_plan *plan;
  bool is_owned; /* made while running; else the step's */
  pleat_workspace *ws;
  struct pleat_body_run *next;
} pleat_body_run;

/* What is put together from the slices that a body gives. */
typedef struct pleat_stack {
  pleat_held held; /* its tensor describes one slice; rank -1: none came yet */
  void *direct;    /* the output's own memory, when it is known before; else the slices go to `held` */
} pleat_stack;

/* What a control-flow step changes; one in each workspace. */
typedef struct pleat_flow_run {
  size_t body_count, input_count, output_count; /* the latter two: of the body with the most */
  pleat_body_run **runs;                        /* by body, the one used last in front */
  const pleat_tensor **inputs;                  /* of the body to run; NULL: known to the plan */
  void **targets;        /* by output of the body: where it goes when the plan writes it in place */
  pleat_held *held;      /* two for each output: what is carried lies in one and is written to the other */
  pleat_stack *stacks;   /* by output */
  pleat_held *slices;    /* by input: slices of what is scanned, and states of one sequence of a batch */
  pleat_arena *texts[2]; /* strings and items of what is carried; NULL until there are some */
} pleat_flow_run;

/* One execution of a step. */
typedef struct pleat_flow_frame {
  pleat_workspace *ws;
  const pleat_step *step;
  const pleat_call *call; /* inputs, captures included, and outputs */
  pleat_flow_run *run;
  int threads;
  pleat_error *error;
} pleat_flow_frame;

/* ---- flow.c ---- */

/* Chooses, or makes, the plan and workspace of a body for run->inputs. */
pleat_status pleat_flow_prepare(pleat_flow_frame *frame, size_t body, pleat_body_run **out_run);
/* Its output's shape when run->targets[i] has to be there before it runs; else NULL. */
const pleat_tensor *pleat_body_target(const pleat_body_run *run, size_t i);
pleat_status pleat_flow_execute(pleat_flow_frame *frame, pleat_body_run *run);
/* What it gave; until it runs again. */
const pleat_tensor *pleat_body_result(const pleat_body_run *run, size_t i);

/* The node's output `i`, of that shape: memory to write it to. */
pleat_status pleat_flow_open_output(pleat_flow_frame *frame, size_t i, const pleat_tensor *shape, void **out_data);
/* Copies a value to the node's output `i`. */
pleat_status pleat_flow_deliver(pleat_flow_frame *frame, size_t i, const pleat_tensor *value);
/* At least so many bytes; what is in it stays. */
pleat_status pleat_held_reserve(pleat_held *held, size_t bytes, pleat_error *error);
/* Copies a tensor into `held`; strings and items go to the arena. */
pleat_status pleat_held_copy(pleat_held *held, const pleat_tensor *value, pleat_arena *arena, pleat_error *error);
/* Copies `count` strings' bytes to the arena. */
pleat_status pleat_flow_own_strings(pleat_string *strings, size_t count, pleat_arena *arena, pleat_error *error);
/* The one element of a condition or trip count. */
pleat_status pleat_flow_read_scalar(const pleat_tensor *tensor, const char *what, int64_t *out_value,
                                    pleat_error *error);

/* ---- flow_iterate.c: what Loop and Scan have in common ---- */

typedef struct pleat_iteration {
  pleat_flow_frame *frame;
  size_t first_input, first_output; /* of the body: the first state */
  size_t state_count, stack_count;  /* the stacked outputs follow the states */
  size_t total;                     /* slices that will come; 0: not known */
} pleat_iteration;

/* Before the first iteration: states are in run->inputs, and outputs that are there already are written in place. */
void pleat_iteration_begin(pleat_iteration *it);
/* Runs the body once: the states go round, stacked output k gives slice places[k]. */
pleat_status pleat_iteration_run(pleat_iteration *it, const size_t *places, pleat_body_run **out_run);
/* Slices of stacked output k that never come are zero. */
void pleat_iteration_zero(pleat_iteration *it, size_t k, size_t place, size_t count);
/* After the last: stacked output k becomes the node's output, `lead` (of `lead_rank`) its dimensions before the
 * slice's. With an axis other than 0, dimension 0 moves there; then nothing may have been written in place. */
pleat_status pleat_iteration_finish(pleat_iteration *it, size_t k, int lead_rank, const int64_t *lead, int64_t axis);

/* ---- flow_loop.c, flow_scan.c ---- */
pleat_status pleat_flow_run_loop(pleat_flow_frame *frame);
pleat_status pleat_flow_run_scan(pleat_flow_frame *frame);

#endif

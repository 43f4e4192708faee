/* What the files that build a plan share. */
#ifndef PLEAT_PLAN_PLAN_PRIVATE_H
#define PLEAT_PLAN_PLAN_PRIVATE_H

#include "ops/layout.h"
#include "plan/plan.h"

/* Waking threads costs as much as this many operations: steps with less work run on the calling thread alone. */
enum { PLEAT_THREADS_MIN_WORK = 400000 };

typedef struct pleat_builder {
  const pleat_plan_request *request;
  pleat_plan *plan;
  pleat_arena *scratch;
  bool *captured; /* by value id: seen while the captures of a node are collected; NULL: never needed yet */
  pleat_error *error;
} pleat_builder;

/* build.c: the slot of a value that a node reads: made on first sight for constants. */
pleat_status pleat_plan_slot(pleat_builder *b, pleat_value *value, uint32_t *out_index);
pleat_type pleat_plan_slot_type(const pleat_slot *slot);
/* Elements or multiply-adds of a step, whichever is more; memory is from the scratch arena. */
double pleat_plan_step_work(pleat_builder *b, const pleat_step *step);
/* Notes so much work in a call, and how many threads may do it. */
void pleat_plan_set_work(const pleat_builder *b, pleat_call *call, double work);
/* The descriptor of an inferred type; rank -1 when it is not concrete. */
void pleat_plan_describe(const pleat_type *type, pleat_tensor *out_tensor);

/* build.c: final shapes, layouts and the data known ahead, as prepare wants to see them: the step's call. */
pleat_status pleat_plan_describe_call(pleat_builder *b, pleat_step *step);
/* build.c: has the inputs in the layouts that the step's kernel, prepared, wants, and appends the step. `declined`: why
 * others did not take it. A failed step is released. */
pleat_status pleat_plan_append(pleat_builder *b, pleat_step step, const char *declined);

/* pair.c: appends one step for the first of `steps` and for the one that alone reads its result, and takes the latter
 * off (its node becomes NULL), if a kernel takes both as one. */
pleat_status pleat_plan_pair(pleat_builder *b, pleat_step *steps, size_t count, bool *out_paired);

/* build.c: the stages of pleat_plan_build. A plan for the request, still empty; ends with pleat_plan_end, which hands
 * it out or, where the status is an error, destroys it. */
pleat_status pleat_plan_begin(pleat_builder *b, const pleat_plan_request *request, pleat_error *error);
pleat_status pleat_plan_end(pleat_builder *b, pleat_status status, pleat_plan **out_plan);
/* Slots and steps with types and shapes, without kernels. */
pleat_status pleat_plan_sketch(pleat_builder *b);
/* Kernels, layouts and memory. */
pleat_status pleat_plan_finish(pleat_builder *b);

/* parts.c: decides whether the batch of a sketched plan runs in parts; if so, makes their plan, and the sketch's steps
 * are gone. */
pleat_status pleat_plan_divide(pleat_builder *b);

/* flow.c: the values of the graphs around that the node's bodies read and that are no constants; NULL when out of
 * memory. The list lives in the scratch arena. */
pleat_value **pleat_plan_captures(pleat_builder *b, const pleat_node *node, size_t *out_count);
/* Makes the step's bodies, plans those whose shapes are known, and tells the node's output types. `step` has its
 * inputs, of which `types` are the types; `captures` go with those behind the node's own. */
pleat_status pleat_plan_flow(pleat_builder *b, pleat_step *step, pleat_value *const *captures, const pleat_type *types,
                             pleat_type *outputs);

/* precision.c: marks the steps that stay float where the plan is for bfloat16. */
pleat_status pleat_plan_find_sensitive(pleat_builder *b);

/* layout.c: the slot that holds the value of `slot` in a layout (NULL: dense); adds the step that converts it when
 * there is none yet. Slots move when one is added. */
pleat_status pleat_plan_convert(pleat_builder *b, uint32_t slot, const pleat_layout *layout, uint32_t *out_slot);

/* share.c: puts slots that share memory into groups (views, pieces, in place). Lifetimes and outputs are set; lifetimes
 * of roots become those of their groups. */
pleat_status pleat_plan_share(pleat_plan *plan, pleat_error *error);

/* memory.c: shares memory between slots, and gives every group its place. */
pleat_status pleat_plan_place(pleat_plan *plan, pleat_error *error);

#endif

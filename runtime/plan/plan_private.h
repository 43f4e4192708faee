/* What the files that build a plan share. */
#ifndef PLEAT_PLAN_PLAN_PRIVATE_H
#define PLEAT_PLAN_PLAN_PRIVATE_H

#include "ops/layout.h"
#include "plan/plan.h"

/* Waking threads costs as much as this many operations: steps below run on the calling thread alone. */
enum { PLEAT_THREADS_MIN_WORK = 400000 };

typedef struct pleat_builder {
  const pleat_plan_request *request;
  pleat_plan *plan;
  pleat_arena *scratch;
  pleat_error *error;
} pleat_builder;

/* layout.c: the slot that holds the value of `slot` in a layout (NULL: dense); adds the step that converts it when
 * there is none yet. Slots move when one is added. */
pleat_status pleat_plan_convert(pleat_builder *b, uint32_t slot, const pleat_layout *layout, uint32_t *out_slot);

/* share.c: puts slots that share memory into groups (views, pieces, in place). Lifetimes and outputs are set; lifetimes
 * of roots become those of their groups. */
pleat_status pleat_plan_share(pleat_plan *plan, pleat_error *error);

/* memory.c: shares memory between slots, and gives every group its place. */
pleat_status pleat_plan_place(pleat_plan *plan, pleat_error *error);

#endif

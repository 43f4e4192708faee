/* Identity: a view of its input; of a sequence or an optional, another list of the same items.
 *
 * Invariant: nothing is copied but a list's array of pointers, which lies in the call's arena; the items are the
 * input's. */
#include "ops/movement.h"

static const pleat_op_version versions[] = {{1, 1, 1, 1, 1, 0, 0},  {13, 1, 1, 1, 1, 0, 0},
                                            {14, 1, 1, 1, 1, 0, 0}, {16, 1, 1, 1, 1, 0, 0},
                                            {19, 1, 1, 1, 1, 0, 0}, {21, 1, 1, 1, 1, 0, 0},
                                            {23, 1, 1, 1, 1, 0, 0}, {24, 1, 1, 1, 1, 0, 0},
                                            {25, 1, 1, 1, 1, 0, 0}, {0}};

static pleat_status infer(pleat_infer *ctx) {
  ctx->outputs[0].kind = ctx->inputs[0].kind;
  ctx->outputs[0].dtype = ctx->inputs[0].dtype;
  ctx->outputs[0].shape = ctx->inputs[0].shape;
  return PLEAT_OK;
}

static pleat_status run(const pleat_call *call) {
  const pleat_tensor *in = pleat_in(call, 0);
  if (in->kind == PLEAT_KIND_TENSOR) return pleat_copy_run(call);
  pleat_tensor *out = pleat_out(call, 0);
  pleat_tensor **items = pleat_arena_array(call->arena, in->count, sizeof *items);
  if (items == NULL) return PLEAT_OOM(call->error);
  for (size_t i = 0; i < in->count; i++) items[i] = in->items[i];
  out->items = items;
  out->count = in->count;
  return PLEAT_OK;
}

static const pleat_kernel reference = {.name = "reference", .flags = PLEAT_KERNEL_VIEW, .inplace = 1, .run = run};
const pleat_op_def pleat_op_Identity = {.name = "Identity",
                                        .domain = "",
                                        .versions = versions,
                                        .infer = infer,
                                        .apart = pleat_apart_first,
                                        .kernels = (const pleat_kernel *const[]){&reference, NULL}};

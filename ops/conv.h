/* What Conv lends to others: to ConvInteger the same shapes and the same product, over other numbers; to kernels, what
 * pleat.FusedConv (ops/fused.c) has and Conv has not. */
#ifndef PLEAT_OPS_CONV_H
#define PLEAT_OPS_CONV_H

#include "ops/conv_gather.h"

typedef struct pleat_conv pleat_conv;

/* Shape of output 0 from those of inputs 0 and 1; no types, and no other inputs. */
pleat_status pleat_conv_infer_shape(pleat_infer *ctx);
double pleat_conv_macs(const pleat_infer *ctx);

/* prepare: a plan for arrays of `dtype` (float, double or uint32) in the shapes of inputs 0 and 1 and output 0. Sets
 * workspace_size; pleat_conv_run uses the workspace's first bytes. */
pleat_status pleat_conv_plan(pleat_call *call, pleat_dtype dtype, const pleat_conv **out_conv);
/* run: `bias` may be NULL. */
void pleat_conv_run(const pleat_conv *conv, const pleat_call *call, const void *x, const void *w, const void *bias,
                    void *y);

/* FusedConv: the input that X is multiplied by, a number a channel; PRelu's slopes; and whether the mean of each
 * channel of the result is wanted as output 1. */
enum { PLEAT_CONV_Z = 3, PLEAT_CONV_SCALE = 4, PLEAT_CONV_SLOPES = 5 };
static inline bool pleat_conv_is_scaled(const pleat_call *call) {
  return pleat_in(call, PLEAT_CONV_SCALE) != NULL;
}
static inline bool pleat_conv_gives_mean(const pleat_call *call) {
  return pleat_out(call, 1) != NULL;
}

#endif

/* LpNormalization: every vector along an axis divided by its L1 or L2 norm; a zero vector stays zero.
 *
 * The tensor is seen as [outer, n, inner] (slices.h) and handled in blocks of columns, so that memory is read in
 * order. Norms are accumulated in double, each by one thread in the order of the elements: the thread count does not
 * show.
 * Source: the operator's text; what it leaves open, 0 / 0, is 0 here. */
#include <math.h>

#include "ops/slices.h"

typedef struct lp_norm_plan {
  pleat_slices slices;
  bool squared;
} lp_norm_plan;

#define PLEAT_TEMPLATE "ops/lp_normalization.inc"
#define PLEAT_TEMPLATE_FLOATS
#include "ops/template.h"

static pleat_status lp_norm_infer(pleat_infer *ctx) {
  int64_t p = pleat_attr_int(ctx->node, "p");
  int axis, rank = ctx->inputs[0].shape.rank;
  if (p != 1 && p != 2)
    return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "attribute p: expected 1 or 2, found %lld", (long long)p);
  if (rank >= 0) PLEAT_TRY(pleat_attr_axis(ctx->node, "axis", rank, &axis, ctx->error));
  return pleat_infer_same(ctx);
}

static pleat_status lp_norm_run(const pleat_call *call) {
  int axis = pleat_call_axis(call);
  lp_norm_plan plan = {.slices = pleat_slices_of(call->inputs[0], axis, axis + 1),
                       .squared = pleat_attr_int(call->node, "p") == 2};
  PLEAT_SWITCH_FLOATS(call->inputs[0]->dtype, (void), lp_norm, (call, &plan))
  return PLEAT_OK;
}

static const pleat_kernel reference = {
    .name = "reference",
    .types = PLEAT_M_FLOATS,
    .flags = PLEAT_KERNEL_WIDEN,
    .inplace = 1,
    .run = lp_norm_run,
};
static const pleat_kernel *const kernels[] = {&reference, NULL};

static const pleat_op_attr attrs[] = {
    {.name = "axis", .type = PLEAT_ATTR_INT, .i = -1}, {.name = "p", .type = PLEAT_ATTR_INT, .i = 2}, {0}};
static const pleat_op_version versions[] = {{1, 1, 1, 1, 1, PLEAT_M_FLOATS, 0}, {0}};
const pleat_op_def pleat_op_LpNormalization = {
    .domain = "",
    .name = "LpNormalization",
    .versions = versions,
    .attrs = attrs,
    .infer = lp_norm_infer,
    .apart = pleat_apart_axis,
    .kernels = kernels,
};

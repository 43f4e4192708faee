/* ArgMax and ArgMin: the index of the extreme value along an axis; the first one on ties, or with select_last_index the
 * last. A NaN counts as more extreme than any number, as in numpy. */
#include <string.h>

#include "ops/slices.h"

typedef struct arg_plan {
  pleat_slices slices;
  bool min, last;
} arg_plan;

#define PLEAT_TEMPLATE "ops/arg_reduce.inc"
#define PLEAT_TEMPLATE_FLOATS
#define PLEAT_TEMPLATE_SINTS
#define PLEAT_TEMPLATE_UINTS
#include "ops/template.h"

enum { ARG_MIN = 1 }; /* version flag */

static pleat_status arg_reduce_infer(pleat_infer *ctx) {
  const pleat_shape *in = &ctx->inputs[0].shape;
  pleat_type *out = &ctx->outputs[0];
  int axis;
  out->dtype = PLEAT_INT64;
  if (in->rank < 0) return PLEAT_OK;
  PLEAT_TRY(pleat_attr_axis(ctx->node, "axis", in->rank, &axis, ctx->error));
  if (in->dims[axis].value == 0)
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "axis %d: expected at least one element, found none", axis);
  bool keep = pleat_attr_int(ctx->node, "keepdims") != 0;
  out->shape = pleat_shape_of_rank(0);
  for (int d = 0; d < in->rank; d++) {
    if (d != axis) out->shape.dims[out->shape.rank++] = in->dims[d];
    else if (keep) out->shape.dims[out->shape.rank++] = pleat_dim_known(1);
  }
  return PLEAT_OK;
}

static pleat_status arg_reduce_run(const pleat_call *call) {
  int axis = pleat_call_axis(call);
  arg_plan plan = {.slices = pleat_slices_of(call->inputs[0], axis, axis + 1),
                   .min = (call->version->flags & ARG_MIN) != 0,
                   .last = pleat_attr_int(call->node, "select_last_index") != 0};
  PLEAT_SWITCH_NUMBERS(call->inputs[0]->dtype, (void), arg_reduce, (call, &plan))
  return PLEAT_OK;
}

static const pleat_kernel reference = {
    .name = "reference",
    .types = PLEAT_M_NUMBERS,
    .flags = PLEAT_KERNEL_WIDEN,
    .run = arg_reduce_run,
};
static const pleat_kernel *const kernels[] = {&reference, NULL};

static const pleat_op_attr attrs[] = {{.name = "axis", .type = PLEAT_ATTR_INT},
                                      {.name = "keepdims", .type = PLEAT_ATTR_INT, .i = 1},
                                      {.name = "select_last_index", .type = PLEAT_ATTR_INT, .since = 12},
                                      {0}};
static const pleat_op_version max_versions[] = {
    {1, 1, 1, 1, 1, PLEAT_M_NUMBERS, 0}, {12, 1, 1, 1, 1, PLEAT_M_NUMBERS, 0}, {0}};
static const pleat_op_version min_versions[] = {
    {1, 1, 1, 1, 1, PLEAT_M_NUMBERS, ARG_MIN}, {12, 1, 1, 1, 1, PLEAT_M_NUMBERS, ARG_MIN}, {0}};

const pleat_op_def pleat_op_ArgMax = {
    .domain = "",
    .name = "ArgMax",
    .versions = max_versions,
    .attrs = attrs,
    .infer = arg_reduce_infer,
    .apart = pleat_apart_axis,
    .kernels = kernels,
};
const pleat_op_def pleat_op_ArgMin = {
    .domain = "",
    .name = "ArgMin",
    .versions = min_versions,
    .attrs = attrs,
    .infer = arg_reduce_infer,
    .apart = pleat_apart_axis,
    .kernels = kernels,
};

/* GroupNormalization and InstanceNormalization: y = scale * (x - mean) / sqrt(variance + epsilon) + bias over the
 * channels of a group and all of space. An instance is a group of one channel. Scale and bias are per channel, but per
 * group in GroupNormalization-18. */
#include <math.h>
#include <string.h>

#include "ops/slices.h"

enum { INSTANCE = 1, SCALE_PER_GROUP = 2 }; /* version flags */

typedef struct group_plan {
  size_t batch, channels, groups, spatial;
  bool scale_per_group;
  double epsilon;
} group_plan;

#define PLEAT_TEMPLATE "ops/group_normalization.inc"
#define PLEAT_TEMPLATE_FLOATS
#include "ops/template.h"

/* `shape` must be [expected] as far as is known. */
static pleat_status check_vector(const pleat_infer *ctx, size_t index, pleat_dim expected, const char *per) {
  static const char *const names[] = {"X", "scale", "bias"};
  const pleat_shape *shape = &ctx->inputs[index].shape;
  bool fits =
      shape->rank < 0 ||
      (shape->rank == 1 && (expected.value < 0 || shape->dims[0].value < 0 || shape->dims[0].value == expected.value));
  char text[256];
  if (fits) return PLEAT_OK;
  return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "input %s: expected one value per %s (%lld), found shape %s",
                    names[index], per, (long long)expected.value, pleat_shape_text(shape, text, sizeof text));
}

static pleat_status group_infer(pleat_infer *ctx) {
  const pleat_shape *in = &ctx->inputs[0].shape;
  unsigned flags = ctx->version->flags;
  PLEAT_TRY(pleat_infer_same(ctx));
  if (in->rank < 0) return PLEAT_OK;
  char text[256];
  if (in->rank < 2)
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "input X: expected [N, C, D1...], found %s",
                      pleat_shape_text(in, text, sizeof text));
  pleat_dim channels = in->dims[1], expected = channels;
  if ((flags & INSTANCE) == 0) {
    int64_t groups = pleat_attr_int(ctx->node, "num_groups");
    if (groups < 1 || (channels.value >= 0 && channels.value % groups != 0))
      return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "num_groups is %lld, which does not divide the %lld channels",
                        (long long)groups, (long long)channels.value);
    if ((flags & SCALE_PER_GROUP) != 0) expected = pleat_dim_known(groups);
  }
  for (size_t i = 1; i < 3; i++)
    PLEAT_TRY(check_vector(ctx, i, expected, (flags & SCALE_PER_GROUP) != 0 ? "group" : "channel"));
  return PLEAT_OK;
}

static pleat_status group_run(const pleat_call *call) {
  const pleat_tensor *x = call->inputs[0];
  unsigned flags = call->version->flags;
  if (x->count == 0) return PLEAT_OK;
  size_t channels = (size_t)x->dims[1];
  group_plan p = {
      .batch = (size_t)x->dims[0],
      .channels = channels,
      .groups = (flags & INSTANCE) != 0 ? channels : (size_t)pleat_attr_int(call->node, "num_groups"),
      .spatial = pleat_dims_product(x, 2, x->rank),
      .scale_per_group = (flags & SCALE_PER_GROUP) != 0,
      .epsilon = (double)pleat_attr_float(call->node, "epsilon"),
  };
  PLEAT_SWITCH_FLOATS(x->dtype, (void), group_norm, (call, &p))
  return PLEAT_OK;
}

static const pleat_kernel reference = {
    .name = "reference",
    .types = PLEAT_M_FLOATS,
    .flags = PLEAT_KERNEL_WIDEN,
    .inplace = 1,
    .run = group_run,
};
static const pleat_kernel *const kernels[] = {&reference, NULL};

static const pleat_op_attr instance_attrs[] = {{.name = "epsilon", .type = PLEAT_ATTR_FLOAT, .f = 1e-5f},
                                               /* of opset 1, when it said which inputs may be overwritten */
                                               {.name = "consumed_inputs", .type = PLEAT_ATTR_INTS, .until = 5},
                                               {0}};
static const pleat_op_version instance_versions[] = {
    {1, 3, 3, 1, 1, PLEAT_M_FLOATS, INSTANCE}, {6, 3, 3, 1, 1, PLEAT_M_FLOATS, INSTANCE}, {0}};
const pleat_op_def pleat_op_InstanceNormalization = {
    .domain = "",
    .name = "InstanceNormalization",
    .versions = instance_versions,
    .attrs = instance_attrs,
    .infer = group_infer,
    .apart = pleat_apart_first,
    .kernels = kernels,
};

/* stash_type is the precision of the statistics, which are always taken in double here. */
static const pleat_op_attr group_attrs[] = {{.name = "epsilon", .type = PLEAT_ATTR_FLOAT, .f = 1e-5f},
                                            {.name = "num_groups", .type = PLEAT_ATTR_INT, .required = true},
                                            {.name = "stash_type", .type = PLEAT_ATTR_INT, .since = 21, .i = 1},
                                            {0}};
static const pleat_op_version group_versions[] = {
    {18, 3, 3, 1, 1, PLEAT_M_FLOATS, SCALE_PER_GROUP}, {21, 3, 3, 1, 1, PLEAT_M_FLOATS, 0}, {0}};
const pleat_op_def pleat_op_GroupNormalization = {
    .domain = "",
    .name = "GroupNormalization",
    .versions = group_versions,
    .attrs = group_attrs,
    .infer = group_infer,
    .apart = pleat_apart_first,
    .kernels = kernels,
};

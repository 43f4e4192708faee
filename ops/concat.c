/* Concat: joins tensors along one axis. Each input is one strided copy of two dimensions: what lies before the axis,
 * and the axis with all behind it, which is contiguous. */
#include "ops/kernels.h"
#include "ops/movement.h"

enum { AXIS_REQUIRED = 1u << 0 };

static const pleat_op_version versions[] = {{1, 1, -1, 1, 1, 0, 0},
                                            {4, 1, -1, 1, 1, 0, AXIS_REQUIRED},
                                            {11, 1, -1, 1, 1, 0, AXIS_REQUIRED},
                                            {13, 1, -1, 1, 1, 0, AXIS_REQUIRED},
                                            {0}};
static const pleat_op_attr attrs[] = {{.name = "axis", .type = PLEAT_ATTR_INT, .i = 1}, {0}};

/* The inputs' common rank and dimensions off the axis; the axis' size is their sum. */
static pleat_status join(pleat_infer *ctx, pleat_shape *shape) {
  int rank = ctx->inputs[0].shape.rank, axis = 0;
  *shape = ctx->inputs[0].shape;
  PLEAT_TRY(pleat_attr_axis(ctx->node, "axis", rank, &axis, ctx->error));
  pleat_dim sum = shape->dims[axis];
  for (size_t i = 1; i < ctx->input_count; i++) {
    const pleat_shape *other = &ctx->inputs[i].shape;
    if (other->rank != rank)
      return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "input %zu: expected %d dimensions like input 0, found %d", i,
                        rank, other->rank);
    for (int d = 0; d < rank; d++)
      if (d != axis && !pleat_dim_merge(&shape->dims[d], other->dims[d]))
        return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH,
                          "input %zu: expected %lld in dimension %d like the inputs before it, found %lld", i,
                          (long long)shape->dims[d].value, d, (long long)other->dims[d].value);
    if (!pleat_dim_is_known(sum) || !pleat_dim_is_known(other->dims[axis])) sum = pleat_dim_unknown();
    else if (!pleat_add_i64(sum.value, other->dims[axis].value, &sum.value))
      return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "the joined dimension overflows");
  }
  shape->dims[axis] = sum;
  return PLEAT_OK;
}

static pleat_status infer(pleat_infer *ctx) {
  PLEAT_TRY(pleat_require_tensors(ctx));
  if ((ctx->version->flags & AXIS_REQUIRED) && !pleat_attr_present(ctx->node, "axis"))
    return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "attribute 'axis' is missing");
  pleat_type *out = &ctx->outputs[0];
  bool ranks_known = true;
  for (size_t i = 0; i < ctx->input_count; i++) {
    if (!ctx->inputs[i].present) return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "input %zu is missing", i);
    PLEAT_TRY(pleat_require_same_type(ctx, 0, i));
    if (out->dtype == PLEAT_UNDEFINED) out->dtype = ctx->inputs[i].dtype;
    if (ctx->inputs[i].shape.rank < 0) ranks_known = false;
  }
  return ranks_known ? join(ctx, &out->shape) : PLEAT_OK;
}

static pleat_status run(const pleat_call *call) {
  pleat_tensor *out = pleat_out(call, 0);
  if (out->count == 0) return PLEAT_OK;
  int axis = 0;
  PLEAT_TRY(pleat_attr_axis(call->node, "axis", out->rank, &axis, call->error));
  size_t size = pleat_dtype_size(out->dtype);
  int64_t outer = pleat_volume(out->dims, 0, axis), row = pleat_volume(out->dims, axis, out->rank);
  char *dst = out->data;
  for (size_t i = 0; i < call->input_count; i++) {
    const pleat_tensor *in = call->inputs[i];
    if (in->count == 0) continue;
    int64_t part = pleat_volume(in->dims, axis, in->rank);
    pleat_copy_strided(size, 2, (int64_t[]){outer, part}, dst, (int64_t[]){row, 1}, in->data, (int64_t[]){part, 1},
                       call->threads);
    dst += (size_t)part * size;
  }
  return PLEAT_OK;
}

static const pleat_kernel reference = {.name = "reference", .run = run};
const pleat_op_def pleat_op_Concat = {
    .name = "Concat",
    .domain = "",
    .versions = versions,
    .attrs = attrs,
    .infer = infer,
    .kernels = (const pleat_kernel *const[]){PLEAT_ONEDNN_KERNEL(pleat_onednn_concat) & reference, NULL}};

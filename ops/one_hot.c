/* OneHot: a new axis of `depth` that holds the on-value at the index and the off-value elsewhere. Indices from -depth
 * to depth - 1 count, negative ones from the end; others give off-values only. Floating-point indices are truncated. */
#include <inttypes.h>

#include "ops/movement.h"

static const pleat_op_version versions[] = {
    {9, 3, 3, 1, 1, PLEAT_M_NUMBERS, 0}, {11, 3, 3, 1, 1, PLEAT_M_NUMBERS, 0}, {0}};
static const pleat_op_attr attrs[] = {{.name = "axis", .type = PLEAT_ATTR_INT, .i = -1}, {0}};

static pleat_status infer(pleat_infer *ctx) {
  PLEAT_TRY(pleat_require_tensors(ctx));
  const pleat_shape *indices = &ctx->inputs[0].shape;
  pleat_type *out = &ctx->outputs[0];
  out->dtype = ctx->inputs[2].dtype;
  bool known = false;
  int64_t depth = 0;
  PLEAT_TRY(pleat_scalar_i64(ctx->inputs[1].data, "depth", &known, &depth, ctx->error));
  if (known && depth < 0)
    return pleat_fail(ctx->error, PLEAT_INVALID_ARGUMENT, "depth: expected 0 or more, found %" PRId64, depth);
  const pleat_shape *values = &ctx->inputs[2].shape;
  if (values->rank > 1 || values->rank == 0 ||
      (values->rank == 1 && pleat_dim_is_known(values->dims[0]) && values->dims[0].value != 2))
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "values: expected two elements [off, on]");
  if (indices->rank < 0) return PLEAT_OK;
  int axis = 0;
  PLEAT_TRY(pleat_attr_axis(ctx->node, "axis", indices->rank + 1, &axis, ctx->error));
  pleat_shape shape = {.rank = 0};
  for (int d = 0; d <= indices->rank; d++) {
    pleat_dim dim = known ? pleat_dim_known(depth) : pleat_dim_unknown();
    if (d != axis) dim = indices->dims[d < axis ? d : d - 1];
    PLEAT_TRY(pleat_shape_push(&shape, dim, ctx->error));
  }
  out->shape = shape;
  return PLEAT_OK;
}

static pleat_status run(const pleat_call *call) {
  const pleat_tensor *indices = pleat_in(call, 0), *values = pleat_in(call, 2);
  pleat_tensor *out = pleat_out(call, 0);
  int axis = 0;
  PLEAT_TRY(pleat_attr_axis(call->node, "axis", out->rank, &axis, call->error));
  size_t size = pleat_dtype_size(out->dtype);
  const char *off = values->data, *on = off + size;
  pleat_fill(size, out->data, out->count, off, call->threads);
  if (out->count == 0) return PLEAT_OK;
  int64_t depth = out->dims[axis], inner = pleat_volume(out->dims, axis + 1, out->rank);
  for (size_t i = 0; i < indices->count; i++) {
    int64_t index = pleat_load_i64(indices->dtype, indices->data, i);
    if (index < -depth || index >= depth) continue;
    if (index < 0) index += depth;
    int64_t outer = (int64_t)i / inner, at = (outer * depth + index) * inner + (int64_t)i % inner;
    pleat_copy_block((char *)out->data + (size_t)at * size, on, size);
  }
  return PLEAT_OK;
}

static const pleat_kernel reference = {.name = "reference", .run = run};
static const char *apart(const pleat_infer *whole, const pleat_role *roles) {
  int axis = 0;
  if (pleat_attr_axis(whole->node, "axis", whole->outputs[0].shape.rank, &axis, NULL) != PLEAT_OK || axis == 0)
    return "it runs along the samples";
  return pleat_apart_first(whole, roles);
}

const pleat_op_def pleat_op_OneHot = {.name = "OneHot",
                                      .domain = "",
                                      .versions = versions,
                                      .attrs = attrs,
                                      .infer = infer,
                                      .apart = apart,
                                      .kernels = (const pleat_kernel *const[]){&reference, NULL}};

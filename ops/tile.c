/* Tile: repeats a tensor along its axes. Opset 1 has one axis and its number of tiles as inputs; from opset 6 on there
 * is a repeat count for every axis.
 *
 * The input is copied into the output's corner once; then, last axis first, what is there is doubled along the axis
 * until it is full, so that the number of copies grows with the logarithm of the repeats. */
#include <inttypes.h>

#include "ops/movement.h"

enum { ONE_AXIS = 1u << 0 };

static const pleat_op_version versions[] = {
    {1, 3, 3, 1, 1, 0, ONE_AXIS}, {6, 2, 2, 1, 1, 0, 0}, {13, 2, 2, 1, 1, 0, 0}, {0}};

static pleat_status tile_dim(pleat_dim *dim, int64_t repeats, pleat_error *error) {
  if (repeats < 0) return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "repeats: %" PRId64 " is negative", repeats);
  if (repeats == 1) return PLEAT_OK;
  if (repeats == 0) {
    *dim = pleat_dim_known(0);
  } else if (!pleat_dim_is_known(*dim)) {
    *dim = pleat_dim_unknown();
  } else if (!pleat_mul_i64(dim->value, repeats, &dim->value)) {
    return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "the tiled dimension overflows");
  }
  return PLEAT_OK;
}

static pleat_status infer_one_axis(pleat_infer *ctx, pleat_shape *shape) {
  bool tiles_known = false, axis_known = false;
  int64_t tiles = 0, wanted = 0;
  int axis = 0;
  PLEAT_TRY(pleat_scalar_i64(ctx->inputs[1].data, "tiles", &tiles_known, &tiles, ctx->error));
  PLEAT_TRY(pleat_scalar_i64(ctx->inputs[2].data, "axis", &axis_known, &wanted, ctx->error));
  if (axis_known && !pleat_axis(wanted, shape->rank, &axis))
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "axis %" PRId64 " is out of range for %d dimensions", wanted,
                      shape->rank);
  if (!axis_known) *shape = pleat_shape_of_rank(shape->rank);
  else if (!tiles_known) shape->dims[axis] = pleat_dim_unknown();
  else return tile_dim(&shape->dims[axis], tiles, ctx->error);
  return PLEAT_OK;
}

static pleat_status infer(pleat_infer *ctx) {
  PLEAT_TRY(pleat_require_tensors(ctx));
  pleat_type *out = &ctx->outputs[0];
  out->dtype = ctx->inputs[0].dtype;
  out->shape = ctx->inputs[0].shape;
  if (out->shape.rank < 0) return PLEAT_OK;
  if (ctx->version->flags & ONE_AXIS) return infer_one_axis(ctx, &out->shape);
  pleat_ints repeats;
  PLEAT_TRY(pleat_ints_read(ctx->inputs[1].data, "repeats", PLEAT_MAX_RANK, &repeats, ctx->error));
  if (repeats.count < 0) {
    out->shape = pleat_shape_of_rank(out->shape.rank);
    return PLEAT_OK;
  }
  if (repeats.count != out->shape.rank)
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "repeats has %d values, the input has %d dimensions",
                      repeats.count, out->shape.rank);
  for (int d = 0; d < out->shape.rank; d++) PLEAT_TRY(tile_dim(&out->shape.dims[d], repeats.values[d], ctx->error));
  return PLEAT_OK;
}

/* Along `axis`, `filled` of the output's positions are there, for the corner [0, dims[d]) of the axes before it. */
static void fill_axis(const pleat_tensor *out, const int64_t *corner, const int64_t *strides, int axis, int threads) {
  size_t size = pleat_dtype_size(out->dtype);
  int64_t dims[PLEAT_MAX_RANK], steps[PLEAT_MAX_RANK];
  for (int d = 0; d < axis; d++) {
    dims[d] = corner[d];
    steps[d] = strides[d];
  }
  steps[axis] = 1;
  for (int64_t filled = corner[axis]; filled < out->dims[axis];) {
    int64_t rest = out->dims[axis] - filled, now = filled < rest ? filled : rest;
    dims[axis] = now * strides[axis];
    pleat_copy_strided(size, axis + 1, dims, (char *)out->data + (size_t)(filled * strides[axis]) * size, steps,
                       out->data, steps, threads);
    filled += now;
  }
}

static pleat_status run(const pleat_call *call) {
  const pleat_tensor *in = pleat_in(call, 0);
  pleat_tensor *out = pleat_out(call, 0);
  if (out->count == 0) return PLEAT_OK;
  int64_t src_strides[PLEAT_MAX_RANK], dst_strides[PLEAT_MAX_RANK];
  pleat_dense_strides(in->rank, in->dims, src_strides);
  pleat_dense_strides(out->rank, out->dims, dst_strides);
  pleat_copy_strided(pleat_dtype_size(in->dtype), in->rank, in->dims, out->data, dst_strides, in->data, src_strides,
                     call->threads);
  for (int d = in->rank - 1; d >= 0; d--) fill_axis(out, in->dims, dst_strides, d, call->threads);
  return PLEAT_OK;
}

static const pleat_kernel reference = {.name = "reference", .run = run};

/* Samples that are repeated along other axes; or one thing that all share, repeated for each sample. */
static const char *apart(const pleat_infer *whole, const pleat_role *roles) {
  const pleat_shape *in = &whole->inputs[0].shape, *out = &whole->outputs[0].shape;
  if (roles[0] == PLEAT_ROLE_SHARED && roles[1] == PLEAT_ROLE_SIZED)
    return in->dims[0].value == 1 ? NULL : "it repeats several rows, by the number of samples";
  if (out->dims[0].value != in->dims[0].value) return "it repeats the batch";
  return pleat_apart_first(whole, roles);
}

const pleat_op_def pleat_op_Tile = {.name = "Tile",
                                    .domain = "",
                                    .versions = versions,
                                    .infer = infer,
                                    .apart = apart,
                                    .kernels = (const pleat_kernel *const[]){&reference, NULL}};

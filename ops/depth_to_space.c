/* DepthToSpace and SpaceToDepth: move blocks between the channels and the image of [N, C, H, W]. Each is a
 * transposition of six dimensions, so one strided copy. */
#include <inttypes.h>

#include "ops/movement.h"

static pleat_status read_block(const pleat_node *node, int64_t *out_block, pleat_error *error) {
  *out_block = pleat_attr_int(node, "blocksize");
  if (*out_block >= 1 && *out_block <= INT32_MAX) return PLEAT_OK;
  return pleat_fail(error, PLEAT_MALFORMED_MODEL, "blocksize: expected a positive number, found %" PRId64, *out_block);
}

static pleat_status multiply_dim(pleat_dim dim, int64_t by, pleat_dim *out, pleat_error *error) {
  *out = by == 1 ? dim : pleat_dim_unknown();
  if (pleat_dim_is_known(dim) && !pleat_mul_i64(dim.value, by, &out->value))
    return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "a dimension overflows");
  return PLEAT_OK;
}

static pleat_status divide_dim(pleat_dim dim, int64_t by, const char *what, pleat_dim *out, pleat_error *error) {
  *out = by == 1 ? dim : pleat_dim_unknown();
  if (!pleat_dim_is_known(dim)) return PLEAT_OK;
  if (dim.value % by != 0)
    return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "%s of %" PRId64 " is not a multiple of %" PRId64, what, dim.value,
                      by);
  *out = pleat_dim_known(dim.value / by);
  return PLEAT_OK;
}

/* Type, rank 4, and the block size. */
static pleat_status infer_image(pleat_infer *ctx, int64_t *out_block, pleat_shape **out) {
  PLEAT_TRY(pleat_require_tensors(ctx));
  ctx->outputs[0].dtype = ctx->inputs[0].dtype;
  PLEAT_TRY(read_block(ctx->node, out_block, ctx->error));
  int rank = ctx->inputs[0].shape.rank;
  if (rank >= 0 && rank != 4)
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "expected 4 dimensions [N, C, H, W], found %d", rank);
  *out = &ctx->outputs[0].shape;
  **out = pleat_shape_of_rank(4);
  if (rank == 4) (*out)->dims[0] = ctx->inputs[0].shape.dims[0];
  return PLEAT_OK;
}

/* Copies the input, seen as six dimensions `dims`, into the output, whose dimension i is the input's perm[i]. */
static void permute(const pleat_call *call, const int64_t dims[6], const int perm[6]) {
  const pleat_tensor *in = pleat_in(call, 0);
  pleat_tensor *out = pleat_out(call, 0);
  int64_t in_strides[6], src_strides[6], dst_strides[6], out_dims[6];
  pleat_dense_strides(6, dims, in_strides);
  for (int d = 0; d < 6; d++) {
    out_dims[d] = dims[perm[d]];
    src_strides[d] = in_strides[perm[d]];
  }
  pleat_dense_strides(6, out_dims, dst_strides);
  pleat_copy_strided(pleat_dtype_size(out->dtype), 6, out_dims, out->data, dst_strides, in->data, src_strides,
                     call->threads);
}

/* ---- DepthToSpace ---- */

static const pleat_op_version depth_versions[] = {
    {1, 1, 1, 1, 1, 0, 0}, {11, 1, 1, 1, 1, 0, 0}, {13, 1, 1, 1, 1, 0, 0}, {0}};
static const pleat_op_attr depth_attrs[] = {{.name = "blocksize", .type = PLEAT_ATTR_INT, .required = true},
                                            {.name = "mode", .type = PLEAT_ATTR_STRING, .since = 11, .s = "DCR"},
                                            {0}};

static pleat_status depth_infer(pleat_infer *ctx) {
  int64_t block = 0;
  pleat_shape *out = NULL;
  PLEAT_TRY(infer_image(ctx, &block, &out));
  const char *mode = pleat_attr_string(ctx->node, "mode");
  if (*mode != '\0' && strcmp(mode, "DCR") != 0 && strcmp(mode, "CRD") != 0)
    return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "mode '%s': expected DCR or CRD", mode);
  const pleat_shape *in = &ctx->inputs[0].shape;
  if (in->rank < 0) return PLEAT_OK;
  PLEAT_TRY(divide_dim(in->dims[1], block * block, "a depth", &out->dims[1], ctx->error));
  PLEAT_TRY(multiply_dim(in->dims[2], block, &out->dims[2], ctx->error));
  return multiply_dim(in->dims[3], block, &out->dims[3], ctx->error);
}

static pleat_status depth_run(const pleat_call *call) {
  const int64_t *in = pleat_in(call, 0)->dims, *out = pleat_out(call, 0)->dims;
  if (pleat_out(call, 0)->count == 0) return PLEAT_OK;
  int64_t b = pleat_attr_int(call->node, "blocksize");
  if (strcmp(pleat_attr_string(call->node, "mode"), "CRD") == 0)
    permute(call, (int64_t[]){in[0], out[1], b, b, in[2], in[3]}, (const int[]){0, 1, 4, 2, 5, 3});
  else permute(call, (int64_t[]){in[0], b, b, out[1], in[2], in[3]}, (const int[]){0, 3, 4, 1, 5, 2});
  return PLEAT_OK;
}

static const pleat_kernel depth_reference = {.name = "reference", .run = depth_run};
const pleat_op_def pleat_op_DepthToSpace = {.name = "DepthToSpace",
                                            .domain = "",
                                            .versions = depth_versions,
                                            .attrs = depth_attrs,
                                            .infer = depth_infer,
                                            .apart = pleat_apart_first,
                                            .kernels = (const pleat_kernel *const[]){&depth_reference, NULL}};

/* ---- SpaceToDepth ---- */

static const pleat_op_version space_versions[] = {{1, 1, 1, 1, 1, 0, 0}, {13, 1, 1, 1, 1, 0, 0}, {0}};
static const pleat_op_attr space_attrs[] = {{.name = "blocksize", .type = PLEAT_ATTR_INT, .required = true}, {0}};

static pleat_status space_infer(pleat_infer *ctx) {
  int64_t block = 0;
  pleat_shape *out = NULL;
  PLEAT_TRY(infer_image(ctx, &block, &out));
  const pleat_shape *in = &ctx->inputs[0].shape;
  if (in->rank < 0) return PLEAT_OK;
  PLEAT_TRY(multiply_dim(in->dims[1], block * block, &out->dims[1], ctx->error));
  PLEAT_TRY(divide_dim(in->dims[2], block, "a height", &out->dims[2], ctx->error));
  return divide_dim(in->dims[3], block, "a width", &out->dims[3], ctx->error);
}

static pleat_status space_run(const pleat_call *call) {
  const int64_t *in = pleat_in(call, 0)->dims, *out = pleat_out(call, 0)->dims;
  if (pleat_out(call, 0)->count == 0) return PLEAT_OK;
  int64_t b = pleat_attr_int(call->node, "blocksize");
  permute(call, (int64_t[]){in[0], in[1], out[2], b, out[3], b}, (const int[]){0, 3, 5, 1, 2, 4});
  return PLEAT_OK;
}

static const pleat_kernel space_reference = {.name = "reference", .run = space_run};
const pleat_op_def pleat_op_SpaceToDepth = {.name = "SpaceToDepth",
                                            .domain = "",
                                            .versions = space_versions,
                                            .attrs = space_attrs,
                                            .infer = space_infer,
                                            .apart = pleat_apart_first,
                                            .kernels = (const pleat_kernel *const[]){&space_reference, NULL}};

/* Expand: numpy broadcasting of a tensor to a shape (both ways: the input's own dimensions stay where the shape has 1).
 * One strided copy with strides of 0 where it repeats. */
#include <inttypes.h>

#include "ops/movement.h"

static const pleat_op_version versions[] = {{8, 2, 2, 1, 1, 0, 0}, {13, 2, 2, 1, 1, 0, 0}, {0}};

/* Only the number of wanted dimensions is known: those of the input that are not 1 stay. */
static pleat_status infer_rank(pleat_infer *ctx, int64_t length) {
  const pleat_shape *in = &ctx->inputs[0].shape;
  pleat_shape *out = &ctx->outputs[0].shape;
  if (length < 0 || in->rank < 0) return PLEAT_OK;
  if (length > PLEAT_MAX_RANK)
    return pleat_fail(ctx->error, PLEAT_UNSUPPORTED, "%" PRId64 " dimensions: at most %d are supported", length,
                      PLEAT_MAX_RANK);
  *out = pleat_shape_of_rank(length > in->rank ? (int)length : in->rank);
  for (int d = 0; d < in->rank; d++)
    if (pleat_dim_is_known(in->dims[d]) && in->dims[d].value != 1) out->dims[out->rank - in->rank + d] = in->dims[d];
  return PLEAT_OK;
}

static pleat_status infer(pleat_infer *ctx) {
  PLEAT_TRY(pleat_require_tensors(ctx));
  ctx->outputs[0].dtype = ctx->inputs[0].dtype;
  pleat_ints want;
  PLEAT_TRY(pleat_ints_read(ctx->inputs[1].data, "shape", PLEAT_MAX_RANK, &want, ctx->error));
  if (want.count < 0) return infer_rank(ctx, pleat_ints_length(&ctx->inputs[1]));
  for (int i = 0; i < want.count; i++)
    if (want.values[i] < 0)
      return pleat_fail(ctx->error, PLEAT_INVALID_ARGUMENT, "shape: dimension %" PRId64 " is negative", want.values[i]);
  const pleat_shape *in = &ctx->inputs[0].shape;
  if (in->rank < 0) return PLEAT_OK;
  pleat_shape target = pleat_shape_of(want.count, want.values);
  if (pleat_shape_broadcast(in, &target, &ctx->outputs[0].shape)) return PLEAT_OK;
  char from[160], to[160];
  return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "%s cannot be expanded to %s",
                    pleat_shape_text(in, from, sizeof from), pleat_shape_text(&target, to, sizeof to));
}

static pleat_status run(const pleat_call *call) {
  const pleat_tensor *in = pleat_in(call, 0);
  pleat_tensor *out = pleat_out(call, 0);
  if (out->count == 0) return PLEAT_OK;
  int64_t src_strides[PLEAT_MAX_RANK], dst_strides[PLEAT_MAX_RANK];
  if (!pleat_broadcast_strides(in->rank, in->dims, out->rank, out->dims, src_strides))
    return pleat_fail(call->error, PLEAT_SHAPE_MISMATCH, "the input does not broadcast to the output");
  pleat_dense_strides(out->rank, out->dims, dst_strides);
  pleat_copy_strided(pleat_dtype_size(out->dtype), out->rank, out->dims, out->data, dst_strides, in->data, src_strides,
                     call->threads);
  return PLEAT_OK;
}

static const pleat_kernel reference = {.name = "reference", .run = run};

/* Samples that are repeated along other axes; or one thing that all share, repeated for each sample. */
static const char *apart(const pleat_infer *whole, const pleat_role *roles) {
  const pleat_shape *in = &whole->inputs[0].shape, *out = &whole->outputs[0].shape;
  if (roles[0] == PLEAT_ROLE_SHARED)
    return in->rank < out->rank || in->dims[0].value == 1 ? NULL : "it has numbers of its own for each sample";
  return in->rank == out->rank ? pleat_apart_reshaped(whole, roles) : "samples are broadcast over another dimension";
}

const pleat_op_def pleat_op_Expand = {.name = "Expand",
                                      .domain = "",
                                      .versions = versions,
                                      .infer = infer,
                                      .apart = apart,
                                      .kernels = (const pleat_kernel *const[]){&reference, NULL}};

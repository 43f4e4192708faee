/* Transpose: permutes the dimensions; by default it reverses them. One strided copy.
 *
 * Invariant: perm names every axis once, which infer and run check by the same function. The source's strides are
 * permuted and pleat_copy_strided does the rest: it merges dimensions that stay neighbours.
 * Source: the operator's text (NumPy's transpose). */
#include <inttypes.h>

#include "ops/movement.h"

static const pleat_op_version versions[] = {{1, 1, 1, 1, 1, 0, 0},
                                            {13, 1, 1, 1, 1, 0, 0},
                                            {21, 1, 1, 1, 1, 0, 0},
                                            {23, 1, 1, 1, 1, 0, 0},
                                            {24, 1, 1, 1, 1, 0, 0},
                                            {25, 1, 1, 1, 1, 0, 0},
                                            {0}};
static const pleat_op_attr attrs[] = {{.name = "perm", .type = PLEAT_ATTR_INTS}, {0}};

static pleat_status read_perm(const pleat_node *node, int rank, pleat_ints *perm, pleat_error *error) {
  PLEAT_TRY(pleat_ints_attr(node, "perm", PLEAT_MAX_RANK, perm, error));
  if (perm->count < 0) {
    perm->count = rank;
    for (int d = 0; d < rank; d++) perm->values[d] = rank - 1 - d;
    return PLEAT_OK;
  }
  if (perm->count != rank)
    return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "perm has %d values, the input has %d dimensions", perm->count,
                      rank);
  return pleat_ints_to_axes(perm, rank, error);
}

static pleat_status infer(pleat_infer *ctx) {
  PLEAT_TRY(pleat_require_tensors(ctx));
  const pleat_shape *in = &ctx->inputs[0].shape;
  pleat_type *out = &ctx->outputs[0];
  out->dtype = ctx->inputs[0].dtype;
  pleat_ints perm;
  if (in->rank < 0) {
    PLEAT_TRY(pleat_ints_attr(ctx->node, "perm", PLEAT_MAX_RANK, &perm, ctx->error));
    if (perm.count >= 0) out->shape = pleat_shape_of_rank(perm.count);
    return PLEAT_OK;
  }
  PLEAT_TRY(read_perm(ctx->node, in->rank, &perm, ctx->error));
  out->shape.rank = in->rank;
  for (int d = 0; d < in->rank; d++) out->shape.dims[d] = in->dims[perm.values[d]];
  return PLEAT_OK;
}

static pleat_status run(const pleat_call *call) {
  const pleat_tensor *in = pleat_in(call, 0);
  pleat_tensor *out = pleat_out(call, 0);
  if (out->count == 0) return PLEAT_OK;
  pleat_ints perm;
  PLEAT_TRY(read_perm(call->node, in->rank, &perm, call->error));
  int64_t in_strides[PLEAT_MAX_RANK], src_strides[PLEAT_MAX_RANK], dst_strides[PLEAT_MAX_RANK];
  pleat_dense_strides(in->rank, in->dims, in_strides);
  pleat_dense_strides(out->rank, out->dims, dst_strides);
  for (int d = 0; d < out->rank; d++) src_strides[d] = in_strides[perm.values[d]];
  pleat_copy_strided(pleat_dtype_size(out->dtype), out->rank, out->dims, out->data, dst_strides, in->data, src_strides,
                     call->threads);
  return PLEAT_OK;
}

static const pleat_kernel reference = {.name = "reference", .run = run};
static const char *apart(const pleat_infer *whole, const pleat_role *roles) {
  pleat_ints perm;
  const bool good = read_perm(whole->node, whole->inputs[0].shape.rank, &perm, NULL) == PLEAT_OK;
  return good && perm.values[0] == 0 ? pleat_apart_first(whole, roles) : "it moves the samples to another dimension";
}

const pleat_op_def pleat_op_Transpose = {.name = "Transpose",
                                         .domain = "",
                                         .versions = versions,
                                         .attrs = attrs,
                                         .infer = infer,
                                         .apart = apart,
                                         .kernels = (const pleat_kernel *const[]){&reference, NULL}};

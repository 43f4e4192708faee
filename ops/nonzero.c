/* NonZero and Compress: operators whose output's size depends on the data. Without the data, inference gives only the
 * rank; with it, the exact shape. */
#include <inttypes.h>

#include "ops/movement.h"

/* ---- NonZero ---- */

static const pleat_op_version nonzero_versions[] = {{9, 1, 1, 1, 1, 0, 0}, {13, 1, 1, 1, 1, 0, 0}, {0}};

static bool is_nonzero(const pleat_tensor *in, size_t i) {
  switch (in->dtype) {
  case PLEAT_STRING:
    return ((const pleat_string *)in->data)[i].size != 0;
  case PLEAT_COMPLEX64:
    return ((const float *)in->data)[2 * i] != 0 || ((const float *)in->data)[2 * i + 1] != 0;
  case PLEAT_COMPLEX128:
    return ((const double *)in->data)[2 * i] != 0 || ((const double *)in->data)[2 * i + 1] != 0;
  default:
    return pleat_load_f64(in->dtype, in->data, i) != 0;
  }
}

static pleat_status nonzero_infer(pleat_infer *ctx) {
  PLEAT_TRY(pleat_require_tensors(ctx));
  const pleat_type *in = &ctx->inputs[0];
  pleat_type *out = &ctx->outputs[0];
  out->dtype = PLEAT_INT64;
  out->shape = pleat_shape_of_rank(2);
  if (in->shape.rank >= 0) out->shape.dims[0] = pleat_dim_known(in->shape.rank);
  if (in->data == NULL) return PLEAT_OK;
  int64_t count = 0;
  for (size_t i = 0; i < in->data->count; i++) count += is_nonzero(in->data, i);
  out->shape.dims[1] = pleat_dim_known(count);
  return PLEAT_OK;
}

static pleat_status nonzero_run(const pleat_call *call) {
  static const int64_t still[PLEAT_MAX_RANK];
  const pleat_tensor *in = pleat_in(call, 0);
  pleat_tensor *out = pleat_out(call, 0);
  if (out->count == 0) return PLEAT_OK;
  int64_t position[PLEAT_MAX_RANK] = {0}, unused = 0, count = out->dims[1], found = 0;
  int64_t *rows = out->data;
  for (size_t i = 0; i < in->count && found < count; i++) {
    if (is_nonzero(in, i)) {
      for (int d = 0; d < in->rank; d++) rows[d * count + found] = position[d];
      found++;
    }
    pleat_walk(in->rank, in->dims, still, position, &unused);
  }
  return PLEAT_OK;
}

static const pleat_kernel nonzero_reference = {.name = "reference", .run = nonzero_run};
const pleat_op_def pleat_op_NonZero = {.name = "NonZero",
                                       .domain = "",
                                       .versions = nonzero_versions,
                                       .infer = nonzero_infer,
                                       .kernels = (const pleat_kernel *const[]){&nonzero_reference, NULL}};

/* ---- Compress ---- */

static const pleat_op_version compress_versions[] = {{9, 2, 2, 1, 1, 0, 0}, {11, 2, 2, 1, 1, 0, 0}, {0}};
static const pleat_op_attr compress_attrs[] = {{.name = "axis", .type = PLEAT_ATTR_INT}, {0}};

/* The number of chosen positions; the condition may be shorter than the dimension, but not longer. */
static pleat_status count_chosen(const pleat_tensor *condition, pleat_dim dim, int64_t *out_count, pleat_error *error) {
  if (pleat_dim_is_known(dim) && condition->count > (uint64_t)dim.value)
    return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "condition: %zu values for a dimension of %" PRId64,
                      condition->count, dim.value);
  *out_count = 0;
  const uint8_t *flags = condition->data;
  for (size_t i = 0; i < condition->count; i++) *out_count += flags[i] != 0;
  return PLEAT_OK;
}

static pleat_status compress_infer(pleat_infer *ctx) {
  PLEAT_TRY(pleat_require_tensors(ctx));
  const pleat_shape *in = &ctx->inputs[0].shape;
  const pleat_type *condition = &ctx->inputs[1];
  pleat_type *out = &ctx->outputs[0];
  out->dtype = ctx->inputs[0].dtype;
  if ((condition->dtype != PLEAT_BOOL && condition->dtype != PLEAT_UNDEFINED) || condition->shape.rank == 0 ||
      condition->shape.rank > 1)
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "condition: expected bool values in one dimension");
  bool flat = !pleat_attr_present(ctx->node, "axis");
  int axis = 0;
  if (!flat && in->rank < 0) return PLEAT_OK;
  if (!flat) PLEAT_TRY(pleat_attr_axis(ctx->node, "axis", in->rank, &axis, ctx->error));
  out->shape = flat ? pleat_shape_of_rank(1) : *in;
  out->shape.dims[axis] = pleat_dim_unknown();
  if (condition->data == NULL) return PLEAT_OK;
  pleat_dim dim = flat ? pleat_shape_product(in, 0, in->rank) : in->dims[axis];
  int64_t count = 0;
  PLEAT_TRY(count_chosen(condition->data, dim, &count, ctx->error));
  out->shape.dims[axis] = pleat_dim_known(count);
  return PLEAT_OK;
}

static pleat_status compress_run(const pleat_call *call) {
  const pleat_tensor *in = pleat_in(call, 0), *condition = pleat_in(call, 1);
  pleat_tensor *out = pleat_out(call, 0);
  if (out->count == 0) return PLEAT_OK;
  bool flat = !pleat_attr_present(call->node, "axis");
  int axis = 0;
  if (!flat) PLEAT_TRY(pleat_attr_axis(call->node, "axis", in->rank, &axis, call->error));
  int64_t outer = flat ? 1 : pleat_volume(in->dims, 0, axis), dim = flat ? (int64_t)in->count : in->dims[axis];
  size_t block = pleat_dtype_size(in->dtype) * (size_t)(flat ? 1 : pleat_volume(in->dims, axis + 1, in->rank));
  const uint8_t *flags = condition->data;
  char *dst = out->data;
  for (int64_t o = 0; o < outer; o++) {
    for (size_t i = 0; i < condition->count; i++) {
      if (!flags[i]) continue;
      pleat_copy_block(dst, (const char *)in->data + ((size_t)(o * dim) + i) * block, block);
      dst += block;
    }
  }
  return PLEAT_OK;
}

static const pleat_kernel compress_reference = {.name = "reference", .run = compress_run};
const pleat_op_def pleat_op_Compress = {.name = "Compress",
                                        .domain = "",
                                        .versions = compress_versions,
                                        .attrs = compress_attrs,
                                        .infer = compress_infer,
                                        .kernels = (const pleat_kernel *const[]){&compress_reference, NULL}};

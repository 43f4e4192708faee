/* What the operators with bodies (If, Loop, Scan) share in telling types. */
#ifndef PLEAT_OPS_FLOW_H
#define PLEAT_OPS_FLOW_H

#include "ops/ops.h"

/* Both shapes' common part: a dimension in which they may differ is unknown, and so is the rank. */
static inline pleat_shape pleat_shape_common(const pleat_shape *a, const pleat_shape *b) {
  if (a->rank < 0 || a->rank != b->rank) return pleat_shape_unknown();
  pleat_shape common = *a;
  for (int i = 0; i < a->rank; i++) {
    if (!pleat_dim_equal(a->dims[i], b->dims[i])) common.dims[i] = pleat_dim_unknown();
  }
  return common;
}

/* What a value is that may come from either of two places. SHAPE_MISMATCH when no type is both. */
static inline pleat_status pleat_flow_either(pleat_infer *ctx, const pleat_type *a, const pleat_type *b,
                                             const char *what, size_t index, pleat_type *out_type) {
  if (a->kind == PLEAT_KIND_TENSOR && b->kind == PLEAT_KIND_TENSOR && a->dtype != PLEAT_UNDEFINED &&
      b->dtype != PLEAT_UNDEFINED && a->dtype != b->dtype) {
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "%s %zu is %s in one case and %s in the other", what, index,
                      pleat_dtype_name(a->dtype), pleat_dtype_name(b->dtype));
  }
  out_type->kind = a->kind != PLEAT_KIND_TENSOR ? a->kind : b->kind;
  out_type->dtype = a->dtype != PLEAT_UNDEFINED ? a->dtype : b->dtype;
  out_type->shape = pleat_shape_common(&a->shape, &b->shape);
  return PLEAT_OK;
}

/* Whether both are known to be of one shape (a list has none that could change). */
static inline bool pleat_flow_same_shape(const pleat_type *a, const pleat_type *b) {
  if (a->kind != PLEAT_KIND_TENSOR || b->kind != PLEAT_KIND_TENSOR) return a->kind == b->kind;
  if (!pleat_shape_is_known(&a->shape) || a->shape.rank != b->shape.rank) return false;
  for (int i = 0; i < a->shape.rank; i++) {
    if (a->shape.dims[i].value != b->shape.dims[i].value) return false;
  }
  return true;
}

/* A known scalar's value (bool or int64); false when it is not known. */
static inline bool pleat_flow_scalar(const pleat_type *type, int64_t *out_value) {
  const pleat_tensor *data = type->present ? type->data : NULL;
  if (data == NULL || data->count != 1 || data->data == NULL) return false;
  if (data->dtype == PLEAT_BOOL) *out_value = *(const uint8_t *)data->data != 0;
  else if (data->dtype == PLEAT_INT64) *out_value = *(const int64_t *)data->data;
  else return false;
  return true;
}

static inline pleat_status pleat_flow_body_inputs(pleat_infer *ctx, size_t expected) {
  const pleat_body_types *body = &ctx->bodies[0];
  if (body->input_count == expected) return PLEAT_OK;
  return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "%s's body has %zu inputs, expected %zu", ctx->node->op_type,
                    body->input_count, expected);
}

#endif

/* Ready-made inference that many operators share; see ops.h.
 *
 * Invariants: what is not known never makes inference fail, while two known facts that contradict each other always
 * do, with a message that names operator and input. (Broadcasting: broadcast.c.) */
#include "ops/ops.h"

pleat_status pleat_infer_same(pleat_infer *ctx) {
  pleat_type *out = pleat_infer_out(ctx, 0);
  if (!pleat_infer_has(ctx, 0)) {
    return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "%s: input 0 is missing", ctx->node->op_type);
  }
  if (out == NULL) return PLEAT_OK;
  out->kind = ctx->inputs[0].kind;
  out->dtype = ctx->inputs[0].dtype;
  out->shape = ctx->inputs[0].shape;
  return PLEAT_OK;
}

int pleat_infer_ints(const pleat_infer *ctx, size_t i, int64_t *out_values, int max, pleat_status *status) {
  *status = PLEAT_OK;
  if (!pleat_infer_has(ctx, i)) return -1;
  const pleat_type *input = &ctx->inputs[i];
  if (input->dtype != PLEAT_UNDEFINED && input->dtype != PLEAT_INT64 && input->dtype != PLEAT_INT32) {
    *status = pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "%s: input %zu must be int64 or int32, found %s",
                         ctx->node->op_type, i, pleat_dtype_name(input->dtype));
    return -1;
  }
  if (input->data == NULL) return -1;
  if (input->data->count > (size_t)max) {
    *status = pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "%s: input %zu has %zu values, expected at most %d",
                         ctx->node->op_type, i, input->data->count, max);
    return -1;
  }
  for (size_t k = 0; k < input->data->count; k++) {
    out_values[k] = pleat_load_i64(input->data->dtype, input->data->data, k);
  }
  return (int)input->data->count;
}

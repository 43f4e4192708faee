/* ReverseSequence: reverses the first sequence_lens[b] steps of every batch item and leaves the others as they are.
 *
 * Time and batch are the first two dimensions, in either order; all that follows is one block, copied whole. The
 * lengths are data: they are checked in run, all before the first copy.
 * Source: the operator's text. */
#include <inttypes.h>

#include "ops/movement.h"

static const pleat_op_version versions[] = {{10, 2, 2, 1, 1, 0, 0}, {0}};
static const pleat_op_attr attrs[] = {
    {.name = "time_axis", .type = PLEAT_ATTR_INT}, {.name = "batch_axis", .type = PLEAT_ATTR_INT, .i = 1}, {0}};

static pleat_status infer(pleat_infer *ctx) {
  PLEAT_TRY(pleat_require_tensors(ctx));
  PLEAT_TRY(pleat_require_index_type(ctx, 1));
  PLEAT_TRY(pleat_infer_same(ctx));
  int64_t time = pleat_attr_int(ctx->node, "time_axis"), batch = pleat_attr_int(ctx->node, "batch_axis");
  if (time < 0 || time > 1 || batch != 1 - time)
    return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL,
                      "time_axis %" PRId64 " and batch_axis %" PRId64 ": expected 0 and 1, or 1 and 0", time, batch);
  const pleat_shape *in = &ctx->inputs[0].shape, *lengths = &ctx->inputs[1].shape;
  if (in->rank >= 0 && in->rank < 2)
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "expected at least 2 dimensions, found %d", in->rank);
  if (lengths->rank >= 0 && lengths->rank != 1)
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "sequence_lens: expected one dimension, found %d",
                      lengths->rank);
  pleat_dim items = lengths->rank == 1 && in->rank >= 2 ? in->dims[batch] : pleat_dim_unknown();
  if (lengths->rank == 1 && !pleat_dim_merge(&items, lengths->dims[0]))
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH,
                      "sequence_lens: expected %" PRId64 " values, one a batch item, found %" PRId64, items.value,
                      lengths->dims[0].value);
  return PLEAT_OK;
}

static pleat_status run(const pleat_call *call) {
  const pleat_tensor *in = pleat_in(call, 0), *lengths = pleat_in(call, 1);
  pleat_tensor *out = pleat_out(call, 0);
  bool time_first = pleat_attr_int(call->node, "time_axis") == 0;
  int64_t steps = in->dims[time_first ? 0 : 1], items = in->dims[time_first ? 1 : 0];
  for (int64_t b = 0; b < items; b++) {
    int64_t length = pleat_index_at(lengths, (size_t)b);
    if (length < 0 || length > steps)
      return pleat_fail(call->error, PLEAT_INVALID_ARGUMENT,
                        "sequence_lens[%" PRId64 "] is %" PRId64 ": expected 0 to %" PRId64, b, length, steps);
  }
  if (in->count == 0) return PLEAT_OK;
  size_t block = (size_t)pleat_volume(in->dims, 2, in->rank) * pleat_dtype_size(in->dtype);
  int64_t step_stride = time_first ? items : 1, item_stride = time_first ? 1 : steps;
  for (int64_t b = 0; b < items; b++) {
    int64_t length = pleat_index_at(lengths, (size_t)b);
    for (int64_t t = 0; t < steps; t++) {
      int64_t from = t < length ? length - 1 - t : t;
      pleat_copy_block((char *)out->data + (size_t)(b * item_stride + t * step_stride) * block,
                       (const char *)in->data + (size_t)(b * item_stride + from * step_stride) * block, block);
    }
  }
  return PLEAT_OK;
}

static const pleat_kernel reference = {.name = "reference", .run = run};

static const char *apart(const pleat_infer *whole, const pleat_role *roles) {
  return pleat_attr_int(whole->node, "batch_axis") == 0 ? pleat_apart_each(whole, roles) : "it runs along the samples";
}

const pleat_op_def pleat_op_ReverseSequence = {.name = "ReverseSequence",
                                               .domain = "",
                                               .versions = versions,
                                               .attrs = attrs,
                                               .infer = infer,
                                               .apart = apart,
                                               .kernels = (const pleat_kernel *const[]){&reference, NULL}};

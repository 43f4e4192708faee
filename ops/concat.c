/* Concat: joins tensors along one axis. Each input is one strided copy of two dimensions: what lies before the axis in
 * memory, and the axis with all behind it, which is contiguous. Where nothing lies before the axis, an input is a piece
 * of the result, and the plan may have its producer write it there.
 *
 * Tensors in a physical layout stay in it: all parts take the first one that fits. */
#include "ops/layout.h"
#include "ops/movement.h"
#include "ops/slices.h"

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

/* ---- in a layout ---- */

static const char *refuse(const pleat_call *call) {
  for (size_t i = 0; i < call->input_count; i++) {
    if (call->inputs[i]->layout != NULL) return NULL;
  }
  return "all tensors are dense";
}

/* Parts along the channels must not have padding between them. */
static bool fits(const pleat_layout *layout, const pleat_call *call, int axis) {
  bool fills = layout != NULL;
  if (axis != 1) return fills;
  for (size_t i = 0; i < call->input_count && fills; i++)
    fills = i + 1 == call->input_count || pleat_layout_fills(layout, call->inputs[i]->dims[1]);
  return fills;
}

static pleat_status prepare(pleat_call *call) {
  const pleat_layout *layout = NULL;
  const int axis = pleat_call_axis(call);
  for (size_t i = 0; i < call->input_count && layout == NULL; i++) {
    if (fits(call->inputs[i]->layout, call, axis)) layout = call->inputs[i]->layout;
  }
  for (size_t i = 0; i < call->input_count && layout == NULL; i++) { /* what is rounded is joined so, be it dense */
    if (pleat_layout_is_bf16(call->inputs[i]->layout)) layout = pleat_layout_as(NULL, true);
  }
  if (layout == NULL || call->wanted == NULL)
    return pleat_fail(call->error, PLEAT_UNSUPPORTED, "parts that do not fill their blocks of channels");
  for (size_t i = 0; i < call->input_count; i++) call->wanted[i] = layout;
  call->outputs[0]->layout = layout;
  return PLEAT_OK;
}

/* ---- in any layout: that of the result ---- */

static void pieces(const pleat_call *call, size_t *out_offsets) {
  const pleat_tensor *whole = call->outputs[0];
  const int axis = pleat_call_axis(call);
  int64_t outer, run;
  size_t offset = 0;
  pleat_layout_span(whole->layout, whole->rank, whole->dims, axis, &outer, &run);
  for (size_t i = 0; i < call->input_count; i++) {
    const pleat_tensor *part = call->inputs[i];
    out_offsets[i] = outer == 1 ? offset : PLEAT_NO_OFFSET;
    pleat_layout_span(whole->layout, part->rank, part->dims, axis, &outer, &run);
    offset += (size_t)run * pleat_layout_element(whole->layout, whole->dtype);
  }
}

static pleat_status run(const pleat_call *call) {
  const pleat_tensor *out = call->outputs[0];
  const size_t size = pleat_layout_element(out->layout, out->dtype);
  const int axis = pleat_call_axis(call);
  int64_t outer, row, part;
  if (out->count == 0) return PLEAT_OK;
  pleat_layout_span(out->layout, out->rank, out->dims, axis, &outer, &row);
  char *dst = out->data;
  for (size_t i = 0; i < call->input_count; i++) {
    const pleat_tensor *in = call->inputs[i];
    if (in->count == 0) continue;
    pleat_layout_span(out->layout, in->rank, in->dims, axis, &outer, &part);
    if (in->data != dst) {
      pleat_copy_strided(size, 2, (int64_t[]){outer, part}, dst, (int64_t[]){row, 1}, in->data, (int64_t[]){part, 1},
                         call->threads);
    }
    dst += (size_t)part * size;
  }
  return PLEAT_OK;
}

static const pleat_kernel copy = {.name = "copy",
                                  .flags = PLEAT_KERNEL_LAYOUTS | PLEAT_KERNEL_JOINS | PLEAT_KERNEL_BF16,
                                  .supports = refuse,
                                  .prepare = prepare,
                                  .run = run,
                                  .pieces = pieces};
static const pleat_kernel reference = {.name = "reference", .flags = PLEAT_KERNEL_JOINS, .run = run, .pieces = pieces};
static const char *apart(const pleat_infer *whole, const pleat_role *roles) {
  int axis = 0;
  if (pleat_attr_axis(whole->node, "axis", whole->outputs[0].shape.rank, &axis, NULL) != PLEAT_OK || axis == 0)
    return "it runs along the samples";
  for (size_t i = 0; i < whole->input_count; i++) {
    if (roles[i] != PLEAT_ROLE_SAMPLES) return "it joins samples with what is none";
  }
  return NULL;
}

const pleat_op_def pleat_op_Concat = {.name = "Concat",
                                      .domain = "",
                                      .versions = versions,
                                      .attrs = attrs,
                                      .infer = infer,
                                      .apart = apart,
                                      .kernels = (const pleat_kernel *const[]){&copy, &reference, NULL}};

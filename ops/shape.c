/* Shape and Size: what a tensor's shape says, as int64 values. They never look at the data.
 *
 * Invariant: PLEAT_OP_SHAPE_ONLY, so inference may evaluate them as soon as the shape is known, though the data is
 * not: chains of Shape, Gather and Concat resolve before the first run.
 * Source: the operators' texts; start and end of Shape (since opset 15) are clamped, not refused. */
#include "ops/movement.h"

static pleat_status tensor_infer(pleat_infer *ctx, pleat_type **out) {
  PLEAT_TRY(pleat_require_tensors(ctx));
  *out = &ctx->outputs[0];
  (*out)->dtype = PLEAT_INT64;
  return PLEAT_OK;
}

/* ---- Shape ---- */

static const pleat_op_version shape_versions[] = {
    {1, 1, 1, 1, 1, 0, 0},  {13, 1, 1, 1, 1, 0, 0}, {15, 1, 1, 1, 1, 0, 0},
    {19, 1, 1, 1, 1, 0, 0}, {21, 1, 1, 1, 1, 0, 0}, {23, 1, 1, 1, 1, 0, 0},
    {24, 1, 1, 1, 1, 0, 0}, {25, 1, 1, 1, 1, 0, 0}, {0}};
static const pleat_op_attr shape_attrs[] = {
    {.name = "start", .type = PLEAT_ATTR_INT, .since = 15}, {.name = "end", .type = PLEAT_ATTR_INT, .since = 15}, {0}};

static int clamp_axis(int64_t axis, int rank) {
  if (axis < 0) axis += rank;
  return axis < 0 ? 0 : axis > rank ? rank : (int)axis;
}

/* The dimensions [start, start + count) that are asked for. */
static void shape_range(const pleat_node *node, int rank, int *out_start, int *out_count) {
  int start = clamp_axis(pleat_attr_int(node, "start"), rank), end = rank;
  if (pleat_attr_present(node, "end")) end = clamp_axis(pleat_attr_int(node, "end"), rank);
  *out_start = start;
  *out_count = end > start ? end - start : 0;
}

static pleat_status shape_infer(pleat_infer *ctx) {
  pleat_type *out = NULL;
  PLEAT_TRY(tensor_infer(ctx, &out));
  out->shape = pleat_shape_of_rank(1);
  int rank = ctx->inputs[0].shape.rank, start = 0, count = 0;
  if (rank < 0) return PLEAT_OK;
  shape_range(ctx->node, rank, &start, &count);
  out->shape.dims[0] = pleat_dim_known(count);
  return PLEAT_OK;
}

static pleat_status shape_run(const pleat_call *call) {
  const pleat_tensor *in = pleat_in(call, 0);
  int start = 0, count = 0;
  shape_range(call->node, in->rank, &start, &count);
  int64_t *values = pleat_out(call, 0)->data;
  for (int i = 0; i < count; i++) values[i] = in->dims[start + i];
  return PLEAT_OK;
}

static const pleat_kernel shape_reference = {.name = "reference", .run = shape_run};
const pleat_op_def pleat_op_Shape = {.name = "Shape",
                                     .domain = "",
                                     .flags = PLEAT_OP_SHAPE_ONLY,
                                     .versions = shape_versions,
                                     .attrs = shape_attrs,
                                     .infer = shape_infer,
                                     .kernels = (const pleat_kernel *const[]){&shape_reference, NULL}};

/* ---- Size ---- */

static const pleat_op_version size_versions[] = {
    {1, 1, 1, 1, 1, 0, 0},  {13, 1, 1, 1, 1, 0, 0}, {19, 1, 1, 1, 1, 0, 0}, {21, 1, 1, 1, 1, 0, 0},
    {23, 1, 1, 1, 1, 0, 0}, {24, 1, 1, 1, 1, 0, 0}, {25, 1, 1, 1, 1, 0, 0}, {0}};

static pleat_status size_infer(pleat_infer *ctx) {
  pleat_type *out = NULL;
  PLEAT_TRY(tensor_infer(ctx, &out));
  out->shape = pleat_shape_of_rank(0);
  return PLEAT_OK;
}

static pleat_status size_run(const pleat_call *call) {
  *(int64_t *)pleat_out(call, 0)->data = (int64_t)pleat_in(call, 0)->count;
  return PLEAT_OK;
}

static const pleat_kernel size_reference = {.name = "reference", .run = size_run};
const pleat_op_def pleat_op_Size = {.name = "Size",
                                    .domain = "",
                                    .flags = PLEAT_OP_SHAPE_ONLY,
                                    .versions = size_versions,
                                    .infer = size_infer,
                                    .kernels = (const pleat_kernel *const[]){&size_reference, NULL}};

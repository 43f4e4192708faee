/* Gather, GatherElements, GatherND: read elements that an index tensor names. Negative indices count from the end; one
 * that is out of range is an error, found before anything is copied from there. */
#include <inttypes.h>

#include "core/parallel.h"
#include "ops/movement.h"

/* ---- Gather ---- */

static const pleat_op_version gather_versions[] = {
    {1, 2, 2, 1, 1, 0, 0}, {11, 2, 2, 1, 1, 0, 0}, {13, 2, 2, 1, 1, 0, 0}, {0}};
static const pleat_op_attr axis_attrs[] = {{.name = "axis", .type = PLEAT_ATTR_INT}, {0}};

static pleat_status gather_infer(pleat_infer *ctx) {
  PLEAT_TRY(pleat_require_tensors(ctx));
  PLEAT_TRY(pleat_require_index_type(ctx, 1));
  const pleat_shape *data = &ctx->inputs[0].shape, *indices = &ctx->inputs[1].shape;
  pleat_shape *out = &ctx->outputs[0].shape;
  int axis = 0;
  ctx->outputs[0].dtype = ctx->inputs[0].dtype;
  if (data->rank < 0) return PLEAT_OK;
  PLEAT_TRY(pleat_attr_axis(ctx->node, "axis", data->rank, &axis, ctx->error));
  if (indices->rank < 0) return PLEAT_OK;
  pleat_shape shape = {.rank = 0};
  for (int d = 0; d < axis; d++) PLEAT_TRY(pleat_shape_push(&shape, data->dims[d], ctx->error));
  for (int d = 0; d < indices->rank; d++) PLEAT_TRY(pleat_shape_push(&shape, indices->dims[d], ctx->error));
  for (int d = axis + 1; d < data->rank; d++) PLEAT_TRY(pleat_shape_push(&shape, data->dims[d], ctx->error));
  *out = shape;
  return PLEAT_OK;
}

/* Blocks [first, end) of the output, `size` bytes each; `dim` of them in the data for `count` in the output. */
typedef struct gather_plan {
  size_t size;
  int64_t dim, count;
} gather_plan;

static void gather_blocks(const pleat_call *call, const void *plan, size_t first, size_t end) {
  const gather_plan *p = plan;
  const char *data = call->inputs[0]->data;
  char *out = call->outputs[0]->data;
  int64_t o = (int64_t)first / p->count, i = (int64_t)first % p->count;
  for (size_t at = first; at < end; at++) {
    int64_t index = pleat_index_at(call->inputs[1], (size_t)i);
    if (index < 0) index += p->dim;
    pleat_copy_block(out + at * p->size, data + (size_t)(o * p->dim + index) * p->size, p->size);
    if (++i < p->count) continue;
    i = 0;
    o++;
  }
}

static pleat_status gather_run(const pleat_call *call) {
  const pleat_tensor *data = pleat_in(call, 0), *indices = pleat_in(call, 1), *out = pleat_out(call, 0);
  int axis = 0;
  PLEAT_TRY(pleat_attr_axis(call->node, "axis", data->rank, &axis, call->error));
  PLEAT_TRY(pleat_check_indices(indices, data->dims[axis], call->error));
  if (out->count == 0) return PLEAT_OK;
  gather_plan plan = {.size = (size_t)pleat_volume(data->dims, axis + 1, data->rank) * pleat_dtype_size(data->dtype),
                      .dim = data->dims[axis],
                      .count = (int64_t)indices->count};
  pleat_call_share(call, pleat_bytes(out) >= PLEAT_PARALLEL_BYTES,
                   (size_t)pleat_volume(data->dims, 0, axis) * indices->count, gather_blocks, &plan);
  return PLEAT_OK;
}

static const pleat_kernel gather_reference = {.name = "reference", .run = gather_run};
/* Of each sample, what stands at the indices; or what each sample's indices pick from a table that all share. */
static const char *gather_apart(const pleat_infer *whole, const pleat_role *roles) {
  int axis = 0;
  if (roles[0] == PLEAT_ROLE_SAMPLES) return pleat_apart_axis(whole, roles);
  if (pleat_attr_axis(whole->node, "axis", whole->inputs[0].shape.rank, &axis, NULL) != PLEAT_OK || axis != 0 ||
      roles[0] != PLEAT_ROLE_SHARED || roles[1] != PLEAT_ROLE_SAMPLES)
    return "its indices may be of other samples";
  return NULL;
}

const pleat_op_def pleat_op_Gather = {.name = "Gather",
                                      .domain = "",
                                      .versions = gather_versions,
                                      .attrs = axis_attrs,
                                      .infer = gather_infer,
                                      .apart = gather_apart,
                                      .kernels = (const pleat_kernel *const[]){&gather_reference, NULL}};

/* ---- GatherElements ---- */

static const pleat_op_version elements_versions[] = {{11, 2, 2, 1, 1, 0, 0}, {13, 2, 2, 1, 1, 0, 0}, {0}};

static pleat_status elements_infer(pleat_infer *ctx) {
  PLEAT_TRY(pleat_require_tensors(ctx));
  PLEAT_TRY(pleat_require_index_type(ctx, 1));
  const pleat_shape *data = &ctx->inputs[0].shape, *indices = &ctx->inputs[1].shape;
  ctx->outputs[0].dtype = ctx->inputs[0].dtype;
  ctx->outputs[0].shape = *indices;
  if (data->rank < 0) return PLEAT_OK;
  int axis = 0;
  PLEAT_TRY(pleat_attr_axis(ctx->node, "axis", data->rank, &axis, ctx->error));
  return indices->rank < 0 ? PLEAT_OK : pleat_require_within(data, indices, axis, "indices", ctx->error);
}

static pleat_status elements_run(const pleat_call *call) {
  const pleat_tensor *data = pleat_in(call, 0), *indices = pleat_in(call, 1);
  pleat_tensor *out = pleat_out(call, 0);
  int axis = 0;
  PLEAT_TRY(pleat_attr_axis(call->node, "axis", data->rank, &axis, call->error));
  int64_t dim = data->dims[axis], strides[PLEAT_MAX_RANK], position[PLEAT_MAX_RANK] = {0}, offset = 0;
  PLEAT_TRY(pleat_check_indices(indices, dim, call->error));
  pleat_dense_strides(data->rank, data->dims, strides);
  int64_t along = strides[axis];
  strides[axis] = 0;
  size_t size = pleat_dtype_size(data->dtype);
  for (size_t i = 0; i < indices->count; i++) {
    int64_t index = pleat_index_at(indices, i);
    if (index < 0) index += dim;
    pleat_copy_block((char *)out->data + i * size, (const char *)data->data + (size_t)(offset + index * along) * size,
                     size);
    pleat_walk(out->rank, out->dims, strides, position, &offset);
  }
  return PLEAT_OK;
}

static const pleat_kernel elements_reference = {.name = "reference", .run = elements_run};
/* An element's place is the index's but along the axis: samples pick from their own, or from a table by its rows. */
static const char *elements_apart(const pleat_infer *whole, const pleat_role *roles) {
  int axis = 0;
  if (pleat_attr_axis(whole->node, "axis", whole->inputs[0].shape.rank, &axis, NULL) != PLEAT_OK) return "no axis";
  if (roles[0] == PLEAT_ROLE_SHARED && roles[1] == PLEAT_ROLE_SAMPLES && axis == 0) return NULL;
  if (roles[0] != PLEAT_ROLE_SAMPLES) return "its indices may be of other samples";
  return axis == 0 ? "it runs along the samples" : pleat_apart_each(whole, roles);
}

const pleat_op_def pleat_op_GatherElements = {.name = "GatherElements",
                                              .domain = "",
                                              .versions = elements_versions,
                                              .attrs = axis_attrs,
                                              .infer = elements_infer,
                                              .apart = elements_apart,
                                              .kernels = (const pleat_kernel *const[]){&elements_reference, NULL}};

/* ---- GatherND ---- */

static const pleat_op_version nd_versions[] = {
    {11, 2, 2, 1, 1, 0, 0}, {12, 2, 2, 1, 1, 0, 0}, {13, 2, 2, 1, 1, 0, 0}, {0}};
static const pleat_op_attr nd_attrs[] = {{.name = "batch_dims", .type = PLEAT_ATTR_INT, .since = 12}, {0}};

/* The leading dimensions that data and indices share, and how many indices a tuple has. */
static pleat_status nd_check(const pleat_infer *ctx, int *out_batch, int *out_width) {
  const pleat_shape *data = &ctx->inputs[0].shape, *indices = &ctx->inputs[1].shape;
  int64_t batch = pleat_attr_int(ctx->node, "batch_dims");
  if (data->rank == 0 || indices->rank == 0)
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "data and indices need at least one dimension");
  if (batch < 0 || batch >= data->rank || batch >= indices->rank)
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH,
                      "batch_dims %" PRId64 ": expected less than the ranks of data (%d) and indices (%d)", batch,
                      data->rank, indices->rank);
  for (int d = 0; d < batch; d++)
    if (pleat_dim_is_known(data->dims[d]) && pleat_dim_is_known(indices->dims[d]) &&
        data->dims[d].value != indices->dims[d].value)
      return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH,
                        "batch dimension %d is %" PRId64 " in data and %" PRId64 " in indices", d, data->dims[d].value,
                        indices->dims[d].value);
  pleat_dim width = indices->dims[indices->rank - 1];
  if (pleat_dim_is_known(width) && (width.value < 1 || width.value > data->rank - batch))
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH,
                      "the last dimension of indices is %" PRId64 ": expected 1 to %" PRId64, width.value,
                      data->rank - batch);
  *out_batch = (int)batch;
  *out_width = (int)width.value;
  return PLEAT_OK;
}

static pleat_status nd_infer(pleat_infer *ctx) {
  PLEAT_TRY(pleat_require_tensors(ctx));
  PLEAT_TRY(pleat_require_index_type(ctx, 1));
  const pleat_shape *data = &ctx->inputs[0].shape, *indices = &ctx->inputs[1].shape;
  int batch = 0, width = 0;
  ctx->outputs[0].dtype = ctx->inputs[0].dtype;
  if (data->rank < 0 || indices->rank < 0) return PLEAT_OK;
  PLEAT_TRY(nd_check(ctx, &batch, &width));
  if (width < 0) return PLEAT_OK;
  pleat_shape shape = {.rank = 0};
  for (int d = 0; d + 1 < indices->rank; d++) PLEAT_TRY(pleat_shape_push(&shape, indices->dims[d], ctx->error));
  for (int d = batch + width; d < data->rank; d++) PLEAT_TRY(pleat_shape_push(&shape, data->dims[d], ctx->error));
  ctx->outputs[0].shape = shape;
  return PLEAT_OK;
}

static pleat_status nd_run(const pleat_call *call) {
  const pleat_tensor *data = pleat_in(call, 0), *indices = pleat_in(call, 1);
  const pleat_tensor *out = pleat_out(call, 0);
  if (indices->count == 0) return PLEAT_OK;
  int batch = (int)pleat_attr_int(call->node, "batch_dims"), last = indices->rank - 1;
  int width = (int)indices->dims[last];
  int64_t strides[PLEAT_MAX_RANK];
  pleat_dense_strides(data->rank, data->dims, strides);
  int64_t tuples = pleat_volume(indices->dims, batch, last), span = pleat_volume(data->dims, batch, data->rank);
  size_t size = pleat_dtype_size(data->dtype);
  size_t block = (size_t)pleat_volume(data->dims, batch + width, data->rank) * size;
  size_t total = indices->count / (size_t)width;
  for (size_t i = 0; i < total; i++) {
    int64_t offset = 0;
    PLEAT_TRY(pleat_tuple_offset(indices, i, width, data->dims + batch, strides + batch, &offset, call->error));
    if (block == 0) continue;
    offset += (int64_t)i / tuples * span;
    pleat_copy_block((char *)out->data + i * block, (const char *)data->data + (size_t)offset * size, block);
  }
  return PLEAT_OK;
}

static const pleat_kernel nd_reference = {.name = "reference", .run = nd_run};
/* Tuples of one sample each, which pick from the same sample, or from a table that all share. */
static const char *nd_apart(const pleat_infer *whole, const pleat_role *roles) {
  const bool is_table = roles[0] == PLEAT_ROLE_SHARED && roles[1] == PLEAT_ROLE_SAMPLES;
  const bool has_batch = pleat_attr_int(whole->node, "batch_dims") > 0;
  if (is_table ? has_batch || whole->inputs[1].shape.rank < 2 : !has_batch)
    return "its indices may be of other samples";
  return is_table ? NULL : pleat_apart_each(whole, roles);
}

const pleat_op_def pleat_op_GatherND = {.name = "GatherND",
                                        .domain = "",
                                        .versions = nd_versions,
                                        .attrs = nd_attrs,
                                        .infer = nd_infer,
                                        .apart = nd_apart,
                                        .kernels = (const pleat_kernel *const[]){&nd_reference, NULL}};

/* ScatterElements (and its old name Scatter) and ScatterND: a copy of the data, with updates written to or combined
 * with the elements that an index tensor names. Updates are applied in their order, by one thread, so that indices
 * named twice give the same bits in every run. All indices are checked before the first element is changed. */
#include <inttypes.h>

#include "ops/movement.h"

typedef enum reduction { REDUCE_NONE, REDUCE_ADD, REDUCE_MUL, REDUCE_MAX, REDUCE_MIN, REDUCE_COUNT } reduction;

#define PLEAT_TEMPLATE "ops/scatter.inc"
#define PLEAT_TEMPLATE_FLOATS
#define PLEAT_TEMPLATE_SINTS
#define PLEAT_TEMPLATE_UINTS
#define PLEAT_TEMPLATE_BOOL
#include "ops/template.h"

#define COMBINED_TYPES (PLEAT_M_NUMBERS | PLEAT_M_BOOL | PLEAT_M_FLOAT8)

/* Half and 8-bit floats: each combination in double, rounded once. */
static void combine_small_floats(pleat_dtype dtype, reduction how, void *dst, const void *src, size_t count) {
  for (size_t i = 0; i < count; i++) {
    double value = pleat_load_f64(dtype, dst, i), update = pleat_load_f64(dtype, src, i);
    combine_f64(how, &value, &update, 1);
    pleat_store_f64(dtype, dst, i, value);
  }
}

static void combine(pleat_dtype dtype, reduction how, void *dst, const void *src, size_t count) {
  if (how == REDUCE_NONE) {
    pleat_copy_block(dst, src, count * pleat_dtype_size(dtype));
    return;
  }
  if (PLEAT_M(dtype) & (PLEAT_M_HALF | PLEAT_M_FLOAT8)) {
    combine_small_floats(dtype, how, dst, src, count);
    return;
  }
  PLEAT_SWITCH_NUMBERS_BOOL(dtype, , combine, (how, dst, src, count))
}

static pleat_status find_reduction(const pleat_node *node, pleat_dtype dtype, reduction *out_how, pleat_error *error) {
  static const char *const names[REDUCE_COUNT] = {"none", "add", "mul", "max", "min"};
  const char *name = pleat_attr_string(node, "reduction");
  *out_how = REDUCE_NONE;
  if (*name == '\0') return PLEAT_OK; /* versions without the attribute */
  for (int i = 0; i < REDUCE_COUNT; i++) {
    if (strcmp(name, names[i]) != 0) continue;
    *out_how = (reduction)i;
    if (i == REDUCE_NONE || dtype == PLEAT_UNDEFINED || (COMBINED_TYPES & PLEAT_M(dtype))) return PLEAT_OK;
    return pleat_fail(error, PLEAT_UNSUPPORTED, "reduction '%s' is not done for %s", name, pleat_dtype_name(dtype));
  }
  return pleat_fail(error, PLEAT_MALFORMED_MODEL, "reduction '%s': expected none, add, mul, max or min", name);
}

static pleat_status infer_common(pleat_infer *ctx) {
  reduction how;
  PLEAT_TRY(pleat_require_tensors(ctx));
  PLEAT_TRY(pleat_require_index_type(ctx, 1));
  PLEAT_TRY(pleat_require_same_type(ctx, 0, 2));
  ctx->outputs[0].dtype = ctx->inputs[0].dtype;
  ctx->outputs[0].shape = ctx->inputs[0].shape;
  return find_reduction(ctx->node, ctx->inputs[0].dtype, &how, ctx->error);
}

/* ---- ScatterElements ---- */

static const pleat_op_version elements_versions[] = {
    {11, 3, 3, 1, 1, 0, 0}, {13, 3, 3, 1, 1, 0, 0}, {16, 3, 3, 1, 1, 0, 0}, {18, 3, 3, 1, 1, 0, 0}, {0}};
static const pleat_op_attr elements_attrs[] = {
    {.name = "axis", .type = PLEAT_ATTR_INT},
    {.name = "reduction", .type = PLEAT_ATTR_STRING, .since = 16, .s = "none"},
    {0}};

static pleat_status elements_infer(pleat_infer *ctx) {
  PLEAT_TRY(infer_common(ctx));
  const pleat_shape *data = &ctx->inputs[0].shape, *indices = &ctx->inputs[1].shape, *updates = &ctx->inputs[2].shape;
  pleat_shape merged;
  int axis = 0;
  if (!pleat_shape_merge(indices, updates, &merged)) {
    char a[160], b[160];
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "indices of shape %s, but updates of %s",
                      pleat_shape_text(indices, a, sizeof a), pleat_shape_text(updates, b, sizeof b));
  }
  if (data->rank < 0) return PLEAT_OK;
  PLEAT_TRY(pleat_attr_axis(ctx->node, "axis", data->rank, &axis, ctx->error));
  return merged.rank < 0 ? PLEAT_OK : pleat_require_within(data, &merged, axis, "indices", ctx->error);
}

static pleat_status elements_run(const pleat_call *call) {
  const pleat_tensor *indices = pleat_in(call, 1), *updates = pleat_in(call, 2);
  pleat_tensor *out = pleat_out(call, 0);
  int axis = 0;
  reduction how;
  PLEAT_TRY(pleat_attr_axis(call->node, "axis", out->rank, &axis, call->error));
  PLEAT_TRY(find_reduction(call->node, out->dtype, &how, call->error));
  int64_t dim = out->dims[axis], strides[PLEAT_MAX_RANK], position[PLEAT_MAX_RANK] = {0}, offset = 0;
  PLEAT_TRY(pleat_check_indices(indices, dim, call->error));
  PLEAT_TRY(pleat_copy_run(call));
  pleat_dense_strides(out->rank, out->dims, strides);
  int64_t along = strides[axis];
  strides[axis] = 0;
  size_t size = pleat_dtype_size(out->dtype);
  for (size_t i = 0; i < indices->count; i++) {
    int64_t index = pleat_index_at(indices, i);
    if (index < 0) index += dim;
    combine(out->dtype, how, (char *)out->data + (size_t)(offset + index * along) * size,
            (const char *)updates->data + i * size, 1);
    pleat_walk(indices->rank, indices->dims, strides, position, &offset);
  }
  return PLEAT_OK;
}

static const pleat_kernel elements_reference = {.name = "reference", .inplace = 1, .run = elements_run};
static const pleat_kernel *const elements_kernels[] = {&elements_reference, NULL};
static const char *elements_apart(const pleat_infer *whole, const pleat_role *roles) {
  int axis = 0;
  if (pleat_attr_axis(whole->node, "axis", whole->inputs[0].shape.rank, &axis, NULL) != PLEAT_OK || axis == 0)
    return "it runs along the samples";
  return pleat_apart_each(whole, roles);
}

const pleat_op_def pleat_op_ScatterElements = {.name = "ScatterElements",
                                               .domain = "",
                                               .versions = elements_versions,
                                               .attrs = elements_attrs,
                                               .infer = elements_infer,
                                               .apart = elements_apart,
                                               .kernels = elements_kernels};

static const pleat_op_version scatter_versions[] = {{9, 3, 3, 1, 1, 0, 0}, {11, 3, 3, 1, 1, 0, 0}, {0}};
static const pleat_op_attr scatter_attrs[] = {{.name = "axis", .type = PLEAT_ATTR_INT}, {0}};
const pleat_op_def pleat_op_Scatter = {.name = "Scatter",
                                       .domain = "",
                                       .versions = scatter_versions,
                                       .attrs = scatter_attrs,
                                       .infer = elements_infer,
                                       .apart = elements_apart,
                                       .kernels = elements_kernels};

/* ---- ScatterND ---- */

static const pleat_op_version nd_versions[] = {
    {11, 3, 3, 1, 1, 0, 0}, {13, 3, 3, 1, 1, 0, 0}, {16, 3, 3, 1, 1, 0, 0}, {18, 3, 3, 1, 1, 0, 0}, {0}};
static const pleat_op_attr nd_attrs[] = {{.name = "reduction", .type = PLEAT_ATTR_STRING, .since = 16, .s = "none"},
                                         {0}};

/* updates: indices' dimensions but the last, then those of data that a tuple does not name. */
static pleat_status nd_check(const pleat_infer *ctx, const pleat_shape *data, const pleat_shape *indices) {
  pleat_dim width = indices->dims[indices->rank - 1];
  if (!pleat_dim_is_known(width)) return PLEAT_OK;
  if (width.value < 1 || width.value > data->rank)
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH,
                      "the last dimension of indices is %" PRId64 ": expected 1 to %d", width.value, data->rank);
  pleat_shape expected = {.rank = 0}, merged;
  for (int d = 0; d + 1 < indices->rank; d++) PLEAT_TRY(pleat_shape_push(&expected, indices->dims[d], ctx->error));
  for (int d = (int)width.value; d < data->rank; d++) PLEAT_TRY(pleat_shape_push(&expected, data->dims[d], ctx->error));
  if (pleat_shape_merge(&expected, &ctx->inputs[2].shape, &merged)) return PLEAT_OK;
  char a[160], b[160];
  return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "updates: expected shape %s, found %s",
                    pleat_shape_text(&expected, a, sizeof a), pleat_shape_text(&ctx->inputs[2].shape, b, sizeof b));
}

static pleat_status nd_infer(pleat_infer *ctx) {
  PLEAT_TRY(infer_common(ctx));
  const pleat_shape *data = &ctx->inputs[0].shape, *indices = &ctx->inputs[1].shape;
  if (data->rank == 0 || indices->rank == 0)
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "data and indices need at least one dimension");
  return data->rank < 0 || indices->rank < 0 ? PLEAT_OK : nd_check(ctx, data, indices);
}

static pleat_status nd_run(const pleat_call *call) {
  const pleat_tensor *indices = pleat_in(call, 1), *updates = pleat_in(call, 2);
  pleat_tensor *out = pleat_out(call, 0);
  reduction how;
  PLEAT_TRY(find_reduction(call->node, out->dtype, &how, call->error));
  if (indices->count == 0) return pleat_copy_run(call);
  int width = (int)indices->dims[indices->rank - 1];
  int64_t strides[PLEAT_MAX_RANK], offset = 0;
  pleat_dense_strides(out->rank, out->dims, strides);
  size_t tuples = indices->count / (size_t)width, size = pleat_dtype_size(out->dtype);
  size_t block = (size_t)pleat_volume(out->dims, width, out->rank);
  for (size_t i = 0; i < tuples; i++)
    PLEAT_TRY(pleat_tuple_offset(indices, i, width, out->dims, strides, &offset, call->error));
  PLEAT_TRY(pleat_copy_run(call));
  for (size_t i = 0; i < tuples && block > 0; i++) {
    PLEAT_TRY(pleat_tuple_offset(indices, i, width, out->dims, strides, &offset, call->error));
    combine(out->dtype, how, (char *)out->data + (size_t)offset * size, (const char *)updates->data + i * block * size,
            block);
  }
  return PLEAT_OK;
}

static const pleat_kernel nd_reference = {.name = "reference", .inplace = 1, .run = nd_run};
const pleat_op_def pleat_op_ScatterND = {.name = "ScatterND",
                                         .domain = "",
                                         .versions = nd_versions,
                                         .attrs = nd_attrs,
                                         .infer = nd_infer,
                                         .kernels = (const pleat_kernel *const[]){&nd_reference, NULL}};

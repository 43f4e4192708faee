/* Shared parts of the data-movement and shape operators: lists of integers, axes, indices, filling; see movement.h.
 *
 * Invariants: nothing that comes from a model is used before it was checked (types, counts, ranges, axes named twice),
 * and what an input's data does not tell yet (NULL) is "not known", never an error. Every index is checked before the
 * first element is copied, so that a refused call writes nothing. */
#include "ops/movement.h"

#include <inttypes.h>

#include "ops/layout.h"

/* ---- integer lists ---- */

pleat_status pleat_ints_read(const pleat_tensor *tensor, const char *what, int max, pleat_ints *out_ints,
                             pleat_error *error) {
  out_ints->count = -1;
  if (tensor == NULL) return PLEAT_OK;
  if (tensor->dtype != PLEAT_INT64 && tensor->dtype != PLEAT_INT32)
    return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "%s: expected int64 or int32 values, found %s", what,
                      pleat_dtype_name(tensor->dtype));
  if (tensor->rank > 1)
    return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "%s: expected one dimension, found %d", what, tensor->rank);
  if (tensor->count > (size_t)max)
    return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "%s: expected at most %d values, found %zu", what, max,
                      tensor->count);
  if (tensor->count > 0 && tensor->data == NULL) return PLEAT_OK;
  out_ints->count = (int)tensor->count;
  for (size_t i = 0; i < tensor->count; i++) out_ints->values[i] = pleat_index_at(tensor, i);
  return PLEAT_OK;
}

pleat_status pleat_ints_attr(const pleat_node *node, const char *name, int max, pleat_ints *out_ints,
                             pleat_error *error) {
  out_ints->count = -1;
  if (!pleat_attr_present(node, name)) return PLEAT_OK;
  const int64_t *values = NULL;
  size_t count = pleat_attr_ints(node, name, &values);
  if (count > (size_t)max)
    return pleat_fail(error, PLEAT_MALFORMED_MODEL, "attribute '%s': expected at most %d values, found %zu", name, max,
                      count);
  out_ints->count = (int)count;
  for (size_t i = 0; i < count; i++) out_ints->values[i] = values[i];
  return PLEAT_OK;
}

int64_t pleat_ints_length(const pleat_type *type) {
  return type->shape.rank == 1 ? type->shape.dims[0].value : -1;
}

pleat_status pleat_ints_to_axes(pleat_ints *axes, int rank, pleat_error *error) {
  uint64_t seen = 0;
  for (int i = 0; i < axes->count; i++) {
    int axis = 0;
    PLEAT_TRY(pleat_check_axis(axes->values[i], rank, &axis, error));
    if (seen >> axis & 1) return pleat_fail(error, PLEAT_MALFORMED_MODEL, "axis %d is named twice", axis);
    seen |= UINT64_C(1) << axis;
    axes->values[i] = axis;
  }
  return PLEAT_OK;
}

pleat_status pleat_scalar_i64(const pleat_tensor *tensor, const char *what, bool *out_known, int64_t *out_value,
                              pleat_error *error) {
  *out_known = false;
  *out_value = 0;
  if (tensor == NULL) return PLEAT_OK;
  if (tensor->count != 1 || tensor->dtype == PLEAT_STRING)
    return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "%s: expected one number, found %zu elements of type %s", what,
                      tensor->count, pleat_dtype_name(tensor->dtype));
  if (tensor->data == NULL) return PLEAT_OK;
  *out_known = true;
  *out_value = pleat_load_i64(tensor->dtype, tensor->data, 0);
  return PLEAT_OK;
}

/* ---- inference ---- */

pleat_status pleat_require_tensors(const pleat_infer *ctx) {
  for (size_t i = 0; i < ctx->input_count; i++)
    if (ctx->inputs[i].present && ctx->inputs[i].kind != PLEAT_KIND_TENSOR)
      return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "input %zu: expected a tensor, found a sequence or optional",
                        i);
  return PLEAT_OK;
}

pleat_status pleat_require_index_type(const pleat_infer *ctx, size_t i) {
  if (!pleat_infer_has(ctx, i)) return PLEAT_OK;
  pleat_dtype dtype = ctx->inputs[i].dtype;
  if (dtype == PLEAT_UNDEFINED || dtype == PLEAT_INT64 || dtype == PLEAT_INT32) return PLEAT_OK;
  return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "input %zu: expected int64 or int32 indices, found %s", i,
                    pleat_dtype_name(dtype));
}

pleat_status pleat_require_same_type(const pleat_infer *ctx, size_t i, size_t j) {
  if (!pleat_infer_has(ctx, i) || !pleat_infer_has(ctx, j)) return PLEAT_OK;
  pleat_dtype a = ctx->inputs[i].dtype, b = ctx->inputs[j].dtype;
  if (a == b || a == PLEAT_UNDEFINED || b == PLEAT_UNDEFINED) return PLEAT_OK;
  return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "input %zu: expected %s like input %zu, found %s", j,
                    pleat_dtype_name(a), i, pleat_dtype_name(b));
}

pleat_status pleat_shape_push(pleat_shape *shape, pleat_dim dim, pleat_error *error) {
  if (shape->rank >= PLEAT_MAX_RANK)
    return pleat_fail(error, PLEAT_UNSUPPORTED, "the output would have more than %d dimensions", PLEAT_MAX_RANK);
  shape->dims[shape->rank++] = dim;
  return PLEAT_OK;
}

pleat_status pleat_require_within(const pleat_shape *whole, const pleat_shape *part, int axis, const char *what,
                                  pleat_error *error) {
  if (part->rank != whole->rank)
    return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "%s: expected %d dimensions like data, found %d", what, whole->rank,
                      part->rank);
  for (int d = 0; d < whole->rank; d++)
    if (d != axis && pleat_dim_is_known(whole->dims[d]) && part->dims[d].value > whole->dims[d].value)
      return pleat_fail(error, PLEAT_SHAPE_MISMATCH,
                        "%s: dimension %d is %" PRId64 ": expected at most %" PRId64 ", as data has", what, d,
                        part->dims[d].value, whole->dims[d].value);
  return PLEAT_OK;
}

bool pleat_dim_merge(pleat_dim *dim, pleat_dim other) {
  if (pleat_dim_is_known(*dim) && pleat_dim_is_known(other)) return dim->value == other.value;
  if (pleat_dim_is_known(other) || (!pleat_dim_is_known(*dim) && dim->symbol == NULL)) *dim = other;
  return true;
}

/* ---- kernels ---- */

pleat_status pleat_copy_run(const pleat_call *call) {
  const pleat_tensor *in = pleat_in(call, 0);
  pleat_tensor *out = pleat_out(call, 0);
  if (out == NULL || out->count == 0 || out->data == in->data) return PLEAT_OK;
  memcpy(out->data, in->data, pleat_layout_bytes(out));
  return PLEAT_OK;
}

const pleat_kernel pleat_view_kernel = {
    .name = "reference", .flags = PLEAT_KERNEL_VIEW, .inplace = 1, .run = pleat_copy_run};

void pleat_fill(size_t element_size, void *dst, size_t count, const void *value, int threads) {
  static const char zeros[16];
  if (count == 0) return;
  if (memcmp(value, zeros, element_size) == 0) {
    memset(dst, 0, count * element_size);
    return;
  }
  int64_t dims = (int64_t)count, dst_stride = 1, src_stride = 0;
  pleat_copy_strided(element_size, 1, &dims, dst, &dst_stride, value, &src_stride, threads);
}

void pleat_zero_element(pleat_dtype dtype, void *out_value) {
  memset(out_value, 0, 16);
  if (dtype == PLEAT_STRING) memcpy(out_value, &(pleat_string){.data = "", .size = 0}, sizeof(pleat_string));
}

static pleat_status bad_index(int64_t index, int64_t limit, pleat_error *error) {
  if (limit == 0)
    return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "index %" PRId64 ": the indexed dimension is empty", index);
  return pleat_fail(error, PLEAT_INVALID_ARGUMENT,
                    "index %" PRId64 " is out of range: expected %" PRId64 " to %" PRId64, index, -limit, limit - 1);
}

pleat_status pleat_check_indices(const pleat_tensor *indices, int64_t limit, pleat_error *error) {
  for (size_t i = 0; i < indices->count; i++) {
    int64_t index = pleat_index_at(indices, i);
    if (index < -limit || index >= limit) return bad_index(index, limit, error);
  }
  return PLEAT_OK;
}

pleat_status pleat_tuple_offset(const pleat_tensor *indices, size_t tuple, int width, const int64_t *dims,
                                const int64_t *strides, int64_t *out_offset, pleat_error *error) {
  *out_offset = 0;
  for (int d = 0; d < width; d++) {
    int64_t index = pleat_index_at(indices, tuple * (size_t)width + (size_t)d);
    if (index < -dims[d] || index >= dims[d]) return bad_index(index, dims[d], error);
    *out_offset += (index < 0 ? index + dims[d] : index) * strides[d];
  }
  return PLEAT_OK;
}

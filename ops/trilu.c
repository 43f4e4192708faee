/* Trilu and EyeLike: triangles of matrices, and matrices with a diagonal of ones.
 *
 * Trilu copies (or keeps, in place) and clears what lies on the other side of diagonal k, a row at a time. k is any
 * int64: sums with a row's number are checked, and one that overflows means a diagonal beyond the matrix.
 * Source: the operators' texts (NumPy's triu, tril and eye). */
#include <inttypes.h>

#include "ops/movement.h"

/* ---- Trilu ---- */

static const pleat_op_version trilu_versions[] = {{14, 1, 2, 1, 1, 0, 0}, {0}};
static const pleat_op_attr trilu_attrs[] = {{.name = "upper", .type = PLEAT_ATTR_INT, .i = 1}, {0}};

static pleat_status trilu_infer(pleat_infer *ctx) {
  PLEAT_TRY(pleat_require_tensors(ctx));
  PLEAT_TRY(pleat_infer_same(ctx));
  bool known = false;
  int64_t k = 0;
  if (pleat_infer_has(ctx, 1)) PLEAT_TRY(pleat_scalar_i64(ctx->inputs[1].data, "k", &known, &k, ctx->error));
  int rank = ctx->inputs[0].shape.rank;
  if (rank >= 0 && rank < 2)
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "expected matrices (2 dimensions or more), found %d", rank);
  return PLEAT_OK;
}

/* How many leading columns of a row lie before diagonal `k`: those with column < row + k. */
static int64_t columns_before(int64_t row, int64_t k, int64_t columns) {
  int64_t edge = 0;
  if (!pleat_add_i64(row, k, &edge)) return columns;
  return edge < 0 ? 0 : edge > columns ? columns : edge;
}

static pleat_status trilu_run(const pleat_call *call) {
  const pleat_tensor *shift = pleat_in(call, 1);
  pleat_tensor *out = pleat_out(call, 0);
  bool known = false, upper = pleat_attr_int(call->node, "upper") != 0;
  int64_t k = 0;
  PLEAT_TRY(pleat_scalar_i64(shift, "k", &known, &k, call->error));
  PLEAT_TRY(pleat_copy_run(call));
  if (out->count == 0) return PLEAT_OK;
  union {
    char bytes[16];
    pleat_string string;
  } zero;
  pleat_zero_element(out->dtype, &zero);
  /* The lower triangle keeps diagonal k, so what it clears starts one behind it. */
  if (!upper && !pleat_add_i64(k, 1, &k)) return PLEAT_OK;
  int64_t rows = out->dims[out->rank - 2], columns = out->dims[out->rank - 1];
  size_t size = pleat_dtype_size(out->dtype);
  char *line = out->data;
  for (int64_t i = 0; i < pleat_volume(out->dims, 0, out->rank - 1); i++, line += (size_t)columns * size) {
    int64_t cut = columns_before(i % rows, k, columns);
    if (upper) pleat_fill(size, line, (size_t)cut, &zero, 1);
    else pleat_fill(size, line + (size_t)cut * size, (size_t)(columns - cut), &zero, 1);
  }
  return PLEAT_OK;
}

static const pleat_kernel trilu_reference = {.name = "reference", .inplace = 1, .run = trilu_run};
static const char *trilu_apart(const pleat_infer *whole, const pleat_role *roles) {
  return whole->inputs[0].shape.rank > 2 ? pleat_apart_first(whole, roles) : "its rows lie along the samples";
}

const pleat_op_def pleat_op_Trilu = {.name = "Trilu",
                                     .domain = "",
                                     .versions = trilu_versions,
                                     .attrs = trilu_attrs,
                                     .infer = trilu_infer,
                                     .apart = trilu_apart,
                                     .kernels = (const pleat_kernel *const[]){&trilu_reference, NULL}};

/* ---- EyeLike ---- */

#define EYE_TYPES (PLEAT_M_NUMBERS | PLEAT_M_BOOL)
static const pleat_op_version eye_versions[] = {{9, 1, 1, 1, 1, EYE_TYPES, 0}, {22, 1, 1, 1, 1, EYE_TYPES, 0}, {0}};
static const pleat_op_attr eye_attrs[] = {
    {.name = "dtype", .type = PLEAT_ATTR_INT}, {.name = "k", .type = PLEAT_ATTR_INT}, {0}};

static pleat_status eye_infer(pleat_infer *ctx) {
  PLEAT_TRY(pleat_require_tensors(ctx));
  const pleat_type *in = &ctx->inputs[0];
  pleat_type *out = &ctx->outputs[0];
  int64_t dtype = pleat_attr_int(ctx->node, "dtype");
  if (pleat_attr_present(ctx->node, "dtype") &&
      (!pleat_dtype_is_valid(dtype) || !(EYE_TYPES & PLEAT_M((unsigned)dtype))))
    return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "dtype %" PRId64 ": expected a number type or bool", dtype);
  if (in->shape.rank >= 0 && in->shape.rank != 2)
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "expected a matrix, found %d dimensions", in->shape.rank);
  out->dtype = pleat_attr_present(ctx->node, "dtype") ? (pleat_dtype)dtype : in->dtype;
  out->shape = in->shape.rank == 2 ? in->shape : pleat_shape_of_rank(2);
  return PLEAT_OK;
}

static pleat_status eye_run(const pleat_call *call) {
  pleat_tensor *out = pleat_out(call, 0);
  if (out->count == 0) return PLEAT_OK;
  memset(out->data, 0, pleat_bytes(out));
  int64_t k = pleat_attr_int(call->node, "k");
  for (int64_t row = 0; row < out->dims[0]; row++) {
    int64_t column = 0;
    if (!pleat_add_i64(row, k, &column) || column < 0 || column >= out->dims[1]) continue;
    pleat_store_f64(out->dtype, out->data, (size_t)(row * out->dims[1] + column), 1.0);
  }
  return PLEAT_OK;
}

static const pleat_kernel eye_reference = {.name = "reference", .run = eye_run};
const pleat_op_def pleat_op_EyeLike = {.name = "EyeLike",
                                       .domain = "",
                                       .flags = PLEAT_OP_SHAPE_ONLY,
                                       .versions = eye_versions,
                                       .attrs = eye_attrs,
                                       .infer = eye_infer,
                                       .kernels = (const pleat_kernel *const[]){&eye_reference, NULL}};

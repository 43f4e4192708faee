/* Reshape, Flatten, Squeeze, Unsqueeze: the same elements under another shape. All are views.
 *
 * All the work is inference, with symbols: copied (0) and free (-1) dimensions of Reshape are solved by dividing
 * products; dimensions copied by 0 cancel out, so the free one can often be told even with symbols around. Products
 * are checked; a shape that cannot hold the elements is an error that names both shapes.
 * Source: the operators' texts; shape and axes are an attribute before opset 5 or 13 and an input since. */
#include <inttypes.h>

#include "ops/movement.h"

enum { FROM_INPUT = 1u << 0 /* shape or axes are input 1, not an attribute */ };

static const pleat_kernel *const kernels[] = {&pleat_view_kernel, NULL};

static pleat_status read_list(const pleat_infer *ctx, const char *name, pleat_ints *out) {
  if (!(ctx->version->flags & FROM_INPUT)) return pleat_ints_attr(ctx->node, name, PLEAT_MAX_RANK, out, ctx->error);
  return pleat_ints_read(pleat_infer_has(ctx, 1) ? ctx->inputs[1].data : NULL, name, PLEAT_MAX_RANK, out, ctx->error);
}

/* The number of axes or dimensions that input 1 lists, though their values are not known; -1 when that is not known. */
static pleat_status listed_length(const pleat_infer *ctx, int *out_length) {
  int64_t length = pleat_infer_has(ctx, 1) ? pleat_ints_length(&ctx->inputs[1]) : -1;
  if (length > PLEAT_MAX_RANK)
    return pleat_fail(ctx->error, PLEAT_UNSUPPORTED, "%" PRId64 " dimensions: at most %d are supported", length,
                      PLEAT_MAX_RANK);
  *out_length = (int)length;
  return PLEAT_OK;
}

/* ---- Reshape ---- */

static const pleat_op_version reshape_versions[] = {{1, 1, 1, 1, 1, 0, 0},           {5, 2, 2, 1, 1, 0, FROM_INPUT},
                                                    {13, 2, 2, 1, 1, 0, FROM_INPUT}, {14, 2, 2, 1, 1, 0, FROM_INPUT},
                                                    {19, 2, 2, 1, 1, 0, FROM_INPUT}, {21, 2, 2, 1, 1, 0, FROM_INPUT},
                                                    {23, 2, 2, 1, 1, 0, FROM_INPUT}, {24, 2, 2, 1, 1, 0, FROM_INPUT},
                                                    {25, 2, 2, 1, 1, 0, FROM_INPUT}, {0}};
static const pleat_op_attr reshape_attrs[] = {{.name = "shape", .type = PLEAT_ATTR_INTS, .until = 4},
                                              {.name = "consumed_inputs", .type = PLEAT_ATTR_INTS, .until = 4},
                                              {.name = "allowzero", .type = PLEAT_ATTR_INT, .since = 14},
                                              {0}};

/* The output's dimensions as far as the list tells; where the -1 is, and which input dimensions a 0 copied. */
static pleat_status copy_wanted(const pleat_infer *ctx, const pleat_ints *want, pleat_shape *out, int *out_free,
                                uint32_t *out_copied) {
  const pleat_shape *in = &ctx->inputs[0].shape;
  bool allow_zero = pleat_attr_int(ctx->node, "allowzero") != 0, zero = false;
  *out = pleat_shape_of_rank(want->count);
  for (int i = 0; i < want->count; i++) {
    int64_t value = want->values[i];
    if (value < -1)
      return pleat_fail(ctx->error, PLEAT_INVALID_ARGUMENT, "shape: dimension %" PRId64 " is negative", value);
    if (value == -1 && *out_free >= 0)
      return pleat_fail(ctx->error, PLEAT_INVALID_ARGUMENT, "shape: more than one dimension is -1");
    if (value == -1) *out_free = i;
    zero = zero || value == 0;
    if (value > 0 || (value == 0 && allow_zero)) out->dims[i] = pleat_dim_known(value);
    if (value != 0 || allow_zero || in->rank < 0) continue;
    if (i >= in->rank)
      return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH,
                        "shape: dimension %d is 0 (copy it), the input has only %d dimensions", i, in->rank);
    out->dims[i] = in->dims[i];
    *out_copied |= 1u << i;
  }
  if (allow_zero && zero && *out_free >= 0)
    return pleat_fail(ctx->error, PLEAT_INVALID_ARGUMENT, "shape: -1 and 0 cannot both be there with allowzero = 1");
  return PLEAT_OK;
}

/* Multiplies the dimensions that are not `skipped`. Unknown ones are counted, and the last is noted. */
static pleat_status multiply(const pleat_shape *shape, uint32_t skipped, int64_t *out_product, int *out_unknown,
                             int *out_last, pleat_error *error) {
  *out_product = 1;
  *out_unknown = 0;
  for (int d = 0; d < shape->rank; d++) {
    if (skipped >> d & 1) continue;
    if (!pleat_dim_is_known(shape->dims[d])) {
      ++*out_unknown;
      *out_last = d;
    } else if (!pleat_mul_i64(*out_product, shape->dims[d].value, out_product)) {
      return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "the number of elements overflows");
    }
  }
  return PLEAT_OK;
}

static pleat_status does_not_fit(const pleat_infer *ctx, const pleat_shape *out) {
  char from[160], to[160];
  return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "an input of shape %s cannot become %s",
                    pleat_shape_text(&ctx->inputs[0].shape, from, sizeof from), pleat_shape_text(out, to, sizeof to));
}

/* Dimensions that a 0 copied cancel out, so that the -1 can often be told even with symbols around. */
static pleat_status solve(const pleat_infer *ctx, int free_dim, uint32_t copied, pleat_shape *out) {
  const pleat_shape *in = &ctx->inputs[0].shape;
  int64_t have = 0, need = 0;
  int in_unknown = 0, out_unknown = 0, symbol = 0, unused = 0;
  uint32_t skipped = free_dim >= 0 ? copied | 1u << free_dim : copied;
  PLEAT_TRY(multiply(in, copied, &have, &in_unknown, &symbol, ctx->error));
  PLEAT_TRY(multiply(out, skipped, &need, &out_unknown, &unused, ctx->error));
  if (free_dim < 0) {
    bool empty = false; /* or perhaps so: an unknown dimension may turn out to be 0 */
    for (int d = 0; d < out->rank; d++) empty = empty || (copied >> d & 1 && out->dims[d].value <= 0);
    return in_unknown > 0 || have == need || empty ? PLEAT_OK : does_not_fit(ctx, out);
  }
  if (in_unknown == 0 && need == 0 && have == 0) out->dims[free_dim] = pleat_dim_known(0);
  else if (in_unknown == 0 && (need == 0 || have % need != 0)) return does_not_fit(ctx, out);
  else if (in_unknown == 0) out->dims[free_dim] = pleat_dim_known(have / need);
  else if (in_unknown == 1 && have == need && have > 0) out->dims[free_dim] = in->dims[symbol];
  return PLEAT_OK;
}

static pleat_status reshape_infer(pleat_infer *ctx) {
  PLEAT_TRY(pleat_require_tensors(ctx));
  pleat_type *out = &ctx->outputs[0];
  out->dtype = ctx->inputs[0].dtype;
  pleat_ints want;
  PLEAT_TRY(read_list(ctx, "shape", &want));
  if (want.count < 0) {
    int length = -1;
    PLEAT_TRY(listed_length(ctx, &length));
    if (length >= 0) out->shape = pleat_shape_of_rank(length);
    return PLEAT_OK;
  }
  int free_dim = -1;
  uint32_t copied = 0;
  PLEAT_TRY(copy_wanted(ctx, &want, &out->shape, &free_dim, &copied));
  return ctx->inputs[0].shape.rank < 0 ? PLEAT_OK : solve(ctx, free_dim, copied, &out->shape);
}

const pleat_op_def pleat_op_Reshape = {.name = "Reshape",
                                       .domain = "",
                                       .versions = reshape_versions,
                                       .attrs = reshape_attrs,
                                       .infer = reshape_infer,
                                       .apart = pleat_apart_reshaped,
                                       .kernels = kernels};

/* ---- Flatten ---- */

static const pleat_op_version flatten_versions[] = {
    {1, 1, 1, 1, 1, 0, 0},  {9, 1, 1, 1, 1, 0, 0},  {11, 1, 1, 1, 1, 0, 0},
    {13, 1, 1, 1, 1, 0, 0}, {21, 1, 1, 1, 1, 0, 0}, {23, 1, 1, 1, 1, 0, 0},
    {24, 1, 1, 1, 1, 0, 0}, {25, 1, 1, 1, 1, 0, 0}, {0}};
static const pleat_op_attr flatten_attrs[] = {{.name = "axis", .type = PLEAT_ATTR_INT, .i = 1}, {0}};

static pleat_status flatten_infer(pleat_infer *ctx) {
  PLEAT_TRY(pleat_require_tensors(ctx));
  const pleat_shape *in = &ctx->inputs[0].shape;
  pleat_type *out = &ctx->outputs[0];
  out->dtype = ctx->inputs[0].dtype;
  out->shape = pleat_shape_of_rank(2);
  if (in->rank < 0) return PLEAT_OK;
  int64_t axis = pleat_attr_int(ctx->node, "axis");
  if (axis < -(int64_t)in->rank || axis > in->rank)
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "axis %" PRId64 " is out of range: expected %d to %d", axis,
                      -in->rank, in->rank);
  int cut = (int)(axis < 0 ? axis + in->rank : axis);
  out->shape.dims[0] = pleat_shape_product(in, 0, cut);
  out->shape.dims[1] = pleat_shape_product(in, cut, in->rank);
  return PLEAT_OK;
}

const pleat_op_def pleat_op_Flatten = {.name = "Flatten",
                                       .domain = "",
                                       .versions = flatten_versions,
                                       .attrs = flatten_attrs,
                                       .infer = flatten_infer,
                                       .apart = pleat_apart_reshaped,
                                       .kernels = kernels};

/* ---- Squeeze ---- */

static const pleat_op_version squeeze_versions[] = {{1, 1, 1, 1, 1, 0, 0},           {11, 1, 1, 1, 1, 0, 0},
                                                    {13, 1, 2, 1, 1, 0, FROM_INPUT}, {21, 1, 2, 1, 1, 0, FROM_INPUT},
                                                    {23, 1, 2, 1, 1, 0, FROM_INPUT}, {24, 1, 2, 1, 1, 0, FROM_INPUT},
                                                    {25, 1, 2, 1, 1, 0, FROM_INPUT}, {0}};
static const pleat_op_attr axes_attrs[] = {{.name = "axes", .type = PLEAT_ATTR_INTS, .until = 12}, {0}};

/* Without axes, all dimensions of 1 go: the rank is known when all dimensions are. */
static void squeeze_all(const pleat_shape *in, pleat_shape *out) {
  *out = pleat_shape_unknown();
  if (!pleat_shape_is_known(in)) return;
  out->rank = 0;
  for (int d = 0; d < in->rank; d++)
    if (in->dims[d].value != 1) out->dims[out->rank++] = in->dims[d];
}

static pleat_status squeeze_infer(pleat_infer *ctx) {
  PLEAT_TRY(pleat_require_tensors(ctx));
  const pleat_shape *in = &ctx->inputs[0].shape;
  pleat_type *out = &ctx->outputs[0];
  out->dtype = ctx->inputs[0].dtype;
  if (in->rank < 0) return PLEAT_OK;
  pleat_ints axes;
  PLEAT_TRY(read_list(ctx, "axes", &axes));
  PLEAT_TRY(pleat_ints_to_axes(&axes, in->rank, ctx->error));
  if (axes.count < 0 && pleat_infer_has(ctx, 1)) {
    int length = -1;
    PLEAT_TRY(listed_length(ctx, &length));
    if (length >= 0 && length <= in->rank) out->shape = pleat_shape_of_rank(in->rank - length);
    return PLEAT_OK;
  }
  if (axes.count < 0) {
    squeeze_all(in, &out->shape);
    return PLEAT_OK;
  }
  uint32_t gone = 0;
  for (int i = 0; i < axes.count; i++) {
    int axis = (int)axes.values[i];
    if (pleat_dim_is_known(in->dims[axis]) && in->dims[axis].value != 1)
      return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH,
                        "only a dimension of 1 can be squeezed: dimension %d is %" PRId64, axis, in->dims[axis].value);
    gone |= 1u << axis;
  }
  out->shape.rank = 0;
  for (int d = 0; d < in->rank; d++)
    if (!(gone >> d & 1)) out->shape.dims[out->shape.rank++] = in->dims[d];
  return PLEAT_OK;
}

const pleat_op_def pleat_op_Squeeze = {.name = "Squeeze",
                                       .domain = "",
                                       .versions = squeeze_versions,
                                       .attrs = axes_attrs,
                                       .infer = squeeze_infer,
                                       .apart = pleat_apart_reshaped,
                                       .kernels = kernels};

/* ---- Unsqueeze ---- */

static const pleat_op_version unsqueeze_versions[] = {{1, 1, 1, 1, 1, 0, 0},           {11, 1, 1, 1, 1, 0, 0},
                                                      {13, 2, 2, 1, 1, 0, FROM_INPUT}, {21, 2, 2, 1, 1, 0, FROM_INPUT},
                                                      {23, 2, 2, 1, 1, 0, FROM_INPUT}, {24, 2, 2, 1, 1, 0, FROM_INPUT},
                                                      {25, 2, 2, 1, 1, 0, FROM_INPUT}, {0}};

static pleat_status unsqueeze_infer(pleat_infer *ctx) {
  PLEAT_TRY(pleat_require_tensors(ctx));
  const pleat_shape *in = &ctx->inputs[0].shape;
  pleat_type *out = &ctx->outputs[0];
  out->dtype = ctx->inputs[0].dtype;
  pleat_ints axes;
  PLEAT_TRY(read_list(ctx, "axes", &axes));
  if (axes.count < 0 && !(ctx->version->flags & FROM_INPUT))
    return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "attribute 'axes' is missing");
  int count = axes.count;
  if (count < 0) PLEAT_TRY(listed_length(ctx, &count));
  if (in->rank < 0 || count < 0) return PLEAT_OK;
  if (in->rank + count > PLEAT_MAX_RANK)
    return pleat_fail(ctx->error, PLEAT_UNSUPPORTED, "the output would have %d dimensions: at most %d are supported",
                      in->rank + count, PLEAT_MAX_RANK);
  out->shape = pleat_shape_of_rank(in->rank + count);
  if (axes.count < 0) return PLEAT_OK;
  PLEAT_TRY(pleat_ints_to_axes(&axes, out->shape.rank, ctx->error));
  uint32_t added = 0;
  for (int i = 0; i < axes.count; i++) added |= 1u << axes.values[i];
  for (int d = 0, from = 0; d < out->shape.rank; d++)
    out->shape.dims[d] = added >> d & 1 ? pleat_dim_known(1) : in->dims[from++];
  return PLEAT_OK;
}

const pleat_op_def pleat_op_Unsqueeze = {.name = "Unsqueeze",
                                         .domain = "",
                                         .versions = unsqueeze_versions,
                                         .attrs = axes_attrs,
                                         .infer = unsqueeze_infer,
                                         .apart = pleat_apart_reshaped,
                                         .kernels = kernels};

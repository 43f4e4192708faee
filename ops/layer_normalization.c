/* LayerNormalization and RMSNormalization: every slice of the dimensions from `axis` on is scaled to mean 0 and
 * variance 1, or only to mean square 1, and then by scale and bias, which may broadcast. Statistics are taken in
 * double, whatever stash_type says; it gives the type of the Mean and InvStdDev outputs. */
#include <math.h>
#include <string.h>

#include "core/checked.h"
#include "ops/slices.h"

enum { RMS = 1 }; /* version flag */

typedef struct layer_state {
  size_t rows, n;
  bool centre;
  double epsilon;
  const size_t *scale_at, *bias_at; /* element of scale and bias for each of the n; NULL: the same index */
} layer_state;

#define PLEAT_TEMPLATE "ops/layer_normalization.inc"
#define PLEAT_TEMPLATE_FLOATS
#include "ops/template.h"

/* Scale and bias must broadcast to the normalised dimensions and not beyond. */
static pleat_status check_affine(const pleat_infer *ctx, size_t index, const pleat_shape *normalized) {
  if (!pleat_infer_has(ctx, index)) return PLEAT_OK;
  const pleat_shape *shape = &ctx->inputs[index].shape;
  bool fits = shape->rank <= normalized->rank;
  for (int d = 0; fits && d < shape->rank; d++) {
    int64_t own = shape->dims[d].value, dim = normalized->dims[normalized->rank - shape->rank + d].value;
    fits = own < 0 || dim < 0 || own == 1 || own == dim;
  }
  char text[256], wanted[256];
  if (fits) return PLEAT_OK;
  return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH,
                    "input %s: expected a shape that broadcasts to the normalized dimensions %s, found %s",
                    index == 1 ? "Scale" : "B", pleat_shape_text(normalized, wanted, sizeof wanted),
                    pleat_shape_text(shape, text, sizeof text));
}

static pleat_status layer_infer(pleat_infer *ctx) {
  const pleat_shape *in = &ctx->inputs[0].shape;
  bool rms = (ctx->version->flags & RMS) != 0;
  pleat_type *y = pleat_infer_out(ctx, 0);
  pleat_shape stats = *in, normalized = pleat_shape_of_rank(0);
  int64_t stash = pleat_attr_int(ctx->node, "stash_type");
  int axis;
  if (stash != PLEAT_FLOAT && stash != PLEAT_BFLOAT16 && stash != PLEAT_FLOAT16 && stash != PLEAT_DOUBLE)
    return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL,
                      "attribute stash_type: expected a floating-point type, found %lld", (long long)stash);
  if (in->rank >= 0) {
    PLEAT_TRY(pleat_attr_axis(ctx->node, "axis", in->rank, &axis, ctx->error));
    for (int d = axis; d < in->rank; d++) {
      normalized.dims[normalized.rank++] = in->dims[d];
      stats.dims[d] = pleat_dim_known(1);
    }
    for (size_t i = 1; i < 3; i++) PLEAT_TRY(check_affine(ctx, i, &normalized));
  }
  if (y != NULL) {
    y->dtype = ctx->inputs[rms ? 1 : 0].dtype;
    y->shape = *in;
  }
  for (size_t i = 1; i < 3; i++) {
    pleat_type *out = pleat_infer_out(ctx, i);
    if (out == NULL) continue;
    out->dtype = (pleat_dtype)stash;
    out->shape = stats;
  }
  return PLEAT_OK;
}

static pleat_dtype computed_as(const pleat_tensor *tensor) {
  return (PLEAT_M(tensor->dtype) & PLEAT_M_HALF) != 0 ? PLEAT_FLOAT : tensor->dtype;
}

static const char *layer_supports(const pleat_call *call) {
  for (size_t i = 1; i < call->input_count; i++)
    if (call->inputs[i] != NULL && computed_as(call->inputs[i]) != computed_as(call->inputs[0]))
      return "X and scale must both be double, or neither";
  return NULL;
}

/* Which element of `affine` belongs to each of the n normalised elements; NULL in *out_at when they correspond. */
static pleat_status plan_affine(pleat_call *call, const pleat_tensor *affine, int axis, size_t n,
                                const size_t **out_at) {
  const pleat_tensor *x = call->inputs[0];
  int rank = x->rank - axis;
  int64_t strides[PLEAT_MAX_RANK], index[PLEAT_MAX_RANK] = {0};
  *out_at = NULL;
  if (affine == NULL || affine->count == n) return PLEAT_OK;
  size_t *at = pleat_arena_array(call->arena, n, sizeof *at);
  if (at == NULL) return PLEAT_OOM(call->error);
  if (!pleat_broadcast_strides(affine->rank, affine->dims, rank, x->dims + axis, strides))
    return pleat_fail(call->error, PLEAT_SHAPE_MISMATCH, "scale and bias must broadcast to the normalized dimensions");
  int64_t offset = 0;
  for (size_t i = 0; i < n; i++) {
    at[i] = (size_t)offset;
    for (int d = rank - 1; d >= 0; d--) {
      offset += strides[d];
      if (++index[d] < x->dims[axis + d]) break;
      offset -= strides[d] * index[d];
      index[d] = 0;
    }
  }
  *out_at = at;
  return PLEAT_OK;
}

static pleat_status layer_prepare(pleat_call *call) {
  const pleat_tensor *x = call->inputs[0];
  int axis = pleat_call_axis(call);
  pleat_slices slices = pleat_slices_of(x, axis, x->rank);
  layer_state *s = pleat_call_state(call, sizeof *s);
  if (s == NULL) return PLEAT_OOM(call->error);
  s->rows = slices.outer;
  s->n = slices.n;
  s->centre = (call->version->flags & RMS) == 0;
  s->epsilon = (double)pleat_attr_float(call->node, "epsilon");
  PLEAT_TRY(plan_affine(call, call->inputs[1], axis, s->n, &s->scale_at));
  return plan_affine(call, pleat_in(call, 2), axis, s->n, &s->bias_at);
}

static pleat_status layer_run(const pleat_call *call) {
  const layer_state *s = call->state;
  /* The statistics of nothing are not numbers. */
  for (size_t i = 1; i < call->output_count && s->rows == 0; i++) {
    pleat_tensor *out = call->outputs[i];
    for (size_t k = 0; out != NULL && k < out->count; k++) pleat_store_f64(out->dtype, out->data, k, (double)NAN);
  }
  PLEAT_SWITCH_FLOATS(call->inputs[0]->dtype, (void), layer_norm, (call, s))
  return PLEAT_OK;
}

static const pleat_kernel reference = {
    .name = "reference",
    .types = PLEAT_M_FLOATS,
    .flags = PLEAT_KERNEL_WIDEN,
    .inplace = 1,
    .supports = layer_supports,
    .prepare = layer_prepare,
    .run = layer_run,
};
static const pleat_kernel *const kernels[] = {&reference, NULL};

static const pleat_op_attr attrs[] = {{.name = "axis", .type = PLEAT_ATTR_INT, .i = -1},
                                      {.name = "epsilon", .type = PLEAT_ATTR_FLOAT, .f = 1e-5f},
                                      {.name = "stash_type", .type = PLEAT_ATTR_INT, .i = PLEAT_FLOAT},
                                      {0}};
static const pleat_op_version layer_versions[] = {{17, 2, 3, 1, 3, PLEAT_M_FLOATS, 0}, {0}};
const pleat_op_def pleat_op_LayerNormalization = {
    .domain = "",
    .name = "LayerNormalization",
    .versions = layer_versions,
    .attrs = attrs,
    .infer = layer_infer,
    .apart = pleat_apart_axis,
    .kernels = kernels,
};

static const pleat_op_version rms_versions[] = {{23, 2, 2, 1, 1, PLEAT_M_FLOATS, RMS}, {0}};
const pleat_op_def pleat_op_RMSNormalization = {
    .domain = "",
    .name = "RMSNormalization",
    .versions = rms_versions,
    .attrs = attrs,
    .infer = layer_infer,
    .apart = pleat_apart_axis,
    .kernels = kernels,
};

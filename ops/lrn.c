/* LRN, local response normalization across channels: y = x / (bias + alpha / size * sum of squares)^beta, where the sum
 * goes over the `size` channels around x's own, from floor((size - 1) / 2) before it to ceil((size - 1) / 2) after it.
 */
#include <math.h>

#include "ops/kernels.h"
#include "ops/slices.h"

typedef struct lrn_plan {
  size_t channels, before, after;
  double scale, beta, bias;
  pleat_slices slices;
} lrn_plan;

/* (bias + scale * squares)^-beta; the usual exponents by way of square roots. */
static inline double lrn_factor(const lrn_plan *p, double squares) {
  double base = p->bias + p->scale * squares;
  if (p->beta == 0.75) return 1 / (sqrt(base) * sqrt(sqrt(base)));
  if (p->beta == 0.5) return 1 / sqrt(base);
  return pow(base, -p->beta);
}

#define PLEAT_TEMPLATE "ops/lrn.inc"
#define PLEAT_TEMPLATE_FLOATS
#include "ops/template.h"

static pleat_status lrn_infer(pleat_infer *ctx) {
  const pleat_shape *in = &ctx->inputs[0].shape;
  int64_t size = pleat_attr_int(ctx->node, "size");
  char text[256];
  if (size < 1)
    return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "attribute size: expected at least 1, found %lld",
                      (long long)size);
  if (in->rank >= 0 && in->rank < 2)
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "input X: expected [N, C, D1...], found %s",
                      pleat_shape_text(in, text, sizeof text));
  return pleat_infer_same(ctx);
}

static pleat_status lrn_run(const pleat_call *call) {
  const pleat_tensor *x = call->inputs[0];
  pleat_slices s = pleat_slices_of(x, 1, 2);
  int64_t size = pleat_attr_int(call->node, "size");
  lrn_plan p = {
      .channels = s.n,
      .before = (size_t)((size - 1) / 2),
      .after = (size_t)(size / 2),
      .scale = (double)pleat_attr_float(call->node, "alpha") / (double)size,
      .beta = (double)pleat_attr_float(call->node, "beta"),
      .bias = (double)pleat_attr_float(call->node, "bias"),
      .slices = s,
  };
  PLEAT_SWITCH_FLOATS(x->dtype, (void), lrn, (call, &p))
  return PLEAT_OK;
}

static const pleat_kernel reference = {
    .name = "reference",
    .types = PLEAT_M_FLOATS,
    .flags = PLEAT_KERNEL_WIDEN,
    .run = lrn_run,
};
static const pleat_kernel *const kernels[] = {PLEAT_ONEDNN_KERNEL(pleat_onednn_lrn) & reference, NULL};

static const pleat_op_attr attrs[] = {{.name = "alpha", .type = PLEAT_ATTR_FLOAT, .f = 1e-4f},
                                      {.name = "beta", .type = PLEAT_ATTR_FLOAT, .f = 0.75f},
                                      {.name = "bias", .type = PLEAT_ATTR_FLOAT, .f = 1},
                                      {.name = "size", .type = PLEAT_ATTR_INT, .required = true},
                                      {0}};
static const pleat_op_version versions[] = {{1, 1, 1, 1, 1, PLEAT_M_FLOATS, 0}, {0}};
const pleat_op_def pleat_op_LRN = {
    .domain = "",
    .name = "LRN",
    .versions = versions,
    .attrs = attrs,
    .infer = lrn_infer,
    .apart = pleat_apart_first,
    .kernels = kernels,
};

/* Pow: the result has the base's type; from opset 12 on the exponent may have another one. Float bases with exponents
 * of other types are raised in double; integers to integer powers exactly, wrapping around. Source: ONNX's Pow. */
#include <tgmath.h>

#include "ops/broadcast.h"

enum {
  BLOCK = 256,
  MIXED = 1u << 8 /* version flag: the exponent has a type of its own */
};

#define PLEAT_TEMPLATE "ops/pow.inc"
#define PLEAT_TEMPLATE_FLOATS
#define PLEAT_TEMPLATE_SINTS
#include "ops/template.h"

#define M_F16_UP               (PLEAT_M_F32 | PLEAT_M_F64 | PLEAT_M(PLEAT_FLOAT16))
#define M_WIDE_SINTS           (PLEAT_M(PLEAT_INT32) | PLEAT_M(PLEAT_INT64))
#define V(since, types, flags) PLEAT_EW_VERSION(since, 2, types, flags)

static const pleat_op_version pow_versions[] = {V(1, M_F16_UP, PLEAT_EW_AXIS),
                                                V(7, M_F16_UP, 0),
                                                V(12, M_F16_UP | M_WIDE_SINTS, MIXED),
                                                V(13, PLEAT_M_FLOATS | M_WIDE_SINTS, MIXED),
                                                V(15, PLEAT_M_FLOATS | M_WIDE_SINTS, MIXED),
                                                {0}};
static const pleat_op_attr pow_attrs[] = {PLEAT_EW_BROADCAST_ATTRS, {0}};

static pleat_status pow_infer(pleat_infer *ctx) {
  pleat_dtype base, exponent;
  pleat_type *out = pleat_infer_out(ctx, 0);
  if (!pleat_infer_has(ctx, 0) || !pleat_infer_has(ctx, 1) || (ctx->version->flags & MIXED) == 0) {
    return pleat_infer_elementwise(ctx);
  }
  PLEAT_TRY(pleat_infer_types(ctx, 1, &exponent));
  PLEAT_TRY(pleat_infer_allowed(ctx, exponent, PLEAT_M_NUMBERS));
  pleat_infer first = *ctx;
  first.input_count = 1;
  PLEAT_TRY(pleat_infer_types(&first, 0, &base));
  PLEAT_TRY(pleat_infer_allowed(ctx, base, ctx->version->types));
  if (out == NULL) return PLEAT_OK;
  out->dtype = base;
  return pleat_infer_shapes(ctx, &out->shape);
}

static const pleat_loops pow_loops = {.by_dtype = {PLEAT_LOOPS_SIGNED(pow_loop)}};
static const pleat_loops mixed_loops = {.by_dtype = {PLEAT_LOOPS_SIGNED(pow_mixed_loop)}};

static pleat_status pow_prepare(pleat_call *call) {
  const bool same = call->inputs[0]->dtype == call->inputs[1]->dtype;
  return pleat_elementwise_prepare(call, same ? &pow_loops : &mixed_loops);
}

/* The exponent's memory may serve as output: it is allowed to where the types are the same. */
static const pleat_kernel pow_kernel = {.name = "reference",
                                        .types = PLEAT_M_FLOATS | PLEAT_M_SINT,
                                        .flags = PLEAT_KERNEL_WIDEN,
                                        .inplace = 3u,
                                        .prepare = pow_prepare,
                                        .run = pleat_elementwise_run};
PLEAT_EW_DEF(Pow, pow, pow_versions, pow_attrs, pow_infer)

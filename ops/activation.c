/* Activation functions of one input, with their attributes: Relu, LeakyRelu, Elu, Selu, Celu, Sigmoid, HardSigmoid,
 * HardSwish, Tanh, Softplus, Softsign, ThresholdedRelu, Mish, Gelu, Shrink. PRelu, of two inputs, is in binary.c.
 * Source: the operators' ONNX specifications. */
#include <string.h>
#include <tgmath.h>

#include "ops/broadcast.h"

#define PLEAT_TEMPLATE "ops/activation.inc"
#define PLEAT_TEMPLATE_FLOATS
#define PLEAT_TEMPLATE_SINTS
#define PLEAT_TEMPLATE_UINTS
#include "ops/template.h"

#define M_F16_UP        (PLEAT_M_F32 | PLEAT_M_F64 | PLEAT_M(PLEAT_FLOAT16))
#define V(since, types) PLEAT_EW_VERSION(since, 1, types, 0)

static const pleat_op_version relu_versions[] = {
    V(1, M_F16_UP), V(6, M_F16_UP), V(13, PLEAT_M_FLOATS), V(14, PLEAT_M_FLOATS | PLEAT_M_SINT), {0}};
static const pleat_op_version leaky_versions[] = {V(1, M_F16_UP), V(6, M_F16_UP), V(16, PLEAT_M_FLOATS), {0}};
static const pleat_op_version floats_13[] = {V(1, M_F16_UP), V(6, M_F16_UP), V(13, PLEAT_M_FLOATS), {0}};
static const pleat_op_version floats_6_22[] = {V(1, M_F16_UP), V(6, M_F16_UP), V(22, PLEAT_M_FLOATS), {0}};
static const pleat_op_version floats_1_22[] = {V(1, M_F16_UP), V(22, PLEAT_M_FLOATS), {0}};
static const pleat_op_version thresholded_versions[] = {V(10, M_F16_UP), V(22, PLEAT_M_FLOATS), {0}};
static const pleat_op_version swish_versions[] = {V(14, M_F16_UP), V(22, PLEAT_M_FLOATS), {0}};
static const pleat_op_version mish_versions[] = {V(18, M_F16_UP), V(22, PLEAT_M_FLOATS), {0}};
static const pleat_op_version gelu_versions[] = {V(20, PLEAT_M_FLOATS), {0}};
/* The specification has Celu for float only; the others are an extension that costs nothing. */
static const pleat_op_version celu_versions[] = {V(12, PLEAT_M_FLOATS), {0}};
static const pleat_op_version shrink_versions[] = {V(9, PLEAT_M_NUMBERS), {0}};

static const pleat_op_attr consumed_attrs[] = {PLEAT_EW_CONSUMED, {0}};
static const pleat_op_attr leaky_attrs[] = {PLEAT_EW_FLOAT("alpha", 0.01f), PLEAT_EW_CONSUMED, {0}};
static const pleat_op_attr elu_attrs[] = {PLEAT_EW_FLOAT("alpha", 1.0f), PLEAT_EW_CONSUMED, {0}};
static const pleat_op_attr alpha_attrs[] = {PLEAT_EW_FLOAT("alpha", 1.0f), {0}};
static const pleat_op_attr hard_attrs[] = {
    PLEAT_EW_FLOAT("alpha", 0.2f), PLEAT_EW_FLOAT("beta", 0.5f), PLEAT_EW_CONSUMED, {0}};
static const pleat_op_attr selu_attrs[] = {
    {.name = "alpha", .type = PLEAT_ATTR_FLOAT, .since = 1, .until = 5, .f = 1.6732f},
    {.name = "gamma", .type = PLEAT_ATTR_FLOAT, .since = 1, .until = 5, .f = 1.0507f},
    {.name = "alpha", .type = PLEAT_ATTR_FLOAT, .since = 6, .f = 1.67326319217681884765625f},
    {.name = "gamma", .type = PLEAT_ATTR_FLOAT, .since = 6, .f = 1.05070102214813232421875f},
    PLEAT_EW_CONSUMED,
    {0}};
static const pleat_op_attr shrink_attrs[] = {PLEAT_EW_FLOAT("lambd", 0.5f), PLEAT_EW_FLOAT("bias", 0.0f), {0}};

/* `params...`: the attributes that the loop knows as alpha and beta. */
#define ACTIVATION_LOOPS(id, ...)                                                                                      \
  static const pleat_loops id##_loops = {.by_dtype = {PLEAT_LOOPS_FLOATS(id##_loop)}, .params = {__VA_ARGS__}};
#define ACTIVATION(Name, id, versions, attrs, ...)                                                                     \
  ACTIVATION_LOOPS(id, __VA_ARGS__)                                                                                    \
  PLEAT_EW_OP(Name, id, versions, attrs, pleat_infer_elementwise, PLEAT_M_FLOATS, 1u)
/* Those that have vector code and, some, oneDNN's. */
#define FAST_KERNELS PLEAT_X86_KERNEL(pleat_x86_unary) PLEAT_ONEDNN_KERNEL(pleat_onednn_eltwise)
#define FAST_ACTIVATION(Name, id, versions, attrs, ...)                                                                \
  ACTIVATION_LOOPS(id, __VA_ARGS__)                                                                                    \
  PLEAT_EW_OP_WITH(Name, id, versions, attrs, pleat_infer_elementwise, PLEAT_M_FLOATS, 1u, FAST_KERNELS)

FAST_ACTIVATION(LeakyRelu, leaky_relu, leaky_versions, leaky_attrs, "alpha")
FAST_ACTIVATION(Elu, elu, floats_6_22, elu_attrs, "alpha")
ACTIVATION(Selu, selu, floats_6_22, selu_attrs, "alpha", "gamma")
ACTIVATION(Celu, celu, celu_versions, alpha_attrs, "alpha")
FAST_ACTIVATION(Sigmoid, sigmoid, floats_13, consumed_attrs, NULL)
FAST_ACTIVATION(HardSigmoid, hard_sigmoid, floats_6_22, hard_attrs, "alpha", "beta")
FAST_ACTIVATION(HardSwish, hard_swish, swish_versions, NULL, NULL)
FAST_ACTIVATION(Tanh, tanh, floats_13, consumed_attrs, NULL)
ACTIVATION(Softplus, softplus, floats_1_22, NULL, NULL)
ACTIVATION(Softsign, softsign, floats_1_22, NULL, NULL)
ACTIVATION(ThresholdedRelu, thresholded_relu, thresholded_versions, alpha_attrs, "alpha")
ACTIVATION(Mish, mish, mish_versions, NULL, NULL)

static const pleat_loops relu_loops = {.by_dtype = {PLEAT_LOOPS_SIGNED(relu_loop)}};
PLEAT_EW_OP_WITH(Relu, relu, relu_versions, consumed_attrs, pleat_infer_elementwise, PLEAT_M_FLOATS | PLEAT_M_SINT, 1u,
                 FAST_KERNELS)

static const pleat_loops shrink_loops = {.by_dtype = {PLEAT_LOOPS_NUMBERS(shrink_loop)}, .params = {"lambd", "bias"}};
PLEAT_EW_OP(Shrink, shrink, shrink_versions, shrink_attrs, pleat_infer_elementwise, PLEAT_M_NUMBERS, 1u)

/* ---- Gelu: the attribute chooses the loop ---- */

static const pleat_op_attr gelu_attrs[] = {{.name = "approximate", .type = PLEAT_ATTR_STRING, .s = "none"}, {0}};
static const pleat_loops gelu_loops = {.by_dtype = {PLEAT_LOOPS_FLOATS(gelu_loop)}};
static const pleat_loops gelu_tanh_loops = {.by_dtype = {PLEAT_LOOPS_FLOATS(gelu_tanh_loop)}};

static pleat_status gelu_infer(pleat_infer *ctx) {
  const char *approximate = pleat_attr_string(ctx->node, "approximate");
  if (strcmp(approximate, "none") != 0 && strcmp(approximate, "tanh") != 0) {
    return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "Gelu: approximate must be 'none' or 'tanh', found '%s'",
                      approximate);
  }
  return pleat_infer_elementwise(ctx);
}

static pleat_status gelu_prepare(pleat_call *call) {
  const bool exact = strcmp(pleat_attr_string(call->node, "approximate"), "none") == 0;
  return pleat_elementwise_prepare(call, exact ? &gelu_loops : &gelu_tanh_loops);
}

static const pleat_kernel gelu_kernel = {.name = "reference",
                                         .types = PLEAT_M_FLOATS,
                                         .flags = PLEAT_KERNEL_WIDEN,
                                         .inplace = 1u,
                                         .prepare = gelu_prepare,
                                         .run = pleat_elementwise_run};
PLEAT_EW_DEF_WITH(Gelu, gelu, gelu_versions, gelu_attrs, gelu_infer, FAST_KERNELS)

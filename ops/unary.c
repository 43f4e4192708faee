/* Element-wise operators of one input that are plain mathematics: Abs, Neg, Exp, Log, roots and rounding, Erf, Sign,
 * the circular and hyperbolic functions, IsNaN, IsInf, BitwiseNot. Activations are in activation.c.
 * Source: the operators' ONNX specifications; the functions are the C library's, in the type of the tensor. */
#include <tgmath.h>

#include "ops/broadcast.h"

#define PLEAT_TEMPLATE "ops/unary.inc"
#define PLEAT_TEMPLATE_FLOATS
#define PLEAT_TEMPLATE_SINTS
#define PLEAT_TEMPLATE_UINTS
#include "ops/template.h"

#define M_F16_UP (PLEAT_M_F32 | PLEAT_M_F64 | PLEAT_M(PLEAT_FLOAT16))
#define M_FLOAT8                                                                                                       \
  (PLEAT_M(PLEAT_FLOAT8E4M3FN) | PLEAT_M(PLEAT_FLOAT8E4M3FNUZ) | PLEAT_M(PLEAT_FLOAT8E5M2) |                           \
   PLEAT_M(PLEAT_FLOAT8E5M2FNUZ))
#define V(since, types) PLEAT_EW_VERSION(since, 1, types, 0)

static const pleat_op_version floats_13[] = {V(1, M_F16_UP), V(6, M_F16_UP), V(13, PLEAT_M_FLOATS), {0}};
static const pleat_op_version floats_7_22[] = {V(7, M_F16_UP), V(22, PLEAT_M_FLOATS), {0}};
static const pleat_op_version floats_9_22[] = {V(9, M_F16_UP), V(22, PLEAT_M_FLOATS), {0}};
static const pleat_op_version floats_11_22[] = {V(11, M_F16_UP), V(22, PLEAT_M_FLOATS), {0}};
static const pleat_op_version numbers_9_13[] = {V(9, M_F16_UP | PLEAT_M_INTS), V(13, PLEAT_M_NUMBERS), {0}};
static const pleat_op_version abs_versions[] = {
    V(1, M_F16_UP), V(6, M_F16_UP | PLEAT_M_INTS), V(13, PLEAT_M_NUMBERS), {0}};
static const pleat_op_version neg_versions[] = {
    V(1, M_F16_UP), V(6, M_F16_UP | PLEAT_M_SINT), V(13, PLEAT_M_FLOATS | PLEAT_M_SINT), {0}};
static const pleat_op_version bitwise_not_versions[] = {V(18, PLEAT_M_INTS), {0}};

static const pleat_op_attr consumed_attrs[] = {PLEAT_EW_CONSUMED, {0}};

#define FLOATS(Name, id, versions, attrs)                                                                              \
  static const pleat_loops id##_loops = {.by_dtype = {PLEAT_LOOPS_FLOATS(id##_loop)}};                                 \
  PLEAT_EW_OP(Name, id, versions, attrs, pleat_infer_elementwise, PLEAT_M_FLOATS, 1u)
/* FAST_: those that have vector code and, some, oneDNN's. */
#define FAST_KERNELS PLEAT_X86_KERNEL(pleat_x86_unary) PLEAT_ONEDNN_KERNEL(pleat_onednn_eltwise)
#define FAST_FLOATS(Name, id, versions, attrs)                                                                         \
  static const pleat_loops id##_loops = {.by_dtype = {PLEAT_LOOPS_FLOATS(id##_loop)}};                                 \
  PLEAT_EW_OP_WITH(Name, id, versions, attrs, pleat_infer_elementwise, PLEAT_M_FLOATS, 1u, FAST_KERNELS)
#define NUMBERS(Name, id, versions, attrs)                                                                             \
  static const pleat_loops id##_loops = {.by_dtype = {PLEAT_LOOPS_NUMBERS(id##_loop)}};                                \
  PLEAT_EW_OP(Name, id, versions, attrs, pleat_infer_elementwise, PLEAT_M_NUMBERS, 1u)
#define FAST_NUMBERS(Name, id, versions, attrs)                                                                        \
  static const pleat_loops id##_loops = {.by_dtype = {PLEAT_LOOPS_NUMBERS(id##_loop)}};                                \
  PLEAT_EW_OP_WITH(Name, id, versions, attrs, pleat_infer_elementwise, PLEAT_M_NUMBERS, 1u, FAST_KERNELS)

FAST_NUMBERS(Abs, abs, abs_versions, consumed_attrs)
FAST_NUMBERS(Erf, erf, numbers_9_13, NULL)
NUMBERS(Sign, sign, numbers_9_13, NULL)

FAST_FLOATS(Exp, exp, floats_13, consumed_attrs)
FAST_FLOATS(Log, log, floats_13, consumed_attrs)
FAST_FLOATS(Sqrt, sqrt, floats_13, consumed_attrs)
FAST_FLOATS(Reciprocal, reciprocal, floats_13, consumed_attrs)
FAST_FLOATS(Floor, floor, floats_13, consumed_attrs)
FAST_FLOATS(Ceil, ceil, floats_13, consumed_attrs)
FAST_FLOATS(Round, round, floats_11_22, NULL)
FLOATS(Sin, sin, floats_7_22, NULL)
FLOATS(Cos, cos, floats_7_22, NULL)
FLOATS(Tan, tan, floats_7_22, NULL)
FLOATS(Asin, asin, floats_7_22, NULL)
FLOATS(Acos, acos, floats_7_22, NULL)
FLOATS(Atan, atan, floats_7_22, NULL)
FLOATS(Sinh, sinh, floats_9_22, NULL)
FLOATS(Cosh, cosh, floats_9_22, NULL)
FLOATS(Asinh, asinh, floats_9_22, NULL)
FLOATS(Acosh, acosh, floats_9_22, NULL)
FLOATS(Atanh, atanh, floats_9_22, NULL)

static const pleat_loops neg_loops = {.by_dtype = {PLEAT_LOOPS_SIGNED(neg_loop)}};
PLEAT_EW_OP_WITH(Neg, neg, neg_versions, consumed_attrs, pleat_infer_elementwise, PLEAT_M_FLOATS | PLEAT_M_SINT, 1u,
                 FAST_KERNELS)

static const pleat_loops bitwise_not_loops = {.by_dtype = {PLEAT_LOOPS_INTS(bitwise_not_loop)}};
PLEAT_EW_OP(BitwiseNot, bitwise_not, bitwise_not_versions, NULL, pleat_infer_elementwise, PLEAT_M_INTS, 1u)

/* ---- IsNaN and IsInf: bool output; float8 is looked at through float, block by block ---- */

enum { BLOCK = 512 };

static void test_float8(const pleat_tile *tile, pleat_loop loop) {
  float wide[BLOCK];
  const size_t count = tile->rows * tile->cols;
  for (size_t at = 0; at < count; at += BLOCK) {
    const size_t size = count - at < BLOCK ? count - at : BLOCK;
    pleat_convert(tile->op->in_dtype[0], (const char *)tile->in[0] + at, PLEAT_FLOAT, wide, size, NULL);
    const pleat_tile block = {
        .in = {wide}, .col = {1}, .out = (char *)tile->out + at, .rows = 1, .cols = size, .op = tile->op};
    loop(&block);
  }
}

static void isnan_loop_f8(const pleat_tile *tile) {
  test_float8(tile, isnan_loop_f32);
}

static void isinf_loop_f8(const pleat_tile *tile) {
  test_float8(tile, isinf_loop_f32);
}

#define LOOPS_FLOAT8(loop)                                                                                             \
  [PLEAT_FLOAT8E4M3FN] = loop##_f8, [PLEAT_FLOAT8E4M3FNUZ] = loop##_f8, [PLEAT_FLOAT8E5M2] = loop##_f8,                \
  [PLEAT_FLOAT8E5M2FNUZ] = loop##_f8

static const pleat_op_version isnan_versions[] = {
    V(9, M_F16_UP), V(13, PLEAT_M_FLOATS), V(20, PLEAT_M_FLOATS | M_FLOAT8), {0}};
static const pleat_op_version isinf_versions[] = {
    V(10, PLEAT_M_F32 | PLEAT_M_F64), V(20, PLEAT_M_FLOATS | M_FLOAT8), {0}};
static const pleat_op_attr isinf_attrs[] = {{.name = "detect_negative", .type = PLEAT_ATTR_INT, .i = 1},
                                            {.name = "detect_positive", .type = PLEAT_ATTR_INT, .i = 1},
                                            {0}};

static const pleat_loops isnan_loops = {.by_dtype = {PLEAT_LOOPS_FLOATS(isnan_loop), LOOPS_FLOAT8(isnan_loop)}};
PLEAT_EW_OP(IsNaN, isnan, isnan_versions, NULL, pleat_infer_predicate, PLEAT_M_FLOATS | M_FLOAT8, 0)

static const pleat_loops isinf_loops = {.by_dtype = {PLEAT_LOOPS_FLOATS(isinf_loop), LOOPS_FLOAT8(isinf_loop)}};

static pleat_status isinf_prepare(pleat_call *call) {
  PLEAT_TRY(pleat_elementwise_prepare(call, &isinf_loops));
  pleat_elementwise *op = call->state;
  if (op == NULL) return PLEAT_OK;
  op->params[0] = pleat_attr_int(call->node, "detect_negative") != 0;
  op->params[1] = pleat_attr_int(call->node, "detect_positive") != 0;
  return PLEAT_OK;
}

static const pleat_kernel isinf_kernel = {.name = "reference",
                                          .types = PLEAT_M_FLOATS | M_FLOAT8,
                                          .flags = PLEAT_KERNEL_WIDEN,
                                          .prepare = isinf_prepare,
                                          .run = pleat_elementwise_run};
PLEAT_EW_DEF(IsInf, isinf, isinf_versions, isinf_attrs, pleat_infer_predicate)

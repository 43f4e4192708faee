/* Element-wise arithmetic of two inputs: Add, Sub, Mul, Div, Mod, PRelu, BitShift and the bitwise operators. Pow is in
 * pow.c, the comparisons in compare.c.
 * Integers never trap: they wrap around, and dividing by 0 gives 0. Source: the operators' ONNX specifications. */
#include <string.h>
#include <tgmath.h>

#include "ops/broadcast.h"

#define PLEAT_TEMPLATE "ops/binary.inc"
#define PLEAT_TEMPLATE_FLOATS
#define PLEAT_TEMPLATE_SINTS
#define PLEAT_TEMPLATE_UINTS
#include "ops/template.h"

#define M_F16_UP               (PLEAT_M_F32 | PLEAT_M_F64 | PLEAT_M(PLEAT_FLOAT16))
#define M_WIDE_SINTS           (PLEAT_M(PLEAT_INT32) | PLEAT_M(PLEAT_INT64))
#define M_WIDE_INTS            (M_WIDE_SINTS | PLEAT_M(PLEAT_UINT32) | PLEAT_M(PLEAT_UINT64))
#define V(since, types, flags) PLEAT_EW_VERSION(since, 2, types, flags)

static const pleat_op_version arithmetic_versions[] = {
    V(1, M_F16_UP, PLEAT_EW_AXIS),   V(6, M_F16_UP | M_WIDE_INTS, PLEAT_EW_AXIS),
    V(7, M_F16_UP | M_WIDE_INTS, 0), V(13, PLEAT_M_FLOATS | M_WIDE_INTS, 0),
    V(14, PLEAT_M_NUMBERS, 0),       {0}};
static const pleat_op_attr arithmetic_attrs[] = {PLEAT_EW_BROADCAST_ATTRS, PLEAT_EW_CONSUMED, {0}};

#define ARITHMETIC(Name, id)                                                                                           \
  static const pleat_loops id##_loops = {.by_dtype = {PLEAT_LOOPS_NUMBERS(id##_loop)}};                                \
  PLEAT_EW_OP_WITH(Name, id, arithmetic_versions, arithmetic_attrs, pleat_infer_elementwise, PLEAT_M_NUMBERS, 3u,      \
                   PLEAT_X86_KERNEL(pleat_x86_binary_blocks) PLEAT_ONEDNN_KERNEL(pleat_onednn_binary))

ARITHMETIC(Add, add)
ARITHMETIC(Sub, sub)
ARITHMETIC(Mul, mul)
ARITHMETIC(Div, div)

/* ---- PRelu: the slope goes to the input's shape, never the other way round ---- */

static const pleat_op_version prelu_versions[] = {V(1, M_F16_UP, PLEAT_EW_CHANNEL),
                                                  V(6, M_F16_UP, PLEAT_EW_CHANNEL),
                                                  V(7, M_F16_UP, PLEAT_EW_ONE_WAY),
                                                  V(9, M_F16_UP | M_WIDE_INTS, PLEAT_EW_ONE_WAY),
                                                  V(16, PLEAT_M_FLOATS | M_WIDE_INTS, PLEAT_EW_ONE_WAY),
                                                  {0}};
static const pleat_op_attr consumed_attrs[] = {PLEAT_EW_CONSUMED, {0}};
static const pleat_loops prelu_loops = {.by_dtype = {PLEAT_LOOPS_NUMBERS(prelu_loop)}};
PLEAT_EW_OP_WITH(PRelu, prelu, prelu_versions, consumed_attrs, pleat_infer_elementwise, PLEAT_M_NUMBERS, 3u,
                 PLEAT_X86_KERNEL(pleat_x86_prelu))

/* ---- bitwise ---- */

static const pleat_op_version bitwise_versions[] = {V(18, PLEAT_M_INTS, 0), {0}};

#define BITWISE(Name, id)                                                                                              \
  static const pleat_loops id##_loops = {.by_dtype = {PLEAT_LOOPS_INTS(id##_loop)}};                                   \
  PLEAT_EW_OP(Name, id, bitwise_versions, NULL, pleat_infer_elementwise, PLEAT_M_INTS, 3u)

BITWISE(BitwiseAnd, and)
BITWISE(BitwiseOr, or)
BITWISE(BitwiseXor, xor)

/* ---- BitShift and Mod: an attribute chooses the loop ---- */

static const pleat_op_version shift_versions[] = {V(11, PLEAT_M_UINT, 0), {0}};
static const pleat_op_attr shift_attrs[] = {{.name = "direction", .type = PLEAT_ATTR_STRING, .required = true}, {0}};
static const pleat_loops shift_left_loops = {.by_dtype = {PLEAT_LOOPS_UINTS(shift_left_loop)}};
static const pleat_loops shift_right_loops = {.by_dtype = {PLEAT_LOOPS_UINTS(shift_right_loop)}};

static pleat_status shift_infer(pleat_infer *ctx) {
  const char *direction = pleat_attr_string(ctx->node, "direction");
  if (strcmp(direction, "LEFT") != 0 && strcmp(direction, "RIGHT") != 0) {
    return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "BitShift: direction must be 'LEFT' or 'RIGHT', found '%s'",
                      direction);
  }
  return pleat_infer_elementwise(ctx);
}

static pleat_status shift_prepare(pleat_call *call) {
  const bool left = strcmp(pleat_attr_string(call->node, "direction"), "LEFT") == 0;
  return pleat_elementwise_prepare(call, left ? &shift_left_loops : &shift_right_loops);
}

static const pleat_kernel shift_kernel = {
    .name = "reference", .types = PLEAT_M_UINT, .inplace = 3u, .prepare = shift_prepare, .run = pleat_elementwise_run};
PLEAT_EW_DEF(BitShift, shift, shift_versions, shift_attrs, shift_infer)

static const pleat_op_version mod_versions[] = {V(10, M_F16_UP | PLEAT_M_INTS, 0), V(13, PLEAT_M_NUMBERS, 0), {0}};
static const pleat_op_attr mod_attrs[] = {{.name = "fmod", .type = PLEAT_ATTR_INT, .i = 0}, {0}};
static const pleat_loops mod_loops = {.by_dtype = {PLEAT_LOOPS_INTS(mod_loop)}};
static const pleat_loops fmod_loops = {.by_dtype = {PLEAT_LOOPS_NUMBERS(fmod_loop)}};

static pleat_status mod_infer(pleat_infer *ctx) {
  const pleat_dtype dtype = ctx->inputs[0].dtype;
  if (pleat_attr_int(ctx->node, "fmod") == 0 && pleat_dtype_is_float(dtype)) {
    return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL,
                      "Mod: %s inputs need the attribute fmod=1 (fmod=0 is for integers)", pleat_dtype_name(dtype));
  }
  return pleat_infer_elementwise(ctx);
}

static pleat_status mod_prepare(pleat_call *call) {
  return pleat_elementwise_prepare(call, pleat_attr_int(call->node, "fmod") == 0 ? &mod_loops : &fmod_loops);
}

static const pleat_kernel mod_kernel = {.name = "reference",
                                        .types = PLEAT_M_NUMBERS,
                                        .flags = PLEAT_KERNEL_WIDEN,
                                        .inplace = 3u,
                                        .prepare = mod_prepare,
                                        .run = pleat_elementwise_run};
PLEAT_EW_DEF(Mod, mod, mod_versions, mod_attrs, mod_infer)

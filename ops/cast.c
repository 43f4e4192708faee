/* Cast and CastLike: every type to every type that the opset knows. Numbers go through pleat_convert, in pieces on
 * several threads; strings, which need memory and may fail, through pleat_cast_elements on one.
 * Source: ONNX's Cast; until opset 5 the target type is a name instead of a number. */
#include <string.h>

#include "ops/broadcast.h"

#define M_CAST_1  (PLEAT_M_F32 | PLEAT_M_F64 | PLEAT_M(PLEAT_FLOAT16) | PLEAT_M_INTS | PLEAT_M_BOOL)
#define M_CAST_9  (M_CAST_1 | PLEAT_M_STRING)
#define M_CAST_13 (M_CAST_9 | PLEAT_M(PLEAT_BFLOAT16))
#define M_CAST_19                                                                                                      \
  (M_CAST_13 | PLEAT_M(PLEAT_FLOAT8E4M3FN) | PLEAT_M(PLEAT_FLOAT8E4M3FNUZ) | PLEAT_M(PLEAT_FLOAT8E5M2) |               \
   PLEAT_M(PLEAT_FLOAT8E5M2FNUZ))
#define M_CAST_21 (M_CAST_19 | PLEAT_M(PLEAT_UINT4) | PLEAT_M(PLEAT_INT4))
#define M_CAST_23 (M_CAST_21 | PLEAT_M(PLEAT_FLOAT4E2M1))
#define M_CAST_24 (M_CAST_23 | PLEAT_M(PLEAT_FLOAT8E8M0))
#define M_CAST_25 (M_CAST_24 | PLEAT_M(PLEAT_UINT2) | PLEAT_M(PLEAT_INT2))

#define V(since, inputs, types) PLEAT_EW_VERSION(since, inputs, types, 0)

static const pleat_op_version cast_versions[] = {
    V(1, 1, M_CAST_1),   V(6, 1, M_CAST_1),   V(9, 1, M_CAST_9),   V(13, 1, M_CAST_13), V(19, 1, M_CAST_19),
    V(21, 1, M_CAST_21), V(23, 1, M_CAST_23), V(24, 1, M_CAST_24), V(25, 1, M_CAST_25), {0}};
static const pleat_op_version cast_like_versions[] = {V(15, 2, M_CAST_13),
                                                      V(19, 2, M_CAST_19),
                                                      V(21, 2, M_CAST_21),
                                                      V(23, 2, M_CAST_23),
                                                      V(24, 2, M_CAST_24),
                                                      V(25, 2, M_CAST_25),
                                                      {0}};

#define CONVERT_ATTRS                                                                                                  \
  {.name = "saturate", .type = PLEAT_ATTR_INT, .since = 19, .i = 1}, {                                                 \
    .name = "round_mode", .type = PLEAT_ATTR_STRING, .since = 24, .s = "up"                                            \
  }
static const pleat_op_attr cast_attrs[] = {
    {.name = "to", .type = PLEAT_ATTR_STRING, .required = true, .since = 1, .until = 5},
    {.name = "to", .type = PLEAT_ATTR_INT, .required = true, .since = 6},
    CONVERT_ATTRS,
    {0}};
static const pleat_op_attr cast_like_attrs[] = {CONVERT_ATTRS, {0}};

typedef struct cast_state {
  pleat_elementwise op;
  bool strings;
} cast_state;

/* Compares "FLOAT16" with "float16". */
static bool same_type_name(const char *upper, const char *lower) {
  for (; *upper != '\0' && *lower != '\0'; upper++, lower++) {
    const char c = *upper >= 'A' && *upper <= 'Z' ? (char)(*upper - 'A' + 'a') : *upper;
    if (c != *lower) return false;
  }
  return *upper == *lower;
}

static pleat_dtype type_of_attr(const pleat_attr *to) {
  if (to == NULL) return PLEAT_UNDEFINED;
  if (to->type == PLEAT_ATTR_INT) return pleat_dtype_is_valid(to->i) ? (pleat_dtype)to->i : PLEAT_UNDEFINED;
  if (to->type != PLEAT_ATTR_STRING) return PLEAT_UNDEFINED;
  for (int dtype = 1; dtype < PLEAT_DTYPE_COUNT; dtype++) {
    if (same_type_name(to->s, pleat_dtype_name((pleat_dtype)dtype))) return (pleat_dtype)dtype;
  }
  return PLEAT_UNDEFINED;
}

static bool parse_round_mode(const pleat_node *node, pleat_round_mode *out_mode) {
  static const char *const names[] = {
      [PLEAT_ROUND_UP] = "up", [PLEAT_ROUND_DOWN] = "down", [PLEAT_ROUND_NEAREST] = "nearest"};
  const char *mode = pleat_attr_string(node, "round_mode");
  *out_mode = PLEAT_ROUND_UP;
  if (mode[0] == '\0') return true; /* an opset that does not know it */
  for (int i = PLEAT_ROUND_UP; i <= PLEAT_ROUND_NEAREST; i++) {
    if (strcmp(mode, names[i]) != 0) continue;
    *out_mode = (pleat_round_mode)i;
    return true;
  }
  return false;
}

static pleat_status infer_to(pleat_infer *ctx, pleat_dtype to) {
  pleat_type *out = pleat_infer_out(ctx, 0);
  pleat_round_mode mode;
  const pleat_type *input = &ctx->inputs[0];
  if (!pleat_infer_has(ctx, 0) || input->kind != PLEAT_KIND_TENSOR) {
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "%s: input 0 must be a tensor", ctx->node->op_type);
  }
  PLEAT_TRY(pleat_infer_allowed(ctx, input->dtype, ctx->version->types));
  if (to != PLEAT_UNDEFINED && (ctx->version->types & PLEAT_M(to)) == 0) {
    return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "%s-%d cannot cast to %s", ctx->node->op_type,
                      ctx->version->since, pleat_dtype_name(to));
  }
  if (!parse_round_mode(ctx->node, &mode)) {
    return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "%s: round_mode must be 'up', 'down' or 'nearest', found '%s'",
                      ctx->node->op_type, pleat_attr_string(ctx->node, "round_mode"));
  }
  if (out == NULL) return PLEAT_OK;
  out->dtype = to;
  out->shape = input->shape;
  return PLEAT_OK;
}

static pleat_status cast_infer(pleat_infer *ctx) {
  const pleat_dtype to = type_of_attr(pleat_node_attr(ctx->node, "to"));
  if (to == PLEAT_UNDEFINED) {
    return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "Cast: the attribute 'to' does not name a data type");
  }
  return infer_to(ctx, to);
}

static pleat_status cast_like_infer(pleat_infer *ctx) {
  if (!pleat_infer_has(ctx, 1) || ctx->inputs[1].kind != PLEAT_KIND_TENSOR) {
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "CastLike: input 1 must be a tensor");
  }
  return infer_to(ctx, ctx->inputs[1].dtype);
}

static void cast_loop(const pleat_tile *tile) {
  const pleat_elementwise *op = tile->op;
  const size_t count = tile->rows * tile->cols;
  if (op->in_dtype[0] != op->out_dtype) {
    pleat_convert(op->in_dtype[0], tile->in[0], op->out_dtype, tile->out, count, &op->convert);
  } else if (tile->out != tile->in[0]) {
    memcpy(tile->out, tile->in[0], count * op->out_size);
  }
}

static pleat_status cast_prepare(pleat_call *call) {
  const pleat_tensor *in = call->inputs[0], *out = pleat_out(call, 0);
  if (out == NULL) return PLEAT_OK;
  cast_state *state = pleat_call_state(call, sizeof *state);
  if (state == NULL) return PLEAT_OOM(call->error);
  const pleat_shape shape = pleat_shape_of(in->rank, in->dims);
  state->strings = (in->dtype == PLEAT_STRING) != (out->dtype == PLEAT_STRING);
  state->op.convert.no_saturate = pleat_attr_int(call->node, "saturate") == 0;
  if (!parse_round_mode(call->node, &state->op.convert.round_mode) ||
      !pleat_elementwise_init(&state->op, cast_loop, 1, &shape, &in->dtype, out)) {
    return pleat_fail(call->error, PLEAT_INTERNAL, "%s: prepared without inference", call->node->op_type);
  }
  return PLEAT_OK;
}

static pleat_status cast_run(const pleat_call *call) {
  const cast_state *state = call->state;
  pleat_tensor *out = pleat_out(call, 0);
  if (out == NULL || out->count == 0) return PLEAT_OK;
  if (state->strings) {
    return pleat_cast_elements(call->inputs[0], out, &state->op.convert, call->arena, call->error);
  }
  const void *inputs[] = {call->inputs[0]->data};
  pleat_elementwise_apply(&state->op, inputs, out->data, call->threads);
  return PLEAT_OK;
}

static const pleat_kernel cast_kernel = {
    .name = "reference", .types = M_CAST_25, .inplace = 1u, .prepare = cast_prepare, .run = cast_run};
PLEAT_EW_DEF(Cast, cast, cast_versions, cast_attrs, cast_infer)
PLEAT_EW_DEF(CastLike, cast, cast_like_versions, cast_like_attrs, cast_like_infer)

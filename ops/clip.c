/* Clip: bounds are attributes before opset 11, and optional scalar inputs since.
 *
 * min and max are operands with stride 0 of the element-wise driver; where the node has none, they are the state's own
 * values: no bound, except that opset 6 has float's limits as defaults. Source: ONNX's Clip. */
#include "ops/clip.h"

#include <float.h>
#include <math.h>

#include "ops/broadcast.h"

#define PLEAT_TEMPLATE "ops/clip.inc"
#define PLEAT_TEMPLATE_FLOATS
#define PLEAT_TEMPLATE_SINTS
#define PLEAT_TEMPLATE_UINTS
#include "ops/template.h"

enum { BOUNDS_ARE_ATTRIBUTES = 1u << 8 };

#define M_F16_UP (PLEAT_M_F32 | PLEAT_M_F64 | PLEAT_M(PLEAT_FLOAT16))

static const pleat_op_version clip_versions[] = {{1, 1, 1, 1, 1, M_F16_UP, BOUNDS_ARE_ATTRIBUTES},
                                                 {6, 1, 1, 1, 1, M_F16_UP, BOUNDS_ARE_ATTRIBUTES},
                                                 {11, 1, 3, 1, 1, M_F16_UP, 0},
                                                 {12, 1, 3, 1, 1, M_F16_UP | PLEAT_M_INTS, 0},
                                                 {13, 1, 3, 1, 1, PLEAT_M_NUMBERS, 0},
                                                 {0}};
static const pleat_op_attr clip_attrs[] = {
    {.name = "min", .type = PLEAT_ATTR_FLOAT, .since = 1, .until = 5, .f = -INFINITY},
    {.name = "max", .type = PLEAT_ATTR_FLOAT, .since = 1, .until = 5, .f = INFINITY},
    {.name = "min", .type = PLEAT_ATTR_FLOAT, .since = 6, .until = 10, .f = -FLT_MAX},
    {.name = "max", .type = PLEAT_ATTR_FLOAT, .since = 6, .until = 10, .f = FLT_MAX},
    PLEAT_EW_CONSUMED,
    {0}};

typedef struct clip_state {
  pleat_elementwise op;
  _Alignas(8) unsigned char bounds[2][8]; /* min and max, of the data's type */
} clip_state;

static pleat_status clip_infer(pleat_infer *ctx) {
  static const char *const names[] = {"data", "min", "max"};
  pleat_type *out = pleat_infer_out(ctx, 0);
  pleat_dtype dtype;
  PLEAT_TRY(pleat_infer_types(ctx, 0, &dtype));
  PLEAT_TRY(pleat_infer_allowed(ctx, dtype, ctx->version->types));
  if (!pleat_infer_has(ctx, 0)) return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "Clip: input 0 is missing");
  for (size_t i = 1; i < 3; i++) {
    if (!pleat_infer_has(ctx, i)) continue;
    const pleat_shape *shape = &ctx->inputs[i].shape;
    const pleat_dim count = pleat_shape_product(shape, 0, shape->rank);
    if (shape->rank >= 0 && pleat_dim_is_known(count) && count.value != 1) {
      char text[256];
      return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "Clip: %s must be a scalar, found shape %s", names[i],
                        pleat_shape_text(shape, text, sizeof text));
    }
  }
  if (out == NULL) return PLEAT_OK;
  out->dtype = dtype;
  out->shape = ctx->inputs[0].shape;
  return PLEAT_OK;
}

static const pleat_loops clip_loops = {.by_dtype = {PLEAT_LOOPS_NUMBERS(clip_loop)}};

static pleat_status clip_prepare(pleat_call *call) {
  const pleat_tensor *out = pleat_out(call, 0);
  const pleat_dtype dtype = call->inputs[0]->dtype;
  const pleat_shape scalar = {.rank = 0}, data = pleat_shape_of(call->inputs[0]->rank, call->inputs[0]->dims);
  const pleat_shape shapes[] = {data, scalar, scalar};
  const pleat_dtype dtypes[] = {dtype, dtype, dtype};
  if (out == NULL) return PLEAT_OK;
  clip_state *state = pleat_call_state(call, sizeof *state);
  if (state == NULL) return PLEAT_OOM(call->error);
  if (clip_loops.by_dtype[dtype] == NULL ||
      !pleat_elementwise_init(&state->op, clip_loops.by_dtype[dtype], 3, shapes, dtypes, out)) {
    return pleat_fail(call->error, PLEAT_INTERNAL, "Clip: no loop for %s", pleat_dtype_name(dtype));
  }
  PLEAT_SWITCH_NUMBERS(dtype, , unbounded, (state->bounds[0], state->bounds[1]))
  if ((call->version->flags & BOUNDS_ARE_ATTRIBUTES) != 0) {
    pleat_store_f64(dtype, state->bounds[0], 0, (double)pleat_attr_float(call->node, "min"));
    pleat_store_f64(dtype, state->bounds[1], 0, (double)pleat_attr_float(call->node, "max"));
  }
  return PLEAT_OK;
}

static bool read_bound(const pleat_call *call, size_t input, const char *attr, float absent, float *out_value) {
  const pleat_tensor *given = pleat_in(call, input);
  *out_value = absent;
  if (given != NULL && given->data == NULL) return false;
  if (given != NULL) *out_value = *(const float *)given->data;
  else if ((call->version->flags & BOUNDS_ARE_ATTRIBUTES) != 0) *out_value = pleat_attr_float(call->node, attr);
  return true;
}

bool pleat_clip_bounds(const pleat_call *call, float *out_low, float *out_high) {
  return read_bound(call, 1, "min", -INFINITY, out_low) && read_bound(call, 2, "max", INFINITY, out_high);
}

static pleat_status clip_run(const pleat_call *call) {
  const clip_state *state = call->state;
  if (pleat_out(call, 0) == NULL) return PLEAT_OK;
  const pleat_tensor *low = pleat_in(call, 1), *high = pleat_in(call, 2);
  const void *inputs[] = {call->inputs[0]->data, low != NULL ? low->data : state->bounds[0],
                          high != NULL ? high->data : state->bounds[1]};
  pleat_elementwise_apply(&state->op, inputs, call->outputs[0]->data, call->threads);
  return PLEAT_OK;
}

static const pleat_kernel clip_kernel = {.name = "reference",
                                         .types = PLEAT_M_NUMBERS,
                                         .flags = PLEAT_KERNEL_WIDEN,
                                         .inplace = 1u,
                                         .prepare = clip_prepare,
                                         .run = clip_run};
PLEAT_EW_DEF_WITH(Clip, clip, clip_versions, clip_attrs, clip_infer,
                  PLEAT_X86_KERNEL(pleat_x86_unary) PLEAT_ONEDNN_KERNEL(pleat_onednn_eltwise))

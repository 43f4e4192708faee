/* Operators of any number of inputs: Max, Min, Sum, Mean. The first step combines inputs 0 and 1 into the output, each
 * further one the output and the next input, in order; so the output may be the memory of input 0 or 1, but of no later
 * one. Source: the operators' ONNX specifications; NaN propagates as in numpy. */
#include <string.h>

#include "ops/broadcast.h"

#define PLEAT_TEMPLATE "ops/variadic.inc"
#define PLEAT_TEMPLATE_FLOATS
#define PLEAT_TEMPLATE_SINTS
#define PLEAT_TEMPLATE_UINTS
#include "ops/template.h"

#define M_F16_UP (PLEAT_M_F32 | PLEAT_M_F64 | PLEAT_M(PLEAT_FLOAT16))
#define V(since, types, flags)                                                                                         \
  { since, 1, -1, 1, 1, types, flags }

static const pleat_op_version order_versions[] = {
    V(1, M_F16_UP, PLEAT_EW_EQUAL),    V(6, M_F16_UP, PLEAT_EW_EQUAL), V(8, M_F16_UP, 0),
    V(12, M_F16_UP | PLEAT_M_INTS, 0), V(13, PLEAT_M_NUMBERS, 0),      {0}};
static const pleat_op_version sum_versions[] = {
    V(1, M_F16_UP, PLEAT_EW_EQUAL), V(6, M_F16_UP, PLEAT_EW_EQUAL), V(8, M_F16_UP, 0), V(13, PLEAT_M_FLOATS, 0), {0}};
static const pleat_op_attr consumed_attrs[] = {PLEAT_EW_CONSUMED, {0}};

typedef struct variadic_state {
  size_t count; /* steps: inputs - 1 */
  pleat_elementwise steps[];
} variadic_state;

/* `loops` for every step, `last` for the last one. */
static pleat_status variadic_prepare(pleat_call *call, const pleat_loops *loops, const pleat_loops *last) {
  const pleat_tensor *out = pleat_out(call, 0);
  const size_t count = call->input_count - 1;
  if (out == NULL) return PLEAT_OK;
  variadic_state *state = pleat_call_state(call, sizeof *state + count * sizeof state->steps[0]);
  if (state == NULL) return PLEAT_OOM(call->error);
  const pleat_dtype dtypes[] = {out->dtype, out->dtype};
  state->count = count;
  for (size_t i = 0; i < count; i++) {
    const pleat_tensor *a = i == 0 ? call->inputs[0] : out, *b = call->inputs[i + 1];
    const pleat_shape shapes[] = {pleat_shape_of(a->rank, a->dims), pleat_shape_of(b->rank, b->dims)};
    const pleat_loop loop = (i + 1 == count ? last : loops)->by_dtype[out->dtype];
    state->steps[i].params[0] = (double)call->input_count;
    if (loop == NULL || !pleat_elementwise_init(&state->steps[i], loop, 2, shapes, dtypes, out)) {
      return pleat_fail(call->error, PLEAT_SHAPE_MISMATCH, "%s: input %zu does not broadcast to the output",
                        call->node->op_type, i + 1);
    }
  }
  return PLEAT_OK;
}

static pleat_status variadic_run(const pleat_call *call) {
  const variadic_state *state = call->state;
  pleat_tensor *out = pleat_out(call, 0);
  if (out == NULL || out->count == 0) return PLEAT_OK;
  if (state->count == 0 && out->data != call->inputs[0]->data) {
    memcpy(out->data, call->inputs[0]->data, pleat_bytes(out));
  }
  for (size_t i = 0; i < state->count; i++) {
    const void *inputs[] = {i == 0 ? call->inputs[0]->data : out->data, call->inputs[i + 1]->data};
    pleat_elementwise_apply(&state->steps[i], inputs, out->data, call->threads);
  }
  return PLEAT_OK;
}

#define VARIADIC(Name, id, last_id, versions, kernel_types, ...)                                                       \
  static pleat_status id##_prepare(pleat_call *call) {                                                                 \
    return variadic_prepare(call, &id##_loops, &last_id##_loops);                                                      \
  }                                                                                                                    \
  static const pleat_kernel id##_kernel = {.name = "reference",                                                        \
                                           .types = (kernel_types),                                                    \
                                           .flags = PLEAT_KERNEL_WIDEN,                                                \
                                           .inplace = 3u,                                                              \
                                           .prepare = id##_prepare,                                                    \
                                           .run = variadic_run};                                                       \
  PLEAT_EW_DEF_WITH(Name, id, versions, consumed_attrs, pleat_infer_elementwise, __VA_ARGS__)

static const pleat_loops max_loops = {.by_dtype = {PLEAT_LOOPS_NUMBERS(max_loop)}};
static const pleat_loops min_loops = {.by_dtype = {PLEAT_LOOPS_NUMBERS(min_loop)}};
static const pleat_loops sum_loops = {.by_dtype = {PLEAT_LOOPS_FLOATS(sum_loop)}};
static const pleat_loops last_mean_loops = {.by_dtype = {PLEAT_LOOPS_FLOATS(mean_loop)}};
static const pleat_loops mean_loops = {.by_dtype = {PLEAT_LOOPS_FLOATS(sum_loop)}};

VARIADIC(Max, max, max, order_versions, PLEAT_M_NUMBERS, PLEAT_ONEDNN_KERNEL(pleat_onednn_binary))
VARIADIC(Min, min, min, order_versions, PLEAT_M_NUMBERS, PLEAT_ONEDNN_KERNEL(pleat_onednn_binary))
VARIADIC(Sum, sum, sum, sum_versions, PLEAT_M_FLOATS,
         PLEAT_ONEDNN_KERNEL(pleat_onednn_binary) PLEAT_ONEDNN_KERNEL(pleat_onednn_sum))
VARIADIC(Mean, mean, last_mean, sum_versions, PLEAT_M_FLOATS, )

/* MatMulInteger and ConvInteger: products of 8-bit integers less their zero points, in 32 bits.
 *
 * From the ONNX specification: y = (a - a_zero_point) * (b - b_zero_point), wrapping around in int32; padding of
 * ConvInteger is the zero point. The differences are taken first, as uint32, and multiplied as all other integers are
 * (block_gemm.h). A zero point is one number; for MatMulInteger also one a row of A, or one a column of B; for
 * ConvInteger one a filter of W. */
#include <inttypes.h>
#include <string.h>

#include "core/checked.h"
#include "ops/conv.h"
#include "ops/matmul.h"

#define M_8 (PLEAT_M(PLEAT_INT8) | PLEAT_M(PLEAT_UINT8))

/* Which zero point an element has: i / inner % count, and with `matrix` elements in one of a batch of matrices that
 * have zero points of their own, i / matrix * slices + i / inner % slices. */
typedef struct zero_points {
  const pleat_tensor *values; /* NULL: all are 0 */
  size_t inner, slices, matrix;
} zero_points;

static size_t zero_point_index(const zero_points *zero, size_t i) {
  const size_t count = zero->values->count;
  return count == zero->slices ? i / zero->inner % count
                               : i / zero->matrix * zero->slices + i / zero->inner % zero->slices;
}

/* out[i] = in[i] less its zero point. */
static void subtract(const pleat_tensor *in, const zero_points *zero, uint32_t *out) {
  const size_t count = zero->values != NULL ? zero->values->count : 0;
  const size_t run = count <= 1 ? in->count : zero->inner;
  for (size_t at = 0; at < in->count; at += run) {
    const size_t index = count <= 1 ? 0 : zero_point_index(zero, at);
    const uint32_t offset = count == 0 ? 0 : (uint32_t)pleat_load_i64(zero->values->dtype, zero->values->data, index);
    if (in->dtype == PLEAT_UINT8) {
      const uint8_t *from = in->data;
      for (size_t i = at; i < at + run; i++) out[i] = from[i] - offset;
    } else {
      const int8_t *from = in->data;
      for (size_t i = at; i < at + run; i++) out[i] = (uint32_t)from[i] - offset;
    }
  }
}

/* ---- inference ---- */

static pleat_status check_types(const pleat_infer *ctx) {
  for (size_t i = 0; i < ctx->input_count; i++) {
    const pleat_dtype found = ctx->inputs[i].dtype, partner = i >= 2 ? ctx->inputs[i - 2].dtype : PLEAT_UNDEFINED;
    if (!pleat_infer_has(ctx, i) || found == PLEAT_UNDEFINED) continue;
    if ((PLEAT_M(found) & M_8) == 0 || (partner != PLEAT_UNDEFINED && partner != found))
      return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "input %zu: expected type %s, found %s", i,
                        partner != PLEAT_UNDEFINED ? pleat_dtype_name(partner) : "int8 or uint8",
                        pleat_dtype_name(found));
  }
  return PLEAT_OK;
}

/* A zero point of one number, or of `slices` of them, or of as many in each of `batch` matrices. */
static pleat_status check_zero_point(const pleat_infer *ctx, size_t input, pleat_dim slices, pleat_dim batch) {
  if (!pleat_infer_has(ctx, input) || ctx->inputs[input].shape.rank < 0) return PLEAT_OK;
  const pleat_shape *shape = &ctx->inputs[input].shape;
  const pleat_dim count = pleat_shape_product(shape, 0, shape->rank);
  if (!pleat_dim_is_known(count) || count.value == 1) return PLEAT_OK;
  if (!pleat_dim_is_known(slices) || !pleat_dim_is_known(batch)) return PLEAT_OK;
  if (count.value == slices.value || count.value == slices.value * batch.value) return PLEAT_OK;
  return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH,
                    "zero point (input %zu): expected one number or %" PRId64 " of them, found %" PRId64, input,
                    slices.value, count.value);
}

static pleat_status conv_infer(pleat_infer *ctx) {
  const pleat_shape *w = &ctx->inputs[1].shape;
  PLEAT_TRY(check_types(ctx));
  PLEAT_TRY(pleat_conv_infer_shape(ctx));
  PLEAT_TRY(check_zero_point(ctx, 2, pleat_dim_known(1), pleat_dim_known(1)));
  PLEAT_TRY(check_zero_point(ctx, 3, w->rank > 0 ? w->dims[0] : pleat_dim_unknown(), pleat_dim_known(1)));
  if (pleat_infer_out(ctx, 0) != NULL) ctx->outputs[0].dtype = PLEAT_INT32;
  return PLEAT_OK;
}

/* How many matrices there are in a batch. */
static pleat_dim batch_of(const pleat_shape *shape) {
  return shape->rank > 2 ? pleat_shape_product(shape, 0, shape->rank - 2) : pleat_dim_known(1);
}

static pleat_status matmul_infer(pleat_infer *ctx) {
  const pleat_shape *a = &ctx->inputs[0].shape, *b = &ctx->inputs[1].shape;
  const pleat_dim one = pleat_dim_known(1), any = pleat_dim_unknown();
  PLEAT_TRY(check_types(ctx));
  PLEAT_TRY(pleat_matmul_infer_shape(ctx));
  const pleat_dim rows = a->rank < 0 ? any : a->rank > 1 ? a->dims[a->rank - 2] : one;
  const pleat_dim cols = b->rank < 0 ? any : b->rank > 1 ? b->dims[b->rank - 1] : one;
  PLEAT_TRY(check_zero_point(ctx, 2, rows, batch_of(a)));
  PLEAT_TRY(check_zero_point(ctx, 3, cols, batch_of(b)));
  if (pleat_infer_out(ctx, 0) != NULL) ctx->outputs[0].dtype = PLEAT_INT32;
  return PLEAT_OK;
}

/* ---- the kernels ---- */

typedef struct integer_product {
  const pleat_conv *conv;
  const pleat_matmul *matmul;
  size_t a_at, b_at; /* places in the workspace: both inputs as uint32 */
} integer_product;

/* Room for both inputs behind what the product itself uses. */
static pleat_status add_workspace(pleat_call *call, integer_product *state) {
  size_t *places[] = {&state->a_at, &state->b_at}, bytes;
  for (size_t i = 0; i < 2; i++) {
    if (!pleat_align_up(call->workspace_size, 64, places[i]) ||
        !pleat_mul_size(call->inputs[i]->count, sizeof(uint32_t), &bytes) ||
        !pleat_add_size(*places[i], bytes, &call->workspace_size))
      return PLEAT_OOM(call->error);
  }
  return PLEAT_OK;
}

static pleat_status conv_prepare(pleat_call *call) {
  integer_product *state = pleat_call_state(call, sizeof *state);
  if (state == NULL) return PLEAT_OOM(call->error);
  PLEAT_TRY(pleat_conv_plan(call, PLEAT_UINT32, &state->conv));
  return add_workspace(call, state);
}

static pleat_status matmul_prepare(pleat_call *call) {
  integer_product *state = pleat_call_state(call, sizeof *state);
  if (state == NULL) return PLEAT_OOM(call->error);
  PLEAT_TRY(pleat_matmul_plan(call, PLEAT_UINT32, &state->matmul));
  return add_workspace(call, state);
}

static pleat_status conv_run(const pleat_call *call) {
  const integer_product *state = call->state;
  const pleat_tensor *x = call->inputs[0], *w = call->inputs[1];
  uint32_t *a = (uint32_t *)(void *)((char *)call->workspace + state->a_at);
  uint32_t *b = (uint32_t *)(void *)((char *)call->workspace + state->b_at);
  const size_t filters = (size_t)w->dims[0];
  const zero_points x_zero = {.values = pleat_in(call, 2), .slices = 1, .inner = x->count, .matrix = x->count};
  const zero_points w_zero = {.values = pleat_in(call, 3),
                              .slices = filters,
                              .inner = filters > 0 ? w->count / filters : 1,
                              .matrix = w->count};
  subtract(x, &x_zero, a);
  subtract(w, &w_zero, b);
  pleat_conv_run(state->conv, call, a, b, NULL, call->outputs[0]->data);
  return PLEAT_OK;
}

static pleat_status matmul_run(const pleat_call *call) {
  const integer_product *state = call->state;
  const pleat_tensor *left = call->inputs[0], *right = call->inputs[1];
  uint32_t *a = (uint32_t *)(void *)((char *)call->workspace + state->a_at);
  uint32_t *b = (uint32_t *)(void *)((char *)call->workspace + state->b_at);
  const size_t depth = (size_t)left->dims[left->rank - 1];
  const size_t rows = left->rank > 1 ? (size_t)left->dims[left->rank - 2] : 1;
  const size_t cols = right->rank > 1 ? (size_t)right->dims[right->rank - 1] : 1;
  const zero_points a_zero = {.values = pleat_in(call, 2), .slices = rows, .inner = depth, .matrix = rows * depth};
  const zero_points b_zero = {.values = pleat_in(call, 3), .slices = cols, .inner = 1, .matrix = depth * cols};
  subtract(left, &a_zero, a);
  subtract(right, &b_zero, b);
  pleat_matmul_run(state->matmul, call, a, b, call->outputs[0]->data);
  return PLEAT_OK;
}

/* ---- definitions ---- */

static const pleat_op_version conv_versions[] = {
    {.since = 10, .min_inputs = 2, .max_inputs = 4, .min_outputs = 1, .max_outputs = 1, .types = M_8}, {0}};
static const pleat_op_version matmul_versions[] = {
    {.since = 10, .min_inputs = 2, .max_inputs = 4, .min_outputs = 1, .max_outputs = 1, .types = M_8}, {0}};

static const pleat_op_attr conv_attrs[] = {{.name = "auto_pad", .type = PLEAT_ATTR_STRING, .s = "NOTSET"},
                                           {.name = "dilations", .type = PLEAT_ATTR_INTS},
                                           {.name = "group", .type = PLEAT_ATTR_INT, .i = 1},
                                           {.name = "kernel_shape", .type = PLEAT_ATTR_INTS},
                                           {.name = "pads", .type = PLEAT_ATTR_INTS},
                                           {.name = "strides", .type = PLEAT_ATTR_INTS},
                                           {0}};

static const pleat_kernel conv_kernel = {.name = "reference", .types = M_8, .prepare = conv_prepare, .run = conv_run};
static const pleat_kernel matmul_kernel = {
    .name = "reference", .types = M_8, .prepare = matmul_prepare, .run = matmul_run};

const pleat_op_def pleat_op_ConvInteger = {.domain = "",
                                           .name = "ConvInteger",
                                           .versions = conv_versions,
                                           .attrs = conv_attrs,
                                           .infer = conv_infer,
                                           .apart = pleat_apart_first,
                                           .kernels = (const pleat_kernel *const[]){&conv_kernel, NULL},
                                           .macs = pleat_conv_macs};
const pleat_op_def pleat_op_MatMulInteger = {.domain = "",
                                             .name = "MatMulInteger",
                                             .versions = matmul_versions,
                                             .infer = matmul_infer,
                                             .kernels = (const pleat_kernel *const[]){&matmul_kernel, NULL},
                                             .macs = pleat_matmul_macs};

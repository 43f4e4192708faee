/* Range: start, start + delta, ... up to but without limit. The shape depends on the values of all three. Half types
 * are computed in double and rounded once. */
#include <math.h>

#include "ops/movement.h"

#define TYPES (PLEAT_M_FLOATS | PLEAT_M_INTS)
static const pleat_op_version versions[] = {{11, 3, 3, 1, 1, TYPES, 0}, {0}};

#define PLEAT_TEMPLATE "ops/range.inc"
#define PLEAT_TEMPLATE_FLOATS
#define PLEAT_TEMPLATE_SINTS
#define PLEAT_TEMPLATE_UINTS
#include "ops/template.h"

static pleat_status count_elements(const pleat_tensor *const in[3], int64_t *out, pleat_error *error) {
  const void *start = in[0]->data, *limit = in[1]->data, *delta = in[2]->data;
  if (PLEAT_M(in[0]->dtype) & PLEAT_M_HALF) {
    double values[3];
    for (int i = 0; i < 3; i++) values[i] = pleat_load_f64(in[i]->dtype, in[i]->data, 0);
    return range_count_f64(&values[0], &values[1], &values[2], out, error);
  }
  PLEAT_SWITCH_NUMBERS(in[0]->dtype, return, range_count, (start, limit, delta, out, error))
  return pleat_fail(error, PLEAT_UNSUPPORTED, "not for %s", pleat_dtype_name(in[0]->dtype));
}

static pleat_status infer(pleat_infer *ctx) {
  PLEAT_TRY(pleat_require_tensors(ctx));
  pleat_type *out = &ctx->outputs[0];
  const pleat_tensor *data[3];
  bool known = true;
  out->shape = pleat_shape_of_rank(1);
  for (size_t i = 0; i < 3; i++) {
    PLEAT_TRY(pleat_require_same_type(ctx, 0, i));
    if (out->dtype == PLEAT_UNDEFINED) out->dtype = ctx->inputs[i].dtype;
    data[i] = ctx->inputs[i].data;
    if (data[i] != NULL && data[i]->count != 1)
      return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "input %zu: expected a scalar, found %zu elements", i,
                        data[i]->count);
    known = known && data[i] != NULL && data[i]->data != NULL;
  }
  if (!known) return PLEAT_OK;
  int64_t count = 0;
  PLEAT_TRY(count_elements(data, &count, ctx->error));
  out->shape.dims[0] = pleat_dim_known(count);
  return PLEAT_OK;
}

static pleat_status run(const pleat_call *call) {
  const void *start = pleat_in(call, 0)->data, *delta = pleat_in(call, 2)->data;
  pleat_tensor *out = pleat_out(call, 0);
  PLEAT_SWITCH_NUMBERS(out->dtype, , range_fill, (start, delta, out->data, out->count))
  if (!(PLEAT_M(out->dtype) & PLEAT_M_HALF)) return PLEAT_OK;
  double first = pleat_load_f64(out->dtype, start, 0), step = pleat_load_f64(out->dtype, delta, 0);
  for (size_t i = 0; i < out->count; i++) pleat_store_f64(out->dtype, out->data, i, first + (double)i * step);
  return PLEAT_OK;
}

static const pleat_kernel reference = {.name = "reference", .types = TYPES, .run = run};
const pleat_op_def pleat_op_Range = {.name = "Range",
                                     .domain = "",
                                     .versions = versions,
                                     .infer = infer,
                                     .kernels = (const pleat_kernel *const[]){&reference, NULL}};

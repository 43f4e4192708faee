/* CumSum: running sums along an axis, inclusive or exclusive, from either end.
 *
 * The tensor is seen as [outer, length, inner]; every line is summed on its own. Floats are added up in double and
 * rounded once an element, integers wrap around. The axis is an input: where it is not known ahead, run checks it.
 * Source: the operator's text; exclusive sums start at 0 and leave out the element itself. */
#include <inttypes.h>

#include "ops/movement.h"

static const pleat_op_version versions[] = {
    {11, 2, 2, 1, 1, PLEAT_M_NUMBERS, 0}, {14, 2, 2, 1, 1, PLEAT_M_NUMBERS, 0}, {0}};
static const pleat_op_attr attrs[] = {
    {.name = "exclusive", .type = PLEAT_ATTR_INT}, {.name = "reverse", .type = PLEAT_ATTR_INT}, {0}};

typedef struct cumsum_job {
  int64_t outer, length, inner;
  bool exclusive, reverse;
} cumsum_job;

#define PLEAT_TEMPLATE "ops/cumsum.inc"
#define PLEAT_TEMPLATE_FLOATS
#define PLEAT_TEMPLATE_SINTS
#define PLEAT_TEMPLATE_UINTS
#include "ops/template.h"

static pleat_status read_axis(const pleat_tensor *tensor, int rank, int *out_axis, pleat_error *error) {
  bool known = false;
  int64_t axis = 0;
  PLEAT_TRY(pleat_scalar_i64(tensor, "axis", &known, &axis, error));
  if (!known || pleat_axis(axis, rank, out_axis)) return PLEAT_OK;
  return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "axis %" PRId64 " is out of range for %d dimensions", axis, rank);
}

static pleat_status infer(pleat_infer *ctx) {
  int axis = 0;
  PLEAT_TRY(pleat_require_tensors(ctx));
  PLEAT_TRY(pleat_require_index_type(ctx, 1));
  PLEAT_TRY(pleat_infer_same(ctx));
  const pleat_shape *in = &ctx->inputs[0].shape;
  return in->rank < 0 ? PLEAT_OK : read_axis(ctx->inputs[1].data, in->rank, &axis, ctx->error);
}

static pleat_status run(const pleat_call *call) {
  const pleat_tensor *in = pleat_in(call, 0);
  pleat_tensor *out = pleat_out(call, 0);
  int axis = 0;
  PLEAT_TRY(read_axis(pleat_in(call, 1), in->rank, &axis, call->error));
  if (in->count == 0) return PLEAT_OK;
  cumsum_job job = {.outer = pleat_volume(in->dims, 0, axis),
                    .length = in->dims[axis],
                    .inner = pleat_volume(in->dims, axis + 1, in->rank),
                    .exclusive = pleat_attr_int(call->node, "exclusive") != 0,
                    .reverse = pleat_attr_int(call->node, "reverse") != 0};
  PLEAT_SWITCH_NUMBERS(in->dtype, , cumsum, (&job, in->data, out->data))
  return PLEAT_OK;
}

static const pleat_kernel reference = {
    .name = "reference", .types = PLEAT_M_NUMBERS, .flags = PLEAT_KERNEL_WIDEN, .inplace = 1, .run = run};

static const char *apart(const pleat_infer *whole, const pleat_role *roles) {
  int axis = 0;
  if (whole->inputs[1].data == NULL) return "its axis is not known";
  if (read_axis(whole->inputs[1].data, whole->inputs[0].shape.rank, &axis, NULL) != PLEAT_OK || axis == 0)
    return "it runs along the samples";
  return pleat_apart_first(whole, roles);
}

const pleat_op_def pleat_op_CumSum = {.name = "CumSum",
                                      .domain = "",
                                      .versions = versions,
                                      .attrs = attrs,
                                      .infer = infer,
                                      .apart = apart,
                                      .kernels = (const pleat_kernel *const[]){&reference, NULL}};

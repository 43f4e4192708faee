/* TopK: the k largest or smallest elements along an axis, with their indices; equal values in order of their indices.
 * A heap of k indices whose top is the worst one kept, which is then sorted in place: O(n log k), no copy of the data.
 */
#include "core/checked.h"
#include "ops/slices.h"

typedef struct topk_plan {
  pleat_slices slices;
  size_t k;
  int64_t *indices; /* output 1, or scratch */
  bool largest;
} topk_plan;

#define PLEAT_TEMPLATE "ops/topk.inc"
#define PLEAT_TEMPLATE_FLOATS
#define PLEAT_TEMPLATE_SINTS
#define PLEAT_TEMPLATE_UINTS
#include "ops/template.h"

enum { K_INPUT = 1, EITHER_END = 2 }; /* version flags: k is an input; the attribute largest is there */

/* k, or -1 when it is not known. */
static pleat_status infer_k(pleat_infer *ctx, int64_t *out_k) {
  pleat_status status = PLEAT_OK;
  *out_k = -1;
  if ((ctx->version->flags & K_INPUT) == 0) *out_k = pleat_attr_int(ctx->node, "k");
  else if (pleat_infer_ints(ctx, 1, out_k, 1, &status) != 1) {
    if (status == PLEAT_OK && ctx->inputs[1].data != NULL)
      return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "input K: expected one value, found none");
    *out_k = -1;
    return status;
  }
  if (*out_k < 0)
    return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "K: expected a value that is not negative, found %lld",
                      (long long)*out_k);
  return PLEAT_OK;
}

static pleat_status topk_infer(pleat_infer *ctx) {
  const pleat_shape *in = &ctx->inputs[0].shape;
  pleat_type *values = pleat_infer_out(ctx, 0), *indices = pleat_infer_out(ctx, 1);
  pleat_shape shape = *in;
  int axis;
  int64_t k = -1;
  PLEAT_TRY(infer_k(ctx, &k));
  if (in->rank >= 0) {
    PLEAT_TRY(pleat_attr_axis(ctx->node, "axis", in->rank, &axis, ctx->error));
    if (k > in->dims[axis].value && pleat_dim_is_known(in->dims[axis]))
      return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "K is %lld, but axis %d has only %lld elements", (long long)k,
                        axis, (long long)in->dims[axis].value);
    shape.dims[axis] = k < 0 ? pleat_dim_unknown() : pleat_dim_known(k);
  }
  if (values != NULL) {
    values->dtype = ctx->inputs[0].dtype;
    values->shape = shape;
  }
  if (indices != NULL) {
    indices->dtype = PLEAT_INT64;
    indices->shape = shape;
  }
  return PLEAT_OK;
}

/* Without an Indices output, the indices go into the workspace. */
static pleat_status topk_prepare(pleat_call *call) {
  const pleat_tensor *values = pleat_out(call, 0);
  if (pleat_out(call, 1) != NULL || values == NULL) return PLEAT_OK;
  if (!pleat_mul_size(values->count, sizeof(int64_t), &call->workspace_size)) return PLEAT_OOM(call->error);
  return PLEAT_OK;
}

static pleat_status topk_run(const pleat_call *call) {
  const pleat_tensor *values = pleat_out(call, 0), *out = pleat_out(call, 1);
  const pleat_tensor *any = values != NULL ? values : out;
  if (any == NULL || any->count == 0) return PLEAT_OK;
  int axis = pleat_call_axis(call);
  topk_plan plan = {
      .slices = pleat_slices_of(call->inputs[0], axis, axis + 1),
      .k = (size_t)any->dims[axis],
      .indices = out != NULL ? out->data : call->workspace,
      .largest = (call->version->flags & EITHER_END) == 0 || pleat_attr_int(call->node, "largest") != 0,
  };
  PLEAT_SWITCH_NUMBERS(call->inputs[0]->dtype, (void), topk, (call, &plan))
  return PLEAT_OK;
}

static const pleat_kernel reference = {
    .name = "reference",
    .types = PLEAT_M_NUMBERS,
    .flags = PLEAT_KERNEL_WIDEN,
    .prepare = topk_prepare,
    .run = topk_run,
};
static const pleat_kernel *const kernels[] = {&reference, NULL};

static const pleat_op_attr attrs[] = {{.name = "axis", .type = PLEAT_ATTR_INT, .i = -1},
                                      {.name = "k", .type = PLEAT_ATTR_INT, .required = true, .until = 9},
                                      {.name = "largest", .type = PLEAT_ATTR_INT, .since = 11, .i = 1},
                                      /* sorted = 0 leaves the order open: it is always sorted */
                                      {.name = "sorted", .type = PLEAT_ATTR_INT, .since = 11, .i = 1},
                                      {0}};
static const pleat_op_version versions[] = {{1, 1, 1, 2, 2, PLEAT_M_FLOATS, 0},
                                            {10, 2, 2, 2, 2, PLEAT_M_FLOATS, K_INPUT},
                                            {11, 2, 2, 2, 2, PLEAT_M_NUMBERS, K_INPUT | EITHER_END},
                                            {0}};

const pleat_op_def pleat_op_TopK = {
    .domain = "",
    .name = "TopK",
    .versions = versions,
    .attrs = attrs,
    .infer = topk_infer,
    .apart = pleat_apart_axis,
    .kernels = kernels,
};

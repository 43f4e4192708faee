/* GlobalAveragePool, GlobalMaxPool and GlobalLpPool: one value for all of a channel's space. Sums are taken in double;
 * NaN is the largest value. */
#include "ops/kernels.h"
#include "ops/lp_norm.h"
#include "ops/slices.h"

/* Version flags, beside PLEAT_LP_INTEGER. */
enum global_kind { GLOBAL_AVERAGE = 0, GLOBAL_MAX = 2, GLOBAL_LP = 4 };
enum { KIND_MASK = GLOBAL_MAX | GLOBAL_LP };

typedef struct global_plan {
  enum global_kind kind;
  size_t n; /* positions of a channel */
  double p;
} global_plan;

#define PLEAT_TEMPLATE "ops/global_pool.inc"
#define PLEAT_TEMPLATE_FLOATS
#include "ops/template.h"

static pleat_status global_infer(pleat_infer *ctx) {
  const pleat_shape *in = &ctx->inputs[0].shape;
  pleat_type *out = &ctx->outputs[0];
  char text[256];
  if ((ctx->version->flags & KIND_MASK) == GLOBAL_LP) PLEAT_TRY(pleat_lp_check(ctx));
  out->dtype = ctx->inputs[0].dtype;
  if (in->rank < 0) return PLEAT_OK;
  if (in->rank < 2)
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "input X: expected [N, C, D1...], found %s",
                      pleat_shape_text(in, text, sizeof text));
  out->shape = *in;
  for (int d = 2; d < in->rank; d++) {
    if (in->dims[d].value == 0)
      return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "input X: nothing to pool in %s",
                        pleat_shape_text(in, text, sizeof text));
    out->shape.dims[d] = pleat_dim_known(1);
  }
  return PLEAT_OK;
}

static pleat_status global_run(const pleat_call *call) {
  const pleat_tensor *x = call->inputs[0];
  enum global_kind kind = (enum global_kind)(call->version->flags & KIND_MASK);
  if (x->count == 0) return PLEAT_OK;
  global_plan plan = {.kind = kind, .n = pleat_dims_product(x, 2, x->rank)};
  if (kind == GLOBAL_LP) plan.p = pleat_lp_order(call->node, call->version);
  PLEAT_SWITCH_FLOATS(x->dtype, (void), global_pool, (call, &plan))
  return PLEAT_OK;
}

static const pleat_kernel reference = {
    .name = "reference",
    .types = PLEAT_M_FLOATS,
    .flags = PLEAT_KERNEL_WIDEN,
    .run = global_run,
};
static const pleat_kernel *const kernels[] = {&reference, NULL};
static const pleat_kernel *const pool_kernels[] = {
    PLEAT_X86_KERNEL(pleat_x86_global_pool) PLEAT_ONEDNN_KERNEL(pleat_onednn_pool) & reference, NULL};

static const pleat_op_version average_versions[] = {{1, 1, 1, 1, 1, PLEAT_M_FLOATS, GLOBAL_AVERAGE}, {0}};
static const pleat_op_version max_versions[] = {{1, 1, 1, 1, 1, PLEAT_M_FLOATS, GLOBAL_MAX}, {0}};
static const pleat_op_version lp_versions[] = {
    {1, 1, 1, 1, 1, PLEAT_M_FLOATS, GLOBAL_LP}, {2, 1, 1, 1, 1, PLEAT_M_FLOATS, GLOBAL_LP | PLEAT_LP_INTEGER}, {0}};
static const pleat_op_attr lp_attrs[] = {PLEAT_LP_ATTRS, {0}};

const pleat_op_def pleat_op_GlobalAveragePool = {
    .domain = "",
    .name = "GlobalAveragePool",
    .versions = average_versions,
    .infer = global_infer,
    .apart = pleat_apart_first,
    .kernels = pool_kernels,
};
const pleat_op_def pleat_op_GlobalMaxPool = {
    .domain = "",
    .name = "GlobalMaxPool",
    .versions = max_versions,
    .infer = global_infer,
    .apart = pleat_apart_first,
    .kernels = pool_kernels,
};
const pleat_op_def pleat_op_GlobalLpPool = {
    .domain = "",
    .name = "GlobalLpPool",
    .versions = lp_versions,
    .attrs = lp_attrs,
    .infer = global_infer,
    .apart = pleat_apart_first,
    .kernels = kernels,
};

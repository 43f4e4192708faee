/* LpPool: the p-norm of each window, (sum |x|^p)^(1/p); padding counts as zero. Sums are taken in double. Source:
 * the ONNX specification of LpPool-1 to -22 (opset 1 has a float p). */
#include "ops/lp_norm.h"
#include "ops/pool.h"
#include "ops/slices.h"

typedef struct lp_state {
  pleat_pool pool; /* first */
  double p;
} lp_state;

#define PLEAT_TEMPLATE "ops/lp_pool.inc"
#define PLEAT_TEMPLATE_FLOATS
#include "ops/template.h"

static pleat_status lp_infer(pleat_infer *ctx) {
  PLEAT_TRY(pleat_lp_check(ctx));
  return pleat_pool_infer(ctx);
}

static pleat_status lp_prepare(pleat_call *call) {
  PLEAT_TRY(pleat_pool_prepare(call, sizeof(lp_state), false));
  ((lp_state *)call->state)->p = pleat_lp_order(call->node, call->version);
  return PLEAT_OK;
}

static pleat_status lp_run(const pleat_call *call) {
  PLEAT_SWITCH_FLOATS(call->inputs[0]->dtype, (void), lp_pool, (call, call->state))
  return PLEAT_OK;
}

static const pleat_kernel reference = {
    .name = "reference",
    .types = PLEAT_M_FLOATS,
    .flags = PLEAT_KERNEL_WIDEN,
    .prepare = lp_prepare,
    .run = lp_run,
};
static const pleat_kernel *const kernels[] = {&reference, NULL};

static const pleat_op_attr attrs[] = {PLEAT_POOL_ATTRS(18, 18), PLEAT_LP_ATTRS, {0}};
static const pleat_op_version versions[] = {{1, 1, 1, 1, 1, PLEAT_M_FLOATS, 0},
                                            {2, 1, 1, 1, 1, PLEAT_M_FLOATS, PLEAT_LP_INTEGER},
                                            {18, 1, 1, 1, 1, PLEAT_M_FLOATS, PLEAT_LP_INTEGER},
                                            {0}};

const pleat_op_def pleat_op_LpPool = {
    .domain = "",
    .name = "LpPool",
    .versions = versions,
    .attrs = attrs,
    .infer = lp_infer,
    .apart = pleat_apart_first,
    .kernels = kernels,
};

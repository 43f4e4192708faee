/* AveragePool: the mean of each window over the positions inside the input, or with count_include_pad inside the padded
 * input; what ceil_mode adds beyond the padding never counts. Sums are taken in double. A window that sees nothing
 * gives 0. */
#include "ops/kernels.h"
#include "ops/pool.h"
#include "ops/slices.h"

#define PLEAT_TEMPLATE "ops/average_pool.inc"
#define PLEAT_TEMPLATE_FLOATS
#include "ops/template.h"

static pleat_status average_prepare(pleat_call *call) {
  return pleat_pool_prepare(call, sizeof(pleat_pool), pleat_attr_int(call->node, "count_include_pad") != 0);
}

static pleat_status average_run(const pleat_call *call) {
  PLEAT_SWITCH_FLOATS(call->inputs[0]->dtype, (void), average_pool, (call, call->state))
  return PLEAT_OK;
}

static const pleat_kernel reference = {
    .name = "reference",
    .types = PLEAT_M_FLOATS,
    .flags = PLEAT_KERNEL_WIDEN,
    .prepare = average_prepare,
    .run = average_run,
};
static const pleat_kernel *const kernels[] = {
    PLEAT_X86_KERNEL(pleat_x86_pool) PLEAT_ONEDNN_KERNEL(pleat_onednn_pool) & reference, NULL};

static const pleat_op_attr attrs[] = {
    PLEAT_POOL_ATTRS(10, 19), {.name = "count_include_pad", .type = PLEAT_ATTR_INT, .since = 7}, {0}};
static const pleat_op_version versions[] = {{1, 1, 1, 1, 1, PLEAT_M_FLOATS, 0},
                                            {7, 1, 1, 1, 1, PLEAT_M_FLOATS, 0},
                                            {10, 1, 1, 1, 1, PLEAT_M_FLOATS, 0},
                                            {19, 1, 1, 1, 1, PLEAT_M_FLOATS, 0},
                                            {0}};

const pleat_op_def pleat_op_AveragePool = {
    .domain = "",
    .name = "AveragePool",
    .versions = versions,
    .attrs = attrs,
    .infer = pleat_pool_infer,
    .apart = pleat_apart_first,
    .kernels = kernels,
};

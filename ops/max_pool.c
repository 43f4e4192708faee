/* MaxPool: the largest value of each window; padding never wins. NaN does. The optional second output is the flat index
 * of the first maximum in the input, with its spatial axes in row-major (storage_order 0) or column-major order. */
#include <math.h>
#include <string.h>

#include "ops/kernels.h"
#include "ops/pool.h"
#include "ops/slices.h"

typedef struct max_state {
  pleat_pool pool; /* first */
  int64_t index_stride[PLEAT_MAX_SPATIAL];
} max_state;

/* The smallest value of an integer type. */
static inline int64_t least_value(pleat_dtype dtype) {
  if ((PLEAT_M(dtype) & PLEAT_M_SINT) == 0) return 0;
  return -(int64_t)(UINT64_MAX >> (65 - pleat_dtype_bits(dtype))) - 1;
}

#define PLEAT_TEMPLATE "ops/max_pool.inc"
#define PLEAT_TEMPLATE_FLOATS
#define PLEAT_TEMPLATE_SINTS
#define PLEAT_TEMPLATE_UINTS
#include "ops/template.h"

static pleat_status max_prepare(pleat_call *call) {
  PLEAT_TRY(pleat_pool_prepare(call, sizeof(max_state), false));
  max_state *s = call->state;
  bool column_major = pleat_attr_int(call->node, "storage_order") != 0;
  int64_t stride = 1;
  for (int i = 0; i <= s->pool.last; i++) {
    s->index_stride[i] = column_major ? stride : s->pool.in_stride[i];
    stride *= s->pool.size[i];
  }
  return PLEAT_OK;
}

static pleat_status max_run(const pleat_call *call) {
  PLEAT_SWITCH_NUMBERS(call->inputs[0]->dtype, (void), max_pool, (call, call->state))
  return PLEAT_OK;
}

static const pleat_kernel reference = {
    .name = "reference",
    .types = PLEAT_M_NUMBERS,
    .flags = PLEAT_KERNEL_WIDEN,
    .prepare = max_prepare,
    .run = max_run,
};
static const pleat_kernel *const kernels[] = {
    PLEAT_X86_KERNEL(pleat_x86_pool) PLEAT_ONEDNN_KERNEL(pleat_onednn_pool) & reference, NULL};

#define BYTES (PLEAT_M(PLEAT_INT8) | PLEAT_M(PLEAT_UINT8))
static const pleat_op_attr attrs[] = {
    PLEAT_POOL_ATTRS(10, 10), {.name = "storage_order", .type = PLEAT_ATTR_INT, .since = 8}, {0}};
static const pleat_op_version versions[] = {{1, 1, 1, 1, 1, PLEAT_M_FLOATS, 0},
                                            {8, 1, 1, 1, 2, PLEAT_M_FLOATS, 0},
                                            {10, 1, 1, 1, 2, PLEAT_M_FLOATS, 0},
                                            {12, 1, 1, 1, 2, PLEAT_M_FLOATS | BYTES, 0},
                                            {0}};

/* Indices count through the whole tensor, the samples before included. */
static const char *max_pool_apart(const pleat_infer *whole, const pleat_role *roles) {
  return whole->output_count > 1 && whole->outputs[1].present ? "its indices count through all samples"
                                                              : pleat_apart_first(whole, roles);
}

const pleat_op_def pleat_op_MaxPool = {
    .domain = "",
    .name = "MaxPool",
    .versions = versions,
    .attrs = attrs,
    .infer = pleat_pool_infer,
    .apart = max_pool_apart,
    .kernels = kernels,
};

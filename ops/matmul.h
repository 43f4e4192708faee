/* What MatMul lends to MatMulInteger: the same shapes and the same products, over other numbers. */
#ifndef PLEAT_OPS_MATMUL_H
#define PLEAT_OPS_MATMUL_H

#include "ops/block_gemm.h"

typedef struct pleat_matmul pleat_matmul;

/* Shape of output 0 from those of inputs 0 and 1; no types. */
pleat_status pleat_matmul_infer_shape(pleat_infer *ctx);
double pleat_matmul_macs(const pleat_infer *ctx);

/* prepare: a plan for arrays of `dtype` (see pleat_matrix_product) in the shapes of inputs 0 and 1 and output 0. Sets
 * workspace_size; pleat_matmul_run uses the workspace's first bytes. */
pleat_status pleat_matmul_plan(pleat_call *call, pleat_dtype dtype, const pleat_matmul **out_matmul);
void pleat_matmul_run(const pleat_matmul *plan, const pleat_call *call, const void *a, const void *b, void *c);

#endif

/* The faster kernels of the library's optional parts, for the operators' kernel lists:
 *
 *   static const pleat_kernel *const kernels[] = {PLEAT_ONEDNN_KERNEL(pleat_onednn_conv) &reference, NULL};
 *
 * and what else is asked of each part that was built. This is the one place that knows which were. */
#ifndef PLEAT_OPS_KERNELS_H
#define PLEAT_OPS_KERNELS_H

#include "ops/ops.h"

#if PLEAT_ONEDNN
#define PLEAT_ONEDNN_KERNEL(name) &name,
#else
#define PLEAT_ONEDNN_KERNEL(name)
#endif

#if PLEAT_X86
#define PLEAT_X86_KERNEL(name) &name,
#else
#define PLEAT_X86_KERNEL(name)
#endif

extern const pleat_kernel pleat_x86_binary_blocks;
extern const pleat_kernel pleat_x86_batch_normalization, pleat_x86_global_pool, pleat_x86_pool, pleat_x86_reduce_mean;
extern const pleat_kernel pleat_x86_conv_direct, pleat_x86_conv_pair, pleat_x86_conv_strassen, pleat_x86_conv_transpose,
    pleat_x86_conv_winograd, pleat_x86_depthwise, pleat_x86_planes_conv, pleat_x86_planes_pair,
    pleat_x86_planes_winograd, pleat_x86_prelu, pleat_x86_rows_conv, pleat_x86_rows_gemm, pleat_x86_unary;

extern const pleat_kernel pleat_onednn_batch_normalization, pleat_onednn_binary, pleat_onednn_conv,
    pleat_onednn_conv_transpose, pleat_onednn_eltwise, pleat_onednn_gemm, pleat_onednn_lrn, pleat_onednn_matmul,
    pleat_onednn_pool, pleat_onednn_reduce_mean, pleat_onednn_reorder, pleat_onednn_resize, pleat_onednn_softmax,
    pleat_onednn_sum;

/* Whether the part multiplies bfloat16 on this CPU, within the limits that the environment sets it. */
bool pleat_onednn_has_bf16(void), pleat_x86_has_bf16(void);

#endif

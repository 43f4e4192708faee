/* The absorbers by family; absorb.c holds the table. */
#ifndef PLEAT_FOLD_ABSORB_H
#define PLEAT_FOLD_ABSORB_H

#include "fold/push.h"

extern const pleat_absorber pleat_absorb_batch_normalization, pleat_absorb_instance_normalization,
    pleat_absorb_layer_normalization, pleat_absorb_group_normalization;     /* absorb_norm.c */
extern const pleat_absorber pleat_absorb_conv, pleat_absorb_conv_transpose; /* absorb_conv.c */
extern const pleat_absorber pleat_absorb_gemm, pleat_absorb_matmul;         /* absorb_matmul.c */

/* absorb_qdq.c: a weight that DequantizeLinear makes of a constant takes a scale a channel (along `axis` of the weight)
 * into the scales of that node. */
pleat_status pleat_absorb_dequantized(pleat_push *push, pleat_node *node, size_t input, int axis, size_t channels,
                                      const pleat_affine *affine);

/* Whether the input is such a weight. (Not in a session, which has computed it already.) */
bool pleat_absorb_is_dequantized(const pleat_push *push, const pleat_node *node, size_t input);

/* absorb_border.c: what the map's shift on the input of a convolution adds to its result: sums a channel (the caller
 * frees them), or, where the borders differ, a tensor [1, M, positions...] to add; or a reason. */
pleat_status pleat_absorb_border(pleat_push *push, pleat_node *node, const pleat_tensor *weight, size_t group,
                                 const pleat_affine *affine, double **out_sums, pleat_tensor **out_map);

/* A weight times the map's scale, whose channels are `inner` elements apart and start over with the next of them after
 * `outer` elements (the groups of a convolution; all elements where there are none). NULL with a reason when it does
 * not hold in the type. */
pleat_status pleat_absorb_scaled(pleat_push *push, pleat_recipe *weight, const pleat_affine *affine, size_t channels,
                                 size_t inner, size_t outer, pleat_recipe **out_recipe);

/* A bias of `channels` elements: scale * old + shift (+ extra, when not NULL); `old` NULL is 0. */
pleat_status pleat_absorb_bias(pleat_push *push, const pleat_tensor *old, pleat_dtype dtype, size_t channels,
                               const pleat_affine *affine, const double *extra, pleat_tensor **out_tensor);

/* Puts an Add of a constant behind output 0 of `node`; the value keeps its name and readers. Takes `tensor` over. */
pleat_status pleat_absorb_add_behind(pleat_push *push, pleat_node *node, pleat_tensor *tensor);

#endif

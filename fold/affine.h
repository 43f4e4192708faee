/* BatchNormalization in inference as what it is: one affine map y = scale * x + shift a channel, in double. */
#ifndef PLEAT_FOLD_AFFINE_H
#define PLEAT_FOLD_AFFINE_H

#include "fold/fold.h"

/* The maps of one value: channel c along `axis`, or, with axis PLEAT_UNIFORM and one channel, the same everywhere. */
typedef struct pleat_affine {
  int axis;
  size_t channels;
  double *scale, *shift; /* in the graph's arena */
} pleat_affine;

enum { PLEAT_UNIFORM = -1 };

/* Room for a reason that a function below gives. */
enum { PLEAT_REASON_SIZE = 320 };

/* Reads a BatchNormalization node: scale = gamma / sqrt(var + epsilon), shift = beta - scale * mean (Ioffe and Szegedy
 * 2015, section 3.1). *out_affine is only filled when `reason` stays ""; otherwise `reason` says why the node is no
 * fixed affine map a channel: training mode, parameters that are not constant, statistics per activation, non-finite
 * results. */
pleat_status pleat_affine_of_bn(pleat_pass_context *ctx, pleat_node *node, pleat_affine *out_affine,
                                char reason[PLEAT_REASON_SIZE]);

/* The data of a weight or bias that a pass is about to change. NULL with a reason when it is not constant, or not of
 * the floating-point type `dtype` (PLEAT_UNDEFINED: of any). `what` names it: "the Gemm's B". */
pleat_status pleat_affine_read_weight(pleat_pass_context *ctx, pleat_value *value, pleat_dtype dtype, const char *what,
                                      const pleat_tensor **out_tensor, char reason[PLEAT_REASON_SIZE]);

/* Why a weight or bias cannot be changed, as text ("" when `data` is there). */
void pleat_affine_explain_weight(const pleat_value *value, const char *what, char reason[PLEAT_REASON_SIZE]);

/* Writes factor * src to `dst`, `count` elements of `dtype`, each computed in double and rounded once. `factors` has
 * one element, or, with `per_element`, `count`. False, with a reason, when a result is not finite in that type; `what`
 * names the tensor in it. */
bool pleat_affine_scale(pleat_dtype dtype, const void *src, void *dst, size_t count, const double *factors,
                        bool per_element, const char *what, char reason[PLEAT_REASON_SIZE]);

/* Rounds doubles once to `dtype` in a new tensor; NULL with a reason when one is not finite in that type. */
pleat_status pleat_affine_round(pleat_pass_context *ctx, pleat_dtype dtype, int rank, const int64_t *dims,
                                const double *values, const char *what, pleat_tensor **out_tensor,
                                char reason[PLEAT_REASON_SIZE]);

#endif

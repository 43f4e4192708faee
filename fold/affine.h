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

/* A weight or bias that a pass is about to change, unread. NULL with a reason when it is not constant, or not of a
 * floating-point type. `what` names it: "the Gemm's B". */
pleat_status pleat_affine_find_weight(pleat_pass_context *ctx, pleat_value *value, const char *what,
                                      pleat_recipe **out_recipe, char reason[PLEAT_REASON_SIZE]);

/* Why a weight or bias cannot be changed, as text ("" when `data` is there). */
void pleat_affine_explain_weight(const pleat_value *value, const char *what, char reason[PLEAT_REASON_SIZE]);

/* Rounds doubles once to `dtype` in a new tensor; NULL with a reason when one is not finite in that type. */
pleat_status pleat_affine_round(pleat_pass_context *ctx, pleat_dtype dtype, int rank, const int64_t *dims,
                                const double *values, const char *what, pleat_tensor **out_tensor,
                                char reason[PLEAT_REASON_SIZE]);

#endif

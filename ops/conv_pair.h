/* FusedConvPair, domain "pleat": two convolutions as one step, of which the second alone reads the first's result.
 * Plans make such nodes (runtime/plan/pair.c) where a kernel takes them; they are in no graph and no file.
 *
 * Inputs: X, then W and B of the first, then those of the second; both B may be absent. Outputs: the second one's, its
 * mean (ops/fused.c) among them. Attributes: FusedConv's of either, under names that begin with "first_" and "second_".
 */
#ifndef PLEAT_OPS_CONV_PAIR_H
#define PLEAT_OPS_CONV_PAIR_H

#include "ops/ops.h"

enum { PLEAT_PAIR_X, PLEAT_PAIR_W1, PLEAT_PAIR_B1, PLEAT_PAIR_W2, PLEAT_PAIR_B2, PLEAT_PAIR_INPUTS };
enum { PLEAT_PAIR_PARTS = 2, PLEAT_PAIR_PART_INPUTS = 3, PLEAT_PAIR_OUTPUTS = 2 };
enum { PLEAT_PAIR_ATTRS = 12 /* FusedConv has 9 */ };

/* The node that stands for both, named after both; NULL when out of memory. `first` and `second` are Conv or FusedConv
 * without Z, the first with one output. */
pleat_node *pleat_conv_pair_join(pleat_arena *arena, const pleat_node *first, const pleat_node *second);

/* A pair as calls of FusedConv, for prepare. What they read is the pair's own, and `between`, the first one's result,
 * without data. */
typedef struct pleat_conv_pair {
  pleat_call calls[PLEAT_PAIR_PARTS];
  pleat_node nodes[PLEAT_PAIR_PARTS];
  pleat_attr attrs[PLEAT_PAIR_PARTS][PLEAT_PAIR_ATTRS];
  pleat_tensor between;
  const pleat_tensor *inputs[PLEAT_PAIR_PARTS][PLEAT_PAIR_PART_INPUTS];
  const pleat_recipe *recipes[PLEAT_PAIR_PARTS][PLEAT_PAIR_PART_INPUTS];
  const pleat_layout *wanted[PLEAT_PAIR_PARTS][PLEAT_PAIR_PART_INPUTS];
  pleat_tensor *outputs[PLEAT_PAIR_PARTS][PLEAT_PAIR_OUTPUTS];
} pleat_conv_pair;

/* `out_pair` refers to itself: it is filled where it stays. */
pleat_status pleat_conv_pair_split(const pleat_call *call, pleat_conv_pair *out_pair);

#endif

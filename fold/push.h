/* Moving an affine map through the graph: up, into what computes a value, or down, into what reads it.
 *
 * A push first asks (commit = false: nothing changes, every obstacle gives a reason), then does (commit = true).
 * Between the map and what absorbs it may lie nodes that let it pass (through.c); several, where a value is
 * concatenated or added from several: then all of their producers have to absorb it. */
#ifndef PLEAT_FOLD_PUSH_H
#define PLEAT_FOLD_PUSH_H

#include "fold/affine.h"

typedef struct pleat_push {
  pleat_pass_context *ctx;
  bool commit;
  int depth;
  size_t budget;        /* additions a sample that the map takes where it is; fold_down's */
  size_t spent;         /* additions a sample that the fold asked for so far */
  bool may_copy;        /* a node that others read as well may be copied, if the user asked for that */
  pleat_value *read[8]; /* weights whose data this push had to read: the first few */
  size_t read_count;
  const pleat_node *target;       /* the node that absorbs (the last one, where there are several) */
  const pleat_node *copied;       /* the node that `target` is a copy of; NULL: none was copied */
  pleat_value *replacement;       /* push_up, committed: what stands for the value now */
  char reason[PLEAT_REASON_SIZE]; /* "" : it can be, or was, absorbed */
} pleat_push;

/* Makes what `reader` reads as `value` come out as affine(value). The value itself keeps its producer but gets a new
 * name, since its meaning changes: push->replacement. */
pleat_status pleat_push_up(pleat_push *push, pleat_value *value, const pleat_node *reader, pleat_affine affine);

/* Lets all readers of `value` be right when it carries the x of affine(x) instead of affine(x). */
pleat_status pleat_push_down(pleat_push *push, pleat_value *value, pleat_affine affine);

/* The elements of one sample (from axis 1 on); 0 when that is not known. */
size_t pleat_push_sample_size(const pleat_value *value);

/* ---- absorb.c: the nodes that take a map into their own constants ---- */

/* What a node can absorb, and how. `absorb` sets push->reason when it cannot; with push->commit it changes the node. */
typedef struct pleat_absorber {
  const char *op_type;
  pleat_status (*up)(pleat_push *push, pleat_node *node, const pleat_affine *affine); /* on its output 0 */
  pleat_status (*down)(pleat_push *push, pleat_node *node, size_t input, const pleat_affine *affine);
} pleat_absorber;

const pleat_absorber *pleat_absorber_find(const pleat_node *node); /* NULL: not an absorber */

/* ---- through.c: the nodes that let a map pass ---- */

/* For a node that hands a map on from its output 0 to its input `input` (`down` false: `given` holds on the output) or
 * the other way (`down` true: `given` holds on the input). An input that needs no map gets channels 0. A reason when
 * the node does not let it pass. */
pleat_status pleat_affine_through(pleat_push *push, const pleat_node *node, size_t input, size_t output, bool down,
                                  const pleat_affine *given, pleat_affine *out_affine);
bool pleat_affine_is_transparent(const pleat_node *node);

/* ---- affine arithmetic (affine_math.c) ---- */

pleat_status pleat_affine_make(pleat_pass_context *ctx, int axis, size_t channels, pleat_affine *out_affine);
/* outer(inner(x)); a reason when the two do not run along the same axis. */
pleat_status pleat_affine_compose(pleat_push *push, const pleat_affine *outer, const pleat_affine *inner,
                                  pleat_affine *out_affine);
bool pleat_affine_has_shift(const pleat_affine *affine);
bool pleat_affine_has_scale(const pleat_affine *affine);   /* any scale that is not 1 */
bool pleat_affine_is_positive(const pleat_affine *affine); /* every scale > 0 */
bool pleat_affine_is_finite(const pleat_affine *affine);
/* Element c of a map that may be uniform. */
static inline double pleat_affine_scale_at(const pleat_affine *a, size_t c) {
  return a->scale[a->channels == 1 ? 0 : c];
}
static inline double pleat_affine_shift_at(const pleat_affine *a, size_t c) {
  return a->shift[a->channels == 1 ? 0 : c];
}

/* Reads a node that is an affine map of one of its inputs: BatchNormalization, Mul, Div, Add, Sub with a constant of
 * one channel axis or a scalar, Neg. A reason when it is none. */
pleat_status pleat_affine_read(pleat_push *push, pleat_node *node, pleat_affine *out_affine, size_t *out_input);
/* Whether the operator's kind may be one. */
bool pleat_affine_is_candidate(const pleat_node *node);

/* Gives a node that was made here its second operand, a constant shaped to broadcast from the right ([C, 1, 1]); as of
 * opset 6 and below that takes attributes and a shape without trailing ones. Takes `tensor` over. */
pleat_status pleat_push_set_operand(pleat_push *push, pleat_node *node, const char *name, int rank,
                                    pleat_tensor *tensor);

/* Says in push->reason, printf-like, why not. Always returns PLEAT_OK. */
pleat_status pleat_push_refuse(pleat_push *push, const char *format, ...) PLEAT_PRINTF(2, 3);

/* A name for what is made from `base`; a long base is cut short, between two characters. */
enum { PLEAT_NAME_SIZE = 512 };
void pleat_push_name(char name[PLEAT_NAME_SIZE], const char *base, const char *suffix);

/* A constant that is to be rewritten, or a reason that calls it `what`: its type, shape and how its data come about,
 * ... */
pleat_status pleat_push_recipe(pleat_push *push, pleat_value *value, const char *what, pleat_recipe **out_recipe);
/* ... or its data, until the push is over. */
pleat_status pleat_push_weight(pleat_push *push, pleat_value *value, const char *what, const pleat_tensor **out_tensor);
/* Makes `tensor` (which is taken over) the node's input `index`, under a new name that tells of the old one. */
pleat_status pleat_push_set_weight(pleat_push *push, pleat_node *node, size_t index, const char *suffix,
                                   pleat_tensor *tensor);
/* The same for one that is computed when somebody needs it. */
pleat_status pleat_push_set_recipe(pleat_push *push, pleat_node *node, size_t index, const char *suffix,
                                   const pleat_recipe *recipe);

/* When a push is over: gives back the memory of the weights that it read. */
void pleat_push_forget(pleat_push *push);

/* One number a channel along `axis` of the node's result, shaped to broadcast to it ([C, 1, 1] for axis 1 of 4). NULL
 * with a reason when the rank is not known or a value does not hold in the type. */
pleat_status pleat_affine_constant(pleat_push *push, const pleat_node *node, int axis, size_t channels,
                                   const double *values, pleat_tensor **out_tensor);

/* Puts `op_type`(value, constant) in the place of a node whose first output it writes. Takes `constant` over. */
pleat_status pleat_affine_replace_by(pleat_push *push, pleat_node *node, const char *op_type, pleat_value *value,
                                     pleat_tensor *constant);

#endif

/* What promote.c and promote_border.c share: which types of a graph become wider, and which values stay. */
#ifndef PLEAT_GRAPH_PROMOTE_H
#define PLEAT_GRAPH_PROMOTE_H

#include "graph/graph_private.h"
#include "ops/ops.h"

typedef struct pleat_promotion {
  pleat_dtype_mask narrow; /* the types that become `wide` */
  pleat_dtype wide;
  bool *kept; /* by value id: those that keep their types; NULL: none does */
  size_t kept_count;
} pleat_promotion;

static inline bool pleat_promotion_keeps(const pleat_promotion *p, const pleat_value *value) {
  return value->id < p->kept_count && p->kept[value->id];
}

/* ---- promote.c ---- */

/* A Cast behind `after`, which has neither input nor output yet. NULL when out of memory. */
pleat_node *pleat_promotion_add_cast(pleat_graph *graph, pleat_node *after, pleat_dtype to);

/* ---- promote_border.c ---- */

/* Whether the node is asked to make a half of another type, and stays as it is. */
bool pleat_promotion_is_rounding(const pleat_promotion *p, const pleat_node *node);
/* Sets `narrow` and `kept`. *out_found: there is something to be widened, and nothing against it. */
pleat_status pleat_promotion_find_border(pleat_promotion *p, pleat_graph *root, bool *out_found, pleat_error *error);
/* Casts between the values that were kept and the others, which have their new types. */
pleat_status pleat_promotion_join_border(const pleat_promotion *p, pleat_graph *root, pleat_error *error);

#endif

/* Physical layouts: how a tensor inside a plan lies in memory when it is not dense and row-major (tensor->layout NULL).
 *
 * A layout belongs to the kernel library that made it, its family: only that family's kernels read or write such a
 * tensor. Everybody else (the planner, the memory planner, reports) uses the functions here. A layout lives in the
 * arena of the call whose prepare made it, as long as the plan. */
#ifndef PLEAT_OPS_LAYOUT_H
#define PLEAT_OPS_LAYOUT_H

#include "ops/ops.h"

typedef struct pleat_layout_family {
  const char *name;
  size_t (*bytes)(const pleat_layout *layout);
  bool (*equal)(const pleat_layout *a, const pleat_layout *b); /* two of this family */
  const char *(*text)(const pleat_layout *layout, char *buffer, size_t size);
  const pleat_kernel *reorder; /* input 0 to output 0, of the same shape; either layout may be NULL */
} pleat_layout_family;

/* The first member of the family's own structure. */
struct pleat_layout {
  const pleat_layout_family *family;
};

static inline bool pleat_layout_equal(const pleat_layout *a, const pleat_layout *b) {
  if (a == b) return true;
  return a != NULL && b != NULL && a->family == b->family && a->family->equal(a, b);
}

/* Bytes that the tensor takes, padding of its layout included. */
static inline size_t pleat_layout_bytes(const pleat_tensor *tensor) {
  return tensor->layout != NULL ? tensor->layout->family->bytes(tensor->layout) : pleat_bytes(tensor);
}

/* The kernel that takes a tensor from one layout to another: NULL when two families would have to understand each
 * other. */
static inline const pleat_kernel *pleat_layout_reorder(const pleat_layout *from, const pleat_layout *to) {
  if (from != NULL && to != NULL && from->family != to->family) return NULL;
  return from != NULL ? from->family->reorder : to->family->reorder;
}

#endif

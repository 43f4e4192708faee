/* A tensor seen as [outer, n, inner] around one axis: the view that softmax, arg-reductions, TopK and the
 * normalisations work on. Element (o, i, j) is at (o * n + i) * inner + j. */
#ifndef PLEAT_OPS_SLICES_H
#define PLEAT_OPS_SLICES_H

#include "core/parallel.h"
#include "ops/axes.h"
#include "ops/ops.h"

/* Columns that one task handles at a time when inner > 1: small enough for accumulators on the stack. */
enum { PLEAT_SLICE_BLOCK = 64 };

typedef struct pleat_slices {
  size_t outer, n, inner;
  size_t blocks; /* blocks of PLEAT_SLICE_BLOCK columns in `inner` */
} pleat_slices;

static inline size_t pleat_dims_product(const pleat_tensor *tensor, int from, int to) {
  return (size_t)pleat_volume(tensor->dims, from, to);
}

/* Dimensions [first, last) become n. An empty tensor gives outer 0, so that no product can overflow. */
static inline pleat_slices pleat_slices_of(const pleat_tensor *tensor, int first, int last) {
  pleat_slices s = {.outer = 0};
  if (tensor->count == 0) return s;
  s.outer = pleat_dims_product(tensor, 0, first);
  s.n = pleat_dims_product(tensor, first, last);
  s.inner = pleat_dims_product(tensor, last, tensor->rank);
  s.blocks = (s.inner + PLEAT_SLICE_BLOCK - 1) / PLEAT_SLICE_BLOCK;
  return s;
}

/* Columns of block `block`. */
static inline size_t pleat_slices_width(const pleat_slices *s, size_t block) {
  size_t left = s->inner - block * PLEAT_SLICE_BLOCK;
  return left < PLEAT_SLICE_BLOCK ? left : PLEAT_SLICE_BLOCK;
}

/* The `axis` attribute in a kernel, where infer has checked it. */
static inline int pleat_call_axis(const pleat_call *call) {
  int axis = 0;
  (void)pleat_axis(pleat_attr_int(call->node, "axis"), call->inputs[0]->rank, &axis);
  return axis;
}

#endif

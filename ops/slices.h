/* A tensor seen as [outer, n, inner] around one axis: the view that softmax, arg-reductions, TopK and the
 * normalisations work on. Element (o, i, j) is at (o * n + i) * inner + j. */
#ifndef PLEAT_OPS_SLICES_H
#define PLEAT_OPS_SLICES_H

#include "ops/ops.h"

/* Columns that one task handles at a time when inner > 1: small enough for accumulators on the stack. */
enum { PLEAT_SLICE_BLOCK = 64 };
/* Below so many elements, threads cost more than they give. */
enum { PLEAT_PARALLEL_MIN = 1 << 15 };

typedef struct pleat_slices {
  size_t outer, n, inner;
  size_t blocks; /* blocks of PLEAT_SLICE_BLOCK columns in `inner` */
} pleat_slices;

static inline size_t pleat_dims_product(const pleat_tensor *tensor, int from, int to) {
  size_t product = 1;
  for (int i = from; i < to; i++) product *= (size_t)tensor->dims[i];
  return product;
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

/* The `axis` attribute as an index; fails with a message when it is out of range. */
static inline pleat_status pleat_infer_axis(const pleat_infer *ctx, int rank, int *out_axis) {
  *out_axis = 0;
  int64_t axis = pleat_attr_int(ctx->node, "axis");
  if (pleat_axis(axis, rank, out_axis)) return PLEAT_OK;
  return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "attribute axis: expected a value in [%d, %d], found %lld",
                    -rank, rank - 1, (long long)axis);
}

/* The same in a kernel, where infer has checked it. */
static inline int pleat_call_axis(const pleat_call *call) {
  int axis = 0;
  (void)pleat_axis(pleat_attr_int(call->node, "axis"), call->inputs[0]->rank, &axis);
  return axis;
}

#endif

/* Shapes with symbolic dimensions, and strides for views. */
#ifndef PLEAT_CORE_SHAPE_H
#define PLEAT_CORE_SHAPE_H

#include <stdbool.h>

#include "core/tensor.h"
#include "pleat/model.h"

/* rank -1: nothing is known. A dimension: see pleat_dim; symbols are interned for the life of the graph, so that equal
 * names have equal pointers within it. */
typedef struct pleat_shape {
  int rank;
  pleat_dim dims[PLEAT_MAX_RANK];
} pleat_shape;

static inline pleat_dim pleat_dim_known(int64_t value) {
  return (pleat_dim){.value = value, .symbol = NULL};
}
static inline pleat_dim pleat_dim_unknown(void) {
  return (pleat_dim){.value = -1, .symbol = NULL};
}
static inline bool pleat_dim_is_known(pleat_dim dim) {
  return dim.value >= 0;
}
bool pleat_dim_equal(pleat_dim a, pleat_dim b); /* surely equal: same number, or same symbol */

pleat_shape pleat_shape_unknown(void);
pleat_shape pleat_shape_of_rank(int rank); /* all dimensions unknown */
pleat_shape pleat_shape_of(int rank, const int64_t *dims);
bool pleat_shape_is_known(const pleat_shape *shape);                /* rank and every dimension */
bool pleat_shape_dims(const pleat_shape *shape, int64_t *out_dims); /* false when not all are known */
/* Product of the dimensions in [from, to); unknown when one is unknown (0 wins), or on overflow. */
pleat_dim pleat_shape_product(const pleat_shape *shape, int from, int to);
/* "[batch,3,?,224]" or "?" when the rank is unknown. Returns `buffer`. */
const char *pleat_shape_text(const pleat_shape *shape, char *buffer, size_t size);

/* Numpy-style broadcast of two shapes. False when they surely do not fit. */
bool pleat_shape_broadcast(const pleat_shape *a, const pleat_shape *b, pleat_shape *out);
/* The better known of two descriptions of the same value; false when they contradict each other. */
bool pleat_shape_merge(const pleat_shape *a, const pleat_shape *b, pleat_shape *out);

/* Turns a negative axis into one in [0, rank); false when it is out of range. */
static inline bool pleat_axis(int64_t axis, int rank, int *out_axis) {
  if (axis < -(int64_t)rank || axis >= rank) return false;
  *out_axis = (int)(axis < 0 ? axis + rank : axis);
  return true;
}

/* Product of dims[from, to) of a tensor in memory. It fits, unless another dimension is 0: then it may wrap around, and
 * nothing is to be read or written. */
static inline int64_t pleat_volume(const int64_t *dims, int from, int to) {
  uint64_t product = 1;
  for (int d = from; d < to; d++) product *= (uint64_t)dims[d];
  return (int64_t)product;
}

/* ---- strides (in elements) ---- */

/* Strides of a dense row-major array. */
void pleat_dense_strides(int rank, const int64_t *dims, int64_t *out_strides);

/* Strides that make an array of shape `dims` look like `out_dims` (numpy broadcasting; 0 where it repeats). False when
 * it does not fit. */
bool pleat_broadcast_strides(int rank, const int64_t *dims, int out_rank, const int64_t *out_dims,
                             int64_t *out_strides);

/* Copies an array of shape `dims` between any two strided layouts (strides in elements, may be 0 in the source and
 * negative in both), element size 1, 2, 4, 8 or 16 bytes (strings: sizeof(pleat_string)). The engine of Transpose,
 * Slice, Expand, Concat, Split, Tile, Pad, DepthToSpace... Adjacent dimensions are merged and contiguous runs are
 * memcpy'd; large copies use `threads` threads. The arrays must not overlap. */
void pleat_copy_strided(size_t element_size, int rank, const int64_t *dims, void *dst, const int64_t *dst_strides,
                        const void *src, const int64_t *src_strides, int threads);

#endif

/* What the data-movement and shape operators share: integer lists that come from an attribute or an input, checks of
 * axes and indices, and copies by element size (strings are 16-byte elements as well).
 *
 * Their kernels keep no state. `run` reads attributes and small integer inputs again, which costs next to nothing, and
 * so serves inputs that are known ahead and inputs that are computed while running alike. Where an input decides the
 * shape of the output, `infer` has checked its values by then. */
#ifndef PLEAT_OPS_MOVEMENT_H
#define PLEAT_OPS_MOVEMENT_H

#include <string.h>

#include "core/checked.h"
#include "ops/axes.h"
#include "ops/ops.h"

/* ---- integer lists ---- */

typedef struct pleat_ints {
  int count; /* -1: not known (or not given: the caller knows) */
  int64_t values[2 * PLEAT_MAX_RANK];
} pleat_ints;

/* From an input (int32 or int64, a scalar or one dimension), at most `max` values. A NULL tensor is "not known". */
pleat_status pleat_ints_read(const pleat_tensor *tensor, const char *what, int max, pleat_ints *out_ints,
                             pleat_error *error);
/* From an attribute; absent ones are "not known". */
pleat_status pleat_ints_attr(const pleat_node *node, const char *name, int max, pleat_ints *out_ints,
                             pleat_error *error);
/* How many values a one-dimensional input has, when its shape tells; else -1. */
int64_t pleat_ints_length(const pleat_type *type);
/* Makes axes lie in [0, rank) and refuses axes named twice. Does nothing for an unknown list. */
pleat_status pleat_ints_to_axes(pleat_ints *axes, int rank, pleat_error *error);
/* The only element of an input of any numeric type; false when it is not known. Fails when it is not one element. */
pleat_status pleat_scalar_i64(const pleat_tensor *tensor, const char *what, bool *out_known, int64_t *out_value,
                              pleat_error *error);

/* ---- inference ---- */

pleat_status pleat_require_tensors(const pleat_infer *ctx); /* no input is a sequence or an optional */
pleat_status pleat_require_index_type(const pleat_infer *ctx, size_t i);
pleat_status pleat_require_same_type(const pleat_infer *ctx, size_t i, size_t j);
pleat_status pleat_shape_push(pleat_shape *shape, pleat_dim dim, pleat_error *error);
/* `part`, named `what`, has the rank of `whole` and is nowhere larger, except along `axis`. */
pleat_status pleat_require_within(const pleat_shape *whole, const pleat_shape *part, int axis, const char *what,
                                  pleat_error *error);
/* Makes *dim the better known of the two; false when they contradict each other. */
bool pleat_dim_merge(pleat_dim *dim, pleat_dim other);

/* ---- kernels ---- */

/* Output 0 is a copy of input 0's elements, whatever the shapes (both in one physical layout); nothing
 * to do when they share memory. */
pleat_status pleat_copy_run(const pleat_call *call);
extern const pleat_kernel pleat_view_kernel; /* pleat_copy_run, as a view; named "reference" */

/* Fills `count` elements with the one at `value`. */
void pleat_fill(size_t element_size, void *dst, size_t count, const void *value, int threads);
/* The zero of a type (the empty string for strings) in `out_value`, of 16 bytes. */
void pleat_zero_element(pleat_dtype dtype, void *out_value);

static inline int64_t pleat_index_at(const pleat_tensor *indices, size_t i) {
  return indices->dtype == PLEAT_INT32 ? ((const int32_t *)indices->data)[i] : ((const int64_t *)indices->data)[i];
}
/* Every index lies in [-limit, limit). */
pleat_status pleat_check_indices(const pleat_tensor *indices, int64_t limit, pleat_error *error);
/* Tuple `tuple` of an index array whose last dimension is `width`: the offset it stands for, checked. */
pleat_status pleat_tuple_offset(const pleat_tensor *indices, size_t tuple, int width, const int64_t *dims,
                                const int64_t *strides, int64_t *out_offset, pleat_error *error);

/* memcpy that compilers turn into one move for the sizes of elements. */
static inline void pleat_copy_block(void *dst, const void *src, size_t bytes) {
  switch (bytes) {
  case 1:
    memcpy(dst, src, 1);
    break;
  case 2:
    memcpy(dst, src, 2);
    break;
  case 4:
    memcpy(dst, src, 4);
    break;
  case 8:
    memcpy(dst, src, 8);
    break;
  case 16:
    memcpy(dst, src, 16);
    break;
  default:
    memcpy(dst, src, bytes);
    break;
  }
}
/* The next position in row-major order, and the offset that goes with it by `strides`. */
static inline void pleat_walk(int rank, const int64_t *dims, const int64_t *strides, int64_t *position,
                              int64_t *offset) {
  for (int d = rank - 1; d >= 0; d--) {
    *offset += strides[d];
    if (++position[d] < dims[d]) return;
    *offset -= strides[d] * dims[d];
    position[d] = 0;
  }
}

#endif

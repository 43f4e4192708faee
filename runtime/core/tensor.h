/* The tensor's body: what the public pleat_tensor is inside.
 *
 * Two ways of life. Public tensors are on the heap and reference counted (refs >= 1). Inside plans, pleat_tensor
 * structs are plain descriptors (refs == 0) over memory that somebody else owns: an arena, a model, a caller's tensor.
 */
#ifndef PLEAT_CORE_TENSOR_H
#define PLEAT_CORE_TENSOR_H

#include "core/arena.h"
#include "core/dtype.h"
#include "pleat/tensor.h"

typedef struct pleat_layout pleat_layout; /* ops/layout.h */

enum { PLEAT_MAX_NESTING = 16 }; /* lists inside lists: a documented limit */

struct pleat_tensor {
  pleat_kind kind;
  pleat_dtype dtype;
  int rank;
  int refs; /* atomic; 0: a descriptor */
  int64_t dims[PLEAT_MAX_RANK];
  size_t count;               /* elements (kind TENSOR) or items (lists) */
  void *data;                 /* NULL when not known yet or empty */
  const pleat_layout *layout; /* of `data`; NULL: dense, row-major. Others exist only inside plans */
  pleat_tensor **items;
  void (*release)(void *user, void *data);
  void *user;
};

/* Number of elements of a shape; false when a dimension is negative or the byte size of `dtype` overflows. */
bool pleat_shape_count(pleat_dtype dtype, int rank, const int64_t *dims, size_t *out_count);

/* Sets type, shape and count of a descriptor (data: NULL). False as pleat_shape_count. */
bool pleat_tensor_describe(pleat_tensor *tensor, pleat_dtype dtype, int rank, const int64_t *dims);

/* pleat_tensor_bytes without the call: what a dense tensor takes. */
static inline size_t pleat_bytes(const pleat_tensor *t) {
  return t->count * pleat_dtype_size(t->dtype);
}

/* A deep copy on the heap (strings and items too). */
pleat_status pleat_tensor_clone(const pleat_tensor *tensor, pleat_tensor **out_tensor, pleat_error *error);

/* "float[1,3,224,224]", "string[]" (a scalar), "sequence of 3". Returns `buffer`. */
const char *pleat_tensor_text(const pleat_tensor *tensor, char *buffer, size_t size);

/* Converts src's elements into dst's memory: any type to any, STRING included, as ONNX's Cast does. Both are tensors of
 * the same count, dst's data is there. Bytes of strings that are made come from `arena`; those that are only passed on
 * (STRING to STRING) stay where they are. INVALID_ARGUMENT for a string that is no number; UNSUPPORTED for strings from
 * or to complex numbers. `options` may be NULL. */
pleat_status pleat_cast_elements(const pleat_tensor *src, pleat_tensor *dst, const pleat_convert_options *options,
                                 pleat_arena *arena, pleat_error *error);

bool pleat_same_shape(const pleat_tensor *a, const pleat_tensor *b); /* rank and dims */

#endif

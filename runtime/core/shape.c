/* Shapes with symbolic dimensions.
 *
 * Invariant: what these functions state is certain. A dimension is only called known, or equal to another, when it is
 * so for every input the model may get; where that is open the answer is "unknown". Broadcasting follows NumPy, as
 * ONNX's Broadcasting.md states it. */
#include "core/shape.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/checked.h"

bool pleat_dim_equal(pleat_dim a, pleat_dim b) {
  if (a.value >= 0 || b.value >= 0) return a.value == b.value;
  return a.symbol != NULL && b.symbol != NULL && (a.symbol == b.symbol || strcmp(a.symbol, b.symbol) == 0);
}

pleat_shape pleat_shape_unknown(void) {
  return (pleat_shape){.rank = -1};
}

pleat_shape pleat_shape_of_rank(int rank) {
  if (rank < 0 || rank > PLEAT_MAX_RANK) return pleat_shape_unknown();
  pleat_shape shape = {.rank = rank};
  for (int i = 0; i < rank; i++) shape.dims[i] = pleat_dim_unknown();
  return shape;
}

pleat_shape pleat_shape_of(int rank, const int64_t *dims) {
  pleat_shape shape = pleat_shape_of_rank(rank);
  for (int i = 0; i < shape.rank; i++) {
    if (dims[i] >= 0) shape.dims[i] = pleat_dim_known(dims[i]);
  }
  return shape;
}

bool pleat_shape_is_known(const pleat_shape *shape) {
  for (int i = 0; i < shape->rank; i++) {
    if (!pleat_dim_is_known(shape->dims[i])) return false;
  }
  return shape->rank >= 0;
}

bool pleat_shape_dims(const pleat_shape *shape, int64_t *out_dims) {
  if (!pleat_shape_is_known(shape)) return false;
  for (int i = 0; i < shape->rank; i++) out_dims[i] = shape->dims[i].value;
  return true;
}

pleat_dim pleat_shape_product(const pleat_shape *shape, int from, int to) {
  if (shape->rank < 0) return pleat_dim_unknown();
  int64_t product = 1;
  int unknowns = 0;
  pleat_dim unknown = pleat_dim_unknown();
  bool overflow = false;
  for (int i = from; i < to; i++) {
    pleat_dim dim = shape->dims[i];
    if (dim.value == 0) return dim;
    if (!pleat_dim_is_known(dim)) {
      unknowns++;
      unknown = dim;
    } else if (!overflow) {
      overflow = !pleat_mul_i64(product, dim.value, &product);
    }
  }
  if (overflow) return pleat_dim_unknown();
  if (unknowns == 0) return pleat_dim_known(product);
  /* The only unknown factor among ones: the product is that very dimension, symbol and all. */
  return unknowns == 1 && product == 1 ? unknown : pleat_dim_unknown();
}

const char *pleat_shape_text(const pleat_shape *shape, char *buffer, size_t size) {
  if (size == 0) return buffer;
  if (shape->rank < 0) {
    snprintf(buffer, size, "?");
    return buffer;
  }
  size_t used = (size_t)snprintf(buffer, size, "[");
  for (int i = 0; i < shape->rank && used < size; i++) {
    const pleat_dim *dim = &shape->dims[i];
    const char *comma = i > 0 ? "," : "";
    if (pleat_dim_is_known(*dim)) {
      used += (size_t)snprintf(buffer + used, size - used, "%s%" PRId64, comma, dim->value);
    } else {
      used += (size_t)snprintf(buffer + used, size - used, "%s%s", comma, dim->symbol != NULL ? dim->symbol : "?");
    }
  }
  if (used < size) snprintf(buffer + used, size - used, "]");
  return buffer;
}

/* Broadcasts two dimensions against each other; false when both are known and neither gives way. */
static bool broadcast_dim(pleat_dim a, pleat_dim b, pleat_dim *out) {
  if (a.value == 1 || pleat_dim_equal(a, b)) {
    *out = b;
  } else if (b.value == 1) {
    *out = a;
  } else if (pleat_dim_is_known(a) && pleat_dim_is_known(b)) {
    return false;
  } else if (pleat_dim_is_known(a)) {
    *out = a; /* not 1, so the unknown one must be equal to it, or 1 */
  } else if (pleat_dim_is_known(b)) {
    *out = b;
  } else {
    *out = pleat_dim_unknown();
  }
  return true;
}

bool pleat_shape_broadcast(const pleat_shape *a, const pleat_shape *b, pleat_shape *out) {
  if (a->rank < 0 || b->rank < 0) {
    *out = pleat_shape_unknown();
    return true;
  }
  pleat_shape result = {.rank = a->rank > b->rank ? a->rank : b->rank};
  for (int i = 1; i <= result.rank; i++) {
    pleat_dim from_a = i <= a->rank ? a->dims[a->rank - i] : pleat_dim_known(1);
    pleat_dim from_b = i <= b->rank ? b->dims[b->rank - i] : pleat_dim_known(1);
    if (!broadcast_dim(from_a, from_b, &result.dims[result.rank - i])) return false;
  }
  *out = result;
  return true;
}

bool pleat_shape_merge(const pleat_shape *a, const pleat_shape *b, pleat_shape *out) {
  if (a->rank < 0 || b->rank < 0) {
    *out = a->rank < 0 ? *b : *a;
    return true;
  }
  if (a->rank != b->rank) return false;
  pleat_shape result = *a;
  for (int i = 0; i < a->rank; i++) {
    pleat_dim first = a->dims[i], second = b->dims[i];
    if (pleat_dim_is_known(first) && pleat_dim_is_known(second) && first.value != second.value) return false;
    bool second_says_more = !pleat_dim_is_known(first) && (pleat_dim_is_known(second) || first.symbol == NULL);
    result.dims[i] = second_says_more ? second : first;
  }
  *out = result;
  return true;
}

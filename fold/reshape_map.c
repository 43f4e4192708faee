/* Reshaping keeps the elements in row-major order. Walking both shapes from one end, dimensions fall into groups of
 * equal product; a channel axis stays within its group. In the group, flat position k belongs to channel k / inner mod
 * C; the map can be stated on the other side when one axis there has the same map at all of its positions. Dimensions
 * that are not known are only passed over where both sides surely agree; the walk is tried from both ends, since the
 * batch is often the unknown one. */
#include "fold/reshape_map.h"

enum { LIMIT_GROUP = 1 << 22 }; /* elements of a group that are compared one by one */

typedef struct group {
  int from_begin, from_end, to_begin, to_end; /* axes, half open */
  int64_t product;
} group;

static pleat_shape reversed(const pleat_shape *shape) {
  pleat_shape result = *shape;
  for (int i = 0; i < shape->rank; i++) result.dims[i] = shape->dims[shape->rank - 1 - i];
  return result;
}

/* The group that holds `axis` of `from`, walking from the left. False when an unknown dimension is in the way. */
static bool find_group(const pleat_shape *from, const pleat_shape *to, int axis, group *out) {
  int i = 0, k = 0;
  while (i < from->rank && k < to->rank) {
    group g = {.from_begin = i, .to_begin = k};
    if (pleat_dim_equal(from->dims[i], to->dims[k])) {
      g.product = from->dims[i].value;
      i++, k++;
    } else {
      int64_t a = from->dims[i++].value, b = to->dims[k++].value;
      if (a < 1 || b < 1) return false;
      while (a != b) {
        int64_t *smaller = a < b ? &a : &b;
        const pleat_dim *next =
            a < b ? (i < from->rank ? &from->dims[i++] : NULL) : (k < to->rank ? &to->dims[k++] : NULL);
        if (next == NULL || next->value < 1 || *smaller > INT64_MAX / next->value) return false;
        *smaller *= next->value;
      }
      g.product = a;
    }
    g.from_end = i;
    g.to_end = k;
    if (axis < i) {
      *out = g;
      return true;
    }
  }
  return false;
}

static bool find_group_from_either_end(const pleat_shape *from, const pleat_shape *to, int axis, group *out) {
  if (find_group(from, to, axis, out)) return true;
  pleat_shape from_reversed = reversed(from), to_reversed = reversed(to);
  if (!find_group(&from_reversed, &to_reversed, from->rank - 1 - axis, out)) return false;
  *out = (group){.from_begin = from->rank - out->from_end,
                 .from_end = from->rank - out->from_begin,
                 .to_begin = to->rank - out->to_end,
                 .to_end = to->rank - out->to_begin,
                 .product = out->product};
  return true;
}

static int64_t product_of(const pleat_shape *shape, int begin, int end) {
  int64_t product = 1;
  for (int i = begin; i < end; i++) product *= shape->dims[i].value;
  return product;
}

/* States the map on axis `axis` of `to`; false when positions of one of its channels differ. */
static bool state_on_axis(const group *g, const pleat_shape *from, const pleat_shape *to, const pleat_affine *given,
                          int axis, pleat_affine *out) {
  const int64_t inner_from = product_of(from, given->axis + 1, g->from_end);
  const int64_t inner_to = product_of(to, axis + 1, g->to_end), size = to->dims[axis].value;
  for (int64_t k = g->product; k-- > 0;) { /* the first position of each channel is written last */
    size_t c = (size_t)(k / inner_from % (int64_t)given->channels), d = (size_t)(k / inner_to % size);
    out->scale[d] = given->scale[c];
    out->shift[d] = given->shift[c];
  }
  for (int64_t k = 0; k < g->product; k++) {
    size_t c = (size_t)(k / inner_from % (int64_t)given->channels), d = (size_t)(k / inner_to % size);
    if (out->scale[d] != given->scale[c] || out->shift[d] != given->shift[c]) return false;
  }
  return true;
}

pleat_status pleat_affine_reshape(pleat_push *push, const pleat_shape *from, const pleat_shape *to,
                                  const pleat_affine *given, pleat_affine *out_affine) {
  group g;
  *out_affine = *given;
  if (given->axis == PLEAT_UNIFORM) return PLEAT_OK;
  if (from->rank < 0 || to->rank < 0 || !find_group_from_either_end(from, to, given->axis, &g)) {
    return pleat_push_refuse(push, "the shapes around a Reshape are not known well enough to follow the channels");
  }
  if (g.from_end - g.from_begin == 1 && g.to_end - g.to_begin == 1) {
    out_affine->axis = g.to_begin;
    return PLEAT_OK;
  }
  for (int axis = g.to_begin; axis < g.to_end && g.product <= LIMIT_GROUP; axis++) {
    pleat_affine stated;
    PLEAT_TRY(pleat_affine_make(push->ctx, axis, (size_t)to->dims[axis].value, &stated));
    if (!state_on_axis(&g, from, to, given, axis, &stated)) continue;
    *out_affine = stated;
    return PLEAT_OK;
  }
  return pleat_push_refuse(push, "a Reshape mixes the channels with other axes");
}

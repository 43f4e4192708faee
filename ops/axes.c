/* Axes that a node names: see axes.h.
 *
 * Invariant: what is handed out lies in [0, limit), whatever the model says; an axis of a scalar has a message of its
 * own. Range and order of negative axes are ONNX's: -1 is the last dimension. */
#include "ops/axes.h"

#include <inttypes.h>

pleat_status pleat_check_axis(int64_t axis, int limit, int *out_axis, pleat_error *error) {
  *out_axis = 0;
  if (pleat_axis(axis, limit, out_axis)) return PLEAT_OK;
  if (limit == 0) return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "axis %" PRId64 ": a scalar has no axes", axis);
  return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "axis %" PRId64 " is out of range: expected %d to %d", axis, -limit,
                    limit - 1);
}

pleat_status pleat_attr_axis(const pleat_node *node, const char *name, int limit, int *out_axis, pleat_error *error) {
  return pleat_check_axis(pleat_attr_int(node, name), limit, out_axis, error);
}

pleat_status pleat_mark_axes(const int64_t *axes, size_t count, int rank, bool *out_marked, pleat_error *error) {
  for (size_t i = 0; i < count; i++) {
    int axis = 0;
    if (!pleat_axis(axes[i], rank, &axis))
      return pleat_fail(error, PLEAT_MALFORMED_MODEL, "axes[%zu]: expected a value in [%d, %d], found %" PRId64, i,
                        -rank, rank - 1, axes[i]);
    out_marked[axis] = true;
  }
  return PLEAT_OK;
}

bool pleat_axes_are_spatial(const pleat_call *call) {
  const pleat_tensor *given = pleat_in(call, 1);
  const int rank = call->inputs[0]->rank;
  const int64_t *axes = NULL;
  unsigned seen = 0;
  size_t count = pleat_attr_ints(call->node, "axes", &axes);
  if (given != NULL) {
    if (given->data == NULL) return false;
    axes = given->data;
    count = given->count;
  }
  for (size_t i = 0; i < count; i++) {
    int axis = 0;
    if (!pleat_axis(axes[i], rank, &axis)) return false;
    seen |= 1u << axis;
  }
  return rank > 2 && seen == (1u << rank) - 4;
}

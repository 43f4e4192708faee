/* Resize, linear and cubic: one pass an axis. Axes that shrink come first, outermost first, then those that grow,
 * innermost first: the least work, and the most of it on long rows. */
#include <string.h>

#include "ops/resize.h"
#include "ops/slices.h"

typedef struct pass_order {
  int count;
  int axes[PLEAT_MAX_RANK];
} pass_order;

static pass_order order_passes(const pleat_resize_axis *axes, int rank) {
  pass_order order = {.count = 0};
  for (int d = 0; d < rank; d++)
    if (!axes[d].identity && axes[d].out <= axes[d].in) order.axes[order.count++] = d;
  for (int d = rank - 1; d >= 0; d--)
    if (!axes[d].identity && axes[d].out > axes[d].in) order.axes[order.count++] = d;
  return order;
}

/* One axis: rows of `inner` elements. */
typedef struct pass {
  const pleat_resize_axis *axis;
  size_t inner;
  const void *x;
  void *y;
} pass;

#define PLEAT_TEMPLATE "ops/resize_interpolate.inc"
#define PLEAT_TEMPLATE_FLOATS
#include "ops/template.h"

size_t pleat_resize_scratch(const pleat_resize_axis *axes, int rank, size_t count) {
  pass_order order = order_passes(axes, rank);
  size_t most = 0;
  for (int i = 0; i + 1 < order.count; i++) {
    const pleat_resize_axis *a = &axes[order.axes[i]];
    count = count / (size_t)a->in * (size_t)a->out;
    if (count > most) most = count;
  }
  return most;
}

void pleat_resize_interpolate(const pleat_resize_axis *axes, int rank, pleat_dtype dtype, const void *x, void *y,
                              size_t count, void *scratch, int threads) {
  if (order_passes(axes, rank).count == 0) {
    memcpy(y, x, count * pleat_dtype_size(dtype));
    return;
  }
  size_t scratch_count = pleat_resize_scratch(axes, rank, count);
  PLEAT_SWITCH_FLOATS(dtype, (void), interpolate, (axes, rank, x, y, scratch, scratch_count, threads))
}

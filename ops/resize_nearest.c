/* Resize, nearest: every output element is a copy of an input element, of whatever type. Rows are gathered along the
 * last axis that changes, in units of everything inside it; an output row that shows the same input row as the one
 * before is copied from it. */
#include <string.h>

#include "ops/resize.h"
#include "ops/slices.h"

typedef struct gather {
  size_t unit; /* bytes copied as one */
  const int64_t *at;
  size_t count;
} gather;

#define GATHER_AS(type)                                                                                                \
  for (size_t i = 0; i < g->count; i++) ((type *)to)[i] = ((const type *)from)[g->at[i]]

static void gather_row(const gather *g, const void *from, void *to) {
  switch (g->unit) {
  case 1:
    GATHER_AS(uint8_t);
    return;
  case 2:
    GATHER_AS(uint16_t);
    return;
  case 4:
    GATHER_AS(uint32_t);
    return;
  case 8:
    GATHER_AS(uint64_t);
    return;
  default:
    break;
  }
  for (size_t i = 0; i < g->count; i++)
    memcpy((char *)to + i * g->unit, (const char *)from + (size_t)g->at[i] * g->unit, g->unit);
}

/* The input row that output row `row` shows, by the axes before `last`. */
static size_t source_row(const pleat_resize_axis *axes, int last, size_t row) {
  size_t source = 0, stride = 1;
  for (int d = last - 1; d >= 0; d--) {
    size_t o = row % (size_t)axes[d].out;
    row /= (size_t)axes[d].out;
    source += (axes[d].identity ? o : (size_t)axes[d].begin[o]) * stride;
    stride *= (size_t)axes[d].in;
  }
  return source;
}

typedef struct nearest {
  const pleat_resize_axis *axes;
  int last; /* the axis along which rows are gathered */
  gather gather;
  const char *x;
  char *y;
  size_t in_row, out_row; /* bytes */
  size_t group;           /* rows along the axis before: each finds the row before its own in its group */
} nearest;

static void gather_groups(void *job, int64_t first, int64_t end, int worker) {
  const nearest *n = job;
  (void)worker;
  for (size_t i = (size_t)first; i < (size_t)end; i++) {
    size_t before = 0;
    for (size_t row = i * n->group; row < (i + 1) * n->group; row++) {
      size_t source = source_row(n->axes, n->last, row);
      char *to = n->y + row * n->out_row;
      if (row > i * n->group && source == before) memcpy(to, to - n->out_row, n->out_row);
      else gather_row(&n->gather, n->x + source * n->in_row, to);
      before = source;
    }
  }
}

void pleat_resize_nearest(const pleat_resize_axis *axes, int rank, const pleat_tensor *x, pleat_tensor *y,
                          int threads) {
  int last = rank - 1;
  size_t unit = pleat_dtype_size(x->dtype);
  while (last >= 0 && axes[last].identity) unit *= (size_t)axes[last--].out;
  if (last < 0) {
    memcpy(y->data, x->data, pleat_bytes(x));
    return;
  }
  nearest n = {.axes = axes, .last = last, .x = x->data, .y = y->data};
  n.gather = (gather){.unit = unit, .at = axes[last].begin, .count = (size_t)axes[last].out};
  n.in_row = (size_t)axes[last].in * unit;
  n.out_row = n.gather.count * unit;
  n.group = last > 0 ? (size_t)axes[last - 1].out : 1;
  pleat_parallel_ranges(y->count > PLEAT_PARALLEL_MIN ? threads : 1,
                        (int64_t)(pleat_dims_product(y, 0, last) / n.group), gather_groups, &n);
}

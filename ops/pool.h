/* What MaxPool, AveragePool and LpPool share: inference, the geometry as tables, and the walk over the input rows that
 * one output row sees. A plane is one channel of one image; a row is its last spatial axis. */
#ifndef PLEAT_OPS_POOL_H
#define PLEAT_OPS_POOL_H

#include "ops/conv_shape.h"

/* Outputs of a row that are accumulated at a time, on the stack. */
enum { PLEAT_POOL_BLOCK = 128 };

typedef struct pleat_pool {
  pleat_window window;
  int last; /* the last spatial axis */
  int64_t size[PLEAT_MAX_SPATIAL], out[PLEAT_MAX_SPATIAL], in_stride[PLEAT_MAX_SPATIAL];
  size_t planes, in_plane, out_plane;
  size_t rows;                               /* output rows of a plane */
  const int64_t *counted[PLEAT_MAX_SPATIAL]; /* by axis and output position: taps that an average counts */
  const int64_t *tap_first, *tap_end;        /* by tap of the last axis: the outputs for which it is inside */
} pleat_pool;

/* The input rows that output row `row` of a plane sees, one after the other. */
typedef struct pleat_pool_walk {
  bool more;
  int64_t offset;                      /* of the current row in its plane */
  int64_t position[PLEAT_MAX_SPATIAL]; /* of the current row, by outer axis */
  int64_t begin[PLEAT_MAX_SPATIAL], end[PLEAT_MAX_SPATIAL];
} pleat_pool_walk;

pleat_status pleat_pool_infer(pleat_infer *ctx);

/* A state whose first member is a pleat_pool, set up for the call. `include_pad`: the padding counts in `counted`. */
pleat_status pleat_pool_prepare(pleat_call *call, size_t state_size, bool include_pad);

void pleat_pool_walk_begin(const pleat_pool *pool, size_t row, pleat_pool_walk *out_walk);
void pleat_pool_walk_next(const pleat_pool *pool, pleat_pool_walk *walk);

/* Product of `counted` over the outer axes for output row `row`. */
int64_t pleat_pool_row_count(const pleat_pool *pool, size_t row);

/* The outputs of [from, from + width) for which tap `tap` of the last axis is inside the row. */
static inline void pleat_pool_range(const pleat_pool *pool, int64_t tap, int64_t from, int64_t width,
                                    int64_t *out_first, int64_t *out_end) {
  int64_t first = pool->tap_first[tap], end = pool->tap_end[tap];
  *out_first = first > from ? first : from;
  *out_end = end < from + width ? end : from + width;
}

/* Where tap `tap` of output 0 lies in its row; add the output position times the stride. */
static inline int64_t pleat_pool_tap_offset(const pleat_pool *pool, int64_t tap) {
  return tap * pool->window.dilation[pool->last] - pool->window.pad_begin[pool->last];
}

/* Attributes of all three; `dilations_since`, `ceil_since`: the first opsets with them. */
#define PLEAT_POOL_ATTRS(ceil_since, dilations_since)                                                                  \
  {.name = "kernel_shape", .type = PLEAT_ATTR_INTS, .required = true}, {.name = "strides", .type = PLEAT_ATTR_INTS},   \
      {.name = "pads", .type = PLEAT_ATTR_INTS}, {.name = "auto_pad", .type = PLEAT_ATTR_STRING, .s = "NOTSET"},       \
      {.name = "ceil_mode", .type = PLEAT_ATTR_INT, .since = ceil_since}, {                                            \
    .name = "dilations", .type = PLEAT_ATTR_INTS, .since = dilations_since                                             \
  }

#endif

/* What MaxPool, AveragePool and LpPool share: inference, and the window's geometry as plain numbers for the loops
 * (pool.h). Source: the operators' ONNX specifications; output sizes and ceil_mode come from conv_shape.h. */
#include "ops/pool.h"

#include "ops/slices.h"

pleat_status pleat_pool_infer(pleat_infer *ctx) {
  const pleat_shape *in = &ctx->inputs[0].shape;
  pleat_type *y = pleat_infer_out(ctx, 0), *indices = pleat_infer_out(ctx, 1);
  pleat_shape shape = *in;
  pleat_window window;
  if (in->rank >= 0) {
    int spatial;
    PLEAT_TRY(pleat_window_spatial(in, "input X", &spatial, ctx->error));
    PLEAT_TRY(pleat_window_parse(ctx->node, spatial, &window, ctx->error));
    if (window.kernel[0] < 0)
      return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "attribute kernel_shape: expected %d values, found none",
                        spatial);
    PLEAT_TRY(pleat_window_output(&window, in, shape.dims + 2, ctx->error));
  }
  if (y != NULL) {
    y->dtype = ctx->inputs[0].dtype;
    y->shape = shape;
  }
  if (indices != NULL) {
    indices->dtype = PLEAT_INT64;
    indices->shape = shape;
  }
  return PLEAT_OK;
}

/* How many taps of each window an average counts: those in the input, or those in the padded input. */
static bool count_taps(pleat_pool *pool, int axis, bool include_pad, pleat_arena *arena) {
  pleat_window padded = pool->window;
  int64_t size = pool->size[axis];
  if (include_pad) {
    size += padded.pad_begin[axis] + padded.pad_end[axis];
    padded.pad_begin[axis] = 0;
  }
  int64_t *counted = pleat_arena_array(arena, (size_t)pool->out[axis], sizeof *counted);
  if (counted == NULL) return false;
  for (int64_t o = 0; o < pool->out[axis]; o++) {
    int64_t first, end;
    pleat_window_taps(&padded, axis, o, size, &first, &end);
    counted[o] = end - first;
  }
  pool->counted[axis] = counted;
  return true;
}

static bool range_taps(pleat_pool *pool, pleat_arena *arena) {
  int axis = pool->last;
  size_t taps = (size_t)pool->window.kernel[axis];
  int64_t *first = pleat_arena_array(arena, taps, sizeof *first), *end = pleat_arena_array(arena, taps, sizeof *end);
  if (first == NULL || end == NULL) return false;
  for (size_t k = 0; k < taps; k++)
    pleat_window_outputs(&pool->window, axis, (int64_t)k, pool->size[axis], pool->out[axis], &first[k], &end[k]);
  pool->tap_first = first;
  pool->tap_end = end;
  return true;
}

pleat_status pleat_pool_prepare(pleat_call *call, size_t state_size, bool include_pad) {
  const pleat_tensor *x = call->inputs[0];
  const pleat_tensor *y = pleat_out(call, 0) != NULL ? pleat_out(call, 0) : pleat_out(call, 1);
  pleat_shape in = pleat_shape_of(x->rank, x->dims);
  pleat_dim out[PLEAT_MAX_SPATIAL];
  pleat_pool *pool = pleat_call_state(call, state_size);
  if (pool == NULL) return PLEAT_OOM(call->error);
  PLEAT_TRY(pleat_window_parse(call->node, x->rank - 2, &pool->window, call->error));
  PLEAT_TRY(pleat_window_output(&pool->window, &in, out, call->error));
  if (y == NULL || y->count == 0) return PLEAT_OK; /* no planes: nothing to do */
  pool->last = x->rank - 3;
  pool->planes = pleat_dims_product(x, 0, 2);
  pool->in_plane = pleat_dims_product(x, 2, x->rank);
  pool->out_plane = pleat_dims_product(y, 2, y->rank);
  pool->rows = pleat_dims_product(y, 2, y->rank - 1);
  for (int i = pool->last; i >= 0; i--) {
    pool->size[i] = x->dims[2 + i];
    pool->out[i] = out[i].value;
    pool->in_stride[i] = i == pool->last ? 1 : pool->in_stride[i + 1] * pool->size[i + 1];
    if (!count_taps(pool, i, include_pad, call->arena)) return PLEAT_OOM(call->error);
  }
  return range_taps(pool, call->arena) ? PLEAT_OK : PLEAT_OOM(call->error);
}

void pleat_pool_walk_begin(const pleat_pool *pool, size_t row, pleat_pool_walk *out_walk) {
  *out_walk = (pleat_pool_walk){.more = true};
  for (int i = pool->last - 1; i >= 0; i--) {
    int64_t o = (int64_t)(row % (size_t)pool->out[i]), first, end;
    row /= (size_t)pool->out[i];
    pleat_window_taps(&pool->window, i, o, pool->size[i], &first, &end);
    if (first == end) out_walk->more = false;
    int64_t start = pleat_window_start(&pool->window, i, o), dilation = pool->window.dilation[i];
    out_walk->begin[i] = out_walk->position[i] = start + first * dilation;
    out_walk->end[i] = start + end * dilation;
    out_walk->offset += out_walk->begin[i] * pool->in_stride[i];
  }
}

void pleat_pool_walk_next(const pleat_pool *pool, pleat_pool_walk *walk) {
  for (int i = pool->last - 1; i >= 0; i--) {
    int64_t dilation = pool->window.dilation[i];
    walk->position[i] += dilation;
    walk->offset += dilation * pool->in_stride[i];
    if (walk->position[i] < walk->end[i]) return;
    walk->offset -= (walk->position[i] - walk->begin[i]) * pool->in_stride[i];
    walk->position[i] = walk->begin[i];
  }
  walk->more = false;
}

int64_t pleat_pool_row_count(const pleat_pool *pool, size_t row) {
  int64_t count = 1;
  for (int i = pool->last - 1; i >= 0; i--) {
    count *= pool->counted[i][row % (size_t)pool->out[i]];
    row /= (size_t)pool->out[i];
  }
  return count;
}

/* The shared driver of the element-wise operators: inference, planning of strides, and the walk over tiles.
 *
 * Invariant: after merging, the innermost stride of every operand is 0 or 1. Operands are dense, so the innermost
 * output dimension larger than 1 either is the operand's innermost dimension larger than 1 or repeats.
 * Source of the rules: ONNX's Broadcasting.md, and the operators' own texts for the opsets before 7. */
#include "ops/broadcast.h"

#include "core/parallel.h"

enum { CHUNK_ALIGN = 64 /* threads' pieces start at multiples of this, so that they share no cache line */ };

/* ---- inference ---- */

pleat_status pleat_infer_types(const pleat_infer *ctx, size_t first, pleat_dtype *out_dtype) {
  size_t known = first;
  *out_dtype = PLEAT_UNDEFINED;
  for (size_t i = first; i < ctx->input_count; i++) {
    const pleat_type *input = &ctx->inputs[i];
    if (!input->present) continue;
    if (input->kind != PLEAT_KIND_TENSOR) {
      return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "%s: input %zu must be a tensor, not a sequence or optional",
                        ctx->node->op_type, i);
    }
    if (input->dtype == PLEAT_UNDEFINED) continue;
    if (*out_dtype == PLEAT_UNDEFINED) {
      *out_dtype = input->dtype;
      known = i;
    } else if (input->dtype != *out_dtype) {
      return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH,
                        "%s: inputs must have one type: input %zu is %s, input %zu is %s; add a Cast",
                        ctx->node->op_type, known, pleat_dtype_name(*out_dtype), i, pleat_dtype_name(input->dtype));
    }
  }
  return PLEAT_OK;
}

pleat_status pleat_infer_allowed(const pleat_infer *ctx, pleat_dtype dtype, pleat_dtype_mask allowed) {
  if (dtype == PLEAT_UNDEFINED || allowed == 0 || (allowed & PLEAT_M(dtype)) != 0) return PLEAT_OK;
  return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "%s-%d does not take %s inputs", ctx->node->op_type,
                    ctx->version->since, pleat_dtype_name(dtype));
}

/* `inner` placed so that its first dimension stands at dimension `axis` of a shape of rank `rank`. */
static bool shape_at_axis(const pleat_shape *inner, int rank, int64_t axis, pleat_shape *out) {
  int at;
  *out = *inner;
  if (!pleat_axis(axis, rank, &at) || inner->rank > rank - at) return false;
  out->rank = rank - at;
  for (int i = inner->rank; i < out->rank; i++) out->dims[i] = pleat_dim_known(1);
  return true;
}

static bool single_element(const pleat_shape *shape) {
  return pleat_shape_product(shape, 0, shape->rank).value == 1;
}

bool pleat_elementwise_align(const pleat_node *node, const pleat_op_version *version, const pleat_shape *a,
                             const pleat_shape *b, pleat_shape *out_b) {
  *out_b = *b;
  if (a->rank < 0 || b->rank < 0 || single_element(b)) return true;
  if ((version->flags & PLEAT_EW_CHANNEL) != 0 && b->rank == 1 && a->rank >= 2) {
    return shape_at_axis(b, a->rank, 1, out_b);
  }
  if ((version->flags & PLEAT_EW_AXIS) == 0 || pleat_attr_int(node, "broadcast") == 0) return true;
  /* Without an axis, and with Caffe2's default of -1 that found its way into files, the last dimensions are meant. */
  if (!pleat_attr_present(node, "axis") || pleat_attr_int(node, "axis") == -1) return true;
  return shape_at_axis(b, a->rank, pleat_attr_int(node, "axis"), out_b);
}

/* Whether `b` broadcasts to `a` without changing it, as far as is known. */
static bool one_way(const pleat_shape *a, const pleat_shape *b) {
  pleat_shape both;
  if (!pleat_shape_broadcast(a, b, &both)) return false;
  if (a->rank < 0 || b->rank < 0) return true;
  if (both.rank != a->rank) return false;
  for (int i = 0; i < a->rank; i++) {
    const pleat_dim before = a->dims[i], after = both.dims[i];
    if (pleat_dim_is_known(before) && pleat_dim_is_known(after) && before.value != after.value) return false;
  }
  return true;
}

static bool combine(const pleat_infer *ctx, const pleat_shape *a, const pleat_shape *b, pleat_shape *out) {
  const unsigned flags = ctx->version->flags;
  pleat_shape aligned;
  if ((flags & PLEAT_EW_EQUAL) != 0 || ((flags & PLEAT_EW_AXIS) != 0 && pleat_attr_int(ctx->node, "broadcast") == 0)) {
    return pleat_shape_merge(a, b, out);
  }
  if ((flags & (PLEAT_EW_AXIS | PLEAT_EW_CHANNEL | PLEAT_EW_ONE_WAY)) == 0) return pleat_shape_broadcast(a, b, out);
  if (!pleat_elementwise_align(ctx->node, ctx->version, a, b, &aligned) || !one_way(a, &aligned)) return false;
  *out = *a;
  return true;
}

pleat_status pleat_infer_shapes(const pleat_infer *ctx, pleat_shape *out_shape) {
  *out_shape = ctx->inputs[0].shape;
  for (size_t i = 1; i < ctx->input_count; i++) {
    const pleat_shape before = *out_shape;
    if (!combine(ctx, &before, &ctx->inputs[i].shape, out_shape)) {
      char left[256], right[256];
      return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "%s-%d: input %zu of shape %s does not broadcast with %s",
                        ctx->node->op_type, ctx->version->since, i,
                        pleat_shape_text(&ctx->inputs[i].shape, right, sizeof right),
                        pleat_shape_text(&before, left, sizeof left));
    }
  }
  return PLEAT_OK;
}

static pleat_status infer_elementwise(pleat_infer *ctx, bool predicate) {
  pleat_type *out = pleat_infer_out(ctx, 0);
  pleat_dtype dtype;
  pleat_shape shape;
  for (size_t i = 0; i < ctx->input_count; i++) {
    if (!ctx->inputs[i].present) {
      return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "%s: input %zu is missing", ctx->node->op_type, i);
    }
  }
  PLEAT_TRY(pleat_infer_types(ctx, 0, &dtype));
  PLEAT_TRY(pleat_infer_allowed(ctx, dtype, ctx->version->types));
  PLEAT_TRY(pleat_infer_shapes(ctx, &shape));
  if (out == NULL) return PLEAT_OK;
  out->dtype = predicate ? PLEAT_BOOL : dtype;
  out->shape = shape;
  return PLEAT_OK;
}

pleat_status pleat_infer_elementwise(pleat_infer *ctx) {
  return infer_elementwise(ctx, false);
}

pleat_status pleat_infer_predicate(pleat_infer *ctx) {
  return infer_elementwise(ctx, true);
}

/* ---- preparing ---- */

/* Drops dimensions of size 1 and merges neighbours that every operand walks as one. Works from the innermost
 * dimension outwards; the merged ones are collected in reverse. */
static void merge_dims(pleat_elementwise *op, int rank, const int64_t *dims,
                       int64_t strides[PLEAT_EW_OPERANDS][PLEAT_MAX_RANK]) {
  int used = 0;
  int64_t sizes[PLEAT_MAX_RANK], steps[PLEAT_EW_OPERANDS][PLEAT_MAX_RANK];
  for (int d = rank - 1; d >= 0; d--) {
    if (dims[d] == 1) continue;
    bool mergeable = used > 0;
    for (size_t k = 0; mergeable && k < op->operands; k++) {
      mergeable = strides[k][d] == steps[k][used - 1] * sizes[used - 1];
    }
    if (mergeable) {
      sizes[used - 1] *= dims[d];
      continue;
    }
    sizes[used] = dims[d];
    for (size_t k = 0; k < op->operands; k++) steps[k][used] = strides[k][d];
    used++;
  }
  if (used == 0) {
    sizes[0] = 1;
    for (size_t k = 0; k < op->operands; k++) steps[k][0] = 0;
    used = 1;
  }
  op->rank = used;
  for (int d = 0; d < used; d++) {
    op->dims[d] = sizes[used - 1 - d];
    for (size_t k = 0; k < op->operands; k++) op->strides[k][d] = steps[k][used - 1 - d];
  }
}

bool pleat_elementwise_init(pleat_elementwise *op, pleat_loop loop, size_t operands, const pleat_shape *shapes,
                            const pleat_dtype *dtypes, const pleat_tensor *out) {
  int64_t strides[PLEAT_EW_OPERANDS][PLEAT_MAX_RANK] = {{0}};
  op->loop = loop;
  op->operands = operands;
  op->count = out->count;
  op->out_size = pleat_dtype_size(out->dtype);
  op->out_dtype = out->dtype;
  for (size_t k = 0; k < operands; k++) {
    int64_t dims[PLEAT_MAX_RANK];
    op->in_dtype[k] = dtypes[k];
    op->in_size[k] = pleat_dtype_size(dtypes[k]);
    if (!pleat_shape_dims(&shapes[k], dims) ||
        !pleat_broadcast_strides(shapes[k].rank, dims, out->rank, out->dims, strides[k])) {
      return false;
    }
  }
  if (op->count > 0) merge_dims(op, out->rank, out->dims, strides);
  return true;
}

pleat_status pleat_elementwise_prepare(pleat_call *call, const pleat_loops *loops) {
  const pleat_tensor *out = pleat_out(call, 0), *first = pleat_in(call, 0);
  pleat_shape shapes[PLEAT_EW_OPERANDS];
  pleat_dtype dtypes[PLEAT_EW_OPERANDS];
  if (out == NULL) return PLEAT_OK;
  pleat_elementwise *op = pleat_call_state(call, sizeof *op);
  if (op == NULL) return PLEAT_OOM(call->error);
  if (first == NULL || call->input_count > PLEAT_EW_OPERANDS || loops->by_dtype[first->dtype] == NULL) {
    return pleat_fail(call->error, PLEAT_INTERNAL, "%s: no loop for this call", call->node->op_type);
  }
  bool fits = true;
  for (size_t k = 0; k < call->input_count; k++) {
    const pleat_shape shape = pleat_shape_of(call->inputs[k]->rank, call->inputs[k]->dims);
    dtypes[k] = call->inputs[k]->dtype;
    if (k == 0) shapes[k] = shape;
    else fits = fits && pleat_elementwise_align(call->node, call->version, &shapes[0], &shape, &shapes[k]);
  }
  if (!fits || !pleat_elementwise_init(op, loops->by_dtype[first->dtype], call->input_count, shapes, dtypes, out)) {
    return pleat_fail(call->error, PLEAT_SHAPE_MISMATCH, "%s: the inputs do not broadcast to the output",
                      call->node->op_type);
  }
  for (int p = 0; p < 2; p++) {
    if (loops->params[p] != NULL) op->params[p] = (double)pleat_attr_float(call->node, loops->params[p]);
  }
  return PLEAT_OK;
}

/* ---- running ---- */

/* Points the tile at output element `begin` and makes it as large as [begin, end) allows: part of a row, or whole rows
 * of one plane. Returns the number of elements it covers. */
static size_t place_tile(const pleat_elementwise *op, const void *const *inputs, void *out, size_t begin, size_t end,
                         pleat_tile *tile) {
  const int inner = op->rank - 1;
  const size_t cols = (size_t)op->dims[inner], col = begin % cols;
  size_t rest = begin / cols;
  const size_t plane = op->rank > 1 ? (size_t)op->dims[inner - 1] : 1, row = rest % plane;
  int64_t offsets[PLEAT_EW_OPERANDS] = {0};
  for (size_t k = 0; k < op->operands; k++) offsets[k] = (int64_t)col * op->strides[k][inner];
  for (int d = inner - 1; d >= 0; d--) {
    const int64_t index = (int64_t)(rest % (size_t)op->dims[d]);
    rest /= (size_t)op->dims[d];
    for (size_t k = 0; k < op->operands; k++) offsets[k] += index * op->strides[k][d];
  }
  const size_t left = end - begin;
  if (col > 0 || left < cols) {
    tile->rows = 1;
    tile->cols = left < cols - col ? left : cols - col;
  } else {
    tile->rows = left / cols < plane - row ? left / cols : plane - row;
    tile->cols = cols;
  }
  for (size_t k = 0; k < op->operands; k++) {
    tile->in[k] = (const char *)inputs[k] + offsets[k] * (int64_t)op->in_size[k];
    tile->col[k] = (int)op->strides[k][inner];
    tile->row[k] = op->rank > 1 ? (ptrdiff_t)op->strides[k][inner - 1] : 0;
  }
  tile->out = (char *)out + begin * op->out_size;
  return tile->rows * tile->cols;
}

static void run_range(const pleat_elementwise *op, const void *const *inputs, void *out, size_t begin, size_t end) {
  pleat_tile tile = {.op = op};
  while (begin < end) {
    begin += place_tile(op, inputs, out, begin, end, &tile);
    op->loop(&tile);
  }
}

typedef struct job {
  const pleat_elementwise *op;
  const void *const *inputs;
  void *out;
} job;

static void run_lines(void *arg, int64_t first, int64_t end, int worker) {
  const job *job = arg;
  const size_t begin = (size_t)first * CHUNK_ALIGN, count = job->op->count;
  (void)worker;
  run_range(job->op, job->inputs, job->out, begin,
            count - begin < (size_t)(end - first) * CHUNK_ALIGN ? count : (size_t)end * CHUNK_ALIGN);
}

void pleat_elementwise_apply(const pleat_elementwise *op, const void *const *inputs, void *out, int threads) {
  job job = {.op = op, .inputs = inputs, .out = out};
  const size_t lines = op->count / CHUNK_ALIGN + (op->count % CHUNK_ALIGN != 0);
  pleat_parallel_ranges(op->count <= PLEAT_PARALLEL_SIMPLE ? 1 : threads, (int64_t)lines, run_lines, &job);
}

pleat_status pleat_elementwise_run(const pleat_call *call) {
  const void *inputs[PLEAT_EW_OPERANDS] = {NULL};
  if (pleat_out(call, 0) == NULL) return PLEAT_OK;
  for (size_t k = 0; k < call->input_count; k++) inputs[k] = call->inputs[k]->data;
  pleat_elementwise_apply(call->state, inputs, call->outputs[0]->data, call->threads);
  return PLEAT_OK;
}

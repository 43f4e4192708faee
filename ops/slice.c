/* Slice: start, end and step along some axes, as numpy slices. Attributes in opset 1, inputs from 10 on. Negative
 * starts and ends count from the end, and whatever lies outside is clamped, so that any int64 is a valid bound. One
 * strided copy. What is cut along a single axis stays in the input's physical layout, and is a piece of the input,
 * which the plan may use in place, where nothing lies before that axis in memory. */
#include <inttypes.h>

#include "ops/layout.h"
#include "ops/movement.h"

enum { FROM_INPUTS = 1u << 0 };

static const pleat_op_version versions[] = {{1, 1, 1, 1, 1, 0, 0},
                                            {10, 3, 5, 1, 1, 0, FROM_INPUTS},
                                            {11, 3, 5, 1, 1, 0, FROM_INPUTS},
                                            {13, 3, 5, 1, 1, 0, FROM_INPUTS},
                                            {0}};
static const pleat_op_attr attrs[] = {{.name = "starts", .type = PLEAT_ATTR_INTS, .required = true, .until = 9},
                                      {.name = "ends", .type = PLEAT_ATTR_INTS, .required = true, .until = 9},
                                      {.name = "axes", .type = PLEAT_ATTR_INTS, .until = 9},
                                      {0}};

/* starts, ends, axes, steps: which are given, and their values. */
enum { STARTS, ENDS, AXES, STEPS, LISTS };
typedef struct bounds {
  bool given[LISTS];
  pleat_ints lists[LISTS];
} bounds;

static pleat_status read_bounds(const pleat_node *node, const pleat_op_version *version,
                                const pleat_tensor *const tensors[LISTS], int rank, bounds *b, pleat_error *error) {
  static const char *const names[LISTS] = {"starts", "ends", "axes", "steps"};
  for (int i = 0; i < LISTS; i++) {
    if (version->flags & FROM_INPUTS) {
      PLEAT_TRY(pleat_ints_read(tensors[i], names[i], PLEAT_MAX_RANK, &b->lists[i], error));
    } else {
      PLEAT_TRY(pleat_ints_attr(node, names[i], PLEAT_MAX_RANK, &b->lists[i], error));
      b->given[i] = b->lists[i].count >= 0;
    }
  }
  PLEAT_TRY(pleat_ints_to_axes(&b->lists[AXES], rank, error));
  int count = b->lists[STARTS].count;
  for (int i = ENDS; i < LISTS && count >= 0; i++)
    if (b->lists[i].count >= 0 && b->lists[i].count != count)
      return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "'%s' has %d values, 'starts' has %d", names[i], b->lists[i].count,
                        count);
  if (count > rank) return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "%d axes are sliced, the input has %d", count, rank);
  for (int i = 0; i < b->lists[STEPS].count; i++)
    if (b->lists[STEPS].values[i] == 0) return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "a step is 0");
  return PLEAT_OK;
}

static bool is_complete(const bounds *b) {
  for (int i = 0; i < LISTS; i++)
    if (b->given[i] && b->lists[i].count < 0) return false;
  return true;
}

/* The first index and the number of indices taken from a dimension of size `dim`. */
static void resolve(int64_t start, int64_t end, int64_t step, int64_t dim, int64_t *out_first, int64_t *out_count) {
  int64_t low = step > 0 ? 0 : -1, high = step > 0 ? dim : dim - 1;
  if (start < 0) start += dim;
  if (end < 0) end += dim;
  if (start < 0) start = 0;
  if (start > high) start = high; /* -1 for an empty dimension taken backwards */
  end = end < low ? low : end > high ? high : end;
  uint64_t stride = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;
  int64_t span = step > 0 ? end - start : start - end;
  *out_first = start;
  *out_count = span <= 0 ? 0 : (int64_t)(((uint64_t)span - 1) / stride + 1);
}

/* Takes a whole dimension whatever its size is. Exporters write INT32_MAX or INT64_MAX for "to the end". */
static bool takes_all(int64_t start, int64_t end, int64_t step) {
  return (step == 1 && start == 0 && end >= INT32_MAX) || (step == -1 && start == -1 && end <= INT32_MIN);
}

static pleat_dim sliced(pleat_dim dim, int64_t start, int64_t end, int64_t step) {
  if (!pleat_dim_is_known(dim)) return takes_all(start, end, step) ? dim : pleat_dim_unknown();
  int64_t first = 0, count = 0;
  resolve(start, end, step, dim.value, &first, &count);
  return pleat_dim_known(count);
}

static int axis_of(const bounds *b, int i) {
  return b->given[AXES] ? (int)b->lists[AXES].values[i] : i;
}
static int64_t step_of(const bounds *b, int i) {
  return b->given[STEPS] ? b->lists[STEPS].values[i] : 1;
}

/* Bounds not known: the dimensions that are surely not sliced stay. */
static void forget_sliced(const bounds *b, int64_t length, pleat_shape *shape) {
  int count = shape->rank;
  if (!b->given[AXES] && length >= 0 && length < count) count = (int)length;
  if (b->given[AXES] && b->lists[AXES].count >= 0) count = b->lists[AXES].count;
  bool axes_known = !b->given[AXES] || b->lists[AXES].count >= 0;
  for (int i = 0; i < count; i++) shape->dims[axes_known ? axis_of(b, i) : i] = pleat_dim_unknown();
}

static pleat_status infer(pleat_infer *ctx) {
  PLEAT_TRY(pleat_require_tensors(ctx));
  const pleat_type *in = &ctx->inputs[0];
  pleat_type *out = &ctx->outputs[0];
  out->dtype = in->dtype;
  if (in->shape.rank < 0) return PLEAT_OK;
  bounds b = {0};
  const pleat_tensor *tensors[LISTS] = {0};
  for (size_t i = 0; i < LISTS; i++) {
    b.given[i] = pleat_infer_has(ctx, i + 1);
    if (b.given[i]) tensors[i] = ctx->inputs[i + 1].data;
  }
  PLEAT_TRY(read_bounds(ctx->node, ctx->version, tensors, in->shape.rank, &b, ctx->error));
  out->shape = in->shape;
  if (!is_complete(&b)) {
    forget_sliced(&b, pleat_ints_length(&ctx->inputs[1]), &out->shape);
    return PLEAT_OK;
  }
  for (int i = 0; i < b.lists[STARTS].count; i++) {
    pleat_dim *dim = &out->shape.dims[axis_of(&b, i)];
    *dim = sliced(*dim, b.lists[STARTS].values[i], b.lists[ENDS].values[i], step_of(&b, i));
  }
  return PLEAT_OK;
}

/* The bounds of a call; `*out_known` false while an input is not. */
static pleat_status call_bounds(const pleat_call *call, bounds *b, bool *out_known) {
  const pleat_tensor *tensors[LISTS] = {0};
  *b = (bounds){0};
  *out_known = true;
  for (size_t i = 0; i < LISTS; i++) {
    tensors[i] = pleat_in(call, i + 1);
    b->given[i] = tensors[i] != NULL;
    if (tensors[i] != NULL && tensors[i]->data == NULL && tensors[i]->count > 0) *out_known = false;
  }
  return *out_known ? read_bounds(call->node, call->version, tensors, call->inputs[0]->rank, b, call->error) : PLEAT_OK;
}

/* ---- along one axis ---- */

/* `count` channels (rows...) from `first` on are taken, in order and without gaps, and all of every other axis. */
typedef struct cut {
  int axis;
  int64_t first;
} cut;

static bool is_one_cut(const pleat_call *call, cut *out_cut) {
  const pleat_tensor *in = call->inputs[0];
  bounds b;
  bool known = false;
  int cuts = 0;
  *out_cut = (cut){.axis = 0};
  if (call_bounds(call, &b, &known) != PLEAT_OK || !known) return false;
  for (int i = 0; i < b.lists[STARTS].count; i++) {
    int64_t first = 0, count = 0;
    const int axis = axis_of(&b, i);
    resolve(b.lists[STARTS].values[i], b.lists[ENDS].values[i], step_of(&b, i), in->dims[axis], &first, &count);
    if (count > 1 && step_of(&b, i) != 1) return false;
    if (count == in->dims[axis]) continue;
    *out_cut = (cut){.axis = axis, .first = first};
    cuts++;
  }
  return cuts <= 1;
}

/* Where the cut begins in each run around its axis, in elements. */
static int64_t cut_offset(const pleat_layout *layout, const pleat_tensor *in, const cut *c) {
  int64_t dims[PLEAT_MAX_RANK], outer, offset;
  memcpy(dims, in->dims, sizeof dims);
  dims[c->axis] = c->first; /* fills its blocks */
  pleat_layout_span(layout, in->rank, dims, c->axis, &outer, &offset);
  return offset;
}

static const char *refuse(const pleat_call *call) {
  const pleat_tensor *in = call->inputs[0], *out = call->outputs[0];
  cut c;
  if (in->layout == NULL) return "a dense tensor";
  if (!is_one_cut(call, &c)) return "more than one axis, or steps, or bounds that are not constant";
  if (c.axis != 1 || out->dims[1] == in->dims[1]) return NULL;
  const bool whole_blocks = pleat_layout_fills(in->layout, c.first) &&
                            (pleat_layout_fills(in->layout, out->dims[1]) || c.first + out->dims[1] == in->dims[1]);
  return whole_blocks ? NULL : "channels that are not whole blocks";
}

static pleat_status prepare(pleat_call *call) {
  call->outputs[0]->layout = call->inputs[0]->layout;
  return PLEAT_OK;
}

static pleat_status run_cut(const pleat_call *call) {
  const pleat_tensor *in = call->inputs[0], *out = call->outputs[0];
  const size_t size = pleat_layout_element(in->layout, in->dtype);
  int64_t outer, row, part;
  cut c;
  if (out->count == 0) return PLEAT_OK;
  (void)is_one_cut(call, &c);
  pleat_layout_span(in->layout, in->rank, in->dims, c.axis, &outer, &row);
  pleat_layout_span(in->layout, out->rank, out->dims, c.axis, &outer, &part);
  const char *src = (const char *)in->data + (size_t)cut_offset(in->layout, in, &c) * size;
  pleat_copy_strided(size, 2, (int64_t[]){outer, part}, out->data, (int64_t[]){part, 1}, src, (int64_t[]){row, 1},
                     call->threads);
  return PLEAT_OK;
}

/* ---- in any layout ---- */

static void pieces(const pleat_call *call, size_t *out_offsets) {
  const pleat_tensor *in = call->inputs[0];
  const pleat_layout *layout = call->wanted[0];
  int64_t outer, row;
  cut c;
  *out_offsets = PLEAT_NO_OFFSET;
  if (!is_one_cut(call, &c)) return;
  pleat_layout_span(layout, in->rank, in->dims, c.axis, &outer, &row);
  if (outer == 1) *out_offsets = (size_t)cut_offset(layout, in, &c) * pleat_layout_element(layout, in->dtype);
}

/* ---- dense ---- */

static pleat_status run(const pleat_call *call) {
  const pleat_tensor *in = pleat_in(call, 0);
  pleat_tensor *out = pleat_out(call, 0);
  if (out->count == 0) return PLEAT_OK;
  bounds b;
  bool known = false;
  PLEAT_TRY(call_bounds(call, &b, &known));
  int64_t src_strides[PLEAT_MAX_RANK], dst_strides[PLEAT_MAX_RANK], offset = 0;
  pleat_dense_strides(in->rank, in->dims, src_strides);
  pleat_dense_strides(out->rank, out->dims, dst_strides);
  for (int i = 0; i < b.lists[STARTS].count; i++) {
    int axis = axis_of(&b, i);
    int64_t first = 0, count = 0, step = step_of(&b, i);
    resolve(b.lists[STARTS].values[i], b.lists[ENDS].values[i], step, in->dims[axis], &first, &count);
    offset += first * src_strides[axis];
    /* A step that is taken at least once is smaller than the dimension, so this cannot overflow. */
    src_strides[axis] = count > 1 ? src_strides[axis] * step : 0;
  }
  size_t size = pleat_dtype_size(in->dtype);
  pleat_copy_strided(size, out->rank, out->dims, out->data, dst_strides, (const char *)in->data + (size_t)offset * size,
                     src_strides, call->threads);
  return PLEAT_OK;
}

static const pleat_kernel copy = {.name = "copy",
                                  .flags = PLEAT_KERNEL_LAYOUTS | PLEAT_KERNEL_CUTS | PLEAT_KERNEL_BF16,
                                  .supports = refuse,
                                  .prepare = prepare,
                                  .run = run_cut,
                                  .pieces = pieces};
static const pleat_kernel reference = {.name = "reference", .flags = PLEAT_KERNEL_CUTS, .run = run, .pieces = pieces};
/* Samples may be "sliced" from the first to the last: some exporters name all axes. */
static const char *apart(const pleat_infer *whole, const pleat_role *roles) {
  bounds b = {0};
  const pleat_tensor *tensors[LISTS] = {0};
  for (size_t i = 0; i < LISTS; i++) {
    b.given[i] = pleat_infer_has(whole, i + 1);
    if (b.given[i]) tensors[i] = whole->inputs[i + 1].data;
  }
  if (read_bounds(whole->node, whole->version, tensors, whole->inputs[0].shape.rank, &b, NULL) != PLEAT_OK ||
      !is_complete(&b))
    return "its bounds are not known";
  for (int i = 0; i < b.lists[STARTS].count; i++) {
    if (axis_of(&b, i) == 0 && (b.lists[STARTS].values[i] != 0 || step_of(&b, i) != 1)) return "it cuts the batch";
  }
  return pleat_apart_first(whole, roles);
}

const pleat_op_def pleat_op_Slice = {.name = "Slice",
                                     .domain = "",
                                     .versions = versions,
                                     .attrs = attrs,
                                     .infer = infer,
                                     .apart = apart,
                                     .kernels = (const pleat_kernel *const[]){&copy, &reference, NULL}};

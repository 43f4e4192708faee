/* Pad: a border around a tensor, constant or made from its own elements. Negative pads crop; cropping comes first, so
 * that the other modes continue what is left.
 *
 * The border is taken apart, last axis first: the border of axis d spans the interior of the axes before d and all of
 * the axes behind it, so that every element is written once, from elements that are there already. */
#include <inttypes.h>

#include "ops/movement.h"

enum { FROM_INPUTS = 1u << 0 };

static const pleat_op_version versions[] = {{1, 1, 1, 1, 1, 0, 0},
                                            {2, 1, 1, 1, 1, 0, 0},
                                            {11, 2, 3, 1, 1, 0, FROM_INPUTS},
                                            {13, 2, 3, 1, 1, 0, FROM_INPUTS},
                                            {18, 2, 4, 1, 1, 0, FROM_INPUTS},
                                            {19, 2, 4, 1, 1, 0, FROM_INPUTS},
                                            {21, 2, 4, 1, 1, 0, FROM_INPUTS},
                                            {23, 2, 4, 1, 1, 0, FROM_INPUTS},
                                            {24, 2, 4, 1, 1, 0, FROM_INPUTS},
                                            {25, 2, 4, 1, 1, 0, FROM_INPUTS},
                                            {0}};
static const pleat_op_attr attrs[] = {
    {.name = "mode", .type = PLEAT_ATTR_STRING, .s = "constant"},
    {.name = "paddings", .type = PLEAT_ATTR_INTS, .required = true, .until = 1},
    {.name = "pads", .type = PLEAT_ATTR_INTS, .required = true, .since = 2, .until = 10},
    {.name = "value", .type = PLEAT_ATTR_FLOAT, .until = 10},
    {0}};

typedef enum pad_mode { MODE_CONSTANT, MODE_REFLECT, MODE_EDGE, MODE_WRAP, MODE_COUNT } pad_mode;

static pleat_status find_mode(const pleat_node *node, pad_mode *out_mode, pleat_error *error) {
  static const char *const names[MODE_COUNT] = {"constant", "reflect", "edge", "wrap"};
  const char *name = pleat_attr_string(node, "mode");
  for (int i = 0; i < MODE_COUNT; i++) {
    *out_mode = (pad_mode)i;
    if (strcmp(name, names[i]) == 0) return PLEAT_OK;
  }
  return pleat_fail(error, PLEAT_MALFORMED_MODEL, "mode '%s': expected constant, reflect, edge or wrap", name);
}

/* Pads of every axis. */
typedef struct pads {
  bool known;
  int64_t begin[PLEAT_MAX_RANK], end[PLEAT_MAX_RANK];
} pads;

static pleat_status read_pads(const pleat_node *node, const pleat_op_version *version, const pleat_tensor *tensor,
                              bool has_axes, const pleat_tensor *axes_tensor, int rank, pads *p, pleat_error *error) {
  pleat_ints list, axes = {.count = -1};
  memset(p, 0, sizeof *p);
  if (version->flags & FROM_INPUTS) {
    PLEAT_TRY(pleat_ints_read(tensor, "pads", 2 * PLEAT_MAX_RANK, &list, error));
    PLEAT_TRY(pleat_ints_read(axes_tensor, "axes", PLEAT_MAX_RANK, &axes, error));
    PLEAT_TRY(pleat_ints_to_axes(&axes, rank, error));
  } else {
    PLEAT_TRY(pleat_ints_attr(node, version->since == 1 ? "paddings" : "pads", 2 * PLEAT_MAX_RANK, &list, error));
  }
  if (list.count < 0 || (has_axes && axes.count < 0)) return PLEAT_OK;
  int count = has_axes ? axes.count : rank;
  if (list.count != 2 * count)
    return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "pads: expected %d values, two for each of %d axes, found %d",
                      2 * count, count, list.count);
  for (int i = 0; i < count; i++) {
    int axis = has_axes ? (int)axes.values[i] : i;
    p->begin[axis] = list.values[i];
    p->end[axis] = list.values[count + i];
  }
  p->known = true;
  return PLEAT_OK;
}

/* What remains of a dimension once negative pads have cropped it; fails when they take more than there is. */
static pleat_status crop(int64_t dim, int64_t begin, int64_t end, int64_t *out_rest, pleat_error *error) {
  *out_rest = dim;
  if (begin < 0 && !pleat_add_i64(*out_rest, begin, out_rest)) *out_rest = -1;
  if (end < 0 && *out_rest >= 0 && !pleat_add_i64(*out_rest, end, out_rest)) *out_rest = -1;
  if (*out_rest >= 0) return PLEAT_OK;
  return pleat_fail(error, PLEAT_SHAPE_MISMATCH,
                    "pads %" PRId64 " and %" PRId64 " remove more than a dimension of %" PRId64 " has", begin, end,
                    dim);
}

static pleat_status padded(pleat_dim *dim, int64_t begin, int64_t end, pad_mode mode, pleat_error *error) {
  if (begin == 0 && end == 0) return PLEAT_OK;
  if (!pleat_dim_is_known(*dim)) {
    *dim = pleat_dim_unknown();
    return PLEAT_OK;
  }
  int64_t rest = 0;
  PLEAT_TRY(crop(dim->value, begin, end, &rest, error));
  if (rest == 0 && mode != MODE_CONSTANT && (begin > 0 || end > 0))
    return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "an empty dimension can only be padded with a constant");
  int64_t size = rest;
  if ((begin > 0 && !pleat_add_i64(size, begin, &size)) || (end > 0 && !pleat_add_i64(size, end, &size)))
    return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "the padded dimension overflows");
  *dim = pleat_dim_known(size);
  return PLEAT_OK;
}

static pleat_status infer(pleat_infer *ctx) {
  PLEAT_TRY(pleat_require_tensors(ctx));
  PLEAT_TRY(pleat_require_same_type(ctx, 0, 2));
  const pleat_type *in = &ctx->inputs[0];
  pleat_type *out = &ctx->outputs[0];
  out->dtype = in->dtype;
  pad_mode mode;
  PLEAT_TRY(find_mode(ctx->node, &mode, ctx->error));
  if (pleat_infer_has(ctx, 2) && ctx->inputs[2].data != NULL && ctx->inputs[2].data->count != 1)
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "constant_value: expected one element, found %zu",
                      ctx->inputs[2].data->count);
  if (in->shape.rank < 0) return PLEAT_OK;
  bool has_axes = pleat_infer_has(ctx, 3);
  pads p;
  PLEAT_TRY(read_pads(ctx->node, ctx->version, pleat_infer_has(ctx, 1) ? ctx->inputs[1].data : NULL, has_axes,
                      has_axes ? ctx->inputs[3].data : NULL, in->shape.rank, &p, ctx->error));
  if (!p.known) {
    out->shape = pleat_shape_of_rank(in->shape.rank);
    return PLEAT_OK;
  }
  out->shape = in->shape;
  for (int d = 0; d < in->shape.rank; d++)
    PLEAT_TRY(padded(&out->shape.dims[d], p.begin[d], p.end[d], mode, ctx->error));
  return PLEAT_OK;
}

/* The element that position `i` (outside of [0, n), or in it) shows. */
static int64_t source_index(pad_mode mode, int64_t i, int64_t n) {
  if (mode == MODE_EDGE || n == 1) return i < 0 ? 0 : i >= n ? n - 1 : i;
  int64_t period = mode == MODE_WRAP ? n : 2 * (n - 1);
  int64_t phase = i % period;
  if (phase < 0) phase += period;
  return phase < n ? phase : period - phase;
}

typedef struct painter {
  pleat_tensor *out;
  size_t size;
  int64_t strides[PLEAT_MAX_RANK];
  int64_t origin[PLEAT_MAX_RANK], interior[PLEAT_MAX_RANK]; /* where the input's elements are */
  pad_mode mode;
  const void *value;
  int threads;
} painter;

/* Fills positions [from, to) of `axis`. */
static void paint(const painter *p, int axis, int64_t from, int64_t to) {
  static const int64_t still[PLEAT_MAX_RANK];
  int64_t dims[PLEAT_MAX_RANK], offset = 0;
  for (int d = 0; d < p->out->rank; d++) {
    dims[d] = d < axis ? p->interior[d] : p->out->dims[d];
    if (d < axis) offset += p->origin[d] * p->strides[d];
    if (d != axis && dims[d] == 0) return;
  }
  if (from >= to) return;
  char *base = (char *)p->out->data + (size_t)offset * p->size;
  size_t step = (size_t)p->strides[axis] * p->size;
  if (p->mode == MODE_CONSTANT) {
    dims[axis] = to - from;
    pleat_copy_strided(p->size, p->out->rank, dims, base + (size_t)from * step, p->strides, p->value, still,
                       p->threads);
    return;
  }
  dims[axis] = 1;
  int64_t origin = p->origin[axis];
  for (int64_t i = from; i < to; i++) {
    int64_t source = origin + source_index(p->mode, i - origin, p->interior[axis]);
    pleat_copy_strided(p->size, p->out->rank, dims, base + (size_t)i * step, p->strides, base + (size_t)source * step,
                       p->strides, p->threads);
  }
}

static void fill_value(const pleat_call *call, pleat_dtype dtype, void *out_value) {
  pleat_zero_element(dtype, out_value);
  const pleat_tensor *given = pleat_in(call, 2);
  if (given != NULL) memcpy(out_value, given->data, pleat_dtype_size(dtype));
  else if (!(call->version->flags & FROM_INPUTS) && dtype != PLEAT_STRING && pleat_attr_float(call->node, "value") != 0)
    pleat_store_f64(dtype, out_value, 0, (double)pleat_attr_float(call->node, "value"));
}

static pleat_status run(const pleat_call *call) {
  const pleat_tensor *in = pleat_in(call, 0), *given = pleat_in(call, 2), *axes = pleat_in(call, 3);
  pleat_tensor *out = pleat_out(call, 0);
  if (given != NULL && given->count != 1)
    return pleat_fail(call->error, PLEAT_SHAPE_MISMATCH, "constant_value: expected one element, found %zu",
                      given->count);
  if (out->count == 0) return PLEAT_OK;
  union {
    char bytes[16];
    pleat_string string;
    double number;
  } value;
  painter p = {.out = out, .size = pleat_dtype_size(out->dtype), .value = &value, .threads = call->threads};
  pads pad;
  PLEAT_TRY(find_mode(call->node, &p.mode, call->error));
  PLEAT_TRY(read_pads(call->node, call->version, pleat_in(call, 1), axes != NULL, axes, in->rank, &pad, call->error));
  fill_value(call, out->dtype, &value);

  int64_t src_strides[PLEAT_MAX_RANK], src_offset = 0, dst_offset = 0;
  bool empty = false;
  pleat_dense_strides(in->rank, in->dims, src_strides);
  pleat_dense_strides(out->rank, out->dims, p.strides);
  for (int d = 0; d < in->rank; d++) {
    PLEAT_TRY(crop(in->dims[d], pad.begin[d], pad.end[d], &p.interior[d], call->error));
    p.origin[d] = pad.begin[d] > 0 ? pad.begin[d] : 0;
    src_offset += pad.begin[d] < 0 ? -pad.begin[d] * src_strides[d] : 0;
    dst_offset += p.origin[d] * p.strides[d];
    empty = empty || p.interior[d] == 0;
  }
  if (!empty)
    pleat_copy_strided(p.size, in->rank, p.interior, (char *)out->data + (size_t)dst_offset * p.size, p.strides,
                       (const char *)in->data + (size_t)src_offset * p.size, src_strides, call->threads);
  for (int d = in->rank - 1; d >= 0; d--) {
    paint(&p, d, 0, p.origin[d]);
    paint(&p, d, p.origin[d] + p.interior[d], out->dims[d]);
  }
  return PLEAT_OK;
}

static const pleat_kernel reference = {.name = "reference", .run = run};
static const char *apart(const pleat_infer *whole, const pleat_role *roles) {
  const bool has_axes = pleat_infer_has(whole, 3);
  pads p;
  if (read_pads(whole->node, whole->version, pleat_infer_has(whole, 1) ? whole->inputs[1].data : NULL, has_axes,
                has_axes ? whole->inputs[3].data : NULL, whole->inputs[0].shape.rank, &p, NULL) != PLEAT_OK ||
      !p.known || p.begin[0] != 0 || p.end[0] != 0)
    return "it may pad the batch";
  return pleat_apart_first(whole, roles);
}

const pleat_op_def pleat_op_Pad = {.name = "Pad",
                                   .domain = "",
                                   .versions = versions,
                                   .attrs = attrs,
                                   .infer = infer,
                                   .apart = apart,
                                   .kernels = (const pleat_kernel *const[]){&reference, NULL}};

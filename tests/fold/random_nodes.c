/* The nodes of a random model. Each function takes a value that there is, checks that it fits, and adds a node or a few
 * that belong together. */
#include "fold/random_graph.h"
#include "ops/ops.h"

#define COIN(g) (random_below((g), 2) == 0)

static const char *fresh(random_graph *g, const char *prefix, char name[NAME_SIZE]) {
  snprintf(name, NAME_SIZE, "%s%d", prefix, g->names++);
  return name;
}

static const char *text_of(const int64_t *values, int count, char text[64]) {
  size_t used = 0;
  text[0] = '\0';
  for (int i = 0; i < count; i++) {
    used += (size_t)snprintf(text + used, 64 - used, "%s%lld", i > 0 ? "," : "", (long long)values[i]);
  }
  return text;
}

/* A constant with random values: an initializer, or now and then a Constant node or a computed one. */
static const char *constant(random_graph *g, const char *shape, double low, double high, char name[NAME_SIZE]) {
  fresh(g, "w", name);
  double *values = noise_values(&g->b, name, shape_count(shape), low, high);
  const uint64_t kind = g->in_branch ? 9 : random_below(g, 12);
  if (kind == 0) {
    constant_node(&g->b, name, g->dtype, shape, values);
  } else if (kind == 1) {
    char stored[NAME_SIZE + 8];
    snprintf(stored, sizeof stored, "%s_stored", name);
    model_init(&g->b, stored, g->dtype, shape, values);
    model_node(&g->b, "Identity", "", stored, name);
  } else {
    model_init(&g->b, name, g->dtype, shape, values); /* of the main graph: branches capture it */
  }
  return name;
}

static Onnx__NodeProto *node(random_graph *g, const char *op, const char *inputs, const char *outputs) {
  char name[NAME_SIZE];
  return build_node(&g->b, g->graph, op, fresh(g, op, name), inputs, outputs);
}

static bool fits(int rank, const int64_t *dims) {
  int64_t count = 1;
  for (int i = 0; i < rank; i++) {
    if (dims[i] < 1) return false;
    count *= dims[i];
  }
  return count <= LIMIT_ELEMENTS;
}

/* One input, one output of the given shape. */
static Onnx__NodeProto *unary(random_graph *g, const char *op, random_value *x, const char *more, int rank,
                              const int64_t *dims) {
  char inputs[512];
  if (g->count >= LIMIT_VALUES || !fits(rank, dims)) return NULL;
  snprintf(inputs, sizeof inputs, "%s%s", x->name, more);
  x->is_read = true;
  return node(g, op, inputs, random_result(g, rank, dims)->name);
}

/* ---- normalisations and arithmetic ---- */

void random_batch_norm(random_graph *g, random_value *x) {
  char shape[64], names[4][NAME_SIZE], more[160];
  const bool positive = random_below(g, 3) != 0;
  if (x->rank < 2) return;
  text_of(&x->dims[1], 1, shape);
  constant(g, shape, positive ? 0.3 : -1.5, 1.5, names[0]);
  constant(g, shape, random_below(g, 4) == 0 ? 0 : -1, random_below(g, 4) == 0 ? 0 : 1, names[1]);
  constant(g, shape, -1, 1, names[2]);
  constant(g, shape, 0.2, 2, names[3]);
  snprintf(more, sizeof more, ",%s,%s,%s,%s", names[0], names[1], names[2], names[3]);
  Onnx__NodeProto *bn = unary(g, "BatchNormalization", x, more, x->rank, x->dims);
  if (bn != NULL && COIN(g)) build_attr_float(&g->b, bn, "epsilon", 1e-3f);
}

/* Mul, Add, Sub or Div with a constant: one number, one a channel, one along the last axis, or one an element. */
static void arithmetic(random_graph *g, random_value *x) {
  static const char *const ops[] = {"Mul", "Add", "Sub", "Div"};
  int64_t dims[6] = {1, 1, 1, 1, 1, 1};
  char shape[64], name[NAME_SIZE], more[64], inputs[96];
  const int kind = (int)random_below(g, 8), op = (int)random_below(g, 4);
  int rank = x->rank - 1, axis = kind < 5 ? 1 : x->rank - 1;
  if (rank < 1) return;
  if (kind == 0) rank = 0;
  else if (kind == 7) memcpy(dims, x->dims + 1, (size_t)rank * sizeof *dims);
  else dims[axis - 1] = x->dims[axis];
  if (g->count >= LIMIT_VALUES) return;
  constant(g, text_of(dims, rank, shape), 0.4, 1.6, name);
  snprintf(more, sizeof more, ",%s", name);
  if (random_below(g, 4) != 0) {
    unary(g, ops[op], x, more, x->rank, x->dims);
    return;
  }
  if (op == 3) return; /* a constant divided by a value may be anything */
  snprintf(inputs, sizeof inputs, "%s,%s", name, x->name);
  x->is_read = true;
  node(g, ops[op], inputs, random_result(g, x->rank, x->dims)->name);
}

static void activation(random_graph *g, random_value *x) {
  static const char *const ops[] = {"Relu", "LeakyRelu", "Sigmoid", "Neg", "Identity", "Dropout"};
  unary(g, ops[random_below(g, 6)], x, "", x->rank, x->dims);
}

static void sum(random_graph *g, random_value *x) {
  char more[64];
  random_value *other = &g->values[random_below(g, g->count)];
  if (other->rank != x->rank || memcmp(other->dims, x->dims, (size_t)x->rank * sizeof *x->dims) != 0) return;
  snprintf(more, sizeof more, ",%s", other->name);
  if (unary(g, COIN(g) ? "Add" : COIN(g) ? "Sub" : "Sum", x, more, x->rank, x->dims) != NULL) other->is_read = true;
}

/* ---- convolutions and pools ---- */

typedef struct window {
  int64_t kernel[3], strides[3], dilations[3], pads[6];
  int spatial;
} window;

/* A window that fits; `out` gets the result's positions. */
static bool random_window(random_graph *g, const random_value *x, bool dilates, window *w, int64_t *out) {
  const bool pads = random_below(g, 3) != 0;
  w->spatial = x->rank - 2;
  for (int i = 0; i < w->spatial; i++) {
    w->kernel[i] = 1 + (int64_t)random_below(g, 3);
    w->strides[i] = 1 + (int64_t)random_below(g, 2);
    w->dilations[i] = dilates && random_below(g, 4) == 0 ? 2 : 1;
    for (int side = 0; side < 2; side++) {
      w->pads[i + side * w->spatial] = pads && w->kernel[i] > 1 ? (int64_t)random_below(g, (uint64_t)w->kernel[i]) : 0;
    }
    const int64_t extent = (w->kernel[i] - 1) * w->dilations[i] + 1;
    const int64_t size = x->dims[i + 2] + w->pads[i] + w->pads[i + w->spatial];
    if (size < extent) return false;
    out[i] = (size - extent) / w->strides[i] + 1;
  }
  return true;
}

static void set_window(random_graph *g, Onnx__NodeProto *n, const window *w, bool dilates) {
  char text[64];
  attr_ints(&g->b, n, "kernel_shape", text_of(w->kernel, w->spatial, text));
  attr_ints(&g->b, n, "strides", text_of(w->strides, w->spatial, text));
  attr_ints(&g->b, n, "pads", text_of(w->pads, 2 * w->spatial, text));
  if (dilates) attr_ints(&g->b, n, "dilations", text_of(w->dilations, w->spatial, text));
}

/* A weight, or one of the same shape that is there already. */
static void weight(random_graph *g, const char *shape, double range, char name[NAME_SIZE]) {
  for (size_t i = 0; i < g->weight_count; i++) {
    if (strcmp(g->weight_shapes[i], shape) != 0 || COIN(g)) continue;
    snprintf(name, NAME_SIZE, "%s", g->weights[i]);
    return;
  }
  constant(g, shape, -range, range, name);
  if (g->weight_count >= 8 || g->in_branch) return;
  snprintf(g->weights[g->weight_count], NAME_SIZE, "%s", name);
  snprintf(g->weight_shapes[g->weight_count++], NAME_SIZE, "%s", shape);
}

static void convolution(random_graph *g, random_value *x) {
  window w;
  char shape[64], names[2][NAME_SIZE], more[80];
  int64_t out[6] = {x->dims[0]}, dims[5] = {0};
  const int64_t channels = x->rank > 1 ? x->dims[1] : 0;
  const bool is_transposed = random_below(g, 4) == 0;
  if (x->rank < 3 || x->rank > 5 || !random_window(g, x, !is_transposed, &w, out + 2)) return;
  const int64_t group = random_below(g, 3) == 0 ? channels : channels % 2 == 0 && COIN(g) ? 2 : 1;
  const int64_t multiplier = 1 + (int64_t)random_below(g, group > 2 ? 2 : 4);
  out[1] = group * multiplier;
  dims[0] = is_transposed ? channels : out[1];
  dims[1] = is_transposed ? multiplier : channels / group;
  memcpy(dims + 2, w.kernel, (size_t)w.spatial * sizeof *dims);
  for (int i = 0; i < w.spatial && is_transposed; i++) {
    out[i + 2] = (x->dims[i + 2] - 1) * w.strides[i] + w.kernel[i] - w.pads[i] - w.pads[i + w.spatial];
  }
  if (!fits(x->rank, out) || g->count >= LIMIT_VALUES) return;
  weight(g, text_of(dims, x->rank, shape), 0.6, names[0]);
  snprintf(more, sizeof more, ",%s", names[0]);
  if (COIN(g)) {
    snprintf(more, sizeof more, ",%s,%s", names[0], constant(g, text_of(out + 1, 1, shape), -1, 1, names[1]));
  }
  Onnx__NodeProto *n = unary(g, is_transposed ? "ConvTranspose" : "Conv", x, more, x->rank, out);
  if (n == NULL) return;
  if (group != 1) build_attr_int(&g->b, n, "group", group);
  set_window(g, n, &w, true);
}

/* auto_pad keeps the size (strides 1). */
static void same_convolution(random_graph *g, random_value *x, int64_t channels) {
  char shape[64], name[NAME_SIZE], more[64];
  int64_t dims[5] = {0}, out[6];
  if (x->rank < 3 || x->rank > 5) return;
  memcpy(out, x->dims, sizeof out);
  out[1] = dims[0] = channels;
  dims[1] = x->dims[1];
  for (int i = 2; i < x->rank; i++) dims[i] = 1 + (int64_t)random_below(g, 3);
  if (!fits(x->rank, out) || g->count >= LIMIT_VALUES) return;
  weight(g, text_of(dims, x->rank, shape), 0.6, name);
  snprintf(more, sizeof more, ",%s", name);
  Onnx__NodeProto *n = unary(g, "Conv", x, more, x->rank, out);
  if (n != NULL) attr_text(&g->b, n, "auto_pad", COIN(g) ? "SAME_UPPER" : "SAME_LOWER");
}

static void padded_convolution(random_graph *g, random_value *x) {
  same_convolution(g, x, 1 + (int64_t)random_below(g, 5));
}

/* Two convolutions of one value, added, and most often normalised. */
static void residual(random_graph *g, random_value *x) {
  const int64_t channels = 1 + (int64_t)random_below(g, 5);
  const size_t before = g->count;
  char more[64];
  same_convolution(g, x, channels);
  same_convolution(g, x, channels);
  if (g->count != before + 2) return;
  random_value *first = &g->values[before], *second = &g->values[before + 1];
  snprintf(more, sizeof more, ",%s", second->name);
  if (unary(g, COIN(g) ? "Add" : COIN(g) ? "Sub" : "Sum", first, more, first->rank, first->dims) == NULL) return;
  second->is_read = true;
  if (random_below(g, 3) != 0) random_batch_norm(g, &g->values[g->count - 1]);
}

static void pool(random_graph *g, random_value *x) {
  window w;
  int64_t out[6] = {x->dims[0], x->rank > 1 ? x->dims[1] : 0};
  const bool is_max = COIN(g);
  if (x->rank < 3 || x->rank > 5) return;
  if (random_below(g, 4) == 0) {
    for (int i = 2; i < x->rank; i++) out[i] = 1;
    unary(g, is_max ? "GlobalMaxPool" : "GlobalAveragePool", x, "", x->rank, out);
    return;
  }
  if (!random_window(g, x, false, &w, out + 2)) return;
  Onnx__NodeProto *n = unary(g, is_max ? "MaxPool" : "AveragePool", x, "", x->rank, out);
  if (n == NULL) return;
  set_window(g, n, &w, false);
  if (!is_max && COIN(g)) build_attr_int(&g->b, n, "count_include_pad", 1);
}

/* ---- matrices ---- */

static void gemm(random_graph *g, random_value *x) {
  char shape[64], b[NAME_SIZE], c[NAME_SIZE], more[80];
  if (x->rank != 2 || g->count >= LIMIT_VALUES) return;
  const bool transposed = COIN(g), a_transposed = random_below(g, 5) == 0 && !g->open_batch;
  const int64_t k = x->dims[a_transposed ? 0 : 1], n = 1 + (int64_t)random_below(g, 5);
  const int64_t out[2] = {x->dims[a_transposed ? 1 : 0], n};
  const int64_t dims[2] = {transposed ? n : k, transposed ? k : n}, one[2] = {1, n};
  constant(g, text_of(dims, 2, shape), -0.8, 0.8, b);
  snprintf(more, sizeof more, ",%s", b);
  const int kind = (int)random_below(g, 5); /* of C: none, scalar, one number, row, [1, N] */
  if (kind > 0 || g->opset < 11) {
    text_of(kind == 4 ? one : &n, kind == 4 ? 2 : kind == 3 ? 1 : 0, shape);
    snprintf(more, sizeof more, ",%s,%s", b, constant(g, kind == 2 ? "1" : shape, -1, 1, c));
  }
  Onnx__NodeProto *node_of = unary(g, "Gemm", x, more, 2, out);
  if (node_of == NULL) return;
  if (transposed) build_attr_int(&g->b, node_of, "transB", 1);
  if (a_transposed) build_attr_int(&g->b, node_of, "transA", 1);
  if (COIN(g)) build_attr_float(&g->b, node_of, "alpha", 0.5f);
  if (COIN(g)) build_attr_float(&g->b, node_of, "beta", 2.0f);
}

static void matmul(random_graph *g, random_value *x) {
  char shape[64], b[NAME_SIZE], inputs[96];
  int64_t dims[6], out[6];
  const int64_t n = 1 + (int64_t)random_below(g, 5);
  const bool is_left = random_below(g, 4) == 0, is_batched = x->rank == 3 && !g->open_batch && random_below(g, 4) == 0;
  if (x->rank < 2 || g->count >= LIMIT_VALUES) return;
  memcpy(out, x->dims, sizeof out);
  out[is_left ? x->rank - 2 : x->rank - 1] = n;
  if (!fits(x->rank, out) || (is_left && x->rank == 2 && g->open_batch)) return;
  dims[0] = x->dims[0];
  int64_t *matrix = is_batched ? dims + 1 : dims;
  matrix[0] = is_left ? n : x->dims[x->rank - 1];
  matrix[1] = is_left ? x->dims[x->rank - 2] : n;
  constant(g, text_of(dims, is_batched ? 3 : 2, shape), -0.8, 0.8, b);
  snprintf(inputs, sizeof inputs, "%s,%s", is_left ? b : x->name, is_left ? x->name : b);
  x->is_read = true;
  node(g, "MatMul", inputs, random_result(g, x->rank, out)->name);
}

/* ---- rearranging ---- */

/* An integer list: an attribute, or from `since` on an input (",name"). */
static const char *list_input(random_graph *g, int64_t since, const int64_t *values, int count, char more[64]) {
  char name[NAME_SIZE], shape[16];
  double doubles[12];
  more[0] = '\0';
  if (g->opset < since) return more;
  for (int i = 0; i < count; i++) doubles[i] = (double)values[i];
  snprintf(shape, sizeof shape, "%d", count);
  model_init(&g->b, fresh(g, "i", name), PLEAT_INT64, shape, doubles);
  snprintf(more, 64, ",%s", name);
  return more;
}
static void list_attr(random_graph *g, Onnx__NodeProto *n, int64_t since, const char *name, const int64_t *values,
                      int count) {
  char text[64];
  if (n != NULL && g->opset < since) attr_ints(&g->b, n, name, text_of(values, count, text));
}

static void concat(random_graph *g, random_value *x) {
  char more[64], shape[64], name[NAME_SIZE];
  int64_t out[6], dims[6];
  const int axis = random_below(g, 4) == 0 && x->rank > 2 ? 2 : 1;
  random_value *other = &g->values[random_below(g, g->count)];
  bool same = other->rank == x->rank && x->rank > 1;
  for (int i = 0; same && i < x->rank; i++) same = i == axis || other->dims[i] == x->dims[i];
  if (x->rank < 2) return;
  memcpy(out, x->dims, sizeof out);
  memcpy(dims, x->dims, sizeof dims);
  if (!same && g->open_batch) return;
  out[axis] += same ? other->dims[axis] : 2;
  if (!fits(x->rank, out) || g->count >= LIMIT_VALUES) return;
  dims[axis] = 2;
  snprintf(more, sizeof more, ",%s", same ? other->name : constant(g, text_of(dims, x->rank, shape), -1, 1, name));
  Onnx__NodeProto *n = unary(g, "Concat", x, more, x->rank, out);
  if (n == NULL) return;
  if (same) other->is_read = true;
  build_attr_int(&g->b, n, "axis", axis);
}

static void split(random_graph *g, random_value *x) {
  char outputs[80], inputs[96], more[64];
  if (x->rank < 2 || g->count + 2 > LIMIT_VALUES) return;
  const int axis = random_below(g, 4) == 0 && x->rank > 2 ? 2 : 1;
  if (x->dims[axis] < 2) return;
  int64_t parts[2], dims[6];
  parts[0] = 1 + (int64_t)random_below(g, (uint64_t)x->dims[axis] - 1);
  parts[1] = x->dims[axis] - parts[0];
  const random_value source = *x;
  x->is_read = true;
  memcpy(dims, source.dims, sizeof dims);
  dims[axis] = parts[0];
  const random_value *first = random_result(g, source.rank, dims);
  dims[axis] = parts[1];
  const random_value *second = random_result(g, source.rank, dims);
  snprintf(outputs, sizeof outputs, "%s,%s", first->name, second->name);
  snprintf(inputs, sizeof inputs, "%s%s", source.name, list_input(g, 13, parts, 2, more));
  Onnx__NodeProto *n = node(g, "Split", inputs, outputs);
  build_attr_int(&g->b, n, "axis", axis);
  list_attr(g, n, 13, "split", parts, 2);
}

static void slice(random_graph *g, random_value *x) {
  char lists[4][64], more[160];
  if (x->rank < 2) return;
  const int64_t axis = random_below(g, 3) == 0 && x->rank > 2 ? 2 : 1, size = x->dims[axis];
  int64_t start = (int64_t)random_below(g, (uint64_t)size), end = size, step = 1, out[6];
  if (g->opset >= 10 && COIN(g)) step = 2;
  memcpy(out, x->dims, sizeof out);
  out[axis] = (end - start + step - 1) / step;
  if (g->opset >= 10 && random_below(g, 4) == 0) { /* backwards, all of it */
    start = -1, end = INT32_MIN, step = -1;
    out[axis] = size;
  }
  if (g->count >= LIMIT_VALUES) return;
  snprintf(more, sizeof more, "%s%s%s%s", list_input(g, 10, &start, 1, lists[0]), list_input(g, 10, &end, 1, lists[1]),
           list_input(g, 10, &axis, 1, lists[2]), list_input(g, 10, &step, 1, lists[3]));
  Onnx__NodeProto *n = unary(g, "Slice", x, more, x->rank, out);
  list_attr(g, n, 10, "starts", &start, 1);
  list_attr(g, n, 10, "ends", &end, 1);
  list_attr(g, n, 10, "axes", &axis, 1);
}

static void transpose(random_graph *g, random_value *x) {
  int64_t perm[6], out[6];
  char text[64];
  if (x->rank < 2 || (g->open_batch && x->rank < 3)) return;
  const int first = g->open_batch ? 1 : 0; /* the open axis stays where it is */
  for (int i = 0; i < x->rank; i++) perm[i] = i;
  if (COIN(g)) { /* the channels to the end, or back */
    const bool to_end = COIN(g);
    for (int i = 1; i < x->rank; i++) {
      perm[i] = to_end ? (i + 1 < x->rank ? i + 1 : 1) : (i == 1 ? x->rank - 1 : i - 1);
    }
  } else {
    for (int i = x->rank - 1; i > first; i--) {
      const int k = first + (int)random_below(g, (uint64_t)(i - first + 1));
      const int64_t kept = perm[i];
      perm[i] = perm[k];
      perm[k] = kept;
    }
  }
  for (int i = 0; i < x->rank; i++) out[i] = x->dims[perm[i]];
  Onnx__NodeProto *n = unary(g, "Transpose", x, "", x->rank, out);
  if (n != NULL) attr_ints(&g->b, n, "perm", text_of(perm, x->rank, text));
}

/* Merges two neighbours, splits one, flattens, or adds an axis of 1. */
static void reshape(random_graph *g, random_value *x) {
  int64_t out[6], asked[6];
  char more[64];
  int rank = x->rank;
  const int kind = (int)random_below(g, 4), at = 1 + (int)random_below(g, 3);
  memcpy(out, x->dims, sizeof out);
  if (kind == 0 && x->rank >= 2) {
    out[1] = 1;
    for (int i = 1; i < x->rank; i++) out[1] *= x->dims[i];
    unary(g, "Flatten", x, "", 2, out);
    return;
  }
  if (kind == 1 && x->rank >= 3) {
    const int begin = at < x->rank - 1 ? at : 1;
    out[begin] *= out[begin + 1];
    for (int i = begin + 1; i + 1 < x->rank; i++) out[i] = out[i + 1];
    rank--;
  } else if (kind == 2 && x->rank <= 4 && at < x->rank && x->dims[at] % 2 == 0) {
    for (int i = x->rank; i > at; i--) out[i] = out[i - 1];
    out[at] = 2;
    out[at + 1] = x->dims[at] / 2;
    rank++;
  } else if (x->rank <= 4 && x->rank >= 2) {
    const int64_t axis = x->rank;
    out[rank++] = 1;
    Onnx__NodeProto *n = unary(g, "Unsqueeze", x, list_input(g, 13, &axis, 1, more), rank, out);
    list_attr(g, n, 13, "axes", &axis, 1);
    return;
  } else {
    return;
  }
  memcpy(asked, out, sizeof asked);
  if (g->open_batch) asked[0] = 0; /* as it is */
  unary(g, "Reshape", x, list_input(g, 5, asked, rank, more), rank, out);
}

static void pad(random_graph *g, random_value *x) {
  int64_t pads[12] = {0}, out[6];
  char lists[64], more[128], value[NAME_SIZE];
  memcpy(out, x->dims, sizeof out);
  if (x->rank < 3 || g->count >= LIMIT_VALUES) return;
  for (int i = random_below(g, 6) == 0 ? 1 : 2; i < x->rank; i++) {
    pads[i] = (int64_t)random_below(g, 2);
    pads[i + x->rank] = (int64_t)random_below(g, 2);
    out[i] += pads[i] + pads[i + x->rank];
  }
  if (!fits(x->rank, out)) return;
  snprintf(more, sizeof more, "%s", list_input(g, 11, pads, 2 * x->rank, lists));
  const bool is_edge = COIN(g);
  if (g->opset >= 11 && !is_edge && random_below(g, 3) == 0) {
    snprintf(more, sizeof more, "%s,%s", lists, constant(g, "", -1, 1, value));
  }
  Onnx__NodeProto *n = unary(g, "Pad", x, more, x->rank, out);
  if (n == NULL) return;
  list_attr(g, n, 11, "pads", pads, 2 * x->rank);
  if (is_edge) attr_text(&g->b, n, "mode", "edge");
}

static void mean(random_graph *g, random_value *x) {
  int64_t axes[2], out[6];
  char more[64];
  int count = 0, rank = 0;
  const bool keeps = COIN(g);
  if (x->rank < 3) return;
  for (int i = 2; i < x->rank && count < 2; i++) axes[count++] = i;
  for (int i = 0; i < x->rank; i++) {
    const bool is_reduced = i >= 2 && i < 2 + count;
    if (!is_reduced || keeps) out[rank++] = is_reduced ? 1 : x->dims[i];
  }
  Onnx__NodeProto *n = unary(g, "ReduceMean", x, list_input(g, 18, axes, count, more), rank, out);
  if (n == NULL) return;
  list_attr(g, n, 18, "axes", axes, count);
  build_attr_int(&g->b, n, "keepdims", keeps);
}

static void resize(random_graph *g, random_value *x) {
  double scales[6] = {1, 1, 2, 1, 1};
  int64_t out[6];
  char name[NAME_SIZE], more[64], shape[8];
  if (x->rank != 4 || g->opset < 13 || g->count >= LIMIT_VALUES) return;
  memcpy(out, x->dims, sizeof out);
  out[2] *= 2;
  if (!fits(4, out)) return;
  snprintf(shape, sizeof shape, "%d", x->rank);
  model_init(&g->b, fresh(g, "s", name), PLEAT_FLOAT, shape, scales);
  snprintf(more, sizeof more, ",,%s", name);
  Onnx__NodeProto *n = unary(g, "Resize", x, more, 4, out);
  if (n != NULL) attr_text(&g->b, n, "mode", COIN(g) ? "linear" : "nearest");
}

static void instance_norm(random_graph *g, random_value *x) {
  char shape[64], names[2][NAME_SIZE], more[80];
  if (x->rank < 3 || g->count >= LIMIT_VALUES) return;
  text_of(&x->dims[1], 1, shape);
  snprintf(more, sizeof more, ",%s,%s", constant(g, shape, 0.5, 1.5, names[0]), constant(g, shape, -1, 1, names[1]));
  unary(g, "InstanceNormalization", x, more, x->rank, x->dims);
}

/* An If whose branches have a convolution and a BatchNormalization of their own, on a captured value. */
static void branches(random_graph *g, random_value *x) {
  static const char *const names[] = {"then_branch", "else_branch"};
  char name[NAME_SIZE];
  const double condition = COIN(g) ? 1 : 0;
  if (pleat_op_find("", "If") == NULL || g->in_branch || g->dtype == PLEAT_FLOAT16 || x->rank < 3 || x->rank > 5 ||
      g->count + 8 > LIMIT_VALUES)
    return;
  Onnx__GraphProto *outer = g->graph;
  const random_value source = *x;
  const size_t count = g->count;
  x->is_read = true;
  model_init(&g->b, fresh(g, "cond", name), PLEAT_BOOL, "", &condition);
  Onnx__NodeProto *n = NEW(&g->b, Onnx__NodeProto, &onnx__node_proto__descriptor);
  for (int i = 0; i < 2; i++) {
    Onnx__GraphProto *branch = g->graph = build_graph(&g->b, names[i]);
    g->in_branch = true;
    random_value *value = random_result(g, source.rank, source.dims);
    node(g, "Relu", source.name, value->name);
    padded_convolution(g, value);
    random_batch_norm(g, &g->values[g->count - 1]);
    if (COIN(g)) padded_convolution(g, &g->values[g->count - 1]);
    int64_t axes[3] = {1, 2, 3};
    char more[64], inputs[96];
    const random_value *last = &g->values[g->count - 1];
    snprintf(inputs, sizeof inputs, "%s%s", last->name, list_input(g, 18, axes, 2, more));
    Onnx__NodeProto *reduced = node(g, "ReduceMean", inputs, names[i]);
    list_attr(g, reduced, 18, "axes", axes, 2);
    ADD(&g->b, branch->output, branch->n_output, build_info(&g->b, names[i], g->dtype, -1, NULL));
    g->count = count;
    build_attr_graph(&g->b, n, names[i], branch);
  }
  g->in_branch = false;
  g->graph = outer;
  int64_t out[6];
  memcpy(out, source.dims, sizeof out);
  out[1] = out[2] = 1;
  n->op_type = build_text(&g->b, "If");
  n->name = build_text(&g->b, "if");
  n->n_input = build_names(&g->b, name, &n->input);
  n->n_output = build_names(&g->b, random_result(g, source.rank, out)->name, &n->output);
  ADD(&g->b, outer->node, outer->n_node, n);
}

bool random_node(random_graph *g) {
  typedef void (*maker)(random_graph *, random_value *);
  static const maker makers[] = {random_batch_norm,
                                 random_batch_norm,
                                 random_batch_norm,
                                 random_batch_norm,
                                 convolution,
                                 convolution,
                                 convolution,
                                 convolution,
                                 padded_convolution,
                                 gemm,
                                 gemm,
                                 matmul,
                                 arithmetic,
                                 arithmetic,
                                 activation,
                                 sum,
                                 pool,
                                 concat,
                                 split,
                                 slice,
                                 transpose,
                                 reshape,
                                 pad,
                                 mean,
                                 resize,
                                 instance_norm,
                                 residual,
                                 branches};
  const size_t before = g->count;
  for (int attempt = 0; attempt < 4 && g->count == before; attempt++) {
    random_value *x = random_below(g, 5) != 0 ? &g->values[g->count - 1] : &g->values[random_below(g, g->count)];
    makers[random_below(g, sizeof makers / sizeof makers[0])](g, x);
  }
  return g->count > before;
}

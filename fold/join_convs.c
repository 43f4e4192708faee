/* For sessions: convolutions of few channels that read the same value, as the heads of detectors do (a class, a score,
 * four numbers of a box), become one whose result is split; and so do depthwise ones behind the parts:
 *
 *       /-> Conv -> Conv, depthwise -> a
 *     x --> Conv -> Conv, depthwise -> b        x -> Conv -> Conv, depthwise -> Split -> a, b, c
 *       \-> Conv -> Conv, depthwise -> c
 *
 * A vector of channels is computed in the time of one of them. Every channel's numbers stay what they were. */
#include <string.h>

#include "fold/fuse.h"

enum {
  VECTOR = 16, /* channels: fewer are narrow, and together they should fill one */
  MOST = 16    /* convolutions */
};

/* Convolutions that become one, in the order of their channels. */
typedef struct group {
  pleat_node *convs[MOST];
  int64_t channels[MOST];
  size_t count;
  int64_t sum;
} group;

static pleat_value *input_of(const pleat_node *node, size_t index) {
  return index < node->input_count ? node->inputs[index] : NULL;
}

/* Descriptor of a constant input; NULL: it is none, or not of floats. */
static const pleat_tensor *constant_of(const pleat_node *node, size_t index) {
  pleat_recipe *recipe = NULL;
  pleat_value *value = input_of(node, index);
  if (value == NULL || !pleat_value_is_constant(value) || pleat_value_recipe(value, &recipe, NULL) != PLEAT_OK)
    return NULL;
  return recipe != NULL && recipe->tensor.dtype == PLEAT_FLOAT ? &recipe->tensor : NULL;
}

/* A Conv whose weights and bias (if it has one) can be put together with others'. */
static bool is_joinable(const pleat_node *node) {
  if (!pleat_node_is(node, "Conv") || node->outputs[0] == NULL || constant_of(node, 1) == NULL) return false;
  return input_of(node, 2) == NULL || constant_of(node, 2) != NULL;
}

static bool same_ints(const pleat_node *a, const pleat_node *b, const char *name) {
  const int64_t *x = NULL, *y = NULL;
  const size_t count = pleat_attr_ints(a, name, &x);
  return count == pleat_attr_ints(b, name, &y) && (count == 0 || memcmp(x, y, count * sizeof *x) == 0);
}

/* The same window over the same number of channels a filter. */
static bool same_window(const pleat_node *a, const pleat_node *b) {
  const pleat_tensor *w = constant_of(a, 1), *v = constant_of(b, 1);
  if (w->rank != v->rank || memcmp(w->dims + 1, v->dims + 1, (size_t)(w->rank - 1) * sizeof *w->dims) != 0)
    return false;
  return same_ints(a, b, "strides") && same_ints(a, b, "pads") && same_ints(a, b, "dilations") &&
         strcmp(pleat_attr_string(a, "auto_pad"), pleat_attr_string(b, "auto_pad")) == 0;
}

static void add(group *g, pleat_node *conv) {
  const int64_t channels = constant_of(conv, 1)->dims[0];
  g->convs[g->count] = conv;
  g->channels[g->count++] = channels;
  g->sum += channels;
}

/* ---- one of many ---- */

/* Input `index` of all of them, one behind the other; where one has none: zeros. */
static pleat_status join_constants(pleat_pass_context *ctx, const group *g, size_t index, pleat_value **out_value) {
  const pleat_tensor *like = constant_of(g->convs[0], 1);
  int64_t dims[PLEAT_MAX_RANK] = {g->sum};
  pleat_tensor *all = NULL;
  for (int i = 1; index == 1 && i < like->rank; i++) dims[i] = like->dims[i];
  PLEAT_TRY(pleat_tensor_create(PLEAT_FLOAT, index == 1 ? like->rank : 1, dims, &all, ctx->error));
  const size_t row = all->count / (size_t)g->sum;
  float *to = all->data;
  for (size_t i = 0; i < g->count; to += (size_t)g->channels[i++] * row) {
    const size_t bytes = (size_t)g->channels[i] * row * sizeof *to;
    const pleat_tensor *part = NULL;
    pleat_value *value = input_of(g->convs[i], index);
    const pleat_status status = value != NULL ? pleat_value_constant(value, &part, ctx->error) : PLEAT_OK;
    if (status != PLEAT_OK) {
      pleat_tensor_release(all);
      return status;
    }
    if (part != NULL) memcpy(to, part->data, bytes);
    else memset(to, 0, bytes);
  }
  return pleat_graph_add_constant(g->convs[0]->graph, g->convs[0]->inputs[1]->name, all, out_value, ctx->error);
}

/* The parts of `whole`, which are the results of the group's convolutions; these go. */
static bool add_split(const group *g, pleat_node *after, pleat_value *whole) {
  enum { SPLIT_OPSET = 11 }; /* the last that has the sizes as an attribute */
  pleat_graph *graph = after->graph;
  int64_t *sizes = pleat_arena_array(graph->root->arena, g->count, sizeof *sizes);
  pleat_node *split = pleat_graph_add_node_as_of(graph, after, "Split", SPLIT_OPSET, "");
  if (sizes == NULL || split == NULL) return false;
  memcpy(sizes, g->channels, g->count * sizeof *sizes);
  const pleat_attr axis = {.name = "axis", .type = PLEAT_ATTR_INT, .i = 1};
  const pleat_attr parts = {.name = "split", .type = PLEAT_ATTR_INTS, .count = g->count, .ints = sizes};
  bool good = pleat_node_set_attr(split, axis) && pleat_node_set_attr(split, parts);
  good = good && pleat_node_set_input(split, 0, whole);
  for (size_t i = 0; good && i < g->count; i++) {
    pleat_value *part = g->convs[i]->outputs[0];
    good = pleat_fuse_drop(g->convs[i]) && pleat_node_set_output(split, i, part);
  }
  return good;
}

/* One Conv behind `after` that reads x, and the Split behind it. */
static pleat_status join(pleat_pass_context *ctx, const group *g, pleat_node *after, pleat_value *x, int64_t groups) {
  const pleat_node *first = g->convs[0];
  pleat_graph *graph = first->graph;
  pleat_value *weights = NULL, *bias = NULL;
  bool has_bias = false;
  for (size_t i = 0; i < g->count; i++) has_bias = has_bias || input_of(g->convs[i], 2) != NULL;
  PLEAT_TRY(join_constants(ctx, g, 1, &weights));
  if (has_bias) PLEAT_TRY(join_constants(ctx, g, 2, &bias));
  pleat_shape shape = first->outputs[0]->shape;
  shape.dims[1] = pleat_dim_known(g->sum);
  pleat_value *whole = pleat_graph_add_value(graph, first->outputs[0]->name, PLEAT_FLOAT, &shape);
  pleat_node *conv = pleat_graph_add_node(graph, after, "Conv", "", first->name);
  const pleat_attr group = {.name = "group", .type = PLEAT_ATTR_INT, .i = groups};
  const bool good = whole != NULL && conv != NULL && pleat_fuse_copy_attributes(first, conv) &&
                    pleat_node_set_attr(conv, group) && pleat_node_set_input(conv, 0, x) &&
                    pleat_node_set_input(conv, 1, weights) && (bias == NULL || pleat_node_set_input(conv, 2, bias)) &&
                    pleat_node_set_output(conv, 0, whole) && add_split(g, conv, whole);
  return good ? PLEAT_OK : PLEAT_OOM(ctx->error);
}

/* ---- readers of one value ---- */

static bool is_narrow(const pleat_node *node) {
  return is_joinable(node) && pleat_attr_int(node, "group") == 1 && node->outputs[0]->shape.rank >= 3 &&
         constant_of(node, 1)->dims[0] < VECTOR && constant_of(node, 1)->dims[0] > 0;
}

/* Those that read what `first` reads; it comes before the others. */
static pleat_status join_readers(pleat_pass_context *ctx, pleat_node *first, bool *changed) {
  group g = {.count = 0};
  pleat_value *x = first->inputs[0];
  add(&g, first);
  for (pleat_node *node = first->next; node != NULL && g.count < MOST; node = node->next) {
    if (is_narrow(node) && node->inputs[0] == x && same_window(first, node)) add(&g, node);
  }
  if (g.count < 2 || g.sum < VECTOR) return PLEAT_OK;
  *changed = true;
  return join(ctx, &g, first, x, 1);
}

/* ---- depthwise ones of the parts ---- */

static pleat_status join_depthwise(pleat_pass_context *ctx, pleat_node *split, bool *changed) {
  group g = {.count = 0};
  pleat_value *x = split->inputs[0];
  if (pleat_attr_int(split, "axis") != 1 || split->output_count > MOST || x->shape.rank < 3) return PLEAT_OK;
  for (size_t i = 0; i < split->output_count; i++) {
    const pleat_value *part = split->outputs[i];
    if (part == NULL || pleat_fuse_only_reader(part, split->graph) == NULL || part->uses[0].index != 0) return PLEAT_OK;
    pleat_node *conv = part->uses[0].node;
    if (!is_joinable(conv) || conv->outputs[0]->shape.rank < 3) return PLEAT_OK;
    const int64_t channels = constant_of(conv, 1)->dims[0];
    if (part->shape.dims[1].value != channels || pleat_attr_int(conv, "group") != channels) return PLEAT_OK;
    if (g.count > 0 && !same_window(g.convs[0], conv)) return PLEAT_OK;
    add(&g, conv);
  }
  if (g.count < 2 || g.sum != x->shape.dims[1].value) return PLEAT_OK;
  *changed = true;
  PLEAT_TRY(join(ctx, &g, split, x, g.sum));
  for (size_t i = 0; i < split->output_count; i++) {
    if (!pleat_node_set_output(split, i, NULL)) return PLEAT_OOM(ctx->error);
  }
  pleat_node_remove(split);
  return PLEAT_OK;
}

static pleat_status visit(pleat_pass_context *ctx, pleat_graph *graph, bool *changed) {
  for (pleat_node *node = graph->first, *before; node != NULL; node = before != NULL ? before->next : graph->first) {
    bool joined = false;
    before = node->prev;
    if (is_narrow(node)) PLEAT_TRY(join_readers(ctx, node, &joined));
    else if (pleat_node_is(node, "Split") && node->input_count == 1) PLEAT_TRY(join_depthwise(ctx, node, &joined));
    *changed = *changed || joined;
    if (!joined) before = node; /* else: what is in its place now */
  }
  return PLEAT_OK;
}

static pleat_status run(pleat_pass_context *ctx, bool *out_changed) {
  return pleat_fold_each_graph(ctx, ctx->graph, visit, out_changed);
}

const pleat_pass pleat_pass_join_convs = {
    .name = "join-convs",
    .summary = "narrow Convs that read the same value into one, when a session is created",
    .session_only = true,
    .run = run,
};

/* For sessions: squeeze-and-excite at both of its ends (see ops/fused.c). The mean of a depthwise convolution's result
 * is taken while that is made; and the product of each channel with a number, where a 1x1 convolution alone reads it,
 * becomes an input of that convolution.
 *
 *   Conv -> x -> GlobalAveragePool -> ... -> s      FusedConv -> x, mean -> ... -> s
 *           x * s -> Conv                            FusedConv(x, ..., s)
 */
#include "fold/fuse.h"
#include "ops/conv.h"

extern const pleat_op_def pleat_op_FusedConv;

static bool is_conv(const pleat_node *node) {
  return node != NULL && (pleat_node_is(node, "Conv") || node->def == &pleat_op_FusedConv);
}

/* The FusedConv in the place of a Conv, which goes; NULL: out of memory. Its results are the Conv's. */
static pleat_node *as_fused(pleat_node *conv) {
  pleat_value *result = conv->outputs[0];
  if (!pleat_node_is(conv, "Conv")) return conv;
  pleat_node *fused = pleat_graph_add_node(conv->graph, conv, "FusedConv", PLEAT_INTERNAL_DOMAIN, conv->name);
  if (fused == NULL || !pleat_fuse_copy_attributes(conv, fused)) return NULL;
  for (size_t i = 0; i < conv->input_count; i++) {
    if (conv->inputs[i] != NULL && !pleat_node_set_input(fused, i, conv->inputs[i])) return NULL;
  }
  return pleat_fuse_drop(conv) && pleat_node_set_output(fused, 0, result) ? fused : NULL;
}

/* ---- squeeze ---- */

static bool is_depthwise(const pleat_node *conv) {
  const int64_t groups = pleat_attr_int(conv, "group");
  const pleat_shape *w = &conv->inputs[1]->shape;
  return groups > 1 && w->rank > 2 && w->dims[0].value == groups && w->dims[1].value == 1;
}

static pleat_status fuse_mean(pleat_pass_context *ctx, pleat_node *pool, bool *changed) {
  pleat_value *mean = pool->outputs[0];
  pleat_node *conv = pool->inputs[0]->producer;
  if (!is_conv(conv) || conv->graph != pool->graph || mean == NULL || mean->dtype != PLEAT_FLOAT) return PLEAT_OK;
  if (!is_depthwise(conv) || conv->output_count > 1) return PLEAT_OK;
  conv = as_fused(conv);
  if (conv == NULL || !pleat_fuse_drop(pool) || !pleat_node_set_output(conv, 1, mean)) return PLEAT_OOM(ctx->error);
  *changed = true;
  return PLEAT_OK;
}

/* ---- excite ---- */

/* Whether x is a map with channels, and s one number for each of them (in each sample, or in all). */
static bool scales(const pleat_value *x, const pleat_value *s) {
  const int rank = x->shape.rank;
  const pleat_dim one = pleat_dim_known(1);
  bool is_map = false;
  if (rank < 3 || s->shape.rank != rank || x->dtype != PLEAT_FLOAT || pleat_value_is_constant(s)) return false;
  for (int i = 2; i < rank; i++) {
    if (!pleat_dim_equal(s->shape.dims[i], one)) return false;
    is_map = is_map || !pleat_dim_equal(x->shape.dims[i], one);
  }
  return is_map && pleat_dim_equal(s->shape.dims[1], x->shape.dims[1]) &&
         (pleat_dim_equal(s->shape.dims[0], one) || pleat_dim_equal(s->shape.dims[0], x->shape.dims[0]));
}

/* A product for each position: no window, no padding, no groups. */
static bool is_pointwise(const pleat_node *conv) {
  const pleat_shape *w = &conv->inputs[1]->shape;
  for (int i = 2; i < w->rank; i++) {
    if (w->dims[i].value != 1) return false;
  }
  return w->rank > 2 && pleat_attr_ints_all(conv, "pads", 0) && pleat_attr_int(conv, "group") == 1;
}

static pleat_status fuse_scale(pleat_pass_context *ctx, pleat_node *conv, bool *changed) {
  pleat_node *mul = conv->inputs[0]->producer;
  if (mul == NULL || !pleat_node_is(mul, "Mul") || pleat_node_since(mul) < 7) return PLEAT_OK;
  if (pleat_fuse_only_reader(mul->outputs[0], conv->graph) != conv || !is_pointwise(conv)) return PLEAT_OK;
  if (conv->input_count > PLEAT_CONV_SCALE && conv->inputs[PLEAT_CONV_SCALE] != NULL) return PLEAT_OK;
  const size_t map = scales(mul->inputs[0], mul->inputs[1]) ? 0 : 1;
  pleat_value *x = mul->inputs[map], *s = mul->inputs[1 - map];
  if (!scales(x, s)) return PLEAT_OK;
  conv = as_fused(conv);
  if (conv == NULL || !pleat_node_set_input(conv, 0, x) || !pleat_node_set_input(conv, PLEAT_CONV_SCALE, s))
    return PLEAT_OOM(ctx->error);
  pleat_node_remove(mul);
  *changed = true;
  return PLEAT_OK;
}

static pleat_status visit(pleat_pass_context *ctx, pleat_graph *graph, bool *changed) {
  PLEAT_FOR_NODES_SAFE(node, graph) {
    if (pleat_node_is(node, "GlobalAveragePool")) PLEAT_TRY(fuse_mean(ctx, node, changed));
    else if (is_conv(node)) PLEAT_TRY(fuse_scale(ctx, node, changed));
  }
  return PLEAT_OK;
}

static pleat_status run(pleat_pass_context *ctx, bool *out_changed) {
  return pleat_fold_each_graph(ctx, ctx->graph, visit, out_changed);
}

const pleat_pass pleat_pass_fuse_excitation = {
    .name = "fuse-excitation",
    .summary = "the mean and the product of squeeze-and-excite into the Convs around them, when a session is created",
    .session_only = true,
    .run = run,
};

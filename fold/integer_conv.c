/* For sessions: a ConvInteger whose sums are only read as floats becomes a Conv of floats, x and w less their zero
 * points, and is fused with what stands behind it as any Conv is. Only where so few products are added up that floats
 * hold every sum: nothing is lost, whatever the order of adding (but for Winograd's transform, and for what is folded
 * into the weights, as in any Conv). */
#include <string.h>

#include "fold/fold.h"

/* A product of differences is at most 255 * 255, and floats have all integers up to 2^24. */
enum { EXACT_DEPTH = (1 << 24) / (255 * 255) };

static bool is_read_as_float(const pleat_value *sums) {
  if (sums == NULL || sums->is_output || sums->use_count == 0) return false;
  for (size_t i = 0; i < sums->use_count; i++) {
    const pleat_node *cast = sums->uses[i].node;
    if (cast->graph != sums->graph || !pleat_node_is(cast, "Cast") || pleat_attr_int(cast, "to") != PLEAT_FLOAT)
      return false;
  }
  return true;
}

static pleat_value *input_of(const pleat_node *node, size_t index) {
  return index < node->input_count ? node->inputs[index] : NULL;
}

/* The weights less their zero points, as floats; NULL where they are not known, or too many for one sum. */
static pleat_status make_weights(pleat_pass_context *ctx, const pleat_node *node, pleat_tensor **out_weights) {
  pleat_value *zero_value = input_of(node, 3);
  const pleat_tensor *w = NULL, *zero = NULL;
  *out_weights = NULL;
  PLEAT_TRY(pleat_value_constant(node->inputs[1], &w, ctx->error));
  if (zero_value != NULL) PLEAT_TRY(pleat_value_constant(zero_value, &zero, ctx->error));
  if (w == NULL || w->count == 0 || (zero_value != NULL && zero == NULL)) return PLEAT_OK;
  const size_t filters = (size_t)w->dims[0], depth = w->count / filters;
  if (depth > EXACT_DEPTH || (zero != NULL && zero->count != 1 && zero->count != filters)) return PLEAT_OK;
  PLEAT_TRY(pleat_tensor_create(PLEAT_FLOAT, w->rank, w->dims, out_weights, ctx->error));
  float *out = (*out_weights)->data;
  for (size_t i = 0; i < w->count; i++) {
    const int64_t offset = zero == NULL ? 0 : pleat_load_i64(zero->dtype, zero->data, zero->count == 1 ? 0 : i / depth);
    out[i] = (float)(pleat_load_i64(w->dtype, w->data, i) - offset);
  }
  return PLEAT_OK;
}

/* The value as floats, by a Cast in front of `node`. */
static pleat_value *add_cast(pleat_node *node, pleat_value *value) {
  pleat_value *wide = pleat_graph_add_value(node->graph, value->name, PLEAT_FLOAT, &value->shape);
  pleat_node *cast = pleat_graph_add_node(node->graph, node->prev, "Cast", "", "");
  const pleat_attr to = {.name = "to", .type = PLEAT_ATTR_INT, .i = PLEAT_FLOAT};
  const bool done = wide != NULL && cast != NULL && pleat_node_set_attr(cast, to) &&
                    pleat_node_set_input(cast, 0, value) && pleat_node_set_output(cast, 0, wide);
  return done ? wide : NULL;
}

/* x less its zero point; NULL when out of memory. */
static pleat_value *add_difference(pleat_node *node) {
  pleat_value *x = add_cast(node, node->inputs[0]), *zero = input_of(node, 2);
  const pleat_tensor *known = NULL;
  if (zero == NULL || x == NULL) return x;
  if (pleat_value_constant(zero, &known, NULL) == PLEAT_OK && known != NULL && known->count == 1 &&
      pleat_load_i64(known->dtype, known->data, 0) == 0)
    return x;
  pleat_value *offset = add_cast(node, zero);
  pleat_value *difference = pleat_graph_add_value(node->graph, x->name, PLEAT_FLOAT, &x->shape);
  pleat_node *sub = pleat_graph_add_node(node->graph, node->prev, "Sub", "", "");
  const bool done = offset != NULL && difference != NULL && sub != NULL && pleat_node_set_input(sub, 0, x) &&
                    pleat_node_set_input(sub, 1, offset) && pleat_node_set_output(sub, 0, difference);
  return done ? difference : NULL;
}

static bool copy_attrs(const pleat_node *from, pleat_node *to) {
  for (size_t i = 0; i < from->attr_count; i++) {
    pleat_attr copy = from->attrs[i];
    copy.src = NULL;
    if (!pleat_node_set_attr(to, copy)) return false;
  }
  return true;
}

static pleat_status replace(pleat_pass_context *ctx, pleat_node *node, bool *changed) {
  pleat_value *sums = node->output_count > 0 ? node->outputs[0] : NULL, *w;
  pleat_tensor *weights;
  if (!is_read_as_float(sums) || node->inputs[0] == NULL || node->inputs[1] == NULL) return PLEAT_OK;
  PLEAT_TRY(make_weights(ctx, node, &weights));
  if (weights == NULL) return PLEAT_OK;
  PLEAT_TRY(pleat_graph_add_constant(node->graph, node->inputs[1]->name, weights, &w, ctx->error));
  pleat_value *x = add_difference(node);
  pleat_value *result = pleat_graph_add_value(node->graph, sums->name, PLEAT_FLOAT, &sums->shape);
  pleat_node *conv = pleat_graph_add_node(node->graph, node, "Conv", "", node->name);
  bool done = x != NULL && result != NULL && conv != NULL && pleat_node_set_input(conv, 0, x) &&
              pleat_node_set_input(conv, 1, w) && pleat_node_set_output(conv, 0, result) && copy_attrs(node, conv);
  /* The Casts stay, from float to float, for the next pass to take out. */
  for (size_t i = sums->use_count; done && i-- > 0;) {
    done = pleat_node_set_input(sums->uses[i].node, sums->uses[i].index, result);
  }
  if (!done) return PLEAT_OOM(ctx->error);
  pleat_node_remove(node);
  *changed = true;
  return PLEAT_OK;
}

static pleat_status visit(pleat_pass_context *ctx, pleat_graph *graph, bool *changed) {
  PLEAT_FOR_NODES_SAFE(node, graph) {
    if (pleat_node_is(node, "ConvInteger")) PLEAT_TRY(replace(ctx, node, changed));
  }
  return PLEAT_OK;
}

static pleat_status run(pleat_pass_context *ctx, bool *out_changed) {
  return pleat_fold_each_graph(ctx, ctx->graph, visit, out_changed);
}

const pleat_pass pleat_pass_integer_conv = {
    .name = "integer-conv",
    .summary = "ConvInteger whose sums are read as floats into a Conv of floats, when a session is created",
    .session_only = true,
    .run = run,
};

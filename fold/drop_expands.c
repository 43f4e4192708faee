/* For sessions: an Expand to the shape of the other operand, before an operator that broadcasts by itself, is left out
 * there. Slopes and factors stay as small as they are in the file, and a kernel sees that they are a number a channel.
 * Only where the operator's other operand surely has the Expand's shape, so that its result keeps its own. */
#include "fold/fold.h"

static bool same_shape(const pleat_shape *a, const pleat_shape *b) {
  if (a->rank < 0 || a->rank != b->rank) return false;
  for (int i = 0; i < a->rank; i++) {
    if (!pleat_dim_equal(a->dims[i], b->dims[i])) return false;
  }
  return true;
}

/* Whether this reader of the expanded value broadcasts it by itself. */
static bool broadcasts(const pleat_node *reader, size_t index, const pleat_value *expanded) {
  static const char *const operators[] = {"Add", "Div", "Mul", "PRelu", "Sub"};
  if (reader->input_count != 2 || pleat_node_since(reader) < 7) return false;
  const pleat_value *other = reader->inputs[1 - index];
  if (other == NULL || other == expanded || !same_shape(&other->shape, &expanded->shape)) return false;
  if (index == 0 && pleat_node_is(reader, "PRelu")) return false; /* its result has input 0's shape */
  for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
    if (pleat_node_is(reader, operators[i])) return true;
  }
  return false;
}

static pleat_status drop(pleat_pass_context *ctx, pleat_node *expand, bool *changed) {
  pleat_value *narrow = expand->inputs[0], *expanded = expand->outputs[0];
  for (size_t i = expanded->use_count; i-- > 0;) { /* backwards, as uses go */
    const pleat_use use = expanded->uses[i];
    if (use.node->graph != expand->graph || !broadcasts(use.node, use.index, expanded)) continue;
    if (!pleat_node_set_input(use.node, use.index, narrow)) return PLEAT_OOM(ctx->error);
    *changed = true;
  }
  if (expanded->use_count == 0 && !expanded->is_output) pleat_node_remove(expand);
  return PLEAT_OK;
}

static pleat_status visit(pleat_pass_context *ctx, pleat_graph *graph, bool *changed) {
  PLEAT_FOR_NODES_SAFE(node, graph) {
    if (!pleat_node_is(node, "Expand") || node->input_count < 2 || node->inputs[0] == NULL) continue;
    if (node->outputs[0] != NULL && node->outputs[0]->shape.rank >= 0) PLEAT_TRY(drop(ctx, node, changed));
  }
  return PLEAT_OK;
}

static pleat_status run(pleat_pass_context *ctx, bool *out_changed) {
  return pleat_fold_each_graph(ctx, ctx->graph, visit, out_changed);
}

const pleat_pass pleat_pass_drop_expands = {
    .name = "drop-expands",
    .summary = "an Expand before an operator that broadcasts by itself, when a session is created",
    .session_only = true,
    .run = run,
};

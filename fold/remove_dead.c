/* Nodes whose results nothing uses, and initializers that nothing reads (any more). ONNX has no nodes with side
 * effects, so nothing else keeps a node. */
#include "fold/fold.h"

static bool is_dead(const pleat_node *node) {
  for (size_t i = 0; i < node->output_count; i++) {
    const pleat_value *value = node->outputs[i];
    if (value != NULL && (value->use_count > 0 || value->is_output)) return false;
  }
  return true;
}

/* Last node first, so that what only dead nodes read is seen to be dead as well. Removal drops the uses at once. */
static pleat_status visit(pleat_pass_context *ctx, pleat_graph *graph, bool *changed) {
  for (pleat_node *node = graph->last, *previous; node != NULL; node = previous) {
    previous = node->prev;
    if (!is_dead(node)) continue;
    pleat_report_removed(ctx, &pleat_pass_remove_dead, node, "nothing uses its result");
    pleat_node_remove(node);
    *changed = true;
  }
  return PLEAT_OK;
}

static pleat_status run(pleat_pass_context *ctx, bool *out_changed) {
  PLEAT_TRY(pleat_fold_each_graph(ctx, ctx->graph, visit, out_changed));
  pleat_graph_remove_dead(ctx->graph); /* what is left: initializers */
  return PLEAT_OK;
}

const pleat_pass pleat_pass_remove_dead = {
    .name = "remove-dead",
    .summary = "nodes whose results nothing uses, and their weights",
    .run = run,
};

/* Constant folding, for sessions: every node that rests on constants only is evaluated once, with the reference
 * kernels. The offline fold leaves such nodes as they are in the file (passes read their values through
 * pleat_value_compute). */
#include "fold/fold.h"

enum { RESULT_LIMIT = 64 << 20 }; /* bytes: a larger result is cheaper computed than kept */

static pleat_status visit(pleat_pass_context *ctx, pleat_graph *graph, bool *changed) {
  (void)changed; /* the graph stays the same; the values become constant, and their nodes take no part in the run */
  PLEAT_FOR_NODES(node, graph) {
    const pleat_tensor *data;
    if (node->output_count == 0 || node->outputs[0] == NULL || pleat_value_is_constant(node->outputs[0])) continue;
    PLEAT_TRY(pleat_value_compute(node->outputs[0], RESULT_LIMIT, &data, ctx->error));
  }
  return PLEAT_OK;
}

static pleat_status run(pleat_pass_context *ctx, bool *out_changed) {
  return pleat_fold_each_graph(ctx, ctx->graph, visit, out_changed);
}

const pleat_pass pleat_pass_fold_constants = {
    .name = "fold-constants",
    .summary = "nodes that rest on constants only are computed when the session is created",
    .session_only = true,
    .run = run,
};

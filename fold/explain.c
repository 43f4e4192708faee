/* The last word on every BatchNormalization that is still there and that no pass spoke about: the node before it is of
 * a kind that nothing folds into. */
#include "fold/affine.h"

static pleat_status explain(pleat_pass_context *ctx, pleat_node *bn) {
  char reason[PLEAT_REASON_SIZE] = "";
  pleat_affine affine;
  PLEAT_TRY(pleat_affine_of_bn(ctx, bn, &affine, reason));
  const pleat_node *before = reason[0] == '\0' ? pleat_affine_producer(bn, reason) : NULL;
  if (before != NULL) {
    char label[256];
    pleat_report_kept(ctx, &pleat_pass_explain, bn, "%s '%s' before it takes no scale and shift", before->op_type,
                      pleat_node_label(before, label, sizeof label));
  } else {
    pleat_report_kept(ctx, &pleat_pass_explain, bn, "%s", reason);
  }
  return PLEAT_OK;
}

static pleat_status visit(pleat_pass_context *ctx, pleat_graph *graph, bool *changed) {
  (void)changed;
  PLEAT_FOR_NODES(node, graph) {
    if (!pleat_node_is(node, "BatchNormalization") || node->input_count == 0 || node->inputs[0] == NULL) continue;
    if (!pleat_report_has(ctx, node)) PLEAT_TRY(explain(ctx, node));
  }
  return PLEAT_OK;
}

static pleat_status run(pleat_pass_context *ctx, bool *out_changed) {
  return pleat_fold_each_graph(ctx, ctx->graph, visit, out_changed);
}

const pleat_pass pleat_pass_explain = {
    .name = "explain",
    .summary = "says of each BatchNormalization that stays why it does",
    .run = run,
};

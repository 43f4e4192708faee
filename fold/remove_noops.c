/* Nodes that hand their input on: Identity, in sessions a Cast to the type that its input has, Dropout in inference
 * whose mask nobody wants, and Pad by nothing (PyTorch writes one before each AveragePool). A node stays where its
 * result is a graph output that is an input or a constant as well. */
#include "fold/fold.h"

/* Before opset 12 Dropout always means inference here (see ops/dropout.c); from then on its third input says. */
pleat_status pleat_fold_dropout_trains(pleat_pass_context *ctx, const pleat_node *node, bool *out_training) {
  const pleat_tensor *mode = NULL;
  *out_training = false;
  if (pleat_node_since(node) < 12 || node->input_count < 3 || node->inputs[2] == NULL) return PLEAT_OK;
  PLEAT_TRY(pleat_value_constant(node->inputs[2], &mode, ctx->error));
  *out_training = mode == NULL || mode->dtype != PLEAT_BOOL || mode->count != 1 || *(const uint8_t *)mode->data != 0;
  return PLEAT_OK;
}

static bool may_be_noop(const pleat_pass_context *ctx, const pleat_node *node) {
  if (node->input_count == 0 || node->inputs[0] == NULL || node->output_count == 0 || node->outputs[0] == NULL)
    return false;
  if (pleat_node_is(node, "Identity") || pleat_node_is(node, "Pad")) return true;
  if (ctx->for_session && pleat_node_is(node, "Cast")) {
    const pleat_value *in = node->inputs[0], *out = node->outputs[0];
    return in->dtype != PLEAT_UNDEFINED && in->dtype == out->dtype;
  }
  if (!pleat_node_is(node, "Dropout") || node->version == NULL) return false;
  for (size_t i = 1; i < node->output_count; i++) {
    const pleat_value *mask = node->outputs[i];
    if (mask != NULL && (mask->use_count > 0 || mask->is_output)) return false;
  }
  return true;
}

/* From opset 11 on the amounts are an input. */
static pleat_status pads(pleat_pass_context *ctx, const pleat_node *node, bool *out_pads) {
  const pleat_tensor *given = NULL;
  const int64_t *amounts = NULL;
  size_t count = pleat_attr_ints(node, "pads", &amounts);
  *out_pads = true;
  if (pleat_node_since(node) >= 11) {
    if (node->input_count < 2 || node->inputs[1] == NULL) return PLEAT_OK;
    PLEAT_TRY(pleat_value_constant(node->inputs[1], &given, ctx->error));
    if (given == NULL || given->dtype != PLEAT_INT64) return PLEAT_OK;
    amounts = given->data;
    count = given->count;
  }
  *out_pads = count == 0;
  for (size_t i = 0; i < count; i++) *out_pads = *out_pads || amounts[i] != 0;
  return PLEAT_OK;
}

static pleat_status visit(pleat_pass_context *ctx, pleat_graph *graph, bool *changed) {
  PLEAT_FOR_NODES_SAFE(node, graph) {
    bool does_something = false;
    if (!may_be_noop(ctx, node)) continue;
    if (pleat_node_is(node, "Dropout")) PLEAT_TRY(pleat_fold_dropout_trains(ctx, node, &does_something));
    if (pleat_node_is(node, "Pad")) PLEAT_TRY(pads(ctx, node, &does_something));
    if (does_something) continue;
    pleat_value *input = node->inputs[0], *output = node->outputs[0];
    if (!pleat_value_can_replace(output, input)) continue; /* an input or constant that is a graph output */
    if (!pleat_value_replace(output, input)) return PLEAT_OOM(ctx->error);
    pleat_report_removed(ctx, &pleat_pass_remove_noops, node, "hands its input on");
    pleat_node_remove(node);
    *changed = true;
  }
  return PLEAT_OK;
}

static pleat_status run(pleat_pass_context *ctx, bool *out_changed) {
  return pleat_fold_each_graph(ctx, ctx->graph, visit, out_changed);
}

const pleat_pass pleat_pass_remove_noops = {
    .name = "remove-noops",
    .summary = "Identity, Cast to the same type, Dropout in inference, and Pad by nothing",
    .run = run,
};

/* Folding into the producer: what a normalisation (or any Mul, Div, Add, Sub by a constant a channel) does is done by
 * the constants of the node before it, which may lie behind nodes that let it pass. See push.h.
 *
 * A MatMul has no bias: there only the scale goes up, and of the BatchNormalization an Add is left. */
#include <stdio.h>
#include <string.h>

#include "fold/push.h"

/* The value that `node` wrote is now written by what wrote its input. */
static pleat_status hand_over(pleat_push *push, pleat_node *node) {
  pleat_value *result = node->outputs[0], *input = push->replacement;
  pleat_node *producer = input->producer;
  size_t index = input->producer_index;
  if (push->copied == NULL || producer != push->target) pleat_report_renamed(push->ctx, input->name, result->name);
  if (!pleat_node_set_output(node, 0, NULL)) return PLEAT_OOM(push->ctx->error);
  pleat_node_remove(node);
  bool good = pleat_node_set_output(producer, index, NULL) && pleat_node_set_output(producer, index, result);
  return good ? PLEAT_OK : PLEAT_OOM(push->ctx->error);
}

static pleat_status walk(pleat_push *push, const pleat_node *node, size_t input, const pleat_affine *affine) {
  pleat_status status = pleat_push_up(push, node->inputs[input], node, *affine);
  pleat_push_forget(push);
  return status;
}

/* Asks, then does: push->reason stays empty when the map is where it belongs. */
static pleat_status push_and_commit(pleat_push *push, pleat_node *node, size_t input, const pleat_affine *affine) {
  const bool may_copy = pleat_node_is(node, "BatchNormalization");
  *push = (pleat_push){.ctx = push->ctx, .may_copy = may_copy};
  PLEAT_TRY(walk(push, node, input, affine));
  if (push->reason[0] != '\0') return PLEAT_OK;
  if (push->target == NULL) return pleat_push_refuse(push, "only constants lie before it");
  *push = (pleat_push){.ctx = push->ctx, .commit = true, .may_copy = may_copy};
  PLEAT_TRY(walk(push, node, input, affine));
  if (push->reason[0] == '\0') return PLEAT_OK;
  return pleat_fail(push->ctx->error, PLEAT_INTERNAL, "a fold that was possible failed: %s", push->reason);
}

/* Why the whole map could not go, and, when that is something else, why its scale alone could not either. */
static void add_reason(pleat_push *push, const char *whole) {
  char alone[PLEAT_REASON_SIZE];
  memcpy(alone, push->reason, sizeof alone);
  const bool is_same = strcmp(alone, whole) == 0;
  if (is_same) return;
  snprintf(push->reason, sizeof push->reason, "%.190s; its scale alone: %.105s", whole, alone);
}

/* The scale alone, when the shift is what nothing takes: an Add takes the node's place. */
static pleat_status fold_scale_only(pleat_push *push, pleat_node *node, size_t input, const pleat_affine *affine) {
  pleat_affine scale;
  pleat_tensor *shift = NULL;
  if (!pleat_affine_has_scale(affine) || !pleat_affine_has_shift(affine)) return PLEAT_OK;
  PLEAT_TRY(pleat_affine_make(push->ctx, affine->axis, affine->channels, &scale));
  memcpy(scale.scale, affine->scale, affine->channels * sizeof *scale.scale);
  char reason[PLEAT_REASON_SIZE];
  memcpy(reason, push->reason, sizeof reason);
  PLEAT_TRY(pleat_affine_constant(push, node, affine->axis, affine->channels, affine->shift, &shift));
  if (shift != NULL) {
    pleat_status status = push_and_commit(push, node, input, &scale);
    if (status != PLEAT_OK || push->reason[0] != '\0') {
      pleat_tensor_release(shift);
      add_reason(push, reason);
      return status;
    }
    PLEAT_TRY(pleat_affine_replace_by(push, node, "Add", push->replacement, shift));
  }
  return PLEAT_OK;
}

static void report_folded(const pleat_push *push, const pleat_node *node) {
  char label[128];
  if (push->copied == NULL) {
    pleat_report_folded(push->ctx, push->ctx->pass, node, push->target);
    return;
  }
  pleat_report_folded_with(push->ctx, push->ctx->pass, node, push->target,
                           "a copy of '%s', whose own result is still read",
                           pleat_node_label(push->copied, label, sizeof label));
}

static pleat_status fold_node(pleat_push *push, pleat_node *node, bool *changed) {
  pleat_affine affine;
  size_t input;
  const bool is_norm = pleat_node_is(node, "BatchNormalization");
  PLEAT_TRY(pleat_affine_read(push, node, &affine, &input));
  if (push->reason[0] == '\0') {
    PLEAT_TRY(push_and_commit(push, node, input, &affine));
    if (push->reason[0] == '\0') {
      report_folded(push, node);
      *changed = true;
      return hand_over(push, node);
    }
    if (is_norm) PLEAT_TRY(fold_scale_only(push, node, input, &affine));
  }
  if (push->reason[0] == '\0') {
    report_folded(push, node);
    *changed = true;
  } else if (is_norm) {
    pleat_report_kept(push->ctx, push->ctx->pass, node, "%s", push->reason);
  }
  return PLEAT_OK;
}

static pleat_status visit(pleat_pass_context *ctx, pleat_graph *graph, bool *changed) {
  PLEAT_FOR_NODES_SAFE(node, graph) { /* what folding removes lies before the node, never after it */
    pleat_push push = {.ctx = ctx};
    if (!pleat_affine_is_candidate(node) || !pleat_fold_wants(ctx, node)) continue;
    PLEAT_TRY(fold_node(&push, node, changed));
  }
  return PLEAT_OK;
}

static pleat_status run(pleat_pass_context *ctx, bool *out_changed) {
  return pleat_fold_each_graph(ctx, ctx->graph, visit, out_changed);
}

const pleat_pass pleat_pass_fold_up = {
    .name = "fold-into-producer",
    .summary = "BatchNormalization and constant scales and shifts into the Conv, Gemm, MatMul or norm before them",
    .run = run,
};

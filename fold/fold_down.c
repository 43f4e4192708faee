/* Folding into the consumers: what a normalisation does to its input is done by the constants of every node after it.
 *
 * Before a convolution that pads with zeros the shift cannot go into the bias, since it does not reach the padding.
 * There the scale goes into the weight and an Add of shift / scale stays: conv_W(s x + t) = conv_sW(x + t / s), padding
 * included. Where the result is smaller than the input and its positions are known, what the shift adds to each of them
 * is added behind instead (absorb_border.c). */
#include <string.h>

#include "fold/push.h"

static pleat_status walk(pleat_push *push, const pleat_node *node, const pleat_affine *affine) {
  pleat_status status = pleat_push_down(push, node->outputs[0], *affine);
  pleat_push_forget(push);
  return status;
}

static pleat_status push_and_commit(pleat_push *push, pleat_node *node, const pleat_affine *affine) {
  const size_t budget = pleat_push_sample_size(node->outputs[0]);
  *push = (pleat_push){.ctx = push->ctx, .budget = budget};
  PLEAT_TRY(walk(push, node, affine));
  if (push->reason[0] != '\0') return PLEAT_OK;
  if (push->target == NULL) return pleat_push_refuse(push, "nothing reads its result");
  *push = (pleat_push){.ctx = push->ctx, .commit = true, .budget = budget};
  PLEAT_TRY(walk(push, node, affine));
  if (push->reason[0] == '\0') return PLEAT_OK;
  return pleat_fail(push->ctx->error, PLEAT_INTERNAL, "a fold that was possible failed: %s", push->reason);
}

/* Only where all readers are convolutions: behind an activation the BatchNormalization is as cheap as the Add would be.
 */
static bool feeds_convolutions(const pleat_node *node) {
  const pleat_value *result = node->outputs[0];
  for (size_t i = 0; i < result->use_count; i++) {
    const pleat_node *reader = result->uses[i].node;
    if (!pleat_node_is(reader, "Conv") && !pleat_node_is(reader, "ConvTranspose")) return false;
  }
  return result->use_count > 0;
}

static pleat_status fold_scale_only(pleat_push *push, pleat_node *node, size_t input, const pleat_affine *affine) {
  pleat_affine scale, rest;
  pleat_tensor *shift = NULL;
  char reason[PLEAT_REASON_SIZE];
  if (!pleat_affine_has_scale(affine) || !feeds_convolutions(node)) return PLEAT_OK;
  PLEAT_TRY(pleat_affine_make(push->ctx, affine->axis, affine->channels, &scale));
  PLEAT_TRY(pleat_affine_make(push->ctx, affine->axis, affine->channels, &rest));
  for (size_t c = 0; c < affine->channels; c++) {
    scale.scale[c] = affine->scale[c];
    rest.shift[c] = affine->shift[c] / affine->scale[c];
  }
  if (!pleat_affine_is_finite(&rest)) return PLEAT_OK; /* a channel whose scale is 0 */
  memcpy(reason, push->reason, sizeof reason);
  push->reason[0] = '\0';
  PLEAT_TRY(pleat_affine_constant(push, node, affine->axis, affine->channels, rest.shift, &shift));
  if (shift == NULL) return PLEAT_OK;
  pleat_status status = push_and_commit(push, node, &scale);
  if (status != PLEAT_OK || push->reason[0] != '\0') {
    pleat_tensor_release(shift);
    memcpy(push->reason, reason, sizeof reason);
    return status;
  }
  return pleat_affine_replace_by(push, node, "Add", node->inputs[input], shift);
}

static pleat_status fold_node(pleat_push *push, pleat_node *node, bool *changed) {
  pleat_affine affine;
  size_t input;
  const bool is_norm = pleat_node_is(node, "BatchNormalization");
  PLEAT_TRY(pleat_affine_read(push, node, &affine, &input));
  if (push->reason[0] != '\0') return PLEAT_OK; /* the pass before has said so */
  PLEAT_TRY(push_and_commit(push, node, &affine));
  bool whole = push->reason[0] == '\0';
  if (!whole && is_norm) PLEAT_TRY(fold_scale_only(push, node, input, &affine));
  if (push->reason[0] != '\0') {
    if (is_norm) pleat_report_kept_also(push->ctx, push->ctx->pass, node, push->reason);
    return PLEAT_OK;
  }
  *changed = true;
  pleat_report_folded(push->ctx, push->ctx->pass, node, push->target);
  if (!whole) return PLEAT_OK;
  pleat_report_renamed(push->ctx, node->outputs[0]->name, node->inputs[input]->name);
  if (!pleat_value_replace(node->outputs[0], node->inputs[input])) return PLEAT_OOM(push->ctx->error);
  pleat_node_remove(node);
  return PLEAT_OK;
}

/* Folding removes nodes further down: after each success the walk starts again. */
static pleat_status visit(pleat_pass_context *ctx, pleat_graph *graph, bool *changed) {
  bool again = true;
  while (again) {
    again = false;
    PLEAT_FOR_NODES_SAFE(node, graph) {
      pleat_push push = {.ctx = ctx};
      if (!pleat_affine_is_candidate(node) || !pleat_fold_wants(ctx, node)) continue;
      PLEAT_TRY(fold_node(&push, node, &again));
      if (again) break;
    }
    *changed = *changed || again;
  }
  return PLEAT_OK;
}

static pleat_status run(pleat_pass_context *ctx, bool *out_changed) {
  return pleat_fold_each_graph(ctx, ctx->graph, visit, out_changed);
}

const pleat_pass pleat_pass_fold_down = {
    .name = "fold-into-consumer",
    .summary = "BatchNormalization and constant scales and shifts into the Conv, Gemm, MatMul or norm after them",
    .run = run,
};

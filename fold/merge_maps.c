/* What stays becomes simpler: a run of constant scales and shifts that nothing absorbed - the pieces of a normalisation
 * that an exporter took apart - is stated as one BatchNormalization where it runs along axis 1, else, from three nodes
 * on, as a Mul and an Add. */
#include <stdio.h>
#include <string.h>

#include "fold/push.h"

/* The constant arithmetic right before `node` that only it reads; NULL when there is none. */
static pleat_node *link_before(const pleat_node *node, size_t input) {
  const pleat_value *value = node->inputs[input];
  pleat_node *before = value->producer;
  if (before == NULL || before->graph != node->graph || value->is_output || value->use_count != 1) return NULL;
  return pleat_affine_is_candidate(before) && !pleat_node_is(before, "BatchNormalization") ? before : NULL;
}

/* Composes the run that ends in `last`: its length, its map, and what it reads. */
static pleat_status read_run(pleat_push *push, pleat_node *last, pleat_affine *out_affine, size_t *out_length,
                             pleat_value **out_source) {
  size_t input;
  *out_length = 0;
  PLEAT_TRY(pleat_affine_read(push, last, out_affine, &input));
  if (push->reason[0] != '\0') return PLEAT_OK;
  *out_length = 1;
  *out_source = last->inputs[input];
  for (pleat_node *node = link_before(last, input); node != NULL; node = link_before(node, input)) {
    pleat_affine inner, both;
    PLEAT_TRY(pleat_affine_read(push, node, &inner, &input));
    if (push->reason[0] != '\0') break;
    PLEAT_TRY(pleat_affine_compose(push, out_affine, &inner, &both));
    if (push->reason[0] != '\0' || !pleat_affine_is_finite(&both)) break;
    *out_affine = both;
    *out_source = node->inputs[input];
    ++*out_length;
  }
  push->reason[0] = '\0';
  return PLEAT_OK;
}

static pleat_status add_parameter(pleat_push *push, pleat_node *bn, size_t index, const char *suffix, pleat_dtype dtype,
                                  size_t channels, const double *values) {
  const int64_t dims[1] = {(int64_t)channels};
  pleat_tensor *tensor = NULL;
  PLEAT_TRY(pleat_affine_round(push->ctx, dtype, 1, dims, values, suffix, &tensor, push->reason));
  return tensor != NULL ? pleat_push_set_weight(push, bn, index, suffix, tensor) : PLEAT_OK;
}

/* BatchNormalization with mean 0, and a variance and epsilon that make the standard deviation 1. */
static pleat_status state_as_bn(pleat_push *push, pleat_node *last, const pleat_affine *affine, pleat_value *source) {
  pleat_affine rest;
  pleat_value *result = last->outputs[0];
  const pleat_dtype dtype = result->dtype;
  const pleat_attr epsilon = {.name = "epsilon", .type = PLEAT_ATTR_FLOAT, .f = 0.0f};
  PLEAT_TRY(pleat_affine_make(push->ctx, 1, affine->channels, &rest)); /* scale: ones; shift: zeros */
  pleat_node *bn = pleat_graph_add_node(last->graph, last, "BatchNormalization", "", last->name);
  bool good = bn != NULL && pleat_node_set_attr(bn, epsilon) && pleat_node_set_input(bn, 0, source) &&
              pleat_node_set_output(last, 0, NULL) && pleat_node_set_output(bn, 0, result);
  if (!good) return PLEAT_OOM(push->ctx->error);
  PLEAT_TRY(add_parameter(push, bn, 1, "_scale", dtype, affine->channels, affine->scale));
  PLEAT_TRY(add_parameter(push, bn, 2, "_bias", dtype, affine->channels, affine->shift));
  PLEAT_TRY(add_parameter(push, bn, 3, "_mean", dtype, affine->channels, rest.shift));
  PLEAT_TRY(add_parameter(push, bn, 4, "_var", dtype, affine->channels, rest.scale));
  pleat_report_folded(push->ctx, push->ctx->pass, last, bn);
  pleat_node_remove(last);
  return PLEAT_OK;
}

/* Mul, then Add. */
static pleat_status state_as_pair(pleat_push *push, pleat_node *last, const pleat_affine *affine, pleat_value *source) {
  pleat_tensor *scale = NULL, *shift = NULL;
  char name[PLEAT_NAME_SIZE];
  PLEAT_TRY(pleat_affine_constant(push, last, affine->axis, affine->channels, affine->scale, &scale));
  PLEAT_TRY(scale != NULL ? pleat_affine_constant(push, last, affine->axis, affine->channels, affine->shift, &shift)
                          : PLEAT_OK);
  if (shift == NULL) {
    pleat_tensor_release(scale);
    return PLEAT_OK;
  }
  pleat_graph *graph = last->graph;
  pleat_push_name(name, last->outputs[0]->name, "_scaled");
  pleat_value *scaled = pleat_graph_add_value(graph, name, source->dtype, &source->shape);
  pleat_push_name(name, last->outputs[0]->name, "_scale");
  pleat_node *mul = pleat_graph_add_node(graph, last->prev, "Mul", "", name);
  pleat_status status = PLEAT_OK;
  if (mul == NULL || scaled == NULL || !pleat_node_set_input(mul, 0, source) ||
      !pleat_node_set_output(mul, 0, scaled)) {
    status = PLEAT_OOM(push->ctx->error);
    pleat_tensor_release(scale);
  } else {
    status = pleat_push_set_operand(push, mul, name, last->outputs[0]->shape.rank, scale);
  }
  if (status != PLEAT_OK) {
    pleat_tensor_release(shift);
    return status;
  }
  return pleat_affine_replace_by(push, last, "Add", scaled, shift);
}

static bool is_last_of_run(const pleat_node *node) {
  const pleat_value *result = node->outputs[0];
  if (result->is_output || result->use_count != 1) return true;
  const pleat_node *next = result->uses[0].node;
  return !pleat_affine_is_candidate(next) || pleat_node_is(next, "BatchNormalization");
}

static pleat_status merge(pleat_push *push, pleat_node *node, bool *changed) {
  pleat_affine affine;
  pleat_value *source = NULL;
  size_t length;
  PLEAT_TRY(read_run(push, node, &affine, &length, &source));
  /* In a file a pair is left as its author wrote it; a session takes one step for two. */
  if (length < (push->ctx->for_session ? 2u : 3u)) return PLEAT_OK;
  const pleat_dim channels = node->outputs[0]->shape.rank > 1 ? node->outputs[0]->shape.dims[1] : pleat_dim_unknown();
  bool as_bn = /* before opset 7 a BatchNormalization in inference has other attributes */
      pleat_graph_opset(node->graph->root, "") >= 7 && affine.axis == 1 && channels.value == (int64_t)affine.channels &&
      source->dtype == node->outputs[0]->dtype;
  if (!as_bn && length < 3) return PLEAT_OK;
  *changed = true;
  return as_bn ? state_as_bn(push, node, &affine, source) : state_as_pair(push, node, &affine, source);
}

static pleat_status visit(pleat_pass_context *ctx, pleat_graph *graph, bool *changed) {
  PLEAT_FOR_NODES_SAFE(node, graph) {
    pleat_push push = {.ctx = ctx};
    if (!pleat_affine_is_candidate(node) || pleat_node_is(node, "BatchNormalization")) continue;
    if (node->output_count == 0 || node->outputs[0] == NULL || !is_last_of_run(node) || !pleat_fold_wants(ctx, node))
      continue;
    PLEAT_TRY(merge(&push, node, changed));
  }
  return PLEAT_OK;
}

static pleat_status run(pleat_pass_context *ctx, bool *out_changed) {
  return pleat_fold_each_graph(ctx, ctx->graph, visit, out_changed);
}

const pleat_pass pleat_pass_merge_maps = {
    .name = "merge-maps",
    .summary = "a normalisation in pieces that nothing absorbs becomes one BatchNormalization",
    .run = run,
};

/* The walk of a push: from the value to the nodes that absorb the map, through the nodes that let it pass. See push.h.
 */
#include "fold/push.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT_DEPTH = 64 }; /* nodes between a map and what absorbs it */

static bool is_possible(const pleat_push *push) {
  return push->reason[0] == '\0';
}

/* Gives a value whose meaning changed a new name, so that nobody who compares layer by layer takes it for the old one.
 */
static pleat_status rename_value(pleat_push *push, pleat_value *value, pleat_value **out_value) {
  char name[PLEAT_NAME_SIZE];
  pleat_node *producer = value->producer;
  size_t index = value->producer_index;
  pleat_push_name(name, value->name, "_folded");
  pleat_value *renamed = pleat_graph_add_value(value->graph, name, value->dtype, &value->shape);
  /* The readers move first: a value that loses its producer while it is read would stay in the graph by name. */
  if (renamed == NULL || !pleat_value_replace(value, renamed) || !pleat_node_set_output(producer, index, renamed)) {
    return PLEAT_OOM(push->ctx->error);
  }
  pleat_report_renamed(push->ctx, value->name, renamed->name);
  *out_value = renamed;
  return PLEAT_OK;
}

/* Only `reader` reads the value, something computes it here, and it is no output. */
static pleat_status check_private(pleat_push *push, const pleat_value *value, const pleat_node *reader) {
  char label[256];
  if (value->producer == NULL) {
    return pleat_push_refuse(push, "nothing computes its input '%s': there is no node before it to fold into",
                             value->name);
  }
  if (value->producer->graph != reader->graph) {
    return pleat_push_refuse(push, "its input '%s' comes from outside of this subgraph", value->name);
  }
  if (value->is_output) {
    return pleat_push_refuse(push, "its input '%s' is an output of the graph and must keep its value", value->name);
  }
  if (value->use_count > 1) {
    size_t other = 0;
    while (other + 1 < value->use_count && value->uses[other].node == reader) other++;
    return pleat_push_refuse(push, "its input '%s' is also read by '%s'", value->name,
                             pleat_node_label(value->uses[other].node, label, sizeof label));
  }
  return PLEAT_OK;
}

/* How many of a transparent node's inputs carry the data. */
static size_t data_inputs(const pleat_node *node) {
  static const char *const all[] = {"Add", "Concat", "Sub", "Sum"};
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
    if (pleat_node_is(node, all[i])) return node->input_count;
  }
  return 1;
}

/* ---- up ---- */

/* A map above the map: both go up as one, and the node between them goes. */
static pleat_status up_through_affine(pleat_push *push, pleat_node *node, const pleat_affine *inner, size_t input,
                                      const pleat_affine *outer) {
  pleat_affine both;
  PLEAT_TRY(pleat_affine_compose(push, outer, inner, &both));
  if (!is_possible(push)) return PLEAT_OK;
  pleat_value *output = node->outputs[0];
  PLEAT_TRY(pleat_push_up(push, node->inputs[input], node, both));
  if (!is_possible(push) || !push->commit) return PLEAT_OK;
  pleat_report_renamed(push->ctx, output->name, push->replacement->name);
  pleat_report_taken(push->ctx, node, push->target);
  if (!pleat_value_replace(output, push->replacement)) return PLEAT_OOM(push->ctx->error);
  pleat_node_remove(node);
  return PLEAT_OK;
}

static pleat_status up_through_transparent(pleat_push *push, pleat_value *value, const pleat_affine *affine) {
  pleat_node *node = value->producer;
  for (size_t i = 0; i < data_inputs(node); i++) {
    pleat_affine above;
    if (node->inputs[i] == NULL) return pleat_push_refuse(push, "%s lacks an input", node->op_type);
    PLEAT_TRY(pleat_affine_through(push, node, i, value->producer_index, false, affine, &above));
    if (!is_possible(push)) return PLEAT_OK;
    if (!pleat_affine_has_scale(&above) && !pleat_affine_has_shift(&above)) continue;
    PLEAT_TRY(pleat_push_up(push, node->inputs[i], node, above));
    if (!is_possible(push)) return PLEAT_OK;
  }
  return push->commit ? rename_value(push, value, &push->replacement) : PLEAT_OK;
}

pleat_status pleat_push_up(pleat_push *push, pleat_value *value, const pleat_node *reader, pleat_affine affine) {
  pleat_status status = PLEAT_OK;
  PLEAT_TRY(check_private(push, value, reader));
  if (!is_possible(push)) return PLEAT_OK;
  if (++push->depth > LIMIT_DEPTH) return pleat_push_refuse(push, "too many nodes lie between");
  pleat_node *node = value->producer;
  const pleat_absorber *absorber = pleat_absorber_find(node);
  if (absorber != NULL && absorber->up != NULL && value->producer_index == 0) {
    status = absorber->up(push, node, &affine);
    if (status == PLEAT_OK && is_possible(push)) {
      push->target = node;
      if (push->commit) status = rename_value(push, value, &push->replacement);
    }
  } else if (pleat_affine_is_candidate(node)) {
    pleat_affine inner;
    size_t input;
    status = pleat_affine_read(push, node, &inner, &input);
    if (status == PLEAT_OK && is_possible(push)) {
      status = up_through_affine(push, node, &inner, input, &affine);
    } else if (status == PLEAT_OK && pleat_affine_is_transparent(node)) {
      push->reason[0] = '\0'; /* no constant operand: a sum of two values that may both take it */
      status = up_through_transparent(push, value, &affine);
    }
  } else if (pleat_affine_is_transparent(node)) {
    status = up_through_transparent(push, value, &affine);
  } else {
    char label[256];
    status = pleat_push_refuse(push, "%s '%s' before it takes no scale and shift", node->op_type,
                               pleat_node_label(node, label, sizeof label));
  }
  push->depth--;
  return status;
}

/* ---- down ---- */

static pleat_status down_through_affine(pleat_push *push, pleat_node *node, size_t input, const pleat_affine *inner) {
  pleat_affine outer, both;
  size_t data_input;
  PLEAT_TRY(pleat_affine_read(push, node, &outer, &data_input));
  if (!is_possible(push)) return PLEAT_OK;
  if (data_input != input) return pleat_push_refuse(push, "it is an operand of '%s'", node->op_type);
  PLEAT_TRY(pleat_affine_compose(push, &outer, inner, &both));
  if (!is_possible(push)) return PLEAT_OK;
  PLEAT_TRY(pleat_push_down(push, node->outputs[0], both));
  if (!is_possible(push) || !push->commit) return PLEAT_OK;
  pleat_report_renamed(push->ctx, node->outputs[0]->name, node->inputs[input]->name);
  pleat_report_taken(push->ctx, node, push->target);
  if (!pleat_value_replace(node->outputs[0], node->inputs[input])) return PLEAT_OOM(push->ctx->error);
  pleat_node_remove(node);
  return PLEAT_OK;
}

static pleat_status down_through_transparent(pleat_push *push, pleat_node *node, size_t input,
                                             const pleat_affine *affine) {
  if (input >= data_inputs(node)) return pleat_push_refuse(push, "it is a parameter of '%s'", node->op_type);
  for (size_t i = 0; i < node->output_count; i++) {
    pleat_affine below;
    pleat_value *ignored;
    bool is_index = i > 0 && pleat_node_is(node, "MaxPool"); /* indices do not change under a positive scale */
    if (node->outputs[i] == NULL || is_index) continue;
    PLEAT_TRY(pleat_affine_through(push, node, input, i, true, affine, &below));
    if (!is_possible(push)) return PLEAT_OK;
    PLEAT_TRY(pleat_push_down(push, node->outputs[i], below));
    if (!is_possible(push)) return PLEAT_OK;
    if (push->commit) PLEAT_TRY(rename_value(push, node->outputs[i], &ignored));
  }
  return PLEAT_OK;
}

static pleat_status down_into(pleat_push *push, const pleat_value *value, pleat_use use, const pleat_affine *affine) {
  char label[256];
  pleat_node *node = use.node;
  const pleat_absorber *absorber = pleat_absorber_find(node);
  if (node->graph != value->graph) return pleat_push_refuse(push, "a subgraph reads '%s'", value->name);
  if (absorber != NULL && absorber->down != NULL) {
    PLEAT_TRY(absorber->down(push, node, use.index, affine));
    if (is_possible(push)) push->target = node;
    return PLEAT_OK;
  }
  if (pleat_affine_is_candidate(node)) return down_through_affine(push, node, use.index, affine);
  if (pleat_affine_is_transparent(node)) return down_through_transparent(push, node, use.index, affine);
  return pleat_push_refuse(push, "%s '%s' after it takes no scale and shift", node->op_type,
                           pleat_node_label(node, label, sizeof label));
}

pleat_status pleat_push_down(pleat_push *push, pleat_value *value, pleat_affine affine) {
  pleat_status status = PLEAT_OK;
  if (value->is_output) {
    return pleat_push_refuse(push, "its result '%s' is an output of the graph and must keep its value", value->name);
  }
  if (++push->depth > LIMIT_DEPTH) return pleat_push_refuse(push, "too many nodes lie between");
  /* Committing changes the list of uses: work on a copy. */
  size_t count = value->use_count;
  pleat_use *uses = malloc((count + 1) * sizeof *uses);
  if (uses == NULL) return PLEAT_OOM(push->ctx->error);
  if (count > 0) memcpy(uses, value->uses, count * sizeof *uses);
  for (size_t i = 0; i < count && status == PLEAT_OK && is_possible(push); i++) {
    status = down_into(push, value, uses[i], &affine);
  }
  free(uses);
  push->depth--;
  return status;
}

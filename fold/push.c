/* The walk of a push: from the value to the nodes that absorb the map, through the nodes that let it pass. Everything
 * is asked before anything is changed. A producer that others read as well is copied if the user wants that. See
 * push.h. */
#include "fold/push.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  LIMIT_DEPTH = 64,        /* nodes between a map and what absorbs it */
  OPERAND_LIMIT = 64 << 20 /* bytes of a constant operand that has to be computed first */
};

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

/* Something computes the value in the reader's own graph. */
static pleat_status check_computed(pleat_push *push, const pleat_value *value, const pleat_node *reader) {
  if (value->producer == NULL) {
    return pleat_push_refuse(push, "nothing computes its input '%s': there is no node before it to fold into",
                             value->name);
  }
  if (value->producer->graph != reader->graph) {
    return pleat_push_refuse(push, "its input '%s' comes from outside of this subgraph", value->name);
  }
  return PLEAT_OK;
}

static bool is_shared(const pleat_value *value) {
  return value->is_output || value->use_count > 1;
}

/* The nodes that a fold into a copy of may save more than it costs; the user decides. */
static bool is_worth_copying(const pleat_push *push, const pleat_node *node) {
  static const char *const kinds[] = {"Conv", "ConvTranspose", "Gemm", "MatMul"};
  for (size_t i = 0; push->may_copy && i < sizeof kinds / sizeof kinds[0]; i++) {
    if (pleat_node_is(node, kinds[i])) return true;
  }
  return false;
}

/* What the user can do about a producer that others read as well. */
static void advise_copy(pleat_push *push, const pleat_node *producer) {
  char label[128];
  const size_t used = strlen(push->reason);
  const uint64_t macs = pleat_node_macs(producer);
  if (!is_worth_copying(push, producer)) return;
  pleat_node_label(producer, label, sizeof label);
  if (push->copied != NULL) {
    snprintf(push->reason + used, sizeof push->reason - used, "; only one node is copied for a fold");
  } else if (macs == UINT64_MAX || macs == 0) {
    snprintf(push->reason + used, sizeof push->reason - used, "; --duplicate folds it into a copy of '%s'", label);
  } else {
    snprintf(push->reason + used, sizeof push->reason - used,
             "; --duplicate folds it into a copy of '%s', for %llu more multiply-adds a run", label,
             (unsigned long long)macs);
  }
}

static pleat_status refuse_shared(pleat_push *push, const pleat_value *value, const pleat_node *reader) {
  char label[128];
  if (value->is_output) {
    pleat_push_refuse(push, "its input '%s' is an output of the graph and must keep its value", value->name);
  } else {
    size_t other = 0;
    while (other + 1 < value->use_count && value->uses[other].node == reader) other++;
    pleat_push_refuse(push, "its input '%s' is also read by '%s'", value->name,
                      pleat_node_label(value->uses[other].node, label, sizeof label));
  }
  advise_copy(push, value->producer);
  return PLEAT_OK;
}

/* A node like `node`, with a first output of its own that `reader` reads in the place of the other. */
static pleat_status copy_for(pleat_push *push, pleat_node *node, const pleat_node *reader, pleat_node **out_copy) {
  char name[PLEAT_NAME_SIZE], label[256];
  pleat_value *result = node->outputs[0];
  pleat_push_name(name, pleat_node_label(node, label, sizeof label), "_copy");
  pleat_node *copy = pleat_graph_add_node(node->graph, node, node->op_type, node->domain, name);
  pleat_push_name(name, result->name, "_copy");
  pleat_value *value = pleat_graph_add_value(node->graph, name, result->dtype, &result->shape);
  bool good = copy != NULL && value != NULL && pleat_node_set_output(copy, 0, value);
  for (size_t i = 0; good && i < node->input_count; i++) {
    if (node->inputs[i] != NULL) good = pleat_node_set_input(copy, i, node->inputs[i]);
  }
  for (size_t i = 0; good && i < node->attr_count; i++) {
    pleat_attr attr = node->attrs[i];
    attr.src = NULL;
    good = pleat_node_set_attr(copy, attr);
  }
  for (size_t i = result->use_count; good && i-- > 0;) {
    const pleat_use use = result->uses[i];
    if (use.node == reader) good = pleat_node_set_input(use.node, use.index, value);
  }
  *out_copy = copy;
  return good ? PLEAT_OK : PLEAT_OOM(push->ctx->error);
}

/* The producer of `value` takes the map, or, where others read it as well, a copy of it does. */
static pleat_status up_into(pleat_push *push, const pleat_absorber *absorber, pleat_value *value,
                            const pleat_node *reader, const pleat_affine *affine) {
  pleat_node *node = value->producer, *copy = NULL;
  if (!is_shared(value)) {
    PLEAT_TRY(absorber->up(push, node, affine));
    if (!is_possible(push)) return PLEAT_OK;
    push->target = node;
    return push->commit ? rename_value(push, value, &push->replacement) : PLEAT_OK;
  }
  if (!push->ctx->options->duplicate || push->copied != NULL || !is_worth_copying(push, node)) {
    return refuse_shared(push, value, reader);
  }
  if (push->commit) PLEAT_TRY(copy_for(push, node, reader, &copy));
  PLEAT_TRY(absorber->up(push, push->commit ? copy : node, affine));
  if (!is_possible(push)) return PLEAT_OK;
  push->target = push->commit ? copy : node;
  push->copied = node;
  push->replacement = push->commit ? copy->outputs[0] : NULL;
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

/* An operand that is constant takes the map itself. */
static pleat_status up_into_constant(pleat_push *push, pleat_node *reader, size_t index, const pleat_tensor *constant,
                                     const pleat_affine *affine) {
  pleat_tensor *tensor = NULL;
  const bool is_uniform = affine->axis == PLEAT_UNIFORM;
  if (!pleat_dtype_is_float(constant->dtype) ||
      (!is_uniform && (affine->axis >= constant->rank || constant->dims[affine->axis] != (int64_t)affine->channels))) {
    return pleat_push_refuse(push, "a constant operand of '%s' does not have the map's channels", reader->op_type);
  }
  size_t inner = 1;
  for (int i = affine->axis + 1; !is_uniform && i < constant->rank; i++) inner *= (size_t)constant->dims[i];
  double *values = malloc((constant->count + 1) * sizeof *values);
  if (values == NULL) return PLEAT_OOM(push->ctx->error);
  pleat_convert(constant->dtype, constant->data, PLEAT_DOUBLE, values, constant->count, NULL);
  for (size_t i = 0; i < constant->count; i++) {
    size_t c = is_uniform ? 0 : i / inner % affine->channels;
    values[i] = pleat_affine_scale_at(affine, c) * values[i] + pleat_affine_shift_at(affine, c);
  }
  pleat_status status = pleat_affine_round(push->ctx, constant->dtype, constant->rank, constant->dims, values,
                                           "operand", &tensor, push->reason);
  free(values);
  if (tensor == NULL || !push->commit) {
    pleat_tensor_release(tensor);
    return status;
  }
  return pleat_push_set_weight(push, reader, index, "_folded", tensor);
}

static pleat_status up_through_input(pleat_push *push, pleat_node *node, size_t index, const pleat_affine *affine) {
  const pleat_tensor *constant = NULL;
  pleat_value *input = node->inputs[index];
  if (data_inputs(node) > 1) PLEAT_TRY(pleat_value_compute(input, OPERAND_LIMIT, &constant, push->ctx->error));
  return constant != NULL ? up_into_constant(push, node, index, constant, affine)
                          : pleat_push_up(push, input, node, *affine);
}

static pleat_status up_through_transparent(pleat_push *push, pleat_value *value, const pleat_affine *affine) {
  pleat_node *node = value->producer;
  for (size_t i = 0; i < data_inputs(node); i++) {
    pleat_affine above;
    if (node->inputs[i] == NULL) return pleat_push_refuse(push, "%s lacks an input", node->op_type);
    PLEAT_TRY(pleat_affine_through(push, node, i, value->producer_index, false, affine, &above));
    if (!is_possible(push)) return PLEAT_OK;
    if (!pleat_affine_has_scale(&above) && !pleat_affine_has_shift(&above)) continue;
    PLEAT_TRY(up_through_input(push, node, i, &above));
    if (!is_possible(push)) return PLEAT_OK;
  }
  return push->commit ? rename_value(push, value, &push->replacement) : PLEAT_OK;
}

pleat_status pleat_push_up(pleat_push *push, pleat_value *value, const pleat_node *reader, pleat_affine affine) {
  pleat_status status = PLEAT_OK;
  PLEAT_TRY(check_computed(push, value, reader));
  if (!is_possible(push)) return PLEAT_OK;
  if (++push->depth > LIMIT_DEPTH) return pleat_push_refuse(push, "too many nodes lie between");
  pleat_node *node = value->producer;
  const pleat_absorber *absorber = pleat_absorber_find(node);
  if (absorber != NULL && absorber->up != NULL && value->producer_index == 0) {
    status = up_into(push, absorber, value, reader, &affine);
  } else if (is_shared(value)) {
    status = refuse_shared(push, value, reader);
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

size_t pleat_push_sample_size(const pleat_value *value) {
  const pleat_shape *shape = &value->shape;
  const pleat_dim product = shape->rank > 1 ? pleat_shape_product(shape, 1, shape->rank) : pleat_dim_unknown();
  return product.value > 0 ? (size_t)product.value : 0;
}

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

/* The border of a graph whose half types become float: the values that stay, and the Casts around them.
 *
 * Inputs and outputs (taps included) are what the caller sees. A Cast to a half type, in the model, rounds numbers of
 * another type: that is what its author asked for, and stays so. Everything between is computed in float and rounded
 * nowhere, as ONNX Runtime does with operators that it has no half kernel for, whose casts it inserts, and takes out
 * again where two meet. */
#include <string.h>

#include "graph/promote.h"

enum { BFLOAT16_CAST_OPSET = 13 }; /* the first whose Cast knows bfloat16 */

static bool is_narrow(const pleat_promotion *p, const pleat_value *value) {
  return (p->narrow & PLEAT_M(value->dtype)) != 0;
}

static bool is_cast(const pleat_node *node) {
  return pleat_node_is(node, "Cast") || pleat_node_is(node, "CastLike");
}

bool pleat_promotion_is_rounding(const pleat_promotion *p, const pleat_node *node) {
  return is_cast(node) && node->output_count > 0 && node->outputs[0] != NULL && node->input_count > 0 &&
         node->inputs[0] != NULL && is_narrow(p, node->outputs[0]) && node->outputs[0]->dtype != node->inputs[0]->dtype;
}

/* Lists of halves have no Cast. */
static bool has_list_at_border(const pleat_promotion *p, const pleat_graph *root) {
  for (size_t i = 0; i < root->input_count; i++) {
    if (root->inputs[i]->kind != PLEAT_KIND_TENSOR && is_narrow(p, root->inputs[i])) return true;
  }
  for (size_t i = 0; i < root->output_count; i++) {
    if (root->outputs[i]->kind != PLEAT_KIND_TENSOR && is_narrow(p, root->outputs[i])) return true;
  }
  return false;
}

static bool has_narrow(const pleat_promotion *p, const pleat_graph *root) {
  for (size_t i = 0; i < root->value_count; i++) {
    if (is_narrow(p, root->all_values[i])) return true;
  }
  return false;
}

static void keep(pleat_promotion *p, const pleat_value *value) {
  if (is_narrow(p, value)) p->kept[value->id] = true;
}

pleat_status pleat_promotion_find_border(pleat_promotion *p, pleat_graph *root, bool *out_found, pleat_error *error) {
  p->narrow = PLEAT_M(PLEAT_FLOAT16);
  if (pleat_graph_opset(root, "") >= BFLOAT16_CAST_OPSET) p->narrow |= PLEAT_M(PLEAT_BFLOAT16);
  *out_found = has_narrow(p, root) && !has_list_at_border(p, root);
  if (!*out_found) return PLEAT_OK;
  p->kept_count = root->value_count;
  p->kept = pleat_arena_array(root->arena, p->kept_count, sizeof *p->kept);
  if (p->kept == NULL) return PLEAT_OOM(error);
  for (size_t i = 0; i < root->input_count; i++) keep(p, root->inputs[i]);
  for (size_t i = 0; i < root->output_count; i++) keep(p, root->outputs[i]);
  for (pleat_graph *each = root; each != NULL; each = each->next_graph) {
    PLEAT_FOR_NODES(node, each) {
      if (node->graph != NULL && pleat_promotion_is_rounding(p, node)) keep(p, node->outputs[0]);
    }
  }
  return PLEAT_OK;
}

/* ---- joining ---- */

/* All that reads `from`, but for `except`, reads `to`. */
static bool read_instead(pleat_value *from, pleat_value *to, const pleat_node *except) {
  for (size_t i = from->use_count; i-- > 0;) {
    const pleat_use use = from->uses[i];
    if (use.node != except && !pleat_node_set_input(use.node, use.index, to)) return false;
  }
  return true;
}

/* What reads the value gets a float copy of it. The output of a body is read by its node. */
static pleat_status widen_reading(const pleat_promotion *p, pleat_value *value, pleat_error *error) {
  const bool leaves_body = value->is_output && value->graph->parent != NULL;
  if (value->use_count == 0 && !leaves_body) return PLEAT_OK;
  pleat_value *wide = pleat_graph_add_value(value->graph, value->name, p->wide, &value->shape);
  pleat_node *cast = pleat_promotion_add_cast(value->graph, value->producer, p->wide);
  if (wide == NULL || cast == NULL || !pleat_node_set_input(cast, 0, value) || !pleat_node_set_output(cast, 0, wide))
    return PLEAT_OOM(error);
  const bool done = leaves_body ? pleat_value_replace(value, wide) : read_instead(value, wide, cast);
  return done ? PLEAT_OK : PLEAT_OOM(error);
}

/* The value is rounded from a float one, which its producer gives and everything else reads. */
static pleat_status narrow_writing(const pleat_promotion *p, pleat_value *value, pleat_error *error) {
  pleat_node *producer = value->producer;
  const size_t index = value->producer_index;
  pleat_value *wide = pleat_graph_add_value(value->graph, value->name, p->wide, &value->shape);
  pleat_node *cast = pleat_promotion_add_cast(value->graph, producer, value->dtype);
  if (wide == NULL || cast == NULL || !read_instead(value, wide, NULL) || !pleat_node_set_input(cast, 0, wide) ||
      !pleat_node_set_output(cast, 0, value) || !pleat_node_set_output(producer, index, wide)) {
    return PLEAT_OOM(error);
  }
  return PLEAT_OK;
}

/* The second input of a CastLike has another type by now: a Cast that names the type takes its place. */
static pleat_status name_type(pleat_node *node, pleat_node **out_cast, pleat_error *error) {
  static const char *const common[] = {"saturate", "round_mode"};
  pleat_value *value = node->outputs[0];
  *out_cast = pleat_promotion_add_cast(node->graph, node, value->dtype);
  if (*out_cast == NULL || !pleat_node_set_input(*out_cast, 0, node->inputs[0])) return PLEAT_OOM(error);
  for (size_t i = 0; i < sizeof common / sizeof common[0]; i++) {
    const pleat_attr *attr = pleat_node_attr(node, common[i]);
    pleat_attr copy;
    if (attr == NULL) continue;
    copy = *attr;
    copy.src = NULL;
    if (!pleat_node_set_attr(*out_cast, copy)) return PLEAT_OOM(error);
  }
  if (!pleat_node_set_output(*out_cast, 0, value)) return PLEAT_OOM(error);
  pleat_node_remove(node);
  return PLEAT_OK;
}

pleat_status pleat_promotion_join_border(const pleat_promotion *p, pleat_graph *root, pleat_error *error) {
  for (size_t i = 0; i < p->kept_count; i++) {
    pleat_value *value = root->all_values[i];
    pleat_node *producer = value->producer;
    if (!p->kept[i]) continue;
    if (producer != NULL && pleat_node_is(producer, "CastLike") && producer->inputs[0]->dtype != value->dtype)
      PLEAT_TRY(name_type(producer, &producer, error));
    const bool as_it_is =
        producer == NULL || pleat_node_is(producer, "Constant") || pleat_promotion_is_rounding(p, producer);
    PLEAT_TRY(as_it_is ? widen_reading(p, value, error) : narrow_writing(p, value, error));
  }
  return PLEAT_OK;
}

/* Changing a graph. Every function keeps producers, uses, names and the list of nodes consistent, and marks what
 * differs from its source message, so that export knows what to write anew.
 *
 * What the caller answers for: a value may only be read after the node that produces it; the verifier checks that. */
#include "graph/graph_private.h"

#include <assert.h>
#include <string.h>

static void node_changed(pleat_node *node) {
  node->edited = true;
  if (node->graph != NULL) pleat_graph_touch(node->graph);
}

/* ---- nodes ---- */

static pleat_node *add_node(pleat_graph *graph, pleat_node *after, const char *op_type, const char *domain,
                            int64_t opset, const char *name) {
  pleat_arena *arena = graph->root->arena;
  assert(after == NULL || after->graph == graph);
  pleat_node *node = pleat_graph_new_node(graph);
  if (node == NULL) return NULL;
  node->op_type = pleat_arena_strdup(arena, op_type);
  node->domain = pleat_arena_strdup(arena, pleat_normal_domain(domain));
  node->name = pleat_arena_strdup(arena, pleat_text(name));
  if (node->op_type == NULL || node->domain == NULL || node->name == NULL) {
    node->graph = NULL; /* it stays in the list of all nodes, as a removed one */
    return NULL;
  }
  node->def = pleat_op_find(node->domain, node->op_type);
  if (node->def != NULL) node->version = pleat_op_version_at(node->def, opset);
  if (node->version == NULL) node->def = NULL;
  pleat_graph_link_node(graph, after, node);
  node_changed(node);
  return node;
}

pleat_node *pleat_graph_add_node(pleat_graph *graph, pleat_node *after, const char *op_type, const char *domain,
                                 const char *name) {
  return add_node(graph, after, op_type, domain, pleat_graph_opset(graph, pleat_normal_domain(domain)), name);
}

pleat_node *pleat_graph_add_node_as_of(pleat_graph *graph, pleat_node *after, const char *op_type, int64_t opset,
                                       const char *name) {
  return add_node(graph, after, op_type, "", opset, name);
}

/* Makes place `index` of a list of inputs or outputs exist. */
static bool reserve_slot(pleat_node *node, pleat_value ***list, size_t *count, size_t index) {
  if (index < *count) return true;
  pleat_value **grown = pleat_arena_array(node->graph->root->arena, index + 1, sizeof *grown);
  if (grown == NULL) return false;
  if (*count != 0) memcpy(grown, *list, *count * sizeof *grown);
  *list = grown;
  *count = index + 1;
  return true;
}

bool pleat_node_set_input(pleat_node *node, size_t index, pleat_value *value) {
  if (!reserve_slot(node, &node->inputs, &node->input_count, index)) return false;
  pleat_value *old = node->inputs[index];
  if (old == value) return true;
  if (value != NULL && !pleat_value_add_use(value, node, index)) return false;
  if (old != NULL) pleat_value_drop_use(old, node, index);
  node->inputs[index] = value;
  node_changed(node);
  return true;
}

void pleat_node_truncate_inputs(pleat_node *node, size_t count) {
  if (count >= node->input_count) return;
  for (size_t i = count; i < node->input_count; i++) {
    if (node->inputs[i] != NULL) pleat_value_drop_use(node->inputs[i], node, i);
  }
  node->input_count = count;
  node_changed(node);
}

/* A value that lost its producer is gone, unless somebody still reads it (and will be given something else). */
static void orphan(pleat_value *value) {
  value->producer = NULL;
  if (value->use_count == 0 && !value->is_output) pleat_graph_forget_name(value);
}

bool pleat_node_set_output(pleat_node *node, size_t index, pleat_value *value) {
  if (value != NULL && (value->is_input || value->is_initializer || value->graph != node->graph)) return false;
  if (!reserve_slot(node, &node->outputs, &node->output_count, index)) return false;
  pleat_value *old = node->outputs[index];
  if (old == value) return true;
  if (old != NULL) orphan(old);
  if (value != NULL && value->producer != NULL) {
    value->producer->outputs[value->producer_index] = NULL;
    node_changed(value->producer);
  }
  if (value != NULL) {
    value->producer = node;
    value->producer_index = index;
  }
  node->outputs[index] = value;
  node_changed(node);
  return true;
}

/* ---- removal ---- */

static void drop_inputs(pleat_node *node);

/* The nodes of a subgraph go with their owner: what they read of outer values is no use any more. */
static void drop_subgraphs(pleat_node *node) {
  PLEAT_FOR_SUBGRAPHS(sub, node) {
    PLEAT_FOR_NODES(inner, sub) {
      drop_inputs(inner);
      drop_subgraphs(inner);
      for (size_t i = 0; i < inner->output_count; i++) {
        if (inner->outputs[i] != NULL) inner->outputs[i]->producer = NULL;
      }
      inner->graph = NULL;
    }
  }
}

static void drop_inputs(pleat_node *node) {
  for (size_t i = 0; i < node->input_count; i++) {
    if (node->inputs[i] != NULL) pleat_value_drop_use(node->inputs[i], node, i);
  }
}

void pleat_node_remove(pleat_node *node) {
  pleat_graph *graph = node->graph;
  for (size_t i = 0; i < node->output_count; i++) {
    pleat_value *value = node->outputs[i];
    if (value == NULL) continue;
    assert(value->use_count == 0 && !value->is_output);
    orphan(value);
  }
  drop_inputs(node);
  drop_subgraphs(node);
  *(node->prev == NULL ? &graph->first : &node->prev->next) = node->next;
  *(node->next == NULL ? &graph->last : &node->next->prev) = node->prev;
  graph->node_count--;
  node->graph = NULL;
  pleat_graph_touch(graph);
}

static bool node_is_live(const pleat_node *node) {
  for (size_t i = 0; i < node->output_count; i++) {
    const pleat_value *value = node->outputs[i];
    if (value != NULL && (value->use_count != 0 || value->is_output)) return true;
  }
  return false;
}

static size_t drop_removed_initializers(pleat_value **list, size_t count) {
  size_t kept = 0;
  for (size_t i = 0; i < count; i++) {
    if (list[i]->is_input || list[i]->is_initializer) list[kept++] = list[i];
  }
  return kept;
}

static void remove_dead_initializers(pleat_graph *graph) {
  size_t dead = 0;
  for (size_t i = 0; i < graph->initializer_count; i++) {
    pleat_value *value = graph->initializers[i];
    if (value->use_count != 0 || value->is_output || value->is_input) continue;
    value->is_initializer = false;
    pleat_graph_forget_name(value);
    dead++;
  }
  if (dead == 0) return;
  graph->initializer_count = drop_removed_initializers(graph->initializers, graph->initializer_count);
  graph->input_count = drop_removed_initializers(graph->inputs, graph->input_count);
  pleat_graph_touch(graph);
}

/* Backwards, so that one sweep finds whole dead chains; a live owner's subgraphs are swept before what they may read.
 */
size_t pleat_graph_remove_dead(pleat_graph *graph) {
  size_t removed = 0;
  for (pleat_node *node = graph->last, *before = NULL; node != NULL; node = before) {
    before = node->prev;
    if (node_is_live(node)) {
      PLEAT_FOR_SUBGRAPHS(sub, node) {
        removed += pleat_graph_remove_dead(sub);
      }
    } else {
      pleat_node_remove(node);
      removed++;
    }
  }
  remove_dead_initializers(graph);
  return removed;
}

/* ---- attributes ---- */

bool pleat_node_set_attr(pleat_node *node, pleat_attr attr) {
  assert(attr.src == NULL);
  pleat_node_remove_attr(node, attr.name);
  if (!PLEAT_PUSH(node->graph->root->arena, node->attrs, node->attr_count, node->attr_capacity, attr)) return false;
  node_changed(node);
  return true;
}

static void drop_attr_subgraphs(const pleat_attr *attr) {
  pleat_node holder = {.attr_count = 1, .attrs = (pleat_attr[]){*attr}};
  drop_subgraphs(&holder);
}

void pleat_node_remove_attr(pleat_node *node, const char *name) {
  for (size_t i = 0; i < node->attr_count; i++) {
    if (strcmp(node->attrs[i].name, name) != 0) continue;
    drop_attr_subgraphs(&node->attrs[i]);
    memmove(&node->attrs[i], &node->attrs[i + 1], (node->attr_count - i - 1) * sizeof *node->attrs);
    node->attr_count--;
    node_changed(node);
    return;
  }
}

/* ---- values ---- */

pleat_value *pleat_graph_add_value(pleat_graph *graph, const char *hint, pleat_dtype dtype, const pleat_shape *shape) {
  const char *name = pleat_graph_unique_name(graph, hint);
  pleat_value *value = name == NULL ? NULL : pleat_graph_new_value(graph, name);
  if (value == NULL) return NULL;
  value->dtype = dtype;
  if (shape != NULL) value->shape = *shape;
  return value;
}

/* A new initializer of the type and shape of `tensor`. */
static pleat_value *add_initializer(pleat_graph *graph, const char *hint, const pleat_tensor *tensor) {
  pleat_shape shape = pleat_shape_of(tensor->rank, tensor->dims);
  pleat_value *value = pleat_graph_add_value(graph, hint, tensor->dtype, &shape);
  if (value == NULL) return NULL;
  if (!PLEAT_PUSH(graph->root->arena, graph->initializers, graph->initializer_count, graph->initializer_capacity,
                  value)) {
    pleat_graph_forget_name(value);
    return NULL;
  }
  value->is_initializer = true;
  pleat_graph_touch(graph);
  return value;
}

pleat_status pleat_graph_add_constant(pleat_graph *graph, const char *hint, pleat_tensor *tensor,
                                      pleat_value **out_value, pleat_error *error) {
  *out_value = NULL;
  if (!pleat_graph_own(graph, tensor)) {
    pleat_tensor_release(tensor);
    return PLEAT_OOM(error);
  }
  pleat_value *value = add_initializer(graph, hint, tensor);
  if (value == NULL) return PLEAT_OOM(error);
  value->constant = tensor;
  *out_value = value;
  return PLEAT_OK;
}

pleat_status pleat_graph_add_recipe(pleat_graph *graph, const char *hint, const pleat_recipe *recipe,
                                    pleat_value **out_value, pleat_error *error) {
  *out_value = NULL;
  pleat_recipe *copy = pleat_arena_alloc(graph->root->arena, sizeof *copy);
  if (copy == NULL) return PLEAT_OOM(error);
  *copy = *recipe;
  pleat_tensor *owner = pleat_tensor_retain(recipe->owner); /* it may be forgotten by the value that it comes from */
  if (owner != NULL && !pleat_graph_own(graph, owner)) {
    pleat_tensor_release(owner);
    return PLEAT_OOM(error);
  }
  pleat_value *value = add_initializer(graph, hint, &recipe->tensor);
  if (value == NULL) return PLEAT_OOM(error);
  value->recipe = copy;
  *out_value = value;
  return PLEAT_OK;
}

bool pleat_graph_add_output(pleat_graph *graph, pleat_value *value) {
  if (value->graph != graph) return false;
  if (value->is_output) return true;
  if (!PLEAT_PUSH(graph->root->arena, graph->outputs, graph->output_count, graph->output_capacity, value)) return false;
  value->is_output = true;
  pleat_graph_touch(graph);
  return true;
}

/* ---- replacing a value ---- */

/* Whether every node that reads `value` finds `named` under the name that it is about to have: a subgraph may have a
 * value of the same name, which would hide it. */
static bool visible_to_users(const pleat_value *value, const pleat_value *named, const char *name) {
  const pleat_graph *seen = NULL;
  for (size_t i = 0; i < value->use_count; i++) {
    const pleat_graph *graph = value->uses[i].node->graph;
    if (graph == seen) continue;
    if (pleat_graph_find(graph, name) != named) return false;
    seen = graph;
  }
  return true;
}

bool pleat_value_can_replace(const pleat_value *from, const pleat_value *to) {
  if (from == to) return false;
  if (!from->is_output) return visible_to_users(from, to, to->name);
  if (from->is_input) return false; /* its name is the callers' */
  if (to->graph != from->graph || to->producer == NULL || to->is_input || to->is_output || to->is_initializer) {
    return false;
  }
  return visible_to_users(from, from, from->name) && visible_to_users(to, from, from->name);
}

static void users_changed(const pleat_value *value) {
  for (size_t i = 0; i < value->use_count; i++) node_changed(value->uses[i].node);
}

/* `to` becomes the graph output that `from` was, name included; `from` gets a name of its own. */
static bool take_over_output(pleat_value *from, pleat_value *to) {
  pleat_graph *graph = from->graph;
  const char *name = from->name, *fresh = pleat_graph_unique_name(graph, name);
  if (fresh == NULL || !pleat_graph_rename(from, fresh) || !pleat_graph_rename(to, name)) return false;
  for (size_t i = 0; i < graph->output_count; i++) {
    if (graph->outputs[i] == from) graph->outputs[i] = to;
  }
  to->is_output = true;
  from->is_output = false;
  to->src_info = from->src_info;
  from->src_info = NULL;
  pleat_shape merged;
  if (pleat_shape_merge(&to->shape, &from->shape, &merged)) to->shape = merged;
  if (to->dtype == PLEAT_UNDEFINED) to->dtype = from->dtype;
  to->shape_declared = to->shape_declared || from->shape_declared;
  node_changed(to->producer);
  if (from->producer != NULL) node_changed(from->producer);
  users_changed(to);
  return true;
}

/* A use by the producer of `to` stays: that is how a node is put behind `from`, and moving it would make a cycle. */
bool pleat_value_replace(pleat_value *from, pleat_value *to) {
  if (!pleat_value_can_replace(from, to)) return false;
  pleat_arena *arena = from->graph->root->arena;
  size_t needed = to->use_count + from->use_count;
  if (needed > to->use_capacity) { /* before anything changes */
    pleat_use *uses = pleat_arena_array(arena, needed, sizeof *uses);
    if (uses == NULL) return false;
    if (to->use_count != 0) memcpy(uses, to->uses, to->use_count * sizeof *uses);
    to->uses = uses;
    to->use_capacity = needed;
  }
  if (from->is_output && !take_over_output(from, to)) return false;
  size_t kept = 0;
  for (size_t i = 0; i < from->use_count; i++) {
    pleat_use use = from->uses[i];
    if (to->producer != NULL && use.node == to->producer) {
      from->uses[kept++] = use;
      continue;
    }
    use.node->inputs[use.index] = to;
    to->uses[to->use_count++] = use;
    node_changed(use.node);
  }
  from->use_count = kept;
  if (kept != 0) users_changed(from);
  return true;
}

void pleat_graph_remove_input(pleat_graph *graph, size_t index) {
  assert(index < graph->input_count && graph->inputs[index]->is_initializer);
  graph->inputs[index]->is_input = false;
  graph->input_count--;
  memmove(&graph->inputs[index], &graph->inputs[index + 1], (graph->input_count - index) * sizeof *graph->inputs);
  pleat_graph_touch(graph);
}

bool pleat_graph_append_metadata(pleat_graph *graph, const char *key, const char *text) {
  pleat_graph *root = graph->root;
  const char *before = root->metadata_text != NULL ? root->metadata_text : "";
  root->metadata_key = pleat_arena_strdup(root->arena, key);
  root->metadata_text = pleat_arena_printf(root->arena, "%s%s", before, text);
  return root->metadata_key != NULL && root->metadata_text != NULL;
}

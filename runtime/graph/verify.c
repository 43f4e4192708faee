/* The verifier: checks every invariant that graph.h states, over the root and all subgraphs.
 *
 * One walk in list order. `defined` says which values exist at the point reached, so that an input that is not defined
 * yet shows a broken topological order; uses are counted against inputs, which with a check of each use's own place
 * makes the two relations the same. Linear in the size of the graph. */
#include "graph/graph_private.h"

#include <stdlib.h>
#include <string.h>

typedef struct verifier {
  const pleat_graph *root;
  bool *defined;   /* by value id */
  size_t *reads;   /* by value id: how many node inputs are this value */
  bool *reachable; /* by value id: lives in a graph that the walk reached */
  pleat_error *error;
} verifier;

#define BROKEN(v, ...) pleat_fail((v)->error, PLEAT_INTERNAL, "graph verifier: " __VA_ARGS__)

static pleat_status verify_graph(verifier *v, const pleat_graph *graph);

static bool is_visible(const pleat_graph *from, const pleat_graph *graph) {
  for (; from != NULL; from = from->parent) {
    if (from == graph) return true;
  }
  return false;
}

static pleat_status define(verifier *v, const pleat_graph *graph, const pleat_value *value) {
  if (value->id >= v->root->value_count || v->root->all_values[value->id] != value) {
    return BROKEN(v, "value '%s' has a wrong id", value->name);
  }
  if (value->graph != graph) return BROKEN(v, "value '%s' is listed in a graph that is not its own", value->name);
  if (value->name == NULL || value->name[0] == '\0') return BROKEN(v, "a value has no name");
  if (pleat_graph_find_here(graph, value->name) != value) {
    return BROKEN(v, "the name '%s' is not its value's own", value->name);
  }
  v->defined[value->id] = v->reachable[value->id] = true;
  return PLEAT_OK;
}

static pleat_status verify_node_inputs(verifier *v, const pleat_node *node) {
  for (size_t i = 0; i < node->input_count; i++) {
    const pleat_value *value = node->inputs[i];
    if (value == NULL) continue;
    if (!is_visible(node->graph, value->graph)) {
      return BROKEN(v, "input %zu is a value of a graph that is not around the node", i);
    }
    if (value->id >= v->root->value_count || !v->defined[value->id]) {
      return BROKEN(v, "input %zu, '%s', is read before it is produced", i, value->name);
    }
    v->reads[value->id]++;
  }
  return PLEAT_OK;
}

static pleat_status verify_node_outputs(verifier *v, const pleat_node *node) {
  for (size_t i = 0; i < node->output_count; i++) {
    const pleat_value *value = node->outputs[i];
    if (value == NULL) continue;
    if (value->producer != node || value->producer_index != i) {
      return BROKEN(v, "output '%s' has another producer", value->name);
    }
    if (value->is_input || value->is_initializer) {
      return BROKEN(v, "output '%s' is also an input or initializer", value->name);
    }
    PLEAT_TRY(define(v, node->graph, value));
  }
  return PLEAT_OK;
}

static pleat_status verify_node(verifier *v, const pleat_graph *graph, const pleat_node *node) {
  if (node->graph != graph) return BROKEN(v, "a removed node, or one of another graph, is in the list");
  if (node->id >= v->root->node_id_count || v->root->all_nodes[node->id] != node) return BROKEN(v, "wrong node id");
  if (node->edited && !graph->edited) return BROKEN(v, "the node is edited but its graph is not marked");
  PLEAT_TRY(verify_node_inputs(v, node));
  PLEAT_FOR_SUBGRAPHS(sub, node) {
    if (sub->owner != node || sub->parent != graph || sub->root != v->root) {
      return BROKEN(v, "a subgraph does not know its owner");
    }
    if (sub->edited && !graph->edited) return BROKEN(v, "a subgraph is edited but the graph around it is not marked");
    PLEAT_TRY(verify_graph(v, sub));
  }
  return verify_node_outputs(v, node);
}

static pleat_status verify_lists(verifier *v, const pleat_graph *graph) {
  for (size_t i = 0; i < graph->input_count; i++) {
    const pleat_value *value = graph->inputs[i];
    if (!value->is_input && !value->is_initializer) return BROKEN(v, "graph input '%s' is not marked", value->name);
    if (value->producer != NULL) return BROKEN(v, "graph input '%s' has a producer", value->name);
    PLEAT_TRY(define(v, graph, value));
  }
  for (size_t i = 0; i < graph->initializer_count; i++) {
    const pleat_value *value = graph->initializers[i];
    if (!value->is_initializer) return BROKEN(v, "initializer '%s' is not marked", value->name);
    if (value->producer != NULL) return BROKEN(v, "initializer '%s' has a producer", value->name);
    if (value->src_init == NULL && value->constant == NULL && value->recipe == NULL)
      return BROKEN(v, "initializer '%s' has no data", value->name);
    PLEAT_TRY(define(v, graph, value));
  }
  return PLEAT_OK;
}

static pleat_status verify_graph(verifier *v, const pleat_graph *graph) {
  size_t count = 0;
  const pleat_node *before = NULL;
  PLEAT_TRY(verify_lists(v, graph));
  PLEAT_FOR_NODES(node, graph) {
    char label[256];
    pleat_status status =
        node->prev == before ? verify_node(v, graph, node) : BROKEN(v, "wrong link to the node before");
    if (status != PLEAT_OK) {
      pleat_error_at_node(v->error, pleat_node_label(node, label, sizeof label));
      return status;
    }
    before = node;
    if (++count > graph->node_count) break;
  }
  if (count != graph->node_count || graph->last != before) return BROKEN(v, "the list of nodes is not node_count long");
  for (size_t i = 0; i < graph->output_count; i++) {
    const pleat_value *value = graph->outputs[i];
    if (value->graph != graph || !value->is_output || !v->defined[value->id]) {
      return BROKEN(v, "graph output '%s' is not produced in its graph, or not marked", value->name);
    }
  }
  return PLEAT_OK;
}

/* Every recorded use is a real one, and there are as many as inputs that read the value. */
static pleat_status verify_uses(verifier *v) {
  for (size_t id = 0; id < v->root->value_count; id++) {
    const pleat_value *value = v->root->all_values[id];
    if (value->use_count != v->reads[id] && (v->reachable[id] || v->reads[id] != 0)) {
      return BROKEN(v, "value '%s' records %zu uses, but %zu inputs read it", value->name, value->use_count,
                    v->reads[id]);
    }
    for (size_t i = 0; v->reachable[id] && i < value->use_count; i++) {
      const pleat_use *use = &value->uses[i];
      if (use->node->graph == NULL || use->index >= use->node->input_count || use->node->inputs[use->index] != value) {
        return BROKEN(v, "value '%s' records a use that does not exist", value->name);
      }
      for (size_t k = 0; k < i && value->use_count < 64; k++) {
        if (value->uses[k].node == use->node && value->uses[k].index == use->index) {
          return BROKEN(v, "value '%s' records a use twice", value->name);
        }
      }
    }
  }
  return PLEAT_OK;
}

pleat_status pleat_graph_verify(const pleat_graph *graph, pleat_error *error) {
  pleat_status status = PLEAT_OK;
  verifier v = {.root = graph->root, .error = error};
  size_t count = v.root->value_count + 1;
  v.defined = calloc(count, sizeof *v.defined);
  v.reachable = calloc(count, sizeof *v.reachable);
  v.reads = calloc(count, sizeof *v.reads);
  if (v.defined == NULL || v.reachable == NULL || v.reads == NULL) {
    status = PLEAT_OOM(error);
    goto fail;
  }
  PLEAT_CHECK(verify_graph(&v, v.root));
  PLEAT_CHECK(verify_uses(&v));
fail:
  free(v.defined);
  free(v.reachable);
  free(v.reads);
  return status;
}

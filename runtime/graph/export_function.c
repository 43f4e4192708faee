/* The model's local functions on export. What nobody inlined is kept, called or not: it is the file's. Of those that
 * were inlined only those go that nothing calls any more, neither the graph nor a function that stays; with them goes
 * the import of a domain that nothing is in any more. */
#include "graph/export.h"

#include <stdlib.h>
#include <string.h>

/* A function that may go, found by what calls name. */
typedef struct candidate {
  const char *key;
  const Onnx__FunctionProto *function;
  bool is_called;
  UT_hash_handle hh;
} candidate;

typedef struct caller {
  pleat_arena *scratch;
  candidate *candidates;
  bool out_of_memory;
} caller;

static const char *key_of(caller *c, const char *domain, const char *name, const char *overload) {
  const char *key =
      pleat_arena_printf(c->scratch, "%s\n%s\n%s", pleat_normal_domain(domain), pleat_text(name), pleat_text(overload));
  if (key == NULL) c->out_of_memory = true;
  return key;
}

static void mark_nodes(caller *c, Onnx__NodeProto *const *nodes, size_t count);

static void mark_graph(caller *c, const Onnx__GraphProto *graph) {
  if (graph != NULL) mark_nodes(c, graph->node, graph->n_node);
}

/* Functions do not call themselves, and are nested at most PLEAT_LIMIT_FUNCTION_DEPTH deep: import checked it. */
static void mark_nodes(caller *c, Onnx__NodeProto *const *nodes, size_t count) {
  for (size_t i = 0; i < count && !c->out_of_memory; i++) {
    const Onnx__NodeProto *node = nodes[i];
    candidate *called = NULL;
    const char *key = key_of(c, node->domain, node->op_type, node->overload);
    if (key != NULL) HASH_FIND(hh, c->candidates, key, strlen(key), called);
    if (called != NULL && !called->is_called) {
      called->is_called = true;
      mark_nodes(c, called->function->node, called->function->n_node);
    }
    for (size_t k = 0; k < node->n_attribute; k++) {
      const Onnx__AttributeProto *attr = node->attribute[k];
      mark_graph(c, attr->g);
      for (size_t g = 0; g < attr->n_graphs; g++) mark_graph(c, attr->graphs[g]);
    }
  }
}

static bool nodes_are_in(Onnx__NodeProto *const *nodes, size_t count, const char *domain);

static bool graph_is_in(const Onnx__GraphProto *graph, const char *domain) {
  return graph != NULL && nodes_are_in(graph->node, graph->n_node, domain);
}

static bool nodes_are_in(Onnx__NodeProto *const *nodes, size_t count, const char *domain) {
  for (size_t i = 0; i < count; i++) {
    if (strcmp(pleat_normal_domain(nodes[i]->domain), domain) == 0) return true;
    for (size_t k = 0; k < nodes[i]->n_attribute; k++) {
      const Onnx__AttributeProto *attr = nodes[i]->attribute[k];
      if (graph_is_in(attr->g, domain)) return true;
      for (size_t g = 0; g < attr->n_graphs; g++) {
        if (graph_is_in(attr->graphs[g], domain)) return true;
      }
    }
  }
  return false;
}

/* Whether a node of the model, or a function that stays, is of this domain. */
static bool is_domain_used(const Onnx__ModelProto *message, const char *domain) {
  if (domain[0] == '\0' || graph_is_in(message->graph, domain)) return true;
  for (size_t i = 0; i < message->n_functions; i++) {
    const Onnx__FunctionProto *function = message->functions[i];
    if (strcmp(pleat_normal_domain(function->domain), domain) == 0) return true;
    if (nodes_are_in(function->node, function->n_node, domain)) return true;
  }
  return false;
}

static bool is_of_removed(const Onnx__FunctionProto *const *removed, size_t count, const char *domain) {
  for (size_t i = 0; i < count; i++) {
    if (strcmp(pleat_normal_domain(removed[i]->domain), domain) == 0) return true;
  }
  return false;
}

/* Imports that the removed functions were the last to need. */
static pleat_status drop_domains(pleat_exporter *ex, Onnx__ModelProto *message,
                                 const Onnx__FunctionProto *const *removed, size_t count) {
  size_t kept = 0;
  Onnx__OperatorSetIdProto **list = pleat_arena_array(ex->model->arena, message->n_opset_import, sizeof *list);
  if (list == NULL) return PLEAT_OOM(ex->error);
  for (size_t i = 0; i < message->n_opset_import; i++) {
    const char *domain = pleat_normal_domain(message->opset_import[i]->domain);
    if (is_of_removed(removed, count, domain) && !is_domain_used(message, domain)) continue;
    list[kept++] = message->opset_import[i];
  }
  message->opset_import = list;
  message->n_opset_import = kept;
  return PLEAT_OK;
}

static pleat_status find_calls(pleat_exporter *ex, caller *c, const Onnx__ModelProto *message, candidate *candidates) {
  for (size_t i = 0; i < message->n_functions; i++) {
    const Onnx__FunctionProto *function = message->functions[i];
    candidates[i].function = function;
    if (!ex->graph->inlined[i]) continue;
    candidates[i].key = key_of(c, function->domain, function->name, function->overload);
    if (candidates[i].key == NULL) return PLEAT_OOM(ex->error);
    HASH_ADD_KEYPTR(hh, c->candidates, candidates[i].key, strlen(candidates[i].key), &candidates[i]);
    if (candidates[i].hh.tbl == NULL) return PLEAT_OOM(ex->error);
  }
  mark_graph(c, message->graph);
  for (size_t i = 0; i < message->n_functions; i++) {
    if (!ex->graph->inlined[i]) mark_nodes(c, message->functions[i]->node, message->functions[i]->n_node);
  }
  return c->out_of_memory ? PLEAT_OOM(ex->error) : PLEAT_OK;
}

pleat_status pleat_export_functions(pleat_exporter *ex, Onnx__ModelProto *message) {
  const size_t count = message->n_functions;
  size_t removed_count = 0;
  pleat_status status = PLEAT_OK;
  if (ex->graph->inlined == NULL) return PLEAT_OK;
  caller c = {.scratch = pleat_arena_create()};
  candidate *candidates = pleat_arena_array(ex->model->arena, count, sizeof *candidates);
  Onnx__FunctionProto **list = pleat_arena_array(ex->model->arena, count, sizeof *list);
  const Onnx__FunctionProto **removed = pleat_arena_array(ex->model->arena, count, sizeof *removed);
  if (c.scratch == NULL || candidates == NULL || list == NULL || removed == NULL) PLEAT_CHECK(PLEAT_OOM(ex->error));
  PLEAT_CHECK(find_calls(ex, &c, message, candidates));
  message->n_functions = 0;
  for (size_t i = 0; i < count; i++) {
    if (!ex->graph->inlined[i] || candidates[i].is_called) list[message->n_functions++] = message->functions[i];
    else removed[removed_count++] = message->functions[i];
  }
  message->functions = list;
  PLEAT_CHECK(drop_domains(ex, message, removed, removed_count));
fail:
  HASH_CLEAR(hh, c.candidates);
  pleat_arena_destroy(c.scratch);
  return status;
}

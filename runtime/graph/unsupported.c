/* Lists the operators of a graph that nothing here runs, each once, with the nodes that use it: what a user needs to
 * know at once, rather than the first one that is in the way. */
#include "graph/graph_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { NODES_NAMED = 6 }; /* an operator may be used thousands of times */

typedef struct missing_op {
  const char *key;
  const pleat_node *node; /* the first one */
  size_t node_count;
  char nodes[NODES_NAMED * 64];
  UT_hash_handle hh;
} missing_op;

static bool add(pleat_arena *arena, missing_op **ops, const pleat_node *node) {
  char label[60];
  missing_op *op = NULL;
  char *key = pleat_arena_printf(arena, "%s\n%s", node->domain, node->op_type);
  if (key == NULL) return false;
  HASH_FIND(hh, *ops, key, strlen(key), op);
  if (op == NULL) {
    op = pleat_arena_alloc(arena, sizeof *op);
    if (op == NULL) return false;
    op->key = key;
    op->node = node;
    HASH_ADD_KEYPTR(hh, *ops, op->key, strlen(op->key), op);
    if (op->hh.tbl == NULL) return false;
  }
  if (op->node_count++ < NODES_NAMED) {
    size_t length = strlen(op->nodes);
    snprintf(op->nodes + length, sizeof op->nodes - length, "%s%s", length != 0 ? ", " : "",
             pleat_node_label(node, label, sizeof label));
  }
  return true;
}

static bool collect(pleat_arena *arena, missing_op **ops, const pleat_graph *graph) {
  PLEAT_FOR_NODES(node, graph) {
    if (node->def == NULL && !add(arena, ops, node)) return false;
    PLEAT_FOR_SUBGRAPHS(sub, node) {
      if (!collect(arena, ops, sub)) return false;
    }
  }
  return true;
}

static const char *describe(pleat_arena *arena, const missing_op *op) {
  const pleat_node *node = op->node;
  char opset[80] = "not imported", more[48] = "";
  int64_t version = pleat_graph_opset(node->graph, node->domain);
  const pleat_op_def *def = pleat_op_find(node->domain, node->op_type);
  if (version != 0 && def != NULL && def->versions[0].since > version) { /* no version of it is in force */
    snprintf(opset, sizeof opset, "opset %" PRId64 ", but it exists from opset %d on", version, def->versions[0].since);
  } else if (version != 0) {
    snprintf(opset, sizeof opset, "opset %" PRId64, version);
  }
  if (op->node_count > NODES_NAMED) snprintf(more, sizeof more, " and %zu more", op->node_count - NODES_NAMED);
  return pleat_arena_printf(arena, "%s%s%s (%s): node%s %s%s", node->domain, node->domain[0] != '\0' ? "." : "",
                            node->op_type, opset, op->node_count == 1 ? "" : "s", op->nodes, more);
}

size_t pleat_graph_unsupported(pleat_graph *graph, const char *const **out_list) {
  pleat_arena *arena = graph->root->arena;
  missing_op *ops = NULL;
  size_t count = 0;
  const char **list = NULL;
  *out_list = NULL;
  (void)collect(arena, &ops, graph); /* out of memory: a shorter list */
  list = pleat_arena_array(arena, HASH_COUNT(ops), sizeof *list);
  for (const missing_op *op = ops; list != NULL && op != NULL; op = op->hh.next) {
    const char *text = describe(arena, op);
    list[count++] = text != NULL ? text : op->node->op_type;
  }
  HASH_CLEAR(hh, ops);
  *out_list = list;
  return count;
}

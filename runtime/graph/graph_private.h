/* What the files of the graph IR share and nobody else sees: name tables, raw construction, the importer's state.
 *
 * uthash never ends the process: an element that could not be added has hh.tbl NULL afterwards. */
#ifndef PLEAT_GRAPH_GRAPH_PRIVATE_H
#define PLEAT_GRAPH_GRAPH_PRIVATE_H

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "graph/graph.h"
#include "graph/model.h"
#include "ops/ops.h"

/* Limits on graphs (see README.md). */
enum {
  PLEAT_LIMIT_GRAPH_DEPTH = 32,    /* subgraphs inside of subgraphs */
  PLEAT_LIMIT_FUNCTION_DEPTH = 32, /* functions calling functions */
  PLEAT_LIMIT_NODES = 1 << 21,
  PLEAT_LIMIT_INLINED_NODES = 1 << 17, /* function bodies, counted at every call: a small file can ask for 2^32 */
  PLEAT_LIMIT_VALUES = 1 << 22,
};

struct pleat_name_entry {
  const char *name;
  pleat_value *value;
  UT_hash_handle hh;
};

struct pleat_symbol_entry {
  const char *name;
  UT_hash_handle hh;
};

struct pleat_hint_entry {
  const char *hint;
  size_t next; /* hint_<next> may be free; the numbers below it were taken when asked for */
  UT_hash_handle hh;
};

/* protobuf-c gives NULL for an absent string. */
static inline const char *pleat_text(const char *text) {
  return text != NULL ? text : "";
}
const char *pleat_normal_domain(const char *domain); /* "" for NULL and "ai.onnx" */

/* ---- graph.c: raw construction; NULL or false when out of memory or past a limit ---- */

pleat_graph *pleat_graph_new_root(const pleat_model *model);
pleat_graph *pleat_graph_new_subgraph(pleat_node *owner);
pleat_node *pleat_graph_new_node(pleat_graph *graph);                                /* not linked yet */
void pleat_graph_link_node(pleat_graph *graph, pleat_node *after, pleat_node *node); /* NULL: at the start */
pleat_value *pleat_graph_new_value(pleat_graph *graph, const char *name);            /* `name`: free, kept as is */
pleat_value *pleat_graph_find_here(const pleat_graph *graph, const char *name);      /* not the graphs around */
bool pleat_graph_rename(pleat_value *value, const char *name);                       /* `name`: free, kept as is */
void pleat_graph_forget_name(pleat_value *value);                                    /* it is removed */
const char *pleat_graph_unique_name(pleat_graph *graph, const char *hint);           /* in the whole root */
bool pleat_value_add_use(pleat_value *value, pleat_node *node, size_t index);
void pleat_value_drop_use(pleat_value *value, const pleat_node *node, size_t index);
void pleat_graph_touch(pleat_graph *graph); /* edited, and so are the graphs and owner nodes around it */
bool pleat_graph_own(pleat_graph *graph, pleat_tensor *tensor); /* takes the reference over when it succeeds */
const char *pleat_op_label(const char *name, const char *op_type, size_t index, char *buffer, size_t size);

/* Calls `visit` for each subgraph that the node's attributes hold. */
#define PLEAT_FOR_SUBGRAPHS(sub, node)                                                                                 \
  for (size_t attr_##sub = 0; attr_##sub < (node)->attr_count; attr_##sub++)                                           \
    for (pleat_graph *const *at_##sub = pleat_attr_graphs(&(node)->attrs[attr_##sub]),                                 \
                            *const *end_##sub = pleat_attr_graphs_end(&(node)->attrs[attr_##sub]), *sub = NULL;        \
         at_##sub != end_##sub && ((sub = *at_##sub), 1); at_##sub++)

static inline pleat_graph *const *pleat_attr_graphs(const pleat_attr *attr) {
  if (attr->type == PLEAT_ATTR_GRAPH && attr->graph != NULL) return &attr->graph;
  return attr->type == PLEAT_ATTR_GRAPHS ? attr->graphs : NULL;
}
static inline pleat_graph *const *pleat_attr_graphs_end(const pleat_attr *attr) {
  if (attr->type == PLEAT_ATTR_GRAPH && attr->graph != NULL) return &attr->graph + 1;
  return attr->type == PLEAT_ATTR_GRAPHS && attr->count != 0 ? attr->graphs + attr->count : pleat_attr_graphs(attr);
}

/* Whether an attribute exists in a version of its operator (ranges start and end where versions do). */
static inline bool pleat_op_attr_in_version(const pleat_op_attr *attr, const pleat_op_version *version) {
  return (attr->since == 0 || attr->since <= version->since) && (attr->until == 0 || version->since <= attr->until);
}

/* ---- constant.c ---- */

/* A message's data as a tensor of the graph: a descriptor over the message's own memory where that is possible, else a
 * heap tensor that the graph owns. */
pleat_status pleat_graph_tensor(pleat_graph *graph, const Onnx__TensorProto *message, const pleat_tensor **out_tensor,
                                pleat_error *error);
pleat_status pleat_graph_sparse_tensor(pleat_graph *graph, const Onnx__SparseTensorProto *message,
                                       const pleat_tensor **out_tensor, pleat_error *error);

#endif

/* The importer's state, shared by import.c, import_type.c, import_attr.c and function.c.
 *
 * A scope maps the names of one GraphProto or function body to values. It is apart from the graph's own name table,
 * because what a function body calls "x" is "call/x" once it is inlined. A frame says what attributes and opsets mean:
 * those of the model, or of one call of a function. */
#ifndef PLEAT_GRAPH_IMPORT_H
#define PLEAT_GRAPH_IMPORT_H

#include "graph/graph_private.h"

typedef struct pleat_frame pleat_frame;
typedef struct pleat_scope pleat_scope;

typedef struct pleat_scope_entry {
  const char *name;
  pleat_value *value; /* NULL: a function's input that the call leaves out */
  UT_hash_handle hh;
} pleat_scope_entry;

struct pleat_scope {
  pleat_scope *parent; /* lexically around it; NULL for the main graph and for function bodies */
  pleat_frame *frame;
  pleat_graph *graph;
  pleat_scope_entry *names;
  size_t node_count; /* what is being imported, to tell "later" from "nowhere" */
  Onnx__NodeProto *const *nodes;
};

typedef struct pleat_binding {
  const char *name;
  const Onnx__AttributeProto *proto; /* not itself a reference */
  pleat_scope *scope;                /* where its subgraphs' names mean something */
} pleat_binding;

struct pleat_frame {
  const pleat_frame *caller;           /* NULL for the model's */
  const Onnx__FunctionProto *function; /* NULL for the model's */
  const char *prefix;                  /* of the names of its nodes and values */
  size_t binding_count;
  pleat_binding *bindings;
  size_t output_count; /* the body's names for the values that the caller names otherwise */
  const char **outputs, **output_names;
};

typedef struct pleat_function_entry {
  const char *key;
  const Onnx__FunctionProto *function;
  size_t index; /* in the message */
  bool is_searched, reaches_norm;
  UT_hash_handle hh;
} pleat_function_entry;

typedef struct pleat_importer {
  const Onnx__ModelProto *message;
  pleat_graph *root;
  pleat_arena *scratch; /* scopes, frames: gone after the import */
  pleat_function_entry *functions;
  bool inline_functions, inline_norms; /* pleat_import_options */
  int graph_depth, function_depth;
  int inlined_nodes;
  pleat_error *error;
} pleat_importer;

/* ---- import.c ---- */

pleat_scope *pleat_scope_create(pleat_importer *imp, pleat_scope *parent, pleat_frame *frame, pleat_graph *graph);
void pleat_scope_clear(pleat_scope *scope); /* NULL is accepted */
bool pleat_scope_bind(pleat_importer *imp, pleat_scope *scope, const char *name, pleat_value *value);
pleat_scope_entry *pleat_scope_find(const pleat_scope *scope, const char *name); /* and the scopes around it */
pleat_scope_entry *pleat_scope_find_here(const pleat_scope *scope, const char *name);
/* The name in the graph of what the scope calls `name`; NULL when out of memory. */
const char *pleat_scope_graph_name(pleat_importer *imp, const pleat_scope *scope, const char *name);
/* A new value of the scope's graph; fails when the scope has the name already. */
pleat_status pleat_scope_define(pleat_importer *imp, pleat_scope *scope, const char *name, pleat_value **out_value);
int64_t pleat_frame_opset(const pleat_importer *imp, const pleat_frame *frame, const char *domain); /* 0: none */

pleat_status pleat_import_graph(pleat_importer *imp, const Onnx__GraphProto *message, pleat_scope *scope);
pleat_status pleat_import_nodes(pleat_importer *imp, pleat_scope *scope, Onnx__NodeProto *const *nodes, size_t count);
pleat_status pleat_import_new_node(pleat_importer *imp, pleat_scope *scope, pleat_node **out_node);
pleat_status pleat_import_subgraph(pleat_importer *imp, pleat_scope *scope, const Onnx__GraphProto *message,
                                   pleat_node *owner, pleat_graph **out_graph);
/* The values that a node names as its inputs; looks for why one is not there. */
pleat_status pleat_import_inputs(pleat_importer *imp, pleat_scope *scope, const Onnx__NodeProto *message,
                                 pleat_value ***out_inputs);

/* ---- import_type.c ---- */

/* Merges what a ValueInfoProto or an initializer says into the value. */
pleat_status pleat_import_value_info(pleat_importer *imp, pleat_value *value, const Onnx__ValueInfoProto *message);
pleat_status pleat_import_tensor_type(pleat_importer *imp, pleat_value *value, int32_t data_type, size_t rank,
                                      const int64_t *dims);

/* ---- import_attr.c ---- */

pleat_status pleat_import_attrs(pleat_importer *imp, pleat_scope *scope, const Onnx__NodeProto *message,
                                pleat_node *node);
/* Attributes, inputs and outputs against the operator's definition. */
pleat_status pleat_import_check_node(pleat_importer *imp, const pleat_node *node);

/* ---- function.c ---- */

pleat_status pleat_import_functions(pleat_importer *imp); /* fills imp->functions */
/* Whether the options want this call replaced by the body of its function. */
bool pleat_import_wants_inline(pleat_importer *imp, const Onnx__NodeProto *call);
const Onnx__FunctionProto *pleat_import_function(pleat_importer *imp, const Onnx__NodeProto *call);
pleat_status pleat_import_call(pleat_importer *imp, pleat_scope *scope, const Onnx__NodeProto *call,
                               const Onnx__FunctionProto *function, size_t index);
/* What a reference of the frame stands for; false when the call and the function give it no value. */
bool pleat_frame_resolve(const pleat_frame *frame, pleat_scope *scope, const Onnx__AttributeProto *message,
                         pleat_binding *out_binding);

#endif

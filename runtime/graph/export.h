/* The exporter's state, shared by export.c and export_node.c. */
#ifndef PLEAT_GRAPH_EXPORT_H
#define PLEAT_GRAPH_EXPORT_H

#include "graph/graph_private.h"

typedef struct pleat_exporter {
  const pleat_graph *graph; /* the root */
  pleat_model *model;       /* being made */
  size_t owned_capacity;
  pleat_error *error;
} pleat_exporter;

/* export.c */
pleat_status pleat_export_graph(pleat_exporter *ex, const pleat_graph *graph, Onnx__GraphProto **out_message);
char *pleat_export_text(pleat_exporter *ex, const char *text); /* NULL when out of memory */

/* export_node.c */
pleat_status pleat_export_node(pleat_exporter *ex, const pleat_node *node, Onnx__NodeProto **out_message);
pleat_status pleat_export_constant_node(pleat_exporter *ex, const pleat_value *value, Onnx__NodeProto **out_message);
/* The tensor's data is kept alive by the new model. */
pleat_status pleat_export_tensor(pleat_exporter *ex, const pleat_tensor *tensor, const char *name,
                                 Onnx__TensorProto **out_message);

/* export_function.c: leaves out the functions that were inlined and that nothing calls any more, and the opsets of
 * domains that only they were in. `message` has its final nodes. */
pleat_status pleat_export_functions(pleat_exporter *ex, Onnx__ModelProto *message);

#endif

/* Inference and evaluation of single nodes: what the graph-wide driver, the folding passes and the planner share. */
#ifndef PLEAT_GRAPH_INFER_H
#define PLEAT_GRAPH_INFER_H

#include "ops/ops.h"

enum {
  /* Tensors of at most this many elements are followed by value: large enough for shape arithmetic and box grids, small
   * enough to cost nothing. */
  PLEAT_LIMIT_FOLLOWED_ELEMENTS = 4096
};

/* Runs the operator's infer on one node. `outputs` (node->output_count of them) are initialised here. Errors name the
 * node. A node without definition leaves its outputs unknown. */
pleat_status pleat_node_infer(const pleat_node *node, const pleat_type *inputs, pleat_type *outputs,
                              pleat_error *error);

/* The same for a node with bodies (pleat_op_def.bodies), in two steps. First, what enters them: `out_bodies` gets one
 * place for each body, with the inputs' types, in the arena's memory. Then, with the types of the bodies' outputs set,
 * the node's own. `planning`: see pleat_infer. */
pleat_status pleat_node_enter(const pleat_node *node, const pleat_type *inputs, bool planning, pleat_arena *arena,
                              pleat_body_types **out_bodies, size_t *out_count, pleat_error *error);
pleat_status pleat_node_leave(const pleat_node *node, const pleat_type *inputs, bool planning, pleat_body_types *bodies,
                              pleat_type *outputs, pleat_error *error);
/* The inputs of a body that are no initializers: what its node gives it. Returns the count; `out_values` has room for
 * body->input_count. */
size_t pleat_body_inputs(const pleat_graph *body, pleat_value **out_values);
static inline bool pleat_node_has_bodies(const pleat_node *node) {
  return node->def != NULL && node->def->bodies != NULL;
}

/* Describes a known tensor as a type with data. */
pleat_type pleat_type_of_tensor(const pleat_tensor *tensor);

/* Computes one node from concrete inputs (NULL: absent) with its reference kernel: new heap tensors in `out_outputs`
 * (NULL for absent outputs). UNSUPPORTED when nothing runs it or its result cannot be known ahead (random). */
pleat_status pleat_node_evaluate(const pleat_node *node, const pleat_tensor *const *inputs, int threads,
                                 pleat_tensor **out_outputs, pleat_error *error);

/* Whether pleat_node_evaluate may run ahead of time: defined, deterministic, no subgraphs. */
bool pleat_node_is_pure(const pleat_node *node);

#endif

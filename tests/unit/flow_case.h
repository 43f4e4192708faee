/* Bodies of If, Loop and Scan, for the tests of running and of folding them, on top of model_builder.h. */
#ifndef PLEAT_TESTS_FLOW_CASE_H
#define PLEAT_TESTS_FLOW_CASE_H

#include "model_builder.h"

static inline void body_input(builder *b, Onnx__GraphProto *body, const char *name, pleat_dtype dtype,
                              const char *shape) {
  ADD(b, body->input, body->n_input, info_of(b, name, dtype, shape));
}
static inline void body_output(builder *b, Onnx__GraphProto *body, const char *name, pleat_dtype dtype) {
  ADD(b, body->output, body->n_output, info_of(b, name, dtype, "?"));
}

static inline void add_if(builder *b, Onnx__GraphProto *graph, const char *name, const char *condition,
                          const char *outputs, Onnx__GraphProto *then, Onnx__GraphProto *otherwise) {
  Onnx__NodeProto *node = build_node(b, graph, "If", name, condition, outputs);
  build_attr_graph(b, node, "then_branch", then);
  build_attr_graph(b, node, "else_branch", otherwise);
}

/* A branch of one node, named after its output. */
static inline Onnx__GraphProto *branch(builder *b, pleat_dtype dtype, const char *op, const char *inputs,
                                       const char *output) {
  Onnx__GraphProto *graph = build_graph(b, output);
  build_node(b, graph, op, output, inputs, output);
  body_output(b, graph, output, dtype);
  return graph;
}

static inline void add_loop(builder *b, Onnx__GraphProto *graph, const char *name, const char *inputs,
                            const char *outputs, Onnx__GraphProto *body) {
  build_attr_graph(b, build_node(b, graph, "Loop", name, inputs, outputs), "body", body);
}
/* Of the main graph, over its last input. */
static inline Onnx__NodeProto *add_scan(builder *b, const char *inputs, const char *outputs, Onnx__GraphProto *body) {
  Onnx__NodeProto *node = model_node(b, "Scan", "scan", inputs, outputs);
  build_attr_graph(b, node, "body", body);
  build_attr_int(b, node, "num_scan_inputs", 1);
  return node;
}

/* The body of a Loop whose condition is handed on, with one state "s". */
static inline Onnx__GraphProto *loop_body(builder *b, pleat_dtype dtype, const char *state_shape) {
  Onnx__GraphProto *body = build_graph(b, "body");
  body_input(b, body, "i", PLEAT_INT64, "");
  body_input(b, body, "go", PLEAT_BOOL, "");
  body_input(b, body, "s", dtype, state_shape);
  build_node(b, body, "Identity", "", "go", "go_out");
  body_output(b, body, "go_out", PLEAT_BOOL);
  return body;
}

#endif

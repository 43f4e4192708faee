/* Builds small models for the tests of runtime/graph: messages in an arena, packed and loaded like a file. Lists of
 * names are written "a,b,,d"; an empty name is an absent one. */
#ifndef PLEAT_TESTS_GRAPH_TESTING_H
#define PLEAT_TESTS_GRAPH_TESTING_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/graph_private.h"

enum { LIST_CAPACITY = 96 };

typedef struct builder {
  pleat_arena *arena;
  Onnx__ModelProto *model;
  Onnx__GraphProto *graph;
} builder;

#define NEW(b, type, init) (type *)build_init(pleat_arena_alloc((b)->arena, sizeof(type)), init)
#define ADD(b, list, count, item)                                                                                      \
  do {                                                                                                                 \
    if ((list) == NULL) (list) = pleat_arena_array((b)->arena, LIST_CAPACITY, sizeof *(list));                         \
    ck_assert_uint_lt((count), LIST_CAPACITY);                                                                         \
    (list)[(count)++] = (item);                                                                                        \
  } while (0)

static inline void *build_init(void *message, const ProtobufCMessageDescriptor *type) {
  protobuf_c_message_init(type, message);
  return message;
}

static inline char *build_text(builder *b, const char *text) {
  return pleat_arena_strdup(b->arena, text);
}

static inline size_t build_names(builder *b, const char *text, char ***out_names) {
  size_t count = 0;
  *out_names = NULL;
  if (text[0] == '\0') return 0;
  for (;;) {
    size_t length = strcspn(text, ",");
    ADD(b, *out_names, count, pleat_arena_strndup(b->arena, text, length));
    if (text[length] == '\0') return count;
    text += length + 1;
  }
}

static inline void build_opset(builder *b, const char *domain, int64_t version) {
  Onnx__OperatorSetIdProto *opset = NEW(b, Onnx__OperatorSetIdProto, &onnx__operator_set_id_proto__descriptor);
  opset->domain = build_text(b, domain);
  opset->has_version = true;
  opset->version = version;
  ADD(b, b->model->opset_import, b->model->n_opset_import, opset);
}

static inline Onnx__GraphProto *build_graph(builder *b, const char *name) {
  Onnx__GraphProto *graph = NEW(b, Onnx__GraphProto, &onnx__graph_proto__descriptor);
  graph->name = build_text(b, name);
  return graph;
}

/* opset 0: none is imported. */
static inline builder build_begin(int64_t ir_version, int64_t opset) {
  builder b = {.arena = pleat_arena_create()};
  b.model = NEW(&b, Onnx__ModelProto, &onnx__model_proto__descriptor);
  b.model->has_ir_version = true;
  b.model->ir_version = ir_version;
  b.model->graph = b.graph = build_graph(&b, "g");
  if (opset != 0) build_opset(&b, "", opset);
  return b;
}

static inline Onnx__NodeProto *build_node_message(builder *b, const char *op, const char *name, const char *inputs,
                                                  const char *outputs) {
  Onnx__NodeProto *node = NEW(b, Onnx__NodeProto, &onnx__node_proto__descriptor);
  node->op_type = build_text(b, op);
  node->name = build_text(b, name);
  node->n_input = build_names(b, inputs, &node->input);
  node->n_output = build_names(b, outputs, &node->output);
  return node;
}

static inline Onnx__NodeProto *build_node(builder *b, Onnx__GraphProto *graph, const char *op, const char *name,
                                          const char *inputs, const char *outputs) {
  Onnx__NodeProto *node = build_node_message(b, op, name, inputs, outputs);
  ADD(b, graph->node, graph->n_node, node);
  return node;
}

/* rank -1: without a shape; a negative dimension is the symbol "N". */
static inline Onnx__ValueInfoProto *build_info(builder *b, const char *name, pleat_dtype dtype, int rank,
                                               const int64_t *dims) {
  Onnx__ValueInfoProto *info = NEW(b, Onnx__ValueInfoProto, &onnx__value_info_proto__descriptor);
  info->name = build_text(b, name);
  info->type = NEW(b, Onnx__TypeProto, &onnx__type_proto__descriptor);
  info->type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
  info->type->tensor_type = NEW(b, Onnx__TypeProto__Tensor, &onnx__type_proto__tensor__descriptor);
  info->type->tensor_type->has_elem_type = true;
  info->type->tensor_type->elem_type = (int32_t)dtype;
  if (rank < 0) return info;
  Onnx__TensorShapeProto *shape = NEW(b, Onnx__TensorShapeProto, &onnx__tensor_shape_proto__descriptor);
  info->type->tensor_type->shape = shape;
  for (int i = 0; i < rank; i++) {
    Onnx__TensorShapeProto__Dimension *dim =
        NEW(b, Onnx__TensorShapeProto__Dimension, &onnx__tensor_shape_proto__dimension__descriptor);
    if (dims[i] < 0) {
      dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
      dim->dim_param = build_text(b, "N");
    } else {
      dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
      dim->dim_value = dims[i];
    }
    ADD(b, shape->dim, shape->n_dim, dim);
  }
  return info;
}

static inline void build_input(builder *b, Onnx__GraphProto *graph, const char *name) {
  ADD(b, graph->input, graph->n_input, build_info(b, name, PLEAT_FLOAT, 1, (int64_t[]){2}));
}
static inline void build_output(builder *b, Onnx__GraphProto *graph, const char *name) {
  ADD(b, graph->output, graph->n_output, build_info(b, name, PLEAT_FLOAT, -1, NULL));
}
static inline void build_value_info(builder *b, Onnx__GraphProto *graph, const char *name) {
  ADD(b, graph->value_info, graph->n_value_info, build_info(b, name, PLEAT_FLOAT, 1, (int64_t[]){2}));
}

/* float[2] {first, first + 1}. */
static inline Onnx__TensorProto *build_tensor(builder *b, const char *name, float first) {
  Onnx__TensorProto *tensor = NEW(b, Onnx__TensorProto, &onnx__tensor_proto__descriptor);
  tensor->name = build_text(b, name);
  tensor->has_data_type = true;
  tensor->data_type = PLEAT_FLOAT;
  ADD(b, tensor->dims, tensor->n_dims, 2);
  ADD(b, tensor->float_data, tensor->n_float_data, first);
  ADD(b, tensor->float_data, tensor->n_float_data, first + 1);
  return tensor;
}
static inline void build_init_float(builder *b, Onnx__GraphProto *graph, const char *name, float first) {
  ADD(b, graph->initializer, graph->n_initializer, build_tensor(b, name, first));
}

static inline Onnx__AttributeProto *build_attr(builder *b, Onnx__NodeProto *node, const char *name,
                                               pleat_attr_type type) {
  Onnx__AttributeProto *attr = NEW(b, Onnx__AttributeProto, &onnx__attribute_proto__descriptor);
  attr->name = build_text(b, name);
  attr->has_type = type != PLEAT_ATTR_UNDEFINED;
  attr->type = (Onnx__AttributeProto__AttributeType)type;
  if (node != NULL) ADD(b, node->attribute, node->n_attribute, attr);
  return attr;
}
static inline void build_attr_int(builder *b, Onnx__NodeProto *node, const char *name, int64_t value) {
  Onnx__AttributeProto *attr = build_attr(b, node, name, PLEAT_ATTR_INT);
  attr->has_i = true;
  attr->i = value;
}
static inline void build_attr_float(builder *b, Onnx__NodeProto *node, const char *name, float value) {
  Onnx__AttributeProto *attr = build_attr(b, node, name, PLEAT_ATTR_FLOAT);
  attr->has_f = true;
  attr->f = value;
}
static inline void build_attr_ref(builder *b, Onnx__NodeProto *node, const char *name, pleat_attr_type type,
                                  const char *ref) {
  build_attr(b, node, name, type)->ref_attr_name = build_text(b, ref);
}
static inline void build_attr_graph(builder *b, Onnx__NodeProto *node, const char *name, Onnx__GraphProto *graph) {
  build_attr(b, node, name, PLEAT_ATTR_GRAPH)->g = graph;
}

static inline Onnx__FunctionProto *build_function(builder *b, const char *name, const char *inputs,
                                                  const char *outputs) {
  Onnx__FunctionProto *function = NEW(b, Onnx__FunctionProto, &onnx__function_proto__descriptor);
  function->name = build_text(b, name);
  function->domain = build_text(b, "local");
  function->n_input = build_names(b, inputs, &function->input);
  function->n_output = build_names(b, outputs, &function->output);
  Onnx__OperatorSetIdProto *opset = NEW(b, Onnx__OperatorSetIdProto, &onnx__operator_set_id_proto__descriptor);
  opset->domain = build_text(b, "");
  opset->has_version = true;
  opset->version = 18;
  ADD(b, function->opset_import, function->n_opset_import, opset);
  ADD(b, b->model->functions, b->model->n_functions, function);
  return function;
}
static inline Onnx__NodeProto *build_body(builder *b, Onnx__FunctionProto *function, const char *op, const char *name,
                                          const char *inputs, const char *outputs) {
  Onnx__NodeProto *node = build_node_message(b, op, name, inputs, outputs);
  ADD(b, function->node, function->n_node, node);
  return node;
}
static inline Onnx__NodeProto *build_call(builder *b, Onnx__GraphProto *graph, const char *op, const char *name,
                                          const char *inputs, const char *outputs) {
  Onnx__NodeProto *node = build_node(b, graph, op, name, inputs, outputs);
  node->domain = build_text(b, "local");
  return node;
}

/* Packs, loads, and frees the builder. */
static inline pleat_status build_end(builder *b, pleat_model **out_model, pleat_error *error) {
  void *data = NULL;
  size_t size = 0;
  ck_assert_int_eq(pleat_proto_pack(&b->model->base, &data, &size, NULL), PLEAT_OK);
  pleat_status status = pleat_model_load_memory(data, size, NULL, out_model, error);
  free(data);
  pleat_arena_destroy(b->arena);
  return status;
}

#define ASSERT_OK(expression)                                                                                          \
  do {                                                                                                                 \
    pleat_error error_ = PLEAT_ERROR_INIT, *error = &error_;                                                           \
    char text_[2048];                                                                                                  \
    pleat_status status_ = (expression);                                                                               \
    ck_assert_msg(status_ == PLEAT_OK, "%s", pleat_error_format(error, text_, sizeof text_));                          \
  } while (0)

static inline pleat_model *build_model(builder *b) {
  pleat_model *model = NULL;
  ASSERT_OK(build_end(b, &model, error));
  return model;
}

static inline pleat_graph *import(const pleat_model *model, bool inline_functions) {
  pleat_graph *graph = NULL;
  ASSERT_OK(pleat_graph_import(model, &(pleat_import_options){.inline_functions = inline_functions}, &graph, error));
  ASSERT_OK(pleat_graph_verify(graph, error));
  return graph;
}

static inline void assert_verified(const pleat_graph *graph) {
  ASSERT_OK(pleat_graph_verify(graph, error));
}

/* Loading must fail with that status, at that node, and a message with `words` in it. */
#define assert_rejected(b, status, node, words) assert_rejected_at((b), (status), (node), (words), __LINE__)
static inline void assert_rejected_at(builder *b, pleat_status status, const char *node, const char *words, int line) {
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_model *model = NULL;
  pleat_status found = build_end(b, &model, &error);
  ck_assert_msg(found == status, "line %d: status %d: %s", line, (int)found, error.message);
  ck_assert_ptr_null(model);
  ck_assert_msg(strstr(error.message, words) != NULL, "line %d: '%s' is not in: %s", line, words, error.message);
  ck_assert_str_eq(error.node, node);
}

static inline pleat_node *node_named(const pleat_graph *graph, const char *name) {
  PLEAT_FOR_NODES(node, graph) {
    if (strcmp(node->name, name) == 0) return node;
  }
  ck_abort_msg("no node '%s'", name);
  return NULL;
}

static inline pleat_value *value_named(const pleat_graph *graph, const char *name) {
  pleat_value *value = pleat_graph_find(graph, name);
  ck_assert_msg(value != NULL, "no value '%s'", name);
  return value;
}

/* x -> Relu "a" -> t -> Relu "b" -> y */
static inline builder build_chain(int64_t ir_version) {
  builder b = build_begin(ir_version, 18);
  build_input(&b, b.graph, "x");
  build_node(&b, b.graph, "Relu", "a", "x", "t");
  build_node(&b, b.graph, "Relu", "b", "t", "y");
  build_output(&b, b.graph, "y");
  return b;
}

/* If(cond) { Relu(t) } else { Relu(t) }: both branches read the outer value `captured`. */
static inline void build_if(builder *b, const char *name, const char *captured, const char *output) {
  Onnx__NodeProto *node = build_node(b, b->graph, "If", name, "cond", output);
  const char *branches[] = {"then_branch", "else_branch"};
  for (int i = 0; i < 2; i++) {
    Onnx__GraphProto *branch = build_graph(b, branches[i]);
    build_node(b, branch, "Relu", branches[i], captured, i == 0 ? "then_out" : "else_out");
    build_output(b, branch, i == 0 ? "then_out" : "else_out");
    build_attr_graph(b, node, branches[i], branch);
  }
}

/* x -> Relu "a" -> t; If "if" (captures t) -> y */
static inline builder build_if_model(void) {
  builder b = build_begin(8, 18);
  build_input(&b, b.graph, "x");
  ADD(&b, b.graph->input, b.graph->n_input, build_info(&b, "cond", PLEAT_BOOL, 0, NULL));
  build_node(&b, b.graph, "Relu", "a", "x", "t");
  build_if(&b, "if", "t", "y");
  build_output(&b, b.graph, "y");
  return b;
}

static inline pleat_graph *branch_of(const pleat_node *node, const char *name) {
  const pleat_attr *attr = pleat_node_attr(node, name);
  ck_assert(attr != NULL && attr->type == PLEAT_ATTR_GRAPH);
  return attr->graph;
}

#endif

/* Import: names and order, initializers by IR version, types, attributes, limits. */
#include "graph_testing.h"

START_TEST(imports_chain) {
  builder b = build_chain(8);
  pleat_model *model = build_model(&b);
  pleat_graph *graph = import(model, false);
  ck_assert_uint_eq(graph->node_count, 2);
  ck_assert_uint_eq(graph->input_count, 1);
  ck_assert_uint_eq(graph->output_count, 1);
  pleat_value *t = value_named(graph, "t");
  ck_assert_ptr_eq(t->producer, node_named(graph, "a"));
  ck_assert_uint_eq(t->use_count, 1);
  ck_assert_ptr_eq(t->uses[0].node, node_named(graph, "b"));
  ck_assert_ptr_nonnull(node_named(graph, "a")->def);
  ck_assert_int_eq(value_named(graph, "x")->dtype, PLEAT_FLOAT);
  ck_assert_int_eq(value_named(graph, "x")->shape.dims[0].value, 2);
  ck_assert(!graph->edited);
  pleat_graph_destroy(graph);
  pleat_model_release(model);
}
END_TEST

START_TEST(absent_inputs_and_outer_uses) {
  builder b = build_if_model();
  build_node(&b, b.graph, "Clip", "clip", "y,,max", "z");
  build_init_float(&b, b.graph, "max", 1);
  b.graph->initializer[0]->n_dims = 0;
  b.graph->initializer[0]->n_float_data = 1;
  pleat_model *model = build_model(&b);
  pleat_graph *graph = import(model, false);
  const pleat_node *clip = node_named(graph, "clip");
  ck_assert_uint_eq(clip->input_count, 3);
  ck_assert_ptr_null(clip->inputs[1]);
  ck_assert_ptr_eq(clip->inputs[2], value_named(graph, "max"));
  const pleat_value *t = value_named(graph, "t");
  ck_assert_uint_eq(t->use_count, 2);
  pleat_graph *branch = branch_of(node_named(graph, "if"), "then_branch");
  ck_assert_ptr_eq(t->uses[0].node->graph, branch);
  ck_assert_ptr_eq(branch->parent, graph);
  ck_assert_ptr_eq(pleat_graph_find(branch, "t"), t);
  ck_assert_ptr_null(pleat_graph_find(graph, "then_out"));
  pleat_graph_destroy(graph);
  pleat_model_release(model);
}
END_TEST

START_TEST(subgraph_may_shadow) {
  builder b = build_if_model();
  Onnx__GraphProto *branch = b.graph->node[1]->attribute[0]->g;
  build_node(&b, branch, "Relu", "", "then_out", "x");
  pleat_model *model = build_model(&b);
  pleat_graph *graph = import(model, false);
  pleat_graph *sub = branch_of(node_named(graph, "if"), "then_branch");
  ck_assert_ptr_ne(pleat_graph_find(sub, "x"), pleat_graph_find(graph, "x"));
  pleat_graph_destroy(graph);
  pleat_model_release(model);
}
END_TEST

START_TEST(rejects_bad_names) {
  builder b = build_chain(8);
  b.graph->node[0]->input[0] = build_text(&b, "nowhere");
  assert_rejected(&b, PLEAT_MALFORMED_MODEL, "a", "input 'nowhere' is produced by nothing before it");

  b = build_chain(8);
  Onnx__NodeProto *first = b.graph->node[0];
  b.graph->node[0] = b.graph->node[1];
  b.graph->node[1] = first;
  assert_rejected(&b, PLEAT_MALFORMED_MODEL, "b", "only later by node 'a'");

  b = build_chain(8);
  b.graph->node[0]->input[0] = build_text(&b, "t");
  assert_rejected(&b, PLEAT_MALFORMED_MODEL, "a", "the node's own output");

  b = build_chain(8);
  b.graph->node[0]->input[0] = build_text(&b, "y");
  assert_rejected(&b, PLEAT_MALFORMED_MODEL, "a", "cycle");

  b = build_chain(8);
  b.graph->node[1]->output[0] = build_text(&b, "t");
  assert_rejected(&b, PLEAT_MALFORMED_MODEL, "b", "defined twice");

  b = build_chain(8);
  build_input(&b, b.graph, "x");
  assert_rejected(&b, PLEAT_MALFORMED_MODEL, "", "defined twice");

  b = build_chain(8);
  build_output(&b, b.graph, "nothing");
  assert_rejected(&b, PLEAT_MALFORMED_MODEL, "", "graph output 'nothing'");

  b = build_if_model();
  b.graph->node[1]->attribute[0]->g->output[0]->name = build_text(&b, "t");
  assert_rejected(&b, PLEAT_MALFORMED_MODEL, "if", "Identity");

  b = build_if_model(); /* a value of one branch is not known in the other */
  b.graph->node[1]->attribute[1]->g->node[0]->input[0] = build_text(&b, "then_out");
  assert_rejected(&b, PLEAT_MALFORMED_MODEL, "else_branch", "produced by nothing");

  b = build_begin(8, 18);
  b.model->graph = NULL;
  assert_rejected(&b, PLEAT_MALFORMED_MODEL, "", "no graph");
}
END_TEST

START_TEST(unnamed_node_has_label) {
  builder b = build_chain(8);
  b.graph->node[1]->name = build_text(&b, "");
  b.graph->node[1]->input[0] = build_text(&b, "nowhere");
  assert_rejected(&b, PLEAT_MALFORMED_MODEL, "Relu#1", "nowhere");
}
END_TEST

static pleat_graph *import_with_listed_initializer(int64_t ir_version, pleat_model **out_model) {
  builder b = build_begin(ir_version, 18);
  build_input(&b, b.graph, "x");
  build_input(&b, b.graph, "w");
  build_init_float(&b, b.graph, "w", 5);
  build_node(&b, b.graph, "Add", "add", "x,w", "y");
  build_output(&b, b.graph, "y");
  *out_model = build_model(&b);
  return import(*out_model, false);
}

START_TEST(initializer_as_input) {
  for (int64_t ir_version = 3; ir_version <= 4; ir_version++) {
    pleat_model *model = NULL;
    const pleat_tensor *tensor = NULL;
    pleat_graph *graph = import_with_listed_initializer(ir_version, &model);
    pleat_value *w = value_named(graph, "w");
    bool overridable = ir_version >= 4;
    ck_assert_uint_eq(graph->input_count, 2);
    ck_assert_ptr_eq(graph->inputs[1], w);
    ck_assert(w->is_initializer);
    ck_assert(w->is_input == overridable);
    ck_assert(pleat_value_is_constant(w) == !overridable);
    for (int i = 0; i < 2; i++) { /* also after the default was materialised */
      ASSERT_OK(pleat_value_constant(w, &tensor, error));
      ck_assert((tensor == NULL) == overridable);
      ASSERT_OK(pleat_value_initial(w, &tensor, error));
      ck_assert_ptr_nonnull(tensor);
      ck_assert(((const float *)tensor->data)[0] == 5.0f);
    }
    pleat_graph_destroy(graph);
    pleat_model_release(model);
  }
}
END_TEST

START_TEST(sparse_initializer) {
  builder b = build_chain(8);
  Onnx__SparseTensorProto *sparse = NEW(&b, Onnx__SparseTensorProto, &onnx__sparse_tensor_proto__descriptor);
  sparse->values = build_tensor(&b, "s", 3);
  sparse->indices = NEW(&b, Onnx__TensorProto, &onnx__tensor_proto__descriptor);
  sparse->indices->has_data_type = true;
  sparse->indices->data_type = PLEAT_INT64;
  ADD(&b, sparse->indices->dims, sparse->indices->n_dims, 2);
  ADD(&b, sparse->indices->int64_data, sparse->indices->n_int64_data, 1);
  ADD(&b, sparse->indices->int64_data, sparse->indices->n_int64_data, 3);
  ADD(&b, sparse->dims, sparse->n_dims, 5);
  ADD(&b, b.graph->sparse_initializer, b.graph->n_sparse_initializer, sparse);
  pleat_model *model = build_model(&b);
  pleat_graph *graph = import(model, false);
  const pleat_tensor *tensor = NULL;
  ASSERT_OK(pleat_value_constant(value_named(graph, "s"), &tensor, error));
  ck_assert_ptr_nonnull(tensor);
  ck_assert_uint_eq(tensor->count, 5);
  const float expected[] = {0, 3, 0, 4, 0};
  ck_assert_mem_eq(tensor->data, expected, sizeof expected);
  pleat_graph_destroy(graph);
  pleat_model_release(model);
}
END_TEST

/* Raw bytes at any alignment, and typed fields, give the same aligned data. */
START_TEST(initializer_storage) {
  for (int raw = 0; raw < 2; raw++) {
    builder b = build_begin(8, 18);
    static const char *const names[] = {"w", "w1", "w12", "w123", "w1234"};
    float data[] = {7, 8};
    for (size_t i = 0; i < 5; i++) {
      build_init_float(&b, b.graph, names[i], 7);
      if (!raw) continue;
      Onnx__TensorProto *tensor = b.graph->initializer[i];
      tensor->n_float_data = 0;
      tensor->has_raw_data = true;
      tensor->raw_data = (ProtobufCBinaryData){.len = sizeof data, .data = (uint8_t *)data};
    }
    pleat_model *model = build_model(&b);
    pleat_graph *graph = import(model, false);
    for (size_t i = 0; i < 5; i++) {
      const pleat_tensor *tensor = NULL, *again = NULL;
      ASSERT_OK(pleat_value_constant(value_named(graph, names[i]), &tensor, error));
      ASSERT_OK(pleat_value_constant(value_named(graph, names[i]), &again, error));
      ck_assert_ptr_eq(tensor, again);
      ck_assert_uint_eq((uintptr_t)tensor->data % 16, 0);
      ck_assert_mem_eq(tensor->data, data, sizeof data);
    }
    pleat_graph_destroy(graph);
    pleat_model_release(model);
  }
}
END_TEST

START_TEST(initializer_of_wrong_size) {
  builder b = build_begin(8, 18);
  build_init_float(&b, b.graph, "w", 7);
  b.graph->initializer[0]->dims[0] = 3;
  pleat_model *model = build_model(&b); /* data is not looked at before it is needed */
  pleat_graph *graph = import(model, false);
  const pleat_tensor *tensor = NULL;
  pleat_error error = PLEAT_ERROR_INIT;
  ck_assert_int_eq(pleat_value_constant(value_named(graph, "w"), &tensor, &error), PLEAT_MALFORMED_MODEL);
  ck_assert_str_eq(error.tensor, "w");
  ck_assert_ptr_null(tensor);
  pleat_graph_destroy(graph);
  pleat_model_release(model);

  b = build_begin(8, 18);
  build_init_float(&b, b.graph, "w", 7);
  b.graph->initializer[0]->dims[0] = -2;
  assert_rejected(&b, PLEAT_MALFORMED_MODEL, "", "negative dimension");

  b = build_begin(8, 18);
  build_init_float(&b, b.graph, "w", 7);
  build_value_info(&b, b.graph, "w");
  b.graph->value_info[0]->type->tensor_type->elem_type = PLEAT_INT64;
  assert_rejected(&b, PLEAT_MALFORMED_MODEL, "", "float in one place and int64 in another");

  b = build_chain(8);
  b.graph->input[0]->type->tensor_type->elem_type = 99;
  assert_rejected(&b, PLEAT_MALFORMED_MODEL, "", "data type 99");
}
END_TEST

START_TEST(constant_nodes) {
  builder b = build_begin(8, 18);
  build_attr(&b, build_node(&b, b.graph, "Constant", "", "", "t"), "value", PLEAT_ATTR_TENSOR)->t =
      build_tensor(&b, "", 1);
  build_attr_float(&b, build_node(&b, b.graph, "Constant", "", "", "f"), "value_float", 2.5f);
  build_attr_int(&b, build_node(&b, b.graph, "Constant", "", "", "i"), "value_int", -7);
  Onnx__AttributeProto *ints =
      build_attr(&b, build_node(&b, b.graph, "Constant", "", "", "is"), "value_ints", PLEAT_ATTR_INTS);
  ADD(&b, ints->ints, ints->n_ints, 4);
  ADD(&b, ints->ints, ints->n_ints, 5);
  Onnx__AttributeProto *string =
      build_attr(&b, build_node(&b, b.graph, "Constant", "", "", "s"), "value_string", PLEAT_ATTR_STRING);
  string->has_s = true;
  string->s = (ProtobufCBinaryData){.len = 3, .data = (uint8_t *)"abc"};
  build_node(&b, b.graph, "Relu", "", "f", "computed");
  pleat_model *model = build_model(&b);
  pleat_graph *graph = import(model, false);
  const pleat_tensor *tensor = NULL;
  ASSERT_OK(pleat_value_constant(value_named(graph, "t"), &tensor, error));
  ck_assert_int_eq(tensor->dims[0], 2);
  ck_assert(((const float *)tensor->data)[1] == 2.0f);
  ASSERT_OK(pleat_value_constant(value_named(graph, "f"), &tensor, error));
  ck_assert_int_eq(tensor->rank, 0);
  ck_assert(((const float *)tensor->data)[0] == 2.5f);
  ASSERT_OK(pleat_value_constant(value_named(graph, "i"), &tensor, error));
  ck_assert_int_eq(tensor->dtype, PLEAT_INT64);
  ck_assert_int_eq(((const int64_t *)tensor->data)[0], -7);
  ASSERT_OK(pleat_value_constant(value_named(graph, "is"), &tensor, error));
  ck_assert_int_eq(tensor->dims[0], 2);
  ck_assert_int_eq(((const int64_t *)tensor->data)[1], 5);
  ASSERT_OK(pleat_value_constant(value_named(graph, "s"), &tensor, error));
  ck_assert_int_eq(tensor->dtype, PLEAT_STRING);
  ck_assert_uint_eq(((const pleat_string *)tensor->data)[0].size, 3);
  ASSERT_OK(pleat_value_constant(value_named(graph, "computed"), &tensor, error));
  ck_assert_ptr_null(tensor);
  ck_assert(!pleat_value_is_constant(value_named(graph, "computed")));
  pleat_graph_destroy(graph);
  pleat_model_release(model);
}
END_TEST

START_TEST(attributes) {
  builder b = build_chain(2);
  Onnx__NodeProto *concat = build_node(&b, b.graph, "Concat", "concat", "y,y", "z");
  build_attr_int(&b, concat, "axis", 0);
  concat->attribute[0]->has_type = false; /* as files of IR version 1 do */
  build_attr_float(&b, concat, "unheard_of", 1.5f);
  Onnx__AttributeProto *mixed = build_attr(&b, concat, "mixed", PLEAT_ATTR_INTS);
  Onnx__AttributeProto *fours = build_attr(&b, concat, "fours", PLEAT_ATTR_INTS);
  for (int64_t i = 3; i < 6; i++) ADD(&b, mixed->ints, mixed->n_ints, i < 5 ? 4 : 5);
  for (int i = 0; i < 3; i++) ADD(&b, fours->ints, fours->n_ints, 4);
  build_node(&b, b.graph, "LeakyRelu", "leaky", "z", "l");
  pleat_model *model = build_model(&b);
  pleat_graph *graph = import(model, false);
  const pleat_node *node = node_named(graph, "concat");
  ck_assert_int_eq(pleat_node_attr(node, "axis")->type, PLEAT_ATTR_INT);
  ck_assert(pleat_attr_present(node, "axis"));
  ck_assert(pleat_attr_float(node, "unheard_of") == 1.5f);
  ck_assert_int_eq(pleat_attr_int(node, "unheard_of"), 0);
  ck_assert(!pleat_attr_ints_all(node, "mixed", 4) && !pleat_attr_ints_all(node, "mixed", 5));
  ck_assert(pleat_attr_ints_all(node, "fours", 4) && !pleat_attr_ints_all(node, "fours", 5));
  const pleat_node *leaky_node = node_named(graph, "leaky");
  ck_assert(pleat_attr_ints_all(leaky_node, "fours", 7)); /* absent */
  ck_assert(!pleat_attr_present(leaky_node, "alpha"));
  ck_assert(pleat_attr_float(leaky_node, "alpha") == 0.01f); /* the definition's default */
  const int64_t *ints = NULL;
  ck_assert_uint_eq(pleat_attr_ints(leaky_node, "alpha", &ints), 0);
  ck_assert_str_eq(pleat_attr_string(leaky_node, "nothing"), "");
  pleat_graph_destroy(graph);
  pleat_model_release(model);
}
END_TEST

START_TEST(rejects_bad_nodes) {
  builder b = build_chain(8);
  build_attr_float(&b, build_node(&b, b.graph, "Concat", "concat", "y,y", "z"), "axis", 0);
  assert_rejected(&b, PLEAT_MALFORMED_MODEL, "concat", "attribute 'axis' must be INT, found FLOAT");

  b = build_chain(8);
  build_node(&b, b.graph, "Cast", "cast", "y", "z");
  assert_rejected(&b, PLEAT_MALFORMED_MODEL, "cast", "attribute 'to' is required but missing");

  b = build_begin(3, 5); /* the attribute's type depends on the opset */
  build_input(&b, b.graph, "x");
  build_attr_int(&b, build_node(&b, b.graph, "Cast", "cast", "x", "z"), "to", 1);
  assert_rejected(&b, PLEAT_MALFORMED_MODEL, "cast", "attribute 'to' must be STRING, found INT");

  b = build_chain(8);
  Onnx__NodeProto *twice = build_node(&b, b.graph, "Concat", "concat", "y,y", "z");
  build_attr_int(&b, twice, "axis", 0);
  build_attr_int(&b, twice, "axis", 0);
  assert_rejected(&b, PLEAT_MALFORMED_MODEL, "concat", "given twice");

  b = build_chain(8);
  build_node(&b, b.graph, "Relu", "r", "y,y", "z");
  assert_rejected(&b, PLEAT_MALFORMED_MODEL, "r", "takes 1 inputs, found 2");

  b = build_chain(8);
  build_node(&b, b.graph, "Add", "r", "y", "z");
  assert_rejected(&b, PLEAT_MALFORMED_MODEL, "r", "takes 2 inputs, found 1");

  b = build_chain(8);
  build_node(&b, b.graph, "Add", "r", "y,", "z");
  assert_rejected(&b, PLEAT_MALFORMED_MODEL, "r", "input 1 is required");

  b = build_chain(8);
  build_attr_ref(&b, b.graph->node[0], "alpha", PLEAT_ATTR_FLOAT, "beta");
  assert_rejected(&b, PLEAT_MALFORMED_MODEL, "a", "in no function");

  b = build_chain(8);
  build_attr(&b, b.graph->node[0], "body", PLEAT_ATTR_GRAPH);
  assert_rejected(&b, PLEAT_MALFORMED_MODEL, "a", "says that it is a GRAPH but holds none");

  b = build_chain(8);
  build_opset(&b, "other", 0);
  assert_rejected(&b, PLEAT_MALFORMED_MODEL, "", "at least 1");
}
END_TEST

START_TEST(opsets) {
  builder b = build_chain(3);
  b.model->n_opset_import = 0;
  build_node(&b, b.graph, "Fancy", "fancy", "y", "z")->domain = build_text(&b, "com.example");
  build_node(&b, b.graph, "Relu", "relu", "y", "w")->domain = build_text(&b, "ai.onnx");
  pleat_model *model = build_model(&b);
  pleat_graph *graph = import(model, false);
  ck_assert_int_eq(pleat_graph_opset(graph, ""), 1);
  ck_assert_int_eq(pleat_graph_opset(graph, "ai.onnx"), 1);
  ck_assert_int_eq(pleat_graph_opset(graph, "com.example"), 0);
  ck_assert_ptr_null(node_named(graph, "fancy")->def);
  ck_assert_int_eq(node_named(graph, "relu")->version->since, 1);
  ck_assert(pleat_node_is(node_named(graph, "relu"), "Relu"));
  ck_assert(!pleat_node_is(node_named(graph, "fancy"), "Fancy"));
  const char *const *list = NULL;
  ck_assert_uint_eq(pleat_graph_unsupported(graph, &list), 1);
  ck_assert_str_eq(list[0], "com.example.Fancy (not imported): node fancy");
  pleat_graph_destroy(graph);
  pleat_model_release(model);
}
END_TEST

START_TEST(names_the_tensor) {
  builder b = build_chain(8);
  b.graph->node[1]->output[0] = build_text(&b, "t");
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_model *model = NULL;
  ck_assert_int_eq(build_end(&b, &model, &error), PLEAT_MALFORMED_MODEL);
  ck_assert_str_eq(error.tensor, "t");
  ck_assert_str_eq(error.node, "b");
}
END_TEST

static builder build_nested(int depth) {
  builder b = build_begin(8, 18);
  Onnx__GraphProto *graph = b.graph;
  for (int i = 0; i < depth; i++) {
    Onnx__GraphProto *inner = build_graph(&b, "inner");
    build_attr_graph(&b, build_node(&b, graph, "Nest", "", "", "o"), "body", inner);
    graph = inner;
  }
  return b;
}

START_TEST(nesting_limit) {
  builder b = build_nested(PLEAT_LIMIT_GRAPH_DEPTH);
  pleat_model_release(build_model(&b));
  b = build_nested(PLEAT_LIMIT_GRAPH_DEPTH + 1);
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_model *model = NULL;
  ck_assert_int_eq(build_end(&b, &model, &error), PLEAT_MALFORMED_MODEL);
  ck_assert_ptr_nonnull(strstr(error.message, "nested deeper"));
}
END_TEST

START_TEST(rank_limit) {
  int64_t dims[PLEAT_MAX_RANK + 1] = {0};
  builder b = build_chain(8);
  ADD(&b, b.graph->value_info, b.graph->n_value_info, build_info(&b, "t", PLEAT_FLOAT, PLEAT_MAX_RANK + 1, dims));
  assert_rejected(&b, PLEAT_UNSUPPORTED, "", "17 dimensions");
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("graph import");
  TCase *tcase = tcase_create("import");
  tcase_add_test(tcase, imports_chain);
  tcase_add_test(tcase, absent_inputs_and_outer_uses);
  tcase_add_test(tcase, subgraph_may_shadow);
  tcase_add_test(tcase, rejects_bad_names);
  tcase_add_test(tcase, unnamed_node_has_label);
  tcase_add_test(tcase, initializer_as_input);
  tcase_add_test(tcase, sparse_initializer);
  tcase_add_test(tcase, initializer_storage);
  tcase_add_test(tcase, initializer_of_wrong_size);
  tcase_add_test(tcase, constant_nodes);
  tcase_add_test(tcase, attributes);
  tcase_add_test(tcase, rejects_bad_nodes);
  tcase_add_test(tcase, opsets);
  tcase_add_test(tcase, names_the_tensor);
  tcase_add_test(tcase, nesting_limit);
  tcase_add_test(tcase, rank_limit);
  suite_add_tcase(suite, tcase);
  return suite;
}

/* Inference over whole graphs: symbols that survive, shapes that are computed, declarations that are wrong. */
#include "model_builder.h"

#define ASSERT_SHAPE(graph, name, text)                                                                                \
  do {                                                                                                                 \
    char buffer_[256];                                                                                                 \
    ck_assert_str_eq(pleat_shape_text(&value_named((graph), (name))->shape, buffer_, sizeof buffer_), (text));         \
  } while (0)

/* Keeps the model as long as its graph. */
typedef struct inference {
  pleat_model *model;
  pleat_graph *graph;
} inference;

static inference infer(builder *b) {
  inference i = {.model = build_model(b)};
  i.graph = import(i.model, false);
  ASSERT_OK(pleat_graph_infer(i.graph, error));
  return i;
}
static void end(inference *i) {
  pleat_graph_destroy(i->graph);
  pleat_model_release(i->model);
}

START_TEST(symbols_through_a_network) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "batch,2,8,8");
  noise_init(&b, "w", PLEAT_FLOAT, "3,2,3,3", -1, 1);
  noise_init(&b, "m", PLEAT_FLOAT, "18,5", -1, 1);
  model_node(&b, "Conv", "", "x,w", "conv");
  attr_ints(&b, model_node(&b, "MaxPool", "", "conv", "pool"), "kernel_shape", "2,2");
  attr_ints(&b, b.graph->node[1], "strides", "4,2");
  model_node(&b, "Relu", "", "pool", "relu");
  build_attr_int(&b, model_node(&b, "Flatten", "", "relu", "flat"), "axis", 2);
  build_attr_int(&b, model_node(&b, "Concat", "", "relu,relu", "cat"), "axis", 1);
  attr_ints(&b, model_node(&b, "Transpose", "", "cat", "turned"), "perm", "1,0,2,3");
  INTS_INIT(&b, "rows", "2", 0, -1);
  model_node(&b, "Reshape", "", "relu,rows", "kept");
  model_node(&b, "MatMul", "", "kept,m", "product");
  model_output(&b, "product", PLEAT_FLOAT, "?");
  inference i = infer(&b);
  ASSERT_SHAPE(i.graph, "conv", "[batch,3,6,6]");
  ASSERT_SHAPE(i.graph, "pool", "[batch,3,2,3]");
  ASSERT_SHAPE(i.graph, "cat", "[batch,6,2,3]");
  ASSERT_SHAPE(i.graph, "turned", "[6,batch,2,3]");
  ASSERT_SHAPE(i.graph, "kept", "[batch,18]");
  ASSERT_SHAPE(i.graph, "product", "[batch,5]");
  ck_assert_int_eq(value_named(i.graph, "product")->dtype, PLEAT_FLOAT);
  end(&i);
}
END_TEST

/* What PyTorch writes for x.view(x.size(0), -1): Shape, Gather, Unsqueeze, Concat, Reshape. */
START_TEST(shape_gather_concat_reshape) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "4,3,5");
  model_init(&b, "zero", PLEAT_INT64, "", (double[]){0});
  INTS_INIT(&b, "axes", "1", 0);
  INTS_INIT(&b, "rest", "1", -1);
  model_node(&b, "Shape", "", "x", "shape");
  model_node(&b, "Gather", "", "shape,zero", "n");
  model_node(&b, "Unsqueeze", "", "n,axes", "n1");
  build_attr_int(&b, model_node(&b, "Concat", "", "n1,rest", "wanted"), "axis", 0);
  model_node(&b, "Reshape", "", "x,wanted", "y");
  model_output(&b, "y", PLEAT_FLOAT, "?");
  inference i = infer(&b);
  ASSERT_SHAPE(i.graph, "shape", "[3]");
  ASSERT_SHAPE(i.graph, "n", "[]");
  ASSERT_SHAPE(i.graph, "wanted", "[2]");
  ASSERT_SHAPE(i.graph, "y", "[4,15]");
  end(&i);
}
END_TEST

/* The same with a symbol: the rank is known, and nothing wrong is claimed. */
START_TEST(computed_shape_of_a_symbol) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "n,3,5");
  INTS_INIT(&b, "first", "1", 0);
  INTS_INIT(&b, "rest", "1", 15);
  model_node(&b, "Shape", "", "x", "shape");
  model_node(&b, "Gather", "", "shape,first", "n1");
  build_attr_int(&b, model_node(&b, "Concat", "", "n1,rest", "wanted"), "axis", 0);
  model_node(&b, "Reshape", "", "x,wanted", "y");
  model_output(&b, "y", PLEAT_FLOAT, "?");
  inference i = infer(&b);
  const pleat_shape *shape = &value_named(i.graph, "y")->shape;
  ck_assert_int_eq(shape->rank, 2);
  ck_assert_int_eq(shape->dims[0].value, -1);
  ck_assert(shape->dims[1].value == 15 || shape->dims[1].value == -1);
  end(&i);
}
END_TEST

/* Constants are followed through nodes: 2 * 12 elements do fit in [8, 1, ?], but not in [8, 5, ?]. */
START_TEST(constants_are_followed) {
  for (int fits = 0; fits < 2; fits++) {
    builder b = build_begin(8, MODEL_OPSET);
    pleat_error error = PLEAT_ERROR_INIT;
    model_input(&b, "x", PLEAT_FLOAT, "2,12");
    INTS_INIT(&b, "k", "2", 4, fits ? 1 : 5);
    INTS_INIT(&b, "rest", "1", -1);
    constant_node(&b, "c", PLEAT_INT64, "2", (double[]){2, 1});
    model_node(&b, "Mul", "", "k,c", "sizes");
    model_node(&b, "ConstantOfShape", "", "sizes", "zeros");
    build_attr_int(&b, model_node(&b, "Concat", "", "sizes,rest", "wanted"), "axis", 0);
    model_node(&b, "Reshape", "reshape", "x,wanted", "y");
    model_output(&b, "y", PLEAT_FLOAT, "?");
    model_output(&b, "zeros", PLEAT_FLOAT, "?");
    pleat_model *model = build_model(&b);
    pleat_graph *graph = import(model, false);
    ck_assert_int_eq(pleat_graph_infer(graph, &error), fits ? PLEAT_OK : PLEAT_SHAPE_MISMATCH);
    ck_assert_str_eq(error.node, fits ? "" : "reshape");
    ASSERT_SHAPE(graph, "zeros", fits ? "[8,1]" : "[8,5]");
    if (fits) ASSERT_SHAPE(graph, "y", "[8,1,3]");
    pleat_graph_destroy(graph);
    pleat_model_release(model);
  }
}
END_TEST

START_TEST(wrong_declared_shapes_are_ignored) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "2,3");
  model_node(&b, "Relu", "", "x", "r");
  model_node(&b, "Neg", "", "r", "y");
  model_value_info(&b, "r", PLEAT_FLOAT, "2,4");
  model_output(&b, "y", PLEAT_FLOAT, "7");
  pleat_model *model = build_model(&b);
  pleat_graph *graph = import(model, false);
  ASSERT_OK(pleat_graph_infer(graph, error));
  ASSERT_SHAPE(graph, "r", "[2,3]");
  ASSERT_SHAPE(graph, "y", "[2,3]");
  pleat_graph_destroy(graph);
  pleat_session *session = session_with(model, (pleat_session_options){0});
  pleat_tensor *y = run_one(session, FLOATS("2,3", 1, -2, 3, -4, 5, -6));
  ASSERT_TENSOR(y, "float[2,3]", -1, 0, -3, 0, -5, 0);
  pleat_tensor_release(y);
  pleat_session_destroy(session);
  pleat_model_release(model);
}
END_TEST

/* A declaration adds what the operators cannot tell. */
START_TEST(declared_shapes_complete_the_rest) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "?");
  model_node(&b, "Relu", "", "x", "r");
  model_node(&b, "NoSuchOp", "", "r", "o");
  model_node(&b, "Identity", "", "o", "y");
  model_value_info(&b, "r", PLEAT_FLOAT, "n,3");
  model_value_info(&b, "o", PLEAT_INT8, "4,n");
  model_output(&b, "y", PLEAT_INT8, "?");
  inference i = infer(&b);
  ASSERT_SHAPE(i.graph, "r", "[n,3]");
  ASSERT_SHAPE(i.graph, "y", "[4,n]");
  ck_assert_int_eq(value_named(i.graph, "y")->dtype, PLEAT_INT8);
  end(&i);
}
END_TEST

START_TEST(contradicting_type_is_an_error) {
  builder b = build_begin(8, MODEL_OPSET);
  pleat_error error = PLEAT_ERROR_INIT;
  model_input(&b, "x", PLEAT_FLOAT, "2,3");
  model_node(&b, "Relu", "the_relu", "x", "r");
  model_node(&b, "Neg", "", "r", "y");
  model_value_info(&b, "r", PLEAT_INT32, "2,3");
  model_output(&b, "y", PLEAT_FLOAT, "?");
  pleat_model *model = build_model(&b);
  pleat_graph *graph = import(model, false);
  pleat_status status = pleat_graph_infer(graph, &error);
  assert_error(&error, status, PLEAT_SHAPE_MISMATCH, "r", "declared as int32, but the operator gives float");
  ck_assert_str_eq(error.node, "the_relu");
  pleat_graph_destroy(graph);
  pleat_model_release(model);
}
END_TEST

START_TEST(types_of_outputs_are_found) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT16, "n,3");
  model_node(&b, "Shape", "", "x", "s");
  model_node(&b, "Greater", "", "x,x", "g");
  build_attr_int(&b, model_node(&b, "Cast", "", "g", "c"), "to", PLEAT_DOUBLE);
  model_node(&b, "NonZero", "", "c", "z");
  model_node(&b, "TopK", "", "x,k", "v,i");
  INTS_INIT(&b, "k", "1", 2);
  model_output(&b, "z", PLEAT_INT64, "?");
  inference i = infer(&b);
  ck_assert_int_eq(value_named(i.graph, "s")->dtype, PLEAT_INT64);
  ck_assert_int_eq(value_named(i.graph, "g")->dtype, PLEAT_BOOL);
  ck_assert_int_eq(value_named(i.graph, "c")->dtype, PLEAT_DOUBLE);
  ck_assert_int_eq(value_named(i.graph, "v")->dtype, PLEAT_FLOAT16);
  ck_assert_int_eq(value_named(i.graph, "i")->dtype, PLEAT_INT64);
  ASSERT_SHAPE(i.graph, "g", "[n,3]");
  ASSERT_SHAPE(i.graph, "v", "[n,2]");
  ck_assert_int_eq(value_named(i.graph, "z")->shape.rank, 2);
  end(&i);
}
END_TEST

/* Values inside of branches know what is outside. */
START_TEST(subgraphs_are_inferred) {
  builder b = build_if_model();
  inference i = infer(&b);
  const pleat_graph *branch = branch_of(node_named(i.graph, "if"), "then_branch");
  char text[64];
  ck_assert_str_eq(pleat_shape_text(&branch->outputs[0]->shape, text, sizeof text), "[2]");
  ck_assert_int_eq(branch->outputs[0]->dtype, PLEAT_FLOAT);
  end(&i);
}
END_TEST

START_TEST(multiply_adds) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "1,2,6,6");
  model_input(&b, "s", PLEAT_FLOAT, "n,2,6,6");
  noise_init(&b, "w", PLEAT_FLOAT, "3,2,3,3", -1, 1);
  model_node(&b, "Conv", "known", "x,w", "a");
  model_node(&b, "Conv", "unknown", "s,w", "b");
  model_node(&b, "Relu", "none", "a", "c");
  model_output(&b, "b", PLEAT_FLOAT, "?");
  inference i = infer(&b);
  ck_assert_uint_eq(pleat_node_macs(node_named(i.graph, "known")), 3 * 4 * 4 * 2 * 3 * 3);
  ck_assert(pleat_node_macs(node_named(i.graph, "unknown")) == UINT64_MAX);
  ck_assert_uint_eq(pleat_node_macs(node_named(i.graph, "none")), 0);
  end(&i);
}
END_TEST

/* ---- evaluation ---- */

START_TEST(values_that_can_be_computed) {
  builder b = build_begin(8, MODEL_OPSET);
  const pleat_tensor *data = NULL;
  model_input(&b, "x", PLEAT_FLOAT, "3");
  model_input(&b, "default", PLEAT_FLOAT, "3");
  model_init(&b, "default", PLEAT_FLOAT, "3", (double[]){9, 9, 9});
  model_init(&b, "k", PLEAT_FLOAT, "3", (double[]){1, -2, 3});
  model_node(&b, "Neg", "", "k", "a");
  model_node(&b, "Add", "", "a,k", "zero");
  model_node(&b, "Add", "", "a,x", "of_input");
  model_node(&b, "Add", "", "a,default", "of_default");
  model_node(&b, "Concat", "", "a,zero", "long");
  build_attr_int(&b, b.graph->node[4], "axis", 0);
  model_output(&b, "of_input", PLEAT_FLOAT, "?");
  inference i = infer(&b);
  ck_assert(!pleat_value_is_constant(value_named(i.graph, "zero")));
  ASSERT_OK(pleat_value_compute(value_named(i.graph, "zero"), 12, &data, error));
  ASSERT_TENSOR(data, "float[3]", 0, 0, 0);
  ck_assert(pleat_value_is_constant(value_named(i.graph, "zero")));
  ck_assert(pleat_value_is_constant(value_named(i.graph, "a")));
  ASSERT_OK(pleat_value_compute(value_named(i.graph, "of_input"), SIZE_MAX, &data, error));
  ck_assert_ptr_null(data);
  ASSERT_OK(pleat_value_compute(value_named(i.graph, "of_default"), SIZE_MAX, &data, error));
  ck_assert_ptr_null(data);
  ASSERT_OK(pleat_value_compute(value_named(i.graph, "long"), 23, &data, error));
  ck_assert_ptr_null(data); /* larger than the limit */
  ASSERT_OK(pleat_value_compute(value_named(i.graph, "long"), 24, &data, error));
  ASSERT_TENSOR(data, "float[6]", -1, 2, -3, 0, 0, 0);
  end(&i);
}
END_TEST

/* A node that fails is not constant; deep chains are not a deep stack. */
START_TEST(values_that_cannot_be_computed) {
  builder b = build_begin(8, MODEL_OPSET);
  const pleat_tensor *data = NULL;
  model_init(&b, "k", PLEAT_FLOAT, "3", (double[]){1, 2, 3});
  INTS_INIT(&b, "far", "1", 7);
  model_node(&b, "Gather", "gather", "k,far", "bad");
  model_node(&b, "NoSuchOp", "", "k", "unknown");
  model_node(&b, "Neg", "", "unknown", "above");
  model_output(&b, "bad", PLEAT_FLOAT, "?");
  model_output(&b, "above", PLEAT_FLOAT, "?");
  inference i = infer(&b);
  pleat_tensor *results[1] = {NULL};
  pleat_error error = PLEAT_ERROR_INIT;
  ASSERT_OK(pleat_value_compute(value_named(i.graph, "bad"), SIZE_MAX, &data, error));
  ck_assert_ptr_null(data);
  ASSERT_OK(pleat_value_compute(value_named(i.graph, "above"), SIZE_MAX, &data, error));
  ck_assert_ptr_null(data);
  ck_assert_int_ne(pleat_graph_evaluate(node_named(i.graph, "gather"), results, &error), PLEAT_OK);
  ck_assert_str_eq(error.node, "gather");
  ck_assert_ptr_null(results[0]);
  end(&i);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("graph_infer");
  add_tests(suite, "shapes",
            (const TTest *const[]){symbols_through_a_network, shape_gather_concat_reshape, computed_shape_of_a_symbol,
                                   constants_are_followed, types_of_outputs_are_found, subgraphs_are_inferred,
                                   multiply_adds, NULL});
  add_tests(suite, "declarations",
            (const TTest *const[]){wrong_declared_shapes_are_ignored, declared_shapes_complete_the_rest,
                                   contradicting_type_is_an_error, NULL});
  add_tests(suite, "evaluation",
            (const TTest *const[]){values_that_can_be_computed, values_that_cannot_be_computed, NULL});
  return suite;
}

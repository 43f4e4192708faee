/* runtime/graph/promote.c and the float64 session: which values become double, what stays float behind casts, and that
 * the result runs. */
#include "core/small_float.h"
#include "model_builder.h"
#include "ops/ops.h"

static pleat_graph *promoted(const pleat_model *model) {
  pleat_graph *graph = import(model, true);
  ASSERT_OK(pleat_graph_infer(graph, error));
  ASSERT_OK(pleat_graph_promote(graph, error));
  assert_verified(graph);
  ASSERT_OK(pleat_graph_infer(graph, error));
  return graph;
}

static void assert_dtype(const pleat_graph *graph, const char *name, pleat_dtype dtype) {
  const pleat_dtype found = value_named(graph, name)->dtype;
  ck_assert_msg(found == dtype, "'%s' is %s, expected %s", name, pleat_dtype_name(found), pleat_dtype_name(dtype));
}

static const pleat_tensor *constant_of(const pleat_graph *graph, const char *name) {
  const pleat_tensor *tensor = NULL;
  ASSERT_OK(pleat_value_constant(value_named(graph, name), &tensor, error));
  ck_assert_msg(tensor != NULL, "'%s' is not constant", name);
  return tensor;
}

/* ---- values ---- */

START_TEST(every_float_is_double) {
  builder b = build_begin(8, MODEL_OPSET);
  const pleat_dtype narrow[] = {PLEAT_FLOAT, PLEAT_FLOAT16, PLEAT_BFLOAT16};
  for (int i = 0; i < 3; i++) {
    char x[8], w[8], y[8], inputs[16];
    snprintf(x, sizeof x, "x%d", i);
    snprintf(w, sizeof w, "w%d", i);
    snprintf(y, sizeof y, "y%d", i);
    snprintf(inputs, sizeof inputs, "%s,%s", x, w);
    model_input(&b, x, narrow[i], "2");
    model_init(&b, w, narrow[i], "2", (const double[]){0.1, -3});
    model_node(&b, "Mul", "", inputs, y);
    model_output(&b, y, narrow[i], "2");
  }
  pleat_model *model = build_model(&b);
  pleat_graph *graph = promoted(model);
  for (int i = 0; i < 3; i++) {
    char name[8];
    snprintf(name, sizeof name, "x%d", i);
    assert_dtype(graph, name, PLEAT_DOUBLE);
    snprintf(name, sizeof name, "y%d", i);
    assert_dtype(graph, name, PLEAT_DOUBLE);
    snprintf(name, sizeof name, "w%d", i);
    assert_dtype(graph, name, PLEAT_DOUBLE);
    const pleat_tensor *w = constant_of(graph, name);
    ck_assert_int_eq(w->dtype, PLEAT_DOUBLE);
    uint8_t rounded[4]; /* the weight is what the file has, not the number that was rounded into it */
    pleat_store_f64(narrow[i], rounded, 0, 0.1);
    ck_assert_double_eq(((const double *)w->data)[0], pleat_load_f64(narrow[i], rounded, 0));
    ck_assert_double_eq(((const double *)w->data)[1], -3);
  }
  pleat_graph_destroy(graph);
  pleat_model_release(model);
}
END_TEST

START_TEST(other_types_stay) {
  const pleat_dtype others[] = {PLEAT_DOUBLE, PLEAT_INT64, PLEAT_UINT8, PLEAT_BOOL, PLEAT_FLOAT8E4M3FN};
  builder b = build_begin(9, 19);
  for (int i = 0; i < 5; i++) {
    char x[8], y[8];
    snprintf(x, sizeof x, "x%d", i);
    snprintf(y, sizeof y, "y%d", i);
    model_input(&b, x, others[i], "2");
    model_node(&b, "Identity", "", x, y);
    model_output(&b, y, others[i], "2");
  }
  INTS_INIT(&b, "ints", "2", 7, 8);
  model_node(&b, "Identity", "", "ints", "z");
  model_output(&b, "z", PLEAT_INT64, "2");
  pleat_model *model = build_model(&b);
  pleat_graph *graph = promoted(model);
  for (int i = 0; i < 5; i++) {
    char name[8];
    snprintf(name, sizeof name, "y%d", i);
    assert_dtype(graph, name, others[i]);
  }
  assert_dtype(graph, "ints", PLEAT_INT64);
  ck_assert_int_eq(constant_of(graph, "ints")->dtype, PLEAT_INT64);
  pleat_graph_destroy(graph);
  pleat_model_release(model);
}
END_TEST

/* An initializer that a caller may override is not constant, but its default is widened too. */
START_TEST(overridable_initializers) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "2");
  model_input(&b, "w", PLEAT_FLOAT, "2");
  model_init(&b, "w", PLEAT_FLOAT, "2", (const double[]){2, 3});
  model_node(&b, "Mul", "", "x,w", "y");
  model_output(&b, "y", PLEAT_FLOAT, "2");
  pleat_session *session = session_from(&b, (pleat_session_options){.float64 = true});
  pleat_tensor *inputs[] = {FLOATS("2", 0.5, 0.25), NULL}, *output = NULL;
  run_session(session, inputs, &output);
  ASSERT_TENSOR(output, "double[2]", 1, 0.75);
  pleat_tensor_release(output);
  pleat_tensor *given[] = {FLOATS("2", 0.5, 0.25), FLOATS("2", 4, 4)};
  run_session(session, given, &output);
  ASSERT_TENSOR(output, "double[2]", 2, 1);
  pleat_tensor_release(output);
  pleat_session_destroy(session);
}
END_TEST

/* ---- constants in nodes ---- */

START_TEST(constant_nodes) {
  builder b = build_begin(8, MODEL_OPSET);
  constant_node(&b, "tensor", PLEAT_FLOAT16, "2", (const double[]){1, 2});
  build_attr_float(&b, model_node(&b, "Constant", "", "", "scalar"), "value_float", 0.1f);
  Onnx__AttributeProto *floats =
      build_attr(&b, model_node(&b, "Constant", "", "", "list"), "value_floats", PLEAT_ATTR_FLOATS);
  ADD(&b, floats->floats, floats->n_floats, 3.0f);
  ADD(&b, floats->floats, floats->n_floats, 4.0f);
  build_attr_int(&b, model_node(&b, "Constant", "", "", "number"), "value_int", 5);
  pleat_model *model = build_model(&b);
  pleat_graph *graph = promoted(model);
  ASSERT_TENSOR(constant_of(graph, "tensor"), "double[2]", 1, 2);
  ASSERT_TENSOR(constant_of(graph, "scalar"), "double[]", (double)0.1f);
  ASSERT_TENSOR(constant_of(graph, "list"), "double[2]", 3, 4);
  ASSERT_TENSOR(constant_of(graph, "number"), "int64[]", 5);
  PLEAT_FOR_NODES(node, graph) { /* the node says the same, whoever evaluates it */
    pleat_tensor *results[1] = {NULL};
    ASSERT_OK(pleat_graph_evaluate(node, results, error));
    ck_assert_int_eq(results[0]->dtype, node->outputs[0]->dtype);
    pleat_tensor_release(results[0]);
  }
  pleat_graph_destroy(graph);
  pleat_model_release(model);
}
END_TEST

START_TEST(constant_of_shape) {
  builder b = build_begin(8, MODEL_OPSET);
  INTS_INIT(&b, "shape", "1", 2);
  model_node(&b, "ConstantOfShape", "", "shape", "zeros");
  Onnx__NodeProto *half = model_node(&b, "ConstantOfShape", "", "shape", "halves");
  build_attr(&b, half, "value", PLEAT_ATTR_TENSOR)->t =
      tensor_message(&b, "", PLEAT_FLOAT16, "1", (const double[]){0.5});
  Onnx__NodeProto *ints = model_node(&b, "ConstantOfShape", "", "shape", "ints");
  build_attr(&b, ints, "value", PLEAT_ATTR_TENSOR)->t = tensor_message(&b, "", PLEAT_INT64, "1", (const double[]){7});
  model_output(&b, "zeros", PLEAT_FLOAT, "2");
  model_output(&b, "halves", PLEAT_FLOAT16, "2");
  model_output(&b, "ints", PLEAT_INT64, "2");
  pleat_session *session = session_from(&b, (pleat_session_options){.float64 = true});
  pleat_tensor *outputs[3];
  run_session(session, NULL, outputs);
  ASSERT_TENSOR(outputs[0], "double[2]", 0, 0);
  ASSERT_TENSOR(outputs[1], "double[2]", 0.5, 0.5);
  ASSERT_TENSOR(outputs[2], "int64[2]", 7, 7);
  for (int i = 0; i < 3; i++) pleat_tensor_release(outputs[i]);
  pleat_session_destroy(session);
}
END_TEST

/* ---- attributes that name types ---- */

START_TEST(casts) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "2");
  build_attr_int(&b, model_node(&b, "Cast", "half", "x", "h"), "to", PLEAT_FLOAT16);
  build_attr_int(&b, model_node(&b, "Cast", "int", "x", "i"), "to", PLEAT_INT64);
  build_attr_int(&b, model_node(&b, "Cast", "back", "i", "f"), "to", PLEAT_FLOAT);
  model_output(&b, "h", PLEAT_FLOAT16, "2");
  model_output(&b, "f", PLEAT_FLOAT, "2");
  pleat_session *session = session_from(&b, (pleat_session_options){.float64 = true});
  pleat_tensor *input = FLOATS("2", 0.1, 2.75), *outputs[2];
  run_session(session, &input, outputs);
  ASSERT_TENSOR(outputs[0], "double[2]", (double)0.1f, 2.75); /* not rounded to float16 */
  ASSERT_TENSOR(outputs[1], "double[2]", 0, 2);
  for (int i = 0; i < 2; i++) pleat_tensor_release(outputs[i]);
  pleat_session_destroy(session);
}
END_TEST

START_TEST(casts_of_old_opsets) {
  builder b = build_begin(3, 5);
  model_input(&b, "x", PLEAT_DOUBLE, "2");
  attr_text(&b, model_node(&b, "Cast", "narrow", "x", "f"), "to", "FLOAT");
  attr_text(&b, model_node(&b, "Cast", "int", "x", "i"), "to", "INT32");
  model_output(&b, "f", PLEAT_FLOAT, "2");
  model_output(&b, "i", PLEAT_INT32, "2");
  pleat_session *session = session_from(&b, (pleat_session_options){.float64 = true});
  pleat_tensor *input = make_tensor(PLEAT_DOUBLE, "2", (const double[]){0.1, 2.75}), *outputs[2];
  run_session(session, &input, outputs);
  ASSERT_TENSOR(outputs[0], "double[2]", 0.1, 2.75);
  ASSERT_TENSOR(outputs[1], "int32[2]", 0, 2);
  for (int i = 0; i < 2; i++) pleat_tensor_release(outputs[i]);
  pleat_session_destroy(session);
}
END_TEST

/* Operators here need not be registered: promotion goes by their names. */
static const struct {
  const char *op, *attr;
  int64_t given, expected; /* given -1: absent; expected -1: still absent */
} type_attrs[] = {
    {"EyeLike", "dtype", PLEAT_FLOAT, PLEAT_DOUBLE},
    {"EyeLike", "dtype", PLEAT_INT64, PLEAT_INT64},
    {"EyeLike", "dtype", -1, -1},
    {"RandomNormal", "dtype", -1, PLEAT_DOUBLE},
    {"RandomUniform", "dtype", PLEAT_FLOAT16, PLEAT_DOUBLE},
    {"RandomNormalLike", "dtype", -1, -1},
    {"RandomUniformLike", "dtype", PLEAT_FLOAT, PLEAT_DOUBLE},
    {"Bernoulli", "dtype", PLEAT_BFLOAT16, PLEAT_DOUBLE},
    {"SequenceEmpty", "dtype", -1, PLEAT_DOUBLE},
    {"SequenceEmpty", "dtype", PLEAT_INT32, PLEAT_INT32},
    {"HannWindow", "output_datatype", -1, PLEAT_DOUBLE},
    {"DequantizeLinear", "output_dtype", PLEAT_FLOAT16, PLEAT_FLOAT},
};

START_TEST(attributes_that_name_types) {
  pleat_graph *graph = NULL;
  builder b = build_begin(8, 23);
  model_input(&b, "x", PLEAT_INT64, "2,2");
  Onnx__NodeProto *node = model_node(&b, type_attrs[_i].op, "node", "x", "y");
  if (type_attrs[_i].given >= 0) build_attr_int(&b, node, type_attrs[_i].attr, type_attrs[_i].given);
  if (strcmp(type_attrs[_i].op, "RandomNormal") == 0 || strcmp(type_attrs[_i].op, "RandomUniform") == 0) {
    node->n_input = 0;
    attr_ints(&b, node, "shape", "2");
  }
  if (strcmp(type_attrs[_i].op, "SequenceEmpty") == 0) node->n_input = 0;
  if (strcmp(type_attrs[_i].op, "DequantizeLinear") == 0) {
    model_input(&b, "s", PLEAT_FLOAT, "");
    node->n_input = build_names(&b, "x,s", &node->input);
  }
  pleat_model *model = build_model(&b);
  graph = import(model, true);
  ASSERT_OK(pleat_graph_promote(graph, error));
  const pleat_attr *attr = pleat_node_attr(node_named(graph, "node"), type_attrs[_i].attr);
  ck_assert_int_eq(attr != NULL ? attr->i : -1, type_attrs[_i].expected);
  pleat_graph_destroy(graph);
  pleat_model_release(model);
}
END_TEST

/* The statistics that LayerNormalization hands out have the type of stash_type, float by default. */
START_TEST(layer_normalization_statistics) {
  builder b = build_begin(8, 17);
  model_input(&b, "x", PLEAT_FLOAT16, "2,4");
  model_init(&b, "s", PLEAT_FLOAT16, "4", (const double[]){1, 1, 1, 1});
  model_node(&b, "LayerNormalization", "", "x,s,", "y,mean");
  model_output(&b, "y", PLEAT_FLOAT16, "2,4");
  model_output(&b, "mean", PLEAT_FLOAT, "2,1");
  pleat_session *session = session_from(&b, (pleat_session_options){.float64 = true});
  pleat_tensor *outputs[2], *input = make_tensor(PLEAT_FLOAT16, "2,4", (const double[]){1, 2, 3, 4, 0, 0, 0, 1});
  run_session(session, &input, outputs);
  ASSERT_TENSOR(outputs[1], "double[2,1]", 2.5, 0.25);
  ck_assert_int_eq(outputs[0]->dtype, PLEAT_DOUBLE);
  for (int i = 0; i < 2; i++) pleat_tensor_release(outputs[i]);
  pleat_session_destroy(session);
}
END_TEST

/* ---- inputs and outputs that are float by specification ---- */

static const struct {
  const char *op;
  int64_t opset;
  unsigned input_count, narrow_inputs, output_count, narrow_outputs;
} exceptions[] = {
    {"DequantizeLinear", 19, 2, 1u << 1, 1, 1u << 0},
    {"DynamicQuantizeLinear", 13, 1, 1u << 0, 3, 1u << 1},
    {"MelWeightMatrix", 17, 5, 3u << 3, 1, 0},
    {"NonMaxSuppression", 11, 5, 0x1b, 1, 0},
    {"QLinearConv", 13, 8, 0x52, 1, 0},
    {"QLinearMatMul", 13, 8, 0x52, 1, 0},
    {"QuantizeLinear", 13, 2, 0x3, 1, 0},
    {"TfIdfVectorizer", 13, 1, 0, 1, 1u << 0},
};

static bool is_cast_to(const pleat_node *node, pleat_dtype dtype) {
  return node != NULL && pleat_node_is(node, "Cast") && pleat_attr_int(node, "to") == dtype;
}

/* Every input and output of the node is declared float, whatever the operator says of it: casts must be exactly where
 * the table has them. */
START_TEST(float_only_inputs_and_outputs) {
  static const char *const inputs[] = {"a", "b", "c", "d", "e", "f", "g", "h"}, *const outputs[] = {"p", "q", "r"};
  char in[64] = "", out[64] = "";
  builder b = build_begin(9, exceptions[_i].opset);
  for (unsigned i = 0; i < exceptions[_i].input_count; i++) {
    model_input(&b, inputs[i], PLEAT_FLOAT, "1");
    snprintf(in + strlen(in), sizeof in - strlen(in), "%s%s", i > 0 ? "," : "", inputs[i]);
  }
  for (unsigned i = 0; i < exceptions[_i].output_count; i++) {
    model_value_info(&b, outputs[i], PLEAT_FLOAT, "1");
    snprintf(out + strlen(out), sizeof out - strlen(out), "%s%s", i > 0 ? "," : "", outputs[i]);
  }
  model_node(&b, exceptions[_i].op, "node", in, out);
  pleat_model *model = build_model(&b);
  pleat_graph *graph = import(model, true);
  ASSERT_OK(pleat_graph_promote(graph, error));
  assert_verified(graph);
  const pleat_node *node = node_named(graph, "node");
  for (unsigned i = 0; i < exceptions[_i].input_count; i++) {
    bool narrow = (exceptions[_i].narrow_inputs >> i & 1) != 0;
    ck_assert_msg(is_cast_to(node->inputs[i]->producer, PLEAT_FLOAT) == narrow, "input %u", i);
    ck_assert_int_eq(node->inputs[i]->dtype, narrow ? PLEAT_FLOAT : PLEAT_DOUBLE);
  }
  for (unsigned i = 0; i < exceptions[_i].output_count; i++) {
    bool narrow = (exceptions[_i].narrow_outputs >> i & 1) != 0;
    const pleat_value *value = value_named(graph, outputs[i]);
    ck_assert_int_eq(value->dtype, PLEAT_DOUBLE);
    ck_assert_int_eq(is_cast_to(value->producer, PLEAT_DOUBLE), narrow);
    ck_assert_int_eq(node->outputs[i]->dtype, narrow ? PLEAT_FLOAT : PLEAT_DOUBLE);
  }
  pleat_graph_destroy(graph);
  pleat_model_release(model);
}
END_TEST

/* Resize and Upsample by version: where the scales are, from initializers and computed ones. */
static const struct {
  const char *op;
  int64_t opset;
  const char *inputs;
  pleat_dtype roi;
} resizes[] = {
    {"Upsample", 9, "x,s", PLEAT_UNDEFINED},        {"Resize", 10, "x,s", PLEAT_UNDEFINED},
    {"Resize", 11, "x,roi,s", PLEAT_FLOAT},         {"Resize", 13, "x,,s", PLEAT_UNDEFINED},
    {"Resize", 18, "x,roi,s", PLEAT_FLOAT16},       {"Upsample", 9, "x,computed", PLEAT_UNDEFINED},
    {"Resize", 13, "x,,computed", PLEAT_UNDEFINED},
};

START_TEST(scales_of_resize) {
  builder b = build_begin(8, resizes[_i].opset);
  model_input(&b, "x", PLEAT_FLOAT, "1,1,2,2");
  model_init(&b, "s", PLEAT_FLOAT, "4", (const double[]){1, 1, 1, 2});
  if (resizes[_i].roi != PLEAT_UNDEFINED) model_init(&b, "roi", resizes[_i].roi, "0", NULL);
  model_init(&b, "half", PLEAT_FLOAT, "4", (const double[]){0.5, 0.5, 0.5, 1});
  model_node(&b, "Add", "sum", "half,half", "computed");
  model_node(&b, resizes[_i].op, "resize", resizes[_i].inputs, "y");
  model_output(&b, "y", PLEAT_FLOAT, "1,1,2,4");
  pleat_session *session = session_from(&b, (pleat_session_options){.float64 = true});
  pleat_tensor *y = run_one(session, FLOATS("1,1,2,2", 0.1, 2, 3, 4));
  ASSERT_TENSOR(y, "double[1,1,2,4]", (double)0.1f, (double)0.1f, 2, 2, 3, 3, 4, 4);
  pleat_tensor_release(y);
  pleat_session_destroy(session);
}
END_TEST

/* An operator whose version does not know double at all (made up here: Relu-14 for float) runs in float as a whole. */
START_TEST(an_operator_without_double) {
  static const pleat_op_version no_double = {14, 1, 1, 1, 1, PLEAT_M_F32 | PLEAT_M(PLEAT_FLOAT16), 0};
  builder b = build_begin(8, 14);
  model_input(&b, "x", PLEAT_FLOAT, "2");
  model_node(&b, "Relu", "relu", "x", "y");
  model_output(&b, "y", PLEAT_FLOAT, "2");
  pleat_model *model = build_model(&b);
  pleat_graph *graph = import(model, true);
  node_named(graph, "relu")->version = &no_double;
  ASSERT_OK(pleat_graph_infer(graph, error));
  ASSERT_OK(pleat_graph_promote(graph, error));
  assert_verified(graph);
  const pleat_node *relu = node_named(graph, "relu");
  ck_assert(is_cast_to(relu->inputs[0]->producer, PLEAT_FLOAT));
  ck_assert(is_cast_to(value_named(graph, "y")->producer, PLEAT_DOUBLE));
  ck_assert_int_eq(relu->outputs[0]->dtype, PLEAT_FLOAT);
  assert_dtype(graph, "y", PLEAT_DOUBLE);
  ck_assert_ptr_eq(graph->outputs[0], value_named(graph, "y"));
  pleat_graph_destroy(graph);
  pleat_model_release(model);
}
END_TEST

/* ---- subgraphs ---- */

START_TEST(subgraphs) {
  builder b = build_if_model();
  Onnx__GraphProto *branch = b.graph->node[1]->attribute[0]->g;
  build_init_float(&b, branch, "weight", 0.5f);
  build_node(&b, branch, "Mul", "times", "t,weight", "product");
  Onnx__NodeProto *literal = build_node(&b, branch, "Constant", "", "", "literal");
  build_attr_float(&b, literal, "value_float", 0.25f);
  build_attr_int(&b, build_node(&b, branch, "Cast", "cast", "product", "halved"), "to", PLEAT_FLOAT16);
  pleat_model *model = build_model(&b);
  pleat_graph *graph = promoted(model);
  const pleat_graph *inside = branch_of(node_named(graph, "if"), "then_branch");
  assert_dtype(inside, "weight", PLEAT_DOUBLE);
  assert_dtype(inside, "product", PLEAT_DOUBLE);
  assert_dtype(inside, "then_out", PLEAT_DOUBLE);
  assert_dtype(inside, "halved", PLEAT_DOUBLE);
  assert_dtype(graph, "cond", PLEAT_BOOL);
  ASSERT_TENSOR(constant_of(inside, "weight"), "double[2]", 0.5, 1.5);
  ASSERT_TENSOR(constant_of(inside, "literal"), "double[]", 0.25);
  pleat_graph_destroy(graph);
  pleat_model_release(model);
}
END_TEST

/* ---- sessions ---- */

/* x (float16) * 0.1 + 1: float16 rounds it, the oracle does not. */
static builder half_model(void) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT16, "N,2");
  model_init(&b, "w", PLEAT_FLOAT16, "2", (const double[]){0.1, 0.2});
  model_init(&b, "one", PLEAT_FLOAT16, "", (const double[]){1});
  model_node(&b, "Mul", "mul", "x,w", "t");
  model_node(&b, "Add", "add", "t,one", "y");
  model_output(&b, "y", PLEAT_FLOAT16, "N,2");
  return b;
}

static double half(double value) {
  return (double)pleat_f16_to_f32(pleat_f64_to_f16(value));
}

START_TEST(a_half_model) {
  builder b = half_model();
  pleat_session *session = session_from(&b, (pleat_session_options){.float64 = true});
  ck_assert_int_eq(pleat_session_input(session, 0)->dtype, PLEAT_FLOAT16);
  ck_assert_int_eq(pleat_session_output(session, 0)->dtype, PLEAT_DOUBLE);
  const double x[] = {half(0.3), half(-0.7)};
  pleat_tensor *y = run_one(session, make_tensor(PLEAT_FLOAT16, "1,2", x));
  ASSERT_TENSOR(y, "double[1,2]", x[0] * half(0.1) + 1, x[1] * half(0.2) + 1);
  ck_assert_double_ne(((const double *)y->data)[0], half(((const double *)y->data)[0]));
  pleat_tensor_release(y);
  y = run_one(session, make_tensor(PLEAT_FLOAT16, "2,2", (const double[]){0, 0, 1, 1})); /* another plan */
  ASSERT_TENSOR(y, "double[2,2]", 1, 1, half(0.1) + 1, half(0.2) + 1);
  pleat_tensor_release(y);
  pleat_session_destroy(session);
}
END_TEST

START_TEST(inputs_keep_their_types) {
  builder b = half_model();
  pleat_session *session = session_from(&b, (pleat_session_options){.float64 = true});
  pleat_tensor *output = NULL, *wrong = make_tensor(PLEAT_DOUBLE, "1,2", NULL);
  assert_no_run(session, &wrong, &output, PLEAT_SHAPE_MISMATCH, "x", "expected float16[N,2], found double[1,2]");
  pleat_session_destroy(session);
}
END_TEST

START_TEST(only_reference_kernels) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "1,2,5,5");
  noise_init(&b, "w", PLEAT_FLOAT, "3,2,3,3", -1, 1);
  model_node(&b, "Conv", "conv", "x,w", "c");
  model_node(&b, "Relu", "relu", "c", "y");
  model_output(&b, "y", PLEAT_FLOAT, "?");
  const char *taps[] = {"c", NULL};
  pleat_session *session = session_from(&b, (pleat_session_options){.float64 = true, .taps = taps});
  pleat_plan_info *info = NULL;
  ASSERT_OK(pleat_session_plan(session, NULL, 0, &info, error));
  ck_assert_uint_eq(info->step_count, 2);
  for (size_t i = 0; i < info->step_count; i++) {
    ck_assert_str_eq(info->steps[i].kernel, "reference");
    ck_assert_str_eq(info->steps[i].declined, "");
  }
  ck_assert_ptr_nonnull(strstr(info->steps[0].output, "double[1,3,3,3]"));
  pleat_plan_info_destroy(info);
  ck_assert_int_eq(pleat_session_output(session, 1)->dtype, PLEAT_DOUBLE);
  pleat_session_destroy(session);
}
END_TEST

/* Shapes that only the run knows, and data that decides them. */
START_TEST(dynamic_steps) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "4");
  model_node(&b, "NonZero", "nonzero", "x", "where");
  model_node(&b, "Transpose", "transpose", "where", "indices");
  model_node(&b, "GatherND", "gather", "x,indices", "y");
  model_output(&b, "y", PLEAT_FLOAT, "K");
  pleat_session *session = session_from(&b, (pleat_session_options){.float64 = true});
  pleat_tensor *y = run_one(session, FLOATS("4", 0, 0.1, 0, -2));
  ASSERT_TENSOR(y, "double[2]", (double)0.1f, -2);
  pleat_tensor_release(y);
  pleat_session_destroy(session);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("graph_promote");
  TCase *tcase = tcase_create("promote");
  tcase_add_test(tcase, every_float_is_double);
  tcase_add_test(tcase, other_types_stay);
  tcase_add_test(tcase, overridable_initializers);
  tcase_add_test(tcase, constant_nodes);
  tcase_add_test(tcase, constant_of_shape);
  tcase_add_test(tcase, casts);
  tcase_add_test(tcase, casts_of_old_opsets);
  tcase_add_loop_test(tcase, attributes_that_name_types, 0, (int)(sizeof type_attrs / sizeof *type_attrs));
  tcase_add_test(tcase, layer_normalization_statistics);
  tcase_add_loop_test(tcase, float_only_inputs_and_outputs, 0, (int)(sizeof exceptions / sizeof *exceptions));
  tcase_add_loop_test(tcase, scales_of_resize, 0, (int)(sizeof resizes / sizeof *resizes));
  tcase_add_test(tcase, an_operator_without_double);
  tcase_add_test(tcase, subgraphs);
  suite_add_tcase(suite, tcase);
  tcase = tcase_create("session");
  tcase_add_test(tcase, a_half_model);
  tcase_add_test(tcase, inputs_keep_their_types);
  tcase_add_test(tcase, only_reference_kernels);
  tcase_add_test(tcase, dynamic_steps);
  suite_add_tcase(suite, tcase);
  return suite;
}

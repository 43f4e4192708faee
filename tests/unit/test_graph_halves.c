/* pleat_graph_widen_halves (runtime/graph/promote.c, promote_border.c): what of a half model becomes float, what stays,
 * and what a session computes of it. */
#include "core/small_float.h"
#include "model_builder.h"

static pleat_graph *widened(const pleat_model *model, bool expected) {
  pleat_graph *graph = import(model, true);
  bool changed;
  ASSERT_OK(pleat_graph_infer(graph, error));
  ASSERT_OK(pleat_graph_widen_halves(graph, &changed, error));
  ck_assert_int_eq(changed, expected);
  assert_verified(graph);
  ASSERT_OK(pleat_graph_infer(graph, error));
  return graph;
}

static void assert_dtype(const pleat_value *value, pleat_dtype dtype) {
  ck_assert_msg(value->dtype == dtype, "'%s' is %s, expected %s", value->name, pleat_dtype_name(value->dtype),
                pleat_dtype_name(dtype));
}

static pleat_tensor *halves(pleat_dtype dtype, double value) {
  return make_tensor(dtype, "1", (const double[]){value});
}

/* Runs with one input; checks output `index`, of the half type. */
static void gives(pleat_model *model, pleat_session_options options, pleat_tensor *input, size_t index,
                  const char *type, double expected) {
  pleat_tensor *outputs[4] = {NULL};
  pleat_session *session = session_with(model, options);
  run_session(session, &input, outputs);
  ASSERT_TENSOR(outputs[index], type, expected);
  for (size_t i = 0; i < 4; i++) pleat_tensor_release(outputs[i]);
  pleat_session_destroy(session);
}

/* ---- rounding ---- */

/* 2048 + 1 is no float16, and 256 + 1 no bfloat16: an addition that rounds loses the 1. */
static builder sum_model(pleat_dtype dtype) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", dtype, "1");
  model_init(&b, "one", dtype, "1", (const double[]){1});
  model_node(&b, "Add", "", "x,one", "sum");
  model_node(&b, "Sub", "", "sum,x", "y");
  model_output(&b, "y", dtype, "1");
  return b;
}

START_TEST(nothing_is_rounded_inside) {
  const pleat_dtype types[] = {PLEAT_FLOAT16, PLEAT_BFLOAT16};
  const char *const texts[] = {"float16[1]", "bfloat16[1]"};
  const double large[] = {2048, 256};
  builder b = sum_model(types[_i]);
  pleat_model *model = build_model(&b);
  gives(model, (pleat_session_options){.threads = 1}, halves(types[_i], large[_i]), 0, texts[_i], 1);
  gives(model, (pleat_session_options){.no_fold = true}, halves(types[_i], large[_i]), 0, texts[_i], 0);
  pleat_model_release(model);
}
END_TEST

/* A tap is of the model's type, and changes nothing behind it. */
START_TEST(taps_keep_their_types) {
  const char *const taps[] = {"sum", NULL};
  builder b = sum_model(PLEAT_FLOAT16);
  pleat_model *model = build_model(&b);
  const pleat_session_options options = {.threads = 1, .taps = taps};
  gives(model, options, halves(PLEAT_FLOAT16, 2048), 0, "float16[1]", 1);
  gives(model, options, halves(PLEAT_FLOAT16, 2048), 1, "float16[1]", 2048);
  pleat_model_release(model);
}
END_TEST

/* Cast and CastLike, of the first opset that knows them and later. */
START_TEST(what_the_model_rounds_is_rounded) {
  static const int opsets[] = {1, 6, 13, 15};
  builder b = build_begin(_i == 0 ? 3 : 8, opsets[_i]);
  model_input(&b, "x", PLEAT_FLOAT, "1");
  if (_i == 0) attr_text(&b, model_node(&b, "Cast", "", "x", "h"), "to", "FLOAT16");
  if (_i == 1 || _i == 2) build_attr_int(&b, model_node(&b, "Cast", "", "x", "h"), "to", PLEAT_FLOAT16);
  if (_i == 3) {
    model_init(&b, "like", PLEAT_FLOAT16, "1", (const double[]){0});
    model_node(&b, "CastLike", "", "x,like", "h");
  }
  model_node(&b, "Neg", "", "h", "n");
  if (_i == 0) attr_text(&b, model_node(&b, "Cast", "", "n", "y"), "to", "FLOAT");
  else build_attr_int(&b, model_node(&b, "Cast", "", "n", "y"), "to", PLEAT_FLOAT);
  model_output(&b, "y", PLEAT_FLOAT, "1");
  pleat_model *model = build_model(&b);
  gives(model, (pleat_session_options){.threads = 1}, FLOATS("1", 2049), 0, "float[1]", -2048);
  pleat_model_release(model);
}
END_TEST

/* Neither does a Cast that only leaves the half type, or stays in it. */
START_TEST(other_casts_round_nothing) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT16, "1");
  model_init(&b, "one", PLEAT_FLOAT16, "1", (const double[]){1});
  model_node(&b, "Add", "", "x,one", "sum");
  build_attr_int(&b, model_node(&b, "Cast", "", "sum", "same"), "to", PLEAT_FLOAT16);
  build_attr_int(&b, model_node(&b, "Cast", "", "same", "y"), "to", PLEAT_FLOAT);
  model_output(&b, "y", PLEAT_FLOAT, "1");
  pleat_model *model = build_model(&b);
  gives(model, (pleat_session_options){.threads = 1}, halves(PLEAT_FLOAT16, 2048), 0, "float[1]", 2049);
  pleat_model_release(model);
}
END_TEST

/* ---- the border ---- */

START_TEST(borders_and_insides) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT16, "1");
  model_input(&b, "w", PLEAT_FLOAT16, "1"); /* overridable */
  model_init(&b, "w", PLEAT_FLOAT16, "1", (const double[]){3});
  model_node(&b, "Mul", "", "x,w", "inner");
  model_node(&b, "Neg", "", "inner", "both"); /* an output that is read as well */
  model_node(&b, "Abs", "", "both", "y");
  model_output(&b, "both", PLEAT_FLOAT16, "1");
  model_output(&b, "y", PLEAT_FLOAT16, "1");
  model_output(&b, "x", PLEAT_FLOAT16, "1");
  pleat_model *model = build_model(&b);
  pleat_graph *graph = widened(model, true);
  const char *const kept[] = {"x", "w", "both", "y"};
  for (size_t i = 0; i < 4; i++) assert_dtype(value_named(graph, kept[i]), PLEAT_FLOAT16);
  assert_dtype(value_named(graph, "inner"), PLEAT_FLOAT);
  PLEAT_FOR_NODES(node, graph) {
    const bool is_cast = pleat_node_is(node, "Cast");
    for (size_t i = 0; !is_cast && i < node->input_count; i++) assert_dtype(node->inputs[i], PLEAT_FLOAT);
    for (size_t i = 0; !is_cast && i < node->output_count; i++) assert_dtype(node->outputs[i], PLEAT_FLOAT);
  }
  pleat_graph_destroy(graph);
  pleat_tensor *inputs[] = {halves(PLEAT_FLOAT16, 2), NULL}, *outputs[3] = {NULL};
  pleat_session *session = session_with(model, (pleat_session_options){.threads = 1});
  run_session(session, inputs, outputs);
  ASSERT_TENSOR(outputs[0], "float16[1]", -6);
  ASSERT_TENSOR(outputs[1], "float16[1]", 6);
  ASSERT_TENSOR(outputs[2], "float16[1]", 2);
  for (size_t i = 0; i < 3; i++) pleat_tensor_release(outputs[i]);
  pleat_session_destroy(session);
  pleat_model_release(model);
}
END_TEST

START_TEST(nothing_to_widen) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "1");
  model_node(&b, "Neg", "", "x", "y");
  model_output(&b, "y", PLEAT_FLOAT, "1");
  pleat_model *model = build_model(&b);
  pleat_graph *graph = widened(model, false);
  ck_assert(!graph->edited);
  pleat_graph_destroy(graph);
  pleat_model_release(model);
}
END_TEST

/* ---- constants ---- */

enum { MANY = 5000 };

/* A large weight stays where it is stored, as an initializer and as a Constant node. */
START_TEST(constants_are_read_where_they_are) {
  static double values[MANY];
  for (int i = 0; i < MANY; i++) values[i] = i - 2500;
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT16, "1");
  model_init(&b, "w", PLEAT_FLOAT16, "5000", values);
  constant_node(&b, "c", PLEAT_FLOAT16, "5000", values);
  model_node(&b, "Mul", "", "x,w", "p");
  model_node(&b, "Add", "add", "p,c", "y");
  model_output(&b, "y", PLEAT_FLOAT16, "5000");
  pleat_model *model = build_model(&b);
  pleat_graph *graph = widened(model, true);
  pleat_value *constants[] = {value_named(graph, "w"), node_named(graph, "add")->inputs[1]};
  for (size_t i = 0; i < 2; i++) {
    pleat_recipe *recipe;
    const pleat_tensor *data;
    assert_dtype(constants[i], PLEAT_FLOAT);
    ASSERT_OK(pleat_value_recipe(constants[i], &recipe, error));
    ck_assert_int_eq(recipe->stored, PLEAT_FLOAT16);
    ck_assert_int_eq(recipe->tensor.dtype, PLEAT_FLOAT);
    ck_assert_ptr_null(constants[i]->constant);
    ASSERT_OK(pleat_value_constant(constants[i], &data, error));
    ck_assert_int_eq(data->dtype, PLEAT_FLOAT);
    for (size_t k = 0; k < MANY; k++) {
      const double rounded = (double)pleat_f16_to_f32(pleat_f32_to_f16((float)values[k]));
      if (element(data, k) != rounded) ck_abort_msg("element %zu is %g, not %g", k, element(data, k), rounded);
    }
  }
  pleat_graph_destroy(graph);
  pleat_session *session = session_with(model, (pleat_session_options){.threads = 1});
  pleat_tensor *y = run_one(session, halves(PLEAT_FLOAT16, 2));
  ck_assert_double_eq(element(y, 2600), 300);
  pleat_tensor_release(y);
  pleat_session_destroy(session);
  pleat_model_release(model);
}
END_TEST

/* ---- bodies ---- */

/* A branch whose output is what its own Cast rounds. */
static Onnx__GraphProto *rounding_branch(builder *b, const char *output, const char *inputs) {
  Onnx__GraphProto *graph = build_graph(b, output);
  char sum[16];
  snprintf(sum, sizeof sum, "%s_sum", output);
  build_node(b, graph, "Add", "", inputs, sum);
  build_attr_int(b, build_node(b, graph, "Cast", "", sum, output), "to", PLEAT_FLOAT16);
  ADD(b, graph->output, graph->n_output, info_of(b, output, PLEAT_FLOAT16, "1"));
  return graph;
}

START_TEST(bodies) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "1");
  model_init(&b, "yes", PLEAT_FLOAT, "1", (const double[]){0});
  model_init(&b, "one", PLEAT_FLOAT, "1", (const double[]){1});
  INTS_INIT(&b, "zero", "1", 0);
  model_node(&b, "Greater", "", "x,yes", "list");
  model_node(&b, "Squeeze", "", "list,zero", "go");
  Onnx__NodeProto *node = model_node(&b, "If", "if", "go", "h");
  build_attr_graph(&b, node, "then_branch", rounding_branch(&b, "t", "x,one"));
  build_attr_graph(&b, node, "else_branch", rounding_branch(&b, "e", "x,x"));
  model_init(&b, "back", PLEAT_FLOAT16, "1", (const double[]){-2048});
  model_node(&b, "Add", "", "h,back", "y");
  model_output(&b, "y", PLEAT_FLOAT16, "1");
  pleat_model *model = build_model(&b);
  pleat_graph *graph = widened(model, true);
  assert_dtype(node_named(graph, "if")->outputs[0], PLEAT_FLOAT);
  pleat_graph_destroy(graph);
  const pleat_session_options options = {.threads = 1};
  gives(model, options, FLOATS("1", 2048), 0, "float16[1]", 0); /* 2049 is rounded in the branch */
  gives(model, options, FLOATS("1", 2052), 0, "float16[1]", 4);
  gives(model, options, FLOATS("1", -1), 0, "float16[1]", -2050);
  pleat_model_release(model);
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  Suite *suite = suite_create("graph_halves");
  TCase *tcase = tcase_create("halves");
  tcase_add_loop_test(tcase, nothing_is_rounded_inside, 0, 2);
  tcase_add_test(tcase, taps_keep_their_types);
  tcase_add_loop_test(tcase, what_the_model_rounds_is_rounded, 0, 4);
  tcase_add_test(tcase, other_casts_round_nothing);
  tcase_add_test(tcase, borders_and_insides);
  tcase_add_test(tcase, nothing_to_widen);
  tcase_add_test(tcase, constants_are_read_where_they_are);
  tcase_add_test(tcase, bodies);
  suite_add_tcase(suite, tcase);
  return suite;
}

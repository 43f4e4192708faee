/* Local functions: inlining with attributes by reference, names, nesting, and what is not allowed. */
#include "graph_testing.h"

/* LeakyRelu(x, alpha = @slope) -> h; Relu(h) -> out, with slope 0.5 by default */
static Onnx__FunctionProto *build_leaky(builder *b) {
  Onnx__FunctionProto *function = build_function(b, "Leaky", "in", "out");
  build_attr_ref(b, build_body(b, function, "LeakyRelu", "leaky", "in", "h"), "alpha", PLEAT_ATTR_FLOAT, "slope");
  build_body(b, function, "Relu", "relu", "h", "out");
  Onnx__AttributeProto *slope = build_attr(b, NULL, "slope", PLEAT_ATTR_FLOAT);
  slope->has_f = true;
  slope->f = 0.5f;
  ADD(b, function->attribute_proto, function->n_attribute_proto, slope);
  return function;
}

static builder build_calls(void) {
  builder b = build_begin(9, 18);
  build_opset(&b, "local", 1);
  build_input(&b, b.graph, "x");
  build_leaky(&b);
  build_attr_float(&b, build_call(&b, b.graph, "Leaky", "first", "x", "t"), "slope", 0.25f);
  build_call(&b, b.graph, "Leaky", "second", "t", "y");
  build_output(&b, b.graph, "y");
  return b;
}

START_TEST(inlines_with_attributes) {
  builder b = build_calls();
  pleat_model *model = build_model(&b);
  pleat_graph *graph = import(model, true);
  ck_assert_uint_eq(graph->node_count, 4);
  const pleat_node *first = node_named(graph, "first/leaky"), *second = node_named(graph, "second/leaky");
  ck_assert(pleat_attr_float(first, "alpha") == 0.25f);
  ck_assert(pleat_attr_float(second, "alpha") == 0.5f); /* the function's default */
  ck_assert_str_eq(first->inputs[0]->name, "x");
  ck_assert_str_eq(first->outputs[0]->name, "first/h");
  ck_assert_str_eq(node_named(graph, "first/relu")->outputs[0]->name, "t");
  ck_assert_ptr_eq(second->inputs[0], value_named(graph, "t"));
  ck_assert_ptr_eq(graph->outputs[0], node_named(graph, "second/relu")->outputs[0]);
  ck_assert(graph->edited);
  pleat_graph_destroy(graph);
  pleat_model_release(model);
}
END_TEST

START_TEST(keeps_calls_without_inlining) {
  builder b = build_calls();
  pleat_model *model = build_model(&b);
  pleat_graph *graph = import(model, false);
  ck_assert_uint_eq(graph->node_count, 2);
  ck_assert_ptr_null(node_named(graph, "first")->def);
  ck_assert(!graph->edited);
  pleat_graph_destroy(graph);
  pleat_model_release(model);
}
END_TEST

START_TEST(attribute_without_value_is_absent) {
  builder b = build_calls();
  b.model->functions[0]->n_attribute_proto = 0;
  ADD(&b, b.model->functions[0]->attribute, b.model->functions[0]->n_attribute, build_text(&b, "slope"));
  pleat_model *model = build_model(&b);
  pleat_graph *graph = import(model, true);
  ck_assert(!pleat_attr_present(node_named(graph, "second/leaky"), "alpha"));
  ck_assert(pleat_attr_float(node_named(graph, "second/leaky"), "alpha") == 0.01f);
  pleat_graph_destroy(graph);
  pleat_model_release(model);
}
END_TEST

START_TEST(nested_calls_pass_references) {
  builder b = build_calls();
  Onnx__FunctionProto *outer = build_function(&b, "Outer", "p", "q");
  Onnx__NodeProto *inner = build_body(&b, outer, "Leaky", "inner", "p", "q");
  inner->domain = build_text(&b, "local");
  build_attr_ref(&b, inner, "slope", PLEAT_ATTR_FLOAT, "steepness");
  ADD(&b, outer->attribute, outer->n_attribute, build_text(&b, "steepness"));
  build_attr_float(&b, build_call(&b, b.graph, "Outer", "o", "y", "z"), "steepness", 0.75f);
  pleat_model *model = build_model(&b);
  pleat_graph *graph = import(model, true);
  ck_assert(pleat_attr_float(node_named(graph, "o/inner/leaky"), "alpha") == 0.75f);
  ck_assert_str_eq(node_named(graph, "o/inner/relu")->outputs[0]->name, "z");
  ck_assert_str_eq(node_named(graph, "o/inner/leaky")->outputs[0]->name, "o/inner/h");
  pleat_graph_destroy(graph);
  pleat_model_release(model);
}
END_TEST

/* The file's own names win over those that inlining makes. */
START_TEST(names_stay_unique) {
  builder b = build_calls();
  build_node(&b, b.graph, "Relu", "late", "y", "first/h");
  build_output(&b, b.graph, "first/h");
  pleat_model *model = build_model(&b);
  pleat_graph *graph = import(model, true);
  ck_assert_ptr_eq(value_named(graph, "first/h")->producer, node_named(graph, "late"));
  ck_assert_str_eq(node_named(graph, "first/leaky")->outputs[0]->name, "first/h_1");
  pleat_graph_destroy(graph);
  pleat_model_release(model);
}
END_TEST

START_TEST(copies_passed_through_outputs) {
  builder b = build_begin(9, 18);
  build_opset(&b, "local", 1);
  build_input(&b, b.graph, "x");
  Onnx__FunctionProto *function = build_function(&b, "Pass", "in,unused", "in,r,r");
  build_body(&b, function, "Clip", "clip", "in,unused", "r");
  build_call(&b, b.graph, "Pass", "p", "x", "x2,r1,r2");
  build_output(&b, b.graph, "x2");
  build_output(&b, b.graph, "r1");
  build_output(&b, b.graph, "r2");
  pleat_model *model = build_model(&b);
  pleat_graph *graph = import(model, true);
  ck_assert_ptr_null(node_named(graph, "p/clip")->inputs[1]); /* an input that the call leaves out */
  ck_assert_uint_eq(graph->node_count, 3);
  ck_assert(pleat_node_is(value_named(graph, "x2")->producer, "Identity"));
  ck_assert_ptr_eq(value_named(graph, "x2")->producer->inputs[0], value_named(graph, "x"));
  ck_assert_ptr_eq(value_named(graph, "r1")->producer, node_named(graph, "p/clip"));
  ck_assert_ptr_eq(value_named(graph, "r2")->producer->inputs[0], value_named(graph, "r1"));
  pleat_graph_destroy(graph);
  pleat_model_release(model);
}
END_TEST

START_TEST(local_function_wins_over_operator) {
  builder b = build_begin(9, 18);
  build_input(&b, b.graph, "x");
  Onnx__FunctionProto *function = build_function(&b, "Relu", "in", "out");
  function->domain = build_text(&b, "ai.onnx");
  build_body(&b, function, "Sigmoid", "sigmoid", "in", "out");
  build_node(&b, b.graph, "Relu", "r", "x", "y");
  pleat_model *model = build_model(&b);
  pleat_graph *graph = import(model, true);
  ck_assert_str_eq(graph->first->op_type, "Sigmoid");
  pleat_graph_destroy(graph);
  graph = import(model, false);
  ck_assert_ptr_null(graph->first->def);
  pleat_graph_destroy(graph);
  pleat_model_release(model);
}
END_TEST

/* A subgraph handed over as an attribute sees the names around the call, not those of the body. */
START_TEST(subgraph_arguments_are_closures) {
  builder b = build_begin(9, 18);
  build_opset(&b, "local", 1);
  build_input(&b, b.graph, "x");
  build_input(&b, b.graph, "h");
  Onnx__FunctionProto *function = build_function(&b, "Apply", "cond", "out");
  build_body(&b, function, "Relu", "relu", "cond", "h");
  Onnx__NodeProto *node = build_body(&b, function, "If", "if", "h", "out");
  build_attr_ref(&b, node, "then_branch", PLEAT_ATTR_GRAPH, "body");
  build_attr_ref(&b, node, "else_branch", PLEAT_ATTR_GRAPH, "body");
  ADD(&b, function->attribute, function->n_attribute, build_text(&b, "body"));
  Onnx__GraphProto *body = build_graph(&b, "body");
  build_node(&b, body, "Relu", "inner", "h", "r");
  build_output(&b, body, "r");
  build_attr_graph(&b, build_call(&b, b.graph, "Apply", "call", "x", "y"), "body", body);
  pleat_model *model = build_model(&b);
  pleat_graph *graph = import(model, true);
  const pleat_node *owner = node_named(graph, "call/if");
  pleat_graph *first = branch_of(owner, "then_branch"), *second = branch_of(owner, "else_branch");
  ck_assert_ptr_ne(first, second);
  ck_assert_ptr_eq(first->first->inputs[0], value_named(graph, "h"));
  ck_assert_ptr_eq(second->first->inputs[0], value_named(graph, "h"));
  ck_assert_str_eq(owner->inputs[0]->name, "call/h");
  pleat_graph_destroy(graph);
  pleat_model_release(model);
}
END_TEST

START_TEST(exports_inlined) {
  builder b = build_calls();
  pleat_model *model = build_model(&b), *exported = NULL;
  pleat_graph *graph = import(model, true);
  ASSERT_OK(pleat_graph_export(graph, &exported, error));
  pleat_graph_destroy(graph);
  pleat_model_release(model);
  graph = import(exported, false);
  ck_assert_uint_eq(graph->node_count, 4);
  const pleat_node *leaky = node_named(graph, "first/leaky");
  ck_assert(pleat_attr_float(leaky, "alpha") == 0.25f);
  const Onnx__NodeProto *message = leaky->src;
  ck_assert_str_eq(message->attribute[0]->name, "alpha");
  ck_assert_str_eq(pleat_text(message->attribute[0]->ref_attr_name), "");
  pleat_graph_destroy(graph);
  pleat_model_release(exported);
}
END_TEST

START_TEST(adds_opsets_of_bodies) {
  builder b = build_calls();
  b.model->n_opset_import = 0;
  build_opset(&b, "local", 1);
  pleat_model *model = build_model(&b), *exported = NULL;
  pleat_graph *graph = import(model, true);
  ck_assert_int_eq(pleat_graph_opset(graph, ""), 18);
  ASSERT_OK(pleat_graph_export(graph, &exported, error));
  ck_assert_uint_eq(exported->message->n_opset_import, 1); /* "local" went with the last function in it */
  ck_assert_str_eq(exported->message->opset_import[0]->domain, "");
  ck_assert_int_eq(exported->message->opset_import[0]->version, 18);
  pleat_graph_destroy(graph);
  pleat_model_release(exported);
  pleat_model_release(model);
}
END_TEST

/* Two functions that call each other's kin: "Outer" calls "Inner" and has a norm behind it, "Idle" calls "Inner" and is
 * called by nobody, "Plain" is called and has no norm. */
static builder norms_in_functions(bool with_idle) {
  builder b = build_begin(8, 18);
  build_opset(&b, "local", 1);
  build_input(&b, b.graph, "x");
  const char *const parameters[] = {"s", "o", "m", "v"};
  for (size_t i = 0; i < 4; i++) build_init_float(&b, b.graph, parameters[i], 1);
  Onnx__FunctionProto *inner = build_function(&b, "Inner", "a", "c");
  build_body(&b, inner, "Relu", "relu", "a", "c");
  Onnx__FunctionProto *outer = build_function(&b, "Outer", "a,s,o,m,v", "c");
  build_body(&b, outer, "Inner", "call", "a", "h")->domain = build_text(&b, "local");
  build_body(&b, outer, "BatchNormalization", "bn", "h,s,o,m,v", "c");
  Onnx__FunctionProto *plain = build_function(&b, "Plain", "a", "c");
  build_body(&b, plain, "Neg", "neg", "a", "c");
  if (with_idle) {
    Onnx__FunctionProto *idle = build_function(&b, "Idle", "a", "c");
    build_body(&b, idle, "Inner", "call", "a", "c")->domain = build_text(&b, "local");
  }
  build_call(&b, b.graph, "Outer", "one", "x,s,o,m,v", "h");
  build_call(&b, b.graph, "Plain", "two", "h", "y");
  build_output(&b, b.graph, "y");
  return b;
}

static void assert_functions(builder *b, pleat_import_options options, const char *names, size_t opsets) {
  char found[64] = "";
  pleat_graph *graph = NULL;
  pleat_model *model = build_model(b), *exported = NULL;
  ASSERT_OK(pleat_graph_import(model, &options, &graph, error));
  ASSERT_OK(pleat_graph_export(graph, &exported, error));
  pleat_graph_destroy(graph);
  for (size_t i = 0; i < exported->message->n_functions; i++) {
    size_t used = strlen(found);
    snprintf(found + used, sizeof found - used, "%s ", exported->message->functions[i]->name);
  }
  ck_assert_str_eq(found, names);
  ck_assert_uint_eq(exported->message->n_opset_import, opsets);
  pleat_graph_destroy(import(exported, true)); /* what is called is still there */
  pleat_model_release(exported);
  pleat_model_release(model);
}

START_TEST(functions_go_with_their_last_call) {
  builder b = norms_in_functions(false);
  assert_functions(&b, (pleat_import_options){.inline_norms = true}, "Inner Plain ", 2); /* Inner has no norm */
  b = norms_in_functions(false);
  assert_functions(&b, (pleat_import_options){.inline_functions = true}, "", 1);
  b = norms_in_functions(false);
  assert_functions(&b, (pleat_import_options){.inline_norms = false}, "Inner Outer Plain ", 2);
}
END_TEST

/* Idle was not inlined, so it stays, and so does what it calls. */
START_TEST(functions_that_others_call_stay) {
  builder b = norms_in_functions(true);
  assert_functions(&b, (pleat_import_options){.inline_norms = true}, "Inner Plain Idle ", 2);
}
END_TEST

START_TEST(refuses_to_mix_opsets_on_export) {
  builder b = build_calls();
  b.model->functions[0]->opset_import[0]->version = 6; /* LeakyRelu and Relu were revised since */
  pleat_model *model = build_model(&b), *exported = NULL;
  pleat_graph *graph = import(model, true);
  ck_assert_int_eq(node_named(graph, "first/relu")->version->since, 6);
  ck_assert_int_eq(pleat_graph_export(graph, &exported, NULL), PLEAT_UNSUPPORTED);
  ck_assert_ptr_null(exported);
  pleat_graph_destroy(graph);
  pleat_model_release(model);
}
END_TEST

START_TEST(rejects_bad_functions) {
  builder b = build_calls();
  Onnx__NodeProto *self = build_body(&b, b.model->functions[0], "Leaky", "self", "out", "more");
  self->domain = build_text(&b, "local");
  assert_rejected(&b, PLEAT_MALFORMED_MODEL, "first/self", "calls itself");

  b = build_calls();
  b.model->functions[0]->node[1]->output[0] = build_text(&b, "elsewhere");
  assert_rejected(&b, PLEAT_MALFORMED_MODEL, "first", "produced by nothing");

  b = build_calls();
  build_call(&b, b.graph, "Leaky", "third", "x,x", "z");
  assert_rejected(&b, PLEAT_MALFORMED_MODEL, "third", "has 1 inputs and 1 outputs");

  b = build_calls();
  build_leaky(&b);
  assert_rejected(&b, PLEAT_MALFORMED_MODEL, "", "defined twice");

  b = build_calls();
  b.graph->node[1]->output[0] = build_text(&b, "t");
  assert_rejected(&b, PLEAT_MALFORMED_MODEL, "second", "defined twice");

  b = build_calls(); /* a body sees only its own names */
  b.model->functions[0]->node[1]->input[0] = build_text(&b, "x");
  assert_rejected(&b, PLEAT_MALFORMED_MODEL, "first/relu", "input 'x'");
}
END_TEST

/* A chain of functions f0 -> f1 -> ...; with two calls in each, inlining would give 2^depth nodes. */
static builder build_function_chain(int depth, int calls) {
  builder b = build_begin(9, 18);
  build_opset(&b, "local", 1);
  build_input(&b, b.graph, "x");
  for (int i = 0; i < depth; i++) {
    char name[16], next[16], output[16];
    snprintf(name, sizeof name, "f%d", i);
    snprintf(next, sizeof next, "f%d", i + 1);
    Onnx__FunctionProto *function = build_function(&b, name, "in", "out0");
    for (int k = 0; k < calls; k++) {
      snprintf(output, sizeof output, "out%d", k);
      bool is_last = i + 1 == depth;
      Onnx__NodeProto *node = build_body(&b, function, is_last ? "Relu" : next, "", "in", output);
      if (!is_last) node->domain = build_text(&b, "local");
    }
  }
  build_call(&b, b.graph, "f0", "call", "x", "y");
  return b;
}

START_TEST(function_limits) {
  builder b = build_function_chain(PLEAT_LIMIT_FUNCTION_DEPTH, 1);
  pleat_model_release(build_model(&b));
  b = build_function_chain(PLEAT_LIMIT_FUNCTION_DEPTH + 1, 1);
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_model *model = NULL;
  ck_assert_int_eq(build_end(&b, &model, &error), PLEAT_MALFORMED_MODEL);
  ck_assert_ptr_nonnull(strstr(error.message, "nested deeper"));
  b = build_function_chain(24, 2);
  error = (pleat_error)PLEAT_ERROR_INIT;
  ck_assert_int_eq(build_end(&b, &model, &error), PLEAT_MALFORMED_MODEL);
  ck_assert_ptr_nonnull(strstr(error.message, "counted at every call"));
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("graph function");
  TCase *tcase = tcase_create("function");
  tcase_set_timeout(tcase, 120); /* a sanitizer build on a busy machine */
  tcase_add_test(tcase, inlines_with_attributes);
  tcase_add_test(tcase, keeps_calls_without_inlining);
  tcase_add_test(tcase, attribute_without_value_is_absent);
  tcase_add_test(tcase, nested_calls_pass_references);
  tcase_add_test(tcase, names_stay_unique);
  tcase_add_test(tcase, copies_passed_through_outputs);
  tcase_add_test(tcase, local_function_wins_over_operator);
  tcase_add_test(tcase, subgraph_arguments_are_closures);
  tcase_add_test(tcase, exports_inlined);
  tcase_add_test(tcase, adds_opsets_of_bodies);
  tcase_add_test(tcase, functions_go_with_their_last_call);
  tcase_add_test(tcase, functions_that_others_call_stay);
  tcase_add_test(tcase, refuses_to_mix_opsets_on_export);
  tcase_add_test(tcase, rejects_bad_functions);
  tcase_add_test(tcase, function_limits);
  suite_add_tcase(suite, tcase);
  return suite;
}

/* Folding inside of the bodies of If, Loop and Scan, and at their borders: how many nodes are left, bodies included,
 * and that the values stay. A body is folded for itself: what lies outside of it may be read by others. */
#include "flow_case.h"
#include "fold_check.h"

enum { OPSET = 13 };

/* ---- bodies ---- */

/* Constants of `graph`, which may be the main graph: then a body captures them. */
static void init_in(builder *b, Onnx__GraphProto *graph, const char *name, const char *shape, double low, double high) {
  graph_init(b, graph, name, PLEAT_DOUBLE, shape, noise_values(b, name, shape_count(shape), low, high));
}
static void parameters_in(builder *b, Onnx__GraphProto *graph, const char *prefix) {
  char name[4][32];
  static const char *const names[] = {"scale", "beta", "mean", "var"};
  for (size_t i = 0; i < 4; i++) snprintf(name[i], sizeof name[i], "%s%s", prefix, names[i]);
  init_in(b, graph, name[0], "3", 0.5, 1.5);
  init_in(b, graph, name[1], "3", -1, 1);
  init_in(b, graph, name[2], "3", -1, 1);
  init_in(b, graph, name[3], "3", 0.25, 2);
}
static void norm(builder *b, Onnx__GraphProto *graph, const char *name, const char *input, const char *prefix,
                 const char *output) {
  char inputs[160];
  snprintf(inputs, sizeof inputs, "%s,%sscale,%sbeta,%smean,%svar", input, prefix, prefix, prefix, prefix);
  bn_node(b, graph, name, inputs, output, OPSET);
}

/* x -> Conv(weight) -> BN(prefix) -> output, in `graph`. */
static void conv_and_norm(builder *b, Onnx__GraphProto *graph, const char *x, const char *weight, const char *prefix,
                          const char *conv, const char *bn, const char *output) {
  char inputs[64], between[64];
  snprintf(inputs, sizeof inputs, "%s,%s", x, weight);
  snprintf(between, sizeof between, "%s_c", output);
  build_node(b, graph, "Conv", conv, inputs, between);
  norm(b, graph, bn, between, prefix, output);
}

/* Condition "c" as it comes or turned around: both branches get their turn. */
static const char *condition(builder *b, bool turned) {
  model_input(b, "c", PLEAT_BOOL, "");
  if (turned) model_node(b, "Not", "not", "c", "not_c");
  return turned ? "not_c" : "c";
}

/* ---- If ---- */

START_TEST(norms_in_both_branches) {
  for (int turned = 0; turned < 2; turned++) {
    builder b = fold_begin(OPSET, "2,3,5,5");
    const char *c = condition(&b, turned);
    Onnx__GraphProto *then = build_graph(&b, "then"), *otherwise = build_graph(&b, "otherwise");
    init_in(&b, then, "w", "3,3,3,3", -1, 1);
    parameters_in(&b, then, "t_");
    conv_and_norm(&b, then, "x", "w", "t_", "conv", "bn", "ty");
    body_output(&b, then, "ty", PLEAT_DOUBLE);
    init_in(&b, otherwise, "v", "3,3,3,3", -1, 1);
    parameters_in(&b, otherwise, "e_");
    conv_and_norm(&b, otherwise, "x", "v", "e_", "conv2", "bn2", "ey");
    body_output(&b, otherwise, "ey", PLEAT_DOUBLE);
    add_if(&b, b.graph, "if", c, "y", then, otherwise);
    fold_output(&b, "y");
    check_fold(&b, (fold_expectation){.inputs = {"2,3,5,5", ""}, .nodes = turned ? 4 : 3, .target = "conv"});
  }
}
END_TEST

/* All constants from outside, where a Conv of the main graph and both branches read them: each gets its own. */
START_TEST(branches_share_captured_weights) {
  for (int turned = 0; turned < 2; turned++) {
    builder b = fold_begin(OPSET, "2,3,5,5");
    const char *c = condition(&b, turned);
    Onnx__GraphProto *then = build_graph(&b, "then"), *otherwise = build_graph(&b, "otherwise");
    init_in(&b, b.graph, "w", "3,3,1,1", -1, 1);
    parameters_in(&b, b.graph, "t_");
    parameters_in(&b, b.graph, "e_");
    model_node(&b, "Conv", "outer", "x,w", "h");
    model_node(&b, "Relu", "relu", "h", "r");
    conv_and_norm(&b, then, "r", "w", "t_", "conv", "bn", "ty");
    body_output(&b, then, "ty", PLEAT_DOUBLE);
    conv_and_norm(&b, otherwise, "r", "w", "e_", "conv2", "bn2", "ey");
    body_output(&b, otherwise, "ey", PLEAT_DOUBLE);
    add_if(&b, b.graph, "if", c, "y", then, otherwise);
    fold_output(&b, "y");
    pleat_model *folded = check_fold_keeping(
        &b, (fold_expectation){.inputs = {"2,3,5,5", ""}, .nodes = turned ? 6 : 5, .target = "conv"});
    ck_assert_ptr_nonnull(initializer_named(folded, "w")); /* the main graph's Conv reads it as it was */
    ck_assert_ptr_null(initializer_named(folded, "t_scale"));
    pleat_model_release(folded);
  }
}
END_TEST

START_TEST(norm_before_a_convolution_in_a_branch) {
  builder b = fold_begin(OPSET, "2,3,5,5");
  const char *c = condition(&b, false);
  Onnx__GraphProto *then = build_graph(&b, "then");
  parameters_in(&b, b.graph, "t_");
  init_in(&b, then, "w", "3,3,2,2", -1, 1);
  norm(&b, then, "bn", "x", "t_", "n");
  build_node(&b, then, "Conv", "conv", "n,w", "ty");
  body_output(&b, then, "ty", PLEAT_DOUBLE);
  add_if(&b, b.graph, "if", c, "y", then, branch(&b, PLEAT_DOUBLE, "Neg", "x", "ey"));
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,5,5", ""}, .nodes = 3, .target = "conv"});
}
END_TEST

/* A branch reads what a Conv outside gives, and others may as well: the normalisation stays. */
START_TEST(norm_of_a_captured_convolution) {
  for (int turned = 0; turned < 2; turned++) {
    builder b = fold_begin(OPSET, "2,3,5,5");
    const char *c = condition(&b, turned);
    Onnx__GraphProto *then = build_graph(&b, "then");
    init_in(&b, b.graph, "w", "3,3,1,1", -1, 1);
    parameters_in(&b, b.graph, "t_");
    model_node(&b, "Conv", "conv", "x,w", "h");
    norm(&b, then, "bn", "h", "t_", "ty");
    body_output(&b, then, "ty", PLEAT_DOUBLE);
    add_if(&b, b.graph, "if", c, "y", then, branch(&b, PLEAT_DOUBLE, "Relu", "h", "ey"));
    fold_output(&b, "y");
    check_fold(&b, (fold_expectation){.inputs = {"2,3,5,5", ""},
                                      .nodes = turned ? 5 : 4,
                                      .norms = 1,
                                      .action = PLEAT_FOLD_KEPT,
                                      .reason = "its input 'h' comes from outside of this subgraph"});
  }
}
END_TEST

/* What an If gives comes from one of two places: it takes no scale and shift. */
START_TEST(norm_behind_an_if) {
  for (int turned = 0; turned < 2; turned++) {
    builder b = fold_begin(OPSET, "2,3,5,5");
    const char *c = condition(&b, turned);
    init_in(&b, b.graph, "w", "3,3,1,1", -1, 1);
    init_in(&b, b.graph, "v", "3,3,1,1", -1, 1);
    add_if(&b, b.graph, "if", c, "h", branch(&b, PLEAT_DOUBLE, "Conv", "x,w", "ty"),
           branch(&b, PLEAT_DOUBLE, "Conv", "x,v", "ey"));
    parameters_in(&b, b.graph, "");
    norm(&b, b.graph, "bn", "h", "", "y");
    fold_output(&b, "y");
    check_fold(&b, (fold_expectation){.inputs = {"2,3,5,5", ""},
                                      .nodes = turned ? 5 : 4,
                                      .norms = 1,
                                      .action = PLEAT_FOLD_KEPT,
                                      .reason = "If 'if' before it takes no scale and shift"});
  }
}
END_TEST

/* A body reads the Conv's result behind the normalisation's back: the Conv must keep its value. */
START_TEST(convolution_that_a_branch_reads) {
  builder b = fold_begin(OPSET, "2,3,5,5");
  const char *c = condition(&b, false);
  fold_conv(&b, "conv", "x", "h", "3,3,1,1");
  parameters_in(&b, b.graph, "");
  norm(&b, b.graph, "bn", "h", "", "n");
  add_if(&b, b.graph, "if", c, "y", branch(&b, PLEAT_DOUBLE, "Add", "h,n", "ty"),
         branch(&b, PLEAT_DOUBLE, "Neg", "n", "ey"));
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,5,5", ""},
                                    .nodes = 5,
                                    .norms = 1,
                                    .action = PLEAT_FOLD_KEPT,
                                    .reason = "its input 'h' is also read by 'ty'"});
}
END_TEST

/* ---- Loop ---- */

/* s -> BN(Conv(s)), three times; every state is stacked as well. */
static void check_loop(bool captured, const char *state_shape) {
  builder b = fold_begin(OPSET, "2,3,4,4");
  Onnx__GraphProto *body = loop_body(&b, PLEAT_DOUBLE, state_shape), *home = captured ? b.graph : body;
  INTS_INIT(&b, "trips", "", 3);
  init_in(&b, home, "w", "3,3,1,1", -0.5, 0.5);
  parameters_in(&b, home, "");
  conv_and_norm(&b, body, "s", "w", "", "conv", "bn", "r");
  body_output(&b, body, "r", PLEAT_DOUBLE);
  body_output(&b, body, "s", PLEAT_DOUBLE);
  add_loop(&b, b.graph, "loop", "trips,,x", "y,all", body);
  fold_output(&b, "y");
  fold_output(&b, "all");
  pleat_model *folded = check_fold_keeping(&b, (fold_expectation){.inputs = {"2,3,4,4"}, .nodes = 3, .target = "conv"});
  ck_assert_ptr_null(initializer_named(folded, "w")); /* nothing reads the old one */
  pleat_model_release(folded);
}
START_TEST(body_of_a_loop) {
  check_loop(false, "2,3,4,4");
}
END_TEST
START_TEST(body_of_a_loop_with_captured_weights) {
  check_loop(true, "2,3,4,4");
}
END_TEST
START_TEST(body_of_a_loop_without_shapes) {
  check_loop(true, "?");
}
END_TEST

/* Its own scale is carried from one iteration to the next. */
START_TEST(norm_whose_scale_is_carried) {
  builder b = fold_begin(OPSET, "2,3,4,4");
  Onnx__GraphProto *body = loop_body(&b, PLEAT_DOUBLE, "2,3,4,4");
  INTS_INIT(&b, "trips", "", 3);
  init_in(&b, b.graph, "w", "3,3,1,1", -0.5, 0.5);
  parameters_in(&b, b.graph, "");
  body_input(&b, body, "k", PLEAT_DOUBLE, "3");
  build_node(&b, body, "Conv", "conv", "s,w", "c");
  bn_node(&b, body, "bn", "c,k,beta,mean,var", "r", OPSET);
  build_node(&b, body, "Mul", "mul", "k,scale", "k_out");
  body_output(&b, body, "r", PLEAT_DOUBLE);
  body_output(&b, body, "k_out", PLEAT_DOUBLE);
  add_loop(&b, b.graph, "loop", "trips,,x,scale", "y,k_last", body);
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){
                     .inputs = {"2,3,4,4"}, .nodes = 5, .norms = 1, .action = PLEAT_FOLD_KEPT, .reason = "scale"});
}
END_TEST

/* An If in the body of a Loop, with the weights two graphs further out. */
START_TEST(branch_inside_of_a_loop) {
  builder b = fold_begin(OPSET, "2,3,4,4");
  Onnx__GraphProto *body = loop_body(&b, PLEAT_DOUBLE, "2,3,4,4");
  Onnx__GraphProto *then = build_graph(&b, "then");
  INTS_INIT(&b, "trips", "", 4);
  INTS_INIT(&b, "two", "", 2);
  init_in(&b, b.graph, "w", "3,3,1,1", -0.5, 0.5);
  parameters_in(&b, b.graph, "");
  build_node(&b, body, "Less", "less", "i,two", "early");
  conv_and_norm(&b, then, "s", "w", "", "conv", "bn", "ty");
  body_output(&b, then, "ty", PLEAT_DOUBLE);
  add_if(&b, body, "if", "early", "r", then, branch(&b, PLEAT_DOUBLE, "Tanh", "s", "ey"));
  body_output(&b, body, "r", PLEAT_DOUBLE);
  add_loop(&b, b.graph, "loop", "trips,,x", "y", body);
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,4,4"}, .nodes = 6, .target = "conv"});
}
END_TEST

START_TEST(norm_behind_a_loop) {
  builder b = fold_begin(OPSET, "2,3,4,4");
  Onnx__GraphProto *body = loop_body(&b, PLEAT_DOUBLE, "2,3,4,4");
  INTS_INIT(&b, "trips", "", 3);
  init_in(&b, b.graph, "w", "3,3,1,1", -0.5, 0.5);
  build_node(&b, body, "Conv", "conv", "s,w", "r");
  body_output(&b, body, "r", PLEAT_DOUBLE);
  add_loop(&b, b.graph, "loop", "trips,,x", "h", body);
  parameters_in(&b, b.graph, "");
  norm(&b, b.graph, "bn", "h", "", "y");
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,4,4"},
                                    .nodes = 4,
                                    .norms = 1,
                                    .action = PLEAT_FOLD_KEPT,
                                    .reason = "Loop 'loop' before it takes no scale and shift"});
}
END_TEST

/* ---- Scan ---- */

/* For each slice e of x: s -> BN(Conv(s)) + e; every sum is stacked. */
START_TEST(body_of_a_scan) {
  for (int captured = 0; captured < 2; captured++) {
    builder b = fold_begin(OPSET, "N,2,3,4,4");
    Onnx__GraphProto *body = build_graph(&b, "body"), *home = captured != 0 ? b.graph : body;
    init_in(&b, home, "w", "3,3,1,1", -0.5, 0.5);
    parameters_in(&b, home, "");
    init_in(&b, b.graph, "start", "2,3,4,4", -1, 1);
    body_input(&b, body, "s", PLEAT_DOUBLE, "2,3,4,4");
    body_input(&b, body, "e", PLEAT_DOUBLE, "2,3,4,4");
    conv_and_norm(&b, body, "s", "w", "", "conv", "bn", "n");
    build_node(&b, body, "Add", "add", "n,e", "r");
    build_node(&b, body, "Neg", "neg", "r", "v");
    body_output(&b, body, "r", PLEAT_DOUBLE);
    body_output(&b, body, "v", PLEAT_DOUBLE);
    add_scan(&b, "start,x", "y,all", body);
    fold_output(&b, "y");
    fold_output(&b, "all");
    check_fold(&b, (fold_expectation){.inputs = {"3,2,3,4,4"}, .nodes = 4, .target = "conv"});
  }
}
END_TEST

/* The slices themselves go through: the stacked output is the normalisation's. */
START_TEST(norm_of_each_slice) {
  builder b = fold_begin(OPSET, "4,2,3,4,4");
  Onnx__GraphProto *body = build_graph(&b, "body");
  init_in(&b, b.graph, "w", "3,3,3,3", -1, 1);
  parameters_in(&b, b.graph, "");
  body_input(&b, body, "e", PLEAT_DOUBLE, "2,3,4,4");
  conv_and_norm(&b, body, "e", "w", "", "conv", "bn", "r");
  body_output(&b, body, "r", PLEAT_DOUBLE);
  add_scan(&b, "x", "y", body);
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"4,2,3,4,4"}, .nodes = 2, .target = "conv"});
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("fold_bodies");
  add_tests(suite, "if",
            (const TTest *const[]){norms_in_both_branches, branches_share_captured_weights,
                                   norm_before_a_convolution_in_a_branch, norm_of_a_captured_convolution,
                                   norm_behind_an_if, convolution_that_a_branch_reads, NULL});
  add_tests(suite, "loop",
            (const TTest *const[]){body_of_a_loop, body_of_a_loop_with_captured_weights, body_of_a_loop_without_shapes,
                                   norm_whose_scale_is_carried, branch_inside_of_a_loop, norm_behind_a_loop, NULL});
  add_tests(suite, "scan", (const TTest *const[]){body_of_a_scan, norm_of_each_slice, NULL});
  return suite;
}

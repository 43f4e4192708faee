/* Normalisations in unusual dress: taken apart by exporters, with the channels last, with parameters that have to be
 * computed, in old opsets, in subgraphs and functions, before and after quantised weights. */
#include "fold_check.h"
#include "ops/ops.h"

/* gamma * (x - mean) / sqrt(var + eps) + beta, the constants with `shape`. */
static void decomposed(builder *b, const char *input, const char *output, const char *shape) {
  noise_init(b, "mean", PLEAT_DOUBLE, shape, -1, 1);
  noise_init(b, "var", PLEAT_DOUBLE, shape, 0.2, 2);
  noise_init(b, "gamma", PLEAT_DOUBLE, shape, 0.5, 2);
  noise_init(b, "beta", PLEAT_DOUBLE, shape, -1, 1);
  model_init(b, "eps", PLEAT_DOUBLE, "", (const double[]){1e-3});
  char both[64];
  snprintf(both, sizeof both, "%s,mean", input);
  model_node(b, "Sub", "sub", both, "centered");
  model_node(b, "Add", "", "var,eps", "v");
  model_node(b, "Sqrt", "", "v", "std");
  model_node(b, "Div", "div", "centered,std", "unit");
  model_node(b, "Mul", "mul", "gamma,unit", "scaled");
  model_node(b, "Add", "bn", "scaled,beta", output);
}

START_TEST(decomposed_behind_a_convolution) {
  builder b = fold_begin(13, "N,3,5,5");
  fold_conv(&b, "conv", "x", "c", "4,3,3,3");
  decomposed(&b, "c", "y", "4,1,1");
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,5,5"}, .nodes = 1, .target = "conv"});
}
END_TEST
START_TEST(decomposed_before_a_convolution) {
  builder b = fold_begin(13, "N,3,5,5");
  decomposed(&b, "x", "h", "1,3,1,1");
  fold_conv(&b, "conv", "h", "y", "4,3,3,3");
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,5,5"}, .nodes = 1, .target = "conv"});
}
END_TEST
START_TEST(decomposed_alone) { /* nothing takes it: it becomes one BatchNormalization */
  builder b = fold_begin(13, "N,3,5,5");
  model_node(&b, "Relu", "relu", "x", "r");
  decomposed(&b, "r", "y", "3,1,1");
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,5,5"}, .nodes = 2, .norms = 1});
}
END_TEST
START_TEST(channels_last) { /* Transpose, MatMul-like arithmetic on the last axis, Transpose */
  builder b = fold_begin(13, "N,3,5,5");
  fold_conv(&b, "conv", "x", "c", "4,3,3,3");
  attr_ints(&b, model_node(&b, "Transpose", "", "c", "t"), "perm", "0,2,3,1");
  decomposed(&b, "t", "u", "4");
  attr_ints(&b, model_node(&b, "Transpose", "", "u", "y"), "perm", "0,3,1,2");
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,5,5"}, .nodes = 3, .target = "conv"});
}
END_TEST

/* ---- parameters and weights ---- */

START_TEST(weight_that_is_computed) { /* of two initializers */
  builder b = fold_begin(13, "2,3,5,5");
  noise_init(&b, "w1", PLEAT_DOUBLE, "4,3,1,1", -1, 1);
  noise_init(&b, "w2", PLEAT_DOUBLE, "4,1,1,1", 0.5, 1);
  model_node(&b, "Mul", "", "w1,w2", "w");
  model_node(&b, "Conv", "conv", "x,w", "c");
  fold_bn(&b, "bn", "c", "y", 4);
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,5,5"}, .nodes = 1, .target = "conv"});
}
END_TEST
START_TEST(weight_behind_a_transpose) {
  builder b = fold_begin(13, "2,3");
  noise_init(&b, "wt", PLEAT_DOUBLE, "4,3", -1, 1);
  attr_ints(&b, model_node(&b, "Transpose", "", "wt", "w"), "perm", "1,0");
  model_node(&b, "Gemm", "gemm", "x,w", "c");
  fold_bn(&b, "bn", "c", "y", 4);
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,3"}, .nodes = 1, .target = "gemm"});
}
END_TEST
START_TEST(parameters_that_are_computed) {
  builder b = fold_begin(13, "2,3,5,5");
  fold_conv(&b, "conv", "x", "c", "4,3,1,1");
  noise_init(&b, "g", PLEAT_FLOAT, "2,2", 0.5, 1);
  INTS_INIT(&b, "flat", "1", -1);
  build_attr_int(&b, model_node(&b, "Cast", "", "g", "g2"), "to", PLEAT_DOUBLE);
  model_node(&b, "Reshape", "", "g2,flat", "g3");
  model_node(&b, "Identity", "", "g3", "g4");
  fold_bn(&b, "bn", "c", "y", 4)->input[1] = build_text(&b, "g4");
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,5,5"}, .nodes = 1, .target = "conv"});
}
END_TEST
START_TEST(weight_of_two_convolutions) { /* changed for one of them only */
  builder b = fold_begin(13, "2,3,5,5");
  fold_conv(&b, "conv", "x", "c", "4,3,1,1");
  model_node(&b, "Conv", "other", "x,conv_w", "z");
  fold_bn(&b, "bn", "c", "y", 4);
  fold_output(&b, "y");
  fold_output(&b, "z");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,5,5"}, .nodes = 2, .target = "conv"});
}
END_TEST

/* ---- opsets ---- */

START_TEST(every_opset) {
  for (int64_t opset = 1; opset <= 24; opset++) {
    builder b = fold_begin(opset, "2,3,5,5");
    fold_conv(&b, "conv", "x", "c", "4,3,1,1");
    fold_bn(&b, "bn", "c", "y", 4);
    fold_output(&b, "y");
    check_fold(&b, (fold_expectation){.inputs = {"2,3,5,5"}, .nodes = 1, .target = "conv"});
  }
}
END_TEST
START_TEST(unused_statistics_of_opset_6) { /* is_test = 1 */
  builder b = fold_begin(6, "2,3,5,5");
  fold_conv(&b, "conv", "x", "c", "4,3,1,1");
  Onnx__NodeProto *bn = fold_bn(&b, "bn", "c", "y", 4);
  bn->n_output = build_names(&b, "y,m,v,sm,sv", &bn->output);
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,5,5"}, .nodes = 1, .target = "conv"});
}
END_TEST
START_TEST(unused_statistics_of_opset_9) { /* by the specification that means training mode */
  builder b = fold_begin(9, "2,3,5,5");
  fold_conv(&b, "conv", "x", "c", "4,3,1,1");
  Onnx__NodeProto *bn = fold_bn(&b, "bn", "c", "y", 4);
  bn->n_output = build_names(&b, "y,m,v,sm,sv", &bn->output);
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,5,5"},
                                    .nodes = 2,
                                    .norms = 1,
                                    .action = PLEAT_FOLD_KEPT,
                                    .reason = "remove these outputs if it was exported for inference"});
}
END_TEST
START_TEST(broadcast_of_opset_6) { /* Mul and Add with axis = 1 */
  builder b = fold_begin(6, "2,3,5,5");
  fold_conv(&b, "conv", "x", "c", "4,3,1,1");
  noise_init(&b, "m", PLEAT_DOUBLE, "4", 0.5, 2);
  noise_init(&b, "a", PLEAT_DOUBLE, "4", -1, 1);
  for (int i = 0; i < 2; i++) {
    Onnx__NodeProto *node =
        model_node(&b, i == 0 ? "Mul" : "Add", i == 0 ? "mul" : "bn", i == 0 ? "c,m" : "p,a", i == 0 ? "p" : "y");
    build_attr_int(&b, node, "broadcast", 1);
    build_attr_int(&b, node, "axis", 1);
  }
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,5,5"}, .nodes = 1, .target = "conv"});
}
END_TEST
START_TEST(add_that_stays_in_opset_6) { /* with its own way to broadcast */
  builder b = fold_begin(6, "2,3,5,5");
  fold_bn(&b, "bn", "x", "h", 3);
  attr_ints(&b, fold_conv(&b, "conv", "h", "y", "4,3,3,3"), "pads", "1,1,1,1");
  fold_output(&b, "y");
  pleat_model *folded = check_fold_keeping(&b, (fold_expectation){.inputs = {"2,3,5,5"}, .nodes = 2, .target = "conv"});
  const Onnx__NodeProto *add = folded->message->graph->node[0];
  ck_assert_str_eq(add->op_type, "Add");
  ck_assert_uint_eq(add->n_attribute, 2); /* broadcast, axis */
  ck_assert_uint_eq(initializer_named(folded, add->input[1])->n_dims, 1);
  pleat_model_release(folded);
}
END_TEST

/* ---- functions ---- */

/* A function of the model with Conv and BN; parameters are arguments. */
static builder with_function(int64_t opset, bool training, bool relu) {
  builder b = fold_begin(opset, "2,3,5,5");
  Onnx__FunctionProto *block = build_function(&b, "Block", "a,w,s,b,m,v", relu ? "z" : "r");
  build_body(&b, block, "Conv", "conv", "a,w", "c");
  Onnx__NodeProto *bn = build_body(&b, block, "BatchNormalization", "bn", "c,s,b,m,v", "r");
  if (training) build_attr_int(&b, bn, "training_mode", 1);
  if (relu) build_body(&b, block, "Relu", "relu", "r", "z");
  for (int i = 0; i < 2; i++) {
    char prefix[8], inputs[128], w[8];
    snprintf(prefix, sizeof prefix, "p%d", i);
    snprintf(w, sizeof w, "w%d", i);
    snprintf(inputs, sizeof inputs, "%s,%s,%sscale,%sbeta,%smean,%svar", i == 0 ? "x" : "h", w, prefix, prefix, prefix,
             prefix);
    add_parameters(&b, prefix, PLEAT_DOUBLE, 3);
    noise_init(&b, w, PLEAT_DOUBLE, "3,3,1,1", -1, 1);
    build_call(&b, b.graph, "Block", i == 0 ? "one" : "two", inputs, i == 0 ? "h" : "y");
  }
  build_opset(&b, "local", 1);
  fold_output(&b, "y");
  return b;
}
START_TEST(inside_of_a_function) { /* called twice, with other parameters */
  builder b = with_function(18, false, false);
  pleat_model *folded = check_fold_keeping(
      &b, (fold_expectation){.inputs = {"2,3,5,5"}, .nodes = 2, .node = "one/bn", .target = "one/conv"});
  ck_assert_uint_eq(folded->message->n_functions, 0); /* nothing calls it any more */
  ck_assert_uint_eq(folded->message->n_opset_import, 1);
  ck_assert_uint_eq(folded->message->graph->n_initializer, 4);
  pleat_model_release(folded);
}
END_TEST
START_TEST(inside_of_a_function_in_training) { /* nothing to gain: the calls stay */
  builder b = with_function(18, true, false);
  pleat_model *folded = check_fold_keeping(&b, (fold_expectation){.inputs = {"2,3,5,5"},
                                                                  .nodes = 2,
                                                                  .norms = 2,
                                                                  .node = "two/bn",
                                                                  .action = PLEAT_FOLD_KEPT,
                                                                  .reason = "inside of a function: training mode"});
  ck_assert_str_eq(folded->message->graph->node[0]->op_type, "Block");
  ck_assert_uint_eq(folded->message->n_functions, 1);
  pleat_model_release(folded);
}
END_TEST
START_TEST(inside_of_a_function_of_another_opset) { /* Relu-14 cannot stand in the model */
  builder b = with_function(13, false, true);
  check_fold(&b, (fold_expectation){.inputs = {"2,3,5,5"},
                                    .nodes = 2,
                                    .norms = 2,
                                    .node = "one/bn",
                                    .action = PLEAT_FOLD_KEPT,
                                    .reason = "inside of a function: Relu is used as of opset 14"});
}
END_TEST

/* ---- quantised weights ---- */

/* Conv of DequantizeLinear(q); `scales` "" for one. */
static builder quantised(int64_t opset, const char *scales, const char *weight, bool with_zero) {
  builder b = build_begin(8, opset);
  model_input(&b, "x", PLEAT_FLOAT, "2,3,5,5");
  noise_init(&b, "q", PLEAT_INT8, weight, -100, 100);
  noise_init(&b, "qs", PLEAT_FLOAT, scales, 0.01, 0.02);
  if (with_zero) noise_init(&b, "qz", PLEAT_INT8, scales, -5, 5);
  Onnx__NodeProto *dq = model_node(&b, "DequantizeLinear", "dq", with_zero ? "q,qs,qz" : "q,qs", "w");
  if (scales[0] != '\0') build_attr_int(&b, dq, "axis", 0);
  model_node(&b, "Conv", "conv", "x,w", "c");
  add_parameters(&b, "", PLEAT_FLOAT, 4);
  bn_node(&b, b.graph, "bn", "c,scale,beta,mean,var", "y", opset);
  model_output(&b, "y", PLEAT_FLOAT, "?");
  return b;
}
static void check_quantised(builder *b) {
  pleat_model *folded =
      check_fold_keeping(b, (fold_expectation){.inputs = {"2,3,5,5"}, .nodes = 2, .target = "conv", .tolerance = 1e-4});
  const Onnx__GraphProto *graph = folded->message->graph;
  ck_assert_str_eq(graph->node[0]->op_type, "DequantizeLinear");
  ck_assert_str_eq(graph->node[0]->input[0], "q"); /* as it was */
  ck_assert_int_eq(initializer_named(folded, graph->node[0]->input[1])->dims[0], 4);
  pleat_model_release(folded);
}
START_TEST(quantised_weight_with_scales_a_channel) {
  builder b = quantised(13, "4", "4,3,3,3", true);
  check_quantised(&b);
}
END_TEST
START_TEST(quantised_weight_with_one_scale) { /* becomes one a channel */
  builder b = quantised(13, "", "4,3,3,3", true), c = quantised(21, "", "4,3,3,3", false);
  check_quantised(&b);
  check_quantised(&c);
}
END_TEST
START_TEST(quantised_weight_of_opset_10) { /* which has no scales a channel */
  builder b = quantised(10, "", "4,3,3,3", false);
  check_fold(&b, (fold_expectation){.inputs = {"2,3,5,5"},
                                    .nodes = 3,
                                    .norms = 1,
                                    .action = PLEAT_FOLD_KEPT,
                                    .reason = "DequantizeLinear has scales a channel only from opset 13 on",
                                    .tolerance = 1e-4});
}
END_TEST
START_TEST(quantised_weight_and_a_negative_scale) {
  builder b = quantised(13, "4", "4,3,3,3", false);
  pleat_store_f64(PLEAT_FLOAT, b.graph->initializer[2]->raw_data.data, 1, -0.5);
  check_fold(&b, (fold_expectation){.inputs = {"2,3,5,5"},
                                    .nodes = 3,
                                    .norms = 1,
                                    .action = PLEAT_FOLD_KEPT,
                                    .reason = "a quantised weight takes only positive scales",
                                    .tolerance = 1e-4});
}
END_TEST
START_TEST(quantised_matrix) {
  builder b = build_begin(8, 13);
  model_input(&b, "x", PLEAT_FLOAT, "2,3");
  noise_init(&b, "q", PLEAT_UINT8, "4,3", 0, 250);
  noise_init(&b, "qs", PLEAT_FLOAT, "", 0.01, 0.02);
  noise_init(&b, "qz", PLEAT_UINT8, "", 120, 130);
  model_node(&b, "DequantizeLinear", "dq", "q,qs,qz", "w");
  build_attr_int(&b, model_node(&b, "Gemm", "gemm", "x,w", "c"), "transB", 1);
  add_parameters(&b, "", PLEAT_FLOAT, 4);
  bn_node(&b, b.graph, "bn", "c,scale,beta,mean,var", "y", 13);
  model_output(&b, "y", PLEAT_FLOAT, "?");
  check_fold(&b, (fold_expectation){.inputs = {"2,3"}, .nodes = 2, .target = "gemm", .tolerance = 1e-4});
}
END_TEST
START_TEST(quantised_matrix_that_is_transposed) { /* would become floating point */
  builder b = build_begin(8, 13);
  model_input(&b, "x", PLEAT_FLOAT, "2,3");
  noise_init(&b, "q", PLEAT_UINT8, "4,3", 0, 250);
  noise_init(&b, "qs", PLEAT_FLOAT, "", 0.01, 0.02);
  model_node(&b, "DequantizeLinear", "dq", "q,qs", "d");
  attr_ints(&b, model_node(&b, "Transpose", "", "d", "w"), "perm", "1,0");
  model_node(&b, "Gemm", "gemm", "x,w", "c");
  add_parameters(&b, "", PLEAT_FLOAT, 4);
  bn_node(&b, b.graph, "bn", "c,scale,beta,mean,var", "y", 13);
  model_output(&b, "y", PLEAT_FLOAT, "?");
  check_fold(&b, (fold_expectation){.inputs = {"2,3"},
                                    .nodes = 4,
                                    .norms = 1,
                                    .action = PLEAT_FOLD_KEPT,
                                    .reason = "is quantised and rearranged afterwards",
                                    .tolerance = 1e-4});
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("fold_dress");
  add_tests(suite, "dress",
            (const TTest *const[]){decomposed_behind_a_convolution,
                                   decomposed_before_a_convolution,
                                   decomposed_alone,
                                   channels_last,
                                   weight_that_is_computed,
                                   weight_behind_a_transpose,
                                   parameters_that_are_computed,
                                   weight_of_two_convolutions,
                                   every_opset,
                                   unused_statistics_of_opset_6,
                                   unused_statistics_of_opset_9,
                                   broadcast_of_opset_6,
                                   add_that_stays_in_opset_6,
                                   inside_of_a_function,
                                   inside_of_a_function_in_training,
                                   inside_of_a_function_of_another_opset,
                                   quantised_weight_with_scales_a_channel,
                                   quantised_weight_with_one_scale,
                                   quantised_weight_of_opset_10,
                                   quantised_weight_and_a_negative_scale,
                                   quantised_matrix,
                                   quantised_matrix_that_is_transposed,
                                   NULL});
  return suite;
}

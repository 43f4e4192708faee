/* BatchNormalization into Conv and ConvTranspose: every shape of convolution, every way to store its parameters. */
#include "fold_case.h"

#define CONV_TEST(name, ...)                                                                                           \
  START_TEST(name) {                                                                                                   \
    check_conv((conv_case){__VA_ARGS__});                                                                              \
  }                                                                                                                    \
  END_TEST

CONV_TEST(conv_1d, .x = "2,3,9", .w = "4,3,3")
CONV_TEST(conv_1d_bias, .x = "2,3,9", .w = "4,3,3", .bias = true)
CONV_TEST(conv_2d, .x = "2,3,6,5", .w = "4,3,3,2")
CONV_TEST(conv_2d_bias, .x = "2,3,6,5", .w = "4,3,3,2", .bias = true, .pads = "1,0,1,1", .strides = "2,1")
CONV_TEST(conv_3d, .x = "1,2,4,5,4", .w = "3,2,2,3,2")
CONV_TEST(conv_3d_bias, .x = "1,2,4,5,4", .w = "3,2,2,3,2", .bias = true)
CONV_TEST(conv_groups, .x = "1,6,5,5", .w = "4,3,3,3", .group = 2, .bias = true)
CONV_TEST(conv_depthwise, .x = "1,4,5,5", .w = "4,1,3,3", .group = 4)
CONV_TEST(conv_depthwise_multiplier, .x = "1,3,5,5", .w = "6,1,3,3", .group = 3, .bias = true)
CONV_TEST(conv_dilations, .x = "1,2,9,9", .w = "3,2,3,3", .dilations = "2,3")
CONV_TEST(conv_auto_pad, .x = "1,2,7,6", .w = "3,2,3,3", .auto_pad = "SAME_LOWER", .strides = "2,2")
CONV_TEST(conv_one_channel, .x = "1,1,3,3", .w = "1,1,1,1")
CONV_TEST(transpose_1d, .op = "ConvTranspose", .x = "1,3,5", .w = "3,2,3")
CONV_TEST(transpose_2d, .op = "ConvTranspose", .x = "1,3,4,4", .w = "3,2,3,3", .bias = true, .strides = "2,2")
CONV_TEST(transpose_groups, .op = "ConvTranspose", .x = "1,6,4,4", .w = "6,2,2,3", .group = 3, .bias = true)
CONV_TEST(transpose_depthwise, .op = "ConvTranspose", .x = "1,4,4,4", .w = "4,1,3,3", .group = 4)
CONV_TEST(transpose_output_padding, .op = "ConvTranspose", .x = "1,2,3,3", .w = "2,4,3,3", .strides = "2,2",
          .output_padding = "1,1", .dilations = "2,1")
CONV_TEST(transpose_3d, .op = "ConvTranspose", .x = "1,4,2,3,2", .w = "4,3,2,2,2", .group = 2)
CONV_TEST(opset_1, .x = "1,2,5,5", .w = "3,2,3,3", .opset = 1, .ir = 3, .dtype = PLEAT_FLOAT)
CONV_TEST(opset_6, .x = "1,2,5,5", .w = "3,2,3,3", .opset = 6, .ir = 3, .bias = true)
CONV_TEST(opset_7, .x = "1,2,5,5", .w = "3,2,3,3", .opset = 7, .ir = 4, .bias = true)
CONV_TEST(opset_9, .x = "1,2,5,5", .w = "3,2,3,3", .opset = 9)
CONV_TEST(opset_14, .x = "1,2,5,5", .w = "3,2,3,3", .opset = 14)
CONV_TEST(opset_15, .x = "1,2,5,5", .w = "3,2,3,3", .opset = 15, .bias = true)
CONV_TEST(float_weights, .x = "1,3,6,6", .w = "4,3,3,3", .dtype = PLEAT_FLOAT, .bias = true)
CONV_TEST(float16_weights, .x = "1,3,6,6", .w = "4,3,3,3", .dtype = PLEAT_FLOAT16, .bias = true)
CONV_TEST(float16_no_bias, .x = "1,3,6,6", .w = "4,3,3,3", .dtype = PLEAT_FLOAT16)
CONV_TEST(bfloat16_weights, .x = "1,3,6,6", .w = "4,3,3,3", .dtype = PLEAT_BFLOAT16, .opset = 22, .bias = true)
CONV_TEST(float16_with_float_parameters, .x = "1,3,6,6", .w = "4,3,3,3", .dtype = PLEAT_FLOAT16, .opset = 15,
          .parameters = PLEAT_FLOAT)

/* ---- where parameters come from ---- */

/* Conv(x, `w`) -> BN with the four names; what makes them is added to `b` before. */
static void check_sources(builder *b, const char *inputs, const char *parameters, size_t nodes_left) {
  conv_case c = with_defaults((conv_case){.x = "1,2,4,4", .w = "3,2,3,3"});
  conv_node(b, &c, "conv", inputs, "c");
  bn_node(b, b->graph, "bn", parameters, "y", MODEL_OPSET);
  model_output(b, "y", PLEAT_DOUBLE, "?");
  pleat_model *model = build_model(b);
  pleat_model *folded = assert_folds(model, "fold-into-producer", "bn", "conv", nodes_left);
  assert_same_values(model, folded, c.x, PLEAT_DOUBLE, 1e-12);
  pleat_model_release(model);
  pleat_model_release(folded);
}

static builder begin_sources(void) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_DOUBLE, "1,2,4,4");
  return b;
}

START_TEST(parameters_as_constant_nodes) {
  builder b = begin_sources();
  constant_node(&b, "w", PLEAT_DOUBLE, "3,2,3,3", noise_values(&b, "w", 54, -1, 1));
  constant_node(&b, "scale", PLEAT_DOUBLE, "3", noise_values(&b, "scale", 3, 0.5, 1));
  constant_node(&b, "beta", PLEAT_DOUBLE, "3", noise_values(&b, "beta", 3, -1, 1));
  constant_node(&b, "mean", PLEAT_DOUBLE, "3", noise_values(&b, "mean", 3, -1, 1));
  constant_node(&b, "var", PLEAT_DOUBLE, "3", noise_values(&b, "var", 3, 0.5, 1));
  check_sources(&b, "x,w", "c,scale,beta,mean,var", 1);
}
END_TEST

START_TEST(parameters_through_identity_cast_and_reshape) {
  builder b = begin_sources();
  noise_init(&b, "w32", PLEAT_FLOAT, "54", -1, 1);
  INTS_INIT(&b, "wide", "4", 3, 2, 3, 3);
  build_attr_int(&b, model_node(&b, "Cast", "cast", "w32", "w64"), "to", PLEAT_DOUBLE);
  model_node(&b, "Reshape", "reshape", "w64,wide", "w");
  add_parameters(&b, "p_", PLEAT_DOUBLE, 3);
  model_node(&b, "Identity", "id1", "p_scale", "i1");
  model_node(&b, "Identity", "id2", "i1", "scale");
  check_sources(&b, "x,w", "c,scale,p_beta,p_mean,p_var", 1);
}
END_TEST

START_TEST(parameters_through_constant_of_shape) {
  builder b = begin_sources();
  noise_init(&b, "w", PLEAT_DOUBLE, "3,2,3,3", -1, 1);
  INTS_INIT(&b, "three", "1", 3);
  Onnx__NodeProto *fill = model_node(&b, "ConstantOfShape", "fill", "three", "ones");
  build_attr(&b, fill, "value", PLEAT_ATTR_TENSOR)->t = tensor_message(&b, "", PLEAT_DOUBLE, "1", (double[]){1});
  Onnx__NodeProto *zero = model_node(&b, "ConstantOfShape", "zero", "three", "zeros");
  build_attr(&b, zero, "value", PLEAT_ATTR_TENSOR)->t = tensor_message(&b, "", PLEAT_DOUBLE, "1", (double[]){0});
  check_sources(&b, "x,w,zeros", "c,ones,zeros,zeros,ones", 1);
}
END_TEST

/* A computed weight that something else still reads stays computed for that reader. */
START_TEST(shared_computed_weight_stays) {
  builder b = begin_sources();
  noise_init(&b, "w0", PLEAT_DOUBLE, "3,2,3,3", -1, 1);
  model_node(&b, "Neg", "neg", "w0", "w");
  model_node(&b, "Neg", "other", "w", "w_again");
  model_output(&b, "w_again", PLEAT_DOUBLE, "?");
  add_parameters(&b, "", PLEAT_DOUBLE, 3);
  conv_case c = with_defaults((conv_case){.x = "1,2,4,4", .w = "3,2,3,3"});
  conv_node(&b, &c, "conv", "x,w", "c");
  bn_node(&b, b.graph, "bn", "c,scale,beta,mean,var", "y", MODEL_OPSET);
  model_output(&b, "y", PLEAT_DOUBLE, "?");
  pleat_model *model = build_model(&b);
  pleat_model *folded = assert_folds(model, "fold-into-producer", "bn", "conv", 3);
  ck_assert_ptr_nonnull(initializer_named(folded, "w0"));
  pleat_model_release(model);
  pleat_model_release(folded);
}
END_TEST

/* Two convolutions read one weight; only one has a BN. */
START_TEST(shared_weight_changes_for_one) {
  conv_case c = with_defaults((conv_case){.x = "1,2,5,5", .w = "2,2,3,3", .bias = true});
  builder b = conv_bn(c);
  conv_node(&b, &c, "plain", "x,w,b", "z");
  model_output(&b, "z", PLEAT_DOUBLE, "?");
  pleat_model *model = build_model(&b);
  pleat_model *folded = assert_folds(model, "fold-into-producer", "bn", "conv", 2);
  const Onnx__GraphProto *graph = folded->message->graph;
  ck_assert_uint_eq(graph->n_initializer, 4);
  ck_assert_str_eq(graph->node[0]->input[1], "w_folded");
  ck_assert_str_eq(graph->node[1]->input[1], "w");
  ck_assert_str_eq(graph->node[1]->input[2], "b");
  assert_conv_parameters(&c, model, folded);
  const Onnx__TensorProto *before = initializer_named(model, "w"), *after = initializer_named(folded, "w");
  ck_assert_uint_eq(before->raw_data.len, after->raw_data.len);
  ck_assert_mem_eq(before->raw_data.data, after->raw_data.data, before->raw_data.len);
  pleat_model_release(model);
  pleat_model_release(folded);
}
END_TEST

/* Both have a BN: each gets its own weight. */
START_TEST(shared_weight_folded_twice) {
  conv_case c = with_defaults((conv_case){.x = "1,2,5,5", .w = "2,2,3,3"});
  builder b = conv_bn(c);
  pleat_fold_report *report = NULL;
  conv_node(&b, &c, "second", "x,w", "c2");
  bn_node(&b, b.graph, "bn2", "c2,beta,scale,mean,var", "y2", MODEL_OPSET);
  model_node(&b, "Sub", "sub", "y,y2", "d");
  b.graph->output[0]->name = build_text(&b, "d");
  pleat_model *model = build_model(&b), *folded = fold_model(model, NULL, &report);
  ck_assert_uint_eq(report->norms_after, 0);
  ck_assert_uint_eq(folded->message->graph->n_node, 3);
  ck_assert_uint_eq(folded->message->graph->n_initializer, 4);
  ck_assert_str_eq(entry_of_node(report, "bn2")->target, "second");
  assert_same_values(model, folded, c.x, c.dtype, 1e-12);
  pleat_fold_report_destroy(report);
  pleat_model_release(model);
  pleat_model_release(folded);
}
END_TEST

/* BN after BN after Conv: both go. */
START_TEST(two_norms_in_a_row) {
  conv_case c = with_defaults((conv_case){.x = "1,2,5,5", .w = "2,2,3,3"});
  builder b = conv_bn(c);
  pleat_fold_report *report = NULL;
  bn_node(&b, b.graph, "bn2", "y,scale,beta,mean,var", "y2", MODEL_OPSET);
  b.graph->output[0]->name = build_text(&b, "y2");
  pleat_model *model = build_model(&b), *folded = fold_model(model, NULL, &report);
  ck_assert_uint_eq(report->norms_after, 0);
  ck_assert_uint_eq(folded->message->graph->n_node, 1);
  ck_assert_str_eq(folded->message->graph->node[0]->output[0], "y2");
  ck_assert_uint_eq(folded->message->graph->n_initializer, 2);
  assert_same_values(model, folded, c.x, c.dtype, 1e-12);
  pleat_fold_report_destroy(report);
  pleat_model_release(model);
  pleat_model_release(folded);
}
END_TEST

/* Identity and Dropout between convolution and BN are out of the way first. */
START_TEST(noops_in_between) {
  conv_case c = with_defaults((conv_case){.x = "1,2,5,5", .w = "2,2,3,3"});
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", c.dtype, c.x);
  noise_init(&b, "w", c.dtype, c.w, -1, 1);
  add_parameters(&b, "", c.dtype, 2);
  conv_node(&b, &c, "conv", "x,w", "c");
  model_node(&b, "Identity", "id", "c", "c1");
  model_node(&b, "Dropout", "drop", "c1", "c2");
  bn_node(&b, b.graph, "bn", "c2,scale,beta,mean,var", "y", MODEL_OPSET);
  model_output(&b, "y", c.dtype, "?");
  pleat_model *model = build_model(&b);
  pleat_model *folded = assert_folds(model, "fold-into-producer", "bn", "conv", 1);
  assert_conv_parameters(&c, model, folded);
  assert_same_values(model, folded, c.x, c.dtype, 1e-12);
  pleat_model_release(model);
  pleat_model_release(folded);
}
END_TEST

/* A BN that nothing reads is dead, not folded: its convolution goes with it. */
START_TEST(unused_norm_is_dead) {
  conv_case c = with_defaults((conv_case){.x = "1,2,5,5", .w = "2,2,3,3"});
  builder b = conv_bn(c);
  pleat_fold_report *report = NULL;
  model_node(&b, "Relu", "relu", "x", "z");
  b.graph->output[0]->name = build_text(&b, "z");
  pleat_model *model = build_model(&b), *folded = fold_model(model, NULL, &report);
  ck_assert_uint_eq(folded->message->graph->n_node, 1);
  ck_assert_uint_eq(folded->message->graph->n_initializer, 0);
  ck_assert_int_eq(entry_of_node(report, "bn")->action, PLEAT_FOLD_REMOVED);
  ck_assert_int_eq(entry_of_node(report, "conv")->action, PLEAT_FOLD_REMOVED);
  pleat_fold_report_destroy(report);
  pleat_model_release(model);
  pleat_model_release(folded);
}
END_TEST

/* is_test = 1 with statistics that are asked for but not read (opset 6), and names that are taken already. */
START_TEST(odd_names_and_outputs) {
  conv_case c = with_defaults((conv_case){.x = "1,2,5,5", .w = "2,2,3,3", .opset = 6, .ir = 4});
  builder b = conv_bn(c);
  b.graph->node[1]->n_output = build_names(&b, "y,m,v,sm,sv", &b.graph->node[1]->output);
  model_node(&b, "Relu", "relu", "y", "w_folded");
  model_output(&b, "w_folded", c.dtype, "?");
  pleat_model *model = build_model(&b);
  pleat_model *folded = assert_folds(model, "fold-into-producer", "bn", "conv", 2);
  const Onnx__NodeProto *conv = folded->message->graph->node[0];
  ck_assert_str_ne(conv->input[1], "w_folded");
  ck_assert_ptr_nonnull(initializer_named(folded, conv->input[1]));
  pleat_model_release(model);
  pleat_model_release(folded);
}
END_TEST

/* A long name is not cut in the middle of a character. */
START_TEST(long_names) {
  enum { LENGTH = 900 };
  char name[LENGTH + 1], inputs[LENGTH + 8];
  for (int i = 0; i < LENGTH; i += 3) memcpy(name + i, "\xe2\x82\xac", 3);
  name[LENGTH] = '\0';
  snprintf(inputs, sizeof inputs, "x,%s", name);
  builder b = begin_sources();
  noise_init(&b, name, PLEAT_DOUBLE, "3,2,3,3", -1, 1);
  add_parameters(&b, "", PLEAT_DOUBLE, 3);
  conv_case c = with_defaults((conv_case){.x = "1,2,4,4", .w = "3,2,3,3"});
  conv_node(&b, &c, "conv", inputs, "c");
  bn_node(&b, b.graph, "bn", "c,scale,beta,mean,var", "y", MODEL_OPSET);
  model_output(&b, "y", PLEAT_DOUBLE, "?");
  pleat_model *model = build_model(&b);
  pleat_model *folded = assert_folds(model, "fold-into-producer", "bn", "conv", 1);
  const char *weight = folded->message->graph->node[0]->input[1];
  const size_t length = strlen(weight) - strlen("_folded");
  ck_assert_str_eq(weight + length, "_folded");
  ck_assert_uint_ge(length, 256);
  ck_assert_uint_eq(length % 3, 0);
  ck_assert_mem_eq(weight, name, length);
  pleat_model_release(model);
  pleat_model_release(folded);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("fold_conv");
  add_tests(suite, "conv",
            (const TTest *const[]){conv_1d, conv_1d_bias, conv_2d, conv_2d_bias, conv_3d, conv_3d_bias, conv_groups,
                                   conv_depthwise, conv_depthwise_multiplier, conv_dilations, conv_auto_pad,
                                   conv_one_channel, NULL});
  add_tests(suite, "conv_transpose",
            (const TTest *const[]){transpose_1d, transpose_2d, transpose_groups, transpose_depthwise,
                                   transpose_output_padding, transpose_3d, NULL});
  add_tests(suite, "opsets", (const TTest *const[]){opset_1, opset_6, opset_7, opset_9, opset_14, opset_15, NULL});
  add_tests(suite, "types",
            (const TTest *const[]){float_weights, float16_weights, float16_no_bias, bfloat16_weights,
                                   float16_with_float_parameters, NULL});
  add_tests(suite, "sources",
            (const TTest *const[]){parameters_as_constant_nodes, parameters_through_identity_cast_and_reshape,
                                   parameters_through_constant_of_shape, shared_computed_weight_stays,
                                   shared_weight_changes_for_one, shared_weight_folded_twice, NULL});
  add_tests(suite, "around",
            (const TTest *const[]){two_norms_in_a_row, noops_in_between, unused_norm_is_dead, odd_names_and_outputs,
                                   long_names, NULL});
  return suite;
}

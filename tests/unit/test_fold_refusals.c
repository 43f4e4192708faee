/* What must never be folded, and that the report says why; broken models must not do more than fail. */
#include "fold_case.h"

static conv_case plain(void) {
  return with_defaults((conv_case){.x = "1,2,5,5", .w = "3,2,3,3", .bias = true});
}

START_TEST(training_mode) {
  conv_case c = plain();
  c.opset = 14;
  builder b = conv_bn(c);
  build_attr_int(&b, b.graph->node[1], "training_mode", 1);
  assert_kept(&b, "bn",
              "training mode: it normalises with the statistics of each batch; export the model in eval mode");
}
END_TEST

START_TEST(statistics_outputs) {
  conv_case c = plain();
  c.opset = 9;
  builder b = conv_bn(c);
  b.graph->node[1]->n_output = build_names(&b, "y,mean_out,var_out,saved_mean,saved_var", &b.graph->node[1]->output);
  assert_kept(&b, "bn", "training mode");
}
END_TEST

START_TEST(statistics_that_are_read) { /* is_test = 1: inference, but somebody wants the statistics */
  conv_case c = plain();
  c.opset = 6;
  builder b = conv_bn(c);
  b.graph->node[1]->n_output = build_names(&b, "y,mean_out", &b.graph->node[1]->output);
  model_output(&b, "mean_out", c.dtype, "?");
  assert_kept(&b, "bn", "its statistics output 'mean_out' is used");
}
END_TEST

START_TEST(conv_is_a_graph_output) {
  conv_case c = plain();
  builder b = conv_bn(c);
  model_output(&b, "c", c.dtype, "?");
  assert_kept(&b, "bn", "its input 'c' is an output of the graph and must keep its value");
}
END_TEST

START_TEST(conv_is_read_by_another) {
  conv_case c = plain();
  builder b = conv_bn(c);
  model_node(&b, "Relu", "relu", "c", "z");
  model_output(&b, "z", c.dtype, "?");
  assert_kept(&b, "bn", "its input 'c' is also read by 'relu'");
}
END_TEST

START_TEST(conv_is_read_in_a_subgraph) {
  conv_case c = plain();
  c.dtype = c.parameters = PLEAT_FLOAT;
  builder b = conv_bn(c);
  model_input(&b, "cond", PLEAT_BOOL, "");
  build_if(&b, "if", "c", "z");
  model_output(&b, "z", PLEAT_FLOAT, "?");
  assert_kept(&b, "bn", "its input 'c' is also read by");
}
END_TEST

/* One overridable initializer each. */
static void check_overridable(const char *name, const char *shape, const char *what) {
  char words[128];
  conv_case c = plain();
  builder b = conv_bn(c);
  model_input(&b, name, c.dtype, shape);
  snprintf(words, sizeof words, "%s '%s' is an input of the graph with a default, which a caller may override", what,
           name);
  assert_kept(&b, "bn", words);
}
START_TEST(overridable_weight) {
  check_overridable("w", "3,2,3,3", "the convolution's weight");
}
END_TEST
START_TEST(overridable_bias) {
  check_overridable("b", "3", "the convolution's bias");
}
END_TEST
START_TEST(overridable_scale) {
  check_overridable("scale", "3", "scale");
}
END_TEST
START_TEST(overridable_variance) {
  check_overridable("var", "3", "variance");
}
END_TEST

START_TEST(parameter_that_is_computed) {
  conv_case c = plain();
  builder b = conv_bn(c);
  Onnx__NodeProto *mean = model_node(&b, "ReduceMean", "mean", "c", "m");
  attr_ints(&b, mean, "axes", "0,2,3");
  build_attr_int(&b, mean, "keepdims", 0);
  Onnx__NodeProto *bn = b.graph->node[1];
  b.graph->node[1] = mean; /* before its reader */
  b.graph->node[2] = bn;
  bn->input[3] = build_text(&b, "m");
  b.graph->initializer[4] = b.graph->initializer[--b.graph->n_initializer];
  bn->input[0] = build_text(&b, "c2"); /* and the convolution's output is read by the BN only */
  b.graph->node[0]->output[0] = build_text(&b, "c2");
  mean->input[0] = build_text(&b, "x3");
  model_input(&b, "x3", c.dtype, "1,3,5,5");
  assert_kept(&b, "bn", "mean 'm' is computed while running");
}
END_TEST

START_TEST(spatial_zero_with_positions) {
  builder b = build_begin(4, 7);
  model_input(&b, "x", PLEAT_DOUBLE, "1,2,3,3");
  noise_init(&b, "w", PLEAT_DOUBLE, "2,2,1,1", -1, 1);
  for (int i = 0; i < 4; i++) {
    noise_init(&b, ((const char *[]){"scale", "beta", "mean", "var"})[i], PLEAT_DOUBLE, "2,3,3", 0.5, 1);
  }
  model_node(&b, "Conv", "conv", "x,w", "c");
  build_attr_int(&b, bn_node(&b, b.graph, "bn", "c,scale,beta,mean,var", "y", 7), "spatial", 0);
  model_output(&b, "y", PLEAT_DOUBLE, "?");
  assert_kept(&b, "bn", "statistics per activation (spatial = 0): a different map at every position of a channel");
}
END_TEST

static void check_variance(double variance, const char *words) {
  conv_case c = plain();
  builder b = conv_bn(c);
  pleat_store_f64(c.dtype, b.graph->initializer[b.graph->n_initializer - 1]->raw_data.data, 1, variance);
  assert_kept(&b, "bn", words);
}
START_TEST(variance_and_epsilon_are_zero) {
  check_variance(-(double)1e-3f, "channel 1 gives no finite map (variance -0.001 + epsilon 0.001)");
}
END_TEST
START_TEST(variance_is_negative) {
  check_variance(-3, "channel 1 gives no finite map (variance -3 + epsilon 0.001)");
}
END_TEST
START_TEST(variance_is_not_a_number) {
  check_variance(NAN, "channel 1 gives no finite map");
}
END_TEST
START_TEST(variance_is_infinite_and_mean_too) {
  conv_case c = plain();
  builder b = conv_bn(c);
  pleat_store_f64(c.dtype, b.graph->initializer[4]->raw_data.data, 2, INFINITY);
  assert_kept(&b, "bn", "channel 2 gives no finite map");
}
END_TEST

/* In float16 65504 is the largest: the scale 1 / sqrt(0.001) makes more of the weight, or of the bias. */
static void check_overflow(size_t initializer, double value, const char *words) {
  conv_case c = plain();
  c.dtype = c.parameters = PLEAT_FLOAT16;
  builder b = conv_bn(c);
  pleat_store_f64(c.dtype, b.graph->initializer[5]->raw_data.data, 1, 0);
  pleat_store_f64(c.dtype, b.graph->initializer[initializer]->raw_data.data, initializer == 0 ? 20 : 1, value);
  assert_kept(&b, "bn", words);
}
START_TEST(weight_overflows_float16) {
  check_overflow(0, 60000, "the folded weight would not be finite in float16");
}
END_TEST
START_TEST(bias_overflows_float16) {
  check_overflow(1, 60000, "the folded bias would not be finite in float16");
}
END_TEST

START_TEST(no_node_before) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "1,3,4,4");
  add_parameters(&b, "", PLEAT_FLOAT, 3);
  bn_node(&b, b.graph, "bn", "x,scale,beta,mean,var", "y", MODEL_OPSET);
  model_output(&b, "y", PLEAT_FLOAT, "?");
  assert_kept(&b, "bn", "nothing computes its input 'x': there is no node before it to fold into");
}
END_TEST

START_TEST(another_kind_before) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "1,3,4,4");
  add_parameters(&b, "", PLEAT_FLOAT, 3);
  model_node(&b, "Sigmoid", "sig", "x", "r");
  bn_node(&b, b.graph, "", "r,scale,beta,mean,var", "y", MODEL_OPSET);
  model_output(&b, "y", PLEAT_FLOAT, "?");
  assert_kept(&b, "BatchNormalization#1", "Sigmoid 'sig' before it takes no scale and shift");
}
END_TEST

START_TEST(training_is_said_first) {
  builder b = build_begin(8, 15);
  model_input(&b, "x", PLEAT_FLOAT, "1,3,4,4");
  add_parameters(&b, "", PLEAT_FLOAT, 3);
  build_attr_int(&b, bn_node(&b, b.graph, "bn", "x,scale,beta,mean,var", "y", 15), "training_mode", 1);
  model_output(&b, "y", PLEAT_FLOAT, "?");
  assert_kept(&b, "bn", "training mode");
}
END_TEST

/* ---- models that are wrong ---- */

/* Folding may refuse the model or keep the BN, but nothing else. */
static void check_broken(builder *b) {
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_model *model = NULL, *folded = NULL;
  pleat_fold_report *report = NULL;
  if (build_end(b, &model, &error) != PLEAT_OK) {
    ck_assert_str_ne(error.message, "");
    return;
  }
  if (pleat_model_fold(model, NULL, &folded, &report, &error) == PLEAT_OK) {
    ck_assert_uint_eq(report->norms_after, report->norms_before);
    ck_assert_int_eq(entry_of_node(report, "bn")->action, PLEAT_FOLD_KEPT);
    ck_assert_str_ne(entry_of_node(report, "bn")->reason, "");
  } else {
    ck_assert_str_ne(error.message, "");
    ck_assert_ptr_null(folded);
    ck_assert_ptr_null(report);
  }
  pleat_model_release(folded);
  pleat_fold_report_destroy(report);
  pleat_model_release(model);
}

START_TEST(missing_parameters) {
  static const char *const inputs[] = {"c", "c,scale", "c,scale,beta,mean", "c,scale,,mean,var", "c,,beta,mean,var"};
  for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++) {
    builder b = conv_bn(plain());
    b.graph->node[1]->n_input = build_names(&b, inputs[i], &b.graph->node[1]->input);
    check_broken(&b);
  }
}
END_TEST

START_TEST(parameters_of_other_sizes) {
  static const char *const shapes[] = {"2", "4", "3,2", "0", ""};
  for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
    builder b = conv_bn(plain());
    noise_init(&b, "other", PLEAT_DOUBLE, shapes[i], 0.5, 1);
    b.graph->node[1]->input[1 + i % 4] = build_text(&b, "other");
    check_broken(&b);
  }
}
END_TEST

/* Groups that do not divide the weight, unknown input shapes: nothing checks them before the pass does. */
START_TEST(groups_that_do_not_divide) {
  static const struct {
    const char *op, *w, *channels;
    int64_t group;
  } cases[] = {{"ConvTranspose", "5,3,2,2", "6", 2},
               {"ConvTranspose", "3,2,2,2", "8", 4},
               {"ConvTranspose", "1,1,1,1", "1", INT64_MAX},
               {"Conv", "5,3,2,2", "5", 2},
               {"Conv", "4,1,2,2", "4", 0},
               {"ConvTranspose", "4,1,2,2", "4", -1},
               {"Conv", "0,1,2,2", "0", 1},
               {"Conv", "3,4", "3", 1}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    builder b = build_begin(8, MODEL_OPSET);
    model_input(&b, "x", PLEAT_FLOAT, "?");
    noise_init(&b, "w", PLEAT_FLOAT, cases[i].w, -1, 1);
    for (int k = 0; k < 4; k++) {
      noise_init(&b, ((const char *[]){"scale", "beta", "mean", "var"})[k], PLEAT_FLOAT, cases[i].channels, 0.5, 1);
    }
    build_attr_int(&b, model_node(&b, cases[i].op, "conv", "x,w", "c"), "group", cases[i].group);
    bn_node(&b, b.graph, "bn", "c,scale,beta,mean,var", "y", MODEL_OPSET);
    model_output(&b, "y", PLEAT_FLOAT, "?");
    check_broken(&b);
  }
}
END_TEST

START_TEST(weights_of_other_types) {
  static const pleat_dtype types[] = {PLEAT_INT32, PLEAT_BOOL, PLEAT_COMPLEX64, PLEAT_FLOAT8E5M2, PLEAT_FLOAT16};
  for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
    conv_case c = plain();
    builder b = conv_bn(c);
    const bool is_bias = types[i] == PLEAT_FLOAT16; /* a good type, but not the weight's */
    b.graph->input[0] = info_of(&b, "x", PLEAT_UNDEFINED, "?");
    noise_init(&b, "odd", types[i], is_bias ? "3" : c.w, 0, 2);
    b.graph->node[0]->input[is_bias ? 2 : 1] = build_text(&b, "odd");
    check_broken(&b);
  }
}
END_TEST

START_TEST(weight_of_strings) {
  builder b = conv_bn(plain());
  Onnx__TensorProto *text = NEW(&b, Onnx__TensorProto, &onnx__tensor_proto__descriptor);
  b.graph->input[0] = info_of(&b, "x", PLEAT_UNDEFINED, "?");
  text->name = build_text(&b, "text");
  text->has_data_type = true;
  text->data_type = PLEAT_STRING;
  for (int i = 0; i < 3; i++) ADD(&b, text->dims, text->n_dims, i == 0 ? 3 : 1);
  for (int i = 0; i < 3; i++) {
    ProtobufCBinaryData word = {.len = 1, .data = (uint8_t *)build_text(&b, "1")};
    ADD(&b, text->string_data, text->n_string_data, word);
  }
  ADD(&b, b.graph->initializer, b.graph->n_initializer, text);
  b.graph->node[0]->input[1] = build_text(&b, "text");
  check_broken(&b);
}
END_TEST

/* A few bytes that ask for a terabyte of weight. */
START_TEST(weight_that_would_be_enormous) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "1,1048576,9,9");
  INTS_INIT(&b, "size", "4", 3, 1048576, 512, 512);
  model_node(&b, "ConstantOfShape", "fill", "size", "w");
  add_parameters(&b, "", PLEAT_FLOAT, 3);
  attr_ints(&b, model_node(&b, "Conv", "conv", "x,w", "c"), "pads", "512,512,512,512");
  bn_node(&b, b.graph, "bn", "c,scale,beta,mean,var", "y", MODEL_OPSET);
  model_output(&b, "y", PLEAT_FLOAT, "?");
  check_broken(&b);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("fold_refusals");
  add_tests(suite, "refusals",
            (const TTest *const[]){training_mode,
                                   statistics_outputs,
                                   statistics_that_are_read,
                                   conv_is_a_graph_output,
                                   conv_is_read_by_another,
                                   conv_is_read_in_a_subgraph,
                                   overridable_weight,
                                   overridable_bias,
                                   overridable_scale,
                                   overridable_variance,
                                   parameter_that_is_computed,
                                   spatial_zero_with_positions,
                                   variance_and_epsilon_are_zero,
                                   variance_is_negative,
                                   variance_is_not_a_number,
                                   variance_is_infinite_and_mean_too,
                                   weight_overflows_float16,
                                   bias_overflows_float16,
                                   no_node_before,
                                   another_kind_before,
                                   training_is_said_first,
                                   missing_parameters,
                                   parameters_of_other_sizes,
                                   groups_that_do_not_divide,
                                   weights_of_other_types,
                                   weight_of_strings,
                                   weight_that_would_be_enormous,
                                   NULL});
  return suite;
}

/* Folding into what reads the normalisation's result: convolutions without and with padding, Gemm, MatMul, and what may
 * lie in between. */
#include "fold_check.h"

/* x -> bn -> Conv */
static builder bn_conv(const char *x, int64_t channels, const char *weight) {
  builder b = fold_begin(13, x);
  fold_bn(&b, "bn", "x", "h", channels);
  fold_conv(&b, "conv", "h", "y", weight);
  fold_output(&b, "y");
  return b;
}
static Onnx__NodeProto *conv_of(builder *b) {
  return b->graph->node[1];
}

START_TEST(without_padding) {
  builder b = bn_conv("N,3,5,5", 3, "4,3,3,3");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,5,5"}, .nodes = 1, .target = "conv"});
}
END_TEST

START_TEST(without_padding_in_groups) {
  builder b = bn_conv("2,6,5,5", 6, "4,3,3,3");
  build_attr_int(&b, conv_of(&b), "group", 2);
  attr_ints(&b, conv_of(&b), "strides", "2,1");
  check_fold(&b, (fold_expectation){.inputs = {"2,6,5,5"}, .nodes = 1, .target = "conv"});
}
END_TEST

START_TEST(auto_pad_valid) {
  builder b = bn_conv("2,3,7", 3, "4,3,3");
  attr_text(&b, conv_of(&b), "auto_pad", "VALID");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,7"}, .nodes = 1, .target = "conv"});
}
END_TEST

/* More results than inputs: the scale goes into the weight, shift / scale is added before. */
START_TEST(padding_leaves_an_add_before) {
  builder b = bn_conv("2,3,5,5", 3, "4,3,3,3");
  attr_ints(&b, conv_of(&b), "pads", "1,1,1,1");
  pleat_model *folded = check_fold_keeping(&b, (fold_expectation){.inputs = {"2,3,5,5"}, .nodes = 2, .target = "conv"});
  ck_assert_str_eq(folded->message->graph->node[0]->op_type, "Add");
  pleat_model_release(folded);
}
END_TEST

/* The positions are not known: nothing else is possible. */
START_TEST(padding_of_an_open_size) {
  builder b = bn_conv("2,6,H,W", 6, "2,6,3,3");
  attr_ints(&b, conv_of(&b), "pads", "1,1,1,1");
  pleat_model *folded = check_fold_keeping(&b, (fold_expectation){.inputs = {"2,6,5,4"}, .nodes = 2, .target = "conv"});
  ck_assert_str_eq(folded->message->graph->node[0]->op_type, "Add");
  pleat_model_release(folded);
}
END_TEST

/* Fewer results than inputs: a bias for each position is added behind. */
static void check_map(builder *b, const char *x, const char *positions) {
  int64_t dims[PLEAT_MAX_RANK];
  pleat_model *folded = check_fold_keeping(b, (fold_expectation){.inputs = {x}, .nodes = 2, .target = "conv"});
  const Onnx__GraphProto *graph = folded->message->graph;
  ck_assert_str_eq(graph->node[1]->op_type, "Add");
  const Onnx__TensorProto *map = initializer_named(folded, graph->node[1]->input[1]);
  ck_assert_ptr_nonnull(map);
  const int rank = shape_dims(positions, dims);
  ck_assert_uint_eq(map->n_dims, (size_t)rank);
  for (int i = 0; i < rank; i++) ck_assert_int_eq(map->dims[i], dims[i]);
  pleat_model_release(folded);
}
START_TEST(border_map) {
  builder b = bn_conv("N,6,5,4", 6, "2,6,3,3");
  attr_ints(&b, conv_of(&b), "pads", "1,0,1,1");
  check_map(&b, "2,6,5,4", "1,2,5,3");
}
END_TEST
START_TEST(border_map_of_strides_and_dilations) {
  builder b = bn_conv("N,3,9,9", 3, "4,3,3,2");
  attr_ints(&b, conv_of(&b), "pads", "2,1,1,1");
  attr_ints(&b, conv_of(&b), "strides", "2,2");
  attr_ints(&b, conv_of(&b), "dilations", "2,1");
  check_map(&b, "2,3,9,9", "1,4,4,5");
}
END_TEST
/* Inputs so large that the response is computed on less and spread, with every phase of the stride at the end. */
START_TEST(border_map_of_large_inputs) {
  static const char *const pads[] = {"1,0,1,1", "2,4,0,3", "0,1,5,0"};
  for (int i = 0; i < 24; i++) {
    const int stride = 1 + i % 3, height = 40 + i, width = 61 + i % 5;
    char x[64], open[64], strides[16], positions[64];
    snprintf(x, sizeof x, "2,3,%d,%d", height, width);
    snprintf(open, sizeof open, "N,3,%d,%d", height, width);
    snprintf(strides, sizeof strides, "%d,%d", stride, 1 + i % 2);
    builder b = bn_conv(open, 3, i % 2 == 0 ? "2,3,3,4" : "2,3,2,3");
    const int kernel[2] = {i % 2 == 0 ? 3 : 2, i % 2 == 0 ? 4 : 3};
    const int dilation = 1 + i / 6 % 2;
    int pad[4];
    attr_ints(&b, conv_of(&b), "strides", strides);
    if (dilation == 2) attr_ints(&b, conv_of(&b), "dilations", "2,1");
    attr_ints(&b, conv_of(&b), "pads", pads[i % 3]);
    ck_assert_int_eq(sscanf(pads[i % 3], "%d,%d,%d,%d", &pad[0], &pad[1], &pad[2], &pad[3]), 4);
    snprintf(positions, sizeof positions, "1,2,%d,%d",
             (height + pad[0] + pad[2] - (kernel[0] - 1) * dilation - 1) / stride + 1,
             (width + pad[1] + pad[3] - kernel[1]) / (1 + i % 2) + 1);
    check_map(&b, x, positions);
  }
}
END_TEST
START_TEST(large_border_map_of_auto_pad) {
  static const char *const pads[] = {"SAME_LOWER", "SAME_UPPER"};
  for (int i = 0; i < 8; i++) {
    char x[64], open[64], positions[64];
    snprintf(x, sizeof x, "2,5,%d", 60 + i);
    snprintf(open, sizeof open, "N,5,%d", 60 + i);
    snprintf(positions, sizeof positions, "1,2,%d", (60 + i + 2) / 3);
    builder b = bn_conv(open, 5, "2,5,7");
    attr_text(&b, conv_of(&b), "auto_pad", pads[i % 2]);
    attr_ints(&b, conv_of(&b), "strides", "3");
    check_map(&b, x, positions);
  }
}
END_TEST
START_TEST(border_map_of_groups) {
  builder b = bn_conv("N,4,6,6", 4, "2,2,3,3");
  build_attr_int(&b, conv_of(&b), "group", 2);
  attr_ints(&b, conv_of(&b), "pads", "1,1,1,1");
  check_map(&b, "3,4,6,6", "1,2,6,6");
}
END_TEST
START_TEST(border_map_of_auto_pad) {
  builder b = bn_conv("N,5,7", 5, "2,5,4");
  attr_text(&b, conv_of(&b), "auto_pad", "SAME_LOWER");
  check_map(&b, "2,5,7", "1,2,7");
}
END_TEST
START_TEST(border_map_in_three_dimensions) {
  builder b = bn_conv("2,3,3,4,3", 3, "1,3,2,2,2");
  attr_ints(&b, conv_of(&b), "pads", "1,0,0,0,1,0");
  check_map(&b, "2,3,3,4,3", "1,1,3,4,2");
}
END_TEST
START_TEST(border_map_of_a_transposed_convolution) {
  builder b = fold_begin(13, "N,6,3,3");
  fold_bn(&b, "bn", "x", "h", 6);
  noise_init(&b, "w", PLEAT_DOUBLE, "6,1,3,3", -1, 1);
  model_node(&b, "ConvTranspose", "conv", "h,w", "y");
  fold_output(&b, "y");
  check_map(&b, "2,6,3,3", "1,1,5,5");
}
END_TEST

/* Kernel and stride 1: every result sees one input, so that a bias is enough. */
START_TEST(transposed_convolution_that_is_no_wider) {
  builder b = fold_begin(13, "N,4,3,3");
  fold_bn(&b, "bn", "x", "h", 4);
  noise_init(&b, "w", PLEAT_DOUBLE, "4,5,1,1", -1, 1);
  model_node(&b, "ConvTranspose", "conv", "h,w", "y");
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,4,3,3"}, .nodes = 1, .target = "conv"});
}
END_TEST

/* A channel whose scale is 0 has no shift / scale. */
START_TEST(padding_and_a_scale_of_zero) {
  builder b = bn_conv("2,3,5,5", 3, "4,3,3,3");
  attr_ints(&b, conv_of(&b), "pads", "1,1,1,1");
  pleat_store_f64(PLEAT_DOUBLE, b.graph->initializer[0]->raw_data.data, 1, 0);
  check_fold(&b, (fold_expectation){.inputs = {"2,3,5,5"},
                                    .nodes = 2,
                                    .norms = 1,
                                    .action = PLEAT_FOLD_KEPT,
                                    .reason = "the shift does not reach the padding of the Conv after it"});
}
END_TEST

START_TEST(two_convolutions) {
  builder b = bn_conv("2,3,5,5", 3, "4,3,3,3");
  fold_conv(&b, "other", "h", "z", "2,3,1,1");
  fold_output(&b, "z");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,5,5"}, .nodes = 2, .target = "other"});
}
END_TEST

START_TEST(a_convolution_and_something_else) {
  builder b = bn_conv("2,3,5,5", 3, "4,3,3,3");
  model_node(&b, "Relu", "relu", "h", "z");
  fold_output(&b, "z");
  check_fold(
      &b,
      (fold_expectation){
          .inputs = {"2,3,5,5"}, .nodes = 3, .norms = 1, .action = PLEAT_FOLD_KEPT, .reason = "Relu is in the way"});
}
END_TEST

START_TEST(convolution_weight_that_is_an_input) {
  builder b = fold_begin(13, "2,3,5,5");
  model_input(&b, "w", PLEAT_DOUBLE, "2,3,1,1");
  fold_bn(&b, "bn", "x", "h", 3);
  model_node(&b, "Conv", "conv", "h,w", "y");
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,5,5", "2,3,1,1"},
                                    .nodes = 2,
                                    .norms = 1,
                                    .action = PLEAT_FOLD_KEPT,
                                    .reason = "the convolution's weight 'w' is an input of the graph"});
}
END_TEST

/* ---- matrices ---- */

static void check_gemm(bool trans_a, bool trans_b, const char *c) {
  builder b = fold_begin(13, trans_a ? "3,2" : "N,3");
  if (trans_a) {
    attr_ints(&b, model_node(&b, "Transpose", "", "x", "t"), "perm", "1,0");
    fold_bn(&b, "bn", "t", "s", 3);
    attr_ints(&b, model_node(&b, "Transpose", "", "s", "h"), "perm", "1,0");
  } else {
    fold_bn(&b, "bn", "x", "h", 3);
  }
  noise_init(&b, "w", PLEAT_DOUBLE, trans_b ? "4,3" : "3,4", -1, 1);
  if (c != NULL) noise_init(&b, "c", PLEAT_DOUBLE, c, -1, 1);
  Onnx__NodeProto *gemm = model_node(&b, "Gemm", "gemm", c != NULL ? "h,w,c" : "h,w", "y");
  build_attr_int(&b, gemm, "transA", trans_a);
  build_attr_int(&b, gemm, "transB", trans_b);
  build_attr_float(&b, gemm, "alpha", 0.5f);
  build_attr_float(&b, gemm, "beta", 3.0f);
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {trans_a ? "3,2" : "2,3"}, .nodes = trans_a ? 3 : 1, .target = "gemm"});
}
START_TEST(gemm) {
  check_gemm(false, false, NULL);
  check_gemm(false, true, "4");
  check_gemm(true, false, "1,4");
  check_gemm(true, true, "");
  check_gemm(false, false, "2,1");
  check_gemm(false, true, "2,4");
}
END_TEST

/* The shift becomes an Add behind: the MatMul has no bias. */
START_TEST(matmul) {
  builder b = fold_begin(13, "N,3");
  fold_bn(&b, "bn", "x", "h", 3);
  noise_init(&b, "w", PLEAT_DOUBLE, "3,4", -1, 1);
  model_node(&b, "MatMul", "mm", "h,w", "y");
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,3"}, .nodes = 2, .target = "mm"});
}
END_TEST
START_TEST(matmul_from_the_left) {
  builder b = fold_begin(13, "N,3,5");
  fold_bn(&b, "bn", "x", "h", 3);
  noise_init(&b, "w", PLEAT_DOUBLE, "4,3", -1, 1);
  model_node(&b, "MatMul", "mm", "w,h", "y");
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,5"}, .nodes = 2, .target = "mm"});
}
END_TEST
START_TEST(matmul_of_a_batch) {
  builder b = fold_begin(13, "2,3,5");
  fold_bn(&b, "bn", "x", "h", 3);
  attr_ints(&b, model_node(&b, "Transpose", "", "h", "t"), "perm", "0,2,1");
  noise_init(&b, "w", PLEAT_DOUBLE, "2,3,4", -1, 1);
  model_node(&b, "MatMul", "mm", "t,w", "y");
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,5"}, .nodes = 3, .target = "mm"});
}
END_TEST
START_TEST(matmul_along_another_axis) {
  builder b = fold_begin(13, "2,3,3");
  fold_bn(&b, "bn", "x", "h", 3);
  noise_init(&b, "w", PLEAT_DOUBLE, "3,4", -1, 1);
  model_node(&b, "MatMul", "mm", "h,w", "y");
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,3"},
                                    .nodes = 2,
                                    .norms = 1,
                                    .action = PLEAT_FOLD_KEPT,
                                    .reason = "the map does not run along the axis that the MatMul sums over"});
}
END_TEST

/* ---- with something in between ---- */

/* BN -> `op` -> Flatten -> Gemm: the usual head. */
static void check_head(const char *op, const char *rows, size_t nodes) {
  char weight[32];
  builder b = fold_begin(13, "N,3,2,2");
  fold_bn(&b, "bn", "x", "h", 3);
  if (op != NULL) model_node(&b, op, "", "h", "p");
  model_node(&b, "Flatten", "", op != NULL ? "p" : "h", "f");
  snprintf(weight, sizeof weight, "%s,5", rows);
  noise_init(&b, "w", PLEAT_DOUBLE, weight, -1, 1);
  model_node(&b, "Gemm", "gemm", "f,w", "y");
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,2,2"}, .nodes = nodes, .target = "gemm"});
}
START_TEST(through_global_average_pool_and_flatten) {
  check_head("GlobalAveragePool", "3", 3);
}
END_TEST
START_TEST(through_global_max_pool_and_flatten) {
  check_head("GlobalMaxPool", "3", 3);
}
END_TEST

/* Flatten mixes channels with positions: the map becomes one along all 12 columns. */
START_TEST(through_flatten_alone) {
  check_head(NULL, "12", 2);
}
END_TEST

START_TEST(through_reduce_mean_and_matmul) {
  builder b = fold_begin(18, "N,3,4,4");
  fold_bn(&b, "bn", "x", "h", 3);
  INTS_INIT(&b, "axes", "2", -1, 2);
  build_attr_int(&b, model_node(&b, "ReduceMean", "", "h,axes", "m"), "keepdims", 0);
  noise_init(&b, "w", PLEAT_DOUBLE, "3,4", -1, 1);
  model_node(&b, "MatMul", "mm", "m,w", "y");
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,4,4"}, .nodes = 3, .target = "mm"});
}
END_TEST

/* One half of a Concat is normalised: the Conv behind takes it in its channels. */
START_TEST(through_one_part_of_a_concat) {
  builder b = fold_begin(13, "2,3,4,4");
  model_input(&b, "z", PLEAT_DOUBLE, "2,2,4,4");
  fold_bn(&b, "bn", "x", "h", 3);
  build_attr_int(&b, model_node(&b, "Concat", "", "z,h", "c"), "axis", 1);
  fold_conv(&b, "conv", "c", "y", "4,5,3,3");
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,4,4", "2,2,4,4"}, .nodes = 2, .target = "conv"});
}
END_TEST

START_TEST(through_split_into_two_convolutions) {
  builder b = fold_begin(13, "2,5,4,4");
  fold_bn(&b, "bn", "x", "h", 5);
  INTS_INIT(&b, "parts", "2", 2, 3);
  build_attr_int(&b, model_node(&b, "Split", "", "h,parts", "p,q"), "axis", 1);
  fold_conv(&b, "left", "p", "y", "2,2,3,3");
  fold_conv(&b, "right", "q", "z", "2,3,3,3");
  fold_output(&b, "y");
  fold_output(&b, "z");
  check_fold(&b, (fold_expectation){.inputs = {"2,5,4,4"}, .nodes = 3, .target = "right"});
}
END_TEST

START_TEST(result_that_is_an_output_too) {
  builder b = bn_conv("2,3,5,5", 3, "4,3,3,3");
  fold_output(&b, "h");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,5,5"},
                                    .nodes = 2,
                                    .norms = 1,
                                    .action = PLEAT_FOLD_KEPT,
                                    .reason = "its result 'h' is an output of the graph and must keep its value"});
}
END_TEST

/* What stays is one kernel: BN + Relu before a Conv. */
START_TEST(activation_in_between) {
  builder b = fold_begin(13, "2,3,5,5");
  fold_bn(&b, "bn", "x", "h", 3);
  model_node(&b, "Relu", "relu", "h", "r");
  fold_conv(&b, "conv", "r", "y", "4,3,3,3");
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,5,5"},
                                    .nodes = 3,
                                    .norms = 1,
                                    .action = PLEAT_FOLD_KEPT,
                                    .reason = "Relu is in the way: only a positive scale without shift passes it"});
}
END_TEST

/* ---- arithmetic instead of a normalisation ---- */

START_TEST(preprocessing) { /* (x - mean) / std, before a Conv without padding */
  builder b = fold_begin(13, "N,3,5,5");
  noise_init(&b, "mean", PLEAT_DOUBLE, "3,1,1", -1, 1);
  noise_init(&b, "std", PLEAT_DOUBLE, "1,3,1,1", 0.5, 2);
  model_node(&b, "Sub", "sub", "x,mean", "s");
  model_node(&b, "Div", "div", "s,std", "d");
  fold_conv(&b, "conv", "d", "y", "2,3,3,3");
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,5,5"}, .nodes = 1, .node = "sub", .target = "conv"});
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("fold_forward");
  add_tests(suite, "forward",
            (const TTest *const[]){without_padding,
                                   without_padding_in_groups,
                                   auto_pad_valid,
                                   padding_leaves_an_add_before,
                                   padding_of_an_open_size,
                                   border_map,
                                   border_map_of_strides_and_dilations,
                                   border_map_of_large_inputs,
                                   large_border_map_of_auto_pad,
                                   border_map_of_groups,
                                   border_map_of_auto_pad,
                                   border_map_in_three_dimensions,
                                   border_map_of_a_transposed_convolution,
                                   transposed_convolution_that_is_no_wider,
                                   padding_and_a_scale_of_zero,
                                   two_convolutions,
                                   a_convolution_and_something_else,
                                   convolution_weight_that_is_an_input,
                                   gemm,
                                   matmul,
                                   matmul_from_the_left,
                                   matmul_of_a_batch,
                                   matmul_along_another_axis,
                                   through_global_average_pool_and_flatten,
                                   through_global_max_pool_and_flatten,
                                   through_flatten_alone,
                                   through_reduce_mean_and_matmul,
                                   through_one_part_of_a_concat,
                                   through_split_into_two_convolutions,
                                   result_that_is_an_output_too,
                                   activation_in_between,
                                   preprocessing,
                                   NULL});
  return suite;
}

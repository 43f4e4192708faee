/* Nodes between a normalisation and the Conv before it that let its map pass, and those that do not. */
#include "fold_check.h"

/* x -> Conv(4 channels) -> [what the caller adds: "c" to "t"] */
static builder conv_before(int64_t opset, const char *x) {
  builder b = fold_begin(opset, x);
  fold_conv(&b, "conv", "x", "c", "4,3,1,1");
  return b;
}
static void check_passes(builder *b, int64_t channels, size_t nodes) {
  fold_bn(b, "bn", "t", "y", channels);
  fold_output(b, "y");
  check_fold(b, (fold_expectation){.inputs = {"2,3,4,6"}, .nodes = nodes, .target = "conv"});
}
static void check_stops(builder *b, int64_t channels, size_t nodes, const char *reason) {
  fold_bn(b, "bn", "t", "y", channels);
  fold_output(b, "y");
  check_fold(b, (fold_expectation){
                    .inputs = {"2,3,4,6"}, .nodes = nodes, .norms = 1, .action = PLEAT_FOLD_KEPT, .reason = reason});
}
/* One node in between, without attributes. */
static void check_node(const char *op) {
  builder b = conv_before(13, "N,3,4,6");
  model_node(&b, op, "", "c", "t");
  check_passes(&b, 4, strcmp(op, "Identity") == 0 || strcmp(op, "Dropout") == 0 ? 1 : 2);
}

START_TEST(identity) {
  check_node("Identity");
}
END_TEST
START_TEST(dropout) {
  check_node("Dropout");
}
END_TEST
START_TEST(global_average_pool) {
  check_node("GlobalAveragePool");
}
END_TEST
START_TEST(global_max_pool) {
  check_node("GlobalMaxPool");
}
END_TEST

static builder pooled(const char *op, const char *pads, int include) {
  builder b = conv_before(13, "N,3,4,6");
  Onnx__NodeProto *pool = model_node(&b, op, "", "c", "t");
  attr_ints(&b, pool, "kernel_shape", "2,2");
  if (pads != NULL) attr_ints(&b, pool, "pads", pads);
  if (include) build_attr_int(&b, pool, "count_include_pad", 1);
  return b;
}
START_TEST(average_pool) {
  builder b = pooled("AveragePool", NULL, 0);
  check_passes(&b, 4, 2);
}
END_TEST
START_TEST(average_pool_that_leaves_padding_out) {
  builder b = pooled("AveragePool", "1,1,0,0", 0);
  check_passes(&b, 4, 2);
}
END_TEST
START_TEST(average_pool_that_counts_padding) {
  builder b = pooled("AveragePool", "1,1,0,0", 1);
  check_passes(&b, 4, 3); /* the scale passes; an Add of the shift stays */
}
END_TEST
START_TEST(max_pool) {
  builder b = pooled("MaxPool", "1,1,0,0", 0);
  check_passes(&b, 4, 2);
}
END_TEST
START_TEST(max_pool_of_a_negative_scale) {
  builder b = pooled("MaxPool", NULL, 0);
  fold_bn(&b, "bn", "t", "y", 4);
  pleat_store_f64(PLEAT_DOUBLE, b.graph->initializer[1]->raw_data.data, 2, -0.5);
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,4,6"},
                                    .nodes = 3,
                                    .norms = 1,
                                    .action = PLEAT_FOLD_KEPT,
                                    .reason = "MaxPool is in the way: not every scale is positive"});
}
END_TEST

START_TEST(relu_of_a_scale_only) { /* bias - scale * mean is 0 */
  builder b = conv_before(13, "N,3,4,6");
  model_node(&b, "Relu", "", "c", "t");
  fold_bn(&b, "bn", "t", "y", 4);
  for (size_t i = 2; i < 4; i++) memset(b.graph->initializer[i]->raw_data.data, 0, 4 * sizeof(double));
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,4,6"}, .nodes = 2, .target = "conv"});
}
END_TEST
START_TEST(relu) {
  builder b = conv_before(13, "N,3,4,6");
  model_node(&b, "Relu", "", "c", "t");
  fold_bn(&b, "bn", "t", "y", 4);
  fold_output(&b, "y"); /* the scale passes, the shift is added behind */
  check_fold(&b, (fold_expectation){.inputs = {"2,3,4,6"}, .nodes = 3, .target = "conv"});
}
END_TEST
START_TEST(sigmoid) {
  builder b = conv_before(13, "N,3,4,6");
  model_node(&b, "Sigmoid", "sig", "c", "t");
  check_stops(&b, 4, 3, "Sigmoid 'sig' before it takes no scale and shift");
}
END_TEST

/* ---- rearranging ---- */

START_TEST(transpose_and_back) {
  builder b = conv_before(13, "N,3,4,6");
  attr_ints(&b, model_node(&b, "Transpose", "", "c", "p"), "perm", "0,2,3,1");
  attr_ints(&b, model_node(&b, "Transpose", "", "p", "t"), "perm", "0,3,1,2");
  check_passes(&b, 4, 3);
}
END_TEST
START_TEST(transpose_that_makes_rows_of_channels) {
  builder b = conv_before(13, "N,3,4,6");
  attr_ints(&b, model_node(&b, "Transpose", "", "c", "t"), "perm", "0,2,3,1");
  check_stops(&b, 4, 3, "the map does not run along the convolution's 4 channels");
}
END_TEST
START_TEST(reshape_of_the_positions) {
  builder b = conv_before(13, "N,3,4,6");
  INTS_INIT(&b, "shape", "3", 0, 4, -1);
  model_node(&b, "Reshape", "", "c,shape", "t");
  check_passes(&b, 4, 2);
}
END_TEST
START_TEST(
    reshape_that_splits_the_channels) { /* [N, 2, 2, 24]: a map on axis 1 has equal scales on two channels each */
  builder b = conv_before(13, "N,3,4,6");
  INTS_INIT(&b, "shape", "4", 0, 2, 2, 24);
  model_node(&b, "Reshape", "", "c,shape", "t");
  check_passes(&b, 2, 2);
}
END_TEST
START_TEST(reshape_that_mixes) {
  builder b = conv_before(13, "2,3,4,6");
  INTS_INIT(&b, "shape", "3", 2, 24, 4);
  model_node(&b, "Reshape", "", "c,shape", "t");
  check_stops(&b, 24, 3, "a Reshape mixes the channels with other axes");
}
END_TEST
START_TEST(flatten_of_one_position) {
  builder b = conv_before(13, "N,3,4,6");
  model_node(&b, "GlobalAveragePool", "", "c", "p");
  model_node(&b, "Flatten", "", "p", "t");
  check_passes(&b, 4, 3);
}
END_TEST
START_TEST(squeeze_and_unsqueeze) {
  builder b = conv_before(13, "N,3,4,6");
  INTS_INIT(&b, "at", "2", 2, 3);
  INTS_INIT(&b, "end", "1", -1);
  model_node(&b, "GlobalAveragePool", "", "c", "p");
  model_node(&b, "Squeeze", "", "p,at", "q");
  model_node(&b, "Unsqueeze", "", "q,end", "t");
  check_passes(&b, 4, 4);
}
END_TEST

/* ---- slices of the channels ---- */

START_TEST(concat_of_two_convolutions) {
  builder b = conv_before(13, "N,3,4,6");
  fold_conv(&b, "other", "x", "d", "3,3,1,1");
  build_attr_int(&b, model_node(&b, "Concat", "", "d,c", "t"), "axis", 1);
  check_passes(&b, 7, 3);
}
END_TEST
START_TEST(concat_of_positions) {
  builder b = conv_before(13, "N,3,4,6");
  fold_conv(&b, "other", "x", "d", "4,3,1,1");
  build_attr_int(&b, model_node(&b, "Concat", "", "d,c", "t"), "axis", -1);
  check_passes(&b, 4, 3);
}
END_TEST
START_TEST(concat_with_a_constant) {
  builder b = conv_before(13, "2,3,4,6");
  noise_init(&b, "k", PLEAT_DOUBLE, "2,2,4,6", -1, 1);
  build_attr_int(&b, model_node(&b, "Concat", "", "c,k", "t"), "axis", 1);
  check_passes(&b, 6, 2);
}
END_TEST
START_TEST(concat_with_the_input) {
  builder b = conv_before(13, "2,3,4,6");
  build_attr_int(&b, model_node(&b, "Concat", "", "c,x", "t"), "axis", 1);
  check_stops(&b, 7, 3, "nothing computes its input 'x'");
}
END_TEST
START_TEST(split) { /* the other half keeps its values */
  builder b = conv_before(13, "N,3,4,6");
  INTS_INIT(&b, "parts", "2", 1, 3);
  build_attr_int(&b, model_node(&b, "Split", "", "c,parts", "p,t"), "axis", 1);
  fold_output(&b, "p");
  check_passes(&b, 3, 2);
}
END_TEST
START_TEST(split_of_positions) {
  builder b = conv_before(13, "N,3,4,6");
  INTS_INIT(&b, "parts", "2", 1, 3);
  build_attr_int(&b, model_node(&b, "Split", "", "c,parts", "p,t"), "axis", 2);
  fold_output(&b, "p");
  check_stops(&b, 4, 3, "a Split along another axis has parts without the map");
}
END_TEST
START_TEST(slice) { /* channels 3 and 1, backwards */
  builder b = conv_before(13, "N,3,4,6");
  INTS_INIT(&b, "from", "1", -1);
  INTS_INIT(&b, "to", "1", 0);
  INTS_INIT(&b, "axis", "1", 1);
  INTS_INIT(&b, "step", "1", -2);
  model_node(&b, "Slice", "", "c,from,to,axis,step", "t");
  check_passes(&b, 2, 2);
}
END_TEST
START_TEST(slice_of_opset_9) {
  builder b = conv_before(9, "N,3,4,6");
  Onnx__NodeProto *node = model_node(&b, "Slice", "", "c", "t");
  attr_ints(&b, node, "starts", "1,0");
  attr_ints(&b, node, "ends", "3,2");
  attr_ints(&b, node, "axes", "1,2");
  check_passes(&b, 2, 2);
}
END_TEST

/* ---- padding, resizing ---- */

static void check_pad(int64_t opset, const char *mode, const char *value, size_t nodes) {
  builder b = conv_before(opset, "N,3,4,6");
  if (opset >= 11) INTS_INIT(&b, "pads", "8", 0, 0, 1, 0, 0, 0, 2, 1);
  if (value != NULL) noise_init(&b, "value", PLEAT_DOUBLE, "", 0.5, 1);
  Onnx__NodeProto *pad = model_node(&b, "Pad", "", opset < 11 ? "c" : value != NULL ? "c,pads,value" : "c,pads", "t");
  if (opset < 11) attr_ints(&b, pad, "pads", "0,0,1,0,0,0,2,1");
  if (mode != NULL) attr_text(&b, pad, "mode", mode);
  if (value != NULL) check_stops(&b, 4, 3, "a Pad with a constant is in the way");
  else check_passes(&b, 4, nodes);
}
START_TEST(pad_with_zeros) { /* the scale passes, an Add stays */
  check_pad(13, NULL, NULL, 3);
  check_pad(9, NULL, NULL, 3);
}
END_TEST
START_TEST(pad_with_the_edge) {
  check_pad(13, "edge", NULL, 2);
  check_pad(13, "reflect", NULL, 2);
  check_pad(9, "edge", NULL, 2);
}
END_TEST
START_TEST(pad_with_a_number) {
  check_pad(13, NULL, "value", 3);
}
END_TEST
START_TEST(pad_along_named_axes) {
  builder b = conv_before(18, "N,3,4,6");
  INTS_INIT(&b, "pads", "4", 1, 1, 0, 2);
  INTS_INIT(&b, "axes", "2", -1, 2);
  attr_text(&b, model_node(&b, "Pad", "", "c,pads,,axes", "t"), "mode", "edge");
  check_passes(&b, 4, 2);
}
END_TEST
START_TEST(pad_of_the_channels) {
  builder b = conv_before(18, "N,3,4,6");
  INTS_INIT(&b, "pads", "2", 1, 0);
  INTS_INIT(&b, "axes", "1", 1);
  model_node(&b, "Pad", "", "c,pads,,axes", "t");
  check_stops(&b, 5, 3, "a Pad adds channels");
}
END_TEST
START_TEST(resize) {
  builder b = conv_before(13, "N,3,4,6");
  model_init(&b, "scales", PLEAT_FLOAT, "4", (const double[]){1, 1, 2, 2});
  attr_text(&b, model_node(&b, "Resize", "", "c,,scales", "t"), "mode", "linear");
  check_passes(&b, 4, 2);
}
END_TEST

START_TEST(long_way) {
  builder b = conv_before(13, "2,3,4,6");
  INTS_INIT(&b, "shape", "3", 2, 4, 24);
  INTS_INIT(&b, "back", "4", 2, 4, 4, 6);
  model_node(&b, "Reshape", "", "c,shape", "p");
  attr_ints(&b, model_node(&b, "Transpose", "", "p", "q"), "perm", "0,2,1");
  attr_ints(&b, model_node(&b, "Transpose", "", "q", "r"), "perm", "0,2,1");
  model_node(&b, "Reshape", "", "r,back", "s");
  model_node(&b, "GlobalAveragePool", "", "s", "t");
  check_passes(&b, 4, 6);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("fold_through");
  add_tests(suite, "through",
            (const TTest *const[]){identity,
                                   dropout,
                                   global_average_pool,
                                   global_max_pool,
                                   average_pool,
                                   average_pool_that_leaves_padding_out,
                                   average_pool_that_counts_padding,
                                   max_pool,
                                   max_pool_of_a_negative_scale,
                                   relu_of_a_scale_only,
                                   relu,
                                   sigmoid,
                                   transpose_and_back,
                                   transpose_that_makes_rows_of_channels,
                                   reshape_of_the_positions,
                                   reshape_that_splits_the_channels,
                                   reshape_that_mixes,
                                   flatten_of_one_position,
                                   squeeze_and_unsqueeze,
                                   concat_of_two_convolutions,
                                   concat_of_positions,
                                   concat_with_a_constant,
                                   concat_with_the_input,
                                   split,
                                   split_of_positions,
                                   slice,
                                   slice_of_opset_9,
                                   pad_with_zeros,
                                   pad_with_the_edge,
                                   pad_with_a_number,
                                   pad_along_named_axes,
                                   pad_of_the_channels,
                                   resize,
                                   long_way,
                                   NULL});
  return suite;
}

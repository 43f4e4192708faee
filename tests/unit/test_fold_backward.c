/* Folding into what computes the normalisation's input: each producer, and arithmetic in between. The convolutions' own
 * forms are in test_fold_conv.c, Gemm's in test_fold_gemm.c. */
#include "fold_check.h"

static const fold_expectation into_conv = {.inputs = {"2,3,5,5"}, .nodes = 1, .target = "conv"};

START_TEST(bias_as_a_separate_add) {
  builder b = fold_begin(13, "N,3,5,5");
  fold_conv(&b, "conv", "x", "c", "4,3,3,3");
  noise_init(&b, "bias", PLEAT_DOUBLE, "1,4,1,1", -1, 1);
  model_node(&b, "Add", "add", "c,bias", "a");
  fold_bn(&b, "bn", "a", "y", 4);
  fold_output(&b, "y");
  check_fold(&b, into_conv);
}
END_TEST

START_TEST(depthwise_with_a_multiplier) {
  builder b = fold_begin(13, "2,3,5,5");
  build_attr_int(&b, fold_conv(&b, "conv", "x", "c", "6,1,3,3"), "group", 3);
  fold_bn(&b, "bn", "c", "y", 6);
  fold_output(&b, "y");
  check_fold(&b, into_conv);
}
END_TEST

START_TEST(transposed_convolution_with_groups) {
  builder b = fold_begin(13, "2,4,3,3");
  noise_init(&b, "w", PLEAT_DOUBLE, "4,3,2,2", -1, 1);
  build_attr_int(&b, model_node(&b, "ConvTranspose", "conv", "x,w", "c"), "group", 2);
  fold_bn(&b, "bn", "c", "y", 6);
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,4,3,3"}, .nodes = 1, .target = "conv"});
}
END_TEST

/* The arithmetic of a decomposed scale: all of it, and the BN, ends in the Conv. */
START_TEST(mul_add_sub_div_and_norm) {
  builder b = fold_begin(13, "2,3,4,4");
  fold_conv(&b, "conv", "x", "c", "2,3,1,1");
  noise_init(&b, "m", PLEAT_DOUBLE, "2,1,1", 0.5, 2);
  noise_init(&b, "d", PLEAT_DOUBLE, "1,2,1,1", 0.5, 2);
  noise_init(&b, "s", PLEAT_DOUBLE, "", 0.5, 2);
  model_node(&b, "Mul", "mul", "m,c", "p");
  model_node(&b, "Sub", "sub", "s,p", "q"); /* s - p */
  model_node(&b, "Div", "div", "q,d", "r");
  model_node(&b, "Neg", "neg", "r", "t");
  fold_bn(&b, "bn", "t", "y", 2);
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,4,4"}, .nodes = 1, .target = "conv"});
}
END_TEST

START_TEST(norm_behind_norm) {
  builder b = fold_begin(13, "2,3,4,4");
  fold_bn(&b, "first", "x", "h", 3);
  fold_bn(&b, "bn", "h", "y", 3);
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,4,4"}, .nodes = 1, .norms = 1, .target = "first"});
}
END_TEST

static void check_norm_kind(const char *op, const char *group) {
  builder b = fold_begin(21, "2,4,3,3");
  noise_init(&b, "gamma", PLEAT_DOUBLE, "4", 0.5, 2);
  noise_init(&b, "beta", PLEAT_DOUBLE, "4", -1, 1);
  Onnx__NodeProto *norm = model_node(&b, op, "norm", "x,gamma,beta", "n");
  if (group != NULL) build_attr_int(&b, norm, "num_groups", 2);
  fold_bn(&b, "bn", "n", "y", 4);
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,4,3,3"}, .nodes = 1, .target = "norm"});
}
START_TEST(norm_behind_instance_normalization) {
  check_norm_kind("InstanceNormalization", NULL);
}
END_TEST
START_TEST(norm_behind_group_normalization) {
  check_norm_kind("GroupNormalization", "2");
}
END_TEST

/* ---- MatMul ---- */

/* A MatMul has no bias: the scale goes up, an Add of the shift stays. */
START_TEST(matmul_with_two_axes) {
  builder b = fold_begin(13, "N,3");
  noise_init(&b, "w", PLEAT_DOUBLE, "3,4", -1, 1);
  model_node(&b, "MatMul", "mm", "x,w", "m");
  fold_bn(&b, "bn", "m", "y", 4);
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"5,3"}, .nodes = 2, .target = "mm"});
}
END_TEST

START_TEST(matmul_and_its_bias) {
  builder b = fold_begin(13, "N,3");
  noise_init(&b, "w", PLEAT_DOUBLE, "3,4", -1, 1);
  noise_init(&b, "bias", PLEAT_DOUBLE, "4", -1, 1);
  model_node(&b, "MatMul", "mm", "x,w", "m");
  model_node(&b, "Add", "add", "bias,m", "a");
  fold_bn(&b, "bn", "a", "y", 4);
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"5,3"}, .nodes = 2, .target = "mm"});
}
END_TEST

/* [N, L, C] -> Transpose -> BN along axis 1. */
START_TEST(matmul_of_rank_3_through_transpose) {
  builder b = fold_begin(13, "N,6,3");
  noise_init(&b, "w", PLEAT_DOUBLE, "3,4", -1, 1);
  model_node(&b, "MatMul", "mm", "x,w", "m");
  attr_ints(&b, model_node(&b, "Transpose", "", "m", "t"), "perm", "0,2,1");
  fold_bn(&b, "bn", "t", "y", 4);
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,6,3"}, .nodes = 3, .target = "mm"});
}
END_TEST

START_TEST(matmul_through_reshape) {
  builder b = fold_begin(13, "2,6,3");
  noise_init(&b, "w", PLEAT_DOUBLE, "3,4", -1, 1);
  INTS_INIT(&b, "shape", "2", 12, 4);
  model_node(&b, "MatMul", "mm", "x,w", "m");
  model_node(&b, "Reshape", "", "m,shape", "r");
  fold_bn(&b, "bn", "r", "y", 4);
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,6,3"}, .nodes = 3, .target = "mm"});
}
END_TEST

START_TEST(matmul_of_a_batch) {
  builder b = fold_begin(13, "2,5,3");
  noise_init(&b, "w", PLEAT_DOUBLE, "2,3,4", -1, 1);
  model_node(&b, "MatMul", "mm", "x,w", "m");
  attr_ints(&b, model_node(&b, "Transpose", "", "m", "t"), "perm", "0,2,1");
  fold_bn(&b, "bn", "t", "y", 4);
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,5,3"}, .nodes = 3, .target = "mm"});
}
END_TEST

/* W x: the channels are the rows of the first operand. */
START_TEST(matmul_from_the_left) {
  builder b = fold_begin(13, "N,3,6");
  noise_init(&b, "w", PLEAT_DOUBLE, "4,3", -1, 1);
  model_node(&b, "MatMul", "mm", "w,x", "m");
  fold_bn(&b, "bn", "m", "y", 4);
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,6"}, .nodes = 2, .target = "mm"});
}
END_TEST

/* BN's axis 1 is the MatMul's row axis of the data: not the weight's columns, though the sizes agree. */
START_TEST(matmul_whose_columns_are_no_channels) {
  builder b = fold_begin(13, "2,4,3");
  noise_init(&b, "w", PLEAT_DOUBLE, "3,4", -1, 1);
  model_node(&b, "MatMul", "mm", "x,w", "m");
  fold_bn(&b, "bn", "m", "y", 4);
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,4,3"},
                                    .nodes = 2,
                                    .norms = 1,
                                    .action = PLEAT_FOLD_KEPT,
                                    .reason = "the MatMul's matrix 'x' is an input of the graph"});
}
END_TEST

/* A [3, 3, K] times a vector: the output [3, 3] has rows on its last axis. */
START_TEST(matmul_with_a_vector) {
  builder b = fold_begin(13, "5");
  noise_init(&b, "w", PLEAT_DOUBLE, "3,3,5", -1, 1);
  model_node(&b, "MatMul", "mm", "w,x", "m");
  fold_bn(&b, "bn", "m", "y", 3);
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"5"}, .nodes = 2, .target = "mm"});
}
END_TEST

START_TEST(two_operands_that_are_computed) {
  builder b = fold_begin(13, "2,3");
  model_input(&b, "w", PLEAT_DOUBLE, "3,4");
  model_node(&b, "MatMul", "mm", "x,w", "m");
  fold_bn(&b, "bn", "m", "y", 4);
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,3", "3,4"},
                                    .nodes = 2,
                                    .norms = 1,
                                    .action = PLEAT_FOLD_KEPT,
                                    .reason = "the MatMul's matrix 'w' is an input of the graph"});
}
END_TEST

/* Conv + a constant image, then BN: the constant takes the map as well. */
START_TEST(sum_with_a_constant_of_many_axes) {
  builder b = fold_begin(13, "2,3,4,4");
  fold_conv(&b, "conv", "x", "c", "2,3,1,1");
  noise_init(&b, "image", PLEAT_DOUBLE, "1,2,4,4", -1, 1);
  model_node(&b, "Add", "add", "c,image", "a");
  fold_bn(&b, "bn", "a", "y", 2);
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,4,4"}, .nodes = 2});
}
END_TEST

START_TEST(sum_of_two_convolutions) {
  builder b = fold_begin(13, "2,3,4,4");
  fold_conv(&b, "conv", "x", "c", "2,3,1,1");
  fold_conv(&b, "other", "x", "d", "2,3,1,1");
  model_node(&b, "Add", "add", "c,d", "a");
  fold_bn(&b, "bn", "a", "y", 2);
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,4,4"}, .nodes = 3, .target = "other"});
}
END_TEST

START_TEST(sum_with_the_input) {
  builder b = fold_begin(13, "2,3,4,4");
  fold_conv(&b, "conv", "x", "c", "3,3,1,1");
  model_node(&b, "Add", "add", "c,x", "a");
  fold_bn(&b, "bn", "a", "y", 3);
  fold_output(&b, "y");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,4,4"},
                                    .nodes = 3,
                                    .norms = 1,
                                    .action = PLEAT_FOLD_KEPT,
                                    .reason = "nothing computes its input 'x'"});
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("fold_backward");
  add_tests(suite, "backward",
            (const TTest *const[]){bias_as_a_separate_add,
                                   depthwise_with_a_multiplier,
                                   transposed_convolution_with_groups,
                                   mul_add_sub_div_and_norm,
                                   norm_behind_norm,
                                   norm_behind_instance_normalization,
                                   norm_behind_group_normalization,
                                   matmul_with_two_axes,
                                   matmul_and_its_bias,
                                   matmul_of_rank_3_through_transpose,
                                   matmul_through_reshape,
                                   matmul_of_a_batch,
                                   matmul_from_the_left,
                                   matmul_whose_columns_are_no_channels,
                                   matmul_with_a_vector,
                                   two_operands_that_are_computed,
                                   sum_with_a_constant_of_many_axes,
                                   sum_of_two_convolutions,
                                   sum_with_the_input,
                                   NULL});
  return suite;
}

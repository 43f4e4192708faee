/* A producer that others read as well: left alone, with what --duplicate would cost, or copied when the user asks. */
#include "fold_check.h"

static const pleat_fold_options duplicate = {.size = sizeof duplicate, .duplicate = true};

/* x -> conv -> c; bn(c) -> y; relu(c) -> z */
static builder shared_conv(void) {
  builder b = fold_begin(13, "2,3,5,5");
  attr_ints(&b, fold_conv(&b, "conv", "x", "c", "4,3,3,3"), "pads", "1,1,1,1");
  model_node(&b, "Relu", "relu", "c", "z");
  fold_bn(&b, "bn", "c", "y", 4);
  fold_output(&b, "y");
  fold_output(&b, "z");
  return b;
}

START_TEST(says_what_it_would_cost) { /* 2 * 4 * 25 * 27 */
  builder b = shared_conv();
  check_fold(&b, (fold_expectation){.inputs = {"2,3,5,5"},
                                    .nodes = 3,
                                    .norms = 1,
                                    .action = PLEAT_FOLD_KEPT,
                                    .reason = "its input 'c' is also read by 'relu'; --duplicate folds it into a copy "
                                              "of 'conv', for 5400 more multiply-adds a run"});
}
END_TEST
START_TEST(copies_a_convolution) {
  builder b = shared_conv();
  check_fold(&b, (fold_expectation){.inputs = {"2,3,5,5"},
                                    .nodes = 3,
                                    .target = "conv_copy",
                                    .reason = "a copy of 'conv', whose own result is still read",
                                    .options = &duplicate});
}
END_TEST
START_TEST(copies_where_the_result_is_an_output) {
  builder b = fold_begin(13, "2,3,5,5");
  fold_conv(&b, "conv", "x", "c", "4,3,3,3");
  fold_bn(&b, "bn", "c", "y", 4);
  fold_output(&b, "y");
  fold_output(&b, "c");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,5,5"}, .nodes = 2, .target = "conv_copy", .options = &duplicate});
}
END_TEST
START_TEST(two_norms_of_one_convolution) { /* a copy for the first; the other one has it for itself then */
  builder b = fold_begin(13, "2,3,5,5");
  fold_conv(&b, "conv", "x", "c", "4,3,3,3");
  fold_bn(&b, "bn", "c", "y", 4);
  fold_bn(&b, "second", "c", "z", 4);
  fold_output(&b, "y");
  fold_output(&b, "z");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,5,5"}, .nodes = 2, .target = "conv_copy", .options = &duplicate});
}
END_TEST
START_TEST(copies_a_matmul_for_the_scale) {
  builder b = fold_begin(13, "2,3");
  noise_init(&b, "w", PLEAT_DOUBLE, "3,4", -1, 1);
  model_node(&b, "MatMul", "mm", "x,w", "m");
  fold_bn(&b, "bn", "m", "y", 4);
  fold_output(&b, "y");
  fold_output(&b, "m");
  check_fold(&b, (fold_expectation){.inputs = {"2,3"}, .nodes = 3, .target = "mm_copy", .options = &duplicate});
}
END_TEST
START_TEST(never_more_than_what_absorbs) { /* the pool between is read by others: it is not copied */
  builder b = fold_begin(13, "2,3,5,5");
  fold_conv(&b, "conv", "x", "c", "4,3,3,3");
  model_node(&b, "GlobalAveragePool", "pool", "c", "p");
  model_node(&b, "Relu", "relu", "p", "z");
  fold_bn(&b, "bn", "p", "y", 4);
  fold_output(&b, "y");
  fold_output(&b, "z");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,5,5"},
                                    .nodes = 4,
                                    .norms = 1,
                                    .action = PLEAT_FOLD_KEPT,
                                    .reason = "its input 'p' is also read by 'relu'",
                                    .options = &duplicate});
}
END_TEST
START_TEST(through_a_pool_of_its_own) {
  builder b = fold_begin(13, "2,3,5,5");
  fold_conv(&b, "conv", "x", "c", "4,3,3,3");
  model_node(&b, "GlobalAveragePool", "pool", "c", "p");
  fold_bn(&b, "bn", "p", "y", 4);
  fold_output(&b, "y");
  fold_output(&b, "c");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,5,5"}, .nodes = 3, .target = "conv_copy", .options = &duplicate});
}
END_TEST
START_TEST(only_one_copy_a_fold) {
  builder b = fold_begin(13, "2,3,5,5");
  fold_conv(&b, "conv", "x", "c", "4,3,3,3");
  fold_conv(&b, "other", "x", "d", "4,3,3,3");
  model_node(&b, "Add", "add", "c,d", "a");
  fold_bn(&b, "bn", "a", "y", 4);
  fold_output(&b, "y");
  fold_output(&b, "c");
  fold_output(&b, "d");
  check_fold(&b, (fold_expectation){.inputs = {"2,3,5,5"},
                                    .nodes = 4,
                                    .norms = 1,
                                    .action = PLEAT_FOLD_KEPT,
                                    .reason = "only one node is copied for a fold",
                                    .options = &duplicate});
}
END_TEST
START_TEST(nothing_is_copied_for_plain_arithmetic) {
  builder b = fold_begin(13, "2,3,5,5");
  fold_conv(&b, "conv", "x", "c", "4,3,3,3");
  model_init(&b, "two", PLEAT_DOUBLE, "", (const double[]){2});
  model_node(&b, "Mul", "mul", "c,two", "y");
  fold_output(&b, "y");
  fold_output(&b, "c");
  pleat_model *model = build_model(&b), *folded = fold_model(model, &duplicate, NULL);
  assert_same_bytes(model, folded);
  pleat_model_release(model);
  pleat_model_release(folded);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("fold_duplicate");
  add_tests(suite, "duplicate",
            (const TTest *const[]){says_what_it_would_cost, copies_a_convolution, copies_where_the_result_is_an_output,
                                   two_norms_of_one_convolution, copies_a_matmul_for_the_scale,
                                   never_more_than_what_absorbs, through_a_pool_of_its_own, only_one_copy_a_fold,
                                   nothing_is_copied_for_plain_arithmetic, NULL});
  return suite;
}

/* pleat_model_norms: scale and shift of every BatchNormalization, from the definition, and why some have none. */
#include "model_builder.h"

static void add_norm(builder *b, Onnx__GraphProto *graph, const char *name, const char *in, const char *out) {
  char inputs[128];
  snprintf(inputs, sizeof inputs, "%s,scale,beta,mean,var", in);
  build_attr_float(b, build_node(b, graph, "BatchNormalization", name, inputs, out), "epsilon", 0.25f);
}

static void add_parameters(builder *b) {
  model_init(b, "scale", PLEAT_FLOAT, "2", (const double[]){3, -4});
  model_init(b, "beta", PLEAT_FLOAT, "2", (const double[]){1, 2});
  model_init(b, "mean", PLEAT_FLOAT, "2", (const double[]){0.5, 10});
  model_init(b, "var", PLEAT_FLOAT, "2", (const double[]){2, 0});
}

static pleat_norm_list *norms_of(builder *b) {
  pleat_norm_list *list = NULL;
  pleat_model *model = build_model(b);
  ASSERT_OK(pleat_model_norms(model, &list, error));
  pleat_model_release(model); /* the list lives on */
  return list;
}

START_TEST(maps) {
  builder b = build_begin(8, 14);
  model_input(&b, "x", PLEAT_FLOAT, "N,2,4");
  add_parameters(&b);
  add_norm(&b, b.graph, "first", "x", "t");
  add_norm(&b, b.graph, "", "t", "y");
  model_output(&b, "y", PLEAT_FLOAT, "N,2,4");
  pleat_norm_list *list = norms_of(&b);
  ck_assert_uint_eq(list->count, 2);
  ck_assert_str_eq(list->norms[0].node, "first");
  ck_assert_str_eq(list->norms[1].node, "BatchNormalization#1");
  for (size_t i = 0; i < 2; i++) {
    const pleat_norm *norm = &list->norms[i];
    ck_assert_str_eq(norm->reason, "");
    ck_assert_uint_eq(norm->channels, 2);
    ck_assert_double_eq(norm->epsilon, 0.25);
    ck_assert_double_eq(norm->variance[0], 2);
    ck_assert_double_eq(norm->variance[1], 0);
    ck_assert_double_eq(norm->scale[0], 3 / 1.5);
    ck_assert_double_eq(norm->scale[1], -4 / 0.5);
    ck_assert_double_eq(norm->shift[0], 1 - 2 * 0.5);
    ck_assert_double_eq(norm->shift[1], 2 + 8.0 * 10);
  }
  pleat_norm_list_destroy(list);
}
END_TEST

START_TEST(no_maps) {
  builder b = build_begin(8, 14);
  model_input(&b, "x", PLEAT_FLOAT, "N,2,4");
  model_input(&b, "given", PLEAT_FLOAT, "2");
  add_parameters(&b);
  model_node(&b, "BatchNormalization", "fed", "x,given,beta,mean,var", "t");
  Onnx__NodeProto *training = model_node(&b, "BatchNormalization", "training", "t,scale,beta,mean,var", "y,m,v");
  build_attr_int(&b, training, "training_mode", 1);
  model_output(&b, "y", PLEAT_FLOAT, "N,2,4");
  pleat_norm_list *list = norms_of(&b);
  ck_assert_uint_eq(list->count, 2);
  ck_assert_ptr_nonnull(strstr(list->norms[0].reason, "'given' is an input of the graph"));
  ck_assert_ptr_nonnull(strstr(list->norms[1].reason, "training mode"));
  for (size_t i = 0; i < 2; i++) {
    ck_assert_uint_eq(list->norms[i].channels, 0);
    ck_assert_ptr_null(list->norms[i].scale);
  }
  pleat_norm_list_destroy(list);
}
END_TEST

START_TEST(in_subgraphs) {
  builder b = build_begin(8, 14);
  model_input(&b, "x", PLEAT_FLOAT, "N,2,4");
  model_input(&b, "cond", PLEAT_BOOL, "");
  add_parameters(&b);
  Onnx__NodeProto *node = model_node(&b, "If", "if", "cond", "y");
  const char *branches[] = {"then_branch", "else_branch"};
  for (int i = 0; i < 2; i++) {
    Onnx__GraphProto *branch = build_graph(&b, branches[i]);
    add_norm(&b, branch, branches[i], "x", i == 0 ? "p" : "q");
    build_output(&b, branch, i == 0 ? "p" : "q");
    build_attr_graph(&b, node, branches[i], branch);
  }
  add_norm(&b, b.graph, "outer", "x", "z");
  model_output(&b, "y", PLEAT_FLOAT, "?");
  model_output(&b, "z", PLEAT_FLOAT, "?");
  pleat_norm_list *list = norms_of(&b);
  ck_assert_uint_eq(list->count, 3);
  ck_assert_str_eq(list->norms[0].node, "then_branch");
  ck_assert_str_eq(list->norms[1].node, "else_branch");
  ck_assert_str_eq(list->norms[2].node, "outer");
  for (size_t i = 0; i < 3; i++) ck_assert_double_eq(list->norms[i].scale[1], -8);
  pleat_norm_list_destroy(list);
}
END_TEST

START_TEST(bad_arguments) {
  pleat_norm_list *list = NULL;
  builder b = build_chain(8);
  pleat_model *model = build_model(&b);
  ck_assert_int_eq(pleat_model_norms(NULL, &list, NULL), PLEAT_INVALID_ARGUMENT);
  ck_assert_int_eq(pleat_model_norms(model, NULL, NULL), PLEAT_INVALID_ARGUMENT);
  ASSERT_OK(pleat_model_norms(model, &list, error));
  ck_assert_uint_eq(list->count, 0);
  pleat_norm_list_destroy(list);
  pleat_norm_list_destroy(NULL);
  pleat_model_release(model);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("fold_norms");
  TCase *tcase = tcase_create("norms");
  tcase_add_test(tcase, maps);
  tcase_add_test(tcase, no_maps);
  tcase_add_test(tcase, in_subgraphs);
  tcase_add_test(tcase, bad_arguments);
  suite_add_tcase(suite, tcase);
  return suite;
}

/* Folded weights that nobody has computed: in a model that was not saved, folded again, in external data, in a Constant
 * node. What is looked at in the other tests of folding is a file. */
#include <sys/stat.h>
#include <unistd.h>

#include "fold_case.h"

static conv_case plain(void) {
  return with_defaults((conv_case){.x = "1,40,5,5", .w = "40,40,3,3", .dtype = PLEAT_FLOAT, .bias = true});
}

static pleat_model *fold_only(const pleat_model *model) {
  pleat_model *folded = NULL;
  ASSERT_OK(pleat_model_fold(model, NULL, &folded, NULL, error));
  return folded;
}

static pleat_tensor *run_model(const pleat_model *model, bool no_fold) {
  pleat_session *session = session_with(model, (pleat_session_options){.no_fold = no_fold});
  pleat_tensor *y = run_one(session, noise_tensor(PLEAT_FLOAT, "1,40,5,5", 5));
  pleat_session_destroy(session);
  return y;
}

/* A folded model in memory computes what it does as a file, and outlives the model that it came from. */
START_TEST(runs_without_being_saved) {
  builder b = conv_bn(plain());
  pleat_model *model = build_model(&b), *folded = fold_only(model), *saved = fold_model(model, NULL, NULL);
  pleat_model_release(model);
  ck_assert(!initializer_named(folded, "w_folded")->has_raw_data);
  for (int no_fold = 0; no_fold < 2; no_fold++) {
    pleat_tensor *y = run_model(folded, no_fold != 0), *expected = run_model(saved, no_fold != 0);
    assert_same(y, expected, 0);
    pleat_tensor_release(y);
    pleat_tensor_release(expected);
  }
  assert_same_bytes(folded, saved);
  pleat_model_release(folded);
  pleat_model_release(saved);
}
END_TEST

/* Folding it once more changes nothing, and the weights still come about as they did. */
START_TEST(folds_again_to_the_same) {
  builder b = conv_bn(plain());
  pleat_model *model = build_model(&b), *once = fold_only(model), *twice = fold_only(once);
  pleat_model *thrice = fold_only(twice);
  pleat_model_release(model);
  assert_same_bytes(once, thrice);
  pleat_model_release(once);
  pleat_tensor *y = run_model(thrice, true), *again = run_model(twice, true);
  assert_same(y, again, 0);
  pleat_tensor_release(y);
  pleat_tensor_release(again);
  pleat_model_release(twice);
  pleat_model_release(thrice);
}
END_TEST

/* One normalisation before and one behind: columns and rows of one weight, rounded once. With groups, too. */
START_TEST(folded_from_both_sides) {
  static const char *const shapes[] = {"6,6,3,3", "6,3,3,3", "6,1,3,3"};
  static const int64_t groups[] = {1, 2, 6};
  const pleat_dtype dtype = PLEAT_FLOAT16;
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", dtype, "1,6,7,7");
  noise_init(&b, "w", dtype, shapes[_i], -1, 1);
  add_parameters(&b, "", dtype, 6);
  add_parameters(&b, "i", dtype, 6);
  bn_node(&b, b.graph, "before", "x,iscale,ibeta,imean,ivar", "n", MODEL_OPSET);
  Onnx__NodeProto *conv = model_node(&b, "Conv", "conv", "n,w", "c");
  build_attr_int(&b, conv, "group", groups[_i]);
  bn_node(&b, b.graph, "behind", "c,scale,beta,mean,var", "y", MODEL_OPSET);
  model_output(&b, "y", dtype, "?");
  pleat_model *model = build_model(&b), *folded = fold_model(model, NULL, NULL);
  ck_assert_uint_eq(folded->message->graph->n_node, 1);
  pleat_tensor *w = stored(model, "w"), *new_w = stored(folded, folded->message->graph->node[0]->input[1]);
  pleat_tensor *in[2] = {stored(model, "iscale"), stored(model, "ivar")};
  for (size_t i = 0; i < w->count; i++) {
    double behind, ignored;
    const size_t columns = (size_t)w->dims[1], row = i / 9 / columns, rows_per_group = 6 / (size_t)groups[_i];
    const size_t channel = row / rows_per_group * columns + i / 9 % columns;
    const double before = element(in[0], channel) / sqrt(element(in[1], channel) + (double)1e-3f);
    map_of(model, row, &behind, &ignored);
    assert_rounded(new_w, i, element(w, i) * behind * before);
  }
  for (size_t i = 0; i < 2; i++) pleat_tensor_release(in[i]);
  pleat_tensor_release(w);
  pleat_tensor_release(new_w);
  pleat_model_release(model);
  pleat_model_release(folded);
}
END_TEST

/* A weight that is itself computed, of two initializers: its tensor outlives the graph that computed it. */
START_TEST(of_a_computed_weight) {
  conv_case c = plain();
  builder b = build_begin(c.ir, c.opset);
  model_input(&b, "x", c.dtype, c.x);
  noise_init(&b, "half", c.dtype, c.w, -1, 1);
  noise_init(&b, "two", c.dtype, "40,1,1,1", 1, 2);
  noise_init(&b, "b", c.dtype, "40", -1, 1);
  add_parameters(&b, "", c.dtype, 40);
  model_node(&b, "Mul", "mul", "half,two", "w");
  conv_node(&b, &c, "conv", "x,w,b", "c");
  bn_node(&b, b.graph, "bn", "c,scale,beta,mean,var", "y", c.opset);
  model_output(&b, "y", c.dtype, "?");
  pleat_model *model = build_model(&b), *folded = fold_only(model);
  ck_assert_uint_eq(folded->message->graph->n_node, 1);
  pleat_tensor *y = run_model(folded, true), *expected = run_model(model, true);
  pleat_model_release(model);
  assert_same(y, expected, 1e-4);
  pleat_tensor_release(y);
  pleat_tensor_release(expected);
  pleat_model_release(folded);
}
END_TEST

/* Below IR version 4 a new constant of a subgraph is written as a node, which holds numbers. */
START_TEST(as_a_constant_node) {
  conv_case c = plain();
  builder b = build_begin(3, c.opset);
  model_input(&b, "cond", PLEAT_BOOL, "");
  model_input(&b, "x", c.dtype, c.x);
  Onnx__NodeProto *node = model_node(&b, "If", "if", "cond", "y");
  const char *const names[] = {"then_branch", "else_branch"};
  for (size_t i = 0; i < 2; i++) {
    Onnx__GraphProto *branch = build_graph(&b, names[i]);
    const char *const inits[] = {"w", "scale", "beta", "mean", "var"};
    for (size_t k = 0; k < 5; k++) {
      Onnx__NodeProto *constant = build_node(&b, branch, "Constant", "", "", inits[k]);
      const char *shape = k == 0 ? c.w : "40";
      build_attr(&b, constant, "value", PLEAT_ATTR_TENSOR)->t =
          tensor_message(&b, "", c.dtype, shape, noise_values(&b, inits[k], shape_count(shape), 0.5, 1));
    }
    build_node(&b, branch, "Conv", "conv", "x,w", "c");
    bn_node(&b, branch, "bn", "c,scale,beta,mean,var", "z", c.opset);
    ADD(&b, branch->output, branch->n_output, info_of(&b, "z", c.dtype, "?"));
    build_attr_graph(&b, node, names[i], branch);
  }
  model_output(&b, "y", c.dtype, "?");
  pleat_model *model = build_model(&b), *folded = fold_model(model, NULL, NULL);
  const Onnx__GraphProto *branch = folded->message->graph->node[0]->attribute[0]->g;
  size_t found = 0;
  for (size_t i = 0; i < branch->n_node; i++) {
    const Onnx__NodeProto *constant = branch->node[i];
    ck_assert_str_ne(constant->op_type, "BatchNormalization");
    if (strcmp(constant->op_type, "Constant") != 0 || strcmp(constant->output[0], "w_folded") != 0) continue;
    ck_assert_uint_eq(constant->attribute[0]->t->raw_data.len, shape_count(c.w) * sizeof(float));
    found++;
  }
  ck_assert_uint_eq(found, 1);
  ck_assert_uint_eq(branch->n_initializer, 0);
  pleat_model_release(model);
  pleat_model_release(folded);
}
END_TEST

/* ---- external data ---- */

/* What was outside of the file stays so when it is folded; what is new and small does not go there. */
START_TEST(external_weights_stay_external) {
  char folder[] = "/tmp/pleat-fold-XXXXXX", path[3][64], data[3][80];
  pleat_model *model = NULL, *folded = NULL, *again = NULL;
  ck_assert_ptr_nonnull(mkdtemp(folder));
  for (int i = 0; i < 3; i++) {
    snprintf(path[i], sizeof path[i], "%s/%d.onnx", folder, i);
    snprintf(data[i], sizeof data[i], "%s.data", path[i]);
  }
  builder b = conv_bn(plain());
  pleat_model *inline_model = build_model(&b), *expected = fold_model(inline_model, NULL, NULL);
  ASSERT_OK(pleat_model_save(inline_model, path[0], PLEAT_EXTERNAL_FILE, error));
  ASSERT_OK(pleat_model_load(path[0], &model, error));
  folded = fold_only(model);
  const struct {
    pleat_external external;
    bool is_external;
  } cases[] = {{PLEAT_EXTERNAL_KEEP, true}, {PLEAT_EXTERNAL_FILE, true}, {PLEAT_EXTERNAL_INLINE, false}};
  for (size_t i = 0; i < 3; i++) {
    ASSERT_OK(pleat_model_save(folded, path[1], cases[i].external, error));
    ASSERT_OK(pleat_model_load(path[1], &again, error));
    ck_assert_int_eq(pleat_proto_tensor_is_external(initializer_named(again, "w_folded")), cases[i].is_external);
    ck_assert(!pleat_proto_tensor_is_external(initializer_named(again, "b_folded")));
    pleat_tensor *w = stored(again, "w_folded"), *expected_w = stored(expected, "w_folded");
    assert_same(w, expected_w, 0);
    pleat_tensor_release(w);
    pleat_tensor_release(expected_w);
    pleat_model_release(again);
    ck_assert_int_eq(access(data[1], F_OK) == 0, cases[i].is_external);
    unlink(path[1]);
    unlink(data[1]);
  }
  /* Over its own source, whose data are being read. */
  ASSERT_OK(pleat_model_save(folded, path[0], PLEAT_EXTERNAL_KEEP, error));
  ASSERT_OK(pleat_model_load(path[0], &again, error));
  pleat_tensor *y = run_model(again, true), *expected_y = run_model(expected, true);
  assert_same(y, expected_y, 0);
  pleat_tensor_release(y);
  pleat_tensor_release(expected_y);
  pleat_model_release(again);
  pleat_model_release(folded);
  pleat_model_release(model);
  pleat_model_release(inline_model);
  pleat_model_release(expected);
  unlink(path[0]);
  unlink(data[0]);
  rmdir(folder);
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  Suite *suite = suite_create("fold_recipe");
  add_tests(suite, "models",
            (const TTest *const[]){runs_without_being_saved, folds_again_to_the_same, of_a_computed_weight,
                                   as_a_constant_node, external_weights_stay_external, NULL});
  TCase *sides = tcase_create("sides");
  tcase_add_loop_test(sides, folded_from_both_sides, 0, 3);
  suite_add_tcase(suite, sides);
  return suite;
}

/* BatchNormalization into Gemm: transposes, alpha and beta, and every shape that C may have. */
#include "fold_case.h"

typedef struct gemm_case {
  const char *c_shape; /* NULL: no C */
  int64_t opset;       /* 0: MODEL_OPSET */
  bool trans_a, trans_b;
  float alpha, beta; /* 0: 1, the default */
  bool zero_beta;
  pleat_dtype dtype; /* UNDEFINED: DOUBLE */
  const char *new_c; /* the folded C's shape */
} gemm_case;

enum { ROWS = 3, INNER = 4, COLUMNS = 2 };

static builder gemm_bn(const gemm_case *c) {
  builder b = build_begin(c->opset < 7 ? 3 : 8, c->opset);
  model_input(&b, "x", c->dtype, c->trans_a ? "4,3" : "3,4");
  noise_init(&b, "w", c->dtype, c->trans_b ? "2,4" : "4,2", -1, 1);
  if (c->c_shape != NULL) noise_init(&b, "c0", c->dtype, c->c_shape, -1, 1);
  if (c->zero_beta) pleat_store_f64(c->dtype, b.graph->initializer[1]->raw_data.data, 0, INFINITY);
  add_parameters(&b, "", c->dtype, COLUMNS);
  Onnx__NodeProto *gemm = model_node(&b, "Gemm", "gemm", c->c_shape != NULL ? "x,w,c0" : "x,w", "g");
  if (c->trans_a) build_attr_int(&b, gemm, "transA", 1);
  if (c->trans_b) build_attr_int(&b, gemm, "transB", 1);
  if (c->alpha != 0) build_attr_float(&b, gemm, "alpha", c->alpha);
  if (c->beta != 0 || c->zero_beta) build_attr_float(&b, gemm, "beta", c->beta);
  if (c->opset < 7 && strcmp(c->c_shape, "3,2") != 0) build_attr_int(&b, gemm, "broadcast", 1);
  bn_node(&b, b.graph, "bn", "g,scale,beta,mean,var", "y", c->opset);
  model_output(&b, "y", c->dtype, "?");
  return b;
}

static void assert_gemm_parameters(const gemm_case *c, const pleat_model *original, const pleat_model *folded) {
  pleat_tensor *w = stored(original, "w"), *new_w = stored(folded, "w_folded");
  pleat_tensor *old = c->c_shape != NULL ? stored(original, "c0") : NULL;
  pleat_tensor *new_c = stored(folded, c->zero_beta ? "c0_bias" : old != NULL ? "c0_folded" : "w_folded_bias");
  char expected[64], found[64];
  snprintf(expected, sizeof expected, "%s[%s]", pleat_dtype_name(c->dtype), c->new_c);
  ck_assert_str_eq(pleat_tensor_text(new_c, found, sizeof found), expected);
  for (size_t i = 0; i < w->count; i++) {
    double scale, shift;
    map_of(original, c->trans_b ? i / INNER : i % COLUMNS, &scale, &shift);
    assert_rounded(new_w, i, scale * pleat_load_f64(w->dtype, w->data, i));
  }
  for (size_t i = 0; i < new_c->count; i++) {
    double scale, shift, value = 0;
    map_of(original, i % COLUMNS, &scale, &shift);
    if (old != NULL && !c->zero_beta) {
      size_t from = old->count == 1 ? 0 : old->count == ROWS ? i / COLUMNS : i % old->count;
      value = scale * (double)(c->beta != 0 ? c->beta : 1) * pleat_load_f64(old->dtype, old->data, from);
    }
    assert_rounded(new_c, i, value + shift);
  }
  pleat_tensor_release(w);
  pleat_tensor_release(new_w);
  pleat_tensor_release(old);
  pleat_tensor_release(new_c);
}

static void check_gemm(gemm_case c) {
  if (c.opset == 0) c.opset = MODEL_OPSET;
  if (c.dtype == PLEAT_UNDEFINED) c.dtype = PLEAT_DOUBLE;
  builder b = gemm_bn(&c);
  pleat_model *model = build_model(&b);
  pleat_model *folded = assert_folds(model, "fold-into-producer", "bn", "gemm", 1);
  const Onnx__NodeProto *gemm = folded->message->graph->node[0];
  for (size_t i = 0; i < gemm->n_attribute; i++) {
    const Onnx__AttributeProto *attr = gemm->attribute[i];
    if (strcmp(attr->name, "beta") == 0) ck_assert(attr->f == 1.0f);
    if (strcmp(attr->name, "alpha") == 0) ck_assert(attr->f == c.alpha);
  }
  ck_assert_uint_eq(folded->message->graph->n_initializer, 2);
  assert_gemm_parameters(&c, model, folded);
  assert_same_values(model, folded, c.trans_a ? "4,3" : "3,4", c.dtype, tolerance_of(c.dtype));
  pleat_model_release(model);
  pleat_model_release(folded);
}

#define GEMM_TEST(name, ...)                                                                                           \
  START_TEST(name) {                                                                                                   \
    check_gemm((gemm_case){__VA_ARGS__});                                                                              \
  }                                                                                                                    \
  END_TEST

GEMM_TEST(c_absent, .new_c = "2")
GEMM_TEST(c_absent_trans_b, .trans_b = true, .new_c = "2")
GEMM_TEST(c_scalar, .c_shape = "", .new_c = "2")
GEMM_TEST(c_one, .c_shape = "1", .new_c = "2")
GEMM_TEST(c_row, .c_shape = "2", .new_c = "2")
GEMM_TEST(c_row_matrix, .c_shape = "1,2", .new_c = "1,2")
GEMM_TEST(c_one_matrix, .c_shape = "1,1", .new_c = "1,2")
GEMM_TEST(c_column, .c_shape = "3,1", .new_c = "3,2")
GEMM_TEST(c_matrix, .c_shape = "3,2", .new_c = "3,2")
GEMM_TEST(transposed, .c_shape = "2", .trans_a = true, .trans_b = true, .new_c = "2")
GEMM_TEST(trans_a, .c_shape = "3,1", .trans_a = true, .new_c = "3,2")
GEMM_TEST(alpha_and_beta, .c_shape = "2", .alpha = 0.75f, .beta = -1.5f, .new_c = "2")
GEMM_TEST(alpha_beta_column, .c_shape = "3,1", .trans_b = true, .alpha = -2, .beta = 0.3f, .new_c = "3,2")
GEMM_TEST(beta_zero_ignores_c, .c_shape = "2", .zero_beta = true, .new_c = "2")
GEMM_TEST(beta_zero_column, .c_shape = "3,1", .zero_beta = true, .new_c = "2")
GEMM_TEST(opset_6_row, .c_shape = "2", .opset = 6, .new_c = "2")
GEMM_TEST(opset_6_matrix, .c_shape = "3,2", .opset = 6, .beta = 2, .new_c = "3,2")
GEMM_TEST(opset_7, .c_shape = "3,1", .opset = 7, .new_c = "3,2")
GEMM_TEST(opset_9, .c_shape = "1,2", .opset = 9, .trans_b = true, .new_c = "1,2")
GEMM_TEST(opset_11, .opset = 11, .alpha = 3, .new_c = "2")
GEMM_TEST(opset_15, .c_shape = "2", .opset = 15, .new_c = "2")
GEMM_TEST(float_weights, .c_shape = "2", .dtype = PLEAT_FLOAT, .beta = 0.7f, .new_c = "2")
GEMM_TEST(float16_weights, .c_shape = "3,1", .dtype = PLEAT_FLOAT16, .new_c = "3,2")
GEMM_TEST(bfloat16_weights, .c_shape = "2", .dtype = PLEAT_BFLOAT16, .opset = 15, .new_c = "2")

START_TEST(spatial_zero_has_one_position) { /* rank 2: per activation and per channel are the same */
  gemm_case c = {.c_shape = "2", .opset = 7, .dtype = PLEAT_DOUBLE, .new_c = "2"};
  builder b = gemm_bn(&c);
  build_attr_int(&b, b.graph->node[1], "spatial", 0);
  pleat_model *model = build_model(&b);
  pleat_model *folded = assert_folds(model, "fold-into-producer", "bn", "gemm", 1);
  assert_same_values(model, folded, "3,4", c.dtype, 1e-12);
  pleat_model_release(model);
  pleat_model_release(folded);
}
END_TEST

START_TEST(weight_that_is_an_input) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "3,4");
  model_input(&b, "w", PLEAT_FLOAT, "4,2");
  add_parameters(&b, "", PLEAT_FLOAT, 2);
  model_node(&b, "Gemm", "gemm", "x,w", "g");
  bn_node(&b, b.graph, "bn", "g,scale,beta,mean,var", "y", MODEL_OPSET);
  model_output(&b, "y", PLEAT_FLOAT, "?");
  assert_kept(&b, "bn", "the Gemm's B 'w' is an input of the graph");
}
END_TEST

START_TEST(addend_that_is_computed) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "3,4");
  noise_init(&b, "w", PLEAT_FLOAT, "4,2", -1, 1);
  add_parameters(&b, "", PLEAT_FLOAT, 2);
  build_attr_int(&b, model_node(&b, "ReduceMax", "max", "x", "c0"), "keepdims", 0);
  model_node(&b, "Gemm", "gemm", "x,w,c0", "g");
  bn_node(&b, b.graph, "bn", "g,scale,beta,mean,var", "y", MODEL_OPSET);
  model_output(&b, "y", PLEAT_FLOAT, "?");
  assert_kept(&b, "bn", "the Gemm's C 'c0' is computed while running");
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("fold_gemm");
  add_tests(suite, "gemm",
            (const TTest *const[]){c_absent,
                                   c_absent_trans_b,
                                   c_scalar,
                                   c_one,
                                   c_row,
                                   c_row_matrix,
                                   c_one_matrix,
                                   c_column,
                                   c_matrix,
                                   transposed,
                                   trans_a,
                                   alpha_and_beta,
                                   alpha_beta_column,
                                   beta_zero_ignores_c,
                                   beta_zero_column,
                                   opset_6_row,
                                   opset_6_matrix,
                                   opset_7,
                                   opset_9,
                                   opset_11,
                                   opset_15,
                                   float_weights,
                                   float16_weights,
                                   bfloat16_weights,
                                   spatial_zero_has_one_position,
                                   weight_that_is_an_input,
                                   addend_that_is_computed,
                                   NULL});
  return suite;
}

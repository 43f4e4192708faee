/* oneDNN's kernels other than the convolutions against the reference kernels: dense and in blocks of channels whose
 * last one is not full, small and odd sizes, with what is not finite where the result is specified. */
#include <stdio.h>

#include "kernel_case.h"

static const char *const shapes[] = {"1,16,5,7", "2,17,4,4", "1,3,9,8", "7,31,3,2", "1,8,1,1", "2,40,6,5"};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static pleat_tensor *noise_of(uint64_t *seed, const char *shape) {
  int64_t dims[PLEAT_MAX_RANK];
  const int rank = shape_dims(shape, dims);
  return make_noise(seed, PLEAT_FLOAT, rank, dims);
}

static bool takes(const op_case *c, const pleat_kernel *kernel) {
  for (const pleat_kernel *const *k = c->node.def->kernels; *k != NULL; k++) {
    if (*k == kernel) return true;
  }
  return false;
}

/* ---- of one tensor ---- */

START_TEST(functions) {
  static const struct {
    const char *op;
    int opset;
  } list[] = {{"Abs", 13},      {"Elu", 6},      {"Exp", 13},        {"Gelu", 20},   {"HardSwish", 14},
              {"LeakyRelu", 6}, {"Relu", 13},    {"Sigmoid", 13},    {"Sqrt", 13},   {"Tanh", 13},
              {"Clip", 6},      {"Softmax", 13}, {"LogSoftmax", 13}, {"Softmax", 11}};
  uint64_t seed = 2;
  for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
    for (int s = 0; s < SHAPES; s++) {
      op_case c;
      const bool softmax = strstr(list[i].op, "oftmax") != NULL;
      const pleat_kernel *kernel = softmax ? &pleat_onednn_softmax : &pleat_onednn_eltwise;
      case_begin(&c, list[i].op, list[i].opset);
      case_input(&c, noise_of(&seed, shapes[s]));
      if (strcmp(list[i].op, "Clip") == 0) {
        case_float(&c, "min", -0.5f);
        case_float(&c, "max", 1.25f);
      }
      for (size_t k = 0; strcmp(list[i].op, "Sqrt") == 0 && k < c.inputs[0]->count; k++) {
        float *x = c.inputs[0]->data;
        x[k] = fabsf(x[k]);
      }
      case_build(&c);
      ck_assert_msg(takes(&c, kernel), "%s has no such kernel", list[i].op);
      /* Blocks are padded with zeros, which must stay zeros: Exp and Sigmoid decline such tensors. */
      const bool zero_stays = strcmp(list[i].op, "Exp") != 0 && strcmp(list[i].op, "Sigmoid") != 0;
      check_against_reference(&c, kernel, "", 0, !softmax && zero_stays, 2e-6, list[i].op);
    }
  }
}
END_TEST

START_TEST(softmax_of_channels) {
  uint64_t seed = 4;
  op_case c;
  case_begin(&c, "Softmax", 13);
  case_input(&c, noise_of(&seed, "2,21,6,5"));
  case_int(&c, "axis", 1);
  check_declines(&c, &pleat_onednn_softmax, 0, "last axis");
}
END_TEST

START_TEST(infinities) {
  static const float values[] = {INFINITY, -INFINITY, 0.0f, -0.0f, 1.0f, 3e38f};
  static const char *const ops[] = {"Relu", "Abs", "Tanh", "Sigmoid", "LeakyRelu", "Exp"};
  for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
    op_case c;
    case_begin(&c, ops[i], 13);
    case_input(&c, make(PLEAT_FLOAT, "6", values));
    check_against_reference(&c, &pleat_onednn_eltwise, "", 0, 0, 1e-6, ops[i]);
  }
}
END_TEST

START_TEST(normalizations) {
  uint64_t seed = 9;
  for (int s = 0; s < 2 * SHAPES; s++) {
    int64_t dims[PLEAT_MAX_RANK];
    op_case c;
    const bool fused = s >= SHAPES;
    shape_dims(shapes[s % SHAPES], dims);
    case_begin(&c, fused ? "FusedBatchNormalization" : "BatchNormalization", fused ? 1 : 15);
    case_input(&c, noise_of(&seed, shapes[s % SHAPES]));
    for (int i = 0; i < 4; i++) case_input(&c, make_noise(&seed, PLEAT_FLOAT, 1, &dims[1]));
    float *variance = c.inputs[4]->data;
    for (int64_t k = 0; k < dims[1]; k++) variance[k] = fabsf(variance[k]) + 0.1f;
    if (fused) case_string(&c, "activation", "Relu");
    check_against_reference(&c, &pleat_onednn_batch_normalization, fused ? "pleat" : "", ~1u, 1, 2e-6,
                            "BatchNormalization");
  }
}
END_TEST

START_TEST(local_normalization) {
  uint64_t seed = 6;
  op_case c;
  case_begin(&c, "LRN", 13);
  case_input(&c, noise_of(&seed, "2,32,6,5"));
  case_int(&c, "size", 5);
  case_float(&c, "alpha", 0.02f);
  check_against_reference(&c, &pleat_onednn_lrn, "", 0, 1, 1e-5, "LRN");
  case_begin(&c, "LRN", 13);
  case_input(&c, noise_of(&seed, "2,32,6,5"));
  case_int(&c, "size", 4);
  check_declines(&c, &pleat_onednn_lrn, 0, "even");
}
END_TEST

/* ---- pools ---- */

START_TEST(pools) {
  uint64_t seed = 21;
  char what[160];
  for (int i = 0; i < 60; i++) {
    static const char *const ops[] = {"MaxPool", "AveragePool"};
    const char *shape = (const char *const[]){"1,16,9,11", "2,17,8,8", "7,5,6,7", "1,33,12,9"}[i % 4];
    const int64_t kernel[] = {random_between(&seed, 1, 4), random_between(&seed, 1, 4)};
    const int64_t stride[] = {random_between(&seed, 1, 3), random_between(&seed, 1, 3)};
    int64_t pads[4];
    for (int k = 0; k < 4; k++) pads[k] = random_between(&seed, 0, kernel[k % 2] - 1);
    const int64_t ceil = random_between(&seed, 0, 1), include = random_between(&seed, 0, 1);
    op_case c;
    case_begin(&c, ops[i / 4 % 2], 12);
    case_input(&c, noise_of(&seed, shape));
    if (i % 5 == 0) ((float *)c.inputs[0]->data)[17] = INFINITY;
    case_ints(&c, "kernel_shape", 2, kernel);
    case_ints(&c, "strides", 2, stride);
    case_ints(&c, "pads", 4, pads);
    case_int(&c, "ceil_mode", ceil && !include);
    if (i / 4 % 2 == 1) case_int(&c, "count_include_pad", include);
    snprintf(what, sizeof what, "%s %s k%d,%d s%d,%d p%d,%d,%d,%d ceil %d include %d", c.op, shape, (int)kernel[0],
             (int)kernel[1], (int)stride[0], (int)stride[1], (int)pads[0], (int)pads[1], (int)pads[2], (int)pads[3],
             (int)(ceil && !include), (int)include);
    check_against_reference(&c, &pleat_onednn_pool, "", 0, 1, 2e-6, what);
  }
}
END_TEST

START_TEST(global_pools) {
  static const char *const ops[] = {"GlobalAveragePool", "GlobalMaxPool", "ReduceMean"};
  static const int64_t axes[] = {2, -1};
  uint64_t seed = 22;
  for (int i = 0; i < 3 * SHAPES; i++) {
    op_case c;
    case_begin(&c, ops[i % 3], 13);
    case_input(&c, noise_of(&seed, shapes[i / 3]));
    if (i % 3 == 2) case_ints(&c, "axes", 2, axes);
    check_against_reference(&c, i % 3 == 2 ? &pleat_onednn_reduce_mean : &pleat_onednn_pool, "", 0, 1, 2e-6,
                            ops[i % 3]);
  }
}
END_TEST

START_TEST(reductions_that_are_declined) {
  uint64_t seed = 1;
  op_case c;
  case_begin(&c, "ReduceMean", 13);
  case_input(&c, noise_of(&seed, "2,3,4,5"));
  CASE_INTS(&c, "axes", 1, 2);
  check_declines(&c, &pleat_onednn_reduce_mean, 0, "spatial");
}
END_TEST

/* ---- of several tensors ---- */

START_TEST(binaries) {
  static const char *const ops[] = {"Add", "Sub", "Mul", "Div", "Max", "Min"};
  static const struct {
    const char *a, *b;
    unsigned blocked;
  } pairs[] = {{"2,17,4,5", "2,17,4,5", 3},
               {"1,32,4,5", "1,32,1,1", 3},
               {"2,32,3,3", "2,32,1,1", 1},
               {"2,16,4,5", "1", 1},
               {"2,24,3,3", "1,24,1,1", 0},
               {"3,4", "4", 0},
               {"7", "7", 0}};
  uint64_t seed = 31;
  for (size_t i = 0; i < 6 * (sizeof pairs / sizeof *pairs); i++) {
    op_case c;
    char what[120];
    case_begin(&c, ops[i % 6], 13);
    case_input(&c, noise_of(&seed, pairs[i / 6].a));
    case_input(&c, noise_of(&seed, pairs[i / 6].b));
    for (size_t k = 0; k < c.inputs[1]->count; k++) {
      float *b = c.inputs[1]->data;
      if (fabsf(b[k]) < 0.1f) b[k] = 0.25f;
    }
    snprintf(what, sizeof what, "%s of %s and %s", c.op, pairs[i / 6].a, pairs[i / 6].b);
    /* 0 / 0 in the padding of blocks: declined. */
    const bool padded = c.inputs[0]->rank == 4 && c.inputs[0]->dims[1] % 16 != 0 && strcmp(c.op, "Div") == 0;
    check_against_reference(&c, &pleat_onednn_binary, "", 0, padded ? 0 : pairs[i / 6].blocked, 2e-6, what);
  }
}
END_TEST

START_TEST(broadcast_from_the_left) {
  uint64_t seed = 32;
  op_case c;
  case_begin(&c, "Mul", 13); /* commutes: the second operand leads */
  case_input(&c, noise_of(&seed, "1,32,1,1"));
  case_input(&c, noise_of(&seed, "1,32,4,5"));
  check_against_reference(&c, &pleat_onednn_binary, "", 0, 2, 2e-6, "Mul");
  case_begin(&c, "Sub", 13);
  case_input(&c, noise_of(&seed, "1,32,1,1"));
  case_input(&c, noise_of(&seed, "1,32,4,5"));
  check_declines(&c, &pleat_onednn_binary, 0, "broadcast");
}
END_TEST

START_TEST(sums) {
  uint64_t seed = 33;
  op_case c;
  case_begin(&c, "Sum", 13);
  for (int i = 0; i < 4; i++) case_input(&c, noise_of(&seed, "2,17,4,5"));
  check_against_reference(&c, &pleat_onednn_sum, "", 0, 5, 2e-6, "Sum");
}
END_TEST

/* ---- matrices ---- */

START_TEST(matrix_products) {
  static const struct {
    const char *a, *b;
  } pairs[] = {{"5,7", "7,3"},         {"1,64", "64,33"},  {"17", "17,5"},   {"4,9", "9"}, {"2,3,5,7", "7,4"},
               {"2,3,5,7", "2,3,7,4"}, {"3,5,7", "1,7,4"}, {"5,7", "3,7,4"}, {"9", "9"}};
  uint64_t seed = 41;
  for (size_t i = 0; i < 2 * (sizeof pairs / sizeof *pairs); i++) {
    op_case c;
    char what[120];
    snprintf(what, sizeof what, "MatMul of %s and %s", pairs[i / 2].a, pairs[i / 2].b);
    case_begin(&c, "MatMul", 13);
    case_input(&c, noise_of(&seed, pairs[i / 2].a));
    case_input(&c, noise_of(&seed, pairs[i / 2].b));
    check_against_reference(&c, &pleat_onednn_matmul, "", i % 2 == 0 ? 2 : 0, 0, 1e-5, what);
  }
}
END_TEST

START_TEST(gemms) {
  static const char *const addends[] = {"", "9", "6,9", "1,9", "1", "1,1"};
  uint64_t seed = 42;
  for (int i = 0; i < 48; i++) {
    op_case c;
    char what[120];
    const bool a = i & 1, b = i >> 1 & 1, fused = i >= 24;
    const char *addend = addends[i / 4 % 6];
    case_begin(&c, fused ? "FusedGemm" : "Gemm", fused ? 1 : 13);
    case_input(&c, noise_of(&seed, a ? "20,6" : "6,20"));
    case_input(&c, noise_of(&seed, b ? "9,20" : "20,9"));
    case_input(&c, addend[0] != '\0' ? noise_of(&seed, addend) : NULL);
    if (fused && i % 3 != 0) case_input(&c, noise_of(&seed, "6,9"));
    case_int(&c, "transA", a);
    case_int(&c, "transB", b);
    case_float(&c, "alpha", i % 3 == 0 ? 1.0f : 0.5f);
    case_float(&c, "beta", i % 3 == 1 ? 1.0f : 2.0f);
    if (fused) case_string(&c, "activation", i % 2 == 0 ? "Relu" : "Sigmoid");
    snprintf(what, sizeof what, "%s %d, C '%s'", c.op, i, addend);
    check_against_reference(&c, &pleat_onednn_gemm, fused ? "pleat" : "", 6, 0, 1e-5, what);
  }
}
END_TEST

/* ---- resize ---- */

START_TEST(resizes) {
  static const struct {
    const char *mode, *mapping, *nearest;
    float scale;
    bool taken;
  } list[] = {{"nearest", "asymmetric", "floor", 2, true},
              {"nearest", "half_pixel", "round_prefer_floor", 2, true},
              {"nearest", "half_pixel", "round_prefer_floor", 3, true},
              {"nearest", "asymmetric", "ceil", 2, false},
              {"linear", "half_pixel", "floor", 2, true},
              {"linear", "half_pixel", "floor", 0.5f, true},
              {"linear", "align_corners", "floor", 2, false}};
  uint64_t seed = 51;
  for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
    op_case c;
    case_begin(&c, "Resize", 13);
    case_input(&c, noise_of(&seed, "2,20,4,6"));
    case_input(&c, NULL);
    case_input(&c, FLOATS("4", 1, 1, list[i].scale, list[i].scale));
    case_string(&c, "mode", list[i].mode);
    case_string(&c, "coordinate_transformation_mode", list[i].mapping);
    case_string(&c, "nearest_mode", list[i].nearest);
    case_ready(&c, "");
    pleat_tensor *expected = run_kernel(&c, reference_kernel(&c), (how){.constants = ~0u, .no_layouts = true}, NULL);
    pleat_tensor *found = run_kernel(&c, &pleat_onednn_resize, (how){.constants = ~1u, .blocked = 1}, NULL);
    ck_assert_msg((found != NULL) == list[i].taken, "%s %s %s: %s", list[i].mode, list[i].mapping, list[i].nearest,
                  c.error.message);
    if (found != NULL) check_close(found, expected, 2e-6, list[i].mapping);
    pleat_tensor_release(found);
    pleat_tensor_release(expected);
    case_end(&c);
  }
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  const TTest *const tests[] = {functions,
                                softmax_of_channels,
                                infinities,
                                normalizations,
                                local_normalization,
                                pools,
                                global_pools,
                                reductions_that_are_declined,
                                binaries,
                                broadcast_from_the_left,
                                sums,
                                matrix_products,
                                gemms,
                                resizes,
                                NULL};
  Suite *suite = suite_create("onednn_kernels");
  add_tests(suite, "kernels", tests);
  return suite;
}

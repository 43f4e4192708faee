/* Our own products of few rows with a constant matrix against the reference kernels, as Gemm and as a 1x1 convolution
 * of a single position: short and long rows with tails, few and many of them, addends and activations. Runs once per
 * instruction set (tests/CMakeLists.txt). */
#include "conv_case.h"
#include "ops/x86/x86.h"

static const double TOLERANCE = 1e-5;

static const char *const activations[] = {"",          "Relu", "LeakyRelu",   "Clip", "Sigmoid",
                                          "HardSwish", "Silu", "HardSigmoid", "Gelu"};
enum { ACTIVATIONS = sizeof activations / sizeof *activations };

static const int64_t depths[] = {1, 5, 8, 15, 16, 17, 48, 250, 300, 1280}, counts[] = {1, 7, 8, 9, 16, 17, 40, 1000};
enum { DEPTHS = sizeof depths / sizeof *depths, COUNTS = sizeof counts / sizeof *counts };

static void set_activation(op_case *c, const char *name) {
  case_string(c, "activation", name);
  case_float(c, "activation_alpha", strcmp(name, "Clip") == 0 ? -0.5f : 0.2f);
  case_float(c, "activation_beta", 0.7f);
}

START_TEST(convolutions) {
  uint64_t seed = 7;
  for (int i = 0; i < DEPTHS * COUNTS; i++) {
    op_case c;
    char what[256];
    shape s = square_shape(depths[i % DEPTHS], counts[i / DEPTHS], 1, 1, 1, 0);
    s.batch = 1 + i % 4;
    describe(&s, activations[i % ACTIVATIONS], what, sizeof what);
    case_begin(&c, "FusedConv", 1);
    set_inputs(&c, &s, false, true, &seed);
    if (i % 5 == 3) { /* without a bias */
      pleat_tensor_release(c.inputs[2]);
      c.inputs[2] = NULL;
    }
    if (i % 3 == 1) case_input(&c, make_noise(&seed, PLEAT_FLOAT, 4, (int64_t[]){s.batch, s.filters, 1, 1}));
    add_window(&c, &s);
    set_activation(&c, activations[i % ACTIVATIONS]);
    check_against_reference(&c, &pleat_x86_rows_conv, "pleat", ~9u, 0, TOLERANCE, what);
  }
}
END_TEST

/* C as a vector, as a row, and absent. */
START_TEST(gemms) {
  uint64_t seed = 7;
  for (int i = 0; i < DEPTHS * COUNTS; i++) {
    op_case c;
    const int64_t rows = 1 + i % 4, depth = depths[i % DEPTHS], count = counts[i / DEPTHS];
    case_begin(&c, i % 2 == 0 ? "Gemm" : "FusedGemm", i % 2 == 0 ? 13 : 1);
    case_input(&c, make_noise(&seed, PLEAT_FLOAT, 2, (int64_t[]){rows, depth}));
    case_input(&c, make_noise(&seed, PLEAT_FLOAT, 2, (int64_t[]){count, depth}));
    if (i % 3 == 0) case_input(&c, make_noise(&seed, PLEAT_FLOAT, 1, &count));
    if (i % 3 == 1) case_input(&c, make_noise(&seed, PLEAT_FLOAT, 2, (int64_t[]){1, count}));
    case_int(&c, "transB", 1);
    /* Results of about size 1, where the curves bend. */
    for (size_t k = 0; depth > 100 && k < c.inputs[1]->count; k++) ((float *)c.inputs[1]->data)[k] /= 32;
    if (i % 2 == 1) set_activation(&c, activations[i / 2 % ACTIVATIONS]);
    check_against_reference(&c, &pleat_x86_rows_gemm, i % 2 == 0 ? "" : "pleat", ~1u, 0, TOLERANCE, "Gemm");
  }
}
END_TEST

START_TEST(not_finite) {
  static const float values[] = {NAN, INFINITY, -INFINITY};
  uint64_t seed = 3;
  for (size_t i = 0; i < 3; i++) {
    op_case c;
    const shape s = square_shape(40, 48, 1, 1, 1, 0);
    case_begin(&c, "FusedConv", 1);
    set_inputs(&c, &s, false, true, &seed);
    ((float *)c.inputs[0]->data)[i == 0 ? 39 : 3] = values[i];
    add_window(&c, &s);
    set_activation(&c, "Relu");
    check_against_reference(&c, &pleat_x86_rows_conv, "pleat", ~9u, 0, TOLERANCE, "not finite");
  }
}
END_TEST

START_TEST(declining_convolutions) {
  static const struct {
    int64_t batch, channels, filters, groups, size, pad;
    bool dynamic;
    const char *words;
  } cases[] = {{5, 16, 16, 1, 1, 0, false, "too many rows"}, {1, 16, 16, 1, 2, 0, false, "a single position"},
               {1, 16, 16, 2, 1, 0, false, "groups"},        {1, 16, 16, 1, 1, 1, false, "padding"},
               {1, 16, 16, 1, 1, 0, true, "not constant"},   {0, 16, 16, 1, 1, 0, false, "empty"}};
  uint64_t seed = 1;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    op_case c;
    shape s = square_shape(cases[i].channels, cases[i].filters, cases[i].size, 1, 3, cases[i].pad);
    s.batch = cases[i].batch;
    s.groups = cases[i].groups;
    if (cases[i].size > 1) s.stride[0] = s.stride[1] = 1;
    case_begin(&c, "Conv", 22);
    set_inputs(&c, &s, false, true, &seed);
    add_window(&c, &s);
    check_declines(&c, &pleat_x86_rows_conv, cases[i].dynamic ? 0 : ~1u, cases[i].words);
  }
}
END_TEST

START_TEST(declining_gemms) {
  static const struct {
    const char *a, *b, *c, *words;
    int64_t trans_a, trans_b;
    float alpha, beta;
  } cases[] = {{"1,40", "40,16", "16", "row by row", 0, 0, 1, 1}, {"40,1", "16,40", "16", "row by row", 1, 1, 1, 1},
               {"1,40", "16,40", "16", "alpha", 0, 1, 2, 1},      {"1,40", "16,40", "16", "beta", 0, 1, 1, 2},
               {"2,40", "16,40", "2,16", "one row", 0, 1, 1, 1},  {"1,40", "16,40", "1,1", "one row", 0, 1, 1, 1},
               {"5,40", "16,40", "16", "too many", 0, 1, 1, 1},   {"0,40", "16,40", "16", "empty", 0, 1, 1, 1}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    op_case c;
    case_begin(&c, "Gemm", 13);
    case_input(&c, make(PLEAT_FLOAT, cases[i].a, NULL));
    case_input(&c, make(PLEAT_FLOAT, cases[i].b, NULL));
    case_input(&c, make(PLEAT_FLOAT, cases[i].c, NULL));
    case_int(&c, "transA", cases[i].trans_a);
    case_int(&c, "transB", cases[i].trans_b);
    case_float(&c, "alpha", cases[i].alpha);
    case_float(&c, "beta", cases[i].beta);
    check_declines(&c, &pleat_x86_rows_gemm, ~1u, cases[i].words);
  }
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  Suite *suite = suite_create("x86_rows");
  TCase *tcase = tcase_create("rows");
  tcase_set_timeout(tcase, 120);
  if (pleat_x86_code_of_cpu() != NULL) {
    tcase_add_test(tcase, convolutions);
    tcase_add_test(tcase, gemms);
    tcase_add_test(tcase, not_finite);
    tcase_add_test(tcase, declining_convolutions);
    tcase_add_test(tcase, declining_gemms);
  } else {
    printf("skipped: this CPU has neither AVX2 nor AVX-512\n");
  }
  suite_add_tcase(suite, tcase);
  return suite;
}

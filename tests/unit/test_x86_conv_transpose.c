/* Our own transposed convolutions for x86 against the reference kernel: channel tails, fewer channels than a vector
 * holds, lines that tiles go over, large filters, more than one sample, and what is declined. Runs once per instruction
 * set (tests/CMakeLists.txt). */
#include "conv_case.h"
#include "ops/x86/x86.h"

static const double TOLERANCE = 1e-5;

static shape pick_shape(uint64_t *seed) {
  static const int64_t inputs[] = {16, 17, 24, 33, 48, 96}, outputs[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 24, 32, 48};
  enum { INPUTS = sizeof inputs / sizeof *inputs, OUTPUTS = sizeof outputs / sizeof *outputs };
  shape s = {.spatial = (int)random_between(seed, 1, 2), .groups = 1, .batch = random_between(seed, 1, 3)};
  s.channels = inputs[random_between(seed, 0, INPUTS - 1)];
  s.filters = outputs[random_between(seed, 0, OUTPUTS - 1)];
  for (int i = 0; i < s.spatial; i++) {
    s.kernel[i] = s.stride[i] = random_between(seed, 1, 3);
    s.dilation[i] = 1;
    s.size[i] = random_between(seed, 1, 21);
  }
  return s;
}

static void check(const shape *s, bool bias, uint64_t *seed) {
  op_case c;
  char what[256];
  describe(s, "ConvTranspose", what, sizeof what);
  case_begin(&c, "ConvTranspose", 22);
  set_inputs(&c, s, true, bias, seed);
  add_window(&c, s);
  check_against_reference(&c, &pleat_x86_conv_transpose, "", ~1u, 1, TOLERANCE, what);
}

START_TEST(any_shape) {
  uint64_t seed = 41 + (uint64_t)_i;
  for (int i = 0; i < 60; i++) {
    const shape s = pick_shape(&seed);
    check(&s, i % 2 == 0, &seed);
  }
}
END_TEST

/* More filters than stay in the cache: several items along the columns. */
START_TEST(large_filters) {
  uint64_t seed = 5;
  const shape s = square_shape(512, 160, 9, 2, 2, 0);
  check(&s, true, &seed);
}
END_TEST

/* The activations of the fused operator, on whole blocks, tails (those that keep zero), and dense outputs. */
START_TEST(fused) {
  static const char *const names[] = {"Relu", "LeakyRelu", "Clip", "HardSwish", "Silu", "Sigmoid", "HardSigmoid"};
  uint64_t seed = 6;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    for (int k = 0; k < 3; k++) {
      op_case c;
      const shape s = square_shape(24, k == 0 ? 32 : k == 1 ? 3 : 20, 7, 2, 2, 0);
      if (k == 2 && strstr(names[i], "igmoid") != NULL) continue;
      case_begin(&c, "FusedConvTranspose", 1);
      set_inputs(&c, &s, true, true, &seed);
      for (size_t n = 0; n < c.inputs[1]->count; n++) ((float *)c.inputs[1]->data)[n] /= 4;
      add_window(&c, &s);
      case_string(&c, "activation", names[i]);
      case_float(&c, "activation_alpha", i == 2 ? -0.5f : 0.2f);
      case_float(&c, "activation_beta", 0.7f);
      check_against_reference(&c, &pleat_x86_conv_transpose, "pleat", ~1u, 1, TOLERANCE, names[i]);
    }
  }
}
END_TEST

/* What is not finite reaches the outputs of its window, and no lane that is no channel. */
START_TEST(not_finite) {
  static const int64_t filters[] = {3, 20, 32};
  uint64_t seed = 8;
  for (int i = 0; i < 3; i++) {
    op_case c;
    const shape s = square_shape(24, filters[i], 6, 2, 2, 0);
    case_begin(&c, "ConvTranspose", 22);
    set_inputs(&c, &s, true, true, &seed);
    add_window(&c, &s);
    memcpy(c.inputs[0]->data, F32(NAN, 1, INFINITY, 2, -INFINITY), 5 * sizeof(float));
    check_against_reference(&c, &pleat_x86_conv_transpose, "", ~1u, 1, TOLERANCE, "not finite");
  }
}
END_TEST

static void check_refused(const shape *s, const char *words) {
  uint64_t seed = 7;
  op_case c;
  case_begin(&c, "ConvTranspose", 22);
  set_inputs(&c, s, true, true, &seed);
  add_window(&c, s);
  check_declines(&c, &pleat_x86_conv_transpose, ~1u, words);
}

START_TEST(declining) {
  shape s = square_shape(32, 32, 5, 3, 2, 0);
  check_refused(&s, "its stride");
  s = square_shape(32, 32, 5, 2, 2, 1);
  check_refused(&s, "its stride");
  s = square_shape(32, 32, 5, 2, 2, 0);
  s.groups = 2;
  check_refused(&s, "its stride");
  s = square_shape(4, 32, 5, 2, 2, 0);
  check_refused(&s, "fewer channels");
  s = square_shape(32, 32, 5, 2, 2, 0);
  s.batch = 0;
  check_refused(&s, "empty");
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  Suite *suite = suite_create("x86_conv_transpose");
  TCase *tcase = tcase_create("conv_transpose");
  tcase_set_timeout(tcase, 120);
  if (pleat_x86_code_of_cpu() != NULL) {
    tcase_add_loop_test(tcase, any_shape, 0, 3);
    tcase_add_test(tcase, large_filters);
    tcase_add_test(tcase, fused);
    tcase_add_test(tcase, not_finite);
    tcase_add_test(tcase, declining);
  } else {
    printf("skipped: this CPU has neither AVX2 nor AVX-512\n");
  }
  suite_add_tcase(suite, tcase);
  return suite;
}

/* Our own convolutions of few input channels for x86 against the reference kernel: all numbers of channels, tails of
 * filters, rows of every length, windows, strides, dilations, padding, addends and activations. Runs once per
 * instruction set (tests/CMakeLists.txt). */
#include "x86_case.h"

static const double TOLERANCE = 1e-5;

static void check(const shape *s, bool bias, uint64_t *seed) {
  op_case c;
  char what[WHAT_SIZE];
  conv_begin(&c, s, bias, seed, what);
  check_x86(&c, &pleat_x86_planes_conv, "", ~1u, 0, TOLERANCE, TOLERANCE, what);
}

static shape pick_shape(uint64_t *seed) {
  static const int64_t filters[] = {16, 17, 24, 31, 32, 33, 48, 65};
  enum { COUNTS = sizeof filters / sizeof *filters };
  shape s = {.spatial = (int)random_between(seed, 1, 2), .groups = 1};
  s.batch = (int64_t[]){1, 2, 7}[random_between(seed, 0, 2)];
  s.channels = random_between(seed, 1, 7);
  s.filters = filters[random_between(seed, 0, COUNTS - 1)];
  for (int i = 0; i < s.spatial; i++) {
    s.kernel[i] = random_between(seed, 1, 7);
    s.stride[i] = random_between(seed, 1, 9);
    s.dilation[i] = random_between(seed, 1, 2);
    pick_border(&s, i, 40, seed);
  }
  return s;
}

START_TEST(any_shape) {
  uint64_t seed = 31 + (uint64_t)_i;
  for (int i = 0; i < 20; i++) {
    const shape s = pick_shape(&seed);
    check(&s, i % 2 == 0, &seed);
  }
}
END_TEST

START_TEST(every_width) {
  uint64_t seed = 4;
  for (int64_t stride = 1; stride <= 3; stride++) {
    for (int64_t width = 1; width <= 64; width += width < 32 ? 1 : 5) {
      shape s = square_shape(3, width % 2 == 0 ? 32 : 16, width, 3, stride, 1);
      s.size[0] = 5;
      check(&s, true, &seed);
    }
  }
}
END_TEST

/* More rows than the buffer holds, and rows that are too long for more than one of them. */
START_TEST(large) {
  static const int64_t sizes[][2] = {{150, 150}, {9, 3000}};
  uint64_t seed = 6;
  for (size_t i = 0; i < 2; i++) {
    for (int64_t stride = 1; stride <= 3; stride++) {
      shape s = square_shape(3, 16, 1, 5, stride, 2);
      s.size[0] = sizes[i][0];
      s.size[1] = sizes[i][1];
      s.batch = 2;
      check(&s, true, &seed);
    }
  }
}
END_TEST

static const char *const activations[] = {"",          "Relu", "LeakyRelu",   "Clip", "Sigmoid",
                                          "HardSwish", "Silu", "HardSigmoid", "Gelu"};
enum { ACTIVATIONS = sizeof activations / sizeof *activations };

/* Curves and addends, on short rows and on those whose curve is drawn in several goes. */
START_TEST(fused) {
  uint64_t seed = 5;
  for (int i = 0; i < 6 * ACTIVATIONS; i++) {
    op_case c;
    const char *name = activations[i % ACTIVATIONS];
    const bool addend = i % 3 != 0, keeps_zero = strstr(name, "igmoid") == NULL;
    shape s = square_shape(3, keeps_zero ? 40 + i % 2 : 48, i < 2 * ACTIVATIONS ? 9 : 5, 3, 1, 1);
    s.batch = 1 + i % 2;
    if (i >= 2 * ACTIVATIONS) s.size[1] = 150;
    const int64_t y[] = {s.batch, s.filters, s.size[0], s.size[1]};
    case_begin(&c, "FusedConv", 1);
    set_inputs(&c, &s, false, true, &seed);
    if (i % 4 == 3) { /* without a bias */
      pleat_tensor_release(c.inputs[2]);
      c.inputs[2] = NULL;
    }
    for (size_t k = 0; k < c.inputs[0]->count; k += 37) ((float *)c.inputs[0]->data)[k] *= 8; /* saturates */
    if (addend) case_input(&c, make_noise(&seed, PLEAT_FLOAT, 4, y));
    add_window(&c, &s);
    case_string(&c, "activation", name);
    case_float(&c, "activation_alpha", strcmp(name, "Clip") == 0 ? -0.5f : 0.2f);
    case_float(&c, "activation_beta", 0.7f);
    check_x86(&c, &pleat_x86_planes_conv, "pleat", ~9u, addend ? 8 : 0, TOLERANCE, TOLERANCE, name);
  }
}
END_TEST

/* What is not finite spreads as far as the window sees, and no further; activations keep NaN. */
START_TEST(not_finite) {
  static const float values[] = {NAN, INFINITY, -INFINITY};
  static const char *const curves[] = {"", "Relu", "Clip", "Silu", "HardSwish", "LeakyRelu"};
  uint64_t seed = 3;
  for (size_t i = 0; i < 3; i++) {
    for (size_t k = 0; k < sizeof curves / sizeof *curves; k++) {
      op_case c;
      const shape s = square_shape(3, 32, 20, 3, 2, 1);
      case_begin(&c, "FusedConv", 1);
      set_inputs(&c, &s, false, true, &seed);
      ((float *)c.inputs[0]->data)[500] = values[i];
      add_window(&c, &s);
      case_string(&c, "activation", curves[k]);
      case_float(&c, "activation_alpha", 0.1f);
      case_float(&c, "activation_beta", 0.7f);
      check_x86(&c, &pleat_x86_planes_conv, "pleat", ~9u, 0, TOLERANCE, TOLERANCE, curves[k]);
    }
  }
}
END_TEST

/* One or two output channels, where there are many taps. */
START_TEST(narrow) {
  uint64_t seed = 6;
  for (int i = 0; i < 15; i++) {
    shape s = square_shape(i % 3 == 0 ? 7 : 3, 1 + i % 2, 20 + i, 7, 1 + i % 3, i % 4);
    s.kernel[0] = 5;
    s.batch = 1 + i % 2;
    check(&s, i % 2 == 0, &seed);
  }
}
END_TEST

START_TEST(declining) {
  static const struct {
    int64_t channels, filters, groups, stride;
    bool dynamic;
    const char *words;
  } cases[] = {{16, 32, 1, 1, false, "as many channels"},
               {3, 4, 1, 1, false, "fewer channels"},
               {4, 32, 2, 1, false, "groups"},
               {3, 32, 1, 1, true, "not constant"}};
  uint64_t seed = 1;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    shape s = square_shape(cases[i].channels, cases[i].filters, 12, 3, cases[i].stride, 0);
    op_case c;
    s.groups = cases[i].groups;
    case_begin(&c, "Conv", 22);
    set_inputs(&c, &s, false, true, &seed);
    add_window(&c, &s);
    check_declines(&c, &pleat_x86_planes_conv, cases[i].dynamic ? 0 : ~1u, cases[i].words);
  }
}
END_TEST

START_TEST(empty_batch) {
  op_case c;
  case_begin(&c, "Conv", 22);
  case_input(&c, make(PLEAT_FLOAT, "0,3,8,8", NULL));
  case_input(&c, make(PLEAT_FLOAT, "32,3,3,3", NULL));
  check_declines(&c, &pleat_x86_planes_conv, 2, "empty");
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  Suite *suite = suite_create("x86_planes");
  TCase *tcase = tcase_create("planes");
  tcase_set_timeout(tcase, 120);
  if (pleat_x86_code_of_cpu() != NULL) {
    tcase_add_loop_test(tcase, any_shape, 0, 3);
    tcase_add_test(tcase, every_width);
    tcase_add_test(tcase, large);
    tcase_add_test(tcase, fused);
    tcase_add_test(tcase, not_finite);
    tcase_add_test(tcase, narrow);
    tcase_add_test(tcase, declining);
    tcase_add_test(tcase, empty_batch);
  } else {
    printf("skipped: this CPU has neither AVX2 nor AVX-512\n");
  }
  suite_add_tcase(suite, tcase);
  return suite;
}

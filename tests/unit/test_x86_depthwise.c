/* Our own depthwise convolutions for x86 against the reference kernel: channel tails, every width of a row's last
 * tiles, windows, strides, dilated rows, padding up to more than the window, addends and activations. Runs once per
 * instruction set (tests/CMakeLists.txt). */
#include "x86_case.h"

static const double TOLERANCE = 1e-5;

static void check(const shape *s, bool bias, uint64_t *seed) {
  op_case c;
  char what[WHAT_SIZE];
  conv_begin(&c, s, bias, seed, what);
  check_x86(&c, &pleat_x86_depthwise, "", ~1u, 1, TOLERANCE, TOLERANCE, what);
}

static shape pick_shape(uint64_t *seed) {
  static const int64_t channels[] = {16, 17, 24, 31, 32, 33, 48, 65}, widths[] = {1, 3, 5, 7};
  enum { COUNTS = sizeof channels / sizeof *channels };
  shape s = {.spatial = (int)random_between(seed, 1, 2)};
  s.batch = (int64_t[]){1, 2, 7}[random_between(seed, 0, 2)];
  s.channels = s.filters = s.groups = channels[random_between(seed, 0, COUNTS - 1)];
  for (int i = 0; i < s.spatial; i++) {
    const bool is_row = i == s.spatial - 1;
    s.kernel[i] = is_row ? widths[random_between(seed, 0, 3)] : random_between(seed, 1, 7);
    s.stride[i] = random_between(seed, 1, is_row ? 2 : 3);
    s.dilation[i] = is_row ? 1 : random_between(seed, 1, 3);
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

/* Rows of every length: all tiles at either end and in the middle. */
START_TEST(every_width) {
  uint64_t seed = 4;
  for (int64_t kernel = 1; kernel <= 7; kernel += 2) {
    for (int64_t stride = 1; stride <= 2; stride++) {
      for (int64_t width = 1; width <= 64; width += width < 20 ? 1 : 7) {
        shape s = square_shape(16, 16, width, kernel, stride, kernel / 2);
        s.groups = 16;
        s.size[0] = 3;
        check(&s, true, &seed);
      }
    }
  }
}
END_TEST

static const char *const activations[] = {"",          "Relu", "LeakyRelu",   "Clip", "Sigmoid",
                                          "HardSwish", "Silu", "HardSigmoid", "Gelu"};
enum { ACTIVATIONS = sizeof activations / sizeof *activations };

/* Curves and addends, on few rows and on enough of them that curves are drawn in several goes. */
START_TEST(fused) {
  uint64_t seed = 5;
  for (int i = 0; i < 6 * ACTIVATIONS; i++) {
    op_case c;
    const char *name = activations[i % ACTIVATIONS];
    const bool addend = i % 3 != 0, keeps_zero = strstr(name, "igmoid") == NULL;
    const int64_t channels = keeps_zero ? 24 + i % 2 : 32, size = i < 2 * ACTIVATIONS ? 7 : 35;
    shape s = square_shape(channels, channels, size, i % 2 == 0 ? 3 : 5, 1, 1);
    s.batch = 1 + i % 2;
    s.groups = channels;
    const int64_t out = size + 2 - s.kernel[0] + 1, y[] = {s.batch, channels, out, out};
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
    check_x86(&c, &pleat_x86_depthwise, "pleat", ~9u, 1 | (addend ? 8 : 0), TOLERANCE, TOLERANCE, name);
  }
}
END_TEST

/* The mean of the result beside it: planes of a single row, of rows that are made in several goes, channels that do not
 * fill a block. */
START_TEST(mean) {
  static const int64_t sizes[] = {1, 7, 20, 33, 70};
  uint64_t seed = 6;
  for (int i = 0; i < 20; i++) {
    op_case c;
    const int64_t channels = i % 2 == 0 ? 24 : 48;
    shape s = square_shape(channels, channels, sizes[i % 5], i % 3 == 0 ? 3 : 5, 1 + i % 2, 2);
    s.groups = channels;
    s.batch = 1 + i % 3;
    case_begin(&c, "FusedConv", 1);
    c.output_count = 2;
    set_inputs(&c, &s, false, true, &seed);
    add_window(&c, &s);
    case_string(&c, "activation", i % 4 < 2 ? "Silu" : "Relu");
    case_ready(&c, "pleat");
    check_output(&c, &pleat_x86_depthwise, true, ~1u, 1, TOLERANCE, "the mean");
    check_output(&c, &pleat_x86_depthwise, false, ~1u, 1, TOLERANCE, "beside the mean");
    case_end(&c);
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
      shape s = square_shape(32, 32, 20, 3, 1, 1);
      s.groups = 32;
      case_begin(&c, "FusedConv", 1);
      set_inputs(&c, &s, false, true, &seed);
      ((float *)c.inputs[0]->data)[1000] = values[i];
      add_window(&c, &s);
      case_string(&c, "activation", curves[k]);
      case_float(&c, "activation_alpha", 0.1f);
      case_float(&c, "activation_beta", 0.7f);
      check_x86(&c, &pleat_x86_depthwise, "pleat", ~9u, 1, TOLERANCE, TOLERANCE, curves[k]);
    }
  }
}
END_TEST

START_TEST(declining) {
  static const struct {
    int64_t channels, filters, groups, kernel, stride, dilation;
    bool dynamic;
    const char *words;
  } cases[] = {{8, 8, 1, 3, 1, 1, false, "not depthwise"},
               {32, 64, 32, 3, 1, 1, false, "not depthwise"},
               {4, 4, 4, 3, 1, 1, false, "fewer channels"},
               {32, 32, 32, 4, 1, 1, false, "a window of that width"},
               {32, 32, 32, 9, 1, 1, false, "a window of that width"},
               {32, 32, 32, 3, 3, 1, false, "a stride above 2"},
               {32, 32, 32, 3, 1, 2, false, "dilated"},
               {32, 32, 32, 3, 1, 1, true, "not constant"}};
  uint64_t seed = 1;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    shape s = square_shape(cases[i].channels, cases[i].filters, 12, cases[i].kernel, cases[i].stride, 0);
    op_case c;
    s.groups = cases[i].groups;
    s.dilation[1] = cases[i].dilation;
    case_begin(&c, "Conv", 22);
    set_inputs(&c, &s, false, true, &seed);
    add_window(&c, &s);
    check_declines(&c, &pleat_x86_depthwise, cases[i].dynamic ? 0 : ~1u, cases[i].words);
  }
}
END_TEST

START_TEST(empty_batch) {
  op_case c;
  case_begin(&c, "Conv", 22);
  case_input(&c, make(PLEAT_FLOAT, "0,32,8,8", NULL));
  case_input(&c, make(PLEAT_FLOAT, "32,1,3,3", NULL));
  case_int(&c, "group", 32);
  check_declines(&c, &pleat_x86_depthwise, 2, "empty");
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  Suite *suite = suite_create("x86_depthwise");
  TCase *tcase = tcase_create("depthwise");
  tcase_set_timeout(tcase, 120);
  if (pleat_x86_code_of_cpu() != NULL) {
    tcase_add_loop_test(tcase, any_shape, 0, 3);
    tcase_add_test(tcase, every_width);
    tcase_add_test(tcase, fused);
    tcase_add_test(tcase, mean);
    tcase_add_test(tcase, not_finite);
    tcase_add_test(tcase, declining);
    tcase_add_test(tcase, empty_batch);
  } else {
    printf("skipped: this CPU has neither AVX2 nor AVX-512\n");
  }
  suite_add_tcase(suite, tcase);
  return suite;
}

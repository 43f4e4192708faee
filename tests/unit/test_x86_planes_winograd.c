/* Winograd's algorithm for few input channels and stride 2 on x86 against the reference kernel: all sizes of kernels,
 * numbers of channels, tails of filters and of tiles, padding, addends and activations, and its error bound. Runs once
 * per instruction set (tests/CMakeLists.txt). */
#include <math.h>

#include "x86_case.h"

static const double TOLERANCE = 5e-5;

enum { WINOGRAD_ERROR = 3 }; /* times the direct algorithm's */

static void check(const shape *s, bool bias, uint64_t *seed) {
  op_case c;
  char what[WHAT_SIZE];
  conv_begin(&c, s, bias, seed, what);
  check_against_reference(&c, &pleat_x86_planes_winograd, "", ~1u, 0, TOLERANCE, what);
}

/* Large enough for every kernel to be worth it. */
static shape pick_shape(uint64_t *seed) {
  static const int64_t filters[] = {63, 64, 65, 72, 80};
  enum { COUNTS = sizeof filters / sizeof *filters };
  shape s = {.spatial = 2, .groups = 1};
  s.batch = random_between(seed, 1, 2);
  s.channels = random_between(seed, 3, 7);
  s.filters = filters[random_between(seed, 0, COUNTS - 1)];
  for (int i = 0; i < s.spatial; i++) {
    s.kernel[i] = random_between(seed, 5, 8);
    s.stride[i] = 2;
    s.dilation[i] = 1;
    s.pads[i] = random_between(seed, 0, s.kernel[i] + 1);
    s.pads[s.spatial + i] = random_between(seed, 0, s.kernel[i] + 1);
    s.size[i] = random_between(seed, 59, 80);
  }
  return s;
}

START_TEST(any_shape) {
  uint64_t seed = 31 + (uint64_t)_i;
  for (int i = 0; i < 8; i++) {
    const shape s = pick_shape(&seed);
    check(&s, i % 2 == 0, &seed);
  }
}
END_TEST

/* Every number of tiles in a row, and of outputs in the last of them; no more rows of tiles than threads. */
START_TEST(every_width) {
  uint64_t seed = 4;
  for (int64_t width = 10; width < 120; width += width < 50 ? 1 : 5) {
    shape s = square_shape(3, width % 2 == 0 ? 40 : 32, width, 7 + width % 2, 2, 3);
    s.size[0] = 10 + width % 3;
    check(&s, true, &seed);
  }
}
END_TEST

/* Every number of channels; blocks of filters that are not full; a few channels of output. */
START_TEST(channels) {
  static const int64_t filters[] = {16, 17, 24, 31, 33, 48, 1, 2};
  uint64_t seed = 5;
  for (int i = 0; i < 8; i++) {
    const shape s = square_shape(i == 5 ? 15 : 2 + i % 6, filters[i], 60, 7 + i / 4, 2, i % 4);
    if (s.channels < pleat_x86_code_of_cpu()->lanes) check(&s, i % 2 == 0, &seed);
  }
}
END_TEST

static const char *const activations[] = {"",          "Relu", "LeakyRelu",   "Clip", "Sigmoid",
                                          "HardSwish", "Silu", "HardSigmoid", "Gelu"};
enum { ACTIVATIONS = sizeof activations / sizeof *activations };

/* Some curves have results of less than 1 for sums of up to 60, whose errors they keep. */
START_TEST(fused) {
  uint64_t seed = 5;
  for (int i = 0; i < 4 * ACTIVATIONS; i++) {
    op_case c;
    const char *name = activations[i % ACTIVATIONS];
    const bool addend = i % 3 != 0, keeps_zero = strstr(name, "igmoid") == NULL;
    shape s = square_shape(3, keeps_zero ? 40 + i % 2 : 48, i % 2 == 0 ? 26 : 29, 7, 2, 3);
    s.batch = 1 + i % 2;
    const int64_t y[] = {s.batch, s.filters, (s.size[0] + 1) / 2, (s.size[1] + 1) / 2};
    case_begin(&c, "FusedConv", 1);
    set_inputs(&c, &s, false, true, &seed);
    if (i % 4 == 3) { /* without a bias */
      pleat_tensor_release(c.inputs[2]);
      c.inputs[2] = NULL;
    }
    if (addend) case_input(&c, make_noise(&seed, PLEAT_FLOAT, 4, y));
    add_window(&c, &s);
    case_string(&c, "activation", name);
    case_float(&c, "activation_alpha", strcmp(name, "Clip") == 0 ? -0.5f : 0.2f);
    case_float(&c, "activation_beta", 0.7f);
    check_against_reference(&c, &pleat_x86_planes_winograd, "pleat", ~9u, addend ? 8 : 0, 2 * TOLERANCE, name);
  }
}
END_TEST

/* The lanes that are no channels stay zero where the input is not finite: run_kernel looks at them. */
START_TEST(not_finite) {
  static const float values[] = {NAN, INFINITY, -INFINITY};
  uint64_t seed = 3;
  for (int i = 0; i < 3; i++) {
    op_case c;
    const shape s = square_shape(3, 40, 40, 7, 2, 3);
    case_begin(&c, "Conv", 22);
    set_inputs(&c, &s, false, true, &seed);
    ((float *)c.inputs[0]->data)[777] = values[i];
    add_window(&c, &s);
    case_ready(&c, "");
    pleat_tensor *found = run_kernel(&c, &pleat_x86_planes_winograd, (how){.constants = ~1u}, NULL);
    ck_assert_msg(found != NULL, "%s", c.error.message);
    size_t finite = 0;
    for (size_t k = 0; k < found->count; k++) finite += isfinite(((const float *)found->data)[k]) != 0;
    /* Row 19 and column 17 of the input: two tiles see each, the upper one as its last row, which only its last outputs
     * take. */
    ck_assert_int_eq((int)(found->count - finite), 40 * 4 * 6);
    pleat_tensor_release(found);
    case_end(&c);
  }
}
END_TEST

START_TEST(error) {
  uint64_t seed = 1;
  for (int64_t kernel = 5; kernel <= 8; kernel++) {
    for (int64_t channels = 3; channels <= 6; channels++) {
      const inputs kind = {.positive = channels % 2 == 0};
      const shape s = square_shape(channels, 64, 90, kernel, 2, 3);
      double fast, plain;
      conv_errors(&s, &pleat_x86_planes_winograd, &pleat_x86_planes_conv, kind, &seed, &fast, &plain);
      printf("%dx%d, %d channels%s: %.2g, direct %.2g, %.2f times\n", (int)kernel, (int)kernel, (int)channels,
             kind.positive ? ", not negative" : "", fast, plain, fast / plain);
      ck_assert_msg(fast <= WINOGRAD_ERROR * plain && fast < 2e-6, "Winograd's error is %g, the direct one %g", fast,
                    plain);
      ck_assert_msg(plain < 1e-6, "the direct algorithm's error is %g", plain);
    }
  }
}
END_TEST

START_TEST(declining) {
  static const struct {
    int64_t channels, filters, size, kernel, stride, dilation;
    bool exact, bf16;
    const char *words;
  } cases[] = {{16, 64, 60, 7, 2, 1, false, false, "as many channels"},
               {3, 64, 60, 7, 2, 1, true, false, "exact"},
               {3, 64, 60, 7, 2, 1, false, true, "bfloat16"},
               {3, 64, 60, 4, 2, 1, false, false, "5 to 8"},
               {3, 64, 60, 9, 2, 1, false, false, "5 to 8"},
               {3, 64, 60, 7, 1, 1, false, false, "strides"},
               {3, 64, 60, 7, 2, 2, false, false, "dilations"},
               {3, 64, 8, 7, 2, 1, false, false, "faster"},
               {1, 16, 60, 5, 2, 1, false, false, "faster"}};
  uint64_t seed = 1;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    shape s = square_shape(cases[i].channels, cases[i].filters, cases[i].size, cases[i].kernel, cases[i].stride, 3);
    op_case c;
    if (cases[i].bf16 && pleat_x86_code_for(true) == NULL) continue;
    s.dilation[0] = cases[i].dilation;
    case_begin(&c, "Conv", 22);
    set_inputs(&c, &s, false, true, &seed);
    add_window(&c, &s);
    case_ready(&c, "");
    const how how = {.constants = ~1u, .exact = cases[i].exact, .bf16 = cases[i].bf16};
    ck_assert(run_kernel(&c, &pleat_x86_planes_winograd, how, NULL) == NULL);
    ck_assert_msg(strstr(c.error.message, cases[i].words) != NULL, "'%s' is not in '%s'", cases[i].words,
                  c.error.message);
    case_end(&c);
  }
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  Suite *suite = suite_create("x86_planes_winograd");
  TCase *tcase = tcase_create("planes_winograd");
  tcase_set_timeout(tcase, 120);
  if (pleat_x86_code_of_cpu() != NULL) {
    tcase_add_loop_test(tcase, any_shape, 0, 3);
    tcase_add_test(tcase, every_width);
    tcase_add_test(tcase, channels);
    tcase_add_test(tcase, fused);
    tcase_add_test(tcase, not_finite);
    tcase_add_test(tcase, error);
    tcase_add_test(tcase, declining);
  } else {
    printf("skipped: this CPU has neither AVX2 nor AVX-512\n");
  }
  suite_add_tcase(suite, tcase);
  return suite;
}

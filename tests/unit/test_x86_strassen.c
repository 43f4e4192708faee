/* 1x1 convolutions by Strassen's algorithm against the reference kernel: odd numbers of positions, strides, sets of
 * filters that are not full, several runs of positions, addends in place, activations; its error bound; what it
 * declines. Runs once per instruction set (tests/CMakeLists.txt). */
#include "x86_case.h"

static const double TOLERANCE = 2e-5;
enum { ERROR = 3 }; /* times the direct algorithm's */

static void check_single(op_case *c, const char *domain, unsigned constants, unsigned blocked, const char *what) {
  case_ready(c, domain);
  compare_with_reference(c, &pleat_x86_conv_strassen, (how){.constants = constants, .most_threads = 1}, blocked,
                         TOLERANCE, what);
  case_end(c);
}

START_TEST(shapes) {
  static const struct {
    int64_t batch, channels, filters, height, width, stride;
  } cases[] = {{1, 128, 128, 28, 28, 1}, {2, 128, 160, 29, 31, 1}, {1, 256, 288, 15, 15, 1}, {3, 160, 192, 28, 27, 1},
               {1, 256, 256, 27, 33, 2}, {1, 128, 224, 60, 59, 2}, {1, 2048, 256, 20, 21, 1}};
  uint64_t seed = 31;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    op_case c;
    char what[WHAT_SIZE];
    shape s = square_shape(cases[i].channels, cases[i].filters, 0, 1, cases[i].stride, 0);
    s.batch = cases[i].batch;
    s.size[0] = cases[i].height;
    s.size[1] = cases[i].width;
    conv_begin(&c, &s, i % 2 == 0, &seed, what);
    check_single(&c, "", ~1u, 1, what);
  }
}
END_TEST

/* Positions of one line: all numbers of rows in the last tile, and halves that differ. */
START_TEST(lengths) {
  uint64_t seed = 6;
  for (int64_t size = 768; size < 799; size++) {
    op_case c;
    char what[WHAT_SIZE];
    shape s = square_shape(128, 128, size, 1, 1, 0);
    s.spatial = 1;
    s.pads[1] = 0;
    conv_begin(&c, &s, true, &seed, what);
    check_single(&c, "", ~1u, 1, what);
  }
}
END_TEST

START_TEST(fused) {
  static const char *const activations[] = {"", "Relu", "LeakyRelu", "Clip", "Sigmoid", "HardSwish", "Silu"};
  enum { ACTIVATIONS = sizeof activations / sizeof *activations };
  uint64_t seed = 5;
  for (int i = 0; i < 2 * ACTIVATIONS; i++) {
    op_case c;
    const char *name = activations[i % ACTIVATIONS];
    const bool is_odd = i % 3 == 0, addend = i % 4 != 3;
    shape s = square_shape(128, 160, is_odd ? 29 : 28, 1, 1, 0);
    const int64_t y[] = {2, s.filters, s.size[0], s.size[1]};
    s.batch = 2;
    case_begin(&c, "FusedConv", 1);
    set_inputs(&c, &s, false, i % 5 != 0, &seed);
    if (i % 5 == 0) case_input(&c, NULL);
    for (size_t k = 0; k < c.inputs[1]->count; k++) ((float *)c.inputs[1]->data)[k] /= 16;
    if (addend) case_input(&c, make_noise(&seed, PLEAT_FLOAT, 4, y));
    add_window(&c, &s);
    case_string(&c, "activation", name);
    case_float(&c, "activation_alpha", strcmp(name, "Clip") == 0 ? -0.5f : 0.2f);
    case_float(&c, "activation_beta", 0.7f);
    check_single(&c, "pleat", ~9u, 1 | (addend ? 8 : 0), name);
  }
}
END_TEST

/* On numbers of both signs, and on positive ones, whose sums do not cancel. */
START_TEST(error) {
  static const int64_t shapes[][3] = {
      {128, 128, 28}, {256, 1024, 14}, {1024, 256, 14}, {512, 128, 28}, {2048, 512, 21}};
  uint64_t seed = 1;
  for (size_t i = 0; i < 2 * sizeof shapes / sizeof *shapes; i++) {
    const int64_t *size = shapes[i / 2];
    const shape s = square_shape(size[0], size[1], size[2], 1, 1, 0);
    double fast, plain;
    conv_errors(&s, &pleat_x86_conv_strassen, &pleat_x86_conv_direct, (inputs){.positive = i % 2 == 1}, &seed, &fast,
                &plain);
    printf("%dx%d at %d%s: %.2g, direct %.2g, %.1f times\n", (int)size[0], (int)size[1], (int)size[2],
           i % 2 == 1 ? ", positive" : "", fast, plain, fast / plain);
    ck_assert_msg(fast <= ERROR * plain && fast < 1e-5, "Strassen's error is %g, the direct one %g", fast, plain);
    ck_assert_msg(plain < 4e-6, "the direct algorithm's error is %g", plain);
  }
}
END_TEST

START_TEST(declining) {
  static const struct {
    int64_t channels, filters, size, kernel, stride, pad, groups;
    const char *words;
  } cases[] = {{256, 256, 28, 3, 1, 1, 1, "not a plain product"},
               {256, 256, 28, 1, 1, 1, 1, "not a plain product"},
               {256, 256, 28, 1, 1, 0, 2, "not a plain product"},
               {256, 256, 60, 1, 3, 0, 1, "a stride above 2"},
               {240, 256, 28, 1, 1, 0, 1, "even number"},
               {256, 248, 28, 1, 1, 0, 1, "even number"},
               {256, 256, 3, 1, 1, 0, 1, "too few positions"},
               {32, 64, 28, 1, 1, 0, 1, "direct algorithm is faster"},
               {2048, 512, 7, 1, 1, 0, 1, "direct algorithm is faster"}};
  uint64_t seed = 1;
  const bool is_narrow = pleat_x86_code_of_cpu()->lanes == 8; /* for which the odd channels above are even */
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    op_case c;
    shape s = square_shape(cases[i].channels - (is_narrow && cases[i].channels == 240 ? 8 : 0), cases[i].filters,
                           cases[i].size, cases[i].kernel, cases[i].stride, cases[i].pad);
    s.groups = cases[i].groups;
    case_begin(&c, "Conv", 22);
    set_inputs(&c, &s, false, true, &seed);
    add_window(&c, &s);
    check_declines(&c, &pleat_x86_conv_strassen, ~1u, cases[i].words);
  }
}
END_TEST

/* Neither where exact results were asked for, nor on several threads. */
START_TEST(declining_calls) {
  static const char *const words[] = {"exact", "several threads"};
  uint64_t seed = 1;
  for (int i = 0; i < 2; i++) {
    op_case c;
    shape s = square_shape(256, 256, 28, 1, 1, 0);
    case_begin(&c, "Conv", 22);
    set_inputs(&c, &s, false, true, &seed);
    add_window(&c, &s);
    case_ready(&c, "");
    c.threads = 1 + i;
    ck_assert_ptr_null(run_kernel(&c, &pleat_x86_conv_strassen, (how){.constants = ~1u, .exact = i == 0}, NULL));
    ck_assert_msg(strstr(c.error.message, words[i]) != NULL, "%s", c.error.message);
    case_end(&c);
  }
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  Suite *suite = suite_create("x86_strassen");
  TCase *tcase = tcase_create("strassen");
  tcase_set_timeout(tcase, 120);
  if (pleat_x86_code_of_cpu() != NULL) {
    printf("the code for %s\n", pleat_x86_code_of_cpu()->name);
    tcase_add_test(tcase, shapes);
    tcase_add_test(tcase, lengths);
    tcase_add_test(tcase, fused);
    tcase_add_test(tcase, error);
    tcase_add_test(tcase, declining);
    tcase_add_test(tcase, declining_calls);
  } else {
    printf("skipped: this CPU has neither AVX2 nor AVX-512\n");
  }
  suite_add_tcase(suite, tcase);
  return suite;
}

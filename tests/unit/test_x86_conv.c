/* Our own convolutions for x86 against the reference kernel: channel tails, groups, strides, dilations, uneven padding,
 * fused addends and activations, both ways of cutting Winograd's work, and its error bound. Runs once per instruction
 * set (tests/CMakeLists.txt). */
#include "x86_case.h"

static const double TOLERANCE = 1e-5, WINOGRAD_BF16 = 3e-2;
enum { WINOGRAD_ERROR = 3 }; /* times the direct algorithm's */

/* A shape that the direct kernel takes. */
static shape pick_direct(uint64_t *seed) {
  static const int64_t channels[] = {16, 17, 24, 31, 32, 33, 48, 65};
  enum { COUNTS = sizeof channels / sizeof *channels };
  shape s = {.spatial = (int)random_between(seed, 1, 2), .groups = 1};
  s.batch = (int64_t[]){1, 2, 7}[random_between(seed, 0, 2)];
  s.channels = channels[random_between(seed, 0, COUNTS - 1)];
  s.filters = channels[random_between(seed, 0, COUNTS - 1)];
  if (random_between(seed, 0, 3) == 0) {
    s.groups = random_between(seed, 2, 3);
    s.channels = s.groups * 16 * random_between(seed, 1, 2);
    s.filters = s.groups * 16 * random_between(seed, 1, 3);
  }
  for (int i = 0; i < s.spatial; i++) {
    s.kernel[i] = random_between(seed, 1, 4);
    s.stride[i] = random_between(seed, 1, i == s.spatial - 1 ? 2 : 3);
    s.dilation[i] = random_between(seed, 1, 2);
    const int64_t extent = (s.kernel[i] - 1) * s.dilation[i] + 1;
    const bool padded = random_between(seed, 0, 2) > 0;
    s.pads[i] = padded ? random_between(seed, 0, extent - 1) : 0;
    s.pads[s.spatial + i] = padded ? random_between(seed, 0, extent - 1) : 0;
    s.size[i] = random_between(seed, extent, 19);
  }
  return s;
}

START_TEST(direct) {
  uint64_t seed = 11 + (uint64_t)_i;
  char what[WHAT_SIZE];
  for (int i = 0; i < 30; i++) {
    op_case c;
    shape s = pick_direct(&seed);
    conv_begin(&c, &s, i % 2 == 0, &seed, what);
    check_x86(&c, &pleat_x86_conv_direct, "", ~1u, 1, TOLERANCE, TOLERANCE, what);
  }
}
END_TEST

/* Without padding, positions follow each other over lines: all numbers of rows in the last tiles. */
START_TEST(pointwise) {
  uint64_t seed = 4;
  char what[WHAT_SIZE];
  for (int64_t size = 1; size <= 31; size++) {
    op_case c;
    shape s = square_shape(size % 2 == 0 ? 32 : 40, size % 3 == 0 ? 80 : 64, size, 1, 1, 0);
    s.size[0] = 1;
    conv_begin(&c, &s, true, &seed, what);
    check_x86(&c, &pleat_x86_conv_direct, "", ~1u, 1, TOLERANCE, TOLERANCE, what);
  }
}
END_TEST

/* Lines half as long as a tile: two at a time, with an odd one left. */
START_TEST(short_lines) {
  uint64_t seed = 14;
  char what[WHAT_SIZE];
  for (int64_t i = 0; i < 12; i++) {
    op_case c;
    shape s = square_shape(32, i % 2 == 0 ? 48 : 64, 0, 1 + i % 3, 1 + i / 3 % 2, i % 3 == 2);
    for (int d = 0; d < 2; d++) {
      const int64_t out = d == 1 ? 7 : 1 + i % 5;
      s.size[d] = (out - 1) * s.stride[d] + s.kernel[d] - 2 * s.pads[d];
    }
    s.batch = 1 + i % 2;
    conv_begin(&c, &s, true, &seed, what);
    check_x86(&c, &pleat_x86_conv_direct, "", ~1u, 1, TOLERANCE, TOLERANCE, what);
  }
}
END_TEST

/* 1x1 kernels with strides and so many filters that what they see of the input is copied: strides along one axis, along
 * both, of more than two; lines that fill tiles, and that do not. */
START_TEST(gathered) {
  static const int64_t strides[][2] = {{2, 2}, {1, 2}, {3, 1}};
  uint64_t seed = 41;
  char what[WHAT_SIZE];
  for (int64_t i = 0; i < 6; i++) {
    op_case c;
    shape s = square_shape(i % 2 == 0 ? 40 : 64, i % 2 == 0 ? 280 : 512, 9 + 4 * i, 1, 1, 0);
    s.groups = 1 + i % 2;
    s.batch = 1 + i / 3;
    for (int d = 0; d < 2; d++) s.stride[d] = strides[i % 3][d];
    conv_begin(&c, &s, true, &seed, what);
    check_x86(&c, &pleat_x86_conv_direct, "", ~1u, 1, TOLERANCE, TOLERANCE, what);
  }
}
END_TEST

/* So many input channels that a pair's filters leave the second-level cache: all tiles take a part of the depth after
 * the other, with tiles of one line, of several, and of two. */
START_TEST(depth_in_parts) {
  static const int64_t shapes[][6] = {/* channels, filters, size, kernel, stride, batch */
                                      {600, 44, 7, 3, 1, 2},
                                      {500, 72, 15, 3, 2, 1},
                                      {4100, 33, 9, 1, 1, 1},
                                      {530, 16, 4, 3, 1, 1},
                                      {250, 50, 12, 5, 1, 1}};
  uint64_t seed = 31;
  char what[WHAT_SIZE];
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    op_case c;
    const int64_t *f = shapes[i];
    shape s = square_shape(f[0], f[1], f[2], f[3], f[4], f[3] > 1);
    s.batch = f[5];
    conv_begin(&c, &s, true, &seed, what);
    check_x86(&c, &pleat_x86_conv_direct, "", ~1u, 1, TOLERANCE, TOLERANCE, what);
  }
}
END_TEST

/* Both ways of cutting the work, each in one run of tiles and in several, for each size of tiles; padding on all sides,
 * on none, uneven. */
static const int64_t winograd_shapes[][5] = {
    /* channels, filters, size, batch, stride */
    {40, 32, 12, 1, 1},  {48, 40, 17, 7, 1},   {64, 80, 30, 2, 1},   {33, 65, 14, 1, 1},   {128, 144, 14, 2, 1},
    {768, 20, 17, 3, 1}, {256, 112, 14, 1, 1}, {128, 144, 37, 1, 2}, {100, 120, 29, 2, 2}, {256, 250, 27, 1, 2}};
enum { WINOGRAD_SHAPES = sizeof winograd_shapes / sizeof *winograd_shapes };

START_TEST(winograd) {
  const int64_t *f = winograd_shapes[_i];
  uint64_t seed = 21 + (uint64_t)_i;
  char what[WHAT_SIZE];
  for (int padding = 0; padding < 3; padding++) {
    op_case c;
    shape s = square_shape(f[0], f[1], f[2], 3, f[4], padding);
    s.batch = f[3];
    s.size[1] += 3;
    if (padding == 2) s.pads[1] = s.pads[2] = 0;
    conv_begin(&c, &s, _i % 2 == 0, &seed, what);
    check_x86(&c, &pleat_x86_conv_winograd, "", ~1u, 1, 5 * TOLERANCE, WINOGRAD_BF16, what);
  }
}
END_TEST

static const char *const activations[] = {"",          "Relu", "LeakyRelu",   "Clip", "Sigmoid",
                                          "HardSwish", "Silu", "HardSigmoid", "Gelu"};
enum { ACTIVATIONS = sizeof activations / sizeof *activations };

START_TEST(fused) {
  uint64_t seed = 5 + (uint64_t)_i;
  for (int i = _i * ACTIVATIONS; i < (_i + 1) * ACTIVATIONS; i++) {
    op_case c;
    const char *name = activations[i % ACTIVATIONS];
    const bool addend = i % 3 != 0, is_winograd = i >= 2 * ACTIVATIONS;
    const int stride = i < 4 * ACTIVATIONS ? 1 : 2, in = stride == 1 ? 13 : 27,
              out = is_winograd ? in / stride + (stride == 2) : 11;
    shape s = square_shape(is_winograd ? 128 : 17, is_winograd ? 144 : 32, in, 3, stride, is_winograd);
    s.batch = 1 + i % 2;
    const int64_t y[] = {s.batch, s.filters, out, out};
    case_begin(&c, "FusedConv", 1);
    set_inputs(&c, &s, false, true, &seed);
    if (i % 4 == 3) { /* without a bias */
      pleat_tensor_release(c.inputs[2]);
      c.inputs[2] = NULL;
    }
    /* Results of size 1, where the curves bend, and some far outside. */
    for (size_t k = 0; k < c.inputs[1]->count; k++) ((float *)c.inputs[1]->data)[k] /= 32;
    for (size_t k = 0; k < c.inputs[0]->count; k += 37) ((float *)c.inputs[0]->data)[k] *= 10;
    if (addend) case_input(&c, make_noise(&seed, PLEAT_FLOAT, 4, y));
    add_window(&c, &s);
    case_string(&c, "activation", name);
    case_float(&c, "activation_alpha", strcmp(name, "Clip") == 0 ? -0.5f : 0.2f);
    case_float(&c, "activation_beta", 0.7f);
    check_x86(&c, is_winograd ? &pleat_x86_conv_winograd : &pleat_x86_conv_direct, "pleat", ~9u, 1 | (addend ? 8 : 0),
              5 * TOLERANCE, is_winograd ? 2 * WINOGRAD_BF16 : TOLERANCE, name);
  }
}
END_TEST

/* PRelu, one slope or one a channel, of every kernel of convolutions that has it. */
START_TEST(prelu) {
  static const struct {
    const pleat_kernel *kernel;
    int64_t channels, filters, groups;
  } cases[] = {{&pleat_x86_conv_direct, 17, 72, 1},
               {&pleat_x86_conv_winograd, 64, 80, 1},
               {&pleat_x86_planes_conv, 3, 40, 1},
               {&pleat_x86_depthwise, 40, 40, 40}};
  uint64_t seed = 8;
  for (int i = 0; i < 16; i++) {
    op_case c;
    const int64_t filters = cases[i % 4].filters, slopes[] = {i < 8 ? filters : 1, 1, 1};
    shape s = square_shape(cases[i % 4].channels, filters, 17, 3, 1, 1);
    const int64_t y[] = {2, filters, 17, 17};
    const bool addend = i / 4 % 2 == 1;
    s.groups = cases[i % 4].groups;
    s.batch = 2;
    case_begin(&c, "FusedConv", 1);
    set_inputs(&c, &s, false, true, &seed);
    case_input(&c, addend ? make_noise(&seed, PLEAT_FLOAT, 4, y) : NULL);
    case_input(&c, NULL);
    case_input(&c, make_noise(&seed, PLEAT_FLOAT, 3, slopes));
    add_window(&c, &s);
    case_string(&c, "activation", "PRelu");
    const unsigned blocked = (i % 4 == 2 ? 0 : 1) | (addend ? 8 : 0);
    check_against_reference(&c, cases[i % 4].kernel, "pleat", ~9u, blocked, 5 * TOLERANCE, cases[i % 4].kernel->name);
  }
}
END_TEST

/* Squeeze-and-excite: few weights or few positions, which decides on what is scaled; all samples by the same numbers,
 * or each by its own; strides, and channels that do not fill their last block. */
START_TEST(scaled) {
  static const int64_t shapes[][3] = {{32, 16, 20}, {40, 24, 15}, {96, 112, 5}, {17, 80, 1}, {64, 33, 14}};
  uint64_t seed = 9;
  for (int i = 0; i < 40; i++) {
    op_case c;
    const int64_t *size = shapes[i % 5];
    const bool addend = i % 3 == 0;
    char what[WHAT_SIZE];
    shape s = square_shape(size[0], size[1], size[2], 1, 1 + i % 2, 0);
    s.size[1] += 3;
    s.batch = 1 + i % 3;
    const int64_t out[] = {s.batch, s.filters, (s.size[0] - 1) / s.stride[0] + 1, (s.size[1] - 1) / s.stride[0] + 1};
    const int64_t numbers[] = {i % 4 < 2 ? s.batch : 1, s.channels, 1, 1};
    describe(&s, "FusedConv", what, sizeof what);
    case_begin(&c, "FusedConv", 1);
    set_inputs(&c, &s, false, true, &seed);
    case_input(&c, addend ? make_noise(&seed, PLEAT_FLOAT, 4, out) : NULL);
    case_input(&c, make_noise(&seed, PLEAT_FLOAT, 4, numbers));
    add_window(&c, &s);
    case_string(&c, "activation", i % 2 == 0 ? "" : "Relu");
    check_against_reference(&c, &pleat_x86_conv_direct, "pleat", ~25u, 1 | (addend ? 8 : 0), TOLERANCE, what);
  }
}
END_TEST

/* Others than the direct kernel do not scale, and that one only where nothing but a product is asked for. */
START_TEST(scaled_declines) {
  static const struct {
    const pleat_kernel *kernel;
    int64_t channels, window, pad, groups;
    const char *words;
  } cases[] = {{&pleat_x86_conv_direct, 32, 3, 1, 1, "a plain product"},
               {&pleat_x86_conv_direct, 32, 1, 1, 1, "a plain product"},
               {&pleat_x86_conv_direct, 32, 1, 0, 2, "a plain product"},
               {&pleat_x86_conv_winograd, 32, 3, 1, 1, "scaled"},
               {&pleat_x86_depthwise, 32, 3, 1, 32, "scaled"},
               {&pleat_x86_planes_conv, 3, 3, 1, 1, "scaled"},
               {&pleat_x86_rows_conv, 32, 1, 0, 1, "scaled"}};
  uint64_t seed = 2;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    op_case c;
    const bool is_rows = cases[i].kernel == &pleat_x86_rows_conv;
    shape s = square_shape(cases[i].channels, 32, is_rows ? 1 : 8, cases[i].window, 1, cases[i].pad);
    const int64_t numbers[] = {1, cases[i].channels, 1, 1};
    s.groups = cases[i].groups;
    case_begin(&c, "FusedConv", 1);
    set_inputs(&c, &s, false, true, &seed);
    case_input(&c, NULL);
    case_input(&c, make_noise(&seed, PLEAT_FLOAT, 4, numbers));
    add_window(&c, &s);
    case_ready(&c, "pleat");
    pleat_tensor *found = run_kernel(&c, cases[i].kernel, (how){.constants = ~25u}, NULL);
    ck_assert_msg(found == NULL, "case %zu does not decline", i);
    ck_assert_msg(strstr(c.error.message, cases[i].words) != NULL, "case %zu: %s", i, c.error.message);
    case_end(&c);
  }
}
END_TEST

/* A last block of at most half the lanes: two steps of depth at a time, of which the last may be one alone; every
 * number of rows, one block and two, addends, curves, windows, and planes whose lines go in pairs otherwise. */
START_TEST(half_blocks) {
  static const int64_t filters[] = {17, 20, 24, 40, 49, 56}, channels[] = {16, 17, 24, 31, 47};
  uint64_t seed = 12;
  for (int i = 0; i < 60; i++) {
    op_case c;
    char what[WHAT_SIZE];
    const char *name = i % 2 == 0 ? "" : i % 4 == 1 ? "Clip" : "Silu";
    const int64_t kernel = i % 5 == 4 ? 3 : 1, width = kernel == 3 ? 7 : 1 + i;
    shape s = square_shape(channels[kernel == 3 ? 1 : i % 5], filters[i % 6], width, kernel, 1, kernel / 2);
    s.size[0] = kernel == 3 ? 6 : 1;
    s.batch = 1 + i % 2;
    describe(&s, "Conv", what, sizeof what);
    case_begin(&c, "FusedConv", 1);
    set_inputs(&c, &s, false, true, &seed);
    const int64_t y[] = {s.batch, s.filters, s.size[0], s.size[1]};
    if (i % 3 != 0) case_input(&c, make_noise(&seed, PLEAT_FLOAT, 4, y));
    add_window(&c, &s);
    case_string(&c, "activation", name);
    case_float(&c, "activation_alpha", -0.5f);
    case_float(&c, "activation_beta", 0.7f);
    check_against_reference(&c, &pleat_x86_conv_direct, "pleat", ~9u, 1 | (i % 3 != 0 ? 8 : 0), TOLERANCE, what);
  }
}
END_TEST

/* What is not finite in one channel spreads to all filters, and not to the lanes that are none. */
START_TEST(half_blocks_not_finite) {
  static const float values[] = {NAN, INFINITY, -INFINITY};
  uint64_t seed = 3;
  for (int i = 0; i < 12; i++) {
    op_case c;
    shape s = square_shape(17, i % 2 == 0 ? 24 : 19, 9, 1, 1, 0);
    case_begin(&c, "FusedConv", 1);
    set_inputs(&c, &s, false, true, &seed);
    ((float *)c.inputs[0]->data)[16 * 81 * (i / 6) + 7] = values[i % 3];
    add_window(&c, &s);
    case_string(&c, "activation", i % 4 < 2 ? "" : "Relu");
    check_against_reference(&c, &pleat_x86_conv_direct, "pleat", ~9u, 1, TOLERANCE, "not finite");
  }
}
END_TEST

/* What is not finite spreads as far as the window sees, and no further; a Relu keeps NaN. */
START_TEST(not_finite) {
  uint64_t seed = 3;
  for (int i = 0; i < 4; i++) {
    op_case c;
    shape s = square_shape(20, 40, 8, i < 2 ? 3 : 1, 1, i < 2);
    case_begin(&c, "FusedConv", 1);
    set_inputs(&c, &s, false, true, &seed);
    ((float *)c.inputs[0]->data)[100] = i % 2 == 0 ? NAN : INFINITY;
    add_window(&c, &s);
    case_string(&c, "activation", "Relu");
    check_x86(&c, &pleat_x86_conv_direct, "pleat", ~9u, 1, TOLERANCE, TOLERANCE, "not finite");
  }
}
END_TEST

/* The lanes that are no channels stay zero where the input is not finite: run_kernel looks at them. */
START_TEST(winograd_not_finite) {
  uint64_t seed = 3;
  op_case c;
  shape s = square_shape(64, 72, 17, 3, 1, 1);
  case_begin(&c, "Conv", 22);
  set_inputs(&c, &s, false, true, &seed);
  ((float *)c.inputs[0]->data)[200] = INFINITY;
  add_window(&c, &s);
  case_ready(&c, "");
  for (int bf16 = 0; bf16 < 2 && pleat_x86_code_for(bf16 == 1) != NULL; bf16++) {
    pleat_tensor *found = run_kernel(&c, &pleat_x86_conv_winograd, (how){.constants = ~1u, .bf16 = bf16 == 1}, NULL);
    ck_assert_msg(found != NULL, "%s", c.error.message);
    pleat_tensor_release(found);
  }
  case_end(&c);
}
END_TEST

static void check_winograd_error(bool bf16) {
  static const int64_t shapes[][4] = {{32, 32, 28, 1},  {64, 64, 28, 1},   {128, 48, 29, 1},
                                      {160, 64, 14, 1}, {33, 40, 30, 1},   {512, 64, 14, 1},
                                      {512, 64, 20, 1}, {128, 128, 56, 2}, {256, 256, 27, 2}};
  const double most = bf16 ? 1e-2 : 1e-5, most_plain = bf16 ? 4e-3 : 2e-6;
  uint64_t seed = 1;
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    const shape s = square_shape(shapes[i][0], shapes[i][1], shapes[i][2], 3, (int)shapes[i][3], 1);
    double fast, plain;
    conv_errors(&s, &pleat_x86_conv_winograd, &pleat_x86_conv_direct, (inputs){.bf16 = bf16}, &seed, &fast, &plain);
    printf("%dx%d at %d, stride %d%s: %.2g, direct %.2g, %.1f times\n", (int)shapes[i][0], (int)shapes[i][1],
           (int)shapes[i][2], (int)shapes[i][3], bf16 ? " in bfloat16" : "", fast, plain, fast / plain);
    ck_assert_msg(fast <= WINOGRAD_ERROR * plain && fast < most, "Winograd's error is %g, the direct one %g", fast,
                  plain);
    ck_assert_msg(plain < most_plain, "the direct algorithm's error is %g", plain);
  }
}

START_TEST(winograd_error) {
  check_winograd_error(false);
  if (pleat_x86_code_for(true) != NULL) check_winograd_error(true);
}
END_TEST

START_TEST(declining) {
  static const struct {
    int64_t channels, filters, kernel, stride, groups;
    bool dynamic;
    const char *words, *winograd_words;
  } cases[] = {{3, 32, 3, 1, 1, false, "fewer channels", "fewer channels"},
               {64, 64, 3, 3, 1, false, "a stride above 2", "strides"},
               {64, 64, 1, 1, 1, true, "not constant", "not constant"},
               {64, 64, 3, 1, 64, false, "no whole vectors", "no whole vectors"},
               {64, 64, 2, 1, 1, false, NULL, "not 3x3"},
               {64, 64, 3, 1, 4, false, NULL, "groups"},
               {512, 512, 3, 1, 1, false, NULL, "the direct algorithm is faster"}};
  uint64_t seed = 1;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    shape s = square_shape(cases[i].channels, cases[i].filters, 3, cases[i].kernel, cases[i].stride, 0);
    s.groups = cases[i].groups;
    for (int k = 0; k < 2; k++) {
      const char *words = k == 0 ? cases[i].words : cases[i].winograd_words;
      op_case c;
      if (words == NULL) continue;
      case_begin(&c, "Conv", 22);
      set_inputs(&c, &s, false, true, &seed);
      add_window(&c, &s);
      check_declines(&c, k == 0 ? &pleat_x86_conv_direct : &pleat_x86_conv_winograd, cases[i].dynamic ? 0 : ~1u, words);
    }
  }
}
END_TEST

START_TEST(empty_tensors) {
  static const struct {
    const char *x, *w;
  } empty[] = {{"0,32,8,8", "32,32,3,3"}, {"1,32,8,8", "0,32,3,3"}, {"1,0,8,8", "32,0,3,3"}};
  for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
    op_case c;
    case_begin(&c, "Conv", 22);
    case_input(&c, make(PLEAT_FLOAT, empty[i].x, NULL));
    case_input(&c, make(PLEAT_FLOAT, empty[i].w, NULL));
    check_declines(&c, &pleat_x86_conv_direct, 2, "empty");
  }
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  Suite *suite = suite_create("x86_conv");
  TCase *tcase = tcase_create("conv");
  tcase_set_timeout(tcase, 120); /* of a sanitizer on a busy machine */
  if (pleat_x86_code_of_cpu() != NULL) {
    printf("the code for %s\n", pleat_x86_code_of_cpu()->name);
    tcase_add_loop_test(tcase, direct, 0, 3);
    tcase_add_test(tcase, pointwise);
    tcase_add_test(tcase, short_lines);
    tcase_add_test(tcase, gathered);
    tcase_add_test(tcase, depth_in_parts);
    tcase_add_loop_test(tcase, winograd, 0, WINOGRAD_SHAPES);
    tcase_add_loop_test(tcase, fused, 0, 5);
    tcase_add_test(tcase, prelu);
    tcase_add_test(tcase, scaled);
    tcase_add_test(tcase, scaled_declines);
    tcase_add_test(tcase, half_blocks);
    tcase_add_test(tcase, half_blocks_not_finite);
    tcase_add_test(tcase, not_finite);
    tcase_add_test(tcase, winograd_not_finite);
    tcase_add_test(tcase, winograd_error);
    tcase_add_test(tcase, declining);
    tcase_add_test(tcase, empty_tensors);
  } else {
    printf("skipped: this CPU has neither AVX2 nor AVX-512\n");
  }
  suite_add_tcase(suite, tcase);
  return suite;
}

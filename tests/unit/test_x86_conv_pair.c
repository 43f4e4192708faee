/* Pairs of a 1x1 convolution, or one of few channels, and a depthwise one for x86 against the reference kernel, which
 * is the two convolutions one after the other: channel tails, windows, strides, dilated rows, padding, batches, several
 * fillings of the buffer and several pieces, activations. Runs once per instruction set (tests/CMakeLists.txt). */
#include "conv_case.h"
#include "ops/conv_pair.h"
#include "ops/x86/x86.h"

static const double TOLERANCE = 1e-5;

enum { ROW_BY_ROW = 1 }; /* the kernel's variant, also where its rule would decline */

typedef struct pair_shape {
  int64_t batch, channels, between, size[2], kernel[2], strides[2], dilations[2], pads[4];
  int64_t window, steps[2], borders[4]; /* kernel, strides and pads of the first; window 0: a plain 1x1 one */
  const char *first, *second;           /* activations */
  bool bias;
} pair_shape;

static void build_case(op_case *c, const pair_shape *s, uint64_t *seed) {
  const int64_t window = s->window > 0 ? s->window : 1;
  case_begin(c, "FusedConvPair", 1);
  case_input(c, make_noise(seed, PLEAT_FLOAT, 4, (int64_t[]){s->batch, s->channels, s->size[0], s->size[1]}));
  case_input(c, make_noise(seed, PLEAT_FLOAT, 4, (int64_t[]){s->between, s->channels, window, window}));
  case_input(c, s->bias ? make_noise(seed, PLEAT_FLOAT, 1, &s->between) : NULL);
  case_input(c, make_noise(seed, PLEAT_FLOAT, 4, (int64_t[]){s->between, 1, s->kernel[0], s->kernel[1]}));
  if (s->bias) case_input(c, make_noise(seed, PLEAT_FLOAT, 1, &s->between));
  if (s->window > 0) {
    case_ints(c, "first_strides", 2, s->steps);
    case_ints(c, "first_pads", 4, s->borders);
  }
  case_string(c, "first_activation", s->first);
  case_float(c, "first_activation_alpha", strcmp(s->first, "Clip") == 0 ? -0.5f : 0.2f);
  case_float(c, "first_activation_beta", 0.7f);
  case_ints(c, "second_strides", 2, s->strides);
  case_ints(c, "second_dilations", 2, s->dilations);
  case_ints(c, "second_pads", 4, s->pads);
  case_int(c, "second_group", s->between);
  case_string(c, "second_activation", s->second);
  case_float(c, "second_activation_alpha", strcmp(s->second, "Clip") == 0 ? -0.5f : 0.2f);
  case_float(c, "second_activation_beta", 0.7f);
}

static const pleat_kernel *kernel_of(const pair_shape *s) {
  return s->channels < pleat_x86_code_of_cpu()->lanes ? &pleat_x86_planes_pair : &pleat_x86_conv_pair;
}

/* With 1, 2 and 3 threads, from a dense input and from one in blocks; the same bits each time. */
static void check_pair(const pair_shape *s, uint64_t *seed) {
  op_case c;
  char what[256];
  pleat_tensor *before = NULL;
  snprintf(what, sizeof what, "n%d c%d w%d s%d b%d %dx%d k%dx%d s%d,%d d%d p%d,%d,%d,%d %s %s", (int)s->batch,
           (int)s->channels, (int)s->window, (int)s->steps[0], (int)s->between, (int)s->size[0], (int)s->size[1],
           (int)s->kernel[0], (int)s->kernel[1], (int)s->strides[0], (int)s->strides[1], (int)s->dilations[0],
           (int)s->pads[0], (int)s->pads[1], (int)s->pads[2], (int)s->pads[3], s->first, s->second);
  build_case(&c, s, seed);
  case_ready(&c, "pleat");
  pleat_tensor *expected = run_kernel(&c, reference_kernel(&c), (how){.constants = ~1u, .no_layouts = true}, NULL);
  ck_assert_msg(expected != NULL, "%s: %s", what, c.error.message);
  for (int way = 0; way < 6; way++) {
    c.threads = 1 + way % 3;
    const how how = {.constants = ~1u, .blocked = way < 3 ? 0 : 1, .variant = ROW_BY_ROW};
    pleat_tensor *found = run_kernel(&c, kernel_of(s), how, NULL);
    ck_assert_msg(found != NULL, "%s declines: %s", what, c.error.message);
    check_close(found, expected, TOLERANCE, what);
    if (before != NULL) ck_assert_mem_eq(found->data, before->data, pleat_bytes(found));
    pleat_tensor_release(before);
    before = found;
  }
  pleat_tensor_release(before);
  pleat_tensor_release(expected);
  case_end(&c);
}

static pair_shape square_pair(int64_t channels, int64_t between, int64_t size, int64_t kernel, int64_t stride) {
  const int64_t pad = kernel / 2;
  return (pair_shape){.batch = 1,
                      .channels = channels,
                      .between = between,
                      .size = {size, size},
                      .kernel = {kernel, kernel},
                      .strides = {stride, stride},
                      .dilations = {1, 1},
                      .pads = {pad, pad, pad, pad},
                      .first = "Clip",
                      .second = "Clip",
                      .bias = true};
}

static void set_first(pair_shape *s, int64_t window, int64_t step) {
  s->window = window;
  s->steps[0] = s->steps[1] = step;
  for (int i = 0; i < 4; i++) s->borders[i] = window / 2;
}

static pair_shape pick_shape(uint64_t *seed) {
  static const int64_t channels[] = {16, 17, 24, 31, 32, 48}, between[] = {16, 24, 32, 33, 40, 48, 65};
  pair_shape s = {.first = random_between(seed, 0, 1) == 0 ? "" : "Relu", .second = "LeakyRelu"};
  s.batch = random_between(seed, 1, 3);
  s.channels = channels[random_between(seed, 0, 5)];
  s.between = between[random_between(seed, 0, 6)];
  s.bias = random_between(seed, 0, 3) != 0;
  for (int i = 0; i < 2; i++) {
    s.kernel[i] = i == 1 ? 2 * random_between(seed, 0, 3) + 1 : random_between(seed, 1, 7);
    s.strides[i] = random_between(seed, 1, i == 1 ? 2 : 3);
    s.dilations[i] = i == 1 ? 1 : random_between(seed, 1, 3);
    const int64_t extent = (s.kernel[i] - 1) * s.dilations[i] + 1;
    s.pads[i] = random_between(seed, 0, extent + 1);
    s.pads[2 + i] = random_between(seed, 0, extent + 1);
    s.size[i] = random_between(seed, 1, 40);
    while (s.size[i] + s.pads[i] + s.pads[2 + i] < extent) s.size[i]++;
  }
  return s;
}

START_TEST(any_shape) {
  uint64_t seed = 61 + (uint64_t)_i;
  for (int i = 0; i < 20; i++) {
    const pair_shape s = pick_shape(&seed);
    check_pair(&s, &seed);
  }
}
END_TEST

/* Planes of which the buffer holds a few rows only, or not even the window's: rows are kept from one filling to the
 * next, and made twice where pieces meet. */
START_TEST(several_fillings) {
  static const struct {
    int64_t height, width, kernel, stride;
  } cases[] = {{60, 112, 3, 1}, {61, 112, 3, 2}, {40, 200, 5, 1}, {41, 200, 5, 2},
               {24, 700, 3, 1}, {25, 700, 7, 2}, {33, 300, 1, 2}};
  uint64_t seed = 7;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pair_shape s = square_pair(16, 48, cases[i].height, cases[i].kernel, cases[i].stride);
    s.size[1] = cases[i].width;
    check_pair(&s, &seed);
  }
}
END_TEST

/* The first of few channels: windows and strides of its own, one row or many between the two, channel tails, several
 * fillings of either buffer. */
START_TEST(few_channels) {
  static const struct {
    int64_t channels, between, height, width, window, step, kernel, stride;
  } cases[] = {{3, 32, 64, 64, 3, 2, 3, 1},  {3, 40, 61, 113, 3, 2, 3, 2}, {1, 16, 30, 200, 5, 1, 5, 1},
               {4, 72, 41, 90, 7, 2, 3, 1},  {3, 32, 7, 9, 3, 1, 3, 2},    {3, 24, 224, 224, 3, 2, 3, 1},
               {2, 33, 20, 700, 3, 1, 7, 2}, {3, 32, 40, 40, 3, 3, 1, 1},  {3, 48, 90, 90, 1, 1, 3, 1}};
  uint64_t seed = 19;
  for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
    pair_shape s = square_pair(cases[i / 2].channels, cases[i / 2].between, cases[i / 2].height, cases[i / 2].kernel,
                               cases[i / 2].stride);
    s.size[1] = cases[i / 2].width;
    set_first(&s, cases[i / 2].window, cases[i / 2].step);
    s.batch = 1 + (int64_t)i % 2 * 2;
    s.bias = i % 3 != 0;
    s.first = i % 2 == 0 ? "Clip" : "Silu";
    s.second = "LeakyRelu"; /* what a Clip leaves of large sums has the error of these */
    check_pair(&s, &seed);
  }
}
END_TEST

START_TEST(every_activation) {
  static const char *const names[] = {"", "Relu", "LeakyRelu", "Clip", "Sigmoid", "HardSwish", "Silu", "HardSigmoid"};
  enum { COUNT = sizeof names / sizeof *names };
  uint64_t seed = 5;
  for (int i = 0; i < 2 * COUNT; i++) {
    const char *first = names[i % COUNT], *second = names[(i + 3) % COUNT];
    const bool keeps_zero = strstr(first, "igmoid") == NULL && strstr(second, "igmoid") == NULL;
    pair_shape s = square_pair(24, keeps_zero ? 40 : 48, 20, 3, 1 + i / COUNT);
    s.first = first;
    s.second = second;
    check_pair(&s, &seed);
  }
}
END_TEST

/* What is not finite spreads through one channel's window only; lanes that are no channels stay zero (run_kernel). */
START_TEST(not_finite) {
  static const float values[] = {NAN, INFINITY, -INFINITY};
  uint64_t seed = 3;
  for (size_t i = 0; i < 3; i++) {
    op_case c;
    pair_shape s = square_pair(17, 40, 20, 3, 1);
    s.first = s.second = i == 0 ? "" : "Relu";
    build_case(&c, &s, &seed);
    ((float *)c.inputs[0]->data)[1000] = values[i];
    case_ready(&c, "pleat");
    pleat_tensor *expected = run_kernel(&c, reference_kernel(&c), (how){.constants = ~1u, .no_layouts = true}, NULL);
    pleat_tensor *found = run_kernel(&c, &pleat_x86_conv_pair, (how){.constants = ~1u, .variant = ROW_BY_ROW}, NULL);
    check_close(found, expected, TOLERANCE, "not finite");
    pleat_tensor_release(found);
    pleat_tensor_release(expected);
    case_end(&c);
  }
}
END_TEST

static void check_refusal_of(const pleat_kernel *kernel, const pair_shape *s, unsigned constants, int variant,
                             const char *words) {
  uint64_t seed = 1;
  op_case c;
  build_case(&c, s, &seed);
  case_ready(&c, "pleat");
  pleat_tensor *found = run_kernel(&c, kernel, (how){.constants = constants, .variant = variant}, NULL);
  ck_assert_msg(found == NULL, "it does not decline");
  ck_assert_msg(strstr(c.error.message, words) != NULL, "'%s' is not in '%s'", words, c.error.message);
  case_end(&c);
}
static void check_refusal(const pair_shape *s, unsigned constants, int variant, const char *words) {
  check_refusal_of(&pleat_x86_conv_pair, s, constants, variant, words);
}

START_TEST(declining_few_channels) {
  pair_shape s = square_pair(3, 48, 20, 3, 1);
  set_first(&s, 3, 1);
  check_refusal_of(&pleat_x86_planes_pair, &s, ~1u, 0, "stays in the cache");
  check_refusal_of(&pleat_x86_planes_pair, &s, ~3u, ROW_BY_ROW, "not constant");
  s.strides[1] = 3;
  check_refusal_of(&pleat_x86_planes_pair, &s, ~1u, ROW_BY_ROW, "a stride above 2");
  s = square_pair(16, 48, 20, 3, 1);
  check_refusal_of(&pleat_x86_planes_pair, &s, ~1u, ROW_BY_ROW, "as many channels");
}
END_TEST

START_TEST(declining) {
  pair_shape s = square_pair(16, 48, 20, 3, 1);
  check_refusal(&s, ~1u, 0, "stays in the cache");
  check_refusal(&s, ~3u, ROW_BY_ROW, "not constant");
  check_refusal(&s, ~9u, ROW_BY_ROW, "not constant");
  check_refusal(&s, ~4u & ~1u, ROW_BY_ROW, "the bias is not constant");
  s.strides[1] = 3;
  check_refusal(&s, ~1u, ROW_BY_ROW, "a stride above 2");
  s = square_pair(16, 48, 20, 4, 1);
  check_refusal(&s, ~1u, ROW_BY_ROW, "a window of that width");
  s = square_pair(4, 48, 20, 3, 1);
  check_refusal(&s, ~1u, ROW_BY_ROW, "fewer channels");
  s = square_pair(16, 36, 20, 3, 1);
  s.first = "Sigmoid";
  check_refusal(&s, ~1u, ROW_BY_ROW, "does not keep zero");
  s.first = "Elu";
  check_refusal(&s, ~1u, ROW_BY_ROW, "not with this activation");
  s = square_pair(16, 48, 20, 3, 1);
  s.batch = 0;
  check_refusal(&s, ~1u, ROW_BY_ROW, "empty");
}
END_TEST

/* The first has to be a plain 1x1 one, and the second depthwise. */
START_TEST(declining_windows) {
  const struct {
    const char *name;
    int64_t values[4];
    size_t count;
    const char *words;
  } cases[] = {{"first_pads", {0, 1, 0, 0}, 4, "not a plain 1x1"}, {"first_strides", {1, 2}, 2, "not a plain 1x1"}};
  uint64_t seed = 1;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    op_case c;
    const pair_shape s = square_pair(16, 48, 20, 3, 1);
    build_case(&c, &s, &seed);
    case_ints(&c, cases[i].name, cases[i].count, cases[i].values);
    case_ready(&c, "pleat");
    pleat_tensor *found = run_kernel(&c, &pleat_x86_conv_pair, (how){.constants = ~1u, .variant = ROW_BY_ROW}, NULL);
    ck_assert_ptr_null(found);
    ck_assert_msg(strstr(c.error.message, cases[i].words) != NULL, "%s", c.error.message);
    case_end(&c);
  }
}
END_TEST

/* Multiply-adds are those of both. */
START_TEST(macs_of_both) {
  uint64_t seed = 1;
  op_case c;
  pleat_type types[5];
  pair_shape s = square_pair(16, 48, 20, 3, 2);
  build_case(&c, &s, &seed);
  case_ready(&c, "pleat");
  for (size_t i = 0; i < 5; i++) types[i] = pleat_type_of_tensor(c.inputs[i]);
  pleat_type y;
  ck_assert_int_eq(pleat_node_infer(&c.node, types, &y, &c.error), PLEAT_OK);
  const pleat_infer ctx = {
      .node = &c.node, .version = c.node.version, .input_count = 5, .output_count = 1, .inputs = types, .outputs = &y};
  ck_assert_double_eq(c.node.def->macs(&ctx), 48.0 * 16 * 400 + 48.0 * 9 * 100);
  case_end(&c);
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  Suite *suite = suite_create("x86_conv_pair");
  TCase *tcase = tcase_create("conv_pair");
  tcase_set_timeout(tcase, 120);
  if (pleat_x86_code_of_cpu() != NULL) {
    tcase_add_loop_test(tcase, any_shape, 0, 3);
    tcase_add_test(tcase, several_fillings);
    tcase_add_test(tcase, few_channels);
    tcase_add_test(tcase, declining_few_channels);
    tcase_add_test(tcase, every_activation);
    tcase_add_test(tcase, not_finite);
    tcase_add_test(tcase, declining);
    tcase_add_test(tcase, declining_windows);
    tcase_add_test(tcase, macs_of_both);
  } else {
    printf("skipped: this CPU has neither AVX2 nor AVX-512\n");
  }
  suite_add_tcase(suite, tcase);
  return suite;
}

/* oneDNN's convolutions against the reference kernels: channel tails around blocks of 8 and 16, groups, depthwise, one
 * to three spatial axes, strides, dilations, uneven padding, fused addends and activations; Winograd's error bound. */
#include <stdio.h>

#include "onednn_case.h"

static const double TOLERANCE = 1e-5;
enum { WINOGRAD_ERROR = 8 }; /* times the direct algorithm's; ops/onednn/conv.c says what was measured */

typedef struct shape {
  int64_t batch, channels, filters, groups, size[3], kernel[3], stride[3], dilation[3], pads[6];
  int spatial;
} shape;

static void add_window(op_case *c, const shape *s) {
  case_ints(c, "strides", (size_t)s->spatial, s->stride);
  case_ints(c, "dilations", (size_t)s->spatial, s->dilation);
  case_ints(c, "pads", 2 * (size_t)s->spatial, s->pads);
  case_int(c, "group", s->groups);
}

static void describe(const shape *s, const char *op, char *text, size_t size) {
  snprintf(text, size, "%s n%d c%d m%d g%d %dx%dx%d k%d%d%d s%d%d d%d%d p%d,%d,%d,%d", op, (int)s->batch,
           (int)s->channels, (int)s->filters, (int)s->groups, (int)s->size[0], (int)s->size[1], (int)s->size[2],
           (int)s->kernel[0], (int)s->kernel[1], (int)s->kernel[2], (int)s->stride[0], (int)s->stride[1],
           (int)s->dilation[0], (int)s->dilation[1], (int)s->pads[0], (int)s->pads[1], (int)s->pads[2],
           (int)s->pads[3]);
}

static void set_inputs(op_case *c, const shape *s, bool transposed, bool bias, uint64_t *seed) {
  int64_t x[5] = {s->batch, s->channels}, w[5];
  w[0] = transposed ? s->channels : s->filters;
  w[1] = (transposed ? s->filters : s->channels) / s->groups;
  for (int i = 0; i < s->spatial; i++) {
    x[2 + i] = s->size[i];
    w[2 + i] = s->kernel[i];
  }
  case_input(c, make_noise(seed, PLEAT_FLOAT, s->spatial + 2, x));
  case_input(c, make_noise(seed, PLEAT_FLOAT, s->spatial + 2, w));
  if (bias) case_input(c, make_noise(seed, PLEAT_FLOAT, 1, &s->filters));
}

/* A shape in which the window fits. */
static shape pick_shape(uint64_t *seed, bool transposed) {
  static const int64_t channels[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33};
  enum { COUNTS = sizeof channels / sizeof *channels };
  shape s = {.spatial = (int)random_between(seed, 1, 3), .groups = 1};
  s.batch = (int64_t[]){1, 2, 7}[random_between(seed, 0, 2)];
  s.channels = channels[random_between(seed, 0, COUNTS - 1)];
  s.filters = channels[random_between(seed, 0, COUNTS - 1)];
  if (random_between(seed, 0, 3) == 0) s.groups = s.filters = s.channels; /* depthwise */
  else if (random_between(seed, 0, 3) == 0) {
    s.groups = 2;
    s.channels *= 2;
    s.filters *= 2;
  }
  for (int i = 0; i < s.spatial; i++) {
    s.kernel[i] = random_between(seed, 1, s.spatial == 3 ? 2 : 4);
    s.stride[i] = random_between(seed, 1, 3);
    s.dilation[i] = transposed ? 1 : random_between(seed, 1, 2);
    const int64_t extent = (s.kernel[i] - 1) * s.dilation[i] + 1;
    s.pads[i] = random_between(seed, 0, extent - 1);
    s.pads[s.spatial + i] = random_between(seed, 0, extent - 1);
    s.size[i] = random_between(seed, extent, s.spatial == 3 ? 5 : 13);
    if (transposed) s.pads[i] = s.pads[s.spatial + i] = 0;
  }
  return s;
}

START_TEST(convolutions) {
  uint64_t seed = 11 + (uint64_t)_i;
  char what[256];
  for (int i = 0; i < 25; i++) {
    op_case c;
    shape s = pick_shape(&seed, false);
    describe(&s, "Conv", what, sizeof what);
    case_begin(&c, "Conv", 22);
    set_inputs(&c, &s, false, i % 2 == 0, &seed);
    add_window(&c, &s);
    /* Weights are not constant in one case of eight: they keep their layout. */
    check_against_reference(&c, &pleat_onednn_conv, "", i % 8 == 7 ? 0 : ~1u, 1, TOLERANCE, what);
  }
}
END_TEST

START_TEST(transposed_convolutions) {
  uint64_t seed = 77 + (uint64_t)_i;
  char what[256];
  for (int i = 0; i < 20; i++) {
    op_case c;
    shape s = pick_shape(&seed, true);
    describe(&s, "ConvTranspose", what, sizeof what);
    case_begin(&c, "ConvTranspose", 22);
    set_inputs(&c, &s, true, i % 2 == 0, &seed);
    add_window(&c, &s);
    check_against_reference(&c, &pleat_onednn_conv_transpose, "", i % 8 == 7 ? ~3u : ~1u, 1, TOLERANCE, what);
  }
}
END_TEST

static const char *const activations[] = {"",     "Relu",        "LeakyRelu", "Clip", "Sigmoid", "HardSwish",
                                          "Silu", "HardSigmoid", "Gelu",      "Elu",  "Tanh"};

START_TEST(fused) {
  uint64_t seed = 5;
  for (int i = 0; i < 44; i++) {
    op_case c;
    const char *name = activations[i % 11];
    const bool addend = i % 3 != 0, winograd = i >= 22;
    shape s = {.batch = 1 + i % 2, .channels = winograd ? 32 : 17, .filters = winograd ? 48 : 24, .groups = 1};
    s.spatial = 2;
    for (int d = 0; d < 2; d++) {
      s.size[d] = 9 + d;
      s.kernel[d] = winograd ? 3 : 2;
      s.stride[d] = s.dilation[d] = 1;
      s.pads[d] = s.pads[2 + d] = winograd;
    }
    const int64_t y[] = {s.batch, s.filters, s.size[0] - !winograd, s.size[1] - !winograd};
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
    check_against_reference(&c, &pleat_onednn_conv, "pleat", ~9u, 1 | (addend ? 8 : 0),
                            winograd ? 5 * TOLERANCE : TOLERANCE, name);
  }
}
END_TEST

/* What is not finite spreads as far as the window sees, and no further. */
START_TEST(not_finite) {
  uint64_t seed = 3;
  shape s = {.batch = 1, .channels = 20, .filters = 18, .groups = 1, .spatial = 2};
  for (int d = 0; d < 2; d++) {
    s.size[d] = 8;
    s.kernel[d] = 3;
    s.stride[d] = s.dilation[d] = s.pads[d] = s.pads[2 + d] = 1;
  }
  for (int i = 0; i < 2; i++) {
    op_case c;
    case_begin(&c, "Conv", 22);
    set_inputs(&c, &s, false, true, &seed);
    ((float *)c.inputs[0]->data)[100] = i == 0 ? NAN : INFINITY;
    add_window(&c, &s);
    check_against_reference(&c, &pleat_onednn_conv, "", ~1u, 1, TOLERANCE, "not finite");
  }
}
END_TEST

static pleat_tensor *as_double(const pleat_tensor *tensor) {
  pleat_tensor *wide = NULL;
  ck_assert_int_eq(pleat_tensor_cast((pleat_tensor *)(uintptr_t)tensor, PLEAT_DOUBLE, &wide, NULL), PLEAT_OK);
  return wide;
}

START_TEST(winograd_error) {
  static const int64_t shapes[][3] = {{32, 32, 28}, {64, 64, 28}, {128, 48, 29}, {160, 32, 14}, {33, 40, 30}};
  uint64_t seed = 1;
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    op_case c;
    shape s = {.batch = 1, .channels = shapes[i][0], .filters = shapes[i][1], .groups = 1, .spatial = 2};
    for (int d = 0; d < 2; d++) {
      s.size[d] = shapes[i][2];
      s.kernel[d] = 3;
      s.stride[d] = s.dilation[d] = s.pads[d] = s.pads[2 + d] = 1;
    }
    case_begin(&c, "Conv", 22);
    set_inputs(&c, &s, false, true, &seed);
    add_window(&c, &s);
    case_ready(&c, "");
    pleat_tensor *fast = run_kernel(&c, &pleat_onednn_conv, (how){.constants = ~1u}, NULL);
    pleat_tensor *direct = run_kernel(&c, &pleat_onednn_conv, (how){.constants = ~1u, .exact = true}, NULL);
    pleat_tensor *given[3];
    for (int k = 0; k < 3; k++) {
      given[k] = c.inputs[k];
      c.inputs[k] = as_double(given[k]);
    }
    pleat_tensor *truth = run_kernel(&c, reference_kernel(&c), (how){.constants = ~0u, .no_layouts = true}, NULL);
    const double winograd = relative_error(fast, truth), plain = relative_error(direct, truth);
    ck_assert_msg(winograd <= WINOGRAD_ERROR * plain && winograd < 2e-6, "Winograd's error is %g, the direct one %g",
                  winograd, plain);
    ck_assert_msg(plain < 3e-7, "the direct algorithm's error is %g", plain);
    for (int k = 0; k < 3; k++) pleat_tensor_release(given[k]);
    pleat_tensor_release(fast);
    pleat_tensor_release(direct);
    pleat_tensor_release(truth);
    case_end(&c);
  }
}
END_TEST

/* Where nobody converts layouts, the kernel works on dense tensors. */
START_TEST(without_layouts) {
  uint64_t seed = 8;
  for (int i = 0; i < 10; i++) {
    op_case c;
    shape s = pick_shape(&seed, false);
    case_begin(&c, "Conv", 22);
    set_inputs(&c, &s, false, true, &seed);
    add_window(&c, &s);
    case_ready(&c, "");
    pleat_tensor *expected = run_kernel(&c, reference_kernel(&c), (how){.constants = ~0u, .no_layouts = true}, NULL);
    pleat_tensor *found = run_kernel(&c, &pleat_onednn_conv, (how){.constants = ~1u, .no_layouts = true}, NULL);
    if (found != NULL) check_close(found, expected, TOLERANCE, "dense");
    else ck_assert_msg(strstr(c.error.message, "oneDNN") != NULL, "%s", c.error.message);
    pleat_tensor_release(found);
    pleat_tensor_release(expected);
    case_end(&c);
  }
}
END_TEST

START_TEST(empty_tensors) {
  static const struct {
    const char *x, *w;
  } empty[] = {{"0,3,8,8", "4,3,3,3"}, {"1,3,8,8", "0,3,3,3"}, {"1,0,8,8", "4,0,3,3"}};
  for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
    op_case c;
    case_begin(&c, "Conv", 22);
    case_input(&c, make(PLEAT_FLOAT, empty[i].x, NULL));
    case_input(&c, make(PLEAT_FLOAT, empty[i].w, NULL));
    check_declines(&c, &pleat_onednn_conv, 2, "empty");
  }
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  Suite *suite = suite_create("onednn_conv");
  TCase *tcase = tcase_create("conv");
  tcase_set_timeout(tcase, 120);
  tcase_add_loop_test(tcase, convolutions, 0, 3);
  tcase_add_loop_test(tcase, transposed_convolutions, 0, 2);
  tcase_add_test(tcase, fused);
  tcase_add_test(tcase, not_finite);
  tcase_add_test(tcase, winograd_error);
  tcase_add_test(tcase, without_layouts);
  tcase_add_test(tcase, empty_tensors);
  suite_add_tcase(suite, tcase);
  return suite;
}

/* oneDNN's convolutions against the reference kernels: channel tails around blocks of 8 and 16, groups, depthwise, one
 * to three spatial axes, strides, dilations, uneven padding, fused addends and activations; variants. */
#include "conv_case.h"
#include "ops/onednn/onednn.h"

static const double TOLERANCE = 1e-5;
enum { ACTIVATIONS = 11 };

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
  char what[WHAT_SIZE];
  for (int i = 0; i < 25; i++) {
    op_case c;
    shape s = pick_shape(&seed, false);
    conv_begin(&c, &s, i % 2 == 0, &seed, what);
    /* Weights are not constant in one case of eight: they keep their layout. */
    check_against_reference(&c, &pleat_onednn_conv, "", i % 8 == 7 ? 0 : ~1u, 1, TOLERANCE, what);
  }
}
END_TEST

START_TEST(transposed_convolutions) {
  uint64_t seed = 77 + (uint64_t)_i;
  char what[WHAT_SIZE];
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
  for (int i = 0; i < 4 * ACTIVATIONS; i++) {
    op_case c;
    const char *name = activations[i % ACTIVATIONS];
    const bool addend = i % 3 != 0, is_whole = i >= 2 * ACTIVATIONS; /* blocks of channels; with padding */
    shape s = {.batch = 1 + i % 2, .channels = is_whole ? 32 : 17, .filters = is_whole ? 48 : 24, .groups = 1};
    s.spatial = 2;
    for (int d = 0; d < 2; d++) {
      s.size[d] = 9 + d;
      s.kernel[d] = is_whole ? 3 : 2;
      s.stride[d] = s.dilation[d] = 1;
      s.pads[d] = s.pads[2 + d] = is_whole;
    }
    const int64_t y[] = {s.batch, s.filters, s.size[0] - !is_whole, s.size[1] - !is_whole};
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
                            is_whole ? 5 * TOLERANCE : TOLERANCE, name); /* sums of 288 numbers, and of 68 */
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

/* Each variant by name, in all layouts of the input: right, or declined. */
START_TEST(variants) {
  uint64_t seed = 77;
  size_t taken = 0;
  const shape s = square_shape(32, 48, 14, 3, 1, 1);
  for (int v = 1; pleat_onednn_conv.variants[v - 1] != NULL; v++) {
    for (unsigned blocked = 0; blocked < 2; blocked++) {
      op_case c;
      case_begin(&c, "Conv", 22);
      set_inputs(&c, &s, false, true, &seed);
      add_window(&c, &s);
      case_ready(&c, "");
      const how how = {.constants = ~1u, .blocked = blocked, .variant = v};
      pleat_tensor *expected =
          run_kernel(&c, reference_kernel(&c), (struct how){.constants = ~0u, .no_layouts = true}, NULL);
      pleat_tensor *found = run_kernel(&c, &pleat_onednn_conv, how, NULL);
      if (found != NULL) check_close(found, expected, 5 * TOLERANCE, pleat_onednn_conv.variants[v - 1]);
      taken += found != NULL;
      pleat_tensor_release(found);
      pleat_tensor_release(expected);
      case_end(&c);
    }
  }
  ck_assert_uint_ge(taken, 2); /* "direct" there always is */
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
  tcase_add_test(tcase, without_layouts);
  tcase_add_test(tcase, variants);
  tcase_add_test(tcase, empty_tensors);
  suite_add_tcase(suite, tcase);
  return suite;
}

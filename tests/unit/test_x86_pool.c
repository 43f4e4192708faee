/* Our own pools and BatchNormalization for x86 against the reference kernels, on blocks of channels: windows, strides,
 * dilations, uneven padding, ceil_mode, channel tails, one to three axes, what is not finite. Runs once per instruction
 * set (tests/CMakeLists.txt). */
#include "conv_case.h"
#include "ops/x86/x86.h"

static const double TOLERANCE = 1e-6;

/* The kernel only takes tensors in blocks, so it is told that its input comes in them. */
static void check(op_case *c, const pleat_kernel *kernel, const char *domain, unsigned constants, const char *what) {
  case_ready(c, domain);
  pleat_tensor *expected = run_kernel(c, reference_kernel(c), (how){.constants = ~0u, .no_layouts = true}, NULL);
  ck_assert_ptr_nonnull(expected);
  how how = {.constants = constants, .blocked = 1, .lanes = pleat_x86_code_of_cpu()->lanes};
  check_kernel(c, kernel, how, expected, TOLERANCE, what);
  if (pleat_x86_code_for(true) != NULL && strcmp(c->op, "AveragePool") != 0) {
    round_inputs(c);
    how.bf16 = true;
    compare_with_reference(c, kernel, how, 1, TOLERANCE, what);
  }
  pleat_tensor_release(expected);
  case_end(c);
}

static pleat_tensor *make_x(uint64_t *seed, int spatial, int64_t least, int64_t *out_channels) {
  static const int64_t channels[] = {1, 8, 15, 16, 17, 32, 40};
  int64_t dims[5] = {random_between(seed, 1, 3), channels[random_between(seed, 0, 6)]};
  for (int i = 0; i < spatial; i++) dims[2 + i] = random_between(seed, least, spatial == 3 ? 9 : 20);
  *out_channels = dims[1];
  return make_noise(seed, PLEAT_FLOAT, spatial + 2, dims);
}

START_TEST(windows) {
  uint64_t seed = 5 + (uint64_t)_i;
  for (int i = 0; i < 40; i++) {
    op_case c;
    const char *op = i % 2 == 0 ? "MaxPool" : "AveragePool";
    const int spatial = (int)random_between(&seed, 1, 3);
    int64_t kernel[3], stride[3], dilation[3], pads[6], channels;
    for (int d = 0; d < spatial; d++) {
      kernel[d] = random_between(&seed, 1, 4);
      stride[d] = random_between(&seed, 1, 3);
      dilation[d] = random_between(&seed, 1, 2);
      const int64_t extent = (kernel[d] - 1) * dilation[d] + 1;
      pads[d] = random_between(&seed, 0, extent - 1);
      pads[spatial + d] = random_between(&seed, 0, extent - 1);
    }
    case_begin(&c, op, 19);
    case_input(&c, make_x(&seed, spatial, 7, &channels));
    if (i % 4 < 2)
      for (size_t k = 0; k < c.inputs[0]->count; k += 97)
        ((float *)c.inputs[0]->data)[k] = k % 2 == 0 ? NAN : -INFINITY;
    case_ints(&c, "kernel_shape", (size_t)spatial, kernel);
    case_ints(&c, "strides", (size_t)spatial, stride);
    case_ints(&c, "dilations", (size_t)spatial, dilation);
    case_ints(&c, "pads", 2 * (size_t)spatial, pads);
    case_int(&c, "ceil_mode", i % 3 == 0);
    if (i % 2 == 1) case_int(&c, "count_include_pad", i % 5 == 0);
    check(&c, &pleat_x86_pool, "", ~1u, op);
  }
}
END_TEST

START_TEST(planes) {
  static const char *const ops[] = {"GlobalAveragePool", "GlobalMaxPool", "ReduceMean"};
  uint64_t seed = 9;
  for (int i = 0; i < 30; i++) {
    op_case c;
    int64_t channels;
    const int64_t axes[] = {-1, 2};
    case_begin(&c, ops[i % 3], i % 3 == 2 ? 13 : 1);
    case_input(&c, make_x(&seed, i % 3 == 2 ? 2 : (int)random_between(&seed, 1, 3), 1, &channels));
    if (i % 3 == 2) {
      case_ints(&c, "axes", 2, axes);
      case_int(&c, "keepdims", i % 2);
    }
    check(&c, i % 3 == 2 ? &pleat_x86_reduce_mean : &pleat_x86_global_pool, "", ~1u, ops[i % 3]);
  }
}
END_TEST

START_TEST(normalizations) {
  static const char *const activations[] = {"", "Relu", "LeakyRelu", "Clip", "HardSwish", "Silu"};
  uint64_t seed = 3;
  for (int i = 0; i < 24; i++) {
    op_case c;
    int64_t channels;
    case_begin(&c, i % 2 == 0 ? "BatchNormalization" : "FusedBatchNormalization", i % 2 == 0 ? 15 : 1);
    case_input(&c, make_x(&seed, 1 + i % 3, 1, &channels));
    for (int k = 0; k < 4; k++) {
      case_input(&c, make_noise(&seed, PLEAT_FLOAT, 1, &channels));
      float *values = c.inputs[1 + k]->data;
      for (int64_t j = 0; k == 3 && j < channels; j++) values[j] = fabsf(values[j]) + 0.1f;
    }
    case_float(&c, "epsilon", 1e-3f);
    if (i % 2 == 1) {
      case_string(&c, "activation", activations[i / 2 % 6]);
      case_float(&c, "activation_alpha", i / 2 % 6 == 3 ? -0.5f : 0.2f);
      case_float(&c, "activation_beta", 0.7f);
    }
    check(&c, &pleat_x86_batch_normalization, i % 2 == 0 ? "" : "pleat", ~1u, activations[i / 2 % 6]);
  }
}
END_TEST

START_TEST(declining) {
  static const int64_t channel_axis[] = {1};
  uint64_t seed = 1;
  for (int i = 0; i < 2; i++) {
    op_case c;
    int64_t channels;
    case_begin(&c, i == 0 ? "GlobalAveragePool" : "ReduceMean", i == 0 ? 1 : 13);
    case_input(&c, make_x(&seed, 2, 3, &channels));
    if (i == 1) case_ints(&c, "axes", 1, channel_axis);
    case_ready(&c, "");
    const how how = {.constants = ~1u, .blocked = i == 1, .lanes = pleat_x86_code_of_cpu()->lanes};
    ck_assert_ptr_null(run_kernel(&c, i == 0 ? &pleat_x86_global_pool : &pleat_x86_reduce_mean, how, NULL));
    ck_assert_msg(strstr(c.error.message, i == 0 ? "in blocks" : "spatial axes") != NULL, "%s", c.error.message);
    case_end(&c);
  }
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  Suite *suite = suite_create("x86_pool");
  TCase *tcase = tcase_create("pool");
  if (pleat_x86_code_of_cpu() != NULL) {
    tcase_add_loop_test(tcase, windows, 0, 3);
    tcase_add_test(tcase, planes);
    tcase_add_test(tcase, normalizations);
    tcase_add_test(tcase, declining);
  } else {
    printf("skipped: this CPU has neither AVX2 nor AVX-512\n");
  }
  suite_add_tcase(suite, tcase);
  return suite;
}

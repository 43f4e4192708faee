/* Pools and normalisations against the specification written down naively: one output at a time, no tables. The
 * conformance vectors cover single cases; this covers 1-D to 3-D, combinations of attributes, types and old opsets. */
#include "op_case.h"

/* ---- the naive pool ---- */

typedef struct geometry {
  int spatial;
  int64_t in[5], out[5], kernel[3], stride[3], dilation[3], pads[6];
} geometry;

typedef enum naive_kind { NAIVE_MAX, NAIVE_AVERAGE, NAIVE_AVERAGE_PADDED, NAIVE_LP } naive_kind;

/* Output sizes by the specification's formula, the last window included only when it starts before the right padding.
 */
static void size_outputs(geometry *g, bool ceil_mode) {
  memcpy(g->out, g->in, sizeof g->out);
  for (int i = 0; i < g->spatial; i++) {
    int64_t extent = (g->kernel[i] - 1) * g->dilation[i] + 1;
    int64_t room = g->in[2 + i] + g->pads[i] + g->pads[g->spatial + i] - extent, stride = g->stride[i];
    int64_t steps = ceil_mode ? (room + stride - 1) / stride : room / stride;
    if (ceil_mode && steps * stride >= g->in[2 + i] + g->pads[i]) steps--;
    g->out[2 + i] = steps + 1;
  }
}

/* One output at `position` (spatial), of plane `x`. Sets the flat index in the plane of the first maximum. */
static double naive_window(const geometry *g, naive_kind kind, const pleat_tensor *x, size_t plane,
                           const int64_t *position, int64_t *out_index) {
  int64_t tap[3] = {0}, counted = 0;
  double sum = 0, best = pleat_dtype_is_float(x->dtype) ? -(double)INFINITY : -1e30;
  *out_index = -1;
  for (;;) {
    bool inside = true, padded = true;
    int64_t index = 0;
    for (int i = 0; i < g->spatial; i++) {
      int64_t p = position[i] * g->stride[i] - g->pads[i] + tap[i] * g->dilation[i];
      inside = inside && p >= 0 && p < g->in[2 + i];
      padded = padded && p < g->in[2 + i] + g->pads[g->spatial + i];
      index = index * g->in[2 + i] + p;
    }
    if (inside) {
      int64_t planes = g->in[2] * (g->spatial > 1 ? g->in[3] : 1) * (g->spatial > 2 ? g->in[4] : 1);
      double v = pleat_load_f64(x->dtype, x->data, plane * (size_t)planes + (size_t)index);
      sum += kind == NAIVE_LP ? v * v * fabs(v) : v;
      if (*out_index < 0 || v > best) {
        best = v;
        *out_index = index;
      }
    }
    counted += kind == NAIVE_AVERAGE_PADDED ? padded : inside;
    int i = g->spatial - 1;
    while (i >= 0 && ++tap[i] == g->kernel[i]) tap[i--] = 0;
    if (i < 0) break;
  }
  if (kind == NAIVE_MAX) return best;
  if (kind == NAIVE_LP) return cbrt(sum);
  return counted == 0 ? 0 : sum / (double)counted;
}

static void set_geometry(op_case *t, const geometry *g) {
  case_ints(t, "kernel_shape", (size_t)g->spatial, g->kernel);
  case_ints(t, "strides", (size_t)g->spatial, g->stride);
  case_ints(t, "dilations", (size_t)g->spatial, g->dilation);
  case_ints(t, "pads", 2 * (size_t)g->spatial, g->pads);
}

/* Some geometry whose windows fit and always see some input. */
static geometry some_geometry(uint64_t *seed) {
  geometry g = {.spatial = (int)random_between(seed, 1, 3)};
  g.in[0] = random_between(seed, 1, 2);
  g.in[1] = random_between(seed, 1, 3);
  for (int i = 0; i < g.spatial; i++) {
    g.kernel[i] = random_between(seed, 1, 4);
    g.stride[i] = random_between(seed, 1, 3);
    g.dilation[i] = random_between(seed, 1, 2);
    g.pads[i] = random_between(seed, 0, g.kernel[i] - 1);
    g.pads[g.spatial + i] = random_between(seed, 0, g.kernel[i] - 1);
    g.in[2 + i] = random_between(seed, (g.kernel[i] - 1) * g.dilation[i] + 1, 12);
  }
  return g;
}

static void check_pool(const char *op, naive_kind kind, pleat_dtype dtype, bool indices, uint64_t *seed) {
  geometry g = some_geometry(seed);
  bool ceil_mode = random_between(seed, 0, 1) != 0;
  op_case t;
  case_begin(&t, op, 22);
  set_geometry(&t, &g);
  case_int(&t, "ceil_mode", ceil_mode);
  if (kind == NAIVE_AVERAGE_PADDED) case_int(&t, "count_include_pad", 1);
  if (kind == NAIVE_LP) case_int(&t, "p", 3);
  case_input(&t, make_noise_upto(seed, dtype, 2 + g.spatial, g.in, 20));
  if (indices) t.output_count = 2;
  const pleat_tensor *y = RUN_OK(&t), *x = t.inputs[0];
  size_outputs(&g, ceil_mode);
  check_dims(y, 2 + g.spatial, g.out);
  size_t plane_size = y->count / (size_t)(g.in[0] * g.in[1]), in_plane = x->count / (size_t)(g.in[0] * g.in[1]);
  for (size_t i = 0; i < y->count; i++) {
    int64_t position[3], index;
    size_t rest = i % plane_size, plane = i / plane_size;
    for (int d = g.spatial - 1; d >= 0; d--) {
      position[d] = (int64_t)(rest % (size_t)g.out[2 + d]);
      rest /= (size_t)g.out[2 + d];
    }
    CHECK_AT(y, i, naive_window(&g, kind, x, plane, position, &index));
    if (indices) CHECK_AT(t.outputs[1], i, (double)(index + (int64_t)(plane * in_plane)));
  }
  case_end(&t);
}

START_TEST(max_pool_matches_naive) {
  static const pleat_dtype types[] = {PLEAT_FLOAT, PLEAT_DOUBLE, PLEAT_INT8, PLEAT_UINT8, PLEAT_FLOAT16};
  uint64_t seed = 1;
  for (int i = 0; i < 300; i++) check_pool("MaxPool", NAIVE_MAX, types[i % 5], i % 2 == 1, &seed);
}
END_TEST

START_TEST(average_pool_matches_naive) {
  uint64_t seed = 2;
  for (int i = 0; i < 150; i++) {
    check_pool("AveragePool", NAIVE_AVERAGE, i % 2 == 0 ? PLEAT_FLOAT : PLEAT_DOUBLE, false, &seed);
    check_pool("AveragePool", NAIVE_AVERAGE_PADDED, i % 2 == 0 ? PLEAT_FLOAT : PLEAT_DOUBLE, false, &seed);
  }
}
END_TEST

START_TEST(lp_pool_matches_naive) {
  uint64_t seed = 3;
  for (int i = 0; i < 100; i++) check_pool("LpPool", NAIVE_LP, i % 2 == 0 ? PLEAT_FLOAT : PLEAT_DOUBLE, false, &seed);
}
END_TEST

/* Large enough for several threads, and for rows longer than a block. */
START_TEST(threads_agree) {
  static const char *const ops[] = {"MaxPool", "AveragePool", "LpPool"};
  int64_t dims[] = {1, 3, 64, 300}, kernel[] = {3, 3}, strides[] = {2, 1}, pads[] = {1, 1, 1, 1},
          out[] = {1, 3, 32, 300};
  uint64_t seed = 4;
  for (int i = 0; i < 3; i++) {
    op_case t;
    case_begin(&t, ops[i], 11);
    case_ints(&t, "kernel_shape", 2, kernel);
    case_ints(&t, "strides", 2, strides);
    case_ints(&t, "pads", 4, pads);
    case_input(&t, make_noise_upto(&seed, PLEAT_FLOAT, 4, dims, 20));
    check_dims(RUN_OK(&t), 4, out);
    case_end(&t);
  }
}
END_TEST

/* ---- single cases ---- */

START_TEST(max_pool_padding_never_wins) {
  int64_t dims[] = {1, 1, 4}, kernel[] = {3}, pads[] = {1, 1};
  double inf = (double)INFINITY, x[] = {-inf, -5, -7, -9}, expected[] = {-5, -5, -5, -7};
  op_case t;
  case_begin(&t, "MaxPool", 1);
  case_ints(&t, "kernel_shape", 1, kernel);
  case_ints(&t, "pads", 2, pads);
  case_input(&t, make_values(PLEAT_FLOAT, 3, dims, x));
  CHECK_VALUES(RUN_OK(&t), 4, expected);
  case_end(&t);
}
END_TEST

START_TEST(max_pool_of_minus_infinity_has_an_index) {
  int64_t dims[] = {1, 1, 3}, kernel[] = {3};
  double inf = (double)INFINITY, x[] = {-inf, -inf, -inf}, zero = 0;
  op_case t;
  case_begin(&t, "MaxPool", 8);
  case_ints(&t, "kernel_shape", 1, kernel);
  case_input(&t, make_values(PLEAT_FLOAT, 3, dims, x));
  t.output_count = 2;
  CHECK_VALUES(RUN_OK(&t), 1, x);
  CHECK_VALUES(t.outputs[1], 1, &zero);
  case_end(&t);
}
END_TEST

START_TEST(max_pool_passes_nan_on) {
  int64_t dims[] = {1, 1, 4}, kernel[] = {2};
  double nan = (double)NAN, x[] = {1, nan, 3, 2}, expected[] = {nan, nan, 3}, at[] = {1, 1, 2};
  for (size_t outputs = 1; outputs <= 2; outputs++) {
    op_case t;
    case_begin(&t, "MaxPool", 12);
    case_ints(&t, "kernel_shape", 1, kernel);
    case_input(&t, make_values(PLEAT_FLOAT, 3, dims, x));
    t.output_count = outputs;
    CHECK_VALUES(RUN_OK(&t), 3, expected);
    if (outputs == 2) CHECK_VALUES(t.outputs[1], 3, at);
    case_end(&t);
  }
}
END_TEST

START_TEST(max_pool_column_major_indices) {
  int64_t dims[] = {1, 2, 2, 3}, kernel[] = {2, 2};
  double x[] = {1, 2, 3, 4, 9, 6, 9, 2, 3, 4, 5, 6}, at[] = {3, 3, 6, 6 + 5};
  op_case t;
  case_begin(&t, "MaxPool", 8);
  case_ints(&t, "kernel_shape", 2, kernel);
  case_int(&t, "storage_order", 1);
  case_input(&t, make_values(PLEAT_FLOAT, 4, dims, x));
  t.output_count = 2;
  RUN_OK(&t);
  CHECK_VALUES(t.outputs[1], 4, at);
  case_end(&t);
}
END_TEST

START_TEST(lp_pool_before_opset_2_has_a_float_order) {
  int64_t dims[] = {1, 1, 2}, kernel[] = {2};
  double x[] = {3, -4}, expected = pow(pow(3, 1.5) + pow(4, 1.5), 1 / 1.5);
  op_case t;
  case_begin(&t, "LpPool", 1);
  case_float(&t, "p", 1.5f);
  case_ints(&t, "kernel_shape", 1, kernel);
  case_input(&t, make_values(PLEAT_FLOAT, 3, dims, x));
  CHECK_VALUES(RUN_OK(&t), 1, &expected);
  case_end(&t);
  case_begin(&t, "GlobalLpPool", 1);
  case_float(&t, "p", 1.5f);
  case_input(&t, make_values(PLEAT_FLOAT, 3, dims, x));
  CHECK_VALUES(RUN_OK(&t), 1, &expected);
  case_end(&t);
}
END_TEST

START_TEST(global_pools) {
  static const struct {
    const char *op;
    int64_t p;
    double expected[2];
  } cases[] = {{"GlobalAveragePool", 0, {2, -2}},
               {"GlobalMaxPool", 0, {5, 3}},
               {"GlobalLpPool", 1, {10, 18}},
               {"GlobalLpPool", 2, {5.8309519, 9.8994949}}};
  int64_t dims[] = {1, 2, 1, 2, 2}, out[] = {1, 2, 1, 1, 1};
  double x[] = {5, 2, -1, 2, 3, -7, 2, -6};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    op_case t;
    case_begin(&t, cases[i].op, 2);
    if (cases[i].p != 0) case_int(&t, "p", cases[i].p);
    case_input(&t, make_values(PLEAT_FLOAT, 5, dims, x));
    check_dims(RUN_OK(&t), 5, out);
    CHECK_VALUES(t.outputs[0], 2, cases[i].expected);
    case_end(&t);
  }
}
END_TEST

START_TEST(bad_pools_are_refused) {
  int64_t dims[] = {1, 1, 3}, flat[] = {1, 3}, two[] = {2, 2}, large[] = {5}, zero[] = {0};
  op_case t;
  case_begin(&t, "MaxPool", 12);
  case_input(&t, make_dims(PLEAT_FLOAT, 3, dims, NULL));
  RUN_FAILS(&t, PLEAT_MALFORMED_MODEL, ""); /* no kernel */
  case_begin(&t, "MaxPool", 12);
  case_ints(&t, "kernel_shape", 2, two);
  case_input(&t, make_dims(PLEAT_FLOAT, 3, dims, NULL));
  RUN_FAILS(&t, PLEAT_MALFORMED_MODEL, ""); /* one axis, two sizes */
  case_begin(&t, "AveragePool", 12);
  case_ints(&t, "kernel_shape", 1, large);
  case_input(&t, make_dims(PLEAT_FLOAT, 3, dims, NULL));
  RUN_FAILS(&t, PLEAT_SHAPE_MISMATCH, ""); /* larger than the input */
  case_begin(&t, "AveragePool", 12);
  case_ints(&t, "kernel_shape", 1, zero);
  case_input(&t, make_dims(PLEAT_FLOAT, 2, flat, NULL));
  RUN_FAILS(&t, PLEAT_SHAPE_MISMATCH, ""); /* no spatial axis */
  case_begin(&t, "LpPool", 12);
  case_int(&t, "p", 0);
  case_ints(&t, "kernel_shape", 1, two);
  case_input(&t, make_dims(PLEAT_FLOAT, 3, dims, NULL));
  RUN_FAILS(&t, PLEAT_MALFORMED_MODEL, ""); /* p = 0 */
}
END_TEST

/* ---- normalisations ---- */

START_TEST(lrn_matches_naive) {
  int64_t dims[] = {2, 7, 90, 31};
  float betas[] = {0.75f, 0.5f, 1.25f};
  uint64_t seed = 5;
  for (int64_t size = 1; size <= 6; size++) {
    op_case t;
    double beta = (double)betas[size % 3];
    case_begin(&t, "LRN", 13);
    case_int(&t, "size", size);
    case_float(&t, "alpha", 0.5f);
    case_float(&t, "beta", betas[size % 3]);
    case_float(&t, "bias", 2);
    case_input(&t, make_noise_upto(&seed, PLEAT_FLOAT, 4, dims, 20));
    const pleat_tensor *y = RUN_OK(&t);
    const float *x = t.inputs[0]->data;
    int64_t inner = dims[2] * dims[3];
    for (int64_t i = 0; i < (int64_t)y->count; i += 13) {
      int64_t c = i / inner % 7;
      double squares = 0;
      for (int64_t k = c - (size - 1) / 2; k <= c + size / 2; k++)
        if (k >= 0 && k < 7) squares += (double)x[i + (k - c) * inner] * (double)x[i + (k - c) * inner];
      CHECK_AT(y, (size_t)i, (double)x[i] / pow(2 + 0.5 / (double)size * squares, beta));
    }
    case_end(&t);
  }
}
END_TEST

/* Instance and group normalisation: mean 0 and variance 1 in each group, then scale and bias. */
static void check_groups(const char *op, int opset, int64_t groups, bool per_group) {
  int64_t dims[] = {2, 6, 40, 101};
  double scale[] = {1, 2, 3, 4, 5, 6}, bias[] = {0, 1, 2, 3, 4, 5};
  uint64_t seed = 6;
  op_case t;
  case_begin(&t, op, opset);
  if (strcmp(op, "GroupNormalization") == 0) case_int(&t, "num_groups", groups);
  case_input(&t, make_noise_upto(&seed, PLEAT_FLOAT, 4, dims, 20));
  case_input(&t, make_vector(PLEAT_FLOAT, per_group ? groups : 6, scale));
  case_input(&t, make_vector(PLEAT_FLOAT, per_group ? groups : 6, bias));
  const pleat_tensor *y = RUN_OK(&t);
  const float *x = t.inputs[0]->data;
  size_t channels = 6 / (size_t)groups, inner = 40 * 101, n = channels * inner;
  for (size_t row = 0; row < 2 * (size_t)groups; row++) {
    double mean = 0, variance = 0;
    for (size_t i = 0; i < n; i++) mean += (double)x[row * n + i] / (double)n;
    for (size_t i = 0; i < n; i++) variance += pow((double)x[row * n + i] - mean, 2) / (double)n;
    for (size_t i = 0; i < n; i += 7) {
      size_t of = per_group ? row % (size_t)groups : row % (size_t)groups * channels + i / inner;
      CHECK_AT(y, row * n + i, ((double)x[row * n + i] - mean) / sqrt(variance + 1e-5) * scale[of] + bias[of]);
    }
  }
  case_end(&t);
}

START_TEST(group_normalizations_match_naive) {
  check_groups("InstanceNormalization", 1, 6, false);
  check_groups("InstanceNormalization", 22, 6, false);
  check_groups("GroupNormalization", 18, 2, true);
  check_groups("GroupNormalization", 21, 3, false);
}
END_TEST

START_TEST(layer_normalization_broadcasts_scale) {
  int64_t dims[] = {1, 2, 2}, column[] = {2, 1};
  double x[] = {1, 2, 3, 6}, scale[] = {10, 100}, bias = 1;
  double deviation = sqrt(3.5 + 1e-5), expected[4];
  for (int i = 0; i < 4; i++) expected[i] = (x[i] - 3) / deviation * scale[i / 2] + 1;
  op_case t;
  case_begin(&t, "LayerNormalization", 17);
  case_int(&t, "axis", 1);
  case_input(&t, make_values(PLEAT_DOUBLE, 3, dims, x));
  case_input(&t, make_values(PLEAT_DOUBLE, 2, column, scale));
  case_input(&t, make_vector(PLEAT_DOUBLE, 1, &bias));
  t.output_count = 3;
  CHECK_VALUES(RUN_OK(&t), 4, expected);
  ck_assert_int_eq(t.outputs[1]->dtype, PLEAT_FLOAT);
  CHECK_AT(t.outputs[1], 0, 3);
  CHECK_AT(t.outputs[2], 0, 1 / deviation);
  case_end(&t);
}
END_TEST

START_TEST(bad_normalizations_are_refused) {
  int64_t dims[] = {1, 6, 2}, wide[] = {2, 6, 2};
  op_case t;
  case_begin(&t, "GroupNormalization", 21);
  case_int(&t, "num_groups", 4);
  for (int i = 0; i < 3; i++) case_input(&t, make_dims(PLEAT_FLOAT, i == 0 ? 3 : 1, i == 0 ? dims : dims + 1, NULL));
  RUN_FAILS(&t, PLEAT_SHAPE_MISMATCH, ""); /* 4 groups of 6 channels */
  case_begin(&t, "InstanceNormalization", 6);
  for (int i = 0; i < 3; i++) case_input(&t, make_dims(PLEAT_FLOAT, i == 0 ? 3 : 1, i == 0 ? dims : dims + 2, NULL));
  RUN_FAILS(&t, PLEAT_SHAPE_MISMATCH, ""); /* 2 scales for 6 channels */
  case_begin(&t, "LayerNormalization", 17);
  case_input(&t, make_dims(PLEAT_FLOAT, 3, dims, NULL));
  case_input(&t, make_dims(PLEAT_FLOAT, 3, wide, NULL));
  RUN_FAILS(&t, PLEAT_SHAPE_MISMATCH, ""); /* scale of more dimensions than are normalized */
  case_begin(&t, "LRN", 13);
  case_int(&t, "size", 0);
  case_input(&t, make_dims(PLEAT_FLOAT, 3, dims, NULL));
  RUN_FAILS(&t, PLEAT_MALFORMED_MODEL, "");
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("ops_pool");
  TCase *tests = tcase_create("all");
  tcase_add_test(tests, max_pool_matches_naive);
  tcase_add_test(tests, average_pool_matches_naive);
  tcase_add_test(tests, lp_pool_matches_naive);
  tcase_add_test(tests, threads_agree);
  tcase_add_test(tests, max_pool_padding_never_wins);
  tcase_add_test(tests, max_pool_of_minus_infinity_has_an_index);
  tcase_add_test(tests, max_pool_passes_nan_on);
  tcase_add_test(tests, max_pool_column_major_indices);
  tcase_add_test(tests, lp_pool_before_opset_2_has_a_float_order);
  tcase_add_test(tests, global_pools);
  tcase_add_test(tests, bad_pools_are_refused);
  tcase_add_test(tests, lrn_matches_naive);
  tcase_add_test(tests, group_normalizations_match_naive);
  tcase_add_test(tests, layer_normalization_broadcasts_scale);
  tcase_add_test(tests, bad_normalizations_are_refused);
  suite_add_tcase(suite, tests);
  return suite;
}

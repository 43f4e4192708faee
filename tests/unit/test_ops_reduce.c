/* Reductions, arg-reductions, TopK and the softmax family against naive loops, over random shapes, axes and types, and
 * the forms of old opsets. */
#include "op_case.h"

/* ---- Reduce* ---- */

/* Takes the values of one group in, as the specification defines the operator. */
static double naive_reduce(const char *op, const double *values, size_t n) {
  double sum = 0, sum_abs = 0, squares = 0, product = 1, max = -(double)INFINITY, min = (double)INFINITY, exps = 0;
  for (size_t i = 0; i < n; i++) {
    sum += values[i];
    sum_abs += fabs(values[i]);
    squares += values[i] * values[i];
    product *= values[i];
    exps += exp(values[i]);
    max = values[i] > max ? values[i] : max;
    min = values[i] < min ? values[i] : min;
  }
  if (strcmp(op, "ReduceSum") == 0) return sum;
  if (strcmp(op, "ReduceMean") == 0) return sum / (double)n;
  if (strcmp(op, "ReduceMax") == 0) return max;
  if (strcmp(op, "ReduceMin") == 0) return min;
  if (strcmp(op, "ReduceProd") == 0) return product;
  if (strcmp(op, "ReduceSumSquare") == 0) return squares;
  if (strcmp(op, "ReduceL1") == 0) return sum_abs;
  if (strcmp(op, "ReduceL2") == 0) return sqrt(squares);
  if (strcmp(op, "ReduceLogSum") == 0) return log(sum);
  ck_assert_str_eq(op, "ReduceLogSumExp");
  return log(exps);
}

static const char *const reduce_ops[] = {"ReduceSum",    "ReduceMean",      "ReduceMax", "ReduceMin",
                                         "ReduceProd",   "ReduceSumSquare", "ReduceL1",  "ReduceL2",
                                         "ReduceLogSum", "ReduceLogSumExp"};

/* The values of the group that output element `o` stands for; returns how many. */
static size_t collect(const pleat_tensor *x, const bool *reduced, size_t o, double *out_values) {
  size_t count = 0;
  for (size_t i = 0; i < x->count; i++) {
    size_t rest = i, group = 0, stride = 1;
    for (int d = x->rank - 1; d >= 0; d--) {
      size_t at = rest % (size_t)x->dims[d];
      rest /= (size_t)x->dims[d];
      if (reduced[d]) continue;
      group += at * stride;
      stride *= (size_t)x->dims[d];
    }
    if (group == o) out_values[count++] = pleat_load_f64(x->dtype, x->data, i);
  }
  return count;
}

static void check_reduce(const char *op, int opset, pleat_dtype dtype, uint64_t *seed) {
  int rank = (int)random_between(seed, 1, 5);
  int64_t dims[5], out[5], axes[5], keep = random_between(seed, 0, 1);
  double axes_values[5], *values = malloc(sizeof *values * 1024);
  bool reduced[5];
  size_t axis_count = 0;
  int out_rank = 0;
  for (int d = 0; d < rank; d++) {
    dims[d] = random_between(seed, 1, 4);
    reduced[d] = random_between(seed, 0, 1) != 0;
    if (reduced[d]) axes[axis_count++] = random_between(seed, 0, 1) != 0 ? d : d - rank;
  }
  for (int d = 0; d < rank; d++) {
    if (axis_count == 0) reduced[d] = true;
    if (!reduced[d] || keep) out[out_rank++] = reduced[d] ? 1 : dims[d];
  }
  op_case t;
  case_begin(&t, op, opset);
  case_int(&t, "keepdims", keep);
  case_input(&t, make_noise_upto(seed, dtype, rank, dims, 20));
  bool input_form = opset >= 18 || (opset >= 13 && strcmp(op, "ReduceSum") == 0);
  for (size_t i = 0; i < axis_count; i++) axes_values[i] = (double)axes[i];
  if (input_form) case_input(&t, make_vector(PLEAT_INT64, (int64_t)axis_count, axes_values));
  else if (axis_count > 0) case_ints(&t, "axes", axis_count, axes);
  const pleat_tensor *y = RUN_OK(&t);
  check_dims(y, out_rank, out);
  ck_assert_int_eq(y->dtype, dtype);
  for (size_t i = 0; i < y->count; i++) {
    double expected = naive_reduce(op, values, collect(t.inputs[0], reduced, i, values));
    if (pleat_dtype_is_int(dtype)) expected = isfinite(expected) ? trunc(expected) : 0;
    /* The product of many integers wraps; a logarithm of a negative sum has no integer: not for this comparison. */
    if (pleat_dtype_is_int(dtype) && (fabs(expected) > 1e9 || strncmp(op, "ReduceLog", 9) == 0)) continue;
    CHECK_AT(y, i, expected);
  }
  free(values);
  case_end(&t);
}

START_TEST(reductions_match_naive) {
  static const pleat_dtype types[] = {PLEAT_FLOAT, PLEAT_DOUBLE, PLEAT_INT32, PLEAT_INT64, PLEAT_UINT32, PLEAT_UINT64};
  static const int opsets[] = {1, 11, 13, 18, 24};
  uint64_t seed = 1;
  for (int i = 0; i < 60; i++) check_reduce(reduce_ops[_i], opsets[i % 5], types[(i / 5) % 6], &seed);
}
END_TEST

START_TEST(max_and_min_of_bytes_and_bools) {
  static const pleat_dtype types[] = {PLEAT_INT8, PLEAT_UINT8, PLEAT_BOOL};
  uint64_t seed = 2;
  for (int i = 0; i < 60; i++) check_reduce(i % 2 == 0 ? "ReduceMax" : "ReduceMin", 20, types[i % 3], &seed);
}
END_TEST

/* Rows longer than a block and enough work for threads, reduced along the outer, a middle and the inner axis, which may
 * be a short one. */
START_TEST(large_reductions) {
  static const int64_t shapes[][3] = {{9, 70, 301}, {5, 3010, 7}};
  int64_t axes[][1] = {{0}, {1}, {2}};
  uint64_t seed = 3;
  for (int i = 0; i < 6; i++) {
    const int64_t *dims = shapes[i / 3];
    const int axis = i % 3;
    op_case t;
    case_begin(&t, "ReduceMean", 13);
    case_ints(&t, "axes", 1, axes[axis]);
    case_int(&t, "keepdims", 0);
    case_input(&t, make_noise_upto(&seed, PLEAT_FLOAT, 3, dims, 20));
    const pleat_tensor *y = RUN_OK(&t);
    const float *x = t.inputs[0]->data;
    int64_t inner = axis == 2 ? 1 : axis == 1 ? dims[2] : dims[1] * dims[2], n = dims[axis];
    for (int64_t o = 0; o < (int64_t)y->count; o += 17) {
      double sum = 0;
      for (int64_t k = 0; k < n; k++) sum += (double)x[(o / inner * n + k) * inner + o % inner];
      CHECK_AT(y, (size_t)o, sum / (double)n);
    }
    case_end(&t);
  }
}
END_TEST

START_TEST(sums_do_not_lose_small_values) {
  int64_t dims[] = {1 << 20};
  op_case t;
  case_begin(&t, "ReduceSum", 13);
  case_int(&t, "keepdims", 0);
  case_input(&t, make_dims(PLEAT_FLOAT, 1, dims, NULL));
  float *x = t.inputs[0]->data;
  for (int64_t i = 0; i < dims[0]; i++) x[i] = 0.1f;
  RUN_OK(&t);
  ck_assert_float_eq(*(float *)t.outputs[0]->data, (float)((double)0.1f * 1048576.0));
  case_end(&t);
}
END_TEST

START_TEST(empty_sets_give_the_identity) {
  static const struct {
    const char *op;
    pleat_dtype dtype;
    double expected;
  } cases[] = {
      {"ReduceSum", PLEAT_FLOAT, 0},
      {"ReduceProd", PLEAT_FLOAT, 1},
      {"ReduceMax", PLEAT_FLOAT, -(double)INFINITY},
      {"ReduceMin", PLEAT_DOUBLE, (double)INFINITY},
      {"ReduceMax", PLEAT_INT32, INT32_MIN},
      {"ReduceMin", PLEAT_INT8, INT8_MAX},
      {"ReduceMax", PLEAT_UINT8, 0},
      {"ReduceMin", PLEAT_UINT32, UINT32_MAX},
      {"ReduceMax", PLEAT_BOOL, 0},
      {"ReduceMin", PLEAT_BOOL, 1},
      {"ReduceSum", PLEAT_INT64, 0},
      {"ReduceL1", PLEAT_FLOAT, 0},
      {"ReduceL2", PLEAT_INT32, 0},
      {"ReduceSumSquare", PLEAT_FLOAT, 0},
      {"ReduceMean", PLEAT_FLOAT, (double)NAN},
      {"ReduceMean", PLEAT_INT32, 0},
      {"ReduceLogSum", PLEAT_FLOAT, -(double)INFINITY},
      {"ReduceLogSumExp", PLEAT_FLOAT, -(double)INFINITY},
  };
  int64_t dims[] = {2, 0, 3}, out[] = {2, 1, 3};
  double axis = 1;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    op_case t;
    case_begin(&t, cases[i].op, 20);
    case_input(&t, make_dims(cases[i].dtype, 3, dims, NULL));
    case_input(&t, make_vector(PLEAT_INT64, 1, &axis));
    check_dims(RUN_OK(&t), 3, out);
    for (size_t k = 0; k < 6; k++) CHECK_AT(t.outputs[0], k, cases[i].expected);
    case_end(&t);
  }
}
END_TEST

START_TEST(extremes_of_64_bit_integers) {
  int64_t dims[] = {2};
  static const char *const ops[] = {"ReduceMax", "ReduceMin", "ReduceSum", "ReduceL1"};
  const int64_t expected[] = {INT64_MAX, INT64_MIN, -1, -1}; /* L1: 2^63 + 2^63 - 1, wrapped */
  for (int i = 0; i < 4; i++) {
    op_case t;
    case_begin(&t, ops[i], 11);
    case_input(&t, make_dims(PLEAT_INT64, 1, dims, NULL));
    ((int64_t *)t.inputs[0]->data)[0] = INT64_MIN;
    ((int64_t *)t.inputs[0]->data)[1] = INT64_MAX;
    RUN_OK(&t);
    ck_assert_int_eq(*(int64_t *)t.outputs[0]->data, expected[i]);
    case_end(&t);
  }
}
END_TEST

START_TEST(no_axes_may_mean_nothing_to_reduce) {
  int64_t dims[] = {2, 2};
  double x[] = {1, -2, 3, 4}, squares[] = {1, 4, 9, 16};
  for (int sum = 0; sum <= 1; sum++) {
    op_case t;
    case_begin(&t, sum ? "ReduceSum" : "ReduceSumSquare", 18);
    case_int(&t, "noop_with_empty_axes", 1);
    case_input(&t, make_values(PLEAT_FLOAT, 2, dims, x));
    CHECK_VALUES(RUN_OK(&t), 4, sum ? x : squares);
    case_end(&t);
  }
}
END_TEST

START_TEST(log_sum_exp_does_not_overflow) {
  double x[] = {1000, 1000}, inf = (double)INFINITY, y[] = {-inf, -inf}, expected = 1000 + log(2);
  op_case t;
  case_begin(&t, "ReduceLogSumExp", 13);
  case_input(&t, make_vector(PLEAT_FLOAT, 2, x));
  CHECK_VALUES(RUN_OK(&t), 1, &expected);
  case_end(&t);
  case_begin(&t, "ReduceLogSumExp", 13);
  case_input(&t, make_vector(PLEAT_FLOAT, 2, y));
  CHECK_VALUES(RUN_OK(&t), 1, y);
  case_end(&t);
}
END_TEST

START_TEST(unknown_axes_leave_the_shape_open) {
  int64_t dims[] = {2, 3};
  double axis = 1;
  for (int keep = 0; keep <= 1; keep++) {
    op_case t;
    case_begin(&t, "ReduceSum", 13);
    case_int(&t, "keepdims", keep);
    case_input(&t, make_dims(PLEAT_FLOAT, 2, dims, NULL));
    case_input(&t, make_vector(PLEAT_INT64, 1, &axis));
    t.late[1] = true;
    ck_assert_int_eq(case_infer_inputs(&t), PLEAT_OK);
    ck_assert_int_eq(t.types[0].shape.rank, keep ? 2 : -1);
    ck_assert_int_eq(t.types[0].dtype, PLEAT_FLOAT);
    case_end(&t);
  }
}
END_TEST

START_TEST(bad_axes_are_refused) {
  int64_t dims[] = {2, 3}, axes[] = {2}, empty[] = {2, 0};
  op_case t;
  case_begin(&t, "ReduceMax", 11);
  case_ints(&t, "axes", 1, axes);
  case_input(&t, make_dims(PLEAT_FLOAT, 2, dims, NULL));
  RUN_FAILS(&t, PLEAT_MALFORMED_MODEL, "");
  case_begin(&t, "Softmax", 13);
  case_int(&t, "axis", -3);
  case_input(&t, make_dims(PLEAT_FLOAT, 2, dims, NULL));
  RUN_FAILS(&t, PLEAT_MALFORMED_MODEL, "");
  case_begin(&t, "ArgMax", 13);
  case_int(&t, "axis", 1);
  case_input(&t, make_dims(PLEAT_FLOAT, 2, empty, NULL));
  RUN_FAILS(&t, PLEAT_SHAPE_MISMATCH, "");
}
END_TEST

/* ---- ArgMax, ArgMin, TopK ---- */

/* Whether element `a` of a slice comes before element `b`, larger first. */
static bool before(double va, double vb, int64_t a, int64_t b, bool largest, bool last) {
  if (va != vb) return largest ? va > vb : va < vb;
  return last ? a > b : a < b;
}

static void check_selection(bool topk, pleat_dtype dtype, uint64_t *seed) {
  int64_t dims[3], axis = random_between(seed, 0, 2), inner = 1;
  bool largest = random_between(seed, 0, 1) != 0, last = !topk && random_between(seed, 0, 1) != 0;
  for (int d = 0; d < 3; d++) dims[d] = random_between(seed, 1, 33);
  for (int64_t d = axis + 1; d < 3; d++) inner *= dims[d];
  int64_t n = dims[axis], k = topk ? random_between(seed, 0, n) : 1;
  double k_value = (double)k;
  op_case t;
  case_begin(&t, topk ? "TopK" : largest ? "ArgMax" : "ArgMin", 13);
  case_int(&t, "axis", axis - 3);
  case_input(&t, make_noise_upto(seed, dtype, 3, dims, 20));
  if (topk) {
    case_int(&t, "largest", largest);
    case_input(&t, make_vector(PLEAT_INT64, 1, &k_value));
    t.output_count = 2;
  } else {
    case_int(&t, "select_last_index", last);
  }
  RUN_OK(&t);
  const pleat_tensor *x = t.inputs[0], *indices = t.outputs[topk ? 1 : 0];
  dims[axis] = k;
  check_dims(indices, 3, dims);
  for (int64_t i = 0; i < (int64_t)indices->count; i++) {
    int64_t base = i / inner / k * n * inner + i % inner, rank = i / inner % k;
    int64_t at = ((const int64_t *)indices->data)[i], ahead = 0;
    ck_assert(at >= 0 && at < n);
    double v = pleat_load_f64(dtype, x->data, (size_t)(base + at * inner));
    for (int64_t j = 0; j < n; j++)
      ahead += before(pleat_load_f64(dtype, x->data, (size_t)(base + j * inner)), v, j, at, largest, last);
    ck_assert_int_eq(ahead, rank); /* exactly `rank` elements come before it */
    if (topk) CHECK_AT(t.outputs[0], (size_t)i, v);
  }
  case_end(&t);
}

START_TEST(selections_match_naive) {
  static const pleat_dtype types[] = {PLEAT_FLOAT, PLEAT_DOUBLE, PLEAT_INT8,   PLEAT_UINT8,
                                      PLEAT_INT64, PLEAT_INT32,  PLEAT_UINT64, PLEAT_FLOAT16};
  uint64_t seed = 4;
  for (int i = 0; i < 16; i++) check_selection(_i != 0, types[i % 8], &seed);
}
END_TEST

START_TEST(selections_take_nan_for_the_largest) {
  double nan = (double)NAN, x[] = {1, nan, 3, nan}, first = 1, top[] = {1, 3}, two = 2;
  op_case t;
  case_begin(&t, "ArgMax", 13);
  case_input(&t, make_vector(PLEAT_FLOAT, 4, x));
  CHECK_VALUES(RUN_OK(&t), 1, &first);
  case_end(&t);
  case_begin(&t, "TopK", 11);
  case_input(&t, make_vector(PLEAT_FLOAT, 4, x));
  case_input(&t, make_vector(PLEAT_INT64, 1, &two));
  t.output_count = 2;
  RUN_OK(&t);
  CHECK_VALUES(t.outputs[1], 2, top);
  case_end(&t);
}
END_TEST

START_TEST(topk_before_opset_10) {
  double x[] = {1, 9, 4, 7}, expected[] = {9, 7, 4}, at[] = {1, 3, 2};
  op_case t;
  case_begin(&t, "TopK", 1);
  case_int(&t, "k", 3);
  case_input(&t, make_vector(PLEAT_FLOAT, 4, x));
  t.output_count = 2;
  CHECK_VALUES(RUN_OK(&t), 3, expected);
  CHECK_VALUES(t.outputs[1], 3, at);
  case_end(&t);
  case_begin(&t, "TopK", 1);
  case_int(&t, "k", 5);
  case_input(&t, make_vector(PLEAT_FLOAT, 4, x));
  RUN_FAILS(&t, PLEAT_SHAPE_MISMATCH, ""); /* more than there are */
}
END_TEST

/* ---- Softmax, LogSoftmax, Hardmax ---- */

/* One vector along the axis: element `i` of the result. */
static double naive_softmax(const char *op, const float *x, int64_t n, int64_t stride, int64_t i) {
  double sum = 0;
  int64_t best = 0;
  for (int64_t k = 0; k < n; k++) {
    sum += exp((double)x[k * stride]);
    if (x[k * stride] > x[best * stride]) best = k;
  }
  if (strcmp(op, "Hardmax") == 0) return i == best;
  double v = (double)x[i * stride];
  return strcmp(op, "Softmax") == 0 ? exp(v) / sum : v - log(sum);
}

static void check_softmax(const char *op, int opset, int axis, bool has_axis) {
  int64_t dims[] = {5, 4, 70, 9};
  uint64_t seed = 5;
  op_case t;
  case_begin(&t, op, opset);
  if (has_axis) case_int(&t, "axis", axis);
  case_input(&t, make_noise_upto(&seed, PLEAT_FLOAT, 4, dims, 20));
  const pleat_tensor *y = RUN_OK(&t);
  const float *x = t.inputs[0]->data;
  int64_t n = 1, inner = 1;
  if (axis < 0) axis += 4;
  for (int d = axis; d < 4; d++) *(opset < 13 || d == axis ? &n : &inner) *= dims[d];
  for (int64_t i = 0; i < (int64_t)y->count; i += 11) {
    int64_t base = i / inner / n * n * inner + i % inner;
    CHECK_AT(y, (size_t)i, naive_softmax(op, x + base, n, inner, i / inner % n));
  }
  case_end(&t);
}

START_TEST(softmax_family_matches_naive) {
  static const char *const ops[] = {"Softmax", "LogSoftmax", "Hardmax"};
  for (int axis = -4; axis < 4; axis++) {
    check_softmax(ops[_i], 13, axis, true);
    check_softmax(ops[_i], 11, axis, true);
  }
  check_softmax(ops[_i], 13, 3, false);
  check_softmax(ops[_i], 1, 1, false);
}
END_TEST

START_TEST(softmax_of_large_numbers) {
  double x[] = {10000, 10000, -10000}, expected[] = {0.5, 0.5, 0};
  op_case t;
  case_begin(&t, "Softmax", 13);
  case_input(&t, make_vector(PLEAT_FLOAT, 3, x));
  CHECK_VALUES(RUN_OK(&t), 3, expected);
  case_end(&t);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("ops_reduce");
  TCase *tests = tcase_create("all");
  tcase_add_loop_test(tests, reductions_match_naive, 0, 10);
  tcase_add_test(tests, max_and_min_of_bytes_and_bools);
  tcase_add_test(tests, large_reductions);
  tcase_add_test(tests, sums_do_not_lose_small_values);
  tcase_add_test(tests, empty_sets_give_the_identity);
  tcase_add_test(tests, extremes_of_64_bit_integers);
  tcase_add_test(tests, no_axes_may_mean_nothing_to_reduce);
  tcase_add_test(tests, log_sum_exp_does_not_overflow);
  tcase_add_test(tests, unknown_axes_leave_the_shape_open);
  tcase_add_test(tests, bad_axes_are_refused);
  tcase_add_loop_test(tests, selections_match_naive, 0, 2);
  tcase_add_test(tests, selections_take_nan_for_the_largest);
  tcase_add_test(tests, topk_before_opset_10);
  tcase_add_loop_test(tests, softmax_family_matches_naive, 0, 3);
  tcase_add_test(tests, softmax_of_large_numbers);
  suite_add_tcase(suite, tests);
  return suite;
}

/* BatchNormalization against the formulas of the specification, worked out in double: every version's way of stating
 * the mode, spatial 0 and 1, statistics over [N, C], [N, C, D...] and [N], and mixed types. */
#include "op_case.h"

static uint64_t seed; /* of random_between() and make_noise() */

typedef struct norm_case {
  int opset, rank;
  int64_t dims[5];
  pleat_dtype types[3]; /* X; scale and B; mean and var */
  bool by_activation, training;
  size_t outputs;
} norm_case;

static const pleat_dtype in_float[3] = {PLEAT_FLOAT, PLEAT_FLOAT, PLEAT_FLOAT};

/* Variances must not be negative. */
static pleat_tensor *positive(pleat_dtype dtype, int64_t count) {
  pleat_tensor *tensor = make_noise(&seed, dtype, 1, &count);
  for (size_t i = 0; i < tensor->count; i++) pleat_store_f64(dtype, tensor->data, i, fabs(element(tensor, i)) + 0.25);
  return tensor;
}

static int64_t channels_of(const norm_case *n) {
  int64_t count = n->rank == 1 ? 1 : n->dims[1];
  for (int i = 2; i < n->rank && n->by_activation; i++) count *= n->dims[i];
  return count;
}

static void begin_norm(op_case *c, const norm_case *n) {
  int64_t channels = channels_of(n);
  case_begin(c, "BatchNormalization", n->opset);
  c->output_count = n->outputs;
  case_input(c, make_noise(&seed, n->types[0], n->rank, n->dims));
  case_input(c, make_noise(&seed, n->types[1], 1, &channels));
  case_input(c, make_noise(&seed, n->types[1], 1, &channels));
  case_input(c, make_noise(&seed, n->types[2], 1, &channels));
  case_input(c, positive(n->types[2], channels));
  case_float(c, "epsilon", 0.125f);
  case_float(c, "momentum", 0.75f);
  if (n->by_activation) case_int(c, "spatial", 0);
  if (n->opset >= 14) case_int(c, "training_mode", n->training);
}

/* The channel (or activation) of an element of X. */
static size_t channel_at(const norm_case *n, size_t index) {
  size_t plane = 1, channels = (size_t)channels_of(n);
  if (n->rank == 1) return 0;
  for (int i = 2; i < n->rank && !n->by_activation; i++) plane *= (size_t)n->dims[i];
  return index / plane % channels;
}

static void check_outputs(const norm_case *n, const op_case *c, double tolerance) {
  const pleat_tensor *x = c->inputs[0];
  for (size_t channel = 0; channel < (size_t)channels_of(n); channel++) {
    double count = 0, mean = 0, variance = 0, given_mean = element(c->inputs[3], channel);
    double given_variance = element(c->inputs[4], channel);
    for (size_t i = 0; i < x->count; i++) {
      if (channel_at(n, i) != channel) continue;
      mean += element(x, i);
      count++;
    }
    mean /= count;
    for (size_t i = 0; i < x->count; i++) {
      if (channel_at(n, i) == channel) variance += pow(element(x, i) - mean, 2) / count;
    }
    double used_mean = n->training ? mean : given_mean, used_variance = n->training ? variance : given_variance;
    for (size_t i = 0; i < x->count; i++) {
      if (channel_at(n, i) != channel) continue;
      double expected = (element(x, i) - used_mean) / sqrt(used_variance + 0.125) * element(c->inputs[1], channel) +
                        element(c->inputs[2], channel);
      CHECK_NEAR(element(c->outputs[0], i), expected, tolerance);
    }
    const double expected[4] = {n->training ? given_mean * 0.75 + mean * 0.25 : given_mean,
                                n->training ? given_variance * 0.75 + variance * 0.25 : given_variance, used_mean,
                                used_variance};
    for (size_t i = 1; i < n->outputs; i++) CHECK_NEAR(element(c->outputs[i], channel), expected[i - 1], tolerance);
  }
}

static void check_norm(const norm_case *n, double tolerance) {
  op_case c;
  begin_norm(&c, n);
  RUN_OK(&c);
  ck_assert(pleat_same_shape(c.outputs[0], c.inputs[0]));
  ck_assert_int_eq(c.outputs[0]->dtype, n->types[0]);
  for (size_t i = 1; i < n->outputs; i++) {
    ck_assert_int_eq(c.outputs[i]->dtype, n->types[2]);
    ck_assert(pleat_same_shape(c.outputs[i], c.inputs[3]));
  }
  check_outputs(n, &c, tolerance);
  case_end(&c);
}

static const struct {
  int rank;
  int64_t dims[5];
} shapes[] = {{2, {7, 5}}, {4, {3, 4, 5, 6}}, {3, {2, 3, 50}}, {5, {2, 3, 2, 3, 4}}, {1, {9}}, {4, {1, 1, 1, 3}}};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

START_TEST(every_version_and_mode) {
  static const struct {
    int opset;
    bool training;
    size_t outputs;
  } modes[] = {{1, false, 1}, {1, true, 5},   {6, false, 1}, {6, true, 5}, {7, false, 1},
               {7, true, 5},  {8, true, 3},   {9, false, 1}, {9, true, 5}, {14, false, 1},
               {14, true, 3}, {15, false, 1}, {15, true, 3}, {26, true, 1}};
  seed = 1;
  for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
    for (int type = 0; type < 2; type++) {
      norm_case n = {.opset = modes[i].opset, .training = modes[i].training, .outputs = modes[i].outputs};
      n.rank = shapes[_i].rank;
      memcpy(n.dims, shapes[_i].dims, sizeof n.dims);
      for (int j = 0; j < 3; j++) n.types[j] = type == 0 ? PLEAT_FLOAT : PLEAT_DOUBLE;
      check_norm(&n, type == 0 ? 1e-5 : 1e-13);
    }
  }
}
END_TEST

START_TEST(statistics_by_activation) {
  seed = 2;
  for (int training = 0; training < 2; training++) {
    for (int i = 0; i < SHAPES; i++) {
      norm_case n = {.opset = 7, .by_activation = true, .training = training == 1, .outputs = training == 1 ? 5 : 1};
      n.rank = shapes[i].rank;
      memcpy(n.dims, shapes[i].dims, sizeof n.dims);
      memcpy(n.types, in_float, sizeof in_float);
      check_norm(&n, 1e-5);
    }
  }
}
END_TEST

/* Parameters of spatial 0 come in the shape of a sample, or flattened: the results are the same. */
START_TEST(parameters_of_any_shape) {
  norm_case n = {.opset = 7, .rank = 4, .dims = {2, 3, 2, 5}, .by_activation = true, .training = true, .outputs = 5};
  op_case flat, shaped;
  memcpy(n.types, in_float, sizeof in_float);
  seed = 3;
  begin_norm(&flat, &n);
  RUN_OK(&flat);
  seed = 3;
  begin_norm(&shaped, &n);
  for (int i = 1; i < 5; i++) {
    pleat_tensor *tensor = make(PLEAT_FLOAT, "3,2,5", shaped.inputs[i]->data);
    pleat_tensor_release(shaped.inputs[i]);
    shaped.inputs[i] = tensor;
  }
  RUN_OK(&shaped);
  CHECK_TEXT(shaped.outputs[1], "float[3,2,5]");
  CHECK_TEXT(flat.outputs[1], "float[30]");
  for (int i = 0; i < 5; i++)
    ck_assert_mem_eq(flat.outputs[i]->data, shaped.outputs[i]->data, pleat_bytes(flat.outputs[i]));
  case_end(&flat);
  case_end(&shaped);
}
END_TEST

START_TEST(mixed_types) {
  static const struct {
    pleat_dtype types[3];
    double tolerance;
  } mixes[] = {{{PLEAT_FLOAT16, PLEAT_FLOAT, PLEAT_FLOAT}, 2e-3},
               {{PLEAT_FLOAT16, PLEAT_FLOAT16, PLEAT_DOUBLE}, 2e-3},
               {{PLEAT_BFLOAT16, PLEAT_FLOAT, PLEAT_BFLOAT16}, 2e-2},
               {{PLEAT_FLOAT, PLEAT_DOUBLE, PLEAT_FLOAT16}, 2e-3},
               {{PLEAT_DOUBLE, PLEAT_FLOAT, PLEAT_FLOAT}, 1e-6}};
  seed = 4;
  for (int training = 0; training < 2; training++) {
    for (size_t i = 0; i < sizeof mixes / sizeof mixes[0]; i++) {
      norm_case n = {.opset = 15, .rank = 3, .dims = {3, 4, 5}, .training = training == 1, .outputs = training ? 3 : 1};
      memcpy(n.types, mixes[i].types, sizeof n.types);
      check_norm(&n, mixes[i].tolerance);
    }
  }
}
END_TEST

/* is_test decides in versions 1 and 6, except that a node with one output is always inference. */
START_TEST(is_test) {
  for (int stated = 0; stated < 2; stated++) {
    norm_case n = {.opset = 6, .rank = 2, .dims = {4, 3}, .training = stated == 0, .outputs = 5};
    op_case c;
    memcpy(n.types, in_float, sizeof in_float);
    seed = 5;
    begin_norm(&c, &n);
    case_int(&c, "is_test", stated);
    RUN_OK(&c);
    check_outputs(&n, &c, 1e-5);
    case_end(&c);
  }
}
END_TEST

START_TEST(odd_numbers_follow_ieee) {
  op_case c;
  case_begin(&c, "BatchNormalization", 9);
  case_input(&c, FLOATS("1,4", 1, 1, NAN, 1));
  case_input(&c, FLOATS("4", 1, 1, 1, 1));
  case_input(&c, FLOATS("4", 0, 0, 0, 0));
  case_input(&c, FLOATS("4", 0, 0, 0, 0));
  case_input(&c, FLOATS("4", 0, -1, 1, INFINITY));
  case_float(&c, "epsilon", 0);
  RUN_OK(&c);
  /* A variance of 0 gives an infinite factor, and with it an offset of 0 * inf. */
  const double expected[4] = {NAN, NAN, NAN, 0};
  for (size_t i = 0; i < 4; i++) CHECK_NEAR(element(c.outputs[0], i), expected[i], 0);
  case_end(&c);
}
END_TEST

/* A large mean beside a small spread: sums in float would lose the variance. */
START_TEST(statistics_keep_precision) {
  op_case c;
  norm_case n = {.opset = 15, .rank = 2, .dims = {4096, 1}, .training = true, .outputs = 3};
  memcpy(n.types, in_float, sizeof in_float);
  seed = 6;
  begin_norm(&c, &n);
  float *x = c.inputs[0]->data;
  for (int i = 0; i < 4096; i++) x[i] = 30000 + (float)(i % 2);
  RUN_OK(&c);
  CHECK_NEAR(element(c.outputs[1], 0), element(c.inputs[3], 0) * 0.75 + 30000.5 * 0.25, 1e-6);
  CHECK_NEAR(element(c.outputs[2], 0), element(c.inputs[4], 0) * 0.75 + 0.25 * 0.25, 1e-6);
  case_end(&c);
}
END_TEST

START_TEST(threads_do_not_change_bits) {
  seed = 7;
  for (int i = 0; i < SHAPES; i++) {
    norm_case n = {.opset = 15, .training = true, .outputs = 3, .rank = shapes[i].rank};
    op_case c;
    memcpy(n.dims, shapes[i].dims, sizeof n.dims);
    memcpy(n.types, in_float, sizeof in_float);
    begin_norm(&c, &n);
    RUN_OK(&c);
    case_end(&c);
  }
}
END_TEST

START_TEST(empty_inputs) {
  op_case c;
  norm_case n = {.opset = 15, .rank = 4, .dims = {0, 3, 2, 2}, .outputs = 1};
  memcpy(n.types, in_float, sizeof in_float);
  begin_norm(&c, &n);
  RUN_OK(&c);
  CHECK_TEXT(c.outputs[0], "float[0,3,2,2]");
  case_end(&c);
  n = (norm_case){.opset = 15, .rank = 3, .dims = {2, 0, 4}, .training = true, .outputs = 3};
  memcpy(n.types, in_float, sizeof in_float);
  begin_norm(&c, &n);
  RUN_OK(&c);
  CHECK_TEXT(c.outputs[2], "float[0]");
  case_end(&c);
}
END_TEST

START_TEST(refuses) {
  norm_case n = {.opset = 15, .rank = 3, .dims = {2, 3, 4}, .outputs = 1};
  op_case c;
  memcpy(n.types, in_float, sizeof in_float);
  begin_norm(&c, &n);
  pleat_tensor_release(c.inputs[2]);
  c.inputs[2] = make(PLEAT_FLOAT, "4", NULL);
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "input B: expected 3 elements");
  begin_norm(&c, &n);
  pleat_tensor_release(c.inputs[2]);
  c.inputs[2] = make(PLEAT_DOUBLE, "3", NULL);
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "input B: expected type float like input scale, found double");
  begin_norm(&c, &n);
  pleat_tensor_release(c.inputs[0]);
  c.inputs[0] = make(PLEAT_FLOAT, "", NULL);
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "found a scalar");
  n.outputs = 3;
  begin_norm(&c, &n);
  RUN_FAILS(&c, PLEAT_MALFORMED_MODEL, "training_mode");
  n = (norm_case){
      .opset = 9, .rank = 2, .dims = {2, 3}, .types = {PLEAT_FLOAT, PLEAT_FLOAT, PLEAT_DOUBLE}, .outputs = 1};
  begin_norm(&c, &n);
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "input mean: expected type float like input X");
}
END_TEST

START_TEST(symbolic_dimensions) {
  op_case c;
  pleat_type in[5], out[3];
  for (int i = 0; i < 5; i++) in[i] = type_of(PLEAT_FLOAT, pleat_shape_unknown());
  in[0].shape = pleat_shape_of_rank(3);
  in[0].shape.dims[0].symbol = "batch";
  in[0].shape.dims[1] = pleat_dim_known(8);
  case_begin(&c, "BatchNormalization", 15);
  case_int(&c, "training_mode", 1);
  c.output_count = 3;
  ck_assert_int_eq(case_infer(&c, in, 5, out), PLEAT_OK);
  CHECK_SHAPE(&out[0], "[batch,8,?]");
  CHECK_SHAPE(&out[2], "[8]");
  ck_assert_int_eq(out[1].dtype, PLEAT_FLOAT);
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  Suite *suite = suite_create("ops_batch_normalization");
  TCase *tcase = tcase_create("batch_normalization");
  tcase_add_loop_test(tcase, every_version_and_mode, 0, SHAPES);
  tcase_add_test(tcase, statistics_by_activation);
  tcase_add_test(tcase, parameters_of_any_shape);
  tcase_add_test(tcase, mixed_types);
  tcase_add_test(tcase, is_test);
  tcase_add_test(tcase, odd_numbers_follow_ieee);
  tcase_add_test(tcase, statistics_keep_precision);
  tcase_add_test(tcase, threads_do_not_change_bits);
  tcase_add_test(tcase, empty_inputs);
  tcase_add_test(tcase, refuses);
  tcase_add_test(tcase, symbolic_dimensions);
  suite_add_tcase(suite, tcase);
  return suite;
}

/* Gemm and MatMul against plain triple loops, over shapes around every block and tile boundary. */
#include <stdio.h>

#include "op_case.h"

static uint64_t seed; /* of random_between() and make_noise() */

static int64_t interesting_size(void) {
  static const int64_t sizes[] = {1, 2, 3, 4, 5, 8, 9, 31, 32, 33, 64, 127, 128, 129, 131};
  return sizes[random_between(&seed, 0, sizeof sizes / sizeof sizes[0] - 1)];
}

static double tolerance_of(pleat_dtype dtype) {
  return dtype == PLEAT_DOUBLE ? 1e-12 : dtype == PLEAT_FLOAT ? 1e-4 : dtype == PLEAT_FLOAT16 ? 2e-3 : 1e-2;
}

static pleat_tensor *matrix(pleat_dtype dtype, int64_t rows, int64_t cols) {
  return make_noise(&seed, dtype, 2, (int64_t[]){rows, cols});
}

/* ---- Gemm ---- */

typedef struct gemm_shape {
  int64_t m, n, k;
  bool trans_a, trans_b;
  float alpha, beta;
  int c_rank; /* -1: absent */
  int64_t c_dims[2];
} gemm_shape;

static void gemm_case(op_case *c, const gemm_shape *s, pleat_dtype dtype) {
  case_begin(c, "Gemm", 13);
  case_input(c, s->trans_a ? matrix(dtype, s->k, s->m) : matrix(dtype, s->m, s->k));
  case_input(c, s->trans_b ? matrix(dtype, s->n, s->k) : matrix(dtype, s->k, s->n));
  if (s->c_rank >= 0) case_input(c, make_noise(&seed, dtype, s->c_rank, s->c_dims));
  case_int(c, "transA", s->trans_a);
  case_int(c, "transB", s->trans_b);
  case_float(c, "alpha", s->alpha);
  case_float(c, "beta", s->beta);
}

static void check_gemm(const gemm_shape *s, pleat_dtype dtype) {
  op_case c;
  gemm_case(&c, s, dtype);
  RUN_OK(&c);
  const pleat_tensor *a = c.inputs[0], *b = c.inputs[1], *addend = c.inputs[2], *y = c.outputs[0];
  ck_assert_int_eq(y->rank, 2);
  ck_assert_int_eq(y->dims[0], s->m);
  ck_assert_int_eq(y->dims[1], s->n);
  int64_t c_cols = s->c_rank > 0 ? s->c_dims[s->c_rank - 1] : 1, c_rows = s->c_rank > 1 ? s->c_dims[0] : 1;
  for (int64_t i = 0; i < s->m; i++) {
    for (int64_t j = 0; j < s->n; j++) {
      double sum = 0;
      for (int64_t k = 0; k < s->k; k++)
        sum += element(a, (size_t)(s->trans_a ? k * s->m + i : i * s->k + k)) *
               element(b, (size_t)(s->trans_b ? j * s->k + k : k * s->n + j));
      sum *= (double)s->alpha;
      if (addend != NULL)
        sum += (double)s->beta * element(addend, (size_t)((c_rows > 1 ? i * c_cols : 0) + (c_cols > 1 ? j : 0)));
      CHECK_NEAR(element(y, (size_t)(i * s->n + j)), sum, tolerance_of(dtype));
    }
  }
  case_end(&c);
}

static gemm_shape random_gemm(void) {
  gemm_shape s = {.m = interesting_size(), .n = interesting_size(), .k = interesting_size(), .alpha = 1, .beta = 1};
  s.trans_a = random_between(&seed, 0, 1) != 0;
  s.trans_b = random_between(&seed, 0, 1) != 0;
  if (random_between(&seed, 0, 1) != 0) {
    s.alpha = 0.5f;
    s.beta = (float)random_between(&seed, 0, 2);
  }
  s.c_rank = (int)random_between(&seed, -1, 2);
  s.c_dims[0] = random_between(&seed, 0, 1) != 0 ? s.m : 1;
  s.c_dims[1] = random_between(&seed, 0, 1) != 0 ? s.n : 1;
  if (s.c_rank == 1) s.c_dims[0] = s.c_dims[1];
  return s;
}

START_TEST(gemm_random) {
  static const pleat_dtype types[] = {PLEAT_FLOAT, PLEAT_DOUBLE, PLEAT_FLOAT16, PLEAT_BFLOAT16};
  seed = 1;
  for (int i = 0; i < 160; i++) {
    gemm_shape s = random_gemm();
    check_gemm(&s, types[i % 4 == 3 ? 2 + i / 4 % 2 : i % 2]);
  }
}
END_TEST

START_TEST(gemm_integers) {
  static const pleat_dtype types[] = {PLEAT_INT32, PLEAT_INT64};
  seed = 2;
  for (int i = 0; i < 40; i++) {
    gemm_shape s = random_gemm();
    s.alpha = (float)random_between(&seed, 1, 2);
    s.beta = (float)random_between(&seed, 0, 2);
    check_gemm(&s, types[i % 2]);
  }
}
END_TEST

START_TEST(gemm_does_not_read_c_for_beta_0) {
  op_case c;
  case_begin(&c, "Gemm", 13);
  case_input(&c, FLOATS("1,1", 2));
  case_input(&c, FLOATS("1,1", 3));
  case_input(&c, FLOATS("1", NAN));
  case_float(&c, "beta", 0);
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[1,1]", float, 6);
  case_end(&c);
}
END_TEST

START_TEST(gemm_without_inner_dimension) {
  op_case c;
  case_begin(&c, "Gemm", 13);
  case_input(&c, make(PLEAT_FLOAT, "2,0", NULL));
  case_input(&c, make(PLEAT_FLOAT, "0,3", NULL));
  case_input(&c, FLOATS("2,1", 1, 2));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[2,3]", float, 1, 1, 1, 2, 2, 2);
  case_end(&c);
  case_begin(&c, "Gemm", 6); /* its `broadcast` is accepted, and no rows give no rows */
  case_input(&c, make(PLEAT_FLOAT, "0,2", NULL));
  case_input(&c, make(PLEAT_FLOAT, "2,3", NULL));
  case_input(&c, make(PLEAT_FLOAT, "3", NULL));
  case_int(&c, "broadcast", 1);
  RUN_OK(&c);
  CHECK_TEXT(c.outputs[0], "float[0,3]");
  case_end(&c);
}
END_TEST

START_TEST(gemm_refuses) {
  static const struct {
    const char *a, *b, *c, *message;
  } cases[] = {{"2,3", "4,5", "5", "inner dimensions differ"},
               {"2,3,1", "3,5", "5", "input A: expected 2 dimensions, found [2,3,1]"},
               {"2,3", "3", "5", "input B"},
               {"2,3", "3,5", "4", "broadcasts to [2,5], found [4]"},
               {"2,3", "3,5", "5,2", "input C"},
               {"2,3", "3,5", "1,2,5", "input C"}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    op_case c;
    case_begin(&c, "Gemm", 13);
    case_input(&c, make(PLEAT_FLOAT, cases[i].a, NULL));
    case_input(&c, make(PLEAT_FLOAT, cases[i].b, NULL));
    case_input(&c, make(PLEAT_FLOAT, cases[i].c, NULL));
    RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, cases[i].message);
  }
}
END_TEST

/* ---- MatMul ---- */

/* Shapes as numpy takes them, with the expected shape of the result. */
static const struct {
  const char *a, *b, *y;
} matmul_shapes[] = {{"2,3", "3,4", "[2,4]"},
                     {"3", "3", "[]"},
                     {"3", "3,4", "[4]"},
                     {"2,3", "3", "[2]"},
                     {"5,2,3", "3", "[5,2]"},
                     {"3", "5,3,2", "[5,2]"},
                     {"5,2,3", "3,4", "[5,2,4]"},
                     {"2,3", "5,3,4", "[5,2,4]"},
                     {"5,1,2,3", "6,3,4", "[5,6,2,4]"},
                     {"1,6,2,3", "5,1,3,4", "[5,6,2,4]"},
                     {"2,40,130", "2,130,33", "[2,40,33]"},
                     {"7,1,65", "65,70", "[7,1,70]"},
                     {"4,300,5", "1,5,140", "[4,300,140]"},
                     {"1,2,3", "1,1,3,2", "[1,1,2,2]"},
                     {"2,0", "0,3", "[2,3]"},
                     {"0,2,3", "3,4", "[0,2,4]"}};
enum { MATMULS = sizeof matmul_shapes / sizeof matmul_shapes[0] };

static void matmul_case(op_case *c, int index, pleat_dtype dtype) {
  int64_t dims[PLEAT_MAX_RANK];
  case_begin(c, "MatMul", 13);
  int rank = shape_dims(matmul_shapes[index].a, dims);
  case_input(c, make_noise(&seed, dtype, rank, dims));
  rank = shape_dims(matmul_shapes[index].b, dims);
  case_input(c, make_noise(&seed, dtype, rank, dims));
}

/* Where batch `index` of the result lies in an operand: its matrices' broadcast number. */
static size_t operand_batch(const pleat_tensor *operand, const pleat_tensor *y, int y_batch_rank, size_t index) {
  int rank = operand->rank > 2 ? operand->rank - 2 : 0;
  size_t result = 0, step = 1;
  for (int i = 0; i < y_batch_rank; i++) {
    int64_t size = y->dims[y_batch_rank - 1 - i], at = (int64_t)(index % (size_t)size);
    index /= (size_t)size;
    if (i >= rank) continue;
    int64_t own = operand->dims[rank - 1 - i];
    result += own == 1 ? 0 : (size_t)at * step;
    step *= (size_t)own;
  }
  return result;
}

static void check_matmul(int index, pleat_dtype dtype) {
  op_case c;
  char text[64];
  matmul_case(&c, index, dtype);
  RUN_OK(&c);
  const pleat_tensor *a = c.inputs[0], *b = c.inputs[1], *y = c.outputs[0];
  snprintf(text, sizeof text, "%s%s", pleat_dtype_name(dtype), matmul_shapes[index].y);
  CHECK_TEXT(y, text);
  const size_t k = (size_t)a->dims[a->rank - 1];
  const size_t m = a->rank > 1 ? (size_t)a->dims[a->rank - 2] : 1, n = b->rank > 1 ? (size_t)b->dims[b->rank - 1] : 1;
  const int batch_rank = y->rank - (a->rank > 1) - (b->rank > 1);
  for (size_t i = 0; i < y->count; i++) {
    size_t batch = i / (m * n), row = i / n % m, col = i % n;
    size_t a_at = (operand_batch(a, y, batch_rank, batch) * m + row) * k;
    size_t b_at = operand_batch(b, y, batch_rank, batch) * k * n + col;
    double sum = 0;
    for (size_t j = 0; j < k; j++) sum += element(a, a_at + j) * element(b, b_at + j * n);
    CHECK_NEAR(element(y, i), sum, tolerance_of(dtype));
  }
  case_end(&c);
}

START_TEST(matmul_shapes_and_values) {
  static const pleat_dtype types[] = {PLEAT_FLOAT,    PLEAT_DOUBLE, PLEAT_FLOAT16,
                                      PLEAT_BFLOAT16, PLEAT_INT32,  PLEAT_INT64};
  seed = 3;
  for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) check_matmul(_i, types[t]);
}
END_TEST

START_TEST(integers_wrap) {
  op_case c;
  case_begin(&c, "MatMul", 13);
  case_input(&c, make(PLEAT_INT32, "1,2", (const int32_t[]){INT32_MAX, 1}));
  case_input(&c, make(PLEAT_INT32, "2,1", (const int32_t[]){2, 3}));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "int32[1,1]", int32_t, 1);
  case_end(&c);
  case_begin(&c, "MatMul", 13);
  case_input(&c, make(PLEAT_UINT64, "1,2", (const uint64_t[]){UINT64_MAX, 1}));
  case_input(&c, make(PLEAT_UINT64, "2,1", (const uint64_t[]){2, 3}));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "uint64[1,1]", uint64_t, 1);
  case_end(&c);
  case_begin(&c, "Gemm", 13);
  case_input(&c, make(PLEAT_UINT32, "1,1", (const uint32_t[]){UINT32_MAX}));
  case_input(&c, make(PLEAT_UINT32, "1,1", (const uint32_t[]){1}));
  case_input(&c, make(PLEAT_UINT32, "", (const uint32_t[]){3}));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "uint32[1,1]", uint32_t, 2);
  case_end(&c);
}
END_TEST

START_TEST(matmul_refuses) {
  static const struct {
    const char *a, *b, *message;
  } cases[] = {{"2,3", "4,5", "inner dimensions differ: 3 and 4 (shapes [2,3] and [4,5])"},
               {"", "3", "found a scalar"},
               {"3", "", "input 1"},
               {"2,2,3", "3,3,4", "do not broadcast"},
               {"3", "2", "inner dimensions differ"}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    op_case c;
    case_begin(&c, "MatMul", 13);
    case_input(&c, make(PLEAT_FLOAT, cases[i].a, NULL));
    case_input(&c, make(PLEAT_FLOAT, cases[i].b, NULL));
    RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, cases[i].message);
  }
}
END_TEST

/* ---- both ---- */

START_TEST(threads_do_not_change_bits) {
  static const gemm_shape shapes[] = {{300, 140, 257, false, true, 0.5f, 2, 1, {140}},
                                      {1, 700, 333, false, false, 1, 1, -1, {0}},
                                      {2, 700, 333, false, true, 1, 1, -1, {0}},
                                      {700, 3, 129, true, false, 1, 1, -1, {0}}};
  op_case c;
  seed = 4;
  for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
    gemm_case(&c, &shapes[i], PLEAT_FLOAT);
    RUN_OK(&c);
    case_end(&c);
  }
  for (int i = 0; i < MATMULS; i++) {
    matmul_case(&c, i, PLEAT_FLOAT);
    RUN_OK(&c);
    case_end(&c);
  }
}
END_TEST

START_TEST(symbolic_dimensions) {
  op_case c;
  pleat_type out[1], in[2] = {type_of(PLEAT_FLOAT, pleat_shape_of_rank(3)),
                              type_of(PLEAT_FLOAT, pleat_shape_of(2, (int64_t[]){5, 7}))};
  in[0].shape.dims[0].symbol = "batch";
  in[0].shape.dims[1].symbol = "length";
  case_begin(&c, "MatMul", 13);
  ck_assert_int_eq(case_infer(&c, in, 2, out), PLEAT_OK);
  CHECK_SHAPE(&out[0], "[batch,length,7]");
  ck_assert_int_eq(out[0].dtype, PLEAT_FLOAT);
  in[0].shape.rank = 2;
  case_begin(&c, "Gemm", 13);
  case_int(&c, "transA", 1);
  ck_assert_int_eq(case_infer(&c, in, 2, out), PLEAT_OK);
  CHECK_SHAPE(&out[0], "[length,7]");
  in[0].shape = pleat_shape_unknown();
  case_begin(&c, "Gemm", 13);
  case_int(&c, "transB", 1);
  ck_assert_int_eq(case_infer(&c, in, 2, out), PLEAT_OK);
  CHECK_SHAPE(&out[0], "[?,5]");
  case_begin(&c, "MatMul", 13);
  ck_assert_int_eq(case_infer(&c, in, 2, out), PLEAT_OK);
  CHECK_SHAPE(&out[0], "?");
}
END_TEST

START_TEST(multiply_adds) {
  op_case c;
  pleat_type in[2] = {type_of(PLEAT_FLOAT, pleat_shape_of(3, (int64_t[]){2, 4, 5})),
                      type_of(PLEAT_FLOAT, pleat_shape_of(2, (int64_t[]){5, 7}))};
  case_begin(&c, "MatMul", 13);
  ck_assert_double_eq(case_macs(&c, in, 2), 2.0 * 4 * 5 * 7);
  in[0].shape = pleat_shape_of(2, (int64_t[]){5, 4});
  case_begin(&c, "Gemm", 13);
  case_int(&c, "transA", 1);
  ck_assert_double_eq(case_macs(&c, in, 2), 4.0 * 5 * 7);
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  Suite *suite = suite_create("ops_matrix");
  TCase *tcase = tcase_create("matrix");
  tcase_set_timeout(tcase, 120);
  tcase_add_test(tcase, gemm_random);
  tcase_add_test(tcase, gemm_integers);
  tcase_add_test(tcase, gemm_does_not_read_c_for_beta_0);
  tcase_add_test(tcase, gemm_without_inner_dimension);
  tcase_add_test(tcase, gemm_refuses);
  tcase_add_loop_test(tcase, matmul_shapes_and_values, 0, MATMULS);
  tcase_add_test(tcase, integers_wrap);
  tcase_add_test(tcase, matmul_refuses);
  tcase_add_test(tcase, threads_do_not_change_bits);
  tcase_add_test(tcase, symbolic_dimensions);
  tcase_add_test(tcase, multiply_adds);
  suite_add_tcase(suite, tcase);
  return suite;
}

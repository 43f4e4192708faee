/* ops/integer_product.c: MatMulInteger and ConvInteger against their sums, written down once more. */
#include "op_case.h"

static pleat_tensor *bytes(uint64_t *seed, pleat_dtype dtype, const char *shape) {
  int64_t dims[PLEAT_MAX_RANK];
  const int rank = shape_dims(shape, dims);
  uint8_t values[4096];
  for (size_t i = 0; i < sizeof values; i++) values[i] = (uint8_t)random_between(seed, 0, 255);
  return make_dims(dtype, rank, dims, values);
}

static double zero_at(const pleat_tensor *zero, int64_t index) {
  return zero == NULL ? 0 : element(zero, zero->count == 1 ? 0 : (size_t)index);
}

/* ---- MatMulInteger ---- */

static const struct {
  const char *a, *b, *a_zero, *b_zero, *y;
  int64_t batch, m, k, n;
} products[] = {
    {"4,7", "7,5", NULL, NULL, "4,5", 1, 4, 7, 5},      {"4,7", "7,5", "", "", "4,5", 1, 4, 7, 5},
    {"4,7", "7,5", "4", "5", "4,5", 1, 4, 7, 5},        {"2,4,7", "2,7,5", "2,4,1", "2,1,5", "2,4,5", 2, 4, 7, 5},
    {"9,40", "40,33", "1", "33", "9,33", 1, 9, 40, 33},
};

START_TEST(matmul) {
  const pleat_dtype a_type = _i % 2 == 0 ? PLEAT_UINT8 : PLEAT_INT8,
                    b_type = _i / 2 % 2 == 0 ? PLEAT_UINT8 : PLEAT_INT8;
  for (size_t p = 0; p < sizeof products / sizeof *products; p++) {
    const int64_t m = products[p].m, k = products[p].k, n = products[p].n;
    uint64_t seed = 11;
    op_case c;
    case_begin(&c, "MatMulInteger", 10);
    case_input(&c, bytes(&seed, a_type, products[p].a));
    case_input(&c, bytes(&seed, b_type, products[p].b));
    case_input(&c, products[p].a_zero != NULL ? bytes(&seed, a_type, products[p].a_zero) : NULL);
    case_input(&c, products[p].b_zero != NULL ? bytes(&seed, b_type, products[p].b_zero) : NULL);
    RUN_OK(&c);
    ck_assert_int_eq(c.outputs[0]->dtype, PLEAT_INT32);
    for (int64_t b = 0; b < products[p].batch; b++) {
      for (int64_t i = 0; i < m * n; i++) {
        const double a_zero = zero_at(c.inputs[2], b * m + i / n), b_zero = zero_at(c.inputs[3], b * n + i % n);
        double sum = 0;
        for (int64_t j = 0; j < k; j++)
          sum += (element(c.inputs[0], (size_t)((b * m + i / n) * k + j)) - a_zero) *
                 (element(c.inputs[1], (size_t)((b * k + j) * n + i % n)) - b_zero);
        ck_assert_double_eq(element(c.outputs[0], (size_t)(b * m * n + i)), sum);
      }
    }
    case_end(&c);
  }
}
END_TEST

/* ---- ConvInteger ---- */

/* 2 images of 4 channels in `groups`, 6 filters of 3 x 3, padding 1. */
START_TEST(conv) {
  const int64_t groups = _i == 0 ? 1 : 2, channels = 4 / groups, filters = 6, size = 5;
  uint64_t seed = 13;
  op_case c;
  case_begin(&c, "ConvInteger", 10);
  case_int(&c, "group", groups);
  CASE_INTS(&c, "pads", 1, 1, 1, 1);
  case_input(&c, bytes(&seed, PLEAT_UINT8, "2,4,5,5"));
  case_input(&c, bytes(&seed, _i == 0 ? PLEAT_INT8 : PLEAT_UINT8, groups == 1 ? "6,4,3,3" : "6,2,3,3"));
  case_input(&c, bytes(&seed, PLEAT_UINT8, ""));
  case_input(&c, bytes(&seed, _i == 0 ? PLEAT_INT8 : PLEAT_UINT8, _i == 2 ? "" : "6"));
  RUN_OK(&c);
  CHECK_TEXT(c.outputs[0], "int32[2,6,5,5]");
  for (int64_t i = 0; i < 2 * filters * size * size; i++) {
    const int64_t col = i % size, row = i / size % size, filter = i / size / size % filters,
                  image = i / size / size / filters;
    double sum = 0;
    for (int64_t t = 0; t < channels * 9; t++) {
      const int64_t y = row + t / 3 % 3 - 1, x = col + t % 3 - 1,
                    channel = filter / (filters / groups) * channels + t / 9;
      if (y < 0 || x < 0 || y >= size || x >= size) continue; /* the zero point, less itself */
      sum += (element(c.inputs[0], (size_t)(((image * 4 + channel) * size + y) * size + x)) - zero_at(c.inputs[2], 0)) *
             (element(c.inputs[1], (size_t)(filter * channels * 9 + t)) - zero_at(c.inputs[3], filter));
    }
    ck_assert_double_eq(element(c.outputs[0], (size_t)i), sum);
  }
  case_end(&c);
}
END_TEST

START_TEST(refusals) {
  uint64_t seed = 17;
  op_case c;
  case_begin(&c, "MatMulInteger", 10);
  case_input(&c, bytes(&seed, PLEAT_UINT8, "4,7"));
  case_input(&c, bytes(&seed, PLEAT_UINT8, "7,5"));
  case_input(&c, bytes(&seed, PLEAT_UINT8, "5"));
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "expected one number or 4 of them, found 5");
  case_end(&c);
  case_begin(&c, "ConvInteger", 10);
  case_input(&c, bytes(&seed, PLEAT_UINT8, "1,1,5,5"));
  case_input(&c, bytes(&seed, PLEAT_UINT8, "1,1,3,3"));
  case_input(&c, bytes(&seed, PLEAT_INT8, ""));
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "expected type uint8, found int8");
  case_end(&c);
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  Suite *suite = suite_create("ops_integer_product");
  TCase *tcase = tcase_create("integer products");
  tcase_add_loop_test(tcase, matmul, 0, 4);
  tcase_add_loop_test(tcase, conv, 0, 3);
  tcase_add_test(tcase, refusals);
  suite_add_tcase(suite, tcase);
  return suite;
}

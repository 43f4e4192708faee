/* Our own element-wise functions for x86: every function over the whole range of floats against float64, every layout
 * against the reference kernel, and PRelu with all kinds of slopes. Runs once per instruction set
 * (tests/CMakeLists.txt). */
#include <float.h>
#include <math.h>
#include <stdio.h>

#include "kernel_case.h"
#include "ops/x86/x86.h"

static const float ALPHA = 0.3f, BETA = 0.4f;

static double gelu(double x) {
  return 0.5 * x * (1 + erf(x * sqrt(0.5)));
}
static double gelu_tanh(double x) {
  return 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
}
static double hard_sigmoid(double x) {
  return isnan(x) ? x : fmax(0, fmin(1, (double)ALPHA * x + (double)BETA));
}
static double hard_swish(double x) {
  return x * fmax(0, fmin(1, x / 6 + 0.5));
}
static double elu(double x) {
  return x < 0 ? (double)ALPHA * expm1(x) : x;
}
static double leaky(double x) {
  return x < 0 ? (double)ALPHA * x : x;
}
static double negative(double x) {
  return -x;
}
static double reciprocal(double x) {
  return 1 / x;
}
static double relu(double x) {
  return x < 0 ? 0 : x;
}
static double sigmoid(double x) {
  return 1 / (1 + exp(-x));
}

/* `is_difference`: digits cancel in the function itself, as the specification writes it, so that only an error relative
 * to the larger of x and y can be asked for. */
static const struct function {
  const char *op;
  double (*exact)(double x);
  bool has_alpha, has_beta, is_difference;
  const char *approximate;
} functions[] = {
    {"Abs", fabs, false, false, false, NULL},
    {"Ceil", ceil, false, false, false, NULL},
    {"Elu", elu, true, false, false, NULL},
    {"Erf", erf, false, false, false, NULL},
    {"Exp", exp, false, false, false, NULL},
    {"Floor", floor, false, false, false, NULL},
    {"Gelu", gelu, false, false, true, NULL},
    {"Gelu", gelu_tanh, false, false, true, "tanh"},
    {"HardSigmoid", hard_sigmoid, true, true, true, NULL},
    {"HardSwish", hard_swish, false, false, true, NULL},
    {"LeakyRelu", leaky, true, false, false, NULL},
    {"Log", log, false, false, false, NULL},
    {"Neg", negative, false, false, false, NULL},
    {"Reciprocal", reciprocal, false, false, false, NULL},
    {"Relu", relu, false, false, false, NULL},
    {"Round", rint, false, false, false, NULL},
    {"Sigmoid", sigmoid, false, false, false, NULL},
    {"Sqrt", sqrt, false, false, false, NULL},
    {"Tanh", tanh, false, false, false, NULL},
};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

static void begin(op_case *c, const struct function *f, pleat_tensor *x) {
  case_begin(c, f->op, 22);
  case_input(c, x);
  if (f->has_alpha) case_float(c, "alpha", ALPHA);
  if (f->has_beta) case_float(c, "beta", BETA);
  if (f->approximate != NULL) case_string(c, "approximate", f->approximate);
}

/* All exponents and signs, with the numbers between them at a prime distance; and what is special. */
static pleat_tensor *whole_range(void) {
  enum { STEP = 16411, COUNT = (int)(UINT32_MAX / STEP) };
  static const float special[] = {0,        -0.0f,       INFINITY,     -INFINITY,   NAN,        1,       -1,
                                  0.5f,     1.5f,        -2,           4,           -4,         FLT_MAX, -FLT_MAX,
                                  88.72f,   88.73f,      -87.5f,       -103.9f,     -104,       104,     FLT_MIN,
                                  -FLT_MIN, 1.4013e-45f, -1.4013e-45f, 0.99999994f, 1.00000012f};
  enum { SPECIAL = sizeof special / sizeof *special };
  const int64_t count = COUNT + SPECIAL;
  pleat_tensor *x = make_dims(PLEAT_FLOAT, 1, &count, NULL);
  float *to = x->data;
  memcpy(to, special, sizeof special);
  for (uint32_t i = 0; i < COUNT; i++) {
    const uint32_t bits = i * STEP;
    memcpy(to + SPECIAL + i, &bits, sizeof bits);
  }
  return x;
}

START_TEST(accuracy) {
  const struct function *f = &functions[_i];
  op_case c;
  begin(&c, f, whole_range());
  case_ready(&c, "");
  pleat_tensor *y = run_kernel(&c, &pleat_x86_unary, (how){0}, NULL);
  ck_assert_msg(y != NULL, "%s declines: %s", f->op, c.error.message);
  for (size_t i = 0; i < y->count; i++) {
    const double x = element(c.inputs[0], i), found = element(y, i), exact = f->exact(x);
    const double rounded = (double)(float)exact, size = fmax(fabs(x), fabs(rounded));
    if (isnan(exact) && isnan(found)) continue;
    if (f->is_difference && isfinite(found) && fabs(found - rounded) <= 2 * FLT_EPSILON * size) continue;
    if (pleat_ulp_distance(PLEAT_FLOAT, found, rounded) <= 4) continue;
    if (found == rounded) continue; /* zeros of two signs */
    ck_abort_msg("%s(%.9g) is %.9g, expected %.9g", f->op, x, found, rounded);
  }
  pleat_tensor_release(y);
  case_end(&c);
}
END_TEST

/* Every function in blocks that are full and blocks that are not, whose padding stays zero; threads; odd ends. */
START_TEST(layouts) {
  static const int64_t shapes[][4] = {{1, 16, 3, 5}, {2, 20, 7, 9}, {1, 33, 40, 41}, {3, 5, 1, 1}, {1, 1, 1, 7}};
  uint64_t seed = 3;
  for (int i = 0; i < FUNCTIONS; i++) {
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
      op_case c;
      begin(&c, &functions[i], make_noise(&seed, PLEAT_FLOAT, 4, shapes[k]));
      check_against_reference(&c, &pleat_x86_unary, "", ~1u, 1, 1e-6, functions[i].op);
    }
  }
}
END_TEST

/* Bounds that exclude zero are kept off the padding as well; NaN stays; what only a run knows is declined. */
START_TEST(clip) {
  static const float bounds[][2] = {{-0.5f, 0.25f}, {0.1f, 0.3f}, {-INFINITY, -0.2f}};
  const int64_t dims[] = {2, 20, 5, 3};
  uint64_t seed = 5;
  for (int i = 0; i < 3; i++) {
    op_case c;
    case_begin(&c, "Clip", 13);
    case_input(&c, make_noise(&seed, PLEAT_FLOAT, 4, dims));
    case_input(&c, make(PLEAT_FLOAT, "", &bounds[i][0]));
    case_input(&c, make(PLEAT_FLOAT, "", &bounds[i][1]));
    if (i == 0) ((float *)c.inputs[0]->data)[7] = NAN;
    check_against_reference(&c, &pleat_x86_unary, "", ~1u, 1, 0, "Clip");
  }
  op_case c;
  case_begin(&c, "Clip", 13);
  case_input(&c, make_noise(&seed, PLEAT_FLOAT, 4, dims));
  case_input(&c, make(PLEAT_FLOAT, "", &bounds[0][1]));
  check_declines(&c, &pleat_x86_unary, 0, "not constant");
  case_begin(&c, "Clip", 13);
  case_input(&c, make_noise(&seed, PLEAT_FLOAT, 4, dims));
  case_input(&c, make(PLEAT_FLOAT, "", &bounds[0][1]));
  case_input(&c, make(PLEAT_FLOAT, "", &bounds[0][0]));
  check_declines(&c, &pleat_x86_unary, ~1u, "cross");
}
END_TEST

/* A block of one channel would be nearly all zeros: it is taken dense. */
START_TEST(mostly_padding) {
  const int64_t dims[] = {1, 1, 9, 11};
  uint64_t seed = 6;
  bool plain = false;
  op_case c;
  begin(&c, &functions[3], make_noise(&seed, PLEAT_FLOAT, 4, dims));
  case_ready(&c, "");
  pleat_tensor *y = run_kernel(&c, &pleat_x86_unary, (how){.blocked = 1}, &plain);
  ck_assert(y != NULL && plain);
  pleat_tensor_release(y);
  case_end(&c);
}
END_TEST

START_TEST(slopes) {
  static const int64_t shapes[][4] = {{1, 16, 3, 5}, {2, 20, 7, 9}, {1, 33, 40, 61}, {3, 5, 1, 1}, {2, 3, 1, 9}};
  uint64_t seed = 8;
  for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
    const int64_t *x = shapes[k], one[] = {1}, channel[] = {x[1], 1, 1}, first[] = {1, x[1], 1, 1}, flat[] = {x[1]};
    const struct {
      int opset, rank;
      const int64_t *dims;
    } kinds[] = {{16, 1, one}, {16, 3, channel}, {16, 4, first}, {16, 4, x}, {6, 1, flat}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
      op_case c;
      case_begin(&c, "PRelu", kinds[i].opset);
      case_input(&c, make_noise(&seed, PLEAT_FLOAT, 4, x));
      case_input(&c, make_noise(&seed, PLEAT_FLOAT, kinds[i].rank, kinds[i].dims));
      check_against_reference(&c, &pleat_x86_prelu, "", i % 2 == 0 ? 0 : ~1u, i == 3 ? 3 : 1, 0, "PRelu");
    }
  }
}
END_TEST

/* Other ways of broadcasting, and matrices; NaN and the infinities. */
START_TEST(slopes_of_rows) {
  const int64_t x[] = {2, 3, 4, 5}, row[] = {5}, plane[] = {3, 4, 5}, matrix[] = {7, 19};
  uint64_t seed = 9;
  op_case c;
  for (int i = 0; i < 2; i++) {
    case_begin(&c, "PRelu", 16);
    case_input(&c, make_noise(&seed, PLEAT_FLOAT, 4, x));
    case_input(&c, make_noise(&seed, PLEAT_FLOAT, i == 0 ? 1 : 3, i == 0 ? row : plane));
    check_declines(&c, &pleat_x86_prelu, ~1u, "neither");
  }
  case_begin(&c, "PRelu", 16);
  case_input(&c, make_noise(&seed, PLEAT_FLOAT, 2, matrix));
  case_input(&c, make_noise(&seed, PLEAT_FLOAT, 1, matrix + 1));
  memcpy(c.inputs[0]->data, F32(NAN, INFINITY, -INFINITY), 3 * sizeof(float));
  check_against_reference(&c, &pleat_x86_prelu, "", ~1u, 0, 0, "PRelu of a matrix");
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  Suite *suite = suite_create("x86_map");
  TCase *tcase = tcase_create("map");
  tcase_set_timeout(tcase, 120);
  if (pleat_x86_code_of_cpu() != NULL) {
    tcase_add_loop_test(tcase, accuracy, 0, FUNCTIONS);
    tcase_add_test(tcase, layouts);
    tcase_add_test(tcase, clip);
    tcase_add_test(tcase, mostly_padding);
    tcase_add_test(tcase, slopes);
    tcase_add_test(tcase, slopes_of_rows);
  } else {
    printf("skipped: this CPU has neither AVX2 nor AVX-512\n");
  }
  suite_add_tcase(suite, tcase);
  return suite;
}

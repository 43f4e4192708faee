/* ops/recurrent_product.c, recurrent_curves.c, and the reference: RNN, GRU and LSTM against their equations, written
 * down once more in double, element by element; and the activation functions one by one. */
#include <math.h>

#include "op_case.h"

enum { X, W, R, B, LENGTHS, H, C, P };

typedef struct net {
  const char *op, *direction;
  int64_t steps, batch, input, hidden;
  int layout, linear_before_reset, input_forget;
  float clip;        /* 0: none */
  unsigned optional; /* which optional inputs there are, by bit */
} net;

#define BIT(i) (1u << (i))
enum { ALL_RNN = 1 << B | 1 << LENGTHS | 1 << H, ALL_LSTM = ALL_RNN | 1 << C | 1 << P };

static const net nets[] = {
    {"RNN", "forward", 3, 2, 4, 5, 0, 0, 0, 0, 0},
    {"RNN", "reverse", 3, 2, 4, 5, 1, 0, 0, 0, ALL_RNN},
    {"RNN", "bidirectional", 4, 5, 2, 3, 0, 0, 0, 0.3f, ALL_RNN},
    {"GRU", "forward", 3, 2, 4, 5, 0, 0, 0, 0, BIT(B)},
    {"GRU", "forward", 3, 2, 4, 5, 0, 1, 0, 0, BIT(B)},
    {"GRU", "reverse", 4, 3, 4, 5, 1, 0, 0, 0, ALL_RNN},
    {"GRU", "bidirectional", 4, 5, 3, 40, 0, 1, 0, 0.5f, ALL_RNN},
    {"GRU", "bidirectional", 4, 5, 3, 40, 1, 0, 0, 0, ALL_RNN},
    {"GRU", "forward", 2, 1, 3, 4, 0, 1, 0, 0, 0},
    {"LSTM", "forward", 3, 2, 4, 5, 0, 0, 0, 0, 0},
    {"LSTM", "reverse", 4, 3, 4, 5, 1, 0, 0, 0, ALL_LSTM},
    {"LSTM", "bidirectional", 4, 5, 3, 40, 0, 0, 0, 0.5f, ALL_LSTM},
    {"LSTM", "bidirectional", 2, 1, 3, 65, 1, 0, 1, 0, ALL_LSTM},
    {"LSTM", "forward", 1, 1, 130, 33, 0, 0, 0, 0, BIT(B) | BIT(H) | BIT(C)},
    {"LSTM", "bidirectional", 40, 2, 10, 130, 0, 0, 0, 0, ALL_LSTM}, /* large enough for threads */
};
enum { NETS = sizeof nets / sizeof *nets };

static int gates_of(const net *n) {
  return n->op[0] == 'L' ? 4 : n->op[0] == 'G' ? 3 : 1;
}
static int directions_of(const net *n) {
  return n->direction[0] == 'b' ? 2 : 1;
}

/* ---- the equations ---- */

static double clipped(const net *n, double x) {
  return n->clip == 0 ? x : fmin(fmax(x, -(double)n->clip), (double)n->clip);
}
static double sigmoid_of(const net *n, double x) {
  return 1 / (1 + exp(-clipped(n, x)));
}
static double tanh_of(const net *n, double x) {
  return tanh(clipped(n, x));
}

/* Element of an optional input. */
static double at(const op_case *c, int input, int64_t index) {
  return c->inputs[input] == NULL ? 0 : element(c->inputs[input], (size_t)index);
}

/* Input `gate` of unit `j`: X's part, R's part with the state `h`, and their biases. */
static void sums(const op_case *c, const net *n, int d, int64_t x, const double *h, int gate, int64_t j, double *out_x,
                 double *out_r) {
  const int64_t width = gates_of(n) * n->hidden, row = gate * n->hidden + j;
  *out_x = at(c, B, d * 2 * width + row);
  *out_r = at(c, B, d * 2 * width + width + row);
  for (int64_t k = 0; k < n->input; k++) *out_x += at(c, W, (d * width + row) * n->input + k) * at(c, X, x + k);
  for (int64_t k = 0; k < n->hidden; k++) *out_r += at(c, R, (d * width + row) * n->hidden + k) * h[k];
}

static double sum_of(const op_case *c, const net *n, int d, int64_t x, const double *h, int gate, int64_t j) {
  double from_x, from_r;
  sums(c, n, d, x, h, gate, j, &from_x, &from_r);
  return from_x + from_r;
}

enum { MOST = 160 };

static void lstm_step(const op_case *c, const net *n, int d, int64_t x, double *h, double *cell) {
  double next[MOST];
  const int64_t p = d * 3 * n->hidden;
  for (int64_t j = 0; j < n->hidden; j++) {
    const double i = sigmoid_of(n, sum_of(c, n, d, x, h, 0, j) + at(c, P, p + j) * cell[j]);
    const double f = n->input_forget
                         ? 1 - i
                         : sigmoid_of(n, sum_of(c, n, d, x, h, 2, j) + at(c, P, p + 2 * n->hidden + j) * cell[j]);
    cell[j] = f * cell[j] + i * tanh_of(n, sum_of(c, n, d, x, h, 3, j));
    const double o = sigmoid_of(n, sum_of(c, n, d, x, h, 1, j) + at(c, P, p + n->hidden + j) * cell[j]);
    next[j] = o * tanh_of(n, cell[j]);
  }
  memcpy(h, next, (size_t)n->hidden * sizeof *h);
}

static void gru_step(const op_case *c, const net *n, int d, int64_t x, double *h) {
  double next[MOST], kept[MOST], from_x, from_r;
  for (int64_t j = 0; j < n->hidden; j++) kept[j] = h[j] * sigmoid_of(n, sum_of(c, n, d, x, h, 1, j));
  for (int64_t j = 0; j < n->hidden; j++) {
    const double z = sigmoid_of(n, sum_of(c, n, d, x, h, 0, j)), r = sigmoid_of(n, sum_of(c, n, d, x, h, 1, j));
    sums(c, n, d, x, h, 2, j, &from_x, &from_r);
    const double sum = n->linear_before_reset ? from_x + r * from_r : sum_of(c, n, d, x, kept, 2, j);
    next[j] = (1 - z) * tanh_of(n, sum) + z * h[j];
  }
  memcpy(h, next, (size_t)n->hidden * sizeof *h);
}

static void rnn_step(const op_case *c, const net *n, int d, int64_t x, double *h) {
  double next[MOST];
  for (int64_t j = 0; j < n->hidden; j++) next[j] = tanh_of(n, sum_of(c, n, d, x, h, 0, j));
  memcpy(h, next, (size_t)n->hidden * sizeof *h);
}

static int64_t state_at(const net *n, int d, int64_t b) {
  return (n->layout ? b * directions_of(n) + d : d * n->batch + b) * n->hidden;
}

/* One sequence in one direction: Y, Y_h and Y_c are what the kernel gave. */
static void check_sequence(const op_case *c, const net *n, int d, int64_t b, double tolerance) {
  double h[MOST], cell[MOST] = {0};
  const int64_t length = c->inputs[LENGTHS] != NULL ? (int64_t)at(c, LENGTHS, b) : n->steps;
  const bool backwards = d == 1 || n->direction[0] == 'r';
  for (int64_t j = 0; j < n->hidden; j++) h[j] = at(c, H, state_at(n, d, b) + j);
  for (int64_t j = 0; n->op[0] == 'L' && j < n->hidden; j++) cell[j] = at(c, C, state_at(n, d, b) + j);
  for (int64_t step = 0; step < n->steps; step++) {
    const int64_t s = step < length && backwards ? length - 1 - step : step;
    const int64_t x = (n->layout ? b * n->steps + s : s * n->batch + b) * n->input;
    const int64_t y =
        (n->layout ? (b * n->steps + s) * directions_of(n) + d : (s * directions_of(n) + d) * n->batch + b);
    if (step < length && n->op[0] == 'L') lstm_step(c, n, d, x, h, cell);
    if (step < length && n->op[0] == 'G') gru_step(c, n, d, x, h);
    if (step < length && n->op[0] == 'R') rnn_step(c, n, d, x, h);
    for (int64_t j = 0; j < n->hidden; j++)
      CHECK_NEAR(element(c->outputs[0], (size_t)(y * n->hidden + j)), step < length ? h[j] : 0, tolerance);
  }
  for (int64_t j = 0; j < n->hidden; j++) {
    CHECK_NEAR(element(c->outputs[1], (size_t)(state_at(n, d, b) + j)), h[j], tolerance);
    if (n->op[0] == 'L') CHECK_NEAR(element(c->outputs[2], (size_t)(state_at(n, d, b) + j)), cell[j], tolerance);
  }
}

/* ---- cases ---- */

/* In [-size, size]. */
static pleat_tensor *small_noise(uint64_t *seed, pleat_dtype dtype, int rank, const int64_t *dims, double size) {
  static double values[140000];
  size_t count = 1;
  for (int i = 0; i < rank; i++) count *= (size_t)dims[i];
  ck_assert_uint_le(count, sizeof values / sizeof *values);
  for (size_t i = 0; i < count; i++) values[i] = (double)random_between(seed, -1000, 1000) / 1000 * size;
  return make_values(dtype, rank, dims, values);
}

static void begin_net(op_case *c, const net *n, pleat_dtype dtype, bool late) {
  const int64_t dirs = directions_of(n), width = gates_of(n) * n->hidden;
  const int64_t x[] = {n->layout ? n->batch : n->steps, n->layout ? n->steps : n->batch, n->input};
  const int64_t w[] = {dirs, width, n->input}, r[] = {dirs, width, n->hidden}, b[] = {dirs, 2 * width};
  const int64_t state[] = {n->layout ? n->batch : dirs, n->layout ? dirs : n->batch, n->hidden};
  const int64_t p[] = {dirs, 3 * n->hidden};
  const double weight = n->hidden > 100 ? 0.1 : 1; /* a large net would be chaotic */
  uint64_t seed = 7;
  int32_t lengths[8];
  case_begin(c, n->op, 14);
  c->fastest = true;
  c->output_count = n->op[0] == 'L' ? 3 : 2;
  case_string(c, "direction", n->direction);
  case_int(c, "hidden_size", n->hidden);
  if (n->layout != 0) case_int(c, "layout", n->layout);
  if (n->clip != 0) case_float(c, "clip", n->clip);
  if (n->op[0] == 'G') case_int(c, "linear_before_reset", n->linear_before_reset);
  if (n->op[0] == 'L') case_int(c, "input_forget", n->input_forget);
  for (int64_t i = 0; i < n->batch; i++) lengths[i] = (int32_t)(n->steps - i % 3 > 0 ? n->steps - i % 3 : 0);
  case_input(c, small_noise(&seed, dtype, 3, x, 1));
  case_input(c, small_noise(&seed, dtype, 3, w, weight));
  case_input(c, small_noise(&seed, dtype, 3, r, weight));
  case_input(c, n->optional & BIT(B) ? small_noise(&seed, dtype, 2, b, 1) : NULL);
  case_input(c, n->optional & BIT(LENGTHS) ? make_dims(PLEAT_INT32, 1, &n->batch, lengths) : NULL);
  case_input(c, n->optional & BIT(H) ? small_noise(&seed, dtype, 3, state, 1) : NULL);
  if (n->op[0] == 'L') {
    case_input(c, n->optional & BIT(C) ? small_noise(&seed, dtype, 3, state, 1) : NULL);
    case_input(c, n->optional & BIT(P) ? small_noise(&seed, dtype, 2, p, 1) : NULL);
  }
  c->late[W] = c->late[R] = late;
}

START_TEST(the_equations) {
  const net *n = &nets[_i / 2];
  const pleat_dtype dtype = _i % 2 == 0 ? PLEAT_FLOAT : PLEAT_DOUBLE;
  for (int way = 0; way < 3; way++) { /* constant weights or not, and the reference */
    op_case c;
    begin_net(&c, n, dtype, way == 1);
    c.fastest = way < 2;
    RUN_OK(&c);
    for (int d = 0; d < directions_of(n); d++)
      for (int64_t b = 0; b < n->batch; b++) check_sequence(&c, n, d, b, dtype == PLEAT_FLOAT ? 1e-5 : 1e-12);
    case_end(&c);
  }
}
END_TEST

/* A wide half is the float one, rounded. */
START_TEST(half_types) {
  op_case c;
  begin_net(&c, &nets[9], PLEAT_FLOAT16, false);
  RUN_OK(&c);
  ck_assert_int_eq(c.outputs[0]->dtype, PLEAT_FLOAT16);
  check_sequence(&c, &nets[9], 0, 0, 1e-3);
  case_end(&c);
}
END_TEST

/* ---- activations ---- */

typedef struct curve {
  const char *name;
  int parameters; /* of alpha = 0.5 and beta = 0.25; 0: those lists are absent, and defaults hold */
  double values[4];
} curve;

static const float points[] = {-2.0f, -0.25f, 0.375f, 3.0f};
static const curve curves[] = {
    {"Relu", 0, {0, 0, 0.375, 3}},
    {"Affine", 0, {-2, -0.25, 0.375, 3}},
    {"Affine", 2, {-0.75, 0.125, 0.4375, 1.75}},
    {"LeakyRelu", 0, {-0.02, -0.0025, 0.375, 3}},
    {"LeakyRelu", 1, {-1, -0.125, 0.375, 3}},
    {"ThresholdedRelu", 0, {0, 0, 0, 3}},
    {"ThresholdedRelu", 1, {0, 0, 0, 3}},
    {"HardSigmoid", 0, {0.1, 0.45, 0.575, 1}},
    {"HardSigmoid", 2, {0, 0.125, 0.4375, 1}},
    {"Elu", 0, {-0.864664717, -0.221199217, 0.375, 3}},
    {"Elu", 1, {-0.432332358, -0.110599608, 0.375, 3}},
    {"Softsign", 0, {-0.666666667, -0.2, 0.272727273, 0.75}},
    {"Softplus", 0, {0.126928011, 0.575939420, 0.898123264, 3.048587352}},
    {"ScaledTanh", 0, {-0.964027580, -0.244918662, 0.358357398, 0.995054754}},
    {"ScaledTanh", 2, {-0.231058579, -0.031209374, 0.046738490, 0.317574480}},
    {"Sigmoid", 0, {0.119202922, 0.437823499, 0.592666600, 0.952574127}},
    {"tanh", 0, {-0.964027580, -0.244918662, 0.358357398, 0.995054754}},
};

START_TEST(activations) {
  const curve *k = &curves[_i];
  const pleat_string name = {.data = k->name, .size = strlen(k->name)};
  const float alpha = 0.5f, beta = 0.25f;
  for (int wide = 0; wide < 2; wide++) {
    const pleat_dtype dtype = wide ? PLEAT_DOUBLE : PLEAT_FLOAT;
    op_case c;
    case_begin(&c, "RNN", 7);
    c.fastest = true;
    case_int(&c, "hidden_size", 1);
    case_attr(&c, (pleat_attr){.name = "activations", .type = PLEAT_ATTR_STRINGS, .count = 1, .strings = &name});
    if (k->parameters > 0) case_floats(&c, "activation_alpha", 1, &alpha);
    if (k->parameters > 1) case_floats(&c, "activation_beta", 1, &beta);
    const double x[] = {(double)points[0], (double)points[1], (double)points[2], (double)points[3]};
    case_input(&c, make_tensor(dtype, "1,4,1", x));
    case_input(&c, make_tensor(dtype, "1,1,1", (const double[]){1}));
    case_input(&c, make_tensor(dtype, "1,1,1", (const double[]){1}));
    RUN_OK(&c);
    for (size_t i = 0; i < 4; i++) CHECK_NEAR(element(c.outputs[0], i), k->values[i], 1e-6);
    case_end(&c);
  }
}
END_TEST

/* Parameters are taken in order, by those that have them. */
START_TEST(parameters_in_order) {
  const pleat_string names[] = {STRING_OF("Relu"), STRING_OF("LeakyRelu")};
  const float alpha = 0.5f;
  op_case c;
  case_begin(&c, "RNN", 7);
  c.fastest = true;
  case_string(&c, "direction", "bidirectional");
  case_attr(&c, (pleat_attr){.name = "activations", .type = PLEAT_ATTR_STRINGS, .count = 2, .strings = names});
  case_floats(&c, "activation_alpha", 1, &alpha);
  case_input(&c, FLOATS("1,1,1", -4));
  case_input(&c, FLOATS("2,1,1", 1, 1));
  case_input(&c, FLOATS("2,1,1", 0, 0));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[1,2,1,1]", float, 0, -2);
  case_end(&c);
}
END_TEST

/* Sigmoid and Tanh of floats are our own: close everywhere, and right where there is nothing to compute. */
START_TEST(curves_of_floats) {
  static const char *const names[] = {"Sigmoid", "Tanh"};
  enum { COUNT = 4001 };
  static float x[COUNT + 5];
  const pleat_string name = {.data = names[_i], .size = strlen(names[_i])};
  const int64_t dims[] = {1, COUNT + 5, 1};
  op_case c;
  for (int i = 0; i < COUNT; i++) x[i] = (float)(i - COUNT / 2) * 0.011f;
  const float odd[] = {INFINITY, -INFINITY, NAN, -0.0f, 1e-20f};
  memcpy(x + COUNT, odd, sizeof odd);
  case_begin(&c, "RNN", 7);
  c.fastest = true;
  case_attr(&c, (pleat_attr){.name = "activations", .type = PLEAT_ATTR_STRINGS, .count = 1, .strings = &name});
  case_input(&c, make_dims(PLEAT_FLOAT, 3, dims, x));
  case_input(&c, FLOATS("1,1,1", 1));
  case_input(&c, FLOATS("1,1,1", 0));
  RUN_OK(&c);
  for (int i = 0; i < COUNT + 5; i++) {
    const double at_x = (double)x[i], wanted = _i == 0 ? 1 / (1 + exp(-at_x)) : tanh(at_x);
    const double found = element(c.outputs[0], (size_t)i);
    if (isnan(wanted) ? !isnan(found) : !(fabs(found - wanted) <= 4 * 0x1p-23 * fabs(wanted) + 1e-37))
      ck_abort_msg("of %g: %.9g, not %.9g", at_x, found, wanted);
  }
  case_end(&c);
}
END_TEST

START_TEST(sequences_that_are_too_long) {
  net n = nets[0];
  op_case c;
  n.optional = BIT(LENGTHS);
  begin_net(&c, &n, PLEAT_FLOAT, false);
  ((int32_t *)c.inputs[LENGTHS]->data)[1] = 4;
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "sequence 1 is 4 long, expected 0 to 3");
  case_end(&c);
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  Suite *suite = suite_create("ops_recurrent_product");
  TCase *tcase = tcase_create("recurrent");
  tcase_add_loop_test(tcase, the_equations, 0, 2 * NETS);
  tcase_add_test(tcase, half_types);
  tcase_add_loop_test(tcase, activations, 0, (int)(sizeof curves / sizeof *curves));
  tcase_add_test(tcase, parameters_in_order);
  tcase_add_loop_test(tcase, curves_of_floats, 0, 2);
  tcase_add_test(tcase, sequences_that_are_too_long);
  suite_add_tcase(suite, tcase);
  return suite;
}

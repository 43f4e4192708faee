/* RNN, GRU and LSTM with activations and weights that make every state a short sum, worked out by hand; what the
 * specification's own vectors show (defaults, biases, peepholes) is left to them. */
#include "op_case.h"

/* Affine with alpha 1 and beta 0 hands its argument on; HardSigmoid with alpha 0 is always beta. */
static const pleat_string identity[] = {{"Affine", 6}, {"affine", 6}};
static const float one[] = {1, 1}, zero[] = {0, 0};

static void case_strings(op_case *c, const char *name, size_t count, const pleat_string *values) {
  case_attr(c, (pleat_attr){.name = name, .type = PLEAT_ATTR_STRINGS, .strings = values, .count = count});
}

/* h' = x + h / 2 over x = 1, 2, 4. */
static void begin_halving(op_case *c, const char *direction, int64_t directions) {
  case_begin(c, "RNN", 14);
  c->output_count = 2;
  case_int(c, "hidden_size", 1);
  case_string(c, "direction", direction);
  case_strings(c, "activations", (size_t)directions, identity);
  case_floats(c, "activation_alpha", (size_t)directions, one);
  case_floats(c, "activation_beta", (size_t)directions, zero);
  case_input(c, FLOATS("3,1,1", 1, 2, 4));
  case_input(c, directions == 1 ? FLOATS("1,1,1", 1) : FLOATS("2,1,1", 1, 1));
  case_input(c, directions == 1 ? FLOATS("1,1,1", 0.5f) : FLOATS("2,1,1", 0.5f, 0.5f));
}

START_TEST(forward) {
  op_case c;
  begin_halving(&c, "forward", 1);
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[3,1,1,1]", float, 1, 2.5f, 5.25f);
  CHECK_TENSOR(c.outputs[1], "float[1,1,1]", float, 5.25f);
  case_end(&c);
}
END_TEST

START_TEST(reverse) {
  op_case c;
  begin_halving(&c, "reverse", 1);
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[3,1,1,1]", float, 3, 4, 4);
  CHECK_TENSOR(c.outputs[1], "float[1,1,1]", float, 3);
  case_end(&c);
}
END_TEST

START_TEST(both_ways) {
  op_case c;
  begin_halving(&c, "bidirectional", 2);
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[3,2,1,1]", float, 1, 3, 2.5f, 4, 5.25f, 4);
  CHECK_TENSOR(c.outputs[1], "float[2,1,1]", float, 5.25f, 3);
  case_end(&c);
}
END_TEST

START_TEST(clipped) {
  op_case c;
  begin_halving(&c, "forward", 1);
  case_float(&c, "clip", 2);
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[3,1,1,1]", float, 1, 2, 2);
  case_end(&c);
}
END_TEST

/* Two sequences, the second one shorter, from a state that is given; the outputs' order by `layout`. */
START_TEST(sequences_of_a_batch) {
  for (int layout = 0; layout < 2; layout++) {
    op_case c;
    case_begin(&c, "RNN", 14);
    c.output_count = 2;
    case_string(&c, "direction", "reverse");
    case_strings(&c, "activations", 1, identity);
    case_int(&c, "layout", layout);
    case_input(&c, layout ? FLOATS("2,3,1", 1, 2, 4, 10, 20, 40) : FLOATS("3,2,1", 1, 10, 2, 20, 4, 40));
    case_input(&c, FLOATS("1,1,1", 1));
    case_input(&c, FLOATS("1,1,1", 0.5f));
    case_input(&c, NULL);
    case_input(&c, make(PLEAT_INT32, "2", VECTOR(int32_t, 3, 2)));
    case_input(&c, layout ? FLOATS("2,1,1", 8, 16) : FLOATS("1,2,1", 8, 16));
    RUN_OK(&c);
    if (layout) CHECK_TENSOR(c.outputs[0], "float[2,3,1,1]", float, 4, 6, 8, 24, 28, 0);
    else CHECK_TENSOR(c.outputs[0], "float[3,1,2,1]", float, 4, 24, 6, 28, 8, 0);
    CHECK_TENSOR(c.outputs[1], layout ? "float[2,1,1]" : "float[1,2,1]", float, 4, 24);
    case_end(&c);
  }
}
END_TEST

/* Gates that are always 1/2: C' = C / 2 + (x + H / 2) / 2, H' = C' / 2. */
START_TEST(memory_of_half) {
  static const pleat_string names[] = {{"HardSigmoid", 11}, {"Affine", 6}, {"Affine", 6}};
  static const float alphas[] = {0, 1, 1}, betas[] = {0.5f, 0, 0};
  op_case c;
  case_begin(&c, "LSTM", 7);
  c.output_count = 3;
  case_strings(&c, "activations", 3, names);
  case_floats(&c, "activation_alpha", 3, alphas);
  case_floats(&c, "activation_beta", 3, betas);
  case_input(&c, FLOATS("3,1,1", 4, 2, 1));
  case_input(&c, FLOATS("1,4,1", 0, 0, 0, 1));
  case_input(&c, FLOATS("1,4,1", 0, 0, 0, 0.5f));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[3,1,1,1]", float, 1, 1.125f, 0.953125f);
  CHECK_TENSOR(c.outputs[1], "float[1,1,1]", float, 0.953125f);
  CHECK_TENSOR(c.outputs[2], "float[1,1,1]", float, 1.90625f);
  case_end(&c);
}
END_TEST

/* The update gate is 1/4, the reset gate as well: h' = 3/4 (x + reset of h) + h / 4, where the recurrent bias of 8 is
 * reset with the state only if it is linear before. */
START_TEST(reset_before_or_after) {
  static const pleat_string names[] = {{"HardSigmoid", 11}, {"Affine", 6}};
  static const float alphas[] = {0, 1}, betas[] = {0.25f, 0};
  for (int linear = 0; linear < 2; linear++) {
    op_case c;
    case_begin(&c, "GRU", 7);
    case_int(&c, "linear_before_reset", linear);
    case_strings(&c, "activations", 2, names);
    case_floats(&c, "activation_alpha", 2, alphas);
    case_floats(&c, "activation_beta", 2, betas);
    case_input(&c, FLOATS("2,1,1", 4, 8));
    case_input(&c, FLOATS("1,3,1", 0, 0, 1));
    case_input(&c, FLOATS("1,3,1", 0, 0, 4));
    case_input(&c, FLOATS("1,6", 0, 0, 0, 0, 0, 8));
    RUN_OK(&c);
    if (linear) CHECK_TENSOR(c.outputs[0], "float[2,1,1,1]", float, 4.5f, 12);
    else CHECK_TENSOR(c.outputs[0], "float[2,1,1,1]", float, 9, 21);
    case_end(&c);
  }
}
END_TEST

START_TEST(refusals) {
  op_case c;
  begin_halving(&c, "sideways", 1);
  RUN_FAILS(&c, PLEAT_MALFORMED_MODEL, "direction is 'sideways'");
  case_end(&c);
  begin_halving(&c, "bidirectional", 2);
  c.attrs[2].count = 1;
  RUN_FAILS(&c, PLEAT_MALFORMED_MODEL, "1 activations are given, expected 2");
  case_end(&c);
  begin_halving(&c, "forward", 1);
  c.attrs[2].strings = &STRING_OF("Sinus");
  RUN_FAILS(&c, PLEAT_UNSUPPORTED, "activation 'Sinus' is not known");
  case_end(&c);
  begin_halving(&c, "forward", 1);
  case_input(&c, FLOATS("1,3", 0, 0, 0));
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "input B: expected [1,2], found [1,3]");
  case_end(&c);
  begin_halving(&c, "forward", 1);
  case_input(&c, NULL);
  case_input(&c, make(PLEAT_INT32, "1", VECTOR(int32_t, 4)));
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "sequence 0 is 4 long, expected 0 to 3");
  case_end(&c);
}
END_TEST

/* Half types are widened, and the work is counted. */
START_TEST(half_types_and_costs) {
  op_case c;
  case_begin(&c, "GRU", 22);
  case_input(&c, make_tensor(PLEAT_FLOAT16, "2,1,1", (const double[]){1, 2}));
  case_input(&c, make_tensor(PLEAT_FLOAT16, "1,3,1", (const double[]){0, 0, 1}));
  case_input(&c, make_tensor(PLEAT_FLOAT16, "1,3,1", (const double[]){0, 0, 0}));
  RUN_OK(&c);
  ck_assert_int_eq(c.outputs[0]->dtype, PLEAT_FLOAT16);
  CHECK_NEAR(element(c.outputs[0], 0), 0.5 * tanh(1), 1e-3);
  CHECK_NEAR(element(c.outputs[0], 1), 0.5 * tanh(2) + 0.25 * tanh(1), 1e-3);
  const pleat_type inputs[] = {type_of(PLEAT_FLOAT, pleat_shape_of(3, (const int64_t[]){5, 2, 3})),
                               type_of(PLEAT_FLOAT, pleat_shape_of(3, (const int64_t[]){1, 12, 3})),
                               type_of(PLEAT_FLOAT, pleat_shape_of(3, (const int64_t[]){1, 12, 4}))};
  ck_assert_double_eq(case_macs(&c, inputs, 3), 5 * 2 * 12 * 7);
  case_end(&c);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("ops_recurrent");
  add_tests(suite, "recurrent",
            (const TTest *const[]){forward, reverse, both_ways, clipped, sequences_of_a_batch, memory_of_half,
                                   reset_before_or_after, refusals, half_types_and_costs, NULL});
  return suite;
}

/* Gelu as exporters spell it is one step in a session, with the values of the nodes that it was; and what only looks
 * like it stays what it is. */
#include "fuse_case.h"

/* Nodes "Op inputs output", from x to y. */
enum { NODES = 10 };
typedef const char *spelling[NODES];

static const spelling by_erf[] = {
    {"Div x,root a", "Erf a e", "Add e,one s", "Mul x,s m", "Mul m,half y"},
    {"Mul inverse,x a", "Erf a e", "Add one,e s", "Mul x,half h", "Mul h,s y"},
    {"Div x,root a", "Erf a e", "Add e,one s", "Mul half,s m", "Mul m,x y"},
    {"Div x,root a", "Erf a e", "Add e,one s", "Mul s,x m", "Div m,two y"},
    {"Div x,root a", "Erf a e", "Mul e,half f", "Add half,f s", "Mul s,x y"},
};
static const spelling by_tanh[] = {
    {"Pow x,three c", "Mul c,cube d", "Add x,d i", "Mul i,k u", "Tanh u e", "Add e,one s", "Mul x,half h", "Mul h,s y"},
    {"Mul x,x q", "Mul q,x c", "Mul cube,c d", "Add d,x i", "Mul k,i u", "Tanh u e", "Add one,e s", "Mul x,s m",
     "Mul half,m y"},
    {"Mul x,x q", "Mul q,cube d", "Add d,one f", "Mul x,k g", "Mul g,f u", "Tanh u e", "Add e,one s", "Mul x,half h",
     "Mul h,s y"},
};
static const spelling other[] = {
    {"Div x,root a", "Erf a e", "Add e,one s", "Mul x,s m", "Mul m,two y"},               /* another factor */
    {"Div x,two a", "Erf a e", "Add e,one s", "Mul x,s m", "Mul m,half y"},               /* another argument */
    {"Div x,root a", "Erf a e", "Sub e,one s", "Mul x,s m", "Mul m,half y"},              /* another sum */
    {"Neg x n", "Div n,root a", "Erf a e", "Add e,one s", "Mul x,s m", "Mul m,half y"},   /* of two values */
    {"Div x,root a", "Erf a e", "Add e,one s", "Mul x,s m", "Mul m,s r", "Mul r,half y"}, /* a square */
    {"Pow x,two c", "Mul c,cube d", "Add x,d i", "Mul i,k u", "Tanh u e", "Add e,one s", "Mul x,half h", "Mul h,s y"},
    {"Tanh x e", "Add e,one s", "Mul x,half h", "Mul h,s y"},
};

/* `first` is the node that gives x; NULL: x is the input. */
static builder gelu_model(const spelling nodes, pleat_dtype dtype, const char *first) {
  static const struct {
    const char *name;
    double value;
  } constants[] = {{"root", 1.4142135623730951},
                   {"inverse", 0.70710678118654752},
                   {"one", 1},
                   {"half", 0.5},
                   {"two", 2},
                   {"three", 3},
                   {"k", 0.79788456080286536},
                   {"cube", 0.044715}};
  builder b = build_begin(8, 13);
  model_input(&b, first != NULL ? "in" : "x", dtype, "5,16");
  noise_init(&b, "w", dtype, "16,24", -0.5, 0.5);
  noise_init(&b, "bias", dtype, "24", -1, 1);
  for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
    model_init(&b, constants[i].name, dtype, "", &constants[i].value);
  if (first != NULL) model_node(&b, first, "first", "in,w,bias", "x");
  for (size_t i = 0; i < NODES && nodes[i] != NULL; i++) {
    char op[16], inputs[32], output[8];
    ck_assert_int_eq(sscanf(nodes[i], "%15s %31s %7s", op, inputs, output), 3);
    model_node(&b, op, output, inputs, output);
  }
  model_output(&b, "y", dtype, "?");
  return b;
}

static void check_spellings(const spelling *list, size_t count, const char *first, const char *op, size_t steps) {
  static const pleat_dtype types[] = {PLEAT_FLOAT, PLEAT_DOUBLE};
  for (size_t i = 0; i < count; i++) {
    for (int k = 0; k < 2; k++) {
      builder b = gelu_model(list[i], types[k], first);
      const size_t found =
          compare_runs(&b, types[k], "5,16", op, k == 0 ? 1e-6 : 1e-7); /* constants are floats there */
      ck_assert_msg(found == steps, "spelling %zu: %zu steps of %s", i, found, op);
    }
  }
}

START_TEST(one_step) {
  check_spellings(by_erf, sizeof by_erf / sizeof *by_erf, NULL, "Gelu", 1);
  check_spellings(by_tanh, sizeof by_tanh / sizeof *by_tanh, NULL, "Gelu", 1);
  check_spellings(by_erf, sizeof by_erf / sizeof *by_erf, NULL, "Erf", 0);
  check_spellings(by_tanh, sizeof by_tanh / sizeof *by_tanh, NULL, "Tanh", 0);
  check_spellings(by_tanh, sizeof by_tanh / sizeof *by_tanh, NULL, "Mul", 0);
}
END_TEST

/* The one by Erf becomes the activation of what is before it. */
START_TEST(in_a_gemm) {
  check_spellings(by_erf, sizeof by_erf / sizeof *by_erf, "Gemm", "FusedGemm", 1);
  check_spellings(by_erf, sizeof by_erf / sizeof *by_erf, "Gemm", "Gelu", 0);
  check_spellings(by_tanh, sizeof by_tanh / sizeof *by_tanh, "Gemm", "Gelu", 1);
}
END_TEST

START_TEST(only_what_it_is) {
  check_spellings(other, sizeof other / sizeof *other, NULL, "Gelu", 0);
}
END_TEST

/* What lies between is an output, or somebody else reads it. */
START_TEST(what_is_seen_stays) {
  static const char *const seen[] = {"e", "s", "m"};
  for (int i = 0; i < 6; i++) {
    builder b = gelu_model(by_erf[0], PLEAT_FLOAT, NULL);
    if (i % 2 == 0) {
      model_output(&b, seen[i / 2], PLEAT_FLOAT, "?");
    } else {
      model_node(&b, "Neg", "neg", seen[i / 2], "z");
      model_output(&b, "z", PLEAT_FLOAT, "?");
    }
    pleat_session *session = session_from(&b, (pleat_session_options){0});
    ck_assert_uint_eq(step_count(session, "Gelu"), 0);
    ck_assert_uint_eq(step_count(session, "Erf"), 1);
    pleat_session_destroy(session);
  }
}
END_TEST

/* A folded file keeps the nodes: they are of its opset. */
START_TEST(not_in_a_file) {
  builder b = gelu_model(by_erf[0], PLEAT_FLOAT, "Gemm");
  pleat_model *model = build_model(&b), *folded = fold_model(model, NULL, NULL);
  const Onnx__GraphProto *graph = folded->message->graph;
  size_t erfs = 0;
  for (size_t i = 0; i < graph->n_node; i++) {
    ck_assert_str_ne(graph->node[i]->op_type, "Gelu");
    erfs += strcmp(graph->node[i]->op_type, "Erf") == 0;
  }
  ck_assert_uint_eq(erfs, 1);
  pleat_model_release(folded);
  pleat_model_release(model);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("fold_gelu");
  add_tests(suite, "gelu",
            (const TTest *const[]){one_step, in_a_gemm, only_what_it_is, what_is_seen_stays, not_in_a_file, NULL});
  return suite;
}

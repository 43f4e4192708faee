/* Fusing in sessions: a Conv, Gemm or BatchNormalization with the sum and the activation behind it is one step, with
 * the same results as the parts (the reference kernel is the parts), and only where nobody sees what lies between. */
#include "fuse_case.h"

typedef struct activation {
  const char *op;
  float alpha, beta;
  const char *alpha_name, *beta_name;
} activation;

static const activation activations[] = {
    {"Relu", 0, 0, NULL, NULL},      {"LeakyRelu", 0.2f, 0, "alpha", NULL},
    {"Elu", 0.7f, 0, "alpha", NULL}, {"Sigmoid", 0, 0, NULL, NULL},
    {"Tanh", 0, 0, NULL, NULL},      {"HardSigmoid", 0.25f, 0.4f, "alpha", "beta"},
    {"HardSwish", 0, 0, NULL, NULL},
};

/* x -> conv -> [+ residual] -> activation -> y, in double. */
static builder conv_model(const activation *a, bool residual) {
  builder b = build_begin(8, 14);
  model_input(&b, "x", PLEAT_DOUBLE, "2,3,6,5");
  noise_init(&b, "w", PLEAT_DOUBLE, "4,3,3,3", -1, 1);
  noise_init(&b, "w2", PLEAT_DOUBLE, "4,3,1,1", -1, 1);
  noise_init(&b, "b", PLEAT_DOUBLE, "4", -1, 1);
  attr_ints(&b, model_node(&b, "Conv", "conv", "x,w,b", "c"), "pads", "1,1,1,1");
  if (residual) {
    model_node(&b, "Conv", "shortcut", "x,w2", "s");
    model_node(&b, "Add", "add", "s,c", "sum");
  }
  Onnx__NodeProto *node = model_node(&b, a->op, "act", residual ? "sum" : "c", "y");
  if (a->alpha_name != NULL) build_attr_float(&b, node, a->alpha_name, a->alpha);
  if (a->beta_name != NULL) build_attr_float(&b, node, a->beta_name, a->beta);
  model_output(&b, "y", PLEAT_DOUBLE, "?");
  return b;
}

START_TEST(conv_with_activation) {
  for (size_t i = 0; i < sizeof activations / sizeof activations[0]; i++) {
    builder b = conv_model(&activations[i], false);
    ck_assert_uint_eq(compare_runs(&b, PLEAT_DOUBLE, "2,3,6,5", "FusedConv", 0), 1);
  }
}
END_TEST

START_TEST(conv_with_residual_and_activation) {
  for (size_t i = 0; i < sizeof activations / sizeof activations[0]; i++) {
    builder b = conv_model(&activations[i], true);
    ck_assert_uint_eq(compare_runs(&b, PLEAT_DOUBLE, "2,3,6,5", "FusedConv", 0), 1);
  }
}
END_TEST

START_TEST(clip_with_bounds_as_inputs) {
  for (int which = 0; which < 3; which++) { /* both bounds, only the upper, only the lower */
    builder b = build_begin(8, 14);
    model_input(&b, "x", PLEAT_DOUBLE, "1,2,4,4");
    noise_init(&b, "w", PLEAT_DOUBLE, "3,2,3,3", -1, 1);
    model_init(&b, "low", PLEAT_DOUBLE, "", (const double[]){0});
    model_init(&b, "high", PLEAT_DOUBLE, "", (const double[]){0.5});
    model_node(&b, "Conv", "conv", "x,w", "c");
    model_node(&b, "Clip", "act", ((const char *[]){"c,low,high", "c,,high", "c,low"})[which], "y");
    model_output(&b, "y", PLEAT_DOUBLE, "?");
    ck_assert_uint_eq(compare_runs(&b, PLEAT_DOUBLE, "1,2,4,4", "FusedConv", 0), 1);
  }
}
END_TEST

/* x * Sigmoid(x), and x * HardSigmoid(x) with the constants of HardSwish. */
START_TEST(gated_activations) {
  for (int swish = 0; swish < 2; swish++) {
    builder b = build_begin(8, 14);
    model_input(&b, "x", PLEAT_DOUBLE, "1,2,4,4");
    noise_init(&b, "w", PLEAT_DOUBLE, "3,2,3,3", -1, 1);
    model_node(&b, "Conv", "conv", "x,w", "c");
    Onnx__NodeProto *gate = model_node(&b, swish ? "HardSigmoid" : "Sigmoid", "gate", "c", "g");
    if (swish) build_attr_float(&b, gate, "alpha", 1.0f / 6);
    model_node(&b, "Mul", "mul", swish ? "g,c" : "c,g", "y");
    model_output(&b, "y", PLEAT_DOUBLE, "?");
    ck_assert_uint_eq(compare_runs(&b, PLEAT_DOUBLE, "1,2,4,4", "FusedConv", 1e-7), 1);
  }
}
END_TEST

START_TEST(gemm_with_activation) {
  builder b = build_begin(8, 14);
  model_input(&b, "x", PLEAT_DOUBLE, "5,4");
  noise_init(&b, "w", PLEAT_DOUBLE, "3,4", -1, 1);
  noise_init(&b, "c", PLEAT_DOUBLE, "3", -1, 1);
  Onnx__NodeProto *gemm = model_node(&b, "Gemm", "gemm", "x,w,c", "g");
  build_attr_int(&b, gemm, "transB", 1);
  build_attr_float(&b, gemm, "alpha", 0.5f);
  model_node(&b, "Relu", "act", "g", "y");
  model_output(&b, "y", PLEAT_DOUBLE, "?");
  ck_assert_uint_eq(compare_runs(&b, PLEAT_DOUBLE, "5,4", "FusedGemm", 0), 1);
}
END_TEST

START_TEST(conv_transpose_with_activation) {
  for (size_t i = 0; i < sizeof activations / sizeof activations[0]; i++) {
    builder b = build_begin(8, 14);
    model_input(&b, "x", PLEAT_DOUBLE, "2,3,4,5");
    noise_init(&b, "w", PLEAT_DOUBLE, "3,4,3,3", -1, 1);
    noise_init(&b, "b", PLEAT_DOUBLE, "4", -1, 1);
    Onnx__NodeProto *conv = model_node(&b, "ConvTranspose", "conv", "x,w,b", "c");
    attr_ints(&b, conv, "strides", "2,2");
    attr_ints(&b, conv, "output_padding", "1,0");
    Onnx__NodeProto *node = model_node(&b, activations[i].op, "act", "c", "y");
    if (activations[i].alpha_name != NULL) build_attr_float(&b, node, activations[i].alpha_name, activations[i].alpha);
    if (activations[i].beta_name != NULL) build_attr_float(&b, node, activations[i].beta_name, activations[i].beta);
    model_output(&b, "y", PLEAT_DOUBLE, "?");
    ck_assert_uint_eq(compare_runs(&b, PLEAT_DOUBLE, "2,3,4,5", "FusedConvTranspose", 0), 1);
  }
}
END_TEST

/* BN -> Relu -> Conv: the pre-activation that cannot be folded is one step. */
START_TEST(lone_norm_with_activation) {
  builder b = build_begin(8, 15);
  model_input(&b, "x", PLEAT_DOUBLE, "2,4,3,3");
  add_parameters(&b, "", PLEAT_DOUBLE, 4);
  bn_node(&b, b.graph, "bn", "x,scale,beta,mean,var", "n", 15);
  model_node(&b, "Relu", "act", "n", "y");
  model_output(&b, "y", PLEAT_DOUBLE, "?");
  ck_assert_uint_eq(compare_runs(&b, PLEAT_DOUBLE, "2,4,3,3", "FusedBatchNormalization", 0), 1);
}
END_TEST

/* float16: the parts round after each node, the fused one once. */
START_TEST(halfs_are_widened) {
  builder b = build_begin(8, 14);
  model_input(&b, "x", PLEAT_FLOAT16, "1,2,4,4");
  noise_init(&b, "w", PLEAT_FLOAT16, "3,2,3,3", -1, 1);
  model_node(&b, "Conv", "conv", "x,w", "c");
  model_node(&b, "Sigmoid", "act", "c", "y");
  model_output(&b, "y", PLEAT_FLOAT16, "?");
  ck_assert_uint_eq(compare_runs(&b, PLEAT_FLOAT16, "1,2,4,4", "FusedConv", 2e-3), 1);
}
END_TEST

/* What lies between is an output, has another reader, or another shape: nothing is fused, or less. */
START_TEST(not_where_it_would_be_seen) {
  static const struct {
    const char *extra_output, *reader, *residual;
  } cases[] = {{"c", NULL, NULL}, {NULL, "c", NULL}, {NULL, NULL, "1,3,1,1"}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    builder b = build_begin(8, 14);
    model_input(&b, "x", PLEAT_DOUBLE, "1,2,4,4");
    noise_init(&b, "w", PLEAT_DOUBLE, "3,2,3,3", -1, 1);
    noise_init(&b, "w2", PLEAT_DOUBLE, "3,2,4,4", -1, 1);
    model_node(&b, "Conv", "conv", "x,w", "c");
    if (cases[i].residual != NULL) { /* [1,3,1,1] broadcasts: no sum of equal shapes, and so no activation either */
      model_node(&b, "Conv", "small", "x,w2", "r");
      model_node(&b, "Add", "add", "c,r", "s");
    }
    model_node(&b, "Relu", "act", cases[i].residual != NULL ? "s" : "c", "y");
    model_output(&b, "y", PLEAT_DOUBLE, "?");
    if (cases[i].extra_output != NULL) model_output(&b, "c", PLEAT_DOUBLE, "?");
    if (cases[i].reader != NULL) {
      model_node(&b, "Neg", "neg", "c", "z");
      model_output(&b, "z", PLEAT_DOUBLE, "?");
    }
    pleat_session *session = session_from(&b, (pleat_session_options){0});
    ck_assert_uint_eq(step_count(session, "FusedConv"), 0);
    pleat_session_destroy(session);
  }
}
END_TEST

/* PRelu with one slope, one a channel in either spelling: fused; with one a number, a column's, or a computed one: not.
 * Channels and windows for all kinds of kernels, or for none of the faster ones. */
START_TEST(conv_with_prelu) {
  static const struct {
    const char *slope, *w;
    int group;
    bool is_input;
    size_t fused;
  } cases[] = {
      {"", "24,6,3,3", 1, false, 1},  {"24,1,1", "24,6,3,3", 1, false, 1}, {"1,24,1,1", "24,6,1,1", 1, false, 1},
      {"1", "5,6,3,3", 1, false, 1},  {"5,1,1", "5,6,3,3", 1, false, 1},   {"6,1,1", "6,1,3,3", 6, false, 1},
      {"9", "24,6,3,3", 1, false, 0}, {"24,9,9", "24,6,3,3", 1, false, 0}, {"24,1,1", "24,6,3,3", 1, true, 0}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    const bool is_small = cases[i].w[strlen(cases[i].w) - 1] == '1';
    builder b = build_begin(8, 14);
    model_input(&b, "x", PLEAT_FLOAT, "2,6,9,9");
    noise_init(&b, "w", PLEAT_FLOAT, cases[i].w, -1, 1);
    noise_init(&b, cases[i].is_input ? "given" : "slope", PLEAT_FLOAT, cases[i].slope, -1, 1);
    if (cases[i].is_input) { /* it depends on x */
      model_node(&b, "ReduceMax", "max", "x", "most");
      model_node(&b, "Mul", "mul", "given,most", "computed");
      model_node(&b, "Reshape", "reshape", "computed,to", "slope");
      model_init(&b, "to", PLEAT_INT64, "3", (const double[]){24, 1, 1});
    }
    Onnx__NodeProto *conv = model_node(&b, "Conv", "conv", "x,w", "c");
    build_attr_int(&b, conv, "group", cases[i].group);
    attr_ints(&b, conv, "pads", is_small ? "0,0,0,0" : "1,1,1,1");
    model_node(&b, "PRelu", "act", "c,slope", "y");
    model_output(&b, "y", PLEAT_FLOAT, "?");
    const size_t fused = compare_runs(&b, PLEAT_FLOAT, "2,6,9,9", "FusedConv", 1e-5);
    ck_assert_msg(fused == cases[i].fused, "case %zu: %zu fused", i, fused);
  }
}
END_TEST

/* ---- squeeze-and-excite ---- */

typedef struct excitation {
  int channels;
  const char *project; /* window of the last convolution */
  const char *seen;    /* value that is an output as well; NULL: none */
  bool reader;         /* another one of the product */
  size_t muls, pools;  /* steps that are left */
} excitation;

/* x -> depthwise Conv -> Relu -> h -> GlobalAveragePool -> Conv -> Relu -> Conv -> Sigmoid -> s; h * s -> Conv -> y. */
static builder excitation_model(const excitation *e, pleat_dtype dtype, char *shape, size_t size) {
  char text[64];
  builder b = build_begin(8, 14);
  snprintf(shape, size, "2,%d,9,8", e->channels);
  model_input(&b, "x", dtype, shape);
  snprintf(text, sizeof text, "%d,1,3,3", e->channels);
  noise_init(&b, "w", dtype, text, -1, 1);
  snprintf(text, sizeof text, "4,%d,1,1", e->channels);
  noise_init(&b, "down", dtype, text, -0.5, 0.5);
  snprintf(text, sizeof text, "%d,4,1,1", e->channels);
  noise_init(&b, "up", dtype, text, -0.5, 0.5);
  snprintf(text, sizeof text, "20,%d,%s", e->channels, e->project);
  noise_init(&b, "project", dtype, text, -1, 1);
  Onnx__NodeProto *conv = model_node(&b, "Conv", "depthwise", "x,w", "c");
  build_attr_int(&b, conv, "group", e->channels);
  attr_ints(&b, conv, "pads", "1,1,1,1");
  model_node(&b, "Relu", "act", "c", "h");
  model_node(&b, "GlobalAveragePool", "squeeze", "h", "m");
  model_node(&b, "Conv", "fc1", "m,down", "d");
  model_node(&b, "Relu", "act1", "d", "r");
  model_node(&b, "Conv", "fc2", "r,up", "u");
  model_node(&b, "Sigmoid", "act2", "u", "s");
  model_node(&b, "Mul", "excite", e->channels % 16 == 0 ? "h,s" : "s,h", "p");
  model_node(&b, "Conv", "last", "p,project", "y");
  model_output(&b, "y", dtype, "?");
  if (e->seen != NULL) model_output(&b, e->seen, dtype, "?");
  if (e->reader) {
    model_node(&b, "Neg", "neg", "p", "z");
    model_output(&b, "z", dtype, "?");
  }
  return b;
}

/* The same numbers, whatever is fused: where the faster kernels do both (32 channels), where none does (24: not whole
 * blocks; 8: too few), and by the reference. */
START_TEST(squeeze_and_excite) {
  static const excitation cases[] = {{.channels = 32, .project = "1,1"},
                                     {.channels = 24, .project = "1,1"},
                                     {.channels = 8, .project = "1,1"},
                                     {.channels = 32, .project = "2,2", .muls = 1}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    for (int k = 0; k < 2; k++) {
      char shape[32];
      const pleat_dtype dtype = k == 0 ? PLEAT_DOUBLE : PLEAT_FLOAT;
      builder b = excitation_model(&cases[i], dtype, shape, sizeof shape);
      const size_t muls = compare_runs(&b, dtype, shape, "Mul", k == 0 ? 0 : 1e-5);
      ck_assert_uint_eq(muls, k == 0 ? 1 : cases[i].muls);
    }
  }
}
END_TEST

/* The product, or the mean, is wanted elsewhere. */
START_TEST(squeeze_and_excite_that_is_seen) {
  static const excitation cases[] = {{.channels = 32, .project = "1,1"},
                                     {.channels = 32, .project = "1,1", .seen = "p", .muls = 1},
                                     {.channels = 32, .project = "1,1", .reader = true, .muls = 1},
                                     {.channels = 32, .project = "1,1", .seen = "m"},
                                     {.channels = 32, .project = "1,1", .seen = "h"}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char shape[32];
    builder b = excitation_model(&cases[i], PLEAT_FLOAT, shape, sizeof shape);
    pleat_session *session = session_from(&b, (pleat_session_options){0});
    ck_assert_uint_eq(step_count(session, "Mul"), cases[i].muls);
    ck_assert_uint_eq(step_count(session, "GlobalAveragePool"), cases[i].pools);
    pleat_session_destroy(session);
  }
}
END_TEST

static Onnx__NodeProto *pad_node(builder *b, const char *pads, double value) {
  double amounts[8];
  sscanf(pads, "%lf,%lf,%lf,%lf,%lf,%lf,%lf,%lf", &amounts[0], &amounts[1], &amounts[2], &amounts[3], &amounts[4],
         &amounts[5], &amounts[6], &amounts[7]);
  model_init(b, "pads", PLEAT_INT64, "8", amounts);
  model_init(b, "fill", PLEAT_DOUBLE, "", &value);
  return model_node(b, "Pad", "pad", "x,pads,fill", "p");
}

/* Pad -> Conv: fused where it is zeros on spatial axes, else left alone; the values agree in any case. */
START_TEST(pad_before_conv) {
  static const struct {
    const char *pads;
    double value;
    const char *own, *auto_pad;
    size_t pads_left;
  } cases[] = {
      {"0,0,1,2,0,0,3,0", 0, NULL, NULL, 0},    {"0,0,1,2,0,0,3,0", 0, "1,0,0,2", NULL, 0},
      {"0,0,1,1,0,0,1,1", 0, NULL, "VALID", 0}, {"0,0,1,1,0,0,1,1", 0, NULL, "SAME_UPPER", 1},
      {"0,0,1,1,0,0,1,1", 0.5, NULL, NULL, 1},  {"0,0,-1,0,0,0,0,0", 0, NULL, NULL, 1},
      {"1,0,1,1,0,0,1,1", 0, NULL, NULL, 1},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    builder b = build_begin(8, 14);
    model_input(&b, "x", PLEAT_DOUBLE, "1,2,5,6");
    noise_init(&b, "w", PLEAT_DOUBLE, "3,2,3,3", -1, 1);
    pad_node(&b, cases[i].pads, cases[i].value);
    Onnx__NodeProto *conv = model_node(&b, "Conv", "conv", "p,w", "y");
    if (cases[i].own != NULL) attr_ints(&b, conv, "pads", cases[i].own);
    if (cases[i].auto_pad != NULL) attr_text(&b, conv, "auto_pad", cases[i].auto_pad);
    model_output(&b, "y", PLEAT_DOUBLE, "?");
    ck_assert_uint_eq(compare_runs(&b, PLEAT_DOUBLE, "1,2,5,6", "Pad", 1e-13), cases[i].pads_left);
  }
}
END_TEST

/* A MaxPool's own padding is not zeros: the Pad stays. */
START_TEST(pad_before_pool_stays) {
  builder b = build_begin(8, 14);
  model_input(&b, "x", PLEAT_DOUBLE, "1,2,5,6");
  pad_node(&b, "0,0,1,1,0,0,1,1", 0);
  attr_ints(&b, model_node(&b, "MaxPool", "pool", "p", "y"), "kernel_shape", "2,2");
  model_output(&b, "y", PLEAT_DOUBLE, "?");
  ck_assert_uint_eq(compare_runs(&b, PLEAT_DOUBLE, "1,2,5,6", "Pad", 0), 1);
}
END_TEST

/* MatMul -> Add of a row -> Relu in float: one FusedGemm. A column, or rank 3, is left. */
START_TEST(matmul_with_bias) {
  static const struct {
    const char *x, *bias;
    size_t gemms;
  } cases[] = {{"5,4", "3", 1}, {"5,4", "1,3", 1}, {"5,4", "5,1", 0}, {"2,5,4", "3", 0}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    builder b = build_begin(8, 14);
    model_input(&b, "x", PLEAT_FLOAT, cases[i].x);
    noise_init(&b, "w", PLEAT_FLOAT, "4,3", -1, 1);
    noise_init(&b, "c", PLEAT_FLOAT, cases[i].bias, -1, 1);
    model_node(&b, "MatMul", "matmul", "x,w", "m");
    model_node(&b, "Add", "add", i % 2 == 0 ? "m,c" : "c,m", "s");
    model_node(&b, "Relu", "act", "s", "y");
    model_output(&b, "y", PLEAT_FLOAT, "?");
    ck_assert_uint_eq(compare_runs(&b, PLEAT_FLOAT, cases[i].x, "FusedGemm", 1e-6), cases[i].gemms);
  }
}
END_TEST

/* ---- ConvInteger ---- */

/* x -> ConvInteger of `channels` x 3 x 3 -> Cast -> Mul -> Relu -> y; the sums are an output as well, or not. */
static builder integer_model(int channels, bool zero_points, bool seen) {
  char shape[32];
  builder b = build_begin(8, 14);
  snprintf(shape, sizeof shape, "1,%d,6,5", channels);
  model_input(&b, "x", PLEAT_UINT8, shape);
  snprintf(shape, sizeof shape, "4,%d,3,3", channels);
  noise_init(&b, "w", PLEAT_INT8, shape, -128, 127);
  model_init(&b, "xz", PLEAT_UINT8, "", (const double[]){10});
  model_init(&b, "wz", PLEAT_INT8, "", (const double[]){3});
  model_init(&b, "scale", PLEAT_FLOAT, "", (const double[]){0x1p-7}); /* folded without rounding */
  attr_ints(&b, model_node(&b, "ConvInteger", "conv", zero_points ? "x,w,xz,wz" : "x,w", "sums"), "pads", "1,1,1,1");
  build_attr_int(&b, model_node(&b, "Cast", "", "sums", "f"), "to", PLEAT_FLOAT);
  model_node(&b, "Mul", "", "f,scale", "m");
  model_node(&b, "Relu", "", "m", "y");
  model_output(&b, "y", PLEAT_FLOAT, "?");
  if (seen) model_output(&b, "sums", PLEAT_INT32, "?");
  return b;
}

/* How many steps of `op_type` there are, folded; the output is that of the integers. */
static size_t integer_steps(int channels, bool zero_points, bool seen, const char *op_type) {
  const int64_t dims[] = {1, channels, 6, 5};
  builder b = integer_model(channels, zero_points, seen);
  pleat_model *model = build_model(&b);
  pleat_session *folded = session_with(model, (pleat_session_options){.threads = 2, .exact = true});
  pleat_session *plain = session_with(model, (pleat_session_options){.no_fold = true, .threads = 2});
  pleat_tensor *found[2], *expected[2];
  uint8_t values[1024];
  uint32_t state = 5;
  for (size_t i = 0; i < sizeof values; i++) values[i] = (uint8_t)noise(&state, 0, 256);
  run_session(folded, (pleat_tensor *[]){make_dims(PLEAT_UINT8, 4, dims, values)}, found);
  run_session(plain, (pleat_tensor *[]){make_dims(PLEAT_UINT8, 4, dims, values)}, expected);
  const size_t count = step_count(folded, op_type);
  for (size_t i = 0; i <= (size_t)seen; i++) {
    assert_same(found[i], expected[i], 0);
    pleat_tensor_release(found[i]);
    pleat_tensor_release(expected[i]);
  }
  pleat_session_destroy(folded);
  pleat_session_destroy(plain);
  pleat_model_release(model);
  return count;
}

START_TEST(conv_integer) {
  for (int zero_points = 0; zero_points < 2; zero_points++) {
    ck_assert_uint_eq(integer_steps(3, zero_points == 1, false, "FusedConv"), 1);
    /* 252 products are below the limit. (Sub may become a bias of its own behind the Conv.) */
    ck_assert_uint_eq(integer_steps(28, zero_points == 1, false, "ConvInteger"), 0);
  }
}
END_TEST

/* An Expand to the other operand's shape goes; one that the result's shape, or somebody else, needs stays. */
START_TEST(expand_before_broadcast) {
  static const double same[] = {2, 3, 4, 5}, part[] = {2, 3, 4, 1};
  static const struct {
    const char *op, *inputs, *x;
    const double *shape;
    bool is_output;
    size_t expands_left;
  } cases[] = {
      {"PRelu", "x,e", "2,3,4,5", same, false, 0}, {"Mul", "e,x", "2,3,4,5", same, false, 0},
      {"Sub", "x,e", "2,3,4,5", part, false, 1},   {"Add", "x,e", "1,3,4,5", same, false, 1},
      {"Mul", "e,e", "2,3,4,5", same, false, 1},   {"Add", "x,e", "2,3,4,5", same, true, 1},
      {"Max", "x,e", "2,3,4,5", same, false, 1},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    builder b = build_begin(8, 16);
    model_input(&b, "x", PLEAT_DOUBLE, cases[i].x);
    model_init(&b, "shape", PLEAT_INT64, "4", cases[i].shape);
    model_node(&b, "GlobalAveragePool", "pool", "x", "p");
    model_node(&b, "Expand", "expand", "p,shape", cases[i].is_output ? "y" : "e");
    model_node(&b, cases[i].op, "op", cases[i].is_output ? "x,y" : cases[i].inputs, cases[i].is_output ? "z" : "y");
    model_output(&b, "y", PLEAT_DOUBLE, "?");
    ck_assert_uint_eq(compare_runs(&b, PLEAT_DOUBLE, cases[i].x, "Expand", 0), cases[i].expands_left);
  }
}
END_TEST

/* Sums that floats cannot hold, or that somebody sees, are computed as integers. */
START_TEST(conv_integer_stays) {
  ck_assert_uint_eq(integer_steps(29, true, false, "ConvInteger"), 1);
  ck_assert_uint_eq(integer_steps(3, true, true, "ConvInteger"), 1);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("fold_fuse");
  add_tests(suite, "fused",
            (const TTest *const[]){conv_with_activation, conv_with_residual_and_activation, clip_with_bounds_as_inputs,
                                   gated_activations, conv_transpose_with_activation, gemm_with_activation,
                                   lone_norm_with_activation, halfs_are_widened, not_where_it_would_be_seen,
                                   pad_before_conv, pad_before_pool_stays, matmul_with_bias, conv_integer,
                                   conv_integer_stays, expand_before_broadcast, conv_with_prelu, squeeze_and_excite,
                                   squeeze_and_excite_that_is_seen, NULL});
  return suite;
}

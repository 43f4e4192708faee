/* RNN, GRU and LSTM: a state that goes through a sequence, forwards, backwards or both ways.
 *
 * Every (direction, sequence of the batch) is on its own, so threads share them out and the order of every sum is
 * fixed. Gates lie in W, R and B in the order of the specification: GRU z, r, h; LSTM i, o, f, c. A sequence that ends
 * before the longest leaves zeros in Y and its own last state in Y_h. Source: ONNX's operator documents. */
#include <math.h>
#include <string.h>
#include <strings.h>

#include "core/checked.h"
#include "core/parallel.h"
#include "ops/recurrent.h"

typedef pleat_recurrent recurrent;
typedef pleat_recurrent_function function;

static const struct {
  const char *name;
  int parameters; /* 1: alpha; 2: alpha and beta */
  function defaults;
} functions[] = {{"Relu", 0, {PLEAT_FUNCTION_RELU, 0, 0}},
                 {"Tanh", 0, {PLEAT_FUNCTION_TANH, 0, 0}},
                 {"Sigmoid", 0, {PLEAT_FUNCTION_SIGMOID, 0, 0}},
                 {"Affine", 2, {PLEAT_FUNCTION_AFFINE, 1, 0}},
                 {"LeakyRelu", 1, {PLEAT_FUNCTION_LEAKY_RELU, 0.01f, 0}},
                 {"ThresholdedRelu", 1, {PLEAT_FUNCTION_THRESHOLDED_RELU, 1, 0}},
                 {"ScaledTanh", 2, {PLEAT_FUNCTION_SCALED_TANH, 1, 1}},
                 {"HardSigmoid", 2, {PLEAT_FUNCTION_HARD_SIGMOID, 0.2f, 0.5f}},
                 {"Elu", 1, {PLEAT_FUNCTION_ELU, 1, 0}},
                 {"Softsign", 0, {PLEAT_FUNCTION_SOFTSIGN, 0, 0}},
                 {"Softplus", 0, {PLEAT_FUNCTION_SOFTPLUS, 0, 0}}};
enum { FUNCTION_COUNT = sizeof functions / sizeof functions[0] };

double pleat_recurrent_apply(const function *f, double clip, double x) {
  if (clip > 0) x = x > clip ? clip : x < -clip ? -clip : x;
  switch (f->kind) {
  case PLEAT_FUNCTION_RELU:
    return x > 0 ? x : 0;
  case PLEAT_FUNCTION_TANH:
    return tanh(x);
  case PLEAT_FUNCTION_SIGMOID:
    return 1 / (1 + exp(-x));
  case PLEAT_FUNCTION_AFFINE:
    return f->alpha * x + f->beta;
  case PLEAT_FUNCTION_LEAKY_RELU:
    return x >= 0 ? x : f->alpha * x;
  case PLEAT_FUNCTION_THRESHOLDED_RELU:
    return x > f->alpha ? x : 0;
  case PLEAT_FUNCTION_SCALED_TANH:
    return f->alpha * tanh(f->beta * x);
  case PLEAT_FUNCTION_HARD_SIGMOID:
    return fmin(fmax(f->alpha * x + f->beta, 0), 1);
  case PLEAT_FUNCTION_ELU:
    return x >= 0 ? x : f->alpha * (exp(x) - 1);
  case PLEAT_FUNCTION_SOFTSIGN:
    return x / (1 + fabs(x));
  case PLEAT_FUNCTION_SOFTPLUS:
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
  }
  return x;
}

#define PLEAT_TEMPLATE "ops/recurrent.inc"
#define PLEAT_TEMPLATE_FLOATS
#include "ops/template.h"

/* ---- attributes ---- */

static pleat_status find_function(const char *name, size_t length, size_t *out_index, pleat_error *error) {
  for (size_t i = 0; i < FUNCTION_COUNT; i++) {
    *out_index = i;
    if (strlen(functions[i].name) == length && strncasecmp(functions[i].name, name, length) == 0) return PLEAT_OK;
  }
  return pleat_fail(error, PLEAT_UNSUPPORTED, "activation '%.*s' is not known", (int)length, name);
}

/* Names as given or the defaults; alpha and beta are taken in order by the functions that have them. */
static pleat_status read_functions(const pleat_node *node, recurrent *r, pleat_error *error) {
  static const char *const defaults[][PLEAT_RECURRENT_FUNCTIONS] = {
      [PLEAT_RNN] = {"Tanh"}, [PLEAT_GRU] = {"Sigmoid", "Tanh"}, [PLEAT_LSTM] = {"Sigmoid", "Tanh", "Tanh"}};
  const size_t each = r->kind == PLEAT_LSTM ? 3 : r->kind == PLEAT_GRU ? 2 : 1;
  const pleat_attr *names = pleat_node_attr(node, "activations");
  const float *alphas = NULL, *betas = NULL;
  size_t alpha_count = pleat_attr_floats(node, "activation_alpha", &alphas), alpha = 0;
  size_t beta_count = pleat_attr_floats(node, "activation_beta", &betas), beta = 0;
  if (names != NULL && (names->type != PLEAT_ATTR_STRINGS || names->count == 0)) names = NULL;
  if (names != NULL && names->count < r->directions * each) {
    return pleat_fail(error, PLEAT_MALFORMED_MODEL, "%zu activations are given, expected %zu", names->count,
                      r->directions * each);
  }
  for (size_t i = 0; i < r->directions * each; i++) {
    const char *name = names != NULL ? names->strings[i].data : defaults[r->kind][i % each];
    size_t index = 0;
    PLEAT_TRY(find_function(name, names != NULL ? names->strings[i].size : strlen(name), &index, error));
    function *f = &r->f[i / each][i % each];
    *f = functions[index].defaults;
    if (functions[index].parameters >= 1 && alpha < alpha_count) f->alpha = (double)alphas[alpha++];
    if (functions[index].parameters >= 2 && beta < beta_count) f->beta = (double)betas[beta++];
  }
  return PLEAT_OK;
}

static pleat_status read_direction(const pleat_node *node, size_t *out_directions, bool *out_backward,
                                   pleat_error *error) {
  const char *direction = pleat_attr_string(node, "direction");
  *out_directions = strcmp(direction, "bidirectional") == 0 ? 2 : 1;
  *out_backward = strcmp(direction, "reverse") == 0;
  if (*out_directions == 2 || *out_backward || strcmp(direction, "forward") == 0) return PLEAT_OK;
  return pleat_fail(error, PLEAT_MALFORMED_MODEL, "direction is '%s', expected forward, reverse or bidirectional",
                    direction);
}

/* ---- inference ---- */

/* Input `i`, when it is there, has these dimensions as far as they are known. */
static pleat_status check_shape(const pleat_infer *ctx, size_t i, const char *name, int rank, const pleat_dim *dims) {
  char expected[256], found[256];
  if (!pleat_infer_has(ctx, i) || ctx->inputs[i].shape.rank < 0) return PLEAT_OK;
  pleat_shape shape = pleat_shape_of_rank(rank), merged;
  for (int d = 0; d < rank; d++) shape.dims[d] = dims[d];
  if (ctx->inputs[i].shape.rank == rank && pleat_shape_merge(&ctx->inputs[i].shape, &shape, &merged)) return PLEAT_OK;
  return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "input %s: expected %s, found %s", name,
                    pleat_shape_text(&shape, expected, sizeof expected),
                    pleat_shape_text(&ctx->inputs[i].shape, found, sizeof found));
}

static pleat_dim times(int64_t factor, pleat_dim dim) {
  int64_t product;
  if (!pleat_dim_is_known(dim) || __builtin_mul_overflow(factor, dim.value, &product)) return pleat_dim_unknown();
  return pleat_dim_known(product);
}

static pleat_dim dim_of(const pleat_type *type, int rank, int d) {
  return type->shape.rank == rank ? type->shape.dims[d] : pleat_dim_unknown();
}

static pleat_status infer(pleat_infer *ctx) {
  const int gates = (int)ctx->version->flags;
  const bool batch_first = pleat_attr_int(ctx->node, "layout") != 0;
  const int64_t stated = pleat_attr_int(ctx->node, "hidden_size");
  size_t count = 0;
  bool backward = false;
  PLEAT_TRY(read_direction(ctx->node, &count, &backward, ctx->error));
  const pleat_dim directions = pleat_dim_known((int64_t)count);
  const pleat_dim hidden = stated > 0 ? pleat_dim_known(stated) : dim_of(&ctx->inputs[2], 3, 2);
  const pleat_dim first = dim_of(&ctx->inputs[0], 3, 0), second = dim_of(&ctx->inputs[0], 3, 1);
  const pleat_dim input = dim_of(&ctx->inputs[0], 3, 2);
  const pleat_dim length = batch_first ? second : first, batch = batch_first ? first : second;
  const pleat_dim any = pleat_dim_unknown();
  const pleat_dim state[3] = {batch_first ? batch : directions, batch_first ? directions : batch, hidden};
  PLEAT_TRY(check_shape(ctx, 0, "X", 3, (const pleat_dim[]){any, any, any}));
  PLEAT_TRY(check_shape(ctx, 1, "W", 3, (const pleat_dim[]){directions, times(gates, hidden), input}));
  PLEAT_TRY(check_shape(ctx, 2, "R", 3, (const pleat_dim[]){directions, times(gates, hidden), hidden}));
  PLEAT_TRY(check_shape(ctx, 3, "B", 2, (const pleat_dim[]){directions, times(2 * gates, hidden)}));
  PLEAT_TRY(check_shape(ctx, 4, "sequence_lens", 1, &batch));
  PLEAT_TRY(check_shape(ctx, 5, "initial_h", 3, state));
  if (gates == PLEAT_LSTM) {
    PLEAT_TRY(check_shape(ctx, 6, "initial_c", 3, state));
    PLEAT_TRY(check_shape(ctx, 7, "P", 2, (const pleat_dim[]){directions, times(3, hidden)}));
  }
  for (size_t i = 0; i < ctx->output_count; i++) {
    pleat_type *out = pleat_infer_out(ctx, i);
    if (out == NULL) continue;
    out->dtype = ctx->inputs[0].dtype;
    out->shape = pleat_shape_of_rank(i == 0 ? 4 : 3);
    const pleat_dim whole[4] = {batch_first ? batch : length, batch_first ? length : directions,
                                batch_first ? directions : batch, hidden};
    for (int d = 0; d < out->shape.rank; d++) out->shape.dims[d] = i == 0 ? whole[d] : state[d];
  }
  return PLEAT_OK;
}

static double macs(const pleat_infer *ctx) {
  const pleat_shape *x = &ctx->inputs[0].shape, *w = &ctx->inputs[1].shape, *r = &ctx->inputs[2].shape;
  const double rows = (double)w->dims[0].value * (double)w->dims[1].value;
  return (double)x->dims[0].value * (double)x->dims[1].value * rows *
         ((double)x->dims[2].value + (double)r->dims[2].value);
}

/* ---- the kernel ---- */

pleat_status pleat_recurrent_read(const pleat_call *call, recurrent *r) {
  const pleat_node *node = call->node;
  const pleat_tensor *x = call->inputs[0];
  r->kind = (int)call->version->flags;
  PLEAT_TRY(read_direction(node, &r->directions, &r->backward_first, call->error));
  PLEAT_TRY(read_functions(node, r, call->error));
  r->batch_first = pleat_attr_int(node, "layout") != 0;
  r->length = (size_t)x->dims[r->batch_first ? 1 : 0];
  r->batch = (size_t)x->dims[r->batch_first ? 0 : 1];
  r->input = (size_t)x->dims[2];
  r->hidden = (size_t)call->inputs[2]->dims[2];
  r->linear_before_reset = pleat_attr_int(node, "linear_before_reset") != 0;
  r->couple_forget = pleat_attr_int(node, "input_forget") != 0;
  r->clip = (double)pleat_attr_float(node, "clip");
  const pleat_tensor *lengths = pleat_in(call, 4);
  if (lengths != NULL && lengths->dtype != PLEAT_INT32) {
    return pleat_fail(call->error, PLEAT_SHAPE_MISMATCH, "sequence_lens must be int32, found %s",
                      pleat_dtype_name(lengths->dtype));
  }
  return PLEAT_OK;
}

static pleat_status prepare(pleat_call *call) {
  recurrent *r = pleat_call_state(call, sizeof *r);
  if (r == NULL) return PLEAT_OOM(call->error);
  PLEAT_TRY(pleat_recurrent_read(call, r));
  /* Gates, and the state before and after: for each direction and sequence. */
  size_t bytes = pleat_dtype_size(call->inputs[0]->dtype);
  if (!pleat_mul_size(bytes, r->directions * (size_t)(r->kind + 3), &bytes) ||
      !pleat_mul_size(bytes, r->batch, &bytes) || !pleat_mul_size(bytes, r->hidden, &call->workspace_size)) {
    return pleat_fail(call->error, PLEAT_OUT_OF_MEMORY, "the states of this shape overflow memory");
  }
  return PLEAT_OK;
}

pleat_status pleat_recurrent_check_lengths(const pleat_call *call, const recurrent *r) {
  const pleat_tensor *lengths = pleat_in(call, 4);
  for (size_t b = 0; lengths != NULL && b < r->batch; b++) {
    const int32_t length = ((const int32_t *)lengths->data)[b];
    if (length >= 0 && (size_t)length <= r->length) continue;
    return pleat_fail(call->error, PLEAT_SHAPE_MISMATCH, "sequence %zu is %d long, expected 0 to %zu", b, (int)length,
                      r->length);
  }
  return PLEAT_OK;
}

static pleat_status run(const pleat_call *call) {
  const recurrent *r = call->state;
  PLEAT_TRY(pleat_recurrent_check_lengths(call, r));
  PLEAT_SWITCH_FLOATS(call->inputs[0]->dtype, (void), recurrent_run, (call, r))
  return PLEAT_OK;
}

static const pleat_kernel reference = {
    .name = "reference", .types = PLEAT_M_FLOATS, .flags = PLEAT_KERNEL_WIDEN, .prepare = prepare, .run = run};
static const pleat_kernel *const kernels[] = {&pleat_recurrent_product, &reference, NULL};

#define COMMON_ATTRS                                                                                                   \
  {.name = "activation_alpha", .type = PLEAT_ATTR_FLOATS}, {.name = "activation_beta", .type = PLEAT_ATTR_FLOATS},     \
      {.name = "activations", .type = PLEAT_ATTR_STRINGS}, {.name = "clip", .type = PLEAT_ATTR_FLOAT},                 \
      {.name = "direction", .type = PLEAT_ATTR_STRING, .s = "forward"},                                                \
      {.name = "hidden_size", .type = PLEAT_ATTR_INT}, {.name = "layout", .type = PLEAT_ATTR_INT, .since = 14}, {      \
    .name = "output_sequence", .type = PLEAT_ATTR_INT, .until = 3                                                      \
  }

static const pleat_op_attr rnn_attrs[] = {COMMON_ATTRS, {0}};
static const pleat_op_attr gru_attrs[] = {
    COMMON_ATTRS, {.name = "linear_before_reset", .type = PLEAT_ATTR_INT, .since = 3}, {0}};
static const pleat_op_attr lstm_attrs[] = {COMMON_ATTRS, {.name = "input_forget", .type = PLEAT_ATTR_INT}, {0}};

static const pleat_op_version rnn_versions[] = {{1, 3, 6, 0, 2, PLEAT_M_FLOATS, PLEAT_RNN},
                                                {7, 3, 6, 0, 2, PLEAT_M_FLOATS, PLEAT_RNN},
                                                {14, 3, 6, 0, 2, PLEAT_M_FLOATS, PLEAT_RNN},
                                                {22, 3, 6, 0, 2, PLEAT_M_FLOATS, PLEAT_RNN},
                                                {0}};
static const pleat_op_version gru_versions[] = {
    {1, 3, 6, 0, 2, PLEAT_M_FLOATS, PLEAT_GRU},  {3, 3, 6, 0, 2, PLEAT_M_FLOATS, PLEAT_GRU},
    {7, 3, 6, 0, 2, PLEAT_M_FLOATS, PLEAT_GRU},  {14, 3, 6, 0, 2, PLEAT_M_FLOATS, PLEAT_GRU},
    {22, 3, 6, 0, 2, PLEAT_M_FLOATS, PLEAT_GRU}, {0}};
static const pleat_op_version lstm_versions[] = {{1, 3, 8, 0, 3, PLEAT_M_FLOATS, PLEAT_LSTM},
                                                 {7, 3, 8, 0, 3, PLEAT_M_FLOATS, PLEAT_LSTM},
                                                 {14, 3, 8, 0, 3, PLEAT_M_FLOATS, PLEAT_LSTM},
                                                 {22, 3, 8, 0, 3, PLEAT_M_FLOATS, PLEAT_LSTM},
                                                 {0}};

/* Each sequence is on its own; what there is one of for each must come from the samples, or be left out. */
static const char *apart(const pleat_infer *whole, const pleat_role *roles) {
  static const bool of_sequence[] = {[0] = true, [4] = true, [5] = true, [6] = true}; /* X, lengths, initial_h and _c */
  if (pleat_attr_int(whole->node, "layout") == 0) return "it runs along the samples";
  for (size_t i = 0; i < whole->input_count; i++) {
    const bool has_samples = i < sizeof of_sequence / sizeof *of_sequence && of_sequence[i];
    if (roles[i] != PLEAT_ROLE_ABSENT && roles[i] != (has_samples ? PLEAT_ROLE_SAMPLES : PLEAT_ROLE_SHARED))
      return has_samples ? "an input is not of the samples" : "an input that all samples share comes from the samples";
  }
  return NULL;
}

#define DEFINITION(op, table, attributes)                                                                              \
  const pleat_op_def pleat_op_##op = {.domain = "",                                                                    \
                                      .name = #op,                                                                     \
                                      .versions = table,                                                               \
                                      .attrs = attributes,                                                             \
                                      .infer = infer,                                                                  \
                                      .apart = apart,                                                                  \
                                      .kernels = kernels,                                                              \
                                      .macs = macs}
DEFINITION(RNN, rnn_versions, rnn_attrs);
DEFINITION(GRU, gru_versions, gru_attrs);
DEFINITION(LSTM, lstm_versions, lstm_attrs);

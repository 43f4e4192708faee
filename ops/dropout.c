/* Dropout. For inference it hands its input on, as a view unless the mask is wanted too; the mask is all true. Before
 * opset 12 a model cannot surely ask for training (`is_test` of opsets 1 and 6 defaults to 0 in models meant to be
 * run), so those opsets always mean inference.
 *
 * From opset 12 on, training_mode = true with a ratio above 0 drops elements. The random numbers are those of numpy's
 * RandomState(seed).random_sample(), which ONNX's own test vectors are made with: the Mersenne Twister MT19937 with
 * 53-bit doubles (Matsumoto and Nishimura, 1998). Without the attribute `seed` it is 0: the same run gives the same
 * bits. */
#include "ops/movement.h"

enum { MASK_BOOL = 1u << 0, TRAINING = 1u << 1 };

#define TYPES (PLEAT_M_FLOATS | PLEAT_M_FLOAT8)
static const pleat_op_version versions[] = {{1, 1, 1, 1, 2, TYPES, 0},
                                            {6, 1, 1, 1, 2, TYPES, 0},
                                            {7, 1, 1, 1, 2, TYPES, 0},
                                            {10, 1, 1, 1, 2, TYPES, MASK_BOOL},
                                            {12, 1, 3, 1, 2, TYPES, MASK_BOOL | TRAINING},
                                            {13, 1, 3, 1, 2, TYPES, MASK_BOOL | TRAINING},
                                            {22, 1, 3, 1, 2, TYPES, MASK_BOOL | TRAINING},
                                            {0}};
static const pleat_op_attr attrs[] = {{.name = "consumed_inputs", .type = PLEAT_ATTR_INTS, .until = 5},
                                      {.name = "is_test", .type = PLEAT_ATTR_INT, .until = 6},
                                      {.name = "ratio", .type = PLEAT_ATTR_FLOAT, .f = 0.5f, .until = 11},
                                      {.name = "seed", .type = PLEAT_ATTR_INT, .since = 12},
                                      {0}};

static pleat_status infer(pleat_infer *ctx) {
  PLEAT_TRY(pleat_require_tensors(ctx));
  const pleat_type *in = &ctx->inputs[0];
  ctx->outputs[0].dtype = in->dtype;
  ctx->outputs[0].shape = in->shape;
  pleat_type *mask = pleat_infer_out(ctx, 1);
  if (mask == NULL) return PLEAT_OK;
  mask->dtype = ctx->version->flags & MASK_BOOL ? PLEAT_BOOL : in->dtype;
  mask->shape = in->shape;
  return PLEAT_OK;
}

/* ---- MT19937 ---- */

enum { MT_SIZE = 624, MT_SHIFT = 397 };
typedef struct twister {
  uint32_t words[MT_SIZE];
  int next;
} twister;

static void twister_seed(twister *t, uint32_t seed) {
  for (uint32_t i = 0; i < MT_SIZE; i++) {
    t->words[i] = seed;
    seed = 1812433253u * (seed ^ seed >> 30) + i + 1;
  }
  t->next = MT_SIZE;
}

static void twister_refill(twister *t) {
  for (int i = 0; i < MT_SIZE; i++) {
    uint32_t mixed = (t->words[i] & 0x80000000u) | (t->words[(i + 1) % MT_SIZE] & 0x7fffffffu);
    t->words[i] = t->words[(i + MT_SHIFT) % MT_SIZE] ^ mixed >> 1 ^ (mixed & 1 ? 0x9908b0dfu : 0);
  }
  t->next = 0;
}

static uint32_t twister_word(twister *t) {
  if (t->next == MT_SIZE) twister_refill(t);
  uint32_t y = t->words[t->next++];
  y ^= y >> 11;
  y ^= y << 7 & 0x9d2c5680u;
  y ^= y << 15 & 0xefc60000u;
  return y ^ y >> 18;
}

/* Uniform in [0, 1). */
static double twister_double(twister *t) {
  uint32_t high = twister_word(t) >> 5, low = twister_word(t) >> 6;
  return (high * 67108864.0 + low) / 9007199254740992.0;
}

/* ---- kernels ---- */

/* Whether elements are dropped, and at what ratio. `out_known` false: that is only known while running. */
static pleat_status read_mode(const pleat_call *call, bool *out_known, double *out_ratio) {
  const pleat_tensor *ratio = pleat_in(call, 1), *training = pleat_in(call, 2);
  *out_known = true;
  *out_ratio = 0;
  if (!(call->version->flags & TRAINING) || training == NULL) return PLEAT_OK;
  if (training->count != 1 || training->dtype != PLEAT_BOOL)
    return pleat_fail(call->error, PLEAT_SHAPE_MISMATCH, "training_mode: expected one bool, found %zu of type %s",
                      training->count, pleat_dtype_name(training->dtype));
  if (ratio != NULL && (ratio->count != 1 || ratio->dtype == PLEAT_STRING))
    return pleat_fail(call->error, PLEAT_SHAPE_MISMATCH, "ratio: expected one number, found %zu of type %s",
                      ratio->count, pleat_dtype_name(ratio->dtype));
  *out_known = training->data != NULL && (ratio == NULL || ratio->data != NULL);
  if (!*out_known || !*(const uint8_t *)training->data) return PLEAT_OK;
  *out_ratio = ratio == NULL ? 0.5 : pleat_load_f64(ratio->dtype, ratio->data, 0);
  if (!(*out_ratio >= 0 && *out_ratio < 1))
    return pleat_fail(call->error, PLEAT_INVALID_ARGUMENT, "ratio: expected 0 <= ratio < 1, found %g", *out_ratio);
  return PLEAT_OK;
}

static const char *view_supports(const pleat_call *call) {
  if (pleat_out(call, 1) != NULL) return "the mask is wanted";
  pleat_call quiet = *call;
  quiet.error = NULL;
  bool known = false;
  double ratio = 0;
  if (read_mode(&quiet, &known, &ratio) != PLEAT_OK || !known) return "whether it trains is only known while running";
  return ratio > 0 ? "it drops elements" : NULL;
}

static void mask_all_true(pleat_tensor *mask, int threads) {
  union {
    char bytes[16];
    double number;
  } one = {{0}};
  pleat_store_f64(mask->dtype, &one, 0, 1.0);
  pleat_fill(pleat_dtype_size(mask->dtype), mask->data, mask->count, &one, threads);
}

static pleat_status run(const pleat_call *call) {
  const pleat_tensor *in = pleat_in(call, 0);
  pleat_tensor *out = pleat_out(call, 0), *mask = pleat_out(call, 1);
  bool known = false;
  double ratio = 0;
  PLEAT_TRY(read_mode(call, &known, &ratio));
  if (ratio == 0) {
    if (mask != NULL) mask_all_true(mask, call->threads);
    return pleat_copy_run(call);
  }
  twister random;
  twister_seed(&random, (uint32_t)pleat_attr_int(call->node, "seed"));
  double scale = 1.0 / (1.0 - ratio);
  for (size_t i = 0; i < in->count; i++) {
    bool keep = twister_double(&random) >= ratio;
    if (mask != NULL) pleat_store_f64(mask->dtype, mask->data, i, keep);
    if (out != NULL)
      pleat_store_f64(out->dtype, out->data, i, keep ? pleat_load_f64(in->dtype, in->data, i) * scale : 0.0);
  }
  return PLEAT_OK;
}

static const pleat_kernel view = {
    .name = "view", .flags = PLEAT_KERNEL_VIEW, .inplace = 1, .supports = view_supports, .run = pleat_copy_run};
static const pleat_kernel reference = {.name = "reference", .inplace = 1, .run = run};
/* Random numbers are drawn in the order of all elements. */
static const char *apart(const pleat_infer *whole, const pleat_role *roles) {
  const bool may_train = (whole->version->flags & TRAINING) != 0 && pleat_infer_has(whole, 2);
  const pleat_tensor *training = may_train ? whole->inputs[2].data : NULL;
  if (may_train && (training == NULL || training->count != 1 || *(const uint8_t *)training->data != 0))
    return "it draws random numbers for one sample after the other";
  return pleat_apart_first(whole, roles);
}

const pleat_op_def pleat_op_Dropout = {.name = "Dropout",
                                       .domain = "",
                                       .versions = versions,
                                       .attrs = attrs,
                                       .infer = infer,
                                       .apart = apart,
                                       .kernels = (const pleat_kernel *const[]){&view, &reference, NULL}};

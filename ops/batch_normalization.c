/* BatchNormalization: y = (x - mean) / sqrt(variance + epsilon) * scale + bias, by channel.
 *
 * From the ONNX specification and Ioffe and Szegedy, "Batch Normalization" (2015). In inference mode, mean and variance
 * are inputs; in training mode they are the batch's own, joint over samples and positions (the population variance),
 * and running statistics are updated. Either way each channel is one affine map, worked out in double and rounded once.
 * batch_normalization.h says which mode a node is in. */
#include "ops/batch_normalization.h"

#include <inttypes.h>
#include <math.h>

#include "core/checked.h"
#include "ops/kernels.h"

enum { SCALE = 1, BIAS, MEAN, VARIANCE };
enum { RUNNING_MEAN = 1, RUNNING_VARIANCE, SAVED_MEAN, SAVED_VARIANCE };
enum { /* flags of versions */
       HAS_SPATIAL = 1u << 0,
       HAS_TRAINING_MODE = 1u << 1, /* inference has no output but Y */
       MIXED_TYPES = 1u << 2        /* scale and bias, and mean and variance, have types of their own */
};

/* X seen as [batch, channels, plane]. */
typedef struct norm {
  int64_t batch, channels, plane;
  double epsilon, momentum;
  bool training;
} norm;

typedef struct stats {
  double mean, variance;
} stats;

/* spatial 0: statistics of every activation, joint over the samples only. */
static bool is_by_activation(const pleat_node *node, const pleat_op_version *version) {
  return (version->flags & HAS_SPATIAL) != 0 && pleat_attr_int(node, "spatial") == 0;
}

static double parameter(const pleat_call *call, size_t input, int64_t channel) {
  return pleat_load_f64(call->inputs[input]->dtype, call->inputs[input]->data, (size_t)channel);
}

static void store(const pleat_call *call, size_t output, int64_t channel, double value) {
  pleat_tensor *tensor = pleat_out(call, output);
  if (tensor != NULL) pleat_store_f64(tensor->dtype, tensor->data, (size_t)channel, value);
}

/* The statistics' outputs: running ones from those given and those of the batch, and the batch's own. */
static void store_stats(const norm *norm, const pleat_call *call, int64_t channel, const stats *given,
                        const stats *batch) {
  const double keep = norm->training ? norm->momentum : 1, take = norm->training ? 1 - norm->momentum : 0;
  if (call->output_count == 1) return;
  store(call, RUNNING_MEAN, channel, take == 0 ? given->mean : given->mean * keep + batch->mean * take);
  store(call, RUNNING_VARIANCE, channel, take == 0 ? given->variance : given->variance * keep + batch->variance * take);
  store(call, SAVED_MEAN, channel, batch->mean);
  store(call, SAVED_VARIANCE, channel, batch->variance);
}

#define PLEAT_TEMPLATE "batch_normalization.inc"
#define PLEAT_TEMPLATE_FLOATS
#include "ops/template.h"

/* ---- inference ---- */

/* How many channels, or activations, have parameters of their own. A vector X is one channel. */
static pleat_dim channels_of(const pleat_infer *ctx) {
  const pleat_shape *x = &ctx->inputs[0].shape;
  if (x->rank < 0) return pleat_dim_unknown();
  if (x->rank == 1) return pleat_dim_known(1);
  return is_by_activation(ctx->node, ctx->version) ? pleat_shape_product(x, 1, x->rank) : x->dims[1];
}

static pleat_status check_parameters(const pleat_infer *ctx, pleat_dim channels) {
  static const char *const names[] = {"X", "scale", "B", "mean", "var"};
  for (size_t i = SCALE; i <= VARIANCE; i++) {
    const pleat_type *type = &ctx->inputs[i];
    /* Any shape of the right size: version 1 to 8 with spatial 0 is found flattened and not. */
    pleat_dim count =
        type->shape.rank < 0 ? pleat_dim_unknown() : pleat_shape_product(&type->shape, 0, type->shape.rank);
    if (pleat_dim_is_known(count) && pleat_dim_is_known(channels) && count.value != channels.value)
      return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH,
                        "input %s: expected %" PRId64 " elements (one for each channel of X), found %" PRId64, names[i],
                        channels.value, count.value);
    size_t like = (ctx->version->flags & MIXED_TYPES) == 0 ? 0 : i < MEAN ? SCALE : MEAN;
    pleat_dtype expected = ctx->inputs[like].dtype;
    if (type->dtype != PLEAT_UNDEFINED && (PLEAT_M(type->dtype) & PLEAT_M_FLOATS) == 0)
      return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "input %s: expected a floating-point type, found %s",
                        names[i], pleat_dtype_name(type->dtype));
    if (type->dtype != PLEAT_UNDEFINED && expected != PLEAT_UNDEFINED && type->dtype != expected)
      return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "input %s: expected type %s like input %s, found %s",
                        names[i], pleat_dtype_name(expected), names[like], pleat_dtype_name(type->dtype));
  }
  return PLEAT_OK;
}

static pleat_status infer(pleat_infer *ctx) {
  const pleat_shape *x = &ctx->inputs[0].shape;
  const pleat_dim channels = channels_of(ctx);
  if (x->rank == 0)
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "input X: expected at least one dimension, found a scalar");
  PLEAT_TRY(check_parameters(ctx, channels));
  for (size_t i = RUNNING_MEAN; i < ctx->output_count; i++) {
    pleat_type *out = pleat_infer_out(ctx, i);
    if (out == NULL) continue;
    out->dtype = ctx->inputs[MEAN].dtype;
    out->shape = ctx->inputs[MEAN].shape;
    if (out->shape.rank < 0 && pleat_dim_is_known(channels) && !is_by_activation(ctx->node, ctx->version))
      out->shape = pleat_shape_of(1, &channels.value);
  }
  if ((ctx->version->flags & HAS_TRAINING_MODE) != 0 && pleat_bn_has_statistics(ctx->node) &&
      !pleat_bn_is_training(ctx->node))
    return pleat_fail(
        ctx->error, PLEAT_MALFORMED_MODEL,
        "outputs besides Y exist in training mode only: set attribute 'training_mode' to 1 or remove them");
  return pleat_infer_same(ctx);
}

static double macs(const pleat_infer *ctx) {
  pleat_dim count = pleat_shape_product(&ctx->inputs[0].shape, 0, ctx->inputs[0].shape.rank);
  return pleat_dim_is_known(count) ? (double)count.value : 0;
}

/* ---- the kernel ---- */

static pleat_status prepare(pleat_call *call) {
  const pleat_tensor *x = call->inputs[0];
  norm *norm = pleat_call_state(call, sizeof *norm);
  if (norm == NULL) return PLEAT_OOM(call->error);
  norm->training = pleat_bn_is_training(call->node);
  norm->epsilon = (double)pleat_attr_float(call->node, "epsilon");
  norm->momentum = (double)pleat_attr_float(call->node, "momentum");
  norm->channels = (int64_t)call->inputs[SCALE]->count;
  norm->batch = x->rank == 1 ? 1 : x->dims[0];
  norm->plane = 1;
  int from = is_by_activation(call->node, call->version) ? x->rank : 2;
  if (x->rank == 1) from = 0;
  for (int i = from; i < x->rank && x->count > 0; i++) norm->plane *= x->dims[i];
  if (x->count == 0) norm->batch = 0;
  size_t values = 0;
  if (!pleat_mul_size((size_t)norm->channels, 2 * pleat_dtype_size(x->dtype), &values)) return PLEAT_OOM(call->error);
  call->workspace_size = values;
  return PLEAT_OK;
}

static pleat_status run(const pleat_call *call) {
  PLEAT_SWITCH_FLOATS(call->inputs[0]->dtype, , run, (call->state, call))
  return PLEAT_OK;
}

/* ---- definition ---- */

#define TYPES (PLEAT_M_F32 | PLEAT_M_F64 | PLEAT_M(PLEAT_FLOAT16))
#define VERSION(opset, most_outputs, mask, bits)                                                                       \
  {                                                                                                                    \
    .since = opset, .min_inputs = 5, .max_inputs = 5, .min_outputs = 1, .max_outputs = most_outputs, .types = mask,    \
    .flags = bits                                                                                                      \
  }

static const pleat_op_version versions[] = {VERSION(1, 5, TYPES, HAS_SPATIAL),
                                            VERSION(6, 5, TYPES, HAS_SPATIAL),
                                            VERSION(7, 5, TYPES, HAS_SPATIAL),
                                            VERSION(9, 5, TYPES, 0),
                                            VERSION(14, 3, PLEAT_M_FLOATS, HAS_TRAINING_MODE | MIXED_TYPES),
                                            VERSION(15, 3, PLEAT_M_FLOATS, HAS_TRAINING_MODE | MIXED_TYPES),
                                            {0}};

static const pleat_op_attr attrs[] = {{.name = "consumed_inputs", .type = PLEAT_ATTR_INTS, .until = 5},
                                      {.name = "epsilon", .type = PLEAT_ATTR_FLOAT, .f = 1e-5f},
                                      {.name = "is_test", .type = PLEAT_ATTR_INT, .until = 6},
                                      {.name = "momentum", .type = PLEAT_ATTR_FLOAT, .f = 0.9f},
                                      {.name = "spatial", .type = PLEAT_ATTR_INT, .until = 8, .i = 1},
                                      {.name = "training_mode", .type = PLEAT_ATTR_INT, .since = 14},
                                      {0}};

static const pleat_kernel reference = {.name = "reference",
                                       .types = PLEAT_M_FLOATS,
                                       .flags = PLEAT_KERNEL_WIDEN,
                                       .inplace = 1u << 0,
                                       .prepare = prepare,
                                       .run = run};
static const pleat_kernel *const kernels[] = {
    PLEAT_X86_KERNEL(pleat_x86_batch_normalization) PLEAT_ONEDNN_KERNEL(pleat_onednn_batch_normalization) & reference,
    NULL};

static const char *apart(const pleat_infer *whole, const pleat_role *roles) {
  return pleat_bn_is_training(whole->node) ? "its statistics are of the whole batch" : pleat_apart_first(whole, roles);
}

const pleat_op_def pleat_op_BatchNormalization = {.domain = "",
                                                  .name = "BatchNormalization",
                                                  .versions = versions,
                                                  .attrs = attrs,
                                                  .infer = infer,
                                                  .apart = apart,
                                                  .kernels = kernels,
                                                  .macs = macs};

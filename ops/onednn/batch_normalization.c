/* BatchNormalization and pleat.FusedBatchNormalization with Relu, in inference mode with constant parameters, in the
 * input's layout. Each channel is one affine map, worked out in double and rounded once as the reference does, and
 * applied by oneDNN with mean 0, variance 0 and an epsilon of 1: with an epsilon of 0 the channels that fill up the
 * last block, whose variance is 0, would become NaN. */
#include <math.h>
#include <string.h>

#include "ops/batch_normalization.h"
#include "ops/onednn/onednn.h"

enum { INPUT_X, INPUT_SCALE, INPUT_BIAS, INPUT_MEAN, INPUT_VARIANCE };

static bool has_relu(const pleat_call *call) {
  return strcmp(pleat_attr_string(call->node, "activation"), "Relu") == 0;
}

static const char *refuse(const pleat_call *call) {
  const char *reason = pleat_dnn_refuse(call, 2, 5);
  if (reason != NULL) return reason;
  if (strcmp(pleat_attr_string(call->node, "activation"), "") != 0 && !has_relu(call))
    return "not with this activation";
  if (pleat_bn_is_training(call->node)) return "training mode";
  if (pleat_bn_has_statistics(call->node)) return "statistics are asked for";
  for (size_t i = INPUT_SCALE; i <= INPUT_VARIANCE; i++) {
    if (call->inputs[i]->data == NULL) return "parameters that are not constant";
    if ((int64_t)call->inputs[i]->count != call->inputs[INPUT_X]->dims[1]) return "parameters by activation";
  }
  return NULL;
}

static double parameter(const pleat_call *call, size_t input, size_t channel) {
  return pleat_load_f64(call->inputs[input]->dtype, call->inputs[input]->data, channel);
}

/* Scales, then shifts; the statistics that change nothing, zeros, come behind them. */
static float *make_parameters(pleat_call *call, size_t channels) {
  const double epsilon = (double)pleat_attr_float(call->node, "epsilon");
  float *made = pleat_dnn_floats(call, 4 * channels);
  for (size_t c = 0; made != NULL && c < channels; c++) {
    const double scale = parameter(call, INPUT_SCALE, c) / sqrt(parameter(call, INPUT_VARIANCE, c) + epsilon);
    made[c] = (float)scale;
    made[channels + c] = (float)(parameter(call, INPUT_BIAS, c) - parameter(call, INPUT_MEAN, c) * scale);
  }
  return made;
}

static pleat_status prepare(pleat_call *call) {
  const pleat_tensor *x = call->inputs[INPUT_X];
  const int64_t channels = x->dims[1], pair[] = {2, channels};
  const dnnl_memory_desc_t md = pleat_dnn_md(x), both = pleat_dnn_plain(2, pair), one = pleat_dnn_plain(1, &channels);
  const unsigned flags = dnnl_use_global_stats | dnnl_use_scaleshift | (has_relu(call) ? dnnl_fuse_norm_relu : 0);
  dnnl_batch_normalization_desc_t op;
  dnnl_primitive_desc_t pd = NULL;
  if (pleat_dnn_state(call, sizeof(pleat_dnn)) == NULL) return PLEAT_OOM(call->error);
  float *made = make_parameters(call, (size_t)channels);
  if (made == NULL) return PLEAT_OOM(call->error);
  PLEAT_TRY(pleat_dnn_input(call, DNNL_ARG_SRC, INPUT_X, &md));
  PLEAT_TRY(pleat_dnn_fixed(call, DNNL_ARG_SCALE_SHIFT, made, &both));
  PLEAT_TRY(pleat_dnn_fixed(call, DNNL_ARG_MEAN, made + 2 * channels, &one));
  PLEAT_TRY(pleat_dnn_fixed(call, DNNL_ARG_VARIANCE, made + 3 * channels, &one));
  PLEAT_TRY(pleat_dnn_output(call, DNNL_ARG_DST, 0, &md));
  PLEAT_TRY(pleat_dnn_status(dnnl_batch_normalization_forward_desc_init(&op, dnnl_forward_inference, &md, 1, flags),
                             "describing a normalization", call->error));
  PLEAT_TRY(pleat_dnn_describe(call, &op, pleat_dnn_attr(NULL), &pd));
  return pleat_dnn_build(call, pd);
}

static pleat_status norm_prepare(pleat_call *call) {
  return pleat_dnn_prepare(call, prepare);
}

const pleat_kernel pleat_onednn_batch_normalization = {.name = "onednn",
                                                       .types = PLEAT_M_F32,
                                                       .flags = PLEAT_KERNEL_LAYOUTS | PLEAT_KERNEL_BF16,
                                                       .inplace = 1u << INPUT_X,
                                                       .supports = refuse,
                                                       .prepare = norm_prepare,
                                                       PLEAT_DNN_FUNCTIONS};

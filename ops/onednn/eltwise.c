/* Element-wise functions of one tensor by oneDNN's eltwise, in the input's layout.
 *
 * oneDNN's Relu and Clip take a comparison's other side for NaN: Relu(NaN) is 0 here as it is in ONNX Runtime; the
 * specification leaves it open. */
#include <string.h>

#include "ops/clip.h"
#include "ops/onednn/onednn.h"

typedef struct function {
  const char *op;
  dnnl_alg_kind_t algorithm;
  bool alpha; /* oneDNN's alpha is the operator's */
} function;

static const function functions[] = {
    {"Abs", dnnl_eltwise_abs, false},          {"Clip", dnnl_eltwise_clip_v2, false},
    {"Elu", dnnl_eltwise_elu, true},           {"Exp", dnnl_eltwise_exp, false},
    {"Gelu", dnnl_eltwise_gelu_erf, false},    {"HardSwish", dnnl_eltwise_hardswish, false},
    {"LeakyRelu", dnnl_eltwise_relu, true},    {"Relu", dnnl_eltwise_relu, false},
    {"Sigmoid", dnnl_eltwise_logistic, false}, {"Sqrt", dnnl_eltwise_sqrt, false},
    {"Tanh", dnnl_eltwise_tanh, false}};

static const function *find(const char *op) {
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    if (strcmp(functions[i].op, op) == 0) return &functions[i];
  }
  return NULL;
}

static const char *refuse(const pleat_call *call) {
  const char *reason = pleat_dnn_refuse(call, 1, PLEAT_MAX_RANK);
  float low, high;
  if (reason != NULL) return reason;
  if (find(call->node->op_type) == NULL) return "not this function";
  if (strcmp(call->node->op_type, "Clip") == 0) {
    if (!pleat_clip_bounds(call, &low, &high)) return "the bounds are not constant";
    if (!(low <= high)) return "the bounds cross";
  }
  if (call->inputs[0]->data != NULL) return "a constant";
  return NULL;
}

static pleat_status prepare(pleat_call *call) {
  const function *function = find(call->node->op_type);
  const pleat_tensor *x = call->inputs[0];
  const int64_t count = (int64_t)x->count;
  const bool is_dense = x->layout == NULL || x->layout->block == 1;
  const dnnl_memory_desc_t row = pleat_dnn_as_bf16(pleat_dnn_plain(1, &count), pleat_layout_is_bf16(x->layout));
  const dnnl_memory_desc_t md = is_dense ? row : pleat_dnn_md(x);
  dnnl_alg_kind_t algorithm = function->algorithm;
  float alpha = function->alpha ? pleat_attr_float(call->node, "alpha") : 0, beta = 0;
  dnnl_eltwise_desc_t op;
  dnnl_primitive_desc_t pd = NULL;
  if (pleat_dnn_state(call, sizeof(pleat_dnn)) == NULL) return PLEAT_OOM(call->error);
  if (algorithm == dnnl_eltwise_clip_v2) (void)pleat_clip_bounds(call, &alpha, &beta);
  if (algorithm == dnnl_eltwise_gelu_erf && strcmp(pleat_attr_string(call->node, "approximate"), "tanh") == 0)
    algorithm = dnnl_eltwise_gelu_tanh;
  PLEAT_TRY(pleat_dnn_input(call, DNNL_ARG_SRC, 0, &md));
  PLEAT_TRY(pleat_dnn_output(call, DNNL_ARG_DST, 0, &md));
  PLEAT_TRY(pleat_dnn_status(dnnl_eltwise_forward_desc_init(&op, dnnl_forward_inference, algorithm, &md, alpha, beta),
                             "describing an element-wise function", call->error));
  PLEAT_TRY(pleat_dnn_describe(call, &op, pleat_dnn_attr(NULL), &pd));
  return pleat_dnn_build(call, pd);
}

static pleat_status eltwise_prepare(pleat_call *call) {
  return pleat_dnn_prepare(call, prepare);
}

const pleat_kernel pleat_onednn_eltwise = {.name = "onednn",
                                           .types = PLEAT_M_F32,
                                           .flags = PLEAT_KERNEL_LAYOUTS | PLEAT_KERNEL_BF16,
                                           .inplace = 1u,
                                           .supports = refuse,
                                           .prepare = eltwise_prepare,
                                           PLEAT_DNN_FUNCTIONS};

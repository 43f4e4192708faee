/* LRN across an odd number of channels, in the input's layout. oneDNN has the same formula:
 * y = x / (bias + alpha / size * sum of squares)^beta. */
#include "ops/onednn/onednn.h"

static const char *refuse(const pleat_call *call) {
  const char *reason = pleat_dnn_refuse(call, 4, 4);
  if (reason != NULL) return reason;
  return pleat_attr_int(call->node, "size") % 2 == 1 ? NULL : "an even number of channels is not symmetric";
}

static pleat_status prepare(pleat_call *call) {
  const dnnl_memory_desc_t md = pleat_dnn_md(call->inputs[0]);
  dnnl_lrn_desc_t op;
  dnnl_primitive_desc_t pd = NULL;
  if (pleat_dnn_state(call, sizeof(pleat_dnn)) == NULL) return PLEAT_OOM(call->error);
  PLEAT_TRY(pleat_dnn_input(call, DNNL_ARG_SRC, 0, &md));
  PLEAT_TRY(pleat_dnn_output(call, DNNL_ARG_DST, 0, &md));
  PLEAT_TRY(pleat_dnn_status(
      dnnl_lrn_forward_desc_init(&op, dnnl_forward_inference, dnnl_lrn_across_channels, &md,
                                 pleat_attr_int(call->node, "size"), pleat_attr_float(call->node, "alpha"),
                                 pleat_attr_float(call->node, "beta"), pleat_attr_float(call->node, "bias")),
      "describing an LRN", call->error));
  PLEAT_TRY(pleat_dnn_describe(call, &op, pleat_dnn_attr(NULL), &pd));
  return pleat_dnn_build(call, pd);
}

static pleat_status lrn_prepare(pleat_call *call) {
  return pleat_dnn_prepare(call, prepare);
}

const pleat_kernel pleat_onednn_lrn = {.name = "onednn",
                                       .types = PLEAT_M_F32,
                                       .flags = PLEAT_KERNEL_LAYOUTS,
                                       .supports = refuse,
                                       .prepare = lrn_prepare,
                                       PLEAT_DNN_FUNCTIONS};

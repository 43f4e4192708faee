/* Softmax and LogSoftmax of dense tensors along the last axis (before opset 13: all from the axis on), seen as
 * [rows, columns]. oneDNN 2 has only reference code for other axes. */
#include <string.h>

#include "ops/onednn/onednn.h"
#include "ops/slices.h"

static const char *refuse(const pleat_call *call) {
  const char *reason = pleat_dnn_refuse(call, 1, PLEAT_MAX_RANK);
  if (reason != NULL) return reason;
  if (strcmp(call->node->op_type, "Hardmax") == 0) return "not this function";
  return NULL;
}

static pleat_status prepare(pleat_call *call) {
  const pleat_tensor *x = call->inputs[0];
  const bool coerce = call->version->since < 13; /* dimensions from the axis on count as one */
  const pleat_attr *attr = pleat_node_attr(call->node, "axis");
  const int64_t wanted = attr != NULL ? attr->i : coerce ? 1 : -1;
  int axis = x->rank;
  dnnl_softmax_v2_desc_t op;
  dnnl_primitive_desc_t pd = NULL;
  if (pleat_dnn_state(call, sizeof(pleat_dnn)) == NULL) return PLEAT_OOM(call->error);
  if (!(coerce && wanted == x->rank) && !pleat_axis(wanted, x->rank, &axis))
    return pleat_fail(call->error, PLEAT_INTERNAL, "an axis that is out of range got past inference");
  const pleat_slices s = pleat_slices_of(x, axis, coerce ? x->rank : axis + 1);
  if (s.inner != 1) return pleat_fail(call->error, PLEAT_UNSUPPORTED, "only along the last axis");
  const int64_t dims[] = {(int64_t)s.outer, (int64_t)s.n};
  const dnnl_memory_desc_t md = pleat_dnn_plain(2, dims);
  PLEAT_TRY(pleat_dnn_input(call, DNNL_ARG_SRC, 0, &md));
  PLEAT_TRY(pleat_dnn_output(call, DNNL_ARG_DST, 0, &md));
  PLEAT_TRY(pleat_dnn_status(dnnl_softmax_v2_forward_desc_init(
                                 &op, dnnl_forward_inference,
                                 strcmp(call->node->op_type, "Softmax") == 0 ? dnnl_softmax_accurate : dnnl_softmax_log,
                                 &md, &md, 1),
                             "describing a softmax", call->error));
  PLEAT_TRY(pleat_dnn_describe(call, &op, pleat_dnn_attr(NULL), &pd));
  return pleat_dnn_build(call, pd);
}

static pleat_status softmax_prepare(pleat_call *call) {
  return pleat_dnn_prepare(call, prepare);
}

const pleat_kernel pleat_onednn_softmax = {.name = "onednn",
                                           .types = PLEAT_M_F32,
                                           .flags = PLEAT_KERNEL_LAYOUTS,
                                           .inplace = 1u,
                                           .supports = refuse,
                                           .prepare = softmax_prepare,
                                           PLEAT_DNN_FUNCTIONS};

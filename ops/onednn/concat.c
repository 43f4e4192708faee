/* Concat of tensors in a blocked layout: when every part fills its blocks, or the axis is not that of channels, the
 * result has the parts' layout. Tensors that are all dense are left to the reference kernel, which copies as well. */
#include "ops/onednn/onednn.h"

static const char *refuse(const pleat_call *call) {
  const char *reason = pleat_dnn_refuse(call, 3, 5);
  if (reason != NULL) return reason;
  for (size_t i = 0; i < call->input_count; i++) {
    if (call->inputs[i]->layout != NULL) return NULL;
  }
  return "all tensors are dense";
}

/* The first layout that all parts can take; NULL: there is none. */
static const pleat_layout *common_layout(const pleat_call *call, int axis) {
  for (size_t i = 0; i < call->input_count; i++) {
    const pleat_layout *layout = call->inputs[i]->layout;
    bool fits = layout != NULL;
    for (size_t k = 0; fits && axis == 1 && k < call->input_count; k++)
      fits = pleat_layout_channels(layout, call->inputs[k]->dims[1]) == call->inputs[k]->dims[1];
    if (fits) return layout;
  }
  return NULL;
}

static pleat_status prepare(pleat_call *call) {
  const size_t count = call->input_count;
  const int rank = call->outputs[0]->rank;
  dnnl_primitive_desc_t pd = NULL;
  int axis = 0;
  if (pleat_dnn_state(call, sizeof(pleat_dnn)) == NULL) return PLEAT_OOM(call->error);
  (void)pleat_axis(pleat_attr_int(call->node, "axis"), rank, &axis);
  const pleat_layout *layout = common_layout(call, axis);
  if (layout == NULL)
    return pleat_fail(call->error, PLEAT_UNSUPPORTED, "parts that do not fill their blocks of channels");
  const dnnl_memory_desc_t dst = pleat_dnn_in(layout, rank, call->outputs[0]->dims);
  dnnl_memory_desc_t *parts = pleat_arena_array(call->arena, count, sizeof *parts);
  if (parts == NULL) return PLEAT_OOM(call->error);
  for (size_t i = 0; i < count; i++) {
    parts[i] = pleat_dnn_in(layout, rank, call->inputs[i]->dims);
    PLEAT_TRY(pleat_dnn_input(call, DNNL_ARG_MULTIPLE_SRC + (int)i, i, &parts[i]));
  }
  PLEAT_TRY(pleat_dnn_output(call, DNNL_ARG_DST, 0, &dst));
  dnnl_primitive_attr_t attr = pleat_dnn_attr(NULL);
  if (attr == NULL) return PLEAT_OOM(call->error);
  const int before = pleat_dnn_enter(call->threads);
  dnnl_status_t status =
      dnnl_concat_primitive_desc_create(&pd, &dst, (int)count, axis, parts, attr, pleat_dnn_engine());
  pleat_dnn_leave(before);
  dnnl_primitive_attr_destroy(attr);
  PLEAT_TRY(pleat_dnn_status(status, "describing a concatenation", call->error));
  return pleat_dnn_build(call, pd);
}

static pleat_status concat_prepare(pleat_call *call) {
  return pleat_dnn_prepare(call, prepare);
}

const pleat_kernel pleat_onednn_concat = {.name = "onednn",
                                          .types = PLEAT_M_F32,
                                          .flags = PLEAT_KERNEL_LAYOUTS,
                                          .supports = refuse,
                                          .prepare = concat_prepare,
                                          PLEAT_DNN_FUNCTIONS};

/* Resize and Upsample of tensors in a physical layout, nearest and linear, by its resampling.
 *
 * oneDNN knows one mapping: half pixels, rounded to nearest, over the ratio of sizes. Nearest is taken whenever
 * that reads the same positions as the operator's own tables say (all usual ways to enlarge by a whole number do);
 * linear when the operator asks for just that mapping. */
#include <math.h>

#include "ops/onednn/onednn.h"
#include "ops/resize.h"

/* Empty roi and scales are how nodes leave them out: not a reason to refuse. */
static const char *refuse(const pleat_call *call) {
  pleat_call view = *call;
  view.input_count = 1;
  const char *reason = pleat_dnn_refuse(&view, 3, 5);
  if (reason != NULL) return reason;
  if (call->inputs[0]->layout == NULL) return "a dense tensor";
  for (size_t i = 1; i < call->input_count; i++) {
    if (call->inputs[i] != NULL && call->inputs[i]->count > 0 && call->inputs[i]->data == NULL)
      return "sizes that are not constant";
  }
  return NULL;
}

static bool same_positions(const pleat_resize_axis *axis) {
  if (axis->identity) return true;
  for (int64_t o = 0; o < axis->out; o++) {
    const float position = ((float)o + 0.5f) * (float)axis->in / (float)axis->out - 0.5f;
    if (axis->count[o] != 1 || axis->outside[o] || axis->begin[o] != (int64_t)roundf(position)) return false;
  }
  return true;
}

static bool is_half_pixel_linear(const pleat_resize *resize, int axis) {
  const bool mapping = resize->coordinates == PLEAT_RESIZE_HALF_PIXEL ||
                       (resize->coordinates == PLEAT_RESIZE_PYTORCH_HALF_PIXEL && resize->out[axis] > 1);
  return mapping && !resize->antialias && !resize->exclude_outside &&
         resize->scale[axis] * (double)resize->in[axis] == (double)resize->out[axis];
}

static pleat_status check_axis(const pleat_call *call, const pleat_resize *resize, int axis) {
  static const char *const other = "another mapping than oneDNN's";
  pleat_resize_axis table;
  size_t size = 0;
  if (resize->out[axis] == resize->in[axis] && resize->scale[axis] == 1) return PLEAT_OK;
  if (axis < 2) return pleat_fail(call->error, PLEAT_UNSUPPORTED, "batch or channels are resized");
  if (resize->mode == PLEAT_RESIZE_LINEAR && is_half_pixel_linear(resize, axis)) return PLEAT_OK;
  if (resize->mode != PLEAT_RESIZE_NEAREST || resize->coordinates == PLEAT_RESIZE_TF_CROP_AND_RESIZE)
    return pleat_fail(call->error, PLEAT_UNSUPPORTED, "%s", other);
  if (!pleat_resize_axis_size(resize, axis, &size)) return PLEAT_OOM(call->error);
  void *memory = pleat_arena_alloc(call->arena, size);
  if (memory == NULL) return PLEAT_OOM(call->error);
  pleat_resize_axis_build(resize, axis, memory, &table);
  return same_positions(&table) ? PLEAT_OK : pleat_fail(call->error, PLEAT_UNSUPPORTED, "%s", other);
}

static pleat_status prepare(pleat_call *call) {
  const pleat_tensor *x = call->inputs[0];
  const dnnl_memory_desc_t src = pleat_dnn_md(x);
  const dnnl_memory_desc_t any =
      pleat_dnn_as_bf16(pleat_dnn_any(x->rank, call->outputs[0]->dims), src.data_type == dnnl_bf16);
  pleat_resize_operand operands[3];
  pleat_resize resize;
  dnnl_resampling_desc_t op;
  dnnl_primitive_desc_t pd = NULL;
  if (pleat_dnn_state(call, sizeof(pleat_dnn)) == NULL) return PLEAT_OOM(call->error);
  for (int i = 0; i < 3; i++) operands[i] = pleat_resize_call_operand(call, i);
  PLEAT_TRY(pleat_resize_parse(call->node, call->version, x->rank, x->dims, operands, &resize, call->error));
  for (int i = 0; i < x->rank; i++) PLEAT_TRY(check_axis(call, &resize, i));
  PLEAT_TRY(pleat_dnn_status(dnnl_resampling_forward_desc_init(
                                 &op, dnnl_forward_inference,
                                 resize.mode == PLEAT_RESIZE_NEAREST ? dnnl_resampling_nearest : dnnl_resampling_linear,
                                 NULL, &src, &any),
                             "describing a resize", call->error));
  PLEAT_TRY(pleat_dnn_describe(call, &op, pleat_dnn_attr(NULL), &pd));
  const dnnl_memory_desc_t dst = *dnnl_primitive_desc_query_md(pd, dnnl_query_dst_md, 0);
  pleat_status status = pleat_dnn_input(call, DNNL_ARG_SRC, 0, &src);
  if (status == PLEAT_OK) status = pleat_dnn_output(call, DNNL_ARG_DST, 0, &dst);
  if (status == PLEAT_OK) return pleat_dnn_build(call, pd);
  dnnl_primitive_desc_destroy(pd);
  return status;
}

static pleat_status resize_prepare(pleat_call *call) {
  return pleat_dnn_prepare(call, prepare);
}

const pleat_kernel pleat_onednn_resize = {.name = "onednn",
                                          .types = PLEAT_M_F32,
                                          .flags = PLEAT_KERNEL_LAYOUTS | PLEAT_KERNEL_BF16,
                                          .supports = refuse,
                                          .prepare = resize_prepare,
                                          PLEAT_DNN_FUNCTIONS};

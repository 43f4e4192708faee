/* MaxPool, AveragePool, GlobalMaxPool, GlobalAveragePool, and ReduceMean over all spatial axes, by oneDNN's pooling.
 * The result has the input's layout. */
#include <string.h>

#include "ops/axes.h"
#include "ops/conv_shape.h"
#include "ops/onednn/onednn.h"

static bool is_op(const pleat_call *call, const char *name) {
  return strcmp(call->node->op_type, name) == 0;
}

static bool is_global(const pleat_call *call) {
  return is_op(call, "GlobalMaxPool") || is_op(call, "GlobalAveragePool") || is_op(call, "ReduceMean");
}

static bool includes_padding(const pleat_call *call) {
  return is_op(call, "AveragePool") && pleat_attr_int(call->node, "count_include_pad") != 0;
}

/* The window in its final form; pad_end reaches what ceil_mode adds. */
static pleat_status read_window(const pleat_call *call, pleat_window *window) {
  const pleat_tensor *x = call->inputs[0], *y = call->outputs[0];
  const pleat_shape shape = pleat_shape_of(x->rank, x->dims);
  pleat_dim sizes[PLEAT_MAX_SPATIAL];
  if (is_global(call)) {
    *window = (pleat_window){.spatial = x->rank - 2};
    for (int i = 0; i < window->spatial; i++) {
      window->kernel[i] = x->dims[2 + i];
      window->stride[i] = window->dilation[i] = 1;
    }
    return PLEAT_OK;
  }
  PLEAT_TRY(pleat_window_parse(call->node, x->rank - 2, window, call->error));
  PLEAT_TRY(pleat_window_output(window, &shape, sizes, call->error));
  for (int i = 0; i < window->spatial; i++) {
    const int64_t covered = (y->dims[2 + i] - 1) * window->stride[i] + pleat_window_extent(window, i);
    const int64_t reach = covered - x->dims[2 + i] - window->pad_begin[i];
    if (includes_padding(call) && reach > window->pad_end[i])
      return pleat_fail(call->error, PLEAT_UNSUPPORTED, "what ceil_mode adds would count in the average");
    if (reach > window->pad_end[i]) window->pad_end[i] = reach;
    if (window->pad_begin[i] >= pleat_window_extent(window, i) || window->pad_end[i] >= pleat_window_extent(window, i))
      return pleat_fail(call->error, PLEAT_UNSUPPORTED, "a window that lies in the padding");
  }
  return PLEAT_OK;
}

static const char *refuse(const pleat_call *call) {
  if (pleat_out(call, 1) != NULL) return "indices are asked for";
  return pleat_dnn_refuse(call, 3, 5);
}

static pleat_status prepare(pleat_call *call) {
  const pleat_tensor *x = call->inputs[0], *y = call->outputs[0];
  const bool max = is_op(call, "MaxPool") || is_op(call, "GlobalMaxPool");
  const dnnl_memory_desc_t src = pleat_dnn_md(x);
  dnnl_dims_t stride, kernel, holes, begin, end, y_dims;
  dnnl_pooling_v2_desc_t op;
  dnnl_primitive_desc_t pd = NULL;
  pleat_window window;
  if (pleat_dnn_state(call, sizeof(pleat_dnn)) == NULL) return PLEAT_OOM(call->error);
  PLEAT_TRY(read_window(call, &window));
  for (int i = 0; i < window.spatial; i++) {
    stride[i] = window.stride[i];
    kernel[i] = window.kernel[i];
    holes[i] = window.dilation[i] - 1;
    begin[i] = window.pad_begin[i];
    end[i] = window.pad_end[i];
  }
  for (int i = 0; i < x->rank; i++) y_dims[i] = i < 2 ? x->dims[i] : is_global(call) ? 1 : y->dims[i];
  const bool is_dense = x->layout == NULL || x->layout->block == 1;
  const dnnl_memory_desc_t like = is_dense ? pleat_dnn_plain(x->rank, y_dims) : pleat_dnn_any(x->rank, y_dims);
  dnnl_memory_desc_t dst = pleat_dnn_as_bf16(like, src.data_type == dnnl_bf16);
  PLEAT_TRY(
      pleat_dnn_status(dnnl_pooling_v2_forward_desc_init(&op, dnnl_forward_inference,
                                                         max                      ? dnnl_pooling_max
                                                         : includes_padding(call) ? dnnl_pooling_avg_include_padding
                                                                                  : dnnl_pooling_avg_exclude_padding,
                                                         &src, &dst, stride, kernel, holes, begin, end),
                       "describing a pool", call->error));
  PLEAT_TRY(pleat_dnn_describe(call, &op, pleat_dnn_attr(NULL), &pd));
  dst = *dnnl_primitive_desc_query_md(pd, dnnl_query_dst_md, 0);
  pleat_status status = pleat_dnn_input(call, DNNL_ARG_SRC, 0, &src);
  if (status == PLEAT_OK) status = pleat_dnn_output(call, DNNL_ARG_DST, 0, &dst);
  if (status == PLEAT_OK && y->rank != x->rank && y->layout != NULL && y->layout->block != 1) {
    status = pleat_fail(call->error, PLEAT_UNSUPPORTED, "channels that do not fill the input's blocks");
  }
  if (status == PLEAT_OK) return pleat_dnn_build(call, pd);
  dnnl_primitive_desc_destroy(pd);
  return status;
}

static pleat_status pool_prepare(pleat_call *call) {
  return pleat_dnn_prepare(call, prepare);
}

const pleat_kernel pleat_onednn_pool = {.name = "onednn",
                                        .types = PLEAT_M_F32,
                                        .flags = PLEAT_KERNEL_LAYOUTS | PLEAT_KERNEL_BF16,
                                        .supports = refuse,
                                        .prepare = pool_prepare,
                                        PLEAT_DNN_FUNCTIONS};

/* ---- ReduceMean ---- */

static const char *refuse_mean(const pleat_call *call) {
  const char *reason = pleat_dnn_refuse(call, 3, 5);
  if (reason != NULL) return reason;
  return pleat_axes_are_spatial(call) ? NULL : "only for the mean over all spatial axes";
}

const pleat_kernel pleat_onednn_reduce_mean = {.name = "onednn",
                                               .types = PLEAT_M_F32,
                                               .flags = PLEAT_KERNEL_LAYOUTS | PLEAT_KERNEL_BF16,
                                               .supports = refuse_mean,
                                               .prepare = pool_prepare,
                                               PLEAT_DNN_FUNCTIONS};

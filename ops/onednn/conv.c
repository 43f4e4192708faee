/* Conv, pleat.FusedConv and ConvTranspose by oneDNN's convolution and deconvolution.
 *
 * FusedConv's result is act(conv(X, W) + B + Z). Z is a sum post-op: it lies in the result's memory before the
 * primitive runs, either because the plan gives both the same memory or by a copy. Weights that are constant are packed
 * in prepare into the layout that the primitive asks for. oneDNN's Winograd is left alone: ours (ops/x86) is faster and
 * rounds less. */
#include <string.h>

#include "core/shape.h"
#include "ops/conv.h"
#include "ops/conv_shape.h"
#include "ops/onednn/onednn.h"
#include "ops/packs.h"

enum { INPUT_X, INPUT_W, INPUT_B, INPUT_Z };

typedef struct conv_state {
  pleat_dnn dnn;
  bool has_addend;
  size_t addend_bytes;
} conv_state;

/* The operation in oneDNN's terms: dims of weights are [groups,] outputs, inputs, kernel... */
typedef struct geometry {
  int spatial, weights_rank;
  int64_t groups;
  dnnl_dims_t weights_dims, stride, dilation, pad_begin, pad_end;
  dnnl_memory_desc_t weights; /* as the model stores them */
} geometry;

static const char *refuse(const pleat_call *call) {
  const char *reason = pleat_dnn_refuse(call, 3, 5);
  if (reason == NULL) reason = pleat_dnn_refuse_bf16(call, INPUT_W);
  if (reason != NULL) return reason;
  if (pleat_conv_is_scaled(call) || pleat_conv_gives_mean(call)) return "a scaled input, or the mean of the result";
  if (!pleat_dnn_knows_activation(pleat_attr_string(call->node, "activation"))) return "not with this activation";
  return NULL;
}

/* Reads the window and writes weights_dims from `outputs` and `inputs` of one group. */
static void set_geometry(geometry *g, const pleat_window *window, int64_t groups, int64_t outputs, int64_t inputs) {
  int at = 0;
  g->spatial = window->spatial;
  g->groups = groups;
  if (groups > 1) g->weights_dims[at++] = groups;
  g->weights_dims[at++] = outputs;
  g->weights_dims[at++] = inputs;
  for (int i = 0; i < window->spatial; i++) {
    g->weights_dims[at++] = window->kernel[i];
    g->stride[i] = window->stride[i];
    g->dilation[i] = window->dilation[i] - 1; /* oneDNN counts the holes */
    g->pad_begin[i] = window->pad_begin[i];
    g->pad_end[i] = window->pad_end[i];
  }
  g->weights_rank = at;
}

static pleat_status conv_geometry(const pleat_call *call, geometry *g) {
  const pleat_tensor *x = call->inputs[INPUT_X], *w = call->inputs[INPUT_W];
  const pleat_shape shape = pleat_shape_of(x->rank, x->dims);
  pleat_dim sizes[PLEAT_MAX_SPATIAL];
  pleat_window window;
  PLEAT_TRY(pleat_window_parse(call->node, x->rank - 2, &window, call->error));
  for (int i = 0; i < window.spatial; i++) window.kernel[i] = w->dims[2 + i];
  PLEAT_TRY(pleat_window_output(&window, &shape, sizes, call->error));
  const pleat_attr *group = pleat_node_attr(call->node, "group");
  const int64_t groups = group != NULL ? group->i : 1;
  set_geometry(g, &window, groups, w->dims[0] / groups, w->dims[1]);
  g->weights = pleat_dnn_plain(g->weights_rank, g->weights_dims);
  return PLEAT_OK;
}

/* Addend and activation of the fused operator; *out_good false when out of memory. */
static dnnl_post_ops_t make_post_ops(const pleat_call *call, bool *out_good) {
  const char *name = pleat_attr_string(call->node, "activation");
  dnnl_post_ops_t post_ops = NULL;
  *out_good = true;
  if (name[0] == '\0' && pleat_in(call, INPUT_Z) == NULL) return NULL;
  *out_good = dnnl_post_ops_create(&post_ops) == dnnl_success &&
              (pleat_in(call, INPUT_Z) == NULL || dnnl_post_ops_append_sum(post_ops, 1) == dnnl_success) &&
              pleat_dnn_append_activation(post_ops, name, pleat_attr_float(call->node, "activation_alpha"),
                                          pleat_attr_float(call->node, "activation_beta"));
  return post_ops;
}

/* The kernel's variants. */
enum { BY_RULE, DIRECT, CHANNELS_LAST };
static const char *const variant_names[] = {"direct", "channels last", NULL};

/* Which layouts a description asks for. oneDNN's free choice differs from convolution to convolution (channels last
 * for some 1x1, blocks for the rest), and converting between them costs more than it gains: blocks come first. */
typedef enum choice { CHOICE_BLOCKED, CHOICE_CHANNELS_LAST, CHOICE_FREE, CHOICE_PLAIN } choice;

static dnnl_memory_desc_t choose(const pleat_tensor *tensor, choice choice) {
  if (choice == CHOICE_PLAIN) return pleat_dnn_plain(tensor->rank, tensor->dims);
  const pleat_layout *blocks = pleat_dnn_best_blocks();
  if (choice == CHOICE_FREE || tensor->dims[1] < blocks->block) return pleat_dnn_any(tensor->rank, tensor->dims);
  return pleat_dnn_in(choice == CHOICE_CHANNELS_LAST ? &pleat_channels_last : blocks, tensor->rank, tensor->dims);
}

static pleat_status describe_as(const pleat_call *call, const geometry *g, dnnl_alg_kind_t algorithm, choice choice,
                                dnnl_primitive_desc_t *out_pd) {
  const pleat_tensor *x = call->inputs[INPUT_X], *y = call->outputs[0], *b = pleat_in(call, INPUT_B);
  const dnnl_memory_desc_t src = pleat_dnn_as_bf16(choose(x, choice), call->bf16);
  const dnnl_memory_desc_t dst = pleat_dnn_as_bf16(choose(y, choice), call->bf16);
  const dnnl_memory_desc_t any = pleat_dnn_any(g->weights_rank, g->weights_dims);
  const dnnl_memory_desc_t weights =
      pleat_call_is_constant(call, INPUT_W) ? pleat_dnn_as_bf16(any, call->bf16) : g->weights;
  dnnl_memory_desc_t bias;
  bool good;
  dnnl_status_t status;
  union {
    dnnl_convolution_desc_t forward;
    dnnl_deconvolution_desc_t transposed;
  } op;
  if (b != NULL) bias = pleat_dnn_plain(b->rank, b->dims);
  if (algorithm == dnnl_deconvolution_direct) {
    status = dnnl_dilated_deconvolution_forward_desc_init(&op.transposed, dnnl_forward_inference, algorithm, &src,
                                                          &weights, b != NULL ? &bias : NULL, &dst, g->stride,
                                                          g->dilation, g->pad_begin, g->pad_end);
  } else {
    status = dnnl_dilated_convolution_forward_desc_init(&op.forward, dnnl_forward_inference, algorithm, &src, &weights,
                                                        b != NULL ? &bias : NULL, &dst, g->stride, g->dilation,
                                                        g->pad_begin, g->pad_end);
  }
  PLEAT_TRY(pleat_dnn_status(status, "describing a convolution", call->error));
  dnnl_post_ops_t post_ops = make_post_ops(call, &good);
  if (!good) {
    if (post_ops != NULL) dnnl_post_ops_destroy(post_ops);
    return PLEAT_OOM(call->error);
  }
  return pleat_dnn_describe(call, &op, pleat_dnn_attr(post_ops), out_pd);
}

static pleat_status describe(const pleat_call *call, const geometry *g, dnnl_alg_kind_t algorithm,
                             dnnl_primitive_desc_t *out_pd) {
  if (call->wanted == NULL) return describe_as(call, g, algorithm, CHOICE_PLAIN, out_pd);
  pleat_status status = describe_as(call, g, algorithm, CHOICE_BLOCKED, out_pd);
  return status == PLEAT_UNSUPPORTED ? describe_as(call, g, algorithm, CHOICE_FREE, out_pd) : status;
}

/* In bfloat16, oneDNN's kernel for channels last has no tails on small maps: of ResNet-50's 3x3 convolutions it takes
 * 0.92 (14x14) and 0.78 (7x7) of the blocked one's time. On 28x28 both take the same; above, blocks are better. */
static bool channels_last_pays(const pleat_call *call, const geometry *g) {
  enum { SMALL_AREA = 20 * 20 };
  const pleat_tensor *y = call->outputs[0];
  return call->bf16 && call->wanted != NULL && g->groups == 1 && pleat_volume(y->dims, 2, y->rank) <= SMALL_AREA;
}

static pleat_status describe_by_rule(pleat_call *call, const geometry *g, dnnl_primitive_desc_t *out_pd) {
  if (channels_last_pays(call, g)) {
    call->variant = CHANNELS_LAST;
    const pleat_status status = describe_as(call, g, dnnl_convolution_direct, CHOICE_CHANNELS_LAST, out_pd);
    if (status != PLEAT_UNSUPPORTED) return status;
  }
  call->variant = DIRECT;
  return describe(call, g, dnnl_convolution_direct, out_pd);
}

static pleat_status describe_variant(pleat_call *call, const geometry *g, dnnl_primitive_desc_t *out_pd) {
  if (call->variant == BY_RULE) return describe_by_rule(call, g, out_pd);
  if (call->variant == DIRECT) return describe(call, g, dnnl_convolution_direct, out_pd);
  if (call->wanted == NULL) return pleat_fail(call->error, PLEAT_UNSUPPORTED, "all tensors are dense");
  return describe_as(call, g, dnnl_convolution_direct, CHOICE_CHANNELS_LAST, out_pd);
}

static pleat_status add_args(pleat_call *call, const geometry *g, const_dnnl_primitive_desc_t pd) {
  conv_state *state = call->state;
  const dnnl_memory_desc_t *dst = dnnl_primitive_desc_query_md(pd, dnnl_query_dst_md, 0);
  const dnnl_memory_desc_t *weights = dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
  PLEAT_TRY(pleat_dnn_input(call, DNNL_ARG_SRC, INPUT_X, dnnl_primitive_desc_query_md(pd, dnnl_query_src_md, 0)));
  PLEAT_TRY(pleat_dnn_output(call, DNNL_ARG_DST, 0, dst));
  if (pleat_call_is_constant(call, INPUT_W))
    PLEAT_TRY(pleat_dnn_constant(call, DNNL_ARG_WEIGHTS, INPUT_W, &g->weights, weights));
  else PLEAT_TRY(pleat_dnn_dense_input(call, DNNL_ARG_WEIGHTS, INPUT_W, weights));
  if (pleat_in(call, INPUT_B) != NULL)
    PLEAT_TRY(
        pleat_dnn_input(call, DNNL_ARG_BIAS, INPUT_B, dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 1)));
  if (pleat_in(call, INPUT_Z) == NULL) return PLEAT_OK;
  state->has_addend = true;
  state->addend_bytes = dnnl_memory_desc_get_size(dst);
  if (call->wanted != NULL) call->wanted[INPUT_Z] = call->outputs[0]->layout;
  return PLEAT_OK;
}

static pleat_status finish(pleat_call *call, const geometry *g, dnnl_primitive_desc_t pd) {
  pleat_status status = add_args(call, g, pd);
  if (status == PLEAT_OK) return pleat_dnn_build(call, pd);
  dnnl_primitive_desc_destroy(pd);
  return status;
}

/* ---- Conv ---- */

static pleat_status prepare_conv(pleat_call *call) {
  geometry g = {.spatial = 0};
  dnnl_primitive_desc_t pd = NULL;
  if (pleat_dnn_state(call, sizeof(conv_state)) == NULL) return PLEAT_OOM(call->error);
  PLEAT_TRY(conv_geometry(call, &g));
  PLEAT_TRY(describe_variant(call, &g, &pd));
  return finish(call, &g, pd);
}

static pleat_status conv_prepare(pleat_call *call) {
  return pleat_dnn_prepare(call, prepare_conv);
}

static pleat_status conv_run(const pleat_call *call) {
  const conv_state *state = call->state;
  if (state->has_addend && call->outputs[0]->data != call->inputs[INPUT_Z]->data)
    memcpy(call->outputs[0]->data, call->inputs[INPUT_Z]->data, state->addend_bytes);
  return pleat_dnn_run(call);
}

const pleat_kernel pleat_onednn_conv = {.name = "onednn",
                                        .types = PLEAT_M_F32 | PLEAT_M_HALF,
                                        .flags = PLEAT_KERNEL_LAYOUTS | PLEAT_KERNEL_WIDEN | PLEAT_KERNEL_BF16,
                                        .inplace = 1u << INPUT_Z,
                                        .packs = 1u << INPUT_W,
                                        .variants = variant_names,
                                        .supports = refuse,
                                        .prepare = conv_prepare,
                                        .run = conv_run,
                                        .release = pleat_dnn_release,
                                        .open = pleat_dnn_open,
                                        .close = pleat_dnn_close};

/* ---- ConvTranspose ---- */

/* W is [inputs, outputs of a group, kernel...]: the same memory as [groups, outputs, inputs, kernel...], strided. */
static void transposed_weights(geometry *g) {
  dnnl_dims_t strides;
  const int first = g->weights_rank - g->spatial - 2; /* where outputs and inputs are */
  int64_t stride = 1;
  for (int i = g->weights_rank - 1; i > first + 1; i--) {
    strides[i] = stride;
    stride *= g->weights_dims[i];
  }
  strides[first] = stride;
  strides[first + 1] = stride * g->weights_dims[first];
  if (first > 0) strides[0] = strides[first + 1] * g->weights_dims[first + 1];
  dnnl_memory_desc_init_by_strides(&g->weights, g->weights_rank, g->weights_dims, dnnl_f32, strides);
}

static pleat_status transposed_geometry(const pleat_call *call, geometry *g) {
  const pleat_tensor *x = call->inputs[INPUT_X], *w = call->inputs[INPUT_W], *y = call->outputs[0];
  const pleat_shape shape = pleat_shape_of(x->rank, x->dims);
  const int64_t groups = pleat_attr_int(call->node, "group"), *padding = NULL, *sizes = NULL;
  pleat_dim out[PLEAT_MAX_SPATIAL];
  pleat_window window;
  PLEAT_TRY(pleat_window_parse(call->node, x->rank - 2, &window, call->error));
  for (int i = 0; i < window.spatial; i++) window.kernel[i] = w->dims[2 + i];
  size_t padding_count = pleat_attr_ints(call->node, "output_padding", &padding);
  size_t size_count = pleat_attr_ints(call->node, "output_shape", &sizes);
  if (padding_count == 0) padding = NULL;
  if (size_count > (size_t)window.spatial) sizes += 2; /* batch and channels may be given as well */
  if (size_count == 0) sizes = NULL;
  PLEAT_TRY(pleat_window_output_transposed(&window, &shape, padding, sizes, out, call->error));
  for (int i = 0; i < window.spatial; i++) {
    /* What of the full result is cut off at the end: negative where output_padding adds to it. */
    const int64_t full = (x->dims[2 + i] - 1) * window.stride[i] + pleat_window_extent(&window, i);
    window.pad_end[i] = full - window.pad_begin[i] - y->dims[2 + i];
  }
  set_geometry(g, &window, groups, w->dims[1], w->dims[0] / groups);
  transposed_weights(g);
  return PLEAT_OK;
}

static pleat_status prepare_transposed(pleat_call *call) {
  geometry g = {.spatial = 0};
  dnnl_primitive_desc_t pd = NULL;
  if (pleat_dnn_state(call, sizeof(conv_state)) == NULL) return PLEAT_OOM(call->error);
  PLEAT_TRY(transposed_geometry(call, &g));
  PLEAT_TRY(describe(call, &g, dnnl_deconvolution_direct, &pd));
  return finish(call, &g, pd);
}

static pleat_status transposed_prepare(pleat_call *call) {
  return pleat_dnn_prepare(call, prepare_transposed);
}

const pleat_kernel pleat_onednn_conv_transpose = {.name = "onednn",
                                                  .types = PLEAT_M_F32 | PLEAT_M_HALF,
                                                  .flags = PLEAT_KERNEL_LAYOUTS | PLEAT_KERNEL_WIDEN,
                                                  .packs = 1u << INPUT_W,
                                                  .supports = refuse,
                                                  .prepare = transposed_prepare,
                                                  PLEAT_DNN_FUNCTIONS};

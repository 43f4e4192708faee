/* Conv: grouped, dilated, strided convolution over any number of spatial axes.
 *
 * From the ONNX specification; dimensions are X [N, C, D...], W [M, C / group, K...], B [M], Y [N, M, O...]. Two ways:
 * a blocked product of filters and gathered input (block_gemm.h, conv_gather.h), and, for groups of few filters
 * (depthwise), rows of output accumulated tap by tap. Which one, and with it every bit of the result, depends on shapes
 * only. */
#include "ops/conv.h"

#include <inttypes.h>

#include "core/checked.h"
#include "ops/kernels.h"

/* Axes are those of the gather: merged where the window does nothing. */
struct pleat_conv {
  pleat_gather gather;
  int64_t groups, channels, filters; /* channels and filters of one group */
  int64_t out_plane;
  bool empty, direct;
  pleat_block_split split;
  int64_t chunk_rows, row_chunks; /* direct: output rows of an item, items of a plane */
  int64_t items;
  pleat_dtype dtype; /* float, double or uint32 */
  size_t scratch;
};
typedef pleat_conv conv;

typedef struct conv_job {
  const conv *conv;
  const void *x, *w, *bias;
  void *y;
} conv_job;

#define PLEAT_TEMPLATE "conv.inc"
#define PLEAT_TEMPLATE_FLOATS
#include "ops/template.h"

#define T        uint32_t
#define FN(name) PLEAT_CAT(name, _u32)
#include "conv.inc"
#undef T
#undef FN

/* ---- inference ---- */

static pleat_status mismatch(const pleat_infer *ctx, const char *what, int64_t expected, int64_t found) {
  return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "%s: expected %" PRId64 ", found %" PRId64, what, expected,
                    found);
}

/* Channels, groups and filters. */
static pleat_status check_channels(const pleat_infer *ctx, const pleat_shape *x, const pleat_shape *w) {
  int64_t group = pleat_attr_int(ctx->node, "group"), needed = 0;
  if (group < 1) return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "attribute 'group' must be at least 1");
  if (w->rank < 0) return PLEAT_OK;
  if (pleat_dim_is_known(w->dims[0]) && w->dims[0].value % group != 0)
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH,
                      "%" PRId64 " filters (dimension 0 of W) cannot be split into %" PRId64 " groups",
                      w->dims[0].value, group);
  if (x->rank >= 0 && pleat_dim_is_known(x->dims[1]) && pleat_dim_is_known(w->dims[1])) {
    if (!pleat_mul_i64(w->dims[1].value, group, &needed))
      return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "dimension 1 of W times group overflows");
    if (x->dims[1].value != needed)
      return mismatch(ctx, "channels of X (dimension 1; dimension 1 of W times group)", needed, x->dims[1].value);
  }
  return PLEAT_OK;
}

static pleat_status check_bias(const pleat_infer *ctx, const pleat_shape *w) {
  if (w->rank < 0 || !pleat_infer_has(ctx, 2) || ctx->inputs[2].shape.rank < 0) return PLEAT_OK;
  const pleat_shape *bias = &ctx->inputs[2].shape;
  if (bias->rank != 1) return mismatch(ctx, "rank of B", 1, bias->rank);
  if (pleat_dim_is_known(bias->dims[0]) && pleat_dim_is_known(w->dims[0]) && bias->dims[0].value != w->dims[0].value)
    return mismatch(ctx, "elements of B (dimension 0 of W)", w->dims[0].value, bias->dims[0].value);
  return PLEAT_OK;
}

pleat_status pleat_conv_infer_shape(pleat_infer *ctx) {
  const pleat_shape *x = &ctx->inputs[0].shape, *w = &ctx->inputs[1].shape;
  pleat_type *y = pleat_infer_out(ctx, 0);
  pleat_window window;
  pleat_dim sizes[PLEAT_MAX_SPATIAL];
  int spatial = 0;
  if (x->rank < 0 && w->rank < 0) return PLEAT_OK;
  if (x->rank >= 0) PLEAT_TRY(pleat_window_spatial(x, "input X", &spatial, ctx->error));
  if (w->rank >= 0) PLEAT_TRY(pleat_window_spatial(w, "input W", &spatial, ctx->error));
  if (x->rank >= 0 && w->rank >= 0 && x->rank != w->rank)
    return mismatch(ctx, "rank of W (that of X)", x->rank, w->rank);
  PLEAT_TRY(check_channels(ctx, x, w));
  PLEAT_TRY(pleat_window_parse(ctx->node, spatial, &window, ctx->error));
  PLEAT_TRY(pleat_window_weight(&window, w, ctx->error));
  PLEAT_TRY(pleat_window_output(&window, x, sizes, ctx->error));
  if (y == NULL) return PLEAT_OK;
  y->shape = pleat_shape_of_rank(spatial + 2);
  if (x->rank >= 0) y->shape.dims[0] = x->dims[0];
  if (w->rank >= 0) y->shape.dims[1] = w->dims[0];
  for (int i = 0; i < spatial; i++) y->shape.dims[2 + i] = sizes[i];
  return PLEAT_OK;
}

static pleat_status infer(pleat_infer *ctx) {
  PLEAT_TRY(pleat_infer_one_type(ctx));
  PLEAT_TRY(pleat_conv_infer_shape(ctx));
  return check_bias(ctx, &ctx->inputs[1].shape);
}

double pleat_conv_macs(const pleat_infer *ctx) {
  const pleat_shape *w = &ctx->inputs[1].shape;
  pleat_dim per_output = pleat_shape_product(w, 1, w->rank);
  const pleat_shape *y = &ctx->outputs[0].shape;
  pleat_dim outputs = pleat_shape_product(y, 0, y->rank);
  return pleat_dim_is_known(per_output) && pleat_dim_is_known(outputs)
             ? (double)per_output.value * (double)outputs.value
             : 0;
}

/* ---- planning ---- */

/* The window leaves this axis as it is. */
static bool passes(const pleat_window *window, int axis) {
  return window->kernel[axis] == 1 && window->stride[axis] == 1 && window->pad_begin[axis] == 0 &&
         window->pad_end[axis] == 0;
}

/* Fills the gather's axes from the window's: neighbours that the window leaves alone become one, and those of size 1
 * vanish, so that a 1x1 convolution is a plain matrix product over long rows. `out_axes` gets the window's axis behind
 * each. */
static void merge_axes(const pleat_window *window, const int64_t *in, const int64_t *out, pleat_gather *gather,
                       int *out_axes) {
  bool previous_passes = false;
  int count = 0;
  for (int i = 0; i < window->spatial; i++) {
    bool this_passes = passes(window, i);
    if (count > 0 && this_passes && (previous_passes || in[i] == 1)) {
      gather->in_size[count - 1] *= in[i];
      gather->out_size[count - 1] *= out[i];
      continue;
    }
    if (count > 0 && previous_passes && gather->in_size[count - 1] == 1) count--;
    gather->in_size[count] = in[i];
    gather->out_size[count] = out[i];
    gather->stride[count] = window->stride[i];
    out_axes[count++] = i;
    previous_passes = this_passes;
  }
  gather->spatial = count;
}

static pleat_status make_offsets(pleat_call *call, const pleat_window *window, const int *axes, pleat_gather *gather) {
  int64_t sizes[PLEAT_MAX_SPATIAL], at[PLEAT_MAX_SPATIAL];
  gather->taps = 1;
  for (int i = 0; i < gather->spatial; i++) {
    sizes[i] = window->kernel[axes[i]];
    gather->taps *= sizes[i];
  }
  int64_t *offsets = pleat_arena_array(call->arena, (size_t)gather->taps, (size_t)gather->spatial * sizeof *offsets);
  if (offsets == NULL) return PLEAT_OOM(call->error);
  gather->offsets = offsets;
  for (int64_t tap = 0; tap < gather->taps; tap++) {
    pleat_unravel(tap, gather->spatial, sizes, at);
    for (int i = 0; i < gather->spatial; i++)
      *offsets++ = at[i] * window->dilation[axes[i]] - window->pad_begin[axes[i]];
  }
  return PLEAT_OK;
}

static void split_work(conv *conv, int64_t batch, pleat_call *call) {
  enum { FEW_FILTERS = 4, ITEMS_PER_THREAD = 4 };
  conv->direct = conv->filters < FEW_FILTERS;
  if (!conv->direct) {
    conv->split = pleat_block_split_make(batch * conv->groups, conv->filters, conv->out_plane, call->threads);
    conv->items = batch * conv->groups * conv->split.row_blocks * conv->split.col_blocks;
    conv->scratch = pleat_block_scratch(conv->dtype);
    return;
  }
  int64_t planes = batch * conv->groups * conv->filters;
  int64_t rows = conv->out_plane / conv->gather.out_size[conv->gather.spatial - 1];
  int64_t chunks = planes >= ITEMS_PER_THREAD * call->threads ? 1 : ITEMS_PER_THREAD * call->threads;
  conv->chunk_rows = rows / chunks + (rows % chunks != 0);
  conv->row_chunks = rows / conv->chunk_rows + (rows % conv->chunk_rows != 0);
  conv->items = planes * conv->row_chunks;
}

pleat_status pleat_conv_plan(pleat_call *call, pleat_dtype dtype, const pleat_conv **out_conv) {
  const pleat_tensor *x = call->inputs[0], *w = call->inputs[1], *y = call->outputs[0];
  pleat_window window;
  pleat_dim sizes[PLEAT_MAX_SPATIAL];
  int axes[PLEAT_MAX_SPATIAL];
  conv *conv = pleat_arena_alloc(call->arena, sizeof *conv);
  if (conv == NULL) return PLEAT_OOM(call->error);
  *out_conv = conv;
  conv->dtype = dtype;
  conv->empty = y->count == 0;
  if (conv->empty) return PLEAT_OK;
  const pleat_shape shape = pleat_shape_of(x->rank, x->dims);
  PLEAT_TRY(pleat_window_parse(call->node, x->rank - 2, &window, call->error));
  for (int i = 0; i < window.spatial; i++) window.kernel[i] = w->dims[2 + i];
  PLEAT_TRY(pleat_window_output(&window, &shape, sizes, call->error));
  conv->groups = pleat_attr_int(call->node, "group");
  conv->channels = w->dims[1];
  conv->filters = w->dims[0] / conv->groups;
  conv->out_plane = (int64_t)y->count / (y->dims[0] * y->dims[1]);
  merge_axes(&window, x->dims + 2, y->dims + 2, &conv->gather, axes);
  conv->gather.in_plane = 1;
  for (int i = 0; i < conv->gather.spatial; i++) conv->gather.in_plane *= conv->gather.in_size[i];
  if (x->count > 0 && w->count > 0) {
    PLEAT_TRY(make_offsets(call, &window, axes, &conv->gather));
  } else {
    /* There is only the bias. A W without elements sets no limit to its own kernel sizes, so the taps are not listed.
     */
    conv->channels = 0;
    conv->gather.taps = 1;
  }
  split_work(conv, x->dims[0], call);
  return pleat_block_workspace(call, call->threads, conv->scratch);
}

void pleat_conv_run(const pleat_conv *conv, const pleat_call *call, const void *x, const void *w, const void *bias,
                    void *y) {
  conv_job job = {.conv = conv, .x = x, .w = w, .bias = bias, .y = y};
  if (conv->empty) return;
  /* Without channels neither is read, but the pointers should be good for arithmetic. */
  if (conv->channels == 0) job.x = job.w = job.y;
  if (conv->dtype == PLEAT_UINT32) run_u32(&job, call);
  PLEAT_SWITCH_FLOATS(conv->dtype, , run, (&job, call))
}

static pleat_status prepare(pleat_call *call) {
  const pleat_conv *conv;
  PLEAT_TRY(pleat_conv_plan(call, call->inputs[0]->dtype, &conv));
  call->state = (void *)(uintptr_t)conv; /* run reads it only */
  return PLEAT_OK;
}

static pleat_status run(const pleat_call *call) {
  const pleat_tensor *bias = pleat_in(call, 2);
  pleat_conv_run(call->state, call, call->inputs[0]->data, call->inputs[1]->data, bias == NULL ? NULL : bias->data,
                 call->outputs[0]->data);
  return PLEAT_OK;
}

/* ---- definition ---- */

#define TYPES (PLEAT_M_F32 | PLEAT_M_F64 | PLEAT_M(PLEAT_FLOAT16))

static const pleat_op_version versions[] = {
    {.since = 1, .min_inputs = 2, .max_inputs = 3, .min_outputs = 1, .max_outputs = 1, .types = TYPES},
    {.since = 11, .min_inputs = 2, .max_inputs = 3, .min_outputs = 1, .max_outputs = 1, .types = TYPES},
    {.since = 22, .min_inputs = 2, .max_inputs = 3, .min_outputs = 1, .max_outputs = 1, .types = PLEAT_M_FLOATS},
    {0}};

static const pleat_op_attr attrs[] = {{.name = "auto_pad", .type = PLEAT_ATTR_STRING, .s = "NOTSET"},
                                      {.name = "dilations", .type = PLEAT_ATTR_INTS},
                                      {.name = "group", .type = PLEAT_ATTR_INT, .i = 1},
                                      {.name = "kernel_shape", .type = PLEAT_ATTR_INTS},
                                      {.name = "pads", .type = PLEAT_ATTR_INTS},
                                      {.name = "strides", .type = PLEAT_ATTR_INTS},
                                      {0}};

static const pleat_kernel reference = {
    .name = "reference", .types = PLEAT_M_FLOATS, .flags = PLEAT_KERNEL_WIDEN, .prepare = prepare, .run = run};
static const pleat_kernel *const kernels[] = {
    PLEAT_X86_KERNEL(pleat_x86_rows_conv) PLEAT_X86_KERNEL(pleat_x86_depthwise)
            PLEAT_X86_KERNEL(pleat_x86_planes_winograd) PLEAT_X86_KERNEL(pleat_x86_planes_conv)
                PLEAT_X86_KERNEL(pleat_x86_conv_winograd) PLEAT_X86_KERNEL(pleat_x86_conv_strassen)
                    PLEAT_X86_KERNEL(pleat_x86_conv_direct) PLEAT_ONEDNN_KERNEL(pleat_onednn_conv) &
        reference,
    NULL};

const pleat_op_def pleat_op_Conv = {.domain = "",
                                    .name = "Conv",
                                    .versions = versions,
                                    .attrs = attrs,
                                    .infer = infer,
                                    .apart = pleat_apart_first,
                                    .kernels = kernels,
                                    .macs = pleat_conv_macs};

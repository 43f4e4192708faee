/* ConvTranspose: grouped, dilated transposed convolution over any number of spatial axes.
 *
 * From the ONNX specification; dimensions are X [N, C, D...], W [C, M / group, K...], B [M], Y [N, M, O...]. An output
 * position o takes tap k from input i where o + pad = i * stride + k * dilation. The taps that fit depend on o modulo
 * the stride only: each such residue (a phase; a vector of residues over the axes) is an ordinary convolution with
 * stride 1 and a part of the taps, and is computed as a blocked product (block_gemm.h), so no product with an inserted
 * zero is ever computed and no two threads write to the same place. */
#include "ops/conv_gather.h"

#include <inttypes.h>
#include <string.h>

#include "core/checked.h"
#include "ops/kernels.h"

/* One residue of one axis: outputs first, first + stride, ..., and the taps that reach them. */
typedef struct residue {
  int64_t first, count;
  int64_t tap_count;
  const int64_t *taps; /* positions in the kernel */
} residue;

typedef struct transpose {
  pleat_window window;
  int64_t groups, channels, filters; /* channels and filters of one group */
  int64_t in_size[PLEAT_MAX_SPATIAL], out_size[PLEAT_MAX_SPATIAL];
  int64_t in_plane, out_plane, kernel_taps;
  int64_t residue_count[PLEAT_MAX_SPATIAL];
  const residue *residues[PLEAT_MAX_SPATIAL];
  int64_t phases;
  int64_t rows, row_blocks, slices; /* filters of an item; items a phase is split into by rows and by columns */
  int64_t items;
  size_t scratch;
  bool empty;
} transpose;

typedef struct transpose_job {
  const transpose *conv;
  const void *x, *w, *bias;
  void *y;
} transpose_job;

/* A phase while it is computed. */
typedef struct phase {
  pleat_gather gather;
  const int64_t *taps; /* flat positions in the kernel */
  const residue *axis[PLEAT_MAX_SPATIAL];
  int64_t positions;
} phase;

/* The `a` of the product: distances in elements of W. */
typedef struct filter_source {
  const void *data;
  const int64_t *taps;
  int64_t tap_count, filter, channel;
} filter_source;

/* Sets up phase `index`; `memory` takes its lists: (spatial + 1) values a tap. */
static void phase_make(const transpose *conv, int64_t index, int64_t *memory, phase *out_phase) {
  const pleat_window *window = &conv->window;
  int64_t which[PLEAT_MAX_SPATIAL], counts[PLEAT_MAX_SPATIAL], at[PLEAT_MAX_SPATIAL];
  pleat_gather *gather = &out_phase->gather;
  pleat_unravel(index, window->spatial, conv->residue_count, which);
  *gather = (pleat_gather){.spatial = window->spatial, .in_plane = conv->in_plane, .taps = 1};
  out_phase->positions = 1;
  for (int i = 0; i < window->spatial; i++) {
    const residue *residue = &conv->residues[i][which[i]];
    out_phase->axis[i] = residue;
    gather->in_size[i] = conv->in_size[i];
    gather->out_size[i] = residue->count;
    gather->stride[i] = 1;
    counts[i] = residue->tap_count;
    gather->taps *= residue->tap_count;
    out_phase->positions *= residue->count;
  }
  int64_t *taps = memory, *offsets = memory + gather->taps;
  out_phase->taps = taps;
  gather->offsets = offsets;
  for (int64_t tap = 0; tap < gather->taps; tap++) {
    int64_t flat = 0;
    pleat_unravel(tap, window->spatial, counts, at);
    for (int i = 0; i < window->spatial; i++) {
      const residue *residue = out_phase->axis[i];
      int64_t position = residue->taps[at[i]];
      flat = flat * window->kernel[i] + position;
      *offsets++ = (residue->first + window->pad_begin[i] - position * window->dilation[i]) / window->stride[i];
    }
    *taps++ = flat;
  }
}

/* Where columns [col, col + cols) of the phase lie in an output plane. */
static void phase_places(const transpose *conv, const phase *phase, int64_t col, int64_t cols, int64_t *out_places) {
  const int spatial = conv->window.spatial;
  int64_t at[PLEAT_MAX_SPATIAL];
  for (int64_t j = 0; j < cols; j++) {
    int64_t place = 0;
    pleat_unravel(col + j, spatial, phase->gather.out_size, at);
    for (int i = 0; i < spatial; i++)
      place = place * conv->out_size[i] + phase->axis[i]->first + at[i] * conv->window.stride[i];
    out_places[j] = place;
  }
}

#define PLEAT_TEMPLATE "conv_transpose.inc"
#define PLEAT_TEMPLATE_FLOATS
#include "ops/template.h"

/* ---- inference ---- */

static pleat_status mismatch(const pleat_infer *ctx, const char *what, int64_t expected, int64_t found) {
  return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "%s: expected %" PRId64 ", found %" PRId64, what, expected,
                    found);
}

static pleat_status check_channels(const pleat_infer *ctx, const pleat_shape *x, const pleat_shape *w,
                                   pleat_dim *out_filters) {
  int64_t group = pleat_attr_int(ctx->node, "group"), filters = 0;
  *out_filters = pleat_dim_unknown();
  if (group < 1) return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "attribute 'group' must be at least 1");
  if (w->rank < 0) return PLEAT_OK;
  if (pleat_dim_is_known(w->dims[0]) && w->dims[0].value % group != 0)
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH,
                      "%" PRId64 " channels (dimension 0 of W) cannot be split into %" PRId64 " groups",
                      w->dims[0].value, group);
  if (x->rank >= 0 && pleat_dim_is_known(x->dims[1]) && pleat_dim_is_known(w->dims[0]) &&
      x->dims[1].value != w->dims[0].value)
    return mismatch(ctx, "channels of X (dimension 0 of W)", w->dims[0].value, x->dims[1].value);
  if (!pleat_dim_is_known(w->dims[1])) return PLEAT_OK;
  if (!pleat_mul_i64(w->dims[1].value, group, &filters))
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "the number of output channels overflows");
  *out_filters = pleat_dim_known(filters);
  if (!pleat_infer_has(ctx, 2) || ctx->inputs[2].shape.rank < 0) return PLEAT_OK;
  const pleat_shape *bias = &ctx->inputs[2].shape;
  if (bias->rank != 1) return mismatch(ctx, "rank of B", 1, bias->rank);
  if (pleat_dim_is_known(bias->dims[0]) && bias->dims[0].value != filters)
    return mismatch(ctx, "elements of B (dimension 1 of W times group)", filters, bias->dims[0].value);
  return PLEAT_OK;
}

/* A list attribute of one value in [least, 2^31) for each spatial axis; NULL when absent. output_shape may, against the
 * specification but seen in the field, also name batch and channels. */
static pleat_status read_list(const pleat_node *node, const char *name, int spatial, int64_t least,
                              const int64_t **out_values, pleat_error *error) {
  const int64_t *values = NULL;
  size_t count = pleat_attr_ints(node, name, &values), wanted = (size_t)spatial;
  *out_values = NULL;
  if (count == 0) return PLEAT_OK;
  if (count == wanted + 2 && least > 0) {
    values += 2;
    count = wanted;
  }
  if (count != wanted)
    return pleat_fail(error, PLEAT_MALFORMED_MODEL, "attribute '%s': expected %zu integers, found %zu", name, wanted,
                      count);
  for (size_t i = 0; i < count; i++) {
    if (values[i] < least || values[i] > INT32_MAX)
      return pleat_fail(error, PLEAT_MALFORMED_MODEL, "attribute '%s'[%zu]: %" PRId64 " is out of range", name, i,
                        values[i]);
  }
  *out_values = values;
  return PLEAT_OK;
}

/* The window with final pads as far as sizes are known, and the output's spatial dimensions. */
static pleat_status resolve(const pleat_node *node, const pleat_shape *x, const pleat_shape *w, int spatial,
                            pleat_window *out_window, pleat_dim *out_sizes, pleat_error *error) {
  const int64_t *padding, *wanted;
  PLEAT_TRY(pleat_window_parse(node, spatial, out_window, error));
  PLEAT_TRY(read_list(node, "output_padding", spatial, 0, &padding, error));
  PLEAT_TRY(read_list(node, "output_shape", spatial, 1, &wanted, error));
  PLEAT_TRY(pleat_window_weight(out_window, w, error));
  return pleat_window_output_transposed(out_window, x, padding, wanted, out_sizes, error);
}

static pleat_status infer(pleat_infer *ctx) {
  const pleat_shape *x = &ctx->inputs[0].shape, *w = &ctx->inputs[1].shape;
  pleat_type *y = pleat_infer_out(ctx, 0);
  pleat_window window;
  pleat_dim sizes[PLEAT_MAX_SPATIAL], filters;
  int spatial = 0;
  PLEAT_TRY(pleat_infer_one_type(ctx));
  if (x->rank < 0 && w->rank < 0) return PLEAT_OK;
  if (x->rank >= 0) PLEAT_TRY(pleat_window_spatial(x, "input X", &spatial, ctx->error));
  if (w->rank >= 0) PLEAT_TRY(pleat_window_spatial(w, "input W", &spatial, ctx->error));
  if (x->rank >= 0 && w->rank >= 0 && x->rank != w->rank)
    return mismatch(ctx, "rank of W (that of X)", x->rank, w->rank);
  PLEAT_TRY(check_channels(ctx, x, w, &filters));
  PLEAT_TRY(resolve(ctx->node, x, w, spatial, &window, sizes, ctx->error));
  if (y == NULL) return PLEAT_OK;
  y->shape = pleat_shape_of_rank(spatial + 2);
  if (x->rank >= 0) y->shape.dims[0] = x->dims[0];
  y->shape.dims[1] = filters;
  for (int i = 0; i < spatial; i++) y->shape.dims[2 + i] = sizes[i];
  return PLEAT_OK;
}

static double macs(const pleat_infer *ctx) {
  const pleat_shape *x = &ctx->inputs[0].shape, *w = &ctx->inputs[1].shape;
  pleat_dim inputs = pleat_shape_product(x, 0, x->rank), per_input = pleat_shape_product(w, 1, w->rank);
  if (!pleat_dim_is_known(inputs) || !pleat_dim_is_known(per_input)) return 0;
  return (double)inputs.value * (double)per_input.value;
}

/* ---- planning ---- */

static pleat_status make_residues(pleat_call *call, transpose *conv, int axis, bool has_taps) {
  const pleat_window *window = &conv->window;
  const int64_t stride = window->stride[axis], size = conv->out_size[axis];
  const int64_t kernel = has_taps ? window->kernel[axis] : 0, count = stride < size ? stride : size;
  residue *residues = pleat_arena_array(call->arena, (size_t)count, sizeof *residues);
  int64_t *taps = pleat_arena_array(call->arena, (size_t)kernel, sizeof *taps);
  if (residues == NULL || taps == NULL) return PLEAT_OOM(call->error);
  /* Tap k serves the outputs o with (o + pad) % stride == k * dilation % stride: count, then place. */
  for (int64_t r = 0; r < count; r++) residues[r] = (residue){.first = r, .count = (size - r + stride - 1) / stride};
  for (int pass = 0; pass < 2; pass++) {
    for (int64_t k = 0; k < kernel; k++) {
      int64_t r = (k * window->dilation[axis] - window->pad_begin[axis]) % stride;
      r = r < 0 ? r + stride : r;
      if (r >= count) continue;
      if (pass == 1) ((int64_t *)residues[r].taps)[residues[r].tap_count] = k;
      residues[r].tap_count++;
    }
    for (int64_t r = 0; r < count && pass == 0; r++) {
      residues[r].taps = taps;
      taps += residues[r].tap_count;
      residues[r].tap_count = 0;
    }
  }
  conv->residue_count[axis] = count;
  conv->residues[axis] = residues;
  return PLEAT_OK;
}

static pleat_status split_work(pleat_call *call, transpose *conv, int64_t batch) {
  const size_t element = pleat_dtype_size(call->inputs[0]->dtype);
  size_t most_taps = 1, lists = 0;
  conv->phases = 1;
  for (int i = 0; i < conv->window.spatial; i++) {
    int64_t most = 0;
    conv->phases *= conv->residue_count[i]; /* at most the size of the output */
    for (int64_t r = 0; r < conv->residue_count[i]; r++)
      most = conv->residues[i][r].tap_count > most ? conv->residues[i][r].tap_count : most;
    most_taps *= (size_t)most; /* at most the size of W */
  }
  int64_t positions = conv->out_plane / conv->phases + 1;
  pleat_block_split split =
      pleat_block_split_make(batch * conv->groups * conv->phases, conv->filters, positions, call->threads);
  conv->rows = split.rows;
  conv->row_blocks = split.row_blocks;
  conv->slices = split.col_blocks;
  if (!pleat_mul_i64(batch * conv->groups * conv->phases, conv->row_blocks * conv->slices, &conv->items) ||
      !pleat_mul_size(most_taps, ((size_t)conv->window.spatial + 1) * sizeof(int64_t), &lists) ||
      !pleat_add_size(lists, PLEAT_BLOCK_COLS * sizeof(int64_t), &lists) ||
      !pleat_add_size(lists, (size_t)conv->rows * PLEAT_BLOCK_COLS * element, &lists) ||
      !pleat_add_size(lists, pleat_block_scratch(call->inputs[0]->dtype), &lists) ||
      !pleat_align_up(lists, 64, &conv->scratch))
    return PLEAT_OOM(call->error);
  return pleat_block_workspace(call, call->threads, conv->scratch);
}

static pleat_status prepare(pleat_call *call) {
  const pleat_tensor *x = call->inputs[0], *w = call->inputs[1], *y = call->outputs[0];
  pleat_dim sizes[PLEAT_MAX_SPATIAL];
  transpose *conv = pleat_call_state(call, sizeof *conv);
  if (conv == NULL) return PLEAT_OOM(call->error);
  conv->empty = y->count == 0;
  if (conv->empty) return PLEAT_OK;
  const int spatial = x->rank - 2;
  const bool has_taps = x->count > 0 && w->count > 0;
  const pleat_shape shape = pleat_shape_of(x->rank, x->dims), kernel = pleat_shape_of(w->rank, w->dims);
  PLEAT_TRY(resolve(call->node, &shape, &kernel, spatial, &conv->window, sizes, call->error));
  conv->groups = pleat_attr_int(call->node, "group");
  conv->channels = has_taps ? x->dims[1] / conv->groups : 0; /* else there is only the bias */
  conv->filters = w->dims[1];
  conv->in_plane = conv->out_plane = conv->kernel_taps = 1;
  for (int i = 0; i < spatial; i++) {
    conv->in_size[i] = x->dims[2 + i];
    conv->out_size[i] = y->dims[2 + i];
    conv->out_plane *= y->dims[2 + i];
    if (has_taps) conv->in_plane *= x->dims[2 + i];
    if (has_taps) conv->kernel_taps *= w->dims[2 + i];
    PLEAT_TRY(make_residues(call, conv, i, has_taps));
  }
  return split_work(call, conv, x->dims[0]);
}

static pleat_status run(const pleat_call *call) {
  const transpose *conv = call->state;
  const pleat_tensor *bias = pleat_in(call, 2);
  if (conv->empty) return PLEAT_OK;
  transpose_job job = {.conv = conv,
                       .x = call->inputs[0]->data,
                       .w = call->inputs[1]->data,
                       .bias = bias == NULL ? NULL : bias->data,
                       .y = call->outputs[0]->data};
  /* Without channels neither is read, but the pointers should be good for arithmetic. */
  if (conv->channels == 0) job.x = job.w = job.y;
  PLEAT_SWITCH_FLOATS(call->inputs[0]->dtype, , run, (&job, call))
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
                                      {.name = "output_padding", .type = PLEAT_ATTR_INTS},
                                      {.name = "output_shape", .type = PLEAT_ATTR_INTS},
                                      {.name = "pads", .type = PLEAT_ATTR_INTS},
                                      {.name = "strides", .type = PLEAT_ATTR_INTS},
                                      {0}};

static const pleat_kernel reference = {
    .name = "reference", .types = PLEAT_M_FLOATS, .flags = PLEAT_KERNEL_WIDEN, .prepare = prepare, .run = run};
static const pleat_kernel *const kernels[] = {
    PLEAT_X86_KERNEL(pleat_x86_conv_transpose) PLEAT_ONEDNN_KERNEL(pleat_onednn_conv_transpose) & reference, NULL};

const pleat_op_def pleat_op_ConvTranspose = {.domain = "",
                                             .name = "ConvTranspose",
                                             .versions = versions,
                                             .attrs = attrs,
                                             .infer = infer,
                                             .apart = pleat_apart_first,
                                             .kernels = kernels,
                                             .macs = macs};

/* Convolutions of fewer input channels than a vector holds, the first of most networks: the input is read as it is,
 * dense, and only the result comes in blocks. A thread copies the few rows that it needs next, with their borders, into
 * a buffer that stays in the first-level cache, and makes the rows of output from there (planes.inc). A depthwise
 * convolution that alone reads the result may be part of the same step.
 *
 * Where the result is bfloat16, the buffer is as well, and two taps that lie beside each other are one step. An odd tap
 * at the end of a row is a step alone: beside it lies what the window does not see, which may not be finite. So are
 * all taps of a dilated one. */
#include <string.h>

#include "core/parallel.h"
#include "ops/conv.h"
#include "ops/conv_pair.h"
#include "ops/x86/x86.h"

typedef struct planes {
  pleat_x86_conv conv;
  const void *weights; /* [pairs][steps][columns][lanes]: pairs of out blocks; bfloat16: of pairs of taps */
  ptrdiff_t *offsets;  /* of the steps, in the buffer */
  int steps, singles;  /* steps of as many taps as a product takes, and of one */
  int group;           /* rows of output that share one filling of the buffer */
  int rows, width;     /* of input in the buffer, a channel, with borders */
  size_t buffer_bytes; /* of one thread */
} planes;

/* ---- preparing ---- */

/* Taps that one product takes. */
static int depth_of(const pleat_x86_conv *conv) {
  return conv->code->element == sizeof(float) ? 1 : 2;
}

/* Those of a row of the window that go into whole steps: neighbours in the input. */
static int whole_taps(const pleat_x86_conv *conv) {
  const int depth = depth_of(conv);
  return depth == 1 || conv->dilation[1] == 1 ? conv->kernel[1] / depth * depth : 0;
}

/* [steps][columns][lanes] of one pair: whole steps of all rows of the window, then single taps. */
static void pack_pair(const pleat_x86_conv *conv, int variant, const float *filters, int count, int columns,
                      void *pack) {
  const int rows = conv->in_channels * conv->kernel[0], width = conv->kernel[1], depth = depth_of(conv);
  const int whole = whole_taps(conv), singles = width - whole, lanes = columns * conv->code->lanes;
  const size_t taps = (size_t)rows * (size_t)width;
  (void)variant;
  for (int row = 0; row < rows; row++) {
    for (int tap = 0; tap < width; tap++) {
      const int k = tap < whole ? row * whole + tap : rows * whole + (row * singles + tap - whole) * depth;
      pleat_x86_pack_row(conv->code, filters + row * width + tap, taps, count, k, lanes, pack);
    }
  }
}

/* Rows of output for which the input's rows fit; at least one. */
static void set_buffer(planes *p) {
  enum { BUFFER_BYTES = 24 * 1024 };
  const pleat_x86_conv *conv = &p->conv;
  const int extent = pleat_x86_extent(conv);
  p->width = conv->width + conv->pad_begin[1] + conv->pad_end[1];
  const size_t row = (size_t)conv->in_channels * (size_t)p->width;
  const size_t fitting = BUFFER_BYTES / conv->code->element / row;
  p->group = 1;
  while (p->group < conv->out_height && (size_t)(p->group * conv->stride[0] + extent) <= fitting) p->group++;
  p->rows = (p->group - 1) * conv->stride[0] + extent;
  p->buffer_bytes = (row * (size_t)p->rows * conv->code->element + 63) / 64 * 64;
}

static bool set_offsets(planes *p, pleat_arena *arena) {
  const pleat_x86_conv *conv = &p->conv;
  const int depth = depth_of(conv), whole = whole_taps(conv);
  ptrdiff_t *at = p->offsets = pleat_arena_array(arena, (size_t)(p->steps + p->singles), sizeof *at);
  if (at == NULL) return false;
  ptrdiff_t *single = at + p->steps;
  for (int channel = 0; channel < conv->in_channels; channel++) {
    for (int i = 0; i < conv->kernel[0]; i++) {
      const ptrdiff_t row = ((ptrdiff_t)channel * p->rows + i * conv->dilation[0]) * p->width;
      for (int j = 0; j < whole; j += depth) *at++ = row + j * conv->dilation[1];
      for (int j = whole; j < conv->kernel[1]; j++) *single++ = row + j * conv->dilation[1];
    }
  }
  return true;
}

/* Of the weights of one block. */
static size_t step_bytes(const planes *p) {
  return (size_t)(p->conv.code->lanes * depth_of(&p->conv)) * p->conv.code->element;
}

static pleat_status describe(pleat_call *call, planes *p) {
  PLEAT_TRY(pleat_x86_describe_conv(call, &p->conv));
  call->wanted[PLEAT_X86_X] = NULL;
  const int rows = p->conv.in_channels * p->conv.kernel[0];
  p->steps = rows * (whole_taps(&p->conv) / depth_of(&p->conv));
  p->singles = rows * (p->conv.kernel[1] - whole_taps(&p->conv));
  set_buffer(p);
  if (!set_offsets(p, call->arena)) return PLEAT_OOM(call->error);
  const pleat_x86_weights weights = {.kernel = "x86 planes",
                                     .set = 2,
                                     .block_bytes = step_bytes(p) * (size_t)(p->steps + p->singles),
                                     .pack = pack_pair};
  return pleat_x86_pack_weights(call, &p->conv, &weights, &p->weights);
}

static pleat_status prepare(pleat_call *call) {
  planes *p = pleat_call_state(call, sizeof *p);
  if (p == NULL) return PLEAT_OOM(call->error);
  PLEAT_TRY(describe(call, p));
  call->workspace_size = (size_t)call->threads * p->buffer_bytes;
  return PLEAT_OK;
}

/* ---- running ---- */

/* The buffer's rows, from input row `first` on (which may lie outside): all channels of a sample. The last `kept` rows
 * that are there become the first. */
static void fill(const planes *p, const float *x, int first, int kept, char *buffer) {
  const pleat_x86_conv *conv = &p->conv;
  const size_t size = conv->code->element, left = (size_t)conv->pad_begin[1] * size, width = (size_t)p->width * size;
  const size_t inner = (size_t)conv->width, end = left + inner * size;
  for (int channel = 0; channel < conv->in_channels; channel++, x += (size_t)conv->height * inner) {
    char *to = buffer + (size_t)channel * (size_t)p->rows * width;
    memmove(to, to + (size_t)(p->rows - kept) * width, (size_t)kept * width);
    to += (size_t)kept * width;
    for (int row = first + kept; row < first + p->rows; row++, to += width) {
      if (row < 0 || row >= conv->height) {
        memset(to, 0, width);
        continue;
      }
      memset(to, 0, left);
      conv->code->narrow(x + (size_t)row * inner, to + left, inner);
      memset(to + end, 0, width - end);
    }
  }
}

/* Spreads fetching the rows that the buffer will have next, from input row `first` on, over `lines` lines of output. */
static void set_next(const planes *p, const float *x, int first, int lines, pleat_x86_planes *row) {
  enum { LINE = 64 / sizeof(float) };
  const pleat_x86_conv *conv = &p->conv;
  const int from = first > 0 ? first : 0, end = first + p->rows < conv->height ? first + p->rows : conv->height;
  if (from >= end) return;
  const int64_t floats = (int64_t)(end - from) * conv->width;
  const int tiles = conv->out_width / conv->code->rows + 1;
  row->next = x + (ptrdiff_t)from * conv->width;
  row->next_plane = (ptrdiff_t)conv->height * conv->width;
  row->next_planes = conv->in_channels;
  row->next_lines = (int)(floats / LINE / lines / tiles) + 1;
  row->next_step = (ptrdiff_t)row->next_lines * tiles * LINE;
}

/* Some rows of a sample's output, from a filled buffer; x, y and z (may be NULL) are the sample's, the last two with
 * blocks that lie `plane` apart. */
static void run_group(const planes *p, const void *buffer, const float *x, const void *z, void *y, ptrdiff_t plane,
                      int first, int count) {
  const pleat_x86_conv *conv = &p->conv;
  const int lanes = conv->code->lanes, stride = conv->stride[1];
  const ptrdiff_t line = (ptrdiff_t)conv->out_width * lanes;
  pleat_x86_planes row = {.offsets = p->offsets,
                          .steps = p->steps,
                          .singles = p->singles,
                          .width = conv->out_width,
                          .stride = stride,
                          .activation = &conv->activation};
  set_next(p, x, (first + count) * conv->stride[0] - conv->pad_begin[0], count * ((conv->out_blocks + 1) / 2), &row);
  for (int block = 0; block < conv->out_blocks; block += 2) {
    const int columns = conv->out_blocks - block > 1 ? 2 : 1;
    row.w = (const char *)p->weights + (size_t)block * (size_t)(p->steps + p->singles) * step_bytes(p);
    row.bias = conv->bias + block * lanes;
    for (int i = 0; i < count; i++) {
      row.x = pleat_x86_at(conv->code, buffer, (ptrdiff_t)i * conv->stride[0] * p->width);
      for (int j = 0; j < columns; j++) {
        const ptrdiff_t at = (block + j) * plane + (first + i) * line;
        row.y[j] = pleat_x86_to(conv->code, y, at);
        row.addend[j] = pleat_x86_at(conv->code, z, at);
      }
      conv->code->planes[stride > 2 ? 2 : stride - 1][columns - 1](&row);
      const int channels = pleat_x86_channels_of(conv, block + columns - 1);
      if (channels < lanes) conv->code->clear_lanes(row.y[columns - 1], conv->out_width, channels);
      row.next += row.next_step;
    }
  }
}

/* Rows [first, end) of a sample, likewise. */
static void run_lines(const planes *p, const float *x, const void *z, void *y, ptrdiff_t plane, int first, int end,
                      char *buffer) {
  const int stride = p->conv.stride[0];
  for (int count, kept = 0; first < end; first += count) {
    count = p->group < end - first ? p->group : end - first;
    fill(p, x, first * stride - p->conv.pad_begin[0], kept, buffer);
    run_group(p, buffer, x, z, y, plane, first, count);
    kept = p->rows > count * stride ? p->rows - count * stride : 0;
  }
}

/* Rows [from, to), counted through all samples. */
static void run_rows(const planes *p, const pleat_call *call, char *buffer, int64_t from, int64_t to) {
  const pleat_x86_conv *conv = &p->conv;
  const pleat_tensor *z = pleat_in(call, PLEAT_X86_Z);
  const ptrdiff_t in = (ptrdiff_t)conv->in_channels * conv->height * conv->width;
  const ptrdiff_t out = conv->out_blocks * pleat_x86_out_plane(conv);
  for (int64_t next; from < to; from = next) {
    const int64_t sample = from / conv->out_height, end = (sample + 1) * conv->out_height;
    next = end < to ? end : to;
    run_lines(p, (const float *)call->inputs[PLEAT_X86_X]->data + sample * in,
              pleat_x86_at(conv->code, z != NULL ? z->data : NULL, sample * out),
              pleat_x86_to(conv->code, call->outputs[0]->data, sample * out), pleat_x86_out_plane(conv),
              (int)(from - sample * conv->out_height), (int)(next - sample * conv->out_height), buffer);
  }
}

static void run_range(void *arg, int64_t first, int64_t end, int worker) {
  const pleat_call *call = arg;
  const planes *p = call->state;
  run_rows(p, call, (char *)call->workspace + (size_t)worker * p->buffer_bytes, first, end);
}

static pleat_status run(const pleat_call *call) {
  const planes *p = call->state;
  const int64_t rows = p->conv.batch * p->conv.out_height;
  const int64_t work = rows * p->conv.out_width * p->conv.out_blocks * p->conv.code->lanes;
  pleat_parallel_ranges(work < PLEAT_PARALLEL_MIN ? 1 : call->threads, rows, run_range, (void *)(uintptr_t)call);
  return PLEAT_OK;
}

const pleat_kernel pleat_x86_planes_conv = {.name = "planes",
                                            .types = PLEAT_M_F32,
                                            .flags = PLEAT_KERNEL_LAYOUTS | PLEAT_KERNEL_BF16,
                                            .inplace = 1u << PLEAT_X86_Z,
                                            .supports = pleat_x86_refuse_planes,
                                            .prepare = prepare,
                                            .run = run,
                                            .packs = 1u << PLEAT_X86_W};

/* ---- such a convolution and the depthwise one that alone reads it ---- */

/* As conv_pair.c does behind 1x1 convolutions: some rows of all channels stay in the second-level cache. */
typedef struct planes_pair {
  planes first;
  pleat_x86_conv second;
  const float *taps; /* of the second: [blocks][taps][lanes] */
  pleat_x86_depthwise_function *rows;
  int pieces;            /* items along the rows of output */
  int band, buffer_rows; /* rows of output that are made from one filling of the rows between the two, and of these */
  size_t thread_bytes;   /* the rows between, then the input's */
} planes_pair;

static const char *const pair_variants[] = {"row by row", NULL};

/* Numbers of a row of all blocks between the two. */
static size_t row_floats(const planes_pair *p) {
  return (size_t)p->second.in_blocks * (size_t)p->second.width * (size_t)p->second.code->lanes;
}

static pleat_status prepare_pair(pleat_call *call) {
  enum { BUFFER_BYTES = 192 * 1024 };
  planes_pair *p = pleat_call_state(call, sizeof *p);
  pleat_conv_pair *parts = pleat_arena_alloc(call->arena, sizeof *parts);
  if (p == NULL || parts == NULL) return PLEAT_OOM(call->error);
  PLEAT_TRY(pleat_conv_pair_split(call, parts));
  pleat_call *first = &parts->calls[0], *second = &parts->calls[1];
  const char *reason = pleat_x86_refuse_planes(first);
  if (reason == NULL) reason = pleat_x86_refuse_pair(first, second);
  if (reason != NULL) return pleat_fail(call->error, PLEAT_UNSUPPORTED, "%s", reason);
  PLEAT_TRY(describe(first, &p->first));
  PLEAT_TRY(pleat_x86_describe_conv(second, &p->second));
  call->wanted[PLEAT_PAIR_X] = NULL;
  p->rows = p->second.code->depthwise[p->second.kernel[1] / 2][p->second.stride[1] - 1];
  p->pieces = p->second.batch < call->threads ? call->threads : 1;
  if (p->pieces > p->second.out_height) p->pieces = p->second.out_height;
  p->band = pleat_x86_band(&p->second, BUFFER_BYTES / sizeof(float) / row_floats(p),
                           pleat_x86_divide_up(p->second.out_height, p->pieces), &p->buffer_rows);
  p->thread_bytes = (size_t)p->buffer_rows * row_floats(p) * sizeof(float) + p->first.buffer_bytes;
  call->variant = 1;
  call->workspace_size = (size_t)call->threads * p->thread_bytes;
  if (pleat_conv_gives_mean(second)) call->workspace_size += pleat_x86_means_bytes(&p->second);
  return pleat_x86_pack_depthwise(second, &p->second, &p->taps);
}

typedef struct pair_job {
  const planes_pair *p;
  const float *x;
  float *y, *means; /* means: of the second one's rows; NULL: they are not wanted */
  char *buffers;
} pair_job;

static void run_piece(void *arg, int64_t item, int worker) {
  const pair_job *job = arg;
  const planes_pair *p = job->p;
  const pleat_x86_conv *first = &p->first.conv, *second = &p->second;
  const int lanes = second->code->lanes, piece = (int)(item % p->pieces);
  const int64_t sample = item / p->pieces;
  const int end = (int)((int64_t)second->out_height * (piece + 1) / p->pieces);
  const ptrdiff_t line = (ptrdiff_t)second->width * lanes, plane = p->buffer_rows * line;
  const float *x = job->x + sample * first->in_channels * first->height * first->width;
  float *between = (float *)(void *)(job->buffers + (size_t)worker * p->thread_bytes);
  char *input = (char *)between + (size_t)p->buffer_rows * row_floats(p) * sizeof(float);
  int begun = 0, made = 0; /* which rows there are between */
  for (int row = (int)((int64_t)second->out_height * piece / p->pieces), next; row < end; row = next) {
    int top, bottom;
    next = row + p->band < end ? row + p->band : end;
    pleat_x86_see(second, row, next, &top, &bottom);
    const int kept = made > top ? made - top : 0;
    for (int block = 0; block < second->in_blocks && kept > 0; block++) {
      float *to = between + block * plane;
      memmove(to, to + (top - begun) * line, (size_t)(kept * line) * sizeof *to);
    }
    begun = top;
    made = bottom;
    run_lines(&p->first, x, NULL, between - top * line, plane, top + kept, bottom, input);
    for (int block = 0; block < second->in_blocks; block++) {
      const int64_t out = sample * second->out_blocks + block;
      pleat_x86_run_depthwise(second, p->rows, block, between + block * plane - top * line, p->taps, NULL,
                              job->y + out * pleat_x86_out_plane(second),
                              job->means != NULL ? job->means + out * second->out_height * lanes : NULL, row, next);
    }
  }
}

static pleat_status run_pair(const pleat_call *call) {
  const planes_pair *p = call->state;
  pair_job job = {
      .p = p, .x = call->inputs[PLEAT_PAIR_X]->data, .y = call->outputs[0]->data, .buffers = call->workspace};
  if (pleat_conv_gives_mean(call)) job.means = (float *)(void *)(job.buffers + (size_t)call->threads * p->thread_bytes);
  pleat_parallel(call->threads, p->pieces * p->second.batch, run_piece, &job);
  if (job.means != NULL) pleat_x86_finish_means(&p->second, job.means, call->outputs[1]->data);
  return PLEAT_OK;
}

const pleat_kernel pleat_x86_planes_pair = {.name = "planes pair",
                                            .types = PLEAT_M_F32,
                                            .flags = PLEAT_KERNEL_LAYOUTS,
                                            .variants = pair_variants,
                                            .prepare = prepare_pair,
                                            .run = run_pair,
                                            .packs = 1u << PLEAT_PAIR_W1 | 1u << PLEAT_PAIR_W2};

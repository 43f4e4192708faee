/* Convolutions of fewer input channels than a vector holds, the first of most networks: the input is read as it is,
 * dense, and only the result comes in blocks. A thread copies the few rows that it needs next, with their borders, into
 * a buffer that stays in the first-level cache, and makes the rows of output from there (planes.inc).
 *
 * Where the result is bfloat16, the buffer is as well, and two taps that lie beside each other are one step. An odd tap
 * at the end of a row is a step alone: beside it lies what the window does not see, which may not be finite. So are
 * all taps of a dilated one. */
#include <string.h>

#include "core/parallel.h"
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
  const int extent = (conv->kernel[0] - 1) * conv->dilation[0] + 1;
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

static pleat_status prepare(pleat_call *call) {
  planes *p = pleat_call_state(call, sizeof *p);
  if (p == NULL) return PLEAT_OOM(call->error);
  PLEAT_TRY(pleat_x86_describe_conv(call, &p->conv));
  call->wanted[PLEAT_X86_X] = NULL;
  const int rows = p->conv.in_channels * p->conv.kernel[0];
  p->steps = rows * (whole_taps(&p->conv) / depth_of(&p->conv));
  p->singles = rows * (p->conv.kernel[1] - whole_taps(&p->conv));
  set_buffer(p);
  if (!set_offsets(p, call->arena)) return PLEAT_OOM(call->error);
  call->workspace_size = (size_t)call->threads * p->buffer_bytes;
  const pleat_x86_weights weights = {.kernel = "x86 planes",
                                     .set = 2,
                                     .block_bytes = step_bytes(p) * (size_t)(p->steps + p->singles),
                                     .pack = pack_pair};
  return pleat_x86_pack_weights(call, &p->conv, &weights, &p->weights);
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

/* Some rows of a sample's output, from a filled buffer; x, y and z (may be NULL) are the sample's. */
static void run_group(const planes *p, const void *buffer, const float *x, const void *z, void *y, int first,
                      int count) {
  const pleat_x86_conv *conv = &p->conv;
  const int lanes = conv->code->lanes, stride = conv->stride[1];
  const ptrdiff_t plane = pleat_x86_out_plane(conv), line = (ptrdiff_t)conv->out_width * lanes;
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

/* Rows [from, to), counted through all samples. */
static void run_rows(const planes *p, const pleat_call *call, char *buffer, int64_t from, int64_t to) {
  const pleat_x86_conv *conv = &p->conv;
  const pleat_tensor *z = pleat_in(call, PLEAT_X86_Z);
  const ptrdiff_t in = (ptrdiff_t)conv->in_channels * conv->height * conv->width;
  const ptrdiff_t out = conv->out_blocks * pleat_x86_out_plane(conv);
  int kept = 0;
  while (from < to) {
    const int64_t sample = from / conv->out_height;
    const int first = (int)(from % conv->out_height);
    int count = p->group < conv->out_height - first ? p->group : conv->out_height - first;
    if (count > to - from) count = (int)(to - from);
    const float *x = (const float *)call->inputs[PLEAT_X86_X]->data + sample * in;
    fill(p, x, first * conv->stride[0] - conv->pad_begin[0], kept, buffer);
    run_group(p, buffer, x, pleat_x86_at(conv->code, z != NULL ? z->data : NULL, sample * out),
              pleat_x86_to(conv->code, call->outputs[0]->data, sample * out), first, count);
    from += count;
    kept = p->rows - count * conv->stride[0];
    if (kept < 0 || from % conv->out_height == 0) kept = 0;
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

/* Convolutions of few input channels with stride 2 by Winograd's algorithm: 7x7 ones, the first of ResNets and
 * DenseNets, and those of 5 to 8 rows and columns. 121 products a channel make 3x3 outputs of a 7x7 kernel, instead of
 * 441.
 *
 * Along an axis, such a convolution is the sum of two with stride 1, of the even inputs with the even taps and of the
 * odd ones with the odd taps: its phases. Each has up to four taps and is done by F(3, 4) at the points 0, +-P, +-Q and
 * infinity (winograd.inc). The phases share the points, so that their products are summed before they are transformed
 * back, like those of channels. A kernel of fewer than 8 taps gets zeros in front, then behind; a phase whose first tap
 * is zero has no product at 0, one whose last is zero none at infinity.
 *
 * A thread takes rows of tiles. It copies their inputs, each sixth of a line together, as neighbouring tiles are six
 * apart; transforms down all columns of the row, and then across those of as many tiles as a vector has lanes;
 * multiplies a few tiles with one block of filters at a time, and transforms down again in registers; then across, to
 * results.
 *
 * Error: measured against float64, the root mean square error is 0.8 to 1.8 times the direct algorithm's, and
 * test_x86_planes_winograd asserts at most 3 times. `exact` sessions do not use it. What is not finite in the input
 * spreads over the tiles that see it, not only over the window. */
#include <math.h>
#include <string.h>

#include "core/parallel.h"
#include "ops/x86/x86.h"

enum { SIDE = 6, OUTPUTS = PLEAT_X86_PHASES_OUT, SPAN = PLEAT_X86_PHASES_SPAN, PHASES = 2, TAPS = 4 };

typedef struct phases {
  pleat_x86_conv conv;
  const float *weights; /* [blocks][steps][lanes] */
  int front[2];         /* zeros in front of the kernel, rows and columns */
  int steps;            /* of all points; one more is for what no product takes */
  int counts[SIDE][3];  /* of columns of points: at 0, at each of the four, at infinity */
  int *at;              /* [channels][SPAN][SPAN]: the step of a channel, phases and points */
  int tile_rows, tile_columns;
  int residue;            /* inputs of a line that lie six apart */
  ptrdiff_t line;         /* of the inputs' copy */
  size_t inputs, rows, v; /* floats of the copy, of its transformed rows, and of tiles' points */
  size_t single;          /* of a line that is being copied */
  size_t thread;          /* of one thread, with sums */
} phases;

/* ---- which products there are ---- */

/* Zeros before the first tap: two take both phases' products at 0 away. */
static int front_of(const pleat_x86_conv *conv, int axis) {
  const int missing = PHASES * TAPS - conv->kernel[axis];
  return missing < 2 ? missing : 2;
}

/* Whether a phase of an axis has products at a point. */
static bool has_point(const pleat_x86_conv *conv, int axis, int phase, int point) {
  const int front = front_of(conv, axis);
  if (point == 0) return phase >= front;
  if (point == SIDE - 1) return phase + 2 * (TAPS - 1) < front + conv->kernel[axis];
  return true;
}

static int steps_at(const pleat_x86_conv *conv, int i, int j) {
  const int rows = has_point(conv, 0, 0, i) + has_point(conv, 0, 1, i);
  return conv->in_channels * rows * (has_point(conv, 1, 0, j) + has_point(conv, 1, 1, j));
}

static int count_steps(const pleat_x86_conv *conv) {
  int count = 0;
  for (int i = 0; i < SIDE * SIDE; i++) count += steps_at(conv, i / SIDE, i % SIDE);
  return count;
}

/* The first step of a point; those at P and -P, and at Q and -Q, alternate. */
static int first_step(const pleat_x86_conv *conv, int i, int j) {
  int step = 0;
  for (int column = 0; column < j; column++) {
    for (int row = 0; row < SIDE; row++) step += steps_at(conv, row, column);
  }
  const bool is_second = i == 2 || i == 4;
  for (int row = 0; row < (is_second ? i - 1 : i); row++) step += steps_at(conv, row, j);
  return is_second ? step + 1 : step;
}

/* at[channels][SPAN][SPAN]; `none` where there is none. */
static void set_steps(const pleat_x86_conv *conv, int none, int *at) {
  for (int i = 0; i < SIDE; i++) {
    for (int j = 0; j < SIDE; j++) {
      int step = first_step(conv, i, j);
      const int apart = i == 0 || i == SIDE - 1 ? 1 : 2;
      for (int k = 0; k < conv->in_channels * PHASES * PHASES; k++) {
        const int channel = k / (PHASES * PHASES), down = k / PHASES % PHASES, across = k % PHASES;
        const bool is_there = has_point(conv, 0, down, i) && has_point(conv, 1, across, j);
        at[(channel * SPAN + down * SIDE + i) * SPAN + across * SIDE + j] = is_there ? step : none;
        if (is_there) step += apart;
      }
    }
  }
}

/* ---- preparing ---- */

/* G g of a phase of a row or column of the kernel. */
static void transform_taps(const double *taps, double *points) {
  const double p = PLEAT_X86_POINT_P, q = PLEAT_X86_POINT_Q, pp = p * p, qq = q * q;
  const double at[SIDE - 1] = {0, p, -p, q, -q};
  const double divisors[SIDE - 1] = {pp * qq, 2 * pp * (pp - qq), 2 * pp * (pp - qq), 2 * qq * (qq - pp),
                                     2 * qq * (qq - pp)};
  for (int i = 0; i < SIDE - 1; i++)
    points[i] = (taps[0] + at[i] * (taps[1] + at[i] * (taps[2] + at[i] * taps[3]))) / divisors[i];
  points[SIDE - 1] = taps[TAPS - 1];
}

/* G g G^T of one filter of one channel, for all phases: [SPAN][SPAN], in double. */
static void transform_filter(const pleat_x86_conv *conv, const float *filter, double *points) {
  double rows[PHASES * TAPS][SPAN] = {{0}};
  for (int i = 0; i < conv->kernel[0]; i++) {
    double taps[PHASES][TAPS] = {{0}};
    for (int j = 0; j < conv->kernel[1]; j++) {
      const int at = j + front_of(conv, 1);
      taps[at % PHASES][at / PHASES] = (double)filter[i * conv->kernel[1] + j];
    }
    for (int phase = 0; phase < PHASES; phase++)
      transform_taps(taps[phase], rows[i + front_of(conv, 0)] + phase * SIDE);
  }
  for (int j = 0; j < SPAN; j++) {
    for (int phase = 0; phase < PHASES; phase++) {
      double taps[TAPS], column[SIDE];
      for (int i = 0; i < TAPS; i++) taps[i] = rows[PHASES * i + phase][j];
      transform_taps(taps, column);
      for (int i = 0; i < SIDE; i++) points[(phase * SIDE + i) * SPAN + j] = column[i];
    }
  }
}

/* [steps][lanes] of a block. */
static void pack_block(const pleat_x86_conv *conv, int variant, const float *filters, int count, int blocks, void *to) {
  const size_t filter = (size_t)(conv->kernel[0] * conv->kernel[1]);
  (void)variant, (void)blocks;
  int at[PLEAT_X86_PHASES_CHANNELS * SPAN * SPAN];
  set_steps(conv, -1, at);
  for (int j = 0; j < count; j++) {
    float *w = (float *)to + j;
    for (int channel = 0; channel < conv->in_channels; channel++) {
      double points[SPAN * SPAN];
      transform_filter(conv, filters + (size_t)(j * conv->in_channels + channel) * filter, points);
      for (int i = 0; i < SPAN * SPAN; i++) {
        const int step = at[channel * SPAN * SPAN + i];
        if (step >= 0) w[(ptrdiff_t)step * conv->code->lanes] = (float)points[i];
      }
    }
  }
}

static void set_sizes(phases *p) {
  const pleat_x86_conv *conv = &p->conv;
  const size_t lanes = (size_t)conv->code->lanes, channels = (size_t)conv->in_channels;
  p->tile_rows = pleat_x86_divide_up(conv->out_height, OUTPUTS);
  p->tile_columns = pleat_x86_divide_up(conv->out_width, OUTPUTS);
  p->residue = p->tile_columns + 1;
  /* Vectors are read beyond the last tile, and beyond the line. */
  p->line = (ptrdiff_t)((SIDE * (size_t)p->residue + 2 * lanes - 1) / lanes * lanes);
  p->rows = p->inputs = channels * SPAN * (size_t)p->line;
  p->v = (size_t)(p->steps + 1) * lanes;
  p->single = ((size_t)p->residue + lanes - 1) / lanes * lanes * SIDE;
  p->thread = p->inputs + p->rows + p->v + p->single + SIDE * OUTPUTS * lanes * lanes;
}

static pleat_status prepare(pleat_call *call) {
  phases *p = pleat_call_state(call, sizeof *p);
  if (p == NULL) return PLEAT_OOM(call->error);
  PLEAT_TRY(pleat_x86_describe_conv(call, &p->conv));
  call->wanted[PLEAT_X86_X] = NULL;
  for (int axis = 0; axis < 2; axis++) p->front[axis] = front_of(&p->conv, axis);
  p->steps = count_steps(&p->conv);
  for (int j = 0; j < SIDE; j++) {
    for (int i = 0; i < 3; i++) p->counts[j][i] = steps_at(&p->conv, (int[]){0, 1, SIDE - 1}[i], j);
  }
  p->at = pleat_arena_array(call->arena, (size_t)p->conv.in_channels * SPAN * SPAN, sizeof *p->at);
  if (p->at == NULL) return PLEAT_OOM(call->error);
  set_steps(&p->conv, p->steps, p->at);
  set_sizes(p);
  call->workspace_size = (size_t)call->threads * p->thread * sizeof(float);
  const pleat_x86_weights weights = {.kernel = "x86 phases",
                                     .set = 1,
                                     .block_bytes = (size_t)(p->steps * p->conv.code->lanes) * sizeof(float),
                                     .pack = pack_block};
  const void *pack = NULL;
  PLEAT_TRY(pleat_x86_pack_weights(call, &p->conv, &weights, &pack));
  p->weights = pack;
  return PLEAT_OK;
}

/* ---- running ---- */

/* Six rows of all channels from input row `first` on (which may lie outside), with their borders; `line` is for one. */
static void fill(const phases *p, const float *x, int first, float *line, float *to) {
  const pleat_x86_conv *conv = &p->conv;
  const int inputs = SIDE * p->residue, left = conv->pad_begin[1] + p->front[1];
  const int seen = conv->width < inputs - left ? conv->width : inputs - left;
  memset(line, 0, (size_t)inputs * sizeof *line);
  for (int channel = 0; channel < conv->in_channels; channel++, x += (ptrdiff_t)conv->height * conv->width) {
    for (int row = first; row < first + SIDE; row++, to += p->line) {
      if (row < 0 || row >= conv->height || seen <= 0) {
        memset(to, 0, (size_t)inputs * sizeof *to);
        continue;
      }
      memcpy(line + left, x + (ptrdiff_t)row * conv->width, (size_t)seen * sizeof *line);
      conv->code->phases.part(line, p->residue, to);
    }
  }
}

/* Where a row of tiles is, and what a thread has for it. */
typedef struct place {
  const float *z; /* of the sample, like y; may be NULL */
  float *y;
  int row; /* of the output */
  const float *rows;
  float *v, *sums;
} place;

static void run_block(const phases *p, const place *at, int block, int first, int count) {
  const pleat_x86_conv *conv = &p->conv;
  const pleat_x86_phases_code *code = &conv->code->phases;
  const int lanes = conv->code->lanes, groups = pleat_x86_divide_up(count, code->tiles);
  pleat_x86_phases column = {.w = p->weights + (ptrdiff_t)block * p->steps * lanes};
  const float *v = at->v;
  for (int j = 0; j < SIDE; j++) {
    column.zero = p->counts[j][0];
    column.pairs = p->counts[j][1];
    column.infinity = p->counts[j][2];
    for (int g = 0; g < groups; g++) {
      const int from = count * g / groups, tiles = count * (g + 1) / groups - from;
      column.v = v + from;
      column.sums = at->sums + (j * OUTPUTS * lanes + from) * lanes;
      code->column[tiles](&column);
    }
    const ptrdiff_t numbers = (ptrdiff_t)(column.zero + 4 * column.pairs + column.infinity) * lanes;
    v += numbers;
    column.w += numbers;
  }
  const ptrdiff_t plane = block * pleat_x86_out_plane(conv);
  for (int i = 0; i < count; i++) {
    code->output(at->sums + i * lanes, conv->bias + block * lanes, at->z != NULL ? at->z + plane : NULL, at->y + plane,
                 conv->out_height, conv->out_width, at->row, (first + i) * OUTPUTS, &conv->activation);
  }
}

static void clear_rows(const phases *p, const place *at) {
  const pleat_x86_conv *conv = &p->conv;
  const int block = conv->out_blocks - 1, channels = pleat_x86_channels_of(conv, block);
  const int rows = conv->out_height - at->row < OUTPUTS ? conv->out_height - at->row : OUTPUTS;
  if (channels == conv->code->lanes) return;
  float *y = at->y + block * pleat_x86_out_plane(conv) + (ptrdiff_t)at->row * conv->out_width * conv->code->lanes;
  conv->code->clear_lanes(y, rows * conv->out_width, channels);
}

static void run_row(const phases *p, const place *at) {
  const pleat_x86_conv *conv = &p->conv;
  const pleat_x86_phases_code *code = &conv->code->phases;
  const int lanes = conv->code->lanes;
  for (int first = 0; first < p->tile_columns; first += lanes) {
    const int count = p->tile_columns - first < lanes ? p->tile_columns - first : lanes;
    for (int channel = 0; channel < conv->in_channels; channel++) {
      code->across(at->rows + channel * SPAN * p->line + first, p->line, p->residue, p->at + channel * SPAN * SPAN,
                   at->v);
    }
    for (int block = 0; block < conv->out_blocks; block++) run_block(p, at, block, first, count);
  }
  clear_rows(p, at);
}

/* Rows of tiles [first, end), counted through all samples. */
static void run_range(void *arg, int64_t first, int64_t end, int worker) {
  const pleat_call *call = arg;
  const phases *p = call->state;
  const pleat_x86_conv *conv = &p->conv;
  const pleat_tensor *z = pleat_in(call, PLEAT_X86_Z);
  const ptrdiff_t in = (ptrdiff_t)conv->in_channels * conv->height * conv->width;
  const ptrdiff_t out = conv->out_blocks * pleat_x86_out_plane(conv);
  float *halves[] = {(float *)call->workspace + (size_t)worker * p->thread, NULL};
  halves[1] = halves[0] + p->inputs / 2;
  float *rows = halves[0] + p->inputs, *line = rows + p->rows, *v = line + p->single;
  for (int64_t i = first; i < end; i++) { /* the second half of the inputs is the next row's first */
    const int64_t sample = i / p->tile_rows;
    const int tile = (int)(i % p->tile_rows);
    const float *x = (const float *)call->inputs[PLEAT_X86_X]->data + sample * in;
    const int row = tile * SIDE - conv->pad_begin[0] - p->front[0];
    if (tile == 0 || i == first) fill(p, x, row, line, halves[0]);
    fill(p, x, row + SIDE, line, halves[1]);
    for (int channel = 0; channel < conv->in_channels; channel++) {
      conv->code->phases.down(halves[0] + channel * SIDE * p->line, halves[1] + channel * SIDE * p->line, p->line,
                              SIDE * p->residue, rows + channel * SPAN * p->line);
    }
    const place at = {.z = z != NULL ? (const float *)z->data + sample * out : NULL,
                      .y = (float *)call->outputs[0]->data + sample * out,
                      .row = tile * OUTPUTS,
                      .rows = rows,
                      .v = v,
                      .sums = v + p->v};
    run_row(p, &at);
    float *second = halves[1];
    halves[1] = halves[0];
    halves[0] = second;
  }
}

static pleat_status run(const pleat_call *call) {
  const phases *p = call->state;
  const int64_t rows = p->conv.batch * p->tile_rows;
  const int64_t work = rows * OUTPUTS * p->conv.out_width * p->conv.out_blocks * p->conv.code->lanes;
  pleat_parallel_ranges(work < PLEAT_PARALLEL_MIN ? 1 : call->threads, rows, run_range, (void *)(uintptr_t)call);
  return PLEAT_OK;
}

/* ---- choosing ---- */

/* In products of a vector; what transforms take was measured. */
static bool is_faster(const pleat_call *call) {
  const double block_time = 120, channel_time = 150, least_gain = 1.2;
  const pleat_tensor *w = call->inputs[PLEAT_X86_W], *y = call->outputs[0];
  const pleat_x86_conv conv = {.in_channels = (int)w->dims[1], .kernel = {(int)w->dims[2], (int)w->dims[3]}};
  const double channels = (double)w->dims[1], height = (double)y->dims[2], width = (double)y->dims[3];
  const double blocks = ceil((double)y->dims[1] / pleat_x86_code_of_cpu()->lanes);
  const double tiles = ceil(height / OUTPUTS) * ceil(width / OUTPUTS);
  const double direct = conv.kernel[0] * conv.kernel[1] * channels * blocks * height * width;
  return direct > least_gain * tiles * (blocks * (count_steps(&conv) + block_time) + channels * channel_time);
}

static const char *supports(const pleat_call *call) {
  const char *reason = pleat_x86_refuse_planes(call);
  if (reason != NULL) return reason;
  const pleat_tensor *w = call->inputs[PLEAT_X86_W];
  const int64_t *strides = NULL;
  if (call->exact) return "exact results were asked for";
  if (call->bf16) return "not in bfloat16";
  if (w->rank != 4 || w->dims[2] < 5 || w->dims[2] > 8 || w->dims[3] < 5 || w->dims[3] > 8)
    return "its kernel is not of 5 to 8 rows and columns";
  if (pleat_attr_ints(call->node, "strides", &strides) == 0 || !pleat_attr_ints_all(call->node, "strides", 2))
    return "its strides are not 2";
  if (!pleat_attr_ints_all(call->node, "dilations", 1)) return "dilations";
  return is_faster(call) ? NULL : "the direct algorithm is faster here";
}

const pleat_kernel pleat_x86_planes_winograd = {.name = "planes winograd",
                                                .types = PLEAT_M_F32,
                                                .flags = PLEAT_KERNEL_LAYOUTS,
                                                .inplace = 1u << PLEAT_X86_Z,
                                                .supports = supports,
                                                .prepare = prepare,
                                                .run = run,
                                                .packs = 1u << PLEAT_X86_W};

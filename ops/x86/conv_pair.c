/* A 1x1 convolution and the depthwise one that alone reads it, as one step: the first makes some rows of two blocks of
 * channels in a buffer that stays in the second-level cache, the second reads them there, and the large tensor between
 * the two is never in memory. Rows that the next rows of output see as well stay in the buffer.
 *
 * Sums are those of the two kernels one after the other (conv.c, depthwise.c), in their order: the result is bitwise
 * theirs. Work is cut into items: two blocks of channels, of some of the rows. */
#include <string.h>

#include "core/parallel.h"
#include "ops/conv.h"
#include "ops/conv_pair.h"
#include "ops/x86/x86.h"

typedef struct pair {
  pleat_x86_conv first, second;
  const void *weights; /* of the first, as conv.c packs them */
  const float *taps;   /* of the second: [blocks][taps][lanes] */
  pleat_x86_depthwise_function *rows;
  ptrdiff_t *offsets;       /* of the first one's blocks of depth */
  bool has_half;            /* the filters' last block is a half */
  int pairs;                /* of blocks between the two, the last maybe a single block */
  int pieces;               /* items along the rows of output */
  int band;                 /* rows of output that are made from one filling of the buffer */
  int buffer_rows;          /* of each of the two blocks */
  ptrdiff_t fetch_distance; /* to the filters of the item that a thread takes next; 0: they are near enough */
} pair;

typedef struct job {
  const pair *p;
  const float *x;
  float *y, *buffers, *means; /* means: of the second one's rows; NULL: they are not wanted */
} job;

/* ---- what is taken ---- */

static const char *const variants[] = {"row by row", NULL};

static bool is_pointwise(const pleat_x86_conv *conv) {
  const int pads = conv->pad_begin[0] + conv->pad_begin[1] + conv->pad_end[0] + conv->pad_end[1];
  return conv->groups == 1 && conv->kernel[0] * conv->kernel[1] == 1 && conv->stride[0] * conv->stride[1] == 1 &&
         pads == 0;
}

/* ---- preparing ---- */

static size_t buffer_floats(const pair *p) {
  return 2 * (size_t)p->buffer_rows * (size_t)p->first.width * (size_t)p->first.code->lanes;
}

/* Rows between the two that the busiest thread makes where the output's rows are cut into so many pieces: those at the
 * border of two pieces are made for both. */
static int64_t rows_of_thread(const pair *p, int pieces, int threads) {
  const pleat_x86_conv *second = &p->second;
  const int rows = (pleat_x86_divide_up(second->out_height, pieces) - 1) * second->stride[0] + pleat_x86_extent(second);
  const int64_t items = pieces * p->pairs * second->batch;
  return (items + threads - 1) / threads * rows;
}

static int64_t fewest_rows(const pair *p, int threads, int most) {
  int64_t fewest = INT64_MAX;
  for (int pieces = 1; pieces <= most; pieces++) {
    const int64_t rows = rows_of_thread(p, pieces, threads);
    if (rows < fewest) fewest = rows;
  }
  return fewest;
}

/* A thread takes rows of all channels, as in the convolution behind the pair, even where it has to make some more of
 * them: lines that each core had of the other one cost more, above all to write them again. Else the cut is the best
 * one for its rows. Either way it is the finest that costs hardly more: the smaller the items, the less a thread waits
 * for others. */
static void set_pieces(pair *p, int threads) {
  enum { MOST = 8, HARDLY_PERCENT = 3, APART_PERCENT = 8 };
  const int most = p->second.out_height < MOST ? p->second.out_height : MOST;
  int64_t fewest = fewest_rows(p, threads, most);
  int step = 1;
  p->pieces = 1;
  if (threads == 1) return;
  if (threads <= most && rows_of_thread(p, threads, threads) * 100 <= fewest * (100 + APART_PERCENT)) {
    step = p->pieces = threads;
    fewest = rows_of_thread(p, threads, threads);
  }
  for (int pieces = step; pieces <= most; pieces += step) {
    if (rows_of_thread(p, pieces, threads) * 100 <= fewest * (100 + HARDLY_PERCENT)) p->pieces = pieces;
  }
}

/* As much as the cache has room for, beside the filters and what goes through. */
static void set_buffer(pair *p) {
  enum { BUFFER_BYTES = 128 * 1024 };
  const pleat_x86_conv *second = &p->second;
  const size_t row = 2 * (size_t)p->first.width * (size_t)p->first.code->lanes * sizeof(float);
  const int most = pleat_x86_divide_up(second->out_height, p->pieces);
  p->band = pleat_x86_band(second, BUFFER_BYTES / row, most, &p->buffer_rows);
}

/* Where an item is one filling of the buffer, few positions share its filters: the next ones are fetched meanwhile. */
static void set_fetch(pair *p, int threads) {
  const ptrdiff_t lanes = p->first.code->lanes;
  if (p->band < p->second.out_height || p->pairs <= threads) return;
  p->fetch_distance = 2 * p->first.in_blocks * lanes * lanes;
}

static pleat_status prepare(pleat_call *call) {
  pair *p = pleat_call_state(call, sizeof *p);
  pleat_conv_pair *parts = pleat_arena_alloc(call->arena, sizeof *parts);
  if (p == NULL || parts == NULL) return PLEAT_OOM(call->error);
  PLEAT_TRY(pleat_conv_pair_split(call, parts));
  pleat_call *first = &parts->calls[0], *second = &parts->calls[1];
  const char *reason = pleat_x86_refuse_conv(first, false);
  if (reason == NULL) reason = pleat_x86_refuse_pair(first, second);
  if (reason != NULL) return pleat_fail(call->error, PLEAT_UNSUPPORTED, "%s", reason);
  PLEAT_TRY(pleat_x86_describe_conv(first, &p->first));
  PLEAT_TRY(pleat_x86_describe_conv(second, &p->second));
  if (!is_pointwise(&p->first)) return pleat_fail(call->error, PLEAT_UNSUPPORTED, "the first is not a plain 1x1 one");
  call->wanted[PLEAT_PAIR_X] = first->wanted[PLEAT_X86_X];
  p->rows = p->second.code->depthwise[p->second.kernel[1] / 2][p->second.stride[1] - 1];
  p->has_half = pleat_x86_has_half(&p->first);
  p->pairs = pleat_x86_divide_up(p->first.out_blocks, 2);
  p->offsets = pleat_arena_array(call->arena, (size_t)p->first.in_blocks, sizeof *p->offsets);
  if (p->offsets == NULL) return PLEAT_OOM(call->error);
  for (int block = 0; block < p->first.in_blocks; block++) p->offsets[block] = block * pleat_x86_plane(&p->first);
  call->variant = 1;
  set_pieces(p, call->threads);
  set_buffer(p);
  set_fetch(p, call->threads);
  call->workspace_size = (size_t)call->threads * buffer_floats(p) * sizeof(float);
  if (pleat_conv_gives_mean(second)) call->workspace_size += pleat_x86_means_bytes(&p->second);
  PLEAT_TRY(pleat_x86_pack_direct(first, &p->first, &p->weights));
  return pleat_x86_pack_depthwise(second, &p->second, &p->taps);
}

/* ---- running ---- */

/* Rows [row, end) of the value between the two: blocks from 2 * index on, to `to`; x is the sample's. */
static void make_rows(const pair *p, const float *x, int index, int row, int end, float *to) {
  const pleat_x86_conv *conv = &p->first;
  const int lanes = conv->code->lanes, columns = conv->out_blocks - 2 * index > 1 ? 2 : 1;
  const int count = (end - row) * conv->width, tiles = pleat_x86_divide_up(count, conv->code->rows);
  const ptrdiff_t plane = (ptrdiff_t)p->buffer_rows * conv->width * lanes;
  pleat_x86_tile tile = {.offsets = p->offsets,
                         .blocks = conv->in_blocks,
                         .last = conv->in_channels - (conv->in_blocks - 1) * lanes,
                         .w = (const float *)p->weights + (ptrdiff_t)2 * index * conv->in_blocks * lanes * lanes,
                         .bias = conv->bias + 2 * index * lanes,
                         .activation = &conv->activation};
  x += (ptrdiff_t)row * conv->width * lanes;
  for (int t = 0; t < tiles; t++) {
    const int at = (int)((int64_t)count * t / tiles), rows = (int)((int64_t)count * (t + 1) / tiles) - at;
    tile.a = x + (ptrdiff_t)at * lanes;
    for (int j = 0; j < columns; j++) tile.c[j] = to + j * plane + (ptrdiff_t)at * lanes;
    if (p->fetch_distance > 0)
      pleat_x86_fetch_part(&tile, (const float *)tile.w + p->fetch_distance, tile.blocks,
                           (size_t)(lanes * columns * lanes) * sizeof(float), t, tiles);
    pleat_x86_direct_tile(conv, p->has_half, index, rows, &tile);
  }
}

static void run_item(void *arg, int64_t item, int worker) {
  const job *job = arg;
  const pair *p = job->p;
  const pleat_x86_conv *first = &p->first, *second = &p->second;
  const int lanes = first->code->lanes;
  const int index = (int)(item % p->pairs), piece = (int)(item / p->pairs % p->pieces);
  const int64_t sample = item / p->pieces / p->pairs;
  const int end = (int)((int64_t)second->out_height * (piece + 1) / p->pieces);
  const int columns = first->out_blocks - 2 * index > 1 ? 2 : 1;
  const ptrdiff_t line = (ptrdiff_t)first->width * lanes, plane = p->buffer_rows * line;
  float *buffer = job->buffers + (size_t)worker * buffer_floats(p);
  int begun = 0, made = 0; /* which rows the buffer has */
  for (int row = (int)((int64_t)second->out_height * piece / p->pieces), next; row < end; row = next) {
    int top, bottom;
    next = row + p->band < end ? row + p->band : end;
    pleat_x86_see(second, row, next, &top, &bottom);
    const int kept = made > top ? made - top : 0;
    for (int j = 0; j < columns && kept > 0; j++)
      memmove(buffer + j * plane, buffer + j * plane + (top - begun) * line, (size_t)(kept * line) * sizeof *buffer);
    begun = top;
    made = bottom;
    make_rows(p, job->x + sample * first->in_blocks * pleat_x86_plane(first), index, top + kept, bottom,
              buffer + kept * line);
    for (int j = 0; j < columns; j++) {
      const int64_t block = 2 * index + j, out = sample * second->out_blocks + block;
      pleat_x86_run_depthwise(second, p->rows, block, buffer + j * plane - top * line, p->taps, NULL,
                              job->y + out * pleat_x86_out_plane(second),
                              job->means != NULL ? job->means + out * second->out_height * lanes : NULL, row, next);
    }
  }
}

static pleat_status run(const pleat_call *call) {
  const pair *p = call->state;
  job job = {.p = p, .x = call->inputs[PLEAT_PAIR_X]->data, .y = call->outputs[0]->data, .buffers = call->workspace};
  if (pleat_conv_gives_mean(call)) job.means = job.buffers + (size_t)call->threads * buffer_floats(p);
  pleat_parallel(call->threads, p->pieces * p->pairs * p->second.batch, run_item, &job);
  if (job.means != NULL) pleat_x86_finish_means(&p->second, job.means, call->outputs[1]->data);
  return PLEAT_OK;
}

const pleat_kernel pleat_x86_conv_pair = {.name = "pair",
                                          .types = PLEAT_M_F32,
                                          .flags = PLEAT_KERNEL_LAYOUTS,
                                          .variants = variants,
                                          .prepare = prepare,
                                          .run = run,
                                          .packs = 1u << PLEAT_PAIR_W1 | 1u << PLEAT_PAIR_W2};

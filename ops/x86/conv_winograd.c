/* 3x3 convolutions by Winograd's F(4x4, 3x3), a quarter of the multiplications of the direct algorithm, by F(2x2, 3x3),
 * or, with stride 2, by a combination that needs 25 / 36 (winograd.inc). Tiles of the input are transformed, multiplied
 * point by point (36 products of tiles by filters, each summed over the channels), and transformed back with bias,
 * addend and activation.
 *
 * Two ways to cut the work. Small filters: each thread takes runs of tiles through all three steps, with everything in
 * its second-level cache. Large ones, which would be read from memory again for each run of tiles: all tiles are
 * transformed first, then each thread takes pairs of blocks of filters, and reads its own filters once. Either way the
 * tiles of a run lie in groups of as many as one product takes: what a product reads, and what a transform writes, is
 * close together.
 *
 * Error: sums and differences before and after the products round as well; measured against float64, the root mean
 * square error is 1.6 to 2 times the direct algorithm's, and test_x86_conv asserts at most 3 times; in bfloat16 as
 * well, where transformed inputs and filters are rounded before the products and F(4x4) is not used: it measures 5
 * times. `exact` sessions do not use any. What is not finite in the input spreads over the tiles that see it, not only
 * over the window. */
#include <math.h>
#include <string.h>

#include "core/checked.h"
#include "core/parallel.h"
#include "ops/x86/x86.h"

typedef struct winograd {
  pleat_x86_conv conv;
  const pleat_x86_winograd *code;
  int points;
  const void *weights; /* [pairs][filters^2][in blocks][lanes][columns][lanes], as tiles have them (x86.h) */
  ptrdiff_t *offsets;  /* of the in blocks in a group's transformed inputs */
  int pairs;
  int tile_rows, tile_columns;
  int64_t tiles;    /* of all samples */
  int run;          /* tiles that are transformed together */
  bool is_shared;   /* the second way: inputs of a run are shared by all threads */
  int rows, groups; /* a run's tiles are cut into groups of so many: tiles of the products */
  ptrdiff_t block;  /* numbers of one block of channels of a group: [points][rows][lanes] */
} winograd;

/* One run. */
typedef struct job {
  const winograd *w;
  const void *x, *z;
  void *y, *inputs; /* inputs and products: one of each for each thread; shared: one of inputs */
  float *products;
  int64_t first; /* shared: the first tile */
} job;

/* ---- choosing ---- */

/* Rough times in cycles: products run at nearly as many vectors a cycle as the CPU has units, transforms by what was
 * measured, and weights come from memory in each run of a large network. A part of that time hides behind arithmetic.
 */
static double weights_time(double count, size_t element) {
  const double bytes_per_cycle = 7;
  return count * (double)element / bytes_per_cycle;
}

/* What the choice is made from: blocks, and outputs of all samples. */
typedef struct extent {
  double lanes, rows, in, out, samples, height, width;
  double units; /* that multiply vectors */
  size_t element;
} extent;

/* Vectors of bfloat16 have twice the depth. */
static double products_time(double products, const extent *e) {
  return products / (e->units * sizeof(float) / (double)e->element);
}

static double direct_time(const extent *e) {
  const double products = 9 * e->in * e->lanes * e->out;
  return e->samples * e->height * e->width * products_time(products, e) + weights_time(products * e->lanes, e->element);
}

static double winograd_time(const extent *e, const pleat_x86_winograd *code) {
  const double point_cycles = 3.2, result_cycles = 2.5; /* of the transforms, for each point */
  const double points = code->in * code->in, products = points * e->in * e->lanes * e->out;
  const double weights = code->filters * code->filters * e->in * e->lanes * e->out * e->lanes;
  const double tiles = e->samples * ceil(e->height / code->out) * ceil(e->width / code->out);
  const double filled = tiles < e->rows / 2 ? tiles / (e->rows / 2) : 1; /* few rows leave the multipliers waiting */
  return tiles * products_time(products, e) / filled + weights_time(weights, e->element) +
         tiles * points * (e->in * point_cycles + e->out * result_cycles);
}

/* Of both axes; 0: they differ. */
static int64_t stride_of(const pleat_node *node) {
  const int64_t *strides = NULL;
  if (pleat_attr_ints(node, "strides", &strides) == 0) return 1;
  return pleat_attr_ints_all(node, "strides", strides[0]) ? strides[0] : 0;
}

/* The size of tiles that is worth it; NULL: none. */
static const pleat_x86_winograd *choose(const pleat_call *call) {
  const double least_gain = 1.08;
  const pleat_x86_code *code = pleat_x86_code_for(call->bf16);
  const pleat_tensor *x = call->inputs[PLEAT_X86_X], *y = call->outputs[0];
  const extent e = {.lanes = code->lanes,
                    .rows = code->rows,
                    .in = ceil((double)x->dims[1] / code->lanes),
                    .out = ceil((double)y->dims[1] / code->lanes),
                    .samples = (double)y->dims[0],
                    .height = (double)y->dims[2],
                    .width = (double)y->dims[3],
                    .units = pleat_x86_units(code),
                    .element = code->element};
  const pleat_x86_winograd *best = NULL;
  const int64_t stride = stride_of(call->node);
  double least = direct_time(&e) / least_gain;
  for (int i = 0; i < PLEAT_X86_WINOGRADS; i++) {
    if (code->winograd[i].stride != stride) continue;
    const double time = winograd_time(&e, &code->winograd[i]);
    if (time >= least) continue;
    least = time;
    best = &code->winograd[i];
  }
  return best;
}

static const char *supports(const pleat_call *call) {
  const char *reason = pleat_x86_refuse_conv(call, false);
  if (reason != NULL) return reason;
  const pleat_tensor *w = call->inputs[PLEAT_X86_W];
  if (call->exact) return "exact results were asked for";
  if (w->rank != 4 || w->dims[2] != 3 || w->dims[3] != 3) return "its kernel is not 3x3";
  if (!pleat_attr_ints_all(call->node, "dilations", 1)) return "dilations";
  if (stride_of(call->node) != 1 && stride_of(call->node) != 2) return "its strides are neither 1 nor 2";
  if (pleat_attr_int(call->node, "group") != 1) return "groups";
  return choose(call) != NULL ? NULL : "the direct algorithm is faster here";
}

/* ---- preparing ---- */

/* Of one block of depth. */
static size_t block_bytes(const pleat_x86_code *code, int columns) {
  return (size_t)(code->lanes * columns * code->lanes) * code->element;
}

static size_t pair_bytes(const winograd *w) {
  return (size_t)(w->code->filters * w->code->filters) * (size_t)w->conv.in_blocks * block_bytes(w->conv.code, 2);
}

/* [filters^2][depth][columns][lanes] of one pair, by winograd[variant]. */
static void pack_pair(const pleat_x86_conv *conv, int variant, const float *filters, int count, int columns, void *to) {
  const pleat_x86_winograd *code = &conv->code->winograd[variant];
  const size_t width = (size_t)(columns * conv->code->lanes);
  code->weights(filters, (size_t)conv->in_channels * 9, conv->in_channels, count, columns, to,
                (size_t)(conv->in_blocks * conv->code->lanes) * width);
}

/* How many tiles go together, and in which of the two ways. */
static void set_runs(winograd *w, int threads) {
  enum { CACHED_BYTES = 640 * 1024, SHARED_BYTES = 6 * 1024 * 1024, LARGE_FILTERS = 1536 * 1024 };
  const int64_t lanes = w->conv.code->lanes;
  const int64_t tile_bytes = w->points * w->conv.in_blocks * lanes * (int64_t)w->conv.code->element;
  const int64_t filter_bytes = (int64_t)pair_bytes(w) / 2 * w->conv.out_blocks;
  w->is_shared = filter_bytes > LARGE_FILTERS;
  const int64_t product_bytes = w->points * 2 * lanes * (int64_t)sizeof(float);
  int64_t most = w->is_shared ? SHARED_BYTES / tile_bytes : CACHED_BYTES / (tile_bytes + product_bytes);
  if (most < w->conv.code->rows) most = w->conv.code->rows;
  int64_t runs = (w->tiles + most - 1) / most;
  if (!w->is_shared && threads > 1) runs = (runs + threads - 1) / threads * threads; /* as many for each */
  if (runs > w->tiles) runs = w->tiles;
  w->run = (int)((w->tiles + runs - 1) / runs);
  w->rows = pleat_x86_divide_up(w->run, pleat_x86_divide_up(w->run, w->conv.code->rows));
  w->groups = pleat_x86_divide_up(w->run, w->rows);
  w->block = (ptrdiff_t)w->points * w->rows * lanes;
}

/* Numbers of a run: transformed inputs [groups][in blocks][points][rows][lanes], and, after those of all threads,
 * products [groups][2][points][rows][lanes]. */
static ptrdiff_t inputs_of(const winograd *w) {
  return w->block * w->groups * w->conv.in_blocks;
}
static ptrdiff_t products_of(const winograd *w) {
  return w->block * w->groups * 2;
}

static pleat_status set_workspace(const winograd *w, pleat_call *call) {
  const size_t threads = (size_t)call->threads, sets = w->is_shared ? 1 : threads;
  size_t inputs, products;
  if (!pleat_mul_size((size_t)inputs_of(w) * w->conv.code->element, sets, &inputs) ||
      !pleat_mul_size((size_t)products_of(w) * sizeof(float), threads, &products) ||
      !pleat_add_size(inputs, products, &call->workspace_size))
    return PLEAT_OOM(call->error);
  return PLEAT_OK;
}

static pleat_status prepare(pleat_call *call) {
  winograd *w = pleat_call_state(call, sizeof *w);
  if (w == NULL) return PLEAT_OOM(call->error);
  PLEAT_TRY(pleat_x86_describe_conv(call, &w->conv));
  const pleat_x86_conv *conv = &w->conv;
  w->pairs = pleat_x86_divide_up(conv->out_blocks, 2);
  w->code = choose(call);
  w->points = w->code->in * w->code->in;
  w->tile_rows = pleat_x86_divide_up(conv->out_height, w->code->out);
  w->tile_columns = pleat_x86_divide_up(conv->out_width, w->code->out);
  w->tiles = conv->batch * w->tile_rows * w->tile_columns;
  w->offsets = pleat_arena_array(call->arena, (size_t)conv->in_blocks, sizeof *w->offsets);
  if (w->offsets == NULL) return PLEAT_OOM(call->error);
  set_runs(w, call->threads);
  for (int b = 0; b < conv->in_blocks; b++) w->offsets[b] = w->block * b;
  PLEAT_TRY(set_workspace(w, call));
  const pleat_x86_weights weights = {.kernel = "x86 winograd",
                                     .variant = (int)(w->code - conv->code->winograd),
                                     .set = 2,
                                     .block_bytes = pair_bytes(w) / 2,
                                     .pack = pack_pair};
  return pleat_x86_pack_weights(call, conv, &weights, &w->weights);
}

/* ---- running ---- */

/* Tiles that are neighbours in a row of a sample. */
typedef struct piece {
  int64_t sample;
  int row, column; /* of the first output */
  int count;
} piece;

/* Those from `first` on, at most `most`. */
static piece piece_of(const winograd *w, int64_t first, int most) {
  const int64_t row = first / w->tile_columns;
  const int column = (int)(first % w->tile_columns), left = w->tile_columns - column;
  return (piece){.sample = row / w->tile_rows,
                 .row = (int)(row % w->tile_rows) * w->code->out,
                 .column = column * w->code->out,
                 .count = left < most ? left : most};
}

/* How many tiles a group has, of `count` in the run. */
static int rows_of(const winograd *w, int group, int count) {
  const int left = count - group * w->rows;
  return left < w->rows ? left : w->rows;
}

/* Inputs of one block of channels of one group: part `part` of what `inputs` holds, of a run of `count` tiles. */
static void transform_part(const job *job, int part, int64_t first, int count, void *inputs) {
  const winograd *w = job->w;
  const pleat_x86_conv *conv = &w->conv;
  const int lanes = conv->code->lanes, group = part / conv->in_blocks, block = part % conv->in_blocks;
  const int rows = rows_of(w, group, count);
  piece p;
  for (int row = 0; row < rows; row += p.count) {
    p = piece_of(w, first + group * w->rows + row, rows - row);
    /* Where the next part's are going to be comes from far away. */
    const ptrdiff_t to = w->block * part + row * lanes,
                    soon = w->block * (part + 1) + (ptrdiff_t)row * w->points * lanes;
    w->code->input(pleat_x86_at(conv->code, job->x, (p.sample * conv->in_blocks + block) * pleat_x86_plane(conv)),
                   conv->height, conv->width, p.row * w->code->stride - conv->pad_begin[0],
                   p.column * w->code->stride - conv->pad_begin[1], p.count, pleat_x86_to(conv->code, inputs, to),
                   (ptrdiff_t)w->rows * lanes, pleat_x86_at(conv->code, inputs, soon));
  }
}

/* The products of `count` tiles with one pair of blocks of filters. */
static void multiply(const winograd *w, int pair, int columns, int count, const void *inputs, float *products) {
  const pleat_x86_code *code = w->conv.code;
  const int groups = pleat_x86_divide_up(count, w->rows);
  const size_t block = block_bytes(code, columns), filter = (size_t)w->conv.in_blocks * block;
  pleat_x86_tile tile = {.offsets = w->offsets, .blocks = w->conv.in_blocks, .last = code->lanes};
  const char *weights = (const char *)w->weights + (size_t)pair * pair_bytes(w);
  for (int p = 0; p < w->points; p++) {
    tile.w = weights + (size_t)w->code->filter(p) * filter;
    for (int g = 0; g < groups; g++) {
      const ptrdiff_t point = (ptrdiff_t)p * w->rows * code->lanes;
      tile.a = pleat_x86_at(code, inputs, w->block * g * tile.blocks + point);
      tile.c[0] = products + w->block * g * 2 + point;
      tile.c[1] = products + w->block * (g * 2 + 1) + point;
      /* Filters come from far away when there are many: those of the next point meanwhile. */
      pleat_x86_fetch_part(&tile, (const char *)tile.w + filter, tile.blocks, block, g, groups);
      code->sums[columns - 1][rows_of(w, g, count)](&tile);
    }
  }
}

/* Outputs in a block that has lanes which are no channels. */
static void clear_piece(const winograd *w, const piece *p, int channels, void *plane) {
  const pleat_x86_conv *conv = &w->conv;
  const int out = w->code->out, rows = conv->out_height - p->row < out ? conv->out_height - p->row : out;
  const int left = conv->out_width - p->column, columns = left < p->count * out ? left : p->count * out;
  for (int i = 0; i < rows; i++) {
    const ptrdiff_t at = (ptrdiff_t)(p->row + i) * conv->out_width + p->column;
    conv->code->clear_lanes(pleat_x86_to(conv->code, plane, at * conv->code->lanes), columns, channels);
  }
}

/* One block of channels of a group of `rows` tiles from `first` on. */
static void transform_outputs(const job *job, int block, int64_t first, int rows, const float *products) {
  const winograd *w = job->w;
  const pleat_x86_conv *conv = &w->conv;
  const int lanes = conv->code->lanes, channels = pleat_x86_channels_of(conv, block);
  piece p;
  for (int row = 0; row < rows; row += p.count) {
    p = piece_of(w, first + row, rows - row);
    const ptrdiff_t plane = (p.sample * conv->out_blocks + block) * pleat_x86_out_plane(conv);
    void *y = pleat_x86_to(conv->code, job->y, plane);
    w->code->output(products + row * lanes, (ptrdiff_t)w->rows * lanes, conv->bias + block * lanes,
                    pleat_x86_at(conv->code, job->z, plane), y, conv->out_height, conv->out_width, p.row, p.column,
                    p.count, &conv->activation);
    if (channels < lanes) clear_piece(w, &p, channels, y);
  }
}

/* Products and results of one pair of blocks, for the tiles whose inputs are there. */
static void run_pair(const job *job, int pair, int64_t first, int count, const void *inputs, float *products) {
  const winograd *w = job->w;
  const int columns = w->conv.out_blocks - 2 * pair > 1 ? 2 : 1;
  multiply(w, pair, columns, count, inputs, products);
  for (int j = 0; j < columns; j++) {
    for (int g = 0; g * w->rows < count; g++) {
      transform_outputs(job, 2 * pair + j, first + g * w->rows, rows_of(w, g, count),
                        products + w->block * (2 * g + j));
    }
  }
}

static int run_length(const winograd *w, int64_t first) {
  return w->tiles - first < w->run ? (int)(w->tiles - first) : w->run;
}

static int parts_of(const winograd *w, int count) {
  return pleat_x86_divide_up(count, w->rows) * w->conv.in_blocks;
}

static void run_item(void *arg, int64_t item, int thread) {
  const job *job = arg;
  const winograd *w = job->w;
  float *products = job->products + products_of(w) * thread;
  if (w->is_shared) {
    run_pair(job, (int)item, job->first, run_length(w, job->first), job->inputs, products);
    return;
  }
  const int64_t first = item * w->run;
  const int count = run_length(w, first);
  void *inputs = pleat_x86_to(w->conv.code, job->inputs, inputs_of(w) * thread);
  for (int part = 0; part < parts_of(w, count); part++) transform_part(job, part, first, count, inputs);
  for (int pair = 0; pair < w->pairs; pair++) run_pair(job, pair, first, count, inputs, products);
}

static void transform_item(void *arg, int64_t part, int thread) {
  const job *job = arg;
  (void)thread;
  transform_part(job, (int)part, job->first, run_length(job->w, job->first), job->inputs);
}

static pleat_status run(const pleat_call *call) {
  const winograd *w = call->state;
  const pleat_tensor *z = pleat_in(call, PLEAT_X86_Z);
  const ptrdiff_t inputs = inputs_of(w) * (w->is_shared ? 1 : call->threads);
  job job = {.w = w,
             .x = call->inputs[PLEAT_X86_X]->data,
             .z = z != NULL ? z->data : NULL,
             .y = call->outputs[0]->data,
             .inputs = call->workspace,
             .products = pleat_x86_to(w->conv.code, call->workspace, inputs)};
  if (!w->is_shared) pleat_parallel(call->threads, (w->tiles + w->run - 1) / w->run, run_item, &job);
  for (; w->is_shared && job.first < w->tiles; job.first += w->run) {
    pleat_parallel(call->threads, parts_of(w, run_length(w, job.first)), transform_item, &job);
    pleat_parallel(call->threads, w->pairs, run_item, &job);
  }
  return PLEAT_OK;
}

const pleat_kernel pleat_x86_conv_winograd = {.name = "winograd",
                                              .types = PLEAT_M_F32,
                                              .flags = PLEAT_KERNEL_LAYOUTS | PLEAT_KERNEL_BF16,
                                              .inplace = 1u << PLEAT_X86_Z,
                                              .supports = supports,
                                              .prepare = prepare,
                                              .run = run,
                                              .packs = 1u << PLEAT_X86_W};

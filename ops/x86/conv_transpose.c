/* Transposed convolutions whose windows do not overlap (the stride is the kernel's size, mostly 2x2): every output is
 * one input position times one tap, so all taps together are one product, [positions, in channels] by [in channels,
 * taps by out channels], whose results are scattered.
 *
 * The columns of the product are whole blocks of channels for each tap in turn; or, where there are fewer channels than
 * a vector holds, all channels of all taps after one another, and then the output is dense. A tile is computed into
 * scratch memory of its own and scattered from there. Work is cut into items as in conv.c. */
#include <limits.h>
#include <string.h>

#include "core/memory.h"
#include "core/parallel.h"
#include "core/shape.h"
#include "ops/conv_shape.h"
#include "ops/x86/x86.h"

enum { X = PLEAT_X86_X, W = PLEAT_X86_W, B = PLEAT_X86_B };

typedef struct transposed {
  const pleat_x86_code *code;
  pleat_x86_activation activation;
  int64_t batch;
  int height, width, kernel[2]; /* of the input; with one spatial axis, planes of one line */
  int in_channels, in_blocks, channels, out_blocks;
  bool is_narrow;
  int columns; /* blocks of the product */
  int pairs;   /* of such blocks, the last maybe a single one */
  const ptrdiff_t *offsets;
  const float *weights, *bias; /* [pairs][depth][columns][lanes], [columns][lanes] */
  int tiles;                   /* of a sample */
  int chunk_pairs, chunks;     /* pairs of an item, and items along the pairs */
  int item_tiles, pieces;      /* tiles of an item, and items along the tiles */
} transposed;

/* ---- which ---- */

static bool windows_touch(const pleat_call *call) {
  const pleat_tensor *x = call->inputs[X], *w = call->inputs[W], *y = call->outputs[0];
  const int64_t *strides = NULL;
  const size_t count = pleat_attr_ints(call->node, "strides", &strides);
  for (int i = 0; i + 2 < x->rank; i++) {
    const int64_t stride = (size_t)i < count ? strides[i] : 1;
    if (stride != w->dims[2 + i] || y->dims[2 + i] != x->dims[2 + i] * stride) return false;
  }
  return true;
}

static bool is_plain(const pleat_node *node) {
  static const char *const lists[] = {"pads", "output_padding"};
  const char *automatic = pleat_attr_string(node, "auto_pad");
  for (size_t l = 0; l < sizeof lists / sizeof *lists; l++) {
    const int64_t *values = NULL;
    const size_t count = pleat_attr_ints(node, lists[l], &values);
    for (size_t i = 0; i < count; i++) {
      if (values[i] != 0) return false;
    }
  }
  const int64_t *dilations = NULL;
  const size_t count = pleat_attr_ints(node, "dilations", &dilations);
  for (size_t i = 0; i < count; i++) {
    if (dilations[i] != 1) return false;
  }
  return strncmp(automatic, "SAME", 4) != 0 && pleat_attr_int(node, "group") == 1;
}

static const char *supports(const pleat_call *call) {
  const pleat_x86_code *code = pleat_x86_code_of_cpu();
  const pleat_tensor *x = call->inputs[X], *w = call->inputs[W], *b = pleat_in(call, B), *y = call->outputs[0];
  pleat_x86_activation activation;
  if (code == NULL) return PLEAT_X86_NO_CODE;
  if (call->wanted == NULL) return "only where layouts are planned";
  if (x->rank < 3 || x->rank > 4) return "not for this number of dimensions";
  if (x->count == 0 || w->count == 0 || y->count == 0) return "an empty tensor";
  if (!pleat_call_is_constant(call, W)) return "the weight is not constant";
  if (b != NULL && b->data == NULL) return "the bias is not constant";
  if (!is_plain(call->node) || !windows_touch(call)) return "its stride is not its kernel";
  if (x->dims[1] < code->lanes) return "fewer channels than a vector holds";
  if (!pleat_x86_activation_of(call->node, &activation)) return "not with this activation";
  if (y->dims[1] > code->lanes && y->dims[1] % code->lanes != 0 && !pleat_x86_keeps_zero(&activation))
    return "its activation does not keep zero";
  return NULL;
}

/* ---- preparing ---- */

static int taps_of(const transposed *d) {
  return d->kernel[0] * d->kernel[1];
}

static size_t pair_floats(const transposed *d) {
  return (size_t)d->in_blocks * (size_t)d->code->lanes * 2 * (size_t)d->code->lanes;
}

/* The column of the product, in lanes, that has this channel of this tap. */
static int column_of(const transposed *d, int tap, int channel) {
  return d->is_narrow ? tap * d->channels + channel : tap * d->out_blocks * d->code->lanes + channel;
}

static pleat_status set_sizes(transposed *d, const pleat_call *call) {
  const pleat_tensor *x = call->inputs[X], *w = call->inputs[W], *y = call->outputs[0];
  const int spatial = x->rank - 2, first = 2 - spatial, lanes = d->code->lanes;
  int *const sizes[] = {&d->height, &d->width};
  if (x->dims[1] > INT_MAX / 64 || w->count > INT_MAX / 64 || pleat_volume(y->dims, 2, y->rank) > INT_MAX / 64)
    return pleat_fail(call->error, PLEAT_UNSUPPORTED, "a plane is too large");
  d->height = d->kernel[0] = 1;
  for (int i = 0; i < spatial; i++) {
    *sizes[first + i] = (int)x->dims[2 + i];
    d->kernel[first + i] = (int)w->dims[2 + i];
  }
  d->batch = x->dims[0];
  d->in_channels = (int)x->dims[1];
  d->channels = (int)y->dims[1];
  d->in_blocks = pleat_x86_divide_up(d->in_channels, lanes);
  d->out_blocks = pleat_x86_divide_up(d->channels, lanes);
  d->is_narrow = d->channels < lanes;
  d->columns = d->is_narrow ? pleat_x86_divide_up(taps_of(d) * d->channels, lanes) : taps_of(d) * d->out_blocks;
  d->pairs = pleat_x86_divide_up(d->columns, 2);
  return PLEAT_OK;
}

/* The filters' rows are input channels, as the depth of the product is: read some of them, share them out. */
static pleat_status fill(const pleat_pack_source *source, const void *user, void *pack, pleat_error *error) {
  enum { READ_BYTES = 2 << 20 };
  const transposed *d = user;
  const int taps = taps_of(d), lanes = d->code->lanes;
  const size_t row = (size_t)d->channels * (size_t)taps, fit = READ_BYTES / sizeof(float) / row + 1;
  const int run = fit < (size_t)d->in_channels ? (int)fit : d->in_channels;
  const size_t bytes = (size_t)run * row * sizeof(float);
  float *rows = pleat_block_alloc(bytes), *to = pack;
  if (rows == NULL) return PLEAT_OOM(error);
  for (int k = 0; k < d->in_channels; k++) {
    const int left = d->in_channels - k;
    if (k % run == 0) pleat_pack_read(source, (size_t)k * row, (size_t)(left < run ? left : run) * row, rows);
    const float *from = rows + (size_t)(k % run) * row;
    for (int channel = 0; channel < d->channels; channel++) {
      for (int tap = 0; tap < taps; tap++) {
        const int column = column_of(d, tap, channel), block = column / lanes, pair = block / 2;
        const int width = d->columns - 2 * pair > 1 ? 2 : 1;
        to[(size_t)pair * pair_floats(d) + (size_t)((k * width + block % 2) * lanes + column % lanes)] = *from++;
      }
    }
  }
  pleat_block_free(rows, bytes);
  return PLEAT_OK;
}

static pleat_status pack_weights(pleat_call *call, transposed *d) {
  struct {
    char kernel[16];
    int lanes;
  } key;
  const void *pack = NULL;
  memset(&key, 0, sizeof key);
  memcpy(key.kernel, "x86 transposed", sizeof "x86 transposed");
  key.lanes = d->code->lanes;
  const pleat_pack_format format = {.key = &key,
                                    .key_size = sizeof key,
                                    .bytes = pair_floats(d) / 2 * (size_t)d->columns * sizeof(float),
                                    .fill = fill,
                                    .user = d};
  PLEAT_TRY(pleat_call_pack(call, W, &format, &pack));
  d->weights = pack;
  return PLEAT_OK;
}

static bool set_tables(transposed *d, pleat_call *call) {
  const pleat_tensor *b = pleat_in(call, B);
  const int lanes = d->code->lanes;
  /* A block more than there are: pairs of blocks are read at once. */
  float *bias = pleat_arena_array(call->arena, ((size_t)d->columns + 1) * (size_t)lanes, sizeof *bias);
  ptrdiff_t *offsets = pleat_arena_array(call->arena, (size_t)d->in_blocks, sizeof *offsets);
  if (bias == NULL || offsets == NULL) return false;
  for (int tap = 0; b != NULL && tap < taps_of(d); tap++) {
    for (int c = 0; c < d->channels; c++) bias[column_of(d, tap, c)] = ((const float *)b->data)[c];
  }
  for (int i = 0; i < d->in_blocks; i++) offsets[i] = (ptrdiff_t)i * d->height * d->width * lanes;
  d->bias = bias;
  d->offsets = offsets;
  return true;
}

/* Filters that stay in the second-level cache, and some items for each thread. */
static void set_items(transposed *d, const pleat_call *call) {
  enum { CACHED_BYTES = 256 * 1024, ITEMS_PER_THREAD = 4 };
  const size_t bytes = pair_floats(d) * sizeof(float);
  const bool is_small = call->outputs[0]->count < PLEAT_PARALLEL_MIN / 2;
  const int wanted = call->threads == 1 || is_small ? 1 : call->threads * ITEMS_PER_THREAD;
  d->tiles = pleat_x86_divide_up(d->height * d->width, d->code->rows);
  d->chunk_pairs = bytes >= CACHED_BYTES ? 1 : (int)(CACHED_BYTES / bytes);
  d->chunks = pleat_x86_divide_up(d->pairs, d->chunk_pairs);
  d->chunk_pairs = pleat_x86_divide_up(d->pairs, d->chunks);
  d->item_tiles = pleat_x86_divide_up(d->tiles, wanted < d->tiles ? wanted : d->tiles);
  d->pieces = pleat_x86_divide_up(d->tiles, d->item_tiles);
}

static pleat_status prepare(pleat_call *call) {
  const pleat_tensor *x = call->inputs[X], *y = call->outputs[0];
  transposed *d = pleat_call_state(call, sizeof *d);
  if (d == NULL) return PLEAT_OOM(call->error);
  d->code = pleat_x86_code_of_cpu();
  pleat_x86_activation_of(call->node, &d->activation);
  PLEAT_TRY(set_sizes(d, call));
  set_items(d, call);
  if (!set_tables(d, call)) return PLEAT_OOM(call->error);
  const pleat_layout *blocked = pleat_layout_blocked(d->code->lanes);
  call->wanted[X] = pleat_layout_is_dense(blocked, x->rank, x->dims) ? NULL : blocked;
  call->outputs[0]->layout = d->is_narrow || pleat_layout_is_dense(blocked, y->rank, y->dims) ? NULL : blocked;
  return pack_weights(call, d);
}

/* ---- running ---- */

/* Some positions of one input line: results of `rows` positions from `first` of `line` on are in scratch. */
typedef struct span {
  int line, first, rows;
} span;

static inline ptrdiff_t place_of(const transposed *d, const span *s, int tap) {
  const ptrdiff_t line = (ptrdiff_t)s->line * d->kernel[0] + tap / d->kernel[1];
  return line * d->width * d->kernel[1] + (ptrdiff_t)s->first * d->kernel[1] + tap % d->kernel[1];
}

/* A whole block of the channels of one tap. */
static void scatter_block(const transposed *d, const span *s, int block, const float *from, float *y) {
  const int lanes = d->code->lanes, tap = block / d->out_blocks;
  const ptrdiff_t plane = (ptrdiff_t)d->height * d->width * taps_of(d);
  const ptrdiff_t step = (ptrdiff_t)d->kernel[1] * lanes;
  const int left = d->channels - block % d->out_blocks * lanes, used = left < lanes ? left : lanes;
  float *to = y + (block % d->out_blocks * plane + place_of(d, s, tap)) * lanes;
  for (int i = 0; i < s->rows; i++, from += lanes, to += step) { /* sizes that the compiler knows */
    if (lanes == 16) memcpy(to, from, 16 * sizeof *to);
    else memcpy(to, from, 8 * sizeof *to);
    /* No channels: zero weights make NaN of infinite inputs. */
    for (int k = used; k < lanes; k++) to[k] = 0;
  }
}

/* A block of channels of some taps, to the dense output. */
static void scatter_lanes(const transposed *d, const span *s, int block, const float *from, float *y) {
  const int lanes = d->code->lanes, end = taps_of(d) * d->channels;
  const ptrdiff_t plane = (ptrdiff_t)d->height * d->width * taps_of(d), step = d->kernel[1];
  for (int k = 0; k < lanes && block * lanes + k < end; k++) {
    const int tap = (block * lanes + k) / d->channels, channel = (block * lanes + k) % d->channels;
    float *to = y + channel * plane + place_of(d, s, tap);
    for (int i = 0; i < s->rows; i++) to[i * step] = from[i * lanes + k];
  }
}

/* `rows` positions from `first` on, which may go over lines, of a block in scratch memory. */
static void scatter(const transposed *d, int first, int rows, int block, const float *from, float *y) {
  span s = {.line = first / d->width, .first = first % d->width};
  for (; rows > 0; rows -= s.rows, from += s.rows * d->code->lanes, s.line++, s.first = 0) {
    s.rows = d->width - s.first < rows ? d->width - s.first : rows;
    if (d->is_narrow) scatter_lanes(d, &s, block, from, y);
    else scatter_block(d, &s, block, from, y);
  }
}

static void run_item(void *arg, int64_t item, int worker) {
  const pleat_call *call = arg;
  const transposed *d = call->state;
  const float *x = call->inputs[X]->data;
  float *y = call->outputs[0]->data;
  (void)worker;
  _Alignas(64) float results[2][PLEAT_X86_MAX_ROWS * PLEAT_LAYOUT_MAX_BLOCK];
  const int piece = (int)(item % d->pieces), chunk = (int)(item / d->pieces % d->chunks), lanes = d->code->lanes;
  const int64_t sample = item / d->pieces / d->chunks;
  const int positions = d->height * d->width, last = d->in_channels % lanes;
  const int end_tile = (piece + 1) * d->item_tiles < d->tiles ? (piece + 1) * d->item_tiles : d->tiles;
  const int end_pair = (chunk + 1) * d->chunk_pairs < d->pairs ? (chunk + 1) * d->chunk_pairs : d->pairs;
  float *to = y + sample * (d->is_narrow ? d->channels : d->out_blocks * lanes) * positions * taps_of(d);
  pleat_x86_tile tile = {.offsets = d->offsets,
                         .blocks = d->in_blocks,
                         .last = last > 0 ? last : lanes,
                         .c = {results[0], results[1]},
                         .activation = &d->activation};
  for (int t = piece * d->item_tiles; t < end_tile; t++) {
    const int first = (int)((int64_t)positions * t / d->tiles);
    const int rows = (int)((int64_t)positions * (t + 1) / d->tiles) - first;
    tile.a = x + (sample * d->in_blocks * positions + first) * lanes;
    for (int pair = chunk * d->chunk_pairs; pair < end_pair; pair++) {
      const int columns = d->columns - 2 * pair > 1 ? 2 : 1;
      tile.w = d->weights + (size_t)pair * pair_floats(d);
      tile.bias = d->bias + 2 * pair * lanes;
      d->code->product[0][columns - 1][rows](&tile);
      for (int j = 0; j < columns; j++) scatter(d, first, rows, 2 * pair + j, results[j], to);
    }
  }
}

/* Items in any order, by any thread: the results are the same. */
static pleat_status run(const pleat_call *call) {
  const transposed *d = call->state;
  pleat_parallel(call->threads, d->batch * d->chunks * d->pieces, run_item, (void *)(uintptr_t)call);
  return PLEAT_OK;
}

const pleat_kernel pleat_x86_conv_transpose = {.name = "direct",
                                               .types = PLEAT_M_F32,
                                               .flags = PLEAT_KERNEL_LAYOUTS,
                                               .supports = supports,
                                               .prepare = prepare,
                                               .run = run,
                                               .packs = 1u << PLEAT_X86_W};

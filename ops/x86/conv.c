/* Direct convolution as products of tiles: the positions of one line of the output by two blocks of channels, over all
 * taps and input channels, read where they lie. Padding costs a copy of the input, with its borders; so do the strides
 * of a 1x1 kernel with many filters, where lines do not fill tiles. An input that is scaled (squeeze-and-excite) goes
 * into the product as it is where there are fewer weights to scale than inputs.
 *
 * Work is cut into items: some tiles by as many filters as the second-level cache holds; where two of them are too many
 * for it, a part of the depth at a time. Who computes an item does not change its result. */
#include <string.h>

#include "core/checked.h"
#include "core/parallel.h"
#include "ops/conv.h"
#include "ops/x86/x86.h"

typedef struct direct {
  pleat_x86_conv conv; /* `gathers`: of what is gathered, without strides */
  const void *weights; /* [groups][pairs][depth][columns][lanes]: pairs of out blocks, as tiles have them (x86.h) */
  ptrdiff_t *offsets;
  int depth_blocks; /* in blocks by taps */
  int last;         /* lanes of the last depth block that count */
  int pairs;        /* of one group, the last maybe a single block */
  bool is_padded, has_half;
  bool gathers; /* what it sees of an input of this size: */
  int from_height, from_width, from_stride[2];
  bool is_scaled, scales_weights, scales_each; /* each: every sample by numbers of its own */
  int lines, line; /* output lines and their length: one long line where lines follow each other in x too */
  int padded_height, padded_width;
  bool is_twice;           /* a tile covers two whole lines */
  int tiles, line_tiles;   /* tiles in a sample's group, and in a line (or two) */
  int chunk_pairs, chunks; /* pairs of an item, and items along the pairs */
  size_t fetch_distance;   /* bytes to the filters of the item that a thread takes next; 0: they are near enough */
  int pieces;              /* items along the tiles of a sample */
  bool by_pieces;          /* the items of a piece follow each other, not those of a chunk */
  int parts;               /* of the depth, which an item's tiles go through one after the other */
  size_t copy_bytes;       /* of the workspace; behind it lie the sums that wait for the next part, [threads][tiles] */
} direct;

/* One run. */
typedef struct job {
  const direct *d;
  const void *x, *z, *weights;
  void *y, *copy; /* copy: a sample's input, padded or scaled, or its weights, scaled; NULL: there is none */
  float *sums;    /* of all threads; NULL: the depth is in one part */
  const float *scale;
  int64_t first_sample;
} job;

static const char *supports(const pleat_call *call) {
  const char *reason = pleat_x86_refuse_conv(call, true);
  if (reason != NULL) return reason;
  const int64_t *strides = NULL, *kernel = call->inputs[PLEAT_X86_W]->dims;
  const size_t count = pleat_attr_ints(call->node, "strides", &strides);
  if (count > 0 && strides[count - 1] > 2) return "a stride above 2";
  if (!pleat_conv_is_scaled(call)) return NULL;
  const bool is_pointwise = kernel[2] == 1 && kernel[call->inputs[PLEAT_X86_W]->rank - 1] == 1;
  return is_pointwise && pleat_attr_ints_all(call->node, "pads", 0) && pleat_attr_int(call->node, "group") == 1
             ? NULL
             : "a scaled input but for a plain product";
}

/* ---- preparing ---- */

bool pleat_x86_has_half(const pleat_x86_conv *conv) {
  const int rest = pleat_x86_channels_of(conv, conv->out_blocks - 1);
  return conv->code->halves[0][1] != NULL && conv->groups == 1 && conv->stride[1] == 1 && 2 * rest <= conv->code->lanes;
}

/* Two steps of depth, of which the second may be missing (NULL): each for the `whole` lanes of the first block, if
 * there is one, then both for the half of one, in turns. */
static void pack_halves(const float *even, const float *odd, size_t filter, int count, int whole, float *to) {
  for (int j = 0; j < count; j++) {
    const int at = j < whole ? j : 2 * j, next = j < whole ? whole : 1; /* 2 * whole + 2 * (j - whole) */
    to[at] = even[(size_t)j * filter];
    if (odd != NULL) to[at + next] = odd[(size_t)j * filter];
  }
}

/* [depth][columns][lanes] of one pair; variant 1: the last one ends with a half. */
static void pack_pair(const pleat_x86_conv *conv, int variant, const float *filters, int count, int columns,
                      void *pack) {
  const int lanes = conv->code->lanes, taps = conv->kernel[0] * conv->kernel[1], width = columns * lanes;
  const size_t filter = (size_t)conv->in_channels * (size_t)taps;
  char *to = pack;
  const bool is_half = variant == 1 && 2 * (count - (columns - 1) * lanes) <= lanes;
  for (int block = 0; block < conv->in_blocks; block++) {
    const int channels = conv->in_channels - block * lanes < lanes ? conv->in_channels - block * lanes : lanes;
    for (int tap = 0; tap < taps; tap++) {
      const float *from = filters + (size_t)(block * lanes) * (size_t)taps + (size_t)tap;
      for (int k = 0; is_half && k < lanes; k += 2, to += (size_t)((2 * columns - 1) * lanes) * sizeof(float)) {
        const float *at = from + (size_t)k * (size_t)taps;
        if (k < channels)
          pack_halves(at, k + 1 < channels ? at + taps : NULL, filter, count, (columns - 1) * lanes,
                      (float *)(void *)to);
      }
      if (is_half) continue;
      pleat_x86_pack_rows(conv->code, from, filter, count, (size_t)taps, channels, width, to);
      to += (size_t)(lanes * width) * conv->code->element;
    }
  }
}

/* Of one block of depth. */
static size_t block_bytes(const pleat_x86_conv *conv, int columns) {
  return (size_t)(conv->code->lanes * columns * conv->code->lanes) * conv->code->element;
}

static size_t pair_bytes(const direct *d) {
  return (size_t)d->depth_blocks * block_bytes(&d->conv, 2);
}

pleat_status pleat_x86_pack_direct(pleat_call *call, const pleat_x86_conv *conv, const void **out_pack) {
  const size_t taps = (size_t)(conv->kernel[0] * conv->kernel[1]);
  const pleat_x86_weights weights = {.kernel = "x86 direct",
                                     .variant = pleat_x86_has_half(conv),
                                     .set = 2,
                                     .block_bytes = (size_t)conv->in_blocks * taps * block_bytes(conv, 1),
                                     .pack = pack_pair};
  return pleat_x86_pack_weights(call, conv, &weights, out_pack);
}

/* Where the blocks of depth lie, from a tile's first position on. */
static bool set_offsets(direct *d, pleat_arena *arena) {
  const pleat_x86_conv *conv = &d->conv;
  const int lanes = conv->code->lanes;
  const ptrdiff_t plane = (ptrdiff_t)d->padded_height * d->padded_width * lanes;
  ptrdiff_t *at = d->offsets = pleat_arena_array(arena, (size_t)d->depth_blocks, sizeof *d->offsets);
  if (at == NULL) return false;
  for (int block = 0; block < conv->in_blocks; block++) {
    for (int i = 0; i < conv->kernel[0]; i++) {
      for (int j = 0; j < conv->kernel[1]; j++)
        *at++ = block * plane +
                ((ptrdiff_t)i * conv->dilation[0] * d->padded_width + (ptrdiff_t)j * conv->dilation[1]) * lanes;
    }
  }
  return true;
}

/* Of what a strided 1x1 kernel sees of the input, a copy has positions that follow each other over lines and so fill
 * tiles. Worth it when enough filters read it. */
static void set_gathering(direct *d, const pleat_call *call) {
  enum { ENOUGH_BLOCKS = 16 };
  pleat_x86_conv *conv = &d->conv;
  const bool is_strided = conv->stride[0] > 1 || conv->stride[1] > 1;
  d->gathers = is_strided && conv->kernel[0] == 1 && conv->kernel[1] == 1 && !d->is_padded &&
               !pleat_conv_is_scaled(call) && conv->out_blocks >= ENOUGH_BLOCKS &&
               conv->out_width % conv->code->rows != 0;
  if (!d->gathers) return;
  d->from_height = conv->height;
  d->from_width = conv->width;
  conv->height = conv->out_height;
  conv->width = conv->out_width;
  for (int i = 0; i < 2; i++) {
    d->from_stride[i] = conv->stride[i];
    conv->stride[i] = 1;
  }
}

/* Whether a sample's input is read from a copy with borders, or of what is seen. */
static bool copies(const direct *d) {
  return d->is_padded || d->gathers;
}

/* Whether to scale the weights or the input, and the room for what was scaled. */
static void set_scale(direct *d, pleat_call *call) {
  const pleat_x86_conv *conv = &d->conv;
  if (!pleat_conv_is_scaled(call)) return;
  const size_t weights = pleat_x86_group_bytes(conv, pair_bytes(d));
  const size_t inputs = (size_t)conv->in_blocks * (size_t)pleat_x86_plane(conv) * conv->code->element;
  d->is_scaled = true;
  d->scales_weights = weights < inputs && conv->code->element == sizeof(float);
  d->scales_each = call->inputs[PLEAT_X86_S]->dims[0] > 1;
  call->wanted[PLEAT_X86_S] = NULL;
  call->workspace_size = d->scales_weights ? weights : inputs;
}

/* Whether threads take different positions, and all filters each. What one core wrote is far from the other's cache,
 * and the steps around a convolution are cut by positions as well, so it finds in its own cache what it made itself.
 * Filters are read by all of them then: where there are many more than inputs and outputs, threads rather take
 * different ones. */
static bool prefers_positions(const direct *d, int threads) {
  enum { FILTERS_PER_PLANE = 2 };
  const pleat_x86_conv *conv = &d->conv;
  const size_t planes = (size_t)conv->in_blocks * (size_t)pleat_x86_plane(conv) +
                        (size_t)conv->out_blocks * (size_t)pleat_x86_out_plane(conv);
  return d->tiles >= 2 * threads &&
         pleat_x86_group_bytes(conv, pair_bytes(d)) / FILTERS_PER_PLANE <= planes * conv->code->element;
}

/* How the work is cut: filters that stay in the second-level cache, by some tiles, in some items for each thread. */
static void set_items(direct *d, int threads) {
  enum { CACHED_BYTES = 256 * 1024, CHUNKS_PER_THREAD = 8, ITEMS_PER_THREAD = 24, ENOUGH_PER_THREAD = 4 };
  const size_t bytes = pair_bytes(d);
  const int64_t repeats = (int64_t)d->conv.groups * (copies(d) || d->is_scaled ? 1 : d->conv.batch);
  const bool positions = threads > 1 && prefers_positions(d, threads);
  d->by_pieces = positions;
  d->chunk_pairs = bytes >= CACHED_BYTES ? 1 : (int)(CACHED_BYTES / bytes);
  if (threads > 1 && !positions) {
    const int64_t wanted = ((int64_t)threads * CHUNKS_PER_THREAD + repeats - 1) / repeats;
    const int most = wanted < d->pairs ? (int)(d->pairs / wanted) : 1;
    if (d->chunk_pairs > most) d->chunk_pairs = most;
  }
  if (d->chunk_pairs > d->pairs) d->chunk_pairs = d->pairs;
  d->chunks = pleat_x86_divide_up(d->pairs, d->chunk_pairs);
  d->chunk_pairs = pleat_x86_divide_up(d->pairs, d->chunks);
  const int64_t whole = d->chunks * repeats;
  int64_t pieces = 1;
  if (positions && repeats < (int64_t)threads * ENOUGH_PER_THREAD) {
    /* As many for each thread, and of two tiles at least; filters that leave the cache are read once. */
    pieces = d->chunks > 1 ? 1 : d->tiles / (2 * threads);
    pieces = threads * (pieces < ENOUGH_PER_THREAD ? pieces : ENOUGH_PER_THREAD);
  } else if (threads > 1 && whole < (int64_t)threads * ENOUGH_PER_THREAD) {
    pieces = ((int64_t)threads * ITEMS_PER_THREAD + whole - 1) / whole;
  }
  d->pieces = pieces < d->tiles ? (int)pieces : d->tiles;
  if (d->chunks > 1) d->fetch_distance = (size_t)d->chunk_pairs * bytes;
}

/* Numbers of the sums of a tile, and of an item's tiles by one pair. */
static size_t sums_of_tile(const direct *d) {
  return 2 * (size_t)(d->conv.code->rows * d->conv.code->lanes);
}
static size_t sums_of_item(const direct *d) {
  return (size_t)pleat_x86_divide_up(d->tiles, d->pieces) * sums_of_tile(d);
}

/* A pair's filters that leave no room in the second-level cache for the next one's, which are fetched meanwhile, would
 * come from memory again for each tile. All tiles take a part of them after the other instead. */
static pleat_status set_parts(direct *d, pleat_call *call) {
  enum { LARGE = 256 * 1024, PART_BYTES = 128 * 1024, LINE = 64 };
  const int tiles = pleat_x86_divide_up(d->tiles, d->pieces);
  const bool fits = sums_of_item(d) * sizeof(float) <= LARGE / 2;
  d->parts = 1;
  d->copy_bytes = call->workspace_size;
  if (pair_bytes(d) <= LARGE || tiles < 2 || !fits || d->has_half) return PLEAT_OK;
  d->parts = (int)((pair_bytes(d) + PART_BYTES - 1) / PART_BYTES);
  if (!pleat_align_up(call->workspace_size, LINE, &d->copy_bytes) ||
      !pleat_add_size(d->copy_bytes, sums_of_item(d) * sizeof(float) * (size_t)call->threads, &call->workspace_size))
    return PLEAT_OOM(call->error);
  return PLEAT_OK;
}

static pleat_status prepare(pleat_call *call) {
  direct *d = pleat_call_state(call, sizeof *d);
  if (d == NULL) return PLEAT_OOM(call->error);
  PLEAT_TRY(pleat_x86_describe_conv(call, &d->conv));
  const pleat_x86_conv *conv = &d->conv;
  const int taps = conv->kernel[0] * conv->kernel[1], lanes = conv->code->lanes;
  d->is_padded = conv->pad_begin[0] + conv->pad_begin[1] + conv->pad_end[0] + conv->pad_end[1] > 0;
  set_gathering(d, call);
  d->padded_height = conv->height + conv->pad_begin[0] + conv->pad_end[0];
  d->padded_width = conv->width + conv->pad_begin[1] + conv->pad_end[1];
  d->depth_blocks = conv->in_blocks * taps;
  d->last = taps == 1 && conv->in_channels % lanes != 0 ? conv->in_channels % lanes : lanes;
  d->pairs = pleat_x86_divide_up(conv->out_blocks, 2);
  const bool is_flat = taps == 1 && !d->is_padded && conv->stride[0] == 1 && conv->stride[1] == 1;
  d->lines = is_flat ? 1 : conv->out_height;
  d->line = is_flat ? conv->out_height * conv->out_width : conv->out_width;
  d->line_tiles = pleat_x86_divide_up(d->line, conv->code->rows);
  d->has_half = pleat_x86_has_half(conv);
  d->is_twice = conv->code->twice[0][0] != NULL && 2 * d->line == conv->code->rows && d->lines > 1 && !d->has_half;
  d->tiles = d->is_twice ? pleat_x86_divide_up(d->lines, 2) : d->lines * d->line_tiles;
  set_scale(d, call);
  set_items(d, call->threads);
  if (!set_offsets(d, call->arena)) return PLEAT_OOM(call->error);
  if (copies(d)) {
    call->workspace_size = (size_t)conv->groups * (size_t)conv->in_blocks * (size_t)d->padded_height *
                           (size_t)d->padded_width * (size_t)lanes * conv->code->element;
  }
  PLEAT_TRY(set_parts(d, call));
  return pleat_x86_pack_direct(call, conv, &d->weights);
}

/* ---- running ---- */

/* One block of a sample's channels with its borders of zeros. */
static void pad_block(const direct *d, const char *x, char *to) {
  const pleat_x86_conv *conv = &d->conv;
  const size_t position = (size_t)conv->code->lanes * conv->code->element, line = (size_t)d->padded_width * position;
  const size_t left = (size_t)conv->pad_begin[1] * position, inner = (size_t)conv->width * position;
  for (int i = 0; i < d->padded_height; i++, to += line) {
    const int row = i - conv->pad_begin[0];
    if (row < 0 || row >= conv->height) {
      memset(to, 0, line);
      continue;
    }
    memset(to, 0, left);
    memcpy(to + left, x + (size_t)row * inner, inner);
    memset(to + left + inner, 0, line - left - inner);
  }
}

/* What of the output a tile covers: `rows` positions from `first` of `line` on, or of that line and the next. */
typedef struct span {
  int line, first, rows;
} span;

static span span_of(const direct *d, int tile) {
  if (d->is_twice) return (span){.line = 2 * tile, .rows = 2 * tile + 1 < d->lines ? 2 * d->line : d->line};
  const int part = tile % d->line_tiles, first = (int)((int64_t)d->line * part / d->line_tiles);
  return (span){.line = tile / d->line_tiles,
                .first = first,
                .rows = (int)((int64_t)d->line * (part + 1) / d->line_tiles) - first};
}

/* What the tiles of an item share; tensors, filters and biases are those of the sample's group. */
typedef struct item {
  const direct *d;
  const void *x, *z;
  void *y;
  const char *weights;
  const float *bias;
  float *sums; /* of its tiles */
  int first_pair, end_pair, first_tile, end_tile;
} item;

/* All pairs of the item for one tile, over the blocks of depth [first, end). Each tile fetches its part of the filters
 * that this thread will want next. */
static void run_tile(const item *it, int t, int first, int end) {
  const direct *d = it->d;
  const pleat_x86_conv *conv = &d->conv;
  const int lanes = conv->code->lanes, index = t - it->first_tile;
  const span s = span_of(d, t);
  const ptrdiff_t in_line = (ptrdiff_t)conv->stride[0] * d->padded_width * lanes, plane = pleat_x86_out_plane(conv);
  const ptrdiff_t from = s.line * in_line + (ptrdiff_t)s.first * conv->stride[1] * lanes;
  const ptrdiff_t to = ((ptrdiff_t)s.line * d->line + s.first) * lanes;
  float *sums = d->parts > 1 ? it->sums + (size_t)index * sums_of_tile(d) : NULL;
  pleat_x86_tile tile = {.a = pleat_x86_at(conv->code, it->x, from),
                         .offsets = d->offsets + first,
                         .blocks = end - first,
                         .last = end < d->depth_blocks ? lanes : d->last,
                         .from = first > 0 ? sums : NULL,
                         .to = end < d->depth_blocks ? sums : NULL,
                         .activation = &conv->activation,
                         .line = in_line};
  for (int pair = it->first_pair; pair < it->end_pair; pair++) {
    const int columns = conv->out_blocks - 2 * pair > 1 ? 2 : 1;
    const size_t block = block_bytes(conv, columns);
    const size_t next = d->parts > 1 ? (size_t)tile.blocks * block : d->fetch_distance;
    tile.w = it->weights + (size_t)pair * pair_bytes(d) + (size_t)first * block;
    if (next > 0)
      pleat_x86_fetch_part(&tile, (const char *)tile.w + next, tile.blocks, block, index,
                           it->end_tile - it->first_tile);
    tile.bias = it->bias + 2 * pair * lanes;
    for (int j = 0; j < columns; j++) {
      tile.c[j] = pleat_x86_to(conv->code, it->y, to + (2 * pair + j) * plane);
      tile.addend[j] = pleat_x86_at(conv->code, it->z, to + (2 * pair + j) * plane);
    }
    if (s.rows <= d->line) {
      pleat_x86_direct_tile(conv, d->has_half, pair, s.rows, &tile);
      continue;
    }
    conv->code->twice[conv->stride[1] - 1][columns - 1](&tile);
    const int last = 2 * pair + columns - 1, channels = pleat_x86_channels_of(conv, last);
    if (tile.to == NULL && channels < lanes) conv->code->clear_lanes(tile.c[columns - 1], s.rows, channels);
  }
}

static void run_item(void *arg, int64_t number, int worker) {
  const job *job = arg;
  const direct *d = job->d;
  const pleat_x86_conv *conv = &d->conv;
  const int in_group = (int)(number % ((int64_t)d->chunks * d->pieces));
  const int chunk = d->by_pieces ? in_group % d->chunks : in_group / d->pieces;
  const int piece = d->by_pieces ? in_group / d->chunks : in_group % d->pieces;
  const int group = (int)(number / d->pieces / d->chunks % conv->groups), end_pair = (chunk + 1) * d->chunk_pairs;
  const int64_t sample = number / d->pieces / d->chunks / conv->groups + job->first_sample;
  const bool is_copy = job->copy != NULL && !d->scales_weights;
  const int64_t in_block = ((is_copy ? 0 : sample * conv->groups) + group) * conv->in_blocks;
  const ptrdiff_t in = in_block * d->padded_height * d->padded_width * conv->code->lanes;
  const ptrdiff_t out = (sample * conv->groups + group) * conv->out_blocks * pleat_x86_out_plane(conv);
  const item it = {.d = d,
                   .x = pleat_x86_at(conv->code, is_copy ? job->copy : job->x, in),
                   .z = pleat_x86_at(conv->code, job->z, out),
                   .y = pleat_x86_to(conv->code, job->y, out),
                   .weights = (const char *)job->weights + (size_t)group * pleat_x86_group_bytes(conv, pair_bytes(d)),
                   .bias = conv->bias + group * conv->out_blocks * conv->code->lanes,
                   .sums = d->parts > 1 ? job->sums + (size_t)worker * sums_of_item(d) : NULL,
                   .first_pair = chunk * d->chunk_pairs,
                   .end_pair = end_pair < d->pairs ? end_pair : d->pairs,
                   .first_tile = (int)((int64_t)d->tiles * piece / d->pieces),
                   .end_tile = (int)((int64_t)d->tiles * (piece + 1) / d->pieces)};
  for (int part = 0; part < d->parts; part++) {
    const int first = (int)((int64_t)d->depth_blocks * part / d->parts);
    const int end = (int)((int64_t)d->depth_blocks * (part + 1) / d->parts);
    for (int t = it.first_tile; t < it.end_tile; t++) run_tile(&it, t, first, end);
  }
}

/* Of one block of a sample's channels. */
static void gather_block(const direct *d, const char *x, char *to) {
  enum { WHOLE = 64 };
  const size_t position = (size_t)d->conv.code->lanes * d->conv.code->element;
  for (int i = 0; i < d->conv.height; i++) {
    const char *from = x + (size_t)i * (size_t)d->from_stride[0] * (size_t)d->from_width * position;
    for (int j = 0; j < d->conv.width; j++, to += position, from += (size_t)d->from_stride[1] * position) {
      if (position == WHOLE) memcpy(to, from, WHOLE);
      else memcpy(to, from, WHOLE / 2);
    }
  }
}

/* A block of a sample's channels, padded or gathered. */
static void copy_item(void *arg, int64_t block, int worker) {
  const job *job = arg;
  const direct *d = job->d;
  const int64_t blocks = (int64_t)d->conv.groups * d->conv.in_blocks, lanes = d->conv.code->lanes;
  const int64_t plane = d->gathers ? (int64_t)d->from_height * d->from_width * lanes : pleat_x86_plane(&d->conv);
  const char *x = pleat_x86_at(d->conv.code, job->x, (job->first_sample * blocks + block) * plane);
  char *to = pleat_x86_to(d->conv.code, job->copy, block * d->padded_height * d->padded_width * lanes);
  (void)worker;
  if (d->gathers) gather_block(d, x, to);
  else pad_block(d, x, to);
}

/* One block of a sample's channels times its numbers. */
static void scale_input(void *arg, int64_t block, int worker) {
  const job *job = arg;
  const pleat_x86_conv *conv = &job->d->conv;
  const int lanes = conv->code->lanes, left = conv->in_channels - (int)block * lanes;
  const ptrdiff_t plane = pleat_x86_plane(conv);
  float numbers[PLEAT_LAYOUT_MAX_BLOCK] = {0};
  (void)worker;
  memcpy(numbers, job->scale + block * lanes, (size_t)(left < lanes ? left : lanes) * sizeof *numbers);
  conv->code->binary(PLEAT_X86_MUL,
                     pleat_x86_at(conv->code, job->x, (job->first_sample * conv->in_blocks + block) * plane), numbers,
                     true, plane / lanes, pleat_x86_to(conv->code, job->copy, block * plane));
}

/* Weights that pack_halves put into place, those of each input channel times its number. */
static void scale_halves(const pleat_x86_conv *conv, const float *from, const float *scale, int columns, float *to) {
  const int lanes = conv->code->lanes, whole = (columns - 1) * lanes;
  for (int k = 0; k < conv->in_channels; k += 2, from += 2 * whole + lanes, to += 2 * whole + lanes) {
    const float even = scale[k], odd = k + 1 < conv->in_channels ? scale[k + 1] : 0;
    for (int j = 0; j < whole; j++) {
      to[j] = from[j] * even;
      to[whole + j] = from[whole + j] * odd;
    }
    for (int j = 2 * whole; j < 2 * whole + lanes; j += 2) {
      to[j] = from[j] * even;
      to[j + 1] = from[j + 1] * odd;
    }
  }
}

/* The weights of one pair of blocks. */
static void scale_weights(void *arg, int64_t pair, int worker) {
  const job *job = arg;
  const pleat_x86_conv *conv = &job->d->conv;
  const size_t at = (size_t)pair * pair_bytes(job->d);
  const float *from = (const float *)(const void *)((const char *)job->d->weights + at);
  const int columns = conv->out_blocks - 2 * pair > 1 ? 2 : 1;
  void *to = (char *)job->copy + at;
  (void)worker;
  if (pair == job->d->pairs - 1 && job->d->has_half) scale_halves(conv, from, job->scale, columns, to);
  else conv->code->scale_rows(from, job->scale, conv->in_channels, columns, to);
}

/* What a sample has to have a copy of, before its items. */
static void copy_for_sample(const pleat_call *call, job *job) {
  const direct *d = job->d;
  const int64_t blocks = (int64_t)d->conv.groups * d->conv.in_blocks;
  const int threads = d->copy_bytes / sizeof(float) < PLEAT_PARALLEL_SIMPLE ? 1 : call->threads;
  if (copies(d)) pleat_parallel(call->threads, blocks, copy_item, job);
  else if (!d->scales_weights) pleat_parallel(threads, blocks, scale_input, job);
  else if (job->first_sample == 0 || d->scales_each) pleat_parallel(threads, d->pairs, scale_weights, job);
  if (d->scales_each) job->scale += d->conv.in_channels;
}

static pleat_status run(const pleat_call *call) {
  const direct *d = call->state;
  const pleat_x86_conv *conv = &d->conv;
  const pleat_tensor *z = pleat_in(call, PLEAT_X86_Z);
  const int64_t items = (int64_t)d->pieces * d->chunks * conv->groups; /* of a sample */
  job job = {.d = d,
             .x = call->inputs[PLEAT_X86_X]->data,
             .z = z != NULL ? z->data : NULL,
             .y = call->outputs[0]->data,
             .weights = d->weights};
  if (d->parts > 1) job.sums = (float *)(void *)((char *)call->workspace + d->copy_bytes);
  if (!copies(d) && !d->is_scaled) {
    pleat_parallel(call->threads, items * conv->batch, run_item, &job);
    return PLEAT_OK;
  }
  job.copy = call->workspace;
  if (d->is_scaled) job.scale = call->inputs[PLEAT_X86_S]->data;
  if (d->scales_weights) job.weights = job.copy;
  for (; job.first_sample < conv->batch; job.first_sample++) {
    copy_for_sample(call, &job);
    pleat_parallel(call->threads, items, run_item, &job);
  }
  return PLEAT_OK;
}

const pleat_kernel pleat_x86_conv_direct = {.name = "direct",
                                            .types = PLEAT_M_F32,
                                            .flags = PLEAT_KERNEL_LAYOUTS | PLEAT_KERNEL_BF16,
                                            .inplace = 1u << PLEAT_X86_Z,
                                            .supports = supports,
                                            .prepare = prepare,
                                            .run = run,
                                            .packs = 1u << PLEAT_X86_W};

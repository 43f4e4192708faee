/* 1x1 convolutions as products of matrices by one level of Strassen's algorithm, seven eighths of the multiplications
 * of the direct one (strassen.inc). The positions of a sample, the input channels and sets of four blocks of filters
 * are cut in halves. Sums of the inputs' quarters are made for a run of positions at a time, which stay in the
 * second-level cache; those of the filters' when they are packed, which makes them seven quarters as large.
 *
 * For one thread, where multiplications are what a product waits for (`unwise`): several threads were measured to gain
 * nothing, as they share the memory that the filters come from, and to lose where they do not share a cache.
 *
 * Error: sums before and after the products round as well; measured against float64, the root mean square error is 1.5
 * to 1.9 times the direct algorithm's, and test_x86_strassen asserts at most 3 times. `exact` sessions do not use it.
 * What is not finite at one position spreads to the one that it is paired with. */
#include <math.h>
#include <string.h>

#include "core/checked.h"
#include "ops/x86/x86.h"

enum { SET = 4 }; /* blocks of filters */

typedef struct strassen {
  pleat_x86_conv conv;
  const float *weights; /* [sets][7][half of in blocks][lanes][half of the set][lanes] */
  const float *zeros;
  ptrdiff_t *offsets[2]; /* of half of the in blocks: in the sums, and in the input */
  int positions, half;   /* of a sample; the second half may have one less */
  int line;              /* positions that are evenly apart in the input */
  bool copies;           /* sums of a single quarter, too: the input cannot be read as it is */
  int runs, run;         /* of positions of each half, and the most in one */
  int sets;
  bool fetches;     /* the next set's filters, while a set is multiplied */
  ptrdiff_t stride; /* numbers from the sums of one product to those of the next: [half of in blocks][run][lanes] */
} strassen;

/* A run of a sample's positions. */
typedef struct job {
  const strassen *s;
  const float *x, *z; /* of the sample */
  float *y, *sums;
  int first, end; /* positions of each half */
} job;

/* ---- choosing ---- */

/* Rough times in vectors' multiplications, by what was measured: of a sum of quarters, and of putting four results
 * together, each for tensors in the second-level cache and larger ones; and of the filters, which come from memory. */
static bool is_worth(const pleat_x86_code *code, double positions, double in, double out) {
  const double sum = 14, far_sum = 30, result = 18, far_result = 26, bytes_per_product = 5, least_gain = 0.035;
  const double cached_bytes = 512 * 1024, lanes = code->lanes, half = ceil(positions / 2);
  const double products = positions * in * out / lanes;
  const double sums = half * in / 2 / lanes * (positions * in * sizeof(float) > cached_bytes ? far_sum : sum);
  const double results =
      half * out / 2 / lanes * (positions * out * sizeof(float) > cached_bytes ? far_result : result);
  const double filters = 0.75 * in * out * sizeof(float) / bytes_per_product;
  return 2 * half / positions * products * 7 / 8 + sums + results + filters < (1 - least_gain) * products;
}

static const char *supports(const pleat_call *call) {
  const char *reason = pleat_x86_refuse_conv(call, false);
  if (reason != NULL) return reason;
  const pleat_tensor *x = call->inputs[PLEAT_X86_X], *w = call->inputs[PLEAT_X86_W], *y = call->outputs[0];
  const pleat_x86_code *code = pleat_x86_code_for(call->bf16);
  const int64_t *strides = NULL;
  const size_t count = pleat_attr_ints(call->node, "strides", &strides);
  if (call->exact) return "exact results were asked for";
  if (w->dims[2] != 1 || w->dims[w->rank - 1] != 1 || pleat_attr_int(call->node, "group") != 1 ||
      !pleat_attr_ints_all(call->node, "pads", 0))
    return "not a plain product";
  for (size_t i = 0; i < count; i++) {
    if (strides[i] > 2) return "a stride above 2";
  }
  if (x->dims[1] % (2 * code->lanes) != 0 || y->dims[1] % (2 * code->lanes) != 0)
    return "its channels are not an even number of vectors";
  if (call->threads > 1) return "not for several threads";
  const int64_t positions = y->rank == 4 ? y->dims[2] * y->dims[3] : y->dims[2];
  if (positions < 2 * code->rows) return "too few positions";
  return is_worth(code, (double)positions, (double)x->dims[1], (double)y->dims[1])
             ? NULL
             : "the direct algorithm is faster here";
}

/* Where a cycle has two multiplications of whole vectors, or vectors are short, reading filters of 7/4 the size costs
 * more than the multiplications that are saved: ResNet-50 took 2.5 % more time on Cascade Lake, with AVX2 5 %. On Zen 4
 * it takes 2.7 % less. */
static const char *unwise(const pleat_call *call) {
  return pleat_x86_units(pleat_x86_code_for(call->bf16)) == 1 ? NULL : "multiplications are cheap on this CPU";
}

/* ---- preparing ---- */

/* Numbers of the filters of one product of a set of `blocks`. */
static size_t product_count(const pleat_x86_conv *conv, int blocks) {
  return (size_t)(conv->in_blocks / 2 * conv->code->lanes) * (size_t)(blocks / 2 * conv->code->lanes);
}

static size_t block_bytes(const pleat_x86_conv *conv) {
  return PLEAT_X86_STRASSEN * product_count(conv, 2) / 2 * sizeof(float);
}

/* What each product multiplies by: sums of the quarters of the filters, rounded once. A vector's length of depth at a
 * time, as filters are read along it and written across. */
static void pack_set(const pleat_x86_conv *conv, int variant, const float *filters, int count, int blocks, void *pack) {
  const size_t depth = (size_t)conv->in_channels, half = depth / 2, lanes = (size_t)conv->code->lanes;
  const size_t width = (size_t)(blocks / 2) * lanes, stride = product_count(conv, blocks);
  (void)variant;
  (void)count;
  for (size_t begin = 0; begin < half; begin += lanes) {
    for (size_t j = 0; j < width; j++) {
      const float *first = filters + j * depth, *second = first + width * depth;
      float *to = (float *)pack + begin * width + j;
      for (size_t k = begin; k < begin + lanes; k++, to += width) {
        const float b11 = first[k], b12 = second[k], b21 = first[half + k], b22 = second[half + k];
        to[0] = b11;
        to[stride] = b11 + b22;
        to[2 * stride] = b11 + b12;
        to[3 * stride] = b12 - b22;
        to[4 * stride] = b22;
        to[5 * stride] = b21 - b11;
        to[6 * stride] = b21 + b22;
      }
    }
  }
}

/* How many positions go together. Filters that the second-level cache holds are cheap to read again for each of many
 * short runs; others are read as rarely as possible. */
static void set_runs(strassen *s) {
  enum { SUMS_BYTES = 256 * 1024, MANY_SUMS_BYTES = 4 * 1024 * 1024, LARGE_FILTERS = 512 * 1024, LINE = 64 };
  const pleat_x86_conv *conv = &s->conv;
  const int rows = conv->code->rows, position_bytes = PLEAT_X86_STRASSEN * conv->in_channels / 2 * (int)sizeof(float);
  s->fetches = block_bytes(conv) * (size_t)conv->out_blocks > LARGE_FILTERS;
  int most = (s->fetches ? MANY_SUMS_BYTES : SUMS_BYTES) / position_bytes / rows * rows;
  if (most < rows) most = rows;
  s->runs = pleat_x86_divide_up(s->half, most);
  s->run = pleat_x86_divide_up(s->half, s->runs);
  /* A line more than needed: sums that lie a power of two apart would share a few places of the cache. */
  s->stride = (ptrdiff_t)conv->in_blocks / 2 * s->run * conv->code->lanes + LINE / (ptrdiff_t)sizeof(float);
}

static bool set_offsets(strassen *s, pleat_arena *arena) {
  const pleat_x86_conv *conv = &s->conv;
  const size_t blocks = (size_t)conv->in_blocks / 2;
  for (int i = 0; i < 2; i++) {
    s->offsets[i] = pleat_arena_array(arena, blocks, sizeof *s->offsets[i]);
    if (s->offsets[i] == NULL) return false;
  }
  for (size_t b = 0; b < blocks; b++) {
    s->offsets[0][b] = (ptrdiff_t)b * s->run * conv->code->lanes;
    s->offsets[1][b] = (ptrdiff_t)b * pleat_x86_plane(conv);
  }
  s->zeros = pleat_arena_array(arena, (size_t)conv->code->lanes, sizeof *s->zeros);
  return s->zeros != NULL;
}

static pleat_status prepare(pleat_call *call) {
  strassen *s = pleat_call_state(call, sizeof *s);
  if (s == NULL) return PLEAT_OOM(call->error);
  PLEAT_TRY(pleat_x86_describe_conv(call, &s->conv));
  const pleat_x86_conv *conv = &s->conv;
  const bool is_flat = conv->stride[0] == 1 && conv->stride[1] == 1;
  s->positions = conv->out_height * conv->out_width;
  s->half = pleat_x86_divide_up(s->positions, 2);
  s->line = is_flat ? s->positions : conv->out_width;
  s->copies = !is_flat || s->positions % 2 != 0;
  s->sets = pleat_x86_divide_up(conv->out_blocks, SET);
  set_runs(s);
  if (!set_offsets(s, call->arena)) return PLEAT_OOM(call->error);
  if (!pleat_mul_size((size_t)s->stride, PLEAT_X86_STRASSEN * sizeof(float), &call->workspace_size))
    return PLEAT_OOM(call->error);
  const pleat_x86_weights weights = {
      .kernel = "x86 strassen", .set = SET, .block_bytes = block_bytes(conv), .pack = pack_set};
  const void *pack = NULL;
  PLEAT_TRY(pleat_x86_pack_weights(call, conv, &weights, &pack));
  s->weights = pack;
  return PLEAT_OK;
}

/* ---- running ---- */

/* Where a position of the output lies in a plane of the input. */
static ptrdiff_t place_of(const strassen *s, int position) {
  const pleat_x86_conv *conv = &s->conv;
  const int line = position / s->line, column = position % s->line;
  return ((ptrdiff_t)line * conv->stride[0] * conv->width + (ptrdiff_t)column * conv->stride[1]) * conv->code->lanes;
}

/* How many positions from this one on are evenly apart. */
static int evenly(const strassen *s, int position) {
  return s->line - position % s->line;
}

/* The sums in blocks `block` of each half of the channels. */
static void make_sums(const job *job, int block) {
  const strassen *s = job->s;
  const pleat_x86_conv *conv = &s->conv;
  const int lanes = conv->code->lanes;
  const ptrdiff_t plane = pleat_x86_plane(conv), step = (ptrdiff_t)conv->stride[1] * lanes;
  const float *x = job->x + block * plane, *deep = x + conv->in_blocks / 2 * plane;
  float *sums = job->sums + (ptrdiff_t)block * s->run * lanes;
  for (int i = job->first, some; i < job->end; i += some, sums += some * lanes) {
    const int second = i + s->half;
    const bool is_alone = second >= s->positions;
    some = job->end - i < evenly(s, i) ? job->end - i : evenly(s, i);
    if (is_alone) some = 1;
    else if (some > evenly(s, second)) some = evenly(s, second);
    const float *quarters[4] = {x + place_of(s, i), deep + place_of(s, i), s->zeros, s->zeros};
    if (!is_alone) {
      quarters[2] = x + place_of(s, second);
      quarters[3] = deep + place_of(s, second);
    }
    conv->code->strassen_sums(quarters, (const ptrdiff_t[]){step, is_alone ? 0 : step}, some, s->copies, sums,
                              s->stride);
  }
}

static int blocks_of(const strassen *s, int set) {
  const int left = s->conv.out_blocks - SET * set;
  return left < SET ? left : SET;
}

static const float *set_weights(const strassen *s, int set) {
  return s->weights + (size_t)set * SET * block_bytes(&s->conv) / sizeof(float);
}

/* One tile whose second half lacks its last position: that half's results go through memory that has room for it. */
static void run_short(const strassen *s, pleat_x86_strassen *tiles, int blocks, int rows) {
  enum { MOST = PLEAT_X86_MAX_ROWS * PLEAT_LAYOUT_MAX_BLOCK };
  float results[SET][MOST], addends[SET][MOST] = {{0}};
  const pleat_x86_code *code = s->conv.code;
  const size_t bytes = (size_t)((rows - 1) * code->lanes) * sizeof(float);
  void *to[SET];
  for (int j = 0; j < blocks; j++) {
    to[j] = tiles->c[1][j];
    tiles->c[1][j] = results[j];
    if (tiles->addend[1][j] == NULL) continue;
    memcpy(addends[j], tiles->addend[1][j], bytes);
    tiles->addend[1][j] = addends[j];
  }
  code->strassen[blocks / 2 - 1][rows](tiles);
  for (int j = 0; j < blocks; j++) memcpy(to[j], results[j], bytes);
}

/* One set of filters by the positions of each half from `first` on. `tiles`: as far as it is the same for all of the
 * set. */
static void run_tile(const job *job, int set, int first, int rows, pleat_x86_strassen *tiles) {
  const strassen *s = job->s;
  const pleat_x86_conv *conv = &s->conv;
  const int lanes = conv->code->lanes, blocks = blocks_of(s, set);
  for (int p = 0; p < PLEAT_X86_STRASSEN; p++) {
    tiles->a[p] = job->sums + p * s->stride + (first - job->first) * lanes;
    tiles->offsets[p] = s->offsets[0];
  }
  if (!s->copies) {
    tiles->a[3] = job->x + (ptrdiff_t)first * lanes;
    tiles->a[5] = job->x + conv->in_blocks / 2 * pleat_x86_plane(conv) + (ptrdiff_t)(s->half + first) * lanes;
    tiles->offsets[3] = tiles->offsets[5] = s->offsets[1];
  }
  for (int j = 0; j < blocks; j++) {
    for (int half = 0; half < 2; half++) {
      const ptrdiff_t at = (set * SET + j) * pleat_x86_out_plane(conv) + (ptrdiff_t)(half * s->half + first) * lanes;
      tiles->c[half][j] = job->y + at;
      tiles->addend[half][j] = job->z != NULL ? job->z + at : NULL;
    }
  }
  if (s->half + first + rows > s->positions) run_short(s, tiles, blocks, rows);
  else conv->code->strassen[blocks / 2 - 1][rows](tiles);
}

/* One set of filters by all positions of the run. */
static void run_set(const job *job, int set) {
  _Alignas(64) float kept[PLEAT_X86_STRASSEN_KEPT * 2 * PLEAT_X86_MAX_ROWS * PLEAT_LAYOUT_MAX_BLOCK];
  const strassen *s = job->s;
  const pleat_x86_conv *conv = &s->conv;
  const int lanes = conv->code->lanes, columns = blocks_of(s, set) / 2, count = job->end - job->first;
  const int parts = pleat_x86_divide_up(count, conv->code->rows), blocks = conv->in_blocks / 2;
  pleat_x86_strassen tiles = {.kept = kept,
                              .tile = {.blocks = blocks,
                                       .last = lanes,
                                       .w = set_weights(s, set),
                                       .bias = conv->bias + set * SET * lanes,
                                       .activation = &conv->activation}};
  for (int t = 0; t < parts; t++) {
    const int first = (int)((int64_t)count * t / parts), end = (int)((int64_t)count * (t + 1) / parts);
    if (s->fetches && set + 1 < s->sets)
      pleat_x86_fetch_part(&tiles.tile, set_weights(s, set + 1), PLEAT_X86_STRASSEN * blocks,
                           (size_t)(lanes * columns * lanes) * sizeof(float), t, parts);
    run_tile(job, set, job->first + first, end - first, &tiles);
  }
}

static pleat_status run(const pleat_call *call) {
  const strassen *s = call->state;
  const pleat_x86_conv *conv = &s->conv;
  const pleat_tensor *z = pleat_in(call, PLEAT_X86_Z);
  const float *x = call->inputs[PLEAT_X86_X]->data, *addend = z != NULL ? z->data : NULL;
  float *y = call->outputs[0]->data;
  for (int64_t sample = 0; sample < conv->batch; sample++) {
    const ptrdiff_t out = sample * conv->out_blocks * pleat_x86_out_plane(conv);
    job job = {.s = s,
               .x = x + sample * conv->in_blocks * pleat_x86_plane(conv),
               .z = addend != NULL ? addend + out : NULL,
               .y = y + out,
               .sums = call->workspace};
    for (int run = 0; run < s->runs; run++) {
      job.first = (int)((int64_t)s->half * run / s->runs);
      job.end = (int)((int64_t)s->half * (run + 1) / s->runs);
      for (int block = 0; block < conv->in_blocks / 2; block++) make_sums(&job, block);
      for (int set = 0; set < s->sets; set++) run_set(&job, set);
    }
  }
  return PLEAT_OK;
}

const pleat_kernel pleat_x86_conv_strassen = {.name = "strassen",
                                              .types = PLEAT_M_F32,
                                              .flags = PLEAT_KERNEL_LAYOUTS,
                                              .inplace = 1u << PLEAT_X86_Z,
                                              .supports = supports,
                                              .unwise = unwise,
                                              .prepare = prepare,
                                              .run = run,
                                              .packs = 1u << PLEAT_X86_W};

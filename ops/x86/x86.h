/* What the kernels for x86 share: the code of each instruction set as a table of functions, packed weights, and what a
 * result ends with.
 *
 * All of them work on float tensors whose channels lie in blocks of as many as a vector holds (ops/layout.h): [batch,
 * blocks, positions..., lanes]. The lanes of the last block that are no channels are zero, in every tensor. In one of
 * the tables tensors hold bfloat16 in place of floats: what is `void` here are its numbers, and distances between them
 * count numbers.
 *
 * code.inc is compiled once per instruction set, and only that code may use it; everything else here is plain C. */
#ifndef PLEAT_OPS_X86_X86_H
#define PLEAT_OPS_X86_X86_H

#include "ops/kernels.h"
#include "ops/layout.h"
#include "ops/packs.h"

/* ---- what a result ends with ---- (activation.c) */

typedef enum pleat_x86_curve {
  PLEAT_X86_CLAMP, /* Relu, Clip, or nothing at all: only low and high count */
  PLEAT_X86_LEAKY,
  PLEAT_X86_PRELU, /* of convolutions only */
  PLEAT_X86_SIGMOID,
  PLEAT_X86_SILU,
  PLEAT_X86_HARD_SIGMOID,
  PLEAT_X86_HARD_SWISH,
  PLEAT_X86_GELU
} pleat_x86_curve;

/* y = curve(min(high, max(low, x))); low and high are infinite where the curve is no clamp. */
typedef struct pleat_x86_activation {
  pleat_x86_curve curve;
  float low, high;
  float alpha, beta; /* of the curve */
  ptrdiff_t slopes;  /* PRelu's lie so many floats behind the biases of the same channels */
} pleat_x86_activation;

/* Of a fused node, or of one without an activation. False: one that nothing here computes. PRelu is for convolutions to
 * know. */
bool pleat_x86_activation_of(const pleat_node *node, pleat_x86_activation *out_activation);
/* Whether it leaves zero at zero, as the lanes that are no channels must be. */
bool pleat_x86_keeps_zero(const pleat_x86_activation *activation);

/* ---- the code of one instruction set ---- (isa.c) */

/* One tile of a product: `rows` positions by one or two blocks of channels,
 *
 *   c[j][i] = act(bias[j] + addend[j][i] + sum over blocks b and lanes k of a[offsets[b] + i * step + k] * w[b][k][j]).
 *
 * Positions lie next to each other in c and addend; in a they are `lanes` (step 1) or twice that (step 2) apart. */
typedef struct pleat_x86_tile {
  const void *a;
  const ptrdiff_t *offsets; /* in numbers */
  int blocks;               /* of depth, each of `lanes` */
  int last;                 /* how many lanes of the last block count */
  /* [blocks][lanes][columns][lanes], aligned; bfloat16: [blocks][lanes / 2][columns][lanes][2] */
  const void *w;
  const float *bias;     /* [columns][lanes] */
  const void *addend[2]; /* NULL: none */
  void *c[2];
  /* Of a part of the depth: the sums of those before, NULL: it is the first; and where its own go, NULL: it is the
   * last, and they become results. [rows][columns][lanes] */
  const float *from;
  float *to;
  const pleat_x86_activation *activation;
  ptrdiff_t line; /* of `twice`: from the first line's positions in a to the second's */
  /* Weights that will be wanted soon, fetched meanwhile: `next_lines` cache lines for each block of depth. 0: none. */
  const void *next;
  int next_lines;
} pleat_x86_tile;

/* Tile `index` of `count` that share their weights fetches its part of as many weights at `next`: so many blocks of
 * depth, each of so many bytes. */
void pleat_x86_fetch_part(pleat_x86_tile *tile, const void *next, int blocks, size_t block_bytes, int index, int count);

typedef void pleat_x86_tile_function(const pleat_x86_tile *tile);

enum { PLEAT_X86_MAX_ROWS = 14 };

/* Four such tiles, of two halves of the positions by two halves of the channels, by seven products of half the depth
 * (strassen.inc): product p takes a[p] and offsets[p], and its filters after those of the one before, in `tile`, which
 * has what they share; its bias is of both halves of the channels. */
enum { PLEAT_X86_STRASSEN = 7, PLEAT_X86_STRASSEN_KEPT = 4 };
typedef struct pleat_x86_strassen {
  pleat_x86_tile tile;
  const void *a[PLEAT_X86_STRASSEN];
  const ptrdiff_t *offsets[PLEAT_X86_STRASSEN];
  const void *addend[2][4]; /* [half of the positions][block of channels] */
  void *c[2][4];
  void *kept; /* room for PLEAT_X86_STRASSEN_KEPT tiles of two blocks, aligned */
} pleat_x86_strassen;

typedef void pleat_x86_strassen_function(const pleat_x86_strassen *tiles);

/* Winograd's minimal filtering of 3x3 kernels on one block of channels: a tile of `in` x `in` inputs gives `out` x
 * `out` outputs by in * in products, its points, with filters * filters transformed weights. (winograd.inc) */
typedef struct pleat_x86_winograd {
  int stride, in, out, filters;
  int (*filter)(int point); /* which weights a point takes: some points share theirs */
  /* v[point * point_stride + t * lanes + lane] for `count` tiles, neighbours in a row. The first one's first input is
   * at (row, column), which may lie outside. `soon`: where as many numbers will be written later. */
  void (*input)(const void *x, int height, int width, int row, int column, int count, void *v, ptrdiff_t point_stride,
                const void *soon);
  /* The other way, to y; that and `addend` (may be NULL) are whole planes. (row, column): the first tile's first
   * output, inside of it. */
  void (*output)(const float *m, ptrdiff_t point_stride, const float *bias, const void *addend, void *y, int height,
                 int width, int row, int column, int count, const pleat_x86_activation *activation);
  /* As products want them, at u[filter * filter_stride]: `depth` filters of `count` <= columns * lanes channels, from
   * w[j * channel_stride + k * 9 + tap]. The other channels get zeros. */
  void (*weights)(const float *w, size_t channel_stride, int depth, int count, int columns, void *u,
                  size_t filter_stride);
} pleat_x86_winograd;

enum { PLEAT_X86_WINOGRADS = 3 };

/* F(4x4, 3x3) and F(3x3, 4x4) take the points 0, +-P, +-Q and infinity. */
#define PLEAT_X86_POINT_P (5.0f / 8)
#define PLEAT_X86_POINT_Q (3.0f / 2)

/* Winograd's minimal filtering with stride 2 of few input channels, in dense planes: tiles of 3 x 3 outputs, up to
 * `lanes` of them at once. (planes_winograd.inc) */
enum {
  PLEAT_X86_PHASES_SPAN = 12,
  PLEAT_X86_PHASES_OUT = 3,
  PLEAT_X86_PHASES_TILES = 6,
  PLEAT_X86_PHASES_CHANNELS = 16
};

/* The products of up to PLEAT_X86_PHASES_TILES tiles with one block of filters at the six points of a column. */
typedef struct pleat_x86_phases {
  const float *v, *w;        /* inputs and weights, [steps][lanes]: steps at 0, at P and -P in turn, at Q and -Q, */
  int zero, pairs, infinity; /* and at infinity */
  float *sums;               /* [3][lanes][lanes]: of those tiles */
} pleat_x86_phases;

typedef struct pleat_x86_phases_code {
  int tiles; /* the most that products take at once */
  /* to[i % 6][i / 6] = x[i] for i < 6 * count, and beyond, to whole vectors. */
  void (*part)(const float *x, int count, float *to);
  /* All points of columns of inputs, `count` of them: from two times six rows of inputs to twelve rows
   * [phases][points].
   */
  void (*down)(const float *first, const float *second, ptrdiff_t line, int count, float *to);
  /* All points of `lanes` tiles of one channel from those rows, to v[steps[row][phases][points]][lanes]. Number i of
   * the twelve columns of the inputs of tile t lies at x[i % 6 * residue + i / 6 + t]. */
  void (*across)(const float *x, ptrdiff_t line, ptrdiff_t residue, const int *steps, float *v);
  void (*column[PLEAT_X86_PHASES_TILES + 1])(const pleat_x86_phases *phases); /* [tiles] */
  /* One tile's results, from sums[6][3][lanes][lanes] on. y, `addend` (may be NULL): the whole plane; (row, column):
   * the tile's first output, inside of it. */
  void (*output)(const float *sums, const float *bias, const float *addend, float *y, int height, int width, int row,
                 int column, const pleat_x86_activation *activation);
} pleat_x86_phases_code;

/* Rows [first, end) of a depthwise convolution of one block of channels: y = act(bias + addend + the sum over taps of x
 * times w), w: [taps][lanes]. x, y and addend (may be NULL) are whole planes. (depthwise.inc) */
typedef struct pleat_x86_conv pleat_x86_conv;
typedef void pleat_x86_depthwise_function(const pleat_x86_conv *conv, const void *x, const float *w, const float *bias,
                                          const void *addend, void *y, int first, int end);

enum { PLEAT_X86_DEPTHWISE_WIDEST = 7, PLEAT_X86_DEPTHWISE_STRIDE = 2 };

/* A row of output of a convolution of few channels: by one or two blocks, y[j][i] = act(bias[j] + addend[j][i] + the
 * sum over steps of x[offsets[step] + i * stride] * w[step][j]). A step is a tap; in bfloat16 a tap and the one to the
 * right of it, but for the last `singles`. (planes.inc) */
typedef struct pleat_x86_planes {
  const void *x;
  const ptrdiff_t *offsets;
  int steps, singles;    /* `steps` without the singles */
  int width, stride;     /* outputs; stride: of the input */
  const void *w;         /* [steps and singles][columns][lanes]; bfloat16: pairs */
  const float *bias;     /* [columns][lanes] */
  const void *addend[2]; /* NULL: none */
  void *y[2];
  const pleat_x86_activation *activation;
  /* Inputs that will be wanted soon, fetched meanwhile: each tile takes so many cache lines of each plane. */
  const float *next;
  ptrdiff_t next_plane, next_step; /* next_step: from one row of output to the next */
  int next_planes, next_lines;
} pleat_x86_planes;

typedef void pleat_x86_planes_function(const pleat_x86_planes *row);

/* A matrix that lies row by row, and what a vector times it ends with. (rows.inc) */
typedef struct pleat_x86_rows {
  const float *w;
  size_t depth;
  const float *bias; /* NULL: none */
  pleat_x86_activation activation;
} pleat_x86_rows;

/* Functions of one element, over numbers that follow each other. (maps.inc) */
typedef enum pleat_x86_map {
  PLEAT_X86_MAP_ABS,
  PLEAT_X86_MAP_CEIL,
  PLEAT_X86_MAP_CLIP,
  PLEAT_X86_MAP_ELU,
  PLEAT_X86_MAP_ERF,
  PLEAT_X86_MAP_EXP,
  PLEAT_X86_MAP_FLOOR,
  PLEAT_X86_MAP_GELU,
  PLEAT_X86_MAP_GELU_TANH,
  PLEAT_X86_MAP_HARD_SIGMOID,
  PLEAT_X86_MAP_HARD_SWISH,
  PLEAT_X86_MAP_LEAKY_RELU,
  PLEAT_X86_MAP_LOG,
  PLEAT_X86_MAP_NEG,
  PLEAT_X86_MAP_RECIPROCAL,
  PLEAT_X86_MAP_RELU,
  PLEAT_X86_MAP_ROUND,
  PLEAT_X86_MAP_SIGMOID,
  PLEAT_X86_MAP_SQRT,
  PLEAT_X86_MAP_TANH,
  PLEAT_X86_MAP_SLOPES_SAME, /* PRelu: params are slopes, as many as lanes, */
  PLEAT_X86_MAP_SLOPES_EACH, /* or as many as numbers */
  PLEAT_X86_MAPS
} pleat_x86_map;

/* y may be x. params: the operator's alpha and beta. */
typedef void pleat_x86_map_function(const float *x, float *y, size_t count, const float *params);

typedef enum pleat_x86_binary { PLEAT_X86_ADD, PLEAT_X86_SUB, PLEAT_X86_MUL } pleat_x86_binary;

typedef struct pleat_x86_code {
  const char *name;
  int lanes;
  size_t element;                                                 /* bytes of a tensor's number */
  int rows;                                                       /* the most positions in a tile */
  pleat_x86_tile_function *product[2][2][PLEAT_X86_MAX_ROWS + 1]; /* [step - 1][columns - 1][rows] */
  /* Without bias, addend and activation, and c are floats, whatever the tensors hold. */
  pleat_x86_tile_function *sums[2][PLEAT_X86_MAX_ROWS + 1]; /* [columns - 1][rows] */
  /* rows / 2 positions each of two lines, which follow each other in c and addend; NULL: there is none. It halves how
   * often the weights are read where lines are short. */
  pleat_x86_tile_function *twice[2][2]; /* [step - 1][columns - 1] */
  /* Step 1, where the last block has at most lanes / 2 channels, and filters in halves (conv.c); NULL: there is none.
   */
  pleat_x86_tile_function *halves[2][PLEAT_X86_MAX_ROWS + 1]; /* [columns - 1][rows] */
  /* [columns of a half - 1][rows of a half], from rows / 2 on; NULL: there is none. */
  pleat_x86_strassen_function *strassen[2][PLEAT_X86_MAX_ROWS + 1];
  void (*strassen_sums)(const float *const quarters[4], const ptrdiff_t steps[2], int count, bool copies, float *sums,
                        ptrdiff_t stride);
  pleat_x86_winograd winograd[PLEAT_X86_WINOGRADS]; /* F(4x4, 3x3), F(2x2, 3x3), stride 2; fewer in bfloat16 */
  /* y[i] = a[i] op b[i] over vectors, or where `is_one` all of them op one vector of floats at b. (binary.inc) */
  void (*binary)(pleat_x86_binary operation, const void *a, const void *b, bool is_one, int64_t vectors, void *y);
  /* y[row][i] = x[row][i] * scale[row] over rows of one or two vectors. (binary.inc) */
  void (*scale_rows)(const float *x, const float *scale, int rows, int vectors, float *y);
  /* Zeros in the lanes from `channels` on of so many vectors: weights of zero leave NaN there where inputs are not
   * finite. */
  void (*clear_lanes)(void *values, int vectors, int channels);
  /* y[row] = act(bias[row] + addend[row] + row of w times x), addend may be NULL; for rows [first, end). */
  void (*rows_times)(const pleat_x86_rows *rows, const float *x, const float *addend, float *y, int first, int end);
  /* y[i] = max(y[i], x[i * step + tap * tap_step] of all taps), or the sum, over `count` vectors; `first`: without y.
   * (pool.inc) */
  void (*pool_line)(bool is_max, bool first, const void *x, ptrdiff_t step, int taps, ptrdiff_t tap_step, int count,
                    void *y);
  void (*pool_divide)(void *y, int count, const int64_t *counted, double rows); /* y[i] /= rows * counted[i] */
  void (*pool_plane)(bool is_max, const void *x, int64_t count, float *y);      /* maximum or mean of vectors */
  void (*scale_line)(const void *x, const float *scale, const float *shift, int64_t count,
                     const pleat_x86_activation *activation, void *y); /* act(x * scale + shift) */
  pleat_x86_planes_function *planes[3][2];                             /* [stride - 1, or 2 for any][columns - 1] */
  pleat_x86_phases_code phases;                                        /* none in bfloat16 */
  void (*narrow)(const float *x, void *y, size_t count);               /* numbers of floats */
  /* [kernel width / 2][stride of the width - 1]: odd widths */
  pleat_x86_depthwise_function *depthwise[PLEAT_X86_DEPTHWISE_WIDEST / 2 + 1][PLEAT_X86_DEPTHWISE_STRIDE];
  pleat_x86_map_function *maps[PLEAT_X86_MAPS];
} pleat_x86_code;

/* The best that this CPU runs for tensors of floats, or of bfloat16; NULL: none of them. (isa.c) */
const pleat_x86_code *pleat_x86_code_of_cpu(void);
const pleat_x86_code *pleat_x86_code_for(bool bf16);
/* How many multiplications of that code's vectors this CPU starts in a cycle. */
int pleat_x86_units(const pleat_x86_code *code);
#define PLEAT_X86_NO_CODE "this CPU lacks the instructions" /* why kernels decline then */

extern const pleat_x86_code pleat_x86_avx512, pleat_x86_avx2, pleat_x86_bf16;

/* `count` numbers behind `numbers`; NULL stays NULL. */
static inline const void *pleat_x86_at(const pleat_x86_code *code, const void *numbers, ptrdiff_t count) {
  return numbers != NULL ? (const char *)numbers + count * (ptrdiff_t)code->element : NULL;
}
static inline void *pleat_x86_to(const pleat_x86_code *code, void *numbers, ptrdiff_t count) {
  return (char *)numbers + count * (ptrdiff_t)code->element;
}

/* ---- convolutions ---- (geometry.c) */

/* A convolution over planes; with one spatial axis, planes of one line. A depthwise one counts as a single group. */
struct pleat_x86_conv {
  const pleat_x86_code *code;
  pleat_x86_activation activation;
  int64_t batch;
  int groups;
  int in_channels, out_channels; /* of one group */
  int in_blocks, out_blocks;     /* likewise; the last is padded only where there is one group */
  int height, width, out_height, out_width;
  int kernel[2], stride[2], dilation[2], pad_begin[2], pad_end[2];
  const float *bias; /* of every block, zeros where there is none; then PRelu's slopes likewise */
};

/* Inputs of Conv and pleat.FusedConv. */
enum { PLEAT_X86_X, PLEAT_X86_W, PLEAT_X86_B, PLEAT_X86_Z, PLEAT_X86_S, PLEAT_X86_SLOPES };

/* Why such a convolution is not for the kernels here, whatever its window; NULL: none. Takes Conv and FusedConv with
 * constant weights and one or two spatial axes; with a scaled input where the kernel knows of that. */
const char *pleat_x86_refuse_conv(const pleat_call *call, bool knows_scale);
/* The same for depthwise ones, which may be asked for the mean of their result, and for those of fewer input channels
 * than a vector holds, which pleat_x86_refuse_conv refuses; those may have as few output channels. */
const char *pleat_x86_refuse_depthwise(const pleat_call *call);
const char *pleat_x86_refuse_planes(const pleat_call *call);
/* A depthwise one with all that depthwise.c declines. */
const char *pleat_x86_refuse_depthwise_window(const pleat_call *call);
/* `second`, and the value between the two, as one step with a `first` that its kernel takes. */
const char *pleat_x86_refuse_pair(const pleat_call *first, const pleat_call *second);
/* Describes what was not refused, asks for the inputs' layouts and announces the output's. Declines sizes beyond an
 * int. */
pleat_status pleat_x86_describe_conv(pleat_call *call, pleat_x86_conv *out_conv);

/* The input rows that a window covers; those, of the input, that rows [row, end) of the output see; and how many rows
 * of output, at most `most`, can be made from so many rows of input, and how many these are. */
int pleat_x86_extent(const pleat_x86_conv *conv);
void pleat_x86_see(const pleat_x86_conv *conv, int row, int end, int *out_top, int *out_bottom);
int pleat_x86_band(const pleat_x86_conv *conv, size_t fitting, int most, int *out_rows);

/* Weights as products want them, shared by all plans of a model (ops/packs.h): [groups][sets of `set` out blocks], each
 * block of `block_bytes` bytes, with the set at the end of a group maybe of fewer. */
typedef struct pleat_x86_weights {
  char kernel[16];
  int variant; /* of the kernel's format */
  int set;
  size_t block_bytes;
  /* Filters [count][in channels][taps] of a set of `blocks` to zeroed memory. */
  void (*pack)(const pleat_x86_conv *conv, int variant, const float *filters, int count, int blocks, void *to);
} pleat_x86_weights;

pleat_status pleat_x86_pack_weights(pleat_call *call, const pleat_x86_conv *conv, const pleat_x86_weights *weights,
                                    const void **out_pack);
/* The filters of the direct convolution and of the depthwise one, as these read them (conv.c, depthwise.c). */
pleat_status pleat_x86_pack_direct(pleat_call *call, const pleat_x86_conv *conv, const void **out_pack);
pleat_status pleat_x86_pack_depthwise(pleat_call *call, const pleat_x86_conv *conv, const float **out_pack);
/* Rows [first, end) of one plane of a depthwise one, of the sample's block `block`; `means` (may be NULL) gets those of
 * all rows, [out_height][lanes]. */
void pleat_x86_run_depthwise(const pleat_x86_conv *conv, pleat_x86_depthwise_function *rows, int64_t block,
                             const void *x, const float *w, const void *z, void *y, float *means, int first, int end);
/* Room for the means of all rows of all planes; and the planes' means of them, dense. */
size_t pleat_x86_means_bytes(const pleat_x86_conv *conv);
void pleat_x86_finish_means(const pleat_x86_conv *conv, const float *rows, float *to);
/* Whether the last block's filters are packed in halves, for `halves` of the code (conv.c). */
bool pleat_x86_has_half(const pleat_x86_conv *conv);
static inline size_t pleat_x86_group_bytes(const pleat_x86_conv *conv, size_t pair_bytes) {
  return pair_bytes / 2 * (size_t)conv->out_blocks;
}

/* Row `k` of the depth of what a product takes as `w`, of `width` columns: `count` numbers that lie `step` apart. */
void pleat_x86_pack_row(const pleat_x86_code *code, const float *from, size_t step, int count, int k, int width,
                        void *to);
/* The same for the first rows of it, so many, whose numbers lie `row_step` apart. */
void pleat_x86_pack_rows(const pleat_x86_code *code, const float *from, size_t step, int count, size_t row_step,
                         int rows, int width, void *to);

/* How many lanes of a block of the output (of one group) are channels. */
static inline int pleat_x86_channels_of(const pleat_x86_conv *conv, int block) {
  const int left = conv->out_channels - block * conv->code->lanes;
  return left < conv->code->lanes ? left : conv->code->lanes;
}

/* A tile of `rows` positions by the blocks from 2 * pair on, with zeros in the lanes that are no channels. */
static inline void pleat_x86_direct_tile(const pleat_x86_conv *conv, bool has_half, int pair, int rows,
                                         const pleat_x86_tile *tile) {
  const pleat_x86_code *code = conv->code;
  const int columns = conv->out_blocks - 2 * pair > 1 ? 2 : 1, last = 2 * pair + columns - 1;
  const bool is_half = has_half && last == conv->out_blocks - 1;
  if (is_half) code->halves[columns - 1][rows](tile);
  else code->product[conv->stride[1] - 1][columns - 1][rows](tile);
  const int channels = pleat_x86_channels_of(conv, last);
  if (tile->to == NULL && channels < (is_half ? code->lanes / 2 : code->lanes))
    code->clear_lanes(tile->c[columns - 1], rows, channels);
}

/* Numbers of one plane of a block. */
static inline ptrdiff_t pleat_x86_plane(const pleat_x86_conv *conv) {
  return (ptrdiff_t)conv->height * conv->width * conv->code->lanes;
}
static inline ptrdiff_t pleat_x86_out_plane(const pleat_x86_conv *conv) {
  return (ptrdiff_t)conv->out_height * conv->out_width * conv->code->lanes;
}
static inline int pleat_x86_divide_up(int a, int b) {
  return a / b + (a % b != 0);
}

#endif

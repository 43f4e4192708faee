/* How Conv and ConvTranspose read their input as the right-hand matrix of a product: row (c, tap), column = output
 * position; the element is the input at position * stride + offset[tap], or 0 outside. This is im2col (Chellapilla et
 * al. 2006), a panel at a time. */
#ifndef PLEAT_OPS_CONV_GATHER_H
#define PLEAT_OPS_CONV_GATHER_H

#include "ops/block_gemm.h"
#include "ops/conv_shape.h"

typedef struct pleat_gather {
  int spatial;
  int64_t in_size[PLEAT_MAX_SPATIAL], out_size[PLEAT_MAX_SPATIAL], stride[PLEAT_MAX_SPATIAL];
  int64_t in_plane;       /* product of in_size */
  int64_t taps;           /* of one channel */
  const int64_t *offsets; /* [taps][spatial] */
} pleat_gather;

/* The `b` of a pleat_product. */
typedef struct pleat_gather_source {
  const pleat_gather *gather;
  const void *data; /* [channels][in_size...] of one sample and group */
} pleat_gather_source;

void pleat_gather_pack_f32(const void *source, int64_t k, int64_t depth, int64_t col, int64_t cols, void *panel);
void pleat_gather_pack_u32(const void *source, int64_t k, int64_t depth, int64_t col, int64_t cols, void *panel);
void pleat_gather_pack_f64(const void *source, int64_t k, int64_t depth, int64_t col, int64_t cols, void *panel);

/* Splits a row-major index over `sizes` into coordinates. */
static inline void pleat_unravel(int64_t index, int rank, const int64_t *sizes, int64_t *out_coordinates) {
  for (int i = rank - 1; i >= 0; i--) {
    out_coordinates[i] = index % sizes[i];
    index /= sizes[i];
  }
}

/* Positions [*out_first, *out_end) out of [0, count) for which `start` + position * stride is in [0, size). */
static inline void pleat_gather_clip(int64_t start, int64_t stride, int64_t size, int64_t count, int64_t *out_first,
                                     int64_t *out_end) {
  int64_t first = start < 0 ? (-start + stride - 1) / stride : 0;
  int64_t end = start >= size ? 0 : (size - start + stride - 1) / stride;
  if (end > count) end = count;
  *out_first = first < end ? first : end;
  *out_end = end;
}

#endif

/* The matrix product under Conv, ConvTranspose, Gemm and MatMul.
 *
 * C[m,n] = A[m,k] * B[k,n], computed a block of C at a time: slices of A and B are packed into small contiguous buffers
 * (by whoever knows how they lie in memory), then multiplied by a register tile in plain C that the compiler
 * vectorises. The structure is that of Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication"
 * (2008).
 *
 * Every element of C is a sum over k in one fixed order (sums of PLEAT_BLOCK_K products, then the sum of those), so the
 * result does not depend on how the work is split between threads. Integers are computed as unsigned: they wrap. */
#ifndef PLEAT_OPS_BLOCK_GEMM_H
#define PLEAT_OPS_BLOCK_GEMM_H

#include "ops/ops.h"

enum {
  PLEAT_TILE_ROWS = 8,    /* a strip of A holds that many rows: strip[k][PLEAT_TILE_ROWS] */
  PLEAT_TILE_COLS = 32,   /* a panel of B is a list of tiles: panel[tile][k][PLEAT_TILE_COLS] */
  PLEAT_BLOCK_K = 128,    /* depth of a slice */
  PLEAT_BLOCK_COLS = 128, /* most columns of one block */
};

/* A hot loop compiled for several instruction sets; the loader picks one. All give the same bits: they differ in how
 * many elements are computed at once, not in what is computed for each (there is no contraction to FMA). The
 * sanitizers' start-up and other C libraries do not go together with the indirect functions this needs. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__) &&                           \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define PLEAT_MULTIVERSION __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define PLEAT_MULTIVERSION
#endif

/* A matrix in memory: element (i, j) is data[i * row + j * col]. */
typedef struct pleat_matrix {
  const void *data;
  int64_t row, col;
} pleat_matrix;

/* How to get at A and B. Strips and panels must be filled completely: rows from `rows` on and columns from `cols` on
 * are zero. `a` and `b` are handed to the functions. */
typedef struct pleat_product {
  int64_t m, n, k;
  const void *a, *b;
  void (*pack_a)(const void *a, int64_t row, int64_t rows, int64_t k, int64_t depth, void *strip);
  void (*pack_b)(const void *b, int64_t k, int64_t depth, int64_t col, int64_t cols, void *panel);
} pleat_product;

#define PLEAT_BLOCK_GEMM_DECLARE(T, suffix)                                                                            \
  /* Writes the block [row, row + rows) x [col, col + cols), cols <= PLEAT_BLOCK_COLS, to `c` (its first element). */  \
  void pleat_block_gemm##suffix(const pleat_product *product, int64_t row, int64_t rows, int64_t col, int64_t cols,    \
                                T *c, int64_t c_row, void *scratch);                                                   \
  /* pack_a of a pleat_matrix. */                                                                                      \
  void pleat_matrix_pack_a##suffix(const void *a, int64_t row, int64_t rows, int64_t k, int64_t depth, void *strip);
PLEAT_BLOCK_GEMM_DECLARE(float, _f32)
PLEAT_BLOCK_GEMM_DECLARE(double, _f64)
PLEAT_BLOCK_GEMM_DECLARE(uint32_t, _u32)
PLEAT_BLOCK_GEMM_DECLARE(uint64_t, _u64)
#undef PLEAT_BLOCK_GEMM_DECLARE

/* A product of matrices in memory; `c`'s rows are `c_row` elements apart. */
typedef struct pleat_matrix_product {
  pleat_dtype dtype; /* float, double, or an integer of 32 or 64 bits */
  int64_t m, n, k;
  pleat_matrix a, b;
  void *c;
  int64_t c_row;
} pleat_matrix_product;

/* Computes the block [row, row + rows) x [col, col + cols), cols <= PLEAT_BLOCK_COLS, of C. Products with few rows or
 * columns take a way without packing. */
void pleat_matrix_block(const pleat_matrix_product *product, int64_t row, int64_t rows, int64_t col, int64_t cols,
                        void *scratch);

/* Bytes of scratch memory of one thread; a multiple of 64. */
size_t pleat_block_scratch(pleat_dtype dtype);

/* How `products` of m x n are split into blocks: enough for all threads, each as large as that allows. */
typedef struct pleat_block_split {
  int64_t rows, cols;             /* of one block */
  int64_t row_blocks, col_blocks; /* of one product; 0 when it is empty */
} pleat_block_split;
pleat_block_split pleat_block_split_make(int64_t products, int64_t m, int64_t n, int threads);

/* Runs items [0, count) on up to `threads` threads, in any order. Thread t gets the scratch memory at
 * workspace + t * scratch_size. */
void pleat_block_run(int64_t count, int threads, void *workspace, size_t scratch_size,
                     void (*run)(const void *job, int64_t item, void *scratch), const void *job);

/* prepare: sets workspace_size for `threads` times `scratch_size`; OUT_OF_MEMORY when that overflows. */
pleat_status pleat_block_workspace(pleat_call *call, int threads, size_t scratch_size);

/* infer: all tensors have the type of input 0 (as far as types are known), which output 0 gets. */
pleat_status pleat_infer_one_type(pleat_infer *ctx);

#endif

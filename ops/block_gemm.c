/* Blocked matrix products: see block_gemm.h. The arithmetic is in block_gemm.inc; here are its instances, the split of
 * the work and the threads. Blocks are handed out one by one, so that a slow core does not hold up the rest; which
 * thread computes a block does not change its result. */
#include "ops/block_gemm.h"

#include <assert.h>
#include <string.h>

#include "core/checked.h"
#include "core/parallel.h"

#define PLEAT_TEMPLATE "block_gemm.inc"
#define PLEAT_TEMPLATE_FLOATS
#include "ops/template.h"

#define T        uint32_t
#define FN(name) PLEAT_CAT(name, _u32)
#include "block_gemm.inc"
#undef T
#undef FN
#define T        uint64_t
#define FN(name) PLEAT_CAT(name, _u64)
#include "block_gemm.inc"
#undef T
#undef FN

void pleat_matrix_block(const pleat_matrix_product *product, int64_t row, int64_t rows, int64_t col, int64_t cols,
                        void *scratch) {
  switch (product->dtype) {
  case PLEAT_FLOAT:
    matrix_block_f32(product, row, rows, col, cols, scratch);
    break;
  case PLEAT_DOUBLE:
    matrix_block_f64(product, row, rows, col, cols, scratch);
    break;
  case PLEAT_INT32:
  case PLEAT_UINT32:
    matrix_block_u32(product, row, rows, col, cols, scratch);
    break;
  case PLEAT_INT64:
  case PLEAT_UINT64:
    matrix_block_u64(product, row, rows, col, cols, scratch);
    break;
  default:
    assert(!"a type that products are computed in");
    break;
  }
}

size_t pleat_block_scratch(pleat_dtype dtype) {
  return (size_t)(PLEAT_BLOCK_K * (PLEAT_TILE_ROWS + PLEAT_BLOCK_COLS)) * pleat_dtype_size(dtype);
}

static int64_t divide_up(int64_t a, int64_t b) {
  return a / b + (a % b != 0);
}

pleat_block_split pleat_block_split_make(int64_t products, int64_t m, int64_t n, int threads) {
  enum { MOST_ROWS = 256, LEAST_ROWS = 32, BLOCKS_PER_THREAD = 4 };
  pleat_block_split split = {.rows = m < MOST_ROWS ? m : MOST_ROWS,
                             .cols = n < PLEAT_BLOCK_COLS ? n : PLEAT_BLOCK_COLS};
  if (products <= 0 || m <= 0 || n <= 0) return split;
  double wanted = (double)threads * BLOCKS_PER_THREAD;
  split.col_blocks = divide_up(n, split.cols);
  double strips = (double)products * (double)split.col_blocks;
  while (threads > 1 && split.rows > LEAST_ROWS && strips * (double)divide_up(m, split.rows) < wanted)
    split.rows = divide_up(split.rows, 2 * PLEAT_TILE_ROWS) * PLEAT_TILE_ROWS;
  split.row_blocks = divide_up(m, split.rows);
  return split;
}

typedef struct block_items {
  void (*run)(const void *job, int64_t item, void *scratch);
  const void *job;
  void *workspace;
  size_t scratch_size;
} block_items;

static void run_item(void *arg, int64_t item, int worker) {
  const block_items *items = arg;
  void *scratch = items->scratch_size == 0 ? NULL : (char *)items->workspace + (size_t)worker * items->scratch_size;
  items->run(items->job, item, scratch);
}

void pleat_block_run(int64_t count, int threads, void *workspace, size_t scratch_size,
                     void (*run)(const void *job, int64_t item, void *scratch), const void *job) {
  block_items items = {.run = run, .job = job, .workspace = workspace, .scratch_size = scratch_size};
  pleat_parallel(threads, count, run_item, &items);
}

pleat_status pleat_block_workspace(pleat_call *call, int threads, size_t scratch_size) {
  if (!pleat_mul_size((size_t)threads, scratch_size, &call->workspace_size)) return PLEAT_OOM(call->error);
  return PLEAT_OK;
}

pleat_status pleat_infer_one_type(pleat_infer *ctx) {
  pleat_dtype dtype = ctx->inputs[0].dtype;
  for (size_t i = 1; i < ctx->input_count; i++) {
    pleat_dtype other = ctx->inputs[i].dtype;
    if (!ctx->inputs[i].present || other == PLEAT_UNDEFINED) continue;
    if (dtype == PLEAT_UNDEFINED) dtype = other;
    if (other != dtype)
      return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "input %zu: expected type %s like the first input, found %s",
                        i, pleat_dtype_name(dtype), pleat_dtype_name(other));
  }
  pleat_type *out = pleat_infer_out(ctx, 0);
  if (out != NULL) out->dtype = dtype;
  return PLEAT_OK;
}

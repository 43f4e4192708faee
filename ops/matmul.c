/* MatMul: matrix product with numpy's rules for vectors and for broadcasting batches.
 *
 * From the ONNX specification (numpy.matmul): a vector on the left is a row, one on the right a column, and that
 * dimension is dropped from the result; dimensions before the last two broadcast. A batch of products with one common
 * right-hand matrix is computed as one product with more rows. */
#include "ops/matmul.h"

#include <inttypes.h>

#include "ops/kernels.h"

struct pleat_matmul {
  pleat_dtype dtype;
  int64_t m, n, k;
  int batch_rank;
  int64_t batch_dims[PLEAT_MAX_RANK], a_step[PLEAT_MAX_RANK], b_step[PLEAT_MAX_RANK]; /* in matrices */
  pleat_block_split split;
  int64_t items;
};
typedef pleat_matmul matmul;

typedef struct matmul_job {
  const matmul *matmul;
  const void *a, *b;
  void *c;
} matmul_job;

/* ---- inference ---- */

pleat_status pleat_matmul_infer_shape(pleat_infer *ctx) {
  const pleat_shape *a = &ctx->inputs[0].shape, *b = &ctx->inputs[1].shape;
  pleat_type *y = pleat_infer_out(ctx, 0);
  char a_text[256], b_text[256];
  if (a->rank == 0 || b->rank == 0)
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "input %d: expected at least one dimension, found a scalar",
                      a->rank == 0 ? 0 : 1);
  if (a->rank < 0 || b->rank < 0) return PLEAT_OK;
  pleat_dim a_inner = a->dims[a->rank - 1], b_inner = b->dims[b->rank > 1 ? b->rank - 2 : 0];
  if (pleat_dim_is_known(a_inner) && pleat_dim_is_known(b_inner) && a_inner.value != b_inner.value)
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH,
                      "inner dimensions differ: %" PRId64 " and %" PRId64 " (shapes %s and %s)", a_inner.value,
                      b_inner.value, pleat_shape_text(a, a_text, sizeof a_text),
                      pleat_shape_text(b, b_text, sizeof b_text));
  pleat_shape a_batch = *a, b_batch = *b, shape;
  a_batch.rank = a->rank > 2 ? a->rank - 2 : 0;
  b_batch.rank = b->rank > 2 ? b->rank - 2 : 0;
  if (!pleat_shape_broadcast(&a_batch, &b_batch, &shape))
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "batch dimensions of %s and %s do not broadcast",
                      pleat_shape_text(a, a_text, sizeof a_text), pleat_shape_text(b, b_text, sizeof b_text));
  if (a->rank > 1) shape.dims[shape.rank++] = a->dims[a->rank - 2];
  if (b->rank > 1) shape.dims[shape.rank++] = b->dims[b->rank - 1];
  if (y != NULL) y->shape = shape;
  return PLEAT_OK;
}

static pleat_status infer(pleat_infer *ctx) {
  PLEAT_TRY(pleat_infer_one_type(ctx));
  return pleat_matmul_infer_shape(ctx);
}

double pleat_matmul_macs(const pleat_infer *ctx) {
  const pleat_shape *a = &ctx->inputs[0].shape, *y = &ctx->outputs[0].shape;
  if (a->rank < 1 || y->rank < 0) return 0;
  pleat_dim outputs = pleat_shape_product(y, 0, y->rank), inner = a->dims[a->rank - 1];
  if (!pleat_dim_is_known(outputs) || !pleat_dim_is_known(inner)) return 0;
  return (double)outputs.value * (double)inner.value;
}

/* ---- the kernel ---- */

static int64_t count_of(int rank, const int64_t *dims) {
  int64_t count = 1;
  for (int i = 0; i < rank; i++) count *= dims[i];
  return count;
}

/* Batch dimensions and how far each moves on in A and B. */
static pleat_status plan_batch(matmul *plan, const pleat_call *call) {
  const pleat_tensor *a = call->inputs[0], *b = call->inputs[1], *y = call->outputs[0];
  int a_rank = a->rank > 2 ? a->rank - 2 : 0, b_rank = b->rank > 2 ? b->rank - 2 : 0;
  plan->batch_rank = a_rank > b_rank ? a_rank : b_rank;
  for (int i = 0; i < plan->batch_rank; i++) plan->batch_dims[i] = y->dims[i];
  int64_t batch = count_of(plan->batch_rank, plan->batch_dims);
  if (count_of(b_rank, b->dims) == 1 && count_of(a_rank, a->dims) == batch) {
    plan->m *= batch;
    plan->batch_rank = 0;
    return PLEAT_OK;
  }
  if (!pleat_broadcast_strides(a_rank, a->dims, plan->batch_rank, plan->batch_dims, plan->a_step) ||
      !pleat_broadcast_strides(b_rank, b->dims, plan->batch_rank, plan->batch_dims, plan->b_step))
    return pleat_fail(call->error, PLEAT_INTERNAL, "batch dimensions that do not broadcast got past inference");
  return PLEAT_OK;
}

pleat_status pleat_matmul_plan(pleat_call *call, pleat_dtype dtype, const pleat_matmul **out_matmul) {
  const pleat_tensor *a = call->inputs[0], *b = call->inputs[1];
  matmul *plan = pleat_arena_alloc(call->arena, sizeof *plan);
  if (plan == NULL) return PLEAT_OOM(call->error);
  *out_matmul = plan;
  plan->dtype = dtype;
  if (call->outputs[0]->count == 0) return PLEAT_OK;
  plan->k = a->dims[a->rank - 1];
  plan->m = a->rank > 1 ? a->dims[a->rank - 2] : 1;
  plan->n = b->rank > 1 ? b->dims[b->rank - 1] : 1;
  PLEAT_TRY(plan_batch(plan, call));
  int64_t batch = count_of(plan->batch_rank, plan->batch_dims);
  plan->split = pleat_block_split_make(batch, plan->m, plan->n, call->threads);
  plan->items = batch * plan->split.row_blocks * plan->split.col_blocks;
  return pleat_block_workspace(call, call->threads, pleat_block_scratch(plan->dtype));
}

static void run_block(const void *argument, int64_t item, void *scratch) {
  const matmul_job *job = argument;
  const matmul *plan = job->matmul;
  const pleat_block_split *split = &plan->split;
  const size_t element = pleat_dtype_size(plan->dtype);
  int64_t col = item % split->col_blocks * split->cols, rest = item / split->col_blocks;
  int64_t row = rest % split->row_blocks * split->rows, batch = rest / split->row_blocks;
  int64_t rows = plan->m - row < split->rows ? plan->m - row : split->rows;
  int64_t cols = plan->n - col < split->cols ? plan->n - col : split->cols;
  const char *a = job->a, *b = job->b;
  char *c = (char *)job->c + (size_t)(batch * plan->m * plan->n) * element;
  for (int i = plan->batch_rank - 1; i >= 0 && plan->k > 0; i--) {
    int64_t at = batch % plan->batch_dims[i];
    batch /= plan->batch_dims[i];
    a += (size_t)(at * plan->a_step[i] * plan->m * plan->k) * element;
    b += (size_t)(at * plan->b_step[i] * plan->k * plan->n) * element;
  }
  /* Without inner dimension neither is read, but the pointers should be good for arithmetic. */
  pleat_matrix_product product = {.dtype = plan->dtype,
                                  .m = plan->m,
                                  .n = plan->n,
                                  .k = plan->k,
                                  .a = {.data = plan->k > 0 ? a : c, .row = plan->k, .col = 1},
                                  .b = {.data = plan->k > 0 ? b : c, .row = plan->n, .col = 1},
                                  .c = c,
                                  .c_row = plan->n};
  pleat_matrix_block(&product, row, rows, col, cols, scratch);
}

void pleat_matmul_run(const pleat_matmul *plan, const pleat_call *call, const void *a, const void *b, void *c) {
  const matmul_job job = {.matmul = plan, .a = a, .b = b, .c = c};
  pleat_block_run(plan->items, call->threads, call->workspace, pleat_block_scratch(plan->dtype), run_block, &job);
}

static pleat_status prepare(pleat_call *call) {
  const pleat_matmul *plan;
  PLEAT_TRY(pleat_matmul_plan(call, call->inputs[0]->dtype, &plan));
  call->state = (void *)(uintptr_t)plan; /* run reads it only */
  return PLEAT_OK;
}

static pleat_status run(const pleat_call *call) {
  pleat_matmul_run(call->state, call, call->inputs[0]->data, call->inputs[1]->data, call->outputs[0]->data);
  return PLEAT_OK;
}

/* ---- definition ---- */

#define REALS (PLEAT_M_F32 | PLEAT_M_F64 | PLEAT_M(PLEAT_FLOAT16))
#define INTS  (PLEAT_M(PLEAT_INT32) | PLEAT_M(PLEAT_INT64) | PLEAT_M(PLEAT_UINT32) | PLEAT_M(PLEAT_UINT64))

static const pleat_op_version versions[] = {
    {.since = 1, .min_inputs = 2, .max_inputs = 2, .min_outputs = 1, .max_outputs = 1, .types = REALS},
    {.since = 9, .min_inputs = 2, .max_inputs = 2, .min_outputs = 1, .max_outputs = 1, .types = REALS | INTS},
    {.since = 13, .min_inputs = 2, .max_inputs = 2, .min_outputs = 1, .max_outputs = 1, .types = PLEAT_M_FLOATS | INTS},
    {0}};

static const pleat_kernel reference = {
    .name = "reference", .types = PLEAT_M_FLOATS | INTS, .flags = PLEAT_KERNEL_WIDEN, .prepare = prepare, .run = run};
static const pleat_kernel *const kernels[] = {PLEAT_ONEDNN_KERNEL(pleat_onednn_matmul) & reference, NULL};

/* Rows of one matrix, or the outermost dimension of a batch of matrices. */
static const char *apart(const pleat_infer *whole, const pleat_role *roles) {
  if (whole->inputs[0].shape.rank == 2 && whole->inputs[1].shape.rank == 2) return pleat_apart_first(whole, roles);
  return whole->outputs[0].shape.rank > 2 ? pleat_apart_elementwise(whole, roles) : "it may sum over the samples";
}

const pleat_op_def pleat_op_MatMul = {.domain = "",
                                      .name = "MatMul",
                                      .versions = versions,
                                      .infer = infer,
                                      .apart = apart,
                                      .kernels = kernels,
                                      .macs = pleat_matmul_macs};

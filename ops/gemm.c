/* Gemm: Y = alpha * A' * B' + beta * C, with A' and B' optionally transposed and C broadcast to Y.
 *
 * From the ONNX specification. Versions before 7 have an attribute `broadcast` that must be 1 for C to be smaller than
 * Y; C is broadcast here whatever it says. beta 0 means that C is not read. Integers wrap; with an alpha or beta other
 * than 1 their last step is computed in double and saturates. */
#include "ops/block_gemm.h"

#include <inttypes.h>

#include "ops/kernels.h"

typedef struct gemm {
  pleat_dtype dtype;
  int64_t m, n, k;
  bool trans_a, trans_b;
  float alpha, beta;
  int64_t c_row, c_col; /* steps in C; 0 where it repeats */
  pleat_block_split split;
  int64_t items;
} gemm;

typedef struct gemm_job {
  const gemm *gemm;
  const pleat_call *call;
} gemm_job;

#define PLEAT_TEMPLATE "gemm.inc"
#define PLEAT_TEMPLATE_FLOATS
#include "ops/template.h"

/* ---- inference ---- */

static pleat_status check_rank(const pleat_infer *ctx, size_t i, const char *name) {
  const pleat_shape *shape = &ctx->inputs[i].shape;
  char text[256];
  if (shape->rank < 0 || shape->rank == 2) return PLEAT_OK;
  return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "input %s: expected 2 dimensions, found %s", name,
                    pleat_shape_text(shape, text, sizeof text));
}

static pleat_status check_addend(const pleat_infer *ctx, const pleat_shape *y) {
  const pleat_shape *c = &ctx->inputs[2].shape;
  char text[256], y_text[256];
  bool fits = c->rank <= 2;
  for (int i = 0; fits && i < c->rank; i++) {
    pleat_dim from = c->dims[c->rank - 1 - i], to = y->dims[1 - i];
    fits = !pleat_dim_is_known(from) || from.value == 1 || !pleat_dim_is_known(to) || from.value == to.value;
  }
  if (fits) return PLEAT_OK;
  return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "input C: expected a shape that broadcasts to %s, found %s",
                    pleat_shape_text(y, y_text, sizeof y_text), pleat_shape_text(c, text, sizeof text));
}

static pleat_status infer(pleat_infer *ctx) {
  const pleat_shape *a = &ctx->inputs[0].shape, *b = &ctx->inputs[1].shape;
  pleat_type *y = pleat_infer_out(ctx, 0);
  int trans_a = pleat_attr_int(ctx->node, "transA") != 0, trans_b = pleat_attr_int(ctx->node, "transB") != 0;
  pleat_shape shape = pleat_shape_of_rank(2);
  PLEAT_TRY(pleat_infer_one_type(ctx));
  PLEAT_TRY(check_rank(ctx, 0, "A"));
  PLEAT_TRY(check_rank(ctx, 1, "B"));
  if (a->rank == 2) shape.dims[0] = a->dims[trans_a];
  if (b->rank == 2) shape.dims[1] = b->dims[!trans_b];
  if (a->rank == 2 && b->rank == 2) {
    pleat_dim a_inner = a->dims[!trans_a], b_inner = b->dims[trans_b];
    if (pleat_dim_is_known(a_inner) && pleat_dim_is_known(b_inner) && a_inner.value != b_inner.value)
      return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH,
                        "inner dimensions differ: dimension %d of A is %" PRId64 ", dimension %d of B is %" PRId64,
                        !trans_a, a_inner.value, trans_b, b_inner.value);
  }
  if (pleat_infer_has(ctx, 2)) PLEAT_TRY(check_addend(ctx, &shape));
  if (y != NULL) y->shape = shape;
  return PLEAT_OK;
}

static double macs(const pleat_infer *ctx) {
  const pleat_shape *a = &ctx->inputs[0].shape, *y = &ctx->outputs[0].shape;
  if (a->rank != 2 || y->rank != 2) return 0;
  pleat_dim outputs = pleat_shape_product(y, 0, 2), inner = a->dims[pleat_attr_int(ctx->node, "transA") == 0];
  if (!pleat_dim_is_known(outputs) || !pleat_dim_is_known(inner)) return 0;
  return (double)outputs.value * (double)inner.value;
}

/* ---- the kernel ---- */

static pleat_status prepare(pleat_call *call) {
  const pleat_tensor *a = call->inputs[0], *b = call->inputs[1], *c = pleat_in(call, 2);
  gemm *plan = pleat_call_state(call, sizeof *plan);
  if (plan == NULL) return PLEAT_OOM(call->error);
  if (call->outputs[0]->count == 0) return PLEAT_OK;
  plan->dtype = a->dtype;
  plan->trans_a = pleat_attr_int(call->node, "transA") != 0;
  plan->trans_b = pleat_attr_int(call->node, "transB") != 0;
  plan->alpha = pleat_attr_float(call->node, "alpha");
  plan->beta = c == NULL ? 0 : pleat_attr_float(call->node, "beta");
  plan->m = a->dims[plan->trans_a];
  plan->k = a->dims[!plan->trans_a];
  plan->n = b->dims[!plan->trans_b];
  if (c != NULL) {
    int64_t width = c->rank > 0 ? c->dims[c->rank - 1] : 1;
    plan->c_col = width > 1;
    plan->c_row = c->rank > 1 && c->dims[0] > 1 ? width : 0;
  }
  plan->split = pleat_block_split_make(1, plan->m, plan->n, call->threads);
  plan->items = plan->split.row_blocks * plan->split.col_blocks;
  return pleat_block_workspace(call, call->threads, pleat_block_scratch(plan->dtype));
}

/* The last step for integers, element by element. */
static void finish_integers(const gemm *plan, const pleat_call *call, int64_t row, int64_t rows, int64_t col,
                            int64_t cols) {
  const pleat_tensor *c = plan->beta == 0 ? NULL : pleat_in(call, 2);
  void *y = call->outputs[0]->data;
  for (int64_t i = row; i < row + rows; i++) {
    for (int64_t j = col; j < col + cols; j++) {
      size_t at = (size_t)(i * plan->n + j), from = (size_t)(i * plan->c_row + j * plan->c_col);
      if (plan->alpha != 1 || (c != NULL && plan->beta != 1)) {
        double addend = c == NULL ? 0 : plan->beta * pleat_load_f64(plan->dtype, c->data, from);
        pleat_store_f64(plan->dtype, y, at, plan->alpha * pleat_load_f64(plan->dtype, y, at) + addend);
      } else if (c != NULL && pleat_dtype_size(plan->dtype) == 4) {
        ((uint32_t *)y)[at] += ((const uint32_t *)c->data)[from];
      } else if (c != NULL) {
        ((uint64_t *)y)[at] += ((const uint64_t *)c->data)[from];
      }
    }
  }
}

static void run_block(const void *argument, int64_t item, void *scratch) {
  const gemm_job *job = argument;
  const gemm *plan = job->gemm;
  const pleat_block_split *split = &plan->split;
  int64_t col = item % split->col_blocks * split->cols, row = item / split->col_blocks * split->rows;
  int64_t rows = plan->m - row < split->rows ? plan->m - row : split->rows;
  int64_t cols = plan->n - col < split->cols ? plan->n - col : split->cols;
  void *y = job->call->outputs[0]->data;
  /* Without inner dimension neither is read, but the pointers should be good for arithmetic. */
  const void *a = plan->k > 0 ? job->call->inputs[0]->data : y, *b = plan->k > 0 ? job->call->inputs[1]->data : y;
  pleat_matrix_product product = {
      .dtype = plan->dtype,
      .m = plan->m,
      .n = plan->n,
      .k = plan->k,
      .a = {.data = a, .row = plan->trans_a ? 1 : plan->k, .col = plan->trans_a ? plan->m : 1},
      .b = {.data = b, .row = plan->trans_b ? 1 : plan->n, .col = plan->trans_b ? plan->k : 1},
      .c = y,
      .c_row = plan->n};
  pleat_matrix_block(&product, row, rows, col, cols, scratch);
  if (pleat_dtype_is_int(plan->dtype)) finish_integers(plan, job->call, row, rows, col, cols);
  else PLEAT_SWITCH_FLOATS(plan->dtype, , finish, (plan, job->call, row, rows, col, cols))
}

static pleat_status run(const pleat_call *call) {
  const gemm *plan = call->state;
  gemm_job job = {.gemm = plan, .call = call};
  pleat_block_run(plan->items, call->threads, call->workspace, pleat_block_scratch(call->inputs[0]->dtype), run_block,
                  &job);
  return PLEAT_OK;
}

/* ---- definition ---- */

#define REALS (PLEAT_M_F32 | PLEAT_M_F64 | PLEAT_M(PLEAT_FLOAT16))
#define INTS  (PLEAT_M(PLEAT_INT32) | PLEAT_M(PLEAT_INT64) | PLEAT_M(PLEAT_UINT32) | PLEAT_M(PLEAT_UINT64))

static const pleat_op_version versions[] = {
    {.since = 1, .min_inputs = 3, .max_inputs = 3, .min_outputs = 1, .max_outputs = 1, .types = REALS},
    {.since = 6, .min_inputs = 3, .max_inputs = 3, .min_outputs = 1, .max_outputs = 1, .types = REALS},
    {.since = 7, .min_inputs = 3, .max_inputs = 3, .min_outputs = 1, .max_outputs = 1, .types = REALS},
    {.since = 9, .min_inputs = 3, .max_inputs = 3, .min_outputs = 1, .max_outputs = 1, .types = REALS | INTS},
    {.since = 11, .min_inputs = 2, .max_inputs = 3, .min_outputs = 1, .max_outputs = 1, .types = REALS | INTS},
    {.since = 13, .min_inputs = 2, .max_inputs = 3, .min_outputs = 1, .max_outputs = 1, .types = PLEAT_M_FLOATS | INTS},
    {0}};

static const pleat_op_attr attrs[] = {{.name = "alpha", .type = PLEAT_ATTR_FLOAT, .f = 1},
                                      {.name = "beta", .type = PLEAT_ATTR_FLOAT, .f = 1},
                                      {.name = "broadcast", .type = PLEAT_ATTR_INT, .until = 6},
                                      {.name = "transA", .type = PLEAT_ATTR_INT},
                                      {.name = "transB", .type = PLEAT_ATTR_INT},
                                      {0}};

static const pleat_kernel reference = {
    .name = "reference", .types = PLEAT_M_FLOATS | INTS, .flags = PLEAT_KERNEL_WIDEN, .prepare = prepare, .run = run};
static const pleat_kernel *const kernels[] = {
    PLEAT_X86_KERNEL(pleat_x86_rows_gemm) PLEAT_ONEDNN_KERNEL(pleat_onednn_gemm) & reference, NULL};

static const char *apart(const pleat_infer *whole, const pleat_role *roles) {
  if (pleat_attr_int(whole->node, "transA") != 0) return "it sums over the samples";
  if (pleat_infer_has(whole, 2) && whole->inputs[2].shape.rank == 2 && whole->inputs[2].shape.dims[0].value != 1)
    return "its addend has numbers of its own for each sample";
  return pleat_apart_first(whole, roles);
}

const pleat_op_def pleat_op_Gemm = {.domain = "",
                                    .name = "Gemm",
                                    .versions = versions,
                                    .attrs = attrs,
                                    .infer = infer,
                                    .apart = apart,
                                    .kernels = kernels,
                                    .macs = macs};

/* Gemm and MatMul take maps into their constant matrix, exact in real arithmetic, computed in double and rounded once.
 *
 * Gemm: Y = alpha A' B' + beta C. On its columns: B' scaled column by column, C' = s beta C + t with beta = 1. On the
 * rows of B' (the map holds on A's K axis): B' scaled row by row, C' = beta C + alpha t B'. A C that is a scalar, a
 * column or absent grows to what the shift needs. MatMul has no C: a shift from below becomes an Add behind it, one
 * from above is refused (the pass then leaves an Add where the map was). */
#include <stdlib.h>
#include <string.h>

#include "fold/absorb.h"

static bool good(const pleat_push *push) {
  return push->reason[0] == '\0';
}

/* ---- Gemm ---- */

typedef struct gemm {
  pleat_node *node;
  const pleat_tensor *b, *c; /* c NULL: absent */
  bool is_transposed;
  size_t k, n;
} gemm;

static pleat_status read_gemm(pleat_push *push, pleat_node *node, bool needs_c, gemm *out) {
  *out = (gemm){.node = node, .is_transposed = pleat_attr_int(node, "transB") != 0};
  PLEAT_TRY(pleat_push_weight(push, node->input_count > 1 ? node->inputs[1] : NULL, "the Gemm's B", &out->b));
  needs_c = needs_c && pleat_attr_float(node, "beta") != 0; /* else C is not read, whatever it holds */
  if (good(push) && needs_c && node->input_count > 2 && node->inputs[2] != NULL) {
    PLEAT_TRY(pleat_push_weight(push, node->inputs[2], "the Gemm's C", &out->c));
  }
  if (!good(push)) return PLEAT_OK;
  if (out->b->rank != 2 || out->b->count == 0) return pleat_push_refuse(push, "the Gemm's B is no matrix");
  out->k = (size_t)out->b->dims[out->is_transposed ? 1 : 0];
  out->n = (size_t)out->b->dims[out->is_transposed ? 0 : 1];
  const pleat_tensor *c = out->c;
  int64_t last = c == NULL || c->rank == 0 ? 1 : c->dims[c->rank - 1];
  if (c != NULL && (c->rank > 2 || c->count == 0 || (last != 1 && (size_t)last != out->n))) {
    return pleat_push_refuse(push, "the Gemm's C does not have its %zu columns", out->n);
  }
  return PLEAT_OK;
}

/* scale * beta * C + add, a row for each row of C (one where C is absent or repeats). `scale` NULL: 1. */
static pleat_status new_addend(pleat_push *push, const gemm *g, const pleat_affine *scale, const double *add,
                               pleat_tensor **out_tensor) {
  const pleat_tensor *c = g->c;
  const double beta = pleat_attr_float(g->node, "beta");
  size_t rows = c != NULL && c->rank == 2 ? (size_t)c->dims[0] : 1;
  size_t columns = c == NULL || c->rank == 0 ? 1 : (size_t)c->dims[c->rank - 1];
  int64_t dims[2] = {(int64_t)rows, (int64_t)g->n};
  double *values = calloc(rows * g->n + 1, sizeof *values);
  if (values == NULL) return PLEAT_OOM(push->ctx->error);
  for (size_t i = 0; i < rows * g->n; i++) {
    size_t row = i / g->n, column = i % g->n;
    double old = c != NULL ? pleat_load_f64(c->dtype, c->data, row * columns + (columns > 1 ? column : 0)) : 0;
    values[i] = (scale != NULL ? pleat_affine_scale_at(scale, column) : 1) * beta * old + add[column];
  }
  bool is_vector = rows == 1 && (c == NULL || c->rank < 2);
  pleat_status status = pleat_affine_round(push->ctx, g->b->dtype, is_vector ? 1 : 2, is_vector ? dims + 1 : dims,
                                           values, "bias", out_tensor, push->reason);
  free(values);
  return status;
}

/* Takes both over; `c` NULL: C stays. beta moves into C; before opset 7 a C that is no full matrix needs broadcast = 1.
 */
static pleat_status apply_gemm(pleat_push *push, const gemm *g, pleat_tensor *b, pleat_tensor *c) {
  pleat_status status = PLEAT_OK;
  pleat_attr beta = {.name = "beta", .type = PLEAT_ATTR_FLOAT, .f = 1.0f};
  pleat_attr broadcast = {.name = "broadcast", .type = PLEAT_ATTR_INT, .i = 1};
  if (push->commit && good(push)) {
    bool fine = true;
    status = pleat_push_set_weight(push, g->node, 1, "_folded", b);
    b = NULL;
    if (status == PLEAT_OK && c != NULL) {
      status = pleat_push_set_weight(push, g->node, 2, g->c != NULL ? "_folded" : "_bias", c);
      c = NULL;
      if (pleat_attr_float(g->node, "beta") != 1.0f) fine = pleat_node_set_attr(g->node, beta);
      if (fine && pleat_node_since(g->node) < 7) fine = pleat_node_set_attr(g->node, broadcast);
    }
    if (status == PLEAT_OK && !fine) status = PLEAT_OOM(push->ctx->error);
  }
  pleat_tensor_release(b);
  pleat_tensor_release(c);
  return status;
}

static pleat_status up_gemm(pleat_push *push, pleat_node *node, const pleat_affine *affine) {
  gemm g;
  pleat_tensor *b = NULL, *c = NULL;
  PLEAT_TRY(read_gemm(push, node, true, &g));
  if (!good(push)) return PLEAT_OK;
  if (affine->axis != PLEAT_UNIFORM && (affine->axis != 1 || affine->channels != g.n)) {
    return pleat_push_refuse(push, "the map does not run along the Gemm's %zu columns", g.n);
  }
  PLEAT_TRY(pleat_absorb_scaled(push, g.b, affine->scale, affine->channels == 1, g.n, g.is_transposed ? g.k : 1, &b));
  if (b == NULL) return PLEAT_OK;
  double *add = malloc((g.n + 1) * sizeof *add);
  pleat_status status = add != NULL ? PLEAT_OK : PLEAT_OOM(push->ctx->error);
  for (size_t i = 0; add != NULL && i < g.n; i++) add[i] = pleat_affine_shift_at(affine, i);
  bool needs_c = g.c != NULL || pleat_affine_has_shift(affine);
  if (status == PLEAT_OK && needs_c) status = new_addend(push, &g, affine, add, &c);
  free(add);
  if (status == PLEAT_OK) return apply_gemm(push, &g, b, c);
  pleat_tensor_release(b);
  return status;
}

/* t B: what a constant t_k on every column of A adds. */
static double *row_response(const pleat_tensor *b, size_t k, size_t n, bool is_transposed, double factor,
                            const pleat_affine *affine) {
  double *sums = calloc(n + 1, sizeof *sums);
  for (size_t i = 0; sums != NULL && i < k * n; i++) {
    size_t row = is_transposed ? i % k : i / n, column = is_transposed ? i / k : i % n;
    sums[column] += factor * pleat_affine_shift_at(affine, row) * pleat_load_f64(b->dtype, b->data, i);
  }
  return sums;
}

static pleat_status down_gemm(pleat_push *push, pleat_node *node, size_t input, const pleat_affine *affine) {
  gemm g;
  pleat_tensor *b = NULL, *c = NULL;
  bool has_shift = pleat_affine_has_shift(affine);
  int axis = pleat_attr_int(node, "transA") != 0 ? 0 : 1;
  if (input != 0) return pleat_push_refuse(push, "it is not the first operand of a Gemm");
  PLEAT_TRY(read_gemm(push, node, has_shift, &g));
  if (!good(push)) return PLEAT_OK;
  if (affine->axis != PLEAT_UNIFORM && (affine->axis != axis || affine->channels != g.k)) {
    return pleat_push_refuse(push, "the map does not run along the Gemm's %zu inputs", g.k);
  }
  PLEAT_TRY(pleat_absorb_scaled(push, g.b, affine->scale, affine->channels == 1, g.k, g.is_transposed ? 1 : g.n, &b));
  if (b == NULL) return PLEAT_OK;
  pleat_status status = PLEAT_OK;
  if (has_shift) {
    double *sums = row_response(g.b, g.k, g.n, g.is_transposed, pleat_attr_float(node, "alpha"), affine);
    status = sums != NULL ? new_addend(push, &g, NULL, sums, &c) : PLEAT_OOM(push->ctx->error);
    free(sums);
  }
  if (status == PLEAT_OK) return apply_gemm(push, &g, b, c);
  pleat_tensor_release(b);
  return status;
}

/* ---- MatMul ---- */

/* The constant operand and its index; a reason when there is none or it is no matrix. */
static pleat_status read_matmul(pleat_push *push, pleat_node *node, size_t index, const pleat_tensor **out_tensor) {
  PLEAT_TRY(pleat_push_weight(push, node->input_count > index ? node->inputs[index] : NULL, "the MatMul's matrix",
                              out_tensor));
  if (good(push) && ((*out_tensor)->rank < 2 || (*out_tensor)->count == 0)) {
    return pleat_push_refuse(push, "the MatMul's constant is no matrix");
  }
  return PLEAT_OK;
}

static pleat_status set_matrix(pleat_push *push, pleat_node *node, size_t index, pleat_tensor *tensor) {
  if (tensor == NULL) return PLEAT_OK;
  if (push->commit && good(push)) return pleat_push_set_weight(push, node, index, "_folded", tensor);
  pleat_tensor_release(tensor);
  return PLEAT_OK;
}

/* The last axis of the output are the columns of B, the one before it the rows of A. */
static pleat_status up_matmul(pleat_push *push, pleat_node *node, const pleat_affine *affine) {
  const pleat_tensor *matrix = NULL;
  pleat_tensor *scaled = NULL;
  int rank = node->outputs[0]->shape.rank;
  bool on_rows = affine->axis != PLEAT_UNIFORM && affine->axis == rank - 2;
  if (pleat_affine_has_shift(affine)) return pleat_push_refuse(push, "MatMul has no bias that could take the shift");
  if (affine->axis != PLEAT_UNIFORM && (rank < 0 || affine->axis < rank - 2)) {
    return pleat_push_refuse(push, "the map does not run along the rows or columns of the MatMul");
  }
  size_t index = on_rows ? 0 : 1;
  PLEAT_TRY(read_matmul(push, node, index, &matrix));
  if (!good(push)) return PLEAT_OK;
  size_t rows = (size_t)matrix->dims[matrix->rank - 2], columns = (size_t)matrix->dims[matrix->rank - 1];
  size_t channels = on_rows ? rows : columns;
  if (affine->axis != PLEAT_UNIFORM && affine->channels != channels) {
    return pleat_push_refuse(push, "the MatMul does not have the map's %zu channels", affine->channels);
  }
  PLEAT_TRY(pleat_absorb_scaled(push, matrix, affine->scale, affine->channels == 1, channels, on_rows ? columns : 1,
                                &scaled));
  return set_matrix(push, node, index, scaled);
}

/* t B for each matrix of a batch, as [..., 1, N]. */
static pleat_status shift_behind(pleat_push *push, const pleat_tensor *matrix, const pleat_affine *affine,
                                 pleat_tensor **out_tensor) {
  int64_t dims[PLEAT_MAX_RANK];
  const size_t k = (size_t)matrix->dims[matrix->rank - 2], n = (size_t)matrix->dims[matrix->rank - 1];
  const size_t batch = matrix->count / k / n;
  double *sums = calloc(batch * n + 1, sizeof *sums);
  if (sums == NULL) return PLEAT_OOM(push->ctx->error);
  for (size_t i = 0; i < matrix->count; i++) {
    sums[i / (k * n) * n + i % n] +=
        pleat_affine_shift_at(affine, i / n % k) * pleat_load_f64(matrix->dtype, matrix->data, i);
  }
  memcpy(dims, matrix->dims, (size_t)matrix->rank * sizeof *dims);
  dims[matrix->rank - 2] = 1;
  bool is_vector = matrix->rank == 2;
  pleat_status status = pleat_affine_round(push->ctx, matrix->dtype, is_vector ? 1 : matrix->rank,
                                           is_vector ? dims + 1 : dims, sums, "bias", out_tensor, push->reason);
  free(sums);
  return status;
}

static pleat_status down_matmul(pleat_push *push, pleat_node *node, size_t input, const pleat_affine *affine) {
  const pleat_tensor *matrix = NULL;
  pleat_tensor *scaled = NULL, *shift = NULL;
  int rank = node->inputs[0] != NULL ? node->inputs[0]->shape.rank : -1;
  if (input != 0) return pleat_push_refuse(push, "it is the second operand of a MatMul");
  PLEAT_TRY(read_matmul(push, node, 1, &matrix));
  if (!good(push)) return PLEAT_OK;
  size_t k = (size_t)matrix->dims[matrix->rank - 2], n = (size_t)matrix->dims[matrix->rank - 1];
  if (rank < 2 || (affine->axis != PLEAT_UNIFORM && (affine->axis != rank - 1 || affine->channels != k))) {
    return pleat_push_refuse(push, "the map does not run along the MatMul's %zu inputs", k);
  }
  PLEAT_TRY(pleat_absorb_scaled(push, matrix, affine->scale, affine->channels == 1, k, n, &scaled));
  pleat_status status = PLEAT_OK;
  if (scaled != NULL && pleat_affine_has_shift(affine)) status = shift_behind(push, matrix, affine, &shift);
  if (status != PLEAT_OK || !good(push)) {
    pleat_tensor_release(scaled);
    return status;
  }
  PLEAT_TRY(set_matrix(push, node, 1, scaled));
  if (shift != NULL && push->commit) return pleat_absorb_add_behind(push, node, shift);
  pleat_tensor_release(shift);
  return PLEAT_OK;
}

const pleat_absorber pleat_absorb_gemm = {"Gemm", up_gemm, down_gemm};
const pleat_absorber pleat_absorb_matmul = {"MatMul", up_matmul, down_matmul};

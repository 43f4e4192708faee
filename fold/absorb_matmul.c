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
  pleat_recipe *b;
  const pleat_tensor *c; /* NULL: absent */
  bool is_transposed;
  size_t k, n;
} gemm;

static pleat_status read_gemm(pleat_push *push, pleat_node *node, bool needs_c, gemm *out) {
  *out = (gemm){.node = node, .is_transposed = pleat_attr_int(node, "transB") != 0};
  PLEAT_TRY(pleat_push_recipe(push, node->input_count > 1 ? node->inputs[1] : NULL, "the Gemm's B", &out->b));
  needs_c = needs_c && pleat_attr_float(node, "beta") != 0; /* else C is not read, whatever it holds */
  if (good(push) && needs_c && node->input_count > 2 && node->inputs[2] != NULL) {
    PLEAT_TRY(pleat_push_weight(push, node->inputs[2], "the Gemm's C", &out->c));
  }
  if (!good(push)) return PLEAT_OK;
  const pleat_tensor *b = &out->b->tensor;
  if (b->rank != 2 || b->count == 0) return pleat_push_refuse(push, "the Gemm's B is no matrix");
  out->k = (size_t)b->dims[out->is_transposed ? 1 : 0];
  out->n = (size_t)b->dims[out->is_transposed ? 0 : 1];
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
  pleat_status status = pleat_affine_round(push->ctx, g->b->tensor.dtype, is_vector ? 1 : 2,
                                           is_vector ? dims + 1 : dims, values, "bias", out_tensor, push->reason);
  free(values);
  return status;
}

/* Takes C over; NULL: it stays. beta moves into C; before opset 7 a C that is no full matrix needs broadcast = 1.
 */
static pleat_status apply_gemm(pleat_push *push, const gemm *g, const pleat_recipe *b, pleat_tensor *c) {
  pleat_status status = PLEAT_OK;
  pleat_attr beta = {.name = "beta", .type = PLEAT_ATTR_FLOAT, .f = 1.0f};
  pleat_attr broadcast = {.name = "broadcast", .type = PLEAT_ATTR_INT, .i = 1};
  if (push->commit && good(push)) {
    bool fine = true;
    if (b != NULL) status = pleat_push_set_recipe(push, g->node, 1, "_folded", b);
    if (status == PLEAT_OK && c != NULL) {
      status = pleat_push_set_weight(push, g->node, 2, g->c != NULL ? "_folded" : "_bias", c);
      c = NULL;
      if (pleat_attr_float(g->node, "beta") != 1.0f) fine = pleat_node_set_attr(g->node, beta);
      if (fine && pleat_node_since(g->node) < 7) fine = pleat_node_set_attr(g->node, broadcast);
    }
    if (status == PLEAT_OK && !fine) status = PLEAT_OOM(push->ctx->error);
  }
  pleat_tensor_release(c);
  return status;
}

/* B scaled along one of its axes; *out_b stays NULL where a quantised B took it, or there is nothing to do. */
static pleat_status scale_b(pleat_push *push, const gemm *g, int axis, const pleat_affine *affine,
                            pleat_recipe **out_b) {
  const pleat_tensor *b = &g->b->tensor;
  const size_t channels = (size_t)b->dims[axis], inner = axis == 0 ? (size_t)b->dims[1] : 1;
  *out_b = NULL;
  if (!pleat_affine_has_scale(affine)) return PLEAT_OK;
  if (pleat_absorb_is_dequantized(push, g->node, 1)) {
    return pleat_absorb_dequantized(push, g->node, 1, axis, channels, affine);
  }
  return pleat_absorb_scaled(push, g->b, affine, channels, inner, b->count, out_b);
}

static pleat_status up_gemm(pleat_push *push, pleat_node *node, const pleat_affine *affine) {
  gemm g;
  pleat_recipe *b = NULL;
  pleat_tensor *c = NULL;
  PLEAT_TRY(read_gemm(push, node, true, &g));
  if (!good(push)) return PLEAT_OK;
  if (affine->axis != PLEAT_UNIFORM && (affine->axis != 1 || affine->channels != g.n)) {
    return pleat_push_refuse(push, "the map does not run along the Gemm's %zu columns", g.n);
  }
  PLEAT_TRY(scale_b(push, &g, g.is_transposed ? 0 : 1, affine, &b));
  if (!good(push)) return PLEAT_OK;
  double *add = malloc((g.n + 1) * sizeof *add);
  pleat_status status = add != NULL ? PLEAT_OK : PLEAT_OOM(push->ctx->error);
  for (size_t i = 0; add != NULL && i < g.n; i++) add[i] = pleat_affine_shift_at(affine, i);
  bool needs_c = g.c != NULL || pleat_affine_has_shift(affine);
  if (status == PLEAT_OK && needs_c) status = new_addend(push, &g, affine, add, &c);
  free(add);
  return status == PLEAT_OK ? apply_gemm(push, &g, b, c) : status;
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
  pleat_recipe *b = NULL;
  pleat_tensor *c = NULL;
  bool has_shift = pleat_affine_has_shift(affine);
  int axis = pleat_attr_int(node, "transA") != 0 ? 0 : 1;
  if (input != 0) return pleat_push_refuse(push, "it is not the first operand of a Gemm");
  PLEAT_TRY(read_gemm(push, node, has_shift, &g));
  if (!good(push)) return PLEAT_OK;
  if (affine->axis != PLEAT_UNIFORM && (affine->axis != axis || affine->channels != g.k)) {
    return pleat_push_refuse(push, "the map does not run along the Gemm's %zu inputs", g.k);
  }
  pleat_status status = PLEAT_OK;
  PLEAT_TRY(scale_b(push, &g, g.is_transposed ? 1 : 0, affine, &b));
  if (!good(push)) return PLEAT_OK;
  const pleat_tensor *matrix = NULL;
  if (has_shift) PLEAT_TRY(pleat_push_weight(push, node->inputs[1], "the Gemm's B", &matrix));
  if (matrix != NULL) {
    double *sums = row_response(matrix, g.k, g.n, g.is_transposed, pleat_attr_float(node, "alpha"), affine);
    status = sums != NULL ? new_addend(push, &g, NULL, sums, &c) : PLEAT_OOM(push->ctx->error);
    free(sums);
  }
  return status == PLEAT_OK ? apply_gemm(push, &g, b, c) : status;
}

/* ---- MatMul ---- */

/* The constant operand of a MatMul and where the map runs in it. */
typedef struct matmul {
  pleat_node *node;
  size_t index; /* of the constant: 0 its rows go out and its columns in, 1 the other way */
  pleat_recipe *matrix;
  size_t rows, columns;
} matmul;

static int rank_of(const pleat_node *node, size_t input) {
  return input < node->input_count && node->inputs[input] != NULL ? node->inputs[input]->shape.rank : -1;
}

/* A reason when there is no such constant or it is no matrix. */
static pleat_status read_matmul(pleat_push *push, pleat_node *node, size_t index, matmul *out) {
  *out = (matmul){.node = node, .index = index};
  PLEAT_TRY(pleat_push_recipe(push, node->input_count > index ? node->inputs[index] : NULL, "the MatMul's matrix",
                              &out->matrix));
  if (!good(push)) return PLEAT_OK;
  const pleat_tensor *matrix = &out->matrix->tensor;
  if (matrix->rank < 2 || matrix->count == 0) {
    return pleat_push_refuse(push, "the MatMul's constant is no matrix");
  }
  out->rows = (size_t)matrix->dims[matrix->rank - 2];
  out->columns = (size_t)matrix->dims[matrix->rank - 1];
  return PLEAT_OK;
}

/* Scales the matrix row by row or column by column; takes `shift` over, which is added behind (NULL: nothing). */
static pleat_status scale_matrix(pleat_push *push, const matmul *m, bool on_rows, const pleat_affine *affine,
                                 pleat_tensor *shift) {
  pleat_status status = PLEAT_OK;
  pleat_recipe *scaled = NULL;
  const pleat_tensor *matrix = m->matrix != NULL ? &m->matrix->tensor : NULL;
  const size_t channels = on_rows ? m->rows : m->columns;
  if (!good(push)) goto fail;
  if (affine->axis != PLEAT_UNIFORM && affine->channels != channels) {
    status = pleat_push_refuse(push, "the MatMul does not have the map's %zu channels", affine->channels);
  } else if (pleat_affine_has_scale(affine) && pleat_absorb_is_dequantized(push, m->node, m->index)) {
    status = pleat_absorb_dequantized(push, m->node, m->index, matrix->rank - (on_rows ? 2 : 1), channels, affine);
  } else if (pleat_affine_has_scale(affine)) {
    status = pleat_absorb_scaled(push, m->matrix, affine, channels, on_rows ? m->columns : 1, matrix->count, &scaled);
  }
  if (status != PLEAT_OK || !good(push) || !push->commit) goto fail;
  if (scaled != NULL) status = pleat_push_set_recipe(push, m->node, m->index, "_folded", scaled);
  if (status == PLEAT_OK && shift != NULL) {
    status = pleat_absorb_add_behind(push, m->node, shift);
    shift = NULL;
  }
fail:
  pleat_tensor_release(shift);
  return status;
}

/* The last axis of the result are the columns of B, the one before it the rows of A. */
static pleat_status up_matmul(pleat_push *push, pleat_node *node, const pleat_affine *affine) {
  matmul m;
  const int rank = node->outputs[0]->shape.rank;
  size_t index = 1;
  if (pleat_affine_has_shift(affine)) return pleat_push_refuse(push, "MatMul has no bias that could take the shift");
  if (affine->axis == PLEAT_UNIFORM) {
    index = node->input_count > 1 && node->inputs[1] != NULL && pleat_value_is_constant(node->inputs[1]) ? 1 : 0;
  } else {
    bool has_rows = rank_of(node, 0) >= 2, has_columns = rank_of(node, 1) >= 2;
    int columns = has_columns ? rank - 1 : -1, rows = has_rows ? rank - 1 - (has_columns ? 1 : 0) : -1;
    if (rank < 1 || (affine->axis != columns && affine->axis != rows)) {
      return pleat_push_refuse(push, "the map does not run along the rows or columns of the MatMul");
    }
    index = affine->axis == columns ? 1 : 0;
  }
  PLEAT_TRY(read_matmul(push, node, index, &m));
  return scale_matrix(push, &m, index == 0, affine, NULL);
}

/* What a constant t on the summed axis adds: t B as [..., 1, N], or A t as [..., M, 1]. */
static pleat_status shift_behind(pleat_push *push, const matmul *m, const pleat_affine *affine,
                                 pleat_tensor **out_tensor) {
  int64_t dims[PLEAT_MAX_RANK];
  const pleat_tensor *matrix = NULL;
  PLEAT_TRY(pleat_push_weight(push, m->node->inputs[m->index], "the MatMul's matrix", &matrix));
  if (matrix == NULL) return PLEAT_OK;
  const size_t size = m->rows * m->columns, batch = matrix->count / size, n = m->index == 1 ? m->columns : m->rows;
  if (batch > 1 && pleat_node_since(m->node) < 7) {
    return pleat_push_refuse(push, "before opset 7 an Add does not take a shift for each matrix of a batch");
  }
  double *sums = calloc(batch * n + 1, sizeof *sums);
  if (sums == NULL) return PLEAT_OOM(push->ctx->error);
  for (size_t i = 0; i < matrix->count; i++) {
    const size_t row = i % size / m->columns, column = i % m->columns;
    sums[i / size * n + (m->index == 1 ? column : row)] +=
        pleat_affine_shift_at(affine, m->index == 1 ? row : column) * pleat_load_f64(matrix->dtype, matrix->data, i);
  }
  memcpy(dims, matrix->dims, (size_t)matrix->rank * sizeof *dims);
  dims[matrix->rank - (m->index == 1 ? 2 : 1)] = 1;
  bool is_vector = matrix->rank == 2 && m->index == 1;
  pleat_status status = pleat_affine_round(push->ctx, matrix->dtype, is_vector ? 1 : matrix->rank,
                                           is_vector ? dims + 1 : dims, sums, "bias", out_tensor, push->reason);
  free(sums);
  return status;
}

static pleat_status down_matmul(pleat_push *push, pleat_node *node, size_t input, const pleat_affine *affine) {
  matmul m;
  pleat_tensor *shift = NULL;
  const int rank = rank_of(node, input), summed = input == 0 ? rank - 1 : rank - 2;
  if (input > 1 || rank < 2 || (affine->axis != PLEAT_UNIFORM && affine->axis != summed)) {
    return pleat_push_refuse(push, "the map does not run along the axis that the MatMul sums over");
  }
  PLEAT_TRY(read_matmul(push, node, 1 - input, &m));
  if (!good(push)) return PLEAT_OK;
  if (pleat_affine_has_shift(affine)) PLEAT_TRY(shift_behind(push, &m, affine, &shift));
  return scale_matrix(push, &m, input == 0, affine, shift);
}

const pleat_absorber pleat_absorb_gemm = {"Gemm", up_gemm, down_gemm};
const pleat_absorber pleat_absorb_matmul = {"MatMul", up_matmul, down_matmul};

/* BN after Gemm: Y = alpha * A' * B' + beta * C, its channels are the columns. B' = scale * B column by column and
 * C' = scale * beta * C + shift with beta' = 1; a C that is a scalar, a column or absent grows to what the shift needs.
 *
 * B is [K, N], or [N, K] with transB. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fold/affine.h"

static pleat_status scale_columns(pleat_pass_context *ctx, const pleat_tensor *b, bool is_transposed,
                                  const pleat_affine *affine, pleat_tensor **out_tensor, char *reason) {
  const size_t columns = (size_t)b->dims[1], bytes = columns * pleat_dtype_size(b->dtype);
  bool good = true;
  PLEAT_TRY(pleat_tensor_create(b->dtype, b->rank, b->dims, out_tensor, ctx->error));
  for (size_t row = 0; row < (size_t)b->dims[0] && good; row++) {
    const double *factors = is_transposed ? &affine->scale[row] : affine->scale;
    good = pleat_affine_scale(b->dtype, (const char *)b->data + row * bytes, (char *)(*out_tensor)->data + row * bytes,
                              columns, factors, !is_transposed, "weight", reason);
  }
  if (good) return PLEAT_OK;
  pleat_tensor_release(*out_tensor);
  *out_tensor = NULL;
  return PLEAT_OK;
}

/* C' has a row for each row of C (one where C is absent or repeats), and a column a channel. */
static pleat_status fold_addend(pleat_pass_context *ctx, const pleat_tensor *c, double beta, pleat_dtype dtype,
                                const pleat_affine *affine, pleat_tensor **out_tensor, char *reason) {
  const size_t n = affine->channels;
  size_t rows = c != NULL && c->rank == 2 ? (size_t)c->dims[0] : 1;
  size_t columns = c == NULL || c->rank == 0 ? 1 : (size_t)c->dims[c->rank - 1];
  int64_t dims[2] = {(int64_t)rows, (int64_t)n};
  double *values = calloc(rows * n + 1, sizeof *values);
  if (values == NULL) return PLEAT_OOM(ctx->error);
  for (size_t i = 0; i < rows * n; i++) {
    size_t row = i / n, channel = i % n;
    double old = c != NULL ? pleat_load_f64(c->dtype, c->data, row * columns + (columns > 1 ? channel : 0)) : 0;
    values[i] = affine->scale[channel] * beta * old + affine->shift[channel];
  }
  bool is_vector = rows == 1 && (c == NULL || c->rank < 2);
  pleat_status status = pleat_affine_round(ctx, dtype, is_vector ? 1 : 2, is_vector ? dims + 1 : dims, values, "bias",
                                           out_tensor, reason);
  free(values);
  return status;
}

static pleat_status read_gemm(pleat_pass_context *ctx, pleat_node *gemm, const pleat_affine *affine,
                              const pleat_tensor **out_b, const pleat_tensor **out_c, char *reason) {
  pleat_value *c = gemm->input_count > 2 ? gemm->inputs[2] : NULL;
  const size_t n = affine->channels;
  *out_c = NULL;
  PLEAT_TRY(pleat_affine_read_weight(ctx, gemm->inputs[1], PLEAT_UNDEFINED, "the Gemm's B", out_b, reason));
  if (*out_b == NULL) return PLEAT_OK;
  if (c != NULL) {
    PLEAT_TRY(pleat_affine_read_weight(ctx, c, (*out_b)->dtype, "the Gemm's C", out_c, reason));
    if (*out_c == NULL) return PLEAT_OK;
  }
  const pleat_tensor *b = *out_b, *addend = *out_c;
  bool fits = b->rank == 2 && (size_t)b->dims[pleat_attr_int(gemm, "transB") != 0 ? 0 : 1] == n;
  if (addend != NULL && addend->rank > 0) {
    int64_t last = addend->dims[addend->rank - 1];
    fits = fits && addend->rank <= 2 && (last == 1 || (size_t)last == n);
  }
  if (!fits) snprintf(reason, PLEAT_REASON_SIZE, "the Gemm's B and C do not have the BN's %zu columns", n);
  return PLEAT_OK;
}

/* beta is in C' now; before opset 7 a C that is not a full matrix needs broadcast = 1. */
static bool set_attributes(pleat_node *gemm) {
  pleat_attr beta = {.name = "beta", .type = PLEAT_ATTR_FLOAT, .f = 1.0f};
  pleat_attr broadcast = {.name = "broadcast", .type = PLEAT_ATTR_INT, .i = 1};
  bool good = pleat_attr_float(gemm, "beta") == 1.0f || pleat_node_set_attr(gemm, beta);
  return good && (pleat_node_since(gemm) >= 7 || pleat_node_set_attr(gemm, broadcast));
}

static pleat_status apply(pleat_pass_context *ctx, pleat_node *gemm, pleat_tensor *b, pleat_tensor *c) {
  const char *b_name = gemm->inputs[1]->name;
  const pleat_value *old_c = gemm->input_count > 2 ? gemm->inputs[2] : NULL;
  pleat_status status = pleat_affine_set_weight(ctx, gemm, 1, b_name, "_folded", b);
  if (status != PLEAT_OK) {
    pleat_tensor_release(c);
    return status;
  }
  if (old_c != NULL) PLEAT_TRY(pleat_affine_set_weight(ctx, gemm, 2, old_c->name, "_folded", c));
  else PLEAT_TRY(pleat_affine_set_weight(ctx, gemm, 2, b_name, "_folded_bias", c));
  return set_attributes(gemm) ? PLEAT_OK : PLEAT_OOM(ctx->error);
}

static pleat_status fold(pleat_pass_context *ctx, pleat_node *bn, char *reason) {
  pleat_affine affine;
  const pleat_tensor *b = NULL, *c = NULL;
  pleat_tensor *new_b = NULL, *new_c = NULL;
  pleat_node *gemm = pleat_affine_producer(bn, reason);
  if (gemm == NULL) return PLEAT_OK;
  PLEAT_TRY(pleat_affine_of_bn(ctx, bn, &affine, reason));
  if (reason[0] != '\0') return PLEAT_OK;
  PLEAT_TRY(read_gemm(ctx, gemm, &affine, &b, &c, reason));
  if (reason[0] != '\0') return PLEAT_OK;
  PLEAT_TRY(scale_columns(ctx, b, pleat_attr_int(gemm, "transB") != 0, &affine, &new_b, reason));
  if (new_b == NULL) return PLEAT_OK;
  pleat_status status = fold_addend(ctx, c, pleat_attr_float(gemm, "beta"), b->dtype, &affine, &new_c, reason);
  if (status != PLEAT_OK || new_c == NULL) {
    pleat_tensor_release(new_b);
    return status;
  }
  PLEAT_TRY(apply(ctx, gemm, new_b, new_c));
  pleat_report_folded(ctx, &pleat_pass_bn_into_gemm, bn, gemm);
  return pleat_affine_take_over(ctx, gemm, bn);
}

static pleat_status visit(pleat_pass_context *ctx, pleat_graph *graph, bool *changed) {
  PLEAT_FOR_NODES_SAFE(node, graph) {
    char reason[PLEAT_REASON_SIZE] = "";
    if (!pleat_affine_is_wanted_bn(node)) continue;
    const pleat_node *before = node->inputs[0]->producer;
    if (before == NULL || !pleat_node_is(before, "Gemm") || before->input_count < 2 || before->inputs[1] == NULL)
      continue;
    PLEAT_TRY(fold(ctx, node, reason));
    if (reason[0] != '\0') pleat_report_kept(ctx, &pleat_pass_bn_into_gemm, node, "%s", reason);
    else *changed = true;
  }
  return PLEAT_OK;
}

static pleat_status run(pleat_pass_context *ctx, bool *out_changed) {
  return pleat_fold_each_graph(ctx, ctx->graph, visit, out_changed);
}

const pleat_pass pleat_pass_bn_into_gemm = {
    .name = "bn-into-gemm",
    .summary = "BatchNormalization into the Gemm before it",
    .run = run,
};

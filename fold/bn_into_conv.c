/* BN after Conv or ConvTranspose: W' = scale * W and b' = scale * b + shift for each output channel, exact in real
 * arithmetic, computed in double and rounded once. Weights that other nodes read as well are not touched: the folded
 * ones are new.
 *
 * Conv: W is [M, C/group, k...], output channel m is row m. ConvTranspose: W is [C, M/group, k...], output channel
 * g * M/group + j is column j of the rows of group g. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fold/affine.h"

/* A weight as a matrix of (row, column, inner) elements, and which output channel an element belongs to. */
typedef struct weight {
  const pleat_tensor *tensor;
  size_t rows, columns, inner, rows_per_group;
  bool is_transposed;
  size_t channels;
} weight;

static bool describe_weight(const pleat_node *conv, const pleat_tensor *tensor, weight *out) {
  int64_t group = pleat_attr_int(conv, "group");
  if (tensor->rank < 3 || tensor->count == 0 || group < 1) return false;
  out->tensor = tensor;
  out->is_transposed = pleat_node_is(conv, "ConvTranspose");
  out->rows = (size_t)tensor->dims[0];
  out->columns = (size_t)tensor->dims[1];
  out->inner = tensor->count / out->rows / out->columns;
  if (!out->is_transposed) { /* a row is one channel: scale it in one go */
    out->inner *= out->columns;
    out->columns = 1;
  }
  out->rows_per_group = out->rows / (size_t)group;
  if (out->rows_per_group == 0 || out->rows % (size_t)group != 0) return false;
  out->channels = out->is_transposed ? out->columns * (size_t)group : out->rows;
  return true;
}

static size_t channel_of(const weight *w, size_t row, size_t column) {
  return w->is_transposed ? row / w->rows_per_group * w->columns + column : row;
}

static pleat_status scale_weight(pleat_pass_context *ctx, const weight *w, const pleat_affine *affine,
                                 pleat_tensor **out_tensor, char *reason) {
  const pleat_tensor *tensor = w->tensor;
  const size_t bytes = w->inner * pleat_dtype_size(tensor->dtype);
  const char *src = tensor->data;
  bool good = true;
  PLEAT_TRY(pleat_tensor_create(tensor->dtype, tensor->rank, tensor->dims, out_tensor, ctx->error));
  char *dst = (*out_tensor)->data;
  for (size_t row = 0; row < w->rows && good; row++) {
    for (size_t column = 0; column < w->columns && good; column++, src += bytes, dst += bytes) {
      const double *scale = &affine->scale[channel_of(w, row, column)];
      good = pleat_affine_scale(tensor->dtype, src, dst, w->inner, scale, false, "weight", reason);
    }
  }
  if (good) return PLEAT_OK;
  pleat_tensor_release(*out_tensor);
  *out_tensor = NULL;
  return PLEAT_OK;
}

static pleat_status fold_bias(pleat_pass_context *ctx, const pleat_tensor *bias, pleat_dtype dtype,
                              const pleat_affine *affine, pleat_tensor **out_tensor, char *reason) {
  const int64_t dims[1] = {(int64_t)affine->channels};
  double *values = malloc(affine->channels * sizeof *values);
  if (values == NULL) return PLEAT_OOM(ctx->error);
  for (size_t c = 0; c < affine->channels; c++) {
    double old = bias != NULL ? pleat_load_f64(bias->dtype, bias->data, c) : 0;
    values[c] = affine->scale[c] * old + affine->shift[c];
  }
  pleat_status status = pleat_affine_round(ctx, dtype, 1, dims, values, "bias", out_tensor, reason);
  free(values);
  return status;
}

/* Reads weight and bias; a reason when one is not constant or does not fit. */
static pleat_status read_conv(pleat_pass_context *ctx, pleat_node *conv, const pleat_affine *affine, weight *out_weight,
                              const pleat_tensor **out_bias, char *reason) {
  pleat_value *weight_value = conv->input_count > 1 ? conv->inputs[1] : NULL;
  pleat_value *bias_value = conv->input_count > 2 ? conv->inputs[2] : NULL;
  const pleat_tensor *tensor = NULL;
  *out_bias = NULL;
  if (weight_value == NULL) {
    snprintf(reason, PLEAT_REASON_SIZE, "the convolution has no weight");
    return PLEAT_OK;
  }
  PLEAT_TRY(
      pleat_affine_read_weight(ctx, weight_value, PLEAT_UNDEFINED, "the convolution's weight", &tensor, reason));
  if (tensor == NULL) return PLEAT_OK;
  if (bias_value != NULL) {
    PLEAT_TRY(pleat_affine_read_weight(ctx, bias_value, tensor->dtype, "the convolution's bias", out_bias, reason));
    if (*out_bias == NULL) return PLEAT_OK;
  }
  if (!describe_weight(conv, tensor, out_weight) || out_weight->channels != affine->channels ||
      (*out_bias != NULL && (*out_bias)->count != affine->channels)) {
    snprintf(reason, PLEAT_REASON_SIZE, "the convolution's weight does not have the BN's %zu channels",
             affine->channels);
  }
  return PLEAT_OK;
}

/* Folds, or leaves everything as it is with a reason. */
static pleat_status fold(pleat_pass_context *ctx, pleat_node *bn, char *reason) {
  pleat_status status = PLEAT_OK;
  pleat_affine affine;
  weight w = {0};
  const pleat_tensor *bias = NULL;
  pleat_tensor *new_weight = NULL, *new_bias = NULL;
  pleat_node *conv = pleat_affine_producer(bn, reason);
  if (conv == NULL) return PLEAT_OK;
  PLEAT_TRY(pleat_affine_of_bn(ctx, bn, &affine, reason));
  if (reason[0] != '\0') return PLEAT_OK;
  PLEAT_TRY(read_conv(ctx, conv, &affine, &w, &bias, reason));
  if (reason[0] != '\0') return PLEAT_OK;
  PLEAT_TRY(scale_weight(ctx, &w, &affine, &new_weight, reason));
  if (new_weight == NULL) return PLEAT_OK;
  status = fold_bias(ctx, bias, w.tensor->dtype, &affine, &new_bias, reason);
  if (status != PLEAT_OK || new_bias == NULL) {
    pleat_tensor_release(new_weight);
    return status;
  }
  const char *weight_name = conv->inputs[1]->name, *bias_name = bias != NULL ? conv->inputs[2]->name : weight_name;
  status = pleat_affine_set_weight(ctx, conv, 1, weight_name, "_folded", new_weight);
  if (status != PLEAT_OK) {
    pleat_tensor_release(new_bias);
    return status;
  }
  PLEAT_TRY(pleat_affine_set_weight(ctx, conv, 2, bias_name, bias != NULL ? "_folded" : "_folded_bias", new_bias));
  pleat_report_folded(ctx, &pleat_pass_bn_into_conv, bn, conv);
  return pleat_affine_take_over(ctx, conv, bn);
}

static pleat_status visit(pleat_pass_context *ctx, pleat_graph *graph, bool *changed) {
  PLEAT_FOR_NODES_SAFE(node, graph) {
    char reason[PLEAT_REASON_SIZE] = "";
    if (!pleat_affine_is_wanted_bn(node)) continue;
    const pleat_node *before = node->inputs[0]->producer;
    if (before == NULL || !(pleat_node_is(before, "Conv") || pleat_node_is(before, "ConvTranspose"))) continue;
    PLEAT_TRY(fold(ctx, node, reason));
    if (reason[0] != '\0') pleat_report_kept(ctx, &pleat_pass_bn_into_conv, node, "%s", reason);
    else *changed = true;
  }
  return PLEAT_OK;
}

static pleat_status run(pleat_pass_context *ctx, bool *out_changed) {
  return pleat_fold_each_graph(ctx, ctx->graph, visit, out_changed);
}

const pleat_pass pleat_pass_bn_into_conv = {
    .name = "bn-into-conv",
    .summary = "BatchNormalization into the Conv or ConvTranspose before it",
    .run = run,
};

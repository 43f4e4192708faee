/* Conv and ConvTranspose take maps into weight and bias, exact in real arithmetic, computed in double and rounded once.
 *
 * From above (on the output, channel m): W' = s_m W_m, b' = s_m b + t_m. From below (on the input, channel c):
 * W' = s_c W_c, and b' = b + sum over c and taps of W t_c, which holds where every tap lies inside the input: with
 * padding the sum depends on the position (absorb_border.c). Conv's W is [M, C/group, k...], ConvTranspose's is [C,
 * M/group, k...]. */
#include <stdlib.h>
#include <string.h>

#include "fold/absorb.h"

/* A convolution's constants. */
typedef struct conv {
  pleat_node *node;
  bool is_transposed;
  pleat_recipe *weight;
  const pleat_tensor *bias; /* NULL: none */
  size_t group, in_channels, out_channels;
  size_t taps; /* of one kernel */
} conv;

static pleat_status read_conv(pleat_push *push, pleat_node *node, bool needs_bias, conv *out) {
  int64_t group = pleat_attr_int(node, "group");
  *out = (conv){.node = node, .is_transposed = pleat_node_is(node, "ConvTranspose")};
  PLEAT_TRY(pleat_push_recipe(push, node->input_count > 1 ? node->inputs[1] : NULL, "the convolution's weight",
                              &out->weight));
  if (push->reason[0] == '\0' && needs_bias && node->input_count > 2 && node->inputs[2] != NULL) {
    PLEAT_TRY(pleat_push_weight(push, node->inputs[2], "the convolution's bias", &out->bias));
  }
  if (push->reason[0] != '\0') return PLEAT_OK;
  const pleat_tensor *w = &out->weight->tensor;
  if (w->rank < 3 || w->count == 0 || group < 1 || w->dims[0] % group != 0) {
    return pleat_push_refuse(push, "the convolution's weight is no [M, C, k...]");
  }
  out->group = (size_t)group;
  size_t rows = (size_t)w->dims[0], columns = (size_t)w->dims[1];
  out->taps = w->count / rows / columns;
  out->out_channels = out->is_transposed ? columns * out->group : rows;
  out->in_channels = out->is_transposed ? rows : columns * out->group;
  if (out->bias != NULL && out->bias->count != out->out_channels) {
    return pleat_push_refuse(push, "the convolution's bias does not have its %zu channels", out->out_channels);
  }
  return PLEAT_OK;
}

static pleat_status check_channels(pleat_push *push, const pleat_affine *affine, size_t channels) {
  bool fits = affine->axis == PLEAT_UNIFORM || (affine->axis == 1 && affine->channels == channels);
  return fits ? PLEAT_OK
              : pleat_push_refuse(push, "the map does not run along the convolution's %zu channels", channels);
}

/* W with the row (first axis) or, by group, the column (second axis) scaled. */
static pleat_status scale_rows(pleat_push *push, const conv *c, const pleat_affine *affine, pleat_recipe **out) {
  const size_t rows = (size_t)c->weight->tensor.dims[0], count = c->weight->tensor.count;
  return pleat_absorb_scaled(push, c->weight, affine, rows, count / rows, count, out);
}

static pleat_status scale_columns(pleat_push *push, const conv *c, const pleat_affine *affine, pleat_recipe **out) {
  const size_t columns = (size_t)c->weight->tensor.dims[1];
  return pleat_absorb_scaled(push, c->weight, affine, columns, c->taps, c->weight->tensor.count / c->group, out);
}

/* Takes the bias over. NULL: it stays as it is. */
static pleat_status apply(pleat_push *push, const conv *c, const pleat_recipe *weight, pleat_tensor *bias) {
  pleat_status status = PLEAT_OK;
  if (push->commit && push->reason[0] == '\0') {
    if (weight != NULL) status = pleat_push_set_recipe(push, c->node, 1, "_folded", weight);
    if (status == PLEAT_OK && bias != NULL) {
      status = pleat_push_set_weight(push, c->node, 2, c->bias != NULL ? "_folded" : "_bias", bias);
      bias = NULL;
    }
  }
  pleat_tensor_release(bias);
  return status;
}

/* The bias of a convolution whose weight keeps its own form: scaled and shifted. */
static pleat_status fold_bias_only(pleat_push *push, conv *c, const pleat_affine *affine) {
  pleat_tensor *bias = NULL;
  PLEAT_TRY(pleat_absorb_bias(push, c->bias, c->bias != NULL ? c->bias->dtype : c->node->outputs[0]->dtype,
                              c->out_channels, affine, NULL, &bias));
  if (bias == NULL || !push->commit) {
    pleat_tensor_release(bias);
    return PLEAT_OK;
  }
  return pleat_push_set_weight(push, c->node, 2, c->bias != NULL ? "_folded" : "_bias", bias);
}

/* How many output channels there are, without reading the weight; 0 when it cannot be told. */
static size_t output_channels(const pleat_node *node, const pleat_affine *affine) {
  const pleat_shape *shape = &node->outputs[0]->shape;
  if (affine->axis == 1) return affine->channels;
  return affine->axis == PLEAT_UNIFORM && shape->rank > 1 && shape->dims[1].value > 0 ? (size_t)shape->dims[1].value
                                                                                      : 0;
}

/* Where the weight keeps its numbers: a map that only shifts, or a quantised weight. *out_handled false: neither. */
static pleat_status up_conv_bias(pleat_push *push, pleat_node *node, const pleat_affine *affine, bool *out_handled) {
  conv c = {.node = node, .out_channels = output_channels(node, affine)};
  bool only_shifts = !pleat_affine_has_scale(affine);
  bool is_grouped = pleat_attr_int(node, "group") != 1, is_transposed = pleat_node_is(node, "ConvTranspose");
  bool is_dequantized = pleat_absorb_is_dequantized(push, node, 1);
  *out_handled = only_shifts || is_dequantized;
  if (!*out_handled) return PLEAT_OK;
  if (c.out_channels == 0) return pleat_push_refuse(push, "the convolution's channels are not known");
  if (node->input_count > 2 && node->inputs[2] != NULL) {
    PLEAT_TRY(pleat_push_weight(push, node->inputs[2], "the convolution's bias", &c.bias));
    if (c.bias != NULL && c.bias->count != c.out_channels) {
      return pleat_push_refuse(push, "the convolution's bias does not have its %zu channels", c.out_channels);
    }
  }
  if (push->reason[0] == '\0' && !only_shifts) {
    if (is_transposed && is_grouped) {
      return pleat_push_refuse(push, "the quantised weight's scales do not run along the groups of a ConvTranspose");
    }
    PLEAT_TRY(pleat_absorb_dequantized(push, node, 1, is_transposed ? 1 : 0, c.out_channels, affine));
  }
  return push->reason[0] != '\0' ? PLEAT_OK : fold_bias_only(push, &c, affine);
}

static pleat_status up_conv(pleat_push *push, pleat_node *node, const pleat_affine *affine) {
  conv c;
  pleat_recipe *weight = NULL;
  pleat_tensor *bias = NULL;
  bool handled;
  PLEAT_TRY(up_conv_bias(push, node, affine, &handled));
  if (handled) return PLEAT_OK;
  PLEAT_TRY(read_conv(push, node, true, &c));
  if (push->reason[0] != '\0') return PLEAT_OK;
  PLEAT_TRY(check_channels(push, affine, c.out_channels));
  if (push->reason[0] != '\0') return PLEAT_OK;
  PLEAT_TRY(c.is_transposed ? scale_columns(push, &c, affine, &weight) : scale_rows(push, &c, affine, &weight));
  if (weight == NULL) return PLEAT_OK;
  bool needs_bias = c.bias != NULL || pleat_affine_has_shift(affine);
  if (needs_bias) {
    PLEAT_TRY(pleat_absorb_bias(push, c.bias, c.weight->tensor.dtype, c.out_channels, affine, NULL, &bias));
  }
  return apply(push, &c, weight, bias);
}

/* ---- from below ---- */

static bool has_padding(const pleat_node *node) {
  if (strncmp(pleat_attr_string(node, "auto_pad"), "SAME", 4) == 0) return true;
  if (strcmp(pleat_attr_string(node, "auto_pad"), "VALID") == 0) return false;
  return !pleat_attr_ints_all(node, "pads", 0);
}

/* What a constant t_c on every input channel adds to each output channel, all taps inside: sum of W t_c. */
static double *constant_response(const conv *c, const pleat_tensor *weight, const pleat_affine *affine) {
  const size_t rows = (size_t)weight->dims[0], columns = (size_t)weight->dims[1];
  double *sums = calloc(rows + 1, sizeof *sums);
  if (sums == NULL) return NULL;
  for (size_t i = 0; i < weight->count; i++) {
    size_t row = i / c->taps / columns, column = i / c->taps % columns;
    double shift = pleat_affine_shift_at(affine, row / (rows / c->group) * columns + column);
    if (shift != 0) sums[row] += shift * pleat_load_f64(weight->dtype, weight->data, i);
  }
  return sums;
}

/* The input's channels in the weight, scaled. *out_weight stays NULL where a quantised weight took it, or with a
 * reason.
 */
static pleat_status scale_inputs(pleat_push *push, const conv *c, const pleat_affine *affine,
                                 pleat_recipe **out_weight) {
  *out_weight = NULL;
  if (!pleat_affine_has_scale(affine)) return PLEAT_OK;
  if (pleat_absorb_is_dequantized(push, c->node, 1)) {
    if (c->group != 1 && affine->channels > 1) {
      return pleat_push_refuse(push, "the quantised weight's scales do not run along the groups' input channels");
    }
    return pleat_absorb_dequantized(push, c->node, 1, c->is_transposed ? 0 : 1, c->in_channels, affine);
  }
  return c->is_transposed ? scale_rows(push, c, affine, out_weight) : scale_columns(push, c, affine, out_weight);
}

/* What the shift adds to the result: a bias a channel, or, in *out_map, a number for each position. */
static pleat_status shift_result(pleat_push *push, const conv *c, const pleat_affine *affine, pleat_tensor **out_bias,
                                 pleat_tensor **out_map) {
  pleat_affine unchanged;
  double *sums = NULL;
  const pleat_tensor *weight = NULL;
  PLEAT_TRY(pleat_push_weight(push, c->node->inputs[1], "the convolution's weight", &weight));
  if (weight == NULL) return PLEAT_OK;
  if (c->is_transposed || has_padding(c->node)) {
    PLEAT_TRY(pleat_absorb_border(push, c->node, weight, c->group, affine, &sums, out_map));
    if (push->reason[0] != '\0' || *out_map != NULL) return PLEAT_OK;
  } else if ((sums = constant_response(c, weight, affine)) == NULL) {
    return PLEAT_OOM(push->ctx->error);
  }
  pleat_status status = pleat_affine_make(push->ctx, PLEAT_UNIFORM, 1, &unchanged);
  if (status == PLEAT_OK) {
    status = pleat_absorb_bias(push, c->bias, weight->dtype, c->out_channels, &unchanged, sums, out_bias);
  }
  free(sums);
  return status;
}

static pleat_status down_conv(pleat_push *push, pleat_node *node, size_t input, const pleat_affine *affine) {
  conv c;
  pleat_status status = PLEAT_OK;
  pleat_recipe *weight = NULL;
  pleat_tensor *bias = NULL, *map = NULL;
  bool has_shift = pleat_affine_has_shift(affine);
  if (input != 0) return pleat_push_refuse(push, "it is the weight or bias of a convolution");
  PLEAT_TRY(read_conv(push, node, has_shift, &c));
  if (push->reason[0] != '\0') return PLEAT_OK;
  PLEAT_TRY(check_channels(push, affine, c.in_channels));
  if (push->reason[0] != '\0') return PLEAT_OK;
  if (has_shift) PLEAT_TRY(shift_result(push, &c, affine, &bias, &map));
  if (push->reason[0] == '\0') status = scale_inputs(push, &c, affine, &weight);
  if (status == PLEAT_OK) {
    status = apply(push, &c, weight, bias);
    bias = NULL;
  }
  if (status == PLEAT_OK && map != NULL && push->commit && push->reason[0] == '\0') {
    return pleat_absorb_add_behind(push, node, map);
  }
  pleat_tensor_release(bias);
  pleat_tensor_release(map);
  return status;
}

const pleat_absorber pleat_absorb_conv = {"Conv", up_conv, down_conv};
const pleat_absorber pleat_absorb_conv_transpose = {"ConvTranspose", up_conv, down_conv};

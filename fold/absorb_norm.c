/* Normalisations take a map into their own scale and bias.
 *
 * BatchNormalization in inference is itself a map: the two are composed, from above or below, and stated again with the
 * mean and variance that are there. The others normalise with statistics of their input, so only a map of their output
 * is absorbed. */
#include <math.h>
#include <stdlib.h>

#include "fold/absorb.h"

/* New scale and bias such that the node computes `map`, keeping mean and variance: scale = map.scale * sqrt(var + eps),
 * bias = map.shift + map.scale * mean. */
static pleat_status state_bn(pleat_push *push, pleat_node *bn, const pleat_affine *map) {
  pleat_status status = PLEAT_OK;
  const pleat_tensor *gamma = NULL, *mean = NULL, *variance = NULL;
  pleat_tensor *scale = NULL, *bias = NULL;
  double *values = malloc((2 * map->channels + 1) * sizeof *values);
  if (values == NULL) return PLEAT_OOM(push->ctx->error);
  PLEAT_CHECK(pleat_push_weight(push, bn->inputs[1], "scale", &gamma));
  PLEAT_CHECK(pleat_push_weight(push, bn->inputs[3], "mean", &mean));
  PLEAT_CHECK(pleat_push_weight(push, bn->inputs[4], "variance", &variance));
  if (push->reason[0] != '\0') goto fail;
  if (gamma->count != map->channels) {
    status = pleat_push_refuse(push, "the BatchNormalization has other channels");
    goto fail;
  }
  const double epsilon = pleat_attr_float(bn, "epsilon");
  for (size_t c = 0; c < map->channels; c++) {
    values[c] = map->scale[c] * sqrt(pleat_load_f64(variance->dtype, variance->data, c) + epsilon);
    values[map->channels + c] = map->shift[c] + map->scale[c] * pleat_load_f64(mean->dtype, mean->data, c);
  }
  PLEAT_CHECK(
      pleat_affine_round(push->ctx, gamma->dtype, gamma->rank, gamma->dims, values, "scale", &scale, push->reason));
  PLEAT_CHECK(pleat_affine_round(push->ctx, gamma->dtype, gamma->rank, gamma->dims, values + map->channels, "bias",
                                 &bias, push->reason));
  if (push->reason[0] != '\0' || !push->commit) goto fail;
  status = pleat_push_set_weight(push, bn, 1, "_folded", scale);
  scale = NULL;
  if (status == PLEAT_OK) {
    status = pleat_push_set_weight(push, bn, 2, "_folded", bias);
    bias = NULL;
  }
fail:
  pleat_tensor_release(scale);
  pleat_tensor_release(bias);
  free(values);
  return status;
}

static pleat_status compose_bn(pleat_push *push, pleat_node *bn, const pleat_affine *affine, bool above) {
  pleat_affine own, both;
  size_t input;
  PLEAT_TRY(pleat_affine_read(push, bn, &own, &input));
  if (push->reason[0] != '\0') return PLEAT_OK;
  PLEAT_TRY(above ? pleat_affine_compose(push, &own, affine, &both) : pleat_affine_compose(push, affine, &own, &both));
  return push->reason[0] != '\0' ? PLEAT_OK : state_bn(push, bn, &both);
}

static pleat_status up_bn(pleat_push *push, pleat_node *bn, const pleat_affine *affine) {
  return compose_bn(push, bn, affine, false);
}

static pleat_status down_bn(pleat_push *push, pleat_node *bn, size_t input, const pleat_affine *affine) {
  if (input != 0) return pleat_push_refuse(push, "it is a parameter of a BatchNormalization");
  return compose_bn(push, bn, affine, true);
}

/* A norm with one scale and bias a channel along the map's axis. */
static pleat_status up_norm(pleat_push *push, pleat_node *node, const pleat_affine *affine) {
  const pleat_tensor *beta = NULL;
  pleat_recipe *gamma = NULL, *scale = NULL;
  pleat_tensor *bias = NULL;
  PLEAT_TRY(pleat_push_recipe(push, node->input_count > 1 ? node->inputs[1] : NULL, "scale", &gamma));
  if (push->reason[0] == '\0' && node->input_count > 2 && node->inputs[2] != NULL) {
    PLEAT_TRY(pleat_push_weight(push, node->inputs[2], "bias", &beta));
  }
  if (push->reason[0] != '\0') return PLEAT_OK;
  const size_t count = gamma->tensor.count;
  bool fits = affine->axis == PLEAT_UNIFORM || affine->channels == count;
  if (gamma->tensor.rank != 1 || !fits || (beta != NULL && beta->count != count)) {
    return pleat_push_refuse(push, "%s does not have one scale a channel of the map", node->op_type);
  }
  PLEAT_TRY(pleat_absorb_scaled(push, gamma, affine, count, 1, count, &scale));
  if (scale == NULL) return PLEAT_OK;
  PLEAT_TRY(pleat_absorb_bias(push, beta, gamma->tensor.dtype, count, affine, NULL, &bias));
  if (bias == NULL || !push->commit) {
    pleat_tensor_release(bias);
    return PLEAT_OK;
  }
  pleat_status status = pleat_push_set_recipe(push, node, 1, "_folded", scale);
  if (status == PLEAT_OK) {
    return pleat_push_set_weight(push, node, 2, beta != NULL ? "_folded" : "_folded_bias", bias);
  }
  pleat_tensor_release(bias);
  return status;
}

static pleat_status up_instance(pleat_push *push, pleat_node *node, const pleat_affine *affine) {
  if (affine->axis > 1 || affine->axis == 0) return pleat_push_refuse(push, "the map does not run along the channels");
  return up_norm(push, node, affine);
}

static pleat_status up_group(pleat_push *push, pleat_node *node, const pleat_affine *affine) {
  if (pleat_node_since(node) < 21)
    return pleat_push_refuse(push, "GroupNormalization before opset 21 scales whole groups");
  return up_instance(push, node, affine);
}

static pleat_status up_layer(pleat_push *push, pleat_node *node, const pleat_affine *affine) {
  int rank = node->outputs[0]->shape.rank;
  if (affine->axis != PLEAT_UNIFORM && (rank < 0 || affine->axis != rank - 1)) {
    return pleat_push_refuse(push, "the map does not run along the axis of a LayerNormalization");
  }
  return up_norm(push, node, affine);
}

const pleat_absorber pleat_absorb_batch_normalization = {"BatchNormalization", up_bn, down_bn};
const pleat_absorber pleat_absorb_instance_normalization = {"InstanceNormalization", up_instance, NULL};
const pleat_absorber pleat_absorb_group_normalization = {"GroupNormalization", up_group, NULL};
const pleat_absorber pleat_absorb_layer_normalization = {"LayerNormalization", up_layer, NULL};

/* Quantised weights: W = (q - zero_point) * scale, stored as a constant q and a DequantizeLinear node. A map a channel
 * goes into the scale, which becomes one number a channel when it was one for all; q stays as it is. Positive maps
 * only: consumers that fuse the node into an integer kernel take its scale to be positive. */
#include <stdlib.h>

#include "fold/absorb.h"

static const char *refusal(const pleat_node *dequantize, const pleat_affine *affine) {
  if (dequantize->outputs[0]->use_count > 1) return "the quantised weight is read by other nodes as well";
  if (!pleat_affine_is_positive(affine)) return "a quantised weight takes only positive scales";
  if (affine->channels > 1 && pleat_node_since(dequantize) < 13) {
    return "DequantizeLinear has scales a channel only from opset 13 on";
  }
  if (pleat_attr_present(dequantize, "block_size") && pleat_attr_int(dequantize, "block_size") != 0) {
    return "the quantised weight has scales a block";
  }
  return NULL;
}

/* One value for all becomes `channels` equal ones. */
static pleat_status spread(pleat_push *push, const pleat_tensor *tensor, size_t channels, pleat_tensor **out_tensor) {
  const int64_t dims[1] = {(int64_t)channels};
  PLEAT_TRY(pleat_tensor_create(tensor->dtype, 1, dims, out_tensor, push->ctx->error));
  for (size_t i = 0; i < channels; i++) {
    pleat_store_f64(tensor->dtype, (*out_tensor)->data, i, pleat_load_f64(tensor->dtype, tensor->data, 0));
  }
  return PLEAT_OK;
}

static pleat_status fold_scales(pleat_push *push, pleat_node *dequantize, int axis, size_t channels,
                                const pleat_affine *affine, const pleat_tensor *scale, const pleat_tensor *zero) {
  pleat_status status = PLEAT_OK;
  pleat_recipe *given = NULL, *scaled = NULL, spread_out;
  pleat_tensor *wide = NULL, *zeros = NULL;
  bool spreads = scale->count == 1 && affine->channels > 1;
  PLEAT_TRY(pleat_push_recipe(push, dequantize->inputs[1], "the quantisation's scale", &given));
  if (spreads) {
    PLEAT_TRY(spread(push, scale, channels, &wide));
    spread_out = pleat_recipe_of(wide, wide, wide);
    given = &spread_out;
  }
  PLEAT_CHECK(pleat_absorb_scaled(push, given, affine, channels, 1, given->tensor.count, &scaled));
  if (scaled == NULL || !push->commit) goto fail;
  /* The weight may have been computed for somebody who wanted to see it. */
  dequantize->outputs[0]->constant = NULL;
  dequantize->outputs[0]->recipe = NULL;
  status = pleat_push_set_recipe(push, dequantize, 1, "_folded", scaled);
  if (status == PLEAT_OK && spreads) {
    pleat_attr attr = {.name = "axis", .type = PLEAT_ATTR_INT, .i = axis};
    if (!pleat_node_set_attr(dequantize, attr)) status = PLEAT_OOM(push->ctx->error);
    if (status == PLEAT_OK && zero != NULL) status = spread(push, zero, channels, &zeros);
    if (status == PLEAT_OK && zeros != NULL) {
      status = pleat_push_set_weight(push, dequantize, 2, "_folded", zeros);
      zeros = NULL;
    }
  }
fail:
  pleat_tensor_release(wide);
  pleat_tensor_release(zeros);
  return status;
}

bool pleat_absorb_is_dequantized(const pleat_push *push, const pleat_node *node, size_t input) {
  const pleat_value *value = input < node->input_count ? node->inputs[input] : NULL;
  return !push->ctx->for_session && value != NULL && value->producer != NULL &&
         pleat_node_is(value->producer, "DequantizeLinear");
}

pleat_status pleat_absorb_dequantized(pleat_push *push, pleat_node *node, size_t input, int axis, size_t channels,
                                      const pleat_affine *affine) {
  const pleat_tensor *scale = NULL, *zero = NULL;
  pleat_node *dequantize = node->inputs[input]->producer;
  if (dequantize->input_count < 2 || dequantize->graph != node->graph) {
    return pleat_push_refuse(push, "the quantised weight is made outside of this subgraph");
  }
  const pleat_tensor *stored = NULL;
  PLEAT_TRY(pleat_value_constant(dequantize->inputs[0], &stored, push->ctx->error));
  if (stored == NULL) return pleat_push_refuse(push, "the quantised weight is computed while running");
  const char *why = refusal(dequantize, affine);
  if (why != NULL) return pleat_push_refuse(push, "%s", why);
  PLEAT_TRY(pleat_push_weight(push, dequantize->inputs[1], "the quantisation's scale", &scale));
  if (push->reason[0] != '\0') return PLEAT_OK;
  if (dequantize->input_count > 2 && dequantize->inputs[2] != NULL) {
    PLEAT_TRY(pleat_value_constant(dequantize->inputs[2], &zero, push->ctx->error));
    if (zero == NULL) return pleat_push_refuse(push, "the quantisation's zero point is computed while running");
  }
  bool per_channel = scale->count > 1 && pleat_attr_int(dequantize, "axis") == axis;
  if (scale->count != 1 && !(per_channel && scale->count == channels)) {
    return pleat_push_refuse(push, "the quantised weight's scales do not run along its output channels");
  }
  return fold_scales(push, dequantize, axis, channels, affine, scale, zero);
}

/* The table of absorbers, by operator, and what they share: scaling a weight along one axis, making a bias, adding a
 * constant behind a node. Constants are made anew and never changed, since other nodes may read them; weights are only
 * described: a fold asks before it does, and what it makes may be folded again. */
#include "fold/absorb.h"

#include <stdio.h>
#include <stdlib.h>

static const pleat_absorber *const absorbers[] = {
    &pleat_absorb_batch_normalization,
    &pleat_absorb_conv,
    &pleat_absorb_conv_transpose,
    &pleat_absorb_gemm,
    &pleat_absorb_matmul,
    &pleat_absorb_group_normalization,
    &pleat_absorb_instance_normalization,
    &pleat_absorb_layer_normalization,
};

const pleat_absorber *pleat_absorber_find(const pleat_node *node) {
  for (size_t i = 0; i < sizeof absorbers / sizeof absorbers[0]; i++) {
    if (pleat_node_is(node, absorbers[i]->op_type)) return absorbers[i];
  }
  return NULL;
}

pleat_status pleat_absorb_scaled(pleat_push *push, pleat_recipe *weight, const pleat_affine *affine, size_t channels,
                                 size_t inner, size_t outer, pleat_recipe **out_recipe) {
  pleat_arena *arena = push->ctx->graph->root->arena;
  const size_t count = weight->tensor.count;
  const bool is_uniform = affine->channels == 1;
  const pleat_factors factors = {.values = affine->scale,
                                 .value_count = affine->channels,
                                 .channels = is_uniform ? 1 : channels,
                                 .inner = is_uniform ? count : inner,
                                 .outer = is_uniform ? count : outer};
  pleat_recipe *scaled = pleat_arena_alloc(arena, sizeof *scaled);
  *out_recipe = NULL;
  /* The weight is asked first, since that measures what is stored: once, for all that is ever made of it. */
  const bool is_finite = pleat_recipe_is_finite(weight);
  if (scaled == NULL || !pleat_recipe_scale(arena, weight, &factors, scaled)) return PLEAT_OOM(push->ctx->error);
  if (!is_finite || !pleat_recipe_is_finite(scaled)) {
    return pleat_push_refuse(push, "the folded weight would not be finite in %s",
                             pleat_dtype_name(weight->tensor.dtype));
  }
  *out_recipe = scaled;
  return PLEAT_OK;
}

pleat_status pleat_absorb_bias(pleat_push *push, const pleat_tensor *old, pleat_dtype dtype, size_t channels,
                               const pleat_affine *affine, const double *extra, pleat_tensor **out_tensor) {
  const int64_t dims[1] = {(int64_t)channels};
  double *values = malloc((channels + 1) * sizeof *values);
  if (values == NULL) return PLEAT_OOM(push->ctx->error);
  for (size_t c = 0; c < channels; c++) {
    double before = old != NULL ? pleat_load_f64(old->dtype, old->data, c) : 0;
    values[c] = pleat_affine_scale_at(affine, c) * before + pleat_affine_shift_at(affine, c);
    if (extra != NULL) values[c] += extra[c];
  }
  pleat_status status = pleat_affine_round(push->ctx, dtype, 1, dims, values, "bias", out_tensor, push->reason);
  free(values);
  return status;
}

pleat_status pleat_absorb_add_behind(pleat_push *push, pleat_node *node, pleat_tensor *tensor) {
  char name[PLEAT_NAME_SIZE];
  pleat_value *result = node->outputs[0];
  pleat_push_name(name, result->name, "_unshifted");
  pleat_value *before = pleat_graph_add_value(node->graph, name, result->dtype, &result->shape);
  pleat_push_name(name, result->name, "_add_shift");
  pleat_node *add = pleat_graph_add_node(node->graph, node, "Add", "", name);
  bool good = before != NULL && add != NULL && pleat_node_set_output(node, 0, NULL) &&
              pleat_node_set_output(node, 0, before) && pleat_node_set_input(add, 0, before) &&
              pleat_node_set_output(add, 0, result);
  if (!good) {
    pleat_tensor_release(tensor);
    return PLEAT_OOM(push->ctx->error);
  }
  pleat_push_name(name, result->name, "_shift");
  return pleat_push_set_operand(push, add, name, result->shape.rank, tensor);
}

/* Reading BatchNormalization nodes as affine maps, and what the passes that fold them share: everything is computed in
 * double and rounded once, and what is not finite is refused. See affine.h. */
#include "fold/affine.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ops/batch_normalization.h"

enum {
  COMPUTE_LIMIT = 64 << 20, /* bytes: parameters that have to be computed first are never larger */
  WEIGHT_LIMIT = 1 << 30,   /* nor weights than this: a few bytes of model can ask for any amount */
  BLOCK = 512               /* elements that are widened to double at a time */
};

static void set_reason(char reason[PLEAT_REASON_SIZE], const char *format, ...) PLEAT_PRINTF(2, 3);
static void set_reason(char reason[PLEAT_REASON_SIZE], const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(reason, PLEAT_REASON_SIZE, format, args);
  va_end(args);
}

void pleat_affine_explain_weight(const pleat_value *value, const char *what, char reason[PLEAT_REASON_SIZE]) {
  if (value->is_input && value->is_initializer) {
    set_reason(reason,
               "%s '%s' is an input of the graph with a default, which a caller may override (IR version >= 4); "
               "--freeze-inputs makes it constant",
               what, value->name);
  } else if (value->is_input) {
    set_reason(reason, "%s '%s' is an input of the graph", what, value->name);
  } else {
    set_reason(reason, "%s '%s' is computed while running", what, value->name);
  }
}

pleat_status pleat_affine_find_weight(pleat_pass_context *ctx, pleat_value *value, const char *what,
                                      pleat_recipe **out_recipe, char reason[PLEAT_REASON_SIZE]) {
  const pleat_tensor *computed = NULL;
  *out_recipe = NULL;
  if (!pleat_value_is_constant(value)) PLEAT_TRY(pleat_value_compute(value, WEIGHT_LIMIT, &computed, ctx->error));
  if (pleat_value_is_constant(value)) PLEAT_TRY(pleat_value_recipe(value, out_recipe, ctx->error));
  if (*out_recipe == NULL) {
    pleat_affine_explain_weight(value, what, reason);
    return PLEAT_OK;
  }
  const pleat_dtype found = (*out_recipe)->tensor.dtype;
  if ((PLEAT_M(found) & PLEAT_M_FLOATS) != 0) return PLEAT_OK;
  set_reason(reason, "%s '%s' is of type %s", what, value->name, pleat_dtype_name(found));
  *out_recipe = NULL;
  return PLEAT_OK;
}

/* The four parameters; false with a reason. */
static pleat_status read_parameters(pleat_pass_context *ctx, pleat_node *bn, const pleat_tensor *parameters[4],
                                    char reason[PLEAT_REASON_SIZE]) {
  static const char *const names[4] = {"scale", "bias", "mean", "variance"};
  for (size_t i = 0; i < 4; i++) {
    pleat_value *value = bn->input_count > i + 1 ? bn->inputs[i + 1] : NULL;
    if (value == NULL) {
      set_reason(reason, "it has no %s", names[i]);
      return PLEAT_OK;
    }
    PLEAT_TRY(pleat_value_compute(value, COMPUTE_LIMIT, &parameters[i], ctx->error));
    if (parameters[i] == NULL) {
      pleat_affine_explain_weight(value, names[i], reason);
      return PLEAT_OK;
    }
    if (!pleat_dtype_is_float(parameters[i]->dtype) || parameters[i]->count != parameters[0]->count) {
      set_reason(reason, "its parameters do not have the same number of elements");
      return PLEAT_OK;
    }
  }
  return PLEAT_OK;
}

/* spatial = 0 keeps statistics per activation: a map of the whole sample, not of a channel, unless a channel has only
 * one position. */
static bool is_per_channel(const pleat_node *bn, size_t count, char reason[PLEAT_REASON_SIZE]) {
  const pleat_shape *shape = &bn->inputs[0]->shape;
  if (bn->version != NULL && bn->version->since < 9 && pleat_attr_present(bn, "spatial") &&
      pleat_attr_int(bn, "spatial") == 0) {
    pleat_dim positions = shape->rank >= 2 ? pleat_shape_product(shape, 2, shape->rank) : pleat_dim_unknown();
    if (positions.value != 1) {
      set_reason(reason, "statistics per activation (spatial = 0): a different map at every position of a channel");
      return false;
    }
  }
  if (shape->rank >= 2 && pleat_dim_is_known(shape->dims[1]) && (size_t)shape->dims[1].value != count) {
    set_reason(reason, "it has %zu parameters for %lld channels", count, (long long)shape->dims[1].value);
    return false;
  }
  return true;
}

static bool statistics_are_used(const pleat_node *bn) {
  for (size_t i = 1; i < bn->output_count; i++) {
    const pleat_value *statistics = bn->outputs[i];
    if (statistics != NULL && (statistics->use_count > 0 || statistics->is_output)) return true;
  }
  return false;
}

pleat_status pleat_affine_of_bn(pleat_pass_context *ctx, pleat_node *bn, pleat_affine *out_affine,
                                char reason[PLEAT_REASON_SIZE]) {
  const pleat_tensor *parameters[4] = {NULL};
  pleat_affine affine = {0};
  reason[0] = '\0';
  const bool has_old_statistics = pleat_node_since(bn) < 14 && pleat_bn_has_statistics(bn);
  if (pleat_bn_is_training(bn) && has_old_statistics && !statistics_are_used(bn)) {
    set_reason(
        reason,
        "training mode: before opset 14 the outputs for statistics ask for it, though nothing reads them; remove "
        "these outputs if it was exported for inference");
    return PLEAT_OK;
  }
  if (pleat_bn_is_training(bn)) {
    set_reason(reason, "training mode: it normalises with the statistics of each batch; export the model in eval mode");
    return PLEAT_OK;
  }
  for (size_t i = 1; i < bn->output_count; i++) {
    const pleat_value *statistics = bn->outputs[i];
    if (statistics == NULL || (statistics->use_count == 0 && !statistics->is_output)) continue;
    set_reason(reason, "its statistics output '%s' is used", statistics->name);
    return PLEAT_OK;
  }
  PLEAT_TRY(read_parameters(ctx, bn, parameters, reason));
  if (reason[0] != '\0' || !is_per_channel(bn, parameters[0]->count, reason)) return PLEAT_OK;
  affine.axis = 1;
  affine.channels = parameters[0]->count;
  affine.scale = pleat_arena_array(ctx->graph->root->arena, affine.channels, sizeof(double));
  affine.shift = pleat_arena_array(ctx->graph->root->arena, affine.channels, sizeof(double));
  if (affine.scale == NULL || affine.shift == NULL) return PLEAT_OOM(ctx->error);
  const double epsilon = pleat_attr_float(bn, "epsilon");
  for (size_t c = 0; c < affine.channels; c++) {
    double value[4];
    for (size_t i = 0; i < 4; i++) value[i] = pleat_load_f64(parameters[i]->dtype, parameters[i]->data, c);
    affine.scale[c] = value[0] / sqrt(value[3] + epsilon);
    affine.shift[c] = value[1] - affine.scale[c] * value[2];
    if (!(value[3] + epsilon > 0) || !isfinite(affine.scale[c]) || !isfinite(affine.shift[c])) {
      set_reason(reason, "channel %zu gives no finite map (variance %g + epsilon %g)", c, value[3], epsilon);
      return PLEAT_OK;
    }
  }
  *out_affine = affine;
  return PLEAT_OK;
}

/* Whether `count` elements are finite; a reason that names the first that is not. */
static bool check_finite(pleat_dtype dtype, const void *data, size_t count, const char *what,
                         char reason[PLEAT_REASON_SIZE]) {
  double block[BLOCK];
  const size_t size = pleat_dtype_size(dtype);
  for (size_t at = 0; at < count; at += BLOCK) {
    size_t n = count - at < BLOCK ? count - at : BLOCK;
    double sum = 0; /* 0 * x is 0 for all finite x, else NaN: one test a block */
    pleat_convert(dtype, (const char *)data + at * size, PLEAT_DOUBLE, block, n, NULL);
    for (size_t i = 0; i < n; i++) sum += 0 * block[i];
    if (sum == 0) continue;
    set_reason(reason, "the folded %s would not be finite in %s", what, pleat_dtype_name(dtype));
    return false;
  }
  return true;
}

pleat_status pleat_affine_round(pleat_pass_context *ctx, pleat_dtype dtype, int rank, const int64_t *dims,
                                const double *values, const char *what, pleat_tensor **out_tensor,
                                char reason[PLEAT_REASON_SIZE]) {
  PLEAT_TRY(pleat_tensor_create(dtype, rank, dims, out_tensor, ctx->error));
  pleat_convert(PLEAT_DOUBLE, values, dtype, (*out_tensor)->data, (*out_tensor)->count, NULL);
  if (check_finite(dtype, (*out_tensor)->data, (*out_tensor)->count, what, reason)) return PLEAT_OK;
  pleat_tensor_release(*out_tensor);
  *out_tensor = NULL;
  return PLEAT_OK;
}

/* MeanVarianceNormalization: (x - mean) / (deviation + 1e-9), where mean and deviation go over the given axes. Three
 * passes over the data with an accumulator per kept position in the workspace; statistics in double. */
#include <math.h>
#include <string.h>

#include "core/checked.h"
#include "ops/slices.h"

typedef struct mvn_state {
  size_t groups;
  double size;                     /* elements of a group */
  int64_t strides[PLEAT_MAX_RANK]; /* from an element's index to its group: 0 along reduced axes */
} mvn_state;

/* The axes to reduce over; the default is [0, 2, 3]. */
static pleat_status mark_axes(const pleat_node *node, int rank, bool *out_reduced, pleat_error *error) {
  static const int64_t defaults[] = {0, 2, 3};
  const int64_t *axes = defaults;
  size_t count = 3;
  if (pleat_attr_present(node, "axes")) count = pleat_attr_ints(node, "axes", &axes);
  return pleat_mark_axes(axes, count, rank, out_reduced, error);
}

static pleat_status mvn_infer(pleat_infer *ctx) {
  bool reduced[PLEAT_MAX_RANK] = {false};
  int rank = ctx->inputs[0].shape.rank;
  if (rank >= 0) PLEAT_TRY(mark_axes(ctx->node, rank, reduced, ctx->error));
  return pleat_infer_same(ctx);
}

static pleat_status mvn_prepare(pleat_call *call) {
  const pleat_tensor *x = call->inputs[0];
  bool reduced[PLEAT_MAX_RANK] = {false};
  mvn_state *s = pleat_call_state(call, sizeof *s);
  if (s == NULL) return PLEAT_OOM(call->error);
  PLEAT_TRY(mark_axes(call->node, x->rank, reduced, call->error));
  if (x->count == 0) return PLEAT_OK;
  s->groups = 1;
  for (int d = x->rank - 1; d >= 0; d--) {
    if (reduced[d]) continue;
    s->strides[d] = (int64_t)s->groups;
    s->groups *= (size_t)x->dims[d];
  }
  s->size = (double)(x->count / s->groups);
  if (!pleat_mul_size(s->groups, 2 * sizeof(double), &call->workspace_size)) return PLEAT_OOM(call->error);
  return PLEAT_OK;
}

/* Steps to the next element's group. */
static inline void next_group(const pleat_tensor *x, const mvn_state *s, int64_t *index, int64_t *group) {
  for (int d = x->rank - 1; d >= 0; d--) {
    *group += s->strides[d];
    if (++index[d] < x->dims[d]) return;
    *group -= s->strides[d] * index[d];
    index[d] = 0;
  }
}

static pleat_status mvn_run(const pleat_call *call) {
  const mvn_state *s = call->state;
  const pleat_tensor *x = call->inputs[0];
  pleat_tensor *y = call->outputs[0];
  double *mean = call->workspace, *spread = mean + s->groups;
  int64_t index[PLEAT_MAX_RANK] = {0}, group = 0;
  if (x->count == 0) return PLEAT_OK;
  for (size_t g = 0; g < 2 * s->groups; g++) mean[g] = 0;
  for (size_t i = 0; i < x->count; i++, next_group(x, s, index, &group))
    mean[group] += pleat_load_f64(x->dtype, x->data, i);
  for (size_t g = 0; g < s->groups; g++) mean[g] /= s->size;
  for (size_t i = 0; i < x->count; i++, next_group(x, s, index, &group)) {
    double v = pleat_load_f64(x->dtype, x->data, i) - mean[group];
    spread[group] += v * v;
  }
  for (size_t g = 0; g < s->groups; g++) spread[g] = 1 / (sqrt(spread[g] / s->size) + 1e-9);
  for (size_t i = 0; i < x->count; i++, next_group(x, s, index, &group))
    pleat_store_f64(y->dtype, y->data, i, (pleat_load_f64(x->dtype, x->data, i) - mean[group]) * spread[group]);
  return PLEAT_OK;
}

static const pleat_kernel reference = {
    .name = "reference",
    .types = PLEAT_M_FLOATS,
    .inplace = 1,
    .prepare = mvn_prepare,
    .run = mvn_run,
};
static const pleat_kernel *const kernels[] = {&reference, NULL};

static const char *apart(const pleat_infer *whole, const pleat_role *roles) {
  bool reduced[PLEAT_MAX_RANK] = {false};
  if (mark_axes(whole->node, whole->inputs[0].shape.rank, reduced, NULL) != PLEAT_OK || reduced[0])
    return "it runs along the samples";
  return pleat_apart_first(whole, roles);
}

static const pleat_op_attr attrs[] = {{.name = "axes", .type = PLEAT_ATTR_INTS}, {0}};
static const pleat_op_version versions[] = {{9, 1, 1, 1, 1, PLEAT_M_FLOATS, 0}, {0}};
const pleat_op_def pleat_op_MeanVarianceNormalization = {
    .domain = "",
    .name = "MeanVarianceNormalization",
    .versions = versions,
    .attrs = attrs,
    .infer = mvn_infer,
    .apart = apart,
    .kernels = kernels,
};

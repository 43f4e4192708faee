/* The BatchNormalizations of a model as numbers, for reports: what the passes compute before they fold, handed out.
 *
 * The list owns copies in an arena of its own: graph and model may be gone while it is read. */
#include <string.h>

#include "fold/affine.h"

enum { PARAMETER_LIMIT = 64 << 20 }; /* bytes of a parameter that has to be computed first */

/* The public list with the memory it points to. */
typedef struct owned_list {
  pleat_norm_list list; /* first: what the caller holds */
  pleat_arena *arena;
} owned_list;

typedef struct collector {
  pleat_pass_context ctx; /* first: what visits get */
  pleat_arena *arena;
  pleat_norm *norms;
  size_t count, capacity;
} collector;

static const double *copy_doubles(pleat_arena *arena, const double *values, size_t count) {
  double *copy = pleat_arena_array(arena, count, sizeof *copy);
  if (copy != NULL && count > 0) memcpy(copy, values, count * sizeof *copy);
  return copy;
}

static pleat_status fill_map(collector *c, pleat_node *node, const pleat_affine *affine, pleat_norm *norm) {
  const pleat_tensor *variance = NULL;
  PLEAT_TRY(pleat_value_compute(node->inputs[4], PARAMETER_LIMIT, &variance, c->ctx.error));
  double *doubles = pleat_arena_array(c->arena, affine->channels, sizeof *doubles);
  norm->scale = copy_doubles(c->arena, affine->scale, affine->channels);
  norm->shift = copy_doubles(c->arena, affine->shift, affine->channels);
  norm->variance = doubles;
  if (doubles == NULL || norm->scale == NULL || norm->shift == NULL) return PLEAT_OOM(c->ctx.error);
  if (variance != NULL && variance->count == affine->channels) {
    pleat_convert(variance->dtype, variance->data, PLEAT_DOUBLE, doubles, affine->channels, NULL);
  }
  norm->channels = affine->channels;
  return PLEAT_OK;
}

static pleat_status collect(pleat_pass_context *ctx, pleat_graph *graph, bool *changed) {
  collector *c = (collector *)(void *)ctx;
  (void)changed;
  PLEAT_FOR_NODES(node, graph) {
    char label[256], reason[PLEAT_REASON_SIZE];
    pleat_affine affine = {0};
    if (!pleat_node_is(node, "BatchNormalization")) continue;
    PLEAT_TRY(pleat_affine_of_bn(ctx, node, &affine, reason));
    pleat_norm norm = {.node = pleat_arena_strdup(c->arena, pleat_node_label(node, label, sizeof label)),
                       .epsilon = (double)pleat_attr_float(node, "epsilon"),
                       .reason = pleat_arena_strdup(c->arena, reason)};
    if (norm.node == NULL || norm.reason == NULL) return PLEAT_OOM(ctx->error);
    if (reason[0] == '\0') PLEAT_TRY(fill_map(c, node, &affine, &norm));
    if (!PLEAT_PUSH(c->arena, c->norms, c->count, c->capacity, norm)) return PLEAT_OOM(ctx->error);
  }
  return PLEAT_OK;
}

pleat_status pleat_model_norms(const pleat_model *model, pleat_norm_list **out_list, pleat_error *error) {
  pleat_status status = PLEAT_OK;
  pleat_graph *graph = NULL;
  owned_list *owned = NULL;
  collector c = {.ctx = {.error = error}};
  bool changed = false;
  if (model == NULL || out_list == NULL) return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "NULL argument");
  *out_list = NULL;
  c.arena = pleat_arena_create();
  owned = c.arena != NULL ? pleat_arena_alloc(c.arena, sizeof *owned) : NULL;
  if (owned == NULL) PLEAT_CHECK(PLEAT_OOM(error));
  PLEAT_CHECK(pleat_graph_import(model, &(pleat_import_options){.inline_functions = true}, &graph, error));
  PLEAT_CHECK(pleat_graph_infer(graph, error));
  c.ctx.graph = graph;
  PLEAT_CHECK(pleat_fold_each_graph(&c.ctx, graph, collect, &changed));
  owned->arena = c.arena;
  owned->list = (pleat_norm_list){.count = c.count, .norms = c.norms};
  *out_list = &owned->list;
  c.arena = NULL;
fail:
  pleat_graph_destroy(graph);
  pleat_arena_destroy(c.arena);
  return status;
}

void pleat_norm_list_destroy(pleat_norm_list *list) {
  if (list != NULL) pleat_arena_destroy(((owned_list *)(void *)list)->arena);
}

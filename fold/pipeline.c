/* The pipeline: runs the passes of passes.def in order, again and again until a round changes nothing, with the
 * verifier after each pass in debug builds. */
#include <string.h>

#include "fold/report.h"

static const pleat_pass *const passes[] = {
#define PLEAT_PASS(name) &pleat_pass_##name,
#include "fold/passes.def"
#undef PLEAT_PASS
};

enum {
  PASS_COUNT = sizeof passes / sizeof passes[0],
  ROUND_LIMIT = 10 /* each round only simplifies, so this is never reached by a sane graph */
};

const char *pleat_fold_pass_name(size_t index) {
  return index < PASS_COUNT ? passes[index]->name : NULL;
}
const char *pleat_fold_pass_summary(size_t index) {
  return index < PASS_COUNT ? passes[index]->summary : NULL;
}

static bool contains(const char *const *list, const char *name) {
  for (; *list != NULL; list++) {
    if (strcmp(*list, name) == 0) return true;
  }
  return false;
}

static bool is_pass(const char *name) {
  for (size_t i = 0; i < PASS_COUNT; i++) {
    if (strcmp(passes[i]->name, name) == 0) return true;
  }
  return false;
}

static bool has_node(const pleat_graph *root, const char *name) {
  for (size_t i = 0; i < root->node_id_count; i++) {
    if (root->all_nodes[i]->graph != NULL && strcmp(root->all_nodes[i]->name, name) == 0) return true;
  }
  return false;
}

static pleat_status check_names(const pleat_graph *graph, const char *const *list, pleat_error *error) {
  for (; list != NULL && *list != NULL; list++) {
    if (is_pass(*list) || has_node(graph->root, *list)) continue;
    return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "there is no pass and no node '%s'", *list);
  }
  return PLEAT_OK;
}

/* A list restricts passes when it names one, and nodes when it names one that is no pass. */
static bool names_any(const char *const *list, bool passes_wanted) {
  for (; *list != NULL; list++) {
    if (is_pass(*list) == passes_wanted) return true;
  }
  return false;
}

static bool is_wanted(const pleat_pass *pass, const pleat_fold_options *options, bool for_session) {
  if (pass->session_only && !for_session) return false;
  if (options->only != NULL && names_any(options->only, true) && !contains(options->only, pass->name)) return false;
  return options->skip == NULL || !contains(options->skip, pass->name);
}

bool pleat_fold_wants(const pleat_pass_context *ctx, const pleat_node *node) {
  const pleat_fold_options *options = ctx->options;
  if (options->only != NULL && names_any(options->only, false) && !contains(options->only, node->name)) return false;
  return options->skip == NULL || !contains(options->skip, node->name);
}

static pleat_status run_round(pleat_pass_context *ctx, const pleat_fold_options *options, bool *out_changed) {
  *out_changed = false;
  for (size_t i = 0; i < PASS_COUNT; i++) {
    bool changed = false;
    if (!is_wanted(passes[i], options, ctx->for_session)) continue;
    ctx->pass = passes[i];
    PLEAT_TRY(passes[i]->run(ctx, &changed));
    *out_changed = *out_changed || changed;
#ifdef PLEAT_DEBUG
    if (changed) PLEAT_TRY(pleat_graph_verify(ctx->graph, ctx->error));
#endif
  }
  return PLEAT_OK;
}

/* Overridable initializers become plain ones. */
static void freeze_inputs(pleat_graph *graph) {
  for (size_t i = graph->input_count; i-- > 0;) {
    if (graph->inputs[i]->is_initializer && graph->inputs[i]->is_input) pleat_graph_remove_input(graph, i);
  }
}

/* What became of the original's values goes with the folded model: an earlier fold's record stays in front. */
static pleat_status write_record(pleat_pass_context *ctx) {
  const char *record = pleat_report_record(ctx->report);
  if (record == NULL) return PLEAT_OOM(ctx->error);
  if (record[0] == '\0') return PLEAT_OK;
  return pleat_graph_append_metadata(ctx->graph, PLEAT_FOLD_RECORD_KEY, record) ? PLEAT_OK : PLEAT_OOM(ctx->error);
}

pleat_status pleat_fold_run(pleat_graph *graph, const pleat_fold_options *options, bool for_session,
                            pleat_fold_report **out_report, pleat_error *error) {
  pleat_status status = PLEAT_OK;
  pleat_fold_options given = PLEAT_FOLD_OPTIONS_INIT;
  pleat_pass_context ctx = {.graph = graph, .options = &given, .for_session = for_session, .error = error};
  bool changed = true;
  if (out_report != NULL) *out_report = NULL;
  if (options != NULL) memcpy(&given, options, options->size < sizeof given ? options->size : sizeof given);
  PLEAT_TRY(check_names(graph, given.only, error));
  PLEAT_TRY(check_names(graph, given.skip, error));
  if (given.freeze_inputs) freeze_inputs(graph);
  PLEAT_TRY(pleat_report_create(graph, &ctx.report, error));
  for (int round = 0; changed && round < ROUND_LIMIT; round++) PLEAT_CHECK(run_round(&ctx, &given, &changed));
  if (!for_session && !given.no_record) PLEAT_CHECK(write_record(&ctx));
  if (out_report != NULL) PLEAT_CHECK(pleat_report_finish(ctx.report, graph, out_report, error));
fail:
  pleat_report_destroy(ctx.report);
  return status;
}

pleat_status pleat_fold_each_graph(pleat_pass_context *ctx, pleat_graph *graph,
                                   pleat_status (*visit)(pleat_pass_context *ctx, pleat_graph *graph, bool *changed),
                                   bool *changed) {
  PLEAT_FOR_NODES(node, graph) {
    for (size_t i = 0; i < node->attr_count; i++) {
      const pleat_attr *attr = &node->attrs[i];
      if (attr->type == PLEAT_ATTR_GRAPH && attr->graph != NULL) {
        PLEAT_TRY(pleat_fold_each_graph(ctx, attr->graph, visit, changed));
      }
      for (size_t k = 0; attr->type == PLEAT_ATTR_GRAPHS && k < attr->count; k++) {
        PLEAT_TRY(pleat_fold_each_graph(ctx, attr->graphs[k], visit, changed));
      }
    }
  }
  return visit(ctx, graph, changed);
}

/* The pipeline: runs the passes of passes.def in order, again and again until a round changes nothing, with the
 * verifier after each pass in debug builds. Also the public folding of a model: import, pipeline, export. */
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

static pleat_status check_names(const char *const *list, pleat_error *error) {
  for (; list != NULL && *list != NULL; list++) {
    size_t i = 0;
    while (i < PASS_COUNT && strcmp(passes[i]->name, *list) != 0) i++;
    if (i == PASS_COUNT) return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "there is no pass '%s'", *list);
  }
  return PLEAT_OK;
}

static bool is_wanted(const pleat_pass *pass, const pleat_fold_options *options, bool for_session) {
  if (pass->session_only && !for_session) return false;
  if (options->only != NULL && !contains(options->only, pass->name)) return false;
  return options->skip == NULL || !contains(options->skip, pass->name);
}

static pleat_status run_round(pleat_pass_context *ctx, const pleat_fold_options *options, bool *out_changed) {
  *out_changed = false;
  for (size_t i = 0; i < PASS_COUNT; i++) {
    bool changed = false;
    if (!is_wanted(passes[i], options, ctx->for_session)) continue;
    PLEAT_TRY(passes[i]->run(ctx, &changed));
    *out_changed = *out_changed || changed;
#ifdef PLEAT_DEBUG
    if (changed) PLEAT_TRY(pleat_graph_verify(ctx->graph, ctx->error));
#endif
  }
  return PLEAT_OK;
}

pleat_status pleat_fold_run(pleat_graph *graph, const pleat_fold_options *options, bool for_session,
                            pleat_fold_report **out_report, pleat_error *error) {
  pleat_status status = PLEAT_OK;
  pleat_fold_options given = PLEAT_FOLD_OPTIONS_INIT;
  pleat_pass_context ctx = {.graph = graph, .for_session = for_session, .error = error};
  bool changed = true;
  if (out_report != NULL) *out_report = NULL;
  if (options != NULL) memcpy(&given, options, options->size < sizeof given ? options->size : sizeof given);
  PLEAT_TRY(check_names(given.only, error));
  PLEAT_TRY(check_names(given.skip, error));
  PLEAT_TRY(pleat_report_create(graph, &ctx.report, error));
  for (int round = 0; changed && round < ROUND_LIMIT; round++) PLEAT_CHECK(run_round(&ctx, &given, &changed));
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

pleat_status pleat_model_fold(const pleat_model *model, const pleat_fold_options *options, pleat_model **out_model,
                              pleat_fold_report **out_report, pleat_error *error) {
  pleat_status status = PLEAT_OK;
  pleat_graph *graph = NULL;
  pleat_fold_report *report = NULL;
  pleat_import_options import = {.inline_functions = false};
  if (out_model != NULL) *out_model = NULL;
  if (out_report != NULL) *out_report = NULL;
  if (model == NULL) return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "NULL argument");
  PLEAT_CHECK(pleat_graph_import(model, &import, &graph, error));
  PLEAT_CHECK(pleat_graph_infer(graph, error));
  PLEAT_CHECK(pleat_fold_run(graph, options, false, &report, error));
  if (out_model != NULL) PLEAT_CHECK(pleat_graph_export(graph, out_model, error));
  if (out_report != NULL) {
    *out_report = report;
    report = NULL;
  }
fail:
  pleat_fold_report_destroy(report);
  pleat_graph_destroy(graph);
  return status;
}

/* The public folding of a model: import, pipeline, export.
 *
 * Functions of the model are left alone, except for those that come to a BatchNormalization: their calls are replaced
 * by their bodies, since what they take as parameters is only known at the call. Where that does not help - nothing in
 * them can be folded, or the body is written for another opset than the model - the functions stay as they are, and the
 * report says of each normalisation in them why. */
#include <string.h>

#include "fold/report.h"

/* One attempt. */
static pleat_status fold_once(const pleat_model *model, const pleat_fold_options *options, bool inline_norms,
                              pleat_model **out_model, pleat_fold_report **out_report, bool *out_inlined,
                              pleat_error *error) {
  pleat_status status = PLEAT_OK;
  pleat_graph *graph = NULL;
  const pleat_import_options import = {.inline_norms = inline_norms};
  PLEAT_CHECK(pleat_graph_import(model, &import, &graph, error));
  *out_inlined = graph->inlined != NULL;
  PLEAT_CHECK(pleat_graph_infer(graph, error));
  PLEAT_CHECK(pleat_fold_run(graph, options, false, out_report, error));
  if (out_model != NULL) PLEAT_CHECK(pleat_graph_export(graph, out_model, error));
fail:
  pleat_graph_destroy(graph);
  return status;
}

pleat_status pleat_model_fold(const pleat_model *model, const pleat_fold_options *options, pleat_model **out_model,
                              pleat_fold_report **out_report, pleat_error *error) {
  pleat_status status = PLEAT_OK;
  pleat_model *folded = NULL;
  pleat_fold_report *report = NULL, *inlined_report = NULL;
  pleat_error inline_error = PLEAT_ERROR_INIT;
  bool inlined = false;
  if (out_model != NULL) *out_model = NULL;
  if (out_report != NULL) *out_report = NULL;
  if (model == NULL) return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "NULL argument");
  /* The model is exported even when only the report is wanted: that shows whether the functions' opsets allow it. */
  status = fold_once(model, options, true, &folded, &report, &inlined, &inline_error);
  const char *why = status != PLEAT_OK ? inline_error.message : "nothing in it can be folded";
  bool is_better = status == PLEAT_OK && report->norms_after < report->norms_before;
  if (inlined && !is_better) {
    pleat_model_release(folded);
    folded = NULL;
    inlined_report = report;
    report = NULL;
    PLEAT_CHECK(fold_once(model, options, false, &folded, &report, &inlined, error));
    PLEAT_CHECK(pleat_report_add_functions(report, inlined_report, why, error));
  } else if (status != PLEAT_OK) {
    if (error != NULL) *error = inline_error;
    goto fail;
  }
  if (out_model != NULL) {
    *out_model = folded;
    folded = NULL;
  }
  if (out_report != NULL) {
    *out_report = report;
    report = NULL;
  }
fail:
  pleat_model_release(folded);
  pleat_fold_report_destroy(report);
  pleat_fold_report_destroy(inlined_report);
  return status;
}

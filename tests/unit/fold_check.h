/* One model, folded: how many nodes and normalisations are left, what the report says of one node, and that all outputs
 * are the same in double as before. For the tests of fold/ by topic. */
#ifndef PLEAT_TESTS_FOLD_CHECK_H
#define PLEAT_TESTS_FOLD_CHECK_H

#include "fold_case.h"

enum { CHECK_INPUTS = 4 };

typedef struct fold_expectation {
  const char *inputs[CHECK_INPUTS]; /* concrete shapes; float, double... as the model says */
  size_t nodes, norms;              /* left */
  const char *node;                 /* NULL: "bn" */
  pleat_fold_action action;
  const char *target; /* FOLDED: into what; NULL: not looked at */
  const char *reason; /* words of the reason; NULL: not looked at */
  const pleat_fold_options *options;
  double tolerance; /* 0: 1e-11 */
} fold_expectation;

static inline size_t outputs_of(const pleat_model *model, const fold_expectation *e, bool no_fold,
                                pleat_tensor **outputs) {
  pleat_tensor *inputs[CHECK_INPUTS] = {NULL};
  const Onnx__GraphProto *graph = model->message->graph;
  pleat_session *session = session_with(model, (pleat_session_options){.no_fold = no_fold});
  const size_t count = pleat_session_input_count(session);
  for (size_t i = 0; i < count; i++) {
    ck_assert_ptr_nonnull(e->inputs[i]);
    const pleat_dtype dtype = (pleat_dtype)graph->input[i]->type->tensor_type->elem_type;
    inputs[i] = noise_tensor(dtype, e->inputs[i], (uint32_t)i + 3);
    for (size_t k = 0; dtype == PLEAT_BOOL && k < inputs[i]->count; k++) ((uint8_t *)inputs[i]->data)[k] = 1;
  }
  run_session(session, inputs, outputs);
  const size_t output_count = pleat_session_output_count(session);
  pleat_session_destroy(session);
  return output_count;
}

static inline void assert_same_outputs(const pleat_model *original, const pleat_model *folded,
                                       const fold_expectation *e) {
  pleat_tensor *expected[16] = {NULL}, *found[16] = {NULL};
  const size_t count = outputs_of(original, e, true, expected);
  const double tolerance = e->tolerance != 0 ? e->tolerance : 1e-11;
  ck_assert_uint_gt(count, 0);
  for (int way = 0; way < 2; way++) { /* the folded file, and a session that folds by itself */
    ck_assert_uint_eq(outputs_of(way == 0 ? folded : original, e, way == 0, found), count);
    for (size_t i = 0; i < count; i++) {
      ck_assert_uint_gt(expected[i]->count, 0);
      assert_same(found[i], expected[i], tolerance);
      pleat_tensor_release(found[i]);
      found[i] = NULL;
    }
  }
  for (size_t i = 0; i < count; i++) pleat_tensor_release(expected[i]);
}

/* Packs `b`; the folded model, for more to look at. */
static inline pleat_model *check_fold_keeping(builder *b, fold_expectation e) {
  pleat_fold_report *report = NULL;
  pleat_model *model = build_model(b), *folded = fold_model(model, e.options, &report);
  const pleat_fold_entry *entry = entry_of_node(report, e.node != NULL ? e.node : "bn");
  ck_assert_msg(entry->action == e.action, "action %d: %s", (int)entry->action, entry->reason);
  if (e.target != NULL) ck_assert_str_eq(entry->target, e.target);
  if (e.reason != NULL) {
    ck_assert_msg(strstr(entry->reason, e.reason) != NULL, "'%s' is not in: %s", e.reason, entry->reason);
  }
  ck_assert_uint_eq(report->norms_after, e.norms);
  ck_assert_msg(report->nodes_after == e.nodes, "%zu nodes are left, expected %zu", report->nodes_after, e.nodes);
  pleat_fold_report_destroy(report);
  assert_same_outputs(model, folded, &e);
  pleat_model *again = fold_model(folded, e.options, NULL);
  assert_same_bytes(folded, again);
  pleat_model_release(again);
  pleat_model_release(model);
  return folded;
}

static inline void check_fold(builder *b, fold_expectation e) {
  pleat_model_release(check_fold_keeping(b, e));
}

/* A model in double with one input. */
static inline builder fold_begin(int64_t opset, const char *x) {
  builder b = build_begin(8, opset);
  model_input(&b, "x", PLEAT_DOUBLE, x);
  return b;
}

/* BatchNormalization `name`: parameters of its own, all scales positive. */
static inline Onnx__NodeProto *fold_bn(builder *b, const char *name, const char *input, const char *output,
                                       int64_t channels) {
  char prefix[32], inputs[256];
  snprintf(prefix, sizeof prefix, "%s_", name);
  snprintf(inputs, sizeof inputs, "%s,%sscale,%sbeta,%smean,%svar", input, prefix, prefix, prefix, prefix);
  add_parameters(b, prefix, PLEAT_DOUBLE, channels);
  return bn_node(b, b->graph, name, inputs, output, b->model->opset_import[0]->version);
}

/* Conv `name` with a weight of its own. */
static inline Onnx__NodeProto *fold_conv(builder *b, const char *name, const char *input, const char *output,
                                         const char *weight) {
  char inputs[128], w[64];
  snprintf(w, sizeof w, "%s_w", name);
  snprintf(inputs, sizeof inputs, "%s,%s", input, w);
  noise_init(b, w, PLEAT_DOUBLE, weight, -1, 1);
  return model_node(b, "Conv", name, inputs, output);
}

static inline void fold_output(builder *b, const char *name) {
  model_output(b, name, PLEAT_DOUBLE, "?");
}

#endif

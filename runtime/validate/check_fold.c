/* The check of a folded model, or of a precision: three sessions - the original, the folded one (or the same in another
 * precision), and the original's float64 oracle - on the same random inputs, output by output. What the original cannot
 * do here is no fault of the fold, and ends the check with UNSUPPORTED; what only the folded model cannot do is a
 * verdict. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "validate/validate_private.h"

enum { DEFAULT_RUNS = 3, DOUBTFUL_RUNS = 24, LIMIT_RUNS = 1000000 };

/* The public report with the memory it points to. */
typedef struct owned_report {
  pleat_check_report report; /* first: what the caller holds */
  pleat_arena *arena;
} owned_report;

typedef struct checker {
  pleat_check_options options;
  pleat_session_options original_options, folded_options;
  const char *folded_name; /* in reasons: "the folded model" */
  bool may_run_more;       /* the caller did not say how often */
  pleat_arena *arena;      /* the report's */
  owned_report *owned;
  pleat_session *original, *folded, *oracle;
  pleat_input_shape *shapes; /* of the original's inputs */
  size_t input_count, output_count;
  pleat_check_output *outputs;
  double tolerance; /* of the narrowest floating-point type among the model's values; 0: there is none */
  pleat_error *error;
} checker;

/* ---- sessions ---- */

static pleat_status open_oracle(const checker *c, const pleat_model *model, pleat_session **out, pleat_error *error) {
  pleat_session_options options = PLEAT_SESSION_OPTIONS_INIT;
  options.threads = c->options.threads;
  options.no_fold = true;
  options.float64 = true;
  return pleat_session_create(model, &options, out, error);
}

/* A failure of the original, or of its oracle: resources and the caller's mistakes are passed on, everything else means
 * that nothing can be said about the fold. */
static pleat_status not_checkable(const checker *c, const char *what, pleat_status status, const pleat_error *cause) {
  char text[900];
  pleat_error_format(cause, text, sizeof text);
  if (status == PLEAT_OUT_OF_MEMORY || status == PLEAT_IO_ERROR) return pleat_fail(c->error, status, "%s", text);
  return pleat_fail(c->error, PLEAT_UNSUPPORTED, "%s does not run here: %s", what, text);
}

/* The verdict on a folded model that does not run, or runs to something else. */
static pleat_status refuse(checker *c, const pleat_error *cause, const char *what) {
  char text[900];
  if (cause != NULL) pleat_error_format(cause, text, sizeof text);
  const char *reason = pleat_arena_printf(c->arena, "%s %s%s%s", c->folded_name, what, cause != NULL ? ": " : "",
                                          cause != NULL ? text : "");
  if (reason == NULL) return PLEAT_OOM(c->error);
  c->owned->report.reason = reason;
  return PLEAT_OK;
}

/* The folded model's inputs and outputs must be the original's; one with a default may be gone. */
static bool same_interface(const checker *c) {
  for (size_t i = 0; i < pleat_session_input_count(c->folded); i++) {
    bool found = false;
    for (size_t k = 0; k < c->input_count; k++) {
      found = found || strcmp(pleat_session_input(c->folded, i)->name, pleat_session_input(c->original, k)->name) == 0;
    }
    if (!found) return false;
  }
  if (pleat_session_output_count(c->folded) != c->output_count) return false;
  for (size_t i = 0; i < c->output_count; i++) {
    if (strcmp(pleat_session_output(c->folded, i)->name, c->outputs[i].name) != 0) return false;
  }
  return true;
}

/* ---- tolerance ---- */

/* A float output of a float16 network is no more exact than float16. */
static pleat_status find_tolerance(checker *c, const pleat_model *model) {
  pleat_model_info *info = NULL;
  PLEAT_TRY(pleat_model_describe(model, NULL, 0, &info, c->error));
  for (size_t i = 0; i < info->node_count; i++) {
    const pleat_node_info *node = &info->nodes[i];
    for (size_t k = 0; k < node->output_count; k++) {
      const double own = pleat_check_tolerance(node->output_infos[k].dtype);
      if (own > c->tolerance) c->tolerance = own;
    }
  }
  pleat_model_info_destroy(info);
  return PLEAT_OK;
}

/* ---- runs ---- */

static void release_all(pleat_tensor **tensors, size_t count) {
  for (size_t i = 0; tensors != NULL && i < count; i++) pleat_tensor_release(tensors[i]);
  free(tensors);
}

static pleat_status make_inputs(const checker *c, const pleat_input_shape *shapes, uint64_t seed,
                                pleat_tensor **out_inputs, pleat_error *error) {
  for (size_t i = 0; i < c->input_count; i++) {
    const pleat_value_info *info = pleat_session_input(c->original, i);
    if (shapes[i].name == NULL) continue;
    PLEAT_TRY(pleat_tensor_make_up(PLEAT_FILL_RANDOM, seed, info->name, info->dtype, shapes[i].rank, shapes[i].dims,
                                   &out_inputs[i], error));
  }
  return PLEAT_OK;
}

/* Runs a session on inputs in the original's order. */
static pleat_status run_session(const checker *c, pleat_session *session, pleat_tensor *const *inputs,
                                pleat_tensor ***out_outputs, pleat_error *error) {
  const size_t input_count = pleat_session_input_count(session);
  pleat_tensor **own = calloc(input_count + 1, sizeof(pleat_tensor *));
  pleat_tensor **outputs = calloc(c->output_count + 1, sizeof(pleat_tensor *));
  pleat_status status = own != NULL && outputs != NULL ? PLEAT_OK : PLEAT_OOM(error);
  for (size_t i = 0; i < input_count && status == PLEAT_OK; i++) {
    const char *name = pleat_session_input(session, i)->name;
    for (size_t k = 0; k < c->input_count; k++) {
      if (strcmp(pleat_session_input(c->original, k)->name, name) == 0) own[i] = inputs[k];
    }
  }
  if (status == PLEAT_OK) status = pleat_session_run(session, own, input_count, outputs, c->output_count, error);
  free(own);
  if (status != PLEAT_OK) {
    release_all(outputs, c->output_count);
    outputs = NULL;
  }
  *out_outputs = outputs;
  return status;
}

/* Shapes on which the original runs, with what comes out of run 0. */
static pleat_status find_shapes(checker *c, pleat_tensor **inputs, pleat_tensor ***out_outputs) {
  pleat_error first = PLEAT_ERROR_INIT;
  pleat_status first_status = PLEAT_OK;
  bool open = true;
  for (size_t i = 0; i < pleat_check_candidates() && open; i++) {
    pleat_error error = PLEAT_ERROR_INIT;
    pleat_status status = pleat_check_shapes(c->arena, c->original, &c->options, i, &c->shapes, &open, &error);
    if (status == PLEAT_INVALID_ARGUMENT) {
      pleat_error_at_tensor(c->error, error.tensor);
      return pleat_fail(c->error, status, "%s", error.message);
    }
    if (status == PLEAT_OK) status = make_inputs(c, c->shapes, c->options.seed, inputs, &error);
    if (status == PLEAT_OK) status = run_session(c, c->original, inputs, out_outputs, &error);
    if (status == PLEAT_OK) return PLEAT_OK;
    for (size_t k = 0; k < c->input_count; k++) {
      pleat_tensor_release(inputs[k]);
      inputs[k] = NULL;
    }
    if (first_status != PLEAT_OK) continue;
    first = error;
    first_status = status;
  }
  return not_checkable(c, "the original", first_status, &first);
}

static void measure(checker *c, pleat_tensor *const *original, pleat_tensor *const *folded,
                    pleat_tensor *const *oracle) {
  for (size_t i = 0; i < c->output_count; i++) {
    pleat_check_output *output = &c->outputs[i];
    if (output->reason != NULL && !output->passed) continue;
    output->passed = pleat_check_measure(c->arena, output, original[i], folded[i], oracle[i]);
  }
}

/* One run of all three; `original` (may be NULL) is what the first one gave already. */
static pleat_status run_all(checker *c, pleat_tensor *const *inputs, pleat_tensor **original) {
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_tensor **folded = NULL, **oracle = NULL;
  pleat_status status = PLEAT_OK;
  if (original == NULL) status = run_session(c, c->original, inputs, &original, &error);
  if (status != PLEAT_OK) {
    status = not_checkable(c, "the original", status, &error);
    goto fail;
  }
  status = run_session(c, c->oracle, inputs, &oracle, &error);
  if (status != PLEAT_OK) {
    status = not_checkable(c, "the float64 oracle", status, &error);
    goto fail;
  }
  status = run_session(c, c->folded, inputs, &folded, &error);
  if (status == PLEAT_OK) measure(c, original, folded, oracle);
  else if (status == PLEAT_OUT_OF_MEMORY) pleat_fail(c->error, status, "%s", error.message);
  else status = refuse(c, &error, "does not run");
fail:
  release_all(original, c->output_count);
  release_all(folded, c->output_count);
  release_all(oracle, c->output_count);
  return status;
}

static double tolerance_of(const checker *c, const pleat_check_output *output) {
  return c->options.tolerance > 0 ? c->options.tolerance : fmax(c->tolerance, pleat_check_tolerance(output->dtype));
}

/* Whether an output misses its limit by no more than luck may explain, where that limit is twice the original's error:
 * of a few inputs, often a single element has the largest (a saturated Sigmoid's, whose values span powers of ten). */
static bool is_doubtful(const checker *c) {
  const double luck = 4;
  bool is_missed = false;
  for (size_t i = 0; i < c->output_count; i++) {
    const pleat_check_output *output = &c->outputs[i];
    const double limit = pleat_check_limit(output, tolerance_of(c, output));
    if (output->folded.max_abs <= limit) continue;
    if (!(output->folded.max_abs <= luck * limit) || limit > 2 * output->original.max_abs) return false;
    is_missed = true;
  }
  return is_missed;
}

static pleat_status run_times(checker *c) {
  pleat_status status = PLEAT_OK;
  pleat_tensor **inputs = calloc(c->input_count + 1, sizeof(pleat_tensor *)), **outputs = NULL;
  if (inputs == NULL) return PLEAT_OOM(c->error);
  status = find_shapes(c, inputs, &outputs);
  for (int i = 0; i < c->options.runs && status == PLEAT_OK && c->owned->report.reason == NULL; i++) {
    if (i > 0) {
      for (size_t k = 0; k < c->input_count; k++) {
        pleat_tensor_release(inputs[k]);
        inputs[k] = NULL;
      }
      status = make_inputs(c, c->shapes, c->options.seed + (uint64_t)i, inputs, c->error);
    }
    if (status == PLEAT_OK) status = run_all(c, inputs, outputs);
    outputs = NULL;
    if (c->may_run_more && i + 1 == DEFAULT_RUNS && is_doubtful(c)) c->options.runs = DOUBTFUL_RUNS;
  }
  release_all(inputs, c->input_count);
  return status;
}

/* ---- the report ---- */

static pleat_status list_outputs(checker *c) {
  c->input_count = pleat_session_input_count(c->original);
  c->output_count = pleat_session_output_count(c->original);
  c->outputs = pleat_arena_array(c->arena, c->output_count, sizeof *c->outputs);
  if (c->outputs == NULL) return PLEAT_OOM(c->error);
  for (size_t i = 0; i < c->output_count; i++) {
    const pleat_value_info *info = pleat_session_output(c->original, i);
    c->outputs[i].name = pleat_arena_strdup(c->arena, info->name);
    c->outputs[i].dtype = info->dtype;
    if (c->outputs[i].name == NULL) return PLEAT_OOM(c->error);
  }
  return PLEAT_OK;
}

/* The shapes that were used, in memory of the report. */
static pleat_status list_inputs(checker *c) {
  pleat_check_report *report = &c->owned->report;
  pleat_input_shape *inputs = pleat_arena_array(c->arena, c->input_count, sizeof *inputs);
  if (inputs == NULL) return PLEAT_OOM(c->error);
  for (size_t i = 0; i < c->input_count; i++) {
    const pleat_input_shape *shape = &c->shapes[i];
    if (shape->name == NULL) continue;
    int64_t *dims = pleat_arena_array(c->arena, (size_t)shape->rank, sizeof *dims);
    const char *name = pleat_arena_strdup(c->arena, shape->name);
    if (dims == NULL || name == NULL) return PLEAT_OOM(c->error);
    if (shape->rank > 0) memcpy(dims, shape->dims, (size_t)shape->rank * sizeof *dims);
    inputs[report->input_count++] = (pleat_input_shape){.name = name, .rank = shape->rank, .dims = dims};
  }
  report->inputs = inputs;
  return PLEAT_OK;
}

static pleat_status conclude(checker *c) {
  pleat_check_report *report = &c->owned->report;
  report->runs = c->options.runs;
  report->seed = c->options.seed;
  report->outputs = c->outputs;
  report->output_count = c->output_count;
  for (size_t i = 0; i < c->output_count; i++) {
    pleat_check_output *output = &c->outputs[i];
    if (output->reason == NULL || output->passed) pleat_check_judge(c->arena, output, tolerance_of(c, output));
    if (output->passed || report->reason != NULL) continue;
    report->reason = pleat_arena_printf(c->arena, "output '%s': %s", output->name, output->reason);
    if (report->reason == NULL) return PLEAT_OOM(c->error);
  }
  report->passed = report->reason == NULL;
  if (report->passed) report->reason = "";
  return PLEAT_OK;
}

static pleat_status check(checker *c, const pleat_model *original, const pleat_model *folded) {
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_status status = pleat_session_create(original, &c->original_options, &c->original, &error);
  if (status == PLEAT_OK) status = open_oracle(c, original, &c->oracle, &error);
  if (status != PLEAT_OK) return not_checkable(c, "the original", status, &error);
  PLEAT_TRY(list_outputs(c));
  PLEAT_TRY(find_tolerance(c, original));
  status = pleat_session_create(folded, &c->folded_options, &c->folded, &error);
  if (status == PLEAT_OUT_OF_MEMORY) return pleat_fail(c->error, status, "%s", error.message);
  if (status != PLEAT_OK) {
    PLEAT_TRY(refuse(c, &error, "cannot be run"));
  } else if (!same_interface(c)) {
    PLEAT_TRY(refuse(c, NULL, "has other inputs or outputs than the original"));
  } else {
    PLEAT_TRY(run_times(c));
    PLEAT_TRY(list_inputs(c));
  }
  return conclude(c);
}

/* Reads the caller's options into those of `c`, checks, and hands out the report. */
static pleat_status run_check(checker *c, const pleat_model *original, const pleat_model *folded,
                              const pleat_check_options *options, pleat_check_report **out_report) {
  if (options != NULL) {
    memcpy(&c->options, options, options->size < sizeof c->options ? options->size : sizeof c->options);
  }
  if (c->options.runs < 0 || c->options.runs > LIMIT_RUNS ||
      (c->options.shapes == NULL && c->options.shape_count > 0) || !(c->options.tolerance >= 0)) {
    return pleat_fail(c->error, PLEAT_INVALID_ARGUMENT,
                      "runs is %d and tolerance %g: expected 0 to %d runs, and a tolerance of at least 0",
                      c->options.runs, c->options.tolerance, LIMIT_RUNS);
  }
  c->may_run_more = c->options.runs == 0;
  if (c->may_run_more) c->options.runs = DEFAULT_RUNS;
  c->original_options.threads = c->folded_options.threads = c->options.threads;
  c->arena = pleat_arena_create();
  c->owned = c->arena != NULL ? pleat_arena_alloc(c->arena, sizeof *c->owned) : NULL;
  pleat_status status = c->owned != NULL ? check(c, original, folded) : PLEAT_OOM(c->error);
  pleat_session_destroy(c->original);
  pleat_session_destroy(c->folded);
  pleat_session_destroy(c->oracle);
  if (status != PLEAT_OK) {
    pleat_arena_destroy(c->arena);
    return status;
  }
  c->owned->arena = c->arena;
  *out_report = &c->owned->report;
  return PLEAT_OK;
}

pleat_status pleat_model_check_fold(const pleat_model *original, const pleat_model *folded,
                                    const pleat_check_options *options, pleat_check_report **out_report,
                                    pleat_error *error) {
  checker c = {.options = PLEAT_CHECK_OPTIONS_INIT, .error = error, .folded_name = "the folded model"};
  if (original == NULL || folded == NULL || out_report == NULL) {
    return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "NULL argument");
  }
  *out_report = NULL;
  c.original_options = c.folded_options = (pleat_session_options)PLEAT_SESSION_OPTIONS_INIT;
  c.original_options.no_fold = c.folded_options.no_fold = true;
  return run_check(&c, original, folded, options, out_report);
}

pleat_status pleat_model_check_precision(const pleat_model *model, const pleat_session_options *session,
                                         const pleat_check_options *options, pleat_check_report **out_report,
                                         pleat_error *error) {
  checker c = {.options = PLEAT_CHECK_OPTIONS_INIT, .error = error, .folded_name = "the model in this precision"};
  if (model == NULL || session == NULL || out_report == NULL) {
    return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "NULL argument");
  }
  *out_report = NULL;
  c.folded_options = (pleat_session_options)PLEAT_SESSION_OPTIONS_INIT;
  memcpy(&c.folded_options, session, session->size < sizeof *session ? session->size : sizeof *session);
  c.folded_options.size = sizeof *session;
  c.folded_options.taps = NULL;
  c.original_options = c.folded_options;
  c.original_options.precision = PLEAT_PRECISION_FP32;
  if (c.folded_options.precision == PLEAT_PRECISION_BF16) c.tolerance = pleat_check_tolerance(PLEAT_BFLOAT16);
  pleat_session *probe = NULL; /* what is wrong with the options is the caller's to know, and no verdict */
  PLEAT_TRY(pleat_session_create(model, &c.folded_options, &probe, error));
  pleat_session_destroy(probe);
  return run_check(&c, model, model, options, out_report);
}

void pleat_check_report_destroy(pleat_check_report *report) {
  if (report != NULL) pleat_arena_destroy(((owned_report *)(void *)report)->arena);
}

/* Creating sessions: import with functions inlined, refuse what nothing here runs, make taps outputs, fold, and
 * describe inputs and outputs. Plans are made when the first shapes come. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/parallel.h"
#include "fold/fold.h"
#include "session/session_private.h"

static int available_cores(void) {
  long count = sysconf(_SC_NPROCESSORS_ONLN);
  return count < 1 ? 1 : count > 256 ? 256 : (int)count;
}

static pleat_status refuse_unsupported(pleat_graph *graph, pleat_error *error) {
  char text[900] = "";
  size_t used = 0;
  const char *const *list = NULL;
  size_t count = pleat_graph_unsupported(graph, &list);
  for (size_t i = 0; i < count && used < sizeof text - 1; i++) {
    size_t space = sizeof text - used, length = strlen(list[i]);
    if (used > 0 && space > 2) {
      memcpy(text + used, "; ", 3);
      used += 2;
      space -= 2;
    }
    if (length >= space) length = space - 1;
    memcpy(text + used, list[i], length);
    used += length;
    text[used] = '\0';
  }
  if (count == 0) return PLEAT_OK;
  return pleat_fail(error, PLEAT_UNSUPPORTED, "%zu operator%s not supported: %s", count, count == 1 ? " is" : "s are",
                    text);
}

/* Why a name is no tap: none at all, or a value that may exist many times in a run, or never. */
static pleat_status refuse_tap(const pleat_graph *graph, const char *name, pleat_error *error) {
  char label[256];
  for (size_t i = 0; i < graph->value_count; i++) {
    const pleat_value *value = graph->all_values[i];
    if (value->graph == graph || value->graph == NULL || strcmp(value->name, name) != 0) continue;
    return pleat_fail_tensor(error, name, PLEAT_UNSUPPORTED,
                             "it is inside of a body of node '%s': only values of the main graph can be tapped",
                             pleat_node_label(value->graph->owner, label, sizeof label));
  }
  return pleat_fail_tensor(error, name, PLEAT_INVALID_ARGUMENT,
                           "the tap names no value of the graph; `pleat info --nodes` lists them");
}

static pleat_status add_taps(pleat_graph *graph, const char *const *taps, pleat_error *error) {
  for (size_t i = 0; taps != NULL && taps[i] != NULL; i++) {
    pleat_value *value = pleat_graph_find(graph, taps[i]);
    if (value == NULL) return refuse_tap(graph, taps[i], error);
    if (!value->is_output && !pleat_graph_add_output(graph, value)) return PLEAT_OOM(error);
  }
  return PLEAT_OK;
}

static void fill_info(const pleat_value *value, pleat_value_info *info) {
  *info = (pleat_value_info){.name = value->name,
                             .kind = value->kind,
                             .dtype = value->dtype,
                             .rank = value->shape.rank,
                             .dims = value->shape.dims,
                             .has_default = value->is_input && value->is_initializer};
}

/* Those that must be given, then those with a default. */
static pleat_status list_inputs(pleat_session *session, pleat_error *error) {
  pleat_graph *graph = session->graph;
  session->inputs = pleat_arena_array(graph->arena, graph->input_count, sizeof *session->inputs);
  session->input_infos = pleat_arena_array(graph->arena, graph->input_count, sizeof *session->input_infos);
  if (session->inputs == NULL || session->input_infos == NULL) return PLEAT_OOM(error);
  for (int with_default = 0; with_default < 2; with_default++) {
    for (size_t i = 0; i < graph->input_count; i++) {
      pleat_value *value = graph->inputs[i];
      bool overridable = value->is_initializer;
      if (overridable && graph->ir_version < 4) continue; /* merely listed */
      if (overridable != (with_default == 1)) continue;
      fill_info(value, &session->input_infos[session->input_count]);
      session->inputs[session->input_count++] = value;
    }
  }
  return PLEAT_OK;
}

/* The model's outputs, then taps that were not outputs already. */
static pleat_status list_outputs(pleat_session *session, pleat_error *error) {
  pleat_graph *graph = session->graph;
  session->outputs = pleat_arena_array(graph->arena, graph->output_count, sizeof *session->outputs);
  session->output_infos = pleat_arena_array(graph->arena, graph->output_count, sizeof *session->output_infos);
  if (session->outputs == NULL || session->output_infos == NULL) return PLEAT_OOM(error);
  for (size_t i = 0; i < graph->output_count; i++) {
    fill_info(graph->outputs[i], &session->output_infos[i]);
    session->outputs[i] = graph->outputs[i];
  }
  session->output_count = graph->output_count;
  return PLEAT_OK;
}

static pleat_status compile(pleat_session *session, const pleat_session_options *options, pleat_error *error) {
  pleat_import_options import = {.inline_functions = true};
  PLEAT_TRY(pleat_graph_import(session->model, &import, &session->graph, error));
  PLEAT_TRY(refuse_unsupported(session->graph, error));
  session->model_output_count = session->graph->output_count;
  PLEAT_TRY(add_taps(session->graph, options->taps, error));
  PLEAT_TRY(pleat_graph_infer(session->graph, error));
  PLEAT_TRY(list_inputs(session, error)); /* with the model's types, which the oracle is about to replace */
  if (options->float64) {
    PLEAT_TRY(pleat_graph_promote(session->graph, error));
    PLEAT_TRY(pleat_graph_infer(session->graph, error));
  } else if (!options->no_fold) {
    bool widened;
    PLEAT_TRY(pleat_graph_widen_halves(session->graph, &widened, error));
    if (widened) PLEAT_TRY(pleat_graph_infer(session->graph, error));
    PLEAT_TRY(pleat_fold_run(session->graph, NULL, true, NULL, error));
    pleat_graph_give_back(session->graph);
  }
  return list_outputs(session, error);
}

/* bfloat16 is what the user asked for: without the means for it, that is an error and nothing else is done instead. */
static pleat_status check_precision(const pleat_session_options *options, pleat_error *error) {
  if (options->precision == PLEAT_PRECISION_FP32) return PLEAT_OK;
  if (options->precision != PLEAT_PRECISION_BF16)
    return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "there is no precision %d", (int)options->precision);
  if (options->float64) return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "the float64 oracle has no other precision");
  const char *missing = pleat_op_no_bf16();
  return missing == NULL ? PLEAT_OK : pleat_fail(error, PLEAT_UNSUPPORTED, "%s: use fp32", missing);
}

pleat_status pleat_session_create(const pleat_model *model, const pleat_session_options *options,
                                  pleat_session **out_session, pleat_error *error) {
  pleat_session_options given = PLEAT_SESSION_OPTIONS_INIT;
  if (model == NULL || out_session == NULL) return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "NULL argument");
  *out_session = NULL;
  if (options != NULL) {
    size_t size = options->size < sizeof given ? options->size : sizeof given;
    memcpy(&given, options, size);
  }
  if (given.threads < 0 || given.threads > 256) {
    return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "threads is %d: expected 0 (all cores) to 256", given.threads);
  }
  if (given.part_samples < 0)
    return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "part_samples is %lld: expected 0 (as a rule says) or more",
                      (long long)given.part_samples);
  PLEAT_TRY(check_precision(&given, error));
  pleat_session *session = calloc(1, sizeof *session);
  if (session == NULL) return PLEAT_OOM(error);
  if (pthread_mutex_init(&session->lock, NULL) != 0) {
    free(session);
    return pleat_fail(error, PLEAT_OUT_OF_MEMORY, "cannot make a lock");
  }
  session->model = pleat_model_retain((pleat_model *)(uintptr_t)model);
  session->threads = given.threads > 0 ? given.threads : available_cores();
  pleat_parallel_retain(session->threads);
  session->profile = given.profile;
  session->keep_all = given.no_fold || given.float64;
  session->exact = given.exact;
  session->bf16 = given.precision == PLEAT_PRECISION_BF16;
  session->part_samples = given.part_samples;
  session->float64 = given.float64;
  pleat_status status = compile(session, &given, error);
  if (status == PLEAT_OK && given.tune) status = pleat_tuner_create(given.tune_cache, &session->tuner, error);
  if (status != PLEAT_OK) {
    pleat_session_destroy(session);
    return status;
  }
  *out_session = session;
  return PLEAT_OK;
}

void pleat_session_destroy(pleat_session *session) {
  if (session == NULL) return;
  pleat_session_destroy_plans(session);
  pleat_tuner_destroy(session->tuner);
  pleat_graph_destroy(session->graph);
  pleat_model_release(session->model);
  pleat_parallel_release();
  pthread_mutex_destroy(&session->lock);
  free(session);
}

void pleat_session_tuning(pleat_session *session, pleat_tuning_info *out_info) {
  *out_info = (pleat_tuning_info){.path = "", .warning = ""};
  if (session->tuner == NULL) return;
  pthread_mutex_lock(&session->lock);
  pleat_tuner_describe(session->tuner, out_info);
  pthread_mutex_unlock(&session->lock);
}

size_t pleat_session_input_count(const pleat_session *session) {
  return session->input_count;
}
size_t pleat_session_output_count(const pleat_session *session) {
  return session->output_count;
}

const pleat_value_info *pleat_session_input(const pleat_session *session, size_t index) {
  return index < session->input_count ? &session->input_infos[index] : NULL;
}

const pleat_value_info *pleat_session_output(const pleat_session *session, size_t index) {
  return index < session->output_count ? &session->output_infos[index] : NULL;
}

/* pleat run: runs a model once and shows what comes out.
 *
 * Inputs come from files, are made up, or are the model's defaults (inputs.c); results are summed up (results.c),
 * saved (save.c) and written as JSON. With --profile the model runs several times, and the outputs shown are the last
 * run's. Files are written only after the run was good. */
#include <stdlib.h>
#include <string.h>

#include "inputs.h"
#include "profile.h"
#include "results.h"
#include "session.h"
#include "text.h"

enum { PROFILE_RUNS = 5 };

typedef struct run_args {
  cli_args base;
  cli_list inputs, shapes, taps;
  const char *output, *json;
  int top, threads;
  bool no_fold, profile;
  session_args session;
} run_args;

static const cli_option options[] = {
    {"input", 'i', "NAME=SOURCE", CLI_LIST, offsetof(run_args, inputs), "data of an input (repeatable); see above", 0,
     0},
    {"shape", 0, "NAME=SHAPE", CLI_LIST, offsetof(run_args, shapes),
     "shape of a made-up input, such as x=1x3x224x224 (repeatable)", 0, 0},
    {"output", 'o', "PATH", CLI_STRING, offsetof(run_args, output),
     "write every output: NAME.npy to the folder PATH, or all to PATH.npz", 0, 0},
    {"tap", 0, "NAME", CLI_LIST, offsetof(run_args, taps), "show this intermediate value as well (repeatable)", 0, 0},
    {"top", 0, "K", CLI_INT, offsetof(run_args, top), "show the K best classes of each output's last axis", 1, 100000},
    {"threads", 0, "N", CLI_INT, offsetof(run_args, threads), "threads (default 0: all cores)", 0, 1024},
    {"no-fold", 0, NULL, CLI_FLAG, offsetof(run_args, no_fold), "run the graph as it is in the file", 0, 0},
    {"profile", 0, NULL, CLI_FLAG, offsetof(run_args, profile), "run 5 times and show the time of every node", 0, 0},
    SESSION_OPTIONS(run_args, session),
    {"json", 0, "FILE", CLI_STRING, offsetof(run_args, json), "write the results as JSON ('-': standard output)", 0, 0},
    {0},
};

static int write_json(const cli *cli, const run_args *args, const results *results, const pleat_plan_info *plan,
                      uint64_t run_ns) {
  pleat_error error = PLEAT_ERROR_INIT;
  cJSON *outputs = NULL;
  if (results_json(results, args->top, &outputs, &error) != PLEAT_OK) return cli_fail(cli, &error);
  cJSON *json = json_object();
  json_add_string(json, "model", args->base.operands.items[0]);
  json_add_number(json, "run_ms", (double)run_ns / 1e6);
  json_add(json, "outputs", outputs);
  if (plan) json_add(json, "profile", profile_json(plan));
  pleat_status status = files_write_json(args->json, json, &error);
  cJSON_Delete(json);
  return status == PLEAT_OK ? CLI_OK : cli_fail(cli, &error);
}

static int show(const cli *cli, const run_args *args, const results *results, const pleat_plan_info *plan,
                uint64_t run_ns) {
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_status status = results_print(results, cli->text, &error);
  if (status == PLEAT_OK && args->top) status = results_print_top(results, args->top, cli->text, &error);
  if (status != PLEAT_OK) return cli_fail(cli, &error);
  if (plan) {
    putc('\n', cli->text);
    profile_print(plan, cli->text);
  }
  int result = args->output ? results_save(cli, results, args->output) : CLI_OK;
  if (result == CLI_OK && args->json) result = write_json(cli, args, results, plan, run_ns);
  return result;
}

static void release_all(pleat_tensor **tensors, size_t count) {
  for (size_t i = 0; i < count; i++) {
    pleat_tensor_release(tensors[i]);
    tensors[i] = NULL;
  }
}

/* Runs as often as asked; the outputs of the last run stay. */
static pleat_status run_times(const loaded *loaded, const input_list *inputs, int runs, results *results,
                              uint64_t *out_ns, pleat_error *error) {
  pleat_status status = PLEAT_OK;
  for (int i = 0; i < runs && status == PLEAT_OK; i++) {
    release_all(results->tensors, results->count);
    uint64_t start = clock_ns();
    status =
        pleat_session_run(loaded->session, inputs->tensors, inputs->count, results->tensors, results->count, error);
    *out_ns = clock_ns() - start;
  }
  return status;
}

static int run_loaded(const cli *cli, const run_args *args, const loaded *loaded) {
  input_list inputs = {0};
  int result = inputs_make(cli, loaded->session, &args->inputs, &args->shapes, false, &inputs);
  if (result != CLI_OK) return result;
  size_t count = pleat_session_output_count(loaded->session);
  results results = {.count = count};
  results.names = cli_calloc(count, sizeof *results.names);
  results.tensors = cli_calloc(count, sizeof *results.tensors);
  for (size_t i = 0; i < count; i++) results.names[i] = pleat_session_output(loaded->session, i)->name;
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_plan_info *plan = NULL;
  shape_list shapes = {0};
  uint64_t run_ns = 0;
  pleat_status status = run_times(loaded, &inputs, args->profile ? PROFILE_RUNS : 1, &results, &run_ns, &error);
  session_note_tuning(cli, loaded->session);
  if (status == PLEAT_OK && args->profile) {
    shapes_of_tensors(loaded->session, inputs.tensors, &shapes);
    status = pleat_session_plan(loaded->session, shapes.items, shapes.count, &plan, &error);
  }
  result = status == PLEAT_OK ? show(cli, args, &results, plan, run_ns) : cli_fail(cli, &error);
  shapes_deinit(&shapes);
  pleat_plan_info_destroy(plan);
  release_all(results.tensors, count);
  free(results.tensors);
  free(results.names);
  inputs_deinit(&inputs);
  return result;
}

static int run(cli *cli, const void *arguments) {
  const run_args *args = arguments;
  if (args->json && strcmp(args->json, "-") == 0) cli->text = stderr;
  if (args->output && (files_has_suffix(args->output, ".npy") || files_has_suffix(args->output, ".pb")))
    return cli_usage(cli, "-o takes a folder (one .npy an output) or a FILE.npz, found '%s'", args->output);
  pleat_session_options session_options = PLEAT_SESSION_OPTIONS_INIT;
  session_options.threads = args->threads;
  session_options.no_fold = args->no_fold;
  int result = session_args_apply(cli, &args->session, &session_options);
  if (result != CLI_OK) return result;
  session_options.profile = args->profile;
  session_options.taps = args->taps.items;
  loaded loaded;
  result = loaded_init(cli, args->base.operands.items[0], &session_options, &loaded);
  if (result != CLI_OK) return result;
  result = run_loaded(cli, args, &loaded);
  loaded_deinit(&loaded);
  return result;
}

const cli_verb cli_verb_run = {
    .name = "run",
    .synopsis = "MODEL [-i NAME=SOURCE]... [options]",
    .summary = "run a model on data and show, or save, its outputs",
    .description =
        "Runs MODEL once and prints each output: type, shape, min, max, mean and the first values.\n\n" INPUTS_HELP,
    .examples = "  pleat run mnist.onnx -i random --top 3\n"
                "  pleat run resnet50.onnx -i data=photo.npy --top 5\n"
                "  pleat run detector.onnx -i inputs.npz -o outputs.npz\n"
                "  pleat run resnet50.onnx -i data=random:7@8x3x224x224 --profile\n",
    .options = options,
    .min_operands = 1,
    .max_operands = 1,
    .missing_operand = "the MODEL to run",
    .args_size = sizeof(run_args),
    .run = run,
};

/* pleat info: what a model is, what it costs, and which kernels would run it. Nothing is run.
 *
 * Invariant: a model that cannot be compiled (an unknown operator, shapes that do not fit) is still described; why it
 * would not run is part of the answer. With --shape it is described once more, after the names were checked against
 * the model as it is. */
#include <stdlib.h>
#include <string.h>

#include "info.h"
#include "session.h"

typedef struct info_args {
  cli_args base;
  cli_list shapes;
  const char *json;
  bool nodes, kernels, no_fold;
  int threads;
  session_args session;
} info_args;

static const cli_option options[] = {
    {"shape", 0, "NAME=SHAPE", CLI_LIST, offsetof(info_args, shapes),
     "shape of an input, such as x=1x3x224x224 (repeatable)", 0, 0},
    {"nodes", 0, NULL, CLI_FLAG, offsetof(info_args, nodes), "list the nodes with the shapes of their outputs", 0, 0},
    {"kernels", 0, NULL, CLI_FLAG, offsetof(info_args, kernels),
     "list the steps that would run, their kernels, and why others declined", 0, 0},
    {"threads", 0, "N", CLI_INT, offsetof(info_args, threads), "plan for so many threads (default 0: all cores)", 0,
     1024},
    {"no-fold", 0, NULL, CLI_FLAG, offsetof(info_args, no_fold), "plan the graph as it is in the file", 0, 0},
    SESSION_OPTIONS(info_args, session),
    {"json", 0, "FILE", CLI_STRING, offsetof(info_args, json), "write it as JSON ('-': standard output)", 0, 0},
    {0},
};

static int more_first(const void *left, const void *right) {
  const op_count *a = left, *b = right;
  if (a->count != b->count) return a->count > b->count ? -1 : 1;
  int order = strcmp(a->op_type, b->op_type);
  return order ? order : strcmp(a->domain, b->domain);
}

static int by_operator(const void *left, const void *right) {
  const pleat_node_info *a = *(const pleat_node_info *const *)left, *b = *(const pleat_node_info *const *)right;
  int order = strcmp(a->op_type, b->op_type);
  return order ? order : strcmp(a->domain, b->domain);
}

op_count *info_count_operators(const pleat_model_info *info, size_t *out_count) {
  op_count *counts = cli_calloc(info->node_count, sizeof *counts);
  const pleat_node_info **nodes = cli_calloc(info->node_count, sizeof *nodes);
  for (size_t i = 0; i < info->node_count; i++) nodes[i] = &info->nodes[i];
  qsort(nodes, info->node_count, sizeof *nodes, by_operator);
  *out_count = 0;
  for (size_t i = 0; i < info->node_count; i++) {
    if (i == 0 || by_operator(&nodes[i - 1], &nodes[i]) != 0)
      counts[(*out_count)++] = (op_count){.domain = nodes[i]->domain, .op_type = nodes[i]->op_type};
    counts[*out_count - 1].count++;
  }
  qsort(counts, *out_count, sizeof *counts, more_first);
  free((void *)nodes);
  return counts;
}

const pleat_model_info *info_costs(const facts *facts) {
  return facts->planned ? facts->planned : facts->info;
}

const char *info_domain(const char *domain) {
  return *domain ? domain : "ai.onnx";
}

/* ---- gathering ---- */

/* Describes with the given shapes. Names are checked against the model first, so that a misspelt one gets a hint. */
static int describe(const cli *cli, const info_args *args, facts *facts, shape_list *out_shapes) {
  pleat_error error = PLEAT_ERROR_INIT;
  if (pleat_model_describe(facts->model, NULL, 0, &facts->info, &error) != PLEAT_OK) {
    cli_error_at(&error, facts->path);
    return cli_fail(cli, &error);
  }
  if (args->shapes.count == 0) return CLI_OK;
  const pleat_value_info **infos = cli_calloc(facts->info->input_count, sizeof *infos);
  for (size_t i = 0; i < facts->info->input_count; i++) infos[i] = &facts->info->inputs[i];
  pleat_model_info *shaped = NULL;
  int result = shapes_parse(cli, &args->shapes, infos, facts->info->input_count, out_shapes);
  if (result == CLI_OK &&
      pleat_model_describe(facts->model, out_shapes->items, out_shapes->count, &shaped, &error) != PLEAT_OK) {
    cli_error_at(&error, facts->path);
    result = cli_fail(cli, &error);
  }
  free((void *)infos);
  if (result != CLI_OK) return result;
  facts->unshaped = facts->info; /* the shapes' names are its */
  facts->info = shaped;
  return CLI_OK;
}

/* Compiles and plans; a model that cannot be has its reason kept. */
static int plan(const cli *cli, const info_args *args, facts *facts, const shape_list *shapes) {
  pleat_session_options session_options = PLEAT_SESSION_OPTIONS_INIT;
  session_options.threads = args->threads;
  session_options.no_fold = args->no_fold;
  const int result = session_args_apply(cli, &args->session, &session_options);
  if (result != CLI_OK) return result;
  facts->plan_error = (pleat_error)PLEAT_ERROR_INIT;
  pleat_status status = pleat_session_create(facts->model, &session_options, &facts->session, &facts->plan_error);
  if (status == PLEAT_OK)
    pleat_session_plan(facts->session, shapes->items, shapes->count, &facts->plan, &facts->plan_error);
  return CLI_OK;
}

/* Describes once more with the shapes that the plan took for granted, so that its costs are told. */
static void describe_planned(facts *facts, const shape_list *given) {
  shapes_assumed(facts->session, given, &facts->assumed);
  if (facts->assumed.count == 0) return;
  const size_t count = given->count + facts->assumed.count;
  pleat_input_shape *all = cli_calloc(count, sizeof *all);
  for (size_t i = 0; i < count; i++)
    all[i] = i < given->count ? given->items[i] : facts->assumed.items[i - given->count];
  pleat_model_describe(facts->model, all, count, &facts->planned, NULL);
  free(all);
}

static int show(const cli *cli, const info_args *args, const facts *facts) {
  pleat_error error = PLEAT_ERROR_INIT;
  info_print(facts, args->nodes, args->kernels, cli->text);
  if (!args->json) return CLI_OK;
  cJSON *json = info_json(facts, args->nodes, args->kernels);
  pleat_status status = files_write_json(args->json, json, &error);
  cJSON_Delete(json);
  return status == PLEAT_OK ? CLI_OK : cli_fail(cli, &error);
}

static int run(cli *cli, const void *arguments) {
  const info_args *args = arguments;
  if (args->json && strcmp(args->json, "-") == 0) cli->text = stderr;
  pleat_error error = PLEAT_ERROR_INIT;
  facts facts = {.path = args->base.operands.items[0], .precision = args->session.precision};
  shape_list shapes = {0};
  if (pleat_model_load(facts.path, &facts.model, &error) != PLEAT_OK) return cli_fail(cli, &error);
  warn_of_model(cli, facts.model, facts.path);
  facts.file_bytes = files_size(facts.path);
  int result = describe(cli, args, &facts, &shapes);
  if (result == CLI_OK) result = plan(cli, args, &facts, &shapes);
  if (result == CLI_OK) {
    if (facts.session) session_note_tuning(cli, facts.session);
    if (facts.plan) describe_planned(&facts, &shapes);
    result = show(cli, args, &facts);
  }
  shapes_deinit(&shapes);
  shapes_deinit(&facts.assumed);
  pleat_plan_info_destroy(facts.plan);
  pleat_session_destroy(facts.session);
  pleat_model_info_destroy(facts.planned);
  pleat_model_info_destroy(facts.unshaped);
  pleat_model_info_destroy(facts.info);
  pleat_model_release(facts.model);
  return result;
}

const cli_verb cli_verb_info = {
    .name = "info",
    .synopsis = "MODEL [options]",
    .summary = "describe a model: inputs, operators, costs, kernels",
    .description =
        "Describes MODEL without running it: versions, inputs and outputs, operators, parameters, multiply-adds,\n"
        "memory for weights and activations, and what is not supported. Multiply-adds, activation memory and\n"
        "steps are those of the given shapes, with 1 for unknown dimensions.\n",
    .examples = "  pleat info model.onnx\n"
                "  pleat info model.onnx --shape data=1x3x224x224 --nodes\n"
                "  pleat info model.onnx --kernels\n",
    .options = options,
    .min_operands = 1,
    .max_operands = 1,
    .missing_operand = "the MODEL to describe",
    .args_size = sizeof(info_args),
    .run = run,
};

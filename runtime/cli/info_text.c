/* A model's description as aligned text.
 *
 * All that comes from the model goes through a text_table, which drops control characters. What cannot be counted for
 * want of shapes says so, with the --shape option that would help. */
#include <inttypes.h>
#include <stdlib.h>

#include "cli.h"
#include "info.h"

static void print_values(text_table *table, const char *what, const pleat_value_info *values, size_t count) {
  char type[TEXT_TYPE];
  for (size_t i = 0; i < count; i++) {
    text_table_cell(table, "%s", what);
    text_table_cell(table, "%s  %s%s", values[i].name, text_value_type(&values[i], type),
                    values[i].has_default ? " (has a default)" : "");
  }
}

static void print_line(text_table *table, const char *what, const char *value) {
  if (!*value) return;
  text_table_cell(table, "%s", what);
  text_table_cell(table, "%s", value);
}

static void print_identity(text_table *table, const facts *facts) {
  const pleat_model_info *info = facts->info;
  char size[TEXT_NUMBER];
  text_table_cell(table, "file");
  text_table_cell(table, "%s (%s)", facts->path, text_bytes(facts->file_bytes, size));
  print_line(table, "graph", info->graph_name);
  if (*info->producer_name) {
    text_table_cell(table, "producer");
    text_table_cell(table, "%s%s%s", info->producer_name, *info->producer_version ? " " : "", info->producer_version);
  }
  print_line(table, "domain", info->domain);
  print_line(table, "description", info->doc_string);
  text_table_cell(table, "IR version");
  text_table_cell(table, "%" PRId64, info->ir_version);
  for (size_t i = 0; i < info->opset_count; i++) {
    text_table_cell(table, "opset");
    text_table_cell(table, "%s %" PRId64, info_domain(info->opset_domains[i]), info->opset_versions[i]);
  }
  for (size_t i = 0; i < info->metadata_count; i++) {
    text_table_cell(table, "metadata");
    text_table_cell(table, "%s = %s", info->metadata_keys[i], info->metadata_values[i]);
  }
}

/* The input whose --shape would help, or NULL. */
static const pleat_value_info *unknown_input(const pleat_model_info *info) {
  for (size_t i = 0; i < info->input_count; i++) {
    if (info->inputs[i].rank < 0) return &info->inputs[i];
    for (int d = 0; d < info->inputs[i].rank; d++)
      if (info->inputs[i].dims[d].value < 0) return &info->inputs[i];
  }
  return NULL;
}

/* "x=1x3x224x224", as --shape takes it; allocated. */
static char *shape_argument(const char *name, int rank, const int64_t *dims) {
  char *text = cli_printf("%s=", name);
  for (int d = 0; d < rank; d++) {
    char *longer = cli_printf("%s%s%" PRId64, text, d ? "x" : "", dims[d]);
    free(text);
    text = longer;
  }
  return text;
}

/* An example, with 1 for what is not known; allocated. */
static char *shape_hint(const pleat_value_info *input) {
  int64_t dims[PLEAT_MAX_RANK] = {1, 3, 224, 224};
  for (int d = 0; d < input->rank; d++) dims[d] = input->dims[d].value >= 0 ? input->dims[d].value : 1;
  return shape_argument(input->name, input->rank >= 0 ? input->rank : 4, dims);
}

/* The shapes of the plan, which nobody gave: "x=1x3x224x224, n=1"; allocated. */
static char *assumed_shapes(const shape_list *assumed) {
  char *text = cli_strdup("");
  for (size_t i = 0; i < assumed->count; i++) {
    const pleat_input_shape *shape = &assumed->items[i];
    char *one = shape_argument(shape->name, shape->rank, shape->dims);
    char *longer = cli_printf("%s%s%s", text, i ? ", " : "", one);
    free(one);
    free(text);
    text = longer;
  }
  return text;
}

/* Without a plan, what depends on unknown shapes is left out; its plan's shapes count where there is one. */
static void print_macs(text_table *table, const facts *facts) {
  const pleat_model_info *info = info_costs(facts);
  const pleat_value_info *input = info->macs_unknown ? unknown_input(info) : NULL;
  char macs[TEXT_NUMBER], *with = cli_strdup(""), *without = cli_strdup("");
  if (facts->info->macs_unknown > info->macs_unknown) {
    char *shapes = assumed_shapes(&facts->assumed);
    free(with);
    with = cli_printf(" with %s, as planned (--shape gives others)", shapes);
    free(shapes);
  }
  if (info->macs_unknown) {
    char *hint = input ? shape_hint(input) : NULL;
    free(without);
    without = cli_printf(", without %zu nodes whose shapes %s%s", info->macs_unknown,
                         input ? "are not known: try --shape " : "depend on the data", input ? hint : "");
    free(hint);
  }
  text_table_cell(table, "multiply-adds");
  text_table_cell(table, "%s%s%s", text_count(info->macs, macs), with, without);
  free(with);
  free(without);
}

static void print_costs(text_table *table, const facts *facts) {
  const pleat_model_info *info = facts->info;
  char first[TEXT_NUMBER], second[TEXT_NUMBER], third[TEXT_NUMBER];
  text_table_cell(table, "nodes");
  text_table_cell(table, "%zu", info->node_count);
  if (info->function_count) {
    text_table_cell(table, "functions");
    text_table_cell(table, "%zu", info->function_count);
  }
  text_table_cell(table, "parameters");
  text_table_cell(table, "%s", text_count(info->parameter_count, first));
  text_table_cell(table, "weights");
  text_table_cell(table, "%s in %zu initializers", text_bytes(info->weight_bytes, first), info->initializer_count);
  print_macs(table, facts);
  text_table_cell(table, "activations");
  if (facts->plan)
    text_table_cell(table, "%s (%s without reuse; workspace %s)", text_bytes(facts->plan->activation_bytes, first),
                    text_bytes(facts->plan->activation_bytes_unshared, second),
                    text_bytes(facts->plan->workspace_bytes, third));
  else text_table_cell(table, "not known: %s", facts->plan_error.message);
}

/* What became of a precision that was asked for. */
static void print_precision(text_table *table, const facts *facts) {
  if (!facts->precision || !facts->plan) return;
  text_table_cell(table, "precision");
  if (facts->plan->bf16_count > 0)
    text_table_cell(table, "%s, in %zu of %zu steps; the others in the model's types", facts->precision,
                    facts->plan->bf16_count, facts->plan->step_count - facts->plan->reorder_count);
  else text_table_cell(table, "the model's types in all steps");
}

/* How a batch runs. */
static void print_batch(text_table *table, const facts *facts) {
  char parts[TEXT_PARTS];
  const pleat_plan_info *plan = facts->plan;
  if (!plan || (!plan->part_count && !*plan->part_reason)) return;
  text_table_cell(table, "batch");
  if (plan->part_count) text_table_cell(table, "runs in %s", text_parts(plan, parts));
  else text_table_cell(table, "runs whole: %s", plan->part_reason);
}

static void print_operators(const pleat_model_info *info, FILE *file) {
  size_t count = 0;
  op_count *counts = info_count_operators(info, &count);
  text_table *table = text_table_create("rl");
  for (size_t i = 0; i < count; i++) {
    text_table_cell(table, "%zu", counts[i].count);
    text_table_cell(table, "%s%s%s", counts[i].domain, *counts[i].domain ? "." : "", counts[i].op_type);
  }
  fputs("\noperators\n", file);
  text_table_print(table, file, 2);
  text_table_destroy(table);
  free(counts);
  if (info->unsupported_count == 0) return;
  fputs("\nnot supported\n", file);
  for (size_t i = 0; i < info->unsupported_count; i++) {
    fputs("  ", file);
    cli_put_clean(file, info->unsupported[i]);
    putc('\n', file);
  }
}

static void print_nodes(const facts *facts, FILE *file) {
  const pleat_model_info *info = facts->info;
  text_table *table = text_table_create("rllrl");
  static const char *const heads[] = {"#", "op", "name", "multiply-adds", "outputs"};
  for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) text_table_cell(table, "%s", heads[i]);
  for (size_t i = 0; i < info->node_count; i++) {
    const pleat_node_info *node = &info->nodes[i];
    char type[TEXT_TYPE], macs[TEXT_NUMBER], *outputs = cli_strdup("");
    for (size_t o = 0; o < node->output_count; o++) {
      if (!*node->outputs[o]) continue;
      char *longer = cli_printf("%s%s%s %s", outputs, *outputs ? ", " : "", node->outputs[o],
                                text_value_type(&node->output_infos[o], type));
      free(outputs);
      outputs = longer;
    }
    text_table_cell(table, "%zu", i);
    text_table_cell(table, "%*s%s%s", 2 * node->depth, "", node->op_type, node->supported ? "" : " (unsupported)");
    text_table_cell(table, "%s", node->name);
    const uint64_t count = info_costs(facts)->nodes[i].macs;
    text_table_cell(table, "%s", count ? text_count(count, macs) : "");
    text_table_cell(table, "%s", outputs);
    free(outputs);
  }
  fputs("\nnodes\n", file);
  text_table_print(table, file, 2);
  text_table_destroy(table);
}

/* What of a step needs no run, in words behind the kernel's name. */
static const char *saved(const pleat_step_info *step, char *buffer, size_t size) {
  if (step->pieces == 0) return step->is_view ? " (view)" : "";
  if (step->is_view) return " (in place)";
  if (step->pieces_in_place == 0) return "";
  snprintf(buffer, size, " (%u of %u in place)", step->pieces_in_place, step->pieces);
  return buffer;
}

static void print_steps(const pleat_plan_info *plan, FILE *file) {
  char kernel[TEXT_KERNEL];
  text_table *table = text_table_create("rlllll");
  static const char *const heads[] = {"#", "op", "kernel", "node", "output", "declined"};
  for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) text_table_cell(table, "%s", heads[i]);
  for (size_t i = 0; i < plan->step_count; i++) {
    const pleat_step_info *step = &plan->steps[i];
    char words[48];
    text_table_cell(table, "%zu", i);
    text_table_cell(table, "%s", step->op_type);
    text_table_cell(table, "%s%s%s%s", text_kernel(step, kernel), saved(step, words, sizeof words),
                    step->is_dynamic ? " (dynamic)" : "", step->tuned ? " (tuned)" : "");
    text_table_cell(table, "%s", step->node);
    text_table_cell(table, "%s", step->output);
    text_table_cell(table, "%s", step->declined);
  }
  fputs("\nsteps\n", file);
  text_table_print(table, file, 2);
  text_table_destroy(table);
  if (plan->reorder_count > 0)
    fprintf(file, "  %zu of them only change a memory layout (Reorder)\n", plan->reorder_count);
}

void info_print(const facts *facts, bool nodes, bool kernels, FILE *file) {
  text_table *table = text_table_create("ll");
  print_identity(table, facts);
  print_values(table, "input", facts->info->inputs, facts->info->input_count);
  print_values(table, "output", facts->info->outputs, facts->info->output_count);
  print_costs(table, facts);
  print_precision(table, facts);
  print_batch(table, facts);
  text_table_print(table, file, 0);
  text_table_destroy(table);
  print_operators(facts->info, file);
  if (nodes) print_nodes(facts, file);
  if (kernels && facts->plan) print_steps(facts->plan, file);
}

/* A model's description as JSON.
 *
 * Invariants: keys are stable; sizes and counts are numbers, a dimension is a number, its symbol's name or null, and
 * an unknown shape is null. A model that cannot be planned has "plan_error" in place of "plan". Nodes and plan steps,
 * which can be many, are left out unless they were asked for. */
#include <stdlib.h>

#include "info.h"

static cJSON *values_json(const pleat_value_info *values, size_t count) {
  cJSON *array = json_array();
  for (size_t i = 0; i < count; i++) {
    cJSON *value = json_object();
    json_add_string(value, "name", values[i].name);
    json_add_string(value, "kind", text_kind(values[i].kind));
    json_add_string(value, "dtype", pleat_dtype_name(values[i].dtype));
    json_add(value, "shape", json_value_shape(&values[i]));
    json_add_bool(value, "has_default", values[i].has_default);
    json_push(array, value);
  }
  return array;
}

static cJSON *strings_json(const char *const *strings, size_t count) {
  cJSON *array = json_array();
  for (size_t i = 0; i < count; i++) json_push(array, cJSON_CreateString(strings[i]));
  return array;
}

/* The plan's shapes that nobody gave, by input. */
static cJSON *assumed_json(const shape_list *assumed) {
  cJSON *shapes = json_object();
  for (size_t i = 0; i < assumed->count; i++) {
    cJSON *dims = json_array();
    for (int d = 0; d < assumed->items[i].rank; d++)
      json_push(dims, cJSON_CreateNumber((double)assumed->items[i].dims[d]));
    json_add(shapes, assumed->items[i].name, dims);
  }
  return shapes;
}

static cJSON *nodes_json(const facts *facts) {
  const pleat_model_info *info = facts->info;
  cJSON *array = json_array();
  for (size_t i = 0; i < info->node_count; i++) {
    const pleat_node_info *node = &info->nodes[i];
    cJSON *item = json_object();
    json_add_string(item, "name", node->name);
    json_add_string(item, "op_type", node->op_type);
    json_add_string(item, "domain", node->domain);
    json_add_count(item, "depth", (uint64_t)node->depth);
    json_add_bool(item, "supported", node->supported);
    json_add_count(item, "macs", info_costs(facts)->nodes[i].macs);
    json_add(item, "inputs", strings_json(node->inputs, node->input_count));
    json_add(item, "outputs", values_json(node->output_infos, node->output_count));
    json_push(array, item);
  }
  return array;
}

static cJSON *steps_json(const pleat_plan_info *plan) {
  cJSON *array = json_array();
  for (size_t i = 0; i < plan->step_count; i++) {
    const pleat_step_info *step = &plan->steps[i];
    cJSON *item = json_object();
    json_add_string(item, "node", step->node);
    json_add_string(item, "op_type", step->op_type);
    json_add_string(item, "kernel", step->kernel);
    json_add_string(item, "variant", step->variant);
    json_add_bool(item, "tuned", step->tuned);
    json_add_string(item, "declined", step->declined);
    json_add_string(item, "output", step->output);
    json_add_count(item, "output_bytes", step->output_bytes);
    json_add_bool(item, "view", step->is_view);
    if (step->pieces > 0) {
      json_add_count(item, "pieces", step->pieces);
      json_add_count(item, "pieces_in_place", step->pieces_in_place);
    }
    json_add_bool(item, "dynamic", step->is_dynamic);
    json_push(array, item);
  }
  return array;
}

static cJSON *operators_json(const pleat_model_info *info) {
  size_t count = 0;
  op_count *counts = info_count_operators(info, &count);
  cJSON *array = json_array();
  for (size_t i = 0; i < count; i++) {
    cJSON *item = json_object();
    json_add_string(item, "op_type", counts[i].op_type);
    json_add_string(item, "domain", counts[i].domain);
    json_add_count(item, "count", counts[i].count);
    json_push(array, item);
  }
  free(counts);
  return array;
}

static void add_plan_json(cJSON *json, const facts *facts, bool with_steps) {
  if (!facts->plan) {
    json_add_string(json, "plan_error", facts->plan_error.message);
    return;
  }
  cJSON *plan = json_object();
  json_add_count(plan, "activation_bytes", facts->plan->activation_bytes);
  json_add_count(plan, "activation_bytes_unshared", facts->plan->activation_bytes_unshared);
  json_add_count(plan, "workspace_bytes", facts->plan->workspace_bytes);
  json_add_count(plan, "constant_bytes", facts->plan->constant_bytes);
  json_add_count(plan, "reorder_count", facts->plan->reorder_count);
  json_add_count(plan, "bf16_count", facts->plan->bf16_count);
  json_add_count(plan, "part_count", facts->plan->part_count);
  json_add_count(plan, "part_samples", (uint64_t)facts->plan->part_samples);
  json_add_count(plan, "part_workers", (uint64_t)facts->plan->part_workers);
  json_add_string(plan, "part_reason", facts->plan->part_reason);
  if (with_steps) json_add(plan, "steps", steps_json(facts->plan));
  json_add(json, "plan", plan);
}

cJSON *info_json(const facts *facts, bool nodes, bool kernels) {
  const pleat_model_info *info = facts->info;
  cJSON *json = json_object(), *opsets = json_object(), *metadata = json_object();
  json_add_string(json, "file", facts->path);
  json_add_count(json, "file_bytes", facts->file_bytes);
  json_add_number(json, "ir_version", (double)info->ir_version);
  json_add_string(json, "producer_name", info->producer_name);
  json_add_string(json, "producer_version", info->producer_version);
  json_add_string(json, "graph_name", info->graph_name);
  json_add_string(json, "domain", info->domain);
  json_add_string(json, "doc_string", info->doc_string);
  for (size_t i = 0; i < info->opset_count; i++)
    json_add_number(opsets, info_domain(info->opset_domains[i]), (double)info->opset_versions[i]);
  json_add(json, "opsets", opsets);
  for (size_t i = 0; i < info->metadata_count; i++)
    json_add_string(metadata, info->metadata_keys[i], info->metadata_values[i]);
  json_add(json, "metadata", metadata);
  json_add(json, "inputs", values_json(info->inputs, info->input_count));
  json_add(json, "outputs", values_json(info->outputs, info->output_count));
  json_add_count(json, "node_count", info->node_count);
  json_add_count(json, "initializer_count", info->initializer_count);
  json_add_count(json, "function_count", info->function_count);
  json_add_count(json, "parameter_count", info->parameter_count);
  json_add_count(json, "weight_bytes", info->weight_bytes);
  json_add_count(json, "macs", info_costs(facts)->macs);
  json_add_count(json, "macs_unknown", info_costs(facts)->macs_unknown);
  json_add(json, "assumed_shapes", assumed_json(&facts->assumed));
  json_add(json, "operators", operators_json(info));
  json_add(json, "unsupported", strings_json(info->unsupported, info->unsupported_count));
  add_plan_json(json, facts, kernels);
  if (nodes) json_add(json, "nodes", nodes_json(facts));
  return json;
}

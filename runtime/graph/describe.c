/* pleat_model_describe: what a file says and what inference adds, copied into one arena that the description owns.
 *
 * Local functions are inlined first, so that the nodes, multiply-adds and unsupported operators are those of a run. */
#include "graph/graph_private.h"

#include <string.h>

/* The public struct comes first: a pointer to one is a pointer to the other. */
typedef struct description {
  pleat_model_info info;
  pleat_arena *arena;
} description;

typedef struct describer {
  pleat_arena *arena;
  pleat_model_info *info;
  pleat_graph *graph;
  pleat_node_info *nodes;
  size_t node_count, node_capacity;
  pleat_error *error;
} describer;

void pleat_model_info_destroy(pleat_model_info *info) {
  if (info != NULL) pleat_arena_destroy(((description *)(void *)info)->arena);
}

/* ---- given input shapes ---- */

static pleat_status unknown_input(const pleat_graph *graph, const char *name, pleat_error *error) {
  char names[512] = "";
  for (size_t i = 0; i < graph->input_count; i++) {
    size_t length = strlen(names);
    if (!graph->inputs[i]->is_input || length + strlen(graph->inputs[i]->name) + 3 > sizeof names) continue;
    if (length != 0) strcat(names, ", ");
    strcat(names, graph->inputs[i]->name);
  }
  return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "the model has no input '%s'; its inputs are: %s", name, names);
}

/* A symbol has one meaning in the whole graph. */
static void fix_symbol(pleat_graph *root, const char *symbol, int64_t size) {
  for (size_t id = 0; id < root->value_count; id++) {
    pleat_shape *shape = &root->all_values[id]->shape;
    for (int i = 0; i < shape->rank; i++) {
      if (shape->dims[i].symbol == symbol) shape->dims[i] = pleat_dim_known(size);
    }
  }
}

static pleat_status fix_shape(pleat_graph *graph, const pleat_input_shape *given, pleat_error *error) {
  char declared[256], asked[256];
  pleat_value *value = given->name != NULL ? pleat_graph_find_here(graph, given->name) : NULL;
  if (value == NULL || !value->is_input) return unknown_input(graph, pleat_text(given->name), error);
  if (given->rank < 0 || given->rank > PLEAT_MAX_RANK) {
    return pleat_fail(error, PLEAT_INVALID_ARGUMENT,
                      "a shape of rank %d was given for input '%s'; the rank may be 0 to %d", given->rank, value->name,
                      (int)PLEAT_MAX_RANK);
  }
  pleat_shape shape = pleat_shape_of(given->rank, given->dims), merged;
  if (value->kind != PLEAT_KIND_TENSOR || !pleat_shape_merge(&value->shape, &shape, &merged)) {
    return pleat_fail_tensor(
        error, value->name, PLEAT_SHAPE_MISMATCH, "the input's shape is %s, which does not allow %s",
        pleat_shape_text(&value->shape, declared, sizeof declared), pleat_shape_text(&shape, asked, sizeof asked));
  }
  for (int i = 0; i < given->rank && value->shape.rank == given->rank; i++) {
    const char *symbol = value->shape.dims[i].symbol;
    if (symbol != NULL && given->dims[i] >= 0) fix_symbol(graph, symbol, given->dims[i]);
  }
  value->shape = merged;
  return PLEAT_OK;
}

/* What the file states about computed values was true for the exporter's input shapes, not for other ones. */
static void forget_computed_shapes(pleat_graph *root) {
  for (size_t id = 0; id < root->value_count; id++) {
    pleat_value *value = root->all_values[id];
    if (value->producer != NULL && value->producer->def != NULL) value->shape = pleat_shape_unknown();
  }
}

/* ---- copying ---- */

static const char *copy_text(describer *d, const char *text) {
  return pleat_arena_strdup(d->arena, pleat_text(text));
}

static bool describe_value(describer *d, const pleat_value *value, pleat_value_info *out) {
  *out = (pleat_value_info){.name = "", .rank = -1};
  if (value == NULL) return true;
  out->name = copy_text(d, value->name);
  out->kind = value->kind;
  out->dtype = value->dtype;
  out->rank = value->kind == PLEAT_KIND_OTHER ? -1 : value->shape.rank;
  out->has_default = value->is_input && value->is_initializer;
  if (out->rank < 0) return out->name != NULL;
  pleat_dim *dims = pleat_arena_array(d->arena, (size_t)out->rank, sizeof *dims);
  if (dims == NULL) return false;
  for (int i = 0; i < out->rank; i++) {
    dims[i] = value->shape.dims[i];
    if (dims[i].symbol != NULL && (dims[i].symbol = copy_text(d, dims[i].symbol)) == NULL) return false;
  }
  out->dims = dims;
  return out->name != NULL;
}

/* The graph's inputs (plain initializers left out) or outputs. */
static bool describe_values(describer *d, pleat_value *const *values, size_t count, bool inputs, size_t *out_count,
                            const pleat_value_info **out_infos) {
  pleat_value_info *infos = pleat_arena_array(d->arena, count, sizeof *infos);
  *out_infos = infos;
  *out_count = 0;
  bool ok = infos != NULL;
  for (size_t i = 0; ok && i < count; i++) {
    if (!inputs || values[i]->is_input) ok = describe_value(d, values[i], &infos[(*out_count)++]);
  }
  return ok;
}

static bool copy_names(describer *d, pleat_value *const *values, size_t count, size_t *out_count,
                       const char *const **out_names) {
  const char **names = pleat_arena_array(d->arena, count, sizeof *names);
  bool ok = names != NULL;
  for (size_t i = 0; ok && i < count; i++) {
    names[i] = copy_text(d, values[i] != NULL ? values[i]->name : "");
    ok = names[i] != NULL;
  }
  *out_count = count;
  *out_names = names;
  return ok;
}

/* ---- nodes ---- */

static bool describe_node(describer *d, const pleat_node *node, int depth) {
  uint64_t macs = pleat_node_macs(node);
  pleat_node_info info = {.name = copy_text(d, node->name),
                          .op_type = copy_text(d, node->op_type),
                          .domain = copy_text(d, node->domain),
                          .depth = depth,
                          .supported = node->def != NULL,
                          .macs = macs == UINT64_MAX ? 0 : macs};
  size_t output_count = 0;
  if (macs == UINT64_MAX) d->info->macs_unknown++;
  if (__builtin_add_overflow(d->info->macs, info.macs, &d->info->macs)) d->info->macs = UINT64_MAX;
  return info.name != NULL && info.op_type != NULL && info.domain != NULL &&
         copy_names(d, node->inputs, node->input_count, &info.input_count, &info.inputs) &&
         copy_names(d, node->outputs, node->output_count, &info.output_count, &info.outputs) &&
         describe_values(d, node->outputs, node->output_count, false, &output_count, &info.output_infos) &&
         PLEAT_PUSH(d->arena, d->nodes, d->node_count, d->node_capacity, info);
}

static void count_weights(describer *d, pleat_dtype dtype, uint64_t elements, uint64_t bytes) {
  bool is_float = pleat_dtype_is_float(dtype);
  pleat_model_info *info = d->info;
  if (is_float && __builtin_add_overflow(info->parameter_count, elements, &info->parameter_count)) {
    info->parameter_count = UINT64_MAX;
  }
  if (__builtin_add_overflow(info->weight_bytes, bytes, &info->weight_bytes)) info->weight_bytes = UINT64_MAX;
}

/* From the message's head alone: the data of an initializer is not read. */
static void count_message(describer *d, const Onnx__TensorProto *message) {
  size_t count = 0, bytes = 0;
  pleat_dtype dtype = (pleat_dtype)message->data_type;
  if (message->n_dims > PLEAT_MAX_RANK || !pleat_dtype_is_valid(message->data_type) ||
      !pleat_shape_count(dtype, (int)message->n_dims, message->dims, &count)) {
    return;
  }
  if (!pleat_dtype_packed_size(dtype, count, &bytes)) return;
  for (size_t i = 0; dtype == PLEAT_STRING && i < message->n_string_data; i++) bytes += message->string_data[i].len;
  count_weights(d, dtype, count, bytes);
}

static pleat_status count_constants(describer *d, const pleat_graph *graph) {
  for (size_t i = 0; i < graph->initializer_count; i++) {
    const pleat_value *value = graph->initializers[i];
    const Onnx__SparseTensorProto *sparse = value->src_init_sparse ? value->src_init : NULL;
    if (value->src_init != NULL) count_message(d, sparse != NULL ? sparse->values : value->src_init);
  }
  d->info->initializer_count += graph->initializer_count;
  PLEAT_FOR_NODES(node, graph) {
    const pleat_tensor *tensor = NULL;
    if (!pleat_node_is(node, "Constant") || node->output_count == 0 || node->outputs[0] == NULL) continue;
    PLEAT_TRY(pleat_value_constant(node->outputs[0], &tensor, d->error));
    if (tensor == NULL) continue;
    size_t bytes = 0;
    const pleat_string *strings = tensor->dtype == PLEAT_STRING ? tensor->data : NULL;
    for (size_t i = 0; strings != NULL && i < tensor->count; i++) bytes += strings[i].size;
    if (strings == NULL && !pleat_dtype_packed_size(tensor->dtype, tensor->count, &bytes)) bytes = 0;
    count_weights(d, tensor->dtype, tensor->count, bytes);
  }
  return PLEAT_OK;
}

static pleat_status describe_graph(describer *d, const pleat_graph *graph, int depth) {
  PLEAT_TRY(count_constants(d, graph));
  PLEAT_FOR_NODES(node, graph) {
    if (!describe_node(d, node, depth)) return PLEAT_OOM(d->error);
    PLEAT_FOR_SUBGRAPHS(sub, node) {
      PLEAT_TRY(describe_graph(d, sub, depth + 1));
    }
  }
  return PLEAT_OK;
}

/* ---- the model ---- */

static bool describe_header(describer *d, const pleat_model *model) {
  const Onnx__ModelProto *message = model->message;
  pleat_model_info *info = d->info;
  const char **domains = pleat_arena_array(d->arena, message->n_opset_import, sizeof *domains);
  int64_t *versions = pleat_arena_array(d->arena, message->n_opset_import, sizeof *versions);
  const char **keys = pleat_arena_array(d->arena, message->n_metadata_props, sizeof *keys);
  const char **values = pleat_arena_array(d->arena, message->n_metadata_props, sizeof *values);
  bool ok = domains != NULL && versions != NULL && keys != NULL && values != NULL;
  for (size_t i = 0; ok && i < message->n_opset_import; i++) {
    domains[i] = copy_text(d, pleat_normal_domain(message->opset_import[i]->domain));
    versions[i] = message->opset_import[i]->version;
    ok = domains[i] != NULL;
  }
  for (size_t i = 0; ok && i < message->n_metadata_props; i++) {
    keys[i] = copy_text(d, message->metadata_props[i]->key);
    values[i] = copy_text(d, message->metadata_props[i]->value);
    ok = keys[i] != NULL && values[i] != NULL;
  }
  info->path = copy_text(d, model->proto != NULL ? pleat_proto_path(model->proto) : "");
  info->ir_version = message->ir_version;
  info->producer_name = copy_text(d, message->producer_name);
  info->producer_version = copy_text(d, message->producer_version);
  info->graph_name = copy_text(d, message->graph->name);
  info->domain = copy_text(d, message->domain);
  info->doc_string = copy_text(d, message->doc_string);
  info->opset_count = message->n_opset_import;
  info->opset_domains = domains;
  info->opset_versions = versions;
  info->metadata_count = message->n_metadata_props;
  info->metadata_keys = keys;
  info->metadata_values = values;
  info->function_count = message->n_functions;
  return ok && info->path != NULL && info->producer_name != NULL && info->producer_version != NULL &&
         info->graph_name != NULL && info->domain != NULL && info->doc_string != NULL;
}

static bool describe_unsupported(describer *d) {
  const char *const *list = NULL;
  size_t count = pleat_graph_unsupported(d->graph, &list);
  const char **copy = pleat_arena_array(d->arena, count, sizeof *copy);
  bool ok = copy != NULL;
  for (size_t i = 0; ok && i < count; i++) ok = (copy[i] = copy_text(d, list[i])) != NULL;
  d->info->unsupported = copy;
  d->info->unsupported_count = count;
  return ok;
}

static pleat_status describe(describer *d, const pleat_model *model, const pleat_input_shape *shapes, size_t count) {
  pleat_graph *graph = d->graph;
  for (size_t i = 0; i < count; i++) PLEAT_TRY(fix_shape(graph, &shapes[i], d->error));
  if (count != 0) forget_computed_shapes(graph);
  PLEAT_TRY(pleat_graph_infer(graph, d->error));
  if (!describe_header(d, model) ||
      !describe_values(d, graph->inputs, graph->input_count, true, &d->info->input_count, &d->info->inputs) ||
      !describe_values(d, graph->outputs, graph->output_count, false, &d->info->output_count, &d->info->outputs) ||
      !describe_unsupported(d)) {
    return PLEAT_OOM(d->error);
  }
  PLEAT_TRY(describe_graph(d, graph, 0));
  d->info->nodes = d->nodes;
  d->info->node_count = d->node_count;
  return PLEAT_OK;
}

pleat_status pleat_model_describe(const pleat_model *model, const pleat_input_shape *shapes, size_t count,
                                  pleat_model_info **out_info, pleat_error *error) {
  if (out_info != NULL) *out_info = NULL;
  if (model == NULL || out_info == NULL || (shapes == NULL && count != 0)) {
    return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "pleat_model_describe: an argument is NULL");
  }
  pleat_status status = PLEAT_OK;
  describer d = {.arena = pleat_arena_create(), .error = error};
  description *result = d.arena != NULL ? pleat_arena_alloc(d.arena, sizeof *result) : NULL;
  if (result == NULL) {
    status = PLEAT_OOM(error);
    goto fail;
  }
  result->arena = d.arena;
  d.info = &result->info;
  PLEAT_CHECK(pleat_graph_import(model, &(pleat_import_options){.inline_functions = true}, &d.graph, error));
  PLEAT_CHECK(describe(&d, model, shapes, count));
  pleat_graph_destroy(d.graph);
  *out_info = &result->info;
  return PLEAT_OK;
fail:
  pleat_graph_destroy(d.graph);
  pleat_arena_destroy(d.arena);
  return status;
}

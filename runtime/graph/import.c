/* From a ModelProto to the graph IR.
 *
 * One pass in file order: ONNX wants nodes sorted topologically, so a name that is not known yet when a node reads it
 * is an error, and neither cycles nor self-references can come up. Subgraphs are imported in the middle of their
 * owner's import, when exactly the outer values they may read are known. Names are resolved through scopes (import.h),
 * never through the graph's own table. Source: ONNX IR specification (onnx/docs/IR.md). */
#include "graph/import.h"

#include <string.h>

/* ---- scopes ---- */

pleat_scope *pleat_scope_create(pleat_importer *imp, pleat_scope *parent, pleat_frame *frame, pleat_graph *graph) {
  pleat_scope *scope = pleat_arena_alloc(imp->scratch, sizeof *scope);
  if (scope == NULL) return NULL;
  scope->parent = parent;
  scope->frame = frame;
  scope->graph = graph;
  return scope;
}

void pleat_scope_clear(pleat_scope *scope) {
  if (scope != NULL) HASH_CLEAR(hh, scope->names);
}

bool pleat_scope_bind(pleat_importer *imp, pleat_scope *scope, const char *name, pleat_value *value) {
  pleat_scope_entry *entry = pleat_arena_alloc(imp->scratch, sizeof *entry);
  if (entry == NULL) return false;
  entry->name = name;
  entry->value = value;
  HASH_ADD_KEYPTR(hh, scope->names, entry->name, strlen(entry->name), entry);
  return entry->hh.tbl != NULL;
}

pleat_scope_entry *pleat_scope_find_here(const pleat_scope *scope, const char *name) {
  pleat_scope_entry *entry = NULL;
  HASH_FIND(hh, scope->names, name, strlen(name), entry);
  return entry;
}

pleat_scope_entry *pleat_scope_find(const pleat_scope *scope, const char *name) {
  for (; scope != NULL; scope = scope->parent) {
    pleat_scope_entry *entry = pleat_scope_find_here(scope, name);
    if (entry != NULL) return entry;
  }
  return NULL;
}

const char *pleat_scope_graph_name(pleat_importer *imp, const pleat_scope *scope, const char *name) {
  const pleat_frame *frame = scope->frame;
  if (frame->function == NULL) return name;
  for (size_t i = 0; scope->parent == NULL && i < frame->output_count; i++) {
    if (frame->output_names[i] != NULL && strcmp(frame->outputs[i], name) == 0) return frame->output_names[i];
  }
  const char *full = pleat_arena_printf(imp->scratch, "%s%s", frame->prefix, name);
  return full == NULL ? NULL : pleat_graph_unique_name(scope->graph, full);
}

/* A value from an inlined function may have taken a name that the file gives to a later value: the file's wins. */
static bool free_name(pleat_graph *graph, const char *name) {
  pleat_value *holder = pleat_graph_find_here(graph, name);
  if (holder == NULL) return true;
  const char *other = pleat_graph_unique_name(graph, name);
  return other != NULL && pleat_graph_rename(holder, other);
}

pleat_status pleat_scope_define(pleat_importer *imp, pleat_scope *scope, const char *name, pleat_value **out_value) {
  *out_value = NULL;
  if (pleat_scope_find_here(scope, name) != NULL) {
    return pleat_fail_tensor(
        imp->error, name, PLEAT_MALFORMED_MODEL,
        "value '%s' is defined twice in the same graph: every input, initializer and node output must "
        "have a name of its own",
        name);
  }
  if (imp->root->value_count >= PLEAT_LIMIT_VALUES) {
    return pleat_fail(imp->error, PLEAT_MALFORMED_MODEL, "the model has more than %d values, the limit",
                      (int)PLEAT_LIMIT_VALUES);
  }
  const char *graph_name = pleat_scope_graph_name(imp, scope, name);
  if (graph_name == NULL || !free_name(scope->graph, graph_name)) return PLEAT_OOM(imp->error);
  pleat_value *value = pleat_graph_new_value(scope->graph, graph_name);
  if (value == NULL || !pleat_scope_bind(imp, scope, name, value)) return PLEAT_OOM(imp->error);
  *out_value = value;
  return PLEAT_OK;
}

int64_t pleat_frame_opset(const pleat_importer *imp, const pleat_frame *frame, const char *domain) {
  const Onnx__FunctionProto *function = frame->function;
  for (size_t i = 0; function != NULL && i < function->n_opset_import; i++) {
    const Onnx__OperatorSetIdProto *opset = function->opset_import[i];
    if (strcmp(pleat_normal_domain(opset->domain), domain) == 0) return opset->version;
  }
  return pleat_graph_opset(imp->root, domain);
}

/* ---- nodes ---- */

/* Why a name is not known: defined later, by the node itself, or not at all. */
static pleat_status missing_input(pleat_importer *imp, const pleat_scope *scope, const Onnx__NodeProto *message,
                                  const char *name) {
  char label[256];
  for (; scope != NULL; scope = scope->parent) {
    for (size_t i = 0; i < scope->node_count; i++) {
      const Onnx__NodeProto *node = scope->nodes[i];
      for (size_t k = 0; k < node->n_output; k++) {
        if (strcmp(node->output[k], name) != 0) continue;
        if (node == message) {
          return pleat_fail(imp->error, PLEAT_MALFORMED_MODEL,
                            "input '%s' is the node's own output: the graph has a cycle", name);
        }
        pleat_op_label(pleat_text(node->name), pleat_text(node->op_type), i, label, sizeof label);
        return pleat_fail(imp->error, PLEAT_MALFORMED_MODEL,
                          "input '%s' is produced by nothing before it, only later by node '%s': the nodes are not in "
                          "topological order, or form a cycle; sort them",
                          name, label);
      }
    }
  }
  return pleat_fail(imp->error, PLEAT_MALFORMED_MODEL,
                    "input '%s' is produced by nothing before it: it is no graph input, initializer or node output",
                    name);
}

pleat_status pleat_import_inputs(pleat_importer *imp, pleat_scope *scope, const Onnx__NodeProto *message,
                                 pleat_value ***out_inputs) {
  pleat_value **inputs = pleat_arena_array(imp->root->arena, message->n_input, sizeof(pleat_value *));
  *out_inputs = NULL;
  if (inputs == NULL) return PLEAT_OOM(imp->error);
  for (size_t i = 0; i < message->n_input; i++) {
    const char *name = message->input[i];
    if (name[0] == '\0') continue;
    const pleat_scope_entry *entry = pleat_scope_find(scope, name);
    if (entry == NULL) return missing_input(imp, scope, message, name);
    inputs[i] = entry->value;
  }
  *out_inputs = inputs;
  return PLEAT_OK;
}

static pleat_status import_outputs(pleat_importer *imp, pleat_scope *scope, const Onnx__NodeProto *message,
                                   pleat_node *node) {
  node->outputs = pleat_arena_array(imp->root->arena, message->n_output, sizeof(pleat_value *));
  if (node->outputs == NULL) return PLEAT_OOM(imp->error);
  node->output_count = message->n_output;
  for (size_t i = 0; i < message->n_output; i++) {
    if (message->output[i][0] == '\0') continue;
    PLEAT_TRY(pleat_scope_define(imp, scope, message->output[i], &node->outputs[i]));
    node->outputs[i]->producer = node;
    node->outputs[i]->producer_index = i;
  }
  return PLEAT_OK;
}

pleat_status pleat_import_new_node(pleat_importer *imp, pleat_scope *scope, pleat_node **out_node) {
  *out_node = NULL;
  if (imp->root->node_id_count >= PLEAT_LIMIT_NODES) {
    return pleat_fail(imp->error, PLEAT_MALFORMED_MODEL, "the model has more than %d nodes, the limit",
                      (int)PLEAT_LIMIT_NODES);
  }
  if (scope->frame->function != NULL && ++imp->inlined_nodes > PLEAT_LIMIT_INLINED_NODES) {
    return pleat_fail(imp->error, PLEAT_MALFORMED_MODEL,
                      "the bodies of the model's functions, counted at every call, have more than %d nodes, the limit",
                      (int)PLEAT_LIMIT_INLINED_NODES);
  }
  *out_node = pleat_graph_new_node(scope->graph);
  return *out_node != NULL ? PLEAT_OK : PLEAT_OOM(imp->error);
}

static bool name_node(pleat_importer *imp, const pleat_frame *frame, const Onnx__NodeProto *message, pleat_node *node) {
  node->name = pleat_text(message->name);
  node->op_type = pleat_text(message->op_type);
  node->domain = pleat_normal_domain(message->domain);
  node->overload = pleat_text(message->overload);
  node->src = message;
  if (frame->function == NULL) return true;
  node->edited = true;
  if (node->name[0] != '\0') node->name = pleat_arena_printf(imp->root->arena, "%s%s", frame->prefix, node->name);
  return node->name != NULL;
}

static pleat_status import_node(pleat_importer *imp, pleat_scope *scope, const Onnx__NodeProto *message, size_t index) {
  pleat_node *node = NULL;
  if (pleat_text(message->op_type)[0] == '\0') {
    return pleat_fail(imp->error, PLEAT_MALFORMED_MODEL, "the node has no op_type");
  }
  const Onnx__FunctionProto *function = pleat_import_function(imp, message);
  if (function != NULL && pleat_import_wants_inline(imp, message)) {
    return pleat_import_call(imp, scope, message, function, index);
  }
  PLEAT_TRY(pleat_import_new_node(imp, scope, &node));
  if (!name_node(imp, scope->frame, message, node)) return PLEAT_OOM(imp->error);
  PLEAT_TRY(pleat_import_inputs(imp, scope, message, &node->inputs));
  node->input_count = message->n_input;
  for (size_t i = 0; i < node->input_count; i++) {
    if (node->inputs[i] != NULL && !pleat_value_add_use(node->inputs[i], node, i)) return PLEAT_OOM(imp->error);
  }
  if (function == NULL) node->def = pleat_op_find(node->domain, node->op_type);
  if (node->def != NULL) {
    node->version = pleat_op_version_at(node->def, pleat_frame_opset(imp, scope->frame, node->domain));
    if (node->version == NULL) node->def = NULL;
  }
  PLEAT_TRY(pleat_import_attrs(imp, scope, message, node));
  PLEAT_TRY(import_outputs(imp, scope, message, node));
  pleat_graph_link_node(scope->graph, scope->graph->last, node);
  return pleat_import_check_node(imp, node);
}

pleat_status pleat_import_nodes(pleat_importer *imp, pleat_scope *scope, Onnx__NodeProto *const *nodes, size_t count) {
  char label[256];
  scope->nodes = nodes;
  scope->node_count = count;
  for (size_t i = 0; i < count; i++) {
    pleat_status status = import_node(imp, scope, nodes[i], i);
    if (status == PLEAT_OK) continue;
    pleat_op_label(pleat_text(nodes[i]->name), pleat_text(nodes[i]->op_type), i, label, sizeof label);
    const char *full = pleat_arena_printf(imp->scratch, "%s%s", scope->frame->prefix, label);
    pleat_error_at_node(imp->error, full != NULL ? full : label);
    return status;
  }
  return PLEAT_OK;
}

/* ---- graphs ---- */

static pleat_status import_graph_inputs(pleat_importer *imp, const Onnx__GraphProto *message, pleat_scope *scope) {
  pleat_graph *graph = scope->graph;
  for (size_t i = 0; i < message->n_input; i++) {
    const Onnx__ValueInfoProto *info = message->input[i];
    pleat_value *value = NULL;
    if (pleat_text(info->name)[0] == '\0') {
      return pleat_fail(imp->error, PLEAT_MALFORMED_MODEL, "graph input %zu has no name", i);
    }
    PLEAT_TRY(pleat_scope_define(imp, scope, info->name, &value));
    value->is_input = true;
    PLEAT_TRY(pleat_import_value_info(imp, value, info));
    if (!PLEAT_PUSH(imp->root->arena, graph->inputs, graph->input_count, graph->input_capacity, value)) {
      return PLEAT_OOM(imp->error);
    }
  }
  return PLEAT_OK;
}

static pleat_status add_initializer(pleat_importer *imp, pleat_scope *scope, const char *name, const void *src,
                                    bool sparse, pleat_value **out_value) {
  pleat_graph *graph = scope->graph;
  const pleat_scope_entry *entry = pleat_scope_find_here(scope, name);
  pleat_value *value = entry != NULL ? entry->value : NULL;
  if (name[0] == '\0') {
    return pleat_fail(imp->error, PLEAT_MALFORMED_MODEL, "initializer %zu has no name", graph->initializer_count);
  }
  if (value == NULL || value->is_initializer) PLEAT_TRY(pleat_scope_define(imp, scope, name, &value));
  if (imp->message->ir_version < 4) value->is_input = false;
  value->is_initializer = true;
  value->src_init = src;
  value->src_init_sparse = sparse;
  if (!PLEAT_PUSH(imp->root->arena, graph->initializers, graph->initializer_count, graph->initializer_capacity,
                  value)) {
    return PLEAT_OOM(imp->error);
  }
  *out_value = value;
  return PLEAT_OK;
}

static pleat_status import_initializers(pleat_importer *imp, const Onnx__GraphProto *message, pleat_scope *scope) {
  pleat_value *value = NULL;
  for (size_t i = 0; i < message->n_initializer; i++) {
    const Onnx__TensorProto *tensor = message->initializer[i];
    PLEAT_TRY(add_initializer(imp, scope, pleat_text(tensor->name), tensor, false, &value));
    PLEAT_TRY(pleat_import_tensor_type(imp, value, tensor->data_type, tensor->n_dims, tensor->dims));
  }
  for (size_t i = 0; i < message->n_sparse_initializer; i++) {
    const Onnx__SparseTensorProto *tensor = message->sparse_initializer[i];
    if (tensor->values == NULL || tensor->indices == NULL) {
      return pleat_fail(imp->error, PLEAT_MALFORMED_MODEL, "sparse initializer %zu has no values or no indices", i);
    }
    PLEAT_TRY(add_initializer(imp, scope, pleat_text(tensor->values->name), tensor, true, &value));
    PLEAT_TRY(pleat_import_tensor_type(imp, value, tensor->values->data_type, tensor->n_dims, tensor->dims));
  }
  return PLEAT_OK;
}

static pleat_status import_graph_outputs(pleat_importer *imp, const Onnx__GraphProto *message, pleat_scope *scope) {
  pleat_graph *graph = scope->graph;
  for (size_t i = 0; i < message->n_output; i++) {
    const char *name = pleat_text(message->output[i]->name);
    const pleat_scope_entry *entry = pleat_scope_find_here(scope, name);
    if (entry == NULL || entry->value == NULL) {
      return pleat_fail_tensor(imp->error, name, PLEAT_MALFORMED_MODEL,
                               pleat_scope_find(scope, name) != NULL
                                   ? "subgraph output '%s' is a value of an outer graph: put an Identity node between"
                                   : "graph output '%s' is produced by nothing in the graph",
                               name);
    }
    entry->value->is_output = true;
    PLEAT_TRY(pleat_import_value_info(imp, entry->value, message->output[i]));
    if (!PLEAT_PUSH(imp->root->arena, graph->outputs, graph->output_count, graph->output_capacity, entry->value)) {
      return PLEAT_OOM(imp->error);
    }
  }
  for (size_t i = 0; i < message->n_value_info; i++) {
    const pleat_scope_entry *entry = pleat_scope_find_here(scope, pleat_text(message->value_info[i]->name));
    if (entry != NULL && entry->value != NULL) {
      PLEAT_TRY(pleat_import_value_info(imp, entry->value, message->value_info[i]));
    }
  }
  return PLEAT_OK;
}

pleat_status pleat_import_graph(pleat_importer *imp, const Onnx__GraphProto *message, pleat_scope *scope) {
  scope->graph->name = pleat_text(message->name);
  scope->graph->src = message;
  PLEAT_TRY(import_graph_inputs(imp, message, scope));
  PLEAT_TRY(import_initializers(imp, message, scope));
  PLEAT_TRY(pleat_import_nodes(imp, scope, message->node, message->n_node));
  return import_graph_outputs(imp, message, scope);
}

pleat_status pleat_import_subgraph(pleat_importer *imp, pleat_scope *scope, const Onnx__GraphProto *message,
                                   pleat_node *owner, pleat_graph **out_graph) {
  *out_graph = NULL;
  if (imp->graph_depth >= PLEAT_LIMIT_GRAPH_DEPTH) {
    return pleat_fail(imp->error, PLEAT_MALFORMED_MODEL, "subgraphs are nested deeper than %d, the limit",
                      (int)PLEAT_LIMIT_GRAPH_DEPTH);
  }
  pleat_graph *graph = pleat_graph_new_subgraph(owner);
  pleat_scope *inner = graph == NULL ? NULL : pleat_scope_create(imp, scope, scope->frame, graph);
  if (inner == NULL) return PLEAT_OOM(imp->error);
  if (scope->frame->function != NULL) pleat_graph_touch(graph);
  imp->graph_depth++;
  pleat_status status = pleat_import_graph(imp, message, inner);
  imp->graph_depth--;
  pleat_scope_clear(inner);
  if (status == PLEAT_OK) *out_graph = graph;
  return status;
}

/* ---- the model ---- */

/* Old models import no opset: they mean version 1 of the default domain. */
static pleat_status import_opsets(pleat_importer *imp) {
  pleat_graph *root = imp->root;
  size_t count = imp->message->n_opset_import;
  root->opset_domains = pleat_arena_array(root->arena, count + 1, sizeof(char *));
  root->opset_versions = pleat_arena_array(root->arena, count + 1, sizeof(int64_t));
  if (root->opset_domains == NULL || root->opset_versions == NULL) return PLEAT_OOM(imp->error);
  for (size_t i = 0; i < count; i++) {
    const Onnx__OperatorSetIdProto *opset = imp->message->opset_import[i];
    root->opset_domains[i] = pleat_normal_domain(opset->domain);
    root->opset_versions[i] = opset->version;
    if (opset->version < 1) {
      return pleat_fail(imp->error, PLEAT_MALFORMED_MODEL,
                        "opset_import of domain '%s' has version %lld, must be at least 1", root->opset_domains[i],
                        (long long)opset->version);
    }
  }
  root->opset_count = count;
  if (pleat_graph_opset(root, "") == 0) {
    root->opset_domains[count] = "";
    root->opset_versions[count] = 1;
    root->opset_count++;
  }
  return PLEAT_OK;
}

pleat_status pleat_graph_import(const pleat_model *model, const pleat_import_options *options, pleat_graph **out_graph,
                                pleat_error *error) {
  pleat_status status = PLEAT_OK;
  pleat_importer imp = {.message = model->message, .error = error};
  pleat_frame frame = {.prefix = ""};
  pleat_scope *scope = NULL;
  *out_graph = NULL;
  imp.inline_functions = options != NULL && options->inline_functions;
  imp.inline_norms = options != NULL && options->inline_norms;
  imp.root = pleat_graph_new_root(model);
  imp.scratch = pleat_arena_create();
  if (imp.root == NULL || imp.scratch == NULL || (scope = pleat_scope_create(&imp, NULL, &frame, imp.root)) == NULL) {
    status = PLEAT_OOM(error);
    goto fail;
  }
  if (imp.message->graph == NULL) {
    status = pleat_fail(error, PLEAT_MALFORMED_MODEL, "the file has no graph: it is not an ONNX model");
    goto fail;
  }
  imp.root->ir_version = imp.message->ir_version;
  PLEAT_CHECK(import_opsets(&imp));
  PLEAT_CHECK(pleat_import_functions(&imp));
  PLEAT_CHECK(pleat_import_graph(&imp, imp.message->graph, scope));
  *out_graph = imp.root;
  imp.root = NULL;
fail:
  pleat_scope_clear(scope);
  HASH_CLEAR(hh, imp.functions);
  pleat_arena_destroy(imp.scratch);
  pleat_graph_destroy(imp.root);
  return status;
}

/* The model's local functions: finding them, and replacing a call by the function's body.
 *
 * A body is imported like any nodes, in a scope of its own: formal inputs are bound to the call's arguments, formal
 * outputs get the names that the call gives them, everything else is named "<call>/<name>". An attribute that refers to
 * one of the function's is replaced by the call's attribute, or the function's default; without either it is absent.
 * A subgraph that is passed as an attribute resolves its names where the call stands. Source: ONNX IR.md, "Functions".
 */
#include "graph/import.h"

#include <string.h>

static const char *function_key(pleat_importer *imp, const char *domain, const char *name, const char *overload) {
  return pleat_arena_printf(imp->scratch, "%s\n%s\n%s", pleat_normal_domain(domain), pleat_text(name),
                            pleat_text(overload));
}

pleat_status pleat_import_functions(pleat_importer *imp) {
  for (size_t i = 0; i < imp->message->n_functions; i++) {
    const Onnx__FunctionProto *function = imp->message->functions[i];
    pleat_function_entry *entry = pleat_arena_alloc(imp->scratch, sizeof *entry), *other = NULL;
    if (pleat_text(function->name)[0] == '\0') {
      return pleat_fail(imp->error, PLEAT_MALFORMED_MODEL, "function %zu has no name", i);
    }
    if (entry != NULL) entry->key = function_key(imp, function->domain, function->name, function->overload);
    if (entry == NULL || entry->key == NULL) return PLEAT_OOM(imp->error);
    HASH_FIND(hh, imp->functions, entry->key, strlen(entry->key), other);
    if (other != NULL) {
      return pleat_fail(imp->error, PLEAT_MALFORMED_MODEL, "function '%s' of domain '%s' is defined twice",
                        function->name, pleat_normal_domain(function->domain));
    }
    entry->function = function;
    entry->index = i;
    HASH_ADD_KEYPTR(hh, imp->functions, entry->key, strlen(entry->key), entry);
    if (entry->hh.tbl == NULL) return PLEAT_OOM(imp->error);
  }
  return PLEAT_OK;
}

static pleat_function_entry *find_entry(pleat_importer *imp, const Onnx__NodeProto *call) {
  pleat_function_entry *entry = NULL;
  if (imp->functions == NULL) return NULL;
  const char *key = function_key(imp, call->domain, call->op_type, call->overload);
  if (key != NULL) HASH_FIND(hh, imp->functions, key, strlen(key), entry);
  return entry;
}

const Onnx__FunctionProto *pleat_import_function(pleat_importer *imp, const Onnx__NodeProto *call) {
  const pleat_function_entry *entry = find_entry(imp, call);
  return entry != NULL ? entry->function : NULL;
}

static bool nodes_reach_norm(pleat_importer *imp, Onnx__NodeProto *const *nodes, size_t count);

/* Whether a BatchNormalization stands in the body, or in what it calls. Asked once a function. */
static bool function_reaches_norm(pleat_importer *imp, pleat_function_entry *entry) {
  if (!entry->is_searched) {
    entry->is_searched = true; /* before the search: a function that calls itself is rejected later */
    entry->reaches_norm = nodes_reach_norm(imp, entry->function->node, entry->function->n_node);
  }
  return entry->reaches_norm;
}

static bool graph_reaches_norm(pleat_importer *imp, const Onnx__GraphProto *graph) {
  return graph != NULL && nodes_reach_norm(imp, graph->node, graph->n_node);
}

static bool nodes_reach_norm(pleat_importer *imp, Onnx__NodeProto *const *nodes, size_t count) {
  for (size_t i = 0; i < count; i++) {
    const Onnx__NodeProto *node = nodes[i];
    pleat_function_entry *callee = find_entry(imp, node);
    const bool is_default = pleat_normal_domain(node->domain)[0] == '\0';
    if (callee != NULL && function_reaches_norm(imp, callee)) return true;
    if (callee == NULL && is_default && strcmp(pleat_text(node->op_type), "BatchNormalization") == 0) return true;
    for (size_t k = 0; k < node->n_attribute; k++) {
      const Onnx__AttributeProto *attr = node->attribute[k];
      if (graph_reaches_norm(imp, attr->g)) return true;
      for (size_t g = 0; g < attr->n_graphs; g++) {
        if (graph_reaches_norm(imp, attr->graphs[g])) return true;
      }
    }
  }
  return false;
}

bool pleat_import_wants_inline(pleat_importer *imp, const Onnx__NodeProto *call) {
  pleat_function_entry *entry = imp->inline_norms && !imp->inline_functions ? find_entry(imp, call) : NULL;
  return imp->inline_functions || (entry != NULL && function_reaches_norm(imp, entry));
}

bool pleat_frame_resolve(const pleat_frame *frame, pleat_scope *scope, const Onnx__AttributeProto *message,
                         pleat_binding *out_binding) {
  for (size_t i = 0; i < frame->binding_count; i++) {
    if (strcmp(frame->bindings[i].name, message->ref_attr_name) != 0) continue;
    *out_binding = frame->bindings[i];
    return true;
  }
  for (size_t i = 0; i < frame->function->n_attribute_proto; i++) {
    const Onnx__AttributeProto *proto = frame->function->attribute_proto[i];
    if (strcmp(pleat_text(proto->name), message->ref_attr_name) != 0) continue;
    *out_binding = (pleat_binding){.name = proto->name, .proto = proto, .scope = scope};
    return pleat_text(proto->ref_attr_name)[0] == '\0';
  }
  return false;
}

/* The call's attributes, with references of the caller's own frame followed. */
static pleat_status bind_attributes(pleat_importer *imp, pleat_scope *scope, const Onnx__NodeProto *call,
                                    pleat_frame *frame) {
  frame->bindings = pleat_arena_array(imp->scratch, call->n_attribute, sizeof *frame->bindings);
  if (frame->bindings == NULL) return PLEAT_OOM(imp->error);
  for (size_t i = 0; i < call->n_attribute; i++) {
    const Onnx__AttributeProto *attr = call->attribute[i];
    pleat_binding binding = {.proto = attr, .scope = scope};
    if (pleat_text(attr->ref_attr_name)[0] != '\0' &&
        (scope->frame->function == NULL || !pleat_frame_resolve(scope->frame, scope, attr, &binding))) {
      continue;
    }
    binding.name = pleat_text(attr->name);
    frame->bindings[frame->binding_count++] = binding;
  }
  return PLEAT_OK;
}

static pleat_status check_call(pleat_importer *imp, const pleat_scope *scope, const Onnx__NodeProto *call,
                               const Onnx__FunctionProto *function) {
  for (const pleat_frame *frame = scope->frame; frame != NULL; frame = frame->caller) {
    if (frame->function == function) {
      return pleat_fail(imp->error, PLEAT_MALFORMED_MODEL, "function '%s' calls itself", function->name);
    }
  }
  if (imp->function_depth >= PLEAT_LIMIT_FUNCTION_DEPTH) {
    return pleat_fail(imp->error, PLEAT_MALFORMED_MODEL, "function calls are nested deeper than %d, the limit",
                      (int)PLEAT_LIMIT_FUNCTION_DEPTH);
  }
  if (call->n_input > function->n_input || call->n_output > function->n_output) {
    return pleat_fail(imp->error, PLEAT_MALFORMED_MODEL,
                      "function '%s' has %zu inputs and %zu outputs, but is called with %zu and %zu", function->name,
                      function->n_input, function->n_output, call->n_input, call->n_output);
  }
  return PLEAT_OK;
}

/* A body may need domains that the model itself does not import. */
static pleat_status import_body_opsets(pleat_importer *imp, const Onnx__FunctionProto *function) {
  pleat_graph *root = imp->root;
  const size_t given = imp->message->n_opset_import;
  for (size_t i = 0; i < function->n_opset_import; i++) {
    const char *domain = pleat_normal_domain(function->opset_import[i]->domain);
    size_t count = root->opset_count;
    if (domain[0] == '\0' && count > given && root->opset_domains[given][0] == '\0' &&
        root->opset_versions[given] == 1) {
      root->opset_versions[given] = function->opset_import[i]->version; /* was only implied */
    }
    if (pleat_graph_opset(root, domain) != 0) continue;
    const char **domains = pleat_arena_array(root->arena, count + 1, sizeof *domains);
    int64_t *versions = pleat_arena_array(root->arena, count + 1, sizeof *versions);
    if (domains == NULL || versions == NULL) return PLEAT_OOM(imp->error);
    memcpy(domains, root->opset_domains, count * sizeof *domains);
    memcpy(versions, root->opset_versions, count * sizeof *versions);
    domains[count] = domain;
    versions[count] = function->opset_import[i]->version;
    root->opset_domains = domains;
    root->opset_versions = versions;
    root->opset_count = count + 1;
  }
  return PLEAT_OK;
}

/* Which of the body's values get the caller's names: the first formal output of each name, if a node computes it. */
static pleat_status name_outputs(pleat_importer *imp, pleat_scope *scope, const Onnx__NodeProto *call,
                                 pleat_frame *frame) {
  frame->outputs = pleat_arena_array(imp->scratch, call->n_output, sizeof *frame->outputs);
  frame->output_names = pleat_arena_array(imp->scratch, call->n_output, sizeof *frame->output_names);
  if (frame->outputs == NULL || frame->output_names == NULL) return PLEAT_OOM(imp->error);
  for (size_t i = 0; i < call->n_output; i++) {
    frame->outputs[i] = frame->function->output[i];
    if (call->output[i][0] == '\0') continue;
    frame->output_names[i] = pleat_scope_graph_name(imp, scope, call->output[i]);
    if (frame->output_names[i] == NULL) return PLEAT_OOM(imp->error);
  }
  frame->output_count = call->n_output;
  return PLEAT_OK;
}

/* An output of the call that is an input of the function, or the same value as another output. */
static pleat_status copy_output(pleat_importer *imp, pleat_scope *scope, pleat_value *from, const char *name) {
  pleat_node *node = NULL;
  pleat_value *to = NULL;
  PLEAT_TRY(pleat_import_new_node(imp, scope, &node));
  PLEAT_TRY(pleat_scope_define(imp, scope, name, &to));
  node->op_type = "Identity";
  node->edited = true;
  node->def = pleat_op_find("", node->op_type);
  if (node->def != NULL) node->version = pleat_op_version_at(node->def, pleat_graph_opset(imp->root, ""));
  pleat_graph_link_node(scope->graph, scope->graph->last, node);
  return pleat_node_set_input(node, 0, from) && pleat_node_set_output(node, 0, to) ? PLEAT_OK : PLEAT_OOM(imp->error);
}

static pleat_status bind_outputs(pleat_importer *imp, pleat_scope *scope, const Onnx__NodeProto *call,
                                 const pleat_frame *frame, const pleat_scope *body) {
  for (size_t i = 0; i < call->n_output; i++) {
    const char *name = call->output[i], *formal = frame->outputs[i];
    if (name[0] == '\0') continue;
    const pleat_scope_entry *entry = pleat_scope_find_here(body, formal);
    if (entry == NULL || entry->value == NULL) {
      return pleat_fail(imp->error, PLEAT_MALFORMED_MODEL, "output '%s' of function '%s' is produced by nothing in it",
                        formal, frame->function->name);
    }
    if (strcmp(entry->value->name, frame->output_names[i]) != 0 || entry->value->graph != scope->graph) {
      PLEAT_TRY(copy_output(imp, scope, entry->value, name));
    } else if (pleat_scope_find_here(scope, name) != NULL) {
      pleat_value *twice = NULL;
      return pleat_scope_define(imp, scope, name, &twice);
    } else if (!pleat_scope_bind(imp, scope, name, entry->value)) {
      return PLEAT_OOM(imp->error);
    }
  }
  return PLEAT_OK;
}

static pleat_status bind_inputs(pleat_importer *imp, const Onnx__NodeProto *call, pleat_value *const *arguments,
                                const Onnx__FunctionProto *function, pleat_scope *body) {
  for (size_t i = 0; i < function->n_input; i++) {
    if (pleat_scope_find_here(body, function->input[i]) != NULL) {
      return pleat_fail(imp->error, PLEAT_MALFORMED_MODEL, "function '%s' has two inputs named '%s'", function->name,
                        function->input[i]);
    }
    if (!pleat_scope_bind(imp, body, function->input[i], i < call->n_input ? arguments[i] : NULL)) {
      return PLEAT_OOM(imp->error);
    }
  }
  return PLEAT_OK;
}

/* So that export can leave out what nothing calls any more. */
static pleat_status note_inlined(pleat_importer *imp, const Onnx__NodeProto *call) {
  pleat_graph *root = imp->root;
  const pleat_function_entry *entry = find_entry(imp, call);
  if (root->inlined == NULL) {
    root->inlined = pleat_arena_array(root->arena, imp->message->n_functions, sizeof *root->inlined);
  }
  if (root->inlined == NULL || entry == NULL) return PLEAT_OOM(imp->error);
  root->inlined[entry->index] = true;
  return PLEAT_OK;
}

pleat_status pleat_import_call(pleat_importer *imp, pleat_scope *scope, const Onnx__NodeProto *call,
                               const Onnx__FunctionProto *function, size_t index) {
  pleat_status status = PLEAT_OK;
  pleat_value **arguments = NULL;
  char label[256];
  pleat_frame *frame = pleat_arena_alloc(imp->scratch, sizeof *frame);
  pleat_scope *body = pleat_scope_create(imp, NULL, frame, scope->graph);
  if (frame == NULL || body == NULL) return PLEAT_OOM(imp->error);
  pleat_op_label(pleat_text(call->name), call->op_type, index, label, sizeof label);
  frame->caller = scope->frame;
  frame->function = function;
  frame->prefix = pleat_arena_printf(imp->scratch, "%s%s/", scope->frame->prefix, label);
  if (frame->prefix == NULL) return PLEAT_OOM(imp->error);
  PLEAT_TRY(check_call(imp, scope, call, function));
  PLEAT_TRY(pleat_import_inputs(imp, scope, call, &arguments));
  PLEAT_TRY(bind_attributes(imp, scope, call, frame));
  PLEAT_TRY(name_outputs(imp, scope, call, frame));
  PLEAT_TRY(import_body_opsets(imp, function));
  PLEAT_TRY(note_inlined(imp, call));
  pleat_graph_touch(scope->graph);
  imp->function_depth++;
  PLEAT_CHECK(bind_inputs(imp, call, arguments, function, body));
  PLEAT_CHECK(pleat_import_nodes(imp, body, function->node, function->n_node));
  PLEAT_CHECK(bind_outputs(imp, scope, call, frame, body));
fail:
  imp->function_depth--;
  pleat_scope_clear(body);
  return status;
}

/* Attributes: from AttributeProto to pleat_attr, and nodes checked against the operators' definitions.
 *
 * Numbers and strings in lists stay where they are, in the decoded message. Attributes that no definition knows are
 * kept and tolerated; those that it knows must have its type, because kernels read them unchecked. */
#include "graph/import.h"

#include <stdio.h>
#include <string.h>

static const char *attr_type_name(int type) {
  static const char *const names[] = {
      "UNDEFINED", "FLOAT",   "INT",    "STRING",        "TENSOR",         "GRAPH",      "FLOATS",     "INTS",
      "STRINGS",   "TENSORS", "GRAPHS", "SPARSE_TENSOR", "SPARSE_TENSORS", "TYPE_PROTO", "TYPE_PROTOS"};
  return type >= 0 && type <= PLEAT_ATTR_TYPE_PROTOS ? names[type] : "UNDEFINED";
}

/* Files before IR version 2 do not say the type: the field that is filled does. */
static int attr_type(const Onnx__AttributeProto *a) {
  if (a->has_type && a->type != 0) return (int)a->type;
  const struct {
    bool filled;
    pleat_attr_type type;
  } fields[] = {{a->has_f, PLEAT_ATTR_FLOAT},
                {a->has_i, PLEAT_ATTR_INT},
                {a->has_s, PLEAT_ATTR_STRING},
                {a->t != NULL, PLEAT_ATTR_TENSOR},
                {a->g != NULL, PLEAT_ATTR_GRAPH},
                {a->sparse_tensor != NULL, PLEAT_ATTR_SPARSE_TENSOR},
                {a->tp != NULL, PLEAT_ATTR_TYPE_PROTO},
                {a->n_floats != 0, PLEAT_ATTR_FLOATS},
                {a->n_ints != 0, PLEAT_ATTR_INTS},
                {a->n_strings != 0, PLEAT_ATTR_STRINGS},
                {a->n_tensors != 0, PLEAT_ATTR_TENSORS},
                {a->n_graphs != 0, PLEAT_ATTR_GRAPHS},
                {a->n_sparse_tensors != 0, PLEAT_ATTR_SPARSE_TENSORS},
                {a->n_type_protos != 0, PLEAT_ATTR_TYPE_PROTOS}};
  for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
    if (fields[i].filled) return (int)fields[i].type;
  }
  return PLEAT_ATTR_UNDEFINED;
}

static pleat_status import_strings(pleat_importer *imp, const Onnx__AttributeProto *a, pleat_attr *attr) {
  pleat_string *strings = pleat_arena_array(imp->root->arena, a->n_strings, sizeof *strings);
  if (strings == NULL) return PLEAT_OOM(imp->error);
  for (size_t i = 0; i < a->n_strings; i++) {
    strings[i] = (pleat_string){.data = (const char *)a->strings[i].data, .size = a->strings[i].len};
  }
  attr->strings = strings;
  attr->count = a->n_strings;
  return PLEAT_OK;
}

static pleat_status import_graphs(pleat_importer *imp, pleat_scope *scope, const Onnx__AttributeProto *a,
                                  pleat_node *node, pleat_attr *attr) {
  attr->graphs = pleat_arena_array(imp->root->arena, a->n_graphs, sizeof *attr->graphs);
  if (attr->graphs == NULL) return PLEAT_OOM(imp->error);
  for (size_t i = 0; i < a->n_graphs; i++) {
    PLEAT_TRY(pleat_import_subgraph(imp, scope, a->graphs[i], node, &attr->graphs[i]));
  }
  attr->count = a->n_graphs;
  return PLEAT_OK;
}

static pleat_status missing_field(pleat_importer *imp, const pleat_attr *attr) {
  return pleat_fail(imp->error, PLEAT_MALFORMED_MODEL, "attribute '%s' says that it is a %s but holds none", attr->name,
                    attr_type_name((int)attr->type));
}

/* `scope` is where the value's subgraphs resolve their names; of a reference, that of the call. */
static pleat_status import_value(pleat_importer *imp, pleat_scope *scope, const Onnx__AttributeProto *a,
                                 pleat_node *node, pleat_attr *attr) {
  switch (attr->type) {
  case PLEAT_ATTR_FLOAT:
    attr->f = a->f;
    return PLEAT_OK;
  case PLEAT_ATTR_INT:
    attr->i = a->i;
    return PLEAT_OK;
  case PLEAT_ATTR_STRING:
    attr->count = a->s.len;
    attr->s = pleat_arena_strndup(imp->root->arena, a->s.len != 0 ? (const char *)a->s.data : "", a->s.len);
    return attr->s != NULL ? PLEAT_OK : PLEAT_OOM(imp->error);
  case PLEAT_ATTR_FLOATS:
    attr->floats = a->floats;
    attr->count = a->n_floats;
    return PLEAT_OK;
  case PLEAT_ATTR_INTS:
    attr->ints = a->ints;
    attr->count = a->n_ints;
    return PLEAT_OK;
  case PLEAT_ATTR_STRINGS:
    return import_strings(imp, a, attr);
  case PLEAT_ATTR_TENSOR:
    if (a->t == NULL) return missing_field(imp, attr);
    return pleat_graph_tensor(imp->root, a->t, &attr->tensor, imp->error);
  case PLEAT_ATTR_SPARSE_TENSOR:
    if (a->sparse_tensor == NULL) return missing_field(imp, attr);
    return pleat_graph_sparse_tensor(imp->root, a->sparse_tensor, &attr->tensor, imp->error);
  case PLEAT_ATTR_GRAPH:
    if (a->g == NULL) return missing_field(imp, attr);
    return pleat_import_subgraph(imp, scope, a->g, node, &attr->graph);
  case PLEAT_ATTR_GRAPHS:
    return import_graphs(imp, scope, a, node, attr);
  default:
    return PLEAT_OK; /* TENSORS, type protos...: no operator here reads them; `src` keeps them */
  }
}

static pleat_status import_attr(pleat_importer *imp, pleat_scope *scope, const Onnx__AttributeProto *message,
                                pleat_node *node) {
  pleat_binding binding = {.proto = message, .scope = scope};
  const char *name = pleat_text(message->name);
  if (name[0] == '\0') return pleat_fail(imp->error, PLEAT_MALFORMED_MODEL, "an attribute has no name");
  if (pleat_node_attr(node, name) != NULL) {
    return pleat_fail(imp->error, PLEAT_MALFORMED_MODEL, "attribute '%s' is given twice", name);
  }
  if (pleat_text(message->ref_attr_name)[0] != '\0') {
    if (scope->frame->function == NULL) {
      return pleat_fail(imp->error, PLEAT_MALFORMED_MODEL,
                        "attribute '%s' refers to attribute '%s' of a function, but the node is in no function", name,
                        message->ref_attr_name);
    }
    if (!pleat_frame_resolve(scope->frame, scope, message, &binding)) return PLEAT_OK; /* absent in the call: absent */
  }
  pleat_attr attr = {.name = name, .type = (pleat_attr_type)attr_type(binding.proto), .src = binding.proto};
  PLEAT_TRY(import_value(imp, binding.scope, binding.proto, node, &attr));
  return PLEAT_PUSH(imp->root->arena, node->attrs, node->attr_count, node->attr_capacity, attr) ? PLEAT_OK
                                                                                                : PLEAT_OOM(imp->error);
}

pleat_status pleat_import_attrs(pleat_importer *imp, pleat_scope *scope, const Onnx__NodeProto *message,
                                pleat_node *node) {
  for (size_t i = 0; i < message->n_attribute; i++) {
    PLEAT_TRY(import_attr(imp, scope, message->attribute[i], node));
  }
  return PLEAT_OK;
}

/* ---- against the definition ---- */

static bool is_list(pleat_attr_type type) {
  return type == PLEAT_ATTR_FLOATS || type == PLEAT_ATTR_INTS || type == PLEAT_ATTR_STRINGS;
}

static pleat_status check_attr(pleat_importer *imp, const pleat_node *node, const pleat_op_attr *def) {
  pleat_attr *attr = NULL;
  for (size_t i = 0; i < node->attr_count; i++) {
    if (strcmp(node->attrs[i].name, def->name) == 0) attr = &node->attrs[i];
  }
  if (attr == NULL) {
    if (!def->required) return PLEAT_OK;
    return pleat_fail(imp->error, PLEAT_MALFORMED_MODEL, "%s (opset %d): attribute '%s' is required but missing",
                      node->op_type, node->version->since, def->name);
  }
  if (attr->type == PLEAT_ATTR_UNDEFINED && is_list(def->type)) {
    attr->type = def->type; /* an empty list in a file that does not write types down */
    attr->count = 0;
  }
  if (attr->type == def->type) return PLEAT_OK;
  return pleat_fail(imp->error, PLEAT_MALFORMED_MODEL, "%s (opset %d): attribute '%s' must be %s, found %s",
                    node->op_type, node->version->since, def->name, attr_type_name((int)def->type),
                    attr_type_name((int)attr->type));
}

static pleat_status check_slots(pleat_importer *imp, const pleat_node *node, const char *what,
                                pleat_value *const *values, size_t count, int min, int max) {
  if (count < (size_t)min || (max >= 0 && count > (size_t)max)) {
    char range[32] = "";
    if (max < 0) snprintf(range, sizeof range, "at least %d", min);
    else if (min == max) snprintf(range, sizeof range, "%d", min);
    else snprintf(range, sizeof range, "%d to %d", min, max);
    return pleat_fail(imp->error, PLEAT_MALFORMED_MODEL, "%s (opset %d) takes %s %ss, found %zu", node->op_type,
                      node->version->since, range, what, count);
  }
  for (int i = 0; i < min; i++) {
    if (values[i] == NULL) {
      return pleat_fail(imp->error, PLEAT_MALFORMED_MODEL, "%s (opset %d): %s %d is required but has no name",
                        node->op_type, node->version->since, what, i);
    }
  }
  return PLEAT_OK;
}

pleat_status pleat_import_check_node(pleat_importer *imp, const pleat_node *node) {
  const pleat_op_version *version = node->version;
  if (node->def == NULL) return PLEAT_OK;
  for (const pleat_op_attr *def = node->def->attrs; def != NULL && def->name != NULL; def++) {
    if (pleat_op_attr_in_version(def, version)) PLEAT_TRY(check_attr(imp, node, def));
  }
  PLEAT_TRY(check_slots(imp, node, "input", node->inputs, node->input_count, version->min_inputs, version->max_inputs));
  return check_slots(imp, node, "output", node->outputs, node->output_count, version->min_outputs,
                     version->max_outputs);
}

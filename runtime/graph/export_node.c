/* Nodes and attributes back to their messages.
 *
 * A node that was not edited, and holds no subgraph that was, is its source message. Of an edited one, the attributes
 * that were not are. */
#include "graph/export.h"

#include <string.h>

/* ---- tensors ---- */

pleat_status pleat_export_tensor(pleat_exporter *ex, const pleat_tensor *tensor, const char *name,
                                 Onnx__TensorProto **out_message) {
  pleat_model *model = ex->model;
  pleat_tensor *owned = NULL;
  *out_message = NULL;
  if (tensor->refs > 0) {
    owned = pleat_tensor_retain((pleat_tensor *)(uintptr_t)tensor);
  } else { /* a descriptor, whose memory may go with the graph */
    PLEAT_TRY(pleat_tensor_clone(tensor, &owned, ex->error));
  }
  if (!PLEAT_PUSH(model->arena, model->owned, model->owned_count, ex->owned_capacity, owned)) {
    pleat_tensor_release(owned);
    return PLEAT_OOM(ex->error);
  }
  const char *copy = pleat_export_text(ex, name);
  if (copy == NULL) return PLEAT_OOM(ex->error);
  return pleat_tensor_to_proto(owned, copy, model->arena, out_message, ex->error);
}

/* ---- attributes ---- */

static bool copy_bytes(pleat_exporter *ex, const void *data, size_t size, ProtobufCBinaryData *out) {
  out->len = size;
  out->data = pleat_arena_alloc(ex->model->arena, size);
  if (out->data != NULL && size != 0) memcpy(out->data, data, size);
  return out->data != NULL;
}

static bool copy_array(pleat_exporter *ex, const void *data, size_t count, size_t width, void *out_array) {
  void *copy = pleat_arena_array(ex->model->arena, count, width);
  if (copy != NULL && count != 0) memcpy(copy, data, count * width);
  memcpy(out_array, &copy, sizeof copy);
  return copy != NULL;
}

static bool copy_strings(pleat_exporter *ex, const pleat_attr *attr, Onnx__AttributeProto *message) {
  message->strings = pleat_arena_array(ex->model->arena, attr->count, sizeof *message->strings);
  message->n_strings = attr->count;
  bool ok = message->strings != NULL;
  for (size_t i = 0; ok && i < attr->count; i++) {
    ok = copy_bytes(ex, attr->strings[i].data, attr->strings[i].size, &message->strings[i]);
  }
  return ok;
}

static pleat_status export_graphs(pleat_exporter *ex, const pleat_attr *attr, Onnx__AttributeProto *message) {
  if (attr->type == PLEAT_ATTR_GRAPH) return pleat_export_graph(ex, attr->graph, &message->g);
  message->graphs = pleat_arena_array(ex->model->arena, attr->count, sizeof *message->graphs);
  if (message->graphs == NULL) return PLEAT_OOM(ex->error);
  message->n_graphs = attr->count;
  for (size_t i = 0; i < attr->count; i++) PLEAT_TRY(pleat_export_graph(ex, attr->graphs[i], &message->graphs[i]));
  return PLEAT_OK;
}

/* The value of an attribute that was made here. */
static pleat_status export_value(pleat_exporter *ex, const pleat_attr *attr, Onnx__AttributeProto *message) {
  bool ok = true;
  switch (attr->type) {
  case PLEAT_ATTR_FLOAT:
    message->has_f = true;
    message->f = attr->f;
    break;
  case PLEAT_ATTR_INT:
    message->has_i = true;
    message->i = attr->i;
    break;
  case PLEAT_ATTR_STRING:
    message->has_s = true;
    ok = copy_bytes(ex, attr->s, attr->count, &message->s);
    break;
  case PLEAT_ATTR_FLOATS:
    message->n_floats = attr->count;
    ok = copy_array(ex, attr->floats, attr->count, sizeof(float), &message->floats);
    break;
  case PLEAT_ATTR_INTS:
    message->n_ints = attr->count;
    ok = copy_array(ex, attr->ints, attr->count, sizeof(int64_t), &message->ints);
    break;
  case PLEAT_ATTR_STRINGS:
    ok = copy_strings(ex, attr, message);
    break;
  case PLEAT_ATTR_TENSOR:
    return pleat_export_tensor(ex, attr->tensor, "", &message->t);
  case PLEAT_ATTR_GRAPH:
  case PLEAT_ATTR_GRAPHS:
    return export_graphs(ex, attr, message);
  default:
    return pleat_fail(ex->error, PLEAT_INTERNAL, "attribute '%s' was made with a type that cannot be written",
                      attr->name);
  }
  return ok ? PLEAT_OK : PLEAT_OOM(ex->error);
}

static bool holds_edited_graph(const pleat_attr *attr) {
  pleat_graph *const *end = pleat_attr_graphs_end(attr);
  for (pleat_graph *const *graph = pleat_attr_graphs(attr); graph != end; graph++) {
    if ((*graph)->edited) return true;
  }
  return false;
}

static pleat_status export_attr(pleat_exporter *ex, const pleat_attr *attr, Onnx__AttributeProto **out_message) {
  const Onnx__AttributeProto *src = attr->src;
  bool edited_graph = holds_edited_graph(attr);
  if (src != NULL && !edited_graph && strcmp(pleat_text(src->name), attr->name) == 0) {
    *out_message = (Onnx__AttributeProto *)(uintptr_t)src;
    return PLEAT_OK;
  }
  Onnx__AttributeProto *message = pleat_arena_alloc(ex->model->arena, sizeof *message);
  if (message == NULL) return PLEAT_OOM(ex->error);
  if (src != NULL) *message = *src; /* another name (an attribute that a function's call gave), or another subgraph */
  else onnx__attribute_proto__init(message);
  message->name = pleat_export_text(ex, attr->name);
  if (message->name == NULL) return PLEAT_OOM(ex->error);
  message->has_type = message->has_type || src == NULL;
  message->type = src != NULL ? message->type : (Onnx__AttributeProto__AttributeType)attr->type;
  *out_message = message;
  if (src == NULL) return export_value(ex, attr, message);
  return edited_graph ? export_graphs(ex, attr, message) : PLEAT_OK;
}

/* ---- nodes ---- */

static bool node_changed(const pleat_node *node) {
  if (node->src == NULL || node->edited) return true;
  for (size_t i = 0; i < node->attr_count; i++) {
    if (holds_edited_graph(&node->attrs[i])) return true;
  }
  return false;
}

static bool export_names(pleat_exporter *ex, pleat_value *const *values, size_t count, size_t *out_count,
                         char ***out_names) {
  char **names = pleat_arena_array(ex->model->arena, count, sizeof *names);
  *out_count = count;
  *out_names = names;
  bool ok = names != NULL;
  for (size_t i = 0; ok && i < count; i++) {
    names[i] = pleat_export_text(ex, values[i] != NULL ? values[i]->name : "");
    ok = names[i] != NULL;
  }
  return ok;
}

/* A body of a function that imports another opset than the model may mean something else once it is in the model. */
static pleat_status check_version(pleat_exporter *ex, const pleat_node *node) {
  if (node->def == NULL) return PLEAT_OK;
  int64_t opset = pleat_graph_opset(ex->graph, node->domain);
  if (pleat_op_version_at(node->def, opset) == node->version) return PLEAT_OK;
  return pleat_fail(ex->error, PLEAT_UNSUPPORTED,
                    "%s is used as of opset %d by an inlined function, but the model imports opset %lld: export the "
                    "model without inlining its functions",
                    node->op_type, node->version->since, (long long)opset);
}

static bool set_text(pleat_exporter *ex, const char *text, char **out_text) {
  if (strcmp(pleat_text(*out_text), text) == 0) return true;
  *out_text = pleat_export_text(ex, text);
  return *out_text != NULL;
}

pleat_status pleat_export_node(pleat_exporter *ex, const pleat_node *node, Onnx__NodeProto **out_message) {
  const Onnx__NodeProto *src = node->src;
  if (!node_changed(node)) {
    *out_message = (Onnx__NodeProto *)(uintptr_t)src;
    return PLEAT_OK;
  }
  Onnx__NodeProto *message = pleat_arena_alloc(ex->model->arena, sizeof *message);
  if (message == NULL) return PLEAT_OOM(ex->error);
  if (src != NULL) *message = *src;
  else onnx__node_proto__init(message);
  PLEAT_TRY(check_version(ex, node));
  bool same_domain = strcmp(pleat_normal_domain(message->domain), node->domain) == 0;
  if (!set_text(ex, node->name, &message->name) || !set_text(ex, node->op_type, &message->op_type) ||
      (!same_domain && !set_text(ex, node->domain, &message->domain)) ||
      !set_text(ex, node->overload, &message->overload) ||
      !export_names(ex, node->inputs, node->input_count, &message->n_input, &message->input) ||
      !export_names(ex, node->outputs, node->output_count, &message->n_output, &message->output)) {
    return PLEAT_OOM(ex->error);
  }
  message->attribute = pleat_arena_array(ex->model->arena, node->attr_count, sizeof *message->attribute);
  if (message->attribute == NULL) return PLEAT_OOM(ex->error);
  message->n_attribute = node->attr_count;
  for (size_t i = 0; i < node->attr_count; i++) {
    PLEAT_TRY(export_attr(ex, &node->attrs[i], &message->attribute[i]));
  }
  *out_message = message;
  return PLEAT_OK;
}

pleat_status pleat_export_constant_node(pleat_exporter *ex, const pleat_value *value, Onnx__NodeProto **out_message) {
  pleat_attr attr = {.name = "value", .type = PLEAT_ATTR_TENSOR, .tensor = value->constant};
  pleat_value *outputs[1] = {(pleat_value *)(uintptr_t)value};
  const pleat_node node = {.name = "",
                           .op_type = "Constant",
                           .domain = "",
                           .overload = "",
                           .output_count = 1,
                           .outputs = outputs,
                           .attr_count = 1,
                           .attrs = &attr};
  return pleat_export_node(ex, &node, out_message);
}

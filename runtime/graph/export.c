/* From the graph IR back to a ModelProto.
 *
 * Starts from shallow copies of the source's messages, so that everything this code does not know about (documentation,
 * metadata, unknown fields, training info, functions) is kept, and replaces what the graph says differently. Nodes,
 * attributes and initializers that were not edited are the source's own messages. What the new messages point to lives
 * in the new model: its arena, tensors it retains, and the source model. */
#include "graph/export.h"

#include <stdlib.h>
#include <string.h>

/* ---- lists of messages ---- */

/* Room for `count` messages; the result is also stored in *out_list. */
static bool new_list(pleat_exporter *ex, size_t count, void *out_list) {
  void *list = pleat_arena_array(ex->model->arena, count, sizeof(void *));
  memcpy(out_list, &list, sizeof list);
  return list != NULL;
}

char *pleat_export_text(pleat_exporter *ex, const char *text) {
  return pleat_arena_strdup(ex->model->arena, text);
}

/* ---- values ---- */

/* A shape or type that the file does not state is not written. */
static Onnx__TensorShapeProto *export_shape(pleat_exporter *ex, const pleat_shape *shape) {
  Onnx__TensorShapeProto *message = pleat_arena_alloc(ex->model->arena, sizeof *message);
  if (message == NULL || shape->rank < 0) return NULL;
  onnx__tensor_shape_proto__init(message);
  message->n_dim = (size_t)shape->rank;
  if (!new_list(ex, message->n_dim, &message->dim)) return NULL;
  for (size_t i = 0; i < message->n_dim; i++) {
    Onnx__TensorShapeProto__Dimension *dim = pleat_arena_alloc(ex->model->arena, sizeof *dim);
    if (dim == NULL) return NULL;
    onnx__tensor_shape_proto__dimension__init(dim);
    if (shape->dims[i].value >= 0) {
      dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
      dim->dim_value = shape->dims[i].value;
    } else if (shape->dims[i].symbol != NULL) {
      dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
      dim->dim_param = pleat_export_text(ex, shape->dims[i].symbol);
      if (dim->dim_param == NULL) return NULL;
    }
    message->dim[i] = dim;
  }
  return message;
}

static Onnx__TypeProto *export_tensor_type(pleat_exporter *ex, const pleat_value *value) {
  Onnx__TypeProto *type = pleat_arena_alloc(ex->model->arena, sizeof *type);
  Onnx__TypeProto__Tensor *tensor = pleat_arena_alloc(ex->model->arena, sizeof *tensor);
  if (type == NULL || tensor == NULL) return NULL;
  onnx__type_proto__init(type);
  onnx__type_proto__tensor__init(tensor);
  tensor->has_elem_type = value->dtype != PLEAT_UNDEFINED;
  tensor->elem_type = (int32_t)value->dtype;
  if (value->shape.rank >= 0 && (tensor->shape = export_shape(ex, &value->shape)) == NULL) return NULL;
  type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
  type->tensor_type = tensor;
  return type;
}

/* A sequence, or an optional one, around the tensor type. */
static Onnx__TypeProto *export_type(pleat_exporter *ex, const pleat_value *value) {
  Onnx__TypeProto *inner = export_tensor_type(ex, value);
  if (inner == NULL || value->kind == PLEAT_KIND_TENSOR) return inner;
  Onnx__TypeProto *type = pleat_arena_alloc(ex->model->arena, sizeof *type);
  if (type == NULL) return NULL;
  onnx__type_proto__init(type);
  if (value->kind == PLEAT_KIND_SEQUENCE) {
    type->sequence_type = pleat_arena_alloc(ex->model->arena, sizeof *type->sequence_type);
    if (type->sequence_type == NULL) return NULL;
    onnx__type_proto__sequence__init(type->sequence_type);
    type->sequence_type->elem_type = inner;
    type->value_case = ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE;
  } else if (value->kind == PLEAT_KIND_OPTIONAL) {
    type->optional_type = pleat_arena_alloc(ex->model->arena, sizeof *type->optional_type);
    if (type->optional_type == NULL) return NULL;
    onnx__type_proto__optional__init(type->optional_type);
    type->optional_type->elem_type = inner;
    type->value_case = ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE;
  }
  return type;
}

/* `src` when it already says the name, else a copy that does; without `src` a new description. */
static Onnx__ValueInfoProto *export_info(pleat_exporter *ex, const pleat_value *value, const void *src) {
  const Onnx__ValueInfoProto *source = src;
  if (source != NULL && strcmp(pleat_text(source->name), value->name) == 0) return (Onnx__ValueInfoProto *)source;
  Onnx__ValueInfoProto *message = pleat_arena_alloc(ex->model->arena, sizeof *message);
  if (message == NULL) return NULL;
  if (source != NULL) *message = *source;
  else onnx__value_info_proto__init(message);
  message->name = pleat_export_text(ex, value->name);
  if (source == NULL) message->type = export_type(ex, value);
  return message->name != NULL && (source != NULL || message->type != NULL) ? message : NULL;
}

/* ---- lists that describe values: entries of values that are gone are dropped, others stay ---- */

typedef struct source_name {
  const char *name;
  UT_hash_handle hh;
} source_name;

/* The names that the source graph gives to values: a description of any other name was never about a value. */
static bool add_source_name(pleat_exporter *ex, source_name **set, const char *name) {
  source_name *entry = NULL;
  HASH_FIND(hh, *set, name, strlen(name), entry);
  if (entry != NULL) return true;
  entry = pleat_arena_alloc(ex->model->arena, sizeof *entry);
  if (entry == NULL) return false;
  entry->name = name;
  HASH_ADD_KEYPTR(hh, *set, entry->name, strlen(entry->name), entry);
  return entry->hh.tbl != NULL;
}

static bool source_names(pleat_exporter *ex, const Onnx__GraphProto *src, source_name **out_set) {
  bool ok = true;
  for (size_t i = 0; ok && i < src->n_input; i++) ok = add_source_name(ex, out_set, pleat_text(src->input[i]->name));
  for (size_t i = 0; ok && i < src->n_initializer; i++) {
    ok = add_source_name(ex, out_set, pleat_text(src->initializer[i]->name));
  }
  for (size_t i = 0; ok && i < src->n_sparse_initializer; i++) {
    ok = add_source_name(ex, out_set, pleat_text(src->sparse_initializer[i]->values->name));
  }
  for (size_t i = 0; ok && i < src->n_node; i++) {
    for (size_t k = 0; ok && k < src->node[i]->n_output; k++)
      ok = add_source_name(ex, out_set, src->node[i]->output[k]);
  }
  return ok;
}

/* A value that an edit made may have got a removed one's name: what the source says about that is about the other. */
static bool describes_something(const pleat_graph *graph, source_name *set, const char *name) {
  const pleat_value *value = pleat_graph_find_here(graph, name);
  source_name *entry = NULL;
  if (value != NULL) return value->src_info != NULL || value->src_init != NULL;
  HASH_FIND(hh, set, name, strlen(name), entry);
  return entry == NULL;
}

static pleat_status export_descriptions(pleat_exporter *ex, const pleat_graph *graph, const Onnx__GraphProto *src,
                                        Onnx__GraphProto *message) {
  source_name *set = NULL;
  bool ok = source_names(ex, src, &set) && new_list(ex, src->n_value_info, &message->value_info) &&
            new_list(ex, src->n_quantization_annotation, &message->quantization_annotation);
  message->n_value_info = message->n_quantization_annotation = 0;
  for (size_t i = 0; ok && i < src->n_value_info; i++) {
    if (describes_something(graph, set, pleat_text(src->value_info[i]->name))) {
      message->value_info[message->n_value_info++] = src->value_info[i];
    }
  }
  for (size_t i = 0; ok && i < src->n_quantization_annotation; i++) {
    Onnx__TensorAnnotation *annotation = src->quantization_annotation[i];
    const pleat_value *value = pleat_graph_find_here(graph, pleat_text(annotation->tensor_name));
    if (value != NULL || describes_something(graph, set, pleat_text(annotation->tensor_name))) {
      message->quantization_annotation[message->n_quantization_annotation++] = annotation;
    }
  }
  HASH_CLEAR(hh, set);
  return ok ? PLEAT_OK : PLEAT_OOM(ex->error);
}

/* ---- initializers ---- */

/* A message without data, and the recipe for them with the new model. */
static pleat_status export_recipe(pleat_exporter *ex, const pleat_recipe *recipe, const char *name,
                                  Onnx__TensorProto **out_message) {
  pleat_model *model = ex->model;
  const pleat_tensor *shape = &recipe->tensor;
  Onnx__TensorProto *message = pleat_arena_alloc(model->arena, sizeof *message);
  pleat_recipe *copy = pleat_arena_alloc(model->arena, sizeof *copy);
  if (message == NULL || copy == NULL || !pleat_recipe_copy(model->arena, recipe, copy)) return PLEAT_OOM(ex->error);
  if (copy->owner != NULL) {
    pleat_tensor *owner = pleat_tensor_retain(copy->owner);
    if (!PLEAT_PUSH(model->arena, model->owned, model->owned_count, ex->owned_capacity, owner)) {
      pleat_tensor_release(owner);
      return PLEAT_OOM(ex->error);
    }
    copy->origin = owner; /* which the model keeps; the graph's value may go */
  }
  onnx__tensor_proto__init(message);
  message->name = pleat_export_text(ex, name);
  message->dims = pleat_arena_array(model->arena, (size_t)shape->rank, sizeof *message->dims);
  if (message->name == NULL || message->dims == NULL) return PLEAT_OOM(ex->error);
  message->n_dims = (size_t)shape->rank;
  memcpy(message->dims, shape->dims, message->n_dims * sizeof *message->dims);
  message->has_data_type = 1;
  message->data_type = (int32_t)shape->dtype;
  if (recipe->is_external) {
    message->has_data_location = 1;
    message->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
  }
  *out_message = message;
  return pleat_model_add_recipe(model, message, copy) ? PLEAT_OK : PLEAT_OOM(ex->error);
}

static pleat_status export_dense(pleat_exporter *ex, const pleat_value *value, Onnx__TensorProto **out_message) {
  const Onnx__TensorProto *src = value->src_init;
  if (src == NULL && value->recipe != NULL && value->recipe->factors != NULL)
    return export_recipe(ex, value->recipe, value->name, out_message);
  if (src == NULL) return pleat_export_tensor(ex, value->constant, value->name, out_message);
  *out_message = (Onnx__TensorProto *)src;
  if (strcmp(pleat_text(src->name), value->name) == 0) return PLEAT_OK;
  Onnx__TensorProto *copy = pleat_arena_alloc(ex->model->arena, sizeof *copy);
  if (copy == NULL) return PLEAT_OOM(ex->error);
  *copy = *src;
  copy->name = pleat_export_text(ex, value->name);
  *out_message = copy;
  if (copy->name == NULL) return PLEAT_OOM(ex->error);
  const pleat_recipe *recipe = pleat_model_recipe(ex->graph->model, src);
  return recipe == NULL || pleat_model_add_recipe(ex->model, copy, recipe) ? PLEAT_OK : PLEAT_OOM(ex->error);
}

static pleat_status export_sparse(pleat_exporter *ex, const pleat_value *value, Onnx__SparseTensorProto **out_message) {
  const Onnx__SparseTensorProto *src = value->src_init;
  *out_message = (Onnx__SparseTensorProto *)src;
  if (strcmp(pleat_text(src->values->name), value->name) == 0) return PLEAT_OK;
  Onnx__SparseTensorProto *copy = pleat_arena_alloc(ex->model->arena, sizeof *copy);
  Onnx__TensorProto *values = pleat_arena_alloc(ex->model->arena, sizeof *values);
  if (copy == NULL || values == NULL) return PLEAT_OOM(ex->error);
  *copy = *src;
  *values = *src->values;
  values->name = pleat_export_text(ex, value->name);
  copy->values = values;
  *out_message = copy;
  return values->name != NULL ? PLEAT_OK : PLEAT_OOM(ex->error);
}

/* Below IR version 4 an initializer must be a graph input as well. A subgraph cannot get more inputs, its operator
 * gives them: there a new constant is written as a Constant node. */
static bool as_constant_node(const pleat_graph *graph, const pleat_value *value) {
  return graph->root->ir_version < 4 && graph->parent != NULL && value->src_init == NULL && !value->is_input;
}

static bool needs_input(const pleat_graph *graph, const pleat_value *value) {
  return graph->root->ir_version < 4 && graph->parent == NULL && value->src_init == NULL;
}

static pleat_status export_initializers(pleat_exporter *ex, const pleat_graph *graph, Onnx__GraphProto *message) {
  message->n_initializer = message->n_sparse_initializer = 0;
  if (!new_list(ex, graph->initializer_count, &message->initializer) ||
      !new_list(ex, graph->initializer_count, &message->sparse_initializer)) {
    return PLEAT_OOM(ex->error);
  }
  for (size_t i = 0; i < graph->initializer_count; i++) {
    const pleat_value *value = graph->initializers[i];
    if (value->src_init_sparse) {
      PLEAT_TRY(export_sparse(ex, value, &message->sparse_initializer[message->n_sparse_initializer++]));
    } else if (!as_constant_node(graph, value)) {
      PLEAT_TRY(export_dense(ex, value, &message->initializer[message->n_initializer++]));
    }
  }
  return PLEAT_OK;
}

/* ---- graphs ---- */

static pleat_status export_inputs(pleat_exporter *ex, const pleat_graph *graph, Onnx__GraphProto *message) {
  message->n_input = 0;
  if (!new_list(ex, graph->input_count + graph->initializer_count, &message->input)) return PLEAT_OOM(ex->error);
  for (size_t i = 0; i < graph->input_count; i++) {
    const pleat_value *value = graph->inputs[i];
    Onnx__ValueInfoProto *info = export_info(ex, value, value->src_info);
    if (info == NULL) return PLEAT_OOM(ex->error);
    message->input[message->n_input++] = info;
  }
  for (size_t i = 0; i < graph->initializer_count; i++) {
    if (!needs_input(graph, graph->initializers[i])) continue;
    Onnx__ValueInfoProto *info = export_info(ex, graph->initializers[i], NULL);
    if (info == NULL) return PLEAT_OOM(ex->error);
    message->input[message->n_input++] = info;
  }
  return PLEAT_OK;
}

/* Outputs keep their places and names, so the source's descriptions are found by position. */
static pleat_status export_outputs(pleat_exporter *ex, const pleat_graph *graph, const Onnx__GraphProto *src,
                                   Onnx__GraphProto *message) {
  if (!new_list(ex, graph->output_count, &message->output)) return PLEAT_OOM(ex->error);
  message->n_output = graph->output_count;
  for (size_t i = 0; i < graph->output_count; i++) {
    const pleat_value *value = graph->outputs[i];
    message->output[i] = export_info(ex, value, src != NULL && i < src->n_output ? src->output[i] : value->src_info);
    if (message->output[i] == NULL) return PLEAT_OOM(ex->error);
  }
  return PLEAT_OK;
}

static pleat_status export_nodes(pleat_exporter *ex, const pleat_graph *graph, Onnx__GraphProto *message) {
  message->n_node = 0;
  if (!new_list(ex, graph->node_count + graph->initializer_count, &message->node)) return PLEAT_OOM(ex->error);
  for (size_t i = 0; i < graph->initializer_count; i++) {
    const pleat_value *value = graph->initializers[i];
    if (as_constant_node(graph, value)) {
      const pleat_tensor *data = NULL; /* the node holds numbers, not a recipe */
      PLEAT_TRY(pleat_value_initial(graph->initializers[i], &data, ex->error));
      PLEAT_TRY(pleat_export_constant_node(ex, value, &message->node[message->n_node++]));
    }
  }
  PLEAT_FOR_NODES(node, graph) {
    PLEAT_TRY(pleat_export_node(ex, node, &message->node[message->n_node++]));
  }
  return PLEAT_OK;
}

pleat_status pleat_export_graph(pleat_exporter *ex, const pleat_graph *graph, Onnx__GraphProto **out_message) {
  const Onnx__GraphProto *src = graph->src;
  Onnx__GraphProto *message = pleat_arena_alloc(ex->model->arena, sizeof *message);
  *out_message = NULL;
  if (message == NULL) return PLEAT_OOM(ex->error);
  if (src != NULL) *message = *src;
  else onnx__graph_proto__init(message);
  PLEAT_TRY(export_nodes(ex, graph, message));
  PLEAT_TRY(export_initializers(ex, graph, message));
  PLEAT_TRY(export_inputs(ex, graph, message));
  PLEAT_TRY(export_outputs(ex, graph, src, message));
  if (src != NULL) PLEAT_TRY(export_descriptions(ex, graph, src, message));
  *out_message = message;
  return PLEAT_OK;
}

/* ---- the model ---- */

/* The source's imports, then those that inlined functions brought along (the implied version 1 is not written). */
static pleat_status export_opsets(pleat_exporter *ex, const pleat_graph *root, Onnx__ModelProto *message) {
  const size_t given = message->n_opset_import;
  Onnx__OperatorSetIdProto **list = NULL;
  if (root->opset_count == given) return PLEAT_OK;
  if (!new_list(ex, root->opset_count, &list)) return PLEAT_OOM(ex->error);
  if (given != 0) memcpy(list, message->opset_import, given * sizeof *list);
  message->opset_import = list;
  for (size_t i = given; i < root->opset_count; i++) {
    if (root->opset_domains[i][0] == '\0' && root->opset_versions[i] == 1) continue;
    Onnx__OperatorSetIdProto *opset = pleat_arena_alloc(ex->model->arena, sizeof *opset);
    if (opset == NULL) return PLEAT_OOM(ex->error);
    onnx__operator_set_id_proto__init(opset);
    opset->domain = pleat_export_text(ex, root->opset_domains[i]);
    if (opset->domain == NULL) return PLEAT_OOM(ex->error);
    opset->has_version = true;
    opset->version = root->opset_versions[i];
    list[message->n_opset_import++] = opset;
  }
  return PLEAT_OK;
}

/* The source's entries; the one of our key replaced by its text and what was appended. */
static pleat_status export_metadata(pleat_exporter *ex, const pleat_graph *root, Onnx__ModelProto *message) {
  const size_t given = message->n_metadata_props;
  Onnx__StringStringEntryProto **list = NULL;
  const char *before = "";
  size_t place = given;
  if (root->metadata_key == NULL) return PLEAT_OK;
  Onnx__StringStringEntryProto *entry = pleat_arena_alloc(ex->model->arena, sizeof *entry);
  if (entry == NULL || !new_list(ex, given + 1, &list)) return PLEAT_OOM(ex->error);
  onnx__string_string_entry_proto__init(entry);
  for (size_t i = 0; i < given; i++) {
    list[i] = message->metadata_props[i];
    if (strcmp(pleat_text(list[i]->key), root->metadata_key) != 0) continue;
    place = i;
    before = pleat_text(list[i]->value);
  }
  entry->key = pleat_export_text(ex, root->metadata_key);
  entry->value = pleat_arena_printf(ex->model->arena, "%s%s", before, root->metadata_text);
  if (entry->key == NULL || entry->value == NULL) return PLEAT_OOM(ex->error);
  list[place] = entry;
  message->metadata_props = list;
  message->n_metadata_props = place == given ? given + 1 : given;
  return PLEAT_OK;
}

pleat_status pleat_graph_export(pleat_graph *graph, pleat_model **out_model, pleat_error *error) {
  pleat_status status = PLEAT_OK;
  pleat_exporter ex = {.graph = graph->root, .error = error};
  Onnx__ModelProto *message = NULL;
  *out_model = NULL;
  ex.model = calloc(1, sizeof *ex.model);
  if (ex.model == NULL) return PLEAT_OOM(error);
  ex.model->refs = 1;
  ex.model->source = pleat_model_retain((pleat_model *)(uintptr_t)ex.graph->model);
  ex.model->arena = pleat_arena_create();
  message = ex.model->arena == NULL ? NULL : pleat_arena_alloc(ex.model->arena, sizeof *message);
  if (message == NULL || !pleat_model_open(ex.model)) {
    status = PLEAT_OOM(error);
    goto fail;
  }
  *message = *ex.graph->model->message;
  PLEAT_CHECK(export_opsets(&ex, ex.graph, message));
  PLEAT_CHECK(export_metadata(&ex, ex.graph, message));
  PLEAT_CHECK(pleat_export_graph(&ex, ex.graph, &message->graph));
  PLEAT_CHECK(pleat_export_functions(&ex, message));
  ex.model->message = message;
  *out_model = ex.model;
  return PLEAT_OK;
fail:
  pleat_model_release(ex.model);
  return status;
}

/* Data that a graph holds: initializers and Constant nodes, as tensors or as recipes, on first use.
 *
 * Whatever lies in memory as a dense array of the right type and alignment - raw bytes of a mapped file, typed fields
 * of a decoded message - becomes a descriptor over that memory; everything else is decoded once into a heap tensor that
 * the graph owns. A tensor never outlives graph and model. */
#include "graph/graph_private.h"

#include <string.h>

enum { CONSTANT_ALIGNMENT = 16 }; /* what lets kernels load vectors from a mapped file */

/* The message's typed field when its elements are exactly those of the tensor in memory; else NULL. */
static const void *typed_field(const Onnx__TensorProto *message, pleat_dtype dtype, size_t *out_size) {
  switch (dtype) {
  case PLEAT_FLOAT:
    *out_size = message->n_float_data * sizeof(float);
    return message->float_data;
  case PLEAT_INT32:
    *out_size = message->n_int32_data * sizeof(int32_t);
    return message->int32_data;
  case PLEAT_INT64:
    *out_size = message->n_int64_data * sizeof(int64_t);
    return message->int64_data;
  case PLEAT_UINT64:
    *out_size = message->n_uint64_data * sizeof(uint64_t);
    return message->uint64_data;
  case PLEAT_DOUBLE:
    *out_size = message->n_double_data * sizeof(double);
    return message->double_data;
  default:
    return NULL;
  }
}

/* Stored bytes that are the tensor's elements, at any alignment, or NULL. Booleans are excluded: a file may hold other
 * bytes than 0 and 1. */
static pleat_status stored_elements(pleat_proto *proto, const Onnx__TensorProto *message, const pleat_tensor *shape,
                                    const void **out_data, pleat_error *error) {
  *out_data = NULL;
  const void *data = NULL;
  size_t size = 0;
  if (shape->dtype == PLEAT_STRING || shape->dtype == PLEAT_BOOL || pleat_dtype_bits(shape->dtype) < 8) return PLEAT_OK;
  if (message->has_raw_data || pleat_proto_tensor_is_external(message)) {
    if (proto == NULL) return PLEAT_OK;
    PLEAT_TRY(pleat_proto_tensor_bytes(proto, message, &data, &size, error));
  } else {
    data = typed_field(message, shape->dtype, &size);
  }
  if (data != NULL && size == pleat_bytes(shape) && size != 0) *out_data = data;
  return PLEAT_OK;
}

/* The message's type and shape; false where they are not valid. */
static bool describe_message(const Onnx__TensorProto *message, pleat_tensor *out_shape) {
  return pleat_dtype_is_valid(message->data_type) && message->n_dims <= PLEAT_MAX_RANK &&
         pleat_tensor_describe(out_shape, (pleat_dtype)message->data_type, (int)message->n_dims, message->dims);
}

pleat_status pleat_graph_tensor(pleat_graph *graph, const Onnx__TensorProto *message, const pleat_tensor **out_tensor,
                                pleat_error *error) {
  pleat_status status = PLEAT_OK;
  pleat_proto *proto = pleat_model_proto(graph->root->model);
  pleat_tensor shape = {0}, *tensor = NULL;
  const void *data = NULL;
  *out_tensor = NULL;
  if (describe_message(message, &shape)) PLEAT_CHECK(stored_elements(proto, message, &shape, &data, error));
  if (data != NULL && (uintptr_t)data % CONSTANT_ALIGNMENT == 0) {
    tensor = pleat_arena_alloc(graph->root->arena, sizeof *tensor);
    if (tensor == NULL) return PLEAT_OOM(error);
    *tensor = shape;
    tensor->data = (void *)(uintptr_t)data; /* read-only by the const in every pleat_tensor that is handed out */
  } else {
    PLEAT_CHECK(pleat_tensor_from_proto(proto, message, &tensor, error));
    if (!pleat_graph_own(graph, tensor)) {
      pleat_tensor_release(tensor);
      return PLEAT_OOM(error);
    }
  }
  *out_tensor = tensor;
  return PLEAT_OK;
fail:
  pleat_error_at_tensor(error, pleat_text(message->name));
  return status;
}

/* Hands a heap tensor over to the graph. */
static pleat_status keep(pleat_graph *graph, pleat_tensor *tensor, const pleat_tensor **out_tensor,
                         pleat_error *error) {
  if (!pleat_graph_own(graph, tensor)) {
    pleat_tensor_release(tensor);
    return PLEAT_OOM(error);
  }
  *out_tensor = tensor;
  return PLEAT_OK;
}

pleat_status pleat_graph_sparse_tensor(pleat_graph *graph, const Onnx__SparseTensorProto *message,
                                       const pleat_tensor **out_tensor, pleat_error *error) {
  pleat_tensor *tensor = NULL;
  *out_tensor = NULL;
  pleat_status status = pleat_tensor_from_sparse_proto(pleat_model_proto(graph->root->model), message, &tensor, error);
  if (status == PLEAT_OK) return keep(graph, tensor, out_tensor, error);
  pleat_error_at_tensor(error, message->values != NULL ? pleat_text(message->values->name) : "");
  return status;
}

/* ---- Constant nodes ---- */

/* A Constant node's value as an array in memory: type, data and whether it is a list. */
typedef struct literal {
  pleat_dtype dtype;
  size_t count;
  const void *data;
  bool is_list;
} literal;

static bool literal_of(const pleat_attr *attr, pleat_string *string, literal *out) {
  switch (attr->type) {
  case PLEAT_ATTR_FLOAT:
    *out = (literal){PLEAT_FLOAT, 1, &attr->f, false};
    return true;
  case PLEAT_ATTR_INT:
    *out = (literal){PLEAT_INT64, 1, &attr->i, false};
    return true;
  case PLEAT_ATTR_FLOATS:
    *out = (literal){PLEAT_FLOAT, attr->count, attr->floats, true};
    return true;
  case PLEAT_ATTR_INTS:
    *out = (literal){PLEAT_INT64, attr->count, attr->ints, true};
    return true;
  case PLEAT_ATTR_STRINGS:
    *out = (literal){PLEAT_STRING, attr->count, attr->strings, true};
    return true;
  case PLEAT_ATTR_STRING:
    *string = (pleat_string){.data = attr->s, .size = attr->count};
    *out = (literal){PLEAT_STRING, 1, string, false};
    return true;
  default:
    return false;
  }
}

static pleat_status constant_of_attr(pleat_graph *graph, const pleat_attr *attr, const pleat_tensor **out_tensor,
                                     pleat_error *error) {
  literal value = {0};
  pleat_string string = {0};
  pleat_tensor *tensor = NULL;
  if (attr->type == PLEAT_ATTR_TENSOR || attr->type == PLEAT_ATTR_SPARSE_TENSOR) {
    *out_tensor = attr->tensor;
    return PLEAT_OK;
  }
  if (!literal_of(attr, &string, &value)) {
    return pleat_fail(error, PLEAT_MALFORMED_MODEL, "Constant: attribute '%s' is of no type that holds a value",
                      attr->name);
  }
  int64_t dims[1] = {(int64_t)value.count};
  if (value.dtype == PLEAT_STRING) {
    PLEAT_TRY(pleat_tensor_create_strings(value.is_list, dims, value.data, &tensor, error));
  } else {
    PLEAT_TRY(pleat_tensor_create(value.dtype, value.is_list, dims, &tensor, error));
    if (value.count != 0) memcpy(tensor->data, value.data, pleat_bytes(tensor));
  }
  return keep(graph, tensor, out_tensor, error);
}

static const pleat_attr *constant_attr(const pleat_value *value) {
  static const char *const names[] = {"value",     "sparse_value", "value_float",  "value_floats",
                                      "value_int", "value_ints",   "value_string", "value_strings"};
  const pleat_node *node = value->producer;
  if (node == NULL || value->producer_index != 0 || !pleat_node_is(node, "Constant")) return NULL;
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    const pleat_attr *attr = pleat_node_attr(node, names[i]);
    if (attr != NULL && attr->ref_name == NULL) return attr;
  }
  return NULL;
}

/* ---- values ---- */

bool pleat_value_is_constant(const pleat_value *value) {
  if (value->is_initializer) return !value->is_input;
  return value->constant != NULL || constant_attr(value) != NULL;
}

/* The recipe of a value that an edit made as one, here or before the model was exported; else NULL. */
static pleat_status made_recipe(pleat_value *value, const pleat_recipe **out_recipe, pleat_error *error) {
  *out_recipe = NULL;
  if (value->src_init == NULL) {
    *out_recipe = value->recipe;
    return PLEAT_OK;
  }
  const pleat_recipe *found =
      value->src_init_sparse ? NULL : pleat_model_recipe(value->graph->root->model, value->src_init);
  if (found != NULL && value->recipe == NULL) {
    value->recipe = pleat_arena_alloc(value->graph->root->arena, sizeof *value->recipe);
    if (value->recipe == NULL) return PLEAT_OOM(error);
    *value->recipe = *found;
  }
  if (found != NULL) *out_recipe = value->recipe;
  return PLEAT_OK;
}

static pleat_status compute_recipe(pleat_graph *graph, const pleat_recipe *recipe, const pleat_tensor **out_tensor,
                                   pleat_error *error) {
  const pleat_tensor *shape = &recipe->tensor;
  pleat_tensor *tensor = NULL;
  PLEAT_TRY(pleat_tensor_create(shape->dtype, shape->rank, shape->dims, &tensor, error));
  pleat_recipe_read(recipe, shape->dtype, 0, shape->count, tensor->data);
  return keep(graph, tensor, out_tensor, error);
}

pleat_status pleat_value_initial(pleat_value *value, const pleat_tensor **out_tensor, pleat_error *error) {
  pleat_status status = PLEAT_OK;
  *out_tensor = NULL;
  if (value->constant == NULL) {
    const pleat_attr *attr = NULL;
    const pleat_recipe *recipe = NULL;
    if (value->is_initializer) PLEAT_TRY(made_recipe(value, &recipe, error));
    if (recipe != NULL) {
      status = compute_recipe(value->graph, recipe, &value->constant, error);
    } else if (value->is_initializer && value->src_init != NULL) {
      status = value->src_init_sparse
                   ? pleat_graph_sparse_tensor(value->graph, value->src_init, &value->constant, error)
                   : pleat_graph_tensor(value->graph, value->src_init, &value->constant, error);
    } else if ((attr = constant_attr(value)) != NULL) {
      status = constant_of_attr(value->graph, attr, &value->constant, error);
    }
    if (status != PLEAT_OK) {
      pleat_error_at_tensor(error, value->name);
      return status;
    }
  }
  *out_tensor = value->constant;
  return PLEAT_OK;
}

pleat_status pleat_value_constant(pleat_value *value, const pleat_tensor **out_tensor, pleat_error *error) {
  *out_tensor = NULL;
  return pleat_value_is_constant(value) ? pleat_value_initial(value, out_tensor, error) : PLEAT_OK;
}

/* What a message stores as an array, as it is: false where that has to be decoded first. */
static pleat_status stored_recipe(pleat_value *value, pleat_recipe *out_recipe, bool *out_found, pleat_error *error) {
  const Onnx__TensorProto *message = value->src_init;
  pleat_tensor shape = {0};
  const void *data = NULL;
  *out_found = false;
  if (message == NULL || value->src_init_sparse || !describe_message(message, &shape)) return PLEAT_OK;
  pleat_status status = stored_elements(pleat_model_proto(value->graph->root->model), message, &shape, &data, error);
  if (status != PLEAT_OK) {
    pleat_error_at_tensor(error, value->name);
    return status;
  }
  if (data == NULL) return PLEAT_OK;
  shape.data = (void *)(uintptr_t)data; /* read-only, as in pleat_graph_tensor */
  *out_recipe = pleat_recipe_of(&shape, message, NULL);
  out_recipe->is_external = pleat_proto_tensor_is_external(message);
  *out_found = true;
  return PLEAT_OK;
}

pleat_status pleat_value_recipe(pleat_value *value, pleat_recipe **out_recipe, pleat_error *error) {
  const pleat_recipe *made = NULL;
  pleat_recipe recipe;
  bool found = false;
  *out_recipe = NULL;
  if (value->is_initializer) PLEAT_TRY(made_recipe(value, &made, error));
  if (value->recipe == NULL) {
    if (value->is_initializer) PLEAT_TRY(stored_recipe(value, &recipe, &found, error));
    if (!found) {
      const pleat_tensor *tensor = NULL;
      PLEAT_TRY(pleat_value_initial(value, &tensor, error));
      if (tensor == NULL || tensor->kind != PLEAT_KIND_TENSOR || tensor->dtype == PLEAT_STRING) return PLEAT_OK;
      /* A descriptor's data are the model's: the same for all graphs of it. */
      recipe = tensor->refs > 0 ? pleat_recipe_of(tensor, value, (pleat_tensor *)(uintptr_t)tensor)
                                : pleat_recipe_of(tensor, tensor->data, NULL);
    }
    value->recipe = pleat_arena_alloc(value->graph->root->arena, sizeof recipe);
    if (value->recipe == NULL) return PLEAT_OOM(error);
    *value->recipe = recipe;
  }
  *out_recipe = value->recipe;
  return PLEAT_OK;
}

/* The float64 oracle of a graph: the same nodes over double values.
 *
 * First every value and constant changes its type, then every node is looked at: attributes that name a floating-point
 * type name double, and where the specification knows only float for an input or output (the tables below, taken from
 * ONNX's operator schemas) a Cast goes between. Attributes that are floats themselves stay: the model was written with
 * them. Anything overlooked shows as a contradiction of types when the graph is inferred again. */
#include <string.h>

#include "graph/graph_private.h"
#include "ops/ops.h"

enum { ALL = -1 };

/* Inputs and outputs that are float whatever the other types are; bit i: the i-th. */
static const struct {
  const char *op;
  int since, until; /* opset versions of the operator; 0: no bound */
  unsigned inputs, outputs;
} float_only[] = {
    {"DequantizeLinear", 0, 0, 1u << 1, 1u << 0},
    {"DynamicQuantizeLinear", 0, 0, 1u << 0, 1u << 1},
    {"MelWeightMatrix", 0, 0, 1u << 3 | 1u << 4, 0},
    {"NonMaxSuppression", 0, 0, 1u << 0 | 1u << 1 | 1u << 3 | 1u << 4, 0},
    {"QLinearConv", 0, 0, 1u << 1 | 1u << 4 | 1u << 6, 0},
    {"QLinearMatMul", 0, 0, 1u << 1 | 1u << 4 | 1u << 6, 0},
    {"QuantizeLinear", 0, 0, 1u << 0 | 1u << 1, 0},
    {"Resize", 10, 10, 1u << 1, 0},
    {"Resize", 11, 0, 1u << 2, 0},
    {"TfIdfVectorizer", 0, 0, 0, 1u << 0},
    {"Upsample", 9, 0, 1u << 1, 0},
};

/* Attributes that give the type of an output. */
static const struct {
  const char *op, *attr;
  bool defaults_to_float; /* absent means float, not "as the input" */
  pleat_dtype becomes;    /* what a floating-point type turns into */
} type_attrs[] = {
    {"Bernoulli", "dtype", false, PLEAT_DOUBLE},
    {"BlackmanWindow", "output_datatype", true, PLEAT_DOUBLE},
    {"Cast", "to", false, PLEAT_DOUBLE},
    {"DequantizeLinear", "output_dtype", false, PLEAT_FLOAT},
    {"EyeLike", "dtype", false, PLEAT_DOUBLE},
    {"HammingWindow", "output_datatype", true, PLEAT_DOUBLE},
    {"HannWindow", "output_datatype", true, PLEAT_DOUBLE},
    {"LayerNormalization", "stash_type", true, PLEAT_DOUBLE},
    {"MelWeightMatrix", "output_datatype", true, PLEAT_DOUBLE},
    {"RandomNormal", "dtype", true, PLEAT_DOUBLE},
    {"RandomNormalLike", "dtype", false, PLEAT_DOUBLE},
    {"RandomUniform", "dtype", true, PLEAT_DOUBLE},
    {"RandomUniformLike", "dtype", false, PLEAT_DOUBLE},
    {"SequenceEmpty", "dtype", true, PLEAT_DOUBLE},
};

static bool is_narrow(pleat_dtype dtype) {
  return pleat_dtype_promoted(dtype) != dtype;
}

/* ---- data ---- */

/* A double copy of a tensor that the graph owns. */
static pleat_status promote_tensor(pleat_graph *graph, const pleat_tensor *tensor, const pleat_tensor **out_tensor,
                                   pleat_error *error) {
  pleat_tensor *wide = NULL;
  *out_tensor = NULL;
  PLEAT_TRY(pleat_tensor_cast(tensor, PLEAT_DOUBLE, &wide, error));
  if (!pleat_graph_own(graph, wide)) {
    pleat_tensor_release(wide);
    return PLEAT_OOM(error);
  }
  *out_tensor = wide;
  return PLEAT_OK;
}

static pleat_status promote_value(pleat_value *value, pleat_error *error) {
  const pleat_tensor *data = NULL;
  if (value->is_initializer || value->constant != NULL) {
    PLEAT_TRY(pleat_value_initial(value, &data, error));
    if (data != NULL && is_narrow(data->dtype)) {
      PLEAT_TRY(promote_tensor(value->graph, data, &value->constant, error));
      value->src_init = NULL;
      value->recipe = NULL;
    }
  }
  value->dtype = pleat_dtype_promoted(value->dtype);
  return PLEAT_OK;
}

/* ---- attributes ---- */

static bool set_tensor(pleat_node *node, const pleat_tensor *tensor) {
  return pleat_node_set_attr(node, (pleat_attr){.name = "value", .type = PLEAT_ATTR_TENSOR, .tensor = tensor});
}

/* Whatever form the value has in the node, it becomes a tensor of double. */
static pleat_status promote_constant(pleat_node *node, pleat_error *error) {
  static const char *const forms[] = {"sparse_value", "value_float", "value_floats"};
  pleat_value *value = node->output_count > 0 ? node->outputs[0] : NULL;
  const pleat_tensor *data = NULL;
  if (value == NULL) return PLEAT_OK;
  PLEAT_TRY(pleat_value_initial(value, &data, error));
  if (data == NULL) return PLEAT_OK;
  if (is_narrow(data->dtype)) PLEAT_TRY(promote_tensor(node->graph, data, &data, error));
  if (data->dtype != PLEAT_DOUBLE) return PLEAT_OK;
  for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) pleat_node_remove_attr(node, forms[i]);
  value->constant = data;
  return set_tensor(node, data) ? PLEAT_OK : PLEAT_OOM(error);
}

static pleat_status promote_constant_of_shape(pleat_node *node, pleat_error *error) {
  const pleat_attr *attr = pleat_node_attr(node, "value");
  const pleat_tensor *data = NULL;
  const double zero = 0;
  const int64_t one = 1;
  if (attr != NULL && !is_narrow(attr->tensor->dtype)) return PLEAT_OK;
  const pleat_tensor absent = {
      .dtype = PLEAT_DOUBLE, .rank = 1, .dims = {one}, .count = 1, .data = (void *)(uintptr_t)&zero};
  PLEAT_TRY(promote_tensor(node->graph, attr != NULL ? attr->tensor : &absent, &data, error));
  return set_tensor(node, data) ? PLEAT_OK : PLEAT_OOM(error);
}

/* Cast's `to` was a name until opset 5. */
static bool set_type(pleat_node *node, const char *name, bool as_text, pleat_dtype dtype) {
  pleat_attr attr = {.name = name, .type = PLEAT_ATTR_INT, .i = dtype};
  if (as_text) {
    const char *text = dtype == PLEAT_DOUBLE ? "DOUBLE" : "FLOAT";
    attr = (pleat_attr){.name = name, .type = PLEAT_ATTR_STRING, .count = strlen(text), .s = text};
  }
  return pleat_node_set_attr(node, attr);
}

static bool is_narrow_name(const pleat_attr *attr) {
  return strcmp(attr->s, "FLOAT") == 0 || strcmp(attr->s, "FLOAT16") == 0;
}

static pleat_status promote_type_attrs(pleat_node *node, pleat_error *error) {
  for (size_t i = 0; i < sizeof type_attrs / sizeof type_attrs[0]; i++) {
    if (strcmp(node->op_type, type_attrs[i].op) != 0) continue;
    const char *name = type_attrs[i].attr;
    const pleat_attr *attr = pleat_node_attr(node, name);
    bool as_text = attr != NULL && attr->type == PLEAT_ATTR_STRING;
    bool narrow = attr == NULL                    ? type_attrs[i].defaults_to_float
                  : as_text                       ? is_narrow_name(attr)
                  : pleat_dtype_is_valid(attr->i) ? is_narrow((pleat_dtype)attr->i)
                                                  : false;
    if (narrow && !set_type(node, name, as_text, type_attrs[i].becomes)) return PLEAT_OOM(error);
  }
  return PLEAT_OK;
}

/* ---- inputs and outputs that stay float ---- */

static void find_float_only(const pleat_node *node, unsigned *out_inputs, unsigned *out_outputs) {
  const int version = pleat_node_since(node);
  *out_inputs = *out_outputs = 0;
  for (size_t i = 0; i < sizeof float_only / sizeof float_only[0]; i++) {
    if (strcmp(node->op_type, float_only[i].op) != 0 || version < float_only[i].since) continue;
    if (float_only[i].until != 0 && version > float_only[i].until) continue;
    *out_inputs = float_only[i].inputs;
    *out_outputs = float_only[i].outputs;
    return;
  }
  /* An operator that does not know double at all runs in float as a whole. */
  const pleat_value *first = node->input_count > 0 ? node->inputs[0] : NULL;
  if (first == NULL || node->version == NULL || node->version->types == 0) return;
  if (first->kind != PLEAT_KIND_TENSOR || first->dtype != PLEAT_DOUBLE) return;
  if ((node->version->types & PLEAT_M_F64) == 0) *out_inputs = *out_outputs = (unsigned)ALL;
}

/* A Cast behind `after`, which has neither input nor output yet. */
static pleat_node *add_cast(pleat_graph *graph, pleat_node *after, pleat_dtype to) {
  pleat_node *cast = pleat_graph_add_node(graph, after, "Cast", "", "");
  if (cast == NULL) return NULL;
  return set_type(cast, "to", cast->version != NULL && cast->version->since < 6, to) ? cast : NULL;
}

static pleat_status narrow_input(pleat_node *node, size_t index, pleat_error *error) {
  pleat_value *wide = node->inputs[index];
  pleat_value *narrow = pleat_graph_add_value(node->graph, wide->name, PLEAT_FLOAT, &wide->shape);
  pleat_node *cast = add_cast(node->graph, node->prev, PLEAT_FLOAT);
  if (narrow == NULL || cast == NULL || !pleat_node_set_input(cast, 0, wide) ||
      !pleat_node_set_output(cast, 0, narrow) || !pleat_node_set_input(node, index, narrow)) {
    return PLEAT_OOM(error);
  }
  return PLEAT_OK;
}

static pleat_status widen_output(pleat_node *node, size_t index, pleat_error *error) {
  pleat_value *wide = node->outputs[index];
  pleat_value *narrow = pleat_graph_add_value(node->graph, wide->name, PLEAT_FLOAT, &wide->shape);
  pleat_node *cast = add_cast(node->graph, node, PLEAT_DOUBLE);
  if (narrow == NULL || cast == NULL || !pleat_node_set_input(cast, 0, narrow) ||
      !pleat_node_set_output(cast, 0, wide) || !pleat_node_set_output(node, index, narrow)) {
    return PLEAT_OOM(error);
  }
  return PLEAT_OK;
}

static bool is_wide(const pleat_value *value) {
  return value != NULL && value->kind == PLEAT_KIND_TENSOR && value->dtype == PLEAT_DOUBLE;
}

static pleat_status keep_float(pleat_node *node, pleat_error *error) {
  unsigned inputs, outputs;
  find_float_only(node, &inputs, &outputs);
  for (size_t i = 0; i < node->input_count && i < 32; i++) {
    if ((inputs >> i & 1) != 0 && is_wide(node->inputs[i])) PLEAT_TRY(narrow_input(node, i, error));
  }
  for (size_t i = 0; i < node->output_count && i < 32; i++) {
    if ((outputs >> i & 1) != 0 && is_wide(node->outputs[i])) PLEAT_TRY(widen_output(node, i, error));
  }
  return PLEAT_OK;
}

/* ---- the graph ---- */

static pleat_status promote_node(pleat_node *node, pleat_error *error) {
  if (node->domain[0] != '\0') return PLEAT_OK;
  if (strcmp(node->op_type, "Constant") == 0) return promote_constant(node, error);
  if (strcmp(node->op_type, "ConstantOfShape") == 0) return promote_constant_of_shape(node, error);
  PLEAT_TRY(promote_type_attrs(node, error));
  return keep_float(node, error);
}

pleat_status pleat_graph_promote(pleat_graph *graph, pleat_error *error) {
  pleat_graph *root = graph->root;
  const size_t count = root->value_count; /* those that are made below are float on purpose */
  char label[256];
  for (size_t i = 0; i < count; i++) PLEAT_TRY(promote_value(root->all_values[i], error));
  for (pleat_graph *each = root; each != NULL; each = each->next_graph) {
    PLEAT_FOR_NODES(node, each) {
      pleat_status status = node->graph != NULL ? promote_node(node, error) : PLEAT_OK;
      if (status == PLEAT_OK) continue;
      pleat_error_at_node(error, pleat_node_label(node, label, sizeof label));
      return status;
    }
  }
  return PLEAT_OK;
}

/* The same graph over wider values: its float64 oracle, or, to run it, float in the place of float16 and bfloat16.
 *
 * First every value and constant changes its type, then every node is looked at: attributes that name a floating-point
 * type name double, and where the specification knows only float for an input or output (the tables below, taken from
 * ONNX's operator schemas) a Cast goes between. Attributes that are floats themselves stay: the model was written with
 * them. Anything overlooked shows as a contradiction of types when the graph is inferred again.
 *
 * The oracle changes all values, those at the graph's border included. Half types become float inside of the graph
 * only, and keep what the model asks for: inputs, outputs, and what a Cast makes a half of another type stay as they
 * are, with Casts between them and the rest (promote_border.c). */
#include <string.h>

#include "graph/promote.h"

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
  bool stays_float;       /* in the oracle as well */
} type_attrs[] = {
    {"Bernoulli", "dtype", false, false},
    {"BlackmanWindow", "output_datatype", true, false},
    {"Cast", "to", false, false},
    {"DequantizeLinear", "output_dtype", false, true},
    {"EyeLike", "dtype", false, false},
    {"HammingWindow", "output_datatype", true, false},
    {"HannWindow", "output_datatype", true, false},
    {"LayerNormalization", "stash_type", true, false},
    {"MelWeightMatrix", "output_datatype", true, false},
    {"RandomNormal", "dtype", true, false},
    {"RandomNormalLike", "dtype", false, false},
    {"RandomUniform", "dtype", true, false},
    {"RandomUniformLike", "dtype", false, false},
    {"SequenceEmpty", "dtype", true, false},
};

static bool is_narrow(const pleat_promotion *p, pleat_dtype dtype) {
  return (p->narrow & PLEAT_M(dtype)) != 0;
}

static bool is_oracle(const pleat_promotion *p) {
  return p->wide == PLEAT_DOUBLE;
}

/* ---- data ---- */

/* A wide copy of a tensor that the graph owns. */
static pleat_status promote_tensor(const pleat_promotion *p, pleat_graph *graph, const pleat_tensor *tensor,
                                   const pleat_tensor **out_tensor, pleat_error *error) {
  pleat_tensor *wide = NULL;
  *out_tensor = NULL;
  PLEAT_TRY(pleat_tensor_cast(tensor, p->wide, &wide, error));
  if (!pleat_graph_own(graph, wide)) {
    pleat_tensor_release(wide);
    return PLEAT_OOM(error);
  }
  *out_tensor = wide;
  return PLEAT_OK;
}

/* How to read a constant as wide numbers where it is stored, without a copy. False: it has to be computed first. The
 * oracle's are all computed, since its kernels read them as they are. */
static pleat_status promote_recipe(const pleat_promotion *p, pleat_value *value, pleat_recipe *out_recipe,
                                   bool *out_found, pleat_error *error) {
  pleat_recipe *recipe = NULL;
  *out_found = false;
  if (is_oracle(p)) return PLEAT_OK;
  PLEAT_TRY(pleat_value_recipe(value, &recipe, error));
  if (recipe == NULL || recipe->factors != NULL || !is_narrow(p, recipe->tensor.dtype)) return PLEAT_OK;
  *out_recipe = pleat_recipe_widen(recipe, p->wide);
  *out_found = true;
  return PLEAT_OK;
}

static pleat_status promote_data(const pleat_promotion *p, pleat_value *value, pleat_error *error) {
  const pleat_tensor *data = NULL;
  pleat_recipe recipe;
  bool found = false;
  if (value->is_initializer) PLEAT_TRY(promote_recipe(p, value, &recipe, &found, error));
  if (found) {
    *value->recipe = recipe;
    value->constant = NULL;
    value->src_init = NULL;
    return PLEAT_OK;
  }
  PLEAT_TRY(pleat_value_initial(value, &data, error));
  if (data == NULL || !is_narrow(p, data->dtype)) return PLEAT_OK;
  PLEAT_TRY(promote_tensor(p, value->graph, data, &value->constant, error));
  value->src_init = NULL;
  value->recipe = NULL;
  return PLEAT_OK;
}

static pleat_status promote_value(const pleat_promotion *p, pleat_value *value, pleat_error *error) {
  if (pleat_promotion_keeps(p, value)) return PLEAT_OK;
  if (value->is_initializer || value->constant != NULL) PLEAT_TRY(promote_data(p, value, error));
  if (is_narrow(p, value->dtype)) value->dtype = p->wide;
  return PLEAT_OK;
}

/* ---- attributes ---- */

static bool set_tensor(pleat_node *node, const pleat_tensor *tensor) {
  return pleat_node_set_attr(node, (pleat_attr){.name = "value", .type = PLEAT_ATTR_TENSOR, .tensor = tensor});
}

/* An initializer that is read where it is stored takes the node's place, where that is possible. */
static pleat_status replace_constant(const pleat_promotion *p, pleat_value *value, bool *out_replaced,
                                     pleat_error *error) {
  pleat_recipe recipe;
  pleat_value *fresh;
  *out_replaced = false;
  if (value->is_output) return PLEAT_OK;
  PLEAT_TRY(promote_recipe(p, value, &recipe, out_replaced, error));
  if (!*out_replaced) return PLEAT_OK;
  PLEAT_TRY(pleat_graph_add_recipe(value->graph, value->name, &recipe, &fresh, error));
  if (!pleat_value_replace(value, fresh)) return PLEAT_OOM(error);
  pleat_node_remove(value->producer);
  return PLEAT_OK;
}

/* Whatever form the value has in the node, it becomes a wide tensor. */
static pleat_status promote_constant(const pleat_promotion *p, pleat_node *node, pleat_error *error) {
  static const char *const forms[] = {"sparse_value", "value_float", "value_floats"};
  pleat_value *value = node->output_count > 0 ? node->outputs[0] : NULL;
  const pleat_tensor *data = NULL;
  bool replaced;
  if (value == NULL || pleat_promotion_keeps(p, value)) return PLEAT_OK;
  PLEAT_TRY(replace_constant(p, value, &replaced, error));
  if (replaced) return PLEAT_OK;
  PLEAT_TRY(pleat_value_initial(value, &data, error));
  if (data == NULL) return PLEAT_OK;
  if (is_narrow(p, data->dtype)) PLEAT_TRY(promote_tensor(p, node->graph, data, &data, error));
  if (data->dtype != p->wide) return PLEAT_OK;
  for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) pleat_node_remove_attr(node, forms[i]);
  value->constant = data;
  return set_tensor(node, data) ? PLEAT_OK : PLEAT_OOM(error);
}

static pleat_status promote_constant_of_shape(const pleat_promotion *p, pleat_node *node, pleat_error *error) {
  const pleat_attr *attr = pleat_node_attr(node, "value");
  const pleat_tensor *data = NULL;
  const double zero = 0;
  const int64_t one = 1;
  if (!is_narrow(p, attr != NULL ? attr->tensor->dtype : PLEAT_FLOAT)) return PLEAT_OK;
  const pleat_tensor absent = {
      .dtype = PLEAT_DOUBLE, .rank = 1, .dims = {one}, .count = 1, .data = (void *)(uintptr_t)&zero};
  PLEAT_TRY(promote_tensor(p, node->graph, attr != NULL ? attr->tensor : &absent, &data, error));
  return set_tensor(node, data) ? PLEAT_OK : PLEAT_OOM(error);
}

/* Cast's `to` was a name until opset 5. */
static bool set_type(pleat_node *node, const char *name, bool as_text, pleat_dtype dtype) {
  pleat_attr attr = {.name = name, .type = PLEAT_ATTR_INT, .i = dtype};
  if (as_text) {
    const char *text = dtype == PLEAT_DOUBLE ? "DOUBLE" : dtype == PLEAT_FLOAT ? "FLOAT" : "FLOAT16";
    attr = (pleat_attr){.name = name, .type = PLEAT_ATTR_STRING, .count = strlen(text), .s = text};
  }
  return pleat_node_set_attr(node, attr);
}

static pleat_dtype type_of_name(const char *name) {
  if (strcmp(name, "FLOAT") == 0) return PLEAT_FLOAT;
  return strcmp(name, "FLOAT16") == 0 ? PLEAT_FLOAT16 : PLEAT_UNDEFINED;
}

static pleat_status promote_type_attrs(const pleat_promotion *p, pleat_node *node, pleat_error *error) {
  for (size_t i = 0; i < sizeof type_attrs / sizeof type_attrs[0]; i++) {
    if (strcmp(node->op_type, type_attrs[i].op) != 0) continue;
    const char *name = type_attrs[i].attr;
    const pleat_attr *attr = pleat_node_attr(node, name);
    bool as_text = attr != NULL && attr->type == PLEAT_ATTR_STRING;
    pleat_dtype dtype = attr == NULL ? type_attrs[i].defaults_to_float ? PLEAT_FLOAT : PLEAT_UNDEFINED
                        : as_text    ? type_of_name(attr->s)
                        : pleat_dtype_is_valid(attr->i) ? (pleat_dtype)attr->i
                                                        : PLEAT_UNDEFINED;
    if (!is_narrow(p, dtype)) continue;
    if (!set_type(node, name, as_text, type_attrs[i].stays_float ? PLEAT_FLOAT : p->wide)) return PLEAT_OOM(error);
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

pleat_node *pleat_promotion_add_cast(pleat_graph *graph, pleat_node *after, pleat_dtype to) {
  pleat_node *cast = pleat_graph_add_node(graph, after, "Cast", "", "");
  if (cast == NULL) return NULL;
  return set_type(cast, "to", cast->version != NULL && cast->version->since < 6, to) ? cast : NULL;
}

static pleat_status narrow_input(pleat_node *node, size_t index, pleat_error *error) {
  pleat_value *wide = node->inputs[index];
  pleat_value *narrow = pleat_graph_add_value(node->graph, wide->name, PLEAT_FLOAT, &wide->shape);
  pleat_node *cast = pleat_promotion_add_cast(node->graph, node->prev, PLEAT_FLOAT);
  if (narrow == NULL || cast == NULL || !pleat_node_set_input(cast, 0, wide) ||
      !pleat_node_set_output(cast, 0, narrow) || !pleat_node_set_input(node, index, narrow)) {
    return PLEAT_OOM(error);
  }
  return PLEAT_OK;
}

static pleat_status widen_output(pleat_node *node, size_t index, pleat_error *error) {
  pleat_value *wide = node->outputs[index];
  pleat_value *narrow = pleat_graph_add_value(node->graph, wide->name, PLEAT_FLOAT, &wide->shape);
  pleat_node *cast = pleat_promotion_add_cast(node->graph, node, PLEAT_DOUBLE);
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

static pleat_status promote_node(const pleat_promotion *p, pleat_node *node, pleat_error *error) {
  if (node->domain[0] != '\0') return PLEAT_OK;
  if (strcmp(node->op_type, "Constant") == 0) return promote_constant(p, node, error);
  if (strcmp(node->op_type, "ConstantOfShape") == 0) return promote_constant_of_shape(p, node, error);
  if (pleat_promotion_is_rounding(p, node)) return PLEAT_OK;
  PLEAT_TRY(promote_type_attrs(p, node, error));
  return is_oracle(p) ? keep_float(node, error) : PLEAT_OK; /* what knows a half type knows float */
}

static pleat_status promote(const pleat_promotion *p, pleat_graph *root, pleat_error *error) {
  const size_t count = root->value_count; /* those that are made below have their types on purpose */
  char label[256];
  for (size_t i = 0; i < count; i++) PLEAT_TRY(promote_value(p, root->all_values[i], error));
  for (pleat_graph *each = root; each != NULL; each = each->next_graph) {
    PLEAT_FOR_NODES_SAFE(node, each) {
      pleat_status status = node->graph != NULL ? promote_node(p, node, error) : PLEAT_OK;
      if (status == PLEAT_OK) continue;
      pleat_error_at_node(error, pleat_node_label(node, label, sizeof label));
      return status;
    }
  }
  return PLEAT_OK;
}

pleat_status pleat_graph_promote(pleat_graph *graph, pleat_error *error) {
  const pleat_promotion p = {.narrow = PLEAT_M_F32 | PLEAT_M_HALF, .wide = PLEAT_DOUBLE};
  return promote(&p, graph->root, error);
}

pleat_status pleat_graph_widen_halves(pleat_graph *graph, bool *out_changed, pleat_error *error) {
  pleat_promotion p = {.wide = PLEAT_FLOAT};
  PLEAT_TRY(pleat_promotion_find_border(&p, graph->root, out_changed, error));
  if (!*out_changed) return PLEAT_OK;
  PLEAT_TRY(promote(&p, graph->root, error));
  return pleat_promotion_join_border(&p, graph->root, error);
}

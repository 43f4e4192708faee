/* Whole models for the tests of fold/, runtime/plan and runtime/session, on top of graph_testing.h: values of any type
 * and shape, filled initializers, and the ways to fold and run what was built.
 *
 * Shapes are texts: "2,3", "N,3" (a symbol), "" (a scalar), "?" (not stated). Initializer data is given in double and
 * rounded to the type. */
#ifndef PLEAT_TESTS_MODEL_BUILDER_H
#define PLEAT_TESTS_MODEL_BUILDER_H

#include <math.h>

#include "graph_testing.h"
#include "pleat/pleat.h"
#include "suite.h"
#include "tensors.h"

enum { MODEL_OPSET = 13 };

/* ---- values ---- */

/* The count of elements of a concrete shape. */
static inline size_t shape_count(const char *text) {
  int64_t dims[PLEAT_MAX_RANK];
  size_t count = 1;
  int rank = shape_dims(text, dims);
  for (int i = 0; i < rank; i++) count *= (size_t)dims[i];
  return count;
}

static inline Onnx__ValueInfoProto *info_of(builder *b, const char *name, pleat_dtype dtype, const char *shape) {
  int64_t dims[PLEAT_MAX_RANK] = {0};
  int rank = strcmp(shape, "?") == 0 ? -1 : shape_dims(shape, dims);
  Onnx__ValueInfoProto *info = build_info(b, name, dtype, rank, dims);
  for (int i = 0; i < rank; i++) { /* the symbol as it is written, in place of "N" */
    const char *word = shape;
    for (int k = 0; k < i; k++) word = strchr(word, ',') + 1;
    Onnx__TensorShapeProto__Dimension *dim = info->type->tensor_type->shape->dim[i];
    if (dims[i] < 0) dim->dim_param = pleat_arena_strndup(b->arena, word, strcspn(word, ","));
  }
  return info;
}

static inline void model_input(builder *b, const char *name, pleat_dtype dtype, const char *shape) {
  ADD(b, b->graph->input, b->graph->n_input, info_of(b, name, dtype, shape));
}
static inline void model_output(builder *b, const char *name, pleat_dtype dtype, const char *shape) {
  ADD(b, b->graph->output, b->graph->n_output, info_of(b, name, dtype, shape));
}
static inline void model_value_info(builder *b, const char *name, pleat_dtype dtype, const char *shape) {
  ADD(b, b->graph->value_info, b->graph->n_value_info, info_of(b, name, dtype, shape));
}
static inline Onnx__NodeProto *model_node(builder *b, const char *op, const char *name, const char *inputs,
                                          const char *outputs) {
  return build_node(b, b->graph, op, name, inputs, outputs);
}

/* ---- attributes ---- */

static inline void attr_ints(builder *b, Onnx__NodeProto *node, const char *name, const char *values) {
  int64_t list[PLEAT_MAX_RANK];
  Onnx__AttributeProto *attr = build_attr(b, node, name, PLEAT_ATTR_INTS);
  int count = shape_dims(values, list);
  for (int i = 0; i < count; i++) ADD(b, attr->ints, attr->n_ints, list[i]);
}
static inline void attr_text(builder *b, Onnx__NodeProto *node, const char *name, const char *value) {
  Onnx__AttributeProto *attr = build_attr(b, node, name, PLEAT_ATTR_STRING);
  attr->has_s = true;
  attr->s.data = (uint8_t *)build_text(b, value);
  attr->s.len = strlen(value);
}

/* ---- tensors ---- */

/* A repeatable number in [low, high), never near 0 when both have the same sign. */
static inline double noise(uint32_t *state, double low, double high) {
  *state = *state * 1664525u + 1013904223u;
  return low + (high - low) * ((double)(*state >> 8) / 16777216.0);
}

static inline Onnx__TensorProto *tensor_message(builder *b, const char *name, pleat_dtype dtype, const char *shape,
                                                const double *values) {
  int64_t dims[PLEAT_MAX_RANK];
  int rank = shape_dims(shape, dims);
  size_t count = shape_count(shape);
  Onnx__TensorProto *tensor = NEW(b, Onnx__TensorProto, &onnx__tensor_proto__descriptor);
  tensor->name = build_text(b, name);
  tensor->has_data_type = true;
  tensor->data_type = (int32_t)dtype;
  for (int i = 0; i < rank; i++) ADD(b, tensor->dims, tensor->n_dims, dims[i]);
  tensor->has_raw_data = true;
  tensor->raw_data.len = count * pleat_dtype_size(dtype);
  tensor->raw_data.data = pleat_arena_alloc(b->arena, tensor->raw_data.len);
  for (size_t i = 0; i < count; i++) pleat_store_f64(dtype, tensor->raw_data.data, i, values[i]);
  return tensor;
}

/* An initializer of this graph. */
static inline void graph_init(builder *b, Onnx__GraphProto *graph, const char *name, pleat_dtype dtype,
                              const char *shape, const double *values) {
  ADD(b, graph->initializer, graph->n_initializer, tensor_message(b, name, dtype, shape, values));
}
static inline void model_init(builder *b, const char *name, pleat_dtype dtype, const char *shape,
                              const double *values) {
  graph_init(b, b->graph, name, dtype, shape, values);
}

/* Repeatable values in [low, high), other ones for every name. */
static inline double *noise_values(builder *b, const char *name, size_t count, double low, double high) {
  uint32_t state = 17;
  double *values = pleat_arena_array(b->arena, count, sizeof *values);
  for (const char *c = name; *c != '\0'; c++) state = state * 31 + (unsigned char)*c;
  for (size_t i = 0; i < count; i++) values[i] = noise(&state, low, high);
  return values;
}
static inline void noise_init(builder *b, const char *name, pleat_dtype dtype, const char *shape, double low,
                              double high) {
  model_init(b, name, dtype, shape, noise_values(b, name, shape_count(shape), low, high));
}
#define INTS_INIT(b, name, shape, ...) model_init((b), (name), PLEAT_INT64, (shape), (const double[]){__VA_ARGS__})

/* A Constant node with a tensor. */
static inline void constant_node(builder *b, const char *name, pleat_dtype dtype, const char *shape,
                                 const double *values) {
  Onnx__NodeProto *node = model_node(b, "Constant", "", "", name);
  build_attr(b, node, "value", PLEAT_ATTR_TENSOR)->t = tensor_message(b, "", dtype, shape, values);
}

/* Values in [-2, 2). */
static inline pleat_tensor *noise_tensor(pleat_dtype dtype, const char *shape, uint32_t seed) {
  pleat_tensor *tensor = make_tensor(dtype, shape, NULL);
  for (size_t i = 0; i < tensor->count; i++) pleat_store_f64(dtype, tensor->data, i, noise(&seed, -2, 2));
  return tensor;
}

/* ---- running ---- */

static inline pleat_session *session_with(const pleat_model *model, pleat_session_options options) {
  pleat_session *session = NULL;
  options.size = sizeof options;
  if (options.threads == 0) options.threads = 1;
  ASSERT_OK(pleat_session_create(model, &options, &session, error));
  return session;
}

/* Packs, loads, compiles, and drops the model: the session keeps what it needs. */
static inline pleat_session *session_from(builder *b, pleat_session_options options) {
  pleat_model *model = build_model(b);
  pleat_session *session = session_with(model, options);
  pleat_model_release(model);
  return session;
}

/* Runs with the inputs given, which are released; hands out all outputs. */
static inline void run_session(pleat_session *session, pleat_tensor *const *inputs, pleat_tensor **outputs) {
  size_t input_count = pleat_session_input_count(session), output_count = pleat_session_output_count(session);
  for (size_t i = 0; i < output_count; i++) outputs[i] = NULL;
  ASSERT_OK(pleat_session_run(session, inputs, input_count, outputs, output_count, error));
  for (size_t i = 0; i < input_count; i++) pleat_tensor_release(inputs[i]);
}

/* One input, one output. */
static inline pleat_tensor *run_one(pleat_session *session, pleat_tensor *input) {
  pleat_tensor *output = NULL;
  ck_assert_uint_eq(pleat_session_output_count(session), 1);
  run_session(session, &input, &output);
  return output;
}

/* Creating or running must fail with that status and those words; `tensor` is the place, or NULL. */
static inline void assert_error(const pleat_error *error, pleat_status status, pleat_status expected,
                                const char *tensor, const char *words) {
  ck_assert_msg(status == expected, "expected %s, found %s: %s", pleat_status_name(expected), pleat_status_name(status),
                error->message);
  ck_assert_msg(strstr(error->message, words) != NULL, "'%s' is not in: %s", words, error->message);
  if (tensor != NULL) ck_assert_str_eq(error->tensor, tensor);
}

static inline void assert_no_session(builder *b, pleat_session_options options, pleat_status expected,
                                     const char *tensor, const char *words) {
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_session *session = NULL;
  pleat_model *model = build_model(b);
  options.size = sizeof options;
  pleat_status status = pleat_session_create(model, &options, &session, &error);
  assert_error(&error, status, expected, tensor, words);
  ck_assert_ptr_null(session);
  pleat_model_release(model);
}

/* The inputs are released; no output may be handed out. */
static inline void assert_no_run(pleat_session *session, pleat_tensor *const *inputs, pleat_tensor **outputs,
                                 pleat_status expected, const char *tensor, const char *words) {
  pleat_error error = PLEAT_ERROR_INIT;
  size_t input_count = pleat_session_input_count(session);
  pleat_status status =
      pleat_session_run(session, inputs, input_count, outputs, pleat_session_output_count(session), &error);
  assert_error(&error, status, expected, tensor, words);
  for (size_t i = 0; i < input_count; i++) pleat_tensor_release(inputs[i]);
}

/* ---- folding ---- */

static inline const pleat_fold_entry *entry_of_node(const pleat_fold_report *report, const char *node) {
  for (size_t i = 0; i < report->entry_count; i++) {
    if (strcmp(report->entries[i].node, node) == 0) return &report->entries[i];
  }
  ck_abort_msg("the report says nothing about '%s'", node);
  return NULL;
}

/* The folded model, as it comes back from its bytes. */
static inline pleat_model *fold_model(const pleat_model *model, const pleat_fold_options *options,
                                      pleat_fold_report **out_report) {
  pleat_model *folded = NULL, *loaded = NULL;
  void *data = NULL;
  size_t size = 0;
  ASSERT_OK(pleat_model_fold(model, options, &folded, out_report, error));
  ASSERT_OK(pleat_model_save_memory(folded, &data, &size, error));
  pleat_model_release(folded);
  ASSERT_OK(pleat_model_load_memory(data, size, NULL, &loaded, error));
  free(data);
  pleat_graph *graph = import(loaded, false);
  pleat_graph_destroy(graph);
  return loaded;
}

static inline void assert_same_bytes(const pleat_model *a, const pleat_model *b) {
  void *a_data = NULL, *b_data = NULL;
  size_t a_size = 0, b_size = 0;
  ASSERT_OK(pleat_model_save_memory(a, &a_data, &a_size, error));
  ASSERT_OK(pleat_model_save_memory(b, &b_data, &b_size, error));
  ck_assert_msg(a_size == b_size && memcmp(a_data, b_data, a_size) == 0, "the files differ: %zu and %zu bytes", a_size,
                b_size);
  free(a_data);
  free(b_data);
}

static inline Onnx__TensorProto *initializer_named(const pleat_model *model, const char *name) {
  const Onnx__GraphProto *graph = model->message->graph;
  for (size_t i = 0; i < graph->n_initializer; i++) {
    if (strcmp(graph->initializer[i]->name, name) == 0) return graph->initializer[i];
  }
  return NULL;
}

#endif

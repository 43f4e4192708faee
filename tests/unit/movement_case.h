/* One operator invocation for a unit test: a node made by hand, run through inference and its reference kernel, and the
 * checks of what came out. */
#ifndef PLEAT_TESTS_MOVEMENT_CASE_H
#define PLEAT_TESTS_MOVEMENT_CASE_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "graph/infer.h"

enum { CASE_INPUTS = 6, CASE_OUTPUTS = 8, CASE_ATTRS = 8 };

typedef struct movement_case {
  const char *op;
  int opset;
  size_t input_count, output_count, attr_count;
  pleat_tensor *inputs[CASE_INPUTS]; /* owned; NULL: absent */
  pleat_tensor *outputs[CASE_OUTPUTS];
  bool absent[CASE_OUTPUTS]; /* outputs that the node leaves out */
  pleat_attr attrs[CASE_ATTRS];
  pleat_error error;
  pleat_node node;
  pleat_value values[CASE_INPUTS + CASE_OUTPUTS];
  pleat_value *value_pointers[CASE_INPUTS + CASE_OUTPUTS];
} movement_case;

/* "2,3" -> dims; "" is a scalar. Returns the rank. */
static inline int case_dims(const char *text, int64_t *dims) {
  int rank = 0;
  while (*text != '\0') {
    char *end = NULL;
    dims[rank++] = strtoll(text, &end, 10);
    text = *end == ',' ? end + 1 : end;
  }
  return rank;
}

/* A tensor of the given elements; NULL leaves it zero (or it is empty). */
static inline pleat_tensor *make(pleat_dtype dtype, const char *shape, const void *data) {
  int64_t dims[PLEAT_MAX_RANK] = {0};
  int rank = case_dims(shape, dims);
  pleat_tensor *tensor = NULL;
  pleat_status status = dtype == PLEAT_STRING && data != NULL
                            ? pleat_tensor_create_strings(rank, dims, data, &tensor, NULL)
                            : pleat_tensor_create(dtype, rank, dims, &tensor, NULL);
  ck_assert_int_eq(status, PLEAT_OK);
  if (data != NULL && dtype != PLEAT_STRING && pleat_bytes(tensor) > 0) memcpy(tensor->data, data, pleat_bytes(tensor));
  return tensor;
}
static inline pleat_tensor *make_i64_list(const int64_t *values, size_t count) {
  pleat_tensor *tensor = NULL;
  ck_assert_int_eq(pleat_tensor_create(PLEAT_INT64, 1, (const int64_t[]){(int64_t)count}, &tensor, NULL), PLEAT_OK);
  memcpy(tensor->data, values, count * sizeof *values);
  return tensor;
}
#define FLOATS(shape, ...) make(PLEAT_FLOAT, shape, (const float[]){__VA_ARGS__})
#define INT64S(shape, ...) make(PLEAT_INT64, shape, (const int64_t[]){__VA_ARGS__})
#define LIST(...)          make_i64_list((const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / 8)
#define STRING_OF(text)    ((pleat_string){.data = (text), .size = sizeof(text) - 1})

static inline void case_begin(movement_case *c, const char *op, int opset) {
  *c = (movement_case){.op = op, .opset = opset, .output_count = 1};
  c->error.size = sizeof c->error;
}
static inline void case_input(movement_case *c, pleat_tensor *tensor) {
  ck_assert_uint_lt(c->input_count, CASE_INPUTS);
  c->inputs[c->input_count++] = tensor;
}
static inline void case_attr(movement_case *c, pleat_attr attr) {
  ck_assert_uint_lt(c->attr_count, CASE_ATTRS);
  c->attrs[c->attr_count++] = attr;
}
static inline void case_int(movement_case *c, const char *name, int64_t value) {
  case_attr(c, (pleat_attr){.name = name, .type = PLEAT_ATTR_INT, .i = value});
}
static inline void case_float(movement_case *c, const char *name, float value) {
  case_attr(c, (pleat_attr){.name = name, .type = PLEAT_ATTR_FLOAT, .f = value});
}
static inline void case_string(movement_case *c, const char *name, const char *value) {
  case_attr(c, (pleat_attr){.name = name, .type = PLEAT_ATTR_STRING, .s = value, .count = strlen(value)});
}
static inline void case_ints_attr(movement_case *c, const char *name, const int64_t *values, size_t count) {
  case_attr(c, (pleat_attr){.name = name, .type = PLEAT_ATTR_INTS, .ints = values, .count = count});
}
/* A macro, so that the list lives as long as the test's block. */
#define CASE_INTS(c, name, ...)                                                                                        \
  case_ints_attr(c, name, (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / 8)

/* Finishes the node; called by the two below. */
static inline void case_build(movement_case *c) {
  pleat_node *node = &c->node;
  *node = (pleat_node){.name = "node", .op_type = c->op, .domain = "", .overload = ""};
  node->def = pleat_op_find("", c->op);
  ck_assert_ptr_nonnull(node->def);
  node->version = pleat_op_version_at(node->def, c->opset);
  ck_assert_ptr_nonnull(node->version);
  node->attrs = c->attrs;
  node->attr_count = c->attr_count;
  node->inputs = c->value_pointers;
  node->input_count = c->input_count;
  node->outputs = c->value_pointers + CASE_INPUTS;
  node->output_count = c->output_count;
  for (size_t i = 0; i < CASE_INPUTS + CASE_OUTPUTS; i++) {
    c->values[i].name = "value";
    c->value_pointers[i] = &c->values[i];
  }
  for (size_t i = 0; i < CASE_INPUTS; i++)
    if (c->inputs[i] == NULL) c->value_pointers[i] = NULL;
  for (size_t i = 0; i < CASE_OUTPUTS; i++)
    if (c->absent[i]) c->value_pointers[CASE_INPUTS + i] = NULL;
}

static inline pleat_status case_run(movement_case *c) {
  case_build(c);
  return pleat_node_evaluate(&c->node, (const pleat_tensor *const *)c->inputs, 2, c->outputs, &c->error);
}
/* Only inference, of types that the test gives instead of tensors. */
static inline pleat_status case_infer(movement_case *c, const pleat_type *inputs, size_t count, pleat_type *outputs) {
  c->input_count = count;
  case_build(c);
  for (size_t i = 0; i < count; i++) c->value_pointers[i] = inputs[i].present ? &c->values[i] : NULL;
  return pleat_node_infer(&c->node, inputs, outputs, &c->error);
}
static inline void case_end(movement_case *c) {
  for (size_t i = 0; i < CASE_INPUTS; i++) pleat_tensor_release(c->inputs[i]);
  for (size_t i = 0; i < CASE_OUTPUTS; i++) pleat_tensor_release(c->outputs[i]);
}

#define RUN_OK(c)                                                                                                      \
  do {                                                                                                                 \
    pleat_status status_ = case_run(c);                                                                                \
    ck_assert_msg(status_ == PLEAT_OK, "%s: %s", pleat_status_name(status_), (c)->error.message);                      \
  } while (0)
/* Fails with this status, and a message that contains `part`. Ends the case. */
#define RUN_FAILS(c, expected, part)                                                                                   \
  do {                                                                                                                 \
    pleat_status status_ = case_run(c);                                                                                \
    ck_assert_msg(status_ == (expected), "expected %s, found %s: %s", pleat_status_name(expected),                     \
                  pleat_status_name(status_), (c)->error.message);                                                     \
    ck_assert_msg(strstr((c)->error.message, part) != NULL, "'%s' is not in '%s'", part, (c)->error.message);          \
    case_end(c);                                                                                                       \
  } while (0)
/* Type and shape as pleat_tensor_text() writes them, and the elements, bit by bit. */
#define CHECK_TENSOR(tensor, text, T, ...)                                                                             \
  do {                                                                                                                 \
    const T want_[] = {__VA_ARGS__};                                                                                   \
    char text_[256];                                                                                                   \
    ck_assert_str_eq(pleat_tensor_text(tensor, text_, sizeof text_), text);                                            \
    ck_assert_uint_eq((tensor)->count, sizeof want_ / sizeof(T));                                                      \
    for (size_t i_ = 0; i_ < (tensor)->count; i_++)                                                                    \
      ck_assert_msg(memcmp((const T *)(tensor)->data + i_, want_ + i_, sizeof(T)) == 0, "element %zu is %g, not %g",   \
                    i_, (double)((const T *)(tensor)->data)[i_], (double)want_[i_]);                                   \
  } while (0)
#define CHECK_TEXT(tensor, text)                                                                                       \
  do {                                                                                                                 \
    char text_[256];                                                                                                   \
    ck_assert_str_eq(pleat_tensor_text(tensor, text_, sizeof text_), text);                                            \
  } while (0)
#define CHECK_SHAPE(type, text)                                                                                        \
  do {                                                                                                                 \
    char text_[256];                                                                                                   \
    ck_assert_str_eq(pleat_shape_text(&(type)->shape, text_, sizeof text_), text);                                     \
  } while (0)

#endif

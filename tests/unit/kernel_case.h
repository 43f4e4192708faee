/* One operator invocation for a unit test: a node made by hand, run through inference and its reference kernel on a
 * chosen number of threads, and the checks of what came out. */
#ifndef PLEAT_TESTS_KERNEL_CASE_H
#define PLEAT_TESTS_KERNEL_CASE_H

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "graph/infer.h"

enum { CASE_INPUTS = 5, CASE_OUTPUTS = 5, CASE_ATTRS = 8 };

typedef struct kernel_case {
  const char *op;
  int opset, threads;
  size_t input_count, output_count, attr_count;
  pleat_tensor *inputs[CASE_INPUTS]; /* owned; NULL: absent */
  pleat_tensor *outputs[CASE_OUTPUTS];
  pleat_attr attrs[CASE_ATTRS];
  pleat_error error;
  pleat_node node;
  pleat_value values[CASE_INPUTS + CASE_OUTPUTS];
  pleat_value *value_pointers[CASE_INPUTS + CASE_OUTPUTS];
} kernel_case;

/* ---- tensors ---- */

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
  int64_t dims[PLEAT_MAX_RANK];
  int rank = case_dims(shape, dims);
  pleat_tensor *tensor = NULL;
  ck_assert_int_eq(pleat_tensor_create(dtype, rank, dims, &tensor, NULL), PLEAT_OK);
  if (data != NULL && pleat_bytes(tensor) > 0) memcpy(tensor->data, data, pleat_bytes(tensor));
  return tensor;
}
#define FLOATS(shape, ...) make(PLEAT_FLOAT, shape, (const float[]){__VA_ARGS__})

/* Pseudo-random numbers, the same in every run. */
static inline int64_t pick(uint64_t *seed, int64_t low, int64_t high) {
  *seed = *seed * 6364136223846793005u + 1442695040888963407u;
  return low + (int64_t)((*seed >> 33) % (uint64_t)(high - low + 1));
}

/* Elements in [-2, 2] (integers: [-1000, 1000]). */
static inline pleat_tensor *noise(uint64_t *seed, pleat_dtype dtype, int rank, const int64_t *dims) {
  pleat_tensor *tensor = NULL;
  double scale = pleat_dtype_is_int(dtype) ? 1 : 500;
  ck_assert_int_eq(pleat_tensor_create(dtype, rank, dims, &tensor, NULL), PLEAT_OK);
  for (size_t i = 0; i < tensor->count; i++)
    pleat_store_f64(dtype, tensor->data, i, (double)pick(seed, -1000, 1000) / scale);
  return tensor;
}

static inline double element(const pleat_tensor *tensor, size_t index) {
  return pleat_load_f64(tensor->dtype, tensor->data, index);
}

/* ---- the node ---- */

static inline void case_begin(kernel_case *c, const char *op, int opset) {
  *c = (kernel_case){.op = op, .opset = opset, .threads = 2, .output_count = 1};
  c->error.size = sizeof c->error;
}
static inline void case_input(kernel_case *c, pleat_tensor *tensor) {
  ck_assert_uint_lt(c->input_count, CASE_INPUTS);
  c->inputs[c->input_count++] = tensor;
}
static inline void case_attr(kernel_case *c, pleat_attr attr) {
  ck_assert_uint_lt(c->attr_count, CASE_ATTRS);
  c->attrs[c->attr_count++] = attr;
}
static inline void case_int(kernel_case *c, const char *name, int64_t value) {
  case_attr(c, (pleat_attr){.name = name, .type = PLEAT_ATTR_INT, .i = value});
}
static inline void case_float(kernel_case *c, const char *name, float value) {
  case_attr(c, (pleat_attr){.name = name, .type = PLEAT_ATTR_FLOAT, .f = value});
}
static inline void case_string(kernel_case *c, const char *name, const char *value) {
  case_attr(c, (pleat_attr){.name = name, .type = PLEAT_ATTR_STRING, .s = value, .count = strlen(value)});
}
static inline void case_ints(kernel_case *c, const char *name, const int64_t *values, size_t count) {
  case_attr(c, (pleat_attr){.name = name, .type = PLEAT_ATTR_INTS, .ints = values, .count = count});
}
/* A macro, so that the list lives as long as the test's block. */
#define CASE_INTS(c, name, ...)                                                                                        \
  case_ints(c, name, (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

/* ---- running ---- */

static inline void case_build(kernel_case *c) {
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
  for (size_t i = 0; i < CASE_INPUTS; i++) {
    if (c->inputs[i] == NULL) c->value_pointers[i] = NULL;
  }
}
static inline pleat_status case_run(kernel_case *c) {
  case_build(c);
  return pleat_node_evaluate(&c->node, (const pleat_tensor *const *)c->inputs, c->threads, c->outputs, &c->error);
}
/* Only inference, of types that the test gives instead of tensors. */
static inline pleat_status case_infer(kernel_case *c, const pleat_type *inputs, size_t count, pleat_type *outputs) {
  c->input_count = count;
  case_build(c);
  for (size_t i = 0; i < count; i++) c->value_pointers[i] = inputs[i].present ? &c->values[i] : NULL;
  return pleat_node_infer(&c->node, inputs, outputs, &c->error);
}
static inline pleat_type type_of(pleat_dtype dtype, pleat_shape shape) {
  return (pleat_type){.present = true, .dtype = dtype, .shape = shape};
}
/* The operator's count of multiply-adds for these inputs. */
static inline double case_macs(kernel_case *c, const pleat_type *inputs, size_t count) {
  pleat_type outputs[CASE_OUTPUTS];
  ck_assert_int_eq(case_infer(c, inputs, count, outputs), PLEAT_OK);
  pleat_infer ctx = {.node = &c->node, .version = c->node.version, .input_count = count, .inputs = inputs};
  ctx.output_count = c->output_count;
  ctx.outputs = outputs;
  return c->node.def->macs(&ctx);
}
static inline void case_end(kernel_case *c) {
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
/* Runs with 1, 2 and 3 threads: the bits of all outputs must be the same. Ends the case. */
static inline void check_threads(kernel_case *c) {
  pleat_tensor *first[CASE_OUTPUTS] = {NULL};
  for (c->threads = 1; c->threads <= 3; c->threads++) {
    RUN_OK(c);
    for (size_t i = 0; i < c->output_count; i++) {
      if (first[i] == NULL) {
        first[i] = c->outputs[i];
      } else {
        ck_assert(pleat_same_shape(first[i], c->outputs[i]));
        if (first[i]->count > 0) ck_assert_mem_eq(first[i]->data, c->outputs[i]->data, pleat_bytes(first[i]));
        pleat_tensor_release(c->outputs[i]);
      }
      c->outputs[i] = NULL;
    }
  }
  for (size_t i = 0; i < c->output_count; i++) pleat_tensor_release(first[i]);
  case_end(c);
}

/* ---- checks ---- */

/* |found - expected| <= tolerance * (1 + |expected|); NaN equals NaN, infinities equal themselves. */
#define CHECK_NEAR(found, expected, tolerance)                                                                         \
  do {                                                                                                                 \
    double found_ = (found), expected_ = (expected);                                                                   \
    bool same_ = found_ == expected_ || (found_ != found_ && expected_ != expected_);                                  \
    /* An assertion a call would be slow: Check notes each, passed or not, in a pipe. */                               \
    if (!same_ && !(fabs(found_ - expected_) <= (tolerance) * (1 + fabs(expected_))))                                  \
      ck_abort_msg("%g, not %g", found_, expected_);                                                                   \
  } while (0)
#define CHECK_TEXT(tensor, text)                                                                                       \
  do {                                                                                                                 \
    char text_[256];                                                                                                   \
    ck_assert_str_eq(pleat_tensor_text(tensor, text_, sizeof text_), text);                                            \
  } while (0)
/* Type and shape as pleat_tensor_text() writes them, and the elements, bit by bit. */
#define CHECK_TENSOR(tensor, text, T, ...)                                                                             \
  do {                                                                                                                 \
    const T want_[] = {__VA_ARGS__};                                                                                   \
    CHECK_TEXT(tensor, text);                                                                                          \
    ck_assert_uint_eq((tensor)->count, sizeof want_ / sizeof(T));                                                      \
    for (size_t i_ = 0; i_ < (tensor)->count; i_++)                                                                    \
      ck_assert_msg(memcmp((const T *)(tensor)->data + i_, want_ + i_, sizeof(T)) == 0, "element %zu is %g, not %g",   \
                    i_, (double)((const T *)(tensor)->data)[i_], (double)want_[i_]);                                   \
  } while (0)
#define CHECK_SHAPE(type, text)                                                                                        \
  do {                                                                                                                 \
    char text_[256];                                                                                                   \
    ck_assert_str_eq(pleat_shape_text(&(type)->shape, text_, sizeof text_), text);                                     \
  } while (0)

#endif

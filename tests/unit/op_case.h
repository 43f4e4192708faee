/* Tests of one operator call: builds the node by hand, infers, prepares and runs the reference kernel, and compares. */
#ifndef PLEAT_TESTS_OP_CASE_H
#define PLEAT_TESTS_OP_CASE_H

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "graph/infer.h"
#include "ops/ops.h"

enum { MAX_INPUTS = 4, MAX_ATTRS = 4 };

/* One operator call, described by the test and carried out by run_op. */
typedef struct op_case {
  const char *op;
  int opset;
  pleat_tensor *inputs[MAX_INPUTS]; /* released by run_op; NULL: absent, or past the end */
  size_t input_count;
  pleat_attr attrs[MAX_ATTRS];
  size_t attr_count;
  int threads;
  int inplace; /* 1 + the input whose memory becomes the output's; 0: none */
} op_case;

static inline pleat_tensor *tensor(pleat_dtype dtype, int rank, const int64_t *dims, const void *data) {
  pleat_tensor *t;
  ck_assert_int_eq(pleat_tensor_create(dtype, rank, dims, &t, NULL), PLEAT_OK);
  if (data != NULL && t->count > 0) memcpy(t->data, data, pleat_bytes(t));
  return t;
}

#define DIMS(...)                                                                                                      \
  (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]) {                                       \
    __VA_ARGS__                                                                                                        \
  }
#define VECTOR(type, ...)                                                                                              \
  (const type[]) {                                                                                                     \
    __VA_ARGS__                                                                                                        \
  }
#define F32(...) VECTOR(float, __VA_ARGS__)

static inline pleat_attr int_attr(const char *name, int64_t value) {
  return (pleat_attr){.name = name, .type = PLEAT_ATTR_INT, .i = value};
}

static inline pleat_attr string_attr(const char *name, const char *value) {
  return (pleat_attr){.name = name, .type = PLEAT_ATTR_STRING, .s = value, .count = strlen(value)};
}

static inline pleat_attr float_attr(const char *name, float value) {
  return (pleat_attr){.name = name, .type = PLEAT_ATTR_FLOAT, .f = value};
}

/* Infers, selects the last (reference) kernel, prepares and runs it. On success, *out is a new tensor. */
static inline pleat_status run_op(op_case c, pleat_tensor **out, pleat_error *error) {
  pleat_value slot = {.name = "y"};
  pleat_value *values[MAX_INPUTS] = {&slot, &slot, &slot, &slot};
  pleat_node node = {.name = "n", .op_type = c.op, .domain = "", .attr_count = c.attr_count, .attrs = c.attrs};
  node.def = pleat_op_find("", c.op);
  ck_assert_ptr_nonnull(node.def);
  node.version = pleat_op_version_at(node.def, c.opset);
  ck_assert_ptr_nonnull(node.version);
  node.inputs = node.outputs = values;
  node.input_count = c.input_count;
  node.output_count = 1;
  pleat_type types[MAX_INPUTS] = {{0}}, result;
  for (size_t i = 0; i < c.input_count; i++) {
    if (c.inputs[i] != NULL) types[i] = pleat_type_of_tensor(c.inputs[i]);
  }
  *out = NULL;
  pleat_arena *arena = pleat_arena_create();
  void *workspace = NULL;
  pleat_status status = PLEAT_OK;
  PLEAT_CHECK(pleat_node_infer(&node, types, &result, error));
  int64_t dims[PLEAT_MAX_RANK];
  ck_assert(pleat_shape_dims(&result.shape, dims));
  PLEAT_CHECK(pleat_tensor_create(result.dtype, result.shape.rank, dims, out, error));
  pleat_tensor view = **out;
  pleat_tensor *outputs[] = {&view};
  pleat_call call = {.node = &node,
                     .version = node.version,
                     .input_count = c.input_count,
                     .output_count = 1,
                     .inputs = (const pleat_tensor *const *)c.inputs,
                     .outputs = outputs,
                     .threads = c.threads > 0 ? c.threads : 1,
                     .arena = arena,
                     .error = error};
  const pleat_kernel *const *kernel = node.def->kernels;
  while (kernel[1] != NULL) kernel++;
  if (c.inplace > 0) {
    ck_assert_msg(((*kernel)->inplace & (1u << (c.inplace - 1))) != 0, "%s: not in place", c.op);
    view.data = c.inputs[c.inplace - 1]->data;
  }
  PLEAT_CHECK(pleat_kernel_prepare(*kernel, &call));
  workspace = call.workspace_size > 0 ? aligned_alloc(64, (call.workspace_size + 63) / 64 * 64) : NULL;
  call.workspace = workspace;
  PLEAT_CHECK(pleat_kernel_run(*kernel, &call));
  if (c.inplace > 0 && view.count > 0) memcpy((*out)->data, view.data, pleat_bytes(&view));
fail:
  if (status != PLEAT_OK) {
    pleat_tensor_release(*out);
    *out = NULL;
  }
  for (size_t i = 0; i < c.input_count; i++) pleat_tensor_release(c.inputs[i]);
  free(workspace);
  pleat_arena_destroy(arena);
  return status;
}

static inline pleat_tensor *run_ok(op_case c) {
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_tensor *out;
  ck_assert_msg(run_op(c, &out, &error) == PLEAT_OK, "%s: %s", c.op, error.message);
  return out;
}

static inline void expect_failure(op_case c, pleat_status expected, const char *words) {
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_tensor *out;
  ck_assert_int_eq(run_op(c, &out, &error), expected);
  ck_assert_msg(strstr(error.message, words) != NULL, "'%s' is not in: %s", words, error.message);
}

/* Compares type, shape and every byte (NaN with NaN) and releases. */
static inline void expect(pleat_tensor *actual, pleat_dtype dtype, int rank, const int64_t *dims, const void *data) {
  pleat_tensor *wanted = tensor(dtype, rank, dims, data);
  ck_assert_int_eq(actual->dtype, dtype);
  ck_assert(pleat_same_shape(actual, wanted));
  for (size_t i = 0; i < wanted->count; i++) {
    const double a = pleat_load_f64(dtype, actual->data, i), w = pleat_load_f64(dtype, wanted->data, i);
    ck_assert_msg(a == w || (isnan(a) && isnan(w)), "element %zu is %.17g, expected %.17g", i, a, w);
    if (pleat_dtype_is_int(dtype)) {
      ck_assert_int_eq(pleat_load_i64(dtype, actual->data, i), pleat_load_i64(dtype, wanted->data, i));
    }
  }
  pleat_tensor_release(actual);
  pleat_tensor_release(wanted);
}

static inline void add_case(Suite *suite, const char *name, const TTest *const *tests) {
  TCase *tcase = tcase_create(name);
  for (; *tests != NULL; tests++) tcase_add_test(tcase, *tests);
  suite_add_tcase(suite, tcase);
}

#endif

/* Runs one operator without a graph: a node made by hand, inference, kernel selection, prepare and run, as the planner
 * does it. */
#ifndef PLEAT_TESTS_OP_TESTING_H
#define PLEAT_TESTS_OP_TESTING_H

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/ops.h"

enum { OP_MAX_ATTRS = 12, OP_MAX_IO = 5 };

typedef struct op_case {
  pleat_attr attrs[OP_MAX_ATTRS];
  pleat_node node;
  pleat_tensor *inputs[OP_MAX_IO]; /* owned; NULL: absent */
  bool late[OP_MAX_IO];            /* prepare does not see this input's data */
  pleat_type types[OP_MAX_IO];     /* outputs as inferred */
  pleat_tensor *outputs[OP_MAX_IO];
  size_t input_count, output_count;
  int threads;
  pleat_error error;
} op_case;

static inline void op_init(op_case *t, const char *op, int opset) {
  memset(t, 0, sizeof *t);
  t->error = (pleat_error)PLEAT_ERROR_INIT;
  t->threads = 1;
  t->output_count = 1;
  t->node.name = t->node.domain = t->node.overload = "";
  t->node.op_type = op;
  t->node.def = pleat_op_find("", op);
  ck_assert_msg(t->node.def != NULL, "%s is not registered", op);
  t->node.version = pleat_op_version_at(t->node.def, opset);
  ck_assert_msg(t->node.version != NULL, "%s is not in opset %d", op, opset);
  t->node.attrs = t->attrs;
  t->node.attr_capacity = OP_MAX_ATTRS;
}

static inline pleat_attr *op_attr(op_case *t, const char *name, pleat_attr_type type, size_t count) {
  ck_assert_uint_lt(t->node.attr_count, OP_MAX_ATTRS);
  pleat_attr *attr = &t->attrs[t->node.attr_count++];
  *attr = (pleat_attr){.name = name, .type = type, .count = count};
  return attr;
}
static inline void op_int(op_case *t, const char *name, int64_t value) {
  op_attr(t, name, PLEAT_ATTR_INT, 0)->i = value;
}
static inline void op_float(op_case *t, const char *name, float value) {
  op_attr(t, name, PLEAT_ATTR_FLOAT, 0)->f = value;
}
static inline void op_string(op_case *t, const char *name, const char *value) {
  op_attr(t, name, PLEAT_ATTR_STRING, strlen(value))->s = value;
}
/* The list must live as long as the case. */
static inline void op_ints(op_case *t, const char *name, size_t count, const int64_t *values) {
  op_attr(t, name, PLEAT_ATTR_INTS, count)->ints = values;
}
static inline void op_floats(op_case *t, const char *name, size_t count, const float *values) {
  op_attr(t, name, PLEAT_ATTR_FLOATS, count)->floats = values;
}

/* Appends an input (NULL: absent) that the case will release. */
static inline void op_input(op_case *t, pleat_tensor *tensor) {
  ck_assert_uint_lt(t->input_count, OP_MAX_IO);
  t->inputs[t->input_count++] = tensor;
}

static inline pleat_tensor *op_tensor(pleat_dtype dtype, int rank, const int64_t *dims) {
  pleat_tensor *tensor = NULL;
  ck_assert_int_eq(pleat_tensor_create(dtype, rank, dims, &tensor, NULL), PLEAT_OK);
  return tensor;
}
/* A tensor of any numeric type with the given values. */
static inline pleat_tensor *op_values(pleat_dtype dtype, int rank, const int64_t *dims, const double *values) {
  pleat_tensor *tensor = op_tensor(dtype, rank, dims);
  for (size_t i = 0; i < tensor->count; i++) pleat_store_f64(dtype, tensor->data, i, values[i]);
  return tensor;
}
static inline pleat_tensor *op_vector(pleat_dtype dtype, int64_t count, const double *values) {
  return op_values(dtype, 1, &count, values);
}

/* A small generator, the same everywhere. */
static inline uint32_t op_random(uint32_t *seed) {
  *seed = *seed * 1664525u + 1013904223u;
  return *seed >> 8;
}
/* In [low, high]. */
static inline int64_t op_pick(uint32_t *seed, int64_t low, int64_t high) {
  return low + (int64_t)(op_random(seed) % (uint32_t)(high - low + 1));
}
/* Floats in [-2, 2); integers in [-20, 20], unsigned in [0, 40]. */
static inline pleat_tensor *op_noise(pleat_dtype dtype, int rank, const int64_t *dims, uint32_t *seed) {
  pleat_tensor *tensor = op_tensor(dtype, rank, dims);
  for (size_t i = 0; i < tensor->count; i++) {
    double value = pleat_dtype_is_float(dtype)            ? (double)op_random(seed) / 4194304.0 - 2
                   : (PLEAT_M(dtype) & PLEAT_M_SINT) != 0 ? (double)op_pick(seed, -20, 20)
                                                          : (double)op_pick(seed, 0, dtype == PLEAT_BOOL ? 1 : 40);
    pleat_store_f64(dtype, tensor->data, i, value);
  }
  return tensor;
}

static inline pleat_status op_infer(op_case *t) {
  pleat_type inputs[OP_MAX_IO];
  memset(inputs, 0, sizeof inputs);
  memset(t->types, 0, sizeof t->types);
  for (size_t i = 0; i < t->input_count; i++) {
    const pleat_tensor *in = t->inputs[i];
    if (in == NULL) continue;
    inputs[i] = (pleat_type){.present = true,
                             .dtype = in->dtype,
                             .shape = pleat_shape_of(in->rank, in->dims),
                             .data = t->late[i] ? NULL : in};
  }
  for (size_t i = 0; i < t->output_count; i++)
    t->types[i] = (pleat_type){.present = true, .shape = pleat_shape_unknown()};
  pleat_infer ctx = {.node = &t->node,
                     .version = t->node.version,
                     .input_count = t->input_count,
                     .output_count = t->output_count,
                     .inputs = inputs,
                     .outputs = t->types,
                     .error = &t->error};
  return t->node.def->infer(&ctx);
}

static inline void op_release_outputs(op_case *t) {
  for (size_t i = 0; i < OP_MAX_IO; i++) {
    pleat_tensor_release(t->outputs[i]);
    t->outputs[i] = NULL;
  }
}

/* Runs; outputs are in t->outputs afterwards. Replaces the outputs of an earlier run. */
static inline pleat_status op_try(op_case *t) {
  pleat_tensor blind[OP_MAX_IO];
  const pleat_tensor *inputs[OP_MAX_IO] = {NULL};
  op_release_outputs(t);
  pleat_status status = op_infer(t);
  if (status != PLEAT_OK) return status;
  for (size_t i = 0; i < t->output_count; i++) {
    int64_t dims[PLEAT_MAX_RANK];
    ck_assert_msg(pleat_shape_dims(&t->types[i].shape, dims), "%s: output %zu is unknown", t->node.op_type, i);
    t->outputs[i] = op_tensor(t->types[i].dtype, t->types[i].shape.rank, dims);
    memset(t->outputs[i]->data != NULL ? t->outputs[i]->data : (void *)blind, 0xa5, pleat_bytes(t->outputs[i]));
  }
  for (size_t i = 0; i < t->input_count; i++) {
    inputs[i] = t->inputs[i];
    if (!t->late[i] || t->inputs[i] == NULL) continue;
    blind[i] = *t->inputs[i];
    blind[i].data = NULL;
    inputs[i] = &blind[i];
  }
  pleat_arena *arena = pleat_arena_create();
  pleat_call call = {.node = &t->node,
                     .version = t->node.version,
                     .input_count = t->input_count,
                     .output_count = t->output_count,
                     .inputs = inputs,
                     .outputs = t->outputs,
                     .threads = t->threads,
                     .arena = arena,
                     .error = &t->error};
  const pleat_kernel *kernel = NULL;
  for (const pleat_kernel *const *k = t->node.def->kernels; *k != NULL; k++) kernel = *k; /* the reference */
  const char *declined = kernel->supports == NULL ? NULL : kernel->supports(&call);
  if (declined != NULL) status = pleat_fail(&t->error, PLEAT_UNSUPPORTED, "%s", declined);
  if (status == PLEAT_OK) status = pleat_kernel_prepare(kernel, &call);
  if (status == PLEAT_OK) {
    for (size_t i = 0; i < t->input_count; i++) inputs[i] = t->inputs[i];
    call.workspace = aligned_alloc(64, (call.workspace_size + 127) / 64 * 64);
    memset(call.workspace, 0x5a, call.workspace_size);
    status = pleat_kernel_run(kernel, &call);
    free(call.workspace);
  }
  pleat_arena_destroy(arena);
  return status;
}

/* Runs, expecting success, with one, two and three threads, which must agree bit by bit. Returns output 0. */
static inline const pleat_tensor *op_run(op_case *t) {
  char text[2048];
  pleat_tensor *first[OP_MAX_IO] = {NULL};
  for (int threads = 1; threads <= 3; threads++) {
    t->threads = threads;
    pleat_status status = op_try(t);
    ck_assert_msg(status == PLEAT_OK, "%s: %s", t->node.op_type, pleat_error_format(&t->error, text, sizeof text));
    for (size_t i = 0; i < t->output_count; i++) {
      if (threads == 1) {
        first[i] = t->outputs[i];
        t->outputs[i] = NULL;
      } else if (first[i]->count > 0) {
        ck_assert_msg(memcmp(first[i]->data, t->outputs[i]->data, pleat_bytes(first[i])) == 0,
                      "%s: %d threads give another result", t->node.op_type, threads);
      }
    }
  }
  for (size_t i = 0; i < t->output_count; i++) pleat_tensor_release(first[i]);
  return t->outputs[0];
}

static inline void op_done(op_case *t) {
  op_release_outputs(t);
  for (size_t i = 0; i < t->input_count; i++) pleat_tensor_release(t->inputs[i]);
}

/* Expects failure with this status and a message. */
static inline void op_refuse(op_case *t, pleat_status expected) {
  pleat_status status = op_try(t);
  ck_assert_msg(status == expected, "%s: expected '%s', found '%s'", t->node.op_type, pleat_status_name(expected),
                pleat_status_name(status));
  ck_assert_str_ne(t->error.message, "");
  op_done(t);
}

static inline void op_expect_shape(const pleat_tensor *tensor, int rank, const int64_t *dims) {
  ck_assert_int_eq(tensor->rank, rank);
  for (int d = 0; d < rank; d++) ck_assert_int_eq(tensor->dims[d], dims[d]);
}

/* Element `i` is `expected` within 1e-5 (relative above 1); equal infinities and NaNs match. */
static inline void op_expect_at(const pleat_tensor *tensor, size_t i, double expected) {
  double found = pleat_load_f64(tensor->dtype, tensor->data, i);
  double slack = 1e-5 * (fabs(expected) > 1 ? fabs(expected) : 1);
  bool same = found == expected || (isnan(found) && isnan(expected)) || fabs(found - expected) <= slack;
  ck_assert_msg(same, "element %zu: expected %.9g, found %.9g", i, expected, found);
}
static inline void op_expect(const pleat_tensor *tensor, size_t count, const double *expected) {
  ck_assert_uint_eq(tensor->count, count);
  for (size_t i = 0; i < count; i++) op_expect_at(tensor, i, expected[i]);
}

#endif

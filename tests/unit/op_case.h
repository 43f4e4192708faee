/* Runs one operator without a graph: a node made by hand goes through inference, selection, prepare and run of the
 * reference kernel, and its outputs through the checks at the end of this file.
 *
 *   op_case c;
 *   case_begin(&c, "Concat", 13);
 *   case_int(&c, "axis", 1);
 *   case_input(&c, FLOATS("2,1", 1, 2));
 *   case_input(&c, FLOATS("2,2", 3, 4, 5, 6));
 *   RUN_OK(&c);                                     or RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "words of the message");
 *   CHECK_TENSOR(c.outputs[0], "float[2,3]", float, 1, 3, 4, 2, 5, 6);
 *   case_end(&c);
 *
 * A run that shall succeed is made with one, two and three threads, whose outputs must agree bit by bit, with each
 * other and with pleat_node_evaluate(). Outputs and workspace are filled with rubbish before, and inputs must stay what
 * they were. Shapes are texts: "2,3"; "" is a scalar. */
#ifndef PLEAT_TESTS_OP_CASE_H
#define PLEAT_TESTS_OP_CASE_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "core/parallel.h"
#include "graph/infer.h"
#include "suite.h"
#include "tensors.h"

enum { CASE_INPUTS = 8, CASE_OUTPUTS = 8, CASE_ATTRS = 12 };

typedef struct op_case {
  const char *op;
  int opset;
  int threads;                                  /* 0: one, two and three, compared */
  int inplace;                                  /* 1 + the input whose memory becomes output 0's; 0: none */
  size_t input_count, output_count, attr_count; /* no outputs: one */
  pleat_tensor *inputs[CASE_INPUTS];            /* owned; NULL: absent */
  bool late[CASE_INPUTS];                       /* inference and prepare do not see this input's data */
  bool fastest;              /* the first kernel instead of the reference, to which it is not compared */
  bool absent[CASE_OUTPUTS]; /* outputs that the node leaves out */
  pleat_attr attrs[CASE_ATTRS];
  pleat_type types[CASE_OUTPUTS]; /* as inferred */
  pleat_tensor *outputs[CASE_OUTPUTS];
  pleat_error error;
  pleat_node node;
  pleat_value values[CASE_INPUTS + CASE_OUTPUTS];
  pleat_value *value_pointers[CASE_INPUTS + CASE_OUTPUTS];
} op_case;

/* ---- the node ---- */

static inline void case_begin(op_case *c, const char *op, int opset) {
  *c = (op_case){.op = op, .opset = opset, .output_count = 1};
}
/* Appends an input (NULL: absent), which the case owns from now on. */
static inline void case_input(op_case *c, pleat_tensor *tensor) {
  ck_assert_uint_lt(c->input_count, CASE_INPUTS);
  c->inputs[c->input_count++] = tensor;
}
/* Lists must live as long as the case. */
static inline void case_attr(op_case *c, pleat_attr attr) {
  ck_assert_uint_lt(c->attr_count, CASE_ATTRS);
  c->attrs[c->attr_count++] = attr;
}
static inline void case_int(op_case *c, const char *name, int64_t value) {
  case_attr(c, (pleat_attr){.name = name, .type = PLEAT_ATTR_INT, .i = value});
}
static inline void case_float(op_case *c, const char *name, float value) {
  case_attr(c, (pleat_attr){.name = name, .type = PLEAT_ATTR_FLOAT, .f = value});
}
static inline void case_string(op_case *c, const char *name, const char *value) {
  case_attr(c, (pleat_attr){.name = name, .type = PLEAT_ATTR_STRING, .s = value, .count = strlen(value)});
}
static inline void case_ints(op_case *c, const char *name, size_t count, const int64_t *values) {
  case_attr(c, (pleat_attr){.name = name, .type = PLEAT_ATTR_INTS, .ints = values, .count = count});
}
static inline void case_floats(op_case *c, const char *name, size_t count, const float *values) {
  case_attr(c, (pleat_attr){.name = name, .type = PLEAT_ATTR_FLOATS, .floats = values, .count = count});
}
/* A macro, so that the list lives as long as the test's block. */
#define CASE_INTS(c, name, ...) case_ints(c, name, COUNT_OF_INTS(__VA_ARGS__), VECTOR(int64_t, __VA_ARGS__))

/* Finishes the node. The functions below call it. */
static inline void case_build(op_case *c) {
  pleat_node *node = &c->node;
  if (c->output_count == 0) c->output_count = 1;
  c->error = (pleat_error)PLEAT_ERROR_INIT;
  *node = (pleat_node){.name = "node", .op_type = c->op, .domain = "", .overload = ""};
  node->def = pleat_op_find("", c->op);
  ck_assert_msg(node->def != NULL, "%s is not registered", c->op);
  node->version = pleat_op_version_at(node->def, c->opset);
  ck_assert_msg(node->version != NULL, "%s is not in opset %d", c->op, c->opset);
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
  for (size_t i = 0; i < CASE_OUTPUTS; i++) {
    if (c->absent[i]) c->value_pointers[CASE_INPUTS + i] = NULL;
  }
}

/* Only inference, of types that the test gives instead of tensors. */
static inline pleat_status case_infer(op_case *c, const pleat_type *inputs, size_t count, pleat_type *outputs) {
  c->input_count = count;
  case_build(c);
  for (size_t i = 0; i < count; i++) c->value_pointers[i] = inputs[i].present ? &c->values[i] : NULL;
  return pleat_node_infer(&c->node, inputs, outputs, &c->error);
}
/* Only inference, of the case's inputs: into c->types. */
static inline pleat_status case_infer_inputs(op_case *c) {
  pleat_type types[CASE_INPUTS];
  memset(types, 0, sizeof types);
  case_build(c);
  for (size_t i = 0; i < c->input_count; i++) {
    if (c->inputs[i] == NULL) continue;
    types[i] = pleat_type_of_tensor(c->inputs[i]);
    if (c->late[i]) types[i].data = NULL;
  }
  return pleat_node_infer(&c->node, types, c->types, &c->error);
}
static inline pleat_type type_of(pleat_dtype dtype, pleat_shape shape) {
  return (pleat_type){.present = true, .dtype = dtype, .shape = shape};
}
/* The operator's count of multiply-adds for these inputs. */
static inline double case_macs(op_case *c, const pleat_type *inputs, size_t count) {
  pleat_type outputs[CASE_OUTPUTS];
  ck_assert_int_eq(case_infer(c, inputs, count, outputs), PLEAT_OK);
  pleat_infer ctx = {.node = &c->node, .version = c->node.version, .input_count = count, .inputs = inputs};
  ctx.output_count = c->output_count;
  ctx.outputs = outputs;
  return c->node.def->macs(&ctx);
}

/* ---- running ---- */

static inline void case_drop_outputs(op_case *c) {
  for (size_t i = 0; i < CASE_OUTPUTS; i++) {
    pleat_tensor_release(c->outputs[i]);
    c->outputs[i] = NULL;
  }
}
static inline void case_end(op_case *c) {
  case_drop_outputs(c);
  for (size_t i = 0; i < CASE_INPUTS; i++) {
    pleat_tensor_release(c->inputs[i]);
    c->inputs[i] = NULL;
  }
}

/* Outputs as inferred, full of rubbish; lists start empty. */
static inline pleat_status case_make_outputs(op_case *c) {
  for (size_t i = 0; i < c->output_count; i++) {
    const pleat_type *type = &c->types[i];
    int64_t dims[PLEAT_MAX_RANK];
    if (c->absent[i]) continue;
    if (type->kind != PLEAT_KIND_TENSOR) {
      PLEAT_TRY(pleat_tensor_create_list(type->kind, NULL, 0, &c->outputs[i], &c->error));
      continue;
    }
    ck_assert_msg(pleat_shape_dims(&type->shape, dims), "%s: output %zu is unknown", c->op, i);
    PLEAT_TRY(pleat_tensor_create(type->dtype, type->shape.rank, dims, &c->outputs[i], &c->error));
    if (type->dtype != PLEAT_STRING && c->outputs[i]->count > 0)
      memset(c->outputs[i]->data, 0xa5, pleat_bytes(c->outputs[i]));
  }
  return PLEAT_OK;
}

/* Strings and items that run made are the call's arena's: replaces them by copies that outlive it. */
static inline void case_own_outputs(op_case *c) {
  for (size_t i = 0; i < c->output_count; i++) {
    pleat_tensor *output = c->outputs[i], *copy = NULL;
    if (output == NULL || (output->kind == PLEAT_KIND_TENSOR && output->dtype != PLEAT_STRING)) continue;
    ck_assert_int_eq(pleat_tensor_clone(output, &copy, NULL), PLEAT_OK);
    if (output->kind != PLEAT_KIND_TENSOR) {
      output->items = NULL;
      output->count = 0;
    }
    pleat_tensor_release(output);
    c->outputs[i] = copy;
  }
}

/* prepare and run on views of the inputs; `late` data comes between the two. */
static inline pleat_status case_invoke(op_case *c, pleat_tensor *views, int threads) {
  const pleat_tensor *inputs[CASE_INPUTS] = {NULL};
  void *data[CASE_INPUTS] = {NULL};
  for (size_t i = 0; i < c->input_count; i++) {
    if (c->inputs[i] == NULL) continue;
    data[i] = views[i].data;
    if (c->late[i]) views[i].data = NULL;
    inputs[i] = &views[i];
  }
  pleat_arena *arena = pleat_arena_create();
  ck_assert_ptr_nonnull(arena);
  pleat_call call = {.node = &c->node,
                     .version = c->node.version,
                     .input_count = c->input_count,
                     .output_count = c->output_count,
                     .inputs = inputs,
                     .outputs = c->outputs,
                     .reference_only = !c->fastest,
                     .threads = threads,
                     .arena = arena,
                     .error = &c->error};
  const pleat_kernel *kernel = pleat_kernel_select(&call, NULL, 0);
  pleat_status status = kernel == NULL ? PLEAT_UNSUPPORTED : pleat_kernel_prepare(kernel, &call);
  if (status == PLEAT_OK) {
    const size_t room = (call.workspace_size + 63) / 64 * 64;
    for (size_t i = 0; i < c->input_count; i++) views[i].data = data[i];
    if (room > 0) {
      call.workspace = aligned_alloc(64, room);
      ck_assert_ptr_nonnull(call.workspace);
      memset(call.workspace, 0x5a, room);
    }
    status = pleat_kernel_run(kernel, &call);
    if (status == PLEAT_OK) case_own_outputs(c);
    free(call.workspace);
    pleat_kernel_release(kernel, &call);
  }
  pleat_arena_destroy(arena);
  return status;
}

/* Runs once; replaces the outputs of an earlier run. After a failure there are none. */
static inline pleat_status case_try(op_case *c, int threads) {
  pleat_tensor views[CASE_INPUTS];
  memset(views, 0, sizeof views);
  case_drop_outputs(c);
  pleat_status status = case_infer_inputs(c);
  if (status != PLEAT_OK) return status;
  status = case_make_outputs(c);
  if (status != PLEAT_OK) goto fail;
  for (size_t i = 0; i < c->input_count; i++) {
    if (c->inputs[i] != NULL) views[i] = *c->inputs[i];
  }
  if (c->inplace > 0) {
    const pleat_kernel *const *kernel = c->node.def->kernels;
    const pleat_tensor *shared = c->inputs[c->inplace - 1];
    while (kernel[1] != NULL) kernel++;
    ck_assert_msg(((*kernel)->inplace & (1u << (c->inplace - 1))) != 0, "%s: not in place", c->op);
    ck_assert(shared->dtype == c->outputs[0]->dtype && pleat_same_shape(shared, c->outputs[0]));
    if (shared->count > 0) memcpy(c->outputs[0]->data, shared->data, pleat_bytes(shared));
    views[c->inplace - 1].data = c->outputs[0]->data;
  }
  status = case_invoke(c, views, threads);
fail:
  if (status != PLEAT_OK) case_drop_outputs(c);
  return status;
}

static inline void expect_same_bits(const op_case *c, const pleat_tensor *a, const pleat_tensor *b, const char *when) {
  ck_assert_msg((a == NULL) == (b == NULL), "%s: an output is missing %s", c->op, when);
  if (a == NULL) return;
  ck_assert_msg(a->kind == b->kind && a->count == b->count, "%s: another kind or count %s", c->op, when);
  if (a->kind != PLEAT_KIND_TENSOR) {
    for (size_t i = 0; i < a->count; i++) expect_same_bits(c, a->items[i], b->items[i], when);
    return;
  }
  ck_assert_msg(a->dtype == b->dtype && pleat_same_shape(a, b), "%s: another type or shape %s", c->op, when);
  if (a->dtype == PLEAT_STRING) {
    const pleat_string *x = a->data, *y = b->data;
    for (size_t i = 0; i < a->count; i++)
      ck_assert_msg(x[i].size == y[i].size && (x[i].size == 0 || memcmp(x[i].data, y[i].data, x[i].size) == 0),
                    "%s: string %zu differs %s", c->op, i, when);
  } else if (pleat_bytes(a) > 0) {
    ck_assert_msg(memcmp(a->data, b->data, pleat_bytes(a)) == 0, "%s: bits differ %s", c->op, when);
  }
}

/* The outputs again, by the way of constant folding. */
static inline void case_check_evaluate(op_case *c) {
  if (c->fastest) return;
  pleat_tensor *again[CASE_OUTPUTS] = {NULL};
  pleat_status status = pleat_node_evaluate(&c->node, (const pleat_tensor *const *)c->inputs, 2, again, &c->error);
  ck_assert_msg(status == PLEAT_OK, "%s: %s", c->op, c->error.message);
  for (size_t i = 0; i < c->output_count; i++) {
    expect_same_bits(c, c->outputs[i], again[i], "when evaluated ahead");
    pleat_tensor_release(again[i]);
  }
}

/* See RUN_OK. */
static inline const pleat_tensor *case_run_at(op_case *c, int line) {
  pleat_tensor *before[CASE_INPUTS] = {NULL}, *first[CASE_OUTPUTS] = {NULL};
  const int from = c->threads > 0 ? c->threads : 1, to = c->threads > 0 ? c->threads : 3;
  for (size_t i = 0; i < c->input_count; i++) {
    if (c->inputs[i] != NULL) ck_assert_int_eq(pleat_tensor_clone(c->inputs[i], &before[i], NULL), PLEAT_OK);
  }
  pleat_parallel_retain(to);
  for (int threads = from; threads <= to; threads++) {
    pleat_status status = case_try(c, threads);
    ck_assert_msg(status == PLEAT_OK, "line %d: %s: %s: %s", line, c->op, pleat_status_name(status), c->error.message);
    for (size_t i = 0; i < c->output_count && threads == from; i++) {
      if ((first[i] = c->outputs[i]) != NULL) pleat_tensor_retain(first[i]);
    }
    for (size_t i = 0; i < c->output_count; i++) expect_same_bits(c, first[i], c->outputs[i], "with more threads");
  }
  pleat_parallel_release();
  case_check_evaluate(c);
  for (size_t i = 0; i < c->input_count; i++) {
    expect_same_bits(c, before[i], c->inputs[i], "in an input, after the run");
    pleat_tensor_release(before[i]);
  }
  for (size_t i = 0; i < c->output_count; i++) pleat_tensor_release(first[i]);
  return c->outputs[0];
}
/* Runs, expecting success, in every way the head of this file names. Gives output 0; all are in c->outputs. */
#define RUN_OK(c) case_run_at((c), __LINE__)

/* Fails with this status, and a message that contains `part`. Ends the case. */
#define RUN_FAILS(c, expected, part) case_fails_at((c), (expected), (part), __LINE__)
static inline void case_fails_at(op_case *c, pleat_status expected, const char *part, int line) {
  pleat_status status = case_try(c, 2);
  ck_assert_msg(status == expected, "line %d: expected %s, found %s: %s", line, pleat_status_name(expected),
                pleat_status_name(status), c->error.message);
  ck_assert_msg(c->error.message[0] != '\0', "line %d: there is no message", line);
  ck_assert_msg(strstr(c->error.message, part) != NULL, "line %d: '%s' is not in '%s'", line, part, c->error.message);
  case_end(c);
}

/* Runs, ends the case and hands out output 0. The case's attributes stay, for the next inputs. */
#define RESULT(...) case_result_at(__LINE__, __VA_ARGS__)
static inline pleat_tensor *case_result_at(int line, op_case *c) {
  case_run_at(c, line);
  pleat_tensor *result = c->outputs[0];
  c->outputs[0] = NULL;
  case_end(c);
  return result;
}

#endif

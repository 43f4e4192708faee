/* Evaluating one node outside of a plan: constant folding, shape arithmetic during inference and planning. Outputs are
 * heap tensors; scratch memory lives only during the call. The reference kernel is used, so what is folded is what the
 * judge would compute. */
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/memory.h"
#include "graph/graph_private.h"
#include "graph/infer.h"

bool pleat_node_is_pure(const pleat_node *node) {
  if (node->def == NULL || (node->def->flags & PLEAT_OP_RANDOM) != 0) return false;
  for (size_t i = 0; i < node->attr_count; i++) {
    if (node->attrs[i].type == PLEAT_ATTR_GRAPH || node->attrs[i].type == PLEAT_ATTR_GRAPHS) return false;
  }
  return true;
}

/* A new tensor (or an empty list) of an inferred type. */
static pleat_status make_output(const pleat_type *type, pleat_tensor **out_tensor, pleat_error *error) {
  int64_t dims[PLEAT_MAX_RANK];
  if (type->kind != PLEAT_KIND_TENSOR) {
    return pleat_tensor_create_list(type->kind, NULL, 0, out_tensor, error);
  }
  if (type->dtype == PLEAT_UNDEFINED || !pleat_shape_dims(&type->shape, dims)) {
    return pleat_fail(error, PLEAT_UNSUPPORTED, "the output's type or shape cannot be known ahead");
  }
  return pleat_tensor_create(type->dtype, type->shape.rank, dims, out_tensor, error);
}

/* Items of lists are the arena's: not to be released with the list. */
static void forget_items(const pleat_node *node, pleat_tensor **outputs) {
  for (size_t i = 0; i < node->output_count; i++) {
    if (outputs[i] == NULL || outputs[i]->kind == PLEAT_KIND_TENSOR) continue;
    outputs[i]->items = NULL;
    outputs[i]->count = 0;
  }
}

/* Strings and items point into the call's arena: replaces such outputs by copies that own all of theirs. */
static pleat_status own_outputs(const pleat_node *node, pleat_tensor **outputs, pleat_error *error) {
  pleat_status status = PLEAT_OK;
  pleat_tensor **copies = calloc(node->output_count + 1, sizeof *copies);
  if (copies == NULL) return PLEAT_OOM(error);
  for (size_t i = 0; i < node->output_count; i++) {
    if (outputs[i] == NULL) continue;
    if (outputs[i]->kind == PLEAT_KIND_TENSOR && outputs[i]->dtype != PLEAT_STRING) continue;
    PLEAT_CHECK(pleat_tensor_clone(outputs[i], &copies[i], error));
  }
  forget_items(node, outputs);
  for (size_t i = 0; i < node->output_count; i++) {
    if (copies[i] == NULL) continue;
    pleat_tensor_release(outputs[i]);
    outputs[i] = copies[i];
    copies[i] = NULL;
  }
fail:
  for (size_t i = 0; i < node->output_count; i++) pleat_tensor_release(copies[i]);
  free(copies);
  return status;
}

static pleat_status run_reference(const pleat_node *node, const pleat_tensor *const *inputs, int threads,
                                  pleat_tensor **outputs, pleat_error *error) {
  pleat_status status = PLEAT_OK;
  void *workspace = NULL;
  pleat_arena *arena = pleat_arena_create();
  if (arena == NULL) return PLEAT_OOM(error);
  pleat_call call = {.node = node,
                     .version = node->version,
                     .input_count = node->input_count,
                     .output_count = node->output_count,
                     .inputs = inputs,
                     .outputs = outputs,
                     .reference_only = true,
                     .threads = threads,
                     .arena = arena,
                     .error = error};
  const pleat_kernel *kernel = pleat_kernel_select(&call, NULL, 0);
  if (kernel == NULL) {
    status = PLEAT_UNSUPPORTED;
    goto fail;
  }
  PLEAT_CHECK(pleat_kernel_prepare(kernel, &call));
  if (call.workspace_size > 0) {
    workspace = pleat_alloc_aligned(call.workspace_size);
    if (workspace == NULL) status = PLEAT_OOM(error);
  }
  call.workspace = workspace;
  if (status == PLEAT_OK) status = pleat_kernel_run(kernel, &call);
  if (status == PLEAT_OK) status = own_outputs(node, outputs, error);
  if (status != PLEAT_OK) forget_items(node, outputs);
  pleat_kernel_release(kernel, &call);
fail:
  free(workspace);
  pleat_arena_destroy(arena);
  return status;
}

pleat_status pleat_node_evaluate(const pleat_node *node, const pleat_tensor *const *inputs, int threads,
                                 pleat_tensor **out_outputs, pleat_error *error) {
  pleat_status status = PLEAT_OK;
  char label[256];
  pleat_type *types = calloc(node->input_count + node->output_count + 1, sizeof *types);
  memset(out_outputs, 0, node->output_count * sizeof *out_outputs);
  if (types == NULL) return PLEAT_OOM(error);
  if (!pleat_node_is_pure(node)) {
    status = pleat_fail(error, PLEAT_UNSUPPORTED, "%s cannot be evaluated ahead of a run", node->op_type);
    goto fail;
  }
  for (size_t i = 0; i < node->input_count; i++) {
    if (inputs[i] != NULL) types[i] = pleat_type_of_tensor(inputs[i]);
  }
  pleat_type *outputs = types + node->input_count;
  PLEAT_CHECK(pleat_node_infer(node, types, outputs, error));
  for (size_t i = 0; i < node->output_count; i++) {
    if (node->outputs[i] != NULL) PLEAT_CHECK(make_output(&outputs[i], &out_outputs[i], error));
  }
  PLEAT_CHECK(run_reference(node, inputs, threads, out_outputs, error));
  free(types);
  return PLEAT_OK;
fail:
  pleat_error_at_node(error, pleat_node_label(node, label, sizeof label));
  for (size_t i = 0; i < node->output_count; i++) {
    pleat_tensor_release(out_outputs[i]);
    out_outputs[i] = NULL;
  }
  free(types);
  return status;
}

pleat_status pleat_graph_evaluate(pleat_node *node, pleat_tensor **out_outputs, pleat_error *error) {
  const pleat_tensor **inputs = calloc(node->input_count + 1, sizeof *inputs);
  pleat_status status = PLEAT_OK;
  memset(out_outputs, 0, node->output_count * sizeof *out_outputs);
  if (inputs == NULL) return PLEAT_OOM(error);
  for (size_t i = 0; i < node->input_count && status == PLEAT_OK; i++) {
    if (node->inputs[i] == NULL) continue;
    status = pleat_value_constant(node->inputs[i], &inputs[i], error);
    if (status == PLEAT_OK && inputs[i] == NULL) {
      status = pleat_fail(error, PLEAT_INVALID_ARGUMENT, "input %zu is not constant", i);
    }
  }
  if (status == PLEAT_OK) status = pleat_node_evaluate(node, inputs, 1, out_outputs, error);
  free(inputs);
  return status;
}

enum { LIMIT_COMPUTE_DEPTH = 256 }; /* nodes above each other; deeper chains are left to run */

/* Bytes that the node would give, from what inference told; SIZE_MAX when it did not. */
static size_t inferred_bytes(const pleat_node *node) {
  size_t total = 0, count;
  for (size_t i = 0; i < node->output_count; i++) {
    const pleat_value *value = node->outputs[i];
    int64_t dims[PLEAT_MAX_RANK];
    if (value == NULL) continue;
    if (value->kind != PLEAT_KIND_TENSOR || !pleat_shape_dims(&value->shape, dims)) return SIZE_MAX;
    if (!pleat_shape_count(value->dtype, value->shape.rank, dims, &count)) return SIZE_MAX;
    if (!pleat_add_size(total, count * pleat_dtype_size(value->dtype), &total)) return SIZE_MAX;
  }
  return total;
}

static pleat_status compute(pleat_value *value, size_t limit, int depth, const pleat_tensor **out_tensor,
                            pleat_error *error) {
  pleat_node *node = value->producer;
  PLEAT_TRY(pleat_value_constant(value, out_tensor, error));
  if (*out_tensor != NULL || node == NULL || depth > LIMIT_COMPUTE_DEPTH || !pleat_node_is_pure(node)) return PLEAT_OK;
  if (inferred_bytes(node) > limit) return PLEAT_OK;
  for (size_t i = 0; i < node->input_count; i++) {
    const pleat_tensor *input = NULL;
    if (node->inputs[i] == NULL) continue;
    PLEAT_TRY(compute(node->inputs[i], limit, depth + 1, &input, error));
    if (input == NULL) return PLEAT_OK;
  }
  pleat_tensor **results = calloc(node->output_count + 1, sizeof *results);
  if (results == NULL) return PLEAT_OOM(error);
  pleat_status status = pleat_graph_evaluate(node, results, NULL);
  for (size_t i = 0; i < node->output_count; i++) {
    if (results[i] == NULL) continue;
    if (node->outputs[i]->constant == NULL && pleat_graph_own(value->graph, results[i])) {
      node->outputs[i]->constant = results[i];
    } else {
      pleat_tensor_release(results[i]);
    }
  }
  free(results);
  *out_tensor = value->constant;
  /* A node that cannot be evaluated is not constant; the run says why. */
  return status == PLEAT_OUT_OF_MEMORY ? PLEAT_OOM(error) : PLEAT_OK;
}

pleat_status pleat_value_compute(pleat_value *value, size_t limit, const pleat_tensor **out_tensor,
                                 pleat_error *error) {
  *out_tensor = NULL;
  return compute(value, limit, 0, out_tensor, error);
}

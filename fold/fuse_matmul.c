/* For sessions: the product of a matrix with a constant one, and the constant vector that is added behind it, are one
 * Gemm. Only for matrices (rank 2): that is what Gemm takes. */
#include "fold/fold.h"

/* The matrix itself is not read. */
static bool is_constant_matrix(pleat_value *value, const pleat_tensor **out_tensor) {
  pleat_recipe *recipe = NULL;
  if (value == NULL || !pleat_value_is_constant(value) || pleat_value_recipe(value, &recipe, NULL) != PLEAT_OK) {
    return false;
  }
  if (recipe == NULL || recipe->tensor.rank != 2 || recipe->tensor.dtype != PLEAT_FLOAT) return false;
  *out_tensor = &recipe->tensor;
  return true;
}

/* The Add of one number a column right behind, or NULL. */
static pleat_node *find_bias(const pleat_value *product, int64_t columns, pleat_value **out_bias) {
  const pleat_tensor *bias = NULL;
  if (product->is_output || product->use_count != 1) return NULL;
  pleat_node *add = product->uses[0].node;
  if (add->graph != product->graph || !pleat_node_is(add, "Add") || pleat_node_since(add) < 7) return NULL;
  *out_bias = add->inputs[1 - product->uses[0].index];
  if (*out_bias == NULL || pleat_value_constant(*out_bias, &bias, NULL) != PLEAT_OK || bias == NULL) return NULL;
  bool is_row = (bias->rank == 1 && bias->dims[0] == columns) ||
                (bias->rank == 2 && bias->dims[0] == 1 && bias->dims[1] == columns);
  return is_row ? add : NULL;
}

static pleat_status fuse(pleat_pass_context *ctx, pleat_node *matmul, bool *changed) {
  const pleat_tensor *matrix = NULL;
  pleat_value *a = matmul->inputs[0], *bias = NULL;
  if (a == NULL || a->shape.rank != 2 || !is_constant_matrix(matmul->inputs[1], &matrix)) return PLEAT_OK;
  pleat_node *add = find_bias(matmul->outputs[0], matrix->dims[1], &bias);
  if (add == NULL) return PLEAT_OK;
  pleat_value *result = add->outputs[0];
  pleat_node *gemm = pleat_graph_add_node(matmul->graph, add, "Gemm", "", matmul->name);
  bool good = gemm != NULL && gemm->def != NULL && pleat_node_set_input(gemm, 0, a) &&
              pleat_node_set_input(gemm, 1, matmul->inputs[1]) && pleat_node_set_input(gemm, 2, bias) &&
              pleat_node_set_output(add, 0, NULL);
  if (!good) return PLEAT_OOM(ctx->error);
  pleat_node_remove(add);
  pleat_node_remove(matmul);
  *changed = true;
  return pleat_node_set_output(gemm, 0, result) ? PLEAT_OK : PLEAT_OOM(ctx->error);
}

static pleat_status visit(pleat_pass_context *ctx, pleat_graph *graph, bool *changed) {
  bool again = pleat_graph_opset(graph, "") >= 7; /* before, Gemm spells broadcasting differently */
  while (again) {
    again = false;
    PLEAT_FOR_NODES(node, graph) {
      if (!pleat_node_is(node, "MatMul") || node->outputs[0] == NULL) continue;
      PLEAT_TRY(fuse(ctx, node, &again));
      if (again) break; /* the Add after it went as well */
    }
    *changed = *changed || again;
  }
  return PLEAT_OK;
}

static pleat_status run(pleat_pass_context *ctx, bool *out_changed) {
  return pleat_fold_each_graph(ctx, ctx->graph, visit, out_changed);
}

const pleat_pass pleat_pass_fuse_matmul = {
    .name = "fuse-matmul",
    .summary = "MatMul and the bias behind it into one Gemm, when a session is created",
    .session_only = true,
    .run = run,
};

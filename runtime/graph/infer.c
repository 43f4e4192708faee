/* Type and shape inference over a graph: each operator's own `infer` in topological order, with what is known of the
 * values.
 *
 * Two sources are merged: what the operators compute, and what the file declares where they cannot tell. A declared
 * type that contradicts the operators is an error that names the value; a declared shape that does is ignored. Small
 * tensors that follow from constants and from known shapes are computed on the way, so that Shape-Gather-Concat-Reshape
 * chains resolve. */
#include "graph/infer.h"

#include <stdlib.h>
#include <string.h>

typedef struct driver {
  pleat_graph *root;
  const pleat_tensor **known; /* by value id: data that inference found; NULL: not known */
  pleat_tensor **owned;
  size_t owned_count, owned_capacity;
  pleat_arena *arena;
  pleat_error *error;
} driver;

static pleat_status infer_graph(driver *ctx, pleat_graph *graph);

pleat_type pleat_type_of_tensor(const pleat_tensor *tensor) {
  pleat_type type = {.present = true, .kind = tensor->kind, .dtype = tensor->dtype, .shape = pleat_shape_unknown()};
  if (tensor->kind == PLEAT_KIND_TENSOR) {
    type.shape = pleat_shape_of(tensor->rank, tensor->dims);
    if (tensor->data != NULL || tensor->count == 0) type.data = tensor;
  }
  return type;
}

static pleat_infer context_of(const pleat_node *node, const pleat_type *inputs, pleat_type *outputs,
                              pleat_error *error) {
  return (pleat_infer){.node = node,
                       .version = node->version,
                       .input_count = node->input_count,
                       .output_count = node->output_count,
                       .inputs = inputs,
                       .outputs = outputs,
                       .error = error};
}

static pleat_status at_node(const pleat_infer *ctx, pleat_status status) {
  char label[256];
  if (status != PLEAT_OK) pleat_error_at_node(ctx->error, pleat_node_label(ctx->node, label, sizeof label));
  return status;
}

static void clear_outputs(const pleat_node *node, pleat_type *outputs) {
  for (size_t i = 0; i < node->output_count; i++) {
    outputs[i] = (pleat_type){.present = node->outputs[i] != NULL, .shape = pleat_shape_unknown()};
  }
}

pleat_status pleat_node_infer(const pleat_node *node, const pleat_type *inputs, pleat_type *outputs,
                              pleat_error *error) {
  clear_outputs(node, outputs);
  if (node->def == NULL) return PLEAT_OK;
  pleat_infer ctx = context_of(node, inputs, outputs, error);
  return at_node(&ctx, node->def->infer(&ctx));
}

/* ---- nodes with bodies ---- */

size_t pleat_body_inputs(const pleat_graph *body, pleat_value **out_values) {
  size_t count = 0;
  for (size_t i = 0; i < body->input_count; i++) {
    if (!body->inputs[i]->is_initializer) out_values[count++] = body->inputs[i];
  }
  return count;
}

static pleat_type declared_type(const pleat_value *value) {
  return (pleat_type){.present = true, .kind = value->kind, .dtype = value->dtype, .shape = value->shape};
}

pleat_status pleat_node_enter(const pleat_node *node, const pleat_type *inputs, bool planning, pleat_arena *arena,
                              pleat_body_types **out_bodies, size_t *out_count, pleat_error *error) {
  size_t count = 0;
  *out_count = 0;
  while (node->def->bodies[count] != NULL) count++;
  pleat_body_types *bodies = pleat_arena_array(arena, count, sizeof *bodies);
  if (bodies == NULL) return PLEAT_OOM(error);
  for (size_t k = 0; k < count; k++) {
    const pleat_graph *graph = pleat_node_attr(node, node->def->bodies[k])->graph;
    pleat_value **values = pleat_arena_array(arena, graph->input_count, sizeof *values);
    bodies[k].graph = graph;
    bodies[k].inputs = pleat_arena_array(arena, graph->input_count, sizeof *bodies[k].inputs);
    if (values == NULL || bodies[k].inputs == NULL) return PLEAT_OOM(error);
    bodies[k].input_count = pleat_body_inputs(graph, values);
    bodies[k].output_count = graph->output_count;
    for (size_t i = 0; i < bodies[k].input_count; i++) bodies[k].inputs[i] = declared_type(values[i]);
  }
  pleat_infer ctx = context_of(node, inputs, NULL, error);
  ctx.planning = planning;
  ctx.bodies = bodies;
  *out_bodies = bodies;
  *out_count = count;
  return at_node(&ctx, node->def->enter(&ctx));
}

pleat_status pleat_node_leave(const pleat_node *node, const pleat_type *inputs, bool planning, pleat_body_types *bodies,
                              pleat_type *outputs, pleat_error *error) {
  pleat_infer ctx = context_of(node, inputs, outputs, error);
  clear_outputs(node, outputs);
  ctx.planning = planning;
  ctx.bodies = bodies;
  return at_node(&ctx, node->def->infer(&ctx));
}

/* ---- the driver ---- */

static pleat_status value_type(driver *ctx, pleat_value *value, pleat_type *out_type) {
  *out_type = declared_type(value);
  if (ctx->known[value->id] != NULL) {
    out_type->data = ctx->known[value->id];
    return PLEAT_OK;
  }
  pleat_dim count = pleat_shape_product(&value->shape, 0, value->shape.rank);
  if (value->shape.rank < 0 || !pleat_dim_is_known(count) || count.value > PLEAT_LIMIT_FOLLOWED_ELEMENTS)
    return PLEAT_OK;
  PLEAT_TRY(pleat_value_constant(value, &ctx->known[value->id], ctx->error));
  out_type->data = ctx->known[value->id];
  return PLEAT_OK;
}

/* Merges an inferred type into the value: what the operators compute is the truth, a declaration adds what they could
 * not tell. */
static pleat_status merge_type(driver *ctx, pleat_value *value, const pleat_type *type) {
  if (type->kind == PLEAT_KIND_TENSOR && value->dtype == PLEAT_UNDEFINED) value->dtype = type->dtype;
  if (type->kind != PLEAT_KIND_TENSOR) {
    value->kind = type->kind;
    return PLEAT_OK;
  }
  if (value->kind != PLEAT_KIND_TENSOR) return PLEAT_OK;
  if (type->dtype != PLEAT_UNDEFINED && type->dtype != value->dtype) {
    return pleat_fail_tensor(ctx->error, value->name, PLEAT_SHAPE_MISMATCH, "declared as %s, but the operator gives %s",
                             pleat_dtype_name(value->dtype), pleat_dtype_name(type->dtype));
  }
  pleat_shape merged;
  /* Exporters are known to leave shapes behind that were never true; every runtime believes the operators. */
  if (!pleat_shape_merge(&type->shape, &value->shape, &merged)) merged = type->shape;
  value->shape = merged;
  return PLEAT_OK;
}

/* Computes a node whose inputs are all known and whose outputs are small. That it cannot be computed is no error here:
 * the run will tell. */
static pleat_status follow_values(driver *ctx, const pleat_node *node, const pleat_type *inputs,
                                  const pleat_type *outputs) {
  bool shape_only = node->def != NULL && (node->def->flags & PLEAT_OP_SHAPE_ONLY) != 0;
  if (!pleat_node_is_pure(node)) return PLEAT_OK;
  for (size_t i = 0; i < node->output_count; i++) {
    int64_t dims[PLEAT_MAX_RANK];
    size_t count;
    if (!outputs[i].present) continue;
    if (outputs[i].kind != PLEAT_KIND_TENSOR || !pleat_shape_dims(&outputs[i].shape, dims)) return PLEAT_OK;
    if (!pleat_shape_count(outputs[i].dtype, outputs[i].shape.rank, dims, &count)) return PLEAT_OK;
    if (count > PLEAT_LIMIT_FOLLOWED_ELEMENTS) return PLEAT_OK;
  }
  const pleat_tensor **data = pleat_arena_array(ctx->arena, node->input_count, sizeof *data);
  pleat_tensor **results = pleat_arena_array(ctx->arena, node->output_count, sizeof *results);
  pleat_tensor *descriptor = pleat_arena_alloc(ctx->arena, sizeof *descriptor);
  if (data == NULL || results == NULL || descriptor == NULL) return PLEAT_OOM(ctx->error);
  for (size_t i = 0; i < node->input_count; i++) {
    if (!inputs[i].present) continue;
    data[i] = inputs[i].data;
    if (data[i] != NULL) continue;
    int64_t dims[PLEAT_MAX_RANK];
    if (!shape_only || !pleat_shape_dims(&inputs[i].shape, dims)) return PLEAT_OK;
    if (!pleat_tensor_describe(descriptor, inputs[i].dtype, inputs[i].shape.rank, dims)) return PLEAT_OK;
    data[i] = descriptor;
  }
  pleat_status status = pleat_node_evaluate(node, data, 1, results, NULL);
  if (status != PLEAT_OK) return status == PLEAT_OUT_OF_MEMORY ? PLEAT_OOM(ctx->error) : PLEAT_OK;
  for (size_t i = 0; i < node->output_count; i++) {
    if (results[i] == NULL) continue;
    if (PLEAT_PUSH(ctx->arena, ctx->owned, ctx->owned_count, ctx->owned_capacity, results[i])) {
      ctx->known[node->outputs[i]->id] = results[i];
    } else {
      pleat_tensor_release(results[i]);
      status = PLEAT_OOM(ctx->error);
    }
  }
  return status;
}

/* Whether a body runs at all may depend on data, so what cannot be right in it is left for the run to say. */
static pleat_status infer_body(driver *ctx, pleat_graph *body, const pleat_body_types *types) {
  pleat_error *const report = ctx->error;
  pleat_value **values = pleat_arena_array(ctx->arena, body->input_count, sizeof *values);
  if (values == NULL) return PLEAT_OOM(ctx->error);
  const size_t count = pleat_body_inputs(body, values);
  for (size_t i = 0; i < count; i++) PLEAT_TRY(merge_type(ctx, values[i], &types->inputs[i]));
  ctx->error = NULL;
  pleat_status status = infer_graph(ctx, body);
  ctx->error = report;
  return status == PLEAT_OUT_OF_MEMORY ? PLEAT_OOM(report) : PLEAT_OK;
}

/* A node with bodies: what enters them, they themselves, then what leaves them. */
static pleat_status infer_flow(driver *ctx, pleat_node *node, const pleat_type *inputs, pleat_type *outputs) {
  pleat_body_types *bodies = NULL;
  size_t count = 0;
  PLEAT_TRY(pleat_node_enter(node, inputs, false, ctx->arena, &bodies, &count, ctx->error));
  for (size_t k = 0; k < count; k++) {
    pleat_graph *body = pleat_node_attr(node, node->def->bodies[k])->graph;
    PLEAT_TRY(infer_body(ctx, body, &bodies[k]));
    pleat_type *types = pleat_arena_array(ctx->arena, body->output_count, sizeof *types);
    if (types == NULL) return PLEAT_OOM(ctx->error);
    for (size_t i = 0; i < body->output_count; i++) PLEAT_TRY(value_type(ctx, body->outputs[i], &types[i]));
    bodies[k].outputs = types;
  }
  return pleat_node_leave(node, inputs, false, bodies, outputs, ctx->error);
}

/* The bodies of a node that nothing here runs. */
static pleat_status infer_subgraphs(driver *ctx, pleat_node *node) {
  for (size_t i = 0; i < node->attr_count; i++) {
    const pleat_attr *attr = &node->attrs[i];
    if (attr->type == PLEAT_ATTR_GRAPH && attr->graph != NULL) PLEAT_TRY(infer_graph(ctx, attr->graph));
    for (size_t k = 0; attr->type == PLEAT_ATTR_GRAPHS && k < attr->count; k++) {
      PLEAT_TRY(infer_graph(ctx, attr->graphs[k]));
    }
  }
  return PLEAT_OK;
}

static pleat_status infer_node(driver *ctx, pleat_node *node) {
  pleat_type *inputs = pleat_arena_array(ctx->arena, node->input_count, sizeof *inputs);
  pleat_type *outputs = pleat_arena_array(ctx->arena, node->output_count, sizeof *outputs);
  if (inputs == NULL || outputs == NULL) return PLEAT_OOM(ctx->error);
  for (size_t i = 0; i < node->input_count; i++) {
    if (node->inputs[i] != NULL) PLEAT_TRY(value_type(ctx, node->inputs[i], &inputs[i]));
  }
  if (pleat_node_has_bodies(node)) {
    PLEAT_TRY(infer_flow(ctx, node, inputs, outputs));
  } else {
    PLEAT_TRY(infer_subgraphs(ctx, node));
    PLEAT_TRY(pleat_node_infer(node, inputs, outputs, ctx->error));
  }
  for (size_t i = 0; i < node->output_count; i++) {
    if (node->outputs[i] == NULL || node->def == NULL) continue;
    pleat_status status = merge_type(ctx, node->outputs[i], &outputs[i]);
    if (status != PLEAT_OK) {
      char label[256];
      pleat_error_at_node(ctx->error, pleat_node_label(node, label, sizeof label));
      return status;
    }
  }
  return follow_values(ctx, node, inputs, outputs);
}

static pleat_status infer_graph(driver *ctx, pleat_graph *graph) {
  PLEAT_FOR_NODES(node, graph) PLEAT_TRY(infer_node(ctx, node));
  return PLEAT_OK;
}

pleat_status pleat_graph_infer(pleat_graph *graph, pleat_error *error) {
  driver ctx = {.root = graph->root, .error = error};
  pleat_status status = PLEAT_OK;
  ctx.known = calloc(graph->root->value_count + 1, sizeof(pleat_tensor *));
  ctx.arena = pleat_arena_create();
  if (ctx.known == NULL || ctx.arena == NULL) status = PLEAT_OOM(error);
  else status = infer_graph(&ctx, graph);
  for (size_t i = 0; i < ctx.owned_count; i++) pleat_tensor_release(ctx.owned[i]);
  pleat_arena_destroy(ctx.arena);
  free(ctx.known);
  return status;
}

uint64_t pleat_node_macs(const pleat_node *node) {
  if (node->def == NULL || node->def->macs == NULL) return 0;
  pleat_type *types = calloc(node->input_count + node->output_count + 1, sizeof *types);
  if (types == NULL) return UINT64_MAX;
  bool known = true;
  for (size_t i = 0; i < node->input_count + node->output_count; i++) {
    const pleat_value *value = i < node->input_count ? node->inputs[i] : node->outputs[i - node->input_count];
    if (value == NULL) continue;
    types[i] = (pleat_type){.present = true, .kind = value->kind, .dtype = value->dtype, .shape = value->shape};
    known = known && pleat_shape_is_known(&value->shape);
  }
  pleat_infer ctx = {.node = node,
                     .version = node->version,
                     .input_count = node->input_count,
                     .output_count = node->output_count,
                     .inputs = types,
                     .outputs = types + node->input_count};
  double macs = known ? node->def->macs(&ctx) : -1;
  free(types);
  return macs >= 0 && macs < 1.8e19 ? (uint64_t)macs : UINT64_MAX;
}

int pleat_node_since(const pleat_node *node) {
  return node->version != NULL ? node->version->since : 0;
}

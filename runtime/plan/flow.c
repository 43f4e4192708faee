/* Control flow in a plan: a step whose bodies have plans of their own.
 *
 * What a body reads of the graphs around it (its captures) are further inputs of the step and of the body's plan;
 * constants it reads where they are. What the plan around knows ahead stays known in the body. A body is planned here
 * when the shapes of all its inputs are known, else while running; in both ways by pleat_plan_body.
 *
 * A body that cannot be planned is no error here: whether it runs may depend on data, and then the run says why. */
#include <stdlib.h>
#include <string.h>

#include "plan/plan_private.h"

/* ---- captures ---- */

static bool is_around(const pleat_graph *inner, const pleat_graph *graph) {
  for (; inner != NULL; inner = inner->parent) {
    if (inner == graph) return true;
  }
  return false;
}

typedef struct collector {
  pleat_builder *b;
  const pleat_graph *graph; /* of the node */
  pleat_value **values;
  size_t count, capacity;
} collector;

static bool collect(collector *c, const pleat_graph *body);

static bool collect_bodies(collector *c, const pleat_node *node) {
  for (size_t i = 0; node->def != NULL && node->def->bodies != NULL && node->def->bodies[i] != NULL; i++) {
    if (!collect(c, pleat_node_attr(node, node->def->bodies[i])->graph)) return false;
  }
  return true;
}

static bool collect(collector *c, const pleat_graph *body) {
  PLEAT_FOR_NODES(node, body) {
    for (size_t i = 0; i < node->input_count; i++) {
      pleat_value *value = node->inputs[i];
      if (value == NULL || c->b->captured[value->id] || !is_around(c->graph, value->graph)) continue;
      if (pleat_value_is_constant(value)) continue;
      c->b->captured[value->id] = true;
      if (!PLEAT_PUSH(c->b->scratch, c->values, c->count, c->capacity, value)) return false;
    }
    if (!collect_bodies(c, node)) return false;
  }
  return true;
}

pleat_value **pleat_plan_captures(pleat_builder *b, const pleat_node *node, size_t *out_count) {
  collector c = {.b = b, .graph = node->graph, .capacity = 4};
  if (b->captured == NULL) b->captured = calloc(node->graph->root->value_count + 1, sizeof *b->captured);
  c.values = pleat_arena_array(b->scratch, c.capacity, sizeof *c.values);
  if (b->captured == NULL || c.values == NULL || !collect_bodies(&c, node)) return NULL;
  for (size_t i = 0; i < c.count; i++) b->captured[c.values[i]->id] = false;
  *out_count = c.count;
  return c.values;
}

/* ---- bodies ---- */

pleat_status pleat_plan_body(const pleat_flow *flow, const pleat_body *body, const pleat_tensor *const *inputs,
                             pleat_plan **out_plan, pleat_error *error) {
  pleat_tensor *shapes = calloc(body->input_count + 1, sizeof *shapes);
  *out_plan = NULL;
  if (shapes == NULL) return PLEAT_OOM(error);
  for (size_t i = 0; i < body->input_count; i++) {
    if (inputs[i] != NULL) shapes[i] = *inputs[i];
    else shapes[i].kind = PLEAT_KIND_OTHER;
    shapes[i].refs = 0;
    shapes[i].layout = NULL;
  }
  const pleat_plan_request request = {.graph = body->graph,
                                      .input_count = body->input_count,
                                      .output_count = body->graph->output_count,
                                      .inputs = body->inputs,
                                      .outputs = body->graph->outputs,
                                      .input_shapes = shapes,
                                      .known = body->known,
                                      .threads = flow->threads,
                                      .keep_all = flow->keep_all,
                                      .exact = flow->exact,
                                      .oracle = flow->oracle};
  pleat_status status = pleat_plan_build(&request, out_plan, error);
  free(shapes);
  return status;
}

/* The body's inputs and what is known of them. */
static pleat_status make_body(pleat_builder *b, const pleat_step *step, pleat_value *const *captures,
                              const pleat_body_types *types, pleat_body *body) {
  const size_t own = step->node->input_count, captured = step->input_count - own;
  body->graph = (pleat_graph *)(uintptr_t)types->graph;
  body->inputs = pleat_arena_array(b->plan->arena, body->graph->input_count + captured, sizeof *body->inputs);
  if (body->inputs == NULL) return PLEAT_OOM(b->error);
  body->own_count = pleat_body_inputs(body->graph, body->inputs);
  body->input_count = body->own_count + captured;
  body->known = pleat_arena_array(b->plan->arena, body->input_count, sizeof *body->known);
  if (body->known == NULL) return PLEAT_OOM(b->error);
  for (size_t i = 0; i < body->own_count; i++) body->known[i] = types->inputs[i].data;
  for (size_t i = 0; i < captured; i++) {
    body->inputs[body->own_count + i] = captures[i];
    body->known[body->own_count + i] = b->plan->slots[step->inputs[own + i]].known;
  }
  return PLEAT_OK;
}

/* Plans the body when all it takes is known; only memory that is out is an error. */
static pleat_status plan_ahead(pleat_builder *b, const pleat_step *step, const pleat_flow *flow,
                               const pleat_body_types *types, pleat_body *body) {
  const size_t own = step->node->input_count;
  pleat_tensor *shapes = pleat_arena_array(b->scratch, body->input_count, sizeof *shapes);
  const pleat_tensor **inputs = pleat_arena_array(b->scratch, body->input_count, sizeof *inputs);
  if (shapes == NULL || inputs == NULL) return PLEAT_OOM(b->error);
  for (size_t i = 0; i < body->input_count; i++) {
    if (body->known[i] != NULL) continue;
    if (i < body->own_count) pleat_plan_describe(&types->inputs[i], &shapes[i]);
    else shapes[i] = b->plan->slots[step->inputs[own + i - body->own_count]].tensor;
    if (shapes[i].kind == PLEAT_KIND_TENSOR && (shapes[i].rank < 0 || shapes[i].dtype == PLEAT_UNDEFINED)) {
      return PLEAT_OK;
    }
    inputs[i] = &shapes[i];
  }
  pleat_status status = pleat_plan_body(flow, body, inputs, &body->plan, NULL);
  return status == PLEAT_OUT_OF_MEMORY ? PLEAT_OOM(b->error) : PLEAT_OK;
}

/* What leaves the body: as its plan tells, or else the types alone. */
static pleat_status output_types(pleat_builder *b, const pleat_body *body, pleat_body_types *types) {
  pleat_type *outputs = pleat_arena_array(b->scratch, types->output_count, sizeof *outputs);
  if (outputs == NULL) return PLEAT_OOM(b->error);
  for (size_t i = 0; i < types->output_count; i++) {
    const pleat_value *value = body->graph->outputs[i];
    outputs[i] = (pleat_type){.present = true, .kind = value->kind, .dtype = value->dtype};
    outputs[i].shape = pleat_shape_unknown();
    if (body->plan != NULL) outputs[i] = pleat_plan_slot_type(&body->plan->slots[body->plan->outputs[i].slot]);
  }
  types->outputs = outputs;
  return PLEAT_OK;
}

/* Of an If whose condition is known, only the body that is taken is planned. */
static bool is_taken(const pleat_node *node, const pleat_type *inputs, size_t body) {
  const pleat_tensor *condition = inputs[0].present ? inputs[0].data : NULL;
  if (!pleat_node_is(node, "If") || condition == NULL || condition->data == NULL) return true;
  return (*(const uint8_t *)condition->data != 0) == (body == 0);
}

pleat_status pleat_plan_flow(pleat_builder *b, pleat_step *step, pleat_value *const *captures, const pleat_type *types,
                             pleat_type *outputs) {
  const pleat_node *node = step->node;
  pleat_body_types *bodies = NULL;
  pleat_flow *flow = pleat_arena_alloc(b->plan->arena, sizeof *flow);
  if (flow == NULL) return PLEAT_OOM(b->error);
  flow->threads = b->request->threads;
  flow->keep_all = b->request->keep_all;
  flow->exact = b->request->exact;
  flow->oracle = b->request->oracle;
  PLEAT_TRY(pleat_node_enter(node, types, true, b->scratch, &bodies, &flow->body_count, b->error));
  flow->bodies = pleat_arena_array(b->plan->arena, flow->body_count, sizeof *flow->bodies);
  if (flow->bodies == NULL) return PLEAT_OOM(b->error);
  flow->next = b->plan->flows;
  b->plan->flows = flow;
  step->flow = flow;
  for (size_t i = 0; i < flow->body_count; i++) {
    PLEAT_TRY(make_body(b, step, captures, &bodies[i], &flow->bodies[i]));
    if (is_taken(node, types, i)) PLEAT_TRY(plan_ahead(b, step, flow, &bodies[i], &flow->bodies[i]));
    PLEAT_TRY(output_types(b, &flow->bodies[i], &bodies[i]));
  }
  return pleat_node_leave(node, types, true, bodies, outputs, b->error);
}

/* Building a plan: concrete types for every value by running each operator's infer on the given input shapes, values
 * that are known ahead computed at once, a kernel chosen and prepared for every node that is left.
 *
 * A node whose input or output shapes depend on data that only a run knows becomes a dynamic step: it is inferred,
 * chosen and prepared while running. Everything else is static. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan/plan_private.h"

typedef pleat_builder builder;

static pleat_slot *slot_at(const builder *b, uint32_t index) {
  return &b->plan->slots[index];
}

static bool is_unknown(const pleat_tensor *tensor) {
  return tensor->kind == PLEAT_KIND_TENSOR && (tensor->rank < 0 || tensor->dtype == PLEAT_UNDEFINED);
}

static pleat_status add_slot(builder *b, const pleat_value *value, pleat_slot slot, uint32_t *out_index) {
  pleat_plan *plan = b->plan;
  uint32_t index = (uint32_t)plan->slot_count;
  slot.value = value;
  slot.root = index;
  slot.next_layout = PLEAT_NO_SLOT;
  if (!PLEAT_PUSH(plan->arena, plan->slots, plan->slot_count, plan->slot_capacity, slot)) return PLEAT_OOM(b->error);
  plan->slot_of[value->id] = index;
  *out_index = index;
  return PLEAT_OK;
}

/* `data` NULL: read by its recipe, when a step wants it. */
static pleat_status add_constant_slot(builder *b, const pleat_value *value, const pleat_tensor *data,
                                      const pleat_recipe *recipe, uint32_t *out) {
  pleat_slot slot = {.known = data, .recipe = recipe, .storage = PLEAT_STORAGE_CONSTANT};
  slot.tensor = data != NULL ? *data : recipe->tensor;
  slot.tensor.refs = 0;
  if (data == NULL) slot.tensor.data = NULL;
  b->plan->constant_bytes += pleat_bytes(&slot.tensor);
  return add_slot(b, value, slot, out);
}

/* The slot of a value that a node reads: made on first sight for constants. The data of large ones are left for later;
 * no shape is computed of those. */
pleat_status pleat_plan_slot(builder *b, pleat_value *value, uint32_t *out_index) {
  const pleat_tensor *data = NULL;
  pleat_recipe *recipe = NULL;
  *out_index = b->plan->slot_of[value->id];
  if (*out_index != PLEAT_NO_SLOT) return PLEAT_OK;
  pleat_status status = pleat_value_recipe(value, &recipe, b->error);
  const bool is_large = recipe != NULL && recipe->tensor.count > PLEAT_LIMIT_FOLLOWED_ELEMENTS;
  if (status == PLEAT_OK && !is_large) status = pleat_value_initial(value, &data, b->error);
  if (status == PLEAT_OK && !is_large && data == NULL) {
    status = pleat_fail(b->error, PLEAT_INTERNAL, "the value has no data when the plan reaches its use");
  }
  if (status != PLEAT_OK) {
    pleat_error_at_tensor(b->error, value->name);
    return status;
  }
  return add_constant_slot(b, value, data, recipe, out_index);
}

/* The constant's data are at `data` from now on, held by the plan or the graph. */
static pleat_status set_constant_data(builder *b, uint32_t index, void *data) {
  pleat_tensor *known = pleat_arena_alloc(b->plan->arena, sizeof *known);
  if (known == NULL) return PLEAT_OOM(b->error);
  pleat_slot *slot = slot_at(b, index);
  slot->tensor.data = data;
  *known = slot->tensor;
  slot->known = known;
  return PLEAT_OK;
}

/* Has the data of a constant there. */
static pleat_status provide(builder *b, uint32_t index) {
  const pleat_slot *slot = slot_at(b, index);
  const pleat_tensor *inputs[1] = {&slot->tensor};
  const pleat_recipe *recipes[1] = {slot->recipe};
  const void *data;
  if (slot->storage != PLEAT_STORAGE_CONSTANT || slot->recipe == NULL || slot->tensor.data != NULL) return PLEAT_OK;
  pleat_call call = {
      .input_count = 1, .inputs = inputs, .recipes = recipes, .packs = &b->plan->packs, .error = b->error};
  PLEAT_TRY(pleat_call_dense(&call, 0, &data));
  return set_constant_data(b, index, (void *)(uintptr_t)data);
}

static pleat_status add_inputs(builder *b) {
  const pleat_plan_request *request = b->request;
  pleat_plan *plan = b->plan;
  plan->input_count = request->input_count;
  plan->inputs = pleat_arena_array(plan->arena, request->input_count, sizeof *plan->inputs);
  plan->input_shapes = pleat_arena_array(plan->arena, request->input_count, sizeof *plan->input_shapes);
  if (plan->inputs == NULL || plan->input_shapes == NULL) return PLEAT_OOM(b->error);
  for (size_t i = 0; i < request->input_count; i++) {
    plan->input_shapes[i] = request->input_shapes[i];
    plan->input_shapes[i].data = NULL;
    plan->inputs[i] = PLEAT_NO_SLOT;
    if (request->known != NULL && request->known[i] != NULL) {
      plan->input_shapes[i].kind = PLEAT_KIND_OTHER;
      PLEAT_TRY(add_constant_slot(b, request->inputs[i], request->known[i], NULL, &plan->inputs[i]));
      continue;
    }
    if (request->input_shapes[i].kind == PLEAT_KIND_OTHER) continue; /* its default: a constant */
    pleat_slot slot = {.tensor = plan->input_shapes[i], .storage = PLEAT_STORAGE_INPUT, .io_index = (uint32_t)i};
    slot.tensor.refs = 0;
    if (request->oracle && request->graph->parent == NULL) slot.tensor.dtype = pleat_dtype_promoted(slot.tensor.dtype);
    PLEAT_TRY(add_slot(b, request->inputs[i], slot, &plan->inputs[i]));
  }
  return PLEAT_OK;
}

pleat_type pleat_plan_slot_type(const pleat_slot *slot) {
  if (is_unknown(&slot->tensor)) {
    pleat_type type = {.present = true, .dtype = slot->tensor.dtype, .shape = pleat_shape_unknown()};
    return type;
  }
  pleat_type type = pleat_type_of_tensor(&slot->tensor);
  type.data = slot->known;
  if (type.data == NULL && slot->tensor.count == 0 && type.kind == PLEAT_KIND_TENSOR) type.data = &slot->tensor;
  return type;
}

void pleat_plan_describe(const pleat_type *type, pleat_tensor *out_tensor) {
  int64_t dims[PLEAT_MAX_RANK];
  *out_tensor = (pleat_tensor){.kind = type->kind, .dtype = type->dtype, .rank = -1};
  if (type->kind != PLEAT_KIND_TENSOR) return;
  if (type->dtype == PLEAT_UNDEFINED || !pleat_shape_dims(&type->shape, dims)) return;
  if (!pleat_tensor_describe(out_tensor, type->dtype, type->shape.rank, dims)) out_tensor->rank = -1;
}

/* Whether the node's results can be computed now: all inputs known (or only their shapes needed), or constants that can
 * be provided; small outputs. */
static bool can_follow(const builder *b, const pleat_node *node, const uint32_t *inputs, const pleat_tensor *outputs) {
  if (!pleat_node_is_pure(node)) return false;
  for (size_t i = 0; i < node->input_count; i++) {
    if (inputs[i] == PLEAT_NO_SLOT) continue;
    const pleat_slot *slot = slot_at(b, inputs[i]);
    if (is_unknown(&slot->tensor) || slot->tensor.kind != PLEAT_KIND_TENSOR) return false;
    const bool has_data = slot->known != NULL || slot->recipe != NULL;
    if (!has_data && (node->def->flags & PLEAT_OP_SHAPE_ONLY) == 0) return false;
  }
  for (size_t i = 0; i < node->output_count; i++) {
    if (node->outputs[i] == NULL) continue;
    if (outputs[i].kind != PLEAT_KIND_TENSOR || is_unknown(&outputs[i])) return false;
    if (outputs[i].count > PLEAT_LIMIT_FOLLOWED_ELEMENTS) return false;
  }
  return true;
}

/* Computes the node; NULLs in `results` when it failed (the step will report it when it runs). */
static pleat_status follow(builder *b, const pleat_node *node, const uint32_t *inputs, pleat_tensor **results) {
  const pleat_tensor **data = pleat_arena_array(b->scratch, node->input_count, sizeof *data);
  if (data == NULL) return PLEAT_OOM(b->error);
  for (size_t i = 0; i < node->input_count; i++) {
    if (inputs[i] == PLEAT_NO_SLOT) continue;
    if ((node->def->flags & PLEAT_OP_SHAPE_ONLY) == 0) PLEAT_TRY(provide(b, inputs[i]));
    const pleat_slot *slot = slot_at(b, inputs[i]);
    data[i] = slot->known != NULL ? slot->known : &slot->tensor;
  }
  if (pleat_node_evaluate(node, data, b->request->threads, results, NULL) != PLEAT_OK) return PLEAT_OK;
  for (size_t i = 0; i < node->output_count; i++) {
    if (results[i] == NULL) continue;
    if (!PLEAT_PUSH(b->plan->arena, b->plan->owned, b->plan->owned_count, b->plan->owned_capacity, results[i])) {
      return PLEAT_OOM(b->error);
    }
  }
  return PLEAT_OK;
}

static bool has_results(const pleat_node *node, pleat_tensor *const *results) {
  for (size_t i = 0; i < node->output_count; i++) {
    if (node->outputs[i] != NULL && results[i] == NULL) return false;
  }
  return true;
}

/* Elements or multiply-adds, whichever is more. */
static double work_of(const builder *b, const pleat_node *node, const pleat_tensor *tensors) {
  const size_t count = node->input_count + node->output_count;
  double work = 0;
  for (size_t i = 0; i < count; i++) work += (double)tensors[i].count;
  if (node->def->macs == NULL) return work;
  pleat_type *types = pleat_arena_array(b->scratch, count, sizeof *types);
  for (size_t i = 0; types != NULL && i < count; i++) {
    bool present = (i < node->input_count ? node->inputs[i] : node->outputs[i - node->input_count]) != NULL;
    if (present) types[i] = pleat_type_of_tensor(&tensors[i]);
  }
  pleat_infer ctx = {.node = node,
                     .version = node->version,
                     .input_count = node->input_count,
                     .output_count = node->output_count,
                     .inputs = types,
                     .outputs = types != NULL ? types + node->input_count : NULL};
  const double macs = types != NULL ? node->def->macs(&ctx) : 0;
  return macs > work ? macs : work;
}

double pleat_plan_step_work(builder *b, const pleat_step *step) {
  const pleat_node *node = step->node;
  pleat_tensor *tensors = pleat_arena_array(b->scratch, node->input_count + node->output_count, sizeof *tensors);
  for (size_t i = 0; tensors != NULL && i < node->input_count + node->output_count; i++) {
    const uint32_t slot = i < node->input_count ? step->inputs[i] : step->outputs[i - node->input_count];
    if (slot != PLEAT_NO_SLOT) tensors[i] = slot_at(b, slot)->tensor;
  }
  return tensors != NULL ? work_of(b, node, tensors) : 0;
}

void pleat_plan_set_work(const builder *b, pleat_call *call, double work) {
  call->work = work;
  call->threads = work >= PLEAT_THREADS_MIN_WORK ? b->request->threads : 1;
}

/* A view of the same shape keeps its input's layout, whatever that is. */
static void keep_layout(pleat_step *step, const pleat_kernel *kernel) {
  pleat_call *call = &step->call;
  if ((kernel->flags & PLEAT_KERNEL_VIEW) == 0 || call->input_count == 0 || call->output_count != 1) return;
  if (call->inputs[0] == NULL || call->outputs[0] == NULL || !pleat_same_shape(call->inputs[0], call->outputs[0]))
    return;
  call->wanted[0] = call->outputs[0]->layout = call->given[0];
}

pleat_status pleat_plan_describe_call(builder *b, pleat_step *step) {
  const pleat_node *node = step->node;
  pleat_arena *arena = b->plan->arena;
  pleat_tensor *tensors = pleat_arena_array(arena, node->input_count + node->output_count, sizeof *tensors);
  const pleat_tensor **inputs = pleat_arena_array(arena, node->input_count, sizeof *inputs);
  pleat_tensor **outputs = pleat_arena_array(arena, node->output_count, sizeof *outputs);
  const pleat_layout **wanted = pleat_arena_array(arena, node->input_count, sizeof *wanted);
  const pleat_layout **given = pleat_arena_array(arena, node->input_count, sizeof *given);
  const pleat_recipe **recipes = pleat_arena_array(arena, node->input_count, sizeof *recipes);
  if (tensors == NULL || inputs == NULL || outputs == NULL || wanted == NULL || given == NULL || recipes == NULL)
    return PLEAT_OOM(b->error);
  for (size_t i = 0; i < node->input_count; i++) {
    if (step->inputs[i] == PLEAT_NO_SLOT) continue;
    const pleat_slot *slot = slot_at(b, step->inputs[i]);
    tensors[i] = slot->tensor;
    given[i] = slot->tensor.layout;
    tensors[i].data = slot->known != NULL ? slot->known->data : NULL;
    inputs[i] = &tensors[i];
    recipes[i] = slot->recipe;
  }
  for (size_t i = 0; i < node->output_count; i++) {
    if (step->outputs[i] == PLEAT_NO_SLOT) continue;
    tensors[node->input_count + i] = slot_at(b, step->outputs[i])->tensor;
    outputs[i] = &tensors[node->input_count + i];
    outputs[i]->data = NULL;
  }
  step->call = (pleat_call){.node = node,
                            .version = node->version,
                            .input_count = node->input_count,
                            .output_count = node->output_count,
                            .inputs = inputs,
                            .outputs = outputs,
                            .wanted = wanted,
                            .given = given,
                            .reference_only = b->request->oracle,
                            .bf16 = b->request->bf16 && !step->is_sensitive,
                            .exact = b->request->exact,
                            .recipes = recipes,
                            .packs = &b->plan->packs,
                            .arena = arena,
                            .error = b->error};
  pleat_plan_set_work(b, &step->call, work_of(b, node, tensors));
  return PLEAT_OK;
}

/* What the taken kernel wanted to have as data is there for good. */
static pleat_status keep_data(builder *b, const pleat_step *step) {
  for (size_t i = 0; i < step->node->input_count; i++) {
    const uint32_t slot = step->inputs[i];
    if (slot == PLEAT_NO_SLOT || slot_at(b, slot)->recipe == NULL || slot_at(b, slot)->tensor.data != NULL) continue;
    void *data = step->call.inputs[i]->data;
    if (data != NULL) PLEAT_TRY(set_constant_data(b, slot, data));
  }
  return PLEAT_OK;
}

/* A step's input in a layout; a constant that has to be converted must be there. */
static pleat_status convert_input(builder *b, const pleat_layout *layout, uint32_t *slot) {
  if (!pleat_layout_equal(slot_at(b, *slot)->tensor.layout, layout)) PLEAT_TRY(provide(b, *slot));
  return pleat_plan_convert(b, *slot, layout, slot);
}

pleat_status pleat_plan_append(builder *b, pleat_step step, const char *declined) {
  pleat_plan *plan = b->plan;
  keep_layout(&step, step.kernel);
  pleat_status status = PLEAT_OK;
  step.declined = pleat_arena_strdup(plan->arena, declined);
  if (step.declined == NULL) PLEAT_CHECK(PLEAT_OOM(b->error));
  PLEAT_CHECK(keep_data(b, &step));
  for (size_t i = 0; i < step.node->output_count; i++) {
    if (step.outputs[i] == PLEAT_NO_SLOT) continue;
    const pleat_tensor *made = step.call.outputs[i];
    slot_at(b, step.outputs[i])->tensor.layout = pleat_layout_plainest(made->layout, made->rank, made->dims);
  }
  for (size_t i = 0; i < step.node->input_count; i++) {
    if (step.inputs[i] == PLEAT_NO_SLOT) continue;
    PLEAT_CHECK(convert_input(b, step.call.wanted[i], &step.inputs[i]));
  }
  /* Only now: destroy releases the state of the plan's steps. */
  if (PLEAT_PUSH(plan->arena, plan->steps, plan->step_count, plan->step_capacity, step)) return PLEAT_OK;
  status = PLEAT_OOM(b->error);
fail:
  pleat_kernel_release(step.kernel, &step.call);
  return status;
}

/* Takes a kernel and appends the step. */
static pleat_status prepare_step(builder *b, pleat_step step) {
  char declined[512];
  PLEAT_TRY(pleat_plan_describe_call(b, &step));
  if (b->request->tuner != NULL)
    PLEAT_TRY(pleat_tuner_take(b->request->tuner, &step.call, declined, sizeof declined, &step.kernel, &step.is_tuned));
  else PLEAT_TRY(pleat_kernel_take(&step.call, declined, sizeof declined, &step.kernel));
  if (step.declined == NULL) return pleat_plan_append(b, step, declined);
  char all[sizeof declined + 256]; /* the pair that it might have been comes first */
  snprintf(all, sizeof all, "%s%s%s", step.declined, declined[0] != '\0' ? "; " : "", declined);
  return pleat_plan_append(b, step, all);
}

/* A step that is planned while running, or has bodies with plans of their own: all it reads is dense. */
static pleat_status add_late_step(builder *b, pleat_step step) {
  pleat_plan *plan = b->plan;
  for (size_t i = 0; i < step.input_count; i++) {
    if (step.inputs[i] == PLEAT_NO_SLOT) continue;
    PLEAT_TRY(provide(b, step.inputs[i]));
    PLEAT_TRY(pleat_plan_convert(b, step.inputs[i], NULL, &step.inputs[i]));
  }
  if (PLEAT_PUSH(plan->arena, plan->steps, plan->step_count, plan->step_capacity, step)) return PLEAT_OK;
  return PLEAT_OOM(b->error);
}

/* Prepares all steps, in order; those that convert layouts come in between and at the end, for the outputs. */
static pleat_status prepare_steps(builder *b) {
  pleat_plan *plan = b->plan;
  pleat_step *steps = plan->steps;
  const size_t count = plan->step_count;
  plan->steps = NULL;
  plan->step_count = plan->step_capacity = 0;
  for (size_t s = 0; s < count; s++) {
    char label[256];
    bool is_paired = false;
    if (steps[s].node == NULL) continue;
    const bool is_late = steps[s].is_dynamic || steps[s].flow != NULL;
    pleat_status status = pleat_plan_pair(b, steps + s, count - s, &is_paired);
    if (status == PLEAT_OK && !is_paired) status = is_late ? add_late_step(b, steps[s]) : prepare_step(b, steps[s]);
    if (status == PLEAT_OK) continue;
    pleat_error_at_node(b->error, pleat_node_label(steps[s].node, label, sizeof label));
    return status;
  }
  for (size_t i = 0; i < plan->output_count; i++) {
    PLEAT_TRY(provide(b, plan->outputs[i].slot));
    PLEAT_TRY(pleat_plan_convert(b, plan->outputs[i].slot, NULL, &plan->outputs[i].slot));
  }
  for (size_t s = 0; s < plan->step_count; s++) {
    plan->has_rival_threads = plan->has_rival_threads || plan->steps[s].call.rival_threads;
  }
  return PLEAT_OK;
}

static pleat_status add_outputs(builder *b, const pleat_node *node, const pleat_tensor *types,
                                pleat_tensor *const *results, bool is_dynamic, bool as_constants, uint32_t *out_slots) {
  for (size_t i = 0; i < node->output_count; i++) {
    out_slots[i] = PLEAT_NO_SLOT;
    if (node->outputs[i] == NULL) continue;
    if (as_constants) {
      PLEAT_TRY(add_constant_slot(b, node->outputs[i], results[i], NULL, &out_slots[i]));
      continue;
    }
    pleat_slot slot = {.tensor = types[i], .known = results[i], .storage = PLEAT_STORAGE_ARENA};
    if (is_dynamic || is_unknown(&types[i])) slot.storage = PLEAT_STORAGE_DYNAMIC;
    if (types[i].kind != PLEAT_KIND_TENSOR) slot.storage = PLEAT_STORAGE_NONE;
    PLEAT_TRY(add_slot(b, node->outputs[i], slot, &out_slots[i]));
  }
  return PLEAT_OK;
}

/* The step's inputs, with their types; `captures` come behind the node's own. */
static pleat_status add_step_inputs(builder *b, pleat_step *step, pleat_value *const *captures, pleat_type *types) {
  const size_t own = step->node->input_count;
  step->inputs = pleat_arena_array(b->plan->arena, step->input_count, sizeof *step->inputs);
  if (step->inputs == NULL) return PLEAT_OOM(b->error);
  for (size_t i = 0; i < step->input_count; i++) {
    pleat_value *value = i < own ? step->node->inputs[i] : captures[i - own];
    step->inputs[i] = PLEAT_NO_SLOT;
    if (value == NULL) continue;
    PLEAT_TRY(pleat_plan_slot(b, value, &step->inputs[i]));
    types[i] = pleat_plan_slot_type(slot_at(b, step->inputs[i]));
    step->is_dynamic = step->is_dynamic || is_unknown(&slot_at(b, step->inputs[i])->tensor);
  }
  return PLEAT_OK;
}

static pleat_status add_flow(builder *b, const pleat_node *node) {
  pleat_plan *plan = b->plan;
  size_t capture_count = 0;
  pleat_value **captures = pleat_plan_captures(b, node, &capture_count);
  pleat_step step = {.node = node, .input_count = node->input_count + capture_count};
  pleat_type *types = pleat_arena_array(b->scratch, step.input_count + node->output_count, sizeof *types);
  pleat_tensor *described = pleat_arena_array(b->scratch, node->output_count, sizeof *described);
  pleat_tensor **results = pleat_arena_array(b->scratch, node->output_count, sizeof *results);
  step.outputs = pleat_arena_array(plan->arena, node->output_count, sizeof *step.outputs);
  if (captures == NULL || types == NULL || described == NULL || results == NULL || step.outputs == NULL) {
    return PLEAT_OOM(b->error);
  }
  PLEAT_TRY(add_step_inputs(b, &step, captures, types));
  PLEAT_TRY(pleat_plan_flow(b, &step, captures, types, types + step.input_count));
  for (size_t i = 0; i < node->output_count; i++) pleat_plan_describe(&types[step.input_count + i], &described[i]);
  step.is_dynamic = false;
  PLEAT_TRY(add_outputs(b, node, described, results, false, false, step.outputs));
  if (!PLEAT_PUSH(plan->arena, plan->steps, plan->step_count, plan->step_capacity, step)) return PLEAT_OOM(b->error);
  return PLEAT_OK;
}

static pleat_status add_node(builder *b, const pleat_node *node) {
  pleat_plan *plan = b->plan;
  pleat_arena_reset(b->scratch);
  if (pleat_node_has_bodies(node)) return add_flow(b, node);
  pleat_step step = {.node = node, .input_count = node->input_count};
  step.outputs = pleat_arena_array(plan->arena, node->output_count, sizeof *step.outputs);
  pleat_type *types = pleat_arena_array(b->scratch, node->input_count + node->output_count, sizeof *types);
  pleat_tensor *described = pleat_arena_array(b->scratch, node->output_count, sizeof *described);
  pleat_tensor **results = pleat_arena_array(b->scratch, node->output_count, sizeof *results);
  if (step.outputs == NULL || types == NULL || described == NULL || results == NULL) return PLEAT_OOM(b->error);
  PLEAT_TRY(add_step_inputs(b, &step, NULL, types));
  PLEAT_TRY(pleat_node_infer(node, types, types + node->input_count, b->error));
  for (size_t i = 0; i < node->output_count; i++) {
    pleat_plan_describe(&types[node->input_count + i], &described[i]);
    step.is_dynamic = step.is_dynamic || (node->outputs[i] != NULL && is_unknown(&described[i]));
  }
  bool followed = can_follow(b, node, step.inputs, described);
  if (followed) {
    PLEAT_TRY(follow(b, node, step.inputs, results));
    followed = has_results(node, results);
  }
  bool as_constants = followed && !b->request->keep_all;
  PLEAT_TRY(add_outputs(b, node, described, results, step.is_dynamic, as_constants, step.outputs));
  if (as_constants) return PLEAT_OK;
  if (!PLEAT_PUSH(plan->arena, plan->steps, plan->step_count, plan->step_capacity, step)) return PLEAT_OOM(b->error);
  return PLEAT_OK;
}

/* A node all of whose outputs are constant already (Constant) needs no step. */
static bool is_constant_node(const pleat_node *node) {
  for (size_t i = 0; i < node->output_count; i++) {
    if (node->outputs[i] != NULL && !pleat_value_is_constant(node->outputs[i])) return false;
  }
  return true;
}

/* Drops the steps whose results nothing reads any more (their readers' values were known ahead). */
static void drop_unused(builder *b) {
  pleat_plan *plan = b->plan;
  bool *needed = pleat_arena_array(b->scratch, plan->slot_count, sizeof *needed);
  if (needed == NULL) return; /* only an optimisation */
  for (size_t i = 0; i < plan->output_count; i++) needed[plan->outputs[i].slot] = true;
  for (size_t s = plan->step_count; s-- > 0;) {
    pleat_step *step = &plan->steps[s];
    bool keep = b->request->keep_all;
    for (size_t i = 0; i < step->node->output_count; i++) {
      keep = keep || (step->outputs[i] != PLEAT_NO_SLOT && needed[step->outputs[i]]);
    }
    if (!keep) {
      for (size_t i = 0; i < step->node->output_count; i++) {
        if (step->outputs[i] != PLEAT_NO_SLOT) slot_at(b, step->outputs[i])->storage = PLEAT_STORAGE_NONE;
      }
      step->node = NULL;
      continue;
    }
    for (size_t i = 0; i < step->input_count; i++) {
      if (step->inputs[i] != PLEAT_NO_SLOT) needed[step->inputs[i]] = true;
    }
  }
  size_t kept = 0;
  for (size_t s = 0; s < plan->step_count; s++) {
    if (plan->steps[s].node != NULL) plan->steps[kept++] = plan->steps[s];
  }
  plan->step_count = kept;
}

pleat_status pleat_plan_sketch(builder *b) {
  pleat_plan *plan = b->plan;
  const pleat_plan_request *request = b->request;
  const size_t value_count = request->graph->root->value_count;
  plan->slot_of = malloc((value_count + 1) * sizeof *plan->slot_of);
  plan->output_count = request->output_count;
  plan->outputs = pleat_arena_array(plan->arena, request->output_count, sizeof *plan->outputs);
  if (plan->slot_of == NULL || plan->outputs == NULL) return PLEAT_OOM(b->error);
  memset(plan->slot_of, 0xff, value_count * sizeof *plan->slot_of);
  PLEAT_TRY(add_inputs(b));
  PLEAT_FOR_NODES(node, request->graph) {
    char label[256];
    if (is_constant_node(node)) continue;
    pleat_status status = add_node(b, node);
    if (status != PLEAT_OK) {
      pleat_error_at_node(b->error, pleat_node_label(node, label, sizeof label));
      return status;
    }
  }
  for (size_t i = 0; i < request->output_count; i++) {
    PLEAT_TRY(pleat_plan_slot(b, request->outputs[i], &plan->outputs[i].slot));
  }
  pleat_arena_reset(b->scratch);
  drop_unused(b);
  return PLEAT_OK;
}

pleat_status pleat_plan_finish(builder *b) {
  if (b->request->bf16) PLEAT_TRY(pleat_plan_find_sensitive(b));
  PLEAT_TRY(prepare_steps(b));
  return pleat_plan_place(b->plan, b->error);
}

pleat_status pleat_plan_begin(builder *b, const pleat_plan_request *request, pleat_error *error) {
  *b = (builder){.request = request, .error = error, .scratch = pleat_arena_create()};
  pleat_arena *arena = pleat_arena_create();
  b->plan = arena != NULL ? pleat_arena_alloc(arena, sizeof *b->plan) : NULL;
  if (b->scratch == NULL || b->plan == NULL) {
    pleat_arena_destroy(arena);
    pleat_arena_destroy(b->scratch);
    return PLEAT_OOM(error);
  }
  b->plan->arena = arena;
  b->plan->packs = (pleat_pack_list){.store = pleat_graph_packs(request->graph), .arena = arena};
  b->plan->graph = request->graph;
  b->plan->reference_only = request->oracle;
  b->plan->exact = request->exact;
  return PLEAT_OK;
}

pleat_status pleat_plan_end(builder *b, pleat_status status, pleat_plan **out_plan) {
  free(b->plan->slot_of);
  b->plan->slot_of = NULL;
  free(b->captured);
  pleat_arena_destroy(b->scratch);
  if (status == PLEAT_OK) *out_plan = b->plan;
  else pleat_plan_destroy(b->plan);
  return status;
}

pleat_status pleat_plan_build(const pleat_plan_request *request, pleat_plan **out_plan, pleat_error *error) {
  builder b;
  *out_plan = NULL;
  PLEAT_TRY(pleat_plan_begin(&b, request, error));
  pleat_status status = pleat_plan_sketch(&b);
  if (status == PLEAT_OK && request->in_parts) status = pleat_plan_divide(&b);
  if (status == PLEAT_OK && b.plan->parts.plan == NULL) status = pleat_plan_finish(&b);
  return pleat_plan_end(&b, status, out_plan);
}

void pleat_plan_destroy(pleat_plan *plan) {
  if (plan == NULL) return;
  for (size_t s = 0; s < plan->step_count; s++) {
    pleat_step *step = &plan->steps[s];
    if (step->kernel != NULL) pleat_kernel_release(step->kernel, &step->call);
  }
  for (const pleat_flow *flow = plan->flows; flow != NULL; flow = flow->next) {
    for (size_t i = 0; i < flow->body_count; i++) pleat_plan_destroy(flow->bodies[i].plan);
  }
  pleat_plan_destroy(plan->parts.plan);
  for (size_t i = 0; i < plan->owned_count; i++) pleat_tensor_release(plan->owned[i]);
  pleat_pack_list_release(&plan->packs, 0);
  pleat_arena_destroy(plan->arena);
}

bool pleat_plan_fits(const pleat_plan *plan, const pleat_tensor *const *inputs) {
  for (size_t i = 0; i < plan->input_count; i++) {
    const pleat_tensor *key = &plan->input_shapes[i], *given = inputs[i];
    if (given == NULL || key->kind == PLEAT_KIND_OTHER) {
      if (given != NULL || key->kind != PLEAT_KIND_OTHER) return false;
      continue;
    }
    if (key->kind != given->kind) return false;
    if (key->kind == PLEAT_KIND_TENSOR && (key->dtype != given->dtype || !pleat_same_shape(key, given))) return false;
  }
  return true;
}

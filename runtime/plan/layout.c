/* Physical layouts in a plan: where a step wants a value in another layout than its producer's, a reorder is a step of
 * its own. A value is converted to a layout at most once; all steps that want it so share the result. What has the
 * bytes of a dense tensor is called dense, whatever its kernel calls it: no conversion stands at such a border. */
#include "plan/plan_private.h"

#include <string.h>

/* Reorders have a node of their own, outside of any graph, named after the value. */
static pleat_node *make_node(pleat_arena *arena, const pleat_value *value) {
  pleat_node *node = pleat_arena_alloc(arena, sizeof *node);
  pleat_value **values = pleat_arena_array(arena, 2, sizeof *values);
  if (node == NULL || values == NULL) return NULL;
  values[0] = values[1] = (pleat_value *)(uintptr_t)value;
  *node = (pleat_node){.name = value->name,
                       .op_type = "Reorder",
                       .domain = "pleat",
                       .overload = "",
                       .input_count = 1,
                       .output_count = 1,
                       .inputs = &values[0],
                       .outputs = &values[1]};
  return node;
}

static pleat_status add_reorder(pleat_builder *b, uint32_t from, uint32_t to) {
  pleat_plan *plan = b->plan;
  const pleat_slot *source = &plan->slots[from], *target = &plan->slots[to];
  uint32_t *slots = pleat_arena_array(plan->arena, 2, sizeof *slots);
  pleat_tensor *tensors = pleat_arena_array(plan->arena, 2, sizeof *tensors);
  const pleat_tensor **inputs = pleat_arena_array(plan->arena, 1, sizeof *inputs);
  pleat_tensor **outputs = pleat_arena_array(plan->arena, 1, sizeof *outputs);
  const pleat_layout **wanted = pleat_arena_array(plan->arena, 1, sizeof *wanted);
  pleat_node *node = make_node(plan->arena, source->value);
  if (slots == NULL || tensors == NULL || inputs == NULL || outputs == NULL || wanted == NULL || node == NULL) {
    return PLEAT_OOM(b->error);
  }
  slots[0] = from;
  slots[1] = to;
  tensors[0] = source->tensor;
  tensors[1] = target->tensor;
  inputs[0] = &tensors[0];
  outputs[0] = &tensors[1];
  pleat_step step = {.node = node, .inputs = &slots[0], .outputs = &slots[1], .is_reorder = true, .declined = ""};
  step.input_count = 1;
  step.call = (pleat_call){.node = node,
                           .input_count = 1,
                           .output_count = 1,
                           .inputs = inputs,
                           .outputs = outputs,
                           .wanted = wanted,
                           .arena = plan->arena,
                           .error = b->error};
  pleat_plan_set_work(b, &step.call, 2 * (double)source->tensor.count); /* read and written */
  PLEAT_TRY(pleat_reorder_take(&step.call, &step.kernel));
  if (PLEAT_PUSH(plan->arena, plan->steps, plan->step_count, plan->step_capacity, step)) return PLEAT_OK;
  pleat_kernel_release(step.kernel, &step.call);
  return PLEAT_OOM(b->error);
}

pleat_status pleat_plan_convert(pleat_builder *b, uint32_t slot, const pleat_layout *layout, uint32_t *out_slot) {
  pleat_plan *plan = b->plan;
  uint32_t last = slot;
  const pleat_tensor *tensor = &plan->slots[slot].tensor;
  layout = pleat_layout_plainest(layout, tensor->rank, tensor->dims);
  for (uint32_t i = slot; i != PLEAT_NO_SLOT; i = plan->slots[i].next_layout) {
    last = i;
    *out_slot = i;
    if (pleat_layout_equal(plan->slots[i].tensor.layout, layout)) return PLEAT_OK;
  }
  pleat_slot converted = {.value = plan->slots[slot].value,
                          .tensor = plan->slots[slot].tensor,
                          .storage = PLEAT_STORAGE_ARENA,
                          .root = (uint32_t)plan->slot_count,
                          .next_layout = PLEAT_NO_SLOT};
  converted.tensor.data = NULL;
  converted.tensor.layout = layout;
  *out_slot = converted.root;
  if (!PLEAT_PUSH(plan->arena, plan->slots, plan->slot_count, plan->slot_capacity, converted)) {
    return PLEAT_OOM(b->error);
  }
  plan->slots[last].next_layout = *out_slot;
  return add_reorder(b, slot, *out_slot);
}

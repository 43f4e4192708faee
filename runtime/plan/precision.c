/* Which steps of a plan for bfloat16 stay in float.
 *
 * Those that give the model's outputs: from each output backwards up to and including the nearest steps that multiply
 * (the classifier, the last convolution of a head), since what is rounded there is rounded last and nothing averages it
 * out. And those with a tensor that is of a half type in the model itself, whose arithmetic is stated there. All others
 * may be bfloat16; whether one is, is its kernel's to decide. */
#include "plan/plan_private.h"

static bool has_halfs(const pleat_plan *plan, const uint32_t *slots, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (slots[i] == PLEAT_NO_SLOT) continue;
    if ((PLEAT_M(plan->slots[slots[i]].tensor.dtype) & PLEAT_M_HALF) != 0) return true;
  }
  return false;
}

pleat_status pleat_plan_find_sensitive(pleat_builder *b) {
  pleat_plan *plan = b->plan;
  bool *is_final = pleat_arena_array(b->scratch, plan->slot_count, sizeof *is_final);
  if (is_final == NULL) return PLEAT_OOM(b->error);
  for (size_t i = 0; i < b->request->model_output_count; i++) is_final[plan->outputs[i].slot] = true;
  for (size_t s = plan->step_count; s-- > 0;) {
    pleat_step *step = &plan->steps[s];
    const pleat_node *node = step->node;
    for (size_t i = 0; i < node->output_count; i++)
      step->is_sensitive = step->is_sensitive || (step->outputs[i] != PLEAT_NO_SLOT && is_final[step->outputs[i]]);
    if (step->is_sensitive && step->node->def->macs == NULL) {
      for (size_t i = 0; i < step->input_count; i++) {
        if (step->inputs[i] != PLEAT_NO_SLOT) is_final[step->inputs[i]] = true;
      }
    }
    step->is_sensitive = step->is_sensitive || has_halfs(plan, step->inputs, step->input_count) ||
                         has_halfs(plan, step->outputs, node->output_count);
  }
  return PLEAT_OK;
}

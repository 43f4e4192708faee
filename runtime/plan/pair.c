/* Convolutions that are fused with the one before them: decided here and not by a folding pass, as it depends on the
 * run's shapes and on what the CPU has whether that is the faster way. Where a kernel takes both as one, the value
 * between them has no memory; else nothing changes.
 *
 * The two are one step in place of the first: the second reads nothing else that a step computes. Taps and graph
 * outputs are read by the caller, so they are never between two. A plan that keeps every node has no pairs, nor has one
 * for bfloat16, as no kernel for pairs multiplies so. */
#include <string.h>

#include "ops/conv_pair.h"
#include "plan/plan_private.h"

static bool is_conv(const pleat_step *step, size_t most_outputs) {
  const pleat_node *node = step->node;
  const bool is_internal = strcmp(node->domain, PLEAT_INTERNAL_DOMAIN) == 0;
  if (step->is_dynamic || node->output_count > most_outputs || node->input_count > PLEAT_PAIR_PART_INPUTS) return false;
  return pleat_node_is(node, "Conv") || (is_internal && strcmp(node->op_type, "FusedConv") == 0);
}

/* The step that alone reads the first one's result, as a convolution's X, and constants besides; NULL: none. */
static pleat_step *find_second(const pleat_builder *b, pleat_step *steps, size_t count) {
  const pleat_value *between = steps[0].node->outputs[0];
  if (between == NULL || between->is_output || between->use_count != 1 || between->uses[0].index != 0) return NULL;
  size_t i = 1;
  while (i < count && steps[i].node != between->uses[0].node) i++;
  if (i == count || !is_conv(&steps[i], PLEAT_PAIR_OUTPUTS)) return NULL;
  for (size_t k = 1; k < steps[i].input_count; k++) {
    const uint32_t slot = steps[i].inputs[k];
    if (slot != PLEAT_NO_SLOT && b->plan->slots[slot].storage != PLEAT_STORAGE_CONSTANT) return NULL;
  }
  return &steps[i];
}

static pleat_status make_step(pleat_builder *b, const pleat_step *first, const pleat_step *second, pleat_step *out) {
  pleat_arena *arena = b->plan->arena;
  uint32_t *inputs = pleat_arena_array(arena, PLEAT_PAIR_INPUTS, sizeof *inputs);
  pleat_node *node = pleat_conv_pair_join(arena, first->node, second->node);
  if (inputs == NULL || node == NULL) return PLEAT_OOM(b->error);
  for (size_t i = 0; i < PLEAT_PAIR_INPUTS; i++) inputs[i] = PLEAT_NO_SLOT;
  for (size_t i = 0; i < first->input_count; i++) inputs[i] = first->inputs[i];
  for (size_t i = 1; i < second->input_count; i++) inputs[PLEAT_PAIR_W2 + i - 1] = second->inputs[i];
  *out = (pleat_step){
      .node = node, .input_count = PLEAT_PAIR_INPUTS, .inputs = inputs, .outputs = second->outputs, .declined = ""};
  return pleat_plan_describe_call(b, out);
}

pleat_status pleat_plan_pair(pleat_builder *b, pleat_step *steps, size_t count, bool *out_paired) {
  const pleat_plan_request *request = b->request;
  pleat_step *second, step;
  *out_paired = false;
  if (request->keep_all || request->oracle || request->bf16 || !is_conv(&steps[0], 1)) return PLEAT_OK;
  if ((second = find_second(b, steps, count)) == NULL) return PLEAT_OK;
  PLEAT_TRY(make_step(b, &steps[0], second, &step));
  for (const pleat_kernel *const *kernel = step.node->def->kernels; kernel[1] != NULL; kernel++) {
    pleat_error reason = PLEAT_ERROR_INIT;
    step.call.error = &reason;
    const pleat_status status = pleat_kernel_take_as(&step.call, *kernel, 0);
    step.call.error = b->error;
    if (status == PLEAT_UNSUPPORTED) {
      const char *before = second->declined != NULL ? second->declined : "";
      second->declined = pleat_arena_printf(b->plan->arena, "%s%s%s: %s", before, before[0] != '\0' ? "; " : "",
                                            (*kernel)->name, reason.message);
      continue;
    }
    if (status != PLEAT_OK) return pleat_fail(b->error, status, "%s", reason.message);
    step.kernel = *kernel;
    PLEAT_TRY(pleat_plan_append(b, step, ""));
    b->plan->slots[steps[0].outputs[0]].storage = PLEAT_STORAGE_NONE;
    second->node = NULL;
    *out_paired = true;
    return PLEAT_OK;
  }
  return PLEAT_OK;
}

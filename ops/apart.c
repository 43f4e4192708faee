/* Ready-made answers to whether an operator keeps the samples of a batch apart; see ops.h.
 *
 * Invariant: in doubt they are mixed. A part of a batch is then never run alone, which only costs time. */
#include "ops/axes.h"

/* Why the inputs behind the first are none that every part can read alike. */
static const char *others(const pleat_infer *whole, const pleat_role *roles, bool may_be_sized) {
  if (roles[0] != PLEAT_ROLE_SAMPLES) return "its input has no samples, another one has";
  for (size_t i = 1; i < whole->input_count; i++) {
    if (roles[i] == PLEAT_ROLE_SAMPLES) return "an input that all samples share comes from the samples";
    if (roles[i] == PLEAT_ROLE_SIZED && !may_be_sized) return "an input is computed from the number of samples";
  }
  return NULL;
}

const char *pleat_apart_first(const pleat_infer *whole, const pleat_role *roles) {
  return others(whole, roles, false);
}

const char *pleat_apart_reshaped(const pleat_infer *whole, const pleat_role *roles) {
  return others(whole, roles, true);
}

const char *pleat_apart_axis(const pleat_infer *whole, const pleat_role *roles) {
  int axis = 0;
  if (pleat_attr_axis(whole->node, "axis", whole->inputs[0].shape.rank, &axis, NULL) != PLEAT_OK || axis == 0)
    return "it runs along the samples";
  return pleat_apart_first(whole, roles);
}

const char *pleat_apart_each(const pleat_infer *whole, const pleat_role *roles) {
  for (size_t i = 0; i < whole->input_count; i++) {
    if (roles[i] != PLEAT_ROLE_SAMPLES && roles[i] != PLEAT_ROLE_ABSENT) return "an input is not of the samples";
  }
  return NULL;
}

const char *pleat_apart_elementwise(const pleat_infer *whole, const pleat_role *roles) {
  const int rank = whole->outputs[0].shape.rank;
  for (size_t i = 0; i < whole->input_count; i++) {
    const pleat_shape *shape = &whole->inputs[i].shape;
    if (roles[i] == PLEAT_ROLE_SIZED) return "an input is computed from the number of samples";
    if (roles[i] == PLEAT_ROLE_SAMPLES && shape->rank != rank) return "samples are broadcast over another dimension";
    if (roles[i] == PLEAT_ROLE_SHARED && shape->rank == rank && shape->dims[0].value != 1)
      return "an operand has numbers of its own for each sample";
  }
  return NULL;
}

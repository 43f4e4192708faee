/* The activations of the fused operators (ops/fused.c) that the kernels here compute on the way out: from names and
 * attributes to what the code of an instruction set reads. */
#include <math.h>
#include <string.h>

#include "ops/x86/x86.h"

bool pleat_x86_activation_of(const pleat_node *node, pleat_x86_activation *out_activation) {
  static const struct {
    const char *name;
    pleat_x86_curve curve;
  } curves[] = {{"LeakyRelu", PLEAT_X86_LEAKY},          {"Sigmoid", PLEAT_X86_SIGMOID},      {"Silu", PLEAT_X86_SILU},
                {"HardSigmoid", PLEAT_X86_HARD_SIGMOID}, {"HardSwish", PLEAT_X86_HARD_SWISH}, {"Gelu", PLEAT_X86_GELU}};
  const char *name = pleat_attr_string(node, "activation");
  *out_activation = (pleat_x86_activation){.curve = PLEAT_X86_CLAMP, .low = -INFINITY, .high = INFINITY};
  if (name[0] == '\0') return true;
  out_activation->alpha = pleat_attr_float(node, "activation_alpha");
  out_activation->beta = pleat_attr_float(node, "activation_beta");
  if (strcmp(name, "Relu") == 0) {
    out_activation->low = 0;
    return true;
  }
  if (strcmp(name, "Clip") == 0) {
    out_activation->low = out_activation->alpha;
    out_activation->high = out_activation->beta;
    return true;
  }
  for (size_t i = 0; i < sizeof curves / sizeof *curves; i++) {
    if (strcmp(curves[i].name, name) != 0) continue;
    out_activation->curve = curves[i].curve;
    return true;
  }
  return false;
}

bool pleat_x86_keeps_zero(const pleat_x86_activation *activation) {
  switch (activation->curve) {
  case PLEAT_X86_CLAMP:
    return activation->low <= 0 && activation->high >= 0;
  case PLEAT_X86_SIGMOID:
  case PLEAT_X86_HARD_SIGMOID:
    return false;
  default:
    return true;
  }
}

/* Whether kernels for bfloat16 can run at all: in this build, on this CPU, within the limits on instruction sets that
 * the environment sets our own kernels (PLEAT_X86) and oneDNN (ONEDNN_MAX_CPU_ISA). That a kernel knows bfloat16 is not
 * enough: where no part has the instructions, all of them would decline and float would take their place in silence. */
#include "core/cpu.h"
#include "ops/kernels.h"

static bool (*const parts[])(void) = {PLEAT_ONEDNN_KERNEL(pleat_onednn_has_bf16) PLEAT_X86_KERNEL(pleat_x86_has_bf16)
                                          NULL};

const char *pleat_op_no_bf16(void) {
  if (parts[0] == NULL) return "this build of Pleat has no bfloat16 kernels";
  if (!pleat_cpu_has_bf16()) return "this CPU has no bfloat16 arithmetic (AVX512_BF16)";
  for (size_t i = 0; parts[i] != NULL; i++) {
    if (parts[i]()) return NULL;
  }
  return "the environment (PLEAT_X86, ONEDNN_MAX_CPU_ISA) rules out this CPU's bfloat16 arithmetic (AVX512_BF16)";
}

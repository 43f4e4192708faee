/* Kernels of ops/x86 against the reference: on floats, and on bfloat16 where there is code for it. On top of
 * conv_case.h. */
#ifndef PLEAT_TESTS_X86_CASE_H
#define PLEAT_TESTS_X86_CASE_H

#include "conv_case.h"
#include "ops/x86/x86.h"

/* As check_against_reference; then on inputs that are bfloat16, with `bf16_tolerance` and what the last rounding takes.
 */
static inline void check_x86(op_case *c, const pleat_kernel *kernel, const char *domain, unsigned constants,
                             unsigned blocked, double tolerance, double bf16_tolerance, const char *what) {
  case_ready(c, domain);
  compare_with_reference(c, kernel, (how){.constants = constants}, blocked, tolerance, what);
  if (pleat_x86_code_for(true) != NULL) {
    round_inputs(c);
    compare_with_reference(c, kernel, (how){.constants = constants, .bf16 = true}, blocked, bf16_tolerance, what);
  }
  case_end(c);
}

#endif

/* The code for AVX-512 on tensors of bfloat16: products of pairs, with sums in float. Compiled with -mavx512f
 * -mavx512vl -mavx512bf16 -mfma, and run only where the CPU has them (isa.c). */
#define PLEAT_LANES    16
#define PLEAT_X86_ROWS 14 /* as in avx512.c */
#define PLEAT_X86_BF16 1
#define PLEAT_X86_NAME "AVX-512 with bfloat16"
#define PLEAT_X86_CODE pleat_x86_bf16
#include "ops/x86/code.inc"

/* The code for AVX-512: 32 registers of 16 lanes. Compiled with -mavx512f -mavx512vl -mfma, and run only where the CPU
 * has them (isa.c). */
#define PLEAT_LANES    16
#define PLEAT_X86_ROWS 14 /* 28 sums, two weights and a factor in 32 registers */
#define PLEAT_X86_BF16 0
#define PLEAT_X86_NAME "AVX-512"
#define PLEAT_X86_CODE pleat_x86_avx512
#include "ops/x86/code.inc"

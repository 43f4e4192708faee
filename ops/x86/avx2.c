/* The code for AVX2 and FMA: 16 registers of 8 lanes. Compiled with -mavx2 -mfma, and run only where the CPU has both
 * (isa.c). */
#define PLEAT_LANES    8
#define PLEAT_X86_ROWS 6 /* 12 sums, two weights and a factor in 16 registers */
#define PLEAT_X86_BF16 0
#define PLEAT_X86_NAME "AVX2"
#define PLEAT_X86_CODE pleat_x86_avx2
#include "ops/x86/code.inc"

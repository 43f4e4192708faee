/* What processor this is. Answers never change while the process lives. */
#ifndef PLEAT_CORE_CPU_H
#define PLEAT_CORE_CPU_H

#include <stdbool.h>
#include <stddef.h>

/* Whether the CPU, and the system under it, can multiply bfloat16 numbers (AVX512_BF16). */
bool pleat_cpu_has_bf16(void);

/* Whether the CPU has vectors of 512 bits and is known to start only one multiply-add of them a cycle, as AMD's Zen 4
 * does, whose units are half as wide. */
bool pleat_cpu_halves_512(void);

/* The model and the vector instructions that matter here, on one line without tabs: for people, and to tell machines
 * apart. Returns `buffer`. */
const char *pleat_cpu_text(char *buffer, size_t size);

#endif

/* What the tensors of an instance of code.inc hold, floats or bfloat16 (PLEAT_X86_BF16), as vectors of floats; and
 * factors, vectors as products take them: of bfloat16 two numbers of depth at once, which lie beside each other. */
#ifndef PLEAT_OPS_X86_NUMBERS_H
#define PLEAT_OPS_X86_NUMBERS_H

#include <stdint.h>
#include <string.h>

#include "ops/x86/simd.h"

#if PLEAT_X86_BF16

typedef uint16_t number;
typedef __m512bh factors;
enum { DEPTH = 2 }; /* numbers of depth that one product takes */

INLINE vec load(const number *x) {
  const __m512i bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)x));
  return _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16));
}
INLINE void store(number *y, vec x) {
  _mm256_storeu_si256((__m256i *)(void *)y, (__m256i)_mm512_cvtneps_pbh(x));
}
INLINE factors factors_load(const number *w) {
  return (factors)_mm512_loadu_si512(w);
}
/* A pair for all lanes. */
INLINE factors factors_set(const number *x) {
  int32_t pair;
  memcpy(&pair, x, sizeof pair);
  return (factors)_mm512_set1_epi32(pair);
}
/* The first of a pair alone: the other is zero. */
INLINE factors factors_set_one(const number *x) {
  return (factors)_mm512_set1_epi32(*x);
}
INLINE vec factors_fma(factors a, factors b, vec c) {
  return _mm512_dpbf16_ps(c, a, b);
}

#else

typedef float number;
typedef vec factors;
enum { DEPTH = 1 };

#define load            vec_load
#define store           vec_store
#define factors_load    vec_load
#define factors_fma     vec_fma
INLINE factors factors_set(const number *x) {
  return vec_set(*x);
}
#define factors_set_one factors_set

#endif
#endif

/* Vectors of PLEAT_LANES floats, for the sources that are compiled once per instruction set (code.inc).
 *
 * Only what the kernels here need. max and min give their second argument when either is NaN: put the data second. */
#ifndef PLEAT_OPS_X86_SIMD_H
#define PLEAT_OPS_X86_SIMD_H

#include <immintrin.h>

/* Loops over registers: unrolled to the last, or the arrays would go to memory. */
#define UNROLL   _Pragma("GCC unroll 64")
#define INLINE   static inline __attribute__((always_inline))
#define RESTRICT __restrict__

#if PLEAT_LANES == 16

typedef __m512 vec;
#define vec_load        _mm512_loadu_ps
#define vec_store       _mm512_storeu_ps
#define vec_zero        _mm512_setzero_ps
#define vec_set         _mm512_set1_ps
#define vec_add         _mm512_add_ps
#define vec_sub         _mm512_sub_ps
#define vec_mul         _mm512_mul_ps
#define vec_div         _mm512_div_ps
#define vec_min         _mm512_min_ps
#define vec_max         _mm512_max_ps
#define vec_fma         _mm512_fmadd_ps  /* a * b + c */
#define vec_fnma        _mm512_fnmadd_ps /* c - a * b */
#define vec_round(x)    _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT)
#define vec_scale(x, n) _mm512_scalef_ps(x, n) /* x * 2^n, n whole */

#else

typedef __m256 vec;
#define vec_load     _mm256_loadu_ps
#define vec_store    _mm256_storeu_ps
#define vec_zero     _mm256_setzero_ps
#define vec_set      _mm256_set1_ps
#define vec_add      _mm256_add_ps
#define vec_sub      _mm256_sub_ps
#define vec_mul      _mm256_mul_ps
#define vec_div      _mm256_div_ps
#define vec_min      _mm256_min_ps
#define vec_max      _mm256_max_ps
#define vec_fma      _mm256_fmadd_ps
#define vec_fnma     _mm256_fnmadd_ps
#define vec_round(x) _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)

/* x * 2^n in two steps, so that results just above the smallest normal number and just below the largest are right. */
INLINE vec vec_scale(vec x, vec n) {
  const __m256i half = _mm256_srai_epi32(_mm256_cvtps_epi32(n), 1),
                rest = _mm256_sub_epi32(_mm256_cvtps_epi32(n), half);
  const __m256i bias = _mm256_set1_epi32(127);
  const vec a = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
  const vec b = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23));
  return vec_mul(vec_mul(x, a), b);
}

#endif

/* e^x to about 2 ulp: x = n ln 2 + r, |r| <= ln 2 / 2, and a polynomial in r (Cody and Waite, "Software Manual for the
 * Elementary Functions", 1980; coefficients: Taylor's, which are good enough on so short an interval). */
INLINE vec vec_exp(vec x) {
  const vec bounded = vec_max(vec_set(-104.0f), vec_min(vec_set(89.0f), x));
  const vec n = vec_round(vec_mul(bounded, vec_set(1.44269504f)));
  const vec r = vec_fnma(n, vec_set(-2.12194440e-4f), vec_fnma(n, vec_set(0.693359375f), bounded));
  vec p = vec_set(1.0f / 5040);
  p = vec_fma(p, r, vec_set(1.0f / 720));
  p = vec_fma(p, r, vec_set(1.0f / 120));
  p = vec_fma(p, r, vec_set(1.0f / 24));
  p = vec_fma(p, r, vec_set(1.0f / 6));
  p = vec_fma(p, r, vec_set(0.5f));
  p = vec_fma(vec_mul(p, r), r, vec_add(r, vec_set(1)));
  return vec_scale(p, n);
}

INLINE vec vec_sigmoid(vec x) {
  return vec_div(vec_set(1), vec_add(vec_set(1), vec_exp(vec_sub(vec_zero(), x))));
}

#endif

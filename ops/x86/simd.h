/* Vectors of PLEAT_LANES floats, for the sources that are compiled once per instruction set (code.inc).
 *
 * Only what the kernels here need. max and min give their second argument when either is NaN: put the data second. */
#ifndef PLEAT_OPS_X86_SIMD_H
#define PLEAT_OPS_X86_SIMD_H

#include <immintrin.h>

/* Loops over registers: unrolled to the last, or the arrays would go to memory. */
#define UNROLL   _Pragma("GCC unroll 64")
#define EACH(n)  UNROLL for (int i = 0; i < (n); i++)
#define INLINE   static inline __attribute__((always_inline))
#define RESTRICT __restrict__

#if PLEAT_LANES == 16

typedef __m512 vec;
#define vec_load  _mm512_loadu_ps
#define vec_store _mm512_storeu_ps
#define vec_zero  _mm512_setzero_ps
#define vec_set   _mm512_set1_ps
#define vec_add   _mm512_add_ps
#define vec_sub   _mm512_sub_ps
#define vec_mul   _mm512_mul_ps
#define vec_div   _mm512_div_ps
#define vec_min   _mm512_min_ps
#define vec_max   _mm512_max_ps
#define vec_fma   _mm512_fmadd_ps /* a * b + c */
/* a where it is NaN, else x */
#define vec_first(x, n)  _mm512_maskz_mov_ps((__mmask16)((1u << (n)) - 1), x) /* its first n lanes, else zeros */
#define vec_or_nan(x, a) _mm512_mask_mov_ps(x, _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q), a)
#define vec_fnma         _mm512_fnmadd_ps /* c - a * b */
#define vec_fms          _mm512_fmsub_ps  /* a * b - c */

/* The table's element that the lowest bits of t name. */
INLINE vec vec_lookup(vec t, vec table) {
  return _mm512_permutexvar_ps(_mm512_castps_si512(t), table);
}
/* x * 2^n for the n that t has in the bits above those. */
INLINE vec vec_raise(vec x, vec t) {
  const __m512i n = _mm512_slli_epi32(_mm512_srli_epi32(_mm512_castps_si512(t), 4), 23);
  return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(x), n));
}

/* p[0] in all even lanes, p[1] in all odd ones; and of such a vector p[1] in all. */
INLINE vec vec_pair(const float *p) {
  return _mm512_castpd_ps(_mm512_broadcastsd_pd(_mm_load_sd((const double *)(const void *)p)));
}
INLINE vec vec_odd(vec pair) {
  return _mm512_movehdup_ps(pair);
}
/* The first eight lanes of x in the even lanes, zeros in the odd ones. */
INLINE vec vec_spread(vec x) {
  return _mm512_maskz_permutexvar_ps(0x5555, _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7), x);
}
/* And back: the sum of each even lane and its odd neighbour. */
INLINE vec vec_sum_pairs(vec x) {
  return _mm512_maskz_permutexvar_ps(0x00ff, _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 0, 0, 0, 0, 0, 0, 0, 0),
                                     _mm512_add_ps(x, _mm512_movehdup_ps(x)));
}

static const float vec_powers[16] = {0.5f,         0.522136891f, 0.545253866f, 0.569394317f, 0.594603558f, 0.620928906f,
                                     0.648419777f, 0.677127773f, 0.707106781f, 0.738413073f, 0.771105413f, 0.805245166f,
                                     0.840896415f, 0.878126080f, 0.917004043f, 0.957603281f};

#else

typedef __m256 vec;
#define vec_load  _mm256_loadu_ps
#define vec_store _mm256_storeu_ps
#define vec_zero  _mm256_setzero_ps
#define vec_set   _mm256_set1_ps
#define vec_add   _mm256_add_ps
#define vec_sub   _mm256_sub_ps
#define vec_mul   _mm256_mul_ps
#define vec_div   _mm256_div_ps
#define vec_min   _mm256_min_ps
#define vec_max   _mm256_max_ps
#define vec_fma   _mm256_fmadd_ps
#define vec_first(x, n)                                                                                                \
  _mm256_and_ps(                                                                                                       \
      x, _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))))
#define vec_or_nan(x, a) _mm256_blendv_ps(x, a, _mm256_cmp_ps(a, a, _CMP_UNORD_Q))
#define vec_fnma         _mm256_fnmadd_ps
#define vec_fms          _mm256_fmsub_ps /* a * b - c */

/* The table's element that the lowest bits of t name. */
INLINE vec vec_lookup(vec t, vec table) {
  return _mm256_permutevar8x32_ps(table, _mm256_castps_si256(t));
}
/* x * 2^n for the n that t has in the bits above those. */
INLINE vec vec_raise(vec x, vec t) {
  const __m256i n = _mm256_slli_epi32(_mm256_srli_epi32(_mm256_castps_si256(t), 3), 23);
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), n));
}

static const float vec_powers[8] = {0.5f,         0.545253866f, 0.594603558f, 0.648419777f,
                                    0.707106781f, 0.771105413f, 0.840896415f, 0.917004043f};

#endif

/* The sums of eight vectors, each over its lanes. */
INLINE void vec_sums(const vec x[8], float *sums) {
  __m256 half[8], pair[4];
#if PLEAT_LANES == 16
  EACH(8) {
    const __m512d wide = _mm512_castps_pd(x[i]);
    half[i] = _mm256_add_ps(_mm512_castps512_ps256(x[i]), _mm256_castpd_ps(_mm512_extractf64x4_pd(wide, 1)));
  }
#else
  EACH(8) half[i] = x[i];
#endif
  EACH(4) pair[i] = _mm256_hadd_ps(half[2 * i], half[2 * i + 1]);
  const __m256 low = _mm256_hadd_ps(pair[0], pair[1]), high = _mm256_hadd_ps(pair[2], pair[3]);
  _mm256_storeu_ps(sums,
                   _mm256_add_ps(_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31)));
}

/* Keeps a loaded vector in its register: gcc would rather load it again as the operand of each product, and these loops
 * are short of loads, not of registers. */
#define vec_keep(x) __asm__("" : "+v"(x))

/* 1 + e^-x of several vectors, to about 2 ulp: in lockstep, as a chain of a dozen dependent operations would leave the
 * multipliers idle. 2^t is 2^whole (the exponent's bits) times 2^(i / N) (a table in one register, N as many as its
 * lanes) times a polynomial in what is left, |r| <= 1 / 2N (P.-T. P. Tang, "Table-driven implementation of the
 * exponential function", 1989). The table has halves of those powers, so that e^-x may overflow to infinity, and only
 * that. */
enum { VEC_TOGETHER = PLEAT_LANES / 4 };
INLINE void vec_one_plus_exp(int n, const vec *x, vec *y) {
  const vec table = vec_load(vec_powers), magic = vec_set(12582912.0f / PLEAT_LANES);
  const vec factor = vec_set(-1.44269504f), rest = vec_set(-1.92596303e-8f); /* of log2(e) */
  vec t[VEC_TOGETHER], r[VEC_TOGETHER], q[VEC_TOGETHER], power[VEC_TOGETHER];
  EACH(n) y[i] = vec_max(vec_set(-89), vec_min(vec_set(86), x[i]));
  EACH(n) t[i] = vec_fma(y[i], factor, magic); /* rounded to a multiple of 1 / N, in the lowest bits */
  EACH(n) r[i] = vec_fms(y[i], factor, vec_sub(t[i], magic));
  EACH(n) power[i] = vec_lookup(t[i], table);
  EACH(n) r[i] = vec_fma(y[i], rest, r[i]);
  EACH(n) q[i] = vec_set(5.55041087e-2f);
  if (PLEAT_LANES < 16) EACH(n) q[i] = vec_fma(r[i], vec_set(9.61812911e-3f), q[i]);
  EACH(n) q[i] = vec_fma(q[i], r[i], vec_set(2.40226507e-1f));
  EACH(n) q[i] = vec_fma(q[i], r[i], vec_set(6.93147181e-1f));
  EACH(n) power[i] = vec_raise(power[i], t[i]);
  EACH(n) q[i] = vec_mul(q[i], r[i]);
  EACH(n) q[i] = vec_fma(power[i], q[i], power[i]);
  EACH(n) y[i] = vec_fma(q[i], vec_set(2), vec_set(1));
}

#endif

/* Functions of vectors for maps.inc: exponential, logarithm, error function, and what of an instruction set they need
 * besides simd.h.
 *
 * All are good to about 2 ulp over the whole range of floats, denormal numbers included, and hand NaN on. The
 * coefficients are minimax fits in double, rounded to float. */
#ifndef PLEAT_OPS_X86_VECTOR_MATH_H
#define PLEAT_OPS_X86_VECTOR_MATH_H

#include <math.h>
#include <stdint.h>

#include "ops/x86/simd.h"

#if PLEAT_LANES == 16

#define vec_sqrt       _mm512_sqrt_ps
#define vec_abs        _mm512_abs_ps
#define vec_floor(x)   _mm512_roundscale_ps((x), _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)
#define vec_ceil(x)    _mm512_roundscale_ps((x), _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC)
#define vec_nearest(x) _mm512_roundscale_ps((x), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)

INLINE vec vec_negate(vec x) {
  return _mm512_castsi512_ps(_mm512_xor_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(INT32_MIN)));
}
/* The size of one, the sign of the other. */
INLINE vec vec_signed(vec size, vec sign) {
  const __m512i bit = _mm512_and_epi32(_mm512_castps_si512(sign), _mm512_set1_epi32(INT32_MIN));
  return _mm512_castsi512_ps(_mm512_or_epi32(_mm512_castps_si512(vec_abs(size)), bit));
}
/* `yes` where the sign of x is set, else `no`. */
INLINE vec vec_where_negative(vec x, vec yes, vec no) {
  return _mm512_mask_blend_ps(_mm512_cmplt_epi32_mask(_mm512_castps_si512(x), _mm512_setzero_si512()), no, yes);
}
/* x * 2^(n + 1), n the largest whole number that is not above t - magic. Rounds once, also to a denormal number. */
INLINE vec vec_scale(vec x, vec t, vec magic) {
  return _mm512_scalef_ps(x, vec_add(vec_sub(t, magic), vec_set(1)));
}
/* 2^n of whole numbers. */
INLINE vec vec_power(vec n) {
  return _mm512_scalef_ps(vec_set(1), n);
}
/* x = m * 2^e, 3/4 <= m < 3/2. NaN of a negative x; of 0 and infinity e is infinite. */
INLINE vec vec_split(vec x, vec *e) {
  const vec m = _mm512_getmant_ps(x, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_nan);
  *e = vec_sub(_mm512_getexp_ps(x), _mm512_getexp_ps(m));
  return m;
}
#define vec_log_limits(x, y) (y) /* vec_split has cared for them */

#else

#define vec_sqrt       _mm256_sqrt_ps
#define vec_floor(x)   _mm256_floor_ps(x)
#define vec_ceil(x)    _mm256_ceil_ps(x)
#define vec_nearest(x) _mm256_round_ps((x), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)

INLINE vec vec_abs(vec x) {
  return _mm256_andnot_ps(vec_set(-0.0f), x);
}
INLINE vec vec_negate(vec x) {
  return _mm256_xor_ps(vec_set(-0.0f), x);
}
/* The size of one, the sign of the other. */
INLINE vec vec_signed(vec size, vec sign) {
  return _mm256_or_ps(vec_abs(size), _mm256_and_ps(vec_set(-0.0f), sign));
}
/* `yes` where the sign of x is set, else `no`. */
INLINE vec vec_where_negative(vec x, vec yes, vec no) {
  return _mm256_blendv_ps(no, yes, x);
}
/* 2^n of whole numbers that are exponents of normal ones. */
INLINE vec vec_exponent(__m256i n) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}
/* x * 2^(n + 1), n the largest whole number that is not above t - magic. By two factors, as one alone may be no normal
 * number; the first product is exact. */
INLINE vec vec_scale(vec x, vec t, vec magic) {
  const __m256i parts = _mm256_sub_epi32(_mm256_castps_si256(t), _mm256_castps_si256(magic));
  const __m256i n = _mm256_srai_epi32(parts, 3), half = _mm256_srai_epi32(n, 1);
  const __m256i rest = _mm256_add_epi32(_mm256_sub_epi32(n, half), _mm256_set1_epi32(1));
  return vec_mul(vec_mul(x, vec_exponent(half)), vec_exponent(rest));
}
INLINE vec vec_power(vec n) {
  return vec_exponent(_mm256_cvtps_epi32(n));
}
/* x = m * 2^e, 3/4 <= m < 3/2, for positive finite x. */
INLINE vec vec_split(vec x, vec *e) {
  const vec is_tiny = _mm256_cmp_ps(x, vec_set(1.17549435e-38f), _CMP_LT_OQ);
  x = vec_mul(x, _mm256_blendv_ps(vec_set(1), vec_set(0x1p25f), is_tiny));
  const __m256i bits = _mm256_castps_si256(x);
  const __m256i n = _mm256_srai_epi32(_mm256_sub_epi32(bits, _mm256_castps_si256(vec_set(0.75f))), 23);
  *e = vec_sub(_mm256_cvtepi32_ps(n), _mm256_and_ps(is_tiny, vec_set(25)));
  return _mm256_castsi256_ps(_mm256_sub_epi32(bits, _mm256_slli_epi32(n, 23)));
}
/* The logarithms of 0, infinity, NaN and negative numbers. */
INLINE vec vec_log_limits(vec x, vec y) {
  const vec infinity = vec_set(INFINITY), zero = vec_zero();
  y = _mm256_blendv_ps(y, vec_negate(infinity), _mm256_cmp_ps(x, zero, _CMP_EQ_OQ));
  y = _mm256_blendv_ps(y, infinity, _mm256_cmp_ps(x, infinity, _CMP_EQ_OQ));
  return _mm256_blendv_ps(y, vec_set(NAN), _mm256_cmp_ps(x, zero, _CMP_NGE_UQ));
}

#endif

/* The method is that of vec_one_plus_exp. */
INLINE vec vec_exp(vec x) {
  const vec table = vec_load(vec_powers), magic = vec_set(12582912.0f / PLEAT_LANES);
  const vec factor = vec_set(1.44269504f), rest = vec_set(1.92596303e-8f); /* of log2(e) */
  x = vec_max(vec_set(-104), vec_min(vec_set(89), x));
  const vec t = vec_fma(x, factor, magic);
  const vec r = vec_fma(x, rest, vec_fms(x, factor, vec_sub(t, magic)));
  vec q = vec_set(5.55041087e-2f);
  if (PLEAT_LANES < 16) q = vec_fma(r, vec_set(9.61812911e-3f), q);
  q = vec_fma(q, r, vec_set(2.40226507e-1f));
  q = vec_fma(q, r, vec_set(6.93147181e-1f));
  const vec power = vec_lookup(t, table);
  return vec_scale(vec_fma(power, vec_mul(q, r), power), t, magic);
}

/* e^x - 1, exact where x is small: 2^n (e^r - 1) + (2^n - 1), |r| <= log(2) / 2, and so without a table of powers whose
 * rounding would show. -20 below that, and at most 40: what the callers need. */
INLINE vec vec_expm1(vec x) {
  const vec magic = vec_set(12582912.0f);
  x = vec_max(vec_set(-20), vec_min(vec_set(40), x));
  const vec n = vec_sub(vec_fma(x, vec_set(1.44269504f), magic), magic);
  const vec r = vec_fnma(n, vec_set(1.42860677e-6f), vec_fnma(n, vec_set(6.93145752e-1f), x));
  vec q = vec_set(1.98458802e-4f);
  q = vec_fma(q, r, vec_set(1.39406684e-3f));
  q = vec_fma(q, r, vec_set(8.33338965e-3f));
  q = vec_fma(q, r, vec_set(4.16663587e-2f));
  q = vec_fma(q, r, vec_set(1.66666657e-1f));
  q = vec_fma(q, r, vec_set(0.5f));
  const vec power = vec_power(n), small = vec_fma(vec_mul(r, r), q, r);
  return vec_fma(power, small, vec_sub(power, vec_set(1)));
}

/* log(m) = f - f^2 / 2 + f^3 P(f), f = m - 1. */
INLINE vec vec_log(vec x) {
  vec e;
  const vec f = vec_sub(vec_split(x, &e), vec_set(1)), square = vec_mul(f, f);
  vec p = vec_set(-4.50744666e-2f);
  p = vec_fma(p, f, vec_set(1.04629956e-1f));
  p = vec_fma(p, f, vec_set(-1.31611958e-1f));
  p = vec_fma(p, f, vec_set(1.44784003e-1f));
  p = vec_fma(p, f, vec_set(-1.66473120e-1f));
  p = vec_fma(p, f, vec_set(1.99908614e-1f));
  p = vec_fma(p, f, vec_set(-2.50000954e-1f));
  p = vec_fma(p, f, vec_set(3.33334506e-1f));
  p = vec_fma(vec_mul(square, f), p, vec_mul(e, vec_set(1.42860677e-6f)));
  p = vec_add(vec_fnma(square, vec_set(0.5f), p), f);
  return vec_log_limits(x, vec_fma(e, vec_set(6.93145752e-1f), p));
}

/* erf(x) = x * P(|x|), by a polynomial for each of as many intervals of [0, 4] as there are lanes, around its middle;
 * a row here has one coefficient of all of them. */
static const float vec_erf_table[][PLEAT_LANES] = {
#if PLEAT_LANES == 16
    {1.12252963f, 1.07764506f, 0.997185409f, 0.896085799f, 0.789678454f, 0.689578235f, 0.602119207f, 0.529061377f,
     0.469339281f, 0.420722961f, 0.380874157f, 0.347809434f, 0.319996834f, 0.296295762f, 0.275861979f, 0.258064508f},
    {-0.0931549445f, -0.259446084f, -0.373897403f, -0.424389422f, -0.419026196f, -0.377613425f, -0.32101351f,
     -0.264274955f, -0.215058103f, -0.175459579f, -0.144657627f, -0.120876245f, -0.102378264f, -0.0877875611f,
     -0.0760992467f, -0.0665972009f},
    {-0.365642309f, -0.288495272f, -0.16526486f, -0.0397309475f, 0.0541918091f, 0.104267411f, 0.117074728f,
     0.107401393f, 0.0888634846f, 0.069871515f, 0.0539598949f, 0.0417536981f, 0.0326962695f, 0.0259983577f,
     0.020990666f, 0.0171860252f},
    {0.0553772375f, 0.142984897f, 0.17534402f, 0.151600838f, 0.0962298885f, 0.0390333869f, -0.00137376762f,
     -0.0213114228f, -0.0262708496f, -0.0236383229f, -0.018693205f, -0.0140004568f, -0.0103348251f, -0.00767579395f,
     -0.00578537956f, -0.00443425542f},
    {0.106054433f, 0.0626983568f, 0.00198034174f, -0.0444001444f, -0.0603374988f, -0.0504389629f, -0.0297867022f,
     -0.0112713967f, -0.000127361098f, 0.00437602447f, 0.00504130777f, 0.00421293033f, 0.00313142198f, 0.00223550061f,
     0.00158987381f, 0.00114451093f},
    {-0.019444203f, -0.0462021232f, -0.046420332f, -0.0255043171f, -0.000650146161f, 0.0143846488f, 0.0168994498f,
     0.0120439464f, 0.00591294374f, 0.00167795364f, -0.000305615802f, -0.00086371525f, -0.00081475859f,
     -0.000612894655f, -0.000427390245f, -0.000293173856f},
#else
    {1.10530555f, 0.948207498f, 0.738320112f, 0.563812375f, 0.44379434f, 0.363599777f, 0.307690978f, 0.266666651f},
    {-0.181165725f, -0.407035261f, -0.40143919f, -0.292021364f, -0.194067568f, -0.132004902f, -0.0946651697f,
     -0.071110867f},
    {-0.33535105f, -0.100217618f, 0.0846301988f, 0.114094429f, 0.079109937f, 0.0474154986f, 0.0290985536f,
     0.0189620163f},
    {0.104721531f, 0.16934137f, 0.0663245991f, -0.0136782909f, -0.0255046375f, -0.0162382256f, -0.00889315084f,
     -0.00505441241f},
    {0.0890217423f, -0.0248549487f, -0.0579850674f, -0.0196768697f, 0.00285376492f, 0.00472083129f, 0.00264831912f,
     0.00134414213f},
    {-0.0359203555f, -0.0378187001f, 0.00863739196f, 0.0150252869f, 0.00346965366f, -0.000714332913f, -0.000718379626f,
     -0.000353552663f},
    {-0.0180229135f, 0.0141452467f, 0.0100736329f, -0.00330803986f, -0.00282949838f, -0.000363222061f, 0.000136361559f,
     8.94037003e-05f},
    {0.00868130382f, 0.00501005212f, -0.00504974369f, -0.0014943335f, 0.000935071788f, 0.000362871535f, 1.1579029e-05f,
     -1.92436619e-05f},
#endif
};

INLINE vec vec_erf(vec x) {
  enum { LAST = sizeof vec_erf_table / sizeof *vec_erf_table - 1 };
  const vec magic = vec_set(12582912.0f * 4 / PLEAT_LANES);
  const vec size = vec_min(vec_set(3.99999f), vec_abs(x)), shifted = vec_sub(size, vec_set(2.0f / PLEAT_LANES));
  const vec t = vec_add(shifted, magic); /* rounded to the interval's number, in the lowest bits */
  const vec u = vec_sub(shifted, vec_sub(t, magic));
  vec p = vec_lookup(t, vec_load(vec_erf_table[LAST]));
  UNROLL for (int i = LAST - 1; i >= 0; i--) p = vec_fma(p, u, vec_lookup(t, vec_load(vec_erf_table[i])));
  return vec_signed(vec_min(vec_set(1), vec_mul(size, p)), x);
}

#endif

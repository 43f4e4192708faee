/* The floating-point formats of 16, 8 and 4 bits: codecs for one element, and branch-free ones that vectorise. */
#ifndef PLEAT_CORE_SMALL_FLOAT_H
#define PLEAT_CORE_SMALL_FLOAT_H

#include <string.h>

#include "core/dtype.h"

/* The code of `value` in `dtype` (FLOAT16, BFLOAT16, any FLOAT8, FLOAT4E2M1), rounded once, to nearest even. `options`
 * (not NULL) say what becomes of values out of range of a FLOAT8 and how FLOAT8E8M0 rounds. */
uint16_t pleat_small_float_encode(pleat_dtype dtype, double value, const pleat_convert_options *options);

/* The value of a code: exact. */
double pleat_small_float_decode(pleat_dtype dtype, uint16_t code);

static inline uint32_t pleat_float_bits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}
static inline float pleat_float_of_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* Normal halves are scaled by a multiplication, denormal ones come out of a subtraction of 0.5 (both exact), and a
 * select takes the right one. Source of the method: M. Dukhan, FP16 (github.com/Maratyszcza/FP16). */
static inline float pleat_f16_to_f32_inline(uint16_t half) {
  const uint32_t sign = (uint32_t)(half & 0x8000u) << 16, magnitude = half & 0x7fffu;
  const float normal = pleat_float_of_bits((magnitude << 13) + (0xe0u << 23)) * 0x1p-112f;
  const float denormal = pleat_float_of_bits(magnitude | (126u << 23)) - 0.5f;
  const float value = magnitude < 0x0400u ? denormal : normal;
  return pleat_float_of_bits(pleat_float_bits(value) | sign);
}

/* The addition of a power of two of the right size makes the FPU do the rounding to nearest even: 2^13 units of the
 * float's last place, or the half's smallest denormal. Overflow becomes infinity by scaling up and down again. Every
 * NaN becomes the quiet one of its sign. */
static inline uint16_t pleat_f32_to_f16_inline(float value) {
  const uint32_t bits = pleat_float_bits(value), sign = bits & 0x80000000u, magnitude = bits & 0x7fffffffu;
  const float scaled = (pleat_float_of_bits(magnitude) * 0x1p+112f) * 0x1p-110f;
  const uint32_t exponent = magnitude & 0x7f800000u;
  const uint32_t base = (exponent < 0x38800000u ? 0x38800000u : exponent) + 0x07800000u;
  const uint32_t rounded = pleat_float_bits(pleat_float_of_bits(base) + scaled);
  const uint32_t code = (rounded >> 13 & 0x7c00u) + (rounded & 0x0fffu);
  return (uint16_t)(sign >> 16 | (magnitude > 0x7f800000u ? 0x7e00u : code));
}

static inline uint16_t pleat_f32_to_bf16_inline(float value) {
  const uint32_t bits = pleat_float_bits(value);
  const uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? (bits >> 16 & 0x8000u) | 0x7fc0u : rounded);
}

#endif

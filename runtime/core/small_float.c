/* Codecs of the floating-point formats below 32 bits, described by one table.
 *
 * All but FLOAT8E8M0 are sign, exponent, mantissa with gradual underflow, so their codes without sign ascend with the
 * value: rounding is done on the code, carries run into the exponent by themselves, and overflow is a comparison with
 * the largest finite code. Encoding starts from a double, which holds every source value exactly: one rounding.
 * Sources: IEEE 754-2019; Micikevicius et al., "FP8 Formats for Deep Learning" (2022); Noune et al. (2022) for the FNUZ
 * formats; OCP Microscaling Formats v1.0; the tables of ONNX's Cast-25. */
#include "core/small_float.h"

#include <assert.h>
#include <math.h>

typedef struct format {
  unsigned char bits, mantissa;
  unsigned char bias;
  bool fnuz;          /* no infinity, no negative zero: that code is the NaN */
  uint16_t max;       /* largest finite code */
  uint16_t overflow;  /* what a value beyond that becomes: infinity or NaN */
  uint16_t nan;       /* the NaN that is made; for FLOAT4E2M1, which has none, what takes its place */
  bool may_saturate;  /* overflow becomes `max` unless options say no */
  bool always_finite; /* FLOAT4E2M1: overflow always becomes `max` */
} format;

static const format formats[PLEAT_DTYPE_COUNT] = {
    [PLEAT_FLOAT16] = {16, 10, 15, false, 0x7bff, 0x7c00, 0x7e00, false, false},
    [PLEAT_BFLOAT16] = {16, 7, 127, false, 0x7f7f, 0x7f80, 0x7fc0, false, false},
    [PLEAT_FLOAT8E4M3FN] = {8, 3, 7, false, 0x7e, 0x7f, 0x7f, true, false},
    [PLEAT_FLOAT8E4M3FNUZ] = {8, 3, 8, true, 0x7f, 0x80, 0x80, true, false},
    [PLEAT_FLOAT8E5M2] = {8, 2, 15, false, 0x7b, 0x7c, 0x7e, true, false},
    [PLEAT_FLOAT8E5M2FNUZ] = {8, 2, 16, true, 0x7f, 0x80, 0x80, true, false},
    [PLEAT_FLOAT4E2M1] = {4, 1, 1, false, 0x7, 0x7, 0x8, false, true},
};

enum { DOUBLE_MANTISSA = 52, DOUBLE_BIAS = 1023, E8M0_BIAS = 127, E8M0_MAX = 0xfe, E8M0_NAN = 0xff };
#define DOUBLE_MANTISSA_MASK ((UINT64_C(1) << DOUBLE_MANTISSA) - 1)

static uint64_t double_bits(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

/* Shifts right, rounding to nearest even. */
static uint64_t shift_round(uint64_t value, unsigned shift) {
  uint64_t half = UINT64_C(1) << (shift - 1);
  return (value + (half - 1) + (value >> shift & 1)) >> shift;
}

/* The code of a finite magnitude in a format whose exponent has no upper end. */
static uint64_t magnitude_code(const format *f, uint64_t bits) {
  int exponent = (int)(bits >> DOUBLE_MANTISSA) - DOUBLE_BIAS + f->bias;
  uint64_t mantissa = bits & DOUBLE_MANTISSA_MASK;
  unsigned shift = DOUBLE_MANTISSA - f->mantissa;
  if (exponent >= 1) return shift_round((uint64_t)exponent << DOUBLE_MANTISSA | mantissa, shift);
  /* A denormal of the format; far below its smallest one all is 0, doubles' own denormals among it. */
  shift += 1 - (unsigned)exponent;
  if (shift > DOUBLE_MANTISSA + 1) return 0;
  return shift_round(mantissa | UINT64_C(1) << DOUBLE_MANTISSA, shift);
}

static uint16_t encode_e8m0(double value, const pleat_convert_options *options) {
  const double magnitude = fabs(value); /* ONNX leaves negative values open */
  if (isnan(value)) return E8M0_NAN;
  if (options->no_saturate && (magnitude < 0x1p-127 || magnitude > 0x1p+127)) return E8M0_NAN;
  if (magnitude >= 0x1p+127) return E8M0_MAX;
  if (magnitude <= 0x1p-127) return 0;
  uint64_t bits = double_bits(magnitude), fraction = bits & DOUBLE_MANTISSA_MASK;
  int code = (int)(bits >> DOUBLE_MANTISSA) - DOUBLE_BIAS + E8M0_BIAS;
  switch (options->round_mode) {
  case PLEAT_ROUND_DOWN:
    break;
  case PLEAT_ROUND_UP:
    code += fraction != 0;
    break;
  case PLEAT_ROUND_NEAREST:
    code += fraction >= UINT64_C(1) << (DOUBLE_MANTISSA - 1);
    break; /* ties go up */
  }
  return (uint16_t)code;
}

uint16_t pleat_small_float_encode(pleat_dtype dtype, double value, const pleat_convert_options *options) {
  if (dtype == PLEAT_FLOAT8E8M0) return encode_e8m0(value, options);
  const format *f = &formats[dtype];
  assert(f->bits != 0);
  uint64_t bits = double_bits(value), magnitude = bits & (UINT64_MAX >> 1);
  uint16_t sign = (uint16_t)(bits >> 63 << (f->bits - 1));
  if (isnan(value)) return f->nan | sign;
  uint64_t code = isinf(value) ? UINT64_MAX : magnitude_code(f, magnitude);
  if (code == 0 && f->fnuz) return 0;
  if (code <= f->max) return (uint16_t)code | sign;
  bool saturate = f->always_finite || (f->may_saturate && !options->no_saturate);
  return (saturate ? f->max : f->overflow) | sign;
}

double pleat_small_float_decode(pleat_dtype dtype, uint16_t code) {
  if (dtype == PLEAT_FLOAT8E8M0) return code == E8M0_NAN ? NAN : ldexp(1.0, (int)code - E8M0_BIAS);
  const format *f = &formats[dtype];
  assert(f->bits != 0);
  uint16_t sign_bit = (uint16_t)(1u << (f->bits - 1)), magnitude = code & (uint16_t)(sign_bit - 1);
  bool negative = (code & sign_bit) != 0;
  if (f->fnuz && code == f->nan) return -(double)NAN; /* its bits are those of a negative zero */
  double value;
  if (magnitude <= f->max) {
    int exponent = magnitude >> f->mantissa;
    int mantissa = magnitude & ((1 << f->mantissa) - 1);
    if (exponent == 0) exponent = 1;
    else mantissa |= 1 << f->mantissa;
    value = ldexp((double)mantissa, exponent - f->bias - f->mantissa);
  } else {
    value = magnitude == f->overflow && f->overflow != f->nan ? HUGE_VAL : (double)NAN;
  }
  return negative ? -value : value;
}

float pleat_f16_to_f32(uint16_t half) {
  return pleat_f16_to_f32_inline(half);
}

uint16_t pleat_f32_to_f16(float value) {
  return pleat_f32_to_f16_inline(value);
}

uint16_t pleat_f64_to_f16(double value) {
  return pleat_small_float_encode(PLEAT_FLOAT16, value, &(pleat_convert_options){0});
}

uint16_t pleat_f32_to_bf16(float value) {
  return pleat_f32_to_bf16_inline(value);
}

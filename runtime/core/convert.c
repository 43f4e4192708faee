/* Conversion of element arrays between any two types but STRING, by the rules of ONNX's Cast.
 *
 * The general way goes through blocks of doubles, which hold every value of every float type exactly, or of int64 when
 * both sides are integers, where wrapping modulo 2^64 makes signedness irrelevant. Integers of 64 bits that become a
 * narrower float are first rounded to odd in the double, so that they are rounded once in effect (Boldo, Melquiond:
 * "Emulation of FMA and correctly rounded sums", 2008). Pairs that models use all the time have loops of their own. */
#include <assert.h>
#include <string.h>

#include "core/dtype.h"
#include "core/small_float.h"

enum { BLOCK = 512 }; /* elements; 4 KiB of doubles stay in L1 */

static const pleat_convert_options default_options = {false, PLEAT_ROUND_UP};

#define FOR_NARROW_INTS(X)                                                                                             \
  X(PLEAT_UINT8, uint8_t)                                                                                              \
  X(PLEAT_INT8, int8_t)                                                                                                \
  X(PLEAT_UINT16, uint16_t)                                                                                            \
  X(PLEAT_INT16, int16_t)                                                                                              \
  X(PLEAT_INT32, int32_t)                                                                                              \
  X(PLEAT_UINT32, uint32_t)                                                                                            \
  X(PLEAT_UINT4, uint8_t)                                                                                              \
  X(PLEAT_INT4, int8_t)                                                                                                \
  X(PLEAT_UINT2, uint8_t)                                                                                              \
  X(PLEAT_INT2, int8_t)

#define LOAD_CASE(dtype, T, expression)                                                                                \
  case dtype: {                                                                                                        \
    const T *src = (const T *)data + at;                                                                               \
    for (size_t i = 0; i < n; i++) out[i] = (expression);                                                              \
    break;                                                                                                             \
  }
#define STORE_CASE(dtype, T, expression)                                                                               \
  case dtype: {                                                                                                        \
    T *dst = (T *)data + at;                                                                                           \
    for (size_t i = 0; i < n; i++) dst[i] = (T)(expression);                                                           \
    break;                                                                                                             \
  }

/* ---- through doubles ---- */

static void load_doubles(pleat_dtype dtype, const void *data, size_t at, size_t n, double *out) {
#define LOAD_INT(dtype, T)   LOAD_CASE(dtype, T, (double)src[i])
#define LOAD_SMALL(dtype, T) LOAD_CASE(dtype, T, pleat_small_float_decode(dtype, src[i]))
  switch (dtype) {
    FOR_NARROW_INTS(LOAD_INT)
    LOAD_INT(PLEAT_INT64, int64_t)
    LOAD_INT(PLEAT_UINT64, uint64_t)
    LOAD_CASE(PLEAT_BOOL, uint8_t, src[i] != 0)
    LOAD_CASE(PLEAT_FLOAT, float, (double)src[i])
    LOAD_CASE(PLEAT_DOUBLE, double, src[i])
    LOAD_CASE(PLEAT_FLOAT16, uint16_t, (double)pleat_f16_to_f32_inline(src[i]))
    LOAD_CASE(PLEAT_BFLOAT16, uint16_t, (double)pleat_bf16_to_f32(src[i]))
    LOAD_SMALL(PLEAT_FLOAT8E4M3FN, uint8_t)
    LOAD_SMALL(PLEAT_FLOAT8E4M3FNUZ, uint8_t)
    LOAD_SMALL(PLEAT_FLOAT8E5M2, uint8_t)
    LOAD_SMALL(PLEAT_FLOAT8E5M2FNUZ, uint8_t)
    LOAD_SMALL(PLEAT_FLOAT8E8M0, uint8_t)
    LOAD_SMALL(PLEAT_FLOAT4E2M1, uint8_t)
  case PLEAT_COMPLEX64:
    for (size_t i = 0; i < n; i++) out[i] = (double)((const float *)data)[2 * (at + i)];
    break;
  case PLEAT_COMPLEX128:
    for (size_t i = 0; i < n; i++) out[i] = ((const double *)data)[2 * (at + i)];
    break;
  default:
    assert(!"a type with elements that are numbers");
  }
}

/* A double with the sign and about the size of a 64-bit integer: exact below 2^53, else cut off with the last kept bit
 * set when anything was cut. Rounding that to 24 bits or fewer gives what rounding the integer would. */
static double odd_double(uint64_t magnitude, bool negative) {
  if (magnitude >> 53 != 0) {
    uint64_t cut = magnitude & 0x7ff;
    magnitude -= cut;
    if (cut != 0) magnitude |= 0x800;
  }
  return negative ? -(double)magnitude : (double)magnitude;
}

static void load_odd_doubles(pleat_dtype dtype, const void *data, size_t at, size_t n, double *out) {
  switch (dtype) {
    LOAD_CASE(PLEAT_INT64, int64_t, odd_double(src[i] < 0 ? 0 - (uint64_t)src[i] : (uint64_t)src[i], src[i] < 0))
    LOAD_CASE(PLEAT_UINT64, uint64_t, odd_double(src[i], false))
  default:
    load_doubles(dtype, data, at, n, out);
  }
}

/* Truncation to an integer of at most 32 bits: NaN gives 0, what is out of range the nearest end. */
#define CLAMPED(value, low, high)                                                                                      \
  ((value) != (value) ? 0.0 : (value) < (low) ? (low) : (value) > (high) ? (high) : (value))

static int64_t to_int64(double value) {
  if (value != value) return 0;
  if (value >= 0x1p63) return INT64_MAX;
  return value <= -0x1p63 ? INT64_MIN : (int64_t)value;
}

static uint64_t to_uint64(double value) {
  if (!(value > 0)) return 0; /* NaN too */
  return value >= 0x1p64 ? UINT64_MAX : (uint64_t)value;
}

/* The low `bits` bits, sign-extended or not: the types below 8 bits wrap, also when they come from floats (so do the
 * vectors of ONNX's test_cast_FLOAT_to_INT4 and its kin). */
static int8_t wrap_signed(int64_t value, unsigned bits) {
  unsigned sign = 1u << (bits - 1), low = (unsigned)((uint64_t)value & ((1u << bits) - 1));
  return (int8_t)((int)(low ^ sign) - (int)sign);
}

static void store_doubles(pleat_dtype dtype, void *data, size_t at, size_t n, const double *in,
                          const pleat_convert_options *options) {
#define STORE_SMALL(dtype, T) STORE_CASE(dtype, T, pleat_small_float_encode(dtype, in[i], options))
  switch (dtype) {
    STORE_CASE(PLEAT_FLOAT, float, in[i])
    STORE_CASE(PLEAT_DOUBLE, double, in[i])
    STORE_CASE(PLEAT_INT8, int8_t, CLAMPED(in[i], -128.0, 127.0))
    STORE_CASE(PLEAT_UINT8, uint8_t, CLAMPED(in[i], 0.0, 255.0))
    STORE_CASE(PLEAT_INT16, int16_t, CLAMPED(in[i], -32768.0, 32767.0))
    STORE_CASE(PLEAT_UINT16, uint16_t, CLAMPED(in[i], 0.0, 65535.0))
    STORE_CASE(PLEAT_INT32, int32_t, CLAMPED(in[i], -2147483648.0, 2147483647.0))
    STORE_CASE(PLEAT_UINT32, uint32_t, CLAMPED(in[i], 0.0, 4294967295.0))
    STORE_CASE(PLEAT_INT64, int64_t, to_int64(in[i]))
    STORE_CASE(PLEAT_UINT64, uint64_t, to_uint64(in[i]))
    STORE_CASE(PLEAT_INT4, int8_t, wrap_signed(to_int64(in[i]), 4))
    STORE_CASE(PLEAT_UINT4, uint8_t, to_int64(in[i]) & 0xf)
    STORE_CASE(PLEAT_INT2, int8_t, wrap_signed(to_int64(in[i]), 2))
    STORE_CASE(PLEAT_UINT2, uint8_t, to_int64(in[i]) & 0x3)
    STORE_CASE(PLEAT_BOOL, uint8_t, in[i] != 0)
    STORE_SMALL(PLEAT_FLOAT16, uint16_t)
    STORE_SMALL(PLEAT_BFLOAT16, uint16_t)
    STORE_SMALL(PLEAT_FLOAT8E4M3FN, uint8_t)
    STORE_SMALL(PLEAT_FLOAT8E4M3FNUZ, uint8_t)
    STORE_SMALL(PLEAT_FLOAT8E5M2, uint8_t)
    STORE_SMALL(PLEAT_FLOAT8E5M2FNUZ, uint8_t)
    STORE_SMALL(PLEAT_FLOAT8E8M0, uint8_t)
    STORE_SMALL(PLEAT_FLOAT4E2M1, uint8_t)
  case PLEAT_COMPLEX64:
    for (size_t i = 0; i < n; i++) {
      ((float *)data)[2 * (at + i)] = (float)in[i];
      ((float *)data)[2 * (at + i) + 1] = 0;
    }
    break;
  case PLEAT_COMPLEX128:
    for (size_t i = 0; i < n; i++) {
      ((double *)data)[2 * (at + i)] = in[i];
      ((double *)data)[2 * (at + i) + 1] = 0;
    }
    break;
  default:
    assert(!"a type with elements that are numbers");
  }
}

/* ---- through integers ---- */

static void load_ints(pleat_dtype dtype, const void *data, size_t at, size_t n, int64_t *out) {
#define LOAD_I64(dtype, T) LOAD_CASE(dtype, T, (int64_t)src[i])
  switch (dtype) {
    FOR_NARROW_INTS(LOAD_I64)
    LOAD_I64(PLEAT_INT64, int64_t)
    LOAD_I64(PLEAT_UINT64, uint64_t)
    LOAD_CASE(PLEAT_BOOL, uint8_t, src[i] != 0)
  default:
    assert(!"an integer type or bool");
  }
}

static void store_ints(pleat_dtype dtype, void *data, size_t at, size_t n, const int64_t *in) {
  switch (dtype) {
    STORE_CASE(PLEAT_INT8, int8_t, in[i])
    STORE_CASE(PLEAT_UINT8, uint8_t, in[i])
    STORE_CASE(PLEAT_INT16, int16_t, in[i])
    STORE_CASE(PLEAT_UINT16, uint16_t, in[i])
    STORE_CASE(PLEAT_INT32, int32_t, in[i])
    STORE_CASE(PLEAT_UINT32, uint32_t, in[i])
    STORE_CASE(PLEAT_INT64, int64_t, in[i])
    STORE_CASE(PLEAT_UINT64, uint64_t, in[i])
    STORE_CASE(PLEAT_INT4, int8_t, wrap_signed(in[i], 4))
    STORE_CASE(PLEAT_UINT4, uint8_t, in[i] & 0xf)
    STORE_CASE(PLEAT_INT2, int8_t, wrap_signed(in[i], 2))
    STORE_CASE(PLEAT_UINT2, uint8_t, in[i] & 0x3)
    STORE_CASE(PLEAT_BOOL, uint8_t, in[i] != 0)
  default:
    assert(!"an integer type or bool");
  }
}

/* ---- the frequent pairs ---- */

/* True when there is a loop for this pair, which then has run. The arrays may be the same one: elements of equal size
 * are read before their place is written. */
static bool convert_directly(pleat_dtype from, const void *data_in, pleat_dtype to, void *data_out, size_t n) {
#define PAIR(from, to) ((unsigned)(from)*PLEAT_DTYPE_COUNT + (unsigned)(to))
#define PAIR_CASE(from, S, to, D, expression)                                                                          \
  case PAIR(from, to): {                                                                                               \
    const S *src = data_in;                                                                                            \
    D *dst = data_out;                                                                                                 \
    for (size_t i = 0; i < n; i++) dst[i] = (D)(expression);                                                           \
    return true;                                                                                                       \
  }
  switch (PAIR(from, to)) {
    PAIR_CASE(PLEAT_FLOAT, float, PLEAT_DOUBLE, double, src[i])
    PAIR_CASE(PLEAT_DOUBLE, double, PLEAT_FLOAT, float, src[i])
    PAIR_CASE(PLEAT_INT32, int32_t, PLEAT_FLOAT, float, src[i])
    PAIR_CASE(PLEAT_INT64, int64_t, PLEAT_FLOAT, float, src[i])
    PAIR_CASE(PLEAT_UINT8, uint8_t, PLEAT_FLOAT, float, src[i])
    PAIR_CASE(PLEAT_INT8, int8_t, PLEAT_FLOAT, float, src[i])
    PAIR_CASE(PLEAT_BOOL, uint8_t, PLEAT_FLOAT, float, src[i] != 0)
    PAIR_CASE(PLEAT_FLOAT, float, PLEAT_BOOL, uint8_t, src[i] != 0)
    PAIR_CASE(PLEAT_FLOAT, float, PLEAT_INT32, int32_t, CLAMPED((double)src[i], -2147483648.0, 2147483647.0))
    PAIR_CASE(PLEAT_FLOAT, float, PLEAT_INT64, int64_t, to_int64((double)src[i]))
    PAIR_CASE(PLEAT_FLOAT, float, PLEAT_UINT8, uint8_t, CLAMPED(src[i], 0.0f, 255.0f))
    PAIR_CASE(PLEAT_FLOAT16, uint16_t, PLEAT_FLOAT, float, pleat_f16_to_f32_inline(src[i]))
    PAIR_CASE(PLEAT_FLOAT, float, PLEAT_FLOAT16, uint16_t, pleat_f32_to_f16_inline(src[i]))
    PAIR_CASE(PLEAT_BFLOAT16, uint16_t, PLEAT_FLOAT, float, pleat_bf16_to_f32(src[i]))
    PAIR_CASE(PLEAT_FLOAT, float, PLEAT_BFLOAT16, uint16_t, pleat_f32_to_bf16_inline(src[i]))
    PAIR_CASE(PLEAT_INT64, int64_t, PLEAT_INT32, int32_t, src[i])
    PAIR_CASE(PLEAT_INT32, int32_t, PLEAT_INT64, int64_t, src[i])
  default:
    return false;
  }
}

static bool is_complex(pleat_dtype dtype) {
  return dtype == PLEAT_COMPLEX64 || dtype == PLEAT_COMPLEX128;
}

static bool is_int_or_bool(pleat_dtype dtype) {
  return dtype == PLEAT_BOOL || pleat_dtype_is_int(dtype);
}

void pleat_convert(pleat_dtype src_type, const void *src, pleat_dtype dst_type, void *dst, size_t count,
                   const pleat_convert_options *options) {
  if (count == 0) return;
  if (options == NULL) options = &default_options;
  if (src_type == dst_type) {
    if (src != dst) memcpy(dst, src, count * pleat_dtype_size(src_type));
    return;
  }
  if (is_complex(src_type) && is_complex(dst_type)) { /* parts, as twice as many real numbers */
    src_type = src_type == PLEAT_COMPLEX64 ? PLEAT_FLOAT : PLEAT_DOUBLE;
    dst_type = dst_type == PLEAT_COMPLEX64 ? PLEAT_FLOAT : PLEAT_DOUBLE;
    count *= 2;
  }
  if (convert_directly(src_type, src, dst_type, dst, count)) return;
  const bool by_ints = is_int_or_bool(src_type) && is_int_or_bool(dst_type);
  const bool wide_target = dst_type == PLEAT_DOUBLE || dst_type == PLEAT_COMPLEX128;
  for (size_t at = 0; at < count; at += BLOCK) {
    size_t n = count - at < BLOCK ? count - at : BLOCK;
    if (by_ints) {
      int64_t ints[BLOCK];
      load_ints(src_type, src, at, n, ints);
      store_ints(dst_type, dst, at, n, ints);
      continue;
    }
    double doubles[BLOCK];
    if (wide_target) load_doubles(src_type, src, at, n, doubles);
    else load_odd_doubles(src_type, src, at, n, doubles);
    store_doubles(dst_type, dst, at, n, doubles, options);
  }
}

double pleat_load_f64(pleat_dtype dtype, const void *data, size_t index) {
  double value = 0;
  load_doubles(dtype, data, index, 1, &value);
  return value;
}

int64_t pleat_load_i64(pleat_dtype dtype, const void *data, size_t index) {
  int64_t value = 0;
  if (!is_int_or_bool(dtype)) return to_int64(pleat_load_f64(dtype, data, index));
  load_ints(dtype, data, index, 1, &value);
  return value;
}

void pleat_store_f64(pleat_dtype dtype, void *data, size_t index, double value) {
  store_doubles(dtype, data, index, 1, &value, &default_options);
}

/* Data types: classes, masks, and conversion of elements between any two of them.
 *
 * Sources: ONNX IR specification (TensorProto.DataType), IEEE 754, "FP8 Formats for Deep Learning" (Micikevicius et al.
 * 2022), OCP Microscaling Formats v1.0 (E2M1, E8M0). */
#ifndef PLEAT_CORE_DTYPE_H
#define PLEAT_CORE_DTYPE_H

#include <stdbool.h>

#include "pleat/tensor.h"

typedef uint32_t pleat_dtype_mask; /* bit (1u << dtype) */

#define PLEAT_M(dtype)  (1u << (dtype))
#define PLEAT_M_F32     PLEAT_M(PLEAT_FLOAT)
#define PLEAT_M_F64     PLEAT_M(PLEAT_DOUBLE)
#define PLEAT_M_HALF    (PLEAT_M(PLEAT_FLOAT16) | PLEAT_M(PLEAT_BFLOAT16)) /* run as float, rounded once: see ops.h */
#define PLEAT_M_FLOATS  (PLEAT_M_F32 | PLEAT_M_F64 | PLEAT_M_HALF)
#define PLEAT_M_SINT    (PLEAT_M(PLEAT_INT8) | PLEAT_M(PLEAT_INT16) | PLEAT_M(PLEAT_INT32) | PLEAT_M(PLEAT_INT64))
#define PLEAT_M_UINT    (PLEAT_M(PLEAT_UINT8) | PLEAT_M(PLEAT_UINT16) | PLEAT_M(PLEAT_UINT32) | PLEAT_M(PLEAT_UINT64))
#define PLEAT_M_INTS    (PLEAT_M_SINT | PLEAT_M_UINT)
#define PLEAT_M_NUMBERS (PLEAT_M_FLOATS | PLEAT_M_INTS)
#define PLEAT_M_BOOL    PLEAT_M(PLEAT_BOOL)
#define PLEAT_M_STRING  PLEAT_M(PLEAT_STRING)
#define PLEAT_M_COMPLEX (PLEAT_M(PLEAT_COMPLEX64) | PLEAT_M(PLEAT_COMPLEX128))
#define PLEAT_M_FLOAT8                                                                                                 \
  (PLEAT_M(PLEAT_FLOAT8E4M3FN) | PLEAT_M(PLEAT_FLOAT8E4M3FNUZ) | PLEAT_M(PLEAT_FLOAT8E5M2) |                           \
   PLEAT_M(PLEAT_FLOAT8E5M2FNUZ) | PLEAT_M(PLEAT_FLOAT8E8M0))
#define PLEAT_M_SUBBYTE                                                                                                \
  (PLEAT_M(PLEAT_UINT4) | PLEAT_M(PLEAT_INT4) | PLEAT_M(PLEAT_FLOAT4E2M1) | PLEAT_M(PLEAT_UINT2) | PLEAT_M(PLEAT_INT2))
#define PLEAT_M_ALL 0x07fffffeu

/* Bits of one element as a file stores it: 2, 4, 8, ... 128; 0 for strings and PLEAT_UNDEFINED. */
unsigned pleat_dtype_bits(pleat_dtype dtype);
bool pleat_dtype_is_float(pleat_dtype dtype); /* any floating-point type, complex excluded */
bool pleat_dtype_is_int(pleat_dtype dtype);   /* any integer type, bool excluded */
bool pleat_dtype_is_valid(int64_t number);    /* a number of TensorProto.DataType, UNDEFINED excluded */
/* What the float64 oracle makes of a type: DOUBLE of float, float16 and bfloat16; all others stay. */
static inline pleat_dtype pleat_dtype_promoted(pleat_dtype dtype) {
  return (PLEAT_M(dtype) & (PLEAT_M_F32 | PLEAT_M_HALF)) != 0 ? PLEAT_DOUBLE : dtype;
}
/* How many steps from one representable value to the next lie between `a` and `b`, both rounded to `dtype` first; -0
 * and 0 are one value, infinity is one step beyond the largest number. 0 for types that are none of float, double,
 * float16 and bfloat16, and UINT64_MAX where only one of the two is NaN. */
uint64_t pleat_ulp_distance(pleat_dtype dtype, double a, double b);
/* Bytes that `count` elements take in a file (packed below 8 bits); false on overflow. */
bool pleat_dtype_packed_size(pleat_dtype dtype, size_t count, size_t *out_size);
/* Between packed file storage and one element a byte (types below 8 bits; the low bits come first). */
void pleat_dtype_unpack(pleat_dtype dtype, const void *packed, void *elements, size_t count);
void pleat_dtype_pack(pleat_dtype dtype, const void *elements, void *packed, size_t count);

float pleat_f16_to_f32(uint16_t half);
uint16_t pleat_f32_to_f16(float value); /* round to nearest even, overflow to infinity, NaN stays NaN */
uint16_t pleat_f64_to_f16(double value);
static inline float pleat_bf16_to_f32(uint16_t bits) {
  union {
    uint32_t u;
    float f;
  } pun = {.u = (uint32_t)bits << 16};
  return pun.f;
}
uint16_t pleat_f32_to_bf16(float value); /* round to nearest even */

/* Rounding of FLOAT8E8M0 and saturation of the float8 types, as attributes of ONNX's Cast. */
typedef enum pleat_round_mode { PLEAT_ROUND_UP = 0, PLEAT_ROUND_DOWN = 1, PLEAT_ROUND_NEAREST = 2 } pleat_round_mode;
typedef struct pleat_convert_options {
  bool no_saturate;
  pleat_round_mode round_mode;
} pleat_convert_options;

/* Converts `count` elements of any type but STRING (those are Cast's own work) as ONNX's Cast does: floats to integers
 * truncate towards zero (out of range: saturated, NaN to 0, so that nothing is undefined), integers wrap, anything
 * non-zero is true, complex to real takes the real part. `options` may be NULL. src and dst may be the same array when
 * the types have the same size. */
void pleat_convert(pleat_dtype src_type, const void *src, pleat_dtype dst_type, void *dst, size_t count,
                   const pleat_convert_options *options);

/* One element as a double / as an int64, for any type but STRING. */
double pleat_load_f64(pleat_dtype dtype, const void *data, size_t index);
int64_t pleat_load_i64(pleat_dtype dtype, const void *data, size_t index);
void pleat_store_f64(pleat_dtype dtype, void *data, size_t index, double value);

#endif

/* What is known about the data types, as one table, and the packed storage of those below 8 bits.
 *
 * Source: ONNX IR specification, TensorProto.DataType: several elements share a byte, the first in its low bits. */
#include "core/dtype.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

#include "core/checked.h"

typedef enum type_class { CLASS_OTHER, CLASS_FLOAT, CLASS_SIGNED, CLASS_UNSIGNED } type_class;

static const struct {
  const char *name;
  unsigned char bits, size; /* in a file; in memory, in bytes */
  unsigned char class;
} types[PLEAT_DTYPE_COUNT] = {
    [PLEAT_UNDEFINED] = {"undefined", 0, 0, CLASS_OTHER},
    [PLEAT_FLOAT] = {"float", 32, 4, CLASS_FLOAT},
    [PLEAT_UINT8] = {"uint8", 8, 1, CLASS_UNSIGNED},
    [PLEAT_INT8] = {"int8", 8, 1, CLASS_SIGNED},
    [PLEAT_UINT16] = {"uint16", 16, 2, CLASS_UNSIGNED},
    [PLEAT_INT16] = {"int16", 16, 2, CLASS_SIGNED},
    [PLEAT_INT32] = {"int32", 32, 4, CLASS_SIGNED},
    [PLEAT_INT64] = {"int64", 64, 8, CLASS_SIGNED},
    [PLEAT_STRING] = {"string", 0, sizeof(pleat_string), CLASS_OTHER},
    [PLEAT_BOOL] = {"bool", 8, 1, CLASS_OTHER},
    [PLEAT_FLOAT16] = {"float16", 16, 2, CLASS_FLOAT},
    [PLEAT_DOUBLE] = {"double", 64, 8, CLASS_FLOAT},
    [PLEAT_UINT32] = {"uint32", 32, 4, CLASS_UNSIGNED},
    [PLEAT_UINT64] = {"uint64", 64, 8, CLASS_UNSIGNED},
    [PLEAT_COMPLEX64] = {"complex64", 64, 8, CLASS_OTHER},
    [PLEAT_COMPLEX128] = {"complex128", 128, 16, CLASS_OTHER},
    [PLEAT_BFLOAT16] = {"bfloat16", 16, 2, CLASS_FLOAT},
    [PLEAT_FLOAT8E4M3FN] = {"float8e4m3fn", 8, 1, CLASS_FLOAT},
    [PLEAT_FLOAT8E4M3FNUZ] = {"float8e4m3fnuz", 8, 1, CLASS_FLOAT},
    [PLEAT_FLOAT8E5M2] = {"float8e5m2", 8, 1, CLASS_FLOAT},
    [PLEAT_FLOAT8E5M2FNUZ] = {"float8e5m2fnuz", 8, 1, CLASS_FLOAT},
    [PLEAT_UINT4] = {"uint4", 4, 1, CLASS_UNSIGNED},
    [PLEAT_INT4] = {"int4", 4, 1, CLASS_SIGNED},
    [PLEAT_FLOAT4E2M1] = {"float4e2m1", 4, 1, CLASS_FLOAT},
    [PLEAT_FLOAT8E8M0] = {"float8e8m0", 8, 1, CLASS_FLOAT},
    [PLEAT_UINT2] = {"uint2", 2, 1, CLASS_UNSIGNED},
    [PLEAT_INT2] = {"int2", 2, 1, CLASS_SIGNED},
};

static bool in_table(pleat_dtype dtype) {
  return (unsigned)dtype < PLEAT_DTYPE_COUNT;
}

const char *pleat_dtype_name(pleat_dtype dtype) {
  return types[in_table(dtype) ? dtype : PLEAT_UNDEFINED].name;
}

size_t pleat_dtype_size(pleat_dtype dtype) {
  return in_table(dtype) ? types[dtype].size : 0;
}

unsigned pleat_dtype_bits(pleat_dtype dtype) {
  return in_table(dtype) ? types[dtype].bits : 0;
}

bool pleat_dtype_is_float(pleat_dtype dtype) {
  return in_table(dtype) && types[dtype].class == CLASS_FLOAT;
}

bool pleat_dtype_is_int(pleat_dtype dtype) {
  return in_table(dtype) && (types[dtype].class == CLASS_SIGNED || types[dtype].class == CLASS_UNSIGNED);
}

bool pleat_dtype_is_valid(int64_t number) {
  return number > PLEAT_UNDEFINED && number < PLEAT_DTYPE_COUNT;
}

bool pleat_dtype_packed_size(pleat_dtype dtype, size_t count, size_t *out_size) {
  unsigned bits = pleat_dtype_bits(dtype);
  *out_size = 0;
  if (bits == 0) return false;
  if (bits >= CHAR_BIT) return pleat_mul_size(count, bits / CHAR_BIT, out_size);
  unsigned per_byte = CHAR_BIT / bits;
  *out_size = count / per_byte + (count % per_byte != 0);
  return true;
}

void pleat_dtype_unpack(pleat_dtype dtype, const void *packed, void *elements, size_t count) {
  unsigned bits = pleat_dtype_bits(dtype);
  assert(bits != 0);
  if (bits >= CHAR_BIT) {
    if (count > 0) memcpy(elements, packed, count * pleat_dtype_size(dtype));
    return;
  }
  const unsigned char *from = packed;
  unsigned char *to = elements;
  unsigned per_byte = CHAR_BIT / bits, mask = (1u << bits) - 1;
  unsigned sign = types[dtype].class == CLASS_SIGNED ? 1u << (bits - 1) : 0;
  for (size_t i = 0; i < count; i++) {
    unsigned value = from[i / per_byte] >> (i % per_byte * bits) & mask;
    to[i] = (unsigned char)((value ^ sign) - sign); /* extends the sign */
  }
}

void pleat_dtype_pack(pleat_dtype dtype, const void *elements, void *packed, size_t count) {
  unsigned bits = pleat_dtype_bits(dtype);
  assert(bits != 0);
  if (bits >= CHAR_BIT) {
    if (count > 0) memcpy(packed, elements, count * pleat_dtype_size(dtype));
    return;
  }
  const unsigned char *from = elements;
  unsigned char *to = packed;
  unsigned per_byte = CHAR_BIT / bits, mask = (1u << bits) - 1;
  for (size_t i = 0; i < count; i += per_byte) {
    unsigned byte = 0;
    for (unsigned k = 0; k < per_byte && i + k < count; k++) byte |= (from[i + k] & mask) << (k * bits);
    to[i / per_byte] = (unsigned char)byte;
  }
}

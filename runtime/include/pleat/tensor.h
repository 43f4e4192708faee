/* Tensors: the data that goes into a model and comes out of it.
 *
 * A pleat_tensor is reference counted. It holds a dense, row-major array of one ONNX data type, or, for the ONNX
 * sequence and optional types, a list of such tensors. Tensors are not locked: one may be read by several threads at
 * once as long as none writes. */
#ifndef PLEAT_TENSOR_H
#define PLEAT_TENSOR_H

#include <stdbool.h>

#include "pleat/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ONNX data types, numbered as in TensorProto.DataType. In memory every element of a type below 8 bits (4-bit and
 * 2-bit types) takes one byte: sign-extended for the signed ones, the bit pattern in the low bits for FLOAT4E2M1. */
typedef enum pleat_dtype {
  PLEAT_UNDEFINED = 0,
  PLEAT_FLOAT = 1,
  PLEAT_UINT8 = 2,
  PLEAT_INT8 = 3,
  PLEAT_UINT16 = 4,
  PLEAT_INT16 = 5,
  PLEAT_INT32 = 6,
  PLEAT_INT64 = 7,
  PLEAT_STRING = 8,
  PLEAT_BOOL = 9,
  PLEAT_FLOAT16 = 10,
  PLEAT_DOUBLE = 11,
  PLEAT_UINT32 = 12,
  PLEAT_UINT64 = 13,
  PLEAT_COMPLEX64 = 14,
  PLEAT_COMPLEX128 = 15,
  PLEAT_BFLOAT16 = 16,
  PLEAT_FLOAT8E4M3FN = 17,
  PLEAT_FLOAT8E4M3FNUZ = 18,
  PLEAT_FLOAT8E5M2 = 19,
  PLEAT_FLOAT8E5M2FNUZ = 20,
  PLEAT_UINT4 = 21,
  PLEAT_INT4 = 22,
  PLEAT_FLOAT4E2M1 = 23,
  PLEAT_FLOAT8E8M0 = 24,
  PLEAT_UINT2 = 25,
  PLEAT_INT2 = 26,
  PLEAT_DTYPE_COUNT = 27
} pleat_dtype;

/* What a value of the graph is. */
typedef enum pleat_kind {
  PLEAT_KIND_TENSOR = 0,
  PLEAT_KIND_SEQUENCE = 1, /* items: any number of tensors */
  PLEAT_KIND_OPTIONAL = 2, /* items: none, or one */
  PLEAT_KIND_OTHER = 3     /* maps and sparse tensors: described, not run */
} pleat_kind;

enum { PLEAT_MAX_RANK = 16 }; /* a documented limit; ONNX itself states none */

/* One element of a PLEAT_STRING tensor: bytes, not terminated. */
typedef struct pleat_string {
  const char *data;
  size_t size;
} pleat_string;

typedef struct pleat_tensor pleat_tensor;

/* ---- data types ---- */

/* The type's name as ONNX's text form spells it in lower case: "float", "int64", "float8e4m3fn". "undefined" when it is
 * none. */
PLEAT_API const char *pleat_dtype_name(pleat_dtype dtype);

/* Bytes of one element in memory (see pleat_dtype); 0 for PLEAT_UNDEFINED. PLEAT_STRING: sizeof(pleat_string). */
PLEAT_API size_t pleat_dtype_size(pleat_dtype dtype);

/* ---- making tensors ---- */

/* A zero-filled tensor of `rank` (0..PLEAT_MAX_RANK) dimensions, aligned to 64 bytes. Errors: INVALID_ARGUMENT for a
 * bad type, rank or negative dimension; OUT_OF_MEMORY, also when the size overflows. */
PLEAT_API pleat_status pleat_tensor_create(pleat_dtype dtype, int rank, const int64_t *dims, pleat_tensor **out_tensor,
                                           pleat_error *error);

/* A tensor over the caller's memory of `size` bytes, which must be the exact size and aligned for the type. It is not
 * copied; `release(user, data)`, when not NULL, is called once when the last reference goes. */
PLEAT_API pleat_status pleat_tensor_wrap(pleat_dtype dtype, int rank, const int64_t *dims, void *data, size_t size,
                                         void (*release)(void *user, void *data), void *user, pleat_tensor **out_tensor,
                                         pleat_error *error);

/* A PLEAT_STRING tensor; the strings are copied. */
PLEAT_API pleat_status pleat_tensor_create_strings(int rank, const int64_t *dims, const pleat_string *strings,
                                                   pleat_tensor **out_tensor, pleat_error *error);

/* A sequence (or, with kind PLEAT_KIND_OPTIONAL and 0 or 1 items, an optional) of tensors, each of which is retained.
 * An item may itself be a sequence. */
PLEAT_API pleat_status pleat_tensor_create_list(pleat_kind kind, pleat_tensor *const *items, size_t count,
                                                pleat_tensor **out_tensor, pleat_error *error);

/* How pleat_tensor_make_up() fills a tensor. */
typedef enum pleat_fill_kind { PLEAT_FILL_RANDOM = 0, PLEAT_FILL_ZEROS = 1, PLEAT_FILL_ONES = 2 } pleat_fill_kind;

/* A new tensor of any type with made-up values. PLEAT_FILL_RANDOM: floats k * 2^-24 with k uniform in [0, 2^24)
 * (rounded to the type), integers uniform in 0..9 (what fits of it: 0..7 below 8 bits, 0..1 below 4), booleans, strings
 * "0".."9". The same `seed`, `name` (of an input, say) and shape give the same values on every machine: xoshiro256**,
 * its state filled by splitmix64 from the seed xor the FNV-1a hash of `name`, so that inputs differ. */
PLEAT_API pleat_status pleat_tensor_make_up(pleat_fill_kind fill, uint64_t seed, const char *name, pleat_dtype dtype,
                                            int rank, const int64_t *dims, pleat_tensor **out_tensor,
                                            pleat_error *error);

/* Reads a serialized ONNX TensorProto (or SequenceProto / OptionalProto, as the `expect` kind says) from a file, as in
 * the ONNX test-directory layout. */
PLEAT_API pleat_status pleat_tensor_load_pb(const char *path, pleat_kind expect, pleat_tensor **out_tensor,
                                            pleat_error *error);

/* Writes a tensor as a serialized TensorProto named `name`, atomically. */
PLEAT_API pleat_status pleat_tensor_save_pb(const pleat_tensor *tensor, const char *name, const char *path,
                                            pleat_error *error);

/* A new tensor of type `dtype` with the same shape, every element converted as ONNX's Cast does. */
PLEAT_API pleat_status pleat_tensor_cast(const pleat_tensor *tensor, pleat_dtype dtype, pleat_tensor **out_tensor,
                                         pleat_error *error);

PLEAT_API pleat_tensor *pleat_tensor_retain(pleat_tensor *tensor);
PLEAT_API void pleat_tensor_release(pleat_tensor *tensor); /* NULL is accepted */

/* ---- reading tensors ---- */

PLEAT_API pleat_kind pleat_tensor_kind(const pleat_tensor *tensor);
PLEAT_API pleat_dtype pleat_tensor_dtype(const pleat_tensor *tensor);
PLEAT_API int pleat_tensor_rank(const pleat_tensor *tensor);
PLEAT_API const int64_t *pleat_tensor_dims(const pleat_tensor *tensor);
PLEAT_API size_t pleat_tensor_count(const pleat_tensor *tensor); /* number of elements, or of items of a list */
PLEAT_API size_t pleat_tensor_bytes(const pleat_tensor *tensor); /* bytes of the element array */
PLEAT_API void *pleat_tensor_data(pleat_tensor *tensor);         /* NULL for a list and for an empty tensor */
PLEAT_API const void *pleat_tensor_const_data(const pleat_tensor *tensor);
PLEAT_API pleat_tensor *pleat_tensor_item(const pleat_tensor *list, size_t index); /* borrowed; NULL past the end */

#ifdef __cplusplus
}
#endif
#endif

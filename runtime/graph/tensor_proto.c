/* Between TensorProto (and SequenceProto, OptionalProto, SparseTensorProto) and pleat_tensor.
 *
 * A message keeps its elements as raw bytes, in another file, or in the typed field that belongs to its data type
 * (`stores` below). Their number is checked against the shape before anything is allocated, so a message cannot ask for
 * more memory than it has data. Only sparse tensors can grow; a dense one of more than 2 GiB is refused.
 *
 * Source: ONNX IR specification, TensorProto, SparseTensorProto. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/error.h"
#include "core/tensor.h"
#include "graph/model.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "raw_data is little-endian, and is copied as it is: big-endian machines are not supported"
#endif

/* ---- reading: typed fields ---- */

typedef enum store {
  STORE_NONE,
  STORE_FLOAT,
  STORE_INT32,
  STORE_INT64,
  STORE_DOUBLE,
  STORE_UINT64,
  STORE_STRING
} store;

/* The field of TensorProto that holds a data type when its raw_data does not. */
static const uint8_t stores[PLEAT_DTYPE_COUNT] = {
    [PLEAT_FLOAT] = STORE_FLOAT,      [PLEAT_UINT8] = STORE_INT32,          [PLEAT_INT8] = STORE_INT32,
    [PLEAT_UINT16] = STORE_INT32,     [PLEAT_INT16] = STORE_INT32,          [PLEAT_INT32] = STORE_INT32,
    [PLEAT_INT64] = STORE_INT64,      [PLEAT_STRING] = STORE_STRING,        [PLEAT_BOOL] = STORE_INT32,
    [PLEAT_FLOAT16] = STORE_INT32,    [PLEAT_DOUBLE] = STORE_DOUBLE,        [PLEAT_UINT32] = STORE_UINT64,
    [PLEAT_UINT64] = STORE_UINT64,    [PLEAT_COMPLEX64] = STORE_FLOAT,      [PLEAT_COMPLEX128] = STORE_DOUBLE,
    [PLEAT_BFLOAT16] = STORE_INT32,   [PLEAT_FLOAT8E4M3FN] = STORE_INT32,   [PLEAT_FLOAT8E4M3FNUZ] = STORE_INT32,
    [PLEAT_FLOAT8E5M2] = STORE_INT32, [PLEAT_FLOAT8E5M2FNUZ] = STORE_INT32, [PLEAT_UINT4] = STORE_INT32,
    [PLEAT_INT4] = STORE_INT32,       [PLEAT_FLOAT4E2M1] = STORE_INT32,     [PLEAT_FLOAT8E8M0] = STORE_INT32,
    [PLEAT_UINT2] = STORE_INT32,      [PLEAT_INT2] = STORE_INT32,
};

/* A typed field: `count` numbers of `width` bytes. */
typedef struct numbers {
  const char *name;
  const void *data;
  size_t count, width;
} numbers;

static numbers typed_field(const Onnx__TensorProto *m, pleat_dtype dtype) {
  switch ((store)stores[dtype]) {
  case STORE_FLOAT:
    return (numbers){"float_data", m->float_data, m->n_float_data, sizeof *m->float_data};
  case STORE_INT32:
    return (numbers){"int32_data", m->int32_data, m->n_int32_data, sizeof *m->int32_data};
  case STORE_INT64:
    return (numbers){"int64_data", m->int64_data, m->n_int64_data, sizeof *m->int64_data};
  case STORE_DOUBLE:
    return (numbers){"double_data", m->double_data, m->n_double_data, sizeof *m->double_data};
  case STORE_UINT64:
    return (numbers){"uint64_data", m->uint64_data, m->n_uint64_data, sizeof *m->uint64_data};
  case STORE_STRING:
    return (numbers){"string_data", m->string_data, m->n_string_data, sizeof *m->string_data};
  case STORE_NONE:
    break;
  }
  return (numbers){"", NULL, 0, 0};
}

/* Copies the low `width` bytes of every number. */
static void narrow(const numbers *from, size_t width, void *to) {
  if (width == from->width) {
    memcpy(to, from->data, from->count * width);
    return;
  }
  const unsigned char *source = from->data;
  unsigned char *target = to;
  for (size_t i = 0; i < from->count; i++) memcpy(target + i * width, source + i * from->width, width);
}

static pleat_status wrong_count(const pleat_tensor *shape, const char *what, size_t expected, size_t found,
                                pleat_error *error) {
  char text[256];
  return pleat_fail(error, PLEAT_MALFORMED_MODEL, "expected %zu %s for %s, found %zu", expected, what,
                    pleat_tensor_text(shape, text, sizeof text), found);
}

/* Type and shape of a message as a descriptor. */
static pleat_status describe(const Onnx__TensorProto *message, size_t dim_count, const int64_t *dims,
                             pleat_tensor *out_shape, pleat_error *error) {
  int32_t type = message->has_data_type ? message->data_type : 0;
  if (!pleat_dtype_is_valid(type))
    return pleat_fail(error, PLEAT_MALFORMED_MODEL, "expected a data type from 1 to %d, found %" PRId32,
                      PLEAT_DTYPE_COUNT - 1, type);
  if (dim_count > PLEAT_MAX_RANK)
    return pleat_fail(error, PLEAT_UNSUPPORTED, "expected at most %d dimensions, found %zu", PLEAT_MAX_RANK, dim_count);
  for (size_t i = 0; i < dim_count; i++) {
    if (dims[i] < 0)
      return pleat_fail(error, PLEAT_MALFORMED_MODEL, "expected no negative dimension, found %" PRId64, dims[i]);
  }
  if (!pleat_tensor_describe(out_shape, (pleat_dtype)type, (int)dim_count, dims))
    return pleat_fail(error, PLEAT_MALFORMED_MODEL, "its dimensions ask for more elements than memory can have");
  return PLEAT_OK;
}

/* ---- reading: tensors ---- */

static pleat_status read_strings(const Onnx__TensorProto *message, const pleat_tensor *shape, pleat_tensor **out_tensor,
                                 pleat_error *error) {
  if (message->n_string_data != shape->count)
    return wrong_count(shape, "strings in string_data", shape->count, message->n_string_data, error);
  pleat_string *strings = NULL;
  if (shape->count > 0) {
    strings = calloc(shape->count, sizeof *strings);
    if (strings == NULL) return PLEAT_OOM(error);
  }
  for (size_t i = 0; i < shape->count; i++) {
    const ProtobufCBinaryData *s = &message->string_data[i];
    strings[i] = (pleat_string){.data = (const char *)s->data, .size = s->len};
  }
  pleat_status status = pleat_tensor_create_strings(shape->rank, shape->dims, strings, out_tensor, error);
  free(strings);
  return status;
}

/* The elements from their bytes in a file. Any byte but 0 is true, in a bool as everywhere. */
static void read_packed(const void *packed, pleat_tensor *tensor) {
  pleat_dtype_unpack(tensor->dtype, packed, tensor->data, tensor->count);
  if (tensor->dtype != PLEAT_BOOL) return;
  uint8_t *values = tensor->data;
  for (size_t i = 0; i < tensor->count; i++) values[i] = values[i] != 0;
}

static pleat_status read_raw(const void *data, size_t size, const pleat_tensor *shape, pleat_tensor **out_tensor,
                             pleat_error *error) {
  size_t expected;
  if (!pleat_dtype_packed_size(shape->dtype, shape->count, &expected) || size != expected)
    return wrong_count(shape, "bytes of data", expected, size, error);
  PLEAT_TRY(pleat_tensor_create(shape->dtype, shape->rank, shape->dims, out_tensor, error));
  if (shape->count > 0) read_packed(data, *out_tensor);
  return PLEAT_OK;
}

static pleat_status read_typed(const Onnx__TensorProto *message, const pleat_tensor *shape, pleat_tensor **out_tensor,
                               pleat_error *error) {
  numbers field = typed_field(message, shape->dtype);
  bool is_complex = (PLEAT_M(shape->dtype) & PLEAT_M_COMPLEX) != 0, is_packed = pleat_dtype_bits(shape->dtype) < 8;
  size_t expected = shape->count, width = pleat_dtype_size(shape->dtype) / (is_complex ? 2 : 1);
  if (is_packed) (void)pleat_dtype_packed_size(shape->dtype, shape->count, &expected);
  if (is_complex) expected *= 2; /* cannot overflow: the byte size was checked */
  if (field.count != expected) {
    char what[64];
    snprintf(what, sizeof what, "elements in %s", field.name);
    return wrong_count(shape, what, expected, field.count, error);
  }
  void *packed = NULL;
  if (is_packed && expected > 0 && (packed = malloc(expected)) == NULL) return PLEAT_OOM(error);
  pleat_status status = pleat_tensor_create(shape->dtype, shape->rank, shape->dims, out_tensor, error);
  if (status == PLEAT_OK && expected > 0) {
    void *target = is_packed ? packed : (*out_tensor)->data;
    if (shape->dtype == PLEAT_BOOL) {
      for (size_t i = 0; i < expected; i++) ((uint8_t *)target)[i] = message->int32_data[i] != 0;
    } else {
      narrow(&field, is_packed ? 1 : width, target);
    }
    if (is_packed) read_packed(packed, *out_tensor);
  }
  free(packed);
  return status;
}

static pleat_status read_tensor(pleat_proto *proto, const Onnx__TensorProto *message, pleat_tensor **out_tensor,
                                pleat_error *error) {
  pleat_tensor shape;
  const void *data;
  size_t size;
  PLEAT_TRY(describe(message, message->n_dims, message->dims, &shape, error));
  if (message->segment != NULL)
    return pleat_fail(error, PLEAT_UNSUPPORTED, "a tensor in segments is not supported: store it whole");
  if (pleat_proto_tensor_is_external(message) && proto == NULL)
    return pleat_fail(error, PLEAT_UNSUPPORTED, "external data is only supported in models, not in single tensors");
  PLEAT_TRY(pleat_proto_tensor_bytes(proto, message, &data, &size, error));
  bool is_raw = data != NULL || pleat_proto_tensor_is_external(message);
  if (shape.dtype == PLEAT_STRING) {
    if (is_raw) return pleat_fail(error, PLEAT_MALFORMED_MODEL, "expected strings in string_data, found raw data");
    return read_strings(message, &shape, out_tensor, error);
  }
  return is_raw ? read_raw(data, size, &shape, out_tensor, error) : read_typed(message, &shape, out_tensor, error);
}

pleat_status pleat_tensor_from_proto(pleat_proto *proto, const Onnx__TensorProto *message, pleat_tensor **out_tensor,
                                     pleat_error *error) {
  *out_tensor = NULL;
  pleat_status status = read_tensor(proto, message, out_tensor, error);
  if (status != PLEAT_OK && message->name != NULL) pleat_error_at_tensor(error, message->name);
  return status;
}

/* ---- reading: sparse tensors ---- */

/* Flat index of element i: its indices are one flat number, or one number for each dimension. */
static bool flat_index(const pleat_tensor *indices, const pleat_tensor *dense, size_t i, size_t *out_index) {
  const int64_t *numbers = indices->data;
  if (indices->rank == 1) {
    *out_index = (size_t)numbers[i];
    return numbers[i] >= 0 && (uint64_t)numbers[i] < dense->count;
  }
  size_t flat = 0;
  for (int d = 0; d < dense->rank; d++) {
    int64_t at = numbers[i * (size_t)dense->rank + (size_t)d];
    if (at < 0 || at >= dense->dims[d]) return false;
    flat = flat * (size_t)dense->dims[d] + (size_t)at;
  }
  *out_index = flat;
  return true;
}

/* Puts the values where they belong in the zeros of `out`. */
static pleat_status scatter(const pleat_tensor *values, const pleat_tensor *indices, const pleat_tensor *dense,
                            void *out, pleat_error *error) {
  size_t element = pleat_dtype_size(dense->dtype), at, next = 0;
  for (size_t i = 0; i < values->count; i++) {
    if (!flat_index(indices, dense, i, &at) || at < next) {
      char text[256];
      return pleat_fail(error, PLEAT_MALFORMED_MODEL,
                        "sparse tensor: expected ascending indices within %s, found another at position %zu",
                        pleat_tensor_text(dense, text, sizeof text), i);
    }
    memcpy((char *)out + at * element, (const char *)values->data + i * element, element);
    next = at + 1;
  }
  return PLEAT_OK;
}

static pleat_status make_dense(const pleat_tensor *values, const pleat_tensor *indices, const pleat_tensor *dense,
                               pleat_tensor **out_tensor, pleat_error *error) {
  bool fits = values->rank == 1 && indices->dtype == PLEAT_INT64 && indices->rank >= 1 && indices->rank <= 2 &&
              indices->dims[0] == values->dims[0] && (indices->rank == 1 || indices->dims[1] == dense->rank);
  if (!fits) {
    char v[256], i[256];
    return pleat_fail(error, PLEAT_MALFORMED_MODEL,
                      "sparse tensor: expected n values and int64 indices [n] or [n,%d], found %s and %s", dense->rank,
                      pleat_tensor_text(values, v, sizeof v), pleat_tensor_text(indices, i, sizeof i));
  }
  if (pleat_bytes(dense) > PLEAT_LIMIT_MESSAGE_BYTES)
    return pleat_fail(error, PLEAT_UNSUPPORTED, "sparse tensor: %zu bytes when dense, at most 2 GiB are supported",
                      pleat_bytes(dense));
  if (dense->dtype != PLEAT_STRING) {
    PLEAT_TRY(pleat_tensor_create(dense->dtype, dense->rank, dense->dims, out_tensor, error));
    return scatter(values, indices, dense, (*out_tensor)->data, error);
  }
  pleat_string *strings = calloc(dense->count > 0 ? dense->count : 1, sizeof *strings);
  if (strings == NULL) return PLEAT_OOM(error);
  pleat_status status = scatter(values, indices, dense, strings, error);
  if (status == PLEAT_OK) status = pleat_tensor_create_strings(dense->rank, dense->dims, strings, out_tensor, error);
  free(strings);
  return status;
}

pleat_status pleat_tensor_from_sparse_proto(pleat_proto *proto, const Onnx__SparseTensorProto *message,
                                            pleat_tensor **out_tensor, pleat_error *error) {
  *out_tensor = NULL;
  pleat_tensor *values = NULL, *indices = NULL, dense;
  pleat_status status = PLEAT_OK;
  if (message->values == NULL || message->indices == NULL)
    PLEAT_CHECK(pleat_fail(error, PLEAT_MALFORMED_MODEL, "a sparse tensor without values or indices"));
  PLEAT_CHECK(describe(message->values, message->n_dims, message->dims, &dense, error));
  PLEAT_CHECK(pleat_tensor_from_proto(proto, message->values, &values, error));
  PLEAT_CHECK(pleat_tensor_from_proto(proto, message->indices, &indices, error));
  PLEAT_CHECK(make_dense(values, indices, &dense, out_tensor, error));
fail:
  if (status != PLEAT_OK) {
    if (message->values != NULL && message->values->name != NULL) pleat_error_at_tensor(error, message->values->name);
    pleat_tensor_release(*out_tensor);
    *out_tensor = NULL;
  }
  pleat_tensor_release(values);
  pleat_tensor_release(indices);
  return status;
}

/* ---- writing: tensors ---- */

static pleat_status write_strings(const pleat_tensor *tensor, pleat_arena *arena, Onnx__TensorProto *message,
                                  pleat_error *error) {
  const pleat_string *strings = tensor->data;
  message->string_data = pleat_arena_array(arena, tensor->count, sizeof *message->string_data);
  if (message->string_data == NULL) return PLEAT_OOM(error);
  message->n_string_data = tensor->count;
  for (size_t i = 0; i < tensor->count; i++) {
    message->string_data[i].data = (uint8_t *)(uintptr_t)strings[i].data;
    message->string_data[i].len = strings[i].size;
  }
  return PLEAT_OK;
}

static pleat_status write_raw(const pleat_tensor *tensor, pleat_arena *arena, Onnx__TensorProto *message,
                              pleat_error *error) {
  size_t size;
  if (!pleat_dtype_packed_size(tensor->dtype, tensor->count, &size)) return PLEAT_OOM(error);
  uint8_t *data = tensor->data;
  if (pleat_dtype_bits(tensor->dtype) < 8) {
    data = pleat_arena_alloc(arena, size);
    if (data == NULL) return PLEAT_OOM(error);
    if (tensor->count > 0) pleat_dtype_pack(tensor->dtype, tensor->data, data, tensor->count);
  }
  message->has_raw_data = 1;
  message->raw_data = (ProtobufCBinaryData){.len = size, .data = data};
  return PLEAT_OK;
}

pleat_status pleat_tensor_to_proto(const pleat_tensor *tensor, const char *name, pleat_arena *arena,
                                   Onnx__TensorProto **out_message, pleat_error *error) {
  *out_message = NULL;
  if (tensor->kind != PLEAT_KIND_TENSOR)
    return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "expected a tensor, found a list");
  Onnx__TensorProto *message = pleat_arena_alloc(arena, sizeof *message);
  if (message == NULL) return PLEAT_OOM(error);
  onnx__tensor_proto__init(message);
  message->name = pleat_arena_strdup(arena, name != NULL ? name : "");
  message->dims = pleat_arena_array(arena, (size_t)tensor->rank, sizeof *message->dims);
  if (message->name == NULL || message->dims == NULL) return PLEAT_OOM(error);
  message->n_dims = (size_t)tensor->rank;
  for (int i = 0; i < tensor->rank; i++) message->dims[i] = tensor->dims[i];
  message->has_data_type = 1;
  message->data_type = (int32_t)tensor->dtype;
  PLEAT_TRY(tensor->dtype == PLEAT_STRING ? write_strings(tensor, arena, message, error)
                                          : write_raw(tensor, arena, message, error));
  *out_message = message;
  return PLEAT_OK;
}

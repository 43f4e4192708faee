/* Tensors to .npy, version 1.0: C order, this machine's byte order, the header padded so that the data is aligned to 64
 * bytes. Strings become U (Unicode), or S (bytes) when one of them is not UTF-8. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "npy.h"

enum { ALIGNMENT = 64, PREFIX = 10, HEADER_MAX = 1024 };

/* How NumPy sees each type: letter and size as in 'descr', NumPy's name, and a note when the type is not the same. */
static const struct {
  char kind;
  unsigned char size;
  const char *name;
  const char *note;
} layouts[PLEAT_DTYPE_COUNT] = {
    [PLEAT_FLOAT] = {'f', 4, "float32", NULL},
    [PLEAT_UINT8] = {'u', 1, "uint8", NULL},
    [PLEAT_INT8] = {'i', 1, "int8", NULL},
    [PLEAT_UINT16] = {'u', 2, "uint16", NULL},
    [PLEAT_INT16] = {'i', 2, "int16", NULL},
    [PLEAT_INT32] = {'i', 4, "int32", NULL},
    [PLEAT_INT64] = {'i', 8, "int64", NULL},
    [PLEAT_STRING] = {'U', 0, "str", NULL},
    [PLEAT_BOOL] = {'b', 1, "bool", NULL},
    [PLEAT_FLOAT16] = {'f', 2, "float16", NULL},
    [PLEAT_DOUBLE] = {'f', 8, "float64", NULL},
    [PLEAT_UINT32] = {'u', 4, "uint32", NULL},
    [PLEAT_UINT64] = {'u', 8, "uint64", NULL},
    [PLEAT_COMPLEX64] = {'c', 8, "complex64", NULL},
    [PLEAT_COMPLEX128] = {'c', 16, "complex128", NULL},
    [PLEAT_BFLOAT16] = {'u', 2, NULL, "bfloat16, stored as its bits (uint16)"},
    [PLEAT_FLOAT8E4M3FN] = {'u', 1, NULL, "float8e4m3fn, stored as its bits (uint8)"},
    [PLEAT_FLOAT8E4M3FNUZ] = {'u', 1, NULL, "float8e4m3fnuz, stored as its bits (uint8)"},
    [PLEAT_FLOAT8E5M2] = {'u', 1, NULL, "float8e5m2, stored as its bits (uint8)"},
    [PLEAT_FLOAT8E5M2FNUZ] = {'u', 1, NULL, "float8e5m2fnuz, stored as its bits (uint8)"},
    [PLEAT_UINT4] = {'u', 1, NULL, "uint4, stored as uint8"},
    [PLEAT_INT4] = {'i', 1, NULL, "int4, stored as int8"},
    [PLEAT_FLOAT4E2M1] = {'u', 1, NULL, "float4e2m1, stored as its bits (uint8)"},
    [PLEAT_FLOAT8E8M0] = {'u', 1, NULL, "float8e8m0, stored as its bits (uint8)"},
    [PLEAT_UINT2] = {'u', 1, NULL, "uint2, stored as uint8"},
    [PLEAT_INT2] = {'i', 1, NULL, "int2, stored as int8"},
};

static bool known(pleat_dtype dtype) {
  return (unsigned)dtype < PLEAT_DTYPE_COUNT && layouts[dtype].kind;
}

const char *npy_type_note(pleat_dtype dtype) {
  return known(dtype) ? layouts[dtype].note : NULL;
}

const char *npy_type_name(pleat_dtype dtype) {
  return known(dtype) ? layouts[dtype].name : NULL;
}

/* Reads one UTF-8 character; 0 bytes taken when there is none (overlong forms and surrogates included). */
static size_t take_utf8(const unsigned char *at, size_t left, uint32_t *out_code) {
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  size_t length = at[0] < 0x80 ? 1 : at[0] >> 5 == 6 ? 2 : at[0] >> 4 == 14 ? 3 : at[0] >> 3 == 30 ? 4 : 0;
  if (length == 0 || length > left) return 0;
  uint32_t code = length == 1 ? at[0] : at[0] & (0x7fu >> length);
  for (size_t i = 1; i < length; i++) {
    if (at[i] >> 6 != 2) return 0;
    code = code << 6 | (at[i] & 0x3f);
  }
  if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return 0;
  *out_code = code;
  return length;
}

/* Characters of a string, or SIZE_MAX when it is not UTF-8; written to `out` as UCS-4 unless that is NULL. */
static size_t decode(const pleat_string *string, unsigned char *out) {
  const unsigned char *bytes = (const unsigned char *)string->data;
  size_t count = 0;
  for (size_t at = 0; at < string->size; count++) {
    uint32_t code = 0;
    size_t taken = take_utf8(bytes + at, string->size - at, &code);
    if (taken == 0) return SIZE_MAX;
    if (out) memcpy(out + 4 * count, &code, 4);
    at += taken;
  }
  return count;
}

/* 'U' and the longest string in characters, or 'S' and the longest in bytes; at least 1, as NumPy does. */
static char measure_strings(const pleat_string *strings, size_t count, size_t *out_longest) {
  size_t characters = 1, bytes = 1;
  bool unicode = true;
  for (size_t i = 0; i < count; i++) {
    size_t length = unicode ? decode(&strings[i], NULL) : 0;
    if (length == SIZE_MAX) unicode = false;
    if (unicode && length > characters) characters = length;
    if (strings[i].size > bytes) bytes = strings[i].size;
  }
  *out_longest = unicode ? characters : bytes;
  return unicode ? 'U' : 'S';
}

static void put_strings(const pleat_string *strings, size_t count, char kind, size_t item_size, unsigned char *out) {
  for (size_t i = 0; i < count; i++, out += item_size) {
    if (kind == 'U') decode(&strings[i], out);
    else if (strings[i].size > 0) memcpy(out, strings[i].data, strings[i].size);
  }
}

/* Writes magic, version, length and dict; returns the size, a multiple of ALIGNMENT. */
static size_t put_header(char *out, char order, char kind, size_t number, const pleat_tensor *tensor) {
  int rank = pleat_tensor_rank(tensor);
  const int64_t *dims = pleat_tensor_dims(tensor);
  size_t used = PREFIX;
  used += (size_t)snprintf(out + used, HEADER_MAX - used, "{'descr': '%c%c%zu', 'fortran_order': False, 'shape': (",
                           order, kind, number);
  for (int i = 0; i < rank; i++)
    used += (size_t)snprintf(out + used, HEADER_MAX - used, "%s%" PRId64 "%s", i ? " " : "", dims[i],
                             i + 1 < rank || rank == 1 ? "," : "");
  used += (size_t)snprintf(out + used, HEADER_MAX - used, "), }");
  size_t size = (used + 1 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  memset(out + used, ' ', size - used - 1);
  out[size - 1] = '\n';
  memcpy(out, "\x93NUMPY\x01\x00", 8);
  out[8] = (char)((size - PREFIX) & 0xff);
  out[9] = (char)((size - PREFIX) >> 8);
  return size;
}

static char byte_order(void) {
  const uint16_t one = 1;
  unsigned char first;
  memcpy(&first, &one, 1);
  return first ? '<' : '>';
}

pleat_status npy_format(const pleat_tensor *tensor, void **out_data, size_t *out_size, pleat_error *error) {
  *out_data = NULL;
  *out_size = 0;
  pleat_dtype dtype = pleat_tensor_dtype(tensor);
  if (pleat_tensor_kind(tensor) != PLEAT_KIND_TENSOR || !known(dtype))
    return cli_error(error, PLEAT_UNSUPPORTED, NULL, "a .npy file holds one tensor, not a list of them");
  size_t count = pleat_tensor_count(tensor), item_size = layouts[dtype].size, number = item_size, total = 0;
  char kind = layouts[dtype].kind;
  if (dtype == PLEAT_STRING) {
    kind = measure_strings(pleat_tensor_const_data(tensor), count, &number);
    if (__builtin_mul_overflow(number, kind == 'U' ? 4u : 1u, &item_size)) item_size = SIZE_MAX;
  }
  char head[HEADER_MAX];
  char order = item_size == 1 || kind == 'S' ? '|' : byte_order();
  size_t head_size = put_header(head, order, kind, number, tensor);
  unsigned char *data = NULL;
  if (!__builtin_mul_overflow(count, item_size, &total) && !__builtin_add_overflow(total, head_size, &total))
    data = calloc(total, 1);
  if (!data) return cli_error(error, PLEAT_OUT_OF_MEMORY, NULL, "out of memory for the .npy file");
  memcpy(data, head, head_size);
  if (dtype == PLEAT_STRING) put_strings(pleat_tensor_const_data(tensor), count, kind, item_size, data + head_size);
  else if (count > 0) memcpy(data + head_size, pleat_tensor_const_data(tensor), count * item_size);
  *out_data = data;
  *out_size = total;
  return PLEAT_OK;
}

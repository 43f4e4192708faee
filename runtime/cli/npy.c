/* NumPy's .npy format, after numpy/lib/format.py: magic, version, header length, a Python dict literal, the data.
 *
 * Invariants: every number of the header is checked before it is used, the data must be as long as type and shape say,
 * and the file's bytes are only read through memcpy (they have no alignment). */
#include "npy.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static const char magic[6] = "\x93NUMPY";

typedef struct header {
  char kind;        /* b i u f c U S */
  size_t item_size; /* bytes of an element */
  bool swap;        /* the other byte order than this machine's */
  bool fortran;
  int rank;
  int64_t dims[PLEAT_MAX_RANK];
  bool has_descr, has_order, has_shape;
} header;

/* The dict literal while it is parsed. */
typedef struct cursor {
  const char *at, *end;
  const char *name;
  pleat_error *error;
} cursor;

static bool host_is_big_endian(void) {
  const uint16_t one = 1;
  unsigned char first;
  memcpy(&first, &one, 1);
  return first == 0;
}

static pleat_status bad(const cursor *c, const char *what) {
  return cli_error(c->error, PLEAT_MALFORMED_MODEL, c->name, "not a valid .npy array: %s", what);
}

static void skip_blanks(cursor *c) {
  while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t' || *c->at == '\r')) c->at++;
}

static bool take(cursor *c, char expected) {
  skip_blanks(c);
  if (c->at == c->end || *c->at != expected) return false;
  c->at++;
  return true;
}

static bool take_word(cursor *c, const char *word) {
  size_t length = strlen(word);
  skip_blanks(c);
  if ((size_t)(c->end - c->at) < length || memcmp(c->at, word, length) != 0) return false;
  c->at += length;
  return true;
}

/* A quoted string without escapes, as all that can stand here are. */
static bool take_string(cursor *c, char *out, size_t size) {
  skip_blanks(c);
  if (c->at == c->end || (*c->at != '\'' && *c->at != '"')) return false;
  char quote = *c->at++;
  size_t length = 0;
  for (; c->at < c->end && *c->at != quote; c->at++) {
    if (*c->at == '\\' || length + 1 >= size) return false;
    out[length++] = *c->at;
  }
  out[length] = '\0';
  return c->at++ < c->end;
}

static bool take_integer(cursor *c, int64_t *out) {
  skip_blanks(c);
  const char *start = c->at;
  int64_t value = 0;
  for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++)
    if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *c->at - '0', &value)) return false;
  if (c->at == start) return false;
  if (c->at < c->end && *c->at == 'L') c->at++; /* Python 2 */
  *out = value;
  return true;
}

static pleat_status parse_shape(cursor *c, header *h) {
  if (!take(c, '(')) return bad(c, "'shape' is not a tuple");
  h->rank = 0;
  while (!take(c, ')')) {
    if (h->rank == PLEAT_MAX_RANK)
      return cli_error(c->error, PLEAT_UNSUPPORTED, c->name, "the array has more than %d dimensions", PLEAT_MAX_RANK);
    if (!take_integer(c, &h->dims[h->rank])) return bad(c, "a dimension of 'shape' is not a whole number");
    h->rank++;
    if (take(c, ',')) continue;
    if (!take(c, ')')) return bad(c, "'shape' does not end");
    break;
  }
  return PLEAT_OK;
}

static pleat_status parse_descr(cursor *c, header *h) {
  char text[32];
  if (!take_string(c, text, sizeof text))
    return cli_error(c->error, PLEAT_UNSUPPORTED, c->name, "structured arrays are not read: save one array of numbers");
  const char *at = text;
  char order = strchr("<>|=", *at) && *at ? *at++ : '=';
  h->kind = *at ? *at++ : '?';
  cursor digits = {.at = at, .end = at + strlen(at)};
  int64_t size = 0;
  bool sized = take_integer(&digits, &size) && digits.at == digits.end;
  if (h->kind == 'O' && (sized || !*at))
    return cli_error(c->error, PLEAT_UNSUPPORTED, c->name, "object arrays (pickled) are not read");
  if (!sized) return bad(c, "'descr' is not a type");
  if ((h->kind == 'U' && __builtin_mul_overflow(size, 4, &size)) || (uint64_t)size > SIZE_MAX / 2)
    return bad(c, "the element size overflows");
  h->item_size = (size_t)size;
  h->swap = order == (host_is_big_endian() ? '<' : '>');
  h->has_descr = true;
  return PLEAT_OK;
}

static pleat_status parse_entry(cursor *c, header *h) {
  char key[32];
  if (!take_string(c, key, sizeof key) || !take(c, ':')) return bad(c, "the header is not a dict");
  if (strcmp(key, "descr") == 0 && !h->has_descr) return parse_descr(c, h);
  if (strcmp(key, "shape") == 0 && !h->has_shape) {
    h->has_shape = true;
    return parse_shape(c, h);
  }
  if (strcmp(key, "fortran_order") == 0 && !h->has_order) {
    h->has_order = true;
    h->fortran = take_word(c, "True");
    return h->fortran || take_word(c, "False") ? PLEAT_OK : bad(c, "'fortran_order' is neither True nor False");
  }
  return bad(c, "the header has an unknown or repeated key");
}

static pleat_status parse_dict(cursor *c, header *h) {
  if (!take(c, '{')) return bad(c, "the header is not a dict");
  while (!take(c, '}')) {
    pleat_status status = parse_entry(c, h);
    if (status != PLEAT_OK) return status;
    if (take(c, ',')) continue;
    if (!take(c, '}')) return bad(c, "the header's dict does not end");
    break;
  }
  skip_blanks(c);
  if (c->at != c->end) return bad(c, "there is something after the header's dict");
  if (!h->has_descr || !h->has_order || !h->has_shape)
    return bad(c, "the header lacks 'descr', 'fortran_order' or 'shape'");
  return PLEAT_OK;
}

/* Finds the header's text and where the data begins. */
static pleat_status parse_header(const unsigned char *data, size_t size, cursor *c, header *h, size_t *out_start) {
  if (size < 10 || memcmp(data, magic, sizeof magic) != 0) return bad(c, "it does not begin with \\x93NUMPY");
  size_t start, length;
  if (data[6] == 1) {
    start = 10;
    length = data[8] | (size_t)data[9] << 8;
  } else if (data[6] == 2 || data[6] == 3) {
    if (size < 12) return bad(c, "it ends within the header");
    start = 12;
    length = data[8] | (size_t)data[9] << 8 | (size_t)data[10] << 16 | (size_t)data[11] << 24;
  } else {
    return cli_error(c->error, PLEAT_UNSUPPORTED, c->name, ".npy version %d.%d: expected 1.0, 2.0 or 3.0", data[6],
                     data[7]);
  }
  if (length > size - start) return bad(c, "it ends within the header");
  c->at = (const char *)data + start;
  c->end = c->at + length;
  *out_start = start + length;
  return parse_dict(c, h);
}

static const struct {
  char kind;
  unsigned char size;
  pleat_dtype dtype;
} types[] = {
    {'b', 1, PLEAT_BOOL},      {'i', 1, PLEAT_INT8},        {'i', 2, PLEAT_INT16},  {'i', 4, PLEAT_INT32},
    {'i', 8, PLEAT_INT64},     {'u', 1, PLEAT_UINT8},       {'u', 2, PLEAT_UINT16}, {'u', 4, PLEAT_UINT32},
    {'u', 8, PLEAT_UINT64},    {'f', 2, PLEAT_FLOAT16},     {'f', 4, PLEAT_FLOAT},  {'f', 8, PLEAT_DOUBLE},
    {'c', 8, PLEAT_COMPLEX64}, {'c', 16, PLEAT_COMPLEX128},
};

static pleat_dtype find_type(const header *h) {
  if (h->kind == 'U' || h->kind == 'S') return PLEAT_STRING;
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (types[i].kind == h->kind && types[i].size == h->item_size) return types[i].dtype;
  return PLEAT_UNDEFINED;
}

/* Where the element at row-major index `flat` stands in the file. */
static size_t file_index(const header *h, size_t flat) {
  if (!h->fortran) return flat;
  size_t at[PLEAT_MAX_RANK], index = 0;
  for (int i = h->rank - 1; i >= 0; i--) {
    at[i] = flat % (size_t)h->dims[i];
    flat /= (size_t)h->dims[i];
  }
  for (int i = h->rank - 1; i >= 0; i--) index = index * (size_t)h->dims[i] + at[i];
  return index;
}

static void swap_bytes(unsigned char *at, size_t size) {
  for (size_t i = 0; i < size / 2; i++) {
    unsigned char byte = at[i];
    at[i] = at[size - 1 - i];
    at[size - 1 - i] = byte;
  }
}

static void read_numbers(const header *h, const unsigned char *source, size_t count, unsigned char *target) {
  size_t size = h->item_size, unit = h->kind == 'c' ? size / 2 : size;
  if (count == 0) return;
  if (h->fortran && h->rank > 1)
    for (size_t i = 0; i < count; i++) memcpy(target + i * size, source + file_index(h, i) * size, size);
  else memcpy(target, source, count * size);
  if (h->swap && unit > 1)
    for (size_t i = 0; i < count * size; i += unit) swap_bytes(target + i, unit);
  if (h->kind == 'b')
    for (size_t i = 0; i < count; i++) target[i] = target[i] != 0;
}

static size_t put_utf8(uint32_t code, char *out) {
  if (code < 0x80) return out[0] = (char)code, 1;
  if (code < 0x800) return out[0] = (char)(0xc0 | code >> 6), out[1] = (char)(0x80 | (code & 0x3f)), 2;
  size_t length = code < 0x10000 ? 3 : 4;
  for (size_t i = length - 1; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 0x3f));
  out[0] = (char)((length == 3 ? 0xe0 : 0xf0) | code);
  return length;
}

/* Decodes one U or S element to `out` (at least item_size bytes); false for what is no Unicode. */
static bool read_string(const header *h, const unsigned char *item, char *out, size_t *out_size) {
  size_t used = 0, length = h->item_size;
  if (h->kind == 'S') {
    while (length > 0 && item[length - 1] == 0) length--;
    if (length > 0) memcpy(out, item, length);
    *out_size = length;
    return true;
  }
  size_t last = 0; /* size up to the last character that is not NUL */
  for (size_t i = 0; i + 4 <= length; i += 4) {
    uint32_t code;
    memcpy(&code, item + i, 4);
    if (h->swap) swap_bytes((unsigned char *)&code, 4);
    if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return false;
    used += put_utf8(code, out + used);
    if (code) last = used;
  }
  *out_size = last;
  return true;
}

static pleat_status read_strings(const cursor *c, const header *h, const unsigned char *source, size_t count,
                                 pleat_tensor **out_tensor) {
  pleat_status status = PLEAT_OUT_OF_MEMORY;
  size_t total = count * h->item_size; /* checked by the caller */
  pleat_string *strings = calloc(count ? count : 1, sizeof *strings);
  char *text = malloc(total ? total : 1);
  if (!strings || !text) {
    cli_error(c->error, status, c->name, "out of memory for the array");
    goto done;
  }
  for (size_t i = 0; i < count; i++) {
    strings[i].data = text + i * h->item_size;
    const unsigned char *item = source + file_index(h, i) * h->item_size;
    if (!read_string(h, item, text + i * h->item_size, &strings[i].size)) {
      status = bad(c, "a string has a character that is no Unicode");
      goto done;
    }
  }
  status = pleat_tensor_create_strings(h->rank, h->dims, strings, out_tensor, c->error);
done:
  free(text);
  free(strings);
  return status;
}

pleat_status npy_parse(const void *data, size_t size, const char *name, pleat_tensor **out_tensor, pleat_error *error) {
  cursor c = {.name = name, .error = error};
  header h = {0};
  size_t start = 0, count = 1, bytes = 0;
  *out_tensor = NULL;
  pleat_status status = parse_header(data, size, &c, &h, &start);
  if (status != PLEAT_OK) return status;
  pleat_dtype dtype = find_type(&h);
  if (dtype == PLEAT_UNDEFINED)
    return cli_error(error, PLEAT_UNSUPPORTED, name, "element type '%c' of %zu bytes has no ONNX type", h.kind,
                     h.item_size);
  for (int i = 0; i < h.rank; i++)
    if (__builtin_mul_overflow(count, (size_t)h.dims[i], &count)) return bad(&c, "the shape overflows");
  if (__builtin_mul_overflow(count, h.item_size, &bytes) || bytes > size - start)
    return cli_error(error, PLEAT_MALFORMED_MODEL, name,
                     "not a valid .npy array: the shape needs more data than the "
                     "%zu bytes there are",
                     size - start);
  const unsigned char *source = (const unsigned char *)data + start;
  /* Strings of no bytes take no data, so that only here the shape would not be bounded by the file's size. */
  if (dtype == PLEAT_STRING && h.item_size == 0 && count > size) return bad(&c, "too many empty strings");
  if (dtype == PLEAT_STRING) return read_strings(&c, &h, source, count, out_tensor);
  status = pleat_tensor_create(dtype, h.rank, h.dims, out_tensor, error);
  if (status == PLEAT_OK) read_numbers(&h, source, count, pleat_tensor_data(*out_tensor));
  return status;
}

/* Made-up tensors. Values are drawn as doubles and converted, so that every type is covered alike. Sources: Blackman
 * and Vigna, xoshiro256** 1.0; Steele, Lea and Flood, splitmix64; Fowler, Noll and Vo, FNV-1a. */
#include <stdlib.h>

#include "core/error.h"
#include "core/tensor.h"

enum { BLOCK = 512 };

typedef struct generator {
  uint64_t state[4];
} generator;

static uint64_t rotate(uint64_t x, int k) {
  return x << k | x >> (64 - k);
}

static uint64_t next(generator *g) {
  uint64_t *s = g->state, result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = rotate(s[3], 45);
  return result;
}

static generator seeded(uint64_t seed, const char *name) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char *c = name; *c; c++) hash = (hash ^ (unsigned char)*c) * 0x100000001b3u;
  generator g;
  uint64_t x = seed ^ hash;
  for (int i = 0; i < 4; i++) {
    uint64_t z = x += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    g.state[i] = z ^ z >> 31;
  }
  return g;
}

/* How many integers are drawn from; 0 for types that are not integers. */
static unsigned integer_range(pleat_dtype dtype) {
  switch (dtype) {
  case PLEAT_UINT8:
  case PLEAT_INT8:
  case PLEAT_UINT16:
  case PLEAT_INT16:
  case PLEAT_UINT32:
  case PLEAT_INT32:
  case PLEAT_UINT64:
  case PLEAT_INT64:
  case PLEAT_STRING:
    return 10;
  case PLEAT_UINT4:
  case PLEAT_INT4:
    return 8;
  case PLEAT_BOOL:
  case PLEAT_UINT2:
  case PLEAT_INT2:
    return 2;
  default:
    return 0;
  }
}

static double draw(generator *g, pleat_fill_kind fill, unsigned range) {
  if (fill == PLEAT_FILL_ONES) return 1;
  if (fill == PLEAT_FILL_ZEROS) return 0;
  uint64_t bits = next(g) >> 40; /* 24 bits */
  return range != 0 ? (double)(bits * range >> 24) : (double)bits * 0x1p-24;
}

static pleat_status make_strings(generator *g, pleat_fill_kind fill, int rank, const int64_t *dims,
                                 pleat_tensor **out_tensor, pleat_error *error) {
  size_t count = 0;
  if (!pleat_shape_count(PLEAT_STRING, rank, dims, &count) || count == SIZE_MAX) return PLEAT_OOM(error);
  pleat_string *strings = calloc(count + 1, sizeof *strings);
  if (strings == NULL) return PLEAT_OOM(error);
  for (size_t i = 0; i < count; i++) {
    strings[i] = (pleat_string){.data = &"0123456789"[(int)draw(g, fill, 10)], .size = fill != PLEAT_FILL_ZEROS};
  }
  pleat_status status = pleat_tensor_create_strings(rank, dims, strings, out_tensor, error);
  free(strings);
  return status;
}

/* `count` elements of a type that is no complex one. */
static void fill_numbers(generator *g, pleat_fill_kind fill, pleat_dtype dtype, void *data, size_t count) {
  double block[BLOCK];
  const unsigned range = integer_range(dtype);
  for (size_t at = 0; at < count; at += BLOCK) {
    size_t n = count - at < BLOCK ? count - at : BLOCK;
    for (size_t i = 0; i < n; i++) block[i] = draw(g, fill, range);
    pleat_convert(PLEAT_DOUBLE, block, dtype, (char *)data + at * pleat_dtype_size(dtype), n, NULL);
  }
}

pleat_status pleat_tensor_make_up(pleat_fill_kind fill, uint64_t seed, const char *name, pleat_dtype dtype, int rank,
                                  const int64_t *dims, pleat_tensor **out_tensor, pleat_error *error) {
  if (out_tensor == NULL || name == NULL) return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "NULL argument");
  generator g = seeded(seed, name);
  *out_tensor = NULL;
  pleat_tensor *tensor = NULL;
  PLEAT_TRY(pleat_tensor_create(dtype, rank, dims, &tensor, error)); /* checks the arguments for strings as well */
  if (dtype == PLEAT_STRING) {
    pleat_tensor_release(tensor);
    return make_strings(&g, fill, rank, dims, out_tensor, error);
  }
  const bool is_complex = (PLEAT_M(dtype) & PLEAT_M_COMPLEX) != 0;
  const pleat_dtype part = dtype == PLEAT_COMPLEX64 ? PLEAT_FLOAT : dtype == PLEAT_COMPLEX128 ? PLEAT_DOUBLE : dtype;
  const size_t count = tensor->count * (is_complex ? 2 : 1);
  fill_numbers(&g, fill, part, tensor->data, count);
  for (size_t i = 1; is_complex && fill == PLEAT_FILL_ONES && i < count; i += 2) {
    pleat_store_f64(part, tensor->data, i, 0);
  }
  *out_tensor = tensor;
  return PLEAT_OK;
}

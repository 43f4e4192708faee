/* Made-up tensors. Values are drawn as doubles and cast by the library, so that every type is covered alike. Sources:
 * Blackman and Vigna, xoshiro256** 1.0; Steele, Lea and Flood, splitmix64; Fowler, Noll and Vo, FNV-1a. */
#include "random.h"

#include <stdlib.h>
#include <string.h>

#include "cli.h"

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

static double draw(generator *g, fill fill, unsigned range) {
  if (fill == FILL_ONES) return 1;
  if (fill == FILL_ZEROS) return 0;
  uint64_t bits = next(g) >> 40; /* 24 bits */
  return range ? (double)(bits * range >> 24) : (double)bits * 0x1p-24;
}

static pleat_status random_strings(generator *g, fill fill, int rank, const int64_t *dims, size_t count,
                                   pleat_tensor **out_tensor, pleat_error *error) {
  pleat_string *strings = calloc(count ? count : 1, sizeof *strings);
  if (!strings) return cli_error(error, PLEAT_OUT_OF_MEMORY, NULL, "out of memory for an input");
  for (size_t i = 0; i < count; i++)
    strings[i] = (pleat_string){.data = &"0123456789"[(int)draw(g, fill, 10)], .size = fill != FILL_ZEROS};
  pleat_status status = pleat_tensor_create_strings(rank, dims, strings, out_tensor, error);
  free(strings);
  return status;
}

pleat_status random_tensor(fill fill, uint64_t seed, const char *name, pleat_dtype dtype, int rank, const int64_t *dims,
                           pleat_tensor **out_tensor, pleat_error *error) {
  generator g = seeded(seed, name);
  pleat_tensor *result = NULL, *doubles = NULL, *parts = NULL;
  *out_tensor = NULL;
  pleat_status status = pleat_tensor_create(dtype, rank, dims, &result, error);
  if (status != PLEAT_OK) return status;
  if (dtype == PLEAT_STRING) {
    size_t count = pleat_tensor_count(result);
    pleat_tensor_release(result);
    return random_strings(&g, fill, rank, dims, count, out_tensor, error);
  }
  bool is_complex = dtype == PLEAT_COMPLEX64 || dtype == PLEAT_COMPLEX128;
  pleat_dtype part = dtype == PLEAT_COMPLEX64 ? PLEAT_FLOAT : dtype == PLEAT_COMPLEX128 ? PLEAT_DOUBLE : dtype;
  int64_t length = (int64_t)pleat_tensor_count(result) * (is_complex ? 2 : 1);
  status = pleat_tensor_create(PLEAT_DOUBLE, 1, &length, &doubles, error);
  if (status != PLEAT_OK) goto done;
  double *values = pleat_tensor_data(doubles);
  for (int64_t i = 0; i < length; i++) values[i] = draw(&g, fill, integer_range(dtype));
  if (is_complex && fill == FILL_ONES)
    for (int64_t i = 1; i < length; i += 2) values[i] = 0;
  status = pleat_tensor_cast(doubles, part, &parts, error);
  if (status != PLEAT_OK) goto done;
  if (length > 0) memcpy(pleat_tensor_data(result), pleat_tensor_const_data(parts), pleat_tensor_bytes(result));
  *out_tensor = result;
  result = NULL;
done:
  pleat_tensor_release(parts);
  pleat_tensor_release(doubles);
  pleat_tensor_release(result);
  return status;
}

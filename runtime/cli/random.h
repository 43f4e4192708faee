/* Made-up tensors: random, zeros or ones. */
#ifndef PLEAT_CLI_RANDOM_H
#define PLEAT_CLI_RANDOM_H

#include "pleat/pleat.h"

typedef enum fill { FILL_RANDOM, FILL_ZEROS, FILL_ONES } fill;

/* A new tensor of any type. FILL_RANDOM: floats k * 2^-24 with k uniform in [0, 2^24) (rounded to the type), integers
 * uniform in 0..9 (what fits of it: 0..7 below 8 bits, 0..1 below 4), booleans, strings "0".."9". The same `seed`,
 * input name and shape give the same values on every machine: xoshiro256**, its state filled by splitmix64 from the
 * seed xor the FNV-1a hash of `name`, so that inputs differ. */
pleat_status random_tensor(fill fill, uint64_t seed, const char *name, pleat_dtype dtype, int rank, const int64_t *dims,
                           pleat_tensor **out_tensor, pleat_error *error);

#endif

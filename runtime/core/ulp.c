/* Distances in units in the last place.
 *
 * The bits of an IEEE number without the sign, read as an integer, count its steps from zero; two numbers of one sign
 * are as far apart as these counts, two of different signs as far as their sum. */
#include <math.h>
#include <string.h>

#include "core/dtype.h"
#include "core/small_float.h"

static const pleat_convert_options round_to_nearest = {false, PLEAT_ROUND_NEAREST};

/* Steps between zero and a number that is not NaN; false for types that are not counted in steps. */
static bool steps_from_zero(pleat_dtype dtype, double value, uint64_t *out_steps) {
  switch (dtype) {
  case PLEAT_FLOAT:
    *out_steps = pleat_float_bits((float)value) & 0x7fffffffu;
    return true;
  case PLEAT_DOUBLE:
    memcpy(out_steps, &value, sizeof value);
    *out_steps &= UINT64_MAX >> 1;
    return true;
  case PLEAT_FLOAT16:
  case PLEAT_BFLOAT16:
    *out_steps = pleat_small_float_encode(dtype, value, &round_to_nearest) & 0x7fffu;
    return true;
  default:
    return false;
  }
}

uint64_t pleat_ulp_distance(pleat_dtype dtype, double a, double b) {
  uint64_t steps_a = 0, steps_b = 0;
  if ((PLEAT_M(dtype) & PLEAT_M_FLOATS) == 0) return 0;
  if (isnan(a) || isnan(b)) return isnan(a) && isnan(b) ? 0 : UINT64_MAX;
  if (!steps_from_zero(dtype, a, &steps_a) || !steps_from_zero(dtype, b, &steps_b)) return 0;
  if (signbit(a) != signbit(b)) return steps_a + steps_b;
  return steps_a > steps_b ? steps_a - steps_b : steps_b - steps_a;
}

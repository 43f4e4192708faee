/* Comparing tensors: the judgement behind `pleat validate`. */
#ifndef PLEAT_COMPARE_H
#define PLEAT_COMPARE_H

#include "pleat/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An element passes when |actual - expected| <= atol + rtol * |expected|; equal infinities pass, and so do two NaNs.
 * Strings and booleans must be equal; integers follow the same rule as floats. */
typedef struct pleat_tolerance {
  double rtol, atol;
} pleat_tolerance;

#define PLEAT_TOLERANCE_INIT                                                                                           \
  { .rtol = 1e-3, .atol = 1e-7 }

typedef struct pleat_comparison {
  bool match;       /* same kind, type and shape, and no bad element */
  bool comparable;  /* same kind, type and shape */
  char reason[256]; /* why it is not comparable, or what the first bad element is; "" on a match */
  uint64_t count;   /* elements compared */
  uint64_t bad;     /* elements out of tolerance */
  uint64_t nan_actual, nan_expected;
  double max_abs;         /* largest |actual - expected| over the finite pairs */
  double max_rel;         /* largest |actual - expected| / |expected| where expected is not 0 */
  uint64_t max_abs_index; /* flat, row-major index of max_abs */
  uint64_t first_bad;     /* flat index of the first bad element; UINT64_MAX when there is none */
  double first_bad_actual, first_bad_expected;
} pleat_comparison;

/* Compares element by element in double precision. Lists are compared item by item; the figures are of all items
 * together. Never fails: what cannot be compared does not match, with a reason. */
PLEAT_API void pleat_compare(const pleat_tensor *actual, const pleat_tensor *expected, pleat_tolerance tolerance,
                             pleat_comparison *out_comparison);

#ifdef __cplusplus
}
#endif
#endif

/* Comparing tensors: the judgement behind `pleat validate`. */
#ifndef PLEAT_COMPARE_H
#define PLEAT_COMPARE_H

#include "pleat/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An element is good when |actual - expected| <= atol + rtol * |expected| (the rule of ONNX's own backend tests),
 * or when the difference is within the noise that rounding leaves in a floating-point computation whatever the
 * order of its sums: |actual - expected| <= eps * max(noise * M, 2), where M is the largest finite |expected| of
 * the tensor and eps the spacing of its type above 1 (2^-23 for float, 2^-52 for double). The 16-bit types, which
 * are rounded from float once a node, get an eighth of it and no lower bound: eps * noise / 8 * M, eps 2^-10 for
 * float16, 2^-7 for bfloat16. The noise rule is for elements near zero beside large ones, and for the tails of
 * sigmoid and softmax; noise = 0 turns it off. Equal infinities are good, and so are two NaNs. Strings and
 * booleans must be equal; integers follow the first rule. */
typedef struct pleat_tolerance {
  double rtol, atol;
  double noise; /* in units of eps * M; 0: only rtol and atol count */
} pleat_tolerance;

#define PLEAT_TOLERANCE_INIT                                                                                           \
  { .rtol = 1e-3, .atol = 1e-7, .noise = 16 }

typedef struct pleat_comparison {
  bool match;       /* same kind, type and shape, and no bad element */
  bool comparable;  /* same kind, type and shape */
  char reason[256]; /* why it is not comparable, or what the first bad element is; "" on a match */
  uint64_t count;   /* elements compared */
  uint64_t bad;     /* elements out of tolerance */
  uint64_t noisy;   /* elements that are good by the noise rule only */
  uint64_t nan_actual, nan_expected;
  double max_abs;         /* largest |actual - expected| over the finite pairs */
  double max_rel;         /* largest |actual - expected| / |expected| where expected is not 0 */
  uint64_t max_abs_index; /* flat, row-major index of max_abs */
  uint64_t first_bad;     /* flat index of the first bad element; UINT64_MAX when there is none */
  double first_bad_actual, first_bad_expected;
  uint64_t max_ulp; /* the most steps between neighbours of the type (float, double, float16, bfloat16) over the finite
                       pairs; large for elements near 0, where steps are small */
} pleat_comparison;

/* Compares element by element in double precision. Lists are compared item by item; the figures are of all items
 * together. Never fails: what cannot be compared does not match, with a reason. */
PLEAT_API void pleat_compare(const pleat_tensor *actual, const pleat_tensor *expected, pleat_tolerance tolerance,
                             pleat_comparison *out_comparison);

#ifdef __cplusplus
}
#endif
#endif

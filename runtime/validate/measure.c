/* Errors of an output against the oracle, and what they mean.
 *
 * Everything is measured in double; the oracle's values are not rounded to the output's type first, but for counting
 * steps. pleat/check.h has the rule. */
#include <math.h>
#include <string.h>

#include "validate/validate_private.h"

enum { BLOCK = 512 };

/* The one place where tolerances are stated: some hundred roundings of the type, in parts of the output's range. */
double pleat_check_tolerance(pleat_dtype dtype) {
  switch (dtype) {
  case PLEAT_DOUBLE:
    return 1e-12;
  case PLEAT_FLOAT:
    return 1e-5;
  case PLEAT_FLOAT16:
    return 2e-3;
  case PLEAT_BFLOAT16:
    return 2e-2;
  default:
    return 0;
  }
}

static bool is_measured(pleat_dtype dtype) {
  return pleat_check_tolerance(dtype) > 0;
}

/* ---- elements ---- */

static void add_error(pleat_check_error *error, pleat_dtype dtype, double actual, double expected) {
  if (actual == expected || (isnan(actual) && isnan(expected))) return;
  if (!isfinite(actual) || !isfinite(expected)) {
    error->not_finite++;
    return;
  }
  const double difference = fabs(actual - expected), size = fabs(expected);
  const uint64_t ulp = pleat_ulp_distance(dtype, actual, expected);
  error->max_abs = fmax(error->max_abs, difference);
  if (size > 0) error->max_rel = fmax(error->max_rel, difference / size);
  if (ulp > error->max_ulp) error->max_ulp = ulp;
}

static void measure_floats(pleat_check_output *output, const pleat_tensor *original, const pleat_tensor *folded,
                           const pleat_tensor *oracle) {
  double a[BLOCK], b[BLOCK];
  const double *truth = oracle->data;
  const pleat_dtype dtype = original->dtype;
  const size_t size = pleat_dtype_size(dtype);
  for (size_t at = 0; at < original->count; at += BLOCK) {
    const size_t n = original->count - at < BLOCK ? original->count - at : BLOCK;
    pleat_convert(dtype, (const char *)original->data + at * size, PLEAT_DOUBLE, a, n, NULL);
    pleat_convert(dtype, (const char *)folded->data + at * size, PLEAT_DOUBLE, b, n, NULL);
    for (size_t i = 0; i < n; i++) {
      const double expected = truth[at + i];
      if (isfinite(expected)) output->range = fmax(output->range, fabs(expected));
      add_error(&output->original, dtype, a[i], expected);
      add_error(&output->folded, dtype, b[i], expected);
      add_error(&output->difference, dtype, b[i], a[i]);
    }
  }
}

static size_t top_of(const pleat_tensor *tensor, size_t first, size_t length) {
  size_t top = 0;
  double most = pleat_load_f64(tensor->dtype, tensor->data, first);
  for (size_t i = 1; i < length; i++) {
    const double value = pleat_load_f64(tensor->dtype, tensor->data, first + i);
    if (!(value > most)) continue;
    most = value;
    top = i;
  }
  return top;
}

static void compare_tops(pleat_check_output *output, const pleat_tensor *original, const pleat_tensor *folded,
                         const pleat_tensor *oracle) {
  const size_t length = original->rank > 0 ? (size_t)original->dims[original->rank - 1] : 0;
  for (size_t at = 0; length > 1 && at < original->count; at += length) {
    const size_t a = top_of(original, at, length), b = top_of(folded, at, length), top = top_of(oracle, at, length);
    output->rows++;
    output->original.other_top += a != top;
    output->folded.other_top += b != top;
    output->difference.other_top += a != b;
  }
}

static bool equal_at(const pleat_tensor *a, const pleat_tensor *b, size_t index) {
  const size_t size = pleat_dtype_size(a->dtype);
  if (a->dtype != PLEAT_STRING)
    return memcmp((const char *)a->data + index * size, (const char *)b->data + index * size, size) == 0;
  const pleat_string *x = (const pleat_string *)a->data + index, *y = (const pleat_string *)b->data + index;
  return x->size == y->size && (x->size == 0 || memcmp(x->data, y->data, x->size) == 0);
}

static void measure_others(pleat_check_output *output, const pleat_tensor *original, const pleat_tensor *folded,
                           const pleat_tensor *oracle) {
  for (size_t i = 0; i < original->count; i++) {
    output->original.unequal += !equal_at(original, oracle, i);
    output->folded.unequal += !equal_at(folded, oracle, i);
    output->difference.unequal += !equal_at(folded, original, i);
  }
}

/* ---- tensors and lists ---- */

/* One kind and shape, and one type but for what the oracle widened. */
static bool alike(const pleat_tensor *a, const pleat_tensor *b, bool b_is_oracle) {
  if (a->kind != b->kind) return false;
  if (a->kind != PLEAT_KIND_TENSOR) return a->count == b->count;
  return (b_is_oracle ? pleat_dtype_promoted(a->dtype) : a->dtype) == b->dtype && pleat_same_shape(a, b);
}

bool pleat_check_measure(pleat_arena *arena, pleat_check_output *output, const pleat_tensor *original,
                         const pleat_tensor *folded, const pleat_tensor *oracle) {
  char expected[128], found[128];
  if (!alike(original, folded, false)) {
    const char *reason =
        pleat_arena_printf(arena, "it is %s, the original's is %s", pleat_tensor_text(folded, found, sizeof found),
                           pleat_tensor_text(original, expected, sizeof expected));
    output->reason = reason != NULL ? reason : "it has another type or shape than the original's";
    return false;
  }
  if (!alike(original, oracle, true)) {
    output->reason = "not compared: in the oracle it has another shape, since that depends on rounded values";
    return true;
  }
  if (original->kind != PLEAT_KIND_TENSOR) {
    for (size_t i = 0; i < original->count; i++) {
      if (!pleat_check_measure(arena, output, original->items[i], folded->items[i], oracle->items[i])) return false;
    }
    return true;
  }
  output->dtype = original->dtype;
  output->count += original->count;
  if (is_measured(original->dtype)) {
    measure_floats(output, original, folded, oracle);
    compare_tops(output, original, folded, oracle);
  } else measure_others(output, original, folded, oracle);
  return true;
}

/* ---- the verdict ---- */

double pleat_check_limit(const pleat_check_output *output, double tolerance) {
  /* An output that is all zero has no range to be a part of. */
  return fmax(2 * output->original.max_abs, tolerance * (output->range > 0 ? output->range : 1));
}

void pleat_check_judge(pleat_arena *arena, pleat_check_output *output, double tolerance) {
  const pleat_check_error *original = &output->original, *folded = &output->folded;
  const uint64_t unequal_limit = 2 * original->unequal + output->count / 1000;
  const char *reason = output->reason != NULL ? output->reason : "";
  output->limit = pleat_check_limit(output, tolerance);
  output->passed = true;
  output->reason = reason;
  if (!(folded->max_abs <= output->limit)) {
    reason = pleat_arena_printf(arena, "its error of %.2g is above the limit of %.2g (the original's error is %.2g)",
                                folded->max_abs, output->limit, original->max_abs);
  } else if (folded->not_finite > original->not_finite) {
    reason = pleat_arena_printf(arena, "%llu elements are infinite or NaN where they should not be, or the reverse",
                                (unsigned long long)folded->not_finite);
  } else if (folded->unequal > unequal_limit) {
    reason = pleat_arena_printf(arena, "%llu of %llu elements differ (%llu of the original's do)",
                                (unsigned long long)folded->unequal, (unsigned long long)output->count,
                                (unsigned long long)original->unequal);
  } else {
    return;
  }
  output->passed = false;
  output->reason = reason != NULL ? reason : "it is not as exact as the original's";
}

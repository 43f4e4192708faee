/* Comparing tensors, element by element, against a tolerance.
 *
 * Numbers are widened to double in blocks; integers of 64 bits, which a double cannot hold, are subtracted as integers.
 * Invariant: an element is bad unless it is proven good, so that NaN on one side, or an infinity against anything else,
 * never passes by way of an arithmetic that yields NaN or infinity on both sides of the comparison. */
#include "pleat/compare.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/tensor.h"

enum {
  BLOCK = 512,
  HALF_NOISE = 8 /* see compare.h */
};

typedef struct comparer {
  pleat_comparison *out;
  pleat_tolerance tolerance;
  uint64_t base;     /* elements before the current tensor, in a list */
  double floor;      /* the noise rule's bound for the current tensor */
  pleat_dtype dtype; /* of the current tensor */
} comparer;

/* ---- the first difference, in words ---- */

static void describe_index(const pleat_tensor *tensor, uint64_t index, char *text, size_t size) {
  uint64_t at[PLEAT_MAX_RANK];
  for (int i = tensor->rank - 1; i >= 0; i--) {
    at[i] = index % (uint64_t)tensor->dims[i];
    index /= (uint64_t)tensor->dims[i];
  }
  size_t used = (size_t)snprintf(text, size, "[");
  for (int i = 0; i < tensor->rank && used < size; i++) {
    used += (size_t)snprintf(text + used, size - used, "%s%" PRIu64, i > 0 ? "," : "", at[i]);
  }
  if (used < size) snprintf(text + used, size - used, "]");
}

static void note_bad(comparer *c, const pleat_tensor *tensor, uint64_t index, double actual, double expected) {
  pleat_comparison *out = c->out;
  out->bad++;
  if (out->first_bad != UINT64_MAX) return;
  out->first_bad = c->base + index;
  out->first_bad_actual = actual;
  out->first_bad_expected = expected;
  char place[128];
  describe_index(tensor, index, place, sizeof place);
  snprintf(out->reason, sizeof out->reason, "element %s is %.9g, expected %.9g", place, actual, expected);
}

/* ---- elements ---- */

/* Takes one pair's difference into the figures; false when it is out of tolerance. */
static bool judge_finite(comparer *c, uint64_t index, double difference, double expected) {
  pleat_comparison *out = c->out;
  double size = fabs(expected);
  if (difference > out->max_abs) {
    out->max_abs = difference;
    out->max_abs_index = c->base + index;
  }
  if (size > 0 && difference / size > out->max_rel) out->max_rel = difference / size;
  if (difference <= c->tolerance.atol + c->tolerance.rtol * size) return true;
  bool is_noise = c->floor > 0 && difference <= c->floor;
  out->noisy += is_noise;
  return is_noise;
}

/* The noise rule's bound (see compare.h); 0 for types that do not round. */
static double noise_floor(const pleat_tensor *expected, double noise) {
  double spacing = 0, largest = 0;
  switch (expected->dtype) {
  case PLEAT_FLOAT:
    spacing = 0x1p-23;
    break;
  case PLEAT_DOUBLE:
    spacing = 0x1p-52;
    break;
  case PLEAT_FLOAT16:
    spacing = 0x1p-10;
    noise /= HALF_NOISE;
    break;
  case PLEAT_BFLOAT16:
    spacing = 0x1p-7;
    noise /= HALF_NOISE;
    break;
  default:
    return 0;
  }
  if (!(noise > 0)) return 0;
  for (size_t i = 0; i < expected->count; i++) {
    double size = fabs(pleat_load_f64(expected->dtype, expected->data, i));
    if (isfinite(size) && size > largest) largest = size;
  }
  bool is_half = spacing > 0x1p-23;
  return spacing * fmax(noise * largest, is_half ? 0 : 2);
}

static bool judge(comparer *c, uint64_t index, double actual, double expected) {
  bool nan_actual = isnan(actual), nan_expected = isnan(expected);
  c->out->nan_actual += nan_actual;
  c->out->nan_expected += nan_expected;
  if (nan_actual || nan_expected) return nan_actual && nan_expected;
  if (isinf(actual) || isinf(expected)) return actual == expected;
  if (actual != expected) {
    uint64_t ulp = pleat_ulp_distance(c->dtype, actual, expected);
    if (ulp > c->out->max_ulp) c->out->max_ulp = ulp;
  }
  return judge_finite(c, index, fabs(actual - expected), expected);
}

static void compare_numbers(comparer *c, const pleat_tensor *actual, const pleat_tensor *expected) {
  double a[BLOCK], e[BLOCK];
  size_t size = pleat_dtype_size(actual->dtype);
  for (size_t at = 0; at < actual->count; at += BLOCK) {
    size_t n = actual->count - at < BLOCK ? actual->count - at : BLOCK;
    pleat_convert(actual->dtype, (const char *)actual->data + at * size, PLEAT_DOUBLE, a, n, NULL);
    pleat_convert(actual->dtype, (const char *)expected->data + at * size, PLEAT_DOUBLE, e, n, NULL);
    for (size_t i = 0; i < n; i++) {
      if (!judge(c, at + i, a[i], e[i])) note_bad(c, actual, at + i, a[i], e[i]);
    }
  }
}

/* A complex element is good when both of its parts are. */
static void compare_complex(comparer *c, const pleat_tensor *actual, const pleat_tensor *expected) {
  pleat_dtype part = actual->dtype == PLEAT_COMPLEX64 ? PLEAT_FLOAT : PLEAT_DOUBLE;
  for (size_t i = 0; i < actual->count; i++) {
    double a[2], e[2];
    bool good[2];
    for (size_t k = 0; k < 2; k++) {
      a[k] = pleat_load_f64(part, actual->data, 2 * i + k);
      e[k] = pleat_load_f64(part, expected->data, 2 * i + k);
      good[k] = judge(c, i, a[k], e[k]);
    }
    size_t shown = good[0] ? 1 : 0;
    if (!good[0] || !good[1]) note_bad(c, actual, i, a[shown], e[shown]);
  }
}

static void compare_wide_ints(comparer *c, const pleat_tensor *actual, const pleat_tensor *expected) {
  bool is_signed = actual->dtype == PLEAT_INT64;
  const uint64_t *a = actual->data, *e = expected->data;   /* int64_t may be read as its unsigned type */
  const uint64_t flip = is_signed ? UINT64_C(1) << 63 : 0; /* makes the unsigned order that of the values */
  for (size_t i = 0; i < actual->count; i++) {
    uint64_t difference = (a[i] ^ flip) > (e[i] ^ flip) ? a[i] - e[i] : e[i] - a[i];
    double wanted = pleat_load_f64(expected->dtype, e, i);
    if (!judge_finite(c, i, (double)difference, wanted)) {
      note_bad(c, actual, i, pleat_load_f64(actual->dtype, a, i), wanted);
    }
  }
}

static void compare_bools(comparer *c, const pleat_tensor *actual, const pleat_tensor *expected) {
  const uint8_t *a = actual->data, *e = expected->data;
  for (size_t i = 0; i < actual->count; i++) {
    double found = a[i] != 0, wanted = e[i] != 0;
    (void)judge(c, i, found, wanted); /* for the figures: no tolerance applies */
    if (found != wanted) note_bad(c, actual, i, found, wanted);
  }
}

static void compare_strings(comparer *c, const pleat_tensor *actual, const pleat_tensor *expected) {
  const pleat_string *a = actual->data, *e = expected->data;
  for (size_t i = 0; i < actual->count; i++) {
    if (a[i].size == e[i].size && (a[i].size == 0 || memcmp(a[i].data, e[i].data, a[i].size) == 0)) continue;
    bool first = c->out->first_bad == UINT64_MAX;
    note_bad(c, actual, i, 0, 0);
    if (!first) continue;
    char place[128];
    int shown_a = a[i].size < 40 ? (int)a[i].size : 40, shown_e = e[i].size < 40 ? (int)e[i].size : 40;
    describe_index(actual, i, place, sizeof place);
    snprintf(c->out->reason, sizeof c->out->reason, "element %s is \"%.*s\", expected \"%.*s\"", place, shown_a,
             shown_a > 0 ? a[i].data : "", shown_e, shown_e > 0 ? e[i].data : "");
  }
}

/* ---- tensors and lists ---- */

static bool not_comparable(comparer *c, const char *what, const char *found, const char *wanted) {
  snprintf(c->out->reason, sizeof c->out->reason, "%s: expected %s, found %s", what, wanted, found);
  return false;
}

static bool compare_value(comparer *c, const pleat_tensor *actual, const pleat_tensor *expected);

static bool compare_list(comparer *c, const pleat_tensor *actual, const pleat_tensor *expected) {
  if (actual->count != expected->count) {
    char found[64], wanted[64];
    return not_comparable(c, "not the same number of items", pleat_tensor_text(actual, found, sizeof found),
                          pleat_tensor_text(expected, wanted, sizeof wanted));
  }
  for (size_t i = 0; i < actual->count; i++) {
    if (!compare_value(c, actual->items[i], expected->items[i])) return false;
  }
  return true;
}

/* Compares what there is; false, with a reason, when the two are not of one kind, type and shape. */
static bool compare_value(comparer *c, const pleat_tensor *actual, const pleat_tensor *expected) {
  if (actual == NULL || expected == NULL) {
    return not_comparable(c, "nothing to compare", actual == NULL ? "none" : "a value",
                          expected == NULL ? "none" : "a value");
  }
  char found[100], wanted[100];
  pleat_tensor_text(actual, found, sizeof found);
  pleat_tensor_text(expected, wanted, sizeof wanted);
  if (actual->kind != expected->kind) return not_comparable(c, "not the same kind of value", found, wanted);
  if (actual->kind != PLEAT_KIND_TENSOR) return compare_list(c, actual, expected);
  if (actual->dtype != expected->dtype) return not_comparable(c, "not the same data type", found, wanted);
  if (!pleat_same_shape(actual, expected)) return not_comparable(c, "not the same shape", found, wanted);
  if (actual->count > 0 && (actual->data == NULL || expected->data == NULL)) {
    return not_comparable(c, "a tensor has no data", actual->data == NULL ? "none" : found,
                          expected->data == NULL ? "none" : wanted);
  }
  c->floor = noise_floor(expected, c->tolerance.noise);
  c->dtype = actual->dtype;
  switch (actual->dtype) {
  case PLEAT_STRING:
    compare_strings(c, actual, expected);
    break;
  case PLEAT_BOOL:
    compare_bools(c, actual, expected);
    break;
  case PLEAT_COMPLEX64:
  case PLEAT_COMPLEX128:
    compare_complex(c, actual, expected);
    break;
  case PLEAT_INT64:
  case PLEAT_UINT64:
    compare_wide_ints(c, actual, expected);
    break;
  default:
    compare_numbers(c, actual, expected);
    break;
  }
  c->base += actual->count;
  c->out->count += actual->count;
  return true;
}

void pleat_compare(const pleat_tensor *actual, const pleat_tensor *expected, pleat_tolerance tolerance,
                   pleat_comparison *out_comparison) {
  *out_comparison = (pleat_comparison){.first_bad = UINT64_MAX};
  comparer c = {.out = out_comparison, .tolerance = tolerance};
  out_comparison->comparable = compare_value(&c, actual, expected);
  out_comparison->match = out_comparison->comparable && out_comparison->bad == 0;
}

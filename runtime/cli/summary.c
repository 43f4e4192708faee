/* Figures of one tensor, computed in double precision over the library's own cast.
 *
 * Invariants: NaN is counted and kept out of minimum, maximum and mean; 64-bit integers are shown from their own bits,
 * which a double would round. Best classes: NaN last, ties by index. Values that already are a distribution (none
 * negative, sum 1 within 1e-3) are taken as probabilities; others get a softmax, stable by subtracting the largest. */
#include "summary.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

enum { SHOWN = 6, STRING_SHOWN = 24 };

pleat_status summary_init(summary *summary, const pleat_tensor *tensor, pleat_error *error) {
  *summary = (struct summary){.min = INFINITY, .max = -INFINITY};
  pleat_dtype dtype = pleat_tensor_dtype(tensor);
  if (pleat_tensor_kind(tensor) != PLEAT_KIND_TENSOR || dtype == PLEAT_STRING || dtype == PLEAT_COMPLEX64 ||
      dtype == PLEAT_COMPLEX128)
    return PLEAT_OK;
  pleat_status status = pleat_tensor_cast(tensor, PLEAT_DOUBLE, &summary->doubles, error);
  if (status != PLEAT_OK) return status;
  const double *values = pleat_tensor_const_data(summary->doubles);
  size_t count = pleat_tensor_count(summary->doubles);
  double sum = 0;
  for (size_t i = 0; i < count; i++) {
    if (isnan(values[i])) {
      summary->nan_count++;
      continue;
    }
    if (values[i] < summary->min) summary->min = values[i];
    if (values[i] > summary->max) summary->max = values[i];
    sum += values[i];
  }
  summary->has_figures = count > summary->nan_count;
  if (summary->has_figures) summary->mean = sum / (double)(count - summary->nan_count);
  return PLEAT_OK;
}

void summary_deinit(summary *summary) {
  pleat_tensor_release(summary->doubles);
  summary->doubles = NULL;
}

static void put_string(const pleat_string *string, char *out, size_t size) {
  int length = string->size > STRING_SHOWN ? STRING_SHOWN : (int)string->size;
  snprintf(out, size, "\"%.*s%s\"", length, length ? string->data : "", string->size > STRING_SHOWN ? "..." : "");
}

static void put_element(const pleat_tensor *tensor, const summary *summary, size_t i, char *out, size_t size) {
  const void *data = pleat_tensor_const_data(tensor);
  char real[TEXT_NUMBER], imaginary[TEXT_NUMBER];
  switch (pleat_tensor_dtype(tensor)) {
  case PLEAT_STRING:
    put_string(&((const pleat_string *)data)[i], out, size);
    break;
  case PLEAT_BOOL:
    snprintf(out, size, "%s", ((const bool *)data)[i] ? "true" : "false");
    break;
  case PLEAT_INT64:
    snprintf(out, size, "%" PRId64, ((const int64_t *)data)[i]);
    break;
  case PLEAT_UINT64:
    snprintf(out, size, "%" PRIu64, ((const uint64_t *)data)[i]);
    break;
  case PLEAT_COMPLEX64:
    snprintf(out, size, "(%s,%s)", text_number(((const float *)data)[2 * i], real),
             text_number(((const float *)data)[2 * i + 1], imaginary));
    break;
  case PLEAT_COMPLEX128:
    snprintf(out, size, "(%s,%s)", text_number(((const double *)data)[2 * i], real),
             text_number(((const double *)data)[2 * i + 1], imaginary));
    break;
  default:
    snprintf(out, size, "%s", text_number(((const double *)pleat_tensor_const_data(summary->doubles))[i], real));
  }
}

const char *summary_first_values(const pleat_tensor *tensor, const summary *summary, char *buffer) {
  size_t count = pleat_tensor_count(tensor), used = 0;
  buffer[0] = '\0';
  for (size_t i = 0; i < count && i < SHOWN; i++) {
    char element[80];
    put_element(tensor, summary, i, element, sizeof element);
    int length = snprintf(buffer + used, TEXT_TYPE - used, "%s%s", i ? " " : "", element);
    used += (size_t)length; /* SHOWN elements always fit */
  }
  if (count > SHOWN) snprintf(buffer + used, TEXT_TYPE - used, " ...");
  return buffer;
}

/* ---- classes ---- */

bool summary_is_distribution(const double *values, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; i++) {
    if (!(values[i] >= 0)) return false;
    sum += values[i];
  }
  return fabs(sum - 1) <= 1e-3;
}

static int better_first(const void *left, const void *right) {
  const top_class *a = left, *b = right;
  if (isnan(a->value) != isnan(b->value)) return isnan(a->value) ? 1 : -1;
  if (a->value != b->value && !isnan(a->value)) return a->value > b->value ? -1 : 1;
  return a->index < b->index ? -1 : 1;
}

size_t summary_top(const double *values, size_t count, size_t k, top_class *out_classes) {
  top_class *all = cli_calloc(count, sizeof *all);
  for (size_t i = 0; i < count; i++) all[i] = (top_class){.index = i, .value = values[i]};
  qsort(all, count, sizeof *all, better_first);
  bool distribution = summary_is_distribution(values, count);
  double sum = 0;
  for (size_t i = 0; i < count && !distribution; i++) sum += exp(values[i] - all[0].value);
  size_t found = count < k ? count : k;
  for (size_t i = 0; i < found; i++) {
    all[i].probability = distribution ? all[i].value : exp(all[i].value - all[0].value) / sum;
    out_classes[i] = all[i];
  }
  free(all);
  return found;
}

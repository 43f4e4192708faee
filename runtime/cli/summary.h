/* Figures of one tensor. */
#ifndef PLEAT_CLI_SUMMARY_H
#define PLEAT_CLI_SUMMARY_H

#include "text.h"

typedef struct summary {
  bool has_figures;      /* real numbers, and at least one that is not NaN */
  pleat_tensor *doubles; /* the elements in double precision; NULL for strings, complex numbers and lists */
  size_t nan_count;
  double min, max, mean; /* over what is not NaN */
} summary;

pleat_status summary_init(summary *summary, const pleat_tensor *tensor, pleat_error *error);
void summary_deinit(summary *summary);

/* The first elements as text, "0.1 0.25 3 ...", in a buffer of TEXT_TYPE bytes. */
const char *summary_first_values(const pleat_tensor *tensor, const summary *summary, char *buffer);

/* One row of the last axis: the best classes. */
typedef struct top_class {
  size_t index;
  double value, probability;
} top_class;

bool summary_is_distribution(const double *values, size_t count); /* not negative, and the sum is 1 within 0.001 */
/* Fills min(k, count) classes, best first; NaN is worse than all. `probability` is the value itself for a distribution,
 * else the softmax over the row. Returns how many. */
size_t summary_top(const double *values, size_t count, size_t k, top_class *out_classes);

#endif

/* The p-norm's two halves, with the usual exponents cheap: |v|^p and its root. `p` of LpPool and GlobalLpPool is a
 * float in opset 1 and an integer after. */
#ifndef PLEAT_OPS_LP_NORM_H
#define PLEAT_OPS_LP_NORM_H

#include <math.h>

#include "ops/ops.h"

static inline double pleat_lp_power(double v, double p) {
  if (p == 2) return v * v;
  return p == 1 ? fabs(v) : pow(fabs(v), p);
}

static inline double pleat_lp_root(double sum, double p) {
  if (p == 2) return sqrt(sum);
  return p == 1 ? sum : pow(sum, 1 / p);
}

/* Opset 1 is the version without a flag. */
enum { PLEAT_LP_INTEGER = 1 };
static inline double pleat_lp_order(const pleat_node *node, const pleat_op_version *version) {
  if ((version->flags & PLEAT_LP_INTEGER) != 0) return (double)pleat_attr_int(node, "p");
  return (double)pleat_attr_float(node, "p");
}

static inline pleat_status pleat_lp_check(const pleat_infer *ctx) {
  double p = pleat_lp_order(ctx->node, ctx->version);
  if (p > 0) return PLEAT_OK;
  return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "attribute p: expected a positive value, found %g", p);
}

#define PLEAT_LP_ATTRS                                                                                                 \
  {.name = "p", .type = PLEAT_ATTR_FLOAT, .until = 1, .f = 2}, {                                                       \
    .name = "p", .type = PLEAT_ATTR_INT, .since = 2, .i = 2                                                            \
  }

#endif

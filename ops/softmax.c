/* Softmax, LogSoftmax and Hardmax: y = exp(x - max) / sum(exp(x - max)) along an axis, its logarithm, and 1 at the
 * first maximum. Before opset 13 the input counts as a matrix: dimensions before `axis` are rows, those from it on
 * columns. The maximum is subtracted first, so nothing overflows; sums are taken in double. */
#include <string.h>
#include <tgmath.h>

#include "ops/kernels.h"
#include "ops/slices.h"

enum softmax_kind { SOFTMAX = 0, LOG_SOFTMAX = 1, HARDMAX = 2 };
enum { KIND_MASK = 3, COERCE = 4 }; /* version flags: softmax_kind, and the matrix semantics of old opsets */

typedef struct softmax_plan {
  enum softmax_kind kind;
  pleat_slices slices;
} softmax_plan;

#define PLEAT_TEMPLATE "ops/softmax.inc"
#define PLEAT_TEMPLATE_FLOATS
#include "ops/template.h"

/* The axis, with the version's default. A matrix may have all dimensions as rows: axis == rank. False: out of range. */
static bool softmax_axis(const pleat_node *node, const pleat_op_version *version, int rank, int *out_axis) {
  bool coerce = (version->flags & COERCE) != 0;
  const pleat_attr *attr = pleat_node_attr(node, "axis");
  int64_t axis = attr != NULL ? attr->i : coerce ? 1 : -1;
  *out_axis = rank;
  return (coerce && axis == rank) || pleat_axis(axis, rank, out_axis);
}

static pleat_status softmax_infer(pleat_infer *ctx) {
  int rank = ctx->inputs[0].shape.rank, axis;
  if (rank >= 0 && !softmax_axis(ctx->node, ctx->version, rank, &axis))
    return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "attribute axis: out of range for an input of rank %d", rank);
  return pleat_infer_same(ctx);
}

static pleat_status softmax_run(const pleat_call *call) {
  const pleat_tensor *x = call->inputs[0];
  unsigned flags = call->version->flags;
  softmax_plan plan = {.kind = (enum softmax_kind)(flags & KIND_MASK)};
  int first = 0;
  (void)softmax_axis(call->node, call->version, x->rank, &first);
  plan.slices = pleat_slices_of(x, first, (flags & COERCE) != 0 ? x->rank : first + 1);
  PLEAT_SWITCH_FLOATS(x->dtype, (void), softmax, (call, &plan))
  return PLEAT_OK;
}

static const pleat_kernel reference = {
    .name = "reference",
    .types = PLEAT_M_FLOATS,
    .flags = PLEAT_KERNEL_WIDEN,
    .inplace = 1,
    .run = softmax_run,
};
static const pleat_kernel *const kernels[] = {PLEAT_ONEDNN_KERNEL(pleat_onednn_softmax) & reference, NULL};

/* The default is 1 before opset 13 and -1 from then on: see softmax_axis. */
static const pleat_op_attr attrs[] = {{.name = "axis", .type = PLEAT_ATTR_INT, .i = -1}, {0}};

static const char *softmax_apart(const pleat_infer *whole, const pleat_role *roles) {
  int axis = 0;
  if (!softmax_axis(whole->node, whole->version, whole->inputs[0].shape.rank, &axis) || axis == 0)
    return "it runs along the samples";
  return pleat_apart_first(whole, roles);
}

#define SOFTMAX_OP(op, kind)                                                                                           \
  static const pleat_op_version op##_versions[] = {                                                                    \
      {1, 1, 1, 1, 1, PLEAT_M_FLOATS, kind | COERCE}, {13, 1, 1, 1, 1, PLEAT_M_FLOATS, kind}, {0}};                    \
  const pleat_op_def pleat_op_##op = {                                                                                 \
      .domain = "",                                                                                                    \
      .name = #op,                                                                                                     \
      .versions = op##_versions,                                                                                       \
      .attrs = attrs,                                                                                                  \
      .infer = softmax_infer,                                                                                          \
      .kernels = kernels,                                                                                              \
      .apart = softmax_apart,                                                                                          \
  };

SOFTMAX_OP(Softmax, SOFTMAX)
SOFTMAX_OP(LogSoftmax, LOG_SOFTMAX)
SOFTMAX_OP(Hardmax, HARDMAX)

/* ReduceSum, ReduceMean, ReduceMax, ReduceMin, ReduceProd, ReduceSumSquare, ReduceL1, ReduceL2, ReduceLogSum and
 * ReduceLogSumExp: one line of data each.
 *
 * An operator is a step (how a value is taken into an accumulator) and a finish. Neighbouring dimensions that are all
 * kept or all reduced are merged first, which leaves two cases for the innermost one: reduced (runs are folded into one
 * accumulator) or kept (rows are folded into rows of accumulators, also where a short reduced one lies behind). Floats
 * are accumulated in double. An empty set gives the step's identity. Roots and logarithms of integers are taken in
 * double and truncated. */
#include <math.h>
#include <string.h>

#include "core/checked.h"
#include "ops/kernels.h"
#include "ops/slices.h"

enum { LANES = 8, REDUCE_BLOCK = 256 };

enum reduce_step { STEP_SUM, STEP_ABS, STEP_SQUARE, STEP_PROD, STEP_MAX, STEP_MIN, STEP_EXP };
enum reduce_finish { FINISH_NONE, FINISH_MEAN, FINISH_SQRT, FINISH_LOG };

typedef struct reduce_op {
  enum reduce_step step;
  enum reduce_finish finish;
} reduce_op;

/* A nest of loops over part of the input's dimensions, outermost first. */
typedef struct loop_nest {
  int rank;
  size_t total; /* iterations */
  size_t dims[PLEAT_MAX_RANK], strides[PLEAT_MAX_RANK];
} loop_nest;

typedef struct reduce_state {
  const reduce_op *op;
  loop_nest kept, reduced; /* without the innermost merged dimension */
  size_t inner;            /* that dimension */
  size_t step;             /* between its elements: 1, or what a short reduced dimension behind it takes */
  bool inner_reduced;
  size_t reduced_count, work;
  union { /* by accumulator type; named so that the template finds its own */
    double of_f32, of_f64;
    int64_t of_i8, of_i16, of_i32, of_i64;
    uint64_t of_u8, of_u16, of_u32, of_u64;
  } identity;
} reduce_state;

typedef struct reduce_data {
  const void *x; /* NULL: empty */
  void *y;
} reduce_data;

/* Outputs that lie side by side, and so do their inputs. */
static size_t row_of(const reduce_state *s) {
  return s->inner_reduced ? 1 : s->inner;
}

static size_t blocks_of(const reduce_state *s) {
  return (row_of(s) + REDUCE_BLOCK - 1) / REDUCE_BLOCK;
}

/* Where iteration `i` of the nest starts. */
static size_t loop_offset(const loop_nest *nest, size_t i) {
  size_t offset = 0;
  for (int d = nest->rank - 1; d >= 0; d--) {
    offset += i % nest->dims[d] * nest->strides[d];
    i /= nest->dims[d];
  }
  return offset;
}

/* Steps `index` and `offset` to the next iteration. */
static inline void loop_next(const loop_nest *nest, size_t *index, size_t *offset) {
  for (int d = nest->rank - 1; d >= 0; d--) {
    *offset += nest->strides[d];
    if (++index[d] < nest->dims[d]) return;
    *offset -= nest->strides[d] * nest->dims[d];
    index[d] = 0;
  }
}

#define PLEAT_TEMPLATE "ops/reduce.inc"
#define PLEAT_TEMPLATE_FLOATS
#define PLEAT_TEMPLATE_SINTS
#define PLEAT_TEMPLATE_UINTS
#include "ops/template.h"

/* ---- axes and shapes ---- */

/* Version flags: where the axes are, and the operator (an index into `operators`). */
enum { AXES_INPUT = 1 << 8, OPERATOR_MASK = 0xff };

/* Marks the axes to reduce. No axes: all, or none with noop_with_empty_axes. */
static pleat_status mark_axes(const pleat_node *node, const int64_t *axes, size_t count, int rank, bool *out_reduced,
                              pleat_error *error) {
  bool all = count == 0 && pleat_attr_int(node, "noop_with_empty_axes") == 0;
  for (int d = 0; d < rank; d++) out_reduced[d] = all;
  return pleat_mark_axes(axes, count, rank, out_reduced, error);
}

static pleat_status reduce_infer(pleat_infer *ctx) {
  const pleat_shape *in = &ctx->inputs[0].shape;
  pleat_type *out = &ctx->outputs[0];
  bool keep = pleat_attr_int(ctx->node, "keepdims") != 0, reduced[PLEAT_MAX_RANK];
  const int64_t *axes = NULL;
  int64_t values[PLEAT_MAX_RANK];
  size_t count = 0;
  out->dtype = ctx->inputs[0].dtype;
  if (in->rank < 0) return PLEAT_OK;
  if ((ctx->version->flags & AXES_INPUT) == 0) {
    count = pleat_attr_ints(ctx->node, "axes", &axes);
  } else if (pleat_infer_has(ctx, 1)) {
    pleat_status status = PLEAT_OK;
    int known = pleat_infer_ints(ctx, 1, values, PLEAT_MAX_RANK, &status);
    PLEAT_TRY(status);
    if (known < 0) {
      if (keep) out->shape = pleat_shape_of_rank(in->rank);
      return PLEAT_OK;
    }
    axes = values;
    count = (size_t)known;
  }
  PLEAT_TRY(mark_axes(ctx->node, axes, count, in->rank, reduced, ctx->error));
  out->shape = pleat_shape_of_rank(0);
  for (int d = 0; d < in->rank; d++) {
    if (!reduced[d]) out->shape.dims[out->shape.rank++] = in->dims[d];
    else if (keep) out->shape.dims[out->shape.rank++] = pleat_dim_known(1);
  }
  return PLEAT_OK;
}

/* ---- the kernel ---- */

/* In the order of the REDUCE_OP lines at the end. */
enum { OP_SUM, OP_MEAN, OP_MAX, OP_MIN, OP_PROD, OP_SUM_SQUARE, OP_L1, OP_L2, OP_LOG_SUM, OP_LOG_SUM_EXP };
static const reduce_op operators[] = {
    [OP_SUM] = {STEP_SUM, FINISH_NONE},    [OP_MEAN] = {STEP_SUM, FINISH_MEAN},
    [OP_MAX] = {STEP_MAX, FINISH_NONE},    [OP_MIN] = {STEP_MIN, FINISH_NONE},
    [OP_PROD] = {STEP_PROD, FINISH_NONE},  [OP_SUM_SQUARE] = {STEP_SQUARE, FINISH_NONE},
    [OP_L1] = {STEP_ABS, FINISH_NONE},     [OP_L2] = {STEP_SQUARE, FINISH_SQRT},
    [OP_LOG_SUM] = {STEP_SUM, FINISH_LOG}, [OP_LOG_SUM_EXP] = {STEP_EXP, FINISH_LOG},
};

/* Integers whose result is not one: computed in double. */
static bool through_double(const reduce_op *op, pleat_dtype dtype) {
  return (op->finish == FINISH_SQRT || op->finish == FINISH_LOG) && pleat_dtype_is_int(dtype);
}

static void set_identity(reduce_state *s, pleat_dtype dtype) {
  bool max = s->op->step == STEP_MAX, extreme = max || s->op->step == STEP_MIN;
  int one = s->op->step == STEP_PROD;
  if ((PLEAT_M(dtype) & PLEAT_M_SINT) != 0) {
    int64_t top = (int64_t)(UINT64_MAX >> (65 - pleat_dtype_bits(dtype)));
    s->identity.of_i64 = !extreme ? one : max ? -top - 1 : top;
  } else if (dtype == PLEAT_BOOL) {
    s->identity.of_u64 = !max;
  } else if ((PLEAT_M(dtype) & PLEAT_M_UINT) != 0) {
    s->identity.of_u64 = !extreme ? (uint64_t)one : max ? 0 : UINT64_MAX >> (64 - pleat_dtype_bits(dtype));
  } else {
    s->identity.of_f64 = !extreme ? one : max ? -(double)INFINITY : (double)INFINITY;
  }
}

/* The dimension that the inner loops run over, of merged ones: the last, or the kept one before it where the last is
 * reduced and so short that a loop over it would cost more than its work. */
static int innermost(int rank, const size_t *dims, const bool *kind) {
  const bool is_short = rank > 1 && kind[rank - 1] && dims[rank - 1] < 2 * LANES && dims[rank - 2] >= LANES;
  return is_short ? rank - 2 : rank - 1;
}

/* Merges neighbouring dimensions of the same kind and sets up the loops. */
static void plan_loops(reduce_state *s, const pleat_tensor *x, const bool *reduced) {
  size_t dims[PLEAT_MAX_RANK];
  bool kind[PLEAT_MAX_RANK];
  int rank = 0;
  s->reduced_count = 1;
  for (int d = 0; d < x->rank; d++) {
    size_t dim = (size_t)x->dims[d];
    if (reduced[d]) s->reduced_count *= dim;
    if (dim == 1) continue;
    if (rank > 0 && kind[rank - 1] == reduced[d]) dims[rank - 1] *= dim;
    else {
      dims[rank] = dim;
      kind[rank++] = reduced[d];
    }
  }
  const int inner = innermost(rank, dims, kind);
  s->kept.total = s->reduced.total = 1;
  s->inner = rank > 0 ? dims[inner] : 1;
  s->inner_reduced = rank > 0 && kind[inner];
  s->step = inner + 1 < rank ? dims[rank - 1] : 1;
  for (int d = 0; d < rank; d++) {
    loop_nest *nest = kind[d] ? &s->reduced : &s->kept;
    size_t stride = 1;
    if (d == inner) continue;
    for (int e = d + 1; e < rank; e++) stride *= dims[e];
    nest->dims[nest->rank] = dims[d];
    nest->strides[nest->rank++] = stride;
    nest->total *= dims[d];
  }
}

/* An empty input: every output, if there is any, is the reduction of an empty set. */
static void plan_empty(reduce_state *s, const pleat_tensor *y) {
  s->kept.total = s->step = 1;
  s->inner = y->count;
}

static pleat_status reduce_prepare(pleat_call *call) {
  const pleat_tensor *x = call->inputs[0], *axes_input = pleat_in(call, 1);
  unsigned flags = call->version->flags;
  const int64_t *axes = NULL;
  size_t count = 0;
  bool reduced[PLEAT_MAX_RANK] = {false};
  reduce_state *s = pleat_call_state(call, sizeof *s);
  if (s == NULL) return PLEAT_OOM(call->error);
  s->op = &operators[flags & OPERATOR_MASK];
  s->work = x->count;
  if ((flags & AXES_INPUT) == 0) {
    count = pleat_attr_ints(call->node, "axes", &axes);
  } else if (axes_input != NULL) {
    count = axes_input->count;
    axes = axes_input->data;
  }
  PLEAT_TRY(mark_axes(call->node, axes, count, x->rank, reduced, call->error));
  if (x->count == 0) plan_empty(s, call->outputs[0]);
  else plan_loops(s, x, reduced);
  pleat_dtype dtype = x->dtype;
  if (through_double(s->op, dtype)) {
    size_t total = 0;
    dtype = PLEAT_DOUBLE;
    if (!pleat_add_size(x->count, call->outputs[0]->count, &total) ||
        !pleat_mul_size(total, sizeof(double), &call->workspace_size))
      return PLEAT_OOM(call->error);
  }
  set_identity(s, dtype);
  return PLEAT_OK;
}

static pleat_status reduce_run(const pleat_call *call) {
  const reduce_state *s = call->state;
  const pleat_tensor *x = call->inputs[0];
  pleat_tensor *y = call->outputs[0];
  pleat_dtype dtype = x->dtype == PLEAT_BOOL ? PLEAT_UINT8 : x->dtype;
  if (y->count == 0) return PLEAT_OK;
  if (through_double(s->op, dtype)) {
    double *wide = call->workspace, *result = wide + x->count;
    pleat_convert(dtype, x->data, PLEAT_DOUBLE, wide, x->count, NULL);
    reduce_f64(call, x->count == 0 ? NULL : wide, result);
    pleat_convert(PLEAT_DOUBLE, result, dtype, y->data, y->count, NULL);
    return PLEAT_OK;
  }
  PLEAT_SWITCH_NUMBERS(dtype, (void), reduce, (call, x->data, y->data))
  return PLEAT_OK;
}

static const pleat_kernel reference = {
    .name = "reference",
    .types = PLEAT_M_NUMBERS | PLEAT_M_BOOL,
    .flags = PLEAT_KERNEL_WIDEN,
    .prepare = reduce_prepare,
    .run = reduce_run,
};
static const pleat_kernel *const kernels[] = {&reference, NULL};
static const pleat_kernel *const mean_kernels[] = {
    PLEAT_X86_KERNEL(pleat_x86_reduce_mean) PLEAT_ONEDNN_KERNEL(pleat_onednn_reduce_mean) & reference, NULL};

/* ---- the operators ---- */

#define WORDS (PLEAT_M(PLEAT_INT32) | PLEAT_M(PLEAT_INT64) | PLEAT_M(PLEAT_UINT32) | PLEAT_M(PLEAT_UINT64))
#define BYTES (PLEAT_M(PLEAT_INT8) | PLEAT_M(PLEAT_UINT8))
enum { SUM_TYPES = PLEAT_M_FLOATS | WORDS, BYTE_TYPES = SUM_TYPES | BYTES, BOOL_TYPES = BYTE_TYPES | PLEAT_M_BOOL };

static const char *reduce_apart(const pleat_infer *whole, const pleat_role *roles) {
  const int rank = whole->inputs[0].shape.rank;
  const int64_t *axes = NULL;
  int64_t values[PLEAT_MAX_RANK];
  bool reduced[PLEAT_MAX_RANK] = {false};
  size_t count = 0;
  if ((whole->version->flags & AXES_INPUT) == 0) {
    count = pleat_attr_ints(whole->node, "axes", &axes);
  } else if (pleat_infer_has(whole, 1)) {
    pleat_status status = PLEAT_OK;
    const int known = pleat_infer_ints(whole, 1, values, PLEAT_MAX_RANK, &status);
    if (known < 0 || status != PLEAT_OK) return "its axes are not known";
    axes = values;
    count = (size_t)known;
  }
  if (mark_axes(whole->node, axes, count, rank, reduced, NULL) != PLEAT_OK || reduced[0])
    return "it runs along the samples";
  return pleat_apart_first(whole, roles);
}

/* `last_attr`: the last opset in which the axes are an attribute. */
#define REDUCE_ATTRS(last_attr)                                                                                        \
  {                                                                                                                    \
    {.name = "axes", .type = PLEAT_ATTR_INTS, .until = last_attr},                                                     \
        {.name = "keepdims", .type = PLEAT_ATTR_INT, .i = 1},                                                          \
        {.name = "noop_with_empty_axes", .type = PLEAT_ATTR_INT, .since = (last_attr) + 1}, {                          \
      0                                                                                                                \
    }                                                                                                                  \
  }
static const pleat_op_attr attrs_until_12[] = REDUCE_ATTRS(12), attrs_until_17[] = REDUCE_ATTRS(17);

/* Types of versions 1 and 11; of 12 and 13; of 18; of 20. */
#define REDUCE_VERSIONS(index, axes_13, types_1, types_12, types_20)                                                   \
  {                                                                                                                    \
    {1, 1, 1, 1, 1, types_1, index}, {12, 1, 1, 1, 1, types_12, index},                                                \
        {13, 1, (axes_13) ? 2 : 1, 1, 1, types_12, (index) | ((axes_13) ? AXES_INPUT : 0)},                            \
        {18, 1, 2, 1, 1, types_12, (index) | AXES_INPUT}, {20, 1, 2, 1, 1, types_20, (index) | AXES_INPUT}, {          \
      0                                                                                                                \
    }                                                                                                                  \
  }

#define REDUCE_OP(op, kernel_list, index, axes_13, types_12, types_20)                                                 \
  static const pleat_op_version op##_versions[] = REDUCE_VERSIONS(index, axes_13, SUM_TYPES, types_12, types_20);      \
  const pleat_op_def pleat_op_##op = {                                                                                 \
      .domain = "",                                                                                                    \
      .name = #op,                                                                                                     \
      .versions = op##_versions,                                                                                       \
      .attrs = (axes_13) ? attrs_until_12 : attrs_until_17,                                                            \
      .infer = reduce_infer,                                                                                           \
      .kernels = kernel_list,                                                                                          \
      .apart = reduce_apart,                                                                                           \
  };

REDUCE_OP(ReduceSum, kernels, OP_SUM, 1, SUM_TYPES, SUM_TYPES)
REDUCE_OP(ReduceMean, mean_kernels, OP_MEAN, 0, SUM_TYPES, SUM_TYPES)
REDUCE_OP(ReduceMax, kernels, OP_MAX, 0, BYTE_TYPES, BOOL_TYPES)
REDUCE_OP(ReduceMin, kernels, OP_MIN, 0, BYTE_TYPES, BOOL_TYPES)
REDUCE_OP(ReduceProd, kernels, OP_PROD, 0, SUM_TYPES, SUM_TYPES)
REDUCE_OP(ReduceSumSquare, kernels, OP_SUM_SQUARE, 0, SUM_TYPES, SUM_TYPES)
REDUCE_OP(ReduceL1, kernels, OP_L1, 0, SUM_TYPES, SUM_TYPES)
REDUCE_OP(ReduceL2, kernels, OP_L2, 0, SUM_TYPES, SUM_TYPES)
REDUCE_OP(ReduceLogSum, kernels, OP_LOG_SUM, 0, SUM_TYPES, SUM_TYPES)
REDUCE_OP(ReduceLogSumExp, kernels, OP_LOG_SUM_EXP, 0, SUM_TYPES, SUM_TYPES)

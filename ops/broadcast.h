/* Element-wise operators with numpy-style broadcasting: what the operator files (unary.c, activation.c, binary.c,
 * compare.c, logical.c, where.c, clip.c, cast.c, variadic.c) share.
 *
 * An operator is a few lines of data: a table of inner loops by data type, its versions and its attributes. prepare
 * turns shapes into a pleat_elementwise (adjacent dimensions merged, one stride per operand and dimension, 0 where it
 * repeats), and run walks the output as two-dimensional tiles whose inner steps are only ever 0 or 1, so that each loop
 * needs but a few plain, vectorisable cases. The output may be the same memory as an operand of its shape. */
#ifndef PLEAT_OPS_BROADCAST_H
#define PLEAT_OPS_BROADCAST_H

#include "ops/kernels.h"

enum { PLEAT_EW_OPERANDS = 3 };

/* pleat_op_version.flags of the operators here: how operands were broadcast in old opsets. */
enum {
  PLEAT_EW_AXIS = 1u << 0,    /* `broadcast` and `axis` attributes (Add... before 7) */
  PLEAT_EW_CHANNEL = 1u << 1, /* input 1 is one value per channel, axis 1 (PRelu before 7) */
  PLEAT_EW_ONE_WAY = 1u << 2, /* input 1 is broadcast to input 0, not the other way round (PRelu from 7) */
  PLEAT_EW_EQUAL = 1u << 3    /* no broadcasting at all (Sum, Mean, Min, Max before 8) */
};

typedef struct pleat_elementwise pleat_elementwise;

/* A block of the output for an inner loop: `rows` runs of `cols` elements, dense. */
typedef struct pleat_tile {
  const void *in[PLEAT_EW_OPERANDS];
  ptrdiff_t row[PLEAT_EW_OPERANDS]; /* elements from one row's start to the next one's */
  int col[PLEAT_EW_OPERANDS];       /* 1, or 0 for one value that serves the whole row */
  void *out;
  size_t rows, cols;
  const pleat_elementwise *op;
} pleat_tile;

typedef void (*pleat_loop)(const pleat_tile *tile);

struct pleat_elementwise {
  pleat_loop loop;
  size_t operands;
  size_t count; /* elements of the output */
  int rank;     /* after merging, at least 1 */
  int64_t dims[PLEAT_MAX_RANK];
  int64_t strides[PLEAT_EW_OPERANDS][PLEAT_MAX_RANK];
  size_t in_size[PLEAT_EW_OPERANDS], out_size; /* bytes of an element */
  double params[2];                            /* the operator's attributes, see PLEAT_UNARY_LOOP */
  pleat_dtype in_dtype[PLEAT_EW_OPERANDS], out_dtype;
  pleat_convert_options convert; /* of Cast */
};

/* Inner loops by data type of input 0, and the FLOAT attributes that become `alpha` and `beta` (NULL: none). */
typedef struct pleat_loops {
  pleat_loop by_dtype[PLEAT_DTYPE_COUNT];
  const char *params[2];
} pleat_loops;

/* ---- inference ---- */

/* Output 0 has the type of input 0 and the shape of all inputs broadcast, by the version's PLEAT_EW_ rules. Checks
 * that all inputs are tensors of one type that the version allows. */
pleat_status pleat_infer_elementwise(pleat_infer *ctx);
/* The same, with output type bool. */
pleat_status pleat_infer_predicate(pleat_infer *ctx);
/* The parts, for operators with rules of their own. Types: all inputs from `first` on are tensors of one type;
 * UNDEFINED when none is known. */
pleat_status pleat_infer_types(const pleat_infer *ctx, size_t first, pleat_dtype *out_dtype);
pleat_status pleat_infer_allowed(const pleat_infer *ctx, pleat_dtype dtype, pleat_dtype_mask allowed);
pleat_status pleat_infer_shapes(const pleat_infer *ctx, pleat_shape *out_shape);

/* ---- preparing and running ---- */

/* Plans a loop over operands of the given shapes, the output's being `out`. False when they do not broadcast to it. */
bool pleat_elementwise_init(pleat_elementwise *op, pleat_loop loop, size_t operands, const pleat_shape *shapes,
                            const pleat_dtype *dtypes, const pleat_tensor *out);
/* Runs it over all elements, with several threads when there are many. */
void pleat_elementwise_apply(const pleat_elementwise *op, const void *const *inputs, void *out, int threads);

/* prepare of an operator whose inputs are all operands: the state is a pleat_elementwise, to be run by
 * pleat_elementwise_run. */
pleat_status pleat_elementwise_prepare(pleat_call *call, const pleat_loops *loops);
pleat_status pleat_elementwise_run(const pleat_call *call);

/* Where input 1 stands relative to input 0 by the version's rules: its shape as numpy would want it written. */
bool pleat_elementwise_align(const pleat_node *node, const pleat_op_version *version, const pleat_shape *a,
                             const pleat_shape *b, pleat_shape *out_b);

/* ---- writing an operator ---- */

/* The elements are independent of each other also when output and operand are the same memory. (Clang's counterpart
 * would warn about every loop around a library function, which cannot be vectorised.) */
#if defined(__GNUC__) && !defined(__clang__)
#define PLEAT_SIMD _Pragma("GCC ivdep")
#else
#define PLEAT_SIMD
#endif

#define PLEAT_LOOPS_FLOATS(loop) [PLEAT_FLOAT] = loop##_f32, [PLEAT_DOUBLE] = loop##_f64
#define PLEAT_LOOPS_SINTS(loop)                                                                                        \
  [PLEAT_INT8] = loop##_i8, [PLEAT_INT16] = loop##_i16, [PLEAT_INT32] = loop##_i32, [PLEAT_INT64] = loop##_i64
#define PLEAT_LOOPS_UINTS(loop)                                                                                        \
  [PLEAT_UINT8] = loop##_u8, [PLEAT_UINT16] = loop##_u16, [PLEAT_UINT32] = loop##_u32, [PLEAT_UINT64] = loop##_u64
#define PLEAT_LOOPS_SIGNED(loop)  PLEAT_LOOPS_FLOATS(loop), PLEAT_LOOPS_SINTS(loop)
#define PLEAT_LOOPS_INTS(loop)    PLEAT_LOOPS_SINTS(loop), PLEAT_LOOPS_UINTS(loop)
#define PLEAT_LOOPS_NUMBERS(loop) PLEAT_LOOPS_SIGNED(loop), PLEAT_LOOPS_UINTS(loop)
#define PLEAT_LOOPS_BOOL(loop)    [PLEAT_BOOL] = loop##_bool

/* One version: since, number of inputs, types of input 0, flags. One output. */
#define PLEAT_EW_VERSION(since, inputs, types, flags)                                                                  \
  { since, inputs, inputs, 1, 1, types, flags }

/* Attributes of many operators here. `consumed_inputs` was an optimisation hint and means nothing. */
#define PLEAT_EW_CONSUMED                                                                                              \
  { .name = "consumed_inputs", .type = PLEAT_ATTR_INTS, .since = 1, .until = 5 }
#define PLEAT_EW_BROADCAST_ATTRS                                                                                       \
  {.name = "broadcast", .type = PLEAT_ATTR_INT, .since = 1, .until = 6}, {                                             \
    .name = "axis", .type = PLEAT_ATTR_INT, .since = 1, .until = 6                                                     \
  }
#define PLEAT_EW_FLOAT(attr_name, value)                                                                               \
  { .name = attr_name, .type = PLEAT_ATTR_FLOAT, .f = value }

/* The definition pleat_op_<Name> and its one kernel. `id` names the file's own objects: <id>_loops is the pleat_loops
 * table. The variants ..._WITH end with the faster kernels before it, as in ops/kernels.h. */
#define PLEAT_EW_OP(Name, id, version_table, attr_table, infer_function, kernel_types, kernel_inplace)                 \
  PLEAT_EW_OP_WITH(Name, id, version_table, attr_table, infer_function, kernel_types, kernel_inplace, )
#define PLEAT_EW_OP_WITH(Name, id, version_table, attr_table, infer_function, kernel_types, kernel_inplace, ...)       \
  static pleat_status id##_prepare(pleat_call *call) {                                                                 \
    return pleat_elementwise_prepare(call, &id##_loops);                                                               \
  }                                                                                                                    \
  static const pleat_kernel id##_kernel = {.name = "reference",                                                        \
                                           .types = (kernel_types),                                                    \
                                           .flags = PLEAT_KERNEL_WIDEN,                                                \
                                           .inplace = (kernel_inplace),                                                \
                                           .prepare = id##_prepare,                                                    \
                                           .run = pleat_elementwise_run};                                              \
  PLEAT_EW_DEF_WITH(Name, id, version_table, attr_table, infer_function, __VA_ARGS__)
#define PLEAT_EW_DEF(Name, id, version_table, attr_table, infer_function)                                              \
  PLEAT_EW_DEF_WITH(Name, id, version_table, attr_table, infer_function, )
#define PLEAT_EW_DEF_WITH(Name, id, version_table, attr_table, infer_function, ...)                                    \
  const pleat_op_def pleat_op_##Name = {.domain = "",                                                                  \
                                        .name = #Name,                                                                 \
                                        .versions = version_table,                                                     \
                                        .attrs = attr_table,                                                           \
                                        .infer = infer_function,                                                       \
                                        .kernels = (const pleat_kernel *const[]){__VA_ARGS__ & id##_kernel, NULL},     \
                                        .apart = pleat_apart_elementwise};

/* An inner loop over one operand: `expression` of `x` (type TX), and of the attributes `alpha` and `beta` (type TP). A
 * single operand always has the output's shape, so it is dense. */
#define PLEAT_UNARY_LOOP(name, TX, TO, TP, expression)                                                                 \
  static void name(const pleat_tile *tile) {                                                                           \
    const TX *in = tile->in[0];                                                                                        \
    TO *out = tile->out;                                                                                               \
    const TP alpha = (TP)tile->op->params[0], beta = (TP)tile->op->params[1];                                          \
    const size_t count = tile->rows * tile->cols;                                                                      \
    (void)alpha, (void)beta;                                                                                           \
    PLEAT_SIMD for (size_t i = 0; i < count; i++) {                                                                    \
      const TX x = in[i];                                                                                              \
      out[i] = (TO)(expression);                                                                                       \
    }                                                                                                                  \
  }

/* An inner loop over two operands: `expression` of `a` (type TA), `b` (type TB), and `alpha` (double). */
#define PLEAT_BINARY_LOOP(name, TA, TB, TO, expression)                                                                \
  static void name(const pleat_tile *tile) {                                                                           \
    const double alpha = tile->op->params[0];                                                                          \
    const size_t cols = tile->cols;                                                                                    \
    (void)alpha;                                                                                                       \
    for (size_t r = 0; r < tile->rows; r++) {                                                                          \
      const TA *as = (const TA *)tile->in[0] + (ptrdiff_t)r * tile->row[0];                                            \
      const TB *bs = (const TB *)tile->in[1] + (ptrdiff_t)r * tile->row[1];                                            \
      TO *out = (TO *)tile->out + r * cols;                                                                            \
      if (tile->col[0] != 0 && tile->col[1] != 0) {                                                                    \
        PLEAT_SIMD for (size_t i = 0; i < cols; i++) {                                                                 \
          const TA a = as[i];                                                                                          \
          const TB b = bs[i];                                                                                          \
          out[i] = (TO)(expression);                                                                                   \
        }                                                                                                              \
      } else if (tile->col[0] != 0) {                                                                                  \
        const TB b = *bs;                                                                                              \
        PLEAT_SIMD for (size_t i = 0; i < cols; i++) {                                                                 \
          const TA a = as[i];                                                                                          \
          out[i] = (TO)(expression);                                                                                   \
        }                                                                                                              \
      } else if (tile->col[1] != 0) {                                                                                  \
        const TA a = *as;                                                                                              \
        PLEAT_SIMD for (size_t i = 0; i < cols; i++) {                                                                 \
          const TB b = bs[i];                                                                                          \
          out[i] = (TO)(expression);                                                                                   \
        }                                                                                                              \
      } else {                                                                                                         \
        const TA a = *as;                                                                                              \
        const TB b = *bs;                                                                                              \
        const TO value = (TO)(expression);                                                                             \
        for (size_t i = 0; i < cols; i++) out[i] = value;                                                              \
      }                                                                                                                \
    }                                                                                                                  \
  }

#endif

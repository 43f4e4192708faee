/* Where: picks elements of two inputs by a bool condition, all three broadcast. Only the size of an element matters, so
 * there is one loop per size; strings are picked as views of the inputs' bytes. Source: ONNX's Where. */
#include <string.h>

#include "ops/broadcast.h"

/* memcpy, because an element may be of any type; compilers make plain loads and stores of it. */
#define WHERE_LOOP(name, SIZE)                                                                                         \
  static void name(const pleat_tile *tile) {                                                                           \
    const int cs = tile->col[0], xs = tile->col[1], ys = tile->col[2];                                                 \
    for (size_t r = 0; r < tile->rows; r++) {                                                                          \
      const unsigned char *c = (const unsigned char *)tile->in[0] + (ptrdiff_t)r * tile->row[0];                       \
      const char *x = (const char *)tile->in[1] + (ptrdiff_t)r * tile->row[1] * (SIZE);                                \
      const char *y = (const char *)tile->in[2] + (ptrdiff_t)r * tile->row[2] * (SIZE);                                \
      char *out = (char *)tile->out + r * tile->cols * (SIZE);                                                         \
      for (size_t i = 0; i < tile->cols; i++) {                                                                        \
        const char *from = c[cs != 0 ? i : 0] != 0 ? x + (xs != 0 ? i : 0) * (SIZE) : y + (ys != 0 ? i : 0) * (SIZE);  \
        char element[SIZE];                                                                                            \
        memcpy(element, from, SIZE);                                                                                   \
        memcpy(out + i * (SIZE), element, SIZE);                                                                       \
      }                                                                                                                \
    }                                                                                                                  \
  }

WHERE_LOOP(where_loop_1, 1)
WHERE_LOOP(where_loop_2, 2)
WHERE_LOOP(where_loop_4, 4)
WHERE_LOOP(where_loop_8, 8)
WHERE_LOOP(where_loop_16, 16)

enum { WHERE_TYPES_OLD = 1u << 8 }; /* version flag: no bfloat16 yet */

#define M_WHERE (PLEAT_M_NUMBERS | PLEAT_M_BOOL | PLEAT_M_STRING | PLEAT_M_COMPLEX)

static const pleat_op_version where_versions[] = {
    PLEAT_EW_VERSION(9, 3, PLEAT_M_BOOL, WHERE_TYPES_OLD), PLEAT_EW_VERSION(16, 3, PLEAT_M_BOOL, 0), {0}};

static pleat_status where_infer(pleat_infer *ctx) {
  pleat_type *out = pleat_infer_out(ctx, 0);
  const bool old = (ctx->version->flags & WHERE_TYPES_OLD) != 0;
  const pleat_dtype condition = ctx->inputs[0].dtype;
  pleat_dtype dtype;
  pleat_shape shape;
  for (size_t i = 0; i < 3; i++) {
    if (!pleat_infer_has(ctx, i)) {
      return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "Where: input %zu is missing", i);
    }
  }
  if (ctx->inputs[0].kind != PLEAT_KIND_TENSOR || (condition != PLEAT_UNDEFINED && condition != PLEAT_BOOL)) {
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "Where: the condition must be a bool tensor, found %s",
                      pleat_dtype_name(condition));
  }
  PLEAT_TRY(pleat_infer_types(ctx, 1, &dtype));
  PLEAT_TRY(pleat_infer_allowed(ctx, dtype, old ? M_WHERE & ~PLEAT_M(PLEAT_BFLOAT16) : M_WHERE));
  PLEAT_TRY(pleat_infer_shapes(ctx, &shape));
  if (out == NULL) return PLEAT_OK;
  out->dtype = dtype;
  out->shape = shape;
  return PLEAT_OK;
}

static pleat_status where_prepare(pleat_call *call) {
  const pleat_loop by_log2_size[] = {where_loop_1, where_loop_2, where_loop_4, where_loop_8, where_loop_16};
  const size_t size = pleat_dtype_size(call->inputs[1]->dtype);
  pleat_loops loops = {{NULL}, {NULL, NULL}};
  for (size_t i = 0; i < sizeof by_log2_size / sizeof by_log2_size[0]; i++) {
    if (size == (size_t)1 << i) loops.by_dtype[PLEAT_BOOL] = by_log2_size[i];
  }
  return pleat_elementwise_prepare(call, &loops);
}

static const pleat_kernel where_kernel = {
    .name = "reference", .types = PLEAT_M_BOOL, .inplace = 7u, .prepare = where_prepare, .run = pleat_elementwise_run};
PLEAT_EW_DEF(Where, where, where_versions, NULL, where_infer)

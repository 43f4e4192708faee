/* QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear, with one scale for the whole tensor, for each slice along
 * an axis, or for each block of an axis; for all integer, float8 and float4 types.
 *
 * y = saturate(round(x / scale) + zero_point), ties to even, and x = (y - zero_point) * scale. The quotient is rounded
 * to the type that the specification computes it in; the rest is done in double, where it is exact. The small float
 * types are rounded once from the quotient and have no zero point. Source: the operators' ONNX specifications. */
#include <math.h>
#include <string.h>

#include "ops/block_gemm.h"

#define M_Q8  (PLEAT_M(PLEAT_INT8) | PLEAT_M(PLEAT_UINT8))
#define M_Q16 (PLEAT_M(PLEAT_INT16) | PLEAT_M(PLEAT_UINT16))
#define M_Q4  (PLEAT_M(PLEAT_INT4) | PLEAT_M(PLEAT_UINT4))
#define M_Q2  (PLEAT_M(PLEAT_INT2) | PLEAT_M(PLEAT_UINT2))
#define M_F8                                                                                                           \
  (PLEAT_M(PLEAT_FLOAT8E4M3FN) | PLEAT_M(PLEAT_FLOAT8E4M3FNUZ) | PLEAT_M(PLEAT_FLOAT8E5M2) |                           \
   PLEAT_M(PLEAT_FLOAT8E5M2FNUZ))
#define M_F4     PLEAT_M(PLEAT_FLOAT4E2M1)
#define M_I32    PLEAT_M(PLEAT_INT32)
#define M_SINGLE (PLEAT_M_F32 | PLEAT_M_HALF)

enum {
  BLOCK = 512,      /* elements that are widened to double at a time */
  CHUNK = 16 * 1024 /* elements that one thread takes at a time */
};

#define V(since, inputs_min, types)                                                                                    \
  { since, inputs_min, 3, 1, 1, types, 0 }

static const pleat_op_version quantize_versions[] = {V(10, 2, PLEAT_M_F32 | M_I32), V(13, 2, PLEAT_M_F32 | M_I32),
                                                     V(19, 2, M_SINGLE | M_I32),    V(21, 2, M_SINGLE | M_I32),
                                                     V(23, 2, M_SINGLE | M_I32),    V(24, 2, M_SINGLE | M_I32),
                                                     V(25, 2, M_SINGLE | M_I32),    {0}};
static const pleat_op_version dequantize_versions[] = {V(10, 2, M_Q8 | M_I32),
                                                       V(13, 2, M_Q8 | M_I32),
                                                       V(19, 2, M_Q8 | M_I32 | M_F8),
                                                       V(21, 2, M_Q8 | M_Q16 | M_Q4 | M_I32 | M_F8),
                                                       V(23, 2, M_Q8 | M_Q16 | M_Q4 | M_I32 | M_F8 | M_F4),
                                                       V(24, 2, M_Q8 | M_Q16 | M_Q4 | M_I32 | M_F8 | M_F4),
                                                       V(25, 2, M_Q8 | M_Q16 | M_Q4 | M_Q2 | M_I32 | M_F8 | M_F4),
                                                       {0}};
static const pleat_op_version dynamic_versions[] = {{11, 1, 1, 3, 3, PLEAT_M_F32, 0}, {0}};

#define LAYOUT_ATTRS                                                                                                   \
  {.name = "axis", .type = PLEAT_ATTR_INT, .since = 13, .i = 1}, {                                                     \
    .name = "block_size", .type = PLEAT_ATTR_INT, .since = 21                                                          \
  }
static const pleat_op_attr quantize_attrs[] = {LAYOUT_ATTRS,
                                               {.name = "saturate", .type = PLEAT_ATTR_INT, .since = 19, .i = 1},
                                               {.name = "output_dtype", .type = PLEAT_ATTR_INT, .since = 21},
                                               {.name = "precision", .type = PLEAT_ATTR_INT, .since = 23},
                                               {0}};
static const pleat_op_attr dequantize_attrs[] = {
    LAYOUT_ATTRS, {.name = "output_dtype", .type = PLEAT_ATTR_INT, .since = 23}, {0}};

/* ---- inference ---- */

static bool scale_axis(const pleat_node *node, int rank, int *out_axis) {
  return pleat_axis(pleat_node_since(node) < 13 ? 1 : pleat_attr_int(node, "axis"), rank, out_axis);
}

/* The scale is one number, one a slice along the axis, or, with a block size, one a block. The zero point has the
 * scale's shape. */
static pleat_status check_layout(const pleat_infer *ctx) {
  const pleat_node *node = ctx->node;
  const pleat_shape *x = &ctx->inputs[0].shape, *scale = &ctx->inputs[1].shape;
  const int64_t block = pleat_attr_int(node, "block_size");
  char text[256];
  int axis;
  if (block < 0) {
    return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "%s: block_size must not be negative, found %lld",
                      node->op_type, (long long)block);
  }
  if (pleat_infer_has(ctx, 2)) {
    pleat_shape both;
    if (!pleat_shape_merge(scale, &ctx->inputs[2].shape, &both) &&
        pleat_shape_product(scale, 0, scale->rank).value != 1) {
      return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "%s: the zero point must have the scale's shape, found %s",
                        node->op_type, pleat_shape_text(&ctx->inputs[2].shape, text, sizeof text));
    }
  }
  if (x->rank < 0 || scale->rank < 0) return PLEAT_OK;
  const pleat_dim count = pleat_shape_product(scale, 0, scale->rank);
  if (block == 0 && (scale->rank == 0 || (scale->rank == 1 && count.value == 1))) return PLEAT_OK;
  if (!scale_axis(node, x->rank, &axis)) {
    return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "%s: axis %lld is out of range for rank %d", node->op_type,
                      (long long)pleat_attr_int(node, "axis"), x->rank);
  }
  bool fits = block == 0 ? scale->rank == 1 : scale->rank == x->rank;
  for (int i = 0; fits && i < scale->rank; i++) {
    const pleat_dim have = scale->dims[i], size = x->dims[block == 0 ? axis : i];
    if (!pleat_dim_is_known(have) || !pleat_dim_is_known(size)) continue;
    const bool is_blocked = block != 0 && i == axis;
    fits = have.value == (is_blocked ? size.value / block + (size.value % block != 0) : size.value);
  }
  if (fits) return PLEAT_OK;
  return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "%s: the scale's shape %s does not fit axis %d of the input",
                    node->op_type, pleat_shape_text(scale, text, sizeof text), axis);
}

static pleat_status check_types(const pleat_infer *ctx) {
  const pleat_dtype x = ctx->inputs[0].dtype, scale = ctx->inputs[1].dtype;
  /* double is not in the specification: it is what the float64 oracle makes of the others. */
  const pleat_dtype_mask allowed = ctx->version->types | ((ctx->version->types & PLEAT_M_F32) != 0 ? PLEAT_M_F64 : 0);
  if (!pleat_infer_has(ctx, 0) || !pleat_infer_has(ctx, 1)) {
    return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "%s: an input is missing", ctx->node->op_type);
  }
  if (x != PLEAT_UNDEFINED && (allowed & PLEAT_M(x)) == 0) {
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "%s-%d does not take %s", ctx->node->op_type,
                      ctx->version->since, pleat_dtype_name(x));
  }
  if (scale != PLEAT_UNDEFINED && (PLEAT_M(scale) & (PLEAT_M_FLOATS | M_I32 | PLEAT_M(PLEAT_FLOAT8E8M0))) == 0) {
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "%s: the scale cannot be %s", ctx->node->op_type,
                      pleat_dtype_name(scale));
  }
  return check_layout(ctx);
}

static pleat_status check_named_type(const pleat_infer *ctx, const char *name, pleat_dtype_mask allowed,
                                     pleat_dtype *out_dtype) {
  const int64_t number = pleat_attr_int(ctx->node, name);
  *out_dtype = PLEAT_UNDEFINED;
  if (number == 0) return PLEAT_OK;
  if (!pleat_dtype_is_valid(number) || (PLEAT_M(number) & allowed) == 0) {
    return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "%s: %s %lld names no type that it can have",
                      ctx->node->op_type, name, (long long)number);
  }
  *out_dtype = (pleat_dtype)number;
  return PLEAT_OK;
}

static pleat_status quantize_infer(pleat_infer *ctx) {
  pleat_type *out = pleat_infer_out(ctx, 0);
  pleat_dtype named, precision;
  PLEAT_TRY(check_types(ctx));
  PLEAT_TRY(check_named_type(ctx, "output_dtype", M_Q8 | M_Q16 | M_Q4 | M_Q2 | M_F8 | M_F4, &named));
  PLEAT_TRY(check_named_type(ctx, "precision", PLEAT_M_FLOATS, &precision));
  const pleat_dtype zero = pleat_infer_has(ctx, 2) ? ctx->inputs[2].dtype : PLEAT_UNDEFINED;
  if (named != PLEAT_UNDEFINED && zero != PLEAT_UNDEFINED && named != zero) {
    return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "QuantizeLinear: output_dtype is %s, but the zero point %s",
                      pleat_dtype_name(named), pleat_dtype_name(zero));
  }
  if (zero != PLEAT_UNDEFINED && (PLEAT_M(zero) & (M_Q8 | M_Q16 | M_Q4 | M_Q2 | M_F8 | M_F4)) == 0) {
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "QuantizeLinear: the zero point cannot be %s",
                      pleat_dtype_name(zero));
  }
  if (out == NULL) return PLEAT_OK;
  if (pleat_infer_has(ctx, 2)) out->dtype = zero;
  else out->dtype = named != PLEAT_UNDEFINED ? named : PLEAT_UINT8;
  out->shape = ctx->inputs[0].shape;
  return PLEAT_OK;
}

static pleat_status dequantize_infer(pleat_infer *ctx) {
  pleat_type *out = pleat_infer_out(ctx, 0);
  pleat_dtype named;
  PLEAT_TRY(check_types(ctx));
  PLEAT_TRY(check_named_type(ctx, "output_dtype", PLEAT_M_FLOATS, &named));
  if (pleat_infer_has(ctx, 2) && ctx->inputs[2].dtype != PLEAT_UNDEFINED && ctx->inputs[0].dtype != PLEAT_UNDEFINED &&
      ctx->inputs[2].dtype != ctx->inputs[0].dtype) {
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "DequantizeLinear: the input is %s, but the zero point %s",
                      pleat_dtype_name(ctx->inputs[0].dtype), pleat_dtype_name(ctx->inputs[2].dtype));
  }
  if (out == NULL) return PLEAT_OK;
  const pleat_dtype scale = ctx->inputs[1].dtype;
  out->dtype = named != PLEAT_UNDEFINED && scale != PLEAT_DOUBLE ? named : scale;
  if ((PLEAT_M(out->dtype) & PLEAT_M_FLOATS) == 0 && out->dtype != PLEAT_UNDEFINED) out->dtype = PLEAT_FLOAT;
  out->shape = ctx->inputs[0].shape;
  return PLEAT_OK;
}

static pleat_status dynamic_infer(pleat_infer *ctx) {
  static const pleat_dtype types[] = {PLEAT_UINT8, PLEAT_FLOAT, PLEAT_UINT8};
  for (size_t i = 0; i < 3; i++) {
    pleat_type *out = pleat_infer_out(ctx, i);
    if (out == NULL) continue;
    out->dtype = types[i];
    out->shape = i == 0 ? ctx->inputs[0].shape : pleat_shape_of(0, NULL);
  }
  return PLEAT_OK;
}

/* ---- running ---- */

/* Which scale an element has: (i / inner / size * blocks + i / inner % size / block) * inner' + i % inner'. */
typedef struct layout {
  size_t inner; /* elements from one position of the axis to the next; 0: one scale for all */
  size_t size, block, blocks;
  bool is_blocked; /* the scales vary along the other axes as well */
} layout;

typedef struct range {
  double low, high;
  bool is_int;
} range;

typedef struct quantize {
  const pleat_tensor *x, *scale, *zero;
  pleat_tensor *y;
  layout at;
  range target;          /* of the quantised type */
  pleat_dtype precision; /* of the quotient */
  pleat_convert_options convert;
  bool quantizes;
} quantize;

static layout layout_of(const pleat_node *node, const pleat_tensor *x, const pleat_tensor *scale) {
  layout at = {0};
  int axis;
  const int64_t block = pleat_attr_int(node, "block_size");
  if (block == 0 && scale->count == 1) return at;
  if (!scale_axis(node, x->rank, &axis)) return at;
  at.inner = 1;
  for (int i = axis + 1; i < x->rank; i++) at.inner *= (size_t)x->dims[i];
  at.size = (size_t)x->dims[axis];
  at.is_blocked = block > 0;
  at.block = block > 0 ? (size_t)block : 1;
  at.blocks = at.size / at.block + (at.size % at.block != 0);
  return at;
}

static size_t scale_index(const layout *at, size_t i) {
  if (at->inner == 0) return 0;
  const size_t position = i / at->inner % at->size / at->block;
  if (!at->is_blocked) return position;
  return (i / at->inner / at->size * at->blocks + position) * at->inner + i % at->inner;
}

static range range_of(pleat_dtype dtype) {
  const unsigned bits = pleat_dtype_bits(dtype);
  range r = {.is_int = pleat_dtype_is_int(dtype)};
  const bool is_signed = (PLEAT_M(dtype) & (PLEAT_M_SINT | PLEAT_M(PLEAT_INT4) | PLEAT_M(PLEAT_INT2))) != 0;
  if (!r.is_int) return r;
  r.low = is_signed ? -ldexp(1, (int)bits - 1) : 0;
  r.high = ldexp(1, (int)bits - (is_signed ? 1 : 0)) - 1;
  return r;
}

static double round_to(pleat_dtype dtype, double value) {
  union {
    uint16_t half;
    float single;
    double twice;
  } place;
  if (dtype == PLEAT_DOUBLE) return value;
  pleat_store_f64(dtype, &place, 0, value);
  return pleat_load_f64(dtype, &place, 0);
}

static double quantize_one(const quantize *q, double x, double scale, double zero) {
  const double quotient = round_to(q->precision, x / scale);
  if (!q->target.is_int) return quotient;
  const double value = rint(quotient) + zero;
  if (isnan(value)) return 0;
  return value < q->target.low ? q->target.low : value > q->target.high ? q->target.high : value;
}

/* The case that matters, in floats: one scale and zero point for all, to 8 bits. A quotient of floats that is rounded
 * to float from double is the float quotient. A loop for each type, since clamping is a part of its conversion. */
#define QUANTIZE_LOOP(D, low, high)                                                                                    \
  PLEAT_MULTIVERSION                                                                                                   \
  static void quantize_to_##D(const float *x, float scale, float zero, size_t count, D *y) {                           \
    for (size_t i = 0; i < count; i++) {                                                                               \
      const float value = rintf(x[i] / scale) + zero, at_least = value > (low) ? value : (low);                        \
      y[i] = (D)(int32_t)(value != value ? 0 : at_least < (high) ? at_least : (high));                                 \
    }                                                                                                                  \
  }
QUANTIZE_LOOP(uint8_t, 0.0f, 255.0f)
QUANTIZE_LOOP(int8_t, -128.0f, 127.0f)

static bool is_simple(const quantize *q) {
  return q->quantizes && q->at.inner == 0 && q->x->dtype == PLEAT_FLOAT && q->scale->dtype == PLEAT_FLOAT &&
         q->precision == PLEAT_FLOAT && (PLEAT_M(q->y->dtype) & M_Q8) != 0;
}

static void quantize_simple(const quantize *q, size_t begin, size_t end) {
  const float *x = (const float *)q->x->data + begin, scale = *(const float *)q->scale->data;
  const float zero = q->zero != NULL ? (float)pleat_load_f64(q->zero->dtype, q->zero->data, 0) : 0;
  if (q->y->dtype == PLEAT_UINT8) quantize_to_uint8_t(x, scale, zero, end - begin, (uint8_t *)q->y->data + begin);
  else quantize_to_int8_t(x, scale, zero, end - begin, (int8_t *)q->y->data + begin);
}

/* Elements [begin, end). */
static void convert_chunk(const quantize *q, size_t begin, size_t end) {
  double block[BLOCK], scale = 1, zero = 0;
  size_t current = SIZE_MAX;
  if (is_simple(q)) {
    quantize_simple(q, begin, end);
    return;
  }
  const size_t x_size = pleat_dtype_size(q->x->dtype), y_size = pleat_dtype_size(q->y->dtype);
  for (size_t at = begin; at < end; at += BLOCK) {
    const size_t n = end - at < BLOCK ? end - at : BLOCK;
    pleat_convert(q->x->dtype, (const char *)q->x->data + at * x_size, PLEAT_DOUBLE, block, n, NULL);
    for (size_t i = 0; i < n; i++) {
      const size_t index = scale_index(&q->at, at + i);
      if (index != current) {
        current = index;
        scale = pleat_load_f64(q->scale->dtype, q->scale->data, index);
        zero = q->zero != NULL ? pleat_load_f64(q->zero->dtype, q->zero->data, q->zero->count == 1 ? 0 : index) : 0;
      }
      block[i] = q->quantizes ? quantize_one(q, block[i], scale, zero) : (block[i] - zero) * scale;
    }
    pleat_convert(PLEAT_DOUBLE, block, q->y->dtype, (char *)q->y->data + at * y_size, n, &q->convert);
  }
}

static void convert_chunks(const pleat_call *call, const void *plan, size_t first, size_t end) {
  const quantize *q = plan;
  (void)call;
  for (size_t chunk = first; chunk < end; chunk++) {
    const size_t begin = chunk * CHUNK;
    convert_chunk(q, begin, q->y->count - begin < CHUNK ? q->y->count : begin + CHUNK);
  }
}

static void convert_all(const pleat_call *call, const quantize *q) {
  pleat_call_share(call, true, (q->y->count + CHUNK - 1) / CHUNK, convert_chunks, q);
}

static pleat_status run_linear(const pleat_call *call) {
  quantize q = {.x = call->inputs[0], .scale = call->inputs[1], .zero = pleat_in(call, 2), .y = pleat_out(call, 0)};
  const pleat_dtype precision = (pleat_dtype)pleat_attr_int(call->node, "precision");
  if (q.y == NULL || q.y->count == 0) return PLEAT_OK;
  q.quantizes = pleat_node_is(call->node, "QuantizeLinear");
  q.at = layout_of(call->node, q.x, q.scale);
  q.target = range_of(q.y->dtype);
  q.precision = q.scale->dtype;
  if (precision != PLEAT_UNDEFINED && q.scale->dtype != PLEAT_DOUBLE) q.precision = precision;
  if ((PLEAT_M(q.precision) & PLEAT_M_FLOATS) == 0) q.precision = PLEAT_FLOAT;
  q.convert.no_saturate = q.quantizes && pleat_attr_int(call->node, "saturate") == 0;
  convert_all(call, &q);
  return PLEAT_OK;
}

/* The smallest range that holds all elements and 0, in 255 steps; 0 is one of them. */
static pleat_status run_dynamic(const pleat_call *call) {
  const pleat_tensor *x = call->inputs[0];
  float scale_value;
  uint8_t zero_value;
  float low = 0, high = 0;
  for (size_t i = 0; i < x->count; i++) {
    const float value = (float)pleat_load_f64(x->dtype, x->data, i);
    if (value < low) low = value;
    if (value > high) high = value;
  }
  scale_value = (high - low) / 255.0f;
  if (!(scale_value > 0)) scale_value = 1;
  const float zero = rintf(-low / scale_value);
  zero_value = (uint8_t)(zero < 0 ? 0 : zero > 255 ? 255 : zero);
  if (pleat_out(call, 1) != NULL) pleat_store_f64(call->outputs[1]->dtype, call->outputs[1]->data, 0, scale_value);
  if (pleat_out(call, 2) != NULL) memcpy(call->outputs[2]->data, &zero_value, 1);
  if (pleat_out(call, 0) == NULL || x->count == 0) return PLEAT_OK;
  const pleat_tensor scale = {.kind = PLEAT_KIND_TENSOR, .dtype = PLEAT_FLOAT, .count = 1, .data = &scale_value};
  const pleat_tensor zeros = {.kind = PLEAT_KIND_TENSOR, .dtype = PLEAT_UINT8, .count = 1, .data = &zero_value};
  const quantize q = {.x = x,
                      .scale = &scale,
                      .zero = &zeros,
                      .y = call->outputs[0],
                      .target = range_of(PLEAT_UINT8),
                      .precision = PLEAT_FLOAT,
                      .quantizes = true};
  convert_all(call, &q);
  return PLEAT_OK;
}

static const pleat_kernel quantize_kernel = {.name = "reference", .types = PLEAT_M_FLOATS | M_I32, .run = run_linear};
static const pleat_kernel dequantize_kernel = {
    .name = "reference", .types = M_Q8 | M_Q16 | M_Q4 | M_Q2 | M_F8 | M_F4 | M_I32, .run = run_linear};
static const pleat_kernel dynamic_kernel = {
    .name = "reference", .types = PLEAT_M_F32 | PLEAT_M_F64, .run = run_dynamic};

/* One scale for all, or one for each position of another axis. */
static const char *linear_apart(const pleat_infer *whole, const pleat_role *roles) {
  const pleat_shape *scale = &whole->inputs[1].shape;
  const char *why = pleat_apart_first(whole, roles);
  int axis = 0;
  if (why != NULL) return why;
  if (pleat_attr_int(whole->node, "block_size") != 0) return "it may have a scale for each sample";
  if (pleat_shape_product(scale, 0, scale->rank).value == 1) return NULL;
  return scale_axis(whole->node, whole->inputs[0].shape.rank, &axis) && axis != 0 ? NULL
                                                                                  : "it has a scale for each sample";
}

const pleat_op_def pleat_op_QuantizeLinear = {.domain = "",
                                              .name = "QuantizeLinear",
                                              .versions = quantize_versions,
                                              .attrs = quantize_attrs,
                                              .infer = quantize_infer,
                                              .apart = linear_apart,
                                              .kernels = (const pleat_kernel *const[]){&quantize_kernel, NULL}};
const pleat_op_def pleat_op_DequantizeLinear = {.domain = "",
                                                .name = "DequantizeLinear",
                                                .versions = dequantize_versions,
                                                .attrs = dequantize_attrs,
                                                .infer = dequantize_infer,
                                                .apart = linear_apart,
                                                .kernels = (const pleat_kernel *const[]){&dequantize_kernel, NULL}};
const pleat_op_def pleat_op_DynamicQuantizeLinear = {.domain = "",
                                                     .name = "DynamicQuantizeLinear",
                                                     .versions = dynamic_versions,
                                                     .infer = dynamic_infer,
                                                     .kernels = (const pleat_kernel *const[]){&dynamic_kernel, NULL}};

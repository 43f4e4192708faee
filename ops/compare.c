/* Comparisons: Equal, Greater, Less, GreaterOrEqual, LessOrEqual. NaN is not equal to, and neither more nor less than,
 * anything. Source: the operators' ONNX specifications. */
#include <string.h>

#include "ops/broadcast.h"

#define PLEAT_TEMPLATE "ops/compare.inc"
#define PLEAT_TEMPLATE_FLOATS
#define PLEAT_TEMPLATE_SINTS
#define PLEAT_TEMPLATE_UINTS
#include "ops/template.h"

#define M_F16_UP               (PLEAT_M_F32 | PLEAT_M_F64 | PLEAT_M(PLEAT_FLOAT16))
#define V(since, types, flags) PLEAT_EW_VERSION(since, 2, types, flags)

static const pleat_op_version order_versions[] = {
    V(1, M_F16_UP, PLEAT_EW_AXIS), V(7, M_F16_UP, 0), V(9, M_F16_UP | PLEAT_M_INTS, 0), V(13, PLEAT_M_NUMBERS, 0), {0}};
static const pleat_op_version or_equal_versions[] = {V(12, M_F16_UP | PLEAT_M_INTS, 0), V(16, PLEAT_M_NUMBERS, 0), {0}};
static const pleat_op_attr broadcast_attrs[] = {PLEAT_EW_BROADCAST_ATTRS, {0}};

#define ORDER(Name, id, versions, attrs)                                                                               \
  static const pleat_loops id##_loops = {.by_dtype = {PLEAT_LOOPS_NUMBERS(id##_loop)}};                                \
  PLEAT_EW_OP(Name, id, versions, attrs, pleat_infer_predicate, PLEAT_M_NUMBERS, 0)

ORDER(Greater, greater, order_versions, broadcast_attrs)
ORDER(Less, less, order_versions, broadcast_attrs)
ORDER(GreaterOrEqual, greater_or_equal, or_equal_versions, NULL)
ORDER(LessOrEqual, less_or_equal, or_equal_versions, NULL)

/* ---- Equal ---- */

#define M_EQUAL_1 (PLEAT_M_BOOL | PLEAT_M(PLEAT_INT32) | PLEAT_M(PLEAT_INT64))

static const pleat_op_version equal_versions[] = {V(1, M_EQUAL_1, PLEAT_EW_AXIS),
                                                  V(7, M_EQUAL_1, 0),
                                                  V(11, M_F16_UP | PLEAT_M_INTS | PLEAT_M_BOOL, 0),
                                                  V(13, PLEAT_M_NUMBERS | PLEAT_M_BOOL, 0),
                                                  V(19, PLEAT_M_NUMBERS | PLEAT_M_BOOL | PLEAT_M_STRING, 0),
                                                  {0}};

static inline bool same_string(pleat_string a, pleat_string b) {
  return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

PLEAT_BINARY_LOOP(equal_loop_bool, uint8_t, uint8_t, uint8_t, (a != 0) == (b != 0))
PLEAT_BINARY_LOOP(equal_loop_string, pleat_string, pleat_string, uint8_t, same_string(a, b))

static const pleat_loops equal_loops = {
    .by_dtype = {PLEAT_LOOPS_NUMBERS(equal_loop), PLEAT_LOOPS_BOOL(equal_loop), [PLEAT_STRING] = equal_loop_string}};
PLEAT_EW_OP(Equal, equal, equal_versions, broadcast_attrs, pleat_infer_predicate,
            PLEAT_M_NUMBERS | PLEAT_M_BOOL | PLEAT_M_STRING, 3u)

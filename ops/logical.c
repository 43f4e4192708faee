/* Logic on bool tensors: And, Or, Xor, Not. Any byte other than 0 is true; results are 0 or 1.
 * Source: the operators' ONNX specifications. */
#include "ops/broadcast.h"

PLEAT_BINARY_LOOP(and_loop_bool, uint8_t, uint8_t, uint8_t, (a != 0) & (b != 0))
PLEAT_BINARY_LOOP(or_loop_bool, uint8_t, uint8_t, uint8_t, (a != 0) | (b != 0))
PLEAT_BINARY_LOOP(xor_loop_bool, uint8_t, uint8_t, uint8_t, (a != 0) ^ (b != 0))
PLEAT_UNARY_LOOP(not_loop_bool, uint8_t, uint8_t, double, x == 0)

static const pleat_op_version binary_versions[] = {
    PLEAT_EW_VERSION(1, 2, PLEAT_M_BOOL, PLEAT_EW_AXIS), PLEAT_EW_VERSION(7, 2, PLEAT_M_BOOL, 0), {0}};
static const pleat_op_version not_versions[] = {PLEAT_EW_VERSION(1, 1, PLEAT_M_BOOL, 0), {0}};
static const pleat_op_attr broadcast_attrs[] = {PLEAT_EW_BROADCAST_ATTRS, {0}};

#define LOGICAL(Name, id, versions, attrs, inplace)                                                                    \
  static const pleat_loops id##_loops = {.by_dtype = {PLEAT_LOOPS_BOOL(id##_loop)}};                                   \
  PLEAT_EW_OP(Name, id, versions, attrs, pleat_infer_elementwise, PLEAT_M_BOOL, inplace)

LOGICAL(And, and, binary_versions, broadcast_attrs, 3u)
LOGICAL(Or, or, binary_versions, broadcast_attrs, 3u)
LOGICAL(Xor, xor, binary_versions, broadcast_attrs, 3u)
LOGICAL(Not, not, not_versions, NULL, 1u)

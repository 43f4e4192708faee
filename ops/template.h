/* Instantiates a template file once per data type. Use, in an operator's .c:
 *
 *   #define PLEAT_TEMPLATE "relu.inc"             // a file beside it, written in terms of T, FN(name) and T_IS_...
 *   #define PLEAT_TEMPLATE_FLOATS                 // float and double
 *   #define PLEAT_TEMPLATE_SINTS                  // int8..int64
 *   #define PLEAT_TEMPLATE_UINTS                  // uint8..uint64
 *   #define PLEAT_TEMPLATE_BOOL                   // bool, as uint8_t with the suffix _bool
 *   #include "ops/template.h"                     // undefines all of them again
 *
 * Inside the template: T the C type, FN(run) the name run_f32 / run_i8 / ..., T_FLOAT 1 for float and double, T_SIGNED
 * 1 for those and the signed integers, T_DTYPE the pleat_dtype. float16 and bfloat16 do not appear: see
 * PLEAT_KERNEL_WIDEN.
 *
 * Then choose by type with one of the PLEAT_SWITCH_ macros below:
 *   PLEAT_SWITCH_FLOATS(dtype, return, run, (call)) expands to a switch whose cases are `return run_f32(call);` ... and
 * which falls through for other types. There is no include guard, on purpose. */
#define PLEAT_CAT_(a, b) a##b
#define PLEAT_CAT(a, b)  PLEAT_CAT_(a, b)

#ifdef PLEAT_TEMPLATE

#ifdef PLEAT_TEMPLATE_FLOATS
#define T_FLOAT  1
#define T_SIGNED 1
#define T        float
#define T_DTYPE  PLEAT_FLOAT
#define FN(name) PLEAT_CAT(name, _f32)
#include PLEAT_TEMPLATE
#undef T
#undef T_DTYPE
#undef FN
#define T        double
#define T_DTYPE  PLEAT_DOUBLE
#define FN(name) PLEAT_CAT(name, _f64)
#include PLEAT_TEMPLATE
#undef T
#undef T_DTYPE
#undef FN
#undef T_FLOAT
#undef T_SIGNED
#endif

#ifdef PLEAT_TEMPLATE_SINTS
#define T_FLOAT  0
#define T_SIGNED 1
#define T        int8_t
#define T_DTYPE  PLEAT_INT8
#define FN(name) PLEAT_CAT(name, _i8)
#include PLEAT_TEMPLATE
#undef T
#undef T_DTYPE
#undef FN
#define T        int16_t
#define T_DTYPE  PLEAT_INT16
#define FN(name) PLEAT_CAT(name, _i16)
#include PLEAT_TEMPLATE
#undef T
#undef T_DTYPE
#undef FN
#define T        int32_t
#define T_DTYPE  PLEAT_INT32
#define FN(name) PLEAT_CAT(name, _i32)
#include PLEAT_TEMPLATE
#undef T
#undef T_DTYPE
#undef FN
#define T        int64_t
#define T_DTYPE  PLEAT_INT64
#define FN(name) PLEAT_CAT(name, _i64)
#include PLEAT_TEMPLATE
#undef T
#undef T_DTYPE
#undef FN
#undef T_FLOAT
#undef T_SIGNED
#endif

#ifdef PLEAT_TEMPLATE_UINTS
#define T_FLOAT  0
#define T_SIGNED 0
#define T        uint8_t
#define T_DTYPE  PLEAT_UINT8
#define FN(name) PLEAT_CAT(name, _u8)
#include PLEAT_TEMPLATE
#undef T
#undef T_DTYPE
#undef FN
#define T        uint16_t
#define T_DTYPE  PLEAT_UINT16
#define FN(name) PLEAT_CAT(name, _u16)
#include PLEAT_TEMPLATE
#undef T
#undef T_DTYPE
#undef FN
#define T        uint32_t
#define T_DTYPE  PLEAT_UINT32
#define FN(name) PLEAT_CAT(name, _u32)
#include PLEAT_TEMPLATE
#undef T
#undef T_DTYPE
#undef FN
#define T        uint64_t
#define T_DTYPE  PLEAT_UINT64
#define FN(name) PLEAT_CAT(name, _u64)
#include PLEAT_TEMPLATE
#undef T
#undef T_DTYPE
#undef FN
#undef T_FLOAT
#undef T_SIGNED
#endif

#ifdef PLEAT_TEMPLATE_BOOL
#define T_FLOAT  0
#define T_SIGNED 0
#define T        uint8_t
#define T_DTYPE  PLEAT_BOOL
#define FN(name) PLEAT_CAT(name, _bool)
#include PLEAT_TEMPLATE
#undef T
#undef T_DTYPE
#undef FN
#undef T_FLOAT
#undef T_SIGNED
#endif

#undef PLEAT_TEMPLATE
#undef PLEAT_TEMPLATE_FLOATS
#undef PLEAT_TEMPLATE_SINTS
#undef PLEAT_TEMPLATE_UINTS
#undef PLEAT_TEMPLATE_BOOL
#endif /* PLEAT_TEMPLATE */

#ifndef PLEAT_SWITCH_FLOATS
#define PLEAT_CASE_(dtype, action, name, suffix, args)                                                                 \
  case dtype:                                                                                                          \
    action PLEAT_CAT(name, suffix) args;                                                                               \
    break;
#define PLEAT_CASES_FLOATS(action, name, args)                                                                         \
  PLEAT_CASE_(PLEAT_FLOAT, action, name, _f32, args)                                                                   \
  PLEAT_CASE_(PLEAT_DOUBLE, action, name, _f64, args)
#define PLEAT_CASES_SINTS(action, name, args)                                                                          \
  PLEAT_CASE_(PLEAT_INT8, action, name, _i8, args)                                                                     \
  PLEAT_CASE_(PLEAT_INT16, action, name, _i16, args)                                                                   \
  PLEAT_CASE_(PLEAT_INT32, action, name, _i32, args)                                                                   \
  PLEAT_CASE_(PLEAT_INT64, action, name, _i64, args)
#define PLEAT_CASES_UINTS(action, name, args)                                                                          \
  PLEAT_CASE_(PLEAT_UINT8, action, name, _u8, args)                                                                    \
  PLEAT_CASE_(PLEAT_UINT16, action, name, _u16, args)                                                                  \
  PLEAT_CASE_(PLEAT_UINT32, action, name, _u32, args)                                                                  \
  PLEAT_CASE_(PLEAT_UINT64, action, name, _u64, args)
#define PLEAT_CASES_BOOL(action, name, args) PLEAT_CASE_(PLEAT_BOOL, action, name, _bool, args)

#define PLEAT_SWITCH_(dtype, cases)                                                                                    \
  switch (dtype) { cases default : break; }
#define PLEAT_SWITCH_FLOATS(dtype, action, name, args) PLEAT_SWITCH_(dtype, PLEAT_CASES_FLOATS(action, name, args))
#define PLEAT_SWITCH_SIGNED(dtype, action, name, args)                                                                 \
  PLEAT_SWITCH_(dtype, PLEAT_CASES_FLOATS(action, name, args) PLEAT_CASES_SINTS(action, name, args))
#define PLEAT_SWITCH_NUMBERS(dtype, action, name, args)                                                                \
  PLEAT_SWITCH_(dtype, PLEAT_CASES_FLOATS(action, name, args) PLEAT_CASES_SINTS(action, name, args)                    \
                           PLEAT_CASES_UINTS(action, name, args))
#define PLEAT_SWITCH_NUMBERS_BOOL(dtype, action, name, args)                                                           \
  PLEAT_SWITCH_(dtype, PLEAT_CASES_FLOATS(action, name, args) PLEAT_CASES_SINTS(action, name, args)                    \
                           PLEAT_CASES_UINTS(action, name, args) PLEAT_CASES_BOOL(action, name, args))
#endif

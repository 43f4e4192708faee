/* Arithmetic on sizes that come from a file: true and a result, or false on overflow. */
#ifndef PLEAT_CORE_CHECKED_H
#define PLEAT_CORE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool pleat_add_size(size_t a, size_t b, size_t *out) {
  return !__builtin_add_overflow(a, b, out);
}
static inline bool pleat_mul_size(size_t a, size_t b, size_t *out) {
  return !__builtin_mul_overflow(a, b, out);
}
static inline bool pleat_add_i64(int64_t a, int64_t b, int64_t *out) {
  return !__builtin_add_overflow(a, b, out);
}
static inline bool pleat_sub_i64(int64_t a, int64_t b, int64_t *out) {
  return !__builtin_sub_overflow(a, b, out);
}
static inline bool pleat_mul_i64(int64_t a, int64_t b, int64_t *out) {
  return !__builtin_mul_overflow(a, b, out);
}

/* Rounds up to a power of two; false on overflow. */
static inline bool pleat_align_up(size_t value, size_t alignment, size_t *out) {
  if (!pleat_add_size(value, alignment - 1, out)) return false;
  *out &= ~(alignment - 1);
  return true;
}

#endif

/* Tensors for tests: made from literals, from values in double, from repeatable noise; and the checks of what came out.
 * Shapes are texts: "2,3"; "" is a scalar. */
#ifndef PLEAT_TESTS_TENSORS_H
#define PLEAT_TESTS_TENSORS_H

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/shape.h"
#include "core/tensor.h"
#include "pleat/pleat.h"

/* ---- making ---- */

/* "2,N,3" -> dims, -1 for a symbol; "" is a scalar. Returns the rank. */
static inline int shape_dims(const char *text, int64_t *dims) {
  int rank = 0;
  while (*text != '\0') {
    char *end = NULL;
    dims[rank] = strtoll(text, &end, 10);
    if (end == text) dims[rank] = -1; /* a symbol */
    rank++;
    text += strcspn(text, ",");
    if (*text == ',') text++;
  }
  return rank;
}

/* A tensor of the given elements; NULL leaves it zero (or it is empty). */
static inline pleat_tensor *make_dims(pleat_dtype dtype, int rank, const int64_t *dims, const void *data) {
  pleat_tensor *tensor = NULL;
  pleat_status status = dtype == PLEAT_STRING && data != NULL
                            ? pleat_tensor_create_strings(rank, dims, data, &tensor, NULL)
                            : pleat_tensor_create(dtype, rank, dims, &tensor, NULL);
  ck_assert_int_eq(status, PLEAT_OK);
  if (data != NULL && dtype != PLEAT_STRING && pleat_bytes(tensor) > 0) memcpy(tensor->data, data, pleat_bytes(tensor));
  return tensor;
}
static inline pleat_tensor *make(pleat_dtype dtype, const char *shape, const void *data) {
  int64_t dims[PLEAT_MAX_RANK] = {0};
  int rank = shape_dims(shape, dims);
  return make_dims(dtype, rank, dims, data);
}
/* A tensor of any numeric type, its values given in double. */
static inline pleat_tensor *make_values(pleat_dtype dtype, int rank, const int64_t *dims, const double *values) {
  pleat_tensor *tensor = make_dims(dtype, rank, dims, NULL);
  for (size_t i = 0; i < tensor->count; i++) pleat_store_f64(dtype, tensor->data, i, values[i]);
  return tensor;
}
/* NULL: zeros. */
static inline pleat_tensor *make_tensor(pleat_dtype dtype, const char *shape, const double *values) {
  int64_t dims[PLEAT_MAX_RANK];
  int rank = shape_dims(shape, dims);
  return values != NULL ? make_values(dtype, rank, dims, values) : make_dims(dtype, rank, dims, NULL);
}
static inline pleat_tensor *make_vector(pleat_dtype dtype, int64_t count, const double *values) {
  return make_values(dtype, 1, &count, values);
}
static inline pleat_tensor *make_ints(const int64_t *values, size_t count) {
  return make_dims(PLEAT_INT64, 1, (const int64_t[]){(int64_t)count}, values);
}
#define VECTOR(type, ...)                                                                                              \
  (const type[]) {                                                                                                     \
    __VA_ARGS__                                                                                                        \
  }
#define F32(...)           VECTOR(float, __VA_ARGS__)
#define FLOATS(shape, ...) make(PLEAT_FLOAT, shape, VECTOR(float, __VA_ARGS__))
#define INT64S(shape, ...) make(PLEAT_INT64, shape, VECTOR(int64_t, __VA_ARGS__))
#define INTS(...)          make_ints(VECTOR(int64_t, __VA_ARGS__), COUNT_OF_INTS(__VA_ARGS__))
#define STRING_OF(text)    ((pleat_string){.data = (text), .size = sizeof(text) - 1})
#define COUNT_OF_INTS(...) (sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

/* A pseudo-random number in [low, high], the same in every run. */
static inline int64_t random_between(uint64_t *seed, int64_t low, int64_t high) {
  *seed = *seed * 6364136223846793005u + 1442695040888963407u;
  return low + (int64_t)((*seed >> 33) % (uint64_t)(high - low + 1));
}

/* Floats in [-2, 2]; integers in [-limit, limit], unsigned ones from 0 on. */
static inline pleat_tensor *make_noise_upto(uint64_t *seed, pleat_dtype dtype, int rank, const int64_t *dims,
                                            int64_t limit) {
  pleat_tensor *tensor = make_dims(dtype, rank, dims, NULL);
  for (size_t i = 0; i < tensor->count; i++) {
    double value = pleat_dtype_is_float(dtype) ? (double)random_between(seed, -(1 << 22), 1 << 22) / (1 << 21)
                   : dtype == PLEAT_BOOL
                       ? (double)random_between(seed, 0, 1)
                       : (double)random_between(seed, (PLEAT_M(dtype) & PLEAT_M_SINT) != 0 ? -limit : 0, limit);
    pleat_store_f64(dtype, tensor->data, i, value);
  }
  return tensor;
}
static inline pleat_tensor *make_noise(uint64_t *seed, pleat_dtype dtype, int rank, const int64_t *dims) {
  return make_noise_upto(seed, dtype, rank, dims, 1000);
}

/* ---- checks ---- */

static inline double element(const pleat_tensor *tensor, size_t index) {
  return pleat_load_f64(tensor->dtype, tensor->data, index);
}

/* |found - expected| <= tolerance * max(1, |expected|); NaN equals NaN, infinities equal themselves. */
#define CHECK_NEAR(found, expected, tolerance)                                                                         \
  do {                                                                                                                 \
    double found_ = (found), expected_ = (expected);                                                                   \
    bool same_ = found_ == expected_ || (found_ != found_ && expected_ != expected_);                                  \
    /* An assertion a call would be slow: Check notes each, passed or not, in a pipe. */                               \
    if (!same_ && !(fabs(found_ - expected_) <= (tolerance)*fmax(1, fabs(expected_))))                                 \
      ck_abort_msg("%.9g, not %.9g", found_, expected_);                                                               \
  } while (0)
/* Element `i` of a tensor, and all elements, within 1e-5. */
#define CHECK_AT(tensor, i, expected) CHECK_NEAR(element((tensor), (i)), (expected), 1e-5)
#define CHECK_VALUES(tensor, value_count, expected)                                                                    \
  do {                                                                                                                 \
    const pleat_tensor *tensor_ = (tensor);                                                                            \
    const double *want_ = (expected);                                                                                  \
    ck_assert_uint_eq(tensor_->count, (value_count));                                                                  \
    for (size_t i_ = 0; i_ < tensor_->count; i_++) CHECK_AT(tensor_, i_, want_[i_]);                                   \
  } while (0)
static inline void check_dims(const pleat_tensor *tensor, int rank, const int64_t *dims) {
  ck_assert_int_eq(tensor->rank, rank);
  for (int d = 0; d < rank; d++) ck_assert_int_eq(tensor->dims[d], dims[d]);
}
#define CHECK_TEXT(tensor, text)                                                                                       \
  do {                                                                                                                 \
    char text_[256];                                                                                                   \
    ck_assert_str_eq(pleat_tensor_text(tensor, text_, sizeof text_), text);                                            \
  } while (0)
/* Type and shape as pleat_tensor_text() writes them, and the elements, bit by bit. */
#define CHECK_TENSOR(tensor, text, T, ...)                                                                             \
  do {                                                                                                                 \
    const T want_[] = {__VA_ARGS__};                                                                                   \
    CHECK_TEXT(tensor, text);                                                                                          \
    ck_assert_uint_eq((tensor)->count, sizeof want_ / sizeof(T));                                                      \
    for (size_t i_ = 0; i_ < (tensor)->count; i_++)                                                                    \
      if (memcmp((const T *)(tensor)->data + i_, want_ + i_, sizeof(T)) != 0)                                          \
        ck_abort_msg("element %zu is %g, not %g", i_, (double)((const T *)(tensor)->data)[i_], (double)want_[i_]);     \
  } while (0)
#define CHECK_SHAPE(type, text)                                                                                        \
  do {                                                                                                                 \
    char text_[256];                                                                                                   \
    ck_assert_str_eq(pleat_shape_text(&(type)->shape, text_, sizeof text_), text);                                     \
  } while (0)

/* Compares type, shape and every value (NaN with NaN, integers exactly) and releases `actual`. */
static inline void expect_dims(pleat_tensor *actual, pleat_dtype dtype, int rank, const int64_t *dims,
                               const void *data) {
  pleat_tensor *wanted = make_dims(dtype, rank, dims, data);
  ck_assert_int_eq(actual->dtype, dtype);
  ck_assert(pleat_same_shape(actual, wanted));
  for (size_t i = 0; i < wanted->count; i++) {
    const double a = element(actual, i), w = element(wanted, i);
    if (a != w && !(isnan(a) && isnan(w))) ck_abort_msg("element %zu is %.17g, expected %.17g", i, a, w);
    if (pleat_dtype_is_int(dtype)) {
      ck_assert_int_eq(pleat_load_i64(dtype, actual->data, i), pleat_load_i64(dtype, wanted->data, i));
    }
  }
  pleat_tensor_release(actual);
  pleat_tensor_release(wanted);
}
static inline void expect(pleat_tensor *actual, pleat_dtype dtype, const char *shape, const void *data) {
  int64_t dims[PLEAT_MAX_RANK] = {0};
  int rank = shape_dims(shape, dims);
  expect_dims(actual, dtype, rank, dims, data);
}

/* Type and shape as text, then every element. */
static inline void assert_tensor(const pleat_tensor *tensor, const char *text, const double *values) {
  char found[256];
  ck_assert_str_eq(pleat_tensor_text(tensor, found, sizeof found), text);
  for (size_t i = 0; i < tensor->count; i++) {
    double value = pleat_load_f64(tensor->dtype, tensor->data, i);
    if (value != values[i]) ck_abort_msg("element %zu is %g, expected %g", i, value, values[i]);
  }
}
#define ASSERT_TENSOR(tensor, text, ...) assert_tensor((tensor), (text), (const double[]){__VA_ARGS__})

static inline void assert_same(const pleat_tensor *actual, const pleat_tensor *expected, double tolerance) {
  pleat_comparison result;
  pleat_compare(actual, expected, (pleat_tolerance){.rtol = tolerance, .atol = tolerance}, &result);
  ck_assert_msg(result.match, "%s", result.reason);
}

#endif

/* Recipes: every element comes out as computed one by one in double and rounded once, at any alignment, in any pieces;
 * what does not hold in its type is found, with and without looking at each element. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/recipe.h"
#include "suite.h"
#include "tensors.h"

enum { COUNT = 2 * 6 * 35, ROOM = 16 };

static const pleat_dtype types[] = {PLEAT_FLOAT, PLEAT_DOUBLE, PLEAT_FLOAT16, PLEAT_BFLOAT16};

/* [12, 35]: rows, columns, elements of a row in groups of 5, and the same starting over for each half. */
static const struct {
  size_t channels, inner, outer;
} axes[] = {{12, 35, COUNT}, {35, 1, COUNT}, {7, 5, COUNT}, {1, COUNT, COUNT}, {7, 5, COUNT / 2}, {35, 1, COUNT / 12}};

static pleat_arena *arena;
static unsigned char memory[ROOM + COUNT * sizeof(double)];

static void setup(void) {
  arena = pleat_arena_create();
}
static void teardown(void) {
  pleat_arena_destroy(arena);
}

/* Elements in [-2, 2], `shift` bytes off any alignment. */
static pleat_recipe stored(pleat_dtype dtype, size_t shift) {
  const int64_t dims[] = {12, 35};
  uint64_t seed = 7;
  double values[COUNT];
  for (size_t i = 0; i < COUNT; i++) values[i] = (double)random_between(&seed, -20000, 20000) / 10000;
  _Alignas(16) unsigned char exact[sizeof memory];
  pleat_convert(PLEAT_DOUBLE, values, dtype, exact, COUNT, NULL);
  memcpy(memory + shift, exact, COUNT * pleat_dtype_size(dtype));
  pleat_tensor tensor;
  ck_assert(pleat_tensor_describe(&tensor, dtype, 2, dims));
  tensor.data = memory + shift;
  return pleat_recipe_of(&tensor, memory, NULL);
}

static pleat_factors factors_of(size_t axis, double *values, uint64_t seed) {
  const size_t groups = COUNT / axes[axis].outer, count = groups * axes[axis].channels;
  for (size_t i = 0; i < count; i++) values[i] = (double)random_between(&seed, -1000, 1000) / 300;
  return (pleat_factors){.values = values,
                         .value_count = count,
                         .channels = axes[axis].channels,
                         .inner = axes[axis].inner,
                         .outer = axes[axis].outer};
}

static double factor_at(const pleat_factors *f, size_t i) {
  return f->values[i / f->outer * f->channels + i / f->inner % f->channels];
}

static double stored_at(const pleat_recipe *recipe, size_t i) {
  _Alignas(16) char element[16];
  const size_t size = pleat_dtype_size(recipe->tensor.dtype);
  memcpy(element, (const char *)recipe->tensor.data + i * size, size);
  return pleat_load_f64(recipe->tensor.dtype, element, 0);
}

/* Reads the recipe whole, in pieces of odd sizes and to any alignment, and compares with `expected` rounded once. */
static void check_read(const pleat_recipe *recipe, const double *expected) {
  const pleat_dtype dtype = recipe->tensor.dtype;
  const size_t size = pleat_dtype_size(dtype);
  _Alignas(64) char rounded[COUNT * sizeof(double)], whole[sizeof rounded], pieces[sizeof rounded];
  pleat_convert(PLEAT_DOUBLE, expected, dtype, rounded, COUNT, NULL);
  pleat_recipe_read(recipe, dtype, 0, COUNT, whole);
  for (size_t at = 0, n = 1; at < COUNT; at += n, n = n * 3 % 101 + 1) {
    if (n > COUNT - at) n = COUNT - at;
    pleat_recipe_read(recipe, dtype, at, n, pieces + at * size);
  }
  ck_assert_mem_eq(whole, rounded, COUNT * size);
  ck_assert_mem_eq(pieces, rounded, COUNT * size);
  for (size_t shift = 1; shift < 4; shift++) {
    _Alignas(64) char shifted[sizeof rounded + ROOM];
    pleat_recipe_read(recipe, dtype, 0, COUNT, shifted + shift);
    ck_assert_mem_eq(shifted + shift, rounded, COUNT * size);
  }
}

START_TEST(one_list_of_factors) {
  double values[COUNT], expected[COUNT];
  for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
    for (size_t shift = 0; shift < 4; shift++) {
      pleat_recipe recipe = stored(types[t], shift), scaled;
      for (size_t i = 0; i < COUNT; i++) expected[i] = stored_at(&recipe, i);
      check_read(&recipe, expected);
      const pleat_factors factors = factors_of((size_t)_i, values, 3);
      ck_assert(pleat_recipe_scale(arena, &recipe, &factors, &scaled));
      for (size_t i = 0; i < COUNT; i++) expected[i] *= factor_at(&factors, i);
      values[0] = NAN; /* the recipe has a copy */
      check_read(&scaled, expected);
    }
  }
}
END_TEST

/* Rounded once, not once for each list. */
START_TEST(two_lists_are_rounded_once) {
  double first[COUNT], second[COUNT], expected[COUNT];
  for (size_t axis = 0; axis < sizeof axes / sizeof axes[0]; axis++) {
    pleat_recipe recipe = stored(types[_i], 1), once, twice;
    const pleat_factors a = factors_of(axis, first, 3), b = factors_of((axis + 1) % 6, second, 5);
    ck_assert(pleat_recipe_scale(arena, &recipe, &a, &once));
    ck_assert(pleat_recipe_scale(arena, &once, &b, &twice));
    ck_assert_ptr_nonnull(twice.factors->next);
    for (size_t i = 0; i < COUNT; i++) {
      expected[i] = stored_at(&recipe, i) * factor_at(&a, i) * factor_at(&b, i);
    }
    check_read(&twice, expected);
    /* Along the same axis: one list, of the products. */
    const pleat_factors c = factors_of(axis, second, 5);
    ck_assert(pleat_recipe_scale(arena, &once, &c, &twice));
    ck_assert_ptr_null(twice.factors->next);
    for (size_t i = 0; i < COUNT; i++) expected[i] = stored_at(&recipe, i) * (factor_at(&a, i) * factor_at(&c, i));
    check_read(&twice, expected);
    for (size_t i = 0; i < COUNT; i++) expected[i] = stored_at(&recipe, i) * factor_at(&a, i);
    check_read(&once, expected); /* is what it was */
  }
}
END_TEST

START_TEST(read_in_another_type) {
  double values[COUNT];
  float as_float[COUNT];
  uint16_t as_half[COUNT];
  pleat_recipe recipe = stored(PLEAT_FLOAT16, 0), scaled;
  const pleat_factors factors = factors_of(0, values, 3);
  ck_assert(pleat_recipe_scale(arena, &recipe, &factors, &scaled));
  pleat_recipe_read(&scaled, PLEAT_FLOAT16, 0, COUNT, as_half);
  pleat_recipe_read(&scaled, PLEAT_FLOAT, 0, COUNT, as_float);
  for (size_t i = 0; i < COUNT; i++) ck_assert(as_float[i] == pleat_f16_to_f32(as_half[i]));
}
END_TEST

/* Stored as a half, a constant as float: products are rounded to float only, and the elements have to be read. */
START_TEST(stored_narrower) {
  double values[COUNT];
  float found[COUNT];
  const pleat_recipe half = stored(PLEAT_FLOAT16, -(uintptr_t)memory & 15);
  pleat_recipe wide = pleat_recipe_widen(&half, PLEAT_FLOAT), scaled;
  ck_assert_ptr_nonnull(pleat_recipe_in_place(&half));
  ck_assert_ptr_null(pleat_recipe_in_place(&wide));
  pleat_recipe_read(&wide, PLEAT_FLOAT, 0, COUNT, found);
  for (size_t i = 0; i < COUNT; i++) ck_assert(found[i] == (float)stored_at(&half, i));
  const pleat_factors factors = factors_of(0, values, 3);
  ck_assert(pleat_recipe_scale(arena, &wide, &factors, &scaled));
  pleat_recipe_read(&scaled, PLEAT_FLOAT, 3, COUNT - 3, found);
  for (size_t i = 3; i < COUNT; i++) ck_assert(found[i - 3] == (float)(stored_at(&half, i) * factor_at(&factors, i)));
  ck_assert(pleat_recipe_is_finite(&scaled));
}
END_TEST

/* What would be infinite as a half is not as a float. */
START_TEST(stored_narrower_has_the_wider_range) {
  double factor = 1e6;
  uint16_t data[2];
  const int64_t dims[] = {2};
  pleat_tensor tensor;
  pleat_recipe scaled;
  ck_assert(pleat_tensor_describe(&tensor, PLEAT_FLOAT16, 1, dims));
  tensor.data = data;
  data[0] = pleat_f32_to_f16(30000);
  data[1] = pleat_f32_to_f16(1);
  const pleat_factors factors = {.values = &factor, .value_count = 1, .channels = 1, .inner = 2, .outer = 2};
  const pleat_recipe half = pleat_recipe_of(&tensor, data, NULL), wide = pleat_recipe_widen(&half, PLEAT_FLOAT);
  ck_assert(pleat_recipe_scale(arena, &half, &factors, &scaled));
  ck_assert(!pleat_recipe_is_finite(&scaled));
  ck_assert(pleat_recipe_scale(arena, &wide, &factors, &scaled));
  ck_assert(pleat_recipe_is_finite(&scaled));
}
END_TEST

START_TEST(in_place_only_when_aligned_and_as_stored) {
  double values[COUNT];
  const size_t aligned = -(uintptr_t)memory & 15;
  pleat_recipe recipe = stored(PLEAT_FLOAT, aligned), scaled;
  ck_assert_ptr_eq(pleat_recipe_in_place(&recipe), memory + aligned);
  const pleat_factors factors = factors_of(0, values, 3);
  ck_assert(pleat_recipe_scale(arena, &recipe, &factors, &scaled));
  ck_assert_ptr_null(pleat_recipe_in_place(&scaled));
  recipe = stored(PLEAT_FLOAT, (aligned + 4) % 16);
  ck_assert_ptr_null(pleat_recipe_in_place(&recipe));
}
END_TEST

static double largest(pleat_dtype dtype) {
  return dtype == PLEAT_FLOAT ? FLT_MAX : dtype == PLEAT_DOUBLE ? DBL_MAX : dtype == PLEAT_FLOAT16 ? 65504 : 0x1.fep127;
}

static bool is_finite(double element, double factor) {
  pleat_recipe recipe = stored(PLEAT_FLOAT, 0), scaled;
  double values[COUNT];
  float row[35] = {0};
  row[17] = (float)element;
  memcpy(memory, row, sizeof row); /* the row of the factor */
  pleat_factors factors = factors_of(0, values, 3);
  factors.values[0] = factor;
  ck_assert(pleat_recipe_scale(arena, &recipe, &factors, &scaled));
  return pleat_recipe_is_finite(&scaled);
}

START_TEST(finite_or_not) {
  ck_assert(is_finite(1, 1));
  ck_assert(is_finite(FLT_MAX, 1));
  ck_assert(is_finite(-FLT_MAX, 1));
  ck_assert(is_finite(FLT_MAX, 1 + 1e-9)); /* rounds to the largest float */
  ck_assert(!is_finite(FLT_MAX, 1.001));
  ck_assert(!is_finite(-FLT_MAX, 1.001));
  ck_assert(is_finite(1e-30, 1e60)); /* which a 1 in that row would not be */
  ck_assert(!is_finite(1e-10, 1e60));
  ck_assert(!is_finite(INFINITY, 1));
  ck_assert(!is_finite(-INFINITY, 0));
  ck_assert(!is_finite(NAN, 1));
  ck_assert(!is_finite(1, NAN));
  ck_assert(!is_finite(1, INFINITY));
}
END_TEST

/* One element that is large or not a number is found wherever it is, in any count of elements. */
START_TEST(finite_or_not_anywhere) {
  enum { MOST = 40 };
  static const float elements[] = {1, FLT_MAX, -FLT_MAX, INFINITY, -INFINITY, NAN};
  double factor = 2;
  const pleat_factors factors = {
      .values = &factor, .value_count = 1, .channels = 1, .inner = MOST, .outer = MOST}; /* 1 is the only one to hold */
  for (size_t count = 1; count <= MOST; count++) {
    for (size_t at = 0; at < count; at++) {
      float data[MOST] = {0};
      const int64_t dims[] = {(int64_t)count};
      pleat_tensor tensor;
      pleat_recipe scaled;
      ck_assert(pleat_tensor_describe(&tensor, PLEAT_FLOAT, 1, dims));
      tensor.data = data;
      data[at] = elements[_i];
      const pleat_recipe recipe = pleat_recipe_of(&tensor, data, NULL);
      ck_assert(pleat_recipe_scale(arena, &recipe, &factors, &scaled));
      ck_assert_int_eq(pleat_recipe_is_finite(&scaled), _i == 0);
    }
  }
}
END_TEST

/* In every type: the largest number holds, and a bit more than that does not. */
START_TEST(finite_in_every_type) {
  const pleat_dtype dtype = types[_i];
  const int64_t dims[] = {2};
  _Alignas(16) char data[32];
  double factor = 1;
  pleat_tensor tensor;
  pleat_recipe scaled;
  pleat_factors factors = {.values = &factor, .value_count = 1, .channels = 1, .inner = 2, .outer = 2};
  ck_assert(pleat_tensor_describe(&tensor, dtype, 1, dims));
  tensor.data = data;
  pleat_store_f64(dtype, data, 0, largest(dtype));
  pleat_store_f64(dtype, data, 1, 0);
  pleat_recipe recipe = pleat_recipe_of(&tensor, data, NULL);
  ck_assert(pleat_recipe_is_finite(&recipe));
  for (int more = 0; more < 2; more++) {
    factor = more ? 1.01 : -1;
    ck_assert(pleat_recipe_scale(arena, &recipe, &factors, &scaled));
    ck_assert_int_eq(pleat_recipe_is_finite(&scaled), !more);
  }
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  Suite *suite = suite_create("core_recipe");
  TCase *tcase = tcase_create("recipes");
  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_loop_test(tcase, one_list_of_factors, 0, (int)(sizeof axes / sizeof axes[0]));
  tcase_add_loop_test(tcase, two_lists_are_rounded_once, 0, (int)(sizeof types / sizeof types[0]));
  tcase_add_test(tcase, read_in_another_type);
  tcase_add_test(tcase, stored_narrower);
  tcase_add_test(tcase, stored_narrower_has_the_wider_range);
  tcase_add_test(tcase, in_place_only_when_aligned_and_as_stored);
  tcase_add_test(tcase, finite_or_not);
  tcase_add_loop_test(tcase, finite_or_not_anywhere, 0, 6);
  tcase_add_loop_test(tcase, finite_in_every_type, 0, (int)(sizeof types / sizeof types[0]));
  suite_add_tcase(suite, tcase);
  return suite;
}

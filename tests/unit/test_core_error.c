/* Status names, the error record, and the arena. */
#include <check.h>
#include <stdint.h>
#include <string.h>

#include "core/arena.h"
#include "core/checked.h"
#include "core/error.h"

START_TEST(names_are_distinct_and_never_null) {
  for (int a = PLEAT_OK; a <= PLEAT_INTERNAL; a++) {
    for (int b = a + 1; b <= PLEAT_INTERNAL; b++) {
      ck_assert_str_ne(pleat_status_name((pleat_status)a), pleat_status_name((pleat_status)b));
    }
  }
  ck_assert_str_eq(pleat_status_name(PLEAT_MALFORMED_MODEL), "malformed model");
  ck_assert_str_eq(pleat_status_name((pleat_status)99), "unknown status");
}
END_TEST

START_TEST(version_has_three_numbers) {
  int dots = 0;
  for (const char *at = pleat_version(); *at != '\0'; at++) dots += *at == '.';
  ck_assert_int_eq(dots, 2);
}
END_TEST

START_TEST(first_failure_is_kept) {
  pleat_error error = PLEAT_ERROR_INIT;
  ck_assert_int_eq(pleat_fail(&error, PLEAT_IO_ERROR, "cannot read %d", 7), PLEAT_IO_ERROR);
  ck_assert_int_eq(pleat_fail(&error, PLEAT_INTERNAL, "later"), PLEAT_INTERNAL);
  ck_assert_int_eq(error.status, PLEAT_IO_ERROR);
  ck_assert_str_eq(error.message, "cannot read 7");
  pleat_error_clear(&error);
  ck_assert_int_eq(error.status, PLEAT_OK);
  ck_assert_str_eq(error.message, "");
  ck_assert_uint_eq(error.size, sizeof error);
}
END_TEST

START_TEST(the_innermost_place_is_kept) {
  pleat_error error = PLEAT_ERROR_INIT;
  char text[256];
  pleat_error_at_node(&error, "before any failure");
  ck_assert_str_eq(error.node, "");
  pleat_fail(&error, PLEAT_SHAPE_MISMATCH, "no");
  pleat_error_at_tensor(&error, "t");
  pleat_error_at_node(&error, "inner");
  pleat_error_at_node(&error, "outer");
  ck_assert_str_eq(pleat_error_format(&error, text, sizeof text), "node 'inner': tensor 't': no");
  pleat_error_at_file(&error, "m.onnx");
  ck_assert_str_eq(pleat_error_format(&error, text, sizeof text), "m.onnx: node 'inner': tensor 't': no");
}
END_TEST

START_TEST(long_texts_are_cut_and_terminated) {
  char longer[3000];
  memset(longer, 'x', sizeof longer - 1);
  longer[sizeof longer - 1] = '\0';
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_fail(&error, PLEAT_INTERNAL, "%s", longer);
  pleat_error_at_file(&error, longer);
  ck_assert_uint_eq(strlen(error.message), sizeof error.message - 1);
  ck_assert_uint_eq(strlen(error.file), sizeof error.file - 1);
  char small[8];
  ck_assert_uint_eq(strlen(pleat_error_format(&error, small, sizeof small)), sizeof small - 1);
  char none = '!';
  pleat_error_format(&error, &none, 0);
  ck_assert_int_eq(none, '!');
}
END_TEST

START_TEST(null_errors_are_taken) {
  ck_assert_int_eq(pleat_fail(NULL, PLEAT_UNSUPPORTED, "x"), PLEAT_UNSUPPORTED);
  pleat_error_at_file(NULL, "f");
  pleat_error_at_node(NULL, "n");
  pleat_error_at_tensor(NULL, "t");
  pleat_error_clear(NULL);
  char text[8] = "old";
  ck_assert_str_eq(pleat_error_format(NULL, text, sizeof text), "");
}
END_TEST

START_TEST(checked_arithmetic_sees_overflow) {
  size_t size;
  int64_t number;
  ck_assert(pleat_add_size(2, 3, &size) && size == 5);
  ck_assert(!pleat_add_size(SIZE_MAX, 1, &size));
  ck_assert(!pleat_mul_size(SIZE_MAX / 2, 3, &size));
  ck_assert(!pleat_sub_i64(INT64_MIN, 1, &number));
  ck_assert(!pleat_mul_i64(INT64_MIN, -1, &number));
  ck_assert(pleat_align_up(65, 64, &size) && size == 128);
  ck_assert(!pleat_align_up(SIZE_MAX - 1, 64, &size));
}
END_TEST

START_TEST(arena_memory_is_zeroed_aligned_and_apart) {
  pleat_arena *arena = pleat_arena_create();
  ck_assert_ptr_nonnull(arena);
  for (int round = 0; round < 3; round++) { /* again after a reset: old content must not show */
    unsigned char *blocks[2000];
    size_t sizes[2000];
    for (size_t i = 0; i < 2000; i++) {
      size_t alignment = (size_t)1 << (i % 13);
      sizes[i] = i % 50 == 0 ? 100000 + i : i % 300;
      blocks[i] = pleat_arena_aligned(arena, sizes[i], alignment);
      ck_assert_ptr_nonnull(blocks[i]);
      ck_assert_uint_eq((uintptr_t)blocks[i] % (alignment < 16 ? 16 : alignment), 0);
      for (size_t k = 0; k < sizes[i]; k++) {
        if (blocks[i][k] != 0) ck_abort_msg("byte %zu of allocation %zu is not zero", k, i);
      }
      memset(blocks[i], (int)(i % 255) + 1, sizes[i]);
    }
    for (size_t i = 0; i < 2000; i++) {
      for (size_t k = 0; k < sizes[i]; k++) {
        if (blocks[i][k] != i % 255 + 1) ck_abort_msg("allocation %zu was overwritten", i);
      }
    }
    pleat_arena_reset(arena);
  }
  pleat_arena_destroy(arena);
  pleat_arena_destroy(NULL);
}
END_TEST

START_TEST(arena_refuses_what_cannot_be) {
  pleat_arena *arena = pleat_arena_create();
  ck_assert_ptr_null(pleat_arena_array(arena, SIZE_MAX / 4, 8));
  ck_assert_ptr_null(pleat_arena_alloc(arena, SIZE_MAX - 8));
  ck_assert_ptr_null(pleat_arena_aligned(arena, 8, 48));
  ck_assert_ptr_null(pleat_arena_aligned(arena, 8, 8192));
  ck_assert_ptr_nonnull(pleat_arena_alloc(arena, 0));
  pleat_arena_destroy(arena);
}
END_TEST

START_TEST(arena_texts) {
  pleat_arena *arena = pleat_arena_create();
  ck_assert_str_eq(pleat_arena_strdup(arena, "abc"), "abc");
  ck_assert_str_eq(pleat_arena_strndup(arena, "abcdef", 2), "ab");
  ck_assert_str_eq(pleat_arena_strndup(arena, NULL, 0), "");
  ck_assert_str_eq(pleat_arena_printf(arena, "%s-%d", "x", 42), "x-42");
  pleat_arena_destroy(arena);
}
END_TEST

START_TEST(push_grows_and_keeps) {
  pleat_arena *arena = pleat_arena_create();
  int *list = NULL;
  size_t count = 0, capacity = 0;
  for (int i = 0; i < 10000; i++) ck_assert(PLEAT_PUSH(arena, list, count, capacity, i * 3));
  ck_assert_uint_eq(count, 10000);
  ck_assert_uint_ge(capacity, count);
  for (int i = 0; i < 10000; i++) ck_assert_int_eq(list[i], i * 3);
  size_t before = capacity;
  ck_assert_ptr_eq(pleat_arena_grow(arena, list, 5, &capacity, sizeof *list), list);
  ck_assert_uint_eq(capacity, before);
  ck_assert_ptr_null(pleat_arena_grow(arena, list, SIZE_MAX / 2, &capacity, sizeof *list));
  ck_assert_uint_eq(capacity, before);
  pleat_arena_destroy(arena);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("core_error");
  TCase *errors = tcase_create("errors");
  tcase_add_test(errors, names_are_distinct_and_never_null);
  tcase_add_test(errors, version_has_three_numbers);
  tcase_add_test(errors, first_failure_is_kept);
  tcase_add_test(errors, the_innermost_place_is_kept);
  tcase_add_test(errors, long_texts_are_cut_and_terminated);
  tcase_add_test(errors, null_errors_are_taken);
  tcase_add_test(errors, checked_arithmetic_sees_overflow);
  suite_add_tcase(suite, errors);
  TCase *arenas = tcase_create("arena");
  tcase_add_test(arenas, arena_memory_is_zeroed_aligned_and_apart);
  tcase_add_test(arenas, arena_refuses_what_cannot_be);
  tcase_add_test(arenas, arena_texts);
  tcase_add_test(arenas, push_grows_and_keeps);
  suite_add_tcase(suite, arenas);
  return suite;
}

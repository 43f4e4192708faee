/* Blocks and pools of memory: zeroed, aligned, apart from each other, and back with the system when they are freed. */
#define _DEFAULT_SOURCE /* mincore */
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "core/memory.h"
#include "suite.h"

static const size_t MEGABYTE = 1 << 20;

static bool is_filled(const unsigned char *bytes, unsigned char with, size_t count) {
  return count == 0 || (bytes[0] == with && memcmp(bytes, bytes + 1, count - 1) == 0);
}

static const size_t SIZES[] = {0,       1,       63, 4096, (1 << 17) - 1, 1 << 17, 200001, 2 << 20, (2 << 20) + 1,
                               5 << 20, 40 << 20};
enum { SIZE_COUNT = sizeof SIZES / sizeof *SIZES };

START_TEST(blocks_are_zero_and_aligned) {
  for (int i = 0; i < SIZE_COUNT; i++) {
    unsigned char *block = pleat_block_alloc(SIZES[i]);
    ck_assert_ptr_nonnull(block);
    ck_assert_uint_eq((uintptr_t)block % 64, 0);
    ck_assert(is_filled(block, 0, SIZES[i]));
    memset(block, 0xff, SIZES[i]);
    pleat_block_free(block, SIZES[i]);
  }
  pleat_block_free(NULL, 0);
#if !defined(__SANITIZE_ADDRESS__) /* which takes that for a mistake */
  ck_assert_ptr_null(pleat_block_alloc(SIZE_MAX - 100));
#endif
}
END_TEST

/* Each has its own number in it; some are freed and taken again, what stays keeps its number. */
START_TEST(a_pool_keeps_blocks_apart) {
  pleat_pool pool = {0};
  unsigned char *blocks[SIZE_COUNT];
  for (int i = 0; i < SIZE_COUNT; i++) {
    blocks[i] = pleat_pool_alloc(&pool, SIZES[i]);
    ck_assert_ptr_nonnull(blocks[i]);
    ck_assert_uint_eq((uintptr_t)blocks[i] % 64, 0);
    ck_assert(is_filled(blocks[i], 0, SIZES[i]));
    memset(blocks[i], i + 1, SIZES[i]);
  }
  for (int round = 0; round < 3; round++) {
    for (int i = round; i < SIZE_COUNT; i += 3) pleat_pool_free(&pool, blocks[i], SIZES[i]);
    for (int i = 0; i < SIZE_COUNT; i++)
      ck_assert(i % 3 == round || is_filled(blocks[i], (unsigned char)(i + 1), SIZES[i]));
    for (int i = round; i < SIZE_COUNT; i += 3) {
      blocks[i] = pleat_pool_alloc(&pool, SIZES[i]);
      ck_assert(is_filled(blocks[i], 0, SIZES[i]));
      memset(blocks[i], i + 1, SIZES[i]);
    }
  }
  for (int i = 0; i < SIZE_COUNT; i++) pleat_pool_free(&pool, blocks[i], SIZES[i]);
  ck_assert_ptr_null(pool.regions);
  pleat_pool_free(&pool, NULL, MEGABYTE);
#if !defined(__SANITIZE_ADDRESS__)
  ck_assert_ptr_null(pleat_pool_alloc(&pool, SIZE_MAX - 100));
#endif
}
END_TEST

/* What is tried and given up again and again, as kernels are that are timed, does not move through the addresses. */
START_TEST(the_last_block_makes_room_for_the_next) {
#if defined(__SANITIZE_ADDRESS__)
  return; /* its blocks come from the heap */
#endif
  pleat_pool pool = {0};
  unsigned char *kept = pleat_pool_alloc(&pool, MEGABYTE + 100), *before = NULL;
  memset(kept, 1, MEGABYTE + 100);
  for (int i = 0; i < 5; i++) {
    unsigned char *trial = pleat_pool_alloc(&pool, 3 * MEGABYTE + 5);
    ck_assert(before == NULL || trial == before);
    ck_assert(is_filled(trial, 0, 3 * MEGABYTE + 5));
    memset(trial, 0xff, 3 * MEGABYTE + 5);
    pleat_pool_free(&pool, before = trial, 3 * MEGABYTE + 5);
  }
  ck_assert(is_filled(kept, 1, MEGABYTE + 100));
  pleat_pool_free(&pool, kept, MEGABYTE + 100);
}
END_TEST

static size_t resident_pages(void *start, size_t bytes) {
  unsigned char pages[4096];
  size_t count = 0;
  ck_assert_uint_le(bytes / 4096, sizeof pages);
  ck_assert_int_eq(mincore(start, bytes, pages), 0);
  for (size_t i = 0; i < bytes / 4096; i++) count += pages[i] & 1;
  return count;
}

START_TEST(memory_goes_back) {
#if defined(__SANITIZE_ADDRESS__)
  return;
#endif
  pleat_pool pool = {0};
  unsigned char *first = pleat_pool_alloc(&pool, 4 * MEGABYTE), *second = pleat_pool_alloc(&pool, MEGABYTE);
  memset(first, 1, 4 * MEGABYTE);
  memset(second, 2, MEGABYTE);
  ck_assert_uint_eq(resident_pages(first, 4 * MEGABYTE), 1024);
  pleat_pool_free(&pool, first, 4 * MEGABYTE);
  ck_assert_uint_eq(resident_pages(first, 4 * MEGABYTE), 0);
  ck_assert(is_filled(second, 2, MEGABYTE));
  pleat_pool_free(&pool, second, MEGABYTE);
}
END_TEST

/* A small model must not pay for a huge page: the first two megabytes are taken page by page. */
START_TEST(a_small_pool_is_small) {
#if defined(__SANITIZE_ADDRESS__)
  return;
#endif
  pleat_pool pool = {0};
  unsigned char *block = pleat_pool_alloc(&pool, MEGABYTE);
  memset(block, 1, MEGABYTE);
  ck_assert_uint_eq(resident_pages(block, 2 * MEGABYTE), 256);
  pleat_pool_free(&pool, block, MEGABYTE);
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  Suite *suite = suite_create("core_memory");
  add_tests(suite, "memory",
            (const TTest *const[]){blocks_are_zero_and_aligned, a_pool_keeps_blocks_apart,
                                   the_last_block_makes_room_for_the_next, memory_goes_back, a_small_pool_is_small,
                                   NULL});
  return suite;
}

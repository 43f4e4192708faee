/* Blocks of memory, and pools of them. The large ones come straight from the system and go back to it: glibc would do
 * that by itself only until the first one was freed, since that raises its threshold, up to 32 MiB. Address sanitizer
 * watches the heap only, so under it all blocks come from there.
 *
 * Huge pages (of 2 MiB, on machines that have them on request): a run reads each weight once, at the speed of memory,
 * and a page of 4 KiB is too short for the processor to fetch ahead in it; that costs ResNet-50 4 %. Asking is
 * advice: without huge pages all is the same, but slower. Only whole huge pages of a block are asked for, so that none
 * takes more memory than its size; a pool begins with small pages, for models that need no more. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS, madvise */
#include "core/memory.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define MAPPED_BYTES SIZE_MAX
#else
#define MAPPED_BYTES ((size_t)1 << 17)
#endif

enum { ALIGNMENT = 64, PAGE = 4096, HUGE_PAGE = 2 << 20, REGION_BYTES = 32 << 20 };

/* ---- mappings ---- */

static size_t round_down(size_t bytes, size_t unit) {
  return bytes / unit * unit;
}

/* What cannot be rounded stays, and is too large for anything to be allocated. */
static size_t round_up(size_t bytes, size_t unit) {
  size_t room;
  return pleat_add_size(bytes, unit - 1, &room) ? round_down(room, unit) : bytes;
}

static void *map(size_t bytes) {
  void *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return start != MAP_FAILED ? start : NULL;
}

/* A whole number of pages that begins on a huge one. */
static char *map_aligned(size_t bytes) {
  size_t room;
  char *start = pleat_add_size(bytes, HUGE_PAGE, &room) ? map(room) : NULL;
  if (start == NULL) return NULL;
  const size_t before = round_up((uintptr_t)start, HUGE_PAGE) - (uintptr_t)start;
  if (before > 0) munmap(start, before);
  if (before < HUGE_PAGE) munmap(start + before + bytes, HUGE_PAGE - before);
  return start + before;
}

static void ask_for_huge_pages(void *start, size_t bytes) {
#if defined(MADV_HUGEPAGE)
  (void)madvise(start, round_down(bytes, HUGE_PAGE), MADV_HUGEPAGE);
#else
  (void)start, (void)bytes;
#endif
}

/* ---- blocks ---- */

static bool is_mapped(size_t bytes) {
  return bytes >= MAPPED_BYTES;
}

void *pleat_block_alloc(size_t bytes) {
  if (is_mapped(bytes)) {
    if (bytes < HUGE_PAGE) return map(bytes);
    void *block = map_aligned(round_up(bytes, PAGE));
    if (block != NULL) ask_for_huge_pages(block, bytes);
    return block;
  }
  void *block = pleat_alloc_aligned(bytes);
  if (block != NULL) memset(block, 0, bytes);
  return block;
}

void pleat_block_free(void *block, size_t bytes) {
  if (block != NULL && is_mapped(bytes)) munmap(block, bytes);
  else free(block);
}

/* ---- pools ---- */

#if defined(__SANITIZE_ADDRESS__)

void *pleat_pool_alloc(pleat_pool *pool, size_t bytes) {
  (void)pool;
  return pleat_block_alloc(bytes);
}

void pleat_pool_free(pleat_pool *pool, void *block, size_t bytes) {
  (void)pool;
  pleat_block_free(block, bytes);
}

#else

/* Blocks follow each other in it. */
typedef struct pleat_region {
  struct pleat_region *next;
  char *start;
  size_t size, used, blocks;
} region;

static region *open_region(pleat_pool *pool, size_t bytes) {
  region *r = calloc(1, sizeof *r);
  if (r == NULL) return NULL;
  r->size = bytes > REGION_BYTES ? round_up(bytes, HUGE_PAGE) : REGION_BYTES;
  r->start = map_aligned(r->size);
  if (r->start == NULL) {
    free(r);
    return NULL;
  }
  const size_t small = pool->regions == NULL ? HUGE_PAGE : 0;
  ask_for_huge_pages(r->start + small, r->size - small);
  r->next = pool->regions;
  return pool->regions = r;
}

static void close_region(pleat_pool *pool, region *r) {
  region **link = &pool->regions;
  while (*link != r) link = &(*link)->next;
  *link = r->next;
  munmap(r->start, r->size);
  free(r);
}

/* Bytes of a region back to zeros, whole pages of them back to the system. */
static void clear(char *start, size_t bytes) {
  const size_t before = round_up((uintptr_t)start, PAGE) - (uintptr_t)start;
  if (before >= bytes) {
    memset(start, 0, bytes);
    return;
  }
  const size_t pages = round_down(bytes - before, PAGE), after = bytes - before - pages;
  memset(start, 0, before);
  memset(start + before + pages, 0, after);
  if (pages > 0 && madvise(start + before, pages, MADV_DONTNEED) != 0) memset(start + before, 0, pages);
}

void *pleat_pool_alloc(pleat_pool *pool, size_t bytes) {
  if (!is_mapped(bytes)) return pleat_block_alloc(bytes);
  const size_t room = round_up(bytes, ALIGNMENT);
  region *r = pool->regions;
  while (r != NULL && r->size - r->used < room) r = r->next;
  if (r == NULL) r = open_region(pool, room);
  if (r == NULL) return NULL;
  char *block = r->start + r->used;
  r->used += room;
  r->blocks++;
  return block;
}

void pleat_pool_free(pleat_pool *pool, void *block, size_t bytes) {
  if (block == NULL || !is_mapped(bytes)) {
    pleat_block_free(block, bytes);
    return;
  }
  const size_t room = round_up(bytes, ALIGNMENT);
  region *r = pool->regions;
  while ((char *)block < r->start || (char *)block >= r->start + r->size) r = r->next;
  if (--r->blocks == 0) {
    close_region(pool, r);
    return;
  }
  clear(block, room);
  if ((char *)block + room == r->start + r->used) r->used -= room; /* what a trial took is free again */
}

#endif

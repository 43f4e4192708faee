/* A bump allocator over a list of blocks.
 *
 * Blocks start at 64 KiB and double up to 4 MiB, so that small arenas are cheap and big ones make few system calls. A
 * request that would waste much of a block gets a block of its own, while the current one goes on being filled.
 * Invariant: the part of a block that was not handed out yet is zero. Under AddressSanitizer it is also poisoned, and
 * allocations are kept apart, so that running over the end of one is caught. */
#include "core/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define RED_ZONE 16
#else
#define RED_ZONE                                   0
#define ASAN_POISON_MEMORY_REGION(address, size)   ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

enum { ALIGNMENT = 16, MAX_ALIGNMENT = 4096, FIRST_BLOCK = 64 * 1024, LAST_BLOCK = 4 * 1024 * 1024 };

typedef struct block {
  struct block *next;
  size_t size, used; /* bytes of `bytes` */
  _Alignas(ALIGNMENT) unsigned char bytes[];
} block;

struct pleat_arena {
  block *current; /* being filled; the full ones follow it, the first one made is the last */
  block *big;     /* blocks of one allocation */
  size_t next_size;
};

static block *block_create(size_t size) {
  size_t total;
  if (!pleat_add_size(sizeof(block), size, &total)) return NULL;
  block *made = calloc(1, total);
  if (made == NULL) return NULL;
  made->size = size;
  ASAN_POISON_MEMORY_REGION(made->bytes, size);
  return made;
}

static void block_destroy(block *old) {
  ASAN_UNPOISON_MEMORY_REGION(old->bytes, old->size);
  free(old);
}

pleat_arena *pleat_arena_create(void) {
  pleat_arena *arena = calloc(1, sizeof *arena);
  if (arena == NULL) return NULL;
  arena->current = block_create(FIRST_BLOCK);
  if (arena->current == NULL) {
    free(arena);
    return NULL;
  }
  arena->next_size = 2 * (size_t)FIRST_BLOCK;
  return arena;
}

static void blocks_destroy(block *list) {
  for (block *next; list != NULL; list = next) {
    next = list->next;
    block_destroy(list);
  }
}

void pleat_arena_destroy(pleat_arena *arena) {
  if (arena == NULL) return;
  blocks_destroy(arena->current);
  blocks_destroy(arena->big);
  free(arena);
}

void pleat_arena_reset(pleat_arena *arena) {
  block *first = arena->current;
  while (first->next != NULL) {
    block *next = first->next;
    block_destroy(first);
    first = next;
  }
  blocks_destroy(arena->big);
  ASAN_UNPOISON_MEMORY_REGION(first->bytes, first->size);
  memset(first->bytes, 0, first->used);
  ASAN_POISON_MEMORY_REGION(first->bytes, first->size);
  first->used = 0;
  *arena = (pleat_arena){.current = first, .next_size = 2 * (size_t)FIRST_BLOCK};
}

/* Takes `size` bytes out of a block, or returns NULL when it has no room. */
static void *block_take(block *from, size_t size, size_t alignment) {
  size_t padding = (size_t)(-(uintptr_t)(from->bytes + from->used) & (alignment - 1));
  size_t room = from->size - from->used;
  if (padding > room || size > room - padding) return NULL;
  unsigned char *taken = from->bytes + from->used + padding;
  size_t end = from->used + padding + size;
  from->used = from->size - end > RED_ZONE ? end + RED_ZONE : from->size;
  ASAN_UNPOISON_MEMORY_REGION(taken, size);
  return taken;
}

void *pleat_arena_aligned(pleat_arena *arena, size_t size, size_t alignment) {
  if (alignment < ALIGNMENT) alignment = ALIGNMENT;
  if (alignment > MAX_ALIGNMENT || (alignment & (alignment - 1)) != 0) return NULL;
  void *taken = block_take(arena->current, size, alignment);
  if (taken != NULL) return taken;
  size_t worst;
  if (!pleat_add_size(size, alignment + RED_ZONE, &worst)) return NULL;
  if (worst > arena->next_size / 4) {
    block *own = block_create(worst);
    if (own == NULL) return NULL;
    own->next = arena->big;
    arena->big = own;
    return block_take(own, size, alignment);
  }
  block *fresh = block_create(arena->next_size);
  if (fresh == NULL) return NULL;
  fresh->next = arena->current;
  arena->current = fresh;
  if (arena->next_size < LAST_BLOCK) arena->next_size *= 2;
  return block_take(fresh, size, alignment);
}

void *pleat_arena_alloc(pleat_arena *arena, size_t size) {
  return pleat_arena_aligned(arena, size, ALIGNMENT);
}

void *pleat_arena_array(pleat_arena *arena, size_t count, size_t size) {
  size_t total;
  return pleat_mul_size(count, size, &total) ? pleat_arena_alloc(arena, total) : NULL;
}

char *pleat_arena_strndup(pleat_arena *arena, const char *text, size_t size) {
  size_t total;
  if (!pleat_add_size(size, 1, &total)) return NULL;
  char *copy = pleat_arena_alloc(arena, total);
  if (copy != NULL && size > 0) memcpy(copy, text, size);
  return copy;
}

char *pleat_arena_strdup(pleat_arena *arena, const char *text) {
  return pleat_arena_strndup(arena, text, strlen(text));
}

char *pleat_arena_printf(pleat_arena *arena, const char *format, ...) {
  va_list args, again;
  va_start(args, format);
  va_copy(again, args);
  int length = vsnprintf(NULL, 0, format, args);
  char *text = length >= 0 ? pleat_arena_alloc(arena, (size_t)length + 1) : NULL;
  if (text != NULL) vsnprintf(text, (size_t)length + 1, format, again);
  va_end(again);
  va_end(args);
  return text;
}

void *pleat_arena_grow(pleat_arena *arena, void *array, size_t count, size_t *capacity, size_t element_size) {
  if (array != NULL && count < *capacity) return array;
  size_t wanted = *capacity < 8 ? 8 : *capacity;
  while (wanted <= count) {
    if (!pleat_mul_size(wanted, 2, &wanted)) return NULL;
  }
  void *grown = pleat_arena_array(arena, wanted, element_size);
  if (grown == NULL) return NULL;
  if (array != NULL && *capacity > 0) memcpy(grown, array, *capacity * element_size);
  *capacity = wanted;
  return grown;
}

int pleat_push_grow_(pleat_arena *arena, void **array, size_t count, size_t *capacity, size_t element_size) {
  void *grown = pleat_arena_grow(arena, *array, count, capacity, element_size);
  if (grown == NULL) return 0;
  *array = grown;
  return 1;
}

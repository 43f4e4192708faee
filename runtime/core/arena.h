/* A bump allocator: many small objects with one lifetime. Not locked. Memory is zeroed. */
#ifndef PLEAT_CORE_ARENA_H
#define PLEAT_CORE_ARENA_H

#include <stddef.h>

typedef struct pleat_arena pleat_arena;

pleat_arena *pleat_arena_create(void);        /* NULL when out of memory */
void pleat_arena_destroy(pleat_arena *arena); /* NULL is accepted */
void pleat_arena_reset(pleat_arena *arena);   /* frees all that was allocated, keeps the first block */

/* Zeroed memory aligned to 16 bytes, or NULL. `size` 0 gives a valid pointer. */
void *pleat_arena_alloc(pleat_arena *arena, size_t size);
/* count * size, checked. */
void *pleat_arena_array(pleat_arena *arena, size_t count, size_t size);
/* Aligned to `alignment`, a power of two up to 4096. */
void *pleat_arena_aligned(pleat_arena *arena, size_t size, size_t alignment);
char *pleat_arena_strdup(pleat_arena *arena, const char *text);
char *pleat_arena_strndup(pleat_arena *arena, const char *text, size_t size); /* adds the terminator */
char *pleat_arena_printf(pleat_arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Grows an arena-allocated array so that element `count` exists: doubles `*capacity` and moves. Returns NULL when out
 * of memory, in which case the old array is still good. */
void *pleat_arena_grow(pleat_arena *arena, void *array, size_t count, size_t *capacity, size_t element_size);

/* PLEAT_PUSH(arena, array, count, capacity, value): appends; false when out of memory. */
#define PLEAT_PUSH(arena, array, count, capacity, value)                                                               \
  ((count) < (capacity) || pleat_push_grow_((arena), (void **)&(array), (count), &(capacity), sizeof *(array))         \
       ? ((array)[(count)++] = (value), 1)                                                                             \
       : 0)
int pleat_push_grow_(pleat_arena *arena, void **array, size_t count, size_t *capacity, size_t element_size);

#endif

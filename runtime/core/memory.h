/* Memory for tensors, packed weights and scratch: aligned for any vector, with a checked size. */
#ifndef PLEAT_CORE_MEMORY_H
#define PLEAT_CORE_MEMORY_H

#include <stdlib.h>

#include "core/checked.h"

/* At least `bytes` bytes, aligned to 64, not cleared, to be freed with free(). Never NULL for a size of 0; NULL when
 * the size overflows or memory is out. */
static inline void *pleat_alloc_aligned(size_t bytes) {
  size_t room;
  if (!pleat_add_size(bytes, 64, &room) || !pleat_align_up(room, 64, &room)) return NULL;
  return aligned_alloc(64, room);
}

/* Zeroed bytes aligned to 64, whose pages go back to the system as soon as they are freed, with the size that was asked
 * for: large blocks do not come from the heap, which keeps what is freed below something that is still in use. Never
 * NULL for a size of 0. (memory.c) */
void *pleat_block_alloc(size_t bytes);
void pleat_block_free(void *block, size_t bytes); /* NULL is accepted */

#endif

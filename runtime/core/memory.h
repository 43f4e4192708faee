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
 * for: large blocks do not come from the heap, which keeps what is freed below something that is still in use. Those
 * that cover huge pages ask the system for them. Never NULL for a size of 0. (memory.c) */
void *pleat_block_alloc(size_t bytes);
void pleat_block_free(void *block, size_t bytes); /* NULL is accepted */

/* Such blocks beside each other, for what lives about equally long: a network's weights are hundreds of blocks, most
 * of them smaller than a huge page. To be cleared before first use; its owner guards it from other threads. Memory of a
 * freed block goes back to the system, its addresses when the blocks around it are free as well. (memory.c) */
typedef struct pleat_pool {
  struct pleat_region *regions;
} pleat_pool;

void *pleat_pool_alloc(pleat_pool *pool, size_t bytes);
void pleat_pool_free(pleat_pool *pool, void *block, size_t bytes); /* NULL is accepted */

#endif

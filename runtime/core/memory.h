/* Memory for tensors and scratch: aligned for any vector, with a checked size. */
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

#endif

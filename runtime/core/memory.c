/* Blocks of memory. The large ones come straight from the system and go back to it: glibc would do that by itself only
 * until the first one was freed, since that raises its threshold, up to 32 MiB. Address sanitizer watches the heap
 * only, so under it all blocks come from there. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "core/memory.h"

#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define MAPPED_BYTES SIZE_MAX
#else
#define MAPPED_BYTES ((size_t)1 << 17)
#endif

static bool is_mapped(size_t bytes) {
  return bytes >= MAPPED_BYTES;
}

void *pleat_block_alloc(size_t bytes) {
  if (is_mapped(bytes)) {
    void *block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return block != MAP_FAILED ? block : NULL;
  }
  void *block = pleat_alloc_aligned(bytes);
  if (block != NULL) memset(block, 0, bytes);
  return block;
}

void pleat_block_free(void *block, size_t bytes) {
  if (block != NULL && is_mapped(bytes)) munmap(block, bytes);
  else free(block);
}

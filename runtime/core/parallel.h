/* How much work is worth waking threads for: below it, starting them costs more than it saves. A loop that gives its
 * result whatever the number of threads may be tuned here, and only here. */
#ifndef PLEAT_CORE_PARALLEL_H
#define PLEAT_CORE_PARALLEL_H

enum {
  PLEAT_PARALLEL_BYTES = 256 * 1024, /* plain copies: bytes moved */
  PLEAT_PARALLEL_SIMPLE = 1 << 16,   /* one operation an element */
  PLEAT_PARALLEL_MIN = 1 << 15       /* several operations an element; a fraction of it where there are many */
};

#endif

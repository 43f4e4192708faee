/* Filling in a pleat_error. Every function takes a NULL error. */
#ifndef PLEAT_CORE_ERROR_H
#define PLEAT_CORE_ERROR_H

#include "pleat/status.h"

/* Stores status and message (only the first failure's is kept when `error` already holds one) and returns `status`, so
 * that `return pleat_fail(error, PLEAT_MALFORMED_MODEL, "...", ...)` reads well. */
pleat_status pleat_fail(pleat_error *error, pleat_status status, const char *format, ...) PLEAT_PRINTF(3, 4);

/* The same for a failure about one tensor (value), which it names. */
pleat_status pleat_fail_tensor(pleat_error *error, const char *tensor, pleat_status status, const char *format, ...)
    PLEAT_PRINTF(4, 5);

/* Adds where it happened, on the way up; a place already named more precisely is kept. */
void pleat_error_at_file(pleat_error *error, const char *file);
void pleat_error_at_node(pleat_error *error, const char *node);
/* The failure happened in a body of this node: "outer > inner". */
void pleat_error_inside(pleat_error *error, const char *node);
void pleat_error_at_tensor(pleat_error *error, const char *tensor);

/* Forgets what an attempt that may fail left behind. */
void pleat_error_clear(pleat_error *error);

/* `if ((status = ...)) return status`, for the many places with nothing to clean up. */
#define PLEAT_TRY(expression)                                                                                          \
  do {                                                                                                                 \
    pleat_status try_status_ = (expression);                                                                           \
    if (try_status_ != PLEAT_OK) return try_status_;                                                                   \
  } while (0)

/* The same, going to the function's `fail:` label with its `status` set. */
#define PLEAT_CHECK(expression)                                                                                        \
  do {                                                                                                                 \
    status = (expression);                                                                                             \
    if (status != PLEAT_OK) goto fail;                                                                                 \
  } while (0)

#define PLEAT_OOM(error) pleat_fail((error), PLEAT_OUT_OF_MEMORY, "out of memory")

#endif

/* Status codes, error detail and the marks every public header uses.
 *
 * A fallible function returns a pleat_status. Detail for a person goes to a caller-owned pleat_error, which may be
 * NULL. Nothing is kept in thread-local or global state, and the library never prints, exits or aborts because of
 * what a file or a caller contains. */
#ifndef PLEAT_STATUS_H
#define PLEAT_STATUS_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define PLEAT_API                __attribute__((visibility("default")))
#define PLEAT_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#else
#define PLEAT_API
#define PLEAT_PRINTF(fmt, first)
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum pleat_status {
  PLEAT_OK = 0,
  PLEAT_INVALID_ARGUMENT = 1, /* the caller broke the function's contract */
  PLEAT_MALFORMED_MODEL = 2,  /* a file is not what it claims to be */
  PLEAT_UNSUPPORTED = 3,      /* valid, but no operator, kernel or type here for it */
  PLEAT_SHAPE_MISMATCH = 4,   /* shapes or data types that do not fit together */
  PLEAT_OUT_OF_MEMORY = 5,
  PLEAT_IO_ERROR = 6,
  PLEAT_INTERNAL = 7 /* a defect of Pleat: please report it */
} pleat_status;

/* Where and why something failed. Strings are always terminated, and empty where there is nothing to say; longer ones
 * are cut. Zero-initialise it, or use PLEAT_ERROR_INIT. A call that succeeds leaves it as it was. */
typedef struct pleat_error {
  uint32_t size; /* sizeof(pleat_error) */
  pleat_status status;
  char file[256];     /* the file at fault */
  char node[256];     /* the graph node at fault: its name, or "Op#index" when it has none */
  char tensor[256];   /* the tensor (value) at fault */
  char message[1024]; /* what was expected, what was found, what to do */
} pleat_error;

#define PLEAT_ERROR_INIT                                                                                               \
  { .size = sizeof(pleat_error) }

/* The code's name in lower case with spaces, for example "malformed model". Never NULL. */
PLEAT_API const char *pleat_status_name(pleat_status status);

/* Writes "file: node 'n': tensor 't': message" into `buffer` of `size` bytes (always terminated); parts that are empty
 * are left out. Returns `buffer`. */
PLEAT_API const char *pleat_error_format(const pleat_error *error, char *buffer, size_t size);

/* The library's version, "major.minor.patch". */
PLEAT_API const char *pleat_version(void);

#ifdef __cplusplus
}
#endif
#endif

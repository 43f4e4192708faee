/* Files: read by mapping, written atomically. For proto/ and the tuning results of runtime/tune/. */
#ifndef PLEAT_PROTO_FILE_H
#define PLEAT_PROTO_FILE_H

#include <stdbool.h>

#include "core/error.h"

/* A file's bytes: mapped, or read where mapping does not work (pipes, some file systems). */
typedef struct pleat_mapping {
  const uint8_t *data; /* NULL when the file is empty */
  size_t size;
  bool mapped;
} pleat_mapping;

/* Errors: IO_ERROR; MALFORMED_MODEL when a file that cannot be mapped has more than `limit` bytes. Messages do not name
 * the file: the caller knows best how. */
pleat_status pleat_mapping_open(const char *path, size_t limit, pleat_mapping *out_mapping, pleat_error *error);
void pleat_mapping_close(pleat_mapping *mapping);
/* Lets the system take back the pages that lie wholly in these bytes. False: they are not this mapping's. */
bool pleat_mapping_give_back(const pleat_mapping *mapping, const void *data, size_t size);

/* A file being written under a temporary name in the folder of `path`. Errors are sticky: write as you please, ask at
 * the end. */
typedef struct pleat_output {
  int fd;          /* -1: not open */
  int error;       /* errno of the first failure */
  size_t position; /* bytes written so far, those in the buffer included */
  size_t written;  /* handed to the system */
  size_t started;  /* of those, what the disk was asked to begin with */
  size_t used;
  bool flushes; /* a file is replaced: the new one is on the disk before it takes the name */
  char *path, *temporary;
  uint8_t *buffer;
} pleat_output;

#define PLEAT_OUTPUT_INIT                                                                                              \
  { .fd = -1 }

pleat_status pleat_output_open(const char *path, pleat_output *out, pleat_error *error);
/* That many bytes will be written: a large file has its room on the disk from the start, or fails at once. */
void pleat_output_reserve(pleat_output *out, size_t size);
void pleat_output_write(pleat_output *out, const void *data, size_t size);
/* Room, at least a byte, where the next bytes can be made in place, and taking what was put there. */
uint8_t *pleat_output_room(const pleat_output *out, size_t *out_size);
void pleat_output_take(pleat_output *out, size_t size);
void pleat_output_align(pleat_output *out, size_t alignment); /* writes zeros up to a multiple of a power of two */
/* Everything is written (and, with `flushes`, on the disk), still under the temporary name. */
pleat_status pleat_output_finish(pleat_output *out, pleat_error *error);
/* The file has its name. */
pleat_status pleat_output_publish(pleat_output *out, pleat_error *error);
/* Frees; a file that was not published is removed. */
void pleat_output_close(pleat_output *out);

#endif

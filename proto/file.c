/* Reading files by mapping them, and writing them so that a failure never leaves half a file under the final name.
 *
 * Writing goes to "<path>.tmp-<pid>-<n>", which is renamed. The new name is a new inode: a mapping of the old file,
 * from which the data may come, stays good. Permissions are what the umask leaves, as for any new file; what is not a
 * regular file (a device, a folder) is not replaced.
 *
 * The disk is waited for only where a file is replaced. There the flush before the rename is what keeps a crash of the
 * whole system from leaving neither the old content nor the new. Where nothing had the name there is nothing to lose:
 * after such a crash a file written a moment ago may be missing or short, as it may be after cp, and the source is
 * still there. The wait would cost as much as the copy.
 *
 * Bytes go to the system in blocks that begin and end at multiples of their size in the file: the page cache then takes
 * each as one large piece of memory, at two thirds of the cost of blocks that lie across its own borders. */
#define _GNU_SOURCE /* madvise; fallocate and sync_file_range where there are */
#include "proto/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/proto.h"

enum { BUFFER_BYTES = 1 << 18, READ_BYTES = 1 << 20, WRITE_MAX = 1 << 30, START_BYTES = 8 << 20, NAME_ATTEMPTS = 100 };

static pleat_status io_error(pleat_error *error, const char *what, int number) {
  return pleat_fail(error, PLEAT_IO_ERROR, "%s: %s", what, strerror(number));
}

/* ---- reading ---- */

/* Reads to the end of what cannot be mapped. */
static pleat_status read_all(int fd, size_t limit, pleat_mapping *out_mapping, pleat_error *error) {
  uint8_t *data = NULL;
  size_t size = 0, capacity = 0;
  for (;;) {
    if (size == capacity) {
      capacity = capacity == 0 ? READ_BYTES : capacity * 2;
      uint8_t *moved = realloc(data, capacity);
      if (moved == NULL) {
        free(data);
        return PLEAT_OOM(error);
      }
      data = moved;
    }
    ssize_t got = read(fd, data + size, capacity - size);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0 || (size_t)got > limit - size) {
      if (got == 0) break;
      free(data);
      if (got < 0) return io_error(error, "cannot read the file", errno);
      return pleat_fail(error, PLEAT_MALFORMED_MODEL, "more than %zu bytes: no file of this kind is that large", limit);
    }
    size += (size_t)got;
  }
  if (size == 0) {
    free(data);
    data = NULL;
  }
  *out_mapping = (pleat_mapping){.data = data, .size = size};
  return PLEAT_OK;
}

pleat_status pleat_mapping_open(const char *path, size_t limit, pleat_mapping *out_mapping, pleat_error *error) {
  *out_mapping = (pleat_mapping){0};
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return io_error(error, "cannot open the file", errno);
  pleat_status status = PLEAT_OK;
  struct stat info;
  if (fstat(fd, &info) != 0) {
    status = io_error(error, "cannot read the file", errno);
  } else if (S_ISDIR(info.st_mode)) {
    status = io_error(error, "cannot read the file", EISDIR);
  } else {
    void *data = MAP_FAILED;
    if (S_ISREG(info.st_mode) && info.st_size > 0 && (uintmax_t)info.st_size <= SIZE_MAX)
      data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data != MAP_FAILED) *out_mapping = (pleat_mapping){.data = data, .size = (size_t)info.st_size, .mapped = true};
    else status = read_all(fd, limit, out_mapping, error);
  }
  close(fd);
  return status;
}

void pleat_mapping_close(pleat_mapping *mapping) {
  if (mapping->mapped) munmap((void *)(uintptr_t)mapping->data, mapping->size);
  else free((void *)(uintptr_t)mapping->data);
  *mapping = (pleat_mapping){0};
}

/* A mapping that nobody writes to is read again from the file after this; what was read into the heap would be lost. */
bool pleat_mapping_give_back(const pleat_mapping *mapping, const void *data, size_t size) {
  const uintptr_t start = (uintptr_t)mapping->data, from = (uintptr_t)data, page = (uintptr_t)sysconf(_SC_PAGESIZE);
  if (from < start || from - start > mapping->size || size > mapping->size - (from - start)) return false;
  const uintptr_t first = (from + page - 1) / page * page, end = (from + size) / page * page;
  if (mapping->mapped && first < end) (void)madvise((void *)first, end - first, MADV_DONTNEED); /* only advice */
  return true;
}

/* ---- writing ---- */

/* Creates "<path>.tmp-<pid>-<n>" with a number that nobody else uses. */
static pleat_status create_temporary(pleat_output *out, pleat_error *error) {
  static atomic_uint counter;
  size_t name_size = strlen(out->path) + 64;
  out->temporary = malloc(name_size);
  if (out->temporary == NULL) return PLEAT_OOM(error);
  for (int attempt = 0; attempt < NAME_ATTEMPTS; attempt++) {
    snprintf(out->temporary, name_size, "%s.tmp-%ld-%u", out->path, (long)getpid(), atomic_fetch_add(&counter, 1));
    out->fd = open(out->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (out->fd >= 0 || errno != EEXIST) break;
  }
  if (out->fd >= 0) return PLEAT_OK;
  pleat_status status = io_error(error, "cannot create a file in its folder", errno);
  free(out->temporary); /* whoever has that name, it is not ours to remove */
  out->temporary = NULL;
  return status;
}

pleat_status pleat_output_open(const char *path, pleat_output *out, pleat_error *error) {
  *out = (pleat_output)PLEAT_OUTPUT_INIT;
  pleat_status status = PLEAT_OK;
  struct stat info;
  if (*path == 0) {
    PLEAT_CHECK(pleat_fail(error, PLEAT_INVALID_ARGUMENT, "the name of the file to write is empty"));
  }
  const bool exists = stat(path, &info) == 0;
  if (exists && !S_ISREG(info.st_mode)) {
    PLEAT_CHECK(pleat_fail(error, PLEAT_IO_ERROR, "exists and is not a regular file: choose another name"));
  }
  out->flushes = exists || errno != ENOENT; /* what cannot be looked at may be there */
  out->path = strdup(path);
  out->buffer = malloc(BUFFER_BYTES);
  if (out->path == NULL || out->buffer == NULL) PLEAT_CHECK(PLEAT_OOM(error));
  PLEAT_CHECK(create_temporary(out, error));
  return PLEAT_OK;
fail:
  pleat_error_at_file(error, path);
  pleat_output_close(out);
  return status;
}

void pleat_output_reserve(pleat_output *out, size_t size) {
#ifdef FALLOC_FL_KEEP_SIZE
  if (size < START_BYTES) return;
  if (fallocate(out->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size) != 0 && errno == ENOSPC) out->error = errno;
#else
  (void)out, (void)size;
#endif
}

/* The disk begins with what is written while the rest is still computed: the flush at the end has less to wait for. */
static void start_writing(pleat_output *out) {
#ifdef SYNC_FILE_RANGE_WRITE
  if (!out->flushes || out->written - out->started < START_BYTES) return;
  (void)sync_file_range(out->fd, (off_t)out->started, (off_t)(out->written - out->started), SYNC_FILE_RANGE_WRITE);
  out->started = out->written;
#else
  (void)out;
#endif
}

static void write_out(pleat_output *out, const uint8_t *data, size_t size) {
  while (size > 0 && out->error == 0) {
    ssize_t put = write(out->fd, data, size < WRITE_MAX ? size : WRITE_MAX);
    if (put < 0 && errno != EINTR) out->error = errno;
    if (put <= 0) continue;
    data += put;
    size -= (size_t)put;
    out->written += (size_t)put;
    start_writing(out);
  }
}

static void flush_buffer(pleat_output *out) {
  write_out(out, out->buffer, out->used);
  out->used = 0;
}

uint8_t *pleat_output_room(const pleat_output *out, size_t *out_size) {
  *out_size = BUFFER_BYTES - out->used;
  return out->buffer + out->used;
}

void pleat_output_take(pleat_output *out, size_t size) {
  out->position += size;
  out->used += size;
  if (out->used == BUFFER_BYTES) flush_buffer(out);
}

void pleat_output_write(pleat_output *out, const void *data, size_t size) {
  const uint8_t *from = data;
  while (size > 0) {
    size_t some = size / BUFFER_BYTES * BUFFER_BYTES, room;
    if (out->used == 0 && some > 0) {
      out->position += some;
      write_out(out, from, some);
    } else {
      uint8_t *to = pleat_output_room(out, &room);
      some = size < room ? size : room;
      memcpy(to, from, some);
      pleat_output_take(out, some);
    }
    from += some;
    size -= some;
  }
}

void pleat_output_align(pleat_output *out, size_t alignment) {
  static const uint8_t zero[1];
  while ((out->position & (alignment - 1)) != 0) pleat_output_write(out, zero, 1);
}

pleat_status pleat_output_finish(pleat_output *out, pleat_error *error) {
  flush_buffer(out);
  /* EINVAL: a file system without fsync. */
  if (out->flushes && out->error == 0 && fsync(out->fd) != 0 && errno != EINVAL) out->error = errno;
  if (close(out->fd) != 0 && out->error == 0) out->error = errno;
  out->fd = -1;
  if (out->error == 0) return PLEAT_OK;
  pleat_status status = io_error(error, "cannot write the file", out->error);
  pleat_error_at_file(error, out->path);
  return status;
}

/* The rename itself reaches the disk with the folder. That is not an error of ours where it cannot be asked for. */
static void sync_folder(const char *path) {
  char *folder = strdup(path);
  if (folder == NULL) return;
  char *slash = strrchr(folder, '/');
  if (slash != NULL) slash[slash == folder ? 1 : 0] = 0;
  int fd = open(slash != NULL ? folder : ".", O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    (void)fsync(fd);
    close(fd);
  }
  free(folder);
}

pleat_status pleat_output_publish(pleat_output *out, pleat_error *error) {
  if (rename(out->temporary, out->path) != 0) {
    pleat_status status = io_error(error, "cannot rename the finished file", errno);
    pleat_error_at_file(error, out->path);
    return status;
  }
  free(out->temporary);
  out->temporary = NULL;
  if (out->flushes) sync_folder(out->path);
  return PLEAT_OK;
}

void pleat_output_close(pleat_output *out) {
  if (out->fd >= 0) close(out->fd);
  if (out->temporary != NULL) unlink(out->temporary);
  free(out->path);
  free(out->temporary);
  free(out->buffer);
  *out = (pleat_output)PLEAT_OUTPUT_INIT;
}

pleat_status pleat_write_file(const char *path, const void *data, size_t size, pleat_error *error) {
  pleat_output out;
  pleat_status status;
  PLEAT_TRY(pleat_output_open(path, &out, error));
  pleat_output_write(&out, data, size);
  PLEAT_CHECK(pleat_output_finish(&out, error));
  PLEAT_CHECK(pleat_output_publish(&out, error));
fail:
  pleat_output_close(&out);
  return status;
}

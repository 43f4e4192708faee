/* Files of the command. Writes go to a temporary name in the same folder, are flushed to the disk and renamed.
 *
 * Invariants: a failure leaves neither a half-written file nor the temporary one behind, and the file that was there
 * before stays; what is not a regular file (a pipe, /dev/stdout) is written in place. Errors name the file and the
 * system's reason. Building JSON ends the process when memory is out: see cli_calloc. */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

static pleat_status io_error(pleat_error *error, const char *path, const char *action) {
  return cli_error(error, PLEAT_IO_ERROR, path, "cannot %s: %s", action, strerror(errno));
}

static pleat_status read_all(FILE *file, const char *path, void **out_data, size_t *out_size, pleat_error *error) {
  size_t capacity = 1 << 16, used = 0;
  struct stat status;
  if (fstat(fileno(file), &status) != 0) return io_error(error, path, "read");
  if (S_ISDIR(status.st_mode)) return cli_error(error, PLEAT_IO_ERROR, path, "cannot read: it is a folder");
  if (S_ISREG(status.st_mode) && status.st_size > 0) capacity = (size_t)status.st_size + 1;
  char *data = malloc(capacity);
  while (data) {
    used += fread(data + used, 1, capacity - used, file);
    if (used < capacity) break; /* the end, or an error */
    char *larger = capacity <= SIZE_MAX / 2 ? realloc(data, 2 * capacity) : NULL;
    if (!larger) free(data);
    data = larger;
    capacity *= 2;
  }
  if (!data) return cli_error(error, PLEAT_OUT_OF_MEMORY, path, "out of memory for the file");
  if (ferror(file)) {
    pleat_status status_code = io_error(error, path, "read");
    free(data);
    return status_code;
  }
  *out_data = data;
  *out_size = used;
  return PLEAT_OK;
}

pleat_status files_read(const char *path, void **out_data, size_t *out_size, pleat_error *error) {
  *out_data = NULL;
  *out_size = 0;
  FILE *file = fopen(path, "rb");
  if (!file) return io_error(error, path, "open");
  pleat_status status = read_all(file, path, out_data, out_size, error);
  fclose(file);
  return status;
}

static bool write_all(int fd, const char *data, size_t size) {
  while (size > 0) {
    ssize_t written = write(fd, data, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    data += written;
    size -= (size_t)written;
  }
  return fsync(fd) == 0 || errno == EINVAL; /* EINVAL: not a thing that can be synced, such as a pipe */
}

pleat_status files_write(const char *path, const void *data, size_t size, pleat_error *error) {
  struct stat existing;
  bool special = stat(path, &existing) == 0 && !S_ISREG(existing.st_mode); /* /dev/stdout, a pipe: written in place */
  char *temporary = special ? cli_strdup(path) : cli_printf("%s.XXXXXX", path);
  int fd = special ? open(path, O_WRONLY) : mkstemp(temporary);
  pleat_status status = PLEAT_OK;
  if (fd < 0) {
    status = io_error(error, path, "write");
    goto done;
  }
  mode_t mask = umask(0);
  umask(mask);
  bool good = write_all(fd, data, size) && (special || fchmod(fd, 0666 & ~mask) == 0);
  int reason = errno;
  if (close(fd) != 0 && good) good = false, reason = errno;
  if (good && !special && rename(temporary, path) != 0) good = false, reason = errno;
  if (!good) {
    errno = reason;
    status = io_error(error, path, "write");
    if (!special) unlink(temporary);
  }
done:
  free(temporary);
  return status;
}

bool files_exists(const char *path) {
  struct stat status;
  return stat(path, &status) == 0;
}

bool files_is_folder(const char *path) {
  struct stat status;
  return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

bool files_has_suffix(const char *path, const char *suffix) {
  size_t length = strlen(path), tail = strlen(suffix);
  return length >= tail && strcmp(path + length - tail, suffix) == 0;
}

uint64_t files_size(const char *path) {
  struct stat status;
  return stat(path, &status) == 0 && status.st_size > 0 ? (uint64_t)status.st_size : 0;
}

/* ---- JSON ---- */

static void *checked(const void *item) {
  if (!item) {
    fputs("pleat: out of memory\n", stderr);
    exit(CLI_IO);
  }
  return (void *)item;
}

/* Bytes of the UTF-8 sequence at `text`, which is terminated; 0 when it is none (RFC 3629, table 3-7 of Unicode). */
static size_t utf8_length(const unsigned char *text) {
  unsigned char lowest = 0x80, highest = 0xbf, first = text[0];
  if (first < 0x80) return 1;
  size_t length = first >= 0xc2 && first <= 0xdf   ? 2
                  : (first & 0xf0) == 0xe0         ? 3
                  : first >= 0xf0 && first <= 0xf4 ? 4
                                                   : 0;
  if (first == 0xe0) lowest = 0xa0;  /* no longer than needed */
  if (first == 0xed) highest = 0x9f; /* no surrogates */
  if (first == 0xf0) lowest = 0x90;
  if (first == 0xf4) highest = 0x8f; /* up to U+10FFFF */
  for (size_t i = 1; i < length; i++, lowest = 0x80, highest = 0xbf) {
    if (text[i] < lowest || text[i] > highest) return 0;
  }
  return length;
}

/* JSON is UTF-8; names in a model may be any bytes. What is not UTF-8 becomes a question mark. */
static void make_utf8(char *text) {
  for (size_t at = 0; text[at] != '\0';) {
    size_t length = utf8_length((const unsigned char *)text + at);
    if (length == 0) text[at] = '?';
    at += length == 0 ? 1 : length;
  }
}

pleat_status files_write_json(const char *path, const cJSON *json, pleat_error *error) {
  char *text = checked(cJSON_Print(json));
  make_utf8(text);
  pleat_status status = PLEAT_OK;
  if (strcmp(path, "-") == 0) {
    if (fputs(text, stdout) < 0 || putc('\n', stdout) < 0) status = io_error(error, "standard output", "write");
  } else {
    size_t length = strlen(text);
    text[length] = '\n'; /* in the place of the terminator */
    status = files_write(path, text, length + 1, error);
  }
  cJSON_free(text);
  return status;
}

cJSON *json_object(void) {
  return checked(cJSON_CreateObject());
}

cJSON *json_array(void) {
  return checked(cJSON_CreateArray());
}

void json_add(cJSON *object, const char *key, cJSON *item) {
  cJSON_AddItemToObject(object, key, checked(item));
}

void json_push(cJSON *array, cJSON *item) {
  cJSON_AddItemToArray(array, checked(item));
}

void json_add_string(cJSON *object, const char *key, const char *value) {
  json_add(object, key, value ? cJSON_CreateString(value) : cJSON_CreateNull());
}

void json_add_number(cJSON *object, const char *key, double value) {
  json_add(object, key, cJSON_CreateNumber(value));
}

void json_add_count(cJSON *object, const char *key, uint64_t value) {
  json_add_number(object, key, (double)value);
}

void json_add_bool(cJSON *object, const char *key, bool value) {
  json_add(object, key, cJSON_CreateBool(value));
}

cJSON *json_dims(int rank, const int64_t *dims) {
  cJSON *array = json_array();
  for (int i = 0; i < rank; i++) json_push(array, cJSON_CreateNumber((double)dims[i]));
  return array;
}

cJSON *json_value_shape(const pleat_value_info *info) {
  if (info->rank < 0) return checked(cJSON_CreateNull());
  cJSON *array = json_array();
  for (int i = 0; i < info->rank; i++) {
    const pleat_dim *dim = &info->dims[i];
    if (dim->value >= 0) json_push(array, cJSON_CreateNumber((double)dim->value));
    else json_push(array, dim->symbol ? cJSON_CreateString(dim->symbol) : cJSON_CreateNull());
  }
  return array;
}

/* .npz archives by libzip, which checks the checksums of what it reads and replaces a file only when it is whole.
 *
 * Invariants: an entry's size is what the archive claims until it was read, so memory for it may be refused, and one
 * byte more than claimed is asked for, which makes libzip meet the end and compare the checksum. Entries are stored,
 * not compressed, with a fixed date: the same tensors give the same file.
 * Source: NumPy's savez (a .zip of NAME.npy). */
#include "npz.h"

#include <stdlib.h>
#include <string.h>
#include <zip.h>

#include "cli.h"
#include "npy.h"

typedef struct entry {
  char *name; /* without ".npy" */
  zip_uint64_t index;
} entry;

struct npz {
  zip_t *zip;
  char *path;
  entry *entries;
  size_t count;
};

static pleat_status open_error(pleat_error *error, const char *path, int code) {
  zip_error_t zip_error;
  zip_error_init_with_code(&zip_error, code);
  bool is_data = code == ZIP_ER_NOZIP || code == ZIP_ER_INCONS;
  pleat_status status =
      cli_error(error, is_data ? PLEAT_MALFORMED_MODEL : PLEAT_IO_ERROR, path, "%s%s",
                is_data ? "not a valid .npz archive: " : "cannot open: ", zip_error_strerror(&zip_error));
  zip_error_fini(&zip_error);
  return status;
}

pleat_status npz_open(const char *path, npz **out_npz, pleat_error *error) {
  int code = 0;
  *out_npz = NULL;
  zip_t *zip = zip_open(path, ZIP_RDONLY, &code);
  if (!zip) return open_error(error, path, code);
  npz *npz = cli_calloc(1, sizeof *npz);
  npz->zip = zip;
  npz->path = cli_strdup(path);
  zip_int64_t total = zip_get_num_entries(zip, 0);
  npz->entries = cli_calloc(total > 0 ? (size_t)total : 1, sizeof *npz->entries);
  for (zip_int64_t i = 0; i < total; i++) {
    const char *name = zip_get_name(zip, (zip_uint64_t)i, 0);
    size_t length = name ? strlen(name) : 0;
    if (length < 4 || strcmp(name + length - 4, ".npy") != 0) continue;
    entry *added = &npz->entries[npz->count++];
    added->index = (zip_uint64_t)i;
    added->name = cli_strdup(name);
    added->name[length - 4] = '\0';
  }
  *out_npz = npz;
  return PLEAT_OK;
}

void npz_close(npz *npz) {
  if (!npz) return;
  zip_discard(npz->zip);
  for (size_t i = 0; i < npz->count; i++) free(npz->entries[i].name);
  free(npz->entries);
  free(npz->path);
  free(npz);
}

size_t npz_count(const npz *npz) {
  return npz->count;
}

const char *npz_name(const npz *npz, size_t index) {
  return npz->entries[index].name;
}

static pleat_status entry_error(const npz *npz, size_t index, pleat_status status, const char *what,
                                pleat_error *error) {
  return cli_error(error, status, npz->path, "cannot read array '%s': %s", npz->entries[index].name, what);
}

pleat_status npz_read(npz *npz, size_t index, pleat_tensor **out_tensor, pleat_error *error) {
  *out_tensor = NULL;
  zip_stat_t stat;
  zip_uint64_t at = npz->entries[index].index, used = 0;
  if (zip_stat_index(npz->zip, at, 0, &stat) != 0 || !(stat.valid & ZIP_STAT_SIZE) || stat.size > SIZE_MAX - 1)
    return entry_error(npz, index, PLEAT_MALFORMED_MODEL, "its size is not known", error);
  pleat_status status = PLEAT_OK;
  char *place = cli_printf("%s[%s]", npz->path, npz->entries[index].name);
  zip_file_t *file = zip_fopen_index(npz->zip, at, 0);
  char *data = malloc((size_t)stat.size + 1);
  if (!file) {
    status = entry_error(npz, index, PLEAT_MALFORMED_MODEL, zip_strerror(npz->zip), error);
    goto done;
  }
  if (!data) {
    status = entry_error(npz, index, PLEAT_OUT_OF_MEMORY, "out of memory", error);
    goto done;
  }
  /* One byte more than there should be, so that the end is met and the checksum compared. */
  for (zip_int64_t got = 1; got > 0 && used <= stat.size;) {
    got = zip_fread(file, data + used, stat.size + 1 - used);
    if (got < 0) {
      status = entry_error(npz, index, PLEAT_MALFORMED_MODEL, zip_file_strerror(file), error);
      goto done;
    }
    used += (zip_uint64_t)got;
  }
  status = npy_parse(data, (size_t)used, place, out_tensor, error);
done:
  if (file) zip_fclose(file);
  free(data);
  free(place);
  return status;
}

static pleat_status add_entry(zip_t *zip, const char *path, const char *name, const pleat_tensor *tensor,
                              pleat_error *error) {
  void *data = NULL;
  size_t size = 0;
  pleat_status status = npy_format(tensor, &data, &size, error);
  if (status != PLEAT_OK) return status;
  zip_source_t *source = zip_source_buffer(zip, data, size, 1); /* owns `data` from here on */
  if (!source) {
    free(data);
    return cli_error(error, PLEAT_OUT_OF_MEMORY, path, "cannot write: %s", zip_strerror(zip));
  }
  char *entry_name = cli_printf("%s.npy", name);
  zip_int64_t index = zip_file_add(zip, entry_name, source, ZIP_FL_ENC_UTF_8);
  free(entry_name);
  if (index < 0) {
    zip_source_free(source);
    return cli_error(error, PLEAT_IO_ERROR, path, "cannot write array '%s': %s", name, zip_strerror(zip));
  }
  zip_set_file_compression(zip, (zip_uint64_t)index, ZIP_CM_STORE, 0);
  zip_file_set_dostime(zip, (zip_uint64_t)index, 0, 0x21, 0); /* 1980-01-01: the same tensors give the same file */
  return PLEAT_OK;
}

pleat_status npz_write(const char *path, const char *const *names, const pleat_tensor *const *tensors, size_t count,
                       pleat_error *error) {
  int code = 0;
  zip_t *zip = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, &code);
  if (!zip) return open_error(error, path, code);
  for (size_t i = 0; i < count; i++) {
    pleat_status status = add_entry(zip, path, names[i], tensors[i], error);
    if (status != PLEAT_OK) {
      zip_discard(zip);
      return status;
    }
  }
  if (zip_close(zip) != 0) {
    pleat_status status = cli_error(error, PLEAT_IO_ERROR, path, "cannot write: %s", zip_strerror(zip));
    zip_discard(zip);
    return status;
  }
  return PLEAT_OK;
}

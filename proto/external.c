/* External data: tensors whose bytes are in another file in the model's folder.
 *
 * A file is mapped when a tensor first asks for it, and stays so until the model goes; asking is safe from any thread.
 * The location must be a relative path without "..", and, with all symbolic links followed, be inside of the model's
 * folder: a model that was downloaded must not be able to read other files. The key "checksum" and unknown keys are not
 * looked at. A tensor without "length" has the rest of its file.
 *
 * Source: https://github.com/onnx/onnx/blob/main/docs/ExternalData.md */
#define _XOPEN_SOURCE 700 /* realpath */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/checked.h"
#include "proto/internal.h"

typedef struct place {
  const char *location;
  size_t offset, length;
  bool has_length;
} place;

bool pleat_proto_tensor_is_external(const Onnx__TensorProto *tensor) {
  return tensor->has_data_location && tensor->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
}

void pleat_externals_destroy(pleat_external_file *externals) {
  while (externals != NULL) {
    pleat_external_file *next = externals->next;
    pleat_mapping_close(&externals->mapping);
    free(externals->location);
    free(externals);
    externals = next;
  }
}

/* A decimal number, digits only. */
static pleat_status read_number(const char *key, const char *text, size_t *out_value, pleat_error *error) {
  size_t value = 0;
  bool good = *text != 0;
  for (const char *at = text; good && *at != 0; at++) {
    good = *at >= '0' && *at <= '9' && pleat_mul_size(value, 10, &value) &&
           pleat_add_size(value, (size_t)(*at - '0'), &value);
  }
  *out_value = value;
  if (good) return PLEAT_OK;
  return pleat_fail(error, PLEAT_MALFORMED_MODEL, "external data: expected a number for '%s', found '%s'", key, text);
}

static pleat_status read_place(const Onnx__TensorProto *tensor, place *out, pleat_error *error) {
  *out = (place){0};
  for (size_t i = 0; i < tensor->n_external_data; i++) {
    const char *key = tensor->external_data[i]->key, *value = tensor->external_data[i]->value;
    if (key == NULL || value == NULL) continue;
    if (strcmp(key, "location") == 0) {
      out->location = value;
    } else if (strcmp(key, "offset") == 0) {
      PLEAT_TRY(read_number(key, value, &out->offset, error));
    } else if (strcmp(key, "length") == 0) {
      PLEAT_TRY(read_number(key, value, &out->length, error));
      out->has_length = true;
    }
  }
  if (out->location != NULL && *out->location != 0) return PLEAT_OK;
  return pleat_fail(error, PLEAT_MALFORMED_MODEL, "external data without a location");
}

/* Whether one of the path's parts is "..". */
static bool climbs(const char *path) {
  for (const char *part = path; part != NULL; part = strchr(part, '/')) {
    if (*part == '/') part++;
    if (part[0] == '.' && part[1] == '.' && (part[2] == '/' || part[2] == 0)) return true;
  }
  return false;
}

/* Whether `path` is below `folder`; both are real paths. */
static bool is_inside(const char *folder, const char *path) {
  size_t size = strlen(folder);
  while (size > 0 && folder[size - 1] == '/') size--;
  return strncmp(folder, path, size) == 0 && path[size] == '/';
}

/* The real path of a location, checked; to be freed. */
static pleat_status resolve(const pleat_proto *proto, const char *location, char **out_path, pleat_error *error) {
  *out_path = NULL;
  if (proto->folder == NULL)
    return pleat_fail(error, PLEAT_INVALID_ARGUMENT,
                      "its data is in the file '%s', but the model was loaded from memory without a folder for "
                      "external data",
                      location);
  if (*location == '/' || climbs(location))
    return pleat_fail(error, PLEAT_MALFORMED_MODEL,
                      "external data: expected a file in the model's folder, found the location '%s'", location);
  size_t folder_size = strlen(proto->folder), location_size = strlen(location);
  char *joined = malloc(folder_size + location_size + 2);
  if (joined == NULL) return PLEAT_OOM(error);
  memcpy(joined, proto->folder, folder_size);
  joined[folder_size] = '/';
  memcpy(joined + folder_size + 1, location, location_size + 1);
  char *folder = realpath(*proto->folder != 0 ? proto->folder : ".", NULL), *path = NULL;
  if (folder != NULL) path = realpath(*proto->folder != 0 ? joined : location, NULL);
  pleat_status status = PLEAT_OK;
  if (path == NULL)
    status = pleat_fail(error, PLEAT_IO_ERROR, "external data: cannot open '%s': %s", joined, strerror(errno));
  else if (!is_inside(folder, path))
    status =
        pleat_fail(error, PLEAT_MALFORMED_MODEL,
                   "external data: expected a file in the model's folder, but '%s' is a link to '%s'", location, path);
  free(joined);
  free(folder);
  if (status != PLEAT_OK) {
    free(path);
    return status;
  }
  *out_path = path;
  return PLEAT_OK;
}

static pleat_status open_file(const pleat_proto *proto, const char *location, pleat_external_file **out_file,
                              pleat_error *error) {
  *out_file = NULL;
  char *path = NULL;
  pleat_status status = PLEAT_OK;
  pleat_external_file *file = calloc(1, sizeof *file);
  if (file == NULL || (file->location = strdup(location)) == NULL) PLEAT_CHECK(PLEAT_OOM(error));
  PLEAT_CHECK(resolve(proto, location, &path, error));
  struct stat info;
  if (stat(path, &info) == 0 && !S_ISREG(info.st_mode)) { /* opening a pipe would wait for its other end */
    PLEAT_CHECK(pleat_fail(error, PLEAT_MALFORMED_MODEL, "external data: '%s' is not a regular file", location));
  }
  status = pleat_mapping_open(path, PTRDIFF_MAX, &file->mapping, error);
  if (status != PLEAT_OK) {
    pleat_error_at_file(error, path);
    goto fail;
  }
  free(path);
  *out_file = file;
  return PLEAT_OK;
fail:
  free(path);
  pleat_externals_destroy(file);
  return status;
}

/* The mapping of a location, made when it is not there yet. */
static pleat_status find_file(pleat_proto *proto, const char *location, pleat_mapping *out_mapping,
                              pleat_error *error) {
  pleat_status status = PLEAT_OK;
  pthread_mutex_lock(&proto->lock);
  pleat_external_file *file = proto->externals;
  while (file != NULL && strcmp(file->location, location) != 0) file = file->next;
  if (file == NULL) {
    status = open_file(proto, location, &file, error);
    if (status == PLEAT_OK) {
      file->next = proto->externals;
      proto->externals = file;
    }
  }
  if (status == PLEAT_OK) *out_mapping = file->mapping;
  pthread_mutex_unlock(&proto->lock);
  return status;
}

static pleat_status external_bytes(pleat_proto *proto, const Onnx__TensorProto *tensor, const void **out_data,
                                   size_t *out_size, pleat_error *error) {
  place where;
  pleat_mapping file = {0};
  size_t end;
  PLEAT_TRY(read_place(tensor, &where, error));
  PLEAT_TRY(find_file(proto, where.location, &file, error));
  bool fits = where.offset <= file.size;
  if (!where.has_length && fits) where.length = file.size - where.offset;
  if (!fits || !pleat_add_size(where.offset, where.length, &end) || end > file.size)
    return pleat_fail(error, PLEAT_MALFORMED_MODEL,
                      "external data: offset %zu and length %zu are beyond the end of '%s', which has %zu bytes",
                      where.offset, where.length, where.location, file.size);
  if (where.length == 0) return PLEAT_OK;
  *out_data = file.data + where.offset;
  *out_size = where.length;
  return PLEAT_OK;
}

pleat_status pleat_proto_tensor_bytes(pleat_proto *proto, const Onnx__TensorProto *tensor, const void **out_data,
                                      size_t *out_size, pleat_error *error) {
  *out_data = NULL;
  *out_size = 0;
  if (!pleat_proto_tensor_is_external(tensor)) {
    if (tensor->has_raw_data && tensor->raw_data.len > 0) {
      *out_data = tensor->raw_data.data;
      *out_size = tensor->raw_data.len;
    }
    return PLEAT_OK;
  }
  pleat_status status = external_bytes(proto, tensor, out_data, out_size, error);
  if (status != PLEAT_OK) {
    pleat_error_at_file(error, proto->path);
    pleat_error_at_tensor(error, tensor->name != NULL ? tensor->name : "");
  }
  return status;
}

void pleat_proto_give_back(pleat_proto *proto, const void *data, size_t size) {
  if (pleat_mapping_give_back(&proto->file, data, size)) return;
  pthread_mutex_lock(&proto->lock);
  const pleat_external_file *file = proto->externals;
  while (file != NULL && !pleat_mapping_give_back(&file->mapping, data, size)) file = file->next;
  pthread_mutex_unlock(&proto->lock);
}

void pleat_proto_give_back_all(pleat_proto *proto) {
  (void)pleat_mapping_give_back(&proto->file, proto->file.data, proto->file.size);
  pthread_mutex_lock(&proto->lock);
  for (const pleat_external_file *file = proto->externals; file != NULL; file = file->next) {
    (void)pleat_mapping_give_back(&file->mapping, file->mapping.data, file->mapping.size);
  }
  pthread_mutex_unlock(&proto->lock);
}

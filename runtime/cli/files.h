/* Files of the command: read whole, written by temporary name and rename; JSON output. */
#ifndef PLEAT_CLI_FILES_H
#define PLEAT_CLI_FILES_H

#include <cjson/cJSON.h>

#include "pleat/pleat.h"

/* The whole file in malloc'ed memory (never NULL on success). */
pleat_status files_read(const char *path, void **out_data, size_t *out_size, pleat_error *error);
/* Writes beside `path`, then renames: a failure leaves what was there. */
pleat_status files_write(const char *path, const void *data, size_t size, pleat_error *error);
bool files_exists(const char *path);
bool files_is_folder(const char *path);
bool files_has_suffix(const char *path, const char *suffix);
uint64_t files_size(const char *path); /* 0 when there is none */

/* Writes `json` with a final newline to a file, or to stdout for "-". */
pleat_status files_write_json(const char *path, const cJSON *json, pleat_error *error);

/* ---- making JSON: out of memory ends the process, as with cli_calloc ---- */
cJSON *json_object(void);
cJSON *json_array(void);
void json_add(cJSON *object, const char *key, cJSON *item);
void json_push(cJSON *array, cJSON *item);
void json_add_string(cJSON *object, const char *key, const char *value); /* NULL value: null */
void json_add_number(cJSON *object, const char *key, double value);
void json_add_count(cJSON *object, const char *key, uint64_t value);
void json_add_bool(cJSON *object, const char *key, bool value);
cJSON *json_dims(int rank, const int64_t *dims);
cJSON *json_value_shape(const pleat_value_info *info); /* numbers, symbols, null; null for an unknown rank */

#endif

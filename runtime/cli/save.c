/* Outputs of a run to files: a folder of .npy, or one .npz. Items of lists become NAME.0, NAME.1...
 *
 * Invariant: a value's name is the model's text, so what could leave the folder or hide a file (slashes, a leading
 * dot, anything but letters, digits, '_', '-' and '.') becomes '_', and names that are the same after that get a
 * number. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "npy.h"
#include "npz.h"
#include "results.h"
#include "text.h"

/* The tensors to write, lists taken apart, with the names they get. */
typedef struct flat {
  char **names;
  const pleat_tensor **tensors;
  size_t count;
} flat;

static void flatten(flat *flat, const char *name, const pleat_tensor *tensor) {
  if (pleat_tensor_kind(tensor) == PLEAT_KIND_TENSOR) {
    flat->names = cli_realloc(flat->names, flat->count + 1, sizeof *flat->names);
    flat->tensors = cli_realloc(flat->tensors, flat->count + 1, sizeof *flat->tensors);
    flat->names[flat->count] = cli_strdup(name);
    flat->tensors[flat->count++] = tensor;
    return;
  }
  for (size_t i = 0; i < pleat_tensor_count(tensor); i++) {
    char *item = cli_printf("%s.%zu", name, i);
    flatten(flat, item, pleat_tensor_item(tensor, i));
    free(item);
  }
}

static void flat_deinit(flat *flat) {
  for (size_t i = 0; i < flat->count; i++) free(flat->names[i]);
  free(flat->names);
  free((void *)flat->tensors);
}

static bool is_taken(const flat *flat, size_t count, const char *name) {
  for (size_t i = 0; i < count; i++)
    if (strcmp(flat->names[i], name) == 0) return true;
  return false;
}

/* Makes names that are safe as file names, and unique. */
static void make_file_names(flat *flat) {
  for (size_t i = 0; i < flat->count; i++) {
    char *name = flat->names[i];
    for (char *c = name; *c; c++) {
      bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');
      if (!letter && *c != '_' && *c != '-' && (*c != '.' || c == name)) *c = '_';
    }
    char *unique = cli_strdup(*name ? name : "_");
    for (int n = 2; is_taken(flat, i, unique); n++) {
      free(unique);
      unique = cli_printf("%s_%d", name, n);
    }
    free(name);
    flat->names[i] = unique;
  }
}

static pleat_status write_folder(const char *path, const flat *flat, pleat_error *error) {
  if (!files_is_folder(path) && mkdir(path, 0777) != 0)
    return cli_error(error, PLEAT_IO_ERROR, path, "cannot make the folder: %s", strerror(errno));
  pleat_status status = PLEAT_OK;
  for (size_t i = 0; i < flat->count && status == PLEAT_OK; i++) {
    void *data = NULL;
    size_t size = 0;
    char *file = cli_printf("%s/%s.npy", path, flat->names[i]);
    status = npy_format(flat->tensors[i], &data, &size, error);
    if (status == PLEAT_OK) status = files_write(file, data, size, error);
    free(data);
    free(file);
  }
  return status;
}

int results_save(const cli *cli, const results *results, const char *path) {
  flat flat = {0};
  pleat_error error = PLEAT_ERROR_INIT;
  for (size_t i = 0; i < results->count; i++) flatten(&flat, results->names[i], results->tensors[i]);
  make_file_names(&flat);
  for (size_t i = 0; i < flat.count; i++) {
    const char *note = npy_type_note(pleat_tensor_dtype(flat.tensors[i]));
    if (note) cli_note(cli, "output '%s' is %s", flat.names[i], note);
  }
  pleat_status status = files_has_suffix(path, ".npz")
                            ? npz_write(path, (const char *const *)flat.names, flat.tensors, flat.count, &error)
                            : write_folder(path, &flat, &error);
  if (status == PLEAT_OK) {
    fprintf(cli->text, "wrote %zu array%s to ", flat.count, flat.count == 1 ? "" : "s");
    cli_put_clean(cli->text, path);
    putc('\n', cli->text);
  }
  flat_deinit(&flat);
  return status == PLEAT_OK ? CLI_OK : cli_fail(cli, &error);
}

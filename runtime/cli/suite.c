/* Finding the tests of a suite: folders with a model.onnx, in the layout of ONNX's own test data.
 *
 * Invariants: a folder that is a test is not searched further, nor are folders more than two levels down or hidden
 * ones, so a wrong path ends soon. Tests are sorted by name and data sets by number (test_data_set_2 before _10): the
 * order does not depend on the file system. */
#include "suite.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

enum { SUITE_DEPTH = 2 };

static int is_visible(const struct dirent *entry) {
  return entry->d_name[0] != '.';
}

static int is_data_set(const struct dirent *entry) {
  return strncmp(entry->d_name, "test_data_set_", strlen("test_data_set_")) == 0;
}

/* test_data_set_2 comes before test_data_set_10. */
static int shorter_first(const struct dirent **a, const struct dirent **b) {
  size_t left = strlen((*a)->d_name), right = strlen((*b)->d_name);
  if (left != right) return left < right ? -1 : 1;
  return strcmp((*a)->d_name, (*b)->d_name);
}

char **suite_data_sets(const char *folder, size_t *out_count) {
  struct dirent **entries = NULL;
  int found = scandir(folder, &entries, is_data_set, shorter_first);
  char **names = cli_calloc(found > 0 ? (size_t)found + 1 : 1, sizeof *names);
  *out_count = found > 0 ? (size_t)found : 0;
  for (int i = 0; i < found; i++) {
    names[i] = cli_printf("%s/%s", folder, entries[i]->d_name);
    free(entries[i]);
  }
  free(entries);
  return names;
}

void suite_free_names(char **names) {
  for (char **name = names; *name; name++) free(*name);
  free(names);
}

static const char *last_component(const char *name) {
  const char *slash = strrchr(name, '/');
  return slash ? slash + 1 : name;
}

static bool matches(const char *name, const char *glob) {
  return !glob || fnmatch(glob, name, 0) == 0 || fnmatch(glob, last_component(name), 0) == 0;
}

static void add_test(suite *suite, const char *name, const char *folder) {
  suite->tests = cli_realloc(suite->tests, suite->count + 1, sizeof *suite->tests);
  suite->tests[suite->count++] = (suite_test){.name = cli_strdup(name), .folder = cli_strdup(folder)};
}

/* `name` is the folder's path from the suite's, "" for the suite itself. */
static pleat_status visit(suite *suite, const char *folder, const char *name, int depth, const char *glob,
                          pleat_error *error) {
  char *model = cli_printf("%s/model.onnx", folder);
  bool is_test = files_exists(model);
  free(model);
  const char *shown = *name ? name : last_component(folder);
  if (is_test && matches(shown, glob)) add_test(suite, shown, folder);
  if (is_test || depth == SUITE_DEPTH) return PLEAT_OK;
  struct dirent **entries = NULL;
  int found = scandir(folder, &entries, is_visible, alphasort);
  if (found < 0) return cli_error(error, PLEAT_IO_ERROR, folder, "cannot read the folder: %s", strerror(errno));
  pleat_status status = PLEAT_OK;
  for (int i = 0; i < found; i++) {
    char *child = cli_printf("%s/%s", folder, entries[i]->d_name);
    char *child_name = cli_printf("%s%s%s", name, *name ? "/" : "", entries[i]->d_name);
    if (status == PLEAT_OK && files_is_folder(child)) status = visit(suite, child, child_name, depth + 1, glob, error);
    free(child_name);
    free(child);
    free(entries[i]);
  }
  free(entries);
  return status;
}

static int by_name(const void *left, const void *right) {
  return strcmp(((const suite_test *)left)->name, ((const suite_test *)right)->name);
}

pleat_status suite_find(const char *folder, const char *glob, suite *out_suite, pleat_error *error) {
  *out_suite = (suite){0};
  char *trimmed = cli_strdup(folder);
  for (size_t length = strlen(trimmed); length > 1 && trimmed[length - 1] == '/'; length--) trimmed[length - 1] = '\0';
  pleat_status status = visit(out_suite, trimmed, "", 0, glob, error);
  free(trimmed);
  if (status == PLEAT_OK && out_suite->count > 0)
    qsort(out_suite->tests, out_suite->count, sizeof *out_suite->tests, by_name);
  if (status != PLEAT_OK) suite_deinit(out_suite);
  return status;
}

void suite_deinit(suite *suite) {
  for (size_t i = 0; i < suite->count; i++) {
    free(suite->tests[i].name);
    free(suite->tests[i].folder);
  }
  free(suite->tests);
  *suite = (struct suite){0};
}

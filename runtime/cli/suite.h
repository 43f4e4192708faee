/* Suites: folders of tests, and the worker processes that check them. */
#ifndef PLEAT_CLI_SUITE_H
#define PLEAT_CLI_SUITE_H

#include "check.h"

typedef struct suite_test {
  char *name;   /* the folder, relative to the suite's */
  char *folder; /* has model.onnx and test_data_set_<n> */
} suite_test;

typedef struct suite {
  suite_test *tests; /* sorted by name */
  size_t count;
} suite;

/* Finds the tests in `folder`, at most two levels down, whose name or last component matches `glob` (NULL: all). */
pleat_status suite_find(const char *folder, const char *glob, suite *out_suite, pleat_error *error);
void suite_deinit(suite *suite);

/* The test_data_set_* folders in `folder`, in the order of their numbers; NULL-terminated, to be freed one by one. */
char **suite_data_sets(const char *folder, size_t *out_count);
void suite_free_names(char **names);

/* Checks every test in a process of its own, `jobs` at a time: one that crashes, or takes longer than `timeout`
 * seconds, fails alone. Fills `out_verdicts` (suite->count objects as of check.h). `progress`: called after each. */
pleat_status suite_check(const suite *suite, const check_options *options, int jobs, int timeout, cJSON **out_verdicts,
                         void (*progress)(size_t done, size_t total), pleat_error *error);

#endif

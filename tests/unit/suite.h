/* Suites of plain test lists. */
#ifndef PLEAT_TESTS_SUITE_H
#define PLEAT_TESTS_SUITE_H

#include <check.h>

/* A case of the tests of a list that ends with NULL. */
static inline void add_tests(Suite *suite, const char *name, const TTest *const *tests) {
  TCase *tcase = tcase_create(name);
  tcase_set_timeout(tcase, 120);
  for (; *tests != NULL; tests++) tcase_add_test(tcase, *tests);
  suite_add_tcase(suite, tcase);
}

#endif

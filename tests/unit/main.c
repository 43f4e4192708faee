/* Runs one unit-test file's suite; exit 1 when a test failed. CK_FORK=no runs in one process (for a debugger). */
#include <check.h>
#include <stdlib.h>

Suite *make_suite(void);

int main(void) {
  setenv("CK_DEFAULT_TIMEOUT", "120", 0); /* seconds a test; Check's own 4 are too few on a busy machine */
  SRunner *runner = srunner_create(make_suite());
  srunner_run_all(runner, CK_NORMAL);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

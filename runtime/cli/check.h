/* The test-directory check of one model: runs recorded inputs and compares with recorded outputs. The verdicts are JSON
 * objects as `pleat validate --json` writes them, which is also how worker processes hand them over. */
#ifndef PLEAT_CLI_CHECK_H
#define PLEAT_CLI_CHECK_H

#include "files.h"
#include "session.h"

typedef struct check_options {
  pleat_tolerance tolerance;
  bool folded;  /* check what `pleat fold` would write */
  bool no_fold; /* no folding in the session */
  int threads;
  pleat_session_options session; /* but for threads and no_fold */
} check_options;

/* Loads, folds when asked to, and compiles. */
pleat_status check_open(const char *model, const check_options *options, loaded *out_loaded, pleat_error *error);

/* Checks the data sets (folders with input_<i>.pb and output_<i>.pb) and returns the test's verdict: an object with
 * name, verdict, reason and outputs. *out_status: PLEAT_OK also for outputs that differ; else why it could not be
 * checked. */
cJSON *check_sets(const char *name, const loaded *loaded, const check_options *options, const char *const *sets,
                  size_t set_count, pleat_status *out_status);

/* The verdict for an error: "skip" for PLEAT_UNSUPPORTED, else "fail". */
cJSON *check_failed(const char *name, const pleat_error *error);
cJSON *check_verdict(const char *name, const char *verdict, const char *reason);

#endif

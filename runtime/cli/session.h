/* A model file compiled to run, as the verbs that run something need it. */
#ifndef PLEAT_CLI_SESSION_H
#define PLEAT_CLI_SESSION_H

#include <limits.h>

#include "cli.h"

typedef struct loaded {
  pleat_model *model;
  pleat_session *session;
} loaded;

/* One line on stderr when the model is newer than what is known here. */
void warn_of_model(const cli *cli, const pleat_model *model, const char *path);

/* What the verbs that make sessions let the user choose about kernels and numbers: SESSION_OPTIONS in the verb's table,
 * a session_args in its arguments. */
typedef struct session_args {
  bool exact, tune;
  const char *tune_cache, *precision;
  int part;
} session_args;

/* clang-format off */
#define SESSION_OPTIONS(type, member)                                                                                  \
  {"exact", 0, NULL, CLI_FLAG, offsetof(type, member.exact),                                                           \
   "no algorithm that trades accuracy for speed (Winograd, Strassen)", 0, 0},                                          \
  {"tune", 0, NULL, CLI_FLAG, offsetof(type, member.tune),                                                             \
   "time the kernels of each step, take the fastest, remember it", 0, 0},                                              \
  {"tune-cache", 0, "FILE", CLI_STRING, offsetof(type, member.tune_cache),                                             \
   "--tune, remembered in FILE (default ~/.cache/pleat/tuning.tsv)", 0, 0},                                            \
  {"precision", 0, "fp32|bf16", CLI_STRING, offsetof(type, member.precision),                                          \
   "compute in float (default), or in bfloat16 where the CPU can", 0, 0},                                              \
  {"part", 0, "N", CLI_INT, offsetof(type, member.part),                                                               \
   "samples of a batch to run at a time, where they do not mix (default 0:\nchosen by a rule)", 0, INT_MAX}
/* clang-format on */

/* Sets what was chosen in `out_options`; a tuning file that is named asks for tuning. Returns CLI_OK or the code of an
 * error that was printed. */
int session_args_apply(const cli *cli, const session_args *args, pleat_session_options *out_options);

/* What tuning has to warn about goes to stderr. For the time after plans were made. */
void session_note_tuning(const cli *cli, pleat_session *session);

/* Loads and compiles. `options->taps` that name nothing are a usage error. Returns CLI_OK or the code of an error that
 * was printed. */
int loaded_init(const cli *cli, const char *path, const pleat_session_options *options, loaded *out_loaded);
void loaded_deinit(loaded *loaded);

/* A clock that only goes forward, in nanoseconds. */
uint64_t clock_ns(void);
/* Cores that this process may use. */
int core_count(void);

#endif

/* A model file compiled to run, as the verbs that run something need it. */
#ifndef PLEAT_CLI_SESSION_H
#define PLEAT_CLI_SESSION_H

#include "cli.h"

typedef struct loaded {
  pleat_model *model;
  pleat_session *session;
} loaded;

/* One line on stderr when the model is newer than what is known here. */
void warn_of_model(const cli *cli, const pleat_model *model, const char *path);

/* Loads and compiles. `options->taps` that name nothing are a usage error. Returns CLI_OK or the code of an error that
 * was printed. */
int loaded_init(const cli *cli, const char *path, const pleat_session_options *options, loaded *out_loaded);
void loaded_deinit(loaded *loaded);

/* A clock that only goes forward, in nanoseconds. */
uint64_t clock_ns(void);
/* Cores that this process may use. */
int core_count(void);

#endif

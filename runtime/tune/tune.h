/* Tuning: which kernel, in which of its variants, is the fastest for a call on this machine. Measured once, at the
 * call's own shapes and number of threads, and remembered in a file.
 *
 * A tuner belongs to one session and is used by one thread at a time. Nothing here ever fails a plan: what cannot be
 * measured, read or written leaves the choice to the kernels' own rule, and says so in a warning. */
#ifndef PLEAT_TUNE_TUNE_H
#define PLEAT_TUNE_TUNE_H

#include "ops/ops.h"
#include "pleat/session.h"

typedef struct pleat_tuner pleat_tuner;

/* `path`: the file; NULL for the user's own, pleat/tuning.tsv in $XDG_CACHE_HOME or ~/.cache. */
pleat_status pleat_tuner_create(const char *path, pleat_tuner **out_tuner, pleat_error *error);
void pleat_tuner_destroy(pleat_tuner *tuner); /* NULL is accepted */

/* As pleat_kernel_take, but takes the fastest. `out_tuned`: it was measured, now or earlier; else the operator has
 * nothing to choose from, and the first kernel was taken. */
pleat_status pleat_tuner_take(pleat_tuner *tuner, pleat_call *call, char *declined, size_t declined_size,
                              const pleat_kernel **out_kernel, bool *out_tuned);

/* Writes what was measured since the last time. */
void pleat_tuner_save(pleat_tuner *tuner);

/* What happened so far; the strings live as long as the tuner. */
void pleat_tuner_describe(const pleat_tuner *tuner, pleat_tuning_info *out_info);

#endif

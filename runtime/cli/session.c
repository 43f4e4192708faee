/* Loading, compiling, and the machine: clock and cores.
 *
 * Invariants: a failure has been reported, and leaves nothing loaded. Times are of the monotonic clock. The cores are
 * those this process may use (the affinity mask), which in a container or under taskset are fewer than there are. */
#ifdef __linux__
#define _GNU_SOURCE /* sched_getaffinity, CPU_COUNT */
#endif
#include "session.h"

#include <sched.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void warn_of_model(const cli *cli, const pleat_model *model, const char *path) {
  char text[512];
  const char *warning = pleat_model_warning(model, text, sizeof text);
  if (warning) cli_note(cli, "%s: warning: %s", path, warning);
}

static const char *const precisions[] = {[PLEAT_PRECISION_FP32] = "fp32", [PLEAT_PRECISION_BF16] = "bf16"};
enum { PRECISIONS = sizeof precisions / sizeof *precisions };

static const char *precision_name(const void *user, size_t index) {
  (void)user;
  return precisions[index];
}

int session_args_apply(const cli *cli, const session_args *args, pleat_session_options *out_options) {
  size_t precision = 0;
  while (args->precision && precision < PRECISIONS && strcmp(precisions[precision], args->precision) != 0) precision++;
  if (precision == PRECISIONS)
    return cli_unknown(cli, "unknown precision", args->precision, precision_name, NULL, PRECISIONS);
  out_options->precision = (pleat_precision)precision;
  out_options->exact = args->exact;
  out_options->tune = args->tune || args->tune_cache != NULL;
  out_options->tune_cache = args->tune_cache;
  out_options->part_samples = args->part;
  return CLI_OK;
}

void session_note_tuning(const cli *cli, pleat_session *session) {
  pleat_tuning_info tuning;
  pleat_session_tuning(session, &tuning);
  if (*tuning.warning) cli_note(cli, "tuning: %s", tuning.warning);
}

int loaded_init(const cli *cli, const char *path, const pleat_session_options *options, loaded *out_loaded) {
  pleat_error error = PLEAT_ERROR_INIT;
  *out_loaded = (loaded){0};
  pleat_status status = pleat_model_load(path, &out_loaded->model, &error);
  if (status == PLEAT_OK) warn_of_model(cli, out_loaded->model, path);
  if (status == PLEAT_OK) status = pleat_session_create(out_loaded->model, options, &out_loaded->session, &error);
  if (status == PLEAT_OK) return CLI_OK;
  loaded_deinit(out_loaded);
  cli_error_at(&error, path);
  int code = cli_fail(cli, &error);
  return status == PLEAT_INVALID_ARGUMENT && options->taps ? CLI_USAGE : code;
}

void loaded_deinit(loaded *loaded) {
  pleat_session_destroy(loaded->session);
  pleat_model_release(loaded->model);
  *loaded = (struct loaded){0};
}

uint64_t clock_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int core_count(void) {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
#endif
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  return cores > 0 ? (int)cores : 1;
}

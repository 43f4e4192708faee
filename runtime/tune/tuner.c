/* Choosing: a remembered result if there is one that still holds, else a measurement.
 *
 * Invariant: whatever the store says, the kernel that is taken has accepted the call. A name that this build does not
 * know, or a kernel that declines, is as good as no result. */
#include "tune/tune.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tune/tune_private.h"

/* What another kernel must gain over the rule's: less may be chance. */
#define LEAST_GAIN 0.03

struct pleat_tuner {
  pleat_tune_store store;
  const char *machine;
  bool changed; /* the store knows what the file does not */
  uint64_t measured, remembered, nanoseconds;
};

pleat_status pleat_tuner_create(const char *path, pleat_tuner **out_tuner, pleat_error *error) {
  *out_tuner = NULL;
  pleat_tuner *tuner = calloc(1, sizeof *tuner);
  pleat_arena *arena = tuner != NULL ? pleat_arena_create() : NULL;
  if (arena == NULL) {
    free(tuner);
    return PLEAT_OOM(error);
  }
  tuner->store = (pleat_tune_store){.arena = arena, .warning = ""};
  tuner->store.path = path != NULL ? pleat_arena_strdup(arena, path) : pleat_tune_default_path(arena);
  tuner->machine = pleat_tune_machine(arena);
  if (tuner->machine == NULL || (path != NULL && tuner->store.path == NULL)) {
    pleat_tuner_destroy(tuner);
    return PLEAT_OOM(error);
  }
  if (tuner->store.path == NULL)
    pleat_tune_warn(&tuner->store, "neither XDG_CACHE_HOME nor HOME is set: no tuning is remembered");
  pleat_tune_load(&tuner->store);
  *out_tuner = tuner;
  return PLEAT_OK;
}

void pleat_tuner_destroy(pleat_tuner *tuner) {
  if (tuner == NULL) return;
  pleat_arena_destroy(tuner->store.arena);
  free(tuner);
}

/* ---- remembered results ---- */

/* The variant's number; -1 when the kernel has none of that name. */
static int find_variant(const pleat_kernel *kernel, const char *name) {
  if (name[0] == '\0') return 0;
  for (int i = 0; kernel->variants != NULL && kernel->variants[i] != NULL; i++) {
    if (strcmp(kernel->variants[i], name) == 0) return i + 1;
  }
  return -1;
}

/* Takes what an entry names; false when this build has no such kernel or it declines. */
static bool take_entry(const pleat_tune_entry *entry, pleat_call *call, const pleat_kernel **out_kernel) {
  pleat_error *const report = call->error;
  for (const pleat_kernel *const *k = call->node->def->kernels; *k != NULL; k++) {
    const int variant = strcmp((*k)->name, entry->kernel) == 0 ? find_variant(*k, entry->variant) : -1;
    if (variant < 0) continue;
    call->error = NULL;
    const pleat_status status = pleat_kernel_take_as(call, *k, variant);
    call->error = report;
    if (status != PLEAT_OK) continue;
    *out_kernel = *k;
    return true;
  }
  return false;
}

/* ---- measuring ---- */

/* The fastest; the rule's choice (the first) unless another one is clearly better. */
static const pleat_tune_timing *fastest(const pleat_tune_timing *timings, size_t count) {
  const pleat_tune_timing *best = &timings[0];
  for (size_t i = 1; i < count; i++) {
    if (timings[i].nanoseconds == 0) continue;
    if (best->nanoseconds == 0 || timings[i].nanoseconds < best->nanoseconds) best = &timings[i];
  }
  if (timings[0].nanoseconds == 0) return best;
  return (double)best->nanoseconds < (1 - LEAST_GAIN) * (double)timings[0].nanoseconds ? best : &timings[0];
}

static const char *variant_name(const pleat_tune_timing *timing) {
  return timing->kernel->variants != NULL && timing->variant > 0 ? timing->kernel->variants[timing->variant - 1] : "";
}

/* "slower: onednn direct 0.912 ms; ..." for reports. */
static void describe_losers(const pleat_tune_timing *timings, size_t count, const pleat_tune_timing *winner, char *text,
                            size_t size) {
  size_t used = 0;
  if (size > 0) text[0] = '\0';
  for (size_t i = 0; i < count && used < size; i++) {
    if (&timings[i] == winner) continue;
    const char *variant = variant_name(&timings[i]);
    char how_long[32] = "much";
    if (timings[i].nanoseconds > 0)
      snprintf(how_long, sizeof how_long, "%.3f ms", (double)timings[i].nanoseconds / 1e6);
    const int wrote = snprintf(text + used, size - used, "%s%s%s%s %s", used == 0 ? "slower: " : "; ",
                               timings[i].kernel->name, variant[0] != '\0' ? " " : "", variant, how_long);
    if (wrote > 0) used += (size_t)wrote;
  }
}

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Fills in the entry's kernel and variant; false when nothing could be measured or there is no choice. */
static bool measure(pleat_tuner *tuner, const pleat_call *call, pleat_tune_entry *entry, char *declined, size_t size) {
  pleat_tune_timing *timings = NULL;
  size_t count = 0;
  pleat_error reason = PLEAT_ERROR_INIT;
  pleat_arena *arena = pleat_arena_create();
  if (arena == NULL) return false;
  const uint64_t start = now_ns();
  pleat_call copy = *call;
  copy.error = &reason;
  const pleat_status status = pleat_tune_measure(&copy, arena, &timings, &count);
  if (status != PLEAT_OK && status != PLEAT_UNSUPPORTED)
    pleat_tune_warn(&tuner->store, pleat_arena_printf(tuner->store.arena, "not measured: %s", reason.message));
  const bool good = status == PLEAT_OK && count > 1;
  if (good) {
    const pleat_tune_timing *best = fastest(timings, count);
    entry->kernel = best->kernel->name;
    entry->variant = variant_name(best);
    entry->nanoseconds = best->nanoseconds;
    describe_losers(timings, count, best, declined, size);
    tuner->measured++;
    tuner->nanoseconds += now_ns() - start;
  }
  pleat_arena_destroy(arena);
  return good;
}

/* ---- the interface ---- */

/* Operators that multiply; of the others, none has more than one way worth a measurement. */
static bool is_tunable(const pleat_call *call) {
  return call->node->def->macs != NULL && !call->reference_only;
}

pleat_status pleat_tuner_take(pleat_tuner *tuner, pleat_call *call, char *declined, size_t declined_size,
                              const pleat_kernel **out_kernel, bool *out_tuned) {
  pleat_tune_entry key = {.machine = tuner->machine, .threads = call->threads};
  *out_tuned = false;
  if (declined_size > 0) declined[0] = '\0';
  if (!is_tunable(call)) return pleat_kernel_take(call, declined, declined_size, out_kernel);
  key.problem = pleat_tune_problem(tuner->store.arena, call);
  if (key.problem == NULL) return PLEAT_OOM(call->error);
  const pleat_tune_entry *known = key.problem[0] != '\0' ? pleat_tune_find(&tuner->store, &key) : NULL;
  if (known != NULL && take_entry(known, call, out_kernel)) {
    tuner->remembered++;
    *out_tuned = true;
    return PLEAT_OK;
  }
  if (key.problem[0] != '\0' && measure(tuner, call, &key, declined, declined_size) &&
      take_entry(&key, call, out_kernel)) {
    if (!pleat_tune_add(&tuner->store, &key)) return PLEAT_OOM(call->error);
    tuner->changed = true;
    *out_tuned = true;
    return PLEAT_OK;
  }
  return pleat_kernel_take(call, declined, declined_size, out_kernel);
}

void pleat_tuner_save(pleat_tuner *tuner) {
  if (tuner->changed) pleat_tune_write(&tuner->store);
  tuner->changed = false;
}

void pleat_tuner_describe(const pleat_tuner *tuner, pleat_tuning_info *out_info) {
  *out_info = (pleat_tuning_info){.path = tuner->store.path != NULL ? tuner->store.path : "",
                                  .measured = tuner->measured,
                                  .remembered = tuner->remembered,
                                  .measuring_ns = tuner->nanoseconds,
                                  .warning = tuner->store.warning};
}

/* What the files of this folder share. */
#ifndef PLEAT_TUNE_TUNE_PRIVATE_H
#define PLEAT_TUNE_TUNE_PRIVATE_H

#include "ops/layout.h"
#include "ops/packs.h"
#include "tune/tune.h"

/* One line of the file: the fastest kernel for a problem on a machine. Strings belong to the store's arena. */
typedef struct pleat_tune_entry {
  const char *machine, *problem;
  int threads;
  const char *kernel, *variant; /* names; variant "": the kernel's own rule */
  uint64_t nanoseconds;
} pleat_tune_entry;

/* The file's content. */
typedef struct pleat_tune_store {
  pleat_arena *arena;
  const char *path; /* NULL: nothing is read or written */
  pleat_tune_entry *entries;
  size_t count, capacity;
  bool foreign;        /* the file is not one of ours, and is left alone */
  const char *warning; /* the first one; "" when all is well */
} pleat_tune_store;

/* ---- store.c ---- */

void pleat_tune_load(pleat_tune_store *store);
void pleat_tune_write(pleat_tune_store *store);
const pleat_tune_entry *pleat_tune_find(const pleat_tune_store *store, const pleat_tune_entry *key);
/* Adds, or replaces the one of the same key. Strings are copied. False: out of memory. */
bool pleat_tune_add(pleat_tune_store *store, const pleat_tune_entry *entry);
/* The default place, whose folders are made; NULL when there is none. */
const char *pleat_tune_default_path(pleat_arena *arena);
void pleat_tune_warn(pleat_tune_store *store, const char *text);

/* ---- key.c: what a measurement is good for, as one line of text without tabs; NULL: out of memory ---- */

const char *pleat_tune_machine(pleat_arena *arena);
const char *pleat_tune_problem(pleat_arena *arena, const pleat_call *call);

/* An input's layout as its producer leaves it. */
static inline const pleat_layout *pleat_tune_given(const pleat_call *call, size_t i) {
  if (call->inputs[i] == NULL) return NULL;
  return call->given != NULL ? call->given[i] : call->inputs[i]->layout;
}

/* ---- measure.c ---- */

typedef struct pleat_tune_timing {
  const pleat_kernel *kernel;
  int variant;
  uint64_t nanoseconds; /* 0: not measured to the end, as it was far behind */
} pleat_tune_timing;

/* Times every kernel and variant that takes the call. The first timing is that of the kernels' own rule. *out_count is
 * 0 or 1 when there is nothing to choose from. The call is not changed. */
pleat_status pleat_tune_measure(const pleat_call *call, pleat_arena *arena, pleat_tune_timing **out_timings,
                                size_t *out_count);

#endif

/* Work on several threads, and how much of it is worth waking them for.
 *
 * The threads are the library's own, shared by all sessions of the process; they exist while somebody has asked for
 * them (every session does). Between two pieces of work they watch for the next one for a moment, then sleep.
 *
 * Nobody waits for a thread that has not begun: on a busy machine, what one thread would have done is done by those
 * that run, and the calling thread is always one of them. One piece of work uses the threads at a time; another one
 * that comes meanwhile (a second session's) stays on its calling thread. */
#ifndef PLEAT_CORE_PARALLEL_H
#define PLEAT_CORE_PARALLEL_H

#include <stdbool.h>
#include <stdint.h>

/* Thresholds: below them, waking threads costs more than it saves. A loop that gives its result whatever the number of
 * threads may be tuned here, and only here. */
enum {
  PLEAT_PARALLEL_BYTES = 256 * 1024, /* plain copies: bytes moved */
  PLEAT_PARALLEL_SIMPLE = 1 << 16,   /* one operation an element */
  PLEAT_PARALLEL_MACS = 1 << 18,     /* multiply-adds of a product */
  PLEAT_PARALLEL_MIN = 1 << 15       /* several operations an element; a fraction of it where there are many */
};

/* Calls run(job, item, worker) once for each item of [0, items), in any order, on at most `threads` threads, and
 * returns when all are done. Each thread begins with a part of its own of the items, in their order, the same part
 * whenever there are as many of both: neighbouring items should be of neighbouring data, as a thread that wrote it
 * has it in its cache. `worker` is in [0, threads): two calls at the same time have different ones, so that it
 * can choose scratch memory. The caller's memory is visible to all calls, and what they wrote to the caller. Does not
 * allocate. */
void pleat_parallel(int threads, int64_t items, void (*run)(void *job, int64_t item, int worker), void *job);

/* The same for a loop over [0, count), cut into a few ranges for each thread; with one thread, a single range. */
void pleat_parallel_ranges(int threads, int64_t count, void (*run)(void *job, int64_t first, int64_t end, int worker),
                           void *job);

/* A library with threads of its own (oneDNN, OpenMP) may share out work as well: where its threads are busy in the same
 * run, they have to do ours, too, since they watch for work of theirs on the cores that ours would want. */
void pleat_parallel_set_rival(void (*share)(int threads, int64_t items, void (*run)(void *, int64_t, int), void *job));
/* Whether work of the calling thread goes to them from now on. Returns what was. */
bool pleat_parallel_use_rival(bool use);

/* Has threads for work on up to `threads` of them, from now to the release. As many as the system gives: work is done
 * in any case. */
void pleat_parallel_retain(int threads);
void pleat_parallel_release(void); /* the last one ends the threads */

#endif

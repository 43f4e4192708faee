/* Threads that share out items: see parallel.h.
 *
 * A piece of work lies on its caller's stack. It is published by its address and a new epoch, which idle threads watch.
 * A thread first says that it is inside and then looks for the work; the caller first takes the work back and then
 * waits until nobody is inside. Both orders are sequentially consistent, so a thread that the caller does not see finds
 * nothing, and no thread holds on to work that has gone.
 *
 * Items are cut into as many parts as threads, and handed out by a counter for each. A thread does its own part first,
 * then what is left of the others': where steps cut their work alike, it finds in its own cache what it made itself,
 * and other cores' caches are far away, some of them across the processor. */
#include "core/parallel.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum { MOST_THREADS = 255, MOST_PARTS = 16, PAUSES = 2000, YIELDS = 1000, CACHE_LINE = 64 };

typedef struct work {
  void (*run)(void *job, int64_t item, int worker);
  void *job;
  int64_t items;
  int threads, parts;
  atomic_int seats; /* threads that have come; the caller is number 0 */
  struct {
    _Alignas(CACHE_LINE) atomic_llong item;
  } next[MOST_PARTS];
} work;

static struct {
  pthread_mutex_t changing; /* held while threads are made and ended; guards users, count and threads */
  sem_t wake;               /* a token for each sleeper that was taken off `sleeping` */
  int users, count;
  pthread_t threads[MOST_THREADS];
  _Atomic(work *) work; /* NULL: none to be had */
  atomic_uint epoch;    /* changes with each piece of work, and when threads shall end */
  atomic_int inside, sleeping;
  atomic_bool busy, ending;
} pool = {.changing = PTHREAD_MUTEX_INITIALIZER};

typedef void share(int threads, int64_t items, void (*run)(void *job, int64_t item, int worker), void *job);
static _Atomic(share *) rival;
static _Thread_local bool uses_rival;

static void rest(int *turns) {
  if (++*turns <= PAUSES) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
    return;
  }
  sched_yield();
}

static int64_t part_begin(const work *w, int part) {
  return w->items / w->parts * part + (w->items % w->parts) * part / w->parts;
}

/* `first`: the thread's own part. */
static void do_items(work *w, int first, int worker) {
  for (int i = 0; i < w->parts; i++) {
    const int part = (first + i) % w->parts;
    const int64_t end = part_begin(w, part + 1);
    for (int64_t item; (item = atomic_fetch_add_explicit(&w->next[part].item, 1, memory_order_relaxed)) < end;) {
      w->run(w->job, item, worker);
    }
  }
}

/* Goes to sleep until there is a new epoch. A sleeper counts itself before it looks at the epoch for the last time, and
 * whoever begins one takes all that are counted off, with a token for each: when that was done already, the token has
 * to be waited for. */
static void sleep_for_epoch(unsigned seen) {
  atomic_fetch_add(&pool.sleeping, 1);
  if (atomic_load(&pool.epoch) != seen) {
    int count = atomic_load(&pool.sleeping);
    while (count > 0 && !atomic_compare_exchange_weak(&pool.sleeping, &count, count - 1)) continue;
    if (count > 0) return;
  }
  while (sem_wait(&pool.wake) != 0) continue; /* a signal came */
}

/* Until there is a new epoch: watching at first, then asleep. */
static unsigned wait_for_epoch(unsigned seen) {
  unsigned epoch;
  for (int turns = 0; turns < PAUSES + YIELDS; rest(&turns)) {
    epoch = atomic_load(&pool.epoch);
    if (epoch != seen) return epoch;
  }
  while ((epoch = atomic_load(&pool.epoch)) == seen) sleep_for_epoch(seen);
  return epoch;
}

static void *serve(void *thread) {
  const int number = (int)(uintptr_t)thread;    /* the caller is number 0 */
  unsigned seen = atomic_load(&pool.epoch) - 1; /* so that it looks at once */
  while (!atomic_load(&pool.ending)) {
    seen = wait_for_epoch(seen);
    atomic_fetch_add(&pool.inside, 1);
    work *w = atomic_load(&pool.work);
    if (w != NULL) {
      const int seat = atomic_fetch_add(&w->seats, 1);
      if (seat < w->threads) do_items(w, number, seat);
    }
    atomic_fetch_sub(&pool.inside, 1);
  }
  return NULL;
}

static void begin_epoch(void) {
  atomic_fetch_add(&pool.epoch, 1);
  if (atomic_load(&pool.sleeping) == 0) return;
  for (int count = atomic_exchange(&pool.sleeping, 0); count > 0; count--) sem_post(&pool.wake);
}

void pleat_parallel(int threads, int64_t items, void (*run)(void *job, int64_t item, int worker), void *job) {
  share *other = uses_rival && threads > 1 && items > 1 ? atomic_load(&rival) : NULL;
  if (other != NULL) {
    other(threads, items, run, job);
    return;
  }
  if (threads <= 1 || items <= 1 || atomic_exchange(&pool.busy, true)) {
    for (int64_t item = 0; item < items; item++) run(job, item, 0);
    return;
  }
  int turns = 0;
  work w = {.run = run, .job = job, .items = items, .threads = threads};
  w.parts = threads < MOST_PARTS ? threads : MOST_PARTS;
  for (int part = 0; part < w.parts; part++) atomic_init(&w.next[part].item, part_begin(&w, part));
  atomic_init(&w.seats, 1);
  atomic_store(&pool.work, &w);
  begin_epoch();
  do_items(&w, 0, 0);
  atomic_store(&pool.work, NULL);
  while (atomic_load(&pool.inside) != 0) rest(&turns);
  atomic_store(&pool.busy, false);
}

typedef struct ranges {
  void (*run)(void *job, int64_t first, int64_t end, int worker);
  void *job;
  int64_t count, items;
} ranges;

static void run_range(void *job, int64_t item, int worker) {
  const ranges *r = job;
  const int64_t each = r->count / r->items, more = r->count % r->items; /* the first `more` items have one more */
  const int64_t first = item * each + (item < more ? item : more);
  r->run(r->job, first, first + each + (item < more), worker);
}

void pleat_parallel_ranges(int threads, int64_t count, void (*run)(void *job, int64_t first, int64_t end, int worker),
                           void *job) {
  enum { RANGES_PER_THREAD = 4 };
  const int64_t wanted = threads > 1 ? (int64_t)RANGES_PER_THREAD * threads : 1;
  ranges r = {.run = run, .job = job, .count = count, .items = count < wanted ? count : wanted};
  pleat_parallel(threads, r.items, run_range, &r);
}

void pleat_parallel_set_rival(share *other) {
  atomic_store(&rival, other);
}

bool pleat_parallel_use_rival(bool use) {
  const bool before = uses_rival;
  uses_rival = use;
  return before;
}

/* ---- the threads ---- */

/* A forked child has none of them; whoever held the lock is not there either. */
static void forget_threads(void) {
  pthread_mutex_init(&pool.changing, NULL);
  sem_init(&pool.wake, 0, 0);
  pool.count = 0;
  atomic_store(&pool.work, NULL);
  atomic_store(&pool.inside, 0);
  atomic_store(&pool.sleeping, 0);
  atomic_store(&pool.busy, false);
}

static void begin(void) {
  sem_init(&pool.wake, 0, 0);
  pthread_atfork(NULL, NULL, forget_threads);
}

void pleat_parallel_retain(int threads) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, begin);
  pthread_mutex_lock(&pool.changing);
  pool.users++;
  while (pool.count < threads - 1 && pool.count < MOST_THREADS) {
    if (pthread_create(&pool.threads[pool.count], NULL, serve, (void *)(uintptr_t)(pool.count + 1)) != 0) break;
    pool.count++;
  }
  pthread_mutex_unlock(&pool.changing);
}

void pleat_parallel_release(void) {
  pthread_mutex_lock(&pool.changing);
  if (--pool.users == 0) {
    atomic_store(&pool.ending, true);
    begin_epoch();
    for (; pool.count > 0; pool.count--) pthread_join(pool.threads[pool.count - 1], NULL);
    atomic_store(&pool.ending, false);
  }
  pthread_mutex_unlock(&pool.changing);
}

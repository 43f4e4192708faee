/* Sharing out items: each is done once, workers at work at the same time are different ones, results are there when the
 * call returns; after sleep, by another library's threads, nested, from several threads at once, in a forked child,
 * with threads coming and going. */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/parallel.h"

enum { ITEMS = 1000, THREADS = 4 };

typedef struct counts {
  int done[ITEMS]; /* plain: the call must not return before it sees them */
  atomic_int at_work[THREADS], clashes;
  int threads;
} counts;

static void count(void *job, int64_t item, int worker) {
  counts *c = job;
  if (worker < 0 || worker >= c->threads || atomic_fetch_add(&c->at_work[worker], 1) != 0)
    atomic_fetch_add(&c->clashes, 1);
  c->done[item]++;
  atomic_fetch_sub(&c->at_work[worker], 1);
}

/* 0: each of `items` items was done once, and nobody met. */
static int check_items(int threads, int64_t items) {
  counts c = {.threads = threads};
  int wrong = 0;
  pleat_parallel(threads, items, count, &c);
  for (int64_t i = 0; i < ITEMS; i++) wrong += c.done[i] != (i < items);
  return wrong + atomic_load(&c.clashes);
}

START_TEST(each_item_once) {
  static const int64_t items[] = {0, 1, 2, 3, 7, ITEMS};
  for (int threads = 1; threads <= THREADS; threads++) {
    pleat_parallel_retain(threads);
    for (int again = 0; again < 300; again++) {
      for (size_t i = 0; i < sizeof items / sizeof *items; i++) ck_assert_int_eq(check_items(threads, items[i]), 0);
    }
    pleat_parallel_release();
  }
}
END_TEST

START_TEST(without_threads) {
  ck_assert_int_eq(check_items(THREADS, ITEMS), 0);
}
END_TEST

/* Long enough for the threads to fall asleep, or to be about to. */
START_TEST(after_sleep) {
  pleat_parallel_retain(THREADS);
  for (int i = 0; i < 60; i++) {
    const struct timespec pause = {.tv_nsec = i * 100000};
    nanosleep(&pause, NULL);
    ck_assert_int_eq(check_items(THREADS, ITEMS), 0);
  }
  pleat_parallel_release();
}
END_TEST

static atomic_int shared;

static void share_alone(int threads, int64_t items, void (*run)(void *job, int64_t item, int worker), void *job) {
  (void)threads;
  atomic_fetch_add(&shared, 1);
  for (int64_t item = 0; item < items; item++) run(job, item, 0);
}

/* Another library's threads get the work of the threads that say so, and of no others. */
START_TEST(rival) {
  pleat_parallel_set_rival(share_alone);
  ck_assert_int_eq(check_items(THREADS, ITEMS), 0);
  ck_assert_int_eq(atomic_load(&shared), 0);
  ck_assert(!pleat_parallel_use_rival(true));
  ck_assert_int_eq(check_items(THREADS, ITEMS), 0);
  ck_assert_int_eq(check_items(1, ITEMS), 0); /* stays here */
  ck_assert_int_eq(atomic_load(&shared), 1);
  ck_assert(pleat_parallel_use_rival(false));
  ck_assert_int_eq(check_items(THREADS, ITEMS), 0);
  ck_assert_int_eq(atomic_load(&shared), 1);
}
END_TEST

/* What each of two threads did first. */
typedef struct firsts {
  atomic_llong first[2];
} firsts;

/* Each waits in its first item for the other to begin: neither can take the other's part, however late that one comes.
 */
static void note_first(void *job, int64_t item, int worker) {
  firsts *f = job;
  long long none = -1;
  const bool is_first = atomic_compare_exchange_strong(&f->first[worker], &none, item);
  for (int i = 0; is_first && i < 10000 && atomic_load(&f->first[1 - worker]) < 0; i++) {
    const struct timespec pause = {.tv_nsec = 1000000};
    nanosleep(&pause, NULL);
  }
}

/* The same part each time: neighbouring items are neighbours in some thread's cache. */
START_TEST(own_part_first) {
  pleat_parallel_retain(2);
  for (int i = 0; i < 20; i++) {
    firsts f;
    atomic_init(&f.first[0], -1);
    atomic_init(&f.first[1], -1);
    pleat_parallel(2, ITEMS, note_first, &f);
    ck_assert_int_eq(atomic_load(&f.first[0]), 0);
    ck_assert_int_eq(atomic_load(&f.first[1]), ITEMS / 2);
  }
  pleat_parallel_release();
}
END_TEST

static void nest(void *job, int64_t item, int worker) {
  atomic_int *wrong = job;
  (void)worker;
  atomic_fetch_add(wrong, check_items(THREADS, item));
}

START_TEST(nested) {
  atomic_int wrong = 0;
  pleat_parallel_retain(THREADS);
  pleat_parallel(THREADS, 20, nest, &wrong);
  pleat_parallel_release();
  ck_assert_int_eq(atomic_load(&wrong), 0);
}
END_TEST

static void *work_alone(void *result) {
  pleat_parallel_retain(THREADS);
  for (int i = 0; i < 200; i++) *(int *)result += check_items(THREADS, ITEMS);
  pleat_parallel_release();
  return NULL;
}

START_TEST(several_callers) {
  pthread_t threads[3];
  int wrong[3] = {0};
  for (int i = 0; i < 3; i++) ck_assert_int_eq(pthread_create(&threads[i], NULL, work_alone, &wrong[i]), 0);
  for (int i = 0; i < 3; i++) {
    pthread_join(threads[i], NULL);
    ck_assert_int_eq(wrong[i], 0);
  }
}
END_TEST

#ifdef __SANITIZE_THREAD__
START_TEST(forked) {
  puts("skipped: ThreadSanitizer knows no threads in a process that several threads forked");
}
END_TEST
#else
START_TEST(forked) {
  int status = 0;
  pleat_parallel_retain(THREADS);
  ck_assert_int_eq(check_items(THREADS, ITEMS), 0);
  const pid_t child = fork();
  ck_assert_int_ge(child, 0);
  if (child == 0) {
    int wrong = check_items(THREADS, ITEMS); /* the parent's threads are not here */
    pleat_parallel_retain(THREADS);
    wrong += check_items(THREADS, ITEMS);
    pleat_parallel_release();
    pleat_parallel_release();
    _exit(wrong == 0 ? 0 : 1);
  }
  ck_assert_int_eq(waitpid(child, &status, 0), child);
  ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  ck_assert_int_eq(check_items(THREADS, ITEMS), 0);
  pleat_parallel_release();
}
END_TEST
#endif

Suite *make_suite(void);
Suite *make_suite(void) {
  Suite *suite = suite_create("core_parallel");
  TCase *tcase = tcase_create("parallel");
  tcase_set_timeout(tcase, 120);
  tcase_add_test(tcase, each_item_once);
  tcase_add_test(tcase, without_threads);
  tcase_add_test(tcase, after_sleep);
  tcase_add_test(tcase, rival);
  tcase_add_test(tcase, own_part_first);
  tcase_add_test(tcase, nested);
  tcase_add_test(tcase, several_callers);
  tcase_add_test(tcase, forked);
  suite_add_tcase(suite, tcase);
  return suite;
}

/* Checking a suite in worker processes: one fork a test, a pipe that brings the verdict as JSON, and poll() over the
 * pipes of the tests under way. The parent itself never runs a model, so that forking is safe with any thread pool. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"
#include "suite.h"

typedef struct worker {
  pid_t pid; /* 0: free */
  int fd;
  size_t test;
  uint64_t deadline; /* clock_ns(); UINT64_MAX: none */
  bool late;         /* was ended because of the deadline */
  char *text;
  size_t size;
} worker;

typedef struct pool {
  const suite *suite;
  const check_options *options;
  worker *workers;
  size_t worker_count, busy;
  int timeout;
  cJSON **verdicts;
  pleat_error *error;
} pool;

/* ---- in the worker ---- */

static cJSON *check_test(const suite_test *test, const check_options *options) {
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_status status;
  loaded loaded;
  size_t count = 0;
  char **sets = suite_data_sets(test->folder, &count);
  char *model = cli_printf("%s/model.onnx", test->folder);
  cJSON *verdict = NULL;
  if (count == 0) {
    verdict = check_verdict(test->name, "fail", "there is no test_data_set_* beside the model");
  } else if (check_open(model, options, &loaded, &error) != PLEAT_OK) {
    verdict = check_failed(test->name, &error);
  } else {
    verdict = check_sets(test->name, &loaded, options, (const char *const *)sets, count, &status);
    loaded_deinit(&loaded);
  }
  free(model);
  suite_free_names(sets);
  return verdict;
}

static _Noreturn void work(const suite_test *test, const check_options *options, int fd) {
  char *text = cJSON_PrintUnformatted(check_test(test, options));
  const char *at = text ? text : "";
  for (size_t left = strlen(at); left > 0;) {
    ssize_t written = write(fd, at, left);
    if (written < 0 && errno != EINTR) _exit(CLI_IO);
    if (written < 0) continue;
    at += written;
    left -= (size_t)written;
  }
  _exit(CLI_OK); /* the parent's buffers are not ours to flush */
}

/* ---- in the parent ---- */

static pleat_status start(pool *pool, size_t test) {
  worker *worker = pool->workers;
  while (worker->pid) worker++;
  int ends[2];
  if (pipe(ends) != 0) return cli_error(pool->error, PLEAT_IO_ERROR, NULL, "cannot make a pipe: %s", strerror(errno));
  pid_t pid = fork();
  if (pid == 0) {
    close(ends[0]);
    work(&pool->suite->tests[test], pool->options, ends[1]);
  }
  int reason = errno;
  close(ends[1]);
  if (pid < 0) {
    close(ends[0]);
    return cli_error(pool->error, PLEAT_IO_ERROR, NULL, "cannot start a process: %s", strerror(reason));
  }
  *worker = (struct worker){.pid = pid, .fd = ends[0], .test = test, .deadline = UINT64_MAX};
  if (pool->timeout > 0) worker->deadline = clock_ns() + (uint64_t)pool->timeout * 1000000000u;
  pool->busy++;
  return PLEAT_OK;
}

static void finish(pool *pool, worker *worker) {
  int status = 0;
  while (waitpid(worker->pid, &status, 0) < 0 && errno == EINTR) continue;
  close(worker->fd);
  const char *name = pool->suite->tests[worker->test].name;
  cJSON *verdict = NULL;
  char *reason = NULL;
  if (worker->late) reason = cli_printf("no result within %d seconds", pool->timeout);
  else if (WIFSIGNALED(status)) reason = cli_printf("crashed with signal %d", WTERMSIG(status));
  else if (WEXITSTATUS(status) != 0) reason = cli_printf("the worker process ended with code %d", WEXITSTATUS(status));
  else verdict = cJSON_ParseWithLength(worker->text ? worker->text : "", worker->size);
  if (!verdict) verdict = check_verdict(name, "fail", reason ? reason : "the worker process gave no verdict");
  pool->verdicts[worker->test] = verdict;
  free(reason);
  free(worker->text);
  *worker = (struct worker){0};
  pool->busy--;
}

/* Takes what a worker wrote; true at the end. */
static bool receive(worker *worker) {
  char buffer[1 << 16];
  ssize_t got = read(worker->fd, buffer, sizeof buffer);
  if (got < 0) return errno != EINTR && errno != EAGAIN;
  if (got == 0) return true;
  worker->text = cli_realloc(worker->text, worker->size + (size_t)got, 1);
  memcpy(worker->text + worker->size, buffer, (size_t)got);
  worker->size += (size_t)got;
  return false;
}

static void end_late(pool *pool) {
  uint64_t now = clock_ns();
  for (size_t i = 0; i < pool->worker_count; i++) {
    worker *worker = &pool->workers[i];
    if (!worker->pid || worker->late || now < worker->deadline) continue;
    worker->late = true;
    kill(worker->pid, SIGKILL); /* the pipe's end follows */
  }
}

/* Waits for something to happen, at most a fifth of a second, and finishes the workers that are done. */
static void wait_for_some(pool *pool, struct pollfd *polls) {
  for (size_t i = 0; i < pool->worker_count; i++)
    polls[i] = (struct pollfd){.fd = pool->workers[i].pid ? pool->workers[i].fd : -1, .events = POLLIN};
  if (poll(polls, (nfds_t)pool->worker_count, 200) > 0) {
    for (size_t i = 0; i < pool->worker_count; i++)
      if (polls[i].revents && receive(&pool->workers[i])) finish(pool, &pool->workers[i]);
  }
  end_late(pool);
}

pleat_status suite_check(const suite *suite, const check_options *options, int jobs, int timeout, cJSON **out_verdicts,
                         void (*progress)(size_t done, size_t total), pleat_error *error) {
  pool pool = {.suite = suite,
               .options = options,
               .worker_count = (size_t)jobs,
               .timeout = timeout,
               .verdicts = out_verdicts,
               .error = error};
  pool.workers = cli_calloc((size_t)jobs, sizeof *pool.workers);
  struct pollfd *polls = cli_calloc((size_t)jobs, sizeof *polls);
  pleat_status status = PLEAT_OK;
  size_t started = 0;
  while (pool.busy > 0 || (started < suite->count && status == PLEAT_OK)) {
    while (status == PLEAT_OK && started < suite->count && pool.busy < pool.worker_count) {
      status = start(&pool, started);
      started += status == PLEAT_OK;
    }
    if (pool.busy > 0) wait_for_some(&pool, polls);
    progress(started - pool.busy, suite->count);
  }
  free(polls);
  free(pool.workers);
  return status;
}

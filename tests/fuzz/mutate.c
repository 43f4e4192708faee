/* The deterministic robustness test: mutated models must never crash the library, hang it or make it leak.
 *
 * Every mutation has a number; the seed, the model and the number alone decide what it does, so each can be run again
 * by itself. Half of them change the bytes, half the decoded message (mutate_message.c). Children run them in batches
 * under limits on memory and time. When a child dies or exits with an error (a sanitizer's report), each mutation of
 * its batch is run again in a child of its own to find the guilty one, which is named and written to a file. Most
 * mutations avoid the weights, which are most of a file but hardly ever decide. */
#define _DEFAULT_SOURCE 1 /* MAP_ANONYMOUS */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exercise.h"
#include "mutate_message.h"
#include "proto/proto.h"

enum { BATCH = 50, DEFAULT_COUNT = 1000, MAX_REPORTED = 20, MAX_SECONDS = 30, MAX_PIECE = 32 };
#define MAX_MEMORY ((rlim_t)1 << 30)

typedef struct subject {
  const char *path;
  unsigned char *bytes;
  size_t size;
  size_t *places; /* offsets that are not weights */
  size_t place_count;
  uint64_t seed;
} subject;

/* Shared with the children. */
typedef struct tally {
  size_t stages[EXERCISE_STAGE_COUNT];
} tally;

/* ---- mutations ---- */

static size_t choose_place(const subject *subject, uint64_t *state) {
  if (subject->place_count == 0 || below(state, 8) == 0) return below(state, subject->size);
  return subject->places[below(state, subject->place_count)];
}

/* A mutation of the bytes. New memory of *out_size bytes, at most MAX_PIECE more than the model has. */
static unsigned char *mutate_bytes(const subject *subject, uint64_t *state, size_t *out_size) {
  static const unsigned char edges[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
  size_t size = subject->size, place = choose_place(subject, state);
  unsigned char *bytes = malloc(size + MAX_PIECE);
  if (!bytes) return NULL;
  memcpy(bytes, subject->bytes, size);
  size_t piece = 1 + below(state, size - place < MAX_PIECE ? size - place : MAX_PIECE);
  switch (below(state, 8)) {
  case 0:
    size = place;
    break;
  case 1:
    bytes[place] = edges[below(state, sizeof edges)];
    break;
  case 2: /* take a piece out */
    memmove(bytes + place, bytes + place + piece, size - place - piece);
    size -= piece;
    break;
  case 3: /* put a piece in */
    memmove(bytes + place + piece, bytes + place, size - place);
    memset(bytes + place, edges[below(state, sizeof edges)], piece);
    size += piece;
    break;
  case 4: /* another place's bytes */
    memmove(bytes + place, bytes + below(state, size - piece + 1), piece);
    break;
  default: /* one to four bits, not all at the same place */
    for (size_t bits = 1 + below(state, 4); bits > 0; bits--, place = choose_place(subject, state))
      bytes[place] ^= (unsigned char)(1u << below(state, 8));
  }
  *out_size = size;
  return bytes;
}

/* Mutation `number` of the model: of its bytes, or (odd numbers) of what they say. */
static unsigned char *mutate(const subject *subject, size_t number, size_t *out_size) {
  uint64_t state = subject->seed ^ ((uint64_t)number * UINT64_C(0xd1342543de82ef95));
  if (number % 2 == 0) return mutate_bytes(subject, &state, out_size);
  return mutate_message(subject->bytes, subject->size, &state, out_size);
}

/* ---- children ---- */

static void limit_resources(void) {
  struct rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
#ifndef PLEAT_TEST_SANITIZED /* a sanitizer reserves terabytes of addresses */
  struct rlimit memory = {MAX_MEMORY, MAX_MEMORY};
  setrlimit(RLIMIT_AS, &memory);
#endif
}

/* Runs mutations [first, last) in a child; its wait status. */
static int run_child(const subject *subject, size_t first, size_t last, tally *tally) {
  fflush(NULL);
  pid_t child = fork();
  if (child < 0) {
    perror("mutate: fork");
    exit(EXIT_FAILURE);
  }
  if (child == 0) {
    limit_resources();
    for (size_t number = first; number < last; number++) {
      size_t size = 0;
      unsigned char *bytes = mutate(subject, number, &size);
      alarm(MAX_SECONDS);
      if (bytes) tally->stages[exercise_model(bytes, size)]++;
      free(bytes);
    }
    exit(EXIT_SUCCESS); /* not _exit: leaks are looked for at exit */
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

static void describe_status(int status, char *text, size_t size) {
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) snprintf(text, size, "more than %d seconds", MAX_SECONDS);
  else if (WIFSIGNALED(status)) snprintf(text, size, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
  else snprintf(text, size, "exit code %d", WEXITSTATUS(status));
}

static void report(const subject *subject, size_t number, int status) {
  char text[128], path[128];
  size_t size = 0;
  unsigned char *bytes = mutate(subject, number, &size);
  describe_status(status, text, sizeof text);
  snprintf(path, sizeof path, "mutant-%llu-%zu.onnx", (unsigned long long)subject->seed, number);
  FILE *file = bytes ? fopen(path, "wb") : NULL;
  bool written = file && fwrite(bytes, 1, size, file) == size;
  if (file && fclose(file) != 0) written = false;
  printf("FAIL: %s: mutation %zu: %s; again with --only %zu%s%s\n", subject->path, number, text, number,
         written ? "; written to " : "", written ? path : "");
  free(bytes);
}

/* All mutations [first, last); how many failed. */
static size_t run_batches(const subject *subject, size_t first, size_t last, tally *tally) {
  size_t failed = 0;
  for (size_t start = first; start < last && failed < MAX_REPORTED; start += BATCH) {
    size_t end = last - start < BATCH ? last : start + BATCH, found = 0;
    int status = run_child(subject, start, end, tally);
    if (status == 0) continue;
    for (size_t number = start; number < end; number++) {
      int single = run_child(subject, number, number + 1, tally);
      if (single == 0) continue;
      report(subject, number, single);
      found++;
    }
    if (found == 0) {
      char text[128];
      describe_status(status, text, sizeof text);
      printf("FAIL: %s: mutations %zu to %zu: %s, only together\n", subject->path, start, end - 1, text);
      found = 1;
    }
    failed += found;
  }
  return failed;
}

/* ---- subjects ---- */

static bool read_file(const char *path, unsigned char **out_bytes, size_t *out_size) {
  FILE *file = fopen(path, "rb");
  long size = -1;
  unsigned char *bytes = NULL;
  if (file && fseek(file, 0, SEEK_END) == 0) size = ftell(file);
  if (size > 0 && fseek(file, 0, SEEK_SET) == 0) bytes = malloc((size_t)size);
  bool done = bytes && fread(bytes, 1, (size_t)size, file) == (size_t)size;
  if (file) fclose(file);
  if (!done) free(bytes);
  *out_bytes = done ? bytes : NULL;
  *out_size = done ? (size_t)size : 0;
  return done;
}

/* Finds the weights' bytes in the file: they lie there as they are in the decoded message. */
static void mark_weights(const subject *subject, bool *is_weight) {
  pleat_proto *proto = NULL;
  if (pleat_proto_load_memory(subject->bytes, subject->size, NULL, &proto, NULL) != PLEAT_OK) return;
  const Onnx__GraphProto *graph = pleat_proto_model(proto)->graph;
  for (size_t i = 0; graph && i < graph->n_initializer; i++) {
    const ProtobufCBinaryData raw = graph->initializer[i]->raw_data;
    if (raw.len < 64) continue; /* small ones are shapes and axes */
    for (size_t at = 0; at + raw.len <= subject->size; at++) {
      if (memcmp(subject->bytes + at, raw.data, raw.len) != 0) continue;
      memset(is_weight + at, 1, raw.len);
      break;
    }
  }
  pleat_proto_destroy(proto);
}

static bool subject_init(subject *subject, const char *path, uint64_t seed) {
  *subject = (struct subject){.path = path, .seed = seed};
  if (!read_file(path, &subject->bytes, &subject->size)) return false;
  bool *is_weight = calloc(subject->size, sizeof *is_weight);
  subject->places = malloc(subject->size * sizeof *subject->places);
  if (is_weight && subject->places) {
    mark_weights(subject, is_weight);
    for (size_t i = 0; i < subject->size; i++)
      if (!is_weight[i]) subject->places[subject->place_count++] = i;
  }
  free(is_weight);
  return subject->places != NULL;
}

static void subject_deinit(subject *subject) {
  free(subject->bytes);
  free(subject->places);
}

/* 0 when all is well. */
static int check(const char *path, uint64_t seed, size_t first, size_t last, tally *tally) {
  subject subject;
  if (!subject_init(&subject, path, seed)) {
    printf("FAIL: %s: cannot be read\n", path);
    subject_deinit(&subject);
    return 1;
  }
  *tally = (struct tally){0};
  size_t failed = run_batches(&subject, first, last, tally);
  const size_t *stages = tally->stages;
  printf("%s: seed %llu, mutations %zu to %zu: %zu refused, %zu loaded only, %zu folded, %zu compiled, %zu ran, %zu "
         "failed\n",
         path, (unsigned long long)seed, first, last - 1, stages[EXERCISE_REFUSED], stages[EXERCISE_LOADED],
         stages[EXERCISE_FOLDED], stages[EXERCISE_COMPILED], stages[EXERCISE_RAN], failed);
  if (last - first >= BATCH && (stages[EXERCISE_REFUSED] == 0 || stages[EXERCISE_REFUSED] == last - first)) {
    printf("FAIL: %s: the mutations do not probe anything: all of them are refused, or none\n", path);
    failed++;
  }
  subject_deinit(&subject);
  return failed > 0;
}

static bool number_from(const char *text, size_t *out_number) {
  char *end = NULL;
  errno = 0;
  unsigned long long value = text ? strtoull(text, &end, 10) : 0;
  if (!text || end == text || *end || errno) return false;
  *out_number = (size_t)value;
  return true;
}

int main(int argc, char **argv) {
  size_t seed = 1, first = 0, count = DEFAULT_COUNT;
  int result = 0, models = 1;
  if (getenv("PLEAT_FUZZ_SEED") && !number_from(getenv("PLEAT_FUZZ_SEED"), &seed)) models = argc;
  if (getenv("PLEAT_FUZZ_COUNT") && !number_from(getenv("PLEAT_FUZZ_COUNT"), &count)) models = argc;
  if (argc > 2 && strcmp(argv[1], "--only") == 0) {
    models = number_from(argv[2], &first) ? 3 : argc;
    count = 1;
  }
  if (models >= argc || count == 0) {
    fprintf(stderr, "usage: [PLEAT_FUZZ_SEED=N] [PLEAT_FUZZ_COUNT=N] mutate [--only NUMBER] MODEL...\n");
    return 2;
  }
  tally *tally = mmap(NULL, sizeof *tally, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (tally == MAP_FAILED) {
    perror("mutate: mmap");
    return EXIT_FAILURE;
  }
  for (int i = models; i < argc; i++) result |= check(argv[i], seed, first, first + count, tally);
  munmap(tally, sizeof *tally);
  return result;
}

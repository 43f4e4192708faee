/* The benchmark's worker: a long-lived process around one engine that obeys lines on stdin and answers each with one
 * line on stdout. Fields are separated by tabs; an answer is "ok" with its fields, or "error" with a message:
 *
 *   load MODEL THREADS                  -> ok NANOSECONDS
 *   input NAME DTYPE FILE DIM...        -> ok            (FILE: the elements as they lie in memory)
 *   run UNTIMED TIMED                   -> ok NANOSECONDS...   (one for each timed run)
 *   save FOLDER                         -> ok DTYPE:DIM,DIM... (one for each output, written to FOLDER/<index>)
 *
 * End of file on stdin ends it. Only the call into the engine lies between the two readings of the clock. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine.h"

enum { MAX_FIELDS = 32, MAX_INPUTS = 64, MAX_RUNS = 1000000 };

char engine_message[ENGINE_MESSAGE_SIZE];

static void *input_data[MAX_INPUTS];
static size_t input_count;

bool engine_fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(engine_message, sizeof engine_message, format, arguments);
  va_end(arguments);
  return false;
}

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static bool parse(const char *text, int64_t least, int64_t most, int64_t *out_value) {
  char *end = NULL;
  errno = 0;
  long long value = strtoll(text, &end, 10);
  if (errno || end == text || *end || value < least || value > most)
    return engine_fail("expected a whole number from %lld to %lld, found '%s'", (long long)least, (long long)most,
                       text);
  *out_value = value;
  return true;
}

/* A whole file in memory that is aligned for any type, and for vectors. */
static bool read_file(const char *path, void **out_data, size_t *out_bytes) {
  void *data = NULL;
  FILE *file = fopen(path, "rb");
  if (!file) return engine_fail("%s: %s", path, strerror(errno));
  if (fseek(file, 0, SEEK_END)) goto fail;
  long size = ftell(file);
  if (size < 0 || fseek(file, 0, SEEK_SET)) goto fail;
  if (posix_memalign(&data, 64, size > 0 ? (size_t)size : 1)) goto fail;
  if (fread(data, 1, (size_t)size, file) != (size_t)size) goto fail;
  fclose(file);
  *out_data = data;
  *out_bytes = (size_t)size;
  return true;

fail:
  free(data);
  fclose(file);
  return engine_fail("%s: cannot be read", path);
}

static bool do_load(char **fields, int count) {
  int64_t threads = 0;
  if (count != 3) return engine_fail("load takes a model and a number of threads");
  if (!parse(fields[2], 1, 1024, &threads)) return false;
  int64_t start = now();
  if (!engine_load(fields[1], (int)threads)) return false;
  printf("ok\t%lld\n", (long long)(now() - start));
  return true;
}

static bool do_input(char **fields, int count) {
  engine_tensor tensor = {0};
  int64_t dtype = 0;
  if (count < 4 || count - 4 > ENGINE_MAX_RANK) return engine_fail("input takes a name, type, file and dimensions");
  if (input_count == MAX_INPUTS) return engine_fail("more than %d inputs", MAX_INPUTS);
  if (!parse(fields[2], 1, 64, &dtype)) return false;
  tensor.dtype = (int)dtype;
  tensor.rank = count - 4;
  for (int i = 0; i < tensor.rank; i++)
    if (!parse(fields[4 + i], 0, INT32_MAX, &tensor.dims[i])) return false;
  if (!read_file(fields[3], &tensor.data, &tensor.bytes)) return false;
  input_data[input_count++] = tensor.data;
  if (!engine_set_input(fields[1], &tensor)) return false;
  printf("ok\n");
  return true;
}

static bool do_run(char **fields, int count) {
  int64_t untimed = 0, timed = 0, *times = NULL;
  if (count != 3) return engine_fail("run takes the number of untimed and of timed runs");
  if (!parse(fields[1], 0, MAX_RUNS, &untimed) || !parse(fields[2], 0, MAX_RUNS, &timed)) return false;
  for (int64_t i = 0; i < untimed; i++)
    if (!engine_run()) return false;
  times = malloc(((size_t)timed + 1) * sizeof *times);
  if (!times) return engine_fail("no memory for %lld times", (long long)timed);
  for (int64_t i = 0; i < timed; i++) {
    int64_t start = now();
    if (!engine_run()) goto fail;
    times[i] = now() - start;
  }
  printf("ok");
  for (int64_t i = 0; i < timed; i++) printf("\t%lld", (long long)times[i]);
  printf("\n");
  free(times);
  return true;

fail:
  free(times);
  return false;
}

static bool save_output(const char *folder, size_t index) {
  engine_tensor tensor = {0};
  char path[4096];
  if (!engine_output(index, &tensor)) return false;
  if (snprintf(path, sizeof path, "%s/%zu", folder, index) >= (int)sizeof path)
    return engine_fail("the folder's name is too long");
  FILE *file = fopen(path, "wb");
  if (!file) return engine_fail("%s: %s", path, strerror(errno));
  bool written = tensor.bytes == 0 || fwrite(tensor.data, 1, tensor.bytes, file) == tensor.bytes;
  return fclose(file) == 0 && written ? true : engine_fail("%s: cannot be written", path);
}

static bool do_save(char **fields, int count) {
  if (count != 2) return engine_fail("save takes a folder");
  for (size_t i = 0; i < engine_output_count(); i++)
    if (!save_output(fields[1], i)) return false;
  printf("ok");
  for (size_t i = 0; i < engine_output_count(); i++) {
    engine_tensor tensor = {0};
    engine_output(i, &tensor);
    printf("\t%d:", tensor.dtype);
    for (int d = 0; d < tensor.rank; d++) printf("%s%lld", d ? "," : "", (long long)tensor.dims[d]);
  }
  printf("\n");
  return true;
}

static const struct {
  const char *name;
  bool (*run)(char **fields, int count);
} commands[] = {{"load", do_load}, {"input", do_input}, {"run", do_run}, {"save", do_save}};

static bool obey(char *line) {
  char *fields[MAX_FIELDS];
  int count = 0;
  line[strcspn(line, "\r\n")] = '\0';
  for (char *at = line; at; count++) {
    if (count == MAX_FIELDS) return engine_fail("more than %d fields", MAX_FIELDS);
    fields[count] = at;
    at = strchr(at, '\t');
    if (at) *at++ = '\0';
  }
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
    if (!strcmp(fields[0], commands[i].name)) return commands[i].run(fields, count);
  return engine_fail("unknown command '%s': expected load, input, run or save", fields[0]);
}

int main(int argc, char **argv) {
  char *line = NULL;
  size_t size = 0;
  if (!engine_start(argc > 1 ? argv[1] : NULL)) return fprintf(stderr, "%s\n", engine_message), 1;
  while (getline(&line, &size, stdin) >= 0) {
    if (!obey(line)) {
      for (char *c = engine_message; *c; c++)
        if (*c == '\n' || *c == '\t') *c = ' ';
      printf("error\t%s\n", engine_message);
    }
    fflush(stdout);
  }
  free(line);
  engine_stop();
  for (size_t i = 0; i < input_count; i++) free(input_data[i]);
  return 0;
}

/* The file of tuning results: text, one line a result, fields separated by tabs:
 *
 *   # pleat tuning 1
 *   <checksum> <machine> <threads> <problem> <kernel> <variant> <nanoseconds>
 *
 * The checksum (FNV-1a, 32 bits, in hexadecimal) is over what follows it and its tab. A file is taken as a whole or not
 * at all: one damaged line, and all is measured again and the file written anew. A file that does not begin with the
 * first line's words is somebody else's, and is never written to. Lines of other machines are kept, so that a folder
 * can be shared. Writing reads the file once more, adds its news and renames a new file over it: two processes never
 * leave a damaged file, but of two that end at the same moment, one's news may be lost and measured again. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/file.h"
#include "tune/tune_private.h"

#define MAGIC      "# pleat tuning "
#define FIRST_LINE MAGIC "1\n"

enum { FIELDS = 7, LIMIT_BYTES = 16 << 20, LIMIT_ENTRIES = 20000 };

void pleat_tune_warn(pleat_tune_store *store, const char *text) {
  if (store->warning[0] == '\0' && text != NULL) store->warning = text;
}

static void warn_file(pleat_tune_store *store, const char *what) {
  pleat_tune_warn(store, pleat_arena_printf(store->arena, "%s: %s", store->path, what));
}

static bool same_key(const pleat_tune_entry *a, const pleat_tune_entry *b) {
  return a->threads == b->threads && strcmp(a->problem, b->problem) == 0 && strcmp(a->machine, b->machine) == 0;
}

static pleat_tune_entry *find(const pleat_tune_store *store, const pleat_tune_entry *key) {
  for (size_t i = 0; i < store->count; i++) {
    if (same_key(&store->entries[i], key)) return &store->entries[i];
  }
  return NULL;
}

const pleat_tune_entry *pleat_tune_find(const pleat_tune_store *store, const pleat_tune_entry *key) {
  return find(store, key);
}

bool pleat_tune_add(pleat_tune_store *store, const pleat_tune_entry *entry) {
  pleat_tune_entry *known = find(store, entry), copy = *entry;
  copy.machine = pleat_arena_strdup(store->arena, entry->machine);
  copy.problem = pleat_arena_strdup(store->arena, entry->problem);
  copy.kernel = pleat_arena_strdup(store->arena, entry->kernel);
  copy.variant = pleat_arena_strdup(store->arena, entry->variant);
  if (copy.machine == NULL || copy.problem == NULL || copy.kernel == NULL || copy.variant == NULL) return false;
  if (known == NULL) return PLEAT_PUSH(store->arena, store->entries, store->count, store->capacity, copy);
  *known = copy;
  return true;
}

/* ---- reading ---- */

static uint32_t checksum(const char *text) {
  uint32_t sum = 2166136261u;
  for (; *text != '\0'; text++) sum = (sum ^ (unsigned char)*text) * 16777619u;
  return sum;
}

static bool read_number(const char *text, uint64_t limit, uint64_t *out_value) {
  char *end = NULL;
  if (*text < '0' || *text > '9') return false;
  errno = 0;
  const unsigned long long value = strtoull(text, &end, 10);
  *out_value = value;
  return errno == 0 && *end == '\0' && value <= limit;
}

/* Splits and checks one line, without its end. */
static bool read_line(char *line, pleat_tune_entry *out_entry) {
  char *fields[FIELDS] = {line}, sum[16];
  size_t count = 1;
  uint64_t threads = 0;
  char *tab = strchr(line, '\t');
  if (tab == NULL) return false;
  snprintf(sum, sizeof sum, "%08" PRIx32 "\t", checksum(tab + 1));
  if (strncmp(line, sum, strlen(sum)) != 0) return false;
  for (; tab != NULL; tab = strchr(tab, '\t')) {
    if (count == FIELDS) return false;
    *tab++ = '\0';
    fields[count++] = tab;
  }
  if (count != FIELDS || !read_number(fields[2], 1 << 16, &threads)) return false;
  *out_entry = (pleat_tune_entry){
      .machine = fields[1], .threads = (int)threads, .problem = fields[3], .kernel = fields[4], .variant = fields[5]};
  return read_number(fields[6], UINT64_MAX, &out_entry->nanoseconds);
}

static const char *parse(pleat_tune_store *store, char *text) {
  if (strncmp(text, MAGIC, strlen(MAGIC)) != 0) {
    store->foreign = true;
    return "it is no tuning file of Pleat's and is left alone: nothing is remembered";
  }
  if (strncmp(text, FIRST_LINE, strlen(FIRST_LINE)) != 0) return "it is of another version of Pleat: written anew";
  for (char *line = text + strlen(FIRST_LINE); *line != '\0';) {
    pleat_tune_entry entry;
    char *end = strchr(line, '\n');
    if (end == NULL) return "its end is missing: written anew";
    *end = '\0';
    if (!read_line(line, &entry)) return "it is damaged: written anew";
    if (find(store, &entry) == NULL && !pleat_tune_add(store, &entry)) return "out of memory";
    line = end + 1;
  }
  return NULL;
}

/* Adds what the file has and the store has not; forgets all of a damaged one. */
void pleat_tune_load(pleat_tune_store *store) {
  const size_t before = store->count;
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_mapping file;
  struct stat info;
  if (store->path == NULL || (stat(store->path, &info) != 0 && errno == ENOENT)) return;
  if (pleat_mapping_open(store->path, LIMIT_BYTES, &file, &error) != PLEAT_OK) {
    warn_file(store, pleat_arena_strdup(store->arena, error.message));
    return;
  }
  const char *problem = NULL;
  if (file.size > LIMIT_BYTES) {
    store->foreign = true;
    problem = "too large for a tuning file: left alone, nothing is remembered";
  } else if (file.size > 0) {
    char *text = pleat_arena_strndup(store->arena, (const char *)file.data, file.size);
    problem = text != NULL ? parse(store, text) : "out of memory";
  }
  pleat_mapping_close(&file);
  if (problem == NULL) return;
  store->count = before;
  warn_file(store, problem);
}

/* ---- writing ---- */

static void write_entry(pleat_output *out, const pleat_tune_entry *entry, pleat_arena *arena) {
  char sum[16];
  const char *line = pleat_arena_printf(arena, "%s\t%d\t%s\t%s\t%s\t%" PRIu64, entry->machine, entry->threads,
                                        entry->problem, entry->kernel, entry->variant, entry->nanoseconds);
  if (line == NULL) return; /* one result is lost */
  snprintf(sum, sizeof sum, "%08" PRIx32 "\t", checksum(line));
  pleat_output_write(out, sum, strlen(sum));
  pleat_output_write(out, line, strlen(line));
  pleat_output_write(out, "\n", 1);
}

void pleat_tune_write(pleat_tune_store *store) {
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_output out = PLEAT_OUTPUT_INIT;
  if (store->path == NULL || store->foreign) return;
  pleat_tune_load(store);
  if (store->foreign) return;
  const size_t first = store->count > LIMIT_ENTRIES ? store->count - LIMIT_ENTRIES : 0; /* the oldest go */
  pleat_status status = pleat_output_open(store->path, &out, &error);
  if (status == PLEAT_OK) {
    pleat_output_write(&out, FIRST_LINE, strlen(FIRST_LINE));
    for (size_t i = first; i < store->count; i++) write_entry(&out, &store->entries[i], store->arena);
    status = pleat_output_finish(&out, &error);
    if (status == PLEAT_OK) status = pleat_output_publish(&out, &error);
    pleat_output_close(&out);
  }
  if (status != PLEAT_OK) warn_file(store, pleat_arena_strdup(store->arena, error.message));
}

const char *pleat_tune_default_path(pleat_arena *arena) {
  const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  const char *folders[2];
  if (base != NULL && base[0] == '/') folders[0] = base; /* relative ones are to be ignored */
  else if (home != NULL && home[0] == '/') folders[0] = pleat_arena_printf(arena, "%s/.cache", home);
  else return NULL;
  if (folders[0] == NULL) return NULL;
  folders[1] = pleat_arena_printf(arena, "%s/pleat", folders[0]);
  if (folders[1] == NULL) return NULL;
  for (size_t i = 0; i < 2; i++) (void)mkdir(folders[i], 0700); /* opening the file tells when this went wrong */
  return pleat_arena_printf(arena, "%s/tuning.tsv", folders[1]);
}

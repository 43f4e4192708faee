/* runtime/tune: choosing by measuring, with kernels of which the fast one is known, and the file of results. Sessions
 * that tune real operators: test_session_tune.c. */
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "suite.h"
#include "tensors.h"
#include "tune/tune.h"

/* ---- an operator with kernels of known speed ---- */

static int calls; /* runs of any of its kernels */

static void wait_us(long microseconds) {
  const struct timespec time = {.tv_nsec = microseconds * 1000};
  if (microseconds > 0) nanosleep(&time, NULL); /* which takes longer on a busy machine: the fast one does without */
}

static pleat_status run_slow(const pleat_call *call) {
  (void)call;
  calls++;
  wait_us(6000);
  return PLEAT_OK;
}

/* The variants of "fast" wait as long as `variant_us` says; the second is not exact, the third never available. */
static const long variant_us[] = {0, 3000, 0, 0};

static pleat_status prepare_fast(pleat_call *call) {
  if (call->variant == 0) call->variant = 1;
  if (call->variant == 3 || (call->variant == 2 && call->exact))
    return pleat_fail(call->error, PLEAT_UNSUPPORTED, "not this variant");
  int *state = pleat_call_state(call, sizeof *state);
  if (state == NULL) return PLEAT_OOM(call->error);
  *state = call->variant;
  return PLEAT_OK;
}

static pleat_status run_fast(const pleat_call *call) {
  calls++;
  wait_us(variant_us[*(const int *)call->state]);
  return PLEAT_OK;
}

static const char *const variants[] = {"plain", "clever", "impossible", NULL};
static const pleat_kernel slow = {.name = "slow", .run = run_slow};
static const pleat_kernel fast = {.name = "fast", .variants = variants, .prepare = prepare_fast, .run = run_fast};
static const pleat_kernel *const kernels[] = {&slow, &fast, NULL};
static const pleat_op_version op_versions[] = {{.since = 1, .min_inputs = 1, .max_inputs = 1}, {0}};
static const pleat_op_attr op_attrs[] = {{.name = "size", .type = PLEAT_ATTR_INT, .i = 3}, {0}};

static double some_macs(const pleat_infer *ctx) {
  (void)ctx;
  return 1;
}

static const pleat_op_def op = {.domain = "test",
                                .name = "Race",
                                .versions = op_versions,
                                .attrs = op_attrs,
                                .kernels = kernels,
                                .macs = some_macs};

/* ---- one choice ---- */

typedef struct choice {
  char kernel[32], variant[32], declined[256];
  bool tuned;
  pleat_tuning_info info; /* path and warning: copies below */
  char warning[512];
  int calls;
} choice;

typedef struct request {
  const char *path;
  int threads; /* 0: 1 */
  bool exact;
  int64_t size, length; /* the attribute; the tensors' only dimension. 0: 3 and 4 */
} request;

/* Takes a kernel for the operator with a tuner of its own, and saves. */
static choice choose(request r) {
  choice c = {.calls = 0};
  pleat_tuner *tuner = NULL;
  pleat_arena *arena = pleat_arena_create();
  const int64_t dims[] = {r.length != 0 ? r.length : 4};
  pleat_attr attr = {.name = "size", .type = PLEAT_ATTR_INT, .i = r.size != 0 ? r.size : 3};
  pleat_node node = {.op_type = "Race", .domain = "test", .def = &op, .version = op_versions, .attrs = &attr};
  pleat_tensor x, y, *output = &y;
  const pleat_tensor *input = &x;
  pleat_error error = PLEAT_ERROR_INIT;
  const pleat_kernel *kernel = NULL;
  node.attr_count = node.input_count = node.output_count = 1;
  ck_assert(pleat_tensor_describe(&x, PLEAT_FLOAT, 1, dims));
  y = x;
  pleat_call call = {.node = &node,
                     .version = op_versions,
                     .input_count = 1,
                     .output_count = 1,
                     .inputs = &input,
                     .outputs = &output,
                     .threads = r.threads != 0 ? r.threads : 1,
                     .exact = r.exact,
                     .arena = arena,
                     .error = &error};
  calls = 0;
  ck_assert_int_eq(pleat_tuner_create(r.path, &tuner, NULL), PLEAT_OK);
  ck_assert_msg(pleat_tuner_take(tuner, &call, c.declined, sizeof c.declined, &kernel, &c.tuned) == PLEAT_OK, "%s",
                error.message);
  snprintf(c.kernel, sizeof c.kernel, "%s", kernel->name);
  snprintf(c.variant, sizeof c.variant, "%s", pleat_kernel_variant(kernel, &call));
  pleat_kernel_release(kernel, &call);
  pleat_tuner_save(tuner);
  pleat_tuner_describe(tuner, &c.info);
  snprintf(c.warning, sizeof c.warning, "%s", c.info.warning);
  c.calls = calls;
  pleat_tuner_destroy(tuner);
  pleat_arena_destroy(arena);
  return c;
}

static void check_measured(const choice *c, const char *kernel, const char *variant) {
  ck_assert_msg(strcmp(c->kernel, kernel) == 0 && strcmp(c->variant, variant) == 0, "found %s %s; %s; %s", c->kernel,
                c->variant, c->declined, c->warning);
  ck_assert(c->tuned);
  ck_assert_uint_eq(c->info.measured, 1);
  ck_assert_uint_eq(c->info.remembered, 0);
  ck_assert_int_gt(c->calls, 0);
}

static void check_remembered(const choice *c, const char *kernel, const char *variant) {
  ck_assert_str_eq(c->kernel, kernel);
  ck_assert_str_eq(c->variant, variant);
  ck_assert(c->tuned);
  ck_assert_uint_eq(c->info.measured, 0);
  ck_assert_uint_eq(c->info.remembered, 1);
  ck_assert_int_eq(c->calls, 0);
  ck_assert_str_eq(c->warning, "");
}

/* ---- files ---- */

static char folder[64], path[96];

static void make_folder(void) {
  snprintf(folder, sizeof folder, "/tmp/pleat_tune_XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/tuning.tsv", folder);
}

static void remove_folder(void) {
  unlink(path);
  ck_assert_int_eq(rmdir(folder), 0); /* fails when a temporary file was left */
}

static char *read_text(void) {
  char *text = calloc(1, 1 << 16);
  FILE *file = fopen(path, "rb");
  ck_assert_ptr_nonnull(file);
  ck_assert_uint_lt(fread(text, 1, (1 << 16) - 1, file), (1 << 16) - 1);
  fclose(file);
  return text;
}

static void write_text(const char *text) {
  FILE *file = fopen(path, "wb");
  ck_assert_ptr_nonnull(file);
  fputs(text, file);
  fclose(file);
}

static size_t count_lines(void) {
  char *text = read_text();
  size_t lines = 0;
  for (const char *c = text; *c != '\0'; c++) lines += *c == '\n';
  free(text);
  return lines;
}

/* Replaces `from` by `to` in the first result, whose checksum is made right again. */
static void forge(const char *from, const char *to) {
  char *text = read_text(), line[1024], made[1200];
  char *start = strchr(text, '\n') + 1, *body = strchr(start, '\t') + 1, *at = strstr(body, from);
  uint32_t sum = 2166136261u;
  ck_assert_msg(at != NULL, "'%s' is not in: %s", from, text);
  start[strcspn(start, "\n")] = '\0';
  snprintf(line, sizeof line, "%.*s%s%s", (int)(at - body), body, to, at + strlen(from));
  for (const char *c = line; *c != '\0'; c++) sum = (sum ^ (unsigned char)*c) * 16777619u;
  *start = '\0';
  snprintf(made, sizeof made, "%s%08x\t%s\n", text, (unsigned)sum, line);
  write_text(made);
  free(text);
}

/* ---- choosing ---- */

START_TEST(the_fastest_variant_wins) {
  const choice c = choose((request){.path = path});
  check_measured(&c, "fast", "clever");
  ck_assert_str_eq(c.warning, "");
  ck_assert_msg(strstr(c.declined, "slower: slow ") != NULL && strstr(c.declined, "fast plain ") != NULL, "%s",
                c.declined);
  ck_assert_msg(strstr(c.declined, "impossible") == NULL, "%s", c.declined);
}
END_TEST

START_TEST(a_hit_times_nothing) {
  choose((request){.path = path});
  const choice c = choose((request){.path = path});
  check_remembered(&c, "fast", "clever");
}
END_TEST

START_TEST(exact_is_another_problem) {
  choice c = choose((request){.path = path});
  c = choose((request){.path = path, .exact = true});
  check_measured(&c, "fast", "plain");
  c = choose((request){.path = path, .exact = true});
  check_remembered(&c, "fast", "plain");
  c = choose((request){.path = path});
  check_remembered(&c, "fast", "clever");
}
END_TEST

START_TEST(another_problem_is_measured) {
  static const request others[] = {{.size = 5}, {.length = 9}, {.threads = 2}};
  choose((request){.path = path});
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    request r = others[i];
    r.path = path;
    choice c = choose(r);
    check_measured(&c, "fast", "clever");
    c = choose(r);
    check_remembered(&c, "fast", "clever");
  }
  ck_assert_uint_eq(count_lines(), 5);
}
END_TEST

/* ---- results that do not hold ---- */

START_TEST(another_machine_is_measured_and_kept) {
  choose((request){.path = path});
  forge("pleat ", "pleat 0.0.0, an other machine of ");
  choice c = choose((request){.path = path});
  check_measured(&c, "fast", "clever");
  ck_assert_str_eq(c.warning, "");
  ck_assert_uint_eq(count_lines(), 3);
  c = choose((request){.path = path});
  check_remembered(&c, "fast", "clever");
}
END_TEST

START_TEST(a_kernel_that_is_gone_or_declines) {
  static const char *const forged[][2] = {
      {"\tfast\t", "\tgone\t"}, {"\tclever\t", "\tgone\t"}, {"\tclever\t", "\timpossible\t"}};
  for (size_t i = 0; i < sizeof forged / sizeof *forged; i++) {
    unlink(path);
    choose((request){.path = path});
    forge(forged[i][0], forged[i][1]);
    choice c = choose((request){.path = path});
    check_measured(&c, "fast", "clever");
    c = choose((request){.path = path});
    check_remembered(&c, "fast", "clever");
    ck_assert_uint_eq(count_lines(), 2);
  }
}
END_TEST

START_TEST(what_the_file_says_is_believed) {
  choose((request){.path = path});
  forge("\tclever\t", "\tplain\t");
  const choice c = choose((request){.path = path});
  check_remembered(&c, "fast", "plain");
}
END_TEST

/* Everything of a damaged file is forgotten, with a warning, and the file is good again afterwards. */
static void check_damaged(const char *text, const char *warning) {
  write_text(text);
  choice c = choose((request){.path = path});
  check_measured(&c, "fast", "clever");
  ck_assert_msg(strstr(c.warning, warning) != NULL && strstr(c.warning, path) != NULL, "%s", c.warning);
  c = choose((request){.path = path});
  check_remembered(&c, "fast", "clever");
}

START_TEST(damaged_files) {
  choose((request){.path = path});
  char *good = read_text(), *bad = calloc(1, 2048);
  const size_t length = strlen(good);
  for (size_t at = strlen("# pleat tuning "); at < length; at += 7) { /* one byte changed */
    snprintf(bad, 2048, "%s", good);
    bad[at] = bad[at] == 'x' ? 'y' : 'x';
    check_damaged(bad, "written anew");
  }
  for (size_t at = strlen("# pleat tuning 1\n") + 1; at < length; at += 31) { /* cut off */
    snprintf(bad, 2048, "%.*s", (int)at, good);
    check_damaged(bad, "written anew");
  }
  snprintf(bad, 2048, "%s\n", good);
  check_damaged(bad, "damaged");
  free(bad);
  free(good);
}
END_TEST

START_TEST(an_empty_file_is_filled) {
  write_text("");
  choice c = choose((request){.path = path});
  check_measured(&c, "fast", "clever");
  ck_assert_str_eq(c.warning, "");
  c = choose((request){.path = path});
  check_remembered(&c, "fast", "clever");
}
END_TEST

START_TEST(files_of_others_are_left_alone) {
  write_text("dear diary\n");
  const choice c = choose((request){.path = path});
  check_measured(&c, "fast", "clever");
  ck_assert_msg(strstr(c.warning, "left alone") != NULL, "%s", c.warning);
  char *text = read_text();
  ck_assert_str_eq(text, "dear diary\n");
  free(text);
}
END_TEST

START_TEST(what_cannot_be_written) {
  char nowhere[128];
  snprintf(nowhere, sizeof nowhere, "%s/no/folder/t.tsv", folder);
  const choice c = choose((request){.path = nowhere});
  check_measured(&c, "fast", "clever");
  ck_assert_msg(strstr(c.warning, "cannot create") != NULL, "%s", c.warning);
}
END_TEST

/* ---- places and processes ---- */

START_TEST(the_default_place) {
  char file[128], inner[128];
  setenv("XDG_CACHE_HOME", folder, 1);
  choice c = choose((request){.path = NULL});
  check_measured(&c, "fast", "clever");
  c = choose((request){.path = NULL});
  check_remembered(&c, "fast", "clever");
  snprintf(file, sizeof file, "%s/pleat/tuning.tsv", folder);
  snprintf(inner, sizeof inner, "%s/pleat", folder);
  ck_assert_int_eq(unlink(file), 0);
  ck_assert_int_eq(rmdir(inner), 0);
  setenv("XDG_CACHE_HOME", "relative", 1); /* to be ignored, says the specification */
  unsetenv("HOME");
  c = choose((request){.path = NULL});
  check_measured(&c, "fast", "clever");
  ck_assert_msg(strstr(c.warning, "HOME") != NULL, "%s", c.warning);
}
END_TEST

/* Processes that write at the same time: the file is good at every moment, and no temporary file stays behind. */
START_TEST(several_processes) {
  enum { PROCESSES = 3, PROBLEMS = 4 };
  pid_t children[PROCESSES];
  for (int p = 0; p < PROCESSES; p++) {
    children[p] = fork();
    if (children[p] != 0) continue;
    for (int i = 1; i <= PROBLEMS; i++) {
      const choice c = choose((request){.path = path, .length = 100 * (p + 1) + i});
      if (!c.tuned || c.warning[0] != '\0') _exit(1);
    }
    _exit(0);
  }
  for (int p = 0; p < PROCESSES; p++) {
    int status = 0;
    ck_assert_int_eq(waitpid(children[p], &status, 0), children[p]);
    ck_assert_int_eq(status, 0);
  }
  const choice c = choose((request){.path = path});
  ck_assert_str_eq(c.warning, "");
  ck_assert_uint_ge(count_lines(), 1 + PROBLEMS);
}
END_TEST

/* ---- the real operators ---- */

/* What a file names must mean one kernel and one variant. */
START_TEST(names_are_unique) {
  const pleat_op_def *def = NULL;
  size_t tunable = 0;
  for (size_t i = 0; (def = pleat_op_at(i)) != NULL; i++) {
    if (def->macs == NULL) continue;
    tunable++;
    for (const pleat_kernel *const *a = def->kernels; *a != NULL; a++) {
      for (const pleat_kernel *const *b = a + 1; *b != NULL; b++) ck_assert_str_ne((*a)->name, (*b)->name);
      for (size_t v = 0; (*a)->variants != NULL && (*a)->variants[v] != NULL; v++) {
        ck_assert_ptr_null(strchr((*a)->variants[v], '\t'));
        for (size_t w = 0; w < v; w++) ck_assert_str_ne((*a)->variants[v], (*a)->variants[w]);
      }
    }
  }
  ck_assert_uint_ge(tunable, 6);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("tune");
  TCase *tcase = tcase_create("tune");
  tcase_add_checked_fixture(tcase, make_folder, remove_folder);
  tcase_set_timeout(tcase, 120);
  tcase_add_test(tcase, the_fastest_variant_wins);
  tcase_add_test(tcase, a_hit_times_nothing);
  tcase_add_test(tcase, exact_is_another_problem);
  tcase_add_test(tcase, another_problem_is_measured);
  tcase_add_test(tcase, another_machine_is_measured_and_kept);
  tcase_add_test(tcase, a_kernel_that_is_gone_or_declines);
  tcase_add_test(tcase, what_the_file_says_is_believed);
  tcase_add_test(tcase, damaged_files);
  tcase_add_test(tcase, an_empty_file_is_filled);
  tcase_add_test(tcase, files_of_others_are_left_alone);
  tcase_add_test(tcase, what_cannot_be_written);
  tcase_add_test(tcase, the_default_place);
  tcase_add_test(tcase, several_processes);
  tcase_add_test(tcase, names_are_unique);
  suite_add_tcase(suite, tcase);
  return suite;
}

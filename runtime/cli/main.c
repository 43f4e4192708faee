/* The pleat command. Adding a verb: one file cmd_<verb>.c that defines its cli_verb, its name in
 * cli.h and one line in verbs[]. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static const cli_verb *const verbs[] = {
    &cli_verb_run, &cli_verb_fold, &cli_verb_validate, &cli_verb_info, &cli_verb_bench,
};
enum { VERB_COUNT = sizeof verbs / sizeof *verbs };

static const char *verb_name(const void *user, size_t index) {
  (void)user;
  return verbs[index]->name;
}

static const cli_verb *find_verb(const char *name) {
  for (size_t i = 0; i < VERB_COUNT; i++)
    if (strcmp(verbs[i]->name, name) == 0) return verbs[i];
  return NULL;
}

static void print_overview(FILE *file) {
  fprintf(file,
          "pleat %s: runs ONNX models, folds BatchNormalization out of them, validates their outputs.\n\n"
          "Usage: pleat VERB [options] ...\n\n",
          pleat_version());
  for (size_t i = 0; i < VERB_COUNT; i++) fprintf(file, "  %-10s%s\n", verbs[i]->name, verbs[i]->summary);
  fputs("\n'pleat VERB --help' tells more about a verb, with examples. 'pleat --version' prints the version.\n"
        "Exit codes: 0 done; 1 the answer is no (validation failed); 2 wrong usage;\n"
        "3 the model or data is bad or unsupported; 4 files, memory or output failed.\n",
        file);
}

static int run_verb(cli *cli, int argc, char **argv) {
  const cli_verb *verb = cli->verb;
  void *args = cli_calloc(1, verb->args_size);
  if (verb->defaults) memcpy(args, verb->defaults, verb->args_size);
  int help = 0;
  int result = cli_parse(cli, argc, argv, args, &help);
  if (help) cli_print_help(verb, stdout);
  if (result == CLI_OK && !help) result = verb->run(cli, args);
  cli_args_deinit(verb, args);
  free(args);
  return result;
}

static int dispatch(cli *cli, int argc, char **argv) {
  if (argc < 2) {
    print_overview(stderr);
    return CLI_USAGE;
  }
  const char *word = argv[1];
  if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
    printf("pleat %s\n", pleat_version());
    return CLI_OK;
  }
  if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || (strcmp(word, "help") == 0 && argc == 2)) {
    print_overview(stdout);
    return CLI_OK;
  }
  bool help = strcmp(word, "help") == 0;
  const char *name = help ? argv[2] : word;
  const cli_verb *verb = find_verb(name);
  if (!verb)
    return cli_unknown(cli, name[0] == '-' ? "unknown option" : "unknown verb", name, verb_name, NULL, VERB_COUNT);
  cli->verb = verb;
  if (!help) return run_verb(cli, argc - 1, argv + 1);
  cli_print_help(verb, stdout);
  return CLI_OK;
}

int main(int argc, char **argv) {
  /* A reader that goes away is a write error like any other, not a silent death. */
  signal(SIGPIPE, SIG_IGN);
  cli cli = {.verb = NULL, .text = stdout};
  int result = dispatch(&cli, argc, argv);
  errno = 0;
  bool lost = ferror(stdout) != 0;
  if (fclose(stdout) != 0 || lost) {
    cli_note(&cli, "cannot write to the standard output: %s", errno ? strerror(errno) : "earlier output was lost");
    return CLI_IO;
  }
  return result;
}

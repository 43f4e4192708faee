/* The frame of the pleat command: verbs, their options, errors and exit codes. Only Pleat's public headers are used.
 *
 * A verb is one file cmd_<verb>.c that defines one `const cli_verb`, and one line in main.c's table. Options are data:
 * parsing, --help and the suggestions for misspelt names all come from the verb's table. */
#ifndef PLEAT_CLI_CLI_H
#define PLEAT_CLI_CLI_H

#include <stdio.h>

#include "pleat/pleat.h"

/* Exit codes, as every verb's --help says. */
enum {
  CLI_OK = 0,
  CLI_NO = 1,    /* the answer is "no" */
  CLI_USAGE = 2, /* the command line is wrong */
  CLI_DATA = 3,  /* the model or the data is bad or unsupported */
  CLI_IO = 4     /* files, memory, the standard output */
};

/* What a list option or the operands of a verb collect; strings are argv's own. */
typedef struct cli_list {
  const char **items; /* NULL-terminated when there are any */
  size_t count;
} cli_list;

/* The first member of every verb's arguments. */
typedef struct cli_args {
  cli_list operands;
} cli_args;

typedef enum cli_option_kind {
  CLI_FLAG,         /* bool */
  CLI_INT,          /* int, within [min, max] */
  CLI_OPTIONAL_INT, /* the same as --name=N; --name alone leaves the default */
  CLI_REAL,         /* double, finite and >= 0 */
  CLI_STRING,       /* const char *; the last one given wins */
  CLI_LIST          /* cli_list */
} cli_option_kind;

typedef struct cli_option {
  const char *name;        /* without the dashes */
  char letter;             /* 0 when there is no short form */
  const char *placeholder; /* "N", "FILE"; NULL for a flag */
  cli_option_kind kind;
  size_t offset; /* of the member in the verb's arguments */
  const char *help;
  int min, max; /* CLI_INT only */
} cli_option;

typedef struct cli cli;

typedef struct cli_verb {
  const char *name;
  const char *synopsis;      /* what follows "pleat <name> " */
  const char *summary;       /* one line, for the list of verbs */
  const char *description;   /* lines that end with a newline, for --help */
  const char *examples;      /* likewise */
  const cli_option *options; /* ends with a NULL name */
  size_t min_operands, max_operands;
  const char *missing_operand; /* what is missing below min_operands: "the MODEL to run" */
  size_t args_size;
  const void *defaults;          /* initial arguments, or NULL for all zero */
  void (*more_help)(FILE *file); /* appended to --help, or NULL */
  int (*run)(cli *cli, const void *args);
} cli_verb;

struct cli {
  const cli_verb *verb; /* NULL before one is known */
  FILE *text;           /* text for people: stdout, or stderr when stdout carries JSON */
};

/* The verbs, one a file. */
extern const cli_verb cli_verb_run, cli_verb_fold, cli_verb_validate, cli_verb_info, cli_verb_bench;

/* ---- options.c ---- */

/* Fills `args` (args_size bytes, initialised) from the command line. Returns CLI_OK, or the exit code of an error that
 * was printed. *out_help: --help was asked for, and nothing else matters. */
int cli_parse(cli *cli, int argc, char **argv, void *args, int *out_help);
void cli_args_deinit(const cli_verb *verb, void *args);
void cli_print_help(const cli_verb *verb, FILE *file);
/* The candidate closest to a misspelt `word`, or NULL when none is near. `count` candidates come from `get`. */
const char *cli_closest(const char *word, const char *(*get)(const void *user, size_t index), const void *user,
                        size_t count);

/* The usage error "<what> 'word', did you mean '<closest>'". */
int cli_unknown(const cli *cli, const char *what, const char *word, const char *(*get)(const void *user, size_t index),
                const void *user, size_t count);

/* ---- report.c: errors, memory ---- */

/* Prints "pleat run: message; see 'pleat run --help'" and returns CLI_USAGE. */
int cli_usage(const cli *cli, const char *format, ...) PLEAT_PRINTF(2, 3);
/* Prints the error as one line, "pleat run: file: node 'n': message", and returns the exit code for its status. */
int cli_fail(const cli *cli, const pleat_error *error);
int cli_exit_code(pleat_status status);
/* A remark on stderr that is no error. */
void cli_note(const cli *cli, const char *format, ...) PLEAT_PRINTF(2, 3);
/* Writes `text` with control characters replaced, so that names from a model cannot command a terminal. */
void cli_put_clean(FILE *file, const char *text);

/* Fills an error as the library does: status, file (may be NULL) and message. Returns `status`. */
pleat_status cli_error(pleat_error *error, pleat_status status, const char *file, const char *format, ...)
    PLEAT_PRINTF(4, 5);

/* Names the file at fault, unless a more precise one is named already. */
void cli_error_at(pleat_error *error, const char *file);

/* Memory for the command's own small things; they end the process with CLI_IO when there is none. What is as large as
 * a file says comes from malloc, and is checked. */
void *cli_calloc(size_t count, size_t size);
void *cli_realloc(void *memory, size_t count, size_t size);
char *cli_strdup(const char *text);
char *cli_printf(const char *format, ...) PLEAT_PRINTF(1, 2);

#endif

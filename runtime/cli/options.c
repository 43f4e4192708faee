/* Command lines: getopt_long driven by a verb's option table, help printed from the same table, and the closest name
 * for a misspelt one (edit distance of Damerau and Levenshtein, restricted to adjacent swaps). */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

enum { FIRST_LONG = 256, HELP_CODE = 255, MAX_OPTIONS = 32, MAX_WORD = 63, HELP_COLUMN = 26 };

static size_t min3(size_t a, size_t b, size_t c) {
  size_t least = a < b ? a : b;
  return least < c ? least : c;
}

static size_t distance(const char *a, const char *b) {
  size_t n = strlen(a), m = strlen(b), rows[3][MAX_WORD + 1];
  if (n > MAX_WORD || m > MAX_WORD) return SIZE_MAX;
  size_t *before = rows[0], *above = rows[1], *row = rows[2];
  for (size_t j = 0; j <= m; j++) row[j] = j;
  for (size_t i = 1; i <= n; i++) {
    size_t *spare = before;
    before = above, above = row, row = spare;
    row[0] = i;
    for (size_t j = 1; j <= m; j++) {
      row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
      bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped && before[j - 2] + 1 < row[j]) row[j] = before[j - 2] + 1;
    }
  }
  return row[m];
}

const char *cli_closest(const char *word, const char *(*get)(const void *user, size_t index), const void *user,
                        size_t count) {
  const char *best = NULL;
  size_t best_distance = strlen(word) / 3 + 2; /* farther than this is another word, not a slip */
  for (size_t i = 0; i < count; i++) {
    const char *candidate = get(user, i);
    size_t length = strlen(word), d = distance(word, candidate);
    if (length >= 3 && strncmp(word, candidate, length) == 0) d = 1;
    if (d < best_distance) best = candidate, best_distance = d;
  }
  return best;
}

int cli_unknown(const cli *cli, const char *what, const char *word, const char *(*get)(const void *user, size_t index),
                const void *user, size_t count) {
  const char *closest = cli_closest(word, get, user, count);
  if (!closest) return cli_usage(cli, "%s '%s'", what, word);
  return cli_usage(cli, "%s '%s', did you mean '%s'", what, word, closest);
}

static size_t option_count(const cli_verb *verb) {
  size_t count = 0;
  while (verb->options[count].name) count++;
  return count;
}

static const char *option_name(const void *verb, size_t index) {
  size_t count = option_count(verb);
  return index < count ? ((const cli_verb *)verb)->options[index].name : "help";
}

static int unknown_option(const cli *cli, const char *argument) {
  if (strncmp(argument, "--", 2) != 0) return cli_usage(cli, "unknown option '%s'", argument);
  char name[MAX_WORD + 1];
  snprintf(name, sizeof name, "%.*s", (int)strcspn(argument + 2, "="), argument + 2);
  for (size_t i = 0; i < option_count(cli->verb); i++)
    if (strcmp(name, cli->verb->options[i].name) == 0) return cli_usage(cli, "option '--%s' takes no value", name);
  const char *closest = cli_closest(name, option_name, cli->verb, option_count(cli->verb) + 1);
  if (!closest) return cli_usage(cli, "unknown option '--%s'", name);
  return cli_usage(cli, "unknown option '--%s', did you mean '--%s'", name, closest);
}

static void list_add(cli_list *list, const char *item) {
  list->items = cli_realloc(list->items, list->count + 2, sizeof *list->items);
  list->items[list->count++] = item;
  list->items[list->count] = NULL;
}

static int store(const cli *cli, const cli_option *option, const char *value, void *args) {
  void *member = (char *)args + option->offset;
  char *end = NULL;
  errno = 0;
  switch (option->kind) {
  case CLI_FLAG:
    *(bool *)member = true;
    return CLI_OK;
  case CLI_STRING:
    *(const char **)member = value;
    return CLI_OK;
  case CLI_LIST:
    list_add(member, value);
    return CLI_OK;
  case CLI_OPTIONAL_INT:
    if (!value) return CLI_OK;
    /* fall through */
  case CLI_INT: {
    long number = strtol(value, &end, 10);
    if (end == value || *end || errno || number < option->min || number > option->max)
      return cli_usage(cli, "--%s takes a whole number from %d to %d, found '%s'", option->name, option->min,
                       option->max, value);
    *(int *)member = (int)number;
    return CLI_OK;
  }
  case CLI_REAL: {
    double number = strtod(value, &end);
    if (end == value || *end || !isfinite(number) || number < 0)
      return cli_usage(cli, "--%s takes a number that is not negative, found '%s'", option->name, value);
    *(double *)member = number;
    return CLI_OK;
  }
  }
  return CLI_OK;
}

/* Builds getopt's two descriptions of the same table. */
static void describe(const cli_verb *verb, char *letters, struct option *longs) {
  size_t count = option_count(verb), used = 0;
  letters[used++] = ':';
  letters[used++] = 'h';
  for (size_t i = 0; i < count; i++) {
    const cli_option *option = &verb->options[i];
    longs[i] = (struct option){.name = option->name,
                               .has_arg = option->kind == CLI_FLAG           ? no_argument
                                          : option->kind == CLI_OPTIONAL_INT ? optional_argument
                                                                             : required_argument,
                               .val = FIRST_LONG + (int)i};
    if (!option->letter) continue;
    letters[used++] = option->letter;
    if (option->kind != CLI_FLAG) letters[used++] = ':';
  }
  letters[used] = '\0';
  longs[count] = (struct option){.name = "help", .has_arg = no_argument, .val = HELP_CODE};
  longs[count + 1] = (struct option){0};
}

static const cli_option *find_option(const cli_verb *verb, int code) {
  if (code >= FIRST_LONG) return &verb->options[code - FIRST_LONG];
  for (const cli_option *option = verb->options; option->name; option++)
    if (option->letter == code) return option;
  return NULL;
}

static int check_operands(const cli *cli, const cli_list *operands) {
  const cli_verb *verb = cli->verb;
  if (operands->count < verb->min_operands) return cli_usage(cli, "%s is missing", verb->missing_operand);
  if (operands->count > verb->max_operands)
    return cli_usage(cli, "unexpected argument '%s'", operands->items[verb->max_operands]);
  return CLI_OK;
}

int cli_parse(cli *cli, int argc, char **argv, void *args, int *out_help) {
  const cli_verb *verb = cli->verb;
  char letters[2 * MAX_OPTIONS + 4];
  struct option longs[MAX_OPTIONS + 2];
  describe(verb, letters, longs);
  *out_help = 0;
  opterr = 0;
  for (;;) {
    int code = getopt_long(argc, argv, letters, longs, NULL);
    if (code == -1) break;
    if (code == 'h' || code == HELP_CODE) return *out_help = 1, CLI_OK;
    if (code == '?' || code == ':') {
      /* getopt leaves 0 (unknown) or our own code (a value missing or too many) for a long option. */
      char letter[3] = {'-', (char)optopt, '\0'};
      const char *option = optopt > 0 && optopt < HELP_CODE ? letter : argv[optind - 1];
      return code == ':' ? cli_usage(cli, "option '%s' needs a value", option) : unknown_option(cli, option);
    }
    int result = store(cli, find_option(verb, code), optarg, args);
    if (result != CLI_OK) return result;
  }
  cli_list *operands = &((cli_args *)args)->operands;
  for (int i = optind; i < argc; i++) list_add(operands, argv[i]);
  return check_operands(cli, operands);
}

void cli_args_deinit(const cli_verb *verb, void *args) {
  free(((cli_args *)args)->operands.items);
  for (const cli_option *option = verb->options; option->name; option++)
    if (option->kind == CLI_LIST) free(((cli_list *)((char *)args + option->offset))->items);
}

static void print_option(FILE *file, char letter, const char *name, const char *before, const char *placeholder,
                         const char *after, const char *help) {
  char left[64], short_form[8] = "    ";
  if (letter) snprintf(short_form, sizeof short_form, "-%c, ", letter);
  snprintf(left, sizeof left, "  %s--%s%s%s%s", short_form, name, before, placeholder ? placeholder : "", after);
  fprintf(file, "%-*s", HELP_COLUMN, left);
  if (strlen(left) >= HELP_COLUMN) fprintf(file, "\n%*s", HELP_COLUMN, "");
  for (; *help; help++) {
    putc(*help, file);
    if (*help == '\n') fprintf(file, "%*s", HELP_COLUMN, "");
  }
  putc('\n', file);
}

void cli_print_help(const cli_verb *verb, FILE *file) {
  fprintf(file, "Usage: pleat %s %s\n\n%s\nOptions:\n", verb->name, verb->synopsis, verb->description);
  for (const cli_option *option = verb->options; option->name; option++) {
    const bool optional = option->kind == CLI_OPTIONAL_INT;
    print_option(file, option->letter, option->name,
                 optional              ? "[="
                 : option->placeholder ? " "
                                       : "",
                 option->placeholder, optional ? "]" : "", option->help);
  }
  print_option(file, 'h', "help", "", NULL, "", "this text");
  if (verb->more_help) verb->more_help(file);
  fprintf(file, "\nExamples:\n%s", verb->examples);
}

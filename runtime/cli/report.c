/* Errors and memory of the command: one line on stderr a failure, and the exit code that goes with its status.
 *
 * Invariants: text of files never reaches the terminal with control characters in it, nor with a line feed that would
 * fake another message. cli_calloc and its kin serve small things only and end the process when memory is out; nothing
 * has been half-written then, because files are renamed into place. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

void cli_put_clean(FILE *file, const char *text) {
  for (const unsigned char *c = (const unsigned char *)text; *c; c++) putc(*c < 0x20 || *c == 0x7f ? ' ' : *c, file);
}

static void put_line(const cli *cli, const char *format, va_list arguments) {
  char line[4096];
  vsnprintf(line, sizeof line, format, arguments);
  fprintf(stderr, "pleat%s%s: ", cli->verb ? " " : "", cli->verb ? cli->verb->name : "");
  cli_put_clean(stderr, line);
}

int cli_usage(const cli *cli, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  put_line(cli, format, arguments);
  va_end(arguments);
  fprintf(stderr, "; see 'pleat%s%s --help'\n", cli->verb ? " " : "", cli->verb ? cli->verb->name : "");
  return CLI_USAGE;
}

void cli_note(const cli *cli, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  put_line(cli, format, arguments);
  va_end(arguments);
  putc('\n', stderr);
}

int cli_exit_code(pleat_status status) {
  switch (status) {
  case PLEAT_OK:
    return CLI_OK;
  case PLEAT_INVALID_ARGUMENT:
  case PLEAT_MALFORMED_MODEL:
  case PLEAT_UNSUPPORTED:
  case PLEAT_SHAPE_MISMATCH:
    return CLI_DATA;
  case PLEAT_OUT_OF_MEMORY:
  case PLEAT_IO_ERROR:
  case PLEAT_INTERNAL:
    break;
  }
  return CLI_IO;
}

int cli_fail(const cli *cli, const pleat_error *error) {
  char text[2048];
  cli_note(cli, "%s", pleat_error_format(error, text, sizeof text));
  return cli_exit_code(error->status);
}

pleat_status cli_error(pleat_error *error, pleat_status status, const char *file, const char *format, ...) {
  if (!error) return status;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(error->message, sizeof error->message, format, arguments);
  va_end(arguments);
  error->status = status;
  if (file) snprintf(error->file, sizeof error->file, "%s", file);
  return status;
}

void cli_error_at(pleat_error *error, const char *file) {
  if (error && !error->file[0]) snprintf(error->file, sizeof error->file, "%s", file);
}

static void *or_exit(void *memory) {
  if (!memory) {
    fputs("pleat: out of memory\n", stderr);
    exit(CLI_IO);
  }
  return memory;
}

void *cli_calloc(size_t count, size_t size) {
  return or_exit(calloc(count ? count : 1, size ? size : 1));
}

void *cli_realloc(void *memory, size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) return or_exit(NULL);
  return or_exit(realloc(memory, bytes ? bytes : 1));
}

char *cli_strdup(const char *text) {
  return or_exit(strdup(text));
}

char *cli_printf(const char *format, ...) {
  va_list arguments, again;
  va_start(arguments, format);
  va_copy(again, arguments);
  int length = vsnprintf(NULL, 0, format, arguments);
  va_end(arguments);
  char *text = or_exit(length < 0 ? NULL : malloc((size_t)length + 1));
  vsnprintf(text, (size_t)length + 1, format, again);
  va_end(again);
  return text;
}

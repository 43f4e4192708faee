/* Text for people: aligned tables and human units. Widths count UTF-8 characters, not bytes.
 *
 * Invariants: control characters are printed as blanks, one for one, so that widths hold; no line ends in blanks,
 * because padding is written only before another cell. Units are decimal (1 kB = 1000 bytes); buffers have the fixed
 * sizes of text.h and what does not fit is cut. */
#include "text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static const char *scaled(uint64_t value, const char *const *units, uint64_t exact_below, char *buffer) {
  double number = (double)value;
  size_t unit = 0;
  while (number >= 999.95 && units[unit + 1]) number /= 1000, unit++;
  if (unit == 0 || value < exact_below)
    snprintf(buffer, TEXT_NUMBER, "%" PRIu64 "%s%s", value, *units[0] ? " " : "", units[0]);
  else snprintf(buffer, TEXT_NUMBER, "%.1f %s", number, units[unit]);
  return buffer;
}

const char *text_bytes(uint64_t bytes, char *buffer) {
  static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB", "PB", "EB", NULL};
  return scaled(bytes, units, 1000, buffer);
}

const char *text_count(uint64_t count, char *buffer) {
  static const char *const units[] = {"", "k", "M", "G", "T", "P", "E", NULL};
  return scaled(count, units, 10000, buffer);
}

const char *text_number(double value, char *buffer) {
  snprintf(buffer, TEXT_NUMBER, "%.6g", value);
  return buffer;
}

const char *text_kernel(const pleat_step_info *step, char *buffer) {
  snprintf(buffer, TEXT_KERNEL, "%s%s%s", step->kernel, *step->variant ? ", " : "", step->variant);
  return buffer;
}

const char *text_parts(const pleat_plan_info *plan, char *buffer) {
  const int written = snprintf(buffer, TEXT_PARTS, "%zu parts of %lld sample%s", plan->part_count,
                               (long long)plan->part_samples, plan->part_samples == 1 ? "" : "s");
  if (plan->part_workers > 1 && written > 0 && written < TEXT_PARTS)
    snprintf(buffer + written, (size_t)(TEXT_PARTS - written), ", %d at a time", plan->part_workers);
  return buffer;
}

const char *text_ms(uint64_t nanoseconds, char *buffer) {
  snprintf(buffer, TEXT_NUMBER, "%.3f", (double)nanoseconds / 1e6);
  return buffer;
}

const char *text_kind(pleat_kind kind) {
  switch (kind) {
  case PLEAT_KIND_TENSOR:
    return "tensor";
  case PLEAT_KIND_SEQUENCE:
    return "sequence";
  case PLEAT_KIND_OPTIONAL:
    return "optional";
  case PLEAT_KIND_OTHER:
    break;
  }
  return "map or sparse tensor";
}

/* Appends to a buffer of TEXT_TYPE bytes; what does not fit is cut. */
static void append(char *buffer, const char *format, ...) PLEAT_PRINTF(2, 3);
static void append(char *buffer, const char *format, ...) {
  size_t used = strlen(buffer);
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(buffer + used, TEXT_TYPE - used, format, arguments);
  va_end(arguments);
}

const char *text_value_type(const pleat_value_info *info, char *buffer) {
  buffer[0] = '\0';
  if (info->kind == PLEAT_KIND_OTHER) return append(buffer, "%s", text_kind(info->kind)), buffer;
  if (info->kind != PLEAT_KIND_TENSOR) append(buffer, "%s of ", text_kind(info->kind));
  append(buffer, "%s", info->dtype == PLEAT_UNDEFINED ? "unknown type" : pleat_dtype_name(info->dtype));
  if (info->rank < 0) return append(buffer, "[...]"), buffer;
  append(buffer, "[");
  for (int i = 0; i < info->rank; i++) {
    const pleat_dim *dim = &info->dims[i];
    if (i) append(buffer, ",");
    if (dim->value >= 0) append(buffer, "%" PRId64, dim->value);
    else append(buffer, "%s", dim->symbol ? dim->symbol : "?");
  }
  append(buffer, "]");
  return buffer;
}

const char *text_tensor_type(const pleat_tensor *tensor, char *buffer) {
  buffer[0] = '\0';
  pleat_kind kind = pleat_tensor_kind(tensor);
  if (kind != PLEAT_KIND_TENSOR) {
    append(buffer, "%s of %zu", text_kind(kind), pleat_tensor_count(tensor));
    return buffer;
  }
  append(buffer, "%s[", pleat_dtype_name(pleat_tensor_dtype(tensor)));
  for (int i = 0; i < pleat_tensor_rank(tensor); i++)
    append(buffer, "%s%" PRId64, i ? "," : "", pleat_tensor_dims(tensor)[i]);
  append(buffer, "]");
  return buffer;
}

const char *text_index(uint64_t index, int rank, const int64_t *dims, char *buffer) {
  uint64_t at[PLEAT_MAX_RANK] = {0};
  for (int i = rank - 1; i >= 0; i--) {
    uint64_t dim = dims[i] > 0 ? (uint64_t)dims[i] : 1;
    at[i] = index % dim;
    index /= dim;
  }
  buffer[0] = '\0';
  append(buffer, "[");
  for (int i = 0; i < rank; i++) append(buffer, "%s%" PRIu64, i ? "," : "", at[i]);
  append(buffer, "]");
  return buffer;
}

/* ---- tables ---- */

struct text_table {
  char *columns;
  size_t width; /* number of columns */
  size_t count, capacity;
  char **cells;
};

text_table *text_table_create(const char *columns) {
  text_table *table = cli_calloc(1, sizeof *table);
  table->columns = cli_strdup(columns);
  table->width = strlen(columns);
  return table;
}

void text_table_destroy(text_table *table) {
  if (!table) return;
  for (size_t i = 0; i < table->count; i++) free(table->cells[i]);
  free(table->cells);
  free(table->columns);
  free(table);
}

void text_table_cell(text_table *table, const char *format, ...) {
  char cell[2048];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(cell, sizeof cell, format, arguments);
  va_end(arguments);
  if (table->count == table->capacity) {
    table->capacity = table->capacity ? 2 * table->capacity : 64;
    table->cells = cli_realloc(table->cells, table->capacity, sizeof *table->cells);
  }
  table->cells[table->count++] = cli_strdup(cell);
}

static size_t characters(const char *text) {
  size_t count = 0;
  for (; *text; text++) count += ((unsigned char)*text & 0xc0) != 0x80;
  return count;
}

static void spaces(FILE *file, size_t count) {
  while (count--) putc(' ', file);
}

void text_table_print(const text_table *table, FILE *file, int indent) {
  size_t *widths = cli_calloc(table->width, sizeof *widths);
  for (size_t i = 0; i < table->count; i++) {
    size_t length = characters(table->cells[i]);
    if (length > widths[i % table->width]) widths[i % table->width] = length;
  }
  for (size_t start = 0; start < table->count; start += table->width) {
    size_t end = start + table->width < table->count ? start + table->width : table->count;
    while (end > start && !*table->cells[end - 1]) end--; /* no blanks at the end of a line */
    size_t owed = (size_t)indent;
    for (size_t i = start; i < end; i++) {
      size_t column = i - start, pad = widths[column] - characters(table->cells[i]);
      if (table->columns[column] == 'r') owed += pad;
      spaces(file, owed);
      cli_put_clean(file, table->cells[i]);
      owed = 2 + (table->columns[column] == 'r' ? 0 : pad);
    }
    putc('\n', file);
  }
  free(widths);
}

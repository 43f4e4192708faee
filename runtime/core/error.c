/* Status names and the caller-owned error record.
 *
 * Invariants: the first failure wins - what went wrong first is what a user can act on, what follows is mostly its
 * consequence; and every string of a pleat_error is terminated, however long the text was. */
#include "core/error.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

const char *pleat_status_name(pleat_status status) {
  switch (status) {
  case PLEAT_OK:
    return "ok";
  case PLEAT_INVALID_ARGUMENT:
    return "invalid argument";
  case PLEAT_MALFORMED_MODEL:
    return "malformed model";
  case PLEAT_UNSUPPORTED:
    return "unsupported";
  case PLEAT_SHAPE_MISMATCH:
    return "shape mismatch";
  case PLEAT_OUT_OF_MEMORY:
    return "out of memory";
  case PLEAT_IO_ERROR:
    return "I/O error";
  case PLEAT_INTERNAL:
    return "internal error";
  }
  return "unknown status";
}

const char *pleat_version(void) {
  return PLEAT_VERSION;
}

/* Stores a failure; false when there is one already. */
static bool record(pleat_error *error, pleat_status status, const char *format, va_list args) {
  if (error == NULL || error->status != PLEAT_OK) return false;
  error->status = status;
  if (vsnprintf(error->message, sizeof error->message, format, args) < 0) error->message[0] = '\0';
  return true;
}

pleat_status pleat_fail(pleat_error *error, pleat_status status, const char *format, ...) {
  va_list args;
  va_start(args, format);
  (void)record(error, status, format, args);
  va_end(args);
  return status;
}

pleat_status pleat_fail_tensor(pleat_error *error, const char *tensor, pleat_status status, const char *format, ...) {
  va_list args;
  va_start(args, format);
  if (record(error, status, format, args)) pleat_error_at_tensor(error, tensor);
  va_end(args);
  return status;
}

/* A place is only added to a failure: a call that succeeds leaves the record as it was. */
static void name_place(const pleat_error *error, char *place, size_t size, const char *name) {
  if (error->status == PLEAT_OK || place[0] != '\0' || name == NULL) return;
  size_t length = strlen(name);
  if (length >= size) length = size - 1;
  memcpy(place, name, length);
  place[length] = '\0';
}

void pleat_error_at_file(pleat_error *error, const char *file) {
  if (error != NULL) name_place(error, error->file, sizeof error->file, file);
}

void pleat_error_at_node(pleat_error *error, const char *node) {
  if (error != NULL) name_place(error, error->node, sizeof error->node, node);
}

void pleat_error_inside(pleat_error *error, const char *node) {
  char inner[sizeof error->node];
  if (error == NULL || error->status == PLEAT_OK) return;
  memcpy(inner, error->node, sizeof inner);
  snprintf(error->node, sizeof error->node, "%s%s%s", node, inner[0] != '\0' ? " > " : "", inner);
}

void pleat_error_at_tensor(pleat_error *error, const char *tensor) {
  if (error != NULL) name_place(error, error->tensor, sizeof error->tensor, tensor);
}

void pleat_error_clear(pleat_error *error) {
  if (error == NULL) return;
  uint32_t size = error->size;
  memset(error, 0, sizeof *error);
  error->size = size;
}

const char *pleat_error_format(const pleat_error *error, char *buffer, size_t size) {
  if (size == 0) return buffer;
  buffer[0] = '\0';
  if (error == NULL) return buffer;
  const char *message = error->message[0] != '\0' ? error->message : pleat_status_name(error->status);
  bool in_file = error->file[0] != '\0', in_node = error->node[0] != '\0', in_tensor = error->tensor[0] != '\0';
  snprintf(buffer, size, "%s%s%s%s%s%s%s%s%s", error->file, in_file ? ": " : "", in_node ? "node '" : "", error->node,
           in_node ? "': " : "", in_tensor ? "tensor '" : "", error->tensor, in_tensor ? "': " : "", message);
  return buffer;
}

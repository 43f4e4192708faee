/* Shapes on the command line: "--shape NAME=1x3x224x224".
 *
 * Invariants: every dimension is a plain decimal number that fits int64_t, "scalar" is the shape without any. Names
 * may hold '=' themselves, so the longest input name that fits is taken; one that the model does not have is an error
 * with the nearest as a hint. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "inputs.h"

bool shape_parse(const char *text, int *out_rank, int64_t out_dims[PLEAT_MAX_RANK]) {
  *out_rank = 0;
  if (strcmp(text, "scalar") == 0) return true;
  for (;;) {
    char *end = NULL;
    errno = 0;
    if (*text < '0' || *text > '9' || *out_rank == PLEAT_MAX_RANK) return false;
    out_dims[(*out_rank)++] = strtoll(text, &end, 10);
    if (errno) return false;
    if (!*end) return true;
    if (*end != 'x' && *end != ',') return false;
    text = end + 1;
  }
}

static const char *info_name(const void *user, size_t index) {
  return ((const pleat_value_info *const *)user)[index]->name;
}

/* The input that `argument` names before a '=' (names may have one as well: the longest wins), or NULL. */
static const pleat_value_info *named(const char *argument, const pleat_value_info *const *infos, size_t count,
                                     const char **out_rest) {
  const pleat_value_info *best = NULL;
  size_t best_length = 0;
  for (size_t i = 0; i < count; i++) {
    size_t length = strlen(infos[i]->name);
    if (strncmp(argument, infos[i]->name, length) != 0 || argument[length] != '=') continue;
    if (best && length <= best_length) continue;
    best = infos[i], best_length = length;
    *out_rest = argument + length + 1;
  }
  return best;
}

int inputs_unknown(const cli *cli, const char *argument, const pleat_value_info *const *infos, size_t count) {
  char *name = cli_strdup(argument);
  name[strcspn(name, "=")] = '\0';
  int result = cli_unknown(cli, "the model has no input", name, info_name, infos, count);
  free(name);
  return result;
}

static int parse_one(const cli *cli, const char *argument, const pleat_value_info *const *infos, size_t count,
                     pleat_input_shape *out_shape) {
  const char *rest = NULL;
  int64_t *dims = cli_calloc(PLEAT_MAX_RANK, sizeof *dims);
  out_shape->dims = dims;
  const pleat_value_info *info = named(argument, infos, count, &rest);
  if (!info && !strchr(argument, '=')) return cli_usage(cli, "--shape takes NAME=1x3x224x224, found '%s'", argument);
  if (!info) return inputs_unknown(cli, argument, infos, count);
  out_shape->name = info->name;
  if (!shape_parse(rest, &out_shape->rank, dims))
    return cli_usage(cli, "--shape %s: '%s' is not a shape such as 1x3x224x224", info->name, rest);
  return CLI_OK;
}

int shapes_parse(const cli *cli, const cli_list *arguments, const pleat_value_info *const *infos, size_t count,
                 shape_list *out_shapes) {
  *out_shapes = (shape_list){.items = cli_calloc(arguments->count, sizeof *out_shapes->items)};
  for (size_t i = 0; i < arguments->count; i++) {
    int result = parse_one(cli, arguments->items[i], infos, count, &out_shapes->items[out_shapes->count++]);
    if (result == CLI_OK) continue;
    shapes_deinit(out_shapes);
    return result;
  }
  return CLI_OK;
}

void shapes_deinit(shape_list *shapes) {
  for (size_t i = 0; i < shapes->count; i++) free((void *)shapes->items[i].dims);
  free(shapes->items);
  *shapes = (shape_list){0};
}

static bool is_given(const shape_list *given, const char *name) {
  for (size_t i = 0; i < given->count; i++)
    if (strcmp(given->items[i].name, name) == 0) return true;
  return false;
}

void shapes_assumed(const pleat_session *session, const shape_list *given, shape_list *out_shapes) {
  size_t count = pleat_session_input_count(session);
  *out_shapes = (shape_list){.items = cli_calloc(count, sizeof *out_shapes->items)};
  for (size_t i = 0; i < count; i++) {
    const pleat_value_info *info = pleat_session_input(session, i);
    if (is_given(given, info->name) || info->has_default || info->kind != PLEAT_KIND_TENSOR || info->rank < 1) continue;
    int64_t *dims = cli_calloc((size_t)info->rank, sizeof *dims);
    bool is_known = true;
    for (int d = 0; d < info->rank; d++) {
      is_known = is_known && info->dims[d].value >= 0;
      dims[d] = info->dims[d].value >= 0 ? info->dims[d].value : 1;
    }
    if (is_known) free(dims);
    else
      out_shapes->items[out_shapes->count++] =
          (pleat_input_shape){.name = info->name, .rank = info->rank, .dims = dims};
  }
}

void shapes_of_tensors(const pleat_session *session, pleat_tensor *const *tensors, shape_list *out_shapes) {
  size_t count = pleat_session_input_count(session);
  *out_shapes = (shape_list){.items = cli_calloc(count, sizeof *out_shapes->items)};
  for (size_t i = 0; i < count; i++) {
    if (!tensors[i] || pleat_tensor_kind(tensors[i]) != PLEAT_KIND_TENSOR) continue;
    int rank = pleat_tensor_rank(tensors[i]);
    int64_t *dims = cli_calloc((size_t)rank, sizeof *dims);
    if (rank > 0) memcpy(dims, pleat_tensor_dims(tensors[i]), (size_t)rank * sizeof *dims);
    out_shapes->items[out_shapes->count++] =
        (pleat_input_shape){.name = pleat_session_input(session, i)->name, .rank = rank, .dims = dims};
  }
}

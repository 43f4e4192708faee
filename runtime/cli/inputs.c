/* Inputs of a run. In order: the arguments find their inputs, files are loaded, symbols of unknown dimensions are bound
 * by what was loaded, made-up inputs take their shapes from that, and what is still missing is reported. */
#include "inputs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "npy.h"
#include "npz.h"
#include "text.h"

typedef struct slot {
  const pleat_value_info *info;
  pleat_tensor *tensor;
  bool made_up; /* by `fill` and `seed`, when the shapes are known */
  pleat_fill_kind fill;
  uint64_t seed;
  bool has_shape;
  int rank;
  int64_t dims[PLEAT_MAX_RANK];
} slot;

typedef struct binder {
  const cli *cli;
  slot *slots;
  const pleat_value_info **infos; /* of the slots */
  size_t count;
  slot others; /* what a bare random, zeros or ones says of inputs that nothing names */
} binder;

static slot *find_slot(binder *b, const char *name, size_t length) {
  for (size_t i = 0; i < b->count; i++)
    if (strlen(b->slots[i].info->name) == length && strncmp(b->slots[i].info->name, name, length) == 0)
      return &b->slots[i];
  return NULL;
}

/* The only input that must be given, or NULL. */
static slot *only_slot(binder *b) {
  slot *only = NULL;
  for (size_t i = 0; i < b->count; i++) {
    if (b->slots[i].info->has_default) continue;
    if (only) return NULL;
    only = &b->slots[i];
  }
  return only;
}

static int reject_type(const binder *b, const slot *slot, const char *place, const pleat_tensor *tensor) {
  char expected[TEXT_TYPE], found[TEXT_TYPE];
  const char *numpy = npy_type_name(slot->info->dtype);
  char *hint = numpy ? cli_printf("convert it, in NumPy with a.astype('%s')", numpy)
                     : cli_strdup("NumPy lacks the type, so give a .pb file");
  pleat_error error = PLEAT_ERROR_INIT;
  snprintf(error.tensor, sizeof error.tensor, "%s", slot->info->name);
  cli_error(&error, PLEAT_SHAPE_MISMATCH, place, "expected %s, found %s: %s", text_value_type(slot->info, expected),
            text_tensor_type(tensor, found), hint);
  free(hint);
  return cli_fail(b->cli, &error);
}

/* Gives a loaded tensor, which is taken over, to an input. */
static int give(const binder *b, slot *slot, const char *place, pleat_tensor *tensor) {
  const pleat_value_info *info = slot->info;
  int result = CLI_OK;
  if (slot->tensor || slot->made_up) result = cli_usage(b->cli, "input '%s' is given twice", info->name);
  else if (info->kind == PLEAT_KIND_TENSOR && info->dtype != PLEAT_UNDEFINED &&
           pleat_tensor_dtype(tensor) != info->dtype)
    result = reject_type(b, slot, place, tensor);
  if (result == CLI_OK) slot->tensor = tensor;
  else pleat_tensor_release(tensor);
  return result;
}

/* ---- sources ---- */

static int read_npy(const binder *b, slot *slot, const char *path) {
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_tensor *tensor = NULL;
  void *data = NULL;
  size_t size = 0;
  pleat_status status = files_read(path, &data, &size, &error);
  if (status == PLEAT_OK) status = npy_parse(data, size, path, &tensor, &error);
  free(data);
  return status == PLEAT_OK ? give(b, slot, path, tensor) : cli_fail(b->cli, &error);
}

static int read_entry(const binder *b, slot *slot, const char *path, npz *npz, size_t index) {
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_tensor *tensor = NULL;
  if (npz_read(npz, index, &tensor, &error) != PLEAT_OK) return cli_fail(b->cli, &error);
  return give(b, slot, path, tensor);
}

static char *entry_names(const npz *npz) {
  char *names = cli_strdup("");
  for (size_t i = 0; i < npz_count(npz); i++) {
    char *longer = cli_printf("%s%s%s", names, i ? ", " : "", npz_name(npz, i));
    free(names);
    names = longer;
  }
  return names;
}

static int no_entry(const binder *b, const char *path, const npz *npz, const char *wanted) {
  char *names = entry_names(npz);
  pleat_error error = PLEAT_ERROR_INIT;
  cli_error(&error, PLEAT_INVALID_ARGUMENT, path, "no array %s; it has: %s", wanted, *names ? names : "none");
  free(names);
  return cli_fail(b->cli, &error);
}

/* One input from an archive: the array of its name, or the only one. */
static int read_npz(const binder *b, slot *slot, const char *path) {
  pleat_error error = PLEAT_ERROR_INIT;
  npz *npz = NULL;
  if (npz_open(path, &npz, &error) != PLEAT_OK) return cli_fail(b->cli, &error);
  size_t index = npz_count(npz) == 1 ? 0 : npz_count(npz);
  for (size_t i = 0; i < npz_count(npz); i++)
    if (strcmp(npz_name(npz, i), slot->info->name) == 0) index = i;
  int result = CLI_OK;
  if (index < npz_count(npz)) {
    result = read_entry(b, slot, path, npz, index);
  } else {
    char *wanted = cli_printf("is named '%s'", slot->info->name);
    result = no_entry(b, path, npz, wanted);
    free(wanted);
  }
  npz_close(npz);
  return result;
}

/* All inputs that an archive has arrays for. Other arrays in it are nobody's business. */
static int read_all_of_npz(binder *b, const char *path) {
  pleat_error error = PLEAT_ERROR_INIT;
  npz *npz = NULL;
  if (npz_open(path, &npz, &error) != PLEAT_OK) return cli_fail(b->cli, &error);
  int result = CLI_OK;
  size_t given = 0;
  for (size_t i = 0; i < npz_count(npz) && result == CLI_OK; i++) {
    slot *slot = find_slot(b, npz_name(npz, i), strlen(npz_name(npz, i)));
    if (!slot) continue;
    result = read_entry(b, slot, path, npz, i);
    given++;
  }
  if (given == 0 && npz_count(npz) == 1 && only_slot(b)) result = read_entry(b, only_slot(b), path, npz, 0);
  else if (given == 0) result = no_entry(b, path, npz, "has the name of an input");
  npz_close(npz);
  return result;
}

static int read_pb(const binder *b, slot *slot, const char *path) {
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_tensor *tensor = NULL;
  if (pleat_tensor_load_pb(path, slot->info->kind, &tensor, &error) != PLEAT_OK) return cli_fail(b->cli, &error);
  return give(b, slot, path, tensor);
}

/* Parses "random[:SEED][@SHAPE]", "zeros[@SHAPE]", "ones[@SHAPE]" into `out`. *out_is_one is false when `source` is
 * something else. */
static int parse_made_up(const binder *b, const char *source, slot *out, bool *out_is_one) {
  static const char *const words[] = {
      [PLEAT_FILL_RANDOM] = "random", [PLEAT_FILL_ZEROS] = "zeros", [PLEAT_FILL_ONES] = "ones"};
  *out_is_one = false;
  for (int i = 0; i < 3; i++) {
    size_t length = strlen(words[i]);
    if (strncmp(source, words[i], length) != 0) continue;
    const char *at = source + length;
    if (*at && *at != '@' && (*at != ':' || i != PLEAT_FILL_RANDOM)) continue;
    *out_is_one = out->made_up = true;
    out->fill = (pleat_fill_kind)i;
    if (*at == ':') {
      char *end = NULL;
      errno = 0;
      out->seed = strtoull(at + 1, &end, 10);
      if (at[1] < '0' || at[1] > '9' || errno || (*end && *end != '@'))
        return cli_usage(b->cli, "'%s': the seed is not a whole number", source);
      at = end;
    }
    out->has_shape = *at == '@';
    if (out->has_shape && !shape_parse(at + 1, &out->rank, out->dims))
      return cli_usage(b->cli, "'%s': '%s' is not a shape such as 1x3x224x224", source, at + 1);
    return CLI_OK;
  }
  return CLI_OK;
}

static int take_source(binder *b, slot *slot, const char *source) {
  struct slot parsed = {.info = slot->info};
  bool made_up = false;
  int result = parse_made_up(b, source, &parsed, &made_up);
  if (result != CLI_OK) return result;
  if (made_up) {
    if (slot->tensor || slot->made_up) return cli_usage(b->cli, "input '%s' is given twice", slot->info->name);
    *slot = parsed;
    return CLI_OK;
  }
  if (files_has_suffix(source, ".npy")) return read_npy(b, slot, source);
  if (files_has_suffix(source, ".npz")) return read_npz(b, slot, source);
  if (files_has_suffix(source, ".pb")) return read_pb(b, slot, source);
  return cli_usage(b->cli, "input '%s': '%s' is neither a .npy, .npz or .pb file nor random, zeros or ones",
                   slot->info->name, source);
}

/* An argument without NAME=. */
static int take_bare(binder *b, const char *source) {
  struct slot parsed = {0};
  bool made_up = false;
  int result = parse_made_up(b, source, &parsed, &made_up);
  if (result != CLI_OK) return result;
  if (made_up && !parsed.has_shape) {
    b->others = parsed;
    return CLI_OK;
  }
  if (files_has_suffix(source, ".npz")) return read_all_of_npz(b, source);
  slot *only = only_slot(b);
  if (only) return take_source(b, only, source);
  return cli_usage(b->cli, "-i %s: the model has several inputs, so say which: -i %s=%s", source,
                   b->count ? b->slots[0].info->name : "NAME", source);
}

static int take_argument(binder *b, const char *argument) {
  slot *best = NULL;
  const char *source = NULL;
  for (const char *equals = strchr(argument, '='); equals; equals = strchr(equals + 1, '=')) {
    slot *slot = find_slot(b, argument, (size_t)(equals - argument));
    if (slot) best = slot, source = equals + 1;
  }
  if (best) return take_source(b, best, source);
  if (!strchr(argument, '=') || files_exists(argument)) return take_bare(b, argument);
  return inputs_unknown(b->cli, argument, b->infos, b->count);
}

static int take_shapes(binder *b, const cli_list *arguments, bool random_by_default) {
  shape_list shapes = {0};
  int result = shapes_parse(b->cli, arguments, b->infos, b->count, &shapes);
  for (size_t i = 0; i < shapes.count && result == CLI_OK; i++) {
    slot *slot = find_slot(b, shapes.items[i].name, strlen(shapes.items[i].name));
    if (slot->tensor) {
      result = cli_usage(b->cli, "--shape %s: the input has its shape from its file", slot->info->name);
      continue;
    }
    if (slot->info->has_default && random_by_default) slot->made_up = true;
    slot->has_shape = true;
    slot->rank = shapes.items[i].rank;
    memcpy(slot->dims, shapes.items[i].dims, sizeof slot->dims);
  }
  shapes_deinit(&shapes);
  return result;
}

/* ---- made-up inputs ---- */

/* The size that given inputs have where the model says `symbol`; 1 when none does. */
static int64_t symbol_size(const binder *b, const char *symbol) {
  for (size_t i = 0; symbol && i < b->count; i++) {
    const slot *slot = &b->slots[i];
    const int64_t *dims = slot->tensor ? pleat_tensor_dims(slot->tensor) : slot->dims;
    int rank = slot->tensor ? pleat_tensor_rank(slot->tensor) : slot->has_shape ? slot->rank : -1;
    if (rank != slot->info->rank || slot->info->kind != PLEAT_KIND_TENSOR) continue;
    for (int d = 0; d < rank; d++) {
      const pleat_dim *dim = &slot->info->dims[d];
      if (dim->value < 0 && dim->symbol && strcmp(dim->symbol, symbol) == 0) return dims[d];
    }
  }
  return 1;
}

static int make_up(const binder *b, slot *slot) {
  const pleat_value_info *info = slot->info;
  if (info->kind != PLEAT_KIND_TENSOR || info->dtype == PLEAT_UNDEFINED)
    return cli_usage(b->cli, "input '%s' is a %s: give it as a .pb file", info->name,
                     info->kind == PLEAT_KIND_TENSOR ? "tensor of unknown type" : text_kind(info->kind));
  if (!slot->has_shape && info->rank < 0)
    return cli_usage(b->cli, "input '%s' has an unknown number of dimensions: give --shape %s=1x3x224x224", info->name,
                     info->name);
  if (!slot->has_shape) {
    slot->rank = info->rank;
    for (int d = 0; d < info->rank; d++)
      slot->dims[d] = info->dims[d].value >= 0 ? info->dims[d].value : symbol_size(b, info->dims[d].symbol);
  }
  pleat_error error = PLEAT_ERROR_INIT;
  if (pleat_tensor_make_up(slot->fill, slot->seed, info->name, info->dtype, slot->rank, slot->dims, &slot->tensor,
                           &error) == PLEAT_OK)
    return CLI_OK;
  snprintf(error.tensor, sizeof error.tensor, "%s", info->name);
  return cli_fail(b->cli, &error);
}

static int make_up_all(binder *b) {
  for (size_t i = 0; i < b->count; i++) {
    slot *slot = &b->slots[i];
    if (slot->tensor || slot->made_up || slot->info->has_default || !b->others.made_up) continue;
    slot->made_up = true;
    slot->fill = b->others.fill;
    slot->seed = b->others.seed;
  }
  for (size_t i = 0; i < b->count; i++) {
    int result = b->slots[i].made_up ? make_up(b, &b->slots[i]) : CLI_OK;
    if (result != CLI_OK) return result;
  }
  return CLI_OK;
}

static int report_missing(const binder *b) {
  char *missing = cli_strdup(""), type[TEXT_TYPE];
  const char *first = NULL;
  for (size_t i = 0; i < b->count; i++) {
    const slot *slot = &b->slots[i];
    if (slot->tensor || slot->info->has_default) continue;
    char *longer =
        cli_printf("%s%s%s %s", missing, first ? ", " : "", slot->info->name, text_value_type(slot->info, type));
    free(missing);
    missing = longer;
    if (!first) first = slot->info->name;
  }
  int result = CLI_OK;
  if (first) result = cli_usage(b->cli, "no data for: %s; give it, for example -i %s=random", missing, first);
  free(missing);
  return result;
}

int inputs_make(const cli *cli, const pleat_session *session, const cli_list *sources, const cli_list *shapes,
                bool random_by_default, input_list *out_inputs) {
  size_t count = pleat_session_input_count(session);
  binder b = {.cli = cli, .count = count, .others = {.made_up = random_by_default, .fill = PLEAT_FILL_RANDOM}};
  b.slots = cli_calloc(count, sizeof *b.slots);
  b.infos = cli_calloc(count, sizeof *b.infos);
  *out_inputs = (input_list){0};
  for (size_t i = 0; i < count; i++) b.infos[i] = b.slots[i].info = pleat_session_input(session, i);
  int result = CLI_OK;
  for (size_t i = 0; i < sources->count && result == CLI_OK; i++) result = take_argument(&b, sources->items[i]);
  if (result == CLI_OK) result = take_shapes(&b, shapes, random_by_default);
  if (result == CLI_OK) result = make_up_all(&b);
  if (result == CLI_OK) result = report_missing(&b);
  input_list inputs = {.tensors = cli_calloc(count, sizeof *inputs.tensors), .count = count};
  for (size_t i = 0; i < count; i++) inputs.tensors[i] = b.slots[i].tensor;
  if (result == CLI_OK) *out_inputs = inputs;
  else inputs_deinit(&inputs);
  free(b.slots);
  free(b.infos);
  return result;
}

void inputs_deinit(input_list *inputs) {
  for (size_t i = 0; i < inputs->count; i++) pleat_tensor_release(inputs->tensors[i]);
  free(inputs->tensors);
  *inputs = (input_list){0};
}

/* Shapes for random inputs. A model says little about its unknown dimensions, so several numbers are tried: a small one
 * first, which still is larger than most convolution kernels, then what networks over pictures are commonly made for,
 * then the degenerate 1, 2 and 3, and large ones last. Leading dimensions are batches more often than not. */
#include <string.h>

#include "validate/validate_private.h"

static const struct {
  int64_t first, others; /* an unknown dimension 0, and any other */
} candidates[] = {{2, 8}, {2, 32}, {2, 64}, {2, 224}, {1, 8},  {1, 32},  {1, 64},  {1, 224},
                  {1, 1}, {2, 2},  {1, 2},  {1, 3},   {1, 16}, {1, 128}, {1, 256}, {1, 512}};

size_t pleat_check_candidates(void) {
  return sizeof candidates / sizeof candidates[0];
}

/* The number that a symbol has already: in a given shape, or in an input before. */
static bool find_symbol(const pleat_session *session, const pleat_input_shape *shapes, size_t count, const char *symbol,
                        int64_t *out_value) {
  for (size_t i = 0; i < count; i++) {
    const pleat_value_info *info = pleat_session_input(session, i);
    if (shapes[i].dims == NULL) continue;
    for (int d = 0; d < shapes[i].rank && d < info->rank; d++) {
      if (info->dims[d].value >= 0 || info->dims[d].symbol == NULL || strcmp(info->dims[d].symbol, symbol) != 0)
        continue;
      *out_value = shapes[i].dims[d];
      return true;
    }
  }
  return false;
}

static const pleat_input_shape *find_given(const pleat_check_options *options, const char *name) {
  for (size_t i = 0; i < options->shape_count; i++) {
    if (strcmp(options->shapes[i].name, name) == 0) return &options->shapes[i];
  }
  return NULL;
}

/* A given shape must be one that the model declares. */
static pleat_status check_given(const pleat_session *session, const pleat_input_shape *given, pleat_error *error) {
  const pleat_value_info *info = NULL;
  for (size_t k = 0; k < pleat_session_input_count(session); k++) {
    const pleat_value_info *input = pleat_session_input(session, k);
    if (strcmp(input->name, given->name) == 0) info = input;
  }
  if (info == NULL) {
    return pleat_fail_tensor(error, given->name, PLEAT_INVALID_ARGUMENT, "the model has no input of this name");
  }
  if (info->rank < 0) return PLEAT_OK;
  if (info->rank != given->rank) {
    return pleat_fail_tensor(error, given->name, PLEAT_INVALID_ARGUMENT,
                             "the shape given has rank %d, the model declares %d", given->rank, info->rank);
  }
  for (int d = 0; d < info->rank; d++) {
    if (info->dims[d].value < 0 || info->dims[d].value == given->dims[d]) continue;
    return pleat_fail_tensor(error, given->name, PLEAT_INVALID_ARGUMENT,
                             "dimension %d of the shape given is %lld, the model declares %lld", d,
                             (long long)given->dims[d], (long long)info->dims[d].value);
  }
  return PLEAT_OK;
}

/* The shape of input `index`; those before it are filled, and so are all that were given. */
static pleat_status complete(pleat_arena *arena, const pleat_session *session, pleat_input_shape *shapes, size_t index,
                             size_t candidate, bool *out_open, pleat_error *error) {
  const pleat_value_info *info = pleat_session_input(session, index);
  if (info->kind != PLEAT_KIND_TENSOR) {
    return pleat_fail_tensor(error, info->name, PLEAT_UNSUPPORTED, "random inputs are tensors only, not lists");
  }
  if (info->rank < 0 || info->dtype == PLEAT_UNDEFINED) {
    return pleat_fail_tensor(error, info->name, PLEAT_UNSUPPORTED, "its type or rank is not known: give its shape");
  }
  int64_t *dims = pleat_arena_array(arena, (size_t)info->rank, sizeof *dims);
  if (dims == NULL) return PLEAT_OOM(error);
  for (int d = 0; d < info->rank; d++) {
    const char *symbol = info->dims[d].symbol;
    dims[d] = info->dims[d].value;
    if (dims[d] >= 0) continue;
    dims[d] = d == 0 ? candidates[candidate].first : candidates[candidate].others;
    const int64_t own = dims[d];
    for (int before = 0; symbol != NULL && before < d; before++) { /* N by N */
      const char *other = info->dims[before].symbol;
      if (info->dims[before].value < 0 && other != NULL && strcmp(other, symbol) == 0) dims[d] = dims[before];
    }
    if (symbol != NULL && dims[d] == own &&
        find_symbol(session, shapes, pleat_session_input_count(session), symbol, &dims[d]))
      continue;
    *out_open = true;
  }
  shapes[index] = (pleat_input_shape){.name = info->name, .rank = info->rank, .dims = dims};
  return PLEAT_OK;
}

pleat_status pleat_check_shapes(pleat_arena *arena, const pleat_session *session, const pleat_check_options *options,
                                size_t candidate, pleat_input_shape **out_shapes, bool *out_open, pleat_error *error) {
  const size_t count = pleat_session_input_count(session);
  pleat_input_shape *shapes = pleat_arena_array(arena, count, sizeof *shapes);
  *out_shapes = NULL;
  *out_open = false;
  if (shapes == NULL) return PLEAT_OOM(error);
  for (size_t i = 0; i < options->shape_count; i++) PLEAT_TRY(check_given(session, &options->shapes[i], error));
  for (size_t i = 0; i < count; i++) {
    const pleat_input_shape *given = find_given(options, pleat_session_input(session, i)->name);
    if (given != NULL) shapes[i] = *given;
  }
  for (size_t i = 0; i < count; i++) {
    if (shapes[i].name != NULL || pleat_session_input(session, i)->has_default) continue;
    PLEAT_TRY(complete(arena, session, shapes, i, candidate, out_open, error));
  }
  *out_shapes = shapes;
  return PLEAT_OK;
}

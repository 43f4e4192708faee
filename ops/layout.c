/* Physical layouts as descriptions: the usual ones, their words and their sizes. See layout.h.
 *
 * A tensor's layout is one of the constants here or NULL; nothing ever changes them. */
#include "ops/layout.h"

#include <string.h>

#include "core/checked.h"
#include "core/shape.h"

const pleat_layout pleat_channels_last = {.block = 0};

static const pleat_layout blocked[] = {{.block = 4}, {.block = 8}, {.block = PLEAT_LAYOUT_MAX_BLOCK}};
static const pleat_layout bf16_layouts[] = {{.block = 0, .bf16 = true},
                                            {.block = 1, .bf16 = true},
                                            {.block = 4, .bf16 = true},
                                            {.block = 8, .bf16 = true},
                                            {.block = PLEAT_LAYOUT_MAX_BLOCK, .bf16 = true}};
enum { BLOCKED = sizeof blocked / sizeof *blocked, BF16_LAYOUTS = sizeof bf16_layouts / sizeof *bf16_layouts };

const pleat_layout *pleat_layout_blocked(int block) {
  for (int i = 0; i < BLOCKED; i++) {
    if (blocked[i].block == block) return &blocked[i];
  }
  return NULL;
}

const pleat_layout *pleat_layout_as(const pleat_layout *layout, bool bf16) {
  const int block = layout != NULL ? layout->block : 1;
  if (!bf16) return block == 0 ? &pleat_channels_last : pleat_layout_blocked(block);
  for (int i = 0; i < BF16_LAYOUTS; i++) {
    if (bf16_layouts[i].block == block) return &bf16_layouts[i];
  }
  return NULL;
}

const pleat_layout *pleat_layout_plainest(const pleat_layout *layout, int rank, const int64_t *dims) {
  return pleat_layout_is_dense(layout, rank, dims) ? pleat_layout_as(NULL, pleat_layout_is_bf16(layout)) : layout;
}

bool pleat_layout_equal(const pleat_layout *a, const pleat_layout *b) {
  return a == b || (a != NULL && b != NULL && a->block == b->block && a->bf16 == b->bf16);
}

const char *pleat_layout_text(const pleat_layout *layout) {
  static const struct {
    int block;
    const char *plain, *bf16;
  } texts[] = {{0, "channels last", "channels last in bfloat16"},
               {1, "dense", "bfloat16"},
               {4, "4 channels blocked", "4 channels blocked in bfloat16"},
               {8, "8 channels blocked", "8 channels blocked in bfloat16"},
               {16, "16 channels blocked", "16 channels blocked in bfloat16"}};
  const int block = layout != NULL ? layout->block : 1;
  size_t i = 0;
  while (texts[i].block != block) i++;
  return pleat_layout_is_bf16(layout) ? texts[i].bf16 : texts[i].plain;
}

bool pleat_layout_is_dense(const pleat_layout *layout, int rank, const int64_t *dims) {
  if (layout == NULL || layout->block == 1) return true;
  if (layout->block == 0 && dims[1] == 1) return true;
  return pleat_layout_fills(layout, dims[1]) && pleat_volume(dims, 2, rank) == 1;
}

int64_t pleat_layout_channels(const pleat_layout *layout, int64_t channels) {
  const int64_t block = layout != NULL && layout->block > 0 ? layout->block : 1, rest = channels % block;
  return rest > 0 ? channels + block - rest : channels;
}

bool pleat_layout_fills(const pleat_layout *layout, int64_t channels) {
  return pleat_layout_channels(layout, channels) == channels;
}

size_t pleat_layout_element(const pleat_layout *layout, pleat_dtype dtype) {
  return pleat_layout_is_bf16(layout) ? sizeof(uint16_t) : pleat_dtype_size(dtype);
}

size_t pleat_layout_bytes(const pleat_tensor *tensor) {
  const size_t own = pleat_bytes(tensor), dense = pleat_layout_is_bf16(tensor->layout) ? own / 2 : own;
  size_t bytes;
  if (tensor->layout == NULL || tensor->layout->block == 1 || tensor->count == 0) return dense;
  const size_t channels = (size_t)tensor->dims[1];
  const size_t padded = (size_t)pleat_layout_channels(tensor->layout, tensor->dims[1]);
  return pleat_mul_size(dense / channels, padded, &bytes) ? bytes : SIZE_MAX;
}

void pleat_layout_clear_padding(const pleat_tensor *tensor) {
  const pleat_layout *layout = tensor->layout;
  if (layout == NULL || pleat_layout_fills(layout, tensor->dims[1])) return;
  const size_t size = pleat_dtype_size(tensor->dtype), block = (size_t)layout->block;
  const size_t used = (size_t)tensor->dims[1] % block, positions = (size_t)pleat_volume(tensor->dims, 2, tensor->rank);
  const size_t channels = (size_t)pleat_layout_channels(layout, tensor->dims[1]);
  char *end = tensor->data;
  for (int64_t n = 0; n < tensor->dims[0]; n++) {
    end += channels * positions * size;
    for (size_t i = 0; i < positions; i++) memset(end - (i * block + block - used) * size, 0, (block - used) * size);
  }
}

void pleat_layout_span(const pleat_layout *layout, int rank, const int64_t *dims, int axis, int64_t *out_outer,
                       int64_t *out_run) {
  if (layout == NULL || layout->block == 1) {
    *out_outer = pleat_volume(dims, 0, axis);
    *out_run = pleat_volume(dims, axis, rank);
    return;
  }
  const int64_t channels = pleat_layout_channels(layout, dims[1]), positions = pleat_volume(dims, 2, rank);
  const int64_t inner = layout->block > 0 ? layout->block : channels; /* channels that lie at each position */
  if (axis == 0) {
    *out_outer = 1;
    *out_run = dims[0] * channels * positions;
  } else if (axis == 1) {
    *out_outer = layout->block > 0 ? dims[0] : dims[0] * positions;
    *out_run = layout->block > 0 ? channels * positions : channels;
  } else {
    *out_outer = dims[0] * (channels / inner) * pleat_volume(dims, 2, axis);
    *out_run = pleat_volume(dims, axis, rank) * inner;
  }
}

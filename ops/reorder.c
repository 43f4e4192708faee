/* Reorder: copies a tensor from one physical layout to another, or to and from dense. Not an operator of ONNX: the plan
 * puts these steps where a kernel wants another layout than its input has.
 *
 * Every layout is read into and written from tiles of some positions by PLEAT_LAYOUT_MAX_BLOCK channels, channels
 * innermost. All blocks divide a tile, so that a tile begins at a block's beginning in both layouts; channels that do
 * not exist are zeros in the tile, which is what pads blocks. */
#include <string.h>

#include "core/shape.h"
#include "ops/kernels.h"
#include "ops/layout.h"

enum { LANES = PLEAT_LAYOUT_MAX_BLOCK, TILE_POSITIONS = 64 };

/* A part of one sample: `channels` from `channel` on, at most LANES, and `positions` from `position` on. */
typedef struct part {
  int64_t sample, channel, channels, position, positions;
  int64_t all_channels, all_positions; /* the sample's */
} part;

static int64_t divide_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/* Elements of a sample, with what pads its blocks. */
static int64_t sample_size(const pleat_tensor *tensor) {
  return pleat_layout_channels(tensor->layout, tensor->dims[1]) * pleat_volume(tensor->dims, 2, tensor->rank);
}

/* Tile `task` of all samples. */
static part part_of(const pleat_tensor *x, size_t task) {
  const int64_t channels = x->dims[1], positions = pleat_volume(x->dims, 2, x->rank);
  const int64_t groups = divide_up(channels, LANES), tiles = divide_up(positions, TILE_POSITIONS);
  const int64_t group = (int64_t)task / tiles;
  part p = {.sample = group / groups,
            .channel = group % groups * LANES,
            .position = (int64_t)task % tiles * TILE_POSITIONS,
            .all_channels = channels,
            .all_positions = positions};
  p.channels = channels - p.channel < LANES ? channels - p.channel : LANES;
  p.positions = positions - p.position < TILE_POSITIONS ? positions - p.position : TILE_POSITIONS;
  return p;
}

#define T        uint8_t
#define FN(name) name##_8
#include "ops/reorder.inc"
#undef T
#undef FN
#define T        uint16_t
#define FN(name) name##_16
#include "ops/reorder.inc"
#undef T
#undef FN
#define T        uint32_t
#define FN(name) name##_32
#include "ops/reorder.inc"
#undef T
#undef FN
#define T        uint64_t
#define FN(name) name##_64
#include "ops/reorder.inc"
#undef T
#undef FN

/* Tiles [first, end) of all samples, from floats to bfloat16 or back on the way. */
static void round_tiles(const pleat_call *call, const void *plan, size_t first, size_t end) {
  const pleat_tensor *x = call->inputs[0], *y = call->outputs[0];
  const bool to_bf16 = pleat_layout_is_bf16(y->layout);
  (void)plan;
  for (size_t task = first; task < end; task++) {
    uint16_t half[TILE_POSITIONS * LANES];
    uint32_t whole[TILE_POSITIONS * LANES];
    const part p = part_of(x, task);
    const size_t count = (size_t)p.positions * LANES;
    if (to_bf16) {
      load_32(x->layout, (const uint32_t *)x->data + p.sample * sample_size(x), &p, whole);
      pleat_convert(PLEAT_FLOAT, whole, PLEAT_BFLOAT16, half, count, NULL);
      store_16(y->layout, (uint16_t *)y->data + p.sample * sample_size(y), &p, half);
    } else {
      load_16(x->layout, (const uint16_t *)x->data + p.sample * sample_size(x), &p, half);
      pleat_convert(PLEAT_BFLOAT16, half, PLEAT_FLOAT, whole, count, NULL);
      store_32(y->layout, (uint32_t *)y->data + p.sample * sample_size(y), &p, whole);
    }
  }
}

static bool is_dense(const pleat_tensor *tensor) {
  return pleat_layout_is_dense(tensor->layout, tensor->rank, tensor->dims);
}

static size_t element_size(const pleat_tensor *tensor) {
  return pleat_layout_element(tensor->layout, tensor->dtype);
}

static pleat_dtype stored_type(const pleat_tensor *tensor) {
  return pleat_layout_is_bf16(tensor->layout) ? PLEAT_BFLOAT16 : tensor->dtype;
}

static pleat_status prepare(pleat_call *call) {
  const pleat_tensor *x = call->inputs[0], *y = pleat_out(call, 0);
  const size_t size = element_size(x);
  if (y != NULL && stored_type(x) != stored_type(y) && is_dense(x) && is_dense(y)) return PLEAT_OK;
  if (x->kind != PLEAT_KIND_TENSOR || size > sizeof(uint64_t))
    return pleat_fail(call->error, PLEAT_UNSUPPORTED, "no layouts for elements of %zu bytes", size);
  if (x->rank < PLEAT_LAYOUT_MIN_RANK || x->rank > PLEAT_LAYOUT_MAX_RANK)
    return pleat_fail(call->error, PLEAT_UNSUPPORTED, "no layouts for %d dimensions", x->rank);
  return PLEAT_OK;
}

static pleat_call_loop *reorder_of(size_t size) {
  switch (size) {
  case 1:
    return reorder_tiles_8;
  case 2:
    return reorder_tiles_16;
  case 4:
    return reorder_tiles_32;
  default:
    return reorder_tiles_64;
  }
}

static pleat_status run(const pleat_call *call) {
  const pleat_tensor *from = call->inputs[0], *to = call->outputs[0];
  if (from->count == 0) return PLEAT_OK;
  const bool rounds = stored_type(from) != stored_type(to);
  if (rounds && is_dense(from) && is_dense(to)) {
    pleat_convert(stored_type(from), from->data, stored_type(to), to->data, from->count, NULL);
    return PLEAT_OK;
  }
  const int64_t tiles = divide_up(from->dims[1], LANES) *
                        divide_up(pleat_volume(from->dims, 2, from->rank), TILE_POSITIONS) * from->dims[0];
  pleat_call_share(call, true, (size_t)tiles, rounds ? round_tiles : reorder_of(element_size(from)), NULL);
  return PLEAT_OK;
}

const pleat_kernel pleat_reorder = {
    .name = "reorder", .types = 0, .flags = PLEAT_KERNEL_LAYOUTS, .prepare = prepare, .run = run};

static const pleat_kernel *const kernels[] = {PLEAT_ONEDNN_KERNEL(pleat_onednn_reorder) & pleat_reorder, NULL};

pleat_status pleat_reorder_take(pleat_call *call, const pleat_kernel **out_kernel) {
  pleat_error *const report = call->error;
  pleat_status status = PLEAT_UNSUPPORTED;
  *out_kernel = NULL;
  for (size_t i = 0; kernels[i] != NULL && status == PLEAT_UNSUPPORTED; i++) {
    if (kernels[i]->types != 0 && (kernels[i]->types & PLEAT_M(call->inputs[0]->dtype)) == 0) continue;
    call->error = kernels[i] == &pleat_reorder ? report : NULL; /* why another one declines interests nobody */
    status = pleat_kernel_prepare(kernels[i], call);
    call->error = report;
    if (status == PLEAT_OK) *out_kernel = kernels[i];
  }
  return status;
}

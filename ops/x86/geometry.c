/* What convolutions here have in common: which they decline, their geometry from node and shapes, and packing their
 * weights. */
#include <limits.h>
#include <string.h>

#include "core/memory.h"
#include "core/parallel.h"
#include "core/shape.h"
#include "core/small_float.h"
#include "ops/conv.h"
#include "ops/conv_shape.h"
#include "ops/x86/x86.h"

/* Every channel by a filter of its own. */
static bool is_depthwise(const pleat_call *call) {
  const int64_t groups = pleat_attr_int(call->node, "group");
  return groups > 1 && groups == call->inputs[PLEAT_X86_X]->dims[1] && groups == call->outputs[0]->dims[1];
}

/* The call's activation, PRelu with constant slopes included. */
static bool activation_of(const pleat_call *call, pleat_x86_activation *out_activation) {
  const pleat_tensor *slopes = pleat_in(call, PLEAT_X86_SLOPES);
  if (pleat_x86_activation_of(call->node, out_activation)) return true;
  out_activation->curve = PLEAT_X86_PRELU;
  return slopes != NULL && slopes->data != NULL &&
         (slopes->count == 1 || slopes->count == (size_t)call->outputs[0]->dims[1]);
}

/* What not every kernel takes: a scaled input, the mean of the result, and fewer channels of it than a vector holds. */
enum { SCALE = 1, MEAN = 2, NARROW = 4 };

static const char *refuse_any(const pleat_call *call, unsigned taken) {
  const pleat_x86_code *code = pleat_x86_code_for(call->bf16);
  const pleat_tensor *x = call->inputs[PLEAT_X86_X], *w = call->inputs[PLEAT_X86_W], *b = pleat_in(call, PLEAT_X86_B);
  const pleat_tensor *y = call->outputs[0];
  pleat_x86_activation activation;
  if (code == NULL) return PLEAT_X86_NO_CODE;
  if (call->wanted == NULL) return "only where layouts are planned";
  if (pleat_conv_is_scaled(call) && (taken & SCALE) == 0) return "a scaled input";
  if (pleat_conv_gives_mean(call) && (taken & MEAN) == 0) return "not with the mean of the result";
  if (x->rank < 3 || x->rank > 4) return "not for this number of dimensions";
  if (x->count == 0 || w->count == 0 || y->count == 0) return "an empty tensor";
  if (!pleat_call_is_constant(call, PLEAT_X86_W)) return "the weight is not constant";
  if (b != NULL && b->data == NULL) return "the bias is not constant";
  if (y->dims[1] < code->lanes && (taken & NARROW) == 0) return "fewer channels than a vector holds";
  if (!activation_of(call, &activation)) return "not with this activation";
  if (y->dims[1] % code->lanes != 0 && !pleat_x86_keeps_zero(&activation)) return "its activation does not keep zero";
  return NULL;
}

const char *pleat_x86_refuse_conv(const pleat_call *call, bool knows_scale) {
  const char *reason = refuse_any(call, knows_scale ? SCALE : 0);
  if (reason != NULL) return reason;
  const pleat_tensor *w = call->inputs[PLEAT_X86_W];
  const int lanes = pleat_x86_code_for(call->bf16)->lanes;
  const int64_t groups = pleat_attr_int(call->node, "group");
  if (call->inputs[PLEAT_X86_X]->dims[1] < lanes) return "fewer channels than a vector holds";
  if (groups > 1 && (w->dims[1] % lanes != 0 || w->dims[0] / groups % lanes != 0))
    return "groups that are no whole vectors";
  return NULL;
}

const char *pleat_x86_refuse_depthwise(const pleat_call *call) {
  return is_depthwise(call) ? refuse_any(call, MEAN) : "not depthwise";
}

const char *pleat_x86_refuse_planes(const pleat_call *call) {
  /* A result of one or two channels leaves lanes idle, and has them in memory. With so many taps a result that is
   * little of the time, and oneDNN's code is no faster, but megabytes long; with 8 channels it is faster. */
  enum { MANY_TAPS = 64, FEW = 2 };
  const pleat_tensor *w = call->inputs[PLEAT_X86_W];
  const bool is_narrow = w->dims[0] <= FEW && pleat_volume(w->dims, 1, w->rank) >= MANY_TAPS;
  const char *reason = refuse_any(call, is_narrow ? NARROW : 0);
  if (reason != NULL) return reason;
  if (call->inputs[PLEAT_X86_X]->dims[1] >= pleat_x86_code_for(call->bf16)->lanes)
    return "as many channels as a vector holds";
  if (pleat_attr_int(call->node, "group") > 1) return "groups";
  return NULL;
}

const char *pleat_x86_refuse_pair(const pleat_call *first, const pleat_call *second) {
  /* Less stays in the second-level cache from one step to the next, and is of so few positions that reading filters is
   * much of the work: conv.c, which takes more of them at a time, is faster then. */
  enum { CACHED_BYTES = 256 * 1024 };
  const char *reason = pleat_x86_refuse_depthwise_window(second);
  if (reason != NULL) return reason;
  if (first->variant == 0 && pleat_bytes(first->outputs[0]) < CACHED_BYTES)
    return "the value between them stays in the cache";
  return NULL;
}

/* Sizes as ints, planes of one line where there is one axis. False: beyond an int. */
static bool set_sizes(pleat_x86_conv *conv, const pleat_call *call, const pleat_window *window) {
  const pleat_tensor *x = call->inputs[PLEAT_X86_X], *w = call->inputs[PLEAT_X86_W], *y = call->outputs[0];
  const int first = 2 - window->spatial, lanes = conv->code->lanes;
  int *const sizes[] = {&conv->height, &conv->width}, *const outs[] = {&conv->out_height, &conv->out_width};
  int64_t padded = 1;
  *sizes[0] = *outs[0] = conv->kernel[0] = conv->stride[0] = conv->dilation[0] = 1;
  if (w->dims[0] > INT_MAX / 64 || x->dims[1] > INT_MAX / 64) return false;
  for (int i = 0; i < window->spatial; i++) {
    const int64_t size = x->dims[2 + i] + window->pad_begin[i] + window->pad_end[i];
    if (size > INT_MAX || y->dims[2 + i] > INT_MAX || (padded *= size) > INT_MAX) return false;
    *sizes[first + i] = (int)x->dims[2 + i];
    *outs[first + i] = (int)y->dims[2 + i];
    conv->kernel[first + i] = (int)window->kernel[i];
    conv->stride[first + i] = (int)window->stride[i];
    conv->dilation[first + i] = (int)window->dilation[i];
    conv->pad_begin[first + i] = (int)window->pad_begin[i];
    conv->pad_end[first + i] = (int)window->pad_end[i];
  }
  conv->batch = x->dims[0];
  conv->groups = is_depthwise(call) ? 1 : (int)pleat_attr_int(call->node, "group");
  conv->in_channels = (int)(x->dims[1] / conv->groups);
  conv->out_channels = (int)w->dims[0] / conv->groups;
  conv->in_blocks = pleat_x86_divide_up(conv->in_channels, lanes);
  conv->out_blocks = pleat_x86_divide_up(conv->out_channels, lanes);
  return true;
}

/* A block more than there are channels for: pairs of blocks are read at once. Slopes likewise. */
static bool set_bias(pleat_x86_conv *conv, pleat_call *call) {
  const pleat_tensor *b = pleat_in(call, PLEAT_X86_B), *slopes = pleat_in(call, PLEAT_X86_SLOPES);
  const size_t count = ((size_t)conv->groups * (size_t)conv->out_blocks + 1) * (size_t)conv->code->lanes;
  float *bias = pleat_arena_array(call->arena, slopes != NULL ? 2 * count : count, sizeof *bias);
  if (bias == NULL) return false;
  if (b != NULL) memcpy(bias, b->data, pleat_bytes(b));
  conv->bias = bias;
  conv->activation.slopes = (ptrdiff_t)count;
  for (int64_t i = 0; slopes != NULL && i < call->outputs[0]->dims[1]; i++)
    bias[(int64_t)count + i] = ((const float *)slopes->data)[slopes->count == 1 ? 0 : i];
  return true;
}

pleat_status pleat_x86_describe_conv(pleat_call *call, pleat_x86_conv *out_conv) {
  const pleat_tensor *x = call->inputs[PLEAT_X86_X], *w = call->inputs[PLEAT_X86_W];
  const pleat_shape shape = pleat_shape_of(x->rank, x->dims);
  pleat_dim sizes[PLEAT_MAX_SPATIAL];
  pleat_window window;
  PLEAT_TRY(pleat_window_parse(call->node, x->rank - 2, &window, call->error));
  for (int i = 0; i < window.spatial; i++) window.kernel[i] = w->dims[2 + i];
  PLEAT_TRY(pleat_window_output(&window, &shape, sizes, call->error));
  *out_conv = (pleat_x86_conv){.code = pleat_x86_code_for(call->bf16)};
  (void)activation_of(call, &out_conv->activation);
  if (!set_sizes(out_conv, call, &window)) return pleat_fail(call->error, PLEAT_UNSUPPORTED, "a plane is too large");
  if (!set_bias(out_conv, call)) return PLEAT_OOM(call->error);
  const pleat_layout *blocked = pleat_layout_as(pleat_layout_blocked(out_conv->code->lanes), call->bf16);
  const pleat_tensor *y = call->outputs[0];
  call->wanted[PLEAT_X86_X] = pleat_layout_plainest(blocked, x->rank, x->dims);
  call->outputs[0]->layout = pleat_layout_plainest(blocked, y->rank, y->dims);
  if (pleat_in(call, PLEAT_X86_Z) != NULL) call->wanted[PLEAT_X86_Z] = y->layout;
  return PLEAT_OK;
}

/* ---- rows ---- */

int pleat_x86_extent(const pleat_x86_conv *conv) {
  return (conv->kernel[0] - 1) * conv->dilation[0] + 1;
}

void pleat_x86_see(const pleat_x86_conv *conv, int row, int end, int *out_top, int *out_bottom) {
  const int top = row * conv->stride[0] - conv->pad_begin[0];
  const int bottom = (end - 1) * conv->stride[0] - conv->pad_begin[0] + pleat_x86_extent(conv);
  *out_top = top < 0 ? 0 : top < conv->height ? top : conv->height;
  *out_bottom = bottom < *out_top ? *out_top : bottom < conv->height ? bottom : conv->height;
}

int pleat_x86_band(const pleat_x86_conv *conv, size_t fitting, int most, int *out_rows) {
  const int extent = pleat_x86_extent(conv), rows = fitting < (size_t)conv->height ? (int)fitting : conv->height;
  int band = rows < extent ? 1 : (rows - extent) / conv->stride[0] + 1;
  if (band > most || rows == conv->height) band = most;
  *out_rows = (band - 1) * conv->stride[0] + extent;
  if (*out_rows > conv->height) *out_rows = conv->height;
  return band;
}

/* ---- weights ---- */

void pleat_x86_pack_row(const pleat_x86_code *code, const float *from, size_t step, int count, int k, int width,
                        void *to) {
  if (code->element == sizeof(float)) {
    float *row = (float *)to + k * width;
    for (int j = 0; j < count; j++) row[j] = from[(size_t)j * step];
    return;
  }
  uint16_t *pairs = (uint16_t *)to + k / 2 * 2 * width + k % 2;
  for (int j = 0; j < count; j++) pairs[2 * j] = pleat_f32_to_bf16_inline(from[(size_t)j * step]);
}

/* Filter by filter, as those of 1024 channels lie 4 KiB apart: read across, they would share a few places of the cache.
 */
void pleat_x86_pack_rows(const pleat_x86_code *code, const float *from, size_t step, int count, size_t row_step,
                         int rows, int width, void *to) {
  const bool is_float = code->element == sizeof(float);
  for (int j = 0; j < count; j++, from += step) {
    float *numbers = (float *)to + j;
    uint16_t *pairs = (uint16_t *)to + 2 * j;
    for (int k = 0; is_float && k < rows; k++) numbers[(ptrdiff_t)k * width] = from[(size_t)k * row_step];
    for (int k = 0; !is_float && k < rows; k++)
      pairs[(ptrdiff_t)(k / 2) * 2 * width + k % 2] = pleat_f32_to_bf16_inline(from[(size_t)k * row_step]);
  }
}

typedef struct packing {
  const pleat_x86_conv *conv;
  const pleat_x86_weights *weights;
  int threads;
} packing;

/* Sets of a group from `first` on, whose filters were read. */
typedef struct packing_run {
  const packing *work;
  int first;
  const float *filters;
  char *to;
} packing_run;

static void pack_set(void *arg, int64_t index, int worker) {
  const packing_run *run = arg;
  const pleat_x86_weights *weights = run->work->weights;
  const pleat_x86_conv *conv = run->work->conv;
  const size_t filter = (size_t)conv->in_channels * (size_t)(conv->kernel[0] * conv->kernel[1]);
  const int set = weights->set, width = set * conv->code->lanes, at = run->first + (int)index;
  const int channels = conv->out_channels - at * width, blocks = conv->out_blocks - at * set;
  (void)worker;
  weights->pack(conv, weights->variant, run->filters + (size_t)index * (size_t)width * filter,
                channels < width ? channels : width, blocks < set ? blocks : set,
                run->to + (size_t)index * (size_t)set * weights->block_bytes);
}

/* Some sets after another, so that the filters are never there as a whole besides their pack. */
static pleat_status fill(const pleat_pack_source *source, const void *user, void *pack, pleat_error *error) {
  enum { READ_BYTES = 2 << 20 };
  const packing *work = user;
  const pleat_x86_conv *conv = work->conv;
  const size_t filter = (size_t)conv->in_channels * (size_t)(conv->kernel[0] * conv->kernel[1]);
  const pleat_x86_weights *weights = work->weights;
  const int width = weights->set * conv->code->lanes, sets = pleat_x86_divide_up(conv->out_blocks, weights->set);
  const size_t fit = READ_BYTES / sizeof(float) / (filter * (size_t)width) + 1;
  const int run = fit < (size_t)sets ? (int)fit : sets;
  const size_t bytes = (size_t)run * (size_t)width * filter * sizeof(float);
  float *filters = pleat_block_alloc(bytes);
  if (filters == NULL) return PLEAT_OOM(error);
  for (int group = 0; group < conv->groups; group++) {
    for (int first = 0; first < sets; first += run) {
      const int some = sets - first < run ? sets - first : run, left = conv->out_channels - first * width;
      const int count = left < some * width ? left : some * width;
      pleat_pack_read(source, (size_t)(group * conv->out_channels + first * width) * filter, (size_t)count * filter,
                      filters);
      const size_t block = (size_t)group * (size_t)conv->out_blocks + (size_t)first * (size_t)weights->set;
      packing_run job = {
          .work = work, .first = first, .filters = filters, .to = (char *)pack + block * weights->block_bytes};
      pleat_parallel(work->threads, some, pack_set, &job);
    }
  }
  pleat_block_free(filters, bytes);
  return PLEAT_OK;
}

pleat_status pleat_x86_pack_weights(pleat_call *call, const pleat_x86_conv *conv, const pleat_x86_weights *weights,
                                    const void **out_pack) {
  struct {
    char kernel[sizeof weights->kernel];
    int lanes, element, groups, variant;
  } key;
  memset(&key, 0, sizeof key);
  memcpy(key.kernel, weights->kernel, sizeof key.kernel);
  key.lanes = conv->code->lanes;
  key.element = (int)conv->code->element;
  key.groups = conv->groups;
  key.variant = weights->variant;
  const packing work = {.conv = conv, .weights = weights, .threads = call->threads};
  const size_t bytes = weights->block_bytes * (size_t)conv->out_blocks * (size_t)conv->groups;
  const pleat_pack_format format = {.key = &key, .key_size = sizeof key, .bytes = bytes, .fill = fill, .user = &work};
  return pleat_call_pack(call, PLEAT_X86_W, &format, out_pack);
}

/* Depthwise convolutions (every channel by a filter of its own) with windows of odd width up to 7 that move by 1 or 2;
 * what they do up and down is free. There is nothing to pack but the weights, and no padded copy: rows of outputs are
 * made one after the other where the inputs lie (depthwise.inc).
 *
 * The mean of the result, where it is wanted, is the mean of its rows' means, which are taken while rows are near. */
#include <string.h>

#include "core/memory.h"
#include "core/parallel.h"
#include "ops/conv.h"
#include "ops/x86/x86.h"

typedef struct depthwise {
  pleat_x86_conv conv;
  pleat_x86_depthwise_function *rows;
  const float *weights; /* [blocks][taps][lanes] */
} depthwise;

const char *pleat_x86_refuse_depthwise_window(const pleat_call *call) {
  const char *reason = pleat_x86_refuse_depthwise(call);
  if (reason != NULL) return reason;
  const pleat_tensor *w = call->inputs[PLEAT_X86_W];
  const int64_t *strides = NULL, *dilations = NULL, width = w->dims[w->rank - 1];
  const size_t stride_count = pleat_attr_ints(call->node, "strides", &strides);
  const size_t dilation_count = pleat_attr_ints(call->node, "dilations", &dilations);
  if (width % 2 == 0 || width > PLEAT_X86_DEPTHWISE_WIDEST) return "a window of that width";
  if (stride_count > 0 && strides[stride_count - 1] > PLEAT_X86_DEPTHWISE_STRIDE) return "a stride above 2";
  if (dilation_count > 0 && dilations[dilation_count - 1] > 1) return "dilated";
  return NULL;
}

static pleat_status fill(const pleat_pack_source *source, const void *user, void *pack, pleat_error *error) {
  const pleat_x86_conv *conv = user;
  const size_t count = pleat_pack_tensor(source)->count, bytes = count * sizeof(float);
  const int taps = conv->kernel[0] * conv->kernel[1], lanes = conv->code->lanes;
  float *w = pleat_block_alloc(bytes), *to = pack;
  if (w == NULL) return PLEAT_OOM(error);
  pleat_pack_read(source, 0, count, w);
  for (int first = 0; first < conv->in_blocks * lanes; first += lanes) {
    for (int tap = 0; tap < taps; tap++, to += lanes) {
      for (int k = 0; k < lanes && first + k < conv->in_channels; k++)
        to[k] = w[(size_t)(first + k) * (size_t)taps + (size_t)tap];
    }
  }
  pleat_block_free(w, bytes);
  return PLEAT_OK;
}

pleat_status pleat_x86_pack_depthwise(pleat_call *call, const pleat_x86_conv *conv, const float **out_pack) {
  struct {
    char kernel[16];
    int lanes;
  } key;
  const void *pack = NULL;
  memset(&key, 0, sizeof key);
  memcpy(key.kernel, "x86 depthwise", sizeof "x86 depthwise");
  key.lanes = conv->code->lanes;
  const size_t taps = (size_t)(conv->kernel[0] * conv->kernel[1]);
  const size_t floats = (size_t)conv->in_blocks * taps * (size_t)conv->code->lanes;
  const pleat_pack_format format = {
      .key = &key, .key_size = sizeof key, .bytes = floats * sizeof(float), .fill = fill, .user = conv};
  PLEAT_TRY(pleat_call_pack(call, PLEAT_X86_W, &format, &pack));
  *out_pack = pack;
  return PLEAT_OK;
}

static pleat_status prepare(pleat_call *call) {
  depthwise *d = pleat_call_state(call, sizeof *d);
  if (d == NULL) return PLEAT_OOM(call->error);
  PLEAT_TRY(pleat_x86_describe_conv(call, &d->conv));
  const pleat_x86_conv *conv = &d->conv;
  d->rows = conv->code->depthwise[conv->kernel[1] / 2][conv->stride[1] - 1];
  if (pleat_conv_gives_mean(call)) call->workspace_size = pleat_x86_means_bytes(conv);
  return pleat_x86_pack_depthwise(call, conv, &d->weights);
}

/* How many rows are made before their means are taken. */
static int near_rows(const pleat_x86_conv *conv) {
  enum { NEAR_BYTES = 16 * 1024 };
  const int rows = NEAR_BYTES / (int)sizeof(float) / conv->code->lanes / conv->out_width;
  return rows > 0 ? rows : 1;
}

void pleat_x86_run_depthwise(const pleat_x86_conv *conv, pleat_x86_depthwise_function *rows, int64_t block,
                             const void *x, const float *w, const void *z, void *y, float *means, int first, int end) {
  const int lanes = conv->code->lanes, taps = conv->kernel[0] * conv->kernel[1];
  const int some = means != NULL ? near_rows(conv) : end - first;
  for (int next; first < end; first = next) {
    next = end - first > some ? first + some : end;
    rows(conv, x, w + block * taps * lanes, conv->bias + block * lanes, z, y, first, next);
    for (int row = first; means != NULL && row < next; row++)
      conv->code->pool_plane(false, pleat_x86_at(conv->code, y, (ptrdiff_t)row * conv->out_width * lanes),
                             conv->out_width, means + row * lanes);
  }
}

/* Rows [from, to), counted through all blocks of all samples; `means` (may be NULL): of all rows. */
static void run_rows(const depthwise *d, const void *x, const void *z, void *y, float *means, int64_t from,
                     int64_t to) {
  const pleat_x86_conv *conv = &d->conv;
  const int lanes = conv->code->lanes;
  while (from < to) {
    const int64_t plane = from / conv->out_height, block = plane % conv->in_blocks;
    const int first = (int)(from % conv->out_height);
    const int end = conv->out_height - first < to - from ? conv->out_height : first + (int)(to - from);
    const ptrdiff_t out = plane * pleat_x86_out_plane(conv);
    pleat_x86_run_depthwise(conv, d->rows, block, pleat_x86_at(conv->code, x, plane * pleat_x86_plane(conv)),
                            d->weights, pleat_x86_at(conv->code, z, out), pleat_x86_to(conv->code, y, out),
                            means != NULL ? means + plane * conv->out_height * lanes : NULL, first, end);
    from += end - first;
  }
}

static void run_range(void *arg, int64_t first, int64_t end, int worker) {
  const pleat_call *call = arg;
  const pleat_tensor *z = pleat_in(call, PLEAT_X86_Z);
  (void)worker;
  run_rows(call->state, call->inputs[PLEAT_X86_X]->data, z != NULL ? z->data : NULL, call->outputs[0]->data,
           pleat_conv_gives_mean(call) ? call->workspace : NULL, first, end);
}

size_t pleat_x86_means_bytes(const pleat_x86_conv *conv) {
  const size_t rows = (size_t)conv->batch * (size_t)conv->out_blocks * (size_t)conv->out_height;
  return rows * (size_t)conv->code->lanes * sizeof(float);
}

void pleat_x86_finish_means(const pleat_x86_conv *conv, const float *rows, float *to) {
  const int lanes = conv->code->lanes;
  for (int64_t plane = 0; plane < conv->batch * conv->out_blocks; plane++, rows += conv->out_height * lanes) {
    float mean[PLEAT_LAYOUT_MAX_BLOCK];
    const int channels = pleat_x86_channels_of(conv, (int)(plane % conv->out_blocks));
    pleat_x86_code_of_cpu()->pool_plane(false, rows, conv->out_height, mean); /* of floats, in bfloat16 too */
    memcpy(to, mean, (size_t)channels * sizeof *mean);
    to += channels;
  }
}

static pleat_status run(const pleat_call *call) {
  const depthwise *d = call->state;
  const int64_t rows = d->conv.batch * d->conv.in_blocks * d->conv.out_height;
  const int64_t work = rows * d->conv.out_width * d->conv.code->lanes;
  pleat_parallel_ranges(work < PLEAT_PARALLEL_MIN ? 1 : call->threads, rows, run_range, (void *)(uintptr_t)call);
  if (pleat_conv_gives_mean(call)) pleat_x86_finish_means(&d->conv, call->workspace, call->outputs[1]->data);
  return PLEAT_OK;
}

const pleat_kernel pleat_x86_depthwise = {.name = "depthwise",
                                          .types = PLEAT_M_F32,
                                          .flags = PLEAT_KERNEL_LAYOUTS | PLEAT_KERNEL_BF16,
                                          .inplace = 1u << PLEAT_X86_Z,
                                          .supports = pleat_x86_refuse_depthwise_window,
                                          .prepare = prepare,
                                          .run = run,
                                          .packs = 1u << PLEAT_X86_W};

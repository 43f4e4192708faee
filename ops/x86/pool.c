/* MaxPool and AveragePool on blocks of channels, line by line of the output; and the pools over whole planes, with
 * ReduceMean over all spatial axes, whose results are dense floats. Geometry and what an average counts are those of
 * the reference kernels (ops/pool.h). */
#include <math.h>
#include <string.h>

#include "core/parallel.h"
#include "ops/axes.h"
#include "ops/pool.h"
#include "ops/x86/x86.h"

static bool is_max(const pleat_call *call) {
  return strstr(call->node->op_type, "Max") != NULL;
}

static const pleat_x86_code *code_of(const pleat_call *call) {
  return pleat_x86_code_for(pleat_layout_is_bf16(call->inputs[0]->layout));
}

static const char *refuse(const pleat_call *call) {
  const pleat_x86_code *code = code_of(call);
  if (code == NULL) return PLEAT_X86_NO_CODE;
  if (call->outputs[0] == NULL || pleat_out(call, 1) != NULL) return "indices are asked for";
  if (call->inputs[0]->count == 0 || call->outputs[0]->count == 0) return "an empty tensor";
  if (call->inputs[0]->layout == NULL || call->inputs[0]->layout->block != code->lanes)
    return "its input does not come in blocks";
  return NULL;
}

static int64_t blocks_of(const pleat_tensor *x, int lanes) {
  return x->dims[0] * ((x->dims[1] + lanes - 1) / lanes);
}

/* ---- windows ---- */

typedef struct windows {
  pleat_pool pool;
  const pleat_x86_code *code;
  bool is_max;
} windows;

typedef struct windows_job {
  const windows *w;
  const void *x;
  void *y;
} windows_job;

static pleat_status windows_prepare(pleat_call *call) {
  const bool include_pad = !is_max(call) && pleat_attr_int(call->node, "count_include_pad") != 0;
  PLEAT_TRY(pleat_pool_prepare(call, sizeof(windows), include_pad));
  windows *w = call->state;
  w->code = code_of(call);
  w->is_max = is_max(call);
  call->outputs[0]->layout = call->inputs[0]->layout;
  return PLEAT_OK;
}

/* Sums of several lines would be rounded to bfloat16 one by one. */
static const char *refuse_windows(const pleat_call *call) {
  if (pleat_layout_is_bf16(call->inputs[0]->layout) && !is_max(call)) return "averages of bfloat16";
  return refuse(call);
}

/* A line of what a window that sees nothing gives. */
static void clear_line(const windows *w, void *y, int64_t count) {
  const float nothing = w->is_max ? -INFINITY : 0;
  if (w->code->element == sizeof(float)) {
    for (int64_t i = 0; i < count; i++) ((float *)y)[i] = nothing;
  } else {
    const uint16_t rounded = pleat_f32_to_bf16(nothing);
    for (int64_t i = 0; i < count; i++) ((uint16_t *)y)[i] = rounded;
  }
}

/* The taps of one line of the window, those that the same outputs see at once. *first: there is nothing in y yet. */
static void add_taps(const windows *w, const void *x, int64_t offset, void *y, bool *first) {
  const pleat_pool *p = &w->pool;
  const int lanes = w->code->lanes;
  const int64_t width = p->out[p->last], stride = p->window.stride[p->last], taps = p->window.kernel[p->last];
  for (int64_t tap = 0, same; tap < taps; tap += same) {
    int64_t begin, end, next_begin, next_end;
    pleat_pool_range(p, tap, 0, width, &begin, &end);
    for (same = 1; tap + same < taps; same++) {
      pleat_pool_range(p, tap + same, 0, width, &next_begin, &next_end);
      if (next_begin != begin || next_end != end) break;
    }
    if (begin >= end) continue;
    const bool is_whole = begin == 0 && end == width;
    if (*first && !is_whole) clear_line(w, y, width * lanes);
    const int64_t at = offset + pleat_pool_tap_offset(p, tap) + begin * stride;
    const int64_t tap_step = pleat_pool_tap_offset(p, 1) - pleat_pool_tap_offset(p, 0);
    w->code->pool_line(w->is_max, *first && is_whole, pleat_x86_at(w->code, x, at * lanes), stride * lanes, (int)same,
                       tap_step * lanes, (int)(end - begin), pleat_x86_to(w->code, y, begin * lanes));
    *first = false;
  }
}

/* One line of the output in one block. */
static void run_line(void *arg, int64_t item, int worker) {
  const windows_job *job = arg;
  const pleat_pool *p = &job->w->pool;
  const int lanes = job->w->code->lanes;
  const int64_t block = item / (int64_t)p->rows, width = p->out[p->last];
  const size_t row = (size_t)(item % (int64_t)p->rows);
  const void *x = pleat_x86_at(job->w->code, job->x, block * (int64_t)p->in_plane * lanes);
  void *y = pleat_x86_to(job->w->code, job->y, (block * (int64_t)p->out_plane + (int64_t)row * width) * lanes);
  pleat_pool_walk walk;
  bool first = true;
  (void)worker;
  for (pleat_pool_walk_begin(p, row, &walk); walk.more; pleat_pool_walk_next(p, &walk))
    add_taps(job->w, x, walk.offset, y, &first);
  if (first) clear_line(job->w, y, width * lanes); /* it sees nothing */
  if (!job->w->is_max)
    job->w->code->pool_divide(y, (int)width, p->counted[p->last], (double)pleat_pool_row_count(p, row));
}

static pleat_status windows_run(const pleat_call *call) {
  const windows *w = call->state;
  const pleat_tensor *x = call->inputs[0];
  const int threads = x->count < PLEAT_PARALLEL_MIN ? 1 : call->threads;
  windows_job job = {.w = w, .x = x->data, .y = call->outputs[0]->data};
  pleat_parallel(threads, blocks_of(x, w->code->lanes) * (int64_t)w->pool.rows, run_line, &job);
  return PLEAT_OK;
}

const pleat_kernel pleat_x86_pool = {.name = "pool",
                                     .types = PLEAT_M_F32,
                                     .flags = PLEAT_KERNEL_LAYOUTS | PLEAT_KERNEL_BF16,
                                     .supports = refuse_windows,
                                     .prepare = windows_prepare,
                                     .run = windows_run};

/* ---- whole planes ---- */

typedef struct plane_job {
  const pleat_x86_code *code;
  bool is_max;
  int64_t positions, channels;
  const void *x;
  float *y;
} plane_job;

/* Exactly the axes from 2 on, once each or not. */
static const char *refuse_mean(const pleat_call *call) {
  const char *reason = refuse(call);
  if (reason != NULL) return reason;
  return pleat_axes_are_spatial(call) ? NULL : "only for the mean over all spatial axes";
}

static void run_plane(void *arg, int64_t block, int worker) {
  const plane_job *job = arg;
  const int lanes = job->code->lanes;
  const int64_t blocks = (job->channels + lanes - 1) / lanes, sample = block / blocks, first = block % blocks * lanes;
  const int64_t count = job->channels - first < lanes ? job->channels - first : lanes;
  float result[PLEAT_LAYOUT_MAX_BLOCK];
  (void)worker;
  job->code->pool_plane(job->is_max, pleat_x86_at(job->code, job->x, block * job->positions * lanes), job->positions,
                        result);
  memcpy(job->y + sample * job->channels + first, result, (size_t)count * sizeof *result);
}

static pleat_status plane_run(const pleat_call *call) {
  const pleat_tensor *x = call->inputs[0];
  const int threads = x->count < PLEAT_PARALLEL_MIN ? 1 : call->threads;
  plane_job job = {.code = code_of(call),
                   .is_max = is_max(call),
                   .positions = 1,
                   .channels = x->dims[1],
                   .x = x->data,
                   .y = call->outputs[0]->data};
  for (int i = 2; i < x->rank; i++) job.positions *= x->dims[i];
  pleat_parallel(threads, blocks_of(x, job.code->lanes), run_plane, &job);
  return PLEAT_OK;
}

const pleat_kernel pleat_x86_global_pool = {.name = "pool",
                                            .types = PLEAT_M_F32,
                                            .flags = PLEAT_KERNEL_LAYOUTS | PLEAT_KERNEL_BF16,
                                            .supports = refuse,
                                            .run = plane_run};
const pleat_kernel pleat_x86_reduce_mean = {.name = "pool",
                                            .types = PLEAT_M_F32,
                                            .flags = PLEAT_KERNEL_LAYOUTS | PLEAT_KERNEL_BF16,
                                            .supports = refuse_mean,
                                            .run = plane_run};

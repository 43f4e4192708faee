/* PRelu in the input's layout: one slope for all, a slope a channel, or a slope for every number.
 *
 * Memory is seen as runs in which one vector of slopes serves all vectors of the input (a block of channels, or one
 * channel's plane), or in which slopes follow each other as the numbers do. */
#include "core/parallel.h"
#include "core/shape.h"
#include "ops/broadcast.h"
#include "ops/x86/x86.h"

enum { X, SLOPE };

typedef enum spread { ONE, CHANNEL, EACH, NONE } spread;

typedef struct prelu {
  spread spread;
  const pleat_x86_code *code;
} prelu;

/* How the slopes stand to the input. */
static spread spread_of(const pleat_call *call) {
  const pleat_tensor *x = call->inputs[X], *slope = call->inputs[SLOPE];
  const pleat_shape shape = pleat_shape_of(x->rank, x->dims), given = pleat_shape_of(slope->rank, slope->dims);
  pleat_shape aligned;
  int64_t dims[PLEAT_MAX_RANK];
  if (slope->count == 1) return ONE;
  if (pleat_same_shape(x, slope)) return EACH;
  if (!pleat_elementwise_align(call->node, call->version, &shape, &given, &aligned) || x->rank < 2) return NONE;
  if (!pleat_shape_dims(&aligned, dims) || aligned.rank > x->rank) return NONE;
  const int missing = x->rank - aligned.rank;
  if (missing > 1 || slope->count != (size_t)x->dims[1]) return NONE;
  return dims[1 - missing] == x->dims[1] ? CHANNEL : NONE;
}

static const char *supports(const pleat_call *call) {
  if (pleat_x86_code_of_cpu() == NULL) return PLEAT_X86_NO_CODE;
  if (call->outputs[0] == NULL || call->inputs[X]->count == 0) return "an empty tensor";
  if (spread_of(call) == NONE) return "neither one slope, nor one a channel, nor one a number";
  return NULL;
}

static pleat_status prepare(pleat_call *call) {
  const pleat_tensor *x = call->inputs[X];
  prelu *p = pleat_call_state(call, sizeof *p);
  if (p == NULL) return PLEAT_OOM(call->error);
  p->code = pleat_x86_code_of_cpu();
  p->spread = spread_of(call);
  if (call->wanted == NULL) return PLEAT_OK;
  const pleat_layout *layout = x->layout;
  if (layout != NULL && layout->block > p->code->lanes) {
    layout = pleat_layout_blocked(p->code->lanes); /* a vector of slopes serves all positions of a block */
    if (pleat_layout_is_dense(layout, x->rank, x->dims)) layout = NULL;
  }
  call->wanted[X] = call->outputs[0]->layout = layout;
  call->wanted[SLOPE] = p->spread == EACH ? layout : NULL;
  return PLEAT_OK;
}

/* Runs of numbers with the same slopes, or with slopes that follow each other. */
typedef struct runs {
  int64_t count, length; /* length in numbers */
  int64_t channels;      /* slopes, all in all */
  int block;             /* slopes of a run that repeat; 0: they follow each other */
} runs;

static runs runs_of(const prelu *p, const pleat_tensor *x) {
  const int64_t bytes = (int64_t)pleat_layout_bytes(x), all = bytes / (int64_t)sizeof(float);
  if (p->spread != CHANNEL) return (runs){.count = 1, .length = all, .channels = 1, .block = p->spread == ONE};
  const int64_t channels = x->dims[1], positions = pleat_volume(x->dims, 2, x->rank);
  const int block = x->layout != NULL ? x->layout->block : positions == 1 ? 0 : 1;
  if (block == 0) return (runs){.count = all / channels, .length = channels, .channels = channels};
  return (runs){.count = all / (positions * block), .length = positions * block, .channels = channels, .block = block};
}

/* Numbers [from, to), counted through all runs, from a multiple of a vector's lanes on. */
static void run_range(const prelu *p, const runs *r, const float *x, const float *slope, float *y, int64_t from,
                      int64_t to) {
  float repeated[PLEAT_LAYOUT_MAX_BLOCK];
  while (from < to) {
    const int64_t run = from / r->length, at = from % r->length;
    const int64_t some = r->length - at < to - from ? r->length - at : to - from;
    if (r->block == 0) {
      p->code->maps[PLEAT_X86_MAP_SLOPES_EACH](x + from, y + from, (size_t)some, slope + at);
    } else {
      const int64_t first = run * r->block % pleat_layout_channels(pleat_layout_blocked(r->block), r->channels);
      for (int k = 0; k < p->code->lanes; k++) {
        const int64_t channel = first + k % r->block;
        repeated[k] = channel < r->channels ? slope[channel] : 0;
      }
      p->code->maps[PLEAT_X86_MAP_SLOPES_SAME](x + from, y + from, (size_t)some, repeated);
    }
    from += some;
  }
}

typedef struct job {
  const pleat_call *call;
  runs r;
  int64_t count, vectors;
} job;

/* The last range takes what fills no vector. */
static void run_vectors(void *arg, int64_t first, int64_t end, int worker) {
  const job *job = arg;
  const pleat_call *call = job->call;
  const prelu *p = call->state;
  const int64_t lanes = p->code->lanes;
  (void)worker;
  run_range(p, &job->r, call->inputs[X]->data, call->inputs[SLOPE]->data, call->outputs[0]->data, first * lanes,
            end < job->vectors ? end * lanes : job->count);
}

static pleat_status run(const pleat_call *call) {
  const prelu *p = call->state;
  job job = {.call = call, .r = runs_of(p, call->inputs[X])};
  job.count = job.r.count * job.r.length;
  job.vectors = (job.count + p->code->lanes - 1) / p->code->lanes;
  pleat_parallel_ranges(job.count < PLEAT_PARALLEL_SIMPLE ? 1 : call->threads, job.vectors, run_vectors, &job);
  return PLEAT_OK;
}

const pleat_kernel pleat_x86_prelu = {.name = "vector",
                                      .types = PLEAT_M_F32,
                                      .flags = PLEAT_KERNEL_LAYOUTS,
                                      .inplace = 3u,
                                      .supports = supports,
                                      .prepare = prepare,
                                      .run = run};

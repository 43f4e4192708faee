/* Add, Sub and Mul of a tensor in blocks of channels with one of its own shape, or with one number a channel (of each
 * sample, as squeeze-and-excite scales, or of all of them). Anything else goes to the next kernel.
 *
 * The lanes that are no channels hold zeros in both operands, and so in the result. */
#include <string.h>

#include "core/parallel.h"
#include "ops/x86/x86.h"

typedef struct state {
  const pleat_x86_code *code;
  pleat_x86_binary operation;
  int leader;                          /* the operand in blocks */
  bool is_channel;                     /* the other one has a number a channel, dense */
  bool per_sample;                     /* of its own for each sample */
  int64_t channels, blocks, positions; /* blocks of a sample */
} state;

static bool find(const char *op, pleat_x86_binary *out_operation) {
  static const char *const names[] = {"Add", "Sub", "Mul"};
  for (int i = 0; i < 3; i++) {
    if (strcmp(names[i], op) != 0) continue;
    *out_operation = (pleat_x86_binary)i;
    return true;
  }
  return false;
}

/* [1 or N, C, 1...], leading ones left out or not. */
static bool is_number_a_channel(const pleat_tensor *x, const pleat_tensor *s, bool *out_per_sample) {
  const int missing = x->rank - s->rank;
  if (missing < 0 || missing > 1 || s->dims[1 - missing] != x->dims[1]) return false;
  for (int i = 2 - missing; i < s->rank; i++) {
    if (s->dims[i] != 1) return false;
  }
  *out_per_sample = missing == 0 && s->dims[0] == x->dims[0] && x->dims[0] > 1;
  return missing == 1 || s->dims[0] == 1 || s->dims[0] == x->dims[0];
}

/* NULL when it fits; fills `out`. */
static const char *examine(const pleat_call *call, state *out) {
  *out = (state){0};
  if (pleat_x86_code_of_cpu() == NULL) return PLEAT_X86_NO_CODE;
  if (!find(call->node->op_type, &out->operation) || call->input_count != 2) return "not two tensors";
  if (call->version->since < 7) return "broadcasting of old opsets";
  if (call->outputs[0]->count == 0) return "an empty tensor";
  for (out->leader = 0; out->leader < 2; out->leader++) {
    const pleat_tensor *x = call->inputs[out->leader], *s = call->inputs[1 - out->leader];
    out->code = pleat_x86_code_for(pleat_layout_is_bf16(x->layout));
    if (out->code == NULL || x->layout == NULL || x->layout->block != out->code->lanes) continue;
    if (!pleat_same_shape(x, call->outputs[0])) continue;
    if (pleat_same_shape(x, s)) return NULL;
    out->is_channel = is_number_a_channel(x, s, &out->per_sample);
    if (out->is_channel && (out->leader == 0 || out->operation != PLEAT_X86_SUB)) return NULL;
  }
  return "no operand in blocks with another of its shape or a number a channel";
}

static const char *supports(const pleat_call *call) {
  state found;
  return examine(call, &found);
}

static pleat_status prepare(pleat_call *call) {
  state *s = pleat_call_state(call, sizeof *s);
  if (s == NULL) return PLEAT_OOM(call->error);
  (void)examine(call, s);
  const pleat_tensor *x = call->inputs[s->leader];
  s->channels = x->dims[1];
  s->blocks = (x->dims[1] + s->code->lanes - 1) / s->code->lanes;
  s->positions = pleat_volume(x->dims, 2, x->rank);
  call->wanted[s->leader] = call->outputs[0]->layout = x->layout;
  call->wanted[1 - s->leader] = s->is_channel ? NULL : x->layout;
  return PLEAT_OK;
}

static void run_same(void *arg, int64_t first, int64_t end, int worker) {
  const pleat_call *call = arg;
  const state *s = call->state;
  const int64_t lanes = s->code->lanes;
  (void)worker;
  s->code->binary(s->operation, pleat_x86_at(s->code, call->inputs[0]->data, first * lanes),
                  pleat_x86_at(s->code, call->inputs[1]->data, first * lanes), false, end - first,
                  pleat_x86_to(s->code, call->outputs[0]->data, first * lanes));
}

/* Blocks [first, end), counted through all samples. */
static void run_channels(void *arg, int64_t first, int64_t end, int worker) {
  const pleat_call *call = arg;
  const state *s = call->state;
  const int64_t lanes = s->code->lanes;
  const float *numbers = call->inputs[1 - s->leader]->data;
  (void)worker;
  for (int64_t block = first; block < end; block++) {
    float vector[PLEAT_LAYOUT_MAX_BLOCK] = {0};
    const int64_t channel = block % s->blocks * lanes, at = block * s->positions * lanes;
    const int64_t count = s->channels - channel < lanes ? s->channels - channel : lanes;
    memcpy(vector, numbers + (s->per_sample ? block / s->blocks * s->channels : 0) + channel,
           (size_t)count * sizeof *vector);
    s->code->binary(s->operation, pleat_x86_at(s->code, call->inputs[s->leader]->data, at), vector, true, s->positions,
                    pleat_x86_to(s->code, call->outputs[0]->data, at));
  }
}

static pleat_status run(const pleat_call *call) {
  const state *s = call->state;
  const int64_t blocks = call->outputs[0]->dims[0] * s->blocks;
  const int threads = call->outputs[0]->count < PLEAT_PARALLEL_SIMPLE ? 1 : call->threads;
  void *job = (void *)(uintptr_t)call;
  if (s->is_channel) pleat_parallel_ranges(threads, blocks, run_channels, job);
  else pleat_parallel_ranges(threads, blocks * s->positions, run_same, job);
  return PLEAT_OK;
}

const pleat_kernel pleat_x86_binary_blocks = {.name = "blocks",
                                              .types = PLEAT_M_F32,
                                              .flags = PLEAT_KERNEL_LAYOUTS | PLEAT_KERNEL_BF16,
                                              .inplace = 3u,
                                              .supports = supports,
                                              .prepare = prepare,
                                              .run = run};

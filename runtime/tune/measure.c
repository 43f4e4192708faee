/* Timing kernels on made-up activations and the call's own constants.
 *
 * A candidate is judged with what it causes: it is charged for converting its inputs from the layouts in which their
 * producers leave them, and for converting its output to the layout that the kernels' own rule would have given. That
 * is what it costs at least when the neighbours stay as they are, so a choice never loses by what it does to others.
 *
 * In a network, a layer finds its input in the caches, but its weights in memory: before each turn the caches are
 * filled with something else, then the input is read once.
 *
 * Candidates take turns, so that a disturbance hits all of them; the fastest turn of each counts, which is the one
 * that was disturbed least. One that is far behind after some turns is dropped. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/memory.h"
#include "tune/tune_private.h"

enum { LEAST_TURNS = 4, MOST_TURNS = 10, FAR_BEHIND = 3, EVICT_BYTES = 32 << 20 };
static const uint64_t BUDGET_NS = 200000000;

/* One kernel call in a candidate. */
typedef struct stage {
  const pleat_kernel *kernel;
  pleat_call call;
} stage;

typedef struct candidate {
  const pleat_kernel *kernel;
  int variant;
  stage *stages; /* conversions of inputs, the kernel itself, conversion of the output */
  size_t stage_count;
  void **memory; /* of tensors and scratch */
  size_t memory_count, memory_capacity;
  int turns;
  uint64_t best; /* of the turns; 0: none yet */
  bool dropped;
} candidate;

typedef struct trial {
  const pleat_call *call;
  pleat_arena *arena;
  candidate *candidates;
  size_t count, capacity;
  const pleat_layout *rule_layout; /* of output 0 */
  void *other;                     /* EVICT_BYTES of what is not the layer's; NULL: the caches stay as they are */
} trial;

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- memory ---- */

/* Neither zero, which some processors multiply faster, nor so small that it becomes denormal. */
static void fill(const pleat_tensor *tensor, void *data, size_t bytes) {
  enum { PERIOD = 13 };
  const pleat_dtype dtype = pleat_layout_is_bf16(tensor->layout) ? PLEAT_BFLOAT16 : tensor->dtype;
  memset(data, 0, bytes);
  if (dtype == PLEAT_FLOAT) {
    for (size_t i = 0; i < bytes / sizeof(float); i++) ((float *)data)[i] = (float)((int)(i % PERIOD) - 6) / 16;
  } else if (dtype == PLEAT_DOUBLE) {
    for (size_t i = 0; i < bytes / sizeof(double); i++) ((double *)data)[i] = (double)((int)(i % PERIOD) - 6) / 16;
  } else if (dtype == PLEAT_FLOAT16 || dtype == PLEAT_BFLOAT16) {
    const uint16_t quarter = dtype == PLEAT_FLOAT16 ? 0x3400 : 0x3e80;
    for (size_t i = 0; i < bytes / sizeof quarter; i++) ((uint16_t *)data)[i] = (uint16_t)(quarter + i % PERIOD);
  }
}

static void *reserve(trial *t, candidate *c, size_t bytes) {
  void *memory = pleat_alloc_aligned(bytes);
  if (memory != NULL && PLEAT_PUSH(t->arena, c->memory, c->memory_count, c->memory_capacity, memory)) return memory;
  free(memory);
  return NULL;
}

static bool give_memory(trial *t, candidate *c, pleat_tensor *tensor) {
  if (tensor->data != NULL) return true;
  const size_t bytes = pleat_layout_bytes(tensor);
  tensor->data = reserve(t, c, bytes);
  if (tensor->data != NULL) fill(tensor, tensor->data, bytes);
  return tensor->data != NULL;
}

/* ---- candidates ---- */

static void close_candidate(candidate *c) {
  for (size_t i = 0; i < c->stage_count; i++) {
    if (c->stages[i].call.instance != NULL) pleat_kernel_close(c->stages[i].kernel, &c->stages[i].call);
    pleat_kernel_release(c->stages[i].kernel, &c->stages[i].call);
  }
  for (size_t i = 0; i < c->memory_count; i++) free(c->memory[i]);
  c->stage_count = c->memory_count = 0;
}

/* The call over tensors of its own, from which every candidate starts. */
static bool copy_call(const trial *t, stage *s, pleat_error *error) {
  const pleat_call *call = t->call;
  pleat_tensor *tensors = pleat_arena_array(t->arena, call->input_count + call->output_count, sizeof *tensors);
  const pleat_tensor **inputs = pleat_arena_array(t->arena, call->input_count, sizeof *inputs);
  pleat_tensor **outputs = pleat_arena_array(t->arena, call->output_count, sizeof *outputs);
  const pleat_layout **wanted = pleat_arena_array(t->arena, call->input_count, sizeof *wanted);
  if (tensors == NULL || inputs == NULL || outputs == NULL || wanted == NULL) return false;
  for (size_t i = 0; i < call->input_count; i++) {
    if (call->inputs[i] == NULL) continue;
    tensors[i] = *call->inputs[i];
    tensors[i].layout = pleat_tune_given(call, i);
    inputs[i] = &tensors[i];
  }
  for (size_t i = 0; i < call->output_count; i++) {
    if (call->outputs[i] == NULL) continue;
    outputs[i] = &tensors[call->input_count + i];
    *outputs[i] = *call->outputs[i];
  }
  s->call = *call;
  s->call.inputs = inputs;
  s->call.outputs = outputs;
  s->call.wanted = call->wanted != NULL ? wanted : NULL;
  s->call.arena = t->arena;
  s->call.error = error;
  return true;
}

/* The step between two layouts of one tensor, both with memory. */
static bool add_conversion(trial *t, candidate *c, const pleat_tensor *from, pleat_tensor *to) {
  stage *s = &c->stages[c->stage_count];
  const pleat_tensor **input = pleat_arena_array(t->arena, 1, sizeof *input);
  pleat_tensor **output = pleat_arena_array(t->arena, 1, sizeof *output);
  const pleat_layout **wanted = pleat_arena_array(t->arena, 1, sizeof *wanted);
  if (input == NULL || output == NULL || wanted == NULL) return false;
  input[0] = from;
  output[0] = to;
  s->call = (pleat_call){.node = t->call->node,
                         .version = t->call->version,
                         .input_count = 1,
                         .output_count = 1,
                         .inputs = input,
                         .outputs = output,
                         .wanted = wanted,
                         .threads = t->call->threads,
                         .arena = t->arena};
  if (pleat_reorder_take(&s->call, &s->kernel) != PLEAT_OK) return false;
  c->stage_count++;
  return true;
}

/* Inputs as their producers leave them, converted where the kernel wants that. */
static bool add_inputs(trial *t, candidate *c, stage *kernel) {
  const pleat_tensor **inputs = (const pleat_tensor **)(uintptr_t)kernel->call.inputs;
  for (size_t i = 0; i < kernel->call.input_count; i++) {
    if (inputs[i] == NULL || (inputs[i]->data == NULL && pleat_call_is_constant(&kernel->call, i))) continue;
    pleat_tensor *given = (pleat_tensor *)(uintptr_t)inputs[i];
    const pleat_layout *wanted = kernel->call.wanted != NULL ? kernel->call.wanted[i] : NULL;
    wanted = pleat_layout_plainest(wanted, given->rank, given->dims);
    given->layout = pleat_tune_given(t->call, i); /* the kernel was told of floats, perhaps */
    if (!give_memory(t, c, given)) return false;
    if (pleat_layout_equal(given->layout, wanted)) continue;
    pleat_tensor *ready = pleat_arena_alloc(t->arena, sizeof *ready);
    if (ready == NULL) return false;
    *ready = *given;
    ready->layout = wanted;
    ready->data = NULL;
    if (!give_memory(t, c, ready) || !add_conversion(t, c, given, ready)) return false;
    inputs[i] = ready;
  }
  return true;
}

/* Outputs; the first one lies over an input where the plan would have it so. */
static bool add_outputs(trial *t, candidate *c, stage *kernel) {
  for (size_t i = 0; i < kernel->call.output_count; i++) {
    pleat_tensor *output = kernel->call.outputs[i];
    if (output == NULL) continue;
    output->data = NULL;
    for (size_t k = 0; i == 0 && k < kernel->call.input_count && k < 32; k++) {
      const pleat_tensor *input = kernel->call.inputs[k];
      if ((kernel->kernel->inplace >> k & 1) == 0 || input == NULL || pleat_call_is_constant(t->call, k)) continue;
      if (pleat_same_shape(input, output) && pleat_layout_equal(input->layout, output->layout))
        output->data = input->data;
    }
    if (!give_memory(t, c, output)) return false;
  }
  return true;
}

/* Makes a candidate ready to run; false, with nothing left of it, when it cannot. */
static bool make_ready(trial *t, candidate *c, stage *kernel) {
  pleat_tensor *output = pleat_out(&kernel->call, 0);
  if (!add_inputs(t, c, kernel)) return false;
  stage *own = &c->stages[c->stage_count++];
  *own = *kernel;
  kernel->kernel = NULL; /* released with the candidate from here on */
  if (!add_outputs(t, c, own)) return false;
  if (output != NULL) output->layout = pleat_layout_plainest(output->layout, output->rank, output->dims);
  if (output != NULL && !pleat_layout_equal(output->layout, t->rule_layout)) {
    pleat_tensor *back = pleat_arena_alloc(t->arena, sizeof *back);
    if (back == NULL) return false;
    *back = *output;
    back->layout = t->rule_layout;
    back->data = NULL;
    if (!give_memory(t, c, back) || !add_conversion(t, c, output, back)) return false;
  }
  for (size_t i = 0; i < c->stage_count; i++) {
    stage *s = &c->stages[i];
    s->call.workspace = reserve(t, c, s->call.workspace_size);
    if (s->call.workspace == NULL || pleat_kernel_open(s->kernel, &s->call) != PLEAT_OK) return false;
  }
  return true;
}

/* Adds a kernel in a variant; kernel NULL: what the rule takes. One that declines is no candidate. */
static pleat_status add_candidate(trial *t, const pleat_kernel *kernel, int variant) {
  pleat_error reason = PLEAT_ERROR_INIT;
  candidate c = {.kernel = kernel};
  stage own = {.kernel = kernel};
  c.stages = pleat_arena_array(t->arena, t->call->input_count + 2, sizeof *c.stages);
  if (c.stages == NULL || !copy_call(t, &own, &reason)) return PLEAT_OOM(t->call->error);
  pleat_status status = kernel != NULL ? pleat_kernel_take_as(&own.call, kernel, variant)
                                       : pleat_kernel_take(&own.call, NULL, 0, &own.kernel);
  if (status == PLEAT_UNSUPPORTED && kernel != NULL) return PLEAT_OK;
  if (status != PLEAT_OK) return pleat_fail(t->call->error, status, "%s", reason.message);
  c.kernel = own.kernel;
  c.variant = own.call.variant;
  if (kernel == NULL && own.call.output_count > 0 && own.call.outputs[0] != NULL)
    t->rule_layout =
        pleat_layout_plainest(own.call.outputs[0]->layout, own.call.outputs[0]->rank, own.call.outputs[0]->dims);
  own.call.error = NULL;
  if (make_ready(t, &c, &own) && PLEAT_PUSH(t->arena, t->candidates, t->count, t->capacity, c)) return PLEAT_OK;
  if (own.kernel != NULL) pleat_kernel_release(own.kernel, &own.call);
  close_candidate(&c);
  return kernel == NULL ? pleat_fail(t->call->error, PLEAT_OUT_OF_MEMORY, "no memory to time a kernel") : PLEAT_OK;
}

static pleat_status add_candidates(trial *t) {
  PLEAT_TRY(add_candidate(t, NULL, 0));
  const candidate rule = t->candidates[0];
  for (const pleat_kernel *const *k = t->call->node->def->kernels; *k != NULL; k++) {
    int variants = 0;
    while ((*k)->variants != NULL && (*k)->variants[variants] != NULL) variants++;
    for (int v = variants > 0; v <= variants; v++) {
      if (*k != rule.kernel || v != rule.variant) PLEAT_TRY(add_candidate(t, *k, v));
    }
  }
  return PLEAT_OK;
}

/* ---- timing ---- */

static void cool(const trial *t, const candidate *c, int turn) {
  const pleat_tensor *x = pleat_in(&c->stages[0].call, 0);
  if (t->other == NULL) return;
  memset(t->other, turn, EVICT_BYTES);
  if (x == NULL || x->data == NULL) return;
  const volatile unsigned char *data = x->data; /* read, though for nothing */
  const size_t bytes = pleat_layout_bytes(x);
  for (size_t i = 0; i < bytes; i += 64) (void)data[i];
}

static void take_turn(candidate *c, uint64_t *best_of_all) {
  const uint64_t start = now_ns();
  for (size_t i = 0; i < c->stage_count; i++) {
    if (pleat_kernel_run(c->stages[i].kernel, &c->stages[i].call) != PLEAT_OK) c->dropped = true;
  }
  const uint64_t took = now_ns() - start + 1;
  if (c->best == 0 || took < c->best) c->best = took;
  if (!c->dropped && (*best_of_all == 0 || took < *best_of_all)) *best_of_all = took;
  if (++c->turns >= LEAST_TURNS - 1 && c->best > FAR_BEHIND * *best_of_all) c->dropped = true;
}

static void race(trial *t) {
  const uint64_t start = now_ns();
  uint64_t best = 0;
  for (int turn = 0; turn < MOST_TURNS; turn++) {
    if (turn >= LEAST_TURNS && now_ns() - start > BUDGET_NS) break;
    for (size_t i = 0; i < t->count; i++) {
      if (t->candidates[i].dropped) continue;
      cool(t, &t->candidates[i], turn);
      take_turn(&t->candidates[i], &best);
    }
  }
}

pleat_status pleat_tune_measure(const pleat_call *call, pleat_arena *arena, pleat_tune_timing **out_timings,
                                size_t *out_count) {
  const size_t held = call->packs != NULL ? call->packs->count : 0;
  trial t = {.call = call, .arena = arena};
  *out_count = 0;
  pleat_status status = add_candidates(&t);
  pleat_tune_timing *timings = pleat_arena_array(arena, t.count, sizeof *timings);
  if (status == PLEAT_OK && timings == NULL) status = PLEAT_OOM(call->error);
  if (status == PLEAT_OK && t.count > 1) {
    t.other = pleat_alloc_aligned(EVICT_BYTES);
    race(&t);
    free(t.other);
  }
  for (size_t i = 0; i < t.count; i++) {
    candidate *c = &t.candidates[i];
    if (timings != NULL) {
      timings[i] =
          (pleat_tune_timing){.kernel = c->kernel, .variant = c->variant, .nanoseconds = c->dropped ? 0 : c->best};
    }
    close_candidate(c);
  }
  if (call->packs != NULL) pleat_pack_list_release(call->packs, held);
  if (status != PLEAT_OK) return status;
  *out_timings = timings;
  *out_count = t.count;
  return PLEAT_OK;
}

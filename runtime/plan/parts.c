/* Batches in parts: whether the samples of a batch may run apart, and how many of them at a time.
 *
 * A large batch's activations leave the caches between any two steps, and its steps all wait for all threads. Where
 * no step mixes samples, the plan of a few samples, run several times, gives the same: what a part writes is still in
 * cache when it is read, and each thread has parts of its own, without waiting for the others until the end. The price
 * is that each part reads the weights anew.
 *
 * That samples are apart is proved on two sketches (slots and steps without kernels), of the whole batch and of a part:
 * they have the same steps; each operator says that it keeps samples apart (pleat_op_def.apart); and whatever has
 * samples has them in dimension 0 and is the same otherwise in both. Unknown is refused: control flow, shapes that only
 * the data tells, operators that say nothing. Which inputs have samples is a guess that the proof confirms: those with
 * as many in dimension 0 as the first input. */
#include <stdlib.h>
#include <string.h>

#include "plan/plan_private.h"

/* ---- the proof ---- */

typedef struct proof {
  pleat_plan *whole;
  const pleat_plan *part;
  int64_t samples, part_samples;
  bool *has_samples; /* by slot of the whole */
  pleat_arena *scratch;
} proof;

static const char *refuse(const proof *p, const pleat_node *node, const char *why) {
  char label[256];
  const char *text = pleat_arena_printf(p->whole->arena, "node '%s' (%s): %s",
                                        pleat_node_label(node, label, sizeof label), node->op_type, why);
  return text != NULL ? text : why;
}

/* Both are known ahead, and the same. */
static bool is_same_data(const pleat_slot *a, const pleat_slot *b) {
  if (a->recipe != NULL || pleat_value_is_constant(a->value)) return a->value == b->value;
  if (a->known == NULL || b->known == NULL || a->known->kind != PLEAT_KIND_TENSOR ||
      a->known->dtype != b->known->dtype || a->known->dtype == PLEAT_STRING || !pleat_same_shape(a->known, b->known))
    return false;
  return a->known->count == 0 || memcmp(a->known->data, b->known->data, pleat_bytes(a->known)) == 0;
}

static pleat_role role_of(const proof *p, uint32_t whole, uint32_t part) {
  if (whole == PLEAT_NO_SLOT) return PLEAT_ROLE_ABSENT;
  const pleat_slot *slot = &p->whole->slots[whole];
  if (slot->storage == PLEAT_STORAGE_CONSTANT || slot->known != NULL)
    return is_same_data(slot, &p->part->slots[part]) ? PLEAT_ROLE_SHARED : PLEAT_ROLE_SIZED;
  return p->has_samples[whole] ? PLEAT_ROLE_SAMPLES : PLEAT_ROLE_SHARED;
}

/* Of one type and shape but for the samples in dimension 0, or of one altogether. */
static bool is_as_expected(const proof *p, const pleat_slot *whole, const pleat_slot *part, bool has_samples) {
  const pleat_tensor *a = &whole->tensor, *b = &part->tensor;
  if (!pleat_slot_is_plain(whole) || !pleat_slot_is_plain(part) || a->dtype != b->dtype || a->rank != b->rank)
    return false;
  if (!has_samples) return pleat_same_shape(a, b);
  if (a->rank < 1 || a->dtype == PLEAT_STRING || a->dims[0] != p->samples || b->dims[0] != p->part_samples)
    return false;
  for (int i = 1; i < a->rank; i++) {
    if (a->dims[i] != b->dims[i]) return false;
  }
  return true;
}

static const char *ask(const proof *p, const pleat_step *step, const pleat_role *roles) {
  const pleat_node *node = step->node;
  const size_t count = node->input_count + node->output_count;
  pleat_type *types = pleat_arena_array(p->scratch, count, sizeof *types);
  if (types == NULL) return "memory is out";
  for (size_t i = 0; i < count; i++) {
    const uint32_t slot = i < node->input_count ? step->inputs[i] : step->outputs[i - node->input_count];
    if (slot != PLEAT_NO_SLOT) types[i] = pleat_plan_slot_type(&p->whole->slots[slot]);
  }
  const pleat_infer whole = {.node = node,
                             .version = node->version,
                             .input_count = node->input_count,
                             .output_count = node->output_count,
                             .inputs = types,
                             .outputs = types + node->input_count,
                             .planning = true};
  return node->def->apart(&whole, roles);
}

/* Takes a step into the proof: its outputs have samples, or not; else why it mixes them. */
static const char *take_step(proof *p, const pleat_step *whole, const pleat_step *part) {
  const pleat_node *node = whole->node;
  bool has_samples = false, is_known = true;
  if (part->node != node) return "the steps of a part are others";
  if (whole->flow != NULL) return refuse(p, node, "its bodies may mix samples");
  if (whole->is_dynamic || part->is_dynamic) return refuse(p, node, "its shapes are known only while running");
  if ((node->def->flags & PLEAT_OP_RANDOM) != 0) return refuse(p, node, "it is random");
  pleat_role *roles = pleat_arena_array(p->scratch, node->input_count, sizeof *roles);
  if (roles == NULL) return "memory is out";
  for (size_t i = 0; i < node->input_count; i++) {
    roles[i] = role_of(p, whole->inputs[i], part->inputs[i]);
    has_samples = has_samples || roles[i] == PLEAT_ROLE_SAMPLES || roles[i] == PLEAT_ROLE_SIZED;
  }
  /* Outputs that are known ahead are looked at where they are used. */
  for (size_t i = 0; i < node->output_count; i++) {
    const uint32_t a = whole->outputs[i], b = part->outputs[i];
    is_known =
        is_known && (a == PLEAT_NO_SLOT || (p->whole->slots[a].known != NULL && p->part->slots[b].known != NULL));
  }
  if (is_known) return NULL;
  if (has_samples && node->def->apart == NULL) return refuse(p, node, "it may mix samples");
  const char *why = has_samples ? ask(p, whole, roles) : NULL;
  if (why != NULL) return refuse(p, node, why);
  for (size_t i = 0; i < node->output_count; i++) {
    const uint32_t a = whole->outputs[i], b = part->outputs[i];
    if (a == PLEAT_NO_SLOT) continue;
    if (!is_as_expected(p, &p->whole->slots[a], &p->part->slots[b], has_samples))
      return refuse(p, node, "its output is not one of so many samples");
    p->has_samples[a] = has_samples;
  }
  return NULL;
}

/* NULL when the part's plan, run for each part, gives what the whole's gives; else why not. */
static const char *prove(proof *p) {
  const pleat_parts *parts = &p->whole->parts;
  if (p->whole->step_count != p->part->step_count) return "the steps of a part are others";
  for (size_t i = 0; i < p->whole->input_count; i++) {
    if (p->whole->inputs[i] != PLEAT_NO_SLOT) p->has_samples[p->whole->inputs[i]] = parts->is_split[i];
  }
  for (size_t s = 0; s < p->whole->step_count; s++) {
    const char *why = take_step(p, &p->whole->steps[s], &p->part->steps[s]);
    if (why != NULL) return why;
  }
  for (size_t i = 0; i < p->whole->output_count; i++) {
    const uint32_t slot = p->whole->outputs[i].slot, part = p->part->outputs[i].slot;
    if (role_of(p, slot, part) != PLEAT_ROLE_SAMPLES ||
        !is_as_expected(p, &p->whole->slots[slot], &p->part->slots[part], true))
      return "an output does not come from samples";
  }
  return NULL;
}

/* ---- how many samples at a time ---- */

/* What one sample moves, in bytes, and computes. */
typedef struct traffic {
  double weights;     /* of a run, however many samples it has */
  double activations; /* all results of steps */
  double widest;      /* inputs and outputs of the step that has the most */
  double work;
} traffic;

static bool is_view(const pleat_step *step) {
  const pleat_kernel *const *kernels = step->node->def->kernels;
  return kernels != NULL && (kernels[0]->flags & PLEAT_KERNEL_VIEW) != 0;
}

static pleat_status weigh(pleat_builder *b, double samples, traffic *out_traffic) {
  const pleat_plan *plan = b->plan;
  traffic sum = {0};
  bool *seen = pleat_arena_array(b->plan->arena, plan->slot_count, sizeof *seen);
  if (seen == NULL) return PLEAT_OOM(b->error);
  for (size_t s = 0; s < plan->step_count; s++) {
    const pleat_step *step = &plan->steps[s];
    double moved = 0;
    if (step->is_dynamic || step->flow != NULL || is_view(step)) continue;
    for (size_t i = 0; i < step->input_count; i++) {
      if (step->inputs[i] == PLEAT_NO_SLOT) continue;
      const pleat_slot *slot = &plan->slots[step->inputs[i]];
      const double bytes = pleat_slot_is_plain(slot) ? (double)pleat_bytes(&slot->tensor) : 0;
      if (slot->storage != PLEAT_STORAGE_CONSTANT) moved += bytes;
      else if (!seen[step->inputs[i]]) sum.weights += bytes;
      seen[step->inputs[i]] = true;
    }
    for (size_t i = 0; i < step->node->output_count; i++) {
      const pleat_slot *slot = step->outputs[i] != PLEAT_NO_SLOT ? &plan->slots[step->outputs[i]] : NULL;
      const double bytes = slot != NULL && pleat_slot_is_plain(slot) ? (double)pleat_bytes(&slot->tensor) : 0;
      moved += bytes;
      sum.activations += bytes / samples;
    }
    if (moved / samples > sum.widest) sum.widest = moved / samples;
    pleat_arena_reset(b->scratch);
    sum.work += pleat_plan_step_work(b, step) / samples;
  }
  *out_traffic = sum;
  return PLEAT_OK;
}

/* Parts of so many samples, judged. */
typedef struct choice {
  const traffic *one;
  int64_t samples, best;
  int threads;
  double cost;
} choice;

/* Bytes from beyond the cache that a sample costs: its share of the weights; and of the activations a part that grows
 * with the number of samples. Measured with batches of 8 of eight networks (weights from 0.35 to 9 times the
 * activations, 1 and 2 threads), that finds the best size, or one that is a few percent off. */
static void consider(choice *c, int64_t part) {
  enum { CACHED_BYTES = 512 * 1024 };    /* half of a second-level cache */
  static const double per_sample = 0.28; /* of the activations */
  const int64_t count = c->samples / part, rounds = (count + c->threads - 1) / c->threads;
  const double cost = c->one->weights / (double)part + c->one->activations * per_sample * (double)part;
  /* Threads that wait for the last part must not lose more than parts gain. */
  if (c->threads > 1 && (count < c->threads || 3 * rounds * c->threads > 4 * count)) return;
  if ((double)part * c->one->widest < CACHED_BYTES && count > c->threads) return; /* twice as much is cached, too */
  if (c->best != 0 && (cost > c->cost || (cost == c->cost && part > c->best))) return;
  c->best = part;
  c->cost = cost;
}

/* A divisor of the samples, or all of them with the reason. */
static int64_t choose(const pleat_builder *b, const traffic *one, int64_t samples, const char **out_reason) {
  /* Weights, in activations: whole steps, shared by all threads, read them but once. And a batch that is soon done must
   * not wait for a thread that is slow to wake. */
  enum { MOST_WEIGHTS = 10, LEAST_WORK = 20 * PLEAT_THREADS_MIN_WORK };
  choice c = {.one = one, .samples = samples, .threads = b->request->threads > 1 ? b->request->threads : 1};
  int64_t part = b->request->part_samples;
  *out_reason = "it was asked for";
  if (part > 0) {
    for (part = part < samples ? part : samples; samples % part != 0; part--) continue;
    return part;
  }
  for (int64_t d = 1; d <= samples / d; d++) {
    if (samples % d != 0) continue;
    consider(&c, d);
    consider(&c, samples / d);
  }
  *out_reason = NULL;
  if (c.best == 0) *out_reason = "the threads would not be busy alike with parts of it";
  else if (c.threads > 1 && one->work * (double)samples < LEAST_WORK)
    *out_reason = "it is too little work for several threads";
  else if (c.threads > 1 && one->weights / (double)c.best > MOST_WEIGHTS * one->activations)
    *out_reason = "the weights, which each part would read anew, outweigh its activations";
  else if (c.best == samples) *out_reason = "the caches hold it, or weights outweigh what parts of it would save";
  return *out_reason != NULL ? samples : c.best;
}

/* ---- the parts' plan ---- */

/* Which inputs have samples, and how many; 0: there is no batch. */
static pleat_status find_samples(pleat_builder *b, int64_t *out_samples) {
  const pleat_plan_request *request = b->request;
  pleat_parts *parts = &b->plan->parts;
  *out_samples = 0;
  parts->is_split = pleat_arena_array(b->plan->arena, request->input_count, sizeof *parts->is_split);
  if (parts->is_split == NULL) return PLEAT_OOM(b->error);
  for (size_t i = 0; i < request->input_count; i++) {
    const pleat_tensor *shape = &request->input_shapes[i];
    if (shape->kind != PLEAT_KIND_TENSOR || shape->rank < 1) continue;
    if (*out_samples == 0) *out_samples = shape->dims[0];
    parts->is_split[i] = shape->dims[0] == *out_samples;
    if (*out_samples < 2) break;
  }
  if (*out_samples < 2) *out_samples = 0;
  return PLEAT_OK;
}

/* The shapes of one part's inputs. */
static pleat_status divide_shapes(pleat_builder *b, const pleat_tensor **out_shapes) {
  const pleat_plan_request *request = b->request;
  const pleat_parts *parts = &b->plan->parts;
  pleat_tensor *shapes = pleat_arena_array(b->plan->arena, request->input_count, sizeof *shapes);
  if (shapes == NULL) return PLEAT_OOM(b->error);
  for (size_t i = 0; i < request->input_count; i++) {
    int64_t dims[PLEAT_MAX_RANK];
    shapes[i] = request->input_shapes[i];
    if (!parts->is_split[i]) continue;
    memcpy(dims, shapes[i].dims, sizeof dims);
    dims[0] = parts->samples;
    if (!pleat_tensor_describe(&shapes[i], shapes[i].dtype, shapes[i].rank, dims))
      return pleat_fail(b->error, PLEAT_INTERNAL, "a part of a batch has an impossible shape");
  }
  *out_shapes = shapes;
  return PLEAT_OK;
}

/* Plans a part, if the proof holds; else says why not. */
static pleat_status plan_part(pleat_builder *b, pleat_builder *part, int64_t samples) {
  pleat_parts *parts = &b->plan->parts;
  pleat_error error = PLEAT_ERROR_INIT;
  part->error = &error;
  pleat_status status = pleat_plan_sketch(part);
  part->error = b->error;
  if (status == PLEAT_OUT_OF_MEMORY) return PLEAT_OOM(b->error);
  if (status != PLEAT_OK) {
    parts->reason = pleat_arena_printf(b->plan->arena, "%s: %s", "a part of it is refused", error.message);
    return parts->reason != NULL ? PLEAT_OK : PLEAT_OOM(b->error);
  }
  proof p = {.whole = b->plan,
             .part = part->plan,
             .samples = samples,
             .part_samples = parts->samples,
             .has_samples = pleat_arena_array(b->plan->arena, b->plan->slot_count, sizeof *p.has_samples),
             .scratch = b->scratch};
  if (p.has_samples == NULL) return PLEAT_OOM(b->error);
  pleat_arena_reset(b->scratch);
  parts->reason = prove(&p);
  return parts->reason == NULL ? pleat_plan_finish(part) : PLEAT_OK;
}

pleat_status pleat_plan_divide(pleat_builder *b) {
  const int threads = b->request->threads;
  pleat_parts *parts = &b->plan->parts;
  pleat_plan_request request = *b->request;
  pleat_builder part;
  traffic one;
  int64_t samples;
  if (request.oracle) return PLEAT_OK;
  PLEAT_TRY(find_samples(b, &samples));
  if (samples == 0) return PLEAT_OK;
  PLEAT_TRY(weigh(b, (double)samples, &one));
  parts->samples = choose(b, &one, samples, &parts->reason);
  if (parts->samples == samples) return PLEAT_OK;
  parts->count = (size_t)(samples / parts->samples);
  parts->workers = threads > 1 && parts->count >= (size_t)threads ? threads : 1;
  request.in_parts = false;
  request.threads = parts->workers > 1 ? 1 : threads;
  PLEAT_TRY(divide_shapes(b, &request.input_shapes));
  PLEAT_TRY(pleat_plan_begin(&part, &request, b->error));
  pleat_status status = plan_part(b, &part, samples);
  pleat_plan *plan = NULL;
  PLEAT_TRY(pleat_plan_end(&part, status, &plan));
  if (parts->reason != NULL) {
    pleat_plan_destroy(plan);
    return PLEAT_OK;
  }
  parts->plan = plan;
  b->plan->step_count = 0;
  return PLEAT_OK;
}

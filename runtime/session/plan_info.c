/* Describing plans for people: pleat_session_plan. Strings are copied, so that a description outlives its plan; the
 * times are read under the session's lock. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/layout.h"
#include "session/session_private.h"

/* The public description with the memory it points to. */
typedef struct described_plan {
  pleat_plan_info info; /* first: what the caller holds */
  pleat_arena *arena;
} described_plan;

static const pleat_input_shape *find_shape(const pleat_input_shape *shapes, size_t count, const char *name) {
  for (size_t i = 0; i < count; i++) {
    if (strcmp(shapes[i].name, name) == 0) return &shapes[i];
  }
  return NULL;
}

static pleat_status describe_input(const pleat_value_info *info, const pleat_input_shape *given, pleat_tensor *out,
                                   pleat_error *error) {
  int64_t dims[PLEAT_MAX_RANK];
  int rank = given != NULL ? given->rank : info->rank;
  if (given == NULL && info->has_default) {
    *out = (pleat_tensor){.kind = PLEAT_KIND_OTHER};
    return PLEAT_OK;
  }
  if (info->kind != PLEAT_KIND_TENSOR) {
    *out = (pleat_tensor){.kind = info->kind};
    return PLEAT_OK;
  }
  pleat_status status = PLEAT_OK;
  if (rank < 0 || rank > PLEAT_MAX_RANK) {
    status = pleat_fail(error, PLEAT_SHAPE_MISMATCH, "its rank is not known: give its shape");
  }
  if (status == PLEAT_OK && given != NULL && info->rank >= 0 && info->rank != rank) {
    status =
        pleat_fail(error, PLEAT_SHAPE_MISMATCH, "the shape given has rank %d, the model declares %d", rank, info->rank);
  }
  for (int i = 0; status == PLEAT_OK && i < rank; i++) {
    int64_t declared = info->rank >= 0 ? info->dims[i].value : -1;
    dims[i] = given != NULL ? given->dims[i] : declared < 0 ? 1 : declared;
    if (declared >= 0 && dims[i] != declared) {
      status = pleat_fail(error, PLEAT_SHAPE_MISMATCH, "dimension %d is %lld, the model declares %lld", i,
                          (long long)dims[i], (long long)declared);
    }
  }
  if (status == PLEAT_OK && !pleat_tensor_describe(out, info->dtype, rank, dims)) {
    status = pleat_fail(error, PLEAT_SHAPE_MISMATCH, "the shape is not a possible one");
  }
  if (status != PLEAT_OK) pleat_error_at_tensor(error, info->name);
  return status;
}

static pleat_status check_names(const pleat_session *session, const pleat_input_shape *shapes, size_t count,
                                pleat_error *error) {
  for (size_t i = 0; i < count; i++) {
    bool found = false;
    for (size_t k = 0; k < session->input_count; k++) {
      found = found || strcmp(session->input_infos[k].name, shapes[i].name) == 0;
    }
    if (found) continue;
    return pleat_fail_tensor(error, shapes[i].name, PLEAT_INVALID_ARGUMENT, "the model has no input of this name");
  }
  return PLEAT_OK;
}

static bool any_bf16(const pleat_plan *plan, const uint32_t *slots, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (slots[i] != PLEAT_NO_SLOT && pleat_layout_is_bf16(plan->slots[slots[i]].tensor.layout)) return true;
  }
  return false;
}

static bool is_bf16(const pleat_plan *plan, const pleat_step *step) {
  return any_bf16(plan, step->inputs, step->input_count) || any_bf16(plan, step->outputs, step->node->output_count);
}

/* A description that grows: the steps of bodies follow the step that runs them. */
typedef struct describer {
  pleat_arena *arena;
  pleat_plan_info info;
  pleat_step_info *steps;
  size_t capacity;
  const pleat_step_time *times; /* of the next step; NULL: there are none */
} describer;

/* `outer`: the labels of the nodes around, "" in the main graph. */
static bool fill_step(pleat_arena *arena, const pleat_plan *plan, size_t index, const char *outer,
                      pleat_step_info *info) {
  const pleat_step *step = &plan->steps[index];
  char label[256], text[320];
  info->node = pleat_arena_printf(arena, "%s%s", outer, pleat_node_label(step->node, label, sizeof label));
  info->op_type = pleat_arena_strdup(arena, step->node->op_type);
  info->kernel = step->kernel != NULL ? step->kernel->name : step->flow != NULL ? "bodies" : "chosen while running";
  info->variant = step->kernel != NULL ? pleat_kernel_variant(step->kernel, &step->call) : "";
  info->tuned = step->is_tuned;
  info->declined = pleat_arena_strdup(arena, step->declined != NULL ? step->declined : "");
  info->output = "";
  info->is_view = step->is_view;
  info->pieces = step->piece_count;
  info->pieces_in_place = step->pieces_in_place;
  info->is_dynamic = step->is_dynamic;
  if (step->node->output_count > 0 && step->outputs[0] != PLEAT_NO_SLOT) {
    const pleat_slot *slot = &plan->slots[step->outputs[0]];
    bool known = slot->tensor.kind != PLEAT_KIND_TENSOR || slot->tensor.rank >= 0;
    const pleat_layout *layout = slot->tensor.layout;
    info->output = pleat_arena_printf(arena, "%s %s%s%s", slot->value->name,
                                      known ? pleat_tensor_text(&slot->tensor, text, sizeof text) : "?",
                                      layout != NULL ? ", " : "", layout != NULL ? pleat_layout_text(layout) : "");
    info->output_bytes = known && slot->tensor.kind == PLEAT_KIND_TENSOR ? pleat_layout_bytes(&slot->tensor) : 0;
  }
  return info->node != NULL && info->op_type != NULL && info->declined != NULL && info->output != NULL;
}

static bool describe_steps(describer *d, const pleat_plan *plan, uint32_t depth, const char *outer) {
  char label[256];
  d->info.activation_bytes += plan->arena_bytes;
  d->info.activation_bytes_unshared += plan->unshared_bytes;
  d->info.workspace_bytes += plan->workspace_bytes;
  d->info.constant_bytes += plan->constant_bytes;
  for (size_t s = 0; s < plan->step_count; s++) {
    const pleat_step *step = &plan->steps[s];
    pleat_step_info info = {.node = NULL};
    if (!fill_step(d->arena, plan, s, outer, &info)) return false;
    info.depth = depth;
    if (d->times != NULL) {
      const pleat_step_time *time = d->times++;
      info.runs = time->runs;
      info.total_ns = time->total_ns;
      info.min_ns = time->min_ns;
    }
    if (!PLEAT_PUSH(d->arena, d->steps, d->info.step_count, d->capacity, info)) return false;
    d->info.reorder_count += step->is_reorder;
    d->info.bf16_count += !step->is_reorder && is_bf16(plan, step);
    if (step->flow == NULL) continue;
    const char *inner =
        pleat_arena_printf(d->arena, "%s%s > ", outer, pleat_node_label(step->node, label, sizeof label));
    for (size_t i = 0; inner != NULL && i < step->flow->body_count; i++) {
      const pleat_plan *body = step->flow->bodies[i].plan;
      if (body != NULL && !describe_steps(d, body, depth + 1, inner)) return false;
    }
    if (inner == NULL) return false;
  }
  return true;
}

static bool describe_parts(describer *d, const pleat_parts *parts) {
  d->info.part_reason = pleat_arena_strdup(d->arena, parts->reason != NULL ? parts->reason : "");
  if (parts->plan == NULL) return d->info.part_reason != NULL;
  d->info.part_count = parts->count;
  d->info.part_samples = parts->samples;
  d->info.part_workers = parts->workers;
  d->info.activation_bytes *= (uint64_t)parts->workers;
  d->info.activation_bytes_unshared *= (uint64_t)parts->workers;
  d->info.workspace_bytes *= (uint64_t)parts->workers;
  return d->info.part_reason != NULL;
}

static pleat_status describe_plan(pleat_session *session, const pleat_cached_plan *cached, pleat_plan_info **out_info,
                                  pleat_error *error) {
  describer d = {.arena = pleat_arena_create(), .times = cached->times};
  described_plan *described = d.arena != NULL ? pleat_arena_alloc(d.arena, sizeof *described) : NULL;
  bool good = described != NULL;
  pthread_mutex_lock(&session->lock); /* the times */
  good = good && describe_steps(&d, pleat_plan_of_steps(cached->plan), 0, "");
  pthread_mutex_unlock(&session->lock);
  good = good && describe_parts(&d, &cached->plan->parts);
  if (!good) {
    pleat_arena_destroy(d.arena);
    return PLEAT_OOM(error);
  }
  d.info.steps = d.steps;
  described->arena = d.arena;
  described->info = d.info;
  *out_info = &described->info;
  return PLEAT_OK;
}

pleat_status pleat_session_plan(pleat_session *session, const pleat_input_shape *shapes, size_t count,
                                pleat_plan_info **out_info, pleat_error *error) {
  pleat_status status = PLEAT_OK;
  pleat_cached_plan *cached = NULL;
  if (session == NULL || out_info == NULL || (shapes == NULL && count > 0)) {
    return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "NULL argument");
  }
  *out_info = NULL;
  pleat_tensor *described = calloc(session->input_count + 1, sizeof *described);
  if (described == NULL) return PLEAT_OOM(error);
  PLEAT_CHECK(check_names(session, shapes, count, error));
  for (size_t i = 0; i < session->input_count; i++) {
    const pleat_value_info *info = &session->input_infos[i];
    PLEAT_CHECK(describe_input(info, find_shape(shapes, count, info->name), &described[i], error));
  }
  PLEAT_CHECK(pleat_session_acquire_plan(session, described, &cached, error));
  status = describe_plan(session, cached, out_info, error);
  pleat_session_release_plan(session, cached);
fail:
  free(described);
  return status;
}

void pleat_plan_info_destroy(pleat_plan_info *info) {
  if (info != NULL) pleat_arena_destroy(((described_plan *)(void *)info)->arena);
}

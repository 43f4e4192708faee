/* The session's cache of plans, one for each set of input shapes, and the pools of workspaces. Everything here is under
 * the session's lock; kernels run outside of it. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "session/session_private.h"

static bool same_key(const pleat_plan *plan, const pleat_tensor *shapes) {
  for (size_t i = 0; i < plan->input_count; i++) {
    const pleat_tensor *a = &plan->input_shapes[i], *b = &shapes[i];
    if (a->kind != b->kind) return false;
    if (a->kind == PLEAT_KIND_TENSOR && (a->dtype != b->dtype || !pleat_same_shape(a, b))) return false;
  }
  return true;
}

static void destroy_cached(pleat_cached_plan *cached) {
  while (cached->idle != NULL) {
    pleat_workspace *next = cached->idle->next;
    pleat_workspace_destroy(cached->idle);
    cached->idle = next;
  }
  pleat_plan_destroy(cached->plan);
  free(cached->times);
  free(cached);
}

/* Drops the least recently used idle plan when there are too many. */
static void evict(pleat_session *session) {
  size_t count = 0;
  pleat_cached_plan **oldest = NULL;
  for (pleat_cached_plan **link = &session->plans; *link != NULL; link = &(*link)->next) {
    count++;
    if ((*link)->users == 0 && (oldest == NULL || (*link)->last_use < (*oldest)->last_use)) oldest = link;
  }
  if (count < PLEAT_LIMIT_CACHED_PLANS || oldest == NULL) return;
  pleat_cached_plan *victim = *oldest;
  *oldest = victim->next;
  destroy_cached(victim);
}

static pleat_status build_cached(pleat_session *session, const pleat_tensor *shapes, pleat_cached_plan **out_cached,
                                 pleat_error *error) {
  pleat_plan_request request = {.graph = session->graph,
                                .input_count = session->input_count,
                                .output_count = session->output_count,
                                .inputs = session->inputs,
                                .outputs = session->outputs,
                                .input_shapes = shapes,
                                .threads = session->threads,
                                .keep_all = session->keep_all,
                                .exact = session->exact,
                                .bf16 = session->bf16,
                                .model_output_count = session->model_output_count,
                                .tuner = session->tuner,
                                .in_parts = true,
                                .part_samples = session->part_samples,
                                .oracle = session->float64};
  pleat_cached_plan *cached = calloc(1, sizeof *cached);
  if (cached == NULL) return PLEAT_OOM(error);
  pleat_status status = pleat_plan_build(&request, &cached->plan, error);
  if (session->tuner != NULL) pleat_tuner_save(session->tuner);
  if (status == PLEAT_OK && session->profile) {
    cached->times = calloc(pleat_times_count(pleat_plan_of_steps(cached->plan)) + 1, sizeof *cached->times);
    if (cached->times == NULL) status = PLEAT_OOM(error);
  }
  if (status != PLEAT_OK) {
    destroy_cached(cached);
    return status;
  }
  *out_cached = cached;
  return PLEAT_OK;
}

pleat_status pleat_session_acquire_plan(pleat_session *session, const pleat_tensor *shapes,
                                        pleat_cached_plan **out_plan, pleat_error *error) {
  pleat_status status = PLEAT_OK;
  *out_plan = NULL;
  pthread_mutex_lock(&session->lock);
  pleat_cached_plan *found = session->plans;
  while (found != NULL && !same_key(found->plan, shapes)) found = found->next;
  if (found == NULL) {
    evict(session);
    status = build_cached(session, shapes, &found, error);
    if (status == PLEAT_OK) {
      found->next = session->plans;
      session->plans = found;
    }
  }
  if (status == PLEAT_OK) {
    found->users++;
    found->last_use = ++session->clock;
    *out_plan = found;
  }
  pthread_mutex_unlock(&session->lock);
  return status;
}

void pleat_session_release_plan(pleat_session *session, pleat_cached_plan *plan) {
  pthread_mutex_lock(&session->lock);
  plan->users--;
  pthread_mutex_unlock(&session->lock);
}

pleat_status pleat_session_acquire_workspace(pleat_session *session, pleat_cached_plan *plan,
                                             pleat_workspace **out_workspace, pleat_error *error) {
  pthread_mutex_lock(&session->lock);
  pleat_workspace *idle = plan->idle;
  if (idle != NULL) plan->idle = idle->next;
  pthread_mutex_unlock(&session->lock);
  *out_workspace = idle;
  if (idle == NULL)
    PLEAT_TRY(pleat_workspace_create(plan->plan, session->profile, &session->lock, out_workspace, error));
  (*out_workspace)->owner = plan;
  return PLEAT_OK;
}

void pleat_session_release_workspace(pleat_session *session, pleat_cached_plan *plan, pleat_workspace *workspace) {
  pleat_arena_reset(workspace->run_arena);
  pthread_mutex_lock(&session->lock);
  workspace->next = plan->idle;
  plan->idle = workspace;
  pthread_mutex_unlock(&session->lock);
}

/* ---- the hot workspace ---- */

static void give_back(pleat_session *session, pleat_workspace *workspace) {
  pleat_cached_plan *owner = workspace->owner;
  pleat_session_release_workspace(session, owner, workspace);
  pleat_session_release_plan(session, owner);
}

pleat_workspace *pleat_session_take_hot(pleat_session *session, pleat_tensor *const *inputs) {
  pleat_workspace *workspace = atomic_exchange(&session->hot, NULL);
  if (workspace == NULL || pleat_plan_fits(workspace->plan, (const pleat_tensor *const *)inputs)) return workspace;
  give_back(session, workspace);
  return NULL;
}

void pleat_session_leave_hot(pleat_session *session, pleat_workspace *workspace) {
  pleat_workspace *before = atomic_exchange(&session->hot, workspace);
  if (before != NULL) give_back(session, before);
}

void pleat_session_destroy_plans(pleat_session *session) {
  pleat_session_leave_hot(session, NULL);
  while (session->plans != NULL) {
    pleat_cached_plan *next = session->plans->next;
    destroy_cached(session->plans);
    session->plans = next;
  }
}

/* One plan to look at, on top of model_builder.h: which slots share memory, and which steps cost nothing. */
#ifndef PLEAT_TESTS_PLAN_CASE_H
#define PLEAT_TESTS_PLAN_CASE_H

#include "model_builder.h"
#include "plan/plan.h"
#include "session/session_private.h"

typedef struct planned {
  pleat_session *session;
  pleat_cached_plan *cached;
  const pleat_plan *plan;
} planned;

/* The plan of a session of a model whose inputs all have fixed shapes. */
static inline planned plan_in(pleat_session *session) {
  planned p = {.session = session};
  pleat_tensor *shapes = calloc(p.session->input_count + 1, sizeof *shapes);
  for (size_t i = 0; i < p.session->input_count; i++) {
    int64_t dims[PLEAT_MAX_RANK];
    const pleat_value_info *info = &p.session->input_infos[i];
    for (int k = 0; k < info->rank; k++) dims[k] = info->dims[k].value;
    ck_assert(pleat_tensor_describe(&shapes[i], info->dtype, info->rank, dims));
  }
  ASSERT_OK(pleat_session_acquire_plan(p.session, shapes, &p.cached, error));
  free(shapes);
  p.plan = p.cached->plan;
  return p;
}
static inline planned plan_of(builder *b) {
  return plan_in(session_from(b, (pleat_session_options){0}));
}
static inline void end_plan(planned *p) {
  pleat_session_release_plan(p->session, p->cached);
  pleat_session_destroy(p->session);
}

static inline const pleat_slot *slot_named(const planned *p, const char *name) {
  for (size_t i = 0; i < p->plan->slot_count; i++) {
    if (strcmp(p->plan->slots[i].value->name, name) == 0) return &p->plan->slots[i];
  }
  ck_abort_msg("no slot '%s'", name);
  return NULL;
}
static inline uint32_t root_index(const pleat_plan *plan, uint32_t slot) {
  while (plan->slots[slot].root != slot) slot = plan->slots[slot].root;
  return slot;
}
static inline bool shares(const planned *p, const char *a, const char *b) {
  return root_index(p->plan, slot_named(p, a)->root) == root_index(p->plan, slot_named(p, b)->root);
}
/* Where a value begins in its group, in bytes. */
static inline size_t place_of(const planned *p, const char *name) {
  const pleat_slot *slot = slot_named(p, name);
  return &p->plan->slots[slot->root] != slot ? slot->offset : 0;
}
/* The step of a node. */
static inline const pleat_step *step_named(const planned *p, const char *name) {
  for (size_t i = 0; i < p->plan->step_count; i++) {
    if (strcmp(p->plan->steps[i].node->name, name) == 0) return &p->plan->steps[i];
  }
  ck_abort_msg("no step '%s'", name);
  return NULL;
}

/* ---- against a plan that shares nothing ---- */

enum { NAMES = 64, NAME_ROOM = 24 };

/* Names of all values that nodes make. */
typedef struct names {
  char text[NAMES][NAME_ROOM];
  const char *list[NAMES + 1];
} names;

static inline void collect_names(const builder *b, names *n) {
  size_t count = 0;
  for (size_t i = 0; i < b->graph->n_node; i++) {
    for (size_t k = 0; k < b->graph->node[i]->n_output; k++) {
      ck_assert_uint_lt(count, NAMES);
      snprintf(n->text[count], NAME_ROOM, "%s", b->graph->node[i]->output[k]);
      n->list[count] = n->text[count];
      count++;
    }
  }
  n->list[count] = NULL;
}

static inline size_t run_with_noise(pleat_session *session, pleat_tensor **outputs) {
  pleat_tensor *inputs[4];
  for (size_t i = 0; i < session->input_count; i++) {
    int64_t dims[PLEAT_MAX_RANK];
    const pleat_value_info *info = &session->input_infos[i];
    for (int k = 0; k < info->rank; k++) dims[k] = info->dims[k].value;
    ck_assert_int_eq(pleat_tensor_create(info->dtype, info->rank, dims, &inputs[i], NULL), PLEAT_OK);
    uint32_t seed = 7 + (uint32_t)i;
    for (size_t k = 0; k < inputs[i]->count; k++) pleat_store_f64(info->dtype, inputs[i]->data, k, noise(&seed, -2, 2));
  }
  run_session(session, inputs, outputs);
  return session->output_count;
}

static inline const pleat_tensor *output_named(pleat_session *session, pleat_tensor *const *outputs, const char *name) {
  for (size_t i = 0; i < session->output_count; i++) {
    if (strcmp(pleat_session_output(session, i)->name, name) == 0) return outputs[i];
  }
  ck_abort_msg("no output '%s'", name);
  return NULL;
}

/* The model's plan, after its outputs were found to be those of a plan that shares nothing: twice, over what the first
 * run left, and with 1 and 2 threads. */
static inline planned plan_checked(builder *b) {
  names all;
  pleat_tensor *truth[NAMES + 8], *found[NAMES + 8];
  collect_names(b, &all);
  pleat_model *model = build_model(b);
  pleat_session *session = NULL;
  for (int threads = 2; threads > 0; threads--) {
    pleat_session *copying =
        session_with(model, (pleat_session_options){.no_fold = true, .taps = all.list, .threads = threads});
    if (session != NULL) pleat_session_destroy(session);
    session = session_with(model, (pleat_session_options){.no_fold = true, .threads = threads});
    const size_t truth_count = run_with_noise(copying, truth);
    for (int run = 0; run < 2; run++) {
      const size_t count = run_with_noise(session, found);
      for (size_t i = 0; i < count; i++) {
        const char *name = pleat_session_output(session, i)->name;
        const pleat_tensor *expected = output_named(copying, truth, name);
        ck_assert(pleat_same_shape(found[i], expected));
        if (expected->count > 0 && memcmp(found[i]->data, expected->data, pleat_bytes(expected)) != 0)
          ck_abort_msg("'%s' differs in run %d with %d threads", name, run, threads);
        pleat_tensor_release(found[i]);
      }
    }
    for (size_t i = 0; i < truth_count; i++) pleat_tensor_release(truth[i]);
    pleat_session_destroy(copying);
  }
  pleat_model_release(model);
  return plan_in(session);
}

/* ---- nodes ---- */

static inline Onnx__NodeProto *add_concat(builder *b, const char *name, const char *inputs, const char *output,
                                          int axis) {
  Onnx__NodeProto *node = model_node(b, "Concat", name, inputs, output);
  build_attr_int(b, node, "axis", axis);
  return node;
}

static inline void add_conv(builder *b, const char *name, const char *x, int from, int to, int kernel, const char *y) {
  char weights[32], inputs[64], shape[64], pads[16];
  snprintf(weights, sizeof weights, "%s_w", name);
  snprintf(inputs, sizeof inputs, "%s,%s", x, weights);
  snprintf(shape, sizeof shape, "%d,%d,%d,%d", to, from, kernel, kernel);
  snprintf(pads, sizeof pads, "%d,%d,%d,%d", kernel / 2, kernel / 2, kernel / 2, kernel / 2);
  noise_init(b, weights, PLEAT_FLOAT, shape, -0.2, 0.2);
  attr_ints(b, model_node(b, "Conv", name, inputs, y), "pads", pads);
}

/* Along one axis. */
static inline void add_slice(builder *b, const char *name, const char *in, const char *out, int axis, double from,
                             double to, double step) {
  char inputs[96], numbers[4][32];
  const double values[] = {from, to, axis, step};
  for (int i = 0; i < 4; i++) {
    snprintf(numbers[i], sizeof numbers[i], "%s_%d", name, i);
    model_init(b, numbers[i], PLEAT_INT64, "1", &values[i]);
  }
  snprintf(inputs, sizeof inputs, "%s,%s,%s,%s,%s", in, numbers[0], numbers[1], numbers[2], numbers[3]);
  model_node(b, "Slice", name, inputs, out);
}

#endif

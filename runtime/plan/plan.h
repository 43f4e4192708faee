/* Plans: an ordered list of steps for one set of input shapes, with every activation's place in one arena.
 *
 * A plan is immutable once built and shared by all runs of its shapes; what a run changes lives in a workspace
 * (session/workspace.h). The graph must outlive the plan: small constants, and large ones that lie ready in the model's
 * memory, are read where the graph has them. All other large constants the plan holds as packs (ops/packs.h). */
#ifndef PLEAT_PLAN_PLAN_H
#define PLEAT_PLAN_PLAN_H

#include "graph/infer.h"
#include "ops/packs.h"
#include "pleat/session.h"
#include "tune/tune.h"

#define PLEAT_NO_SLOT UINT32_MAX

typedef enum pleat_storage {
  PLEAT_STORAGE_NONE = 0, /* lists: items live in the run's arena */
  PLEAT_STORAGE_CONSTANT, /* the graph's or the plan's memory */
  PLEAT_STORAGE_INPUT,    /* the caller's tensor */
  PLEAT_STORAGE_OUTPUT,   /* the output tensor handed to the caller */
  PLEAT_STORAGE_ARENA,    /* an offset in the workspace's arena */
  PLEAT_STORAGE_DYNAMIC   /* a buffer of the workspace that grows: shape known only while running */
} pleat_storage;

/* One value. Slots that share memory (views, pieces of a whole, in-place results) form a group whose `root` says where;
 * every other slot, how far from the root's beginning. */
typedef struct pleat_slot {
  const pleat_value *value;
  pleat_tensor tensor;        /* descriptor; data only for constants. rank -1: unknown until run time */
  const pleat_tensor *known;  /* data known ahead (shape arithmetic), also when a step computes it again */
  const pleat_recipe *recipe; /* constants: how to read them. Large ones have no data until a step wants them as such */
  pleat_storage storage;
  uint32_t root;        /* index of the slot that owns the memory; itself when not shared */
  size_t offset;        /* bytes, from the root's beginning; of ARENA roots: in the arena */
  uint32_t io_index;    /* INPUT and OUTPUT roots: which */
  uint32_t first, last; /* lifetime in steps (roots: of the group); UINT32_MAX: to the end */
  uint32_t next_layout; /* the same value in another layout: PLEAT_NO_SLOT at the chain's end */
} pleat_slot;

static inline bool pleat_slot_is_plain(const pleat_slot *slot) {
  return slot->tensor.kind == PLEAT_KIND_TENSOR && slot->tensor.rank >= 0;
}

/* One body of a control-flow step. Its plans take the body's own inputs, then all that the step captures. */
typedef struct pleat_body {
  pleat_graph *graph;
  size_t own_count, input_count;
  pleat_value **inputs;
  const pleat_tensor **known; /* by input: data that is the same in every run of the step's plan; NULL: given */
  struct pleat_plan *plan;    /* for the shapes known here; NULL: there are none yet */
} pleat_body;

/* The bodies of a control-flow step, and how plans of them are made (also while running). */
typedef struct pleat_flow {
  size_t body_count;
  pleat_body *bodies;
  int threads;
  bool keep_all, exact, oracle; /* as in the request of the plan around */
  struct pleat_flow *next;      /* of the plan */
} pleat_flow;

typedef struct pleat_step {
  const pleat_node *node;
  const pleat_kernel *kernel; /* NULL: dynamic, chosen while running; or control flow */
  const pleat_flow *flow;     /* control flow; else NULL */
  size_t input_count;         /* the node's; then, of control flow, the values that its bodies capture */
  uint32_t *inputs, *outputs; /* slots; PLEAT_NO_SLOT: absent */
  pleat_call call;            /* state, workspace_size, widened: what prepare left */
  size_t workspace_offset;
  bool is_view; /* never runs: its result is there already */
  bool is_dynamic;
  bool is_reorder;                       /* only converts a value's layout; the node is not the graph's */
  uint32_t piece_count, pieces_in_place; /* of what joins or cuts: all, and those that take no copy */
  bool is_tuned;
  bool is_sensitive; /* computed in float whatever the plan's precision */
  const char *declined;
} pleat_step;

/* A graph output that is not written in place: copied from its slot at the end. */
typedef struct pleat_plan_output {
  uint32_t slot;
  bool is_copy;
} pleat_plan_output;

/* How the batch of a plan runs: whole, by the plan's own steps, or in parts that each have some of the samples, by the
 * steps of a plan for so many (parts.c). */
typedef struct pleat_parts {
  struct pleat_plan *plan; /* for one part; NULL: whole */
  size_t count;            /* parts; of `samples` samples each */
  int64_t samples;
  int workers;        /* parts that may run at the same time, each on a thread of its own */
  bool *is_split;     /* by input: each part has its own samples; else all parts read the same */
  const char *reason; /* why the batch runs whole; NULL: it does not, or there is no batch */
} pleat_parts;

typedef struct pleat_plan {
  pleat_arena *arena;
  const pleat_graph *graph;
  size_t input_count, output_count;
  pleat_tensor *input_shapes; /* the key: descriptors; kind OTHER: the input's default is used */
  uint32_t *inputs;           /* slots of the session inputs; PLEAT_NO_SLOT when nothing reads it */
  pleat_plan_output *outputs;
  pleat_slot *slots;
  size_t slot_count, slot_capacity;
  uint32_t *slot_of; /* by value id; only while the plan is built */
  pleat_step *steps;
  size_t step_count, step_capacity;
  size_t arena_bytes, unshared_bytes, workspace_bytes, constant_bytes;
  pleat_pack_list packs;      /* constants in the form that steps read them in */
  bool has_rival_threads;     /* of any step: they do the work of all of them */
  bool reference_only, exact; /* of the request, for the steps that are chosen while running */
  pleat_tensor **owned;       /* constants computed here */
  size_t owned_count, owned_capacity;
  pleat_flow *flows;
  pleat_parts parts; /* with a plan, this one has no steps and no memory of its own */
} pleat_plan;

/* The plan that has the steps. */
static inline const pleat_plan *pleat_plan_of_steps(const pleat_plan *plan) {
  return plan->parts.plan != NULL ? plan->parts.plan : plan;
}

typedef struct pleat_plan_request {
  pleat_graph *graph;
  size_t input_count, output_count;
  pleat_value *const *inputs; /* the session's order */
  pleat_value *const *outputs;
  const pleat_tensor *input_shapes; /* descriptors; kind OTHER: use the default */
  const pleat_tensor *const *known; /* by input: its data, which outlives the plan; NULL: none is known */
  int threads;
  bool keep_all;             /* every node stays a step, also when its result is known ahead */
  bool exact;                /* no algorithm that trades accuracy for speed */
  bool bf16;                 /* floats may be stored and multiplied as bfloat16 between inputs and outputs */
  size_t model_output_count; /* the first of the outputs; what computes them is never bfloat16 */
  pleat_tuner *tuner;        /* NULL: kernels are taken by their own rules */
  bool in_parts;             /* a batch may run in parts, */
  int64_t part_samples;      /* of at most so many samples; 0: as a rule says */
  bool oracle; /* a promoted graph: input_shapes have the model's types, and only reference kernels are taken */
} pleat_plan_request;

/* Whether the plan was built for tensors of these types and shapes (NULL: the default). */
bool pleat_plan_fits(const pleat_plan *plan, const pleat_tensor *const *inputs);

/* Builds a plan of a body for inputs of these types and shapes (body->input_count; those that are known may be NULL).
 * As pleat_plan_build in every other way. */
pleat_status pleat_plan_body(const pleat_flow *flow, const pleat_body *body, const pleat_tensor *const *inputs,
                             pleat_plan **out_plan, pleat_error *error);

/* Builds a plan. Touches the graph's constants: one thread at a time for one graph. */
pleat_status pleat_plan_build(const pleat_plan_request *request, pleat_plan **out_plan, pleat_error *error);
void pleat_plan_destroy(pleat_plan *plan); /* NULL is accepted */

#endif

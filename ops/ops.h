/* The operator interface: what one operator's file gives to the rest of Pleat.
 *
 * An operator is one `const pleat_op_def`: its versions as data, its attributes with their defaults, `infer` (types and
 * shapes) and its kernels in order of preference. ops.def lists all of them, sorted. The same `infer` serves inference
 * over the whole graph, where dimensions may be symbols and data unknown, and planning, where they are not.
 *
 * Division of labour: the framework has already checked, from the data here, the number of inputs and outputs, the
 * attributes' types and that required ones are there. `infer` checks shapes, types and attribute values and is always
 * called, with concrete input types, before `prepare`; kernels may rely on what it checked. */
#ifndef PLEAT_OPS_OPS_H
#define PLEAT_OPS_OPS_H

#include "core/error.h"
#include "core/recipe.h"
#include "graph/graph.h"

typedef struct pleat_op_def pleat_op_def;
typedef struct pleat_op_version pleat_op_version;

/* ---- types and shapes ---- */

typedef struct pleat_type {
  bool present;      /* false: an optional input or output that the node leaves out */
  pleat_kind kind;   /* of lists: dtype and shape are the items', and mean little */
  pleat_dtype dtype; /* PLEAT_UNDEFINED when unknown */
  pleat_shape shape;
  const pleat_tensor *data; /* the value itself when it is known (constants, shape arithmetic), else NULL */
} pleat_type;

/* The border of one body (a subgraph of the node). What a body captures of the graphs around it is no input of it. */
typedef struct pleat_body_types {
  const pleat_graph *graph;
  size_t input_count; /* those without initializers */
  pleat_type *inputs; /* as declared, until `enter` was asked */
  size_t output_count;
  const pleat_type *outputs; /* for `infer`, after the body was looked at with these inputs */
} pleat_body_types;

typedef struct pleat_infer {
  const pleat_node *node;
  const pleat_op_version *version;
  size_t input_count, output_count;
  const pleat_type *inputs;
  pleat_type *outputs; /* `present` is set; kind TENSOR, dtype UNDEFINED, shape unknown: fill in what you can tell */
  pleat_body_types *bodies; /* one for each of the definition's `bodies` */
  bool planning;            /* input types are those of one run, and a body's those of its first run in it */
  pleat_error *error;
} pleat_infer;

/* True when input `i` is given. */
static inline bool pleat_infer_has(const pleat_infer *ctx, size_t i) {
  return i < ctx->input_count && ctx->inputs[i].present;
}
/* Output `i` when the node wants it, else NULL. */
static inline pleat_type *pleat_infer_out(const pleat_infer *ctx, size_t i) {
  return i < ctx->output_count && ctx->outputs[i].present ? &ctx->outputs[i] : NULL;
}
/* The values of a known integer input (int32 or int64), up to `max`: count, or -1 when they are not known. More than
 * `max` fails in *status. A missing input gives -1. */
int pleat_infer_ints(const pleat_infer *ctx, size_t i, int64_t *out_values, int max, pleat_status *status);

/* Ready-made inference (infer_common.c). */
pleat_status pleat_infer_same(pleat_infer *ctx); /* output 0 = type and shape of input 0 */

/* ---- versions and attributes as data ---- */

typedef struct pleat_op_attr {
  const char *name;
  pleat_attr_type type;
  bool required;
  int since, until; /* opset versions that know it; 0: no bound */
  int64_t i;        /* defaults; lists default to empty */
  float f;
  const char *s;
} pleat_op_attr;

struct pleat_op_version {
  int since;                          /* first opset version; it holds until the next entry's */
  signed char min_inputs, max_inputs; /* max -1: variadic */
  signed char min_outputs, max_outputs;
  pleat_dtype_mask types; /* what input 0 (output 0 when there are no inputs) may be; 0: anything */
  unsigned flags;         /* the operator's own: differences between versions as bits */
};

/* ---- kernels ---- */

/* One invocation. In `prepare`, the shapes and types of all tensors are final, `data` is there only for constants (and
 * NULL for what is computed at run time), and the call may be changed: state, workspace_size. In `run` it is read-only,
 * all data is there (NULL only for empty tensors), and several threads may be running the same kernel with the same
 * state and other tensors. Kernels do not allocate, print or keep globals. */
typedef struct pleat_call {
  const pleat_node *node;
  const pleat_op_version *version;
  size_t input_count, output_count;
  const pleat_tensor *const *inputs; /* NULL: absent */
  pleat_tensor *const *outputs;      /* NULL: absent */
  void *state;                       /* what prepare made; from pleat_call_state() */
  size_t workspace_size;             /* bytes of scratch memory that run wants */
  void *workspace;                   /* aligned to 64 bytes; content undefined */
  void *instance;                    /* what `open` made for this one call site: never shared between threads */
  bool widened;                      /* set by pleat_kernel_prepare: state and workspace are wrapped for half types */
  bool reference_only;               /* pleat_kernel_select takes the last kernel, or none: the oracle */
  bool exact;                        /* no algorithm that trades accuracy for speed (Winograd) */
  /* Floats may be stored as bfloat16 between steps, and multiplied so with sums in float. Kernels without
   * PLEAT_KERNEL_BF16 never see a layout that is so. */
  bool bf16;
  /* Which of the kernel's `variants`: i + 1 for variants[i], which prepare declines when it cannot; 0 leaves it to the
   * kernel's own rule, and prepare may say here what that chose. */
  int variant;
  /* prepare of a kernel with PLEAT_KERNEL_LAYOUTS: the layout in which run will find each input, at first as its
   * producer leaves it (inputs[i]->layout); prepare may ask for another. NULL where there is nobody to convert: all
   * tensors are dense, and have to stay so. */
  const pleat_layout **wanted;
  /* The inputs' layouts as their producers leave them, where these differ from what a kernel is told: one that knows no
   * bfloat16 is told of floats in the same order, and the plan converts. NULL: they are as the kernel sees them. */
  const pleat_layout *const *given;
  /* prepare: how to read each input that is constant, for ops/packs.h; NULL: all data that is known is there. */
  const pleat_recipe *const *recipes;
  struct pleat_pack_list *packs; /* prepare: the packs that the plan holds; NULL: there is no plan */
  bool rival_threads;            /* set by prepare: run wakes threads that are not core/parallel.h's */
  double work;                   /* prepare: elements or multiply-adds, whichever is more; 0: not known */
  int threads;                   /* how many threads run may use: see pleat_call_share() and core/parallel.h */
  pleat_arena *arena; /* prepare: lives as long as the state. run: lives until the outputs were handed out (strings,
                         list items) */
  pleat_error *error;
} pleat_call;

enum {
  /* float16 and bfloat16 are run by the float code: inputs are widened before, outputs rounded once after. The
   * framework does it; the kernel only ever sees PLEAT_FLOAT. Put the half types into `types` as well. */
  PLEAT_KERNEL_WIDEN = 1u << 0,
  /* Output 0 is input 0's memory with another shape (Reshape, Identity...): no run, no copy. `run` is still given, for
   * the places where memory cannot be shared. */
  PLEAT_KERNEL_VIEW = 1u << 1,
  /* Understands physical layouts (ops/layout.h): prepare may change call->wanted[] and the outputs' `layout`. All other
   * kernels only ever see dense tensors. */
  PLEAT_KERNEL_LAYOUTS = 1u << 2,
  /* Only joins its inputs to output 0 (Concat), or only cuts its outputs out of input 0 (Split, Slice): where `pieces`
   * says that a piece is contiguous, the plan may give it the memory that it has in the whole. run skips the pieces
   * that are there already; a step with no others never runs. */
  PLEAT_KERNEL_JOINS = 1u << 3,
  PLEAT_KERNEL_CUTS = 1u << 4,
  /* Knows call->bf16. Such kernels are asked first where it is set: what multiplies takes and gives bfloat16 then, or
   * declines; anything else follows its inputs. */
  PLEAT_KERNEL_BF16 = 1u << 5,
  /* Computes in float, but is asked among those where call->bf16 is set: it takes what it does faster all the same. */
  PLEAT_KERNEL_BESIDE_BF16 = 1u << 6,
};

/* What `pieces` says of a piece that is not contiguous in the whole. */
#define PLEAT_NO_OFFSET SIZE_MAX

typedef struct pleat_kernel {
  const char *name;       /* "reference" for the last one */
  pleat_dtype_mask types; /* of input 0 (of output 0 when there is none); 0: anything */
  unsigned flags;
  uint32_t inplace; /* bit i: input i may be the same memory as output 0, when shape and type are the same */
  uint32_t
      packs; /* bit i: input i, when constant, is read through pleat_call_pack() only (ops/packs.h) and has no data */
  /* NULL when it takes this call (final shapes and types, constants' data), else why not. A NULL function takes all. */
  const char *(*supports)(const pleat_call *call);
  /* Of a call that it takes: NULL, or why the ones after it are the better choice on this machine. Only a rule asks;
   * tuning measures it all the same. A NULL function: it is always a good choice. */
  const char *(*unwise)(const pleat_call *call);
  /* May be NULL. UNSUPPORTED, with the reason in call->error, declines after all: the next kernel is tried. */
  pleat_status (*prepare)(pleat_call *call);
  pleat_status (*run)(const pleat_call *call);
  void (*release)(void *state); /* frees what prepare got outside of the arena; may be NULL */
  /* Names of the ways in which this kernel can do the same (algorithms, layouts), for tuning to choose from and for
   * reports; NULL-terminated. NULL: there is one way. */
  const char *const *variants;
  /* Makes and frees call->instance: what a run changes, for as long as a workspace lives. May be NULL, both. */
  pleat_status (*open)(pleat_call *call);
  void (*close)(pleat_call *call);
  /* JOINS and CUTS: the byte at which each input (output) begins in the whole, of a prepared call; `out_offsets` has a
   * place for all of them, those that are absent or empty included. */
  void (*pieces)(const pleat_call *call, size_t *out_offsets);
} pleat_kernel;

/* The name of the variant that a prepared call has; "" when the kernel has none, or does not say. */
static inline const char *pleat_kernel_variant(const pleat_kernel *kernel, const pleat_call *call) {
  return kernel->variants != NULL && call->variant > 0 ? kernel->variants[call->variant - 1] : "";
}

/* prepare: zeroed state that lives as long as the plan, in call->state; NULL when out of memory. */
void *pleat_call_state(pleat_call *call, size_t size);

/* run: a loop over [0, count), of which `loop` does [first, end). Where it is `worth` more than one thread (thresholds
 * are in core/parallel.h), the call's threads share it out in ranges, in any order; else it is one range. */
typedef void pleat_call_loop(const pleat_call *call, const void *plan, size_t first, size_t end);
void pleat_call_share(const pleat_call *call, bool worth, size_t count, pleat_call_loop *loop, const void *plan);

static inline const pleat_tensor *pleat_in(const pleat_call *call, size_t i) {
  return i < call->input_count ? call->inputs[i] : NULL;
}
static inline pleat_tensor *pleat_out(const pleat_call *call, size_t i) {
  return i < call->output_count ? call->outputs[i] : NULL;
}

/* ---- batches ---- */

/* What an input is to a batch that may run in parts: the same node runs for each part, which has some of the samples.
 */
typedef enum pleat_role {
  PLEAT_ROLE_ABSENT = 0,
  PLEAT_ROLE_SHARED, /* every part reads the same */
  PLEAT_ROLE_SIZED,  /* known ahead, and another for each number of samples, as a shape that is computed */
  PLEAT_ROLE_SAMPLES /* dimension 0 counts the samples */
} pleat_role;

/* Whether sample i of a node's outputs comes from sample i of its inputs and from what is shared, and from nothing
 * else: NULL, or why not. `whole` has the types of the whole batch; `data` of a SIZED input is the whole batch's, too.
 * Taken for granted: outputs have the samples in dimension 0, for any number of them, and else one shape. */
typedef const char *pleat_apart(const pleat_infer *whole, const pleat_role *roles);

/* Ready-made (apart.c). Input 0 has the samples, and all others are shared; */
pleat_apart pleat_apart_first;
/* or may be shapes as well: for what only gives the elements another shape; */
pleat_apart pleat_apart_reshaped;
/* or, as `first`, but only along an attribute `axis` that is not the samples'. */
pleat_apart pleat_apart_axis;
/* Every input that is given has the samples. */
pleat_apart pleat_apart_each;
/* Element by element, operands broadcast as numpy does it. */
pleat_apart pleat_apart_elementwise;

enum {
  PLEAT_OP_RANDOM = 1u << 0,     /* not a function of its inputs: never evaluated ahead */
  PLEAT_OP_SHAPE_ONLY = 1u << 1, /* reads only its input's shape (Shape, Size): no data needed */
};

struct pleat_op_def {
  const char *domain, *name;
  unsigned flags;
  const pleat_op_version *versions; /* ascending; terminated by {0} */
  const pleat_op_attr *attrs;       /* terminated by {0}; NULL: none */
  pleat_status (*infer)(pleat_infer *ctx);
  const pleat_kernel *const *kernels;     /* best first, the reference last; NULL-terminated */
  double (*macs)(const pleat_infer *ctx); /* multiply-adds, shapes known; NULL: none worth counting */
  /* Control flow: the attributes that hold the bodies (NULL-terminated; NULL: an operator with kernels). Such an
   * operator has no kernels: the session runs its bodies. `enter` gives what it can tell of the bodies' inputs, with
   * `data` only where every run of the body finds the same. */
  const char *const *bodies;
  pleat_status (*enter)(pleat_infer *ctx);
  /* NULL: samples of a batch may be mixed, in ways that nobody has looked at. */
  pleat_apart *apart;
};

/* ---- the registry ---- (registry.c) */

/* NULL when there is none of that name. */
const pleat_op_def *pleat_op_find(const char *domain, const char *name);
/* The version in force at an opset; NULL when the operator is newer than that. */
const pleat_op_version *pleat_op_version_at(const pleat_op_def *def, int64_t opset);
const pleat_op_def *pleat_op_at(size_t index); /* in ops.def's order; NULL past the end */
/* The attribute's definition; NULL when the operator has none of that name. */
const pleat_op_attr *pleat_op_attr_find(const pleat_op_def *def, const char *name);

/* Why nothing can multiply bfloat16 here (this build, this CPU, or limits in the environment); NULL: something can.
 * (bf16.c) */
const char *pleat_op_no_bf16(void);

/* ---- invoking a kernel ---- (invoke.c: the one place that widens halfs and times nothing) */

/* The first kernel that takes the call (types, supports, unwise). Why the ones before declined goes into `declined`
 * ("name: reason; ..."; may be NULL). NULL, with the error filled, when none does. */
const pleat_kernel *pleat_kernel_select(const pleat_call *call, char *declined, size_t declined_size);
/* prepare and run of a selected kernel, with widening. A failed prepare needs no release. */
pleat_status pleat_kernel_prepare(const pleat_kernel *kernel, pleat_call *call);
pleat_status pleat_kernel_run(const pleat_kernel *kernel, const pleat_call *call);
void pleat_kernel_release(const pleat_kernel *kernel, pleat_call *call);
/* Selects and prepares: the first kernel that takes the call in `supports`, `unwise` and `prepare`. */
pleat_status pleat_kernel_take(pleat_call *call, char *declined, size_t declined_size, const pleat_kernel **out_kernel);
/* Prepares this kernel in this variant, if it takes the call so; else UNSUPPORTED, with the reason. */
pleat_status pleat_kernel_take_as(pleat_call *call, const pleat_kernel *kernel, int variant);
/* Before the first run and after the last one of a call whose tensors, state and workspace are in place. */
pleat_status pleat_kernel_open(const pleat_kernel *kernel, pleat_call *call);
void pleat_kernel_close(const pleat_kernel *kernel, pleat_call *call);

#endif

/* Sessions: a model compiled to run. Immutable after creation; pleat_session_run may be called from several threads at
 * once. Plans (kernels, layouts, memory) are made per set of input shapes and cached. */
#ifndef PLEAT_SESSION_H
#define PLEAT_SESSION_H

#include "pleat/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pleat_session pleat_session;

/* In which numbers a session computes. What goes in and comes out has the model's types in any case. */
typedef enum pleat_precision {
  PLEAT_PRECISION_FP32 = 0, /* as the model says */
  /* Between inputs and outputs, activations and weights of float (and of half models, which run in float) are rounded
   * to bfloat16 where a kernel multiplies them so (sums stay float): about half the time and memory, at an error of
   * some thousandths of the result's range. What gives the model's outputs, and what has no such kernel, stays float.
   * Only for CPUs with AVX512_BF16 and builds with kernels for it: creating a session fails with UNSUPPORTED elsewhere,
   * and nothing falls back in silence. */
  PLEAT_PRECISION_BF16 = 1
} pleat_precision;

typedef struct pleat_session_options {
  uint32_t size;
  int threads;  /* worker threads of one run; 0: all cores this process may use */
  bool no_fold; /* run the graph as it is in the file: no folding pass, no constant folding, and half types
                   are rounded after every operator, not only where the model or its border says so */
  bool profile; /* time every node */
  bool float64; /* the oracle: every float, float16 and bfloat16 value is a double, with the reference kernels; inputs
                   are given in the model's types, outputs are double */
  const char *const *taps; /* names of intermediate values that become extra outputs; NULL-terminated, or NULL */
  bool exact; /* no algorithm that trades accuracy for speed (Winograd's and Strassen's, for convolutions) */
  bool tune;  /* when a plan is made, time the kernels that could run each convolution and matrix product,
                 at its shape and number of threads, and take the fastest; results are remembered in a
                 file. What a run gives is then bitwise repeatable for one content of that file only */
  const char *tune_cache;    /* that file; NULL: pleat/tuning.tsv in $XDG_CACHE_HOME or ~/.cache. Copied */
  pleat_precision precision; /* not for the oracle, which is always double */
  int64_t part_samples; /* A batch (what dimension 0 of the inputs counts) of which no step mixes the samples may run
                           in parts of some of them, one after the other or on a thread each: at most so many
                           samples; 0: as a rule says that knows weights, activations and threads; as many as the
                           batch has: whole. Results may differ in rounding, as kernels are chosen by shape */
} pleat_session_options;

#define PLEAT_SESSION_OPTIONS_INIT                                                                                     \
  { .size = sizeof(pleat_session_options) }

/* Compiles a model. Retains it. Errors: UNSUPPORTED, whose message lists every operator of the model that nothing here
 * runs; INVALID_ARGUMENT for a tap that names no value; MALFORMED_MODEL; OUT_OF_MEMORY. */
PLEAT_API pleat_status pleat_session_create(const pleat_model *model, const pleat_session_options *options,
                                            pleat_session **out_session, pleat_error *error);
PLEAT_API void pleat_session_destroy(pleat_session *session); /* NULL is accepted; no run may be under way */

/* Inputs (those without default first come first, in the model's order) and outputs (the model's, then the taps). */
PLEAT_API size_t pleat_session_input_count(const pleat_session *session);
PLEAT_API size_t pleat_session_output_count(const pleat_session *session);
PLEAT_API const pleat_value_info *pleat_session_input(const pleat_session *session,
                                                      size_t index); /* NULL past the end */
PLEAT_API const pleat_value_info *pleat_session_output(const pleat_session *session, size_t index);

/* Runs. `inputs[i]` belongs to session input i; NULL for one that has a default. `outputs[i]`: NULL on entry asks for a
 * new tensor, which the caller releases; a tensor there must have the right type and shape and is filled. On failure,
 * no new tensor is handed out. Thread-safe. Errors: SHAPE_MISMATCH and INVALID_ARGUMENT name the tensor, with what was
 * expected and found. */
PLEAT_API pleat_status pleat_session_run(pleat_session *session, pleat_tensor *const *inputs, size_t input_count,
                                         pleat_tensor **outputs, size_t output_count, pleat_error *error);

/* One step of the plan for the given inputs' shapes. Strings live as long as the plan info. Behind the step of an If,
 * Loop or Scan come those of its bodies whose shapes are known ahead, with nodes called "outer > inner". Their times
 * are a part of the outer step's, and for all that they did in a run. */
typedef struct pleat_step_info {
  const char *node, *op_type, *kernel;
  const char *declined; /* "kernel: reason; ..." for the kernels before it, or "" */
  const char *output;   /* name, type, shape and layout of the first output: "conv1 float[1,64,112,112]" */
  uint64_t output_bytes;
  bool is_view;                    /* costs nothing at run time */
  uint32_t pieces;                 /* of a step that joins or cuts tensors (Concat, Split): how many; else 0 */
  uint32_t pieces_in_place;        /* those of them that take no copy */
  bool is_dynamic;                 /* shape known only while running: planned then */
  uint64_t runs, total_ns, min_ns; /* filled when the session profiles */
  const char *variant;             /* which of the kernel's ways, such as "channels last"; "" when it has but one */
  bool tuned; /* the kernel was measured to be the fastest; `declined` then tells what was slower, if that is known */
  uint32_t depth; /* how many nodes this one is inside of; 0 in the main graph */
} pleat_step_info;

typedef struct pleat_plan_info {
  size_t step_count;
  const pleat_step_info *steps;
  uint64_t activation_bytes;          /* the arenas that one run needs, and those of bodies */
  uint64_t activation_bytes_unshared; /* what it would need without reuse */
  uint64_t workspace_bytes;           /* kernels' scratch memory (in the arena) */
  uint64_t constant_bytes;            /* weights and other constants that the plan reads */
  size_t reorder_count;               /* steps that only convert a value from one memory layout to another */
  size_t bf16_count;                  /* the others, of those that read or write bfloat16 in place of float */
  size_t part_count;       /* of a batch that runs in parts: how many, and the steps are those of one; else 0 */
  int64_t part_samples;    /* the samples of one */
  int part_workers;        /* parts that run at the same time, on a thread each, with activations of their own */
  const char *part_reason; /* why a batch runs whole; "" where there is no batch, or it runs in parts */
} pleat_plan_info;

/* Describes the plan for the given input shapes, which is built if it is not cached. Inputs not named take their known
 * shape, with 1 for an unknown dimension. */
PLEAT_API pleat_status pleat_session_plan(pleat_session *session, const pleat_input_shape *shapes, size_t count,
                                          pleat_plan_info **out_info, pleat_error *error);
PLEAT_API void pleat_plan_info_destroy(pleat_plan_info *info);

/* What tuning did so far. Strings live as long as the session. */
typedef struct pleat_tuning_info {
  const char *path;              /* the file of results; "" when there is none */
  uint64_t measured, remembered; /* steps of plans: timed, and taken from the file or from a step that was the same */
  uint64_t measuring_ns;         /* spent on timing */
  const char *warning;           /* why the file could not be read or written, or was not believed; "" */
} pleat_tuning_info;

/* All zero and "" for a session that does not tune. Thread-safe. */
PLEAT_API void pleat_session_tuning(pleat_session *session, pleat_tuning_info *out_info);

#ifdef __cplusplus
}
#endif
#endif

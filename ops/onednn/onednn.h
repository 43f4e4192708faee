/* What the kernels built on oneDNN share: a prepared primitive with its arguments, memory descriptors, and physical
 * layouts. Written for oneDNN's C API of version 2; nothing outside of this folder includes its headers.
 *
 * A kernel's state begins with a pleat_dnn. prepare describes the operation, makes the primitive and lists where each
 * of its arguments comes from; open makes the memory objects (a run must not share them with another thread); run
 * points them at the call's tensors and executes. Scratch memory is the call's workspace. */
#ifndef PLEAT_OPS_ONEDNN_ONEDNN_H
#define PLEAT_OPS_ONEDNN_ONEDNN_H

#include <oneapi/dnnl/dnnl.h>

#include "ops/kernels.h"
#include "ops/layout.h"

/* Ranks that plain descriptors are made of. */
enum { PLEAT_DNN_MAX_RANK = 6 };

typedef struct pleat_dnn_arg {
  int id; /* DNNL_ARG_... */
  enum { PLEAT_DNN_INPUT, PLEAT_DNN_OUTPUT, PLEAT_DNN_FIXED, PLEAT_DNN_SCRATCH } source;
  size_t index; /* of the call's input or output */
  void *fixed;
  dnnl_memory_desc_t md;
} pleat_dnn_arg;

typedef struct pleat_dnn {
  dnnl_primitive_t primitive;
  pleat_dnn_arg *args; /* the call's arena */
  size_t arg_count, arg_capacity;
  void **owned; /* packed constants: malloc'd */
  size_t owned_count, owned_capacity;
} pleat_dnn;

/* ---- engine.c ---- */

dnnl_engine_t pleat_dnn_engine(void); /* NULL: oneDNN cannot be used */

/* oneDNN takes its number of threads from the calling thread's OpenMP setting, when a primitive is made and when it
 * runs. Returns the setting for pleat_dnn_leave(). */
int pleat_dnn_enter(int threads);
void pleat_dnn_leave(int threads);

/* UNSUPPORTED (which declines, in prepare) for what oneDNN does not implement. */
pleat_status pleat_dnn_status(dnnl_status_t status, const char *what, pleat_error *error);

/* A zeroed state of `size` bytes that begins with a pleat_dnn, in call->state. NULL: out of memory. */
void *pleat_dnn_state(pleat_call *call, size_t size);

/* Attributes with the user's scratchpad and, when not NULL, post-ops (which are destroyed). NULL: out of memory. */
dnnl_primitive_attr_t pleat_dnn_attr(dnnl_post_ops_t post_ops);

/* The description of an operation (any of the dnnl_..._desc_t), by the best implementation: declines when oneDNN has
 * nothing but reference code for it. `attr` is destroyed. */
pleat_status pleat_dnn_describe(const pleat_call *call, const_dnnl_op_desc_t op, dnnl_primitive_attr_t attr,
                                dnnl_primitive_desc_t *out_pd);
/* Makes the primitive and its scratchpad argument. Destroys `pd`, also when it fails. */
pleat_status pleat_dnn_build(pleat_call *call, dnnl_primitive_desc_t pd);

/* Arguments. Descriptors are copied. An input's layout is asked for in call->wanted, an output's is announced; what is
 * no layout of ops/layout.h declines. */
pleat_status pleat_dnn_input(pleat_call *call, int id, size_t index, const dnnl_memory_desc_t *md);
/* A dense input that is read as `md`, which may have another rank or be strided. */
pleat_status pleat_dnn_dense_input(pleat_call *call, int id, size_t index, const dnnl_memory_desc_t *md);
pleat_status pleat_dnn_output(pleat_call *call, int id, size_t index, const dnnl_memory_desc_t *md);
pleat_status pleat_dnn_fixed(pleat_call *call, int id, void *data, const dnnl_memory_desc_t *md);
/* A constant input that lies as `from` says and is wanted as `to`: packed now, unless it is the same. */
pleat_status pleat_dnn_constant(pleat_call *call, int id, size_t index, const dnnl_memory_desc_t *from,
                                const dnnl_memory_desc_t *to);
/* malloc'd zeroed floats that live as long as the state. */
float *pleat_dnn_floats(pleat_call *call, size_t count);

/* The kernel's functions, for kernels that are one primitive. release also serves a prepare that fails. */
pleat_status pleat_dnn_open(pleat_call *call);
void pleat_dnn_close(pleat_call *call);
pleat_status pleat_dnn_run(const pleat_call *call);
void pleat_dnn_release(void *state);

/* Wraps a prepare function: releases the state when it fails. */
pleat_status pleat_dnn_prepare(pleat_call *call, pleat_status (*prepare)(pleat_call *call));

#define PLEAT_DNN_FUNCTIONS                                                                                            \
  .run = pleat_dnn_run, .release = pleat_dnn_release, .open = pleat_dnn_open, .close = pleat_dnn_close

/* ---- layout.c ---- */

/* Dense and row-major, float, dims all at least 1, 0 < rank <= PLEAT_DNN_MAX_RANK. */
dnnl_memory_desc_t pleat_dnn_plain(int rank, const int64_t *dims);
/* "Choose the best": any layout of that shape. */
dnnl_memory_desc_t pleat_dnn_any(int rank, const int64_t *dims);
/* Blocks of channels that this CPU's convolutions like best. */
const pleat_layout *pleat_dnn_best_blocks(void);
/* A shape in a layout, its elements stored as that says; NULL: plain. */
dnnl_memory_desc_t pleat_dnn_in(const pleat_layout *layout, int rank, const int64_t *dims);
/* The same with bfloat16 elements: how bfloat16 takes part in a call that has it. */
dnnl_memory_desc_t pleat_dnn_as_bf16(dnnl_memory_desc_t md, bool bf16);
/* How the producer leaves the tensor. */
dnnl_memory_desc_t pleat_dnn_md(const pleat_tensor *tensor);
/* The layout that a descriptor means: NULL when its bytes are those of a dense tensor, whatever it calls them. False
 * when it is none of ops/layout.h's. */
bool pleat_dnn_layout(const dnnl_memory_desc_t *md, const pleat_layout **out_layout);

/* ---- activation.c ---- */

/* Appends the activation of a fused operator ("" is none). False: there is none of that name. */
bool pleat_dnn_append_activation(dnnl_post_ops_t post_ops, const char *name, float alpha, float beta);
bool pleat_dnn_knows_activation(const char *name);

/* ---- words for supports ---- */

/* Why a product or convolution with the input `weights` cannot be computed in bfloat16, where that is asked for. */
const char *pleat_dnn_refuse_bf16(const pleat_call *call, size_t weights);

/* Why the call's tensors as such cannot be taken: empty ones, ranks outside of [least, most] of input 0. NULL: none. */
const char *pleat_dnn_refuse(const pleat_call *call, int least, int most);

#endif

/* Making, opening and running oneDNN primitives; see onednn.h.
 *
 * The engine and the stream stand for "the CPU": made once, never changed, shared by all threads (with OpenMP, a stream
 * only hands the primitive to the calling thread). */
#include "ops/onednn/onednn.h"

#include <omp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/memory.h"
#include "core/parallel.h"
#include "ops/packs.h"

static pthread_once_t engine_once = PTHREAD_ONCE_INIT;
static dnnl_engine_t cpu_engine;
static dnnl_stream_t cpu_stream;

/* Work of ours, done by OpenMP's threads: see core/parallel.h. */
static void share_by_omp(int threads, int64_t items, void (*run)(void *job, int64_t item, int worker), void *job) {
#pragma omp parallel for num_threads(threads) schedule(dynamic)
  for (int64_t item = 0; item < items; item++) run(job, item, omp_get_thread_num());
}

static void make_engine(void) {
  dnnl_engine_t engine = NULL;
  if (dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success) return;
  pleat_parallel_set_rival(share_by_omp);
  if (dnnl_stream_create(&cpu_stream, engine, dnnl_stream_default_flags) == dnnl_success) cpu_engine = engine;
  else dnnl_engine_destroy(engine);
}

dnnl_engine_t pleat_dnn_engine(void) {
  pthread_once(&engine_once, make_engine);
  return cpu_engine;
}

bool pleat_onednn_has_bf16(void) {
  return (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
}

int pleat_dnn_enter(int threads) {
  const int before = omp_get_max_threads();
  if (before != threads) omp_set_num_threads(threads);
  return before;
}

void pleat_dnn_leave(int threads) {
  if (omp_get_max_threads() != threads) omp_set_num_threads(threads);
}

pleat_status pleat_dnn_status(dnnl_status_t status, const char *what, pleat_error *error) {
  switch (status) {
  case dnnl_success:
    return PLEAT_OK;
  case dnnl_out_of_memory:
    return PLEAT_OOM(error);
  case dnnl_unimplemented:
  case dnnl_invalid_arguments:
    return pleat_fail(error, PLEAT_UNSUPPORTED, "oneDNN has no fast code for this");
  default:
    return pleat_fail(error, PLEAT_INTERNAL, "oneDNN failed: %s (status %d)", what, (int)status);
  }
}

/* OpenMP's threads are made anew each time that work comes back from ours, which takes longer than to do this much
 * alone.
 */
enum { THREADS_MIN_WORK = 5000000 };

void *pleat_dnn_state(pleat_call *call, size_t size) {
  if (call->work > 0 && call->work < THREADS_MIN_WORK) call->threads = 1;
  return pleat_dnn_engine() != NULL ? pleat_call_state(call, size) : NULL;
}

dnnl_primitive_attr_t pleat_dnn_attr(dnnl_post_ops_t post_ops) {
  dnnl_primitive_attr_t attr = NULL;
  bool good = dnnl_primitive_attr_create(&attr) == dnnl_success &&
              dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user) == dnnl_success;
  if (good && post_ops != NULL) good = dnnl_primitive_attr_set_post_ops(attr, post_ops) == dnnl_success;
  if (post_ops != NULL) dnnl_post_ops_destroy(post_ops);
  if (good) return attr;
  if (attr != NULL) dnnl_primitive_attr_destroy(attr);
  return NULL;
}

/* Moves on to the first implementation that is no reference code. */
static dnnl_status_t fetch(dnnl_primitive_desc_iterator_t iterator, dnnl_primitive_desc_t *out_pd) {
  dnnl_status_t status = dnnl_success;
  while (status == dnnl_success) {
    const char *found = "";
    dnnl_primitive_desc_t pd = dnnl_primitive_desc_iterator_fetch(iterator);
    if (pd == NULL) return dnnl_out_of_memory;
    dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, (void *)&found);
    if (strncmp(found, "ref", 3) != 0) {
      *out_pd = pd;
      return dnnl_success;
    }
    dnnl_primitive_desc_destroy(pd);
    status = dnnl_primitive_desc_iterator_next(iterator);
  }
  return status == dnnl_iterator_ends ? dnnl_unimplemented : status;
}

pleat_status pleat_dnn_describe(const pleat_call *call, const_dnnl_op_desc_t op, dnnl_primitive_attr_t attr,
                                dnnl_primitive_desc_t *out_pd) {
  dnnl_primitive_desc_iterator_t iterator = NULL;
  *out_pd = NULL;
  if (attr == NULL) return PLEAT_OOM(call->error);
  const int before = pleat_dnn_enter(call->threads);
  dnnl_status_t status = dnnl_primitive_desc_iterator_create(&iterator, op, attr, pleat_dnn_engine(), NULL);
  if (status == dnnl_success) status = fetch(iterator, out_pd);
  pleat_dnn_leave(before);
  if (iterator != NULL) dnnl_primitive_desc_iterator_destroy(iterator);
  dnnl_primitive_attr_destroy(attr);
  return pleat_dnn_status(status, "describing a primitive", call->error);
}

static pleat_status add_arg(pleat_call *call, pleat_dnn_arg arg) {
  pleat_dnn *dnn = call->state;
  if (!PLEAT_PUSH(call->arena, dnn->args, dnn->arg_count, dnn->arg_capacity, arg)) return PLEAT_OOM(call->error);
  return PLEAT_OK;
}

pleat_status pleat_dnn_build(pleat_call *call, dnnl_primitive_desc_t pd) {
  call->rival_threads = call->threads > 1;
  pleat_dnn *dnn = call->state;
  const dnnl_memory_desc_t *scratch = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
  pleat_status status = PLEAT_OK;
  if (scratch != NULL && dnnl_memory_desc_get_size(scratch) > 0) {
    call->workspace_size = dnnl_memory_desc_get_size(scratch);
    status = add_arg(call, (pleat_dnn_arg){.id = DNNL_ARG_SCRATCHPAD, .source = PLEAT_DNN_SCRATCH, .md = *scratch});
  }
  if (status == PLEAT_OK) {
    const int before = pleat_dnn_enter(call->threads);
    status = pleat_dnn_status(dnnl_primitive_create(&dnn->primitive, pd), "making a primitive", call->error);
    pleat_dnn_leave(before);
  }
  dnnl_primitive_desc_destroy(pd);
  return status;
}

static pleat_status decline_layout(const pleat_call *call) {
  return pleat_fail(call->error, PLEAT_UNSUPPORTED, "oneDNN wants a layout that only itself knows");
}

pleat_status pleat_dnn_input(pleat_call *call, int id, size_t index, const dnnl_memory_desc_t *md) {
  if (call->wanted != NULL && !pleat_dnn_layout(md, &call->wanted[index])) return decline_layout(call);
  return add_arg(call, (pleat_dnn_arg){.id = id, .source = PLEAT_DNN_INPUT, .index = index, .md = *md});
}

pleat_status pleat_dnn_dense_input(pleat_call *call, int id, size_t index, const dnnl_memory_desc_t *md) {
  if (call->wanted != NULL) call->wanted[index] = pleat_layout_as(NULL, md->data_type == dnnl_bf16);
  return add_arg(call, (pleat_dnn_arg){.id = id, .source = PLEAT_DNN_INPUT, .index = index, .md = *md});
}

pleat_status pleat_dnn_output(pleat_call *call, int id, size_t index, const dnnl_memory_desc_t *md) {
  if (!pleat_dnn_layout(md, &call->outputs[index]->layout)) return decline_layout(call);
  if (call->wanted == NULL && call->outputs[index]->layout != NULL) {
    call->outputs[index]->layout = NULL;
    return pleat_fail(call->error, PLEAT_UNSUPPORTED, "oneDNN's result would not be dense");
  }
  return add_arg(call, (pleat_dnn_arg){.id = id, .source = PLEAT_DNN_OUTPUT, .index = index, .md = *md});
}

pleat_status pleat_dnn_fixed(pleat_call *call, int id, void *data, const dnnl_memory_desc_t *md) {
  return add_arg(call, (pleat_dnn_arg){.id = id, .source = PLEAT_DNN_FIXED, .fixed = data, .md = *md});
}

static void *own(pleat_call *call, size_t bytes) {
  pleat_dnn *dnn = call->state;
  void *memory = pleat_alloc_aligned(bytes);
  if (memory == NULL) return NULL;
  if (PLEAT_PUSH(call->arena, dnn->owned, dnn->owned_count, dnn->owned_capacity, memory)) return memory;
  free(memory);
  return NULL;
}

float *pleat_dnn_floats(pleat_call *call, size_t count) {
  float *memory = count <= SIZE_MAX / sizeof(float) ? own(call, (count > 0 ? count : 1) * sizeof *memory) : NULL;
  if (memory != NULL) memset(memory, 0, count * sizeof *memory);
  return memory;
}

/* ---- packing constants ---- */

typedef struct pack_key {
  char kernel[8];
  dnnl_memory_desc_t from, to;
} pack_key;

typedef struct packing {
  const dnnl_memory_desc_t *from, *to;
  int threads;
} packing;

static pleat_status reorder_once(int threads, const dnnl_memory_desc_t *from, void *src, const dnnl_memory_desc_t *to,
                                 void *dst, pleat_error *error) {
  dnnl_engine_t engine = pleat_dnn_engine();
  dnnl_primitive_desc_t pd = NULL;
  dnnl_primitive_t reorder = NULL;
  dnnl_memory_t a = NULL, b = NULL;
  const int before = pleat_dnn_enter(threads);
  dnnl_status_t status = dnnl_reorder_primitive_desc_create(&pd, from, engine, to, engine, NULL);
  if (status == dnnl_success) status = dnnl_primitive_create(&reorder, pd);
  if (status == dnnl_success) status = dnnl_memory_create(&a, from, engine, src);
  if (status == dnnl_success) status = dnnl_memory_create(&b, to, engine, dst);
  if (status == dnnl_success) {
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, a}, {DNNL_ARG_TO, b}};
    status = dnnl_primitive_execute(reorder, cpu_stream, 2, args);
  }
  if (status == dnnl_success) status = dnnl_stream_wait(cpu_stream);
  pleat_dnn_leave(before);
  if (b != NULL) dnnl_memory_destroy(b);
  if (a != NULL) dnnl_memory_destroy(a);
  if (reorder != NULL) dnnl_primitive_destroy(reorder);
  if (pd != NULL) dnnl_primitive_desc_destroy(pd);
  return pleat_dnn_status(status, "packing a constant", error);
}

/* The dimension that lies outermost in memory, in slices of `*out_stride` elements; -1 when there is none. */
static int outermost(const dnnl_memory_desc_t *md, int64_t *out_stride) {
  int outer = -1;
  int64_t count = 1;
  if (md->format_kind != dnnl_blocked || md->format_desc.blocking.inner_nblks != 0) return -1;
  for (int i = 0; i < md->ndims; i++) {
    const int64_t stride = md->format_desc.blocking.strides[i];
    count *= md->dims[i];
    if (md->dims[i] > 1 && (outer < 0 || stride > *out_stride)) {
      outer = i;
      *out_stride = stride;
    }
  }
  return outer >= 0 && *out_stride * md->dims[outer] == count ? outer : -1;
}

/* Slices of the outermost dimension one after the other, so that the constant is never there as a whole besides its
 * pack. *out_done false: the packed format cannot be written so. */
static pleat_status fill_slices(const pleat_pack_source *source, const packing *work, void *pack, bool *out_done,
                                pleat_error *error) {
  enum { SLICE_BYTES = 1 << 22, BLOCKS = 64 }; /* no format has larger blocks of a dimension */
  int64_t stride = 0;
  const int outer = outermost(work->from, &stride);
  pleat_status status = PLEAT_OK;
  *out_done = false;
  if (outer < 0 || work->to->format_kind != dnnl_blocked) return PLEAT_OK;
  int64_t rows = SLICE_BYTES / (stride * (int64_t)sizeof(float)) / BLOCKS * BLOCKS;
  if (rows < BLOCKS) rows = BLOCKS;
  const int64_t all = work->from->dims[outer];
  if (rows > all) rows = all;
  const size_t bytes = (size_t)(rows * stride) * sizeof(float);
  float *slice = pleat_block_alloc(bytes);
  if (slice == NULL) return PLEAT_OOM(error);
  for (int64_t at = 0; at < all; at += rows) {
    dnnl_memory_desc_t from, to;
    dnnl_dims_t dims, offsets = {0};
    const int64_t n = all - at < rows ? all - at : rows;
    memcpy(dims, work->from->dims, sizeof dims);
    dims[outer] = n;
    offsets[outer] = at;
    bool good = dnnl_memory_desc_init_by_strides(&from, work->from->ndims, dims, work->from->data_type,
                                                 work->from->format_desc.blocking.strides) == dnnl_success &&
                dnnl_memory_desc_init_submemory(&to, work->to, dims, offsets) == dnnl_success;
    if (!good) goto fail;
    pleat_pack_read(source, (size_t)(at * stride), (size_t)(n * stride), slice);
    PLEAT_CHECK(reorder_once(work->threads, &from, slice, &to, pack, error));
  }
  *out_done = true;
fail:
  pleat_block_free(slice, bytes);
  return status;
}

static pleat_status fill(const pleat_pack_source *source, const void *user, void *pack, pleat_error *error) {
  const packing *work = user;
  const size_t count = pleat_pack_tensor(source)->count, bytes = count * sizeof(float);
  bool done;
  PLEAT_TRY(fill_slices(source, work, pack, &done, error));
  if (done) return PLEAT_OK;
  float *whole = pleat_block_alloc(bytes);
  if (whole == NULL) return PLEAT_OOM(error);
  pleat_pack_read(source, 0, count, whole);
  pleat_status status = reorder_once(work->threads, work->from, whole, work->to, pack, error);
  pleat_block_free(whole, bytes);
  return status;
}

pleat_status pleat_dnn_constant(pleat_call *call, int id, size_t index, const dnnl_memory_desc_t *from,
                                const dnnl_memory_desc_t *to) {
  const void *data;
  pack_key key;
  if (dnnl_memory_desc_equal(from, to)) {
    PLEAT_TRY(pleat_call_dense(call, index, &data));
  } else {
    memset(&key, 0, sizeof key); /* also what lies between its members */
    memcpy(key.kernel, "onednn", sizeof "onednn");
    memcpy(&key.from, from, sizeof *from);
    memcpy(&key.to, to, sizeof *to);
    const packing work = {.from = from, .to = to, .threads = call->threads};
    const pleat_pack_format format = {
        .key = &key, .key_size = sizeof key, .bytes = dnnl_memory_desc_get_size(to), .fill = fill, .user = &work};
    PLEAT_TRY(pleat_call_pack(call, index, &format, &data));
  }
  return pleat_dnn_fixed(call, id, (void *)(uintptr_t)data, to);
}

/* ---- running ---- */

typedef struct instance {
  size_t count;
  void **handles; /* what each memory object points at */
  dnnl_exec_arg_t args[];
} instance;

pleat_status pleat_dnn_open(pleat_call *call) {
  const pleat_dnn *dnn = call->state;
  const size_t count = dnn->arg_count, handles = count * sizeof(void *);
  dnnl_status_t status = dnnl_success;
  if (dnn->primitive == NULL) return PLEAT_OK;
  instance *made = calloc(1, sizeof *made + count * sizeof made->args[0]);
  if (made != NULL) made->handles = calloc(1, handles + 1);
  if (made == NULL || made->handles == NULL) {
    free(made);
    return PLEAT_OOM(call->error);
  }
  call->instance = made;
  for (; made->count < count && status == dnnl_success; made->count++) {
    dnnl_exec_arg_t *arg = &made->args[made->count];
    arg->arg = dnn->args[made->count].id;
    status = dnnl_memory_create(&arg->memory, &dnn->args[made->count].md, pleat_dnn_engine(), DNNL_MEMORY_NONE);
  }
  if (status == dnnl_success) return PLEAT_OK;
  pleat_dnn_close(call);
  return pleat_dnn_status(status, "making a memory object", call->error);
}

void pleat_dnn_close(pleat_call *call) {
  instance *made = call->instance;
  if (made == NULL) return;
  for (size_t i = 0; i < made->count; i++) {
    if (made->args[i].memory != NULL) dnnl_memory_destroy(made->args[i].memory);
  }
  free(made->handles);
  free(made);
  call->instance = NULL;
}

static void *handle_of(const pleat_call *call, const pleat_dnn_arg *arg) {
  switch (arg->source) {
  case PLEAT_DNN_INPUT:
    return call->inputs[arg->index]->data;
  case PLEAT_DNN_OUTPUT:
    return call->outputs[arg->index]->data;
  case PLEAT_DNN_SCRATCH:
    return call->workspace;
  default:
    return arg->fixed;
  }
}

pleat_status pleat_dnn_run(const pleat_call *call) {
  const pleat_dnn *dnn = call->state;
  instance *mine = call->instance;
  dnnl_status_t status = dnnl_success;
  const int before = pleat_dnn_enter(call->threads);
  for (size_t i = 0; i < mine->count && status == dnnl_success; i++) {
    void *handle = handle_of(call, &dnn->args[i]);
    if (handle == mine->handles[i]) continue;
    status = dnnl_memory_set_data_handle_v2(mine->args[i].memory, handle, cpu_stream);
    mine->handles[i] = status == dnnl_success ? handle : NULL;
  }
  if (status == dnnl_success) status = dnnl_primitive_execute(dnn->primitive, cpu_stream, (int)mine->count, mine->args);
  if (status == dnnl_success) status = dnnl_stream_wait(cpu_stream);
  pleat_dnn_leave(before);
  return status == dnnl_success ? PLEAT_OK : pleat_dnn_status(status, "running a primitive", call->error);
}

void pleat_dnn_release(void *state) {
  pleat_dnn *dnn = state;
  if (dnn->primitive != NULL) dnnl_primitive_destroy(dnn->primitive);
  for (size_t i = 0; i < dnn->owned_count; i++) free(dnn->owned[i]);
  dnn->primitive = NULL;
  dnn->owned_count = 0;
}

pleat_status pleat_dnn_prepare(pleat_call *call, pleat_status (*prepare)(pleat_call *call)) {
  pleat_status status = prepare(call);
  if (status != PLEAT_OK && call->state != NULL) pleat_dnn_release(call->state);
  return status;
}

const char *pleat_dnn_refuse_bf16(const pleat_call *call, size_t weights) {
  if (!call->bf16) return NULL;
  if ((dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core_bf16) != dnnl_cpu_isa_avx512_core_bf16)
    return "oneDNN does not use this CPU's bfloat16";
  if (!pleat_call_is_constant(call, weights)) return "bfloat16 is for constant weights";
  return NULL;
}

const char *pleat_dnn_refuse(const pleat_call *call, int least, int most) {
  const pleat_tensor *x = pleat_in(call, 0);
  if (x == NULL || pleat_out(call, 0) == NULL) return "a tensor is missing";
  if (x->rank < least || x->rank > most) return "not for this number of dimensions";
  for (size_t i = 0; i < call->input_count; i++) {
    if (call->inputs[i] != NULL && call->inputs[i]->count == 0) return "an empty tensor";
  }
  if (call->outputs[0]->count == 0) return "an empty tensor";
  return NULL;
}

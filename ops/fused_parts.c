/* A FusedConv with what no kernel does in one pass (S, PRelu, the mean of its result: see ops/fused.c), by the best
 * kernels of its parts: a Mul, the FusedConv without, a GlobalAveragePool; PRelu is a loop here, over any layout. So
 * fusing costs nothing where the faster kernels are not there. What lies between is in the layout that the convolution
 * asks for, or the call is declined. */
#include <stdlib.h>
#include <string.h>

#include "core/parallel.h"
#include "ops/conv.h"
#include "ops/kernels.h"
#include "ops/layout.h"

enum { SCALE, CONV, MEAN, PART_COUNT };
enum { PART_INPUTS = PLEAT_CONV_SCALE }; /* the most that a part has */

/* A part's kernel and its call, of which a run sets the tensors. */
typedef struct part {
  const pleat_kernel *kernel; /* NULL: there is no such part */
  pleat_call call;
  const pleat_tensor *inputs[PART_INPUTS];
  const pleat_layout *wanted[PART_INPUTS], *given[PART_INPUTS];
  const pleat_recipe *recipes[PART_INPUTS];
} part;

typedef struct parts {
  part parts[PART_COUNT];
  pleat_tensor product, *to_product; /* S times X, in the workspace; NULL: X is not scaled */
  pleat_tensor result;               /* of the convolution, as the mean's kernel sees it */
  size_t product_offset;
  float *slopes; /* [blocks][lanes]; NULL: there are none */
  int64_t lanes, blocks, positions;
} parts;

static bool has_slopes(const pleat_call *call) {
  return pleat_in(call, PLEAT_CONV_SLOPES) != NULL;
}

static const char *supports(const pleat_call *call) {
  if (call->wanted == NULL) return "only where layouts are planned";
  if (pleat_conv_is_scaled(call) || pleat_conv_gives_mean(call) || has_slopes(call)) return NULL;
  return "nothing but a convolution";
}

/* A node that the graph does not have. */
static const pleat_node *node_of(const pleat_call *call, const char *op_type) {
  pleat_node *node = pleat_arena_alloc(call->arena, sizeof *node);
  if (node == NULL) return NULL;
  *node = *call->node;
  node->op_type = op_type;
  node->domain = "";
  node->def = pleat_op_find("", op_type);
  node->version = pleat_op_version_at(node->def, INT32_MAX);
  node->attr_count = 0;
  return node;
}

/* The fused node without what other parts do: PRelu is its only attribute of those. */
static const pleat_node *conv_node(const pleat_call *call) {
  pleat_node *node = pleat_arena_alloc(call->arena, sizeof *node);
  pleat_attr *attrs = pleat_arena_array(call->arena, call->node->attr_count, sizeof *attrs);
  if (!has_slopes(call)) return call->node;
  if (node == NULL || attrs == NULL) return NULL;
  *node = *call->node;
  node->attrs = attrs;
  node->attr_count = 0;
  for (size_t i = 0; i < call->node->attr_count; i++) {
    if (strcmp(call->node->attrs[i].name, "activation") != 0) attrs[node->attr_count++] = call->node->attrs[i];
  }
  return node;
}

/* Has the best kernel take a part of so much work, whose inputs, and their layouts as `given`, are set. */
static pleat_status take(pleat_call *call, part *p, const pleat_node *node, double work, size_t input_count,
                         pleat_tensor *const *outputs) {
  char declined[1];
  if (node == NULL) return PLEAT_OOM(call->error);
  p->call = *call;
  p->call.node = node;
  p->call.version = node->version;
  p->call.input_count = input_count;
  p->call.output_count = 1;
  p->call.inputs = p->inputs;
  p->call.outputs = outputs;
  p->call.wanted = p->wanted;
  p->call.given = p->given;
  p->call.recipes = p->recipes;
  p->call.variant = 0;
  p->call.work = work;
  PLEAT_TRY(pleat_kernel_take(&p->call, declined, 0, &p->kernel));
  call->rival_threads = call->rival_threads || p->call.rival_threads;
  if (p->call.workspace_size > call->workspace_size) call->workspace_size = p->call.workspace_size;
  return PLEAT_OK;
}

static void set_input(part *p, size_t index, const pleat_call *call, size_t from) {
  p->inputs[index] = pleat_in(call, from);
  p->given[index] = call->given != NULL        ? call->given[from]
                    : p->inputs[index] != NULL ? p->inputs[index]->layout
                                               : NULL;
  p->recipes[index] = call->recipes != NULL ? call->recipes[from] : NULL;
}

static pleat_status decline(const pleat_call *call, const char *what) {
  return pleat_fail(call->error, PLEAT_UNSUPPORTED, "%s in another layout than the convolution's", what);
}

/* The convolution decides on layouts, and so comes first. */
static pleat_status take_conv(pleat_call *call, parts *all) {
  part *conv = &all->parts[CONV];
  const size_t count = call->input_count < PART_INPUTS ? call->input_count : PART_INPUTS;
  for (size_t i = 0; i < count; i++) set_input(conv, i, call, i);
  PLEAT_TRY(take(call, conv, conv_node(call), call->work, count, call->outputs));
  if (call->bf16 && !conv->call.bf16) /* in float there may be a kernel for all of it */
    return pleat_fail(call->error, PLEAT_UNSUPPORTED, "its convolution is none of bfloat16");
  for (size_t i = 0; i < count; i++) call->wanted[i] = conv->wanted[i];
  return PLEAT_OK;
}

/* X as the convolution wants it, times S. */
static pleat_status take_scale(pleat_call *call, parts *all, pleat_tensor *x) {
  part *scale = &all->parts[SCALE];
  if (!pleat_conv_is_scaled(call)) return PLEAT_OK;
  *x = all->product = *call->inputs[0];
  x->layout = call->wanted[0];
  all->to_product = &all->product;
  set_input(scale, 0, call, 0);
  set_input(scale, 1, call, PLEAT_CONV_SCALE);
  scale->inputs[0] = x;
  scale->given[0] = x->layout;
  PLEAT_TRY(take(call, scale, node_of(call, "Mul"), 2.0 * (double)x->count, 2, &all->to_product));
  call->wanted[PLEAT_CONV_SCALE] = scale->wanted[1];
  if (!pleat_layout_equal(scale->wanted[0], call->wanted[0]) ||
      !pleat_layout_equal(all->product.layout, call->wanted[0]))
    return decline(call, "the scaled input is");
  return PLEAT_OK;
}

/* PRelu over the result, in its place: a slope for each number of a block of channels. */
static pleat_status set_slopes(pleat_call *call, parts *all) {
  const pleat_tensor *y = call->outputs[0], *given = pleat_in(call, PLEAT_CONV_SLOPES);
  const int64_t channels = y->dims[1];
  if (given == NULL) return PLEAT_OK;
  if (pleat_layout_is_bf16(y->layout)) return pleat_fail(call->error, PLEAT_UNSUPPORTED, "PRelu of bfloat16");
  if (given->data == NULL || (given->count != 1 && given->count != (size_t)channels))
    return pleat_fail(call->error, PLEAT_UNSUPPORTED, "slopes that are not constant floats, one or one a channel");
  all->lanes = y->layout == NULL ? 1 : y->layout->block > 0 ? y->layout->block : channels;
  all->blocks = (channels + all->lanes - 1) / all->lanes;
  all->positions = pleat_volume(y->dims, 2, y->rank);
  all->slopes = pleat_arena_array(call->arena, (size_t)(all->blocks * all->lanes), sizeof *all->slopes);
  if (all->slopes == NULL) return PLEAT_OOM(call->error);
  for (int64_t i = 0; i < channels; i++) all->slopes[i] = ((const float *)given->data)[given->count == 1 ? 0 : i];
  return PLEAT_OK;
}

/* `count` numbers with slopes that come again after `lanes`. Factors are chosen, not results: that takes no branch. */
static void bend_floats(float *restrict y, int64_t count, const float *restrict slopes, int64_t lanes) {
  if (lanes == 1) {
    const float slope = slopes[0];
    for (int64_t i = 0; i < count; i++) y[i] *= y[i] < 0 ? slope : 1;
    return;
  }
  for (int64_t i = 0; i < count; i += lanes, y += lanes) {
    for (int64_t k = 0; k < lanes; k++) y[k] *= y[k] < 0 ? slopes[k] : 1;
  }
}

static void bend_blocks(const pleat_call *call, const void *plan, size_t first, size_t end) {
  const parts *all = plan;
  const int64_t size = all->positions * all->lanes;
  for (int64_t block = (int64_t)first; block < (int64_t)end; block++) {
    const float *slopes = all->slopes + block % all->blocks * all->lanes;
    bend_floats((float *)call->outputs[0]->data + block * size, size, slopes, all->lanes);
  }
}

static pleat_status take_mean(pleat_call *call, parts *all) {
  part *mean = &all->parts[MEAN];
  if (!pleat_conv_gives_mean(call)) return PLEAT_OK;
  all->result = *call->outputs[0];
  mean->inputs[0] = &all->result;
  mean->given[0] = all->result.layout;
  PLEAT_TRY(take(call, mean, node_of(call, "GlobalAveragePool"), (double)all->result.count, 1, call->outputs + 1));
  if (!pleat_layout_equal(mean->wanted[0], call->outputs[0]->layout)) return decline(call, "the mean is taken");
  return PLEAT_OK;
}

static void release(void *state) {
  parts *all = state;
  for (int i = 0; i < PART_COUNT; i++) {
    if (all->parts[i].kernel != NULL) pleat_kernel_release(all->parts[i].kernel, &all->parts[i].call);
  }
}

static pleat_status prepare(pleat_call *call) {
  pleat_status status = PLEAT_OK;
  parts *all = pleat_call_state(call, sizeof *all);
  pleat_tensor *x = pleat_arena_alloc(call->arena, sizeof *x);
  if (all == NULL || x == NULL) return PLEAT_OOM(call->error);
  PLEAT_CHECK(take_conv(call, all));
  PLEAT_CHECK(take_scale(call, all, x));
  PLEAT_CHECK(set_slopes(call, all));
  PLEAT_CHECK(take_mean(call, all));
  all->product_offset = (call->workspace_size + 63) & ~(size_t)63;
  if (all->to_product != NULL) call->workspace_size = all->product_offset + pleat_layout_bytes(&all->product);
  return PLEAT_OK;
fail:
  release(all);
  return status;
}

/* ---- running ---- */

static void close_parts(pleat_call *call) {
  const parts *all = call->state;
  void **instances = call->instance;
  for (int i = 0; i < PART_COUNT; i++) {
    pleat_call inner = all->parts[i].call;
    inner.instance = instances[i];
    if (all->parts[i].kernel != NULL) pleat_kernel_close(all->parts[i].kernel, &inner);
  }
  free(instances);
}

static pleat_status open_parts(pleat_call *call) {
  const parts *all = call->state;
  void **instances = calloc(PART_COUNT, sizeof *instances);
  if (instances == NULL) return PLEAT_OOM(call->error);
  call->instance = instances;
  for (int i = 0; i < PART_COUNT; i++) {
    pleat_call inner = all->parts[i].call;
    if (all->parts[i].kernel == NULL) continue;
    inner.error = call->error;
    const pleat_status status = pleat_kernel_open(all->parts[i].kernel, &inner);
    instances[i] = inner.instance;
    if (status == PLEAT_OK) continue;
    close_parts(call);
    return status;
  }
  return PLEAT_OK;
}

static pleat_status run_part(const pleat_call *call, int index, const pleat_tensor *const *inputs,
                             pleat_tensor *const *outputs) {
  const part *p = &((const parts *)call->state)->parts[index];
  pleat_call inner = p->call;
  if (p->kernel == NULL) return PLEAT_OK;
  inner.inputs = inputs;
  inner.outputs = outputs;
  inner.instance = call->instance != NULL ? ((void **)call->instance)[index] : NULL;
  inner.workspace = call->workspace;
  inner.arena = call->arena;
  inner.error = call->error;
  return pleat_kernel_run(p->kernel, &inner);
}

static pleat_status run(const pleat_call *call) {
  const parts *all = call->state;
  pleat_tensor product = all->product, *to_product = &product;
  const pleat_tensor *scaled[] = {call->inputs[0], pleat_in(call, PLEAT_CONV_SCALE)}, *inputs[PART_INPUTS] = {NULL};
  const pleat_tensor *result = call->outputs[0];
  product.data = (char *)call->workspace + all->product_offset;
  for (size_t i = 0; i < PART_INPUTS; i++) inputs[i] = pleat_in(call, i);
  if (all->to_product != NULL) inputs[0] = &product;
  PLEAT_TRY(run_part(call, SCALE, scaled, &to_product));
  PLEAT_TRY(run_part(call, CONV, inputs, call->outputs));
  if (all->slopes != NULL)
    pleat_call_share(call, result->count >= PLEAT_PARALLEL_SIMPLE, (size_t)(result->dims[0] * all->blocks), bend_blocks,
                     all);
  return run_part(call, MEAN, &result, call->outputs + 1);
}

const pleat_kernel pleat_fused_conv_parts = {.name = "parts",
                                             .types = PLEAT_M_F32,
                                             .flags = PLEAT_KERNEL_LAYOUTS | PLEAT_KERNEL_BF16,
                                             .packs = 1u
                                                      << 1, /* as its convolution has it: what reads W reads it there */
                                             .supports = supports,
                                             .prepare = prepare,
                                             .run = run,
                                             .release = release,
                                             .open = open_parts,
                                             .close = close_parts};

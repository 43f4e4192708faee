/* FusedConvPair: see conv_pair.h. The reference kernel is FusedConv's, twice, with the value between them in the
 * workspace, so that fusing changes no bit of it. */
#include "ops/conv_pair.h"

#include <limits.h>
#include <string.h>

#include "core/checked.h"
#include "ops/kernels.h"

extern const pleat_op_def pleat_op_FusedConv;

static const char *const prefixes[PLEAT_PAIR_PARTS] = {"first_", "second_"};

/* ---- both as one node, and back ---- */

pleat_node *pleat_conv_pair_join(pleat_arena *arena, const pleat_node *first, const pleat_node *second) {
  const pleat_node *const parts[PLEAT_PAIR_PARTS] = {first, second};
  char labels[PLEAT_PAIR_PARTS][256];
  pleat_node *node = pleat_arena_alloc(arena, sizeof *node);
  pleat_value **values = pleat_arena_array(arena, PLEAT_PAIR_INPUTS + PLEAT_PAIR_OUTPUTS, sizeof *values);
  pleat_attr *attrs = pleat_arena_array(arena, first->attr_count + second->attr_count, sizeof *attrs);
  if (node == NULL || values == NULL || attrs == NULL) return NULL;
  *node = *second;
  node->attrs = attrs;
  node->attr_count = 0;
  for (int part = 0; part < PLEAT_PAIR_PARTS; part++) {
    pleat_node_label(parts[part], labels[part], sizeof labels[part]);
    for (size_t i = 1; i < parts[part]->input_count; i++) values[2 * (size_t)part + i] = parts[part]->inputs[i];
    for (size_t i = 0; i < parts[part]->attr_count; i++) {
      pleat_attr attr = parts[part]->attrs[i];
      attr.name = pleat_arena_printf(arena, "%s%s", prefixes[part], attr.name);
      if (attr.name == NULL) return NULL;
      attrs[node->attr_count++] = attr;
    }
  }
  values[PLEAT_PAIR_X] = first->inputs[0];
  for (size_t i = 0; i < second->output_count; i++) values[PLEAT_PAIR_INPUTS + i] = second->outputs[i];
  node->name = pleat_arena_printf(arena, "%s + %s", labels[0], labels[1]);
  node->op_type = "FusedConvPair";
  node->domain = PLEAT_INTERNAL_DOMAIN;
  node->def = pleat_op_find(PLEAT_INTERNAL_DOMAIN, "FusedConvPair");
  node->version = pleat_op_version_at(node->def, INT32_MAX);
  node->input_count = PLEAT_PAIR_INPUTS;
  node->inputs = values;
  node->outputs = values + PLEAT_PAIR_INPUTS;
  return node->name != NULL ? node : NULL;
}

/* One part as a FusedConv, which knows its attributes under their own names. */
static pleat_node make_part(const pleat_node *pair, int part, pleat_attr attrs[PLEAT_PAIR_ATTRS]) {
  const size_t length = strlen(prefixes[part]);
  pleat_node node = *pair;
  node.op_type = "FusedConv";
  node.def = &pleat_op_FusedConv;
  node.version = pleat_op_version_at(node.def, INT32_MAX);
  node.attrs = attrs;
  node.attr_count = 0;
  for (size_t i = 0; i < pair->attr_count; i++) {
    pleat_attr attr = pair->attrs[i];
    if (strncmp(attr.name, prefixes[part], length) != 0) continue;
    attr.name += length;
    if (pleat_op_attr_find(node.def, attr.name) == NULL || node.attr_count == PLEAT_PAIR_ATTRS) continue;
    attrs[node.attr_count++] = attr;
  }
  return node;
}

/* Where a part's input is among the pair's; input 0 of the second is what the first gives. */
static size_t input_of(int part, size_t input) {
  return 2 * (size_t)part + input;
}

/* The types of a part's results, PLEAT_PAIR_OUTPUTS for the second; `between`: that of the first one's, for the second.
 * Adds its multiply-adds to *out_macs, if that is wanted. */
static pleat_status infer_part(const pleat_infer *pair, int part, pleat_type *between, pleat_type *out_types,
                               double *out_macs) {
  pleat_type types[PLEAT_PAIR_PART_INPUTS] = {{.present = false}};
  pleat_attr attrs[PLEAT_PAIR_ATTRS];
  const pleat_node node = make_part(pair->node, part, attrs);
  for (size_t i = 0; i < PLEAT_PAIR_PART_INPUTS; i++) {
    if (input_of(part, i) < pair->input_count) types[i] = pair->inputs[input_of(part, i)];
  }
  if (part > 0) types[0] = *between;
  pleat_infer ctx = *pair;
  ctx.node = &node;
  ctx.version = node.version;
  ctx.input_count = PLEAT_PAIR_PART_INPUTS;
  ctx.output_count = part == 0 ? 1 : pair->node->output_count;
  ctx.inputs = types;
  ctx.outputs = out_types;
  for (size_t i = 0; i < ctx.output_count; i++)
    out_types[i] = (pleat_type){.present = true, .kind = PLEAT_KIND_TENSOR, .shape = pleat_shape_unknown()};
  PLEAT_TRY(node.def->infer(&ctx));
  if (out_macs != NULL) *out_macs += node.def->macs(&ctx);
  return PLEAT_OK;
}

static pleat_status infer(pleat_infer *ctx) {
  pleat_type between;
  PLEAT_TRY(infer_part(ctx, 0, NULL, &between, NULL));
  return infer_part(ctx, 1, &between, ctx->outputs, NULL);
}

static double macs(const pleat_infer *ctx) {
  pleat_type between, results[PLEAT_PAIR_OUTPUTS];
  double sum = 0;
  if (infer_part(ctx, 0, NULL, &between, &sum) != PLEAT_OK) return 0;
  return infer_part(ctx, 1, &between, results, &sum) == PLEAT_OK ? sum : 0;
}

static pleat_type type_of(const pleat_tensor *tensor) {
  if (tensor == NULL) return (pleat_type){.present = false};
  return (pleat_type){.present = true,
                      .kind = tensor->kind,
                      .dtype = tensor->dtype,
                      .shape = pleat_shape_of(tensor->rank, tensor->dims)};
}

pleat_status pleat_conv_pair_split(const pleat_call *call, pleat_conv_pair *out_pair) {
  pleat_conv_pair *p = out_pair;
  pleat_type types[PLEAT_PAIR_INPUTS], between;
  int64_t dims[PLEAT_MAX_RANK];
  for (size_t i = 0; i < PLEAT_PAIR_INPUTS; i++) types[i] = type_of(pleat_in(call, i));
  const pleat_infer ctx = {
      .node = call->node, .input_count = PLEAT_PAIR_INPUTS, .inputs = types, .planning = true, .error = call->error};
  PLEAT_TRY(infer_part(&ctx, 0, NULL, &between, NULL));
  if (!pleat_shape_dims(&between.shape, dims) ||
      !pleat_tensor_describe(&p->between, between.dtype, between.shape.rank, dims))
    return pleat_fail(call->error, PLEAT_UNSUPPORTED, "the value between them is too large");
  for (int part = 0; part < PLEAT_PAIR_PARTS; part++) {
    p->nodes[part] = make_part(call->node, part, p->attrs[part]);
    for (size_t i = 0; i < PLEAT_PAIR_PART_INPUTS; i++) {
      p->inputs[part][i] = pleat_in(call, input_of(part, i));
      p->recipes[part][i] = call->recipes != NULL ? call->recipes[input_of(part, i)] : NULL;
    }
    for (size_t i = 0; i < PLEAT_PAIR_OUTPUTS; i++) p->outputs[part][i] = part == 0 ? NULL : pleat_out(call, i);
    p->calls[part] = *call;
    p->calls[part].node = &p->nodes[part];
    p->calls[part].version = p->nodes[part].version;
    p->calls[part].input_count = PLEAT_PAIR_PART_INPUTS;
    p->calls[part].inputs = p->inputs[part];
    p->calls[part].output_count = part == 0 ? 1 : call->output_count;
    p->calls[part].outputs = p->outputs[part];
    p->calls[part].wanted = call->wanted != NULL ? p->wanted[part] : NULL;
    p->calls[part].given = NULL;
    p->calls[part].recipes = call->recipes != NULL ? p->recipes[part] : NULL;
    p->calls[part].state = NULL;
    p->calls[part].workspace_size = 0;
  }
  p->inputs[1][0] = p->outputs[0][0] = &p->between;
  p->recipes[1][0] = NULL;
  if (call->wanted != NULL) p->wanted[0][0] = call->wanted[PLEAT_PAIR_X];
  return PLEAT_OK;
}

/* ---- the reference kernel ---- */

typedef struct sequence {
  pleat_conv_pair pair;
  const pleat_kernel *kernel;
  size_t offset; /* of what the parts want, behind the value between them */
} sequence;

static pleat_status prepare(pleat_call *call) {
  sequence *s = pleat_call_state(call, sizeof *s);
  const pleat_kernel *const *kernel = pleat_op_FusedConv.kernels;
  if (s == NULL) return PLEAT_OOM(call->error);
  while (kernel[1] != NULL) kernel++;
  s->kernel = *kernel;
  PLEAT_TRY(pleat_conv_pair_split(call, &s->pair));
  size_t most = 0;
  for (int part = 0; part < PLEAT_PAIR_PARTS; part++) {
    PLEAT_TRY(pleat_kernel_prepare(s->kernel, &s->pair.calls[part]));
    if (s->pair.calls[part].workspace_size > most) most = s->pair.calls[part].workspace_size;
  }
  if (!pleat_align_up(pleat_bytes(&s->pair.between), 64, &s->offset) ||
      !pleat_add_size(s->offset, most, &call->workspace_size))
    return pleat_fail(call->error, PLEAT_OUT_OF_MEMORY, "the value between the convolutions overflows memory");
  return PLEAT_OK;
}

static pleat_status run(const pleat_call *call) {
  const sequence *s = call->state;
  pleat_tensor between = s->pair.between;
  between.data = between.count > 0 ? call->workspace : NULL;
  for (int part = 0; part < PLEAT_PAIR_PARTS; part++) {
    const pleat_tensor *inputs[PLEAT_PAIR_PART_INPUTS];
    pleat_tensor *outputs[PLEAT_PAIR_OUTPUTS] = {part == 0 ? &between : call->outputs[0]};
    if (part > 0) outputs[1] = pleat_out(call, 1);
    for (size_t i = 0; i < PLEAT_PAIR_PART_INPUTS; i++) inputs[i] = pleat_in(call, input_of(part, i));
    if (part > 0) inputs[0] = &between;
    pleat_call inner = s->pair.calls[part];
    inner.inputs = inputs;
    inner.outputs = outputs;
    inner.workspace = (char *)call->workspace + s->offset;
    inner.arena = call->arena;
    inner.error = call->error;
    PLEAT_TRY(pleat_kernel_run(s->kernel, &inner));
  }
  return PLEAT_OK;
}

/* ---- definition ---- */

static const pleat_op_version versions[] = {{.since = 1,
                                             .min_inputs = 4,
                                             .max_inputs = PLEAT_PAIR_INPUTS,
                                             .min_outputs = 1,
                                             .max_outputs = PLEAT_PAIR_OUTPUTS,
                                             .types = PLEAT_M_F32},
                                            {0}};

static const pleat_kernel reference = {.name = "reference", .types = PLEAT_M_F32, .prepare = prepare, .run = run};
static const pleat_kernel *const kernels[] = {
    PLEAT_X86_KERNEL(pleat_x86_conv_pair) PLEAT_X86_KERNEL(pleat_x86_planes_pair) & reference, NULL};

/* No attribute has a default of its own: those of FusedConv hold. */
const pleat_op_def pleat_op_FusedConvPair = {.domain = PLEAT_INTERNAL_DOMAIN,
                                             .name = "FusedConvPair",
                                             .versions = versions,
                                             .infer = infer,
                                             .kernels = kernels,
                                             .macs = macs};

/* FusedConv, FusedConvTranspose and FusedGemm, domain "pleat": a Conv, ConvTranspose or Gemm, then an optional sum with
 * Z (same shape as the result; not behind a ConvTranspose), then an optional activation. Made by the session's fusion
 * passes (fold/fuse_*.c), never written to a file.
 *
 * Inputs: those of Conv (X, W, B) or Gemm (A, B, C), then Z at index 3. Attributes: those of the base operator,
 * `activation` (the operator's name, "Silu", or empty), `activation_alpha`, `activation_beta`. Squeeze-and-excite has
 * FusedConv take one more input and give one more output: S, [1 or N, C, 1...], which X is multiplied by, and the mean
 * of the result over its positions, as GlobalAveragePool gives it. A PRelu behind a Conv has its slopes at index 5, one
 * for all or one a channel.
 *
 * The reference kernel is the reference kernels of the parts, one after the other, so that fusing changes no bit of it;
 * faster kernels do it in one pass. */
#include <string.h>

#include "ops/conv.h"
#include "ops/kernels.h"

extern const pleat_kernel pleat_fused_conv_parts; /* fused_parts.c */
extern const pleat_op_def pleat_op_BatchNormalization, pleat_op_Conv, pleat_op_ConvTranspose, pleat_op_Gemm;

/* ---- the parts ---- */

enum { SCALE, BASE, SUM, ACTIVATION, GATE, MEAN, PART_COUNT };

/* One part's kernel, and its call as far as it is known ahead: inputs and outputs are set in each run. */
typedef struct part {
  const pleat_kernel *kernel; /* NULL: absent */
  pleat_call call;
} part;

typedef struct fused {
  part parts[PART_COUNT];
  size_t kept_offset; /* in the workspace, behind what the parts have: S times X, then sigmoid(x) of Silu */
} fused;

static const pleat_kernel *reference_of(const pleat_op_def *def) {
  const pleat_kernel *const *kernel = def->kernels;
  while (kernel[1] != NULL) kernel++;
  return *kernel;
}

/* How an activation's attributes are called, at the version of its definition that has them as attributes. */
static const struct activation {
  const char *name;
  int64_t opset;
  const char *alpha, *beta;
} activations[] = {
    {"Clip", 6, "min", "max"},     {"Elu", 6, "alpha", NULL},
    {"Gelu", 20, NULL, NULL},      {"HardSigmoid", 6, "alpha", "beta"},
    {"HardSwish", 14, NULL, NULL}, {"LeakyRelu", 6, "alpha", NULL},
    {"PRelu", 16, NULL, NULL},     {"Relu", 6, NULL, NULL},
    {"Sigmoid", 6, NULL, NULL},    {"Silu", 6, NULL, NULL},
    {"Tanh", 6, NULL, NULL},
};

static const struct activation *find_activation(const char *name) {
  for (size_t i = 0; i < sizeof activations / sizeof activations[0]; i++) {
    if (strcmp(activations[i].name, name) == 0) return &activations[i];
  }
  return NULL;
}

/* A node for a part that has none in the graph; its attributes are the fused node's under their own names. */
static pleat_node *part_node(pleat_call *call, const char *op_type, int64_t opset,
                             const struct activation *activation) {
  pleat_node *node = pleat_arena_alloc(call->arena, sizeof *node);
  pleat_attr *attrs = pleat_arena_array(call->arena, 2, sizeof *attrs);
  if (node == NULL || attrs == NULL) return NULL;
  *node = *call->node;
  node->op_type = op_type;
  node->domain = "";
  node->def = pleat_op_find("", op_type);
  node->version = pleat_op_version_at(node->def, opset);
  node->attrs = attrs;
  node->attr_count = 0;
  if (activation == NULL) return node;
  const char *names[2] = {activation->alpha, activation->beta};
  const char *sources[2] = {"activation_alpha", "activation_beta"};
  for (size_t i = 0; i < 2; i++) {
    if (names[i] == NULL) continue;
    attrs[node->attr_count++] =
        (pleat_attr){.name = names[i], .type = PLEAT_ATTR_FLOAT, .f = pleat_attr_float(call->node, sources[i])};
  }
  return node;
}

static pleat_status prepare_part(pleat_call *call, part *p, const pleat_node *node, const pleat_tensor *const *inputs,
                                 size_t input_count, pleat_tensor *const *outputs) {
  if (node == NULL) return PLEAT_OOM(call->error);
  p->kernel = reference_of(node->def);
  p->call = *call;
  p->call.node = node;
  p->call.version = node->version;
  p->call.inputs = inputs;
  p->call.input_count = input_count;
  p->call.outputs = outputs;
  p->call.output_count = 1;
  p->call.state = NULL;
  p->call.workspace_size = 0;
  if (p->kernel->prepare != NULL) PLEAT_TRY(p->kernel->prepare(&p->call));
  if (p->call.workspace_size > call->workspace_size) call->workspace_size = p->call.workspace_size;
  return PLEAT_OK;
}

/* What each of the operators starts with. */
static const struct base {
  const char *fused;
  const pleat_op_def *def;
  size_t inputs; /* of the base operator; Z comes behind them */
  bool has_sum;
} bases[] = {
    {"FusedBatchNormalization", &pleat_op_BatchNormalization, 5, false},
    {"FusedConv", &pleat_op_Conv, 3, true},
    {"FusedConvTranspose", &pleat_op_ConvTranspose, 3, false},
    {"FusedGemm", &pleat_op_Gemm, 3, true},
};

static const struct base *base_of(const pleat_node *node) {
  size_t i = 0;
  while (strcmp(bases[i].fused, node->op_type) != 0) i++;
  return &bases[i];
}

/* The base operator's newest version: opsets differ only in types. */
static const pleat_op_version *base_version(const pleat_node *node) {
  return pleat_op_version_at(base_of(node)->def, INT32_MAX);
}

/* Z; NULL: there is none. */
static const pleat_tensor *residual_of(const pleat_call *call) {
  const struct base *base = base_of(call->node);
  return base->has_sum ? pleat_in(call, base->inputs) : NULL;
}

/* S; NULL: there is none. */
static const pleat_tensor *scale_of(const pleat_call *call) {
  return base_of(call->node)->def == &pleat_op_Conv ? pleat_in(call, PLEAT_CONV_SCALE) : NULL;
}

/* PRelu's; NULL: there are none. */
static const pleat_tensor *slopes_of(const pleat_call *call) {
  return base_of(call->node)->def == &pleat_op_Conv ? pleat_in(call, PLEAT_CONV_SLOPES) : NULL;
}

/* The base operator's own node. */
static pleat_node *base_node(pleat_call *call) {
  pleat_node *node = pleat_arena_alloc(call->arena, sizeof *node);
  if (node == NULL) return NULL;
  *node = *call->node;
  node->op_type = base_of(call->node)->def->name;
  node->domain = "";
  node->def = base_of(call->node)->def;
  node->version = base_version(call->node);
  return node;
}

static pleat_status prepare_activation(pleat_call *call, fused *state) {
  const char *name = pleat_attr_string(call->node, "activation");
  const struct activation *activation = find_activation(name);
  const bool gated = strcmp(name, "Silu") == 0;
  const pleat_tensor *const both[2] = {call->outputs[0], call->outputs[0]}, *const y[2] = {both[0], slopes_of(call)};
  if (activation == NULL) return PLEAT_OK;
  PLEAT_TRY(prepare_part(call, &state->parts[ACTIVATION],
                         part_node(call, gated ? "Sigmoid" : name, activation->opset, activation), y,
                         y[1] != NULL ? 2 : 1, call->outputs));
  if (!gated) return PLEAT_OK;
  return prepare_part(call, &state->parts[GATE], part_node(call, "Mul", 14, NULL), both, 2, call->outputs);
}

static pleat_status prepare(pleat_call *call) {
  fused *state = pleat_call_state(call, sizeof *state);
  const pleat_tensor *const y[2] = {call->outputs[0], residual_of(call)};
  const pleat_tensor *const scaled[2] = {call->inputs[0], scale_of(call)};
  const size_t inputs = base_of(call->node)->inputs;
  size_t kept = 0;
  pleat_tensor product = *call->inputs[0], *to_product = &product;
  if (state == NULL) return PLEAT_OOM(call->error);
  call->workspace_size = 0;
  if (scaled[1] != NULL) {
    PLEAT_TRY(prepare_part(call, &state->parts[SCALE], part_node(call, "Mul", 14, NULL), scaled, 2, &to_product));
    kept = pleat_bytes(&product);
  }
  PLEAT_TRY(prepare_part(call, &state->parts[BASE], base_node(call), call->inputs,
                         call->input_count < inputs ? call->input_count : inputs, call->outputs));
  if (y[1] != NULL)
    PLEAT_TRY(prepare_part(call, &state->parts[SUM], part_node(call, "Add", 14, NULL), y, 2, call->outputs));
  PLEAT_TRY(prepare_activation(call, state));
  if (state->parts[GATE].kernel != NULL && pleat_bytes(call->outputs[0]) > kept) kept = pleat_bytes(call->outputs[0]);
  if (pleat_out(call, 1) != NULL) {
    PLEAT_TRY(prepare_part(call, &state->parts[MEAN], part_node(call, "GlobalAveragePool", 1, NULL), y, 1,
                           call->outputs + 1));
  }
  state->kept_offset = (call->workspace_size + 63) & ~(size_t)63;
  if (kept > 0) call->workspace_size = state->kept_offset + kept;
  call->state = state;
  return PLEAT_OK;
}

static pleat_status run_part(const pleat_call *call, const part *p, const pleat_tensor *const *inputs,
                             pleat_tensor *const *outputs) {
  pleat_call inner = p->call;
  if (p->kernel == NULL) return PLEAT_OK;
  inner.inputs = inputs;
  inner.outputs = outputs;
  inner.workspace = call->workspace;
  inner.arena = call->arena;
  inner.error = call->error;
  return p->kernel->run(&inner);
}

/* The inputs of the base operator, with S times X for X. */
static pleat_status run_base(const pleat_call *call, pleat_tensor *product) {
  const fused *state = call->state;
  const pleat_tensor *scaled[2] = {call->inputs[0], scale_of(call)}, *inputs[PLEAT_CONV_Z];
  if (state->parts[SCALE].kernel == NULL) return run_part(call, &state->parts[BASE], call->inputs, call->outputs);
  PLEAT_TRY(run_part(call, &state->parts[SCALE], scaled, &product));
  for (size_t i = 0; i < PLEAT_CONV_Z; i++) inputs[i] = i == 0 ? product : pleat_in(call, i);
  return run_part(call, &state->parts[BASE], inputs, call->outputs);
}

static pleat_status run(const pleat_call *call) {
  const fused *state = call->state;
  pleat_tensor gate = *call->outputs[0], *to_gate = &gate, product = *call->inputs[0];
  const pleat_tensor *sum[2] = {call->outputs[0], residual_of(call)};
  const pleat_tensor *gated[2] = {call->outputs[0], &gate}, *bent[2] = {call->outputs[0], slopes_of(call)};
  bool is_gated = state->parts[GATE].kernel != NULL;
  if (gate.count > 0) gate.data = (char *)call->workspace + state->kept_offset;
  if (product.count > 0) product.data = (char *)call->workspace + state->kept_offset;
  PLEAT_TRY(run_base(call, &product));
  PLEAT_TRY(run_part(call, &state->parts[SUM], sum, call->outputs));
  PLEAT_TRY(run_part(call, &state->parts[ACTIVATION], bent, is_gated ? &to_gate : call->outputs));
  PLEAT_TRY(run_part(call, &state->parts[GATE], gated, call->outputs));
  return run_part(call, &state->parts[MEAN], sum, call->outputs + 1);
}

/* ---- inference ---- */

/* Whether S has a number for each channel of X, as far as that can be told. */
static bool is_scale(const pleat_type *x, const pleat_type *s) {
  if (s->dtype != x->dtype) return false;
  if (x->shape.rank < 0 || s->shape.rank < 0) return true;
  for (int i = 0; s->shape.rank == x->shape.rank && i < x->shape.rank; i++) {
    const int64_t size = s->shape.dims[i].value, of_x = x->shape.dims[i].value;
    const bool is_one = size == 1 && i != 1, is_same = size == of_x && i < 2;
    if (size >= 0 && of_x >= 0 && !is_one && !is_same) return false;
  }
  return s->shape.rank == x->shape.rank;
}

/* S, and the mean of the result, whose shape is known by now. */
static pleat_status infer_excitation(pleat_infer *ctx) {
  const pleat_type *y = &ctx->outputs[0];
  pleat_type *mean = pleat_infer_out(ctx, 1);
  if (base_of(ctx->node)->def != &pleat_op_Conv) return PLEAT_OK;
  if (pleat_infer_has(ctx, PLEAT_CONV_SCALE) && !is_scale(&ctx->inputs[0], &ctx->inputs[PLEAT_CONV_SCALE]))
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "S does not have a number for each channel of X");
  if (mean == NULL) return PLEAT_OK;
  mean->dtype = y->dtype;
  mean->shape = y->shape;
  for (int i = 2; i < y->shape.rank; i++) mean->shape.dims[i] = pleat_dim_known(1);
  return PLEAT_OK;
}

static pleat_status infer(pleat_infer *ctx) {
  pleat_infer base = *ctx;
  const char *name = pleat_attr_string(ctx->node, "activation");
  const struct base *kind = base_of(ctx->node);
  const bool has_slopes = kind->def == &pleat_op_Conv && pleat_infer_has(ctx, PLEAT_CONV_SLOPES);
  if ((name[0] != '\0' && find_activation(name) == NULL) || (strcmp(name, "PRelu") == 0) != has_slopes) {
    return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "there is no activation '%s' to fuse", name);
  }
  base.version = base_version(ctx->node);
  if (base.input_count > kind->inputs) base.input_count = kind->inputs;
  PLEAT_TRY(kind->def->infer(&base));
  if (!kind->has_sum || !pleat_infer_has(ctx, kind->inputs)) return infer_excitation(ctx);
  const pleat_type *z = &ctx->inputs[kind->inputs];
  pleat_shape merged;
  if (z->dtype != ctx->outputs[0].dtype || !pleat_shape_merge(&z->shape, &ctx->outputs[0].shape, &merged)) {
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "Z does not have the type and shape of the result");
  }
  ctx->outputs[0].shape = merged;
  return infer_excitation(ctx);
}

/* Z has the result's samples; all before it is the base operator's. */
static const char *split_off_z(const pleat_infer *whole, const pleat_role *roles, pleat_apart *base) {
  pleat_infer without = *whole;
  const size_t inputs = base_of(whole->node)->inputs;
  if (pleat_infer_has(whole, inputs) && roles[inputs] != PLEAT_ROLE_SAMPLES)
    return "its addend has numbers of its own for each sample";
  if (without.input_count > inputs) without.input_count = inputs;
  return base(&without, roles);
}

/* S has numbers for each sample or the same for all; slopes are shared. */
static const char *fused_apart(const pleat_infer *whole, const pleat_role *roles) {
  if (pleat_infer_has(whole, PLEAT_CONV_SCALE)) {
    const pleat_role role = roles[PLEAT_CONV_SCALE];
    const bool is_one = whole->inputs[PLEAT_CONV_SCALE].shape.dims[0].value == 1;
    if (role != PLEAT_ROLE_SAMPLES && (role != PLEAT_ROLE_SHARED || !is_one))
      return "its scale has numbers of its own for each sample";
  }
  if (pleat_infer_has(whole, PLEAT_CONV_SLOPES) && roles[PLEAT_CONV_SLOPES] != PLEAT_ROLE_SHARED)
    return "its slopes come from the samples";
  return split_off_z(whole, roles, pleat_op_Conv.apart);
}
static const char *fused_gemm_apart(const pleat_infer *whole, const pleat_role *roles) {
  return split_off_z(whole, roles, pleat_op_Gemm.apart);
}

static double conv_macs(const pleat_infer *ctx) {
  return pleat_op_Conv.macs(ctx);
}
static double conv_transpose_macs(const pleat_infer *ctx) {
  return pleat_op_ConvTranspose.macs(ctx);
}
static double gemm_macs(const pleat_infer *ctx) {
  return pleat_op_Gemm.macs(ctx);
}

/* ---- definitions ---- */

#define ACTIVATION_ATTRS                                                                                               \
  {.name = "activation", .type = PLEAT_ATTR_STRING, .s = ""}, {.name = "activation_alpha", .type = PLEAT_ATTR_FLOAT},  \
  {                                                                                                                    \
    .name = "activation_beta", .type = PLEAT_ATTR_FLOAT                                                                \
  }

static const pleat_op_version conv_versions[] = {
    {.since = 1, .min_inputs = 2, .max_inputs = 6, .min_outputs = 1, .max_outputs = 2, .types = PLEAT_M_FLOATS}, {0}};

static const pleat_op_version gemm_versions[] = {
    {.since = 1, .min_inputs = 2, .max_inputs = 4, .min_outputs = 1, .max_outputs = 1, .types = PLEAT_M_FLOATS}, {0}};

static const pleat_op_version conv_transpose_versions[] = {
    {.since = 1, .min_inputs = 2, .max_inputs = 3, .min_outputs = 1, .max_outputs = 1, .types = PLEAT_M_FLOATS}, {0}};

static const pleat_op_version norm_versions[] = {
    {.since = 1, .min_inputs = 5, .max_inputs = 5, .min_outputs = 1, .max_outputs = 1, .types = PLEAT_M_FLOATS}, {0}};

static const pleat_op_attr norm_attrs[] = {
    {.name = "epsilon", .type = PLEAT_ATTR_FLOAT, .f = 1e-5f}, ACTIVATION_ATTRS, {0}};

#define WINDOW_ATTRS                                                                                                   \
  {.name = "auto_pad", .type = PLEAT_ATTR_STRING, .s = "NOTSET"}, {.name = "dilations", .type = PLEAT_ATTR_INTS},      \
      {.name = "group", .type = PLEAT_ATTR_INT, .i = 1}, {.name = "kernel_shape", .type = PLEAT_ATTR_INTS},            \
      {.name = "pads", .type = PLEAT_ATTR_INTS}, {                                                                     \
    .name = "strides", .type = PLEAT_ATTR_INTS                                                                         \
  }
static const pleat_op_attr conv_attrs[] = {WINDOW_ATTRS, ACTIVATION_ATTRS, {0}};
static const pleat_op_attr conv_transpose_attrs[] = {WINDOW_ATTRS,
                                                     {.name = "output_padding", .type = PLEAT_ATTR_INTS},
                                                     {.name = "output_shape", .type = PLEAT_ATTR_INTS},
                                                     ACTIVATION_ATTRS,
                                                     {0}};

static const pleat_op_attr gemm_attrs[] = {{.name = "alpha", .type = PLEAT_ATTR_FLOAT, .f = 1.0f},
                                           {.name = "beta", .type = PLEAT_ATTR_FLOAT, .f = 1.0f},
                                           {.name = "transA", .type = PLEAT_ATTR_INT},
                                           {.name = "transB", .type = PLEAT_ATTR_INT},
                                           ACTIVATION_ATTRS,
                                           {0}};

static const pleat_kernel reference = {
    .name = "reference", .types = PLEAT_M_FLOATS, .flags = PLEAT_KERNEL_WIDEN, .prepare = prepare, .run = run};
static const pleat_kernel *const conv_kernels[] = {
    PLEAT_X86_KERNEL(pleat_x86_rows_conv) PLEAT_X86_KERNEL(pleat_x86_depthwise)
            PLEAT_X86_KERNEL(pleat_x86_planes_winograd) PLEAT_X86_KERNEL(pleat_x86_planes_conv)
                PLEAT_X86_KERNEL(pleat_x86_conv_winograd) PLEAT_X86_KERNEL(pleat_x86_conv_strassen)
                    PLEAT_X86_KERNEL(pleat_x86_conv_direct) PLEAT_ONEDNN_KERNEL(pleat_onednn_conv) &
        pleat_fused_conv_parts,
    &reference, NULL};
static const pleat_kernel *const conv_transpose_kernels[] = {
    PLEAT_X86_KERNEL(pleat_x86_conv_transpose) PLEAT_ONEDNN_KERNEL(pleat_onednn_conv_transpose) & reference, NULL};
static const pleat_kernel *const gemm_kernels[] = {
    PLEAT_X86_KERNEL(pleat_x86_rows_gemm) PLEAT_ONEDNN_KERNEL(pleat_onednn_gemm) & reference, NULL};
static const pleat_kernel *const norm_kernels[] = {
    PLEAT_X86_KERNEL(pleat_x86_batch_normalization) PLEAT_ONEDNN_KERNEL(pleat_onednn_batch_normalization) & reference,
    NULL};

const pleat_op_def pleat_op_FusedConv = {.domain = PLEAT_INTERNAL_DOMAIN,
                                         .name = "FusedConv",
                                         .versions = conv_versions,
                                         .attrs = conv_attrs,
                                         .infer = infer,
                                         .apart = fused_apart,
                                         .kernels = conv_kernels,
                                         .macs = conv_macs};

const pleat_op_def pleat_op_FusedConvTranspose = {.domain = PLEAT_INTERNAL_DOMAIN,
                                                  .name = "FusedConvTranspose",
                                                  .versions = conv_transpose_versions,
                                                  .attrs = conv_transpose_attrs,
                                                  .infer = infer,
                                                  .apart = pleat_apart_first,
                                                  .kernels = conv_transpose_kernels,
                                                  .macs = conv_transpose_macs};

const pleat_op_def pleat_op_FusedGemm = {.domain = PLEAT_INTERNAL_DOMAIN,
                                         .name = "FusedGemm",
                                         .versions = gemm_versions,
                                         .attrs = gemm_attrs,
                                         .infer = infer,
                                         .apart = fused_gemm_apart,
                                         .kernels = gemm_kernels,
                                         .macs = gemm_macs};

const pleat_op_def pleat_op_FusedBatchNormalization = {.domain = PLEAT_INTERNAL_DOMAIN,
                                                       .name = "FusedBatchNormalization",
                                                       .versions = norm_versions,
                                                       .attrs = norm_attrs,
                                                       .infer = infer,
                                                       .apart = pleat_apart_first,
                                                       .kernels = norm_kernels};

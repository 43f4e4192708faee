/* For sessions: a Conv, ConvTranspose, Gemm or lone BatchNormalization with what follows it at once - the sum with a
 * value of the same shape (a residual connection), then an activation - becomes one fused node (see ops/fused.c), which
 * a kernel computes in one pass over memory. The fused node takes the place of the last of its parts, where all of its
 * inputs are there. */
#include <math.h>
#include <string.h>

#include "fold/fuse.h"
#include "ops/batch_normalization.h"
#include "ops/conv.h"

/* What was found behind a Conv or Gemm. */
typedef struct match {
  pleat_node *base, *sum, *gate, *activation; /* gate: the Sigmoid of x * sigmoid(x), whose Mul is `activation` */
  pleat_value *residual, *slopes;             /* slopes: of PRelu */
  const char *name;                           /* of the activation; "": none */
  float alpha, beta;
} match;

const pleat_node *pleat_fuse_only_reader(const pleat_value *value, const pleat_graph *graph) {
  if (value->is_output || value->use_count != 1 || value->uses[0].node->graph != graph) return NULL;
  return value->uses[0].node;
}

static bool same_shape(const pleat_value *a, const pleat_value *b) {
  if (a->dtype != b->dtype || a->shape.rank < 0 || a->shape.rank != b->shape.rank) return false;
  for (int i = 0; i < a->shape.rank; i++) {
    if (!pleat_dim_equal(a->shape.dims[i], b->shape.dims[i])) return false;
  }
  return true;
}

static void match_sum(match *m) {
  pleat_value *value = m->base->outputs[0];
  const pleat_node *reader = pleat_fuse_only_reader(value, m->base->graph);
  if (reader == NULL || !pleat_node_is(reader, "Add") || pleat_node_since(reader) < 7) return;
  pleat_value *other = reader->inputs[reader->inputs[0] == value ? 1 : 0];
  if (other == NULL || other == value || pleat_value_is_constant(other) || !same_shape(value, other)) return;
  m->sum = value->uses[0].node;
  m->residual = other;
}

/* A scalar bound of Clip; absent: infinite. False when it is not known. */
static bool read_bound(const pleat_node *clip, size_t input, float absent, float *out_bound) {
  const pleat_tensor *tensor = NULL;
  *out_bound = absent;
  if (input >= clip->input_count || clip->inputs[input] == NULL) return true;
  if (pleat_value_constant(clip->inputs[input], &tensor, NULL) != PLEAT_OK || tensor == NULL || tensor->count != 1) {
    return false;
  }
  *out_bound = (float)pleat_load_f64(tensor->dtype, tensor->data, 0);
  return true;
}

static bool match_clip(const pleat_node *clip, match *m) {
  if (pleat_node_since(clip) >= 11) {
    return read_bound(clip, 1, -INFINITY, &m->alpha) && read_bound(clip, 2, INFINITY, &m->beta);
  }
  m->alpha = pleat_attr_float(clip, "min");
  m->beta = pleat_attr_float(clip, "max");
  return true;
}

/* Operators that are an activation by themselves, with the attributes that become alpha and beta. */
static const struct {
  const char *name, *alpha, *beta;
} plain[] = {
    {"Elu", "alpha", NULL}, {"HardSigmoid", "alpha", "beta"}, {"HardSwish", NULL, NULL}, {"LeakyRelu", "alpha", NULL},
    {"Relu", NULL, NULL},   {"Sigmoid", NULL, NULL},          {"Tanh", NULL, NULL},
};

static bool match_plain(const pleat_node *node, match *m) {
  if (pleat_node_is(node, "Gelu") && strcmp(pleat_attr_string(node, "approximate"), "none") == 0) {
    m->name = "Gelu";
    return true;
  }
  if (pleat_node_is(node, "Clip") && match_clip(node, m)) {
    m->name = "Clip";
    return true;
  }
  for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
    if (!pleat_node_is(node, plain[i].name)) continue;
    m->name = plain[i].name;
    if (plain[i].alpha != NULL) m->alpha = pleat_attr_float(node, plain[i].alpha);
    if (plain[i].beta != NULL) m->beta = pleat_attr_float(node, plain[i].beta);
    return true;
  }
  return false;
}

/* A PRelu with one constant slope for all, or one a channel. */
static bool match_prelu(const pleat_node *node, match *m) {
  const pleat_tensor *slopes = NULL;
  const pleat_value *x = node->inputs[0];
  if (!pleat_node_is(node, "PRelu") || pleat_node_since(node) < 7 || !pleat_node_is(m->base, "Conv")) return false;
  if (x->shape.rank < 3 || x->dtype != PLEAT_FLOAT || node->inputs[1] == x) return false;
  if (pleat_value_constant(node->inputs[1], &slopes, NULL) != PLEAT_OK || slopes == NULL) return false;
  const int channel = slopes->rank - x->shape.rank + 1;
  const bool is_each =
      channel >= 0 && (size_t)slopes->dims[channel] == slopes->count && slopes->dims[channel] == x->shape.dims[1].value;
  if (slopes->count != 1 && !is_each) return false;
  if (slopes->rank > x->shape.rank) return false;
  m->slopes = node->inputs[1];
  m->name = "PRelu";
  return true;
}

/* x * g(x), where g is Sigmoid (then it is Silu) or the HardSigmoid of HardSwish. */
static bool match_gated(const pleat_value *value, match *m) {
  if (value->is_output || value->use_count != 2) return false;
  for (size_t i = 0; i < 2; i++) {
    pleat_node *gate = value->uses[i].node, *product = value->uses[1 - i].node;
    if (gate->graph != m->base->graph || product->graph != m->base->graph || !pleat_node_is(product, "Mul")) continue;
    bool is_silu = pleat_node_is(gate, "Sigmoid");
    bool is_swish = pleat_node_is(gate, "HardSigmoid") && pleat_attr_float(gate, "beta") == 0.5f &&
                    fabsf(pleat_attr_float(gate, "alpha") - 1.0f / 6) < 1e-6f;
    if ((!is_silu && !is_swish) || pleat_fuse_only_reader(gate->outputs[0], gate->graph) != product) continue;
    m->gate = gate;
    m->activation = product;
    m->name = is_silu ? "Silu" : "HardSwish";
    return true;
  }
  return false;
}

static void match_activation(match *m) {
  pleat_value *value = m->sum != NULL ? m->sum->outputs[0] : m->base->outputs[0];
  const pleat_node *reader = pleat_fuse_only_reader(value, m->base->graph);
  if (reader != NULL && (match_plain(reader, m) || match_prelu(reader, m))) m->activation = value->uses[0].node;
  else if (reader == NULL) match_gated(value, m);
}

bool pleat_fuse_drop(pleat_node *node) {
  if (!pleat_node_set_output(node, 0, NULL)) return false;
  pleat_node_remove(node);
  return true;
}

/* The operators that take an activation, and those that take a sum before it. */
static const struct kind {
  const char *op_type, *fused;
  int since;
  size_t inputs;
  bool has_sum;
} kinds[] = {
    {"BatchNormalization", "FusedBatchNormalization", 9, 5, false},
    {"Conv", "FusedConv", 1, 3, true},
    {"ConvTranspose", "FusedConvTranspose", 1, 3, false},
    {"Gemm", "FusedGemm", 7, 3, false},
};

static const struct kind *kind_of(const pleat_node *node) {
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
    if (pleat_node_is(node, kinds[i].op_type) && pleat_node_since(node) >= kinds[i].since) return &kinds[i];
  }
  return NULL;
}

bool pleat_fuse_copy_attributes(const pleat_node *from, pleat_node *to) {
  for (size_t i = 0; i < from->attr_count; i++) {
    pleat_attr attr = from->attrs[i];
    attr.src = NULL;
    if (!pleat_node_set_attr(to, attr)) return false;
  }
  return true;
}

static pleat_status replace(pleat_pass_context *ctx, const match *m) {
  pleat_node *base = m->base, *last = m->activation != NULL ? m->activation : m->sum;
  pleat_value *result = last->outputs[0];
  const pleat_attr activation = {
      .name = "activation", .type = PLEAT_ATTR_STRING, .count = strlen(m->name), .s = m->name};
  const pleat_attr alpha = {.name = "activation_alpha", .type = PLEAT_ATTR_FLOAT, .f = m->alpha};
  const pleat_attr beta = {.name = "activation_beta", .type = PLEAT_ATTR_FLOAT, .f = m->beta};
  const struct kind *kind = kind_of(base);
  pleat_node *fused = pleat_graph_add_node(base->graph, last, kind->fused, PLEAT_INTERNAL_DOMAIN, base->name);
  bool good = fused != NULL && pleat_fuse_copy_attributes(base, fused) && pleat_node_set_attr(fused, activation) &&
              pleat_node_set_attr(fused, alpha) && pleat_node_set_attr(fused, beta);
  for (size_t i = 0; good && i < base->input_count && i < kind->inputs; i++) {
    good = base->inputs[i] == NULL || pleat_node_set_input(fused, i, base->inputs[i]);
  }
  if (good && m->residual != NULL) good = pleat_node_set_input(fused, kind->inputs, m->residual);
  if (good && m->slopes != NULL) good = pleat_node_set_input(fused, PLEAT_CONV_SLOPES, m->slopes);
  pleat_node *const parts[] = {m->activation, m->gate, m->sum, base}; /* those that read come before those they read */
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
    good = good && (parts[i] == NULL || pleat_fuse_drop(parts[i]));
  good = good && pleat_node_set_output(fused, 0, result);
  return good ? PLEAT_OK : PLEAT_OOM(ctx->error);
}

static pleat_status visit(pleat_pass_context *ctx, pleat_graph *graph, bool *changed) {
  for (pleat_node *node = graph->first, *next; node != NULL; node = next) {
    match m = {.base = node, .name = ""};
    next = node->next;
    const struct kind *kind = kind_of(node);
    if (kind == NULL || node->outputs[0] == NULL) continue;
    if (pleat_node_is(node, "BatchNormalization") && pleat_bn_is_training(node)) continue;
    if (kind->has_sum) match_sum(&m);
    match_activation(&m);
    if (m.sum == NULL && m.activation == NULL) continue;
    while (next != NULL && (next == m.sum || next == m.gate || next == m.activation)) next = next->next;
    PLEAT_TRY(replace(ctx, &m));
    *changed = true;
  }
  return PLEAT_OK;
}

static pleat_status run(pleat_pass_context *ctx, bool *out_changed) {
  return pleat_fold_each_graph(ctx, ctx->graph, visit, out_changed);
}

const pleat_pass pleat_pass_fuse_activations = {
    .name = "fuse-activations",
    .summary = "sums and activations into the Conv or Gemm before them, when a session is created",
    .session_only = true,
    .run = run,
};

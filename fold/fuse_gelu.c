/* For sessions: Gelu as exporters spell it, from Erf or Tanh, becomes one node:
 *
 *   x / 2 * (1 + erf(x / sqrt(2)))     x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))
 *
 * in whatever order the factors come and however the cube is written: values are read as polynomials in x, and in E,
 * which is what Erf or Tanh gives. */
#include <math.h>

#include "fold/fuse.h"

enum { DEGREE = 3, DEPTH = 6 };

/* p(x) + q(x) * E. */
typedef struct form {
  double p[DEGREE + 1], q[DEGREE + 1];
} form;

/* What x and E are. */
typedef struct names {
  const pleat_value *x, *e;
} names;

static const struct curve {
  const char *op, *approximate;
  form argument, result;
} curves[] = {
    {"Erf", "none", {.p = {0, 0.70710678118654752}}, {.p = {0, 0.5}, .q = {0, 0.5}}},
    {"Tanh", "tanh", {.p = {0, 0.79788456080286536, 0, 0.035677408136300125}}, {.p = {0, 0.5}, .q = {0, 0.5}}},
};

/* ---- polynomials ---- */

/* out += a * b; false: of too high a degree. */
static bool add_product(const double *a, const double *b, double *out) {
  for (int i = 0; i <= DEGREE; i++) {
    for (int k = 0; k <= DEGREE; k++) {
      const double term = a[i] * b[k];
      if (term == 0) continue;
      if (i + k > DEGREE) return false;
      out[i + k] += term;
    }
  }
  return true;
}

static bool multiply(const form *a, const form *b, form *out) {
  double squares[DEGREE + 1] = {0};
  *out = (form){{0}, {0}};
  if (!add_product(a->q, b->q, squares)) return false;
  for (int i = 0; i <= DEGREE; i++) {
    if (squares[i] != 0) return false;
  }
  return add_product(a->p, b->p, out->p) && add_product(a->p, b->q, out->q) && add_product(a->q, b->p, out->q);
}

static void add(const form *a, const form *b, double sign, form *out) {
  for (int i = 0; i <= DEGREE; i++) {
    out->p[i] = a->p[i] + sign * b->p[i];
    out->q[i] = a->q[i] + sign * b->q[i];
  }
}

/* To what a few roundings of float constants may have changed. */
static bool is_close(const form *a, const form *b) {
  for (int i = 0; i <= DEGREE; i++) {
    if (!(fabs(a->p[i] - b->p[i]) <= 1e-6 * fabs(b->p[i]))) return false;
    if (!(fabs(a->q[i] - b->q[i]) <= 1e-6 * fabs(b->q[i]))) return false;
  }
  return true;
}

/* ---- values as such ---- */

static bool is_number(pleat_value *value, double *out_number) {
  const pleat_tensor *tensor = NULL;
  if (!pleat_value_is_constant(value) || pleat_value_constant(value, &tensor, NULL) != PLEAT_OK) return false;
  if (tensor == NULL || tensor->count != 1 || (PLEAT_M(tensor->dtype) & PLEAT_M_NUMBERS) == 0) return false;
  *out_number = pleat_load_f64(tensor->dtype, tensor->data, 0);
  return true;
}

static bool form_of(const names *names, pleat_value *value, int depth, form *out);

/* The operand's power, of a constant exponent of 2 or 3. */
static bool power_of(const form *a, pleat_value *exponent, form *out) {
  const form once = *a;
  double n;
  if (!is_number(exponent, &n) || (n != 2 && n != 3)) return false;
  if (!multiply(&once, &once, out)) return false;
  const form square = *out;
  return n == 2 || multiply(&square, &once, out);
}

static bool form_of_node(const names *names, const pleat_node *node, int depth, form *out) {
  form a, b;
  double divisor;
  if (node->input_count != 2 || pleat_node_since(node) < 7) return false;
  if (!form_of(names, node->inputs[0], depth, &a)) return false;
  if (pleat_node_is(node, "Pow")) return power_of(&a, node->inputs[1], out);
  if (pleat_node_is(node, "Div")) {
    if (!is_number(node->inputs[1], &divisor)) return false;
    return multiply(&a, &(form){.p = {1 / divisor}}, out);
  }
  const bool is_sum = pleat_node_is(node, "Add"), is_difference = pleat_node_is(node, "Sub");
  if (!is_sum && !is_difference && !pleat_node_is(node, "Mul")) return false;
  if (!form_of(names, node->inputs[1], depth, &b)) return false;
  if (!is_sum && !is_difference) return multiply(&a, &b, out);
  add(&a, &b, is_sum ? 1 : -1, out);
  return true;
}

static bool form_of(const names *names, pleat_value *value, int depth, form *out) {
  *out = (form){{0}, {0}};
  if (value == names->x || value == names->e) {
    if (value == names->x) out->p[1] = 1;
    else out->q[0] = 1;
    return true;
  }
  if (is_number(value, &out->p[0])) return true;
  return depth > 0 && value->producer != NULL && form_of_node(names, value->producer, depth - 1, out);
}

/* Looks for an x, of those that `value` is made of, in which `argument` has this form. */
static pleat_value *find_x(pleat_value *argument, pleat_value *value, const form *wanted, int depth) {
  form found;
  if (value == NULL || pleat_value_is_constant(value)) return NULL;
  if (value != argument && form_of(&(names){.x = value}, argument, DEPTH, &found) && is_close(&found, wanted))
    return value;
  const pleat_node *node = value->producer;
  for (size_t i = 0; depth > 0 && node != NULL && i < node->input_count && i < 2; i++) {
    pleat_value *x = find_x(argument, node->inputs[i], wanted, depth - 1);
    if (x != NULL) return x;
  }
  return NULL;
}

/* ---- the pass ---- */

/* The node that gives Gelu of x; NULL: there is none. Nobody else reads what lies between. */
static pleat_node *find_last(const names *names, const pleat_node *node, const form *wanted) {
  const pleat_value *value = names->e;
  form found;
  for (int step = 0; step < DEPTH; step++) {
    if (pleat_fuse_only_reader(value, node->graph) == NULL) return NULL;
    pleat_node *reader = value->uses[0].node;
    value = reader->outputs[0];
    if (reader->output_count != 1 || !form_of_node(names, reader, DEPTH, &found)) return NULL;
    if (is_close(&found, wanted)) return reader;
  }
  return NULL;
}

static pleat_status fuse(pleat_pass_context *ctx, const pleat_node *node, const struct curve *curve, bool *changed) {
  enum { GELU_OPSET = 20 };
  pleat_value *x = find_x(node->inputs[0], node->inputs[0], &curve->argument, DEPTH);
  if (x == NULL || (x->dtype != PLEAT_FLOAT && x->dtype != PLEAT_DOUBLE)) return PLEAT_OK;
  pleat_node *last = find_last(&(names){.x = x, .e = node->outputs[0]}, node, &curve->result);
  if (last == NULL) return PLEAT_OK;
  pleat_value *result = last->outputs[0];
  if (x->shape.rank < 0 || result->shape.rank != x->shape.rank) return PLEAT_OK; /* constants may have more axes */
  const pleat_attr approximate = {
      .name = "approximate", .type = PLEAT_ATTR_STRING, .count = 4, .s = curve->approximate};
  pleat_node *gelu = pleat_graph_add_node_as_of(node->graph, last, "Gelu", GELU_OPSET, last->name);
  const bool good = gelu != NULL && pleat_node_set_attr(gelu, approximate) && pleat_node_set_input(gelu, 0, x) &&
                    pleat_fuse_drop(last) && pleat_node_set_output(gelu, 0, result);
  *changed = true;
  return good ? PLEAT_OK : PLEAT_OOM(ctx->error);
}

static pleat_status visit(pleat_pass_context *ctx, pleat_graph *graph, bool *changed) {
  /* What comes to stand in its place, and what is left of it, is behind Erf or Tanh itself, which stay for now. */
  PLEAT_FOR_NODES(node, graph) {
    for (size_t i = 0; i < sizeof curves / sizeof *curves; i++) {
      if (pleat_node_is(node, curves[i].op)) PLEAT_TRY(fuse(ctx, node, &curves[i], changed));
    }
  }
  return PLEAT_OK;
}

static pleat_status run(pleat_pass_context *ctx, bool *out_changed) {
  return pleat_fold_each_graph(ctx, ctx->graph, visit, out_changed);
}

const pleat_pass pleat_pass_fuse_gelu = {
    .name = "fuse-gelu",
    .summary = "Gelu spelt out with Erf or Tanh into one node, when a session is created",
    .session_only = true,
    .run = run,
};

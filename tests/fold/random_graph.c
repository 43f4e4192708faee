/* The frame of a random model: type, opset, inputs, how many nodes, and what becomes an output. */
#include "fold/random_graph.h"

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t next(random_graph *g) {
  uint64_t z = (g->state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

uint64_t random_below(random_graph *g, uint64_t n) {
  return next(g) % n;
}

static const char *shape_text(random_graph *g, const random_value *v, bool with_symbol, char text[64]) {
  size_t used = 0;
  for (int i = 0; i < v->rank; i++) {
    const char *comma = i > 0 ? "," : "";
    if (i == 0 && with_symbol && g->open_batch) used += (size_t)snprintf(text + used, 64 - used, "N");
    else used += (size_t)snprintf(text + used, 64 - used, "%s%lld", comma, (long long)v->dims[i]);
  }
  return text;
}

random_value *random_result(random_graph *g, int rank, const int64_t *dims) {
  if (g->count >= LIMIT_VALUES) return NULL;
  random_value *v = &g->values[g->count++];
  *v = (random_value){.rank = rank};
  snprintf(v->name, sizeof v->name, "v%d", g->names++);
  memcpy(v->dims, dims, (size_t)rank * sizeof *dims);
  return v;
}

static void add_input(random_graph *g) {
  char text[64];
  const int kind = (int)random_below(g, 6);
  int64_t dims[5] = {1 + (int64_t)random_below(g, 3), 1 + (int64_t)random_below(g, 6)};
  int rank = kind == 0 ? 2 : kind == 1 ? 3 : kind == 2 ? 5 : 4;
  if (g->input_count > 0) { /* the second one goes together with the first */
    rank = g->inputs[0].rank;
    memcpy(dims, g->inputs[0].dims, sizeof dims);
  } else {
    for (int i = 2; i < rank; i++) dims[i] = 1 + (int64_t)random_below(g, rank == 5 ? 4 : 7);
  }
  random_value *v = random_result(g, rank, dims);
  model_input(&g->b, v->name, g->dtype, shape_text(g, v, true, text));
  v->is_read = true; /* an input is no output */
  g->inputs[g->input_count++] = *v;
}

pleat_model *random_graph_build(random_graph *g, uint64_t seed) {
  static const int64_t opsets[] = {9, 11, 13, 13, 15, 18, 21};
  static const pleat_dtype types[] = {PLEAT_DOUBLE, PLEAT_DOUBLE, PLEAT_DOUBLE, PLEAT_DOUBLE,
                                      PLEAT_DOUBLE, PLEAT_DOUBLE, PLEAT_FLOAT,  PLEAT_FLOAT16};
  memset(g, 0, sizeof *g);
  g->state = seed;
  g->opset = opsets[random_below(g, sizeof opsets / sizeof opsets[0])];
  g->dtype = types[random_below(g, sizeof types / sizeof types[0])];
  g->open_batch = random_below(g, 3) == 0;
  g->b = build_begin(random_below(g, 4) == 0 ? 3 : 8, g->opset);
  g->graph = g->b.graph;
  add_input(g);
  if (random_below(g, 4) == 0) add_input(g);
  const int steps = 2 + (int)random_below(g, 9);
  for (int i = 0; i < steps; i++) random_node(g);
  bool any = false;
  for (size_t i = 0; i < g->count; i++) {
    if (g->values[i].is_read && (random_below(g, 20) != 0 || i < g->input_count)) continue;
    model_output(&g->b, g->values[i].name, g->dtype, "?");
    any = true;
  }
  if (!any) { /* no node fitted */
    random_batch_norm(g, &g->values[0]);
    model_output(&g->b, g->values[g->count - 1].name, g->dtype, "?");
  }
  return build_model(&g->b);
}

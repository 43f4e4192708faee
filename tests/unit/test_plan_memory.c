/* Where a plan puts its activations: what is shared, what may be overwritten, and that nothing that lives at the same
 * time overlaps - also for some hundred random graphs, whose results must not depend on sharing at all. */
#include "model_text.h"
#include "plan_case.h"

/* ---- views ---- */

START_TEST(views_share_memory) {
  builder b = text_model(MODEL_OPSET, "x<2,3,4>;shape{6,4};Neg x n;Reshape n,shape r;Flatten r f;Abs f a;"
                                      "Concat a,f y axis:1;>y");
  planned p = plan_of(&b);
  ck_assert(shares(&p, "n", "r") && shares(&p, "r", "f"));
  ck_assert(!shares(&p, "f", "a")); /* f is read again: it may not be overwritten */
  ck_assert_uint_eq(p.plan->arena_bytes, 2 * 128);
  end_plan(&p);
}
END_TEST

/* Views of what the caller owns cost nothing either, and nothing is written over it. */
START_TEST(views_of_inputs_and_constants) {
  builder b = text_model(MODEL_OPSET, "x<2,3>;shape{6};Reshape x,shape r;Relu r p;Neg p y;>y");
  planned p = plan_of(&b);
  ck_assert_int_eq(slot_named(&p, "r")->storage, PLEAT_STORAGE_INPUT);
  ck_assert(!shares(&p, "r", "p"));
  ck_assert(shares(&p, "p", "y")); /* written where the caller will find it from the start */
  ck_assert_int_eq(slot_named(&p, "p")->storage, PLEAT_STORAGE_OUTPUT);
  ck_assert_uint_eq(p.plan->arena_bytes, 0);
  end_plan(&p);
}
END_TEST

/* An output that is a view of an input, of a constant, or of another output is a copy. */
START_TEST(views_that_are_outputs) {
  builder b = text_model(MODEL_OPSET, "x<2,2>;shape{4};Reshape x,shape y1;Relu x y2;Reshape y2,shape y3;>y1,y2,y3");
  pleat_tensor *outputs[3];
  pleat_session *session = session_from(&b, (pleat_session_options){0});
  pleat_tensor *x = FLOATS("2,2", 1, -2, 3, -4);
  run_session(session, &x, outputs);
  ASSERT_TENSOR(outputs[0], "float[4]", 1, -2, 3, -4);
  ASSERT_TENSOR(outputs[1], "float[2,2]", 1, 0, 3, 0);
  ASSERT_TENSOR(outputs[2], "float[4]", 1, 0, 3, 0);
  for (int i = 0; i < 3; i++) pleat_tensor_release(outputs[i]);
  pleat_session_destroy(session);
}
END_TEST

/* ---- in place ---- */

START_TEST(in_place_chain_needs_one_buffer) {
  pleat_plan_info *info = NULL;
  builder b = text_model(MODEL_OPSET, "x<64>;Relu x a;Neg a b;Abs b c;twice{2};Tile c,twice y;>y");
  planned p = plan_of(&b);
  ck_assert(shares(&p, "a", "b") && shares(&p, "b", "c"));
  ck_assert_uint_eq(p.plan->arena_bytes, 256);
  ASSERT_OK(pleat_session_plan(p.session, NULL, 0, &info, error));
  ck_assert_uint_eq(info->activation_bytes, 256);
  ck_assert_uint_eq(info->activation_bytes_unshared, 3 * 256);
  pleat_plan_info_destroy(info);
  end_plan(&p);
}
END_TEST

/* Add(t, t) may be written over t, which is read element by element. */
START_TEST(add_to_itself) {
  builder b = text_model(MODEL_OPSET, "x<3>;Relu x t;Add t,t s;Mul s,s y;>y");
  pleat_session *session = session_from(&b, (pleat_session_options){0});
  pleat_tensor *y = run_one(session, FLOATS("3", -1, 2, 3));
  ASSERT_TENSOR(y, "float[3]", 0, 16, 36);
  pleat_tensor_release(y);
  pleat_session_destroy(session);
}
END_TEST

/* Add(t, r) where r is a view of t with another shape: t must not be overwritten while r is read by broadcast. */
START_TEST(broadcast_of_a_view_of_itself) {
  builder b = text_model(MODEL_OPSET, "x<1,3>;column{3,1};Relu x t;Reshape t,column r;Add t,r s;row{1,3};"
                                      "Reshape r,row t2;Sub t2,t z;Add s,z y;>y");
  pleat_session *session = session_from(&b, (pleat_session_options){0});
  pleat_tensor *y = run_one(session, FLOATS("1,3", 1, 2, 4));
  ASSERT_TENSOR(y, "float[3,3]", 2, 3, 5, 3, 4, 6, 5, 6, 8);
  pleat_tensor_release(y);
  pleat_session_destroy(session);
}
END_TEST

/* The smaller operand is never written over, the larger one is; a type change is no reuse. */
START_TEST(broadcast_operands) {
  builder b = text_model(MODEL_OPSET, "x<4,3>;v<3>;Neg v small;Relu x large;Add small,large s;Cast s i to:6;"
                                      "Concat i,i y axis:0;>y");
  planned p = plan_of(&b);
  ck_assert(shares(&p, "large", "s") && !shares(&p, "small", "s"));
  ck_assert(!shares(&p, "s", "i"));
  end_plan(&p);
}
END_TEST

/* Inputs, constants and outputs keep their values. */
START_TEST(what_must_not_be_overwritten) {
  pleat_tensor *outputs[2];
  builder b = text_model(MODEL_OPSET, "x<2>;f{10,20};Neg x y1;Relu y1 p;Add p,f y2;>y1,y2");
  pleat_session *session = session_from(&b, (pleat_session_options){0});
  pleat_tensor *x = FLOATS("2", 1, -2);
  for (int i = 0; i < 2; i++) {
    run_session(session, (pleat_tensor *[]){pleat_tensor_retain(x)}, outputs);
    ASSERT_TENSOR(x, "float[2]", 1, -2);
    ASSERT_TENSOR(outputs[0], "float[2]", -1, 2);
    ASSERT_TENSOR(outputs[1], "float[2]", 10, 22);
    pleat_tensor_release(outputs[0]);
    pleat_tensor_release(outputs[1]);
  }
  pleat_tensor_release(x);
  pleat_session_destroy(session);
}
END_TEST

/* What is computed for nobody (its reader needs only its shape) takes no memory. */
START_TEST(dropped_steps_take_no_memory) {
  builder b = text_model(MODEL_OPSET, "x<64,64>;Exp x e;Shape e s;Neg s y;>y");
  planned p = plan_of(&b);
  ck_assert_uint_eq(p.plan->step_count, 0);
  ck_assert_uint_eq(p.plan->arena_bytes, 0);
  ck_assert_uint_eq(p.plan->unshared_bytes, 0);
  pleat_tensor *x = make_tensor(PLEAT_FLOAT, "64,64", NULL), *y = run_one(p.session, x);
  ASSERT_TENSOR(y, "int64[2]", -64, -64);
  pleat_tensor_release(y);
  end_plan(&p);
}
END_TEST

/* ---- scratch memory ---- */

static bool is_apart(const planned *p, const pleat_step *step, const char *value) {
  const pleat_slot *slot = slot_named(p, value);
  return step->workspace_offset + step->call.workspace_size <= slot->offset ||
         slot->offset + pleat_bytes(&slot->tensor) <= step->workspace_offset;
}

/* What is little is in one place for all steps, beside everything else. */
START_TEST(scratch_memory_stays) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_DOUBLE, "1,3,4");
  model_input(&b, "s", PLEAT_DOUBLE, "3");
  model_input(&b, "t", PLEAT_DOUBLE, "4");
  model_node(&b, "BatchNormalization", "first", "x,s,s,s,s", "n");
  attr_ints(&b, model_node(&b, "Transpose", "turn", "n", "r"), "perm", "0,2,1");
  model_node(&b, "BatchNormalization", "second", "r,t,t,t,t", "y");
  model_output(&b, "y", PLEAT_DOUBLE, "?");
  planned p = plan_of(&b);
  const pleat_step *first = step_named(&p, "first"), *second = step_named(&p, "second");
  ck_assert_uint_gt(first->call.workspace_size, 0);
  ck_assert_uint_gt(second->call.workspace_size, first->call.workspace_size);
  ck_assert_uint_eq(first->workspace_offset, second->workspace_offset);
  ck_assert(is_apart(&p, first, "n") && is_apart(&p, second, "r"));
  ck_assert_uint_le(second->workspace_offset + second->call.workspace_size, p.plan->arena_bytes);
  end_plan(&p);
}
END_TEST

/* ---- random graphs ---- */

typedef struct random_value {
  int rows, columns;
  int uses;
} random_value;

typedef struct random_graph {
  uint32_t state;
  builder b;
  random_value values[64];
  int count;
} random_graph;

static unsigned pick(random_graph *g, unsigned below) {
  g->state = g->state * 1664525u + 1013904223u;
  return (g->state >> 10) % below;
}
static const char *value_name(builder *b, int index) {
  return pleat_arena_printf(b->arena, "v%d", index);
}
static int new_value(random_graph *g, int rows, int columns) {
  g->values[g->count] = (random_value){.rows = rows, .columns = columns};
  return g->count++;
}
/* Mostly a late value, so that lifetimes end; `like` >= 0: one of the same shape, or that one itself. */
static int pick_value(random_graph *g, int like) {
  int chosen = pick(g, 4) == 0 ? (int)pick(g, (unsigned)g->count) : g->count - 1 - (int)pick(g, g->count < 4 ? 1 : 4);
  if (like >= 0 &&
      (g->values[chosen].rows != g->values[like].rows || g->values[chosen].columns != g->values[like].columns))
    chosen = like;
  g->values[chosen].uses++;
  return chosen;
}

static void add_random_node(random_graph *g) {
  static const char *const unary[] = {"Relu", "Neg", "Abs", "Identity", "Sigmoid"};
  static const char *const binary[] = {"Add", "Sub", "Mul", "Max"};
  builder *b = &g->b;
  int a = pick_value(g, -1), rows = g->values[a].rows, columns = g->values[a].columns, other, out;
  const char *in = value_name(b, a), *pair, *name = pleat_arena_printf(b->arena, "n%zu", b->graph->n_node);
  switch (pick(g, 7)) {
  case 0:
  case 1:
    out = new_value(g, rows, columns);
    model_node(b, unary[pick(g, 5)], name, in, value_name(b, out));
    break;
  case 2:
    other = pick_value(g, a);
    out = new_value(g, rows, columns);
    pair = pleat_arena_printf(b->arena, "%s,%s", in, value_name(b, other));
    model_node(b, binary[pick(g, 4)], name, pair, value_name(b, out));
    break;
  case 3: /* broadcast: with a row of the input */
    out = new_value(g, rows, columns);
    pair = pick(g, 2) != 0 ? pleat_arena_printf(b->arena, "%s,k%d", in, columns)
                           : pleat_arena_printf(b->arena, "k%d,%s", columns, in);
    model_node(b, binary[pick(g, 4)], name, pair, value_name(b, out));
    break;
  case 4: /* another shape of the same elements */
    out = new_value(g, columns, rows);
    pair = pleat_arena_printf(b->arena, "%s,s%d_%d", in, columns, rows);
    model_node(b, "Reshape", name, pair, value_name(b, out));
    break;
  case 5:
    if (rows > 16) return;
    other = pick_value(g, a);
    out = new_value(g, 2 * rows, columns);
    pair = pleat_arena_printf(b->arena, "%s,%s", in, value_name(b, other));
    build_attr_int(b, model_node(b, "Concat", name, pair, value_name(b, out)), "axis", 0);
    break;
  default:
    if (rows % 2 != 0) return;
    out = new_value(g, rows / 2, columns);
    new_value(g, rows / 2, columns);
    pair = pleat_arena_printf(b->arena, "%s,%s", value_name(b, out), value_name(b, out + 1));
    build_attr_int(b, model_node(b, "Split", name, in, pair), "axis", 0);
    break;
  }
}

/* Everything that a node may need as a constant, for sizes 1 to 32. */
static void add_random_constants(random_graph *g) {
  builder *b = &g->b;
  for (int columns = 1; columns <= 32; columns *= 2) {
    char name[32], shape[16];
    snprintf(name, sizeof name, "k%d", columns);
    snprintf(shape, sizeof shape, "%d", columns);
    noise_init(b, name, PLEAT_FLOAT, shape, -1, 1);
    for (int rows = 1; rows <= 32; rows *= 2) {
      snprintf(name, sizeof name, "s%d_%d", rows, columns);
      INTS_INIT(b, name, "2", rows, columns);
    }
  }
}

static builder random_model(uint32_t seed, char *taps, size_t size) {
  random_graph g = {.state = seed * 2654435761u + 1, .b = build_begin(8, MODEL_OPSET)};
  size_t used = 0;
  add_random_constants(&g);
  model_input(&g.b, "v0", PLEAT_FLOAT, "4,8");
  model_input(&g.b, "v1", PLEAT_FLOAT, "8,4");
  new_value(&g, 4, 8);
  new_value(&g, 8, 4);
  unsigned nodes = 3 + pick(&g, 22);
  for (unsigned i = 0; i < nodes; i++) add_random_node(&g);
  if (g.count == 2) model_node(&g.b, "Relu", "last", "v0", value_name(&g.b, new_value(&g, 4, 8)));
  for (int i = 2; i < g.count; i++) { /* what nothing reads is an output, and some more */
    if (g.values[i].uses == 0 || pick(&g, 8) == 0) model_output(&g.b, value_name(&g.b, i), PLEAT_FLOAT, "?");
    used += (size_t)snprintf(taps + used, size - used, "v%d ", i);
  }
  return g.b;
}

/* Blocks of the arena whose lifetimes meet do not overlap, recomputed from the steps alone. */
static void assert_no_overlap(const pleat_plan *plan) {
  const size_t count = plan->slot_count;
  uint32_t *first = malloc((count + 1) * sizeof *first), *last = calloc(count + 1, sizeof *last);
  memset(first, 0xff, (count + 1) * sizeof *first);
  for (uint32_t s = 0; s < plan->step_count; s++) {
    const pleat_step *step = &plan->steps[s];
    for (size_t i = 0; i < step->node->input_count + step->node->output_count; i++) {
      uint32_t slot = i < step->node->input_count ? step->inputs[i] : step->outputs[i - step->node->input_count];
      if (slot == PLEAT_NO_SLOT) continue;
      slot = root_index(plan, slot);
      if (s < first[slot]) first[slot] = s;
      if (s > last[slot]) last[slot] = s;
    }
  }
  for (size_t a = 0; a < count; a++) {
    const pleat_slot *x = &plan->slots[a];
    if (x->storage != PLEAT_STORAGE_ARENA || x->root != a || first[a] == UINT32_MAX) continue;
    ck_assert_uint_le(x->offset + pleat_bytes(&x->tensor), plan->arena_bytes);
    ck_assert_uint_eq(x->offset % 64, 0);
    for (size_t c = 0; c < a; c++) {
      const pleat_slot *y = &plan->slots[c];
      if (y->storage != PLEAT_STORAGE_ARENA || y->root != c || first[c] == UINT32_MAX) continue;
      bool meet = first[a] <= last[c] && first[c] <= last[a];
      bool apart = x->offset + pleat_bytes(&x->tensor) <= y->offset || y->offset + pleat_bytes(&y->tensor) <= x->offset;
      if (meet && !apart) ck_abort_msg("'%s' and '%s' overlap", x->value->name, y->value->name);
    }
  }
  free(first);
  free(last);
}

/* Runs with both inputs; results by name in `outputs`. Returns how many. */
static size_t run_random(pleat_session *session, pleat_tensor **outputs) {
  pleat_tensor *inputs[2];
  for (size_t i = 0; i < 2; i++) inputs[i] = noise_tensor(PLEAT_FLOAT, i == 0 ? "4,8" : "8,4", 3 + (uint32_t)i);
  run_session(session, inputs, outputs);
  return pleat_session_output_count(session);
}

/* A folded session rounds elsewhere; without folding every bit is the same. */
static bool is_close(const pleat_tensor *found, const pleat_tensor *expected) {
  pleat_comparison result;
  pleat_compare(found, expected, (pleat_tolerance){.rtol = 1e-4, .atol = 1e-5, .noise = 16}, &result);
  return result.match;
}

static void check_random(uint32_t seed) {
  char text[512];
  const char *taps[65] = {NULL};
  builder b = random_model(seed, text, sizeof text);
  size_t tap_count = 0;
  for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " ")) taps[tap_count++] = word;
  pleat_model *model = build_model(&b);
  pleat_session *sessions[3] = {session_with(model, (pleat_session_options){.no_fold = true, .taps = taps}),
                                session_with(model, (pleat_session_options){0}),
                                session_with(model, (pleat_session_options){.no_fold = true})};
  pleat_tensor *all[66], *some[66];
  size_t all_count = run_random(sessions[0], all);
  for (size_t k = 1; k < 3; k++) {
    for (int again = 0; again < 2; again++) { /* the second run finds the first one's memory */
      size_t count = run_random(sessions[k], some);
      assert_no_overlap(sessions[k]->plans->plan);
      for (size_t i = 0; i < count; i++) {
        const char *name = pleat_session_output(sessions[k], i)->name;
        size_t at = 0;
        while (at < all_count && strcmp(pleat_session_output(sessions[0], at)->name, name) != 0) at++;
        ck_assert_uint_lt(at, all_count);
        bool same =
            pleat_same_shape(all[at], some[i]) &&
            (k == 1 ? is_close(some[i], all[at]) : memcmp(all[at]->data, some[i]->data, pleat_bytes(some[i])) == 0);
        if (!same) ck_abort_msg("graph %u: '%s' differs", seed, name);
        pleat_tensor_release(some[i]);
      }
    }
  }
  ck_assert_uint_le(sessions[1]->plans->plan->arena_bytes, sessions[1]->plans->plan->unshared_bytes);
  for (size_t i = 0; i < all_count; i++) pleat_tensor_release(all[i]);
  for (size_t k = 0; k < 3; k++) pleat_session_destroy(sessions[k]);
  pleat_model_release(model);
}

START_TEST(random_graphs) {
  for (uint32_t seed = 0; seed < 400; seed++) check_random(seed);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("plan_memory");
  add_tests(suite, "views",
            (const TTest *const[]){views_share_memory, views_of_inputs_and_constants, views_that_are_outputs, NULL});
  add_tests(suite, "in_place",
            (const TTest *const[]){in_place_chain_needs_one_buffer, add_to_itself, broadcast_of_a_view_of_itself,
                                   broadcast_operands, what_must_not_be_overwritten, dropped_steps_take_no_memory,
                                   NULL});
  add_tests(suite, "scratch", (const TTest *const[]){scratch_memory_stays, NULL});
  add_tests(suite, "random", (const TTest *const[]){random_graphs, NULL});
  return suite;
}

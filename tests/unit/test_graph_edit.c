/* Editing: replacement, outputs, dead code, names, and a verifier that notices what is broken. */
#include "graph_testing.h"

typedef struct fixture {
  pleat_model *model;
  pleat_graph *graph;
} fixture;

static fixture begin(builder b) {
  fixture f = {.model = build_model(&b)};
  f.graph = import(f.model, false);
  return f;
}

static void end(fixture *f) {
  pleat_graph_destroy(f->graph);
  pleat_model_release(f->model);
}

static pleat_tensor *two_floats(float first) {
  pleat_tensor *tensor = NULL;
  ck_assert_int_eq(pleat_tensor_create(PLEAT_FLOAT, 1, (int64_t[]){2}, &tensor, NULL), PLEAT_OK);
  ((float *)tensor->data)[0] = first;
  return tensor;
}

START_TEST(replaces_inner_value) {
  fixture f = begin(build_chain(8));
  pleat_value *x = value_named(f.graph, "x"), *t = value_named(f.graph, "t");
  pleat_node *a = node_named(f.graph, "a"), *b = node_named(f.graph, "b");
  ck_assert(pleat_value_replace(t, x));
  ck_assert_ptr_eq(b->inputs[0], x);
  ck_assert_uint_eq(x->use_count, 2);
  ck_assert_uint_eq(t->use_count, 0);
  ck_assert(b->edited && !a->edited && f.graph->edited);
  assert_verified(f.graph);
  ck_assert_uint_eq(pleat_graph_remove_dead(f.graph), 1);
  ck_assert_ptr_null(a->graph);
  ck_assert_str_eq(a->name, "a"); /* removed nodes stay readable */
  ck_assert_ptr_null(pleat_graph_find(f.graph, "t"));
  ck_assert_uint_eq(x->use_count, 1);
  assert_verified(f.graph);
  end(&f);
}
END_TEST

START_TEST(replaces_graph_output) {
  fixture f = begin(build_chain(8));
  pleat_value *t = value_named(f.graph, "t"), *y = value_named(f.graph, "y");
  ck_assert(pleat_value_replace(y, t));
  ck_assert_str_eq(t->name, "y");
  ck_assert_str_eq(y->name, "y_1");
  ck_assert(t->is_output && !y->is_output);
  ck_assert_ptr_eq(f.graph->outputs[0], t);
  ck_assert_ptr_eq(pleat_graph_find(f.graph, "y"), t);
  ck_assert_ptr_null(pleat_graph_find(f.graph, "t"));
  ck_assert(node_named(f.graph, "a")->edited);
  assert_verified(f.graph);
  ck_assert_uint_eq(pleat_graph_remove_dead(f.graph), 1);
  ck_assert_uint_eq(f.graph->node_count, 1);
  assert_verified(f.graph);
  end(&f);
}
END_TEST

START_TEST(refuses_to_replace_output) {
  builder b = build_chain(8);
  build_node(&b, b.graph, "Relu", "c", "t", "z");
  build_output(&b, b.graph, "z");
  build_output(&b, b.graph, "x");
  build_init_float(&b, b.graph, "w", 1);
  fixture f = begin(b);
  pleat_value *x = value_named(f.graph, "x"), *y = value_named(f.graph, "y"), *z = value_named(f.graph, "z");
  pleat_value *w = value_named(f.graph, "w"), *t = value_named(f.graph, "t");
  ck_assert(!pleat_value_replace(y, x)); /* an input keeps its name */
  ck_assert(!pleat_value_replace(y, z)); /* an output keeps its name */
  ck_assert(!pleat_value_replace(y, w)); /* an initializer is produced by no node */
  ck_assert(!pleat_value_replace(x, t)); /* an input that is an output as well */
  ck_assert(!pleat_value_replace(y, y));
  ck_assert(!f.graph->edited);
  assert_verified(f.graph);
  end(&f);
}
END_TEST

START_TEST(inserts_behind_a_value) {
  fixture f = begin(build_chain(8));
  pleat_value *t = value_named(f.graph, "t");
  pleat_node *a = node_named(f.graph, "a");
  pleat_node *node = pleat_graph_add_node(f.graph, a, "Sigmoid", "", "new");
  pleat_value *s = pleat_graph_add_value(f.graph, "t", t->dtype, &t->shape);
  ck_assert_str_eq(s->name, "t_1");
  ck_assert(pleat_node_set_input(node, 0, t));
  ck_assert(pleat_node_set_output(node, 0, s));
  ck_assert(pleat_value_replace(t, s));
  ck_assert_ptr_eq(node->inputs[0], t); /* the new node's own use stays */
  ck_assert_ptr_eq(node_named(f.graph, "b")->inputs[0], s);
  ck_assert_ptr_eq(a->next, node);
  ck_assert_ptr_eq(f.graph->first, a);
  assert_verified(f.graph);
  pleat_node *front = pleat_graph_add_node(f.graph, NULL, "Constant", "", "front");
  ck_assert_ptr_eq(f.graph->first, front);
  ck_assert_uint_eq(f.graph->node_count, 4);
  assert_verified(f.graph);
  end(&f);
}
END_TEST

START_TEST(output_changes_producer) {
  fixture f = begin(build_chain(8));
  pleat_node *a = node_named(f.graph, "a"), *b = node_named(f.graph, "b");
  pleat_value *y = value_named(f.graph, "y"), *x = value_named(f.graph, "x"), *t = value_named(f.graph, "t");
  pleat_node *node = pleat_graph_add_node(f.graph, b, "Sigmoid", "", "new");
  ck_assert(pleat_node_set_input(node, 0, x));
  ck_assert(!pleat_node_set_output(node, 0, x));
  ck_assert(pleat_node_set_output(node, 0, y));
  ck_assert_ptr_null(b->outputs[0]);
  ck_assert_ptr_eq(y->producer, node);
  pleat_node_remove(b);
  ck_assert_uint_eq(t->use_count, 0);
  pleat_node_remove(a);
  ck_assert_uint_eq(f.graph->node_count, 1);
  ck_assert_ptr_eq(f.graph->last, node);
  assert_verified(f.graph);
  end(&f);
}
END_TEST

START_TEST(constants_and_dead_initializers) {
  builder b = build_chain(8);
  build_init_float(&b, b.graph, "w", 1);
  build_node(&b, b.graph, "Add", "add", "y,w", "z");
  build_output(&b, b.graph, "z");
  fixture f = begin(b);
  pleat_value *w = value_named(f.graph, "w"), *c = NULL;
  const pleat_tensor *tensor = NULL;
  ASSERT_OK(pleat_graph_add_constant(f.graph, "w", two_floats(9), &c, error));
  ck_assert_str_eq(c->name, "w_1");
  ck_assert(pleat_value_is_constant(c));
  ASSERT_OK(pleat_value_constant(c, &tensor, error));
  ck_assert(((const float *)tensor->data)[0] == 9.0f);
  ck_assert(pleat_value_replace(w, c));
  assert_verified(f.graph);
  ck_assert_uint_eq(pleat_graph_remove_dead(f.graph), 0);
  ck_assert_uint_eq(f.graph->initializer_count, 1);
  ck_assert_ptr_eq(f.graph->initializers[0], c);
  ck_assert_ptr_null(pleat_graph_find(f.graph, "w"));
  assert_verified(f.graph);
  end(&f);
}
END_TEST

START_TEST(overridable_initializer_stays) {
  builder b = build_chain(8);
  build_input(&b, b.graph, "w");
  build_init_float(&b, b.graph, "w", 1);
  fixture f = begin(b);
  pleat_graph_remove_dead(f.graph);
  ck_assert_uint_eq(f.graph->input_count, 2); /* it belongs to the model's interface */
  ck_assert_uint_eq(f.graph->initializer_count, 1);
  end(&f);

  b = build_chain(3);
  build_input(&b, b.graph, "w");
  build_init_float(&b, b.graph, "w", 1);
  f = begin(b);
  pleat_graph_remove_dead(f.graph);
  ck_assert_uint_eq(f.graph->input_count, 1);
  ck_assert_uint_eq(f.graph->initializer_count, 0);
  assert_verified(f.graph);
  end(&f);
}
END_TEST

/* What only a subgraph reads is alive, until the subgraph's owner is gone. */
START_TEST(dead_code_and_captures) {
  builder b = build_if_model();
  build_node(&b, b.graph, "Relu", "side", "x", "side_out"); /* dead */
  fixture f = begin(b);
  ck_assert_uint_eq(pleat_graph_remove_dead(f.graph), 1);
  pleat_value *t = value_named(f.graph, "t");
  ck_assert_uint_eq(t->use_count, 2);
  assert_verified(f.graph);
  ck_assert(pleat_value_replace(value_named(f.graph, "y"), t));
  ck_assert_uint_eq(pleat_graph_remove_dead(f.graph), 1);
  ck_assert_uint_eq(t->use_count, 0);
  ck_assert_uint_eq(f.graph->node_count, 1);
  assert_verified(f.graph);
  end(&f);
}
END_TEST

START_TEST(dead_code_in_subgraph) {
  builder b = build_if_model();
  Onnx__GraphProto *branch = b.graph->node[1]->attribute[0]->g;
  build_node(&b, b.graph, "Relu", "late", "y", "z");
  branch->node[0]->input[0] = build_text(&b, "x");
  build_node(&b, branch, "Relu", "dead", "t", "dead_out");
  b.graph->node[1]->attribute[1]->g->node[0]->input[0] = build_text(&b, "x");
  fixture f = begin(b);
  ck_assert_uint_eq(value_named(f.graph, "t")->use_count, 1);
  ck_assert_uint_eq(pleat_graph_remove_dead(f.graph), 3); /* late, dead, and then a */
  ck_assert_uint_eq(f.graph->node_count, 1);
  ck_assert(branch_of(node_named(f.graph, "if"), "then_branch")->edited);
  ck_assert(!branch_of(node_named(f.graph, "if"), "else_branch")->edited);
  assert_verified(f.graph);
  end(&f);
}
END_TEST

START_TEST(replaces_captured_value) {
  fixture f = begin(build_if_model());
  pleat_value *t = value_named(f.graph, "t"), *x = value_named(f.graph, "x");
  pleat_graph *branch = branch_of(node_named(f.graph, "if"), "then_branch");
  ck_assert(pleat_value_replace(t, x));
  ck_assert_ptr_eq(branch->first->inputs[0], x);
  ck_assert(branch->edited && branch->first->edited);
  ck_assert(!node_named(f.graph, "if")->edited);
  assert_verified(f.graph);
  pleat_node_remove_attr(node_named(f.graph, "if"), "then_branch");
  ck_assert_uint_eq(x->use_count, 2); /* Relu "a" and the other branch */
  assert_verified(f.graph);
  end(&f);
}
END_TEST

START_TEST(refuses_hidden_names) {
  builder b = build_if_model();
  build_node(&b, b.graph->node[1]->attribute[0]->g, "Relu", "", "then_out", "x"); /* hides the outer x */
  fixture f = begin(b);
  pleat_value *t = value_named(f.graph, "t"), *x = value_named(f.graph, "x");
  ck_assert(!pleat_value_can_replace(t, x));
  ck_assert(!pleat_value_replace(t, x));
  pleat_value *fresh = pleat_graph_add_value(f.graph, "then_out", PLEAT_FLOAT, NULL);
  ck_assert_str_eq(fresh->name, "then_out_1"); /* unique in subgraphs, too */
  assert_verified(f.graph);
  end(&f);
}
END_TEST

START_TEST(attributes_change) {
  builder b = build_chain(8);
  build_attr_float(&b, build_node(&b, b.graph, "LeakyRelu", "leaky", "y", "z"), "alpha", 0.5f);
  fixture f = begin(b);
  pleat_node *node = node_named(f.graph, "leaky");
  ck_assert(pleat_attr_float(node, "alpha") == 0.5f);
  ck_assert(pleat_node_set_attr(node, (pleat_attr){.name = "alpha", .type = PLEAT_ATTR_FLOAT, .f = 0.25f}));
  ck_assert_uint_eq(node->attr_count, 1);
  ck_assert(pleat_attr_float(node, "alpha") == 0.25f);
  ck_assert(node->edited);
  pleat_node_remove_attr(node, "alpha");
  ck_assert(pleat_attr_float(node, "alpha") == 0.01f);
  end(&f);
}
END_TEST

START_TEST(inputs_change) {
  builder b = build_chain(8);
  build_node(&b, b.graph, "Max", "max", "x,t,y", "z");
  fixture f = begin(b);
  pleat_node *node = node_named(f.graph, "max");
  pleat_node_truncate_inputs(node, 1);
  ck_assert_uint_eq(node->input_count, 1);
  ck_assert_uint_eq(value_named(f.graph, "y")->use_count, 0);
  ck_assert(pleat_node_set_input(node, 3, value_named(f.graph, "t")));
  ck_assert_uint_eq(node->input_count, 4);
  ck_assert_ptr_null(node->inputs[1]);
  ck_assert(pleat_node_set_input(node, 3, NULL));
  ck_assert_uint_eq(value_named(f.graph, "t")->use_count, 1);
  assert_verified(f.graph);
  end(&f);
}
END_TEST

START_TEST(adds_output) {
  fixture f = begin(build_chain(8));
  pleat_value *t = value_named(f.graph, "t");
  ck_assert(pleat_graph_add_output(f.graph, t));
  ck_assert(pleat_graph_add_output(f.graph, t)); /* it is one already */
  ck_assert_uint_eq(f.graph->output_count, 2);
  ck_assert_ptr_eq(f.graph->outputs[1], t);
  assert_verified(f.graph);
  end(&f);
}
END_TEST

static void assert_broken(const pleat_graph *graph, const char *words) {
  pleat_error error = PLEAT_ERROR_INIT;
  ck_assert_int_eq(pleat_graph_verify(graph, &error), PLEAT_INTERNAL);
  ck_assert_msg(strstr(error.message, words) != NULL, "'%s' is not in: %s", words, error.message);
}

START_TEST(verifier_notices) {
  fixture f = begin(build_chain(8));
  pleat_node *a = node_named(f.graph, "a"), *b = node_named(f.graph, "b");
  pleat_value *x = value_named(f.graph, "x"), *t = value_named(f.graph, "t"), *y = value_named(f.graph, "y");

  pleat_node_set_input(a, 0, y);
  assert_broken(f.graph, "read before it is produced");
  pleat_node_set_input(a, 0, x);
  assert_verified(f.graph);

  b->inputs[0] = x; /* behind the uses' back */
  assert_broken(f.graph, "records");
  b->inputs[0] = t;

  t->producer = b;
  assert_broken(f.graph, "another producer");
  t->producer = a;

  t->name = "x";
  assert_broken(f.graph, "not its value's own");
  t->name = "t";

  y->is_output = false;
  assert_broken(f.graph, "graph output");
  y->is_output = true;

  f.graph->node_count = 3;
  assert_broken(f.graph, "node_count");
  f.graph->node_count = 2;

  b->prev = NULL;
  assert_broken(f.graph, "link");
  b->prev = a;
  assert_verified(f.graph);
  end(&f);
}
END_TEST

START_TEST(long_dead_chain) {
  builder b = build_chain(8);
  fixture f = begin(b);
  pleat_node *last = f.graph->last;
  pleat_value *from = value_named(f.graph, "x"), *x = from;
  enum { LENGTH = 20000 };
  for (int i = 0; i < LENGTH; i++) { /* every node reads x as well: a value with very many uses */
    pleat_node *node = pleat_graph_add_node(f.graph, last, "Add", "", "");
    char name[32];
    snprintf(name, sizeof name, "chain%d", i);
    pleat_value *out = pleat_graph_add_value(f.graph, name, PLEAT_FLOAT, NULL);
    ck_assert(pleat_node_set_input(node, 0, from) && pleat_node_set_input(node, 1, x));
    ck_assert(pleat_node_set_output(node, 0, out));
    from = out;
    last = node;
  }
  assert_verified(f.graph);
  ck_assert_uint_eq(pleat_graph_remove_dead(f.graph), LENGTH);
  ck_assert_uint_eq(x->use_count, 1);
  assert_verified(f.graph);
  end(&f);
}
END_TEST

/* One hint for very many values, as when one convolution takes in a long chain: searching from 1 each time would run
 * into the test's time limit. */
START_TEST(many_values_of_one_name) {
  fixture f = begin(build_chain(8));
  enum { COUNT = 40000 };
  char expected[32];
  for (int i = 0; i < COUNT; i++) {
    pleat_value *value = pleat_graph_add_value(f.graph, "t", PLEAT_FLOAT, NULL);
    ck_assert_ptr_nonnull(value);
    snprintf(expected, sizeof expected, "t_%d", i + 1);
    ck_assert_str_eq(value->name, expected);
  }
  ck_assert_str_eq(pleat_graph_add_value(f.graph, "t_7", PLEAT_FLOAT, NULL)->name, "t_7_1");
  end(&f);
}
END_TEST

START_TEST(labels_tell_the_imported_place) {
  builder b = build_chain(8);
  b.graph->node[0]->name = b.graph->node[1]->name = build_text(&b, "");
  fixture f = begin(b);
  char label[32];
  pleat_node *first = f.graph->first, *second = first->next;
  ck_assert_str_eq(pleat_node_label(second, label, sizeof label), "Relu#1");
  pleat_node *made = pleat_graph_add_node(f.graph, second, "Neg", "", "");
  ck_assert_str_eq(pleat_node_label(made, label, sizeof label), "Neg#2");
  pleat_node *between = pleat_graph_add_node(f.graph, first, "Abs", "", "");
  ck_assert_str_eq(pleat_node_label(between, label, sizeof label), "Abs#0");
  ck_assert_str_eq(pleat_node_label(second, label, sizeof label), "Relu#1"); /* not moved by what is before it */
  end(&f);
}
END_TEST

/* A value with many readers, which go from the front, the back and the middle: the rest keep their order. */
START_TEST(uses_keep_their_order) {
  enum { READERS = 9 };
  static const size_t gone[] = {0, 8, 4, 1, 7, 3};
  static const size_t left[] = {2, 5, 6};
  builder b = build_begin(8, 13);
  build_input(&b, b.graph, "x");
  for (int i = 0; i < READERS; i++) {
    char name[16];
    snprintf(name, sizeof name, "n%d", i);
    build_node(&b, b.graph, "Relu", name, "x", name);
    build_output(&b, b.graph, name);
  }
  fixture f = begin(b);
  pleat_value *x = value_named(f.graph, "x");
  for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++) {
    char name[16];
    snprintf(name, sizeof name, "n%zu", gone[i]);
    ck_assert(pleat_node_set_input(node_named(f.graph, name), 0, NULL));
  }
  ck_assert_uint_eq(x->use_count, sizeof left / sizeof left[0]);
  for (size_t i = 0; i < x->use_count; i++) {
    char name[16];
    snprintf(name, sizeof name, "n%zu", left[i]);
    ck_assert_str_eq(x->uses[i].node->name, name);
  }
  for (int i = 0; i < 20; i++) { /* room for more is found, and what is there stays */
    ck_assert(pleat_node_set_input(node_named(f.graph, "n0"), 0, x));
    ck_assert_ptr_eq(x->uses[x->use_count - 1].node, node_named(f.graph, "n0"));
    ck_assert(pleat_node_set_input(node_named(f.graph, "n2"), 0, NULL));
    ck_assert(pleat_node_set_input(node_named(f.graph, "n2"), 0, x));
    ck_assert(pleat_node_set_input(node_named(f.graph, "n0"), 0, NULL));
  }
  ck_assert_str_eq(x->uses[0].node->name, "n5");
  assert_verified(f.graph);
  end(&f);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("graph edit");
  TCase *tcase = tcase_create("edit");
  tcase_add_test(tcase, replaces_inner_value);
  tcase_add_test(tcase, replaces_graph_output);
  tcase_add_test(tcase, refuses_to_replace_output);
  tcase_add_test(tcase, inserts_behind_a_value);
  tcase_add_test(tcase, output_changes_producer);
  tcase_add_test(tcase, constants_and_dead_initializers);
  tcase_add_test(tcase, overridable_initializer_stays);
  tcase_add_test(tcase, dead_code_and_captures);
  tcase_add_test(tcase, dead_code_in_subgraph);
  tcase_add_test(tcase, replaces_captured_value);
  tcase_add_test(tcase, refuses_hidden_names);
  tcase_add_test(tcase, attributes_change);
  tcase_add_test(tcase, inputs_change);
  tcase_add_test(tcase, adds_output);
  tcase_add_test(tcase, verifier_notices);
  tcase_add_test(tcase, long_dead_chain);
  tcase_add_test(tcase, many_values_of_one_name);
  tcase_add_test(tcase, labels_tell_the_imported_place);
  tcase_add_test(tcase, uses_keep_their_order);
  suite_add_tcase(suite, tcase);
  return suite;
}

/* Running control flow: If, Loop and Scan against values worked out by hand, with bodies whose shapes are known ahead,
 * known only while running, and changing from one iteration to the next. */
#include "flow_case.h"

static pleat_tensor *flag(bool value) {
  return make(PLEAT_BOOL, "", VECTOR(uint8_t, value));
}

/* Runs with these inputs; the outputs are the caller's. */
#define RUN(session, outputs, ...) run_session((session), (pleat_tensor *[]){__VA_ARGS__}, (outputs))

static void check(pleat_tensor *output, const char *text, const double *values) {
  assert_tensor(output, text, values);
  pleat_tensor_release(output);
}
#define GIVES(output, text, ...) check((output), (text), (const double[]){__VA_ARGS__})

/* Every way in which a session may be made: as it is, folded, as the oracle. */
static const pleat_session_options ways[] = {{.threads = 1}, {.no_fold = true}, {.float64 = true}, {.threads = 2}};
#define FOR_WAYS(b, model, session)                                                                                    \
  pleat_model *model = build_model(b);                                                                                 \
  for (size_t way = 0; way < sizeof ways / sizeof ways[0]; way++)                                                      \
    for (pleat_session *session = session_with(model, ways[way]); session != NULL;                                     \
         pleat_session_destroy(session), session = NULL)
/* The text of a float tensor's type in this way. */
#define FLOAT(shape) (ways[way].float64 ? "double" shape : "float" shape)

/* ---- If ---- */

START_TEST(either_branch) {
  builder b = build_begin(8, 13);
  model_input(&b, "c", PLEAT_BOOL, "");
  model_input(&b, "x", PLEAT_FLOAT, "2");
  model_init(&b, "k", PLEAT_FLOAT, "2", (const double[]){10, 20});
  model_node(&b, "Neg", "neg", "x", "n");
  add_if(&b, b.graph, "if", "c", "y", branch(&b, PLEAT_FLOAT, "Add", "n,k", "t"),
         branch(&b, PLEAT_FLOAT, "Mul", "x,k", "e"));
  model_node(&b, "Abs", "abs", "y", "z");
  model_output(&b, "z", PLEAT_FLOAT, "?");
  FOR_WAYS(&b, model, session) {
    pleat_tensor *z;
    for (int again = 0; again < 2; again++) {
      RUN(session, &z, flag(true), FLOATS("2", 1, 2));
      GIVES(z, FLOAT("[2]"), 9, 18);
      RUN(session, &z, flag(false), FLOATS("2", 1, -2));
      GIVES(z, FLOAT("[2]"), 10, 40);
    }
  }
  pleat_model_release(model);
}
END_TEST

/* The branches give other ranks: what follows is planned while running. */
START_TEST(branches_of_other_shapes) {
  builder b = build_begin(8, 13);
  model_input(&b, "c", PLEAT_BOOL, "");
  model_input(&b, "x", PLEAT_FLOAT, "2,3");
  INTS_INIT(&b, "row", "1", -1);
  add_if(&b, b.graph, "if", "c", "y", branch(&b, PLEAT_FLOAT, "Reshape", "x,row", "t"),
         branch(&b, PLEAT_FLOAT, "Transpose", "x", "e"));
  model_node(&b, "Neg", "neg", "y", "z");
  model_output(&b, "z", PLEAT_FLOAT, "?");
  FOR_WAYS(&b, model, session) {
    pleat_tensor *z;
    RUN(session, &z, flag(true), FLOATS("2,3", 1, 2, 3, 4, 5, 6));
    GIVES(z, FLOAT("[6]"), -1, -2, -3, -4, -5, -6);
    RUN(session, &z, flag(false), FLOATS("2,3", 1, 2, 3, 4, 5, 6));
    GIVES(z, FLOAT("[3,2]"), -1, -4, -2, -5, -3, -6);
  }
  pleat_model_release(model);
}
END_TEST

/* A branch that hands on what it captures, an input or a constant, has nothing to compute in place. */
START_TEST(branches_that_hand_on) {
  builder b = build_begin(8, 13);
  model_input(&b, "c", PLEAT_BOOL, "1");
  model_input(&b, "x", PLEAT_FLOAT, "2");
  model_init(&b, "k", PLEAT_FLOAT, "2", (const double[]){10, 20});
  add_if(&b, b.graph, "if", "c", "y", branch(&b, PLEAT_FLOAT, "Identity", "x", "t"),
         branch(&b, PLEAT_FLOAT, "Identity", "k", "e"));
  model_output(&b, "y", PLEAT_FLOAT, "?");
  FOR_WAYS(&b, model, session) {
    pleat_tensor *y;
    RUN(session, &y, make(PLEAT_BOOL, "1", VECTOR(uint8_t, 1)), FLOATS("2", 1, 2));
    GIVES(y, FLOAT("[2]"), 1, 2);
    RUN(session, &y, make(PLEAT_BOOL, "1", VECTOR(uint8_t, 0)), FLOATS("2", 1, 2));
    GIVES(y, FLOAT("[2]"), 10, 20);
  }
  pleat_model_release(model);
}
END_TEST

/* An If inside of an If reads values of all graphs around it; its own condition follows from a shape. */
START_TEST(nested_branches) {
  builder b = build_begin(8, 13);
  model_input(&b, "c", PLEAT_BOOL, "");
  model_input(&b, "x", PLEAT_FLOAT, "N");
  INTS_INIT(&b, "two", "", 2);
  Onnx__GraphProto *then = build_graph(&b, "then");
  build_node(&b, then, "Neg", "", "x", "n");
  build_node(&b, then, "Size", "", "n", "count");
  build_node(&b, then, "Equal", "", "count,two", "is_two");
  add_if(&b, then, "inner", "is_two", "t", branch(&b, PLEAT_FLOAT, "Add", "n,x", "a"),
         branch(&b, PLEAT_FLOAT, "Mul", "n,x", "m"));
  body_output(&b, then, "t", PLEAT_FLOAT);
  add_if(&b, b.graph, "outer", "c", "y", then, branch(&b, PLEAT_FLOAT, "Abs", "x", "e"));
  model_output(&b, "y", PLEAT_FLOAT, "?");
  FOR_WAYS(&b, model, session) {
    pleat_tensor *y;
    RUN(session, &y, flag(true), FLOATS("2", 3, -4));
    GIVES(y, FLOAT("[2]"), 0, 0);
    RUN(session, &y, flag(true), FLOATS("3", 3, -4, 1));
    GIVES(y, FLOAT("[3]"), -9, -16, -1);
    RUN(session, &y, flag(false), FLOATS("2", 3, -4));
    GIVES(y, FLOAT("[2]"), 3, 4);
  }
  pleat_model_release(model);
}
END_TEST

/* Exporters guard an operator by its shape: the branch that cannot be right is never run, so it is no error. */
START_TEST(branch_that_fits_other_shapes) {
  builder b = build_begin(8, 13);
  model_input(&b, "x", PLEAT_FLOAT, "N,2");
  INTS_INIT(&b, "zero", "1", 0);
  INTS_INIT(&b, "one", "1", 1);
  model_node(&b, "Shape", "", "x", "shape");
  model_node(&b, "Gather", "", "shape,zero", "rows");
  model_node(&b, "Equal", "", "rows,one", "is_one");
  add_if(&b, b.graph, "if", "is_one", "y", branch(&b, PLEAT_FLOAT, "Squeeze", "x,zero", "t"),
         branch(&b, PLEAT_FLOAT, "Identity", "x", "e"));
  model_output(&b, "y", PLEAT_FLOAT, "?");
  FOR_WAYS(&b, model, session) {
    pleat_tensor *y;
    RUN(session, &y, FLOATS("1,2", 1, 2));
    GIVES(y, FLOAT("[2]"), 1, 2);
    RUN(session, &y, FLOATS("2,2", 1, 2, 3, 4));
    GIVES(y, FLOAT("[2,2]"), 1, 2, 3, 4);
  }
  pleat_model_release(model);
}
END_TEST

/* ---- Loop ---- */

/* s -> s * 2 + x, stacked; trips and condition as given. */
static builder doubling_loop(const char *inputs) {
  builder b = build_begin(8, 13);
  model_input(&b, "x", PLEAT_FLOAT, "2");
  model_init(&b, "two", PLEAT_FLOAT, "", (const double[]){2});
  Onnx__GraphProto *body = loop_body(&b, PLEAT_FLOAT, "2");
  build_node(&b, body, "Mul", "", "s,two", "d");
  build_node(&b, body, "Add", "", "d,x", "r");
  build_node(&b, body, "Neg", "", "s", "v");
  body_output(&b, body, "r", PLEAT_FLOAT);
  body_output(&b, body, "v", PLEAT_FLOAT);
  add_loop(&b, b.graph, "loop", inputs, "y,all", body);
  model_output(&b, "y", PLEAT_FLOAT, "?");
  model_output(&b, "all", PLEAT_FLOAT, "?");
  return b;
}

START_TEST(loop_of_a_known_count) {
  builder b = doubling_loop("trips,,x");
  INTS_INIT(&b, "trips", "", 3);
  FOR_WAYS(&b, model, session) {
    pleat_tensor *out[2];
    RUN(session, out, FLOATS("2", 1, 2));
    GIVES(out[0], FLOAT("[2]"), 15, 30);
    GIVES(out[1], FLOAT("[3,2]"), -1, -2, -3, -6, -7, -14);
  }
  pleat_model_release(model);
}
END_TEST

START_TEST(loop_of_a_count_that_is_given) {
  builder b = doubling_loop("trips,,x");
  model_input(&b, "trips", PLEAT_INT64, "");
  FOR_WAYS(&b, model, session) {
    pleat_tensor *out[2];
    RUN(session, out, FLOATS("2", 1, 2), INT64S("", 2));
    GIVES(out[0], FLOAT("[2]"), 7, 14);
    GIVES(out[1], FLOAT("[2,2]"), -1, -2, -3, -6);
    RUN(session, out, FLOATS("2", 1, 2), INT64S("", 0));
    GIVES(out[0], FLOAT("[2]"), 1, 2);
    check(out[1], FLOAT("[0,2]"), NULL);
    RUN(session, out, FLOATS("2", 1, 2), INT64S("", -5));
    GIVES(out[0], FLOAT("[2]"), 1, 2);
    check(out[1], FLOAT("[0,2]"), NULL);
  }
  pleat_model_release(model);
}
END_TEST

START_TEST(loop_that_never_starts) {
  builder b = doubling_loop("trips,no,x");
  INTS_INIT(&b, "trips", "", 3);
  model_init(&b, "no", PLEAT_BOOL, "", (const double[]){0});
  FOR_WAYS(&b, model, session) {
    pleat_tensor *out[2];
    RUN(session, out, FLOATS("2", 1, 2));
    GIVES(out[0], FLOAT("[2]"), 1, 2);
    check(out[1], FLOAT("[0,2]"), NULL);
  }
  pleat_model_release(model);
}
END_TEST

/* while (sum(s) < limit) s = s + s; the count of iterations comes out as well. */
START_TEST(loop_while_a_condition_holds) {
  builder b = build_begin(8, 13);
  model_input(&b, "x", PLEAT_FLOAT, "2");
  model_input(&b, "limit", PLEAT_FLOAT, "");
  Onnx__GraphProto *body = build_graph(&b, "body");
  body_input(&b, body, "i", PLEAT_INT64, "");
  body_input(&b, body, "go", PLEAT_BOOL, "");
  body_input(&b, body, "s", PLEAT_FLOAT, "2");
  build_node(&b, body, "Add", "", "s,s", "r");
  build_attr_int(&b, build_node(&b, body, "ReduceSum", "", "r", "sum"), "keepdims", 0);
  build_node(&b, body, "Less", "", "sum,limit", "more");
  build_node(&b, body, "Identity", "", "i", "i_out");
  body_output(&b, body, "more", PLEAT_BOOL);
  body_output(&b, body, "r", PLEAT_FLOAT);
  body_output(&b, body, "i_out", PLEAT_INT64);
  add_loop(&b, b.graph, "loop", ",,x", "y,steps", body);
  model_output(&b, "y", PLEAT_FLOAT, "?");
  model_output(&b, "steps", PLEAT_INT64, "?");
  FOR_WAYS(&b, model, session) {
    pleat_tensor *out[2];
    RUN(session, out, FLOATS("2", 1, 2), FLOATS("", 20));
    GIVES(out[0], FLOAT("[2]"), 8, 16);
    GIVES(out[1], "int64[3]", 0, 1, 2);
    RUN(session, out, FLOATS("2", 1, 2), FLOATS("", 0));
    GIVES(out[0], FLOAT("[2]"), 2, 4);
    GIVES(out[1], "int64[1]", 0);
  }
  pleat_model_release(model);
}
END_TEST

/* The state grows by itself in each iteration: 1, 2, 4, 8 elements. */
START_TEST(loop_whose_state_grows) {
  builder b = build_begin(8, 13);
  model_input(&b, "x", PLEAT_FLOAT, "1");
  INTS_INIT(&b, "trips", "", 3);
  Onnx__GraphProto *body = loop_body(&b, PLEAT_FLOAT, "?");
  build_node(&b, body, "Neg", "", "s", "n");
  build_attr_int(&b, build_node(&b, body, "Concat", "", "s,n", "r"), "axis", 0);
  build_attr_int(&b, build_node(&b, body, "ReduceSum", "", "s", "sum"), "keepdims", 0);
  body_output(&b, body, "r", PLEAT_FLOAT);
  body_output(&b, body, "sum", PLEAT_FLOAT);
  add_loop(&b, b.graph, "loop", "trips,,x", "y,sums", body);
  model_output(&b, "y", PLEAT_FLOAT, "?");
  model_output(&b, "sums", PLEAT_FLOAT, "?");
  FOR_WAYS(&b, model, session) {
    pleat_tensor *out[2];
    for (int again = 0; again < 2; again++) {
      RUN(session, out, FLOATS("1", 3));
      GIVES(out[0], FLOAT("[8]"), 3, -3, -3, 3, -3, 3, 3, -3);
      GIVES(out[1], FLOAT("[3]"), 3, 0, 0);
    }
  }
  pleat_model_release(model);
}
END_TEST

/* States that change places, and one that is handed on untouched: nothing is overwritten before it was read. */
START_TEST(loop_whose_states_change_places) {
  builder b = build_begin(8, 13);
  model_input(&b, "x", PLEAT_FLOAT, "2");
  model_input(&b, "y", PLEAT_FLOAT, "2");
  model_input(&b, "z", PLEAT_FLOAT, "2");
  INTS_INIT(&b, "trips", "", 5);
  Onnx__GraphProto *body = loop_body(&b, PLEAT_FLOAT, "2");
  body_input(&b, body, "t", PLEAT_FLOAT, "2");
  body_input(&b, body, "u", PLEAT_FLOAT, "2");
  build_node(&b, body, "Identity", "", "t", "s_out");
  build_node(&b, body, "Identity", "", "s", "t_out");
  body_output(&b, body, "s_out", PLEAT_FLOAT);
  body_output(&b, body, "t_out", PLEAT_FLOAT);
  body_output(&b, body, "u", PLEAT_FLOAT);
  add_loop(&b, b.graph, "loop", "trips,,x,y,z", "a,b,c", body);
  model_output(&b, "a", PLEAT_FLOAT, "?");
  model_output(&b, "b", PLEAT_FLOAT, "?");
  model_output(&b, "c", PLEAT_FLOAT, "?");
  FOR_WAYS(&b, model, session) {
    pleat_tensor *out[3];
    RUN(session, out, FLOATS("2", 1, 2), FLOATS("2", 3, 4), FLOATS("2", 5, 6));
    GIVES(out[0], FLOAT("[2]"), 3, 4);
    GIVES(out[1], FLOAT("[2]"), 1, 2);
    GIVES(out[2], FLOAT("[2]"), 5, 6);
  }
  pleat_model_release(model);
}
END_TEST

/* Text is carried and stacked, though a body's own strings end with its run. */
START_TEST(loop_over_text) {
  builder b = build_begin(8, 13);
  model_input(&b, "x", PLEAT_STRING, "1");
  model_input(&b, "trips", PLEAT_INT64, "");
  Onnx__GraphProto *body = loop_body(&b, PLEAT_STRING, "1");
  build_attr_int(&b, build_node(&b, body, "Cast", "", "i", "text"), "to", PLEAT_STRING);
  INTS_INIT(&b, "one", "1", 1);
  build_node(&b, body, "Reshape", "", "text,one", "r");
  body_output(&b, body, "r", PLEAT_STRING);
  body_output(&b, body, "s", PLEAT_STRING);
  add_loop(&b, b.graph, "loop", "trips,,x", "last,all", body);
  model_output(&b, "last", PLEAT_STRING, "?");
  model_output(&b, "all", PLEAT_STRING, "?");
  pleat_session *session = session_from(&b, (pleat_session_options){.threads = 1});
  pleat_tensor *out[2], *input = NULL;
  ASSERT_OK(pleat_tensor_create_strings(1, (const int64_t[]){1}, &STRING_OF("first"), &input, error));
  RUN(session, out, input, INT64S("", 12));
  CHECK_TEXT(out[0], "string[1]");
  CHECK_TEXT(out[1], "string[12,1]");
  const pleat_string *last = out[0]->data, *all = out[1]->data;
  ck_assert(last->size == 2 && memcmp(last->data, "11", 2) == 0);
  ck_assert(all[0].size == 5 && memcmp(all[0].data, "first", 5) == 0);
  ck_assert(all[1].size == 1 && all[1].data[0] == '0');
  ck_assert(all[11].size == 2 && memcmp(all[11].data, "10", 2) == 0);
  pleat_tensor_release(out[0]);
  pleat_tensor_release(out[1]);
  pleat_session_destroy(session);
}
END_TEST

/* for i: for j: s = s + x, an inner loop whose count is the outer's iteration. */
START_TEST(nested_loops) {
  builder b = build_begin(8, 13);
  model_input(&b, "x", PLEAT_FLOAT, "2");
  INTS_INIT(&b, "trips", "", 4);
  Onnx__GraphProto *inner = build_graph(&b, "inner"), *body = loop_body(&b, PLEAT_FLOAT, "2");
  body_input(&b, inner, "j", PLEAT_INT64, "");
  body_input(&b, inner, "on", PLEAT_BOOL, "");
  body_input(&b, inner, "p", PLEAT_FLOAT, "2");
  build_node(&b, inner, "Identity", "", "on", "on_out");
  build_node(&b, inner, "Add", "", "p,x", "q");
  body_output(&b, inner, "on_out", PLEAT_BOOL);
  body_output(&b, inner, "q", PLEAT_FLOAT);
  body_output(&b, inner, "p", PLEAT_FLOAT);
  add_loop(&b, body, "inner", "i,,s", "r,steps", inner);
  build_node(&b, body, "ReduceSum", "", "steps", "sum");
  body_output(&b, body, "r", PLEAT_FLOAT);
  body_output(&b, body, "sum", PLEAT_FLOAT);
  add_loop(&b, b.graph, "outer", "trips,,x", "y,sums", body);
  model_output(&b, "y", PLEAT_FLOAT, "?");
  model_output(&b, "sums", PLEAT_FLOAT, "?");
  FOR_WAYS(&b, model, session) {
    pleat_tensor *out[2];
    RUN(session, out, FLOATS("2", 1, 10));
    GIVES(out[0], FLOAT("[2]"), 7, 70);
    GIVES(out[1], FLOAT("[4,1,1]"), 0, 11, 55, 165);
  }
  pleat_model_release(model);
}
END_TEST

/* ---- Scan ---- */

/* Sums over the slices of `x`, which come out as well, negated. */
static builder summing_scan(int64_t opset, const char *inputs, const char *state, const char *slice,
                            Onnx__NodeProto **out_node) {
  builder b = build_begin(8, opset);
  Onnx__GraphProto *body = build_graph(&b, "body");
  body_input(&b, body, "s", PLEAT_FLOAT, state);
  body_input(&b, body, "e", PLEAT_FLOAT, slice);
  build_node(&b, body, "Add", "", "s,e", "r");
  build_node(&b, body, "Neg", "", "r", "v");
  body_output(&b, body, "r", PLEAT_FLOAT);
  body_output(&b, body, "v", PLEAT_FLOAT);
  *out_node = add_scan(&b, inputs, "y,all", body);
  model_output(&b, "y", PLEAT_FLOAT, "?");
  model_output(&b, "all", PLEAT_FLOAT, "?");
  return b;
}

START_TEST(scan_forwards_and_backwards) {
  for (int variant = 0; variant < 4; variant++) {
    Onnx__NodeProto *node = NULL;
    builder b = summing_scan(13, "z,x", "2", "2", &node);
    model_init(&b, "z", PLEAT_FLOAT, "2", (const double[]){0, 0});
    model_input(&b, "x", PLEAT_FLOAT, "N,2");
    if ((variant & 1) != 0) attr_ints(&b, node, "scan_input_directions", "1");
    if ((variant & 2) != 0) attr_ints(&b, node, "scan_output_directions", "1");
    static const double expected[4][6] = {
        {-1, -2, -4, -6, -9, -12}, {-5, -6, -8, -10, -9, -12}, {-9, -12, -4, -6, -1, -2}, {-9, -12, -8, -10, -5, -6}};
    FOR_WAYS(&b, model, session) {
      pleat_tensor *out[2];
      RUN(session, out, FLOATS("3,2", 1, 2, 3, 4, 5, 6));
      GIVES(out[0], FLOAT("[2]"), 9, 12);
      check(out[1], FLOAT("[3,2]"), expected[variant]);
      RUN(session, out, make(PLEAT_FLOAT, "0,2", NULL));
      GIVES(out[0], FLOAT("[2]"), 0, 0);
      check(out[1], FLOAT("[0,2]"), NULL);
    }
    pleat_model_release(model);
  }
}
END_TEST

/* Cut along one axis, put together along another. */
START_TEST(scan_along_other_axes) {
  for (int known = 0; known < 2; known++) {
    Onnx__NodeProto *node = NULL;
    builder b = summing_scan(13, "z,x", "2", "2", &node);
    model_init(&b, "z", PLEAT_FLOAT, "2", (const double[]){0, 0});
    model_input(&b, "x", PLEAT_FLOAT, known ? "2,3" : "2,N");
    attr_ints(&b, node, "scan_input_axes", "-1");
    attr_ints(&b, node, "scan_output_axes", "1");
    FOR_WAYS(&b, model, session) {
      pleat_tensor *out[2];
      RUN(session, out, FLOATS("2,3", 1, 3, 5, 2, 4, 6));
      GIVES(out[0], FLOAT("[2]"), 9, 12);
      GIVES(out[1], FLOAT("[2,3]"), -1, -4, -9, -2, -6, -12);
    }
    pleat_model_release(model);
  }
}
END_TEST

/* Opset 8: sequences of a batch, the second one shorter. */
START_TEST(scan_of_a_batch) {
  for (int with_lengths = 0; with_lengths < 2; with_lengths++) {
    Onnx__NodeProto *node = NULL;
    builder b = summing_scan(8, with_lengths ? "lens,z,x" : ",z,x", "1", "1", &node);
    model_init(&b, "z", PLEAT_FLOAT, "2,1", (const double[]){100, 200});
    if (with_lengths) INTS_INIT(&b, "lens", "2", 3, 2);
    model_input(&b, "x", PLEAT_FLOAT, "2,N,1");
    attr_ints(&b, node, "directions", "1");
    FOR_WAYS(&b, model, session) {
      pleat_tensor *out[2];
      for (int again = 0; again < 2; again++) {
        RUN(session, out, FLOATS("2,3,1", 1, 2, 3, 10, 20, 30));
        GIVES(out[0], FLOAT("[2,1]"), 106, with_lengths ? 230 : 260);
        if (with_lengths) GIVES(out[1], FLOAT("[2,3,1]"), -103, -105, -106, -220, -230, 0);
        else GIVES(out[1], FLOAT("[2,3,1]"), -103, -105, -106, -230, -250, -260);
      }
    }
    pleat_model_release(model);
  }
}
END_TEST

/* ---- what goes wrong ---- */

static void assert_place(builder *b, pleat_tensor *input, pleat_status expected, const char *node, const char *words) {
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_tensor *outputs[2] = {NULL};
  pleat_session *session = session_from(b, (pleat_session_options){.threads = 1});
  pleat_status status = pleat_session_run(session, &input, 1, outputs, pleat_session_output_count(session), &error);
  assert_error(&error, status, expected, NULL, words);
  ck_assert_str_eq(error.node, node);
  pleat_tensor_release(input);
  pleat_session_destroy(session);
}

START_TEST(errors_name_both_nodes) {
  builder b = build_begin(8, 13);
  model_input(&b, "x", PLEAT_FLOAT, "N");
  INTS_INIT(&b, "trips", "", 3);
  Onnx__GraphProto *body = loop_body(&b, PLEAT_FLOAT, "?"), *inner = branch(&b, PLEAT_FLOAT, "Add", "s,pair", "sum");
  model_init(&b, "pair", PLEAT_FLOAT, "2", (const double[]){1, 2});
  add_if(&b, body, "choice", "go", "r", inner, branch(&b, PLEAT_FLOAT, "Identity", "s", "e"));
  body_output(&b, body, "r", PLEAT_FLOAT);
  add_loop(&b, b.graph, "loop", "trips,,x", "y", body);
  model_output(&b, "y", PLEAT_FLOAT, "?");
  assert_place(&b, FLOATS("3", 1, 2, 3), PLEAT_SHAPE_MISMATCH, "loop > choice > sum", "broadcast");
}
END_TEST

START_TEST(slices_of_other_shapes) {
  builder b = build_begin(8, 13);
  model_input(&b, "x", PLEAT_FLOAT, "1");
  INTS_INIT(&b, "trips", "", 3);
  Onnx__GraphProto *body = loop_body(&b, PLEAT_FLOAT, "?");
  build_attr_int(&b, build_node(&b, body, "Concat", "", "s,s", "r"), "axis", 0);
  body_output(&b, body, "r", PLEAT_FLOAT);
  body_output(&b, body, "s", PLEAT_FLOAT);
  add_loop(&b, b.graph, "loop", "trips,,x", "y,all", body);
  model_output(&b, "all", PLEAT_FLOAT, "?");
  assert_place(&b, FLOATS("1", 1), PLEAT_SHAPE_MISMATCH, "loop",
               "output 1: the body gives float[2], but gave float[1] before");
}
END_TEST

START_TEST(scans_of_other_lengths) {
  Onnx__NodeProto *node = NULL;
  builder b = summing_scan(13, "x,long", "2", "2", &node);
  node->attribute[1]->i = 2; /* num_scan_inputs */
  model_input(&b, "x", PLEAT_FLOAT, "2,2");
  noise_init(&b, "long", PLEAT_FLOAT, "3,2", -1, 1);
  assert_no_session(&b, (pleat_session_options){.threads = 1}, PLEAT_SHAPE_MISMATCH, NULL,
                    "scanned input 1 has 3 slices, others have 2");
}
END_TEST

START_TEST(bodies_of_other_counts) {
  builder b = build_begin(8, 13);
  model_input(&b, "x", PLEAT_FLOAT, "2");
  INTS_INIT(&b, "trips", "", 3);
  Onnx__GraphProto *body = loop_body(&b, PLEAT_FLOAT, "2");
  body_output(&b, body, "s", PLEAT_FLOAT);
  add_loop(&b, b.graph, "loop", "trips,,x,x", "y", body);
  model_output(&b, "y", PLEAT_FLOAT, "?");
  assert_no_session(&b, (pleat_session_options){.threads = 1}, PLEAT_MALFORMED_MODEL, NULL,
                    "Loop's body has 3 inputs, expected 4");
}
END_TEST

START_TEST(taps_stay_in_the_main_graph) {
  builder b = doubling_loop("trips,,x");
  INTS_INIT(&b, "trips", "", 3);
  assert_no_session(&b, (pleat_session_options){.taps = (const char *const[]){"d", NULL}}, PLEAT_UNSUPPORTED, "d",
                    "it is inside of a body of node 'loop'");
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("session_flow");
  add_tests(suite, "if",
            (const TTest *const[]){either_branch, branches_of_other_shapes, branches_that_hand_on, nested_branches,
                                   branch_that_fits_other_shapes, NULL});
  add_tests(suite, "loop",
            (const TTest *const[]){loop_of_a_known_count, loop_of_a_count_that_is_given, loop_that_never_starts,
                                   loop_while_a_condition_holds, loop_whose_state_grows,
                                   loop_whose_states_change_places, loop_over_text, nested_loops, NULL});
  add_tests(suite, "scan",
            (const TTest *const[]){scan_forwards_and_backwards, scan_along_other_axes, scan_of_a_batch, NULL});
  add_tests(suite, "failures",
            (const TTest *const[]){errors_name_both_nodes, slices_of_other_shapes, scans_of_other_lengths,
                                   bodies_of_other_counts, taps_stay_in_the_main_graph, NULL});
  return suite;
}

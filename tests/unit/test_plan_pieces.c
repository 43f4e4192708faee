/* Concat, Split and Slice in plans: pieces that are contiguous in the whole take no copy, nested Concats are one
 * buffer, what cannot be shared is copied as ever. Every model here gives bit by bit the results of a plan that hands
 * out every value, and so copies every piece; test_plan_networks.c does the same with random networks. */
#include "model_text.h"
#include "plan_case.h"

static void assert_pieces(const planned *p, const char *step, unsigned in_place, unsigned of) {
  const pleat_step *s = step_named(p, step);
  ck_assert_msg(s->pieces_in_place == in_place && s->piece_count == of, "%s: %u of %u in place", step,
                s->pieces_in_place, s->piece_count);
  ck_assert(s->is_view == (in_place == of));
}

/* ---- Concat ---- */

/* Every layer reads all features so far: one buffer, every Concat a view of it, every layer writes behind the last. */
START_TEST(a_dense_block) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "1,3,6,6");
  add_conv(&b, "stem", "x", 3, 16, 3, "f0");
  char features[64] = "f0";
  for (int i = 1; i <= 4; i++) {
    char concat[8], all[8], act[8], conv[8], made[8];
    snprintf(concat, sizeof concat, "cat%d", i);
    snprintf(all, sizeof all, "all%d", i);
    snprintf(act, sizeof act, "act%d", i);
    snprintf(conv, sizeof conv, "conv%d", i);
    snprintf(made, sizeof made, "f%d", i);
    add_concat(&b, concat, features, all, 1);
    model_node(&b, "Relu", act, all, act);
    add_conv(&b, conv, act, 16 * i, 16, 3, made);
    snprintf(features + strlen(features), sizeof features - strlen(features), ",%s", made);
  }
  add_concat(&b, "cat5", features, "all5", 1);
  model_node(&b, "GlobalAveragePool", "pool", "all5", "y");
  model_output(&b, "y", PLEAT_FLOAT, "?");
  planned p = plan_checked(&b);
  for (unsigned i = 1; i <= 5; i++) {
    char concat[8], all[8], made[8];
    snprintf(concat, sizeof concat, "cat%u", i);
    snprintf(all, sizeof all, "all%u", i);
    snprintf(made, sizeof made, "f%u", i - 1);
    assert_pieces(&p, concat, i, i);
    ck_assert(shares(&p, all, "all5") && place_of(&p, all) == 0);
    ck_assert(shares(&p, made, "all5"));
    ck_assert_uint_eq(place_of(&p, made), (i - 1) * 16u * 36u * 4u);
  }
  ck_assert(!shares(&p, "act3", "all3")); /* a smaller whole is needed by the larger ones: not written over */
  end_plan(&p);
}
END_TEST

/* The skip connection waits in its place for what comes up to meet it. */
START_TEST(a_skip_connection) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "1,3,8,8");
  add_conv(&b, "down", "x", 3, 16, 3, "d");
  model_node(&b, "Sigmoid", "act", "d", "skip");
  Onnx__NodeProto *pool = model_node(&b, "MaxPool", "pool", "skip", "p");
  attr_ints(&b, pool, "kernel_shape", "2,2");
  attr_ints(&b, pool, "strides", "2,2");
  add_conv(&b, "mid", "p", 16, 32, 3, "m");
  noise_init(&b, "up_w", PLEAT_FLOAT, "32,32,2,2", -0.3, 0.3);
  attr_ints(&b, model_node(&b, "ConvTranspose", "up", "m,up_w", "u"), "strides", "2,2");
  add_concat(&b, "cat", "u,skip", "both", 1);
  add_conv(&b, "last", "both", 48, 8, 3, "y");
  model_output(&b, "y", PLEAT_FLOAT, "?");
  planned p = plan_checked(&b);
  assert_pieces(&p, "cat", 2, 2);
  ck_assert(shares(&p, "u", "both") && shares(&p, "skip", "both"));
  ck_assert_uint_eq(place_of(&p, "skip"), 32u * 64u * 4u);
  /* What the piece is computed from, in place, is there as well. */
  ck_assert(shares(&p, "d", "skip") && place_of(&p, "d") == place_of(&p, "skip"));
  end_plan(&p);
}
END_TEST

/* Along channels, samples lie apart: copied with a batch of 2. Along the batch they do not. */
START_TEST(a_batch) {
  builder b = text_model(MODEL_OPSET, "x<2,16,5,5>;w1[16,16,1,1];w2[32,16,1,1];w3[16,48,1,1];w4[16,16,3,3];"
                                      "Conv x,w1 a;Conv x,w2 c;Concat a,c k axis:1;Conv k,w3 d;"
                                      "Conv x,w4 e pads=1,1,1,1;Concat d,e,d s axis:0;GlobalMaxPool s y;>y");
  planned p = plan_checked(&b);
  assert_pieces(&p, "k", 0, 2);
  assert_pieces(&p, "s", 2, 3); /* d's second place is a copy */
  end_plan(&p);
}
END_TEST

/* Only the last piece may leave its block unfilled; dense, any number of channels is contiguous. */
START_TEST(odd_channels) {
  for (int odd_first = 0; odd_first < 2; odd_first++) {
    builder b = build_begin(8, MODEL_OPSET);
    model_input(&b, "x", PLEAT_FLOAT, "1,3,5,5");
    add_conv(&b, "c1", "x", 3, odd_first ? 17 : 32, 3, "a");
    add_conv(&b, "c2", "x", 3, odd_first ? 32 : 17, 3, "c");
    add_concat(&b, "cat", "a,c", "k", 1);
    add_conv(&b, "c3", "k", 49, 16, 3, "y");
    model_output(&b, "y", PLEAT_FLOAT, "?");
    planned p = plan_checked(&b);
    assert_pieces(&p, "cat", 2, 2);
    end_plan(&p);
  }
}
END_TEST

/* A value has one place: in the larger whole; in the same whole twice, in the first. */
START_TEST(a_piece_used_twice) {
  builder b = text_model(MODEL_OPSET, "x<1,4,8>;Sigmoid x a;Neg x c;Abs x e;Concat c,a k1 axis:1;"
                                      "Concat a,e,a k2 axis:1;Exp k1 y1;Exp k2 y2;>y1,y2");
  planned p = plan_checked(&b);
  assert_pieces(&p, "k2", 2, 3);
  assert_pieces(&p, "k1", 1, 2);
  ck_assert(shares(&p, "a", "k2") && place_of(&p, "a") == 0);
  ck_assert(shares(&p, "c", "k1") && !shares(&p, "c", "a"));
  end_plan(&p);
}
END_TEST

/* A whole that is a piece of another one. */
START_TEST(a_whole_inside_of_another) {
  builder b = text_model(MODEL_OPSET, "x<3,4>;Sigmoid x a;Neg x c;Abs x e;Concat a,c k1 axis:0;Concat e,k1 k2 axis:0;"
                                      "Concat k2 k3 axis:0;Transpose k3 y;>y");
  planned p = plan_checked(&b);
  assert_pieces(&p, "k1", 2, 2);
  assert_pieces(&p, "k2", 2, 2);
  assert_pieces(&p, "k3", 1, 1); /* of one piece */
  ck_assert(shares(&p, "c", "k3"));
  ck_assert_uint_eq(place_of(&p, "c"), 24 * 4);
  end_plan(&p);
}
END_TEST

/* What others own is copied into the whole; the rest still goes in place. */
START_TEST(inputs_constants_and_outputs) {
  builder b = text_model(MODEL_OPSET, "x<2,4>;k[1,4];Neg x c;Abs x e;Concat x,c,k,e all axis:0;Exp all y;>y,e");
  planned p = plan_checked(&b);
  assert_pieces(&p, "all", 1, 4);
  ck_assert(shares(&p, "c", "all"));
  end_plan(&p);
}
END_TEST

/* A whole that is an output: its pieces are written into the caller's memory. Twice an output: copied once. */
START_TEST(a_whole_that_is_an_output) {
  builder b = text_model(MODEL_OPSET, "x<2,4>;i{16};Neg x c;Abs x e;Sigmoid c g;Concat e,g y axis:0;Reshape y,i y2;"
                                      ">y,y2");
  planned p = plan_checked(&b);
  assert_pieces(&p, "y", 2, 2);
  ck_assert_int_eq(slot_named(&p, "g")->storage, PLEAT_STORAGE_OUTPUT);
  ck_assert(shares(&p, "c", "y")); /* over which g is written */
  ck_assert_uint_eq(p.plan->arena_bytes, 0);
  end_plan(&p);
}
END_TEST

/* A view that is a piece takes its input there with it; a view of a piece stays with it. */
START_TEST(views_and_pieces) {
  builder b = text_model(MODEL_OPSET, "x<2,8>;square{4,4};i{16};Neg x c;Reshape c,square v;Reshape c,i w;"
                                      "Reshape x,square v2;Concat v,v2 k axis:0;Exp w y2;Transpose k y;>y,y2");
  planned p = plan_checked(&b);
  assert_pieces(&p, "k", 2, 2);
  ck_assert(step_named(&p, "v")->is_view && step_named(&p, "w")->is_view);
  ck_assert(!step_named(&p, "v2")->is_view); /* of an input: has to be copied once */
  ck_assert(shares(&p, "c", "k") && shares(&p, "w", "k"));
  end_plan(&p);
}
END_TEST

/* A view that has a place of its own, of a piece of another whole: copied with what pads its blocks. */
START_TEST(a_view_that_is_copied) {
  builder b = text_model(MODEL_OPSET, "x<1,16,3,3>;w0[16,16,3,3];w1[17,16,3,3];w2[16,16,3,3];w3[16,33,3,3];"
                                      "Conv x,w0 a pads=1,1,1,1;Conv a,w1 c pads=1,1,1,1;Conv a,w2 d pads=1,1,1,1;"
                                      "Identity c c_too;Concat a,c k1 axis:1;Concat d,c_too k2 axis:1;"
                                      "Conv k1,w3 y1 pads=1,1,1,1;Conv k2,w3 y2 pads=1,1,1,1;>y1,y2");
  planned p = plan_checked(&b);
  assert_pieces(&p, "k1", 2, 2);
  assert_pieces(&p, "k2", 2, 2);
  ck_assert(!step_named(&p, "c_too")->is_view);
  end_plan(&p);
}
END_TEST

/* A row of a matrix is read again and again while the result is computed: not over the matrix. */
START_TEST(a_piece_that_is_read_by_broadcast) {
  builder b = text_model(MODEL_OPSET, "x<4,6>;Neg x t;Split t,sizes row,rest axis:0;sizes{1,3};Sub t,row d;"
                                      "Transpose d y;>y");
  planned p = plan_checked(&b);
  ck_assert(shares(&p, "row", "t") && !shares(&p, "d", "t"));
  end_plan(&p);
}
END_TEST

/* A piece, or what shares its bytes, is not written over while the whole is needed; the whole is, when nothing is. */
START_TEST(what_may_be_written_over) {
  builder b = text_model(MODEL_OPSET, "x<2,4>;Neg x a;Abs x c;Concat a,c k axis:0;Relu a ra;Sigmoid k sk;Sub ra,c d;"
                                      "Transpose sk y1;Transpose d y2;>y1,y2");
  planned p = plan_checked(&b);
  assert_pieces(&p, "k", 2, 2);
  ck_assert(!shares(&p, "ra", "a")); /* the Concat reads a at another time than k's readers */
  ck_assert(!shares(&p, "sk", "k")); /* c is read by Sub, later */
  end_plan(&p);
}
END_TEST

START_TEST(a_whole_that_is_written_over) {
  builder b = text_model(MODEL_OPSET, "x<2,4>;Neg x a;Abs x c;Concat a,c k axis:0;Sigmoid k sk;Transpose sk y;>y");
  planned p = plan_checked(&b);
  ck_assert(shares(&p, "sk", "k"));
  ck_assert_uint_eq(p.plan->arena_bytes, 64);
  end_plan(&p);
}
END_TEST

START_TEST(empty_pieces) {
  builder b = text_model(MODEL_OPSET, "x<2,4>;none<0,4>;Neg x a;Neg none a0;Abs x c;Concat none,a,a0,c k axis:0;"
                                      "Transpose k y;>y");
  planned p = plan_checked(&b);
  assert_pieces(&p, "k", 4, 4);
  end_plan(&p);
}
END_TEST

/* ---- Split and Slice ---- */

/* Parts are views; one that is free is written over, one that others read is not. */
START_TEST(a_split) {
  builder b = text_model(MODEL_OPSET, "x<1,3,5,5>;sizes{16,32,16};w1[64,3,3,3];w2[64,32,3,3];w3[8,64,3,3];"
                                      "Conv x,w1 a pads=1,1,1,1;Split a,sizes p,q,r axis:1;Sigmoid p sp;Sigmoid q sq;"
                                      "Concat r,sq,sp k axis:1;Conv q,w2 d pads=1,1,1,1;Add k,d e;"
                                      "Conv e,w3 y pads=1,1,1,1;>y");
  planned p = plan_checked(&b);
  ck_assert(shares(&p, "p", "a") && shares(&p, "q", "a"));
  ck_assert_uint_eq(place_of(&p, "q"), 16u * 25u * 4u);
  ck_assert(!shares(&p, "sq", "q")); /* q is read again */
  assert_pieces(&p, "p", 2, 3);      /* r has its place in k: written there */
  assert_pieces(&p, "k", 3, 3);
  end_plan(&p);
}
END_TEST

START_TEST(a_split_of_an_input) {
  builder b = text_model(MODEL_OPSET, "x<4,6>;Split x p,q axis:0;Split p u,v axis:1;Relu q rq;Concat u,v uv axis:1;"
                                      "Add uv,rq y;>y,p");
  planned p = plan_checked(&b);
  assert_pieces(&p, "p", 1, 2);
  assert_pieces(&p, "u", 0, 2);                                        /* not contiguous */
  ck_assert_int_eq(slot_named(&p, "q")->storage, PLEAT_STORAGE_INPUT); /* and p, handed out, is a copy */
  ck_assert(!shares(&p, "rq", "q"));
  end_plan(&p);
}
END_TEST

/* Split and joined again as it was: nothing moves at all. */
START_TEST(a_split_undone) {
  builder b = text_model(MODEL_OPSET, "x<4,6>;Neg x a;Split a p,q axis:0;Relu p rp;Concat rp,q k axis:0;Transpose k y;"
                                      ">y");
  planned p = plan_checked(&b);
  assert_pieces(&p, "k", 2, 2);
  end_plan(&p);
}
END_TEST

START_TEST(slices) {
  static const struct {
    int axis;
    double from, to, step;
    bool blocked, view; /* what the test's shapes make of it */
  } list[] = {{1, 16, 32, 1, true, true},   {1, 0, 16, 1, true, true},   {1, 32, 99, 1, true, true},
              {1, 8, 24, 1, false, true},   {1, 0, 48, 2, false, false}, {2, 1, 3, 1, true, false},
              {1, 47, 0, -1, false, false}, {3, 0, 99, 1, true, true},   {1, -20, -4, 1, false, true}};
  for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
    builder b = build_begin(8, MODEL_OPSET);
    model_input(&b, "x", PLEAT_FLOAT, "1,3,5,5");
    add_conv(&b, "c1", "x", 3, 48, 3, "a");
    add_slice(&b, "cut", "a", "s", list[i].axis, list[i].from, list[i].to, list[i].step);
    model_node(&b, "Relu", "r", "s", "rs");
    model_node(&b, "GlobalMaxPool", "g1", "rs", "y1");
    model_node(&b, "GlobalMaxPool", "g2", "a", "y2");
    model_output(&b, "y1", PLEAT_FLOAT, "?");
    model_output(&b, "y2", PLEAT_FLOAT, "?");
    planned p = plan_checked(&b);
    const bool has_blocks = slot_named(&p, "a")->tensor.layout != NULL; /* not without kernels that want them */
    ck_assert_msg(step_named(&p, "cut")->is_view == list[i].view, "slice %zu", i);
    ck_assert_msg((slot_named(&p, "s")->tensor.layout != NULL) == (has_blocks && list[i].blocked), "slice %zu", i);
    if (shares(&p, "s", "a")) ck_assert(!shares(&p, "rs", "s")); /* a is read later */
    end_plan(&p);
  }
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  Suite *suite = suite_create("plan_pieces");
  add_tests(suite, "joined",
            (const TTest *const[]){a_dense_block, a_skip_connection, a_batch, odd_channels, a_piece_used_twice,
                                   a_whole_inside_of_another, inputs_constants_and_outputs, a_whole_that_is_an_output,
                                   views_and_pieces, a_view_that_is_copied, a_piece_that_is_read_by_broadcast,
                                   what_may_be_written_over, a_whole_that_is_written_over, empty_pieces, NULL});
  add_tests(suite, "cut", (const TTest *const[]){a_split, a_split_of_an_input, a_split_undone, slices, NULL});
  return suite;
}

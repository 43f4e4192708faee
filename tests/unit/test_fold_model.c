/* The pipeline as a whole: options, rounds, subgraphs, no-ops, dead nodes, constants, and what the exported file keeps.
 */
#include "fold/fold.h"
#include "fold_case.h"

static conv_case plain(void) {
  return with_defaults((conv_case){.x = "1,2,5,5", .w = "3,2,3,3", .bias = true});
}

/* ---- options ---- */

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static size_t norms_after(const pleat_model *model, const char *const *only, const char *const *skip) {
  pleat_fold_options options = PLEAT_FOLD_OPTIONS_INIT;
  pleat_fold_report *report = NULL;
  options.only = only;
  options.skip = skip;
  ASSERT_OK(pleat_model_fold(model, &options, NULL, &report, error));
  size_t count = report->norms_after;
  pleat_fold_report_destroy(report);
  return count;
}

START_TEST(only_and_skip) {
  builder b = conv_bn(plain());
  pleat_model *model = build_model(&b);
  ck_assert_uint_eq(norms_after(model, LIST("fold-into-producer"), NULL), 0);
  ck_assert_uint_eq(norms_after(model, LIST("fold-into-consumer", "remove-dead"), NULL), 1);
  ck_assert_uint_eq(norms_after(model, NULL, LIST("fold-into-producer")), 1);
  ck_assert_uint_eq(norms_after(model, NULL, LIST("fold-into-consumer")), 0);
  ck_assert_uint_eq(norms_after(model, LIST("fold-into-producer"), LIST("fold-into-producer")), 1);
  ck_assert_uint_eq(norms_after(model, LIST("bn"), NULL), 0); /* nodes as well */
  ck_assert_uint_eq(norms_after(model, LIST("conv"), NULL), 1);
  ck_assert_uint_eq(norms_after(model, NULL, LIST("bn")), 1);
  ck_assert_uint_eq(norms_after(model, LIST("bn", "fold-into-consumer"), NULL), 1);
  pleat_model_release(model);
}
END_TEST

START_TEST(unknown_pass) {
  builder b = conv_bn(plain());
  pleat_model *model = build_model(&b), *folded = NULL;
  pleat_fold_report *report = NULL;
  pleat_fold_options options = PLEAT_FOLD_OPTIONS_INIT;
  for (int i = 0; i < 2; i++) {
    pleat_error error = PLEAT_ERROR_INIT;
    const char *const names[] = {"fold-into-producer", "no-such-pass", NULL};
    options.only = i == 0 ? names : NULL;
    options.skip = i == 1 ? names : NULL;
    pleat_status status = pleat_model_fold(model, &options, &folded, &report, &error);
    assert_error(&error, status, PLEAT_INVALID_ARGUMENT, NULL, "there is no pass and no node 'no-such-pass'");
    ck_assert_ptr_null(folded);
    ck_assert_ptr_null(report);
  }
  pleat_model_release(model);
}
END_TEST

START_TEST(arguments_may_be_null) {
  pleat_error error = PLEAT_ERROR_INIT;
  builder b = conv_bn(plain());
  pleat_model *model = build_model(&b), *folded = NULL;
  ck_assert_int_eq(pleat_model_fold(NULL, NULL, &folded, NULL, &error), PLEAT_INVALID_ARGUMENT);
  ck_assert_int_eq(pleat_model_fold(model, NULL, NULL, NULL, NULL), PLEAT_OK);
  ck_assert_int_eq(pleat_model_fold(model, NULL, &folded, NULL, NULL), PLEAT_OK);
  pleat_model_release(folded);
  pleat_fold_report_destroy(NULL);
  pleat_model_release(model);
}
END_TEST

START_TEST(passes_are_listed) {
  size_t count = 0;
  for (; pleat_fold_pass_name(count) != NULL; count++) {
    ck_assert_str_ne(pleat_fold_pass_name(count), "");
    ck_assert_str_ne(pleat_fold_pass_summary(count), "");
    for (size_t k = 0; k < count; k++) ck_assert_str_ne(pleat_fold_pass_name(k), pleat_fold_pass_name(count));
  }
  ck_assert_uint_ge(count, 5);
  ck_assert_ptr_null(pleat_fold_pass_summary(count));
}
END_TEST

/* ---- the file that comes out ---- */

START_TEST(folding_twice_changes_nothing) {
  conv_case c = plain();
  builder b = conv_bn(c);
  pleat_fold_report *report = NULL;
  model_node(&b, "Identity", "id", "y", "y1");
  model_node(&b, "Relu", "relu", "y1", "z");
  bn_node(&b, b.graph, "kept", "z,scale,beta,mean,var", "y2", MODEL_OPSET);
  model_output(&b, "y2", c.dtype, "?");
  pleat_model *model = build_model(&b), *once = fold_model(model, NULL, NULL), *twice = fold_model(once, NULL, &report);
  assert_same_bytes(once, twice);
  ck_assert_uint_eq(report->nodes_before, report->nodes_after);
  for (size_t i = 0; i < report->entry_count; i++) ck_assert_int_eq(report->entries[i].action, PLEAT_FOLD_KEPT);
  pleat_fold_report_destroy(report);
  pleat_model_release(model);
  pleat_model_release(once);
  pleat_model_release(twice);
}
END_TEST

static void *packed(const ProtobufCMessage *message, size_t *out_size) {
  void *data = malloc(protobuf_c_message_get_packed_size(message) + 1);
  *out_size = protobuf_c_message_pack(message, data);
  return data;
}
static void assert_same_message(const ProtobufCMessage *a, const ProtobufCMessage *b) {
  size_t a_size, b_size;
  void *a_data = packed(a, &a_size), *b_data = packed(b, &b_size);
  ck_assert_uint_eq(a_size, b_size);
  ck_assert_mem_eq(a_data, b_data, a_size);
  free(a_data);
  free(b_data);
}

START_TEST(the_rest_is_kept) {
  conv_case c = plain();
  builder b = conv_bn(c);
  b.model->doc_string = build_text(&b, "about the model");
  b.model->producer_name = build_text(&b, "tests");
  b.graph->doc_string = build_text(&b, "about the graph");
  b.graph->node[0]->doc_string = build_text(&b, "about the convolution");
  noise_init(&b, "k", c.dtype, "1,3,1,1", 0, 1);
  model_node(&b, "Max", "max", "y,k", "m")->doc_string = build_text(&b, "about the maximum");
  model_node(&b, "Relu", "relu", "m", "z");
  model_output(&b, "z", c.dtype, "1,3,3,3");
  model_value_info(&b, "c", c.dtype, "1,3,3,3");
  model_value_info(&b, "m", c.dtype, "1,3,3,3");
  pleat_model *model = build_model(&b), *folded = fold_model(model, NULL, NULL);
  const Onnx__GraphProto *before = model->message->graph, *after = folded->message->graph;
  ck_assert_str_eq(folded->message->doc_string, "about the model");
  ck_assert_str_eq(folded->message->producer_name, "tests");
  ck_assert_str_eq(after->doc_string, "about the graph");
  ck_assert_uint_eq(after->n_node, 3);
  ck_assert_str_eq(after->node[0]->doc_string, "about the convolution");
  assert_same_message(&before->node[2]->base, &after->node[1]->base);
  assert_same_message(&before->node[3]->base, &after->node[2]->base);
  assert_same_message(&before->input[0]->base, &after->input[0]->base);
  ck_assert_uint_eq(after->n_output, 2);
  for (size_t i = 0; i < 2; i++) assert_same_message(&before->output[i]->base, &after->output[i]->base);
  assert_same_message(&initializer_named(model, "k")->base, &initializer_named(folded, "k")->base);
  ck_assert_uint_eq(after->n_value_info, 1); /* the convolution's own output is gone */
  ck_assert_str_eq(after->value_info[0]->name, "m");
  ck_assert_ptr_null(initializer_named(folded, "w"));
  ck_assert_ptr_null(initializer_named(folded, "var"));
  pleat_model_release(model);
  pleat_model_release(folded);
}
END_TEST

/* A model without anything to fold comes out byte for byte. */
START_TEST(nothing_to_do) {
  builder b = build_if_model();
  pleat_model *model = build_model(&b), *folded = fold_model(model, NULL, NULL);
  assert_same_bytes(model, folded);
  pleat_model_release(model);
  pleat_model_release(folded);
}
END_TEST

/* Below IR version 4 every initializer is a graph input too; the folded ones as well, the old ones no more. */
START_TEST(ir_3_lists_initializers_as_inputs) {
  conv_case c = plain();
  c.ir = 3;
  builder b = conv_bn(c);
  for (size_t i = 0; i < b.graph->n_initializer; i++) {
    Onnx__TensorProto *tensor = b.graph->initializer[i];
    ADD(&b, b.graph->input, b.graph->n_input, build_info(&b, tensor->name, c.dtype, (int)tensor->n_dims, tensor->dims));
  }
  pleat_model *model = build_model(&b);
  pleat_model *folded = assert_folds(model, "fold-into-producer", "bn", "conv", 1);
  const Onnx__GraphProto *graph = folded->message->graph;
  ck_assert_uint_eq(graph->n_initializer, 2);
  ck_assert_uint_eq(graph->n_input, 3);
  ck_assert_str_eq(graph->input[0]->name, "x");
  for (size_t i = 1; i < 3; i++) ck_assert_ptr_nonnull(initializer_named(folded, graph->input[i]->name));
  assert_same_values(model, folded, c.x, c.dtype, 1e-12);
  pleat_model_release(model);
  pleat_model_release(folded);
}
END_TEST

/* ---- subgraphs ---- */

/* If(cond) { BN(Conv(x)) with weights from outside } else { Identity-free BN(x) }. */
START_TEST(norm_in_a_subgraph) {
  conv_case c = plain();
  builder b = build_begin(c.ir, c.opset);
  model_input(&b, "cond", PLEAT_BOOL, "");
  model_input(&b, "x", c.dtype, "1,3,4,4");
  noise_init(&b, "w", c.dtype, "3,3,1,1", -1, 1);
  add_parameters(&b, "", c.dtype, 3);
  Onnx__NodeProto *node = model_node(&b, "If", "if", "cond", "y");
  Onnx__GraphProto *then = build_graph(&b, "then"), *otherwise = build_graph(&b, "otherwise");
  build_node(&b, then, "Conv", "conv", "x,w", "tc");
  bn_node(&b, then, "bn", "tc,scale,beta,mean,var", "ty", c.opset);
  ADD(&b, then->output, then->n_output, info_of(&b, "ty", c.dtype, "?"));
  bn_node(&b, otherwise, "bn2", "x,scale,beta,mean,var", "oy", c.opset);
  ADD(&b, otherwise->output, otherwise->n_output, info_of(&b, "oy", c.dtype, "?"));
  build_attr_graph(&b, node, "then_branch", then);
  build_attr_graph(&b, node, "else_branch", otherwise);
  model_output(&b, "y", c.dtype, "?");
  pleat_fold_report *report = NULL;
  pleat_model *model = build_model(&b), *folded = fold_model(model, NULL, &report);
  ck_assert_uint_eq(report->norms_before, 2);
  ck_assert_uint_eq(report->norms_after, 1);
  ck_assert_uint_eq(report->nodes_before, 4);
  ck_assert_uint_eq(report->nodes_after, 3);
  ck_assert_str_eq(entry_of_node(report, "bn")->target, "conv");
  ck_assert_int_eq(entry_of_node(report, "bn2")->action, PLEAT_FOLD_KEPT);
  const Onnx__GraphProto *branch = folded->message->graph->node[0]->attribute[0]->g;
  ck_assert_uint_eq(branch->n_node, 1);
  ck_assert_uint_eq(branch->n_initializer, 2);
  ck_assert_str_eq(branch->node[0]->output[0], "ty");
  ck_assert_str_eq(branch->node[0]->input[1], branch->initializer[0]->name);
  ck_assert_str_eq(branch->node[0]->input[2], branch->initializer[1]->name);
  ck_assert_ptr_null(initializer_named(folded, "w")); /* nothing reads it any more */
  ck_assert_ptr_nonnull(initializer_named(folded, "scale"));
  pleat_tensor *w = stored(model, "w"), *new_w = NULL;
  ASSERT_OK(pleat_tensor_from_proto(pleat_model_proto(folded), branch->initializer[0], &new_w, error));
  for (size_t i = 0; i < w->count; i++) {
    double scale, shift;
    map_of(model, i / 3, &scale, &shift);
    assert_rounded(new_w, i, scale * pleat_load_f64(w->dtype, w->data, i));
  }
  pleat_tensor_release(w);
  pleat_tensor_release(new_w);
  pleat_fold_report_destroy(report);
  pleat_model_release(model);
  pleat_model_release(folded);
}
END_TEST

/* A BN whose convolution is outside of its subgraph stays. */
START_TEST(norm_of_an_outer_convolution) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "cond", PLEAT_BOOL, "");
  model_input(&b, "x", PLEAT_FLOAT, "1,3,4,4");
  noise_init(&b, "w", PLEAT_FLOAT, "3,3,1,1", -1, 1);
  add_parameters(&b, "", PLEAT_FLOAT, 3);
  model_node(&b, "Conv", "conv", "x,w", "c");
  Onnx__NodeProto *node = model_node(&b, "If", "if", "cond", "y");
  for (int i = 0; i < 2; i++) {
    Onnx__GraphProto *branch = build_graph(&b, "branch");
    const char *out = i == 0 ? "ty" : "ey";
    if (i == 0) bn_node(&b, branch, "bn", "c,scale,beta,mean,var", out, MODEL_OPSET);
    else build_node(&b, branch, "Relu", "relu", "x", out);
    ADD(&b, branch->output, branch->n_output, info_of(&b, out, PLEAT_FLOAT, "?"));
    build_attr_graph(&b, node, i == 0 ? "then_branch" : "else_branch", branch);
  }
  model_output(&b, "y", PLEAT_FLOAT, "?");
  assert_kept(&b, "bn", "its input 'c' comes from outside of this subgraph");
}
END_TEST

/* ---- the record of values ---- */

static const char *record_of(const pleat_model *model) {
  for (size_t i = 0; i < model->message->n_metadata_props; i++) {
    if (strcmp(model->message->metadata_props[i]->key, PLEAT_FOLD_RECORD_KEY) == 0) {
      return model->message->metadata_props[i]->value;
    }
  }
  return "";
}

/* What a value became is followed through all that happened to it, and names that came and went are not told. */
START_TEST(record_follows_chains) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "1,3,4,4");
  noise_init(&b, "w", PLEAT_FLOAT, "3,3,1,1", -1, 1);
  add_parameters(&b, "", PLEAT_FLOAT, 3);
  model_node(&b, "Conv", "conv", "x,w", "c");
  bn_node(&b, b.graph, "bn", "c,scale,beta,mean,var", "n", MODEL_OPSET);
  model_node(&b, "Identity", "id", "n", "i");
  bn_node(&b, b.graph, "bn2", "i,scale,beta,mean,var", "m", MODEL_OPSET);
  model_node(&b, "Relu", "relu", "m", "r");
  model_node(&b, "Conv", "conv2", "r,w", "d");
  bn_node(&b, b.graph, "bn3", "d,scale,beta,mean,var", "y", MODEL_OPSET);
  model_output(&b, "y", PLEAT_FLOAT, "?");
  pleat_model *model = build_model(&b), *folded = fold_model(model, NULL, NULL);
  ck_assert_uint_eq(folded->message->graph->n_node, 3);
  ck_assert_str_eq(record_of(folded), "c\tm\nd\ty\n");
  pleat_model *again = fold_model(folded, NULL, NULL); /* nothing new happens to it */
  ck_assert_str_eq(record_of(again), record_of(folded));
  pleat_fold_options options = {.size = sizeof options, .no_record = true};
  pleat_model *silent = fold_model(model, &options, NULL);
  ck_assert_str_eq(record_of(silent), "");
  pleat_model_release(silent);
  pleat_model_release(again);
  pleat_model_release(folded);
  pleat_model_release(model);
}
END_TEST

/* ---- remove-noops ---- */

/* x -> Relu -> (the nodes) -> y; how many nodes are left, and that the values stay. */
static void check_noops(builder *b, size_t nodes_left) {
  pleat_model *model = build_model(b), *folded = fold_model(model, NULL, NULL);
  ck_assert_uint_eq(folded->message->graph->n_node, nodes_left);
  ck_assert_str_eq(folded->message->graph->output[0]->name, "y");
  assert_same_values(model, folded, "2,3", PLEAT_FLOAT, 0);
  pleat_model_release(model);
  pleat_model_release(folded);
}
static builder begin_noops(int64_t opset) {
  builder b = build_begin(8, opset);
  model_input(&b, "x", PLEAT_FLOAT, "2,3");
  model_node(&b, "Relu", "relu", "x", "r");
  model_output(&b, "y", PLEAT_FLOAT, "?");
  return b;
}

START_TEST(identity_chain_to_an_output) {
  builder b = begin_noops(MODEL_OPSET);
  model_node(&b, "Identity", "id1", "r", "i1");
  model_node(&b, "Identity", "id2", "i1", "i2");
  model_node(&b, "Identity", "id3", "i2", "y");
  check_noops(&b, 1);
}
END_TEST

START_TEST(identity_in_the_middle) {
  builder b = begin_noops(MODEL_OPSET);
  model_node(&b, "Identity", "id1", "r", "i1");
  model_node(&b, "Neg", "neg", "i1", "n");
  model_node(&b, "Add", "add", "n,i1", "y");
  check_noops(&b, 3);
}
END_TEST

/* An input, an initializer, and a value that is an output already cannot take another output's name. */
START_TEST(identities_that_must_stay) {
  builder b = build_begin(8, MODEL_OPSET);
  pleat_tensor *outputs[5] = {NULL};
  model_input(&b, "x", PLEAT_FLOAT, "2");
  model_init(&b, "k", PLEAT_FLOAT, "2", (double[]){5, 6});
  model_node(&b, "Identity", "of_input", "x", "y1");
  model_node(&b, "Identity", "of_initializer", "k", "y2");
  model_node(&b, "Relu", "relu", "x", "y3");
  model_node(&b, "Identity", "of_output", "y3", "y4");
  model_node(&b, "Identity", "gone", "x", "i");
  model_node(&b, "Neg", "neg", "i", "y5");
  for (int i = 1; i <= 5; i++) model_output(&b, ((const char *[]){"", "y1", "y2", "y3", "y4", "y5"})[i], 1, "?");
  pleat_model *model = build_model(&b), *folded = fold_model(model, NULL, NULL);
  ck_assert_uint_eq(folded->message->graph->n_node, 5);
  pleat_session *session = session_with(folded, (pleat_session_options){0});
  pleat_tensor *x = FLOATS("2", -1, 2);
  run_session(session, &x, outputs);
  ASSERT_TENSOR(outputs[0], "float[2]", -1, 2);
  ASSERT_TENSOR(outputs[1], "float[2]", 5, 6);
  ASSERT_TENSOR(outputs[2], "float[2]", 0, 2);
  ASSERT_TENSOR(outputs[3], "float[2]", 0, 2);
  ASSERT_TENSOR(outputs[4], "float[2]", 1, -2);
  for (size_t i = 0; i < 5; i++) pleat_tensor_release(outputs[i]);
  pleat_session_destroy(session);
  pleat_model_release(model);
  pleat_model_release(folded);
}
END_TEST

/* r -> Dropout -> y, and Neg before the output so that the Dropout is in the middle. */
static void check_dropout(int64_t opset, int is_test, const char *inputs, bool training, size_t nodes_left) {
  builder b = begin_noops(opset);
  model_init(&b, "ratio", PLEAT_FLOAT, "", (double[]){0.25});
  model_init(&b, "mode", PLEAT_BOOL, "", (double[]){training});
  Onnx__NodeProto *drop = model_node(&b, "Dropout", "drop", inputs, "d");
  if (is_test >= 0) build_attr_int(&b, drop, "is_test", is_test);
  model_node(&b, "Neg", "neg", "d", "y");
  pleat_model *model = build_model(&b), *folded = fold_model(model, NULL, NULL);
  ck_assert_msg(folded->message->graph->n_node == nodes_left, "opset %d: %zu nodes are left", (int)opset,
                folded->message->graph->n_node);
  assert_same_values(model, folded, "2,3", PLEAT_FLOAT, 0);
  pleat_model_release(model);
  pleat_model_release(folded);
}

START_TEST(dropout_of_every_opset) {
  check_dropout(1, 1, "r", false, 2);
  check_dropout(6, 1, "r", false, 2);
  check_dropout(6, 0, "r", false, 2); /* inference all the same: see ops/dropout.c */
  check_dropout(6, -1, "r", false, 2);
  check_dropout(7, -1, "r", false, 2);
  check_dropout(10, -1, "r", false, 2);
  check_dropout(12, -1, "r", false, 2);
  check_dropout(13, -1, "r,ratio", false, 2);
  check_dropout(13, -1, "r,ratio,mode", false, 2);
  check_dropout(13, -1, "r,,mode", false, 2);
  check_dropout(13, -1, "r,ratio,mode", true, 3);
  check_dropout(22, -1, "r,ratio,mode", true, 3);
}
END_TEST

/* Pad by nothing goes, Pad by something stays. */
START_TEST(pad_by_nothing) {
  static const struct {
    int64_t opset;
    double amounts[4];
    size_t nodes_left;
  } cases[] = {{2, {0, 0, 0, 0}, 2}, {2, {0, 0, 0, 1}, 3}, {13, {0, 0, 0, 0}, 2}, {13, {0, -1, 0, 0}, 3}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    builder b = begin_noops(cases[i].opset < 6 ? 6 : cases[i].opset);
    const bool as_input = cases[i].opset >= 11;
    if (as_input) model_init(&b, "amounts", PLEAT_INT64, "4", cases[i].amounts);
    Onnx__NodeProto *pad = model_node(&b, "Pad", "pad", as_input ? "r,amounts" : "r", "d");
    if (!as_input) attr_ints(&b, pad, "pads", cases[i].amounts[3] > 0 ? "0,0,0,1" : "0,0,0,0");
    model_node(&b, "Neg", "neg", "d", "y");
    pleat_model *model = build_model(&b), *folded = fold_model(model, NULL, NULL);
    ck_assert_uint_eq(folded->message->graph->n_node, cases[i].nodes_left);
    assert_same_values(model, folded, "2,3", PLEAT_FLOAT, 0);
    pleat_model_release(model);
    pleat_model_release(folded);
  }
}
END_TEST

START_TEST(dropout_with_a_mask) {
  for (int used = 0; used < 2; used++) {
    builder b = begin_noops(MODEL_OPSET);
    model_node(&b, "Dropout", "drop", "r", "d,mask");
    model_node(&b, "Neg", "neg", "d", "n");
    if (used) {
      model_node(&b, "Not", "not", "mask", "none");
      build_attr_int(&b, model_node(&b, "Cast", "cast", "none", "zero"), "to", PLEAT_FLOAT);
      model_node(&b, "Add", "add", "n,zero", "y");
    } else {
      model_node(&b, "Abs", "abs", "n", "y");
    }
    check_noops(&b, used ? 6 : 3);
  }
}
END_TEST

/* The mode is an input: only a run knows. */
START_TEST(dropout_with_a_computed_mode) {
  builder b = begin_noops(MODEL_OPSET);
  model_init(&b, "ratio", PLEAT_FLOAT, "", (double[]){0.25});
  model_input(&b, "mode", PLEAT_BOOL, "");
  model_node(&b, "Dropout", "drop", "r,ratio,mode", "d");
  model_node(&b, "Neg", "neg", "d", "y");
  pleat_model *model = build_model(&b), *folded = fold_model(model, NULL, NULL);
  assert_same_bytes(model, folded);
  pleat_model_release(model);
  pleat_model_release(folded);
}
END_TEST

/* ---- remove-dead and fold-constants ---- */

START_TEST(dead_chains_go) {
  builder b = begin_noops(MODEL_OPSET);
  pleat_fold_report *report = NULL;
  noise_init(&b, "k", PLEAT_FLOAT, "3", 0, 1);
  model_node(&b, "Add", "dead1", "r,k", "a");
  model_node(&b, "Neg", "dead2", "a", "n");
  model_node(&b, "Abs", "alive", "r", "y");
  pleat_model *model = build_model(&b), *folded = fold_model(model, NULL, &report);
  ck_assert_uint_eq(folded->message->graph->n_node, 2);
  ck_assert_uint_eq(folded->message->graph->n_initializer, 0);
  ck_assert_uint_eq(report->entry_count, 2);
  ck_assert_str_eq(entry_of_node(report, "dead1")->pass, "remove-dead");
  ck_assert_str_eq(entry_of_node(report, "dead2")->reason, "nothing uses its result");
  pleat_fold_report_destroy(report);
  pleat_model_release(model);
  pleat_model_release(folded);
}
END_TEST

/* Constants are computed for sessions, and left alone in files. */
START_TEST(constants_in_sessions_only) {
  builder b = begin_noops(MODEL_OPSET);
  model_init(&b, "k", PLEAT_FLOAT, "3", (double[]){1, 2, 3});
  model_node(&b, "Neg", "neg", "k", "n");
  model_node(&b, "Exp", "exp", "n", "e");
  model_node(&b, "Add", "add", "r,e", "y");
  pleat_model *model = build_model(&b), *folded = fold_model(model, NULL, NULL);
  assert_same_bytes(model, folded);
  pleat_session *session = session_with(model, (pleat_session_options){0});
  pleat_plan_info *info = NULL;
  ASSERT_OK(pleat_session_plan(session, NULL, 0, &info, error));
  ck_assert_uint_eq(info->step_count, 2);
  ck_assert_str_eq(info->steps[1].node, "add");
  pleat_plan_info_destroy(info);
  pleat_session_destroy(session);
  session = session_with(model, (pleat_session_options){.no_fold = true});
  ASSERT_OK(pleat_session_plan(session, NULL, 0, &info, error));
  ck_assert_uint_eq(info->step_count, 4);
  pleat_plan_info_destroy(info);
  pleat_session_destroy(session);
  assert_same_values(model, folded, "2,3", PLEAT_FLOAT, 0);
  pleat_model_release(model);
  pleat_model_release(folded);
}
END_TEST

/* Nodes without names are called as they were before anything was removed. */
START_TEST(labels_are_of_the_original_graph) {
  conv_case c = plain();
  builder b = conv_bn(c);
  pleat_fold_report *report = NULL;
  b.graph->node[0]->name = b.graph->node[1]->name = build_text(&b, "");
  model_node(&b, "Sigmoid", "", "y", "r");
  bn_node(&b, b.graph, "", "r,scale,beta,mean,var", "z", c.opset);
  b.graph->output[0]->name = build_text(&b, "z");
  pleat_model *model = build_model(&b);
  ASSERT_OK(pleat_model_fold(model, NULL, NULL, &report, error));
  ck_assert_uint_eq(report->entry_count, 2);
  ck_assert_str_eq(entry_of_node(report, "BatchNormalization#1")->target, "Conv#0");
  ck_assert_int_eq(entry_of_node(report, "BatchNormalization#3")->action, PLEAT_FOLD_KEPT);
  pleat_fold_report_destroy(report);
  pleat_model_release(model);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("fold_model");
  add_tests(suite, "options",
            (const TTest *const[]){only_and_skip, unknown_pass, arguments_may_be_null, passes_are_listed, NULL});
  add_tests(suite, "file",
            (const TTest *const[]){folding_twice_changes_nothing, the_rest_is_kept, nothing_to_do,
                                   record_follows_chains, ir_3_lists_initializers_as_inputs,
                                   labels_are_of_the_original_graph, NULL});
  add_tests(suite, "subgraphs", (const TTest *const[]){norm_in_a_subgraph, norm_of_an_outer_convolution, NULL});
  add_tests(suite, "noops",
            (const TTest *const[]){identity_chain_to_an_output, identity_in_the_middle, identities_that_must_stay,
                                   dropout_of_every_opset, dropout_with_a_mask, dropout_with_a_computed_mode,
                                   pad_by_nothing, NULL});
  add_tests(suite, "dead_and_constant", (const TTest *const[]){dead_chains_go, constants_in_sessions_only, NULL});
  return suite;
}

/* Plans and shapes: one session with many shapes, shapes that only the data tells, empty tensors, and outputs that no
 * node computes. Every model runs folded and as it is in the file. */
#include "model_builder.h"
#include "session/session_private.h"

/* A case runs twice, the second time without folding and constants. */
#define BOTH_WAYS(options)                                                                                             \
  for (pleat_session_options options = {.threads = 1}; options.threads <= 1;                                           \
       options.threads += options.no_fold, options.no_fold = true)

static void release_all(pleat_tensor **tensors, size_t count) {
  for (size_t i = 0; i < count; i++) pleat_tensor_release(tensors[i]);
}

/* ---- many shapes ---- */

static builder symbolic_model(void) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "N,3");
  model_init(&b, "k", PLEAT_FLOAT, "3", (double[]){1, 2, 3});
  model_node(&b, "Relu", "relu", "x", "r");
  model_node(&b, "Add", "add", "r,k", "a");
  INTS_INIT(&b, "flat", "1", -1);
  model_node(&b, "Reshape", "reshape", "a,flat", "y");
  model_output(&b, "y", PLEAT_FLOAT, "?");
  return b;
}

static void run_rows(pleat_session *session, int64_t rows) {
  char shape[32];
  snprintf(shape, sizeof shape, "%lld,3", (long long)rows);
  pleat_tensor *x = make_tensor(PLEAT_FLOAT, shape, NULL);
  for (size_t i = 0; i < x->count; i++) ((float *)x->data)[i] = (float)i - 4;
  pleat_tensor *y = run_one(session, x);
  ck_assert_int_eq(y->rank, 1);
  ck_assert_int_eq(y->dims[0], 3 * rows);
  for (size_t i = 0; i < y->count; i++) {
    float expected = ((float)i > 4 ? (float)i - 4 : 0) + (float)(i % 3 + 1);
    if (((const float *)y->data)[i] != expected) ck_abort_msg("rows %d, element %zu", (int)rows, i);
  }
  pleat_tensor_release(y);
}

static size_t cached_plans(const pleat_session *session) {
  size_t count = 0;
  for (const pleat_cached_plan *plan = session->plans; plan != NULL; plan = plan->next) count++;
  return count;
}

START_TEST(many_shapes_in_one_session) {
  BOTH_WAYS(options) {
    builder b = symbolic_model();
    pleat_session *session = session_from(&b, options);
    for (int64_t rows = 0; rows < 6; rows++) run_rows(session, rows);
    for (int64_t rows = 6; rows-- > 0;) run_rows(session, rows);
    ck_assert_uint_eq(cached_plans(session), 6);
    pleat_session_destroy(session);
  }
}
END_TEST

START_TEST(old_plans_are_dropped) {
  builder b = symbolic_model();
  pleat_session *session = session_from(&b, (pleat_session_options){0});
  for (int64_t rows = 1; rows <= 40; rows++) {
    run_rows(session, rows);
    run_rows(session, 1); /* used all the time: it stays */
  }
  ck_assert_uint_eq(cached_plans(session), PLEAT_LIMIT_CACHED_PLANS);
  bool found = false;
  for (const pleat_cached_plan *plan = session->plans; plan != NULL; plan = plan->next) {
    found = found || plan->plan->input_shapes[0].dims[0] == 1;
    ck_assert(plan->plan->input_shapes[0].dims[0] == 1 || plan->plan->input_shapes[0].dims[0] > 25);
  }
  ck_assert(found);
  run_rows(session, 3);
  pleat_session_destroy(session);
}
END_TEST

/* ---- shapes that the data tells ---- */

/* Gather(x, Transpose(NonZero(x))): the elements that are not zero, one after another. */
START_TEST(nonzero_and_gather) {
  BOTH_WAYS(options) {
    builder b = build_begin(8, MODEL_OPSET);
    model_input(&b, "x", PLEAT_FLOAT, "N");
    model_node(&b, "NonZero", "nonzero", "x", "i");
    attr_ints(&b, model_node(&b, "Transpose", "transpose", "i", "t"), "perm", "1,0");
    model_node(&b, "GatherND", "gather", "x,t", "g");
    model_node(&b, "Neg", "neg", "g", "y");
    model_output(&b, "y", PLEAT_FLOAT, "?");
    pleat_session *session = session_from(&b, options);
    pleat_tensor *y = run_one(session, FLOATS("5", 0, 3, 0, -2, 7));
    ASSERT_TENSOR(y, "float[3]", -3, 2, -7);
    pleat_tensor_release(y);
    y = run_one(session, FLOATS("5", 1, 2, 3, 4, 5)); /* the same plan, larger buffers */
    ASSERT_TENSOR(y, "float[5]", -1, -2, -3, -4, -5);
    pleat_tensor_release(y);
    y = run_one(session, FLOATS("5", 0, 0, 0, 0, 0));
    ASSERT_TENSOR(y, "float[0]", 0);
    pleat_tensor_release(y);
    pleat_session_destroy(session);
  }
}
END_TEST

START_TEST(range_of_computed_limits) {
  BOTH_WAYS(options) {
    builder b = build_begin(8, MODEL_OPSET);
    model_input(&b, "x", PLEAT_INT64, "3");
    model_init(&b, "zero", PLEAT_INT64, "", (double[]){0});
    model_init(&b, "one", PLEAT_INT64, "", (double[]){1});
    build_attr_int(&b, model_node(&b, "ReduceMax", "max", "x", "m"), "keepdims", 0);
    model_node(&b, "Range", "range", "zero,m,one", "r");
    model_node(&b, "Mul", "mul", "r,r", "y");
    model_output(&b, "y", PLEAT_INT64, "?");
    pleat_session *session = session_from(&b, options);
    pleat_tensor *y = run_one(session, INT64S("3", 2, 4, 1));
    ASSERT_TENSOR(y, "int64[4]", 0, 1, 4, 9);
    pleat_tensor_release(y);
    y = run_one(session, INT64S("3", -1, -3, 0));
    ASSERT_TENSOR(y, "int64[0]", 0);
    pleat_tensor_release(y);
    pleat_session_destroy(session);
  }
}
END_TEST

START_TEST(reshape_to_a_given_shape) {
  BOTH_WAYS(options) {
    builder b = build_begin(8, MODEL_OPSET);
    model_input(&b, "x", PLEAT_FLOAT, "6");
    model_input(&b, "shape", PLEAT_INT64, "2");
    model_node(&b, "Relu", "relu", "x", "r");
    model_node(&b, "Reshape", "reshape", "r,shape", "z");
    build_attr_int(&b, model_node(&b, "ReduceSum", "sum", "z", "s"), "keepdims", 0); /* of a known shape again */
    model_node(&b, "Add", "add", "z,s", "y");
    model_output(&b, "y", PLEAT_FLOAT, "?");
    model_output(&b, "s", PLEAT_FLOAT, "?");
    pleat_session *session = session_from(&b, options);
    pleat_tensor *outputs[2];
    run_session(session, (pleat_tensor *[]){FLOATS("6", 1, 2, 3, 4, 5, -6), INT64S("2", 2, -1)}, outputs);
    ASSERT_TENSOR(outputs[0], "float[2,3]", 16, 17, 18, 19, 20, 15);
    ASSERT_TENSOR(outputs[1], "float[]", 15);
    release_all(outputs, 2);
    run_session(session, (pleat_tensor *[]){FLOATS("6", 1, 0, 0, 0, 0, 0), INT64S("2", 6, 1)}, outputs);
    ASSERT_TENSOR(outputs[0], "float[6,1]", 2, 1, 1, 1, 1, 1);
    release_all(outputs, 2);
    outputs[0] = outputs[1] = NULL;
    assert_no_run(session, (pleat_tensor *[]){FLOATS("6", 1, 0, 0, 0, 0, 0), INT64S("2", 4, 2)}, outputs,
                  PLEAT_SHAPE_MISMATCH, NULL, "");
    ck_assert_ptr_null(outputs[0]);
    pleat_session_destroy(session);
  }
}
END_TEST

START_TEST(top_k_of_a_given_k) {
  BOTH_WAYS(options) {
    builder b = build_begin(8, MODEL_OPSET);
    model_input(&b, "x", PLEAT_FLOAT, "4");
    model_input(&b, "k", PLEAT_INT64, "1");
    model_node(&b, "TopK", "topk", "x,k", "y,i");
    model_output(&b, "y", PLEAT_FLOAT, "?");
    model_output(&b, "i", PLEAT_INT64, "?");
    pleat_session *session = session_from(&b, options);
    pleat_tensor *outputs[2];
    run_session(session, (pleat_tensor *[]){FLOATS("4", 1, 4, 2, 3), INT64S("1", 2)}, outputs);
    ASSERT_TENSOR(outputs[0], "float[2]", 4, 3);
    ASSERT_TENSOR(outputs[1], "int64[2]", 1, 3);
    release_all(outputs, 2);
    pleat_session_destroy(session);
  }
}
END_TEST

/* The ends follow from the other input's shape: known when the plan is made. */
START_TEST(slice_with_computed_ends) {
  BOTH_WAYS(options) {
    builder b = build_begin(8, MODEL_OPSET);
    model_input(&b, "x", PLEAT_FLOAT, "N");
    model_input(&b, "like", PLEAT_FLOAT, "M");
    INTS_INIT(&b, "start", "1", 0);
    model_node(&b, "Shape", "shape", "like", "ends");
    model_node(&b, "Slice", "slice", "x,start,ends", "s");
    model_node(&b, "Add", "add", "s,like", "y");
    model_output(&b, "y", PLEAT_FLOAT, "?");
    pleat_session *session = session_from(&b, options);
    pleat_tensor *y = NULL;
    run_session(session, (pleat_tensor *[]){FLOATS("4", 1, 2, 3, 4), FLOATS("2", 10, 20)}, &y);
    ASSERT_TENSOR(y, "float[2]", 11, 22);
    pleat_tensor_release(y);
    pleat_plan_info *info = NULL;
    int64_t four = 4, two = 2;
    const pleat_input_shape shapes[] = {{"x", 1, &four}, {"like", 1, &two}};
    ASSERT_OK(pleat_session_plan(session, shapes, 2, &info, error));
    for (size_t i = 0; i < info->step_count; i++) ck_assert(!info->steps[i].is_dynamic);
    pleat_plan_info_destroy(info);
    pleat_session_destroy(session);
  }
}
END_TEST

/* ---- empty tensors ---- */

START_TEST(batch_of_none) {
  BOTH_WAYS(options) {
    builder b = build_begin(8, MODEL_OPSET);
    model_input(&b, "x", PLEAT_FLOAT, "N,2,4,4");
    noise_init(&b, "w", PLEAT_FLOAT, "3,2,3,3", -1, 1);
    noise_init(&b, "g", PLEAT_FLOAT, "12,2", -1, 1);
    model_node(&b, "Conv", "conv", "x,w", "c");
    model_node(&b, "Relu", "relu", "c", "r");
    model_node(&b, "Flatten", "flatten", "r", "f");
    model_node(&b, "Gemm", "gemm", "f,g", "m");
    build_attr_int(&b, model_node(&b, "Concat", "cat", "m,m", "y"), "axis", 0);
    model_output(&b, "y", PLEAT_FLOAT, "?");
    pleat_session *session = session_from(&b, options);
    pleat_tensor *y = run_one(session, make_tensor(PLEAT_FLOAT, "0,2,4,4", NULL));
    ASSERT_TENSOR(y, "float[0,2]", 0);
    pleat_tensor_release(y);
    y = run_one(session, noise_tensor(PLEAT_FLOAT, "2,2,4,4", 1));
    ck_assert_uint_eq(y->count, 8);
    pleat_tensor_release(y);
    pleat_session_destroy(session);
  }
}
END_TEST

START_TEST(empty_parts_of_a_concat) {
  BOTH_WAYS(options) {
    builder b = build_begin(8, MODEL_OPSET);
    model_input(&b, "x", PLEAT_FLOAT, "N,2");
    model_init(&b, "k", PLEAT_FLOAT, "1,2", (double[]){8, 9});
    model_node(&b, "Neg", "neg", "x", "n");
    build_attr_int(&b, model_node(&b, "Concat", "cat", "n,k", "y"), "axis", 0);
    model_output(&b, "y", PLEAT_FLOAT, "?");
    pleat_session *session = session_from(&b, options);
    pleat_tensor *y = run_one(session, make_tensor(PLEAT_FLOAT, "0,2", NULL));
    ASSERT_TENSOR(y, "float[1,2]", 8, 9);
    pleat_tensor_release(y);
    pleat_session_destroy(session);
  }
}
END_TEST

/* ---- outputs that no node computes ---- */

START_TEST(outputs_that_are_inputs_or_constants) {
  BOTH_WAYS(options) {
    builder b = build_begin(8, MODEL_OPSET);
    pleat_tensor *outputs[3], *x = FLOATS("2", 3, 4);
    model_input(&b, "x", PLEAT_FLOAT, "2");
    model_init(&b, "k", PLEAT_FLOAT, "3", (double[]){7, 8, 9});
    constant_node(&b, "c", PLEAT_INT64, "1", (double[]){5});
    model_output(&b, "x", PLEAT_FLOAT, "2");
    model_output(&b, "k", PLEAT_FLOAT, "3");
    model_output(&b, "c", PLEAT_INT64, "1");
    pleat_session *session = session_from(&b, options);
    run_session(session, (pleat_tensor *[]){pleat_tensor_retain(x)}, outputs);
    ASSERT_TENSOR(outputs[0], "float[2]", 3, 4);
    ASSERT_TENSOR(outputs[1], "float[3]", 7, 8, 9);
    ASSERT_TENSOR(outputs[2], "int64[1]", 5);
    ck_assert_ptr_ne(outputs[0]->data, x->data); /* the caller may write to it */
    release_all(outputs, 3);
    pleat_tensor_release(x);
    pleat_session_destroy(session);
  }
}
END_TEST

/* One value listed as two outputs. */
START_TEST(the_same_output_twice) {
  BOTH_WAYS(options) {
    builder b = build_begin(8, MODEL_OPSET);
    pleat_tensor *outputs[3];
    pleat_error error = PLEAT_ERROR_INIT;
    pleat_model *model = NULL;
    model_input(&b, "x", PLEAT_FLOAT, "2");
    model_node(&b, "Neg", "neg", "x", "y");
    model_node(&b, "Identity", "id", "y", "z");
    model_output(&b, "y", PLEAT_FLOAT, "?");
    model_output(&b, "z", PLEAT_FLOAT, "?");
    model_output(&b, "y", PLEAT_FLOAT, "?");
    pleat_status status = build_end(&b, &model, &error);
    if (status != PLEAT_OK) ck_abort_msg("%s", error.message);
    pleat_session *session = session_with(model, options);
    pleat_model_release(model);
    ck_assert_uint_eq(pleat_session_output_count(session), 3);
    run_session(session, (pleat_tensor *[]){FLOATS("2", 1, 2)}, outputs);
    for (int i = 0; i < 3; i++) ASSERT_TENSOR(outputs[i], "float[2]", -1, -2);
    ck_assert_ptr_ne(outputs[0]->data, outputs[2]->data);
    release_all(outputs, 3);
    pleat_session_destroy(session);
  }
}
END_TEST

/* ---- inputs with a default, absent inputs ---- */

START_TEST(overridable_initializers) {
  BOTH_WAYS(options) {
    builder b = build_begin(8, MODEL_OPSET);
    pleat_tensor *y;
    model_input(&b, "k", PLEAT_FLOAT, "N"); /* listed first, but it has a default */
    model_input(&b, "x", PLEAT_FLOAT, "2");
    model_init(&b, "k", PLEAT_FLOAT, "2", (double[]){10, 20});
    model_node(&b, "Neg", "neg", "k", "n"); /* not constant: a caller may override k */
    model_node(&b, "Add", "add", "x,n", "y");
    model_output(&b, "y", PLEAT_FLOAT, "?");
    pleat_session *session = session_from(&b, options);
    ck_assert_str_eq(pleat_session_input(session, 0)->name, "x");
    ck_assert_str_eq(pleat_session_input(session, 1)->name, "k");
    ck_assert(!pleat_session_input(session, 0)->has_default && pleat_session_input(session, 1)->has_default);
    for (int i = 0; i < 2; i++) {
      run_session(session, (pleat_tensor *[]){FLOATS("2", 1, 2), NULL}, &y);
      ASSERT_TENSOR(y, "float[2]", -9, -18);
      pleat_tensor_release(y);
      run_session(session, (pleat_tensor *[]){FLOATS("2", 1, 2), FLOATS("2", 1, 1)}, &y);
      ASSERT_TENSOR(y, "float[2]", 0, 1);
      pleat_tensor_release(y);
      run_session(session, (pleat_tensor *[]){FLOATS("2", 1, 2), FLOATS("1", 5)}, &y);
      ASSERT_TENSOR(y, "float[2]", -4, -3);
      pleat_tensor_release(y);
    }
    pleat_session_destroy(session);
  }
}
END_TEST

START_TEST(absent_inputs) {
  BOTH_WAYS(options) {
    builder b = build_begin(8, MODEL_OPSET);
    model_input(&b, "x", PLEAT_FLOAT, "3");
    model_init(&b, "high", PLEAT_FLOAT, "", (double[]){2});
    model_node(&b, "Clip", "clip", "x,,high", "y");
    model_output(&b, "y", PLEAT_FLOAT, "?");
    pleat_session *session = session_from(&b, options);
    pleat_tensor *y = run_one(session, FLOATS("3", -5, 1, 9));
    ASSERT_TENSOR(y, "float[3]", -5, 1, 2);
    pleat_tensor_release(y);
    pleat_session_destroy(session);
  }
}
END_TEST

/* ---- strings and sequences ---- */

static pleat_tensor *words(size_t count, const char *const *texts) {
  pleat_string strings[8];
  int64_t dims[1] = {(int64_t)count};
  pleat_tensor *tensor = NULL;
  for (size_t i = 0; i < count; i++) strings[i] = (pleat_string){.data = texts[i], .size = strlen(texts[i])};
  ASSERT_OK(pleat_tensor_create_strings(1, dims, strings, &tensor, error));
  return tensor;
}
static void assert_words(const pleat_tensor *tensor, size_t count, const char *const *texts) {
  ck_assert_int_eq(tensor->dtype, PLEAT_STRING);
  ck_assert_uint_eq(tensor->count, count);
  for (size_t i = 0; i < count; i++) {
    const pleat_string *word = (const pleat_string *)tensor->data + i;
    ck_assert_msg(word->size == strlen(texts[i]) && memcmp(word->data, texts[i], word->size) == 0, "word %zu", i);
  }
}

START_TEST(strings) {
  BOTH_WAYS(options) {
    builder b = build_begin(8, MODEL_OPSET);
    pleat_tensor *outputs[4];
    model_input(&b, "x", PLEAT_STRING, "N");
    model_input(&b, "i", PLEAT_INT64, "M");
    model_node(&b, "Identity", "id", "x", "y1");
    build_attr_int(&b, model_node(&b, "Concat", "cat", "x,y1", "y2"), "axis", 0);
    model_node(&b, "Gather", "gather", "y2,i", "y3");
    build_attr_int(&b, model_node(&b, "Cast", "cast", "i", "y4"), "to", PLEAT_STRING);
    for (int i = 0; i < 4; i++) {
      model_output(&b, ((const char *[]){"y1", "y2", "y3", "y4"})[i], PLEAT_STRING, "?");
    }
    pleat_session *session = session_from(&b, options);
    for (int i = 0; i < 2; i++) {
      run_session(session, (pleat_tensor *[]){words(2, (const char *[]){"fold", ""}), INT64S("3", 3, 0, 2)}, outputs);
      assert_words(outputs[0], 2, (const char *[]){"fold", ""});
      assert_words(outputs[1], 4, (const char *[]){"fold", "", "fold", ""});
      assert_words(outputs[2], 3, (const char *[]){"", "fold", "fold"});
      assert_words(outputs[3], 3, (const char *[]){"3", "0", "2"}); /* they outlive the run that made them */
      release_all(outputs, 4);
    }
    pleat_session_destroy(session);
  }
}
END_TEST

START_TEST(sequences) {
  BOTH_WAYS(options) {
    builder b = build_begin(8, 14);
    Onnx__ValueInfoProto *infos[2];
    for (int i = 0; i < 2; i++) {
      infos[i] = info_of(&b, i == 0 ? "x" : "y", PLEAT_FLOAT, "?");
      Onnx__TypeProto *element = infos[i]->type, *type = NEW(&b, Onnx__TypeProto, &onnx__type_proto__descriptor);
      type->value_case = ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE;
      type->sequence_type = NEW(&b, Onnx__TypeProto__Sequence, &onnx__type_proto__sequence__descriptor);
      type->sequence_type->elem_type = element;
      infos[i]->type = type;
    }
    ADD(&b, b.graph->input, b.graph->n_input, infos[0]);
    ADD(&b, b.graph->output, b.graph->n_output, infos[1]);
    model_node(&b, "Identity", "id1", "x", "m");
    model_node(&b, "Identity", "id2", "m", "y");
    pleat_session *session = session_from(&b, options);
    for (size_t count = 3; count-- > 0;) {
      pleat_tensor *items[2] = {FLOATS("2", 1, 2), FLOATS("1,1", 3)}, *list = NULL;
      ASSERT_OK(pleat_tensor_create_list(PLEAT_KIND_SEQUENCE, items, count, &list, error));
      release_all(items, 2);
      pleat_tensor *y = run_one(session, list);
      ck_assert_int_eq(y->kind, PLEAT_KIND_SEQUENCE);
      ck_assert_uint_eq(y->count, count);
      if (count > 0) ASSERT_TENSOR(pleat_tensor_item(y, 0), "float[2]", 1, 2);
      if (count > 1) ASSERT_TENSOR(pleat_tensor_item(y, 1), "float[1,1]", 3);
      pleat_tensor_release(y);
    }
    pleat_session_destroy(session);
  }
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("plan_shapes");
  add_tests(suite, "cache", (const TTest *const[]){many_shapes_in_one_session, old_plans_are_dropped, NULL});
  add_tests(suite, "dynamic",
            (const TTest *const[]){nonzero_and_gather, range_of_computed_limits, reshape_to_a_given_shape,
                                   top_k_of_a_given_k, slice_with_computed_ends, NULL});
  add_tests(suite, "empty", (const TTest *const[]){batch_of_none, empty_parts_of_a_concat, NULL});
  add_tests(suite, "outputs",
            (const TTest *const[]){outputs_that_are_inputs_or_constants, the_same_output_twice, NULL});
  add_tests(suite, "inputs", (const TTest *const[]){overridable_initializers, absent_inputs, NULL});
  add_tests(suite, "other_types", (const TTest *const[]){strings, sequences, NULL});
  return suite;
}

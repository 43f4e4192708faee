/* Sessions as their callers see them: taps, output tensors that the caller gives, errors that name the tensor, options,
 * profiles, and models that cannot be run. */
#include "fold_case.h"
#include "session/session_private.h"

#define TAPS(...) ((const char *const[]){__VA_ARGS__, NULL})

static conv_case plain(void) {
  return with_defaults((conv_case){.x = "1,2,5,5", .w = "3,2,3,3", .bias = true});
}

/* x[N,3] -> Relu -> r -> Neg -> y */
static builder small_model(void) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "N,3");
  model_node(&b, "Relu", "relu", "x", "r");
  model_node(&b, "Neg", "neg", "r", "y");
  model_output(&b, "y", PLEAT_FLOAT, "N,3");
  return b;
}

/* ---- taps ---- */

START_TEST(tap_of_an_intermediate_value) {
  builder b = small_model();
  pleat_tensor *outputs[3];
  pleat_session *session = session_from(&b, (pleat_session_options){.taps = TAPS("r", "x", "y", "r")});
  ck_assert_uint_eq(pleat_session_output_count(session), 3); /* an output, or a tap named twice, is one output */
  ck_assert_str_eq(pleat_session_output(session, 0)->name, "y");
  ck_assert_str_eq(pleat_session_output(session, 1)->name, "r");
  ck_assert_str_eq(pleat_session_output(session, 2)->name, "x");
  ck_assert_ptr_null(pleat_session_output(session, 3));
  run_session(session, (pleat_tensor *[]){FLOATS("1,3", -1, 2, 3)}, outputs);
  ASSERT_TENSOR(outputs[0], "float[1,3]", 0, -2, -3);
  ASSERT_TENSOR(outputs[1], "float[1,3]", 0, 2, 3);
  ASSERT_TENSOR(outputs[2], "float[1,3]", -1, 2, 3);
  for (int i = 0; i < 3; i++) pleat_tensor_release(outputs[i]);
  pleat_session_destroy(session);
}
END_TEST

/* The convolution's output, which folding would make another value, and an Identity's, which it would remove. */
START_TEST(tap_that_folding_would_remove) {
  conv_case c = plain();
  builder b = conv_bn(c);
  pleat_tensor *expected[4], *found[4];
  model_node(&b, "Identity", "id", "y", "i");
  model_node(&b, "Relu", "relu", "i", "z");
  model_output(&b, "z", c.dtype, "?");
  pleat_model *model = build_model(&b);
  pleat_session *folded = session_with(model, (pleat_session_options){.taps = TAPS("c", "i")});
  pleat_session *plain_one = session_with(model, (pleat_session_options){.no_fold = true, .taps = TAPS("c", "i")});
  run_session(folded, (pleat_tensor *[]){noise_tensor(c.dtype, c.x, 1)}, found);
  run_session(plain_one, (pleat_tensor *[]){noise_tensor(c.dtype, c.x, 1)}, expected);
  for (size_t i = 0; i < 4; i++) {
    ck_assert_str_eq(pleat_session_output(folded, i)->name, ((const char *[]){"y", "z", "c", "i"})[i]);
    assert_same(found[i], expected[i], 1e-12);
    pleat_tensor_release(found[i]);
    pleat_tensor_release(expected[i]);
  }
  pleat_session_destroy(folded);
  pleat_session_destroy(plain_one);
  pleat_model_release(model);
}
END_TEST

START_TEST(tap_of_a_weight) {
  builder b = conv_bn(plain());
  pleat_tensor *outputs[2];
  pleat_session *session = session_from(&b, (pleat_session_options){.taps = TAPS("w")});
  run_session(session, (pleat_tensor *[]){noise_tensor(PLEAT_DOUBLE, "1,2,5,5", 1)}, outputs);
  ck_assert_uint_eq(outputs[1]->count, 54);
  for (int i = 0; i < 2; i++) pleat_tensor_release(outputs[i]);
  pleat_session_destroy(session);
}
END_TEST

START_TEST(unknown_tap) {
  builder b = small_model();
  assert_no_session(&b, (pleat_session_options){.taps = TAPS("r", "nothing")}, PLEAT_INVALID_ARGUMENT, "nothing",
                    "the tap names no value of the graph");
}
END_TEST

/* ---- output tensors of the caller ---- */

START_TEST(given_outputs) {
  for (int no_fold = 0; no_fold < 2; no_fold++) {
    builder b = build_begin(8, MODEL_OPSET);
    model_input(&b, "x", PLEAT_FLOAT, "2");
    model_node(&b, "Neg", "neg", "x", "computed");
    model_node(&b, "NonZero", "nonzero", "x", "dynamic");
    model_output(&b, "computed", PLEAT_FLOAT, "2");
    model_output(&b, "x", PLEAT_FLOAT, "2");
    model_output(&b, "dynamic", PLEAT_INT64, "?");
    pleat_session *session = session_from(&b, (pleat_session_options){.no_fold = no_fold != 0});
    pleat_tensor *outputs[3] = {FLOATS("2", 0, 0), FLOATS("2", 0, 0), INT64S("1,1", 0)}, *x = FLOATS("2", 0, 4);
    pleat_tensor *const given[3] = {outputs[0], outputs[1], outputs[2]};
    ASSERT_OK(pleat_session_run(session, &x, 1, outputs, 3, error));
    for (int i = 0; i < 3; i++) ck_assert_ptr_eq(outputs[i], given[i]);
    ASSERT_TENSOR(outputs[0], "float[2]", -0.0, -4);
    ASSERT_TENSOR(outputs[1], "float[2]", 0, 4);
    ASSERT_TENSOR(outputs[2], "int64[1,1]", 1);
    for (int i = 0; i < 3; i++) pleat_tensor_release(outputs[i]);
    pleat_tensor_release(x);
    pleat_session_destroy(session);
  }
}
END_TEST

START_TEST(given_outputs_that_do_not_fit) {
  builder b = small_model();
  pleat_session *session = session_from(&b, (pleat_session_options){0});
  pleat_tensor *wrong[] = {make_tensor(PLEAT_FLOAT, "2,2", NULL), make_tensor(PLEAT_DOUBLE, "2,3", NULL),
                           make_tensor(PLEAT_FLOAT, "6", NULL), make_tensor(PLEAT_FLOAT, "1,3", NULL)};
  static const char *const found[] = {"float[2,2]", "double[2,3]", "float[6]", "float[1,3]"};
  for (int i = 0; i < 4; i++) {
    char words[128];
    pleat_tensor *output = wrong[i];
    snprintf(words, sizeof words, "the output tensor given is %s, the model gives float[2,3]", found[i]);
    assert_no_run(session, (pleat_tensor *[]){make_tensor(PLEAT_FLOAT, "2,3", NULL)}, &output, PLEAT_SHAPE_MISMATCH,
                  "y", words);
    ck_assert_ptr_eq(output, wrong[i]); /* still the caller's */
    pleat_tensor_release(wrong[i]);
  }
  pleat_session_destroy(session);
}
END_TEST

/* One good, one bad: nothing new is handed out for the third. */
START_TEST(nothing_is_handed_out_on_failure) {
  builder b = small_model();
  model_output(&b, "r", PLEAT_FLOAT, "?");
  model_output(&b, "x", PLEAT_FLOAT, "?");
  pleat_session *session = session_from(&b, (pleat_session_options){0});
  pleat_tensor *outputs[3] = {NULL, NULL, FLOATS("1", 0)};
  assert_no_run(session, (pleat_tensor *[]){make_tensor(PLEAT_FLOAT, "2,3", NULL)}, outputs, PLEAT_SHAPE_MISMATCH, "x",
                "the output tensor given is float[1]");
  ck_assert_ptr_null(outputs[0]);
  ck_assert_ptr_null(outputs[1]);
  pleat_tensor_release(outputs[2]);
  pleat_session_destroy(session);
}
END_TEST

/* ---- inputs that do not fit ---- */

START_TEST(wrong_inputs) {
  builder b = small_model();
  pleat_tensor *y = NULL;
  pleat_session *session = session_from(&b, (pleat_session_options){0});
  assert_no_run(session, (pleat_tensor *[]){FLOATS("3", 1, 2, 3)}, &y, PLEAT_SHAPE_MISMATCH, "x",
                "expected float[N,3], found float[3]");
  assert_no_run(session, (pleat_tensor *[]){FLOATS("1,2", 1, 2)}, &y, PLEAT_SHAPE_MISMATCH, "x",
                "expected float[N,3], found float[1,2]");
  assert_no_run(session, (pleat_tensor *[]){INT64S("1,3", 1, 2, 3)}, &y, PLEAT_SHAPE_MISMATCH, "x",
                "expected float[N,3], found int64[1,3]");
  assert_no_run(session, (pleat_tensor *[]){NULL}, &y, PLEAT_INVALID_ARGUMENT, "x", "no tensor is given");
  pleat_tensor *list = NULL;
  ASSERT_OK(pleat_tensor_create_list(PLEAT_KIND_SEQUENCE, NULL, 0, &list, error));
  assert_no_run(session, (pleat_tensor *[]){list}, &y, PLEAT_SHAPE_MISMATCH, "x", "found sequence of 0");
  ck_assert_ptr_null(y);
  pleat_session_destroy(session);
}
END_TEST

START_TEST(wrong_counts) {
  builder b = small_model();
  pleat_session *session = session_from(&b, (pleat_session_options){0});
  pleat_tensor *x = FLOATS("1,3", 1, 2, 3), *y[2] = {NULL, NULL};
  pleat_error error = PLEAT_ERROR_INIT;
  ck_assert_int_eq(pleat_session_run(session, &x, 1, y, 2, &error), PLEAT_INVALID_ARGUMENT);
  ck_assert_str_eq(error.message, "expected 1 inputs and 1 outputs, found 1 and 2");
  ck_assert_int_eq(pleat_session_run(session, &x, 0, y, 1, NULL), PLEAT_INVALID_ARGUMENT);
  ck_assert_int_eq(pleat_session_run(session, NULL, 1, y, 1, NULL), PLEAT_INVALID_ARGUMENT);
  ck_assert_int_eq(pleat_session_run(NULL, &x, 1, y, 1, NULL), PLEAT_INVALID_ARGUMENT);
  pleat_tensor_release(x);
  pleat_session_destroy(session);
}
END_TEST

/* What only the operators can see is an error at the node. */
START_TEST(shapes_that_do_not_meet) {
  builder b = build_begin(8, MODEL_OPSET);
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_tensor *y = NULL, *inputs[2] = {FLOATS("2", 1, 2), FLOATS("3", 1, 2, 3)};
  model_input(&b, "x", PLEAT_FLOAT, "N");
  model_input(&b, "z", PLEAT_FLOAT, "M");
  model_node(&b, "Add", "the_add", "x,z", "y");
  model_output(&b, "y", PLEAT_FLOAT, "?");
  pleat_session *session = session_from(&b, (pleat_session_options){0});
  ck_assert_int_eq(pleat_session_run(session, inputs, 2, &y, 1, &error), PLEAT_SHAPE_MISMATCH);
  ck_assert_str_eq(error.node, "the_add");
  ck_assert_ptr_null(y);
  pleat_tensor_release(inputs[0]);
  pleat_tensor_release(inputs[1]);
  pleat_session_destroy(session);
}
END_TEST

/* ---- options, descriptions, profiles ---- */

START_TEST(threads_option) {
  static const int bad[] = {-1, 257};
  conv_case c = plain();
  c.dtype = c.parameters = PLEAT_FLOAT;
  c.x = "2,2,16,16";
  builder b = conv_bn(c);
  pleat_model *model = build_model(&b);
  for (int i = 0; i < 2; i++) {
    pleat_error error = PLEAT_ERROR_INIT;
    pleat_session *session = NULL;
    pleat_session_options options = PLEAT_SESSION_OPTIONS_INIT;
    options.threads = bad[i];
    pleat_status status = pleat_session_create(model, &options, &session, &error);
    assert_error(&error, status, PLEAT_INVALID_ARGUMENT, NULL, "expected 0 (all cores) to 256");
  }
  pleat_session *all_cores = NULL;
  ASSERT_OK(pleat_session_create(model, NULL, &all_cores, error));
  ck_assert_int_ge(all_cores->threads, 1);
  pleat_tensor *expected = run_one(all_cores, noise_tensor(c.dtype, c.x, 3));
  for (int threads = 1; threads <= 4; threads++) {
    pleat_session *session = session_with(model, (pleat_session_options){.threads = threads});
    pleat_tensor *y = run_one(session, noise_tensor(c.dtype, c.x, 3));
    assert_same(y, expected, 1e-6);
    pleat_tensor *again = run_one(session, noise_tensor(c.dtype, c.x, 3));
    ck_assert_mem_eq(y->data, again->data, pleat_bytes(y));
    pleat_tensor_release(again);
    pleat_tensor_release(y);
    pleat_session_destroy(session);
  }
  pleat_tensor_release(expected);
  pleat_session_destroy(all_cores);
  pleat_model_release(model);
}
END_TEST

START_TEST(descriptions) {
  builder b = small_model();
  pleat_session *session = session_from(&b, (pleat_session_options){0});
  const pleat_value_info *x = pleat_session_input(session, 0), *y = pleat_session_output(session, 0);
  ck_assert_str_eq(x->name, "x");
  ck_assert_int_eq(x->dtype, PLEAT_FLOAT);
  ck_assert_int_eq(x->rank, 2);
  ck_assert_int_eq(x->dims[0].value, -1);
  ck_assert_str_eq(x->dims[0].symbol, "N");
  ck_assert_int_eq(y->dims[1].value, 3);
  ck_assert_str_eq(y->dims[0].symbol, "N");
  ck_assert_ptr_null(pleat_session_input(session, 1));
  pleat_session_destroy(session);
  pleat_session_destroy(NULL);
}
END_TEST

START_TEST(profiles) {
  for (int profile = 0; profile < 2; profile++) {
    builder b = small_model();
    pleat_session *session = session_from(&b, (pleat_session_options){.profile = profile != 0});
    const int64_t dims[2] = {4, 3};
    const pleat_input_shape shape = {.name = "x", .rank = 2, .dims = dims};
    pleat_plan_info *info = NULL;
    for (int i = 0; i < 5; i++) pleat_tensor_release(run_one(session, noise_tensor(PLEAT_FLOAT, "4,3", 1)));
    pleat_tensor_release(run_one(session, noise_tensor(PLEAT_FLOAT, "2,3", 1))); /* another plan's */
    ASSERT_OK(pleat_session_plan(session, &shape, 1, &info, error));
    ck_assert_uint_eq(info->step_count, 2);
    for (size_t i = 0; i < info->step_count; i++) {
      const pleat_step_info *step = &info->steps[i];
      ck_assert_uint_eq(step->runs, profile ? 5 : 0);
      ck_assert_uint_le(step->runs * step->min_ns, step->total_ns);
      ck_assert(!profile || step->total_ns > 0);
      ck_assert_uint_eq(step->output_bytes, 48);
    }
    ck_assert_str_eq(info->steps[0].node, "relu");
    ck_assert_str_eq(info->steps[0].output, "r float[4,3]");
    ck_assert_str_ne(info->steps[0].kernel, "");
    pleat_plan_info_destroy(info);
    pleat_session_destroy(session);
  }
}
END_TEST

START_TEST(plans_of_wrong_shapes) {
  static const int64_t wrong[2] = {1, 4}, negative[2] = {-2, 3};
  static const struct {
    pleat_input_shape shape;
    pleat_status status;
    const char *words;
  } cases[] = {{{"nothing", 2, wrong}, PLEAT_INVALID_ARGUMENT, "the model has no input of this name"},
               {{"x", 2, wrong}, PLEAT_SHAPE_MISMATCH, "dimension 1 is 4, the model declares 3"},
               {{"x", 1, wrong}, PLEAT_SHAPE_MISMATCH, "the shape given has rank 1, the model declares 2"},
               {{"x", 2, negative}, PLEAT_SHAPE_MISMATCH, "the shape is not a possible one"}};
  builder b = small_model();
  pleat_session *session = session_from(&b, (pleat_session_options){0});
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    pleat_error error = PLEAT_ERROR_INIT;
    pleat_plan_info *info = NULL;
    pleat_status status = pleat_session_plan(session, &cases[i].shape, 1, &info, &error);
    assert_error(&error, status, cases[i].status, cases[i].shape.name, cases[i].words);
    ck_assert_ptr_null(info);
  }
  pleat_plan_info_destroy(NULL);
  pleat_session_destroy(session);
}
END_TEST

/* ---- models that cannot be run ---- */

START_TEST(unsupported_operators_are_listed_at_once) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "2");
  model_node(&b, "NoSuchOp", "first", "x", "a");
  model_node(&b, "Relu", "relu", "a", "r");
  model_node(&b, "NoSuchOp", "second", "r", "c");
  model_node(&b, "Another", "third", "c", "y")->domain = build_text(&b, "my.domain");
  model_output(&b, "y", PLEAT_FLOAT, "?");
  build_opset(&b, "my.domain", 3);
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_session *session = NULL;
  pleat_model *model = build_model(&b);
  pleat_status status = pleat_session_create(model, NULL, &session, &error);
  assert_error(&error, status, PLEAT_UNSUPPORTED, NULL, "2 operators are not supported");
  ck_assert_ptr_nonnull(strstr(error.message, "NoSuchOp (opset 13): nodes first, second"));
  ck_assert_ptr_nonnull(strstr(error.message, "my.domain.Another (opset 3): node third"));
  pleat_model_release(model);
}
END_TEST

/* An operator that is newer than the opset that the model imports. */
START_TEST(operator_newer_than_the_opset) {
  builder b = build_begin(8, 9);
  model_input(&b, "x", PLEAT_FLOAT, "2,3");
  noise_init(&b, "s", PLEAT_FLOAT, "3", 0, 1);
  model_node(&b, "LayerNormalization", "norm", "x,s", "y");
  model_output(&b, "y", PLEAT_FLOAT, "?");
  assert_no_session(&b, (pleat_session_options){0}, PLEAT_UNSUPPORTED, NULL,
                    "LayerNormalization (opset 9, but it exists from opset 17 on): node norm");
}
END_TEST

START_TEST(null_arguments) {
  builder b = small_model();
  pleat_model *model = build_model(&b);
  pleat_session *session = NULL;
  ck_assert_int_eq(pleat_session_create(NULL, NULL, &session, NULL), PLEAT_INVALID_ARGUMENT);
  ck_assert_int_eq(pleat_session_create(model, NULL, NULL, NULL), PLEAT_INVALID_ARGUMENT);
  pleat_model_release(model);
}
END_TEST

/* ---- half precision ---- */

/* Conv + Relu in a half type is the same in float, rounded once after each node. */
static void check_half(pleat_dtype half, int64_t opset) {
  pleat_tensor *outputs[2][2];
  for (int wide = 0; wide < 2; wide++) {
    builder b = build_begin(8, opset);
    pleat_dtype dtype = wide ? PLEAT_FLOAT : half;
    double *w = noise_values(&b, "w", 54, -1, 1), *x = noise_values(&b, "x", 72, -1, 1);
    for (int i = 0; i < 126; i++) { /* what the half type holds exactly */
      unsigned char bytes[8];
      double *value = i < 54 ? &w[i] : &x[i - 54];
      pleat_store_f64(half, bytes, 0, *value);
      *value = pleat_load_f64(half, bytes, 0);
    }
    model_input(&b, "x", dtype, "1,2,6,6");
    model_init(&b, "w", dtype, "3,2,3,3", w);
    model_node(&b, "Conv", "conv", "x,w", "c");
    model_node(&b, "Relu", "relu", "c", "y");
    model_output(&b, "c", dtype, "?");
    model_output(&b, "y", dtype, "?");
    pleat_tensor *input = make_tensor(dtype, "1,2,6,6", x);
    pleat_session *session = session_from(&b, (pleat_session_options){0});
    run_session(session, &input, outputs[wide]);
    pleat_session_destroy(session);
  }
  for (int i = 0; i < 2; i++) {
    ck_assert_int_eq(outputs[0][i]->dtype, half);
    for (size_t k = 0; k < outputs[0][i]->count; k++) {
      assert_rounded(outputs[0][i], k, (double)((const float *)outputs[1][i]->data)[k]);
    }
    pleat_tensor_release(outputs[0][i]);
    pleat_tensor_release(outputs[1][i]);
  }
}
START_TEST(float16_is_run_as_float) {
  check_half(PLEAT_FLOAT16, MODEL_OPSET);
}
END_TEST
START_TEST(bfloat16_is_run_as_float) {
  check_half(PLEAT_BFLOAT16, 22);
}
END_TEST

/* ---- lifetimes ---- */

/* AddressSanitizer's leak check looks on. */
START_TEST(create_and_destroy) {
  builder b = conv_bn(plain());
  pleat_model *model = build_model(&b);
  for (int i = 0; i < 50; i++) {
    pleat_session *session = session_with(model, (pleat_session_options){.no_fold = i % 2 != 0, .profile = i % 3 == 0});
    if (i % 4 != 0) pleat_tensor_release(run_one(session, noise_tensor(PLEAT_DOUBLE, "1,2,5,5", 1)));
    pleat_session_destroy(session);
  }
  pleat_model_release(model);
}
END_TEST

/* Outputs outlive session and model. */
START_TEST(outputs_outlive_the_session) {
  builder b = small_model();
  pleat_session *session = session_from(&b, (pleat_session_options){0});
  pleat_tensor *y = run_one(session, FLOATS("1,3", 1, 2, 3));
  pleat_session_destroy(session);
  ASSERT_TENSOR(y, "float[1,3]", -1, -2, -3);
  pleat_tensor_release(y);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("session_run");
  add_tests(suite, "taps",
            (const TTest *const[]){tap_of_an_intermediate_value, tap_that_folding_would_remove, tap_of_a_weight,
                                   unknown_tap, NULL});
  add_tests(
      suite, "given_outputs",
      (const TTest *const[]){given_outputs, given_outputs_that_do_not_fit, nothing_is_handed_out_on_failure, NULL});
  add_tests(suite, "inputs", (const TTest *const[]){wrong_inputs, wrong_counts, shapes_that_do_not_meet, NULL});
  add_tests(
      suite, "options",
      (const TTest *const[]){threads_option, descriptions, profiles, plans_of_wrong_shapes, null_arguments, NULL});
  add_tests(suite, "unsupported",
            (const TTest *const[]){unsupported_operators_are_listed_at_once, operator_newer_than_the_opset, NULL});
  add_tests(suite, "half", (const TTest *const[]){float16_is_run_as_float, bfloat16_is_run_as_float, NULL});
  add_tests(suite, "lifetimes", (const TTest *const[]){create_and_destroy, outputs_outlive_the_session, NULL});
  return suite;
}

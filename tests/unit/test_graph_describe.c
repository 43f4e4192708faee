/* pleat_model_describe and loading and saving models through the public functions. */
#include "graph_testing.h"

#include <unistd.h>

/* x[N,4] . w[4,3] -> Relu -> y, through a Gemm. */
static builder build_gemm(void) {
  builder b = build_begin(8, 18);
  ADD(&b, b.graph->input, b.graph->n_input, build_info(&b, "x", PLEAT_FLOAT, 2, (int64_t[]){-1, 4}));
  Onnx__TensorProto *w = NEW(&b, Onnx__TensorProto, &onnx__tensor_proto__descriptor);
  w->name = build_text(&b, "w");
  w->has_data_type = true;
  w->data_type = PLEAT_FLOAT;
  ADD(&b, w->dims, w->n_dims, 4);
  ADD(&b, w->dims, w->n_dims, 3);
  for (int i = 0; i < 12; i++) ADD(&b, w->float_data, w->n_float_data, (float)i);
  ADD(&b, b.graph->initializer, b.graph->n_initializer, w);
  build_node(&b, b.graph, "Gemm", "gemm", "x,w", "t");
  build_node(&b, b.graph, "Relu", "relu", "t", "y");
  build_output(&b, b.graph, "y");
  return b;
}

START_TEST(describes_with_unknown_shapes) {
  builder b = build_gemm();
  b.model->producer_name = build_text(&b, "tests");
  pleat_model *model = build_model(&b);
  pleat_model_info *info = NULL;
  ASSERT_OK(pleat_model_describe(model, NULL, 0, &info, error));
  pleat_model_release(model); /* the description is not tied to the model */
  ck_assert_str_eq(info->producer_name, "tests");
  ck_assert_str_eq(info->graph_name, "g");
  ck_assert_str_eq(info->path, "");
  ck_assert_int_eq(info->ir_version, 8);
  ck_assert_uint_eq(info->opset_count, 1);
  ck_assert_int_eq(info->opset_versions[0], 18);
  ck_assert_uint_eq(info->input_count, 1);
  ck_assert_int_eq(info->inputs[0].dims[0].value, -1);
  ck_assert_str_eq(info->inputs[0].dims[0].symbol, "N");
  ck_assert_uint_eq(info->output_count, 1);
  ck_assert_str_eq(info->outputs[0].name, "y");
  ck_assert_int_eq(info->outputs[0].rank, 2); /* by inference */
  ck_assert_int_eq(info->outputs[0].dims[1].value, 3);
  ck_assert_uint_eq(info->initializer_count, 1);
  ck_assert_uint_eq(info->parameter_count, 12);
  ck_assert_uint_eq(info->weight_bytes, 48);
  ck_assert_uint_eq(info->node_count, 2);
  ck_assert_uint_eq(info->macs, 0);
  ck_assert_uint_eq(info->macs_unknown, 1);
  ck_assert_uint_eq(info->unsupported_count, 0);
  ck_assert(info->nodes[0].supported);
  ck_assert_str_eq(info->nodes[0].inputs[1], "w");
  pleat_model_info_destroy(info);
  pleat_model_info_destroy(NULL);
}
END_TEST

START_TEST(describes_with_given_shapes) {
  builder b = build_gemm();
  /* what the exporter saw: to be forgotten when another shape is given */
  ADD(&b, b.graph->value_info, b.graph->n_value_info, build_info(&b, "t", PLEAT_FLOAT, 2, (int64_t[]){1, 3}));
  pleat_model *model = build_model(&b);
  pleat_model_info *info = NULL;
  pleat_input_shape shape = {.name = "x", .rank = 2, .dims = (int64_t[]){5, 4}};
  ASSERT_OK(pleat_model_describe(model, &shape, 1, &info, error));
  ck_assert_int_eq(info->inputs[0].dims[0].value, 5);
  ck_assert_int_eq(info->outputs[0].dims[0].value, 5);
  ck_assert_int_eq(info->nodes[0].output_infos[0].dims[0].value, 5);
  ck_assert_uint_eq(info->macs, 5 * 4 * 3);
  ck_assert_uint_eq(info->nodes[0].macs, 60);
  ck_assert_uint_eq(info->macs_unknown, 0);
  pleat_model_info_destroy(info);

  pleat_error error = PLEAT_ERROR_INIT;
  shape.dims = (int64_t[]){5, 7};
  ck_assert_int_eq(pleat_model_describe(model, &shape, 1, &info, &error), PLEAT_SHAPE_MISMATCH);
  ck_assert_ptr_null(info);
  ck_assert_str_eq(error.tensor, "x");
  ck_assert_ptr_nonnull(strstr(error.message, "[N,4]"));
  error = (pleat_error)PLEAT_ERROR_INIT;
  shape.name = "w";
  ck_assert_int_eq(pleat_model_describe(model, &shape, 1, &info, &error), PLEAT_INVALID_ARGUMENT);
  ck_assert_ptr_nonnull(strstr(error.message, "its inputs are: x"));
  shape = (pleat_input_shape){.name = "x", .rank = 99};
  ck_assert_int_eq(pleat_model_describe(model, &shape, 1, &info, NULL), PLEAT_INVALID_ARGUMENT);
  ck_assert_int_eq(pleat_model_describe(NULL, NULL, 0, &info, NULL), PLEAT_INVALID_ARGUMENT);
  pleat_model_release(model);
}
END_TEST

START_TEST(describes_subgraphs_and_unsupported) {
  builder b = build_if_model();
  for (int i = 0; i < 8; i++) {
    char name[16], output[16];
    snprintf(name, sizeof name, "n%d", i);
    snprintf(output, sizeof output, "o%d", i);
    build_node(&b, b.graph, "NoSuchOperator", name, "x", output);
  }
  build_input(&b, b.graph, "w");
  build_init_float(&b, b.graph, "w", 1);
  build_attr_float(&b, build_node(&b, b.graph, "Constant", "", "", "c"), "value_float", 1);
  pleat_model *model = build_model(&b);
  pleat_model_info *info = NULL;
  ASSERT_OK(pleat_model_describe(model, NULL, 0, &info, error));
  ck_assert_uint_eq(info->input_count, 3);
  ck_assert(!info->inputs[0].has_default);
  ck_assert(info->inputs[2].has_default);
  ck_assert_uint_eq(info->parameter_count, 3); /* the Constant's as well */
  ck_assert_uint_eq(info->node_count, 13);
  ck_assert_str_eq(info->nodes[1].name, "if");
  ck_assert_int_eq(info->nodes[1].depth, 0);
  ck_assert_str_eq(info->nodes[2].name, "then_branch");
  ck_assert_int_eq(info->nodes[2].depth, 1);
  ck_assert_int_eq(info->nodes[4].depth, 0);
  ck_assert(!info->nodes[4].supported);
  const char *last = info->unsupported[info->unsupported_count - 1];
  ck_assert_str_eq(last, "NoSuchOperator (opset 18): nodes n0, n1, n2, n3, n4, n5 and 2 more");
  pleat_model_info_destroy(info);
  pleat_model_release(model);
}
END_TEST

/* What is newer than this library: of the model, or of a function of it. */
START_TEST(warns_of_later_versions) {
  static const struct {
    int64_t ir, opset, function;
    const char *words; /* NULL: no warning */
  } cases[] = {
      {PLEAT_NEWEST_IR_VERSION, PLEAT_NEWEST_OPSET, PLEAT_NEWEST_OPSET, NULL},
      {14, 18, 18, "IR version 14 is newer than 13, the newest known here: what it added is ignored"},
      {8, 27, 18, "opset 27 is newer than 26, the newest known here: operators that it changed are taken as they were"},
      {8, 18, 30, "opset 30 is newer than 26"},
      {99, 27, 18, "ignored; opset 27 is newer"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char text[512];
    builder b = build_begin(cases[i].ir, cases[i].opset);
    Onnx__FunctionProto *function = build_function(&b, "Block", "a", "c");
    build_body(&b, function, "Relu", "relu", "a", "c");
    function->opset_import[0]->version = cases[i].function;
    pleat_model *model = build_model(&b);
    const char *warning = pleat_model_warning(model, text, sizeof text);
    if (cases[i].words == NULL) ck_assert_ptr_null(warning);
    else ck_assert_msg(warning != NULL && strstr(warning, cases[i].words) != NULL, "%zu: %s", i, text);
    ck_assert_ptr_null(pleat_model_warning(model, text, 0));
    pleat_model_release(model);
  }
}
END_TEST

START_TEST(saves_and_loads) {
  char path[] = "/tmp/pleat-graph-XXXXXX";
  int fd = mkstemp(path);
  ck_assert_int_ge(fd, 0);
  close(fd);
  builder b = build_gemm();
  pleat_model *model = build_model(&b), *again = NULL;
  ASSERT_OK(pleat_model_save(model, path, PLEAT_EXTERNAL_INLINE, error));
  pleat_model_release(model);
  ASSERT_OK(pleat_model_load(path, &again, error));
  pleat_model_info *info = NULL;
  ASSERT_OK(pleat_model_describe(again, NULL, 0, &info, error));
  ck_assert_str_eq(info->path, path);
  ck_assert_uint_eq(info->parameter_count, 12);
  pleat_model_info_destroy(info);
  ASSERT_OK(pleat_model_save(again, path, PLEAT_EXTERNAL_KEEP, error)); /* over the file it came from */
  pleat_model *third = pleat_model_retain(again);
  pleat_model_release(again);
  pleat_model_release(third);
  unlink(path);
}
END_TEST

START_TEST(load_errors) {
  pleat_model *model = NULL;
  pleat_error error = PLEAT_ERROR_INIT;
  ck_assert_int_eq(pleat_model_load("/nonexistent/model.onnx", &model, &error), PLEAT_IO_ERROR);
  ck_assert_str_eq(error.file, "/nonexistent/model.onnx");
  ck_assert_ptr_null(model);
  ck_assert_int_eq(pleat_model_load(NULL, &model, NULL), PLEAT_INVALID_ARGUMENT);
  ck_assert_int_eq(pleat_model_load_memory(NULL, 4, NULL, &model, NULL), PLEAT_INVALID_ARGUMENT);
  ck_assert_int_eq(pleat_model_load_memory("", 0, NULL, &model, NULL), PLEAT_MALFORMED_MODEL);
  ck_assert_int_eq(pleat_model_load_memory("\xff\xff\xff", 3, NULL, &model, NULL), PLEAT_MALFORMED_MODEL);
  ck_assert_int_eq(pleat_model_save(NULL, "x", PLEAT_EXTERNAL_KEEP, NULL), PLEAT_INVALID_ARGUMENT);
  pleat_model_release(NULL);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("graph describe");
  TCase *tcase = tcase_create("describe");
  tcase_add_test(tcase, describes_with_unknown_shapes);
  tcase_add_test(tcase, describes_with_given_shapes);
  tcase_add_test(tcase, describes_subgraphs_and_unsupported);
  tcase_add_test(tcase, warns_of_later_versions);
  tcase_add_test(tcase, saves_and_loads);
  tcase_add_test(tcase, load_errors);
  suite_add_tcase(suite, tcase);
  return suite;
}

/* Export: nothing is lost of what was not edited, and edits come out right for every IR version. */
#include <dirent.h>

#include "graph_testing.h"

/* Import and export give a message that packs to the same bytes. */
static void assert_lossless(const pleat_model *model, const char *name) {
  pleat_model *exported = NULL;
  void *before = NULL, *after = NULL;
  size_t before_size = 0, after_size = 0;
  pleat_graph *graph = import(model, false);
  ck_assert_msg(!graph->edited, "%s", name);
  ASSERT_OK(pleat_graph_export(graph, &exported, error));
  pleat_graph_destroy(graph);
  ck_assert_ptr_ne(exported->message->graph, model->message->graph);
  ASSERT_OK(pleat_model_save_memory(model, &before, &before_size, error));
  ASSERT_OK(pleat_model_save_memory(exported, &after, &after_size, error));
  ck_assert_msg(before_size == after_size && memcmp(before, after, before_size) == 0, "%s changed", name);
  free(before);
  free(after);
  pleat_model_release(exported);
}

/* Every <folder>/<entry>/model.onnx. Returns how many there were. */
static size_t check_folder(const char *folder) {
  DIR *dir = opendir(folder);
  size_t count = 0;
  if (dir == NULL) return 0;
  for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
    char path[1024];
    pleat_model *model = NULL;
    if (entry->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "%s/%s/model.onnx", folder, entry->d_name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) continue;
    fclose(file);
    ASSERT_OK(pleat_model_load(path, &model, error));
    assert_lossless(model, path);
    pleat_model_release(model);
    count++;
  }
  closedir(dir);
  return count;
}

START_TEST(shared_models_are_lossless) {
  static const char *const folders[] = {PLEAT_SHARED_DIR "/models", PLEAT_SHARED_DIR "/conformance/node",
                                        PLEAT_SOURCE_DIR "/models"};
  DIR *shared = opendir(PLEAT_SHARED_DIR);
  size_t count = 0;
  for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) count += check_folder(folders[i]);
  if (shared == NULL) {
    printf("skipped: shared models, because %s is not there\n", PLEAT_SHARED_DIR);
    return;
  }
  closedir(shared);
  ck_assert_uint_gt(count, 0);
}
END_TEST

/* Everything a ModelProto can carry that the graph knows nothing about. */
START_TEST(odd_parts_are_kept) {
  builder b = build_if_model();
  b.model->doc_string = build_text(&b, "doc");
  b.model->producer_name = build_text(&b, "tests");
  Onnx__StringStringEntryProto *entry =
      NEW(&b, Onnx__StringStringEntryProto, &onnx__string_string_entry_proto__descriptor);
  entry->key = build_text(&b, "key");
  entry->value = build_text(&b, "value");
  ADD(&b, b.model->metadata_props, b.model->n_metadata_props, entry);
  b.graph->node[0]->doc_string = build_text(&b, "node doc");
  b.graph->node[0]->domain = build_text(&b, "ai.onnx");
  build_value_info(&b, b.graph, "t");
  build_value_info(&b, b.graph, "about_nothing");
  Onnx__TensorAnnotation *annotation = NEW(&b, Onnx__TensorAnnotation, &onnx__tensor_annotation__descriptor);
  annotation->tensor_name = build_text(&b, "t");
  ADD(&b, b.graph->quantization_annotation, b.graph->n_quantization_annotation, annotation);
  Onnx__TrainingInfoProto *training = NEW(&b, Onnx__TrainingInfoProto, &onnx__training_info_proto__descriptor);
  ADD(&b, b.model->training_info, b.model->n_training_info, training);
  build_function(&b, "never_called", "p", "q");
  ProtobufCMessageUnknownField unknown = {
      .tag = 999, .wire_type = PROTOBUF_C_WIRE_TYPE_VARINT, .len = 1, .data = (uint8_t *)"\x2a"};
  b.graph->base.n_unknown_fields = 1;
  b.graph->base.unknown_fields = &unknown;
  pleat_model *model = build_model(&b);
  ck_assert_uint_eq(model->message->graph->base.n_unknown_fields, 1);
  assert_lossless(model, "odd parts");

  /* the same when the graph was edited */
  pleat_model *exported = NULL;
  pleat_graph *graph = import(model, false);
  pleat_value *c = NULL;
  pleat_tensor *tensor = NULL;
  ck_assert_int_eq(pleat_tensor_create(PLEAT_FLOAT, 0, NULL, &tensor, NULL), PLEAT_OK);
  ASSERT_OK(pleat_graph_add_constant(graph, "c", tensor, &c, error));
  ASSERT_OK(pleat_graph_export(graph, &exported, error));
  pleat_graph_destroy(graph);
  const Onnx__ModelProto *message = exported->message;
  ck_assert_uint_eq(message->graph->base.n_unknown_fields, 1);
  ck_assert_uint_eq(message->n_functions, 1);
  ck_assert_uint_eq(message->n_training_info, 1);
  ck_assert_uint_eq(message->n_metadata_props, 1);
  ck_assert_uint_eq(message->graph->n_value_info, 2);
  ck_assert_uint_eq(message->graph->n_quantization_annotation, 1);
  ck_assert_ptr_eq(message->graph->node[0], model->message->graph->node[0]);
  pleat_model_release(exported);
  pleat_model_release(model);
}
END_TEST

/* w is replaced by a new constant, and Relu "a" goes. */
static pleat_model *export_edited(int64_t ir_version) {
  builder b = build_begin(ir_version, 18);
  build_input(&b, b.graph, "x");
  if (ir_version < 4) build_input(&b, b.graph, "w");
  build_init_float(&b, b.graph, "w", 1);
  build_init_float(&b, b.graph, "kept", 5);
  if (ir_version < 4) build_input(&b, b.graph, "kept");
  build_node(&b, b.graph, "Relu", "a", "x", "t");
  build_node(&b, b.graph, "Add", "add", "t,w", "u");
  build_node(&b, b.graph, "Add", "add2", "u,kept", "y");
  build_value_info(&b, b.graph, "t");
  build_value_info(&b, b.graph, "u");
  b.graph->node[1]->doc_string = build_text(&b, "stays");
  build_output(&b, b.graph, "y");
  pleat_model *model = build_model(&b), *exported = NULL;
  pleat_graph *graph = import(model, false);
  pleat_tensor *tensor = NULL;
  pleat_value *c = NULL;
  ck_assert_int_eq(pleat_tensor_create(PLEAT_FLOAT, 1, (int64_t[]){2}, &tensor, NULL), PLEAT_OK);
  ((float *)tensor->data)[1] = 9;
  ASSERT_OK(pleat_graph_add_constant(graph, "folded", tensor, &c, error));
  ck_assert(pleat_value_replace(value_named(graph, "w"), c));
  ck_assert(pleat_value_replace(value_named(graph, "t"), value_named(graph, "x")));
  ck_assert_uint_eq(pleat_graph_remove_dead(graph), 1);
  assert_verified(graph);
  ASSERT_OK(pleat_graph_export(graph, &exported, error));
  pleat_graph_destroy(graph); /* the exported model needs neither the graph nor our reference to its source */
  pleat_model_release(model);
  return exported;
}

START_TEST(edits_are_exported) {
  pleat_model *exported = export_edited(8);
  const Onnx__GraphProto *message = exported->message->graph;
  ck_assert_uint_eq(message->n_node, 2);
  ck_assert_str_eq(message->node[0]->name, "add");
  ck_assert_str_eq(message->node[0]->doc_string, "stays");
  ck_assert_str_eq(message->node[0]->input[0], "x");
  ck_assert_str_eq(message->node[0]->input[1], "folded");
  ck_assert_uint_eq(message->n_initializer, 2);
  ck_assert_str_eq(message->initializer[0]->name, "kept");
  ck_assert_str_eq(message->initializer[1]->name, "folded");
  ck_assert_uint_eq(message->n_input, 1);
  ck_assert_uint_eq(message->n_value_info, 1);
  ck_assert_str_eq(message->value_info[0]->name, "u");

  void *data = NULL; /* and it is a model that loads */
  size_t size = 0;
  pleat_model *again = NULL;
  ASSERT_OK(pleat_model_save_memory(exported, &data, &size, error));
  pleat_model_release(exported);
  ASSERT_OK(pleat_model_load_memory(data, size, NULL, &again, error));
  free(data);
  pleat_graph *graph = import(again, false);
  const pleat_tensor *tensor = NULL;
  ASSERT_OK(pleat_value_constant(value_named(graph, "folded"), &tensor, error));
  ck_assert(((const float *)tensor->data)[1] == 9.0f);
  pleat_graph_destroy(graph);
  pleat_model_release(again);
}
END_TEST

START_TEST(old_files_list_initializers_as_inputs) {
  pleat_model *exported = export_edited(3);
  const Onnx__GraphProto *message = exported->message->graph;
  ck_assert_uint_eq(message->n_input, 3);
  ck_assert_str_eq(message->input[0]->name, "x");
  ck_assert_str_eq(message->input[1]->name, "kept");
  ck_assert_str_eq(message->input[2]->name, "folded");
  ck_assert_int_eq(message->input[2]->type->tensor_type->elem_type, PLEAT_FLOAT);
  ck_assert_int_eq(message->input[2]->type->tensor_type->shape->dim[0]->dim_value, 2);
  pleat_model_release(exported);
}
END_TEST

START_TEST(exports_again) {
  pleat_model *first = export_edited(8), *second = NULL;
  pleat_graph *graph = import(first, false);
  ck_assert(pleat_graph_add_output(graph, value_named(graph, "u")));
  ASSERT_OK(pleat_graph_export(graph, &second, error));
  pleat_graph_destroy(graph);
  pleat_model_release(first);
  ck_assert_uint_eq(second->message->graph->n_output, 2);
  ck_assert_str_eq(second->message->graph->output[1]->name, "u");
  assert_lossless(second, "exported twice");
  pleat_model_release(second);
}
END_TEST

START_TEST(replaced_output_keeps_description) {
  builder b = build_chain(8);
  b.graph->output[0]->doc_string = build_text(&b, "the result");
  build_value_info(&b, b.graph, "t");
  pleat_model *model = build_model(&b), *exported = NULL;
  pleat_graph *graph = import(model, false);
  ck_assert(pleat_value_replace(value_named(graph, "y"), value_named(graph, "t")));
  pleat_graph_remove_dead(graph);
  ASSERT_OK(pleat_graph_export(graph, &exported, error));
  pleat_graph_destroy(graph);
  const Onnx__GraphProto *message = exported->message->graph;
  ck_assert_uint_eq(message->n_node, 1);
  ck_assert_str_eq(message->node[0]->output[0], "y");
  ck_assert_ptr_eq(message->output[0], model->message->graph->output[0]);
  ck_assert_uint_eq(message->n_value_info, 0);
  pleat_model_release(exported);
  pleat_model_release(model);
}
END_TEST

START_TEST(only_edited_subgraphs_are_written_anew) {
  builder b = build_if_model();
  pleat_model *model = build_model(&b), *exported = NULL;
  pleat_graph *graph = import(model, false);
  pleat_node *owner = node_named(graph, "if");
  pleat_node *inner = branch_of(owner, "then_branch")->first;
  ck_assert(pleat_node_set_attr(inner, (pleat_attr){.name = "note", .type = PLEAT_ATTR_INT, .i = 3}));
  ASSERT_OK(pleat_graph_export(graph, &exported, error));
  pleat_graph_destroy(graph);
  const Onnx__NodeProto *before = model->message->graph->node[1], *after = exported->message->graph->node[1];
  ck_assert_ptr_ne(before, after);
  ck_assert_ptr_ne(before->attribute[0], after->attribute[0]);
  ck_assert_ptr_eq(before->attribute[1], after->attribute[1]);
  ck_assert_int_eq(after->attribute[0]->g->node[0]->attribute[0]->i, 3);
  ck_assert_ptr_eq(model->message->graph->node[0], exported->message->graph->node[0]);
  pleat_model_release(exported);
  pleat_model_release(model);
}
END_TEST

/* A subgraph cannot get more inputs, so below IR version 4 its new constants become Constant nodes. */
START_TEST(constants_in_old_subgraphs) {
  for (int64_t ir_version = 3; ir_version <= 4; ir_version++) {
    builder b = build_if_model();
    b.model->ir_version = ir_version;
    pleat_model *model = build_model(&b), *exported = NULL;
    pleat_graph *graph = import(model, false);
    pleat_graph *branch = branch_of(node_named(graph, "if"), "then_branch");
    pleat_tensor *tensor = NULL;
    pleat_value *c = NULL;
    ck_assert_int_eq(pleat_tensor_create(PLEAT_FLOAT, 1, (int64_t[]){2}, &tensor, NULL), PLEAT_OK);
    ASSERT_OK(pleat_graph_add_constant(branch, "c", tensor, &c, error));
    ck_assert(pleat_node_set_input(branch->first, 0, c));
    ASSERT_OK(pleat_graph_export(graph, &exported, error));
    pleat_graph_destroy(graph);
    const Onnx__GraphProto *message = exported->message->graph->node[1]->attribute[0]->g;
    ck_assert_uint_eq(message->n_input, 0);
    ck_assert_uint_eq(message->n_initializer, ir_version < 4 ? 0 : 1);
    ck_assert_uint_eq(message->n_node, ir_version < 4 ? 2 : 1);
    graph = import(exported, false);
    branch = branch_of(node_named(graph, "if"), "then_branch");
    ck_assert(pleat_value_is_constant(value_named(branch, "c")));
    pleat_graph_destroy(graph);
    pleat_model_release(exported);
    pleat_model_release(model);
  }
}
END_TEST

START_TEST(new_attributes_of_every_type) {
  static const float floats[] = {1, 2};
  static const int64_t ints[] = {3, 4, 5};
  static const pleat_string strings[] = {{"ab", 2}, {"", 0}};
  builder b = build_chain(8);
  build_init_float(&b, b.graph, "w", 6);
  pleat_model *model = build_model(&b), *exported = NULL;
  pleat_graph *graph = import(model, false);
  const pleat_tensor *tensor = NULL;
  ASSERT_OK(pleat_value_constant(value_named(graph, "w"), &tensor, error));
  pleat_node *node = pleat_graph_add_node(graph, graph->last, "Custom", "com.example", "new");
  ck_assert(pleat_node_set_attr(node, (pleat_attr){.name = "f", .type = PLEAT_ATTR_FLOAT, .f = 0.5f}));
  ck_assert(pleat_node_set_attr(node, (pleat_attr){.name = "i", .type = PLEAT_ATTR_INT, .i = -1}));
  ck_assert(pleat_node_set_attr(node, (pleat_attr){.name = "s", .type = PLEAT_ATTR_STRING, .count = 2, .s = "hi"}));
  ck_assert(
      pleat_node_set_attr(node, (pleat_attr){.name = "fs", .type = PLEAT_ATTR_FLOATS, .count = 2, .floats = floats}));
  ck_assert(pleat_node_set_attr(node, (pleat_attr){.name = "is", .type = PLEAT_ATTR_INTS, .count = 3, .ints = ints}));
  ck_assert(pleat_node_set_attr(
      node, (pleat_attr){.name = "ss", .type = PLEAT_ATTR_STRINGS, .count = 2, .strings = strings}));
  ck_assert(pleat_node_set_attr(node, (pleat_attr){.name = "t", .type = PLEAT_ATTR_TENSOR, .tensor = tensor}));
  ASSERT_OK(pleat_graph_export(graph, &exported, error));
  pleat_graph_destroy(graph);
  pleat_model_release(model);
  graph = import(exported, false);
  node = node_named(graph, "new");
  const float *got_floats = NULL;
  const int64_t *got_ints = NULL;
  ck_assert_str_eq(node->domain, "com.example");
  ck_assert(pleat_attr_float(node, "f") == 0.5f);
  ck_assert_int_eq(pleat_attr_int(node, "i"), -1);
  ck_assert_str_eq(pleat_attr_string(node, "s"), "hi");
  ck_assert_uint_eq(pleat_attr_floats(node, "fs", &got_floats), 2);
  ck_assert_mem_eq(got_floats, floats, sizeof floats);
  ck_assert_uint_eq(pleat_attr_ints(node, "is", &got_ints), 3);
  ck_assert_mem_eq(got_ints, ints, sizeof ints);
  const pleat_attr *list = pleat_node_attr(node, "ss");
  ck_assert_uint_eq(list->count, 2);
  ck_assert_uint_eq(list->strings[0].size, 2);
  ck_assert_mem_eq(list->strings[0].data, "ab", 2);
  const pleat_attr *t = pleat_node_attr(node, "t");
  ck_assert(((const float *)t->tensor->data)[1] == 7.0f);
  pleat_graph_destroy(graph);
  pleat_model_release(exported);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("graph export");
  TCase *tcase = tcase_create("export");
  tcase_set_timeout(tcase, 120);
  tcase_add_test(tcase, shared_models_are_lossless);
  tcase_add_test(tcase, odd_parts_are_kept);
  tcase_add_test(tcase, edits_are_exported);
  tcase_add_test(tcase, old_files_list_initializers_as_inputs);
  tcase_add_test(tcase, exports_again);
  tcase_add_test(tcase, replaced_output_keeps_description);
  tcase_add_test(tcase, only_edited_subgraphs_are_written_anew);
  tcase_add_test(tcase, constants_in_old_subgraphs);
  tcase_add_test(tcase, new_attributes_of_every_type);
  suite_add_tcase(suite, tcase);
  return suite;
}

/* Saving: files are replaced atomically or not at all; external data in and out; what external data may not do. */
#include "proto_testing.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/stat.h>

static pleat_status bytes_of(void *user, const Onnx__TensorProto *tensor, pleat_proto_stored *out, pleat_error *error) {
  return pleat_proto_tensor_bytes(user, tensor, &out->data, &out->size, error);
}

static pleat_status save(pleat_proto *proto, const char *path, bool inline_external, pleat_error *error) {
  return pleat_proto_save(pleat_proto_model(proto), path, inline_external, bytes_of, proto, error);
}

static size_t count_files(const char *folder) {
  DIR *dir = opendir(folder);
  ck_assert_ptr_nonnull(dir);
  size_t count = 0;
  for (struct dirent *e; (e = readdir(dir)) != NULL;) count += e->d_name[0] != '.';
  closedir(dir);
  return count;
}

static void remove_folder(const char *folder) {
  DIR *dir = opendir(folder);
  char path[512];
  for (struct dirent *e; (e = readdir(dir)) != NULL;) {
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
    if (unlink(path_in(folder, e->d_name, path, sizeof path)) != 0) remove_folder(path);
  }
  closedir(dir);
  rmdir(folder);
}

/* The test's own folder, a file named "model.onnx" in it, and one named "weights" of 64 floats, -1, -2, ... */
static char folder[32], model_path[64], weights_path[64];

static void setup(void) {
  make_folder(folder, sizeof folder);
  path_in(folder, "model.onnx", model_path, sizeof model_path);
  path_in(folder, "weights", weights_path, sizeof weights_path);
  float values[64];
  for (int i = 0; i < 64; i++) values[i] = -1.0f - (float)i;
  ck_assert_int_eq(pleat_write_file(weights_path, values, sizeof values, NULL), PLEAT_OK);
}

static void teardown(void) {
  remove_folder(folder);
}

static void check_bytes(pleat_proto *proto, const Onnx__TensorProto *tensor, size_t count, float first, float step) {
  const void *data;
  size_t size;
  ck_assert_int_eq(pleat_proto_tensor_bytes(proto, tensor, &data, &size, NULL), PLEAT_OK);
  ck_assert_uint_eq(size, count * sizeof(float));
  for (size_t i = 0; i < count; i++) {
    float value;
    memcpy(&value, (const char *)data + i * sizeof value, sizeof value);
    ck_assert_float_eq(value, first + step * (float)i);
  }
}

/* A model with three external tensors: two initializers, and one in an attribute of a node of a subgraph; and an inline
 * one. Writes it to `model_path`. */
static void write_external_model(void) {
  wire graph = {0}, node = {0}, attribute = {0}, subgraph = {0}, inner = {0}, tensor;
  tensor = wire_external("inner", 4, "weights", "16", "16");
  wire_child(&attribute, ATTRIBUTE_TENSOR, &tensor);
  wire_child(&inner, NODE_ATTRIBUTE, &attribute);
  wire_child(&subgraph, GRAPH_NODE, &inner);
  wire_child(&attribute, ATTRIBUTE_GRAPH, &subgraph);
  wire_child(&node, NODE_ATTRIBUTE, &attribute);
  wire_child(&graph, GRAPH_NODE, &node);
  tensor = wire_external("a", 5, "weights", NULL, "20");
  wire_child(&graph, GRAPH_INITIALIZER, &tensor);
  tensor = wire_tensor("b", 40, 3.0f);
  wire_child(&graph, GRAPH_INITIALIZER, &tensor);
  tensor = wire_external("c", 54, "./weights", "40", NULL);
  wire_child(&graph, GRAPH_INITIALIZER, &tensor);
  wire w = wire_model(&graph);
  ck_assert_int_eq(pleat_write_file(model_path, w.data, w.size, NULL), PLEAT_OK);
  free(w.data);
}

static const Onnx__TensorProto *inner_tensor(pleat_proto *proto) {
  return pleat_proto_model(proto)->graph->node[0]->attribute[0]->g->node[0]->attribute[0]->t;
}

static void check_external_model(pleat_proto *proto) {
  Onnx__TensorProto **t = pleat_proto_model(proto)->graph->initializer;
  check_bytes(proto, t[0], 5, -1.0f, -1.0f);
  check_bytes(proto, t[1], 40, 3.0f, 1.0f);
  check_bytes(proto, t[2], 54, -11.0f, -1.0f);
  check_bytes(proto, inner_tensor(proto), 4, -5.0f, -1.0f);
}

static size_t number_of(const Onnx__TensorProto *tensor, const char *key) {
  for (size_t i = 0; i < tensor->n_external_data; i++) {
    if (strcmp(tensor->external_data[i]->key, key) == 0) return strtoul(tensor->external_data[i]->value, NULL, 10);
  }
  ck_abort_msg("no key %s", key);
  return 0;
}

START_TEST(external_kept) {
  char out[128], data[128], sub[64];
  path_in(folder, "out", sub, sizeof sub);
  ck_assert_int_eq(mkdir(sub, 0777), 0);
  path_in(sub, "new.onnx", out, sizeof out);
  path_in(sub, "new.onnx.data", data, sizeof data);
  write_external_model();
  pleat_proto *proto, *again;
  ck_assert_int_eq(pleat_proto_load(model_path, &proto, NULL), PLEAT_OK);
  check_external_model(proto);
  ck_assert_int_eq(save(proto, out, false, NULL), PLEAT_OK);
  check_external_model(proto); /* the source is as it was */
  pleat_proto_destroy(proto);
  ck_assert_uint_eq(count_files(sub), 2);
  ck_assert_int_eq(pleat_proto_load(out, &again, NULL), PLEAT_OK);
  check_external_model(again);
  Onnx__TensorProto **t = pleat_proto_model(again)->graph->initializer;
  ck_assert(pleat_proto_tensor_is_external(t[0]) && !pleat_proto_tensor_is_external(t[1]) &&
            pleat_proto_tensor_is_external(t[2]) && pleat_proto_tensor_is_external(inner_tensor(again)));
  ck_assert_str_eq(t[0]->external_data[0]->value, "new.onnx.data");
  ck_assert_uint_eq(number_of(t[0], "offset") % 64, 0);
  ck_assert_uint_eq(number_of(t[2], "offset") % 64, 0);
  ck_assert_uint_eq(number_of(t[2], "length"), 216);
  struct stat info;
  ck_assert_int_eq(stat(data, &info), 0);
  ck_assert_int_le(info.st_size, 64 + 64 + 216);
  pleat_proto_destroy(again);
}
END_TEST

START_TEST(external_inlined) {
  char out[128];
  path_in(folder, "inline.onnx", out, sizeof out);
  write_external_model();
  pleat_proto *proto, *again;
  ck_assert_int_eq(pleat_proto_load(model_path, &proto, NULL), PLEAT_OK);
  ck_assert_int_eq(save(proto, out, true, NULL), PLEAT_OK);
  pleat_proto_destroy(proto);
  ck_assert_int_eq(unlink(weights_path), 0);
  ck_assert_int_eq(pleat_proto_load(out, &again, NULL), PLEAT_OK);
  check_external_model(again);
  ck_assert(!pleat_proto_tensor_is_external(inner_tensor(again)));
  ck_assert_uint_eq(inner_tensor(again)->n_external_data, 0);
  pleat_proto_destroy(again);
  ck_assert_uint_eq(count_files(folder), 2);
}
END_TEST

/* Twice, so that the second time the data comes from the very file that is replaced. */
START_TEST(saving_over_the_source) {
  write_external_model();
  for (int i = 0; i < 2; i++) {
    pleat_proto *proto;
    ck_assert_int_eq(pleat_proto_load(model_path, &proto, NULL), PLEAT_OK);
    ck_assert_int_eq(save(proto, model_path, false, NULL), PLEAT_OK);
    check_external_model(proto);
    pleat_proto_destroy(proto);
    ck_assert_int_eq(pleat_proto_load(model_path, &proto, NULL), PLEAT_OK);
    check_external_model(proto);
    pleat_proto_destroy(proto);
  }
  ck_assert_uint_eq(count_files(folder), 3); /* model.onnx, weights, model.onnx.data */
}
END_TEST

START_TEST(failure_leaves_everything) {
  write_external_model();
  char out[128];
  path_in(folder, "target.onnx", out, sizeof out);
  ck_assert_int_eq(pleat_write_file(out, "before", 6, NULL), PLEAT_OK);
  ck_assert_int_eq(truncate(weights_path, 20), 0); /* "a" is written to the new file, then "c" is missing */
  pleat_proto *proto;
  pleat_error error = PLEAT_ERROR_INIT;
  ck_assert_int_eq(pleat_proto_load(model_path, &proto, NULL), PLEAT_OK);
  ck_assert_int_eq(save(proto, out, false, &error), PLEAT_MALFORMED_MODEL);
  ASSERT_CONTAINS(error.message, "beyond the end of 'weights', which has 20 bytes");
  pleat_proto_destroy(proto);
  ck_assert_uint_eq(count_files(folder), 3); /* model.onnx, weights, target.onnx: nothing temporary */
  char text[8] = {0};
  FILE *file = fopen(out, "rb");
  ck_assert_uint_eq(fread(text, 1, sizeof text, file), 6);
  fclose(file);
  ck_assert_str_eq(text, "before");
}
END_TEST

START_TEST(permissions_are_the_umask) {
  mode_t before = umask(027);
  struct stat info;
  char path[64];
  ck_assert_int_eq(pleat_write_file(path_in(folder, "p", path, sizeof path), "x", 1, NULL), PLEAT_OK);
  umask(before);
  ck_assert_int_eq(stat(path, &info), 0);
  ck_assert_int_eq((int)(info.st_mode & 0777), 0640);
}
END_TEST

START_TEST(places_that_cannot_be_written) {
  pleat_error error = PLEAT_ERROR_INIT;
  ck_assert_int_eq(pleat_write_file("/nowhere/file", "x", 1, &error), PLEAT_IO_ERROR);
  ck_assert_str_eq(error.file, "/nowhere/file");
  error = (pleat_error)PLEAT_ERROR_INIT;
  ck_assert_int_eq(pleat_write_file("/dev/null", "x", 1, &error), PLEAT_IO_ERROR);
  ASSERT_CONTAINS(error.message, "not a regular file");
  struct stat info;
  ck_assert(stat("/dev/null", &info) == 0 && S_ISCHR(info.st_mode));
  ck_assert_int_eq(pleat_write_file(folder, "x", 1, NULL), PLEAT_IO_ERROR);
  ck_assert_int_eq(pleat_write_file("", "x", 1, NULL), PLEAT_INVALID_ARGUMENT);
  ck_assert_uint_eq(count_files(folder), 1);
}
END_TEST

START_TEST(large_and_empty_files) {
  char path[64];
  size_t size = 3 * 65536 + 17;
  uint8_t *data = malloc(size), *read = malloc(size + 1);
  for (size_t i = 0; i < size; i++) data[i] = (uint8_t)(i * 31 >> 3);
  path_in(folder, "large", path, sizeof path);
  ck_assert_int_eq(pleat_write_file(path, data, size, NULL), PLEAT_OK);
  FILE *file = fopen(path, "rb");
  ck_assert_uint_eq(fread(read, 1, size + 1, file), size);
  fclose(file);
  ck_assert_mem_eq(read, data, size);
  ck_assert_int_eq(pleat_write_file(path, NULL, 0, NULL), PLEAT_OK);
  struct stat info;
  ck_assert(stat(path, &info) == 0 && info.st_size == 0);
  free(data);
  free(read);
}
END_TEST

/* Three GiB that nobody may look at: the size alone decides. */
static pleat_status huge_bytes(void *user, const Onnx__TensorProto *tensor, pleat_proto_stored *out,
                               pleat_error *error) {
  (void)tensor, (void)error;
  *out = (pleat_proto_stored){.size = (size_t)3 << 30, .data = user};
  return PLEAT_OK;
}

START_TEST(too_large_to_inline) {
  char out[64];
  write_external_model();
  pleat_proto *proto;
  pleat_error error = PLEAT_ERROR_INIT;
  ck_assert_int_eq(pleat_proto_load(model_path, &proto, NULL), PLEAT_OK);
  ck_assert_int_eq(pleat_proto_save(pleat_proto_model(proto), path_in(folder, "big.onnx", out, sizeof out), true,
                                    huge_bytes, folder, &error),
                   PLEAT_UNSUPPORTED);
  ASSERT_CONTAINS(error.message, "at most 2 GiB: keep the weights as external data");
  ck_assert_str_eq(error.file, out);
  ck_assert_uint_eq(count_files(folder), 2);
  pleat_proto_destroy(proto);
}
END_TEST

/* ---- external data that is refused ---- */

static const struct {
  const char *location, *offset, *length;
  pleat_status status;
  const char *part;
} refused[] = {
    {"/etc/passwd", NULL, NULL, PLEAT_MALFORMED_MODEL, "in the model's folder, found the location '/etc/passwd'"},
    {"../weights", NULL, NULL, PLEAT_MALFORMED_MODEL, "in the model's folder"},
    {"..", NULL, NULL, PLEAT_MALFORMED_MODEL, "in the model's folder"},
    {"sub/../weights", NULL, NULL, PLEAT_MALFORMED_MODEL, "in the model's folder"},
    {"sub/..", NULL, NULL, PLEAT_MALFORMED_MODEL, "in the model's folder"},
    {"link", NULL, NULL, PLEAT_MALFORMED_MODEL, "'link' is a link to '/"},
    {".", NULL, NULL, PLEAT_MALFORMED_MODEL, "in the model's folder"},
    {"missing", NULL, NULL, PLEAT_IO_ERROR, "No such file"},
    {"pipe", NULL, NULL, PLEAT_MALFORMED_MODEL, "'pipe' is not a regular file"},
    {"sub", NULL, NULL, PLEAT_MALFORMED_MODEL, "'sub' is not a regular file"},
    {"", NULL, NULL, PLEAT_MALFORMED_MODEL, "without a location"},
    {NULL, "0", "4", PLEAT_MALFORMED_MODEL, "without a location"},
    {"weights", "-1", NULL, PLEAT_MALFORMED_MODEL, "expected a number for 'offset', found '-1'"},
    {"weights", "", NULL, PLEAT_MALFORMED_MODEL, "expected a number for 'offset'"},
    {"weights", "0", "12x", PLEAT_MALFORMED_MODEL, "expected a number for 'length', found '12x'"},
    {"weights", "18446744073709551616", NULL, PLEAT_MALFORMED_MODEL, "expected a number for 'offset'"},
    {"weights", "257", NULL, PLEAT_MALFORMED_MODEL, "beyond the end of 'weights', which has 256 bytes"},
    {"weights", "200", "57", PLEAT_MALFORMED_MODEL, "beyond the end"},
    {"weights", "16", "18446744073709551608", PLEAT_MALFORMED_MODEL, "beyond the end"},
};

START_TEST(external_refused) {
  char link[64];
  ck_assert_int_eq(symlink("/etc/passwd", path_in(folder, "link", link, sizeof link)), 0);
  ck_assert_int_eq(mkfifo(path_in(folder, "pipe", link, sizeof link), 0600), 0);
  ck_assert_int_eq(mkdir(path_in(folder, "sub", link, sizeof link), 0700), 0);
  wire graph = {0};
  wire tensor = wire_external("bad", 4, refused[_i].location, refused[_i].offset, refused[_i].length);
  wire_child(&graph, GRAPH_INITIALIZER, &tensor);
  wire w = wire_model(&graph);
  ck_assert_int_eq(pleat_write_file(model_path, w.data, w.size, NULL), PLEAT_OK);
  free(w.data);
  pleat_proto *proto;
  pleat_error error = PLEAT_ERROR_INIT;
  const void *data = folder;
  size_t size = 1;
  ck_assert_int_eq(pleat_proto_load(model_path, &proto, NULL), PLEAT_OK);
  ck_assert_int_eq(
      pleat_proto_tensor_bytes(proto, pleat_proto_model(proto)->graph->initializer[0], &data, &size, &error),
      refused[_i].status);
  ck_assert_ptr_null(data);
  ck_assert_uint_eq(size, 0);
  ASSERT_CONTAINS(error.message, refused[_i].part);
  ck_assert_str_eq(error.tensor, "bad");
  ck_assert_str_eq(error.file, model_path);
  pleat_proto_destroy(proto);
}
END_TEST

START_TEST(external_from_memory) {
  wire graph = {0}, tensor = wire_external("w", 64, "weights", NULL, NULL);
  wire_child(&graph, GRAPH_INITIALIZER, &tensor);
  wire w = wire_model(&graph);
  pleat_proto *proto;
  pleat_error error = PLEAT_ERROR_INIT;
  const void *data;
  size_t size;
  ck_assert_int_eq(pleat_proto_load_memory(w.data, w.size, NULL, &proto, NULL), PLEAT_OK);
  ck_assert_int_eq(
      pleat_proto_tensor_bytes(proto, pleat_proto_model(proto)->graph->initializer[0], &data, &size, &error),
      PLEAT_INVALID_ARGUMENT);
  ASSERT_CONTAINS(error.message, "loaded from memory");
  pleat_proto_destroy(proto);
  ck_assert_int_eq(pleat_proto_load_memory(w.data, w.size, folder, &proto, NULL), PLEAT_OK);
  check_bytes(proto, pleat_proto_model(proto)->graph->initializer[0], 64, -1.0f, -1.0f);
  pleat_proto_destroy(proto);
  free(w.data);
}
END_TEST

/* ---- threads ---- */

static void *ask_all(void *user) {
  for (int i = 0; i < 100; i++) check_external_model(user);
  return NULL;
}

/* The first to ask maps the files; run with the thread sanitizer to see more. */
START_TEST(external_from_several_threads) {
  write_external_model();
  pleat_proto *proto;
  pthread_t threads[4];
  ck_assert_int_eq(pleat_proto_load(model_path, &proto, NULL), PLEAT_OK);
  for (int i = 0; i < 4; i++) ck_assert_int_eq(pthread_create(&threads[i], NULL, ask_all, proto), 0);
  for (int i = 0; i < 4; i++) ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
  pleat_proto_destroy(proto);
}
END_TEST

/* ---- what is computed while it is written ---- */

enum { LARGE = 100000 }; /* floats: several pieces */

/* -1, -2, ... where the message has no data; otherwise what it has. */
static void fill_counting(const void *user, size_t offset, size_t size, void *out) {
  static size_t next_offset;
  const float *first = user;
  if (offset != 0) ck_assert_uint_eq(offset, next_offset);
  ck_assert_uint_eq(offset % 64, 0);
  next_offset = offset + size;
  for (size_t i = 0; i < size / sizeof(float); i++) {
    const float value = *first - (float)(offset / sizeof(float) + i);
    memcpy((char *)out + i * sizeof value, &value, sizeof value); /* at any alignment */
  }
}

static const float first_value = -1;

static pleat_status computed_bytes(void *user, const Onnx__TensorProto *tensor, pleat_proto_stored *out,
                                   pleat_error *error) {
  if (tensor->has_raw_data || tensor->n_external_data > 0) return bytes_of(user, tensor, out, error);
  *out = (pleat_proto_stored){
      .size = (size_t)tensor->dims[0] * sizeof(float), .fill = fill_counting, .user = &first_value};
  return PLEAT_OK;
}

static wire wire_computed(const char *name, size_t count) {
  wire t = {0};
  wire_number(&t, TENSOR_DIMS, count);
  wire_number(&t, TENSOR_TYPE, 1);
  wire_text(&t, TENSOR_NAME, name);
  return t;
}

/* Two computed tensors, the second of which is external in name, around stored ones; and one computed in an attribute.
 */
static pleat_proto *load_computed_model(void) {
  wire graph = {0}, node = {0}, attribute = {0}, tensor;
  tensor = wire_computed("inner", 3);
  wire_child(&attribute, ATTRIBUTE_TENSOR, &tensor);
  wire_child(&node, NODE_ATTRIBUTE, &attribute);
  wire_child(&graph, GRAPH_NODE, &node);
  tensor = wire_computed("a", LARGE);
  wire_child(&graph, GRAPH_INITIALIZER, &tensor);
  tensor = wire_tensor("b", 40, 3.0f);
  wire_child(&graph, GRAPH_INITIALIZER, &tensor);
  tensor = wire_computed("c", LARGE + 7);
  wire_number(&tensor, TENSOR_LOCATION, 1);
  wire_child(&graph, GRAPH_INITIALIZER, &tensor);
  tensor = wire_external("d", 54, "weights", "40", NULL);
  wire_child(&graph, GRAPH_INITIALIZER, &tensor);
  wire w = wire_model(&graph);
  pleat_proto *proto;
  ck_assert_int_eq(pleat_proto_load_memory(w.data, w.size, folder, &proto, NULL), PLEAT_OK);
  free(w.data);
  return proto;
}

static void check_computed_model(pleat_proto *proto) {
  const Onnx__GraphProto *graph = pleat_proto_model(proto)->graph;
  Onnx__TensorProto **t = graph->initializer;
  check_bytes(proto, graph->node[0]->attribute[0]->t, 3, -1.0f, -1.0f);
  check_bytes(proto, t[0], LARGE, -1.0f, -1.0f);
  check_bytes(proto, t[1], 40, 3.0f, 1.0f);
  check_bytes(proto, t[2], LARGE + 7, -1.0f, -1.0f);
  check_bytes(proto, t[3], 54, -11.0f, -1.0f);
}

START_TEST(computed_while_writing) {
  static const struct {
    pleat_external external;
    bool is_external[4];
  } cases[] = {{PLEAT_EXTERNAL_KEEP, {false, false, true, true}},
               {PLEAT_EXTERNAL_INLINE, {false, false, false, false}},
               {PLEAT_EXTERNAL_FILE, {true, false, true, true}}};
  char out[128];
  pleat_proto *proto = load_computed_model(), *again;
  path_in(folder, "computed.onnx", out, sizeof out);
  ck_assert_int_eq(pleat_proto_save(pleat_proto_model(proto), out, cases[_i].external, computed_bytes, proto, NULL),
                   PLEAT_OK);
  ck_assert_int_eq(pleat_proto_load(out, &again, NULL), PLEAT_OK);
  check_computed_model(again);
  for (size_t i = 0; i < 4; i++) {
    const Onnx__TensorProto *tensor = pleat_proto_model(again)->graph->initializer[i];
    ck_assert_int_eq(pleat_proto_tensor_is_external(tensor), cases[_i].is_external[i]);
  }
  pleat_proto_destroy(again);
  pleat_proto_destroy(proto);
}
END_TEST

/* In memory, what is external stays where it is; what is computed has nowhere else to be. */
START_TEST(computed_into_memory) {
  void *data;
  size_t size;
  pleat_proto *proto = load_computed_model(), *again;
  ck_assert_int_eq(pleat_proto_pack_model(pleat_proto_model(proto), computed_bytes, proto, &data, &size, NULL),
                   PLEAT_OK);
  ck_assert_int_eq(pleat_proto_load_memory(data, size, folder, &again, NULL), PLEAT_OK);
  free(data);
  check_computed_model(again);
  Onnx__TensorProto **t = pleat_proto_model(again)->graph->initializer;
  ck_assert(!pleat_proto_tensor_is_external(t[2]) && pleat_proto_tensor_is_external(t[3]));
  ck_assert_str_eq(t[3]->external_data[0]->value, "weights");
  pleat_proto_destroy(again);
  pleat_proto_destroy(proto);
}
END_TEST

/* What was given back is read again: from the file, and, where there is none, it was never given away. */
START_TEST(given_back_and_read_again) {
  enum { COUNT = 20000 };
  wire graph = {0}, tensor = wire_tensor("a", COUNT, 1.0f);
  wire_child(&graph, GRAPH_INITIALIZER, &tensor);
  wire w = wire_model(&graph);
  ck_assert_int_eq(pleat_write_file(model_path, w.data, w.size, NULL), PLEAT_OK);
  for (int mapped = 0; mapped < 2; mapped++) {
    pleat_proto *proto;
    ck_assert_int_eq(mapped ? pleat_proto_load(model_path, &proto, NULL)
                            : pleat_proto_load_memory(w.data, w.size, NULL, &proto, NULL),
                     PLEAT_OK);
    const Onnx__TensorProto *a = pleat_proto_model(proto)->graph->initializer[0];
    check_bytes(proto, a, COUNT, 1.0f, 1.0f);
    pleat_proto_give_back(proto, a->raw_data.data, a->raw_data.len);
    check_bytes(proto, a, COUNT, 1.0f, 1.0f);
    pleat_proto_give_back(proto, &graph, sizeof graph); /* nothing of the model's: left alone */
    pleat_proto_give_back_all(proto);
    check_bytes(proto, a, COUNT, 1.0f, 1.0f);
    pleat_proto_destroy(proto);
  }
  free(w.data);
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  Suite *suite = suite_create("proto_save");
  TCase *tcase = tcase_create("save");
  tcase_add_checked_fixture(tcase, setup, teardown);
  tcase_add_test(tcase, external_kept);
  tcase_add_test(tcase, external_inlined);
  tcase_add_test(tcase, saving_over_the_source);
  tcase_add_test(tcase, failure_leaves_everything);
  tcase_add_test(tcase, too_large_to_inline);
  tcase_add_test(tcase, permissions_are_the_umask);
  tcase_add_test(tcase, places_that_cannot_be_written);
  tcase_add_test(tcase, large_and_empty_files);
  tcase_add_loop_test(tcase, external_refused, 0, (int)(sizeof refused / sizeof *refused));
  tcase_add_test(tcase, external_from_memory);
  tcase_add_test(tcase, external_from_several_threads);
  tcase_add_loop_test(tcase, computed_while_writing, 0, 3);
  tcase_add_test(tcase, computed_into_memory);
  tcase_add_test(tcase, given_back_and_read_again);
  suite_add_tcase(suite, tcase);
  return suite;
}

/* Every .onnx and .pb file of the shared folder goes through loading and packing, and through a file; what comes out is
 * what went in, byte for byte where the file is written the canonical way (fields in order, shortest numbers), and the
 * same message in any case. The type of a .pb follows from the model's inputs and outputs. */
#define _XOPEN_SOURCE 700 /* nftw */
#include "proto_testing.h"

#include <ftw.h>

#include "pleat/tensor.h"

#ifndef PLEAT_SHARED_DIR
#error "PLEAT_SHARED_DIR names the folder with conformance/ and models/"
#endif

/* Models of ONNX 1.12, from IR version 3 on; looked at when installed. */
#define DEBIAN_DIR "/usr/share/libonnx-testdata/data"

static struct { size_t models, data_files, identical, different; } counts;
static char scratch[64];

static uint8_t *slurp(const char *path, size_t *out_size) {
  FILE *file = fopen(path, "rb");
  ck_assert_msg(file != NULL, "cannot open %s", path);
  fseek(file, 0, SEEK_END);
  *out_size = (size_t)ftell(file);
  rewind(file);
  uint8_t *data = malloc(*out_size + 1);
  ck_assert_uint_eq(fread(data, 1, *out_size, file), *out_size);
  fclose(file);
  return data;
}

/* `first` was packed from what was loaded from `path`. */
static void compare(const char *path, const ProtobufCMessageDescriptor *type, const uint8_t *first, size_t size) {
  size_t file_size;
  uint8_t *file = slurp(path, &file_size);
  if (size == file_size && memcmp(file, first, size) == 0) {
    counts.identical++;
  } else {
    counts.different++;
    /* The plain protobuf-c, without any of our code, has to see the same message in both. */
    ProtobufCMessage *a = protobuf_c_message_unpack(type, NULL, file_size, file);
    ProtobufCMessage *b = protobuf_c_message_unpack(type, NULL, size, first);
    ck_assert_msg(a != NULL && b != NULL, "%s: not readable", path);
    size_t a_size = protobuf_c_message_get_packed_size(a), b_size = protobuf_c_message_get_packed_size(b);
    uint8_t *a_data = malloc(a_size + 1), *b_data = malloc(b_size + 1);
    protobuf_c_message_pack(a, a_data);
    protobuf_c_message_pack(b, b_data);
    ck_assert_msg(a_size == b_size && memcmp(a_data, b_data, a_size) == 0, "%s: another message", path);
    protobuf_c_message_free_unpacked(a, NULL);
    protobuf_c_message_free_unpacked(b, NULL);
    free(a_data);
    free(b_data);
  }
  free(file);
}

/* What pleat_tensor reads from a file and writes into another reads the same again. */
static void check_tensor_file(const char *path, const ProtobufCMessageDescriptor *type) {
  pleat_kind kind = type == &onnx__sequence_proto__descriptor   ? PLEAT_KIND_SEQUENCE
                    : type == &onnx__optional_proto__descriptor ? PLEAT_KIND_OPTIONAL
                                                                : PLEAT_KIND_TENSOR;
  pleat_tensor *tensor, *again;
  pleat_error error = PLEAT_ERROR_INIT;
  ck_assert_msg(pleat_tensor_load_pb(path, kind, &tensor, &error) == PLEAT_OK, "%s: %s", path, error.message);
  ck_assert_int_eq(pleat_tensor_save_pb(tensor, "t", scratch, NULL), PLEAT_OK);
  ck_assert_int_eq(pleat_tensor_load_pb(scratch, kind, &again, NULL), PLEAT_OK);
  ck_assert_int_eq(pleat_tensor_kind(again), kind);
  ck_assert_uint_eq(pleat_tensor_count(again), pleat_tensor_count(tensor));
  ck_assert_int_eq(pleat_tensor_dtype(again), pleat_tensor_dtype(tensor));
  size_t size = pleat_tensor_bytes(tensor);
  ck_assert_uint_eq(pleat_tensor_bytes(again), size);
  if (size > 0 && pleat_tensor_dtype(tensor) != PLEAT_STRING)
    ck_assert_mem_eq(pleat_tensor_const_data(again), pleat_tensor_const_data(tensor), size);
  pleat_tensor_release(tensor);
  pleat_tensor_release(again);
}

static void check_data_file(const char *path, const Onnx__TypeProto *type) {
  const ProtobufCMessageDescriptor *descriptor = &onnx__tensor_proto__descriptor;
  if (type->value_case == ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE) descriptor = &onnx__sequence_proto__descriptor;
  if (type->value_case == ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE) descriptor = &onnx__optional_proto__descriptor;
  pleat_arena *arena = pleat_arena_create();
  ProtobufCMessage *message;
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_status status = pleat_proto_unpack_file(descriptor, path, arena, &message, &error);
  ck_assert_msg(status == PLEAT_OK, "%s: %s", path, error.message);
  ck_assert_msg(message->n_unknown_fields == 0, "%s: unknown fields: not a %s?", path, descriptor->name);
  void *data;
  size_t size;
  ck_assert_int_eq(pleat_proto_pack(message, &data, &size, NULL), PLEAT_OK);
  compare(path, descriptor, data, size);
  free(data);
  pleat_arena_destroy(arena);
  counts.data_files++;
  check_tensor_file(path, descriptor);
}

/* test_data_set_<n>/<prefix>_<i>.pb for all sets and all values; a set may leave values out. */
static void check_data_sets(const char *model_path, const char *prefix, Onnx__ValueInfoProto *const *infos,
                            size_t count) {
  char path[1024];
  int folder_size = (int)(strrchr(model_path, '/') - model_path);
  for (int set = 0; set < 10; set++) {
    for (size_t i = 0; i < count; i++) {
      snprintf(path, sizeof path, "%.*s/test_data_set_%d/%s_%zu.pb", folder_size, model_path, set, prefix, i);
      if (access(path, R_OK) == 0) check_data_file(path, infos[i]->type);
    }
  }
}

static pleat_status bytes_of(void *user, const Onnx__TensorProto *tensor, pleat_proto_stored *out, pleat_error *error) {
  return pleat_proto_tensor_bytes(user, tensor, &out->data, &out->size, error);
}

static void check_model(const char *path) {
  pleat_proto *proto;
  pleat_error error = PLEAT_ERROR_INIT;
  ck_assert_msg(pleat_proto_load(path, &proto, &error) == PLEAT_OK, "%s: %s", path, error.message);
  const Onnx__ModelProto *model = pleat_proto_model(proto);
  ck_assert_msg(model->base.n_unknown_fields == 0, "%s: unknown fields", path);
  void *packed;
  size_t size;
  ck_assert_int_eq(pleat_proto_pack(&model->base, &packed, &size, NULL), PLEAT_OK);
  compare(path, &onnx__model_proto__descriptor, packed, size);
  ck_assert_msg(pleat_proto_save(model, scratch, false, bytes_of, proto, &error) == PLEAT_OK, "%s: %s", path,
                error.message);
  size_t saved_size;
  uint8_t *saved = slurp(scratch, &saved_size);
  ck_assert_msg(saved_size == size && memcmp(saved, packed, size) == 0, "%s: streamed other than packed", path);
  check_data_sets(path, "input", model->graph->input, model->graph->n_input);
  check_data_sets(path, "output", model->graph->output, model->graph->n_output);
  free(saved);
  free(packed);
  pleat_proto_destroy(proto);
  counts.models++;
}

static int visit(const char *path, const struct stat *info, int kind, struct FTW *ftw) {
  (void)info, (void)ftw;
  size_t size = strlen(path);
  if (kind == FTW_F && size > 5 && strcmp(path + size - 5, ".onnx") == 0) check_model(path);
  return 0;
}

START_TEST(round_trip) {
  /* In memory where that is possible: every file that is replaced is flushed. */
  strcpy(scratch, access("/dev/shm", W_OK) == 0 ? "/dev/shm/pleat-corpus-XXXXXX" : "/tmp/pleat-corpus-XXXXXX");
  int fd = mkstemp(scratch);
  ck_assert_int_ge(fd, 0);
  close(fd);
  ck_assert_int_eq(nftw(PLEAT_SHARED_DIR, visit, 16, FTW_PHYS), 0);
  if (access(DEBIAN_DIR, R_OK) == 0) ck_assert_int_eq(nftw(DEBIAN_DIR, visit, 16, FTW_PHYS), 0);
  unlink(scratch);
  printf("%zu models and %zu data files: %zu identical, %zu written in another way\n", counts.models, counts.data_files,
         counts.identical, counts.different);
  ck_assert_uint_ge(counts.models, 1000);
  ck_assert_uint_ge(counts.data_files, 4000);
  ck_assert_uint_le(counts.different, counts.identical / 20);
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  Suite *suite = suite_create("proto_corpus");
  if (access(PLEAT_SHARED_DIR "/conformance", R_OK) != 0) {
    printf("skipped: there is no %s/conformance (set PLEAT_SHARED when configuring)\n", PLEAT_SHARED_DIR);
    return suite;
  }
  TCase *tcase = tcase_create("corpus");
  tcase_set_timeout(tcase, 280);
  tcase_add_test(tcase, round_trip);
  suite_add_tcase(suite, tcase);
  return suite;
}

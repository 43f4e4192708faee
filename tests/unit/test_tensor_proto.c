/* Tensors in messages and in files: every data type in every place it can be stored, lists, sparse tensors, and
 * messages whose parts do not fit together. */
#include "proto_testing.h"

#include "core/tensor.h"
#include "graph/model.h"

/* A message with `count` elements in one dimension. */
static Onnx__TensorProto message_of(pleat_dtype dtype, int64_t *count) {
  Onnx__TensorProto m = ONNX__TENSOR_PROTO__INIT;
  m.name = (char *)(uintptr_t) "t";
  m.has_data_type = 1;
  m.data_type = (int32_t)dtype;
  m.n_dims = 1;
  m.dims = count;
  return m;
}

static pleat_tensor *read_good(const Onnx__TensorProto *m) {
  pleat_tensor *tensor;
  pleat_error error = PLEAT_ERROR_INIT;
  ck_assert_msg(pleat_tensor_from_proto(NULL, m, &tensor, &error) == PLEAT_OK, "%s", error.message);
  return tensor;
}

static void read_bad(const Onnx__TensorProto *m, pleat_status status, const char *part) {
  pleat_tensor *tensor = (pleat_tensor *)(uintptr_t)m;
  pleat_error error = PLEAT_ERROR_INIT;
  ck_assert_int_eq(pleat_tensor_from_proto(NULL, m, &tensor, &error), status);
  ck_assert_ptr_null(tensor);
  ASSERT_CONTAINS(error.message, part);
  ck_assert_str_eq(error.tensor, "t");
}

/* The bit patterns of seven elements, in the typed field and as raw bytes, give the same tensor. */
START_TEST(typed_and_raw_agree) {
  pleat_dtype dtype = (pleat_dtype)_i;
  if (dtype == PLEAT_STRING) return;
  int64_t count = 7;
  Onnx__TensorProto typed = message_of(dtype, &count), raw = message_of(dtype, &count);
  float floats[14];
  double doubles[14];
  int32_t ints[7];
  int64_t longs[7];
  uint64_t ulongs[7];
  uint8_t bytes[14 * sizeof(double)];
  size_t size, element = pleat_dtype_size(dtype);
  ck_assert(pleat_dtype_packed_size(dtype, 7, &size));
  const void *source = ints;
  size_t width = sizeof *ints, numbers = pleat_dtype_bits(dtype) < 8 ? size : 7;
  for (int i = 0; i < 14; i++) doubles[i] = floats[i] = -1.5f * (float)i;
  for (int i = 0; i < 7; i++) {
    ints[i] = (int32_t)(0x9d3a51c7u * (unsigned)(i + 1));
    if (dtype == PLEAT_BOOL) ints[i] = i % 2;
    longs[i] = -((int64_t)1 << (9 * i)) + i;
    ulongs[i] = UINT64_MAX / (uint64_t)(i + 1);
  }
  typed.int32_data = ints;
  typed.float_data = floats;
  typed.double_data = doubles;
  typed.int64_data = longs;
  typed.uint64_data = ulongs;
  switch (dtype) {
  case PLEAT_FLOAT:
    source = floats, width = 4, typed.n_float_data = 7;
    break;
  case PLEAT_COMPLEX64:
    source = floats, width = 8, typed.n_float_data = 14;
    break;
  case PLEAT_DOUBLE:
    source = doubles, width = 8, typed.n_double_data = 7;
    break;
  case PLEAT_COMPLEX128:
    source = doubles, width = 16, typed.n_double_data = 14;
    break;
  case PLEAT_INT64:
    source = longs, width = 8, typed.n_int64_data = 7;
    break;
  case PLEAT_UINT64:
  case PLEAT_UINT32:
    source = ulongs, width = 8, typed.n_uint64_data = 7;
    break;
  default:
    typed.n_int32_data = numbers;
    break;
  }
  size_t stride = size / numbers;
  for (size_t i = 0; i < numbers; i++) memcpy(bytes + i * stride, (const char *)source + i * width, stride);
  raw.has_raw_data = 1;
  raw.raw_data = (ProtobufCBinaryData){.len = size, .data = bytes};
  pleat_tensor *a = read_good(&typed), *b = read_good(&raw);
  ck_assert_int_eq(a->dtype, dtype);
  ck_assert_uint_eq(a->count, 7);
  ck_assert_mem_eq(a->data, b->data, 7 * element);
  if (pleat_dtype_bits(dtype) >= 8) ck_assert_mem_eq(a->data, bytes, size);
  pleat_tensor_release(a);
  pleat_tensor_release(b);

  /* One too few, one too many. */
  raw.raw_data.len--;
  read_bad(&raw, PLEAT_MALFORMED_MODEL, "bytes of data for");
  raw.raw_data.len += 2;
  read_bad(&raw, PLEAT_MALFORMED_MODEL, "bytes of data for");
  typed.n_float_data -= typed.n_float_data > 0;
  typed.n_int32_data -= typed.n_int32_data > 0;
  typed.n_int64_data -= typed.n_int64_data > 0;
  typed.n_uint64_data -= typed.n_uint64_data > 0;
  typed.n_double_data -= typed.n_double_data > 0;
  read_bad(&typed, PLEAT_MALFORMED_MODEL, "elements in ");
}
END_TEST

START_TEST(known_values) {
  static const struct {
    pleat_dtype dtype;
    int32_t stored[2];
    double values[2];
  } cases[] = {
      {PLEAT_INT8, {-1, 127}, {-1, 127}},
      {PLEAT_UINT8, {255, 0}, {255, 0}},
      {PLEAT_INT16, {-2, 300}, {-2, 300}},
      {PLEAT_UINT16, {65535, 1}, {65535, 1}},
      {PLEAT_BOOL, {2, 0}, {1, 0}},
      {PLEAT_FLOAT16, {0x3c00, 0xc000}, {1, -2}},
      {PLEAT_BFLOAT16, {0x3f80, 0xc000}, {1, -2}},
      {PLEAT_FLOAT8E4M3FN, {0x38, 0xc0}, {1, -2}},
      {PLEAT_FLOAT8E5M2, {0x3c, 0xc0}, {1, -2}},
      {PLEAT_INT4, {0xf1, -1}, {1, -1}},
      {PLEAT_UINT4, {0xf1, -1}, {1, 15}},
      {PLEAT_FLOAT4E2M1, {0xf2, -1}, {1, -6}},
      {PLEAT_INT2, {0x0d, -1}, {1, -1}},
      {PLEAT_UINT2, {0x0d, -1}, {1, 3}},
  };
  int64_t count = 2;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    Onnx__TensorProto m = message_of(cases[i].dtype, &count);
    int32_t stored[2] = {cases[i].stored[0], cases[i].stored[1]};
    m.int32_data = stored;
    m.n_int32_data = pleat_dtype_bits(cases[i].dtype) < 8 ? 1 : 2;
    pleat_tensor *t = read_good(&m);
    for (size_t k = 0; k < 2; k++) ck_assert_double_eq(pleat_load_f64(t->dtype, t->data, k), cases[i].values[k]);
    pleat_tensor_release(t);
  }
}
END_TEST

START_TEST(strings) {
  int64_t count = 3;
  Onnx__TensorProto m = message_of(PLEAT_STRING, &count);
  ProtobufCBinaryData data[] = {{3, (uint8_t *)(uintptr_t) "a\0b"}, {0, NULL}, {5, (uint8_t *)(uintptr_t) "hello"}};
  m.string_data = data;
  m.n_string_data = 3;
  pleat_tensor *t = read_good(&m);
  const pleat_string *s = t->data;
  ck_assert_uint_eq(s[0].size, 3);
  ck_assert_mem_eq(s[0].data, "a\0b", 3);
  ck_assert_uint_eq(s[1].size, 0);
  ck_assert_mem_eq(s[2].data, "hello", 5);
  pleat_tensor_release(t);
  m.n_string_data = 2;
  read_bad(&m, PLEAT_MALFORMED_MODEL, "expected 3 strings in string_data for string[3], found 2");
  m.has_raw_data = 1;
  m.raw_data = data[0];
  read_bad(&m, PLEAT_MALFORMED_MODEL, "expected strings in string_data, found raw data");
}
END_TEST

START_TEST(scalars_and_empties) {
  int64_t dims[] = {0, 5};
  float value = 2.5f;
  Onnx__TensorProto m = message_of(PLEAT_FLOAT, dims);
  pleat_tensor *t = read_good(&m);
  ck_assert_uint_eq(t->count, 0);
  pleat_tensor_release(t);
  m.n_dims = 2;
  m.has_raw_data = 1;
  t = read_good(&m);
  ck_assert_int_eq(t->rank, 2);
  pleat_tensor_release(t);
  m.n_dims = 0;
  m.raw_data = (ProtobufCBinaryData){.len = 4, .data = (uint8_t *)&value};
  t = read_good(&m);
  ck_assert_int_eq(t->rank, 0);
  ck_assert_float_eq(*(float *)t->data, 2.5f);
  pleat_tensor_release(t);
}
END_TEST

START_TEST(misaligned_raw_data) {
  int64_t count = 4;
  uint8_t bytes[33];
  double values[] = {1, -2, 3e300, 0.1};
  memcpy(bytes + 1, values, sizeof values);
  Onnx__TensorProto m = message_of(PLEAT_DOUBLE, &count);
  m.has_raw_data = 1;
  m.raw_data = (ProtobufCBinaryData){.len = 32, .data = bytes + 1};
  pleat_tensor *t = read_good(&m);
  ck_assert_mem_eq(t->data, values, sizeof values);
  pleat_tensor_release(t);
}
END_TEST

START_TEST(bad_shapes_and_types) {
  int64_t dims[17] = {2, 3};
  float value = 0;
  Onnx__TensorProto m = message_of(PLEAT_FLOAT, dims);
  m.n_dims = 2;
  m.float_data = &value;
  m.n_float_data = 1;
  read_bad(&m, PLEAT_MALFORMED_MODEL, "expected 6 elements in float_data for float[2,3], found 1");
  m.n_float_data = 0;
  read_bad(&m, PLEAT_MALFORMED_MODEL, "found 0");
  m.n_dims = 17;
  read_bad(&m, PLEAT_UNSUPPORTED, "expected at most 16 dimensions, found 17");
  m.n_dims = 2;
  dims[1] = -1;
  read_bad(&m, PLEAT_MALFORMED_MODEL, "negative dimension, found -1");
  dims[0] = dims[1] = INT64_MAX;
  read_bad(&m, PLEAT_MALFORMED_MODEL, "more elements than memory can have");
  dims[0] = 1 << 20, dims[1] = 1 << 20; /* terabytes, and no data: nothing is allocated */
  read_bad(&m, PLEAT_MALFORMED_MODEL, "expected 1099511627776 elements");
  m.data_type = 0;
  read_bad(&m, PLEAT_MALFORMED_MODEL, "data type from 1 to 26, found 0");
  m.data_type = 27;
  read_bad(&m, PLEAT_MALFORMED_MODEL, "found 27");
  m.data_type = PLEAT_FLOAT;
  m.has_data_location = 1;
  m.data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
  read_bad(&m, PLEAT_UNSUPPORTED, "external data is only supported in models");
  Onnx__TensorProto__Segment segment = ONNX__TENSOR_PROTO__SEGMENT__INIT;
  m.has_data_location = 0;
  m.segment = &segment;
  read_bad(&m, PLEAT_UNSUPPORTED, "segments");
}
END_TEST

/* ---- sparse ---- */

static pleat_status read_sparse(int64_t *indices, size_t index_rank, int64_t *dims, size_t rank, pleat_tensor **out,
                                pleat_error *error) {
  static float values[] = {5, 6, 7};
  int64_t count = 3, index_dims[] = {3, (int64_t)rank};
  Onnx__TensorProto v = message_of(PLEAT_FLOAT, &count), i = message_of(PLEAT_INT64, index_dims);
  v.float_data = values;
  v.n_float_data = 3;
  i.n_dims = index_rank;
  i.int64_data = indices;
  i.n_int64_data = index_rank == 1 ? 3 : 3 * rank;
  Onnx__SparseTensorProto m = ONNX__SPARSE_TENSOR_PROTO__INIT;
  m.values = &v;
  m.indices = &i;
  m.dims = dims;
  m.n_dims = rank;
  *error = (pleat_error)PLEAT_ERROR_INIT;
  return pleat_tensor_from_sparse_proto(NULL, &m, out, error);
}

START_TEST(sparse_tensors) {
  int64_t dims[] = {2, 4}, flat[] = {1, 2, 7}, pairs[] = {0, 1, 0, 2, 1, 3};
  static const float expected[] = {0, 5, 6, 0, 0, 0, 0, 7};
  pleat_error error;
  pleat_tensor *t;
  ck_assert_int_eq(read_sparse(flat, 1, dims, 2, &t, &error), PLEAT_OK);
  ck_assert_mem_eq(t->data, expected, sizeof expected);
  pleat_tensor_release(t);
  ck_assert_int_eq(read_sparse(pairs, 2, dims, 2, &t, &error), PLEAT_OK);
  ck_assert_mem_eq(t->data, expected, sizeof expected);
  pleat_tensor_release(t);
}
END_TEST

START_TEST(bad_sparse_tensors) {
  static const struct {
    int64_t dims[2], indices[6];
    size_t index_rank;
    pleat_status status;
    const char *part;
  } cases[] = {
      {{2, 4}, {1, 2, 8}, 1, PLEAT_MALFORMED_MODEL, "ascending indices within float[2,4]"},
      {{2, 4}, {-1, 2, 3}, 1, PLEAT_MALFORMED_MODEL, "position 0"},
      {{2, 4}, {1, 1, 3}, 1, PLEAT_MALFORMED_MODEL, "position 1"},
      {{2, 4}, {0, 1, 0, 4, 1, 3}, 2, PLEAT_MALFORMED_MODEL, "position 1"},
      {{0, 4}, {0, 1, 2}, 1, PLEAT_MALFORMED_MODEL, "position 0"},
      {{1 << 20, 1 << 20}, {0, 1, 2}, 1, PLEAT_UNSUPPORTED, "at most 2 GiB"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int64_t dims[2], indices[6];
    memcpy(dims, cases[i].dims, sizeof dims);
    memcpy(indices, cases[i].indices, sizeof indices);
    pleat_tensor *t = (pleat_tensor *)dims;
    pleat_error error;
    ck_assert_int_eq(read_sparse(indices, cases[i].index_rank, dims, 2, &t, &error), cases[i].status);
    ck_assert_ptr_null(t);
    ASSERT_CONTAINS(error.message, cases[i].part);
  }
  Onnx__SparseTensorProto empty = ONNX__SPARSE_TENSOR_PROTO__INIT;
  pleat_tensor *t;
  ck_assert_int_eq(pleat_tensor_from_sparse_proto(NULL, &empty, &t, NULL), PLEAT_MALFORMED_MODEL);
}
END_TEST

/* ---- files ---- */

static void check_same(const pleat_tensor *a, const pleat_tensor *b) {
  ck_assert_int_eq(a->kind, b->kind);
  ck_assert_uint_eq(a->count, b->count);
  if (a->kind != PLEAT_KIND_TENSOR) {
    for (size_t i = 0; i < a->count; i++) check_same(a->items[i], b->items[i]);
    return;
  }
  ck_assert_int_eq(a->dtype, b->dtype);
  ck_assert(pleat_same_shape(a, b));
  for (size_t i = 0; a->dtype == PLEAT_STRING && i < a->count; i++) {
    const pleat_string *x = a->data, *y = b->data;
    ck_assert_uint_eq(x[i].size, y[i].size);
    if (x[i].size > 0) ck_assert_mem_eq(x[i].data, y[i].data, x[i].size);
  }
  if (a->dtype != PLEAT_STRING && a->count > 0) ck_assert_mem_eq(a->data, b->data, pleat_bytes(a));
}

/* Saves, loads, compares. */
static void through_file(const pleat_tensor *tensor) {
  char folder[32], path[64];
  make_folder(folder, sizeof folder);
  path_in(folder, "t.pb", path, sizeof path);
  pleat_tensor *again;
  pleat_error error = PLEAT_ERROR_INIT;
  ck_assert_msg(pleat_tensor_save_pb(tensor, "t", path, &error) == PLEAT_OK, "%s", error.message);
  ck_assert_msg(pleat_tensor_load_pb(path, tensor->kind, &again, &error) == PLEAT_OK, "%s", error.message);
  check_same(tensor, again);
  pleat_tensor_release(again);
  unlink(path);
  rmdir(folder);
}

static pleat_tensor *sample(pleat_dtype dtype) {
  pleat_tensor *t;
  int64_t dims[] = {3, 1, 5};
  if (dtype == PLEAT_STRING) {
    pleat_string strings[15];
    for (size_t i = 0; i < 15; i++) strings[i] = (pleat_string){"abcdefghijklmnop", i};
    ck_assert_int_eq(pleat_tensor_create_strings(3, dims, strings, &t, NULL), PLEAT_OK);
    return t;
  }
  ck_assert_int_eq(pleat_tensor_create(dtype, 3, dims, &t, NULL), PLEAT_OK);
  for (size_t i = 0; i < 15; i++) pleat_store_f64(dtype, t->data, i, (double)(i % 3));
  return t;
}

START_TEST(every_type_through_a_file) {
  pleat_tensor *t = sample((pleat_dtype)_i);
  through_file(t);
  pleat_tensor_release(t);
}
END_TEST

START_TEST(lists_through_a_file) {
  pleat_tensor *items[] = {sample(PLEAT_FLOAT), sample(PLEAT_INT4), sample(PLEAT_STRING)}, *list, *none, *some, *outer;
  ck_assert_int_eq(pleat_tensor_create_list(PLEAT_KIND_SEQUENCE, items, 3, &list, NULL), PLEAT_OK);
  ck_assert_int_eq(pleat_tensor_create_list(PLEAT_KIND_OPTIONAL, NULL, 0, &none, NULL), PLEAT_OK);
  ck_assert_int_eq(pleat_tensor_create_list(PLEAT_KIND_OPTIONAL, &list, 1, &some, NULL), PLEAT_OK);
  pleat_tensor *both[] = {some, none};
  ck_assert_int_eq(pleat_tensor_create_list(PLEAT_KIND_SEQUENCE, both, 2, &outer, NULL), PLEAT_OK);
  through_file(list);
  through_file(none);
  through_file(some);
  through_file(outer);
  pleat_tensor *mixed[] = {items[0], list}, *bad;
  ck_assert_int_eq(pleat_tensor_create_list(PLEAT_KIND_SEQUENCE, mixed, 2, &bad, NULL), PLEAT_OK);
  ck_assert_int_eq(pleat_tensor_save_pb(bad, "t", "/tmp/never-written.pb", NULL), PLEAT_INVALID_ARGUMENT);
  ck_assert_int_ne(access("/tmp/never-written.pb", F_OK), 0);
  pleat_tensor *all[] = {items[0], items[1], items[2], list, none, some, outer, bad};
  for (size_t i = 0; i < 8; i++) pleat_tensor_release(all[i]);
}
END_TEST

static pleat_status load_bytes(const wire *w, pleat_kind kind, pleat_tensor **out, pleat_error *error) {
  char folder[32], path[64];
  make_folder(folder, sizeof folder);
  path_in(folder, "t.pb", path, sizeof path);
  *error = (pleat_error)PLEAT_ERROR_INIT;
  ck_assert_int_eq(pleat_write_file(path, w->data, w->size, NULL), PLEAT_OK);
  pleat_status status = pleat_tensor_load_pb(path, kind, out, error);
  if (status != PLEAT_OK) ck_assert_str_eq(error->file, path);
  unlink(path);
  rmdir(folder);
  return status;
}

START_TEST(list_files) {
  wire w = {0};
  pleat_tensor *t;
  pleat_error error;
  /* A file of no bytes is an empty sequence, or an optional without a value. */
  ck_assert_int_eq(load_bytes(&w, PLEAT_KIND_SEQUENCE, &t, &error), PLEAT_OK);
  ck_assert(t->kind == PLEAT_KIND_SEQUENCE && t->count == 0);
  pleat_tensor_release(t);
  ck_assert_int_eq(load_bytes(&w, PLEAT_KIND_OPTIONAL, &t, &error), PLEAT_OK);
  ck_assert(t->kind == PLEAT_KIND_OPTIONAL && t->count == 0);
  pleat_tensor_release(t);
  ck_assert_int_eq(load_bytes(&w, PLEAT_KIND_TENSOR, &t, &error), PLEAT_MALFORMED_MODEL);
  ck_assert_int_eq(pleat_tensor_load_pb("/tmp/any.pb", PLEAT_KIND_OTHER, &t, NULL), PLEAT_UNSUPPORTED);
  wire_number(&w, 2, 4);
  ck_assert_int_eq(load_bytes(&w, PLEAT_KIND_SEQUENCE, &t, &error), PLEAT_UNSUPPORTED);
  ASSERT_CONTAINS(error.message, "maps in a sequence");
  wire_number(&w, 2, 9);
  ck_assert_int_eq(load_bytes(&w, PLEAT_KIND_OPTIONAL, &t, &error), PLEAT_MALFORMED_MODEL);
  ASSERT_CONTAINS(error.message, "element type from 0 to 5 in an optional, found 9");
  free(w.data);
}
END_TEST

START_TEST(deep_list_files) {
  wire w = {0};
  for (int i = 0; i < 40; i++) {
    wire outer = {0};
    wire_number(&outer, 2, 3);
    wire_child(&outer, 5, &w);
    w = outer;
  }
  pleat_tensor *t;
  pleat_error error;
  ck_assert_int_eq(load_bytes(&w, PLEAT_KIND_SEQUENCE, &t, &error), PLEAT_UNSUPPORTED);
  ck_assert_ptr_null(t);
  ASSERT_CONTAINS(error.message, "lists are nested deeper than 16");
  free(w.data);
}
END_TEST

START_TEST(shared_optional_files) {
  static const struct {
    const char *file;
    pleat_kind kind, item_kind;
    size_t count;
  } cases[] = {
      {"test_identity_opt/test_data_set_0/input_0.pb", PLEAT_KIND_OPTIONAL, PLEAT_KIND_SEQUENCE, 1},
      {"test_identity_sequence/test_data_set_0/input_0.pb", PLEAT_KIND_SEQUENCE, PLEAT_KIND_TENSOR, 2},
      {"test_optional_has_element_empty_optional_input/test_data_set_0/input_0.pb", PLEAT_KIND_OPTIONAL, 0, 0},
      {"test_optional_get_element_sequence/test_data_set_0/input_0.pb", PLEAT_KIND_OPTIONAL, PLEAT_KIND_TENSOR, 1},
  };
  char path[1024];
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    path_in(PLEAT_SHARED_DIR "/conformance/node", cases[i].file, path, sizeof path);
    pleat_tensor *t;
    pleat_error error = PLEAT_ERROR_INIT;
    ck_assert_msg(pleat_tensor_load_pb(path, cases[i].kind, &t, &error) == PLEAT_OK, "%s: %s", path, error.message);
    ck_assert_int_eq(t->kind, cases[i].kind);
    ck_assert_uint_eq(t->count, cases[i].count);
    if (t->count > 0) ck_assert_int_eq(t->items[0]->kind, cases[i].item_kind);
    through_file(t);
    pleat_tensor_release(t);
  }
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  Suite *suite = suite_create("tensor_proto");
  TCase *messages = tcase_create("messages");
  tcase_add_loop_test(messages, typed_and_raw_agree, 1, PLEAT_DTYPE_COUNT);
  tcase_add_test(messages, known_values);
  tcase_add_test(messages, strings);
  tcase_add_test(messages, scalars_and_empties);
  tcase_add_test(messages, misaligned_raw_data);
  tcase_add_test(messages, bad_shapes_and_types);
  tcase_add_test(messages, sparse_tensors);
  tcase_add_test(messages, bad_sparse_tensors);
  suite_add_tcase(suite, messages);
  TCase *files = tcase_create("files");
  tcase_add_loop_test(files, every_type_through_a_file, 1, PLEAT_DTYPE_COUNT);
  tcase_add_test(files, lists_through_a_file);
  tcase_add_test(files, list_files);
  tcase_add_test(files, deep_list_files);
  if (access(PLEAT_SHARED_DIR "/conformance", R_OK) == 0) tcase_add_test(files, shared_optional_files);
  else printf("skipped: shared_optional_files (there is no %s/conformance)\n", PLEAT_SHARED_DIR);
  suite_add_tcase(suite, files);
  return suite;
}

/* Loading: zero-copy, unknown fields, and every way in which a file can be bad. */
#include "proto_testing.h"

#include <stdio.h>

static pleat_status load(const wire *w, pleat_proto **out_proto, pleat_error *error) {
  *error = (pleat_error)PLEAT_ERROR_INIT;
  return pleat_proto_load_memory(w->data, w->size, NULL, out_proto, error);
}

/* Loads what must be malformed, for the reason that `part` names. */
static void expect_malformed(wire *w, const char *part) {
  pleat_proto *proto = (pleat_proto *)w;
  pleat_error error;
  ck_assert_int_eq(load(w, &proto, &error), PLEAT_MALFORMED_MODEL);
  ck_assert_ptr_null(proto);
  ASSERT_CONTAINS(error.message, part);
  free(w->data);
}

static void check_floats(const Onnx__TensorProto *tensor, size_t count, float first) {
  ck_assert_uint_eq(tensor->raw_data.len, count * sizeof(float));
  for (size_t i = 0; i < count; i++) {
    float value;
    memcpy(&value, tensor->raw_data.data + i * sizeof value, sizeof value);
    ck_assert_float_eq(value, first + (float)i);
  }
}

static void check_small_model(const Onnx__ModelProto *m) {
  ck_assert_int_eq(m->ir_version, 8);
  ck_assert_str_eq(m->graph->name, "main");
  ck_assert_uint_eq(m->graph->n_initializer, 2);
  ck_assert_str_eq(m->graph->initializer[0]->name, "big");
  ck_assert(m->graph->initializer[0]->has_raw_data);
  check_floats(m->graph->initializer[0], 32, 1.0f);
  check_floats(m->graph->initializer[1], 2, 100.0f);
  const Onnx__NodeProto *node = m->graph->node[0];
  ck_assert_uint_eq(node->n_attribute, 2);
  check_floats(node->attribute[0]->g->initializer[0], 20, 5.0f);
  check_floats(node->attribute[1]->t, 3, 7.0f);
  ck_assert_int_eq(node->attribute[1]->ints[1], -1);
  ck_assert_uint_eq(m->n_opset_import, 1);
  ck_assert_str_eq(m->opset_import[0]->domain, "");
}

START_TEST(small_model_from_memory) {
  wire w = wire_small_model();
  pleat_error error;
  pleat_proto *proto;
  ck_assert_int_eq(load(&w, &proto, &error), PLEAT_OK);
  memset(w.data, 0xee, w.size); /* it was copied */
  check_small_model(pleat_proto_model(proto));
  ck_assert_str_eq(pleat_proto_path(proto), "");
  pleat_proto_destroy(proto);
  free(w.data);
}
END_TEST

START_TEST(small_model_from_file) {
  char folder[32], path[128];
  make_folder(folder, sizeof folder);
  path_in(folder, "m.onnx", path, sizeof path);
  wire w = wire_small_model();
  ck_assert_int_eq(pleat_write_file(path, w.data, w.size, NULL), PLEAT_OK);
  pleat_proto *proto;
  ck_assert_int_eq(pleat_proto_load(path, &proto, NULL), PLEAT_OK);
  ck_assert_int_eq(unlink(path), 0); /* the mapping stays */
  check_small_model(pleat_proto_model(proto));
  ck_assert_str_eq(pleat_proto_path(proto), path);
  pleat_proto_destroy(proto);
  free(w.data);
  rmdir(folder);
}
END_TEST

/* Only one copy of the weights: their bytes are a run inside of one block, in file order and with the file's gaps. */
START_TEST(initializers_are_not_copied) {
  wire graph = {0};
  for (int i = 0; i < 2; i++) {
    wire tensor = wire_tensor("w", 1000, (float)i);
    wire_child(&graph, GRAPH_INITIALIZER, &tensor);
  }
  wire w = wire_model(&graph);
  pleat_proto *proto;
  pleat_error error;
  ck_assert_int_eq(load(&w, &proto, &error), PLEAT_OK);
  Onnx__TensorProto **t = pleat_proto_model(proto)->graph->initializer;
  size_t distance = (size_t)((uintptr_t)t[1]->raw_data.data - (uintptr_t)t[0]->raw_data.data), first = 0;
  while (first + 4000 < w.size && memcmp(w.data + first, t[0]->raw_data.data, 4000) != 0) first++;
  ck_assert_uint_lt(first + distance + 4000, w.size);
  ck_assert_mem_eq(w.data + first + distance, t[1]->raw_data.data, 4000);
  pleat_proto_destroy(proto);
  free(w.data);
}
END_TEST

START_TEST(last_raw_data_counts) {
  static const size_t sizes[][2] = {{200, 8}, {8, 200}, {200, 300}, {8, 12}};
  uint8_t bytes[300];
  for (int i = 0; i < 4; i++) {
    wire graph = {0}, tensor = {0};
    for (int k = 0; k < 2; k++) {
      memset(bytes, k + 1, sizeof bytes);
      wire_bytes(&tensor, TENSOR_RAW, bytes, sizes[i][k]);
    }
    wire_child(&graph, GRAPH_INITIALIZER, &tensor);
    wire w = wire_model(&graph);
    pleat_proto *proto;
    pleat_error error;
    ck_assert_int_eq(load(&w, &proto, &error), PLEAT_OK);
    const ProtobufCBinaryData *raw = &pleat_proto_model(proto)->graph->initializer[0]->raw_data;
    ck_assert_uint_eq(raw->len, sizes[i][1]);
    ck_assert_int_eq(raw->data[0], 2);
    pleat_proto_destroy(proto);
    free(w.data);
  }
}
END_TEST

START_TEST(unknown_fields_survive) {
  wire graph = {0}, tensor = wire_tensor("w", 100, 0.0f);
  wire_text(&tensor, 900, "of the tensor");
  wire_child(&graph, GRAPH_INITIALIZER, &tensor);
  wire_number(&graph, 901, 77);
  wire w = wire_model(&graph);
  wire_varint(&w, 902 << 3 | 5); /* 32 bits */
  wire_raw(&w, "abcd", 4);
  wire_varint(&w, ((1u << 29) - 1) << 3 | 1); /* 64 bits, the largest number */
  wire_raw(&w, "abcdefgh", 8);
  pleat_proto *proto;
  pleat_error error;
  ck_assert_int_eq(load(&w, &proto, &error), PLEAT_OK);
  void *data;
  size_t size;
  ck_assert_int_eq(pleat_proto_pack(&pleat_proto_model(proto)->base, &data, &size, NULL), PLEAT_OK);
  ck_assert_uint_eq(size, w.size); /* unknown fields come last in their message, as here */
  ck_assert_mem_eq(data, w.data, size);
  free(data);
  pleat_proto_destroy(proto);
  free(w.data);
}
END_TEST

START_TEST(graph_may_be_missing) {
  wire w = {0};
  wire_number(&w, MODEL_IR, 8);
  pleat_proto *proto;
  pleat_error error;
  ck_assert_int_eq(load(&w, &proto, &error), PLEAT_OK);
  ck_assert_ptr_null(pleat_proto_model(proto)->graph);
  pleat_proto_destroy(proto);
  free(w.data);
}
END_TEST

/* Lengths, tags and numbers in more bytes than needed are valid. */
START_TEST(long_varints) {
  wire w = {0};
  static const uint8_t bytes[] = {
      0x88, 0x00, 0x88, 0x80, 0x80, 0x00,             /* ir_version 8 */
      0xba, 0x80, 0x00, 0x86, 0x80, 0x80, 0x80, 0x00, /* graph, 6 bytes */
      0x92, 0x00, 0x83, 0x00, 'a',  'b',              /* name "ab", cut short by */
  };
  wire_raw(&w, bytes, sizeof bytes);
  expect_malformed(&w, "longer than what is around it");
  w = (wire){0};
  wire_raw(&w, bytes, sizeof bytes);
  w.data[16] = 0x82; /* the name has two bytes, as it should */
  pleat_proto *proto;
  pleat_error error;
  ck_assert_int_eq(load(&w, &proto, &error), PLEAT_OK);
  ck_assert_int_eq(pleat_proto_model(proto)->ir_version, 8);
  ck_assert_str_eq(pleat_proto_model(proto)->graph->name, "ab");
  pleat_proto_destroy(proto);
  free(w.data);
}
END_TEST

/* ---- malformed ---- */

START_TEST(empty_and_missing_files) {
  wire empty = {0};
  expect_malformed(&empty, "empty");
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_proto *proto;
  ck_assert_int_eq(pleat_proto_load("/nowhere/model.onnx", &proto, &error), PLEAT_IO_ERROR);
  ck_assert_str_eq(error.file, "/nowhere/model.onnx");
  ASSERT_CONTAINS(error.message, "No such file");
  error = (pleat_error)PLEAT_ERROR_INIT;
  ck_assert_int_eq(pleat_proto_load("/tmp", &proto, &error), PLEAT_IO_ERROR);
  ASSERT_CONTAINS(error.message, "directory");
  error = (pleat_error)PLEAT_ERROR_INIT;
  ck_assert_int_eq(pleat_proto_load("/dev/null", &proto, &error), PLEAT_MALFORMED_MODEL);
}
END_TEST

START_TEST(not_a_model) {
  wire w = {0};
  wire_raw(&w, "\x89PNG\r\n\x1a\n and so on", 19);
  expect_malformed(&w, "not a valid ModelProto message: byte");
}
END_TEST

START_TEST(string_with_nul) {
  wire w = {0};
  wire_bytes(&w, 2, "a\0b", 3);
  expect_malformed(&w, "ModelProto.producer_name: a string with a NUL byte");
}
END_TEST

START_TEST(graph_twice) {
  wire graph = {0};
  wire_text(&graph, GRAPH_NAME, "one");
  wire w = wire_model(&graph);
  wire_text(&graph, GRAPH_NAME, "two");
  wire_child(&w, MODEL_GRAPH, &graph);
  expect_malformed(&w, "ModelProto.graph: a field that can occur only once occurs twice");
}
END_TEST

/* protobuf-c's own merge of these reads out of bounds: a TypeProto without a value in its oneof, twice. */
START_TEST(type_twice) {
  wire graph = {0}, info = {0};
  wire_text(&info, 2, "");
  wire_text(&info, 2, "");
  wire_child(&graph, 11, &info);
  wire w = wire_model(&graph);
  expect_malformed(&w, "ValueInfoProto.type");
}
END_TEST

START_TEST(wrong_wire_types) {
  static const struct {
    uint32_t field, wire;
  } cases[] = {{MODEL_IR, 2}, {MODEL_IR, 5}, {MODEL_GRAPH, 0}, {2, 0}, {2, 1}, {MODEL_OPSET, 5}};
  wire w = {0};
  wire_varint(&w, cases[_i].field << 3 | cases[_i].wire);
  wire_raw(&w, "\0\0\0\0\0\0\0\0", cases[_i].wire == 1 ? 8 : cases[_i].wire == 5 ? 4 : 1);
  expect_malformed(&w, "wire type");
}
END_TEST

START_TEST(groups_and_bad_tags) {
  static const uint8_t keys[] = {0x0b, 0x0c, 0x0e, 0x0f, 0x00, 0x05};
  wire w = {0};
  wire_raw(&w, &keys[_i], 1);
  wire_raw(&w, "\0\0\0\0", 4);
  expect_malformed(&w, _i < 4 ? "group" : "no field starts here");
}
END_TEST

/* The length and its own bytes wrap around 32 bits, which protobuf-c does not notice. */
START_TEST(huge_lengths) {
  static const uint64_t lengths[] = {0xffffffffu, 0xfffffffbu, 0x7fffffffu, (uint64_t)1 << 34, UINT64_MAX};
  wire w = {0};
  wire_varint(&w, MODEL_GRAPH << 3 | 2);
  wire_varint(&w, lengths[_i]);
  wire_raw(&w, "abcdefgh", 8);
  expect_malformed(&w, _i < 4 ? "longer than what is around it" : "a length without an end");
}
END_TEST

START_TEST(packed_numbers) {
  wire graph = {0}, tensor = {0};
  wire_bytes(&tensor, 4, "abcde", 5); /* float_data */
  wire_child(&graph, GRAPH_INITIALIZER, &tensor);
  wire w = wire_model(&graph);
  expect_malformed(&w, "TensorProto.float_data: packed numbers are cut off");
  wire_bytes(&tensor, 7, "\x01\x80", 2); /* int64_data */
  wire_child(&graph, GRAPH_INITIALIZER, &tensor);
  w = wire_model(&graph);
  expect_malformed(&w, "TensorProto.int64_data: a packed number without an end");
}
END_TEST

START_TEST(empty_packed_numbers) {
  wire graph = {0}, tensor = {0};
  for (uint32_t field = 4; field <= 11; field++) wire_bytes(&tensor, field, "", 0);
  wire_child(&graph, GRAPH_INITIALIZER, &tensor);
  wire w = wire_model(&graph);
  pleat_proto *proto;
  pleat_error error;
  /* Field 8 is a string, 6 and 9 are bytes: all may be empty as well. */
  ck_assert_int_eq(load(&w, &proto, &error), PLEAT_OK);
  ck_assert_uint_eq(pleat_proto_model(proto)->graph->initializer[0]->n_float_data, 0);
  pleat_proto_destroy(proto);
  free(w.data);
}
END_TEST

/* Wraps a message `depth` times, in O(depth) by writing from the inside out into the end of a buffer. */
static wire nested(const uint32_t *path, size_t path_size, size_t depth) {
  size_t capacity = depth * path_size * 8 + 16, at = capacity;
  uint8_t *buffer = malloc(capacity);
  for (size_t i = depth * path_size; i-- > 0;) {
    wire head = {0};
    wire_varint(&head, path[i % path_size] << 3 | 2);
    wire_varint(&head, capacity - at);
    at -= head.size;
    memcpy(buffer + at, head.data, head.size);
    free(head.data);
  }
  wire w = {0};
  wire_raw(&w, buffer + at, capacity - at);
  free(buffer);
  return w;
}

START_TEST(deep_subgraphs) {
  static const uint32_t path[] = {GRAPH_NODE, NODE_ATTRIBUTE, ATTRIBUTE_GRAPH};
  static const size_t depths[] = {33, 34, 100, 10000};
  wire graph = nested(path, 3, depths[_i]);
  wire w = wire_model(&graph);
  if (_i > 0) {
    expect_malformed(&w, "nested deeper than 100");
    return;
  }
  pleat_proto *proto;
  pleat_error error;
  ck_assert_int_eq(load(&w, &proto, &error), PLEAT_OK); /* 1 + 33 * 3 = 100 messages */
  pleat_proto_destroy(proto);
  free(w.data);
}
END_TEST

START_TEST(deep_lists) {
  static const uint32_t sequence[] = {5}, type[] = {4, 1};
  pleat_arena *arena = pleat_arena_create();
  ProtobufCMessage *message;
  pleat_error error = PLEAT_ERROR_INIT;
  wire w = nested(_i == 0 ? sequence : type, _i == 0 ? 1 : 2, 10000);
  ck_assert_int_eq(pleat_proto_unpack(_i == 0 ? &onnx__sequence_proto__descriptor : &onnx__type_proto__descriptor,
                                      w.data, w.size, arena, &message, &error),
                   PLEAT_MALFORMED_MODEL);
  ck_assert_ptr_null(message);
  ASSERT_CONTAINS(error.message, "nested deeper than 100");
  pleat_arena_destroy(arena);
  free(w.data);
}
END_TEST

/* Two bytes a message: decoding all of them would take a hundred times the file. */
START_TEST(amplification) {
  size_t count = 1 << 20;
  wire graph = {0};
  uint8_t *empties = malloc(2 * count);
  for (size_t i = 0; i < count; i++) memcpy(empties + 2 * i, "\x2a\x00", 2); /* an empty initializer */
  wire_raw(&graph, empties, 2 * count);
  free(empties);
  wire w = wire_model(&graph);
  expect_malformed(&w, "would decode to more than");
}
END_TEST

START_TEST(truncated_anywhere) {
  wire w = wire_small_model();
  int good = 0;
  for (size_t size = 1; size < w.size; size++) {
    /* A copy of the exact size, so that a sanitizer sees any read beyond the end. */
    uint8_t *copy = malloc(size);
    memcpy(copy, w.data, size);
    pleat_proto *proto;
    pleat_error error = PLEAT_ERROR_INIT;
    pleat_status status = pleat_proto_load_memory(copy, size, NULL, &proto, &error);
    good += status == PLEAT_OK;
    if (status != PLEAT_OK) {
      ck_assert_int_eq(status, PLEAT_MALFORMED_MODEL);
      ck_assert_str_ne(error.message, "");
    }
    pleat_proto_destroy(proto);
    free(copy);
  }
  ck_assert_int_eq(good, 2); /* between the model's fields only: after ir_version, after graph */
  free(w.data);
}
END_TEST

/* Random bit flips and byte changes; what still loads must be saved and loaded again. */
START_TEST(random_changes) {
  wire w = wire_small_model();
  uint32_t state = 12345;
  int good = 0, bad = 0;
  for (int seed = 0; seed < 2000; seed++) {
    uint8_t *copy = malloc(w.size);
    memcpy(copy, w.data, w.size);
    for (int flips = 1 + seed % 4; flips > 0; flips--) {
      state = state * 1664525u + 1013904223u;
      /* Away from the weights, where a flip changes nothing, half of the time. */
      size_t at = (state >> 8) % (seed % 2 ? w.size : 60);
      copy[at] ^= (uint8_t)(1u << (state >> 29));
    }
    pleat_proto *proto;
    pleat_error error = PLEAT_ERROR_INIT;
    pleat_status status = pleat_proto_load_memory(copy, w.size, NULL, &proto, &error);
    if (status == PLEAT_OK) {
      void *data;
      size_t size;
      pleat_proto *again;
      ck_assert_int_eq(pleat_proto_pack(&pleat_proto_model(proto)->base, &data, &size, NULL), PLEAT_OK);
      ck_assert_int_eq(pleat_proto_load_memory(data, size, NULL, &again, NULL), PLEAT_OK);
      pleat_proto_destroy(again);
      free(data);
      good++;
    } else {
      ck_assert_int_eq(status, PLEAT_MALFORMED_MODEL);
      bad++;
    }
    pleat_proto_destroy(proto);
    free(copy);
  }
  ck_assert_int_gt(good, 100);
  ck_assert_int_gt(bad, 100);
  free(w.data);
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  Suite *suite = suite_create("proto_load");
  TCase *good = tcase_create("good");
  tcase_add_test(good, small_model_from_memory);
  tcase_add_test(good, small_model_from_file);
  tcase_add_test(good, initializers_are_not_copied);
  tcase_add_test(good, last_raw_data_counts);
  tcase_add_test(good, unknown_fields_survive);
  tcase_add_test(good, graph_may_be_missing);
  tcase_add_test(good, long_varints);
  tcase_add_test(good, empty_packed_numbers);
  suite_add_tcase(suite, good);
  TCase *bad = tcase_create("malformed");
  tcase_set_timeout(bad, 60);
  tcase_add_test(bad, empty_and_missing_files);
  tcase_add_test(bad, not_a_model);
  tcase_add_test(bad, string_with_nul);
  tcase_add_test(bad, graph_twice);
  tcase_add_test(bad, type_twice);
  tcase_add_loop_test(bad, wrong_wire_types, 0, 6);
  tcase_add_loop_test(bad, groups_and_bad_tags, 0, 6);
  tcase_add_loop_test(bad, huge_lengths, 0, 5);
  tcase_add_test(bad, packed_numbers);
  tcase_add_loop_test(bad, deep_subgraphs, 0, 4);
  tcase_add_loop_test(bad, deep_lists, 0, 2);
  tcase_add_test(bad, amplification);
  tcase_add_test(bad, truncated_anywhere);
  tcase_add_test(bad, random_changes);
  suite_add_tcase(suite, bad);
  return suite;
}

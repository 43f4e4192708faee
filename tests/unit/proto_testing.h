/* Hand-made wire format and small models for the tests of proto/. */
#ifndef PLEAT_TESTS_PROTO_TESTING_H
#define PLEAT_TESTS_PROTO_TESTING_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/proto.h"

/* A growing buffer of wire format. */
typedef struct wire {
  uint8_t *data;
  size_t size;
} wire;

static inline void wire_raw(wire *w, const void *data, size_t size) {
  uint8_t *moved = realloc(w->data, w->size + size + 1);
  ck_assert_ptr_nonnull(moved);
  w->data = moved;
  if (size > 0) memcpy(w->data + w->size, data, size);
  w->size += size;
}

static inline void wire_varint(wire *w, uint64_t value) {
  do {
    uint8_t byte = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
    wire_raw(w, &byte, 1);
    value >>= 7;
  } while (value > 0);
}

static inline void wire_number(wire *w, uint32_t field, uint64_t value) {
  wire_varint(w, (uint64_t)field << 3);
  wire_varint(w, value);
}

static inline void wire_bytes(wire *w, uint32_t field, const void *data, size_t size) {
  wire_varint(w, (uint64_t)field << 3 | 2);
  wire_varint(w, size);
  wire_raw(w, data, size);
}

static inline void wire_text(wire *w, uint32_t field, const char *text) {
  wire_bytes(w, field, text, strlen(text));
}

/* Appends `child` as a message and frees it. */
static inline void wire_child(wire *w, uint32_t field, wire *child) {
  wire_bytes(w, field, child->data, child->size);
  free(child->data);
  *child = (wire){0};
}

/* Field numbers of the messages below. */
enum {
  MODEL_IR = 1,
  MODEL_GRAPH = 7,
  MODEL_OPSET = 8,
  GRAPH_NODE = 1,
  GRAPH_NAME = 2,
  GRAPH_INITIALIZER = 5,
  NODE_INPUT = 1,
  NODE_OUTPUT = 2,
  NODE_OP = 4,
  NODE_ATTRIBUTE = 5,
  ATTRIBUTE_NAME = 1,
  ATTRIBUTE_TENSOR = 5,
  ATTRIBUTE_GRAPH = 6,
  ATTRIBUTE_INTS = 8,
  ATTRIBUTE_TYPE = 20,
  TENSOR_DIMS = 1,
  TENSOR_TYPE = 2,
  TENSOR_NAME = 8,
  TENSOR_RAW = 9,
  TENSOR_EXTERNAL = 13,
  TENSOR_LOCATION = 14,
};

/* A float tensor [count] named `name` whose raw data counts up from `first`. */
static inline wire wire_tensor(const char *name, size_t count, float first) {
  wire t = {0};
  wire_number(&t, TENSOR_DIMS, count);
  wire_number(&t, TENSOR_TYPE, 1);
  wire_text(&t, TENSOR_NAME, name);
  float *values = malloc(count * sizeof *values + 1);
  for (size_t i = 0; i < count; i++) values[i] = first + (float)i;
  wire_bytes(&t, TENSOR_RAW, values, count * sizeof *values);
  free(values);
  return t;
}

/* A float tensor [count] in `location`; `offset` and `length` may be NULL. */
static inline wire wire_external(const char *name, size_t count, const char *location, const char *offset,
                                 const char *length) {
  wire t = {0};
  wire_number(&t, TENSOR_DIMS, count);
  wire_number(&t, TENSOR_TYPE, 1);
  wire_text(&t, TENSOR_NAME, name);
  const char *entries[][2] = {{"location", location}, {"offset", offset}, {"length", length}};
  for (size_t i = 0; i < 3; i++) {
    if (entries[i][1] == NULL) continue;
    wire entry = {0};
    wire_text(&entry, 1, entries[i][0]);
    wire_text(&entry, 2, entries[i][1]);
    wire_child(&t, TENSOR_EXTERNAL, &entry);
  }
  wire_number(&t, TENSOR_LOCATION, 1);
  return t;
}

/* A model around a graph, which it frees. */
static inline wire wire_model(wire *graph) {
  wire model = {0}, opset = {0};
  wire_number(&model, MODEL_IR, 8);
  wire_child(&model, MODEL_GRAPH, graph);
  wire_text(&opset, 1, "");
  wire_number(&opset, 2, 17);
  wire_child(&model, MODEL_OPSET, &opset);
  return model;
}

/* Two initializers (one large enough for zero-copy, one not), and a node with a tensor, numbers and a subgraph. */
static inline wire wire_small_model(void) {
  wire graph = {0}, node = {0}, attribute = {0}, subgraph = {0}, tensor;
  wire_text(&node, NODE_INPUT, "x");
  wire_text(&node, NODE_OUTPUT, "y");
  wire_text(&node, NODE_OP, "If");
  wire_text(&attribute, ATTRIBUTE_NAME, "then_branch");
  wire_text(&subgraph, GRAPH_NAME, "then");
  tensor = wire_tensor("inner", 20, 5.0f);
  wire_child(&subgraph, GRAPH_INITIALIZER, &tensor);
  wire_child(&attribute, ATTRIBUTE_GRAPH, &subgraph);
  wire_number(&attribute, ATTRIBUTE_TYPE, 5);
  wire_child(&node, NODE_ATTRIBUTE, &attribute);
  wire_text(&attribute, ATTRIBUTE_NAME, "value");
  tensor = wire_tensor("", 3, 7.0f);
  wire_child(&attribute, ATTRIBUTE_TENSOR, &tensor);
  wire_number(&attribute, ATTRIBUTE_INTS, 3);
  wire_number(&attribute, ATTRIBUTE_INTS, (uint64_t)-1);
  wire_number(&attribute, ATTRIBUTE_TYPE, 4);
  wire_child(&node, NODE_ATTRIBUTE, &attribute);
  wire_child(&graph, GRAPH_NODE, &node);
  wire_text(&graph, GRAPH_NAME, "main");
  tensor = wire_tensor("big", 32, 1.0f);
  wire_child(&graph, GRAPH_INITIALIZER, &tensor);
  tensor = wire_tensor("small", 2, 100.0f);
  wire_child(&graph, GRAPH_INITIALIZER, &tensor);
  return wire_model(&graph);
}

/* A folder of its own under /tmp. */
static inline void make_folder(char *folder, size_t size) {
  ck_assert(size >= 32);
  strcpy(folder, "/tmp/pleat-proto-XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(folder));
}

static inline const char *path_in(const char *folder, const char *name, char *buffer, size_t size) {
  ck_assert_int_lt(snprintf(buffer, size, "%s/%s", folder, name), (int)size);
  return buffer;
}

#define ASSERT_CONTAINS(text, part)                                                                                    \
  ck_assert_msg(strstr((text), (part)) != NULL, "expected '%s' in the message '%s'", (part), (text))

#endif

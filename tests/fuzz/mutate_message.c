/* Mutations of a decoded model, by protobuf-c's descriptors: any message and any field, without a word about ONNX.
 *
 * Flipped bits on the wire rarely get past the decoder. Here the decoder's own structure is changed: one walk counts
 * the fields that are set, one of them is chosen, a second walk finds and changes it. A number takes an extreme value,
 * one near its own or a small one; a string becomes another one of the model, which joins the graph up in wrong ways; a
 * list loses, repeats or swaps elements; a message or scalar disappears. */
#include "mutate_message.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "onnx.pb-c.h"

enum { MAX_STRINGS = 1024, MAX_NUMBERS = 16 };

typedef struct walk {
  size_t count;  /* fields met so far */
  size_t target; /* the one to change; SIZE_MAX: only count, and collect the strings */
  uint64_t *state;
  const char **strings;
  size_t string_count;
} walk;

static void *member(const ProtobufCMessage *message, unsigned offset) {
  return (char *)(uintptr_t)message + offset;
}

/* Elements of the field: of a list, or one when the scalar, string or message is there. */
static size_t field_count(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field) {
  if (field->label == PROTOBUF_C_LABEL_REPEATED) return *(size_t *)member(message, field->quantifier_offset);
  if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
    return *(uint32_t *)member(message, field->quantifier_offset) == field->id;
  if (field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_MESSAGE) {
    const void *pointer = *(void **)member(message, field->offset);
    return pointer && pointer != field->default_value;
  }
  if (field->label == PROTOBUF_C_LABEL_OPTIONAL)
    return *(protobuf_c_boolean *)member(message, field->quantifier_offset) != 0;
  return 1;
}

static size_t element_size(const ProtobufCFieldDescriptor *field) {
  switch (field->type) {
  case PROTOBUF_C_TYPE_INT64:
  case PROTOBUF_C_TYPE_SINT64:
  case PROTOBUF_C_TYPE_SFIXED64:
  case PROTOBUF_C_TYPE_UINT64:
  case PROTOBUF_C_TYPE_FIXED64:
  case PROTOBUF_C_TYPE_DOUBLE:
    return 8;
  case PROTOBUF_C_TYPE_STRING:
  case PROTOBUF_C_TYPE_MESSAGE:
    return sizeof(void *);
  case PROTOBUF_C_TYPE_BYTES:
    return sizeof(ProtobufCBinaryData);
  default:
    return 4;
  }
}

static void *element(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, size_t index) {
  char *first = member(message, field->offset);
  if (field->label == PROTOBUF_C_LABEL_REPEATED) first = *(char **)first;
  return first + index * element_size(field);
}

/* ---- changes ---- */

static int64_t strange_number(uint64_t *state, int64_t old) {
  static const int64_t extremes[] = {0, -1, 1, INT64_MAX, INT64_MIN, INT32_MAX, INT32_MIN, UINT32_MAX, 65536};
  switch (below(state, 4)) {
  case 0:
    return extremes[below(state, sizeof extremes / sizeof *extremes)];
  case 1:
    return (int64_t)((uint64_t)old + (below(state, 2) ? 1u : UINT64_MAX)); /* one more or one less */
  case 2:
    return (int64_t)below(state, 32) - 8;
  default:
    return (int64_t)((uint64_t)old ^ (UINT64_C(1) << below(state, 64)));
  }
}

static void change_number(void *value, size_t size, uint64_t *state) {
  int64_t old = 0;
  memcpy(&old, value, size); /* little-endian; elsewhere merely another number */
  int64_t number = strange_number(state, old);
  memcpy(value, &number, size);
}

static void change_string(char **string, walk *walk) {
  const char *other = walk->string_count > 0 ? walk->strings[below(walk->state, walk->string_count)] : "";
  if (below(walk->state, 8) == 0) other = "";
  char *copy = strdup(other);
  if (!copy) return;
  free(*string);
  *string = copy;
}

static void change_bytes(ProtobufCBinaryData *bytes, uint64_t *state) {
  if (bytes->len == 0) return;
  if (below(state, 2)) bytes->len = below(state, bytes->len);
  else bytes->data[below(state, bytes->len)] ^= (unsigned char)(1u << below(state, 8));
}

/* Loses the last element or any, or swaps two. Never frees what is still in the list. */
static void change_list(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, uint64_t *state) {
  size_t *count = member(message, field->quantifier_offset), size = element_size(field);
  char *a = element(message, field, below(state, *count)), *b = element(message, field, *count - 1), swap[16];
  memcpy(swap, a, size);
  memcpy(a, b, size);
  memcpy(b, swap, size);
  if (below(state, 3) == 0) return;
  if (field->type == PROTOBUF_C_TYPE_MESSAGE) protobuf_c_message_free_unpacked(*(ProtobufCMessage **)b, NULL);
  else if (field->type == PROTOBUF_C_TYPE_STRING) free(*(char **)b);
  else if (field->type == PROTOBUF_C_TYPE_BYTES) free(((ProtobufCBinaryData *)b)->data);
  --*count;
}

static void change(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, size_t index, walk *walk) {
  void *value = element(message, field, index);
  bool is_list = field->label == PROTOBUF_C_LABEL_REPEATED;
  if (is_list && below(walk->state, 3) == 0) {
    change_list(message, field, walk->state);
    return;
  }
  switch (field->type) {
  case PROTOBUF_C_TYPE_MESSAGE:
    if (is_list) change_list(message, field, walk->state);
    else if (!(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)) {
      protobuf_c_message_free_unpacked(*(ProtobufCMessage **)value, NULL);
      *(ProtobufCMessage **)value = NULL;
    }
    break;
  case PROTOBUF_C_TYPE_STRING:
    change_string(value, walk);
    break;
  case PROTOBUF_C_TYPE_BYTES:
    change_bytes(value, walk->state);
    break;
  default:
    if (field->label == PROTOBUF_C_LABEL_OPTIONAL && !(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
        below(walk->state, 4) == 0)
      *(protobuf_c_boolean *)member(message, field->quantifier_offset) = 0;
    else change_number(value, element_size(field), walk->state);
  }
}

/* ---- the walk ---- */

/* True once the target has been changed: the structure above it may have, too, so the walk ends. */
static bool visit(ProtobufCMessage *message, walk *walk) {
  for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
    const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
    size_t count = field_count(message, field);
    /* Of a long list of numbers (weights) only the start counts, so that it does not draw all mutations. */
    if (element_size(field) <= 8 && field->type != PROTOBUF_C_TYPE_MESSAGE && field->type != PROTOBUF_C_TYPE_STRING &&
        count > MAX_NUMBERS)
      count = MAX_NUMBERS;
    for (size_t j = 0; j < count; j++) {
      if (walk->count++ == walk->target) {
        change(message, field, j, walk);
        return true;
      }
      if (field->type == PROTOBUF_C_TYPE_STRING && walk->string_count < MAX_STRINGS && walk->target == SIZE_MAX)
        walk->strings[walk->string_count++] = *(char **)element(message, field, j);
      if (field->type == PROTOBUF_C_TYPE_MESSAGE && visit(*(ProtobufCMessage **)element(message, field, j), walk))
        return true;
    }
  }
  return false;
}

static void change_one(ProtobufCMessage *message, uint64_t *state) {
  const char *strings[MAX_STRINGS];
  walk walk = {.target = SIZE_MAX, .state = state, .strings = strings};
  visit(message, &walk);
  if (walk.count == 0) return;
  walk.target = below(state, walk.count);
  walk.count = 0;
  visit(message, &walk);
}

unsigned char *mutate_message(const unsigned char *bytes, size_t size, uint64_t *state, size_t *out_size) {
  ProtobufCMessage *message = protobuf_c_message_unpack(&onnx__model_proto__descriptor, NULL, size, bytes);
  *out_size = 0;
  if (!message) return NULL;
  for (size_t i = 1 + below(state, 3); i > 0; i--) change_one(message, state);
  unsigned char *packed = malloc(protobuf_c_message_get_packed_size(message) + 1);
  if (packed) *out_size = protobuf_c_message_pack(message, packed);
  protobuf_c_message_free_unpacked(message, NULL);
  return packed;
}

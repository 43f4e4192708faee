/* Saving messages: packed by protobuf-c straight into a file.
 *
 * Where external data is concerned the model is rewritten first: a copy of every message on the way from the model to
 * an external tensor, sharing all the rest; the driver is the descriptors, so tensors in attributes, subgraphs and
 * functions are found like initializers. The data file is written on the way, tensor by tensor.
 *
 * Tensors whose bytes are computed while they are written (`fill`) have a mark in the place of their raw_data: the
 * record of what computes them. protobuf-c appends fields in the order in which the rewriting found them, so the next
 * record of the list is known by its address, and no other data is ever taken for one.
 *
 * Both files are complete, on the disk where either replaces a file, before the first one is renamed; the data comes
 * first. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "proto/file.h"
#include "proto/proto.h"

enum {
  DATA_ALIGNMENT = 64,
  PIECE_STEP = 64,     /* computed pieces begin at multiples of this */
  EXTERNAL_SIZE = 1024 /* what is smaller stays inline with PLEAT_EXTERNAL_FILE, as in ONNX's own tools */
};

/* A tensor that is computed while it is written. */
typedef struct computed {
  struct computed *next;
  pleat_proto_stored bytes;
} computed;

typedef struct saver {
  const char *path;
  pleat_external external;
  bool leaves_external; /* what is external stays in its file */
  pleat_proto_bytes_fn bytes;
  void *user;
  pleat_arena *arena;
  pleat_output data; /* the external data file, opened when it is needed */
  bool has_data;
  char *data_path;
  computed *first, **end; /* in the order of the message */
  pleat_error *error;
} saver;

static pleat_status too_large(size_t size, pleat_error *error) {
  return pleat_fail(error, PLEAT_UNSUPPORTED,
                    "the file would take %zu bytes, but a protobuf message has at most 2 GiB: keep the weights as "
                    "external data",
                    size);
}

/* ---- external tensors ---- */

static pleat_status open_data(saver *s) {
  if (s->has_data) return PLEAT_OK;
  s->data_path = pleat_arena_printf(s->arena, "%s.data", s->path);
  if (s->data_path == NULL) return PLEAT_OOM(s->error);
  PLEAT_TRY(pleat_output_open(s->data_path, &s->data, s->error));
  s->has_data = true;
  return PLEAT_OK;
}

static Onnx__StringStringEntryProto *new_entry(saver *s, const char *key, const char *value) {
  Onnx__StringStringEntryProto *entry = pleat_arena_alloc(s->arena, sizeof *entry);
  if (entry == NULL || value == NULL) return NULL;
  onnx__string_string_entry_proto__init(entry);
  entry->key = (char *)(uintptr_t)key;
  entry->value = (char *)(uintptr_t)value;
  return entry;
}

/* Keys that only describe the file the data was in. */
static bool is_place_key(const char *key) {
  return key == NULL || strcmp(key, "location") == 0 || strcmp(key, "offset") == 0 || strcmp(key, "length") == 0 ||
         strcmp(key, "checksum") == 0;
}

/* Computes piece by piece where they are written from: in the cache still when the system copies them. */
static void write_computed(pleat_output *output, const pleat_proto_stored *bytes) {
  uint8_t few[PIECE_STEP];
  for (size_t at = 0, size; at < bytes->size; at += size) {
    const size_t left = bytes->size - at;
    uint8_t *room = pleat_output_room(output, &size);
    size = left <= size ? left : size / PIECE_STEP * PIECE_STEP;
    if (size > 0) {
      bytes->fill(bytes->user, at, size, room);
      pleat_output_take(output, size);
    } else { /* across the end of the room */
      size = left < PIECE_STEP ? left : PIECE_STEP;
      bytes->fill(bytes->user, at, size, few);
      pleat_output_write(output, few, size);
    }
  }
}

/* Writes the bytes into the data file and says so in the message. */
static pleat_status place_in_file(saver *s, Onnx__TensorProto *tensor, const pleat_proto_stored *bytes) {
  PLEAT_TRY(open_data(s));
  pleat_output_align(&s->data, DATA_ALIGNMENT);
  const char *slash = strrchr(s->data_path, '/');
  Onnx__StringStringEntryProto **entries = pleat_arena_array(s->arena, tensor->n_external_data + 3, sizeof *entries);
  if (entries == NULL) return PLEAT_OOM(s->error);
  entries[0] = new_entry(s, "location", slash != NULL ? slash + 1 : s->data_path);
  entries[1] = new_entry(s, "offset", pleat_arena_printf(s->arena, "%zu", s->data.position));
  entries[2] = new_entry(s, "length", pleat_arena_printf(s->arena, "%zu", bytes->size));
  if (entries[0] == NULL || entries[1] == NULL || entries[2] == NULL) return PLEAT_OOM(s->error);
  size_t count = 3;
  for (size_t i = 0; i < tensor->n_external_data; i++) {
    if (!is_place_key(tensor->external_data[i]->key)) entries[count++] = tensor->external_data[i];
  }
  tensor->external_data = entries;
  tensor->n_external_data = count;
  if (bytes->fill != NULL) write_computed(&s->data, bytes);
  else pleat_output_write(&s->data, bytes->data, bytes->size);
  return PLEAT_OK;
}

/* What stands for computed bytes in a message. */
static uint8_t *add_computed(saver *s, const pleat_proto_stored *bytes) {
  computed *added = pleat_arena_alloc(s->arena, sizeof *added);
  if (added == NULL) return NULL;
  added->bytes = *bytes;
  *s->end = added;
  s->end = &added->next;
  return (uint8_t *)added;
}

static pleat_status rewrite_tensor(saver *s, const Onnx__TensorProto *source, bool is_external,
                                   const pleat_proto_stored *bytes, ProtobufCMessage **out_message) {
  Onnx__TensorProto *tensor = pleat_arena_alloc(s->arena, sizeof *tensor);
  if (tensor == NULL) return PLEAT_OOM(s->error);
  *tensor = *source;
  *out_message = &tensor->base;
  if (is_external) {
    tensor->has_data_location = 1;
    tensor->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    tensor->has_raw_data = 0;
    tensor->raw_data = (ProtobufCBinaryData){.len = 0, .data = NULL};
    return place_in_file(s, tensor, bytes);
  }
  tensor->has_data_location = 0;
  tensor->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__DEFAULT;
  tensor->n_external_data = 0;
  tensor->external_data = NULL;
  tensor->has_raw_data = 1;
  uint8_t *data = bytes->fill != NULL ? add_computed(s, bytes) : (uint8_t *)(uintptr_t)bytes->data;
  if (bytes->fill != NULL && data == NULL) return PLEAT_OOM(s->error);
  tensor->raw_data = (ProtobufCBinaryData){.len = bytes->size, .data = data};
  return PLEAT_OK;
}

/* The tensor itself where it is stored already as it shall be. */
static pleat_status visit_tensor(saver *s, const Onnx__TensorProto *tensor, ProtobufCMessage **out_message) {
  const bool was_external = pleat_proto_tensor_is_external(tensor);
  pleat_proto_stored bytes = {0};
  /* What is computed has no file yet, also where it is to have one. */
  if (was_external && s->leaves_external && tensor->n_external_data > 0) return PLEAT_OK;
  PLEAT_TRY(s->bytes(s->user, tensor, &bytes, s->error));
  const bool is_large = (tensor->has_raw_data || bytes.fill != NULL) && bytes.size >= EXTERNAL_SIZE;
  const bool goes_out = !s->leaves_external && s->external != PLEAT_EXTERNAL_INLINE &&
                        (was_external || (s->external == PLEAT_EXTERNAL_FILE && is_large));
  if (!was_external && !goes_out && bytes.fill == NULL) return PLEAT_OK;
  return rewrite_tensor(s, tensor, goes_out, &bytes, out_message);
}

/* ---- the rewritten model ---- */

static pleat_status rewrite(saver *s, const ProtobufCMessage *message, int depth, ProtobufCMessage **out_message);

/* Where a message keeps a field. */
static void *member(const ProtobufCMessage *message, unsigned offset) {
  return (char *)(uintptr_t)message + offset;
}

/* Rewrites the messages of one field; `*copy` is made of `message` when the first of them differs. */
static pleat_status rewrite_field(saver *s, const ProtobufCMessage *message, const ProtobufCFieldDescriptor *fd,
                                  int depth, ProtobufCMessage **copy) {
  bool repeated = fd->label == PROTOBUF_C_LABEL_REPEATED;
  ProtobufCMessage **items =
      repeated ? *(ProtobufCMessage ***)member(message, fd->offset) : (ProtobufCMessage **)member(message, fd->offset);
  size_t count = repeated ? *(size_t *)member(message, fd->quantifier_offset) : (size_t)(*items != NULL);
  ProtobufCMessage **new_items = NULL;
  for (size_t i = 0; i < count; i++) {
    ProtobufCMessage *item;
    PLEAT_TRY(rewrite(s, items[i], depth + 1, &item));
    if (item == items[i]) continue;
    if (*copy == NULL) {
      *copy = pleat_arena_alloc(s->arena, message->descriptor->sizeof_message);
      if (*copy == NULL) return PLEAT_OOM(s->error);
      memcpy(*copy, message, message->descriptor->sizeof_message);
    }
    if (new_items == NULL && repeated) {
      new_items = pleat_arena_array(s->arena, count, sizeof(ProtobufCMessage *));
      if (new_items == NULL) return PLEAT_OOM(s->error);
      memcpy(new_items, items, count * sizeof(ProtobufCMessage *));
      *(ProtobufCMessage ***)member(*copy, fd->offset) = new_items;
    }
    *(repeated ? &new_items[i] : (ProtobufCMessage **)member(*copy, fd->offset)) = item;
  }
  return PLEAT_OK;
}

/* The message itself where nothing in it is external, else a copy that shares what did not change. */
static pleat_status rewrite(saver *s, const ProtobufCMessage *message, int depth, ProtobufCMessage **out_message) {
  const ProtobufCMessageDescriptor *type = message->descriptor;
  *out_message = (ProtobufCMessage *)(uintptr_t)message;
  if (depth > PLEAT_LIMIT_MESSAGE_DEPTH)
    return pleat_fail(s->error, PLEAT_UNSUPPORTED, "messages are nested deeper than %d, the limit of the format",
                      PLEAT_LIMIT_MESSAGE_DEPTH);
  if (type == &onnx__tensor_proto__descriptor) {
    return visit_tensor(s, (const Onnx__TensorProto *)message, out_message);
  }
  ProtobufCMessage *copy = NULL;
  for (unsigned i = 0; i < type->n_fields; i++) {
    const ProtobufCFieldDescriptor *fd = &type->fields[i];
    if (fd->type != PROTOBUF_C_TYPE_MESSAGE) continue;
    if ((fd->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0 &&
        *(const uint32_t *)member(message, fd->quantifier_offset) != fd->id)
      continue;
    PLEAT_TRY(rewrite_field(s, message, fd, depth, &copy));
  }
  if (copy != NULL) *out_message = copy;
  return PLEAT_OK;
}

/* Starts a saver and rewrites the model; the arena is the caller's to destroy. */
static pleat_status begin(saver *s, const Onnx__ModelProto *model, ProtobufCMessage **out_message) {
  s->end = &s->first;
  s->arena = pleat_arena_create();
  if (s->arena == NULL) return PLEAT_OOM(s->error);
  PLEAT_TRY(rewrite(s, &model->base, 0, out_message));
  const size_t size = protobuf_c_message_get_packed_size(*out_message);
  return size > PLEAT_LIMIT_MESSAGE_BYTES ? too_large(size, s->error) : PLEAT_OK;
}

/* ---- files ---- */

typedef struct output_buffer {
  ProtobufCBuffer base;
  pleat_output *output;
  const computed *next;
} output_buffer;

static void append_to_output(ProtobufCBuffer *base, size_t size, const uint8_t *data) {
  output_buffer *buffer = (output_buffer *)base;
  if (buffer->next == NULL || data != (const uint8_t *)buffer->next) {
    pleat_output_write(buffer->output, data, size);
    return;
  }
  write_computed(buffer->output, &buffer->next->bytes);
  buffer->next = buffer->next->next;
}

static pleat_status save_files(saver *s, const ProtobufCMessage *message, pleat_output *output) {
  PLEAT_TRY(pleat_output_open(s->path, output, s->error));
  if (s->has_data)
    output->flushes = s->data.flushes = output->flushes || s->data.flushes; /* neither without the other */
  pleat_output_reserve(output, protobuf_c_message_get_packed_size(message));
  output_buffer buffer = {.base = {.append = append_to_output}, .output = output, .next = s->first};
  protobuf_c_message_pack_to_buffer(message, &buffer.base);
  assert(buffer.next == NULL);
  PLEAT_TRY(pleat_output_finish(output, s->error));
  if (s->has_data) {
    PLEAT_TRY(pleat_output_finish(&s->data, s->error));
    PLEAT_TRY(pleat_output_publish(&s->data, s->error));
  }
  return pleat_output_publish(output, s->error);
}

pleat_status pleat_proto_save(const Onnx__ModelProto *model, const char *path, pleat_external external,
                              pleat_proto_bytes_fn bytes, void *user, pleat_error *error) {
  pleat_output output = PLEAT_OUTPUT_INIT;
  saver s = {
      .path = path, .external = external, .bytes = bytes, .user = user, .data = PLEAT_OUTPUT_INIT, .error = error};
  pleat_status status = PLEAT_OK;
  ProtobufCMessage *message;
  PLEAT_CHECK(begin(&s, model, &message));
  PLEAT_CHECK(save_files(&s, message, &output));
fail:
  if (status != PLEAT_OK) pleat_error_at_file(error, path);
  pleat_output_close(&output);
  pleat_output_close(&s.data);
  pleat_arena_destroy(s.arena);
  return status;
}

/* ---- memory ---- */

typedef struct memory_buffer {
  ProtobufCBuffer base;
  uint8_t *at;
  const computed *next;
} memory_buffer;

static void append_to_memory(ProtobufCBuffer *base, size_t size, const uint8_t *data) {
  memory_buffer *buffer = (memory_buffer *)base;
  if (buffer->next != NULL && data == (const uint8_t *)buffer->next) {
    buffer->next->bytes.fill(buffer->next->bytes.user, 0, size, buffer->at);
    buffer->next = buffer->next->next;
  } else if (size > 0) {
    memcpy(buffer->at, data, size);
  }
  buffer->at += size;
}

pleat_status pleat_proto_pack_model(const Onnx__ModelProto *model, pleat_proto_bytes_fn bytes, void *user,
                                    void **out_data, size_t *out_size, pleat_error *error) {
  saver s = {.path = "", .leaves_external = true, .bytes = bytes, .user = user, .error = error};
  pleat_status status = PLEAT_OK;
  ProtobufCMessage *message;
  *out_data = NULL;
  *out_size = 0;
  PLEAT_CHECK(begin(&s, model, &message));
  const size_t size = protobuf_c_message_get_packed_size(message);
  uint8_t *data = malloc(size > 0 ? size : 1);
  if (data == NULL) PLEAT_CHECK(PLEAT_OOM(error));
  memory_buffer buffer = {.base = {.append = append_to_memory}, .at = data, .next = s.first};
  *out_size = protobuf_c_message_pack_to_buffer(message, &buffer.base);
  *out_data = data;
fail:
  pleat_arena_destroy(s.arena);
  return status;
}

pleat_status pleat_proto_pack(const ProtobufCMessage *message, void **out_data, size_t *out_size, pleat_error *error) {
  *out_data = NULL;
  *out_size = 0;
  size_t size = protobuf_c_message_get_packed_size(message);
  if (size > PLEAT_LIMIT_MESSAGE_BYTES) return too_large(size, error);
  uint8_t *data = malloc(size > 0 ? size : 1);
  if (data == NULL) return PLEAT_OOM(error);
  *out_size = protobuf_c_message_pack(message, data);
  *out_data = data;
  return PLEAT_OK;
}

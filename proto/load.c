/* Loading messages: a mapped file, checked (wire.c), decoded by protobuf-c into an arena.
 *
 * A model's weights are not copied: what protobuf-c decodes is a skeleton without the initializers' raw_data, which
 * then get to point into the file. Everything else is in the arena, freed at once.
 *
 * Memory: protobuf-c turns two bytes (an empty message) into up to 300. Real models stay below 30 times their size
 * without weights; 64 times, and 64 MiB for small ones, is the limit here, so that a file cannot ask for more. */
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "proto/internal.h"
#include "proto/wire.h"

#define DECODED_BYTES_FREE ((size_t)64 << 20)
enum { DECODED_RATIO = 64 };

typedef struct budget {
  pleat_arena *arena;
  size_t left;
  bool exceeded, out_of_memory;
} budget;

static void *budget_alloc(void *user, size_t size) {
  budget *b = user;
  if (size > b->left) {
    b->exceeded = true;
    return NULL;
  }
  b->left -= size;
  void *memory = pleat_arena_alloc(b->arena, size);
  if (memory == NULL) b->out_of_memory = true;
  return memory;
}

static void budget_free(void *user, void *pointer) {
  (void)user, (void)pointer; /* the arena's memory goes with the arena */
}

/* Decodes what wire.c has checked. `file_size` is what the memory is measured by: a skeleton may be larger. */
static pleat_status decode(const ProtobufCMessageDescriptor *type, const void *data, size_t size, size_t file_size,
                           pleat_arena *arena, ProtobufCMessage **out_message, pleat_error *error) {
  budget b = {.arena = arena};
  size_t measure = size < file_size ? size : file_size;
  if (!pleat_mul_size(measure, DECODED_RATIO, &b.left) || !pleat_add_size(b.left, DECODED_BYTES_FREE, &b.left))
    b.left = SIZE_MAX;
  ProtobufCAllocator allocator = {.alloc = budget_alloc, .free = budget_free, .allocator_data = &b};
  *out_message = protobuf_c_message_unpack(type, &allocator, size, data);
  if (*out_message != NULL) return PLEAT_OK;
  if (b.out_of_memory) return PLEAT_OOM(error);
  if (b.exceeded)
    return pleat_fail(error, PLEAT_MALFORMED_MODEL, "its %zu bytes would decode to more than %d times as much", measure,
                      DECODED_RATIO);
  return pleat_fail(error, PLEAT_MALFORMED_MODEL, "not a valid %s message", type->short_name);
}

/* ---- models ---- */

/* The folder part of a path: "." without one. */
static char *folder_of(const char *path) {
  const char *slash = strrchr(path, '/');
  if (slash == NULL) return strdup(".");
  return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

static pleat_proto *create(const char *path) {
  pleat_proto *proto = calloc(1, sizeof *proto);
  if (proto == NULL) return NULL;
  proto->path = strdup(path);
  proto->arena = pleat_arena_create();
  proto->has_lock = pthread_mutex_init(&proto->lock, NULL) == 0;
  if (proto->path != NULL && proto->arena != NULL && proto->has_lock) return proto;
  pleat_proto_destroy(proto);
  return NULL;
}

/* Gives the initializers their data. The skeleton has as many as the file, in the same order. */
static void attach_raw_data(const Onnx__ModelProto *model, const pleat_wire_skeleton *skeleton) {
  for (size_t i = 0; i < skeleton->view_count; i++) {
    const pleat_wire_view *view = &skeleton->views[i];
    if (view->data == NULL) continue;
    Onnx__TensorProto *tensor = model->graph->initializer[i];
    tensor->has_raw_data = 1;
    tensor->raw_data = (ProtobufCBinaryData){.len = view->size, .data = (uint8_t *)(uintptr_t)view->data};
  }
}

static pleat_status decode_model(pleat_proto *proto, pleat_error *error) {
  pleat_wire_skeleton skeleton = {0};
  ProtobufCMessage *message = NULL;
  pleat_status status = PLEAT_OK;
  if (proto->file.size == 0) PLEAT_CHECK(pleat_fail(error, PLEAT_MALFORMED_MODEL, "the file is empty"));
  PLEAT_CHECK(pleat_wire_cut(proto->file.data, proto->file.size, &skeleton, error));
  PLEAT_CHECK(decode(&onnx__model_proto__descriptor, skeleton.data, skeleton.size, proto->file.size, proto->arena,
                     &message, error));
  proto->model = (const Onnx__ModelProto *)message;
  attach_raw_data(proto->model, &skeleton);
fail:
  pleat_wire_skeleton_deinit(&skeleton);
  return status;
}

pleat_status pleat_proto_load(const char *path, pleat_proto **out_proto, pleat_error *error) {
  *out_proto = NULL;
  pleat_status status = PLEAT_OK;
  pleat_proto *proto = create(path);
  if (proto == NULL) return PLEAT_OOM(error);
  proto->folder = folder_of(path);
  if (proto->folder == NULL) PLEAT_CHECK(PLEAT_OOM(error));
  PLEAT_CHECK(pleat_mapping_open(path, PLEAT_LIMIT_MESSAGE_BYTES, &proto->file, error));
  PLEAT_CHECK(decode_model(proto, error));
  *out_proto = proto;
  return PLEAT_OK;
fail:
  pleat_error_at_file(error, path);
  pleat_proto_destroy(proto);
  return status;
}

pleat_status pleat_proto_load_memory(const void *data, size_t size, const char *base_dir, pleat_proto **out_proto,
                                     pleat_error *error) {
  *out_proto = NULL;
  pleat_status status = PLEAT_OK;
  pleat_proto *proto = create("");
  if (proto == NULL) return PLEAT_OOM(error);
  if (base_dir != NULL && (proto->folder = strdup(base_dir)) == NULL) PLEAT_CHECK(PLEAT_OOM(error));
  if (size > 0) {
    uint8_t *copy = malloc(size);
    if (copy == NULL) PLEAT_CHECK(PLEAT_OOM(error));
    memcpy(copy, data, size);
    proto->file = (pleat_mapping){.data = copy, .size = size};
  }
  PLEAT_CHECK(decode_model(proto, error));
  *out_proto = proto;
  return PLEAT_OK;
fail:
  pleat_proto_destroy(proto);
  return status;
}

void pleat_proto_destroy(pleat_proto *proto) {
  if (proto == NULL) return;
  pleat_externals_destroy(proto->externals);
  if (proto->has_lock) pthread_mutex_destroy(&proto->lock);
  pleat_mapping_close(&proto->file);
  pleat_arena_destroy(proto->arena);
  free(proto->path);
  free(proto->folder);
  free(proto);
}

const Onnx__ModelProto *pleat_proto_model(const pleat_proto *proto) {
  return proto->model;
}

const char *pleat_proto_path(const pleat_proto *proto) {
  return proto->path;
}

/* ---- single messages ---- */

pleat_status pleat_proto_unpack(const ProtobufCMessageDescriptor *type, const void *data, size_t size,
                                pleat_arena *arena, ProtobufCMessage **out_message, pleat_error *error) {
  *out_message = NULL;
  PLEAT_TRY(pleat_wire_check(type, data, size, error));
  return decode(type, data, size, size, arena, out_message, error);
}

pleat_status pleat_proto_unpack_file(const ProtobufCMessageDescriptor *type, const char *path, pleat_arena *arena,
                                     ProtobufCMessage **out_message, pleat_error *error) {
  *out_message = NULL;
  pleat_mapping file;
  pleat_status status = pleat_mapping_open(path, PLEAT_LIMIT_MESSAGE_BYTES, &file, error);
  if (status == PLEAT_OK) {
    status = pleat_proto_unpack(type, file.data, file.size, arena, out_message, error);
    pleat_mapping_close(&file);
  }
  if (status != PLEAT_OK) pleat_error_at_file(error, path);
  return status;
}

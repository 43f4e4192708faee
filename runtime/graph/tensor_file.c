/* Tensors in files of their own: TensorProto, SequenceProto and OptionalProto, as in the ONNX test-directory layout.
 *
 * Lists may hold lists; how deep they may be is PLEAT_MAX_NESTING, as for all tensors. Maps are not supported.
 *
 * Source: onnx-data.proto (SequenceProto, OptionalProto), ONNX's OnnxBackendTest.md. */
#include <stdlib.h>

#include "core/error.h"
#include "core/tensor.h"
#include "graph/model.h"

typedef enum item_type { ITEM_NONE, ITEM_TENSOR, ITEM_SPARSE, ITEM_SEQUENCE, ITEM_MAP, ITEM_OPTIONAL } item_type;

/* ---- reading ---- */

static pleat_status read_message(const ProtobufCMessage *message, int depth, pleat_tensor **out_tensor,
                                 pleat_error *error);

/* A list of the given messages. */
static pleat_status read_list(pleat_kind kind, const void *messages, size_t count, int depth, pleat_tensor **out_tensor,
                              pleat_error *error) {
  if (depth == PLEAT_MAX_NESTING)
    return pleat_fail(error, PLEAT_UNSUPPORTED, "lists are nested deeper than %d", PLEAT_MAX_NESTING);
  const ProtobufCMessage *const *items = messages;
  pleat_tensor **tensors = calloc(count > 0 ? count : 1, sizeof *tensors);
  if (tensors == NULL) return PLEAT_OOM(error);
  pleat_status status = PLEAT_OK;
  for (size_t i = 0; i < count; i++) PLEAT_CHECK(read_message(items[i], depth + 1, &tensors[i], error));
  PLEAT_CHECK(pleat_tensor_create_list(kind, tensors, count, out_tensor, error));
fail:
  for (size_t i = 0; i < count; i++) pleat_tensor_release(tensors[i]); /* the list has retained them */
  free(tensors);
  return status;
}

static pleat_status no_such_type(int32_t type, const char *what, pleat_error *error) {
  if (type == ITEM_MAP) return pleat_fail(error, PLEAT_UNSUPPORTED, "maps in %s are not supported", what);
  return pleat_fail(error, PLEAT_MALFORMED_MODEL, "expected an element type from 0 to 5 in %s, found %d", what,
                    (int)type);
}

static pleat_status read_sequence(const Onnx__SequenceProto *m, int depth, pleat_tensor **out_tensor,
                                  pleat_error *error) {
  const pleat_kind kind = PLEAT_KIND_SEQUENCE;
  switch (m->has_elem_type ? m->elem_type : (int32_t)ITEM_NONE) {
  case ITEM_NONE: /* an empty sequence, for which some writers leave the type out */
  case ITEM_TENSOR:
    return read_list(kind, m->tensor_values, m->n_tensor_values, depth, out_tensor, error);
  case ITEM_SPARSE:
    return read_list(kind, m->sparse_tensor_values, m->n_sparse_tensor_values, depth, out_tensor, error);
  case ITEM_SEQUENCE:
    return read_list(kind, m->sequence_values, m->n_sequence_values, depth, out_tensor, error);
  case ITEM_OPTIONAL:
    return read_list(kind, m->optional_values, m->n_optional_values, depth, out_tensor, error);
  default:
    return no_such_type(m->elem_type, "a sequence", error);
  }
}

static pleat_status read_optional(const Onnx__OptionalProto *m, int depth, pleat_tensor **out_tensor,
                                  pleat_error *error) {
  const ProtobufCMessage *item = NULL;
  switch (m->has_elem_type ? m->elem_type : (int32_t)ITEM_NONE) {
  case ITEM_NONE:
    break;
  case ITEM_TENSOR:
    item = (const ProtobufCMessage *)m->tensor_value;
    break;
  case ITEM_SPARSE:
    item = (const ProtobufCMessage *)m->sparse_tensor_value;
    break;
  case ITEM_SEQUENCE:
    item = (const ProtobufCMessage *)m->sequence_value;
    break;
  case ITEM_OPTIONAL:
    item = (const ProtobufCMessage *)m->optional_value;
    break;
  default:
    return no_such_type(m->elem_type, "an optional", error);
  }
  return read_list(PLEAT_KIND_OPTIONAL, &item, item != NULL, depth, out_tensor, error);
}

static pleat_status read_message(const ProtobufCMessage *message, int depth, pleat_tensor **out_tensor,
                                 pleat_error *error) {
  if (message->descriptor == &onnx__tensor_proto__descriptor)
    return pleat_tensor_from_proto(NULL, (const Onnx__TensorProto *)message, out_tensor, error);
  if (message->descriptor == &onnx__sparse_tensor_proto__descriptor)
    return pleat_tensor_from_sparse_proto(NULL, (const Onnx__SparseTensorProto *)message, out_tensor, error);
  if (message->descriptor == &onnx__sequence_proto__descriptor)
    return read_sequence((const Onnx__SequenceProto *)message, depth, out_tensor, error);
  return read_optional((const Onnx__OptionalProto *)message, depth, out_tensor, error);
}

pleat_status pleat_tensor_load_pb(const char *path, pleat_kind expect, pleat_tensor **out_tensor, pleat_error *error) {
  *out_tensor = NULL;
  const ProtobufCMessageDescriptor *type;
  switch (expect) {
  case PLEAT_KIND_TENSOR:
    type = &onnx__tensor_proto__descriptor;
    break;
  case PLEAT_KIND_SEQUENCE:
    type = &onnx__sequence_proto__descriptor;
    break;
  case PLEAT_KIND_OPTIONAL:
    type = &onnx__optional_proto__descriptor;
    break;
  default:
    return pleat_fail(error, PLEAT_UNSUPPORTED, "expected the kind tensor, sequence or optional, found kind %d",
                      (int)expect);
  }
  pleat_arena *arena = pleat_arena_create();
  if (arena == NULL) return PLEAT_OOM(error);
  ProtobufCMessage *message;
  pleat_status status = pleat_proto_unpack_file(type, path, arena, &message, error);
  if (status == PLEAT_OK) status = read_message(message, 0, out_tensor, error);
  if (status != PLEAT_OK) pleat_error_at_file(error, path);
  pleat_arena_destroy(arena);
  return status;
}

/* ---- writing ---- */

static pleat_status write_message(const pleat_tensor *tensor, const char *name, pleat_arena *arena,
                                  ProtobufCMessage **out_message, pleat_error *error);

static item_type item_type_of(const pleat_tensor *item) {
  switch (item->kind) {
  case PLEAT_KIND_SEQUENCE:
    return ITEM_SEQUENCE;
  case PLEAT_KIND_OPTIONAL:
    return ITEM_OPTIONAL;
  default:
    return ITEM_TENSOR;
  }
}

static pleat_status write_sequence(const pleat_tensor *list, const char *name, pleat_arena *arena,
                                   ProtobufCMessage **out_message, pleat_error *error) {
  Onnx__SequenceProto *m = pleat_arena_alloc(arena, sizeof *m);
  ProtobufCMessage **items = pleat_arena_array(arena, list->count, sizeof *items);
  if (m == NULL || items == NULL) return PLEAT_OOM(error);
  onnx__sequence_proto__init(m);
  item_type type = list->count > 0 ? item_type_of(list->items[0]) : ITEM_TENSOR;
  for (size_t i = 0; i < list->count; i++) {
    if (item_type_of(list->items[i]) != type)
      return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "expected items of one kind in a sequence, found several");
    PLEAT_TRY(write_message(list->items[i], "", arena, &items[i], error));
  }
  m->name = pleat_arena_strdup(arena, name);
  if (m->name == NULL) return PLEAT_OOM(error);
  m->has_elem_type = 1;
  m->elem_type = (int32_t)type;
  if (type == ITEM_SEQUENCE) {
    m->n_sequence_values = list->count;
    m->sequence_values = (Onnx__SequenceProto **)(void *)items;
  } else if (type == ITEM_OPTIONAL) {
    m->n_optional_values = list->count;
    m->optional_values = (Onnx__OptionalProto **)(void *)items;
  } else {
    m->n_tensor_values = list->count;
    m->tensor_values = (Onnx__TensorProto **)(void *)items;
  }
  *out_message = &m->base;
  return PLEAT_OK;
}

static pleat_status write_optional(const pleat_tensor *list, const char *name, pleat_arena *arena,
                                   ProtobufCMessage **out_message, pleat_error *error) {
  Onnx__OptionalProto *m = pleat_arena_alloc(arena, sizeof *m);
  if (m == NULL) return PLEAT_OOM(error);
  onnx__optional_proto__init(m);
  m->name = pleat_arena_strdup(arena, name);
  if (m->name == NULL) return PLEAT_OOM(error);
  m->has_elem_type = 1;
  if (list->count > 0) {
    ProtobufCMessage *item;
    PLEAT_TRY(write_message(list->items[0], "", arena, &item, error));
    item_type type = item_type_of(list->items[0]);
    m->elem_type = (int32_t)type;
    if (type == ITEM_TENSOR) m->tensor_value = (Onnx__TensorProto *)item;
    if (type == ITEM_SEQUENCE) m->sequence_value = (Onnx__SequenceProto *)item;
    if (type == ITEM_OPTIONAL) m->optional_value = (Onnx__OptionalProto *)item;
  }
  *out_message = &m->base;
  return PLEAT_OK;
}

static pleat_status write_message(const pleat_tensor *tensor, const char *name, pleat_arena *arena,
                                  ProtobufCMessage **out_message, pleat_error *error) {
  if (tensor->kind == PLEAT_KIND_SEQUENCE) return write_sequence(tensor, name, arena, out_message, error);
  if (tensor->kind == PLEAT_KIND_OPTIONAL) return write_optional(tensor, name, arena, out_message, error);
  Onnx__TensorProto *message;
  PLEAT_TRY(pleat_tensor_to_proto(tensor, name, arena, &message, error));
  *out_message = &message->base;
  return PLEAT_OK;
}

pleat_status pleat_tensor_save_pb(const pleat_tensor *tensor, const char *name, const char *path, pleat_error *error) {
  pleat_arena *arena = pleat_arena_create();
  if (arena == NULL) return PLEAT_OOM(error);
  ProtobufCMessage *message;
  void *data = NULL;
  size_t size;
  pleat_status status = PLEAT_OK;
  PLEAT_CHECK(write_message(tensor, name != NULL ? name : "", arena, &message, error));
  PLEAT_CHECK(pleat_proto_pack(message, &data, &size, error));
  PLEAT_CHECK(pleat_write_file(path, data, size, error));
fail:
  free(data);
  pleat_arena_destroy(arena);
  return status;
}

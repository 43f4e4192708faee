/* A walk over serialized messages, driven by protobuf-c's descriptors, that runs before protobuf-c decodes them.
 *
 * It rejects what protobuf-c 1.4 gets wrong or does not notice: lengths that wrap around, messages nested without end
 * (it recurses), a singular message that occurs twice (its merge looks up the case of an empty oneof out of bounds),
 * strings with a NUL inside (they would be cut when they are saved), groups and wire types that do not fit the field.
 * Unknown fields are let through: protobuf-c keeps them.
 *
 * On the way it can copy a model without the raw_data of its initializers: that is what makes loading zero-copy. The
 * lengths of the enclosing messages change; they are written as five-byte varints, so that they can be filled in last.
 *
 * Source: Protocol Buffers encoding, https://protobuf.dev/programming-guides/encoding/ */
#include "proto/wire.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"

enum {
  FIELD_MODEL_GRAPH = 7,
  FIELD_GRAPH_INITIALIZER = 5,
  FIELD_TENSOR_RAW_DATA = 9,
  CUT_MINIMUM = 64,  /* bytes of raw_data that are worth a view */
  LENGTH_BYTES = 5,  /* what protobuf-c reads of a length, and a length written to be filled in later */
  VARINT_BYTES = 10, /* the longest varint */
  MAX_NUMBER = (1 << 29) - 1,
};

/* What the walk knows about a message beyond its type: on the way from a model to its initializers, it is copied. */
typedef enum role { ROLE_PLAIN, ROLE_MODEL, ROLE_GRAPH, ROLE_INITIALIZER } role;

typedef struct walker {
  const uint8_t *start;          /* of the source, for messages */
  pleat_wire_skeleton *skeleton; /* NULL: only check */
  const char *type_name;         /* of the whole message, for messages */
  pleat_error *error;
} walker;

typedef struct field {
  const uint8_t *tag; /* where the field starts */
  size_t tag_size;
  const uint8_t *value; /* after tag and length */
  const uint8_t *end;
  uint32_t number;
  ProtobufCWireType wire;
} field;

static pleat_status bad(const walker *w, const uint8_t *at, const ProtobufCMessageDescriptor *type, const char *name,
                        const char *what) {
  return pleat_fail(w->error, PLEAT_MALFORMED_MODEL, "not a valid %s message: byte %zu: %s%s%s: %s", w->type_name,
                    (size_t)(at - w->start), type->short_name, *name != 0 ? "." : "", name, what);
}

/* ---- the skeleton ---- */

static bool grow(void **array, size_t needed, size_t *capacity, size_t element_size) {
  if (needed <= *capacity) return true;
  size_t wanted = needed, bytes;
  if (!pleat_add_size(wanted, wanted / 2 + 64, &wanted) || !pleat_mul_size(wanted, element_size, &bytes)) return false;
  void *moved = realloc(*array, bytes);
  if (moved == NULL) return false;
  *array = moved;
  *capacity = wanted;
  return true;
}

static pleat_status append(walker *w, const void *data, size_t size) {
  pleat_wire_skeleton *s = w->skeleton;
  if (!grow((void **)&s->data, s->size + size, &s->capacity, 1)) return PLEAT_OOM(w->error);
  if (size > 0) memcpy(s->data + s->size, data, size);
  s->size += size;
  return PLEAT_OK;
}

static pleat_status add_view(walker *w) {
  pleat_wire_skeleton *s = w->skeleton;
  if (!grow((void **)&s->views, s->view_count + 1, &s->view_capacity, sizeof *s->views)) return PLEAT_OOM(w->error);
  s->views[s->view_count++] = (pleat_wire_view){NULL, 0};
  return PLEAT_OK;
}

/* Fills in the length of what was appended since the length at `mark`. */
static void fill_length(pleat_wire_skeleton *s, size_t mark) {
  size_t length = s->size - mark - LENGTH_BYTES;
  for (int i = 0; i < LENGTH_BYTES; i++) {
    s->data[mark + (size_t)i] = (uint8_t)((length >> (7 * i) & 0x7f) | (i < LENGTH_BYTES - 1 ? 0x80 : 0));
  }
}

/* ---- reading ---- */

/* Bytes of the varint at `at`, or 0 when it does not end within `limit` bytes or before `end`. */
static size_t varint(const uint8_t *at, const uint8_t *end, size_t limit, uint64_t *out_value) {
  uint64_t value = 0;
  for (size_t i = 0; i < limit && at + i < end; i++) {
    value |= (uint64_t)(at[i] & 0x7f) << (7 * i);
    if ((at[i] & 0x80) == 0) {
      *out_value = value;
      return i + 1;
    }
  }
  return 0;
}

static pleat_status read_field(const walker *w, const ProtobufCMessageDescriptor *type, const uint8_t *at,
                               const uint8_t *end, field *out) {
  uint64_t key, length;
  size_t used = varint(at, end, 5, &key);
  if (used == 0 || key >> 3 == 0 || key >> 3 > MAX_NUMBER) return bad(w, at, type, "", "no field starts here");
  *out = (field){.tag = at,
                 .tag_size = used,
                 .value = at + used,
                 .number = (uint32_t)(key >> 3),
                 .wire = (ProtobufCWireType)(key & 7)};
  size_t left = (size_t)(end - out->value);
  switch (key & 7) {
  case PROTOBUF_C_WIRE_TYPE_VARINT:
    length = varint(out->value, end, VARINT_BYTES, &key);
    if (length == 0) return bad(w, at, type, "", "a number without an end");
    break;
  case PROTOBUF_C_WIRE_TYPE_64BIT:
    length = 8;
    break;
  case PROTOBUF_C_WIRE_TYPE_32BIT:
    length = 4;
    break;
  case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
    used = varint(out->value, end, LENGTH_BYTES, &length);
    if (used == 0) return bad(w, at, type, "", "a length without an end");
    out->value += used;
    left -= used;
    break;
  default:
    return bad(w, at, type, "", "a group or an unknown wire type, neither of which ONNX has");
  }
  if (length > left)
    return bad(w, at, type, "", "a field that is longer than what is around it (is the file cut off?)");
  out->end = out->value + length;
  return PLEAT_OK;
}

static ProtobufCWireType wire_of(ProtobufCType type) {
  switch (type) {
  case PROTOBUF_C_TYPE_STRING:
  case PROTOBUF_C_TYPE_BYTES:
  case PROTOBUF_C_TYPE_MESSAGE:
    return PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
  case PROTOBUF_C_TYPE_FLOAT:
  case PROTOBUF_C_TYPE_FIXED32:
  case PROTOBUF_C_TYPE_SFIXED32:
    return PROTOBUF_C_WIRE_TYPE_32BIT;
  case PROTOBUF_C_TYPE_DOUBLE:
  case PROTOBUF_C_TYPE_FIXED64:
  case PROTOBUF_C_TYPE_SFIXED64:
    return PROTOBUF_C_WIRE_TYPE_64BIT;
  default:
    return PROTOBUF_C_WIRE_TYPE_VARINT;
  }
}

static pleat_status check_packed(const walker *w, const ProtobufCMessageDescriptor *type,
                                 const ProtobufCFieldDescriptor *fd, const field *f) {
  size_t width = wire_of(fd->type) == PROTOBUF_C_WIRE_TYPE_32BIT ? 4 : 8;
  if (wire_of(fd->type) != PROTOBUF_C_WIRE_TYPE_VARINT) {
    if ((size_t)(f->end - f->value) % width != 0) return bad(w, f->tag, type, fd->name, "packed numbers are cut off");
    return PLEAT_OK;
  }
  for (const uint8_t *at = f->value; at < f->end;) {
    uint64_t value;
    size_t used = varint(at, f->end, VARINT_BYTES, &value);
    if (used == 0) return bad(w, at, type, fd->name, "a packed number without an end");
    at += used;
  }
  return PLEAT_OK;
}

/* Checks a field of any type but message. */
static pleat_status check_scalar(const walker *w, const ProtobufCMessageDescriptor *type,
                                 const ProtobufCFieldDescriptor *fd, const field *f) {
  if (f->wire != wire_of(fd->type)) {
    if (fd->label == PROTOBUF_C_LABEL_REPEATED && f->wire == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED)
      return check_packed(w, type, fd, f);
    return bad(w, f->tag, type, fd->name, "the wire type of another kind of field");
  }
  if (fd->type == PROTOBUF_C_TYPE_STRING && f->end > f->value &&
      memchr(f->value, 0, (size_t)(f->end - f->value)) != NULL)
    return bad(w, f->tag, type, fd->name, "a string with a NUL byte inside");
  return PLEAT_OK;
}

/* ---- the walk ---- */

static role child_role(role parent, uint32_t number) {
  if (parent == ROLE_MODEL && number == FIELD_MODEL_GRAPH) return ROLE_GRAPH;
  if (parent == ROLE_GRAPH && number == FIELD_GRAPH_INITIALIZER) return ROLE_INITIALIZER;
  return ROLE_PLAIN;
}

/* Copies a field that is no message, or notes where it is. The last raw_data counts when there are several. */
static pleat_status keep_scalar(walker *w, role in, const field *f) {
  size_t size = (size_t)(f->end - f->value);
  if (in == ROLE_INITIALIZER && f->number == FIELD_TENSOR_RAW_DATA) {
    bool cut = size >= CUT_MINIMUM;
    w->skeleton->views[w->skeleton->view_count - 1] = (pleat_wire_view){cut ? f->value : NULL, cut ? size : 0};
    if (cut) return PLEAT_OK;
  }
  return append(w, f->tag, (size_t)(f->end - f->tag));
}

static pleat_status walk(walker *w, const ProtobufCMessageDescriptor *type, const uint8_t *at, const uint8_t *end,
                         int depth, role in);

static pleat_status walk_child(walker *w, const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *fd,
                               const field *f, int depth, role in) {
  if (f->wire != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED)
    return bad(w, f->tag, type, fd->name, "the wire type of another kind of field");
  if (depth == PLEAT_LIMIT_MESSAGE_DEPTH)
    return bad(w, f->tag, type, fd->name, "messages are nested deeper than 100, the limit of the format");
  role child = child_role(in, f->number);
  if (child == ROLE_PLAIN) {
    PLEAT_TRY(walk(w, fd->descriptor, f->value, f->end, depth + 1, ROLE_PLAIN));
    return in == ROLE_PLAIN ? PLEAT_OK : append(w, f->tag, (size_t)(f->end - f->tag));
  }
  static const uint8_t no_length[LENGTH_BYTES];
  PLEAT_TRY(append(w, f->tag, f->tag_size));
  size_t mark = w->skeleton->size;
  PLEAT_TRY(append(w, no_length, sizeof no_length));
  if (child == ROLE_INITIALIZER) PLEAT_TRY(add_view(w));
  PLEAT_TRY(walk(w, fd->descriptor, f->value, f->end, depth + 1, child));
  fill_length(w->skeleton, mark);
  return PLEAT_OK;
}

static pleat_status walk(walker *w, const ProtobufCMessageDescriptor *type, const uint8_t *at, const uint8_t *end,
                         int depth, role in) {
  uint64_t seen = 0; /* singular messages, by index of the field */
  assert(type->n_fields <= 64);
  while (at < end) {
    field f = {0};
    PLEAT_TRY(read_field(w, type, at, end, &f));
    const ProtobufCFieldDescriptor *fd = protobuf_c_message_descriptor_get_field(type, f.number);
    if (fd != NULL && fd->type == PROTOBUF_C_TYPE_MESSAGE) {
      uint64_t bit = (uint64_t)1 << (fd - type->fields);
      if (fd->label != PROTOBUF_C_LABEL_REPEATED && (seen & bit) != 0)
        return bad(w, f.tag, type, fd->name, "a field that can occur only once occurs twice");
      seen |= bit;
      PLEAT_TRY(walk_child(w, type, fd, &f, depth, in));
    } else {
      if (fd != NULL) PLEAT_TRY(check_scalar(w, type, fd, &f));
      if (in != ROLE_PLAIN) PLEAT_TRY(keep_scalar(w, in, &f));
    }
    at = f.end;
  }
  return PLEAT_OK;
}

static pleat_status walk_all(const ProtobufCMessageDescriptor *type, const void *data, size_t size,
                             pleat_wire_skeleton *skeleton, pleat_error *error) {
  if (size > PLEAT_LIMIT_MESSAGE_BYTES)
    return pleat_fail(error, PLEAT_MALFORMED_MODEL,
                      "%zu bytes, but a protobuf message has at most 2 GiB: weights beyond that must be external data",
                      size);
  if (size == 0) return PLEAT_OK;
  walker w = {.start = data, .skeleton = skeleton, .type_name = type->short_name, .error = error};
  return walk(&w, type, w.start, w.start + size, 0, skeleton != NULL ? ROLE_MODEL : ROLE_PLAIN);
}

pleat_status pleat_wire_check(const ProtobufCMessageDescriptor *type, const void *data, size_t size,
                              pleat_error *error) {
  return walk_all(type, data, size, NULL, error);
}

pleat_status pleat_wire_cut(const void *data, size_t size, pleat_wire_skeleton *out_skeleton, pleat_error *error) {
  *out_skeleton = (pleat_wire_skeleton){0};
  return walk_all(&onnx__model_proto__descriptor, data, size, out_skeleton, error);
}

void pleat_wire_skeleton_deinit(pleat_wire_skeleton *skeleton) {
  free(skeleton->data);
  free(skeleton->views);
  *skeleton = (pleat_wire_skeleton){0};
}

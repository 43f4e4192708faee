/* The wire format itself: checking a serialized message before protobuf-c sees it, and cutting the weights out of a
 * model. Internal to proto/. */
#ifndef PLEAT_PROTO_WIRE_H
#define PLEAT_PROTO_WIRE_H

#include "proto/proto.h"

/* Where the raw_data of one top-level initializer is in the source; data NULL: it was not cut out. */
typedef struct pleat_wire_view {
  const uint8_t *data;
  size_t size;
} pleat_wire_view;

/* A ModelProto without the large raw_data of its graph's initializers. */
typedef struct pleat_wire_skeleton {
  uint8_t *data;
  size_t size, capacity;
  pleat_wire_view *views; /* one for each initializer, in order */
  size_t view_count, view_capacity;
} pleat_wire_skeleton;

/* Everything protobuf-c needs to decode the message safely; MALFORMED_MODEL with the byte and the field if not. */
pleat_status pleat_wire_check(const ProtobufCMessageDescriptor *type, const void *data, size_t size,
                              pleat_error *error);
/* The same for a ModelProto, with its skeleton, which pleat_wire_skeleton_deinit frees (also after a failure). */
pleat_status pleat_wire_cut(const void *data, size_t size, pleat_wire_skeleton *out_skeleton, pleat_error *error);
void pleat_wire_skeleton_deinit(pleat_wire_skeleton *skeleton);

#endif

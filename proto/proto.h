/* The wire: loading and saving ONNX messages, and every limit on what a file may claim.
 *
 * A pleat_proto owns a decoded ModelProto. Loading is zero-copy where it pays: the top-level initializers' raw_data are
 * not copied but point into the mapped file (or the copied buffer), at any alignment; everything else is in one arena,
 * freed at once. Decoded messages are therefore read-only, and must never be passed to
 * protobuf_c_message_free_unpacked. */
#ifndef PLEAT_PROTO_PROTO_H
#define PLEAT_PROTO_PROTO_H

#include <stdbool.h>

#include "core/arena.h"
#include "core/error.h"
#include "onnx.pb-c.h"
#include "pleat/model.h"

/* Limits on files (malformed model when exceeded). */
enum {
  PLEAT_LIMIT_MESSAGE_DEPTH = 100, /* nesting of messages, as in Google's protobuf; a subgraph takes three */
};
/* A serialized protobuf message cannot be larger than this. */
#define PLEAT_LIMIT_MESSAGE_BYTES ((size_t)INT32_MAX)

typedef struct pleat_proto pleat_proto;

/* Load; `path` is kept for messages and as the place of external data. */
pleat_status pleat_proto_load(const char *path, pleat_proto **out_proto, pleat_error *error);
/* `data` is copied. `base_dir` NULL: external data is an error when it is asked for. */
pleat_status pleat_proto_load_memory(const void *data, size_t size, const char *base_dir, pleat_proto **out_proto,
                                     pleat_error *error);
void pleat_proto_destroy(pleat_proto *proto); /* NULL is accepted */
const Onnx__ModelProto *pleat_proto_model(const pleat_proto *proto);
const char *pleat_proto_path(const pleat_proto *proto); /* "" when loaded from memory */

/* The stored bytes of a tensor that has raw_data or external data (zero-copy; any alignment; valid while `proto`
 * lives): the external file is mapped on first use and its path checked (relative, inside the model's folder, no
 * symbolic link out of it). *out_data NULL with size 0: the tensor has neither (typed fields). Thread-safe. */
pleat_status pleat_proto_tensor_bytes(pleat_proto *proto, const Onnx__TensorProto *tensor, const void **out_data,
                                      size_t *out_size, pleat_error *error);
/* Bytes of tensors that were read and may not be needed soon: where they lie in a mapped file, their pages leave this
 * process's memory, and come back when they are read. Thread-safe, also while others read them. */
void pleat_proto_give_back(pleat_proto *proto, const void *data, size_t size);
void pleat_proto_give_back_all(pleat_proto *proto);
bool pleat_proto_tensor_is_external(const Onnx__TensorProto *tensor);

/* The bytes of a tensor that is about to be saved: in memory, or computed piece by piece, from `offset` on, into memory
 * of any alignment. Pieces come in order and begin at multiples of 64. */
typedef struct pleat_proto_stored {
  size_t size;
  const void *data; /* any alignment; NULL: there is nothing, or `fill` gives it */
  void (*fill)(const void *user, size_t offset, size_t size, void *out);
  const void *user;
} pleat_proto_stored;

/* Finds them: pleat_proto_tensor_bytes of the right proto, or a `fill`. */
typedef pleat_status (*pleat_proto_bytes_fn)(void *user, const Onnx__TensorProto *tensor, pleat_proto_stored *out,
                                             pleat_error *error);

/* Writes a ModelProto to a temporary file beside `path`, flushes it where it replaces a file, and renames it. Streams:
 * nothing the size of the weights is allocated. What has a `fill` is saved as raw_data, or outside where its
 * data_location says EXTERNAL. Tensors whose data_location is EXTERNAL are written to one file beside it ("<name of
 * path>.data", likewise by temporary name and rename, with offset and length rewritten, 64-byte aligned), or with
 * PLEAT_EXTERNAL_INLINE into the .onnx; with PLEAT_EXTERNAL_FILE, so are those with raw_data of 1 KiB and more. */
pleat_status pleat_proto_save(const Onnx__ModelProto *model, const char *path, pleat_external external,
                              pleat_proto_bytes_fn bytes, void *user, pleat_error *error);
/* The same into malloc'ed memory; external data is left where it is, and what has a `fill` is inline. */
pleat_status pleat_proto_pack_model(const Onnx__ModelProto *model, pleat_proto_bytes_fn bytes, void *user,
                                    void **out_data, size_t *out_size, pleat_error *error);
/* Any message as it is into malloc'ed memory. */
pleat_status pleat_proto_pack(const ProtobufCMessage *message, void **out_data, size_t *out_size, pleat_error *error);

/* One message of any type from memory or a file (test data), checked against the same limits, in the given arena; all
 * copied. */
pleat_status pleat_proto_unpack(const ProtobufCMessageDescriptor *type, const void *data, size_t size,
                                pleat_arena *arena, ProtobufCMessage **out_message, pleat_error *error);
pleat_status pleat_proto_unpack_file(const ProtobufCMessageDescriptor *type, const char *path, pleat_arena *arena,
                                     ProtobufCMessage **out_message, pleat_error *error);
/* Writes any bytes to `path` atomically (temporary file, rename). */
pleat_status pleat_write_file(const char *path, const void *data, size_t size, pleat_error *error);

#endif

/* The body of a pleat_proto, shared by load.c and external.c. Internal to proto/. */
#ifndef PLEAT_PROTO_INTERNAL_H
#define PLEAT_PROTO_INTERNAL_H

#include <pthread.h>

#include "proto/file.h"
#include "proto/proto.h"

/* An external data file, mapped when a tensor first asked for it. */
typedef struct pleat_external_file {
  struct pleat_external_file *next;
  char *location; /* as the tensors name it */
  pleat_mapping mapping;
} pleat_external_file;

struct pleat_proto {
  pleat_arena *arena;
  pleat_mapping file; /* the mapped file, or the copy of the caller's memory */
  char *path;         /* never NULL */
  char *folder;       /* where external data is; NULL: nowhere */
  const Onnx__ModelProto *model;
  pthread_mutex_t lock; /* guards `externals` */
  bool has_lock;
  pleat_external_file *externals;
};

void pleat_externals_destroy(pleat_external_file *externals);

#endif

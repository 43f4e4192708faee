/* Models: a loaded .onnx file, immutable, reference counted, and shareable between threads.
 *
 * What is said about a model here comes from the file, completed by shape and type inference; no session is needed. */
#ifndef PLEAT_MODEL_H
#define PLEAT_MODEL_H

#include "pleat/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pleat_model pleat_model;

/* One dimension: a known size (value >= 0), or an unknown one (value -1) that may have a symbol ("batch"), else NULL.
 */
typedef struct pleat_dim {
  int64_t value;
  const char *symbol;
} pleat_dim;

/* A graph input or output, or any other value of the graph. Pointers live as long as the model. */
typedef struct pleat_value_info {
  const char *name;
  pleat_kind kind;
  pleat_dtype dtype; /* of the tensor, or of a list's items; PLEAT_UNDEFINED when unknown */
  int rank;          /* -1 when unknown */
  const pleat_dim *dims;
  bool has_default; /* an input that an initializer of the same name gives a default (IR version >= 4) */
} pleat_value_info;

/* One node of the graph, in topological order. Optional inputs that are absent have the name "". Subgraphs' nodes
 * follow their owner and have depth > 0. */
typedef struct pleat_node_info {
  const char *name; /* may be "" */
  const char *op_type;
  const char *domain; /* "" for ai.onnx */
  int depth;
  size_t input_count, output_count;
  const char *const *inputs, *const *outputs;
  bool supported;                       /* an operator of that name and opset is registered */
  uint64_t macs;                        /* multiply-adds, when all shapes are known; else 0 */
  const pleat_value_info *output_infos; /* output_count of them, after inference */
} pleat_node_info;

typedef struct pleat_model_info {
  const char *path; /* "" when it was loaded from memory */
  int64_t ir_version;
  const char *producer_name, *producer_version, *graph_name, *domain, *doc_string;
  size_t opset_count;
  const char *const *opset_domains; /* "" for ai.onnx */
  const int64_t *opset_versions;
  size_t input_count, output_count; /* graph inputs that are plain initializers are not counted */
  const pleat_value_info *inputs, *outputs;
  size_t node_count;
  const pleat_node_info *nodes;
  size_t initializer_count, function_count, metadata_count;
  const char *const *metadata_keys, *const *metadata_values;
  uint64_t parameter_count;       /* elements of all floating-point initializers and Constant nodes */
  uint64_t weight_bytes;          /* of all initializers and Constant nodes */
  uint64_t macs;                  /* sum over the nodes whose shapes are known */
  size_t macs_unknown;            /* nodes that multiply but whose shapes are not all known */
  size_t unsupported_count;       /* distinct operators that nothing here runs */
  const char *const *unsupported; /* "domain.Op (opset N): nodes a, b, c" */
} pleat_model_info;

/* Loads a model from a file. Weights stay memory-mapped: the file must not change while the model lives. Weights in
 * other files are read from the model's folder. Errors: IO_ERROR; MALFORMED_MODEL, with file, node and tensor. */
PLEAT_API pleat_status pleat_model_load(const char *path, pleat_model **out_model, pleat_error *error);

/* Loads a model from memory, which is copied. External weights are looked for in `base_dir`, when that is not NULL. */
PLEAT_API pleat_status pleat_model_load_memory(const void *data, size_t size, const char *base_dir,
                                               pleat_model **out_model, pleat_error *error);

/* How a saved model stores weights that were, or shall be, outside of the .onnx file. */
typedef enum pleat_external {
  PLEAT_EXTERNAL_KEEP = 0,   /* weights that were external stay so, in one file beside the model; the others inline */
  PLEAT_EXTERNAL_INLINE = 1, /* all weights in the .onnx (at most 2 GiB) */
  PLEAT_EXTERNAL_FILE = 2    /* all weights of 1 KiB and more in the one file beside the model, "<model's name>.data" */
} pleat_external;

/* Writes the model to `path` by way of a temporary file and a rename, so that a failure leaves what was there. `path`
 * may be the file that it was loaded from. */
PLEAT_API pleat_status pleat_model_save(const pleat_model *model, const char *path, pleat_external external,
                                        pleat_error *error);

/* Serializes into memory that the caller frees with free(). */
PLEAT_API pleat_status pleat_model_save_memory(const pleat_model *model, void **out_data, size_t *out_size,
                                               pleat_error *error);

PLEAT_API pleat_model *pleat_model_retain(pleat_model *model);
PLEAT_API void pleat_model_release(pleat_model *model); /* NULL is accepted */

/* The newest versions of the format and of ai.onnx's operators that are known here. A model of later ones is not
 * refused: most operators stay what they were. */
enum { PLEAT_NEWEST_IR_VERSION = 13, PLEAT_NEWEST_OPSET = 26 };

/* What a user should be warned of: in what the model (or a function of it) is newer than what is known here, in words.
 * Writes it into `buffer` of `size` bytes (always terminated) and returns `buffer`, or NULL when there is nothing. */
PLEAT_API const char *pleat_model_warning(const pleat_model *model, char *buffer, size_t size);

/* Fixes dimensions before asking for shapes: `names[i]` is an input's name, `ranks[i]`/`dims[i]` its shape. */
typedef struct pleat_input_shape {
  const char *name;
  int rank;
  const int64_t *dims;
} pleat_input_shape;

/* Describes the model, with the given input shapes where there are any (`shapes` may be NULL when `count` is 0). The
 * description belongs to the caller, who destroys it; it is not tied to the model's life. Errors: MALFORMED_MODEL,
 * SHAPE_MISMATCH. Unsupported operators are no error: they are listed. */
PLEAT_API pleat_status pleat_model_describe(const pleat_model *model, const pleat_input_shape *shapes, size_t count,
                                            pleat_model_info **out_info, pleat_error *error);
PLEAT_API void pleat_model_info_destroy(pleat_model_info *info);

#ifdef __cplusplus
}
#endif
#endif

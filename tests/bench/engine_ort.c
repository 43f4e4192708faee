/* The benchmark's engine on ONNX Runtime: its C interface, in the shared library of the npm package onnxruntime-node.
 * That package has no C header, so the functions used here are declared below, at their places in version 1 of the
 * function table, which ONNX Runtime keeps as it is (docs: "Versioning", C API). Going through C and not through
 * JavaScript spares ONNX Runtime about 11 us a run (measured on a lone Relu: 1.1 us for 12.3 us) and Node's memory,
 * which would flatter Pleat on small models. Handing the outputs in again is the faster way for it as well.
 *
 * Settings: all graph optimisations, the given intra-op threads, one inter-op thread, sequential execution; the rest,
 * spinning, memory arena and memory pattern among them, stays at its default. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

typedef struct ort_status ort_status;
typedef struct ort_env ort_env;
typedef struct ort_options ort_options;
typedef struct ort_session ort_session;
typedef struct ort_value ort_value;
typedef struct ort_shape ort_shape;
typedef struct ort_memory ort_memory;
typedef struct ort_allocator ort_allocator;
typedef void (*other)(void);

enum { ORT_VERSION = 1, LOG_ERRORS = 3, OPTIMISE_ALL = 99, SEQUENTIAL = 0, ARENA = 1, DEFAULT_MEMORY = 0 };

/* Comments: the place in the table of the member after them. */
typedef struct ort_api {
  other others_0[2]; /* 2 */
  const char *(*error_message)(const ort_status *status);
  ort_status *(*create_env)(int log_level, const char *id, ort_env **out);
  other others_4[3]; /* 7 */
  ort_status *(*create_session)(const ort_env *env, const char *path, const ort_options *options, ort_session **out);
  other others_8[1]; /* 9 */
  ort_status *(*run)(ort_session *session, const void *run_options, const char *const *input_names,
                     const ort_value *const *inputs, size_t input_count, const char *const *output_names,
                     size_t output_count, ort_value **outputs);
  ort_status *(*create_options)(ort_options **out);
  other others_11[2]; /* 13 */
  ort_status *(*set_execution_mode)(ort_options *options, int mode);
  other others_14[9]; /* 23 */
  ort_status *(*set_optimisation)(ort_options *options, int level);
  ort_status *(*set_intra_op_threads)(ort_options *options, int threads);
  ort_status *(*set_inter_op_threads)(ort_options *options, int threads);
  other others_26[4]; /* 30 */
  ort_status *(*input_count)(const ort_session *session, size_t *out);
  ort_status *(*output_count)(const ort_session *session, size_t *out);
  other others_32[4]; /* 36 */
  ort_status *(*input_name)(const ort_session *session, size_t index, ort_allocator *allocator, char **out);
  ort_status *(*output_name)(const ort_session *session, size_t index, ort_allocator *allocator, char **out);
  other others_38[11]; /* 49 */
  ort_status *(*create_tensor)(const ort_memory *memory, void *data, size_t bytes, const int64_t *dims, size_t rank,
                               int dtype, ort_value **out);
  other others_50[1]; /* 51 */
  ort_status *(*tensor_data)(ort_value *value, void **out);
  other others_52[8]; /* 60 */
  ort_status *(*shape_dtype)(const ort_shape *shape, int *out);
  ort_status *(*shape_rank)(const ort_shape *shape, size_t *out);
  ort_status *(*shape_dims)(const ort_shape *shape, int64_t *dims, size_t rank);
  other others_63[2]; /* 65 */
  ort_status *(*value_shape)(const ort_value *value, ort_shape **out);
  other others_66[3]; /* 69 */
  ort_status *(*create_cpu_memory)(int allocator, int type, ort_memory **out);
  other others_70[8]; /* 78 */
  ort_status *(*default_allocator)(ort_allocator **out);
  other others_79[14]; /* 93 */
  void (*release_status)(ort_status *status);
  other others_94[1]; /* 95 */
  void (*release_session)(ort_session *session);
  void (*release_value)(ort_value *value);
  other others_97[2]; /* 99 */
  void (*release_shape)(ort_shape *shape);
} ort_api;

_Static_assert(offsetof(ort_api, release_shape) == 99 * sizeof(other), "a gap of the table is miscounted");

typedef struct ort_api_base {
  const ort_api *(*get_api)(uint32_t version);
  const char *(*version)(void);
} ort_api_base;

static const ort_api *api;
static ort_env *env;
static ort_session *session;
static ort_memory *memory;
static ort_allocator *allocator;
static char **input_names, **output_names;
static ort_value **inputs, **outputs;
static size_t input_count, output_count;

static bool good(ort_status *status) {
  if (!status) return true;
  engine_fail("%s", api->error_message(status));
  api->release_status(status);
  return false;
}

bool engine_start(const char *library) {
  const ort_api_base *(*get_base)(void) = NULL;
  if (!library) return engine_fail("expected the path of libonnxruntime.so as the argument");
  void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (!handle) return engine_fail("%s", dlerror());
  *(void **)&get_base = dlsym(handle, "OrtGetApiBase");
  api = get_base ? get_base()->get_api(ORT_VERSION) : NULL;
  if (!api) return engine_fail("%s: not a library of ONNX Runtime", library);
  return good(api->create_env(LOG_ERRORS, "bench", &env)) && good(api->default_allocator(&allocator)) &&
         good(api->create_cpu_memory(ARENA, DEFAULT_MEMORY, &memory));
}

bool engine_load(const char *path, int threads) {
  ort_options *options = NULL;
  if (session) return engine_fail("a model is loaded already");
  if (!good(api->create_options(&options)) || !good(api->set_optimisation(options, OPTIMISE_ALL)) ||
      !good(api->set_intra_op_threads(options, threads)) || !good(api->set_inter_op_threads(options, 1)) ||
      !good(api->set_execution_mode(options, SEQUENTIAL)) || !good(api->create_session(env, path, options, &session)) ||
      !good(api->input_count(session, &input_count)) || !good(api->output_count(session, &output_count)))
    return false;
  input_names = calloc(input_count + 1, sizeof(char *));
  output_names = calloc(output_count + 1, sizeof(char *));
  inputs = calloc(input_count + 1, sizeof(ort_value *));
  outputs = calloc(output_count + 1, sizeof(ort_value *));
  if (!input_names || !output_names || !inputs || !outputs) return engine_fail("out of memory");
  for (size_t i = 0; i < input_count; i++)
    if (!good(api->input_name(session, i, allocator, &input_names[i]))) return false;
  for (size_t i = 0; i < output_count; i++)
    if (!good(api->output_name(session, i, allocator, &output_names[i]))) return false;
  return true;
}

bool engine_set_input(const char *name, const engine_tensor *tensor) {
  for (size_t i = 0; i < input_count; i++) {
    if (strcmp(input_names[i], name)) continue;
    if (inputs[i]) api->release_value(inputs[i]);
    inputs[i] = NULL;
    return good(api->create_tensor(memory, tensor->data, tensor->bytes, tensor->dims, (size_t)tensor->rank,
                                   tensor->dtype, &inputs[i]));
  }
  return engine_fail("no input is named '%s'", name);
}

bool engine_run(void) {
  if (!session) return engine_fail("no model is loaded");
  for (size_t i = 0; i < input_count; i++)
    if (!inputs[i]) return engine_fail("the input '%s' is missing", input_names[i]);
  return good(api->run(session, NULL, (const char *const *)input_names, (const ort_value *const *)inputs, input_count,
                       (const char *const *)output_names, output_count, outputs));
}

size_t engine_output_count(void) {
  return output_count;
}

/* Bytes of one element, by ONNX's numbers for data types; 0 for what the benchmark does not compare. */
static size_t element_size(int dtype) {
  static const size_t sizes[] = {0, 4, 1, 1, 2, 2, 4, 8, 0, 1, 2, 8, 4, 8, 8, 16, 2};
  return dtype >= 0 && (size_t)dtype < sizeof sizes / sizeof *sizes ? sizes[dtype] : 0;
}

bool engine_output(size_t index, engine_tensor *out_tensor) {
  ort_shape *shape = NULL;
  size_t rank = 0;
  if (index >= output_count || !outputs[index]) return engine_fail("the model has not run");
  if (!good(api->value_shape(outputs[index], &shape))) return false;
  bool known = good(api->shape_dtype(shape, &out_tensor->dtype)) && good(api->shape_rank(shape, &rank));
  if (known && rank > ENGINE_MAX_RANK) known = engine_fail("output %zu has %zu dimensions", index, rank);
  known = known && good(api->shape_dims(shape, out_tensor->dims, rank));
  api->release_shape(shape);
  if (!known || !good(api->tensor_data(outputs[index], &out_tensor->data))) return false;
  out_tensor->rank = (int)rank;
  out_tensor->bytes = element_size(out_tensor->dtype);
  if (!out_tensor->bytes) return engine_fail("output %zu is no tensor of numbers", index);
  for (size_t i = 0; i < rank; i++) out_tensor->bytes *= (size_t)out_tensor->dims[i];
  return true;
}

void engine_stop(void) {
  for (size_t i = 0; inputs && i < input_count; i++)
    if (inputs[i]) api->release_value(inputs[i]);
  for (size_t i = 0; outputs && i < output_count; i++)
    if (outputs[i]) api->release_value(outputs[i]);
  if (session) api->release_session(session);
  free(inputs);
  free(outputs);
  free(input_names);
  free(output_names);
}

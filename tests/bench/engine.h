/* What the benchmark's worker asks of an inference engine. One engine is linked into each worker program, so that both
 * are driven, timed and fed by the very same code. An engine holds one model; nothing here is thread-safe. */
#ifndef PLEAT_TESTS_BENCH_ENGINE_H
#define PLEAT_TESTS_BENCH_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ENGINE_MAX_RANK = 16, ENGINE_MESSAGE_SIZE = 4096 };

/* A tensor's elements as they lie in memory; `dtype` is numbered as in ONNX's TensorProto.DataType. */
typedef struct engine_tensor {
  int dtype, rank;
  int64_t dims[ENGINE_MAX_RANK];
  void *data;
  size_t bytes;
} engine_tensor;

/* Functions return false when they fail, and say why here. */
extern char engine_message[ENGINE_MESSAGE_SIZE];
bool engine_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Once at start-up; `library` is the worker's first argument, or NULL. */
bool engine_start(const char *library);
/* Reads the model and makes it ready to run: what the benchmark reports as the load time. */
bool engine_load(const char *model, int threads);
/* Gives the model its input `name`. The data stays the caller's, and must live as long as the engine. */
bool engine_set_input(const char *name, const engine_tensor *tensor);
/* One inference. The first one lets the engine make the outputs; later ones hand the same tensors in to be filled. */
bool engine_run(void);
size_t engine_output_count(void);
/* Output `index` of the last run; its data is the engine's. */
bool engine_output(size_t index, engine_tensor *out_tensor);
void engine_stop(void);

#endif

/* libFuzzer's entry: any bytes as a model. Built by the preset `fuzz` (clang).
 *
 * build/fuzz/tests/fuzz_model CORPUS_DIR models/digits_cnn      (libFuzzer's own options: -help=1) */
#include "exercise.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  exercise_model(data, size);
  return 0;
}

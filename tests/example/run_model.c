/* Runs a model that has one float input and one float output, and prints the output: run_model MODEL.onnx
 *
 * The input is filled with 0, 1/count, 2/count ... and takes the model's own shape, with 1 for what is left open (such
 * as the batch). Only the public API is used; README.md shows this file. */
#include <pleat/pleat.h>
#include <stdio.h>

int main(int argc, char **argv) {
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_model *model = NULL;
  pleat_session *session = NULL;
  pleat_tensor *input = NULL, *output = NULL;
  int64_t dims[PLEAT_MAX_RANK] = {0};
  char text[2048];

  if (argc != 2) return fprintf(stderr, "usage: %s MODEL.onnx\n", argv[0]), 2;
  if (pleat_model_load(argv[1], &model, &error) != PLEAT_OK) goto done;
  if (pleat_session_create(model, NULL, &session, &error) != PLEAT_OK) goto done;

  const pleat_value_info *info = pleat_session_input(session, 0);
  for (int i = 0; i < info->rank; i++) dims[i] = info->dims[i].value > 0 ? info->dims[i].value : 1;
  if (pleat_tensor_create(PLEAT_FLOAT, info->rank, dims, &input, &error) != PLEAT_OK) goto done;
  size_t count = pleat_tensor_count(input);
  float *data = pleat_tensor_data(input);
  for (size_t i = 0; i < count; i++) data[i] = (float)i / (float)count;

  if (pleat_session_run(session, &input, 1, &output, 1, &error) != PLEAT_OK) goto done;
  const float *values = pleat_tensor_const_data(output);
  for (size_t i = 0; i < pleat_tensor_count(output); i++) printf("%zu: %g\n", i, (double)values[i]);

done:
  if (error.status != PLEAT_OK) fprintf(stderr, "%s\n", pleat_error_format(&error, text, sizeof text));
  pleat_tensor_release(output);
  pleat_tensor_release(input);
  pleat_session_destroy(session);
  pleat_model_release(model);
  return error.status == PLEAT_OK ? 0 : 1;
}

/* From "-i NAME=SOURCE" and "--shape NAME=1x3x224x224" to the tensors that a session's inputs get. */
#ifndef PLEAT_CLI_INPUTS_H
#define PLEAT_CLI_INPUTS_H

#include "cli.h"

/* Shapes as the library takes them; everything belongs to the list. */
typedef struct shape_list {
  pleat_input_shape *items;
  size_t count;
} shape_list;

/* Parses "1x3x224x224" (also with commas; "scalar" for no dimension). False when it is none. */
bool shape_parse(const char *text, int *out_rank, int64_t out_dims[PLEAT_MAX_RANK]);

/* Parses the arguments of --shape. `infos` are the inputs that may be named. Returns CLI_OK or the code of an error
 * that was printed. */
int shapes_parse(const cli *cli, const cli_list *arguments, const pleat_value_info *const *infos, size_t count,
                 shape_list *out_shapes);
/* The usage error for "NAME=..." whose NAME is no input. */
int inputs_unknown(const cli *cli, const char *argument, const pleat_value_info *const *infos, size_t count);
void shapes_deinit(shape_list *shapes);
/* What a plan takes for the session's inputs that `given` does not name and whose shapes are not all known: 1 for each
 * unknown dimension. */
void shapes_assumed(const pleat_session *session, const shape_list *given, shape_list *out_shapes);
/* The shapes of tensors, with the names of the inputs; only of tensors that are there and no lists. */
void shapes_of_tensors(const pleat_session *session, pleat_tensor *const *tensors, shape_list *out_shapes);

typedef struct input_list {
  pleat_tensor **tensors; /* one a session input; NULL where the model's default holds */
  size_t count;
} input_list;

/* Makes the inputs of a run. With `random_by_default`, inputs that no source names are random. Returns CLI_OK or the
 * code of an error that was printed. */
int inputs_make(const cli *cli, const pleat_session *session, const cli_list *sources, const cli_list *shapes,
                bool random_by_default, input_list *out_inputs);
void inputs_deinit(input_list *inputs);

/* The help lines that the verbs with inputs share. */
#define INPUTS_HELP                                                                                                    \
  "SOURCE is FILE.npy, FILE.npz (the array NAME, or its only one), FILE.pb (a serialized ONNX tensor),\n"              \
  "random[:SEED], zeros or ones; these three take a shape after '@': random:7@1x3x224x224. Without NAME=,\n"           \
  "FILE.npz gives arrays by name, another file is the model's only input, and random, zeros or ones fill\n"            \
  "every input that is not given. Random floats are uniform in [0, 1), random integers in 0..9; seed 0.\n"             \
  "Unknown dimensions of made-up inputs are those of the same symbol in given data, else 1.\n"

#endif

/* What a run gave: tables, the best classes, JSON, and files. */
#ifndef PLEAT_CLI_RESULTS_H
#define PLEAT_CLI_RESULTS_H

#include "cli.h"
#include "files.h"

/* Outputs of a session by name; borrowed. */
typedef struct results {
  const char **names;
  pleat_tensor **tensors;
  size_t count;
} results;

/* One line an output: name, type and shape, min, max, mean, first values. Lists give one line an item. */
pleat_status results_print(const results *results, FILE *file, pleat_error *error);

/* For each numeric output with a last axis: the `k` largest of it, with their probabilities. */
pleat_status results_print_top(const results *results, int k, FILE *file, pleat_error *error);

/* The same as a JSON array; `top` 0: without classes. */
pleat_status results_json(const results *results, int top, cJSON **out_array, pleat_error *error);

/* Writes every output: to one archive when `path` ends in .npz, else as NAME.npy to the folder `path`, which is made
 * when there is none. Returns CLI_OK or the code of an error that was printed. */
int results_save(const cli *cli, const results *results, const char *path);

#endif

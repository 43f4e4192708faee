/* Random models around BatchNormalization for property.c: chains of the operators that folding deals with, with random
 * attributes, shapes, sharing of values and weights, results in the middle and subgraphs. A seed gives the same model
 * everywhere. */
#ifndef PLEAT_TESTS_FOLD_RANDOM_GRAPH_H
#define PLEAT_TESTS_FOLD_RANDOM_GRAPH_H

#include "unit/model_builder.h"

enum { LIMIT_VALUES = 64, LIMIT_ELEMENTS = 3000, NAME_SIZE = 32 };

typedef struct random_value {
  char name[NAME_SIZE];
  int rank;
  int64_t dims[6]; /* dims[0] is the batch where the model leaves it open */
  bool is_read;
} random_value;

typedef struct random_graph {
  builder b;
  Onnx__GraphProto *graph; /* where nodes go: the main graph, or a branch */
  uint64_t state;
  int64_t opset;
  pleat_dtype dtype;
  bool open_batch, in_branch;
  int names, depth;
  size_t count;
  random_value values[LIMIT_VALUES];
  size_t input_count;
  random_value inputs[4];
  char weights[8][NAME_SIZE]; /* convolution weights that may be used again, and their shapes */
  char weight_shapes[8][NAME_SIZE];
  size_t weight_count;
} random_graph;

/* Fills `g` and hands out the packed model; random_graph.c. */
pleat_model *random_graph_build(random_graph *g, uint64_t seed);

/* A number below `n` (at least 1), and one chance in `n`. */
uint64_t random_below(random_graph *g, uint64_t n);

/* ---- random_nodes.c ---- */

/* Adds one random node (or a few that belong together) that reads a value there is; false when none fits. */
bool random_node(random_graph *g);
/* Reads a value and writes a new one; NULL when there are too many. */
random_value *random_result(random_graph *g, int rank, const int64_t *dims);
void random_batch_norm(random_graph *g, random_value *x);

#endif

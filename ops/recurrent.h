/* What the kernels of RNN, GRU and LSTM share: the call as they read it, and its activation functions. */
#ifndef PLEAT_OPS_RECURRENT_H
#define PLEAT_OPS_RECURRENT_H

#include "ops/ops.h"

enum { PLEAT_RNN = 1, PLEAT_GRU = 3, PLEAT_LSTM = 4 }; /* version flags: which, and how many gates */
enum { PLEAT_RECURRENT_FUNCTIONS = 3 };                /* most of one direction */

typedef enum pleat_recurrent_kind {
  PLEAT_FUNCTION_RELU,
  PLEAT_FUNCTION_TANH,
  PLEAT_FUNCTION_SIGMOID,
  PLEAT_FUNCTION_AFFINE,
  PLEAT_FUNCTION_LEAKY_RELU,
  PLEAT_FUNCTION_THRESHOLDED_RELU,
  PLEAT_FUNCTION_SCALED_TANH,
  PLEAT_FUNCTION_HARD_SIGMOID,
  PLEAT_FUNCTION_ELU,
  PLEAT_FUNCTION_SOFTSIGN,
  PLEAT_FUNCTION_SOFTPLUS
} pleat_recurrent_kind;

typedef struct pleat_recurrent_function {
  pleat_recurrent_kind kind;
  double alpha, beta;
} pleat_recurrent_function;

/* What all directions and sequences share. */
typedef struct pleat_recurrent {
  int kind; /* PLEAT_RNN, PLEAT_GRU, PLEAT_LSTM: the number of gates */
  size_t directions, length, batch, input, hidden;
  bool batch_first, backward_first, linear_before_reset, couple_forget;
  double clip; /* 0: none */
  pleat_recurrent_function f[2][PLEAT_RECURRENT_FUNCTIONS];
} pleat_recurrent;

/* prepare: the node's attributes, and its tensors' shapes. */
pleat_status pleat_recurrent_read(const pleat_call *call, pleat_recurrent *out_recurrent);
/* run: that no sequence is longer than X. */
pleat_status pleat_recurrent_check_lengths(const pleat_call *call, const pleat_recurrent *recurrent);
/* A function of one number; clip 0: none. */
double pleat_recurrent_apply(const pleat_recurrent_function *function, double clip, double x);

/* The kernel of recurrent_product.c. */
extern const pleat_kernel pleat_recurrent_product;

#endif

/* The activation functions of recurrent_product.c. */
#ifndef PLEAT_OPS_RECURRENT_PRODUCT_H
#define PLEAT_OPS_RECURRENT_PRODUCT_H

#include "ops/recurrent.h"

/* values[i] = function(values[i]), clipped before (clip 0: not). */
void pleat_recurrent_activate_f32(const pleat_recurrent_function *function, double clip, size_t count, float *values);
void pleat_recurrent_activate_f64(const pleat_recurrent_function *function, double clip, size_t count, double *values);

#endif

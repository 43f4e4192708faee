/* The activation functions of RNN, GRU and LSTM over arrays, for recurrent_product.c.
 *
 * Sigmoid and Tanh of floats, which is what nearly every model computes, are written so that the compiler can compute
 * many at once: e^x by Cody and Waite's reduction and the Taylor polynomial, tanh near 0 by Lambert's continued
 * fraction; within 4 units of the last place. The rest, and all of double, is the reference's. */
#include "core/small_float.h"
#include "ops/block_gemm.h"
#include "ops/recurrent_product.h"

/* e^x = 2^n * e^r with |r| <= ln(2) / 2; adding 1.5 * 2^23 rounds to the integer n, which are the low bits then. */
static inline float exp_of(float x) {
  const float round = 12582912.0f;
  const float low = x < -87.0f ? -87.0f : x, in = low > 88.0f ? 88.0f : low;
  const float shifted = in * 1.44269504f + round, n = shifted - round;
  const float r = (in - n * 0.693359375f) + n * 2.12194440e-4f; /* ln(2) in two parts */
  const float p = 1.0f / 24 + r * (1.0f / 120 + r * (1.0f / 720 + r * (1.0f / 5040)));
  const float e = 1.0f + (r + r * r * (0.5f + r * (1.0f / 6 + r * p)));
  return e * pleat_float_of_bits((pleat_float_bits(shifted) << 23) + (127u << 23));
}

static inline float tanh_of(float x) {
  const uint32_t sign = pleat_float_bits(x) & 0x80000000u;
  const float size = pleat_float_of_bits(pleat_float_bits(x) & 0x7fffffffu), z = x * x;
  const float t = exp_of(-2.0f * size), far = (1.0f - t) / (1.0f + t);
  const float near = size * (945.0f + z * (105.0f + z)) / (945.0f + z * (420.0f + z * 15.0f));
  return pleat_float_of_bits(pleat_float_bits(size < 0.625f ? near : far) | sign);
}

PLEAT_MULTIVERSION
static void sigmoid_f32(size_t count, float *values) {
  for (size_t i = 0; i < count; i++) values[i] = 1.0f / (1.0f + exp_of(-values[i]));
}

PLEAT_MULTIVERSION
static void tanh_f32(size_t count, float *values) {
  for (size_t i = 0; i < count; i++) values[i] = tanh_of(values[i]);
}

void pleat_recurrent_activate_f32(const pleat_recurrent_function *function, double clip, size_t count, float *values) {
  const float limit = (float)clip;
  if (function->kind != PLEAT_FUNCTION_SIGMOID && function->kind != PLEAT_FUNCTION_TANH) {
    for (size_t i = 0; i < count; i++) values[i] = (float)pleat_recurrent_apply(function, clip, (double)values[i]);
    return;
  }
  for (size_t i = 0; limit > 0 && i < count; i++)
    values[i] = values[i] > limit ? limit : values[i] < -limit ? -limit : values[i];
  if (function->kind == PLEAT_FUNCTION_SIGMOID) sigmoid_f32(count, values);
  else tanh_f32(count, values);
}

void pleat_recurrent_activate_f64(const pleat_recurrent_function *function, double clip, size_t count, double *values) {
  for (size_t i = 0; i < count; i++) values[i] = pleat_recurrent_apply(function, clip, values[i]);
}

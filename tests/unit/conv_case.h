/* Convolutions as test cases: shapes, their inputs, and the error against float64. On top of kernel_case.h. */
#ifndef PLEAT_TESTS_CONV_CASE_H
#define PLEAT_TESTS_CONV_CASE_H

#include <stdio.h>

#include "kernel_case.h"

typedef struct shape {
  int64_t batch, channels, filters, groups, size[3], kernel[3], stride[3], dilation[3], pads[6];
  int spatial;
} shape;

static inline void add_window(op_case *c, const shape *s) {
  case_ints(c, "strides", (size_t)s->spatial, s->stride);
  case_ints(c, "dilations", (size_t)s->spatial, s->dilation);
  case_ints(c, "pads", 2 * (size_t)s->spatial, s->pads);
  case_int(c, "group", s->groups);
}

static inline void describe(const shape *s, const char *op, char *text, size_t size) {
  snprintf(text, size, "%s n%d c%d m%d g%d %dx%dx%d k%d%d%d s%d%d d%d%d p%d,%d,%d,%d", op, (int)s->batch,
           (int)s->channels, (int)s->filters, (int)s->groups, (int)s->size[0], (int)s->size[1], (int)s->size[2],
           (int)s->kernel[0], (int)s->kernel[1], (int)s->kernel[2], (int)s->stride[0], (int)s->stride[1],
           (int)s->dilation[0], (int)s->dilation[1], (int)s->pads[0], (int)s->pads[1], (int)s->pads[2],
           (int)s->pads[3]);
}

static inline void set_inputs(op_case *c, const shape *s, bool transposed, bool bias, uint64_t *seed) {
  int64_t x[5] = {s->batch, s->channels}, w[5];
  w[0] = transposed ? s->channels : s->filters;
  w[1] = (transposed ? s->filters : s->channels) / s->groups;
  for (int i = 0; i < s->spatial; i++) {
    x[2 + i] = s->size[i];
    w[2 + i] = s->kernel[i];
  }
  case_input(c, make_noise(seed, PLEAT_FLOAT, s->spatial + 2, x));
  case_input(c, make_noise(seed, PLEAT_FLOAT, s->spatial + 2, w));
  if (bias) case_input(c, make_noise(seed, PLEAT_FLOAT, 1, &s->filters));
}

enum { WHAT_SIZE = 256 };

/* A Conv of that shape on noise, which `what` names. */
static inline void conv_begin(op_case *c, const shape *s, bool bias, uint64_t *seed, char what[WHAT_SIZE]) {
  describe(s, "Conv", what, WHAT_SIZE);
  case_begin(c, "Conv", 22);
  set_inputs(c, s, false, bias, seed);
  add_window(c, s);
}

/* Padding of up to one more than the window's extent, and a size of up to `most` that it fits into. */
static inline void pick_border(shape *s, int axis, int64_t most, uint64_t *seed) {
  const int64_t extent = (s->kernel[axis] - 1) * s->dilation[axis] + 1;
  s->pads[axis] = random_between(seed, 0, extent + 1);
  s->pads[s->spatial + axis] = random_between(seed, 0, extent + 1);
  s->size[axis] = random_between(seed, 1, most);
  while (s->size[axis] + s->pads[axis] + s->pads[s->spatial + axis] < extent) s->size[axis]++;
}

static inline pleat_tensor *as_double(const pleat_tensor *tensor) {
  pleat_tensor *wide = NULL;
  ck_assert_int_eq(pleat_tensor_cast((pleat_tensor *)(uintptr_t)tensor, PLEAT_DOUBLE, &wide, NULL), PLEAT_OK);
  return wide;
}

/* The square of symmetric geometry: one kernel size, stride, dilation and padding for both axes. */
static inline shape square_shape(int64_t channels, int64_t filters, int64_t size, int64_t kernel, int64_t stride,
                                 int64_t pad) {
  shape s = {.batch = 1, .channels = channels, .filters = filters, .groups = 1, .spatial = 2};
  for (int d = 0; d < 2; d++) {
    s.size[d] = size;
    s.kernel[d] = kernel;
    s.stride[d] = stride;
    s.dilation[d] = 1;
    s.pads[d] = s.pads[2 + d] = pad;
  }
  return s;
}

/* bf16: both kernels work on bfloat16, which the activations are; what the weights lose when they become it counts as
 * error. positive: no activation is negative. */
typedef struct inputs {
  bool bf16, positive;
} inputs;

/* Root mean square errors of two kernels against float64 (relative_error); `exact` is what the second is told. */
static inline void conv_errors(const shape *s, const pleat_kernel *first, const pleat_kernel *second, inputs kind,
                               uint64_t *seed, double *out_first, double *out_second) {
  op_case c;
  pleat_tensor *given[3];
  case_begin(&c, "Conv", 22);
  set_inputs(&c, s, false, true, seed);
  add_window(&c, s);
  case_ready(&c, "");
  float *x = c.inputs[0]->data;
  for (size_t i = 0; kind.bf16 && i < c.inputs[0]->count; i++) x[i] = pleat_bf16_to_f32(pleat_f32_to_bf16(x[i]));
  for (size_t i = 0; kind.positive && i < c.inputs[0]->count; i++) x[i] = fabsf(x[i]);
  pleat_tensor *a = run_kernel(&c, first, (how){.constants = ~1u, .bf16 = kind.bf16}, NULL);
  pleat_tensor *b = run_kernel(&c, second, (how){.constants = ~1u, .bf16 = kind.bf16, .exact = true}, NULL);
  ck_assert_msg(a != NULL && b != NULL, "%s", c.error.message);
  for (int k = 0; k < 3; k++) {
    given[k] = c.inputs[k];
    c.inputs[k] = as_double(given[k]);
  }
  pleat_tensor *truth = run_kernel(&c, reference_kernel(&c), (how){.constants = ~0u, .no_layouts = true}, NULL);
  *out_first = relative_error(a, truth);
  *out_second = relative_error(b, truth);
  for (int k = 0; k < 3; k++) pleat_tensor_release(given[k]);
  pleat_tensor_release(a);
  pleat_tensor_release(b);
  pleat_tensor_release(truth);
  case_end(&c);
}

#endif

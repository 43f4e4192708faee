/* The geometry shared by Conv, ConvTranspose and the pools: a window of `kernel` taps, `dilation` apart, that moves by
 * `stride` over each spatial axis of an [N, C, D1..Dn] tensor with padding.
 *
 * Use: pleat_window_parse() reads the node's attributes; the caller fills `kernel` where the attribute is absent (from
 * a weight's shape); pleat_window_output() or pleat_window_output_transposed() turns auto_pad into pads and gives the
 * output's spatial dimensions. Dimensions may be unknown while inferring: they stay unknown, and so do pads that depend
 * on them. When all dimensions are known, all fields are final and the helpers at the end may be used. */
#ifndef PLEAT_OPS_CONV_SHAPE_H
#define PLEAT_OPS_CONV_SHAPE_H

#include "ops/ops.h"

enum { PLEAT_MAX_SPATIAL = PLEAT_MAX_RANK - 2 };

typedef enum pleat_auto_pad {
  PLEAT_AUTO_PAD_NOTSET = 0,
  PLEAT_AUTO_PAD_SAME_UPPER,
  PLEAT_AUTO_PAD_SAME_LOWER,
  PLEAT_AUTO_PAD_VALID
} pleat_auto_pad;

typedef struct pleat_window {
  int spatial; /* number of spatial axes: 1..PLEAT_MAX_SPATIAL */
  pleat_auto_pad auto_pad;
  bool ceil_mode;
  int64_t kernel[PLEAT_MAX_SPATIAL]; /* -1: not known */
  int64_t stride[PLEAT_MAX_SPATIAL];
  int64_t dilation[PLEAT_MAX_SPATIAL];
  int64_t pad_begin[PLEAT_MAX_SPATIAL], pad_end[PLEAT_MAX_SPATIAL];
} pleat_window;

/* Reads kernel_shape, strides, dilations, pads, auto_pad and ceil_mode (those that the node has; defaults otherwise:
 * kernel -1, strides and dilations 1, pads 0, NOTSET, false) for `spatial` axes. Errors: MALFORMED_MODEL for a list of
 * the wrong length, strides, dilations or kernels below 1, negative pads, values above 2^31-1, an unknown auto_pad. */
pleat_status pleat_window_parse(const pleat_node *node, int spatial, pleat_window *out_window, pleat_error *error);

/* Number of spatial axes of an input of a known rank. SHAPE_MISMATCH when it is not [N, C, D1..Dn] with n >= 1. `what`
 * names the tensor in the message, for example "input X". */
pleat_status pleat_window_spatial(const pleat_shape *shape, const char *what, int *out_spatial, pleat_error *error);

/* Kernel sizes from a weight W [., ., K1..Kn], as far as they are known. SHAPE_MISMATCH when kernel_shape says
 * otherwise or W has none or more than 2^31-1 of them. */
pleat_status pleat_window_weight(pleat_window *window, const pleat_shape *w, pleat_error *error);

/* Output sizes for an input [N, C, D1..Dn] (Conv and pools); sets pads from auto_pad. `out_spatial` gets
 * window->spatial dimensions. An axis that the window leaves as it is keeps its symbol. Errors: SHAPE_MISMATCH when the
 * window does not fit into the padded input. */
pleat_status pleat_window_output(pleat_window *window, const pleat_shape *input, pleat_dim *out_spatial,
                                 pleat_error *error);

/* The same for ConvTranspose. `output_padding` and `output_shape` (spatial sizes) may be NULL. With output_shape or
 * SAME_*, pads are what makes the output that size, and never negative: an output larger than what the input reaches
 * gets positions at the end that only the bias fills (as ONNX Runtime does). */
pleat_status pleat_window_output_transposed(pleat_window *window, const pleat_shape *input,
                                            const int64_t *output_padding, const int64_t *output_shape,
                                            pleat_dim *out_spatial, pleat_error *error);

/* Taps one window covers, dilation included. */
static inline int64_t pleat_window_extent(const pleat_window *window, int axis) {
  return (window->kernel[axis] - 1) * window->dilation[axis] + 1;
}

/* The input position of tap 0 of the window at output position `o` (may be negative: in the padding). */
static inline int64_t pleat_window_start(const pleat_window *window, int axis, int64_t o) {
  return o * window->stride[axis] - window->pad_begin[axis];
}

/* The taps [*out_first, *out_end) of that window that lie inside an input of `size` positions; maybe none. */
static inline void pleat_window_taps(const pleat_window *window, int axis, int64_t o, int64_t size, int64_t *out_first,
                                     int64_t *out_end) {
  int64_t start = pleat_window_start(window, axis, o), d = window->dilation[axis], kernel = window->kernel[axis];
  int64_t first = start < 0 ? (-start + d - 1) / d : 0;
  int64_t end = start >= size ? 0 : (size - start + d - 1) / d;
  if (end > kernel) end = kernel;
  *out_first = first < end ? first : end;
  *out_end = end;
}

/* The output positions [*out_first, *out_end) out of `out_size` for which tap `tap` lies inside an input of `size`
 * positions; maybe none. */
static inline void pleat_window_outputs(const pleat_window *window, int axis, int64_t tap, int64_t size,
                                        int64_t out_size, int64_t *out_first, int64_t *out_end) {
  int64_t offset = tap * window->dilation[axis] - window->pad_begin[axis], s = window->stride[axis];
  int64_t first = offset < 0 ? (-offset + s - 1) / s : 0;
  int64_t end = offset >= size ? 0 : (size - offset + s - 1) / s;
  if (end > out_size) end = out_size;
  *out_first = first < end ? first : end;
  *out_end = end;
}

#endif

/* Window geometry: see conv_shape.h.
 *
 * Formulas from the ONNX operator specification (Conv, ConvTranspose, MaxPool). Attribute values are bounded by 2^31-1,
 * so that products of two of them cannot overflow an int64_t; sums with dimensions of a model are checked. */
#include "ops/conv_shape.h"

#include <inttypes.h>
#include <string.h>

#include "core/checked.h"

static const int64_t max_value = INT32_MAX;

/* Fills `out_values` from a list attribute of exactly `count` values in [least, max_value], when the node has it. */
static pleat_status parse_ints(const pleat_node *node, const char *name, size_t count, int64_t least,
                               int64_t *out_values, pleat_error *error) {
  const pleat_attr *attr = pleat_node_attr(node, name);
  if (attr == NULL || (attr->type == PLEAT_ATTR_INTS && attr->count == 0)) return PLEAT_OK;
  if (attr->type != PLEAT_ATTR_INTS || attr->count != count)
    return pleat_fail(error, PLEAT_MALFORMED_MODEL, "attribute '%s': expected a list of %zu integers, found %zu", name,
                      count, attr->type == PLEAT_ATTR_INTS ? attr->count : (size_t)0);
  for (size_t i = 0; i < count; i++) {
    if (attr->ints[i] < least || attr->ints[i] > max_value)
      return pleat_fail(error, PLEAT_MALFORMED_MODEL,
                        "attribute '%s'[%zu]: expected a value from %" PRId64 " to %" PRId64 ", found %" PRId64, name,
                        i, least, max_value, attr->ints[i]);
    out_values[i] = attr->ints[i];
  }
  return PLEAT_OK;
}

static pleat_status parse_auto_pad(const pleat_node *node, pleat_auto_pad *out_auto_pad, pleat_error *error) {
  static const char *const names[] = {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"};
  const pleat_attr *attr = pleat_node_attr(node, "auto_pad");
  *out_auto_pad = PLEAT_AUTO_PAD_NOTSET;
  if (attr == NULL || attr->count == 0) return PLEAT_OK;
  for (int i = 0; i < 4; i++) {
    if (strcmp(attr->s, names[i]) == 0) {
      *out_auto_pad = (pleat_auto_pad)i;
      return PLEAT_OK;
    }
  }
  return pleat_fail(error, PLEAT_MALFORMED_MODEL,
                    "attribute 'auto_pad': expected NOTSET, SAME_UPPER, SAME_LOWER or VALID, found '%s'", attr->s);
}

pleat_status pleat_window_parse(const pleat_node *node, int spatial, pleat_window *out_window, pleat_error *error) {
  pleat_window window = {.spatial = spatial};
  size_t count = (size_t)spatial;
  int64_t pads[2 * PLEAT_MAX_SPATIAL] = {0};
  for (int i = 0; i < spatial; i++) {
    window.kernel[i] = -1;
    window.stride[i] = window.dilation[i] = 1;
  }
  PLEAT_TRY(parse_ints(node, "kernel_shape", count, 1, window.kernel, error));
  PLEAT_TRY(parse_ints(node, "strides", count, 1, window.stride, error));
  PLEAT_TRY(parse_ints(node, "dilations", count, 1, window.dilation, error));
  PLEAT_TRY(parse_ints(node, "pads", 2 * count, 0, pads, error));
  PLEAT_TRY(parse_auto_pad(node, &window.auto_pad, error));
  /* ONNX forbids pads together with auto_pad; exporters write both, and everyone lets auto_pad win. */
  for (int i = 0; i < spatial && window.auto_pad == PLEAT_AUTO_PAD_NOTSET; i++) {
    window.pad_begin[i] = pads[i];
    window.pad_end[i] = pads[spatial + i];
  }
  const pleat_attr *ceil_mode = pleat_node_attr(node, "ceil_mode");
  window.ceil_mode = ceil_mode != NULL && ceil_mode->i != 0;
  *out_window = window;
  return PLEAT_OK;
}

pleat_status pleat_window_spatial(const pleat_shape *shape, const char *what, int *out_spatial, pleat_error *error) {
  char text[256];
  if (shape->rank < 3)
    return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "%s: expected at least 3 dimensions [N, C, D1...], found %s", what,
                      pleat_shape_text(shape, text, sizeof text));
  *out_spatial = shape->rank - 2;
  return PLEAT_OK;
}

pleat_status pleat_window_weight(pleat_window *window, const pleat_shape *w, pleat_error *error) {
  for (int i = 0; i < window->spatial && w->rank >= 0; i++) {
    int64_t size = w->dims[2 + i].value;
    if (!pleat_dim_is_known(w->dims[2 + i])) continue;
    if (window->kernel[i] >= 0 && window->kernel[i] != size)
      return pleat_fail(error, PLEAT_SHAPE_MISMATCH,
                        "attribute 'kernel_shape'[%d] is %" PRId64 ", but W has %" PRId64 " there", i,
                        window->kernel[i], size);
    if (size < 1 || size > max_value)
      return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "W has %" PRId64 " positions on spatial axis %d", size, i);
    window->kernel[i] = size;
  }
  return PLEAT_OK;
}

/* Shares `total` padding out; the odd one goes to the end, or to the beginning. */
static void split_pads(pleat_window *window, int axis, int64_t total, bool odd_at_end) {
  int64_t less = total / 2, more = total - less;
  window->pad_begin[axis] = odd_at_end ? less : more;
  window->pad_end[axis] = odd_at_end ? more : less;
}

static bool is_same(const pleat_window *window) {
  return window->auto_pad == PLEAT_AUTO_PAD_SAME_UPPER || window->auto_pad == PLEAT_AUTO_PAD_SAME_LOWER;
}

/* Whether the output has the input's size, whatever that is. */
static bool keeps_size(const pleat_window *window, int axis) {
  if (window->stride[axis] != 1) return false;
  if (is_same(window)) return true;
  return window->kernel[axis] > 0 &&
         window->pad_begin[axis] + window->pad_end[axis] == pleat_window_extent(window, axis) - 1;
}

static pleat_status too_large(pleat_error *error, int axis) {
  return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "spatial axis %d: the size of the output overflows", axis);
}

/* SAME_*: ceil(size / stride) outputs. */
static pleat_status same_output(pleat_window *window, int axis, int64_t size, int64_t *out_size, pleat_error *error) {
  int64_t stride = window->stride[axis], extent = pleat_window_extent(window, axis);
  int64_t count = size / stride + (size % stride != 0), needed = 0;
  if (count > 0 && (!pleat_mul_i64(count - 1, stride, &needed) || !pleat_add_i64(needed, extent, &needed)))
    return too_large(error, axis);
  split_pads(window, axis, needed > size ? needed - size : 0, window->auto_pad == PLEAT_AUTO_PAD_SAME_UPPER);
  *out_size = count;
  return PLEAT_OK;
}

static pleat_status explicit_output(const pleat_window *window, int axis, int64_t size, int64_t *out_size,
                                    pleat_error *error) {
  int64_t stride = window->stride[axis], extent = pleat_window_extent(window, axis), padded = 0;
  if (!pleat_add_i64(size, window->pad_begin[axis] + window->pad_end[axis], &padded)) return too_large(error, axis);
  if (padded < extent) {
    *out_size = 0;
    if (size == 0) return PLEAT_OK;
    return pleat_fail(error, PLEAT_SHAPE_MISMATCH,
                      "spatial axis %d: the window covers %" PRId64 " positions (kernel %" PRId64 ", dilation %" PRId64
                      "), but the padded input has only %" PRId64,
                      axis, extent, window->kernel[axis], window->dilation[axis], padded);
  }
  int64_t steps = padded - extent;
  *out_size = steps / stride + 1;
  /* Rounding up adds a window, unless that one would start beyond the input and its left padding. */
  if (window->ceil_mode && steps % stride != 0 && (steps / stride + 1) * stride < size + window->pad_begin[axis])
    *out_size += 1;
  return PLEAT_OK;
}

pleat_status pleat_window_output(pleat_window *window, const pleat_shape *input, pleat_dim *out_spatial,
                                 pleat_error *error) {
  for (int i = 0; i < window->spatial; i++) {
    pleat_dim in = input->rank < 0 ? pleat_dim_unknown() : input->dims[2 + i];
    out_spatial[i] = keeps_size(window, i) ? in : pleat_dim_unknown();
    if (!pleat_dim_is_known(in) || window->kernel[i] < 0) continue;
    int64_t size = 0;
    PLEAT_TRY(is_same(window) ? same_output(window, i, in.value, &size, error)
                              : explicit_output(window, i, in.value, &size, error));
    out_spatial[i] = pleat_dim_known(size);
  }
  return PLEAT_OK;
}

/* One axis with a known input and kernel. `wanted` is the output_shape attribute's value, or -1. */
static pleat_status transposed_axis(pleat_window *window, int axis, int64_t size, int64_t output_padding,
                                    int64_t wanted, int64_t *out_size, pleat_error *error) {
  int64_t stride = window->stride[axis], extent = pleat_window_extent(window, axis), full = 0;
  if (size == 0) {
    *out_size = wanted >= 0 ? wanted : 0;
    return PLEAT_OK;
  }
  if (!pleat_mul_i64(size - 1, stride, &full) || !pleat_add_i64(full, extent + output_padding, &full))
    return too_large(error, axis);
  if (wanted < 0 && is_same(window)) {
    if (!pleat_mul_i64(size, stride, &wanted)) return too_large(error, axis);
  }
  if (wanted >= 0) {
    split_pads(window, axis, full > wanted ? full - wanted : 0, window->auto_pad == PLEAT_AUTO_PAD_SAME_UPPER);
    *out_size = wanted;
    return PLEAT_OK;
  }
  *out_size = full - window->pad_begin[axis] - window->pad_end[axis];
  if (*out_size < 0)
    return pleat_fail(error, PLEAT_SHAPE_MISMATCH,
                      "spatial axis %d: pads %" PRId64 " and %" PRId64 " take more than the %" PRId64
                      " positions that there are",
                      axis, window->pad_begin[axis], window->pad_end[axis], full);
  return PLEAT_OK;
}

pleat_status pleat_window_output_transposed(pleat_window *window, const pleat_shape *input,
                                            const int64_t *output_padding, const int64_t *output_shape,
                                            pleat_dim *out_spatial, pleat_error *error) {
  for (int i = 0; i < window->spatial; i++) {
    pleat_dim in = input->rank < 0 ? pleat_dim_unknown() : input->dims[2 + i];
    int64_t extra = output_padding == NULL ? 0 : output_padding[i],
            wanted = output_shape == NULL ? -1 : output_shape[i];
    bool keeps = keeps_size(window, i) && extra == 0;
    out_spatial[i] = wanted >= 0 ? pleat_dim_known(wanted) : keeps ? in : pleat_dim_unknown();
    if (!pleat_dim_is_known(in) || window->kernel[i] < 0) continue;
    int64_t size = 0;
    PLEAT_TRY(transposed_axis(window, i, in.value, extra, wanted, &size, error));
    out_spatial[i] = pleat_dim_known(size);
  }
  return PLEAT_OK;
}

/* Resize and Upsample: what a node's attributes and inputs say, resolved to sizes and scales of every axis. Sizes
 * follow ONNX's shape inference, which multiplies in float. */
#include <math.h>
#include <string.h>

#include "ops/resize.h"

/* Larger outputs than this cannot be represented exactly, nor stored. */
static const double largest_size = 4503599627370496.0;

/* The index of attribute `name`'s value in a NULL-terminated list. */
static pleat_status choose(const pleat_node *node, const char *name, const char *const *choices, int *out_index,
                           pleat_error *error) {
  const char *value = pleat_attr_string(node, name);
  for (int i = 0; choices[i] != NULL; i++) {
    if (strcmp(value, choices[i]) == 0) {
      *out_index = i;
      return PLEAT_OK;
    }
  }
  return pleat_fail(error, PLEAT_MALFORMED_MODEL, "attribute %s: '%s' is not a known value, such as '%s'", name, value,
                    choices[0]);
}

static pleat_status parse_options(const pleat_node *node, const pleat_op_version *version, pleat_resize *r,
                                  pleat_error *error) {
  static const char *const modes[] = {"nearest", "linear", "cubic", NULL};
  static const char *const coordinates[] = {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners",
                                            "asymmetric", "tf_half_pixel_for_nn", "tf_crop_and_resize", NULL};
  static const char *const roundings[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil", NULL};
  bool modern = (version->flags & PLEAT_RESIZE_ROI_INPUTS) != 0;
  int mode = PLEAT_RESIZE_LINEAR, coordinate = PLEAT_RESIZE_ASYMMETRIC, rounding = PLEAT_RESIZE_SIMPLE;
  if (strcmp(pleat_attr_string(node, "mode"), "bilinear") != 0 || modern)
    PLEAT_TRY(choose(node, "mode", modes, &mode, error));
  if (modern) {
    PLEAT_TRY(choose(node, "coordinate_transformation_mode", coordinates, &coordinate, error));
    PLEAT_TRY(choose(node, "nearest_mode", roundings, &rounding, error));
  } else if (mode == PLEAT_RESIZE_CUBIC) {
    return pleat_fail(error, PLEAT_MALFORMED_MODEL, "mode 'cubic' needs opset 11 or later");
  }
  r->mode = (pleat_resize_mode)mode;
  r->coordinates = (pleat_resize_coordinates)coordinate;
  r->rounding = (pleat_resize_rounding)rounding;
  r->antialias = pleat_attr_int(node, "antialias") != 0;
  r->exclude_outside = pleat_attr_int(node, "exclude_outside") != 0;
  r->cubic_a = (double)pleat_attr_float(node, "cubic_coeff_a");
  r->extrapolation = (double)pleat_attr_float(node, "extrapolation_value");
  return PLEAT_OK;
}

/* The axes that scales, sizes and roi speak of: all, unless the node lists them. Returns their number. */
static int listed_axes(const pleat_node *node, int rank, int *out_axes) {
  const int64_t *values;
  size_t count = pleat_attr_ints(node, "axes", &values);
  if (count == 0 || count > (size_t)rank) {
    for (int i = 0; i < rank; i++) out_axes[i] = i;
    return rank;
  }
  for (size_t i = 0; i < count; i++)
    if (!pleat_axis(values[i], rank, &out_axes[i])) out_axes[i] = 0; /* check_axes has refused it */
  return (int)count;
}

static pleat_status check_axes(const pleat_node *node, int rank, pleat_error *error) {
  const int64_t *values;
  size_t count = pleat_attr_ints(node, "axes", &values);
  bool seen[PLEAT_MAX_RANK] = {false};
  for (size_t i = 0; i < count; i++) {
    int axis;
    if (!pleat_axis(values[i], rank, &axis) || seen[axis])
      return pleat_fail(error, PLEAT_MALFORMED_MODEL,
                        "attribute axes: expected different values in [%d, %d], found %lld", -rank, rank - 1,
                        (long long)values[i]);
    seen[axis] = true;
  }
  return PLEAT_OK;
}

void pleat_resize_set_roi(const pleat_node *node, pleat_resize *resize, const pleat_tensor *roi) {
  int axes[PLEAT_MAX_RANK], count = listed_axes(node, resize->rank, axes);
  for (int i = 0; i < 2 * count; i++)
    resize->roi[i / count][axes[i % count]] = pleat_load_f64(roi->dtype, roi->data, (size_t)i);
  resize->roi_known = true;
}

static pleat_status check_count(const char *what, size_t found, int expected, pleat_error *error) {
  if (found == (size_t)expected) return PLEAT_OK;
  return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "%s: expected %d values, one per axis, found %zu", what, expected,
                    found);
}

static pleat_status apply_scale(pleat_resize *r, int axis, float scale, pleat_error *error) {
  bool crop = r->coordinates == PLEAT_RESIZE_TF_CROP_AND_RESIZE;
  if (!(scale > 0) || isinf(scale))
    return pleat_fail(error, PLEAT_MALFORMED_MODEL, "scales: expected positive numbers, found %g for axis %d",
                      (double)scale, axis);
  r->scale[axis] = (double)scale;
  r->out[axis] = -1;
  if (r->in[axis] < 0 || (crop && !r->roi_known)) return PLEAT_OK;
  float size = (float)r->in[axis] * scale;
  if (crop) size = (float)r->in[axis] * (float)(r->roi[1][axis] - r->roi[0][axis]) * scale;
  if (!((double)size < largest_size))
    return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "axis %d: the size of the output overflows", axis);
  r->out[axis] = size < 0 ? 0 : (int64_t)floorf(size);
  r->exact[axis] = (double)scale * (double)r->in[axis];
  return PLEAT_OK;
}

static pleat_status apply_scales(const pleat_node *node, pleat_resize *r, const float *scales, size_t found,
                                 pleat_error *error) {
  int axes[PLEAT_MAX_RANK], count = listed_axes(node, r->rank, axes);
  PLEAT_TRY(check_count("scales", found, count, error));
  for (int i = 0; i < count; i++) PLEAT_TRY(apply_scale(r, axes[i], scales[i], error));
  return PLEAT_OK;
}

/* All listed axes get the scale of the one that asks for the least (or the most). */
static void keep_aspect_ratio(pleat_resize *r, const int *axes, int count, bool larger) {
  double scale = larger ? 0 : (double)INFINITY;
  for (int i = 0; i < count; i++) {
    double own = r->scale[axes[i]];
    if (larger ? own > scale : own < scale) scale = own;
  }
  for (int i = 0; i < count; i++) {
    int axis = axes[i];
    r->scale[axis] = scale;
    r->exact[axis] = scale * (double)r->in[axis];
    r->out[axis] = (int64_t)floor(r->exact[axis] + 0.5);
  }
}

static pleat_status apply_sizes(const pleat_node *node, pleat_resize *r, const pleat_tensor *sizes,
                                pleat_error *error) {
  static const char *const policies[] = {"stretch", "not_larger", "not_smaller", NULL};
  int axes[PLEAT_MAX_RANK], count = listed_axes(node, r->rank, axes), policy = 0;
  bool known = true;
  PLEAT_TRY(check_count("sizes", sizes->count, count, error));
  if (pleat_node_attr(node, "keep_aspect_ratio_policy") != NULL)
    PLEAT_TRY(choose(node, "keep_aspect_ratio_policy", policies, &policy, error));
  for (int i = 0; i < count; i++) {
    int axis = axes[i];
    int64_t size = pleat_load_i64(sizes->dtype, sizes->data, (size_t)i);
    if (size < 0 || (double)size >= largest_size || (size > 0 && r->in[axis] == 0))
      return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "sizes: axis %d of size %lld cannot be resized to %lld", axis,
                        (long long)r->in[axis], (long long)size);
    r->out[axis] = size;
    r->exact[axis] = (double)size;
    if (r->in[axis] > 0) r->scale[axis] = (double)size / (double)r->in[axis];
    if (r->in[axis] < 0) known = false;
  }
  for (int i = 0; i < count && policy != 0 && !known; i++) r->out[axes[i]] = -1;
  if (policy != 0 && known) keep_aspect_ratio(r, axes, count, policy == 2);
  return PLEAT_OK;
}

static pleat_status apply_attributes(const pleat_node *node, unsigned flags, pleat_resize *r, pleat_error *error) {
  const float *scales;
  if ((flags & PLEAT_RESIZE_SCALES_ATTR) != 0) {
    size_t count = pleat_attr_floats(node, "scales", &scales);
    return apply_scales(node, r, scales, count, error);
  }
  if (r->rank != 4)
    return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "Upsample-1: expected an input [N, C, H, W], found rank %d",
                      r->rank);
  PLEAT_TRY(apply_scale(r, 2, pleat_attr_float(node, "height_scale"), error));
  return apply_scale(r, 3, pleat_attr_float(node, "width_scale"), error);
}

static pleat_status apply_operands(const pleat_node *node, pleat_resize *r, const pleat_resize_operand operands[3],
                                   pleat_error *error) {
  pleat_resize_operand roi = operands[0], scales = operands[1], sizes = operands[2];
  int axes[PLEAT_MAX_RANK], count = listed_axes(node, r->rank, axes);
  if (scales.present == sizes.present)
    return pleat_fail(error, PLEAT_MALFORMED_MODEL, "expected either scales or sizes, found %s",
                      scales.present ? "both" : "neither");
  if (r->coordinates == PLEAT_RESIZE_TF_CROP_AND_RESIZE) {
    if (!roi.present) return pleat_fail(error, PLEAT_MALFORMED_MODEL, "tf_crop_and_resize needs the input roi");
    if (roi.data != NULL) {
      PLEAT_TRY(check_count("roi", roi.data->count, 2 * count, error));
      pleat_resize_set_roi(node, r, roi.data);
    }
  }
  if (scales.present && scales.data != NULL) {
    if (scales.data->dtype != PLEAT_FLOAT)
      return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "scales: expected float, found %s",
                        pleat_dtype_name(scales.data->dtype));
    return apply_scales(node, r, scales.data->data, scales.data->count, error);
  }
  if (sizes.present && sizes.data != NULL) return apply_sizes(node, r, sizes.data, error);
  for (int i = 0; i < count; i++) r->out[axes[i]] = -1;
  return PLEAT_OK;
}

pleat_status pleat_resize_parse(const pleat_node *node, const pleat_op_version *version, int rank, const int64_t *in,
                                const pleat_resize_operand operands[3], pleat_resize *out_resize, pleat_error *error) {
  pleat_resize *r = out_resize;
  *r = (pleat_resize){.rank = rank};
  PLEAT_TRY(parse_options(node, version, r, error));
  PLEAT_TRY(check_axes(node, rank, error));
  for (int i = 0; i < rank; i++) {
    r->in[i] = r->out[i] = in[i];
    r->scale[i] = r->roi[1][i] = 1;
    r->exact[i] = (double)in[i];
  }
  if ((version->flags & (PLEAT_RESIZE_HEIGHT_WIDTH | PLEAT_RESIZE_SCALES_ATTR)) != 0)
    return apply_attributes(node, version->flags, r, error);
  return apply_operands(node, r, operands, error);
}

/* Resize: the taps and weights of one axis, from the formulas of the ONNX specification (coordinate transformations,
 * rounding, linear and cubic kernels, antialiasing by stretching the kernel when shrinking). Taps beyond the border
 * take the border's value, so their weights are added to its own; with exclude_outside they are dropped and the rest is
 * scaled to a sum of 1. */
#include <math.h>
#include <string.h>

#include "core/checked.h"
#include "ops/resize.h"

/* The input coordinate that output position `o` stands for. */
static double coordinate(const pleat_resize *r, int axis, int64_t o) {
  double in = (double)r->in[axis], out = (double)r->out[axis], scale = r->scale[axis], x = (double)o;
  double start = r->roi[0][axis], end = r->roi[1][axis];
  switch (r->coordinates) {
  case PLEAT_RESIZE_HALF_PIXEL:
    break;
  case PLEAT_RESIZE_HALF_PIXEL_SYMMETRIC:
    return in / 2 * (1 - out / r->exact[axis]) + (x + 0.5) / scale - 0.5;
  case PLEAT_RESIZE_PYTORCH_HALF_PIXEL:
    if (out == 1) return 0;
    break;
  case PLEAT_RESIZE_ALIGN_CORNERS:
    return r->exact[axis] == 1 || out == 1 ? 0 : x * (in - 1) / (r->exact[axis] - 1);
  case PLEAT_RESIZE_ASYMMETRIC:
    return x / scale;
  case PLEAT_RESIZE_TF_HALF_PIXEL_FOR_NN:
    return (x + 0.5) / scale;
  case PLEAT_RESIZE_TF_CROP_AND_RESIZE:
    if (out == 1) return 0.5 * (start + end) * (in - 1);
    return start * (in - 1) + x * (end - start) * (in - 1) / (out - 1);
  }
  return (x + 0.5) / scale - 0.5;
}

static double round_coordinate(const pleat_resize *r, int axis, double x) {
  switch (r->rounding) {
  case PLEAT_RESIZE_ROUND_PREFER_FLOOR:
    return ceil(x - 0.5);
  case PLEAT_RESIZE_ROUND_PREFER_CEIL:
    return floor(x + 0.5);
  case PLEAT_RESIZE_FLOOR:
    return floor(x);
  case PLEAT_RESIZE_CEIL:
    return ceil(x);
  case PLEAT_RESIZE_SIMPLE:
    break;
  }
  return r->scale[axis] < 1 ? ceil(x) : floor(x);
}

/* The interpolation kernel at distance `d`. */
static double kernel_weight(const pleat_resize *r, double d) {
  double a = r->cubic_a;
  d = fabs(d);
  if (r->mode == PLEAT_RESIZE_LINEAR) return d < 1 ? 1 - d : 0;
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

/* How far the kernel reaches, in input positions. */
static double kernel_reach(const pleat_resize *r, int axis) {
  double reach = r->mode == PLEAT_RESIZE_LINEAR ? 1 : 2, scale = r->scale[axis];
  return r->antialias && scale < 1 ? reach / scale : reach;
}

static bool is_identity(const pleat_resize *r, int axis) {
  if (r->coordinates == PLEAT_RESIZE_TF_CROP_AND_RESIZE && !r->roi_known) return false;
  return r->in[axis] == r->out[axis] && r->scale[axis] == 1 && r->roi[0][axis] == 0 && r->roi[1][axis] == 1;
}

static int64_t most_taps(const pleat_resize *r, int axis) {
  double taps = r->mode == PLEAT_RESIZE_NEAREST ? 1 : 2 * ceil(kernel_reach(r, axis)) + 1;
  return taps < (double)r->in[axis] ? (int64_t)taps : r->in[axis];
}

bool pleat_resize_axis_size(const pleat_resize *resize, int axis, size_t *out_size) {
  size_t out = (size_t)resize->out[axis], each = 0;
  *out_size = 0;
  if (is_identity(resize, axis)) return true;
  if (!pleat_mul_size((size_t)most_taps(resize, axis), sizeof(double), &each)) return false;
  if (!pleat_add_size(each, 2 * sizeof(int64_t) + 1, &each) || !pleat_mul_size(each, out, &each)) return false;
  return pleat_align_up(each, sizeof(double), out_size);
}

static void set_nearest(pleat_resize_axis *a, int64_t o, int64_t position) {
  a->begin[o] = position < 0 ? 0 : position >= a->in ? a->in - 1 : position;
  a->count[o] = 1;
  a->weight[o * a->taps] = 1;
}

/* Weights of the taps around `x`. */
static void set_taps(const pleat_resize *r, int axis, pleat_resize_axis *a, int64_t o, double x) {
  double reach = kernel_reach(r, axis), stretch = r->antialias && r->scale[axis] < 1 ? r->scale[axis] : 1;
  int64_t first = (int64_t)ceil(x - reach), last = (int64_t)floor(x + reach), top = a->in - 1;
  int64_t begin = first < 0 ? 0 : first > top ? top : first, end = last < 0 ? 0 : last > top ? top : last;
  double *weight = a->weight + o * a->taps, sum = 0;
  for (int64_t k = begin; k <= end; k++) weight[k - begin] = 0;
  for (int64_t p = first; p <= last; p++) {
    double w = kernel_weight(r, stretch * ((double)p - x));
    if (r->exclude_outside && (p < 0 || p > top)) continue;
    int64_t at = p < begin ? begin : p > end ? end : p;
    weight[at - begin] += w;
    sum += w;
  }
  if (sum == 0) {
    set_nearest(a, o, (int64_t)floor(x + 0.5));
    return;
  }
  /* Without antialiasing or exclusion the weights sum to 1 as they are. */
  bool scaled = stretch != 1 || r->exclude_outside;
  for (int64_t k = begin; k <= end && scaled; k++) weight[k - begin] /= sum;
  /* Taps that weigh nothing are not read: 0 * infinity is not 0. */
  while (end > begin && weight[end - begin] == 0) end--;
  int64_t skip = 0;
  while (begin + skip < end && weight[skip] == 0) skip++;
  a->begin[o] = begin + skip;
  a->count[o] = end - begin - skip + 1;
  memmove(weight, weight + skip, (size_t)a->count[o] * sizeof *weight);
}

void *pleat_resize_axis_build(const pleat_resize *resize, int axis, void *memory, pleat_resize_axis *out_axis) {
  pleat_resize_axis *a = out_axis;
  size_t out = (size_t)resize->out[axis], size = 0;
  *a = (pleat_resize_axis){.in = resize->in[axis], .out = resize->out[axis], .identity = is_identity(resize, axis)};
  if (a->identity || !pleat_resize_axis_size(resize, axis, &size)) return memory;
  a->taps = most_taps(resize, axis);
  a->begin = memory;
  a->count = a->begin + out;
  a->weight = (double *)(void *)(a->count + out);
  a->outside = (unsigned char *)(a->weight + out * (size_t)a->taps);
  for (int64_t o = 0; o < a->out; o++) {
    double x = coordinate(resize, axis, o), in = (double)a->in;
    a->outside[o] = resize->coordinates == PLEAT_RESIZE_TF_CROP_AND_RESIZE && !(x >= 0 && x <= in - 1);
    if (a->outside[o]) x = 0;
    /* Coordinates lie near the input; whatever rounding may do to extreme scales, casts stay defined. */
    if (!(x > -in - 1)) x = -in - 1;
    if (!(x < 2 * in + 1)) x = 2 * in + 1;
    if (resize->mode == PLEAT_RESIZE_NEAREST) set_nearest(a, o, (int64_t)round_coordinate(resize, axis, x));
    else set_taps(resize, axis, a, o, x);
  }
  return (char *)memory + size;
}

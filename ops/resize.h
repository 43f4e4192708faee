/* Resize and Upsample, internally: the options of a node, the geometry of every axis, and the tables that the kernels
 * read. Output position o of an axis is sum(weight[o][k] * input[begin[o] + k]) over k < count[o]; nearest is the case
 * of one tap of weight 1. */
#ifndef PLEAT_OPS_RESIZE_H
#define PLEAT_OPS_RESIZE_H

#include "ops/ops.h"

typedef enum pleat_resize_mode { PLEAT_RESIZE_NEAREST, PLEAT_RESIZE_LINEAR, PLEAT_RESIZE_CUBIC } pleat_resize_mode;

typedef enum pleat_resize_coordinates {
  PLEAT_RESIZE_HALF_PIXEL,
  PLEAT_RESIZE_HALF_PIXEL_SYMMETRIC,
  PLEAT_RESIZE_PYTORCH_HALF_PIXEL,
  PLEAT_RESIZE_ALIGN_CORNERS,
  PLEAT_RESIZE_ASYMMETRIC,
  PLEAT_RESIZE_TF_HALF_PIXEL_FOR_NN,
  PLEAT_RESIZE_TF_CROP_AND_RESIZE
} pleat_resize_coordinates;

typedef enum pleat_resize_rounding {
  PLEAT_RESIZE_ROUND_PREFER_FLOOR,
  PLEAT_RESIZE_ROUND_PREFER_CEIL,
  PLEAT_RESIZE_FLOOR,
  PLEAT_RESIZE_CEIL,
  PLEAT_RESIZE_SIMPLE /* before opset 11: down when enlarging, up when shrinking */
} pleat_resize_rounding;

/* Version flags: where scales and sizes come from. */
enum {
  PLEAT_RESIZE_HEIGHT_WIDTH = 1, /* Upsample-1: attributes height_scale and width_scale */
  PLEAT_RESIZE_SCALES_ATTR = 2,  /* Upsample-7 */
  PLEAT_RESIZE_SCALES_INPUT = 4, /* Upsample-9, Resize-10: input 1 */
  PLEAT_RESIZE_ROI_INPUTS = 8,   /* Resize-11 and later: inputs roi, scales, sizes */
};

/* An optional input: whether it is there (an empty tensor is not), and its data when that is known. */
typedef struct pleat_resize_operand {
  bool present;
  const pleat_tensor *data;
} pleat_resize_operand;

typedef struct pleat_resize {
  pleat_resize_mode mode;
  pleat_resize_coordinates coordinates;
  pleat_resize_rounding rounding;
  bool antialias, exclude_outside;
  double cubic_a, extrapolation;
  int rank;
  int64_t in[PLEAT_MAX_RANK];    /* -1: not known */
  int64_t out[PLEAT_MAX_RANK];   /* likewise */
  double scale[PLEAT_MAX_RANK];  /* output size / input size; 1 where nothing is said */
  double exact[PLEAT_MAX_RANK];  /* the output size before rounding */
  double roi[2][PLEAT_MAX_RANK]; /* start and end, for tf_crop_and_resize: [0, 1] where nothing is said */
  bool roi_known;
} pleat_resize;

typedef struct pleat_resize_axis {
  int64_t in, out;
  bool identity; /* the output is the input: no tables */
  int64_t taps;  /* room for so many weights an output position */
  int64_t *begin, *count;
  double *weight;
  unsigned char *outside; /* 1: takes the extrapolation value */
} pleat_resize_axis;

/* resize_geometry.c: attributes and sizes. Unknown inputs leave unknown sizes. */
pleat_status pleat_resize_parse(const pleat_node *node, const pleat_op_version *version, int rank, const int64_t *in,
                                const pleat_resize_operand operands[3], pleat_resize *out_resize, pleat_error *error);
/* Takes roi over once it is known. */
void pleat_resize_set_roi(const pleat_node *node, pleat_resize *resize, const pleat_tensor *roi);

/* resize.c: operand 0 (roi), 1 (scales) or 2 (sizes) of a call. */
pleat_resize_operand pleat_resize_call_operand(const pleat_call *call, int operand);

/* resize_axis.c: tables. Bytes that an axis' tables take; false on overflow. */
bool pleat_resize_axis_size(const pleat_resize *resize, int axis, size_t *out_size);
/* Sets up the axis in `memory` of that size, aligned for double; returns what follows it. */
void *pleat_resize_axis_build(const pleat_resize *resize, int axis, void *memory, pleat_resize_axis *out_axis);

/* resize_nearest.c and resize_interpolate.c: the kernels proper. */
void pleat_resize_nearest(const pleat_resize_axis *axes, int rank, const pleat_tensor *x, pleat_tensor *y, int threads);
/* Elements of each of the two buffers for what passes leave for the next ones. */
size_t pleat_resize_scratch(const pleat_resize_axis *axes, int rank, size_t count);
/* `dtype` PLEAT_FLOAT or PLEAT_DOUBLE; scratch: twice pleat_resize_scratch() elements. */
void pleat_resize_interpolate(const pleat_resize_axis *axes, int rank, pleat_dtype dtype, const void *x, void *y,
                              size_t count, void *scratch, int threads);

#endif

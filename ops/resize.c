/* Resize and Upsample. Tables for every axis that changes are made in prepare; only a region of interest that is not
 * known by then (tf_crop_and_resize) moves them to run. Integers are interpolated in double and truncated, as ONNX's
 * reference implementation does; strings only know the nearest neighbour. */
#include "ops/resize.h"

#include <math.h>
#include <string.h>

#include "core/checked.h"
#include "ops/kernels.h"
#include "ops/slices.h"

typedef struct resize_state {
  pleat_resize resize;
  pleat_resize_axis axes[PLEAT_MAX_RANK]; /* as far as they do not wait for roi */
  bool waits;
  size_t table_size, wide_size, scratch_size; /* parts of the workspace, in this order; multiples of 64 */
} resize_state;

/* ---- inference ---- */

/* Where the operands roi, scales and sizes are among the inputs; 0: nowhere. */
static size_t operand_index(const pleat_op_version *version, int operand) {
  if ((version->flags & PLEAT_RESIZE_ROI_INPUTS) != 0) return (size_t)operand + 1;
  return (version->flags & PLEAT_RESIZE_SCALES_INPUT) != 0 && operand == 1 ? 1 : 0;
}

static pleat_resize_operand infer_operand(const pleat_infer *ctx, int operand) {
  size_t i = operand_index(ctx->version, operand);
  pleat_resize_operand result = {.present = i > 0 && pleat_infer_has(ctx, i)};
  if (!result.present) return result;
  const pleat_type *input = &ctx->inputs[i];
  result.data = input->data;
  if (input->data != NULL ? input->data->count == 0 : input->shape.rank == 1 && input->shape.dims[0].value == 0)
    result = (pleat_resize_operand){.present = false};
  return result;
}

static pleat_status resize_infer(pleat_infer *ctx) {
  const pleat_shape *in = &ctx->inputs[0].shape;
  pleat_type *out = &ctx->outputs[0];
  pleat_resize_operand operands[3];
  int64_t dims[PLEAT_MAX_RANK];
  pleat_resize resize;
  out->dtype = ctx->inputs[0].dtype;
  if (in->rank < 0) return PLEAT_OK;
  for (int i = 0; i < in->rank; i++) dims[i] = in->dims[i].value;
  for (int i = 0; i < 3; i++) operands[i] = infer_operand(ctx, i);
  PLEAT_TRY(pleat_resize_parse(ctx->node, ctx->version, in->rank, dims, operands, &resize, ctx->error));
  if (resize.mode != PLEAT_RESIZE_NEAREST && out->dtype == PLEAT_STRING)
    return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "strings can only be resized with mode 'nearest'");
  out->shape = *in;
  for (int i = 0; i < in->rank; i++) {
    bool same = resize.in[i] < 0 && resize.scale[i] == 1 && resize.out[i] < 0 && !operands[2].present &&
                (!operands[1].present || operands[1].data != NULL);
    if (!same) out->shape.dims[i] = resize.out[i] < 0 ? pleat_dim_unknown() : pleat_dim_known(resize.out[i]);
  }
  return PLEAT_OK;
}

/* ---- the kernel ---- */

pleat_resize_operand pleat_resize_call_operand(const pleat_call *call, int operand) {
  size_t i = operand_index(call->version, operand);
  const pleat_tensor *tensor = i > 0 ? pleat_in(call, i) : NULL;
  if (tensor == NULL || tensor->count == 0) return (pleat_resize_operand){.present = false};
  return (pleat_resize_operand){.present = true, .data = tensor->data == NULL ? NULL : tensor};
}

/* What linear and cubic compute in. */
static pleat_dtype work_type(pleat_dtype dtype) {
  return dtype == PLEAT_FLOAT ? PLEAT_FLOAT : PLEAT_DOUBLE;
}

static bool is_wide(const resize_state *s, pleat_dtype dtype) {
  return s->resize.mode != PLEAT_RESIZE_NEAREST && work_type(dtype) != dtype;
}

static void build_axes(const pleat_resize *resize, void *memory, pleat_resize_axis *out_axes) {
  for (int i = 0; i < resize->rank; i++) memory = pleat_resize_axis_build(resize, i, memory, &out_axes[i]);
}

static bool plan_workspace(resize_state *s, const pleat_call *call, size_t table_size) {
  const pleat_tensor *x = call->inputs[0], *y = call->outputs[0];
  pleat_resize_axis sizes[PLEAT_MAX_RANK] = {0};
  size_t wide = 0, scratch = 0;
  if (s->waits && !pleat_align_up(table_size, 64, &s->table_size)) return false;
  if (s->resize.mode == PLEAT_RESIZE_NEAREST) return true;
  if (is_wide(s, x->dtype)) {
    if (!pleat_add_size(x->count, y->count, &wide) || !pleat_mul_size(wide, sizeof(double), &wide)) return false;
    if (!pleat_align_up(wide, 64, &s->wide_size)) return false;
  }
  for (int i = 0; i < s->resize.rank; i++) {
    sizes[i].in = s->resize.in[i];
    sizes[i].out = s->resize.out[i];
    sizes[i].identity = s->waits ? false : s->axes[i].identity;
  }
  scratch = pleat_resize_scratch(sizes, s->resize.rank, x->count);
  if (!pleat_mul_size(scratch, 2 * pleat_dtype_size(work_type(x->dtype)), &scratch)) return false;
  return pleat_align_up(scratch, 64, &s->scratch_size);
}

static pleat_status resize_prepare(pleat_call *call) {
  const pleat_tensor *x = call->inputs[0];
  pleat_resize_operand operands[3];
  size_t table_size = 0;
  resize_state *s = pleat_call_state(call, sizeof *s);
  if (s == NULL) return PLEAT_OOM(call->error);
  for (int i = 0; i < 3; i++) operands[i] = pleat_resize_call_operand(call, i);
  PLEAT_TRY(pleat_resize_parse(call->node, call->version, x->rank, x->dims, operands, &s->resize, call->error));
  if (call->outputs[0]->count == 0) return PLEAT_OK;
  for (int i = 0; i < x->rank; i++) {
    size_t size = 0;
    if (s->resize.out[i] != call->outputs[0]->dims[i])
      return pleat_fail(call->error, PLEAT_INTERNAL, "Resize was planned without its scales or sizes");
    if (!pleat_resize_axis_size(&s->resize, i, &size) || !pleat_add_size(table_size, size, &table_size))
      return PLEAT_OOM(call->error);
  }
  s->waits = s->resize.coordinates == PLEAT_RESIZE_TF_CROP_AND_RESIZE && !s->resize.roi_known;
  if (!s->waits) {
    void *tables = pleat_arena_alloc(call->arena, table_size);
    if (tables == NULL) return PLEAT_OOM(call->error);
    build_axes(&s->resize, tables, s->axes);
  }
  if (!plan_workspace(s, call, table_size) || !pleat_add_size(s->table_size, s->wide_size, &call->workspace_size) ||
      !pleat_add_size(call->workspace_size, s->scratch_size, &call->workspace_size))
    return PLEAT_OOM(call->error);
  return PLEAT_OK;
}

/* Rounds off what is an integer but for the rounding of weights, so that truncation does not lose one. */
static void settle(double *values, size_t count) {
  for (size_t i = 0; i < count; i++) {
    double near = rint(values[i]);
    if (fabs(values[i] - near) < 1e-6) values[i] = near;
  }
}

static void run_interpolation(const pleat_call *call, const resize_state *s, const pleat_resize_axis *axes) {
  const pleat_tensor *x = call->inputs[0];
  pleat_tensor *y = call->outputs[0];
  char *workspace = call->workspace;
  if (!is_wide(s, x->dtype)) {
    void *scratch = s->scratch_size > 0 ? workspace + s->table_size : NULL;
    pleat_resize_interpolate(axes, x->rank, x->dtype, x->data, y->data, x->count, scratch, call->threads);
    return;
  }
  double *wide = (double *)(void *)(workspace + s->table_size), *result = wide + x->count;
  void *scratch = workspace + s->table_size + s->wide_size;
  pleat_convert(x->dtype, x->data, PLEAT_DOUBLE, wide, x->count, NULL);
  pleat_resize_interpolate(axes, x->rank, PLEAT_DOUBLE, wide, result, x->count, scratch, call->threads);
  settle(result, y->count);
  pleat_convert(PLEAT_DOUBLE, result, y->dtype, y->data, y->count, NULL);
}

/* Gives everything that lies outside along one axis the extrapolation value. */
static void extrapolate(const pleat_resize_axis *axis, int index, double value, pleat_tensor *y) {
  pleat_slices s = pleat_slices_of(y, index, index + 1);
  if (axis->outside == NULL || y->dtype == PLEAT_STRING) return;
  for (size_t o = 0; o < s.n; o++) {
    if (!axis->outside[o]) continue;
    for (size_t outer = 0; outer < s.outer; outer++)
      for (size_t j = 0; j < s.inner; j++) pleat_store_f64(y->dtype, y->data, (outer * s.n + o) * s.inner + j, value);
  }
}

static pleat_status resize_run(const pleat_call *call) {
  const resize_state *s = call->state;
  const pleat_resize_axis *axes = s->axes;
  pleat_tensor *y = call->outputs[0];
  pleat_resize_axis late[PLEAT_MAX_RANK];
  if (y->count == 0) return PLEAT_OK;
  if (s->waits) {
    pleat_resize resize = s->resize;
    pleat_resize_set_roi(call->node, &resize, call->inputs[1]);
    build_axes(&resize, call->workspace, late);
    axes = late;
  }
  if (s->resize.mode == PLEAT_RESIZE_NEAREST) pleat_resize_nearest(axes, y->rank, call->inputs[0], y, call->threads);
  else run_interpolation(call, s, axes);
  for (int i = 0; i < y->rank && s->resize.coordinates == PLEAT_RESIZE_TF_CROP_AND_RESIZE; i++)
    extrapolate(&axes[i], i, s->resize.extrapolation, y);
  return PLEAT_OK;
}

enum { RESIZED_TYPES = PLEAT_M_NUMBERS | PLEAT_M_BOOL | PLEAT_M_STRING | PLEAT_M_COMPLEX };

static const char *resize_supports(const pleat_call *call) {
  pleat_dtype dtype = call->inputs[0]->dtype;
  bool nearest_only = (PLEAT_M(dtype) & (PLEAT_M_STRING | PLEAT_M_COMPLEX)) != 0;
  const char *mode = pleat_attr_string(call->node, "mode");
  return nearest_only && mode[0] != 'n' ? "strings and complex numbers have only mode 'nearest'" : NULL;
}

static const pleat_kernel reference = {
    .name = "reference",
    .types = RESIZED_TYPES,
    .flags = PLEAT_KERNEL_WIDEN,
    .supports = resize_supports,
    .prepare = resize_prepare,
    .run = resize_run,
};
static const pleat_kernel *const kernels[] = {PLEAT_ONEDNN_KERNEL(pleat_onednn_resize) & reference, NULL};

/* Sizes may be those of the batch at hand: what differs between them is then only the number of samples. */
static const char *resize_apart(const pleat_infer *whole, const pleat_role *roles) {
  int64_t dims[PLEAT_MAX_RANK];
  pleat_resize_operand operands[3];
  pleat_resize resize;
  if (!pleat_shape_dims(&whole->inputs[0].shape, dims)) return "its shapes are not known";
  for (int i = 0; i < 3; i++) operands[i] = infer_operand(whole, i);
  if (pleat_resize_parse(whole->node, whole->version, whole->inputs[0].shape.rank, dims, operands, &resize, NULL) !=
          PLEAT_OK ||
      resize.scale[0] != 1 || resize.out[0] != dims[0] || resize.coordinates == PLEAT_RESIZE_TF_CROP_AND_RESIZE)
    return "it may resize the batch";
  const char *policy = pleat_attr_string(whole->node, "keep_aspect_ratio_policy");
  const bool stretches = policy[0] == '\0' || strcmp(policy, "stretch") == 0;
  const bool may_be_sized = stretches && whole->input_count == 4 && roles[1] != PLEAT_ROLE_SIZED &&
                            (roles[2] != PLEAT_ROLE_SIZED || !operands[1].present);
  return may_be_sized ? pleat_apart_reshaped(whole, roles) : pleat_apart_first(whole, roles);
}

static const pleat_op_attr resize_attrs[] = {
    {.name = "mode", .type = PLEAT_ATTR_STRING, .s = "nearest"},
    {.name = "coordinate_transformation_mode", .type = PLEAT_ATTR_STRING, .since = 11, .s = "half_pixel"},
    {.name = "nearest_mode", .type = PLEAT_ATTR_STRING, .since = 11, .s = "round_prefer_floor"},
    {.name = "cubic_coeff_a", .type = PLEAT_ATTR_FLOAT, .since = 11, .f = -0.75f},
    {.name = "exclude_outside", .type = PLEAT_ATTR_INT, .since = 11},
    {.name = "extrapolation_value", .type = PLEAT_ATTR_FLOAT, .since = 11},
    {.name = "antialias", .type = PLEAT_ATTR_INT, .since = 18},
    {.name = "axes", .type = PLEAT_ATTR_INTS, .since = 18},
    {.name = "keep_aspect_ratio_policy", .type = PLEAT_ATTR_STRING, .since = 18, .s = "stretch"},
    {0}};
static const pleat_op_version resize_versions[] = {{10, 2, 2, 1, 1, RESIZED_TYPES, PLEAT_RESIZE_SCALES_INPUT},
                                                   {11, 3, 4, 1, 1, RESIZED_TYPES, PLEAT_RESIZE_ROI_INPUTS},
                                                   {13, 1, 4, 1, 1, RESIZED_TYPES, PLEAT_RESIZE_ROI_INPUTS},
                                                   {18, 1, 4, 1, 1, RESIZED_TYPES, PLEAT_RESIZE_ROI_INPUTS},
                                                   {0}};
const pleat_op_def pleat_op_Resize = {
    .domain = "",
    .name = "Resize",
    .versions = resize_versions,
    .attrs = resize_attrs,
    .infer = resize_infer,
    .apart = resize_apart,
    .kernels = kernels,
};

static const pleat_op_attr upsample_attrs[] = {
    {.name = "mode", .type = PLEAT_ATTR_STRING, .s = "nearest"},
    {.name = "height_scale", .type = PLEAT_ATTR_FLOAT, .required = true, .until = 6},
    {.name = "width_scale", .type = PLEAT_ATTR_FLOAT, .required = true, .until = 6},
    {.name = "scales", .type = PLEAT_ATTR_FLOATS, .required = true, .since = 7, .until = 8},
    {0}};
static const pleat_op_version upsample_versions[] = {{1, 1, 1, 1, 1, RESIZED_TYPES, PLEAT_RESIZE_HEIGHT_WIDTH},
                                                     {7, 1, 1, 1, 1, RESIZED_TYPES, PLEAT_RESIZE_SCALES_ATTR},
                                                     {9, 2, 2, 1, 1, RESIZED_TYPES, PLEAT_RESIZE_SCALES_INPUT},
                                                     {0}};
const pleat_op_def pleat_op_Upsample = {
    .domain = "",
    .name = "Upsample",
    .versions = upsample_versions,
    .attrs = upsample_attrs,
    .infer = resize_infer,
    .apart = resize_apart,
    .kernels = kernels,
};

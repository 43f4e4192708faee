/* Nodes that let an affine map pass: what happens to scale and shift a channel on the way from a node's output to its
 * inputs (up), or from an input to its output (down). Each rule is exact in real arithmetic:
 *   - rearranging elements (Reshape, Transpose, Concat, Split, Slice): the map goes with its channel;
 *   - averages and interpolation (weights sum to 1): the map commutes, unless zero padding takes part in the average;
 *   - max: commutes where every scale is positive; Relu and its kin: where every scale is positive and there is no
 * shift;
 *   - sums: the scale goes to every term, the shift to the first. */
#include <string.h>

#include "fold/reshape_map.h"

typedef struct passage {
  pleat_push *push;
  const pleat_node *node;
  size_t input, output;
  bool down;
  const pleat_affine *given;
  pleat_affine *out;
} passage;

typedef pleat_status (*rule)(const passage *p);

static const pleat_shape *shape_of(const pleat_value *value) {
  return &value->shape;
}
static const pleat_shape *input_shape(const passage *p) {
  return shape_of(p->node->inputs[p->input]);
}
static const pleat_shape *output_shape(const passage *p) {
  return shape_of(p->node->outputs[p->output]);
}

static pleat_status pass_unchanged(const passage *p) {
  *p->out = *p->given;
  return PLEAT_OK;
}

static pleat_status pass_dropout(const passage *p) {
  bool trains;
  PLEAT_TRY(pleat_fold_dropout_trains(p->push->ctx, p->node, &trains));
  return trains ? pleat_push_refuse(p->push, "a Dropout that may train is in the way") : pass_unchanged(p);
}

static pleat_status pass_homogeneous(const passage *p) {
  if (!pleat_affine_is_positive(p->given) || pleat_affine_has_shift(p->given)) {
    return pleat_push_refuse(p->push, "%s is in the way: only a positive scale without shift passes it",
                             p->node->op_type);
  }
  return pass_unchanged(p);
}

/* Pools work on axes 2 and up. */
static bool is_spatial(const passage *p) {
  return p->given->axis == 0 || p->given->axis > 1;
}

static pleat_status pass_max(const passage *p) {
  if (is_spatial(p)) return pleat_push_refuse(p->push, "%s mixes the positions of the map", p->node->op_type);
  if (!pleat_affine_is_positive(p->given)) {
    return pleat_push_refuse(p->push, "%s is in the way: not every scale is positive", p->node->op_type);
  }
  return pass_unchanged(p);
}

static bool averages_padding(const pleat_node *node) {
  const char *automatic = pleat_attr_string(node, "auto_pad");
  const bool padded = strncmp(automatic, "SAME", 4) == 0 ||
                      (pleat_attr_present(node, "ceil_mode") && pleat_attr_int(node, "ceil_mode") != 0) ||
                      !pleat_attr_ints_all(node, "pads", 0);
  return padded &&
         (!pleat_attr_present(node, "count_include_pad") ? false : pleat_attr_int(node, "count_include_pad") != 0);
}

static pleat_status pass_average(const passage *p) {
  if (is_spatial(p)) return pleat_push_refuse(p->push, "%s mixes the positions of the map", p->node->op_type);
  if (averages_padding(p->node) && pleat_affine_has_shift(p->given)) {
    return pleat_push_refuse(p->push, "AveragePool counts its zero padding: the shift does not pass it");
  }
  return pass_unchanged(p);
}

static pleat_status pass_reshape(const passage *p) {
  return p->down ? pleat_affine_reshape(p->push, input_shape(p), output_shape(p), p->given, p->out)
                 : pleat_affine_reshape(p->push, output_shape(p), input_shape(p), p->given, p->out);
}

static pleat_status pass_transpose(const passage *p) {
  const int64_t *perm = NULL;
  size_t count = pleat_attr_ints(p->node, "perm", &perm);
  int rank = output_shape(p)->rank;
  *p->out = *p->given;
  if (p->given->axis == PLEAT_UNIFORM) return PLEAT_OK;
  if (rank < 0) return pleat_push_refuse(p->push, "the rank before a Transpose is not known");
  for (int axis = 0; axis < rank; axis++) {
    int source =
        count == (size_t)rank ? (int)perm[axis] : rank - 1 - axis; /* output axis `axis` is input axis `source` */
    if (p->down && source == p->given->axis) p->out->axis = axis;
    if (!p->down && axis == p->given->axis) p->out->axis = source;
  }
  return PLEAT_OK;
}

/* ---- slices of the channel axis ---- */

/* Elements [start, start + step * count) of the wide map are the narrow one. Narrowing takes them; widening leaves
 * every other channel as it is. A uniform map becomes one along `axis` when it widens. */
static pleat_status narrow(const passage *p, int64_t start, int64_t step, int64_t count) {
  *p->out = *p->given;
  if (p->given->axis == PLEAT_UNIFORM) return PLEAT_OK;
  PLEAT_TRY(pleat_affine_make(p->push->ctx, p->given->axis, (size_t)count, p->out));
  for (int64_t i = 0; i < count; i++) {
    p->out->scale[i] = p->given->scale[start + i * step];
    p->out->shift[i] = p->given->shift[start + i * step];
  }
  return PLEAT_OK;
}

static pleat_status widen(const passage *p, int axis, int64_t wide, int64_t start, int64_t step, int64_t count) {
  PLEAT_TRY(pleat_affine_make(p->push->ctx, axis, (size_t)wide, p->out));
  for (int64_t i = 0; i < count; i++) {
    p->out->scale[start + i * step] = pleat_affine_scale_at(p->given, (size_t)i);
    p->out->shift[start + i * step] = pleat_affine_shift_at(p->given, (size_t)i);
  }
  return PLEAT_OK;
}

/* Whether the map runs along `axis`, or along none. */
static bool along(const passage *p, int axis) {
  return p->given->axis == axis || p->given->axis == PLEAT_UNIFORM;
}

static pleat_status pass_concat(const passage *p) {
  const pleat_shape *whole = output_shape(p);
  int axis;
  int64_t start = 0, count = 0;
  bool has_default = pleat_node_since(p->node) < 4 && !pleat_attr_present(p->node, "axis");
  if (whole->rank < 0 || !pleat_axis(has_default ? 1 : pleat_attr_int(p->node, "axis"), whole->rank, &axis)) {
    return pleat_push_refuse(p->push, "the shapes of a Concat are not known");
  }
  if (!p->down && p->given->axis != axis) return pass_unchanged(p);
  if (!along(p, axis))
    return pleat_push_refuse(p->push, "a Concat along another axis brings in values without the map");
  for (size_t i = 0; i < p->node->input_count; i++) {
    const pleat_shape *part = shape_of(p->node->inputs[i]);
    count = part->rank == whole->rank ? part->dims[axis].value : -1;
    if (count < 0) return pleat_push_refuse(p->push, "the channels of a Concat's inputs are not known");
    if (i == p->input) break;
    start += count;
  }
  if (!p->down) return narrow(p, start, 1, count);
  if (whole->dims[axis].value < 0) return pleat_push_refuse(p->push, "the channels of a Concat are not known");
  return widen(p, axis, whole->dims[axis].value, start, 1, count);
}

static pleat_status pass_split(const passage *p) {
  const pleat_shape *whole = input_shape(p);
  int axis;
  int64_t start = 0, count = 0;
  if (whole->rank < 0 || !pleat_axis(pleat_attr_int(p->node, "axis"), whole->rank, &axis)) {
    return pleat_push_refuse(p->push, "the shapes of a Split are not known");
  }
  for (size_t i = 0; i <= p->output; i++) {
    const pleat_shape *part = p->node->outputs[i] != NULL ? shape_of(p->node->outputs[i]) : NULL;
    count = part != NULL && part->rank == whole->rank ? part->dims[axis].value : -1;
    if (count < 0) return pleat_push_refuse(p->push, "the channels of a Split's outputs are not known");
    if (i < p->output) start += count;
  }
  if (p->down) return p->given->axis == axis ? narrow(p, start, 1, count) : pass_unchanged(p);
  if (!along(p, axis)) return pleat_push_refuse(p->push, "a Split along another axis has parts without the map");
  if (whole->dims[axis].value < 0) return pleat_push_refuse(p->push, "the channels of a Split are not known");
  return widen(p, axis, whole->dims[axis].value, start, 1, count);
}

/* A list that Slice takes as an attribute or an input; -1 when it is not constant. */
static int slice_list(const passage *p, const char *name, size_t input, int64_t *out_values) {
  const pleat_tensor *tensor = NULL;
  if (pleat_node_since(p->node) < 10) {
    const int64_t *values;
    size_t count = pleat_attr_ints(p->node, name, &values);
    if (count > PLEAT_MAX_RANK) return -1;
    for (size_t i = 0; i < count; i++) out_values[i] = values[i];
    return (int)count;
  }
  if (input >= p->node->input_count || p->node->inputs[input] == NULL) return 0;
  if (pleat_value_constant(p->node->inputs[input], &tensor, p->push->ctx->error) != PLEAT_OK || tensor == NULL ||
      tensor->count > PLEAT_MAX_RANK) {
    return -1;
  }
  for (size_t i = 0; i < tensor->count; i++) out_values[i] = pleat_load_i64(tensor->dtype, tensor->data, i);
  return (int)tensor->count;
}

static pleat_status pass_slice(const passage *p) {
  int64_t starts[PLEAT_MAX_RANK], axes[PLEAT_MAX_RANK], steps[PLEAT_MAX_RANK];
  const pleat_shape *whole = input_shape(p), *part = output_shape(p);
  int count = slice_list(p, "starts", 1, starts), axis_count = slice_list(p, "axes", 3, axes);
  int step_count = slice_list(p, "steps", 4, steps);
  if (p->given->axis == PLEAT_UNIFORM) return pass_unchanged(p);
  if (count < 0 || axis_count < 0 || step_count < 0 || whole->rank < 0 || part->rank != whole->rank) {
    return pleat_push_refuse(p->push, "a Slice whose bounds are not constant is in the way");
  }
  for (int i = 0; i < count; i++) {
    int axis;
    if (!pleat_axis(axis_count > 0 ? axes[i] : i, whole->rank, &axis)) return pleat_push_refuse(p->push, "a bad Slice");
    if (axis != p->given->axis) continue;
    int64_t step = step_count > 0 ? steps[i] : 1, wide = whole->dims[axis].value, size = part->dims[axis].value;
    if (wide < 0 || size < 0 || step == 0) return pleat_push_refuse(p->push, "the channels of a Slice are not known");
    int64_t start = starts[i] < 0 ? starts[i] + wide : starts[i], top = step < 0 ? wide - 1 : wide;
    start = start < 0 ? 0 : start > top ? top : start;
    return p->down ? narrow(p, start, step, size) : widen(p, axis, wide, start, step, size);
  }
  return pass_unchanged(p);
}

/* ---- Pad, Resize, means, sums ---- */

/* How much a Pad adds along `axis` and elsewhere. False with a reason when that is not known. */
static pleat_status pad_amounts(const passage *p, int axis, bool *out_any, bool *out_on_axis) {
  const int64_t *attribute = NULL;
  const pleat_tensor *pads = NULL, *axes = NULL;
  size_t count = pleat_attr_ints(p->node, pleat_node_since(p->node) < 2 ? "paddings" : "pads", &attribute);
  *out_any = *out_on_axis = false;
  if (pleat_node_since(p->node) >= 11) {
    const bool has_axes = p->node->input_count > 3 && p->node->inputs[3] != NULL;
    PLEAT_TRY(pleat_value_constant(p->node->inputs[1], &pads, p->push->ctx->error));
    if (has_axes) PLEAT_TRY(pleat_value_constant(p->node->inputs[3], &axes, p->push->ctx->error));
    if (pads == NULL || (has_axes && (axes == NULL || axes->count * 2 != pads->count))) {
      return pleat_push_refuse(p->push, "a Pad whose amounts are computed while running is in the way");
    }
    count = pads->count;
  }
  for (size_t i = 0; i + count % 2 < count; i++) {
    int place = (int)(i % (count / 2));
    const int64_t amount = pads != NULL ? pleat_load_i64(pads->dtype, pads->data, i) : attribute[i];
    if (amount == 0) continue;
    *out_any = true;
    if (axes != NULL &&
        !pleat_axis(pleat_load_i64(axes->dtype, axes->data, (size_t)place), input_shape(p)->rank, &place)) {
      return pleat_push_refuse(p->push, "a Pad along axes that are not known is in the way");
    }
    *out_on_axis = *out_on_axis || place == axis;
  }
  return PLEAT_OK;
}

static pleat_status pass_pad(const passage *p) {
  const char *mode = pleat_attr_string(p->node, "mode");
  const pleat_tensor *value = NULL;
  double fill = pleat_node_since(p->node) < 11 ? pleat_attr_float(p->node, "value") : 0;
  bool any, pads_channels;
  PLEAT_TRY(pad_amounts(p, p->given->axis, &any, &pads_channels));
  if (p->push->reason[0] != '\0') return PLEAT_OK;
  if (!any) return pass_unchanged(p);
  if (pads_channels) return pleat_push_refuse(p->push, "a Pad adds channels");
  if (pleat_node_since(p->node) >= 11 && p->node->input_count > 2 && p->node->inputs[2] != NULL) {
    PLEAT_TRY(pleat_value_constant(p->node->inputs[2], &value, p->push->ctx->error));
    fill = value != NULL && value->count == 1 ? pleat_load_f64(value->dtype, value->data, 0) : 1;
  }
  bool is_constant = mode[0] == '\0' || strcmp(mode, "constant") == 0;
  if (is_constant && (pleat_affine_has_shift(p->given) || fill != 0)) {
    return pleat_push_refuse(p->push, "a Pad with a constant is in the way: only a scale passes it, and only zeros");
  }
  return pass_unchanged(p);
}

static pleat_status pass_resize(const passage *p) {
  const pleat_shape *in = input_shape(p), *out = output_shape(p);
  int axis = p->given->axis;
  if (strcmp(pleat_attr_string(p->node, "coordinate_transformation_mode"), "tf_crop_and_resize") == 0) {
    return pleat_push_refuse(p->push, "a Resize that crops may bring in a fixed value");
  }
  if (axis != PLEAT_UNIFORM &&
      (in->rank != out->rank || in->rank < 0 || !pleat_dim_equal(in->dims[axis], out->dims[axis]))) {
    return pleat_push_refuse(p->push, "a Resize changes the channels, or their number is not known");
  }
  return pass_unchanged(p);
}

/* The axes that a reduction removes or keeps as 1, as bits. */
static pleat_status reduced_axes(const passage *p, int rank, uint32_t *out_axes) {
  const int64_t *attribute = NULL;
  const pleat_tensor *tensor = NULL;
  size_t count = pleat_attr_ints(p->node, "axes", &attribute);
  *out_axes = 0;
  if (p->node->input_count > 1 && p->node->inputs[1] != NULL) {
    PLEAT_TRY(pleat_value_constant(p->node->inputs[1], &tensor, p->push->ctx->error));
    if (tensor == NULL) return pleat_push_refuse(p->push, "the axes of a reduction are not constant");
    count = tensor->count;
  }
  for (size_t i = 0; i < count; i++) {
    int axis;
    int64_t given = tensor != NULL ? pleat_load_i64(tensor->dtype, tensor->data, i) : attribute[i];
    if (!pleat_axis(given, rank, &axis))
      return pleat_push_refuse(p->push, "a reduction over an axis that is not there");
    *out_axes |= 1u << axis;
  }
  if (count == 0) return pleat_push_refuse(p->push, "a reduction over all axes is in the way");
  return PLEAT_OK;
}

static pleat_status pass_mean(const passage *p) {
  int rank = input_shape(p)->rank;
  uint32_t axes;
  *p->out = *p->given;
  if (p->given->axis == PLEAT_UNIFORM) return PLEAT_OK;
  if (rank < 0) return pleat_push_refuse(p->push, "the rank before a reduction is not known");
  PLEAT_TRY(reduced_axes(p, rank, &axes));
  if (p->push->reason[0] != '\0') return PLEAT_OK;
  bool keeps = pleat_attr_int(p->node, "keepdims") != 0;
  for (int axis = 0, out_axis = 0; axis < rank; axis++) {
    bool is_reduced = (axes >> axis & 1) != 0;
    bool is_ours = p->down ? axis == p->given->axis : out_axis == p->given->axis && (keeps || !is_reduced);
    if (is_ours && is_reduced) return pleat_push_refuse(p->push, "a mean over the channels is in the way");
    if (is_ours) {
      p->out->axis = p->down ? out_axis : axis;
      return PLEAT_OK;
    }
    out_axis += keeps || !is_reduced;
  }
  return pleat_push_refuse(p->push, "the channels cannot be followed through a reduction");
}

static pleat_status pass_sum(const passage *p) {
  const pleat_shape *in = input_shape(p), *out = output_shape(p);
  if (p->down) return pleat_push_refuse(p->push, "%s adds a value without the map", p->node->op_type);
  if (p->given->axis != PLEAT_UNIFORM) {
    bool full = in->rank == out->rank && in->rank > p->given->axis &&
                in->dims[p->given->axis].value == (int64_t)p->given->channels;
    if (!full) return pleat_push_refuse(p->push, "%s broadcasts along the channels", p->node->op_type);
  }
  *p->out = *p->given;
  if (p->input == 0) return PLEAT_OK;
  PLEAT_TRY(pleat_affine_make(p->push->ctx, p->given->axis, p->given->channels, p->out));
  memcpy(p->out->scale, p->given->scale, p->given->channels * sizeof(double));
  return PLEAT_OK;
}

static const struct {
  const char *op_type;
  rule pass;
} rules[] = {
    {"Add", pass_sum},
    {"AveragePool", pass_average},
    {"Concat", pass_concat},
    {"Dropout", pass_dropout},
    {"Flatten", pass_reshape},
    {"GlobalAveragePool", pass_average},
    {"GlobalMaxPool", pass_max},
    {"Identity", pass_unchanged},
    {"LeakyRelu", pass_homogeneous},
    {"MaxPool", pass_max},
    {"PRelu", pass_homogeneous},
    {"Pad", pass_pad},
    {"ReduceMean", pass_mean},
    {"Relu", pass_homogeneous},
    {"Reshape", pass_reshape},
    {"Resize", pass_resize},
    {"Slice", pass_slice},
    {"Split", pass_split},
    {"Squeeze", pass_reshape},
    {"Sub", pass_sum},
    {"Sum", pass_sum},
    {"Transpose", pass_transpose},
    {"Unsqueeze", pass_reshape},
    {"Upsample", pass_resize},
};

static rule rule_of(const pleat_node *node) {
  for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
    if (pleat_node_is(node, rules[i].op_type)) return rules[i].pass;
  }
  return NULL;
}

bool pleat_affine_is_transparent(const pleat_node *node) {
  return rule_of(node) != NULL;
}

pleat_status pleat_affine_through(pleat_push *push, const pleat_node *node, size_t input, size_t output, bool down,
                                  const pleat_affine *given, pleat_affine *out_affine) {
  passage p = {push, node, input, output, down, given, out_affine};
  rule pass = rule_of(node);
  return pass != NULL ? pass(&p) : pleat_push_refuse(push, "%s takes no scale and shift", node->op_type);
}

/* What a constant t_c on every input channel adds to the result of a convolution that pads, or of a ConvTranspose: at
 * the borders some taps see no input, so it depends on the position. With G_m(tap) = sum over c of W_mc(tap) t_c it is
 * the same convolution of ones, one channel a group, with the weight G: so the node's own reference kernel computes it
 * in double, with whatever strides, dilations and paddings it has. It is exact, and added behind the node where that
 * takes fewer additions than shifting the node's input would.
 *
 * All positions that see no border have the same response. A large input of a Conv is therefore cut down to its borders
 * and a little between them, by whole strides so that windows meet the end as before, and the response of that is
 * spread to the full size. */
#include <stdlib.h>
#include <string.h>

#include "fold/absorb.h"
#include "graph/infer.h"
#include "ops/conv_shape.h"

enum { LIMIT_RESPONSE = 1 << 26 }; /* multiply-adds that are spent on one response */

/* G: the weight's shape with one input channel a group. */
static pleat_status reduce_weight(pleat_push *push, const pleat_node *node, const pleat_tensor *weight, size_t group,
                                  const pleat_affine *affine, pleat_tensor **out_tensor) {
  int64_t dims[PLEAT_MAX_RANK];
  const bool is_transposed = pleat_node_is(node, "ConvTranspose");
  const size_t rows = (size_t)weight->dims[0], columns = (size_t)weight->dims[1];
  const size_t taps = weight->count / rows / columns, rows_per_group = rows / group;
  memcpy(dims, weight->dims, (size_t)weight->rank * sizeof *dims);
  dims[is_transposed ? 0 : 1] = is_transposed ? (int64_t)group : 1;
  PLEAT_TRY(pleat_tensor_create(PLEAT_DOUBLE, weight->rank, dims, out_tensor, push->ctx->error));
  double *sums = (*out_tensor)->data;
  memset(sums, 0, (*out_tensor)->count * sizeof *sums);
  for (size_t i = 0; i < weight->count; i++) {
    const size_t row = i / taps / columns, column = i / taps % columns;
    const size_t channel = is_transposed ? row : row / rows_per_group * columns + column;
    const size_t place = is_transposed ? row / rows_per_group * columns + column : row;
    const double shift = pleat_affine_shift_at(affine, channel);
    if (shift != 0) sums[place * taps + i % taps] += shift * pleat_load_f64(weight->dtype, weight->data, i);
  }
  return PLEAT_OK;
}

/* By how many steps of the window the input is shorter, and the response with it, on each spatial axis. */
typedef struct cut {
  int64_t strides[PLEAT_MAX_SPATIAL], steps[PLEAT_MAX_SPATIAL];
} cut;

static pleat_status plan_cut(pleat_push *push, const pleat_node *node, const pleat_tensor *weight, cut *out_cut) {
  const pleat_shape *input = &node->inputs[0]->shape;
  const pleat_type weight_type = pleat_type_of_tensor(weight);
  pleat_window window;
  *out_cut = (cut){{0}, {0}};
  if (!pleat_node_is(node, "Conv")) return PLEAT_OK;
  PLEAT_TRY(pleat_window_parse(node, input->rank - 2, &window, push->ctx->error));
  PLEAT_TRY(pleat_window_weight(&window, &weight_type.shape, push->ctx->error));
  for (int i = 0; i < window.spatial; i++) {
    const int64_t stride = window.stride[i], pads = window.pad_begin[i] + window.pad_end[i];
    const int64_t enough =
        4 * (pleat_window_extent(&window, i) + stride) + 2 * pads; /* auto_pad pads by less than that */
    out_cut->strides[i] = stride;
    if (input->dims[i + 2].value > enough) out_cut->steps[i] = (input->dims[i + 2].value - enough) / stride;
  }
  return PLEAT_OK;
}

/* [1, group, spatial...] of ones. */
static pleat_status make_ones(pleat_push *push, const pleat_shape *input, size_t group, const cut *cut,
                              pleat_tensor **out_tensor) {
  int64_t dims[PLEAT_MAX_RANK] = {1, (int64_t)group};
  for (int i = 2; i < input->rank; i++) dims[i] = input->dims[i].value - cut->steps[i - 2] * cut->strides[i - 2];
  PLEAT_TRY(pleat_tensor_create(PLEAT_DOUBLE, input->rank, dims, out_tensor, push->ctx->error));
  for (size_t i = 0; i < (*out_tensor)->count; i++) ((double *)(*out_tensor)->data)[i] = 1;
  return PLEAT_OK;
}

/* Elements of `size` bytes of `from`, whose middle is repeated along all axes from `axis` on to the dimensions of a
 * larger one. Returns where the next is to be written, and moves `from` on. */
static char *spread(const pleat_tensor *tensor, const cut *cut, size_t size, int axis, const char **from, char *to) {
  const int64_t dim = tensor->dims[axis], steps = axis < 2 ? 0 : cut->steps[axis - 2], middle = dim / 2;
  for (int64_t i = 0; i < dim; i++) {
    const char *start = to;
    if (axis + 1 < tensor->rank) {
      to = spread(tensor, cut, size, axis + 1, from, to);
    } else {
      memcpy(to, *from, size);
      *from += size;
      to += size;
    }
    const size_t bytes = (size_t)(to - start);
    for (int64_t k = 0; i == middle && k < steps; k++, to += bytes) memcpy(to, start, bytes);
  }
  return to;
}

static pleat_status spread_map(pleat_push *push, const cut *cut, pleat_tensor **map) {
  const pleat_tensor *small = *map;
  const char *from = small->data;
  pleat_tensor *whole = NULL;
  int64_t dims[PLEAT_MAX_RANK];
  bool is_whole = true;
  for (int i = 0; i < small->rank; i++) {
    dims[i] = small->dims[i] + (i < 2 ? 0 : cut->steps[i - 2]);
    is_whole = is_whole && dims[i] == small->dims[i];
  }
  if (is_whole) return PLEAT_OK;
  PLEAT_TRY(pleat_tensor_create(small->dtype, small->rank, dims, &whole, push->ctx->error));
  spread(small, cut, pleat_dtype_size(small->dtype), 0, &from, whole->data);
  pleat_tensor_release(*map);
  *map = whole;
  return PLEAT_OK;
}

static bool is_uniform(const pleat_tensor *response, size_t channels) {
  const double *values = response->data;
  const size_t positions = response->count / channels;
  for (size_t i = 0; i < response->count; i++) {
    if (values[i] != values[i / positions * positions]) return false;
  }
  return true;
}

/* States the response as sums a channel or, when it is worth it, as a map in the graph's type; while only asking, the
 * map is as large as the response. */
static pleat_status state(pleat_push *push, const pleat_node *node, const pleat_tensor *response, const cut *cut,
                          double **out_sums, pleat_tensor **out_map) {
  const size_t channels = (size_t)response->dims[1], results = pleat_push_sample_size(node->outputs[0]);
  if (is_uniform(response, channels)) {
    double *sums = malloc((channels + 1) * sizeof *sums);
    if (sums == NULL) return PLEAT_OOM(push->ctx->error);
    for (size_t i = 0; i < channels; i++) sums[i] = ((double *)response->data)[i * (response->count / channels)];
    *out_sums = sums;
    return PLEAT_OK;
  }
  if (results >= push->budget - push->spent) {
    return pleat_push_refuse(push,
                             "the shift does not reach the padding of the %s after it, and a bias for each of its %zu "
                             "results costs no less than the %zu additions before it",
                             node->op_type, results, push->budget);
  }
  push->spent += results;
  PLEAT_TRY(pleat_affine_round(push->ctx, node->outputs[0]->dtype, response->rank, response->dims, response->data,
                               "bias", out_map, push->reason));
  return push->commit && *out_map != NULL ? spread_map(push, cut, out_map) : PLEAT_OK;
}

pleat_status pleat_absorb_border(pleat_push *push, pleat_node *node, const pleat_tensor *weight, size_t group,
                                 const pleat_affine *affine, double **out_sums, pleat_tensor **out_map) {
  pleat_status status = PLEAT_OK;
  const pleat_tensor *inputs[3] = {NULL};
  pleat_tensor *ones = NULL, *reduced = NULL, *response[1] = {NULL};
  cut cut;
  const size_t size = pleat_push_sample_size(node->inputs[0]), results = pleat_push_sample_size(node->outputs[0]);
  const size_t taps = weight->count / (size_t)weight->dims[0] / (size_t)weight->dims[1];
  *out_sums = NULL;
  *out_map = NULL;
  if (size == 0 || results == 0) {
    return pleat_push_refuse(push,
                             "the shift does not reach the padding of the %s after it, and the positions are not "
                             "known (state the input's shape to fold it as a bias a position)",
                             node->op_type);
  }
  if (results > LIMIT_RESPONSE / taps || size > LIMIT_RESPONSE / taps || node->input_count > 3 ||
      node->output_count != 1 || node->outputs[0]->dtype == PLEAT_UNDEFINED) {
    return pleat_push_refuse(push, "the shift does not reach the padding of the %s after it", node->op_type);
  }
  PLEAT_CHECK(plan_cut(push, node, weight, &cut));
  PLEAT_CHECK(make_ones(push, &node->inputs[0]->shape, group, &cut, &ones));
  PLEAT_CHECK(reduce_weight(push, node, weight, group, affine, &reduced));
  inputs[0] = ones;
  inputs[1] = reduced;
  PLEAT_CHECK(pleat_node_evaluate(node, inputs, 1, response, push->ctx->error));
  status = state(push, node, response[0], &cut, out_sums, out_map);
fail:
  pleat_tensor_release(ones);
  pleat_tensor_release(reduced);
  pleat_tensor_release(response[0]);
  return status;
}

/* Add, Sub, Mul, Div, Max and Min of two tensors by oneDNN's binary, and Sum of tensors of one shape by its sum.
 *
 * One operand (the first, but for the commutative operators) has the result's shape; the other may be broadcast. The
 * result has the layout of the operand that has one. */
#include <string.h>

#include "ops/onednn/onednn.h"

typedef struct operation {
  const char *op;
  dnnl_alg_kind_t algorithm;
  bool commutes;
} operation;

static const operation operations[] = {{"Add", dnnl_binary_add, true}, {"Sub", dnnl_binary_sub, false},
                                       {"Mul", dnnl_binary_mul, true}, {"Div", dnnl_binary_div, false},
                                       {"Max", dnnl_binary_max, true}, {"Min", dnnl_binary_min, true},
                                       {"Sum", dnnl_binary_add, true}};

static const operation *find(const char *op) {
  for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
    if (strcmp(operations[i].op, op) == 0) return &operations[i];
  }
  return NULL;
}

/* The operand of the result's shape that is oneDNN's first: -1 when there is none. One with a layout is preferred. */
static int first_operand(const pleat_call *call, const operation *operation) {
  const bool fits[] = {pleat_same_shape(call->inputs[0], call->outputs[0]),
                       pleat_same_shape(call->inputs[1], call->outputs[0])};
  if (!operation->commutes || !fits[1]) return fits[0] ? 0 : -1;
  if (!fits[0]) return 1;
  return call->inputs[0]->layout == NULL && call->inputs[1]->layout != NULL;
}

static const char *refuse(const pleat_call *call) {
  const char *reason = pleat_dnn_refuse(call, 0, PLEAT_DNN_MAX_RANK);
  const operation *operation = find(call->node->op_type);
  if (reason != NULL) return reason;
  if (operation == NULL || call->input_count != 2 || call->inputs[1] == NULL) return "not two tensors";
  if (call->inputs[1]->rank > PLEAT_DNN_MAX_RANK || call->outputs[0]->rank < 1)
    return "not for this number of dimensions";
  if (call->version->since < 7 && !pleat_same_shape(call->inputs[0], call->inputs[1]))
    return "broadcasting of old opsets";
  if (first_operand(call, operation) < 0) return "both tensors are broadcast";
  return NULL;
}

/* The second operand with as many dimensions as the first, in a layout that oneDNN takes beside it. */
static dnnl_memory_desc_t second_md(const pleat_tensor *tensor, const pleat_tensor *leader,
                                    const dnnl_memory_desc_t *first) {
  dnnl_dims_t dims;
  const int missing = first->ndims - tensor->rank;
  bool same = true;
  for (int i = 0; i < first->ndims; i++) {
    dims[i] = i < missing ? 1 : tensor->dims[i - missing];
    same = same && dims[i] == first->dims[i];
  }
  if (same) return *first;
  if (missing > 0) return pleat_dnn_plain(first->ndims, dims);
  return pleat_dnn_in(leader->layout, first->ndims, dims); /* oneDNN wants both in blocks, or neither */
}

/* A tensor that fills its layout and a scalar: a vector and a scalar, whatever the layout is. */
static bool is_flat(const pleat_tensor *first, const pleat_tensor *second) {
  return second->count == 1 && pleat_layout_bytes(first) == pleat_bytes(first);
}

static pleat_status prepare(pleat_call *call) {
  static const int64_t one = 1;
  const operation *operation = find(call->node->op_type);
  const int first = first_operand(call, operation), second = 1 - first;
  const pleat_tensor *leader = call->inputs[first];
  const bool flat = is_flat(leader, call->inputs[second]);
  const int64_t count = (int64_t)leader->count;
  const dnnl_memory_desc_t a = flat ? pleat_dnn_plain(1, &count) : pleat_dnn_md(leader);
  const dnnl_memory_desc_t b = flat ? pleat_dnn_plain(1, &one) : second_md(call->inputs[second], leader, &a);
  dnnl_binary_desc_t op;
  dnnl_primitive_desc_t pd = NULL;
  if (pleat_dnn_state(call, sizeof(pleat_dnn)) == NULL) return PLEAT_OOM(call->error);
  PLEAT_TRY(pleat_dnn_input(call, DNNL_ARG_SRC_0, (size_t)first, &a));
  PLEAT_TRY(pleat_dnn_input(call, DNNL_ARG_SRC_1, (size_t)second, &b));
  PLEAT_TRY(pleat_dnn_output(call, DNNL_ARG_DST, 0, &a));
  if (flat && call->wanted != NULL) call->wanted[first] = call->outputs[0]->layout = leader->layout;
  PLEAT_TRY(pleat_dnn_status(dnnl_binary_desc_init(&op, operation->algorithm, &a, &b, &a),
                             "describing a binary operation", call->error));
  PLEAT_TRY(pleat_dnn_describe(call, &op, pleat_dnn_attr(NULL), &pd));
  return pleat_dnn_build(call, pd);
}

static pleat_status binary_prepare(pleat_call *call) {
  return pleat_dnn_prepare(call, prepare);
}

const pleat_kernel pleat_onednn_binary = {.name = "onednn",
                                          .types = PLEAT_M_F32,
                                          .flags = PLEAT_KERNEL_LAYOUTS | PLEAT_KERNEL_BF16,
                                          .inplace = 3u,
                                          .supports = refuse,
                                          .prepare = binary_prepare,
                                          PLEAT_DNN_FUNCTIONS};

/* ---- Sum of three and more ---- */

static const char *refuse_sum(const pleat_call *call) {
  const char *reason = pleat_dnn_refuse(call, 1, PLEAT_DNN_MAX_RANK);
  if (reason != NULL) return reason;
  if (call->input_count < 3) return "not for so few tensors";
  for (size_t i = 0; i < call->input_count; i++) {
    if (!pleat_same_shape(call->inputs[i], call->outputs[0])) return "a tensor is broadcast";
  }
  return NULL;
}

static pleat_status prepare_sum(pleat_call *call) {
  const size_t count = call->input_count;
  dnnl_primitive_desc_t pd = NULL;
  size_t leader = 0;
  if (pleat_dnn_state(call, sizeof(pleat_dnn)) == NULL) return PLEAT_OOM(call->error);
  float *scales = pleat_arena_array(call->arena, count, sizeof *scales);
  dnnl_memory_desc_t *mds = pleat_arena_array(call->arena, count, sizeof *mds);
  dnnl_primitive_attr_t attr = pleat_dnn_attr(NULL);
  if (scales == NULL || mds == NULL || attr == NULL) {
    if (attr != NULL) dnnl_primitive_attr_destroy(attr);
    return PLEAT_OOM(call->error);
  }
  while (leader + 1 < count && call->inputs[leader]->layout == NULL) leader++;
  const dnnl_memory_desc_t md = pleat_dnn_md(call->inputs[leader]);
  pleat_status status = PLEAT_OK;
  for (size_t i = 0; i < count && status == PLEAT_OK; i++) {
    scales[i] = 1;
    mds[i] = md;
    status = pleat_dnn_input(call, DNNL_ARG_MULTIPLE_SRC + (int)i, i, &md);
  }
  if (status == PLEAT_OK) status = pleat_dnn_output(call, DNNL_ARG_DST, 0, &md);
  if (status == PLEAT_OK) {
    status =
        pleat_dnn_status(dnnl_sum_primitive_desc_create(&pd, &md, (int)count, scales, mds, attr, pleat_dnn_engine()),
                         "describing a sum", call->error);
  }
  dnnl_primitive_attr_destroy(attr);
  return status == PLEAT_OK ? pleat_dnn_build(call, pd) : status;
}

static pleat_status sum_prepare(pleat_call *call) {
  return pleat_dnn_prepare(call, prepare_sum);
}

const pleat_kernel pleat_onednn_sum = {.name = "onednn",
                                       .types = PLEAT_M_F32,
                                       .flags = PLEAT_KERNEL_LAYOUTS | PLEAT_KERNEL_BF16,
                                       .supports = refuse_sum,
                                       .prepare = sum_prepare,
                                       PLEAT_DNN_FUNCTIONS};

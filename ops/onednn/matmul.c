/* MatMul, Gemm and pleat.FusedGemm by oneDNN's matmul. A constant right-hand matrix is packed once. In bfloat16, both
 * matrices are rounded, and the result stays float.
 *
 * Gemm: alpha scales the product, beta * C is an operand of a binary post-op (constant C is scaled in prepare), the
 * transpositions are strides. FusedGemm adds Z by a sum post-op and ends with its activation. */
#include <string.h>

#include "ops/onednn/onednn.h"
#include "ops/packs.h"

enum { INPUT_A, INPUT_B, INPUT_C, INPUT_Z };

typedef struct product_state {
  pleat_dnn dnn;
  bool has_addend;
} product_state;

typedef struct product {
  dnnl_memory_desc_t a, b, y;
  float alpha;
  bool has_c;
  dnnl_memory_desc_t c;
} product;

static pleat_status build(pleat_call *call, const product *p, dnnl_post_ops_t post_ops) {
  dnnl_matmul_desc_t op;
  dnnl_primitive_desc_t pd = NULL;
  const bool packs = pleat_call_is_constant(call, INPUT_B);
  dnnl_memory_desc_t any = pleat_dnn_as_bf16(pleat_dnn_any(p->b.ndims, p->b.dims), call->bf16);
  dnnl_primitive_attr_t attr = pleat_dnn_attr(post_ops);
  if (attr != NULL && p->alpha != 1 && dnnl_primitive_attr_set_output_scales(attr, 1, 0, &p->alpha) != dnnl_success) {
    dnnl_primitive_attr_destroy(attr);
    attr = NULL;
  }
  dnnl_status_t status = dnnl_matmul_desc_init(&op, &p->a, packs ? &any : &p->b, NULL, &p->y);
  if (status != dnnl_success && attr != NULL) dnnl_primitive_attr_destroy(attr);
  PLEAT_TRY(pleat_dnn_status(status, "describing a matrix product", call->error));
  PLEAT_TRY(pleat_dnn_describe(call, &op, attr, &pd));
  const dnnl_memory_desc_t packed = *dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
  pleat_status result = packs ? pleat_dnn_constant(call, DNNL_ARG_WEIGHTS, INPUT_B, &p->b, &packed) : PLEAT_OK;
  if (result == PLEAT_OK) return pleat_dnn_build(call, pd);
  dnnl_primitive_desc_destroy(pd);
  return result;
}

static pleat_status add_args(pleat_call *call, const product *p) {
  PLEAT_TRY(pleat_dnn_dense_input(call, DNNL_ARG_SRC, INPUT_A, &p->a));
  if (!pleat_call_is_constant(call, INPUT_B)) PLEAT_TRY(pleat_dnn_dense_input(call, DNNL_ARG_WEIGHTS, INPUT_B, &p->b));
  return pleat_dnn_output(call, DNNL_ARG_DST, 0, &p->y);
}

/* ---- MatMul ---- */

static const char *refuse_matmul(const pleat_call *call) {
  const char *reason = pleat_dnn_refuse(call, 1, PLEAT_DNN_MAX_RANK);
  if (reason != NULL) return reason;
  if (call->inputs[INPUT_B]->rank > PLEAT_DNN_MAX_RANK) return "not for this number of dimensions";
  return pleat_dnn_refuse_bf16(call, INPUT_B);
}

/* Both matrices with as many dimensions as the result would have without dropping any. With one matrix on the right,
 * all rows on the left are one matrix. */
static void matmul_shapes(const pleat_call *call, product *p) {
  const pleat_tensor *a = call->inputs[INPUT_A], *b = call->inputs[INPUT_B];
  dnnl_dims_t a_dims, b_dims, y_dims;
  const int64_t k = a->dims[a->rank - 1], n = b->rank > 1 ? b->dims[b->rank - 1] : 1;
  int rank = a->rank > b->rank ? a->rank : b->rank;
  if (b->rank <= 2) {
    const int64_t flat_a[] = {(int64_t)a->count / k, k}, flat_b[] = {k, n}, flat_y[] = {(int64_t)a->count / k, n};
    p->a = pleat_dnn_plain(2, flat_a);
    p->b = pleat_dnn_plain(2, flat_b);
    p->y = pleat_dnn_plain(2, flat_y);
    return;
  }
  for (int i = 0; i < rank; i++) {
    /* A vector on the left is a row: its dimension of 1 is the one before the last. */
    const int at = i - (rank - a->rank), bt = i - (rank - b->rank);
    a_dims[i] = at >= 0 ? a->dims[at] : 1;
    b_dims[i] = bt >= 0 ? b->dims[bt] : 1;
    y_dims[i] = a_dims[i] > b_dims[i] ? a_dims[i] : b_dims[i];
  }
  y_dims[rank - 2] = a_dims[rank - 2];
  y_dims[rank - 1] = n;
  p->a = pleat_dnn_plain(rank, a_dims);
  p->b = pleat_dnn_plain(rank, b_dims);
  p->y = pleat_dnn_plain(rank, y_dims);
}

static pleat_status prepare_matmul(pleat_call *call) {
  product p = {.alpha = 1};
  if (pleat_dnn_state(call, sizeof(product_state)) == NULL) return PLEAT_OOM(call->error);
  matmul_shapes(call, &p);
  p.a = pleat_dnn_as_bf16(p.a, call->bf16);
  PLEAT_TRY(add_args(call, &p));
  return build(call, &p, NULL);
}

static pleat_status matmul_prepare(pleat_call *call) {
  return pleat_dnn_prepare(call, prepare_matmul);
}

const pleat_kernel pleat_onednn_matmul = {.name = "onednn",
                                          .types = PLEAT_M_F32 | PLEAT_M_HALF,
                                          .flags = PLEAT_KERNEL_LAYOUTS | PLEAT_KERNEL_WIDEN | PLEAT_KERNEL_BF16,
                                          .packs = 1u << INPUT_B,
                                          .supports = refuse_matmul,
                                          .prepare = matmul_prepare,
                                          PLEAT_DNN_FUNCTIONS};

/* ---- Gemm ---- */

static float beta_of(const pleat_call *call) {
  return pleat_in(call, INPUT_C) != NULL ? pleat_attr_float(call->node, "beta") : 0;
}

static const char *refuse_gemm(const pleat_call *call) {
  const char *reason = pleat_dnn_refuse(call, 2, 2);
  if (reason != NULL) return reason;
  if (!pleat_dnn_knows_activation(pleat_attr_string(call->node, "activation"))) return "not with this activation";
  if (beta_of(call) != 0 && beta_of(call) != 1 && call->inputs[INPUT_C]->data == NULL)
    return "beta with a C that is not constant";
  return pleat_dnn_refuse_bf16(call, INPUT_B);
}

static dnnl_memory_desc_t matrix(int64_t rows, int64_t cols, bool transposed) {
  const dnnl_dims_t dims = {rows, cols}, strides = {transposed ? 1 : cols, transposed ? rows : 1};
  dnnl_memory_desc_t md;
  memset(&md, 0, sizeof md);
  dnnl_memory_desc_init_by_strides(&md, 2, dims, dnnl_f32, strides);
  return md;
}

static void gemm_shapes(const pleat_call *call, product *p) {
  const pleat_tensor *a = call->inputs[INPUT_A], *c = pleat_in(call, INPUT_C), *y = call->outputs[0];
  const bool trans_a = pleat_attr_int(call->node, "transA") != 0, trans_b = pleat_attr_int(call->node, "transB") != 0;
  const int64_t k = a->dims[trans_a ? 0 : 1];
  p->a = matrix(y->dims[0], k, trans_a);
  p->b = matrix(k, y->dims[1], trans_b);
  p->y = matrix(y->dims[0], y->dims[1], false);
  p->has_c = c != NULL && beta_of(call) != 0;
  if (p->has_c) p->c = matrix(c->rank > 1 ? c->dims[0] : 1, c->rank > 0 ? c->dims[c->rank - 1] : 1, false);
}

/* C as the binary post-op's operand; a constant one is scaled by beta. */
static pleat_status add_c(pleat_call *call, const product *p, int position) {
  const int id = DNNL_ARG_ATTR_MULTIPLE_POST_OP(position) | DNNL_ARG_SRC_1;
  const pleat_tensor *c = call->inputs[INPUT_C];
  const float beta = beta_of(call);
  if (beta == 1) return pleat_dnn_dense_input(call, id, INPUT_C, &p->c);
  float *scaled = pleat_dnn_floats(call, c->count);
  if (scaled == NULL) return PLEAT_OOM(call->error);
  for (size_t i = 0; i < c->count; i++) scaled[i] = beta * ((const float *)c->data)[i];
  return pleat_dnn_fixed(call, id, scaled, &p->c);
}

/* In the order C, Z, activation. A sum after another post-op would read what that has not written yet, so with Z, C is
 * added behind it: the same two additions. */
static pleat_status gemm_post_ops(pleat_call *call, const product *p, dnnl_post_ops_t post_ops) {
  product_state *state = call->state;
  bool good = true;
  if (pleat_in(call, INPUT_Z) != NULL) {
    state->has_addend = true;
    if (call->wanted != NULL) call->wanted[INPUT_Z] = NULL;
    good = dnnl_post_ops_append_sum(post_ops, 1) == dnnl_success;
  }
  if (good && p->has_c) {
    good = dnnl_post_ops_append_binary(post_ops, dnnl_binary_add, &p->c) == dnnl_success;
    if (good) PLEAT_TRY(add_c(call, p, state->has_addend));
  }
  good = good && pleat_dnn_append_activation(post_ops, pleat_attr_string(call->node, "activation"),
                                             pleat_attr_float(call->node, "activation_alpha"),
                                             pleat_attr_float(call->node, "activation_beta"));
  return good ? PLEAT_OK : PLEAT_OOM(call->error);
}

static pleat_status prepare_gemm(pleat_call *call) {
  product p = {.alpha = pleat_attr_float(call->node, "alpha")};
  dnnl_post_ops_t post_ops = NULL;
  if (pleat_dnn_state(call, sizeof(product_state)) == NULL) return PLEAT_OOM(call->error);
  gemm_shapes(call, &p);
  p.a = pleat_dnn_as_bf16(p.a, call->bf16);
  PLEAT_TRY(add_args(call, &p));
  if (dnnl_post_ops_create(&post_ops) != dnnl_success) return PLEAT_OOM(call->error);
  pleat_status status = gemm_post_ops(call, &p, post_ops);
  if (status == PLEAT_OK) return build(call, &p, post_ops);
  dnnl_post_ops_destroy(post_ops);
  return status;
}

static pleat_status gemm_prepare(pleat_call *call) {
  return pleat_dnn_prepare(call, prepare_gemm);
}

static pleat_status gemm_run(const pleat_call *call) {
  const product_state *state = call->state;
  if (state->has_addend && call->outputs[0]->data != call->inputs[INPUT_Z]->data)
    memcpy(call->outputs[0]->data, call->inputs[INPUT_Z]->data, pleat_bytes(call->outputs[0]));
  return pleat_dnn_run(call);
}

const pleat_kernel pleat_onednn_gemm = {.name = "onednn",
                                        .types = PLEAT_M_F32 | PLEAT_M_HALF,
                                        .flags = PLEAT_KERNEL_LAYOUTS | PLEAT_KERNEL_WIDEN | PLEAT_KERNEL_BF16,
                                        .inplace = 1u << INPUT_Z,
                                        .packs = 1u << INPUT_B,
                                        .supports = refuse_gemm,
                                        .prepare = gemm_prepare,
                                        .run = gemm_run,
                                        .release = pleat_dnn_release,
                                        .open = pleat_dnn_open,
                                        .close = pleat_dnn_close};

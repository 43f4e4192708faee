/* oneDNN's memory descriptors for physical layouts (ops/layout.h) and back, and its reorder.
 *
 * A descriptor that only calls a dense tensor by another name (blocks of channels over a single position) is dense to
 * the planner: no reorder is needed at such a border. */
#include <string.h>

#include "ops/onednn/onednn.h"

/* oneDNN's names, by rank (from PLEAT_LAYOUT_MIN_RANK on), of blocks of 16, 8 and 4 channels and of channels last. */
enum { USUAL = 4 };
static const dnnl_format_tag_t usual_tags[][USUAL] = {{dnnl_aBc16b, dnnl_aBc8b, dnnl_aBc4b, dnnl_acb},
                                                      {dnnl_aBcd16b, dnnl_aBcd8b, dnnl_aBcd4b, dnnl_acdb},
                                                      {dnnl_aBcde16b, dnnl_aBcde8b, dnnl_aBcde4b, dnnl_acdeb}};
static const int usual_blocks[USUAL] = {16, 8, 4, 0};

dnnl_memory_desc_t pleat_dnn_plain(int rank, const int64_t *dims) {
  static const dnnl_format_tag_t tags[PLEAT_DNN_MAX_RANK + 1] = {0,         dnnl_a,     dnnl_ab,    dnnl_abc,
                                                                 dnnl_abcd, dnnl_abcde, dnnl_abcdef};
  dnnl_memory_desc_t md;
  memset(&md, 0, sizeof md);
  dnnl_memory_desc_init_by_tag(&md, rank, dims, dnnl_f32, tags[rank]);
  return md;
}

dnnl_memory_desc_t pleat_dnn_any(int rank, const int64_t *dims) {
  dnnl_memory_desc_t md;
  memset(&md, 0, sizeof md);
  dnnl_memory_desc_init_by_tag(&md, rank, dims, dnnl_f32, dnnl_format_tag_any);
  return md;
}

static bool has_avx512(void) {
  return (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core;
}

const pleat_layout *pleat_dnn_best_blocks(void) {
  return pleat_layout_blocked(has_avx512() ? 16 : 8);
}

dnnl_memory_desc_t pleat_dnn_as_bf16(dnnl_memory_desc_t md, bool bf16) {
  md.data_type = bf16 ? dnnl_bf16 : dnnl_f32;
  return md;
}

dnnl_memory_desc_t pleat_dnn_in(const pleat_layout *layout, int rank, const int64_t *dims) {
  dnnl_memory_desc_t md;
  int i = 0;
  if (layout == NULL || layout->block == 1)
    return pleat_dnn_as_bf16(pleat_dnn_plain(rank, dims), pleat_layout_is_bf16(layout));
  while (usual_blocks[i] != layout->block) i++;
  memset(&md, 0, sizeof md);
  dnnl_memory_desc_init_by_tag(&md, rank, dims, dnnl_f32, usual_tags[rank - PLEAT_LAYOUT_MIN_RANK][i]);
  return pleat_dnn_as_bf16(md, layout->bf16);
}

dnnl_memory_desc_t pleat_dnn_md(const pleat_tensor *tensor) {
  return pleat_dnn_in(tensor->layout, tensor->rank, tensor->dims);
}

bool pleat_dnn_layout(const dnnl_memory_desc_t *md, const pleat_layout **out_layout) {
  const bool bf16 = md->data_type == dnnl_bf16;
  const dnnl_memory_desc_t plain = pleat_dnn_as_bf16(pleat_dnn_plain(md->ndims, md->dims), bf16);
  *out_layout = pleat_layout_as(NULL, bf16);
  if (dnnl_memory_desc_equal(md, &plain)) return true;
  if (md->ndims < PLEAT_LAYOUT_MIN_RANK || md->ndims > PLEAT_LAYOUT_MAX_RANK) return false;
  for (int i = 0; i < USUAL; i++) {
    const pleat_layout *order = usual_blocks[i] > 0 ? pleat_layout_blocked(usual_blocks[i]) : &pleat_channels_last;
    const pleat_layout *layout = pleat_layout_as(order, bf16);
    const dnnl_memory_desc_t usual = pleat_dnn_in(layout, md->ndims, md->dims);
    if (!dnnl_memory_desc_equal(md, &usual)) continue;
    *out_layout = pleat_layout_plainest(layout, md->ndims, md->dims);
    return true;
  }
  return false;
}

/* A tensor for the reorder: a dense one, whose rank may be any, is a row. */
static dnnl_memory_desc_t reorder_md(const pleat_tensor *tensor, bool as_row) {
  const dnnl_dims_t count = {(int64_t)tensor->count};
  if (!as_row) return pleat_dnn_md(tensor);
  return pleat_dnn_as_bf16(pleat_dnn_plain(1, count), pleat_layout_is_bf16(tensor->layout));
}

static pleat_status prepare_reorder(pleat_call *call) {
  const pleat_tensor *x = call->inputs[0], *y = call->outputs[0];
  const pleat_layout *const wanted = x->layout, *const made = y->layout;
  const bool as_row = pleat_layout_is_dense(wanted, x->rank, x->dims) && pleat_layout_is_dense(made, y->rank, y->dims);
  if (x->count == 0) return pleat_fail(call->error, PLEAT_UNSUPPORTED, "an empty tensor");
  const dnnl_memory_desc_t from = reorder_md(x, as_row), to = reorder_md(y, as_row);
  dnnl_primitive_desc_t pd = NULL;
  if (pleat_dnn_state(call, sizeof(pleat_dnn)) == NULL) return PLEAT_OOM(call->error);
  PLEAT_TRY(pleat_dnn_input(call, DNNL_ARG_FROM, 0, &from));
  PLEAT_TRY(pleat_dnn_output(call, DNNL_ARG_TO, 0, &to));
  if (call->wanted != NULL) call->wanted[0] = wanted;
  call->outputs[0]->layout = made;
  dnnl_primitive_attr_t attr = pleat_dnn_attr(NULL);
  if (attr == NULL) return PLEAT_OOM(call->error);
  const int before = pleat_dnn_enter(call->threads);
  dnnl_status_t status =
      dnnl_reorder_primitive_desc_create(&pd, &from, pleat_dnn_engine(), &to, pleat_dnn_engine(), attr);
  pleat_dnn_leave(before);
  dnnl_primitive_attr_destroy(attr);
  PLEAT_TRY(pleat_dnn_status(status, "describing a reorder", call->error));
  return pleat_dnn_build(call, pd);
}

static pleat_status reorder_prepare(pleat_call *call) {
  return pleat_dnn_prepare(call, prepare_reorder);
}

const pleat_kernel pleat_onednn_reorder = {.name = "onednn reorder",
                                           .types = PLEAT_M_F32,
                                           .flags = PLEAT_KERNEL_LAYOUTS,
                                           .prepare = reorder_prepare,
                                           PLEAT_DNN_FUNCTIONS};

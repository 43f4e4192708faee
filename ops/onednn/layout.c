/* oneDNN's memory descriptors as physical layouts, and the kernel that takes a tensor from one to another.
 *
 * A layout that only calls a dense tensor by another name (blocks of channels over a single position) is dense to the
 * planner: no reorder is needed at such a border. */
#include <stdio.h>
#include <string.h>

#include "ops/onednn/onednn.h"

typedef struct dnn_layout {
  pleat_layout base;
  dnnl_memory_desc_t md;
} dnn_layout;

static const pleat_layout_family family;

static const dnnl_memory_desc_t *md_of(const pleat_layout *layout) {
  return &((const dnn_layout *)(const void *)layout)->md;
}

/* ---- descriptors ---- */

/* The layouts that convolutions choose, by rank (from 3 on): channels in blocks of 16, 8 and 4, and channels last. */
enum { USUAL = 4 };
static const dnnl_format_tag_t usual_tags[][USUAL] = {{dnnl_aBc16b, dnnl_aBc8b, dnnl_aBc4b, dnnl_acb},
                                                      {dnnl_aBcd16b, dnnl_aBcd8b, dnnl_aBcd4b, dnnl_acdb},
                                                      {dnnl_aBcde16b, dnnl_aBcde8b, dnnl_aBcde4b, dnnl_acdeb}};
static const char *const usual_names[USUAL] = {"16 channels blocked", "8 channels blocked", "4 channels blocked",
                                               "channels last"};

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

int64_t pleat_dnn_best_block(void) {
  return has_avx512() ? 16 : 8;
}

dnnl_memory_desc_t pleat_dnn_blocked(int rank, const int64_t *dims) {
  dnnl_memory_desc_t md;
  memset(&md, 0, sizeof md);
  dnnl_memory_desc_init_by_tag(&md, rank, dims, dnnl_f32, usual_tags[rank - 3][has_avx512() ? 0 : 1]);
  return md;
}

dnnl_memory_desc_t pleat_dnn_md(const pleat_tensor *tensor) {
  if (tensor->layout != NULL && tensor->layout->family == &family) return *md_of(tensor->layout);
  return pleat_dnn_plain(tensor->rank, tensor->dims);
}

/* The index of a usual layout; USUAL when it is none. */
static int usual_of(const dnnl_memory_desc_t *md) {
  dnnl_memory_desc_t other;
  if (md->ndims < 3 || md->ndims > 5) return USUAL;
  for (int i = 0; i < USUAL; i++) {
    if (dnnl_memory_desc_init_by_tag(&other, md->ndims, md->dims, dnnl_f32, usual_tags[md->ndims - 3][i]) !=
        dnnl_success)
      continue;
    if (dnnl_memory_desc_equal(md, &other)) return i;
  }
  return USUAL;
}

bool pleat_dnn_like(const dnnl_memory_desc_t *md, const int64_t *dims, dnnl_memory_desc_t *out_md) {
  const int usual = usual_of(md);
  if (usual == USUAL) return false;
  memset(out_md, 0, sizeof *out_md);
  return dnnl_memory_desc_init_by_tag(out_md, md->ndims, dims, dnnl_f32, usual_tags[md->ndims - 3][usual]) ==
         dnnl_success;
}

int64_t pleat_dnn_block(const dnnl_memory_desc_t *md) {
  int64_t block = 1;
  if (md->format_kind != dnnl_blocked) return 1;
  for (int i = 0; i < md->format_desc.blocking.inner_nblks; i++) block *= md->format_desc.blocking.inner_blks[i];
  return block;
}

bool pleat_dnn_is_plain(const dnnl_memory_desc_t *md) {
  const dnnl_memory_desc_t plain = pleat_dnn_plain(md->ndims, md->dims);
  if (dnnl_memory_desc_equal(md, &plain)) return true;
  if (md->format_kind != dnnl_blocked || usual_of(md) == USUAL) return false;
  if (memcmp(md->dims, md->padded_dims, (size_t)md->ndims * sizeof md->dims[0]) != 0) return false;
  for (int i = 2; i < md->ndims; i++) {
    if (md->dims[i] != 1) return false; /* with a single position, channels follow each other in any layout */
  }
  return true;
}

bool pleat_dnn_layout(pleat_arena *arena, const dnnl_memory_desc_t *md, const pleat_layout **out_layout) {
  *out_layout = NULL;
  if (pleat_dnn_is_plain(md)) return true;
  dnn_layout *made = pleat_arena_alloc(arena, sizeof *made);
  if (made == NULL) return false;
  made->base.family = &family;
  made->md = *md;
  *out_layout = &made->base;
  return true;
}

/* ---- the family ---- */

static size_t layout_bytes(const pleat_layout *layout) {
  return dnnl_memory_desc_get_size(md_of(layout));
}

static bool layout_equal(const pleat_layout *a, const pleat_layout *b) {
  return dnnl_memory_desc_equal(md_of(a), md_of(b)) != 0;
}

static const char *layout_text(const pleat_layout *layout, char *buffer, size_t size) {
  const int usual = usual_of(md_of(layout));
  snprintf(buffer, size, "%s", usual < USUAL ? usual_names[usual] : "oneDNN's own layout");
  return buffer;
}

static pleat_status prepare_reorder(pleat_call *call) {
  const dnnl_memory_desc_t from = pleat_dnn_md(call->inputs[0]), to = pleat_dnn_md(call->outputs[0]);
  dnnl_primitive_desc_t pd = NULL;
  if (pleat_dnn_state(call, sizeof(pleat_dnn)) == NULL) return PLEAT_OOM(call->error);
  PLEAT_TRY(pleat_dnn_input(call, DNNL_ARG_FROM, 0, &from));
  PLEAT_TRY(pleat_dnn_output(call, DNNL_ARG_TO, 0, &to));
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

static const pleat_kernel reorder_kernel = {.name = "onednn reorder",
                                            .types = PLEAT_M_F32,
                                            .flags = PLEAT_KERNEL_LAYOUTS,
                                            .prepare = reorder_prepare,
                                            PLEAT_DNN_FUNCTIONS};

static const pleat_layout_family family = {
    .name = "onednn", .bytes = layout_bytes, .equal = layout_equal, .text = layout_text, .reorder = &reorder_kernel};

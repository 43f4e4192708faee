/* Split: cuts a tensor into parts along one axis. The parts' sizes come from the attribute `split` (opsets 1 to 12), an
 * input of that name (1, and from 13 on), or are equal, where from opset 18 on the last part may be smaller. A tensor
 * in a physical layout stays in it when all parts but the last fill their blocks. Where nothing lies before the axis in
 * memory, the parts are pieces of the input, which the plan may use in place. */
#include <inttypes.h>

#include "ops/layout.h"
#include "ops/movement.h"

enum { UNEVEN = 1u << 0 /* equal parts may leave a smaller last one */ };

static const pleat_op_version versions[] = {{1, 1, 2, 1, -1, 0, 0},       {2, 1, 1, 1, -1, 0, 0},
                                            {11, 1, 1, 1, -1, 0, 0},      {13, 1, 2, 1, -1, 0, 0},
                                            {18, 1, 2, 1, -1, 0, UNEVEN}, {0}};
static const pleat_op_attr attrs[] = {{.name = "axis", .type = PLEAT_ATTR_INT},
                                      {.name = "split", .type = PLEAT_ATTR_INTS, .until = 12},
                                      {.name = "num_outputs", .type = PLEAT_ATTR_INT, .since = 18},
                                      {0}};

/* Where the sizes come from: a list of numbers, a tensor, or equal chunks. */
typedef struct parts {
  bool known;
  size_t count;
  const int64_t *list;
  const pleat_tensor *tensor;
  int64_t dim, chunk;
} parts;

static int64_t part_size(const parts *p, size_t i) {
  if (p->list != NULL) return p->list[i];
  if (p->tensor != NULL) return pleat_index_at(p->tensor, i);
  /* i * chunk stays small: there are at most as many full chunks as fit into dim. */
  if (p->chunk == 0 || (int64_t)i > p->dim / p->chunk) return 0;
  int64_t rest = p->dim - (int64_t)i * p->chunk;
  return rest < p->chunk ? rest : p->chunk;
}

static pleat_status check_sizes(const parts *p, size_t found, pleat_error *error) {
  if (found != p->count)
    return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "'split' lists %zu sizes for %zu outputs", found, p->count);
  int64_t sum = 0;
  for (size_t i = 0; i < p->count; i++) {
    int64_t size = part_size(p, i);
    if (size < 0) return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "'split' has the negative size %" PRId64, size);
    if (!pleat_add_i64(sum, size, &sum))
      return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "the sizes of 'split' overflow");
  }
  if (p->dim >= 0 && sum != p->dim)
    return pleat_fail(error, PLEAT_SHAPE_MISMATCH,
                      "the sizes of 'split' add up to %" PRId64 ", the dimension is %" PRId64, sum, p->dim);
  return PLEAT_OK;
}

/* `given`: the input `split` is there; `tensor` its value when that is known. `dim` -1: not known. */
static pleat_status find_parts(const pleat_node *node, const pleat_op_version *version, bool given,
                               const pleat_tensor *tensor, int64_t dim, size_t outputs, parts *out,
                               pleat_error *error) {
  *out = (parts){.count = outputs, .dim = dim};
  size_t listed = pleat_attr_ints(node, "split", &out->list);
  if (listed == 0) out->list = NULL;
  if (given && tensor == NULL) return PLEAT_OK;
  if (given) {
    if (tensor->rank > 1 || (tensor->dtype != PLEAT_INT64 && tensor->dtype != PLEAT_INT32))
      return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "input 'split': expected a list of int64, found %s of rank %d",
                        pleat_dtype_name(tensor->dtype), tensor->rank);
    out->list = NULL;
    out->tensor = tensor;
    listed = tensor->count;
  }
  if (out->list != NULL || out->tensor != NULL) {
    out->known = true;
    return check_sizes(out, listed, error);
  }
  if (pleat_attr_present(node, "num_outputs") && pleat_attr_int(node, "num_outputs") != (int64_t)outputs)
    return pleat_fail(error, PLEAT_MALFORMED_MODEL, "num_outputs is %" PRId64 ", the node has %zu outputs",
                      pleat_attr_int(node, "num_outputs"), outputs);
  if (dim < 0) return PLEAT_OK;
  int64_t count = (int64_t)outputs, left = dim % count;
  if (left != 0 && !(version->flags & UNEVEN))
    return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "dimension %" PRId64 " does not split into %zu equal parts", dim,
                      outputs);
  out->chunk = dim / count + (left != 0);
  out->known = true;
  return PLEAT_OK;
}

static pleat_status infer(pleat_infer *ctx) {
  PLEAT_TRY(pleat_require_tensors(ctx));
  const pleat_type *in = &ctx->inputs[0];
  for (size_t i = 0; i < ctx->output_count; i++) ctx->outputs[i].dtype = in->dtype;
  if (in->shape.rank < 0) return PLEAT_OK;
  int axis = 0;
  PLEAT_TRY(pleat_attr_axis(ctx->node, "axis", in->shape.rank, &axis, ctx->error));
  bool given = pleat_infer_has(ctx, 1);
  parts p;
  PLEAT_TRY(find_parts(ctx->node, ctx->version, given, given ? ctx->inputs[1].data : NULL, in->shape.dims[axis].value,
                       ctx->output_count, &p, ctx->error));
  for (size_t i = 0; i < ctx->output_count; i++) {
    ctx->outputs[i].shape = in->shape;
    if (ctx->output_count == 1 && !p.known && !given) continue; /* one part: the symbol stays */
    ctx->outputs[i].shape.dims[axis] = p.known ? pleat_dim_known(part_size(&p, i)) : pleat_dim_unknown();
  }
  return PLEAT_OK;
}

/* The sizes of a call's parts, which infer has checked. */
static pleat_status call_parts(const pleat_call *call, int *out_axis, parts *p) {
  const pleat_tensor *in = pleat_in(call, 0), *sizes = pleat_in(call, 1);
  PLEAT_TRY(pleat_attr_axis(call->node, "axis", in->rank, out_axis, call->error));
  return find_parts(call->node, call->version, sizes != NULL, sizes, in->dims[*out_axis], call->output_count, p,
                    call->error);
}

/* Elements of a part in each run around the axis. */
static int64_t part_run(const pleat_layout *layout, const pleat_tensor *in, int axis, int64_t size) {
  int64_t dims[PLEAT_MAX_RANK], outer, run;
  memcpy(dims, in->dims, sizeof dims);
  dims[axis] = size;
  pleat_layout_span(layout, in->rank, dims, axis, &outer, &run);
  return run;
}

/* ---- in a layout ---- */

static const char *refuse(const pleat_call *call) {
  if (call->inputs[0]->layout == NULL) return "a dense tensor";
  if (pleat_in(call, 1) != NULL && call->inputs[1]->data == NULL) return "sizes that are not constant";
  return NULL;
}

static pleat_status prepare(pleat_call *call) {
  const pleat_layout *layout = call->inputs[0]->layout;
  int axis = 0;
  parts p;
  PLEAT_TRY(call_parts(call, &axis, &p));
  for (size_t i = 0; axis == 1 && i + 1 < call->output_count; i++) {
    if (!pleat_layout_fills(layout, part_size(&p, i)))
      return pleat_fail(call->error, PLEAT_UNSUPPORTED, "parts that do not fill their blocks of channels");
  }
  for (size_t i = 0; i < call->output_count; i++) {
    if (call->outputs[i] != NULL) call->outputs[i]->layout = layout;
  }
  return PLEAT_OK;
}

/* ---- in any layout ---- */

static void pieces(const pleat_call *call, size_t *out_offsets) {
  const pleat_tensor *in = pleat_in(call, 0), *sizes = pleat_in(call, 1);
  const pleat_layout *layout = call->wanted[0];
  int64_t outer, row, offset = 0;
  int axis = 0;
  parts p;
  for (size_t i = 0; i < call->output_count; i++) out_offsets[i] = PLEAT_NO_OFFSET;
  if ((sizes != NULL && sizes->data == NULL) || call_parts(call, &axis, &p) != PLEAT_OK) return;
  pleat_layout_span(layout, in->rank, in->dims, axis, &outer, &row);
  for (size_t i = 0; i < call->output_count && outer == 1; i++) {
    out_offsets[i] = (size_t)offset * pleat_layout_element(layout, in->dtype);
    offset += part_run(layout, in, axis, part_size(&p, i));
  }
}

static pleat_status run(const pleat_call *call) {
  const pleat_tensor *in = pleat_in(call, 0);
  const size_t size = pleat_layout_element(in->layout, in->dtype);
  int64_t outer, row;
  int axis = 0;
  parts p;
  PLEAT_TRY(call_parts(call, &axis, &p));
  if (in->count == 0) return PLEAT_OK;
  pleat_layout_span(in->layout, in->rank, in->dims, axis, &outer, &row);
  const char *src = in->data;
  for (size_t i = 0; i < call->output_count; i++) {
    const int64_t part = part_run(in->layout, in, axis, part_size(&p, i));
    const pleat_tensor *out = call->outputs[i];
    if (out != NULL && part > 0 && out->data != src)
      pleat_copy_strided(size, 2, (int64_t[]){outer, part}, out->data, (int64_t[]){part, 1}, src, (int64_t[]){row, 1},
                         call->threads);
    src += (size_t)part * size;
  }
  return PLEAT_OK;
}

static const pleat_kernel copy = {.name = "copy",
                                  .flags = PLEAT_KERNEL_LAYOUTS | PLEAT_KERNEL_CUTS | PLEAT_KERNEL_BF16,
                                  .supports = refuse,
                                  .prepare = prepare,
                                  .run = run,
                                  .pieces = pieces};
static const pleat_kernel reference = {.name = "reference", .flags = PLEAT_KERNEL_CUTS, .run = run, .pieces = pieces};
const pleat_op_def pleat_op_Split = {.name = "Split",
                                     .domain = "",
                                     .versions = versions,
                                     .attrs = attrs,
                                     .infer = infer,
                                     .apart = pleat_apart_axis,
                                     .kernels = (const pleat_kernel *const[]){&copy, &reference, NULL}};

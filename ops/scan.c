/* Scan: a body that runs once for each slice of its scanned inputs, and hands states to itself. Only types are told
 * here; the session runs it (runtime/session/flow_scan.c).
 *
 * The body takes the states and one slice of each scanned input; it gives the states, of the shapes that it took, and
 * one slice of each stacked output. Opset 8 does so for every sequence of a batch. */
#include "ops/scan.h"

#include "ops/flow.h"

enum { BATCHED = 1 };

/* Opset 8's first input may be left out, so nothing is said of how many there are. */
static const pleat_op_version versions[] = {{8, 0, -1, 1, -1, 0, BATCHED}, {9, 1, -1, 1, -1, 0, 0},
                                            {11, 1, -1, 1, -1, 0, 0},      {16, 1, -1, 1, -1, 0, 0},
                                            {19, 1, -1, 1, -1, 0, 0},      {21, 1, -1, 1, -1, 0, 0},
                                            {23, 1, -1, 1, -1, 0, 0},      {24, 1, -1, 1, -1, 0, 0},
                                            {25, 1, -1, 1, -1, 0, 0},      {0}};

static const pleat_op_attr attrs[] = {{.name = "body", .type = PLEAT_ATTR_GRAPH, .required = true},
                                      {.name = "num_scan_inputs", .type = PLEAT_ATTR_INT, .required = true},
                                      {.name = "directions", .type = PLEAT_ATTR_INTS, .until = 8},
                                      {.name = "scan_input_axes", .type = PLEAT_ATTR_INTS, .since = 9},
                                      {.name = "scan_input_directions", .type = PLEAT_ATTR_INTS, .since = 9},
                                      {.name = "scan_output_axes", .type = PLEAT_ATTR_INTS, .since = 9},
                                      {.name = "scan_output_directions", .type = PLEAT_ATTR_INTS, .since = 9},
                                      {0}};

static const char *const bodies[] = {"body", NULL};

pleat_status pleat_scan_form_of(const pleat_node *node, pleat_scan_form *out_form, pleat_error *error) {
  const int64_t scanned = pleat_attr_int(node, "num_scan_inputs");
  pleat_scan_form form = {.batched = (node->version->flags & BATCHED) != 0};
  form.first = form.batched ? 1 : 0;
  const size_t given = node->input_count < form.first ? 0 : node->input_count - form.first;
  if (scanned < 1 || (uint64_t)scanned > given) {
    return pleat_fail(error, PLEAT_MALFORMED_MODEL, "num_scan_inputs is %lld, expected 1 to %zu", (long long)scanned,
                      given);
  }
  form.scan_count = (size_t)scanned;
  form.state_count = given - form.scan_count;
  *out_form = form;
  return PLEAT_OK;
}

pleat_status pleat_scan_axis(const pleat_node *node, const pleat_scan_form *form, bool is_output, size_t i, int rank,
                             int *out_axis, pleat_error *error) {
  const int64_t *axes = NULL;
  const char *name = is_output ? "scan_output_axes" : "scan_input_axes";
  *out_axis = form->batched ? 1 : 0;
  const size_t count = form->batched ? 0 : pleat_attr_ints(node, name, &axes);
  if (i < count && !pleat_axis(axes[i], rank, out_axis)) {
    return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "%s[%zu] is %lld, but the tensor has %d dimensions", name, i,
                      (long long)axes[i], rank);
  }
  if (*out_axis < rank) return PLEAT_OK;
  return pleat_fail(error, PLEAT_SHAPE_MISMATCH, "scanned input %zu has %d dimensions: there is none to scan", i, rank);
}

bool pleat_scan_is_reversed(const pleat_node *node, const pleat_scan_form *form, bool is_output, size_t i) {
  const int64_t *directions = NULL;
  if (form->batched && is_output) return false;
  const char *name = form->batched ? "directions" : is_output ? "scan_output_directions" : "scan_input_directions";
  return i < pleat_attr_ints(node, name, &directions) && directions[i] != 0;
}

/* The shape without dimension `axis`. */
static pleat_shape without(const pleat_shape *shape, int axis) {
  pleat_shape less = pleat_shape_of_rank(shape->rank - 1);
  for (int d = 0, k = 0; d < shape->rank; d++) {
    if (d != axis) less.dims[k++] = shape->dims[d];
  }
  return less;
}

/* The shape with `dim` put in as dimension `axis`. */
static pleat_shape with(const pleat_shape *shape, int axis, pleat_dim dim) {
  pleat_shape more = pleat_shape_of_rank(shape->rank + 1);
  for (int d = 0, k = 0; d < more.rank; d++) more.dims[d] = d == axis ? dim : shape->dims[k++];
  return more;
}

static pleat_status enter(pleat_infer *ctx) {
  pleat_scan_form form = {0};
  pleat_type *inputs = ctx->bodies[0].inputs;
  PLEAT_TRY(pleat_scan_form_of(ctx->node, &form, ctx->error));
  PLEAT_TRY(pleat_flow_body_inputs(ctx, form.state_count + form.scan_count));
  for (size_t i = 0; i < form.state_count + form.scan_count; i++) {
    const pleat_type *given = &ctx->inputs[form.first + i];
    if (!given->present || given->kind != PLEAT_KIND_TENSOR) {
      return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "input %zu must be a tensor", form.first + i);
    }
    inputs[i].kind = PLEAT_KIND_TENSOR;
    inputs[i].dtype = given->dtype;
    inputs[i].shape = given->shape;
    if (given->shape.rank < 0) continue;
    if (i >= form.state_count) {
      int axis = 0;
      PLEAT_TRY(pleat_scan_axis(ctx->node, &form, false, i - form.state_count, given->shape.rank, &axis, ctx->error));
      inputs[i].shape = without(&inputs[i].shape, axis);
    }
    if (!form.batched) continue;
    if (inputs[i].shape.rank < 1) {
      return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "input %zu has no dimension of the batch", form.first + i);
    }
    inputs[i].shape = without(&inputs[i].shape, 0);
  }
  return PLEAT_OK;
}

/* How many slices there are: all scanned inputs have to agree. */
static pleat_status slice_count(pleat_infer *ctx, const pleat_scan_form *form, pleat_dim *out_count) {
  *out_count = pleat_dim_unknown();
  for (size_t i = 0; i < form->scan_count; i++) {
    const pleat_shape *shape = &ctx->inputs[form->first + form->state_count + i].shape;
    int axis = 0;
    if (shape->rank < 0) continue;
    PLEAT_TRY(pleat_scan_axis(ctx->node, form, false, i, shape->rank, &axis, ctx->error));
    const pleat_dim dim = shape->dims[axis];
    if (pleat_dim_is_known(*out_count) && pleat_dim_is_known(dim) && dim.value != out_count->value) {
      return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "scanned input %zu has %lld slices, others have %lld", i,
                        (long long)dim.value, (long long)out_count->value);
    }
    if (!pleat_dim_is_known(*out_count)) *out_count = dim;
  }
  return PLEAT_OK;
}

static pleat_status infer_output(pleat_infer *ctx, const pleat_scan_form *form, size_t i, pleat_dim count,
                                 pleat_dim batch) {
  const pleat_type *inner = &ctx->bodies[0].outputs[i];
  pleat_type *out = &ctx->outputs[i];
  if (inner->kind != PLEAT_KIND_TENSOR || inner->shape.rank > PLEAT_MAX_RANK - 2) {
    return pleat_fail(ctx->error, PLEAT_UNSUPPORTED, "output %zu: only tensors of at most %d dimensions are stacked", i,
                      (int)PLEAT_MAX_RANK - 2);
  }
  out->dtype = inner->dtype;
  out->shape = inner->shape;
  if (inner->shape.rank < 0) return PLEAT_OK;
  if (form->batched) out->shape = with(&out->shape, 0, batch);
  if (i < form->state_count) return PLEAT_OK;
  int axis = 0;
  PLEAT_TRY(pleat_scan_axis(ctx->node, form, true, i - form->state_count, out->shape.rank + 1, &axis, ctx->error));
  out->shape = with(&out->shape, axis, count);
  return PLEAT_OK;
}

static pleat_status infer(pleat_infer *ctx) {
  pleat_scan_form form = {0};
  pleat_dim count = pleat_dim_unknown(), batch = pleat_dim_unknown();
  const pleat_body_types *body = &ctx->bodies[0];
  PLEAT_TRY(pleat_scan_form_of(ctx->node, &form, ctx->error));
  if (body->output_count < form.state_count || ctx->output_count > body->output_count) {
    return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL,
                      "the body has %zu outputs, but there are %zu states, and %zu "
                      "outputs of the node",
                      body->output_count, form.state_count, ctx->output_count);
  }
  PLEAT_TRY(slice_count(ctx, &form, &count));
  for (size_t i = form.first; form.batched && i < ctx->input_count; i++) {
    if (ctx->inputs[i].shape.rank > 0 && !pleat_dim_is_known(batch)) batch = ctx->inputs[i].shape.dims[0];
  }
  for (size_t i = 0; i < form.state_count; i++) {
    const pleat_type *before = &ctx->bodies[0].inputs[i], *after = &body->outputs[i];
    pleat_shape merged;
    if (before->dtype != PLEAT_UNDEFINED && after->dtype != PLEAT_UNDEFINED && before->dtype != after->dtype) {
      return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "state %zu is %s, but the body gives %s", i,
                        pleat_dtype_name(before->dtype), pleat_dtype_name(after->dtype));
    }
    if (!pleat_shape_merge(&before->shape, &after->shape, &merged)) {
      return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "the body changes the shape of state %zu", i);
    }
  }
  for (size_t i = 0; i < ctx->output_count; i++) {
    if (ctx->outputs[i].present) PLEAT_TRY(infer_output(ctx, &form, i, count, batch));
  }
  return PLEAT_OK;
}

const pleat_op_def pleat_op_Scan = {.name = "Scan",
                                    .domain = "",
                                    .versions = versions,
                                    .attrs = attrs,
                                    .infer = infer,
                                    .bodies = bodies,
                                    .enter = enter};

/* Loop: a body that runs a number of times, or while a condition holds, and hands values to itself. Only types are told
 * here; the session runs it (runtime/session/flow_loop.c).
 *
 * Inputs: trip count, condition (both optional), carried values. The body takes the iteration, the condition and the
 * carried values, and gives the condition, the carried values and what is stacked over the iterations. While it runs,
 * its condition is true. A carried value may change its shape from one iteration to the next; only where the body gives
 * the shape that it takes is the shape told. */
#include "ops/flow.h"

/* The first two inputs may be left out, but keep their places: `enter` looks. */
static const pleat_op_version versions[] = {{1, 0, -1, 1, -1, 0, 0},  {11, 0, -1, 1, -1, 0, 0},
                                            {13, 0, -1, 1, -1, 0, 0}, {16, 0, -1, 1, -1, 0, 0},
                                            {19, 0, -1, 1, -1, 0, 0}, {21, 0, -1, 1, -1, 0, 0},
                                            {23, 0, -1, 1, -1, 0, 0}, {24, 0, -1, 1, -1, 0, 0},
                                            {25, 0, -1, 1, -1, 0, 0}, {0}};

static const pleat_op_attr attrs[] = {{.name = "body", .type = PLEAT_ATTR_GRAPH, .required = true}, {0}};

static const char *const bodies[] = {"body", NULL};

static uint8_t yes[1] = {1};
static const pleat_tensor true_scalar = {.dtype = PLEAT_BOOL, .count = 1, .data = yes};
static const pleat_tensor true_vector = {.dtype = PLEAT_BOOL, .rank = 1, .dims = {1}, .count = 1, .data = yes};

/* Iteration and condition are scalars, unless the body says that it wants them as vectors of one element. */
static void set_counter(pleat_type *type, pleat_dtype dtype) {
  const bool is_vector = type->shape.rank == 1;
  type->kind = PLEAT_KIND_TENSOR;
  type->dtype = dtype;
  type->shape = pleat_shape_of(is_vector ? 1 : 0, (const int64_t[]){1});
  if (dtype == PLEAT_BOOL) type->data = is_vector ? &true_vector : &true_scalar;
}

static pleat_status check_scalar(pleat_infer *ctx, size_t input, pleat_dtype dtype, const char *what) {
  if (!pleat_infer_has(ctx, input)) return PLEAT_OK;
  const pleat_type *type = &ctx->inputs[input];
  if (type->dtype == PLEAT_UNDEFINED || type->dtype == dtype) return PLEAT_OK;
  return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "the %s must be %s, found %s", what, pleat_dtype_name(dtype),
                    pleat_dtype_name(type->dtype));
}

static pleat_status enter(pleat_infer *ctx) {
  pleat_type *inputs = ctx->bodies[0].inputs;
  if (ctx->input_count < 2) {
    return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "Loop takes a trip count and a condition, which may be empty");
  }
  PLEAT_TRY(pleat_flow_body_inputs(ctx, ctx->input_count));
  PLEAT_TRY(check_scalar(ctx, 0, PLEAT_INT64, "trip count"));
  PLEAT_TRY(check_scalar(ctx, 1, PLEAT_BOOL, "condition"));
  set_counter(&inputs[0], PLEAT_INT64);
  set_counter(&inputs[1], PLEAT_BOOL);
  for (size_t i = 2; i < ctx->input_count; i++) {
    if (!ctx->inputs[i].present) {
      return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "carried value %zu is not given", i - 2);
    }
    inputs[i].kind = ctx->inputs[i].kind;
    inputs[i].dtype = ctx->inputs[i].dtype;
    if (ctx->planning) inputs[i].shape = ctx->inputs[i].shape; /* else only what the body declares: it may change */
  }
  return PLEAT_OK;
}

/* How often the body runs; unknown when that depends on data. `steady`: all shapes stay what they are, so that a
 * condition which is known for one iteration is known for all. */
static pleat_dim trip_count(const pleat_infer *ctx, bool steady) {
  int64_t limit, given = 1, next = 0;
  if (!pleat_flow_scalar(&ctx->inputs[0], &limit)) return pleat_dim_unknown();
  if (limit <= 0) return pleat_dim_known(0);
  if (ctx->inputs[1].present && !pleat_flow_scalar(&ctx->inputs[1], &given)) return pleat_dim_unknown();
  if (given == 0) return pleat_dim_known(0);
  const bool goes_on = steady && pleat_flow_scalar(&ctx->bodies[0].outputs[0], &next) && next != 0;
  return goes_on ? pleat_dim_known(limit) : pleat_dim_unknown();
}

static pleat_status infer(pleat_infer *ctx) {
  const pleat_body_types *body = &ctx->bodies[0];
  const size_t carried = ctx->input_count - 2;
  bool steady = true;
  if (body->output_count < 1 + carried || ctx->output_count > body->output_count - 1) {
    return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL,
                      "the body has %zu outputs: expected the condition, %zu carried values and what is stacked for "
                      "the node's %zu outputs",
                      body->output_count, carried, ctx->output_count);
  }
  for (size_t i = 0; i < carried; i++) {
    const pleat_type *before = &ctx->inputs[2 + i], *after = &body->outputs[1 + i];
    pleat_type either = {.present = true};
    steady = steady && pleat_flow_same_shape(before, after);
    PLEAT_TRY(pleat_flow_either(ctx, before, after, "carried value", i, &either));
    pleat_type *out = pleat_infer_out(ctx, i);
    if (out != NULL) *out = either;
  }
  for (size_t i = carried; i < ctx->output_count; i++) {
    const pleat_type *item = &body->outputs[1 + i];
    pleat_type *out = &ctx->outputs[i];
    if (!out->present) continue;
    if (item->kind != PLEAT_KIND_TENSOR || item->shape.rank >= PLEAT_MAX_RANK) {
      return pleat_fail(ctx->error, PLEAT_UNSUPPORTED,
                        "output %zu: only tensors of less than %d dimensions are stacked", i, (int)PLEAT_MAX_RANK);
    }
    out->dtype = item->dtype;
    if (item->shape.rank < 0) continue;
    out->shape = pleat_shape_of_rank(item->shape.rank + 1);
    out->shape.dims[0] = trip_count(ctx, steady);
    for (int d = 0; d < item->shape.rank; d++) out->shape.dims[d + 1] = item->shape.dims[d];
  }
  return PLEAT_OK;
}

const pleat_op_def pleat_op_Loop = {.name = "Loop",
                                    .domain = "",
                                    .versions = versions,
                                    .attrs = attrs,
                                    .infer = infer,
                                    .bodies = bodies,
                                    .enter = enter};

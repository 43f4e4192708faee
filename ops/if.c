/* If: one of two bodies, by a condition. Only types are told here; the session runs the body that is taken
 * (runtime/session/flow.c). A condition that is known ahead leaves only one body to look at. */
#include "ops/flow.h"

static const pleat_op_version versions[] = {
    {1, 1, 1, 1, -1, PLEAT_M(PLEAT_BOOL), 0},  {11, 1, 1, 1, -1, PLEAT_M(PLEAT_BOOL), 0},
    {13, 1, 1, 1, -1, PLEAT_M(PLEAT_BOOL), 0}, {16, 1, 1, 1, -1, PLEAT_M(PLEAT_BOOL), 0},
    {19, 1, 1, 1, -1, PLEAT_M(PLEAT_BOOL), 0}, {21, 1, 1, 1, -1, PLEAT_M(PLEAT_BOOL), 0},
    {23, 1, 1, 1, -1, PLEAT_M(PLEAT_BOOL), 0}, {24, 1, 1, 1, -1, PLEAT_M(PLEAT_BOOL), 0},
    {25, 1, 1, 1, -1, PLEAT_M(PLEAT_BOOL), 0}, {0}};

static const pleat_op_attr attrs[] = {{.name = "then_branch", .type = PLEAT_ATTR_GRAPH, .required = true},
                                      {.name = "else_branch", .type = PLEAT_ATTR_GRAPH, .required = true},
                                      {0}};

static const char *const bodies[] = {"then_branch", "else_branch", NULL};

static pleat_status enter(pleat_infer *ctx) {
  const pleat_dtype dtype = ctx->inputs[0].dtype;
  if (dtype != PLEAT_UNDEFINED && dtype != PLEAT_BOOL) {
    return pleat_fail(ctx->error, PLEAT_SHAPE_MISMATCH, "the condition must be bool, found %s",
                      pleat_dtype_name(dtype));
  }
  for (size_t i = 0; i < 2; i++) {
    if (ctx->bodies[i].input_count == 0) continue;
    return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "%s has %zu inputs: a branch of If has none", bodies[i],
                      ctx->bodies[i].input_count);
  }
  return PLEAT_OK;
}

static pleat_status infer(pleat_infer *ctx) {
  int64_t taken = 0;
  for (size_t i = 0; i < 2; i++) {
    if (ctx->bodies[i].output_count == ctx->output_count) continue;
    return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "%s has %zu outputs, but the node has %zu", bodies[i],
                      ctx->bodies[i].output_count, ctx->output_count);
  }
  const bool is_known = pleat_flow_scalar(&ctx->inputs[0], &taken);
  for (size_t i = 0; i < ctx->output_count; i++) {
    const pleat_type *then_type = &ctx->bodies[0].outputs[i], *else_type = &ctx->bodies[1].outputs[i];
    if (is_known) then_type = else_type = &ctx->bodies[taken != 0 ? 0 : 1].outputs[i];
    PLEAT_TRY(pleat_flow_either(ctx, then_type, else_type, "output", i, &ctx->outputs[i]));
  }
  return PLEAT_OK;
}

const pleat_op_def pleat_op_If = {
    .name = "If", .domain = "", .versions = versions, .attrs = attrs, .infer = infer, .bodies = bodies, .enter = enter};

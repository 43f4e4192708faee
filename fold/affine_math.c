/* Arithmetic on affine maps, reading nodes as maps, and stating maps as nodes again: constants shaped to broadcast by
 * the rules of the model's opset. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fold/push.h"

enum { CONSTANT_LIMIT = 64 << 20 }; /* bytes of a constant operand that has to be computed first */

pleat_status pleat_push_refuse(pleat_push *push, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(push->reason, sizeof push->reason, format, args);
  va_end(args);
  return PLEAT_OK;
}

pleat_status pleat_affine_make(pleat_pass_context *ctx, int axis, size_t channels, pleat_affine *out_affine) {
  pleat_arena *arena = ctx->graph->root->arena;
  *out_affine = (pleat_affine){.axis = axis, .channels = channels};
  out_affine->scale = pleat_arena_array(arena, channels, sizeof(double));
  out_affine->shift = pleat_arena_array(arena, channels, sizeof(double));
  if (out_affine->scale == NULL || out_affine->shift == NULL) return PLEAT_OOM(ctx->error);
  for (size_t c = 0; c < channels; c++) out_affine->scale[c] = 1;
  return PLEAT_OK;
}

pleat_status pleat_affine_compose(pleat_push *push, const pleat_affine *outer, const pleat_affine *inner,
                                  pleat_affine *out_affine) {
  const pleat_affine *wide = inner->axis == PLEAT_UNIFORM ? outer : inner;
  if (outer->axis != PLEAT_UNIFORM && inner->axis != PLEAT_UNIFORM &&
      (outer->axis != inner->axis || outer->channels != inner->channels)) {
    return pleat_push_refuse(push, "two maps in a row do not run along the same axis");
  }
  PLEAT_TRY(pleat_affine_make(push->ctx, wide->axis, wide->channels, out_affine));
  for (size_t c = 0; c < wide->channels; c++) {
    double scale = pleat_affine_scale_at(outer, c);
    out_affine->scale[c] = scale * pleat_affine_scale_at(inner, c);
    out_affine->shift[c] = scale * pleat_affine_shift_at(inner, c) + pleat_affine_shift_at(outer, c);
  }
  return PLEAT_OK;
}

bool pleat_affine_has_shift(const pleat_affine *affine) {
  for (size_t c = 0; c < affine->channels; c++) {
    if (affine->shift[c] != 0) return true;
  }
  return false;
}

bool pleat_affine_has_scale(const pleat_affine *affine) {
  for (size_t c = 0; c < affine->channels; c++) {
    if (affine->scale[c] != 1) return true;
  }
  return false;
}

bool pleat_affine_is_positive(const pleat_affine *affine) {
  for (size_t c = 0; c < affine->channels; c++) {
    if (!(affine->scale[c] > 0)) return false;
  }
  return true;
}

bool pleat_affine_is_finite(const pleat_affine *affine) {
  for (size_t c = 0; c < affine->channels; c++) {
    if (!isfinite(affine->scale[c]) || !isfinite(affine->shift[c])) return false;
  }
  return true;
}

/* ---- reading nodes ---- */

typedef enum arithmetic { MUL, DIV, ADD, SUB, NEG, NONE } arithmetic;

static arithmetic arithmetic_of(const pleat_node *node) {
  static const char *const names[] = {"Mul", "Div", "Add", "Sub", "Neg"};
  for (int i = 0; i < NONE; i++) {
    if (pleat_node_is(node, names[i])) return (arithmetic)i;
  }
  return NONE;
}

bool pleat_affine_is_candidate(const pleat_node *node) {
  return pleat_node_is(node, "BatchNormalization") || arithmetic_of(node) != NONE;
}

/* The one axis of `data` along which `constant` varies, given that it broadcasts to data's shape without enlarging it.
 */
static bool constant_axis(const pleat_shape *data, const pleat_tensor *constant, int64_t offset, int *out_axis) {
  *out_axis = PLEAT_UNIFORM;
  if (data->rank < 0) return constant->count == 1 && constant->rank == 0;
  if (offset < 0) offset = data->rank - constant->rank;
  if (constant->rank > data->rank || offset > data->rank - constant->rank) return false;
  for (int i = 0; i < constant->rank; i++) {
    int axis = (int)offset + i;
    if (constant->dims[i] == 1) continue;
    if (data->dims[axis].value != constant->dims[i] || *out_axis != PLEAT_UNIFORM) return false;
    *out_axis = axis;
  }
  return constant->count > 0;
}

/* One element's map: data op constant, or constant op data. */
static void element_map(arithmetic kind, double constant, bool constant_first, double *scale, double *shift) {
  switch (kind) {
  case MUL:
    *scale = constant;
    break;
  case DIV:
    *scale = 1 / constant;
    break;
  case ADD:
    *shift = constant;
    break;
  case SUB:
    *scale = constant_first ? -1 : 1;
    *shift = constant_first ? constant : -constant;
    break;
  default:
    *scale = -1;
    break;
  }
}

static pleat_status read_arithmetic(pleat_push *push, pleat_node *node, arithmetic kind, pleat_affine *out_affine,
                                    size_t *out_input) {
  const pleat_tensor *constant = NULL;
  *out_input = 0;
  if (node->inputs[0] == NULL || !pleat_dtype_is_float(node->outputs[0]->dtype)) {
    return pleat_push_refuse(push, "'%s' does not compute in a floating-point type", node->op_type);
  }
  if (kind == NEG) {
    PLEAT_TRY(pleat_affine_make(push->ctx, PLEAT_UNIFORM, 1, out_affine));
    out_affine->scale[0] = -1;
    return PLEAT_OK;
  }
  for (size_t i = 0; i < 2 && constant == NULL; i++) {
    PLEAT_TRY(pleat_value_compute(node->inputs[1 - i], CONSTANT_LIMIT, &constant, push->ctx->error));
    *out_input = i;
  }
  int axis;
  if (constant == NULL)
    return pleat_push_refuse(push, "both operands of '%s' are computed while running", node->op_type);
  if (kind == DIV && *out_input == 1) return pleat_push_refuse(push, "a constant divided by a value is no affine map");
  /* Before opset 7 the second operand was broadcast to the first, from `axis` on. */
  const bool old = pleat_node_since(node) < 7 && pleat_attr_int(node, "broadcast") != 0;
  const int64_t offset = old && pleat_attr_present(node, "axis") ? pleat_attr_int(node, "axis") : -1;
  if ((old && *out_input == 1) || !constant_axis(&node->inputs[*out_input]->shape, constant, offset, &axis)) {
    return pleat_push_refuse(push, "the constant of '%s' is not one number a channel", node->op_type);
  }
  PLEAT_TRY(pleat_affine_make(push->ctx, axis, constant->count, out_affine));
  for (size_t c = 0; c < constant->count; c++) {
    double value = pleat_load_f64(constant->dtype, constant->data, c);
    element_map(kind, value, *out_input == 1, &out_affine->scale[c], &out_affine->shift[c]);
  }
  return PLEAT_OK;
}

pleat_status pleat_affine_read(pleat_push *push, pleat_node *node, pleat_affine *out_affine, size_t *out_input) {
  arithmetic kind = arithmetic_of(node);
  *out_input = 0;
  push->reason[0] = '\0';
  if (node->output_count == 0 || node->outputs[0] == NULL || node->input_count == 0 || node->inputs[0] == NULL) {
    return pleat_push_refuse(push, "'%s' has no input or output", node->op_type);
  }
  if (node->outputs[0]->use_count == 0 && !node->outputs[0]->is_output) {
    return pleat_push_refuse(push, "nothing reads its result");
  }
  if (pleat_node_is(node, "BatchNormalization")) {
    PLEAT_TRY(pleat_affine_of_bn(push->ctx, node, out_affine, push->reason));
  } else if (kind != NONE) {
    PLEAT_TRY(read_arithmetic(push, node, kind, out_affine, out_input));
  } else {
    return pleat_push_refuse(push, "'%s' is no affine map", node->op_type);
  }
  if (push->reason[0] == '\0' && !pleat_affine_is_finite(out_affine)) {
    return pleat_push_refuse(push, "its map is not finite");
  }
  return PLEAT_OK;
}

/* ---- weights ---- */

void pleat_push_name(char name[PLEAT_NAME_SIZE], const char *base, const char *suffix) {
  const size_t room = PLEAT_NAME_SIZE - 1 - strlen(suffix);
  size_t length = strlen(base);
  if (length > room) {
    length = room;
    while (length > 0 && ((unsigned char)base[length] & 0xc0) == 0x80) length--; /* not inside of a UTF-8 character */
  }
  memcpy(name, base, length);
  memcpy(name + length, suffix, strlen(suffix) + 1);
}

/* A quantised weight behind a Transpose or the like: where it is not, absorb_qdq.c keeps it quantised. */
static bool is_rearranged_dequantized(const pleat_value *value) {
  const pleat_node *node = value->producer;
  for (int depth = 0; depth < 8 && node != NULL && node->input_count > 0 && node->inputs[0] != NULL; depth++) {
    if (pleat_node_is(node, "DequantizeLinear")) return depth > 0;
    node = node->inputs[0]->producer;
  }
  return false;
}

pleat_status pleat_push_recipe(pleat_push *push, pleat_value *value, const char *what, pleat_recipe **out_recipe) {
  *out_recipe = NULL;
  if (value == NULL) return pleat_push_refuse(push, "%s is missing", what);
  if (!push->ctx->for_session && is_rearranged_dequantized(value)) {
    return pleat_push_refuse(push, "%s '%s' is quantised and rearranged afterwards: it would become floating point",
                             what, value->name);
  }
  return pleat_affine_find_weight(push->ctx, value, what, out_recipe, push->reason);
}

pleat_status pleat_push_weight(pleat_push *push, pleat_value *value, const char *what,
                               const pleat_tensor **out_tensor) {
  pleat_recipe *recipe = NULL;
  *out_tensor = NULL;
  PLEAT_TRY(pleat_push_recipe(push, value, what, &recipe));
  if (recipe == NULL) return PLEAT_OK;
  if (value->constant == NULL && push->read_count < sizeof push->read / sizeof push->read[0]) {
    push->read[push->read_count++] = value;
  }
  return pleat_value_constant(value, out_tensor, push->ctx->error);
}

/* What the new weight in the place of input `index` is called. */
static void name_weight(const pleat_node *node, size_t index, const char *suffix, char name[PLEAT_NAME_SIZE]) {
  const pleat_value *old = index < node->input_count ? node->inputs[index] : NULL;
  const pleat_value *base = old != NULL ? old : node->input_count > 1 ? node->inputs[1] : node->outputs[0];
  pleat_push_name(name, base->name, suffix);
}

pleat_status pleat_push_set_weight(pleat_push *push, pleat_node *node, size_t index, const char *suffix,
                                   pleat_tensor *tensor) {
  char name[PLEAT_NAME_SIZE];
  pleat_value *value = NULL;
  name_weight(node, index, suffix, name);
  PLEAT_TRY(pleat_graph_add_constant(node->graph, name, tensor, &value, push->ctx->error));
  return pleat_node_set_input(node, index, value) ? PLEAT_OK : PLEAT_OOM(push->ctx->error);
}

pleat_status pleat_push_set_recipe(pleat_push *push, pleat_node *node, size_t index, const char *suffix,
                                   const pleat_recipe *recipe) {
  char name[PLEAT_NAME_SIZE];
  pleat_value *value = NULL;
  name_weight(node, index, suffix, name);
  PLEAT_TRY(pleat_graph_add_recipe(node->graph, name, recipe, &value, push->ctx->error));
  return pleat_node_set_input(node, index, value) ? PLEAT_OK : PLEAT_OOM(push->ctx->error);
}

void pleat_push_forget(pleat_push *push) {
  for (size_t i = 0; i < push->read_count; i++) pleat_value_forget(push->read[i]);
  push->read_count = 0;
}

/* ---- what stays of a node ---- */

pleat_status pleat_affine_constant(pleat_push *push, const pleat_node *node, int axis, size_t channels,
                                   const double *values, pleat_tensor **out_tensor) {
  int64_t dims[PLEAT_MAX_RANK];
  const pleat_value *result = node->outputs[0];
  int rank = axis == PLEAT_UNIFORM ? 0 : result->shape.rank - axis;
  *out_tensor = NULL;
  if (rank < 0 || result->dtype == PLEAT_UNDEFINED) {
    return pleat_push_refuse(push, "the rank or type of its result is not known");
  }
  for (int i = 0; i < rank; i++) dims[i] = i == 0 ? (int64_t)channels : 1;
  return pleat_affine_round(push->ctx, result->dtype, rank, dims, values, "shift", out_tensor, push->reason);
}

/* Before opset 7: a contiguous part of the other operand's shape, and where it begins. */
static bool set_old_broadcast(pleat_node *node, int rank, pleat_tensor *tensor) {
  const pleat_attr broadcast = {.name = "broadcast", .type = PLEAT_ATTR_INT, .i = 1};
  const pleat_attr axis = {.name = "axis", .type = PLEAT_ATTR_INT, .i = rank - tensor->rank};
  const int before = tensor->rank;
  while (tensor->rank > 0 && tensor->dims[tensor->rank - 1] == 1) tensor->rank--;
  bool needs_axis = tensor->rank > 0 && tensor->rank < before;
  return pleat_node_set_attr(node, broadcast) && (!needs_axis || pleat_node_set_attr(node, axis));
}

pleat_status pleat_push_set_operand(pleat_push *push, pleat_node *node, const char *name, int rank,
                                    pleat_tensor *tensor) {
  pleat_value *value = NULL;
  if (pleat_graph_opset(node->graph->root, "") < 7 && !set_old_broadcast(node, rank, tensor)) {
    pleat_tensor_release(tensor);
    return PLEAT_OOM(push->ctx->error);
  }
  PLEAT_TRY(pleat_graph_add_constant(node->graph, name, tensor, &value, push->ctx->error));
  return pleat_node_set_input(node, 1, value) ? PLEAT_OK : PLEAT_OOM(push->ctx->error);
}

pleat_status pleat_affine_replace_by(pleat_push *push, pleat_node *node, const char *op_type, pleat_value *value,
                                     pleat_tensor *constant) {
  char name[PLEAT_NAME_SIZE];
  pleat_graph *graph = node->graph;
  pleat_value *result = node->outputs[0];
  pleat_push_name(name, result->name, strcmp(op_type, "Add") == 0 ? "_Add" : "_Mul");
  pleat_node *added = pleat_graph_add_node(graph, node, op_type, "", node->name);
  bool good = added != NULL && pleat_node_set_output(node, 0, NULL) && pleat_node_set_input(added, 0, value) &&
              pleat_node_set_output(added, 0, result);
  if (!good) {
    pleat_tensor_release(constant);
    return PLEAT_OOM(push->ctx->error);
  }
  PLEAT_TRY(pleat_push_set_operand(push, added, name, result->shape.rank, constant));
  pleat_node_remove(node);
  return PLEAT_OK;
}

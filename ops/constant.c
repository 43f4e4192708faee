/* Constant: a value from one of several attributes. ConstantOfShape: one value, over a shape that is an input.
 *
 * Invariants: exactly one of Constant's attributes is read, and run copies it in the type and shape that infer told.
 * ConstantOfShape's dimensions are values of the model: infer refuses negative ones, and whoever makes the tensor
 * refuses a size that overflows.
 * Source: the operators' texts; which attribute there is since which opset is data. */
#include <inttypes.h>

#include "ops/movement.h"

/* ---- Constant ---- */

static const pleat_op_version constant_versions[] = {{1, 0, 0, 1, 1, 0, 0},
                                                     {9, 0, 0, 1, 1, 0, 0},
                                                     {11, 0, 0, 1, 1, 0, 0},
                                                     {12, 0, 0, 1, 1, 0, 0},
                                                     {13, 0, 0, 1, 1, 0, 0},
                                                     {19, 0, 0, 1, 1, 0, 0},
                                                     {21, 0, 0, 1, 1, 0, 0},
                                                     {23, 0, 0, 1, 1, 0, 0},
                                                     {24, 0, 0, 1, 1, 0, 0},
                                                     {25, 0, 0, 1, 1, 0, 0},
                                                     {0}};
static const pleat_op_attr constant_attrs[] = {{.name = "value", .type = PLEAT_ATTR_TENSOR},
                                               {.name = "sparse_value", .type = PLEAT_ATTR_SPARSE_TENSOR, .since = 11},
                                               {.name = "value_float", .type = PLEAT_ATTR_FLOAT, .since = 12},
                                               {.name = "value_floats", .type = PLEAT_ATTR_FLOATS, .since = 12},
                                               {.name = "value_int", .type = PLEAT_ATTR_INT, .since = 12},
                                               {.name = "value_ints", .type = PLEAT_ATTR_INTS, .since = 12},
                                               {.name = "value_string", .type = PLEAT_ATTR_STRING, .since = 12},
                                               {.name = "value_strings", .type = PLEAT_ATTR_STRINGS, .since = 12},
                                               {0}};

/* What an attribute holds, as the parts of a tensor. */
typedef struct constant {
  pleat_dtype dtype;
  int rank;
  const int64_t *dims;
  int64_t length; /* dims of the lists point here */
  const void *data;
  pleat_string string; /* data of value_string points here */
} constant;

static void set_list(constant *c, pleat_dtype dtype, const void *data, size_t count) {
  c->dtype = dtype;
  c->rank = 1;
  c->length = (int64_t)count;
  c->dims = &c->length;
  c->data = data;
}

static void set_scalar(constant *c, pleat_dtype dtype, const void *data) {
  c->dtype = dtype;
  c->rank = 0;
  c->dims = &c->length;
  c->data = data;
}

static const pleat_attr *constant_attr(const pleat_node *node, size_t *out_count) {
  const pleat_attr *found = NULL;
  *out_count = 0;
  for (size_t i = 0; constant_attrs[i].name != NULL; i++) {
    const pleat_attr *attr = pleat_node_attr(node, constant_attrs[i].name);
    if (attr == NULL) continue;
    ++*out_count;
    found = attr;
  }
  return found;
}

static pleat_status read_constant(const pleat_node *node, constant *out, pleat_error *error) {
  size_t count = 0;
  const pleat_attr *attr = constant_attr(node, &count);
  if (count != 1)
    return pleat_fail(error, PLEAT_MALFORMED_MODEL, "expected exactly one attribute with the value, found %zu", count);
  switch (attr->type) {
  case PLEAT_ATTR_TENSOR:
  case PLEAT_ATTR_SPARSE_TENSOR:
    out->dtype = attr->tensor->dtype;
    out->rank = attr->tensor->rank;
    out->dims = attr->tensor->dims;
    out->data = attr->tensor->data;
    return PLEAT_OK;
  case PLEAT_ATTR_FLOAT:
    set_scalar(out, PLEAT_FLOAT, &attr->f);
    return PLEAT_OK;
  case PLEAT_ATTR_INT:
    set_scalar(out, PLEAT_INT64, &attr->i);
    return PLEAT_OK;
  case PLEAT_ATTR_STRING:
    out->string = (pleat_string){.data = attr->s, .size = attr->count};
    set_scalar(out, PLEAT_STRING, &out->string);
    return PLEAT_OK;
  case PLEAT_ATTR_FLOATS:
    set_list(out, PLEAT_FLOAT, attr->floats, attr->count);
    return PLEAT_OK;
  case PLEAT_ATTR_INTS:
    set_list(out, PLEAT_INT64, attr->ints, attr->count);
    return PLEAT_OK;
  case PLEAT_ATTR_STRINGS:
    set_list(out, PLEAT_STRING, attr->strings, attr->count);
    return PLEAT_OK;
  default:
    return pleat_fail(error, PLEAT_MALFORMED_MODEL, "attribute '%s' has the wrong type", attr->name);
  }
}

static pleat_status constant_infer(pleat_infer *ctx) {
  constant c = {0};
  PLEAT_TRY(read_constant(ctx->node, &c, ctx->error));
  ctx->outputs[0].dtype = c.dtype;
  ctx->outputs[0].shape = pleat_shape_of(c.rank, c.dims);
  return PLEAT_OK;
}

static pleat_status constant_run(const pleat_call *call) {
  constant c = {0};
  PLEAT_TRY(read_constant(call->node, &c, call->error));
  pleat_tensor *out = pleat_out(call, 0);
  if (out->count > 0) memcpy(out->data, c.data, pleat_bytes(out));
  return PLEAT_OK;
}

static const pleat_kernel constant_reference = {.name = "reference", .run = constant_run};
const pleat_op_def pleat_op_Constant = {.name = "Constant",
                                        .domain = "",
                                        .versions = constant_versions,
                                        .attrs = constant_attrs,
                                        .infer = constant_infer,
                                        .kernels = (const pleat_kernel *const[]){&constant_reference, NULL}};

/* ---- ConstantOfShape ---- */

static const pleat_op_version fill_versions[] = {{9, 1, 1, 1, 1, 0, 0},
                                                 {20, 1, 1, 1, 1, 0, 0},
                                                 {21, 1, 1, 1, 1, 0, 0},
                                                 {23, 1, 1, 1, 1, 0, 0},
                                                 {24, 1, 1, 1, 1, 0, 0},
                                                 {25, 1, 1, 1, 1, 0, 0},
                                                 {0}};
static const pleat_op_attr fill_attrs[] = {{.name = "value", .type = PLEAT_ATTR_TENSOR}, {0}};

static pleat_status fill_infer(pleat_infer *ctx) {
  PLEAT_TRY(pleat_require_tensors(ctx));
  pleat_type *out = &ctx->outputs[0];
  const pleat_attr *value = pleat_node_attr(ctx->node, "value");
  if (value != NULL && (value->type != PLEAT_ATTR_TENSOR || value->tensor->count != 1))
    return pleat_fail(ctx->error, PLEAT_MALFORMED_MODEL, "attribute 'value': expected a tensor of one element");
  out->dtype = value != NULL ? value->tensor->dtype : PLEAT_FLOAT;
  pleat_ints dims;
  PLEAT_TRY(pleat_ints_read(ctx->inputs[0].data, "input", PLEAT_MAX_RANK, &dims, ctx->error));
  int64_t length = dims.count >= 0 ? dims.count : pleat_ints_length(&ctx->inputs[0]);
  if (length > PLEAT_MAX_RANK)
    return pleat_fail(ctx->error, PLEAT_UNSUPPORTED, "%" PRId64 " dimensions: at most %d are supported", length,
                      PLEAT_MAX_RANK);
  if (length >= 0) out->shape = pleat_shape_of_rank((int)length);
  for (int i = 0; i < dims.count; i++) {
    if (dims.values[i] < 0)
      return pleat_fail(ctx->error, PLEAT_INVALID_ARGUMENT, "input: dimension %" PRId64 " is negative", dims.values[i]);
    out->shape.dims[i] = pleat_dim_known(dims.values[i]);
  }
  return PLEAT_OK;
}

static pleat_status fill_run(const pleat_call *call) {
  static const char zeros[16];
  pleat_tensor *out = pleat_out(call, 0);
  const pleat_attr *value = pleat_node_attr(call->node, "value");
  pleat_fill(pleat_dtype_size(out->dtype), out->data, out->count, value != NULL ? value->tensor->data : zeros,
             call->threads);
  return PLEAT_OK;
}

static const pleat_kernel fill_reference = {.name = "reference", .run = fill_run};
/* All elements are the same: of any number of samples. */
static const char *fill_apart(const pleat_infer *whole, const pleat_role *roles) {
  (void)whole;
  return roles[0] == PLEAT_ROLE_SIZED ? NULL : "its shape comes from the samples";
}

const pleat_op_def pleat_op_ConstantOfShape = {.name = "ConstantOfShape",
                                               .domain = "",
                                               .versions = fill_versions,
                                               .attrs = fill_attrs,
                                               .infer = fill_infer,
                                               .apart = fill_apart,
                                               .kernels = (const pleat_kernel *const[]){&fill_reference, NULL}};

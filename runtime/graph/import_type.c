/* What a file says about values' types: TypeProtos and initializers, merged into the value.
 *
 * A file may describe a value several times (as an input, in value_info, by its initializer). The data type must be the
 * same everywhere. Shapes are hints that exporters get wrong: the first one stays where two contradict each other, and
 * an initializer's own shape wins over both, unless callers may override it. */
#include "graph/import.h"

#include <string.h>

static pleat_status parse_shape(pleat_importer *imp, pleat_value *value, const Onnx__TensorShapeProto *message,
                                pleat_shape *out_shape) {
  out_shape->rank = -1;
  if (message == NULL) return PLEAT_OK;
  if (message->n_dim > PLEAT_MAX_RANK) {
    return pleat_fail(imp->error, PLEAT_UNSUPPORTED, "the shape of '%s' has %zu dimensions; at most %d are supported",
                      value->name, message->n_dim, (int)PLEAT_MAX_RANK);
  }
  out_shape->rank = (int)message->n_dim;
  for (size_t i = 0; i < message->n_dim; i++) {
    const Onnx__TensorShapeProto__Dimension *dim = message->dim[i];
    out_shape->dims[i] = pleat_dim_unknown();
    if (dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE) {
      if (dim->dim_value >= 0) out_shape->dims[i].value = dim->dim_value; /* exporters write -1 for "unknown" */
    } else if (dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM &&
               pleat_text(dim->dim_param)[0] != '\0') {
      out_shape->dims[i].symbol = pleat_graph_intern(imp->root, dim->dim_param);
      if (out_shape->dims[i].symbol == NULL) return PLEAT_OOM(imp->error);
    }
  }
  return PLEAT_OK;
}

/* The tensor type inside of sequences and optionals, and the outermost kind. */
static const Onnx__TypeProto__Tensor *unwrap(const Onnx__TypeProto *type, pleat_kind *out_kind) {
  *out_kind = PLEAT_KIND_TENSOR;
  for (int depth = 0; type != NULL; depth++) {
    pleat_kind kind = PLEAT_KIND_OTHER;
    switch (type->value_case) {
    case ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE:
      return type->tensor_type;
    case ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE:
      kind = PLEAT_KIND_SEQUENCE;
      type = type->sequence_type != NULL ? type->sequence_type->elem_type : NULL;
      break;
    case ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE:
      kind = PLEAT_KIND_OPTIONAL;
      type = type->optional_type != NULL ? type->optional_type->elem_type : NULL;
      break;
    case ONNX__TYPE_PROTO__VALUE__NOT_SET:
      return NULL;
    default:
      type = NULL;
      break;
    }
    if (depth == 0) *out_kind = kind;
  }
  return NULL;
}

static pleat_status merge_dtype(pleat_importer *imp, pleat_value *value, int32_t number) {
  if (!pleat_dtype_is_valid(number)) {
    return pleat_fail_tensor(imp->error, value->name, PLEAT_MALFORMED_MODEL,
                             "'%s' has the data type %d, which ONNX does not know", value->name, (int)number);
  }
  if (value->dtype != PLEAT_UNDEFINED && value->dtype != (pleat_dtype)number) {
    return pleat_fail_tensor(imp->error, value->name, PLEAT_MALFORMED_MODEL,
                             "'%s' is said to be %s in one place and %s in another", value->name,
                             pleat_dtype_name(value->dtype), pleat_dtype_name((pleat_dtype)number));
  }
  value->dtype = (pleat_dtype)number;
  return PLEAT_OK;
}

pleat_status pleat_import_value_info(pleat_importer *imp, pleat_value *value, const Onnx__ValueInfoProto *message) {
  pleat_kind kind = PLEAT_KIND_TENSOR;
  pleat_shape shape, merged;
  const Onnx__TypeProto__Tensor *tensor = unwrap(message->type, &kind);
  if (value->src_info == NULL) value->src_info = message;
  if (message->type == NULL || message->type->value_case == ONNX__TYPE_PROTO__VALUE__NOT_SET) return PLEAT_OK;
  if (value->shape_declared && value->kind != kind) {
    return pleat_fail_tensor(
        imp->error, value->name, PLEAT_MALFORMED_MODEL,
        "'%s' is said to be a tensor, a sequence or an optional in one place and another in the next", value->name);
  }
  value->kind = kind;
  value->shape_declared = true;
  if (tensor == NULL) return PLEAT_OK;
  if (tensor->elem_type != PLEAT_UNDEFINED) PLEAT_TRY(merge_dtype(imp, value, tensor->elem_type));
  if (value->is_initializer && !value->is_input) return PLEAT_OK; /* its own shape is the truth */
  PLEAT_TRY(parse_shape(imp, value, tensor->shape, &shape));
  if (pleat_shape_merge(&value->shape, &shape, &merged)) value->shape = merged;
  return PLEAT_OK;
}

pleat_status pleat_import_tensor_type(pleat_importer *imp, pleat_value *value, int32_t data_type, size_t rank,
                                      const int64_t *dims) {
  size_t count = 0;
  if (rank > PLEAT_MAX_RANK) {
    return pleat_fail_tensor(imp->error, value->name, PLEAT_UNSUPPORTED,
                             "initializer '%s' has %zu dimensions; at most %d are supported", value->name, rank,
                             (int)PLEAT_MAX_RANK);
  }
  PLEAT_TRY(merge_dtype(imp, value, data_type));
  if (!pleat_shape_count(value->dtype, (int)rank, dims, &count)) {
    return pleat_fail_tensor(imp->error, value->name, PLEAT_MALFORMED_MODEL,
                             "initializer '%s' has a negative dimension, or is larger than memory can be", value->name);
  }
  if (!value->is_input || value->shape.rank < 0) value->shape = pleat_shape_of((int)rank, dims);
  return PLEAT_OK;
}

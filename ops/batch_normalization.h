/* The one fact about BatchNormalization that its kernels and the folding passes share: which mode a node is in. */
#ifndef PLEAT_OPS_BATCH_NORMALIZATION_H
#define PLEAT_OPS_BATCH_NORMALIZATION_H

#include "ops/ops.h"

/* Whether any output beyond the first is there. */
static inline bool pleat_bn_has_statistics(const pleat_node *bn) {
  for (size_t i = 1; i < bn->output_count; i++) {
    if (bn->outputs[i] != NULL) return true;
  }
  return false;
}

/* Training mode normalises with the batch's own statistics. Opset 14 and later say so in an attribute; 7 to 13 by
 * asking for the statistics; 1 and 6 by is_test = 0, where a node with one output only counts as inference all the
 * same, as exporters left is_test at its default and ONNX's own version converter reads it so. */
static inline bool pleat_bn_is_training(const pleat_node *bn) {
  int since = bn->version != NULL ? bn->version->since : 0;
  if (since >= 14) return pleat_attr_int(bn, "training_mode") != 0;
  if (since >= 7) return pleat_bn_has_statistics(bn);
  return pleat_bn_has_statistics(bn) && pleat_attr_int(bn, "is_test") == 0;
}

#endif

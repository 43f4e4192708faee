/* How a Scan node's inputs and outputs are made up: for the operator's types, and for the session that runs it. */
#ifndef PLEAT_OPS_SCAN_H
#define PLEAT_OPS_SCAN_H

#include "ops/ops.h"

typedef struct pleat_scan_form {
  size_t first; /* the node input that is the first state: opset 8 has the sequences' lengths before */
  size_t state_count, scan_count; /* inputs: states, then what is scanned. Outputs: states, then what is stacked */
  bool batched;                   /* opset 8: dimension 0 counts independent sequences, dimension 1 is scanned */
} pleat_scan_form;

/* MALFORMED_MODEL when the node's counts do not fit. */
pleat_status pleat_scan_form_of(const pleat_node *node, pleat_scan_form *out_form, pleat_error *error);

/* The axis along which scanned input (stacked output) `i` of that rank is cut (put together). */
pleat_status pleat_scan_axis(const pleat_node *node, const pleat_scan_form *form, bool is_output, size_t i, int rank,
                             int *out_axis, pleat_error *error);
/* Whether it goes from the end to the start. */
bool pleat_scan_is_reversed(const pleat_node *node, const pleat_scan_form *form, bool is_output, size_t i);

#endif

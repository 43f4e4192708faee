/* Axes that a node names: from an attribute or a list, checked against the rank, negative ones counted from the end. */
#ifndef PLEAT_OPS_AXES_H
#define PLEAT_OPS_AXES_H

#include "ops/ops.h"

/* `axis` in [0, limit); limit is the rank, or rank + 1 where one past the end is allowed. */
pleat_status pleat_check_axis(int64_t axis, int limit, int *out_axis, pleat_error *error);
/* The same of an integer attribute. */
pleat_status pleat_attr_axis(const pleat_node *node, const char *name, int limit, int *out_axis, pleat_error *error);
/* Sets `out_marked` at the axes listed, and leaves the others as they are. An axis may be listed twice. */
pleat_status pleat_mark_axes(const int64_t *axes, size_t count, int rank, bool *out_marked, pleat_error *error);

/* Whether a reduction's axes (constant input 1, or the attribute) are exactly those from 2 on. */
bool pleat_axes_are_spatial(const pleat_call *call);

#endif

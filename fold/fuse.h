/* What the passes that fuse operators share. */
#ifndef PLEAT_FOLD_FUSE_H
#define PLEAT_FOLD_FUSE_H

#include "fold/fold.h"

/* The node that alone reads the value, in the same graph; NULL: there are others, or it is an output. */
const pleat_node *pleat_fuse_only_reader(const pleat_value *value, const pleat_graph *graph);
/* False: out of memory. */
bool pleat_fuse_copy_attributes(const pleat_node *from, pleat_node *to);
/* Takes a node out whose only output another node is going to have, or nobody reads any more. */
bool pleat_fuse_drop(pleat_node *node);

#endif

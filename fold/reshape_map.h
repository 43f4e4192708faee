/* Following a channel through Reshape, Flatten, Squeeze and Unsqueeze. */
#ifndef PLEAT_FOLD_RESHAPE_MAP_H
#define PLEAT_FOLD_RESHAPE_MAP_H

#include "fold/push.h"

/* `given` holds on an array of shape `from`; the same elements in row-major order have shape `to`. *out_affine holds on
 * that, when there is one axis along which it does; a reason otherwise. */
pleat_status pleat_affine_reshape(pleat_push *push, const pleat_shape *from, const pleat_shape *to,
                                  const pleat_affine *given, pleat_affine *out_affine);

#endif

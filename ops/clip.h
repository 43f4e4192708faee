/* What kernels of Clip need to know of it. */
#ifndef PLEAT_OPS_CLIP_H
#define PLEAT_OPS_CLIP_H

#include "ops/ops.h"

/* prepare: the bounds of a Clip of floats, infinite where there is none; an input since opset 11, an attribute before.
 * False when only a run knows them. */
bool pleat_clip_bounds(const pleat_call *call, float *out_low, float *out_high);

#endif

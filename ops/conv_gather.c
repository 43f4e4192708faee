/* Panels of an input tensor: see conv_gather.h. The columns of a tile are cut into runs along the last spatial axis; of
 * each run, all rows of the panel are filled before the next, with one bounds check a row instead of one an element. */
#include "ops/conv_gather.h"

#include <string.h>

#define PLEAT_TEMPLATE "conv_gather.inc"
#define PLEAT_TEMPLATE_FLOATS
#include "ops/template.h"

#define T        uint32_t
#define FN(name) PLEAT_CAT(name, _u32)
#include "conv_gather.inc"
#undef T
#undef FN

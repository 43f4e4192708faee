/* Physical layouts: how a tensor inside a plan lies in memory when it is not dense and row-major (tensor->layout NULL).
 *
 * A layout is a fact about bytes that belongs to no kernel library: the planner, the memory planner, reports and any
 * kernel with PLEAT_KERNEL_LAYOUTS read it here. It says in which order the elements lie, and how each of them is
 * stored; the shape, and the type that the values mean, are the tensor's. Dimension 1 is the channels'; orders other
 * than the dense one are for PLEAT_LAYOUT_MIN_RANK to PLEAT_LAYOUT_MAX_RANK dimensions. "Positions" are all dimensions
 * behind the channels, in row-major order.
 *
 *   dense           [sample][channel][position]
 *   blocked (B)     [sample][channel / B][position][channel % B]: nCw8c, nChw16c, nCdhw16c... The last block is
 *                   padded: channels that do not exist are zero in whatever a kernel writes, so that sums over whole
 *                   blocks are right
 *   channels last   [sample][position][channel]: nwc, nhwc, ndhwc */
#ifndef PLEAT_OPS_LAYOUT_H
#define PLEAT_OPS_LAYOUT_H

#include "ops/ops.h"

enum { PLEAT_LAYOUT_MIN_RANK = 3, PLEAT_LAYOUT_MAX_RANK = 5, PLEAT_LAYOUT_MAX_BLOCK = 16 };

struct pleat_layout {
  int block; /* channels in a block; 0: channels last; 1: the dense order */
  bool bf16; /* a tensor of float whose elements are stored as bfloat16 */
};

/* Static, so that layouts can be compared as pointers as well and need no arena. */
extern const pleat_layout pleat_channels_last;
/* Blocks of 4, 8 or 16 channels; NULL for any other number. */
const pleat_layout *pleat_layout_blocked(int block);

/* The same order with floats stored as bfloat16, or as themselves. The dense order of floats is NULL. */
const pleat_layout *pleat_layout_as(const pleat_layout *layout, bool bf16);
/* The layout as a plan calls it: where a tensor of these dimensions has the bytes of a dense one, the dense order. */
const pleat_layout *pleat_layout_plainest(const pleat_layout *layout, int rank, const int64_t *dims);
static inline bool pleat_layout_is_bf16(const pleat_layout *layout) {
  return layout != NULL && layout->bf16;
}

/* NULL is dense, in all of these. */
bool pleat_layout_equal(const pleat_layout *a, const pleat_layout *b);
const char *pleat_layout_text(const pleat_layout *layout);
/* Whether the elements of a tensor of these dimensions lie in the dense order: also a single position without padding,
 * and a single channel that is last. */
bool pleat_layout_is_dense(const pleat_layout *layout, int rank, const int64_t *dims);
/* Channels with what pads the last block. */
int64_t pleat_layout_channels(const pleat_layout *layout, int64_t channels);
/* Whether so many channels need no padding. */
bool pleat_layout_fills(const pleat_layout *layout, int64_t channels);
/* Bytes of one stored element of a tensor of that type. */
size_t pleat_layout_element(const pleat_layout *layout, pleat_dtype dtype);
/* Bytes that the tensor takes, padding included; SIZE_MAX when they overflow. */
size_t pleat_layout_bytes(const pleat_tensor *tensor);
/* Zeroes the lanes of the last block that are no channels, of a tensor whose function does not leave zero at zero. */
void pleat_layout_clear_padding(const pleat_tensor *tensor);
/* How a tensor of these dimensions lies around an axis: `outer` runs of `run` elements that follow each other, each
 * with everything from the axis on (what pads blocks included). One run: parts along the axis are contiguous. */
void pleat_layout_span(const pleat_layout *layout, int rank, const int64_t *dims, int axis, int64_t *out_outer,
                       int64_t *out_run);

/* ---- reorder.c ---- */

/* Chooses and prepares the kernel that copies the call's input 0 to output 0, of the same type and shape, each in its
 * tensor's layout; between floats and bfloat16 it rounds to nearest even. */
pleat_status pleat_reorder_take(pleat_call *call, const pleat_kernel **out_kernel);
/* Ours: portable, for every pair of layouts and every type of 1, 2, 4 or 8 bytes. */
extern const pleat_kernel pleat_reorder;

#endif

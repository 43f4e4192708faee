/* Placing activations. First slots that can share memory are joined into groups (views of the same bytes, results
 * written over a dying input); then every group and every step's scratch memory gets an offset in one arena such that
 * nothing that lives at the same time overlaps.
 *
 * The offsets are found by the greedy-by-size rule: largest first, each at the lowest offset that is free for its whole
 * lifetime (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020).
 *
 * Scratch memory that a cache holds is in one place for all steps: there each thread finds its part in its own cache,
 * while other places were last another one's. */
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "plan/plan_private.h"

enum { ALIGNMENT = 64, SMALL_WORKSPACE = 512 * 1024 };

typedef struct block {
  size_t size, offset;
  uint32_t first, last;
  uint32_t slot; /* PLEAT_NO_SLOT: the workspace of step `first`, or of all steps whose workspace is small */
} block;

static void set_lifetimes(pleat_plan *plan) {
  for (size_t i = 0; i < plan->slot_count; i++) plan->slots[i].first = plan->slots[i].last = 0;
  for (size_t s = 0; s < plan->step_count; s++) {
    const pleat_step *step = &plan->steps[s];
    for (size_t i = 0; i < step->node->output_count; i++) {
      if (step->outputs[i] == PLEAT_NO_SLOT) continue;
      plan->slots[step->outputs[i]].first = plan->slots[step->outputs[i]].last = (uint32_t)s;
    }
    for (size_t i = 0; i < step->input_count; i++) {
      if (step->inputs[i] != PLEAT_NO_SLOT) plan->slots[step->inputs[i]].last = (uint32_t)s;
    }
  }
}

/* Graph outputs are written where the caller will find them, when something computes them into plain memory. A value
 * that is several outputs is written once and copied for the others. */
static void bind_outputs(pleat_plan *plan) {
  for (size_t i = 0; i < plan->output_count; i++) {
    pleat_slot *slot = &plan->slots[plan->outputs[i].slot];
    plan->outputs[i].is_copy = true;
    slot->last = UINT32_MAX;
    if (slot->storage != PLEAT_STORAGE_ARENA || !pleat_slot_is_plain(slot) || slot->tensor.dtype == PLEAT_STRING)
      continue;
    slot->storage = PLEAT_STORAGE_OUTPUT;
    slot->io_index = (uint32_t)i;
    plan->outputs[i].is_copy = false;
  }
}

static int by_size(const void *a, const void *b) {
  const block *x = a, *y = b;
  if (x->size != y->size) return x->size > y->size ? -1 : 1;
  return x->first != y->first ? (x->first < y->first ? -1 : 1) : (x->slot > y->slot) - (x->slot < y->slot);
}

/* Blocks that are placed, by offset. */
typedef struct placed {
  const block **blocks;
  size_t count;
} placed;

/* Places a block at the lowest gap between those that it shares time with, and lists it. */
static bool place(placed *all, block *wanted, size_t *out_end) {
  size_t offset = 0, at = all->count;
  for (size_t i = 0; i < all->count; i++) {
    const block *other = all->blocks[i];
    if (other->first > wanted->last || wanted->first > other->last) continue;
    if (offset + wanted->size <= other->offset) break;
    if (other->offset + other->size > offset) offset = other->offset + other->size;
  }
  wanted->offset = offset;
  while (at > 0 && all->blocks[at - 1]->offset > offset) at--;
  memmove(all->blocks + at + 1, all->blocks + at, (all->count - at) * sizeof *all->blocks);
  all->blocks[at] = wanted;
  all->count++;
  return pleat_add_size(offset, wanted->size, out_end);
}

/* What the arena would take if every activation and every step's scratch memory had a place of its own. Before sharing.
 */
static bool add_unshared(pleat_plan *plan) {
  size_t size;
  for (size_t i = 0; i < plan->slot_count; i++) {
    const pleat_slot *slot = &plan->slots[i];
    if (slot->storage != PLEAT_STORAGE_ARENA || !pleat_slot_is_plain(slot)) continue;
    if (!pleat_align_up(pleat_layout_bytes(&slot->tensor), ALIGNMENT, &size)) return false;
    if (!pleat_add_size(plan->unshared_bytes, size, &plan->unshared_bytes)) return false;
  }
  for (size_t s = 0; s < plan->step_count; s++) {
    if (!pleat_align_up(plan->steps[s].call.workspace_size, ALIGNMENT, &size)) return false;
    if (!pleat_add_size(plan->unshared_bytes, size, &plan->unshared_bytes)) return false;
  }
  return true;
}

static size_t collect_blocks(pleat_plan *plan, block *blocks, bool *out_overflow) {
  size_t count = 0, size;
  *out_overflow = false;
  for (uint32_t i = 0; i < plan->slot_count; i++) {
    const pleat_slot *slot = &plan->slots[i];
    if (slot->storage != PLEAT_STORAGE_ARENA || slot->root != i || !pleat_slot_is_plain(slot)) continue;
    if (!pleat_align_up(pleat_layout_bytes(&slot->tensor), ALIGNMENT, &size)) *out_overflow = true;
    blocks[count++] = (block){.size = size, .first = slot->first, .last = slot->last, .slot = i};
  }
  size_t shared = 0;
  for (uint32_t s = 0; s < plan->step_count; s++) {
    size_t wanted = plan->steps[s].call.workspace_size;
    if (wanted == 0) continue;
    if (!pleat_align_up(wanted, ALIGNMENT, &size)) *out_overflow = true;
    if (size > plan->workspace_bytes) plan->workspace_bytes = size;
    if (size > SMALL_WORKSPACE) blocks[count++] = (block){.size = size, .first = s, .last = s, .slot = PLEAT_NO_SLOT};
    else if (size > shared) shared = size;
  }
  if (shared > 0) blocks[count++] = (block){.size = shared, .last = UINT32_MAX, .slot = PLEAT_NO_SLOT};
  return count;
}

static void set_workspace(pleat_plan *plan, const block *placed) {
  const bool is_shared = placed->size <= SMALL_WORKSPACE;
  if (!is_shared) plan->steps[placed->first].workspace_offset = placed->offset;
  for (size_t s = 0; s < plan->step_count && is_shared; s++) {
    if (plan->steps[s].call.workspace_size <= SMALL_WORKSPACE) plan->steps[s].workspace_offset = placed->offset;
  }
}

pleat_status pleat_plan_place(pleat_plan *plan, pleat_error *error) {
  pleat_status status = PLEAT_OK;
  set_lifetimes(plan);
  bind_outputs(plan);
  bool overflow = !add_unshared(plan), too_large = false;
  PLEAT_TRY(pleat_plan_share(plan, error));
  block *blocks = calloc(plan->slot_count + plan->step_count + 1, sizeof *blocks);
  placed all = {.blocks = calloc(plan->slot_count + plan->step_count + 1, sizeof *all.blocks)};
  if (blocks == NULL || all.blocks == NULL) {
    status = PLEAT_OOM(error);
    goto fail;
  }
  size_t count = collect_blocks(plan, blocks, &too_large);
  overflow = overflow || too_large;
  if (count > 1) qsort(blocks, count, sizeof *blocks, by_size);
  for (size_t i = 0; i < count && !overflow; i++) {
    size_t end = 0;
    overflow = !place(&all, &blocks[i], &end);
    if (end > plan->arena_bytes) plan->arena_bytes = end;
    if (blocks[i].slot == PLEAT_NO_SLOT) set_workspace(plan, &blocks[i]);
    else plan->slots[blocks[i].slot].offset = blocks[i].offset;
  }
  if (overflow) status = pleat_fail(error, PLEAT_OUT_OF_MEMORY, "the activations of this shape overflow memory");
fail:
  free(blocks);
  free((void *)all.blocks);
  return status;
}

/* Placing activations. First slots that can share memory are joined into groups (views of the same bytes, results
 * written over a dying input); then every group and every step's scratch memory gets an offset in one arena such that
 * nothing that lives at the same time overlaps.
 *
 * The offsets are found by the greedy-by-size rule: largest first, each at the lowest offset that is free for its whole
 * lifetime (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020). */
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "plan/plan_private.h"

enum { ALIGNMENT = 64 };

typedef struct block {
  size_t size, offset;
  uint32_t first, last;
  uint32_t slot; /* PLEAT_NO_SLOT: the workspace of step `first` */
} block;

static pleat_slot *root_of(pleat_plan *plan, uint32_t slot) {
  while (plan->slots[slot].root != slot) slot = plan->slots[slot].root;
  return &plan->slots[slot];
}

static bool is_plain(const pleat_slot *slot) {
  return slot->tensor.kind == PLEAT_KIND_TENSOR && slot->tensor.rank >= 0;
}

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
    if (slot->storage != PLEAT_STORAGE_ARENA || !is_plain(slot) || slot->tensor.dtype == PLEAT_STRING) continue;
    slot->storage = PLEAT_STORAGE_OUTPUT;
    slot->io_index = (uint32_t)i;
    plan->outputs[i].is_copy = false;
  }
}

/* Joins `from`, which step `s` computes, to the group of `to`. */
static void join(pleat_plan *plan, uint32_t from, pleat_slot *to_root) {
  pleat_slot *slot = &plan->slots[from];
  if (slot->storage == PLEAT_STORAGE_OUTPUT) { /* the whole group moves into the output */
    to_root->storage = PLEAT_STORAGE_OUTPUT;
    to_root->io_index = slot->io_index;
  }
  slot->storage = to_root->storage;
  slot->root = to_root->root;
  if (slot->last > to_root->last) to_root->last = slot->last;
}

static bool try_view(pleat_plan *plan, const pleat_step *step) {
  uint32_t in = step->inputs[0], out = step->outputs[0];
  if (in == PLEAT_NO_SLOT || out == PLEAT_NO_SLOT) return false;
  for (size_t i = 1; i < step->node->output_count; i++) {
    if (step->outputs[i] != PLEAT_NO_SLOT) return false; /* Dropout's mask has to be computed */
  }
  pleat_slot *root = root_of(plan, in), *slot = &plan->slots[out];
  if (!is_plain(slot) || !is_plain(&plan->slots[in])) return false;
  if (slot->tensor.dtype != plan->slots[in].tensor.dtype || slot->tensor.count != plan->slots[in].tensor.count)
    return false;
  if (!pleat_layout_equal(slot->tensor.layout, plan->slots[in].tensor.layout)) return false;
  bool into_output = slot->storage == PLEAT_STORAGE_OUTPUT;
  if (root->storage == PLEAT_STORAGE_DYNAMIC || slot->storage == PLEAT_STORAGE_DYNAMIC) return false;
  if (into_output && root->storage != PLEAT_STORAGE_ARENA) return false; /* inputs and constants have to be copied */
  join(plan, out, root);
  return true;
}

/* Whether step `s` may write its first output over its input `i`: the input's group dies here, is ours to write, and no
 * other input reads it in another way. */
static bool can_overwrite(pleat_plan *plan, const pleat_step *step, uint32_t s, size_t i) {
  uint32_t in = step->inputs[i], out = step->outputs[0];
  if (in == PLEAT_NO_SLOT) return false;
  const pleat_slot *root = root_of(plan, in);
  const pleat_tensor *a = &plan->slots[in].tensor, *b = &plan->slots[out].tensor;
  if (root->storage != PLEAT_STORAGE_ARENA || root->last != s) return false;
  if (a->dtype != b->dtype || !pleat_same_shape(a, b) || !pleat_layout_equal(a->layout, b->layout)) return false;
  for (size_t k = 0; k < step->node->input_count; k++) {
    if (step->inputs[k] == PLEAT_NO_SLOT || step->inputs[k] == in) continue;
    if (root_of(plan, step->inputs[k]) == root) return false;
  }
  return true;
}

static void share(pleat_plan *plan) {
  for (size_t s = 0; s < plan->step_count; s++) {
    pleat_step *step = &plan->steps[s];
    if (step->kernel == NULL || step->node->output_count == 0 || step->outputs[0] == PLEAT_NO_SLOT) continue;
    if ((step->kernel->flags & PLEAT_KERNEL_VIEW) != 0 && step->node->input_count > 0) {
      step->is_view = try_view(plan, step);
      continue;
    }
    const pleat_slot *out = &plan->slots[step->outputs[0]];
    if (!is_plain(out) || out->storage == PLEAT_STORAGE_DYNAMIC) continue;
    for (size_t i = 0; i < step->node->input_count && i < 32; i++) {
      if ((step->kernel->inplace >> i & 1) == 0 || !can_overwrite(plan, step, (uint32_t)s, i)) continue;
      join(plan, step->outputs[0], root_of(plan, step->inputs[i]));
      break;
    }
  }
}

static int by_size(const void *a, const void *b) {
  const block *x = a, *y = b;
  if (x->size != y->size) return x->size > y->size ? -1 : 1;
  return x->first != y->first ? (x->first < y->first ? -1 : 1) : (x->slot > y->slot) - (x->slot < y->slot);
}

static int by_offset(const void *a, const void *b) {
  const block *x = *(const block *const *)a, *y = *(const block *const *)b;
  return (x->offset > y->offset) - (x->offset < y->offset);
}

/* Places blocks[index], given that all before it are placed: the lowest gap between those it shares time with. */
static bool place(block *blocks, size_t index, const block **conflicts, size_t *out_end) {
  size_t count = 0, offset = 0;
  block *wanted = &blocks[index];
  for (size_t i = 0; i < index; i++) {
    if (blocks[i].first <= wanted->last && wanted->first <= blocks[i].last) conflicts[count++] = &blocks[i];
  }
  if (count > 1) qsort(conflicts, count, sizeof *conflicts, by_offset);
  for (size_t i = 0; i < count; i++) {
    if (offset + wanted->size <= conflicts[i]->offset) break;
    size_t end = conflicts[i]->offset + conflicts[i]->size;
    if (end > offset) offset = end;
  }
  wanted->offset = offset;
  return pleat_add_size(offset, wanted->size, out_end);
}

/* What the arena would take if every activation and every step's scratch memory had a place of its own. Before sharing.
 */
static bool add_unshared(pleat_plan *plan) {
  size_t size;
  for (size_t i = 0; i < plan->slot_count; i++) {
    const pleat_slot *slot = &plan->slots[i];
    if (slot->storage != PLEAT_STORAGE_ARENA || !is_plain(slot)) continue;
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
    if (slot->storage != PLEAT_STORAGE_ARENA || slot->root != i || !is_plain(slot)) continue;
    if (!pleat_align_up(pleat_layout_bytes(&slot->tensor), ALIGNMENT, &size)) *out_overflow = true;
    blocks[count++] = (block){.size = size, .first = slot->first, .last = slot->last, .slot = i};
  }
  for (uint32_t s = 0; s < plan->step_count; s++) {
    size_t wanted = plan->steps[s].call.workspace_size;
    if (wanted == 0) continue;
    if (!pleat_align_up(wanted, ALIGNMENT, &size)) *out_overflow = true;
    blocks[count++] = (block){.size = size, .first = s, .last = s, .slot = PLEAT_NO_SLOT};
    if (size > plan->workspace_bytes) plan->workspace_bytes = size;
  }
  return count;
}

pleat_status pleat_plan_place(pleat_plan *plan, pleat_error *error) {
  pleat_status status = PLEAT_OK;
  set_lifetimes(plan);
  bind_outputs(plan);
  bool overflow = !add_unshared(plan), too_large = false;
  share(plan);
  block *blocks = calloc(plan->slot_count + plan->step_count + 1, sizeof *blocks);
  const block **conflicts = calloc(plan->slot_count + plan->step_count + 1, sizeof *conflicts);
  if (blocks == NULL || conflicts == NULL) {
    status = PLEAT_OOM(error);
    goto fail;
  }
  size_t count = collect_blocks(plan, blocks, &too_large);
  overflow = overflow || too_large;
  if (count > 1) qsort(blocks, count, sizeof *blocks, by_size);
  for (size_t i = 0; i < count && !overflow; i++) {
    size_t end = 0;
    overflow = !place(blocks, i, conflicts, &end);
    if (end > plan->arena_bytes) plan->arena_bytes = end;
    if (blocks[i].slot == PLEAT_NO_SLOT) plan->steps[blocks[i].first].workspace_offset = blocks[i].offset;
    else plan->slots[blocks[i].slot].offset = blocks[i].offset;
  }
  if (overflow) status = pleat_fail(error, PLEAT_OUT_OF_MEMORY, "the activations of this shape overflow memory");
fail:
  free(blocks);
  free(conflicts);
  return status;
}

/* Which slots of a plan share memory. Three reasons: a piece has its place in a whole (the inputs of a Concat, the
 * outputs of a Split or Slice), a view is its input with another shape, and a result is written over a dying input.
 *
 * Slots that share are a group: a tree of slots, each with its byte offset in the slot that it was put into, down to
 * the root, which is as large as the group. Invariants: bytes that two members of a group have in common hold the same
 * values for as long as both are needed; and no group is made of two that both have memory of their own (callers',
 * constants').
 *
 * Wholes that are joined come first, the largest first, because their pieces' producers run before the whole exists: of
 * nested ones (each layer of a DenseNet joins all earlier features again) the largest takes all pieces, and the smaller
 * ones find theirs side by side in it already. Then the steps in order. */
#include <stdlib.h>

#include "plan/plan_private.h"

typedef struct sharing {
  pleat_plan *plan;
  /* By slot: the next member of its group. By root: the last one. Groups are lists that begin with the root; members
   * that no step needs any more have been dropped from them. */
  uint32_t *next, *tail;
  size_t *offsets; /* room for the pieces of one step */
} sharing;

static size_t bytes_of(const pleat_plan *plan, uint32_t slot) {
  return pleat_layout_bytes(&plan->slots[slot].tensor);
}

static bool is_shareable(const pleat_plan *plan, uint32_t slot) {
  if (slot == PLEAT_NO_SLOT) return false;
  const pleat_slot *s = &plan->slots[slot];
  return pleat_slot_is_plain(s) && s->storage != PLEAT_STORAGE_DYNAMIC && s->storage != PLEAT_STORAGE_NONE;
}

/* The root of a slot's group and where in it the slot begins. Shortens the way for the next time. */
static uint32_t find(pleat_plan *plan, uint32_t slot, size_t *out_offset) {
  uint32_t root = slot;
  *out_offset = 0;
  for (; plan->slots[root].root != root; root = plan->slots[root].root) *out_offset += plan->slots[root].offset;
  if (root != slot) {
    plan->slots[slot].root = root;
    plan->slots[slot].offset = *out_offset;
  }
  return root;
}

/* Has `inner` begin `offset` bytes into `outer`, with all that either shares. False when that cannot be: the group that
 * moves has to be ours to place and no larger than `inner`. */
static bool put(sharing *s, uint32_t inner, uint32_t outer, size_t offset) {
  pleat_slot *slots = s->plan->slots;
  size_t inner_at, outer_at;
  const uint32_t moved = find(s->plan, inner, &inner_at), root = find(s->plan, outer, &outer_at);
  if (moved == root) return inner_at == outer_at + offset;
  if (slots[moved].storage != PLEAT_STORAGE_ARENA || inner_at != 0) return false;
  if (bytes_of(s->plan, moved) != bytes_of(s->plan, inner)) return false;
  slots[moved].root = root;
  slots[moved].offset = outer_at + offset;
  s->next[s->tail[root]] = moved;
  s->tail[root] = s->tail[moved];
  return true;
}

/* ---- joining ---- */

/* Whether all pieces lie side by side in one group, as the whole wants them: then it is a view of that group. */
static bool is_there_already(sharing *s, const pleat_step *step) {
  uint32_t root = PLEAT_NO_SLOT;
  size_t begin = 0, at;
  for (size_t i = 0; i < step->node->input_count; i++) {
    const uint32_t slot = step->inputs[i];
    if (!is_shareable(s->plan, slot) || s->offsets[i] == PLEAT_NO_OFFSET) return false;
    if (s->plan->slots[slot].tensor.count == 0) continue;
    const uint32_t found = find(s->plan, slot, &at);
    if (root == PLEAT_NO_SLOT) { /* the first piece: where the whole would begin */
      root = found;
      begin = at;
    }
    if (found != root || at != begin + s->offsets[i]) return false;
  }
  return root != PLEAT_NO_SLOT;
}

static void join_pieces(sharing *s, pleat_step *step) {
  const uint32_t whole = step->outputs[0];
  const size_t count = step->node->input_count;
  step->piece_count = (uint32_t)count;
  step->kernel->pieces(&step->call, s->offsets);
  size_t first = 0;
  while (first + 1 < count && s->plan->slots[step->inputs[first]].tensor.count == 0) first++;
  const bool is_view = is_there_already(s, step) && put(s, whole, step->inputs[first], 0);
  for (size_t i = 0; i < count; i++) {
    const uint32_t piece = step->inputs[i];
    if (!is_shareable(s->plan, piece) || s->offsets[i] == PLEAT_NO_OFFSET) continue;
    const bool is_empty = s->plan->slots[piece].tensor.count == 0;
    step->pieces_in_place += is_view || is_empty || put(s, piece, whole, s->offsets[i]);
  }
  step->is_view = step->pieces_in_place == count;
}

typedef struct join {
  size_t bytes;
  uint32_t step;
} join;

static int largest_first(const void *a, const void *b) {
  const join *x = a, *y = b;
  if (x->bytes != y->bytes) return x->bytes > y->bytes ? -1 : 1;
  return (x->step > y->step) - (x->step < y->step);
}

static bool share_joined(sharing *s) {
  const pleat_plan *plan = s->plan;
  join *joins = calloc(plan->step_count + 1, sizeof *joins);
  size_t count = 0;
  if (joins == NULL) return false;
  for (uint32_t i = 0; i < plan->step_count; i++) {
    const pleat_step *step = &plan->steps[i];
    if (step->kernel == NULL || (step->kernel->flags & PLEAT_KERNEL_JOINS) == 0) continue;
    if (!is_shareable(plan, step->outputs[0]) || plan->slots[step->outputs[0]].tensor.count == 0) continue;
    joins[count++] = (join){.bytes = bytes_of(plan, step->outputs[0]), .step = i};
  }
  if (count > 1) qsort(joins, count, sizeof *joins, largest_first);
  for (size_t i = 0; i < count; i++) join_pieces(s, &plan->steps[joins[i].step]);
  free(joins);
  return true;
}

/* ---- views and cuts ---- */

static bool share_view(sharing *s, const pleat_step *step) {
  const uint32_t in = step->inputs[0], out = step->outputs[0];
  if (!is_shareable(s->plan, in) || !is_shareable(s->plan, out)) return false;
  for (size_t i = 1; i < step->node->output_count; i++) {
    if (step->outputs[i] != PLEAT_NO_SLOT) return false; /* Dropout's mask has to be computed */
  }
  const pleat_tensor *a = &s->plan->slots[in].tensor, *b = &s->plan->slots[out].tensor;
  if (a->dtype != b->dtype || a->count != b->count || !pleat_layout_equal(a->layout, b->layout)) return false;
  /* When the view already has its place (an output, a piece of something joined), its input moves there. */
  return put(s, out, in, 0) || put(s, in, out, 0);
}

static void share_cuts(sharing *s, pleat_step *step) {
  uint32_t wanted = 0;
  if (!is_shareable(s->plan, step->inputs[0])) return;
  step->kernel->pieces(&step->call, s->offsets);
  for (size_t i = 0; i < step->node->output_count; i++) {
    const uint32_t piece = step->outputs[i];
    if (piece == PLEAT_NO_SLOT) continue;
    wanted++;
    if (!is_shareable(s->plan, piece) || s->offsets[i] == PLEAT_NO_OFFSET) continue;
    const bool is_empty = s->plan->slots[piece].tensor.count == 0;
    step->pieces_in_place += is_empty || put(s, piece, step->inputs[0], s->offsets[i]);
  }
  step->piece_count = wanted;
  step->is_view = step->pieces_in_place == wanted;
}

/* ---- in place ---- */

/* Whether step `s` may write over the bytes of `slot`, which it reads: they are ours, and nothing that shares them is
 * needed by this step in another way or by a later one. */
static bool is_free(sharing *s, uint32_t slot, uint32_t step) {
  pleat_slot *slots = s->plan->slots;
  size_t begin, at;
  const uint32_t root = find(s->plan, slot, &begin);
  const size_t end = begin + bytes_of(s->plan, slot);
  if (slots[root].storage != PLEAT_STORAGE_ARENA) return false;
  bool is_last = false;
  for (uint32_t previous = root, i = root; !is_last; i = s->next[i]) {
    is_last = i == s->tail[root];
    if (i != root && i != slot && slots[i].last < step) { /* steps come in order: it will never matter again */
      s->next[previous] = s->next[i];
      if (is_last) s->tail[root] = previous;
      continue;
    }
    (void)find(s->plan, i, &at);
    const bool meets = at < end && begin < at + bytes_of(s->plan, i);
    if (meets && (i == slot ? slots[i].last > step : slots[i].last >= step)) return false;
    previous = i;
  }
  return true;
}

static void share_in_place(sharing *s, const pleat_step *step, uint32_t index) {
  const uint32_t out = step->outputs[0];
  if (!is_shareable(s->plan, out)) return;
  for (size_t i = 0; i < step->node->input_count && i < 32; i++) {
    const uint32_t in = step->inputs[i];
    if ((step->kernel->inplace >> i & 1) == 0 || !is_shareable(s->plan, in)) continue;
    const pleat_tensor *a = &s->plan->slots[in].tensor, *b = &s->plan->slots[out].tensor;
    if (a->dtype != b->dtype || !pleat_same_shape(a, b) || !pleat_layout_equal(a->layout, b->layout)) continue;
    if (is_free(s, in, index) && (put(s, out, in, 0) || put(s, in, out, 0))) return;
  }
}

static void share_steps(sharing *s) {
  for (uint32_t i = 0; i < s->plan->step_count; i++) {
    pleat_step *step = &s->plan->steps[i];
    if (step->kernel == NULL || step->node->output_count == 0) continue;
    const unsigned flags = step->kernel->flags;
    if ((flags & PLEAT_KERNEL_VIEW) != 0 && step->node->input_count > 0) step->is_view = share_view(s, step);
    else if ((flags & PLEAT_KERNEL_CUTS) != 0) share_cuts(s, step);
    else if ((flags & PLEAT_KERNEL_JOINS) == 0) share_in_place(s, step, i);
  }
}

/* What others need to know of groups: one step to the root, its storage, and its lifetime. */
static void settle(pleat_plan *plan) {
  for (uint32_t i = 0; i < plan->slot_count; i++) {
    size_t offset;
    pleat_slot *slot = &plan->slots[i], *root = &plan->slots[find(plan, i, &offset)];
    if (slot == root) continue;
    slot->storage = root->storage;
    if (slot->first < root->first) root->first = slot->first;
    if (slot->last > root->last) root->last = slot->last;
  }
}

pleat_status pleat_plan_share(pleat_plan *plan, pleat_error *error) {
  size_t most = 1;
  for (size_t i = 0; i < plan->step_count; i++) {
    const pleat_node *node = plan->steps[i].node;
    if (node->input_count > most) most = node->input_count;
    if (node->output_count > most) most = node->output_count;
  }
  sharing s = {.plan = plan,
               .next = calloc(plan->slot_count + 1, sizeof *s.next),
               .tail = calloc(plan->slot_count + 1, sizeof *s.tail),
               .offsets = calloc(most, sizeof *s.offsets)};
  bool good = s.next != NULL && s.tail != NULL && s.offsets != NULL;
  for (uint32_t i = 0; good && i < plan->slot_count; i++) s.tail[i] = i;
  good = good && share_joined(&s);
  if (good) share_steps(&s);
  settle(plan);
  free(s.next);
  free(s.tail);
  free(s.offsets);
  return good ? PLEAT_OK : PLEAT_OOM(error);
}

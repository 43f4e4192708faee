/* Packed constants: weights in the layout that a kernel wants, made once and shared.
 *
 * A kernel whose weight is constant asks for it in prepare, by a format of its own:
 *
 *   if (pleat_call_is_constant(call, INPUT_W)) {
 *     const pleat_pack_format format = {.key = &key, .key_size = sizeof key, .bytes = ..., .fill = fill, .user = &key};
 *     PLEAT_TRY(pleat_call_pack(call, INPUT_W, &format, &state->weights));
 *   }
 *
 * and declares with `.packs = 1u << INPUT_W` that it reads that input, when it is constant, in no other way: then the
 * input has no data (NULL, in prepare and in run), and what lies in the model's file, or is yet to be computed of it
 * (folded weights), is read only while it is being packed.
 *
 * The same constant in the same format is made once for all plans of a session and for all sessions of a model, and
 * lives as long as one of the plans that asked for it. Without a plan (a step that is prepared while running, a unit
 * test) it lives in call->arena. Either way a kernel does not release it.
 *
 * Who is the same: constants by the place of their stored elements, their factors and the type that the kernel sees
 * them in; formats by the bytes of their key. */
#ifndef PLEAT_OPS_PACKS_H
#define PLEAT_OPS_PACKS_H

#include "core/recipe.h"
#include "ops/ops.h"

/* ---- for kernels ---- */

typedef struct pleat_pack_source pleat_pack_source;

typedef struct pleat_pack_format {
  /* Tells this format from all others, of all kernels: begins with the kernel's name, has all that `fill` depends on,
   * and no undefined bytes (padding). */
  const void *key;
  size_t key_size;
  size_t bytes; /* of the pack: aligned to 64, and zero when `fill` begins */
  pleat_status (*fill)(const pleat_pack_source *source, const void *user, void *pack, pleat_error *error);
  const void *user;
} pleat_pack_format;

/* Whether the input's data are known in prepare, be it that only a pack may read them. */
static inline bool pleat_call_is_constant(const pleat_call *call, size_t input) {
  const pleat_tensor *tensor = pleat_in(call, input);
  return tensor != NULL && (tensor->data != NULL || (call->recipes != NULL && call->recipes[input] != NULL));
}

/* prepare: the constant input in a format. Errors: what `fill` gives; OUT_OF_MEMORY. */
pleat_status pleat_call_pack(pleat_call *call, size_t input, const pleat_pack_format *format, const void **out_pack);
/* prepare: the constant input as it is, dense, for as long as a pack would live: where it is stored, if it can be read
 * there, else a pack. */
pleat_status pleat_call_dense(pleat_call *call, size_t input, const void **out_data);

/* fill: the elements first to first + count - 1, dense, in the type of the call's tensor. From any thread. Large pieces
 * (a MiB and more) are best: what they were read from leaves memory at once. What is read twice is computed twice. */
void pleat_pack_read(const pleat_pack_source *source, size_t first, size_t count, void *out);
/* The tensor as the kernel sees it: type, shape, count; no data. */
const pleat_tensor *pleat_pack_tensor(const pleat_pack_source *source);

/* ---- for the model, which has the store, and for plans, which hold packs ---- */

typedef struct pleat_packs pleat_packs;
typedef struct pleat_pack pleat_pack;

/* A store. `give_back` is told of stored elements that were read, and may not be needed soon; from any thread. */
pleat_packs *pleat_packs_create(void (*give_back)(void *user, const void *data, size_t size), void *user);
void pleat_packs_destroy(pleat_packs *packs); /* NULL is accepted; nothing is held any more */
size_t pleat_packs_bytes(pleat_packs *packs); /* of all packs in it */

/* What one plan holds. */
typedef struct pleat_pack_list {
  pleat_packs *store;
  pleat_arena *arena; /* of the plan */
  pleat_pack **held;
  size_t count, capacity;
} pleat_pack_list;

/* Lets go of all but the first `keep`. */
void pleat_pack_list_release(pleat_pack_list *list, size_t keep);

#endif

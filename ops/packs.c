/* The store of packed constants of one model, and asking it. See packs.h.
 *
 * One lock, held also while a pack is filled: whoever asks for the same pack at that time has to wait for it anyway.
 * Only plan building asks; a run never does. A pack's key is copied into it: the constant's identity, then the format's
 * key. Identities are addresses of the model's memory, or of a graph's; both outlive the packs that name them, since a
 * plan lets go of its packs before its graph goes, and the store goes with its model. */
#define HASH_NONFATAL_OOM 1
#include "ops/packs.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "core/memory.h"

enum { GIVE_BACK_BYTES = 1 << 20 }; /* what is read in pieces this large is given back piece by piece */

struct pleat_pack {
  size_t users;
  void *data;
  size_t bytes;
  void *key;
  UT_hash_handle hh;
};

struct pleat_packs {
  pthread_mutex_t lock; /* guards all of it */
  pleat_pack *packs;
  pleat_pool pool; /* of their data */
  size_t bytes;
  void (*give_back)(void *user, const void *data, size_t size);
  void *user;
};

struct pleat_pack_source {
  const pleat_tensor *tensor; /* as the kernel sees it */
  const pleat_recipe *recipe; /* NULL: the tensor's own data */
  pleat_packs *store;         /* NULL: nobody to give anything back to */
};

/* ---- reading ---- */

static void give_back(const pleat_pack_source *source, size_t first, size_t count) {
  const size_t size = pleat_dtype_size(source->recipe->stored);
  const pleat_packs *store = source->store;
  if (store == NULL || store->give_back == NULL || source->recipe->owner != NULL) return;
  store->give_back(store->user, (const char *)source->recipe->tensor.data + first * size, count * size);
}

void pleat_pack_read(const pleat_pack_source *source, size_t first, size_t count, void *out) {
  const pleat_tensor *tensor = source->tensor;
  const size_t size = pleat_dtype_size(tensor->dtype);
  if (source->recipe == NULL) {
    if (count > 0) memcpy(out, (const char *)tensor->data + first * size, count * size);
    return;
  }
  pleat_recipe_read(source->recipe, tensor->dtype, first, count, out);
  if (count * size >= GIVE_BACK_BYTES) give_back(source, first, count);
}

const pleat_tensor *pleat_pack_tensor(const pleat_pack_source *source) {
  return source->tensor;
}

/* ---- keys ---- */

typedef struct key_writer {
  char *at; /* NULL: only counts */
  size_t size;
} key_writer;

static void write_key(key_writer *w, const void *data, size_t size) {
  if (w->at != NULL && size > 0) memcpy(w->at + w->size, data, size);
  w->size += size;
}

static void write_size(key_writer *w, size_t value) {
  write_key(w, &value, sizeof value);
}

static void write_keys(key_writer *w, const pleat_pack_source *source, const pleat_pack_format *format) {
  const pleat_recipe *recipe = source->recipe;
  write_size(w, (uintptr_t)recipe->origin);
  write_size(w, (size_t)source->tensor->dtype);
  write_size(w, (size_t)recipe->tensor.dtype); /* what factors give is rounded to it */
  write_size(w, source->tensor->count);
  for (const pleat_factors *f = recipe->factors; f != NULL; f = f->next) {
    const size_t axis[] = {f->value_count, f->channels, f->inner, f->outer};
    write_key(w, axis, sizeof axis);
    write_key(w, f->values, f->value_count * sizeof *f->values);
  }
  write_size(w, SIZE_MAX); /* ends the factors: no axis has as many */
  write_key(w, format->key, format->key_size);
}

static void *make_key(const pleat_pack_source *source, const pleat_pack_format *format, size_t *out_size) {
  key_writer count = {.at = NULL};
  write_keys(&count, source, format);
  key_writer writer = {.at = malloc(count.size)};
  if (writer.at != NULL) write_keys(&writer, source, format);
  *out_size = count.size;
  return writer.at;
}

/* ---- the store ---- */

pleat_packs *pleat_packs_create(void (*give_back)(void *user, const void *data, size_t size), void *user) {
  pleat_packs *packs = calloc(1, sizeof *packs);
  if (packs == NULL || pthread_mutex_init(&packs->lock, NULL) != 0) {
    free(packs);
    return NULL;
  }
  packs->give_back = give_back;
  packs->user = user;
  return packs;
}

static void free_pack(pleat_packs *store, pleat_pack *pack) {
  if (pack == NULL) return;
  pleat_pool_free(&store->pool, pack->data, pack->bytes);
  free(pack->key);
  free(pack);
}

void pleat_packs_destroy(pleat_packs *packs) {
  if (packs == NULL) return;
  pthread_mutex_destroy(&packs->lock);
  free(packs);
}

size_t pleat_packs_bytes(pleat_packs *packs) {
  pthread_mutex_lock(&packs->lock);
  const size_t bytes = packs->bytes;
  pthread_mutex_unlock(&packs->lock);
  return bytes;
}

/* A new pack under `key`, which it takes over, also when it fails. */
static pleat_status make_pack(const pleat_pack_source *source, const pleat_pack_format *format, void *key,
                              size_t key_size, pleat_pack **out_pack, pleat_error *error) {
  pleat_packs *store = source->store;
  pleat_status status = PLEAT_OK;
  pleat_pack *pack = calloc(1, sizeof *pack);
  if (pack == NULL) {
    free(key);
    return PLEAT_OOM(error);
  }
  pack->key = key;
  pack->bytes = format->bytes;
  pack->data = pleat_pool_alloc(&store->pool, format->bytes);
  if (pack->data == NULL)
    PLEAT_CHECK(pleat_fail(error, PLEAT_OUT_OF_MEMORY, "no %zu bytes for a packed weight", format->bytes));
  PLEAT_CHECK(format->fill(source, format->user, pack->data, error));
  give_back(source, 0, source->recipe->tensor.count);
  HASH_ADD_KEYPTR(hh, store->packs, pack->key, key_size, pack);
  if (pack->hh.tbl == NULL) PLEAT_CHECK(PLEAT_OOM(error));
  store->bytes += pack->bytes;
  *out_pack = pack;
  return PLEAT_OK;
fail:
  free_pack(store, pack);
  return status;
}

static void let_go(pleat_packs *store, pleat_pack *pack) {
  if (--pack->users > 0) return;
  HASH_DEL(store->packs, pack);
  store->bytes -= pack->bytes;
  free_pack(store, pack);
}

/* Finds or makes the pack and adds it to the list. */
static pleat_status take(pleat_pack_list *list, const pleat_pack_source *source, const pleat_pack_format *format,
                         const void **out_data, pleat_error *error) {
  pleat_packs *store = list->store;
  pleat_pack *pack = NULL;
  pleat_status status = PLEAT_OK;
  size_t key_size;
  void *key = make_key(source, format, &key_size);
  if (key == NULL) return PLEAT_OOM(error);
  pthread_mutex_lock(&store->lock);
  HASH_FIND(hh, store->packs, key, key_size, pack);
  if (pack != NULL) free(key);
  else status = make_pack(source, format, key, key_size, &pack, error);
  if (status == PLEAT_OK) {
    pack->users++;
    *out_data = pack->data;
    if (!PLEAT_PUSH(list->arena, list->held, list->count, list->capacity, pack)) {
      let_go(store, pack);
      status = PLEAT_OOM(error);
    }
  }
  pthread_mutex_unlock(&store->lock);
  return status;
}

void pleat_pack_list_release(pleat_pack_list *list, size_t keep) {
  if (list->count <= keep) return;
  pthread_mutex_lock(&list->store->lock);
  while (list->count > keep) let_go(list->store, list->held[--list->count]);
  pthread_mutex_unlock(&list->store->lock);
}

/* ---- asking ---- */

pleat_status pleat_call_pack(pleat_call *call, size_t input, const pleat_pack_format *format, const void **out_pack) {
  const pleat_recipe *recipe = call->recipes != NULL ? call->recipes[input] : NULL;
  const pleat_pack_source source = {
      .tensor = call->inputs[input], .recipe = recipe, .store = call->packs != NULL ? call->packs->store : NULL};
  *out_pack = NULL;
  if (recipe != NULL && source.store != NULL) return take(call->packs, &source, format, out_pack, call->error);
  void *pack = pleat_arena_aligned(call->arena, format->bytes, 64);
  if (pack == NULL) return PLEAT_OOM(call->error);
  PLEAT_TRY(format->fill(&source, format->user, pack, call->error));
  *out_pack = pack;
  return PLEAT_OK;
}

static pleat_status fill_dense(const pleat_pack_source *source, const void *user, void *pack, pleat_error *error) {
  const size_t count = source->tensor->count, size = pleat_dtype_size(source->tensor->dtype);
  (void)user, (void)error;
  for (size_t at = 0; at < count; at += GIVE_BACK_BYTES) {
    const size_t n = count - at < GIVE_BACK_BYTES ? count - at : GIVE_BACK_BYTES;
    pleat_pack_read(source, at, n, (char *)pack + at * size);
  }
  return PLEAT_OK;
}

pleat_status pleat_call_dense(pleat_call *call, size_t input, const void **out_data) {
  static const char key[] = "dense";
  const pleat_tensor *tensor = call->inputs[input];
  const pleat_pack_format format = {
      .key = key, .key_size = sizeof key, .bytes = pleat_bytes(tensor), .fill = fill_dense};
  *out_data = tensor->data;
  if (tensor->data != NULL) return PLEAT_OK;
  const pleat_recipe *recipe = call->recipes[input];
  if (recipe->tensor.dtype == tensor->dtype) *out_data = pleat_recipe_in_place(recipe);
  return *out_data != NULL ? PLEAT_OK : pleat_call_pack(call, input, &format, out_data);
}

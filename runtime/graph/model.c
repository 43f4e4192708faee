/* Models: a decoded file, or an exported graph on top of one.
 *
 * An exported model shares the messages of what was not edited with its source, which it retains; at the end of the
 * chain is a loaded file. Reference counts are atomic, everything else is written once before the model is published.
 */
#include "graph/graph_private.h"
#include "ops/packs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

pleat_proto *pleat_model_proto(const pleat_model *model) {
  while (model != NULL && model->proto == NULL) model = model->source;
  return model != NULL ? model->proto : NULL;
}

/* A graph that cannot be imported is reported when the model is loaded, not when it is first used. */
static pleat_status check(const pleat_model *model, pleat_error *error) {
  pleat_graph *graph = NULL;
  pleat_status status = pleat_graph_import(model, &(pleat_import_options){.inline_functions = true}, &graph, error);
  pleat_graph_destroy(graph);
  return status;
}

/* Takes `proto` over, also when it fails. */
static pleat_status publish(pleat_proto *proto, pleat_model **out_model, pleat_error *error) {
  pleat_status status = PLEAT_OK;
  pleat_model *model = calloc(1, sizeof *model);
  if (model == NULL) {
    pleat_proto_destroy(proto);
    return PLEAT_OOM(error);
  }
  model->refs = 1;
  model->proto = proto;
  model->message = pleat_proto_model(proto);
  if (!pleat_model_open(model)) PLEAT_CHECK(PLEAT_OOM(error));
  PLEAT_CHECK(check(model, error));
  *out_model = model;
  return PLEAT_OK;
fail:
  pleat_model_release(model);
  return status;
}

pleat_status pleat_model_load(const char *path, pleat_model **out_model, pleat_error *error) {
  if (out_model == NULL) return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "pleat_model_load: out_model is NULL");
  pleat_proto *proto = NULL;
  *out_model = NULL;
  if (path == NULL) return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "pleat_model_load: path is NULL");
  pleat_status status = pleat_proto_load(path, &proto, error);
  if (status == PLEAT_OK) status = publish(proto, out_model, error);
  if (status != PLEAT_OK) pleat_error_at_file(error, path);
  return status;
}

pleat_status pleat_model_load_memory(const void *data, size_t size, const char *base_dir, pleat_model **out_model,
                                     pleat_error *error) {
  if (out_model == NULL) return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "pleat_model_load_memory: out_model is NULL");
  pleat_proto *proto = NULL;
  *out_model = NULL;
  if (data == NULL && size != 0) {
    return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "pleat_model_load_memory: data is NULL");
  }
  PLEAT_TRY(pleat_proto_load_memory(data, size, base_dir, &proto, error));
  return publish(proto, out_model, error);
}

/* ---- recipes ---- */

struct pleat_recipe_entry {
  const Onnx__TensorProto *message;
  const pleat_recipe *recipe;
  UT_hash_handle hh;
};

const pleat_recipe *pleat_model_recipe(const pleat_model *model, const Onnx__TensorProto *message) {
  for (; model != NULL; model = model->source) {
    struct pleat_recipe_entry *entry = NULL;
    HASH_FIND_PTR(model->recipes, &message, entry);
    if (entry != NULL) return entry->recipe;
  }
  return NULL;
}

bool pleat_model_add_recipe(pleat_model *model, const Onnx__TensorProto *message, const pleat_recipe *recipe) {
  struct pleat_recipe_entry *entry = pleat_arena_alloc(model->arena, sizeof *entry);
  if (entry == NULL) return false;
  entry->message = message;
  entry->recipe = recipe;
  HASH_ADD_PTR(model->recipes, message, entry);
  return entry->hh.tbl != NULL;
}

/* ---- packed constants ---- */

static void give_back(void *user, const void *data, size_t size) {
  pleat_proto_give_back(user, data, size);
}

void pleat_graph_give_back(const pleat_graph *graph) {
  pleat_proto_give_back_all(pleat_model_proto(graph->root->model));
}

/* The store of packed constants is there from the start, so that sessions need no lock to find it. */
bool pleat_model_open(pleat_model *model) {
  model->packs = pleat_packs_create(give_back, pleat_model_proto(model));
  return model->packs != NULL;
}

pleat_packs *pleat_graph_packs(const pleat_graph *graph) {
  return graph->root->model->packs;
}

/* ---- saving ---- */

/* Pieces begin and end between elements: no type has more than 16 bytes. */
static void compute_piece(const void *user, size_t offset, size_t size, void *out) {
  const pleat_recipe *recipe = user;
  const size_t element = pleat_dtype_size(recipe->tensor.dtype);
  pleat_recipe_read(recipe, recipe->tensor.dtype, offset / element, size / element, out);
}

static pleat_status tensor_bytes(void *user, const Onnx__TensorProto *tensor, pleat_proto_stored *out,
                                 pleat_error *error) {
  const pleat_model *model = user;
  const pleat_recipe *recipe = pleat_model_recipe(model, tensor);
  *out = (pleat_proto_stored){0};
  if (recipe == NULL) return pleat_proto_tensor_bytes(pleat_model_proto(model), tensor, &out->data, &out->size, error);
  out->size = pleat_bytes(&recipe->tensor);
  out->fill = compute_piece;
  out->user = recipe;
  return PLEAT_OK;
}

pleat_status pleat_model_save(const pleat_model *model, const char *path, pleat_external external, pleat_error *error) {
  if (model == NULL || path == NULL) {
    return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "pleat_model_save: %s is NULL", model == NULL ? "model" : "path");
  }
  pleat_status status = pleat_proto_save(model->message, path, external, tensor_bytes, (void *)(uintptr_t)model, error);
  if (status != PLEAT_OK) pleat_error_at_file(error, path);
  return status;
}

pleat_status pleat_model_save_memory(const pleat_model *model, void **out_data, size_t *out_size, pleat_error *error) {
  if (model == NULL || out_data == NULL || out_size == NULL) {
    return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "pleat_model_save_memory: an argument is NULL");
  }
  *out_data = NULL;
  *out_size = 0;
  return pleat_proto_pack_model(model->message, tensor_bytes, (void *)(uintptr_t)model, out_data, out_size, error);
}

/* The highest version of ai.onnx's operators that is asked for. */
static int64_t newest_opset(const Onnx__ModelProto *message) {
  int64_t newest = 0;
  for (size_t f = 0; f <= message->n_functions; f++) {
    const Onnx__FunctionProto *function = f < message->n_functions ? message->functions[f] : NULL;
    const size_t count = function != NULL ? function->n_opset_import : message->n_opset_import;
    for (size_t i = 0; i < count; i++) {
      const Onnx__OperatorSetIdProto *opset = (function != NULL ? function->opset_import : message->opset_import)[i];
      if (pleat_normal_domain(opset->domain)[0] == '\0' && opset->version > newest) newest = opset->version;
    }
  }
  return newest;
}

const char *pleat_model_warning(const pleat_model *model, char *buffer, size_t size) {
  if (size == 0) return NULL;
  buffer[0] = '\0';
  const int64_t ir_version = model->message->ir_version, opset = newest_opset(model->message);
  size_t used = 0;
  if (ir_version > PLEAT_NEWEST_IR_VERSION) {
    int wrote =
        snprintf(buffer, size, "IR version %lld is newer than %d, the newest known here: what it added is ignored",
                 (long long)ir_version, PLEAT_NEWEST_IR_VERSION);
    used = wrote > 0 && (size_t)wrote < size ? (size_t)wrote : size - 1;
  }
  if (opset > PLEAT_NEWEST_OPSET) {
    snprintf(buffer + used, size - used,
             "%sopset %lld is newer than %d, the newest known here: operators that it changed are taken as they were",
             used > 0 ? "; " : "", (long long)opset, PLEAT_NEWEST_OPSET);
  }
  return buffer[0] != '\0' ? buffer : NULL;
}

pleat_model *pleat_model_retain(pleat_model *model) {
  if (model != NULL) __atomic_add_fetch(&model->refs, 1, __ATOMIC_RELAXED);
  return model;
}

void pleat_model_release(pleat_model *model) {
  if (model == NULL || __atomic_sub_fetch(&model->refs, 1, __ATOMIC_ACQ_REL) != 0) return;
  for (size_t i = 0; i < model->owned_count; i++) pleat_tensor_release(model->owned[i]);
  pleat_model *source = model->source;
  HASH_CLEAR(hh, model->recipes);
  pleat_packs_destroy(model->packs);
  pleat_arena_destroy(model->arena);
  pleat_proto_destroy(model->proto);
  free(model);
  pleat_model_release(source);
}

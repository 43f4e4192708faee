/* The body of a pleat_model, shared by import and export only: the rest of Pleat knows it as an opaque pointer. */
#ifndef PLEAT_GRAPH_MODEL_H
#define PLEAT_GRAPH_MODEL_H

#include "core/recipe.h"
#include "pleat/model.h"
#include "proto/proto.h"

struct pleat_recipe_entry; /* model.c */

struct pleat_model {
  int refs; /* atomic */
  const Onnx__ModelProto *message;
  pleat_proto *proto;   /* a loaded model: owns `message`. NULL for an exported one */
  pleat_arena *arena;   /* an exported model: the messages that are new; else NULL */
  pleat_model *source;  /* an exported model: owns (retained) what the new messages share; else NULL */
  pleat_tensor **owned; /* an exported model: data of new initializers */
  size_t owned_count;
  struct pleat_recipe_entry *recipes; /* an exported model: new initializers that nobody has computed, by message */
  struct pleat_packs *packs;          /* packed constants of its sessions */
};

/* The loaded file at the root of a chain of exports. */
pleat_proto *pleat_model_proto(const pleat_model *model);
/* Finishes a new model whose proto or source is set. False: out of memory. */
bool pleat_model_open(pleat_model *model);

/* A message without data stands for a recipe, which the model keeps beside it: found here, in the model and in those
 * that it came from. NULL: the message is what it says. */
const pleat_recipe *pleat_model_recipe(const pleat_model *model, const Onnx__TensorProto *message);
/* `recipe` must live in the model's arena. False: out of memory. */
bool pleat_model_add_recipe(pleat_model *model, const Onnx__TensorProto *message, const pleat_recipe *recipe);

/* ---- tensor_proto.c: between TensorProto and pleat_tensor ---- */

/* A new heap tensor with the message's data: typed fields, raw or external data (`proto` may be NULL when there is
 * none), packed 4-bit types, strings. Sizes are checked against the shape. */
pleat_status pleat_tensor_from_proto(pleat_proto *proto, const Onnx__TensorProto *message, pleat_tensor **out_tensor,
                                     pleat_error *error);
/* A SparseTensorProto as a dense tensor. */
pleat_status pleat_tensor_from_sparse_proto(pleat_proto *proto, const Onnx__SparseTensorProto *message,
                                            pleat_tensor **out_tensor, pleat_error *error);
/* A message in `arena` whose raw_data points to the tensor's own memory where the format allows it (so the tensor must
 * outlive it), else to a copy in the arena. */
pleat_status pleat_tensor_to_proto(const pleat_tensor *tensor, const char *name, pleat_arena *arena,
                                   Onnx__TensorProto **out_message, pleat_error *error);

#endif

/* For sessions: a Pad with zeros right before a convolution becomes part of the convolution's own padding. Only zeros,
 * only spatial axes, only amounts that add up to something not negative. Not before pools: a MaxPool pads with the
 * lowest value, and an AveragePool may leave its own padding out of the count. */
#include <string.h>

#include "fold/fold.h"

/* The amounts of a constant Pad, [begin of each axis..., end of each axis...]; 0 when they are not known or not zeros'.
 */
static size_t read_pad(const pleat_node *pad, int64_t *amounts) {
  const int64_t *attribute = NULL;
  const pleat_tensor *tensor = NULL, *value = NULL;
  const char *mode = pleat_attr_string(pad, "mode");
  int since = pleat_node_since(pad);
  if (since < 2 || (mode[0] != '\0' && strcmp(mode, "constant") != 0)) return 0;
  if (since < 11) {
    size_t count = pleat_attr_ints(pad, "pads", &attribute);
    if (count > 2 * PLEAT_MAX_RANK || pleat_attr_float(pad, "value") != 0) return 0;
    for (size_t i = 0; i < count; i++) amounts[i] = attribute[i];
    return count;
  }
  if (pad->input_count > 3 && pad->inputs[3] != NULL) return 0;
  if (pad->input_count < 2 || pleat_value_constant(pad->inputs[1], &tensor, NULL) != PLEAT_OK || tensor == NULL)
    return 0;
  if (pad->input_count > 2 && pad->inputs[2] != NULL) {
    if (pleat_value_constant(pad->inputs[2], &value, NULL) != PLEAT_OK || value == NULL || value->count != 1) return 0;
    if (pleat_load_f64(value->dtype, value->data, 0) != 0) return 0;
  }
  if (tensor->count > 2 * PLEAT_MAX_RANK) return 0;
  for (size_t i = 0; i < tensor->count; i++) amounts[i] = pleat_load_i64(tensor->dtype, tensor->data, i);
  return tensor->count;
}

/* The convolution's pads with those of the Pad added; NULL when they do not go together. */
static int64_t *add_pads(const pleat_node *conv, const int64_t *amounts, size_t count) {
  const int64_t *own = NULL;
  const char *automatic = pleat_attr_string(conv, "auto_pad");
  size_t rank = count / 2, spatial = rank - 2, own_count = pleat_attr_ints(conv, "pads", &own);
  bool is_valid = strcmp(automatic, "VALID") == 0;
  if (!is_valid && automatic[0] != '\0' && strcmp(automatic, "NOTSET") != 0) return NULL;
  if (count < 6 || count % 2 != 0 || (own_count != 0 && own_count != 2 * spatial)) return NULL;
  for (size_t i = 0; i < 2; i++) {
    if (amounts[i] != 0 || amounts[rank + i] != 0) return NULL;
  }
  int64_t *pads = pleat_arena_array(conv->graph->root->arena, 2 * spatial, sizeof *pads);
  for (size_t i = 0; pads != NULL && i < 2 * spatial; i++) {
    int64_t amount = amounts[i < spatial ? 2 + i : rank + 2 + i - spatial];
    if (amount < 0 || amount > INT32_MAX) return NULL;
    pads[i] = amount + (own_count != 0 && !is_valid ? own[i] : 0);
  }
  return pads;
}

static pleat_status fuse(pleat_pass_context *ctx, pleat_node *pad, bool *changed) {
  int64_t amounts[2 * PLEAT_MAX_RANK];
  const pleat_value *result = pad->outputs[0];
  if (result == NULL || result->is_output || result->use_count != 1 || result->uses[0].index != 0) return PLEAT_OK;
  pleat_node *conv = result->uses[0].node;
  if (conv->graph != pad->graph || !pleat_node_is(conv, "Conv")) return PLEAT_OK;
  size_t count = read_pad(pad, amounts);
  int64_t *pads = count != 0 ? add_pads(conv, amounts, count) : NULL;
  if (pads == NULL) return PLEAT_OK;
  const pleat_attr attr = {.name = "pads", .type = PLEAT_ATTR_INTS, .count = count - 4, .ints = pads};
  pleat_node_remove_attr(conv, "auto_pad");
  if (!pleat_node_set_attr(conv, attr) || !pleat_node_set_input(conv, 0, pad->inputs[0])) return PLEAT_OOM(ctx->error);
  pleat_node_remove(pad);
  *changed = true;
  return PLEAT_OK;
}

static pleat_status visit(pleat_pass_context *ctx, pleat_graph *graph, bool *changed) {
  PLEAT_FOR_NODES_SAFE(node, graph) {
    if (pleat_node_is(node, "Pad") && node->input_count > 0) PLEAT_TRY(fuse(ctx, node, changed));
  }
  return PLEAT_OK;
}

static pleat_status run(pleat_pass_context *ctx, bool *out_changed) {
  return pleat_fold_each_graph(ctx, ctx->graph, visit, out_changed);
}

const pleat_pass pleat_pass_fuse_pad = {
    .name = "fuse-pad",
    .summary = "a Pad with zeros into the Conv after it, when a session is created",
    .session_only = true,
    .run = run,
};

/* The graph's bones: construction, name tables, lookups and labels.
 *
 * Invariants kept here: every live value is in its graph's name table under its own name; ids are dense indices into
 * the root's lists; every graph of a root is in the root's `next_graph` list, so that its hash tables (the only memory
 * outside of the arena, with the owned tensors) can be freed. */
#include "graph/graph_private.h"

#include <stdio.h>
#include <string.h>

enum { NAMES_TRIED = 16 }; /* numbers behind a hint that are tried before it is remembered where to go on */

const char *pleat_normal_domain(const char *domain) {
  return domain == NULL || strcmp(domain, "ai.onnx") == 0 ? "" : domain;
}

/* ---- construction ---- */

pleat_graph *pleat_graph_new_root(const pleat_model *model) {
  pleat_arena *arena = pleat_arena_create();
  pleat_graph *root = arena == NULL ? NULL : pleat_arena_alloc(arena, sizeof *root);
  if (root == NULL) {
    pleat_arena_destroy(arena);
    return NULL;
  }
  root->name = "";
  root->root = root;
  root->arena = arena;
  root->model = model;
  return root;
}

pleat_graph *pleat_graph_new_subgraph(pleat_node *owner) {
  pleat_graph *root = owner->graph->root;
  pleat_graph *graph = pleat_arena_alloc(root->arena, sizeof *graph);
  if (graph == NULL) return NULL;
  graph->name = "";
  graph->root = root;
  graph->parent = owner->graph;
  graph->owner = owner;
  graph->next_graph = root->next_graph;
  root->next_graph = graph;
  return graph;
}

void pleat_graph_destroy(pleat_graph *root) {
  if (root == NULL) return;
  for (pleat_graph *graph = root; graph != NULL; graph = graph->next_graph) HASH_CLEAR(hh, graph->names);
  HASH_CLEAR(hh, root->symbols);
  HASH_CLEAR(hh, root->hints);
  for (size_t i = 0; i < root->owned_count; i++) pleat_tensor_release(root->owned[i]);
  pleat_arena_destroy(root->arena);
}

pleat_node *pleat_graph_new_node(pleat_graph *graph) {
  pleat_graph *root = graph->root;
  if (root->node_id_count >= PLEAT_LIMIT_NODES) return NULL;
  pleat_node *node = pleat_arena_alloc(root->arena, sizeof *node);
  if (node == NULL) return NULL;
  node->id = (uint32_t)root->node_id_count;
  node->name = node->op_type = node->domain = node->overload = "";
  node->graph = graph;
  if (!PLEAT_PUSH(root->arena, root->all_nodes, root->node_id_count, root->node_capacity, node)) return NULL;
  return node;
}

void pleat_graph_link_node(pleat_graph *graph, pleat_node *after, pleat_node *node) {
  node->prev = after;
  node->next = after == NULL ? graph->first : after->next;
  *(node->prev == NULL ? &graph->first : &node->prev->next) = node;
  *(node->next == NULL ? &graph->last : &node->next->prev) = node;
  node->place = after == NULL ? 0 : after->place + (node->next == NULL);
  graph->node_count++;
}

static bool enter_name(pleat_value *value, const char *name) {
  pleat_graph *graph = value->graph;
  struct pleat_name_entry *entry = pleat_arena_alloc(graph->root->arena, sizeof *entry);
  if (entry == NULL) return false;
  entry->name = name;
  entry->value = value;
  HASH_ADD_KEYPTR(hh, graph->names, entry->name, strlen(entry->name), entry);
  return entry->hh.tbl != NULL;
}

pleat_value *pleat_graph_new_value(pleat_graph *graph, const char *name) {
  pleat_graph *root = graph->root;
  if (root->value_count >= PLEAT_LIMIT_VALUES) return NULL;
  pleat_value *value = pleat_arena_alloc(root->arena, sizeof *value);
  if (value == NULL) return NULL;
  value->id = (uint32_t)root->value_count;
  value->name = name;
  value->graph = graph;
  value->shape.rank = -1;
  if (!enter_name(value, name)) return NULL;
  if (!PLEAT_PUSH(root->arena, root->all_values, root->value_count, root->value_capacity, value)) {
    pleat_graph_forget_name(value);
    return NULL;
  }
  return value;
}

bool pleat_graph_own(pleat_graph *graph, pleat_tensor *tensor) {
  pleat_graph *root = graph->root;
  return PLEAT_PUSH(root->arena, root->owned, root->owned_count, root->owned_capacity, tensor);
}

void pleat_graph_touch(pleat_graph *graph) {
  while (graph != NULL && !graph->edited) {
    graph->edited = true;
    graph = graph->parent;
  }
}

/* ---- names ---- */

pleat_value *pleat_graph_find_here(const pleat_graph *graph, const char *name) {
  struct pleat_name_entry *entry = NULL;
  HASH_FIND(hh, graph->names, name, strlen(name), entry);
  return entry != NULL ? entry->value : NULL;
}

pleat_value *pleat_graph_find(const pleat_graph *graph, const char *name) {
  for (; graph != NULL; graph = graph->parent) {
    pleat_value *value = pleat_graph_find_here(graph, name);
    if (value != NULL) return value;
  }
  return NULL;
}

void pleat_graph_forget_name(pleat_value *value) {
  struct pleat_name_entry *entry = NULL;
  HASH_FIND(hh, value->graph->names, value->name, strlen(value->name), entry);
  if (entry != NULL && entry->value == value) HASH_DEL(value->graph->names, entry);
}

bool pleat_graph_rename(pleat_value *value, const char *name) {
  if (!enter_name(value, name)) return false;
  pleat_graph_forget_name(value);
  value->name = name;
  return true;
}

static bool name_is_taken(const pleat_graph *root, const char *name) {
  for (const pleat_graph *graph = root; graph != NULL; graph = graph->next_graph) {
    if (pleat_graph_find_here(graph, name) != NULL) return true;
  }
  return false;
}

static struct pleat_hint_entry *hint_entry(pleat_graph *root, const char *hint) {
  struct pleat_hint_entry *entry = NULL;
  HASH_FIND(hh, root->hints, hint, strlen(hint), entry);
  if (entry != NULL) return entry;
  entry = pleat_arena_alloc(root->arena, sizeof *entry);
  if (entry == NULL || (entry->hint = pleat_arena_strdup(root->arena, hint)) == NULL) return NULL;
  entry->next = NAMES_TRIED;
  HASH_ADD_KEYPTR(hh, root->hints, entry->hint, strlen(entry->hint), entry);
  return entry->hh.tbl != NULL ? entry : NULL;
}

/* Unique in all graphs of the root: a new name must not hide, or be hidden by, one that a subgraph reads. The lowest
 * free number is taken while there are few; a hint asked for many times goes on where its last search ended. */
const char *pleat_graph_unique_name(pleat_graph *graph, const char *hint) {
  pleat_graph *root = graph->root;
  if (hint == NULL || hint[0] == '\0') hint = "value";
  if (!name_is_taken(root, hint)) return pleat_arena_strdup(root->arena, hint);
  size_t size = strlen(hint) + 24;
  char *name = pleat_arena_alloc(root->arena, size);
  if (name == NULL) return NULL;
  for (size_t n = 1; n < NAMES_TRIED; n++) {
    snprintf(name, size, "%s_%zu", hint, n);
    if (!name_is_taken(root, name)) return name;
  }
  struct pleat_hint_entry *entry = hint_entry(root, hint);
  if (entry == NULL) return NULL;
  do snprintf(name, size, "%s_%zu", hint, entry->next++);
  while (name_is_taken(root, name));
  return name;
}

const char *pleat_graph_intern(pleat_graph *graph, const char *symbol) {
  pleat_graph *root = graph->root;
  struct pleat_symbol_entry *entry = NULL;
  HASH_FIND(hh, root->symbols, symbol, strlen(symbol), entry);
  if (entry != NULL) return entry->name;
  entry = pleat_arena_alloc(root->arena, sizeof *entry);
  if (entry == NULL || (entry->name = pleat_arena_strdup(root->arena, symbol)) == NULL) return NULL;
  HASH_ADD_KEYPTR(hh, root->symbols, entry->name, strlen(entry->name), entry);
  return entry->hh.tbl != NULL ? entry->name : NULL;
}

int64_t pleat_graph_opset(const pleat_graph *graph, const char *domain) {
  const pleat_graph *root = graph->root;
  domain = pleat_normal_domain(domain);
  for (size_t i = 0; i < root->opset_count; i++) {
    if (strcmp(root->opset_domains[i], domain) == 0) return root->opset_versions[i];
  }
  return strcmp(domain, PLEAT_INTERNAL_DOMAIN) == 0 ? 1 : 0; /* what sessions fuse needs no import */
}

const char *pleat_op_label(const char *name, const char *op_type, size_t index, char *buffer, size_t size) {
  if (name[0] != '\0') snprintf(buffer, size, "%s", name);
  else snprintf(buffer, size, "%s#%zu", op_type, index);
  return buffer;
}

const char *pleat_node_label(const pleat_node *node, char *buffer, size_t size) {
  return pleat_op_label(node->name, node->op_type, node->place, buffer, size);
}

bool pleat_node_is(const pleat_node *node, const char *op_type) {
  return node->domain[0] == '\0' && strcmp(node->op_type, op_type) == 0;
}

/* ---- uses ---- */

bool pleat_value_add_use(pleat_value *value, pleat_node *node, size_t index) {
  pleat_use use = {.node = node, .index = index};
  return PLEAT_PUSH(value->graph->root->arena, value->uses, value->use_count, value->use_capacity, use);
}

/* The use's place among the value's uses; the count when there is none. Looks from both ends at once: passes that drop
 * the uses of a shared value go over the nodes forwards or backwards. */
static size_t find_use(const pleat_value *value, const pleat_node *node, size_t index) {
  const size_t count = value->use_count;
  for (size_t i = 0; i < (count + 1) / 2; i++) {
    const pleat_use *front = &value->uses[i], *back = &value->uses[count - 1 - i];
    if (back->node == node && back->index == index) return count - 1 - i;
    if (front->node == node && front->index == index) return i;
  }
  return count;
}

/* The order of the rest is kept. The shorter part moves; what becomes free in front is given up. */
void pleat_value_drop_use(pleat_value *value, const pleat_node *node, size_t index) {
  const size_t place = find_use(value, node, index), count = value->use_count;
  if (place == count) return;
  if (place < count / 2) {
    memmove(value->uses + 1, value->uses, place * sizeof *value->uses);
    value->uses++;
    value->use_capacity--;
  } else {
    memmove(&value->uses[place], &value->uses[place + 1], (count - place - 1) * sizeof *value->uses);
  }
  value->use_count--;
}

void pleat_value_forget(pleat_value *value) {
  pleat_graph *root = value->graph->root;
  const bool can_come_back = value->src_init != NULL || value->recipe != NULL;
  if (value->constant == NULL || !can_come_back) return;
  if (value->recipe != NULL && value->recipe->owner == value->constant) return;
  for (size_t i = root->owned_count; i-- > 0;) {
    if (root->owned[i] != value->constant) continue;
    pleat_tensor_release(root->owned[i]);
    root->owned[i] = root->owned[--root->owned_count];
    value->constant = NULL;
    return;
  }
}

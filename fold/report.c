/* The fold report: one entry a node that a pass had something to say about. A later word on the same node replaces the
 * earlier one, so that after several rounds each node has one verdict. Nodes are called what they were called before
 * anything was removed: that is the file its reader has. */
#include "fold/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

/* The value `old_name` of the original is, or is replaced by, `new_name`. */
typedef struct pleat_rename {
  const char *old_name, *new_name;
} pleat_rename;

struct pleat_report {
  pleat_arena *arena;
  pleat_fold_entry *entries;
  size_t count, entry_capacity;
  size_t node_count;   /* of the graph when the report began; what comes later has no place in the two below */
  size_t *entry_of;    /* by node id: 1 + index of its entry; 0: none */
  const char **labels; /* by node id */
  size_t nodes_before, norms_before;
  pleat_rename *renames;
  size_t rename_count, rename_capacity;
  bool out_of_memory;
};

/* The public form with the memory it points to. */
typedef struct owned_report {
  pleat_fold_report report; /* first: what the caller holds */
  pleat_arena *arena;
} owned_report;

/* Notes what every node is called. */
static bool read_labels(pleat_report *report, const pleat_graph *graph) {
  size_t position = 0;
  PLEAT_FOR_NODES(node, graph) {
    report->labels[node->id] = node->name[0] != '\0'
                                   ? pleat_arena_strdup(report->arena, node->name)
                                   : pleat_arena_printf(report->arena, "%s#%zu", node->op_type, position);
    if (report->labels[node->id] == NULL) return false;
    position++;
    for (size_t i = 0; i < node->attr_count; i++) {
      const pleat_attr *attr = &node->attrs[i];
      if (attr->type == PLEAT_ATTR_GRAPH && attr->graph != NULL && !read_labels(report, attr->graph)) return false;
      for (size_t k = 0; attr->type == PLEAT_ATTR_GRAPHS && k < attr->count; k++) {
        if (!read_labels(report, attr->graphs[k])) return false;
      }
    }
  }
  return true;
}

static void count_nodes(const pleat_graph *graph, size_t *nodes, size_t *norms) {
  PLEAT_FOR_NODES(node, graph) {
    ++*nodes;
    if (pleat_node_is(node, "BatchNormalization")) ++*norms;
    for (size_t i = 0; i < node->attr_count; i++) {
      const pleat_attr *attr = &node->attrs[i];
      if (attr->type == PLEAT_ATTR_GRAPH && attr->graph != NULL) count_nodes(attr->graph, nodes, norms);
      for (size_t k = 0; attr->type == PLEAT_ATTR_GRAPHS && k < attr->count; k++) {
        count_nodes(attr->graphs[k], nodes, norms);
      }
    }
  }
}

pleat_status pleat_report_create(const pleat_graph *graph, pleat_report **out_report, pleat_error *error) {
  pleat_report *report = calloc(1, sizeof *report);
  *out_report = report;
  if (report == NULL) return PLEAT_OOM(error);
  report->arena = pleat_arena_create();
  if (report->arena == NULL) goto fail;
  report->node_count = graph->root->node_id_count;
  report->entry_of = pleat_arena_array(report->arena, report->node_count, sizeof *report->entry_of);
  report->labels = pleat_arena_array(report->arena, report->node_count, sizeof *report->labels);
  if (report->entry_of == NULL || report->labels == NULL || !read_labels(report, graph)) goto fail;
  count_nodes(graph, &report->nodes_before, &report->norms_before);
  return PLEAT_OK;
fail:
  pleat_report_destroy(report);
  *out_report = NULL;
  return PLEAT_OOM(error);
}

void pleat_report_destroy(pleat_report *report) {
  if (report == NULL) return;
  pleat_arena_destroy(report->arena);
  free(report);
}

/* The entry of a node: the one it has, or a new one. NULL when out of memory. */
static pleat_fold_entry *entry_of(pleat_report *report, const pleat_node *node) {
  pleat_fold_entry empty = {0};
  size_t *place = node->id < report->node_count ? &report->entry_of[node->id] : NULL;
  if (place != NULL && *place != 0) return &report->entries[*place - 1];
  if (!PLEAT_PUSH(report->arena, report->entries, report->count, report->entry_capacity, empty)) return NULL;
  if (place != NULL) *place = report->count;
  return &report->entries[report->count - 1];
}

static const char *label_of(pleat_report *report, const pleat_node *node) {
  char label[256];
  if (node->id < report->node_count && report->labels[node->id] != NULL) return report->labels[node->id];
  return pleat_arena_strdup(report->arena, pleat_node_label(node, label, sizeof label));
}

static void say(pleat_pass_context *ctx, const pleat_pass *pass, const pleat_node *node, pleat_fold_action action,
                const pleat_node *target, const char *reason) {
  pleat_report *report = ctx->report;
  pleat_fold_entry *entry = entry_of(report, node);
  if (entry == NULL) {
    report->out_of_memory = true;
    return;
  }
  if (entry->node == NULL) {
    entry->node = label_of(report, node);
    entry->op_type = pleat_arena_strdup(report->arena, node->op_type);
  }
  entry->pass = pass->name;
  entry->action = action;
  entry->target = "";
  entry->reason = "";
  if (target != NULL) entry->target = label_of(report, target);
  if (reason != NULL) entry->reason = pleat_arena_strdup(report->arena, reason);
  if (entry->node == NULL || entry->op_type == NULL || entry->target == NULL || entry->reason == NULL) {
    report->out_of_memory = true;
  }
}

void pleat_report_folded(pleat_pass_context *ctx, const pleat_pass *pass, const pleat_node *node,
                         const pleat_node *target) {
  say(ctx, pass, node, PLEAT_FOLD_FOLDED, target, NULL);
}

void pleat_report_folded_with(pleat_pass_context *ctx, const pleat_pass *pass, const pleat_node *node,
                              const pleat_node *target, const char *format, ...) {
  char text[512];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  say(ctx, pass, node, PLEAT_FOLD_FOLDED, target, text);
}

static void say_formatted(pleat_pass_context *ctx, const pleat_pass *pass, const pleat_node *node,
                          pleat_fold_action action, const char *format, va_list args) {
  char text[512];
  vsnprintf(text, sizeof text, format, args);
  say(ctx, pass, node, action, NULL, text);
}

void pleat_report_removed(pleat_pass_context *ctx, const pleat_pass *pass, const pleat_node *node, const char *format,
                          ...) {
  va_list args;
  va_start(args, format);
  say_formatted(ctx, pass, node, PLEAT_FOLD_REMOVED, format, args);
  va_end(args);
}

void pleat_report_kept(pleat_pass_context *ctx, const pleat_pass *pass, const pleat_node *node, const char *format,
                       ...) {
  va_list args;
  va_start(args, format);
  say_formatted(ctx, pass, node, PLEAT_FOLD_KEPT, format, args);
  va_end(args);
}

void pleat_report_taken(pleat_pass_context *ctx, const pleat_node *node, const pleat_node *target) {
  say(ctx, ctx->pass, node, PLEAT_FOLD_FOLDED, target, NULL);
}

void pleat_report_kept_also(pleat_pass_context *ctx, const pleat_pass *pass, const pleat_node *node,
                            const char *reason) {
  char text[2 * 512];
  const pleat_fold_entry *entry = entry_of(ctx->report, node);
  bool is_known = entry != NULL && entry->reason != NULL && entry->reason[0] != '\0';
  if (is_known && strstr(entry->reason, reason) != NULL) return; /* an earlier round said so */
  snprintf(text, sizeof text, "%s%s%s", is_known ? entry->reason : "", is_known ? "; " : "", reason);
  say(ctx, pass, node, PLEAT_FOLD_KEPT, NULL, text);
}

/* ---- the record of values ---- */

void pleat_report_renamed(pleat_pass_context *ctx, const char *old_name, const char *new_name) {
  pleat_report *report = ctx->report;
  pleat_rename rename = {pleat_arena_strdup(report->arena, old_name), pleat_arena_strdup(report->arena, new_name)};
  bool good = rename.old_name != NULL && rename.new_name != NULL;
  if (!good || !PLEAT_PUSH(report->arena, report->renames, report->rename_count, report->rename_capacity, rename)) {
    report->out_of_memory = true;
  }
}

/* One name, while the record is written. */
typedef struct pleat_name {
  const char *name, *final;
  UT_hash_handle hh;
} pleat_name;

/* The name's entry in the table, made when there is none; NULL when out of memory. */
static pleat_name *name_in(pleat_name **table, pleat_name *fresh, const char *name) {
  pleat_name *entry = NULL;
  HASH_FIND(hh, *table, name, strlen(name), entry);
  if (entry != NULL) return entry;
  fresh->name = name;
  HASH_ADD_KEYPTR(hh, *table, fresh->name, strlen(fresh->name), fresh);
  return fresh->hh.tbl != NULL ? fresh : NULL;
}

/* Where each rename's new name ends up: later renames of it are followed, so the last rename is looked at first. */
static bool follow_renames(const pleat_report *report, pleat_name *entries, const char **finals) {
  pleat_name *table = NULL;
  bool good = true;
  for (size_t i = report->rename_count; good && i-- > 0;) {
    const pleat_rename *rename = &report->renames[i];
    pleat_name *later = NULL;
    HASH_FIND(hh, table, rename->new_name, strlen(rename->new_name), later);
    finals[i] = later != NULL ? later->final : rename->new_name;
    pleat_name *entry = name_in(&table, &entries[i], rename->old_name);
    good = entry != NULL;
    if (good) entry->final = finals[i];
  }
  HASH_CLEAR(hh, table);
  return good;
}

/* Names that only existed in between have no place in the record: their `finals` become NULL. */
static bool drop_intermediate(const pleat_report *report, pleat_name *entries, const char **finals) {
  pleat_name *table = NULL;
  bool good = true;
  for (size_t i = 0; good && i < report->rename_count; i++) {
    pleat_name *earlier = NULL;
    HASH_FIND(hh, table, report->renames[i].old_name, strlen(report->renames[i].old_name), earlier);
    if (earlier != NULL) finals[i] = NULL;
    good = name_in(&table, &entries[i], report->renames[i].new_name) != NULL;
  }
  HASH_CLEAR(hh, table);
  return good;
}

const char *pleat_report_record(pleat_report *report) {
  size_t size = 1, used = 0;
  const size_t count = report->rename_count;
  pleat_name *entries = pleat_arena_array(report->arena, 2 * count, sizeof *entries);
  const char **finals = pleat_arena_array(report->arena, count, sizeof(const char *));
  if (report->out_of_memory || entries == NULL || finals == NULL) return NULL;
  if (!follow_renames(report, entries, finals) || !drop_intermediate(report, entries + count, finals)) return NULL;
  for (size_t i = 0; i < count; i++) {
    if (finals[i] != NULL) size += strlen(report->renames[i].old_name) + strlen(finals[i]) + 2;
  }
  char *text = pleat_arena_alloc(report->arena, size);
  if (text == NULL) return NULL;
  for (size_t i = 0; i < count; i++) {
    if (finals[i] == NULL) continue;
    used += (size_t)snprintf(text + used, size - used, "%s\t%s\n", report->renames[i].old_name, finals[i]);
  }
  return text;
}

pleat_status pleat_report_finish(pleat_report *report, const pleat_graph *graph, pleat_fold_report **out_report,
                                 pleat_error *error) {
  owned_report *owned = pleat_arena_alloc(report->arena, sizeof *owned);
  if (owned == NULL || report->out_of_memory) return PLEAT_OOM(error);
  owned->report = (pleat_fold_report){.entry_count = report->count,
                                      .entries = report->entries,
                                      .nodes_before = report->nodes_before,
                                      .norms_before = report->norms_before};
  count_nodes(graph, &owned->report.nodes_after, &owned->report.norms_after);
  owned->arena = report->arena; /* goes with the public form */
  report->arena = NULL;
  *out_report = &owned->report;
  return PLEAT_OK;
}

static bool has_entry(const pleat_fold_report *report, const char *node) {
  for (size_t i = 0; i < report->entry_count; i++) {
    if (strcmp(report->entries[i].node, node) == 0) return true;
  }
  return false;
}

pleat_status pleat_report_add_functions(pleat_fold_report *report, const pleat_fold_report *inlined, const char *why,
                                        pleat_error *error) {
  pleat_arena *arena = ((owned_report *)(void *)report)->arena;
  if (inlined == NULL) return PLEAT_OK;
  pleat_fold_entry *entries = pleat_arena_array(arena, report->entry_count + inlined->entry_count, sizeof *entries);
  size_t count = report->entry_count;
  if (entries == NULL) return PLEAT_OOM(error);
  if (count > 0) memcpy(entries, report->entries, count * sizeof *entries);
  for (size_t i = 0; i < inlined->entry_count; i++) {
    const pleat_fold_entry *from = &inlined->entries[i];
    if (strcmp(from->op_type, "BatchNormalization") != 0 || has_entry(report, from->node)) continue;
    const char *reason = from->action == PLEAT_FOLD_KEPT ? from->reason : why;
    pleat_fold_entry entry = {.pass = pleat_arena_strdup(arena, from->pass),
                              .node = pleat_arena_strdup(arena, from->node),
                              .op_type = "BatchNormalization",
                              .action = PLEAT_FOLD_KEPT,
                              .target = "",
                              .reason = pleat_arena_printf(arena, "inside of a function: %s", reason)};
    if (entry.pass == NULL || entry.node == NULL || entry.reason == NULL) return PLEAT_OOM(error);
    entries[count++] = entry;
    report->norms_before++;
    report->norms_after++;
  }
  report->entries = entries;
  report->entry_count = count;
  return PLEAT_OK;
}

void pleat_fold_report_destroy(pleat_fold_report *report) {
  if (report != NULL) pleat_arena_destroy(((owned_report *)(void *)report)->arena);
}

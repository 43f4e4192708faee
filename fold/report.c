/* The fold report: one entry a node that a pass had something to say about. A later word on the same node replaces the
 * earlier one, so that after several rounds each node has one verdict. */
#include "fold/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pleat_report {
  pleat_arena *arena;
  pleat_fold_entry *entries;
  const pleat_node **nodes; /* whose entry it is: nodes stay readable after their removal */
  size_t count, entry_capacity, node_capacity;
  size_t nodes_before, norms_before;
  bool out_of_memory;
};

/* The public form with the memory it points to. */
typedef struct owned_report {
  pleat_fold_report report; /* first: what the caller holds */
  pleat_arena *arena;
} owned_report;

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
  if (report->arena == NULL) {
    *out_report = NULL;
    free(report);
    return PLEAT_OOM(error);
  }
  count_nodes(graph, &report->nodes_before, &report->norms_before);
  return PLEAT_OK;
}

void pleat_report_destroy(pleat_report *report) {
  if (report == NULL) return;
  pleat_arena_destroy(report->arena);
  free(report);
}

/* The entry of a node: the one it has, or a new one. NULL when out of memory. */
static pleat_fold_entry *entry_of(pleat_report *report, const pleat_node *node) {
  for (size_t i = report->count; i-- > 0;) {
    if (report->nodes[i] == node) return &report->entries[i];
  }
  size_t node_count = report->count;
  pleat_fold_entry empty = {0};
  if (!PLEAT_PUSH(report->arena, report->nodes, node_count, report->node_capacity, node)) return NULL;
  if (!PLEAT_PUSH(report->arena, report->entries, report->count, report->entry_capacity, empty)) return NULL;
  return &report->entries[report->count - 1];
}

static void say(pleat_pass_context *ctx, const pleat_pass *pass, const pleat_node *node, pleat_fold_action action,
                const pleat_node *target, const char *reason) {
  char label[256];
  pleat_report *report = ctx->report;
  pleat_fold_entry *entry = entry_of(report, node);
  if (entry == NULL) {
    report->out_of_memory = true;
    return;
  }
  if (entry->node == NULL) { /* as it was called before anything was removed around it */
    entry->node = pleat_arena_strdup(report->arena, pleat_node_label(node, label, sizeof label));
    entry->op_type = pleat_arena_strdup(report->arena, node->op_type);
  }
  entry->pass = pass->name;
  entry->action = action;
  entry->target = "";
  entry->reason = "";
  if (target != NULL) entry->target = pleat_arena_strdup(report->arena, pleat_node_label(target, label, sizeof label));
  if (reason != NULL) entry->reason = pleat_arena_strdup(report->arena, reason);
  if (entry->node == NULL || entry->op_type == NULL || entry->target == NULL || entry->reason == NULL) {
    report->out_of_memory = true;
  }
}

void pleat_report_folded(pleat_pass_context *ctx, const pleat_pass *pass, const pleat_node *node,
                         const pleat_node *target) {
  say(ctx, pass, node, PLEAT_FOLD_FOLDED, target, NULL);
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

bool pleat_report_has(const pleat_pass_context *ctx, const pleat_node *node) {
  for (size_t i = 0; i < ctx->report->count; i++) {
    if (ctx->report->nodes[i] == node) return true;
  }
  return false;
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

void pleat_fold_report_destroy(pleat_fold_report *report) {
  if (report != NULL) pleat_arena_destroy(((owned_report *)(void *)report)->arena);
}

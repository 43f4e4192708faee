/* What `pleat fold` has to say: the entries of the fold report, as a table and as JSON.
 *
 * Entries are shown by what became of them; within that, in the order of the report. */
#include "fold.h"

#include "text.h"

static const char *const action_names[] = {
    [PLEAT_FOLD_FOLDED] = "folded", [PLEAT_FOLD_REMOVED] = "removed", [PLEAT_FOLD_KEPT] = "kept"};

void fold_print_entries(const pleat_fold_report *report, bool all, FILE *file) {
  text_table *table = text_table_create("llll");
  for (int action = all ? PLEAT_FOLD_FOLDED : PLEAT_FOLD_KEPT; action <= PLEAT_FOLD_KEPT; action++) {
    for (size_t i = 0; i < report->entry_count; i++) {
      const pleat_fold_entry *entry = &report->entries[i];
      if ((int)entry->action != action) continue;
      text_table_cell(table, "%s", action_names[action]);
      text_table_cell(table, "%s", entry->op_type);
      text_table_cell(table, "%s", entry->node);
      if (action != PLEAT_FOLD_FOLDED) text_table_cell(table, "%s", entry->reason);
      else if (*entry->reason) text_table_cell(table, "into %s, %s", entry->target, entry->reason);
      else text_table_cell(table, "into %s", entry->target);
    }
  }
  text_table_print(table, file, 0);
  text_table_destroy(table);
}

cJSON *fold_report_json(const pleat_fold_report *report) {
  cJSON *entries = json_array();
  for (size_t i = 0; i < report->entry_count; i++) {
    const pleat_fold_entry *entry = &report->entries[i];
    cJSON *item = json_object();
    json_add_string(item, "action", action_names[entry->action]);
    json_add_string(item, "pass", entry->pass);
    json_add_string(item, "node", entry->node);
    json_add_string(item, "op_type", entry->op_type);
    json_add_string(item, "target", entry->target);
    json_add_string(item, "reason", entry->reason);
    json_push(entries, item);
  }
  return entries;
}

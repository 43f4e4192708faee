/* Per-node times: each step's best run, so that a disturbed run does not count.
 *
 * Invariants: views, which take no time, and steps that never ran are left out; the shares are of the sum of the best
 * times, so that they add up to 100 %, but for steps of bodies, which are a part of the step around them. Equal times
 * keep the plan's order. */
#include "profile.h"

#include <inttypes.h>
#include <stdlib.h>

#include "text.h"

static int slower_first(const void *left, const void *right) {
  const pleat_step_info *a = *(const pleat_step_info *const *)left, *b = *(const pleat_step_info *const *)right;
  if (a->min_ns != b->min_ns) return a->min_ns > b->min_ns ? -1 : 1;
  return a < b ? -1 : a > b; /* pointers into one array: the plan's order */
}

/* The steps that ran, slowest first; the caller frees the array. */
static const pleat_step_info **sorted(const pleat_plan_info *plan, size_t *out_count, uint64_t *out_total) {
  const pleat_step_info **steps = cli_calloc(plan->step_count, sizeof *steps);
  *out_count = 0;
  *out_total = 0;
  for (size_t i = 0; i < plan->step_count; i++) {
    if (plan->steps[i].runs == 0 || plan->steps[i].is_view) continue;
    steps[(*out_count)++] = &plan->steps[i];
    if (plan->steps[i].depth == 0) *out_total += plan->steps[i].min_ns;
  }
  qsort(steps, *out_count, sizeof *steps, slower_first);
  return steps;
}

void profile_print(const pleat_plan_info *plan, FILE *file) {
  size_t count = 0;
  uint64_t total = 0;
  const pleat_step_info **steps = sorted(plan, &count, &total);
  text_table *table = text_table_create("rrlll");
  static const char *const heads[] = {"ms", "%", "op", "kernel", "node"};
  for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) text_table_cell(table, "%s", heads[i]);
  for (size_t i = 0; i < count; i++) {
    char number[TEXT_NUMBER], kernel[TEXT_KERNEL];
    text_table_cell(table, "%s", text_ms(steps[i]->min_ns, number));
    text_table_cell(table, "%.1f", total ? 100.0 * (double)steps[i]->min_ns / (double)total : 0.0);
    text_table_cell(table, "%s", steps[i]->op_type);
    text_table_cell(table, "%s", text_kernel(steps[i], kernel));
    text_table_cell(table, "%s", steps[i]->node);
  }
  text_table_print(table, file, 0);
  char number[TEXT_NUMBER];
  size_t inner = 0;
  for (size_t i = 0; i < count; i++) inner += steps[i]->depth > 0;
  fprintf(file, "%s ms in %zu steps (each step's best run)\n", text_ms(total, number), count - inner);
  if (inner) fprintf(file, "%zu steps of bodies (outer > inner) are a part of the steps around them\n", inner);
  char parts[TEXT_PARTS];
  if (plan->part_count) fprintf(file, "for one part of a batch in %s\n", text_parts(plan, parts));
  text_table_destroy(table);
  free((void *)steps);
}

cJSON *profile_json(const pleat_plan_info *plan) {
  size_t count = 0;
  uint64_t total = 0;
  const pleat_step_info **steps = sorted(plan, &count, &total);
  cJSON *array = json_array();
  for (size_t i = 0; i < count; i++) {
    cJSON *step = json_object();
    json_add_string(step, "node", steps[i]->node);
    json_add_string(step, "op_type", steps[i]->op_type);
    json_add_string(step, "kernel", steps[i]->kernel);
    json_add_string(step, "variant", steps[i]->variant);
    json_add_string(step, "output", steps[i]->output);
    json_add_number(step, "ms", (double)steps[i]->min_ns / 1e6);
    json_add_count(step, "runs", steps[i]->runs);
    json_add_count(step, "depth", steps[i]->depth);
    json_push(array, step);
  }
  free((void *)steps);
  return array;
}

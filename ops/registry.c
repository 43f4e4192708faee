/* The registry: ops.def as a sorted table, looked up by name. Nothing is registered at run time, so nothing has to be
 * initialised or locked. */
#include "ops/ops.h"

#include <string.h>

#define PLEAT_OP(name) extern const pleat_op_def pleat_op_##name;
#include "ops/ops.def"
#undef PLEAT_OP

static const pleat_op_def *const table[] = {
#define PLEAT_OP(name) &pleat_op_##name,
#include "ops/ops.def"
#undef PLEAT_OP
    NULL};

enum { TABLE_SIZE = sizeof table / sizeof table[0] - 1 };

const pleat_op_def *pleat_op_find(const char *domain, const char *name) {
  size_t low = 0, high = TABLE_SIZE;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (strcmp(table[middle]->name, name) < 0) low = middle + 1;
    else high = middle;
  }
  for (; table[low] != NULL && strcmp(table[low]->name, name) == 0; low++) {
    if (strcmp(table[low]->domain, domain) == 0) return table[low];
  }
  return NULL;
}

const pleat_op_version *pleat_op_version_at(const pleat_op_def *def, int64_t opset) {
  const pleat_op_version *found = NULL;
  for (const pleat_op_version *version = def->versions; version->since != 0; version++) {
    if (version->since <= opset) found = version;
  }
  return found;
}

const pleat_op_def *pleat_op_at(size_t index) {
  return index <= TABLE_SIZE ? table[index] : NULL;
}

const pleat_op_attr *pleat_op_attr_find(const pleat_op_def *def, const char *name) {
  if (def->attrs == NULL) return NULL;
  for (const pleat_op_attr *attr = def->attrs; attr->name != NULL; attr++) {
    if (strcmp(attr->name, name) == 0) return attr;
  }
  return NULL;
}

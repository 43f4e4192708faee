/* Reading attributes: the node's own, or the default that the operator's definition gives for the version in force.
 *
 * Types were checked against the definition on import, so a getter that meets another type (an attribute the definition
 * does not know) answers as if the attribute were absent. */
#include "graph/graph_private.h"

#include <string.h>

const pleat_attr *pleat_node_attr(const pleat_node *node, const char *name) {
  for (size_t i = 0; i < node->attr_count; i++) {
    if (strcmp(node->attrs[i].name, name) == 0) return &node->attrs[i];
  }
  return NULL;
}

bool pleat_attr_present(const pleat_node *node, const char *name) {
  return pleat_node_attr(node, name) != NULL;
}

static const pleat_attr *own_attr(const pleat_node *node, const char *name, pleat_attr_type type) {
  const pleat_attr *attr = pleat_node_attr(node, name);
  return attr != NULL && attr->type == type && attr->ref_name == NULL ? attr : NULL;
}

/* The definition's entry for this version; the first one of that name when the version is unknown. */
static const pleat_op_attr *definition(const pleat_node *node, const char *name) {
  if (node->def == NULL || node->def->attrs == NULL) return NULL;
  if (node->version == NULL) return pleat_op_attr_find(node->def, name);
  for (const pleat_op_attr *attr = node->def->attrs; attr->name != NULL; attr++) {
    if (strcmp(attr->name, name) == 0 && pleat_op_attr_in_version(attr, node->version)) return attr;
  }
  return NULL;
}

int64_t pleat_attr_int(const pleat_node *node, const char *name) {
  const pleat_attr *attr = own_attr(node, name, PLEAT_ATTR_INT);
  if (attr != NULL) return attr->i;
  const pleat_op_attr *def = definition(node, name);
  return def != NULL ? def->i : 0;
}

float pleat_attr_float(const pleat_node *node, const char *name) {
  const pleat_attr *attr = own_attr(node, name, PLEAT_ATTR_FLOAT);
  if (attr != NULL) return attr->f;
  const pleat_op_attr *def = definition(node, name);
  return def != NULL ? def->f : 0.0f;
}

const char *pleat_attr_string(const pleat_node *node, const char *name) {
  const pleat_attr *attr = own_attr(node, name, PLEAT_ATTR_STRING);
  if (attr != NULL) return attr->s;
  const pleat_op_attr *def = definition(node, name);
  return def != NULL && def->s != NULL ? def->s : "";
}

size_t pleat_attr_ints(const pleat_node *node, const char *name, const int64_t **out_values) {
  const pleat_attr *attr = own_attr(node, name, PLEAT_ATTR_INTS);
  *out_values = attr != NULL ? attr->ints : NULL;
  return attr != NULL ? attr->count : 0;
}

bool pleat_attr_ints_all(const pleat_node *node, const char *name, int64_t value) {
  const int64_t *values = NULL;
  const size_t count = pleat_attr_ints(node, name, &values);
  for (size_t i = 0; i < count; i++) {
    if (values[i] != value) return false;
  }
  return true;
}

size_t pleat_attr_floats(const pleat_node *node, const char *name, const float **out_values) {
  const pleat_attr *attr = own_attr(node, name, PLEAT_ATTR_FLOATS);
  *out_values = attr != NULL ? attr->floats : NULL;
  return attr != NULL ? attr->count : 0;
}

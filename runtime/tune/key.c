/* Keys: all that the speed of a kernel may depend on. The machine's part names the build and the processor; the
 * problem's part the operator, its attributes, the types, shapes and layouts of its tensors, which of them are
 * constants, and what the caller allows. Values of tensors are no part of it. */
#include <stdio.h>
#include <string.h>

#include "core/cpu.h"
#include "tune/tune_private.h"

enum { TEXT_BYTES = 1024 };

const char *pleat_tune_machine(pleat_arena *arena) {
  char cpu[256];
  return pleat_arena_printf(arena, "pleat %s, %s", pleat_version(), pleat_cpu_text(cpu, sizeof cpu));
}

typedef struct text {
  char bytes[TEXT_BYTES];
  size_t used;
} text;

static void put(text *t, const char *piece) {
  const size_t space = sizeof t->bytes - t->used;
  const int wrote = snprintf(t->bytes + t->used, space, "%s", piece);
  if (wrote > 0) t->used += (size_t)wrote < space ? (size_t)wrote : space - 1;
}

static void put_attr(text *t, const pleat_node *node, const pleat_op_attr *attr) {
  char piece[96];
  const int64_t *ints = NULL;
  switch (attr->type) {
  case PLEAT_ATTR_INT:
    snprintf(piece, sizeof piece, " %s=%lld", attr->name, (long long)pleat_attr_int(node, attr->name));
    put(t, piece);
    return;
  case PLEAT_ATTR_FLOAT:
    snprintf(piece, sizeof piece, " %s=%.9g", attr->name, (double)pleat_attr_float(node, attr->name));
    put(t, piece);
    return;
  case PLEAT_ATTR_STRING:
    snprintf(piece, sizeof piece, " %s=%s", attr->name, pleat_attr_string(node, attr->name));
    put(t, piece);
    return;
  case PLEAT_ATTR_INTS: {
    const size_t count = pleat_attr_ints(node, attr->name, &ints);
    for (size_t i = 0; i < count; i++) {
      snprintf(piece, sizeof piece, "%s%s%s%lld", i == 0 ? " " : "", i == 0 ? attr->name : "", i == 0 ? "=" : ",",
               (long long)ints[i]);
      put(t, piece);
    }
    return;
  }
  default:
    return; /* operators that are tuned have no others */
  }
}

static void put_tensor(text *t, const pleat_tensor *tensor, const pleat_layout *layout, bool is_constant) {
  char piece[320];
  if (tensor == NULL) {
    put(t, "; -");
    return;
  }
  put(t, is_constant ? "; constant " : "; ");
  put(t, pleat_tensor_text(tensor, piece, sizeof piece));
  if (layout == NULL) return;
  put(t, " ");
  put(t, pleat_layout_text(layout));
}

const char *pleat_tune_problem(pleat_arena *arena, const pleat_call *call) {
  const pleat_op_def *def = call->node->def;
  text t = {.used = 0};
  put(&t, def->name);
  for (const pleat_op_attr *attr = def->attrs; attr != NULL && attr->name != NULL; attr++) {
    put_attr(&t, call->node, attr);
  }
  for (size_t i = 0; i < call->input_count; i++)
    put_tensor(&t, call->inputs[i], pleat_tune_given(call, i), pleat_call_is_constant(call, i));
  put(&t, " ->");
  for (size_t i = 0; i < call->output_count; i++) put_tensor(&t, call->outputs[i], NULL, false);
  if (call->exact) put(&t, "; exact");
  if (call->bf16) put(&t, "; bfloat16");
  for (char *c = t.bytes; *c != '\0'; c++) {
    if ((unsigned char)*c < ' ' || *c == 0x7f) *c = '?';
  }
  return t.used + 1 < sizeof t.bytes ? pleat_arena_strdup(arena, t.bytes) : pleat_arena_strdup(arena, "");
}

/* Element-wise functions of one tensor, in its layout: maps over the bytes, whatever they stand for. Where the function
 * does not leave zero at zero, the lanes that only fill the last block are zeroed after it. */
#include <string.h>

#include "core/parallel.h"
#include "ops/clip.h"
#include "ops/x86/x86.h"

static const struct function {
  const char *op;
  pleat_x86_map map;
  bool is_simple; /* about one instruction: threads are worth less */
  const char *alpha, *beta;
} functions[] = {
    {"Abs", PLEAT_X86_MAP_ABS, true, NULL, NULL},
    {"Ceil", PLEAT_X86_MAP_CEIL, true, NULL, NULL},
    {"Clip", PLEAT_X86_MAP_CLIP, true, NULL, NULL},
    {"Elu", PLEAT_X86_MAP_ELU, false, "alpha", NULL},
    {"Erf", PLEAT_X86_MAP_ERF, false, NULL, NULL},
    {"Exp", PLEAT_X86_MAP_EXP, false, NULL, NULL},
    {"Floor", PLEAT_X86_MAP_FLOOR, true, NULL, NULL},
    {"Gelu", PLEAT_X86_MAP_GELU, false, NULL, NULL},
    {"HardSigmoid", PLEAT_X86_MAP_HARD_SIGMOID, true, "alpha", "beta"},
    {"HardSwish", PLEAT_X86_MAP_HARD_SWISH, true, NULL, NULL},
    {"LeakyRelu", PLEAT_X86_MAP_LEAKY_RELU, true, "alpha", NULL},
    {"Log", PLEAT_X86_MAP_LOG, false, NULL, NULL},
    {"Neg", PLEAT_X86_MAP_NEG, true, NULL, NULL},
    {"Reciprocal", PLEAT_X86_MAP_RECIPROCAL, true, NULL, NULL},
    {"Relu", PLEAT_X86_MAP_RELU, true, NULL, NULL},
    {"Round", PLEAT_X86_MAP_ROUND, true, NULL, NULL},
    {"Sigmoid", PLEAT_X86_MAP_SIGMOID, false, NULL, NULL},
    {"Sqrt", PLEAT_X86_MAP_SQRT, true, NULL, NULL},
    {"Tanh", PLEAT_X86_MAP_TANH, false, NULL, NULL},
};

typedef struct map {
  pleat_x86_map_function *function;
  float params[2];
  bool keeps_zero;
  size_t least; /* numbers that are worth waking threads for */
} map;

static const struct function *find(const char *op) {
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    if (strcmp(functions[i].op, op) == 0) return &functions[i];
  }
  return NULL;
}

static const char *supports(const pleat_call *call) {
  float low, high;
  if (pleat_x86_code_of_cpu() == NULL) return PLEAT_X86_NO_CODE;
  if (call->outputs[0] == NULL || call->inputs[0]->count == 0) return "an empty tensor";
  if (find(call->node->op_type) == NULL) return "not this function";
  if (strcmp(call->node->op_type, "Clip") == 0) {
    if (!pleat_clip_bounds(call, &low, &high)) return "the bounds are not constant";
    if (!(low <= high)) return "the bounds cross";
  }
  return NULL;
}

/* Layouts of which the most is padding are not worth their zeros. */
static void choose_layout(pleat_call *call) {
  const pleat_tensor *x = call->inputs[0];
  if (call->wanted == NULL) return;
  if (x->layout != NULL && pleat_layout_bytes(x) / 2 > pleat_bytes(x)) call->wanted[0] = NULL;
  call->outputs[0]->layout = call->wanted[0];
}

static pleat_status prepare(pleat_call *call) {
  const struct function *function = find(call->node->op_type);
  const float zero = 0;
  float at_zero;
  map *m = pleat_call_state(call, sizeof *m);
  if (m == NULL) return PLEAT_OOM(call->error);
  pleat_x86_map which = function->map;
  if (function->alpha != NULL) m->params[0] = pleat_attr_float(call->node, function->alpha);
  if (function->beta != NULL) m->params[1] = pleat_attr_float(call->node, function->beta);
  if (which == PLEAT_X86_MAP_CLIP) (void)pleat_clip_bounds(call, &m->params[0], &m->params[1]);
  if (which == PLEAT_X86_MAP_GELU && strcmp(pleat_attr_string(call->node, "approximate"), "tanh") == 0)
    which = PLEAT_X86_MAP_GELU_TANH;
  m->function = pleat_x86_code_of_cpu()->maps[which];
  m->function(&zero, &at_zero, 1, m->params);
  m->keeps_zero = at_zero == 0;
  m->least = function->is_simple ? PLEAT_PARALLEL_SIMPLE : PLEAT_PARALLEL_MIN;
  choose_layout(call);
  return PLEAT_OK;
}

enum { LINE = 64 / sizeof(float) }; /* threads share no cache line */

static void run_lines(void *arg, int64_t first, int64_t end, int worker) {
  const pleat_call *call = arg;
  const map *m = call->state;
  const size_t count = pleat_layout_bytes(call->outputs[0]) / sizeof(float), from = (size_t)first * LINE;
  const size_t to = (size_t)end * LINE < count ? (size_t)end * LINE : count;
  (void)worker;
  m->function((const float *)call->inputs[0]->data + from, (float *)call->outputs[0]->data + from, to - from,
              m->params);
}

static pleat_status run(const pleat_call *call) {
  const map *m = call->state;
  const size_t count = pleat_layout_bytes(call->outputs[0]) / sizeof(float);
  pleat_parallel_ranges(count < m->least ? 1 : call->threads, (int64_t)((count + LINE - 1) / LINE), run_lines,
                        (void *)(uintptr_t)call);
  if (!m->keeps_zero) pleat_layout_clear_padding(call->outputs[0]);
  return PLEAT_OK;
}

const pleat_kernel pleat_x86_unary = {.name = "vector",
                                      .types = PLEAT_M_F32,
                                      .flags = PLEAT_KERNEL_LAYOUTS,
                                      .inplace = 1u,
                                      .supports = supports,
                                      .prepare = prepare,
                                      .run = run};

/* Which code this CPU runs, and what all convolutions here decline. The choice is made once; PLEAT_X86=avx2 or none in
 * the environment makes it smaller, for tests. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "ops/x86/x86.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const pleat_x86_code *best;

static void choose(void) {
  const char *limit = getenv("PLEAT_X86");
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl");
  if (limit != NULL && strcmp(limit, "none") == 0) return;
  if (avx512 && (limit == NULL || strcmp(limit, "avx2") != 0)) best = &pleat_x86_avx512;
  else if (avx2) best = &pleat_x86_avx2;
}

const pleat_x86_code *pleat_x86_code_of_cpu(void) {
  pthread_once(&once, choose);
  return best;
}

const char *pleat_x86_refuse_conv(const pleat_call *call) {
  const pleat_x86_code *code = pleat_x86_code_of_cpu();
  const pleat_tensor *x = call->inputs[0], *w = call->inputs[1], *y = call->outputs[0];
  pleat_x86_activation activation;
  if (code == NULL) return "this CPU has neither AVX2 nor AVX-512";
  if (call->wanted == NULL) return "only where layouts are planned";
  if (x->rank < 3 || x->rank > 4) return "not for this number of dimensions";
  if (x->count == 0 || w->count == 0 || y->count == 0) return "an empty tensor";
  if (w->data == NULL) return "the weight is not constant";
  if (x->dims[1] < code->lanes || y->dims[1] < code->lanes) return "fewer channels than a vector holds";
  if (!pleat_x86_activation_of(call->node, &activation)) return "not with this activation";
  if (y->dims[1] % code->lanes != 0 && !pleat_x86_keeps_zero(&activation)) return "its activation does not keep zero";
  return NULL;
}

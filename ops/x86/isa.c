/* Which code this CPU runs. The choice is made once; PLEAT_X86=avx2 or none in the environment makes it smaller, for
 * tests. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/cpu.h"
#include "ops/kernels.h"
#include "ops/x86/x86.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const pleat_x86_code *best, *best_bf16;
static bool halves_512;

static void choose(void) {
  const char *limit = getenv("PLEAT_X86");
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl");
  if (limit != NULL && strcmp(limit, "none") == 0) return;
  if (avx512 && (limit == NULL || strcmp(limit, "avx2") != 0)) best = &pleat_x86_avx512;
  else if (avx2) best = &pleat_x86_avx2;
  halves_512 = pleat_cpu_halves_512();
  if (best == &pleat_x86_avx512 && __builtin_cpu_supports("avx512bf16")) best_bf16 = &pleat_x86_bf16;
}

const pleat_x86_code *pleat_x86_code_of_cpu(void) {
  pthread_once(&once, choose);
  return best;
}

const pleat_x86_code *pleat_x86_code_for(bool bf16) {
  pthread_once(&once, choose);
  return bf16 ? best_bf16 : best;
}

int pleat_x86_units(const pleat_x86_code *code) {
  pthread_once(&once, choose);
  return code->lanes == pleat_x86_avx512.lanes && halves_512 ? 1 : 2;
}

bool pleat_x86_has_bf16(void) {
  return pleat_x86_code_for(true) != NULL;
}

void pleat_x86_fetch_part(pleat_x86_tile *tile, const void *next, int blocks, size_t block_bytes, int index,
                          int count) {
  enum { LINE = 64 };
  const int lines = (int)(block_bytes / LINE), part = pleat_x86_divide_up(lines, count);
  tile->next_lines = index * part < lines ? part : 0;
  tile->next = (const char *)next + (ptrdiff_t)index * part * blocks * LINE;
}

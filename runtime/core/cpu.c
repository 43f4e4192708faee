/* The processor's name and abilities, by the instruction that x86 has for it; elsewhere only what the compiler was
 * told. What the compiler's own detection calls supported is supported by the operating system as well. */
#include "core/cpu.h"

#include <stdio.h>
#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

/* The brand string, without what surrounds it, and the numbers that tell steppings apart. */
static void put_model(char *buffer, size_t size) {
  unsigned words[13] = {0}, signature = 0, unused[3];
  for (unsigned i = 0; i < 3; i++) {
    unsigned *part = &words[4 * i];
    if (!__get_cpuid(0x80000002u + i, &part[0], &part[1], &part[2], &part[3])) break;
  }
  if (!__get_cpuid(1, &signature, &unused[0], &unused[1], &unused[2])) signature = 0;
  char brand[sizeof words], *end = brand + sizeof brand - 1;
  memcpy(brand, words, sizeof brand);
  for (char *c = brand; *c != '\0'; c++) {
    if (*c < ' ' || *c > '~') *c = '?';
  }
  end = brand + strlen(brand);
  while (end > brand && end[-1] == ' ') *--end = '\0';
  snprintf(buffer, size, "%s (%x)", brand + strspn(brand, " "), signature);
}

#define ADD_ABILITY(name)                                                                                              \
  if (__builtin_cpu_supports(name)) {                                                                                  \
    const size_t used = strlen(buffer);                                                                                \
    snprintf(buffer + used, size - used, " %s", name);                                                                 \
  }

bool pleat_cpu_has_bf16(void) {
  return __builtin_cpu_supports("avx512bf16") != 0;
}

/* AMD's family 19h is Zen 3, which has no AVX-512, and Zen 4 (AMD, Processor Programming Reference). */
bool pleat_cpu_halves_512(void) {
  enum { ZEN_3_AND_4 = 0x19, EXTENDED = 0xf };
  unsigned most, name[3], signature = 0, unused[3];
  if (!__builtin_cpu_supports("avx512f") || !__get_cpuid(0, &most, &name[0], &name[1], &name[2]) ||
      !__get_cpuid(1, &signature, &unused[0], &unused[1], &unused[2]))
    return false;
  const unsigned base = signature >> 8 & 0xf, family = base == EXTENDED ? base + (signature >> 20 & 0xff) : base;
  return name[0] == signature_AMD_ebx && family == ZEN_3_AND_4;
}

const char *pleat_cpu_text(char *buffer, size_t size) {
  put_model(buffer, size);
  ADD_ABILITY("avx2")
  ADD_ABILITY("fma")
  ADD_ABILITY("avx512f")
  ADD_ABILITY("avx512vnni")
  ADD_ABILITY("avx512bf16")
  return buffer;
}

#else

bool pleat_cpu_has_bf16(void) {
  return false;
}

bool pleat_cpu_halves_512(void) {
  return false;
}

const char *pleat_cpu_text(char *buffer, size_t size) {
#if defined(__aarch64__)
  snprintf(buffer, size, "aarch64");
#else
  snprintf(buffer, size, "other");
#endif
  return buffer;
}
#endif

/* Mutations of a decoded model: what comes out is well-formed on the wire and wrong in what it says. */
#ifndef PLEAT_TESTS_MUTATE_MESSAGE_H
#define PLEAT_TESTS_MUTATE_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

/* splitmix64: any seed is as good as any other. */
static inline uint64_t next_random(uint64_t *state) {
  uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

static inline size_t below(uint64_t *state, size_t bound) {
  return (size_t)(next_random(state) % bound);
}

/* Decodes the model, changes one to three of its fields (a number, a name, a list's length or order), and encodes it
 * again. New memory of *out_size bytes; NULL when the bytes are no model or memory is short. */
unsigned char *mutate_message(const unsigned char *bytes, size_t size, uint64_t *state, size_t *out_size);

#endif

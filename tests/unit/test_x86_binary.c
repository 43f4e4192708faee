/* Our own Add, Sub and Mul on blocks of channels against the reference kernels: operands of one shape, and a number a
 * channel of all samples or of each, on either side. Runs once per instruction set (tests/CMakeLists.txt). */
#include <stdio.h>

#include "kernel_case.h"
#include "ops/x86/x86.h"

static pleat_tensor *noise_of(uint64_t *seed, int rank, const int64_t *dims) {
  return make_noise(seed, PLEAT_FLOAT, rank, dims);
}

/* `way`: 0 the same shape; 1 [C, 1, 1]; 2 [1, C, 1, 1]; 3 [N, C, 1, 1]. `second`: the blocks are operand 1. */
static void check(const char *op, int way, bool second, int64_t channels, uint64_t *seed) {
  const int64_t x[] = {2, channels, 5, 7}, s[] = {way == 3 ? 2 : 1, channels, 1, 1};
  op_case c;
  char what[64];
  snprintf(what, sizeof what, "%s way %d channels %d second %d", op, way, (int)channels, second);
  case_begin(&c, op, 14);
  pleat_tensor *a = noise_of(seed, 4, x),
               *b = way == 0 ? noise_of(seed, 4, x) : noise_of(seed, way == 1 ? 3 : 4, way == 1 ? s + 1 : s);
  case_input(&c, second ? b : a);
  case_input(&c, second ? a : b);
  case_ready(&c, "");
  pleat_tensor *expected = run_kernel(&c, reference_kernel(&c), (how){.constants = ~0u, .no_layouts = true}, NULL);
  const unsigned blocked = way == 0 ? 3u : second ? 2u : 1u;
  for (c.threads = 1; c.threads <= 3; c.threads++) {
    const how how = {.blocked = blocked, .lanes = pleat_x86_code_of_cpu()->lanes};
    pleat_tensor *found = run_kernel(&c, &pleat_x86_binary_blocks, how, NULL);
    ck_assert_msg(found != NULL, "%s declines: %s", what, c.error.message);
    ck_assert_mem_eq(found->data, expected->data, pleat_bytes(expected));
    pleat_tensor_release(found);
  }
  pleat_tensor_release(expected);
  if (pleat_x86_code_for(true) != NULL) {
    round_inputs(&c);
    compare_with_reference(&c, &pleat_x86_binary_blocks, (how){.blocked = blocked, .bf16 = true}, blocked, 0, what);
  }
  case_end(&c);
}

START_TEST(every_way) {
  static const char *const ops[] = {"Add", "Sub", "Mul"};
  static const int64_t channels[] = {8, 15, 16, 17, 40};
  uint64_t seed = 2;
  for (int o = 0; o < 3; o++) {
    for (int way = 0; way < 4; way++) {
      for (int i = 0; i < 5; i++) {
        check(ops[o], way, false, channels[i], &seed);
        if (way == 0 || o != 1) check(ops[o], way, true, channels[i], &seed);
      }
    }
  }
}
END_TEST

START_TEST(declining) {
  static const struct {
    const char *op;
    int64_t s[4];
    bool second, blocked;
  } cases[] = {{"Div", {2, 16, 5, 7}, false, true},
               {"Add", {2, 16, 5, 7}, false, false},
               {"Mul", {1, 16, 5, 7}, false, true},
               {"Sub", {1, 16, 1, 1}, true, true},
               {"Mul", {1, 1, 5, 7}, false, true}};
  const int64_t x[] = {2, 16, 5, 7};
  uint64_t seed = 2;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    op_case c;
    case_begin(&c, cases[i].op, 14);
    pleat_tensor *a = noise_of(&seed, 4, x), *b = noise_of(&seed, 4, cases[i].s);
    case_input(&c, cases[i].second ? b : a);
    case_input(&c, cases[i].second ? a : b);
    case_ready(&c, "");
    const how how = {.blocked = !cases[i].blocked ? 0
                                : cases[i].second ? 2u
                                                  : 1u,
                     .lanes = pleat_x86_code_of_cpu()->lanes};
    ck_assert_msg(run_kernel(&c, &pleat_x86_binary_blocks, how, NULL) == NULL, "case %d is taken", (int)i);
    case_end(&c);
  }
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  Suite *suite = suite_create("x86_binary");
  TCase *tcase = tcase_create("binary");
  if (pleat_x86_code_of_cpu() != NULL) {
    tcase_add_test(tcase, every_way);
    tcase_add_test(tcase, declining);
  } else {
    printf("skipped: this CPU has neither AVX2 nor AVX-512\n");
  }
  suite_add_tcase(suite, tcase);
  return suite;
}

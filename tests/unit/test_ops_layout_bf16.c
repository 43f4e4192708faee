/* Layouts whose elements are bfloat16: their facts, and the reorders between them and floats, which round to nearest
 * even and nothing else. */
#include "kernel_case.h"
#include "suite.h"

enum { ORDERS = 5 };

static const pleat_layout *order_at(int index) {
  const pleat_layout *const orders[ORDERS] = {NULL, pleat_layout_blocked(4), pleat_layout_blocked(8),
                                              pleat_layout_blocked(16), &pleat_channels_last};
  return orders[index];
}

static pleat_tensor described(const char *shape, const pleat_layout *layout) {
  pleat_tensor tensor = {0};
  int64_t dims[PLEAT_MAX_RANK];
  ck_assert(pleat_tensor_describe(&tensor, PLEAT_FLOAT, shape_dims(shape, dims), dims));
  tensor.layout = layout;
  return tensor;
}

START_TEST(facts) {
  for (int k = 0; k < ORDERS; k++) {
    const pleat_layout *order = order_at(k), *bf16 = pleat_layout_as(order, true);
    ck_assert(bf16 != NULL && pleat_layout_is_bf16(bf16) && !pleat_layout_is_bf16(order));
    ck_assert(pleat_layout_equal(pleat_layout_as(bf16, false), order));
    ck_assert(pleat_layout_equal(pleat_layout_as(bf16, true), bf16));
    ck_assert(!pleat_layout_equal(bf16, order) && !pleat_layout_equal(order, bf16));
    ck_assert_ptr_nonnull(strstr(pleat_layout_text(bf16), "bfloat16"));
    const pleat_tensor floats = described("2,17,3,5", order), rounded = described("2,17,3,5", bf16);
    ck_assert_uint_eq(2 * pleat_layout_bytes(&rounded), pleat_layout_bytes(&floats));
    /* Where the order is the dense one in truth, it is called so, and stays bfloat16. */
    const int64_t single[] = {2, 16, 1, 1}, many[] = {2, 17, 3, 5};
    ck_assert(pleat_layout_equal(pleat_layout_plainest(bf16, 4, single), pleat_layout_as(NULL, true)));
    ck_assert(pleat_layout_equal(pleat_layout_plainest(order, 4, single), NULL));
    ck_assert(pleat_layout_equal(pleat_layout_plainest(bf16, 4, many), bf16));
  }
  const pleat_tensor row = described("7", pleat_layout_as(NULL, true)), scalar = described("", row.layout);
  ck_assert_uint_eq(pleat_layout_bytes(&row), 14);
  ck_assert_uint_eq(pleat_layout_bytes(&scalar), 2);
}
END_TEST

/* To bfloat16 in one order, to bfloat16 in another, and back to dense floats: each element is the rounded one. */
static void check_way(const pleat_tensor *x, const pleat_layout *first, const pleat_layout *second) {
  pleat_arena *arena = pleat_arena_create();
  pleat_tensor a = convert(x, pleat_layout_as(first, true), arena);
  pleat_tensor b = convert(&a, pleat_layout_as(second, true), arena);
  pleat_tensor y = convert(&b, NULL, arena);
  for (size_t i = 0; i < x->count; i++) {
    uint16_t rounded;
    float expected, found;
    pleat_convert(PLEAT_FLOAT, (const float *)x->data + i, PLEAT_BFLOAT16, &rounded, 1, NULL);
    pleat_convert(PLEAT_BFLOAT16, &rounded, PLEAT_FLOAT, &expected, 1, NULL);
    found = ((const float *)y.data)[i];
    if (memcmp(&found, &expected, sizeof found) != 0)
      ck_abort_msg("%s, then %s: element %zu is %.9g, expected %.9g", pleat_layout_text(first),
                   pleat_layout_text(second), i, (double)found, (double)expected);
  }
  free(a.data);
  free(b.data);
  free(y.data);
  pleat_arena_destroy(arena);
}

START_TEST(rounding) {
  static const char *const shapes[] = {"", "37", "5,7", "1,2,3,2,2,2,3"};
  uint64_t seed = 5;
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
    int64_t dims[PLEAT_MAX_RANK];
    pleat_tensor *x = make_noise(&seed, PLEAT_FLOAT, shape_dims(shapes[s], dims), dims);
    check_way(x, NULL, NULL);
    pleat_tensor_release(x);
  }
}
END_TEST

START_TEST(orders) {
  static const char *const shapes[] = {"2,17,3,5", "1,16,4,4", "1,3,40", "1,16,1,1", "1,5,2,3,4"};
  uint64_t seed = 6;
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
    int64_t dims[PLEAT_MAX_RANK];
    pleat_tensor *x = make_noise(&seed, PLEAT_FLOAT, shape_dims(shapes[s], dims), dims);
    for (int pair = 0; pair < ORDERS * ORDERS; pair++) check_way(x, order_at(pair / ORDERS), order_at(pair % ORDERS));
    pleat_tensor_release(x);
  }
}
END_TEST

Suite *make_suite(void) {
  const TTest *const tests[] = {facts, rounding, orders, NULL};
  Suite *suite = suite_create("ops_layout_bf16");
  add_tests(suite, "layout", tests);
  return suite;
}

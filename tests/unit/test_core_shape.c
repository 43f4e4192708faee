/* Symbolic shapes, strides, and the strided copy against a naive loop. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/parallel.h"
#include "core/shape.h"

static pleat_dim symbol(const char *name) {
  return (pleat_dim){.value = -1, .symbol = name};
}

static pleat_shape shape_with(int rank, const pleat_dim *dims) {
  pleat_shape shape = pleat_shape_of_rank(rank);
  for (int i = 0; i < rank; i++) shape.dims[i] = dims[i];
  return shape;
}

static void check_text(const pleat_shape *shape, const char *wanted) {
  char text[128];
  ck_assert_str_eq(pleat_shape_text(shape, text, sizeof text), wanted);
}

START_TEST(texts) {
  pleat_shape unknown = pleat_shape_unknown(), scalar = pleat_shape_of(0, NULL);
  pleat_shape mixed = shape_with(3, (pleat_dim[]){symbol("batch"), pleat_dim_known(3), pleat_dim_unknown()});
  check_text(&unknown, "?");
  check_text(&scalar, "[]");
  check_text(&mixed, "[batch,3,?]");
  char tiny[5];
  ck_assert_str_eq(pleat_shape_text(&mixed, tiny, sizeof tiny), "[bat");
}
END_TEST

START_TEST(known_shapes) {
  int64_t dims[PLEAT_MAX_RANK];
  pleat_shape known = pleat_shape_of(2, (int64_t[]){4, 5}), open = pleat_shape_of(2, (int64_t[]){4, -1});
  ck_assert(pleat_shape_is_known(&known) && pleat_shape_dims(&known, dims) && dims[1] == 5);
  ck_assert(!pleat_shape_is_known(&open) && !pleat_shape_dims(&open, dims));
  pleat_shape unknown = pleat_shape_unknown(), too_deep = pleat_shape_of_rank(PLEAT_MAX_RANK + 1);
  ck_assert(!pleat_shape_is_known(&unknown));
  ck_assert_int_eq(too_deep.rank, -1);
  int axis;
  ck_assert(pleat_axis(-1, 4, &axis) && axis == 3);
  ck_assert(!pleat_axis(4, 4, &axis) && !pleat_axis(-5, 4, &axis) && !pleat_axis(0, 0, &axis));
}
END_TEST

START_TEST(products) {
  const char *n = "n";
  pleat_shape known = pleat_shape_of(3, (int64_t[]){2, 3, 4});
  ck_assert_int_eq(pleat_shape_product(&known, 0, 3).value, 24);
  ck_assert_int_eq(pleat_shape_product(&known, 1, 1).value, 1);
  pleat_shape open =
      shape_with(4, (pleat_dim[]){symbol(n), pleat_dim_known(1), pleat_dim_known(3), pleat_dim_known(0)});
  ck_assert_ptr_eq(pleat_shape_product(&open, 0, 2).symbol, n);
  ck_assert_int_eq(pleat_shape_product(&open, 0, 3).value, -1);
  ck_assert_ptr_null(pleat_shape_product(&open, 0, 3).symbol);
  ck_assert_int_eq(pleat_shape_product(&open, 0, 4).value, 0);
  pleat_shape huge = pleat_shape_of(3, (int64_t[]){INT64_MAX, 2, 0});
  ck_assert_int_eq(pleat_shape_product(&huge, 0, 2).value, -1);
  ck_assert_int_eq(pleat_shape_product(&huge, 0, 3).value, 0);
}
END_TEST

static void check_broadcast(pleat_shape a, pleat_shape b, const char *wanted) {
  pleat_shape out;
  for (int turn = 0; turn < 2; turn++) { /* it is symmetric */
    ck_assert_int_eq(pleat_shape_broadcast(turn ? &b : &a, turn ? &a : &b, &out), wanted != NULL);
    if (wanted != NULL) check_text(&out, wanted);
  }
}

START_TEST(broadcasts) {
  const pleat_dim n = symbol("n"), m = symbol("m"), any = pleat_dim_unknown();
  check_broadcast(pleat_shape_of(2, (int64_t[]){4, 1}), pleat_shape_of(1, (int64_t[]){5}), "[4,5]");
  check_broadcast(pleat_shape_of(2, (int64_t[]){4, 3}), pleat_shape_of(1, (int64_t[]){5}), NULL);
  check_broadcast(pleat_shape_of(1, (int64_t[]){0}), pleat_shape_of(1, (int64_t[]){1}), "[0]");
  check_broadcast(pleat_shape_of(1, (int64_t[]){0}), pleat_shape_of(1, (int64_t[]){3}), NULL);
  check_broadcast(shape_with(1, &n), pleat_shape_of(1, (int64_t[]){1}), "[n]");
  check_broadcast(shape_with(1, &n), pleat_shape_of(1, (int64_t[]){7}), "[7]");
  check_broadcast(shape_with(1, &n), shape_with(1, &n), "[n]");
  check_broadcast(shape_with(1, &n), shape_with(1, &m), "[?]");
  check_broadcast(shape_with(1, &any), shape_with(1, &any), "[?]");
  check_broadcast(pleat_shape_unknown(), pleat_shape_of(1, (int64_t[]){7}), "?");
  check_broadcast(pleat_shape_of(0, NULL), shape_with(1, &n), "[n]");
}
END_TEST

START_TEST(merges) {
  pleat_shape a = shape_with(3, (pleat_dim[]){symbol("n"), pleat_dim_unknown(), pleat_dim_known(2)});
  pleat_shape b = shape_with(3, (pleat_dim[]){pleat_dim_known(4), symbol("m"), pleat_dim_unknown()});
  pleat_shape c = pleat_shape_of(3, (int64_t[]){4, 5, 6}), d = pleat_shape_of(2, (int64_t[]){4, 5});
  pleat_shape unknown = pleat_shape_unknown(), out;
  ck_assert(pleat_shape_merge(&a, &b, &out));
  check_text(&out, "[4,m,2]");
  ck_assert(pleat_shape_merge(&unknown, &a, &out));
  check_text(&out, "[n,?,2]");
  ck_assert(!pleat_shape_merge(&a, &c, &out));
  ck_assert(!pleat_shape_merge(&c, &d, &out));
  ck_assert(pleat_shape_merge(&a, &b, &a)); /* in place */
  check_text(&a, "[4,m,2]");
}
END_TEST

START_TEST(broadcast_strides) {
  int64_t strides[PLEAT_MAX_RANK];
  ck_assert(pleat_broadcast_strides(2, (int64_t[]){3, 1}, 3, (int64_t[]){2, 3, 4}, strides));
  ck_assert(strides[0] == 0 && strides[1] == 1 && strides[2] == 0);
  ck_assert(!pleat_broadcast_strides(2, (int64_t[]){3, 2}, 3, (int64_t[]){2, 3, 4}, strides));
  ck_assert(!pleat_broadcast_strides(3, (int64_t[]){1, 1, 1}, 2, (int64_t[]){1, 1}, strides));
  ck_assert(pleat_broadcast_strides(0, NULL, 1, (int64_t[]){9}, strides) && strides[0] == 0);
  pleat_dense_strides(3, (int64_t[]){INT64_MAX, INT64_MAX, 0}, strides);
  ck_assert_int_eq(strides[2], 1);
}
END_TEST

/* ---- the strided copy ---- */

static int64_t offset_of(int rank, const int64_t *at, const int64_t *strides) {
  int64_t offset = 0;
  for (int i = 0; i < rank; i++) offset += at[i] * strides[i];
  return offset;
}

static void copy_naively(size_t size, int rank, const int64_t *dims, unsigned char *dst, const int64_t *dst_strides,
                         const unsigned char *src, const int64_t *src_strides) {
  int64_t at[PLEAT_MAX_RANK] = {0};
  for (int i = 0; i < rank; i++) {
    if (dims[i] == 0) return;
  }
  for (;;) {
    memcpy(dst + offset_of(rank, at, dst_strides) * (int64_t)size,
           src + offset_of(rank, at, src_strides) * (int64_t)size, size);
    int i = rank - 1;
    while (i >= 0 && ++at[i] == dims[i]) at[i--] = 0;
    if (i < 0) return;
  }
}

/* Strides of a permuted, partly reversed, perhaps padded array; *out_first is where element [0,...] is. */
static int64_t random_strides(int rank, const int64_t *dims, bool may_repeat, int64_t *out_strides,
                              int64_t *out_first) {
  int order[PLEAT_MAX_RANK];
  for (int i = 0; i < rank; i++) order[i] = i;
  for (int i = rank - 1; i > 0; i--) {
    int k = rand() % (i + 1), held = order[i];
    order[i] = order[k];
    order[k] = held;
  }
  int64_t span = 1;
  *out_first = 0;
  for (int i = rank - 1; i >= 0; i--) {
    int axis = order[i];
    if (may_repeat && rand() % 6 == 0) {
      out_strides[axis] = 0;
      continue;
    }
    out_strides[axis] = span;
    span *= dims[axis] > 0 ? dims[axis] : 1;
    if (rand() % 4 == 0) span += rand() % 3;
    if (rand() % 4 == 0 && dims[axis] > 0) {
      *out_first += out_strides[axis] * (dims[axis] - 1);
      out_strides[axis] = -out_strides[axis];
    }
  }
  return span;
}

static void check_copy(size_t size, int rank, const int64_t *dims, int threads) {
  int64_t dst_strides[PLEAT_MAX_RANK], src_strides[PLEAT_MAX_RANK], dst_first, src_first;
  int64_t dst_span = random_strides(rank, dims, false, dst_strides, &dst_first);
  int64_t src_span = random_strides(rank, dims, true, src_strides, &src_first);
  /* Exactly as large as it needs to be, so that a sanitizer sees what goes beyond. */
  size_t dst_bytes = (size_t)dst_span * size, src_bytes = (size_t)src_span * size;
  unsigned char *src = malloc(src_bytes), *found = malloc(dst_bytes), *wanted = malloc(dst_bytes);
  ck_assert(src != NULL && found != NULL && wanted != NULL);
  for (size_t i = 0; i < src_bytes; i++) src[i] = (unsigned char)rand();
  memset(found, 0xa5, dst_bytes);
  memset(wanted, 0xa5, dst_bytes);
  unsigned char *at_src = src + src_first * (int64_t)size;
  pleat_copy_strided(size, rank, dims, found + dst_first * (int64_t)size, dst_strides, at_src, src_strides, threads);
  copy_naively(size, rank, dims, wanted + dst_first * (int64_t)size, dst_strides, at_src, src_strides);
  ck_assert_msg(memcmp(found, wanted, dst_bytes) == 0, "rank %d, element size %zu, %d threads", rank, size, threads);
  free(src);
  free(found);
  free(wanted);
}

START_TEST(random_copies) {
  static const size_t sizes[] = {1, 2, 4, 8, 16};
  srand(3);
  for (int round = 0; round < 3000; round++) {
    int rank = rand() % 7;
    int64_t dims[PLEAT_MAX_RANK];
    for (int i = 0; i < rank; i++) dims[i] = rand() % 12 == 0 ? rand() % 2 : 1 + rand() % (rank > 3 ? 5 : 24);
    check_copy(sizes[rand() % 5], rank, dims, 1 + rand() % 2);
  }
}
END_TEST

START_TEST(large_copies_with_threads) {
  static const int64_t shapes[][4] = {{1, 64, 61, 67},  {3, 1, 1, 100003}, {1, 1, 1, 300007}, {2, 70001, 1, 3},
                                      {257, 513, 1, 2}, {2, 2, 40000, 2},  {100000, 1, 3, 1}};
  srand(5);
  pleat_parallel_retain(3);
  for (int round = 0; round < 4; round++) {
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
      check_copy(4, 4, shapes[s], 2);
      check_copy(1, 4, shapes[s], 3);
    }
  }
  pleat_parallel_release();
}
END_TEST

START_TEST(transposes_of_two_dimensions) {
  enum { H = 37, W = 53 };
  static uint32_t src[H * W], dst[H * W];
  for (uint32_t i = 0; i < H * W; i++) src[i] = i;
  pleat_copy_strided(4, 2, (int64_t[]){W, H}, dst, (int64_t[]){H, 1}, src, (int64_t[]){1, W}, 1);
  for (uint32_t r = 0; r < H; r++) {
    for (uint32_t c = 0; c < W; c++) ck_assert_uint_eq(dst[c * H + r], src[r * W + c]);
  }
}
END_TEST

START_TEST(full_rank_and_scalars) {
  int64_t dims[PLEAT_MAX_RANK];
  for (int i = 0; i < PLEAT_MAX_RANK; i++) dims[i] = i % 2 + 1;
  srand(9);
  for (int i = 0; i < 50; i++) check_copy(8, PLEAT_MAX_RANK, dims, 1);
  double from = 42, to = 0;
  pleat_copy_strided(sizeof from, 0, NULL, &to, NULL, &from, NULL, 1);
  ck_assert_double_eq(to, 42);
  pleat_copy_strided(4, 2, (int64_t[]){3, 0}, NULL, (int64_t[]){0, 1}, NULL, (int64_t[]){0, 1}, 4);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("core_shape");
  TCase *shapes = tcase_create("shapes");
  tcase_add_test(shapes, texts);
  tcase_add_test(shapes, known_shapes);
  tcase_add_test(shapes, products);
  tcase_add_test(shapes, broadcasts);
  tcase_add_test(shapes, merges);
  tcase_add_test(shapes, broadcast_strides);
  suite_add_tcase(suite, shapes);
  TCase *copies = tcase_create("copies");
  tcase_set_timeout(copies, 60);
  tcase_add_test(copies, random_copies);
  tcase_add_test(copies, large_copies_with_threads);
  tcase_add_test(copies, transposes_of_two_dimensions);
  tcase_add_test(copies, full_rank_and_scalars);
  suite_add_tcase(suite, copies);
  return suite;
}

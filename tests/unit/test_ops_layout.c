/* Physical layouts: their facts (words, sizes, which are dense in truth), and the portable reorder for every pair of
 * them, element for element against the formulas of ops/layout.h, for channels around the blocks' sizes; the kernels of
 * Concat and Slice that keep a layout. */
#include <stdio.h>

#include "kernel_case.h"

static const char *const shapes[] = {"1,16,5,7",   "2,17,4,4", "1,3,9,8",   "3,31,130", "1,8,1,1",
                                     "2,40,3,3,5", "1,1,6,6",  "2,20,1,70", "0,16,2,2", "1,12,65"};
enum { SHAPES = sizeof shapes / sizeof *shapes, LAYOUTS = 5 };

static const pleat_layout *layout_at(int index) {
  const pleat_layout *const layouts[LAYOUTS] = {NULL, pleat_layout_blocked(4), pleat_layout_blocked(8),
                                                pleat_layout_blocked(16), &pleat_channels_last};
  return layouts[index];
}

static pleat_tensor described(pleat_dtype dtype, const char *shape, const pleat_layout *layout) {
  pleat_tensor tensor = {0};
  int64_t dims[PLEAT_MAX_RANK];
  const int rank = shape_dims(shape, dims);
  ck_assert(pleat_tensor_describe(&tensor, dtype, rank, dims));
  tensor.layout = layout;
  return tensor;
}

/* Where channel `c` of sample `n` is at position `i`, in elements; the padding's channels as well. */
static size_t place_of(const pleat_tensor *tensor, size_t n, size_t c, size_t i) {
  const size_t channels = (size_t)tensor->dims[1], positions = (size_t)pleat_volume(tensor->dims, 2, tensor->rank);
  if (tensor->layout == NULL) return (n * channels + c) * positions + i;
  const size_t block = (size_t)tensor->layout->block;
  if (block == 0) return (n * positions + i) * channels + c;
  const size_t blocks = (channels + block - 1) / block;
  return ((n * blocks + c / block) * positions + i) * block + c % block;
}

START_TEST(facts) {
  static const struct {
    const char *shape;
    size_t bytes[LAYOUTS]; /* of uint8 */
    unsigned dense;        /* bit: layout */
  } list[] = {{"2,17,4,4", {544, 640, 768, 1024, 544}, 1},  {"1,16,5,7", {560, 560, 560, 560, 560}, 1},
              {"1,16,1,1", {16, 16, 16, 16, 16}, 31},       {"3,12,1", {36, 36, 48, 48, 36}, 1 | 2 | 16},
              {"1,1,6,6", {36, 144, 288, 576, 36}, 1 | 16}, {"0,3,6,6", {0, 0, 0, 0, 0}, 1}};
  for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
    for (int k = 0; k < LAYOUTS; k++) {
      const pleat_tensor tensor = described(PLEAT_UINT8, list[i].shape, layout_at(k));
      ck_assert_msg(pleat_layout_bytes(&tensor) == list[i].bytes[k], "%s in layout %d", list[i].shape, k);
      ck_assert_msg(pleat_layout_is_dense(layout_at(k), tensor.rank, tensor.dims) == (list[i].dense >> k & 1),
                    "%s in layout %d", list[i].shape, k);
    }
  }
  for (int a = 0; a < LAYOUTS; a++) {
    for (int b = 0; b < LAYOUTS; b++) ck_assert(pleat_layout_equal(layout_at(a), layout_at(b)) == (a == b));
  }
  const pleat_layout copy = *pleat_layout_blocked(8);
  ck_assert(pleat_layout_equal(&copy, pleat_layout_blocked(8)));
  ck_assert_ptr_null(pleat_layout_blocked(32));
  ck_assert_str_eq(pleat_layout_text(pleat_layout_blocked(16)), "16 channels blocked");
  ck_assert_str_eq(pleat_layout_text(&pleat_channels_last), "channels last");
  ck_assert_str_eq(pleat_layout_text(NULL), "dense");
}
END_TEST

START_TEST(sizes_that_overflow) {
  int64_t dims[] = {1, 1, INT64_MAX / 8};
  pleat_tensor tensor = {0};
  ck_assert(pleat_tensor_describe(&tensor, PLEAT_FLOAT, 3, dims));
  tensor.layout = pleat_layout_blocked(16);
  ck_assert_uint_eq(pleat_layout_bytes(&tensor), SIZE_MAX);
}
END_TEST

/* A number for each element that is there, in the tensor's layout; what pads is rubbish. */
static void fill(pleat_tensor *tensor, unsigned rubbish) {
  const size_t size = pleat_dtype_size(tensor->dtype), bytes = pleat_layout_bytes(tensor);
  const size_t channels = (size_t)tensor->dims[1], positions = (size_t)pleat_volume(tensor->dims, 2, tensor->rank);
  tensor->data = malloc(bytes + 1);
  ck_assert_ptr_nonnull(tensor->data);
  memset(tensor->data, (int)rubbish, bytes);
  for (size_t n = 0; n < (size_t)tensor->dims[0] && rubbish == 0x55; n++) {
    for (size_t c = 0; c < channels; c++) {
      for (size_t i = 0; i < positions; i++) {
        const uint64_t value = (n * channels + c) * positions + i + 1;
        memcpy((char *)tensor->data + place_of(tensor, n, c, i) * size, &value, size);
      }
    }
  }
}

static void check(const pleat_tensor *tensor, const char *what) {
  const size_t size = pleat_dtype_size(tensor->dtype);
  const size_t channels = (size_t)tensor->dims[1], positions = (size_t)pleat_volume(tensor->dims, 2, tensor->rank);
  const size_t padded = (size_t)pleat_layout_channels(tensor->layout, tensor->dims[1]);
  for (size_t n = 0; n < (size_t)tensor->dims[0]; n++) {
    for (size_t c = 0; c < padded; c++) {
      for (size_t i = 0; i < positions; i++) {
        const uint64_t value = c < channels ? (n * channels + c) * positions + i + 1 : 0;
        if (memcmp((const char *)tensor->data + place_of(tensor, n, c, i) * size, &value, size) != 0)
          ck_abort_msg("%s: sample %zu, channel %zu, position %zu", what, n, c, i);
      }
    }
  }
}

static void check_reorder(const pleat_kernel *kernel, pleat_tensor from, pleat_tensor to, int threads) {
  const pleat_tensor *inputs[] = {&from};
  pleat_tensor *outputs[] = {&to};
  const pleat_layout *wanted[] = {from.layout};
  pleat_error error = PLEAT_ERROR_INIT;
  char what[256], text[128];
  pleat_call call = {.input_count = 1, .output_count = 1, .inputs = inputs, .outputs = outputs, .wanted = wanted};
  call.threads = threads;
  call.arena = pleat_arena_create();
  call.error = &error;
  snprintf(what, sizeof what, "%s, %s to %s, %d threads", pleat_tensor_text(&from, text, sizeof text),
           pleat_layout_text(from.layout), pleat_layout_text(to.layout), threads);
  if (kernel == NULL) ck_assert_msg(pleat_reorder_take(&call, &kernel) == PLEAT_OK, "%s: %s", what, error.message);
  else ck_assert_msg(pleat_kernel_prepare(kernel, &call) == PLEAT_OK, "%s: %s", what, error.message);
  fill(&from, 0x55);
  fill(&to, 0xaa);
  call.workspace = malloc(call.workspace_size + 1);
  ck_assert_int_eq(pleat_kernel_open(kernel, &call), PLEAT_OK);
  ck_assert_int_eq(pleat_kernel_run(kernel, &call), PLEAT_OK);
  pleat_kernel_close(kernel, &call);
  pleat_kernel_release(kernel, &call);
  check(&to, what);
  free(call.workspace);
  free(from.data);
  free(to.data);
  pleat_arena_destroy(call.arena);
}

static void check_pairs(const pleat_kernel *kernel, pleat_dtype dtype, int most_threads) {
  for (int s = 0; s < SHAPES; s++) {
    for (int pair = 0; pair < LAYOUTS * LAYOUTS; pair++) {
      const pleat_tensor from = described(dtype, shapes[s], layout_at(pair / LAYOUTS));
      for (int threads = 1; threads <= most_threads; threads++)
        check_reorder(kernel, from, described(dtype, shapes[s], layout_at(pair % LAYOUTS)), threads);
    }
  }
}

START_TEST(every_pair) {
  check_pairs(&pleat_reorder, PLEAT_FLOAT, 3);
  check_pairs(&pleat_reorder, PLEAT_BFLOAT16, 1);
  check_pairs(&pleat_reorder, PLEAT_DOUBLE, 1);
}
END_TEST

/* The kernel that plans get, whoever made it, for a type of a library's and one that is none. One byte: as many values
 * as fit. */
START_TEST(the_one_that_is_taken) {
  for (int a = 0; a < LAYOUTS; a++) {
    for (int b = 0; b < LAYOUTS; b++) {
      if (a == b) continue;
      check_reorder(NULL, described(PLEAT_FLOAT, "2,17,4,4", layout_at(a)),
                    described(PLEAT_FLOAT, "2,17,4,4", layout_at(b)), 1);
      check_reorder(NULL, described(PLEAT_UINT8, "1,17,4,3", layout_at(a)),
                    described(PLEAT_UINT8, "1,17,4,3", layout_at(b)), 1);
    }
  }
}
END_TEST

/* The first kernel of an operator, which keeps layouts, gives the reference's values, in a layout; or it declines with
 * these words. Ends the case. */
static void check_kept(op_case *c, how how, bool kept, const char *words) {
  bool plain = false;
  case_ready(c, "");
  const pleat_kernel *kernel = c->node.def->kernels[0];
  pleat_tensor *expected = run_kernel(c, reference_kernel(c), (struct how){.constants = ~0u, .no_layouts = true}, NULL);
  for (c->threads = 1; c->threads <= 2; c->threads++) {
    pleat_tensor *found = run_kernel(c, kernel, how, &plain);
    ck_assert_msg((found != NULL) == kept, "%s", c->error.message);
    if (kept) {
      ck_assert(!plain && pleat_same_shape(found, expected));
      if (found->count > 0) ck_assert_mem_eq(found->data, expected->data, pleat_bytes(found));
    } else {
      ck_assert_msg(strstr(c->error.message, words) != NULL, "'%s' is not in '%s'", words, c->error.message);
    }
    pleat_tensor_release(found);
  }
  pleat_tensor_release(expected);
  case_end(c);
}

static pleat_tensor *noise_of(const char *shape) {
  uint64_t seed = 34;
  int64_t dims[PLEAT_MAX_RANK];
  const int rank = shape_dims(shape, dims);
  return make_noise(&seed, PLEAT_FLOAT, rank, dims);
}

START_TEST(concatenations) {
  static const struct {
    const char *parts[3];
    unsigned blocked;
    int axis;
    const char *declined; /* NULL: stays in blocks */
  } list[] = {{{"2,16,3,4", "2,48,3,4", "2,32,3,4"}, 5, 1, NULL},
              {{"2,16,3,4", "2,48,3,4", "2,17,3,4"}, 7, 1, NULL}, /* the last one is padded */
              {{"1,32,5", "1,3,5"}, 1, 1, NULL},
              {{"2,17,3,4", "2,17,5,4"}, 3, 2, NULL},
              {{"2,17,3,4", "2,17,3,1"}, 2, 3, NULL},
              {{"2,20,2,3,4", "1,20,2,3,4"}, 3, 0, NULL},
              {{"2,17,3,4", "2,48,3,4"}, 3, 1, "blocks"},
              {{"2,16,3,4", "2,48,3,4"}, 0, 1, "dense"}};
  for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
    op_case c;
    case_begin(&c, "Concat", 13);
    for (int k = 0; k < 3 && list[i].parts[k] != NULL; k++) case_input(&c, noise_of(list[i].parts[k]));
    case_int(&c, "axis", list[i].axis);
    check_kept(&c, (how){.blocked = list[i].blocked}, list[i].declined == NULL, list[i].declined);
  }
}
END_TEST

START_TEST(slices) {
  static const struct {
    const char *shape;
    int64_t axis, first, end, step;
    const char *declined;
  } list[] = {{"2,64,3,4", 1, 16, 48, 1, NULL},         {"2,50,3,4", 1, 32, 50, 1, NULL},
              {"2,17,4,5", 3, 1, 3, 1, NULL},           {"3,17,4,5", 0, 1, 3, 1, NULL},
              {"2,17,4,5", 2, 3, 0, -1, "steps"},       {"2,64,3,4", 1, 8, 24, 1, "whole blocks"},
              {"2,64,3,4", 1, 0, 24, 1, "whole blocks"}};
  for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
    op_case c;
    const int64_t numbers[] = {list[i].first, list[i].end, list[i].axis, list[i].step};
    case_begin(&c, "Slice", 13);
    case_input(&c, noise_of(list[i].shape));
    for (int k = 0; k < 4; k++) case_input(&c, make(PLEAT_INT64, "1", &numbers[k]));
    check_kept(&c, (how){.constants = ~1u, .blocked = 1}, list[i].declined == NULL, list[i].declined);
  }
}
END_TEST

START_TEST(what_has_no_layouts) {
  const pleat_tensor from = described(PLEAT_COMPLEX128, "1,3,4,4", NULL), flat = described(PLEAT_FLOAT, "3,4", NULL);
  const pleat_tensor *inputs[] = {&from};
  pleat_error error = PLEAT_ERROR_INIT;
  pleat_call call = {.input_count = 1, .inputs = inputs, .threads = 1, .error = &error};
  const pleat_kernel *kernel = NULL;
  ck_assert_int_eq(pleat_reorder_take(&call, &kernel), PLEAT_UNSUPPORTED);
  ck_assert_ptr_nonnull(strstr(error.message, "16 bytes"));
  inputs[0] = &flat;
  error = (pleat_error)PLEAT_ERROR_INIT;
  ck_assert_int_eq(pleat_kernel_prepare(&pleat_reorder, &call), PLEAT_UNSUPPORTED);
  ck_assert_ptr_nonnull(strstr(error.message, "2 dimensions"));
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  const TTest *const tests[] = {
      facts, sizes_that_overflow, every_pair, the_one_that_is_taken, what_has_no_layouts, concatenations, slices, NULL};
  Suite *suite = suite_create("ops_layout");
  add_tests(suite, "layout", tests);
  return suite;
}

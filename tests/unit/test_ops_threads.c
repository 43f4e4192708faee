/* Loops of the reference kernels over inputs that are large enough for threads: RUN_OK wants the same bits from one,
 * two and three of them. Made for ThreadSanitizer as well (the preset tsan). */
#include "core/parallel.h"
#include "op_case.h"

enum { INPUTS = 4, ATTRS = 3 };

typedef struct large {
  const char *op;
  int opset;
  size_t outputs;
  const char *shapes[INPUTS]; /* of floats; NULL after the last */
  pleat_attr attrs[ATTRS];    /* without a name after the last */
} large;

#define INT(key, value)                                                                                                \
  { .name = key, .type = PLEAT_ATTR_INT, .i = value }
#define LIST(key, n, ...)                                                                                              \
  {                                                                                                                    \
    .name = key, .type = PLEAT_ATTR_INTS, .count = n, .ints = (const int64_t[]) {                                      \
      __VA_ARGS__                                                                                                      \
    }                                                                                                                  \
  }
#define TEXT(key, n, text)                                                                                             \
  { .name = key, .type = PLEAT_ATTR_STRING, .count = n, .s = text }

static const large cases[] = {
    {"Add", 13, 1, {"7,3,50,120", "3,1,120"}, {{0}}},
    {"Exp", 13, 1, {"130003"}, {{0}}},
    {"ArgMax", 13, 1, {"9,100,150"}, {INT("axis", 1)}},
    {"AveragePool", 11, 1, {"2,19,40,50"}, {LIST("kernel_shape", 2, 3, 2), LIST("pads", 4, 1, 1, 1, 1)}},
    {"BatchNormalization", 9, 1, {"3,41,10,101", "41", "41", "41"}, {{0}}},
    {"Conv", 11, 1, {"2,8,50,40", "12,8,3,3", "12"}, {{0}}},
    {"ConvTranspose", 11, 1, {"2,8,30,40", "8,6,3,3"}, {{0}}},
    {"Gemm", 13, 1, {"130,90", "90,140", "140"}, {{0}}},
    {"GlobalAveragePool", 1, 1, {"3,41,10,101"}, {{0}}},
    {"GlobalLpPool", 2, 1, {"3,41,10,101"}, {{0}}},
    {"GlobalMaxPool", 1, 1, {"3,41,10,101"}, {{0}}},
    {"InstanceNormalization", 6, 1, {"3,41,10,101", "41", "41"}, {{0}}},
    {"LRN", 13, 1, {"3,20,10,101"}, {INT("size", 5)}},
    {"LSTM", 14, 3, {"5,7,6", "2,36,6", "2,36,9"}, {INT("hidden_size", 9), TEXT("direction", 13, "bidirectional")}},
    {"LayerNormalization", 17, 3, {"230,301", "301", "301"}, {{0}}},
    {"LpNormalization", 1, 1, {"9,70,150"}, {INT("axis", 1)}},
    {"LpPool", 18, 1, {"2,19,40,50"}, {LIST("kernel_shape", 2, 3, 2)}},
    {"MatMul", 13, 1, {"3,70,90", "3,90,80"}, {{0}}},
    {"MaxPool", 12, 2, {"2,19,40,50"}, {LIST("kernel_shape", 2, 3, 2)}},
    {"ReduceL2", 13, 1, {"9,100,150"}, {LIST("axes", 1, 1)}},
    {"ReduceMean", 13, 1, {"90,10,150"}, {LIST("axes", 1, 2)}},
    {"Softmax", 13, 1, {"9,100,150"}, {INT("axis", 1)}},
    {"Softmax", 13, 1, {"9,100,150"}, {INT("axis", 2)}},
    {"Transpose", 13, 1, {"9,100,151"}, {LIST("perm", 3, 2, 0, 1)}},
};

static pleat_tensor *noise(uint64_t *seed, const char *shape) {
  int64_t dims[PLEAT_MAX_RANK];
  const int rank = shape_dims(shape, dims);
  return make_noise(seed, PLEAT_FLOAT, rank, dims);
}

static pleat_tensor *positive_noise(uint64_t *seed, const char *shape) {
  pleat_tensor *tensor = noise(seed, shape);
  float *values = tensor->data;
  for (size_t i = 0; i < tensor->count; i++) values[i] = fabsf(values[i]);
  return tensor;
}

START_TEST(large_inputs) {
  const large *l = &cases[_i];
  uint64_t seed = (uint64_t)_i + 1;
  op_case c;
  case_begin(&c, l->op, l->opset);
  c.output_count = l->outputs;
  for (size_t i = 0; i < ATTRS && l->attrs[i].name != NULL; i++) case_attr(&c, l->attrs[i]);
  for (size_t i = 0; i < INPUTS && l->shapes[i] != NULL; i++) case_input(&c, noise(&seed, l->shapes[i]));
  if (strcmp(l->op, "BatchNormalization") == 0) case_input(&c, positive_noise(&seed, "41"));
  RUN_OK(&c);
  case_end(&c);
}
END_TEST

/* ---- with inputs that are no noise ---- */

START_TEST(batch_normalization_in_training) {
  uint64_t seed = 1;
  op_case c;
  case_begin(&c, "BatchNormalization", 15);
  case_int(&c, "training_mode", 1);
  c.output_count = 3;
  case_input(&c, noise(&seed, "3,41,10,11"));
  for (int i = 0; i < 3; i++) case_input(&c, noise(&seed, "41"));
  case_input(&c, positive_noise(&seed, "41"));
  RUN_OK(&c);
  case_end(&c);
}
END_TEST

START_TEST(top_k) {
  uint64_t seed = 2;
  for (int axis = 1; axis <= 2; axis++) {
    op_case c;
    case_begin(&c, "TopK", 11);
    case_int(&c, "axis", axis);
    c.output_count = 2;
    case_input(&c, noise(&seed, "9,100,50"));
    case_input(&c, INTS(7));
    RUN_OK(&c);
    case_end(&c);
  }
}
END_TEST

/* Ranges begin in the middle of the indices; some indices count from the end. */
START_TEST(gather) {
  uint64_t seed = 3;
  int64_t indices[37];
  op_case c;
  for (int i = 0; i < 37; i++) indices[i] = random_between(&seed, -29, 28);
  case_begin(&c, "Gather", 13);
  case_int(&c, "axis", 1);
  case_input(&c, noise(&seed, "23,29,101"));
  case_input(&c, make_ints(indices, 37));
  const float *found = RUN_OK(&c)->data, *data = c.inputs[0]->data;
  for (int at = 0; at < 23 * 37; at++) {
    const int64_t index = indices[at % 37], from = (at / 37 * 29 + (index < 0 ? index + 29 : index)) * 101;
    ck_assert_mem_eq(found + at * 101, data + from, 101 * sizeof *found);
  }
  case_end(&c);
}
END_TEST

START_TEST(resize) {
  static const char *const modes[] = {"nearest", "linear", "cubic"};
  uint64_t seed = 4;
  for (int i = 0; i < 3; i++) {
    op_case c;
    case_begin(&c, "Resize", 13);
    case_string(&c, "mode", modes[i]);
    case_input(&c, noise(&seed, "1,7,60,50"));
    case_input(&c, NULL);
    case_input(&c, NULL);
    case_input(&c, INTS(1, 7, 131, 113));
    RUN_OK(&c);
    case_end(&c);
  }
}
END_TEST

START_TEST(quantize_linear) {
  uint64_t seed = 5;
  op_case c;
  case_begin(&c, "QuantizeLinear", 13);
  case_input(&c, noise(&seed, "130003"));
  case_input(&c, FLOATS("", 0.01f));
  RUN_OK(&c);
  case_end(&c);
}
END_TEST

/* ---- the helper ---- */

enum { COUNT = 1000 };

typedef struct marks {
  int done[COUNT], ranges[COUNT]; /* each range leaves 1 where it begins */
} marks;

static void mark(const pleat_call *call, const void *plan, size_t first, size_t end) {
  marks *m = call->workspace;
  m->ranges[first] = 1;
  for (size_t i = first; i < end; i++) m->done[i] += plan == call->state;
}

START_TEST(a_call_shares_its_loop) {
  pleat_parallel_retain(3);
  for (int worth = 0; worth < 2; worth++) {
    marks m = {{0}, {0}};
    int plan = 0, ranges = 0;
    pleat_call call = {.threads = 3, .state = &plan, .workspace = &m};
    pleat_call_share(&call, worth != 0, COUNT, mark, &plan);
    for (int i = 0; i < COUNT; i++) {
      ck_assert_int_eq(m.done[i], 1);
      ranges += m.ranges[i];
    }
    if (worth) ck_assert_int_ge(ranges, 3);
    else ck_assert_int_eq(ranges, 1);
  }
  pleat_parallel_release();
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  Suite *suite = suite_create("ops_threads");
  TCase *tcase = tcase_create("large");
  tcase_set_timeout(tcase, 120);
  tcase_add_loop_test(tcase, large_inputs, 0, (int)(sizeof cases / sizeof *cases));
  suite_add_tcase(suite, tcase);
  add_tests(suite, "others",
            (const TTest *const[]){batch_normalization_in_training, top_k, gather, resize, quantize_linear, NULL});
  add_tests(suite, "helper", (const TTest *const[]){a_call_shares_its_loop, NULL});
  return suite;
}

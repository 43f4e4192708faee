/* Pairs of convolutions in plans: a 1x1 one, or one of few channels, and the depthwise one behind it are a single step
 * where the value between them is large, bitwise with the results of two steps; and two steps wherever somebody else
 * sees that value, or the kernel declines. Runs once per instruction set (tests/CMakeLists.txt). */
#include "ops/x86/x86.h"
#include "plan_case.h"

#define PAIR "expand + dw"

typedef struct shape_of {
  int channels, between, size, stride;
  const char *activation; /* of both; NULL: none */
} shape_of;

/* 96 * 40 * 40 floats between the two are more than the kernel's rule asks for. */
static const shape_of large = {.channels = 16, .between = 96, .size = 40, .stride = 1, .activation = "Relu"};

/* x -> expand -> e [-> activation -> a] -> dw -> d [-> activation -> y]; dw's filters are `filters`, w2 if constant. */
static void add_pair(builder *b, const shape_of *s, const char *filters) {
  char shape[64], inputs[64];
  const bool acts = s->activation != NULL;
  snprintf(shape, sizeof shape, "%d,%d,1,1", s->between, s->channels);
  noise_init(b, "w1", PLEAT_FLOAT, shape, -0.5, 0.5);
  snprintf(shape, sizeof shape, "%d", s->between);
  noise_init(b, "b1", PLEAT_FLOAT, shape, -0.5, 0.5);
  noise_init(b, "b2", PLEAT_FLOAT, shape, -0.5, 0.5);
  snprintf(shape, sizeof shape, "%d,1,3,3", s->between);
  if (strcmp(filters, "w2") == 0) noise_init(b, filters, PLEAT_FLOAT, shape, -0.5, 0.5);
  else model_input(b, filters, PLEAT_FLOAT, shape);
  model_node(b, "Conv", "expand", "x,w1,b1", "e");
  if (acts) model_node(b, s->activation, "act1", "e", "a");
  snprintf(inputs, sizeof inputs, "%s,%s,b2", acts ? "a" : "e", filters);
  Onnx__NodeProto *dw = model_node(b, "Conv", "dw", inputs, acts ? "d" : "y");
  if (acts) model_node(b, s->activation, "act2", "d", "y");
  build_attr_int(b, dw, "group", s->between);
  attr_ints(b, dw, "pads", "1,1,1,1");
  attr_ints(b, dw, "strides", s->stride == 2 ? "2,2" : "1,1");
}

static void add_input(builder *b, const shape_of *s) {
  char shape[64];
  snprintf(shape, sizeof shape, "1,%d,%d,%d", s->channels, s->size, s->size);
  model_input(b, "x", PLEAT_FLOAT, shape);
}

static builder pair_model(const shape_of *s) {
  builder b = build_begin(8, MODEL_OPSET);
  add_input(&b, s);
  add_pair(&b, s, "w2");
  model_output(&b, "y", PLEAT_FLOAT, "?");
  return b;
}

static bool has_pair(const planned *p) {
  for (size_t i = 0; i < p->plan->step_count; i++) {
    if (strcmp(p->plan->steps[i].node->op_type, "FusedConvPair") == 0) return true;
  }
  return false;
}

static bool is_paired(builder *b, pleat_session_options options) {
  planned p = plan_in(session_from(b, options));
  const bool found = has_pair(&p);
  end_plan(&p);
  return found;
}

/* The result of a session that a tap keeps from fusing, and of one that fuses: the same bits, with 1 and 2 threads. */
static void check_bits(const shape_of *s) {
  builder b = pair_model(s);
  pleat_model *model = build_model(&b);
  const char *const taps[] = {s->activation != NULL ? "a" : "e", NULL};
  for (int threads = 1; threads <= 2; threads++) {
    pleat_tensor *fused[4], *plain[4];
    planned one = plan_in(session_with(model, (pleat_session_options){.threads = threads}));
    planned two = plan_in(session_with(model, (pleat_session_options){.threads = threads, .taps = taps}));
    ck_assert(has_pair(&one));
    ck_assert(!has_pair(&two));
    ck_assert_uint_eq(run_with_noise(one.session, fused), 1);
    ck_assert_uint_eq(run_with_noise(two.session, plain), 2);
    ck_assert(pleat_same_shape(fused[0], plain[0]));
    ck_assert_mem_eq(fused[0]->data, plain[0]->data, pleat_bytes(fused[0]));
    pleat_tensor_release(fused[0]);
    pleat_tensor_release(plain[0]);
    pleat_tensor_release(plain[1]);
    end_plan(&one);
    end_plan(&two);
  }
  pleat_model_release(model);
}

START_TEST(the_same_bits) {
  static const shape_of shapes[] = {{16, 96, 112, 2, "Relu"}, {24, 144, 56, 1, "Relu"}, {40, 136, 50, 1, "LeakyRelu"},
                                    {32, 192, 29, 2, NULL},   {64, 400, 14, 1, "Relu"}, {3, 32, 112, 1, "Relu"},
                                    {1, 40, 90, 2, NULL}};
  check_bits(&large);
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) check_bits(&shapes[i]);
}
END_TEST

/* A user finds both nodes in the step's name; the value between them takes no memory. */
START_TEST(one_step) {
  builder b = pair_model(&large);
  planned p = plan_of(&b);
  const pleat_step *step = step_named(&p, PAIR);
  ck_assert_str_eq(step->node->op_type, "FusedConvPair");
  ck_assert_int_eq(slot_named(&p, "a")->storage, PLEAT_STORAGE_NONE);
  ck_assert_double_ge(step->call.work, 96.0 * (16 + 9) * 40 * 40);
  end_plan(&p);
}
END_TEST

/* Two steps, as ever, and the second says why. */
START_TEST(small_values_stay_two_steps) {
  shape_of small = large;
  small.size = 20;
  builder b = pair_model(&small);
  planned p = plan_of(&b);
  ck_assert(!has_pair(&p));
  ck_assert_msg(strstr(step_named(&p, "dw")->declined, "pair: the value between them stays in the cache") != NULL,
                "'%s'", step_named(&p, "dw")->declined);
  end_plan(&p);
}
END_TEST

/* Of an unfused plan, of one that hands out the value, of the oracle and of one for bfloat16. */
START_TEST(other_plans) {
  for (int i = 0; i < 3; i++) {
    builder b = pair_model(&large);
    if (i == 2) model_output(&b, "a", PLEAT_FLOAT, "?");
    ck_assert(!is_paired(&b, (pleat_session_options){.no_fold = i == 0, .float64 = i == 1}));
  }
  builder b = pair_model(&large);
  pleat_model *model = build_model(&b);
  pleat_session *session = NULL;
  pleat_session_options options = PLEAT_SESSION_OPTIONS_INIT;
  options.precision = PLEAT_PRECISION_BF16;
  if (pleat_session_create(model, &options, &session, NULL) == PLEAT_OK) {
    planned p = plan_in(session);
    ck_assert(!has_pair(&p));
    end_plan(&p);
  }
  pleat_model_release(model);
}
END_TEST

/* Somebody else reads the value between them; or the second reads what is no constant: filters, or a sum's other side.
 */
START_TEST(not_alone) {
  static const char *const cases[] = {"second reader", "computed filters", "sum"};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    builder b = build_begin(8, MODEL_OPSET);
    shape_of s = large;
    if (i == 2) s.activation = NULL;
    add_input(&b, &s);
    add_pair(&b, &s, i == 1 ? "w3" : "w2");
    if (i == 0) model_node(&b, "Neg", "other", "a", "z");
    if (i == 2) {
      model_input(&b, "x2", PLEAT_FLOAT, "1,96,40,40");
      model_node(&b, "Add", "add", "y,x2", "z");
    }
    if (i != 1) model_output(&b, "z", PLEAT_FLOAT, "?");
    if (i != 2) model_output(&b, "y", PLEAT_FLOAT, "?");
    ck_assert_msg(!is_paired(&b, (pleat_session_options){0}), "%s", cases[i]);
  }
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  TCase *tcase = tcase_create("pair");
  Suite *suite = suite_create("x86_plan_pair");
  tcase_set_timeout(tcase, 120);
  if (pleat_x86_code_of_cpu() != NULL) {
    tcase_add_test(tcase, the_same_bits);
    tcase_add_test(tcase, one_step);
    tcase_add_test(tcase, small_values_stay_two_steps);
    tcase_add_test(tcase, other_plans);
    tcase_add_test(tcase, not_alone);
  } else {
    printf("skipped: this CPU has neither AVX2 nor AVX-512\n");
  }
  suite_add_tcase(suite, tcase);
  return suite;
}

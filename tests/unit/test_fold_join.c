/* Narrow convolutions that read the same value are one in a session, and so are depthwise ones behind them; each result
 * is what it was. */
#include "fuse_case.h"

/* Heads over x: Conv of so many channels by a square window, then (if it has one) a depthwise Conv, then Relu. */
typedef struct head {
  int channels, window, depthwise; /* depthwise: its window; 0: none */
  bool bias, seen, reader;         /* seen: the first Conv's result is an output; reader: something else reads it */
} head;

enum { HEADS = 4 };

typedef struct heads {
  const char *what;
  head list[HEADS];
  size_t convs, splits; /* steps of any kind of Conv, and of Split */
} heads;

#define HEAD(c, w, d) .channels = (c), .window = (w), .depthwise = (d)
static const heads cases[] = {
    {"yunet",
     {{HEAD(1, 1, 3), .bias = true}, {HEAD(1, 1, 3), .bias = true}, {HEAD(4, 1, 3)}, {HEAD(10, 1, 3), .bias = true}},
     2,
     1},
    {"one bias", {{HEAD(5, 3, 3)}, {HEAD(7, 3, 3), .bias = true}, {HEAD(9, 3, 3)}}, 2, 1},
    {"no depthwise", {{HEAD(6, 3, 0)}, {HEAD(12, 3, 0), .bias = true}}, 1, 1},
    {"one without depthwise", {{HEAD(6, 1, 0)}, {HEAD(12, 1, 3)}}, 2, 1},
    {"two windows behind", {{HEAD(6, 1, 5)}, {HEAD(12, 1, 3)}}, 3, 1},
    {"two windows", {{HEAD(9, 1, 0)}, {HEAD(9, 3, 0)}, {HEAD(8, 1, 0)}, {HEAD(8, 3, 0)}}, 2, 2},
    {"too few channels", {{HEAD(4, 1, 0)}, {HEAD(11, 1, 0)}}, 2, 0},
    {"a wide one", {{HEAD(15, 1, 0)}, {HEAD(16, 1, 0)}}, 2, 0},
    {"a wide one between", {{HEAD(15, 1, 0)}, {HEAD(16, 1, 0)}, {HEAD(3, 1, 0)}}, 2, 1},
    {"an output", {{HEAD(6, 1, 3), .seen = true}, {HEAD(12, 1, 3)}}, 3, 1},
    {"another reader", {{HEAD(6, 1, 3)}, {HEAD(12, 1, 3), .reader = true}}, 3, 1},
    {"alone", {{HEAD(12, 1, 3)}}, 2, 0},
};

static void add_head(builder *b, const head *h, int index) {
  char names[4][16], inputs[64], shape[64];
  for (int i = 0; i < 4; i++) snprintf(names[i], sizeof names[i], "%c%d", "wbdy"[i], index);
  snprintf(shape, sizeof shape, "%d,20,%d,%d", h->channels, h->window, h->window);
  noise_init(b, names[0], PLEAT_FLOAT, shape, -0.5, 0.5);
  snprintf(shape, sizeof shape, "%d", h->channels);
  if (h->bias) noise_init(b, names[1], PLEAT_FLOAT, shape, -1, 1);
  snprintf(inputs, sizeof inputs, h->bias ? "x,%s,%s" : "x,%s", names[0], names[1]);
  char result[16], filtered[16], last[16];
  snprintf(result, sizeof result, "r%d", index);
  snprintf(filtered, sizeof filtered, "f%d", index);
  Onnx__NodeProto *conv = model_node(b, "Conv", result, inputs, result);
  attr_ints(b, conv, "pads", h->window == 3 ? "1,1,1,1" : "0,0,0,0");
  snprintf(last, sizeof last, "%s", h->depthwise > 0 ? filtered : result);
  if (h->depthwise > 0) {
    snprintf(shape, sizeof shape, "%d,1,%d,%d", h->channels, h->depthwise, h->depthwise);
    noise_init(b, names[2], PLEAT_FLOAT, shape, -1, 1);
    snprintf(inputs, sizeof inputs, "%s,%s", result, names[2]);
    Onnx__NodeProto *depthwise = model_node(b, "Conv", filtered, inputs, filtered);
    build_attr_int(b, depthwise, "group", h->channels);
    attr_ints(b, depthwise, "pads", h->depthwise == 3 ? "1,1,1,1" : "2,2,2,2");
  }
  model_node(b, "Relu", names[3], last, names[3]);
  model_output(b, names[3], PLEAT_FLOAT, "?");
  if (h->seen) model_output(b, result, PLEAT_FLOAT, "?");
  if (!h->reader) return;
  snprintf(last, sizeof last, "n%d", index);
  model_node(b, "Neg", last, result, last);
  model_output(b, last, PLEAT_FLOAT, "?");
}

START_TEST(joined) {
  const heads *c = &cases[_i];
  static const char *const inputs[] = {"1,20,9,7", "3,20,9,7"};
  for (int k = 0; k < 2; k++) {
    builder b = build_begin(8, 13);
    model_input(&b, "x", PLEAT_FLOAT, inputs[k]);
    for (int i = 0; i < HEADS && c->list[i].channels > 0; i++) add_head(&b, &c->list[i], i);
    pleat_model *model = build_model(&b);
    pleat_session *fused = session_with(model, (pleat_session_options){.threads = 2});
    pleat_session *plain = session_with(model, (pleat_session_options){.no_fold = true, .threads = 2});
    pleat_tensor *x[2] = {noise_tensor(PLEAT_FLOAT, inputs[k], 3), noise_tensor(PLEAT_FLOAT, inputs[k], 3)};
    pleat_tensor *found[2 * HEADS], *expected[2 * HEADS];
    const size_t outputs = pleat_session_output_count(fused);
    run_session(fused, &x[0], found);
    run_session(plain, &x[1], expected);
    for (size_t i = 0; i < outputs; i++) {
      assert_same(found[i], expected[i], 1e-5);
      pleat_tensor_release(found[i]);
      pleat_tensor_release(expected[i]);
    }
    const size_t convs = step_count(fused, "Conv") + step_count(fused, "FusedConv");
    ck_assert_msg(convs == c->convs, "%s: %zu convolutions", c->what, convs);
    ck_assert_msg(step_count(fused, "Split") == c->splits, "%s: %zu Splits", c->what, step_count(fused, "Split"));
    pleat_session_destroy(fused);
    pleat_session_destroy(plain);
    pleat_model_release(model);
  }
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("fold_join");
  TCase *tcase = tcase_create("join");
  tcase_add_loop_test(tcase, joined, 0, sizeof cases / sizeof *cases);
  suite_add_tcase(suite, tcase);
  return suite;
}

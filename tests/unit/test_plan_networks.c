/* Random networks of convolutions, Concats, Splits, Slices and element-wise steps, with channels that fill blocks and
 * such that do not: bit by bit the results of plans that share nothing (plan_case.h), whatever is shared. */
#include "plan_case.h"

typedef struct network {
  uint32_t state;
  builder b;
  int channels[NAMES], batch, count;
} network;

static unsigned pick(network *n, unsigned below) {
  n->state = n->state * 1664525u + 1013904223u;
  return (n->state >> 10) % below;
}
static int new_value(network *n, int channels) {
  n->channels[n->count] = channels;
  return n->count++;
}
static int pick_value(network *n) {
  return pick(n, 3) == 0 ? (int)pick(n, (unsigned)n->count) : n->count - 1 - (int)pick(n, n->count < 4 ? 1 : 4);
}
static const char *value_name(network *n, int value) {
  return pleat_arena_printf(n->b.arena, "v%d", value);
}

static void add_random_join(network *n, const char *name, int a) {
  const char *inputs = value_name(n, a);
  int channels = n->channels[a];
  for (unsigned more = pick(n, 3); more > 0 && channels < 100; more--) {
    const int value = pick_value(n);
    inputs = pleat_arena_printf(n->b.arena, "%s,%s", inputs, value_name(n, value));
    channels += n->channels[value];
  }
  add_concat(&n->b, name, inputs, value_name(n, new_value(n, channels)), 1);
}

static void add_random_step(network *n) {
  static const char *const unary[] = {"Relu", "Sigmoid", "Identity", "Abs"};
  static const int sizes[] = {16, 32, 8, 17, 5, 48};
  const int a = pick_value(n), channels = n->channels[a];
  const char *in = value_name(n, a), *name = pleat_arena_printf(n->b.arena, "n%zu", n->b.graph->n_node);
  int out, other = pick_value(n);
  switch (pick(n, 8)) {
  case 0:
  case 1:
    out = new_value(n, sizes[pick(n, 6)]);
    add_conv(&n->b, name, in, channels, n->channels[out], 3, value_name(n, out));
    break;
  case 2:
    out = new_value(n, channels);
    model_node(&n->b, unary[pick(n, 4)], name, in, value_name(n, out));
    break;
  case 3:
    if (n->channels[other] != channels) other = a;
    out = new_value(n, channels);
    model_node(&n->b, "Add", name, pleat_arena_printf(n->b.arena, "%s,%s", in, value_name(n, other)),
               value_name(n, out));
    break;
  case 4:
    if (channels % 2 != 0) return;
    out = new_value(n, channels / 2);
    new_value(n, channels / 2);
    in = pleat_arena_strdup(n->b.arena, in);
    build_attr_int(&n->b,
                   model_node(&n->b, "Split", name, in,
                              pleat_arena_printf(n->b.arena, "%s,%s", value_name(n, out), value_name(n, out + 1))),
                   "axis", 1);
    break;
  case 5:
    if (channels < 16) return;
    out = new_value(n, channels - channels / 32 * 16);
    add_slice(&n->b, name, in, value_name(n, out), 1, channels / 32 * 16, 1e6, 1);
    break;
  default:
    if (channels < 100) add_random_join(n, name, a);
    break;
  }
}

START_TEST(random_networks) {
  for (uint32_t seed = 0; seed < 60; seed++) {
    network n = {.state = ((uint32_t)_i * 60 + seed) * 2654435761u + 1, .b = build_begin(8, MODEL_OPSET)};
    n.batch = pick(&n, 4) == 0 ? 2 : 1;
    model_input(&n.b, "v0", PLEAT_FLOAT, n.batch == 2 ? "2,16,3,3" : "1,16,3,3");
    new_value(&n, 16);
    for (unsigned steps = 4 + pick(&n, 16); steps > 0; steps--) add_random_step(&n);
    if (n.count == 1) model_node(&n.b, "Relu", "last", "v0", value_name(&n, new_value(&n, 16)));
    for (int i = 1; i < n.count; i++) {
      bool used = i < n.count - 1 && pick(&n, 5) != 0;
      if (!used) model_output(&n.b, value_name(&n, i), PLEAT_FLOAT, "?");
    }
    planned p = plan_checked(&n.b);
    end_plan(&p);
  }
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  Suite *suite = suite_create("plan_networks");
  TCase *random = tcase_create("random");
  tcase_set_timeout(random, 240);
  tcase_add_loop_test(random, random_networks, 0, 4);
  suite_add_tcase(suite, random);
  return suite;
}

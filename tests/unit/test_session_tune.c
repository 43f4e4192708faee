/* Sessions that tune, and sessions that are exact, on convolutions and a matrix product. Which kernels there are
 * depends on the build and the machine; what must hold does not. */
#include <stdio.h>
#include <unistd.h>

#include "model_builder.h"

static char path[64];

static void make_file(void) {
  snprintf(path, sizeof path, "/tmp/pleat_tune_XXXXXX");
  const int fd = mkstemp(path);
  ck_assert_int_ge(fd, 0);
  close(fd);
}

static void remove_file(void) {
  unlink(path);
}

/* Three 3x3 convolutions wide enough for Winograd, of which two are equal and read the same value (in one layout,
 * whatever tuning finds), another one, and a product. */
static void fill(builder *b) {
  model_input(b, "x", PLEAT_FLOAT, "1,32,16,16");
  noise_init(b, "w1", PLEAT_FLOAT, "32,32,3,3", -0.1, 0.1);
  noise_init(b, "w2", PLEAT_FLOAT, "32,32,3,3", -0.1, 0.1);
  noise_init(b, "w3", PLEAT_FLOAT, "16,32,1,1", -0.1, 0.1);
  noise_init(b, "m", PLEAT_FLOAT, "16,10", -0.1, 0.1);
  attr_ints(b, model_node(b, "Conv", "c1", "x,w1", "a"), "pads", "1,1,1,1");
  model_node(b, "Relu", "", "a", "ra");
  attr_ints(b, model_node(b, "Conv", "c2", "ra,w2", "b"), "pads", "1,1,1,1");
  model_node(b, "Relu", "", "b", "rb");
  attr_ints(b, model_node(b, "Conv", "c3", "ra,w1", "d"), "pads", "1,1,1,1");
  model_node(b, "Relu", "", "d", "rd");
  model_node(b, "Mul", "", "rb,rd", "e");
  model_node(b, "Conv", "c4", "e,w3", "c");
  model_node(b, "GlobalAveragePool", "", "c", "g");
  model_node(b, "Flatten", "", "g", "f");
  model_node(b, "MatMul", "product", "f,m", "y");
  model_output(b, "y", PLEAT_FLOAT, "1,10");
}

static pleat_tensor *run_model(pleat_session_options options, pleat_tuning_info *out_info, bool *out_winograd) {
  builder b = build_begin(8, MODEL_OPSET);
  fill(&b);
  pleat_session *session = session_from(&b, options);
  pleat_plan_info *plan = NULL;
  pleat_tensor *y = run_one(session, noise_tensor(PLEAT_FLOAT, "1,32,16,16", 7));
  ASSERT_OK(pleat_session_plan(session, NULL, 0, &plan, error));
  bool winograd = false;
  for (size_t i = 0; i < plan->step_count; i++) {
    winograd = winograd || strstr(plan->steps[i].variant, "winograd") != NULL ||
               strstr(plan->steps[i].kernel, "winograd") != NULL;
    if (!options.tune) ck_assert(!plan->steps[i].tuned);
  }
  if (out_winograd != NULL) *out_winograd = winograd;
  if (out_info != NULL) pleat_session_tuning(session, out_info);
  if (out_info != NULL) {
    ck_assert_str_eq(out_info->warning, "");
    ck_assert_str_eq(out_info->path, options.tune ? path : "");
    out_info->warning = out_info->path = "";
  }
  pleat_plan_info_destroy(plan);
  pleat_session_destroy(session);
  return y;
}

static void check_near(const pleat_tensor *found, const pleat_tensor *expected) {
  ck_assert(pleat_same_shape(found, expected));
  for (size_t i = 0; i < found->count; i++) ck_assert_double_eq_tol(element(found, i), element(expected, i), 1e-5);
}

START_TEST(tuned_results) {
  pleat_tuning_info none, first, second;
  pleat_tensor *plain = run_model((pleat_session_options){.exact = false}, &none, NULL);
  const pleat_session_options tuned = {.tune = true, .tune_cache = path};
  pleat_tensor *one = run_model(tuned, &first, NULL), *two = run_model(tuned, &second, NULL);
  ck_assert_uint_eq(none.measured + none.remembered, 0);
  /* Without oneDNN there is one kernel an operator, and nothing to choose. */
  if (first.measured > 0) ck_assert_uint_ge(first.remembered, 1); /* of the equal convolutions, one is measured */
  ck_assert_uint_eq(second.measured, 0);
  ck_assert_uint_eq(second.remembered, first.measured + first.remembered);
  check_near(one, plain);
  ck_assert_mem_eq(one->data, two->data, pleat_bytes(one)); /* one file, one result */
  pleat_tensor_release(plain);
  pleat_tensor_release(one);
  pleat_tensor_release(two);
}
END_TEST

START_TEST(exact_has_no_winograd) {
  bool winograd = true;
  pleat_tensor *exact = run_model((pleat_session_options){.exact = true}, NULL, &winograd);
  ck_assert(!winograd);
  pleat_tensor *oracle = run_model((pleat_session_options){.float64 = true}, NULL, NULL);
  check_near(exact, oracle);
  /* Tuning may choose as it likes before, but not for an exact session. */
  pleat_tensor *tuned = run_model((pleat_session_options){.tune = true, .tune_cache = path}, NULL, NULL);
  pleat_tensor_release(tuned);
  tuned = run_model((pleat_session_options){.tune = true, .tune_cache = path, .exact = true}, NULL, &winograd);
  ck_assert(!winograd);
  check_near(tuned, oracle);
  pleat_tensor_release(tuned);
  pleat_tensor_release(exact);
  pleat_tensor_release(oracle);
}
END_TEST

START_TEST(the_oracle_is_not_tuned) {
  pleat_tuning_info info;
  pleat_tensor *y = run_model((pleat_session_options){.float64 = true, .tune = true, .tune_cache = path}, &info, NULL);
  ck_assert_uint_eq(info.measured + info.remembered, 0);
  pleat_tensor_release(y);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("session_tune");
  TCase *tcase = tcase_create("session_tune");
  tcase_add_checked_fixture(tcase, make_file, remove_file);
  tcase_add_test(tcase, tuned_results);
  tcase_add_test(tcase, exact_has_no_winograd);
  tcase_add_test(tcase, the_oracle_is_not_tuned);
  suite_add_tcase(suite, tcase);
  return suite;
}

/* What fusing in sessions comes to: steps of a plan, and results with and without, for the tests of fold/fuse_*.c. */
#ifndef PLEAT_TESTS_FUSE_CASE_H
#define PLEAT_TESTS_FUSE_CASE_H

#include "fold_case.h"

static inline size_t step_count(pleat_session *session, const char *op_type) {
  pleat_plan_info *info = NULL;
  size_t count = 0;
  ck_assert_int_eq(pleat_session_plan(session, NULL, 0, &info, NULL), PLEAT_OK);
  for (size_t i = 0; i < info->step_count; i++) count += strcmp(info->steps[i].op_type, op_type) == 0;
  pleat_plan_info_destroy(info);
  return count;
}

/* Runs the model fused and as it is; both must agree. Returns how many steps of `op_type` the fused plan has. */
static inline size_t compare_runs(builder *b, pleat_dtype dtype, const char *shape, const char *op_type,
                                  double tolerance) {
  pleat_model *model = build_model(b);
  pleat_session *fused = session_with(model, (pleat_session_options){.threads = 2});
  pleat_session *plain = session_with(model, (pleat_session_options){.no_fold = true, .threads = 2});
  pleat_tensor *found = run_one(fused, noise_tensor(dtype, shape, 7));
  pleat_tensor *expected = run_one(plain, noise_tensor(dtype, shape, 7));
  size_t count = step_count(fused, op_type);
  assert_same(found, expected, tolerance);
  pleat_tensor_release(found);
  pleat_tensor_release(expected);
  pleat_session_destroy(fused);
  pleat_session_destroy(plain);
  pleat_model_release(model);
  return count;
}

#endif

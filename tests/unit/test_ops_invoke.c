/* The registry, and how a kernel is chosen, prepared and run: declines, widening of the half types, state and release.
 */
#include "model_builder.h"

/* ---- the registry ---- */

START_TEST(the_registry_is_sorted_and_complete) {
  size_t count = 0;
  for (const pleat_op_def *def; (def = pleat_op_at(count)) != NULL; count++) {
    if (count > 0) ck_assert_int_le(strcmp(pleat_op_at(count - 1)->name, def->name), 0);
    ck_assert_ptr_eq(pleat_op_find(def->domain, def->name), def);
    ck_assert(def->infer != NULL);
    ck_assert_msg((def->kernels != NULL) != (def->bodies != NULL), "%s has neither kernels nor bodies, or both",
                  def->name);
    if (def->bodies != NULL) {
      ck_assert(def->bodies[0] != NULL && def->enter != NULL);
      continue;
    }
    ck_assert_msg(def->kernels[0] != NULL, "%s has no kernel", def->name);
    const pleat_kernel *const *last = def->kernels;
    while (last[1] != NULL) last++;
    ck_assert_msg(strcmp((*last)->name, "reference") == 0, "%s: the last kernel is '%s'", def->name, (*last)->name);
    ck_assert((*last)->run != NULL);
  }
  ck_assert_uint_gt(count, 100);
  ck_assert_ptr_null(pleat_op_at(count + 1));
}
END_TEST

START_TEST(versions_are_ascending) {
  for (size_t i = 0; pleat_op_at(i) != NULL; i++) {
    const pleat_op_def *def = pleat_op_at(i);
    ck_assert_int_ge(def->versions[0].since, 1);
    ck_assert_ptr_null(pleat_op_version_at(def, def->versions[0].since - 1));
    for (const pleat_op_version *v = def->versions; v->since != 0; v++) {
      ck_assert_ptr_eq(pleat_op_version_at(def, v->since), v);
      ck_assert_msg(v[1].since == 0 || v[1].since > v->since, "%s", def->name);
      ck_assert_msg(v->max_inputs == -1 || v->max_inputs >= v->min_inputs, "%s", def->name);
      ck_assert_msg(v->max_outputs == -1 || v->max_outputs >= v->min_outputs, "%s", def->name);
    }
    ck_assert_ptr_nonnull(pleat_op_version_at(def, 1000));
  }
}
END_TEST

START_TEST(what_is_not_registered) {
  ck_assert_ptr_null(pleat_op_find("", "NoSuchOp"));
  ck_assert_ptr_null(pleat_op_find("", ""));
  ck_assert_ptr_null(pleat_op_find("", "zzz"));
  ck_assert_ptr_null(pleat_op_find("other.domain", "Relu"));
  ck_assert_ptr_null(pleat_op_attr_find(pleat_op_find("", "Relu"), "axis"));
  ck_assert_ptr_nonnull(pleat_op_attr_find(pleat_op_find("", "Concat"), "axis"));
}
END_TEST

/* ---- an operator made here ---- */

static int prepared, released;
static const char *decline(const pleat_call *call) {
  (void)call;
  return "it never does";
}
typedef struct state {
  pleat_dtype seen;
  bool had_constant;
} state;
static pleat_status prepare(pleat_call *call) {
  state *s = pleat_call_state(call, sizeof *s);
  s->seen = call->inputs[0]->dtype;
  s->had_constant = call->input_count > 1 && call->inputs[1]->data != NULL;
  call->workspace_size = 3 * sizeof(float); /* no multiple of the alignment */
  prepared++;
  return PLEAT_OK;
}
static void release(void *made) {
  ck_assert_ptr_nonnull(made);
  released++;
}
/* y = x + k + 1, by way of the workspace; only ever sees float. */
static pleat_status run(const pleat_call *call) {
  const pleat_tensor *x = pleat_in(call, 0), *k = pleat_in(call, 1);
  float *scratch = call->workspace;
  ck_assert_int_eq(x->dtype, PLEAT_FLOAT);
  ck_assert_int_eq(((const state *)call->state)->seen, PLEAT_FLOAT);
  ck_assert_uint_eq((uintptr_t)scratch % 64, 0);
  for (size_t i = 0; i < 3; i++) scratch[i] = 1;
  for (size_t i = 0; i < x->count; i++) {
    float add = k != NULL ? ((const float *)k->data)[i] : 0;
    ((float *)pleat_out(call, 0)->data)[i] = ((const float *)x->data)[i] + add + scratch[i % 3];
  }
  return PLEAT_OK;
}
static const pleat_kernel integers = {.name = "integers", .types = PLEAT_M_INTS, .run = run};
static const pleat_kernel shy = {.name = "shy", .supports = decline, .run = run};
static const pleat_kernel reference = {.name = "reference",
                                       .types = PLEAT_M_F32 | PLEAT_M_HALF,
                                       .flags = PLEAT_KERNEL_WIDEN,
                                       .prepare = prepare,
                                       .run = run,
                                       .release = release};
static const char *object(const pleat_call *call) {
  (void)call;
  return "not on this machine";
}
static const pleat_kernel able = {
    .name = "able", .types = PLEAT_M_F32, .unwise = object, .prepare = prepare, .run = run, .release = release};
static const pleat_op_def test_op = {.domain = "",
                                     .name = "Test",
                                     .infer = pleat_infer_same,
                                     .kernels =
                                         (const pleat_kernel *const[]){&integers, &shy, &able, &reference, NULL}};

typedef struct invocation {
  pleat_node node;
  const pleat_tensor *inputs[2];
  pleat_tensor *outputs[1];
  pleat_error error;
  pleat_arena *arena;
  pleat_call call;
} invocation;

/* Takes over the tensors. */
static void begin(invocation *v, pleat_tensor *x, pleat_tensor *k) {
  *v = (invocation){.node = {.op_type = "Test", .name = "", .domain = "", .def = &test_op}};
  v->inputs[0] = x;
  v->inputs[1] = k;
  ASSERT_OK(pleat_tensor_create(x->dtype, x->rank, x->dims, &v->outputs[0], error));
  v->arena = pleat_arena_create();
  v->call = (pleat_call){.node = &v->node,
                         .input_count = k != NULL ? 2 : 1,
                         .output_count = 1,
                         .inputs = v->inputs,
                         .outputs = v->outputs,
                         .threads = 1,
                         .arena = v->arena,
                         .error = &v->error};
  prepared = released = 0;
}
static void finish(invocation *v) {
  for (int i = 0; i < 2; i++) pleat_tensor_release((pleat_tensor *)(uintptr_t)v->inputs[i]);
  pleat_tensor_release(v->outputs[0]);
  pleat_arena_destroy(v->arena);
}

START_TEST(declines_are_told) {
  invocation v;
  char declined[256];
  begin(&v, FLOATS("2", 1, 2), NULL);
  ck_assert_ptr_eq(pleat_kernel_select(&v.call, declined, sizeof declined), &reference);
  ck_assert_str_eq(declined, "integers: not for float; shy: it never does; able: not on this machine");
  ck_assert_ptr_eq(pleat_kernel_select(&v.call, NULL, 0), &reference);
  char small[12];
  ck_assert_ptr_eq(pleat_kernel_select(&v.call, small, sizeof small), &reference);
  ck_assert_str_eq(small, "integers: n");
  finish(&v);
}
END_TEST

/* What a rule does not choose can be asked for by name, as tuning does. */
START_TEST(the_unwise_by_name) {
  invocation v;
  char declined[256];
  const pleat_kernel *kernel = NULL;
  begin(&v, FLOATS("2", 1, 2), NULL);
  ck_assert_int_eq(pleat_kernel_take(&v.call, declined, sizeof declined, &kernel), PLEAT_OK);
  ck_assert_ptr_eq(kernel, &reference);
  ck_assert(strstr(declined, "able: not on this machine") != NULL);
  pleat_kernel_release(kernel, &v.call);
  ck_assert_int_eq(pleat_kernel_take_as(&v.call, &able, 0), PLEAT_OK);
  pleat_kernel_release(&able, &v.call);
  ck_assert_int_eq(prepared, 2);
  finish(&v);
}
END_TEST

START_TEST(the_first_that_takes_it) {
  invocation v;
  begin(&v, INT64S("2", 1, 2), NULL);
  ck_assert_ptr_eq(pleat_kernel_select(&v.call, NULL, 0), &integers);
  finish(&v);
}
END_TEST

START_TEST(none_takes_it) {
  invocation v;
  char declined[256] = "x";
  begin(&v, make_tensor(PLEAT_BOOL, "2", NULL), NULL);
  ck_assert_ptr_null(pleat_kernel_select(&v.call, declined, sizeof declined));
  ck_assert_str_eq(declined, "");
  assert_error(&v.error, v.error.status, PLEAT_UNSUPPORTED, NULL,
               "no kernel of Test takes this (integers: not for bool; shy: it never does; able: not for bool; "
               "reference: not for bool)");
  finish(&v);
}
END_TEST

/* x + k + 1 in `dtype`, with k known in prepare or only in run. */
static void check_widening(pleat_dtype dtype, bool constant) {
  invocation v;
  pleat_tensor *x = make_tensor(dtype, "4", (double[]){1, -2, 0.5, 3});
  pleat_tensor *k = make_tensor(dtype, "4", (double[]){10, 20, 30, 0.001});
  const bool is_half = dtype != PLEAT_FLOAT;
  begin(&v, x, k);
  void *const x_data = x->data, *const k_data = k->data, *const y_data = v.outputs[0]->data;
  x->data = v.outputs[0]->data = NULL;
  if (!constant) k->data = NULL;
  ASSERT_OK(pleat_kernel_prepare(&reference, &v.call));
  ck_assert_int_eq(prepared, 1);
  ck_assert(v.call.widened == is_half);
  const state *s = v.call.state;
  if (!is_half) ck_assert(s->had_constant == constant);
  x->data = x_data;
  k->data = k_data;
  v.outputs[0]->data = y_data;
  const size_t size = (v.call.workspace_size + 63) / 64 * 64;
  for (int again = 0; again < 2; again++) {
    v.call.workspace = aligned_alloc(64, size + 64);
    memset(v.call.workspace, 0xee, size + 64);
    ASSERT_OK(pleat_kernel_run(&reference, &v.call));
    for (size_t i = 0; i < 64; i++) { /* nothing is written past the size that was asked for */
      ck_assert_uint_eq(((unsigned char *)v.call.workspace)[size + i], 0xee);
    }
    free(v.call.workspace);
    for (size_t i = 0; i < 4; i++) {
      unsigned char expected[8];
      float sum = (float)pleat_load_f64(dtype, x_data, i) + (float)pleat_load_f64(dtype, k_data, i) + 1;
      pleat_store_f64(dtype, expected, 0, (double)sum);
      ck_assert_mem_eq((char *)y_data + i * pleat_dtype_size(dtype), expected, pleat_dtype_size(dtype));
    }
  }
  pleat_kernel_release(&reference, &v.call);
  ck_assert_int_eq(released, 1);
  pleat_kernel_release(&reference, &v.call); /* a second one does nothing */
  ck_assert_int_eq(released, 1);
  finish(&v);
}

START_TEST(widening) {
  static const pleat_dtype types[] = {PLEAT_FLOAT, PLEAT_FLOAT16, PLEAT_BFLOAT16};
  for (size_t i = 0; i < 3; i++) {
    check_widening(types[i], true);
    check_widening(types[i], false);
  }
}
END_TEST

START_TEST(widening_of_empty_tensors) {
  invocation v;
  begin(&v, make_tensor(PLEAT_FLOAT16, "0,3", NULL), make_tensor(PLEAT_FLOAT16, "0,3", NULL));
  ASSERT_OK(pleat_kernel_prepare(&reference, &v.call));
  v.call.workspace = aligned_alloc(64, (v.call.workspace_size + 127) / 64 * 64);
  ASSERT_OK(pleat_kernel_run(&reference, &v.call));
  free(v.call.workspace);
  pleat_kernel_release(&reference, &v.call);
  finish(&v);
}
END_TEST

/* Float copies of constants are made once, in prepare: they take no room in the workspace. */
START_TEST(constants_take_no_workspace) {
  size_t sizes[2];
  for (int constant = 0; constant < 2; constant++) {
    invocation v;
    pleat_tensor *k = make_tensor(PLEAT_FLOAT16, "4096", NULL);
    void *data = k->data;
    begin(&v, make_tensor(PLEAT_FLOAT16, "4096", NULL), k);
    if (!constant) k->data = NULL;
    ASSERT_OK(pleat_kernel_prepare(&reference, &v.call));
    k->data = data;
    sizes[constant] = v.call.workspace_size;
    pleat_kernel_release(&reference, &v.call);
    finish(&v);
  }
  ck_assert_uint_ge(sizes[0], sizes[1] + 4096 * sizeof(float));
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("ops_invoke");
  add_tests(suite, "registry",
            (const TTest *const[]){the_registry_is_sorted_and_complete, versions_are_ascending, what_is_not_registered,
                                   NULL});
  add_tests(
      suite, "selection",
      (const TTest *const[]){declines_are_told, the_unwise_by_name, the_first_that_takes_it, none_takes_it, NULL});
  add_tests(suite, "widening",
            (const TTest *const[]){widening, widening_of_empty_tensors, constants_take_no_workspace, NULL});
  return suite;
}

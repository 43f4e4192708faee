/* Packed constants: made once for whoever asks for the same, and gone with the last that holds them; what plans and
 * sessions share, and that what they compute does not depend on it. */
#include <pthread.h>
#include <unistd.h>

#include "model_builder.h"
#include "ops/packs.h"

/* ---- the store itself ---- */

enum { COUNT = 100 };

static int fills;

/* Copies, and writes the format's number before it. */
static pleat_status fill(const pleat_pack_source *source, const void *user, void *pack, pleat_error *error) {
  float *out = pack;
  fills++;
  if (*(const int *)user < 0) return pleat_fail(error, PLEAT_UNSUPPORTED, "not this one");
  for (size_t i = 0; i <= COUNT; i++) ck_assert(out[i] == 0);
  out[0] = (float)*(const int *)user;
  ck_assert_uint_eq(pleat_pack_tensor(source)->count, COUNT);
  pleat_pack_read(source, 0, 30, out + 1);
  pleat_pack_read(source, 30, COUNT - 30, out + 31);
  return PLEAT_OK;
}

typedef struct asker {
  pleat_packs *store;
  pleat_arena *arena;
  float values[COUNT];
  pleat_tensor tensor;
  pleat_recipe recipe;
  pleat_pack_list list;
} asker;

static void begin(asker *a) {
  const int64_t dims[] = {COUNT};
  *a = (asker){.store = pleat_packs_create(NULL, NULL), .arena = pleat_arena_create()};
  fills = 0;
  for (int i = 0; i < COUNT; i++) a->values[i] = (float)i;
  ck_assert(pleat_tensor_describe(&a->tensor, PLEAT_FLOAT, 1, dims));
  pleat_tensor stored = a->tensor;
  stored.data = a->values;
  a->recipe = pleat_recipe_of(&stored, a->values, NULL);
  a->list = (pleat_pack_list){.store = a->store, .arena = a->arena};
}

static void end(asker *a) {
  pleat_packs_destroy(a->store);
  pleat_arena_destroy(a->arena);
}

static pleat_status ask(asker *a, const pleat_recipe *recipe, pleat_pack_list *list, int format, const float **out) {
  const pleat_tensor *inputs[] = {&a->tensor};
  pleat_error error = PLEAT_ERROR_INIT;
  const void *pack = NULL;
  pleat_call call = {
      .input_count = 1, .inputs = inputs, .recipes = &recipe, .packs = list, .arena = a->arena, .error = &error};
  const pleat_pack_format wanted = {
      .key = &format, .key_size = sizeof format, .bytes = sizeof(float) * (COUNT + 1), .fill = fill, .user = &format};
  ck_assert(pleat_call_is_constant(&call, 0));
  pleat_status status = pleat_call_pack(&call, 0, &wanted, &pack);
  *out = pack;
  return status;
}

START_TEST(made_once_and_gone_with_the_last) {
  asker a;
  const float *first, *second, *other;
  begin(&a);
  pleat_pack_list more = {.store = a.store, .arena = a.arena};
  ck_assert_int_eq(ask(&a, &a.recipe, &a.list, 1, &first), PLEAT_OK);
  ck_assert_int_eq(ask(&a, &a.recipe, &more, 1, &second), PLEAT_OK);
  ck_assert_int_eq(ask(&a, &a.recipe, &more, 2, &other), PLEAT_OK);
  ck_assert_int_eq(fills, 2);
  ck_assert_ptr_eq(first, second);
  ck_assert_ptr_ne(first, other);
  ck_assert(other[0] == 2 && first[0] == 1 && (uintptr_t)first % 64 == 0);
  const size_t bytes = pleat_packs_bytes(a.store);
  ck_assert_uint_eq(bytes, 2 * sizeof(float) * (COUNT + 1));
  pleat_pack_list_release(&a.list, 0);
  ck_assert_uint_eq(pleat_packs_bytes(a.store), bytes);
  for (int i = 0; i < COUNT; i++) ck_assert(second[1 + i] == (float)i);
  pleat_pack_list_release(&more, 1); /* the last that it asked for goes */
  ck_assert_uint_eq(pleat_packs_bytes(a.store), bytes / 2);
  pleat_pack_list_release(&more, 0);
  ck_assert_uint_eq(pleat_packs_bytes(a.store), 0);
  ck_assert_int_eq(ask(&a, &a.recipe, &a.list, 1, &first), PLEAT_OK);
  ck_assert_int_eq(fills, 3); /* made again */
  pleat_pack_list_release(&a.list, 0);
  end(&a);
}
END_TEST

START_TEST(other_factors_are_another_constant) {
  asker a;
  const float *plain, *doubled, *again;
  double values[COUNT];
  pleat_recipe scaled, same;
  begin(&a);
  for (int i = 0; i < COUNT; i++) values[i] = 2;
  const pleat_factors factors = {.values = values, .value_count = COUNT, .channels = COUNT, .inner = 1, .outer = COUNT};
  ck_assert(pleat_recipe_scale(a.arena, &a.recipe, &factors, &scaled));
  ck_assert(pleat_recipe_scale(a.arena, &a.recipe, &factors, &same)); /* as another session would find them */
  ck_assert_int_eq(ask(&a, &a.recipe, &a.list, 1, &plain), PLEAT_OK);
  ck_assert_int_eq(ask(&a, &scaled, &a.list, 1, &doubled), PLEAT_OK);
  ck_assert_int_eq(ask(&a, &same, &a.list, 1, &again), PLEAT_OK);
  ck_assert_int_eq(fills, 2);
  ck_assert_ptr_eq(doubled, again);
  for (int i = 0; i < COUNT; i++) ck_assert(doubled[1 + i] == 2 * plain[1 + i]);
  pleat_pack_list_release(&a.list, 0);
  end(&a);
}
END_TEST

START_TEST(a_pack_that_fails_is_not_kept) {
  asker a;
  const float *pack;
  begin(&a);
  for (int i = 0; i < 2; i++) {
    ck_assert_int_eq(ask(&a, &a.recipe, &a.list, -1, &pack), PLEAT_UNSUPPORTED);
    ck_assert_ptr_null(pack);
  }
  ck_assert_int_eq(fills, 2);
  ck_assert_uint_eq(pleat_packs_bytes(a.store), 0);
  ck_assert_uint_eq(a.list.count, 0);
  end(&a);
}
END_TEST

/* Without a plan, also where all data are there and nothing says how to read them: in the call's arena. */
START_TEST(without_a_plan) {
  asker a;
  const float *first, *second;
  begin(&a);
  ck_assert_int_eq(ask(&a, &a.recipe, NULL, 1, &first), PLEAT_OK);
  a.tensor.data = a.values;
  ck_assert_int_eq(ask(&a, NULL, &a.list, 1, &second), PLEAT_OK);
  ck_assert_ptr_ne(first, second);
  ck_assert_mem_eq(first, second, sizeof(float) * (COUNT + 1));
  ck_assert_uint_eq(a.list.count, 0);
  end(&a);
}
END_TEST

/* ---- models ---- */

/* x -> Conv (9216 weights) -> BatchNormalization -> Conv (the same weights) -> Gemm: y. */
static builder two_convs(pleat_dtype dtype) {
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", dtype, "N,32,H,W");
  noise_init(&b, "w", dtype, "32,32,3,3", -0.1, 0.1);
  noise_init(&b, "scale", dtype, "32", 0.5, 1.5);
  noise_init(&b, "beta", dtype, "32", -1, 1);
  noise_init(&b, "mean", dtype, "32", -1, 1);
  noise_init(&b, "var", dtype, "32", 0.25, 2);
  noise_init(&b, "matrix", dtype, "32,200", -0.2, 0.2);
  model_node(&b, "Conv", "first", "x,w", "c");
  model_node(&b, "BatchNormalization", "bn", "c,scale,beta,mean,var", "n");
  model_node(&b, "Relu", "relu", "n", "r");
  model_node(&b, "Conv", "second", "r,w", "d");
  model_node(&b, "GlobalAveragePool", "pool", "d", "p");
  model_node(&b, "Flatten", "flat", "p", "f");
  model_node(&b, "MatMul", "product", "f,matrix", "y");
  model_output(&b, "y", dtype, "N,200");
  return b;
}

static pleat_tensor *stored_in(const pleat_model *model, const char *name) {
  pleat_tensor *tensor = NULL;
  ASSERT_OK(pleat_tensor_from_proto(pleat_model_proto(model), initializer_named(model, name), &tensor, error));
  return tensor;
}

static pleat_tensor *run_shape(pleat_session *session, pleat_dtype dtype, const char *shape) {
  return run_one(session, noise_tensor(dtype, shape, 5));
}

START_TEST(plans_and_sessions_share) {
  static const char *const shapes[] = {"1,32,12,12", "2,32,12,12", "1,32,20,12"};
  builder b = two_convs(PLEAT_FLOAT);
  pleat_model *model = build_model(&b);
  pleat_session *first = session_with(model, (pleat_session_options){.exact = true});
  ck_assert_uint_eq(pleat_packs_bytes(model->packs), 0);
  pleat_tensor *expected = run_shape(first, PLEAT_FLOAT, shapes[0]);
  const size_t bytes = pleat_packs_bytes(model->packs);
  ck_assert_uint_ge(bytes, 9216 * sizeof(float)); /* at the least the folded weight, which lies nowhere else */
  for (size_t i = 1; i < 3; i++) pleat_tensor_release(run_shape(first, PLEAT_FLOAT, shapes[i]));
  ck_assert_uint_eq(pleat_packs_bytes(model->packs), bytes);
  pleat_session *second = session_with(model, (pleat_session_options){.exact = true});
  pleat_tensor *same = run_shape(second, PLEAT_FLOAT, shapes[0]);
  ck_assert_uint_eq(pleat_packs_bytes(model->packs), bytes);
  assert_same(same, expected, 0);
  pleat_session_destroy(first); /* the second one's are not the first one's to free */
  ck_assert_uint_eq(pleat_packs_bytes(model->packs), bytes);
  pleat_tensor *later = run_shape(second, PLEAT_FLOAT, shapes[0]);
  assert_same(later, expected, 0);
  /* Unfolded: only the weight of the second convolution and the matrix are the same constants. */
  pleat_session *unfolded = session_with(model, (pleat_session_options){.exact = true, .no_fold = true});
  pleat_tensor *other = run_shape(unfolded, PLEAT_FLOAT, shapes[0]);
  assert_same(other, expected, 1e-4);
  ck_assert_uint_eq(pleat_packs_bytes(model->packs), bytes);
  pleat_session_destroy(second);
  pleat_session_destroy(unfolded);
  ck_assert_uint_eq(pleat_packs_bytes(model->packs), 0);
  pleat_tensor_release(expected);
  pleat_tensor_release(same);
  pleat_tensor_release(later);
  pleat_tensor_release(other);
  pleat_model_release(model);
}
END_TEST

/* Half types are packed as the floats that the kernel computes with. */
START_TEST(halves_are_packed_as_floats) {
  builder b = two_convs(PLEAT_FLOAT16);
  pleat_model *model = build_model(&b);
  pleat_session *session = session_with(model, (pleat_session_options){.exact = true});
  pleat_session *oracle = session_with(model, (pleat_session_options){.float64 = true});
  pleat_tensor *y = run_shape(session, PLEAT_FLOAT16, "1,32,12,12");
  pleat_tensor *again = run_shape(session, PLEAT_FLOAT16, "1,32,12,12");
  pleat_tensor *exact = run_shape(oracle, PLEAT_FLOAT16, "1,32,12,12");
  for (size_t i = 0; i < y->count; i++) {
    ck_assert_double_eq_tol(element(y, i), element(exact, i), 2e-2);
    ck_assert(element(y, i) == element(again, i));
  }
  ck_assert_uint_gt(pleat_packs_bytes(model->packs), 0);
  pleat_tensor_release(y);
  pleat_tensor_release(again);
  pleat_tensor_release(exact);
  pleat_session_destroy(session);
  pleat_session_destroy(oracle);
  pleat_model_release(model);
}
END_TEST

/* A large constant that is an output of the graph, is read by a step that only a run can plan, and is reshaped. */
START_TEST(large_constants_read_as_they_are) {
  builder b = build_begin(8, MODEL_OPSET);
  double w[5000];
  memcpy(w, noise_values(&b, "w", 5000, -1, 1), sizeof w); /* the builder's go with it */
  model_input(&b, "x", PLEAT_FLOAT, "5000");
  model_input(&b, "which", PLEAT_INT64, "K");
  model_init(&b, "w", PLEAT_FLOAT, "5000", w);
  INTS_INIT(&b, "rows", "2", 100, 50);
  model_node(&b, "Add", "", "x,w", "sum");
  model_node(&b, "Reshape", "", "w,rows", "matrix");
  model_node(&b, "NonZero", "", "which", "places");
  model_node(&b, "Gather", "", "w,places", "some");
  model_output(&b, "sum", PLEAT_FLOAT, "5000");
  model_output(&b, "w", PLEAT_FLOAT, "5000");
  model_output(&b, "matrix", PLEAT_FLOAT, "100,50");
  model_output(&b, "some", PLEAT_FLOAT, "?");
  pleat_model *model = build_model(&b);
  for (int no_fold = 0; no_fold < 2; no_fold++) {
    pleat_session *session = session_with(model, (pleat_session_options){.no_fold = no_fold != 0});
    const int64_t which[] = {0, 7, 0, 1};
    pleat_tensor *inputs[2] = {noise_tensor(PLEAT_FLOAT, "5000", 1), make_ints(which, 4)}, *outputs[4];
    pleat_tensor *x = noise_tensor(PLEAT_FLOAT, "5000", 1);
    run_session(session, inputs, outputs);
    for (size_t i = 0; i < 5000; i++) {
      ck_assert(element(outputs[1], i) == (double)(float)w[i]);
      ck_assert(element(outputs[2], i) == (double)(float)w[i]);
      ck_assert(element(outputs[0], i) == (double)((float)element(x, i) + (float)w[i]));
    }
    ck_assert(element(outputs[3], 0) == (double)(float)w[1] && element(outputs[3], 1) == (double)(float)w[3]);
    for (size_t i = 0; i < 4; i++) pleat_tensor_release(outputs[i]);
    pleat_tensor_release(x);
    pleat_session_destroy(session);
  }
  ck_assert_uint_eq(pleat_packs_bytes(model->packs), 0);
  pleat_model_release(model);
}
END_TEST

/* ---- memory ---- */

/* Resident KiB of the mapping of a file; -1: the system does not tell. */
static long resident(const char *path) {
  char line[512];
  long total = 0, kib;
  bool is_ours = false;
  FILE *file = fopen("/proc/self/smaps", "r");
  if (file == NULL) return -1;
  while (fgets(line, sizeof line, file) != NULL) {
    if (strchr(line, '-') != NULL && strchr(line, '-') < strchr(line, ' ')) is_ours = strstr(line, path) != NULL;
    if (is_ours && sscanf(line, "Rss: %ld", &kib) == 1) total += kib;
  }
  fclose(file);
  return total;
}

/* A weight that was read while it was folded and packed does not stay in memory besides its pack. */
START_TEST(what_was_packed_leaves_memory) {
  enum { KIB = 1024 * 1024 * 4 / 1024 };
  char path[] = "/tmp/pleat-packs-XXXXXX";
  builder b = build_begin(8, MODEL_OPSET);
  model_input(&b, "x", PLEAT_FLOAT, "1,1024,2,2");
  noise_init(&b, "w", PLEAT_FLOAT, "1024,1024,1,1", -0.1, 0.1);
  static const char *const parameters[] = {"scale", "beta", "mean", "var"};
  for (size_t i = 0; i < 4; i++) noise_init(&b, parameters[i], PLEAT_FLOAT, "1024", 0.5, 1.5);
  model_node(&b, "Conv", "conv", "x,w", "c");
  model_node(&b, "BatchNormalization", "bn", "c,scale,beta,mean,var", "y");
  model_output(&b, "y", PLEAT_FLOAT, "?");
  pleat_model *built = build_model(&b), *model = NULL;
  close(mkstemp(path));
  ASSERT_OK(pleat_model_save(built, path, PLEAT_EXTERNAL_KEEP, error));
  ASSERT_OK(pleat_model_load(path, &model, error));
  if (resident(path) < 0) {
    puts("skipped: the system does not tell what of a mapping is in memory");
  } else {
    pleat_tensor *w = stored_in(model, "w"); /* now it is in memory */
    ck_assert_int_ge(resident(path), KIB / 2);
    pleat_session *session = session_with(model, (pleat_session_options){.exact = true});
    ck_assert_int_le(resident(path), KIB / 8);
    pleat_tensor *y = run_shape(session, PLEAT_FLOAT, "1,1024,2,2");
    ck_assert_int_le(resident(path), KIB / 8);
    ck_assert_uint_ge(pleat_packs_bytes(model->packs), (size_t)KIB * 1024);
    pleat_tensor_release(w);
    pleat_tensor_release(y);
    pleat_session_destroy(session);
  }
  pleat_model_release(built);
  pleat_model_release(model);
  unlink(path);
}
END_TEST

/* ---- threads ---- */

static void *use_model(void *user) {
  pleat_session *session = session_with(user, (pleat_session_options){.exact = true});
  pleat_tensor *y = run_shape(session, PLEAT_FLOAT, "1,32,12,12");
  pleat_session_destroy(session);
  return y;
}

START_TEST(sessions_in_several_threads) {
  enum { THREADS = 8 };
  builder b = two_convs(PLEAT_FLOAT);
  pleat_model *model = build_model(&b);
  pthread_t threads[THREADS];
  void *results[THREADS];
  for (int i = 0; i < THREADS; i++) ck_assert_int_eq(pthread_create(&threads[i], NULL, use_model, model), 0);
  for (int i = 0; i < THREADS; i++) ck_assert_int_eq(pthread_join(threads[i], &results[i]), 0);
  for (int i = 1; i < THREADS; i++) assert_same(results[i], results[0], 0);
  for (int i = 0; i < THREADS; i++) pleat_tensor_release(results[i]);
  ck_assert_uint_eq(pleat_packs_bytes(model->packs), 0);
  pleat_model_release(model);
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  Suite *suite = suite_create("ops_packs");
  add_tests(suite, "store",
            (const TTest *const[]){made_once_and_gone_with_the_last, other_factors_are_another_constant,
                                   a_pack_that_fails_is_not_kept, without_a_plan, NULL});
  add_tests(suite, "models",
            (const TTest *const[]){plans_and_sessions_share, halves_are_packed_as_floats,
                                   large_constants_read_as_they_are, what_was_packed_leaves_memory,
                                   sessions_in_several_threads, NULL});
  return suite;
}

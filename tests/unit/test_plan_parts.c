/* Batches in parts: which graphs keep the samples of a batch apart and which do not, with the reason; that parts give
 * what the whole batch gives; how many samples a part is given.
 *
 * A case is a text (model_text.h): x goes in, y comes out, u is one more input. */
#include "flow_case.h"
#include "model_text.h"
#include "plan_case.h"

enum { OPSET = 17 };

static pleat_model *model_of(const char *shape, const char *statements) {
  builder b = build_begin(8, OPSET);
  model_input(&b, "x", PLEAT_FLOAT, shape);
  add_text(&b, statements);
  add_text(&b, ">y");
  return build_model(&b);
}

static pleat_session *session_in_parts(const pleat_model *model, int64_t samples, int threads, bool no_fold) {
  return session_with(model, (pleat_session_options){.part_samples = samples, .threads = threads, .no_fold = no_fold});
}

/* ---- what keeps samples apart ---- */

typedef struct apart_case {
  const char *shape, *statements; /* the shape without the batch */
} apart_case;

static const apart_case apart[] = {
    {"3,6,6", "w[16,3,3,3];Conv x,w c pads=1,1,1,1;Relu c r;"
              "MaxPool r p kernel_shape=2,2;GlobalAveragePool p g;Flatten g h;k[5,16];Gemm h,k y transB:1"},
    {"4,5,5", "w[4,4,3,3];Conv x,w c pads=1,1,1,1;Add c,x a;Relu a y"},
    {"16,5,5",
     "w[16,1,3,3];Conv x,w c group:16 pads=1,1,1,1;Relu c d;GlobalAveragePool d g;a[4,16,1,1];Conv g,a h;Relu h r;"
     "b[16,4,1,1];Conv r,b t;Sigmoid t s;Mul d,s m;k[16,16,1,1];Conv m,k n;Add n,x y"},
    {"4,5,5", "w[32,4,1,1];Conv x,w c;Relu c d;k[32,1,3,3];Conv d,k e group:32 pads=1,1,1,1;p[32,1,1];PRelu e,p y"},
    {"4,5,5", "w[4,3,3,3];ConvTranspose x,w y strides=2,2"},
    {"4,5,5", "AveragePool x p kernel_shape=2,2;LRN p q size:3;InstanceNormalization q,s,s r;s[4];Sigmoid r y"},
    {"6,5", "Softmax x y axis:1"},
    {"6,5", "Softmax x y"},
    {"6,5", "ReduceMean x y axes=1,2 keepdims:0"},
    {"6,5", "i{2};ReduceSum x,i y keepdims:1"},
    {"6,5", "ArgMax x y axis:-1"},
    {"6,4,4", "Relu x r;Concat x,r c axis:1;Split c p,q axis:1;Mul p,q y"},
    {"6,5", "i{0,1};j{99,4};k{0,1};Slice x,i,j,k y"},
    {"6,5", "Transpose x t perm=0,2,1;MatMul x,t y"},
    {"6,5", "w[5,7];MatMul x,w y"},
    {"6", "w[6,7];MatMul x,w y"},
    {"6,5", "s[5];b[5];LayerNormalization x,s,b y axis:-1"},
    {"6,5", "i{0,-1};Reshape x,i y"},
    {"6,5", "Shape x s;i{0};Gather s,i n;j{-1};Concat n,j k axis:0;Reshape x,k y"},
    {"6,5", "i{2};Unsqueeze x,i u;j{2};Squeeze u,j y"},
    {"2,4,4", "f{1,1,2,2};Resize x,,f y mode'linear"},
    {"2,4,4", "Shape x s;i{0};j{2};Slice s,i,j n;k{7,9};Concat n,k z axis:0;Resize x,,,z y mode'nearest"},
    {"2,4,4", "i{0,0,1,1,0,0,2,2};Pad x,i y"},
    {"3", "Cast x i to:7;w[5,4];Gather w,i y axis:0"},
    {"6,5", "i{3,0};Gather x,i y axis:1"},
    {"6", "Cast x i to:7;i3{4};f{0.5,2};OneHot i,i3,f y axis:1"},
    {"4,4,4", "DepthToSpace x d blocksize:2;Clip d,c,e y;c[];e[]"},
    {"4,5", "w[4,1];PRelu x,w p;Greater p,x m;Where m,p,x y"},
    {"6", "u<1,6>;Add x,u y"},
    {"6", "u<N,6>;Sub x,u y"},
    {"6,5", "Identity x y"},
    {"6,5", "Dropout x y"},
    {"6,5", "i{1};CumSum x,i y"},
    {"6,5", "i{1,2,1};Tile x,i y"},
    {"2,4100", "Shape x s;i{0};Gather s,i n;j{2,1};Concat n,j k axis:0;w[1,1,4100];Tile w,k t;Add x,t y"},
    {"6,1", "i{6,5};Expand x,i y"},
    {"6,1", "Shape x s;i{0};Gather s,i n;j{6,5};Concat n,j k axis:0;Expand x,k y"},
    {"2,4100", "Shape x s;w[1,1,4100];Expand w,s e;Add x,e y"},
    {"2,4100", "Shape x s;w[4100];Expand w,s e;Add x,e y"},
    {"2,4100", "Shape x s;ConstantOfShape s c;Sub c,x y"},
    {"4,5", "f{0.05,0.1,0.2,0.3};QuantizeLinear x,f q axis:1;DequantizeLinear q,f y axis:1"},
    {"4,5", "f{0.05};QuantizeLinear x,f q axis:0;DequantizeLinear q,f y axis:0"},
    {"4,5", "s[];Abs s t;QuantizeLinear x,t q;DequantizeLinear q,t y"},
    {"4,5", "Trilu x y upper:0"},
    {"4,5", "ReduceMax x m axes=1,2 keepdims:0;Add m,m d;Abs d a;Cast a z to:7;"
            "ReverseSequence x,z y time_axis:1 batch_axis:0"},
    {"4,5", "MeanVarianceNormalization x y axes=1,2"},
    {"3", "Cast x i to:7;GatherElements x,i y axis:1"},
    {"3", "Cast x i to:7;w[5,3];GatherElements w,i y axis:0"},
    {"3,1", "Cast x i to:7;GatherND x,i y batch_dims:1"},
    {"3,2", "Cast x i to:7;w[5,4,2];GatherND w,i y"},
    {"3", "Cast x i to:7;Neg x u;ScatterElements x,i,u y axis:1"},
    {"5,3", "w[1,16,3];r[1,16,4];b[1,32];LSTM x,w,r,b y hidden_size:4 layout:1"},
    {"5,3", "w[1,12,3];r[1,12,4];GRU x,w,r o,y hidden_size:4 layout:1"},
    {"5,4", "w[1,4,4];r[1,4,4];ReduceMax x h axes=1;RNN x,w,r,,,h y hidden_size:4 layout:1"},
    {"3,4,4", "s[3];b[3];m[3];v[3];Mul v,v w;BatchNormalization x,s,b,m,w n;Relu n y"},
};

static void fill_inputs(const pleat_session *session, int64_t batch, const char *shape, pleat_tensor **inputs) {
  char text[32];
  snprintf(text, sizeof text, "%d,%s", (int)batch, shape);
  inputs[0] = noise_tensor(PLEAT_FLOAT, text, 5);
  if (session->input_count < 2) return;
  if (session->input_infos[1].dims[0].value == 1) snprintf(text, sizeof text, "1,%s", shape);
  inputs[1] = noise_tensor(PLEAT_FLOAT, text, 6);
}

static pleat_tensor *run_batch(pleat_session *session, int64_t batch, const char *shape) {
  pleat_tensor *inputs[2], *y = NULL;
  fill_inputs(session, batch, shape, inputs);
  run_session(session, inputs, &y);
  return y;
}

static void assert_close(const pleat_tensor *found, const pleat_tensor *expected, const char *what) {
  ck_assert(found->dtype == expected->dtype && pleat_same_shape(found, expected));
  for (size_t i = 0; i < found->count; i++) {
    const double a = pleat_load_f64(found->dtype, found->data, i);
    const double b = pleat_load_f64(expected->dtype, expected->data, i);
    if (!(fabs(a - b) <= 1e-5 * (1 + fabs(b)))) ck_abort_msg("%s: element %zu is %g, not %g", what, i, a, b);
  }
}

/* The plan of the last run. */
static const pleat_plan *last_plan(const pleat_session *session) {
  return session->plans->plan;
}

START_TEST(samples_apart) {
  static const int64_t batches[] = {2, 7, 8};
  const apart_case *c = &apart[_i];
  char shape[32];
  snprintf(shape, sizeof shape, "N,%s", c->shape);
  pleat_model *model = model_of(shape, c->statements);
  for (int k = 0; k < 12; k++) {
    const int threads = 1 + k % 3;
    const bool no_fold = k >= 9;
    pleat_session *whole = session_in_parts(model, 99, threads, no_fold);
    pleat_session *parts = session_in_parts(model, 1 + k / 3 % 2, threads, no_fold);
    for (size_t i = 0; i < 3; i++) {
      pleat_tensor *expected = run_batch(whole, batches[i], c->shape), *found = run_batch(parts, batches[i], c->shape);
      ck_assert_ptr_null(last_plan(whole)->parts.plan);
      const pleat_parts *p = &last_plan(parts)->parts;
      if (p->plan == NULL && p->samples != batches[i]) ck_abort_msg("%s: %s", c->statements, p->reason);
      assert_close(found, expected, c->statements);
      pleat_tensor_release(expected);
      expected = run_batch(parts, batches[i], c->shape);
      ck_assert(expected->count > 0 && memcmp(found->data, expected->data, pleat_bytes(found)) == 0);
      pleat_tensor_release(found);
      pleat_tensor_release(expected);
    }
    pleat_session_destroy(whole);
    pleat_session_destroy(parts);
  }
  pleat_model_release(model);
}
END_TEST

/* ---- what mixes them ---- */

typedef struct mixed_case {
  const char *shape, *statements, *reason; /* a part of it */
} mixed_case;

static const mixed_case mixed[] = {
    {"N,3,4", "s[3];b[3];m[3];v[3];BatchNormalization x,s,b,m,v y,o,q training_mode:1", "statistics"},
    {"N,6", "i{2,12};Reshape x,i y", "refused"},
    {"N,6", "i{4,6};Reshape x,i r;Relu r y", "refused"},
    {"N,6", "i{-1,3};Reshape x,i y", "so many samples"},
    {"N,6", "i{1,-1};Reshape x,i y", "so many samples"},
    {"N,6", "Softmax x y axis:0", "along the samples"},
    {"N,6", "Softmax x y axis:-2", "along the samples"},
    {"N", "LogSoftmax x y", "along the samples"},
    {"N,6", "ReduceMean x y", "along the samples"},
    {"N,6", "ReduceMax x y axes=0", "along the samples"},
    {"N,6", "ArgMin x y axis:0", "along the samples"},
    {"N,6", "Relu x r;Concat x,r y axis:0", "along the samples"},
    {"N,6", "w[4,2];Concat x,w y axis:1", "refused"},
    {"N,4", "Transpose x y perm=1,0", "another dimension"},
    {"N,4,3", "Transpose x t perm=1,0,2;Transpose t y perm=1,0,2", "another dimension"},
    {"N,4", "MatMul x,x y", "refused"},
    {"N,4", "Transpose x t perm=1,0;MatMul x,t y", "another dimension"},
    {"N,4", "w[4,3];Gemm x,w y transA:1", "refused"},
    {"N,6", "w[6,3];c[4,3];Gemm x,w,c y", "refused"},
    {"N,6", "w[4,6];Add x,w y", ""},
    {"N,4,4", "u<N,4>;Add x,u y", ""},
    {"N,6", "i{0};CumSum x,i y", "along the samples"},
    {"N,6", "i{-2};CumSum x,i y", "along the samples"},
    {"N,6", "i{2,1};Tile x,i y", "repeats the batch"},
    {"N,4100",
     "Shape x s;i{0};Gather s,i n;j{2};Div n,j d;k{1};Max d,k m;Concat m,k r axis:0;w[2,4100];Tile w,r t;Add x,t y",
     "number of samples"},
    {"N", "Shape x s;j{3};Concat j,s k axis:0;Expand x,k y", "another dimension"},
    {"N,4100", "Shape x s;w[4,4100];Expand w,s t;Add x,t y", ""},
    {"N,6", "f{1,2,3,4};QuantizeLinear x,f y axis:0", "refused"},
    {"N,6", "ReduceMax x m axes=1 keepdims:0;Abs m s;QuantizeLinear x,s y axis:0", "comes from the samples"},
    {"N,6", "Trilu x y", "along the samples"},
    {"N,4", "i{1,2,3,4};ReverseSequence x,i y", "along the samples"},
    {"N,3,4,4", "MeanVarianceNormalization x y", "along the samples"},
    {"N,6", "Cast x i to:7;GatherElements x,i y axis:0", "along the samples"},
    {"N,6", "Cast x i to:7;w[4,6];GatherElements w,i y axis:1", "other samples"},
    {"N,2", "Cast x i to:7;GatherND x,i y", "other samples"},
    {"N", "Cast x i to:7;w[3,3,3,3,4];GatherND w,i y", "other samples"},
    {"N,3", "Cast x i to:7;ScatterElements x,i,x y axis:0", "along the samples"},
    {"N,3", "i{0,1,2};k{1,3};Reshape i,k j;w[1,3];ScatterElements x,j,w y axis:1", "not of the samples"},
    {"N,3", "i{0};k{1,1};Reshape i,k j;w[1,3];ScatterND x,j,w y", "may mix"},
    {"N,5,3", "w[1,16,3];r[1,16,4];LSTM x,w,r y hidden_size:4", "along the samples"},
    {"N,5,4", "w[1,4,4];r[1,4,4];h[4,1,4];RNN x,w,r,,,h y hidden_size:4 layout:1", "refused"},
    {"N,6", "i{3,2,1,0};Gather x,i y axis:0", "along the samples"},
    {"N,6", "i{0};Gather x,i g axis:0;Add x,g y", "along the samples"},
    {"N,6", "i{-1};j{-99};k{0};l{-1};Slice x,i,j,k,l y", "cuts the batch"},
    {"N,6", "i{1,0,-1,0};Pad x,i y", "pad the batch"},
    {"N,2,4,4", "f{1.1,1,2,2};Resize x,,f y mode'linear", "resize the batch"},
    {"N,2,4,4", "MaxPool x y,i kernel_shape=2,2", "count through"},
    {"N,3,5", "w[8,5,3];Identity w q;u<N,3,5>;Conv x,u y", "comes from the samples"},
    {"N,6", "LpNormalization x y axis:0", "along the samples"},
    {"N,6", "w[3,3];Relu w y", "does not come from samples"},
    {"N", "Cast x i to:7;i4{4};f{0.5,2};OneHot i,i4,f y axis:0", "along the samples"},
    {"N,6", "NonZero x y", "only while running"},
    {"N,6", "Shape x s;Cast s t to:1;ReduceSum t n keepdims:0;Mul x,n y", "number of samples"},
    {"N,6", "Shape x s;i{0};Gather s,i n;j{1};Sub n,j k;Gather x,k g axis:1;Concat x,g y axis:1", "number of samples"},
    {"N,6", "TopK x,i y,j axis:0;i{4}", "refused"},
    {"N,6", "DynamicQuantizeLinear x q,s,z;DequantizeLinear q,s,z y", "may mix"},
    {"N,6", "i{1};f{1};t[];Cast t b to:9;Dropout x,c,b y;c[]", "random"},
};

/* "N,3" as the shape of 4 samples. */
static pleat_input_shape shape_of_4(const char *name, const char *text, int64_t *dims) {
  const int rank = shape_dims(text, dims);
  dims[0] = 4;
  return (pleat_input_shape){.name = name, .rank = rank, .dims = dims};
}

START_TEST(samples_mixed) {
  const mixed_case *c = &mixed[_i];
  const char *u = strchr(c->statements, '<');
  char u_shape[16] = "";
  int64_t dims[2][PLEAT_MAX_RANK];
  if (u != NULL) snprintf(u_shape, sizeof u_shape, "%.*s", (int)strcspn(u + 1, ">"), u + 1);
  const pleat_input_shape shapes[2] = {shape_of_4("x", c->shape, dims[0]), shape_of_4("u", u_shape, dims[1])};
  pleat_model *model = model_of(c->shape, c->statements);
  for (int k = 0; k < 4; k++) {
    pleat_session *session = session_in_parts(model, 1 + k / 2, 1 + k % 2, false);
    pleat_plan_info *info = NULL;
    ASSERT_OK(pleat_session_plan(session, shapes, u != NULL ? 2 : 1, &info, error));
    if (info->part_count != 0 || info->part_reason[0] == '\0' || strstr(info->part_reason, c->reason) == NULL)
      ck_abort_msg("%s: %zu parts, '%s'", c->statements, info->part_count, info->part_reason);
    pleat_plan_info_destroy(info);
    pleat_session_destroy(session);
  }
  pleat_model_release(model);
}
END_TEST

/* Scan over the samples, whose state goes from one to the next. */
START_TEST(control_flow_mixes) {
  builder b = build_begin(8, OPSET);
  Onnx__GraphProto *body = build_graph(&b, "body");
  model_input(&b, "x", PLEAT_FLOAT, "4,3");
  noise_init(&b, "zero", PLEAT_FLOAT, "3", -1, 1);
  body_input(&b, body, "s", PLEAT_FLOAT, "3");
  body_input(&b, body, "row", PLEAT_FLOAT, "3");
  build_node(&b, body, "Add", "", "s,row", "s_out");
  build_node(&b, body, "Identity", "", "s_out", "out");
  body_output(&b, body, "s_out", PLEAT_FLOAT);
  body_output(&b, body, "out", PLEAT_FLOAT);
  add_scan(&b, "zero,x", "last,y", body);
  model_output(&b, "y", PLEAT_FLOAT, "4,3");
  planned p = plan_in(session_from(&b, (pleat_session_options){.part_samples = 2}));
  ck_assert_ptr_null(p.plan->parts.plan);
  ck_assert_ptr_nonnull(strstr(p.plan->parts.reason, "bodies"));
  end_plan(&p);
}
END_TEST

/* ---- the rule ---- */

typedef struct rule_case {
  int threads;
  int64_t batch, samples; /* expected in a part: all of them, whole */
  const char *shape, *statements;
} rule_case;

/* Wide activations and next to no weights; weights of twice, and of many times the activations; next to nothing. */
#define WIDE  "64,64,64", "w[64,64,3,3];Conv x,w c pads=1,1,1,1;Relu c r;Conv r,w d pads=1,1,1,1;Relu d y"
#define HEAVY "256,16,16", "w[256,256,3,3];Conv x,w c pads=1,1,1,1;Relu c y"
#define DENSE "1024", "w[1024,1024];v[1024,1024];MatMul x,w c;Relu c r;MatMul r,v y"
#define SMALL "3,8,8", "w[4,3,3,3];Conv x,w c;Relu c y"

static const rule_case rules[] = {
    {1, 8, 1, WIDE},    {2, 8, 1, WIDE},   {2, 3, 1, WIDE},    {3, 4, 4, WIDE},       {2, 1, 1, WIDE},
    {1, 8, 8, HEAVY},   {1, 16, 8, HEAVY}, {2, 8, 4, HEAVY},   {1, 64, 64, DENSE},    {2, 64, 64, DENSE},
    {1, 64, 64, SMALL}, {2, 8, 8, SMALL},  {2, 64, 64, SMALL}, {1, 4096, 512, SMALL}, {2, 4096, 512, SMALL},
};

START_TEST(samples_of_a_part) {
  const rule_case *c = &rules[_i];
  int64_t dims[PLEAT_MAX_RANK];
  char shape[32];
  snprintf(shape, sizeof shape, "N,%s", c->shape);
  pleat_model *model = model_of(shape, c->statements);
  pleat_session *session = session_in_parts(model, 0, c->threads, false);
  pleat_input_shape given = {.name = "x", .rank = shape_dims(shape, dims), .dims = dims};
  pleat_plan_info *info = NULL;
  dims[0] = c->batch;
  ASSERT_OK(pleat_session_plan(session, &given, 1, &info, error));
  const int64_t samples = info->part_count > 0 ? info->part_samples : c->batch;
  if (samples != c->samples)
    ck_abort_msg("%s by %d threads: %d of %d samples, %s", c->shape, c->threads, (int)samples, (int)c->batch,
                 info->part_reason);
  if (info->part_count > 0) {
    ck_assert_int_eq((int64_t)info->part_count * info->part_samples, c->batch);
    ck_assert_int_eq(info->part_workers, c->threads);
    ck_assert_str_eq(info->part_reason, "");
  } else {
    ck_assert_int_eq(info->part_reason[0] == '\0', c->batch == 1);
  }
  pleat_plan_info_destroy(info);
  pleat_session_destroy(session);
  pleat_model_release(model);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("plan_parts");
  TCase *tests = tcase_create("parts");
  tcase_add_loop_test(tests, samples_apart, 0, sizeof apart / sizeof *apart);
  tcase_add_loop_test(tests, samples_mixed, 0, sizeof mixed / sizeof *mixed);
  tcase_add_test(tests, control_flow_mixes);
  tcase_add_loop_test(tests, samples_of_a_part, 0, sizeof rules / sizeof *rules);
  suite_add_tcase(suite, tests);
  return suite;
}

/* Conv, ConvTranspose and the window geometry, against direct loops in double that follow the specification's
 * definitions (Conv gathers, ConvTranspose scatters), over random and edge geometry. */
#include "op_case.h"
#include "ops/conv_shape.h"

static uint64_t seed; /* of random_between() and make_noise() */

/* ---- geometry and oracles ---- */

enum { MOST = 3 };
typedef struct geometry {
  int spatial;
  int64_t batch, group, channels, filters; /* of one group */
  int64_t in[MOST], kernel[MOST], stride[MOST], dilation[MOST], pads[2 * MOST], extra[MOST];
  bool bias;
} geometry;

static int64_t product(const int64_t *values, int count) {
  int64_t result = 1;
  for (int i = 0; i < count; i++) result *= values[i];
  return result;
}

/* Coordinates of a flat index. */
static void locate(int64_t index, const int64_t *sizes, int count, int64_t *at) {
  for (int i = count; i-- > 0; index /= sizes[i]) at[i] = index % sizes[i];
}

/* Adds every product of the convolution that relates a "small" side (reached by stride) and a "large" side (reached
 * position by position): Conv reads large and writes small, ConvTranspose the other way. */
static void convolve(const geometry *g, bool transposed, const int64_t *small, const int64_t *large,
                     const pleat_tensor *x, const pleat_tensor *w, double *y) {
  const int64_t small_plane = product(small, g->spatial), large_plane = product(large, g->spatial);
  const int64_t taps = product(g->kernel, g->spatial);
  const int64_t x_plane = transposed ? small_plane : large_plane, y_plane = transposed ? large_plane : small_plane;
  int64_t at[MOST], tap_at[MOST];
  for (int64_t n = 0; n < g->batch * g->group; n++)
    for (int64_t f = 0; f < g->filters; f++)
      for (int64_t c = 0; c < g->channels; c++)
        for (int64_t s = 0; s < small_plane; s++)
          for (int64_t tap = 0; tap < taps; tap++) {
            int64_t group = n % g->group, l = 0;
            bool inside = true;
            locate(s, small, g->spatial, at);
            locate(tap, g->kernel, g->spatial, tap_at);
            for (int i = 0; i < g->spatial; i++) {
              int64_t position = at[i] * g->stride[i] + tap_at[i] * g->dilation[i] - g->pads[i];
              inside = inside && position >= 0 && position < large[i];
              l = l * large[i] + position;
            }
            if (!inside) continue;
            int64_t weight = transposed ? ((group * g->channels + c) * g->filters + f) * taps + tap
                                        : ((group * g->filters + f) * g->channels + c) * taps + tap;
            y[(n * g->filters + f) * y_plane + (transposed ? l : s)] +=
                element(w, (size_t)weight) *
                element(x, (size_t)((n * g->channels + c) * x_plane + (transposed ? s : l)));
          }
}

static geometry random_geometry(void) {
  geometry g = {.spatial = (int)random_between(&seed, 1, MOST),
                .batch = random_between(&seed, 1, 2),
                .group = random_between(&seed, 1, 3),
                .bias = random_between(&seed, 0, 1)};
  g.channels = random_between(&seed, 1, 4);
  g.filters = random_between(&seed, 1, 10);
  for (int i = 0; i < g.spatial; i++) {
    g.kernel[i] = random_between(&seed, 1, 4);
    g.stride[i] = random_between(&seed, 1, 3);
    g.dilation[i] = random_between(&seed, 1, 3);
    g.pads[i] = random_between(&seed, 0, 3);
    g.pads[g.spatial + i] = random_between(&seed, 0, 3);
    int64_t least = (g.kernel[i] - 1) * g.dilation[i] + 1 - g.pads[i] - g.pads[g.spatial + i];
    g.in[i] = random_between(&seed, least < 1 ? 1 : least, 11);
    g.extra[i] = random_between(&seed, 0, (g.stride[i] > g.dilation[i] ? g.stride[i] : g.dilation[i]) - 1);
  }
  return g;
}

/* The case of a geometry, with random data. */
static void geometry_case(op_case *c, const geometry *g, bool transposed, pleat_dtype dtype) {
  int64_t x[MOST + 2] = {g->batch, g->group * g->channels};
  int64_t w[MOST + 2] = {g->group * g->filters, g->channels}, filters = w[0];
  if (transposed) w[0] = x[1], w[1] = g->filters;
  for (int i = 0; i < g->spatial; i++) x[2 + i] = g->in[i], w[2 + i] = g->kernel[i];
  case_begin(c, transposed ? "ConvTranspose" : "Conv", 11);
  case_input(c, make_noise(&seed, dtype, g->spatial + 2, x));
  case_input(c, make_noise(&seed, dtype, g->spatial + 2, w));
  if (g->bias) case_input(c, make_noise(&seed, dtype, 1, &filters));
  case_int(c, "group", g->group);
  case_ints(c, "strides", (size_t)g->spatial, g->stride);
  case_ints(c, "dilations", (size_t)g->spatial, g->dilation);
  case_ints(c, "pads", (size_t)g->spatial * 2, g->pads);
  if (transposed) case_ints(c, "output_padding", (size_t)g->spatial, g->extra);
}

/* Runs the case and compares it with the oracle. */
static void check_geometry(const geometry *g, bool transposed, pleat_dtype dtype, double tolerance) {
  op_case c;
  int64_t out[MOST];
  for (int i = 0; i < g->spatial; i++) {
    int64_t extent = (g->kernel[i] - 1) * g->dilation[i] + 1, pads = g->pads[i] + g->pads[g->spatial + i];
    out[i] = transposed ? (g->in[i] - 1) * g->stride[i] + g->extra[i] + extent - pads
                        : (g->in[i] + pads - extent) / g->stride[i] + 1;
    if (out[i] < 1) return;
  }
  geometry_case(&c, g, transposed, dtype);
  RUN_OK(&c);
  const pleat_tensor *y = c.outputs[0];
  ck_assert_int_eq(y->rank, g->spatial + 2);
  ck_assert_int_eq(y->dims[0], g->batch);
  ck_assert_int_eq(y->dims[1], g->group * g->filters);
  for (int i = 0; i < g->spatial; i++) ck_assert_int_eq(y->dims[2 + i], out[i]);
  double *expected = calloc(y->count, sizeof *expected);
  ck_assert_ptr_nonnull(expected);
  convolve(g, transposed, transposed ? g->in : out, transposed ? out : g->in, c.inputs[0], c.inputs[1], expected);
  for (size_t i = 0; i < y->count; i++) {
    size_t filter = i / (size_t)product(out, g->spatial) % (size_t)(g->group * g->filters);
    if (g->bias) expected[i] += element(c.inputs[2], filter);
    CHECK_NEAR(element(y, i), expected[i], tolerance);
  }
  free(expected);
  case_end(&c);
}

START_TEST(random_shapes) {
  const bool transposed = _i == 1;
  seed = 1;
  for (int i = 0; i < 200; i++) {
    geometry g = random_geometry();
    check_geometry(&g, transposed, PLEAT_DOUBLE, 1e-12);
    check_geometry(&g, transposed, PLEAT_FLOAT, 1e-4);
    if (i % 8 == 0) check_geometry(&g, transposed, PLEAT_FLOAT16, 1e-2);
  }
}
END_TEST

/* Larger than one block in every direction: rows, columns and depth of the product. */
static const geometry large[] = {
    {2, 1, 1, 70, 45, {20, 19}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, {0}, true},
    {2, 2, 1, 40, 300, {13, 11}, {1, 1}, {1, 1}, {1, 1}, {0}, {0}, false},
    {2, 1, 20, 1, 1, {33, 40}, {3, 5}, {1, 2}, {1, 1}, {1, 2, 1, 2}, {0}, true},
    {2, 1, 2, 66, 3, {30, 31}, {3, 3}, {2, 3}, {2, 1}, {2, 0, 1, 3}, {1, 0}, true},
    {1, 2, 1, 5, 9, {700}, {7}, {2}, {3}, {4, 5}, {1}, false},
    {3, 1, 1, 3, 8, {9, 10, 11}, {3, 2, 3}, {1, 2, 2}, {1, 2, 1}, {1, 0, 1, 1, 1, 0}, {0}, true},
};
enum { LARGE = sizeof large / sizeof large[0] };

START_TEST(large_shapes) {
  seed = 2;
  check_geometry(&large[_i], false, PLEAT_FLOAT, 1e-3);
  check_geometry(&large[_i], true, PLEAT_FLOAT, 1e-3);
  check_geometry(&large[_i], true, PLEAT_DOUBLE, 1e-11);
}
END_TEST

START_TEST(threads_do_not_change_bits) {
  for (int transposed = 0; transposed < 2; transposed++) {
    op_case c;
    seed = 3;
    geometry_case(&c, &large[_i], transposed == 1, PLEAT_FLOAT);
    RUN_OK(&c);
    case_end(&c);
  }
}
END_TEST

/* ---- particular behaviour ---- */

START_TEST(auto_pad) {
  static const struct {
    const char *mode;
    float expected[4];
    size_t count;
  } cases[] = {{"SAME_UPPER", {3, 3}, 2}, {"SAME_LOWER", {1, 5}, 2}, {"VALID", {3}, 1}, {"NOTSET", {3}, 1}};
  for (size_t i = 0; i < 4; i++) {
    op_case c;
    case_begin(&c, "Conv", 11);
    case_input(&c, FLOATS("1,1,3", 1, 2, 3));
    case_input(&c, FLOATS("1,1,2", 1, 1));
    case_string(&c, "auto_pad", cases[i].mode);
    CASE_INTS(&c, "strides", 2);
    RUN_OK(&c);
    ck_assert_uint_eq(c.outputs[0]->count, cases[i].count);
    ck_assert_mem_eq(c.outputs[0]->data, cases[i].expected, cases[i].count * sizeof(float));
    case_end(&c);
  }
}
END_TEST

START_TEST(transpose_output_shape) {
  op_case c;
  /* 4 positions asked of 5: the pad goes to the beginning, except for SAME_UPPER. */
  for (int upper = 0; upper < 2; upper++) {
    case_begin(&c, "ConvTranspose", 11);
    case_input(&c, FLOATS("1,1,2", 1, 2));
    case_input(&c, FLOATS("1,1,3", 1, 10, 100));
    CASE_INTS(&c, "strides", 2);
    CASE_INTS(&c, "output_shape", 4);
    if (upper) case_string(&c, "auto_pad", "SAME_UPPER");
    RUN_OK(&c);
    if (upper) CHECK_TENSOR(c.outputs[0], "float[1,1,4]", float, 1, 10, 102, 20);
    else CHECK_TENSOR(c.outputs[0], "float[1,1,4]", float, 10, 102, 20, 200);
    case_end(&c);
  }
  /* More than the input reaches: the bias alone, at the end. */
  case_begin(&c, "ConvTranspose", 11);
  case_input(&c, FLOATS("1,1,2", 1, 2));
  case_input(&c, FLOATS("1,1,1", 3));
  case_input(&c, FLOATS("1", 0.5f));
  CASE_INTS(&c, "strides", 3);
  CASE_INTS(&c, "output_shape", 6);
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[1,1,6]", float, 3.5f, 0.5f, 0.5f, 6.5f, 0.5f, 0.5f);
  case_end(&c);
}
END_TEST

START_TEST(empty_inputs) {
  op_case c;
  const char *op = _i == 1 ? "ConvTranspose" : "Conv";
  case_begin(&c, op, 11);
  case_input(&c, make(PLEAT_FLOAT, "0,2,5", NULL));
  case_input(&c, make(PLEAT_FLOAT, "2,2,3", NULL));
  RUN_OK(&c);
  CHECK_TEXT(c.outputs[0], _i == 1 ? "float[0,2,7]" : "float[0,2,3]");
  case_end(&c);
  /* No channels: the bias is all there is, however large the kernel claims to be. */
  case_begin(&c, op, 11);
  case_input(&c, make(PLEAT_FLOAT, "1,0,5,1", NULL));
  case_input(&c, make(PLEAT_FLOAT, _i == 1 ? "0,2,3,1" : "2,0,3,1", NULL));
  case_input(&c, FLOATS("2", 1, 2));
  CASE_INTS(&c, "pads", _i == 1 ? 3 : 0, 0, _i == 1 ? 1 : 0, 0);
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[1,2,3,1]", float, 1, 1, 1, 2, 2, 2);
  case_end(&c);
}
END_TEST

START_TEST(padding_around_nothing) {
  op_case c;
  case_begin(&c, "Conv", 11);
  case_input(&c, make(PLEAT_FLOAT, "1,2,0", NULL));
  case_input(&c, make(PLEAT_FLOAT, "1,2,2", NULL));
  case_input(&c, FLOATS("1", 7));
  CASE_INTS(&c, "pads", 1, 2);
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[1,1,2]", float, 7, 7);
  case_end(&c);
}
END_TEST

START_TEST(half_rounds_once) {
  op_case c, wide;
  seed = 4;
  geometry g = {2, 1, 1, 9, 6, {6, 7}, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, {0}, true};
  geometry_case(&c, &g, false, PLEAT_BFLOAT16);
  c.opset = 22;
  RUN_OK(&c);
  case_begin(&wide, "Conv", 11);
  for (size_t i = 0; i < 3; i++) {
    pleat_tensor *input = NULL;
    ck_assert_int_eq(pleat_tensor_cast(c.inputs[i], PLEAT_FLOAT, &input, NULL), PLEAT_OK);
    case_input(&wide, input);
  }
  CASE_INTS(&wide, "pads", 1, 1, 1, 1);
  RUN_OK(&wide);
  pleat_tensor *rounded = NULL;
  ck_assert_int_eq(pleat_tensor_cast(wide.outputs[0], PLEAT_BFLOAT16, &rounded, NULL), PLEAT_OK);
  ck_assert_mem_eq(rounded->data, c.outputs[0]->data, pleat_bytes(rounded));
  pleat_tensor_release(rounded);
  case_end(&c);
  case_end(&wide);
}
END_TEST

/* ---- inference ---- */

START_TEST(symbolic_dimensions) {
  op_case c;
  pleat_type out[1], in[2] = {type_of(PLEAT_FLOAT, pleat_shape_of_rank(4)),
                              type_of(PLEAT_FLOAT, pleat_shape_of(4, (int64_t[]){8, 3, 3, 3}))};
  in[0].shape.dims[0].symbol = "batch";
  in[0].shape.dims[1] = pleat_dim_known(3);
  in[0].shape.dims[2].symbol = "height";
  in[0].shape.dims[3] = pleat_dim_known(10);
  case_begin(&c, "Conv", 11);
  CASE_INTS(&c, "pads", 1, 0, 1, 0);
  ck_assert_int_eq(case_infer(&c, in, 2, out), PLEAT_OK);
  CHECK_SHAPE(&out[0], "[batch,8,height,8]");
  case_begin(&c, "Conv", 11);
  CASE_INTS(&c, "strides", 2, 2);
  ck_assert_int_eq(case_infer(&c, in, 2, out), PLEAT_OK);
  CHECK_SHAPE(&out[0], "[batch,8,?,4]");
  in[1].shape = pleat_shape_unknown();
  case_begin(&c, "Conv", 11);
  CASE_INTS(&c, "kernel_shape", 5, 5);
  ck_assert_int_eq(case_infer(&c, in, 2, out), PLEAT_OK);
  CHECK_SHAPE(&out[0], "[batch,?,?,6]");
  in[0].shape = pleat_shape_unknown();
  case_begin(&c, "ConvTranspose", 11);
  ck_assert_int_eq(case_infer(&c, in, 2, out), PLEAT_OK);
  CHECK_SHAPE(&out[0], "?");
  in[1].shape = pleat_shape_of(4, (int64_t[]){8, 3, 2, 2});
  case_begin(&c, "ConvTranspose", 11);
  case_int(&c, "group", 2);
  CASE_INTS(&c, "output_shape", 9, 9);
  ck_assert_int_eq(case_infer(&c, in, 2, out), PLEAT_OK);
  CHECK_SHAPE(&out[0], "[?,6,9,9]");
}
END_TEST

START_TEST(multiply_adds) {
  op_case c;
  pleat_type in[2] = {type_of(PLEAT_FLOAT, pleat_shape_of(4, (int64_t[]){2, 4, 10, 10})),
                      type_of(PLEAT_FLOAT, pleat_shape_of(4, (int64_t[]){6, 2, 3, 3}))};
  case_begin(&c, "Conv", 11);
  case_int(&c, "group", 2);
  ck_assert_double_eq(case_macs(&c, in, 2), 2.0 * 6 * 8 * 8 * 2 * 9);
  in[1].shape = pleat_shape_of(4, (int64_t[]){4, 3, 2, 2});
  case_begin(&c, "ConvTranspose", 11);
  ck_assert_double_eq(case_macs(&c, in, 2), 2.0 * 4 * 10 * 10 * 3 * 4);
}
END_TEST

static void begin_bad(op_case *c, const char *op, const char *x, const char *w) {
  case_begin(c, op, 11);
  case_input(c, make(PLEAT_FLOAT, x, NULL));
  case_input(c, make(PLEAT_FLOAT, w, NULL));
}

START_TEST(bad_shapes) {
  op_case c;
  begin_bad(&c, "Conv", "1,4,5,5", "2,3,3,3");
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "channels of X");
  begin_bad(&c, "Conv", "1,4", "2,4");
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "at least 3 dimensions");
  begin_bad(&c, "Conv", "1,4,5,5", "2,4,3");
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "rank of W");
  begin_bad(&c, "Conv", "1,4,5,2", "2,4,3,3");
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "padded input has only 2");
  begin_bad(&c, "Conv", "1,4,5,5", "3,2,3,3");
  case_int(&c, "group", 2);
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "groups");
  begin_bad(&c, "Conv", "1,4,5,5", "2,4,3,3");
  case_input(&c, make(PLEAT_FLOAT, "3", NULL));
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "elements of B");
  begin_bad(&c, "Conv", "1,4,5,5", "2,4,0,3");
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "0 positions");
  begin_bad(&c, "ConvTranspose", "1,4,5,5", "2,4,3,3");
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "channels of X");
  begin_bad(&c, "ConvTranspose", "1,4,2,2", "4,4,1,1");
  CASE_INTS(&c, "pads", 2, 0, 2, 0);
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "take more than");
  case_begin(&c, "Conv", 11);
  case_input(&c, make(PLEAT_FLOAT, "1,4,5,5", NULL));
  case_input(&c, make(PLEAT_DOUBLE, "2,4,3,3", NULL));
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "expected type float");
}
END_TEST

START_TEST(bad_attributes) {
  static const struct {
    const char *name;
    int64_t values[4];
    size_t count;
    const char *message;
  } cases[] = {{"pads", {0, -1, 0, 0}, 4, "'pads'[1]"},
               {"pads", {0, 1}, 2, "list of 4"},
               {"strides", {0, 1}, 2, "'strides'[0]"},
               {"dilations", {1, 0}, 2, "'dilations'[1]"},
               {"dilations", {1, INT64_MAX}, 2, "'dilations'[1]"},
               {"kernel_shape", {3, 2}, 2, "'kernel_shape'[1] is 2"}};
  op_case c;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    begin_bad(&c, _i == 1 ? "ConvTranspose" : "Conv", "1,4,5,5", "4,4,3,3");
    case_ints(&c, cases[i].name, cases[i].count, cases[i].values);
    RUN_FAILS(&c, i == 5 ? PLEAT_SHAPE_MISMATCH : PLEAT_MALFORMED_MODEL, cases[i].message);
  }
  begin_bad(&c, _i == 1 ? "ConvTranspose" : "Conv", "1,4,5,5", "4,4,3,3");
  case_string(&c, "auto_pad", "SOMEHOW");
  RUN_FAILS(&c, PLEAT_MALFORMED_MODEL, "'SOMEHOW'");
  begin_bad(&c, _i == 1 ? "ConvTranspose" : "Conv", "1,4,5,5", "4,4,3,3");
  case_int(&c, "group", 0);
  RUN_FAILS(&c, PLEAT_MALFORMED_MODEL, "'group'");
  begin_bad(&c, "ConvTranspose", "1,4,5,5", "4,4,3,3");
  CASE_INTS(&c, "output_padding", 0);
  RUN_FAILS(&c, PLEAT_MALFORMED_MODEL, "'output_padding'");
}
END_TEST

/* ---- the window's helpers ---- */

START_TEST(window_clipping) {
  seed = 5;
  for (int round = 0; round < 2000; round++) {
    pleat_window window = {.spatial = 1};
    window.kernel[0] = random_between(&seed, 1, 5);
    window.stride[0] = random_between(&seed, 1, 4);
    window.dilation[0] = random_between(&seed, 1, 4);
    window.pad_begin[0] = random_between(&seed, 0, 9);
    int wrong = 0;
    int64_t size = random_between(&seed, 0, 12), out_size = random_between(&seed, 1, 8), first, end;
    for (int64_t o = 0; o < out_size; o++) {
      pleat_window_taps(&window, 0, o, size, &first, &end);
      for (int64_t tap = 0; tap < window.kernel[0]; tap++) {
        int64_t at = pleat_window_start(&window, 0, o) + tap * window.dilation[0];
        wrong += (tap >= first && tap < end) != (at >= 0 && at < size);
      }
    }
    for (int64_t tap = 0; tap < window.kernel[0]; tap++) {
      pleat_window_outputs(&window, 0, tap, size, out_size, &first, &end);
      for (int64_t o = 0; o < out_size; o++) {
        int64_t at = pleat_window_start(&window, 0, o) + tap * window.dilation[0];
        wrong += (o >= first && o < end) != (at >= 0 && at < size);
      }
    }
    ck_assert_int_eq(wrong, 0);
  }
}
END_TEST

START_TEST(ceil_mode) {
  static const struct {
    int64_t size, kernel, stride, pad, floor, ceil;
  } cases[] = {{6, 3, 2, 0, 2, 3}, {5, 3, 2, 0, 2, 2}, {4, 3, 2, 0, 1, 2}, {3, 1, 2, 0, 2, 2},
               {4, 1, 3, 0, 2, 2}, {2, 1, 2, 0, 1, 1}, /* a second window would start beyond the input */
               {3, 2, 2, 1, 2, 2}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    for (int ceil = 0; ceil < 2; ceil++) {
      pleat_window window = {.spatial = 1, .ceil_mode = ceil == 1};
      pleat_dim out;
      pleat_shape shape = pleat_shape_of(3, (int64_t[]){1, 1, cases[i].size});
      window.kernel[0] = cases[i].kernel;
      window.stride[0] = cases[i].stride;
      window.dilation[0] = 1;
      window.pad_begin[0] = window.pad_end[0] = cases[i].pad;
      ck_assert_int_eq(pleat_window_output(&window, &shape, &out, NULL), PLEAT_OK);
      ck_assert_int_eq(out.value, ceil ? cases[i].ceil : cases[i].floor);
    }
  }
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  Suite *suite = suite_create("ops_conv");
  TCase *tcase = tcase_create("conv");
  tcase_set_timeout(tcase, 120);
  tcase_add_loop_test(tcase, random_shapes, 0, 2);
  tcase_add_loop_test(tcase, large_shapes, 0, LARGE);
  tcase_add_loop_test(tcase, threads_do_not_change_bits, 0, LARGE);
  tcase_add_test(tcase, auto_pad);
  tcase_add_test(tcase, transpose_output_shape);
  tcase_add_loop_test(tcase, empty_inputs, 0, 2);
  tcase_add_test(tcase, padding_around_nothing);
  tcase_add_test(tcase, half_rounds_once);
  tcase_add_test(tcase, symbolic_dimensions);
  tcase_add_test(tcase, multiply_adds);
  tcase_add_test(tcase, bad_shapes);
  tcase_add_loop_test(tcase, bad_attributes, 0, 2);
  tcase_add_test(tcase, window_clipping);
  tcase_add_test(tcase, ceil_mode);
  suite_add_tcase(suite, tcase);
  return suite;
}

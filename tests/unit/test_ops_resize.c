/* Resize and Upsample against the specification's formulas, one output element at a time over all axes at once, and the
 * forms of old opsets. */
#include "op_case.h"

static const char *const coordinate_modes[] = {"half_pixel",    "half_pixel_symmetric", "pytorch_half_pixel",
                                               "align_corners", "asymmetric",           "tf_half_pixel_for_nn"};
static const char *const nearest_modes[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"};

/* One axis as the specification sees it. */
typedef struct axis_spec {
  int64_t in, out;
  double scale;
} axis_spec;

static double naive_coordinate(const char *mode, axis_spec a, int64_t o) {
  double x = (double)o;
  if (strcmp(mode, "asymmetric") == 0) return x / a.scale;
  if (strcmp(mode, "tf_half_pixel_for_nn") == 0) return (x + 0.5) / a.scale;
  if (strcmp(mode, "align_corners") == 0) return a.out == 1 ? 0 : x * (double)(a.in - 1) / (a.scale * (double)a.in - 1);
  if (strcmp(mode, "pytorch_half_pixel") == 0 && a.out == 1) return 0;
  double shift = 0;
  if (strcmp(mode, "half_pixel_symmetric") == 0)
    shift = (double)a.in / 2 * (1 - (double)a.out / (a.scale * (double)a.in));
  return shift + (x + 0.5) / a.scale - 0.5;
}

static double naive_kernel(bool cubic, double a, double d) {
  d = fabs(d);
  if (!cubic) return d < 1 ? 1 - d : 0;
  if (d <= 1) return (a + 2) * d * d * d - (a + 3) * d * d + 1;
  return d < 2 ? a * d * d * d - 5 * a * d * d + 8 * a * d - 4 * a : 0;
}

/* Weights of all positions of an axis of at most 16 for output `o`. */
static void naive_weights(const char *mode, bool cubic, double a, bool exclude, bool antialias, axis_spec axis,
                          int64_t o, double *out_weights) {
  double x = naive_coordinate(mode, axis, o), sum = 0, stretch = antialias && axis.scale < 1 ? axis.scale : 1;
  for (int64_t i = 0; i < axis.in; i++) out_weights[i] = 0;
  if (axis.in == axis.out && axis.scale == 1) {
    out_weights[o] = 1;
    return;
  }
  for (int64_t p = -64; p < 96; p++) {
    double w = naive_kernel(cubic, a, stretch * ((double)p - x));
    if (exclude && (p < 0 || p >= axis.in)) continue;
    out_weights[p < 0 ? 0 : p >= axis.in ? axis.in - 1 : p] += w;
    sum += w;
  }
  for (int64_t i = 0; i < axis.in; i++) out_weights[i] /= sum;
}

/* A case over a [1, 2, h, w] tensor with the axes' geometry; `by_size`: by sizes instead of scales. */
static void resize_case(op_case *t, pleat_dtype dtype, bool by_size, uint64_t *seed, axis_spec axes[4]) {
  int64_t dims[] = {1, 2, random_between(seed, 2, 9), random_between(seed, 2, 9)};
  double scales[] = {1, 1, 0.3 + 0.1 * (double)random_between(seed, 1, 30),
                     0.3 + 0.1 * (double)random_between(seed, 1, 30)},
         sizes[4];
  for (int d = 0; d < 4; d++) {
    float scale = (float)scales[d];
    axes[d] = (axis_spec){dims[d], (int64_t)floorf((float)dims[d] * scale), (double)scale};
    if (axes[d].out < 1) axes[d] = (axis_spec){dims[d], dims[d], scales[d] = 1};
    sizes[d] = (double)axes[d].out;
    if (by_size) axes[d].scale = sizes[d] / (double)dims[d];
  }
  case_input(t, make_noise_upto(seed, dtype, 4, dims, 20));
  case_input(t, NULL);
  case_input(t, by_size ? NULL : make_vector(PLEAT_FLOAT, 4, scales));
  case_input(t, by_size ? make_vector(PLEAT_INT64, 4, sizes) : NULL);
}

static void expect_shape(const pleat_tensor *y, const axis_spec axes[4]) {
  int64_t dims[] = {axes[0].out, axes[1].out, axes[2].out, axes[3].out};
  check_dims(y, 4, dims);
}

static void check_interpolation(int index, pleat_dtype dtype, uint64_t *seed) {
  const char *mode = coordinate_modes[index % 6];
  bool cubic = index % 2 == 1, exclude = cubic && random_between(seed, 0, 1) != 0,
       antialias = random_between(seed, 0, 2) == 0;
  double weights[2][16], a = cubic && random_between(seed, 0, 1) != 0 ? -0.5 : -0.75;
  axis_spec axes[4];
  op_case t;
  case_begin(&t, "Resize", 19);
  case_string(&t, "mode", cubic ? "cubic" : "linear");
  case_string(&t, "coordinate_transformation_mode", mode);
  case_int(&t, "exclude_outside", exclude);
  case_int(&t, "antialias", antialias);
  case_float(&t, "cubic_coeff_a", (float)a);
  resize_case(&t, dtype, index % 4 == 0, seed, axes);
  const pleat_tensor *y = RUN_OK(&t), *x = t.inputs[0];
  expect_shape(y, axes);
  size_t plane = (size_t)(axes[2].out * axes[3].out), in_plane = (size_t)(axes[2].in * axes[3].in);
  for (size_t i = 0; i < y->count; i++) {
    double sum = 0;
    naive_weights(mode, cubic, a, exclude, antialias, axes[2], (int64_t)(i % plane) / axes[3].out, weights[0]);
    naive_weights(mode, cubic, a, exclude, antialias, axes[3], (int64_t)(i % plane) % axes[3].out, weights[1]);
    for (size_t k = 0; k < in_plane; k++)
      sum += weights[0][k / (size_t)axes[3].in] * weights[1][k % (size_t)axes[3].in] *
             pleat_load_f64(dtype, x->data, i / plane * in_plane + k);
    CHECK_AT(y, i, sum);
  }
  case_end(&t);
}

START_TEST(interpolation_matches_naive) {
  uint64_t seed = 1;
  for (int i = 0; i < 240; i++) check_interpolation(i, i % 3 == 0 ? PLEAT_DOUBLE : PLEAT_FLOAT, &seed);
}
END_TEST

static int64_t naive_nearest(const char *mode, const char *nearest, axis_spec a, int64_t o) {
  double x = naive_coordinate(mode, a, o);
  if (a.in == a.out && a.scale == 1) return o;
  double p = strcmp(nearest, "floor") == 0               ? floor(x)
             : strcmp(nearest, "ceil") == 0              ? ceil(x)
             : strcmp(nearest, "round_prefer_ceil") == 0 ? floor(x + 0.5)
                                                         : ceil(x - 0.5);
  return p < 0 ? 0 : p >= (double)a.in ? a.in - 1 : (int64_t)p;
}

START_TEST(nearest_matches_naive) {
  static const pleat_dtype types[] = {PLEAT_FLOAT, PLEAT_UINT8, PLEAT_INT64, PLEAT_BOOL, PLEAT_INT16, PLEAT_FLOAT16};
  uint64_t seed = 2;
  for (int index = 0; index < 240; index++) {
    const char *mode = coordinate_modes[index % 6], *nearest = nearest_modes[index / 6 % 4];
    axis_spec axes[4];
    op_case t;
    case_begin(&t, "Resize", index % 2 == 0 ? 13 : 19);
    case_string(&t, "coordinate_transformation_mode", mode);
    case_string(&t, "nearest_mode", nearest);
    resize_case(&t, types[index / 2 % 6], index % 5 == 0, &seed, axes);
    const pleat_tensor *y = RUN_OK(&t), *x = t.inputs[0];
    expect_shape(y, axes);
    int64_t plane = axes[2].out * axes[3].out;
    for (int64_t i = 0; i < (int64_t)y->count; i++) {
      int64_t row = naive_nearest(mode, nearest, axes[2], i % plane / axes[3].out);
      int64_t column = naive_nearest(mode, nearest, axes[3], i % axes[3].out);
      int64_t at = (i / plane * axes[2].in + row) * axes[3].in + column;
      CHECK_AT(y, (size_t)i, pleat_load_f64(x->dtype, x->data, (size_t)at));
    }
    case_end(&t);
  }
}
END_TEST

/* The common case, large enough for threads: bilinear and nearest, twice as large. */
START_TEST(doubling_large_images) {
  int64_t dims[] = {1, 8, 60, 70}, out[] = {1, 8, 120, 140};
  double scales[] = {1, 1, 2, 2};
  for (int linear = 0; linear <= 1; linear++) {
    uint64_t seed = 3;
    op_case t;
    case_begin(&t, "Upsample", 9);
    case_string(&t, "mode", linear ? "linear" : "nearest");
    case_input(&t, make_noise_upto(&seed, PLEAT_FLOAT, 4, dims, 20));
    case_input(&t, make_vector(PLEAT_FLOAT, 4, scales));
    const pleat_tensor *y = RUN_OK(&t);
    const float *x = t.inputs[0]->data;
    check_dims(y, 4, out);
    for (int64_t i = 0; i < (int64_t)y->count; i += 3) {
      int64_t h = i / 140 % 120, w = i % 140, base = i / (120 * 140) * 60 * 70;
      int64_t h0 = h / 2, w0 = w / 2, h1 = h % 2 && h0 < 59 ? h0 + 1 : h0, w1 = w % 2 && w0 < 69 ? w0 + 1 : w0;
      double sum = (double)x[base + h0 * 70 + w0] + (double)x[base + h0 * 70 + w1] + (double)x[base + h1 * 70 + w0] +
                   (double)x[base + h1 * 70 + w1];
      CHECK_AT(y, (size_t)i, linear ? sum / 4 : (double)x[base + h0 * 70 + w0]);
    }
    case_end(&t);
  }
}
END_TEST

/* ---- forms of old opsets ---- */

static const double square[] = {1, 2, 3, 4};
static const int64_t square_dims[] = {1, 1, 2, 2};

START_TEST(upsample_scales_are_attributes_at_first) {
  float scales[] = {1, 1, 1, 2};
  double expected[] = {1, 1, 2, 2, 3, 3, 4, 4}, linear[] = {1, 1.5, 2, 2, 3, 3.5, 4, 4};
  for (int version = 1; version <= 7; version += 6)
    for (int bilinear = 0; bilinear <= 1; bilinear++) {
      op_case t;
      case_begin(&t, "Upsample", version);
      if (version == 7) case_floats(&t, "scales", 4, scales);
      else {
        case_float(&t, "height_scale", 1);
        case_float(&t, "width_scale", 2);
      }
      case_string(&t, "mode", !bilinear ? "nearest" : version == 1 ? "bilinear" : "linear");
      case_input(&t, make_values(PLEAT_FLOAT, 4, square_dims, square));
      CHECK_VALUES(RUN_OK(&t), 8, bilinear ? linear : expected);
      case_end(&t);
    }
}
END_TEST

/* Examples of the operator's documentation for opset 10. */
START_TEST(resize_10) {
  int64_t dims[] = {1, 1, 2, 4};
  double x[] = {1, 2, 3, 4, 5, 6, 7, 8}, scales[] = {1, 1, 0.6, 0.6}, nearest[] = {1, 3}, linear[] = {1, 2.6666667};
  for (int i = 0; i < 2; i++) {
    op_case t;
    case_begin(&t, "Resize", 10);
    case_string(&t, "mode", i == 0 ? "nearest" : "linear");
    case_input(&t, make_values(PLEAT_FLOAT, 4, dims, x));
    case_input(&t, make_vector(PLEAT_FLOAT, 4, scales));
    CHECK_VALUES(RUN_OK(&t), 2, i == 0 ? nearest : linear);
    case_end(&t);
  }
}
END_TEST

/* Opset 11 requires roi and scales, and takes empty ones for absent. */
START_TEST(resize_11_has_empty_inputs) {
  double sizes[] = {1, 1, 4, 2}, expected[] = {1, 2, 1, 2, 3, 4, 3, 4};
  op_case t;
  case_begin(&t, "Resize", 11);
  case_input(&t, make_values(PLEAT_FLOAT, 4, square_dims, square));
  case_input(&t, make_vector(PLEAT_FLOAT, 0, NULL));
  case_input(&t, make_vector(PLEAT_FLOAT, 0, NULL));
  case_input(&t, make_vector(PLEAT_INT64, 4, sizes));
  CHECK_VALUES(RUN_OK(&t), 8, expected);
  case_end(&t);
}
END_TEST

/* ---- the rest ---- */

START_TEST(integers_are_truncated_and_saturated) {
  double x[] = {0, 255, 255, 0}, sizes[] = {1, 1, 2, 3}, expected[] = {0, 127, 255, 255, 127, 0};
  op_case t;
  case_begin(&t, "Resize", 13);
  case_string(&t, "mode", "linear");
  case_input(&t, make_values(PLEAT_UINT8, 4, square_dims, x));
  case_input(&t, NULL);
  case_input(&t, NULL);
  case_input(&t, make_vector(PLEAT_INT64, 4, sizes));
  CHECK_VALUES(RUN_OK(&t), 6, expected);
  case_end(&t);
  double line[] = {0, 0, 255, 255}, two = 2;
  case_begin(&t, "Resize", 13); /* the cubic kernel overshoots */
  case_string(&t, "mode", "cubic");
  case_input(&t, make_vector(PLEAT_UINT8, 4, line));
  case_input(&t, NULL);
  case_input(&t, make_vector(PLEAT_FLOAT, 1, &two));
  const pleat_tensor *y = RUN_OK(&t);
  CHECK_AT(y, 2, 0);
  CHECK_AT(y, 5, 255);
  case_end(&t);
}
END_TEST

START_TEST(strings_have_only_neighbours) {
  pleat_string words[] = {{"a", 1}, {"bc", 2}};
  double two = 2;
  for (int linear = 0; linear <= 1; linear++) {
    op_case t;
    int64_t dims[] = {2};
    pleat_tensor *x = NULL;
    ck_assert_int_eq(pleat_tensor_create_strings(1, dims, words, &x, NULL), PLEAT_OK);
    case_begin(&t, "Resize", 13);
    case_string(&t, "mode", linear ? "linear" : "nearest");
    case_input(&t, x);
    case_input(&t, NULL);
    case_input(&t, make_vector(PLEAT_FLOAT, 1, &two));
    if (linear) {
      RUN_FAILS(&t, PLEAT_MALFORMED_MODEL, "");
      continue;
    }
    ck_assert_int_eq(case_try(&t, 1), PLEAT_OK);
    const pleat_string *y = t.outputs[0]->data;
    ck_assert_uint_eq(t.outputs[0]->count, 4);
    ck_assert_uint_eq(y[1].size, 1);
    ck_assert_str_eq(y[3].data, "bc");
    case_end(&t);
  }
}
END_TEST

/* The region of interest may only be known at run time; the result is the same. */
START_TEST(region_of_interest_may_come_late) {
  /* Rows -0.5 (outside), 0 and 0.5, which the nearest mode rounds up. */
  double roi[] = {0, 0, -0.5, 0, 1, 1, 0.5, 1}, sizes[] = {1, 1, 3, 2};
  double nearest[] = {9, 9, 1, 2, 3, 4}, linear[] = {9, 9, 1, 2, 2, 3};
  for (int i = 0; i < 4; i++) {
    bool late = i / 2 != 0, interpolate = i % 2 != 0;
    op_case t;
    case_begin(&t, "Resize", 13);
    case_string(&t, "mode", interpolate ? "linear" : "nearest");
    case_string(&t, "coordinate_transformation_mode", "tf_crop_and_resize");
    case_string(&t, "nearest_mode", "round_prefer_ceil");
    case_float(&t, "extrapolation_value", 9);
    case_input(&t, make_values(PLEAT_FLOAT, 4, square_dims, square));
    case_input(&t, make_vector(PLEAT_FLOAT, 8, roi));
    case_input(&t, NULL);
    case_input(&t, make_vector(PLEAT_INT64, 4, sizes));
    t.late[1] = late;
    CHECK_VALUES(RUN_OK(&t), 6, interpolate ? linear : nearest);
    case_end(&t);
  }
}
END_TEST

START_TEST(zero_weights_do_not_touch_infinity) {
  double x[] = {1, (double)INFINITY}, three = 3, expected[] = {1, (double)INFINITY, (double)INFINITY};
  op_case t;
  case_begin(&t, "Resize", 13);
  case_string(&t, "mode", "linear");
  case_string(&t, "coordinate_transformation_mode", "align_corners");
  case_input(&t, make_vector(PLEAT_FLOAT, 2, x));
  case_input(&t, NULL);
  case_input(&t, NULL);
  case_input(&t, make_vector(PLEAT_INT64, 1, &three));
  CHECK_VALUES(RUN_OK(&t), 3, expected);
  case_end(&t);
}
END_TEST

START_TEST(unknown_sizes_leave_the_shape_open) {
  double sizes[] = {1, 1, 4, 4};
  op_case t;
  case_begin(&t, "Resize", 13);
  case_input(&t, make_values(PLEAT_FLOAT, 4, square_dims, square));
  case_input(&t, NULL);
  case_input(&t, NULL);
  case_input(&t, make_vector(PLEAT_INT64, 4, sizes));
  t.late[3] = true;
  ck_assert_int_eq(case_infer_inputs(&t), PLEAT_OK);
  ck_assert_int_eq(t.types[0].shape.rank, 4);
  ck_assert(!pleat_shape_is_known(&t.types[0].shape));
  case_end(&t);
}
END_TEST

/* What is wrong: `attribute` = `value`, or the operands. */
static void refuse(const char *attribute, const char *value, int scale_count, double scale, int size_count, double size,
                   pleat_status status) {
  double scales[] = {1, 1, 1, scale, 1}, sizes[] = {1, 1, 2, size, 1};
  op_case t;
  case_begin(&t, "Resize", 18);
  if (attribute != NULL) case_string(&t, attribute, value);
  case_input(&t, make_values(PLEAT_FLOAT, 4, square_dims, square));
  case_input(&t, NULL);
  case_input(&t, make_vector(PLEAT_FLOAT, scale_count, scales));
  case_input(&t, make_vector(PLEAT_INT64, size_count, sizes));
  RUN_FAILS(&t, status, "");
}

START_TEST(bad_resizes_are_refused) {
  refuse("mode", "quintic", 4, 2, 0, 0, PLEAT_MALFORMED_MODEL);
  refuse("nearest_mode", "up", 4, 2, 0, 0, PLEAT_MALFORMED_MODEL);
  refuse("coordinate_transformation_mode", "tf_crop_and_resize", 4, 2, 0, 0, PLEAT_MALFORMED_MODEL); /* no roi */
  refuse(NULL, NULL, 0, 0, 0, 0, PLEAT_MALFORMED_MODEL);                                             /* neither */
  refuse(NULL, NULL, 4, 2, 4, 4, PLEAT_MALFORMED_MODEL);                                             /* both */
  refuse(NULL, NULL, 4, -1, 0, 0, PLEAT_MALFORMED_MODEL);
  refuse(NULL, NULL, 4, (double)NAN, 0, 0, PLEAT_MALFORMED_MODEL);
  refuse(NULL, NULL, 4, 1e30, 0, 0, PLEAT_SHAPE_MISMATCH);
  refuse(NULL, NULL, 3, 1, 0, 0, PLEAT_SHAPE_MISMATCH);
  refuse(NULL, NULL, 0, 0, 5, 4, PLEAT_SHAPE_MISMATCH);
  refuse(NULL, NULL, 0, 0, 4, -4, PLEAT_SHAPE_MISMATCH);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("ops_resize");
  TCase *tests = tcase_create("all");
  tcase_add_test(tests, interpolation_matches_naive);
  tcase_add_test(tests, nearest_matches_naive);
  tcase_add_test(tests, doubling_large_images);
  tcase_add_test(tests, upsample_scales_are_attributes_at_first);
  tcase_add_test(tests, resize_10);
  tcase_add_test(tests, resize_11_has_empty_inputs);
  tcase_add_test(tests, integers_are_truncated_and_saturated);
  tcase_add_test(tests, strings_have_only_neighbours);
  tcase_add_test(tests, region_of_interest_may_come_late);
  tcase_add_test(tests, zero_weights_do_not_touch_infinity);
  tcase_add_test(tests, unknown_sizes_leave_the_shape_open);
  tcase_add_test(tests, bad_resizes_are_refused);
  suite_add_tcase(suite, tests);
  return suite;
}

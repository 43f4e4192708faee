/* Operators that move elements or change shapes, where the ONNX test vectors do not reach: old opset forms, all data
 * types, empty tensors, extreme bounds, bad input; and random shapes against element-by-element definitions. */
#include "op_case.h"

static uint32_t random_state = 12345;
static int random_int(int low, int high) {
  random_state = random_state * 1664525u + 1013904223u;
  return low + (int)((random_state >> 8) % (uint32_t)(high - low + 1));
}

/* A tensor of bytes 0, 1, 2 ... of a type, with random dimensions. */
static pleat_tensor *random_tensor(pleat_dtype dtype, int rank, int low, int high) {
  int64_t dims[PLEAT_MAX_RANK];
  pleat_tensor *tensor = NULL;
  for (int d = 0; d < rank; d++) dims[d] = random_int(low, high);
  ck_assert_int_eq(pleat_tensor_create(dtype, rank, dims, &tensor, NULL), PLEAT_OK);
  for (size_t i = 0; i < tensor->count && dtype == PLEAT_INT32; i++) ((int32_t *)tensor->data)[i] = (int32_t)i + 1;
  return tensor;
}

/* Position `flat` of a shape as one index a dimension. */
static void unflatten(const pleat_tensor *t, size_t flat, int64_t *position) {
  for (int d = t->rank - 1; d >= 0; d--) {
    position[d] = (int64_t)(flat % (size_t)t->dims[d]);
    flat /= (size_t)t->dims[d];
  }
}
static int32_t element_at(const pleat_tensor *t, const int64_t *position) {
  int64_t flat = 0;
  for (int d = 0; d < t->rank; d++) flat = flat * t->dims[d] + position[d];
  return ((const int32_t *)t->data)[flat];
}

/* ---- Concat and Split ---- */

START_TEST(concat_versions) {
  op_case c;
  case_begin(&c, "Concat", 1); /* axis is 1 by default */
  case_input(&c, FLOATS("2,1", 1, 2));
  case_input(&c, FLOATS("2,2", 3, 4, 5, 6));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[2,3]", float, 1, 3, 4, 2, 5, 6);
  case_end(&c);

  case_begin(&c, "Concat", 4);
  case_input(&c, FLOATS("2,1", 1, 2));
  RUN_FAILS(&c, PLEAT_MALFORMED_MODEL, "axis");

  case_begin(&c, "Concat", 11);
  case_int(&c, "axis", -2);
  case_input(&c, make(PLEAT_FLOAT, "0,2", NULL));
  case_input(&c, FLOATS("1,2", 7, 8));
  case_input(&c, make(PLEAT_FLOAT, "0,2", NULL));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[1,2]", float, 7, 8);
  case_end(&c);
}
END_TEST

START_TEST(concat_refuses) {
  op_case c;
  case_begin(&c, "Concat", 13);
  case_int(&c, "axis", 0);
  case_input(&c, FLOATS("1,2", 1, 2));
  case_input(&c, FLOATS("1,3", 1, 2, 3));
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "expected 2 in dimension 1");

  case_begin(&c, "Concat", 13);
  case_int(&c, "axis", 2);
  case_input(&c, FLOATS("1,2", 1, 2));
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "out of range");

  case_begin(&c, "Concat", 13);
  case_input(&c, FLOATS("1", 1));
  case_input(&c, INT64S("1", 1));
  case_int(&c, "axis", 0);
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "expected float");
}
END_TEST

START_TEST(concat_strings) {
  const pleat_string a[] = {STRING_OF("one"), STRING_OF("")}, b[] = {STRING_OF("two")};
  op_case c;
  case_begin(&c, "Concat", 13);
  case_int(&c, "axis", 0);
  case_input(&c, make(PLEAT_STRING, "2", a));
  case_input(&c, make(PLEAT_STRING, "1", b));
  RUN_OK(&c);
  CHECK_TEXT(c.outputs[0], "string[3]");
  const pleat_string *out = c.outputs[0]->data;
  ck_assert(out[0].size == 3 && memcmp(out[0].data, "one", 3) == 0);
  ck_assert(out[1].size == 0);
  ck_assert(out[2].size == 3 && memcmp(out[2].data, "two", 3) == 0);
  case_end(&c);
}
END_TEST

START_TEST(split_versions) {
  op_case c;
  case_begin(&c, "Split", 1); /* sizes as an input */
  case_input(&c, FLOATS("4", 1, 2, 3, 4));
  case_input(&c, INTS(1, 3));
  c.output_count = 2;
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[1]", float, 1);
  CHECK_TENSOR(c.outputs[1], "float[3]", float, 2, 3, 4);
  case_end(&c);

  case_begin(&c, "Split", 2);
  CASE_INTS(&c, "split", 1, 0, 2);
  case_int(&c, "axis", 1);
  case_input(&c, FLOATS("2,3", 1, 2, 3, 4, 5, 6));
  c.output_count = 3;
  c.absent[1] = true;
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[2,1]", float, 1, 4);
  CHECK_TENSOR(c.outputs[2], "float[2,2]", float, 2, 3, 5, 6);
  case_end(&c);

  case_begin(&c, "Split", 18); /* more outputs than chunks of 2 */
  case_int(&c, "num_outputs", 4);
  case_input(&c, FLOATS("5", 1, 2, 3, 4, 5));
  c.output_count = 4;
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[2]", float, 1, 2);
  CHECK_TENSOR(c.outputs[2], "float[1]", float, 5);
  CHECK_TEXT(c.outputs[3], "float[0]");
  case_end(&c);
}
END_TEST

START_TEST(split_refuses) {
  op_case c;
  case_begin(&c, "Split", 13);
  case_input(&c, FLOATS("3", 1, 2, 3));
  c.output_count = 2;
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "equal parts");

  case_begin(&c, "Split", 13);
  case_input(&c, FLOATS("3", 1, 2, 3));
  case_input(&c, INTS(1, 1));
  c.output_count = 2;
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "add up to 2");

  case_begin(&c, "Split", 13);
  case_input(&c, FLOATS("3", 1, 2, 3));
  case_input(&c, INTS(-1, 4));
  c.output_count = 2;
  RUN_FAILS(&c, PLEAT_INVALID_ARGUMENT, "negative");

  case_begin(&c, "Split", 13);
  case_input(&c, FLOATS("3", 1, 2, 3));
  case_input(&c, INTS(INT64_MAX, INT64_MAX));
  c.output_count = 2;
  RUN_FAILS(&c, PLEAT_INVALID_ARGUMENT, "overflow");

  case_begin(&c, "Split", 18);
  case_int(&c, "num_outputs", 3);
  case_input(&c, FLOATS("4", 1, 2, 3, 4));
  c.output_count = 2;
  RUN_FAILS(&c, PLEAT_MALFORMED_MODEL, "num_outputs is 3");
}
END_TEST

/* ---- Slice ---- */

static void slice_1d(int64_t start, int64_t end, int64_t step, size_t count, const float *want) {
  op_case c;
  case_begin(&c, "Slice", 13);
  case_input(&c, FLOATS("5", 0, 1, 2, 3, 4));
  case_input(&c, INTS(start));
  case_input(&c, INTS(end));
  case_input(&c, INTS(0));
  case_input(&c, INTS(step));
  RUN_OK(&c);
  ck_assert_uint_eq(c.outputs[0]->count, count);
  for (size_t i = 0; i < count; i++) ck_assert_float_eq(((const float *)c.outputs[0]->data)[i], want[i]);
  case_end(&c);
}

START_TEST(slice_extremes) {
  static const float up[] = {0, 1, 2, 3, 4}, down[] = {4, 3, 2, 1, 0}, odd[] = {4, 2, 0};
  slice_1d(0, INT64_MAX, 1, 5, up);
  slice_1d(INT64_MIN, INT64_MAX, 1, 5, up);
  slice_1d(-1, INT64_MIN, -1, 5, down);
  slice_1d(INT64_MAX, INT64_MIN, -1, 5, down);
  slice_1d(INT64_MAX, INT64_MIN, -2, 3, odd);
  slice_1d(INT64_MAX, INT64_MIN, INT64_MIN, 1, down);
  slice_1d(INT64_MIN, INT64_MAX, INT64_MAX, 1, up);
  slice_1d(-1, -1, -1, 0, NULL);
  slice_1d(3, 1, 1, 0, NULL);
  slice_1d(INT64_MAX, INT64_MAX, 1, 0, NULL);
  slice_1d(INT64_MIN, INT64_MIN, -1, 1, up); /* the start is clamped to 0, as the specification says */
  slice_1d(2, -6, -1, 3, down + 2);
}
END_TEST

START_TEST(slice_versions) {
  op_case c;
  case_begin(&c, "Slice", 1);
  CASE_INTS(&c, "starts", 1);
  CASE_INTS(&c, "ends", 1000);
  CASE_INTS(&c, "axes", 1);
  case_input(&c, FLOATS("2,3", 1, 2, 3, 4, 5, 6));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[2,2]", float, 2, 3, 5, 6);
  case_end(&c);

  case_begin(&c, "Slice", 10); /* int32 bounds, no axes, no steps */
  case_input(&c, FLOATS("2,3", 1, 2, 3, 4, 5, 6));
  case_input(&c, make(PLEAT_INT32, "1", (const int32_t[]){-1}));
  case_input(&c, make(PLEAT_INT32, "1", (const int32_t[]){INT32_MAX}));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[1,3]", float, 4, 5, 6);
  case_end(&c);

  case_begin(&c, "Slice", 13); /* an empty dimension */
  case_input(&c, make(PLEAT_FLOAT, "0,3", NULL));
  case_input(&c, INTS(-1));
  case_input(&c, INTS(INT64_MIN));
  case_input(&c, INTS(0));
  case_input(&c, INTS(-1));
  RUN_OK(&c);
  CHECK_TEXT(c.outputs[0], "float[0,3]");
  case_end(&c);
}
END_TEST

START_TEST(slice_refuses) {
  op_case c;
  case_begin(&c, "Slice", 13);
  case_input(&c, FLOATS("2", 1, 2));
  case_input(&c, INTS(0));
  case_input(&c, INTS(1));
  case_input(&c, INTS(0));
  case_input(&c, INTS(0));
  RUN_FAILS(&c, PLEAT_INVALID_ARGUMENT, "step is 0");

  case_begin(&c, "Slice", 13);
  case_input(&c, FLOATS("1,2", 1, 2));
  case_input(&c, INTS(0, 0));
  case_input(&c, INTS(1, 1));
  case_input(&c, INTS(1, -1));
  RUN_FAILS(&c, PLEAT_MALFORMED_MODEL, "named twice");

  case_begin(&c, "Slice", 13);
  case_input(&c, FLOATS("2", 1, 2));
  case_input(&c, INTS(0, 0));
  case_input(&c, INTS(1, 1));
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "2 axes are sliced");
}
END_TEST

START_TEST(slice_random) {
  for (int round = 0; round < 200; round++) {
    op_case c;
    int rank = random_int(1, 4);
    int64_t start[4], end[4], step[4];
    case_begin(&c, "Slice", 13);
    case_input(&c, random_tensor(PLEAT_INT32, rank, 1, 6));
    const pleat_tensor *in = c.inputs[0];
    for (int d = 0; d < rank; d++) {
      int64_t n = in->dims[d], first = random_int(0, (int)n - 1), count = random_int(1, 4);
      step[d] = random_int(0, 1) ? random_int(1, 3) : -random_int(1, 3);
      start[d] = random_int(0, 1) ? first : first - n;
      end[d] = first + count * step[d];
      if (end[d] < 0) end[d] = INT64_MIN; /* numpy's "none": below 0 would count from the end */
    }
    case_input(&c, make_ints(start, (size_t)rank));
    case_input(&c, make_ints(end, (size_t)rank));
    case_input(&c, NULL);
    case_input(&c, make_ints(step, (size_t)rank));
    RUN_OK(&c);
    const pleat_tensor *out = c.outputs[0];
    for (int d = 0; d < rank; d++) { /* the dimension is as large as it can be */
      int64_t begin = start[d] < 0 ? start[d] + in->dims[d] : start[d], beyond = begin + out->dims[d] * step[d];
      ck_assert(out->dims[d] >= 1);
      ck_assert(beyond < 0 || beyond >= in->dims[d] || beyond == end[d]);
    }
    for (size_t i = 0; i < out->count; i++) {
      int64_t at[4], from[4];
      unflatten(out, i, at);
      for (int d = 0; d < rank; d++) from[d] = (start[d] < 0 ? start[d] + in->dims[d] : start[d]) + at[d] * step[d];
      ck_assert_int_eq(((const int32_t *)out->data)[i], element_at(in, from));
    }
    case_end(&c);
  }
}
END_TEST

/* ---- Pad ---- */

START_TEST(pad_versions) {
  op_case c;
  case_begin(&c, "Pad", 1);
  CASE_INTS(&c, "paddings", 1, 0);
  case_float(&c, "value", 2.5f);
  case_input(&c, FLOATS("2", 1, 2));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[3]", float, 2.5f, 1, 2);
  case_end(&c);

  case_begin(&c, "Pad", 2); /* the attribute's value in a half type */
  CASE_INTS(&c, "pads", 0, 1);
  case_float(&c, "value", 1.0f);
  case_input(&c, make(PLEAT_FLOAT16, "1", (const uint16_t[]){0x4000}));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float16[2]", uint16_t, 0x4000, 0x3c00);
  case_end(&c);

  case_begin(&c, "Pad", 18); /* axes, a given value, cropping on one side */
  case_input(&c, FLOATS("2,3", 1, 2, 3, 4, 5, 6));
  case_input(&c, INTS(-1, 2));
  case_input(&c, FLOATS("", 9));
  case_input(&c, INTS(-1));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[2,4]", float, 2, 3, 9, 9, 5, 6, 9, 9);
  case_end(&c);

  const pleat_string text[] = {STRING_OF("x")};
  case_begin(&c, "Pad", 13); /* strings are padded with the empty one */
  case_input(&c, make(PLEAT_STRING, "1", text));
  case_input(&c, INTS(1, 0));
  RUN_OK(&c);
  CHECK_TEXT(c.outputs[0], "string[2]");
  ck_assert_uint_eq(((const pleat_string *)c.outputs[0]->data)[0].size, 0);
  ck_assert_uint_eq(((const pleat_string *)c.outputs[0]->data)[1].size, 1);
  case_end(&c);

  case_begin(&c, "Pad", 13); /* nothing but padding */
  case_input(&c, make(PLEAT_FLOAT, "0,1", NULL));
  case_input(&c, INTS(1, 0, 1, 1));
  case_input(&c, FLOATS("1", 3));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[2,2]", float, 3, 3, 3, 3);
  case_end(&c);
}
END_TEST

START_TEST(pad_refuses) {
  op_case c;
  case_begin(&c, "Pad", 13);
  case_input(&c, FLOATS("2", 1, 2));
  case_input(&c, INTS(-1, -2));
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "remove more");

  case_begin(&c, "Pad", 13);
  case_input(&c, FLOATS("2", 1, 2));
  case_input(&c, INTS(INT64_MIN, INT64_MIN));
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "remove more");

  case_begin(&c, "Pad", 13);
  case_input(&c, FLOATS("2", 1, 2));
  case_input(&c, INTS(INT64_MAX, INT64_MAX));
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "overflow");

  case_begin(&c, "Pad", 13);
  case_string(&c, "mode", "edge");
  case_input(&c, make(PLEAT_FLOAT, "0", NULL));
  case_input(&c, INTS(1, 0));
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "empty");

  case_begin(&c, "Pad", 13);
  case_string(&c, "mode", "mirror");
  case_input(&c, FLOATS("1", 1));
  case_input(&c, INTS(1, 0));
  RUN_FAILS(&c, PLEAT_MALFORMED_MODEL, "mirror");

  case_begin(&c, "Pad", 13);
  case_input(&c, FLOATS("1,1", 1));
  case_input(&c, INTS(1, 0));
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "expected 4 values");
}
END_TEST

/* What index `i` shows, walking step by step as the definition of each mode says. */
static int64_t walk_to(const char *mode, int64_t i, int64_t n) {
  if (strcmp(mode, "constant") == 0) return i < 0 || i >= n ? -1 : i;
  if (strcmp(mode, "edge") == 0) return i < 0 ? 0 : i >= n ? n - 1 : i;
  if (strcmp(mode, "wrap") == 0) {
    while (i < 0) i += n;
    while (i >= n) i -= n;
    return i;
  }
  while (n > 1 && (i < 0 || i >= n)) i = i < 0 ? -i : 2 * (n - 1) - i;
  return n > 1 ? i : 0;
}

START_TEST(pad_random) {
  static const char *const modes[] = {"constant", "edge", "reflect", "wrap"};
  for (int round = 0; round < 300; round++) {
    op_case c;
    int rank = random_int(1, 4);
    const char *mode = modes[round % 4];
    int64_t pads[8];
    case_begin(&c, "Pad", 19);
    case_string(&c, "mode", mode);
    case_input(&c, random_tensor(PLEAT_INT32, rank, 3, 4));
    for (int d = 0; d < 2 * rank; d++) pads[d] = random_int(-1, round % 3 ? 2 : 7);
    case_input(&c, make_ints(pads, 2 * (size_t)rank));
    RUN_OK(&c);
    const pleat_tensor *in = c.inputs[0], *out = c.outputs[0];
    for (size_t i = 0; i < out->count; i++) {
      int64_t at[4];
      bool inside = true;
      unflatten(out, i, at);
      for (int d = 0; d < rank; d++) {
        int64_t cut = pads[d] < 0 ? -pads[d] : 0, cut_end = pads[rank + d] < 0 ? -pads[rank + d] : 0;
        int64_t from = walk_to(mode, at[d] - (pads[d] > 0 ? pads[d] : 0), in->dims[d] - cut - cut_end);
        inside = inside && from >= 0;
        at[d] = from + cut;
      }
      ck_assert_int_eq(((const int32_t *)out->data)[i], inside ? element_at(in, at) : 0);
    }
    case_end(&c);
  }
}
END_TEST

/* ---- Transpose, Tile, DepthToSpace ---- */

START_TEST(transpose_all_types) {
  for (int dtype = PLEAT_FLOAT; dtype < PLEAT_DTYPE_COUNT; dtype++) {
    if (dtype == PLEAT_STRING) continue;
    op_case c;
    case_begin(&c, "Transpose", 25);
    CASE_INTS(&c, "perm", 2, 0, 1);
    case_input(&c, make((pleat_dtype)dtype, "2,3,5", NULL));
    pleat_tensor *in = c.inputs[0];
    size_t size = pleat_dtype_size(in->dtype);
    for (size_t i = 0; i < pleat_bytes(in); i++) ((uint8_t *)in->data)[i] = (uint8_t)(i * 7 % 251);
    RUN_OK(&c);
    ck_assert_int_eq(c.outputs[0]->dtype, dtype);
    for (size_t a = 0; a < 2; a++)
      for (size_t b = 0; b < 3; b++)
        for (size_t e = 0; e < 5; e++)
          ck_assert_int_eq(memcmp((char *)c.outputs[0]->data + (e * 6 + a * 3 + b) * size,
                                  (char *)in->data + (a * 15 + b * 5 + e) * size, size),
                           0);
    case_end(&c);
  }
}
END_TEST

START_TEST(transpose_edges) {
  op_case c;
  case_begin(&c, "Transpose", 1);
  case_input(&c, FLOATS("", 4));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[]", float, 4);
  case_end(&c);

  case_begin(&c, "Transpose", 13);
  case_input(&c, make(PLEAT_FLOAT, "3,0,2", NULL));
  RUN_OK(&c);
  CHECK_TEXT(c.outputs[0], "float[2,0,3]");
  case_end(&c);

  case_begin(&c, "Transpose", 13);
  CASE_INTS(&c, "perm", 0, 0);
  case_input(&c, FLOATS("1,2", 1, 2));
  RUN_FAILS(&c, PLEAT_MALFORMED_MODEL, "named twice");

  case_begin(&c, "Transpose", 13);
  CASE_INTS(&c, "perm", 0);
  case_input(&c, FLOATS("1,2", 1, 2));
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "perm has 1");
}
END_TEST

START_TEST(tile_random) {
  for (int round = 0; round < 100; round++) {
    op_case c;
    int rank = random_int(1, 4);
    int64_t repeats[4];
    case_begin(&c, "Tile", 13);
    case_input(&c, random_tensor(PLEAT_INT32, rank, 1, 3));
    for (int d = 0; d < rank; d++) repeats[d] = random_int(round % 10 == 0 ? 0 : 1, 5);
    case_input(&c, make_ints(repeats, (size_t)rank));
    RUN_OK(&c);
    const pleat_tensor *in = c.inputs[0], *out = c.outputs[0];
    for (int d = 0; d < rank; d++) ck_assert_int_eq(out->dims[d], in->dims[d] * repeats[d]);
    for (size_t i = 0; i < out->count; i++) {
      int64_t at[4];
      unflatten(out, i, at);
      for (int d = 0; d < rank; d++) at[d] %= in->dims[d];
      ck_assert_int_eq(((const int32_t *)out->data)[i], element_at(in, at));
    }
    case_end(&c);
  }
}
END_TEST

START_TEST(tile_versions) {
  op_case c;
  case_begin(&c, "Tile", 1);
  case_input(&c, FLOATS("1,2", 1, 2));
  case_input(&c, FLOATS("", 2));
  case_input(&c, FLOATS("", 1));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[1,4]", float, 1, 2, 1, 2);
  case_end(&c);

  case_begin(&c, "Tile", 6);
  case_input(&c, FLOATS("1", 1));
  case_input(&c, INTS(-1));
  RUN_FAILS(&c, PLEAT_INVALID_ARGUMENT, "negative");

  case_begin(&c, "Tile", 6);
  case_input(&c, FLOATS("2", 1, 2));
  case_input(&c, INTS(INT64_MAX));
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "overflow");

  case_begin(&c, "Tile", 6);
  case_input(&c, FLOATS("1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2", 1, 2));
  case_input(&c, INTS(2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[2,1,1,1,1,1,1,1,1,1,1,1,1,1,1,4]", float, 1, 2, 1, 2, 1, 2, 1, 2);
  case_end(&c);
}
END_TEST

START_TEST(depth_and_space) {
  op_case c;
  case_begin(&c, "DepthToSpace", 1); /* no mode yet: DCR */
  case_int(&c, "blocksize", 2);
  case_input(&c, FLOATS("1,8,1,1", 0, 1, 2, 3, 4, 5, 6, 7));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[1,2,2,2]", float, 0, 2, 4, 6, 1, 3, 5, 7);
  case_end(&c);

  case_begin(&c, "DepthToSpace", 13);
  case_int(&c, "blocksize", 2);
  case_string(&c, "mode", "CRD");
  case_input(&c, FLOATS("1,8,1,1", 0, 1, 2, 3, 4, 5, 6, 7));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[1,2,2,2]", float, 0, 1, 2, 3, 4, 5, 6, 7);
  case_end(&c);

  case_begin(&c, "DepthToSpace", 13);
  case_int(&c, "blocksize", 3);
  case_input(&c, FLOATS("1,8,1,1", 0, 1, 2, 3, 4, 5, 6, 7));
  RUN_FAILS(&c, PLEAT_SHAPE_MISMATCH, "multiple of 9");

  case_begin(&c, "SpaceToDepth", 1);
  case_int(&c, "blocksize", 0);
  case_input(&c, FLOATS("1,1,1,1", 0));
  RUN_FAILS(&c, PLEAT_MALFORMED_MODEL, "blocksize");

  case_begin(&c, "SpaceToDepth", 13);
  case_int(&c, "blocksize", 2);
  case_input(&c, FLOATS("1,2,2,2", 0, 2, 4, 6, 1, 3, 5, 7));
  RUN_OK(&c);
  CHECK_TENSOR(c.outputs[0], "float[1,8,1,1]", float, 0, 1, 2, 3, 4, 5, 6, 7);
  case_end(&c);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("ops_movement");
  TCase *tests = tcase_create("movement");
  tcase_add_test(tests, concat_versions);
  tcase_add_test(tests, concat_refuses);
  tcase_add_test(tests, concat_strings);
  tcase_add_test(tests, split_versions);
  tcase_add_test(tests, split_refuses);
  tcase_add_test(tests, slice_extremes);
  tcase_add_test(tests, slice_versions);
  tcase_add_test(tests, slice_refuses);
  tcase_add_test(tests, slice_random);
  tcase_add_test(tests, pad_versions);
  tcase_add_test(tests, pad_refuses);
  tcase_add_test(tests, pad_random);
  tcase_add_test(tests, transpose_all_types);
  tcase_add_test(tests, transpose_edges);
  tcase_add_test(tests, tile_random);
  tcase_add_test(tests, tile_versions);
  tcase_add_test(tests, depth_and_space);
  suite_add_tcase(suite, tests);
  return suite;
}

/* Conversions between data types: ONNX's own vectors, every code of the small formats, rounding and range edges. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/dtype.h"

static const struct vector {
  const char *name;
  pleat_dtype from, to;
  bool no_saturate;
  size_t count;
  const char *input, *output;
} vectors[] = {
#include "unit/test_core_cast_vectors.inc"
};

/* Elements in memory from a file's bytes in hexadecimal. */
static void *elements_of(const char *hex, pleat_dtype dtype, size_t count) {
  unsigned char bytes[512];
  size_t size = strlen(hex) / 2;
  ck_assert_uint_le(size, sizeof bytes);
  for (size_t i = 0; i < size; i++) {
    unsigned byte;
    ck_assert_int_eq(sscanf(hex + 2 * i, "%2x", &byte), 1);
    bytes[i] = (unsigned char)byte;
  }
  size_t packed;
  ck_assert(pleat_dtype_packed_size(dtype, count, &packed));
  ck_assert_uint_eq(packed, size);
  void *elements = calloc(count, pleat_dtype_size(dtype));
  pleat_dtype_unpack(dtype, bytes, elements, count);
  return elements;
}

START_TEST(onnx_cast_vectors) {
  const struct vector *v = &vectors[_i];
  void *input = elements_of(v->input, v->from, v->count), *wanted = elements_of(v->output, v->to, v->count);
  size_t bytes = v->count * pleat_dtype_size(v->to);
  void *found = calloc(1, bytes);
  pleat_convert_options options = {.no_saturate = v->no_saturate, .round_mode = PLEAT_ROUND_UP};
  pleat_convert(v->from, input, v->to, found, v->count, &options);
  ck_assert_msg(memcmp(found, wanted, bytes) == 0, "%s differs", v->name);
  free(input);
  free(wanted);
  free(found);
}
END_TEST

/* Each code's value encodes to that code again, unless it is a NaN, which stays one. */
static void check_round_trip(pleat_dtype dtype, unsigned codes, double largest) {
  double seen = 0;
  for (unsigned code = 0; code < codes; code++) {
    uint16_t wide = (uint16_t)code, back_wide = 0xffff;
    uint8_t narrow = (uint8_t)code, back_narrow = 0xff;
    bool is_wide = pleat_dtype_size(dtype) == 2;
    double value = pleat_load_f64(dtype, is_wide ? (void *)&wide : (void *)&narrow, 0);
    void *back = is_wide ? (void *)&back_wide : (void *)&back_narrow;
    pleat_convert_options options = {.no_saturate = true, .round_mode = PLEAT_ROUND_NEAREST};
    pleat_convert(PLEAT_DOUBLE, &value, dtype, back, 1, &options);
    if (isnan(value)) {
      ck_assert(dtype == PLEAT_FLOAT4E2M1 || isnan(pleat_load_f64(dtype, back, 0)));
      continue;
    }
    unsigned again = is_wide ? back_wide : back_narrow;
    ck_assert_msg(again == code, "%s: code %u is %g and came back as %u", pleat_dtype_name(dtype), code, value, again);
    if (isfinite(value) && value > seen) seen = value;
  }
  ck_assert_double_eq(seen, largest);
}

START_TEST(every_small_code_round_trips) {
  check_round_trip(PLEAT_FLOAT16, 65536, 65504);
  check_round_trip(PLEAT_BFLOAT16, 65536, 0x1.fep127);
  check_round_trip(PLEAT_FLOAT8E4M3FN, 256, 448);
  check_round_trip(PLEAT_FLOAT8E4M3FNUZ, 256, 240);
  check_round_trip(PLEAT_FLOAT8E5M2, 256, 57344);
  check_round_trip(PLEAT_FLOAT8E5M2FNUZ, 256, 57344);
  check_round_trip(PLEAT_FLOAT8E8M0, 256, 0x1p127);
  check_round_trip(PLEAT_FLOAT4E2M1, 16, 6);
}
END_TEST

START_TEST(nan_codes_are_where_they_belong) {
  static const struct {
    pleat_dtype dtype;
    int nans, infinities;
  } formats[] = {{PLEAT_FLOAT8E4M3FN, 2, 0},
                 {PLEAT_FLOAT8E4M3FNUZ, 1, 0},
                 {PLEAT_FLOAT8E5M2, 6, 2},
                 {PLEAT_FLOAT8E5M2FNUZ, 1, 0},
                 {PLEAT_FLOAT8E8M0, 1, 0}};
  for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
    int nans = 0, infinities = 0;
    for (int code = 0; code < 256; code++) {
      double value = pleat_load_f64(formats[f].dtype, &(uint8_t){(uint8_t)code}, 0);
      nans += isnan(value) != 0;
      infinities += isinf(value) != 0;
    }
    ck_assert_int_eq(nans, formats[f].nans);
    ck_assert_int_eq(infinities, formats[f].infinities);
  }
}
END_TEST

/* Independent of the codec: the nearest of all codes, ties to the even one. */
static uint8_t nearest_code(pleat_dtype dtype, double value) {
  int best = -1;
  double best_distance = HUGE_VAL;
  for (int code = 0; code < 256; code++) {
    double candidate = pleat_load_f64(dtype, &(uint8_t){(uint8_t)code}, 0);
    if (!isfinite(candidate) || (signbit(candidate) != 0) != (signbit(value) != 0)) continue;
    double distance = fabs(candidate - value);
    if (distance < best_distance || (distance == best_distance && code % 2 == 0)) {
      best = code;
      best_distance = distance;
    }
  }
  return (uint8_t)best;
}

START_TEST(float8_rounds_to_nearest_even) {
  static const pleat_dtype types[] = {PLEAT_FLOAT8E4M3FN, PLEAT_FLOAT8E4M3FNUZ, PLEAT_FLOAT8E5M2, PLEAT_FLOAT8E5M2FNUZ};
  srand(7);
  for (size_t t = 0; t < 4; t++) {
    for (int i = 0; i < 3000; i++) {
      double value = ldexp((double)(rand() % 4096), rand() % 24 - 20); /* few bits: many ties */
      uint8_t code;
      pleat_store_f64(types[t], &code, 0, value);
      ck_assert_msg(code == nearest_code(types[t], value), "%s of %a is %u", pleat_dtype_name(types[t]), value, code);
    }
  }
}
END_TEST

START_TEST(half_conversions_agree_with_the_codec) {
  srand(11);
  for (int i = 0; i < 300000; i++) {
    uint32_t bits = ((uint32_t)rand() << 16) ^ (uint32_t)rand();
    if (i % 2 == 0) bits = (bits & 0x80003fffu) | 0x38000000u | (bits & 0x07ffc000u); /* around the half's range */
    float value;
    memcpy(&value, &bits, sizeof value);
    uint16_t by_codec;
    pleat_store_f64(PLEAT_FLOAT16, &by_codec, 0, (double)value);
    ck_assert_msg(pleat_f32_to_f16(value) == by_codec, "float16 of %a", (double)value);
    pleat_store_f64(PLEAT_BFLOAT16, &by_codec, 0, (double)value);
    ck_assert_msg(pleat_f32_to_bf16(value) == by_codec, "bfloat16 of %a", (double)value);
  }
  for (unsigned h = 0; h < 65536; h++) {
    float value = pleat_f16_to_f32((uint16_t)h);
    if (!isnan(value)) ck_assert_uint_eq(pleat_f32_to_f16(value), h);
    else ck_assert_uint_eq(pleat_f32_to_f16(value), (h & 0x8000u) | 0x7e00u);
  }
}
END_TEST

START_TEST(half_edges) {
  ck_assert_uint_eq(pleat_f32_to_f16(65519.996f), 0x7bff);
  ck_assert_uint_eq(pleat_f32_to_f16(65520.0f), 0x7c00);
  ck_assert_uint_eq(pleat_f32_to_f16(-HUGE_VALF), 0xfc00);
  ck_assert_uint_eq(pleat_f32_to_f16(0x1p-25f), 0); /* half of the smallest: to even */
  ck_assert_uint_eq(pleat_f32_to_f16(0x1.8p-25f), 1);
  ck_assert_uint_eq(pleat_f32_to_f16(-0.0f), 0x8000);
  ck_assert_uint_eq(pleat_f32_to_f16(0x1p-149f), 0);
  ck_assert_uint_eq(pleat_f32_to_bf16(0x1.fffffep127f), 0x7f80);
  /* Just above a tie: through float it would be the tie, and round down. */
  ck_assert_uint_eq(pleat_f64_to_f16(1 + 0x1p-11 + 0x1p-40), 0x3c01);
  ck_assert_uint_eq(pleat_f64_to_f16(1 + 0x1p-11), 0x3c00);
  uint16_t bf16;
  pleat_store_f64(PLEAT_BFLOAT16, &bf16, 0, 1 + 0x1p-8 + 0x1p-40);
  ck_assert_uint_eq(bf16, 0x3f81);
}
END_TEST

static uint8_t e8m0(double value, bool no_saturate, pleat_round_mode mode) {
  uint8_t code;
  pleat_convert_options options = {no_saturate, mode};
  pleat_convert(PLEAT_DOUBLE, &value, PLEAT_FLOAT8E8M0, &code, 1, &options);
  return code;
}

START_TEST(e8m0_follows_the_table_of_cast) {
  ck_assert_uint_eq(e8m0(1.5, false, PLEAT_ROUND_UP), 128);
  ck_assert_uint_eq(e8m0(1.5, false, PLEAT_ROUND_DOWN), 127);
  ck_assert_uint_eq(e8m0(1.5, false, PLEAT_ROUND_NEAREST), 128);
  ck_assert_uint_eq(e8m0(1.49, false, PLEAT_ROUND_NEAREST), 127);
  ck_assert_uint_eq(e8m0(1.0000001, false, PLEAT_ROUND_UP), 128);
  ck_assert_uint_eq(e8m0(0, false, PLEAT_ROUND_UP), 0);
  ck_assert_uint_eq(e8m0(0, true, PLEAT_ROUND_NEAREST), 255);
  ck_assert_uint_eq(e8m0(0x1p-130, false, PLEAT_ROUND_UP), 0);
  ck_assert_uint_eq(e8m0(0x1p-130, true, PLEAT_ROUND_NEAREST), 255);
  ck_assert_uint_eq(e8m0(0x1p200, false, PLEAT_ROUND_UP), 254);
  ck_assert_uint_eq(e8m0(HUGE_VAL, false, PLEAT_ROUND_UP), 254);
  ck_assert_uint_eq(e8m0(HUGE_VAL, true, PLEAT_ROUND_NEAREST), 255);
  ck_assert_uint_eq(e8m0((double)NAN, false, PLEAT_ROUND_UP), 255);
}
END_TEST

START_TEST(floats_to_integers_truncate_and_saturate) {
  const float in[] = {1.9f, -1.9f, NAN, HUGE_VALF, -HUGE_VALF, 3e9f, -3e9f, 1e19f, 255.5f, -0.5f};
  int32_t i32[10];
  int64_t i64[10];
  uint64_t u64[10];
  uint8_t u8[10], flag[10];
  int8_t i8[10];
  pleat_convert(PLEAT_FLOAT, in, PLEAT_INT32, i32, 10, NULL);
  pleat_convert(PLEAT_FLOAT, in, PLEAT_INT64, i64, 10, NULL);
  pleat_convert(PLEAT_FLOAT, in, PLEAT_UINT64, u64, 10, NULL);
  pleat_convert(PLEAT_FLOAT, in, PLEAT_UINT8, u8, 10, NULL);
  pleat_convert(PLEAT_FLOAT, in, PLEAT_INT8, i8, 10, NULL);
  pleat_convert(PLEAT_FLOAT, in, PLEAT_BOOL, flag, 10, NULL);
  const int32_t i32_wanted[] = {1, -1, 0, INT32_MAX, INT32_MIN, INT32_MAX, INT32_MIN, INT32_MAX, 255, 0};
  const int64_t i64_wanted[] = {1, -1, 0, INT64_MAX, INT64_MIN, 3000000000, -3000000000, INT64_MAX, 255, 0};
  const uint64_t u64_wanted[] = {1, 0, 0, UINT64_MAX, 0, 3000000000, 0, UINT64_C(9999999980506447872), 255, 0};
  const uint8_t u8_wanted[] = {1, 0, 0, 255, 0, 255, 0, 255, 255, 0};
  const int8_t i8_wanted[] = {1, -1, 0, 127, -128, 127, -128, 127, 127, 0};
  ck_assert_mem_eq(i32, i32_wanted, sizeof i32);
  ck_assert_mem_eq(i64, i64_wanted, sizeof i64);
  ck_assert_mem_eq(u64, u64_wanted, sizeof u64);
  ck_assert_mem_eq(u8, u8_wanted, sizeof u8);
  ck_assert_mem_eq(i8, i8_wanted, sizeof i8);
  for (int i = 0; i < 10; i++) ck_assert_uint_eq(flag[i], 1);
}
END_TEST

START_TEST(integers_wrap_and_lose_no_bits) {
  const int64_t in[] = {INT64_MIN, -1, 0, 1, INT64_MAX, 300, INT64_C(0x123456789abcdef1)};
  uint64_t u64[7];
  int64_t back[7];
  uint8_t u8[7], flag[7];
  pleat_convert(PLEAT_INT64, in, PLEAT_UINT64, u64, 7, NULL);
  pleat_convert(PLEAT_UINT64, u64, PLEAT_INT64, back, 7, NULL);
  ck_assert_mem_eq(back, in, sizeof in);
  ck_assert_uint_eq(u64[0], UINT64_C(1) << 63);
  pleat_convert(PLEAT_INT64, in, PLEAT_UINT8, u8, 7, NULL);
  pleat_convert(PLEAT_INT64, in, PLEAT_BOOL, flag, 7, NULL);
  const uint8_t u8_wanted[] = {0, 255, 0, 1, 255, 44, 0xf1}, flag_wanted[] = {1, 1, 0, 1, 1, 1, 1};
  ck_assert_mem_eq(u8, u8_wanted, 7);
  ck_assert_mem_eq(flag, flag_wanted, 7);
  ck_assert_int_eq(pleat_load_i64(PLEAT_INT64, in, 6), in[6]);
  ck_assert_int_eq(pleat_load_i64(PLEAT_DOUBLE, &(double){-2.9}, 0), -2);
}
END_TEST

START_TEST(wide_integers_round_once) {
  /* 2^60 + 2^36 is a tie between two floats; one more unit, which a double cannot hold, decides it. */
  const int64_t in[] = {(INT64_C(1) << 60) + (INT64_C(1) << 36) + 1, (INT64_C(1) << 60) + (INT64_C(1) << 36),
                        -(INT64_C(1) << 60) - (INT64_C(1) << 36) - 1};
  float direct[3];
  pleat_convert(PLEAT_INT64, in, PLEAT_FLOAT, direct, 3, NULL);
  ck_assert_float_eq(direct[0], 0x1.000002p60f);
  ck_assert_float_eq(direct[1], 0x1p60f);
  ck_assert_float_eq(direct[2], -0x1.000002p60f);
  const uint64_t unsigned_in[] = {(uint64_t)in[0], (UINT64_C(1) << 63) + (UINT64_C(1) << 39) + 1, UINT64_MAX};
  pleat_convert(PLEAT_UINT64, unsigned_in, PLEAT_FLOAT, direct, 3, NULL);
  ck_assert_float_eq(direct[0], 0x1.000002p60f);
  ck_assert_float_eq(direct[1], 0x1.000002p63f);
  ck_assert_float_eq(direct[2], 0x1p64f);
  const int64_t for_bf16 = (INT64_C(1) << 60) + (INT64_C(1) << 52) + 1;
  uint16_t bf16;
  pleat_convert(PLEAT_INT64, &for_bf16, PLEAT_BFLOAT16, &bf16, 1, NULL);
  ck_assert_uint_eq(bf16, 0x5d81);
}
END_TEST

START_TEST(complex_numbers) {
  const float in[] = {1.5f, -2, 3, 4};
  double wide[4], real[2];
  pleat_convert(PLEAT_COMPLEX64, in, PLEAT_COMPLEX128, wide, 2, NULL);
  for (int i = 0; i < 4; i++) ck_assert_double_eq(wide[i], (double)in[i]);
  pleat_convert(PLEAT_COMPLEX64, in, PLEAT_DOUBLE, real, 2, NULL);
  ck_assert(real[0] == 1.5 && real[1] == 3);
  float back[4] = {9, 9, 9, 9};
  pleat_convert(PLEAT_DOUBLE, real, PLEAT_COMPLEX64, back, 2, NULL);
  ck_assert(back[0] == 1.5f && back[1] == 0 && back[2] == 3 && back[3] == 0);
}
END_TEST

/* Small non-negative integers exist in most types: there and back again through every pair, over several blocks. */
START_TEST(every_pair_of_types_keeps_small_numbers) {
  enum { COUNT = 1500 };
  static _Alignas(16) unsigned char from[COUNT * 16], to[COUNT * 16];
  for (int a = 1; a < PLEAT_DTYPE_COUNT; a++) {
    for (int b = 1; b < PLEAT_DTYPE_COUNT; b++) {
      if (a == PLEAT_STRING || b == PLEAT_STRING) continue;
      bool powers_only = a == PLEAT_FLOAT8E8M0 || b == PLEAT_FLOAT8E8M0;
      for (size_t i = 0; i < COUNT; i++) pleat_store_f64((pleat_dtype)a, from, i, powers_only ? 1 : (double)(i % 2));
      pleat_convert((pleat_dtype)a, from, (pleat_dtype)b, to, COUNT, NULL);
      for (size_t i = 0; i < COUNT; i++) {
        double wanted = powers_only ? 1 : (double)(i % 2), found = pleat_load_f64((pleat_dtype)b, to, i);
        ck_assert_msg(found == wanted, "%s to %s: element %zu is %g", pleat_dtype_name((pleat_dtype)a),
                      pleat_dtype_name((pleat_dtype)b), i, found);
      }
    }
  }
}
END_TEST

/* Loops made for a pair give what the way through a double gives, for any bits. */
START_TEST(arrays_convert_like_single_elements) {
  enum { COUNT = 700 };
  static const pleat_dtype sources[] = {PLEAT_FLOAT, PLEAT_DOUBLE, PLEAT_FLOAT16, PLEAT_BFLOAT16,
                                        PLEAT_UINT8, PLEAT_INT8,   PLEAT_INT16,   PLEAT_INT32};
  static const pleat_dtype targets[] = {PLEAT_FLOAT, PLEAT_DOUBLE, PLEAT_FLOAT16, PLEAT_BFLOAT16, PLEAT_FLOAT8E5M2};
  static const pleat_dtype int_targets[] = {PLEAT_UINT8, PLEAT_INT32, PLEAT_INT64, PLEAT_UINT32, PLEAT_BOOL};
  static _Alignas(16) unsigned char from[COUNT * 8], found[COUNT * 8], wanted[COUNT * 8];
  srand(13);
  for (size_t i = 0; i < sizeof from; i++) from[i] = (unsigned char)rand();
  for (size_t s = 0; s < sizeof sources / sizeof *sources; s++) {
    for (size_t t = 0; t < 10; t++) {
      pleat_dtype to = t < 5 ? targets[t] : int_targets[t - 5];
      if (to == sources[s] || (t >= 5 && pleat_dtype_is_int(sources[s]))) continue;
      pleat_convert(sources[s], from, to, found, COUNT, NULL);
      for (size_t i = 0; i < COUNT; i++) {
        pleat_store_f64(to, wanted, i, pleat_load_f64(sources[s], from, i));
        double a = pleat_load_f64(to, found, i), b = pleat_load_f64(to, wanted, i);
        ck_assert_msg((isnan(a) && isnan(b)) || (a == b && signbit(a) == signbit(b)), "%s to %s: %a, not %a",
                      pleat_dtype_name(sources[s]), pleat_dtype_name(to), a, b);
      }
    }
  }
}
END_TEST

START_TEST(conversion_in_place) {
  enum { COUNT = 1100 };
  union {
    float f[COUNT];
    int32_t i[COUNT];
    double d[COUNT];
    int64_t l[COUNT];
  } data;
  for (int i = 0; i < COUNT; i++) data.f[i] = (float)i + 0.5f;
  pleat_convert(PLEAT_FLOAT, data.f, PLEAT_INT32, data.i, COUNT, NULL);
  for (int i = 0; i < COUNT; i++) ck_assert_int_eq(data.i[i], i);
  pleat_convert(PLEAT_INT32, data.i, PLEAT_FLOAT, data.f, COUNT, NULL);
  for (int i = 0; i < COUNT; i++) ck_assert_float_eq(data.f[i], (float)i);
  for (int i = 0; i < COUNT; i++) data.l[i] = -i;
  pleat_convert(PLEAT_INT64, data.l, PLEAT_DOUBLE, data.d, COUNT, NULL);
  for (int i = 0; i < COUNT; i++) ck_assert_double_eq(data.d[i], -i);
  pleat_convert(PLEAT_DOUBLE, data.d, PLEAT_DOUBLE, data.d, COUNT, NULL);
  ck_assert_double_eq(data.d[7], -7);
}
END_TEST

Suite *make_suite(void) {
  Suite *suite = suite_create("core_convert");
  TCase *tests = tcase_create("convert");
  tcase_add_loop_test(tests, onnx_cast_vectors, 0, (int)(sizeof vectors / sizeof *vectors));
  tcase_add_test(tests, every_small_code_round_trips);
  tcase_add_test(tests, nan_codes_are_where_they_belong);
  tcase_add_test(tests, float8_rounds_to_nearest_even);
  tcase_add_test(tests, half_conversions_agree_with_the_codec);
  tcase_add_test(tests, half_edges);
  tcase_add_test(tests, e8m0_follows_the_table_of_cast);
  tcase_add_test(tests, floats_to_integers_truncate_and_saturate);
  tcase_add_test(tests, integers_wrap_and_lose_no_bits);
  tcase_add_test(tests, wide_integers_round_once);
  tcase_add_test(tests, complex_numbers);
  tcase_add_test(tests, every_pair_of_types_keeps_small_numbers);
  tcase_add_test(tests, arrays_convert_like_single_elements);
  tcase_add_test(tests, conversion_in_place);
  suite_add_tcase(suite, tests);
  return suite;
}

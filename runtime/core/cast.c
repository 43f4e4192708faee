/* Casts of whole tensors, and the conversions between strings and numbers.
 *
 * Rules: ONNX's Cast. Text to number: plain and scientific decimals, "INF", "+INF", "-INF", "NaN" and "true"/"false" in
 * any case. Number to text: as NumPy's str(), the reference of ONNX's tests - the fewest digits that read back as the
 * same value of the source's type, scientific outside of [1e-4, 1e16). All of it in the C locale, whatever the
 * program's is. */
#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/error.h"
#include "core/tensor.h"

enum { MAX_NUMBER_TEXT = 1100, MAX_DIGITS = 17 }; /* the longest exact double has 1077 characters */

/* ---- number to text ---- */

/* Whether a decimal reads back as `value` in the given type. */
static bool reads_back(pleat_dtype dtype, const char *text, double value) {
  if (dtype == PLEAT_FLOAT) return (double)strtof(text, NULL) == value;
  _Alignas(16) unsigned char element[16];
  pleat_store_f64(dtype, element, 0, strtod(text, NULL));
  return pleat_load_f64(dtype, element, 0) == value;
}

/* Lays out the number digits[0].digits[1..] x 10^exponent as NumPy does: with `plain` in full, else in scientific form.
 */
static int layout_decimal(const char *digits, int count, int exponent, bool negative, bool plain, char *text,
                          size_t size) {
  static const char zeros[] = "00000000000000000000";
  const char *sign = negative ? "-" : "";
  if (!plain) {
    return snprintf(text, size, "%s%c%s%.*se%c%02d", sign, digits[0], count > 1 ? "." : "", count - 1, digits + 1,
                    exponent < 0 ? '-' : '+', abs(exponent));
  }
  if (exponent < 0) return snprintf(text, size, "%s0.%.*s%.*s", sign, -exponent - 1, zeros, count, digits);
  if (count <= exponent + 1) {
    return snprintf(text, size, "%s%.*s%.*s.0", sign, count, digits, exponent + 1 - count, zeros);
  }
  return snprintf(text, size, "%s%.*s.%.*s", sign, exponent + 1, digits, count - exponent - 1, digits + exponent + 1);
}

static int format_float(pleat_dtype dtype, double value, char *text, size_t size) {
  if (isnan(value)) return snprintf(text, size, "nan");
  if (isinf(value)) return snprintf(text, size, "%s", value < 0 ? "-inf" : "inf");
  char scientific[64], digits[MAX_DIGITS + 1];
  for (int precision = 0; precision < MAX_DIGITS; precision++) {
    snprintf(scientific, sizeof scientific, "%.*e", precision, fabs(value));
    if (precision == MAX_DIGITS - 1 || reads_back(dtype, scientific, fabs(value))) break;
  }
  int count = 0;
  const char *at = scientific;
  for (; *at != 'e' && *at != '\0'; at++) {
    if (*at != '.') digits[count++] = *at;
  }
  int exponent = *at == 'e' ? (int)strtol(at + 1, NULL, 10) : 0;
  bool plain = value == 0 || (fabs(value) >= 1e-4 && fabs(value) < 1e16);
  return layout_decimal(digits, count, exponent, signbit(value) != 0, plain, text, size);
}

static int format_element(const pleat_tensor *src, size_t index, char *text, size_t size) {
  pleat_dtype dtype = src->dtype;
  if (dtype == PLEAT_BOOL) return snprintf(text, size, "%s", ((const uint8_t *)src->data)[index] ? "True" : "False");
  if (dtype == PLEAT_UINT64) return snprintf(text, size, "%" PRIu64, ((const uint64_t *)src->data)[index]);
  if (pleat_dtype_is_int(dtype)) return snprintf(text, size, "%" PRId64, pleat_load_i64(dtype, src->data, index));
  return format_float(dtype, pleat_load_f64(dtype, src->data, index), text, size);
}

static pleat_status numbers_to_strings(const pleat_tensor *src, pleat_tensor *dst, pleat_arena *arena,
                                       pleat_error *error) {
  pleat_string *out = dst->data;
  char text[64];
  for (size_t i = 0; i < src->count; i++) {
    int length = format_element(src, i, text, sizeof text);
    char *copy = pleat_arena_strndup(arena, text, (size_t)length);
    if (copy == NULL) return PLEAT_OOM(error);
    out[i] = (pleat_string){.data = copy, .size = (size_t)length};
  }
  return PLEAT_OK;
}

/* ---- text to number ---- */

/* "inf", "nan", "true" or "false" in any case, with a sign for the first. */
static bool parse_word(const char *text, double *out_value) {
  const char *word = text + (*text == '+' || *text == '-');
  bool is_signed = word != text;
  if (strcasecmp(word, "inf") == 0) *out_value = *text == '-' ? -HUGE_VAL : HUGE_VAL;
  else if (strcasecmp(word, "nan") == 0) *out_value = (double)NAN;
  else if (!is_signed && strcasecmp(word, "true") == 0) *out_value = 1;
  else if (!is_signed && strcasecmp(word, "false") == 0) *out_value = 0;
  else return false;
  return true;
}

/* Integers are read as such, so that 64 bits lose nothing. False when the text is no plain integer that fits. */
static bool parse_integer(const char *text, pleat_dtype dst_type, void *out, size_t index) {
  char *end;
  errno = 0;
  if (text[0] != '-') {
    unsigned long long value = strtoull(text, &end, 10);
    if (*end != '\0' || errno != 0) return false;
    pleat_convert(PLEAT_UINT64, &(uint64_t){value}, dst_type, (char *)out + index * pleat_dtype_size(dst_type), 1,
                  NULL);
    return true;
  }
  long long value = strtoll(text, &end, 10);
  if (*end != '\0' || errno != 0) return false;
  pleat_convert(PLEAT_INT64, &(int64_t){value}, dst_type, (char *)out + index * pleat_dtype_size(dst_type), 1, NULL);
  return true;
}

static bool parse_element(const pleat_string *string, pleat_tensor *dst, size_t index,
                          const pleat_convert_options *options) {
  char text[MAX_NUMBER_TEXT + 1];
  if (string->size == 0 || string->size > MAX_NUMBER_TEXT) return false;
  memcpy(text, string->data, string->size);
  text[string->size] = '\0';
  void *element = (char *)dst->data + index * pleat_dtype_size(dst->dtype);
  double value;
  if (!parse_word(text, &value)) {
    /* Decimals only: strtod would take hexadecimal, blanks and more words. */
    if (strspn(text, "0123456789+-.eE") != string->size) return false;
    if (pleat_dtype_is_int(dst->dtype) && parse_integer(text, dst->dtype, dst->data, index)) return true;
    char *end;
    /* Straight to float, not through double, which would round twice. */
    value = dst->dtype == PLEAT_FLOAT ? (double)strtof(text, &end) : strtod(text, &end);
    if (end == text || *end != '\0') return false;
  }
  pleat_convert(PLEAT_DOUBLE, &value, dst->dtype, element, 1, options);
  return true;
}

static pleat_status strings_to_numbers(const pleat_tensor *src, pleat_tensor *dst, const pleat_convert_options *options,
                                       pleat_error *error) {
  const pleat_string *strings = src->data;
  for (size_t i = 0; i < src->count; i++) {
    if (parse_element(&strings[i], dst, i, options)) continue;
    int shown = strings[i].size > 60 ? 60 : (int)strings[i].size;
    return pleat_fail(error, PLEAT_INVALID_ARGUMENT,
                      "cannot cast element %zu to %s: expected a decimal number, INF or NaN, found \"%.*s\"", i,
                      pleat_dtype_name(dst->dtype), shown, shown > 0 ? strings[i].data : "");
  }
  return PLEAT_OK;
}

/* ---- tensors ---- */

static bool is_complex(pleat_dtype dtype) {
  return dtype == PLEAT_COMPLEX64 || dtype == PLEAT_COMPLEX128;
}

pleat_status pleat_cast_elements(const pleat_tensor *src, pleat_tensor *dst, const pleat_convert_options *options,
                                 pleat_arena *arena, pleat_error *error) {
  if (src->count == 0) return PLEAT_OK;
  bool from_string = src->dtype == PLEAT_STRING, to_string = dst->dtype == PLEAT_STRING;
  if (from_string == to_string) {
    if (from_string) memcpy(dst->data, src->data, pleat_bytes(src));
    else pleat_convert(src->dtype, src->data, dst->dtype, dst->data, src->count, options);
    return PLEAT_OK;
  }
  if (is_complex(src->dtype) || is_complex(dst->dtype)) {
    return pleat_fail(error, PLEAT_UNSUPPORTED, "cannot cast %s to %s: complex numbers have no text form in ONNX",
                      pleat_dtype_name(src->dtype), pleat_dtype_name(dst->dtype));
  }
  locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  if (c_locale == (locale_t)0) return PLEAT_OOM(error);
  locale_t callers = uselocale(c_locale); /* of this thread only */
  pleat_status status =
      from_string ? strings_to_numbers(src, dst, options, error) : numbers_to_strings(src, dst, arena, error);
  uselocale(callers);
  freelocale(c_locale);
  return status;
}

pleat_status pleat_tensor_cast(const pleat_tensor *tensor, pleat_dtype dtype, pleat_tensor **out_tensor,
                               pleat_error *error) {
  *out_tensor = NULL;
  if (tensor->kind != PLEAT_KIND_TENSOR) {
    char text[64];
    return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "expected a tensor to cast, found %s",
                      pleat_tensor_text(tensor, text, sizeof text));
  }
  if (tensor->dtype == dtype) return pleat_tensor_clone(tensor, out_tensor, error);
  pleat_tensor *made = NULL, *strings = NULL;
  pleat_arena *arena = NULL;
  pleat_status status;
  PLEAT_CHECK(pleat_tensor_create(dtype, tensor->rank, tensor->dims, &made, error));
  if (dtype == PLEAT_STRING) {
    arena = pleat_arena_create();
    if (arena == NULL) PLEAT_CHECK(PLEAT_OOM(error));
  }
  PLEAT_CHECK(pleat_cast_elements(tensor, made, NULL, arena, error));
  if (dtype == PLEAT_STRING) { /* the bytes are the arena's: move them into the tensor's own memory */
    PLEAT_CHECK(pleat_tensor_create_strings(tensor->rank, tensor->dims, made->data, &strings, error));
    pleat_tensor_release(made);
    made = strings;
  }
  *out_tensor = made;
  made = NULL;
fail:
  pleat_tensor_release(made);
  pleat_arena_destroy(arena);
  return status;
}

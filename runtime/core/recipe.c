/* Reading recipes in blocks, and judging whether their numbers hold in their type. See recipe.h.
 *
 * The same element comes out with the same bits however the reading is cut into pieces: it depends on nothing but the
 * stored element and its factors, multiplied in the order in which they were found. */
#include "core/recipe.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

enum {
  BLOCK = 512,           /* elements that are widened to double at a time */
  MAXIMA = 16,           /* that are looked for at the same time */
  VECTOR_ALIGNMENT = 16, /* what kernels may rely on */
};

pleat_recipe pleat_recipe_of(const pleat_tensor *tensor, const void *origin, pleat_tensor *owner) {
  pleat_recipe recipe = {.tensor = *tensor, .stored = tensor->dtype, .origin = origin, .owner = owner, .magnitude = -1};
  recipe.tensor.refs = 0;
  return recipe;
}

pleat_recipe pleat_recipe_widen(const pleat_recipe *recipe, pleat_dtype dtype) {
  pleat_recipe wide = *recipe;
  assert(recipe->factors == NULL); /* what they give would have been rounded to the narrower type */
  wide.tensor.dtype = dtype;
  return wide;
}

/* ---- factors ---- */

static bool same_axis(const pleat_factors *a, const pleat_factors *b) {
  return a->channels == b->channels && a->inner == b->inner && a->outer == b->outer && a->value_count == b->value_count;
}

static pleat_factors *copy_factors(pleat_arena *arena, const pleat_factors *factors) {
  pleat_factors *copy = pleat_arena_alloc(arena, sizeof *copy);
  if (copy == NULL) return NULL;
  *copy = *factors;
  copy->next = NULL;
  copy->values = pleat_arena_array(arena, factors->value_count, sizeof *copy->values);
  if (copy->values == NULL) return NULL;
  memcpy(copy->values, factors->values, factors->value_count * sizeof *copy->values);
  return copy;
}

bool pleat_recipe_copy(pleat_arena *arena, const pleat_recipe *recipe, pleat_recipe *out_recipe) {
  pleat_recipe made = *recipe;
  const pleat_factors **end = &made.factors;
  for (const pleat_factors *f = recipe->factors; f != NULL; f = f->next) {
    pleat_factors *copy = copy_factors(arena, f);
    if (copy == NULL) return false;
    *end = copy;
    end = &copy->next;
  }
  *out_recipe = made;
  return true;
}

bool pleat_recipe_scale(pleat_arena *arena, const pleat_recipe *recipe, const pleat_factors *factors,
                        pleat_recipe *out_recipe) {
  pleat_recipe made;
  if (!pleat_recipe_copy(arena, recipe, &made)) return false;
  for (const pleat_factors *f = made.factors; f != NULL; f = f->next) {
    if (!same_axis(f, factors)) continue;
    for (size_t i = 0; i < f->value_count; i++) f->values[i] *= factors->values[i];
    *out_recipe = made;
    return true;
  }
  pleat_factors *copy = copy_factors(arena, factors);
  if (copy == NULL) return false;
  copy->next = made.factors;
  made.factors = copy;
  *out_recipe = made;
  return true;
}

/* A walk over the factors of consecutive elements, in runs: of one factor, or, where channels are next to each other,
 * of one factor an element. */
typedef struct walk {
  const pleat_factors *f;
  const double *group; /* its channels' factors */
  size_t at, channel;  /* of the run's first element */
  size_t run;          /* elements in it */
} walk;

static walk start_walk(const pleat_factors *f, size_t first) {
  walk w = {.f = f, .at = first, .channel = first / f->inner % f->channels};
  w.group = f->values + first / f->outer * f->channels;
  w.run = f->inner == 1 ? f->channels - w.channel : f->inner - first % f->inner;
  return w;
}

static void next_run(walk *w) {
  const pleat_factors *f = w->f;
  w->at += w->run;
  w->channel = f->inner == 1 || w->channel + 1 == f->channels ? 0 : w->channel + 1;
  if (w->channel == 0) w->group = f->values + w->at / f->outer * f->channels;
  w->run = f->inner == 1 ? f->channels : f->inner;
}

/* Multiplies values[i] by the factor of element first + i. */
static void multiply(const pleat_factors *f, size_t first, size_t count, double *values) {
  walk w = start_walk(f, first);
  for (size_t i = 0; i < count; next_run(&w)) {
    const size_t end = w.run < count - i ? i + w.run : count;
    const double *factor = w.group + w.channel;
    if (f->inner == 1) {
      for (; i < end; i++) values[i] *= *factor++;
    } else {
      for (; i < end; i++) values[i] *= *factor;
    }
  }
}

static void multiply_all(const pleat_factors *f, size_t first, size_t count, double *values) {
  if (f->next != NULL) multiply_all(f->next, first, count, values);
  multiply(f, first, count, values);
}

/* ---- reading ---- */

/* Floats at any alignment. */
static float load_float(const unsigned char *src, size_t index) {
  float value;
  memcpy(&value, src + index * sizeof value, sizeof value);
  return value;
}

static void store_float(unsigned char *out, size_t index, float value) {
  memcpy(out + index * sizeof value, &value, sizeof value);
}

/* The case that matters: floats with one list of factors. */
static void read_floats(const pleat_recipe *recipe, size_t first, size_t count, unsigned char *out) {
  const pleat_factors *f = recipe->factors;
  const unsigned char *src = (const unsigned char *)recipe->tensor.data + first * sizeof(float);
  walk w = start_walk(f, first);
  for (size_t i = 0; i < count; next_run(&w)) {
    const size_t end = w.run < count - i ? i + w.run : count;
    const double *factor = w.group + w.channel;
    if (f->inner == 1) {
      for (; i < end; i++) store_float(out, i, (float)((double)load_float(src, i) * *factor++));
    } else {
      const double by = *factor;
      for (; i < end; i++) store_float(out, i, (float)((double)load_float(src, i) * by));
    }
  }
}

/* At most BLOCK elements in the recipe's own type; `out` is aligned for it. */
static void read_block(const pleat_recipe *recipe, size_t first, size_t count, void *out) {
  const pleat_dtype dtype = recipe->tensor.dtype;
  const size_t size = pleat_dtype_size(recipe->stored);
  double values[BLOCK], elements[2 * BLOCK]; /* aligned for any type, with room for it */
  memcpy(elements, (const char *)recipe->tensor.data + first * size, count * size);
  if (recipe->factors == NULL) {
    pleat_convert(recipe->stored, elements, dtype, out, count, NULL);
    return;
  }
  pleat_convert(recipe->stored, elements, PLEAT_DOUBLE, values, count, NULL);
  multiply_all(recipe->factors, first, count, values);
  pleat_convert(PLEAT_DOUBLE, values, dtype, out, count, NULL);
}

void pleat_recipe_read(const pleat_recipe *recipe, pleat_dtype dtype, size_t first, size_t count, void *out) {
  const pleat_dtype own = recipe->tensor.dtype;
  const pleat_factors *f = recipe->factors;
  double block[2 * BLOCK], other[2 * BLOCK]; /* room for any type of a real number */
  if (count == 0) return;
  if (recipe->stored == dtype && own == dtype && f == NULL) {
    const size_t size = pleat_dtype_size(own);
    memcpy(out, (const char *)recipe->tensor.data + first * size, count * size);
    return;
  }
  if (recipe->stored == dtype && own == dtype && own == PLEAT_FLOAT && f->next == NULL) {
    read_floats(recipe, first, count, out);
    return;
  }
  const size_t size = pleat_dtype_size(dtype);
  for (size_t at = 0; at < count; at += BLOCK) {
    const size_t n = count - at < BLOCK ? count - at : BLOCK;
    read_block(recipe, first + at, n, block);
    if (own != dtype) pleat_convert(own, block, dtype, other, n, NULL);
    memcpy((char *)out + at * size, own != dtype ? other : block, n * size);
  }
}

const void *pleat_recipe_in_place(const pleat_recipe *recipe) {
  const void *data = recipe->tensor.data;
  const bool as_stored = recipe->factors == NULL && recipe->stored == recipe->tensor.dtype;
  return as_stored && (uintptr_t)data % VECTOR_ALIGNMENT == 0 ? data : NULL;
}

/* ---- finite or not ---- */

/* Floats without their sign are ordered as their bits are, as signed numbers too: what any vector unit compares. */
static int32_t larger_magnitude(const unsigned char *src, size_t index, int32_t largest) {
  int32_t bits; /* at any alignment */
  memcpy(&bits, src + index * sizeof bits, sizeof bits);
  bits &= 0x7fffffff;
  return bits > largest ? bits : largest;
}

/* Several maxima, which do not wait for each other. */
static double find_magnitude_of_floats(const unsigned char *src, size_t count) {
  int32_t largest[MAXIMA] = {0};
  float value;
  size_t i = 0;
  for (; i + MAXIMA <= count; i += MAXIMA) {
    for (size_t j = 0; j < MAXIMA; j++) largest[j] = larger_magnitude(src, i + j, largest[j]);
  }
  for (; i < count; i++) largest[0] = larger_magnitude(src, i, largest[0]);
  for (size_t j = 1; j < MAXIMA; j++) largest[0] = largest[j] > largest[0] ? largest[j] : largest[0];
  memcpy(&value, largest, sizeof value);
  return isfinite(value) ? (double)value : INFINITY;
}

/* The largest magnitude of the stored elements; not finite where one of them is not. */
static double find_magnitude(const pleat_recipe *recipe) {
  pleat_recipe stored = *recipe;
  double block[BLOCK], largest = 0, sum = 0; /* sum of 0 * x: NaN where an x is not finite */
  stored.factors = NULL;
  stored.tensor.dtype = stored.stored;
  if (stored.tensor.dtype == PLEAT_FLOAT) return find_magnitude_of_floats(stored.tensor.data, stored.tensor.count);
  for (size_t at = 0; at < recipe->tensor.count; at += BLOCK) {
    const size_t n = recipe->tensor.count - at < BLOCK ? recipe->tensor.count - at : BLOCK;
    pleat_recipe_read(&stored, PLEAT_DOUBLE, at, n, block);
    for (size_t i = 0; i < n; i++) {
      const double size = fabs(block[i]);
      largest = size > largest ? size : largest;
      sum += 0 * block[i];
    }
  }
  return sum == 0 ? largest : INFINITY;
}

static double largest_of(pleat_dtype dtype) {
  switch (dtype) {
  case PLEAT_FLOAT:
    return FLT_MAX;
  case PLEAT_DOUBLE:
    return DBL_MAX;
  case PLEAT_FLOAT16:
    return 65504;
  case PLEAT_BFLOAT16:
    return 0x1.fep127;
  default:
    return 0; /* looked at element by element */
  }
}

static bool is_finite_by_element(const pleat_recipe *recipe) {
  double block[BLOCK], sum = 0;
  for (size_t at = 0; at < recipe->tensor.count; at += BLOCK) {
    const size_t n = recipe->tensor.count - at < BLOCK ? recipe->tensor.count - at : BLOCK;
    pleat_recipe_read(recipe, PLEAT_DOUBLE, at, n, block);
    for (size_t i = 0; i < n; i++) sum += 0 * block[i];
    if (sum != 0) return false; /* NaN differs from everything */
  }
  return true;
}

bool pleat_recipe_is_finite(pleat_recipe *recipe) {
  if (recipe->magnitude < 0) recipe->magnitude = find_magnitude(recipe);
  double bound = recipe->magnitude;
  for (const pleat_factors *f = recipe->factors; f != NULL; f = f->next) {
    double largest = 0, sum = 0; /* as in find_magnitude() */
    for (size_t i = 0; i < f->value_count; i++) {
      const double size = fabs(f->values[i]);
      largest = size > largest ? size : largest;
      sum += 0 * f->values[i];
    }
    bound *= sum == 0 ? largest : INFINITY;
  }
  return bound <= largest_of(recipe->tensor.dtype) / 2 || is_finite_by_element(recipe);
}

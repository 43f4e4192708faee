/* Recipes: how the numbers of a constant come about, without anybody having computed them yet. Elements that are stored
 * somewhere - in a mapped file, at any alignment - times factors that folding found, computed in double and rounded
 * once when they are read.
 *
 * A recipe allocates nothing and is never changed once it is in use (but for its magnitude, which is found on first
 * asking), so reading it is safe from several threads. */
#ifndef PLEAT_CORE_RECIPE_H
#define PLEAT_CORE_RECIPE_H

#include "core/tensor.h"

/* A factor a channel along one axis: element i is multiplied by values[i / outer * channels + i / inner % channels].
 * With inner = outer = the number of elements there is one factor for all; an `outer` smaller than that starts over
 * with the next `channels` factors (the groups of a convolution). */
typedef struct pleat_factors {
  const struct pleat_factors *next; /* found earlier */
  double *values;
  size_t value_count, channels, inner, outer;
} pleat_factors;

typedef struct pleat_recipe {
  pleat_tensor tensor; /* a descriptor: type and shape of the constant; its data are the stored elements */
  pleat_dtype stored;  /* the stored elements' type: the constant's, or a narrower one whose numbers that type has */
  const void *origin;  /* tells these stored elements from all others, for as long as they live */
  pleat_tensor *owner; /* the heap tensor that they belong to; NULL: the model's memory */
  const pleat_factors *factors;
  double magnitude; /* of the stored elements; negative: nobody has looked yet */
  bool is_external; /* they are stored outside of the model's file: what is made of them goes there as well */
} pleat_recipe;

/* A recipe of stored elements as they are. */
pleat_recipe pleat_recipe_of(const pleat_tensor *tensor, const void *origin, pleat_tensor *owner);

/* The same numbers, of a recipe without factors, as constants of a type that has all of them. */
pleat_recipe pleat_recipe_widen(const pleat_recipe *recipe, pleat_dtype dtype);

/* recipe times factors (whose `next` is ignored; their values are copied). Factors that run along the same axis as
 * earlier ones are multiplied with those. False: out of memory, in `arena`. */
bool pleat_recipe_scale(pleat_arena *arena, const pleat_recipe *recipe, const pleat_factors *factors,
                        pleat_recipe *out_recipe);

/* A copy whose factors are in `arena`. False: out of memory. */
bool pleat_recipe_copy(pleat_arena *arena, const pleat_recipe *recipe, pleat_recipe *out_recipe);

/* Whether all elements are finite in their type. Reads the stored elements at most once where they are far from
 * overflowing; later questions about them, with any factors, are answered from their magnitude. */
bool pleat_recipe_is_finite(pleat_recipe *recipe);

/* Computes the elements first to first + count - 1, dense, as elements of `dtype` (rounded to the recipe's own type
 * before), into memory of any alignment. */
void pleat_recipe_read(const pleat_recipe *recipe, pleat_dtype dtype, size_t first, size_t count, void *out);

/* Where the constant lies as it is: no factors, aligned for vectors. NULL: it has to be read. */
const void *pleat_recipe_in_place(const pleat_recipe *recipe);

#endif

/* What the fuzzers do with one model: everything the library offers, within limits that keep it short. */
#ifndef PLEAT_TESTS_EXERCISE_H
#define PLEAT_TESTS_EXERCISE_H

#include <stddef.h>

/* How far a model came. Only that the library returns at all is asserted; the stages tell whether the test digs deep.
 */
typedef enum exercise_stage {
  EXERCISE_REFUSED, /* not loaded */
  EXERCISE_LOADED,
  EXERCISE_FOLDED,   /* and written again, and what was written loaded again */
  EXERCISE_COMPILED, /* a session and a plan exist */
  EXERCISE_RAN,
  EXERCISE_STAGE_COUNT
} exercise_stage;

/* Loads the model from memory, describes, folds, saves, compiles, plans and runs it on small inputs. A model whose
 * plan is large (a broken dimension may be enormous) is not run. Aborts when the library breaks its own contract. */
exercise_stage exercise_model(const void *data, size_t size);

#endif

/* Checking a fold: is the folded model as exact as the original? And a precision: how far is it from the truth? The
 * judge is the float64 oracle, which is the original graph with every floating-point value a double, run by the
 * reference kernels. */
#ifndef PLEAT_CHECK_H
#define PLEAT_CHECK_H

#include "pleat/session.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How far one result is from another: from the oracle, or original from folded. Over all runs and elements; the first
 * three over the finite pairs. */
typedef struct pleat_check_error {
  double max_abs, max_rel; /* relative to the second one's element, where that is not 0 */
  uint64_t max_ulp;        /* steps between neighbours of the output's type; large near 0, where steps are small */
  uint64_t not_finite;     /* elements of which one is finite or not a number and the other is not */
  uint64_t unequal;        /* elements that differ, of types that are no floats */
  uint64_t other_top;      /* rows whose largest element is at another place */
} pleat_check_error;

/* The verdict on one output. Strings live as long as the report. */
typedef struct pleat_check_output {
  const char *name;
  pleat_dtype dtype;
  uint64_t count; /* elements of all runs */
  double range;   /* the largest finite |oracle| */
  double limit;   /* what the folded model's max_abs may be: max(2 * original.max_abs, tolerance * range) */
  pleat_check_error original, folded; /* against the oracle */
  pleat_check_error difference;       /* folded against original */
  bool passed;
  const char
      *reason;   /* why it did not pass; or, of one that passed without a comparison, why there was none; else "" */
  uint64_t rows; /* of floats, along the last axis where that has more than one element: scores of classes, perhaps */
} pleat_check_output;

typedef struct pleat_check_report {
  bool passed;        /* every output did */
  const char *reason; /* the first reason for not passing, with the output's name; "" when all is well */
  int runs;
  uint64_t seed;
  size_t input_count; /* with the shapes that were used */
  const pleat_input_shape *inputs;
  size_t output_count;
  const pleat_check_output *outputs;
} pleat_check_report;

typedef struct pleat_check_options {
  uint32_t size;
  int runs;         /* random inputs; 0: 3, or 24 where twice the original's error is missed by little */
  uint64_t seed;    /* run i draws its inputs by pleat_tensor_make_up() with seed + i */
  double tolerance; /* as a part of an output's range; 0: by the narrowest floating-point type in the model, 1e-12 for
                       double, 1e-5 for float, 2e-3 for float16, 2e-2 for bfloat16 */
  int threads;      /* as in pleat_session_options */
  const pleat_input_shape *shapes; /* of inputs; the others take their declared shapes, with small numbers for unknown
                                      dimensions: several are tried until the model runs */
  size_t shape_count;
} pleat_check_options;

#define PLEAT_CHECK_OPTIONS_INIT                                                                                       \
  { .size = sizeof(pleat_check_options) }

/* Runs both models, without any further folding, and the original's oracle on the same random inputs. An output of
 * floats passes when the folded model's largest error is at most the output's `limit` and no more of its elements are
 * wrongly infinite or NaN than the original's; any other output when at most twice as many elements differ from the
 * oracle's as the original's do, and one in a thousand beyond that.
 *
 * PLEAT_OK means that there is a verdict, in (*out_report)->passed; also when the folded model is so wrong that it does
 * not run. Errors: UNSUPPORTED when the original cannot be run here and so nothing can be said, with the reason;
 * INVALID_ARGUMENT; OUT_OF_MEMORY. */
PLEAT_API pleat_status pleat_model_check_fold(const pleat_model *original, const pleat_model *folded,
                                              const pleat_check_options *options, pleat_check_report **out_report,
                                              pleat_error *error);

/* The same of one model in two precisions: `original` in the report is a session with `session`'s options in fp32,
 * `folded` one with `session`'s own precision. An output passes within the same limit, in which the tolerance of
 * bfloat16 stands for that precision. Errors: those of pleat_session_create, for the options; and as above. */
PLEAT_API pleat_status pleat_model_check_precision(const pleat_model *model, const pleat_session_options *session,
                                                   const pleat_check_options *options, pleat_check_report **out_report,
                                                   pleat_error *error);
PLEAT_API void pleat_check_report_destroy(pleat_check_report *report); /* NULL is accepted */

#ifdef __cplusplus
}
#endif
#endif

/* What the files of this folder share. */
#ifndef PLEAT_VALIDATE_PRIVATE_H
#define PLEAT_VALIDATE_PRIVATE_H

#include "core/arena.h"
#include "core/error.h"
#include "core/tensor.h"
#include "pleat/check.h"
#include "pleat/session.h"

/* ---- shapes.c ---- */

/* How many ways of filling unknown dimensions are tried. */
size_t pleat_check_candidates(void);

/* Concrete shapes for the session's inputs without default: those given, the declared ones, and for unknown dimensions
 * the numbers of a candidate; dimensions of one symbol agree. *out_shapes has an entry for each session input, with
 * `name` NULL for one that keeps its default. *out_open says whether another candidate would give something else. */
pleat_status pleat_check_shapes(pleat_arena *arena, const pleat_session *session, const pleat_check_options *options,
                                size_t candidate, pleat_input_shape **out_shapes, bool *out_open, pleat_error *error);

/* ---- measure.c ---- */

/* The tolerance of a type, as a part of an output's range; 0 for types that are no floats. */
double pleat_check_tolerance(pleat_dtype dtype);

/* Takes one run's results into the figures. The oracle's tensor has double for every float of the others'. False, with
 * the reason in the output, when original and folded are not alike in kind, type and shape; when original and oracle
 * are not (shapes that depend on rounded data), there is nothing to compare, which is also noted there. */
bool pleat_check_measure(pleat_arena *arena, pleat_check_output *output, const pleat_tensor *original,
                         const pleat_tensor *folded, const pleat_tensor *oracle);

/* The largest error that the folded model's output may have: twice the original's, or that part of the range. */
double pleat_check_limit(const pleat_check_output *output, double tolerance);
/* Fills in limit, passed and reason. */
void pleat_check_judge(pleat_arena *arena, pleat_check_output *output, double tolerance);

#endif

/* What a check against the float64 oracle found, as text and as JSON. */
#ifndef PLEAT_CLI_CHECK_TEXT_H
#define PLEAT_CLI_CHECK_TEXT_H

#include "cli.h"
#include "files.h"

/* The errors of original and folded model, output by output, with the verdict. */
void check_print_fold(const pleat_check_report *check, FILE *file);
/* Those of a model in fp32 and in `precision` (once, when that is the same), as such and as a part of the range, and
 * for how many rows of scores the largest is the oracle's. */
void check_print_precision(const pleat_check_report *check, const char *precision, FILE *file);

/* `first` and `second` name the report's two models. */
cJSON *check_json(const pleat_check_report *check, const char *first, const char *second);

#endif

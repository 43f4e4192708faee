/* The parts of `pleat fold`: what it did, as text and as JSON; the picture of the layers. */
#ifndef PLEAT_CLI_FOLD_H
#define PLEAT_CLI_FOLD_H

#include "cli.h"
#include "files.h"

/* One line for each entry: of the kept ones, or of all. */
void fold_print_entries(const pleat_fold_report *report, bool all, FILE *file);

cJSON *fold_report_json(const pleat_fold_report *report);

/* ---- bn_report.c ---- */

/* Writes an SVG picture: for each layer the range, quartiles and median of |scale| and shift over the channels; layers
 * that are numerically risky stand out, and remarks of the fold stand beside them. `title` names the model. */
pleat_status bn_report_write(const char *path, const char *title, const pleat_norm_list *norms,
                             const pleat_fold_report *report, pleat_error *error);

#endif

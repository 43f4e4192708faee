/* The growing report behind a pleat_fold_report; used by the pipeline. */
#ifndef PLEAT_FOLD_REPORT_H
#define PLEAT_FOLD_REPORT_H

#include "fold/fold.h"

/* Counts the graph as it is before folding. */
pleat_status pleat_report_create(const pleat_graph *graph, pleat_report **out_report, pleat_error *error);
/* Counts again and hands out the public form; the report is then empty. */
pleat_status pleat_report_finish(pleat_report *report, const pleat_graph *graph, pleat_fold_report **out_report,
                                 pleat_error *error);
/* Adds the normalisations that only `inlined`, a report of the model with functions inlined, knows: they stay, for its
 * reasons where it kept them as well, else because of `why`. `inlined` may be NULL. */
pleat_status pleat_report_add_functions(pleat_fold_report *report, const pleat_fold_report *inlined, const char *why,
                                        pleat_error *error);
void pleat_report_destroy(pleat_report *report); /* NULL is accepted */

#endif

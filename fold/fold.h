/* The folding engine: passes over the graph IR and the report of what they did. Used by the offline fold and by session
 * creation alike.
 *
 * A pass is one file with one `const pleat_pass`, and one line in passes.def (the order is the order of the pipeline).
 */
#ifndef PLEAT_FOLD_FOLD_H
#define PLEAT_FOLD_FOLD_H

#include "core/error.h"
#include "graph/graph.h"
#include "pleat/fold.h"

typedef struct pleat_report pleat_report; /* report.c: a growing pleat_fold_report */

typedef struct pleat_pass pleat_pass;

typedef struct pleat_pass_context {
  pleat_graph *graph; /* the root; passes walk subgraphs themselves with pleat_fold_each_graph() */
  pleat_report *report;
  const pleat_pass *pass; /* the one that runs */
  const pleat_fold_options *options;
  bool for_session; /* the graph will be run here, not exported: names need not survive */
  pleat_error *error;
} pleat_pass_context;

struct pleat_pass {
  const char *name;    /* "bn-into-conv": what --only and --skip take */
  const char *summary; /* one line */
  bool session_only;   /* not for the offline fold, which leaves everything else as it was */
  /* Changes the graph, keeping its meaning; says what it did in the report. Sets *out_changed when it did something. */
  pleat_status (*run)(pleat_pass_context *ctx, bool *out_changed);
};

#define PLEAT_PASS(name) extern const pleat_pass pleat_pass_##name;
#include "fold/passes.def"
#undef PLEAT_PASS

/* Runs the pipeline until nothing changes any more (at most a fixed number of rounds), with the verifier after each
 * pass in debug builds. `options` may be NULL. The report (may be NULL) is filled. */
pleat_status pleat_fold_run(pleat_graph *graph, const pleat_fold_options *options, bool for_session,
                            pleat_fold_report **out_report, pleat_error *error);

/* Calls `visit` for the root and each of its subgraphs, innermost first. */
pleat_status pleat_fold_each_graph(pleat_pass_context *ctx, pleat_graph *graph,
                                   pleat_status (*visit)(pleat_pass_context *ctx, pleat_graph *graph, bool *changed),
                                   bool *changed);

/* Report entries. Labels and reasons are copied; `format` as printf. A node that is reported KEPT by one pass and
 * FOLDED by a later one (or round) ends up with the latter; a node kept by several passes keeps the most specific
 * (last) reason. */
void pleat_report_folded(pleat_pass_context *ctx, const pleat_pass *pass, const pleat_node *node,
                         const pleat_node *target);
/* The same, with a remark. */
void pleat_report_folded_with(pleat_pass_context *ctx, const pleat_pass *pass, const pleat_node *node,
                              const pleat_node *target, const char *format, ...) PLEAT_PRINTF(5, 6);
void pleat_report_removed(pleat_pass_context *ctx, const pleat_pass *pass, const pleat_node *node, const char *format,
                          ...) PLEAT_PRINTF(4, 5);
void pleat_report_kept(pleat_pass_context *ctx, const pleat_pass *pass, const pleat_node *node, const char *format, ...)
    PLEAT_PRINTF(4, 5);

/* Kept, for one more reason than the one an earlier pass gave in this round. */
void pleat_report_kept_also(pleat_pass_context *ctx, const pleat_pass *pass, const pleat_node *node,
                            const char *reason);

/* `node` went into `target` on the way of another node's fold. */
void pleat_report_taken(pleat_pass_context *ctx, const pleat_node *node, const pleat_node *target);

/* The record of values: what was `old_name` in the original is, or is replaced by, `new_name`. */
void pleat_report_renamed(pleat_pass_context *ctx, const char *old_name, const char *new_name);

/* The record as text, one line "old name, tab, new name" a value, in the report's memory; NULL when out of memory.
 * Chains are followed to their end. */
const char *pleat_report_record(pleat_report *report);

/* Whether a Dropout node drops anything, or may do so. */
pleat_status pleat_fold_dropout_trains(pleat_pass_context *ctx, const pleat_node *dropout, bool *out_training);

/* Whether the user's --only and --skip let this node be folded. */
bool pleat_fold_wants(const pleat_pass_context *ctx, const pleat_node *node);

#endif

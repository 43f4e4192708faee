/* Folding: BatchNormalization out of a model, offline, and a report of what went where and why the rest stayed. */
#ifndef PLEAT_FOLD_H
#define PLEAT_FOLD_H

#include "pleat/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum pleat_fold_action {
  PLEAT_FOLD_FOLDED = 0,  /* the node is gone; `target` took over its arithmetic */
  PLEAT_FOLD_REMOVED = 1, /* the node did nothing, or nothing used it */
  PLEAT_FOLD_KEPT = 2     /* the node stays; `reason` says why */
} pleat_fold_action;

/* What became of one node. Strings are never NULL and live as long as the report. */
typedef struct pleat_fold_entry {
  const char *pass; /* the pass's name, as in fold/passes.def */
  const char *node; /* the node's name; "Op#index" when it has none */
  const char *op_type;
  pleat_fold_action action;
  const char *target; /* FOLDED: the node that took it in; else "" */
  const char *reason; /* KEPT: why, and what would make it foldable; REMOVED: what it was */
} pleat_fold_entry;

typedef struct pleat_fold_report {
  size_t entry_count;
  const pleat_fold_entry *entries;
  size_t nodes_before, nodes_after;
  size_t norms_before, norms_after; /* BatchNormalization nodes, subgraphs included */
} pleat_fold_report;

typedef struct pleat_fold_options {
  uint32_t size;
  const char *const *only; /* run only these passes, or fold only these nodes (NULL-terminated list of pass names and
                              node names, mixed), or NULL for all */
  const char *const *skip; /* leave these passes or nodes out, or NULL */
  bool duplicate;          /* a producer that others read as well is copied, when that is what folding takes */
  bool freeze_inputs;      /* overridable initializers (IR version >= 4) become constants */
  bool no_record;          /* do not write the record of replaced values into metadata_props (PLEAT_FOLD_RECORD_KEY) */
} pleat_fold_options;

/* The key in a folded model's metadata_props under which it is told what became of the original's values: one line "old
 * name, tab, new name" a value that is gone or has another meaning now. */
#define PLEAT_FOLD_RECORD_KEY "pleat.fold"

#define PLEAT_FOLD_OPTIONS_INIT                                                                                        \
  { .size = sizeof(pleat_fold_options) }

/* A new model with the foldable folded. The source is not changed, and may be released afterwards. What no pass touched
 * is kept as it was. `options`, `out_model` (only the report is wanted) and `out_report` may be NULL. */
PLEAT_API pleat_status pleat_model_fold(const pleat_model *model, const pleat_fold_options *options,
                                        pleat_model **out_model, pleat_fold_report **out_report, pleat_error *error);
PLEAT_API void pleat_fold_report_destroy(pleat_fold_report *report);

/* One BatchNormalization as the map y = scale * x + shift a channel (scale = gamma / sqrt(variance + epsilon), shift =
 * beta - scale * mean), in double. Strings and arrays live as long as the list. */
typedef struct pleat_norm {
  const char *node;                       /* its name; "Op#index" when it has none */
  size_t channels;                        /* 0 when it is no such map */
  const double *scale, *shift, *variance; /* `channels` of each; NULL when it is no such map */
  double epsilon;
  const char *reason; /* why it is no such map, else "" */
} pleat_norm;

typedef struct pleat_norm_list {
  size_t count;
  const pleat_norm
      *norms; /* in the graph's order; those of subgraphs before the node that owns them; functions inlined */
} pleat_norm_list;

/* Every BatchNormalization of a model. */
PLEAT_API pleat_status pleat_model_norms(const pleat_model *model, pleat_norm_list **out_list, pleat_error *error);
PLEAT_API void pleat_norm_list_destroy(pleat_norm_list *list); /* NULL is accepted */

/* The passes in the order they run in: name and one-line summary; NULL past the end. */
PLEAT_API const char *pleat_fold_pass_name(size_t index);
PLEAT_API const char *pleat_fold_pass_summary(size_t index);

#ifdef __cplusplus
}
#endif
#endif

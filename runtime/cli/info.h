/* What `pleat info` knows about a model, and its two forms. */
#ifndef PLEAT_CLI_INFO_H
#define PLEAT_CLI_INFO_H

#include "files.h"
#include "inputs.h"
#include "text.h"

/* All that is known; `plan` is NULL when the model cannot be compiled, for the reason in `plan_error`. */
typedef struct facts {
  const char *path;
  pleat_model *model;
  pleat_model_info *info;     /* with the given shapes */
  pleat_model_info *unshaped; /* without, when any were given */
  pleat_session *session;
  pleat_plan_info *plan;
  shape_list assumed;        /* the plan's, of inputs whose shapes are neither known nor given */
  pleat_model_info *planned; /* with those as well, where there are any; else NULL */
  pleat_error plan_error;
  const char *precision; /* NULL: as the model says */
  uint64_t file_bytes;
} facts;

typedef struct op_count {
  const char *domain, *op_type;
  size_t count;
} op_count;

/* Operators and how many nodes each has, most first; the caller frees. */
op_count *info_count_operators(const pleat_model_info *info, size_t *out_count);

/* The description that has the costs of what would run. */
const pleat_model_info *info_costs(const facts *facts);

/* "ai.onnx" for the default domain, which is "" in the API. */
const char *info_domain(const char *domain);

void info_print(const facts *facts, bool nodes, bool kernels, FILE *file);
cJSON *info_json(const facts *facts, bool nodes, bool kernels);

#endif

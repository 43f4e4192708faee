/* Per-node times of a session that profiles. */
#ifndef PLEAT_CLI_PROFILE_H
#define PLEAT_CLI_PROFILE_H

#include "cli.h"
#include "files.h"

/* Prints the steps that took time, slowest first (the best of their runs), and the total. */
void profile_print(const pleat_plan_info *plan, FILE *file);
cJSON *profile_json(const pleat_plan_info *plan);

#endif

/* Text for people: aligned tables, sizes, counts and shapes. */
#ifndef PLEAT_CLI_TEXT_H
#define PLEAT_CLI_TEXT_H

#include <stdio.h>

#include "pleat/pleat.h"

/* Buffers of this size hold what the functions below write; they return the buffer. */
enum { TEXT_NUMBER = 32, TEXT_TYPE = 512, TEXT_KERNEL = 128, TEXT_PARTS = 128 };

const char *text_bytes(uint64_t bytes, char *buffer);                    /* "97.8 MB", decimal units */
const char *text_count(uint64_t count, char *buffer);                    /* "25.6 M"; below 10,000 exactly */
const char *text_number(double value, char *buffer);                     /* six significant digits */
const char *text_ms(uint64_t nanoseconds, char *buffer);                 /* "1.234" */
const char *text_value_type(const pleat_value_info *info, char *buffer); /* "float[batch,3,?,224]" */
const char *text_tensor_type(const pleat_tensor *tensor, char *buffer);  /* "float[1,3]", "sequence of 2" */
/* "[0,2,1]": the flat row-major `index` of a tensor, as coordinates. */
const char *text_index(uint64_t index, int rank, const int64_t *dims, char *buffer);
const char *text_kernel(const pleat_step_info *step, char *buffer); /* "onednn, channels last" */
const char *text_parts(const pleat_plan_info *plan, char *buffer);  /* "4 parts of 2 samples, 2 at a time" */
const char *text_kind(pleat_kind kind);

/* A table: columns are as wide as their widest cell. `columns` has one letter a column: 'l' or 'r'. */
typedef struct text_table text_table;
text_table *text_table_create(const char *columns);
void text_table_cell(text_table *table, const char *format, ...) PLEAT_PRINTF(2, 3);
void text_table_print(const text_table *table, FILE *file, int indent);
void text_table_destroy(text_table *table);

#endif

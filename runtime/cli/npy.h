/* NumPy's .npy format: arrays to tensors and back. */
#ifndef PLEAT_CLI_NPY_H
#define PLEAT_CLI_NPY_H

#include "pleat/pleat.h"

/* A new tensor from the bytes of a .npy file, version 1.0, 2.0 or 3.0: either byte order, C or Fortran order, types b1,
 * i1-i8, u1-u8, f2-f8, c8, c16, U and S (both give PLEAT_STRING; NULs at the end are NumPy's padding and dropped).
 * Nothing in the bytes is trusted. `name` is the place that errors name. */
pleat_status npy_parse(const void *data, size_t size, const char *name, pleat_tensor **out_tensor, pleat_error *error);

/* The bytes of a version 1.0 file with the tensor (not a list), in C order and this machine's byte order; malloc'ed.
 * Types NumPy lacks are stored as their bits, and types below 8 bits as one byte an element. */
pleat_status npy_format(const pleat_tensor *tensor, void **out_data, size_t *out_size, pleat_error *error);

/* What a reader of the file should know about the type: "bfloat16, stored as its bits (uint16)"; NULL when NumPy has
 * the type. */
const char *npy_type_note(pleat_dtype dtype);

/* NumPy's name of a type, for hints; NULL when it has none. */
const char *npy_type_name(pleat_dtype dtype);

#endif

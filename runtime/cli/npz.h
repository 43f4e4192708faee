/* NumPy's .npz format: a zip of .npy files. */
#ifndef PLEAT_CLI_NPZ_H
#define PLEAT_CLI_NPZ_H

#include "pleat/pleat.h"

typedef struct npz npz;

/* Opens an archive for reading. IO_ERROR when there is none; MALFORMED_MODEL when it is not a zip. */
pleat_status npz_open(const char *path, npz **out_npz, pleat_error *error);
void npz_close(npz *npz); /* NULL is accepted */
size_t npz_count(const npz *npz);
const char *npz_name(const npz *npz, size_t index); /* without ".npy" */
pleat_status npz_read(npz *npz, size_t index, pleat_tensor **out_tensor, pleat_error *error);

/* Writes tensors (not lists) under their names, stored without compression as numpy.savez does, by temporary name and
 * rename. */
pleat_status npz_write(const char *path, const char *const *names, const pleat_tensor *const *tensors, size_t count,
                       pleat_error *error);

#endif

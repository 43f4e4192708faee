/* Tensors on the heap: making, sharing and copying them.
 *
 * Invariants: a heap tensor has refs >= 1 and frees its data through `release`; a tensor's byte size fits PTRDIFF_MAX,
 * so that pointer differences and strides never overflow; lists nest at most PLEAT_MAX_NESTING deep, which bounds the
 * recursion of release and clone; the data of an empty tensor is NULL. */
#include "core/tensor.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/error.h"
#include "core/shape.h"

enum { DATA_ALIGNMENT = 64 };

bool pleat_shape_count(pleat_dtype dtype, int rank, const int64_t *dims, size_t *out_count) {
  *out_count = 0;
  if (rank < 0 || rank > PLEAT_MAX_RANK) return false;
  bool empty = false;
  for (int i = 0; i < rank; i++) {
    if (dims[i] < 0) return false;
    empty = empty || dims[i] == 0;
  }
  if (empty) return true;
  size_t count = 1, bytes;
  for (int i = 0; i < rank; i++) {
    if ((uint64_t)dims[i] > SIZE_MAX || !pleat_mul_size(count, (size_t)dims[i], &count)) return false;
  }
  if (!pleat_mul_size(count, pleat_dtype_size(dtype), &bytes)) return false;
  if (count > PTRDIFF_MAX || bytes > PTRDIFF_MAX) return false;
  *out_count = count;
  return true;
}

bool pleat_tensor_describe(pleat_tensor *tensor, pleat_dtype dtype, int rank, const int64_t *dims) {
  *tensor = (pleat_tensor){.kind = PLEAT_KIND_TENSOR, .dtype = dtype};
  if (!pleat_shape_count(dtype, rank, dims, &tensor->count)) return false;
  tensor->rank = rank;
  for (int i = 0; i < rank; i++) tensor->dims[i] = dims[i];
  return true;
}

bool pleat_same_shape(const pleat_tensor *a, const pleat_tensor *b) {
  if (a->rank != b->rank) return false;
  for (int i = 0; i < a->rank; i++) {
    if (a->dims[i] != b->dims[i]) return false;
  }
  return true;
}

/* A heap tensor of the given type and shape without data, or a failure that says what is wrong with them. */
static pleat_status create_header(pleat_dtype dtype, int rank, const int64_t *dims, pleat_tensor **out_tensor,
                                  pleat_error *error) {
  *out_tensor = NULL;
  if (!pleat_dtype_is_valid((int64_t)dtype)) {
    return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "expected an ONNX data type (1 to %d), found %d",
                      PLEAT_DTYPE_COUNT - 1, (int)dtype);
  }
  if (rank < 0 || rank > PLEAT_MAX_RANK) {
    return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "expected a rank from 0 to %d, found %d", PLEAT_MAX_RANK, rank);
  }
  for (int i = 0; i < rank; i++) {
    if (dims[i] < 0) {
      return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "expected no negative dimension, found %" PRId64 " as number %d",
                        dims[i], i);
    }
  }
  pleat_tensor *tensor = malloc(sizeof *tensor);
  if (tensor == NULL) return PLEAT_OOM(error);
  if (!pleat_tensor_describe(tensor, dtype, rank, dims)) {
    free(tensor);
    char text[256];
    pleat_shape shape = pleat_shape_of(rank, dims);
    return pleat_fail(error, PLEAT_OUT_OF_MEMORY, "a tensor %s%s is too large for this machine's memory",
                      pleat_dtype_name(dtype), pleat_shape_text(&shape, text, sizeof text));
  }
  tensor->refs = 1;
  *out_tensor = tensor;
  return PLEAT_OK;
}

/* `user` is the allocation that `data` lies in. */
static void free_allocation(void *user, void *data) {
  (void)data;
  free(user);
}

/* Gives a tensor without data `bytes` of zeroed memory of its own: calloc, because fresh pages need no clearing. */
static bool allocate_data(pleat_tensor *tensor, size_t bytes) {
  if (bytes == 0) return true;
  size_t total;
  if (!pleat_add_size(bytes, DATA_ALIGNMENT - 1, &total)) return false;
  unsigned char *base = calloc(1, total);
  if (base == NULL) return false;
  tensor->data = base + (-(uintptr_t)base & (DATA_ALIGNMENT - 1));
  tensor->user = base;
  tensor->release = free_allocation;
  return true;
}

pleat_status pleat_tensor_create(pleat_dtype dtype, int rank, const int64_t *dims, pleat_tensor **out_tensor,
                                 pleat_error *error) {
  PLEAT_TRY(create_header(dtype, rank, dims, out_tensor, error));
  size_t bytes = pleat_bytes(*out_tensor);
  if (allocate_data(*out_tensor, bytes)) return PLEAT_OK;
  pleat_tensor_release(*out_tensor);
  *out_tensor = NULL;
  return pleat_fail(error, PLEAT_OUT_OF_MEMORY, "out of memory: a tensor of %zu bytes was asked for", bytes);
}

/* What the data of a type must be aligned to. */
static size_t dtype_alignment(pleat_dtype dtype) {
  switch (dtype) {
  case PLEAT_COMPLEX64:
    return _Alignof(float);
  case PLEAT_COMPLEX128:
    return _Alignof(double);
  case PLEAT_STRING:
    return _Alignof(pleat_string);
  default:
    return pleat_dtype_size(dtype);
  }
}

pleat_status pleat_tensor_wrap(pleat_dtype dtype, int rank, const int64_t *dims, void *data, size_t size,
                               void (*release)(void *user, void *data), void *user, pleat_tensor **out_tensor,
                               pleat_error *error) {
  PLEAT_TRY(create_header(dtype, rank, dims, out_tensor, error));
  pleat_tensor *tensor = *out_tensor;
  pleat_status status = PLEAT_OK;
  char text[256];
  if (size != pleat_bytes(tensor)) {
    status = pleat_fail(error, PLEAT_INVALID_ARGUMENT, "expected %zu bytes of data for %s, found %zu",
                        pleat_bytes(tensor), pleat_tensor_text(tensor, text, sizeof text), size);
  } else if (data == NULL && size > 0) {
    status = pleat_fail(error, PLEAT_INVALID_ARGUMENT, "expected data for %s, found a null pointer",
                        pleat_tensor_text(tensor, text, sizeof text));
  } else if ((uintptr_t)data % dtype_alignment(dtype) != 0) {
    status = pleat_fail(error, PLEAT_INVALID_ARGUMENT, "expected data of type %s at a multiple of %zu bytes, found %p",
                        pleat_dtype_name(dtype), dtype_alignment(dtype), data);
  }
  if (status != PLEAT_OK) {
    pleat_tensor_release(tensor);
    *out_tensor = NULL;
    return status;
  }
  tensor->data = data;
  tensor->release = release;
  tensor->user = user;
  return PLEAT_OK;
}

pleat_status pleat_tensor_create_strings(int rank, const int64_t *dims, const pleat_string *strings,
                                         pleat_tensor **out_tensor, pleat_error *error) {
  PLEAT_TRY(create_header(PLEAT_STRING, rank, dims, out_tensor, error));
  pleat_tensor *tensor = *out_tensor;
  size_t total = pleat_bytes(tensor);
  bool fits = true;
  for (size_t i = 0; fits && i < tensor->count; i++) fits = pleat_add_size(total, strings[i].size, &total);
  if (!fits || !allocate_data(tensor, total)) {
    pleat_tensor_release(tensor);
    *out_tensor = NULL;
    return pleat_fail(error, PLEAT_OUT_OF_MEMORY, "out of memory: a tensor of strings was asked for");
  }
  /* The array comes first, the bytes of all strings follow in the same allocation. */
  pleat_string *copies = tensor->data;
  char *bytes = (char *)tensor->data + pleat_bytes(tensor);
  for (size_t i = 0; i < tensor->count; i++) {
    copies[i] = (pleat_string){.data = bytes, .size = strings[i].size};
    if (strings[i].size == 0) continue;
    memcpy(bytes, strings[i].data, strings[i].size);
    bytes += strings[i].size;
  }
  return PLEAT_OK;
}

/* How many lists deep a tensor is: 0 for a plain one. */
static int nesting(const pleat_tensor *tensor) {
  int deepest = 0;
  for (size_t i = 0; tensor->kind != PLEAT_KIND_TENSOR && i < tensor->count; i++) {
    int depth = nesting(tensor->items[i]);
    if (depth > deepest) deepest = depth;
  }
  return deepest + (tensor->kind != PLEAT_KIND_TENSOR);
}

static pleat_status check_list(pleat_kind kind, pleat_tensor *const *items, size_t count, pleat_error *error) {
  if (kind != PLEAT_KIND_SEQUENCE && kind != PLEAT_KIND_OPTIONAL) {
    return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "expected the kind sequence or optional, found kind %d",
                      (int)kind);
  }
  if (kind == PLEAT_KIND_OPTIONAL && count > 1) {
    return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "expected at most 1 item in an optional, found %zu", count);
  }
  for (size_t i = 0; i < count; i++) {
    if (items[i] == NULL || __atomic_load_n(&items[i]->refs, __ATOMIC_RELAXED) <= 0) {
      return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "expected a reference counted tensor as item %zu, found none",
                        i);
    }
    if (nesting(items[i]) >= PLEAT_MAX_NESTING) {
      return pleat_fail(error, PLEAT_INVALID_ARGUMENT, "expected lists at most %d deep, found more in item %zu",
                        PLEAT_MAX_NESTING, i);
    }
  }
  return PLEAT_OK;
}

pleat_status pleat_tensor_create_list(pleat_kind kind, pleat_tensor *const *items, size_t count,
                                      pleat_tensor **out_tensor, pleat_error *error) {
  *out_tensor = NULL;
  PLEAT_TRY(check_list(kind, items, count, error));
  size_t bytes;
  if (!pleat_mul_size(count, sizeof *items, &bytes)) return PLEAT_OOM(error);
  pleat_tensor *list = calloc(1, sizeof *list);
  if (list == NULL) return PLEAT_OOM(error);
  *list = (pleat_tensor){.kind = kind, .refs = 1};
  if (bytes > 0) {
    list->items = malloc(bytes);
    if (list->items == NULL) {
      free(list);
      return PLEAT_OOM(error);
    }
    list->dtype = items[0]->dtype;
  }
  for (size_t i = 0; i < count; i++) list->items[i] = pleat_tensor_retain(items[i]);
  list->count = count;
  *out_tensor = list;
  return PLEAT_OK;
}

pleat_tensor *pleat_tensor_retain(pleat_tensor *tensor) {
  if (tensor != NULL) __atomic_fetch_add(&tensor->refs, 1, __ATOMIC_RELAXED);
  return tensor;
}

void pleat_tensor_release(pleat_tensor *tensor) {
  if (tensor == NULL || __atomic_sub_fetch(&tensor->refs, 1, __ATOMIC_ACQ_REL) != 0) return;
  if (tensor->items != NULL) {
    for (size_t i = 0; i < tensor->count; i++) pleat_tensor_release(tensor->items[i]);
    free(tensor->items);
  }
  if (tensor->release != NULL) tensor->release(tensor->user, tensor->data);
  free(tensor);
}

static pleat_status clone_list(const pleat_tensor *list, pleat_tensor **out_tensor, pleat_error *error) {
  *out_tensor = NULL;
  pleat_tensor **copies = calloc(list->count > 0 ? list->count : 1, sizeof *copies);
  if (copies == NULL) return PLEAT_OOM(error);
  pleat_status status = PLEAT_OK;
  for (size_t i = 0; status == PLEAT_OK && i < list->count; i++) {
    status = pleat_tensor_clone(list->items[i], &copies[i], error);
  }
  if (status == PLEAT_OK) status = pleat_tensor_create_list(list->kind, copies, list->count, out_tensor, error);
  for (size_t i = 0; i < list->count; i++) pleat_tensor_release(copies[i]); /* the list retained them */
  free(copies);
  return status;
}

pleat_status pleat_tensor_clone(const pleat_tensor *tensor, pleat_tensor **out_tensor, pleat_error *error) {
  if (tensor->kind != PLEAT_KIND_TENSOR) return clone_list(tensor, out_tensor, error);
  if (tensor->dtype == PLEAT_STRING) {
    return pleat_tensor_create_strings(tensor->rank, tensor->dims, tensor->data, out_tensor, error);
  }
  PLEAT_TRY(pleat_tensor_create(tensor->dtype, tensor->rank, tensor->dims, out_tensor, error));
  if (tensor->count > 0) memcpy((*out_tensor)->data, tensor->data, pleat_bytes(tensor));
  return PLEAT_OK;
}

const char *pleat_tensor_text(const pleat_tensor *tensor, char *buffer, size_t size) {
  if (size == 0) return buffer;
  if (tensor->kind == PLEAT_KIND_SEQUENCE) {
    snprintf(buffer, size, "sequence of %zu", tensor->count);
  } else if (tensor->kind == PLEAT_KIND_OPTIONAL) {
    snprintf(buffer, size, "%s", tensor->count > 0 ? "optional with a value" : "optional without a value");
  } else {
    size_t used = (size_t)snprintf(buffer, size, "%s", pleat_dtype_name(tensor->dtype));
    pleat_shape shape = pleat_shape_of(tensor->rank, tensor->dims);
    if (used < size) pleat_shape_text(&shape, buffer + used, size - used);
  }
  return buffer;
}

pleat_kind pleat_tensor_kind(const pleat_tensor *tensor) {
  return tensor->kind;
}
pleat_dtype pleat_tensor_dtype(const pleat_tensor *tensor) {
  return tensor->dtype;
}
int pleat_tensor_rank(const pleat_tensor *tensor) {
  return tensor->rank;
}
const int64_t *pleat_tensor_dims(const pleat_tensor *tensor) {
  return tensor->dims;
}
size_t pleat_tensor_count(const pleat_tensor *tensor) {
  return tensor->count;
}
size_t pleat_tensor_bytes(const pleat_tensor *tensor) {
  return tensor->kind == PLEAT_KIND_TENSOR ? pleat_bytes(tensor) : 0;
}
void *pleat_tensor_data(pleat_tensor *tensor) {
  return tensor->data;
}
const void *pleat_tensor_const_data(const pleat_tensor *tensor) {
  return tensor->data;
}
pleat_tensor *pleat_tensor_item(const pleat_tensor *list, size_t index) {
  return list->kind != PLEAT_KIND_TENSOR && index < list->count ? list->items[index] : NULL;
}

/* Strides and the strided copy, the engine of every operator that only moves elements.
 *
 * The copy first puts the job into a normal form: no dimension of size 1, neighbours merged that are one run in both
 * arrays, the destination's smallest stride innermost. What is left is a stack of planes (rows x columns), each copied
 * by the cheapest of four loops: memcpy of rows, repeat of one element, cache-blocked transpose, plain. Threads share
 * the planes' rows. Every element is written once, so the order of the dimensions is free. */
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/parallel.h"
#include "core/shape.h"

void pleat_dense_strides(int rank, const int64_t *dims, int64_t *out_strides) {
  int64_t stride = 1;
  for (int i = rank - 1; i >= 0; i--) {
    out_strides[i] = stride;
    if (!pleat_mul_i64(stride, dims[i], &stride)) stride = 0; /* only an empty array's product can overflow */
  }
}

bool pleat_broadcast_strides(int rank, const int64_t *dims, int out_rank, const int64_t *out_dims,
                             int64_t *out_strides) {
  if (rank < 0 || rank > out_rank || out_rank > PLEAT_MAX_RANK) return false;
  int64_t dense[PLEAT_MAX_RANK];
  pleat_dense_strides(rank, dims, dense);
  int missing = out_rank - rank;
  for (int i = 0; i < out_rank; i++) {
    if (i < missing || (dims[i - missing] == 1 && out_dims[i] != 1)) {
      out_strides[i] = 0;
    } else if (dims[i - missing] == out_dims[i]) {
      out_strides[i] = dense[i - missing];
    } else {
      return false;
    }
  }
  return true;
}

enum {
  TILE = 16,                       /* side of a transposed block: 16 lines in, 16 lines out fit the smallest L1 */
  SHORT_ROW = 8,                   /* below this many elements a loop beats a call of memcpy */
  ROWS_PER_TASK_BYTES = 32 * 1024, /* what is worth handing to a thread */
};

typedef struct axis {
  int64_t size, dst, src; /* strides in elements */
} axis;

typedef struct plane {
  axis row, column;
} plane;

/* Elements are moved as bits, whatever their type: these may alias anything. */
typedef uint8_t __attribute__((__may_alias__)) bits8;
typedef uint16_t __attribute__((__may_alias__)) bits16;
typedef uint32_t __attribute__((__may_alias__)) bits32;
typedef uint64_t __attribute__((__may_alias__)) bits64;
typedef struct __attribute__((__may_alias__)) bits128 {
  uint64_t words[2];
} bits128;

/* One set of plane loops for an element type. */
#define DEFINE_COPY_PLANE(T, suffix)                                                                                   \
  static void transpose_##suffix(const axis row, const axis column, T *dst, const T *src) {                            \
    for (int64_t r0 = 0; r0 < row.size; r0 += TILE) {                                                                  \
      int64_t r1 = r0 + TILE < row.size ? r0 + TILE : row.size;                                                        \
      for (int64_t c0 = 0; c0 < column.size; c0 += TILE) {                                                             \
        int64_t c1 = c0 + TILE < column.size ? c0 + TILE : column.size;                                                \
        for (int64_t r = r0; r < r1; r++) {                                                                            \
          for (int64_t c = c0; c < c1; c++) dst[r * row.dst + c] = src[r + c * column.src];                            \
        }                                                                                                              \
      }                                                                                                                \
    }                                                                                                                  \
  }                                                                                                                    \
  static void copy_plane_##suffix(const plane *p, void *dst_data, const void *src_data) {                              \
    T *dst = dst_data;                                                                                                 \
    const T *src = src_data;                                                                                           \
    const axis row = p->row, column = p->column;                                                                       \
    if (column.dst == 1 && row.src == 1 && column.src != 1 && row.size > 1) {                                          \
      transpose_##suffix(row, column, dst, src);                                                                       \
      return;                                                                                                          \
    }                                                                                                                  \
    for (int64_t r = 0; r < row.size; r++) {                                                                           \
      T *to = dst + r * row.dst;                                                                                       \
      const T *from = src + r * row.src;                                                                               \
      if (column.dst == 1 && column.src == 1 && column.size >= SHORT_ROW) {                                            \
        memcpy(to, from, (size_t)column.size * sizeof(T));                                                             \
      } else if (column.dst == 1 && column.src == 0) {                                                                 \
        const T value = *from;                                                                                         \
        for (int64_t c = 0; c < column.size; c++) to[c] = value;                                                       \
      } else {                                                                                                         \
        for (int64_t c = 0; c < column.size; c++) to[c * column.dst] = from[c * column.src];                           \
      }                                                                                                                \
    }                                                                                                                  \
  }
DEFINE_COPY_PLANE(bits8, 1)
DEFINE_COPY_PLANE(bits16, 2)
DEFINE_COPY_PLANE(bits32, 4)
DEFINE_COPY_PLANE(bits64, 8)
DEFINE_COPY_PLANE(bits128, 16)

typedef void (*copy_plane_fn)(const plane *p, void *dst, const void *src);

static copy_plane_fn copy_plane_of(size_t element_size) {
  switch (element_size) {
  case 1:
    return copy_plane_1;
  case 2:
    return copy_plane_2;
  case 4:
    return copy_plane_4;
  case 8:
    return copy_plane_8;
  case 16:
    return copy_plane_16;
  default:
    return NULL;
  }
}

/* Drops dimensions of size 1, brings the destination's strides into descending order and merges neighbours that are one
 * run in both arrays. Returns the new rank, or -1 when there is nothing to copy. */
static int normalize(int rank, const int64_t *dims, const int64_t *dst_strides, const int64_t *src_strides,
                     axis out_axes[PLEAT_MAX_RANK]) {
  int count = 0;
  for (int i = 0; i < rank; i++) {
    if (dims[i] <= 0) return -1;
    if (dims[i] == 1) continue;
    axis added = {dims[i], dst_strides[i], src_strides[i]};
    int at = count++;
    for (; at > 0 && llabs(out_axes[at - 1].dst) < llabs(added.dst); at--) out_axes[at] = out_axes[at - 1];
    out_axes[at] = added;
  }
  int merged = 0;
  for (int i = 0; i < count; i++) {
    axis *outer = merged > 0 ? &out_axes[merged - 1] : NULL;
    const axis inner = out_axes[i];
    if (outer != NULL && outer->dst == inner.dst * inner.size && outer->src == inner.src * inner.size) {
      *outer = (axis){outer->size * inner.size, inner.dst, inner.src};
    } else {
      out_axes[merged++] = inner;
    }
  }
  return merged;
}

typedef struct job {
  axis outer[PLEAT_MAX_RANK]; /* dimensions around the plane, slowest first */
  int outer_rank;
  plane plane;
  int64_t planes; /* product of the outer dimensions */
  int64_t rows_per_task, tasks_per_plane;
  size_t element_size;
  copy_plane_fn copy;
  unsigned char *dst;
  const unsigned char *src;
} job;

/* Chooses the plane: its columns are the innermost dimension; its rows the one that the source runs along, when the
 * columns are not contiguous there (a transpose), else the next one out. */
static void plan_job(job *job, int rank, const axis *axes) {
  int row = rank - 2;
  if (rank >= 2 && axes[rank - 1].src != 1) {
    for (int i = 0; i < rank - 1; i++) {
      if (axes[i].src == 1) row = i;
    }
  }
  job->plane.column = rank >= 1 ? axes[rank - 1] : (axis){1, 1, 1};
  job->plane.row = row >= 0 ? axes[row] : (axis){1, 0, 0};
  job->planes = 1;
  for (int i = 0; i < rank - 1; i++) {
    if (i == row) continue;
    job->outer[job->outer_rank++] = axes[i];
    job->planes *= axes[i].size;
  }
}

/* One long row cannot be shared by rows: cut it into rows that cover all but a rest, which is copied here. */
static void split_single_row(job *job) {
  axis *column = &job->plane.column, *row = &job->plane.row;
  int64_t length = (int64_t)(ROWS_PER_TASK_BYTES / job->element_size);
  int64_t rows = column->size / length, rest = column->size % length;
  if (rows < 2) return;
  *row = (axis){rows, length * column->dst, length * column->src};
  column->size = length;
  if (rest == 0) return;
  plane tail = {.row = {1, 0, 0}, .column = {rest, column->dst, column->src}};
  int64_t bytes = (int64_t)job->element_size;
  job->copy(&tail, job->dst + rows * row->dst * bytes, job->src + rows * row->src * bytes);
}

/* Copies the tasks [first, last). The position in the outer dimensions is divided out once and then counted up. */
static void run_tasks(void *arg, int64_t first, int64_t last, int worker) {
  const job *job = arg;
  int64_t at[PLEAT_MAX_RANK], index = first / job->tasks_per_plane, to = 0, from = 0;
  int64_t row = first % job->tasks_per_plane * job->rows_per_task, bytes = (int64_t)job->element_size;
  (void)worker;
  for (int i = job->outer_rank - 1; i >= 0; i--) {
    at[i] = index % job->outer[i].size;
    index /= job->outer[i].size;
    to += at[i] * job->outer[i].dst;
    from += at[i] * job->outer[i].src;
  }
  plane part = job->plane;
  for (int64_t task = first; task < last; task++) {
    int64_t left = job->plane.row.size - row;
    part.row.size = left < job->rows_per_task ? left : job->rows_per_task;
    job->copy(&part, job->dst + (to + row * part.row.dst) * bytes, job->src + (from + row * part.row.src) * bytes);
    row += job->rows_per_task;
    if (row < job->plane.row.size) continue;
    row = 0;
    for (int i = job->outer_rank - 1; i >= 0; i--) {
      const axis outer = job->outer[i];
      to += outer.dst;
      from += outer.src;
      if (++at[i] < outer.size) break;
      at[i] = 0;
      to -= outer.dst * outer.size;
      from -= outer.src * outer.size;
    }
  }
}

/* Cuts the planes into tasks of about ROWS_PER_TASK_BYTES, or one per thread where that is less. */
static void cut_planes(job *job, int threads) {
  int64_t row_bytes = job->plane.column.size * (int64_t)job->element_size, rows_in_plane = job->plane.row.size;
  int64_t rows = (ROWS_PER_TASK_BYTES + row_bytes - 1) / row_bytes;
  rows = (rows + TILE - 1) / TILE * TILE; /* whole tiles, for the transpose */
  if (rows_in_plane <= rows * threads) rows = (rows_in_plane + threads - 1) / threads;
  if (rows < rows_in_plane) job->rows_per_task = rows;
}

void pleat_copy_strided(size_t element_size, int rank, const int64_t *dims, void *dst, const int64_t *dst_strides,
                        const void *src, const int64_t *src_strides, int threads) {
  axis axes[PLEAT_MAX_RANK];
  copy_plane_fn copy = copy_plane_of(element_size);
  int axis_count = normalize(rank, dims, dst_strides, src_strides, axes);
  if (axis_count < 0 || copy == NULL) return;
  job job = {.element_size = element_size, .copy = copy, .dst = dst, .src = src};
  plan_job(&job, axis_count, axes);

  int64_t plane_bytes = job.plane.row.size * job.plane.column.size * (int64_t)element_size;
  bool parallel = threads > 1 && plane_bytes * job.planes >= PLEAT_PARALLEL_BYTES;
  if (parallel && job.planes == 1 && job.plane.row.size == 1) split_single_row(&job);
  job.rows_per_task = job.plane.row.size;
  if (parallel) cut_planes(&job, threads);
  job.tasks_per_plane = (job.plane.row.size + job.rows_per_task - 1) / job.rows_per_task;
  pleat_parallel_ranges(parallel ? threads : 1, job.planes * job.tasks_per_plane, run_tasks, &job);
}

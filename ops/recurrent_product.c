/* RNN, GRU and LSTM as products: what the input contributes is one product for all steps; each step then multiplies the
 * states of all sequences by R. Both matrices are used transposed, so that a vector times a matrix runs along
 * contiguous rows: packs where they are constant, else transposed in each run, so that the bits are the same. See
 * recurrent.c for what is computed. */
#include <string.h>

#include "core/checked.h"
#include "core/parallel.h"
#include "ops/block_gemm.h"
#include "ops/packs.h"
#include "ops/recurrent_product.h"

enum { INPUT_X, INPUT_W, INPUT_R, INPUT_B, INPUT_LENGTHS, INPUT_H, INPUT_C, INPUT_P };

typedef struct product {
  pleat_recurrent net;
  int directions;
  int64_t gates, hidden, input, batch, steps; /* the net's, to count with */
  const void *w, *r; /* transposed packs [directions][input or hidden][gates * hidden]; NULL: not constant */
  pleat_block_split split;
  size_t scratch, own_w, own_r, projected, gates_at, h_at, c_at, kept_at; /* places in the workspace, in bytes */
} product;

/* One direction of a run. */
typedef struct direction {
  int index;
  const void *r, *bias, *peephole, *initial_h, *initial_c;
  const int32_t *lengths;
  void *projected, *gates, *h, *c, *kept, *y, *final_h, *final_c, *scratch;
} direction;

/* ---- where things are, in elements ---- */

static int64_t length_of(const direction *d, const product *p, int64_t n) {
  return d->lengths != NULL ? d->lengths[n] : p->steps;
}

/* The position in the sequence that a step looks at. */
static int64_t position(const product *p, const direction *d, int64_t n, int64_t step) {
  const bool backwards = d->index == 1 || p->net.backward_first;
  return backwards ? length_of(d, p, n) - 1 - step : step;
}

static int64_t x_row(const product *p, int64_t at, int64_t n) {
  return p->net.batch_first ? n * p->steps + at : at * p->batch + n;
}

static int64_t y_index(const product *p, int index, int64_t at, int64_t n) {
  return (p->net.batch_first ? (n * p->steps + at) * p->directions + index
                             : (at * p->directions + index) * p->batch + n) *
         p->hidden;
}

static int64_t state_index(const product *p, int index, int64_t n) {
  return (p->net.batch_first ? n * p->directions + index : index * p->batch + n) * p->hidden;
}

#define PLEAT_TEMPLATE "ops/recurrent_product.inc"
#define PLEAT_TEMPLATE_FLOATS
#include "ops/template.h"

/* ---- planning ---- */

static void transpose(pleat_dtype dtype, int64_t rows, int64_t cols, const void *in, void *out) {
  PLEAT_SWITCH_FLOATS(dtype, , transpose, (rows, cols, in, out))
}

/* All directions of a weight, each transposed. */
static void transpose_all(const pleat_tensor *shape, const void *in, void *out) {
  const size_t matrix = (size_t)(shape->dims[1] * shape->dims[2]) * pleat_dtype_size(shape->dtype);
  for (int64_t i = 0; i < shape->dims[0]; i++)
    transpose(shape->dtype, shape->dims[1], shape->dims[2], (const char *)in + (size_t)i * matrix,
              (char *)out + (size_t)i * matrix);
}

/* Some rows at a time, so that the weight is never there twice. */
static pleat_status fill_transposed(const pleat_pack_source *source, const void *user, void *pack, pleat_error *error) {
  enum { ROWS_BYTES = 1 << 14 };
  const pleat_tensor *shape = pleat_pack_tensor(source);
  const int64_t rows = shape->dims[1], cols = shape->dims[2];
  const size_t size = pleat_dtype_size(shape->dtype);
  double buffer[ROWS_BYTES / sizeof(double)];
  (void)user, (void)error;
  for (int64_t row = 0; row < shape->dims[0] * rows; row++) {
    char *out = (char *)pack + (size_t)(row / rows * rows * cols + row % rows) * size;
    for (int64_t col = 0; col < cols; col += (int64_t)(ROWS_BYTES / size)) {
      const int64_t n = cols - col < (int64_t)(ROWS_BYTES / size) ? cols - col : (int64_t)(ROWS_BYTES / size);
      pleat_pack_read(source, (size_t)(row * cols + col), (size_t)n, buffer);
      for (int64_t i = 0; i < n; i++)
        memcpy(out + (size_t)((col + i) * rows) * size, (const char *)buffer + (size_t)i * size, size);
    }
  }
  return PLEAT_OK;
}

static pleat_status pack_weight(pleat_call *call, size_t input, const void **out_pack) {
  static const char key[] = "recurrent product";
  const pleat_pack_format format = {
      .key = key, .key_size = sizeof key, .bytes = pleat_bytes(call->inputs[input]), .fill = fill_transposed};
  if (!pleat_call_is_constant(call, input)) return PLEAT_OK;
  return pleat_call_pack(call, input, &format, out_pack);
}

static pleat_status read_call(const pleat_call *call, product *p) {
  const pleat_recurrent *net = &p->net;
  PLEAT_TRY(pleat_recurrent_read(call, &p->net));
  p->directions = (int)net->directions;
  p->gates = net->kind;
  p->steps = (int64_t)net->length;
  p->batch = (int64_t)net->batch;
  p->input = (int64_t)net->input;
  p->hidden = (int64_t)net->hidden;
  return PLEAT_OK;
}

/* Places `count` elements for each direction at the workspace's end. */
static bool place(size_t *size, const product *p, int64_t rows, int64_t cols, size_t element, size_t *out_at) {
  size_t bytes;
  *out_at = *size;
  return pleat_mul_size((size_t)rows, (size_t)cols, &bytes) && pleat_mul_size(bytes, element, &bytes) &&
         pleat_mul_size(bytes, (size_t)p->directions, &bytes) && pleat_align_up(bytes, 64, &bytes) &&
         pleat_add_size(*size, bytes, size);
}

static pleat_status plan_workspace(pleat_call *call, product *p) {
  const size_t element = pleat_dtype_size(call->inputs[0]->dtype);
  const int64_t width = p->gates * p->hidden, rows = p->steps * p->batch;
  const int scratches = call->threads > 2 ? call->threads : 2;
  p->scratch = pleat_block_scratch(call->inputs[0]->dtype);
  PLEAT_TRY(pleat_block_workspace(call, scratches, p->scratch));
  size_t *size = &call->workspace_size;
  if (place(size, p, p->w == NULL ? p->input : 0, width, element, &p->own_w) &&
      place(size, p, p->r == NULL ? p->hidden : 0, width, element, &p->own_r) &&
      place(size, p, rows, width, element, &p->projected) && place(size, p, p->batch, width, element, &p->gates_at) &&
      place(size, p, p->batch, p->hidden, element, &p->h_at) &&
      place(size, p, p->batch, p->hidden, element, &p->c_at) &&
      place(size, p, p->batch, p->hidden, element, &p->kept_at))
    return PLEAT_OK;
  return pleat_fail(call->error, PLEAT_OUT_OF_MEMORY, "the gates of all steps overflow memory");
}

static pleat_status prepare(pleat_call *call) {
  product *p = pleat_call_state(call, sizeof *p);
  if (p == NULL) return PLEAT_OOM(call->error);
  PLEAT_TRY(read_call(call, p));
  PLEAT_TRY(pack_weight(call, INPUT_W, &p->w));
  PLEAT_TRY(pack_weight(call, INPUT_R, &p->r));
  p->split = pleat_block_split_make(p->directions, p->steps * p->batch, p->gates * p->hidden, call->threads);
  return plan_workspace(call, p);
}

/* ---- running ---- */

typedef struct projection {
  const product *p;
  pleat_dtype dtype;
  const void *x, *w;
  void *out;
} projection;

static void project_block(const void *argument, int64_t item, void *scratch) {
  const projection *job = argument;
  const product *p = job->p;
  const pleat_block_split *split = &p->split;
  const int64_t m = p->steps * p->batch, n = p->gates * p->hidden;
  const int64_t col = item % split->col_blocks * split->cols, rest = item / split->col_blocks;
  const int64_t row = rest % split->row_blocks * split->rows, index = rest / split->row_blocks;
  const size_t element = pleat_dtype_size(job->dtype);
  char *out = (char *)job->out + (size_t)(index * m * n) * element;
  const char *w = (const char *)job->w + (size_t)(index * p->input * n) * element;
  const pleat_matrix_product product = {.dtype = job->dtype,
                                        .m = m,
                                        .n = n,
                                        .k = p->input,
                                        .a = {.data = p->input > 0 ? job->x : out, .row = p->input, .col = 1},
                                        .b = {.data = p->input > 0 ? w : out, .row = n, .col = 1},
                                        .c = out,
                                        .c_row = n};
  pleat_matrix_block(&product, row, m - row < split->rows ? m - row : split->rows, col,
                     n - col < split->cols ? n - col : split->cols, scratch);
}

static const void *data_of(const pleat_call *call, size_t input) {
  const pleat_tensor *tensor = pleat_in(call, input);
  return tensor != NULL ? tensor->data : NULL;
}

static void *output_of(const pleat_call *call, size_t output) {
  pleat_tensor *tensor = pleat_out(call, output);
  return tensor != NULL ? tensor->data : NULL;
}

static void run_one(const pleat_call *call, const product *p, const void *r, int index) {
  const pleat_dtype dtype = call->inputs[0]->dtype;
  const size_t element = pleat_dtype_size(dtype), i = (size_t)index;
  const size_t hidden = (size_t)p->hidden, width = (size_t)p->gates * hidden, state = (size_t)p->batch * hidden;
  char *memory = call->workspace;
  const char *bias = data_of(call, INPUT_B), *peephole = data_of(call, INPUT_P);
  const direction d = {.index = index,
                       .r = (const char *)r + i * hidden * width * element,
                       .bias = bias != NULL ? bias + i * 2 * width * element : NULL,
                       .peephole = peephole != NULL ? peephole + i * 3 * hidden * element : NULL,
                       .initial_h = data_of(call, INPUT_H),
                       .initial_c = data_of(call, INPUT_C),
                       .lengths = data_of(call, INPUT_LENGTHS),
                       .projected = memory + p->projected + i * (size_t)(p->steps * p->batch) * width * element,
                       .gates = memory + p->gates_at + i * (size_t)p->batch * width * element,
                       .h = memory + p->h_at + i * state * element,
                       .c = memory + p->c_at + i * state * element,
                       .kept = memory + p->kept_at + i * state * element,
                       .y = output_of(call, 0),
                       .final_h = output_of(call, 1),
                       .final_c = output_of(call, 2),
                       .scratch = memory + i * p->scratch};
  PLEAT_SWITCH_FLOATS(dtype, , run_direction, (p, &d))
}

typedef struct both_directions {
  const pleat_call *call;
  const product *p;
  const void *r;
} both_directions;

static void run_item(void *job, int64_t item, int worker) {
  const both_directions *both = job;
  (void)worker; /* each direction has memory of its own */
  run_one(both->call, both->p, both->r, (int)item);
}

static pleat_status run(const pleat_call *call) {
  const product *p = call->state;
  const int64_t items = p->directions * p->split.row_blocks * p->split.col_blocks;
  const double work = (double)p->steps * (double)p->batch * (double)p->gates * (double)p->hidden * (double)p->hidden;
  const double work_of_input = work / (double)(p->hidden > 0 ? p->hidden : 1) * (double)p->input * p->directions;
  const bool in_parallel = call->threads > 1 && p->directions > 1 && work >= PLEAT_PARALLEL_MACS;
  const void *w = p->w, *r = p->r;
  if (p->batch == 0 || p->hidden == 0) return PLEAT_OK;
  PLEAT_TRY(pleat_recurrent_check_lengths(call, &p->net));
  if (w == NULL) transpose_all(call->inputs[INPUT_W], call->inputs[INPUT_W]->data, (char *)call->workspace + p->own_w);
  if (r == NULL) transpose_all(call->inputs[INPUT_R], call->inputs[INPUT_R]->data, (char *)call->workspace + p->own_r);
  w = w != NULL ? w : (char *)call->workspace + p->own_w;
  r = r != NULL ? r : (char *)call->workspace + p->own_r;
  const projection job = {.p = p,
                          .dtype = call->inputs[0]->dtype,
                          .x = call->inputs[INPUT_X]->data,
                          .w = w,
                          .out = (char *)call->workspace + p->projected};
  const int threads = work_of_input >= PLEAT_PARALLEL_MACS ? call->threads : 1;
  pleat_block_run(items, threads, call->workspace, p->scratch, project_block, &job);
  both_directions both = {.call = call, .p = p, .r = r};
  pleat_parallel(in_parallel ? 2 : 1, p->directions, run_item, &both);
  return PLEAT_OK;
}

/* ---- the kernel ---- */

const pleat_kernel pleat_recurrent_product = {.name = "product",
                                              .types = PLEAT_M_FLOATS,
                                              .flags = PLEAT_KERNEL_WIDEN,
                                              .packs = 1u << INPUT_W | 1u << INPUT_R,
                                              .prepare = prepare,
                                              .run = run};

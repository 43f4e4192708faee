/* Matrix products of one to four rows with a constant matrix that lies row by row, as fully connected layers (Gemm with
 * transB) and 1x1 convolutions of a single position (squeeze-and-excite) have it. Reading the matrix takes all the
 * time: it is read where it is stored, in its order, and packed nowhere. */
#include "core/parallel.h"
#include "ops/conv.h"
#include "ops/packs.h"
#include "ops/x86/x86.h"

enum { GEMM_A, GEMM_B, GEMM_C, GEMM_Z };

typedef struct rows {
  pleat_x86_rows matrix;
  const pleat_x86_code *code;
  int count; /* rows of the matrix, numbers in a row of the result */
  int group; /* rows that one item takes: whole vectors of results */
  int64_t samples;
} rows;

/* ---- what is taken ---- */

/* `w` has `count` rows of `depth`. */
static const char *refuse(const pleat_call *call, int64_t samples, int64_t count, int64_t depth) {
  enum { MOST_SAMPLES = 4 };
  pleat_x86_activation activation;
  if (pleat_x86_code_of_cpu() == NULL) return PLEAT_X86_NO_CODE;
  if (call->inputs[GEMM_A]->count == 0 || count == 0 || depth == 0) return "an empty tensor";
  if (!pleat_call_is_constant(call, GEMM_B)) return "the weight is not constant";
  if (samples > MOST_SAMPLES) return "too many rows";
  if (count > INT32_MAX - 64) return "too large";
  if (!pleat_x86_activation_of(call->node, &activation)) return "not with this activation";
  return NULL;
}

static const char *supports_conv(const pleat_call *call) {
  enum { MOST_FLOATS = 512 * 1024 };
  const pleat_tensor *x = call->inputs[GEMM_A], *w = call->inputs[GEMM_B], *y = call->outputs[0];
  if (!pleat_attr_ints_all(call->node, "pads", 0)) return "padding";
  for (int i = 2; i < x->rank; i++) {
    if (x->dims[i] != 1 || w->dims[i] != 1 || y->dims[i] != 1) return "more than a single position";
  }
  if (pleat_attr_int(call->node, "group") != 1) return "groups";
  if (pleat_conv_is_scaled(call) || pleat_conv_gives_mean(call)) return "a scaled input, or the mean of the result";
  if (call->bf16 && w->count > MOST_FLOATS) return "reading so large a matrix takes half the time in bfloat16";
  return refuse(call, x->dims[0], w->dims[0], w->dims[1]);
}

static const char *supports_gemm(const pleat_call *call) {
  const pleat_tensor *w = call->inputs[GEMM_B], *c = pleat_in(call, GEMM_C);
  if (pleat_attr_int(call->node, "transA") != 0 || pleat_attr_int(call->node, "transB") == 0)
    return "the matrix does not lie row by row";
  if (pleat_attr_float(call->node, "alpha") != 1) return "alpha is not 1";
  if (c != NULL && pleat_attr_float(call->node, "beta") != 1) return "beta is not 1";
  if (c != NULL && ((int64_t)c->count != w->dims[0] || c->dims[c->rank - 1] != w->dims[0])) return "C is not one row";
  return refuse(call, call->inputs[GEMM_A]->dims[0], w->dims[0], w->dims[1]);
}

static pleat_status prepare(pleat_call *call) {
  enum { ITEMS_PER_THREAD = 4 };
  rows *r = pleat_call_state(call, sizeof *r);
  const pleat_tensor *w = call->inputs[GEMM_B];
  const void *data = NULL;
  if (r == NULL) return PLEAT_OOM(call->error);
  r->code = pleat_x86_code_of_cpu();
  r->samples = call->inputs[GEMM_A]->dims[0];
  r->count = (int)w->dims[0];
  r->matrix.depth = (size_t)w->dims[1];
  const int groups = pleat_x86_divide_up(r->count, r->code->lanes);
  r->group = pleat_x86_divide_up(groups, ITEMS_PER_THREAD * call->threads) * r->code->lanes;
  pleat_x86_activation_of(call->node, &r->matrix.activation);
  PLEAT_TRY(pleat_call_dense(call, GEMM_B, &data));
  r->matrix.w = data;
  return PLEAT_OK;
}

/* ---- running ---- */

static int min(int a, int b) {
  return a < b ? a : b;
}

/* Rows [first, end) of the matrix, some at a time for all samples, so that each is read from memory once. */
static void run_rows(const rows *r, const pleat_call *call, int first, int end) {
  const pleat_tensor *bias = pleat_in(call, GEMM_C), *z = pleat_in(call, GEMM_Z);
  const float *x = call->inputs[GEMM_A]->data, *addend = z != NULL ? z->data : NULL;
  float *y = call->outputs[0]->data;
  pleat_x86_rows matrix = r->matrix;
  matrix.bias = bias != NULL ? bias->data : NULL;
  for (int row = first; row < end; row += r->code->lanes) {
    for (int64_t i = 0; i < r->samples; i++)
      r->code->rows_times(&matrix, x + (size_t)i * matrix.depth, addend != NULL ? addend + i * r->count : NULL,
                          y + i * r->count, row, min(row + r->code->lanes, end));
  }
}

static void run_group(void *arg, int64_t group, int worker) {
  const pleat_call *call = arg;
  const rows *r = call->state;
  const int first = (int)group * r->group;
  (void)worker;
  run_rows(r, call, first, min(first + r->group, r->count));
}

static pleat_status run(const pleat_call *call) {
  const rows *r = call->state;
  const size_t bytes = (size_t)r->count * r->matrix.depth * sizeof(float);
  const int threads = bytes < PLEAT_PARALLEL_BYTES ? 1 : call->threads;
  pleat_parallel(threads, pleat_x86_divide_up(r->count, r->group), run_group, (void *)(uintptr_t)call);
  return PLEAT_OK;
}

const pleat_kernel pleat_x86_rows_conv = {.name = "rows",
                                          .types = PLEAT_M_F32,
                                          .flags = PLEAT_KERNEL_BESIDE_BF16,
                                          .inplace = 1u << GEMM_Z,
                                          .packs = 1u << GEMM_B,
                                          .supports = supports_conv,
                                          .prepare = prepare,
                                          .run = run};

const pleat_kernel pleat_x86_rows_gemm = {.name = "rows",
                                          .types = PLEAT_M_F32,
                                          .inplace = 1u << GEMM_Z,
                                          .packs = 1u << GEMM_B,
                                          .supports = supports_gemm,
                                          .prepare = prepare,
                                          .run = run};

/* Runs one kernel of an operator as the planner would: inputs in the layouts that it wants, its output made dense
 * again. On top of op_case.h. */
#ifndef PLEAT_TESTS_KERNEL_CASE_H
#define PLEAT_TESTS_KERNEL_CASE_H

#include <stdio.h>

#include "core/parallel.h"
#include "core/shape.h"
#include "op_case.h"
#include "ops/kernels.h"
#include "ops/layout.h"

typedef struct how {
  unsigned constants; /* bit i: prepare sees input i's data */
  unsigned blocked;   /* bit i: input i comes in blocks of channels */
  bool exact, no_layouts;
  bool bf16; /* activations are bfloat16, and so are the blocks of inputs */
  int lanes; /* channels in a block; 0: 16 */
  int variant;
  bool second;      /* the result is output 1, which is dense; the case has two outputs */
  int most_threads; /* comparisons run on 1 to so many; 0: 3 */
  int inplace;      /* 1 + the input in whose memory output 0 is made, if it comes in the same layout; 0: none */
} how;

static inline void *run_memory(size_t bytes) {
  void *memory = aligned_alloc(64, (bytes + 127) / 64 * 64);
  ck_assert_ptr_nonnull(memory);
  memset(memory, 0xff, (bytes + 127) / 64 * 64); /* NaN: what is not written shows */
  return memory;
}

/* Threads for all that the test's process runs: making and ending them for each run took most of the time. */
static inline void need_threads(void) {
  enum { MOST = 3 };
  static bool are_there;
  if (!are_there) pleat_parallel_retain(MOST);
  are_there = true;
}

/* Prepares, opens, runs, closes and releases. The first `input_count` tensors of `call` are as they will be. */
static inline pleat_status run_prepared(const pleat_kernel *kernel, pleat_call *call) {
  call->workspace = run_memory(call->workspace_size);
  need_threads();
  pleat_status status = pleat_kernel_open(kernel, call);
  if (status == PLEAT_OK) status = pleat_kernel_run(kernel, call);
  /* Again over the same memory: nothing may depend on what the first run left. */
  if (status == PLEAT_OK && kernel->inplace == 0) status = pleat_kernel_run(kernel, call);
  pleat_kernel_close(kernel, call);
  free(call->workspace);
  return status;
}

/* A copy of the tensor in another layout; data is malloc'd. */
static inline pleat_tensor convert(const pleat_tensor *from, const pleat_layout *layout, pleat_arena *arena) {
  pleat_tensor to = *from, *output = &to;
  const pleat_tensor *inputs[] = {from};
  const pleat_layout *wanted[] = {from->layout};
  to.refs = 0;
  to.layout = layout;
  to.data = run_memory(pleat_layout_bytes(&to));
  if (pleat_layout_equal(from->layout, layout)) {
    if (from->count > 0) memcpy(to.data, from->data, pleat_layout_bytes(from));
    return to;
  }
  const pleat_kernel *reorder = NULL;
  pleat_call call = {.input_count = 1, .output_count = 1, .inputs = inputs, .outputs = &output, .wanted = wanted};
  pleat_error error = PLEAT_ERROR_INIT;
  char text[256];
  call.threads = 1;
  call.arena = arena;
  call.error = &error;
  ck_assert_msg(pleat_reorder_take(&call, &reorder) == PLEAT_OK, "%s: %s", pleat_tensor_text(from, text, sizeof text),
                error.message);
  ck_assert_int_eq(run_prepared(reorder, &call), PLEAT_OK);
  pleat_kernel_release(reorder, &call);
  return to;
}

/* Channels that only fill up the last block are zero. (oneDNN's may be what zero weights make of inputs that are not
 * finite.) */
static inline void check_padding(const op_case *c, const pleat_kernel *kernel, const pleat_tensor *y) {
  const int64_t block = y->layout != NULL ? y->layout->block : 0, used = block > 0 ? y->dims[1] % block : 0;
  const bool bf16 = pleat_layout_is_bf16(y->layout);
  if (used == 0 || y->count == 0 || y->dtype != PLEAT_FLOAT) return;
  const bool is_onednn = strcmp(kernel->name, "onednn") == 0;
  for (size_t i = 0; is_onednn && i < c->input_count; i++) {
    for (size_t k = 0; c->inputs[i] != NULL && k < c->inputs[i]->count; k++) {
      if (!isfinite(element(c->inputs[i], k))) return;
    }
  }
  const int64_t channels = pleat_layout_channels(y->layout, y->dims[1]), positions = pleat_volume(y->dims, 2, y->rank);
  for (int64_t n = 0; n < y->dims[0]; n++) {
    const int64_t last = ((n + 1) * channels - block) * positions;
    for (int64_t i = 0; i < positions * block; i++) {
      const float value =
          bf16 ? pleat_bf16_to_f32(((const uint16_t *)y->data)[last + i]) : ((const float *)y->data)[last + i];
      /* An assertion a number would be slow: Check notes each in a pipe. */
      if (i % block >= used && value != 0) ck_abort_msg("channel %d of a block is %g", (int)(i % block), (double)value);
    }
  }
}

/* The tensor of output `index`, without data. */
static inline pleat_tensor tensor_of(const pleat_type *type) {
  pleat_tensor tensor = {.kind = PLEAT_KIND_TENSOR};
  int64_t dims[PLEAT_MAX_RANK];
  ck_assert(pleat_shape_dims(&type->shape, dims));
  ck_assert(pleat_tensor_describe(&tensor, type->dtype, type->shape.rank, dims));
  return tensor;
}

/* The kernel's output 0 (or 1, see `how`) as a new dense tensor; NULL when it declines (why: in c->error). `out_plain`:
 * whether it came out dense; may be NULL. */
static inline pleat_tensor *run_kernel(op_case *c, const pleat_kernel *kernel, how how, bool *out_plain) {
  pleat_arena *arena = pleat_arena_create();
  pleat_tensor seen[CASE_INPUTS] = {{0}}, ready[CASE_INPUTS] = {{0}}, y, other, *out[] = {&y, &other};
  const pleat_tensor *inputs[CASE_INPUTS] = {NULL};
  const pleat_layout *wanted[CASE_INPUTS] = {NULL};
  pleat_tensor *result = NULL;
  pleat_type types[CASE_INPUTS] = {{0}}, inferred[CASE_OUTPUTS] = {{0}};
  for (size_t i = 0; i < c->input_count; i++) {
    if (c->inputs[i] != NULL) types[i] = pleat_type_of_tensor(c->inputs[i]);
  }
  ck_assert_msg(pleat_node_infer(&c->node, types, inferred, &c->error) == PLEAT_OK, "%s", c->error.message);
  y = tensor_of(&inferred[0]);
  if (how.second) other = tensor_of(&inferred[1]);
  for (size_t i = 0; i < c->input_count; i++) {
    if (c->inputs[i] == NULL) continue;
    seen[i] = *c->inputs[i];
    seen[i].refs = 0;
    if ((how.constants >> i & 1) == 0) seen[i].data = NULL;
    inputs[i] = &seen[i];
    if ((how.blocked >> i & 1) != 0) {
      const pleat_layout *blocks = pleat_layout_blocked(how.lanes > 0 ? how.lanes : 16);
      if (!pleat_layout_is_dense(blocks, seen[i].rank, seen[i].dims))
        seen[i].layout = pleat_layout_as(blocks, how.bf16);
    }
    wanted[i] = seen[i].layout;
  }
  pleat_call call = {
      .node = &c->node, .version = c->node.version, .input_count = c->input_count, .output_count = how.second ? 2 : 1};
  call.inputs = inputs;
  call.outputs = out;
  call.wanted = how.no_layouts ? NULL : wanted;
  call.exact = how.exact;
  call.bf16 = how.bf16;
  call.variant = how.variant;
  call.threads = c->threads > 0 ? c->threads : 1;
  call.arena = arena;
  call.error = &c->error;
  const char *reason = kernel->supports != NULL ? kernel->supports(&call) : NULL;
  if (reason != NULL) pleat_fail(&c->error, PLEAT_UNSUPPORTED, "%s", reason);
  if (reason == NULL && pleat_kernel_prepare(kernel, &call) == PLEAT_OK) {
    for (size_t i = 0; i < c->input_count; i++) {
      if (c->inputs[i] == NULL) continue;
      ready[i] = convert(c->inputs[i], wanted[i], arena);
      inputs[i] = &ready[i];
    }
    y.data = run_memory(pleat_layout_bytes(&y));
    if (how.second) other.data = run_memory(pleat_layout_bytes(&other));
    if (how.inplace > 0 && !pleat_layout_equal(ready[how.inplace - 1].layout, y.layout)) how.inplace = 0;
    if (how.inplace > 0) {
      pleat_tensor *shared = &ready[how.inplace - 1];
      memcpy(y.data, shared->data, pleat_layout_bytes(&y));
      free(shared->data);
      shared->data = y.data;
    }
    ck_assert_msg(run_prepared(kernel, &call) == PLEAT_OK, "%s", c->error.message);
    if (out_plain != NULL) *out_plain = y.layout == NULL;
    check_padding(c, kernel, &y);
    const pleat_tensor *shown = how.second ? &other : &y;
    pleat_tensor dense = convert(shown, NULL, arena);
    ck_assert_int_eq(pleat_tensor_create(shown->dtype, shown->rank, shown->dims, &result, NULL), PLEAT_OK);
    if (result->count > 0) memcpy(result->data, dense.data, pleat_bytes(result));
    free(dense.data);
    free(y.data);
    if (how.second) free(other.data);
    for (size_t i = 0; i < CASE_INPUTS; i++) {
      if ((int)i + 1 != how.inplace) free(ready[i].data);
    }
    pleat_kernel_release(kernel, &call);
  }
  pleat_arena_destroy(arena);
  return result;
}

static inline const pleat_kernel *reference_kernel(const op_case *c) {
  const pleat_kernel *const *kernel = c->node.def->kernels;
  while (kernel[1] != NULL) kernel++;
  return *kernel;
}

/* Finishes the node; `domain` "pleat" for the fused operators. */
static inline void case_ready(op_case *c, const char *domain) {
  const char *op = c->op;
  if (domain[0] != '\0') c->op = "Conv"; /* case_build only looks in the default domain */
  case_build(c);
  c->op = op;
  if (domain[0] == '\0') return;
  c->node.op_type = op;
  c->node.domain = domain;
  c->node.def = pleat_op_find(domain, op);
  ck_assert_ptr_nonnull(c->node.def);
  c->node.version = pleat_op_version_at(c->node.def, 1);
}

/* Root mean square of the difference from `expected`, as a part of its own. */
static inline double relative_error(const pleat_tensor *found, const pleat_tensor *expected) {
  double wrong = 0, size = 0;
  ck_assert(pleat_same_shape(found, expected));
  for (size_t i = 0; i < found->count; i++) {
    const double e = element(expected, i), d = element(found, i) - e;
    wrong += d * d;
    size += e * e;
  }
  return size > 0 ? sqrt(wrong / size) : sqrt(wrong);
}

/* Every element within `tolerance` of the expected one, relative to the largest one, but at least 1; and within
 * `rounding` of its own size beyond that. */
static inline void check_within(const pleat_tensor *found, const pleat_tensor *expected, double tolerance,
                                double rounding, const char *what) {
  double scale = 1;
  ck_assert(pleat_same_shape(found, expected));
  for (size_t i = 0; i < found->count; i++) {
    if (isfinite(element(expected, i)) && fabs(element(expected, i)) > scale) scale = fabs(element(expected, i));
  }
  for (size_t i = 0; i < found->count; i++) {
    const double a = element(found, i), e = element(expected, i);
    if (a == e || (isnan(a) && isnan(e))) continue;
    if (!(fabs(a - e) <= tolerance * scale + rounding * (isfinite(e) ? fabs(e) : 0)))
      ck_abort_msg("%s: element %zu is %.9g, expected %.9g", what, i, a, e);
  }
}

static inline void check_close(const pleat_tensor *found, const pleat_tensor *expected, double tolerance,
                               const char *what) {
  check_within(found, expected, tolerance, 0, what);
}

/* The same, but that each element was rounded to bfloat16 at the end. */
static inline void check_rounded(const pleat_tensor *found, const pleat_tensor *expected, double tolerance,
                                 const char *what) {
  char text[512];
  snprintf(text, sizeof text, "%s in bfloat16", what);
  check_within(found, expected, tolerance, 0x1p-8, text);
}

/* The fast kernel `kernel` against what is expected, with 1, 2 and 3 threads; bitwise repeatable. It must not decline.
 */
static inline void check_kernel(op_case *c, const pleat_kernel *kernel, how how, const pleat_tensor *expected,
                                double tolerance, const char *what) {
  for (c->threads = 1; c->threads <= (how.most_threads > 0 ? how.most_threads : 3); c->threads++) {
    pleat_tensor *found = run_kernel(c, kernel, how, NULL);
    ck_assert_msg(found != NULL, "%s declines: %s", what, c->error.message);
    if (how.bf16) check_rounded(found, expected, tolerance, what);
    else check_close(found, expected, tolerance, what);
    pleat_tensor *again = run_kernel(c, kernel, how, NULL);
    if (found->count > 0) ck_assert_mem_eq(found->data, again->data, pleat_bytes(found));
    pleat_tensor_release(again);
    pleat_tensor_release(found);
  }
}

/* The kernel against the reference, in all its ways. */
static inline void compare_with_reference(op_case *c, const pleat_kernel *kernel, how how, unsigned blocked,
                                          double tolerance, const char *what) {
  c->threads = 1;
  pleat_tensor *expected = run_kernel(c, reference_kernel(c),
                                      (struct how){.constants = ~0u, .no_layouts = true, .second = how.second}, NULL);
  ck_assert_ptr_nonnull(expected);
  check_kernel(c, kernel, how, expected, tolerance, what);
  how.blocked = blocked;
  if (blocked != 0) check_kernel(c, kernel, how, expected, tolerance, what);
  for (size_t i = 0; i < c->input_count; i++) {
    if (c->inputs[i] == NULL || ((kernel->inplace & blocked) >> i & 1) == 0) continue;
    if (how.second || !pleat_same_shape(c->inputs[i], expected)) continue;
    how.inplace = (int)i + 1;
    how.most_threads = 1;
    check_kernel(c, kernel, how, expected, tolerance, what);
  }
  pleat_tensor_release(expected);
}

/* One output of the kernel so. */
static inline void check_output(op_case *c, const pleat_kernel *kernel, bool second, unsigned constants,
                                unsigned blocked, double tolerance, const char *what) {
  compare_with_reference(c, kernel, (how){.constants = constants, .second = second}, blocked, tolerance, what);
}

/* The same of a case that is not ready yet. Ends the case. */
static inline void check_against_reference(op_case *c, const pleat_kernel *kernel, const char *domain,
                                           unsigned constants, unsigned blocked, double tolerance, const char *what) {
  case_ready(c, domain);
  compare_with_reference(c, kernel, (how){.constants = constants}, blocked, tolerance, what);
  case_end(c);
}

/* Rounds all inputs to bfloat16, but vectors: those stay float in steps that are not. */
static inline void round_inputs(op_case *c) {
  for (size_t i = 0; i < c->input_count; i++) {
    if (c->inputs[i] == NULL || c->inputs[i]->rank < 2) continue;
    float *values = c->inputs[i]->data;
    for (size_t k = 0; k < c->inputs[i]->count; k++) values[k] = pleat_bf16_to_f32(pleat_f32_to_bf16(values[k]));
  }
}

/* The kernel declines with these words. Ends the case. */
static inline void check_declines(op_case *c, const pleat_kernel *kernel, unsigned constants, const char *words) {
  case_ready(c, "");
  pleat_tensor *found = run_kernel(c, kernel, (how){.constants = constants}, NULL);
  ck_assert_msg(found == NULL, "it does not decline");
  ck_assert_msg(strstr(c->error.message, words) != NULL, "'%s' is not in '%s'", words, c->error.message);
  case_end(c);
}

#endif

/* Choosing, preparing and running a kernel. The one place that knows about widening: a kernel with PLEAT_KERNEL_WIDEN
 * sees float copies ("shadows") of float16 and bfloat16 tensors; constants are converted once, in prepare, everything
 * else through the workspace in each run. Results are rounded once, at the end. */
#include "ops/ops.h"

#include <stdio.h>
#include <string.h>

#include "core/checked.h"
#include "core/parallel.h"
#include "ops/layout.h"
#include "ops/packs.h"

enum { ALIGNMENT = 64 };

/* What a widened kernel's state is wrapped in. */
typedef struct widened {
  void *state;           /* the kernel's own */
  size_t workspace_size; /* the kernel's own, at the start of the workspace */
  pleat_tensor *inputs;  /* shadows of all inputs: data only where constant */
  bool *packed;          /* the inputs that a run does not read */
} widened;

static bool is_half(const pleat_tensor *tensor) {
  return tensor != NULL && tensor->kind == PLEAT_KIND_TENSOR && (PLEAT_M(tensor->dtype) & PLEAT_M_HALF) != 0;
}

static bool wants_widening(const pleat_kernel *kernel, const pleat_call *call) {
  if ((kernel->flags & PLEAT_KERNEL_WIDEN) == 0) return false;
  for (size_t i = 0; i < call->input_count; i++) {
    if (is_half(call->inputs[i])) return true;
  }
  for (size_t i = 0; i < call->output_count; i++) {
    if (is_half(call->outputs[i])) return true;
  }
  return false;
}

/* No overflow: widened_workspace_size has checked the same sum. */
static size_t shadow_bytes(const pleat_tensor *tensor) {
  return is_half(tensor) ? ((tensor->count * sizeof(float)) + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1) : 0;
}

static bool add_shadow(const pleat_tensor *tensor, size_t *size) {
  size_t bytes;
  if (!is_half(tensor)) return true;
  return pleat_mul_size(tensor->count, sizeof(float), &bytes) && pleat_align_up(bytes, ALIGNMENT, &bytes) &&
         pleat_add_size(*size, bytes, size);
}

/* A constant that only a pack reads, which has converted it. */
static bool is_packed(const pleat_call *call, size_t input) {
  return call->inputs[input]->data == NULL && call->recipes != NULL && call->recipes[input] != NULL;
}

/* Descriptors and buffers of the shadows behind the kernel's own workspace; false on overflow. Constants were converted
 * in prepare. */
static bool widened_workspace_size(const pleat_call *call, size_t own, size_t *out_size) {
  const size_t count = call->input_count + call->output_count;
  size_t size;
  if (!pleat_align_up(own, ALIGNMENT, &size)) return false;
  if (!pleat_add_size(size, count * (sizeof(pleat_tensor) + sizeof(void *)) + ALIGNMENT, &size)) return false;
  for (size_t i = 0; i < call->input_count; i++) {
    if (!is_half(call->inputs[i]) || call->inputs[i]->data != NULL || is_packed(call, i)) continue;
    if (!add_shadow(call->inputs[i], &size)) return false;
  }
  for (size_t i = 0; i < call->output_count; i++) {
    if (!add_shadow(call->outputs[i], &size)) return false;
  }
  *out_size = size;
  return true;
}

static const pleat_tensor *primary(const pleat_call *call) {
  for (size_t i = 0; i < call->input_count; i++) {
    if (call->inputs[i] != NULL) return call->inputs[i];
  }
  return call->output_count > 0 ? call->outputs[0] : NULL;
}

/* Why a kernel cannot take the call, or NULL. */
static const char *refusal(const pleat_kernel *kernel, const pleat_call *call, char *buffer, size_t size) {
  const pleat_tensor *first = primary(call);
  if (first != NULL && first->kind == PLEAT_KIND_TENSOR && kernel->types != 0 &&
      (kernel->types & PLEAT_M(first->dtype)) == 0) {
    snprintf(buffer, size, "not for %s", pleat_dtype_name(first->dtype));
    return buffer;
  }
  return kernel->supports != NULL ? kernel->supports(call) : NULL;
}

/* Why a rule does not choose a kernel, or NULL. */
static const char *objection(const pleat_kernel *kernel, const pleat_call *call, char *buffer, size_t size) {
  const char *reason = refusal(kernel, call, buffer, size);
  return reason != NULL || kernel->unwise == NULL ? reason : kernel->unwise(call);
}

/* Why kernels declined: "name: reason; ...", cut to what fits. */
typedef struct reasons {
  char text[512];
  size_t used;
} reasons;

static void add_reason(reasons *why, const char *name, const char *reason) {
  size_t space = sizeof why->text - why->used;
  int wrote = snprintf(why->text + why->used, space, "%s%s: %s", why->used > 0 ? "; " : "", name, reason);
  if (wrote > 0) why->used += (size_t)wrote < space ? (size_t)wrote : space - 1;
}

/* Has the data of the constants there that the kernel reads itself. */
static pleat_status provide(const pleat_kernel *kernel, const pleat_call *call) {
  for (size_t i = 0; call->recipes != NULL && i < call->input_count; i++) {
    pleat_call own = *call;
    const void *data;
    if (call->recipes[i] == NULL || call->inputs[i]->data != NULL || (kernel->packs >> i & 1) != 0) continue;
    PLEAT_TRY(pleat_call_dense(&own, i, &data));
    ((pleat_tensor *)(uintptr_t)call->inputs[i])->data = (void *)(uintptr_t)data; /* the plan's own descriptor */
  }
  return PLEAT_OK;
}

/* The first kernel from `*kernel` on that takes the call; the list's end when there is none. */
static const pleat_kernel *const *next_kernel(const pleat_kernel *const *kernel, const pleat_call *call, reasons *why,
                                              pleat_status *out_status) {
  char text[64];
  for (; *kernel != NULL; kernel++) {
    if (call->reference_only && kernel[1] != NULL) continue;
    const char *reason = objection(*kernel, call, text, sizeof text);
    if (reason == NULL) {
      *out_status = provide(*kernel, call);
      break;
    }
    add_reason(why, (*kernel)->name, reason);
  }
  return kernel;
}

static pleat_status fail_none(const pleat_call *call, const reasons *why) {
  return pleat_fail(call->error, PLEAT_UNSUPPORTED, "no kernel of %s takes this (%s)", call->node->op_type, why->text);
}

const pleat_kernel *pleat_kernel_select(const pleat_call *call, char *declined, size_t declined_size) {
  reasons why = {.used = 0};
  pleat_status status = PLEAT_OK;
  const pleat_kernel *const *kernel = next_kernel(call->node->def->kernels, call, &why, &status);
  if (declined_size > 0) snprintf(declined, declined_size, "%s", *kernel != NULL ? why.text : "");
  if (*kernel == NULL) fail_none(call, &why);
  return status == PLEAT_OK ? *kernel : NULL;
}

/* Whether the kernel is asked where bfloat16 is allowed. */
static bool is_for_bf16(const pleat_kernel *kernel) {
  return (kernel->flags & (PLEAT_KERNEL_BF16 | PLEAT_KERNEL_BESIDE_BF16)) != 0;
}

/* Layouts as a kernel finds them: its inputs' own when it understands them (as floats, when it does not know bfloat16),
 * else everything dense. */
static void set_layouts(const pleat_kernel *kernel, pleat_call *call) {
  const bool understands = (kernel->flags & PLEAT_KERNEL_LAYOUTS) != 0 && !wants_widening(kernel, call);
  const bool bf16 = call->bf16 && (kernel->flags & PLEAT_KERNEL_BF16) != 0;
  for (size_t i = 0; i < call->input_count; i++) {
    pleat_tensor *tensor = (pleat_tensor *)(uintptr_t)call->inputs[i];
    if (tensor != NULL && call->given != NULL)
      tensor->layout = bf16 ? call->given[i] : pleat_layout_as(call->given[i], false);
    if (call->wanted != NULL) call->wanted[i] = understands && tensor != NULL ? tensor->layout : NULL;
  }
  for (size_t i = 0; i < call->output_count; i++) {
    if (call->outputs[i] != NULL) call->outputs[i]->layout = NULL;
  }
}

/* The first kernel of the list that takes the call, with bfloat16 or without. */
static pleat_status take_first(pleat_call *call, bool bf16, reasons *why, const pleat_kernel **out_kernel) {
  pleat_error *const report = call->error;
  char text[64];
  for (const pleat_kernel *const *kernel = call->node->def->kernels; *kernel != NULL; kernel++) {
    const bool is_last = kernel[1] == NULL;
    const size_t held = call->packs != NULL ? call->packs->count : 0;
    if ((call->reference_only && !is_last) || (bf16 && !is_for_bf16(*kernel))) continue;
    pleat_error reason = PLEAT_ERROR_INIT;
    PLEAT_TRY(provide(*kernel, call));
    call->bf16 = bf16;
    call->variant = 0;
    set_layouts(*kernel, call);
    const char *refused = objection(*kernel, call, text, sizeof text);
    if (refused != NULL) {
      add_reason(why, (*kernel)->name, refused);
      continue;
    }
    call->error = is_last && !bf16 ? report : &reason;
    pleat_status status = pleat_kernel_prepare(*kernel, call);
    call->error = report;
    if (status == PLEAT_OK) {
      *out_kernel = *kernel;
      return PLEAT_OK;
    }
    if (call->packs != NULL) pleat_pack_list_release(call->packs, held);
    if (is_last && !bf16) return status;
    if (status != PLEAT_UNSUPPORTED) return pleat_fail(report, status, "%s", reason.message);
    add_reason(why, (*kernel)->name, reason.message);
  }
  return bf16 ? PLEAT_UNSUPPORTED : fail_none(call, why);
}

pleat_status pleat_kernel_take(pleat_call *call, char *declined, size_t declined_size,
                               const pleat_kernel **out_kernel) {
  reasons why = {.used = 0};
  *out_kernel = NULL;
  pleat_status status = call->bf16 ? take_first(call, true, &why, out_kernel) : PLEAT_UNSUPPORTED;
  if (status == PLEAT_UNSUPPORTED) status = take_first(call, false, &why, out_kernel);
  if (status == PLEAT_OK && declined_size > 0) snprintf(declined, declined_size, "%s", why.text);
  return status;
}

pleat_status pleat_kernel_take_as(pleat_call *call, const pleat_kernel *kernel, int variant) {
  char text[64];
  const size_t held = call->packs != NULL ? call->packs->count : 0;
  PLEAT_TRY(provide(kernel, call));
  call->bf16 = call->bf16 && is_for_bf16(kernel);
  call->variant = variant;
  set_layouts(kernel, call);
  const char *reason = refusal(kernel, call, text, sizeof text);
  if (reason != NULL) return pleat_fail(call->error, PLEAT_UNSUPPORTED, "%s", reason);
  const pleat_status status = pleat_kernel_prepare(kernel, call);
  if (status != PLEAT_OK && call->packs != NULL) pleat_pack_list_release(call->packs, held);
  return status;
}

void *pleat_call_state(pleat_call *call, size_t size) {
  call->state = pleat_arena_alloc(call->arena, size);
  return call->state;
}

/* Shadows as prepare sees them: float descriptors, converted data where the input is constant. */
static pleat_status prepare_widened(const pleat_kernel *kernel, pleat_call *call) {
  widened *wrap = pleat_arena_alloc(call->arena, sizeof *wrap);
  pleat_tensor *shadows = pleat_arena_array(call->arena, call->input_count + call->output_count, sizeof *shadows);
  const pleat_tensor **inputs = pleat_arena_array(call->arena, call->input_count, sizeof *inputs);
  pleat_tensor **outputs = pleat_arena_array(call->arena, call->output_count, sizeof *outputs);
  bool *packed = pleat_arena_array(call->arena, call->input_count, sizeof *packed);
  if (wrap == NULL || shadows == NULL || inputs == NULL || outputs == NULL || packed == NULL) {
    return PLEAT_OOM(call->error);
  }
  for (size_t i = 0; i < call->input_count; i++) {
    const pleat_tensor *tensor = call->inputs[i];
    inputs[i] = tensor;
    if (!is_half(tensor)) continue;
    packed[i] = is_packed(call, i);
    shadows[i] = *tensor;
    shadows[i].dtype = PLEAT_FLOAT;
    if (tensor->data != NULL) {
      shadows[i].data = pleat_arena_aligned(call->arena, tensor->count * sizeof(float), ALIGNMENT);
      if (shadows[i].data == NULL) return PLEAT_OOM(call->error);
      pleat_convert(tensor->dtype, tensor->data, PLEAT_FLOAT, shadows[i].data, tensor->count, NULL);
    }
    inputs[i] = &shadows[i];
  }
  for (size_t i = 0; i < call->output_count; i++) {
    outputs[i] = call->outputs[i];
    if (!is_half(call->outputs[i])) continue;
    pleat_tensor *shadow = &shadows[call->input_count + i];
    *shadow = *call->outputs[i];
    shadow->dtype = PLEAT_FLOAT;
    outputs[i] = shadow;
  }
  pleat_call inner = *call;
  inner.inputs = inputs;
  inner.outputs = outputs;
  inner.wanted = NULL; /* the copies are dense */
  if (kernel->prepare != NULL) PLEAT_TRY(kernel->prepare(&inner));
  *wrap = (widened){.state = inner.state, .workspace_size = inner.workspace_size, .inputs = shadows, .packed = packed};
  call->state = wrap;
  call->widened = true;
  call->variant = inner.variant;
  if (widened_workspace_size(call, inner.workspace_size, &call->workspace_size)) return PLEAT_OK;
  pleat_kernel_release(kernel, call);
  return pleat_fail(call->error, PLEAT_OUT_OF_MEMORY, "the float copies of this shape overflow memory");
}

pleat_status pleat_kernel_prepare(const pleat_kernel *kernel, pleat_call *call) {
  call->state = NULL;
  call->workspace_size = 0;
  call->widened = false;
  if (wants_widening(kernel, call)) return prepare_widened(kernel, call);
  return kernel->prepare != NULL ? kernel->prepare(call) : PLEAT_OK;
}

static pleat_status run_widened(const pleat_kernel *kernel, const pleat_call *call) {
  const widened *wrap = call->state;
  const size_t total = call->input_count + call->output_count;
  char *cursor = (char *)call->workspace + ((wrap->workspace_size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1));
  pleat_tensor *shadows = (pleat_tensor *)(void *)cursor;
  cursor += total * sizeof *shadows;
  const pleat_tensor **inputs = (const pleat_tensor **)(void *)cursor;
  cursor += call->input_count * sizeof *inputs;
  pleat_tensor **outputs = (pleat_tensor **)(void *)cursor;
  cursor += call->output_count * sizeof *outputs;
  cursor += (ALIGNMENT - (uintptr_t)cursor % ALIGNMENT) % ALIGNMENT;
  for (size_t i = 0; i < call->input_count; i++) {
    const pleat_tensor *tensor = call->inputs[i];
    inputs[i] = tensor;
    if (!is_half(tensor)) continue;
    shadows[i] = wrap->inputs[i];
    inputs[i] = &shadows[i];
    if (shadows[i].data != NULL || tensor->count == 0 || wrap->packed[i]) continue;
    shadows[i].data = cursor;
    cursor += shadow_bytes(tensor);
    pleat_convert(tensor->dtype, tensor->data, PLEAT_FLOAT, shadows[i].data, tensor->count, NULL);
  }
  for (size_t i = 0; i < call->output_count; i++) {
    outputs[i] = call->outputs[i];
    if (!is_half(call->outputs[i])) continue;
    pleat_tensor *shadow = &shadows[call->input_count + i];
    *shadow = *call->outputs[i];
    shadow->dtype = PLEAT_FLOAT;
    shadow->data = shadow->count > 0 ? cursor : NULL;
    cursor += shadow_bytes(call->outputs[i]);
    outputs[i] = shadow;
  }
  pleat_call inner = *call;
  inner.inputs = inputs;
  inner.outputs = outputs;
  inner.state = wrap->state;
  inner.workspace_size = wrap->workspace_size;
  inner.widened = false;
  PLEAT_TRY(kernel->run(&inner));
  for (size_t i = 0; i < call->output_count; i++) {
    pleat_tensor *tensor = call->outputs[i];
    if (is_half(tensor) && tensor->count > 0) {
      pleat_convert(PLEAT_FLOAT, outputs[i]->data, tensor->dtype, tensor->data, tensor->count, NULL);
    }
  }
  return PLEAT_OK;
}

pleat_status pleat_kernel_run(const pleat_kernel *kernel, const pleat_call *call) {
  return call->widened ? run_widened(kernel, call) : kernel->run(call);
}

void pleat_kernel_release(const pleat_kernel *kernel, pleat_call *call) {
  if (kernel->release != NULL && call->state != NULL) {
    kernel->release(call->widened ? ((widened *)call->state)->state : call->state);
  }
  call->state = NULL;
}

/* The call as a widened kernel's open, run and close know it: with its own state. */
static pleat_call unwrapped(const pleat_call *call) {
  pleat_call inner = *call;
  if (call->widened) inner.state = ((const widened *)call->state)->state;
  return inner;
}

pleat_status pleat_kernel_open(const pleat_kernel *kernel, pleat_call *call) {
  call->instance = NULL;
  if (kernel->open == NULL) return PLEAT_OK;
  pleat_call inner = unwrapped(call);
  PLEAT_TRY(kernel->open(&inner));
  call->instance = inner.instance;
  return PLEAT_OK;
}

void pleat_kernel_close(const pleat_kernel *kernel, pleat_call *call) {
  if (kernel->close == NULL || call->instance == NULL) return;
  pleat_call inner = unwrapped(call);
  kernel->close(&inner);
  call->instance = NULL;
}

/* ---- threads ---- */

typedef struct shared_loop {
  const pleat_call *call;
  pleat_call_loop *loop;
  const void *plan;
} shared_loop;

static void run_shared(void *job, int64_t first, int64_t end, int worker) {
  const shared_loop *shared = job;
  (void)worker;
  shared->loop(shared->call, shared->plan, (size_t)first, (size_t)end);
}

void pleat_call_share(const pleat_call *call, bool worth, size_t count, pleat_call_loop *loop, const void *plan) {
  shared_loop shared = {.call = call, .loop = loop, .plan = plan};
  pleat_parallel_ranges(worth ? call->threads : 1, (int64_t)count, run_shared, &shared);
}

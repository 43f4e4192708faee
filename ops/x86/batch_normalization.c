/* BatchNormalization and pleat.FusedBatchNormalization in inference mode with constant parameters: each channel is one
 * affine map, worked out in double and rounded once as the reference does, with any activation, on blocks of channels.
 */
#include <math.h>
#include <string.h>

#include "core/parallel.h"
#include "ops/batch_normalization.h"
#include "ops/x86/x86.h"

enum { INPUT_X, INPUT_SCALE, INPUT_BIAS, INPUT_MEAN, INPUT_VARIANCE };

typedef struct norm {
  const pleat_x86_code *code;
  pleat_x86_activation activation;
  const float *scale, *shift; /* of every lane; zeros in those that are no channels */
  int64_t blocks;             /* of one sample */
  int64_t positions;
  int pieces; /* of a plane: what one item does */
} norm;

typedef struct job {
  const norm *n;
  const void *x;
  void *y;
} job;

static const char *refuse(const pleat_call *call) {
  const pleat_tensor *x = call->inputs[INPUT_X];
  const pleat_x86_code *code = pleat_x86_code_for(pleat_layout_is_bf16(x->layout));
  pleat_x86_activation activation;
  if (code == NULL) return PLEAT_X86_NO_CODE;
  if (x->layout == NULL || x->layout->block != code->lanes) return "its input does not come in blocks";
  if (x->count == 0) return "an empty tensor";
  if (pleat_bn_is_training(call->node)) return "training mode";
  if (pleat_bn_has_statistics(call->node)) return "statistics are asked for";
  for (size_t i = INPUT_SCALE; i <= INPUT_VARIANCE; i++) {
    if (call->inputs[i]->data == NULL) return "parameters that are not constant";
    if ((int64_t)call->inputs[i]->count != x->dims[1]) return "parameters by activation";
  }
  if (!pleat_x86_activation_of(call->node, &activation)) return "not with this activation";
  if (x->dims[1] % code->lanes != 0 && !pleat_x86_keeps_zero(&activation)) return "its activation does not keep zero";
  return NULL;
}

static double parameter(const pleat_call *call, size_t input, int64_t channel) {
  return pleat_load_f64(call->inputs[input]->dtype, call->inputs[input]->data, (size_t)channel);
}

static pleat_status prepare(pleat_call *call) {
  const pleat_tensor *x = call->inputs[INPUT_X];
  const double epsilon = (double)pleat_attr_float(call->node, "epsilon");
  norm *n = pleat_call_state(call, sizeof *n);
  if (n == NULL) return PLEAT_OOM(call->error);
  n->code = pleat_x86_code_for(pleat_layout_is_bf16(x->layout));
  pleat_x86_activation_of(call->node, &n->activation);
  n->blocks = (x->dims[1] + n->code->lanes - 1) / n->code->lanes;
  n->positions = 1;
  for (int i = 2; i < x->rank; i++) n->positions *= x->dims[i];
  const int64_t planes = n->blocks * x->dims[0];
  n->pieces = planes < 4 * call->threads && n->positions >= 4 * call->threads ? 4 * call->threads : 1;
  const size_t lanes = (size_t)(n->blocks * n->code->lanes);
  float *scale = pleat_arena_array(call->arena, lanes, sizeof *scale);
  float *shift = pleat_arena_array(call->arena, lanes, sizeof *shift);
  if (scale == NULL || shift == NULL) return PLEAT_OOM(call->error);
  for (int64_t c = 0; c < x->dims[1]; c++) {
    const double s = parameter(call, INPUT_SCALE, c) / sqrt(parameter(call, INPUT_VARIANCE, c) + epsilon);
    scale[c] = (float)s;
    shift[c] = (float)(parameter(call, INPUT_BIAS, c) - parameter(call, INPUT_MEAN, c) * s);
  }
  n->scale = scale;
  n->shift = shift;
  call->outputs[0]->layout = x->layout;
  return PLEAT_OK;
}

static void run_piece(void *arg, int64_t item, int worker) {
  const job *job = arg;
  const norm *n = job->n;
  const int64_t plane = item / n->pieces, piece = item % n->pieces, lanes = n->code->lanes;
  const int64_t first = n->positions * piece / n->pieces, end = n->positions * (piece + 1) / n->pieces;
  const int64_t at = (plane * n->positions + first) * lanes, channel = plane % n->blocks * lanes;
  (void)worker;
  n->code->scale_line(pleat_x86_at(n->code, job->x, at), n->scale + channel, n->shift + channel, end - first,
                      &n->activation, pleat_x86_to(n->code, job->y, at));
}

static pleat_status run(const pleat_call *call) {
  const norm *n = call->state;
  const pleat_tensor *x = call->inputs[INPUT_X];
  const int threads = x->count < PLEAT_PARALLEL_SIMPLE ? 1 : call->threads;
  job job = {.n = n, .x = x->data, .y = call->outputs[0]->data};
  pleat_parallel(threads, x->dims[0] * n->blocks * n->pieces, run_piece, &job);
  return PLEAT_OK;
}

const pleat_kernel pleat_x86_batch_normalization = {.name = "blocks",
                                                    .types = PLEAT_M_F32,
                                                    .flags = PLEAT_KERNEL_LAYOUTS | PLEAT_KERNEL_BF16,
                                                    .inplace = 1u << INPUT_X,
                                                    .supports = refuse,
                                                    .prepare = prepare,
                                                    .run = run};

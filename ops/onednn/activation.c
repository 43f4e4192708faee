/* The activations that fused operators end with, as oneDNN's post-ops: names and parameters are those of ops/fused.c.
 * HardSigmoid, which oneDNN 2 does not have, is a linear map and a clip. */
#include <string.h>

#include "ops/onednn/onednn.h"

typedef struct activation {
  const char *name;
  dnnl_alg_kind_t algorithm;
  bool alpha, beta;  /* the operator's parameters are passed on */
  float fixed_alpha; /* else */
} activation;

static const activation activations[] = {{"Relu", dnnl_eltwise_relu, false, false, 0},
                                         {"LeakyRelu", dnnl_eltwise_relu, true, false, 0},
                                         {"Clip", dnnl_eltwise_clip_v2, true, true, 0},
                                         {"Sigmoid", dnnl_eltwise_logistic, false, false, 0},
                                         {"HardSwish", dnnl_eltwise_hardswish, false, false, 0},
                                         {"HardSigmoid", dnnl_eltwise_linear, true, true, 0},
                                         {"Silu", dnnl_eltwise_swish, false, false, 1},
                                         {"Gelu", dnnl_eltwise_gelu_erf, false, false, 0},
                                         {"Elu", dnnl_eltwise_elu, true, false, 0},
                                         {"Tanh", dnnl_eltwise_tanh, false, false, 0}};
enum { ACTIVATIONS = sizeof activations / sizeof *activations };

static const activation *find(const char *name) {
  for (size_t i = 0; i < ACTIVATIONS; i++) {
    if (strcmp(activations[i].name, name) == 0) return &activations[i];
  }
  return NULL;
}

bool pleat_dnn_knows_activation(const char *name) {
  return name[0] == '\0' || find(name) != NULL;
}

bool pleat_dnn_append_activation(dnnl_post_ops_t post_ops, const char *name, float alpha, float beta) {
  if (name[0] == '\0') return true;
  const activation *entry = find(name);
  if (entry == NULL) return false;
  const float a = entry->alpha ? alpha : entry->fixed_alpha, b = entry->beta ? beta : 0;
  if (dnnl_post_ops_append_eltwise(post_ops, 1, entry->algorithm, a, b) != dnnl_success) return false;
  if (strcmp(name, "HardSigmoid") != 0) return true;
  return dnnl_post_ops_append_eltwise(post_ops, 1, dnnl_eltwise_clip_v2, 0, 1) == dnnl_success;
}

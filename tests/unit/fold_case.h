/* Convolutions and Gemms with a BatchNormalization behind them, for the tests of fold/: one description makes the
 * model, folds it, and checks the report, the folded parameters bit by bit, and the values against the model as it was.
 */
#ifndef PLEAT_TESTS_FOLD_CASE_H
#define PLEAT_TESTS_FOLD_CASE_H

#include "model_builder.h"

typedef struct conv_case {
  const char *op; /* NULL: Conv */
  const char *x, *w;
  pleat_dtype dtype; /* UNDEFINED: DOUBLE */
  int64_t opset, ir; /* 0: MODEL_OPSET, 8 */
  int64_t group;     /* 0: 1 */
  bool bias;
  const char *dilations, *strides, *pads, *auto_pad, *output_padding;
  pleat_dtype parameters; /* of scale, beta, mean and variance; UNDEFINED: as dtype */
} conv_case;

static inline conv_case with_defaults(conv_case c) {
  if (c.op == NULL) c.op = "Conv";
  if (c.dtype == PLEAT_UNDEFINED) c.dtype = PLEAT_DOUBLE;
  if (c.opset == 0) c.opset = MODEL_OPSET;
  if (c.ir == 0) c.ir = 8;
  if (c.group == 0) c.group = 1;
  if (c.parameters == PLEAT_UNDEFINED) c.parameters = c.dtype;
  return c;
}

static inline int64_t conv_channels(const conv_case *c) {
  int64_t dims[PLEAT_MAX_RANK];
  shape_dims(c->w, dims);
  return strcmp(c->op, "Conv") == 0 ? dims[0] : dims[1] * c->group;
}

static inline void add_parameters(builder *b, const char *prefix, pleat_dtype dtype, int64_t channels) {
  static const struct {
    const char *name;
    double low, high;
  } parameters[] = {{"scale", 0.5, 1.5}, {"beta", -1, 1}, {"mean", -1, 1}, {"var", 0.25, 2}};
  for (size_t i = 0; i < 4; i++) {
    char name[64], shape[32];
    snprintf(name, sizeof name, "%s%s", prefix, parameters[i].name);
    snprintf(shape, sizeof shape, "%lld", (long long)channels);
    noise_init(b, name, dtype, shape, parameters[i].low, parameters[i].high);
  }
}

/* BatchNormalization in inference, as each opset says it. */
static inline Onnx__NodeProto *bn_node(builder *b, Onnx__GraphProto *graph, const char *name, const char *inputs,
                                       const char *output, int64_t opset) {
  Onnx__NodeProto *bn = build_node(b, graph, "BatchNormalization", name, inputs, output);
  build_attr_float(b, bn, "epsilon", 1e-3f);
  if (opset < 7) build_attr_int(b, bn, "is_test", 1);
  if (opset < 6) attr_ints(b, bn, "consumed_inputs", "0,0,0,1,1");
  return bn;
}

static inline Onnx__NodeProto *conv_node(builder *b, const conv_case *c, const char *name, const char *inputs,
                                         const char *output) {
  Onnx__NodeProto *conv = model_node(b, c->op, name, inputs, output);
  if (c->group != 1) build_attr_int(b, conv, "group", c->group);
  if (c->dilations != NULL) attr_ints(b, conv, "dilations", c->dilations);
  if (c->strides != NULL) attr_ints(b, conv, "strides", c->strides);
  if (c->pads != NULL) attr_ints(b, conv, "pads", c->pads);
  if (c->output_padding != NULL) attr_ints(b, conv, "output_padding", c->output_padding);
  if (c->auto_pad != NULL) attr_text(b, conv, "auto_pad", c->auto_pad);
  return conv;
}

/* x -> "conv" -> c -> "bn" -> y, with weights w and b. The caller may add to it before it is packed. */
static inline builder conv_bn(conv_case c) {
  char channels[32];
  builder b = build_begin(c.ir, c.opset);
  snprintf(channels, sizeof channels, "%lld", (long long)conv_channels(&c));
  model_input(&b, "x", c.dtype, c.x);
  noise_init(&b, "w", c.dtype, c.w, -1, 1);
  if (c.bias) noise_init(&b, "b", c.dtype, channels, -1, 1);
  add_parameters(&b, "", c.parameters, conv_channels(&c));
  conv_node(&b, &c, "conv", c.bias ? "x,w,b" : "x,w", "c");
  bn_node(&b, b.graph, "bn", "c,scale,beta,mean,var", "y", c.opset);
  model_output(&b, "y", c.dtype, "?");
  return b;
}

/* ---- what folding must give ---- */

static inline pleat_tensor *stored(const pleat_model *model, const char *name) {
  pleat_tensor *tensor = NULL;
  const Onnx__TensorProto *message = initializer_named(model, name);
  ck_assert_msg(message != NULL, "there is no initializer '%s'", name);
  ASSERT_OK(pleat_tensor_from_proto(pleat_model_proto(model), message, &tensor, error));
  return tensor;
}

/* One channel's map, from the definition, in double. */
static inline void map_of(const pleat_model *model, size_t channel, double *out_scale, double *out_shift) {
  static const char *const names[] = {"scale", "beta", "mean", "var"};
  double value[4];
  for (size_t i = 0; i < 4; i++) {
    pleat_tensor *tensor = stored(model, names[i]);
    value[i] = pleat_load_f64(tensor->dtype, tensor->data, channel);
    pleat_tensor_release(tensor);
  }
  *out_scale = value[0] / sqrt(value[3] + (double)1e-3f);
  *out_shift = value[1] - *out_scale * value[2];
}

/* `value` rounded once to the type equals the stored element, bit by bit. */
static inline void assert_rounded(const pleat_tensor *found, size_t index, double value) {
  unsigned char expected[16] = {0};
  const size_t size = pleat_dtype_size(found->dtype);
  pleat_store_f64(found->dtype, expected, 0, value);
  if (memcmp(expected, (const char *)found->data + index * size, size) != 0)
    ck_abort_msg("element %zu is %.17g, expected %.17g", index, pleat_load_f64(found->dtype, found->data, index),
                 value);
}

static inline void assert_conv_parameters(const conv_case *c, const pleat_model *original, const pleat_model *folded) {
  pleat_tensor *w = stored(original, "w"), *b = c->bias ? stored(original, "b") : NULL;
  pleat_tensor *new_w = stored(folded, "w_folded"), *new_b = stored(folded, c->bias ? "b_folded" : "w_folded_bias");
  const size_t channels = (size_t)conv_channels(c), rows = (size_t)w->dims[0], columns = (size_t)w->dims[1];
  const size_t inner = w->count / rows / columns, per_group = rows / (size_t)c->group;
  const bool is_conv = strcmp(c->op, "Conv") == 0;
  ck_assert(pleat_same_shape(w, new_w) && w->dtype == new_w->dtype && new_b->dtype == w->dtype);
  ck_assert_uint_eq(new_b->count, channels);
  for (size_t channel = 0; channel < channels; channel++) {
    double scale, shift;
    map_of(original, channel, &scale, &shift);
    double old = b != NULL ? pleat_load_f64(b->dtype, b->data, channel) : 0;
    assert_rounded(new_b, channel, scale * old + shift);
    for (size_t i = 0; i < w->count; i++) {
      size_t row = i / inner / columns, column = i / inner % columns;
      if ((is_conv ? row : row / per_group * columns + column) != channel) continue;
      assert_rounded(new_w, i, scale * pleat_load_f64(w->dtype, w->data, i));
    }
  }
  pleat_tensor_release(w);
  pleat_tensor_release(b);
  pleat_tensor_release(new_w);
  pleat_tensor_release(new_b);
}

/* The same input through both models as they are in the file, and through the first as a session folds it. */
static inline void assert_same_values(const pleat_model *original, const pleat_model *folded, const char *x,
                                      pleat_dtype dtype, double tolerance) {
  pleat_session *sessions[3] = {session_with(original, (pleat_session_options){.no_fold = true}),
                                session_with(folded, (pleat_session_options){.no_fold = true}),
                                session_with(original, (pleat_session_options){.no_fold = false})};
  pleat_tensor *expected = NULL;
  for (size_t i = 0; i < 3; i++) {
    pleat_tensor *y = run_one(sessions[i], noise_tensor(dtype, x, 5));
    if (expected == NULL) {
      expected = y;
    } else {
      assert_same(y, expected, tolerance);
      pleat_tensor_release(y);
    }
    pleat_session_destroy(sessions[i]);
  }
  ck_assert_uint_gt(expected->count, 0);
  pleat_tensor_release(expected);
}

static inline double tolerance_of(pleat_dtype dtype) {
  return dtype == PLEAT_DOUBLE ? 1e-12 : dtype == PLEAT_FLOAT ? 2e-5 : dtype == PLEAT_FLOAT16 ? 1e-2 : 8e-2;
}

/* The one BN is gone, into `target`; the folded model is what it should be. Returns it. */
static inline pleat_model *assert_folds(const pleat_model *model, const char *pass, const char *bn, const char *target,
                                        size_t nodes_left) {
  pleat_fold_report *report = NULL;
  pleat_model *folded = fold_model(model, NULL, &report);
  const pleat_fold_entry *entry = entry_of_node(report, bn);
  ck_assert_msg(entry->action == PLEAT_FOLD_FOLDED, "%s", entry->reason);
  ck_assert_str_eq(entry->pass, pass);
  ck_assert_str_eq(entry->op_type, "BatchNormalization");
  ck_assert_str_eq(entry->target, target);
  ck_assert_str_eq(entry->reason, "");
  ck_assert_uint_eq(report->norms_before, 1);
  ck_assert_uint_eq(report->norms_after, 0);
  ck_assert_uint_eq(report->nodes_before, model->message->graph->n_node);
  ck_assert_uint_eq(report->nodes_after, nodes_left);
  ck_assert_uint_eq(folded->message->graph->n_node, nodes_left);
  pleat_fold_report_destroy(report);
  return folded;
}

/* Nothing is folded: one entry for the BN, with `words` in its reason, and the file keeps its nodes. */
static inline void assert_kept(builder *b, const char *bn, const char *words) {
  pleat_fold_report *report = NULL;
  pleat_model *model = build_model(b), *folded = fold_model(model, NULL, &report);
  const pleat_fold_entry *entry = entry_of_node(report, bn);
  ck_assert_int_eq(entry->action, PLEAT_FOLD_KEPT);
  ck_assert_str_eq(entry->target, "");
  ck_assert_msg(strstr(entry->reason, words) != NULL, "'%s' is not in: %s", words, entry->reason);
  ck_assert_uint_eq(report->norms_after, report->norms_before);
  assert_same_bytes(model, folded);
  pleat_fold_report_destroy(report);
  pleat_model_release(model);
  pleat_model_release(folded);
}

static inline void check_conv(conv_case given) {
  conv_case c = with_defaults(given);
  builder b = conv_bn(c);
  pleat_model *model = build_model(&b);
  pleat_model *folded = assert_folds(model, "fold-into-producer", "bn", "conv", 1);
  const Onnx__NodeProto *conv = folded->message->graph->node[0];
  ck_assert_str_eq(conv->op_type, c.op);
  ck_assert_str_eq(conv->output[0], "y");
  ck_assert_uint_eq(conv->n_input, 3);
  ck_assert_uint_eq(folded->message->graph->n_initializer, 2);
  assert_conv_parameters(&c, model, folded);
  assert_same_values(model, folded, c.x, c.dtype, tolerance_of(c.dtype));
  pleat_model_release(model);
  pleat_model_release(folded);
}

#endif

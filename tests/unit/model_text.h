/* Models as texts, on top of model_builder.h: statements with ";" between them.
 *
 *   x<2,3>     an input of floats        w[4,3]   an initializer of floats, some noise
 *   i{1,-1}    one of integers           f{0.5}   one of floats: names that begin with f
 *   >y,z       outputs of any type       Op inputs outputs axis:1 pads=1,1 mode'linear   a node, with attributes
 *
 * A node is named like its first output. */
#ifndef PLEAT_TESTS_MODEL_TEXT_H
#define PLEAT_TESTS_MODEL_TEXT_H

#include "model_builder.h"

static inline void text_values(builder *b, char *statement, char *brace) {
  double values[16];
  size_t count = 0;
  char shape[8];
  *brace = '\0';
  for (char *at = brace + 1; *at != '}' && *at != '\0';) {
    ck_assert_uint_lt(count, sizeof values / sizeof *values);
    values[count++] = strtod(at, &at);
    if (*at == ',') at++;
  }
  snprintf(shape, sizeof shape, "%zu", count);
  model_init(b, statement, statement[0] == 'f' ? PLEAT_FLOAT : PLEAT_INT64, shape, values);
}

static inline void text_attribute(builder *b, Onnx__NodeProto *node, char *word) {
  char *sign = strpbrk(word, ":='");
  const char kind = *sign;
  *sign = '\0';
  if (kind == ':') build_attr_int(b, node, word, atoi(sign + 1));
  else if (kind == '=') attr_ints(b, node, word, sign + 1);
  else attr_text(b, node, word, sign + 1);
}

static inline void text_node(builder *b, char *statement) {
  char *rest = NULL;
  const char *op = strtok_r(statement, " ", &rest), *inputs = strtok_r(NULL, " ", &rest);
  const char *outputs = strtok_r(NULL, " ", &rest);
  char *name = pleat_arena_strndup(b->arena, outputs, strcspn(outputs, ","));
  Onnx__NodeProto *node = model_node(b, op, name, inputs, outputs);
  for (char *word; (word = strtok_r(NULL, " ", &rest)) != NULL;) text_attribute(b, node, word);
}

static inline void text_statement(builder *b, char *statement) {
  char *sign = strpbrk(statement, "[{<> "), *rest = NULL;
  ck_assert_msg(sign != NULL, "no statement: '%s'", statement);
  if (*sign == '{') text_values(b, statement, sign);
  else if (*sign == ' ') text_node(b, statement);
  else if (*sign == '>') {
    for (char *name = strtok_r(sign + 1, ",", &rest); name != NULL; name = strtok_r(NULL, ",", &rest))
      model_output(b, name, PLEAT_UNDEFINED, "?");
  } else {
    const bool is_input = *sign == '<';
    *sign = '\0';
    sign[strlen(sign + 1)] = '\0'; /* the closing one */
    if (is_input) model_input(b, statement, PLEAT_FLOAT, sign + 1);
    else noise_init(b, statement, PLEAT_FLOAT, sign + 1, -0.5, 0.5);
  }
}

static inline void add_text(builder *b, const char *statements) {
  char *rest = NULL, *text = build_text(b, statements);
  for (char *one = strtok_r(text, ";", &rest); one != NULL; one = strtok_r(NULL, ";", &rest)) text_statement(b, one);
}

static inline builder text_model(int64_t opset, const char *statements) {
  builder b = build_begin(8, opset);
  add_text(&b, statements);
  return b;
}

#endif

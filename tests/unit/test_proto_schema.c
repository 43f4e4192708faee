/* The fields and enum values that are newer than the schema installed with Debian's ONNX 1.12 (the rest is compared
 * with that one by tests/proto_schema), and that nothing else crept in. */
#include <check.h>
#include <stdbool.h>
#include <string.h>

#include "onnx.pb-c.h"

typedef struct expected_field {
  const ProtobufCMessageDescriptor *message;
  const char *name;
  unsigned number;
  ProtobufCType type;
  ProtobufCLabel label;
  const void *descriptor; /* of a message's type */
} expected_field;

#define OPT  PROTOBUF_C_LABEL_OPTIONAL
#define REP  PROTOBUF_C_LABEL_REPEATED
#define STR  PROTOBUF_C_TYPE_STRING
#define I32  PROTOBUF_C_TYPE_INT32
#define I64  PROTOBUF_C_TYPE_INT64
#define BYT  PROTOBUF_C_TYPE_BYTES
#define MSG  PROTOBUF_C_TYPE_MESSAGE
#define D(m) &onnx__##m##__descriptor

static const expected_field fields[] = {
    {D(tensor_proto), "metadata_props", 16, MSG, REP, D(string_string_entry_proto)},
    {D(node_proto), "overload", 8, STR, OPT, NULL},
    {D(node_proto), "metadata_props", 9, MSG, REP, D(string_string_entry_proto)},
    {D(node_proto), "device_configurations", 10, MSG, REP, D(node_device_configuration_proto)},
    {D(node_device_configuration_proto), "configuration_id", 1, STR, OPT, NULL},
    {D(node_device_configuration_proto), "sharding_spec", 2, MSG, REP, D(sharding_spec_proto)},
    {D(node_device_configuration_proto), "pipeline_stage", 3, I32, OPT, NULL},
    {D(sharding_spec_proto), "tensor_name", 1, STR, OPT, NULL},
    {D(sharding_spec_proto), "device", 2, I64, REP, NULL},
    {D(sharding_spec_proto), "index_to_device_group_map", 3, MSG, REP, D(int_int_list_entry_proto)},
    {D(sharding_spec_proto), "sharded_dim", 4, MSG, REP, D(sharded_dim_proto)},
    {D(sharded_dim_proto), "axis", 1, I64, OPT, NULL},
    {D(sharded_dim_proto), "simple_sharding", 2, MSG, REP, D(simple_sharded_dim_proto)},
    {D(simple_sharded_dim_proto), "dim_value", 1, I64, OPT, NULL},
    {D(simple_sharded_dim_proto), "dim_param", 2, STR, OPT, NULL},
    {D(simple_sharded_dim_proto), "num_shards", 3, I64, OPT, NULL},
    {D(int_int_list_entry_proto), "key", 1, I64, OPT, NULL},
    {D(int_int_list_entry_proto), "value", 2, I64, REP, NULL},
    {D(value_info_proto), "metadata_props", 4, MSG, REP, D(string_string_entry_proto)},
    {D(graph_proto), "metadata_props", 16, MSG, REP, D(string_string_entry_proto)},
    {D(model_proto), "configuration", 26, MSG, REP, D(device_configuration_proto)},
    {D(device_configuration_proto), "name", 1, STR, OPT, NULL},
    {D(device_configuration_proto), "num_devices", 2, I32, OPT, NULL},
    {D(device_configuration_proto), "device", 3, STR, REP, NULL},
    {D(function_proto), "attribute_proto", 11, MSG, REP, D(attribute_proto)},
    {D(function_proto), "value_info", 12, MSG, REP, D(value_info_proto)},
    {D(function_proto), "overload", 13, STR, OPT, NULL},
    {D(function_proto), "metadata_props", 14, MSG, REP, D(string_string_entry_proto)},
    {D(type_proto), "opaque_type", 7, MSG, OPT, &onnx__type_proto__opaque__descriptor},
    {D(type_proto__opaque), "domain", 1, STR, OPT, NULL},
    {D(type_proto__opaque), "name", 2, STR, OPT, NULL},
    {D(sequence_proto), "name", 1, STR, OPT, NULL},
    {D(sequence_proto), "elem_type", 2, I32, OPT, NULL},
    {D(sequence_proto), "tensor_values", 3, MSG, REP, D(tensor_proto)},
    {D(sequence_proto), "sparse_tensor_values", 4, MSG, REP, D(sparse_tensor_proto)},
    {D(sequence_proto), "sequence_values", 5, MSG, REP, D(sequence_proto)},
    {D(sequence_proto), "map_values", 6, MSG, REP, D(map_proto)},
    {D(sequence_proto), "optional_values", 7, MSG, REP, D(optional_proto)},
    {D(map_proto), "name", 1, STR, OPT, NULL},
    {D(map_proto), "key_type", 2, I32, OPT, NULL},
    {D(map_proto), "keys", 3, I64, REP, NULL},
    {D(map_proto), "string_keys", 4, BYT, REP, NULL},
    {D(map_proto), "values", 5, MSG, OPT, D(sequence_proto)},
    {D(optional_proto), "name", 1, STR, OPT, NULL},
    {D(optional_proto), "elem_type", 2, I32, OPT, NULL},
    {D(optional_proto), "tensor_value", 3, MSG, OPT, D(tensor_proto)},
    {D(optional_proto), "sparse_tensor_value", 4, MSG, OPT, D(sparse_tensor_proto)},
    {D(optional_proto), "sequence_value", 5, MSG, OPT, D(sequence_proto)},
    {D(optional_proto), "map_value", 6, MSG, OPT, D(map_proto)},
    {D(optional_proto), "optional_value", 7, MSG, OPT, D(optional_proto)},
};

START_TEST(newer_fields) {
  const expected_field *e = &fields[_i];
  const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field(e->message, e->number);
  ck_assert_msg(f != NULL, "%s has no field %u", e->message->name, e->number);
  ck_assert_str_eq(f->name, e->name);
  ck_assert_int_eq((int)f->type, (int)e->type);
  ck_assert_int_eq((int)f->label, (int)e->label);
  ck_assert(e->type != MSG || f->descriptor == e->descriptor);
  ck_assert_msg((f->flags & PROTOBUF_C_FIELD_FLAG_PACKED) == 0, "%s is packed", f->name);
  bool is_oneof = (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
  bool expect_oneof = e->message == D(type_proto) || strncmp(e->name, "dim_", 4) == 0;
  ck_assert_int_eq(is_oneof, expect_oneof);
}
END_TEST

static void check_value(const ProtobufCEnumDescriptor *type, const char *name, int number) {
  const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value_by_name(type, name);
  ck_assert_msg(value != NULL, "%s has no value %s", type->name, name);
  ck_assert_int_eq(value->value, number);
}

START_TEST(newer_versions) {
  static const char *const names[] = {"IR_VERSION_2021_7_30",  "IR_VERSION_2023_5_5",   "IR_VERSION_2024_3_25",
                                      "IR_VERSION_2025_05_12", "IR_VERSION_2025_08_26", "IR_VERSION"};
  for (int i = 0; i < 6; i++) check_value(&onnx__version__descriptor, names[i], 8 + i);
}
END_TEST

START_TEST(newer_data_types) {
  static const char *const names[] = {"FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ", "UINT4",
                                      "INT4",         "FLOAT4E2M1",     "FLOAT8E8M0", "UINT2",          "INT2"};
  for (int i = 0; i < 10; i++) check_value(&onnx__tensor_proto__data_type__descriptor, names[i], 17 + i);
  ck_assert_uint_eq(onnx__tensor_proto__data_type__descriptor.n_values, 27);
}
END_TEST

START_TEST(list_data_types) {
  static const char *const names[] = {"UNDEFINED", "TENSOR", "SPARSE_TENSOR", "SEQUENCE", "MAP", "OPTIONAL"};
  for (int i = 0; i < 6; i++) {
    check_value(&onnx__sequence_proto__data_type__descriptor, names[i], i);
    check_value(&onnx__optional_proto__data_type__descriptor, names[i], i);
  }
}
END_TEST

Suite *make_suite(void);
Suite *make_suite(void) {
  Suite *suite = suite_create("proto_schema");
  TCase *tcase = tcase_create("newer");
  tcase_add_loop_test(tcase, newer_fields, 0, (int)(sizeof fields / sizeof *fields));
  tcase_add_test(tcase, newer_versions);
  tcase_add_test(tcase, newer_data_types);
  tcase_add_test(tcase, list_data_types);
  suite_add_tcase(suite, tcase);
  return suite;
}

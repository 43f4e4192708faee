"""Compares proto/onnx.proto with an installed onnx.proto, by way of what protoc makes of both.

Every message, field (name, number, type, label, packed, oneof) and enum value of the installed file must be the same in
ours; ours may have more. Exit 0: it is so; 1: it is not, with every difference; 77: nothing to compare with.
"""
import os
import shutil
import subprocess
import sys
import tempfile


def skip(why):
    print("skipped:", why)
    sys.exit(77)


def descriptor_set(path):
    from google.protobuf import descriptor_pb2
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out.ds")
        subprocess.run(["protoc", "--proto_path=" + os.path.dirname(path), "--descriptor_set_out=" + out, path],
                       check=True)
        files = descriptor_pb2.FileDescriptorSet()
        with open(out, "rb") as f:
            files.ParseFromString(f.read())
    return files.file[0]


def facts_of_message(message, prefix, facts):
    name = prefix + message.name
    facts[name] = "message"
    for field in message.field:
        packed = field.options.packed if field.options.HasField("packed") else None
        oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else None
        facts["%s field %d" % (name, field.number)] = (field.name, field.type, field.type_name, field.label, packed,
                                                       oneof, field.default_value)
    for enum in message.enum_type:
        facts_of_enum(enum, name + ".", facts)
    for nested in message.nested_type:
        facts_of_message(nested, name + ".", facts)


def facts_of_enum(enum, prefix, facts):
    for value in enum.value:
        facts["%s value %s" % (prefix + enum.name, value.name)] = value.number


def facts_of_file(file):
    facts = {"syntax": file.syntax or "proto2", "package": file.package}
    for message in file.message_type:
        facts_of_message(message, "", facts)
    for enum in file.enum_type:
        facts_of_enum(enum, "", facts)
    return facts


# The name IR_VERSION is the newest version, whatever that is; what it was has a dated name in newer files.
MOVED = {"Version value IR_VERSION"}


def main():
    ours_path, installed_path = sys.argv[1], sys.argv[2]
    if not os.path.exists(installed_path):
        skip("no installed schema at %s (package libonnx-dev)" % installed_path)
    if shutil.which("protoc") is None:
        skip("protoc is not installed (package protobuf-compiler)")
    try:
        import google.protobuf  # noqa: F401
    except ImportError:
        skip("python3-protobuf is not installed")
    ours, installed = facts_of_file(descriptor_set(ours_path)), facts_of_file(descriptor_set(installed_path))
    differences = 0
    for key, fact in sorted(installed.items()):
        found = ours.get(key, "nothing")
        if key in MOVED:
            if found < fact:
                print("%s: expected at least %s, found %s" % (key, fact, found))
                differences += 1
        elif found != fact:
            print("%s: expected %s, found %s" % (key, fact, found))
            differences += 1
    fields = sum(" field " in key for key in installed)
    values = sum(" value " in key for key in installed)
    if fields < 100 or values < 40:
        print("expected a schema with at least 100 fields and 40 enum values, found %d and %d" % (fields, values))
        differences += 1
    print("%d fields and %d enum values compared, %d differences; ours has %d more facts" %
          (fields, values, differences, len(set(ours) - set(installed))))
    sys.exit(1 if differences else 0)


main()

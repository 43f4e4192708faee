#!/usr/bin/env python3
"""Folds a model of more than 2 GiB, whose weights are external data: usage large_model.py PLEAT [FOLDER].

The data file is sparse: zeros but for some weights, whose folded values are looked at. What has to be written inline is
refused, since a protobuf message cannot be that large, and leaves nothing behind; anything else works, and at no time
more of the model is in memory than its mapped file. Needs onnx (Debian: python3-onnx) and room for the folded file;
exit code 77, with the reason, when one is missing.
"""
import math
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile

CHANNELS, OUTPUTS, LAYERS, EPSILON = 16384, 16640, 2, 1e-3
BYTES = CHANNELS * OUTPUTS * 4  # of one weight
TOTAL = LAYERS * BYTES
PROBES = 200
PEAK = 1.15  # resident memory, as a part of the model's size


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def external(name, dims, location, offset):
    from onnx import StringStringEntryProto, TensorProto
    tensor = TensorProto(name=name, dims=dims, data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", offset), ("length", BYTES)):
        tensor.external_data.append(StringStringEntryProto(key=key, value=str(value)))
    return tensor


def make_model(folder, seed):
    """Two 1x1 convolutions of the same input, a BatchNormalization behind each: the path, the weights that are not 0,
    and each layer's parameters."""
    from onnx import TensorProto, helper
    numbers = random.Random(seed)
    nodes, initializers, parameters = [], [], []
    for i in range(LAYERS):
        initializers.append(external(f"w{i}", [OUTPUTS, CHANNELS, 1, 1], "weights", i * BYTES))
        values = {name: [struct.unpack("f", struct.pack("f", numbers.uniform(0.5, 1.5)))[0] for _ in range(OUTPUTS)]
                  for name in ("scale", "bias", "mean", "var")}
        parameters.append(values)
        for name, value in values.items():
            initializers.append(helper.make_tensor(f"{name}{i}", TensorProto.FLOAT, [OUTPUTS], value))
        nodes.append(helper.make_node("Conv", ["x", f"w{i}"], [f"c{i}"], name=f"conv{i}"))
        nodes.append(helper.make_node("BatchNormalization", [f"c{i}"] + [f"{n}{i}" for n in values], [f"y{i}"],
                                      name=f"bn{i}", epsilon=EPSILON))
    graph = helper.make_graph(
        nodes, "large", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, CHANNELS, 1, 1])],
        [helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, [1, OUTPUTS, 1, 1]) for i in range(LAYERS)],
        initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path = os.path.join(folder, "large.onnx")
    with open(path, "wb") as file:
        file.write(model.SerializeToString())
    count = LAYERS * CHANNELS * OUTPUTS
    places = sorted(numbers.sample(range(count), PROBES - 2) + [0, count - 1])
    weights = {place: numbers.uniform(-1, 1) for place in places}
    with open(os.path.join(folder, "weights"), "wb") as file:
        file.truncate(TOTAL)
        for place, value in weights.items():
            file.seek(4 * place)
            file.write(struct.pack("f", value))
            weights[place] = struct.unpack("f", struct.pack("f", value))[0]
    return path, weights, parameters


def fold(pleat, *arguments):
    """Exit code, what it printed, and its peak resident memory in bytes."""
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen([pleat, "fold", *arguments, "--no-check"], stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        return process.returncode, output.read(), usage.ru_maxrss * 1024


def check_weights(path, weights, parameters):
    import onnx
    model = onnx.load(path, load_external_data=False)
    assert [node.op_type for node in model.graph.node] == ["Conv"] * LAYERS, [n.op_type for n in model.graph.node]
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for place, value in weights.items():
        layer, index = divmod(place, CHANNELS * OUTPUTS)
        entries = {e.key: e.value for e in tensors[f"w{layer}_folded"].external_data}
        assert int(entries["length"]) == BYTES, entries
        with open(os.path.join(os.path.dirname(path), entries["location"]), "rb") as file:
            file.seek(int(entries["offset"]) + 4 * index)
            found, = struct.unpack("f", file.read(4))
        p = parameters[layer]
        factor = p["scale"][index // CHANNELS] / math.sqrt(p["var"][index // CHANNELS] + struct.unpack(
            "f", struct.pack("f", EPSILON))[0])
        expected, = struct.unpack("f", struct.pack("f", value * factor))
        assert found == expected, f"weight {place}: {found}, expected {expected}"


def main():
    pleat, folder = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
    try:
        import onnx  # noqa: F401
    except ImportError:
        skip("the module onnx is missing (python3-onnx)")
    with tempfile.TemporaryDirectory(prefix="pleat-large-", dir=folder) as folder:
        free = shutil.disk_usage(folder).free
        if free < TOTAL + (1 << 30):
            skip(f"{free / 1e9:.1f} GB are free where the folded model of {TOTAL / 1e9:.1f} GB would be written")
        seed = random.randrange(1 << 30)
        print(f"seed {seed}")
        path, weights, parameters = make_model(folder, seed)
        out = os.path.join(folder, "folded.onnx")
        code, text, _ = fold(pleat, path, out, "--external-data", "inline")
        assert code == 3 and "at most 2 GiB" in text and "external data" in text, (code, text)
        assert sorted(os.listdir(folder)) == ["large.onnx", "weights"], os.listdir(folder)
        code, text, peak = fold(pleat, path, out)
        assert code == 0, text
        assert sorted(os.listdir(folder)) == ["folded.onnx", "folded.onnx.data", "large.onnx", "weights"]
        check_weights(out, weights, parameters)
        print(f"{TOTAL / 1e9:.2f} GB folded, peak memory {peak / TOTAL:.2f} times that")
        assert peak < PEAK * TOTAL, f"{peak} bytes of memory for a model of {TOTAL}"


if __name__ == "__main__":
    main()

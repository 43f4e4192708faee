#!/usr/bin/python3
"""Makes the tiny models and the suite that the tests of the command use (needs onnx and numpy). What it writes is kept
in the repository, so that the tests themselves need only Python's standard library."""
import os

import numpy as np
from onnx import TensorProto, helper, numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = os.path.join(HERE, "models")


def value(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def constant(name, array):
    return numpy_helper.from_array(np.asarray(array, dtype=np.float32), name)


def model(nodes, inputs, outputs, constants=(), domains=()):
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, list(constants))
    opsets = [helper.make_opsetid("", 13)] + [helper.make_opsetid(domain, 1) for domain in domains]
    return helper.make_model(graph, producer_name="make_models.py", ir_version=7, opset_imports=opsets)


def write(path, message):
    path = os.path.join(HERE, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(message.SerializeToString(deterministic=True))


def add():
    """y = relu(a + b), with a symbolic dimension."""
    nodes = [helper.make_node("Add", ["a", "b"], ["sum"], name="add"),
             helper.make_node("Relu", ["sum"], ["y"], name="relu")]
    return model(nodes, [value("a", ["n", 3]), value("b", ["n", 3])], [value("y", ["n", 3])])


def conv_bn():
    """A convolution whose BatchNormalization folds, and one behind a Relu that does not."""
    def norm(x, y, name):
        return helper.make_node("BatchNormalization", [x, "scale", "bias", "mean", "var"], [y], name=name)

    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], name="conv"), norm("c", "n", "bn1"),
             helper.make_node("Relu", ["n"], ["r"], name="relu"), norm("r", "s", "bn2"),
             helper.make_node("Sigmoid", ["s"], ["y"], name="sigmoid")]
    weights = np.arange(18).reshape(2, 1, 3, 3) / 16 - 0.5
    constants = [constant("w", weights), constant("scale", [1, 2]), constant("bias", [0.5, -0.5]),
                 constant("mean", [0.25, 0.5]), constant("var", [1, 4])]
    return model(nodes, [value("x", ["batch", 1, 5, 5])], [value("y", ["batch", 2, 3, 3])], constants)


def shared():
    """A convolution whose result is also read as it is: its BatchNormalization folds into a copy only."""
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], name="conv"), norm("c", "n", "bn"),
             helper.make_node("Relu", ["c"], ["r"], name="relu"),
             helper.make_node("Add", ["n", "r"], ["y"], name="add")]
    constants = [constant("w", np.arange(18).reshape(2, 1, 3, 3) / 16 - 0.5)]
    constants += norm_constants("bn", [1, 2], [0.5, -0.5], [0.25, 0.5], [1, 4])
    return model(nodes, [value("x", ["batch", 1, 5, 5])], [value("y", ["batch", 2, 3, 3])], constants)


def later(ir_version, opset):
    """y = relu(a + b), of versions that may not be known yet."""
    message = add()
    message.ir_version = ir_version
    message.opset_import[0].version = opset
    return message


def flow():
    """Control flow: a Loop with an If in its body, whose states a Scan then sums up. The convolution in the body has a
    BatchNormalization, all weights are captured."""
    branches = {}
    for name, op in (("then_branch", "Neg"), ("else_branch", "Identity")):
        branches[name] = helper.make_graph([helper.make_node(op, ["n"], [name], name=op.lower())], name, [],
                                           [value(name, None)])
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"], name="on"),
         helper.make_node("Conv", ["s", "w"], ["c"], name="conv"), norm("c", "n", "bn"),
         helper.make_node("Less", ["i", "one"], ["first"], name="less"),
         helper.make_node("If", ["first"], ["r"], name="choice", **branches)],
        "body", [value("i", [], TensorProto.INT64), value("go", [], TensorProto.BOOL), value("s", ["batch", 2, 2])],
        [value("go_on", [], TensorProto.BOOL), value("r", None), value("s", None)])
    total = helper.make_graph([helper.make_node("Add", ["t", "e"], ["u"], name="add")], "total",
                              [value("t", ["batch", 2, 2]), value("e", ["batch", 2, 2])], [value("u", None)])
    nodes = [helper.make_node("Loop", ["trips", "", "x"], ["last", "all"], name="loop", body=body),
             helper.make_node("Scan", ["last", "all"], ["y"], name="scan", body=total, num_scan_inputs=1)]
    constants = [constant("w", np.reshape([1, 0, 0.5, 1], (2, 2, 1)))]
    constants += norm_constants("bn", [1, 2], [0.5, 0], [0, 1], [1, 4])
    constants += [numpy_helper.from_array(np.array(number, dtype=np.int64), name)
                  for name, number in (("trips", 3), ("one", 1))]
    return model(nodes, [value("x", ["batch", 2, 2])], [value("y", ["batch", 2, 2])], constants)


def classifier():
    """A linear layer and its softmax: an output of scores, and one of probabilities."""
    weights = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["scores"], name="linear"),
             helper.make_node("Softmax", ["scores"], ["probabilities"], name="softmax", axis=-1)]
    return model(nodes, [value("x", [1, 4])], [value("scores", [1, 3]), value("probabilities", [1, 3])],
                 [constant("w", weights)])


def wide():
    """A 3x3 convolution with channels enough for Winograd. Its weights take no place in the file."""
    shape = numpy_helper.from_array(np.array([32, 32, 3, 3], dtype=np.int64), "shape")
    value_of_all = helper.make_tensor("value", TensorProto.FLOAT, [1], [0.0078125])
    nodes = [helper.make_node("ConstantOfShape", ["shape"], ["w"], name="weights", value=value_of_all),
             helper.make_node("Conv", ["x", "w"], ["y"], name="conv", pads=[1, 1, 1, 1])]
    return model(nodes, [value("x", [1, 32, 16, 16])], [value("y", [1, 32, 16, 16])], [shape])


def norm(x, y, name, **attributes):
    """BatchNormalization with parameters of its own: name.s, name.b, name.m and name.v."""
    inputs = [x] + [f"{name}.{part}" for part in "sbmv"]
    return helper.make_node("BatchNormalization", inputs, [y], name=name, **attributes)


def norm_constants(name, scale, bias, mean, var, dtype=np.float32):
    return [numpy_helper.from_array(np.asarray(values, dtype=dtype), f"{name}.{part}")
            for part, values in zip("sbmv", (scale, bias, mean, var))]


def norms():
    """Layers for the picture: usual ones, risky ones, one of a training graph, and names that XML has to escape."""
    names = ["calm", "spread", "large", "dead", 'odd <&"\'> \u03b1 \x01',
             "a/very/long/name/" + 4 * "of/a/layer/" + "end"]
    scales = {"spread": [1, 1, 1000], "large": [2000, 3000, 2500], "dead": [0, 1, 1]}
    nodes, constants = [], []
    for i, name in enumerate(names):
        nodes.append(norm(f"v{i}", f"v{i + 1}", name))
        var = [1e-9, 1, 1] if name == "dead" else [1, 2, 4]
        constants += norm_constants(name, scales.get(name, [1, -2, 0.5]), [0, 1, -20], [0.5, 0, 0], var)
    last = f"v{len(names)}"
    nodes.append(helper.make_node("BatchNormalization", [last] + [f"calm.{part}" for part in "sbmv"],
                                  ["y", "batch_mean", "batch_var"], name="training", training_mode=1))
    graph = helper.make_graph(nodes, "norms", [value("v0", ["n", 3, 4, 4])],
                              [value("y", ["n", 3, 4, 4]), value("batch_mean", [3])], constants)
    return helper.make_model(graph, producer_name="make_models.py", ir_version=8,
                             opset_imports=[helper.make_opsetid("", 15)])


def half():
    """A float16 convolution that is exact as it is, but whose folded weights round: large ones that cancel out."""
    weights = np.where(np.arange(512) % 2 == 0, 1, -(1 + 2.0 ** -10)).astype(np.float16).reshape(1, 512, 1, 1)
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], name="conv"), norm("c", "y", "bn", epsilon=0.0)]
    constants = [numpy_helper.from_array(weights, "w")]
    constants += norm_constants("bn", [0.70001], [0], [0], [1], np.float16)
    kind = TensorProto.FLOAT16
    return model(nodes, [value("x", [1, 512, 2, 2], kind)], [value("y", [1, 1, 2, 2], kind)], constants)


def unsupported_conv_bn():
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], name="conv"), norm("c", "n", "bn"),
             helper.make_node("Frobnicate", ["n"], ["y"], name="frob", domain="com.example")]
    constants = [constant("w", np.ones((2, 1, 1)))]
    constants += norm_constants("bn", [1, 2], [0, 0], [0, 0], [1, 1])
    return model(nodes, [value("x", ["n", 1, 4])], [value("y", ["n", 2, 4])], constants, domains=["com.example"])


def unsupported():
    nodes = [helper.make_node("Frobnicate", ["x"], ["y"], name="frob", domain="com.example")]
    return model(nodes, [value("x", [2])], [value("y", [2])], domains=["com.example"])


def test_folder(path, message, inputs, outputs):
    write(f"{path}/model.onnx", message)
    for kind, arrays in (("input", inputs), ("output", outputs)):
        for i, array in enumerate(arrays):
            write(f"{path}/test_data_set_0/{kind}_{i}.pb", numpy_helper.from_array(np.asarray(array, dtype=np.float32)))


def main():
    write("models/add.onnx", add())
    write("models/conv_bn.onnx", conv_bn())
    write("models/classifier.onnx", classifier())
    write("models/flow.onnx", flow())
    write("models/shared.onnx", shared())
    write("models/later_ir.onnx", later(14, 26))
    write("models/later_opset.onnx", later(13, 27))
    write("models/unsupported.onnx", unsupported())
    write("models/norms.onnx", norms())
    write("models/wide.onnx", wide())
    write("models/half.onnx", half())
    write("models/unsupported_conv_bn.onnx", unsupported_conv_bn())
    a, b = [[1, -2, 3]], [[1, 1, 1]]
    test_folder("suite/right", add(), [a, b], [[[2, 0, 4]]])
    test_folder("suite/wrong", add(), [a, b], [[[2, 0, 5]]])
    test_folder("suite/shape", add(), [a, b], [[2, 0, 4]])
    test_folder("suite/count", add(), [a, b], [[[2, 0, 4]], [[1]]])
    test_folder("suite/skip", unsupported(), [[1, 2]], [[1, 2]])
    write("suite/bare/model.onnx", add())
    np.save(os.path.join(MODELS, "a.npy"), np.array([[1, -2, 3], [4, 5, 6]], dtype=">f4"))
    np.save(os.path.join(MODELS, "x.npy"), np.array([[1, 2, 3, 4]], dtype=np.float32))
    np.save(os.path.join(MODELS, "double.npy"), np.zeros((1, 4)))


main()

"""The models that can be measured, with their inputs: the exported networks, and the real models of PLEAT_SHARED."""
import glob
import os
import subprocess
import sys

import networks

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

# Issue 4: the ratio Pleat / ONNX Runtime that must be reached, and the one aimed at.
TARGETS = {"resnet18": (0.65, 0.50), "resnet50": (0.75, 0.65), "vgg16_bn": (0.60, 0.45), "mobilenet_v2": (0.75, 0.60),
           "efficientnet_b0": (0.85, 0.65), "densenet121": (0.85, 0.65), "unet": (0.65, 0.50),
           "yolo_tiny": (0.70, 0.50)}
REAL_TARGET = (1.0, None)


class Model:
    """`inputs(batch)`: {name: array}. A model with `batches` False has inputs of its own, and runs as they are."""

    def __init__(self, name, path, inputs, batches, target):
        self.name, self.path, self.inputs, self.batches, self.target = name, path, inputs, batches, target


def network(name, cache):
    def inputs(batch):
        import numpy
        size = networks.NETWORKS[name]
        shape = (batch, 3, size, size)
        return {"x": numpy.random.default_rng(batch).standard_normal(shape).astype(numpy.float32)}
    path = os.path.join(cache, f"recipe-{networks.RECIPE}", name + ".onnx")
    return Model(name, path, inputs, True, TARGETS[name])


def real(name, folder):
    def inputs(_):
        import onnx
        from onnx import numpy_helper
        graph = onnx.load(os.path.join(folder, "model.onnx"), load_external_data=False).graph
        constants = {tensor.name for tensor in graph.initializer}
        names = [value.name for value in graph.input if value.name not in constants]
        files = glob.glob(os.path.join(folder, "test_data_set_0", "input_*.pb"))
        arrays = {}
        for i, value in enumerate(names[:len(files)]):
            with open(os.path.join(folder, "test_data_set_0", f"input_{i}.pb"), "rb") as file:
                arrays[value] = numpy_helper.to_array(onnx.TensorProto.FromString(file.read()))
        return arrays
    return Model(name, os.path.join(folder, "model.onnx"), inputs, False, REAL_TARGET)


def available(cache):
    """{name: Model}, the networks first. A real model's name is its folder's."""
    found = {name: network(name, cache) for name in networks.NETWORKS}
    shared = os.environ.get("PLEAT_SHARED") or os.path.join(ROOT, os.pardir, "shared")
    for folder in sorted(glob.glob(os.path.join(shared, "models", "*", ""))):
        name = os.path.basename(folder.rstrip("/"))
        found[name] = real(name, folder)
    return found


def prepare(model):
    """Exports a network that is not there yet, by a temporary name; reads the file, so that it is in the page cache."""
    if not os.path.exists(model.path):
        os.makedirs(os.path.dirname(model.path), exist_ok=True)
        print(f"exporting {model.name} ...", file=sys.stderr)
        temporary = model.path + ".part"
        done = subprocess.run([sys.executable, os.path.join(HERE, "networks.py"), model.name, temporary],
                              capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{model.name} could not be exported (this takes the Debian packages python3-torch, "
                               f"python3-torchvision and python3-onnx):\n{done.stderr.strip()[-1500:]}")
        os.rename(temporary, model.path)
    with open(model.path, "rb") as file:
        while file.read(1 << 24):
            pass

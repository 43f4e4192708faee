#!/usr/bin/python3
"""Trains or initializes the networks of models/ and exports each with PyTorch's own exporter, BatchNormalization kept.

    models/generate.py [NAME...]        # all of them without names; needs torch, onnx, numpy and scikit-learn

Each goes to models/NAME/model.onnx, with PyTorch's own outputs for given inputs in test_data_set_N/*.pb. Deterministic:
fixed seeds, one thread, deterministic algorithms. Files are the same byte for byte on one machine with one PyTorch;
elsewhere the trained weights may differ by rounding.
"""
import argparse
import copy
import pathlib
import shutil
import sys
import warnings
from dataclasses import dataclass, field
from typing import Callable

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn
from torch.onnx import TrainingMode

import networks

HERE = pathlib.Path(__file__).resolve().parent
MODES = {"train": TrainingMode.TRAINING, "preserve": TrainingMode.PRESERVE}
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
LINEAR_MAPS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d)


@dataclass
class Recipe:
    """How one model is made, and what its export must contain."""
    network: Callable[[], nn.Module]
    opset: int
    shapes: list  # the input's shape in each test data set; the first one is traced
    inference_norms: int  # BatchNormalization nodes that must be in the file, in inference mode ...
    training_norms: int = 0  # ... and in training mode
    inputs: list = field(default_factory=lambda: ["input"])
    outputs: list = field(default_factory=lambda: ["output"])
    dynamic_axes: dict = field(default_factory=dict)
    dtype: torch.dtype = torch.float32
    trained: bool = False  # on the digits; else weights and statistics are random
    train_modules: tuple = ()  # names of modules left in training mode; ("",) is the whole network


BATCH = {0: "batch"}
RECIPES = {
    "digits_cnn": Recipe(networks.DigitsCnn, 13, [(1, 1, 8, 8), (16, 1, 8, 8)], 8, trained=True,
                         inputs=["image"], outputs=["probabilities"],
                         dynamic_axes={"image": BATCH, "probabilities": BATCH}),
    "preact_dense": Recipe(networks.PreactDense, 9, [(2, 3, 12, 12)], 8),
    "unet_decoder": Recipe(networks.UnetDecoder, 11, [(1, 3, 16, 16), (2, 3, 24, 8)], 8,
                           dynamic_axes={"input": {0: "batch", 2: "height", 3: "width"},
                                         "output": {0: "batch", 2: "height", 3: "width"}}),
    "mlp_bn": Recipe(networks.MlpBn, 14, [(3, 20), (1, 20)], 4, dynamic_axes={"input": BATCH, "output": BATCH}),
    "mlp_bn_double": Recipe(networks.MlpBn, 15, [(3, 20)], 4, dtype=torch.float64),
    "conv1d_bn": Recipe(networks.Conv1dBn, 16, [(1, 4, 32), (2, 4, 50)], 6,
                        dynamic_axes={"input": {0: "batch", 2: "length"}, "output": {0: "batch", 2: "length"}}),
    "conv3d_bn": Recipe(networks.Conv3dBn, 17, [(1, 2, 6, 12, 12)], 4),
    "train_mode": Recipe(networks.TrainMode, 14, [(4, 3, 6, 6)], 0, 3, train_modules=("",)),
    "train_mode_opset9": Recipe(networks.TrainMode, 9, [(4, 3, 6, 6)], 0, 3, train_modules=("",)),
    "partly_frozen": Recipe(networks.TrainMode, 15, [(4, 3, 6, 6)], 2, 1, train_modules=("bn2",)),
    "bn_variants": Recipe(networks.BnVariants, 12, [(2, 3, 10, 10)], 7, outputs=["classes", "tapped"]),
}


def randomize(model, generator):
    """Fills weights and BN statistics with values of the sizes found in trained networks.

    Weights are He-normal, so that signals stay near unit scale: with PyTorch's own smaller ones, deep layers would
    hardly show in the outputs, and the test data would not notice a wrong BN. A few BN scales are negative."""
    for module in model.modules():
        if isinstance(module, BATCH_NORMS):
            count = module.num_features
            module.running_mean.copy_(torch.randn(count, generator=generator) * 0.5)
            module.running_var.copy_(torch.rand(count, generator=generator) * 2.7 + 0.3)
            if module.affine:
                gamma = torch.rand(count, generator=generator) + 0.5
                gamma[torch.randperm(count, generator=generator)[:max(1, count // 8)]] *= -1
                module.weight.data.copy_(gamma)
                module.bias.data.copy_(torch.randn(count, generator=generator) * 0.5)
        elif isinstance(module, LINEAR_MAPS):
            weight = module.weight.data
            fan_in = weight[0].numel()
            if getattr(module, "transposed", False):  # each output sees 1/stride of the kernel in each dimension
                kernel, stride = np.prod(module.kernel_size), np.prod(module.stride)
                fan_in = module.in_channels // module.groups * max(1, kernel / stride)
            weight.copy_(torch.randn(weight.shape, generator=generator) * (2 / fan_in) ** 0.5)


def load_digits():
    """scikit-learn's 1797 scanned digits, pixels in [0, 1]: a fixed, stratified split, one fifth held out."""
    from sklearn.datasets import load_digits as sklearn_digits
    from sklearn.model_selection import train_test_split
    digits = sklearn_digits()
    images = (digits.images / 16).astype(np.float32)[:, np.newaxis]
    parts = train_test_split(images, digits.target, test_size=0.2, stratify=digits.target, random_state=0)
    return [torch.from_numpy(part) for part in parts]


def shifted(images, generator):
    """The images, each moved by up to one pixel in either direction."""
    padded = nn.functional.pad(images, (1, 1, 1, 1))
    moves = torch.randint(0, 3, (len(images), 2), generator=generator).tolist()
    return torch.stack([image[:, y:y + 8, x:x + 8] for image, (y, x) in zip(padded, moves)])


def train_digits(model, generator, epochs=40, batch_size=64):
    """Trains in place. Returns the held-out images, their labels and the accuracy on them, which must be >= 0.98."""
    train_x, test_x, train_y, test_y = load_digits()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-3)
    steps = epochs * ((len(train_x) + batch_size - 1) // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=steps)
    model.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(train_x), generator=generator).split(batch_size):
            optimizer.zero_grad()
            logits = model.logits(shifted(train_x[batch], generator))
            nn.functional.cross_entropy(logits, train_y[batch], label_smoothing=0.02).backward()
            optimizer.step()
            schedule.step()
    model.eval()
    with torch.no_grad():
        accuracy = (model(test_x).argmax(1) == test_y).double().mean().item()
    assert accuracy >= 0.98, f"digits_cnn: held-out accuracy {accuracy:.4f} is below 0.98"
    return test_x, test_y, accuracy


def is_training(node, opset):
    """Whether a BatchNormalization node is in training mode: by attribute since opset 14, else by its outputs."""
    if opset >= 14:
        return any(attribute.name == "training_mode" and attribute.i != 0 for attribute in node.attribute)
    return len(node.output) > 1


def check_export(path, recipe):
    """The file is valid, of the right opset, and holds just the BatchNormalization nodes that the recipe says."""
    model = onnx.load(str(path))
    onnx.checker.check_model(model, full_check=True)
    assert [entry.version for entry in model.opset_import] == [recipe.opset], f"{path}: {model.opset_import}"
    norms = [node for node in model.graph.node if node.op_type == "BatchNormalization"]
    training = sum(is_training(node, recipe.opset) for node in norms)
    expected = (recipe.inference_norms, recipe.training_norms)
    found = (len(norms) - training, training)
    assert found == expected, f"{path}: (inference, training) BatchNormalization: expected {expected}, found {found}"
    for node in norms:
        count = (3 if recipe.opset >= 14 else 5) if is_training(node, recipe.opset) else 1
        assert len(node.output) == count, f"{path}: {node.name} has {len(node.output)} outputs, expected {count}"
    return len(model.graph.node), len(norms)


def write_tensor(path, name, tensor):
    """Writes a tensor as a TensorProto with a name."""
    path.write_bytes(numpy_helper.from_array(tensor.numpy(), name).SerializeToString())


def write_data_set(folder, recipe, model, inputs):
    """Runs the network on a copy, as training mode changes running statistics, and writes inputs and outputs."""
    with torch.no_grad():
        outputs = copy.deepcopy(model)(inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    folder.mkdir()
    write_tensor(folder / "input_0.pb", recipe.inputs[0], inputs)
    for index, (name, output) in enumerate(zip(recipe.outputs, outputs)):
        assert torch.isfinite(output).all()
        write_tensor(folder / f"output_{index}.pb", name, output)


def export(path, recipe, model, inputs):
    """Exports without the optimizations that would fold BN: PRESERVE keeps each module's own mode, TRAINING asks for
    training mode. Plain EVAL would merge each BN into the conv before it."""
    mode = MODES["train" if recipe.train_modules == ("",) else "preserve"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of any BN in training mode, which is wanted here
        torch.onnx.export(copy.deepcopy(model), inputs, str(path), opset_version=recipe.opset, training=mode,
                          do_constant_folding=False, input_names=recipe.inputs, output_names=recipe.outputs,
                          dynamic_axes=recipe.dynamic_axes)


def generate(name, recipe):
    """Makes models/NAME anew. Returns a line about it."""
    torch.manual_seed(20260)
    generator = torch.Generator().manual_seed(7)
    model, note = recipe.network(), ""
    if recipe.trained:
        images, labels, accuracy = train_digits(model, generator)
        inputs = [images[:1], images[1:1 + recipe.shapes[1][0]]]
        note = f", held-out accuracy {accuracy:.4f} ({len(images)} images), first digit {labels[0].item()}"
    else:
        randomize(model, generator)
        inputs = [torch.randn(shape, generator=generator).to(recipe.dtype) for shape in recipe.shapes]
    model.to(recipe.dtype).eval()
    for module in recipe.train_modules:
        model.get_submodule(module).train()
    assert [tuple(tensor.shape) for tensor in inputs] == recipe.shapes

    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    export(folder / "model.onnx", recipe, model, inputs[0])
    nodes, norms = check_export(folder / "model.onnx", recipe)
    for index, tensor in enumerate(inputs):
        write_data_set(folder / f"test_data_set_{index}", recipe, model, tensor)
    size = (folder / "model.onnx").stat().st_size
    return f"{name}: opset {recipe.opset}, {nodes} nodes, {norms} BatchNormalization, {size} bytes{note}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(RECIPES)} (default: all)")
    names = parser.parse_args().names or list(RECIPES)
    unknown = [name for name in names if name not in RECIPES]
    if unknown:
        parser.error(f"no such model: {', '.join(unknown)}")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name in names:
        print(generate(name, RECIPES[name]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

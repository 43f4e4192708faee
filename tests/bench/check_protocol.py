#!/usr/bin/env python3
"""That the benchmark's worker keeps its protocol and computes: check_protocol.py WORKER MODEL_FOLDER

MODEL_FOLDER has a model.onnx of float tensors with one input, and test_data_set_0.
"""
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
try:
    import numpy
    import onnx
    from onnx import numpy_helper
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)
from worker import Worker, WorkerError


def tensor(path):
    with open(path, "rb") as file:
        return numpy_helper.to_array(onnx.TensorProto.FromString(file.read()))


def refused(worker, *fields):
    """The message with which the worker refuses a command; it must go on living."""
    try:
        worker.ask(*fields)
    except WorkerError as error:
        assert worker.process.poll() is None, f"{fields}: the worker ended: {error}"
        return str(error)
    raise AssertionError(f"{fields}: was not refused")


def check_refusals(worker, model, folder):
    assert "unknown command" in refused(worker, "dance")
    assert "no model" in refused(worker, "run", 0, 1)
    assert "whole number" in refused(worker, "load", model, "many")
    assert "missing.onnx" in refused(worker, "load", os.path.join(folder, "missing.onnx"), 1)


def check_run(worker, name, x, expected, folder):
    path = os.path.join(folder, "x")
    x.tofile(path)
    assert "no input is named" in refused(worker, "input", "no such input", 1, path, *x.shape)
    refused(worker, "input", name, 1, path, *x.shape, 2)
    worker.ask("input", name, 1, path, *x.shape)
    assert len(worker.run(0, 1)) == 1
    times = worker.run(2, 5)
    assert len(times) == 5 and min(times) > 0, times
    entries = worker.ask("save", folder)
    shapes = ["1:" + ",".join(str(dim) for dim in array.shape) for array in expected]
    assert entries == shapes, (entries, shapes)
    for i, array in enumerate(expected):
        actual = numpy.fromfile(os.path.join(folder, str(i)), numpy.float32).reshape(array.shape)
        assert numpy.allclose(actual, array, rtol=1e-3, atol=1e-4), abs(actual - array).max()
    assert worker.memory() > 1 << 20


def main():
    program, source = sys.argv[1:]
    model, data = os.path.join(source, "model.onnx"), os.path.join(source, "test_data_set_0")
    name = onnx.load(model).graph.input[0].name
    expected = [tensor(os.path.join(data, file)) for file in sorted(os.listdir(data)) if file.startswith("output_")]
    with tempfile.TemporaryDirectory() as folder, Worker([program]) as worker:
        check_refusals(worker, model, folder)
        assert worker.load(model, 2) > 0
        check_run(worker, name, tensor(os.path.join(data, "input_0.pb")), expected, folder)
        worker.process.send_signal(18)  # SIGCONT, so that it sees the end of its input
        worker.process.stdin.close()
        assert worker.process.wait(60) == 0
        worker.process.stdin = None
    print(f"{program}: {len(expected)} outputs as expected")


main()

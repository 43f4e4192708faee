"""ONNX Runtime and Pleat as the programs of this folder need them: installing the one, building the workers of both,
handing inputs over and comparing outputs."""
import os
import platform
import shutil
import subprocess
import sys

import models

BUILD = os.path.join(models.ROOT, "build", "bench")
ORT_VERSION = "1.30.0"
ORT_FOLDER = os.path.join(BUILD, "node_modules", "onnxruntime-node")


def fail(message):
    print(f"bench: {message}", file=sys.stderr)
    sys.exit(3)


def command(arguments, what):
    done = subprocess.run(arguments, capture_output=True, text=True)
    if done.returncode:
        fail(f"{what} failed: {' '.join(arguments)}\n{(done.stdout + done.stderr).strip()[-1500:]}")


def install_ort():
    """The shared library of ONNX Runtime. The package's install script only fetches CUDA's part, and is not run."""
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine())
    folder = os.path.join(ORT_FOLDER, "bin", "napi-v6", "linux", str(machine))
    library = os.path.join(folder, "libonnxruntime.so.1")
    if not os.path.exists(library):
        if not shutil.which("npm"):
            fail("npm is missing, which installs ONNX Runtime (Debian package npm)")
        os.makedirs(BUILD, exist_ok=True)
        with open(os.path.join(BUILD, "package.json"), "w", encoding="ascii") as file:
            file.write('{"private": true}\n')
        print(f"installing onnxruntime-node {ORT_VERSION} ...", file=sys.stderr)
        command(["npm", "install", "--prefix", BUILD, "--ignore-scripts", "--no-audit", "--no-fund",
                 f"onnxruntime-node@{ORT_VERSION}"], "npm")
    if not os.path.exists(library):
        fail(f"onnxruntime-node {ORT_VERSION} has no library for {platform.machine()}: expected {library}")
    return library


def build(folder):
    """The build folder, an existing one or one of our own, and the workers' commands."""
    if folder is None:
        folder = os.path.join(BUILD, "build")
        command(["cmake", "-S", models.ROOT, "-B", folder, "-DCMAKE_BUILD_TYPE=Release"], "configuring")
    elif not os.path.exists(os.path.join(folder, "CMakeCache.txt")):
        fail(f"{folder} is not a build folder of Pleat: expected CMakeCache.txt in it")
    command(["cmake", "--build", folder, "--parallel", "--target", "pleat_bench_worker", "ort_bench_worker"],
            "building the workers")
    paths = [os.path.join(folder, "tests", "bench", name) for name in ("ort_bench_worker", "pleat_bench_worker")]
    return folder, {"ort": [paths[0], install_ort()], "pleat": [paths[1]]}


def write_inputs(model, batch, folder):
    """The arguments of the worker's `input` command, one list for each input."""
    import numpy
    from onnx import mapping
    commands = []
    for i, (name, array) in enumerate(model.inputs(batch).items()):
        path = os.path.join(folder, f"input_{i}")
        numpy.ascontiguousarray(array).tofile(path)
        commands.append([name, mapping.NP_TYPE_TO_TENSOR_TYPE[array.dtype], path, *array.shape])
    return commands


def read_outputs(worker, folder):
    """Runs nothing: the outputs of the last run."""
    import numpy
    from onnx import mapping
    os.makedirs(folder, exist_ok=True)
    arrays = []
    for i, entry in enumerate(worker.ask("save", folder)):
        dtype, dims = entry.split(":")
        shape = [int(dim) for dim in dims.split(",") if dim]
        arrays.append(numpy.fromfile(os.path.join(folder, str(i)),
                                     dtype=mapping.TENSOR_TYPE_TO_NP_TYPE[int(dtype)]).reshape(shape))
    return arrays


def difference(actual, expected):
    """The largest difference as a part of the range of the expected values, and the same without what is rounding noise
    in itself, up to 2 eps (the rule of pleat_compare: tails of a sigmoid). Infinite when they cannot be compared."""
    import numpy
    if len(actual) != len(expected):
        return float("inf"), float("inf")
    raw = counted = 0.0
    for a, b in zip(actual, expected):
        if a.shape != b.shape or a.dtype != b.dtype:
            return float("inf"), float("inf")
        noise = 2 * float(numpy.finfo(a.dtype).eps) if a.dtype.kind == "f" else 0.0
        a, b = a.astype(numpy.float64), b.astype(numpy.float64)
        special = ~(numpy.isfinite(a) & numpy.isfinite(b))
        if not numpy.array_equal(a[special], b[special], equal_nan=True):
            return float("inf"), float("inf")
        a, b = a[~special], b[~special]
        if a.size:
            extent = max(float(b.max() - b.min()), float(abs(b).max())) or 1.0
            largest = float(abs(a - b).max())
            raw = max(raw, largest / extent)
            counted = max(counted, largest / extent if largest > noise else 0.0)
    return raw, counted

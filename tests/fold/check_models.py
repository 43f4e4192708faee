"""Folds every model of some folders and lets ONNX's own checker judge what comes out.

Usage: check_models.py PLEAT FOLDER...

For each FOLDER/*/model.onnx: the folded file must pass onnx.checker (with full shape inference) wherever the original
does, keep the graph's inputs and outputs (names, types and the shapes that inference finds), and not change when it is
folded again. Models of opsets that the installed onnx does not know are left out and listed. Exit code 77 without the
package onnx.
"""
import pathlib
import subprocess
import sys
import tempfile

try:
    import onnx
except ImportError:
    print("skipped: python3-onnx is not installed")
    sys.exit(77)


def unknown_opset(model):
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx") and opset.version > onnx.defs.onnx_opset_version():
            return f"opset {opset.version}"
        if opset.domain not in ("", "ai.onnx", "ai.onnx.ml"):
            return f"domain {opset.domain}"
    return None


def complaint(path):
    """What the checker says about the file; None when it accepts it."""
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except Exception as error:  # the checker throws several kinds
        return str(error).strip().splitlines()[0]
    return None


def describe(value):
    tensor = value.type.tensor_type
    dims = [d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in tensor.shape.dim]
    return value.name, tensor.elem_type, dims


def interface(path):
    """Inputs that are no weights, and outputs; as declared where inference gives up."""
    model = onnx.load(path)
    try:
        model = onnx.shape_inference.infer_shapes(model)
    except Exception:  # onnx's own type, which is not public
        pass
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [describe(value) for value in model.graph.input if value.name not in weights]
    return inputs, [describe(value) for value in model.graph.output]


def fold(pleat, source, target):
    run = subprocess.run([pleat, "fold", "--no-check", source, target], capture_output=True, text=True, timeout=300)
    return None if run.returncode == 0 else f"exit code {run.returncode}: {run.stderr.strip()}"


def check(pleat, source, folder):
    """What is wrong; None when all is well."""
    once, twice = folder / "once.onnx", folder / "twice.onnx"
    failure = fold(pleat, source, once) or fold(pleat, once, twice)
    if failure:
        return failure
    if complaint(source) is None and complaint(once) is not None:
        return f"the checker accepts the original but not the folded model: {complaint(once)}"
    before, after = interface(source), interface(once)
    if before != after:
        return f"inputs and outputs changed: {before} -> {after}"
    if once.read_bytes() != twice.read_bytes():
        return "folding the folded model changes it"
    return None


def main():
    pleat, folders = sys.argv[1], sys.argv[2:]
    failed = checked = 0
    for source in sorted(path for folder in folders for path in pathlib.Path(folder).glob("*/model.onnx")):
        name = source.parent.name
        reason = unknown_opset(onnx.load(source, load_external_data=False))
        if reason:
            print(f"left out: {name} ({reason})")
            continue
        with tempfile.TemporaryDirectory() as folder:
            wrong = check(pleat, source, pathlib.Path(folder))
        checked += 1
        if wrong:
            failed += 1
            print(f"FAILED: {name}: {wrong}")
        elif complaint(source):
            print(f"ok, but the checker refuses the original too: {name}: {complaint(source)}")
    print(f"{checked} models checked, {failed} failed")
    return 1 if failed or not checked else 0


if __name__ == "__main__":
    sys.exit(main())

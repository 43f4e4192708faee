"""Folds every model of some folders and lets ONNX's own checker judge what comes out.

Usage: check_models.py PLEAT FOLDER...

For each FOLDER/*/model.onnx: the folded file must pass onnx.checker and shape inference wherever the original does,
keep the graph's inputs and outputs, and not change when it is folded again. Models of opsets that the installed onnx
does not know are left out and listed. Exit code 77 without the package onnx.

The checker only ever gets messages in memory, never a path: onnx 1.12's check_model(path, full_check=True) writes the
inferred model over the file that it checks. That no original changed is checked as well.
"""
import hashlib
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


def complaint(data):
    """What checker and inference say about a file's bytes; None when they accept them."""
    try:
        model = onnx.load_model_from_string(data)
        onnx.checker.check_model(model)
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    except Exception as error:  # they throw several kinds
        return str(error).strip().splitlines()[0]
    return None


def interface(data):
    """Inputs that are no weights, and outputs, as they are declared."""
    graph = onnx.load_model_from_string(data).graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value.SerializeToString() for value in graph.input if value.name not in weights]
    return inputs, [value.SerializeToString() for value in graph.output]


def fold(pleat, source, target):
    run = subprocess.run([pleat, "fold", "--no-check", source, target], capture_output=True, text=True, timeout=300)
    return None if run.returncode == 0 else f"exit code {run.returncode}: {run.stderr.strip()}"


def check(pleat, source, data, folder):
    """What is wrong; None when all is well."""
    once, twice = folder / "once.onnx", folder / "twice.onnx"
    failure = fold(pleat, source, once) or fold(pleat, once, twice)
    if failure:
        return failure
    folded = once.read_bytes()
    if folded != twice.read_bytes():
        return "folding the folded model changes it"
    if complaint(data) is None and complaint(folded) is not None:
        return f"the checker accepts the original but not the folded model: {complaint(folded)}"
    return None if interface(data) == interface(folded) else "the declared inputs or outputs changed"


def main():
    pleat, folders = sys.argv[1], sys.argv[2:]
    failed = checked = 0
    for source in sorted(path for folder in folders for path in pathlib.Path(folder).glob("*/model.onnx")):
        name, data = source.parent.name, source.read_bytes()
        reason = unknown_opset(onnx.load_model_from_string(data))
        if reason:
            print(f"left out: {name} ({reason})")
            continue
        digest = hashlib.sha256(data).digest()
        with tempfile.TemporaryDirectory() as folder:
            wrong = check(pleat, source, data, pathlib.Path(folder))
        if hashlib.sha256(source.read_bytes()).digest() != digest:
            wrong = "the original was changed"
        checked += 1
        if wrong:
            failed += 1
            print(f"FAILED: {name}: {wrong}")
        elif complaint(data):
            print(f"ok, but the checker refuses the original too: {name}: {complaint(data)}")
    print(f"{checked} models checked, {failed} failed")
    return 1 if failed or not checked else 0


if __name__ == "__main__":
    sys.exit(main())

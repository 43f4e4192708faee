#!/usr/bin/env python3
"""Real models give their recorded outputs, as they are and folded.

For every model of a list: `pleat validate` of the model, `pleat fold`, and `pleat validate` of the folded model on the
same data. The list (models.txt, "folder norms_before norms_after") also says how many BatchNormalization nodes there
are and how many may stay, so a pass that stops folding is seen. With --all every folder with a model.onnx is taken.

Usage: run_models.py PLEAT FOLDER (--list FILE | --all)     Exit code 77: the folder is not there.
"""
import argparse
import concurrent.futures
import glob
import json
import os
import subprocess
import sys
import tempfile
import time

SKIPPED = 77


def read_list(path):
    with open(path, encoding="utf-8") as file:
        lines = [line.split() for line in file if line.strip() and not line.startswith("#")]
    return [(name, int(before), int(after)) for name, before, after in lines]


def call(*command):
    """(exit code, standard output, the last lines of everything)"""
    run = subprocess.run(command, capture_output=True, text=True)
    return run.returncode, run.stdout, "\n    ".join((run.stdout + run.stderr).strip().splitlines()[-4:])


def check(pleat, folder, before, after):
    """None, or what is wrong. `before` None: the counts are not known."""
    model, sets = os.path.join(folder, "model.onnx"), sorted(glob.glob(os.path.join(folder, "test_data_set_*")))
    if not os.path.exists(model) or not sets:
        return "there is no model.onnx with a test_data_set_*"
    code, _, text = call(pleat, "validate", model)
    if code:
        return f"validate: exit code {code}\n    {text}"
    with tempfile.TemporaryDirectory() as scratch:
        folded = os.path.join(scratch, "folded.onnx")
        code, output, text = call(pleat, "fold", model, folded, "--json", "-")
        if code:
            return f"fold: exit code {code}\n    {text}"
        report = json.loads(output)
        if before is not None and (report["norms_before"] != before or report["norms_after"] > after):
            return (f"fold: {report['norms_before']} BatchNormalization before and {report['norms_after']} after, "
                    f"expected {before} and at most {after}")
        code, _, text = call(pleat, "validate", folded, *sets)
        return f"validate of the folded model: exit code {code}\n    {text}" if code else None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("pleat")
    parser.add_argument("folder")
    parser.add_argument("--list")
    parser.add_argument("--all", action="store_true")
    args = parser.parse_args()
    if not os.path.isdir(args.folder):
        print(f"skipped: there is no {args.folder}")
        return SKIPPED
    if args.all:
        found = sorted(glob.glob(os.path.join(args.folder, "*", "model.onnx")))
        models = [(os.path.basename(os.path.dirname(path)), None, None) for path in found]
    else:
        models = read_list(args.list)
    if not models:
        print(f"skipped: no model in {args.folder}")
        return SKIPPED

    def timed(entry):
        start = time.monotonic()
        problem = check(args.pleat, os.path.join(args.folder, entry[0]), *entry[1:])
        return entry[0], problem, time.monotonic() - start

    bad = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for name, problem, seconds in pool.map(timed, models):
            bad += problem is not None
            print(f"{'FAIL' if problem else 'ok  '} {name} ({seconds:.1f} s){': ' + problem if problem else ''}")
    print(f"{len(models)} models, {bad} wrong")
    return 1 if bad else 0


sys.exit(main())

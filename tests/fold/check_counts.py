#!/usr/bin/env python3
"""How many nodes and BatchNormalizations of real models are left after folding: expected_counts.txt says.

usage: check_counts.py PLEAT EXPECTED FOLDER...    --update writes what is found into EXPECTED
A line: model folder, options (or -), normalisations before and after, nodes before and after. Models that are not
there are left out; exit code 77 when none is.
"""
import json
import os
import subprocess
import sys

SKIPPED = 77


def fold(pleat, model, options):
    command = [pleat, "fold", model, "--dry-run", "--no-check", "--json", "-", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        return None, done.stderr.strip()
    report = json.loads(done.stdout)
    return [report[key] for key in ("norms_before", "norms_after", "nodes_before", "nodes_after")], ""


def main():
    arguments = [a for a in sys.argv[1:] if a != "--update"]
    pleat, expected_path, folders = arguments[0], arguments[1], arguments[2:]
    lines, checked, failures = [], 0, 0
    for line in open(expected_path, encoding="utf-8").read().splitlines():
        if not line or line.startswith("#"):
            lines.append(line)
            continue
        name, options, *expected = line.split()
        model = next((path for folder in folders if os.path.exists(path := f"{folder}/{name}/model.onnx")), None)
        if model is None:
            lines.append(line)
            continue
        found, error = fold(pleat, model, [] if options == "-" else options.split(","))
        checked += 1
        if found is None or [str(n) for n in found] != expected:
            failures += 1
            print(f"{name} {options}: expected {' '.join(expected)}, found {error or ' '.join(map(str, found))}")
        lines.append(f"{name} {options} {' '.join(map(str, found or []))}")
    if "--update" in sys.argv:
        with open(expected_path, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        return 0
    print(f"{checked} models, {failures} differ")
    return SKIPPED if checked == 0 else 1 if failures else 0


sys.exit(main())

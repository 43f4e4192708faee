#!/usr/bin/env python3
"""Runs the golden tests of the pleat command.

A case is a folder in cases/ with `cmd`, a shell script, and what it must give: `stdout`, `stderr` (both empty when
there is no such file) and `exit` (0 when there is no such file). The script sees $PLEAT (the command), $MODELS and
$SUITE (the tiny models and test folders here) and $TMP (an empty folder of its own, its working directory).

Usage: run_cli_tests.py PLEAT [--update] [CASE]...     --update rewrites the expectations from what came out.
"""
import argparse
import difflib
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
CASES = os.path.join(HERE, "cases")


def to_6_digits(match):
    return f"{float(match.group()):.6g}"


# What differs between runs or machines: times, memory, the version, the last digits of sums.
VARYING = [
    (re.compile(r"(^| +)\d+\.\d+ ms", re.M), r" # ms"),
    (re.compile(r" +\d+\.\d+ items/s"), " # items/s"),
    (re.compile(r"peak memory .*"), "peak memory #"),
    (re.compile(r"\d+ runs, \d+ threads?"), "# runs, # threads"),
    (re.compile(r'"((?:\w+_)?ms|items_per_s|peak_rss_bytes|threads)":\t[-+.e\d]+'), r'"\1":\t#'),
    # Errors of a check: kernels differ between machines.
    (re.compile(r"( original| folded)( +)[-+.e\d]+ +[-+.e\d]+ +\d+", re.M), r"\1 #"),
    (re.compile(r"limit \d\.\de-\d+"), "limit #"),
    (re.compile(r'"max_abs":\t\S+\s+"max_rel":\t\S+\s+"max_ulp":\t\d+'), '"max_...":\t#'),
    (re.compile(r'"(limit|range)":\t[-+.e\d]+'), r'"\1":\t#'),
    (re.compile(r"pleat \d+\.\d+\.\d+"), "pleat #.#.#"),
    (re.compile(r"\b\d+\.\d{8,}(e[-+]?\d+)?\b"), to_6_digits),
]


def normalise(text, places):
    for path, name in places:
        text = text.replace(path, name)
    for pattern, replacement in VARYING:
        text = pattern.sub(replacement, text)
    return text


def run(case, pleat):
    with tempfile.TemporaryDirectory() as folder:
        folder = os.path.realpath(folder)
        places = [(folder, "$TMP"), (os.path.join(HERE, "models"), "$MODELS"), (os.path.join(HERE, "suite"), "$SUITE")]
        environment = dict(os.environ, PLEAT=pleat, LC_ALL="C", **{name[1:]: path for path, name in places})
        done = subprocess.run(["sh", os.path.join(CASES, case, "cmd")], cwd=folder, env=environment, timeout=120,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    found = {name: normalise(data.decode("utf-8", "backslashreplace"), places)
             for name, data in (("stdout", done.stdout), ("stderr", done.stderr))}
    found["exit"] = f"{done.returncode}\n"
    return found


def expected(case, name):
    path = os.path.join(CASES, case, name)
    if not os.path.exists(path):
        return "0\n" if name == "exit" else ""
    with open(path, encoding="utf-8") as file:
        return file.read()


def update(case, found):
    for name, text in found.items():
        path = os.path.join(CASES, case, name)
        if text != ("0\n" if name == "exit" else ""):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        elif os.path.exists(path):
            os.remove(path)


def differences(case, found):
    lines = []
    for name, text in found.items():
        want = expected(case, name)
        if want != text:
            lines += difflib.unified_diff(want.splitlines(), text.splitlines(), f"{case}/{name} expected", "found",
                                          lineterm="")
            if want.splitlines() == text.splitlines():
                lines.append(f"{case}/{name}: the final newline differs")
    return lines


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("pleat")
    parser.add_argument("cases", nargs="*")
    parser.add_argument("--update", action="store_true")
    arguments = parser.parse_intermixed_args()
    pleat = os.path.abspath(arguments.pleat)
    every = sorted(name for name in os.listdir(CASES) if os.path.exists(os.path.join(CASES, name, "cmd")))
    cases = arguments.cases or every
    failed = 0
    for case in cases:
        found = run(case, pleat)
        if arguments.update:
            update(case, found)
            continue
        lines = differences(case, found)
        if lines:
            failed += 1
            print("\n".join(lines))
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed or not cases else 0


sys.exit(main())

#!/usr/bin/env python3
"""Runs `pleat validate --suite` over a folder of ONNX test data and judges the verdicts against the lists here.

For the list NAME (libonnx, shared), in this folder:
  must_pass_NAME.txt       tests that have to pass: one a line, sorted; the list only grows
  known_failures_NAME.txt  "test reason": tests whose data is wrong; what they say does not count

The run fails when a listed test does not pass (also when it is gone), or when any other test fails; skipped tests (an
operator that is not supported) are fine. Exit code 77: the folder is not there.

Usage: run_suite.py PLEAT NAME FOLDER [--update]      --update adds tests that pass to the list, and removes none
"""
import argparse
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SKIPPED = 77


def read_list(kind, name):
    """The lines as {test: rest of the line}; comments and empty lines are left out."""
    path = os.path.join(HERE, f"{kind}_{name}.txt")
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        lines = [line.strip() for line in file if line.strip() and not line.startswith("#")]
    names = [line.split()[0] for line in lines]
    if names != sorted(set(names)):
        sys.exit(f"{path}: not sorted, or a test is there twice")
    return {line.split()[0]: " ".join(line.split()[1:]) for line in lines}


def write_list(kind, name, tests):
    with open(os.path.join(HERE, f"{kind}_{name}.txt"), "w", encoding="utf-8") as file:
        file.write("".join(f"{test}\n" for test in sorted(tests)))


def validate(pleat, folder):
    command = [pleat, "validate", "--suite", folder, "--json", "-", "--jobs", "2"]
    run = subprocess.run(command, capture_output=True, text=True)
    try:
        report = json.loads(run.stdout)
    except ValueError:
        sys.exit(f"{' '.join(command)}: exit code {run.returncode} without a report:\n{run.stderr}")
    return {test["name"]: test for test in report["tests"]}


def judge(tests, must_pass, known):
    """The problems, each one line."""
    for name in must_pass:
        if name not in tests:
            yield f"{name}: must pass, but the suite has no such test"
        elif tests[name]["verdict"] == "skip":
            yield f"{name}: must pass, but is skipped: {tests[name]['reason']}"
    for name, test in tests.items():
        if test["verdict"] == "fail" and name not in known:
            yield f"{name}: fails: {test['reason']}"
    for name, reason in known.items():
        if not reason:
            yield f"{name}: a known failure needs a reason"
        if name in must_pass:
            yield f"{name}: both a known failure and one that must pass"
        if name not in tests:
            yield f"{name}: a known failure, but the suite has no such test: take it off the list"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("pleat")
    parser.add_argument("name")
    parser.add_argument("folder")
    parser.add_argument("--update", action="store_true")
    args = parser.parse_args()
    if not os.path.isdir(args.folder):
        print(f"skipped: there is no {args.folder}")
        return SKIPPED
    must_pass, known = read_list("must_pass", args.name), read_list("known_failures", args.name)
    tests = validate(args.pleat, args.folder)
    passed = {name for name, test in tests.items() if test["verdict"] == "pass"}
    new = sorted(passed - set(must_pass) - set(known))
    if args.update:
        write_list("must_pass", args.name, set(must_pass) | set(new))
        print(f"{args.name}: {len(new)} added, {len(must_pass) + len(new)} must pass")
        return 0
    problems = list(judge(tests, must_pass, known))
    for problem in problems:
        print(problem)
    if new:
        print(f"{len(new)} pass and are not listed (tests/conformance/update.sh adds them): {' '.join(new)}")
    for name in sorted(passed & set(known)):
        print(f"{name}: passes although its data is wrong: {known[name]}")
    failed = sum(test["verdict"] == "fail" for test in tests.values())
    print(f"{len(tests)} tests: {len(passed)} passed ({len(must_pass)} must), {failed} failed ({len(known)} known), "
          f"{len(tests) - len(passed) - failed} skipped, {len(problems)} problems")
    return 1 if problems or not must_pass else 0


sys.exit(main())

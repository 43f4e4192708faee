#!/usr/bin/env python3
"""Prints which share of the lines of each folder, and of each file, the tests ran.

Usage: report.py BUILD_DIR [GCOV]      after a run of ctest in a build with PLEAT_COVERAGE
"""
import collections
import glob
import json
import os
import subprocess
import sys

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))


def count_lines(build, gcov):
    """{file: {line: times it ran}}, summed over the objects that hold the file."""
    counts = collections.defaultdict(collections.Counter)
    notes = glob.glob(os.path.join(build, "**", "*.gcda"), recursive=True)
    for start in range(0, len(notes), 50):
        run = subprocess.run([gcov, "--json-format", "--stdout", *notes[start:start + 50]], check=True,
                             capture_output=True, text=True, cwd=build)
        for report in run.stdout.splitlines():
            for file in json.loads(report)["files"]:
                path = os.path.relpath(os.path.realpath(os.path.join(build, file["file"])), ROOT)
                if path.startswith(("..", "build", "tests")):
                    continue
                for line in file["lines"]:
                    counts[path][line["line_number"]] += line["count"]
    return counts


def main():
    build, gcov = os.path.realpath(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "gcov"
    counts = count_lines(build, gcov)
    if not counts:
        sys.exit(f"{build}: no counts: configure with PLEAT_COVERAGE, build, and run ctest first")
    folders = collections.defaultdict(lambda: [0, 0])
    for path, lines in sorted(counts.items()):
        ran = sum(count > 0 for count in lines.values())
        for name in (os.path.dirname(path) + "/", "all"):
            folders[name][0] += ran
            folders[name][1] += len(lines)
        print(f"{100 * ran / len(lines):6.1f} %  {ran:6} of {len(lines):6}  {path}")
    print()
    for name, (ran, total) in sorted(folders.items()):
        print(f"{100 * ran / total:6.1f} %  {ran:6} of {total:6}  {name}")


main()

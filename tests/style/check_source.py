#!/usr/bin/env python3
"""The rules of CONTRIBUTING.md that a program can check: lengths, comments, white space, paths, READMEs, sorted tables.
"""
import os
import re
import sys

import tree

MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_COLUMNS, MAX_README_LINES = 600, 80, 120, 40
TABLES = ("_vectors.inc",)  # tables are exempt from the limit on a file's lines
BINARY = (".onnx", ".pb", ".npy", ".npz", ".data", ".png", ".gz", ".zip")
# Text that is not ours to shape: what other programs wrote or print.
FOREIGN = ("LICENSE", "tests/cli/cases/", "tests/fuzz/corpus/")
# Places of one machine, which nothing in the tree may depend on. Assembled, so that this file does not match.
MACHINE = re.compile("|".join(re.escape(a + b) + r"\b" for a, b in
                              [("/wo", "rk/"), ("/tmp/", "build"), ("/tmp/", "lead"), ("/ro", "ot/"), ("/ho", "me/")])
                     + r"|\b(?:\d{1,3}\.){3}\d{1,3}:\d+|\bregistry[.-][\w-]+\.\w+|\b[\w-]+\.(?:internal|corp|local)\b")
UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX|HA" + r"CK)\b")


def strip(text):
    """C text with comments, strings and character constants blanked out, lines kept."""
    pattern = r"""/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'"""
    return re.sub(pattern, lambda match: re.sub(r"[^\n]", " ", match.group()), text, flags=re.S)


def functions(text):
    """(first line, lines) of every body that starts in column one, macros that hold one included."""
    lines = strip(text).split("\n")
    start = depth = 0
    inside = False
    head = ""
    for number, line in enumerate(lines, 1):
        if depth == 0:
            head = head + line if head and not re.search(r"[;}]\s*$", head) else line
            if not inside and "{" in line and re.search(r"\)\s*(?:\\\s*)?\{", head) and not line.startswith("#"):
                start, inside = number, True
        depth += line.count("{") - line.count("}")
        if inside and depth <= 0:
            yield start, number - start + 1
            inside, head = False, ""
        depth = max(depth, 0)


def opening_comment(text):
    """Its lines that say something."""
    match = re.match(r"/\*.*?\*/", text, re.S)
    return len([line for line in match.group().split("\n") if line.strip(" */")]) if match else 0


def check_text(path, text):
    if not text:
        return
    lines = text.split("\n")
    if not text.endswith("\n"):
        yield "does not end with a line feed"
    for number, line in enumerate(lines, 1):
        if "\t" in line and not os.path.basename(path).startswith("Makefile"):
            yield f"{number}: a tab"
        if line != line.rstrip():
            yield f"{number}: white space at the end of the line"
        if UNFINISHED.search(line) and not path.endswith(".md"):
            yield f"{number}: unfinished work: {line.strip()[:60]}"
        if MACHINE.search(line):
            yield f"{number}: a place of one machine: {line.strip()[:60]}"


def check_code(path, text):
    lines = text.split("\n")
    if len(lines) - 1 > MAX_FILE_LINES and not path.endswith(TABLES):
        yield f"{len(lines) - 1} lines, at most {MAX_FILE_LINES}"
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_COLUMNS:
            yield f"{number}: {len(line)} columns, at most {MAX_COLUMNS}"
    if not path.endswith((".c", ".h", ".inc")):
        return
    wanted = 1 if path.startswith("tests/") else 2  # a test's own functions say what they test
    if path.endswith(".c") and opening_comment(text) < wanted:
        yield f"the opening comment (the file's job, its invariants, its source) has fewer than {wanted} lines"
    for start, length in functions(text):
        if length > MAX_FUNCTION_LINES:
            yield f"{start}: a function of {length} lines, at most {MAX_FUNCTION_LINES}"


def check_folders(paths):
    """A README.md in every folder that has sources, none longer than a page."""
    folders = {os.path.dirname(path) for path in paths if path.endswith((".c", ".h", ".py", ".sh", ".proto"))}
    folders |= {parent for folder in folders for parent in [folder.split("/")[0]]}
    exempt = {"", "runtime/include", "runtime/include/pleat"}  # the headers are documented in themselves
    for folder in sorted(folders - exempt):
        if folder + "/README.md" not in paths and not folder.startswith("tests/cli/"):
            yield f"{folder}/README.md: is missing"
    for path in paths:
        if path.endswith("/README.md") and tree.read(path).count("\n") > MAX_README_LINES:
            yield f"{path}: {tree.read(path).count(chr(10))} lines, at most {MAX_README_LINES}"


def check_ops_table():
    path = "ops/ops.def"
    names = re.findall(r"^PLEAT_OP\((\w+)\)", tree.read(path), re.M)
    if not names:
        yield f"{path}: no operator found"
    for previous, name in zip(names, names[1:]):
        if previous >= name:
            yield f"{path}: not sorted: {name} comes after {previous}"


def main():
    paths = tree.files()
    problems = list(check_folders(paths)) + list(check_ops_table())
    for path in paths:
        if path.endswith(BINARY) or path.startswith(FOREIGN):
            continue
        text = tree.read(path)
        checks = [check_text]
        if path.endswith((".c", ".h", ".inc", ".def", ".py", ".sh", ".cmake", ".in", "CMakeLists.txt")):
            checks.append(check_code)
        for check in checks:
            problems += [f"{path}:{found}" if found[0].isdigit() else f"{path}: {found}" for found in check(path, text)]
    print("\n".join(problems + [f"{len(paths)} files, {len(problems)} problems"]))
    return 1 if problems or not paths else 0


sys.exit(main())

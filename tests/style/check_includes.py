#!/usr/bin/env python3
"""The include table of CONTRIBUTING.md: what a folder's sources may include of ours, and which other libraries."""
import os
import re
import sys

import tree

CORE, GRAPH, PROTO, PUBLIC = "runtime/core/", "runtime/graph/", "proto/", "runtime/include/pleat/"
TUNE = "runtime/tune/tune.h"
GENERATED = "proto/onnx.pb-c.h"

# Folder (the first that fits): our files that may be included, besides its own and the public headers; libraries.
# A name that ends in "/" is a folder, anything else one file.
TABLE = [
    (PUBLIC, [], []),
    (PROTO, [CORE], ["protobuf-c/", "pthread.h"]),
    (CORE, [], ["sanitizer/asan_interface.h", "cpuid.h", "pthread.h", "semaphore.h"]),
    (GRAPH, [CORE, PROTO, "ops/ops.h", "ops/ops.def", "ops/packs.h"], ["uthash.h", "utarray.h", "utlist.h"]),
    ("runtime/tune/", [CORE, GRAPH + "graph.h", "proto/file.h", "ops/ops.h", "ops/layout.h", "ops/packs.h"], []),
    ("runtime/plan/", [CORE, GRAPH, TUNE, "ops/ops.h", "ops/conv_pair.h", "ops/layout.h", "ops/packs.h"], []),
    ("runtime/session/", [CORE, GRAPH, "runtime/plan/", TUNE, "fold/fold.h", "ops/layout.h", "ops/scan.h"],
     ["pthread.h"]),
    ("runtime/validate/", [CORE], []),
    ("runtime/cli/", [], ["zip.h", "cjson/", "getopt.h"]),
    ("ops/x86/", [CORE, GRAPH + "graph.h", "ops/"], ["immintrin.h", "pthread.h"]),
    ("ops/onednn/", [CORE, GRAPH + "graph.h", "ops/"], ["oneapi/dnnl/", "omp.h", "pthread.h"]),
    ("ops/", [CORE, GRAPH + "graph.h"], ["pthread.h", "uthash.h"]),
    ("fold/", [CORE, GRAPH, "ops/"], ["uthash.h"]),
]

# What C11 and POSIX give, and every folder but the public headers may use.
STANDARD = """assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign stdarg
stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string strings tgmath time wchar wctype
dirent fcntl fnmatch ftw glob libgen poll sched sys/mman sys/resource sys/stat sys/time sys/types sys/wait
unistd""".split()
PUBLIC_STANDARD = ["stdbool", "stddef", "stdint"]
INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>|(\S.*))', re.M)
# Where "core/arena.h" or "ops.h" is looked for, besides the including file's folder.
SEARCH = ["", "runtime/", "runtime/include/"]


def resolve(path, name, known):
    """The included file from the root, or None when it is not one of ours."""
    for base in [os.path.dirname(path) + "/"] + SEARCH:
        candidate = os.path.normpath(base + name if base != "/" else name)
        if candidate in known:
            return candidate
    return GENERATED if name == os.path.basename(GENERATED) else None


def is_in(name, allowed):
    return any(name.startswith(entry) if entry.endswith("/") else name == entry for entry in allowed)


def problem(path, folder, ours, libraries, include, known):
    quoted, angled, macro = include
    if macro:  # a template's own parameter
        return None
    target = resolve(path, quoted or angled, known)
    if target is None and quoted:
        return f'"{quoted}" is not a file of ours: system headers take <>'
    if target is not None:
        return None if is_in(target, [folder, PUBLIC, *ours]) else f"{folder} may not include {target}"
    standard = PUBLIC_STANDARD if folder == PUBLIC else STANDARD
    if angled.removesuffix(".h") in standard or is_in(angled, libraries):
        return None
    return f"{folder} may not include <{angled}>"


def check_contract():
    """CONTRIBUTING.md has this table, row for row: in its last column, what is `quoted` is what may be included."""
    rows = re.findall(r"^\| `([^`]+)` \|[^|]*\|([^|]*)\|$", tree.read("CONTRIBUTING.md"), re.M)
    contract = {folder: set(re.findall(r"`([^`]+)`", cell)) for folder, cell in rows}
    for folder, ours, libraries in TABLE:
        if contract.pop(folder, None) != {*ours, *libraries}:
            yield f"CONTRIBUTING.md: the row of {folder} does not say {' '.join([*ours, *libraries]) or 'nothing'}"
    yield from (f"CONTRIBUTING.md: {folder} is not in the table of check_includes.py" for folder in contract)


def main():
    known = set(tree.files())
    sources, problems = 0, list(check_contract())
    for path in tree.sources():
        row = next((row for row in TABLE if path.startswith(row[0])), None)
        if row is None:
            continue
        sources += 1
        text = tree.read(path)
        for match in INCLUDE.finditer(text):
            found = problem(path, *row, match.groups(), known)
            if found:
                problems.append(f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {found}")
    print("\n".join(problems + [f"{sources} sources, {len(problems)} includes that CONTRIBUTING.md does not allow"]))
    return 1 if problems or not sources else 0


sys.exit(main())

#!/usr/bin/env python3
"""The shared library exports what the public headers declare with PLEAT_API, no more and no less.

Usage: check_exports.py NM LIBRARY INCLUDE_DIR
"""
import glob
import os
import re
import subprocess
import sys


def declared(folder):
    names = set()
    for path in glob.glob(os.path.join(folder, "**", "*.h"), recursive=True):
        with open(path, encoding="utf-8") as file:
            text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
        text = re.sub(r"^\s*#(?:.*\\\n)*.*", "", text, flags=re.M)
        names.update(re.findall(r"PLEAT_API\b[^;(]*?\b(\w+)\s*\(", text))
    return names


def exported(nm, library):
    output = subprocess.run([nm, "-D", "--defined-only", library], check=True, capture_output=True, text=True).stdout
    return {line.split()[-1].split("@")[0] for line in output.splitlines() if line}


def main():
    nm, library, folder = sys.argv[1:]
    public, symbols = declared(folder), exported(nm, library)
    problems = [f"{name}: exported, but no public header declares it" for name in sorted(symbols - public)]
    problems += [f"{name}: declared with PLEAT_API, but not exported" for name in sorted(public - symbols)]
    problems += [f"{name}: public, but does not start with pleat_" for name in sorted(public)
                 if not name.startswith("pleat_")]
    print("\n".join(problems) if problems else f"{len(symbols)} symbols exported, each of them declared")
    return 1 if problems or not symbols else 0


sys.exit(main())

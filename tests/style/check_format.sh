#!/bin/sh
# Every C source is as clang-format leaves it. Exit code 77: there is no clang-format.
set -eu
cd "$(dirname "$0")/../.."
if ! command -v clang-format >/dev/null; then
  echo "skipped: there is no clang-format"
  exit 77
fi
if git rev-parse --git-dir >/dev/null 2>&1; then
  list() { git ls-files -co --exclude-standard -- '*.c' '*.h'; }
else
  list() { find fold models ops proto runtime tests -name '*.[ch]'; }
fi
# Files deleted but still in git's index are no sources.
list | while IFS= read -r file; do [ ! -f "$file" ] || printf '%s\n' "$file"; done |
  xargs -d '\n' clang-format --dry-run -Werror

#!/bin/sh
# Adds the conformance tests that pass and are not yet listed to must_pass_*.txt. Removes none.
#
# Usage: update.sh [PLEAT]     (default: the release build; the shared vectors are looked for as the tests do)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
pleat=${1:-$here/../../build/release/pleat}
run() {
  code=0
  python3 "$here/run_suite.py" "$pleat" "$@" --update || code=$?
  [ $code -eq 0 ] || [ $code -eq 77 ]
}
run libonnx /usr/share/libonnx-testdata/data
run shared "${PLEAT_SHARED:-$here/../../../shared}/conformance/node"

#!/bin/sh
# Installs the build into a prefix, moves the prefix, and uses the package as others do: CMake and pkg-config, shared
# and static; the headers alone, as C and as C++; the command. Each consumer must print what the build tree's example
# does.
#
# Usage: run_install_test.sh CMAKE CC CXX BUILD_DIR SOURCE_DIR LIBDIR EXAMPLE MODEL    (CXX may be empty)
set -eu
cmake=$1 cc=$2 cxx=$3 build=$4 source=$5 libdir=$6 example=$7 model=$8
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
prefix=$tmp/moved
say() { echo "install: $*"; }
die() { echo "install: FAILED: $*" >&2; exit 1; }

"$cmake" --install "$build" --prefix "$tmp/first" >"$tmp/log" || { cat "$tmp/log"; die "cmake --install"; }
mv "$tmp/first" "$prefix"
if grep -rIl -e "$tmp/first" -e "$source" -e "$build" "$prefix" >"$tmp/log"; then
  die "installed files hold paths of the build: $(cat "$tmp/log")"
fi
[ -L "$prefix/$libdir/libpleat.so" ] || die "libpleat.so is not a link to a versioned library"

"$example" "$model" >"$tmp/expected"
[ -s "$tmp/expected" ] || die "the example printed nothing"
check() { # name, command...
  name=$1
  shift
  "$@" "$model" >"$tmp/out" || die "$name does not run"
  cmp -s "$tmp/expected" "$tmp/out" || { diff "$tmp/expected" "$tmp/out" || true; die "$name prints something else"; }
  say "$name works"
}
needs_so() { readelf -d "$1" | grep -q 'NEEDED.*libpleat'; }

# An error is reported and gives exit code 1.
code=0
"$example" "$tmp/absent.onnx" 2>"$tmp/log" || code=$?
[ $code -eq 1 ] && grep -q absent.onnx "$tmp/log" || die "an absent model: exit code $code, $(cat "$tmp/log")"

# CMake.
"$cmake" -S "$source/tests/install" -B "$tmp/cmake" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$cc" \
  -DEXAMPLE="$source/tests/example/run_model.c" >"$tmp/log" 2>&1 || { cat "$tmp/log"; die "find_package(pleat)"; }
"$cmake" --build "$tmp/cmake" >"$tmp/log" 2>&1 || { cat "$tmp/log"; die "building with CMake"; }
check "CMake, shared" "$tmp/cmake/example_shared"
check "CMake, static" "$tmp/cmake/example_static"
needs_so "$tmp/cmake/example_shared" || die "the shared CMake example does not use libpleat.so"
! needs_so "$tmp/cmake/example_static" || die "the static CMake example uses libpleat.so"

# pkg-config. Moving the shared library away leaves the linker the static one.
PKG_CONFIG_PATH=$prefix/$libdir/pkgconfig
export PKG_CONFIG_PATH
version=$(pkg-config --modversion pleat)
[ "pleat $version" = "$("$prefix/bin/pleat" --version)" ] || die "pleat.pc says version $version"
# shellcheck disable=SC2046 # flags are separate words
"$cc" -std=c11 "$source/tests/example/run_model.c" -o "$tmp/pc_shared" $(pkg-config --cflags --libs pleat)
check "pkg-config, shared" env LD_LIBRARY_PATH="$prefix/$libdir" "$tmp/pc_shared"
needs_so "$tmp/pc_shared" || die "the shared pkg-config example does not use libpleat.so"
mkdir "$tmp/away"
mv "$prefix/$libdir"/libpleat.so* "$tmp/away"
# shellcheck disable=SC2046
"$cc" -std=c11 "$source/tests/example/run_model.c" -o "$tmp/pc_static" $(pkg-config --static --cflags --libs pleat)
check "pkg-config --static" "$tmp/pc_static"

# Each header by itself, as C and as C++.
for header in "$prefix"/include/pleat/*.h; do
  unit="#include <pleat/$(basename "$header")>"
  echo "$unit" | "$cc" -std=c11 -Wall -Wextra -Wpedantic -Werror -I"$prefix/include" -fsyntax-only -x c - ||
    die "$unit as C"
  [ -z "$cxx" ] || for standard in c++11 c++20; do
    echo "$unit" | "$cxx" -std=$standard -Wall -Wextra -Wpedantic -Werror -I"$prefix/include" -fsyntax-only -x c++ - ||
      die "$unit as $standard"
  done
done
say "the headers stand alone as C${cxx:+ and C++}"

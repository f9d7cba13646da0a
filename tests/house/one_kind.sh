#!/bin/bash
# SPDX-License-Identifier: MIT
# one_kind.sh SOURCE_DIR CC: a build of one kind of library installs only that, and programs find it under the usual names; as a
# subproject there are no rules for installing.
source=$1 cc=$2
. "$(dirname "$0")/common.sh"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
quiet() { "$@" >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }; }
# kernels of one kind and no debug information, because compiling takes long
few=(-DCMAKE_C_COMPILER="$cc" -DCMAKE_C_COMPILER_LAUNCHER="$(command -v ccache || true)"
    -DCMAKE_C_FLAGS_RELWITHDEBINFO="-O1 -DNDEBUG" -DBATCHNORM_SIMD=OFF -DBATCHNORM_BUILD_FILE=OFF -DBATCHNORM_BUILD_TOOLS=OFF
    -DBATCHNORM_BUILD_PYTHON=OFF -DBATCHNORM_BUILD_EXAMPLES=OFF -DBATCHNORM_BUILD_TESTS=OFF)

quiet cmake -S "$source" -B "$tmp/static" "${few[@]}" -DBATCHNORM_SHARED=OFF
quiet cmake --build "$tmp/static" -j2
quiet cmake --install "$tmp/static" --prefix "$tmp/prefix"
[ -z "$(find "$tmp/prefix" "$tmp/static" -name '*.so*')" ] || wrong "BATCHNORM_SHARED=OFF makes a shared library"
export PKG_CONFIG_PATH
PKG_CONFIG_PATH=$(dirname "$(find "$tmp/prefix" -name batchnorm-static.pc)")
# shellcheck disable=SC2046
"$cc" -std=c11 tests/house/install/main.c $(pkg-config --cflags --libs batchnorm-static) -o "$tmp/main"
"$tmp/main" || wrong "a program with the static library does not run"
mkdir "$tmp/foreign"
cp tests/house/install/main.c "$tmp/foreign"
cat >"$tmp/foreign/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.18)
project(foreign LANGUAGES C)
find_package(batchnorm 0.1 REQUIRED)
add_executable(main main.c)
target_link_libraries(main PRIVATE batchnorm::batchnorm)
END
quiet cmake -S "$tmp/foreign" -B "$tmp/foreign/build" -DCMAKE_PREFIX_PATH="$tmp/prefix" -DCMAKE_C_COMPILER="$cc"
quiet cmake --build "$tmp/foreign/build"
"$tmp/foreign/build/main" || wrong "a program by find_package does not run"

mkdir "$tmp/outer"
cp tests/house/install/main.c "$tmp/outer"
cat >"$tmp/outer/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.18)
project(outer LANGUAGES C)
set(BATCHNORM_STATIC OFF CACHE BOOL "" FORCE)
add_subdirectory($source inner)
add_executable(main main.c)
target_link_libraries(main PRIVATE batchnorm::batchnorm)
END
quiet cmake -S "$tmp/outer" -B "$tmp/outer/build" -DCMAKE_C_COMPILER="$cc"
grep -q '^BATCHNORM_INSTALL:BOOL=OFF' "$tmp/outer/build/CMakeCache.txt" || wrong "a subproject installs"
quiet cmake --install "$tmp/outer/build" --prefix "$tmp/nothing"
[ ! -e "$tmp/nothing/lib" ] || wrong "a subproject has installed: $(find "$tmp/nothing")"
if cmake -S "$source" -B "$tmp/none" "${few[@]}" -DBATCHNORM_SHARED=OFF -DBATCHNORM_STATIC=OFF >"$tmp/log" 2>&1; then
    wrong "neither kind is accepted"
fi
grep -q 'are both off' "$tmp/log" || wrong "neither kind is not told"
exit $failed

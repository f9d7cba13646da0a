#!/bin/bash
# SPDX-License-Identifier: MIT
# run.sh BUILD_DIR CC: install the build into a temporary prefix, build a foreign project against it by find_package and by
# pkg-config, shared and static, and run everything. The prefix is moved in between: nothing may remember where it was.
. "$(dirname "$0")/../common.sh"
build=$1 cc=$2 here=$PWD/tests/house/install
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cmake --install "$build" --prefix "$tmp/first" >/dev/null
prefix=$tmp/moved
export OMPI_CC=$cc MPICH_CC=$cc # for flags that only the compiler of the build knows
mpicc=$(sed -n 's/^MPI_C_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")
mv "$tmp/first" "$prefix"

echo "by find_package:"
cmake -S "$here" -B "$tmp/build" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$cc" \
    ${mpicc:+"-DMPI_C_COMPILER=$mpicc"} >"$tmp/log" || { cat "$tmp/log"; exit 1; }
cmake --build "$tmp/build" >"$tmp/log" || { cat "$tmp/log"; exit 1; }
"$tmp/build/shared"
"$tmp/build/static"

echo "by pkg-config:"
library=$(dirname "$(find "$prefix" -name libbatchnorm.a)")
export PKG_CONFIG_PATH=$library/pkgconfig LD_LIBRARY_PATH=$library
compile() { # <source> <output> <pkg-config arguments> [<compiler>]; in a static program our libraries are from their archives
    local flags
    flags=$(pkg-config $3)
    [[ $3 != --static* ]] || flags=$(sed -E 's/-l(batchnorm(-file|-model)?) /-l:lib\1.a /g' <<<"$flags")
    "${4:-$cc}" -std=c11 -Wall -Wextra -Werror "$here/$1" -o "$tmp/$2" $flags
    "$tmp/$2"
}
compile main.c shared "--cflags --libs batchnorm"
compile main.c static "--static --cflags --libs batchnorm"
if [ -f "$library/pkgconfig/batchnorm-file.pc" ]; then
    "$tmp/build/file"
    "$tmp/build/file_static"
    compile file.c file "--cflags --libs batchnorm-file"
    compile file.c file_static "--static --cflags --libs batchnorm-file"
fi

if [ -f "$library/pkgconfig/batchnorm-model.pc" ]; then
    "$tmp/build/model"
    "$tmp/build/model_static"
    compile model.c model "--cflags --libs batchnorm-model"
    compile model.c model_static "--cflags --libs batchnorm-model-static"
fi

if [ -f "$library/pkgconfig/batchnorm-mpi.pc" ]; then
    "$tmp/build/mpi"
    "$tmp/build/mpi_static"
    compile mpi.c mpi "--cflags --libs batchnorm-mpi" "$mpicc"
    compile mpi.c mpi_static "--cflags --libs batchnorm-mpi-static" "$mpicc"
fi

echo "each has what it says:"
for program in shared static file file_static model model_static mpi mpi_static; do
    for path in "$tmp/$program" "$tmp/build/$program"; do
        [ -x "$path" ] || continue
        wanted=1
        [[ $program != *static ]] || wanted=0
        found=$(ldd "$path" | grep -c 'libbatchnorm\.so' || true)
        echo "$program: $found shared libbatchnorm"
        [ "$found" = $wanted ]
    done
done
unset LD_LIBRARY_PATH
if [ -x "$prefix/bin/batchnorm" ]; then "$prefix/bin/batchnorm" --version; fi

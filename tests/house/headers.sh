#!/bin/bash
# SPDX-License-Identifier: MIT
# headers.sh [MPICC]: every public header compiles alone, as C11 and as C++11, with every compiler that is there. That of MPI
# needs the headers of one, which its compiler tells.
. "$(dirname "$0")/common.sh"
mpicc=${1:-}
[ -x "$mpicc" ] || mpicc=""
flags=()
[ -z "$mpicc" ] || for flag in $("$mpicc" -show); do [[ $flag != -I* ]] || flags+=(-isystem "${flag#-I}"); done
compile() { # <header> <compiler> <language> <standard>
    command -v "$2" >/dev/null || return 0
    printf '#include <batchnorm/%s>\ntypedef int not_empty;\n' "$(basename "$1")" |
        "$2" -x "$3" -std="$4" -Wall -Wextra -pedantic -Werror -Iinclude "${flags[@]}" -fsyntax-only -
    compiled=$((compiled + 1))
}
compiled=0
for header in include/batchnorm/*.h; do
    [ -n "$mpicc" ] || [ "$header" != include/batchnorm/mpi.h ] || continue
    for compiler in gcc clang; do compile "$header" $compiler c c11; done
    for compiler in g++ clang++; do compile "$header" $compiler c++ c++11; done
done
echo "$compiled compilations"
[ $compiled -gt 0 ]

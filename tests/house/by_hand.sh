#!/bin/bash
# SPDX-License-Identifier: MIT
# by_hand.sh CC: the recipe without CMake builds a library that programs link and run with; and what is compiled with the wrong
# definitions or flags stops there, instead of crashing later.
. "$(dirname "$0")/common.sh"
cc=$1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# At -O1, as which kernels compile in less time than at -O0; those that both have are made once.
for simd in off on; do
    to=$tmp/$simd
    [ $simd = off ] || { mkdir "$to" && mv "$tmp"/off/*.generic*.o "$to"; }
    make -s -j2 -f examples/by_hand.mk CC="$cc" SIMD=$simd CFLAGS=-O1 BUILD="$to" || wrong "the recipe fails with SIMD=$simd"
    "$cc" -std=c11 -Wall -Wextra -Werror -Iinclude tests/house/install/main.c "$to/libbatchnorm.a" -lm -o "$to/main" ||
        wrong "a program does not link"
    "$to/main" || wrong "a program does not run"
done
[ "$("$tmp/off/main" | cut -d ' ' -f 2)" = generic ] || wrong "SIMD=off has other kernels"

stops() { # <what it says> <arguments>
    local says=$1
    shift
    if "$cc" -std=c11 -Iinclude -Isrc -fsyntax-only "$@" 2>"$tmp/err"; then
        wrong "this compiles: $*"
    elif ! grep -qF "$says" "$tmp/err"; then
        wrong "this should say '$says': $* ($(head -n 3 "$tmp/err"))"
    fi
}
stops "define BNK_HAVE_GENERIC" src/kernel/dispatch.c
stops "define BNK_ISA as" src/kernel/verbs.c
stops "define BNK_TYPE as" -DBNK_ISA=generic src/kernel/verbs.c
stops "without -ffast-math" -DBNK_ISA=generic -ffast-math src/kernel/verbs.c
stops "BNK_ISA=avx2 needs" -DBNK_ISA=avx2 src/kernel/verbs.c
stops "BNK_ISA=avx512 needs" -DBNK_ISA=avx512 src/kernel/verbs.c
case $("$cc" -dumpmachine) in aarch64*) ;; *) stops "BNK_ISA=neon is for" -DBNK_ISA=neon src/kernel/verbs.c ;; esac
exit $failed

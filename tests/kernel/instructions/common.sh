#!/bin/bash
# SPDX-License-Identifier: MIT
# What instructions.sh and odd.sh share: counting under valgrind's callgrind, with the AVX2 kernels (valgrind has no AVX-512).
# They set `program` before. Status 77 means skipped.
command -v valgrind >/dev/null || { echo "skipped: valgrind was not found"; exit 77; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export BATCHNORM_ISA=avx2

counted() { # <options of callgrind...> <program> <its arguments...>; what it prints goes to $scratch/out
    valgrind --tool=callgrind "$@" >"$scratch/out" 2>"$scratch/log" || { cat "$scratch/log" >&2; return 1; }
}
# Instructions of a case from beginning to end.
total() { # <arguments of the program...>
    local count
    counted --callgrind-out-file=/dev/null "$program" "$@"
    count=$(sed -nE 's/.*Collected *: *([0-9]+).*/\1/p' "$scratch/log")
    [ -n "$count" ] || { cat "$scratch/log" >&2; return 1; }
    echo "$count"
}

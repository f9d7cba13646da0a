#!/bin/bash
# SPDX-License-Identifier: MIT
# odd.sh PROGRAM: counts the instructions of calls on inputs of odd strides under valgrind's callgrind, with the AVX2 kernels,
# beside copying the input and a call on the copy: most take less, none much more. Status 77 means skipped.
set -euo pipefail
program=$1 percent=125
# Neither samples nor channels lie side by side there, and a copy moves them once, where two sweeps do so twice.
worst="backward rows samples_last" worst_percent=180
. "$(dirname "$0")/common.sh"

base=$(total nothing)
[ "$(<"$scratch/out")" = avx2 ] || { echo "skipped: this machine has no AVX2 under valgrind"; exit 77; }
failed=0
while read -r verb input; do
    for layout in planar rows; do
        given=$(($(total given "$verb" "$layout" "$input") - base))
        copied=$(($(total copied "$verb" "$layout" "$input") - base))
        printf '%-12s %-6s %-22s %8d of %8d: %3d %%\n' "$verb" $layout "$input" $given $copied $((given * 100 / copied))
        most=$percent
        [ "$verb $layout $input" != "$worst" ] || most=$worst_percent
        [ $((given * 100)) -le $((copied * most)) ] || failed=$((failed + 1))
    done
done < <("$program")
[ $failed = 0 ] || { echo "$failed calls take more than $percent % of the instructions of a copy and a call on it"; exit 1; }

#!/bin/bash
# SPDX-License-Identifier: MIT
# odd.sh PROGRAM: counts the instructions of calls on inputs of odd strides under valgrind's callgrind, with the AVX2 kernels,
# beside copying the input and a call on the copy: most take less, none much more. Status 77 means skipped.
set -euo pipefail
program=$1 percent=125
# Neither samples nor channels lie side by side there, and a copy moves them once, where two sweeps do so twice.
worst="backward rows samples_last" worst_percent=180
. "$(dirname "$0")/common.sh"

counted --toggle-collect=run_case --dump-after=run_case --callgrind-out-file="$scratch/count" "$program"
count() { sed -nE 's/^(summary|totals): ([0-9]+).*/\2/p' "$scratch/count.$1" | head -n 1; } # <number of the call>
{
    read -r isa
    [ "$isa" = avx2 ] || { echo "skipped: this machine has no AVX2 under valgrind"; exit 77; }
    failed=0 calls=0
    while read -r verb layout input; do
        given=$(count $((calls + 1))) copied=$(count $((calls + 2))) calls=$((calls + 2))
        printf '%-12s %-6s %-22s %8d of %8d: %3d %%\n' "$verb" "$layout" "$input" "$given" "$copied" $((given * 100 / copied))
        most=$percent
        [ "$verb $layout $input" != "$worst" ] || most=$worst_percent
        [ $((given * 100)) -le $((copied * most)) ] || failed=$((failed + 1))
    done
} <"$scratch/out"
[ "$calls" -gt 0 ] || { echo "no call was counted"; exit 1; }
[ $failed = 0 ] || { echo "$failed calls take more than $percent % of the instructions of a copy and a call on it"; exit 1; }

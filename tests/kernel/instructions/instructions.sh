#!/bin/bash
# SPDX-License-Identifier: MIT
# instructions.sh [--update] PROGRAM: counts the instructions of every case in counts.txt under valgrind's callgrind, with the
# AVX2 kernels (valgrind has no AVX-512) or, where the name begins with "generic.", those of narrow vectors, and compares with
# the file. --update writes the file anew. Status 77 means skipped.
#
# A count does not depend on what else the machine does, so a change of a few percent is seen where a time would not show it.
# Fewer instructions are not always less time: see docs/performance.md.
set -euo pipefail
update=
[ "${1:-}" = --update ] && { update=yes; shift; }
program=$1 file=$(dirname "$0")/counts.txt percent=3
. "$(dirname "$0")/common.sh"

base=$(total nothing)
made_with=$(sed -n 's/^# Made with //p' "$file")
here=$(<"$scratch/out")
case $here in
*", avx2") ;;
*) echo "skipped: this machine has no AVX2 under valgrind ($here)"; exit 77 ;;
esac
if [ -z "$update" ] && [ "$here" != "$made_with" ]; then
    echo "skipped: the counts were made with $made_with, and this is $here"
    exit 77
fi

failed=0
: >"$scratch/new"
while read -r name expected; do
    isa=avx2
    [[ $name != generic.* ]] || isa=generic
    count=$(BATCHNORM_ISA=$isa total "${name#generic.}")
    count=$((count - base))
    printf '%-24s %s\n' "$name" "$count" >>"$scratch/new"
    difference=$((count - expected))
    if [ -z "$update" ] && [ $((${difference#-} * 100)) -gt $((expected * percent)) ]; then
        printf '%s: %d instructions, expected %d (%+d)\n' "$name" "$count" "$expected" "$difference"
        failed=1
    fi
done < <(grep -v '^#' "$file")

if [ -n "$update" ]; then
    { sed -n '/^#/p' "$file" | sed "s/^# Made with .*/# Made with $here/"; cat "$scratch/new"; } >"$scratch/file"
    cp "$scratch/file" "$file"
    cat "$file"
elif [ $failed != 0 ]; then
    echo "more than $percent % away; if that is meant: bash tests/kernel/instructions/instructions.sh --update $program"
fi
exit $failed

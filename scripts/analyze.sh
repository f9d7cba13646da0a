#!/bin/bash
# SPDX-License-Identifier: MIT
# analyze.sh [FILE...]: clang-tidy, cppcheck and gcc -fanalyzer over src/, nn/, lab/ and tools/, or over these files of them.
# What they find is told, unless scripts/analyze-known.txt has it; then the exit code is 1. An analyzer that is not there is
# left out. Files are compiled as build/compile_commands.json says, which is made if it is missing. Takes minutes, on one core.
#
# The kernels, src/kernel/verbs.c, are left out for -fanalyzer: gcc 12 has not ended after two and a half minutes.
set -uo pipefail
cd "$(dirname "$0")/.."
database=build/compile_commands.json
known=scripts/analyze-known.txt
here=$PWD
found=0 used=0

[ -f $database ] || cmake -S . -B build >/dev/null || exit
# "FILE FLAGS..." for each file that is analyzed, once, as it is compiled first. Macros, folders of headers, the standard and
# OpenMP are the flags that count; the others may be known to the build's compiler alone.
files=$(sed -n 's/^ *"command": "\(.*\)",$/\1/p; s/^ *"file": "\(.*\)",\{0,1\}$/\t\1/p' $database |
    awk -F'\t' -v here="$here/" -v only=" $* " '
        NF < 2 { command = $0; next }
        index($2, here) != 1 { next }
        { file = substr($2, length(here) + 1) }
        file !~ /^(src|nn|lab|tools)\// || seen[file]++ { next }
        only != "  " && !index(only, " " file " ") { next }
        {
            count = split(command, words, " ")
            for (i = 1; i <= count; i++) {
                if (words[i] == "-isystem") words[i] = words[i] words[++i]
                if (words[i] ~ /^-(D|I|isystem|std=)/) file = file " " words[i]
                if (words[i] ~ /^-fopenmp/) file = file " -fopenmp"
            }
            print file
        }' | sort)
[ -n "$files" ] || { echo "analyze.sh: no file of $database is one to analyze" >&2; exit 2; }

# Whether that analyzer is there.
has() { # <program>
    command -v "$1" >/dev/null && { used=$((used + 1)); return; }
    echo "$1 is not there: left out"
    return 1
}

# Of lines "FILE:LINE:COLUMN: severity: text [check]" those that are not known are told, each once.
tell() { # <analyzer>
    local start=$SECONDS new
    new=$(sed "s#^$here/##" | sort -u | awk 'FNR == NR { if (!/^#/) known[$1 " " $2] = 1; next }
        { file = $0; sub(/:.*/, "", file); check = $0; sub(/.*\[/, "", check); sub(/[],].*/, "", check) }
        !(file " " check in known)' $known -)
    [ -z "$new" ] || { echo "$new"; found=$((found + $(wc -l <<<"$new"))); }
    echo "$1: $(grep -c . <<<"$new") new findings in $(wc -l <<<"$files") files, $((SECONDS - start)) s"
}

# Each file by its own: in one process for all, the analyzer of clang 14 remembers things of the file before.
tidy() {
    local file flags
    while read -r file flags; do
        nice clang-tidy --quiet "$file" -- $flags 2>&1
    done <<<"$files" | grep -E '^[^ ]+:[0-9]+:[0-9]+: (warning|error): '
}

check() {
    local only=() file
    while read -r file _; do only+=("--file-filter=*$file"); done <<<"$files"
    nice cppcheck --project=$database "${only[@]}" -j 1 --quiet --enable=warning,performance,portability \
        --template='{file}:{line}:{column}: {severity}: {message} [{id}]' 2>&1
}

analyzer() {
    local file flags
    while read -r file flags; do
        [ "$file" != src/kernel/verbs.c ] || continue
        nice gcc $flags -O2 -fanalyzer -fdiagnostics-plain-output -fno-diagnostics-show-cwe -S -o /dev/null "$file" 2>&1 |
            grep -E '(warning|error): ' | sed "s#^cc1: #$file:0:0: #; s#\[-W#[#"
    done <<<"$files"
}

! has clang-tidy || tell clang-tidy < <(tidy)
! has cppcheck || tell cppcheck < <(check)
! has gcc || tell "gcc -fanalyzer" < <(analyzer)
[ $used -gt 0 ] || { echo "analyze.sh: there is no analyzer; on Debian: apt-get install clang-tidy cppcheck gcc" >&2; exit 2; }
[ $found = 0 ]

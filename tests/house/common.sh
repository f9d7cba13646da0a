#!/bin/bash
# SPDX-License-Identifier: MIT
# What the scripts of the house share. They source this file, work in the root of the tree, call wrong for everything that
# breaks a rule, and end with: exit $failed
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
failed=0

wrong() { # <what>
    echo "$*"
    failed=1
}

# The tests are skipped, because the machine lacks a program.
needs() { # <program>
    command -v "$1" >/dev/null || { echo "skipped: $1 was not found"; exit 77; }
}

# Every file with source text, sorted: of these names, or all C files. A list that has become short was looked for in wrong
# places.
sources() { # [<name>...]
    local files names=() name
    for name in "${@:-*.[ch]}"; do names+=(-o -name "$name"); done
    files=$(find CMakeLists.txt Makefile include src nn lab tools python examples tests bench docs cmake scripts .ci -type f \
        \( "${names[@]:1}" \) | sort)
    [ "$(wc -l <<<"$files")" -gt 100 ] || { echo "hardly any file was found: $files" >&2; exit 1; }
    echo "$files"
}

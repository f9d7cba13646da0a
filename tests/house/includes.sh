#!/bin/bash
# SPDX-License-Identifier: MIT
# includes.sh: includes point downwards only. Each room may include what its line names, and its own files.
. "$(dirname "$0")/common.sh"

# room <directory> <first path components that its includes may have>; "." stands for a name without a directory
room() {
    local line path
    [ -d "$1" ] || wrong "there is no $1"
    while IFS= read -r line; do
        path=${line##*[\"<]}
        case " $2 " in *" $(dirname "$path" | cut -d/ -f1) "*) continue ;; esac
        wrong "$line: $1 may include only: $2"
    done < <(grep -rnoE --include='*.[ch]' --include='*.inc' '^ *# *include *("[^"]+|<batchnorm/[^>]+)' "$1")
}

room include batchnorm
room src/kernel kernel
room src/parallel "batchnorm kernel parallel"
room src/plan "batchnorm kernel parallel plan"
room src/api "batchnorm kernel parallel plan api"
room src/file "batchnorm file ."
room examples "batchnorm ."
room nn "batchnorm nn ."
room tools/shared "batchnorm nn tools ."
room lab "batchnorm nn tools ."
room tools "batchnorm nn tools lab ."
exit $failed

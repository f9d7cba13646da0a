#!/bin/bash
# SPDX-License-Identifier: MIT
# targets.sh BUILD_DIR: what documents and comments point to is there: links and their anchors, paths, targets of make, and
# tests.
build=$1
. "$(dirname "$0")/common.sh"
export LC_ALL=C.UTF-8
documents=$(ls ./*.md docs/*.md python/*.md)
count=0

# Anchors of a page, as GitHub makes them of its headings.
anchors() { sed -nE '/^```/,/^```/d; s/^#+ +//p' "$1" | tr '[:upper:]' '[:lower:]' | sed -E 's/[^[:alnum:] _-]//g; s/ /-/g'; }

while IFS=: read -r file link; do
    link=${link#](} link=${link%)} count=$((count + 1))
    case $link in http*) continue ;; esac
    path=${link%%#*} anchor=${link#"$path"}
    path=${path:+$(dirname "$file")/$path} path=${path:-$file}
    [ -e "$path" ] || { wrong "$file: the link $link leads nowhere"; continue; }
    [ -z "$anchor" ] || anchors "$path" | grep -qxF -- "${anchor#\#}" || wrong "$file: $path has no heading $anchor"
done < <(grep -oHE '\]\([^) ]+\)' $documents)

# Paths that begin with a folder of the tree. Words in capitals stand for names, and a star for several.
exists() { # <path>
    local path=${1%/}
    [[ $path == *[A-Z][A-Z]* && ! $path =~ (README|CHANGELOG|CONTRIBUTING|CMakeLists|LICENSE) ]] && return
    compgen -G "$path" >/dev/null || compgen -G "$path.*" >/dev/null
}
folders='(include|src|nn|lab|tools|python|tests|examples|bench|docs|cmake|scripts)'
while IFS=: read -r file path; do
    path=${path%%[.,:;]} count=$((count + 1))
    exists "$path" || wrong "$file: there is no $path"
done < <({ grep -oHE "(^|[^a-zA-Z0-9_./-])$folders/[a-zA-Z0-9_./*-]+" $documents
    grep -HE '^ *(/?\*|//|#)|/\*' $(sources '*.[ch]' '*.py' '*.sh' '*.cmake' CMakeLists.txt) | grep -v '# *include' |
        sed -E "s/^([^:]+):/\1\t/" | awk -F'\t' -v want="(^|[^a-zA-Z0-9_.\/-])$folders/[a-zA-Z0-9_.\/*-]+" \
        '{ while (match($2, want)) { print $1 ":" substr($2, RSTART, RLENGTH); $2 = substr($2, RSTART + RLENGTH) } }'
    } | sed -E "s#:[^a-zA-Z]*($folders/)#:\1#" | sort -u)

while IFS=: read -r file target; do
    count=$((count + 1)) target=${target##*[\` ]}
    grep -qE "^$target:" Makefile || wrong "$file: the Makefile has no target $target"
done < <(grep -oHE '(`|^    )make [a-z][a-z-]+' $documents | sort -u)

# Tests of this build, and those that a CMakeLists.txt names for other compilers.
tests=$(ctest --test-dir "$build" -N | sed -n 's/.*Test *#[0-9]*: //p'
    grep -ohE '(add_test\(NAME|bn_[a-z]+\() *[a-z_.]+' -r tests --include=CMakeLists.txt | sed 's/.*[ (]//')
while read -r name; do
    count=$((count + 1))
    grep -qE "^${name//./\\.}(\.|$)" <<<"$tests" || wrong "docs/house.md: there is no test $name"
done < <(sed -nE 's/^\| (`[a-z_.]+`(, `[a-z_.]+`)*) \|.*/\1/p' docs/house.md |
    grep -oE '`[a-z]+\.[a-z_.]+`|`[a-z]+\.\.\.`' | tr -d '`' | sed 's/\.\.\.$//' |
    grep -vE '\.[ch]$|^fuzz' | sort -u)

[ "$(wc -l <README.md)" -le 150 ] || wrong "README.md is longer than 150 lines: it is the front, and the rest goes to docs/"
echo "$count things are pointed to"
[ $count -gt 150 ] && exit $failed
